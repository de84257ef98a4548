//! Values as the texts that stand for them in CSV and JSON lines. Every text reads back as the same value of its type.

use std::io::Write as _;
use std::sync::Arc;

use chrono_tz::Tz;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeListArray,
    Float64Array, Int32Array, Int64Array, StringArray, StructArray, Time64NanosecondArray, TimestampNanosecondArray,
};
use datafusion::arrow::datatypes::DataType;

use crate::backend::BackendError;
use crate::dialect::cast::settled;
use crate::dialect::format::civil::{Moment, SECOND, civil};
use crate::dialect::format::zone;
use crate::dialect::types::SqlType;
use crate::dialect::variant::array::texts;
use crate::dialect::variant::print::strict_json;

/// The values of one column.
pub(super) enum Cells {
    Text(StringArray),
    Integer(Int64Array),
    Decimal(Decimal128Array, u8),
    Float(Float64Array),
    Boolean(BooleanArray),
    Binary(BinaryArray),
    Date(Date32Array),
    Time(Time64NanosecondArray),
    Ntz(TimestampNanosecondArray),
    Ltz(TimestampNanosecondArray, Tz),
    Tz(StructArray, TimestampNanosecondArray, Int32Array),
    Json(StringArray),
    Vector(FixedSizeListArray),
    Null,
}

impl Cells {
    /// The values of an array.
    pub(super) fn of(array: &ArrayRef) -> Result<Self, BackendError> {
        let wrong = |error: datafusion::common::DataFusionError| BackendError::author(error.strip_backtrace());
        let array = settled(array).map_err(wrong)?;
        let sql_type = SqlType::of(array.data_type());
        Ok(match (sql_type, array.data_type()) {
            (Some(SqlType::Varchar(_)), _) => Self::Text(array.as_string::<i32>().clone()),
            (_, DataType::Int64) => Self::Integer(array.as_primitive().clone()),
            (_, DataType::Decimal128(_, scale)) => {
                Self::Decimal(array.as_primitive().clone(), u8::try_from(*scale).unwrap_or_default())
            }
            (Some(SqlType::Float), _) => Self::Float(array.as_primitive().clone()),
            (Some(SqlType::Boolean), _) => Self::Boolean(array.as_boolean().clone()),
            (Some(SqlType::Binary), _) => Self::Binary(array.as_binary::<i32>().clone()),
            (Some(SqlType::Date), _) => Self::Date(array.as_primitive().clone()),
            (Some(SqlType::Time), _) => Self::Time(array.as_primitive().clone()),
            (_, DataType::Timestamp(_, None)) => Self::Ntz(array.as_primitive().clone()),
            (_, DataType::Timestamp(_, Some(name))) => {
                Self::Ltz(array.as_primitive().clone(), zone::zone(name).map_err(BackendError::author)?)
            }
            (Some(SqlType::TimestampTz), _) => {
                let whole = array.as_struct();
                let (utc, offset) = (whole.column(0).as_primitive().clone(), whole.column(1).as_primitive().clone());
                Self::Tz(whole.clone(), utc, offset)
            }
            (Some(SqlType::Variant | SqlType::Object | SqlType::Array), _) => Self::Json(texts(&array).map_err(wrong)?),
            (Some(SqlType::Vector(..)), _) => Self::Vector(array.as_fixed_size_list().clone()),
            (Some(SqlType::Null), _) => Self::Null,
            (_, other) => return Err(BackendError::author(format!("values of type {other} cannot be written"))),
        })
    }

    fn array(&self) -> Option<&dyn Array> {
        Some(match self {
            Self::Text(array) | Self::Json(array) => array,
            Self::Integer(array) => array,
            Self::Decimal(array, _) => array,
            Self::Float(array) => array,
            Self::Boolean(array) => array,
            Self::Binary(array) => array,
            Self::Date(array) => array,
            Self::Time(array) => array,
            Self::Ntz(array) | Self::Ltz(array, _) => array,
            Self::Tz(array, ..) => array,
            Self::Vector(array) => array,
            Self::Null => return None,
        })
    }

    /// Whether a row has no value.
    pub(super) fn is_null(&self, row: usize) -> bool {
        self.array().is_none_or(|array| array.is_null(row))
    }

    /// Appends the text of a row that has a value.
    pub(super) fn text(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Text(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Self::Integer(array) => put(out, format_args!("{}", array.value(row))),
            Self::Decimal(array, scale) => decimal(out, array.value(row), *scale),
            Self::Float(array) => float(out, array.value(row)),
            Self::Boolean(array) => out.extend_from_slice(if array.value(row) { b"true" } else { b"false" }),
            Self::Binary(array) => put(out, format_args!("{}", hex::encode_upper(array.value(row)))),
            Self::Date(array) => date(out, i64::from(array.value(row))),
            Self::Time(array) => time(out, array.value(row)),
            Self::Ntz(array) => moment(out, Moment::of_nanos(array.value(row))),
            Self::Ltz(array, zone) => moment(out, zone::moment_in(*zone, array.value(row))),
            Self::Tz(_, utc, offsets) => {
                let offset = offsets.value(row);
                let wall = utc.value(row).saturating_add(i64::from(offset) * 60 * SECOND);
                moment(out, Moment { offset: Some(offset), ..Moment::of_nanos(wall) });
            }
            Self::Json(array) => out.extend_from_slice(strict_json(array.value(row)).as_bytes()),
            Self::Vector(array) => vector(out, &array.value(row)),
            Self::Null => {}
        }
    }

    /// Appends the JSON value of a row.
    pub(super) fn json(&self, row: usize, out: &mut Vec<u8>, scratch: &mut Vec<u8>) {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        match self {
            Self::Text(array) => quoted(out, array.value(row).as_bytes()),
            Self::Integer(_) | Self::Decimal(..) | Self::Boolean(_) | Self::Json(_) | Self::Vector(_) => {
                self.text(row, out);
            }
            Self::Float(array) if array.value(row).is_finite() => self.text(row, out),
            _ => {
                scratch.clear();
                self.text(row, scratch);
                quoted(out, scratch);
            }
        }
    }
}

/// Writing into memory does not fail.
fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

fn decimal(out: &mut Vec<u8>, value: i128, scale: u8) {
    if value < 0 {
        out.push(b'-');
    }
    let value = value.unsigned_abs();
    if scale == 0 {
        return put(out, format_args!("{value}"));
    }
    let unit = 10_u128.pow(u32::from(scale));
    let (whole, rest) = (value / unit, value % unit);
    let width = usize::from(scale);
    match (u64::try_from(whole), u64::try_from(rest)) {
        (Ok(whole), Ok(rest)) => put(out, format_args!("{whole}.{rest:0width$}")),
        _ => put(out, format_args!("{whole}.{rest:0width$}")),
    }
}

fn float(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
    } else {
        let text: &[u8] = if value.is_nan() {
            b"NaN"
        } else if value > 0.0 {
            b"inf"
        } else {
            b"-inf"
        };
        out.extend_from_slice(text);
    }
}

fn two(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&[b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]);
}

fn date(out: &mut Vec<u8>, days: i64) {
    let (year, month, day) = civil(days);
    if (0..=9999).contains(&year) {
        let year = year.unsigned_abs() as u32;
        two(out, year / 100);
        two(out, year % 100);
    } else {
        put(out, format_args!("{year:05}"));
    }
    out.push(b'-');
    two(out, month);
    out.push(b'-');
    two(out, day);
}

fn time(out: &mut Vec<u8>, nanos: i64) {
    let (seconds, rest) = ((nanos / SECOND) as u32, nanos % SECOND);
    two(out, seconds / 3600);
    out.push(b':');
    two(out, seconds / 60 % 60);
    out.push(b':');
    two(out, seconds % 60);
    if rest != 0 {
        let start = out.len();
        put(out, format_args!(".{rest:09}"));
        let kept = out[start..].iter().rposition(|digit| *digit != b'0').unwrap_or_default();
        out.truncate(start + kept + 1);
    }
}

fn moment(out: &mut Vec<u8>, moment: Moment) {
    date(out, moment.days);
    out.push(b' ');
    time(out, moment.nanos);
    if let Some(offset) = moment.offset {
        out.extend_from_slice(if offset < 0 { b" -" } else { b" +" });
        two(out, offset.unsigned_abs() / 60);
        out.push(b':');
        two(out, offset.unsigned_abs() % 60);
    }
}

fn vector(out: &mut Vec<u8>, values: &ArrayRef) {
    out.push(b'[');
    for at in 0..values.len() {
        if at > 0 {
            out.push(b',');
        }
        match values.data_type() {
            _ if values.is_null(at) => out.extend_from_slice(b"null"),
            DataType::Int32 => {
                put(
                    out,
                    format_args!("{}", values.as_primitive::<datafusion::arrow::datatypes::Int32Type>().value(at)),
                );
            }
            DataType::Float32 => {
                let value = values.as_primitive::<datafusion::arrow::datatypes::Float32Type>().value(at);
                if value.is_finite() {
                    out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
                } else {
                    out.push(b'"');
                    float(out, f64::from(value));
                    out.push(b'"');
                }
            }
            _ => out.extend_from_slice(b"null"),
        }
    }
    out.push(b']');
}

/// A JSON string.
pub(super) fn quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let mut clean = 0;
    for (at, byte) in text.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1F => b"",
            _ => continue,
        };
        out.extend_from_slice(&text[clean..at]);
        if escape.is_empty() {
            put(out, format_args!("\\u{byte:04x}"));
        } else {
            out.extend_from_slice(escape);
        }
        clean = at + 1;
    }
    out.extend_from_slice(&text[clean..]);
    out.push(b'"');
}

/// All values of a column as texts.
pub(super) fn as_texts(array: &ArrayRef) -> Result<StringArray, BackendError> {
    let cells = Cells::of(array)?;
    let mut scratch = Vec::new();
    let text = |row: usize| {
        if cells.is_null(row) {
            return None;
        }
        scratch.clear();
        cells.text(row, &mut scratch);
        Some(String::from_utf8_lossy(&scratch).into_owned())
    };
    Ok((0..array.len()).map(text).collect())
}

/// The same as an array.
pub(super) fn texts_of(array: &ArrayRef) -> Result<ArrayRef, BackendError> {
    as_texts(array).map(|texts| Arc::new(texts) as ArrayRef)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn texts_are_exact() {
        assert_eq!(shown(|out| decimal(out, -1_005, 3)), "-1.005");
        assert_eq!(shown(|out| decimal(out, -5, 3)), "-0.005");
        assert_eq!(shown(|out| decimal(out, 10_i128.pow(38) - 1, 37)), format!("9.{}", "9".repeat(37)));
        assert_eq!(shown(|out| time(out, 3_723 * SECOND + 450_000_000)), "01:02:03.45");
        assert_eq!(shown(|out| moment(out, Moment::of_nanos(-1))), "1969-12-31 23:59:59.999999999");
        let west = Moment { offset: Some(-90), ..Moment::of_nanos(0) };
        assert_eq!(shown(|out| moment(out, west)), "1970-01-01 00:00:00 -01:30");
        assert_eq!(shown(|out| quoted(out, b"a\"\\\n\x01\xC3\xA9")), "\"a\\\"\\\\\\n\\u0001\u{e9}\"");
    }
}
