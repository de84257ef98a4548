//! One SELECT: the clauses are bound in the order in which names become known, and put together in the order in which rows
//! flow: FROM, WHERE, groups, HAVING, windows, QUALIFY, the list, DISTINCT, ORDER BY.

use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::logical_expr::utils::{find_aggregate_exprs, find_window_exprs};
use datafusion::logical_expr::{Distinct, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Projection, SortExpr};
use sqlparser::ast::{self, OrderBy, Select};

use super::item::{Item, aliases};
use super::query::{is_order_by_all, sort};
use super::scope::{Aliases, Env, Rows, Scope, Source};
use super::{Binder, Bound, Reported};
use crate::diagnostic::Diagnostic;
use crate::name::Name;
use crate::text::Span;

/// The expressions of one SELECT between FROM and the result.
pub(super) struct Parts {
    pub(super) items: Vec<Item>,
    pub(super) having: Option<Expr>,
    pub(super) qualify: Option<Expr>,
    pub(super) sorts: Vec<SortExpr>,
}

impl Parts {
    /// Applies a rewrite to every expression.
    pub(super) fn map<E>(&mut self, mut rewrite: impl FnMut(Expr) -> Result<Expr, E>) -> Result<(), E> {
        let mut apply = |slot: &mut Expr| -> Result<(), E> {
            let expr = std::mem::replace(slot, Expr::Literal(datafusion::common::ScalarValue::Null, None));
            *slot = rewrite(expr)?;
            Ok(())
        };
        for item in &mut self.items {
            apply(&mut item.expr)?;
        }
        for expr in self.having.iter_mut().chain(self.qualify.iter_mut()) {
            apply(expr)?;
        }
        for sort in &mut self.sorts {
            apply(&mut sort.expr)?;
        }
        Ok(())
    }

    pub(super) fn exprs(&self) -> impl Iterator<Item = &Expr> {
        let items = self.items.iter().map(|item| &item.expr);
        let conditions = self.having.iter().chain(self.qualify.iter());
        items.chain(conditions).chain(self.sorts.iter().map(|sort| &sort.expr))
    }
}

impl<'a> Binder<'a> {
    pub(super) fn select(
        &mut self,
        select: &Select,
        order_by: Option<&OrderBy>,
        env: &Env,
        parent: Option<&Scope<'_>>,
    ) -> Bound<Rows> {
        self.refuse_foreign(select)?;
        let rewritten = if self.has_outer_operator { self.outer_operators(select)? } else { None };
        let (from, selection) = match &rewritten {
            Some((from, selection)) => (from, selection.as_ref()),
            None => (&select.from, select.selection.as_ref()),
        };
        let source = self.from(from, env, parent)?;
        let source = match select.connect_by.is_empty() {
            true => source,
            false => self.hierarchy(select, source, env, parent)?,
        };
        let Source { mut plan, relations, merged, sequence } = source;
        let row_number;
        let rows = self.has_table_function.then(|| plan.clone());
        let aliases = Aliases::new(aliases(select));
        let mut scope = Scope::empty(Arc::clone(plan.schema()), env, parent);
        scope.relations = &relations;
        scope.merged = &merged;
        scope.windows = &select.named_window;
        scope.aliases = Some(&aliases);
        scope.sequence = sequence.as_ref();
        scope.rows = rows.as_ref();
        if select.connect_by.is_empty()
            && let Some(predicate) = selection
        {
            let bound = self.predicate(predicate, &scope, "WHERE")?;
            let span = self.place(predicate);
            plan = self.filtered(plan, bound, span)?;
        }
        if self.has_sequence && sequence.is_none() {
            let span = self.place(select);
            let (numbered, number) = self.row_numbers(plan, &span)?;
            plan = numbered;
            row_number = number;
            scope.schema = Arc::clone(plan.schema());
            scope.sequence = Some(&row_number);
        }
        let parts = self.parts(select, order_by, &scope)?;
        self.assembled(select, plan, parts, &scope)
    }

    /// Binds everything between FROM and the result, reporting the errors of all clauses.
    fn parts(&mut self, select: &Select, order_by: Option<&OrderBy>, scope: &Scope<'_>) -> Bound<Parts> {
        let items = self.items(select, scope);
        let having = select.having.as_ref().map(|having| self.boolean(having, scope)).transpose();
        let qualify = select.qualify.as_ref().map(|qualify| self.boolean(qualify, scope)).transpose();
        let (mut items, having, qualify) = (items?, having?, qualify?);
        for item in &mut items {
            let written = std::mem::replace(&mut item.expr, Expr::Literal(datafusion::common::ScalarValue::Null, None));
            item.expr = self.as_value(written, scope)?;
        }
        let sorts = match order_by {
            Some(order_by) if is_order_by_all(order_by) || !items.is_empty() => {
                let outputs: Vec<(Name, Expr)> = items.iter().map(|i| (i.header.clone(), i.expr.clone())).collect();
                let mut scope = scope.clone();
                scope.outputs = Some(&outputs);
                self.order_by(order_by, &scope)?
            }
            _ => Vec::new(),
        };
        Ok(Parts { items, having, qualify, sorts })
    }

    fn assembled(&mut self, select: &Select, plan: LogicalPlan, mut parts: Parts, scope: &Scope<'_>) -> Bound<Rows> {
        let span = self.place(select);
        let mut plan = self.grouped(select, plan, &mut parts, scope)?;
        if let Some(having) = parts.having.take() {
            let span = select.having.as_ref().map_or(span.clone(), |having| self.place(having));
            plan = self.filtered(plan, having, span)?;
        }
        let windows = find_window_exprs(parts.exprs());
        if !windows.is_empty() {
            let named = super::group::named_apart(&windows);
            plan = windowed(plan, &windows, &named).map_err(|error| self.fail(&error, span.clone()))?;
            let columns = super::group::columns_under(&windows, &named);
            let Ok(()) = parts.map(|expr| Ok::<_, std::convert::Infallible>(super::group::rebased(expr, &columns)));
        }
        if let Some(qualify) = parts.qualify.take() {
            let place = select.qualify.as_ref().map_or(span.clone(), |qualify| self.place(qualify));
            if windows.is_empty() {
                let diagnostic =
                    Diagnostic::error("qualify-without-window", "QUALIFY needs a window function").at(place);
                return Err(self.report(diagnostic.hint("use WHERE, or HAVING over groups")));
            }
            plan = self.filtered(plan, qualify, place)?;
        }
        self.listed(select, plan, parts, span)
    }

    /// The SELECT list, DISTINCT and ORDER BY, in which hidden columns may be sorted by.
    fn listed(&mut self, select: &Select, plan: LogicalPlan, parts: Parts, span: Span) -> Bound<Rows> {
        let Parts { items, sorts, .. } = parts;
        let headers: Vec<Name> = items.iter().map(|item| item.header.clone()).collect();
        let names = unique_names(&headers);
        let mut exprs: Vec<Expr> = Vec::with_capacity(items.len());
        for (item, name) in items.iter().zip(&names) {
            exprs.push(item.expr.clone().alias(name.as_str()));
        }
        let mut hidden = Vec::new();
        let mut keys = Vec::new();
        for sort in sorts {
            let known = items.iter().position(|item| item.expr == sort.expr);
            let name = match known {
                Some(at) => names[at].clone(),
                None => {
                    let name = format!("#sort{}", hidden.len());
                    hidden.push(sort.expr.alias(name.as_str()));
                    name
                }
            };
            let column = Expr::Column(datafusion::common::Column::new_unqualified(name));
            keys.push(SortExpr::new(column, sort.asc, sort.nulls_first));
        }
        let distinct = matches!(select.distinct, Some(ast::Distinct::Distinct));
        if distinct && !hidden.is_empty() {
            let message = "ORDER BY of a SELECT DISTINCT can only use its columns";
            return Err(self.report(Diagnostic::error("order-by-distinct", message).at(span)));
        }
        if distinct {
            self.told_apart("DISTINCT", &exprs, plan.schema(), &span)?;
        }
        let has_hidden = !hidden.is_empty();
        exprs.extend(hidden);
        let projection = super::projected(exprs, plan).map_err(|error| self.fail(&error, span.clone()))?;
        let mut plan = projection;
        if distinct {
            plan = LogicalPlan::Distinct(Distinct::All(Arc::new(plan)));
        }
        plan = sort(plan, keys);
        if has_hidden {
            let columns = plan.schema().columns().into_iter().take(names.len()).map(Expr::Column).collect();
            let shown = Projection::try_new(columns, Arc::new(plan)).map_err(|error| self.fail(&error, span))?;
            plan = LogicalPlan::Projection(shown);
        }
        Ok(Rows { plan, headers })
    }

    /// A condition on rows, in which no aggregate and no window may stand.
    pub(super) fn predicate(&mut self, written: &ast::Expr, scope: &Scope<'_>, clause: &str) -> Bound<Expr> {
        let bound = self.boolean(written, scope)?;
        let span = self.place(written);
        if !find_window_exprs([&bound]).is_empty() {
            let diagnostic = Diagnostic::error("window-in-where", format!("a window function in {clause}")).at(span);
            return Err(self.report(diagnostic.hint("use QUALIFY")));
        }
        if !find_aggregate_exprs([&bound]).is_empty() {
            let diagnostic =
                Diagnostic::error("aggregate-in-where", format!("an aggregate function in {clause}")).at(span);
            return Err(self.report(diagnostic.hint("use HAVING")));
        }
        Ok(bound)
    }

    pub(super) fn filtered(&mut self, plan: LogicalPlan, predicate: Expr, span: Span) -> Bound<LogicalPlan> {
        let filter = Filter::try_new(predicate, Arc::new(plan)).map_err(|error| self.fail(&error, span))?;
        Ok(LogicalPlan::Filter(filter))
    }

    /// Refuses whatever the parser reads that Snowflake has not.
    fn refuse_foreign(&mut self, select: &Select) -> Bound<()> {
        let Select {
            select_token: _,
            optimizer_hints,
            distinct,
            select_modifiers,
            top: _,
            top_before_distinct: _,
            projection: _,
            exclude,
            into,
            from: _,
            lateral_views,
            prewhere,
            selection: _,
            connect_by: _,
            group_by: _,
            cluster_by,
            distribute_by,
            sort_by,
            having: _,
            named_window: _,
            qualify: _,
            window_before_qualify: _,
            value_table_mode,
            flavor,
        } = select;
        let foreign = [
            (!optimizer_hints.is_empty(), "optimizer hints"),
            (matches!(distinct, Some(ast::Distinct::On(_))), "`DISTINCT ON`"),
            (select_modifiers.is_some(), "MySQL's SELECT modifiers"),
            (exclude.is_some(), "`EXCLUDE` after the list"),
            (into.is_some(), "`SELECT INTO`"),
            (!lateral_views.is_empty(), "`LATERAL VIEW`"),
            (prewhere.is_some(), "`PREWHERE`"),
            (!cluster_by.is_empty(), "`CLUSTER BY`"),
            (!distribute_by.is_empty(), "`DISTRIBUTE BY`"),
            (!sort_by.is_empty(), "`SORT BY`"),
            (value_table_mode.is_some(), "`SELECT AS STRUCT` and `AS VALUE`"),
            (!matches!(flavor, ast::SelectFlavor::Standard), "a query that starts with FROM"),
        ];
        match foreign.into_iter().find(|(present, _)| *present) {
            None => Ok(()),
            Some((_, what)) => {
                let span = self.place(select);
                self.refuse(format!("{what}: not Snowflake SQL"), span);
                Err(Reported)
            }
        }
    }
}

/// A plan with window functions over it: those of one order together; one that has a name of its own by itself.
fn windowed(plan: LogicalPlan, windows: &[Expr], named: &[Expr]) -> Result<LogicalPlan, DataFusionError> {
    let apart = |(_, named): &(&Expr, &Expr)| matches!(named, Expr::Alias(_));
    let (apart, together): (Vec<_>, Vec<_>) = windows.iter().zip(named).partition(apart);
    let together = together.into_iter().map(|(window, _)| window.clone());
    let mut plan = LogicalPlanBuilder::window_plan(plan, together)?;
    for (_, window) in apart {
        plan = LogicalPlanBuilder::from(plan).window([window.clone()])?.build()?;
    }
    Ok(plan)
}

/// Names for the columns of a plan: the headers, those that come again with a number.
fn unique_names(headers: &[Name]) -> Vec<String> {
    let mut seen = hashbrown::HashSet::new();
    let mut names = Vec::with_capacity(headers.len());
    for header in headers {
        let mut name = header.as_str().to_string();
        let mut count = 1;
        while !seen.insert(name.clone()) {
            count += 1;
            name = format!("{header}:{count}");
        }
        names.push(name);
    }
    names
}
