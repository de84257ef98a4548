//! Results as text: a table for people, CSV, JSON and JSON lines. It decides how a value looks, never what it is.

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, FixedSizeListArray, Int32Array, RecordBatch, StringArray,
    StructArray, TimestampNanosecondArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Date32Type, Time64NanosecondType, TimestampNanosecondType};
use datafusion::arrow::error::ArrowError;

use crate::dialect::Column;
use crate::dialect::format::text_column;
use crate::dialect::session::SessionParameters;
use crate::dialect::types::SqlType;
use crate::dialect::variant::print::strict_json;

/// How a result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Table,
    /// With a header line; NULL is empty.
    Csv,
    /// One object with `columns` and `rows`.
    Json,
    /// One object a row.
    JsonLines,
}

/// A result as text, line by line closed.
pub fn render(
    columns: &[Column],
    batches: &[RecordBatch],
    format: Format,
    parameters: &SessionParameters,
) -> Result<String, ArrowError> {
    match format {
        Format::Json => json(columns, batches, parameters),
        Format::JsonLines => json_lines(columns, batches, parameters),
        Format::Csv => csv(columns, batches, parameters),
        Format::Table => boxed(columns, batches, parameters),
    }
}

fn json(columns: &[Column], batches: &[RecordBatch], parameters: &SessionParameters) -> Result<String, ArrowError> {
    let mut out = String::from("{\"columns\":[");
    for (index, column) in columns.iter().enumerate() {
        comma(&mut out, index);
        out.push_str("{\"name\":");
        quote(&mut out, column.name.as_str());
        out.push_str(",\"type\":");
        quote(&mut out, &column.sql_type.to_string());
        out.push('}');
    }
    out.push_str("],\"rows\":[");
    let mut count = 0;
    for batch in batches {
        let cells = cells(batch, parameters)?;
        for row in 0..batch.num_rows() {
            out.push_str(if count == 0 { "\n[" } else { ",\n[" });
            for (index, column) in cells.iter().enumerate() {
                comma(&mut out, index);
                column.write(&mut out, row);
            }
            out.push(']');
            count += 1;
        }
    }
    out.push_str("]}\n");
    Ok(out)
}

fn json_lines(
    columns: &[Column],
    batches: &[RecordBatch],
    parameters: &SessionParameters,
) -> Result<String, ArrowError> {
    let mut out = String::new();
    for batch in batches {
        let cells = cells(batch, parameters)?;
        for row in 0..batch.num_rows() {
            out.push('{');
            for (index, (column, cell)) in columns.iter().zip(&cells).enumerate() {
                comma(&mut out, index);
                quote(&mut out, column.name.as_str());
                out.push(':');
                cell.write(&mut out, row);
            }
            out.push_str("}\n");
        }
    }
    Ok(out)
}

fn csv(columns: &[Column], batches: &[RecordBatch], parameters: &SessionParameters) -> Result<String, ArrowError> {
    let mut out = String::new();
    for (index, column) in columns.iter().enumerate() {
        comma(&mut out, index);
        csv_field(&mut out, column.name.as_str());
    }
    out.push('\n');
    for batch in batches {
        let texts = shown(batch, parameters)?;
        for row in 0..batch.num_rows() {
            for (index, column) in texts.iter().enumerate() {
                comma(&mut out, index);
                if column.is_valid(row) {
                    csv_field(&mut out, column.value(row));
                }
            }
            out.push('\n');
        }
    }
    Ok(out)
}

/// Quoted where a reader would otherwise read something else; empty text is quoted because NULL is not.
fn csv_field(out: &mut String, text: &str) {
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) {
        out.push('"');
        out.push_str(&text.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(text);
    }
}

/// A table for people: numbers to the right, the rest to the left, and how many rows there are.
fn boxed(columns: &[Column], batches: &[RecordBatch], parameters: &SessionParameters) -> Result<String, ArrowError> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for batch in batches {
        let texts = shown(batch, parameters)?;
        for row in 0..batch.num_rows() {
            let cell =
                |column: &StringArray| if column.is_valid(row) { one_line(column.value(row)) } else { "NULL".into() };
            rows.push(texts.iter().map(cell).collect());
        }
    }
    let headers: Vec<String> = columns.iter().map(|column| one_line(column.name.as_str())).collect();
    let width = |index: usize| {
        let cells = rows.iter().chain([&headers]).filter_map(|row| row.get(index));
        cells.map(|text| text.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headers.len()).map(width).collect();
    let rule = widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>().join("-+-");
    let mut out = line(&headers, &widths, columns);
    out.push_str(&rule);
    out.push('\n');
    for row in &rows {
        out.push_str(&line(row, &widths, columns));
    }
    out.push_str(&format!("({} {})\n", rows.len(), if rows.len() == 1 { "row" } else { "rows" }));
    Ok(out)
}

fn line(cells: &[String], widths: &[usize], columns: &[Column]) -> String {
    let mut out = String::new();
    for (index, ((cell, width), column)) in cells.iter().zip(widths).zip(columns).enumerate() {
        if index > 0 {
            out.push_str(" | ");
        }
        let space = " ".repeat(width.saturating_sub(cell.chars().count()));
        match column.sql_type {
            SqlType::Number { .. } | SqlType::Float => out.extend([space.as_str(), cell]),
            _ => out.extend([cell, space.as_str()]),
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn one_line(text: &str) -> String {
    text.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t")
}

/// The values as a session shows them.
pub(super) fn shown(batch: &RecordBatch, parameters: &SessionParameters) -> Result<Vec<StringArray>, ArrowError> {
    let text = |array: &ArrayRef| match SqlType::of(array.data_type()) {
        Some(SqlType::Null) => Ok(StringArray::new_null(array.len())),
        Some(SqlType::Variant | SqlType::Object | SqlType::Array) => Ok(variants(array.as_struct(), str::to_owned)),
        Some(SqlType::Vector(..)) => vectors(array.as_fixed_size_list(), parameters),
        _ => text_column(array, parameters).map_err(|error| ArrowError::ExternalError(Box::new(error))),
    };
    batch.columns().iter().map(text).collect()
}

fn comma(out: &mut String, index: usize) {
    if index > 0 {
        out.push(',');
    }
}

fn quote(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

fn cells(batch: &RecordBatch, parameters: &SessionParameters) -> Result<Vec<Cells>, ArrowError> {
    batch.columns().iter().map(|array| Cells::new(array, parameters)).collect()
}

/// The values of one column as JSON texts.
struct Cells {
    texts: StringArray,
    quoted: bool,
}

impl Cells {
    fn new(array: &ArrayRef, parameters: &SessionParameters) -> Result<Self, ArrowError> {
        let bare = |texts| Ok(Self { texts, quoted: false });
        let quoted = |texts| Ok(Self { texts, quoted: true });
        match SqlType::of(array.data_type()) {
            Some(SqlType::Null) => bare(StringArray::new_null(array.len())),
            Some(SqlType::Boolean) => bare(booleans(array.as_boolean())),
            Some(SqlType::Number { .. }) => bare(as_text(array)?),
            Some(SqlType::Float) => Ok(floats(array)?),
            Some(SqlType::Varchar(_)) => quoted(as_text(array)?),
            Some(SqlType::Binary) => quoted(hex_text(array)?),
            Some(SqlType::Date) => quoted(dates(cast(array, &DataType::Date32)?.as_primitive::<Date32Type>())),
            Some(SqlType::Time) => quoted(times(array)?),
            Some(SqlType::TimestampNtz) => quoted(timestamps(array, None)?),
            Some(SqlType::TimestampLtz) => quoted(timestamps(array, Some(&parameters.timezone))?),
            Some(SqlType::TimestampTz) => quoted(zoned(array.as_struct())),
            Some(SqlType::Variant | SqlType::Object | SqlType::Array) => bare(json_text(array.as_struct())),
            Some(SqlType::Vector(..)) => bare(vectors(array.as_fixed_size_list(), parameters)?),
            None => quoted(as_text(array)?),
        }
    }

    fn write(&self, out: &mut String, row: usize) {
        if self.texts.is_null(row) {
            out.push_str("null");
        } else if self.quoted {
            quote(out, self.texts.value(row));
        } else {
            out.push_str(self.texts.value(row));
        }
    }
}

fn as_text(array: &ArrayRef) -> Result<StringArray, ArrowError> {
    Ok(cast(array, &DataType::Utf8)?.as_string::<i32>().clone())
}

fn booleans(array: &BooleanArray) -> StringArray {
    array.iter().map(|value| value.map(|value| if value { "true" } else { "false" })).collect()
}

fn floats(array: &ArrayRef) -> Result<Cells, ArrowError> {
    let array = cast(array, &DataType::Float64)?;
    let values = array.as_primitive::<datafusion::arrow::datatypes::Float64Type>();
    let text = |value: f64| match value {
        _ if value.is_nan() => "\"NaN\"".to_string(),
        _ if value.is_infinite() => if value > 0.0 { "\"inf\"" } else { "\"-inf\"" }.to_string(),
        _ => ryu::Buffer::new().format_finite(value).to_string(),
    };
    Ok(Cells { texts: values.iter().map(|value| value.map(text)).collect(), quoted: false })
}

fn hex_text(array: &ArrayRef) -> Result<StringArray, ArrowError> {
    let array = cast(array, &DataType::Binary)?;
    Ok(array.as_binary::<i32>().iter().map(|bytes| bytes.map(hex::encode_upper)).collect())
}

fn dates(array: &Date32Array) -> StringArray {
    let date = |days: i32| Date32Type::to_naive_date_opt(days).map(|date| date.format("%Y-%m-%d").to_string());
    array.iter().map(|days| days.and_then(date)).collect()
}

fn times(array: &ArrayRef) -> Result<StringArray, ArrowError> {
    let array = cast(array, &DataType::Time64(datafusion::arrow::datatypes::TimeUnit::Nanosecond))?;
    let times = array.as_primitive::<Time64NanosecondType>();
    let time = |nanos: i64| {
        let seconds = u32::try_from(nanos / 1_000_000_000).ok()?;
        let rest = u32::try_from(nanos % 1_000_000_000).ok()?;
        let time = chrono::NaiveTime::from_num_seconds_from_midnight_opt(seconds, rest)?;
        Some(time.format("%H:%M:%S").to_string() + &fraction(rest))
    };
    Ok(times.iter().map(|nanos| nanos.and_then(time)).collect())
}

/// `.123`, `.123456` or as many digits as there are; nothing for whole seconds.
fn fraction(nanos: u32) -> String {
    if nanos == 0 {
        return String::new();
    }
    format!(".{nanos:09}").trim_end_matches('0').to_string()
}

fn timestamps(array: &ArrayRef, zone: Option<&str>) -> Result<StringArray, ArrowError> {
    let unit = datafusion::arrow::datatypes::TimeUnit::Nanosecond;
    let instants = match array.data_type() {
        DataType::Timestamp(_, tz) => cast(array, &DataType::Timestamp(unit, tz.clone()))?,
        _ => array.clone(),
    };
    let instants = instants.as_primitive::<TimestampNanosecondType>();
    let zone = zone.and_then(|zone| zone.parse::<chrono_tz::Tz>().ok());
    let text = |nanos: i64| {
        let at = chrono::DateTime::from_timestamp_nanos(nanos);
        let rest = at.timestamp_subsec_nanos();
        match zone {
            None => at.format("%Y-%m-%dT%H:%M:%S").to_string() + &fraction(rest),
            Some(zone) => {
                let at = at.with_timezone(&zone);
                at.format("%Y-%m-%dT%H:%M:%S").to_string() + &fraction(rest) + &at.format("%:z").to_string()
            }
        }
    };
    Ok(instants.iter().map(|nanos| nanos.map(text)).collect())
}

fn zoned(array: &StructArray) -> StringArray {
    let utc: &TimestampNanosecondArray = array.column(0).as_primitive();
    let offsets: &Int32Array = array.column(1).as_primitive();
    let text = |row: usize| {
        if array.is_null(row) || utc.is_null(row) {
            return None;
        }
        let offset = chrono::FixedOffset::east_opt(offsets.value(row) * 60)?;
        let at = chrono::DateTime::from_timestamp_nanos(utc.value(row)).with_timezone(&offset);
        let rest = at.timestamp_subsec_nanos();
        Some(at.format("%Y-%m-%dT%H:%M:%S").to_string() + &fraction(rest) + &at.format("%:z").to_string())
    };
    (0..array.len()).map(text).collect()
}

/// VARIANT values as JSON; one that is a string or null is a string of its JSON text, so that it is not taken for a
/// VARCHAR or an SQL NULL.
fn json_text(array: &StructArray) -> StringArray {
    variants(array, |text| {
        if !text.starts_with('"') && text != "null" {
            return text.to_owned();
        }
        let mut quoted = String::new();
        quote(&mut quoted, text);
        quoted
    })
}

/// VARIANT values as JSON, each shown in its way.
fn variants(array: &StructArray, shown: impl Fn(&str) -> String) -> StringArray {
    let texts: &StringArray = array.column(0).as_string();
    let text = |row: usize| (array.is_valid(row) && texts.is_valid(row)).then(|| shown(&strict_json(texts.value(row))));
    (0..array.len()).map(text).collect()
}

fn vectors(array: &FixedSizeListArray, parameters: &SessionParameters) -> Result<StringArray, ArrowError> {
    let text = |row: usize| -> Result<Option<String>, ArrowError> {
        if array.is_null(row) {
            return Ok(None);
        }
        let values = array.value(row);
        let items = if *values.data_type() == DataType::Int32 {
            Cells::new(&cast(&values, &DataType::Int64)?, parameters)?
        } else {
            floats(&values)?
        };
        let mut out = String::from("[");
        for index in 0..values.len() {
            comma(&mut out, index);
            items.write(&mut out, index);
        }
        out.push(']');
        Ok(Some(out))
    };
    (0..array.len()).map(text).collect()
}
