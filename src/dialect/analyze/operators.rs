//! Operators as they are bound: arithmetic becomes functions that find their type by their operands', comparisons get the
//! casts that their operands need.

use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, Operator};
use sqlparser::ast::BinaryOperator;

use super::mixed::Mixed;
use crate::dialect::arithmetic;
use crate::dialect::functions;

/// The planner of binary operators.
#[derive(Debug)]
pub(super) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, raw: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let operator = match raw.op {
            BinaryOperator::Plus => Operator::Plus,
            BinaryOperator::Minus => Operator::Minus,
            BinaryOperator::Multiply => Operator::Multiply,
            BinaryOperator::Divide => Operator::Divide,
            BinaryOperator::Modulo => Operator::Modulo,
            BinaryOperator::StringConcat => Operator::StringConcat,
            BinaryOperator::Eq => Operator::Eq,
            BinaryOperator::NotEq => Operator::NotEq,
            BinaryOperator::Lt => Operator::Lt,
            BinaryOperator::LtEq => Operator::LtEq,
            BinaryOperator::Gt => Operator::Gt,
            BinaryOperator::GtEq => Operator::GtEq,
            _ => return Ok(PlannerResult::Original(raw)),
        };
        if let Some(call) = function(operator, &raw.left, &raw.right) {
            return Ok(PlannerResult::Planned(call));
        }
        // The zone shows in casts to TIMESTAMP_LTZ only, and those are planned again by the rule, which knows it.
        let mixed = Mixed { schema, zone: "UTC" };
        Ok(PlannerResult::Planned(mixed.compare(raw.left, operator, raw.right)?))
    }
}

/// The function call that an operator on values is planned as; none for comparisons and conditions.
pub(super) fn function(operator: Operator, left: &Expr, right: &Expr) -> Option<Expr> {
    let udf = match operator {
        Operator::Plus => functions::operator::operator(arithmetic::Operator::Add),
        Operator::Minus => functions::operator::operator(arithmetic::Operator::Subtract),
        Operator::Multiply => functions::operator::operator(arithmetic::Operator::Multiply),
        Operator::Divide => functions::operator::operator(arithmetic::Operator::Divide),
        Operator::Modulo => functions::operator::operator(arithmetic::Operator::Modulo),
        Operator::StringConcat => functions::operator::concatenation(),
        _ => return None,
    };
    Some(Expr::ScalarFunction(ScalarFunction::new_udf(udf, vec![left.clone(), right.clone()])))
}
