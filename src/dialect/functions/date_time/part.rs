//! The parts of dates and times, under all their names.

use crate::dialect::format::civil::SECOND;

/// A part that values are cut to, moved by or compared in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
    DayOfWeek,
    DayOfWeekIso,
    DayOfYear,
    WeekIso,
    YearOfWeek,
    YearOfWeekIso,
    EpochSecond,
    EpochMillisecond,
    EpochMicrosecond,
    EpochNanosecond,
    TimezoneHour,
    TimezoneMinute,
}

impl Part {
    /// The part of a name, which is case-blind.
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        Ok(match name.trim().to_ascii_lowercase().as_str() {
            "year" | "y" | "yy" | "yyy" | "yyyy" | "yr" | "years" | "yrs" => Self::Year,
            "quarter" | "q" | "qtr" | "qtrs" | "quarters" => Self::Quarter,
            "month" | "mm" | "mon" | "mons" | "months" => Self::Month,
            "week" | "w" | "wk" | "weekofyear" | "woy" | "wy" | "weeks" => Self::Week,
            "day" | "d" | "dd" | "days" | "dayofmonth" => Self::Day,
            "hour" | "h" | "hh" | "hr" | "hours" | "hrs" => Self::Hour,
            "minute" | "m" | "mi" | "min" | "minutes" | "mins" => Self::Minute,
            "second" | "s" | "sec" | "seconds" | "secs" => Self::Second,
            "millisecond" | "ms" | "msec" | "milliseconds" => Self::Millisecond,
            "microsecond" | "us" | "usec" | "microseconds" => Self::Microsecond,
            "nanosecond" | "ns" | "nsec" | "nanosec" | "nsecond" | "nanoseconds" | "nanosecs" | "nseconds" => {
                Self::Nanosecond
            }
            "dayofweek" | "weekday" | "dow" | "dw" => Self::DayOfWeek,
            "dayofweekiso" | "dayofweek_iso" | "weekday_iso" | "weekdayiso" | "dow_iso" | "dowiso" | "dw_iso"
            | "dwiso" => Self::DayOfWeekIso,
            "dayofyear" | "yearday" | "doy" | "dy" => Self::DayOfYear,
            "weekiso" | "week_iso" | "weekofyeariso" | "weekofyear_iso" => Self::WeekIso,
            "yearofweek" => Self::YearOfWeek,
            "yearofweekiso" => Self::YearOfWeekIso,
            "epoch_second" | "epoch" | "epoch_seconds" => Self::EpochSecond,
            "epoch_millisecond" | "epoch_milliseconds" => Self::EpochMillisecond,
            "epoch_microsecond" | "epoch_microseconds" => Self::EpochMicrosecond,
            "epoch_nanosecond" | "epoch_nanoseconds" => Self::EpochNanosecond,
            "timezone_hour" | "tzh" => Self::TimezoneHour,
            "timezone_minute" | "tzm" => Self::TimezoneMinute,
            _ => return Err(format!("'{name}' is not a date or time part")),
        })
    }

    /// The length of a part shorter than a day, in nanoseconds.
    pub(super) fn nanos(self) -> Option<i64> {
        Some(match self {
            Self::Hour => 3600 * SECOND,
            Self::Minute => 60 * SECOND,
            Self::Second => SECOND,
            Self::Millisecond => 1_000_000,
            Self::Microsecond => 1000,
            Self::Nanosecond => 1,
            _ => return None,
        })
    }

    /// Whether it is a span of time, which can be added, and not a number that only a value has.
    pub(super) fn is_span(self) -> bool {
        self.nanos().is_some()
            || matches!(self, Self::Year | Self::Quarter | Self::Month | Self::Week | Self::WeekIso | Self::Day)
    }
}

/// The first day of weeks under WEEK_START, 0 for Monday.
pub(super) fn first_weekday(week_start: u8) -> i64 {
    i64::from(week_start.max(1) - 1)
}
