//! Where a part begins or ends: DATE_TRUNC, TIME_SLICE, LAST_DAY, NEXT_DAY, PREVIOUS_DAY.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::super::Function;
use super::super::scalar::{Call, Shape, exact};
use super::FAMILY;
use super::part::{Part, first_weekday};
use super::value::{Dates, Parts, Results, constant_part, dated};
use crate::dialect::format::civil::{Moment, civil, days, days_in_month, month_number, weekday};
use crate::dialect::format::write::DAYS;
use crate::dialect::types::SqlType;

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    vec![
        exact(FAMILY, &["date_trunc", "datetrunc"], 2..=2, |shape| same_type(shape, 0, 1), date_trunc),
        exact(FAMILY, &["time_slice"], 3..=4, slice_type, time_slice),
        exact(FAMILY, &["last_day"], 1..=2, |shape| date_of(shape, 1), last_day),
        exact(FAMILY, &["next_day"], 2..=2, |shape| date_of(shape, 2), |call| named_day(call, 1)),
        exact(FAMILY, &["previous_day"], 2..=2, |shape| date_of(shape, 2), |call| named_day(call, -1)),
    ]
}

/// The type of the truncated argument; a TIME cannot be cut to a day or longer.
fn same_type(shape: &Shape<'_>, part: usize, date: usize) -> Result<DataType> {
    let kind = dated(shape, date)?;
    let part = constant_part(shape, part)?;
    if let Some(part) = part.filter(|part| !part.is_span()) {
        return Err(shape.error(format!("{part:?} is not a span of time")));
    }
    if kind == SqlType::Time && part.is_some_and(|part| part.nanos().is_none()) {
        return shape.refuse(date);
    }
    Ok(kind.arrow(shape.zone))
}

fn slice_type(shape: &Shape<'_>) -> Result<DataType> {
    let data_type = same_type(shape, 2, 0)?;
    let short = constant_part(shape, 2)?.is_some_and(|part| part.nanos().is_some());
    if shape.sql_type(0) == SqlType::Time || (shape.sql_type(0) == SqlType::Date && short) {
        return shape.refuse(0);
    }
    Ok(data_type)
}

fn date_of(shape: &Shape<'_>, part: usize) -> Result<DataType> {
    constant_part(shape, if part == 1 { 1 } else { usize::MAX })?;
    match dated(shape, 0)? {
        SqlType::Time => shape.refuse(0),
        _ => Ok(DataType::Date32),
    }
}

fn date_trunc(call: &Call<'_>) -> Result<ArrayRef> {
    let (parts, dates) = (Parts::of(call, 0)?, Dates::of(call, 1)?);
    let mut results = Results::new(call)?;
    for row in 0..call.rows {
        match (parts.get(row), dates.get(row)) {
            (Some(part), Some(moment)) => results.push(start(call, part, &moment)?)?,
            _ => results.push_null(),
        }
    }
    results.finish()
}

/// Where the part that a moment lies in begins.
fn start(call: &Call<'_>, part: Part, moment: &Moment) -> Result<Moment> {
    if let Some(unit) = part.nanos() {
        return Ok(Moment { nanos: moment.nanos - moment.nanos % unit, ..*moment });
    }
    let (year, month, _) = civil(moment.days);
    let first = match part {
        Part::Year => days(year, 1, 1),
        Part::Quarter => days(year, (month - 1) / 3 * 3 + 1, 1),
        Part::Month => days(year, month, 1),
        Part::Week => week_start(moment.days, first_weekday(call.session.week_start)),
        Part::WeekIso => week_start(moment.days, 0),
        Part::Day => moment.days,
        other => return call.fail(format!("{other:?} is not a span of time")),
    };
    Ok(Moment { days: first, nanos: 0, ..*moment })
}

fn week_start(day: i64, first: i64) -> i64 {
    day - (i64::from(weekday(day)) - first).rem_euclid(7)
}

fn time_slice(call: &Call<'_>) -> Result<ArrayRef> {
    let (dates, lengths, parts) = (Dates::of(call, 0)?, call.integers(1)?, Parts::of(call, 2)?);
    let sides = if call.len() > 3 { Some(call.texts(3)?) } else { None };
    let mut results = Results::new(call)?;
    for row in 0..call.rows {
        let side = sides.as_ref().map_or(Some("START"), |sides| sides.get(row));
        let (Some(moment), Some(length), Some(part), Some(side)) =
            (dates.get(row), lengths.get(row), parts.get(row), side)
        else {
            results.push_null();
            continue;
        };
        if length < 1 {
            return call.fail(format!("slice length {length} is not positive"));
        }
        let end = match side.to_ascii_uppercase().as_str() {
            "START" => 0,
            "END" => 1,
            _ => return call.fail(format!("'{side}' is neither START nor END")),
        };
        results.push(slice(call, part, length, end, &moment)?)?;
    }
    results.finish()
}

/// The slice that a moment lies in, counted from 1970; `end` is 1 for where it ends.
fn slice(call: &Call<'_>, part: Part, length: i64, end: i64, moment: &Moment) -> Result<Moment> {
    let far = || call.fail(format!("slice length {length} is out of range"));
    let at = |count: i64| (count.div_euclid(length) + end).checked_mul(length);
    let months = match part {
        Part::Year => 12,
        Part::Quarter => 3,
        Part::Month => 1,
        _ => 0,
    };
    if months > 0 {
        let since = (month_number(moment.days) - 1970 * 12).div_euclid(months);
        let Some(month) = at(since).and_then(|count| count.checked_mul(months)).filter(|m| m.abs() < 1_200_000) else {
            return far();
        };
        let (year, month) = (1970 + month.div_euclid(12), month.rem_euclid(12) as u32 + 1);
        return Ok(Moment { days: days(year, month, 1), nanos: 0, ..*moment });
    }
    if let Some(unit) = part.nanos() {
        let Some(nanos) = moment.wall_nanos() else { return call.fail("the timestamp is out of range") };
        let Some(wall) = at(nanos.div_euclid(unit)).and_then(|count| count.checked_mul(unit)) else { return far() };
        return Ok(Moment { offset: moment.offset, ..Moment::of_nanos(wall) });
    }
    let day = match part {
        Part::Day => at(moment.days),
        Part::Week | Part::WeekIso => {
            let first = week_start(0, if part == Part::Week { first_weekday(call.session.week_start) } else { 0 });
            at((moment.days - first).div_euclid(7)).and_then(|weeks| weeks.checked_mul(7)).map(|days| first + days)
        }
        other => return call.fail(format!("{other:?} cannot be sliced")),
    };
    match day {
        Some(days) => Ok(Moment { days, nanos: 0, ..*moment }),
        None => far(),
    }
}

fn last_day(call: &Call<'_>) -> Result<ArrayRef> {
    let dates = Dates::of(call, 0)?;
    let parts = if call.len() > 1 { Parts::of(call, 1)? } else { Parts::One(Some(Part::Month)) };
    let mut results = Results::new(call)?;
    for row in 0..call.rows {
        let (Some(moment), Some(part)) = (dates.get(row), parts.get(row)) else {
            results.push_null();
            continue;
        };
        let (year, month, _) = civil(moment.days);
        let last = match part {
            Part::Year => days(year, 12, 31),
            Part::Quarter => {
                let month = (month - 1) / 3 * 3 + 3;
                days(year, month, i64::from(days_in_month(year, month)))
            }
            Part::Month => days(year, month, i64::from(days_in_month(year, month))),
            Part::Week => week_start(moment.days, first_weekday(call.session.week_start)) + 6,
            Part::WeekIso => week_start(moment.days, 0) + 6,
            Part::Day => moment.days,
            other => return call.fail(format!("{other:?} is not a span of days")),
        };
        results.push(Moment { days: last, nanos: 0, offset: None })?;
    }
    results.finish()
}

/// The nearest day of a name after (1) or before (-1) a date, never the date itself.
fn named_day(call: &Call<'_>, direction: i64) -> Result<ArrayRef> {
    let (dates, names) = (Dates::of(call, 0)?, call.texts(1)?);
    let mut results = Results::new(call)?;
    for row in 0..call.rows {
        let (Some(moment), Some(name)) = (dates.get(row), names.get(row)) else {
            results.push_null();
            continue;
        };
        let clean = name.trim();
        let begins = |day: &&str| clean.get(..2).is_some_and(|two| two.eq_ignore_ascii_case(&day[..2]));
        let Some(wanted) = DAYS.iter().position(begins) else {
            return call.fail(format!("'{name}' is not a day of the week"));
        };
        let distance = (wanted as i64 - i64::from(weekday(moment.days))) * direction;
        let distance = if distance.rem_euclid(7) == 0 { 7 } else { distance.rem_euclid(7) };
        results.push(Moment { days: moment.days + direction * distance, nanos: 0, offset: None })?;
    }
    results.finish()
}
