//! Subqueries inside expressions: scalar, IN, EXISTS, ANY and ALL, with columns of outer queries.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, Subquery};
use sqlparser::ast::{self, BinaryOperator, Query, Select, Visit, Visitor};

use super::scope::{Rows, Scope};
use super::{Binder, Bound};
use crate::diagnostic::Diagnostic;
use crate::text::Span;

impl<'a> Binder<'a> {
    pub(super) fn scalar_subquery(&mut self, query: &Query, scope: &Scope<'_>) -> Bound<Expr> {
        let rows = self.query(query, scope.env, Some(scope))?;
        let span = self.place(query);
        self.one_column(&rows, span)?;
        Ok(Expr::ScalarSubquery(subquery(rows.plan)))
    }

    pub(super) fn exists(&mut self, query: &Query, negated: bool, scope: &Scope<'_>) -> Bound<Expr> {
        let rows = self.query(query, scope.env, Some(scope))?;
        Ok(Expr::Exists(Exists::new(subquery(rows.plan), negated)))
    }

    pub(super) fn in_subquery(
        &mut self,
        expr: &ast::Expr,
        query: &Query,
        negated: bool,
        written: &ast::Expr,
        scope: &Scope<'_>,
    ) -> Bound<Expr> {
        if let ast::Expr::Tuple(_) = expr {
            let span = self.place(written);
            return Err(self.refuse("a list of columns IN a subquery is not carried out here; write EXISTS", span));
        }
        let value = self.expr(expr, scope);
        let rows = self.query(query, scope.env, Some(scope));
        let (value, rows) = (value?, rows?);
        let span = self.place(query);
        self.one_column(&rows, span)?;
        let listed = InSubquery::new(Box::new(value), subquery(rows.plan), negated);
        self.checked(Expr::InSubquery(listed), scope, written)
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
        let (value, inner) = (Box::new(value), subquery(rows.plan));
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

fn subquery(plan: LogicalPlan) -> Subquery {
    let outer_ref_columns = plan.all_out_ref_exprs();
    Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: Default::default() }
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
