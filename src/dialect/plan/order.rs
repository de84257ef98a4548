//! ORDER BY of a query, a window or an aggregate.

use datafusion::logical_expr::{Expr, SortExpr};
use sqlparser::ast::{self, OrderBy, OrderByExpr, OrderByKind, OrderByOptions};

use super::scope::Scope;
use super::{Binder, Bound};
use crate::diagnostic::Diagnostic;

impl<'a> Binder<'a> {
    /// ORDER BY of a query; `scope.outputs` are the columns of its result.
    pub(super) fn order_by(&mut self, order_by: &OrderBy, scope: &Scope<'_>) -> Bound<Vec<SortExpr>> {
        if order_by.interpolate.is_some() {
            let span = self.place(order_by);
            return Err(self.refuse("`INTERPOLATE` is not Snowflake SQL", span));
        }
        match &order_by.kind {
            OrderByKind::All(options) => {
                let outputs = scope.outputs.unwrap_or_default();
                Ok(outputs.iter().map(|(_, expr)| sort(expr.clone(), options)).collect())
            }
            OrderByKind::Expressions(keys) => {
                let keys: Vec<Bound<SortExpr>> = keys.iter().map(|key| self.result_key(key, scope)).collect();
                keys.into_iter().collect()
            }
        }
    }

    /// A key of a query's ORDER BY: a position, a column of the result or an expression.
    fn result_key(&mut self, key: &OrderByExpr, scope: &Scope<'_>) -> Bound<SortExpr> {
        let outputs = scope.outputs.unwrap_or_default();
        if let ast::Expr::Value(value) = &key.expr
            && let ast::Value::Number(text, _) = &value.value
        {
            let chosen = text.parse::<usize>().ok().and_then(|at| outputs.get(at.checked_sub(1)?));
            let Some((_, expr)) = chosen else {
                let span = self.place(&key.expr);
                let count = outputs.len();
                let message = match text.parse::<usize>() {
                    Ok(_) => format!("`ORDER BY {text}`: the result has {count} columns"),
                    Err(_) => format!("`ORDER BY {text}`: a position is a whole number from 1 to {count}"),
                };
                return Err(self.report(Diagnostic::error("unknown-column", message).at(span)));
            };
            let expr = self.sorted_by(expr.clone(), scope, &key.expr)?;
            return self.sort_key(key, expr);
        }
        let expr = self.expr(&key.expr, scope)?;
        let expr = self.sorted_by(expr, scope, &key.expr)?;
        self.sort_key(key, expr)
    }

    /// ORDER BY of a window or an aggregate: keys over FROM.
    pub(super) fn sort_keys(&mut self, keys: &[OrderByExpr], scope: &Scope<'_>) -> Bound<Vec<SortExpr>> {
        let mut bound = Vec::new();
        for key in keys {
            let expr = self.expr(&key.expr, scope)?;
            let expr = self.sorted_by(expr, scope, &key.expr)?;
            bound.push(self.sort_key(key, expr)?);
        }
        Ok(bound)
    }

    fn sort_key(&mut self, key: &OrderByExpr, expr: Expr) -> Bound<SortExpr> {
        if key.with_fill.is_some() {
            let span = self.place(&key.expr);
            return Err(self.refuse("`WITH FILL` is not Snowflake SQL", span));
        }
        Ok(sort(expr, &key.options))
    }
}

/// NULL counts as the greatest value unless the author says otherwise.
fn sort(expr: Expr, options: &OrderByOptions) -> SortExpr {
    let asc = options.asc.unwrap_or(true);
    SortExpr::new(expr, asc, options.nulls_first.unwrap_or(!asc))
}
