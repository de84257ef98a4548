//! Steps that are computed on this machine: their inputs are fetched, the embedded engine works on them, and the rows are
//! loaded.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::datasource::{MemTable, TableProvider};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;

use super::session::Worker;
use super::{Frame, Snowflake, load, text};
use crate::backend::datafusion::{failed, runtime, swap};
use crate::backend::{Attempt, BackendError, Built, Remedy, Rows};
use crate::dialect::Column;
use crate::name::TableName;
use crate::opaque::Opaque;
use crate::plan::{Input, Origin, PlannedStep, PlannedTransform, Query};
use crate::transform::Context;

impl Snowflake {
    /// A transform: the queries of its inputs run on the server.
    pub(super) async fn transform_here(
        &self,
        step: &PlannedStep,
        work: &PlannedTransform,
        attempt: &Attempt,
    ) -> Result<Built, BackendError> {
        let mut worker = self.of_attempt(step, attempt);
        let frame = self.not_there(&mut worker, step, attempt).await?;
        let mut inputs: Vec<(SchemaRef, Vec<RecordBatch>)> = Vec::new();
        let mut room = self.means.memory;
        for query in &work.queries {
            let sql = self.text(&query.sql, &step.inputs, &frame)?.whole();
            let wanted: SchemaRef = Arc::clone(query.plan.schema().inner());
            inputs.push((wanted.clone(), fetch(&mut worker, sql, &wanted, &mut room).await?));
        }
        let transform = Arc::clone(&work.transform);
        let context = Context { memory: self.means.memory, ..Context::at(work.now) };
        let outcome = tokio::task::spawn_blocking(move || transform.run(inputs, context)).await;
        let outcome = outcome
            .map_err(|error| BackendError::author(format!("the transform stopped: {error}")))?
            .map_err(|error| BackendError::author(error.to_string()))?;
        let rows: Rows = futures::stream::iter(outcome.batches.into_iter().map(Ok)).boxed();
        self.take(step, rows, attempt).await
    }

    /// Puts the rows of a query into a table of these columns: computed on the server or, where the step is marked so, here.
    #[expect(clippy::too_many_arguments, reason = "a query, and all that it is to be put where")]
    pub(super) async fn rows_into(
        &self,
        worker: &mut Worker,
        step: &PlannedStep,
        query: &Query,
        frame: &Frame,
        table: &TableName,
        columns: &[Column],
        attempt: &Attempt,
    ) -> Result<(), BackendError> {
        if step.local {
            let rows = self.rows_here(worker, query, frame).await?;
            load::fill(worker, table, columns, rows, &self.way(step, attempt)).await?;
        } else {
            let query = self.text(&query.sql, &query.inputs, frame)?;
            worker.run(text::build(table, &query, columns)).await?;
        }
        Ok(())
    }

    /// A step's query, computed here.
    pub(super) async fn query_here(
        &self,
        step: &PlannedStep,
        query: &Query,
        attempt: &Attempt,
    ) -> Result<Built, BackendError> {
        let mut worker = self.of_attempt(step, attempt);
        let frame = self.not_there(&mut worker, step, attempt).await?;
        let rows = self.rows_here(&mut worker, query, &frame).await?;
        self.take(step, rows, attempt).await
    }

    /// The rows of a query: the tables that it reads are fetched whole.
    async fn rows_here(&self, worker: &mut Worker, query: &Query, frame: &Frame) -> Result<Rows, BackendError> {
        let (mut rows, mut room) = (HashMap::new(), self.means.memory);
        for table in swap::inputs(&query.plan).map_err(failed)? {
            if rows.contains_key(&table.origin) {
                continue;
            }
            let of = |input: &&Input| input.origin == table.origin;
            let Some(input) = query.inputs.iter().find(of) else {
                return Err(BackendError::author("an input of the query is not known"));
            };
            let sql = format!("SELECT * FROM {}", input.name.value.sql());
            let sql = self.text(&sql, &query.inputs, frame)?.whole();
            let fetched = self.fetched(worker, sql, &table.schema, &mut room).await?;
            rows.insert(table.origin.clone(), swap::Rows::Table(fetched));
        }
        self.computed(&query.plan, &rows).await
    }

    /// The rows of a query as a table on this machine, as long as there is room for them.
    pub(super) async fn fetched(
        &self,
        worker: &mut Worker,
        sql: String,
        schema: &SchemaRef,
        room: &mut usize,
    ) -> Result<Arc<dyn TableProvider>, BackendError> {
        let batches = fetch(worker, sql, schema, room).await?;
        Ok(Arc::new(MemTable::try_new(schema.clone(), vec![batches]).map_err(failed)?))
    }

    /// The rows of a plan over rows that are here.
    pub(super) async fn computed(
        &self,
        plan: &Opaque<LogicalPlan>,
        rows: &HashMap<Origin, swap::Rows>,
    ) -> Result<Rows, BackendError> {
        let plan = Opaque::new(swap::swapped(plan, rows).map_err(failed)?);
        std::fs::create_dir_all(&self.means.spill).map_err(|error| {
            let message = format!("cannot make the spill folder `{}`: {error}", self.means.spill.display());
            BackendError::new(Remedy::Resources, message)
        })?;
        let runtime = runtime(self.means.memory, Some(&self.means.spill))?;
        let state = SessionStateBuilder::new_from_existing((*self.state).clone()).with_runtime_env(runtime).build();
        let state = Opaque::new(state);
        let physical = state.create_physical_plan(&plan).await.map_err(failed)?;
        let rows = execute_stream(physical, state.task_ctx()).map_err(failed)?;
        Ok(rows.map(|batch| batch.map_err(failed)).boxed())
    }
}

/// The rows of a query in the columns that are expected of it, as long as there is room for them.
async fn fetch(
    worker: &mut Worker,
    sql: String,
    wanted: &SchemaRef,
    room: &mut usize,
) -> Result<Vec<RecordBatch>, BackendError> {
    let mut parts = worker.parts(sql).await?;
    let mut batches = Vec::new();
    while let Some(batch) = parts.next().await? {
        let batch = load::at_rest(&batch, wanted)?;
        *room = room.checked_sub(batch.get_array_memory_size()).ok_or_else(|| {
            let message =
                "the rows that the step fetches from Snowflake do not fit in the run's memory; raise `--memory-limit`";
            BackendError::new(Remedy::Resources, message)
        })?;
        batches.push(batch);
    }
    Ok(batches)
}
