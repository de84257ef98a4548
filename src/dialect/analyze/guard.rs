//! Conditions that can fail, kept from rows that other conditions leave out. `b <> 0 AND a / b > 1` divides only where `b` is
//! not 0, in whatever order the optimiser brought the two conditions together; boolean CASE computes only what it chooses.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::{Case, ScalarFunction};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, LogicalPlan, Operator};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use crate::dialect::functions;

/// The last rule of the optimiser.
#[derive(Debug)]
pub(in crate::dialect) struct Guard;

impl OptimizerRule for Guard {
    fn name(&self) -> &str {
        "snowflake_guard"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = plan else { return Ok(Transformed::no(plan)) };
        let conditions = split_conjunction_owned(filter.predicate.clone());
        let (risky, safe): (Vec<_>, Vec<_>) = conditions.into_iter().partition(is_risky);
        let (Some(risky), Some(all_safe)) = (conjunction(risky), conjunction(safe.clone())) else {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        };
        if filter.predicate.is_volatile() {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        }
        let guarded = truth(vec![(Box::new(all_safe), Box::new(flag(risky)))], Some(Box::new(number(0))));
        let predicate = conjunction(safe.into_iter().chain([guarded])).unwrap_or_else(|| number(1));
        Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?)))
    }
}

/// A CASE of conditions as one that the optimiser does not turn into AND and OR, which compute all of them.
pub(super) fn lazily(branches: Vec<(Box<Expr>, Box<Expr>)>, otherwise: Option<Box<Expr>>) -> Expr {
    let branches = branches.into_iter().map(|(when, then)| (when, Box::new(flag(*then)))).collect();
    truth(branches, otherwise.map(|otherwise| Box::new(flag(*otherwise))))
}

fn truth(branches: Vec<(Box<Expr>, Box<Expr>)>, otherwise: Option<Box<Expr>>) -> Expr {
    let chosen = Expr::Case(Case { expr: None, when_then_expr: branches, else_expr: otherwise });
    Expr::BinaryExpr(BinaryExpr::new(Box::new(chosen), Operator::Eq, Box::new(number(1))))
}

fn number(value: i64) -> Expr {
    Expr::Literal(ScalarValue::Int64(Some(value)), None)
}

fn flag(condition: Expr) -> Expr {
    match condition {
        null @ Expr::Literal(ScalarValue::Null, _) => null,
        condition => Expr::ScalarFunction(ScalarFunction::new_udf(functions::operator::flag(), vec![condition])),
    }
}

/// Whether computing an expression can fail for some values.
pub(super) fn is_risky(expr: &Expr) -> bool {
    const SAFE: [&str; 14] = [
        "+",
        "-",
        "*",
        "negate",
        "variant_key",
        "flag",
        "try_cast",
        "concat",
        "lower",
        "upper",
        "length",
        "trim",
        "get",
        "get_path",
    ];
    !is_guarded(expr)
        && expr
            .exists(|part| {
                Ok(match part {
                    Expr::ScalarFunction(call) => !SAFE.contains(&call.func.name()),
                    _ => false,
                })
            })
            .unwrap_or(true)
}

fn is_guarded(expr: &Expr) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, .. }) = expr else { return false };
    let Expr::Case(case) = left.as_ref() else { return false };
    case.when_then_expr.iter().any(|(_, then)| match then.as_ref() {
        Expr::ScalarFunction(call) => call.func.name() == "flag",
        _ => false,
    })
}
