//! What happens by type: the planning of operators while a statement is bound, and the rules between binding and optimising.

use std::sync::Arc;

use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::optimizer::AnalyzerRule;

/// Values that are equal without being the same.
mod equal;

/// Conditions that can fail.
mod guard;

/// Lists with computed items.
mod listed;

/// Comparisons, conditions and results of mixed types, expression by expression.
mod mixed;

/// The planner of operators.
mod operators;

/// The rule over whole plans.
mod rule;

/// Types of expressions without their names.
mod typed;

pub(super) use guard::Guard;
pub(super) use listed::ComputedItems;
pub(super) use mixed::{alike_rows, case};
pub(super) use rule::alike;
pub(super) use typed::{field, projection};

/// Planners of operators and accesses, asked in order before DataFusion's own.
pub(super) fn planners() -> Vec<Arc<dyn ExprPlanner>> {
    vec![Arc::new(operators::Operators)]
}

/// The rules that a bound plan goes through, in order: all of DataFusion's, and Snowflake's types before.
pub(super) fn rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    vec![Arc::new(rule::Types), Arc::new(rule::Grouping)]
}
