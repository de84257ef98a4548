//! Dates, times and timestamps from their parts; parts beyond their range count on, as in the 13th month.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, plan_err};

use super::super::Function;
use super::super::scalar::{Call, Shape, exact, plain_arguments};
use super::FAMILY;
use super::value::{Dates, Results};
use crate::dialect::format::civil::{DAY, Moment, SECOND, civil, days};
use crate::dialect::format::zone::{moment_in, to_utc, zone};
use crate::dialect::types::SqlType;

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    vec![
        exact(FAMILY, &["date_from_parts", "datefromparts"], 3..=3, |shape| gives(shape, SqlType::Date), date),
        exact(FAMILY, &["time_from_parts", "timefromparts"], 3..=4, |shape| gives(shape, SqlType::Time), time),
        exact(FAMILY, &["timestamp_from_parts", "timestampfromparts"], 2..=8, mapped, timestamp),
        exact(
            FAMILY,
            &["timestamp_ntz_from_parts", "timestampntzfromparts"],
            2..=7,
            |shape| timestamp_type(shape, SqlType::TimestampNtz),
            timestamp,
        ),
        exact(
            FAMILY,
            &["timestamp_ltz_from_parts", "timestampltzfromparts"],
            6..=7,
            |shape| timestamp_type(shape, SqlType::TimestampLtz),
            timestamp,
        ),
        exact(
            FAMILY,
            &["timestamp_tz_from_parts", "timestamptzfromparts"],
            6..=8,
            |shape| timestamp_type(shape, SqlType::TimestampTz),
            timestamp,
        ),
    ]
}

fn gives(shape: &Shape<'_>, kind: SqlType) -> Result<DataType> {
    plain_arguments(shape)?;
    Ok(kind.arrow(shape.zone))
}

fn timestamp_type(shape: &Shape<'_>, kind: SqlType) -> Result<DataType> {
    if (3..6).contains(&shape.types.len()) {
        return plan_err!("`{}` takes a date and a time, or 6 parts and more", shape.name);
    }
    gives(shape, kind)
}

fn mapped(shape: &Shape<'_>) -> Result<DataType> {
    timestamp_type(shape, if shape.types.len() == 8 { SqlType::TimestampTz } else { shape.timestamp })
}

/// The day number of a year, month and day of any size.
fn day_number(call: &Call<'_>, year: i64, month: i64, day: i64) -> Result<i64> {
    const LIMIT: i64 = 100_000_000;
    if year.abs() > LIMIT || month.abs() > LIMIT || day.abs() > LIMIT {
        return call.fail("a part is out of range");
    }
    let months = year * 12 + month - 1;
    let result = days(months.div_euclid(12), months.rem_euclid(12) as u32 + 1, day);
    match civil(result).0 {
        0..=99_999 => Ok(result),
        _ => call.fail("the date is out of range"),
    }
}

fn date(call: &Call<'_>) -> Result<ArrayRef> {
    let (years, months, days) = (call.integers(0)?, call.integers(1)?, call.integers(2)?);
    let mut results = Results::new(call)?;
    for row in 0..call.rows {
        match (years.get(row), months.get(row), days.get(row)) {
            (Some(year), Some(month), Some(day)) => {
                results.push(Moment { days: day_number(call, year, month, day)?, nanos: 0, offset: None })?;
            }
            _ => results.push_null(),
        }
    }
    results.finish()
}

fn nanos(hour: i64, minute: i64, second: i64, nanos: i64) -> i128 {
    let seconds = i128::from(hour) * 3600 + i128::from(minute) * 60 + i128::from(second);
    seconds * i128::from(SECOND) + i128::from(nanos)
}

fn time(call: &Call<'_>) -> Result<ArrayRef> {
    let (hours, minutes, seconds) = (call.integers(0)?, call.integers(1)?, call.integers(2)?);
    let fractions = if call.len() > 3 { Some(call.integers(3)?) } else { None };
    let mut results = Results::new(call)?;
    for row in 0..call.rows {
        let fraction = fractions.as_ref().map_or(Some(0), |fractions| fractions.get(row));
        match (hours.get(row), minutes.get(row), seconds.get(row), fraction) {
            (Some(hour), Some(minute), Some(second), Some(fraction)) => {
                let sum = nanos(hour, minute, second, fraction).rem_euclid(i128::from(DAY));
                results.push(Moment { days: 0, nanos: sum as i64, offset: None })?;
            }
            _ => results.push_null(),
        }
    }
    results.finish()
}

fn timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    if call.len() == 2 {
        return joined(call);
    }
    let parts: Vec<_> = (0..call.len().min(7)).map(|index| call.integers(index)).collect::<Result<_>>()?;
    let zones = if call.len() > 7 { Some(call.texts(7)?) } else { None };
    let mut results = Results::new(call)?;
    for row in 0..call.rows {
        let values: Option<Vec<i64>> = parts.iter().map(|part| part.get(row)).collect();
        let zone_name = zones.as_ref().map(|zones| zones.get(row));
        let (Some(values), false) = (values, zone_name == Some(None)) else {
            results.push_null();
            continue;
        };
        let day = day_number(call, values[0], values[1], values[2])?;
        let sum = nanos(values[3], values[4], values[5], values.get(6).copied().unwrap_or(0));
        let wall = i128::from(day) * i128::from(DAY) + sum;
        let Ok(wall) = i64::try_from(wall) else { return call.fail("the timestamp is out of the years 1677 to 2262") };
        match zone_name.flatten() {
            Some(name) => {
                let zone = zone(name).map_err(DataFusionError::Execution)?;
                results.push(moment_in(zone, to_utc(zone, wall)))?;
            }
            None => results.push(Moment::of_nanos(wall))?,
        }
    }
    results.finish()
}

fn joined(call: &Call<'_>) -> Result<ArrayRef> {
    let (dates, times) = (Dates::of(call, 0)?, Dates::of(call, 1)?);
    let mut results = Results::new(call)?;
    for row in 0..call.rows {
        match (dates.get(row), times.get(row)) {
            (Some(date), Some(time)) => {
                results.push(Moment { days: date.days, nanos: time.nanos, offset: None })?;
            }
            _ => results.push_null(),
        }
    }
    results.finish()
}
