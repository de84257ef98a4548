//! Whether a table is as ever: its profile against its contract, against its own earlier days, and against the profiles of
//! earlier runs and checks.
//!
//! Days are judged by those before them once there are `FEWEST_DAYS` of these. A profile is judged by those of other states of
//! the table: by their spread once there are `FEWEST_PROFILES`; one or two do not tell what is usual from what is not, so that
//! only what is `CAUTION` times as far off counts. Before that only the contract speaks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, Utc};

use super::profile::{Day, Measures, Profile, Timing, hour};
use super::statistics::{Break, Point, exact, is_off, median, value_break, volume_break};
use crate::ledger::ProfileRecord;
use crate::name::{Name, TableName};
use crate::rule::Severity;
use crate::source::Contract;

/// Profiles of other states of a table that must be remembered for their spread to count.
pub const FEWEST_PROFILES: usize = 3;
/// How much further a measure must be off where there are fewer.
const CAUTION: f64 = 1.5;
/// The smallest share of rows that makes a value of a code worth telling when it appears, and when it goes.
const NEW_CODE: f64 = 0.01;
const LOST_CODE: f64 = 0.02;
/// The same where there are fewer profiles than `FEWEST_PROFILES`.
const CODE_OF_FEW: f64 = 0.05;
/// Earlier profiles that say what is usual.
const MOST_PROFILES: usize = 28;
/// How far the rows of a day may be from what is usual, in hundredths, unless the author says otherwise.
const VOLUME: f64 = 33.0;

/// What is off about a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The table.
    pub table: TableName,
    /// The column, where it is one column.
    pub column: Option<Name>,
    /// What was measured: `freshness`, `rows`, `duplicates`, `nulls`, `distinct`, `level`, `values`, `hour`, or a test.
    pub measure: String,
    /// What was found, as a clause.
    pub message: String,
    /// The first day on which it was so, where that is known.
    pub since: Option<NaiveDate>,
    /// How bad it is.
    pub severity: Severity,
}

/// What is expected of a table.
#[derive(Clone, Debug, Default)]
pub struct Expected<'a> {
    /// Its contract.
    pub contract: Option<&'a Contract>,
    /// How old its newest row may be, beside the contract.
    pub fresh_within: Option<Duration>,
    /// How far ahead of now its newest row must be.
    pub reaches: Option<Duration>,
    /// How far the rows of a day may be from what is usual, in hundredths.
    pub volume: Option<f64>,
    /// What it means where it is off.
    pub severity: Option<Severity>,
    /// Values that the check's SQL looks for, by column: one of each list must be there.
    pub sought: Vec<(Name, Vec<String>)>,
    /// Earlier profiles, the newest first.
    pub history: Vec<ProfileRecord>,
}

/// Everything that is off about a table.
pub fn judge(profile: &Profile, expected: &Expected<'_>, now: DateTime<Utc>) -> Vec<Finding> {
    let mut judge = Judge { profile, expected, now, found: Vec::new() };
    if profile.rows() == 0 {
        judge.tell(None, "rows", None, "has no rows".to_owned());
        return judge.found;
    }
    judge.freshness();
    judge.contract();
    judge.sought();
    judge.days();
    judge.history();
    judge.found
}

struct Judge<'a> {
    profile: &'a Profile,
    expected: &'a Expected<'a>,
    now: DateTime<Utc>,
    found: Vec<Finding>,
}

impl Judge<'_> {
    /// Notes what is off, unless the same measure has been found off before: the contract speaks first, then the days.
    fn tell(&mut self, column: Option<&Name>, measure: &str, since: Option<NaiveDate>, message: String) {
        let severity = self.expected.severity.unwrap_or_default();
        self.tell_at(column, measure, since, message, severity);
    }

    fn tell_at(
        &mut self,
        column: Option<&Name>,
        measure: &str,
        since: Option<NaiveDate>,
        message: String,
        severity: Severity,
    ) {
        if self.knows(column, measure) {
            return;
        }
        self.found.push(Finding {
            table: self.profile.table.clone(),
            column: column.cloned(),
            measure: measure.to_owned(),
            message,
            since,
            severity,
        });
    }

    fn knows(&self, column: Option<&Name>, measure: &str) -> bool {
        self.found.iter().any(|found| found.column.as_ref() == column && found.measure == measure)
    }

    fn freshness(&mut self) {
        let column = match &self.profile.timing {
            Timing::Events(column) | Timing::Schedule(column, _) => column.clone(),
            Timing::Still => return,
        };
        let Some(newest) = self.profile.newest() else { return };
        let age = (self.now.naive_utc() - newest).to_std().unwrap_or_default();
        let freshness = self.expected.contract.and_then(|contract| contract.freshness.as_ref());
        let freshness = freshness.filter(|freshness| freshness.column.value == column);
        let within = self.expected.severity.unwrap_or_default();
        let bounds = [
            (freshness.and_then(|freshness| freshness.error_after), within),
            (self.expected.fresh_within, within),
            (freshness.and_then(|freshness| freshness.warn_after), Severity::Warn),
        ];
        if let Some((bound, severity)) = bounds
            .into_iter()
            .find_map(|(bound, severity)| bound.filter(|bound| age > *bound).map(|bound| (bound, severity)))
        {
            let message = format!(
                "its newest `{}` is {newest}, {} ago, and {} is allowed",
                column.lower(),
                length(age),
                length(bound)
            );
            self.tell_at(Some(&column), "freshness", newest.date().succ_opt(), message, severity);
        }
        if let Some(reaches) = self.expected.reaches {
            let ahead = (newest - self.now.naive_utc()).to_std().unwrap_or_default();
            if ahead < reaches {
                let message =
                    format!("its newest `{}` is {newest}, and {} ahead are expected", column.lower(), length(reaches));
                self.tell(Some(&column), "freshness", newest.date().succ_opt(), message);
            }
        }
    }

    /// NULLs where the contract allows none, and rows alike where rows are told apart by their time or by nothing.
    fn contract(&mut self) {
        let promised: Vec<Name> = self.expected.contract.map_or_else(Vec::new, |contract| {
            let columns = contract.columns.iter().filter(|column| !column.nullable);
            columns.map(|column| column.name.value.clone()).collect()
        });
        for column in promised {
            let nulls: u64 = self.columns(&column).map(|(_, column)| column.nulls).sum();
            if nulls > 0 {
                let since = self.columns(&column).filter(|(_, column)| column.nulls > 0).find_map(|(day, _)| day.day);
                let message = format!("{nulls} rows have no `{}`, which its contract promises", column.lower());
                self.tell(Some(&column), "nulls", since, message);
            }
        }
        let looked_at =
            || self.profile.days.iter().filter(|day| self.profile.timing == Timing::Still || day.day.is_some());
        let duplicates: u64 = looked_at().map(|day| day.duplicates).sum();
        let share = exact(duplicates) / exact(looked_at().map(|day| day.rows).sum::<u64>().max(1));
        let bearable = if self.profile.timing == Timing::Still { 0.005 } else { 0.05 };
        if duplicates > 1 && share > bearable {
            let most = self.profile.days.iter().filter(|day| day.rows > 0 && day.day.is_some());
            let since =
                most.filter(|day| exact(day.duplicates) / exact(day.rows) > 2.0 * bearable).find_map(|day| day.day);
            let message = format!("{duplicates} rows ({}) repeat another row in every column", percent(share));
            self.tell(None, "duplicates", since, message);
        }
    }

    fn columns<'b>(&'b self, column: &'b Name) -> impl Iterator<Item = (&'b Day, &'b Measures)> {
        self.profile.days.iter().filter_map(move |day| Some((day, day.columns.get(column)?)))
    }

    /// Values that the check's SQL looks for and that are not there.
    fn sought(&mut self) {
        for (column, values) in &self.expected.sought {
            let Some(codes) = self.profile.codes(column) else { continue };
            let there = |value: &String| codes.keys().any(|code| same(code, value));
            if !values.is_empty() && !values.iter().any(there) {
                let known = codes.keys().map(|code| code.trim_matches('"')).take(8).collect::<Vec<_>>().join(", ");
                let sought = values.iter().map(|value| value.trim_matches('"')).collect::<Vec<_>>().join(", ");
                let message =
                    format!("no row has `{}` {sought}, which the check looks for; there are {known}", column.lower());
                self.tell(Some(column), "values", None, message);
            }
        }
    }

    /// The days against those before them.
    fn days(&mut self) {
        let (days, from) = self.profile.series(self.now);
        let counts: Vec<(NaiveDate, u64)> = days.iter().filter_map(|day| Some((day.day?, day.rows))).collect();
        let share = self.expected.volume.unwrap_or(VOLUME) / 100.0;
        let last = counts.last().map(|(day, _)| *day);
        if let Some(found) = volume_break(&counts, from, share.min(0.99)) {
            let message = format!(
                "{} rows a day where about {} are usual{}",
                whole(found.seen),
                whole(found.usual),
                ended(&found, last)
            );
            self.tell(None, "rows", Some(found.since), message);
        }
        let duplicates = days.iter().filter(|day| day.rows >= 20).filter_map(|day| {
            Some(Point { day: day.day?, value: exact(day.duplicates) / exact(day.rows), rows: day.rows })
        });
        let duplicates: Vec<Point> = duplicates.collect();
        if let Some(found) = value_break(&duplicates, from, |usual, rows| 0.04_f64.max(chance(usual, rows)))
            && found.seen > found.usual
        {
            let message = format!(
                "{} of its rows repeat another row where {} is usual{}",
                percent(found.seen),
                percent(found.usual),
                ended(&found, last)
            );
            self.tell(None, "duplicates", Some(found.since), message);
        }
        self.hours(&days, from, last);
        let names: BTreeSet<Name> = days.iter().flat_map(|day| day.columns.keys().cloned()).collect();
        for column in &names {
            self.days_of(column, &days, from, last);
        }
    }

    /// The time of day, turned so that its usual direction is noon: differences go the short way round.
    fn hours(&mut self, days: &[Day], from: NaiveDate, last: Option<NaiveDate>) {
        let Some(usual) = hour(days) else { return };
        let turned = |day: &Day| Some((hour(std::slice::from_ref(day))? - usual + 12.0).rem_euclid(24.0));
        let points = days
            .iter()
            .filter(|day| day.rows >= 20)
            .filter_map(|day| Some(Point { day: day.day?, value: turned(day)?, rows: day.rows }));
        let points: Vec<Point> = points.collect();
        if let Some(found) = value_break(&points, from, |_, rows| 1.0_f64.max(25.0 / exact(rows).sqrt())) {
            let shift = found.seen - found.usual;
            let message = format!(
                "its times of day are {:.1} hours {} than usual{}; is it another time zone?",
                shift.abs(),
                if shift > 0.0 { "later" } else { "earlier" },
                ended(&found, last)
            );
            self.tell(None, "hour", Some(found.since), message);
        }
    }

    fn days_of(&mut self, column: &Name, days: &[Day], from: NaiveDate, last: Option<NaiveDate>) {
        let points = |value: &dyn Fn(&Day, &Measures) -> Option<f64>| -> Vec<Point> {
            let measured = days.iter().filter(|day| day.rows >= 20);
            let point = |day: &Day| {
                let value = value(day, day.columns.get(column)?)?;
                Some(Point { day: day.day?, value, rows: day.rows })
            };
            measured.filter_map(point).collect()
        };
        let nulls = points(&|day, column| Some(exact(column.nulls) / exact(day.rows)));
        if let Some(found) = value_break(&nulls, from, |usual, rows| 0.02_f64.max(chance(usual, rows))) {
            let message = format!(
                "{} of its rows have no `{}` where {} is usual{}",
                percent(found.seen),
                column.lower(),
                percent(found.usual),
                ended(&found, last)
            );
            self.tell(Some(column), "nulls", Some(found.since), message);
        }
        let levels = points(&|_, column| column.level);
        if let Some(found) = value_break(&levels, from, |_, rows| 0.5_f64.max(8.0 / exact(rows).sqrt())) {
            let message = format!("{}{}", times(column, found.seen - found.usual), ended(&found, last));
            self.tell(Some(column), "level", Some(found.since), message);
        }
        self.new_codes(column, days, from);
    }

    /// Values of a code that came or went in the latest days.
    fn new_codes(&mut self, column: &Name, days: &[Day], from: NaiveDate) {
        if self.profile.codes(column).is_none() || is_key(column, self.expected.contract) {
            return;
        }
        let (recent, before): (Vec<&Day>, Vec<&Day>) =
            days.iter().partition(|day| day.day.is_some_and(|day| day >= from));
        if before.iter().filter(|day| day.rows > 0).count() < super::statistics::FEWEST_DAYS {
            return;
        }
        let (old, new) = (shares(column, &before), shares(column, &recent));
        let there_on = |value: &str| recent.iter().filter(|day| has(day, column, value)).count();
        for (value, share) in &new {
            if !old.contains_key(value) && *share > 0.01 && there_on(value) > 0 {
                let since = recent.iter().find(|day| has(day, column, value)).and_then(|day| day.day);
                let message =
                    format!("{} of its rows have the new value {value} in `{}`", percent(*share), column.lower());
                self.tell(Some(column), "values", since, message);
            }
        }
        for (value, share) in old.iter().filter(|(_, share)| **share > 0.02) {
            let Some(last) = recent.iter().rposition(|day| has(day, column, value)) else {
                let message = format!(
                    "the value {value} of `{}` is gone, which {} of its rows had",
                    column.lower(),
                    percent(*share)
                );
                self.tell(Some(column), "values", recent.first().and_then(|day| day.day), message);
                continue;
            };
            let missing: u64 = recent[last + 1..].iter().map(|day| day.rows).sum();
            if exact(missing) * share > 30.0 {
                let message = format!(
                    "the value {value} of `{}` is gone, which {} of its rows had",
                    column.lower(),
                    percent(*share)
                );
                self.tell(Some(column), "values", recent.get(last + 1).and_then(|day| day.day), message);
            }
        }
    }

    /// The profile against earlier ones, those of the same weekday where there are enough.
    fn history(&mut self) {
        let all: Vec<&ProfileRecord> = self.expected.history.iter().take(MOST_PROFILES).collect();
        let weekday = |record: &&&ProfileRecord| record.clock.weekday() == self.now.weekday();
        let same: Vec<&ProfileRecord> = all.iter().filter(weekday).copied().collect();
        let earlier = if same.len() >= FEWEST_PROFILES { same } else { all };
        let now = self.profile.measures(self.now);
        let since = earlier.first().map(|record| record.clock.date_naive());
        let rows = self.profile.judged(self.now).iter().map(|day| day.rows).sum();
        for (name, value) in &now {
            let values: Vec<f64> = earlier.iter().filter_map(|record| record.measures.get(name).copied()).collect();
            self.measure(name, *value, &values, since, rows);
        }
        self.codes_in_history(&now, &earlier, rows);
    }

    fn measure(&mut self, name: &str, value: f64, earlier: &[f64], since: Option<NaiveDate>, rows: u64) {
        let Some(usual) = median(earlier.iter().copied()) else { return };
        let since = since.filter(|_| self.profile.timing == Timing::Still);
        let few = earlier.len() < FEWEST_PROFILES;
        let caution = if few { CAUTION } else { 1.0 };
        // Without a spread, what few rows may differ by; rows of a table without times do not come about by chance.
        let noise = if few && self.profile.timing != Timing::Still { 1.0 / exact(rows.max(1)).sqrt() } else { 0.0 };
        let share = (self.expected.volume.unwrap_or(VOLUME) / 100.0).min(0.99);
        let bound = -(1.0 - share).ln() * caution;
        let bound = if name == "total" { bound } else { bound.max(7.0 * noise) };
        let as_logs = |value: f64| (value + 0.5).ln();
        let logs: Vec<f64> = earlier.iter().map(|value| as_logs(*value)).collect();
        let mut parts = name.splitn(3, '|');
        let measure = parts.next().unwrap_or_default();
        let column = parts.next().map(|column| self.column_called(column));
        match (measure, column) {
            ("rows" | "total", _) if is_off(as_logs(value), &logs, bound) => {
                let of = match (measure, &self.profile.timing) {
                    ("total", _) => " in all",
                    (_, Timing::Still) => "",
                    _ => " a day",
                };
                let message =
                    format!("{} rows{of} where about {} were usual in earlier runs", whole(value), whole(usual));
                self.tell(None, "rows", since, message);
            }
            ("duplicates", _) if value > usual && is_off(value, earlier, (0.03 * caution).max(2.5 * noise)) => {
                let message = format!(
                    "{} of its rows repeat another row where {} was usual in earlier runs",
                    percent(value),
                    percent(usual)
                );
                self.tell(None, "duplicates", since, message);
            }
            ("hour", _) => self.hour(value, usual, earlier, 25.0 * noise),
            ("nulls", Some(column)) if is_off(value, earlier, (0.02 * caution).max(2.5 * noise)) => {
                let message = format!(
                    "{} of its rows have no `{}` where {} was usual in earlier runs",
                    percent(value),
                    column.lower(),
                    percent(usual)
                );
                self.tell(Some(&column), "nulls", since, message);
            }
            ("level", Some(column)) if is_off(value, earlier, (0.4 * caution).max(8.0 * noise)) => {
                let message = format!("{} in earlier runs", times(&column, value - usual));
                self.tell(Some(&column), "level", since, message);
            }
            ("distinct", Some(column))
                if is_off(as_logs(value), &logs, bound.max(0.5)) && !self.knows(None, "rows") =>
            {
                let message = format!(
                    "{} distinct values of `{}` where about {} were usual in earlier runs",
                    whole(value),
                    column.lower(),
                    whole(usual)
                );
                self.tell(Some(&column), "distinct", since, message);
            }
            _ => {}
        }
    }

    /// The time of day against that of earlier profiles, the short way round the clock. A few rows may differ by chance.
    fn hour(&mut self, value: f64, usual: f64, earlier: &[f64], chance: f64) {
        let away = |other: f64| (other - usual + 12.0).rem_euclid(24.0) - 12.0;
        let turned: Vec<f64> = earlier.iter().map(|other| away(*other)).collect();
        let shift = away(value);
        if is_off(shift, &turned, chance.max(0.75)) {
            let way = if shift > 0.0 { "later" } else { "earlier" };
            let message = format!(
                "its times of day are {:.1} hours {way} than in earlier runs; is it another time zone?",
                shift.abs()
            );
            self.tell(None, "hour", None, message);
        }
    }

    /// Values of a code that no earlier profile had, or that all had.
    fn codes_in_history(&mut self, now: &BTreeMap<String, f64>, earlier: &[&ProfileRecord], rows: u64) {
        let all: Vec<BTreeSet<&str>> = earlier.iter().map(|record| coded(&record.measures)).collect();
        let here = coded(now);
        let mut names: BTreeSet<&String> = now.keys().collect();
        names.extend(earlier.iter().flat_map(|record| record.measures.keys()));
        for name in names {
            let Some((column, value)) = name.strip_prefix("value|").and_then(|rest| rest.split_once('|')) else {
                continue;
            };
            let judged = earlier.iter().zip(&all).filter(|(_, codes)| codes.contains(column));
            let judged: Vec<&ProfileRecord> = judged.map(|(record, _)| *record).collect();
            let few = judged.len() < FEWEST_PROFILES;
            let least = match (few, &self.profile.timing) {
                (true, Timing::Still) => [CODE_OF_FEW, CODE_OF_FEW],
                (true, _) => [CODE_OF_FEW.max(30.0 / exact(rows.max(1))); 2],
                (false, _) => [NEW_CODE, LOST_CODE],
            };
            let called = self.column_called(column);
            if judged.is_empty() || !here.contains(column) || is_key(&called, self.expected.contract) {
                continue;
            }
            let before: Vec<f64> = judged.iter().filter_map(|record| record.measures.get(name).copied()).collect();
            match now.get(name) {
                Some(share) if before.is_empty() && *share > least[0] => {
                    let message = format!(
                        "{} of its rows have the value {value} in `{}`, which no earlier run saw",
                        percent(*share),
                        called.lower()
                    );
                    self.tell(Some(&called), "values", None, message);
                }
                None if before.len() == judged.len() => {
                    let usual = median(before).unwrap_or_default();
                    if usual > least[1] {
                        let message = format!(
                            "no row has the value {value} in `{}`, which {} of the rows had in earlier runs",
                            called.lower(),
                            percent(usual)
                        );
                        self.tell(Some(&called), "values", None, message);
                    }
                }
                _ => {}
            }
        }
    }

    fn column_called(&self, lower: &str) -> Name {
        let names = self.profile.days.iter().flat_map(|day| day.columns.keys());
        names.into_iter().find(|name| name.lower() == lower).cloned().unwrap_or_else(|| Name::unquoted(lower))
    }
}

/// The columns of which measures tell the values.
fn coded(measures: &BTreeMap<String, f64>) -> BTreeSet<&str> {
    let names = measures.keys().filter_map(|name| name.strip_prefix("value|")?.split_once('|'));
    names.map(|(column, _)| column).collect()
}

/// Whether a column tells rows apart by its contract, so that its values are no codes.
fn is_key(column: &Name, contract: Option<&Contract>) -> bool {
    contract.is_some_and(|contract| {
        contract.tests.iter().any(|test| matches!(&test.rule, crate::rule::Rule::Unique(columns) if columns.len() == 1 && columns[0].value == *column))
    })
}

fn has(day: &Day, column: &Name, value: &str) -> bool {
    day.columns.get(column).is_some_and(|column| column.values.iter().any(|(there, _)| there == value))
}

fn shares(column: &Name, days: &[&Day]) -> BTreeMap<String, f64> {
    let rows: u64 = days.iter().map(|day| day.rows).sum();
    let mut all: BTreeMap<String, f64> = BTreeMap::new();
    for (value, count) in days.iter().filter_map(|day| day.columns.get(column)).flat_map(|column| &column.values) {
        *all.entry(value.clone()).or_default() += exact(*count) / exact(rows.max(1));
    }
    all
}

/// Whether a value as JSON is the one sought: as text, or as a number.
fn same(code: &str, sought: &str) -> bool {
    let plain = |text: &str| text.trim_matches('"').to_owned();
    let (code, sought) = (plain(code), plain(sought));
    code == sought || code.parse::<f64>().ok().zip(sought.parse::<f64>().ok()).is_some_and(|(a, b)| a == b)
}

/// How far a share measured on so many rows may be from the usual one by chance.
fn chance(usual: f64, rows: u64) -> f64 {
    let usual = usual.clamp(0.0, 1.0);
    5.0 * (usual * (1.0 - usual) / exact(rows.max(1))).sqrt()
}

fn times(column: &Name, difference: f64) -> String {
    let ratio = difference.abs().exp();
    let way = if difference > 0.0 { "larger" } else { "smaller" };
    format!("`{}` is typically {ratio:.1} times {way} than usual", column.lower())
}

/// ` until …`, where a break ended before the last day.
fn ended(found: &Break, last: Option<NaiveDate>) -> String {
    if last.is_some_and(|last| found.until < last) { format!(" (until {})", found.until) } else { String::new() }
}

fn whole(number: f64) -> String {
    format!("{number:.0}")
}

pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 9.95 { format!("{percent:.1}%") } else { format!("{percent:.0}%") }
}

/// A length of time in its largest whole unit or two.
fn length(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds % 86_400 / 3600, seconds % 3600 / 60);
    match (days, hours, minutes) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (1, 0, _) => "1 day".to_owned(),
        (days, 0, _) => format!("{days} days"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}
