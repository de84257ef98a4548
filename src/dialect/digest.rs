//! Names of calls inside plans. DataFusion names a column by its whole expression, spelled out again wherever a type or a
//! schema is asked for: more work than all else that binding does. A digest of the arguments tells calls apart as well.

use std::hash::BuildHasher;

use datafusion::logical_expr::Expr;
use foldhash::fast::FixedState;

/// The name of a call, the same for the same function and arguments. Nobody sees it: the columns of a query have the names
/// that its text gives them.
pub(super) fn call_name(function: &str, args: &[Expr]) -> String {
    format!("{function}#{:016x}", FixedState::default().hash_one(args))
}
