//! Queries over tables in memory. A query is planned once and run for many tests: what its tables hold is looked up when it
//! runs, so that a small test costs little more than its rows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::DataFusionError;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, collect};

use crate::backend::datafusion::swap::{self, Rows};
use crate::dialect::Dialect;
use crate::opaque::Opaque;
use crate::plan::{InputTable, Origin};

/// The tables of one test, filled step by step.
#[derive(Debug, Default)]
pub(super) struct Memory {
    tables: Mutex<HashMap<Origin, Vec<RecordBatch>>>,
}

impl Memory {
    /// These tables.
    pub(super) fn new(tables: HashMap<Origin, Vec<RecordBatch>>) -> Arc<Self> {
        Arc::new(Self { tables: Mutex::new(tables) })
    }

    /// The rows of a table; none where it was not filled.
    pub(super) fn rows(&self, origin: &Origin) -> Vec<RecordBatch> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).get(origin).cloned().unwrap_or_default()
    }

    /// Fills a table.
    pub(super) fn fill(&self, origin: Origin, rows: Vec<RecordBatch>) {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).insert(origin, rows);
    }
}

/// A table's name in memory: a step is the same whether its result is published or not.
pub(super) fn key(origin: &Origin) -> Origin {
    match origin {
        Origin::Step(id, _) => Origin::Step(id.clone(), None),
        Origin::Table(_) | Origin::Own(_) => origin.clone(),
    }
}

/// A session, and its plans that are not running at the moment, by the place of their query.
pub(super) struct Engine {
    state: Opaque<SessionState>,
    idle: Mutex<HashMap<Place, Vec<Arc<dyn ExecutionPlan>>>>,
}

/// A query of a plan: the step, and which of the queries that it has.
pub(super) type Place = (usize, usize);

impl Engine {
    /// A session for plans that this dialect bound.
    pub(super) fn new(dialect: &Dialect) -> Self {
        let mut config = dialect.state().config().clone().with_target_partitions(1);
        // A filter that one run learns from its rows must not outlive it.
        config.options_mut().optimizer.enable_dynamic_filter_pushdown = false;
        config.options_mut().optimizer.enable_join_dynamic_filter_pushdown = false;
        config.options_mut().optimizer.enable_topk_dynamic_filter_pushdown = false;
        config.options_mut().optimizer.enable_aggregate_dynamic_filter_pushdown = false;
        let state = SessionStateBuilder::new_from_existing(dialect.state().clone()).with_config(config).build();
        Self { state: Opaque::new(state), idle: Mutex::default() }
    }

    /// The rows of a query over these tables.
    pub(super) async fn rows(
        &self,
        place: Place,
        query: &LogicalPlan,
        memory: &Arc<Memory>,
    ) -> Result<Vec<RecordBatch>, DataFusionError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&place).and_then(Vec::pop);
        let plan = match idle {
            Some(plan) => reset_plan_states(plan)?,
            None => self.planned(query).await?,
        };
        let config = self.state.config().clone().with_extension(Arc::clone(memory));
        let context = TaskContext::from(&*self.state).with_session_config(config);
        let rows = collect(Arc::clone(&plan), Arc::new(context)).await?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).entry(place).or_default().push(plan);
        Ok(rows)
    }

    async fn planned(&self, query: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let table = |table: &InputTable| {
            let slot = Slot { origin: key(&table.origin), schema: table.schema.clone() };
            Rows::Table(Arc::new(slot) as Arc<dyn TableProvider>)
        };
        let tables = swap::inputs(query)?.into_iter().map(|input| (input.origin.clone(), table(&input))).collect();
        let query = swap::swapped(query, &tables)?;
        let state: &SessionState = &self.state;
        let query = state.optimizer().optimize(query, state, |_, _| {})?;
        state.query_planner().create_physical_plan(&query, state).await
    }
}

/// A table whose rows are looked up when it is read.
#[derive(Clone, Debug)]
struct Slot {
    origin: Origin,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for Slot {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let partition: Arc<dyn PartitionStream> = Arc::new(self.clone());
        let scan = StreamingTableExec::try_new(self.schema.clone(), vec![partition], projection, None, false, limit);
        scan.map(|scan| Arc::new(scan) as Arc<dyn ExecutionPlan>)
    }
}

impl PartitionStream for Slot {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let memory = context.session_config().get_extension::<Memory>();
        let batches = memory.map(|memory| memory.rows(&self.origin)).unwrap_or_default();
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), futures::stream::iter(batches.into_iter().map(Ok))))
    }
}
