//! TO_DATE, TO_TIME, the TO_TIMESTAMP functions with their TRY_ forms, and CONVERT_TIMEZONE.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, StringArray, new_null_array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, plan_err};

use super::super::Function;
use super::super::scalar::{Call, Column, Shape, decimal_argument, exact};
use super::FAMILY;
use super::value::{Dates, Results, dated};
use crate::dialect::cast::is_of_snowflake;
use crate::dialect::format::column::{
    Misfit, dates, text_column, times, timestamps_ltz, timestamps_ntz, timestamps_tz,
};
use crate::dialect::format::zone::{moment_in, offset_at, to_local, to_utc, zone};
use crate::dialect::format::{Model, Moment};
use crate::dialect::types::SqlType;

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    vec![
        exact(FAMILY, &["to_date", "date"], 1..=2, |shape| converted(shape, SqlType::Date), strict),
        exact(FAMILY, &["try_to_date"], 1..=2, |shape| converted(shape, SqlType::Date), lenient),
        exact(FAMILY, &["to_time", "time"], 1..=2, |shape| converted(shape, SqlType::Time), strict),
        exact(FAMILY, &["try_to_time"], 1..=2, |shape| converted(shape, SqlType::Time), lenient),
        exact(FAMILY, &["to_timestamp"], 1..=2, |shape| converted(shape, shape.timestamp), strict),
        exact(FAMILY, &["try_to_timestamp"], 1..=2, |shape| converted(shape, shape.timestamp), lenient),
        exact(FAMILY, &["to_timestamp_ntz"], 1..=2, |shape| converted(shape, SqlType::TimestampNtz), strict),
        exact(FAMILY, &["try_to_timestamp_ntz"], 1..=2, |shape| converted(shape, SqlType::TimestampNtz), lenient),
        exact(FAMILY, &["to_timestamp_ltz"], 1..=2, |shape| converted(shape, SqlType::TimestampLtz), strict),
        exact(FAMILY, &["try_to_timestamp_ltz"], 1..=2, |shape| converted(shape, SqlType::TimestampLtz), lenient),
        exact(FAMILY, &["to_timestamp_tz"], 1..=2, |shape| converted(shape, SqlType::TimestampTz), strict),
        exact(FAMILY, &["try_to_timestamp_tz"], 1..=2, |shape| converted(shape, SqlType::TimestampTz), lenient),
        exact(FAMILY, &["convert_timezone"], 2..=3, zone_type, convert_timezone),
    ]
}

/// Text and VARIANT are read, dates and times are converted, numbers are seconds (or fractions of them by the scale).
fn converted(shape: &Shape<'_>, wanted: SqlType) -> Result<DataType> {
    let timestamp = !matches!(wanted, SqlType::Date | SqlType::Time);
    match shape.sql_type(0) {
        SqlType::Varchar(_) | SqlType::Variant | SqlType::Null => {}
        SqlType::Number { .. } | SqlType::Float if timestamp => {}
        SqlType::Date if wanted != SqlType::Time => {}
        SqlType::Time if wanted == SqlType::Time => {}
        SqlType::TimestampNtz | SqlType::TimestampLtz | SqlType::TimestampTz => {}
        _ => return shape.refuse(0),
    }
    if let Some(format) = shape.constant_text(1) {
        Model::parse(format).map_err(|message| shape.error(message))?;
    }
    Ok(wanted.arrow(shape.zone))
}

fn strict(call: &Call<'_>) -> Result<ArrayRef> {
    convert(call, Misfit::Error)
}

fn lenient(call: &Call<'_>) -> Result<ArrayRef> {
    convert(call, Misfit::Null)
}

fn convert(call: &Call<'_>, misfit: Misfit) -> Result<ArrayRef> {
    match call.sql_type(0) {
        SqlType::Null => Ok(new_null_array(call.returns, call.rows)),
        SqlType::Varchar(_) | SqlType::Variant => read(call, misfit),
        SqlType::Number { .. } | SqlType::Float => epoch(call, misfit),
        _ => {
            let moments = Dates::of(call, 0)?;
            let mut results = Results::new(call)?;
            let instants = matches!(results.kind(), SqlType::TimestampLtz | SqlType::TimestampTz)
                && matches!(call.sql_type(0), SqlType::TimestampLtz | SqlType::TimestampTz);
            for row in 0..call.rows {
                match (moments.get(row), moments.utc(row)) {
                    (None, _) => results.push_null(),
                    (Some(moment), Some(utc)) if instants => results.push_utc(utc, moment.offset.unwrap_or(0))?,
                    (Some(moment), _) => results.push(moment)?,
                }
            }
            results.finish()
        }
    }
}

/// Text by the given format, or by the session's.
fn read(call: &Call<'_>, misfit: Misfit) -> Result<ArrayRef> {
    let column = call.column(0)?;
    let text = text_column(column.array(), call.session)?;
    let formats = if call.len() > 1 { Some(call.texts(1)?) } else { None };
    let Some(formats) = formats else {
        let session = call.session;
        let format = match SqlType::of(call.returns) {
            Some(SqlType::Date) => &session.date_input_format,
            Some(SqlType::Time) => &session.time_input_format,
            _ => &session.timestamp_input_format,
        };
        return spread(call, &column, read_all(call, &text, format, misfit)?);
    };
    if formats.is_constant() {
        let array = match if call.rows == 0 { None } else { formats.get(0) } {
            Some(format) => read_all(call, &text, format, misfit)?,
            None => new_null_array(call.returns, text.len()),
        };
        return spread(call, &column, array);
    }
    let one = |row: usize| -> Result<ArrayRef> {
        match (column.at(row), formats.get(row)) {
            (Some(index), Some(format)) => read_all(call, &text.slice(index, 1), format, misfit),
            _ => Ok(new_null_array(call.returns, 1)),
        }
    };
    let rows: Vec<ArrayRef> = (0..call.rows).map(one).collect::<Result<_>>()?;
    let rows: Vec<&dyn Array> = rows.iter().map(AsRef::as_ref).collect();
    Ok(datafusion::arrow::compute::concat(&rows)?)
}

/// One value for all rows where the argument is a constant.
fn spread(call: &Call<'_>, column: &Column<ArrayRef>, array: ArrayRef) -> Result<ArrayRef> {
    if array.len() == call.rows || !column.is_constant() {
        return Ok(array);
    }
    let indices = datafusion::arrow::array::UInt32Array::from(vec![0; call.rows]);
    Ok(datafusion::arrow::compute::take(&array, &indices, None)?)
}

fn read_all(call: &Call<'_>, text: &StringArray, format: &str, misfit: Misfit) -> Result<ArrayRef> {
    let model = Model::parse(format).or_else(|message| call.fail(message))?;
    let zone_name = &call.session.timezone;
    Ok(match SqlType::of(call.returns) {
        Some(SqlType::Date) => Arc::new(dates(text, &model, misfit)?),
        Some(SqlType::Time) => Arc::new(times(text, &model, misfit)?),
        Some(SqlType::TimestampLtz) => Arc::new(timestamps_ltz(text, &model, misfit, zone_name)?),
        Some(SqlType::TimestampTz) => Arc::new(timestamps_tz(text, &model, misfit, zone_name)?),
        _ => Arc::new(timestamps_ntz(text, &model, misfit)?),
    })
}

/// Numbers of seconds since 1970 UTC, or of units of 10 to the power of -scale.
fn epoch(call: &Call<'_>, misfit: Misfit) -> Result<ArrayRef> {
    let scales = if call.len() > 1 { Some(call.integers(1)?) } else { None };
    let numbers = decimal_argument(call, 0)?;
    let session_zone = zone(&call.session.timezone).map_err(DataFusionError::Execution)?;
    let mut results = Results::new(call)?;
    for row in 0..call.rows {
        let scale = scales.as_ref().map_or(Some(0), |scales| scales.get(row));
        let (Some((number, digits)), Some(scale)) = (numbers.get(row), scale) else {
            results.push_null();
            continue;
        };
        if !(0..=9).contains(&scale) {
            return call.fail(format!("scale {scale} is not one of 0 to 9"));
        }
        let power = 9 - scale - i64::from(digits);
        let factor = 10_i128.checked_pow(power.unsigned_abs() as u32).unwrap_or(i128::MAX);
        let nanos = if power < 0 { Some(number.div_euclid(factor)) } else { number.checked_mul(factor) };
        match nanos.and_then(|nanos| i64::try_from(nanos).ok()) {
            None if misfit == Misfit::Null && !nanos.is_some_and(is_of_snowflake) => results.push_null(),
            None => return call.fail("the timestamp is outside of the years 1677 to 2262"),
            Some(nanos) if results.kind() == SqlType::TimestampNtz => {
                results.push(Moment::of_nanos(nanos))?;
            }
            Some(nanos) => results.push_utc(nanos, (offset_at(session_zone, nanos) / 60) as i32)?,
        }
    }
    results.finish()
}

fn zone_type(shape: &Shape<'_>) -> Result<DataType> {
    let (last, result) = match shape.types.len() {
        2 => (1, SqlType::TimestampTz),
        _ => (2, SqlType::TimestampNtz),
    };
    if dated(shape, last)? == SqlType::Time {
        return shape.refuse(last);
    }
    for index in 0..last {
        if !matches!(shape.sql_type(index), SqlType::Varchar(_) | SqlType::Null | SqlType::Variant) {
            return plan_err!("argument {} of `{}` must be the name of a time zone", index + 1, shape.name);
        }
        if let Some(name) = shape.constant_text(index) {
            zone(name).map_err(|message| shape.error(message))?;
        }
    }
    Ok(result.arrow(shape.zone))
}

fn convert_timezone(call: &Call<'_>) -> Result<ArrayRef> {
    let last = call.len() - 1;
    let names: Vec<_> = (0..last).map(|index| call.texts(index)).collect::<Result<_>>()?;
    // With a target zone only, a text is read with the offset that it is written with.
    let text = last == 1 && matches!(call.sql_type(last), SqlType::Varchar(_) | SqlType::Variant);
    let moments = if text { Dates::zoned(call, last)? } else { Dates::of(call, last)? };
    let zoned = text || matches!(call.sql_type(last), SqlType::TimestampLtz | SqlType::TimestampTz);
    let session_zone = zone(&call.session.timezone).map_err(DataFusionError::Execution)?;
    let mut results = Results::new(call)?;
    for row in 0..call.rows {
        let zones: Option<Vec<&str>> = names.iter().map(|name| name.get(row)).collect();
        let (Some(zones), Some(moment)) = (zones, moments.get(row)) else {
            results.push_null();
            continue;
        };
        let known = |name: &str| zone(name).or_else(|message| call.fail(message));
        let Some(wall) = moment.wall_nanos() else { return call.fail("the timestamp is out of range") };
        if let [source, target] = zones[..] {
            let utc = to_utc(known(source)?, wall);
            results.push(Moment::of_nanos(to_local(known(target)?, utc)))?;
            continue;
        }
        let utc = match moments.utc(row) {
            Some(utc) if zoned => utc,
            _ => to_utc(session_zone, wall),
        };
        let shown = moment_in(known(zones[0])?, utc);
        results.push_utc(utc, shown.offset.unwrap_or(0))?;
    }
    results.finish()
}
