//! COLLATE and COLLATION, and what they mean for comparisons, orders and groups: see `collation`.

use std::sync::Arc;

use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, lit};
use sqlparser::ast::{self, BinaryOperator, FunctionArg, FunctionArgExpr};

use super::scope::Scope;
use super::{At, Binder, Bound};
use crate::diagnostic::Diagnostic;
use crate::dialect::analyze::field;
use crate::dialect::collation::{Collation, collated, key_of};
use crate::text::Span;

impl<'a> Binder<'a> {
    /// `x COLLATE 'spec'`.
    pub(super) fn collate(&mut self, inner: Expr, spec: &str, span: Span) -> Bound<Expr> {
        match Collation::parse(spec) {
            Ok(collation) => Ok(collated(inner, collation)),
            Err(message) => Err(self.report(Diagnostic::error("unsupported-sql", message).at(span))),
        }
    }

    /// `COLLATE(x, 'spec')`.
    pub(super) fn collate_call(&mut self, args: &[FunctionArg], scope: &Scope<'_>, span: &Span) -> Bound<Expr> {
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(inner)), FunctionArg::Unnamed(FunctionArgExpr::Expr(spec))] =
            args
        else {
            return Err(self.refuse("COLLATE takes a text and a specification", span.clone()));
        };
        let inner = self.expr(inner, scope)?;
        match self.constant_text(spec) {
            Some(spec) => self.collate(inner, &spec, span.clone()),
            None => Err(self.refuse("the specification of COLLATE must be a constant", span.clone())),
        }
    }

    /// `COLLATION(x)`: the specification that is in force.
    pub(super) fn collation_call(&mut self, args: &[FunctionArg], scope: &Scope<'_>, span: &Span) -> Bound<Expr> {
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(inner))] = args else {
            return Err(self.refuse("COLLATION takes one text", span.clone()));
        };
        let inner = self.expr(inner, scope)?;
        let text = self.collation_of(&inner, &scope.schema).map(|collation| collation.text);
        Ok(text.map_or(Expr::Literal(ScalarValue::Utf8(None), None), lit))
    }

    /// The collation of an expression, if it has one.
    pub(super) fn collation_of(&self, expr: &Expr, schema: &DFSchema) -> Option<Collation> {
        match expr {
            Expr::Literal(..) => None,
            _ => Collation::of(&*field(expr, schema).ok()?),
        }
    }

    /// What a comparison of two operands compares: their keys where one of them has a collation.
    pub(super) fn compared(
        &mut self,
        op: &BinaryOperator,
        left: Expr,
        right: Expr,
        schema: &Arc<DFSchema>,
        at: At<'_>,
    ) -> Bound<(Expr, Expr)> {
        use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
        if !matches!(op, Eq | NotEq | Gt | GtEq | Lt | LtEq) {
            return Ok((left, right));
        }
        let sides = (self.collation_of(&left, schema), self.collation_of(&right, schema));
        let collation = match sides {
            (None, None) => return Ok((left, right)),
            (Some(one), Some(other)) if one != other => {
                let message =
                    format!("text under the collations '{}' and '{}' cannot be compared", one.text, other.text);
                let span = self.at(at);
                return Err(self.report(Diagnostic::error("sql-type", message).at(span)));
            }
            (Some(one), _) | (None, Some(one)) => one,
        };
        if !matches!(op, Eq | NotEq) && !collation.sorted {
            let span = self.at(at);
            return Err(self.unordered(&collation, span));
        }
        Ok((key_of(left, &collation), key_of(right, &collation)))
    }

    /// What an order sorts by: the key of text with a collation.
    pub(super) fn sorted_by(&mut self, expr: Expr, scope: &Scope<'_>, written: &ast::Expr) -> Bound<Expr> {
        match self.collation_of(&expr, &scope.schema) {
            None => Ok(expr),
            Some(collation) if collation.sorted => Ok(key_of(expr, &collation)),
            Some(collation) => {
                let span = self.place(written);
                Err(self.unordered(&collation, span))
            }
        }
    }

    fn unordered(&mut self, collation: &Collation, span: Span) -> super::Reported {
        self.refuse(format!("the order of letters in the collation '{}' is not carried out here", collation.text), span)
    }

    /// Refuses text whose collation makes different texts equal in `what` compares texts by themselves.
    pub(super) fn told_apart(&mut self, what: &str, exprs: &[Expr], schema: &DFSchema, span: &Span) -> Bound<()> {
        for expr in exprs {
            if let Some(collation) = self.collation_of(expr, schema).filter(|collation| !collation.is_exact()) {
                let message =
                    format!("{what} of text under the collation '{}' is not carried out here", collation.text);
                return Err(self.refuse(message, span.clone()));
            }
        }
        Ok(())
    }
}
