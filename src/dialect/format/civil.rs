//! Days, weeks and months of the proleptic Gregorian calendar, in integer arithmetic. It knows no zones.

/// Nanoseconds in a second.
pub const SECOND: i64 = 1_000_000_000;
/// Nanoseconds in a day.
pub const DAY: i64 = 86_400 * SECOND;

/// A date with a time of day, and the offset it was written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Days since 1970-01-01.
    pub days: i64,
    /// Nanoseconds since midnight.
    pub nanos: i64,
    /// Minutes east of UTC, where one was given.
    pub offset: Option<i32>,
}

impl Moment {
    /// The moment of a wall clock that shows `nanos` nanoseconds since 1970.
    pub fn of_nanos(nanos: i64) -> Self {
        Self { days: nanos.div_euclid(DAY), nanos: nanos.rem_euclid(DAY), offset: None }
    }

    /// Nanoseconds since 1970 on the wall clock; none beyond the years 1677 to 2262 that a nanosecond timestamp holds.
    pub fn wall_nanos(self) -> Option<i64> {
        i64::try_from(i128::from(self.days) * i128::from(DAY) + i128::from(self.nanos)).ok()
    }
}

/// Year, month (1 to 12) and day of month of a day number.
pub fn civil(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month as u32, day as u32)
}

/// The day number of a date whose month is 1 to 12; the day may lie outside the month and then counts on.
pub fn days(year: i64, month: u32, day: i64) -> i64 {
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let shifted_month = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468 + day - 1
}

/// Whether a year has a 29th of February.
pub fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// The length of a month.
pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The day number of a date that the calendar has; none for a 30th of February or a 13th month.
pub fn checked_days(year: i64, month: u32, day: u32) -> Option<i64> {
    let valid = (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month);
    valid.then(|| days(year, month, i64::from(day)))
}

/// Day of the week: 0 is Monday, 6 Sunday.
pub fn weekday(days: i64) -> u32 {
    (days + 3).rem_euclid(7) as u32
}

/// Day of the year, from 1.
pub fn day_of_year(day_number: i64) -> i64 {
    let (year, _, _) = civil(day_number);
    day_number - days(year, 1, 1) + 1
}

/// ISO 8601 year and week: week 1 holds the year's first Thursday, weeks begin on Monday.
pub fn iso_week(day_number: i64) -> (i64, i64) {
    let thursday = day_number - i64::from(weekday(day_number)) + 3;
    let (year, _, _) = civil(thursday);
    (year, (thursday - days(year, 1, 1)) / 7 + 1)
}

/// The same day `months` later; a day that the month does not have becomes its last.
pub fn add_months(day_number: i64, months: i64) -> i64 {
    let (year, month, day) = civil(day_number);
    let count = year * 12 + i64::from(month) - 1 + months;
    let (year, month) = (count.div_euclid(12), count.rem_euclid(12) as u32 + 1);
    days(year, month, i64::from(day.min(days_in_month(year, month))))
}

/// Months since year 0, for differences of months.
pub fn month_number(day_number: i64) -> i64 {
    let (year, month, _) = civil(day_number);
    year * 12 + i64::from(month) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_inverse() {
        assert_eq!(days(1970, 1, 1), 0);
        assert_eq!(days(2024, 2, 29), 19_782);
        assert_eq!(civil(-719_528), (0, 1, 1));
        for day in (-800_000..3_000_000).step_by(37) {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, i64::from(date)), day);
        }
    }

    #[test]
    fn weeks() {
        assert_eq!(weekday(days(2024, 4, 1)), 0);
        assert_eq!(iso_week(days(2016, 1, 2)), (2015, 53));
        assert_eq!(iso_week(days(2017, 1, 1)), (2016, 52));
        assert_eq!(iso_week(days(2018, 12, 31)), (2019, 1));
    }

    #[test]
    fn months_keep_to_the_last_day() {
        assert_eq!(civil(add_months(days(2016, 1, 31), 1)), (2016, 2, 29));
        assert_eq!(civil(add_months(days(2016, 5, 31), -1)), (2016, 4, 30));
        assert_eq!(civil(add_months(days(2016, 2, 29), 12)), (2017, 2, 28));
    }
}
