//! Dates, times and timestamps out of text, numbers, VARIANTs and each other.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, StructArray, Time64NanosecondArray, TimestampNanosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, exec_err};

use super::{Target, missed, number};
use crate::dialect::format::Model;
use crate::dialect::format::civil::{Moment, SECOND};
use crate::dialect::format::column::{
    Misfit, Moments, at, dates, text_column, times, timestamps_ltz, timestamps_ntz, timestamps_tz, tz_array,
};
use crate::dialect::format::zone::{offset_at, zone};
use crate::dialect::session::SessionParameters;
use crate::dialect::types::SqlType;

/// A column as DATE, TIME or TIMESTAMP.
pub(super) fn to_moments(
    array: &ArrayRef,
    target: &Target,
    session: &SessionParameters,
    misfit: Misfit,
) -> Result<ArrayRef> {
    let from = SqlType::of(array.data_type()).unwrap_or(SqlType::Null);
    let cast = match from {
        SqlType::Varchar(_) | SqlType::Variant => read(array, target.sql_type, session, misfit)?,
        SqlType::Number { .. } | SqlType::Float => epoch(array, target.sql_type, session, misfit)?,
        from if from == target.sql_type => Arc::clone(array),
        _ => moved(array, target.sql_type, session, misfit)?,
    };
    if target.fraction >= 9 { Ok(cast) } else { cut(&cast, target.fraction) }
}

fn read(array: &ArrayRef, to: SqlType, session: &SessionParameters, misfit: Misfit) -> Result<ArrayRef> {
    let text = text_column(array, session)?;
    let format = match to {
        SqlType::Date => &session.date_input_format,
        SqlType::Time => &session.time_input_format,
        _ => &session.timestamp_input_format,
    };
    let model = Model::parse(format).map_err(DataFusionError::Execution)?;
    Ok(match to {
        SqlType::Date => Arc::new(dates(&text, &model, misfit)?),
        SqlType::Time => Arc::new(times(&text, &model, misfit)?),
        SqlType::TimestampLtz => Arc::new(timestamps_ltz(&text, &model, misfit, &session.timezone)?),
        SqlType::TimestampTz => Arc::new(timestamps_tz(&text, &model, misfit, &session.timezone)?),
        _ => Arc::new(timestamps_ntz(&text, &model, misfit)?),
    })
}

/// Numbers of seconds since 1970 UTC.
fn epoch(array: &ArrayRef, to: SqlType, session: &SessionParameters, misfit: Misfit) -> Result<ArrayRef> {
    let fixed: Vec<Option<i128>> = match SqlType::of(array.data_type()) {
        Some(SqlType::Number { scale, .. }) => number::exact_values(array)?
            .map(|v| v.and_then(|v| crate::dialect::arithmetic::rescale(v, scale, 9)))
            .collect(),
        _ => {
            let floats = array.as_primitive::<Float64Type>();
            floats.iter().map(|v| v.and_then(|v| number::fixed_of_float(v, 9))).collect()
        }
    };
    let zone = zone(&session.timezone).map_err(DataFusionError::Execution)?;
    let one = |(row, nanos): (usize, Option<i128>)| match nanos.and_then(|nanos| i64::try_from(nanos).ok()) {
        Some(nanos) => Ok(Some((nanos, (offset_at(zone, nanos) / 60) as i32))),
        None if array.is_null(row) => Ok(None),
        None if nanos.is_some_and(is_of_snowflake) => exec_err!("the timestamp is outside of the years 1677 to 2262"),
        None => missed(misfit, || "the number is no timestamp".to_owned()),
    };
    let values: Vec<Option<(i64, i32)>> = fixed.into_iter().enumerate().map(one).collect::<Result<_>>()?;
    instants(values, to, session)
}

/// Whether nanoseconds since 1970 are an instant of the years 1 to 9999, which Snowflake has.
pub(in crate::dialect) fn is_of_snowflake(nanos: i128) -> bool {
    (-62_135_596_800..253_402_300_800).contains(&nanos.div_euclid(i128::from(SECOND)))
}

fn instants(values: Vec<Option<(i64, i32)>>, to: SqlType, session: &SessionParameters) -> Result<ArrayRef> {
    if to == SqlType::TimestampTz {
        return Ok(Arc::new(tz_array(values)?));
    }
    let nanos: TimestampNanosecondArray = values.into_iter().map(|value| value.map(|(nanos, _)| nanos)).collect();
    Ok(Arc::new(nanos.with_data_type(to.arrow(&session.timezone))))
}

/// Dates and times as other dates and times: what the wall clock shows is kept, or the instant where both have one.
fn moved(array: &ArrayRef, to: SqlType, session: &SessionParameters, misfit: Misfit) -> Result<ArrayRef> {
    let moments = Moments::of(array, &session.timezone)?;
    let rows = 0..array.len();
    let out_of_range = || exec_datafusion_err!("the timestamp is outside of the years 1677 to 2262");
    Ok(match to {
        SqlType::Date => {
            let days = |row| moments.get(row).map(|moment: Moment| moment.days as i32);
            Arc::new(rows.map(days).collect::<Date32Array>())
        }
        SqlType::Time => {
            let nanos = |row| moments.get(row).map(|moment: Moment| moment.nanos);
            Arc::new(rows.map(nanos).collect::<Time64NanosecondArray>())
        }
        SqlType::TimestampNtz => {
            let nanos = |m: Moment| m.wall_nanos().or_else(|| misfit.nearest(&m)).ok_or_else(out_of_range);
            let wall = |row| moments.get(row).map(nanos).transpose();
            Arc::new(rows.map(wall).collect::<Result<TimestampNanosecondArray>>()?)
        }
        SqlType::TimestampLtz | SqlType::TimestampTz => {
            let zone = zone(&session.timezone).map_err(DataFusionError::Execution)?;
            let one = |row| moments.get(row).map(|m| at(m, zone, misfit).ok_or_else(out_of_range)).transpose();
            instants(rows.map(one).collect::<Result<_>>()?, to, session)?
        }
        other => return exec_err!("{other} is not a date or time"),
    })
}

/// Cuts the fractions of seconds.
fn cut(array: &ArrayRef, digits: u8) -> Result<ArrayRef> {
    let unit = SECOND / 10_i64.pow(u32::from(digits.min(9)));
    let down = |nanos: i64| nanos - nanos.rem_euclid(unit);
    Ok(match array.data_type() {
        DataType::Time64(_) => Arc::new(
            array
                .as_primitive::<datafusion::arrow::datatypes::Time64NanosecondType>()
                .unary::<_, datafusion::arrow::datatypes::Time64NanosecondType>(down),
        ),
        DataType::Timestamp(..) => {
            let values = array.as_primitive::<datafusion::arrow::datatypes::TimestampNanosecondType>();
            let values: TimestampNanosecondArray = values.unary(down);
            Arc::new(values.with_data_type(array.data_type().clone()))
        }
        DataType::Struct(fields) => {
            let parts = array.as_struct();
            let utc = cut(parts.column(0), digits)?;
            let columns = vec![utc, Arc::clone(parts.column(1))];
            Arc::new(StructArray::try_new(fields.clone(), columns, parts.nulls().cloned())?)
        }
        _ => Arc::clone(array),
    })
}
