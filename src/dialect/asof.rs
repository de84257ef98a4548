//! ASOF JOIN: each row of the left input with the closest row of the right one, or with NULL where none is close.
//! MATCH_CONDITION compares a value of each side, the conditions of ON and USING are equalities. Defined by Snowflake's page
//! on ASOF JOIN; where several right rows are equally close, which Snowflake leaves open, the columns that are read decide.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, DFSchemaRef, JoinConstraint, NullEquality, Result, internal_err};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Extension, Filter, Join, JoinType, LogicalPlan, Operator, UserDefinedLogicalNodeCore,
    build_join_schema,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// The join over record batches.
mod exec;

pub(super) use exec::physical;

/// The plan of an ASOF JOIN.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct AsofJoin {
    left: LogicalPlan,
    right: LogicalPlan,
    /// A comparison by order of the two sides.
    nearest: Expr,
    /// Equalities of the two sides.
    equal: Vec<Expr>,
    schema: DFSchemaRef,
}

impl AsofJoin {
    /// See [`AsofJoin`]; every condition is a comparison that [`sides`] can take apart.
    pub(super) fn plan(left: LogicalPlan, right: LogicalPlan, nearest: Expr, equal: Vec<Expr>) -> Result<LogicalPlan> {
        let node = Self::new(left, right, nearest, equal)?;
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    fn new(left: LogicalPlan, right: LogicalPlan, nearest: Expr, equal: Vec<Expr>) -> Result<Self> {
        let schema = Arc::new(build_join_schema(left.schema(), right.schema(), &JoinType::Left)?);
        Ok(Self { left, right, nearest, equal, schema })
    }

    fn of(plan: &LogicalPlan) -> Option<&Self> {
        let LogicalPlan::Extension(extension) = plan else { return None };
        extension.node.as_any().downcast_ref()
    }
}

/// The join with every right row that ASOF JOIN takes the closest of, for what asks where columns and rows come from.
pub fn all_matches(plan: &LogicalPlan) -> Option<Join> {
    let AsofJoin { left, right, nearest, equal, schema } = AsofJoin::of(plan)?;
    Some(Join {
        left: Arc::new(left.clone()),
        right: Arc::new(right.clone()),
        on: Vec::new(),
        filter: conjunction(equal.iter().chain([nearest]).cloned()),
        join_type: JoinType::Left,
        join_constraint: JoinConstraint::On,
        schema: Arc::clone(schema),
        null_equality: NullEquality::NullEqualsNothing,
        null_aware: false,
    })
}

/// The two sides of a comparison of left columns with right ones, and the operator between them in this order.
pub(super) fn sides(condition: &Expr, left: &DFSchema, right: &DFSchema) -> Option<(Expr, Operator, Expr)> {
    let (a, op, b) = match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => (left, op, right),
        // Under the name that it had before it was rewritten.
        Expr::Alias(named) => return sides(&named.expr, left, right),
        _ => return None,
    };
    let only = |expr: &Expr, schema: &DFSchema| {
        let columns = expr.column_refs();
        !columns.is_empty() && columns.into_iter().all(|column| schema.has_column(column))
    };
    if only(a, left) && only(b, right) {
        return Some((a.as_ref().clone(), *op, b.as_ref().clone()));
    }
    let turned = op.swap().filter(|_| only(b, left) && only(a, right))?;
    Some((b.as_ref().clone(), turned, a.as_ref().clone()))
}

impl PartialOrd for AsofJoin {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let order = self.left.partial_cmp(&other.left)?.then(self.right.partial_cmp(&other.right)?);
        (order != Ordering::Equal || self == other).then_some(order)
    }
}

impl UserDefinedLogicalNodeCore for AsofJoin {
    fn name(&self) -> &str {
        "AsofJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.equal.iter().chain([&self.nearest]).cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsofJoin: {}", self.nearest)?;
        self.equal.iter().try_for_each(|condition| write!(f, ", {condition}"))
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Some(nearest), Ok([left, right])) = (exprs.pop(), <[LogicalPlan; 2]>::try_from(inputs)) else {
            return internal_err!("ASOF JOIN has two inputs and a condition");
        };
        Self::new(left, right, nearest, exprs)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let width = self.left.schema().fields().len();
        let (left, right): (Vec<usize>, Vec<usize>) = output_columns.iter().partition(|column| **column < width);
        Some(vec![left, right.into_iter().map(|column| column - width).collect()])
    }
}

/// Conditions on left columns alone are asked before the join: it gives every left row once.
#[derive(Debug)]
pub(super) struct FilterFirst;

impl OptimizerRule for FilterFirst {
    fn name(&self) -> &str {
        "filter_before_asof_join"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = &plan else { return Ok(Transformed::no(plan)) };
        let Some(join) = AsofJoin::of(&filter.input) else { return Ok(Transformed::no(plan)) };
        let of_left = |expr: &Expr| {
            let columns = expr.column_refs();
            !expr.is_volatile() && columns.into_iter().all(|column| join.left.schema().has_column(column))
        };
        let (first, rest): (Vec<Expr>, Vec<Expr>) =
            split_conjunction_owned(filter.predicate.clone()).into_iter().partition(of_left);
        let Some(first) = conjunction(first) else { return Ok(Transformed::no(plan)) };
        let left = LogicalPlan::Filter(Filter::try_new(first, Arc::new(join.left.clone()))?);
        let joined = AsofJoin::plan(left, join.right.clone(), join.nearest.clone(), join.equal.clone())?;
        Ok(Transformed::yes(match conjunction(rest) {
            Some(rest) => LogicalPlan::Filter(Filter::try_new(rest, Arc::new(joined))?),
            None => joined,
        }))
    }
}
