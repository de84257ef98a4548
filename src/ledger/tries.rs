//! Tries that failed: what was wrong, what class of error it was, and how long the run waited before the next.

use chrono::DateTime;
use rusqlite::params;

use super::record::TryRecord;
use super::{Ledger, LedgerError};
use crate::plan::StepId;

impl Ledger {
    /// Writes down a try that failed.
    pub fn tried(&mut self, run: &str, step: &StepId, tried: &TryRecord) -> Result<(), LedgerError> {
        self.execute(
            "insert or replace into tries (run, job, step, attempt, at, seconds, class, error, wait)
             values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                run,
                step.job.lower(),
                step.step.lower(),
                tried.attempt,
                tried.at.timestamp_micros(),
                tried.seconds,
                tried.class,
                tried.error,
                tried.wait
            ],
        )
    }

    /// The tries of a run that failed, by step and in order.
    pub fn tries_of(&self, run: &str) -> Result<Vec<(StepId, TryRecord)>, LedgerError> {
        let sql = "select job, step, attempt, at, seconds, class, error, wait from tries where run = ?
                   order by job, step, attempt";
        self.list(sql, params![run], |row| {
            let step = StepId::new(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
            let tried = TryRecord {
                attempt: row.get(2)?,
                at: DateTime::from_timestamp_micros(row.get(3)?).unwrap_or_default(),
                seconds: row.get(4)?,
                class: row.get(5)?,
                error: row.get(6)?,
                wait: row.get(7)?,
            };
            Ok((step, tried))
        })
    }
}
