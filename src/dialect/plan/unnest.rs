//! Subqueries that depend on the outer query in ways that DataFusion does not turn into joins: an inequality below an
//! aggregate, a LIMIT in a LATERAL. Such a subquery is computed once for all the distinct values that it reads of the outer
//! query, its domain, and is then joined to the outer rows by them (Neumann and Kemper, "Unnesting Arbitrary Queries"). It works
//! on bound plans, before types are looked at.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchemaRef, DataFusionError, JoinType, ScalarValue};
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, ExprFunctionExt, Filter, Join, Limit, LogicalPlan, LogicalPlanBuilder, Projection, Sort,
    SortExpr, Subquery, SubqueryAlias, Union, Window, lit,
};

type Planned<T> = Result<T, DataFusionError>;

/// The plan with its dependent subqueries as joins, as far as they can be taken apart.
pub(super) fn unnested(plan: LogicalPlan) -> Planned<LogicalPlan> {
    let mut number = 0;
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Join(join) => lateral(join, &mut number),
        node => scalar(node, &mut number),
    })
    .data()
}

/// A node without the dependent scalar subqueries of its expressions: their values are columns of its input.
fn scalar(node: LogicalPlan, number: &mut u32) -> Planned<Transformed<LogicalPlan>> {
    let inputs = node.inputs();
    let [input] = inputs.as_slice() else { return Ok(Transformed::no(node)) };
    let mut subqueries: Vec<Subquery> = Vec::new();
    for expr in node.expressions() {
        expr.apply(|part| {
            if let Expr::ScalarSubquery(subquery) = part
                && !subquery.outer_ref_columns.is_empty()
                && !subqueries.contains(subquery)
            {
                subqueries.push(subquery.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    let mut plan = (*input).clone();
    let mut columns: Vec<(Expr, Expr)> = Vec::new();
    for subquery in subqueries {
        if subquery.subquery.max_rows().is_none_or(|rows| rows > 1) {
            continue;
        }
        let Some((domain, inner)) = Domain::of(&plan, &subquery.subquery, number)? else { continue };
        let Some(value) = inner.schema().columns().into_iter().nth(domain.width()) else { continue };
        let name = format!("#subquery{number}");
        let rows = domain.keyed(vec![Expr::Column(value).alias(name.as_str())], inner)?;
        let on = domain.equalities()?;
        plan = LogicalPlanBuilder::from(plan).join_on(rows, JoinType::Left, on)?.build()?;
        columns.push((Expr::ScalarSubquery(subquery), column(name)));
    }
    if columns.is_empty() {
        return Ok(Transformed::no(node));
    }
    let columns: super::group::Columns = columns.into_iter().collect();
    let exprs = node.expressions().into_iter().map(|expr| {
        let name = expr.schema_name().to_string();
        let plain = super::group::rebased(expr, &columns);
        // What a node gives keeps its name.
        let gives = matches!(node, LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Window(_));
        if gives && plain.schema_name().to_string() != name { plain.alias(name) } else { plain }
    });
    let schema = Arc::clone(node.schema());
    let rewritten = node.with_new_exprs(exprs.collect(), vec![plan])?;
    Ok(Transformed::yes(shown(rewritten, &schema)?))
}

/// A join with a LATERAL subquery on its right, as a join with its rows for all values of the left.
fn lateral(join: Join, number: &mut u32) -> Planned<Transformed<LogicalPlan>> {
    let (name, subquery) = match join.right.as_ref() {
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, alias, .. }) => match input.as_ref() {
            LogicalPlan::Subquery(subquery) => (Some(alias.clone()), subquery),
            _ => return Ok(Transformed::no(LogicalPlan::Join(join))),
        },
        LogicalPlan::Subquery(subquery) => (None, subquery),
        _ => return Ok(Transformed::no(LogicalPlan::Join(join))),
    };
    if !matches!(join.join_type, JoinType::Inner | JoinType::Left) {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    }
    let Some((domain, inner)) = Domain::of(&join.left, &subquery.subquery, number)? else {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    };
    let own = subquery.subquery.schema().columns().into_iter().map(|column| {
        let field = column.name.clone();
        Expr::Column(column).alias_qualified(name.clone(), field)
    });
    let rows = domain.keyed(own.collect(), inner)?;
    let pairs = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
    let on = domain.equalities()?.into_iter().chain(pairs).chain(join.filter.clone());
    let on = on.collect::<Vec<_>>();
    let joined = LogicalPlanBuilder::from(join.left.as_ref().clone()).join_on(rows, join.join_type, on)?.build()?;
    Ok(Transformed::yes(shown(joined, &join.schema)?))
}

/// The columns of a schema alone.
fn shown(plan: LogicalPlan, schema: &DFSchemaRef) -> Planned<LogicalPlan> {
    if plan.schema().fields().len() == schema.fields().len() {
        return Ok(plan);
    }
    Ok(LogicalPlan::Projection(Projection::try_new(columns(schema.columns()), Arc::new(plan))?))
}

/// The distinct values of the outer query's columns that a subquery reads.
struct Domain {
    plan: LogicalPlan,
    /// What the subquery reads, and the column of the domain that holds it.
    values: Vec<(Expr, Column)>,
    /// For each value whether it is NULL, and the value with something in the place of NULL: both are equal where it is.
    keys: Vec<(Column, Column)>,
}

fn distinct(exprs: Vec<Expr>) -> Vec<Expr> {
    let mut distinct: Vec<Expr> = Vec::new();
    for expr in exprs {
        if !distinct.contains(&expr) {
            distinct.push(expr);
        }
    }
    distinct
}

/// What a column of the outer query is joined by, with some value of its type in the place of NULL: the text of a VARIANT, the
/// instant of a timestamp with an offset, another value as it is.
fn filled(expr: Expr) -> Expr {
    let Expr::OuterReferenceColumn(field, _) = &expr else { return expr };
    let (value, data_type) = match field.data_type() {
        DataType::Struct(fields) => {
            let (name, data_type) = fields.first().map(|part| (part.name().clone(), part.data_type().clone())).unzip();
            let name = name.unwrap_or_default();
            (
                datafusion::functions::core::expr_fn::get_field(expr.clone(), name.as_str()),
                data_type.unwrap_or(DataType::Null),
            )
        }
        other => (expr.clone(), other.clone()),
    };
    match ScalarValue::new_default(&data_type) {
        Ok(some) if !some.is_null() => {
            datafusion::functions::core::expr_fn::coalesce(vec![value, Expr::Literal(some, None)])
        }
        _ => value,
    }
}

/// The same expression over the outer query's own rows.
fn own(expr: Expr) -> Planned<Expr> {
    let plain = expr.transform(|node| match node {
        Expr::OuterReferenceColumn(_, column) => Ok(Transformed::yes(Expr::Column(column))),
        node => Ok(Transformed::no(node)),
    })?;
    Ok(plain.data)
}

fn column(name: String) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

fn columns(columns: Vec<Column>) -> Vec<Expr> {
    columns.into_iter().map(Expr::Column).collect()
}

impl Domain {
    /// The domain of a subquery over these rows, and the subquery over it; none where it has a form that cannot be taken apart.
    fn of(rows: &LogicalPlan, subquery: &LogicalPlan, number: &mut u32) -> Planned<Option<(Self, LogicalPlan)>> {
        let outer = distinct(subquery.all_out_ref_exprs());
        let known = |expr: &Expr| match expr {
            Expr::OuterReferenceColumn(_, column) => rows.schema().has_column(column),
            _ => false,
        };
        if outer.is_empty() || !outer.iter().all(known) || !rows.all_out_ref_exprs().is_empty() {
            return Ok(None);
        }
        *number += 1;
        let domain = Self::new(rows, &outer, *number)?;
        Ok(domain.under(subquery)?.map(|plan| (domain, plan)))
    }

    fn new(rows: &LogicalPlan, outer: &[Expr], number: u32) -> Planned<Self> {
        let (mut exprs, mut values, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for (at, expr) in outer.iter().enumerate() {
            let [value, null, key] = ["value", "null", "key"].map(|part| format!("#{part}{number}.{at}"));
            exprs.push(own(expr.clone())?.alias(value.as_str()));
            exprs.push(own(expr.clone())?.is_null().alias(null.as_str()));
            exprs.push(own(filled(expr.clone()))?.alias(key.as_str()));
            values.push((expr.clone(), Column::new_unqualified(value)));
            keys.push((Column::new_unqualified(null), Column::new_unqualified(key)));
        }
        let projected = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(rows.clone()))?);
        Ok(Self { plan: LogicalPlan::Distinct(Distinct::All(Arc::new(projected))), values, keys })
    }

    /// The key columns and these expressions.
    fn keyed(&self, exprs: Vec<Expr>, plan: LogicalPlan) -> Planned<LogicalPlan> {
        let exprs = self.key_columns().into_iter().chain(exprs).collect();
        Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?))
    }

    /// That the keys are those of an outer row.
    fn equalities(&self) -> Planned<Vec<Expr>> {
        let mut all = Vec::new();
        for ((outer, _), (null, key)) in self.values.iter().zip(&self.keys) {
            all.push(own(outer.clone())?.is_null().eq(Expr::Column(null.clone())));
            all.push(own(filled(outer.clone()))?.eq(Expr::Column(key.clone())));
        }
        Ok(all)
    }

    fn width(&self) -> usize {
        self.values.len() * 3
    }

    /// The domain's columns.
    fn columns(&self) -> Vec<Expr> {
        columns(self.plan.schema().columns())
    }

    /// The key columns, by which rows belong to one row of the domain.
    fn key_columns(&self) -> Vec<Expr> {
        self.keys.iter().flat_map(|(null, key)| [null, key].map(|column| Expr::Column(column.clone()))).collect()
    }

    fn reads(&self, expr: &Expr) -> bool {
        self.values.iter().any(|(outer, _)| outer == expr)
    }

    /// Whether a plan reads nothing of the outer query.
    fn is_free(&self, plan: &LogicalPlan) -> bool {
        !plan.all_out_ref_exprs().iter().any(|expr| self.reads(expr))
    }

    /// An expression that reads the domain; none where a subquery in it reads the outer query too.
    fn over(&self, expr: Expr) -> Planned<Option<Expr>> {
        let mut nested = false;
        let replaced = expr.transform_down(|node| {
            let inside = match &node {
                Expr::ScalarSubquery(subquery) => Some(subquery),
                Expr::Exists(exists) => Some(&exists.subquery),
                Expr::InSubquery(inside) => Some(&inside.subquery),
                Expr::SetComparison(compared) => Some(&compared.subquery),
                _ => None,
            };
            nested |= inside.is_some_and(|subquery| !self.is_free(&subquery.subquery));
            match self.values.iter().find(|(outer, _)| *outer == node) {
                Some((_, column)) => Ok(Transformed::new(Expr::Column(column.clone()), true, TreeNodeRecursion::Jump)),
                None => Ok(Transformed::no(node)),
            }
        })?;
        Ok((!nested).then_some(replaced.data))
    }

    fn all_over(&self, exprs: Vec<Expr>) -> Planned<Option<Vec<Expr>>> {
        exprs.into_iter().map(|expr| self.over(expr)).collect()
    }

    fn sorts_over(&self, sorts: &[SortExpr]) -> Planned<Option<Vec<SortExpr>>> {
        let over = |sort: &SortExpr| {
            Ok(self.over(sort.expr.clone())?.map(|expr| SortExpr::new(expr, sort.asc, sort.nulls_first)))
        };
        sorts.iter().map(over).collect()
    }

    /// A plan for every row of the domain: the domain's columns, then the plan's.
    fn under(&self, plan: &LogicalPlan) -> Planned<Option<LogicalPlan>> {
        if self.is_free(plan) {
            let crossed = LogicalPlanBuilder::from(self.plan.clone()).cross_join(plan.clone())?;
            return Ok(Some(crossed.build()?));
        }
        match plan {
            LogicalPlan::Projection(list) => {
                let (input, exprs) = (self.under(&list.input)?, self.all_over(list.expr.clone())?);
                let Some((input, exprs)) = input.zip(exprs) else { return Ok(None) };
                self.listed(exprs, input).map(Some)
            }
            LogicalPlan::Filter(filter) => {
                let (input, predicate) = (self.under(&filter.input)?, self.over(filter.predicate.clone())?);
                let Some((input, predicate)) = input.zip(predicate) else { return Ok(None) };
                Ok(Some(LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(input))?)))
            }
            LogicalPlan::SubqueryAlias(named) => {
                let Some(input) = self.under(&named.input)? else { return Ok(None) };
                let renamed = named.input.schema().columns().into_iter().map(|column| {
                    let name = column.name.clone();
                    Expr::Column(column).alias_qualified(Some(named.alias.clone()), name)
                });
                self.listed(renamed.collect(), input).map(Some)
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let input = self.under(input)?;
                Ok(input.map(|input| LogicalPlan::Distinct(Distinct::All(Arc::new(input)))))
            }
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
                let (input, expr) = (self.under(&sort.input)?, self.sorts_over(&sort.expr)?);
                let Some((input, expr)) = input.zip(expr) else { return Ok(None) };
                Ok(Some(LogicalPlan::Sort(Sort { expr, input: Arc::new(input), fetch: None })))
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Window(window) => self.window(window),
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Join(_) => self.join(plan),
            LogicalPlan::Union(union) => {
                let inputs = union.inputs.iter().map(|input| Ok(self.under(input)?.map(Arc::new)));
                let Some(inputs) = inputs.collect::<Planned<Option<Vec<_>>>>()? else { return Ok(None) };
                Ok(Some(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?)))
            }
            _ => Ok(None),
        }
    }

    /// A projection that keeps the domain's columns.
    fn listed(&self, exprs: Vec<Expr>, input: LogicalPlan) -> Planned<LogicalPlan> {
        let exprs = self.columns().into_iter().chain(exprs).collect();
        super::projected(exprs, input)
    }

    /// Groups within each row of the domain. An aggregate of all rows has a value where there are none, too: the rows are
    /// joined to the domain then, and what is not one of them is left out by a filter of the aggregate.
    fn aggregate(&self, aggregate: &Aggregate) -> Planned<Option<LogicalPlan>> {
        let (input, groups) = (self.under(&aggregate.input)?, self.all_over(aggregate.group_expr.clone())?);
        let Some(((mut input, groups), mut calls)) = input.zip(groups).zip(self.all_over(aggregate.aggr_expr.clone())?)
        else {
            return Ok(None);
        };
        if groups.iter().any(|group| matches!(group, Expr::GroupingSet(_))) {
            return Ok(None);
        }
        if groups.is_empty() {
            let marked = columns(input.schema().columns()).into_iter().skip(self.width());
            let there = "#there";
            let keys = self.keys.iter().flat_map(|(null, key)| [null, key]).enumerate();
            let keys: Vec<(Column, Column)> =
                keys.map(|(at, own)| (own.clone(), Column::new_unqualified(format!("#own{at}")))).collect();
            let own = keys.iter().map(|(key, own)| Expr::Column(key.clone()).alias(own.name()));
            let rows = own.chain(marked).chain([lit(true).alias(there)]).collect::<Vec<_>>();
            let rows = LogicalPlan::Projection(Projection::try_new(rows, Arc::new(input))?);
            let on = keys.into_iter().map(|(key, own)| Expr::Column(key).eq(Expr::Column(own)));
            let joined = LogicalPlanBuilder::from(self.plan.clone()).join_on(rows, JoinType::Left, on)?;
            input = joined.build()?;
            calls = calls.into_iter().map(|call| filtered(call, &column(there.to_string()))).collect::<Planned<_>>()?;
        }
        let groups = self.columns().into_iter().chain(groups).collect();
        Ok(Some(LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), groups, calls)?)))
    }

    fn window(&self, window: &Window) -> Planned<Option<LogicalPlan>> {
        let (input, calls) = (self.under(&window.input)?, self.all_over(window.window_expr.clone())?);
        let Some((input, calls)) = input.zip(calls) else { return Ok(None) };
        let within = |call: Expr| {
            let rewritten = call.transform_down(|node| match node {
                Expr::WindowFunction(mut call) => {
                    call.params.partition_by.extend(self.key_columns());
                    Ok(Transformed::new(Expr::WindowFunction(call), true, TreeNodeRecursion::Jump))
                }
                node => Ok(Transformed::no(node)),
            })?;
            Ok(rewritten.data)
        };
        let named: Vec<String> = calls.iter().map(|call| call.schema_name().to_string()).collect();
        let calls = calls.into_iter().map(within).collect::<Planned<Vec<_>>>()?;
        let calls = calls.into_iter().zip(named).map(|(call, name)| call.alias(name));
        let calls = calls.collect::<Vec<_>>();
        Ok(Some(LogicalPlanBuilder::from(input).window(calls)?.build()?))
    }

    /// So many rows of each row of the domain, in the order that is below.
    fn limit(&self, limit: &Limit) -> Planned<Option<LogicalPlan>> {
        let constant = |expr: &Option<Box<Expr>>| match expr.as_deref() {
            None => Some(None),
            Some(Expr::Literal(ScalarValue::Int64(Some(count)), _)) => Some(Some(*count)),
            Some(_) => None,
        };
        let (Some(skip), Some(fetch)) = (constant(&limit.skip), constant(&limit.fetch)) else { return Ok(None) };
        let (list, below) = match limit.input.as_ref() {
            LogicalPlan::Projection(list) => (Some(list), list.input.as_ref()),
            other => (None, other),
        };
        let (input, order) = match below {
            LogicalPlan::Sort(sort) => (self.under(&sort.input)?, self.sorts_over(&sort.expr)?),
            other => (self.under(other)?, Some(Vec::new())),
        };
        let Some((input, order)) = input.zip(order) else { return Ok(None) };
        let row = "#row";
        let number = datafusion::functions_window::expr_fn::row_number();
        let number = number.partition_by(self.key_columns()).order_by(order).build()?.alias(row);
        let numbered = LogicalPlanBuilder::from(input).window([number])?.build()?;
        let number =
            datafusion::logical_expr::cast(column(row.to_string()), datafusion::arrow::datatypes::DataType::Int64);
        let skip = skip.unwrap_or(0);
        let mut kept = number.clone().gt(lit(skip));
        if let Some(fetch) = fetch {
            kept = kept.and(number.lt_eq(lit(skip.saturating_add(fetch))));
        }
        let rows = LogicalPlan::Filter(Filter::try_new(kept, Arc::new(numbered))?);
        let exprs = match list {
            Some(list) => self.all_over(list.expr.clone())?,
            None => Some(columns(limit.input.schema().columns())),
        };
        exprs.map(|exprs| self.listed(exprs, rows)).transpose()
    }

    /// A join of which the left side, the right side or both read the outer query.
    fn join(&self, plan: &LogicalPlan) -> Planned<Option<LogicalPlan>> {
        let LogicalPlan::Join(join) = plan else { return Ok(None) };
        let pairs = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
        let conditions: Vec<Expr> = pairs.chain(join.filter.clone()).collect();
        let Some(mut conditions) = self.all_over(conditions)? else { return Ok(None) };
        let with_right = !self.is_free(&join.right);
        let semi = matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti);
        if !(semi || matches!(join.join_type, JoinType::Inner | JoinType::Left)) {
            return Ok(None);
        }
        let Some(left) = self.under(&join.left)? else { return Ok(None) };
        let right = match with_right {
            false => join.right.as_ref().clone(),
            true => {
                let Some(right) = self.under(&join.right)? else { return Ok(None) };
                let mut exprs = columns(right.schema().columns());
                for (at, key) in self.key_columns().into_iter().enumerate() {
                    let own = format!("#right{at}");
                    conditions.push(key.clone().eq(column(own.clone())));
                    exprs.push(key.alias(own));
                }
                let exprs = exprs.split_off(self.width());
                LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(right))?)
            }
        };
        let joined = LogicalPlanBuilder::from(left).join_on(right, join.join_type, conditions)?.build()?;
        self.listed(columns(plan.schema().columns()), joined).map(Some)
    }
}

/// An aggregate over the rows alone that are there.
fn filtered(call: Expr, there: &Expr) -> Planned<Expr> {
    let name = call.schema_name().to_string();
    let rewritten = call.unalias().transform_down(|node| match node {
        Expr::AggregateFunction(mut call) => {
            let there = Box::new(there.clone().is_not_null());
            call.params.filter = Some(match call.params.filter.take() {
                Some(filter) => Box::new(filter.and(*there)),
                None => there,
            });
            Ok(Transformed::new(Expr::AggregateFunction(call), true, TreeNodeRecursion::Jump))
        }
        node => Ok(Transformed::no(node)),
    })?;
    Ok(rewritten.data.alias(name))
}
