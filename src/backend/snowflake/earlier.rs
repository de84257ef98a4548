//! What earlier runs left: results that were not published, taken over or dropped; states of published tables, looked up, read,
//! published again, and let go of.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::datasource::TableProvider;

use super::session::Worker;
use super::states::{self, State};
use super::{Held, Snowflake, catalogue, history, text};
use crate::backend::{Backend as _, BackendError};
use crate::dialect::Column;
use crate::name::TableName;
use crate::plan::{PlannedStep, StepId, schema_of};

/// Undoes the transactions that runs left open which are over: the server would hold their locks for hours.
async fn undo(worker: &mut Worker, over: &dyn Fn(&str) -> bool) {
    let open = match catalogue::transactions(worker).await {
        Ok(open) => open,
        Err(error) => return tracing::debug!(%error, "the server does not tell its open transactions"),
    };
    let is_over = |name: &str| name.strip_prefix(text::TRANSACTION).is_some_and(over);
    for (id, name) in open.iter().filter(|(id, name)| is_over(name) && id.parse::<u64>().is_ok()) {
        match worker.run(text::abort(id)).await {
            Ok(_) => tracing::info!(transaction = name, "what a lost run had begun to publish is undone"),
            Err(error) => tracing::debug!(%error, transaction = name, "it was over already"),
        }
    }
}

/// A table's columns and rows, fetched.
type Fetched = (Vec<Column>, Arc<dyn TableProvider>);

impl Snowflake {
    /// Makes what the history needs where it is missing, and drops what runs left that are over; of these steps it takes
    /// over what the named runs finished, and gives those that it found.
    pub async fn prepare(
        &self,
        over: &dyn Fn(&str) -> bool,
        adopt: &[(StepId, String)],
    ) -> Result<Vec<StepId>, BackendError> {
        let (database, schema) = (self.connector.database(), self.connector.login().schema.clone());
        let mut worker = self.worker("prepare");
        let place = self.history_table("STATES");
        if catalogue::count(&mut worker, &place).await.is_err() {
            for statement in history::tables(&database, &schema) {
                worker.run(statement).await?;
            }
        }
        undo(&mut worker, over).await;
        let mut adopted = Vec::new();
        let kept = states::kept(&mut worker, &place).await?;
        for left in catalogue::left_behind(&mut worker, &database, &schema).await? {
            let staging = |(step, run): &(StepId, String)| text::staging(&database, &schema, step, run);
            if let Some((step, _)) = adopt.iter().find(|adopt| staging(adopt) == left) {
                self.hold(step, Held::Table(left));
                adopted.push(step.clone());
                continue;
            }
            let comes = adopt.iter().any(|adopt| text::coming(&staging(adopt)) == left);
            let is_over = left.table.as_str().rsplit_once(text::MARK).is_some_and(|(_, run)| over(run));
            if is_over && !comes && !kept.contains(&left) {
                worker.run(text::drop(&left)).await?;
            }
        }
        Ok(adopted)
    }

    /// The tables that runs built aside and that are there still, each told by its step and run.
    pub async fn unpublished(&self, of: &[(StepId, String)]) -> Result<Vec<StepId>, BackendError> {
        let (database, schema) = (self.connector.database(), &self.connector.login().schema);
        let left = catalogue::left_behind(&mut self.worker("prepare"), &database, schema).await?;
        let is_there = |(step, run): &&(StepId, String)| left.contains(&text::staging(&database, schema, step, run));
        Ok(of.iter().filter(is_there).map(|(step, _)| step.clone()).collect())
    }

    /// The states of these tables that came to be, of all where none are named; the newest first.
    pub async fn states(&self, tables: Option<&[TableName]>) -> Result<Vec<State>, BackendError> {
        let states = states::read(&mut self.worker("states"), &self.history_table("STATES"), tables).await?;
        Ok(states.into_iter().filter(State::is_published).collect())
    }

    /// Makes tables what they were in these states, whose rows are kept; gives their versions.
    pub async fn roll_back(&self, to: &[(TableName, State)]) -> Result<HashMap<TableName, String>, BackendError> {
        let mut worker = self.worker("rollback");
        let named = to.iter().flat_map(|(name, state)| [Some(name), state.kept.as_ref()]).flatten();
        let named: Vec<&TableName> = named.collect();
        let columns = catalogue::columns(&mut worker, &self.connector.database(), &named).await?;
        if let Some((name, _)) =
            to.iter().find(|(_, state)| state.kept.as_ref().is_none_or(|kept| !columns.contains_key(kept)))
        {
            return Err(BackendError::author(format!("the rows of that state of `{}` are kept no more", name.lower())));
        }
        self.publish_again(&mut worker, to, &columns).await
    }

    /// A table as it is on the server, fetched; none where there is none of the name.
    pub async fn table(&self, name: &TableName) -> Result<Option<Fetched>, BackendError> {
        let mut worker = self.worker("table");
        let found = catalogue::columns(&mut worker, &self.connector.database(), &[name]).await?.remove(name);
        let Some(columns) = found else { return Ok(None) };
        let names: Vec<String> = columns.iter().map(|column| column.name.sql()).collect();
        let sql = format!("SELECT {} FROM {}", names.join(", "), name.sql());
        let schema = schema_of(&columns, &self.connector.login().timezone);
        let rows = self.fetched(&mut worker, sql, &schema, &mut self.means.memory.clone()).await?;
        Ok(Some((columns, rows)))
    }

    /// The result of a step that was built in this run, fetched.
    pub async fn result(&self, step: &PlannedStep) -> Result<Fetched, BackendError> {
        let sql = self.rows_of(step)?;
        let mut worker = self.worker("table");
        let rows = self.fetched(&mut worker, sql, &step.schema, &mut self.means.memory.clone()).await?;
        Ok((step.columns.clone(), rows))
    }

    /// Drops the copies of all but so many states of each table, and what runs left that are over; gives how many copies, and
    /// of how many runs something was left.
    pub async fn clean(
        &self,
        kept: usize,
        over: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<(usize, usize), BackendError> {
        let mut worker = self.worker("clean");
        let old = self.no_longer_kept(&mut worker, None, kept).await?;
        for table in &old {
            worker.run(text::drop(table)).await?;
        }
        let (database, schema) = (self.connector.database(), self.connector.login().schema.clone());
        let before = catalogue::left_behind(&mut worker, &database, &schema).await?;
        self.prepare(over, &[]).await?;
        let after = catalogue::left_behind(&mut worker, &database, &schema).await?;
        let run = |table: &TableName| table.table.as_str().rsplit_once(text::MARK).map(|(_, run)| run.to_owned());
        let gone = before.iter().filter(|table| !after.contains(table)).filter_map(run);
        let runs: BTreeSet<String> = gone.collect();
        self.close().await;
        Ok((old.len(), runs.len()))
    }

    /// Forgets the runs before an instant, but for those named, and the states that they left and that are kept no more.
    pub async fn forget(&self, before: DateTime<Utc>, first: &str, but: &[String]) -> Result<(), BackendError> {
        let mut worker = self.worker("history");
        worker.run(history::forget(&self.history_table("LEDGER"), first, but)).await?;
        worker.run(states::forget_before(&self.history_table("STATES"), before)).await.map(|_| ())
    }
}
