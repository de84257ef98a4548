//! Rows in their order for what collects them. ARRAY_AGG, ARRAY_UNIQUE_AGG and LISTAGG without WITHIN GROUP show the order
//! in which rows come; so that two runs show the same, their rows come from one partition after the other.

use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Partitioning, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::TryStreamExt;

/// The functions whose result shows the order of their rows.
const COLLECTING: [&str; 3] = ["array_agg", "array_unique_agg", "listagg"];

/// The rule that brings rows in order; it comes after those that spread them over partitions.
#[derive(Debug)]
pub(in crate::dialect) struct InOrder;

impl PhysicalOptimizerRule for InOrder {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| match node.downcast_ref::<AggregateExec>() {
            Some(aggregate) if collects(aggregate) => {
                let input = one_partition(&one_after_the_other(aggregate.input())?)?;
                Ok(Transformed::yes(with_child(&node, input)?))
            }
            _ => Ok(Transformed::no(node)),
        })
        .data()
    }

    fn name(&self) -> &str {
        "in_order"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn collects(aggregate: &AggregateExec) -> bool {
    let merges = matches!(
        aggregate.mode(),
        AggregateMode::Final | AggregateMode::FinalPartitioned | AggregateMode::PartialReduce
    );
    let unordered = |name: &str, ordered: bool| COLLECTING.contains(&name) && !ordered;
    !merges && aggregate.aggr_expr().iter().any(|call| unordered(call.fun().name(), !call.order_bys().is_empty()))
}

fn with_child(node: &Arc<dyn ExecutionPlan>, child: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    Arc::clone(node).replace_children(vec![child], ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}

/// A plan without the steps that mix its rows.
fn one_after_the_other(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(coalesced) = plan.downcast_ref::<CoalescePartitionsExec>()
        && coalesced.fetch().is_none()
    {
        return one_partition(&one_after_the_other(coalesced.input())?);
    }
    if let Some(spread) = plan.downcast_ref::<RepartitionExec>() {
        let input = one_after_the_other(spread.input())?;
        return match spread.partitioning() {
            Partitioning::RoundRobinBatch(_) => Ok(input),
            _ => with_child(plan, one_partition(&input)?),
        };
    }
    match plan.children().as_slice() {
        [child] if plan.maintains_input_order() == [true] => with_child(plan, one_after_the_other(child)?),
        _ => Ok(Arc::clone(plan)),
    }
}

fn one_partition(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let hashed = matches!(plan.output_partitioning(), Partitioning::Hash(..));
    if hashed || plan.output_partitioning().partition_count() == 1 {
        return Ok(Arc::clone(plan));
    }
    Ok(Arc::new(InOrderExec::new(Arc::clone(plan))))
}

/// The partitions of its input, one after the other.
#[derive(Debug)]
struct InOrderExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl InOrderExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let mut equivalences = input.equivalence_properties().clone();
        equivalences.clear_orderings();
        let (emission, bounds) = (input.pipeline_behavior(), input.boundedness());
        let properties = PlanProperties::new(equivalences, Partitioning::UnknownPartitioning(1), emission, bounds);
        Self { input, properties: Arc::new(properties) }
    }
}

impl DisplayAs for InOrderExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InOrderExec")
    }
}

impl ExecutionPlan for InOrderExec {
    fn name(&self) -> &'static str {
        "InOrderExec"
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
        match children.pop() {
            Some(input) => Ok(Arc::new(Self::new(input))),
            None => internal_err!("rows in order have one input"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = Arc::clone(&self.input);
        let partitions = 0..input.output_partitioning().partition_count();
        let streams = partitions.map(move |partition| input.execute(partition, Arc::clone(&context)));
        let batches = futures::stream::iter(streams).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}
