//! What a VARIANT holds: TYPEOF, IS_*; and out of it without conversion: AS_*.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
    Time64NanosecondArray, TimestampNanosecondArray,
};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::scalar::ScalarValue;

use super::{FAMILY, gives_boolean, gives_integer, gives_text, gives_variant, values};
use crate::dialect::format::column::{ntz, tz_array};
use crate::dialect::functions::Function;
use crate::dialect::functions::scalar::{self, Call, Shape, exact};
use crate::dialect::types::{self, SqlType};
use crate::dialect::variant::text::Kind;
use crate::dialect::variant::{convert, number, write};

pub(super) fn functions() -> Vec<Function> {
    vec![
        exact(FAMILY, &["typeof"], 1..=1, gives_text, type_of),
        exact(FAMILY, &["is_array"], 1..=1, gives_boolean, |call| is(call, |kind| kind == Kind::Array)),
        exact(FAMILY, &["is_object"], 1..=1, gives_boolean, |call| is(call, |kind| kind == Kind::Object)),
        exact(FAMILY, &["is_boolean"], 1..=1, gives_boolean, |call| is(call, |kind| kind == Kind::Boolean)),
        exact(FAMILY, &["is_binary"], 1..=1, gives_boolean, |call| is(call, |kind| kind == Kind::Binary)),
        exact(FAMILY, &["is_varchar", "is_char"], 1..=1, gives_boolean, |call| is(call, |kind| kind == Kind::Varchar)),
        exact(FAMILY, &["is_date", "is_date_value"], 1..=1, gives_boolean, |call| is(call, |kind| kind == Kind::Date)),
        exact(FAMILY, &["is_time"], 1..=1, gives_boolean, |call| is(call, |kind| kind == Kind::Time)),
        exact(FAMILY, &["is_timestamp_ntz"], 1..=1, gives_boolean, |call| is(call, |kind| kind == Kind::TimestampNtz)),
        exact(FAMILY, &["is_timestamp_ltz"], 1..=1, gives_boolean, |call| is(call, |kind| kind == Kind::TimestampLtz)),
        exact(FAMILY, &["is_timestamp_tz"], 1..=1, gives_boolean, |call| is(call, |kind| kind == Kind::TimestampTz)),
        exact(FAMILY, &["is_integer"], 1..=1, gives_boolean, |call| is(call, |kind| kind == Kind::Integer)),
        exact(FAMILY, &["is_decimal"], 1..=1, gives_boolean, |call| is(call, is_fixed)),
        exact(FAMILY, &["is_double", "is_real"], 1..=1, gives_boolean, |call| is(call, Kind::is_number)),
        exact(FAMILY, &["is_null_value"], 1..=1, gives_boolean, |call| is(call, |kind| kind == Kind::Null)),
        exact(FAMILY, &["strip_null_value"], 1..=1, gives_variant, strip_null_value),
        exact(FAMILY, &["as_array"], 1..=1, |_| Ok(types::array()), |call| container(call, Kind::Array)),
        exact(FAMILY, &["as_object"], 1..=1, |_| Ok(types::object()), |call| container(call, Kind::Object)),
        exact(FAMILY, &["as_boolean"], 1..=1, gives_boolean, as_boolean),
        exact(FAMILY, &["as_varchar", "as_char"], 1..=1, gives_text, as_varchar),
        exact(FAMILY, &["as_binary"], 1..=1, |_| Ok(DataType::Binary), as_binary),
        exact(FAMILY, &["as_integer"], 1..=1, gives_integer, as_integer),
        exact(FAMILY, &["as_decimal", "as_number"], 1..=3, decimal_rule, as_decimal),
        exact(FAMILY, &["as_double", "as_real"], 1..=1, |_| Ok(DataType::Float64), as_double),
        exact(FAMILY, &["as_date"], 1..=1, |_| Ok(DataType::Date32), as_date),
        exact(FAMILY, &["as_time"], 1..=1, |_| Ok(SqlType::Time.arrow("")), as_time),
        exact(FAMILY, &["as_timestamp_ntz"], 1..=1, |_| Ok(ntz()), |call| instants(call, Kind::TimestampNtz)),
        exact(FAMILY, &["as_timestamp_ltz"], 1..=1, ltz_rule, |call| instants(call, Kind::TimestampLtz)),
        exact(FAMILY, &["as_timestamp_tz"], 1..=1, |_| Ok(types::timestamp_tz()), as_timestamp_tz),
    ]
}

fn is_fixed(kind: Kind) -> bool {
    matches!(kind, Kind::Integer | Kind::Decimal)
}

fn type_of(call: &Call<'_>) -> Result<ArrayRef> {
    let variants = call.variants(0)?;
    scalar::slices(call.rows, |row| Ok(variants.get(row).map(|text| Kind::of(text).name())))
}

fn is(call: &Call<'_>, wanted: fn(Kind) -> bool) -> Result<ArrayRef> {
    let variants = call.variants(0)?;
    scalar::booleans(call.rows, |row| Ok(variants.get(row).map(|text| wanted(Kind::of(text)))))
}

fn strip_null_value(call: &Call<'_>) -> Result<ArrayRef> {
    let variants = call.variants(0)?;
    values(call, |row, out| {
        let text = variants.get(row).filter(|text| *text != "null");
        out.push_str(text.unwrap_or_default());
        Ok(text.is_some())
    })
}

fn container(call: &Call<'_>, kind: Kind) -> Result<ArrayRef> {
    let variants = call.variants(0)?;
    values(call, |row, out| {
        let text = variants.get(row).filter(|text| Kind::of(text) == kind);
        out.push_str(text.unwrap_or_default());
        Ok(text.is_some())
    })
}

/// The values of one or more kinds, read; all other values are NULL.
fn read<T>(call: &Call<'_>, kinds: fn(Kind) -> bool, value: impl Fn(&str) -> Option<T>) -> Result<Vec<Option<T>>> {
    let variants = call.variants(0)?;
    let row = |row| variants.get(row).filter(|text| kinds(Kind::of(text))).and_then(&value);
    Ok((0..call.rows).map(row).collect())
}

fn as_boolean(call: &Call<'_>) -> Result<ArrayRef> {
    let values = read(call, |kind| kind == Kind::Boolean, |text| Some(text == "true"))?;
    Ok(Arc::new(BooleanArray::from(values)))
}

fn as_varchar(call: &Call<'_>) -> Result<ArrayRef> {
    let values = read(call, |kind| kind == Kind::Varchar, |text| Some(write::characters(text)?.into_owned()))?;
    Ok(Arc::new(StringArray::from(values)))
}

fn as_binary(call: &Call<'_>) -> Result<ArrayRef> {
    let values = read(call, |kind| kind == Kind::Binary, |text| hex::decode(write::characters(text)?.as_ref()).ok())?;
    let mut builder = BinaryBuilder::new();
    values.iter().for_each(|value| builder.append_option(value.as_deref()));
    Ok(Arc::new(builder.finish()))
}

fn as_integer(call: &Call<'_>) -> Result<ArrayRef> {
    let values = read(call, |kind| kind == Kind::Integer, |text| text.parse().ok())?;
    Ok(Arc::new(Int64Array::from(values)))
}

fn as_double(call: &Call<'_>) -> Result<ArrayRef> {
    Ok(Arc::new(Float64Array::from(read(call, Kind::is_number, number::to_f64)?)))
}

fn decimal_rule(shape: &Shape<'_>) -> Result<DataType> {
    let constant = |index: usize, default: u8| -> Result<u8> {
        match shape.constants.get(index).copied().flatten() {
            None if index >= shape.types.len() => Ok(default),
            None => shape.refuse(index),
            Some(value) => match value.cast_to(&DataType::UInt8)? {
                ScalarValue::UInt8(Some(value)) => Ok(value),
                _ => shape.refuse(index),
            },
        }
    };
    let (precision, scale) = (constant(1, 38)?, constant(2, 0)?);
    if precision == 0 || precision > 38 || scale > precision {
        return datafusion::common::plan_err!("there is no NUMBER({precision},{scale})");
    }
    Ok(DataType::Decimal128(precision, scale as i8))
}

fn as_decimal(call: &Call<'_>) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, scale) = *call.returns else { return Err(scalar::wrong_type()) };
    let bound = 10_i128.pow(u32::from(precision));
    let read_one = |text: &str| number::to_fixed(text, scale as u8).filter(|value| value.abs() < bound);
    let values = read(call, is_fixed, read_one)?;
    Ok(Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale)?))
}

fn as_date(call: &Call<'_>) -> Result<ArrayRef> {
    let day = |text: &str| Some((convert::instant(text)?.div_euclid(86_400_000_000_000)) as i32);
    Ok(Arc::new(Date32Array::from(read(call, |kind| kind == Kind::Date, day)?)))
}

fn as_time(call: &Call<'_>) -> Result<ArrayRef> {
    let nanos = |text: &str| {
        let time = chrono::NaiveTime::parse_from_str(&write::characters(text)?, "%H:%M:%S%.9f").ok()?;
        time.signed_duration_since(chrono::NaiveTime::MIN).num_nanoseconds()
    };
    Ok(Arc::new(Time64NanosecondArray::from(read(call, |kind| kind == Kind::Time, nanos)?)))
}

fn ltz_rule(shape: &Shape<'_>) -> Result<DataType> {
    Ok(SqlType::TimestampLtz.arrow(shape.zone))
}

fn instants(call: &Call<'_>, kind: Kind) -> Result<ArrayRef> {
    let variants = call.variants(0)?;
    let row = |row| variants.get(row).filter(|text| Kind::of(text) == kind).and_then(convert::instant);
    let values: TimestampNanosecondArray = (0..call.rows).map(row).collect();
    match call.returns {
        DataType::Timestamp(_, Some(zone)) => Ok(Arc::new(values.with_timezone(Arc::clone(zone)))),
        _ => Ok(Arc::new(values)),
    }
}

fn as_timestamp_tz(call: &Call<'_>) -> Result<ArrayRef> {
    let parts = |text: &str| Some((convert::instant(text)?, convert::offset_minutes(text)?));
    Ok(Arc::new(tz_array(read(call, |kind| kind == Kind::TimestampTz, parts)?)?))
}
