//! Snowflake: every step is computed in the warehouse. Results are built aside in tables of the schema of the run, tested there,
//! and published by one atomic statement per table; nothing leaves the warehouse but what is asked for.
//!
//! | result | on the server |
//! | --- | --- |
//! | of a step with one reader | a named query inside its reader's |
//! | of a step with several | a transient table `<job>__<step>__PIPE_<run>` |
//! | to be published | the same, until all tests of its job have passed |
//! | published | `INSERT OVERWRITE` in one transaction where the columns are the same, else `CREATE OR REPLACE TABLE … COPY GRANTS` |
//!
//! A transform without a form in SQL, and a step marked `engine: local`, fetches its inputs, is computed on this machine, and
//! loads its result.

/// What a login needs, and what marks a session as ours.
mod connect;

/// Statements, and what to do about their errors.
mod session;

/// Answers as Arrow.
mod rows;

/// The text of statements.
mod text;

/// What the server knows of its tables.
mod catalogue;

/// The run history beside the tables.
mod history;

/// Rows into tables.
mod load;

/// Steps that are computed on this machine.
mod local;

/// Results made visible.
mod publish;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use datafusion::arrow::array::RecordBatch;
use datafusion::execution::SessionState;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

pub use connect::{Credential, Login, Stage};

use super::{Attempt, Backend, BackendError, Built, Entry, Keep, Rows};
use crate::dialect::{Column, Dialect};
use crate::name::{Name, TableName};
use crate::opaque::Opaque;
use crate::plan::{Input, Origin, PlannedStep, Query, StepId, Work};
use crate::store::Stores;
use connect::Connector;
use session::{Purpose, Worker};
use text::{Meaning, Text};

/// How often a statement outside of steps is tried where its error may pass.
const TRIES: u32 = 4;

/// What is held of a step that was built.
#[derive(Clone, Debug)]
enum Held {
    /// A query that its readers take over.
    Query(Text),
    /// A table built aside.
    Table(TableName),
    /// What was published.
    Published(TableName),
}

/// What a run on Snowflake needs besides the login.
pub struct Means {
    /// The run, which marks sessions and tables.
    pub run: String,
    /// The instant of every clock function.
    pub clock: DateTime<Utc>,
    /// Where files are that rows travel by.
    pub stores: Arc<Stores>,
    /// Bytes that rows on this machine may take.
    pub memory: usize,
    /// The folder for what is spilled.
    pub spill: PathBuf,
}

/// A Snowflake target.
pub struct Snowflake {
    connector: Connector,
    means: Means,
    clock: (DateTime<Utc>, Tz),
    state: Opaque<SessionState>,
    cancel: CancellationToken,
    held: Mutex<HashMap<StepId, Held>>,
    queries: Mutex<HashMap<StepId, Vec<String>>>,
    /// The names of results that are to become tables.
    names: Mutex<HashMap<StepId, TableName>>,
    /// Tables built aside that no step reads any more. Queries that are held may still name them, so that they go at the end.
    done_with: Mutex<Vec<TableName>>,
}

impl Snowflake {
    /// The target that this login reaches, for plans that this dialect bound.
    pub fn new(login: Login, dialect: &Dialect, means: Means) -> Self {
        let clock = (means.clock, login.timezone.parse().unwrap_or(Tz::UTC));
        let state = Opaque::new(dialect.state().clone());
        let (connector, cancel) = (Connector::new(login), CancellationToken::new());
        let (held, queries, names, done_with) = Default::default();
        Self { connector, means, clock, state, cancel, held, queries, names, done_with }
    }

    /// The history that is kept with the tables.
    pub async fn history(&self) -> Result<Vec<Entry>, BackendError> {
        history::read(&mut self.worker("history"), &self.history_table("LEDGER")).await
    }

    /// Makes what the history needs where it is missing, and drops what runs left that are over; of these steps it takes
    /// over what the named runs finished, and gives those that it found.
    pub async fn prepare(
        &self,
        over: &dyn Fn(&str) -> bool,
        adopt: &[(StepId, String)],
    ) -> Result<Vec<StepId>, BackendError> {
        let (database, schema) = (self.connector.database(), self.connector.login().schema.clone());
        let mut worker = self.worker("prepare");
        if catalogue::count(&mut worker, &self.history_table("PUBLISHED")).await.is_err() {
            for statement in history::tables(&database, &schema) {
                worker.run(statement).await?;
            }
        }
        let mut adopted = Vec::new();
        for left in catalogue::left_behind(&mut worker, &database, &schema).await? {
            let of = |(step, run): &&(StepId, String)| text::staging(&database, &schema, step, run) == left;
            if let Some((step, _)) = adopt.iter().find(of) {
                self.hold(step, Held::Table(left));
                adopted.push(step.clone());
            } else if left.table.as_str().rsplit_once(text::MARK).is_some_and(|(_, run)| over(run)) {
                worker.run(format!("DROP TABLE IF EXISTS {}", left.sql())).await?;
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

    /// The columns of every one of these tables that exists.
    pub async fn columns(&self, tables: &[&TableName]) -> Result<HashMap<TableName, Vec<Column>>, BackendError> {
        catalogue::columns(&mut self.worker("columns"), &self.connector.database(), tables).await
    }

    /// Runs statements in one session and gives the columns and rows of the last one's answer.
    pub async fn answer(&self, statements: &[String]) -> Result<(Vec<Column>, Vec<RecordBatch>), BackendError> {
        let mut worker = self.worker("sql");
        let mut answer = None;
        for statement in statements {
            answer = Some(worker.answer(statement.clone()).await?);
        }
        answer.ok_or_else(|| BackendError::author("there is no statement"))
    }

    /// A mark of a run in the names of tables.
    pub fn mark(run: &str) -> String {
        text::run_mark(run)
    }

    fn history_table(&self, name: &str) -> TableName {
        history::place(&self.connector.database(), &self.connector.login().schema, name)
    }

    fn worker(&self, what: &str) -> Worker {
        let purpose = Purpose { tag: format!("pipe/{}/{what}", self.means.run), limit: None, tries: TRIES };
        Worker::new(&self.connector, purpose, self.cancel.child_token())
    }

    fn of_attempt(&self, step: &PlannedStep, attempt: &Attempt) -> Worker {
        let (job, name) = (step.id.job.lower(), step.id.step.lower());
        let tag = format!("pipe/{job}/{}/{name}/{}", attempt.run, attempt.number);
        let purpose = Purpose { tag, limit: step.patience.timeout, tries: 1 };
        Worker::new(&self.connector, purpose, attempt.cancel.clone())
    }

    fn hold(&self, step: &StepId, held: Held) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(step.clone(), held);
    }

    fn held(&self, step: &StepId) -> Option<Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).get(step).cloned()
    }

    /// The name under which a step's result is published.
    fn name_of(&self, step: &PlannedStep) -> Option<TableName> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(&step.id).or(step.publish.as_ref()).cloned()
    }

    /// The table that a step's result is built in.
    fn staging(&self, step: &PlannedStep, attempt: &Attempt) -> TableName {
        text::staging(&self.connector.database(), &self.connector.login().schema, &step.id, &attempt.run)
    }

    /// SQL over these inputs as the server gets it; `missing` are tables of the step's own that are not there yet.
    fn text(&self, sql: &str, inputs: &[Input], missing: &[(TableName, Text)]) -> Result<Text, BackendError> {
        let meaning = |name: &TableName| {
            let input = inputs.iter().find(|input| input.name.value == *name)?;
            match &input.origin {
                Origin::Step(step, published) => match (self.held(step), published) {
                    (Some(Held::Query(query)), _) => Some(Meaning::Query(text::query_name(step), query)),
                    (Some(Held::Table(table) | Held::Published(table)), _) => Some(Meaning::Table(table)),
                    (None, published) => published.clone().map(Meaning::Table),
                },
                Origin::Own(own) => {
                    let (_, nothing) = missing.iter().find(|(name, _)| name == own)?;
                    Some(Meaning::Query(Name::quoted("PIPE__NOTHING_YET"), nothing.clone()))
                }
                Origin::Table(_) => None,
            }
        };
        Text::of(sql, &meaning, self.clock)
    }

    /// The tables of the step's own that it reads and that are not there yet, or do not count, as queries without rows.
    async fn not_there(
        &self,
        worker: &mut Worker,
        step: &PlannedStep,
        attempt: &Attempt,
    ) -> Result<Vec<(TableName, Text)>, BackendError> {
        let own: Vec<&TableName> = step
            .inputs
            .iter()
            .filter_map(|input| if let Origin::Own(own) = &input.origin { Some(own) } else { None })
            .collect();
        if own.is_empty() {
            return Ok(Vec::new());
        }
        let present = catalogue::columns(worker, &self.connector.database(), &own).await?;
        let counts = |name: &TableName| {
            !attempt.afresh && present.get(name).is_some_and(|columns| catalogue::same(columns, &step.columns))
        };
        Ok(own.into_iter().filter(|own| !counts(own)).map(|own| (own.clone(), text::nothing(&step.columns))).collect())
    }

    /// Builds a query's result aside, or keeps the query for its readers.
    async fn keep(&self, step: &PlannedStep, sql: &str, attempt: &Attempt) -> Result<Built, BackendError> {
        let mut worker = self.of_attempt(step, attempt);
        let missing = self.not_there(&mut worker, step, attempt).await?;
        let query = self.text(sql, &step.inputs, &missing)?;
        if matches!(attempt.keep, Keep::Inline | Keep::View(_)) {
            self.hold(&step.id, Held::Query(query));
            return Ok(Built::default());
        }
        let table = self.staging(step, attempt);
        worker.run(text::build(&table, &query, &step.columns)).await?;
        let rows = catalogue::count(&mut worker, &table).await?;
        self.built(step, table, attempt, &worker);
        Ok(Built { rows: Some(rows) })
    }

    fn built(&self, step: &PlannedStep, table: TableName, attempt: &Attempt, worker: &Worker) {
        self.hold(&step.id, Held::Table(table));
        if let Keep::Table(name) = &attempt.keep {
            self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(step.id.clone(), name.clone());
        }
        let mut queries = self.queries.lock().unwrap_or_else(PoisonError::into_inner);
        queries.insert(step.id.clone(), worker.queries().to_vec());
    }

    /// Takes rows from this machine as the step's result.
    async fn take(&self, step: &PlannedStep, rows: Rows, attempt: &Attempt) -> Result<Built, BackendError> {
        let (table, mut worker) = (self.staging(step, attempt), self.of_attempt(step, attempt));
        let way = load::Way {
            stores: &self.means.stores,
            stage: self.connector.login().stage.as_ref(),
            folder: format!("{}/{}-{}/", step.id, attempt.run, attempt.number),
        };
        let rows = load::fill(&mut worker, &table, &step.columns, rows, &way).await?;
        self.built(step, table, attempt, &worker);
        Ok(Built { rows: Some(rows) })
    }
}

#[async_trait]
impl Backend for Snowflake {
    async fn versions(&self, tables: &[TableName]) -> Result<HashMap<TableName, String>, BackendError> {
        catalogue::versions(&mut self.worker("versions"), &self.connector.database(), tables).await
    }

    async fn build(&self, step: &PlannedStep, attempt: &Attempt) -> Result<Built, BackendError> {
        if let (Some(Held::Table(table)), 1) = (self.held(&step.id), attempt.number) {
            // Taken over from an earlier run.
            let rows = catalogue::count(&mut self.of_attempt(step, attempt), &table).await?;
            return Ok(Built { rows: Some(rows) });
        }
        match &step.work {
            Work::Query(query) if step.local => self.query_here(step, query, attempt).await,
            Work::Query(query) => self.keep(step, &query.sql, attempt).await,
            Work::Transform(work) => match &work.sql {
                Ok(sql) if !step.local => self.keep(step, sql, attempt).await,
                _ => self.transform_here(step, work, attempt).await,
            },
            Work::Load(_) => Err(BackendError::author(format!("`{}` reads files, which only a run does", step.id))),
            Work::Broken => Err(BackendError::author(format!("`{}` could not be bound", step.id))),
        }
    }

    async fn fill(&self, step: &PlannedStep, rows: Rows, attempt: &Attempt) -> Result<Built, BackendError> {
        self.take(step, rows, attempt).await
    }

    async fn stream(&self, step: &PlannedStep) -> Result<Rows, BackendError> {
        let sql = match self.held(&step.id) {
            Some(Held::Query(query)) => query.whole(),
            Some(Held::Table(table) | Held::Published(table)) => format!("SELECT * FROM {}", table.sql()),
            None => return Err(BackendError::author(format!("`{}` has no rows to hand out", step.id))),
        };
        let parts = self.worker(&format!("{}/stream", step.id)).parts(sql).await?;
        let schema = step.schema.clone();
        let next = |mut parts: session::Parts| async move {
            let next = parts.next().await?;
            Ok::<_, BackendError>(next.map(|batch| (batch, parts)))
        };
        let rows = futures::stream::try_unfold(parts, next);
        Ok(rows.map(move |batch| batch.and_then(|batch| load::at_rest(&batch, &schema))).boxed())
    }

    async fn query(&self, query: &Query) -> Result<Vec<RecordBatch>, BackendError> {
        let sql = self.text(&query.sql, &query.inputs, &[])?.whole();
        Ok(self.worker("test").rows(sql).await?.batches)
    }

    async fn publish(&self, job: &Name, steps: &[&PlannedStep]) -> Result<Vec<String>, BackendError> {
        self.publish_job(job, steps).await
    }

    async fn discard(&self, step: &StepId) -> Result<(), BackendError> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(step);
        if let Some(Held::Table(table)) = held {
            self.done_with.lock().unwrap_or_else(PoisonError::into_inner).push(table);
        }
        Ok(())
    }

    async fn leave(&self, step: &StepId) -> Result<(), BackendError> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(step);
        Ok(())
    }

    fn queries(&self, step: &StepId) -> Vec<String> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner).get(step).cloned().unwrap_or_default()
    }

    fn keeps_history(&self) -> bool {
        true
    }

    async fn remember(&self, entries: &[Entry]) -> Result<(), BackendError> {
        history::write(&mut self.worker("history"), &self.history_table("LEDGER"), entries).await
    }

    async fn close(&self) {
        let tables = std::mem::take(&mut *self.done_with.lock().unwrap_or_else(PoisonError::into_inner));
        let mut worker = self.worker("discard");
        for table in tables {
            // What is left here is dropped by the next run.
            if let Err(error) = worker.run(format!("DROP TABLE IF EXISTS {}", table.sql())).await {
                tracing::warn!(%error, "what was built aside is left behind");
                break;
            }
        }
        drop(worker);
        self.connector.close().await;
    }
}
