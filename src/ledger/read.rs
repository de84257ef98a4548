//! Reading the ledger: what is published, how a step went last, the history of runs.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;

use super::record::{Published, RunRecord, Status, StepRecord, TestRecord};
use super::{Ledger, LedgerError};
use crate::name::Name;
use crate::plan::interval::History;
use crate::plan::{Fingerprint, Hash, StepId};

/// A run in the list of runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunSummary {
    /// The run.
    #[serde(rename = "run")]
    pub record: RunRecord,
    /// How many steps succeeded.
    pub succeeded: u64,
    /// How many failed.
    pub failed: u64,
    /// How many were skipped or cancelled.
    pub skipped: u64,
}

/// How a step went in the latest run that had it, as far as what to do next depends on it.
#[derive(Clone, Debug, PartialEq)]
pub struct LastStep {
    /// That run.
    pub run: String,
    /// How it ended there; pending or running where the run goes on, or where its process died.
    pub status: Status,
    /// Whether something went wrong with it or with what it waited for.
    pub in_error: bool,
    /// Whether that run goes on.
    pub goes_on: bool,
    /// What it was made from.
    pub fingerprint: Option<Fingerprint>,
}

impl LastStep {
    /// Whether it failed, or was not reached.
    pub fn is_unfinished(&self) -> bool {
        match self.status {
            Status::Failed | Status::Cancelled | Status::Interrupted => true,
            Status::Pending | Status::Running => !self.goes_on,
            Status::Skipped => self.in_error,
            Status::Success => false,
        }
    }
}

const RUN: &str = "id, started, finished, status, jobs, target, clock, selection, process";
const STEP: &str = "job, step, steps.status, reason, steps.started, seconds, rows, attempts, definition, inputs, \
                    (select text from statements where hash = steps.sql), error, table_name";

impl Ledger {
    /// What is published under every table name, by that name in lower case.
    pub fn all_published(&self) -> Result<HashMap<String, Published>, LedgerError> {
        let sql = "select table_name, job, step, run, at, definition, inputs, version, rows, history from published";
        let tables = self.list(sql, params![], published)?;
        Ok(tables.into_iter().map(|table| (table.table.clone(), table)).collect())
    }

    /// How long every step has taken, later runs counting more.
    pub fn timings(&self) -> Result<HashMap<StepId, f64>, LedgerError> {
        let timings = self.list("select job, step, seconds from timings", params![], |row| {
            Ok((step_id(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?), row.get(2)?))
        })?;
        Ok(timings.into_iter().collect())
    }

    /// The latest runs, the newest first.
    pub fn runs(&self, limit: usize) -> Result<Vec<RunSummary>, LedgerError> {
        let sql = format!(
            "select {RUN},
                 (select count(*) from steps where run = id and status = 'success'),
                 (select count(*) from steps where run = id and status = 'failed'),
                 (select count(*) from steps where run = id and status in ('skipped', 'cancelled', 'interrupted'))
             from runs order by started desc, id desc limit ?"
        );
        let mut runs = self.list(&sql, params![limit as i64], |row| {
            let count = |at: usize| row.get::<_, i64>(at).map(i64::unsigned_abs);
            Ok(RunSummary { record: run(row)?, succeeded: count(9)?, failed: count(10)?, skipped: count(11)? })
        })?;
        for run in &mut runs {
            run.record = self.as_it_stands(run.record.clone());
        }
        Ok(runs)
    }

    /// One run by its name, or by a beginning of it that only it has.
    pub fn run(&self, id: &str) -> Result<Option<RunRecord>, LedgerError> {
        let sql = format!("select {RUN} from runs where substr(id, 1, length(?1)) = ?1 order by id = ?1 desc limit 2");
        let mut found = self.list(&sql, params![id], run)?;
        let unclear = found.len() > 1 && found[0].id != id;
        Ok(if unclear || found.is_empty() { None } else { Some(self.as_it_stands(found.swap_remove(0))) })
    }

    /// The latest run that had the job.
    pub fn last_run(&self, job: &Name) -> Result<Option<RunRecord>, LedgerError> {
        let sql =
            format!("select {RUN} from runs where ',' || jobs || ',' like ? order by started desc, id desc limit 1");
        let pattern = format!("%,{},%", job.lower());
        Ok(self.list(&sql, params![pattern], run)?.pop())
    }

    /// The steps of one run, with their tests, in the order of its plan.
    pub fn steps_of(&self, run: &str) -> Result<Vec<StepRecord>, LedgerError> {
        let sql = format!("select {STEP} from steps where run = ? order by position");
        let mut steps = self.list(&sql, params![run], step)?;
        for step in &mut steps {
            step.tests = self.tests_of(run, &step.step)?;
        }
        Ok(steps)
    }

    fn tests_of(&self, run: &str, step: &StepId) -> Result<Vec<TestRecord>, LedgerError> {
        let sql =
            "select name, verdict, count, message from tests where run = ? and job = ? and step = ? order by position";
        self.list(sql, params![run, step.job.lower(), step.step.lower()], |row| {
            Ok(TestRecord {
                name: row.get(0)?,
                verdict: parsed(row, 1)?,
                count: row.get::<_, Option<i64>>(2)?.map(i64::unsigned_abs),
                message: row.get(3)?,
            })
        })
    }

    /// How a step went in the latest run that tried it or meant to.
    pub fn last_step(&self, id: &StepId) -> Result<Option<LastStep>, LedgerError> {
        let sql =
            "select steps.run, steps.status, error is not null, definition, inputs, runs.status = 'running', process
                   from steps join runs on runs.id = steps.run where job = ? and step = ? order by run desc limit 1";
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| self.explain(&error))?;
        let found = statement.query_row(params![id.job.lower(), id.step.lower()], |row| {
            let (definition, inputs) = (row.get::<_, Option<String>>(3)?, row.get_ref(4)?.as_str_or_null()?);
            let fingerprint = definition.zip(inputs).map(|(definition, inputs)| fingerprint(definition, inputs));
            let goes_on = row.get::<_, bool>(5)? && self.goes_on(&row.get::<_, String>(0)?, row.get(6)?);
            Ok(LastStep { run: row.get(0)?, status: parsed(row, 1)?, in_error: row.get(2)?, goes_on, fingerprint })
        });
        found.optional().map_err(|error| self.explain(&error))
    }

    /// The SQL that a step last ran with, and its run.
    pub fn last_sql(&self, id: &StepId) -> Result<Option<(String, String)>, LedgerError> {
        let sql = "select statements.text, run from steps join statements on hash = steps.sql
                   where job = ? and step = ? and status = 'success' order by run desc limit 1";
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| self.explain(&error))?;
        let found = statement.query_row(params![id.job.lower(), id.step.lower()], |row| Ok((row.get(0)?, row.get(1)?)));
        found.optional().map_err(|error| self.explain(&error))
    }

    pub(super) fn running(&self) -> Result<Vec<(String, u32)>, LedgerError> {
        self.list("select id, process from runs where status = 'running'", params![], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
    }

    pub(super) fn list<T>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, LedgerError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| self.explain(&error))?;
        let rows = statement.query_map(values, read).map_err(|error| self.explain(&error))?;
        rows.collect::<Result<_, _>>().map_err(|error| self.explain(&error))
    }
}

fn run(row: &Row<'_>) -> rusqlite::Result<RunRecord> {
    Ok(RunRecord {
        id: row.get(0)?,
        started: instant(row, 1)?,
        finished: optional_instant(row, 2)?,
        status: parsed(row, 3)?,
        jobs: row.get_ref(4)?.as_str()?.split(',').map(str::to_owned).collect(),
        target: row.get(5)?,
        clock: instant(row, 6)?,
        select: row.get(7)?,
        process: row.get(8)?,
    })
}

fn step(row: &Row<'_>) -> rusqlite::Result<StepRecord> {
    let definition: Option<String> = row.get(8)?;
    let inputs: Option<String> = row.get(9)?;
    Ok(StepRecord {
        step: step_id(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?),
        status: parsed(row, 2)?,
        reason: row.get(3)?,
        started: optional_instant(row, 4)?,
        seconds: row.get(5)?,
        rows: row.get::<_, Option<i64>>(6)?.map(i64::unsigned_abs),
        attempts: row.get(7)?,
        fingerprint: definition.zip(inputs).map(|(definition, inputs)| fingerprint(definition, &inputs)),
        sql: row.get(10)?,
        error: row.get(11)?,
        tests: Vec::new(),
        queries: Vec::new(),
        scanned: None,
        table: row.get(12)?,
    })
}

fn published(row: &Row<'_>) -> rusqlite::Result<Published> {
    Ok(Published {
        table: row.get(0)?,
        step: step_id(row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?),
        run: row.get(3)?,
        at: instant(row, 4)?,
        fingerprint: fingerprint(row.get(5)?, row.get_ref(6)?.as_str()?),
        version: row.get(7)?,
        rows: row.get::<_, Option<i64>>(8)?.map(i64::unsigned_abs),
        history: History::kept(row.get_ref(9)?.as_str()?),
    })
}

/// Names are kept in lower case: a job or step name is never a quoted one.
fn step_id(job: &str, step: &str) -> StepId {
    StepId { job: Name::unquoted(job), step: Name::unquoted(step) }
}

fn fingerprint(definition: String, inputs: &str) -> Fingerprint {
    Fingerprint { definition: Hash::kept(definition), inputs: serde_json::from_str(inputs).unwrap_or_default() }
}

fn instant(row: &Row<'_>, at: usize) -> rusqlite::Result<DateTime<Utc>> {
    let micros: i64 = row.get(at)?;
    DateTime::from_timestamp_micros(micros).ok_or(rusqlite::Error::IntegralValueOutOfRange(at, micros))
}

fn optional_instant(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<DateTime<Utc>>> {
    Ok(row.get::<_, Option<i64>>(at)?.and_then(DateTime::from_timestamp_micros))
}

fn parsed<T: std::str::FromStr<Err = String>>(row: &Row<'_>, at: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(at)?.as_str()?;
    text.parse().map_err(|error: String| rusqlite::Error::FromSqlConversionFailure(at, Type::Text, error.into()))
}
