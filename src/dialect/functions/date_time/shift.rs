//! DATEADD and ADD_MONTHS.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::super::Function;
use super::super::scalar::{Call, Shape, exact};
use super::FAMILY;
use super::part::Part;
use super::value::{Dates, Parts, Results, constant_part, dated};
use crate::dialect::format::civil::{DAY, Moment, add_months, civil, days_in_month};
use crate::dialect::types::SqlType;

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    vec![
        exact(FAMILY, &["dateadd", "timeadd", "timestampadd", "date_add"], 3..=3, sum_type, dateadd),
        exact(FAMILY, &["add_months"], 2..=2, months_type, months),
    ]
}

/// A DATE stays one unless hours or less are added; a TIME takes nothing longer than hours.
fn sum_type(shape: &Shape<'_>) -> Result<DataType> {
    let kind = dated(shape, 2)?;
    let part = constant_part(shape, 0)?;
    if let Some(part) = part.filter(|part| !part.is_span()) {
        return Err(shape.error(format!("{part:?} cannot be added to a date")));
    }
    let short = part.is_none_or(|part| part.nanos().is_some());
    match kind {
        SqlType::Time if part.is_some() && !short => shape.refuse(2),
        SqlType::Date if short => Ok(SqlType::TimestampNtz.arrow(shape.zone)),
        kind => Ok(kind.arrow(shape.zone)),
    }
}

fn dateadd(call: &Call<'_>) -> Result<ArrayRef> {
    let (parts, counts, dates) = (Parts::of(call, 0)?, call.integers(1)?, Dates::of(call, 2)?);
    let mut results = Results::new(call)?;
    for row in 0..call.rows {
        let (Some(part), Some(count), Some(moment)) = (parts.get(row), counts.get(row), dates.get(row)) else {
            results.push_null();
            continue;
        };
        match part.nanos() {
            Some(unit) => add_nanos(call, &mut results, i128::from(unit) * i128::from(count), &moment, dates.utc(row))?,
            None => results.push(added(call, &moment, part, count)?)?,
        }
    }
    results.finish()
}

fn add_nanos(call: &Call<'_>, results: &mut Results, nanos: i128, moment: &Moment, utc: Option<i64>) -> Result<()> {
    if let (SqlType::TimestampLtz | SqlType::TimestampTz, Some(utc)) = (results.kind(), utc) {
        return match i64::try_from(i128::from(utc) + nanos) {
            Ok(utc) => results.push_utc(utc, moment.offset.unwrap_or(0)),
            Err(_) => call.fail("the result is out of the range of timestamps"),
        };
    }
    let sum = i128::from(moment.nanos) + nanos;
    let days = i128::from(moment.days) + sum.div_euclid(i128::from(DAY));
    match i64::try_from(days) {
        Ok(days) => results.push(Moment { days, nanos: sum.rem_euclid(i128::from(DAY)) as i64, ..*moment }),
        Err(_) => call.fail("the result is out of the range of timestamps"),
    }
}

/// Longer than any span between two dates, in days: what is beyond it is out of range and would overflow.
const FAR: i64 = 100_000_000;

fn added(call: &Call<'_>, moment: &Moment, part: Part, count: i64) -> Result<Moment> {
    if count.abs() > FAR {
        return call.fail("the result is out of the range of dates");
    }
    let days = match part {
        Part::Year => add_months(moment.days, count * 12),
        Part::Quarter => add_months(moment.days, count * 3),
        Part::Month => add_months(moment.days, count),
        Part::Week | Part::WeekIso => moment.days + count * 7,
        Part::Day => moment.days + count,
        other => return call.fail(format!("{other:?} cannot be added to a date")),
    };
    if !(0..=99_999).contains(&civil(days).0) {
        return call.fail("the result is out of the range of dates");
    }
    // The wall clock is kept; the offset of a local timestamp is found anew for its new date.
    Ok(Moment { days, ..*moment })
}

fn months_type(shape: &Shape<'_>) -> Result<DataType> {
    match dated(shape, 0)? {
        SqlType::Time => shape.refuse(0),
        kind => Ok(kind.arrow(shape.zone)),
    }
}

/// Like DATEADD(month), but the last day of a month leads to the last day of a month.
fn months(call: &Call<'_>) -> Result<ArrayRef> {
    let (dates, counts) = (Dates::of(call, 0)?, call.integers(1)?);
    let mut results = Results::new(call)?;
    for row in 0..call.rows {
        let (Some(moment), Some(count)) = (dates.get(row), counts.get(row)) else {
            results.push_null();
            continue;
        };
        let mut sum = added(call, &moment, Part::Month, count)?;
        let (year, month, day) = civil(moment.days);
        if day == days_in_month(year, month) {
            let (year, month, day) = civil(sum.days);
            sum.days += i64::from(days_in_month(year, month) - day);
        }
        results.push(sum)?;
    }
    results.finish()
}
