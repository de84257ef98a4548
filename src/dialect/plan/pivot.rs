//! PIVOT and UNPIVOT, as aggregates over CASE and as CASE over the names of columns.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Projection, Sort, lit, when,
};
use sqlparser::ast::{self, ExprWithAlias, Ident, NullInclusion, PivotValueSource};

use super::scope::{Env, Rows, Scope, Source};
use super::{At, Binder, Bound};
use crate::diagnostic::Diagnostic;
use crate::name::Name;
use crate::text::Span;

impl<'a> Binder<'a> {
    /// PIVOT: one column for each value, over groups of all columns that are neither pivoted nor aggregated.
    #[expect(clippy::too_many_arguments, reason = "the fields of one node of the AST and their context")]
    pub(super) fn pivot(
        &mut self,
        input: Source,
        aggregates: &[ExprWithAlias],
        columns: &[ast::Expr],
        values: &PivotValueSource,
        default: Option<&ast::Expr>,
        span: Span,
        env: &Env,
        parent: Option<&Scope<'_>>,
    ) -> Bound<Rows> {
        let ([aggregate], [column]) = (aggregates, columns) else {
            return Err(self.refuse("PIVOT takes one aggregate and one column", span));
        };
        let scope = Scope::over(&input, env, parent);
        let column = self.expr(column, &scope)?;
        let bound = self.expr(&aggregate.expr, &scope)?;
        let Expr::AggregateFunction(function) = bound else {
            return Err(self.refuse("PIVOT takes an aggregate function of a column", span));
        };
        let default = default.map(|default| self.expr(default, &scope)).transpose()?;
        let values = self.pivot_values(values, &column, &input.plan, &scope, &span, env, parent)?;
        let used: Vec<_> = function.params.args.iter().flat_map(|arg| arg.column_refs().into_iter().cloned()).collect();
        let keys: Vec<(Name, Expr)> = self.star_columns(None, &scope, &span)?;
        let keys: Vec<(Name, Expr)> = keys
            .into_iter()
            .filter(|(_, key)| *key != column && !matches!(key, Expr::Column(key) if used.contains(key)))
            .collect();
        let mut computed = Vec::new();
        let mut headers: Vec<Name> = keys.iter().map(|(name, _)| name.clone()).collect();
        for (at, (header, value)) in values.into_iter().enumerate() {
            let equal = self.binary(ast::BinaryOperator::Eq, column.clone(), value, &scope.schema, At::Span(&span))?;
            let aggregated = chosen(&function, &equal).map_err(|error| self.fail(&error, span.clone()))?;
            computed.push(aggregated.alias(format!("#pivot{at}")));
            headers.push(header);
        }
        let groups: Vec<Expr> = keys.into_iter().map(|(_, key)| key).collect();
        let node = Aggregate::try_new(Arc::new(input.plan), groups.clone(), computed.clone());
        let node = node.map_err(|error| self.fail(&error, span.clone()))?;
        let outputs = super::group::columns_of(&computed);
        let mut exprs = Vec::new();
        for (at, expr) in groups.into_iter().chain(computed).enumerate() {
            let expr = super::group::rebased(expr, &outputs);
            let is_value = matches!(&expr, Expr::Column(column) if column.name.starts_with("#pivot"));
            let expr = match &default {
                Some(default) if is_value => {
                    datafusion::functions::core::expr_fn::coalesce(vec![expr, default.clone()])
                }
                _ => expr,
            };
            exprs.push(expr.alias(format!("#{at}")));
        }
        let plan = Projection::try_new(exprs, Arc::new(LogicalPlan::Aggregate(node)));
        let plan = plan.map_err(|error| self.fail(&error, span))?;
        Ok(Rows { plan: LogicalPlan::Projection(plan), headers })
    }

    /// The values that become columns, each with its header.
    #[expect(clippy::too_many_arguments, reason = "two sources of values and their context")]
    fn pivot_values(
        &mut self,
        values: &PivotValueSource,
        column: &Expr,
        input: &LogicalPlan,
        scope: &Scope<'_>,
        span: &Span,
        env: &Env,
        parent: Option<&Scope<'_>>,
    ) -> Bound<Vec<(Name, Expr)>> {
        let plan = match values {
            PivotValueSource::List(list) => {
                let mut bound = Vec::new();
                for item in list {
                    let value = self.expr(&item.expr, scope)?;
                    let header = match (&item.alias, &value) {
                        (Some(alias), _) => Name::quoted(alias.value.clone()),
                        (None, Expr::Literal(value, _)) => Name::quoted(value_header(value)),
                        (None, _) => Name::quoted(item.expr.to_string()),
                    };
                    bound.push((header, value));
                }
                return Ok(bound);
            }
            PivotValueSource::Any(order_by) => {
                let sorts = self.sort_keys(order_by, scope)?;
                distinct_values(input.clone(), column.clone(), sorts)
            }
            PivotValueSource::Subquery(query) => Ok(self.query(query, env, parent)?.plan),
        };
        let plan = plan.map_err(|error| self.fail(&error, span.clone()))?;
        let Some(found) = self.context.tables.values(&plan) else {
            let diagnostic =
                Diagnostic::error("pivot-values", "the columns of this PIVOT are only known from the data");
            return Err(self.report(diagnostic.at(span.clone()).hint("list the values in IN (…)")));
        };
        let found = found.map_err(|error| self.fail(&error, span.clone()))?;
        let named = found.into_iter().filter(|value| !value.is_null());
        Ok(named.map(|value| (Name::quoted(value_header(&value)), Expr::Literal(value, None))).collect())
    }

    /// UNPIVOT: one row for each of the listed columns.
    #[expect(clippy::too_many_arguments, reason = "the fields of one node of the AST and their context")]
    pub(super) fn unpivot(
        &mut self,
        input: Source,
        value: &ast::Expr,
        name: &Ident,
        columns: &[ExprWithAlias],
        nulls: Option<&NullInclusion>,
        span: Span,
        env: &Env,
    ) -> Bound<Rows> {
        let ast::Expr::Identifier(value) = value else {
            return Err(self.refuse("UNPIVOT of several value columns is not carried out here", span));
        };
        let scope = Scope::over(&input, env, None);
        let mut listed = Vec::new();
        for item in columns {
            let column = self.expr(&item.expr, &scope)?;
            let label = match (&item.alias, &item.expr) {
                (Some(alias), _) => alias.value.clone(),
                (None, ast::Expr::Identifier(ident)) => ident.value.clone(),
                (None, other) => other.to_string(),
            };
            listed.push((label, column));
        }
        let kept: Vec<(Name, Expr)> = self.star_columns(None, &scope, &span)?;
        let kept: Vec<(Name, Expr)> =
            kept.into_iter().filter(|(_, column)| !listed.iter().any(|(_, own)| own == column)).collect();
        let rows: Vec<Vec<Expr>> =
            (0..listed.len()).map(|at| vec![lit(at as i64), lit(listed[at].0.as_str())]).collect();
        let names = LogicalPlanBuilder::values(rows).and_then(LogicalPlanBuilder::build);
        let names = names.map_err(|error| self.fail(&error, span.clone()))?;
        let (names, labels) = self
            .named(names, vec![Name::quoted("#at"), Name::quoted("#label")], None)
            .map_err(|error| self.fail(&error, span.clone()))?;
        let at = Expr::Column(labels.columns[0].column.clone());
        let label = Expr::Column(labels.columns[1].column.clone());
        let mut branches = listed.iter().enumerate().map(|(index, (_, column))| (lit(index as i64), column.clone()));
        let Some((first, result)) = branches.next() else { return Err(self.refuse("UNPIVOT of no column", span)) };
        let mut chosen = when(at.clone().eq(first), result);
        for (index, column) in branches {
            chosen = chosen.when(at.clone().eq(index), column);
        }
        let chosen = chosen.end().map_err(|error| self.fail(&error, span.clone()))?;
        let crossed = LogicalPlanBuilder::from(input.plan).cross_join(names).and_then(LogicalPlanBuilder::build);
        let crossed = crossed.map_err(|error| self.fail(&error, span.clone()))?;
        let mut headers: Vec<Name> = kept.iter().map(|(name, _)| name.clone()).collect();
        headers.extend([Name::quoted(name.value.clone()), Name::quoted(value.value.clone())]);
        let exprs = kept.into_iter().map(|(_, column)| column).chain([label, chosen]);
        let exprs: Vec<Expr> = exprs.enumerate().map(|(at, expr)| expr.alias(format!("#{at}"))).collect();
        let last = format!("#{}", exprs.len() - 1);
        let plan = Projection::try_new(exprs, Arc::new(crossed)).map_err(|error| self.fail(&error, span.clone()))?;
        let mut plan = LogicalPlan::Projection(plan);
        if !matches!(nulls, Some(NullInclusion::IncludeNulls)) {
            let present = Expr::Column(datafusion::common::Column::new_unqualified(last)).is_not_null();
            plan =
                LogicalPlan::Filter(Filter::try_new(present, Arc::new(plan)).map_err(|error| self.fail(&error, span))?);
        }
        Ok(Rows { plan, headers })
    }
}

/// The aggregate over the rows for which a condition holds.
fn chosen(function: &AggregateFunction, condition: &Expr) -> datafusion::common::Result<Expr> {
    let mut chosen = function.clone();
    for argument in &mut chosen.params.args {
        *argument = when(condition.clone(), argument.clone()).end()?;
    }
    Ok(Expr::AggregateFunction(chosen))
}

/// The distinct values of a column, in its own order unless another is given.
fn distinct_values(
    input: LogicalPlan,
    column: Expr,
    sorts: Vec<datafusion::logical_expr::SortExpr>,
) -> datafusion::common::Result<LogicalPlan> {
    let name = "#value";
    let plan = Projection::try_new(vec![column.clone().alias(name)], Arc::new(input))?;
    let plan = LogicalPlan::Distinct(Distinct::All(Arc::new(LogicalPlan::Projection(plan))));
    let own = Expr::Column(datafusion::common::Column::new_unqualified(name));
    let by_value = |asc| vec![own.clone().sort(asc, false)];
    let expr = match sorts.first() {
        Some(sort) if sort.expr == column => by_value(sort.asc),
        _ => by_value(true),
    };
    Ok(LogicalPlan::Sort(Sort { expr, input: Arc::new(plan), fetch: None }))
}

/// A value as Snowflake names the column it becomes: a text in its quotes.
fn value_header(value: &ScalarValue) -> String {
    match value {
        ScalarValue::Utf8(Some(text)) => format!("'{text}'"),
        ScalarValue::Date32(_) => format!("'{value}'"),
        value => value.to_string(),
    }
}
