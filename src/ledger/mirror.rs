//! The history as other machines get it: what is known of a run or a published table as one JSON text, and back. A table
//! that is not known here, or a column, is passed over, so that releases with other layouts can share a history.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::types::Value as Cell;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use serde_json::{Map, Number, Value, json};

use super::{Ledger, LedgerError};
use crate::backend::Entry;

/// What belongs to a run.
const OF_RUN: [(&str, &str); 6] = [
    ("runs", "id = ?1"),
    ("steps", "run = ?1"),
    ("tests", "run = ?1"),
    ("tries", "run = ?1"),
    ("statements", "hash in (select sql from steps where run = ?1)"),
    (
        "timings",
        "exists (select 1 from steps where run = ?1 and steps.job = timings.job and steps.step = timings.step)",
    ),
];

/// The process of runs on other machines.
const ELSEWHERE: u32 = 0;

/// After so long a run of another machine that has not said how it ended is taken for dead.
const LOST: TimeDelta = TimeDelta::hours(6);

impl Ledger {
    /// What is known of a run and of the tables that it published.
    pub fn entries(&self, run: &str) -> Result<Vec<Entry>, LedgerError> {
        self.entries_of(run).map_err(|error| self.explain(&error))
    }

    fn entries_of(&self, run: &str) -> rusqlite::Result<Vec<Entry>> {
        let mut content = Map::new();
        for (table, condition) in OF_RUN {
            content.insert(table.to_owned(), Value::Array(rows(&self.connection, table, condition, run)?));
        }
        let status = content["runs"][0]["status"].as_str().unwrap_or_default().to_owned();
        let content = Value::Object(content).to_string();
        let mut entries = vec![Entry { kind: "run".to_owned(), name: run.to_owned(), status, content }];
        for row in rows(&self.connection, "published", "run = ?1", run)? {
            let name = row["table_name"].as_str().unwrap_or_default().to_owned();
            let content = json!({ "published": [row] }).to_string();
            entries.push(Entry { kind: "table".to_owned(), name, status: run.to_owned(), content });
        }
        Ok(entries)
    }

    /// Takes over what other machines have written down, as of an instant. What this one knows better stays.
    pub fn take_over(&mut self, entries: &[Entry], now: DateTime<Utc>) -> Result<(), LedgerError> {
        let path = self.path.clone();
        let taken = self.connection.transaction().and_then(|transaction| {
            for entry in entries {
                let Ok(Value::Object(content)) = serde_json::from_str(&entry.content) else { continue };
                if knows_better(&transaction, entry, &content)? {
                    continue;
                }
                for (table, rows) in content {
                    for row in rows.as_array().into_iter().flatten() {
                        put(&transaction, &table, row)?;
                    }
                }
            }
            let sql = "update runs set status = 'cancelled' where status = 'running' and process = ? and started < ?";
            transaction.execute(sql, params![ELSEWHERE, (now - LOST).timestamp_micros()])?;
            transaction.commit()
        });
        taken.map_err(|error| super::explain(&path, &error))
    }

    /// Takes the runs of other machines that have not said how they ended for dead.
    pub fn close_elsewhere(&self) -> Result<(), LedgerError> {
        let sql = "update runs set status = 'cancelled' where status = 'running' and process = ?";
        self.connection.execute(sql, params![ELSEWHERE]).map(|_| ()).map_err(|error| self.explain(&error))
    }
}

fn rows(connection: &Connection, table: &str, condition: &str, run: &str) -> rusqlite::Result<Vec<Value>> {
    let mut statement = connection.prepare_cached(&format!("select * from {table} where {condition}"))?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let read = statement.query_map(params![run], |row| {
        let cells = names.iter().enumerate().map(|(at, name)| Ok((name.clone(), value_of(row.get(at)?))));
        cells.collect::<rusqlite::Result<Map<String, Value>>>().map(Value::Object)
    })?;
    read.collect()
}

fn value_of(cell: Cell) -> Value {
    match cell {
        Cell::Null | Cell::Blob(_) => Value::Null,
        Cell::Integer(number) => number.into(),
        Cell::Real(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
        Cell::Text(text) => text.into(),
    }
}

fn cell_of(value: &Value) -> Cell {
    match value {
        Value::Number(number) => {
            number.as_i64().map(Cell::Integer).or_else(|| number.as_f64().map(Cell::Real)).unwrap_or(Cell::Null)
        }
        Value::String(text) => Cell::Text(text.clone()),
        Value::Bool(truth) => Cell::Integer(i64::from(*truth)),
        Value::Null | Value::Array(_) | Value::Object(_) => Cell::Null,
    }
}

/// Whether what is known here is this machine's own, or newer.
fn knows_better(connection: &Connection, entry: &Entry, content: &Map<String, Value>) -> rusqlite::Result<bool> {
    if entry.kind == "table" {
        let at = content.get("published").and_then(|rows| rows[0]["at"].as_i64()).unwrap_or(i64::MIN);
        let known = connection
            .query_row("select at from published where table_name = ?", [&entry.name], |row| row.get::<_, i64>(0));
        return Ok(known.optional()?.is_some_and(|known| known >= at));
    }
    let known = connection.query_row("select process, status from runs where id = ?", [&entry.name], |row| {
        Ok((row.get::<_, u32>(0)?, row.get::<_, String>(1)?))
    });
    Ok(known.optional()?.is_some_and(|(process, status)| process != ELSEWHERE || status == entry.status))
}

/// Writes a row over the one that has its key.
fn put(connection: &Connection, table: &str, row: &Value) -> rusqlite::Result<()> {
    let own = OF_RUN.iter().map(|(table, _)| *table).chain(["published"]).any(|own| own == table);
    let Some(row) = row.as_object().filter(|_| own) else { return Ok(()) };
    let mut statement = connection.prepare_cached("select name from pragma_table_info(?)")?;
    let known: BTreeSet<String> = statement.query_map([table], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let cells: Vec<(&String, Cell)> = row
        .iter()
        .filter(|(name, _)| known.contains(*name))
        .map(|(name, value)| {
            let elsewhere = table == "runs" && name == "process";
            (name, if elsewhere { Cell::Integer(i64::from(ELSEWHERE)) } else { cell_of(value) })
        })
        .collect();
    let names: Vec<&str> = cells.iter().map(|(name, _)| name.as_str()).collect();
    let marks = vec!["?"; cells.len()].join(", ");
    let sql = format!("insert or replace into {table} ({}) values ({marks})", names.join(", "));
    connection.prepare_cached(&sql)?.execute(params_from_iter(cells.into_iter().map(|(_, cell)| cell)))?;
    Ok(())
}
