//! A whole query: WITH, set operations, VALUES, ORDER BY over them, LIMIT. It binds no single SELECT.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{
    Distinct, Expr, ExprSchemable, Limit, LogicalPlan, LogicalPlanBuilder, Projection, Sort, SortExpr, Union,
};
use sqlparser::ast::{
    self, Fetch, LimitClause, ObjectName, OrderBy, OrderByKind, Query, SetExpr, SetOperator, SetQuantifier, Visit,
    Visitor,
};

use super::scope::{Env, Rows, Scope, with_cte};
use super::{Binder, Bound, Reported};
use crate::diagnostic::Diagnostic;
use crate::dialect::analyze::alike;
use crate::dialect::coerce;
use crate::dialect::types::SqlType;
use crate::name::Name;

/// Rows to skip and rows to give.
type Limits = (Option<Box<Expr>>, Option<Box<Expr>>);

impl<'a> Binder<'a> {
    /// Binds a query with everything around its body.
    pub(super) fn query(&mut self, query: &Query, env: &Env, parent: Option<&Scope<'_>>) -> Bound<Rows> {
        stacker::maybe_grow(256 * 1024, 4 * 1024 * 1024, || self.query_inside(query, env, parent))
    }

    fn query_inside(&mut self, query: &Query, env: &Env, parent: Option<&Scope<'_>>) -> Bound<Rows> {
        let Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        // FOR UPDATE locks rows against other sessions; there are none.
        let shared = locks.iter().any(|lock| lock.lock_type != ast::LockType::Update || lock.of.is_some());
        let foreign = shared || for_clause.is_some() || settings.is_some() || format_clause.is_some();
        if foreign || !pipe_operators.is_empty() {
            let span = self.place(query);
            return Err(
                self.refuse("`FOR SHARE`, `SETTINGS`, `FORMAT` and `|>` after a query are not Snowflake SQL", span)
            );
        }
        let env = match with {
            Some(with) => self.with(with, env, parent)?,
            None => env.clone(),
        };
        let rows = match body.as_ref() {
            SetExpr::Select(select) => self.select(select, order_by.as_ref(), &env, parent)?,
            body => {
                let rows = self.set_expr(body, &env, parent)?;
                match order_by {
                    Some(order_by) => self.sorted(rows, order_by, forgets_order(body), &env, parent)?,
                    None => rows,
                }
            }
        };
        let top = match body.as_ref() {
            SetExpr::Select(select) => select.top.as_ref(),
            _ => None,
        };
        let limits = self.limits(limit_clause.as_ref(), fetch.as_ref(), top, &env)?;
        Ok(limited(rows, limits))
    }

    fn with(&mut self, with: &ast::With, env: &Env, parent: Option<&Scope<'_>>) -> Bound<Env> {
        let mut env = env.clone();
        for cte in &with.cte_tables {
            let name = Name::quoted(cte.alias.name.value.clone());
            if let Some(from) = &cte.from {
                let span = self.word(from);
                return Err(self.refuse("`FROM` after a WITH query is not Snowflake SQL", span));
            }
            let columns: Vec<Name> = cte.alias.columns.iter().map(|c| Name::quoted(c.name.value.clone())).collect();
            let rows = if mentions(&cte.query, &name) {
                self.recursive(&cte.query, &name, &columns, &env, parent)
            } else {
                self.query(&cte.query, &env, parent)
            };
            let rows = rows.and_then(|rows| self.renamed(rows, &columns, &cte.alias));
            env = with_cte(&env, name, rows.ok().map(|rows| (Arc::new(rows.plan), rows.headers)));
        }
        Ok(env)
    }

    /// Applies the column list of an alias.
    pub(super) fn renamed(&mut self, mut rows: Rows, columns: &[Name], alias: &ast::TableAlias) -> Bound<Rows> {
        if columns.is_empty() {
            return Ok(rows);
        }
        if columns.len() != rows.headers.len() {
            let span = self.word(&alias.name);
            let message = format!(
                "`{}` names {} columns of {}",
                alias.name.value.to_lowercase(),
                columns.len(),
                rows.headers.len()
            );
            return Err(self.report(Diagnostic::error("column-count", message).at(span)));
        }
        rows.headers = columns.to_vec();
        Ok(rows)
    }

    /// A WITH query that reads itself: its branches without the name are the start, those with it the step.
    fn recursive(
        &mut self,
        query: &Query,
        name: &Name,
        columns: &[Name],
        env: &Env,
        parent: Option<&Scope<'_>>,
    ) -> Bound<Rows> {
        let mut branches = Vec::new();
        union_branches(&query.body, &mut branches);
        let (steps, starts): (Vec<&SetExpr>, Vec<&SetExpr>) = branches.into_iter().partition(|b| reads(b, name));
        if starts.is_empty() {
            // A table of the same name, read by the query that hides it.
            return self.query(query, env, parent);
        }
        if query.order_by.is_some() || query.limit_clause.is_some() || query.with.is_some() {
            let span = self.place(query);
            let message =
                format!("recursive `{}` must be a query that does not read it UNION ALL one that does", name.lower());
            return Err(self.refuse(message, span));
        }
        let mut start = self.union(&starts, env, parent)?;
        if !columns.is_empty() && columns.len() == start.headers.len() {
            start.headers = columns.to_vec();
        }
        start.plan = roomy(start.plan).map_err(|error| self.fail(&error, self.place(query)))?;
        let internal = format!("{}#{}", name.as_str(), self.number());
        let schema = start.plan.schema().inner();
        let nullable = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>();
        let schema = Arc::new(datafusion::arrow::datatypes::Schema::new(nullable));
        let source = provider_as_source(Arc::new(CteWorkTable::new(&internal, schema)));
        let scan = LogicalPlanBuilder::scan(internal.as_str(), source, None).and_then(LogicalPlanBuilder::build);
        let span = self.place(query);
        let scan = scan.map_err(|error| self.fail(&error, span.clone()))?;
        let inner = with_cte(env, name.clone(), Some((Arc::new(scan), start.headers.clone())));
        let step = self.union(&steps, &inner, parent)?;
        self.keeps_digits(&start, &step.plan, &steps)?;
        let plan = LogicalPlanBuilder::from(start.plan).to_recursive_query(internal, step.plan, false);
        let plan = plan.and_then(LogicalPlanBuilder::build).map_err(|error| self.fail(&error, span))?;
        Ok(Rows { plan, headers: start.headers })
    }

    /// Refuses steps whose values the columns, which are as the start makes them, have no room for: digits, times of day.
    fn keeps_digits(&mut self, start: &Rows, step: &LogicalPlan, steps: &[&SetExpr]) -> Bound<()> {
        let fields = start.plan.schema().fields().iter().zip(step.schema().fields());
        for ((of_start, of_step), header) in fields.zip(&start.headers) {
            let kinds = (SqlType::of(of_start.data_type()), SqlType::of(of_step.data_type()));
            let (Some(from), Some(to)) = kinds else { continue };
            let loses = match (from, to) {
                (SqlType::Number { scale, .. }, SqlType::Number { scale: more, .. }) => more > scale,
                (SqlType::Number { .. }, to) => to == SqlType::Float,
                (SqlType::Date, SqlType::TimestampNtz | SqlType::TimestampLtz | SqlType::TimestampTz) => true,
                (SqlType::Null, to) => to != SqlType::Null,
                _ => false,
            };
            if loses {
                let span =
                    steps.first().map_or_else(|| self.context.statement.span().clone(), |step| self.place(*step));
                let message = format!("`{}` starts as {from}, and this step makes {to} of it", header.lower());
                let diagnostic = Diagnostic::error("recursive-type", message).at(span);
                return Err(
                    self.report(diagnostic.hint("cast the column at the start or in the step, so that both agree"))
                );
            }
        }
        Ok(())
    }

    /// Binds a body that is not a lone SELECT.
    pub(super) fn set_expr(&mut self, body: &SetExpr, env: &Env, parent: Option<&Scope<'_>>) -> Bound<Rows> {
        match body {
            SetExpr::Select(select) => {
                let rows = self.select(select, None, env, parent)?;
                let limits = self.limits(None, None, select.top.as_ref(), env)?;
                Ok(limited(rows, limits))
            }
            SetExpr::Query(query) => self.query(query, env, parent),
            SetExpr::Values(values) => self.values(values, env, parent),
            SetExpr::SetOperation { op: SetOperator::Union, set_quantifier: SetQuantifier::All, .. } => {
                let mut branches = Vec::new();
                union_branches(body, &mut branches);
                self.union(&branches, env, parent)
            }
            SetExpr::SetOperation { op, set_quantifier, left, right } => {
                let left_rows = self.set_branch(left, env, parent);
                let right_rows = self.set_branch(right, env, parent);
                let (left_rows, right_rows) = (left_rows?, right_rows?);
                self.set_operation(*op, *set_quantifier, left_rows, right_rows, right)
            }
            SetExpr::Table(_) => {
                let span = self.place(body);
                Err(self.refuse("`TABLE name` is not Snowflake SQL; write `select * from name`", span))
            }
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                let span = self.place(body);
                Err(self.refuse("a statement that changes data cannot be part of a query", span))
            }
        }
    }

    fn set_branch(&mut self, body: &SetExpr, env: &Env, parent: Option<&Scope<'_>>) -> Bound<Rows> {
        stacker::maybe_grow(256 * 1024, 4 * 1024 * 1024, || self.set_expr(body, env, parent))
    }

    fn union(&mut self, branches: &[&SetExpr], env: &Env, parent: Option<&Scope<'_>>) -> Bound<Rows> {
        let bound: Vec<Bound<Rows>> = branches.iter().map(|branch| self.set_branch(branch, env, parent)).collect();
        let rows = bound.into_iter().collect::<Bound<Vec<Rows>>>()?;
        let mut rows = rows.into_iter().zip(branches);
        let Some((first, _)) = rows.next() else { return Err(Reported) };
        let mut inputs = vec![Arc::new(first.plan)];
        for (next, branch) in rows {
            self.same_width(first.headers.len(), &next, branch)?;
            inputs.push(Arc::new(self.aligned(next.plan, &inputs[0], branch)?));
        }
        if inputs.len() == 1 {
            return Ok(Rows { plan: Arc::unwrap_or_clone(inputs.remove(0)), headers: first.headers });
        }
        let plan = united(inputs, &self.zone()).map_err(|error| {
            let span =
                branches.first().map(|b| self.place(*b)).unwrap_or_else(|| self.context.statement.span().clone());
            self.fail(&error, span)
        })?;
        Ok(Rows { plan, headers: first.headers })
    }

    fn same_width(&mut self, width: usize, rows: &Rows, branch: &SetExpr) -> Bound<()> {
        if rows.headers.len() == width {
            return Ok(());
        }
        let span = self.place(branch);
        let message = format!("this query has {} columns, the one before it {width}", rows.headers.len());
        Err(self.report(Diagnostic::error("column-count", message).at(span)))
    }

    /// Gives the columns of a later branch the plan names of the first.
    fn aligned(&mut self, plan: LogicalPlan, first: &LogicalPlan, branch: &SetExpr) -> Bound<LogicalPlan> {
        let names = first.schema().fields().iter().map(|field| field.name().clone());
        let exprs =
            plan.schema().columns().into_iter().zip(names).map(|(column, name)| Expr::Column(column).alias(name));
        let exprs: Vec<Expr> = exprs.collect();
        let span = self.place(branch);
        let aligned = Projection::try_new(exprs, Arc::new(plan));
        aligned.map(LogicalPlan::Projection).map_err(|error| self.fail(&error, span))
    }

    fn set_operation(
        &mut self,
        op: SetOperator,
        quantifier: SetQuantifier,
        left: Rows,
        right: Rows,
        branch: &SetExpr,
    ) -> Bound<Rows> {
        let by_name =
            matches!(quantifier, SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName);
        if by_name {
            return self.union_by_name(op, quantifier, left, right, branch);
        }
        self.same_width(left.headers.len(), &right, branch)?;
        let right = self.aligned(right.plan, &left.plan, branch)?;
        let headers = left.headers;
        self.branches_told_apart(op, [&left.plan, &right], branch)?;
        let plan = match (op, quantifier) {
            (SetOperator::Union, SetQuantifier::None | SetQuantifier::Distinct) => {
                united(vec![Arc::new(left.plan), Arc::new(right)], &self.zone())
                    .map(|union| LogicalPlan::Distinct(Distinct::All(Arc::new(union))))
            }
            (SetOperator::Intersect, SetQuantifier::None | SetQuantifier::Distinct) => {
                self.matched(left.plan, right, LogicalPlanBuilder::intersect)
            }
            (SetOperator::Except | SetOperator::Minus, SetQuantifier::None | SetQuantifier::Distinct) => {
                self.matched(left.plan, right, LogicalPlanBuilder::except)
            }
            (op, quantifier) => {
                let span = self.place(branch);
                return Err(self.refuse(format!("`{op} {quantifier}` is not Snowflake SQL"), span));
            }
        };
        let span = self.place(branch);
        let plan = plan.map_err(|error| self.fail(&error, span))?;
        Ok(Rows { plan, headers })
    }

    /// Refuses an operation that compares rows by text whose collation makes different texts equal.
    fn branches_told_apart(&mut self, op: SetOperator, sides: [&LogicalPlan; 2], branch: &SetExpr) -> Bound<()> {
        for side in sides {
            let columns: Vec<Expr> = side.schema().columns().into_iter().map(Expr::Column).collect();
            let span = self.place(branch);
            self.told_apart(&op.to_string(), &columns, side.schema(), &span)?;
        }
        Ok(())
    }

    fn matched(
        &mut self,
        left: LogicalPlan,
        right: LogicalPlan,
        operation: fn(LogicalPlan, LogicalPlan, bool) -> Result<LogicalPlan, DataFusionError>,
    ) -> Result<LogicalPlan, DataFusionError> {
        let (left, right) = same_types(left, right, &self.zone())?;
        let (left, _) = self.named(left, Vec::new(), None)?;
        let (right, _) = self.named(right, Vec::new(), None)?;
        let names: Vec<String> = left.schema().fields().iter().map(|f| f.name().clone()).collect();
        let plan = operation(left, right, false)?;
        let columns = plan.schema().columns();
        let exprs = columns.into_iter().zip(names).map(|(column, name)| Expr::Column(column).alias(name));
        Ok(LogicalPlan::Projection(Projection::try_new(exprs.collect(), Arc::new(plan))?))
    }

    fn union_by_name(
        &mut self,
        op: SetOperator,
        quantifier: SetQuantifier,
        left: Rows,
        right: Rows,
        branch: &SetExpr,
    ) -> Bound<Rows> {
        let span = self.place(branch);
        if op != SetOperator::Union {
            return Err(self.refuse(format!("`{op} BY NAME` is not Snowflake SQL"), span));
        }
        if quantifier != SetQuantifier::AllByName {
            self.branches_told_apart(op, [&left.plan, &right.plan], branch)?;
        }
        let mut headers = left.headers.clone();
        headers.extend(right.headers.iter().filter(|name| !left.headers.contains(name)).cloned());
        let sides = [left, right].map(|rows| {
            let columns = rows.plan.schema().columns();
            let exprs = headers.iter().map(|header| {
                let column = rows.headers.iter().position(|own| own == header).map(|at| columns[at].clone());
                let value = column.map_or(Expr::Literal(datafusion::common::ScalarValue::Null, None), Expr::Column);
                value.alias(header.as_str())
            });
            Projection::try_new(exprs.collect(), Arc::new(rows.plan)).map(|p| Arc::new(LogicalPlan::Projection(p)))
        });
        let [left, right] = sides;
        let union = left.and_then(|left| united(vec![left, right?], &self.zone()));
        let union = union.map_err(|error| self.fail(&error, span))?;
        let plan = match quantifier {
            SetQuantifier::AllByName => union,
            _ => LogicalPlan::Distinct(Distinct::All(Arc::new(union))),
        };
        Ok(Rows { plan, headers })
    }

    fn values(&mut self, values: &ast::Values, env: &Env, parent: Option<&Scope<'_>>) -> Bound<Rows> {
        let schema = Arc::new(datafusion::common::DFSchema::empty());
        let scope = Scope::empty(schema, env, parent);
        let mut rows = Vec::new();
        let mut failed = false;
        for row in &values.rows {
            let cells: Vec<Bound<Expr>> = row.content.iter().map(|cell| self.expr(cell, &scope)).collect();
            match cells.into_iter().collect::<Bound<Vec<Expr>>>() {
                Ok(cells) => {
                    for (bound, cell) in cells.iter().zip(&row.content) {
                        let what = match bound {
                            bound if has_subquery(bound) => "a subquery cannot stand in VALUES",
                            bound if self.collation_of(bound, &scope.schema).is_some() => {
                                "COLLATE in VALUES is not carried out here"
                            }
                            _ => continue,
                        };
                        let span = self.place(cell);
                        self.report(Diagnostic::error("unsupported-sql", what).at(span));
                        failed = true;
                    }
                    rows.push(cells);
                }
                Err(Reported) => failed = true,
            }
        }
        if failed {
            return Err(Reported);
        }
        let span = values.rows.first().and_then(|row| row.content.first()).map(|cell| self.place(cell));
        let span = span.unwrap_or_else(|| self.context.statement.span().clone());
        let zone = self.zone();
        let rows = crate::dialect::analyze::alike_rows(rows, &zone);
        let plan = rows.and_then(|rows| values_plan(rows, &scope.schema, &zone));
        let plan = plan.map_err(|error| self.fail(&error, span))?;
        let headers = (1..=plan.schema().fields().len()).map(|n| Name::quoted(format!("COLUMN{n}"))).collect();
        Ok(Rows { plan, headers })
    }

    /// ORDER BY over something that is not a lone SELECT: only its own columns are in sight. Rows without an order of their
    /// own that come out equal are told apart `by_all` columns, so that every run gives them alike.
    fn sorted(
        &mut self,
        rows: Rows,
        order_by: &OrderBy,
        by_all: bool,
        env: &Env,
        parent: Option<&Scope<'_>>,
    ) -> Bound<Rows> {
        let columns = rows.plan.schema().columns();
        let outputs: Vec<(Name, Expr)> =
            rows.headers.iter().cloned().zip(columns.into_iter().map(Expr::Column)).collect();
        let mut scope = Scope::empty(Arc::clone(rows.plan.schema()), env, parent);
        scope.outputs = Some(&outputs);
        let mut sorts = self.order_by(order_by, &scope)?;
        for (_, column) in outputs.iter().filter(|_| by_all) {
            if sorts.iter().all(|sort| sort.expr != *column) {
                sorts.push(column.clone().sort(true, false));
            }
        }
        Ok(Rows { plan: sort(rows.plan, sorts), headers: rows.headers })
    }

    /// What LIMIT, OFFSET, FETCH and TOP say.
    fn limits(
        &mut self,
        limit: Option<&LimitClause>,
        fetch: Option<&Fetch>,
        top: Option<&ast::Top>,
        env: &Env,
    ) -> Bound<Limits> {
        let mut count: Option<&ast::Expr> = None;
        let mut skip: Option<&ast::Expr> = None;
        match limit {
            None => {}
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) => {
                if let Some(by) = limit_by.first() {
                    let span = self.place(by);
                    return Err(self.refuse("`LIMIT … BY` is not Snowflake SQL", span));
                }
                count = limit.as_ref();
                skip = offset.as_ref().map(|offset| &offset.value);
            }
            Some(LimitClause::OffsetCommaLimit { offset, .. }) => {
                let span = self.place(offset);
                return Err(
                    self.refuse("`LIMIT offset, count` is not Snowflake SQL; write `LIMIT count OFFSET offset`", span)
                );
            }
        }
        if let Some(fetch) = fetch {
            if fetch.with_ties || fetch.percent {
                let span = self.place(fetch);
                return Err(self.refuse("`FETCH … PERCENT` and `WITH TIES` are not Snowflake SQL", span));
            }
            count = fetch.quantity.as_ref();
        }
        let mut constant = None;
        if let Some(top) = top {
            if top.with_ties || top.percent {
                let span = self.context.statement.span().clone();
                return Err(self.refuse("`TOP … PERCENT` and `WITH TIES` are not Snowflake SQL", span));
            }
            match &top.quantity {
                Some(ast::TopQuantity::Expr(expr)) => count = Some(expr),
                Some(ast::TopQuantity::Constant(n)) => constant = Some(*n),
                None => {}
            }
        }
        let count = match constant {
            Some(n) => Some(Box::new(datafusion::logical_expr::lit(i64::try_from(n).unwrap_or(i64::MAX)))),
            None => self.row_count(count, env)?,
        };
        Ok((self.row_count(skip, env)?, count))
    }

    /// A constant number of rows; NULL and '' mean all of them.
    fn row_count(&mut self, expr: Option<&ast::Expr>, env: &Env) -> Bound<Option<Box<Expr>>> {
        let Some(expr) = expr else { return Ok(None) };
        let scope = Scope::empty(Arc::new(datafusion::common::DFSchema::empty()), env, None);
        let bound = self.expr(expr, &scope)?;
        match &bound {
            Expr::Literal(value, _) if value.is_null() => Ok(None),
            Expr::Literal(datafusion::common::ScalarValue::Utf8(Some(text)), _) if text.is_empty() => Ok(None),
            Expr::Literal(datafusion::common::ScalarValue::Int64(Some(n)), _) if *n >= 0 => Ok(Some(Box::new(bound))),
            _ => {
                let span = self.place(expr);
                Err(self.report(
                    Diagnostic::error("sql-type", "a number of rows must be a constant integer, 0 or more").at(span),
                ))
            }
        }
    }
}

/// Sorts, unless there is nothing to sort by.
pub(super) fn sort(plan: LogicalPlan, sorts: Vec<SortExpr>) -> LogicalPlan {
    if sorts.is_empty() {
        return plan;
    }
    LogicalPlan::Sort(Sort { expr: sorts, input: Arc::new(plan), fetch: None })
}

fn limited(rows: Rows, (skip, fetch): Limits) -> Rows {
    if skip.is_none() && fetch.is_none() {
        return rows;
    }
    let plan = LogicalPlan::Limit(Limit { skip, fetch, input: Arc::new(rows.plan) });
    Rows { plan, ..rows }
}

/// Rows of expressions, each column brought to one type.
fn values_plan(mut rows: Vec<Vec<Expr>>, schema: &DFSchema, zone: &str) -> Result<LogicalPlan, DataFusionError> {
    let width = rows.first().map_or(0, Vec::len);
    if let Some(row) = rows.iter().find(|row| row.len() != width) {
        let message = format!("a row of VALUES has {} values, the first one {width}", row.len());
        return Err(DataFusionError::Plan(message));
    }
    let mut fields = Vec::with_capacity(width);
    for at in 0..width {
        let types = rows.iter().map(|row| row[at].get_type(schema)).collect::<Result<Vec<_>, _>>()?;
        let mut common = DataType::Null;
        for data_type in &types {
            common = common_type(&common, data_type, zone)?;
        }
        for (row, own) in rows.iter_mut().zip(&types) {
            let cell = std::mem::replace(&mut row[at], Expr::Literal(ScalarValue::Null, None));
            row[at] = if *own == common { cell } else { datafusion::logical_expr::cast(cell, common.clone()) };
        }
        fields.push(Field::new(format!("column{}", at + 1), common, true));
    }
    let schema = DFSchema::from_unqualified_fields(fields.into(), std::collections::HashMap::new())?;
    Ok(LogicalPlan::Values(datafusion::logical_expr::Values { schema: Arc::new(schema), values: rows }))
}

/// The type of a column whose values come in two types.
fn common_type(a: &DataType, b: &DataType, zone: &str) -> Result<DataType, DataFusionError> {
    let whole = DataType::Decimal128(38, 0);
    let common = match (a, b) {
        (a, b) if a == b => Some(a.clone()),
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        (DataType::Int64, DataType::Decimal128(_, 0)) | (DataType::Decimal128(_, 0), DataType::Int64) => Some(whole),
        (a, b) => {
            let types = SqlType::of(a).zip(SqlType::of(b));
            types.and_then(|(a, b)| coerce::common(a, b)).map(|common| common.arrow(zone))
        }
    };
    common.ok_or_else(|| {
        let name = |t: &DataType| SqlType::of(t).map_or_else(|| t.to_string(), |t| t.to_string());
        DataFusionError::Plan(format!("a column of two types: {} and {}", name(a), name(b)))
    })
}

/// Brings the columns of two branches to common types, so that they can be compared as keys.
fn same_types(
    left: LogicalPlan,
    right: LogicalPlan,
    zone: &str,
) -> Result<(LogicalPlan, LogicalPlan), DataFusionError> {
    let same = left.schema().fields().iter().zip(right.schema().fields()).all(|(l, r)| l.data_type() == r.data_type());
    if same {
        return Ok((left, right));
    }
    let pairs = left.schema().fields().iter().zip(right.schema().fields());
    let types = pairs.map(|(l, r)| common_type(l.data_type(), r.data_type(), zone)).collect::<Result<Vec<_>, _>>()?;
    let typed = |plan: LogicalPlan| -> Result<LogicalPlan, DataFusionError> {
        let columns = plan.schema().columns().into_iter().zip(plan.schema().fields()).zip(&types);
        let exprs = columns.map(|((column, field), common)| {
            let expr = Expr::Column(column);
            let expr =
                if field.data_type() == common { expr } else { datafusion::logical_expr::cast(expr, common.clone()) };
            expr.alias(field.name())
        });
        let exprs = exprs.collect();
        Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?))
    };
    Ok((typed(left)?, typed(right)?))
}

/// The start of a recursive query, with room in its numbers for what the steps add.
fn roomy(start: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let columns = start.schema().columns().into_iter().zip(start.schema().fields());
    let exprs = columns.map(|(column, field)| match field.data_type() {
        DataType::Decimal128(1..38, scale) => {
            let number = DataType::Decimal128(38, *scale);
            datafusion::logical_expr::cast(Expr::Column(column), number).alias(field.name())
        }
        _ => Expr::Column(column),
    });
    let exprs: Vec<Expr> = exprs.collect();
    if exprs.iter().all(|expr| matches!(expr, Expr::Column(_))) {
        return Ok(start);
    }
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(start))?))
}

fn has_subquery(expr: &Expr) -> bool {
    let is_one = |expr: &Expr| Ok(matches!(expr, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_)));
    expr.exists(is_one).unwrap_or(true)
}

/// Whether a query compares its rows with each other and so gives them in no order.
fn forgets_order(body: &SetExpr) -> bool {
    match body {
        SetExpr::SetOperation { op, set_quantifier, .. } => {
            !matches!((op, set_quantifier), (SetOperator::Union, SetQuantifier::All))
        }
        _ => false,
    }
}

/// The rows of all inputs, whose columns have the types of the whole from here on.
fn united(inputs: Vec<Arc<LogicalPlan>>, zone: &str) -> Result<LogicalPlan, DataFusionError> {
    Union::try_new_with_loose_types(inputs).and_then(|union| alike(union, zone)).map(LogicalPlan::Union)
}

/// The branches of a chain of UNION ALL, in order.
fn union_branches<'s>(body: &'s SetExpr, branches: &mut Vec<&'s SetExpr>) {
    let mut spine = Vec::new();
    let mut next = body;
    while let SetExpr::SetOperation { op: SetOperator::Union, set_quantifier: SetQuantifier::All, left, right } = next {
        spine.push(right.as_ref());
        next = left;
    }
    branches.push(next);
    branches.extend(spine.into_iter().rev());
}

fn mentions(query: &Query, name: &Name) -> bool {
    query.visit(&mut Mentions(name)).is_break()
}

fn reads(body: &SetExpr, name: &Name) -> bool {
    body.visit(&mut Mentions(name)).is_break()
}

struct Mentions<'n>(&'n Name);

impl Visitor for Mentions<'_> {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        match relation.0.as_slice() {
            [part] if part.as_ident().is_some_and(|ident| ident.value == self.0.as_str()) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Whether ORDER BY sorts by every column.
pub(super) fn is_order_by_all(order_by: &OrderBy) -> bool {
    matches!(order_by.kind, OrderByKind::All(_))
}
