//! Subqueries inside expressions: scalar, IN, EXISTS, ANY and ALL, with columns of outer queries.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Operator, Projection, Subquery, lit, when};
use sqlparser::ast::{self, BinaryOperator, Query, Select, Visit, Visitor};

use super::expr::outer_reference;
use super::scope::{Rows, Scope};
use super::{At, Binder, Bound};
use crate::diagnostic::Diagnostic;
use crate::text::Span;

impl<'a> Binder<'a> {
    pub(super) fn scalar_subquery(&mut self, query: &Query, scope: &Scope<'_>) -> Bound<Expr> {
        let rows = self.query(query, scope.env, Some(scope))?;
        let span = self.place(query);
        self.one_column(&rows, span)?;
        let subquery = self.subquery(rows.plan, query);
        Ok(Expr::ScalarSubquery(subquery))
    }

    /// A subquery; where it stands is kept where it reads columns of an outer query.
    fn subquery(&mut self, plan: LogicalPlan, written: &impl ast::Spanned) -> Subquery {
        let subquery = subquery(plan);
        if !subquery.outer_ref_columns.is_empty() {
            self.correlated.push(self.place(written));
        }
        subquery
    }

    /// A subquery that is searched for the outer query's rows. An aggregate without GROUP BY gives a row for those too that
    /// find none, which a join would lose.
    fn searched(&mut self, plan: LogicalPlan, written: &Query) -> Bound<Subquery> {
        let whole = is_aggregate_of_all(&plan);
        let subquery = self.subquery(plan, written);
        if whole && !subquery.outer_ref_columns.is_empty() {
            let span = self.place(written);
            let what = "IN, EXISTS, ANY or ALL over an aggregate without GROUP BY that depends on the outer query";
            return Err(self.refuse(format!("{what} is not carried out here: compare with the aggregate itself"), span));
        }
        Ok(subquery)
    }

    pub(super) fn exists(&mut self, query: &Query, negated: bool, scope: &Scope<'_>) -> Bound<Expr> {
        let rows = self.query(query, scope.env, Some(scope))?;
        let subquery = self.searched(without_list(rows.plan), query)?;
        Ok(Expr::Exists(Exists::new(subquery, negated)))
    }

    pub(super) fn in_subquery(
        &mut self,
        expr: &ast::Expr,
        query: &Query,
        negated: bool,
        written: &ast::Expr,
        scope: &Scope<'_>,
    ) -> Bound<Expr> {
        if let ast::Expr::Tuple(parts) = expr {
            return self.tuple_in_subquery(parts, query, negated, written, scope);
        }
        let value = self.expr(expr, scope);
        let rows = self.query(query, scope.env, Some(scope));
        let (value, rows) = (value?, rows?);
        let span = self.place(query);
        self.one_column(&rows, span.clone())?;
        let inside = InSubquery::new(Box::new(value), self.searched(rows.plan, query)?, negated);
        // NOT IN of a correlated query is no join of DataFusion's.
        let inside = if negated && !inside.subquery.outer_ref_columns.is_empty() {
            listed(inside, scope).map_err(|error| self.fail(&error, span))?
        } else {
            Expr::InSubquery(inside)
        };
        self.checked(inside, scope, written)
    }

    /// `(a, b) IN (query)`: some row is equal; unknown where none is, but some may be.
    fn tuple_in_subquery(
        &mut self,
        parts: &[ast::Expr],
        query: &Query,
        negated: bool,
        written: &ast::Expr,
        scope: &Scope<'_>,
    ) -> Bound<Expr> {
        let parts: Vec<Expr> = parts.iter().map(|part| self.expr(part, scope)).collect::<Bound<_>>()?;
        let rows = self.query(query, scope.env, Some(scope))?;
        let span = self.place(written);
        if rows.headers.len() != parts.len() {
            let message = format!("a list of {} values compared with {} columns", parts.len(), rows.headers.len());
            return Err(self.report(Diagnostic::error("column-count", message).at(span)));
        }
        let plan = apart(rows.plan).map_err(|error| self.fail(&error, span.clone()))?;
        let schema = Arc::clone(plan.schema());
        let mut equal: Option<Expr> = None;
        for (part, column) in parts.into_iter().zip(schema.columns()) {
            let outer = outer_reference(part, scope);
            let same = self.binary(BinaryOperator::Eq, Expr::Column(column), outer, &schema, At::Expr(written))?;
            equal = Some(equal.map_or(same.clone(), |all| all.and(same)));
        }
        let equal = equal.unwrap_or(lit(true));
        let found = self.some_row(plan.clone(), equal.clone(), written)?;
        let unknown = self.some_row(plan, equal.is_null(), written)?;
        let null = Expr::Literal(ScalarValue::Boolean(None), None);
        let inside = found.or(unknown.and(null));
        self.checked(if negated { Expr::Not(Box::new(inside)) } else { inside }, scope, written)
    }

    /// EXISTS over the rows that fulfil a condition.
    fn some_row(&mut self, plan: LogicalPlan, condition: Expr, written: &ast::Expr) -> Bound<Expr> {
        let filtered = self.filtered(plan, condition, self.place(written))?;
        let subquery = self.subquery(filtered, written);
        Ok(Expr::Exists(Exists::new(subquery, false)))
    }

    /// EXISTS and IN where their value is asked for and not only whether a row stays: DataFusion joins them in filters
    /// alone, so here rows are counted.
    pub(super) fn as_value(&mut self, expr: Expr, scope: &Scope<'_>) -> Bound<Expr> {
        let rewritten = expr.transform_up(|node| match node {
            Expr::Exists(Exists { subquery, negated }) => {
                counted(without_list(subquery.subquery.as_ref().clone()), negated).map(Transformed::yes)
            }
            Expr::InSubquery(inside) => listed(inside, scope).map(Transformed::yes),
            Expr::SetComparison(_) => {
                let message =
                    "ANY and ALL with an order in the SELECT list are not carried out here: compare with MIN or MAX";
                Err(DataFusionError::NotImplemented(message.to_string()))
            }
            node => Ok(Transformed::no(node)),
        });
        let span = self.context.statement.span().clone();
        rewritten.map(|rewritten| rewritten.data).map_err(|error| self.fail(&error, span))
    }

    /// `value = ANY (query)`, `value > ALL (query)`.
    pub(super) fn any_or_all(
        &mut self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
        any: bool,
        written: &ast::Expr,
        scope: &Scope<'_>,
    ) -> Bound<Expr> {
        let span = self.place(written);
        let ast::Expr::Subquery(query) = right else {
            return Err(self.refuse("ANY and ALL take a subquery", span));
        };
        let operator = match op {
            BinaryOperator::Eq => Operator::Eq,
            BinaryOperator::NotEq => Operator::NotEq,
            BinaryOperator::Lt => Operator::Lt,
            BinaryOperator::LtEq => Operator::LtEq,
            BinaryOperator::Gt => Operator::Gt,
            BinaryOperator::GtEq => Operator::GtEq,
            op => return Err(self.refuse(format!("`{op} ANY` is not Snowflake SQL"), span)),
        };
        let value = self.expr(left, scope)?;
        let rows = self.query(query, scope.env, Some(scope))?;
        self.one_column(&rows, span)?;
        let (value, inner) = (Box::new(value), self.searched(rows.plan, query)?);
        Ok(match (operator, any) {
            (Operator::Eq, true) => Expr::InSubquery(InSubquery::new(value, inner, false)),
            (Operator::NotEq, false) => Expr::InSubquery(InSubquery::new(value, inner, true)),
            (operator, any) => {
                let quantifier = if any { SetQuantifier::Any } else { SetQuantifier::All };
                Expr::SetComparison(SetComparison::new(value, inner, operator, quantifier))
            }
        })
    }

    fn one_column(&mut self, rows: &Rows, span: Span) -> Bound<()> {
        if rows.headers.len() == 1 {
            return Ok(());
        }
        let message = format!("a subquery in an expression gives one column, this one {}", rows.headers.len());
        Err(self.report(Diagnostic::error("column-count", message).at(span)))
    }
}

/// Refuses a statement in which subqueries are left that nothing computes: they depend on the outer query in a way that
/// cannot be turned into a join.
pub(super) fn carried_out(
    state: &SessionState,
    plan: &LogicalPlan,
    correlated: &[Span],
) -> Result<(), Vec<Diagnostic>> {
    let Some(first) = correlated.first() else { return Ok(()) };
    let refused = |error: &DataFusionError| vec![super::explained(error).at(first.clone())];
    let optimized = state.optimizer().optimize(plan.clone(), state, |_, _| {}).map_err(|error| refused(&error))?;
    let mut left = false;
    let looked = optimized.apply(|node| {
        left |= matches!(node, LogicalPlan::Subquery(_)) || node.expressions().iter().any(is_correlated);
        Ok(if left { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    looked.map_err(|error| refused(&error))?;
    if !left {
        return Ok(());
    }
    let message = "a subquery that depends on the outer query in this way is not carried out";
    let hint =
        "compare the outer query's columns with `=` in its WHERE, outside of aggregates, LIMIT and UNION, or join";
    Err(vec![Diagnostic::error("unsupported-sql", message).at(first.clone()).hint(hint)])
}

/// Whether an expression holds a subquery that reads columns of an outer query.
fn is_correlated(expr: &Expr) -> bool {
    let correlated = |part: &Expr| {
        Ok(match part {
            Expr::ScalarSubquery(subquery) => !subquery.outer_ref_columns.is_empty(),
            Expr::Exists(exists) => !exists.subquery.outer_ref_columns.is_empty(),
            Expr::InSubquery(inside) => !inside.subquery.outer_ref_columns.is_empty(),
            Expr::SetComparison(compared) => !compared.subquery.outer_ref_columns.is_empty(),
            _ => false,
        })
    };
    expr.exists(correlated).unwrap_or(true)
}

fn subquery(plan: LogicalPlan) -> Subquery {
    let outer_ref_columns = plan.all_out_ref_exprs();
    Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: Default::default() }
}

/// Whether a query's rows come from an aggregate over all rows of its input.
fn is_aggregate_of_all(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::SubqueryAlias(_) => plan.inputs().into_iter().any(is_aggregate_of_all),
        _ => false,
    }
}

/// The rows that a SELECT list is made over: whether there are any does not depend on the list. It must go, since the
/// optimiser adds the outer query's columns to it, and they may have the names of columns that are there.
fn without_list(plan: LogicalPlan) -> LogicalPlan {
    match plan {
        LogicalPlan::Projection(list) => without_list(Arc::unwrap_or_clone(list.input)),
        other => other,
    }
}

/// The same rows under names that no outer query has, so that both can be compared.
fn apart(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let (list, input): (Vec<Expr>, _) = match plan {
        LogicalPlan::Projection(list) => (list.expr.into_iter().map(Expr::unalias).collect(), list.input),
        other => (other.schema().columns().into_iter().map(Expr::Column).collect(), Arc::new(other)),
    };
    let exprs = list.into_iter().enumerate().map(|(at, expr)| expr.alias(format!("#inner{at}"))).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, input)?))
}

/// Whether a query has rows, by their number.
fn counted(plan: LogicalPlan, none: bool) -> Result<Expr, DataFusionError> {
    let rows = datafusion::functions_aggregate::expr_fn::count(lit(1_i64));
    let plan = LogicalPlanBuilder::from(plan).aggregate(Vec::<Expr>::new(), [rows])?.build()?;
    let count = Expr::ScalarSubquery(subquery(plan));
    Ok(if none { count.eq(lit(0_i64)) } else { count.gt(lit(0_i64)) })
}

/// The value of IN: true where a row is equal, NULL where the value or a row is NULL, else false.
fn listed(inside: InSubquery, scope: &Scope<'_>) -> Result<Expr, DataFusionError> {
    let InSubquery { expr, subquery, negated } = inside;
    let plan = apart(subquery.subquery.as_ref().clone())?;
    let Some(column) = plan.schema().columns().into_iter().next() else {
        return Err(DataFusionError::Plan("a subquery without columns".to_string()));
    };
    let column = Expr::Column(column);
    let equal = column.clone().eq(outer_reference(expr.as_ref().clone(), scope));
    let rows = |condition: Expr| -> Result<Expr, DataFusionError> {
        counted(LogicalPlanBuilder::from(plan.clone()).filter(condition)?.build()?, false)
    };
    let unknown = rows(column.is_null())?.or(expr.is_null().and(counted(plan.clone(), false)?));
    let null = Expr::Literal(ScalarValue::Boolean(None), None);
    let value = when(rows(equal)?, lit(true)).when(unknown, null).otherwise(lit(false))?;
    Ok(if negated { Expr::Not(Box::new(value)) } else { value })
}

/// Whether a SELECT calls an aggregate or window function of its own; by name, before anything is bound.
pub(super) fn has_aggregate(select: &Select) -> bool {
    let items = select.projection.iter().any(|item| item.visit(&mut Calls { depth: 0 }).is_break());
    items || select.selection.as_ref().is_some_and(|selection| selection.visit(&mut Calls { depth: 0 }).is_break())
}

struct Calls {
    depth: u32,
}

impl Visitor for Calls {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        let ast::Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let name = function.name.to_string().to_lowercase();
        let aggregate = crate::dialect::functions::is_aggregate(&name) || function.over.is_some();
        if self.depth == 0 && aggregate { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
