//! How plans become physical that hold nodes of the dialect's own: calls of table functions and ASOF JOIN.

use std::fmt;
use std::future::ready;
use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use futures::future::BoxFuture;

use super::{asof, functions};

/// DataFusion's planner with the dialect's nodes.
pub(super) fn query_planner() -> Arc<dyn QueryPlanner + Send + Sync> {
    Arc::new(Planner { physical: DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(Nodes)]) })
}

struct Planner {
    physical: DefaultPhysicalPlanner,
}

impl fmt::Debug for Planner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Planner")
    }
}

/// The planner of the dialect's nodes.
#[derive(Debug)]
struct Nodes;

// The two are written as futures, not as async functions, for the reason that `opaque` gives.
impl QueryPlanner for Planner {
    fn create_physical_plan<'a, 'b, 'c, 'e>(
        &'a self,
        plan: &'b LogicalPlan,
        session: &'c dyn Session,
    ) -> BoxFuture<'e, Result<Arc<dyn ExecutionPlan>>>
    where
        'a: 'e,
        'b: 'e,
        'c: 'e,
        Self: 'e,
    {
        self.physical.create_physical_plan(plan, session)
    }
}

impl ExtensionPlanner for Nodes {
    fn plan_extension<'a, 'b, 'c, 'd, 'f, 'g, 'h, 'i, 'e>(
        &'a self,
        planner: &'b dyn PhysicalPlanner,
        node: &'c dyn UserDefinedLogicalNode,
        logical_inputs: &'d [&'f LogicalPlan],
        physical_inputs: &'g [Arc<dyn ExecutionPlan>],
        session: &'h dyn Session,
        context: &'i PhysicalPlanningContext,
    ) -> BoxFuture<'e, Result<Option<Arc<dyn ExecutionPlan>>>>
    where
        'a: 'e,
        'b: 'e,
        'c: 'e,
        'd: 'e,
        'f: 'e,
        'g: 'e,
        'h: 'e,
        'i: 'e,
        Self: 'e,
    {
        let inputs = (logical_inputs, physical_inputs);
        let planned = match functions::table::physical(planner, node, inputs, session, context) {
            Ok(None) => asof::physical(planner, node, inputs, session, context),
            planned => planned,
        };
        Box::pin(ready(planned))
    }
}
