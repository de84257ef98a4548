//! Schedules: the five fields of cron (minute, hour, day of the month, month, day of the week) and the minutes that they mean.
//! As in cron, where both days are restricted a minute of either counts.

use chrono::{Datelike, NaiveDateTime, TimeDelta, Timelike};

/// The least and the greatest value of each field.
const BOUNDS: [(u32, u32); 5] = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)];
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// When something is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// For each field its values, as bits.
    fields: [u64; 5],
    /// Whether the days of the month and of the week are all days.
    any_day: (bool, bool),
}

impl Schedule {
    /// The schedule that five fields mean; none where they are not well formed.
    pub fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [_, _, day, _, weekday] = words.as_slice() else { return None };
        let any_day = (day.starts_with('*'), weekday.starts_with('*'));
        let mut fields = [0; 5];
        for (at, word) in words.iter().enumerate() {
            fields[at] = word.split(',').map(|part| values(part, at)).try_fold(0, |all, some| Some(all | some?))?;
        }
        // Sunday is both 0 and 7.
        fields[4] |= fields[4] >> 7 & 1;
        Some(Self { fields, any_day })
    }

    /// Whether the minute of a wall clock is one of it.
    pub fn holds(&self, at: NaiveDateTime) -> bool {
        let has = |field: usize, value: u32| self.fields[field] >> value & 1 == 1;
        let (day, weekday) = (has(2, at.day()), has(4, at.weekday().num_days_from_sunday()));
        let on_day = match self.any_day {
            (false, false) => day || weekday,
            _ => day && weekday,
        };
        on_day && has(0, at.minute()) && has(1, at.hour()) && has(3, at.month())
    }

    /// The latest minute of it after `since` and up to `until`.
    pub fn last_between(&self, since: NaiveDateTime, until: NaiveDateTime) -> Option<NaiveDateTime> {
        let mut at = until.with_second(0)?.with_nanosecond(0)?;
        while at > since {
            if self.holds(at) {
                return Some(at);
            }
            at = at.checked_sub_signed(TimeDelta::minutes(1))?;
        }
        None
    }
}

/// The values of one part of a field, as bits: `*`, `5`, `1-5`, each with or without `/step`.
fn values(part: &str, field: usize) -> Option<u64> {
    let (low, high) = BOUNDS[field];
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(step.parse::<u32>().ok().filter(|step| *step > 0)?)),
        None => (part, None),
    };
    let number = |text: &str| text.parse().ok().or_else(|| word(text, field)).filter(|n| (low..=high).contains(n));
    let (from, to) = match (range, range.split_once('-')) {
        ("*", _) => (low, if field == 4 { 6 } else { high }),
        (_, Some((from, to))) => (number(from)?, number(to)?),
        (one, None) => (number(one)?, if step.is_some() { high } else { number(one)? }),
    };
    let step = usize::try_from(step.unwrap_or(1)).ok()?;
    (from <= to).then(|| (from..=to).step_by(step).fold(0, |bits, value| bits | 1 << value))
}

fn word(text: &str, field: usize) -> Option<u32> {
    let words: &[&str] = match field {
        3 => &MONTHS,
        4 => &DAYS,
        _ => return None,
    };
    let at = words.iter().position(|word| word.eq_ignore_ascii_case(text))?;
    u32::try_from(at).ok().map(|at| if field == 3 { at + 1 } else { at })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").expect("a time")
    }

    #[test]
    fn minutes_are_those_that_cron_means() {
        // 2026-11-01 is a Sunday.
        for (schedule, yes, no) in [
            ("0 4 * * *", "2026-11-02 04:00", "2026-11-02 04:01"),
            ("*/15 8-18 * * mon-fri", "2026-11-02 18:45", "2026-11-01 10:00"),
            ("5/20 * * * *", "2026-11-01 00:45", "2026-11-01 00:40"),
            ("0 0 1 jan,nov *", "2026-11-01 00:00", "2026-12-01 00:00"),
            ("0 0 13 * 5", "2026-11-06 00:00", "2026-11-07 00:00"),
            ("0 0 * * 7", "2026-11-01 00:00", "2026-11-02 00:00"),
        ] {
            let schedule = Schedule::parse(schedule).expect(schedule);
            assert!(schedule.holds(at(yes)) && !schedule.holds(at(no)), "{schedule:?}");
        }
        for wrong in ["* * * *", "60 * * * *", "5-1 * * * *", "*/0 * * * *", "x * * * *"] {
            assert_eq!(Schedule::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_last_minute_is_found() {
        let schedule = Schedule::parse("0 4 * * *").expect("a schedule");
        let last = |since, until| schedule.last_between(at(since), at(until));
        assert_eq!(last("2026-11-01 04:00", "2026-11-02 03:59"), None);
        assert_eq!(last("2026-11-01 04:00", "2026-11-02 04:30"), Some(at("2026-11-02 04:00")));
        assert_eq!(last("2026-10-01 00:00", "2026-11-01 03:00"), Some(at("2026-10-31 04:00")));
    }
}
