//! INSERT: into one table, and into many by conditions.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::logical_expr::LogicalPlan;
use sqlparser::ast::{
    self, Insert, MultiTableInsertIntoClause, MultiTableInsertType, MultiTableInsertValue, TableObject,
};

use super::assign::{SOURCE, Value, append, wrong_count};
use super::catalog::{Place, Relation, Table};
use super::column::TableColumn;
use super::outcome::{Failure, refused, unknown};
use super::tables::{Extra, rows_source};
use super::{Rows, Session};
use crate::diagnostic::Diagnostic;
use crate::dialect::{Dialect, Statement, table_name};
use crate::name::{Name, nearest};
use crate::text::Span;

impl Session {
    /// The table that a statement changes.
    pub(super) fn target(&self, name: &ast::ObjectName, span: &Span) -> Result<(Place, Arc<Table>), Failure> {
        let Some(table) = table_name(name) else {
            return Err(unknown(span, "table", &name.to_string()).into());
        };
        let place = self.catalog.place(&table);
        match self.catalog.relation(&place) {
            Some(Relation::Table(table)) => Ok((place, table.clone())),
            Some(Relation::View(_)) => {
                let message = format!("`{}` is a view: it has no rows of its own to change", table.lower());
                Err(Diagnostic::error("not-a-table", message).at(span.clone()).into())
            }
            Some(Relation::Source(_)) => {
                let message = format!("`{}` is a source of the project: it is only read", table.lower());
                Err(Diagnostic::error("read-only-source", message).at(span.clone()).into())
            }
            None => {
                let names: Vec<String> = self.catalog.all().map(|(place, _)| place.name.lower()).collect();
                let unknown = unknown(span, "table", &table.to_string());
                Err(unknown.did_you_mean(nearest(&table.table.lower(), &names)).into())
            }
        }
    }

    pub(super) async fn insert(&mut self, statement: &Statement, insert: &Insert) -> Result<Rows, Failure> {
        let span = statement.span();
        let TableObject::TableName(name) = &insert.table else {
            return Err(refused(span, "INSERT", "a table's name is due").into());
        };
        let (place, table) = self.target(name, span)?;
        let names = insert.columns.iter().filter_map(|name| name.0.last()?.as_ident().map(|i| i.value.as_str()));
        let listed = listed(&table, names.collect(), span)?;
        let Some(query) = &insert.source else {
            return Err(refused(span, "INSERT", "rows are due").into());
        };
        let query = with_defaults(self, query, &table, &listed, span)?;
        let plan = self.bind_with(&statement.with_ast(ast::Statement::Query(query)), &[])?;
        let given = plan.schema().fields().len();
        if given != listed.len() {
            return Err(wrong_count(span, given, listed.len()).into());
        }
        let values = (0..given).map(Value::Column).collect();
        let columns = columns_from(&table, &listed, values);
        let batches = self.assigned(span, plan, 0, &columns).await?;
        let count = self.add(&place, batches, insert.overwrite).await?;
        Rows::counts(&[("number of rows inserted", count)])
    }

    /// Puts rows into a table, after or instead of those it has.
    async fn add(&mut self, place: &Place, batches: Vec<RecordBatch>, overwrite: bool) -> Result<usize, Failure> {
        let Some(Relation::Table(table)) = self.catalog.relation(place) else {
            return Err(Failure::Failed(format!("table `{}` is gone", place.lower())));
        };
        let mut table = Table::clone(table);
        if overwrite {
            table.base = None;
            table.batches.clear();
        }
        let count = append(&mut table, batches)?;
        if table.base.is_some() && table.columns.iter().any(|column| column.wide) {
            table = self.materialized(&table).await?;
        }
        self.catalog.put_table(place, table);
        Ok(count)
    }

    /// INSERT ALL and INSERT FIRST: the source is read once, then each INTO takes the rows that are its own.
    pub(super) async fn insert_many(&mut self, statement: &Statement, insert: &Insert) -> Result<Rows, Failure> {
        let span = statement.span();
        let Some(query) = &insert.source else { return Err(refused(span, "INSERT ALL", "rows are due").into()) };
        let plan = self.bind_with(&statement.with_ast(ast::Statement::Query(query.clone())), &[])?;
        let source = Rows { columns: Dialect::columns(&plan), batches: self.execute(&plan).await? };
        let mut counts: Vec<(Place, usize)> = Vec::new();
        for (condition, into) in branches(insert) {
            let (place, table) = self.target(&into.table_name, span)?;
            let batches = self.branch(&source, &table, condition.as_deref(), into, span).await?;
            let first = !counts.iter().any(|(other, _)| *other == place);
            let count = self.add(&place, batches, insert.overwrite && first).await?;
            match counts.iter_mut().find(|(other, _)| *other == place) {
                Some((_, total)) => *total += count,
                None => counts.push((place, count)),
            }
        }
        let headers: Vec<_> = counts
            .iter()
            .map(|(place, count)| (format!("number of rows inserted into {}", place.name), *count))
            .collect();
        Rows::counts(&headers.iter().map(|(header, count)| (header.as_str(), *count)).collect::<Vec<_>>())
    }

    async fn branch(
        &self,
        source: &Rows,
        table: &Table,
        condition: Option<&str>,
        into: &MultiTableInsertIntoClause,
        span: &Span,
    ) -> Result<Vec<RecordBatch>, Failure> {
        let listed = listed(table, into.columns.iter().map(|column| column.value.as_str()).collect(), span)?;
        let mut items = Vec::new();
        let mut values = Vec::new();
        let written = into.values.as_ref().map(|values| values.values.as_slice());
        for value in written.unwrap_or_default() {
            match value {
                MultiTableInsertValue::Default => values.push(Value::Default),
                MultiTableInsertValue::Expr(expr) => {
                    values.push(Value::Column(items.len()));
                    items.push(expr.to_string());
                }
            }
        }
        if written.is_none() {
            items = source.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
            values = (0..items.len()).map(Value::Column).collect();
        }
        if values.len() != listed.len() {
            return Err(wrong_count(span, values.len(), listed.len()).into());
        }
        if items.is_empty() {
            items.push("NULL".to_string());
        }
        let filter = condition.map_or(String::new(), |condition| format!(" WHERE {condition}"));
        let sql = format!("SELECT {} FROM \"{SOURCE}\"{filter}", items.join(", "));
        let extra: [Extra; 1] = [(SOURCE, rows_source(source)?)];
        let plan: LogicalPlan = self.bind_generated(&sql, span, &extra)?;
        self.assigned(span, plan, 0, &columns_from(table, &listed, values)).await
    }
}

/// Each INTO with the condition under which it takes a row, as SQL.
fn branches(insert: &Insert) -> Vec<(Option<String>, &MultiTableInsertIntoClause)> {
    let first = insert.multi_table_insert_type == Some(MultiTableInsertType::First);
    let mut branches: Vec<_> = insert.multi_table_into_clauses.iter().map(|into| (None, into)).collect();
    let mut earlier: Vec<String> = Vec::new();
    for when in &insert.multi_table_when_clauses {
        let condition = format!("COALESCE(({}), FALSE)", when.condition);
        let own = match first && !earlier.is_empty() {
            true => format!("{condition} AND NOT ({})", earlier.join(" OR ")),
            false => condition.clone(),
        };
        branches.extend(when.into_clauses.iter().map(|into| (Some(own.clone()), into)));
        earlier.push(condition);
    }
    if let Some(otherwise) = &insert.multi_table_else_clause {
        let condition = format!("NOT ({})", earlier.join(" OR "));
        branches.extend(otherwise.iter().map(|into| (Some(condition.clone()), into)));
    }
    branches
}

/// The table's columns that a list names, in its order; all where there is no list.
pub(super) fn listed(table: &Table, names: Vec<&str>, span: &Span) -> Result<Vec<usize>, Failure> {
    if names.is_empty() {
        return Ok((0..table.columns.len()).collect());
    }
    let mut listed = Vec::new();
    let mut problems = Vec::new();
    for name in names {
        match table.column(&Name::quoted(name)) {
            None => {
                let near = nearest(name, table.columns.iter().map(|column| column.name.as_str()));
                let near = near.map(str::to_lowercase);
                problems.push(unknown(span, "column", name).did_you_mean(near));
            }
            Some(index) if listed.contains(&index) => {
                let message = format!("column `{}` is listed twice", name.to_lowercase());
                problems.push(Diagnostic::error("duplicate-column", message).at(span.clone()));
            }
            Some(index) => listed.push(index),
        }
    }
    if problems.is_empty() { Ok(listed) } else { Err(Failure::Wrong(problems)) }
}

/// Every column of the table with its value: what is listed gets the values in order, the rest its default.
pub(super) fn columns_from(table: &Table, listed: &[usize], values: Vec<Value>) -> Vec<(TableColumn, Value)> {
    let columns = table.columns.iter().enumerate().map(|(index, column)| {
        let position = listed.iter().position(|listed| *listed == index);
        let value = position.and_then(|position| values.get(position).cloned()).unwrap_or(Value::Default);
        (column.clone(), value)
    });
    columns.collect()
}

/// The query with the defaults of the columns where VALUES says DEFAULT.
fn with_defaults(
    session: &Session,
    query: &ast::Query,
    table: &Table,
    listed: &[usize],
    span: &Span,
) -> Result<Box<ast::Query>, Failure> {
    let mut query = Box::new(query.clone());
    let ast::SetExpr::Values(values) = query.body.as_mut() else { return Ok(query) };
    for row in &mut values.rows {
        let row = &mut row.content;
        if row.len() != listed.len() {
            return Err(wrong_count(span, row.len(), listed.len()).into());
        }
        for (expr, index) in row.iter_mut().zip(listed) {
            if is_default(expr) {
                *expr = session.default_expr(&table.columns[*index])?;
            }
        }
    }
    Ok(query)
}

/// Whether an expression is the bare word DEFAULT.
pub(super) fn is_default(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Identifier(name) => name.quote_style.is_none() && name.value.eq_ignore_ascii_case("DEFAULT"),
        _ => false,
    }
}
