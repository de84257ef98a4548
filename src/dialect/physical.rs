//! How plans become physical that hold nodes of the dialect's own: calls of table functions and ASOF JOIN.

use std::fmt;
use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use futures::future::BoxFuture;

use super::asof::AsofJoins;
use super::functions;

/// DataFusion's planner with the dialect's nodes.
pub(super) fn query_planner() -> Arc<dyn QueryPlanner + Send + Sync> {
    let own: Vec<Arc<dyn ExtensionPlanner + Send + Sync>> =
        vec![Arc::new(functions::table::Calls), Arc::new(AsofJoins)];
    Arc::new(Planner { physical: DefaultPhysicalPlanner::with_extension_planners(own) })
}

struct Planner {
    physical: DefaultPhysicalPlanner,
}

impl fmt::Debug for Planner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Planner")
    }
}

// Written as a future, not as an async function, for the reason that `opaque` gives.
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
