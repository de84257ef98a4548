//! Intervals of time that a table is built by: which are done, which a run builds, and in which batches.

use std::fmt;

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};

use crate::job::grain::Grain;
use crate::job::incremental::Intervals;

/// A stretch of time from `start` up to and without `end`, in the session's time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    /// Where it starts.
    pub start: NaiveDateTime,
    /// Where it ends.
    pub end: NaiveDateTime,
}

impl fmt::Display for Interval {
    /// One day as `2026-11-01`, several as `2026-11-01 to 2026-11-03`, both included; with times where they matter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let midnight = |at: NaiveDateTime| at.time() == chrono::NaiveTime::MIN;
        if !midnight(self.start) || !midnight(self.end) {
            return write!(f, "{} to {}", self.start.format("%Y-%m-%d %H:%M"), self.end.format("%Y-%m-%d %H:%M"));
        }
        let (first, last) = (self.start.date(), self.end.date().pred_opt().unwrap_or(self.end.date()));
        if first == last { write!(f, "{first}") } else { write!(f, "{first} to {last}") }
    }
}

/// A stretch of time whose intervals were built alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// Where it starts.
    #[serde(with = "moment")]
    pub from: NaiveDateTime,
    /// Where it ends.
    #[serde(with = "moment")]
    pub until: NaiveDateTime,
    /// What the clock said when they were built.
    #[serde(with = "moment")]
    pub at: NaiveDateTime,
    /// The definition they were built by.
    pub definition: String,
    /// The state of their inputs then.
    pub inputs: String,
}

/// The intervals that a table has, in order and without overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History(Vec<Done>);

/// Which intervals a run builds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Window {
    /// Those after the newest that is done, and those that late data may have changed.
    #[default]
    Next,
    /// Those that are not done, wherever they are.
    Missing,
    /// Those in this stretch, done or not.
    Exactly(Interval),
}

impl History {
    /// The stretches, in order.
    pub fn done(&self) -> &[Done] {
        &self.0
    }

    /// The same with a stretch built anew.
    #[must_use]
    pub fn with(&self, done: Done) -> Self {
        let mut all = Vec::new();
        for before in &self.0 {
            let left = Done { until: before.until.min(done.from), ..before.clone() };
            let right = Done { from: before.from.max(done.until), ..before.clone() };
            all.extend([left, right].into_iter().filter(|part| part.from < part.until));
        }
        all.push(done);
        all.sort_by_key(|part| part.from);
        let mut merged: Vec<Done> = Vec::new();
        for part in all {
            match merged.last_mut() {
                Some(last) if last.until == part.from && last.is_like(&part) => last.until = part.until,
                _ => merged.push(part),
            }
        }
        Self(merged)
    }

    /// Where the newest interval ends; none where nothing is done.
    pub fn end(&self) -> Option<NaiveDateTime> {
        self.0.last().map(|done| done.until)
    }

    /// How an interval was built; none where a part of it was not.
    fn of(&self, interval: Interval) -> Option<&Done> {
        self.0.iter().find(|done| done.from <= interval.start && interval.end <= done.until)
    }

    /// The stretches, between `from` and `until`, of which nothing was built.
    pub fn gaps(&self, from: NaiveDateTime, until: NaiveDateTime) -> Vec<Interval> {
        let mut gaps = Vec::new();
        let mut start = from;
        for done in &self.0 {
            let end = done.from.min(until);
            if start < end {
                gaps.push(Interval { start, end });
            }
            start = start.max(done.until);
        }
        if start < until {
            gaps.push(Interval { start, end: until });
        }
        gaps
    }

    /// It as one line of text, for marks.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What [`Self::text`] wrote; nothing done where it is not that.
    pub fn kept(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }
}

impl Done {
    fn is_like(&self, other: &Self) -> bool {
        (self.at, &self.definition, &self.inputs) == (other.at, &other.definition, &other.inputs)
    }
}

impl Intervals {
    /// Where the newest interval ends that there is by this clock.
    pub fn horizon(&self, clock: NaiveDateTime) -> NaiveDateTime {
        let start = self.grain.floor(clock);
        if self.partial { self.grain.after(start, 1) } else { start }
    }

    /// What a run at this clock reads where everything before is done: the newest interval, and those that are read again.
    pub fn newest(&self, clock: NaiveDateTime) -> Interval {
        let end = self.horizon(clock);
        let start = self.grain.before(end, self.lookback.saturating_add(1));
        // Before the first interval there is nothing, unless there is no interval yet.
        Interval { start: if self.since < end { start.max(self.since) } else { start }, end }
    }

    /// The intervals that a run builds, in order.
    pub fn due(&self, history: &History, clock: NaiveDateTime, inputs: &str, window: Window) -> Vec<Interval> {
        let end = self.horizon(clock);
        match window {
            Window::Exactly(stretch) => self.units(self.grain.floor(stretch.start), stretch.end.min(end)).collect(),
            Window::Missing => self.units(self.since, end).filter(|unit| history.of(*unit).is_none()).collect(),
            Window::Next => {
                let done = history.end().map_or(self.since, |done| done.max(self.since));
                let is_due = |unit: &Interval| match history.of(*unit) {
                    Some(built) => self.is_open(*unit, built) && built.inputs != inputs,
                    None => unit.end > done,
                };
                self.units(self.since, end).filter(is_due).collect()
            }
        }
    }

    /// Whether data of an interval may have come after it was built.
    fn is_open(&self, unit: Interval, built: &Done) -> bool {
        built.at < self.grain.after(unit.end, self.lookback)
    }

    fn units(&self, from: NaiveDateTime, until: NaiveDateTime) -> Units {
        Units { grain: self.grain, next: from, until }
    }

    /// The intervals in batches: what follows each other goes together, as many as one query may build.
    pub fn batches(&self, due: &[Interval]) -> Vec<Interval> {
        let mut batches: Vec<(Interval, u32)> = Vec::new();
        for unit in due {
            match batches.last_mut() {
                Some((last, count)) if last.end == unit.start && *count < self.batch_size => {
                    last.end = unit.end;
                    *count += 1;
                }
                _ => batches.push((*unit, 1)),
            }
        }
        batches.into_iter().map(|(batch, _)| batch).collect()
    }
}

/// Interval after interval.
struct Units {
    grain: Grain,
    next: NaiveDateTime,
    until: NaiveDateTime,
}

impl Iterator for Units {
    type Item = Interval;

    fn next(&mut self) -> Option<Interval> {
        let (start, end) = (self.next, self.grain.after(self.next, 1));
        self.next = end;
        (start < self.until && start < end).then_some(Interval { start, end })
    }
}

/// How instants are written down.
mod moment {
    use chrono::NaiveDateTime;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    const FORM: &str = "%Y-%m-%d %H:%M:%S%.f";

    pub(super) fn serialize<S: Serializer>(at: &NaiveDateTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&at.format(FORM))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NaiveDateTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        NaiveDateTime::parse_from_str(&text, FORM).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;
    use crate::text::{SourceFile, Spanned};

    fn at(day: u32) -> NaiveDateTime {
        chrono::NaiveDate::from_ymd_opt(2026, 11, day).and_then(|day| day.and_hms_opt(0, 0, 0)).expect("a day")
    }

    fn stretch(from: u32, until: u32) -> Interval {
        Interval { start: at(from), end: at(until) }
    }

    fn done(from: u32, until: u32, clock: u32, inputs: &str) -> Done {
        let (definition, inputs) = ("d".to_owned(), inputs.to_owned());
        Done { from: at(from), until: at(until), at: at(clock), definition, inputs }
    }

    fn days(lookback: u32, batch_size: u32) -> Intervals {
        let time = Spanned::new(Name::unquoted("day"), SourceFile::new("a.yaml", "x").span(0..1));
        Intervals { time, grain: Grain::Day, since: at(1), lookback, batch_size, partial: false }
    }

    #[test]
    fn what_is_built_anew_takes_the_place_of_what_was() {
        let history = History::default().with(done(1, 10, 10, "a")).with(done(4, 6, 12, "b"));
        let parts: Vec<_> = history.done().iter().map(|done| (done.from, done.until, done.inputs.as_str())).collect();
        assert_eq!(parts, [(at(1), at(4), "a"), (at(4), at(6), "b"), (at(6), at(10), "a")]);
        assert_eq!(history.with(done(1, 10, 10, "a")).done().len(), 1);
        assert_eq!(History::kept(&history.text()), history);
        let apart = History::default().with(done(3, 5, 9, "a")).with(done(7, 8, 9, "a"));
        assert_eq!(apart.gaps(at(1), at(10)), [stretch(1, 3), stretch(5, 7), stretch(8, 10)]);
        assert_eq!(apart.gaps(at(4), at(8)), [stretch(5, 7)]);
    }

    #[test]
    fn a_run_goes_on_from_the_newest_and_missing_ones_are_filled_on_request() {
        let config = days(0, 2);
        let next = |history: &History, clock| config.due(history, at(clock), "x", Window::Next);
        assert_eq!(config.batches(&next(&History::default(), 6)), [stretch(1, 3), stretch(3, 5), stretch(5, 6)]);
        let history = History::default().with(done(3, 5, 5, "x"));
        assert_eq!(next(&history, 7), [stretch(5, 6), stretch(6, 7)]);
        let missing = config.due(&history, at(7), "x", Window::Missing);
        assert_eq!(config.batches(&missing), [stretch(1, 3), stretch(5, 7)]);
        let exactly = config.due(&history, at(7), "x", Window::Exactly(stretch(4, 6)));
        assert_eq!(exactly, [stretch(4, 5), stretch(5, 6)]);
    }

    #[test]
    fn within_the_lookback_an_interval_is_read_again_until_it_was_built_late_enough() {
        let config = days(2, 30);
        let history = History::default().with(done(1, 5, 5, "old"));
        // Day 3 was built on day 5: its end, day 4, and two days make day 6.
        assert_eq!(config.batches(&config.due(&history, at(6), "new", Window::Next)), [stretch(3, 6)]);
        assert_eq!(config.due(&history, at(6), "old", Window::Next), [stretch(5, 6)]);
        // A run that comes late reads again what no run has read late enough.
        assert_eq!(config.batches(&config.due(&history, at(20), "new", Window::Next)), [stretch(3, 20)]);
        let settled = history.with(done(1, 20, 30, "old"));
        assert_eq!(config.due(&settled, at(20), "new", Window::Next), []);
    }

    #[test]
    fn stretches_are_told_with_their_last_day() {
        assert_eq!(stretch(1, 2).to_string(), "2026-11-01");
        assert_eq!(stretch(1, 4).to_string(), "2026-11-01 to 2026-11-03");
    }
}
