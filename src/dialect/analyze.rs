//! What happens by type: the planning of operators while a statement is bound, and the rules between binding and optimising.

use std::sync::Arc;

use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::optimizer::{Analyzer, AnalyzerRule};

/// Planners of operators and accesses, asked in order before DataFusion's own.
pub(super) fn planners() -> Vec<Arc<dyn ExprPlanner>> {
    Vec::new()
}

/// The rules that a bound plan goes through, in order.
pub(super) fn rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    Analyzer::new().rules
}
