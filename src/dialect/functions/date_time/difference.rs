//! DATEDIFF, which counts the boundaries between two values, and MONTHS_BETWEEN.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Decimal128Builder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::super::Function;
use super::super::scalar::{Call, Shape, exact, integers};
use super::FAMILY;
use super::part::{Part, first_weekday};
use super::value::{Dates, Parts, constant_part, dated};
use crate::dialect::format::civil::{DAY, Moment, civil, days_in_month, month_number};
use crate::dialect::types::SqlType;

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    vec![
        exact(FAMILY, &["datediff", "timediff", "timestampdiff", "date_diff"], 3..=3, difference_type, datediff),
        exact(FAMILY, &["months_between"], 2..=2, months_type, months_between),
    ]
}

fn difference_type(shape: &Shape<'_>) -> Result<DataType> {
    let part = constant_part(shape, 0)?;
    if let Some(part) = part.filter(|part| !part.is_span()) {
        return Err(shape.error(format!("{part:?} is not a span of time")));
    }
    let times = [dated(shape, 1)? == SqlType::Time, dated(shape, 2)? == SqlType::Time];
    let nulls = [shape.sql_type(1) == SqlType::Null, shape.sql_type(2) == SqlType::Null];
    let long = part.is_some_and(|part| part.nanos().is_none());
    if (times[0] != times[1] && !nulls.contains(&true)) || (long && times.contains(&true)) {
        return shape.refuse(if times[0] { 1 } else { 2 });
    }
    Ok(DataType::Int64)
}

fn datediff(call: &Call<'_>) -> Result<ArrayRef> {
    let (parts, from, to) = (Parts::of(call, 0)?, Dates::of(call, 1)?, Dates::of(call, 2)?);
    let zoned = |index| matches!(call.sql_type(index), SqlType::TimestampLtz | SqlType::TimestampTz);
    let instants = zoned(1) && zoned(2);
    integers(call.rows, |row| {
        let (Some(part), Some(first), Some(second)) = (parts.get(row), from.get(row), to.get(row)) else {
            return Ok(None);
        };
        if let (Some(unit), true) = (part.nanos(), instants) {
            let (Some(first), Some(second)) = (from.utc(row), to.utc(row)) else { return Ok(None) };
            return Ok(Some(second.div_euclid(unit) - first.div_euclid(unit)));
        }
        let (first, second) = (boundary(call, part, &first)?, boundary(call, part, &second)?);
        i64::try_from(second - first).map(Some).or_else(|_| call.fail("the difference is out of range"))
    })
}

/// How many boundaries of a part lie between a fixed past and a moment.
fn boundary(call: &Call<'_>, part: Part, moment: &Moment) -> Result<i128> {
    if let Some(unit) = part.nanos() {
        let nanos = i128::from(moment.days) * i128::from(DAY) + i128::from(moment.nanos);
        return Ok(nanos.div_euclid(i128::from(unit)));
    }
    Ok(i128::from(match part {
        Part::Year => civil(moment.days).0,
        Part::Quarter => month_number(moment.days).div_euclid(3),
        Part::Month => month_number(moment.days),
        // Day 0 was a Thursday, three days behind a Monday.
        Part::Week => (moment.days + 3 - first_weekday(call.session.week_start)).div_euclid(7),
        Part::WeekIso => (moment.days + 3).div_euclid(7),
        Part::Day => moment.days,
        other => return call.fail(format!("{other:?} is not a span of time")),
    }))
}

fn months_type(shape: &Shape<'_>) -> Result<DataType> {
    if dated(shape, 0)? == SqlType::Time || dated(shape, 1)? == SqlType::Time {
        return shape.refuse(0);
    }
    Ok(DataType::Decimal128(38, 6))
}

/// Whole months where the days of the month agree or both are the last; else the rest counts as parts of 31 days.
fn months_between(call: &Call<'_>) -> Result<ArrayRef> {
    let (left, right) = (Dates::of(call, 0)?, Dates::of(call, 1)?);
    let mut builder = Decimal128Builder::with_capacity(call.rows).with_precision_and_scale(38, 6)?;
    for row in 0..call.rows {
        builder.append_option(left.get(row).zip(right.get(row)).map(|(left, right)| months(&left, &right)));
    }
    Ok(Arc::new(builder.finish()))
}

/// Months between two moments, in millionths.
fn months(left: &Moment, right: &Moment) -> i128 {
    let last = |moment: &Moment| {
        let (year, month, day) = civil(moment.days);
        (i128::from(day), day == days_in_month(year, month))
    };
    let whole = i128::from(month_number(left.days) - month_number(right.days)) * 1_000_000;
    let ((left_day, left_last), (right_day, right_last)) = (last(left), last(right));
    if left_day == right_day || (left_last && right_last) {
        return whole;
    }
    let day = i128::from(DAY);
    let nanos = (left_day - right_day) * day + i128::from(left.nanos) - i128::from(right.nanos);
    let (numerator, denominator) = (nanos * 1_000_000, 31 * day);
    whole + (2 * numerator + denominator * numerator.signum()) / (2 * denominator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::format::civil::days;

    #[test]
    fn documented_months() {
        let between = |(y, m, d): (i64, u32, i64), (year, month, day): (i64, u32, i64)| {
            let moment = |days| Moment { days, nanos: 0, offset: None };
            months(&moment(days(y, m, d)), &moment(days(year, month, day)))
        };
        assert_eq!(between((2019, 3, 15), (2019, 2, 15)), 1_000_000);
        assert_eq!(between((2019, 3, 31), (2019, 2, 28)), 1_000_000);
        assert_eq!(between((2019, 3, 1), (2019, 2, 15)), 548_387);
        assert_eq!(between((2019, 2, 15), (2019, 3, 1)), -548_387);
    }
}
