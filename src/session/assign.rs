//! Rows → rows of a table: implicit casts to the column types, defaults for what is left out, and the bounds that Snowflake
//! enforces (NOT NULL, lengths, digits of seconds). Casts themselves are the dialect's.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray};
use datafusion::arrow::compute::{CastOptions, cast, cast_with_options, concat_batches};
use datafusion::arrow::datatypes::{
    DataType, Int64Type, Schema, Time64NanosecondType, TimeUnit, TimestampNanosecondType,
};
use datafusion::logical_expr::LogicalPlan;
use sqlparser::ast;
use sqlparser::dialect::SnowflakeDialect;
use sqlparser::parser::Parser;

use super::Session;
use super::catalog::Table;
use super::column::{Filler, TableColumn};
use super::outcome::Failure;
use super::sequence::NEXTVAL;
use super::tables::{Extra, numbered};
use crate::diagnostic::Diagnostic;
use crate::dialect::Dialect;
use crate::dialect::types::{MAX_PRECISION, SqlType};
use crate::text::Span;

/// The name under which generated SQL reads the rows that a statement writes.
pub(super) const SOURCE: &str = "$SOURCE";

/// Batches of a table in memory are joined when there are more.
const BATCHES: usize = 64;

/// Where the value of a table's column comes from.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// The source's column of this number.
    Column(usize),
    /// The column's default.
    Default,
}

impl Session {
    /// The rows of a plan, each column of the table from where it is said, cast and checked. `keep` counts columns of the
    /// source that come first and as they are.
    pub(super) async fn assigned(
        &self,
        span: &Span,
        source: LogicalPlan,
        keep: usize,
        columns: &[(TableColumn, Value)],
    ) -> Result<Vec<RecordBatch>, Failure> {
        let given = Dialect::columns(&source);
        let mut items: Vec<String> = (0..keep).map(|index| format!("C{index} AS K{index}")).collect();
        let mut problems = Vec::new();
        for (index, (column, value)) in columns.iter().enumerate() {
            let value = match value {
                Value::Column(from) => {
                    let from_type = given.get(*from).map_or(SqlType::Null, |column| column.sql_type);
                    problems.extend(misfit(span, from_type, column));
                    format!("C{from}")
                }
                Value::Default => self.default_sql(column),
            };
            items.push(format!("CAST({value} AS {}) AS V{index}", column.cast_type()));
        }
        if !problems.is_empty() {
            return Err(Failure::Wrong(problems));
        }
        let sql = format!("SELECT {} FROM \"{SOURCE}\"", items.join(", "));
        let extra: [Extra; 1] = [(SOURCE, numbered(source)?)];
        let plan = self.bind_generated(&sql, span, &extra)?;
        self.execute(&plan).await
    }

    /// The default of a column as SQL.
    pub(super) fn default_sql(&self, column: &TableColumn) -> String {
        match &column.default {
            Filler::None => "NULL".to_string(),
            Filler::Expr(expr) => expr.to_string(),
            Filler::Identity(sequence) => format!("\"{NEXTVAL}\"({})", self.sequences.number(sequence)),
        }
    }

    /// The default of a column as an expression.
    pub(super) fn default_expr(&self, column: &TableColumn) -> Result<ast::Expr, Failure> {
        if let Filler::Expr(expr) = &column.default {
            return Ok(ast::Expr::clone(expr));
        }
        let sql = self.default_sql(column);
        let parsed = Parser::new(&SnowflakeDialect).try_with_sql(&sql).and_then(|mut parser| parser.parse_expr());
        parsed.map_err(|error| Failure::Failed(error.to_string()))
    }

    /// All rows of a plan for all columns of a new table, in order.
    pub(super) async fn fill(&self, span: &Span, source: LogicalPlan, table: &mut Table) -> Result<usize, Failure> {
        let given = source.schema().fields().len();
        if given != table.columns.len() {
            return Err(wrong_count(span, given, table.columns.len()).into());
        }
        let columns: Vec<_> = table.columns.iter().cloned().enumerate().map(|(i, c)| (c, Value::Column(i))).collect();
        let batches = self.assigned(span, source, 0, &columns).await?;
        append(table, batches)
    }
}

/// The error for rows of another width than the columns they are for.
pub(super) fn wrong_count(span: &Span, given: usize, columns: usize) -> Diagnostic {
    let message = format!("{given} values are given for {columns} columns");
    Diagnostic::error("column-count", message).at(span.clone())
}

/// The error where Snowflake does not turn values of one type into the other by itself.
fn misfit(span: &Span, from: SqlType, column: &TableColumn) -> Option<Diagnostic> {
    if assignable(from, column.sql_type) {
        return None;
    }
    let message = format!(
        "type of the value does not match column `{}`: expected {}, got {from}",
        column.name.lower(),
        column.sql_type
    );
    Some(Diagnostic::error("type-mismatch", message).at(span.clone()).hint("cast the value"))
}

/// Whether Snowflake coerces a value of one type to a column of another when it is inserted.
fn assignable(from: SqlType, to: SqlType) -> bool {
    use SqlType as T;
    match (from, to) {
        (T::Null, _) | (T::Variant, _) => !matches!((from, to), (T::Variant, T::Vector(..))),
        (T::Varchar(_), T::Binary | T::Variant | T::Object | T::Array | T::Vector(..)) => false,
        (T::Varchar(_), _) => true,
        (T::Number { .. } | T::Float | T::Boolean, T::Variant | T::Varchar(_)) => true,
        (T::Number { .. } | T::Float | T::Boolean, T::Number { .. } | T::Float | T::Boolean) => true,
        (T::Date | T::TimestampNtz | T::TimestampLtz | T::TimestampTz, T::Varchar(_) | T::Date) => true,
        (T::Date, T::TimestampNtz | T::TimestampLtz | T::TimestampTz) => true,
        (T::TimestampNtz | T::TimestampLtz | T::TimestampTz, T::Time) => true,
        (T::TimestampNtz | T::TimestampLtz | T::TimestampTz, T::TimestampNtz | T::TimestampLtz | T::TimestampTz) => {
            true
        }
        (T::Time, T::Time | T::Varchar(_)) => true,
        (T::Object | T::Array, T::Variant) => true,
        _ => std::mem::discriminant(&from) == std::mem::discriminant(&to),
    }
}

/// Adds rows whose columns stand in the table's order, after checking its bounds.
pub(super) fn append(table: &mut Table, batches: Vec<RecordBatch>) -> Result<usize, Failure> {
    let mut count = 0;
    let mut added = Vec::new();
    for batch in batches {
        count += batch.num_rows();
        let mut arrays = Vec::new();
        for (array, column) in batch.columns().iter().zip(&mut table.columns) {
            arrays.push(settled(array, column)?);
        }
        if batch.num_rows() > 0 {
            added.push(arrays);
        }
    }
    widen(table)?;
    let schema = table.schema("UTC");
    for arrays in added {
        let arrays = fields_as(&arrays, &schema)?;
        table.batches.push(RecordBatch::try_new(schema.clone(), arrays)?);
    }
    if table.batches.len() > BATCHES {
        table.batches = vec![concat_batches(&schema, &table.batches)?];
    }
    Ok(count)
}

/// Brings the rows in memory to the columns' present types: a column may have become wide.
pub(super) fn widen(table: &mut Table) -> Result<(), Failure> {
    let schema = table.schema("UTC");
    for batch in &mut table.batches {
        if batch.schema_ref() != &schema {
            *batch = RecordBatch::try_new(schema.clone(), fields_as(batch.columns(), &schema)?)?;
        }
    }
    Ok(())
}

fn fields_as(arrays: &[ArrayRef], schema: &Schema) -> Result<Vec<ArrayRef>, Failure> {
    let pairs = arrays.iter().zip(schema.fields());
    Ok(pairs.map(|(array, field)| cast(array, field.data_type())).collect::<Result<Vec<_>, _>>()?)
}

/// The values as they rest in the column, checked against its bounds.
pub(super) fn settled(array: &ArrayRef, column: &mut TableColumn) -> Result<ArrayRef, Failure> {
    if !column.nullable && array.logical_null_count() > 0 {
        return Err(Failure::Failed(format!("NULL result in the non-nullable column `{}`", column.name)));
    }
    let array = match column.sql_type {
        SqlType::Number { precision: MAX_PRECISION, scale: 0 } => return integers(array, column),
        _ => cast(array, &column.data_type("UTC"))?,
    };
    match column.sql_type {
        SqlType::Varchar(Some(length)) => characters(&array, length, column)?,
        SqlType::Binary => bytes(&array, column)?,
        SqlType::Time | SqlType::TimestampNtz | SqlType::TimestampLtz | SqlType::TimestampTz => {
            return Ok(rounded_down(&array, column.digits));
        }
        _ => {}
    }
    Ok(array)
}

/// Integers in 64 bits where they fit; the column becomes wide where one does not.
fn integers(array: &ArrayRef, column: &mut TableColumn) -> Result<ArrayRef, Failure> {
    if column.wide {
        return Ok(cast(array, &column.data_type("UTC"))?);
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    match cast_with_options(array, &DataType::Int64, &strict) {
        Ok(narrow) => Ok(narrow),
        Err(_) => {
            column.wide = true;
            Ok(cast_with_options(array, &column.data_type("UTC"), &strict)?)
        }
    }
}

fn characters(array: &ArrayRef, length: u32, column: &TableColumn) -> Result<(), Failure> {
    let length = length as usize;
    let long = array
        .as_string::<i32>()
        .iter()
        .flatten()
        .find(|text| text.len() > length && text.chars().nth(length).is_some());
    match long {
        None => Ok(()),
        Some(text) => {
            let shown: String = text.chars().take(60).collect();
            let column = &column.name;
            Err(Failure::Failed(format!(
                "string '{shown}' is too long for column `{column}` of VARCHAR({length}) and would be truncated"
            )))
        }
    }
}

fn bytes(array: &ArrayRef, column: &TableColumn) -> Result<(), Failure> {
    let Some(length) = column.bytes else { return Ok(()) };
    let long = array.as_binary::<i32>().iter().flatten().find(|bytes| bytes.len() as u64 > length);
    match long {
        None => Ok(()),
        Some(bytes) => {
            let shown = hex::encode_upper(&bytes[..bytes.len().min(30)]);
            let column = &column.name;
            Err(Failure::Failed(format!(
                "binary value '{shown}' is too long for column `{column}` of BINARY({length}) and would be truncated"
            )))
        }
    }
}

/// Fractional seconds beyond the declared digits go.
fn rounded_down(array: &ArrayRef, digits: Option<u8>) -> ArrayRef {
    let Some(unit) = digits.filter(|digits| *digits < 9).map(|digits| 10_i64.pow(9 - u32::from(digits))) else {
        return array.clone();
    };
    let floor = |nanos: i64| nanos.div_euclid(unit) * unit;
    match array.data_type() {
        DataType::Time64(TimeUnit::Nanosecond) => {
            Arc::new(array.as_primitive::<Time64NanosecondType>().unary::<_, Time64NanosecondType>(floor))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            let floored = array.as_primitive::<TimestampNanosecondType>().unary::<_, TimestampNanosecondType>(floor);
            Arc::new(floored.with_timezone_opt(zone.clone()))
        }
        DataType::Struct(fields) => {
            let parts = array.as_struct();
            let utc = rounded_down(parts.column(0), digits);
            Arc::new(StructArray::new(fields.clone(), vec![utc, parts.column(1).clone()], parts.nulls().cloned()))
        }
        _ => array.clone(),
    }
}

/// The row numbers that a statement's query gave as its first kept column.
pub(super) fn row_numbers(batch: &RecordBatch, column: usize) -> Result<Vec<Option<usize>>, Failure> {
    let numbers = cast(batch.column(column), &DataType::Int64)?;
    let numbers = numbers.as_primitive::<Int64Type>();
    Ok(numbers.iter().map(|number| number.and_then(|number| usize::try_from(number).ok())).collect())
}
