//! SQL text from parts: names, numbers, instants and common expressions. The text is Snowflake SQL.

use datafusion::arrow::array::{Array, StringArray, TimestampNanosecondArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;

use crate::name::Name;

use super::param::{ColumnName, Instant};

/// A number as a FLOAT.
pub(super) fn float(value: f64) -> String {
    format!("{value}::float")
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
