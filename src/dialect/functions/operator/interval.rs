//! Dates and times plus or minus an interval: months and days on the wall clock, hours and less on the instant.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalMonthDayNanoType};
use datafusion::common::{Result, exec_err};

use super::super::date_time::value::{Dates, Results};
use super::super::scalar::{Call, Column};
use crate::dialect::arithmetic::Operator;
use crate::dialect::format::civil::{DAY, Moment, add_months};
use crate::dialect::types::SqlType;

/// Applies `+` or `-` where one operand is an interval.
pub(super) fn apply(
    call: &Call<'_>,
    operator: Operator,
    left: &Column<ArrayRef>,
    right: &Column<ArrayRef>,
) -> Result<ArrayRef> {
    let last = matches!(right.array().data_type(), DataType::Interval(_));
    let (dated, column) = if last { (0, right) } else { (1, left) };
    let Some(intervals) = column.array().as_primitive_opt::<IntervalMonthDayNanoType>() else {
        return exec_err!("{} is not an interval", column.array().data_type());
    };
    let dates = Dates::of(call, dated)?;
    let sign = if operator == Operator::Subtract { -1 } else { 1 };
    let mut results = Results::new(call)?;
    for row in 0..call.rows {
        match (dates.get(row), column.at(row)) {
            (Some(moment), Some(index)) => {
                shift(call, &mut results, &moment, dates.utc(row), &intervals.value(index), sign)?;
            }
            _ => results.push_null(),
        }
    }
    results.finish()
}

fn shift(
    call: &Call<'_>,
    results: &mut Results,
    moment: &Moment,
    utc: Option<i64>,
    interval: &IntervalMonthDayNano,
    sign: i64,
) -> Result<()> {
    let months = i64::from(interval.months) * sign;
    let nanos = i128::from(interval.nanoseconds) * i128::from(sign);
    let instants = matches!(results.kind(), SqlType::TimestampLtz | SqlType::TimestampTz);
    if let (true, 0, 0, Some(utc)) = (instants, interval.months, interval.days, utc) {
        return match i64::try_from(i128::from(utc) + nanos) {
            Ok(utc) => results.push_utc(utc, moment.offset.unwrap_or(0)),
            Err(_) => call.fail("the result is out of the range of timestamps"),
        };
    }
    let sum = i128::from(moment.nanos) + nanos;
    let whole = i64::try_from(sum.div_euclid(i128::from(DAY))).unwrap_or(i64::MAX / 4);
    let days = add_months(moment.days, months) + i64::from(interval.days) * sign + whole;
    results.push(Moment { days, nanos: sum.rem_euclid(i128::from(DAY)) as i64, ..*moment })
}
