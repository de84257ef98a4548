//! ASOF JOIN over record batches: the right rows are held, sorted by what must be equal and then by what must be close;
//! for each left row, as it comes, its equals are looked up and the closest of them is found by bisection.

use std::fmt;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt64Array, new_null_array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::{SortOptions, concat_batches, take};
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::row::{Row, RowConverter, Rows, SortField};
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, Operator, UserDefinedLogicalNode};
use datafusion::physical_expr::expressions::{Column, lit};
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, Partitioning, PhysicalExpr,
    PhysicalSortExpr,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::{EmbeddedProjection, ProjectionExec, try_embed_projection};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, PlanProperties, ReplaceChildrenOptions,
};
use datafusion::physical_planner::PhysicalPlanner;
use futures::{FutureExt, StreamExt, TryStreamExt};
use hashbrown::{DefaultHashBuilder, HashTable};
use tokio::sync::OnceCell;

use super::{AsofJoin, sides};

/// The join of a plan, made physical; none for another node.
pub(in crate::dialect) fn physical(
    planner: &dyn PhysicalPlanner,
    node: &dyn UserDefinedLogicalNode,
    inputs: (&[&LogicalPlan], &[Arc<dyn ExecutionPlan>]),
    session: &dyn Session,
    context: &PhysicalPlanningContext,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(join) = node.as_any().downcast_ref::<AsofJoin>() else {
        return Ok(None);
    };
    let ([left_logical, right_logical], [left, right]) = inputs else {
        return internal_err!("ASOF JOIN has two inputs");
    };
    let (left_schema, right_schema) = (left_logical.schema(), right_logical.schema());
    let mut by = Conditions { left: Vec::new(), right: Vec::new(), closest: Closest::NotAfter };
    if join.equal.is_empty() {
        // All rows are alike then.
        [&mut by.left, &mut by.right].into_iter().for_each(|keys| keys.push(lit(true)));
    }
    for condition in join.equal.iter().chain([&join.nearest]) {
        let Some((a, operator, b)) = sides(condition, left_schema, right_schema) else {
            return internal_err!("`{condition}` does not compare the two sides of ASOF JOIN");
        };
        by.left.push(planner.create_physical_expr(&a, left_schema, session, context)?);
        by.right.push(planner.create_physical_expr(&b, right_schema, session, context)?);
        by.closest = Closest::of(operator).unwrap_or(by.closest);
    }
    Ok(Some(Arc::new(AsofJoinExec::new(Arc::clone(left), Arc::clone(right), by, None)?)))
}

/// Which right row is the closest to a left value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closest {
    /// `left >= right`: the last at or before it.
    NotAfter,
    /// `left > right`: the last before it.
    Before,
    /// `left <= right`: the first at or after it.
    NotBefore,
    /// `left < right`: the first after it.
    After,
}

impl Closest {
    fn of(operator: Operator) -> Option<Self> {
        match operator {
            Operator::GtEq => Some(Self::NotAfter),
            Operator::Gt => Some(Self::Before),
            Operator::LtEq => Some(Self::NotBefore),
            Operator::Lt => Some(Self::After),
            _ => None,
        }
    }

    /// The place of the closest of `among`, which are sorted.
    fn place(self, value: Row<'_>, rows: &Rows, among: Range<usize>) -> Option<usize> {
        let counts_before = |row: Row<'_>| match self {
            Self::NotAfter | Self::After => row <= value,
            Self::Before | Self::NotBefore => row < value,
        };
        let (mut low, mut high) = (among.start, among.end);
        while low < high {
            let middle = low + (high - low) / 2;
            if counts_before(rows.row(middle)) { low = middle + 1 } else { high = middle }
        }
        match self {
            Self::NotAfter | Self::Before => (low > among.start).then(|| low - 1),
            Self::NotBefore | Self::After => (low < among.end).then_some(low),
        }
    }
}

/// What the sides are compared by: equal values first, the one that must be close last.
#[derive(Clone, Debug)]
struct Conditions {
    left: Vec<Arc<dyn PhysicalExpr>>,
    right: Vec<Arc<dyn PhysicalExpr>>,
    closest: Closest,
}

/// Each row of the left input with the closest row of the right one.
#[derive(Clone, Debug)]
struct AsofJoinExec {
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    by: Conditions,
    /// Which of the left columns followed by the right ones are given.
    kept: Vec<usize>,
    /// The order in which the right rows are asked for.
    order: LexOrdering,
    properties: Arc<PlanProperties>,
    held: Arc<OnceCell<Arc<Held>>>,
    metrics: ExecutionPlanMetricsSet,
}

impl AsofJoinExec {
    fn new(
        left: Arc<dyn ExecutionPlan>,
        right: Arc<dyn ExecutionPlan>,
        by: Conditions,
        kept: Option<Vec<usize>>,
    ) -> Result<Self> {
        let right_schema = right.schema();
        let right_fields =
            right_schema.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
        let fields: Vec<_> = left.schema().fields().iter().map(Arc::clone).chain(right_fields).collect();
        let kept = kept.unwrap_or_else(|| (0..fields.len()).collect());
        let schema = Schema::new(fields).project(&kept)?;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(schema)),
            Partitioning::UnknownPartitioning(left.output_partitioning().partition_count()),
            left.pipeline_behavior(),
            left.boundedness(),
        );
        let columns = right_schema.fields().iter().enumerate();
        let deciding = columns.filter(|(_, field)| !field.data_type().is_nested()).map(|(at, field)| {
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), at));
            column
        });
        let options = SortOptions { descending: false, nulls_first: false };
        let keys = by.right.iter().cloned().chain(deciding).map(|expr| PhysicalSortExpr::new(expr, options));
        let Some(order) = LexOrdering::new(keys) else { return internal_err!("ASOF JOIN has a condition") };
        Ok(Self {
            left,
            right,
            by,
            kept,
            order,
            properties: Arc::new(properties),
            held: Arc::default(),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The right rows, read by whoever asks first.
    async fn held(self, context: Arc<TaskContext>) -> Result<Arc<Held>> {
        let read = async || Ok(Arc::new(Held::read(&self.right, &self.by.right, context).await?));
        self.held.get_or_try_init(read).await.map(Arc::clone)
    }

    /// The rows of a left batch with what was found for them.
    fn joined(&self, held: &Held, batch: &RecordBatch) -> Result<RecordBatch> {
        let found = held.closest(&self.by, batch)?;
        let width = batch.num_columns();
        let column = |at: &usize| match at.checked_sub(width) {
            None => Ok(Arc::clone(batch.column(*at))),
            Some(at) if held.rows.num_rows() == 0 => {
                Ok(new_null_array(held.rows.column(at).data_type(), batch.num_rows()))
            }
            Some(at) => take(held.rows.column(at), &found, None),
        };
        let columns = self.kept.iter().map(column).collect::<std::result::Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema(), columns, &options)?)
    }
}

/// The right rows, sorted.
#[derive(Debug)]
struct Held {
    rows: RecordBatch,
    runs: Runs,
    /// What must be close, row by row.
    values: Rows,
    value: RowConverter,
    _memory: MemoryReservation,
}

impl Held {
    async fn read(
        input: &Arc<dyn ExecutionPlan>,
        by: &[Arc<dyn PhysicalExpr>],
        context: Arc<TaskContext>,
    ) -> Result<Self> {
        let memory = MemoryConsumer::new("the right side of ASOF JOIN").register(context.memory_pool());
        let mut stream = input.execute(0, context)?;
        let mut batches = Vec::new();
        while let Some(batch) = stream.try_next().await? {
            memory.try_grow(batch.get_array_memory_size())?;
            batches.push(batch);
        }
        let apart = memory.size();
        memory.try_grow(apart)?;
        let rows = concat_batches(&input.schema(), &batches)?;
        drop(batches);
        memory.shrink(apart);
        let (keys, value, there) = values(by, &rows)?;
        let runs = Runs::new(&keys, there.as_ref(), rows.num_rows())?;
        let converter = converter(std::slice::from_ref(&value))?;
        let values = converter.convert_columns(&[value])?;
        memory.try_grow(runs.size() + values.size())?;
        Ok(Self { rows, runs, values, value: converter, _memory: memory })
    }

    /// For each row of a left batch the place of the closest right row.
    fn closest(&self, by: &Conditions, batch: &RecordBatch) -> Result<UInt64Array> {
        let (keys, value, there) = values(&by.left, batch)?;
        let keys = self.runs.converter.convert_columns(&keys)?;
        let values = self.value.convert_columns(&[value])?;
        let place = |row: usize| {
            if there.as_ref().is_some_and(|there| there.is_null(row)) {
                return None;
            }
            let run = self.runs.of(keys.row(row))?;
            by.closest.place(values.row(row), &self.values, run).map(|place| place as u64)
        };
        Ok((0..batch.num_rows()).map(place).collect())
    }
}

/// What must be equal and what must be close in the rows of a batch, and which rows have all of it.
fn values(by: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<(Vec<ArrayRef>, ArrayRef, Option<NullBuffer>)> {
    let column = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(batch)?.into_array(batch.num_rows());
    let mut keys = by.iter().map(column).collect::<Result<Vec<_>>>()?;
    let nulls = |there: Option<NullBuffer>, column: &ArrayRef| {
        NullBuffer::union(there.as_ref(), column.logical_nulls().as_ref())
    };
    let there = keys.iter().fold(None, nulls);
    let Some(value) = keys.pop() else { return internal_err!("ASOF JOIN has a condition") };
    Ok((keys, value, there))
}

fn converter(columns: &[ArrayRef]) -> Result<RowConverter> {
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    Ok(RowConverter::new(fields)?)
}

/// Where the rows with equal keys are, which stand together.
#[derive(Debug)]
struct Runs {
    converter: RowConverter,
    /// The key of each run.
    keys: Rows,
    places: Vec<Range<usize>>,
    by_key: HashTable<usize>,
    hasher: DefaultHashBuilder,
}

impl Runs {
    /// The runs of sorted rows. A row that lacks a value matches nothing: it ends a run and is in none.
    fn new(columns: &[ArrayRef], there: Option<&NullBuffer>, count: usize) -> Result<Self> {
        let converter = converter(columns)?;
        let rows = converter.convert_columns(columns)?;
        let keys = converter.empty_rows(0, 0);
        let (places, by_key, hasher) = (Vec::new(), HashTable::new(), DefaultHashBuilder::default());
        let mut runs = Self { converter, keys, places, by_key, hasher };
        let mut start = 0;
        for row in 0..count {
            if there.is_some_and(|there| there.is_null(row)) {
                start = row + 1;
                continue;
            }
            let next = row + 1;
            let goes_on = next < count && there.is_none_or(|there| there.is_valid(next));
            if !(goes_on && rows.row(row) == rows.row(next)) {
                runs.add(rows.row(row), start..next);
                start = next;
            }
        }
        Ok(runs)
    }

    fn add(&mut self, key: Row<'_>, place: Range<usize>) {
        let Self { keys, places, by_key, hasher, .. } = self;
        keys.push(key);
        by_key.insert_unique(hasher.hash_one(key.data()), places.len(), |run| hasher.hash_one(keys.row(*run).data()));
        places.push(place);
    }

    fn of(&self, key: Row<'_>) -> Option<Range<usize>> {
        let run = self.by_key.find(self.hasher.hash_one(key.data()), |run| self.keys.row(*run) == key)?;
        self.places.get(*run).cloned()
    }

    fn size(&self) -> usize {
        let run = size_of::<Range<usize>>() + size_of::<usize>();
        self.keys.size() + self.places.capacity() * run
    }
}

impl DisplayAs for AsofJoinExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsofJoinExec: {:?}", self.by.closest)?;
        self.by.left.iter().zip(&self.by.right).try_for_each(|(left, right)| write!(f, ", ({left}, {right})"))
    }
}

impl EmbeddedProjection for AsofJoinExec {
    fn with_projection(&self, projection: Option<Vec<usize>>) -> Result<Self> {
        let kept = projection.map(|kept| kept.into_iter().filter_map(|at| self.kept.get(at).copied()).collect());
        let kept = kept.unwrap_or_else(|| self.kept.clone());
        Self::new(Arc::clone(&self.left), Arc::clone(&self.right), self.by.clone(), Some(kept))
    }
}

impl ExecutionPlan for AsofJoinExec {
    fn name(&self) -> &'static str {
        "AsofJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.left, &self.right]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::UnspecifiedDistribution, Distribution::SinglePartition])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![None, Some(OrderingRequirements::from(self.order.clone()))]
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([left, right]) = <[Arc<dyn ExecutionPlan>; 2]>::try_from(children) else {
            return internal_err!("ASOF JOIN has two inputs");
        };
        Ok(Arc::new(Self::new(left, right, self.by.clone(), Some(self.kept.clone()))?))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for expr in self.by.left.iter().chain(&self.by.right) {
            if visit(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn try_swapping_with_projection(&self, projection: &ProjectionExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let all = self.left.schema().fields().len() + self.right.schema().fields().len();
        if self.kept.len() < all { Ok(None) } else { try_embed_projection(projection, self) }
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let left = self.left.execute(partition, Arc::clone(&context))?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let join = self.clone();
        let joined = async move {
            let held = join.clone().held(context).await?;
            let join_batch = move |batch: Result<RecordBatch>| {
                let _timer = metrics.elapsed_compute().timer();
                let joined = join.joined(&held, &batch?)?;
                metrics.record_output(joined.num_rows());
                Ok(joined)
            };
            Ok::<_, DataFusionError>(left.map(join_batch))
        };
        let batches = futures::stream::once(joined.boxed()).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}
