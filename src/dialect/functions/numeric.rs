//! Functions of numbers: powers, logarithms, angles, division without errors. Rounding and bits have files of their own; the operators are in `operator`.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Builder, Float64Array, Float64Builder, new_null_array,
};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;

use super::Function;
use super::operator::{self, tidy};
use super::scalar::{Call, Shape, exact, integers};
use crate::dialect::arithmetic::{self, Operator};
use crate::dialect::cast::{self, castable, number};
use crate::dialect::format::column::Misfit;
use crate::dialect::types::SqlType;

/// CEIL, FLOOR, ROUND, TRUNC.
mod round;

/// Bits of integers and bytes.
mod bits;

const FAMILY: &str = "numeric";

/// Kilometres from the centre of the earth, as HAVERSINE takes it.
const EARTH: f64 = 6371.0;

/// The functions of this family.
pub(super) fn functions() -> Vec<Function> {
    [round::functions(), bits::functions(), own()].concat()
}

fn own() -> Vec<Function> {
    vec![
        exact(FAMILY, &["abs"], 1..=1, same, abs),
        exact(FAMILY, &["sign"], 1..=1, whole, sign),
        exact(
            FAMILY,
            &["mod"],
            2..=2,
            |s| operator::result(s, Operator::Modulo),
            |c| operator::apply(c, Operator::Modulo),
        ),
        exact(FAMILY, &["div0"], 2..=2, |s| operator::result(s, Operator::Divide), never),
        exact(FAMILY, &["div0null"], 2..=2, |s| operator::result(s, Operator::Divide), never),
        exact(FAMILY, &["sqrt"], 1..=1, float, |c| one(c, |x| (x >= 0.0 || x.is_nan()).then(|| x.sqrt()))),
        exact(FAMILY, &["cbrt"], 1..=1, float, |c| one(c, |x| Some(x.cbrt()))),
        exact(FAMILY, &["square"], 1..=1, float, |c| one(c, |x| Some(x * x))),
        exact(FAMILY, &["exp"], 1..=1, float, |c| one(c, |x| Some(x.exp()))),
        exact(FAMILY, &["ln"], 1..=1, float, |c| one(c, |x| (x > 0.0 || x.is_nan()).then(|| x.ln()))),
        exact(FAMILY, &["log"], 2..=2, float, |c| two(c, logarithm)),
        exact(FAMILY, &["power", "pow"], 2..=2, float, |c| two(c, |x, y| Some(x.powf(y)))),
        exact(FAMILY, &["factorial"], 1..=1, |_| Ok(DataType::Decimal128(38, 0)), factorial),
        exact(FAMILY, &["degrees"], 1..=1, float, |c| one(c, |x| Some(x.to_degrees()))),
        exact(FAMILY, &["radians"], 1..=1, float, |c| one(c, |x| Some(x * (std::f64::consts::PI / 180.0)))),
        exact(FAMILY, &["pi"], 0..=0, |_| Ok(DataType::Float64), pi),
        exact(FAMILY, &["sin"], 1..=1, float, |c| one(c, |x| Some(x.sin()))),
        exact(FAMILY, &["cos"], 1..=1, float, |c| one(c, |x| Some(x.cos()))),
        exact(FAMILY, &["tan"], 1..=1, float, |c| one(c, |x| Some(x.tan()))),
        exact(FAMILY, &["cot"], 1..=1, float, |c| one(c, |x| (x != 0.0).then(|| 1.0 / x.tan()))),
        exact(FAMILY, &["asin"], 1..=1, float, |c| one(c, |x| (x.is_nan() || x.abs() <= 1.0).then(|| x.asin()))),
        exact(FAMILY, &["acos"], 1..=1, float, |c| one(c, |x| (x.is_nan() || x.abs() <= 1.0).then(|| x.acos()))),
        exact(FAMILY, &["atan"], 1..=1, float, |c| one(c, |x| Some(x.atan()))),
        exact(FAMILY, &["atan2"], 2..=2, float, |c| two(c, |y, x| Some(y.atan2(x)))),
        exact(FAMILY, &["sinh"], 1..=1, float, |c| one(c, |x| Some(x.sinh()))),
        exact(FAMILY, &["cosh"], 1..=1, float, |c| one(c, |x| Some(x.cosh()))),
        exact(FAMILY, &["tanh"], 1..=1, float, |c| one(c, |x| Some(x.tanh()))),
        exact(FAMILY, &["asinh"], 1..=1, float, |c| one(c, |x| Some(x.asinh()))),
        exact(FAMILY, &["acosh"], 1..=1, float, |c| one(c, |x| (x.is_nan() || x >= 1.0).then(|| x.acosh()))),
        exact(FAMILY, &["atanh"], 1..=1, float, |c| one(c, |x| (x.is_nan() || x.abs() < 1.0).then(|| x.atanh()))),
        exact(FAMILY, &["haversine"], 4..=4, float, haversine),
        exact(FAMILY, &["width_bucket"], 4..=4, bucket_type, width_bucket),
    ]
}

/// The rule of a function of numbers that gives a FLOAT.
fn float(shape: &Shape<'_>) -> Result<DataType> {
    for index in 0..shape.types.len() {
        if !castable(shape.sql_type(index), SqlType::Float) {
            return shape.refuse(index);
        }
    }
    Ok(DataType::Float64)
}

fn whole(shape: &Shape<'_>) -> Result<DataType> {
    float(shape).map(|_| DataType::Int64)
}

/// The rule of a function that gives a number like the one it takes.
pub(super) fn same(shape: &Shape<'_>) -> Result<DataType> {
    Ok(match (shape.sql_type(0), &shape.types[0]) {
        (SqlType::Number { .. }, data_type @ DataType::Decimal128(..)) => data_type.clone(),
        (SqlType::Number { .. } | SqlType::Boolean, _) => DataType::Decimal128(19, 0),
        (SqlType::Null, _) => DataType::Int64,
        (SqlType::Float | SqlType::Variant, _) => DataType::Float64,
        (SqlType::Varchar(_), _) => DataType::Decimal128(38, 5),
        _ => return shape.refuse(0),
    })
}

/// The kernel of functions that are gone from a plan before it runs.
fn never(call: &Call<'_>) -> Result<ArrayRef> {
    call.fail("it cannot stand here")
}

/// An argument as numbers of the type that [`same`] gives.
pub(super) fn numbers(call: &Call<'_>, index: usize, to: &DataType) -> Result<ArrayRef> {
    let array = cast::settled(&super::conversion::rows_of(call, index)?)?;
    match to {
        _ if array.data_type() == &DataType::Null => Ok(new_null_array(to, call.rows)),
        DataType::Float64 => number::to_float(&array, Misfit::Error),
        DataType::Decimal128(precision, scale) => number::to_number(&array, *precision, *scale as u8, Misfit::Error),
        _ => Ok(array),
    }
}

fn abs(call: &Call<'_>) -> Result<ArrayRef> {
    let array = numbers(call, 0, call.returns)?;
    match array.data_type() {
        DataType::Float64 => Ok(Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(f64::abs))),
        DataType::Decimal128(precision, scale) => {
            let values = number::exact_values(&array)?.map(|value| value.map_or(0, i128::abs)).collect();
            arithmetic::finish(values, array.nulls().cloned(), (*precision, *scale as u8))
        }
        _ => Ok(array),
    }
}

fn sign(call: &Call<'_>) -> Result<ArrayRef> {
    let floats = floats(call, 0)?;
    integers(call.rows, |row| {
        Ok(floats.is_valid(row).then(|| match floats.value(row) {
            value if value > 0.0 => 1,
            value if value < 0.0 => -1,
            _ => 0,
        }))
    })
}

/// An argument as floats, one a row.
pub(super) fn floats(call: &Call<'_>, index: usize) -> Result<Float64Array> {
    Ok(numbers(call, index, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
}

fn one(call: &Call<'_>, function: impl Fn(f64) -> Option<f64>) -> Result<ArrayRef> {
    let column = call.column(0)?;
    let array = cast::settled(column.array())?;
    if array.data_type() == &DataType::Null {
        return Ok(new_null_array(&DataType::Float64, call.rows));
    }
    let array = if column.is_constant() && call.rows != 1 { super::conversion::rows_of(call, 0)? } else { array };
    let values = number::to_float(&cast::settled(&array)?, Misfit::Error)?;
    let values = values.as_primitive::<Float64Type>();
    let mut builder = Float64Builder::with_capacity(call.rows);
    for value in values {
        match value.map(&function) {
            None => builder.append_null(),
            Some(Some(result)) => builder.append_value(tidy(result)),
            Some(None) => return invalid(call, &value.into_iter().collect::<Vec<_>>()),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn two(call: &Call<'_>, function: impl Fn(f64, f64) -> Option<f64>) -> Result<ArrayRef> {
    let (a, b) = (floats(call, 0)?, floats(call, 1)?);
    let mut builder = Float64Builder::with_capacity(call.rows);
    for (a, b) in a.iter().zip(&b) {
        let (Some(a), Some(b)) = (a, b) else {
            builder.append_null();
            continue;
        };
        match function(a, b) {
            Some(result) => builder.append_value(tidy(result)),
            None => return invalid(call, &[a, b]),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn invalid<T>(call: &Call<'_>, values: &[f64]) -> Result<T> {
    let shown: Vec<String> = values.iter().map(f64::to_string).collect();
    call.fail(format!("invalid floating point operation: {}({})", call.name.to_lowercase(), shown.join(", ")))
}

fn logarithm(base: f64, value: f64) -> Option<f64> {
    let valid = base > 0.0 && base != 1.0 && value > 0.0;
    valid.then(|| match base {
        2.0 => value.log2(),
        10.0 => value.log10(),
        base => value.ln() / base.ln(),
    })
}

fn pi(call: &Call<'_>) -> Result<ArrayRef> {
    Ok(Arc::new(Float64Array::from(vec![std::f64::consts::PI; call.rows])))
}

fn factorial(call: &Call<'_>) -> Result<ArrayRef> {
    let counts = call.integers(0)?;
    let mut builder = Decimal128Builder::with_capacity(call.rows).with_precision_and_scale(38, 0)?;
    for row in 0..call.rows {
        match counts.get(row) {
            None => builder.append_null(),
            Some(count @ 0..=33) => builder.append_value((1..=i128::from(count)).product()),
            Some(count) => return call.fail(format!("{count} is not one of 0 to 33")),
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// Kilometres along the surface of the earth between two places in degrees.
fn haversine(call: &Call<'_>) -> Result<ArrayRef> {
    let columns = (0..4).map(|index| floats(call, index)).collect::<Result<Vec<_>>>()?;
    let at = |column: usize, row: usize| columns[column].is_valid(row).then(|| columns[column].value(row).to_radians());
    let distance = |row| {
        let (lat1, lon1, lat2, lon2) = (at(0, row)?, at(1, row)?, at(2, row)?, at(3, row)?);
        let square = |angle: f64| (angle / 2.0).sin().powi(2);
        let chord = square(lat2 - lat1) + lat1.cos() * lat2.cos() * square(lon2 - lon1);
        Some(2.0 * EARTH * chord.sqrt().asin())
    };
    Ok(Arc::new((0..call.rows).map(distance).collect::<Float64Array>()))
}

fn bucket_type(shape: &Shape<'_>) -> Result<DataType> {
    for index in 0..3 {
        let kind = shape.sql_type(index);
        if kind != SqlType::Date && !castable(kind, SqlType::Float) {
            return shape.refuse(index);
        }
    }
    Ok(DataType::Int64)
}

/// The bucket of equal width that a value falls into: 0 below the first, one more than there are above the last.
fn width_bucket(call: &Call<'_>) -> Result<ArrayRef> {
    let column = |index| match call.sql_type(index) {
        SqlType::Date => {
            let days = super::scalar::cast_to(&super::conversion::rows_of(call, index)?, &DataType::Int32)?;
            Ok(super::scalar::cast_to(&days, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
        }
        _ => floats(call, index),
    };
    let (values, least, most, counts) = (column(0)?, column(1)?, column(2)?, call.integers(3)?);
    integers(call.rows, |row| {
        let all = values.is_valid(row) && least.is_valid(row) && most.is_valid(row);
        let (true, Some(count)) = (all, counts.get(row)) else { return Ok(None) };
        let (value, least, most) = (values.value(row), least.value(row), most.value(row));
        if count <= 0 || most <= least {
            return call.fail("it takes a least and a greater most, and a number of buckets above 0");
        }
        Ok(Some(match value {
            value if value < least => 0,
            value if value >= most => count + 1,
            value => ((value - least) * count as f64 / (most - least)).floor() as i64 + 1,
        }))
    })
}
