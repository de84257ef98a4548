//! GROUP BY: its forms, the aggregate functions of the other clauses, and the rewriting of expressions that stand over
//! groups or windows into columns of what was computed.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, ScalarValue};
use datafusion::logical_expr::expr::GroupingSet;
use datafusion::logical_expr::utils::{find_aggregate_exprs, find_window_exprs, grouping_set_to_exprlist};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Projection};
use hashbrown::HashMap;
use sqlparser::ast::{self, GroupByExpr, Select};

use super::item::Item;
use super::scope::Scope;
use super::select::Parts;
use super::{Binder, Bound, Reported};
use crate::diagnostic::Diagnostic;

/// What was computed, and the column that now holds it.
pub(super) type Columns = HashMap<Expr, Expr>;

/// The columns that a node gives for these expressions.
pub(super) fn columns_of(exprs: &[Expr]) -> Columns {
    exprs.iter().map(|expr| (expr.clone(), column_of(expr))).collect()
}

fn column_of(expr: &Expr) -> Expr {
    match expr {
        Expr::Column(_) => expr.clone(),
        Expr::Alias(alias) => Expr::Column(Column::new(alias.relation.clone(), alias.name.clone())),
        _ => Expr::Column(Column::new_unqualified(expr.schema_name().to_string())),
    }
}

/// The same expressions, those whose name another has too under a name of their own: a cast does not show in a name.
pub(super) fn named_apart(exprs: &[Expr]) -> Vec<Expr> {
    let mut taken = hashbrown::HashSet::new();
    let apart = exprs.iter().enumerate().map(|(at, expr)| match taken.insert(expr.schema_name().to_string()) {
        true => expr.clone(),
        false => expr.clone().alias(format!("#{at}:{}", expr.schema_name())),
    });
    apart.collect()
}

/// The columns that a node gives for these expressions, where it has them under the names of `named`.
pub(super) fn columns_under(exprs: &[Expr], named: &[Expr]) -> Columns {
    exprs.iter().zip(named).map(|(expr, named)| (expr.clone(), column_of(named))).collect()
}

/// The expression with every computed part replaced by its column.
pub(super) fn rebased(expr: Expr, columns: &Columns) -> Expr {
    let rewritten = expr.transform_down(|node| match columns.get(&node) {
        Some(column) => Ok(Transformed::new(column.clone(), true, TreeNodeRecursion::Jump)),
        None => Ok(Transformed::no(node)),
    });
    rewritten.map_or(Expr::Literal(ScalarValue::Null, None), |rewritten| rewritten.data)
}

impl<'a> Binder<'a> {
    /// Puts groups over a plan where the SELECT has any, and rewrites its expressions over them.
    pub(super) fn grouped(
        &mut self,
        select: &Select,
        plan: LogicalPlan,
        parts: &mut Parts,
        scope: &Scope<'_>,
    ) -> Bound<LogicalPlan> {
        let groups = self.groups(select, &parts.items, scope)?;
        let aggregates = find_aggregate_exprs(parts.exprs());
        let span = self.place(select);
        if groups.is_none() && aggregates.is_empty() {
            if parts.having.is_some() {
                let span = select.having.as_ref().map_or(span, |having| self.place(having));
                let diagnostic =
                    Diagnostic::error("having-without-groups", "HAVING without GROUP BY or aggregate").at(span);
                return Err(self.report(diagnostic.hint("use WHERE")));
            }
            return Ok(plan);
        }
        let groups = groups.unwrap_or_default();
        for aggregate in &aggregates {
            self.refuse_nested(aggregate, select)?;
        }
        let keys: Vec<Expr> = match grouping_set_to_exprlist(&groups) {
            Ok(keys) => keys.into_iter().cloned().collect(),
            Err(error) => return Err(self.fail(&error, span)),
        };
        for aggregate in &aggregates {
            self.of_keys(aggregate, &keys, &span)?;
        }
        self.told_apart("GROUP BY", &keys, &scope.schema, &span)?;
        let (plan, computed) = with_subqueries(plan, &aggregates).map_err(|error| self.fail(&error, span.clone()))?;
        let named = named_apart(&computed);
        let node = Aggregate::try_new(Arc::new(plan), groups, named.clone());
        let node = node.map_err(|error| self.fail(&error, span))?;
        let plan = LogicalPlan::Aggregate(node);
        let mut columns = columns_under(&aggregates, &named);
        columns.extend(columns_of(&keys));
        let Ok(()) = parts.map(|expr| Ok::<_, std::convert::Infallible>(rebased(expr, &columns)));
        self.only_grouped(&plan, parts, scope)?;
        Ok(plan)
    }

    /// Reports every column that is neither grouped by nor inside an aggregate.
    fn only_grouped(&mut self, plan: &LogicalPlan, parts: &Parts, scope: &Scope<'_>) -> Bound<()> {
        let schema = plan.schema();
        let mut loose: Vec<Column> = Vec::new();
        for expr in parts.exprs() {
            let visited = expr.apply(|node| {
                if let Expr::Column(column) = node
                    && !schema.has_column(column)
                    && scope.schema.has_column(column)
                {
                    loose.push(column.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            });
            debug_assert!(visited.is_ok());
        }
        if loose.is_empty() {
            return Ok(());
        }
        for column in &loose {
            let span = column.spans.first().map(|span| self.context.statement.place(parser_span(span)));
            let span = span.unwrap_or_else(|| self.context.statement.span().clone());
            let mut known = scope.relations.iter().flat_map(|relation| &relation.columns);
            let written = known.find(|known| known.column == *column).map(|known| known.name.lower());
            let name = written.unwrap_or_else(|| column.name.to_lowercase());
            let message = format!("`{name}` is neither in GROUP BY nor inside an aggregate");
            self.report(Diagnostic::error("not-grouped", message).at(span));
        }
        Err(Reported)
    }

    /// Reports GROUPING of what is not grouped by.
    fn of_keys(&mut self, aggregate: &Expr, keys: &[Expr], span: &crate::text::Span) -> Bound<()> {
        let Expr::AggregateFunction(function) = aggregate else { return Ok(()) };
        if function.func.name() != "grouping" || function.params.args.iter().all(|arg| keys.contains(arg)) {
            return Ok(());
        }
        let message = "the arguments of `grouping` must stand in GROUP BY";
        Err(self.report(Diagnostic::error("not-grouped", message).at(span.clone())))
    }

    fn refuse_nested(&mut self, aggregate: &Expr, select: &Select) -> Bound<()> {
        let Expr::AggregateFunction(function) = aggregate else { return Ok(()) };
        let inside = function.params.args.iter();
        let span = self.place(select);
        if !find_aggregate_exprs(inside.clone()).is_empty() {
            let message = format!("an aggregate function inside `{}`", function.func.name());
            return Err(self.report(Diagnostic::error("nested-aggregate", message).at(span)));
        }
        if !find_window_exprs(inside).is_empty() {
            let message = format!("a window function inside `{}`", function.func.name());
            return Err(self.report(Diagnostic::error("nested-aggregate", message).at(span)));
        }
        Ok(())
    }

    /// The group keys; none where there is no GROUP BY.
    fn groups(&mut self, select: &Select, items: &[Item], scope: &Scope<'_>) -> Bound<Option<Vec<Expr>>> {
        match &select.group_by {
            GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers) if !modifiers.is_empty() => {
                let span = self.place(select);
                Err(self.refuse("`GROUP BY … WITH` is not Snowflake SQL; write `ROLLUP(…)` or `CUBE(…)`", span))
            }
            GroupByExpr::All(_) => {
                let plain = items.iter().filter(|item| {
                    find_aggregate_exprs([&item.expr]).is_empty() && find_window_exprs([&item.expr]).is_empty()
                });
                let mut keys = Vec::new();
                for item in plain {
                    if !matches!(item.expr, Expr::Literal(..)) && !keys.contains(&item.expr) {
                        keys.push(item.expr.clone());
                    }
                }
                Ok(Some(keys))
            }
            GroupByExpr::Expressions(written, _) if written.is_empty() => Ok(None),
            GroupByExpr::Expressions(written, _) => {
                let keys: Vec<Bound<Vec<Expr>>> = written.iter().map(|key| self.group(key, items, scope)).collect();
                let keys: Vec<Expr> = keys.into_iter().collect::<Bound<Vec<_>>>()?.into_iter().flatten().collect();
                let sets = keys.iter().any(|key| matches!(key, Expr::GroupingSet(_)));
                let mut unique = Vec::new();
                for key in keys {
                    if !unique.contains(&key) {
                        unique.push(key);
                    }
                }
                if sets {
                    let span = self.place(select);
                    let keys = datafusion::logical_expr::utils::enumerate_grouping_sets(unique);
                    return keys.map(Some).map_err(|error| self.fail(&error, span));
                }
                Ok(Some(unique))
            }
        }
    }

    fn group(&mut self, written: &ast::Expr, items: &[Item], scope: &Scope<'_>) -> Bound<Vec<Expr>> {
        match written {
            ast::Expr::Rollup(sets) => {
                let sets = self.group_sets(sets, items, scope)?;
                Ok(vec![Expr::GroupingSet(rollup(sets))])
            }
            ast::Expr::Cube(sets) => {
                let sets = self.group_sets(sets, items, scope)?;
                Ok(vec![Expr::GroupingSet(cube(sets))])
            }
            ast::Expr::GroupingSets(sets) => {
                let sets = self.group_sets(sets, items, scope)?;
                Ok(vec![Expr::GroupingSet(GroupingSet::GroupingSets(sets))])
            }
            ast::Expr::Tuple(keys) => {
                let keys: Vec<Bound<Expr>> = keys.iter().map(|key| self.group_key(key, items, scope)).collect();
                keys.into_iter().collect()
            }
            key => Ok(vec![self.group_key(key, items, scope)?]),
        }
    }

    fn group_sets(&mut self, sets: &[Vec<ast::Expr>], items: &[Item], scope: &Scope<'_>) -> Bound<Vec<Vec<Expr>>> {
        let mut bound = Vec::new();
        for set in sets {
            let keys: Vec<Bound<Expr>> = set.iter().map(|key| self.group_key(key, items, scope)).collect();
            bound.push(keys.into_iter().collect::<Bound<Vec<Expr>>>()?);
        }
        Ok(bound)
    }

    /// One key: a position in the list, a column, an alias or an expression.
    fn group_key(&mut self, written: &ast::Expr, items: &[Item], scope: &Scope<'_>) -> Bound<Expr> {
        let mut inner = written;
        while let ast::Expr::Nested(nested) = inner {
            inner = nested;
        }
        let key = match inner {
            ast::Expr::Value(value) if matches!(value.value, ast::Value::Number(..)) => {
                let position = value.value.to_string().parse::<usize>().ok();
                let item = position.and_then(|at| items.get(at.checked_sub(1)?));
                match item {
                    Some(item) => item.expr.clone(),
                    None => {
                        let span = self.place(inner);
                        let (written, count) = (&value.value, items.len());
                        let message = match position {
                            Some(_) => format!("`GROUP BY {written}`: the list has {count} columns"),
                            None => format!("`GROUP BY {written}`: a position is a whole number from 1 to {count}"),
                        };
                        return Err(self.report(Diagnostic::error("unknown-column", message).at(span)));
                    }
                }
            }
            _ => self.expr(inner, scope)?,
        };
        if !find_aggregate_exprs([&key]).is_empty() || !find_window_exprs([&key]).is_empty() {
            let span = self.place(written);
            let message = "an aggregate or window function in GROUP BY";
            return Err(self.report(Diagnostic::error("aggregate-in-group-by", message).at(span)));
        }
        Ok(key)
    }
}

/// ROLLUP of sets of columns: DataFusion's own takes single columns only.
fn rollup(sets: Vec<Vec<Expr>>) -> GroupingSet {
    let mut prefixes = vec![Vec::new()];
    let mut prefix = Vec::new();
    for set in sets {
        prefix.extend(set);
        prefixes.push(prefix.clone());
    }
    prefixes.reverse();
    GroupingSet::GroupingSets(prefixes)
}

fn cube(sets: Vec<Vec<Expr>>) -> GroupingSet {
    let mut all: Vec<Vec<Expr>> = vec![Vec::new()];
    for set in sets {
        let with: Vec<Vec<Expr>> = all.iter().map(|chosen| chosen.iter().chain(&set).cloned().collect()).collect();
        all.extend(with);
    }
    all.reverse();
    GroupingSet::GroupingSets(all)
}

/// The plan with the subqueries inside aggregates as columns of their own, and the aggregates that read these: DataFusion
/// joins subqueries below projections and filters only.
fn with_subqueries(plan: LogicalPlan, aggregates: &[Expr]) -> Result<(LogicalPlan, Vec<Expr>), DataFusionError> {
    let mut lifted: Vec<Expr> = Vec::new();
    let mut computed = Vec::with_capacity(aggregates.len());
    for aggregate in aggregates {
        let rewritten = aggregate.clone().transform_down(|node| match node {
            Expr::ScalarSubquery(_) => {
                let name = format!("#subquery{}", lifted.len());
                lifted.push(node.alias(name.as_str()));
                let column = Expr::Column(Column::new_unqualified(name));
                Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
            }
            node => Ok(Transformed::no(node)),
        })?;
        computed.push(rewritten.data);
    }
    if lifted.is_empty() {
        return Ok((plan, computed));
    }
    let columns = plan.schema().columns().into_iter().map(Expr::Column);
    let exprs = columns.chain(lifted).collect();
    Ok((LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?), computed))
}

/// A span as the parser has it, from the one that DataFusion keeps in a column.
pub(super) fn parser_span(span: datafusion::common::Span) -> sqlparser::tokenizer::Span {
    let location = |at: datafusion::common::Location| sqlparser::tokenizer::Location::new(at.line, at.column);
    sqlparser::tokenizer::Span::new(location(span.start), location(span.end))
}
