//! UPDATE, DELETE and TRUNCATE. Each runs a query that gives the numbers of the rows it is about, and the rows are changed
//! by number.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use datafusion::arrow::compute::{concat_batches, filter_record_batch, interleave};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::{MemTable, provider_as_source};
use sqlparser::ast::{self, AssignmentTarget, Delete, FromTable, TableFactor, TableWithJoins, Update};

use super::assign::{Value, row_numbers, settled, widen};
use super::catalog::{Place, Table};
use super::column::TableColumn;
use super::insert::is_default;
use super::outcome::{Failure, refused, unknown};
use super::tables::{Extra, in_schema};
use super::{Rows, Session};
use crate::diagnostic::Diagnostic;
use crate::dialect::{Statement, table_name};
use crate::name::{Name, nearest};
use crate::text::Span;

/// The name under which generated SQL reads the table that a statement changes.
pub(super) const TARGET: &str = "$TARGET";
/// Its column of row numbers.
pub(super) const ROW: &str = "$ROW";

impl Session {
    /// The same table with all of its rows in one batch in memory.
    pub(super) async fn materialized(&self, table: &Table) -> Result<Table, Failure> {
        let mut table = table.clone();
        if let Some(base) = table.base.take() {
            let stored = Table { base: Some(base), batches: Vec::new(), ..table.clone() };
            let source = provider_as_source(self.provider(&stored)?);
            let plan = datafusion::logical_expr::LogicalPlanBuilder::scan(TARGET, source, None)?.build()?;
            let schema = stored.schema("UTC");
            let mut batches = Vec::new();
            for batch in self.execute(&plan).await? {
                batches.push(in_schema(&batch, &schema)?);
            }
            batches.append(&mut table.batches);
            table.batches = batches;
        }
        widen(&mut table)?;
        let schema = table.schema("UTC");
        table.batches = vec![concat_batches(&schema, &table.batches)?];
        Ok(table)
    }

    /// A table in memory as a relation with a column of row numbers.
    pub(super) fn numbered_rows(&self, table: &Table) -> Result<Extra, Failure> {
        let schema = table.schema(&self.parameters.timezone);
        let mut fields: Vec<_> = schema.fields().iter().map(|field| field.as_ref().clone()).collect();
        fields.push(Field::new(ROW, DataType::Int64, false));
        let numbered = Arc::new(Schema::new(fields));
        let mut first = 0;
        let mut batches = Vec::new();
        for batch in &table.batches {
            let next = first + batch.num_rows() as i64;
            let mut columns = in_schema(batch, &schema)?.columns().to_vec();
            columns.push(Arc::new(Int64Array::from_iter_values(first..next)));
            batches.push(RecordBatch::try_new(numbered.clone(), columns)?);
            first = next;
        }
        Ok((TARGET, provider_as_source(Arc::new(MemTable::try_new(numbered, vec![batches])?))))
    }

    pub(super) async fn update(&mut self, statement: &Statement, update: &Update) -> Result<Rows, Failure> {
        let span = statement.span();
        if !update.table.joins.is_empty() {
            return Err(refused(span, "UPDATE … JOIN", "name the other tables in FROM").into());
        }
        let target = self.changed(&update.table.relation, span).await?;
        let mut columns: Vec<(usize, ast::Expr)> = Vec::new();
        for assignment in &update.assignments {
            let index = assigned_column(&assignment.target, &target.table, span)?;
            if columns.iter().any(|(other, _)| *other == index) {
                let message = format!("column `{}` is set twice", target.table.columns[index].name.lower());
                return Err(Diagnostic::error("duplicate-column", message).at(span.clone()).into());
            }
            let value = match is_default(&assignment.value) {
                true => self.default_expr(&target.table.columns[index])?,
                false => assignment.value.clone(),
            };
            columns.push((index, value));
        }
        let from = match &update.from {
            None => Vec::new(),
            Some(ast::UpdateTableFromKind::AfterSet(tables) | ast::UpdateTableFromKind::BeforeSet(tables)) => {
                tables.clone()
            }
        };
        let mut items = vec![target.row()];
        items.extend(columns.iter().map(|(_, value)| value.clone()));
        let query = query(items, target.from(from), update.selection.clone());
        let plan = self.bind_with(&statement.with_ast(query), std::slice::from_ref(&target.extra))?;
        let assigned = columns.iter().enumerate();
        let assigned: Vec<(TableColumn, Value)> =
            assigned.map(|(at, (index, _))| (target.table.columns[*index].clone(), Value::Column(at + 1))).collect();
        let batches = self.assigned(span, plan, 1, &assigned).await?;
        let indices: Vec<usize> = columns.iter().map(|(index, _)| *index).collect();
        let mut table = target.table;
        let (updated, repeated) = replace(&mut table, &indices, &batches)?;
        self.catalog.put_table(&target.place, table);
        Rows::counts(&[("number of rows updated", updated), ("number of multi-joined rows updated", repeated)])
    }

    pub(super) async fn delete(&mut self, statement: &Statement, delete: &Delete) -> Result<Rows, Failure> {
        let span = statement.span();
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let [TableWithJoins { relation, joins }] = from.as_slice() else {
            return Err(refused(span, "DELETE FROM several tables", "").into());
        };
        if !joins.is_empty() {
            return Err(refused(span, "DELETE … JOIN", "name the other tables in USING").into());
        }
        let target = self.changed(relation, span).await?;
        let using = delete.using.clone().unwrap_or_default();
        let query = query(vec![target.row()], target.from(using), delete.selection.clone());
        let plan = self.bind_with(&statement.with_ast(query), std::slice::from_ref(&target.extra))?;
        let batches = self.execute(&plan).await?;
        let mut table = target.table;
        let mut gone = vec![false; table.rows() as usize];
        for batch in &batches {
            for row in row_numbers(batch, 0)?.into_iter().flatten() {
                gone[row] = true;
            }
        }
        let count = remove(&mut table, &gone)?;
        self.catalog.put_table(&target.place, table);
        Rows::counts(&[("number of rows deleted", count)])
    }

    pub(super) fn truncate(&mut self, if_exists: bool, name: &ast::ObjectName, span: &Span) -> Result<Rows, Failure> {
        let known = table_name(name).map(|name| self.catalog.place(&name));
        if if_exists && known.is_none_or(|place| self.catalog.relation(&place).is_none()) {
            return Rows::done();
        }
        let (place, table) = self.target(name, span)?;
        let emptied = Table { base: None, batches: Vec::new(), ..Table::clone(&table) };
        self.catalog.put_table(&place, emptied);
        Rows::done()
    }

    /// The table that a statement changes, its rows in memory and numbered.
    pub(super) async fn changed(&self, factor: &TableFactor, span: &Span) -> Result<Changed, Failure> {
        let TableFactor::Table { name, alias, args: None, .. } = factor else {
            return Err(refused(span, "a change of something other than a table", "").into());
        };
        let (place, table) = self.target(name, span)?;
        let table = self.materialized(&table).await?;
        let alias = match alias {
            Some(alias) => alias.name.clone(),
            None => ast::Ident::with_quote('"', place.name.as_str()),
        };
        let extra = self.numbered_rows(&table)?;
        Ok(Changed { place, table, alias, extra })
    }
}

/// A table that is being changed.
pub(super) struct Changed {
    pub(super) place: Place,
    pub(super) table: Table,
    pub(super) alias: ast::Ident,
    pub(super) extra: Extra,
}

impl Changed {
    /// Its row number as an expression.
    pub(super) fn row(&self) -> ast::Expr {
        ast::Expr::CompoundIdentifier(vec![self.alias.clone(), ast::Ident::with_quote('"', ROW)])
    }

    /// It, and the other tables.
    fn from(&self, others: Vec<TableWithJoins>) -> Vec<TableWithJoins> {
        let mut from = vec![TableWithJoins { relation: self.factor(), joins: Vec::new() }];
        from.extend(others);
        from
    }

    /// It as a relation of generated SQL.
    pub(super) fn factor(&self) -> TableFactor {
        let alias = ast::TableAlias { explicit: true, name: self.alias.clone(), columns: Vec::new(), at: None };
        TableFactor::Table {
            name: vec![ast::Ident::with_quote('"', TARGET)].into(),
            alias: Some(alias),
            args: None,
            with_hints: Vec::new(),
            version: None,
            with_ordinality: false,
            partitions: Vec::new(),
            json_path: None,
            sample: None,
            index_hints: Vec::new(),
        }
    }
}

/// `SELECT items FROM from WHERE selection`.
pub(super) fn query(items: Vec<ast::Expr>, from: Vec<TableWithJoins>, selection: Option<ast::Expr>) -> ast::Statement {
    let alias = |index: usize| ast::Ident::with_quote('"', format!("I{index}"));
    let projection = items.into_iter().enumerate();
    let projection = projection.map(|(at, expr)| ast::SelectItem::ExprWithAlias { expr, alias: alias(at) }).collect();
    selected(ast::Select { projection, from, selection, ..empty_select() })
}

/// `SELECT * FROM relation`.
pub(super) fn every_column(relation: TableFactor) -> ast::Statement {
    let projection = vec![ast::SelectItem::Wildcard(ast::WildcardAdditionalOptions::default())];
    selected(ast::Select { projection, from: vec![TableWithJoins { relation, joins: Vec::new() }], ..empty_select() })
}

fn selected(select: ast::Select) -> ast::Statement {
    ast::Statement::Query(Box::new(ast::Query {
        with: None,
        body: Box::new(ast::SetExpr::Select(Box::new(select))),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }))
}

fn empty_select() -> ast::Select {
    ast::Select {
        select_token: ast::helpers::attached_token::AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: Vec::new(),
        exclude: None,
        into: None,
        from: Vec::new(),
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: ast::GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        window_before_qualify: false,
        qualify: None,
        value_table_mode: None,
        flavor: ast::SelectFlavor::Standard,
    }
}

/// The column that an assignment sets: its last name counts, as those before it name the table.
pub(super) fn assigned_column(target: &AssignmentTarget, table: &Table, span: &Span) -> Result<usize, Failure> {
    let AssignmentTarget::ColumnName(name) = target else {
        return Err(refused(span, "an assignment to several columns", "").into());
    };
    let column = name.0.last().and_then(|part| part.as_ident()).map(|ident| Name::quoted(ident.value.clone()));
    let index = column.as_ref().and_then(|column| table.column(column));
    index.ok_or_else(|| {
        let shown = column.map_or_else(|| name.to_string(), |column| column.to_string());
        let near = nearest(&shown, table.columns.iter().map(|column| column.name.as_str())).map(str::to_lowercase);
        unknown(span, "column", &shown).did_you_mean(near).into()
    })
}

/// Puts new values into rows by number: batches of a row number and a value for each column. Gives how many rows changed and
/// how many of them were met more than once, where the first values stay.
pub(super) fn replace(
    table: &mut Table,
    columns: &[usize],
    batches: &[RecordBatch],
) -> Result<(usize, usize), Failure> {
    let rows = table.rows() as usize;
    let mut from: Vec<Option<(usize, usize)>> = vec![None; rows];
    let mut met = vec![0_usize; rows];
    for (number, batch) in batches.iter().enumerate() {
        for (at, row) in row_numbers(batch, 0)?.into_iter().enumerate() {
            let Some(row) = row else { continue };
            met[row] += 1;
            from[row].get_or_insert((number, at));
        }
    }
    let updated = met.iter().filter(|count| **count > 0).count();
    let repeated = met.iter().filter(|count| **count > 1).count();
    if updated == 0 {
        return Ok((0, 0));
    }
    for (at, column) in columns.iter().enumerate() {
        let mut settled_values = Vec::new();
        for batch in batches {
            settled_values.push(settled(batch.column(at + 1), &mut table.columns[*column])?);
        }
        widen(table)?;
        splice(table, *column, settled_values, &from)?;
    }
    Ok((updated, repeated))
}

fn splice(
    table: &mut Table,
    column: usize,
    values: Vec<ArrayRef>,
    from: &[Option<(usize, usize)>],
) -> Result<(), Failure> {
    let Some(batch) = table.batches.first() else { return Ok(()) };
    let schema = table.schema("UTC");
    let data_type = schema.field(column).data_type();
    let mut arrays = vec![batch.column(column).clone()];
    for value in values {
        arrays.push(crate::dialect::cast::exactly(&value, data_type)?);
    }
    let places: Vec<(usize, usize)> =
        from.iter().enumerate().map(|(row, new)| new.map_or((0, row), |(number, at)| (number + 1, at))).collect();
    let arrays: Vec<&dyn datafusion::arrow::array::Array> = arrays.iter().map(AsRef::as_ref).collect();
    let mut columns = batch.columns().to_vec();
    columns[column] = interleave(&arrays, &places)?;
    table.batches = vec![RecordBatch::try_new(schema, columns)?];
    Ok(())
}

/// Takes rows out by number.
pub(super) fn remove(table: &mut Table, gone: &[bool]) -> Result<usize, Failure> {
    let stays = BooleanArray::from_iter(gone.iter().map(|gone| Some(!gone)));
    if let Some(batch) = table.batches.first() {
        table.batches = vec![filter_record_batch(batch, &stays)?];
    }
    Ok(gone.iter().filter(|gone| **gone).count())
}
