//! A table as one scan shows it: rows, duplicates, newest time, and for each column that a check uses NULLs, distinct values,
//! level and frequent values, day by day where the table has times. The scan is Snowflake SQL and runs on any backend.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use datafusion::arrow::array::RecordBatch;

use super::cells::Cells;
use super::statistics::{exact, median};
use crate::dialect::Column;
use crate::dialect::types::SqlType;
use crate::name::{Name, TableName};

/// Days before now that a profile tells apart.
pub const DAYS: i64 = 56;
/// Complete days before now that a profile is judged by.
pub const RECENT: i64 = 7;
/// Values of a column that are told apart; with more it is no code, and its values are not listed.
const CODES: usize = 20;

/// What the rows of a table are in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Timing {
    /// No column says when a row came about.
    Still,
    /// Something that happened: rows after now are not there yet.
    Events(Name),
    /// What is to come, so many days ahead of now.
    Schedule(Name, i64),
}

impl Timing {
    fn column(&self) -> Option<&Name> {
        match self {
            Self::Still => None,
            Self::Events(column) | Self::Schedule(column, _) => Some(column),
        }
    }
}

/// What a scan asks of a table.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The table.
    pub table: TableName,
    /// All its columns.
    pub all: Vec<Column>,
    /// Those that checks use.
    pub used: Vec<Column>,
    /// Its rows in time.
    pub timing: Timing,
    /// How many days before now are told apart.
    pub days: i64,
}

/// A table as a scan showed it.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The table.
    pub table: TableName,
    /// Its rows in time.
    pub timing: Timing,
    /// Its days in order; one entry without a day for rows that have none or are older.
    pub days: Vec<Day>,
}

/// The rows of a day.
#[derive(Clone, Debug, Default)]
pub struct Day {
    /// The day; none for all rows of a table without times, and for older rows.
    pub day: Option<NaiveDate>,
    /// Its rows.
    pub rows: u64,
    /// Rows beyond the first of those that are alike in every column.
    pub duplicates: u64,
    /// The newest time.
    pub newest: Option<NaiveDateTime>,
    /// The time of day as a direction on a clock of 24 hours, averaged.
    pub clock: Option<(f64, f64)>,
    /// Its columns.
    pub columns: BTreeMap<Name, Measures>,
}

/// A column's values.
#[derive(Clone, Debug, Default)]
pub struct Measures {
    /// NULLs.
    pub nulls: u64,
    /// Distinct values.
    pub distinct: u64,
    /// The mean logarithm of the size of numbers.
    pub level: Option<f64>,
    /// The most frequent values, as JSON, with how often they are there.
    pub values: Vec<(String, u64)>,
}

impl Scan {
    /// The query: one row for each of the last days and those to come, and one for all rows before them or without a time, of
    /// which little is asked. A table without times is one row.
    pub fn sql(&self) -> String {
        let from = self.table.sql();
        let Some(time) = self.timing.column().map(Name::sql) else {
            return format!("select {}\nfrom {from}", self.select("null::date"));
        };
        let since = format!("dateadd(day, -{}, current_date)", self.days);
        let until = match self.timing {
            Timing::Events(_) => format!(" and {time} < current_timestamp()::timestamp_ntz"),
            Timing::Still | Timing::Schedule(..) => String::new(),
        };
        let recent = self.select(&format!("to_date({time})"));
        format!(
            "select {recent}\nfrom {from}\nwhere {time} >= {since}{until}\ngroup by \"day\"\nunion all by name\n\
             select {}\nfrom {from}\nwhere {time} is null or {time} < {since}\nhaving count(*) > 0",
            self.select_older(&time)
        )
    }

    fn select(&self, day: &str) -> String {
        let row = self.all.iter().map(|column| format!("coalesce(to_varchar({}), '?')", column.name.sql()));
        let row = format!("concat_ws('|', {})", row.collect::<Vec<_>>().join(", "));
        let mut select = vec![
            format!("{day} as \"day\""),
            "count(*) as \"rows\"".to_owned(),
            format!("count(*) - count(distinct {row}) as \"duplicates\""),
        ];
        if let Some(time) = self.timing.column() {
            let time = time.sql();
            select.push(format!("max({time})::timestamp_ntz as \"newest\""));
            if self.has_hours() {
                let angle = format!("((hour({time}) * 60 + minute({time})) / 1440)::float * 2 * pi()");
                select.push(format!("avg(sin({angle})) as \"sine\", avg(cos({angle})) as \"cosine\""));
            }
        }
        for (at, column) in self.used.iter().enumerate() {
            select.extend(measures(at, column));
        }
        select.join(",\n  ")
    }

    fn select_older(&self, time: &str) -> String {
        let mut select = vec![
            "null::date as \"day\"".to_owned(),
            "count(*) as \"rows\"".to_owned(),
            format!("max({time})::timestamp_ntz as \"newest\""),
        ];
        let nulls = self.used.iter().enumerate().map(|(at, column)| nulls(at, column));
        select.extend(nulls);
        select.join(",\n  ")
    }

    fn has_hours(&self) -> bool {
        let Some(time) = self.timing.column() else { return false };
        self.all.iter().any(|column| column.name == *time && column.sql_type != SqlType::Date)
    }

    /// The profile that the query's rows tell.
    pub fn read(&self, batches: &[RecordBatch]) -> Profile {
        let cells = Cells::of(batches);
        let mut days: Vec<Day> = (0..cells.rows()).map(|row| self.read_day(&cells, row)).collect();
        days.sort_by_key(|day| day.day);
        Profile { table: self.table.clone(), timing: self.timing.clone(), days }
    }

    fn read_day(&self, cells: &Cells, row: usize) -> Day {
        let columns = self.used.iter().enumerate().map(|(at, column)| {
            let measures = Measures {
                nulls: cells.count(&format!("{at} nulls"), row),
                distinct: cells.count(&format!("{at} distinct"), row),
                level: cells.number(&format!("{at} level"), row),
                values: cells.text(&format!("{at} values"), row).map(|json| frequent(&json)).unwrap_or_default(),
            };
            (column.name.clone(), measures)
        });
        Day {
            day: cells.date("day", row),
            rows: cells.count("rows", row),
            duplicates: cells.count("duplicates", row),
            newest: cells.time("newest", row),
            clock: cells.number("sine", row).zip(cells.number("cosine", row)),
            columns: columns.collect(),
        }
    }
}

fn nulls(at: usize, column: &Column) -> String {
    format!("count_if({} is null) as \"{at} nulls\"", column.name.sql())
}

fn measures(at: usize, column: &Column) -> Vec<String> {
    let name = column.name.sql();
    let mut select = vec![nulls(at, column)];
    let codes = match column.sql_type {
        SqlType::Number { scale: 0, .. } => {
            select.push(format!("avg(ln(1 + abs({name}::float))) as \"{at} level\""));
            true
        }
        SqlType::Number { .. } | SqlType::Float => {
            select.push(format!("avg(ln(1 + abs({name}::float))) as \"{at} level\""));
            false
        }
        SqlType::Varchar(_) | SqlType::Boolean => true,
        SqlType::Variant | SqlType::Object | SqlType::Array => return select,
        _ => false,
    };
    select.push(format!("approx_count_distinct({name}) as \"{at} distinct\""));
    if codes {
        select.push(format!("to_json(approx_top_k({name}, {})) as \"{at} values\"", CODES + 1));
    }
    select
}

/// `[["live",12],["vod",3]]` as pairs.
fn frequent(json: &str) -> Vec<(String, u64)> {
    let pairs: Vec<(serde_json::Value, serde_json::Value)> = serde_json::from_str(json).unwrap_or_default();
    pairs
        .into_iter()
        .filter_map(|(value, count)| {
            Some((value.to_string(), count.as_u64().or_else(|| count.as_f64().map(|n| n as u64))?))
        })
        .collect()
}

impl Profile {
    /// All rows.
    pub fn rows(&self) -> u64 {
        self.days.iter().map(|day| day.rows).sum()
    }

    /// The newest time.
    pub fn newest(&self) -> Option<NaiveDateTime> {
        self.days.iter().filter_map(|day| day.newest).max()
    }

    /// The complete days that are judged one by one, the missing ones with no rows: up to now, or as far as a schedule
    /// reaches. The first day that is judged comes with them.
    pub fn series(&self, now: DateTime<Utc>) -> (Vec<Day>, NaiveDate) {
        let today = now.date_naive();
        let (from, end) = match &self.timing {
            Timing::Schedule(_, ahead) => (today, today + TimeDelta::days(*ahead)),
            _ => (today - TimeDelta::days(RECENT), today),
        };
        let dated: BTreeMap<NaiveDate, &Day> = self.days.iter().filter_map(|day| Some((day.day?, day))).collect();
        let Some((first, _)) = dated.first_key_value() else { return (Vec::new(), from) };
        // Where there are older rows, days without any are days of the table too.
        let is_older = self.days.iter().any(|day| day.day.is_none() && day.newest.is_some());
        let first = if is_older { today - TimeDelta::days(DAYS) } else { *first };
        let days = first.iter_days().take_while(|day| *day < end);
        let series = days.map(|day| match dated.get(&day) {
            Some(found) => (*found).clone(),
            None => Day { day: Some(day), ..Day::default() },
        });
        (series.collect(), from)
    }

    /// The days whose measures are remembered and held against earlier ones.
    pub fn judged(&self, now: DateTime<Utc>) -> Vec<Day> {
        match &self.timing {
            Timing::Still => self.days.clone(),
            _ => {
                let (days, from) = self.series(now);
                days.into_iter().filter(|day| day.day.is_some_and(|day| day >= from)).collect()
            }
        }
    }

    /// The measures to remember and to hold against earlier ones, by a name each: of the days that are judged, or of the
    /// whole table where it has no times. `total` counts the rows of all days, since jobs may read those too.
    pub fn measures(&self, now: DateTime<Utc>) -> BTreeMap<String, f64> {
        let days = self.judged(now);
        let rows: u64 = days.iter().map(|day| day.rows).sum();
        let mut measures = BTreeMap::new();
        measures.insert("rows".to_owned(), exact(rows) / exact(days.len().max(1) as u64));
        if self.timing != Timing::Still {
            measures.insert("total".to_owned(), exact(self.rows()));
        }
        if rows == 0 {
            return measures;
        }
        let duplicates: u64 = days.iter().map(|day| day.duplicates).sum();
        measures.insert("duplicates".to_owned(), exact(duplicates) / exact(rows));
        if let Some(hour) = hour(&days) {
            measures.insert("hour".to_owned(), hour);
        }
        let columns = days.iter().flat_map(|day| day.columns.keys());
        let names: std::collections::BTreeSet<&Name> = columns.collect();
        for name in names {
            of_column(name, &days, rows, &mut measures);
        }
        measures
    }

    /// How often each value of a column is there; none where it has too many values to be a code.
    pub fn codes(&self, column: &Name) -> Option<BTreeMap<String, u64>> {
        codes(column, &self.days)
    }
}

/// The mean time of day in hours; none where the times are all around the clock.
pub fn hour(days: &[Day]) -> Option<f64> {
    let weighted = days.iter().filter_map(|day| day.clock.map(|clock| (clock, exact(day.rows))));
    let (sine, cosine, rows) = weighted
        .fold((0.0, 0.0, 0.0), |(s, c, n), ((sine, cosine), rows)| (s + sine * rows, c + cosine * rows, n + rows));
    if rows == 0.0 || f64::hypot(sine, cosine) / rows < 0.1 {
        return None;
    }
    Some(sine.atan2(cosine).rem_euclid(std::f64::consts::TAU) * 24.0 / std::f64::consts::TAU)
}

fn codes(column: &Name, days: &[Day]) -> Option<BTreeMap<String, u64>> {
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    for measures in days.iter().filter_map(|day| day.columns.get(column)) {
        if measures.values.len() > CODES {
            return None;
        }
        for (value, count) in &measures.values {
            *all.entry(value.clone()).or_default() += count;
        }
    }
    (!all.is_empty() && all.len() <= CODES).then_some(all)
}

fn of_column(name: &Name, days: &[Day], rows: u64, measures: &mut BTreeMap<String, f64>) {
    let column = name.lower();
    let columns = || days.iter().filter_map(|day| Some((day, day.columns.get(name)?)));
    let nulls: u64 = columns().map(|(_, column)| column.nulls).sum();
    measures.insert(format!("nulls|{column}"), exact(nulls) / exact(rows));
    if let Some(distinct) = median(columns().filter(|(day, _)| day.rows > 0).map(|(_, column)| exact(column.distinct)))
    {
        measures.insert(format!("distinct|{column}"), distinct);
    }
    let levels =
        columns().filter_map(|(day, column)| Some((column.level?, exact(day.rows.saturating_sub(column.nulls)))));
    let (sum, weight) = levels.fold((0.0, 0.0), |(sum, all), (level, rows)| (sum + level * rows, all + rows));
    if weight > 0.0 {
        measures.insert(format!("level|{column}"), sum / weight);
    }
    for (value, count) in codes(name, days).into_iter().flatten() {
        measures.insert(format!("value|{column}|{value}"), exact(count) / exact(rows));
    }
}
