//! DATE_PART and the functions of single parts: YEAR, DAYOFWEEK, WEEKISO, HOUR, DAYNAME and so on.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::super::Function;
use super::super::scalar::{Call, Shape, exact, integers, texts};
use super::FAMILY;
use super::part::{Part, first_weekday};
use super::value::{Dates, Parts, constant_part, dated};
use crate::dialect::format::civil::{Moment, SECOND, civil, day_of_year, days, iso_week, weekday};
use crate::dialect::format::write::{DAYS, MONTHS};
use crate::dialect::session::SessionParameters;
use crate::dialect::types::SqlType;

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    vec![
        exact(FAMILY, &["date_part", "datepart", "extract"], 2..=2, part_type, date_part),
        exact(FAMILY, &["year"], 1..=1, of_date, |call| one(call, Part::Year)),
        exact(FAMILY, &["quarter"], 1..=1, of_date, |call| one(call, Part::Quarter)),
        exact(FAMILY, &["month"], 1..=1, of_date, |call| one(call, Part::Month)),
        exact(FAMILY, &["week", "weekofyear"], 1..=1, of_date, |call| one(call, Part::Week)),
        exact(FAMILY, &["weekiso"], 1..=1, of_date, |call| one(call, Part::WeekIso)),
        exact(FAMILY, &["yearofweek"], 1..=1, of_date, |call| one(call, Part::YearOfWeek)),
        exact(FAMILY, &["yearofweekiso"], 1..=1, of_date, |call| one(call, Part::YearOfWeekIso)),
        exact(FAMILY, &["day", "dayofmonth"], 1..=1, of_date, |call| one(call, Part::Day)),
        exact(FAMILY, &["dayofweek"], 1..=1, of_date, |call| one(call, Part::DayOfWeek)),
        exact(FAMILY, &["dayofweekiso"], 1..=1, of_date, |call| one(call, Part::DayOfWeekIso)),
        exact(FAMILY, &["dayofyear"], 1..=1, of_date, |call| one(call, Part::DayOfYear)),
        exact(FAMILY, &["hour"], 1..=1, of_any, |call| one(call, Part::Hour)),
        exact(FAMILY, &["minute"], 1..=1, of_any, |call| one(call, Part::Minute)),
        exact(FAMILY, &["second"], 1..=1, of_any, |call| one(call, Part::Second)),
        exact(FAMILY, &["dayname"], 1..=1, name_type, dayname),
        exact(FAMILY, &["monthname"], 1..=1, name_type, monthname),
    ]
}

fn of_any(shape: &Shape<'_>) -> Result<DataType> {
    dated(shape, 0)?;
    Ok(DataType::Int64)
}

fn of_date(shape: &Shape<'_>) -> Result<DataType> {
    match dated(shape, 0)? {
        SqlType::Time => shape.refuse(0),
        _ => Ok(DataType::Int64),
    }
}

fn name_type(shape: &Shape<'_>) -> Result<DataType> {
    of_date(shape)?;
    Ok(DataType::Utf8)
}

fn part_type(shape: &Shape<'_>) -> Result<DataType> {
    let part = constant_part(shape, 0)?;
    let time = dated(shape, 1)? == SqlType::Time;
    match part {
        Some(Part::Millisecond | Part::Microsecond) => {
            Err(shape.error("milliseconds and microseconds are no parts to extract; divide the nanoseconds"))
        }
        Some(Part::Hour | Part::Minute | Part::Second | Part::Nanosecond) | None => Ok(DataType::Int64),
        Some(_) if time => shape.refuse(1),
        Some(_) => Ok(DataType::Int64),
    }
}

fn one(call: &Call<'_>, part: Part) -> Result<ArrayRef> {
    let dates = Dates::of(call, 0)?;
    integers(call.rows, |row| Ok(dates.get(row).map(|moment| number(&moment, part, call.session))))
}

fn date_part(call: &Call<'_>) -> Result<ArrayRef> {
    let parts = Parts::of(call, 0)?;
    let dates = Dates::of(call, 1)?;
    integers(call.rows, |row| {
        let (Some(part), Some(moment)) = (parts.get(row), dates.get(row)) else { return Ok(None) };
        let unit = match part {
            Part::EpochSecond => SECOND,
            Part::EpochMillisecond => 1_000_000,
            Part::EpochMicrosecond => 1000,
            Part::EpochNanosecond => 1,
            _ => return Ok(Some(number(&moment, part, call.session))),
        };
        if let Some(utc) = dates.utc(row) {
            return Ok(Some(utc.div_euclid(unit)));
        }
        let units = i128::from(moment.days) * 86_400 * i128::from(SECOND / unit);
        i64::try_from(units).map(Some).or_else(|_| call.fail("the number of units since 1970 is out of range"))
    })
}

/// The number that a moment has for a part.
fn number(moment: &Moment, part: Part, session: &SessionParameters) -> i64 {
    let seconds = moment.nanos / SECOND;
    let (year, month, day) = civil(moment.days);
    match part {
        Part::Year => year,
        Part::Quarter => (i64::from(month) + 2) / 3,
        Part::Month => i64::from(month),
        Part::Day => i64::from(day),
        Part::Hour => seconds / 3600,
        Part::Minute => seconds / 60 % 60,
        Part::Second => seconds % 60,
        Part::Millisecond => moment.nanos % SECOND / 1_000_000,
        Part::Microsecond => moment.nanos % SECOND / 1000,
        Part::Nanosecond => moment.nanos % SECOND,
        Part::DayOfWeek if session.week_start == 0 => (i64::from(weekday(moment.days)) + 1) % 7,
        Part::DayOfWeek => (i64::from(weekday(moment.days)) - first_weekday(session.week_start)).rem_euclid(7) + 1,
        Part::DayOfWeekIso => i64::from(weekday(moment.days)) + 1,
        Part::DayOfYear => day_of_year(moment.days),
        Part::Week => week(moment.days, session).1,
        Part::YearOfWeek => week(moment.days, session).0,
        Part::WeekIso => iso_week(moment.days).1,
        Part::YearOfWeekIso => iso_week(moment.days).0,
        Part::TimezoneHour => i64::from(moment.offset.unwrap_or(0) / 60),
        Part::TimezoneMinute => i64::from(moment.offset.unwrap_or(0) % 60),
        Part::EpochSecond | Part::EpochMillisecond | Part::EpochMicrosecond | Part::EpochNanosecond => 0,
    }
}

/// Year and number of the week under WEEK_START and WEEK_OF_YEAR_POLICY.
fn week(day_number: i64, session: &SessionParameters) -> (i64, i64) {
    let first = first_weekday(session.week_start);
    let in_week = |day: i64| (i64::from(weekday(day)) - first).rem_euclid(7);
    if session.week_of_year_policy == 1 {
        let (year, _, _) = civil(day_number);
        let january = days(year, 1, 1);
        return (year, (day_number - january + in_week(january)) / 7 + 1);
    }
    // A week belongs to the year that has most of its days, which is the year of its fourth day.
    let fourth = day_number - in_week(day_number) + 3;
    let (year, _, _) = civil(fourth);
    (year, (fourth - days(year, 1, 1)) / 7 + 1)
}

fn dayname(call: &Call<'_>) -> Result<ArrayRef> {
    let dates = Dates::of(call, 0)?;
    texts(call.rows, |row, out| {
        Ok(dates.get(row).map(|moment| out.push_str(&DAYS[weekday(moment.days) as usize][..3])).is_some())
    })
}

fn monthname(call: &Call<'_>) -> Result<ArrayRef> {
    let dates = Dates::of(call, 0)?;
    texts(call.rows, |row, out| {
        Ok(dates.get(row).map(|moment| out.push_str(&MONTHS[civil(moment.days).1 as usize - 1][..3])).is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weeks(week_start: u8, week_of_year_policy: u8) -> Vec<(i64, i64)> {
        let session = SessionParameters { week_start, week_of_year_policy, ..SessionParameters::default() };
        let dates = [(2016, 12, 30), (2016, 12, 31), (2017, 1, 1), (2017, 1, 2), (2017, 12, 30), (2017, 12, 31)];
        dates.map(|(y, m, d)| week(days(y, m, d), &session)).to_vec()
    }

    /// The tables of Snowflake's documentation of calendar weeks.
    #[test]
    fn weeks_by_start_and_policy() {
        let iso = [(2016, 52), (2016, 52), (2016, 52), (2017, 1), (2017, 52), (2017, 52)];
        assert_eq!(weeks(0, 0), iso);
        assert_eq!(weeks(1, 0), iso);
        assert_eq!(weeks(1, 1), [(2016, 53), (2016, 53), (2017, 1), (2017, 2), (2017, 53), (2017, 53)]);
        assert_eq!(weeks(7, 1), [(2016, 53), (2016, 53), (2017, 1), (2017, 1), (2017, 52), (2017, 53)]);
        assert_eq!(weeks(3, 0), [(2016, 53), (2016, 53), (2016, 53), (2016, 53), (2017, 52), (2017, 52)]);
    }

    #[test]
    fn days_of_the_week() {
        let day_of_week = |week_start| {
            let session = SessionParameters { week_start, ..SessionParameters::default() };
            let sunday = Moment { days: days(2017, 1, 1), nanos: 0, offset: None };
            number(&sunday, Part::DayOfWeek, &session)
        };
        assert_eq!([0, 1, 3, 7].map(day_of_week), [0, 7, 5, 1]);
    }
}
