//! SQL text from parts: names, numbers, instants and common expressions. The text is Snowflake SQL.

use datafusion::arrow::array::{Array, StringArray, TimestampNanosecondArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;

use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::dialect::types::SqlType;
use crate::name::Name;
use crate::text::{Span, Spanned};

use super::column::infinite;
use super::param::{ColumnName, Instant};
use super::scope::find;

/// A number as a FLOAT.
pub(super) fn float(value: f64) -> String {
    format!("{value}::float")
}

/// An expression of the author's, on lines of its own, so that a comment at its end ends there and its place is found.
pub(super) fn written(expression: &Spanned<String>) -> String {
    format!("(\n{}\n)", expression.value)
}

/// A column as a FLOAT that refuses NaN, unless rows with it are dropped: then the condition that leaves them out is
/// added. Only floats can be NaN.
pub(super) fn number(column: &ColumnName, columns: &[Column], drops: bool, conditions: &mut Vec<String>) -> String {
    let value = format!("{}::float", column.value.sql());
    match find(columns, &column.value).map(|column| column.sql_type) {
        Some(SqlType::Float) if drops => {
            conditions.push(not_nan(&value));
            value
        }
        Some(SqlType::Float) => refusing_nan(&value, &column.value.lower()),
        _ => value,
    }
}

/// The same of a column with which is calculated: infinite numbers are refused too.
pub(super) fn finite(column: &ColumnName, columns: &[Column], drops: bool, conditions: &mut Vec<String>) -> String {
    let value = number(column, columns, drops, conditions);
    match find(columns, &column.value).map(|column| column.sql_type) {
        Some(SqlType::Float) => refusing_infinite(&value, &column.value),
        _ => value,
    }
}

/// A FLOAT that is an error where it is infinite.
pub(super) fn refusing_infinite(value: &str, name: &Name) -> String {
    refusing(value, &format!("abs({value}) = 'inf'::float"), &infinite(name))
}

/// The condition that a FLOAT is NULL or a number.
pub(super) fn not_nan(value: &str) -> String {
    format!("coalesce({value} <> 'NaN'::float, true)")
}

/// A FLOAT that is an error where it is NaN: the text of the error is what cannot be read as a number.
pub(super) fn refusing_nan(value: &str, name: &str) -> String {
    refusing(value, &format!("{value} = 'NaN'::float"), &format!("column `{name}` has NaN; set `on_nan: drop`"))
}

/// A FLOAT that is an error where a condition holds.
pub(super) fn refusing(value: &str, condition: &str, message: &str) -> String {
    let message = message.replace('\'', "''");
    format!("iff({condition}, to_double('{message}: ' || ({value})::varchar), {value})")
}

/// What is told of a parameter that one query cannot express.
pub(super) fn no_form(kind: &str, what: &str, at: Span) -> Diagnostic {
    let message = format!("`{kind}` with {what} has no form as one SQL query");
    Diagnostic::error("no-sql-form", message).at(at).hint("run this step on the embedded engine")
}

/// Columns with a prefix such as `t.`, separated by commas.
pub(super) fn list<'a>(prefix: &str, names: impl IntoIterator<Item = &'a Name>) -> String {
    names.into_iter().map(|name| format!("{prefix}{}", name.sql())).collect::<Vec<_>>().join(", ")
}

/// The names of parameters.
pub(super) fn names(columns: &[ColumnName]) -> impl Iterator<Item = &Name> {
    columns.iter().map(|column| &column.value)
}

/// `partition by a, b `, or nothing.
pub(super) fn partition_by<'a>(names: impl IntoIterator<Item = &'a Name>) -> String {
    let list = list("", names);
    if list.is_empty() { list } else { format!("partition by {list} ") }
}

/// A WHERE clause of conditions, or nothing.
pub(super) fn where_all(conditions: &[String]) -> String {
    if conditions.is_empty() { String::new() } else { format!("\nwhere {}", conditions.join("\n  and ")) }
}

/// An instant as a TIMESTAMP_NTZ; `latest` is the greatest `time` of `table`.
pub(super) fn instant(instant: Instant, time: &Name, table: &str) -> String {
    match instant {
        Instant::Now => "current_timestamp()::timestamp_ntz".to_owned(),
        Instant::Latest => format!("(select max({}) from {table})::timestamp_ntz", time.sql()),
        Instant::At(at) => {
            let written = cast(&TimestampNanosecondArray::from(vec![at]), &DataType::Utf8);
            let text = written.ok().and_then(|text| {
                let text = text.as_any().downcast_ref::<StringArray>()?;
                text.is_valid(0).then(|| text.value(0).replace('T', " "))
            });
            format!("'{}'::timestamp_ntz", text.unwrap_or_default())
        }
    }
}

/// Seconds from a time to an instant, as a FLOAT.
pub(super) fn seconds_between(time: &str, instant: &str) -> String {
    format!("(datediff('nanosecond', {time}::timestamp_ntz, {instant})::float / 1000000000::float)")
}

/// A query in steps: each a name and its select, the last one given out.
#[derive(Default)]
pub(super) struct Steps {
    parts: Vec<(String, String)>,
}

impl Steps {
    /// Adds a step, and gives its name, which starts so that no table of the author's has it.
    pub(super) fn push(&mut self, name: &str, select: String) -> String {
        let name = format!("PIPE__{name}");
        self.parts.push((name.clone(), select));
        name
    }

    /// The whole query with its final select.
    pub(super) fn finish(self, select: &str) -> String {
        if self.parts.is_empty() {
            return select.to_owned();
        }
        let parts: Vec<String> = self.parts.iter().map(|(name, select)| format!("{name} as (\n{select}\n)")).collect();
        format!("with {}\n{select}", parts.join(", "))
    }
}
