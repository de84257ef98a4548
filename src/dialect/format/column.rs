//! Columns of dates, times and timestamps out of text and as text. Which format applies is given, or the session's.

use std::fmt::Write as _;
use std::sync::Arc;

use chrono_tz::Tz;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Int32Array, StringArray, StringBuilder, StructArray,
    Time64NanosecondArray, TimestampNanosecondArray,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int32Type, Time64NanosecondType, TimeUnit, TimestampNanosecondType,
};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, exec_err};

use super::civil::{Moment, SECOND};
use super::model::Model;
use super::read::{read_date, read_time, read_timestamp};
use super::write::write;
use super::zone::{moment_in, to_utc, zone};
use crate::dialect::session::SessionParameters;
use crate::dialect::types::{self, SqlType};
use crate::dialect::variant::array::texts;
use crate::dialect::variant::convert::to_varchar;

/// What becomes of a text that is no value: an error, or NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The statement fails.
    Error,
    /// The row is NULL, as TRY_ functions have it.
    Null,
    /// The statement fails, but a time that Snowflake has and this engine does not is the first or last that it has: for
    /// comparisons, which come out right by it.
    Nearest,
}

impl Misfit {
    /// The instant of a moment that is outside of the years 1677 to 2262, where that serves.
    pub fn nearest(self, moment: &Moment) -> Option<i64> {
        (self == Self::Nearest).then_some(if moment.days < 0 { i64::MIN + 1 } else { i64::MAX })
    }
}

fn settled<T>(value: Option<T>, misfit: Misfit, error: impl FnOnce() -> String) -> Result<Option<T>> {
    match value {
        None if misfit != Misfit::Null => exec_err!("{}", error()),
        value => Ok(value),
    }
}

fn unrecognised(what: &str, text: &str, model: &Model) -> String {
    match model {
        Model::Auto => format!("{what} '{text}' is not recognized"),
        Model::Elements(_) => format!("can't parse '{text}' as {what} with the given format"),
    }
}

/// Dates out of text.
pub fn dates(texts: &StringArray, model: &Model, misfit: Misfit) -> Result<Date32Array> {
    let one = |text| {
        let days = read_date(text, model).and_then(|days| i32::try_from(days).ok());
        settled(days, misfit, || unrecognised("date", text, model))
    };
    texts.iter().map(|text| text.map_or(Ok(None), one)).collect()
}

/// Times of day out of text.
pub fn times(texts: &StringArray, model: &Model, misfit: Misfit) -> Result<Time64NanosecondArray> {
    let one = |text| settled(read_time(text, model), misfit, || unrecognised("time", text, model));
    texts.iter().map(|text| text.map_or(Ok(None), one)).collect()
}

fn moments<T>(
    texts: &StringArray,
    model: &Model,
    misfit: Misfit,
    value: impl Fn(Moment) -> Option<T>,
) -> Result<Vec<Option<T>>> {
    let one = |text| {
        let read = read_timestamp(text, model);
        let moment = settled(read, misfit, || unrecognised("timestamp", text, model))?;
        let Some(moment) = moment else { return Ok(None) };
        // Snowflake has it, so that it is an error for TRY_ functions too.
        match value(moment) {
            None => exec_err!("timestamp '{text}' is outside of the years 1677 to 2262"),
            value => Ok(value),
        }
    };
    texts.iter().map(|text| text.map_or(Ok(None), one)).collect()
}

/// TIMESTAMP_NTZ out of text: the wall clock, whatever offset is behind it.
pub fn timestamps_ntz(texts: &StringArray, model: &Model, misfit: Misfit) -> Result<TimestampNanosecondArray> {
    let value = |moment: Moment| moment.wall_nanos().or_else(|| misfit.nearest(&moment));
    Ok(moments(texts, model, misfit, value)?.into())
}

/// The instant and offset of a moment; one without an offset is local to the session's zone.
pub fn instant(moment: Moment, session_zone: Tz) -> Option<(i64, i32)> {
    let wall = moment.wall_nanos()?;
    match moment.offset {
        Some(offset) => Some((wall.checked_sub(i64::from(offset) * 60 * SECOND)?, offset)),
        None => {
            let utc = to_utc(session_zone, wall);
            Some((utc, ((wall - utc) / (60 * SECOND)) as i32))
        }
    }
}

/// The same; the nearest there is, where that serves.
pub fn at(moment: Moment, session_zone: Tz, misfit: Misfit) -> Option<(i64, i32)> {
    let far = misfit.nearest(&moment).map(|utc| (utc, 0));
    instant(moment, session_zone).or(far)
}

/// TIMESTAMP_LTZ out of text, read in the session's zone where it names no offset.
pub fn timestamps_ltz(
    texts: &StringArray,
    model: &Model,
    misfit: Misfit,
    zone_name: &str,
) -> Result<TimestampNanosecondArray> {
    let session_zone = zone(zone_name).map_err(DataFusionError::Execution)?;
    let values = moments(texts, model, misfit, |moment| at(moment, session_zone, misfit).map(|(utc, _)| utc))?;
    Ok(TimestampNanosecondArray::from(values).with_timezone(zone_name))
}

/// TIMESTAMP_TZ out of text, with the offset it names or else the session's.
pub fn timestamps_tz(texts: &StringArray, model: &Model, misfit: Misfit, zone_name: &str) -> Result<StructArray> {
    let session_zone = zone(zone_name).map_err(DataFusionError::Execution)?;
    tz_array(moments(texts, model, misfit, |moment| at(moment, session_zone, misfit))?)
}

/// A TIMESTAMP_TZ column of instants with their offsets in minutes.
pub fn tz_array(values: Vec<Option<(i64, i32)>>) -> Result<StructArray> {
    let DataType::Struct(fields) = types::timestamp_tz() else {
        return exec_err!("TIMESTAMP_TZ is not a struct");
    };
    let nulls = values.iter().map(Option::is_some).collect::<Vec<_>>().into();
    let utc: TimestampNanosecondArray = values.iter().map(|value| value.map(|(utc, _)| utc)).collect();
    let offset: Int32Array = values.iter().map(|value| value.map(|(_, offset)| offset)).collect();
    Ok(StructArray::try_new(fields, vec![Arc::new(utc), Arc::new(offset)], Some(nulls))?)
}

/// The format in which the session shows a type of timestamp.
pub fn timestamp_format(session: &SessionParameters, sql_type: SqlType) -> &str {
    let own = match sql_type {
        SqlType::TimestampNtz => &session.timestamp_ntz_output_format,
        SqlType::TimestampLtz => &session.timestamp_ltz_output_format,
        _ => &session.timestamp_tz_output_format,
    };
    if own.is_empty() { &session.timestamp_output_format } else { own }
}

/// A column of dates, times or timestamps, to be read as moments.
pub enum Moments {
    /// Days.
    Date(Date32Array),
    /// Nanoseconds since midnight.
    Time(Time64NanosecondArray),
    /// Wall clocks.
    Ntz(TimestampNanosecondArray),
    /// Instants, shown in a zone.
    Ltz(TimestampNanosecondArray, Tz),
    /// Instants with their offsets.
    Tz(TimestampNanosecondArray, Int32Array),
}

impl Moments {
    /// Reads a column; `zone_name` is the session's.
    pub fn of(array: &ArrayRef, zone_name: &str) -> Result<Self> {
        let wrong = || exec_datafusion_err!("{} is not a date or time", array.data_type());
        let kind = SqlType::of(array.data_type()).ok_or_else(wrong)?;
        let array = if kind == SqlType::TimestampTz { Arc::clone(array) } else { cast(array, &kind.arrow(zone_name))? };
        Ok(match kind {
            SqlType::Date => Self::Date(array.as_primitive::<Date32Type>().clone()),
            SqlType::Time => Self::Time(array.as_primitive::<Time64NanosecondType>().clone()),
            SqlType::TimestampNtz => Self::Ntz(array.as_primitive::<TimestampNanosecondType>().clone()),
            SqlType::TimestampLtz => Self::Ltz(
                array.as_primitive::<TimestampNanosecondType>().clone(),
                zone(zone_name).map_err(DataFusionError::Execution)?,
            ),
            SqlType::TimestampTz => {
                let parts = array.as_struct();
                let utc = parts.column(0).as_primitive_opt::<TimestampNanosecondType>().ok_or_else(wrong)?;
                let nulls = NullBuffer::union(parts.nulls(), utc.nulls());
                let utc = TimestampNanosecondArray::new(utc.values().clone(), nulls);
                Self::Tz(utc, parts.column(1).as_primitive_opt::<Int32Type>().ok_or_else(wrong)?.clone())
            }
            _ => return Err(wrong()),
        })
    }

    /// What the wall clock shows, with the offset where there is one.
    pub fn get(&self, row: usize) -> Option<Moment> {
        match self {
            Self::Date(dates) if dates.is_valid(row) => {
                Some(Moment { days: i64::from(dates.value(row)), nanos: 0, offset: None })
            }
            Self::Time(times) if times.is_valid(row) => Some(Moment { days: 0, nanos: times.value(row), offset: None }),
            Self::Ntz(values) if values.is_valid(row) => Some(Moment::of_nanos(values.value(row))),
            Self::Ltz(values, zone) if values.is_valid(row) => Some(moment_in(*zone, values.value(row))),
            Self::Tz(values, offsets) if values.is_valid(row) => {
                let offset = offsets.value(row);
                let wall = values.value(row).saturating_add(i64::from(offset) * 60 * SECOND);
                Some(Moment { offset: Some(offset), ..Moment::of_nanos(wall) })
            }
            _ => None,
        }
    }

    /// Nanoseconds since 1970 UTC; a value without a zone counts as UTC. None beyond the range of timestamps.
    pub fn utc(&self, row: usize) -> Option<i64> {
        match self {
            Self::Ltz(values, _) | Self::Tz(values, _) | Self::Ntz(values) => {
                values.is_valid(row).then(|| values.value(row))
            }
            _ => self.get(row)?.wall_nanos(),
        }
    }
}

/// A column of dates, times or timestamps as text in a format.
pub fn write_column(array: &ArrayRef, model: &Model, session: &SessionParameters) -> Result<StringArray> {
    let moments = Moments::of(array, &session.timezone)?;
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 24);
    let mut buffer = String::new();
    for row in 0..array.len() {
        match moments.get(row) {
            Some(moment) => {
                buffer.clear();
                write(&moment, model, &mut buffer);
                builder.append_value(&buffer);
            }
            None => builder.append_null(),
        }
    }
    Ok(builder.finish())
}

/// Any column as the text that Snowflake shows for it in this session.
pub fn text_column(array: &ArrayRef, session: &SessionParameters) -> Result<StringArray> {
    let sql_type = SqlType::of(array.data_type());
    let model = match sql_type {
        Some(SqlType::Varchar(_)) | None => return plain(array),
        Some(SqlType::Date) => &session.date_output_format,
        Some(SqlType::Time) => &session.time_output_format,
        Some(kind @ (SqlType::TimestampNtz | SqlType::TimestampLtz | SqlType::TimestampTz)) => {
            timestamp_format(session, kind)
        }
        Some(SqlType::Float) => return floats(array),
        Some(SqlType::Binary) => return bytes_text(array, &session.binary_output_format),
        Some(SqlType::Variant | SqlType::Object | SqlType::Array) => return Ok(to_varchar(&texts(array)?)),
        Some(_) => return plain(array),
    };
    let model = Model::parse(model).map_err(DataFusionError::Execution)?;
    write_column(array, &model, session)
}

fn cast(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if array.data_type() == data_type {
        return Ok(Arc::clone(array));
    }
    Ok(cast_with_options(array, data_type, &CastOptions { safe: false, ..CastOptions::default() })?)
}

fn plain(array: &ArrayRef) -> Result<StringArray> {
    if let DataType::Decimal128(_, scale) = array.data_type()
        && let Ok(scale) = u32::try_from(*scale)
        && let Some(texts) = decimals(array.as_primitive(), scale)
    {
        return Ok(texts);
    }
    Ok(cast(array, &DataType::Utf8)?.as_string::<i32>().clone())
}

/// Exact numbers of up to 18 digits as text; none where one has more. Arrow's cast, which takes them all, costs four times
/// as much.
fn decimals(array: &Decimal128Array, scale: u32) -> Option<StringArray> {
    let one = 10_u64.checked_pow(scale)?;
    let width = scale as usize;
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 8);
    for value in array {
        let Some(units) = value else {
            builder.append_null();
            continue;
        };
        let units = i64::try_from(units).ok()?;
        let (sign, whole) = (if units < 0 { "-" } else { "" }, units.unsigned_abs() / one);
        let written = match scale {
            0 => write!(builder, "{units}"),
            _ => write!(builder, "{sign}{whole}.{:0width$}", units.unsigned_abs() % one),
        };
        written.ok()?;
        builder.append_value("");
    }
    Some(builder.finish())
}

fn floats(array: &ArrayRef) -> Result<StringArray> {
    let floats = cast(array, &DataType::Float64)?;
    let floats = floats.as_primitive::<Float64Type>();
    Ok(floats.iter().map(|value| value.map(float_text)).collect())
}

/// A float as Snowflake shows it: the shortest digits that read back the same, with an exponent from 1e15 and 1e-5 on.
pub fn float_text(value: f64) -> String {
    crate::dialect::variant::convert::double_text(value)
}

/// Bytes as text in an encoding: `HEX`, `BASE64` or `UTF-8`.
pub fn bytes_text(array: &ArrayRef, encoding: &str) -> Result<StringArray> {
    let bytes = cast(array, &DataType::Binary)?;
    let bytes = bytes.as_binary::<i32>();
    match encoding.to_ascii_uppercase().as_str() {
        "HEX" => Ok(bytes.iter().map(|b| b.map(hex_upper)).collect()),
        "BASE64" => {
            use base64::Engine as _;
            Ok(bytes.iter().map(|b| b.map(|b| base64::engine::general_purpose::STANDARD.encode(b))).collect())
        }
        "UTF8" | "UTF-8" => {
            let one = |bytes: &[u8]| {
                String::from_utf8(bytes.to_vec()).map_err(|_| exec_datafusion_err!("the bytes are not UTF-8"))
            };
            bytes.iter().map(|bytes| bytes.map(one).transpose()).collect()
        }
        _ => exec_err!("encoding '{encoding}' is not one of HEX, BASE64 and UTF-8"),
    }
}

/// Bytes as upper-case hexadecimal digits.
pub fn hex_upper(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02X}");
    }
    out
}

/// The nanosecond timestamp type without a zone.
pub fn ntz() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_numbers_are_written_as_arrow_writes_them() {
        let values = [0, 5, -5, 100, -120, 12_345, i128::from(i64::MAX), i128::from(i64::MIN)];
        for scale in [0, 1, 2, 18] {
            let array = Decimal128Array::from_iter(values.into_iter().map(Some).chain([None]));
            let array = array.with_precision_and_scale(38, scale).unwrap();
            let expected = cast(&(Arc::new(array.clone()) as ArrayRef), &DataType::Utf8).unwrap();
            assert_eq!(&decimals(&array, scale as u32).unwrap(), expected.as_string::<i32>());
        }
        assert!(decimals(&Decimal128Array::from(vec![i128::from(i64::MAX) + 1]), 0).is_none());
    }
}
