//! Writing to the ledger: a run's start, every step as it ends, what is published, the run's end.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, params};

use super::alive::Mark;
use super::record::{Published, RunRecord, Status, StepRecord};
use super::{Ledger, LedgerError};
use crate::plan::{Fingerprint, Hash};

impl Ledger {
    /// Writes down that a run has started. Runs whose process has died are marked as interrupted.
    pub fn start(&self, run: &RunRecord) -> Result<(), LedgerError> {
        self.close_lost_runs()?;
        if let Some(mark) = Mark::take(&self.path, &run.id).filter(|_| run.process == std::process::id()) {
            // A ledger starts one run.
            let _ = self.mark.set(mark);
        }
        let values = params![
            run.id,
            run.started.timestamp_micros(),
            run.status.as_str(),
            run.jobs.join(","),
            run.target,
            run.clock.timestamp_micros(),
            run.select,
            run.process
        ];
        self.execute(
            "insert into runs (id, started, status, jobs, target, clock, selection, process)
             values (?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )
    }

    /// Writes down what became of a step, over what was known of it in this run.
    pub fn step(&mut self, run: &str, position: usize, step: &StepRecord) -> Result<(), LedgerError> {
        self.steps(run, [(position, step)])
    }

    /// Writes down what became of several steps, in one go.
    pub fn steps<'a>(
        &mut self,
        run: &str,
        steps: impl IntoIterator<Item = (usize, &'a StepRecord)>,
    ) -> Result<(), LedgerError> {
        let path = self.path.clone();
        let written = self.connection.transaction().and_then(|transaction| {
            for (position, step) in steps {
                write_step(&transaction, run, position, step)?;
            }
            transaction.commit()
        });
        written.map_err(|error| super::explain(&path, &error))
    }

    /// Writes down what is visible now under the names of these tables, and in which run each was published.
    pub fn published(&mut self, tables: &[Published]) -> Result<(), LedgerError> {
        let path = self.path.clone();
        let written = self.connection.transaction().and_then(|transaction| {
            for table in tables {
                write_published(&transaction, table)?;
                let (job, step) = (table.step.job.lower(), table.step.step.lower());
                let mut update = transaction
                    .prepare_cached("update steps set table_name = ? where run = ? and job = ? and step = ?")?;
                update.execute(params![table.table, table.run, job, step])?;
            }
            transaction.commit()
        });
        written.map_err(|error| super::explain(&path, &error))
    }

    /// Writes down that an earlier state of tables is visible again, each with the version and the run that it is of.
    pub fn rolled_back(&mut self, tables: &[(String, Option<(String, String)>)]) -> Result<(), LedgerError> {
        let path = self.path.clone();
        let written = self.connection.transaction().and_then(|transaction| {
            for (table, of) in tables {
                transaction.execute("delete from published where table_name = ?", params![table])?;
                let Some((version, run)) = of else { continue };
                transaction.execute(
                    "insert into published (table_name, job, step, run, at, definition, inputs, version, rows)
                     select table_name, job, step, run, coalesce(started, 0), definition, inputs, ?, rows from steps
                     where run = ? and table_name = ? and definition is not null and inputs is not null",
                    params![version, run, table],
                )?;
            }
            transaction.commit()
        });
        written.map_err(|error| super::explain(&path, &error))
    }

    /// Forgets the runs that started before an instant, except the last one of every job; gives how many.
    pub fn forget_before(&mut self, at: DateTime<Utc>) -> Result<usize, LedgerError> {
        let path = self.path.clone();
        let forgotten = self.connection.transaction().and_then(|transaction| {
            let old = "select id from runs where started < ?1 and status <> 'running'
                       and id not in (select max(run) from steps group by job, step)";
            for table in ["steps", "tests", "tries"] {
                transaction
                    .execute(&format!("delete from {table} where run in ({old})"), params![at.timestamp_micros()])?;
            }
            let runs = transaction
                .execute(&format!("delete from runs where id in ({old})"), params![at.timestamp_micros()])?;
            transaction.execute(
                "delete from statements where hash not in (select sql from steps where sql is not null)",
                [],
            )?;
            transaction.commit().map(|()| runs)
        });
        forgotten.map_err(|error| super::explain(&path, &error))
    }

    /// Writes down how a run ended.
    pub fn finish(&self, run: &str, status: Status, at: DateTime<Utc>) -> Result<(), LedgerError> {
        self.execute(
            "update runs set status = ?, finished = ? where id = ?",
            params![status.as_str(), at.timestamp_micros(), run],
        )
    }

    pub(super) fn execute(&self, sql: &str, values: impl rusqlite::Params) -> Result<(), LedgerError> {
        let done = self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute(values));
        done.map(|_| ()).map_err(|error| self.explain(&error))
    }

    /// Marks the runs as cancelled whose process on this machine has died.
    pub fn close_lost_runs(&self) -> Result<(), LedgerError> {
        for (id, process) in self.running()? {
            if !self.goes_on(&id, process) {
                self.execute("update runs set status = 'interrupted' where id = ?", params![id])?;
                self.unmark(&id);
            }
        }
        Ok(())
    }
}

fn write_step(connection: &Connection, run: &str, position: usize, step: &StepRecord) -> rusqlite::Result<()> {
    let statement = step.sql.as_deref().map(|sql| (Hash::of([sql]), sql));
    if let Some((hash, text)) = &statement {
        let mut insert = connection.prepare_cached("insert or ignore into statements (hash, text) values (?, ?)")?;
        insert.execute(params![hash.as_str(), text])?;
    }
    let (job, name) = (step.step.job.lower(), step.step.step.lower());
    let mut insert = connection.prepare_cached(
        "insert or replace into steps (run, position, job, step, status, reason, started, seconds, rows, attempts,
             definition, inputs, sql, error, table_name)
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    insert.execute(params![
        run,
        position as i64,
        job,
        name,
        step.status.as_str(),
        step.reason,
        step.started.map(|at| at.timestamp_micros()),
        step.seconds,
        step.rows.map(|rows| rows as i64),
        step.attempts,
        step.fingerprint.as_ref().map(|fingerprint| fingerprint.definition.as_str()),
        step.fingerprint.as_ref().map(inputs_text),
        statement.as_ref().map(|(hash, _)| hash.as_str()),
        step.error,
        step.table,
    ])?;
    for (position, test) in step.tests.iter().enumerate() {
        let mut insert = connection.prepare_cached(
            "insert or replace into tests (run, job, step, position, name, verdict, count, message)
             values (?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        let count = test.count.map(|count| count as i64);
        insert.execute(params![
            run,
            job,
            name,
            position as i64,
            test.name,
            test.verdict.as_str(),
            count,
            test.message
        ])?;
    }
    if step.status == Status::Success && step.attempts > 0 {
        let mut insert = connection.prepare_cached(
            "insert into timings (job, step, seconds) values (?1, ?2, ?3)
             on conflict (job, step) do update set seconds = (seconds + ?3) / 2",
        )?;
        insert.execute(params![job, name, step.seconds])?;
    }
    Ok(())
}

fn write_published(connection: &Connection, table: &Published) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "insert or replace into published (table_name, job, step, run, at, definition, inputs, version, rows, history)
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    insert.execute(params![
        table.table,
        table.step.job.lower(),
        table.step.step.lower(),
        table.run,
        table.at.timestamp_micros(),
        table.fingerprint.definition.as_str(),
        inputs_text(&table.fingerprint),
        table.version,
        table.rows.map(|rows| rows as i64),
        table.history.text(),
    ])?;
    Ok(())
}

fn inputs_text(fingerprint: &Fingerprint) -> String {
    serde_json::to_string(&fingerprint.inputs).unwrap_or_default()
}
