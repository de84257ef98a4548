//! A call of a table function over record batches.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::{EmbeddedProjection, ProjectionExec, try_embed_projection};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
    ReplaceChildrenOptions,
};
use datafusion::physical_planner::PhysicalPlanner;
use futures::{StreamExt, TryStreamExt};

use super::node::LateralCall;
use super::{Rows, TableFunction};

/// The call of a plan, made physical; none for another node.
pub fn physical(
    planner: &dyn PhysicalPlanner,
    node: &dyn UserDefinedLogicalNode,
    inputs: (&[&LogicalPlan], &[Arc<dyn ExecutionPlan>]),
    session: &dyn Session,
    context: &PhysicalPlanningContext,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(node) = node.as_any().downcast_ref::<LateralCall>() else {
        return Ok(None);
    };
    let ([logical], [input]) = inputs else {
        return internal_err!("a table function has one input");
    };
    let physical = |argument| planner.create_physical_expr(argument, logical.schema(), session, context);
    let arguments = node.call.arguments.iter().map(physical).collect::<Result<_>>()?;
    let function = node.call.function.clone();
    Ok(Some(Arc::new(LateralCallExec::new(Arc::clone(input), function, arguments, &node.columns, None)?)))
}

/// The rows of its input, each with every row that the function gives for it.
#[derive(Clone, Debug)]
struct LateralCallExec {
    input: Arc<dyn ExecutionPlan>,
    function: TableFunction,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    columns: Vec<Arc<Field>>,
    /// Which columns of the input followed by the function's are given.
    kept: Option<Vec<usize>>,
    properties: Arc<PlanProperties>,
    sequence: Arc<AtomicI64>,
    metrics: ExecutionPlanMetricsSet,
}

impl LateralCallExec {
    fn new(
        input: Arc<dyn ExecutionPlan>,
        function: TableFunction,
        arguments: Vec<Arc<dyn PhysicalExpr>>,
        columns: &[Arc<Field>],
        kept: Option<Vec<usize>>,
    ) -> Result<Self> {
        let all: Vec<_> = input.schema().fields().iter().chain(columns).map(Arc::clone).collect();
        let mut schema = Schema::new(all);
        if let Some(kept) = &kept {
            schema = schema.project(kept)?;
        }
        let partitions = input.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(schema)),
            Partitioning::UnknownPartitioning(partitions),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Ok(Self {
            input,
            function,
            arguments,
            columns: columns.to_vec(),
            kept,
            properties: Arc::new(properties),
            sequence: Arc::new(AtomicI64::new(1)),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    fn kept(&self) -> Vec<usize> {
        let all = self.input.schema().fields().len() + self.columns.len();
        self.kept.clone().unwrap_or_else(|| (0..all).collect())
    }
}

impl DisplayAs for LateralCallExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> =
            self.properties.eq_properties.schema().fields().iter().map(|f| f.name().as_str()).collect();
        write!(f, "LateralCallExec: {:?}, columns=[{}]", self.function, names.join(", "))
    }
}

impl EmbeddedProjection for LateralCallExec {
    fn with_projection(&self, projection: Option<Vec<usize>>) -> Result<Self> {
        let all = self.kept();
        let kept = projection.map(|kept| kept.into_iter().filter_map(|at| all.get(at).copied()).collect());
        Self::new(Arc::clone(&self.input), self.function.clone(), self.arguments.clone(), &self.columns, kept)
    }
}

impl ExecutionPlan for LateralCallExec {
    fn name(&self) -> &'static str {
        "LateralCallExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.pop() else {
            return internal_err!("a table function has one input");
        };
        let (function, arguments) = (self.function.clone(), self.arguments.clone());
        Ok(Arc::new(Self::new(input, function, arguments, &self.columns, self.kept.clone())?))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for argument in &self.arguments {
            if visit(argument)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn try_swapping_with_projection(&self, projection: &ProjectionExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if self.kept.is_some() { Ok(None) } else { try_embed_projection(projection, self) }
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let expansion = Expansion {
            function: self.function.clone(),
            arguments: self.arguments.clone(),
            kept: self.kept(),
            width: self.input.schema().fields().len(),
            columns: self.columns.len(),
            schema: self.schema(),
            limit: context.session_config().batch_size(),
            sequence: Arc::clone(&self.sequence),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let expansion = Arc::new(expansion);
        let batches =
            input.map(move |batch| batch.and_then(|batch| Ok(futures::stream::iter(Pieces::new(&expansion, batch)?))));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches.try_flatten())))
    }
}

/// What every batch of one partition is expanded with.
struct Expansion {
    function: TableFunction,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    kept: Vec<usize>,
    width: usize,
    columns: usize,
    schema: SchemaRef,
    limit: usize,
    sequence: Arc<AtomicI64>,
    metrics: BaselineMetrics,
}

/// The output of one input batch, in pieces of about a batch's size.
struct Pieces {
    expansion: Arc<Expansion>,
    batch: RecordBatch,
    arguments: Vec<ArrayRef>,
    first_sequence: i64,
    row: usize,
    /// How many rows GENERATOR has given for the present row.
    given: u64,
}

impl Iterator for Pieces {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Result<RecordBatch>> {
        if self.row >= self.batch.num_rows() {
            return None;
        }
        let piece = self.piece();
        if piece.is_err() {
            self.row = self.batch.num_rows();
        }
        Some(piece)
    }
}

impl Pieces {
    fn new(expansion: &Arc<Expansion>, batch: RecordBatch) -> Result<Self> {
        let rows = batch.num_rows();
        let value = |argument: &Arc<dyn PhysicalExpr>| argument.evaluate(&batch)?.into_array(rows);
        let arguments = expansion.arguments.iter().map(value).collect::<Result<_>>()?;
        let first_sequence = expansion.sequence.fetch_add(rows as i64, Ordering::Relaxed);
        Ok(Self { expansion: Arc::clone(expansion), batch, arguments, first_sequence, row: 0, given: 0 })
    }

    fn piece(&mut self) -> Result<RecordBatch> {
        let expansion = Arc::clone(&self.expansion);
        let _timer = expansion.metrics.elapsed_compute().timer();
        let wanted = |at| expansion.kept.contains(&(expansion.width + at));
        let wanted: Vec<bool> = (0..expansion.columns).map(wanted).collect();
        let first = self.first_sequence + self.row as i64;
        let rows = self.row..self.batch.num_rows();
        let mut given = match &expansion.function {
            TableFunction::Generator { rows: count } => self.generated(*count, expansion.limit),
            function => {
                let (given, next) = function.expand(&self.arguments, rows, first, expansion.limit, &wanted)?;
                self.row = next;
                given
            }
        };
        let count = given.parents.len();
        let parents = UInt32Array::from(std::mem::take(&mut given.parents));
        let mut columns = Vec::with_capacity(expansion.kept.len());
        for at in &expansion.kept {
            columns.push(match at.checked_sub(expansion.width) {
                None => take(self.batch.column(*at), &parents, None)?,
                Some(own) => match given.columns.get_mut(own).and_then(Option::take) {
                    Some(column) => column,
                    None => return internal_err!("a table function left out a column"),
                },
            });
        }
        expansion.metrics.record_output(count);
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&expansion.schema), columns, &options)?)
    }

    /// The next rows of GENERATOR for the present row, at most `limit`.
    fn generated(&mut self, count: u64, limit: usize) -> Rows {
        let left = usize::try_from(count - self.given).unwrap_or(usize::MAX);
        let size = left.min(limit);
        let parents = vec![u32::try_from(self.row).unwrap_or(u32::MAX); size];
        self.given += size as u64;
        if size == left {
            (self.row, self.given) = (self.row + 1, 0);
        }
        Rows { parents, columns: Vec::new() }
    }
}
