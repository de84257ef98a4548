//! SQL values ↔ VARIANT, column by column: what TO_VARIANT and casts to and from VARIANT are made of.

use std::borrow::Cow;
use std::fmt::Write as _;

use chrono::{DateTime, FixedOffset, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, StringArray, StringBuilder,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, Time64NanosecondType, TimeUnit,
    TimestampNanosecondType,
};
use datafusion::common::{Result, exec_err};

use super::array::texts;
use super::text::Kind;
use super::{number, print, write};
use crate::dialect::cast::settled;
use crate::dialect::types::{self, SqlType};

/// The canonical texts of a column of lists of SQL values of one type, as ARRAYs; null where the list is.
pub fn lists_to_texts(array: &ArrayRef) -> Result<StringArray> {
    let (DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _)) = array.data_type()
    else {
        return exec_err!("a value of type {} is no list", array.data_type());
    };
    let lists = cast(array, &DataType::LargeList(item.clone()))?;
    let lists = lists.as_list::<i64>();
    let texts = to_texts(&settled(lists.values())?)?;
    let offsets = lists.value_offsets();
    Ok(each(array, |row, out| {
        out.push('[');
        for at in offsets[row]..offsets[row + 1] {
            let at = usize::try_from(at).unwrap_or(usize::MAX);
            out.push_str(if offsets[row] as usize == at { "" } else { "," });
            out.push_str(if texts.is_null(at) { "null" } else { texts.value(at) });
        }
        out.push(']');
    }))
}

/// The canonical texts of a column of SQL values of any type; null where the value is.
pub fn to_texts(array: &ArrayRef) -> Result<StringArray> {
    let Some(sql_type) = SqlType::of(array.data_type()) else {
        return exec_err!("a value of type {} cannot become a VARIANT", array.data_type());
    };
    if sql_type.is_semi_structured() {
        return texts(array);
    }
    let rest = |data_type: &DataType| -> Result<ArrayRef> { Ok(cast(array, data_type)?) };
    Ok(match sql_type {
        SqlType::Null => StringArray::new_null(array.len()),
        SqlType::Boolean => {
            let values = array.as_boolean();
            each(array, |row, out| out.push_str(if values.value(row) { "true" } else { "false" }))
        }
        SqlType::Number { .. } => return numbers(array),
        SqlType::Float => {
            let array = rest(&DataType::Float64)?;
            let values = array.as_primitive::<Float64Type>();
            each(&array, |row, out| number::double(out, values.value(row)))
        }
        SqlType::Varchar(_) => {
            let array = rest(&DataType::Utf8)?;
            let values = array.as_string::<i32>();
            each(&array, |row, out| write::string(out, values.value(row)))
        }
        SqlType::Binary => {
            let array = rest(&DataType::Binary)?;
            let values = array.as_binary::<i32>();
            each(&array, |row, out| {
                let _ = write!(out, "B\"{}\"", hex::encode_upper(values.value(row)));
            })
        }
        SqlType::Vector(..) => return vectors(array),
        _ => return moments(array, sql_type),
    })
}

/// A column of SQL values as VARIANTs.
pub fn to_variant(array: &ArrayRef) -> Result<ArrayRef> {
    super::array::of_texts(to_texts(array)?, &types::variant())
}

fn each(array: &ArrayRef, mut text: impl FnMut(usize, &mut String)) -> StringArray {
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 12);
    let mut buffer = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            builder.append_null();
        } else {
            buffer.clear();
            text(row, &mut buffer);
            builder.append_value(&buffer);
        }
    }
    builder.finish()
}

fn numbers(array: &ArrayRef) -> Result<StringArray> {
    Ok(match array.data_type() {
        DataType::Decimal128(_, scale) => {
            let (values, scale) = (array.as_primitive::<Decimal128Type>(), u8::try_from(*scale).unwrap_or(0));
            each(array, |row, out| number::fixed(out, values.value(row), scale))
        }
        DataType::Decimal256(_, scale) => {
            let narrow = cast(array, &DataType::Decimal128(38, *scale))?;
            return numbers(&narrow);
        }
        DataType::UInt64 => {
            let narrow = cast(array, &DataType::Decimal128(38, 0))?;
            return numbers(&narrow);
        }
        _ => {
            let array = cast(array, &DataType::Int64)?;
            let values = array.as_primitive::<Int64Type>();
            each(&array, |row, out| {
                let _ = write!(out, "{}", values.value(row));
            })
        }
    })
}

fn vectors(array: &ArrayRef) -> Result<StringArray> {
    let lists = array.as_fixed_size_list();
    let integers = matches!(lists.value_type(), DataType::Int32);
    let values = cast(lists.values(), &DataType::Float64)?;
    let values = values.as_primitive::<Float64Type>();
    let length = lists.value_length() as usize;
    Ok(each(array, |row, out| {
        out.push('[');
        for at in row * length..(row + 1) * length {
            if at > row * length {
                out.push(',');
            }
            let value = values.value(lists.offset() * length + at - lists.offset() * length);
            if integers {
                let _ = write!(out, "{value:.0}");
            } else {
                number::double(out, value);
            }
        }
        out.push(']');
    }))
}

const WALL: &str = "%Y-%m-%d %H:%M:%S%.9f";

fn wall(nanos: i64) -> NaiveDateTime {
    DateTime::from_timestamp_nanos(nanos).naive_utc()
}

fn moments(array: &ArrayRef, sql_type: SqlType) -> Result<StringArray> {
    Ok(match sql_type {
        SqlType::Date => {
            let array = cast(array, &DataType::Date32)?;
            let values = array.as_primitive::<Date32Type>();
            each(&array, |row, out| {
                if let Some(date) = values.value_as_date(row) {
                    let _ = write!(out, "D\"{}\"", date.format("%Y-%m-%d"));
                }
            })
        }
        SqlType::Time => {
            let array = cast(array, &DataType::Time64(TimeUnit::Nanosecond))?;
            let values = array.as_primitive::<Time64NanosecondType>();
            each(&array, |row, out| {
                if let Some(time) = values.value_as_time(row) {
                    let _ = write!(out, "T\"{}\"", time.format("%H:%M:%S%.9f"));
                }
            })
        }
        SqlType::TimestampTz => {
            let parts = array.as_struct();
            let instants = parts.column(0).as_primitive::<TimestampNanosecondType>();
            let offsets = cast(parts.column(1), &DataType::Int64)?;
            let offsets = offsets.as_primitive::<Int64Type>();
            each(array, |row, out| {
                let seconds = (offsets.value(row) * 60) as i32;
                zoned(out, 'Z', instants.value(row), FixedOffset::east_opt(seconds));
            })
        }
        SqlType::TimestampLtz => {
            let DataType::Timestamp(_, Some(zone)) = array.data_type() else {
                return exec_err!("a TIMESTAMP_LTZ has a zone");
            };
            let zone: Tz = zone.parse().unwrap_or(Tz::UTC);
            let array = cast(array, &DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())))?;
            let values = array.as_primitive::<TimestampNanosecondType>();
            each(&array, |row, out| {
                let offset = zone.offset_from_utc_datetime(&wall(values.value(row))).fix();
                zoned(out, 'L', values.value(row), Some(offset));
            })
        }
        _ => {
            let array = cast(array, &DataType::Timestamp(TimeUnit::Nanosecond, None))?;
            let values = array.as_primitive::<TimestampNanosecondType>();
            each(&array, |row, out| {
                let _ = write!(out, "N\"{}\"", wall(values.value(row)).format(WALL));
            })
        }
    })
}

fn zoned(out: &mut String, tag: char, instant: i64, offset: Option<FixedOffset>) {
    let minutes = offset.map_or(0, |offset| offset.local_minus_utc() / 60);
    let local = wall(instant.saturating_add(i64::from(minutes) * 60_000_000_000));
    let (sign, distance) = (if minutes < 0 { '-' } else { '+' }, minutes.abs());
    let _ = write!(out, "{tag}\"{} {sign}{:02}{:02}\"", local.format(WALL), distance / 60, distance % 60);
}

/// The nanoseconds since 1970 of a DATE, a TIMESTAMP_NTZ (on its wall clock), a TIMESTAMP_LTZ or a TIMESTAMP_TZ.
pub fn instant(text: &str) -> Option<i64> {
    let payload = text.get(2..text.len().checked_sub(1)?)?;
    match text.as_bytes().first()? {
        b'D' => {
            let date = chrono::NaiveDate::parse_from_str(payload, "%Y-%m-%d").ok()?;
            date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_nanos_opt()
        }
        b'N' => NaiveDateTime::parse_from_str(payload, WALL).ok()?.and_utc().timestamp_nanos_opt(),
        b'L' | b'Z' => DateTime::parse_from_str(payload, "%Y-%m-%d %H:%M:%S%.9f %z").ok()?.timestamp_nanos_opt(),
        _ => None,
    }
}

/// The offset in minutes east of UTC of a TIMESTAMP_LTZ or TIMESTAMP_TZ.
pub fn offset_minutes(text: &str) -> Option<i32> {
    let payload = text.get(2..text.len().checked_sub(1)?)?;
    let (_, offset) = payload.rsplit_once(' ')?;
    let number: i32 = offset.parse().ok()?;
    Some(number / 100 * 60 + number % 100)
}

/// VARIANTs as text, as [`varchar`] gives it.
pub fn to_varchar(texts: &StringArray) -> StringArray {
    let mut builder = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
    for text in texts {
        builder.append_option(text.and_then(varchar));
    }
    builder.finish()
}

/// A VARIANT as text, as `::VARCHAR` gives it: a string without quotes, JSON null as SQL NULL, an object or array as JSON.
pub fn varchar(text: &str) -> Option<Cow<'_, str>> {
    Some(match Kind::of(text) {
        Kind::Null | Kind::Undefined => return None,
        Kind::Varchar => write::characters(text).unwrap_or_default(),
        Kind::Double => Cow::Owned(double_text(number::to_f64(text).unwrap_or(f64::NAN))),
        Kind::Array | Kind::Object => print::json(text),
        Kind::Boolean | Kind::Integer | Kind::Decimal => Cow::Borrowed(text),
        _ => print::shown(text),
    })
}

/// A DOUBLE as text outside JSON: the shortest digits that read back the same, with an exponent from 1e15 and 1e-5 on.
pub fn double_text(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_string()
    } else if value.is_infinite() {
        if value > 0.0 { "inf".to_string() } else { "-inf".to_string() }
    } else if value == 0.0 || (1e-5..1e15).contains(&value.abs()) {
        format!("{value}")
    } else {
        let text = format!("{value:e}");
        match text.split_once('e') {
            Some((mantissa, exponent)) if !exponent.starts_with('-') => format!("{mantissa}e+{exponent:0>2}"),
            Some((mantissa, exponent)) => format!("{mantissa}e-{:0>2}", exponent.trim_start_matches('-')),
            None => text,
        }
    }
}

/// What a cast from VARIANT does with a value that it cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// An error that names it.
    Error,
    /// SQL NULL.
    Null,
}

fn read<T>(
    texts: &StringArray,
    target: &str,
    unreadable: Unreadable,
    value: impl Fn(&str) -> Option<T>,
) -> Result<Vec<Option<T>>> {
    let mut out = Vec::with_capacity(texts.len());
    for text in texts {
        out.push(match text {
            None | Some("null" | "undefined") => None,
            Some(text) => match value(text) {
                None if unreadable == Unreadable::Error => {
                    return exec_err!("failed to cast variant value {} to {target}", print::json(text));
                }
                other => other,
            },
        });
    }
    Ok(out)
}

/// VARIANTs as FLOAT: numbers, numbers in strings, and booleans as 0 and 1.
pub fn to_float(texts: &StringArray, unreadable: Unreadable) -> Result<Float64Array> {
    let value = |text: &str| match Kind::of(text) {
        Kind::Varchar => float_of_text(&write::characters(text)?),
        Kind::Boolean => Some(f64::from(u8::from(text == "true"))),
        _ => number::to_f64(text),
    };
    Ok(Float64Array::from(read(texts, "REAL", unreadable, value)?))
}

fn float_of_text(text: &str) -> Option<f64> {
    let text = text.trim();
    match text.to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "inf" | "infinity" | "+inf" => Some(f64::INFINITY),
        "-inf" | "-infinity" => Some(f64::NEG_INFINITY),
        _ if text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')) => {
            text.parse().ok()
        }
        _ => None,
    }
}

/// VARIANTs as NUMBER(precision, scale), rounded half away from zero: numbers, numbers in strings, booleans as 0 and 1.
pub fn to_number(texts: &StringArray, precision: u8, scale: u8, unreadable: Unreadable) -> Result<Decimal128Array> {
    let bound = 10_i128.pow(u32::from(precision.min(38)));
    let value = |text: &str| {
        let value = match Kind::of(text) {
            Kind::Varchar => fixed_of_text(&write::characters(text)?, scale),
            Kind::Boolean => Some(i128::from(text == "true") * 10_i128.pow(u32::from(scale))),
            _ => number::to_fixed(text, scale),
        };
        value.filter(|value| value.abs() < bound)
    };
    let values = read(texts, &format!("NUMBER({precision},{scale})"), unreadable, value)?;
    Ok(Decimal128Array::from(values).with_precision_and_scale(precision, scale as i8)?)
}

/// VARIANTs as whole numbers of 64 bits, as [`to_number`]; none where one does not fit.
pub fn to_integer(texts: &StringArray, unreadable: Unreadable) -> Result<Vec<Option<i64>>> {
    let value = |text: &str| match Kind::of(text) {
        Kind::Integer => text.parse().ok(),
        Kind::Varchar => i64::try_from(fixed_of_text(&write::characters(text)?, 0)?).ok(),
        Kind::Boolean => Some(i64::from(text == "true")),
        _ => i64::try_from(number::to_fixed(text, 0)?).ok(),
    };
    read(texts, "FIXED", unreadable, value)
}

fn fixed_of_text(text: &str, scale: u8) -> Option<i128> {
    let text = text.trim();
    let text = text.strip_prefix('+').unwrap_or(text);
    let digits = text.bytes().any(|byte| byte.is_ascii_digit());
    digits.then(|| number::to_fixed(&text.replace("E+", "e").replace("e+", "e").replace('E', "e"), scale)).flatten()
}

/// VARIANTs as BOOLEAN: booleans, numbers (other than 0 is true), and the words that a cast of text knows.
pub fn to_boolean(texts: &StringArray, unreadable: Unreadable) -> Result<BooleanArray> {
    let value = |text: &str| match Kind::of(text) {
        Kind::Boolean => Some(text == "true"),
        Kind::Integer | Kind::Decimal | Kind::Double => number::to_f64(text).map(|value| value != 0.0),
        Kind::Varchar => match write::characters(text)?.trim().to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
            "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    };
    Ok(BooleanArray::from(read(texts, "BOOLEAN", unreadable, value)?))
}

/// VARIANTs that are of a kind that the caller takes, as the same type or another of the three; others are unreadable.
pub fn to_container(texts: &StringArray, target: &DataType, kind: Kind, unreadable: Unreadable) -> Result<ArrayRef> {
    let name = kind.name();
    let values = read(texts, name, unreadable, |text| (Kind::of(text) == kind).then(|| text.to_string()))?;
    super::array::of_texts(StringArray::from(values), target)
}

/// VARIANTs as ARRAY, as `TO_ARRAY` gives them: an array stays, any other value becomes an array of it, JSON null NULL.
pub fn to_array(texts: &StringArray) -> Result<ArrayRef> {
    let element = |text: &str| match Kind::of(text) {
        Kind::Array => Some(text.to_string()),
        Kind::Null | Kind::Undefined => None,
        _ => Some(format!("[{text}]")),
    };
    let values: StringArray = texts.iter().map(|text| text.and_then(element)).collect();
    super::array::of_texts(values, &types::array())
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{BinaryArray, Date32Array, Int64Array, TimestampNanosecondArray};

    use std::sync::Arc;

    use super::*;

    fn text_of(array: ArrayRef) -> String {
        to_texts(&array).unwrap().value(0).to_string()
    }

    #[test]
    fn sql_values_become_canonical_texts() {
        assert_eq!(text_of(Arc::new(Int64Array::from(vec![-5]))), "-5");
        let money = Decimal128Array::from(vec![1250]).with_precision_and_scale(10, 2).unwrap();
        assert_eq!(text_of(Arc::new(money)), "12.5");
        assert_eq!(text_of(Arc::new(Float64Array::from(vec![3.0]))), "3e0");
        assert_eq!(text_of(Arc::new(StringArray::from(vec!["a\"b"]))), "\"a\\\"b\"");
        assert_eq!(text_of(Arc::new(BooleanArray::from(vec![true]))), "true");
        assert_eq!(text_of(Arc::new(BinaryArray::from(vec![&b"Hello"[..]]))), "B\"48656C6C6F\"");
        assert_eq!(text_of(Arc::new(Date32Array::from(vec![19_753]))), "D\"2024-01-31\"");
        let nanos = 1_706_695_200_123_456_789;
        let ntz = TimestampNanosecondArray::from(vec![nanos]);
        assert_eq!(text_of(Arc::new(ntz.clone())), "N\"2024-01-31 10:00:00.123456789\"");
        let ltz = text_of(Arc::new(ntz.with_timezone("Europe/Paris")));
        assert_eq!(ltz, "L\"2024-01-31 11:00:00.123456789 +0100\"");
        assert_eq!((instant(&ltz), offset_minutes(&ltz)), (Some(nanos), Some(60)));
        assert_eq!(offset_minutes("Z\"2024-01-31 11:00:00.123456789 -0930\""), Some(-570));
    }

    #[test]
    fn variants_become_sql_values() {
        let texts = StringArray::from(vec![Some("\"12.5\""), Some("12.5"), Some("1.25e1"), Some("null"), None]);
        let numbers = to_number(&texts, 38, 0, Unreadable::Error).unwrap();
        assert_eq!(numbers.iter().collect::<Vec<_>>(), [Some(13), Some(13), Some(13), None, None]);
        assert_eq!(to_float(&texts, Unreadable::Error).unwrap().value(2), 12.5);
        let shown = to_varchar(&texts);
        assert_eq!(shown.iter().collect::<Vec<_>>(), [Some("12.5"), Some("12.5"), Some("12.5"), None, None]);
        let odd = StringArray::from(vec!["{\"a\":1}", "\"x\"", "true", "0"]);
        assert!(to_number(&odd, 38, 0, Unreadable::Error).is_err());
        let integers = to_integer(&odd, Unreadable::Null).unwrap();
        assert_eq!(integers, [None, None, Some(1), Some(0)]);
        let booleans = to_boolean(&odd, Unreadable::Null).unwrap();
        assert_eq!(booleans.iter().collect::<Vec<_>>(), [None, None, Some(true), Some(false)]);
    }
}
