//! Numbers out of text, floats, booleans, VARIANTs and other numbers. What does not fit the scale is rounded half away from
//! zero; what does not fit the precision is no value.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, DecimalType, Float64Type, Int64Type};
use datafusion::common::{Result, exec_err};

use super::{missed, unreadable, within};
use crate::dialect::arithmetic::{power, rescale};
use crate::dialect::format::column::Misfit;
use crate::dialect::types::SqlType;
use crate::dialect::variant::array::texts;
use crate::dialect::variant::convert;

/// The unscaled values of a column of exact numbers.
pub fn exact_values(array: &ArrayRef) -> Result<Box<dyn Iterator<Item = Option<i128>> + '_>> {
    Ok(match array.data_type() {
        DataType::Int64 => Box::new(array.as_primitive::<Int64Type>().iter().map(|value| value.map(i128::from))),
        DataType::Decimal128(..) => Box::new(array.as_primitive::<Decimal128Type>().iter()),
        other => return exec_err!("{other} is not an exact number"),
    })
}

/// The unscaled value of a text at a scale, such as `12.5`, ` -3 ` or `1e3`; none for other texts and where 38 digits do
/// not hold it.
pub fn fixed_of_text(text: &str, scale: u8) -> Option<i128> {
    let bytes = text.trim().as_bytes();
    let (negative, bytes) = match bytes.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, bytes),
    };
    let end = bytes.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(bytes.len());
    let exponent = match bytes.get(end + 1..) {
        None => 0,
        Some(digits) => std::str::from_utf8(digits).ok()?.parse::<i32>().ok()?,
    };
    let mantissa = &bytes[..end];
    let point = mantissa.iter().position(|byte| *byte == b'.');
    let fraction = point.map_or(0, |point| mantissa.len() - point - 1);
    let digits = mantissa.len() - usize::from(point.is_some());
    if digits == 0 || mantissa.iter().enumerate().any(|(at, b)| !b.is_ascii_digit() && Some(at) != point) {
        return None;
    }
    let keep = i32::try_from(digits).ok()? - i32::try_from(fraction).ok()? + exponent.saturating_add(i32::from(scale));
    let value = rounded(mantissa.iter().filter(|byte| byte.is_ascii_digit()), keep)?;
    Some(if negative { -value } else { value })
}

/// The number that the first `keep` digits make, rounded by the next one; zeros follow where there are fewer.
fn rounded<'a>(digits: impl Iterator<Item = &'a u8>, keep: i32) -> Option<i128> {
    let mut value = 0_i128;
    let mut taken = 0;
    for byte in digits {
        let digit = i128::from(byte - b'0');
        if taken >= keep {
            return if taken == keep && digit >= 5 { bounded(value + 1) } else { Some(value) };
        }
        value = bounded(value.checked_mul(10)?.checked_add(digit)?)?;
        taken += 1;
    }
    if value == 0 || taken >= keep {
        return Some(value);
    }
    let zeros = u8::try_from(keep - taken).ok().filter(|zeros| *zeros <= 38)?;
    bounded(value.checked_mul(power(zeros))?)
}

fn bounded(value: i128) -> Option<i128> {
    within(value, 38).then_some(value)
}

/// The unscaled value of a float at a scale; none where 38 digits do not hold it.
pub fn fixed_of_float(value: f64, scale: u8) -> Option<i128> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let scaled = value * 10_f64.powi(i32::from(scale));
    if scaled.abs() < EXACT {
        return Some(scaled.round() as i128);
    }
    if !value.is_finite() || value.abs() >= 1e38 {
        return None;
    }
    // More digits than a float multiplies exactly: its shortest decimal text is the number that was meant.
    fixed_of_text(&format!("{value:e}"), scale)
}

/// A float out of a text; words are case-blind.
pub fn float_of_text(text: &str) -> Option<f64> {
    let text = text.trim();
    let number = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    if number {
        return text.parse().ok();
    }
    match text.to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "inf" | "+inf" | "infinity" | "+infinity" => Some(f64::INFINITY),
        "-inf" | "-infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

fn out_of_range(precision: u8, scale: u8) -> String {
    format!("number out of representable range of NUMBER({precision},{scale})")
}

/// A column as NUMBER.
pub fn to_number(array: &ArrayRef, precision: u8, scale: u8, misfit: Misfit) -> Result<ArrayRef> {
    let to = DataType::Decimal128(precision, scale as i8);
    if array.data_type() == &to {
        return Ok(Arc::clone(array));
    }
    let checked = |value: Option<i128>, shown: &dyn Fn() -> String| match value.filter(|v| within(*v, precision)) {
        None => missed(misfit, || format!("{}: {}", out_of_range(precision, scale), shown())),
        value => Ok(value),
    };
    let values: Decimal128Array = match SqlType::of(array.data_type()) {
        Some(SqlType::Variant) => convert::to_number(&texts(array)?, precision, scale, unreadable(misfit))?,
        Some(SqlType::Number { scale: from, .. }) => return numbers(array, from, (precision, scale), misfit),
        Some(SqlType::Float) => {
            let one = |value: f64| checked(fixed_of_float(value, scale), &|| value.to_string());
            array.as_primitive::<Float64Type>().iter().map(|v| v.map_or(Ok(None), one)).collect::<Result<_>>()?
        }
        Some(SqlType::Boolean) => {
            let one = power(scale);
            array.as_boolean().iter().map(|value| value.map(|value| if value { one } else { 0 })).collect()
        }
        _ => {
            let one = |text: &str| match fixed_of_text(text, scale) {
                Some(value) => checked(Some(value), &|| text.to_owned()),
                None => missed(misfit, || format!("numeric value '{text}' is not recognized")),
            };
            array.as_string::<i32>().iter().map(|v| v.map_or(Ok(None), one)).collect::<Result<_>>()?
        }
    };
    Ok(Arc::new(values.with_data_type(to)))
}

/// Numbers at another precision and scale; the values of null rows do not count.
fn numbers(array: &ArrayRef, from: u8, (precision, scale): (u8, u8), misfit: Misfit) -> Result<ArrayRef> {
    let one = |value: i128| match rescale(value, from, scale).filter(|v| within(*v, precision)) {
        None => missed(misfit, || {
            let shown = Decimal128Type::format_decimal(value, 38, from as i8);
            format!("{}: {shown}", out_of_range(precision, scale))
        }),
        value => Ok(value),
    };
    let small = array.data_type() == &DataType::Int64;
    if small && precision.saturating_sub(scale) >= 19 {
        let factor = power(scale);
        let values: Vec<i128> =
            array.as_primitive::<Int64Type>().values().iter().map(|v| i128::from(*v) * factor).collect();
        return crate::dialect::arithmetic::finish(values, array.nulls().cloned(), (precision, scale));
    }
    let values: Decimal128Array = exact_values(array)?.map(|v| v.map_or(Ok(None), one)).collect::<Result<_>>()?;
    Ok(Arc::new(values.with_data_type(DataType::Decimal128(precision, scale as i8))))
}

/// A column as FLOAT.
pub fn to_float(array: &ArrayRef, misfit: Misfit) -> Result<ArrayRef> {
    let values: Float64Array = match SqlType::of(array.data_type()) {
        Some(SqlType::Float) => return Ok(Arc::clone(array)),
        Some(SqlType::Variant) => convert::to_float(&texts(array)?, unreadable(misfit))?,
        Some(SqlType::Number { scale: 0, .. }) => exact_values(array)?.map(|v| v.map(|v| v as f64)).collect(),
        Some(SqlType::Number { scale, .. }) => {
            exact_values(array)?.map(|v| v.map(|v| float_of_fixed(v, scale))).collect()
        }
        Some(SqlType::Boolean) => array.as_boolean().iter().map(|v| v.map(|v| f64::from(u8::from(v)))).collect(),
        _ => {
            let one = |text: &str| match float_of_text(text) {
                None => missed(misfit, || format!("numeric value '{text}' is not recognized")),
                value => Ok(value),
            };
            array.as_string::<i32>().iter().map(|v| v.map_or(Ok(None), one)).collect::<Result<_>>()?
        }
    };
    Ok(Arc::new(values))
}

/// The float nearest to a fixed-point number.
pub fn float_of_fixed(value: i128, scale: u8) -> f64 {
    const EXACT: u128 = 1 << 53;
    if value.unsigned_abs() < EXACT && scale <= 22 {
        return value as f64 / 10_f64.powi(i32::from(scale));
    }
    format!("{value}e-{scale}").parse().unwrap_or(f64::NAN)
}
