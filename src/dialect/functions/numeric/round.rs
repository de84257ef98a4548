//! CEIL, FLOOR, ROUND and TRUNC, to any number of digits before or after the point.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Builder, Float64Builder};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, ScalarValue, plan_err};

use super::super::Function;
use super::super::operator::tidy;
use super::super::scalar::{Call, Shape, exact};
use super::{FAMILY, numbers, same};
use crate::dialect::arithmetic::{digits, divide_rounded, fits, power};
use crate::dialect::cast::number;
use crate::dialect::types::{MAX_PRECISION, SqlType};

/// Which neighbour a number goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Up,
    Down,
    Nearest,
    NearestEven,
    Zero,
}

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    vec![
        exact(FAMILY, &["ceil", "ceiling"], 1..=2, rounded_type, |call| rounded(call, Way::Up)),
        exact(FAMILY, &["floor"], 1..=2, rounded_type, |call| rounded(call, Way::Down)),
        exact(FAMILY, &["round"], 1..=3, round_type, round),
        exact(FAMILY, &["trunc", "truncate"], 1..=2, trunc_type, trunc),
    ]
}

/// The scale of the result: what is asked for by a constant, else that of the number.
fn rounded_type(shape: &Shape<'_>) -> Result<DataType> {
    let own = same(shape)?;
    if shape.types.len() > 1 && !matches!(shape.sql_type(1), SqlType::Number { .. } | SqlType::Null | SqlType::Float) {
        return shape.refuse(1);
    }
    let DataType::Decimal128(precision, scale) = own else { return Ok(own) };
    let asked = match (shape.types.len(), shape.constants.get(1).copied().flatten()) {
        (1, _) => Some(0),
        (_, Some(value)) => match value.cast_to(&DataType::Int64)? {
            ScalarValue::Int64(Some(asked)) => Some(asked),
            _ => None,
        },
        _ => None,
    };
    let kept = asked.map_or(scale, |asked| asked.clamp(0, i64::from(scale)) as i8);
    let whole = precision.saturating_sub(scale as u8).saturating_add(1);
    Ok(DataType::Decimal128(whole.saturating_add(kept as u8).min(MAX_PRECISION), kept))
}

fn round_type(shape: &Shape<'_>) -> Result<DataType> {
    if let Some(mode) = shape.constant_text(2)
        && way_of(mode).is_none()
    {
        return plan_err!("`ROUND`: '{mode}' is not HALF_AWAY_FROM_ZERO or HALF_TO_EVEN");
    }
    rounded_type(shape)
}

fn way_of(mode: &str) -> Option<Way> {
    match mode.to_ascii_uppercase().as_str() {
        "HALF_AWAY_FROM_ZERO" => Some(Way::Nearest),
        "HALF_TO_EVEN" => Some(Way::NearestEven),
        _ => None,
    }
}

fn round(call: &Call<'_>) -> Result<ArrayRef> {
    let mode = if call.len() > 2 { call.texts(2)?.get(0).map(str::to_owned) } else { None };
    match way_of(mode.as_deref().unwrap_or("HALF_AWAY_FROM_ZERO")) {
        Some(way) => rounded(call, way),
        None => call.fail("the rounding mode is not HALF_AWAY_FROM_ZERO or HALF_TO_EVEN"),
    }
}

/// TRUNC of a date cuts it to a part, as DATE_TRUNC does with its arguments the other way round.
fn trunc_type(shape: &Shape<'_>) -> Result<DataType> {
    match shape.sql_type(0) {
        kind @ (SqlType::Date | SqlType::TimestampNtz | SqlType::TimestampLtz | SqlType::TimestampTz) => {
            Ok(kind.arrow(shape.zone))
        }
        _ => rounded_type(shape),
    }
}

fn trunc(call: &Call<'_>) -> Result<ArrayRef> {
    rounded(call, Way::Zero)
}

fn rounded(call: &Call<'_>, way: Way) -> Result<ArrayRef> {
    match call.returns {
        DataType::Float64 => floats(call, way),
        DataType::Decimal128(precision, scale) => fixed(call, way, *precision, *scale),
        _ => Ok(datafusion::arrow::array::new_null_array(call.returns, call.rows)),
    }
}

/// The digits after the point that are asked for in each row; none where that is NULL.
fn places(call: &Call<'_>) -> Result<impl Fn(usize) -> Option<i64>> {
    let asked = if call.len() > 1 { Some(call.integers(1)?) } else { None };
    Ok(move |row| match &asked {
        None => Some(0),
        Some(asked) => asked.get(row),
    })
}

fn fixed(call: &Call<'_>, way: Way, precision: u8, scale: i8) -> Result<ArrayRef> {
    let own = match call.column(0)?.array().data_type() {
        data_type @ DataType::Decimal128(..) => data_type.clone(),
        DataType::Utf8 => DataType::Decimal128(38, 5),
        _ => DataType::Decimal128(38, 0),
    };
    let array = numbers(call, 0, &own)?;
    let from = digits(&own).map_or(0, |(_, scale)| scale);
    let places = places(call)?;
    let mut builder = Decimal128Builder::with_capacity(call.rows).with_precision_and_scale(precision, scale)?;
    for (row, value) in number::exact_values(&array)?.enumerate() {
        let (Some(value), Some(places)) = (value, places(row)) else {
            builder.append_null();
            continue;
        };
        // The number of digits to drop, and the unit in which what is left counts.
        let drop = i64::from(from) - places;
        let kept = if drop <= 0 {
            Some(value)
        } else if drop > 38 {
            Some(match way {
                Way::Up if value > 0 => i128::MAX,
                Way::Down if value < 0 => i128::MIN,
                _ => 0,
            })
        } else {
            let unit = power(drop as u8);
            divided(value, unit, way).checked_mul(unit)
        };
        let result = kept.and_then(|v| match (scale as u8).cmp(&from) {
            std::cmp::Ordering::Less => Some(v / power(from - scale as u8)),
            _ => v.checked_mul(power(scale as u8 - from)),
        });
        match result.filter(|v| fits(*v)) {
            Some(result) => builder.append_value(result),
            None => return call.fail("the result has more than 38 digits"),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn divided(value: i128, unit: i128, way: Way) -> i128 {
    match way {
        Way::Zero => value / unit,
        Way::Down => value.div_euclid(unit),
        Way::Up => -(-value).div_euclid(unit),
        Way::Nearest => divide_rounded(value, unit),
        Way::NearestEven => {
            let low = value.div_euclid(unit);
            let twice = value.rem_euclid(unit) * 2;
            low + i128::from(twice > unit || twice == unit && low % 2 != 0)
        }
    }
}

fn floats(call: &Call<'_>, way: Way) -> Result<ArrayRef> {
    let array = numbers(call, 0, &DataType::Float64)?;
    let values = array.as_primitive::<Float64Type>();
    let places = places(call)?;
    let mut builder = Float64Builder::with_capacity(call.rows);
    for row in 0..call.rows {
        let (true, Some(places)) = (values.is_valid(row), places(row)) else {
            builder.append_null();
            continue;
        };
        builder.append_value(tidy(rounded_float(values.value(row), places, way)));
    }
    Ok(Arc::new(builder.finish()))
}

fn rounded_float(value: f64, places: i64, way: Way) -> f64 {
    let step = |value: f64| match way {
        Way::Up => value.ceil(),
        Way::Down => value.floor(),
        Way::Nearest => value.round(),
        Way::NearestEven => value.round_ties_even(),
        Way::Zero => value.trunc(),
    };
    if places == 0 || !value.is_finite() {
        return step(value);
    }
    let factor = 10_f64.powi(places.unsigned_abs().min(400) as i32);
    let (scaled, back): (f64, fn(f64, f64) -> f64) =
        if places > 0 { (value * factor, |v, f| v / f) } else { (value / factor, |v, f| v * f) };
    if !scaled.is_finite() {
        return value;
    }
    back(step(scaled), factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_a_number() {
        let all =
            |value| [Way::Up, Way::Down, Way::Nearest, Way::NearestEven, Way::Zero].map(|way| divided(value, 10, way));
        assert_eq!(all(25), [3, 2, 3, 2, 2]);
        assert_eq!(all(-25), [-2, -3, -3, -2, -2]);
        assert_eq!(all(35), [4, 3, 4, 4, 3]);
        assert_eq!(all(-1), [0, -1, 0, 0, 0]);
    }

    #[test]
    fn floats_are_rounded_at_a_place() {
        assert_eq!(rounded_float(-975.975, 2, Way::Zero), -975.97);
        assert_eq!(rounded_float(-975.975, -1, Way::Zero), -970.0);
        assert_eq!(rounded_float(135.135, 1, Way::Up), 135.2);
        assert_eq!(rounded_float(2.5, 0, Way::Nearest), 3.0);
        assert_eq!(rounded_float(2.5, 0, Way::NearestEven), 2.0);
        assert_eq!(rounded_float(1e300, 50, Way::Nearest), 1e300);
    }
}
