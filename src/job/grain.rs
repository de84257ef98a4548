//! Lengths of the intervals that a table is built by, and where such intervals start and end.

use chrono::{Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};

/// How long an interval is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grain {
    /// From full hour to full hour.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From Monday to Monday.
    Week,
    /// From the first of a month to the first of the next.
    Month,
}

impl Grain {
    /// The words for them in YAML.
    pub const WORDS: &'static [&'static str] = &["hour", "day", "week", "month"];

    /// The grain that a word means.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Hour, Self::Day, Self::Week, Self::Month].into_iter().find(|grain| grain.word() == word)
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The start of the interval that an instant is in.
    pub fn floor(self, at: NaiveDateTime) -> NaiveDateTime {
        let day = at.date();
        match self {
            Self::Hour => day.and_time(NaiveTime::from_hms_opt(at.hour(), 0, 0).unwrap_or_default()),
            Self::Day => day.into(),
            Self::Week => {
                let since_monday = Days::new(u64::from(day.weekday().num_days_from_monday()));
                day.checked_sub_days(since_monday).unwrap_or(day).into()
            }
            Self::Month => NaiveDate::from_ymd_opt(day.year(), day.month(), 1).unwrap_or(day).into(),
        }
    }

    /// The start of the interval so many after the one that starts at `start`; the end of time where there is none.
    pub fn after(self, start: NaiveDateTime, intervals: u32) -> NaiveDateTime {
        let later = match self {
            Self::Hour => start.checked_add_signed(TimeDelta::hours(i64::from(intervals))),
            Self::Day => start.checked_add_days(Days::new(u64::from(intervals))),
            Self::Week => start.checked_add_days(Days::new(7 * u64::from(intervals))),
            Self::Month => start.checked_add_months(Months::new(intervals)),
        };
        later.unwrap_or(NaiveDateTime::MAX)
    }

    /// The start of the interval so many before the one that starts at `start`; the beginning of time where there is none.
    pub fn before(self, start: NaiveDateTime, intervals: u32) -> NaiveDateTime {
        let earlier = match self {
            Self::Hour => start.checked_sub_signed(TimeDelta::hours(i64::from(intervals))),
            Self::Day => start.checked_sub_days(Days::new(u64::from(intervals))),
            Self::Week => start.checked_sub_days(Days::new(7 * u64::from(intervals))),
            Self::Month => start.checked_sub_months(Months::new(intervals)),
        };
        earlier.unwrap_or(NaiveDateTime::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").expect("an instant")
    }

    #[test]
    fn intervals_start_where_clocks_and_calendars_do() {
        // 2026-11-04 is a Wednesday.
        for (grain, start, next, before) in [
            (Grain::Hour, "2026-11-04 13:00", "2026-11-04 14:00", "2026-11-04 12:00"),
            (Grain::Day, "2026-11-04 00:00", "2026-11-05 00:00", "2026-11-03 00:00"),
            (Grain::Week, "2026-11-02 00:00", "2026-11-09 00:00", "2026-10-26 00:00"),
            (Grain::Month, "2026-11-01 00:00", "2026-12-01 00:00", "2026-10-01 00:00"),
        ] {
            let floor = grain.floor(at("2026-11-04 13:25"));
            assert_eq!((floor, grain.after(floor, 1), grain.before(floor, 1)), (at(start), at(next), at(before)));
            assert_eq!(grain.floor(floor), floor);
        }
    }
}
