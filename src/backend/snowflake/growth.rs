//! Tables that grow. What a table will be is built beside it, from a clone that costs nothing: the rows that come do to the clone
//! what they will do to the table itself when it is published, in one transaction. Tests see the clone.

use std::collections::HashMap;
use std::sync::PoisonError;

use super::session::Worker;
use super::text::{self, Meaning, Text};
use super::{Frame, Held, Snowflake, catalogue, states};
use crate::backend::{Attempt, BackendError, Built, Keep};
use crate::dialect::Column;
use crate::job::incremental::Strategy;
use crate::name::{Name, TableName};
use crate::plan::incremental::statements::{Place, deletions, insertion, staged_columns};
use crate::plan::incremental::{Guard, Made, PlannedIncremental, queried};
use crate::plan::interval::Interval;
use crate::plan::{NEW, OLD, PlannedStep, Query};

/// What is known of a table that grows between building and publishing it.
#[derive(Clone, Debug)]
pub(super) struct Grown {
    /// What it will have been made from.
    pub(super) made: Option<Made>,
    /// Whether none of the rows count that the table has.
    pub(super) afresh: bool,
    /// The rows that it will have.
    pub(super) rows: u64,
}

/// What a growing table's rows do to it: `staged` are the rows that come.
pub(super) fn changes(step: &PlannedStep, table: &TableName, staged: &TableName) -> Vec<String> {
    let Some(grows) = &step.incremental else { return Vec::new() };
    let intervals = intervals(step);
    let place = Place { table, staged, columns: &step.columns, intervals: &intervals };
    let mut statements = deletions(&grows.how, &place);
    statements.push(insertion(&grows.how, &place));
    statements
}

fn intervals(step: &PlannedStep) -> Vec<Interval> {
    step.batches.iter().map(|batch| batch.interval).collect()
}

impl Snowflake {
    /// What tables that grow were made from, each with the table's mark; another mark where it has not the rows that the run
    /// left, so that something else has changed it.
    pub async fn made(&self, tables: &[TableName]) -> Result<HashMap<TableName, (Made, String)>, BackendError> {
        let mut worker = self.worker("states");
        let states = states::read(&mut worker, &self.history_table("STATES"), Some(tables)).await?;
        let newest = |name: &TableName| {
            let state = states.iter().find(|state| state.table == name.lower())?;
            Some((name.clone(), state.run.clone()))
        };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).extend(tables.iter().filter_map(newest));
        let grows = |name: &&TableName| states.iter().any(|state| state.made.is_some() && state.table == name.lower());
        let growing: Vec<TableName> = tables.iter().filter(grows).cloned().collect();
        if growing.is_empty() {
            return Ok(HashMap::new());
        }
        let marks = catalogue::versions(&mut worker, &self.connector.database(), &growing).await?;
        let made = states::made(&states, &marks);
        let counts = catalogue::counts(&mut worker, &made.keys().collect::<Vec<_>>()).await?;
        let marked = |(name, (made, rows)): (TableName, (Made, Option<u64>))| {
            let mark = marks.get(&name).filter(|_| rows.is_none() || rows == counts.get(&name).copied());
            let mark = mark.cloned().unwrap_or_else(|| "changed".to_owned());
            (name, (made, mark))
        };
        Ok(made.into_iter().map(marked).collect())
    }

    /// Whether a table's columns are those of a result.
    pub fn has_columns(present: &[Column], result: &[Column]) -> bool {
        catalogue::same(present, result)
    }

    /// Builds what the table will be.
    pub(super) async fn build_growing(
        &self,
        step: &PlannedStep,
        query: &Query,
        attempt: &Attempt,
    ) -> Result<Built, BackendError> {
        let (Keep::Table(name), Some(grows)) = (&attempt.keep, &step.incremental) else {
            return self.keep(step, &query.sql, attempt).await;
        };
        let mut worker = self.of_attempt(step, attempt);
        let whole = self.staging(step, attempt);
        let growth = Growth {
            backend: self,
            step,
            attempt,
            grows,
            name,
            whole: &whole,
            staged: text::coming(&whole),
            raw: text::raw(&whole),
        };
        growth.begin(&mut worker).await?;
        match &grows.how.strategy {
            Strategy::Interval(_) => growth.batches(&mut worker).await?,
            Strategy::Merge(_) | Strategy::Snapshot(_) => growth.changed(&mut worker, query).await?,
            Strategy::Append | Strategy::DeleteInsert { .. } | Strategy::InsertOverwrite { .. } => {
                growth.rows(&mut worker, query, 0, &growth.staged).await?;
                growth.apply(&mut worker).await?;
            }
        }
        let rows = catalogue::count(&mut worker, &whole).await?;
        self.built(step, whole, attempt, &worker);
        self.has_grown(step, attempt, rows);
        Ok(Built { rows: Some(rows) })
    }

    /// Notes what publishing has to know of a table that grows.
    pub(super) fn has_grown(&self, step: &PlannedStep, attempt: &Attempt, rows: u64) {
        if step.incremental.is_some() {
            let grown = Grown { made: attempt.made.clone(), afresh: attempt.afresh, rows };
            self.grown.lock().unwrap_or_else(PoisonError::into_inner).insert(step.id.clone(), grown);
        }
    }

    /// An internal step that feeds one which is built by intervals: a query or a table for each batch.
    pub(super) async fn build_batched(&self, step: &PlannedStep, attempt: &Attempt) -> Result<Built, BackendError> {
        let mut worker = self.of_attempt(step, attempt);
        let (mut all, mut count) = (Vec::new(), None);
        for (at, batch) in step.batches.iter().enumerate() {
            let frame = Frame { batch: at, own: Vec::new() };
            if attempt.keep == Keep::Inline && !step.local {
                let query = self.text(&batch.query.sql, &batch.query.inputs, &frame)?;
                all.push(Held::Query(query));
                continue;
            }
            let table = text::batch(&self.staging(step, attempt), at);
            self.rows_into(&mut worker, step, &batch.query, &frame, &table, &step.columns, attempt).await?;
            count = Some(count.unwrap_or(0) + catalogue::count(&mut worker, &table).await?);
            all.push(Held::Table(table));
        }
        self.hold(&step.id, Held::Batches(all));
        self.asked(step, &worker);
        Ok(Built { rows: count })
    }
}

/// One table that is about to grow.
struct Growth<'a> {
    backend: &'a Snowflake,
    step: &'a PlannedStep,
    attempt: &'a Attempt,
    grows: &'a PlannedIncremental,
    /// The table as it is published.
    name: &'a TableName,
    /// What it will be.
    whole: &'a TableName,
    /// The rows that come.
    staged: TableName,
    /// Rows of the query that are not yet those that come.
    raw: TableName,
}

impl Growth<'_> {
    /// Makes the clone: the rows that the table has and that count, under its step's columns.
    async fn begin(&self, worker: &mut Worker) -> Result<(), BackendError> {
        let columns = &self.step.columns;
        let present = catalogue::columns(worker, &self.backend.connector.database(), &[self.name]).await?;
        let statement = match present.get(self.name).filter(|_| !self.attempt.afresh) {
            None => text::create(self.whole, columns),
            Some(before) if catalogue::same(before, columns) => text::clone(self.whole, self.name),
            Some(before) => text::under_columns(self.whole, self.name, before, columns),
        };
        worker.run(statement).await.map(|_| ())
    }

    /// Puts the rows of a query into a table; the step's own rows are those of the clone.
    async fn rows(
        &self,
        worker: &mut Worker,
        query: &Query,
        batch: usize,
        into: &TableName,
    ) -> Result<(), BackendError> {
        let own = vec![(self.name.clone(), Meaning::Table(self.whole.clone()))];
        let frame = Frame { batch, own };
        let columns = queried(&self.grows.how, &self.step.columns);
        self.backend.rows_into(worker, self.step, query, &frame, into, columns, self.attempt).await
    }

    /// Has the rows that come do to the clone what they will do to the table.
    async fn apply(&self, worker: &mut Worker) -> Result<(), BackendError> {
        for statement in changes(self.step, self.whole, &self.staged) {
            worker.run(statement).await?;
        }
        Ok(())
    }

    /// The rows that come in the place of those with their keys.
    async fn changed(&self, worker: &mut Worker, query: &Query) -> Result<(), BackendError> {
        self.rows(worker, query, 0, &self.raw).await?;
        for guard in &self.grows.guards {
            self.hold_true(worker, guard, &self.raw).await?;
        }
        let Some(effect) = &self.grows.effect else {
            return Err(BackendError::author(format!("`{}` could not be bound", self.step.id)));
        };
        let columns = staged_columns(&self.grows.how, &self.step.columns);
        worker.run(text::build(&self.staged, &self.over_both(&effect.sql, &self.raw)?, &columns)).await?;
        self.apply(worker).await?;
        worker.run(text::drop(&self.raw)).await.map(|_| ())
    }

    /// The rows of the step's intervals, batch after batch: each reads what those before it have built.
    async fn batches(&self, worker: &mut Worker) -> Result<(), BackendError> {
        let how = &self.grows.how;
        let intervals = intervals(self.step);
        let place = |table, staged| Place { table, staged, columns: &self.step.columns, intervals: &intervals };
        for statement in deletions(how, &place(self.whole, &self.staged)) {
            worker.run(statement).await?;
        }
        worker.run(text::create(&self.staged, &self.step.columns)).await?;
        for (at, batch) in self.step.batches.iter().enumerate() {
            self.rows(worker, &batch.query, at, &self.raw).await?;
            if let Some(guard) = &batch.guard {
                self.hold_true(worker, guard, &self.raw).await?;
            }
            for table in [self.whole, &self.staged] {
                worker.run(insertion(how, &place(table, &self.raw))).await?;
            }
        }
        worker.run(text::drop(&self.raw)).await.map(|_| ())
    }

    /// A query over `new` and `old`: the rows of the query, and those that the table has.
    fn over_both(&self, sql: &str, new: &TableName) -> Result<Text, BackendError> {
        let sides = [(NEW, new), (OLD, self.whole)].map(|(name, table)| (Name::unquoted(name), table));
        let meaning = |name: &TableName| {
            let side = sides.iter().find(|(side, _)| *name == TableName::bare(side.clone()));
            side.map(|(_, table)| Meaning::Table((*table).clone()))
        };
        Text::of(sql, &meaning, self.backend.clock)
    }

    async fn hold_true(&self, worker: &mut Worker, guard: &Guard, new: &TableName) -> Result<(), BackendError> {
        let sql = self.over_both(&guard.query.sql, new)?.whole();
        match catalogue::number(&worker.rows(sql).await?.batches) {
            Some(0) => Ok(()),
            Some(count) => Err(BackendError::author(format!("{count} {}", guard.message))),
            None => Err(BackendError::author("the new rows could not be counted")),
        }
    }
}
