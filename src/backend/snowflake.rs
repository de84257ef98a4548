//! Snowflake: every step is computed in the warehouse. Results are built aside in tables of the schema of the run, tested there,
//! and published by one atomic statement per table; nothing leaves the warehouse but what is asked for.
//!
//! | result | on the server |
//! | --- | --- |
//! | of a step with one reader | a named query inside its reader's |
//! | of a step with several | a transient table `<job>__<step>__PIPE_<run>` |
//! | to be published | the same, until all tests of its job have passed; kept after that as an earlier state, as long as retention says |
//! | published | `INSERT OVERWRITE` in one transaction where the columns are the same, else `CREATE OR REPLACE TABLE … COPY GRANTS` |
//! | that grows | a clone of the table that takes the rows that come; published, the table takes them as well |
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

/// What was published when.
mod states;

/// The run history beside the tables.
mod history;

/// What statements read.
mod scanned;

/// Rows into tables.
mod load;

/// Steps that are computed on this machine.
mod local;

/// Tables that grow.
mod growth;

/// Results made visible.
mod publish;

/// Earlier states of tables.
mod earlier;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use datafusion::arrow::array::RecordBatch;
use datafusion::execution::SessionState;
use futures::{StreamExt, TryStreamExt};
use tokio_util::sync::CancellationToken;

pub use connect::{Credential, Login, Stage};
pub use states::State;

use super::datafusion::{failed, swap};
use super::{Attempt, Backend, BackendError, Built, Entry, Keep, Rows};
use crate::dialect::{Column, Dialect};
use crate::name::{Name, TableName};
use crate::opaque::Opaque;
use crate::plan::incremental::queried;
use crate::plan::{Input, Origin, PlannedStep, Query, StepId, Work};
use crate::store::Stores;
use connect::Connector;
use growth::Grown;
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
    /// A query or a table for each batch of intervals.
    Batches(Vec<Held>),
    /// What was published.
    Published(TableName),
}

impl Held {
    /// The tables built aside.
    fn tables(self) -> Vec<TableName> {
        match self {
            Self::Table(table) => vec![table],
            Self::Batches(all) => all.into_iter().flat_map(Self::tables).collect(),
            Self::Query(_) | Self::Published(_) => Vec::new(),
        }
    }
}

/// What names in a step's SQL stand for besides other steps and published tables.
#[derive(Debug, Default)]
struct Frame {
    /// The tables of the step's own, as they are to be read.
    own: Vec<(TableName, Meaning)>,
    /// The batch of intervals that is built.
    batch: usize,
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
    /// How many states of a published table are kept, the current one included.
    pub kept: usize,
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
    /// What is known of tables that grow and were built.
    grown: Mutex<HashMap<StepId, Grown>>,
    /// The run that published each table last, as it was when this run decided what to do.
    known: Mutex<HashMap<TableName, String>>,
    /// Tables built aside that no step reads any more. Queries that are held may still name them, so that they go at the end.
    done_with: Mutex<Vec<TableName>>,
}

impl Snowflake {
    /// The target that this login reaches, for plans that this dialect bound.
    pub fn new(login: Login, dialect: &Dialect, means: Means) -> Self {
        let clock = (means.clock, login.timezone.parse().unwrap_or(Tz::UTC));
        let state = Opaque::new(dialect.state().clone());
        let (connector, cancel) = (Connector::new(login), CancellationToken::new());
        let (held, queries, names, grown, known, done_with) = Default::default();
        Self { connector, means, clock, state, cancel, held, queries, names, grown, known, done_with }
    }

    /// The history that is kept with the tables.
    pub async fn history(&self) -> Result<Vec<Entry>, BackendError> {
        history::read(&mut self.worker("history"), &self.history_table("LEDGER")).await
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
        let (tag, transaction) = (format!("pipe/{}/{what}", self.means.run), text::transaction(&self.means.run));
        let purpose = Purpose { tag, transaction, limit: None, tries: TRIES };
        Worker::new(&self.connector, purpose, self.cancel.child_token())
    }

    fn of_attempt(&self, step: &PlannedStep, attempt: &Attempt) -> Worker {
        let (job, name) = (step.id.job.lower(), step.id.step.lower());
        let tag = format!("pipe/{job}/{}/{name}/{}", attempt.run, attempt.number);
        let transaction = text::transaction(&attempt.run);
        let purpose = Purpose { tag, transaction, limit: step.patience.timeout, tries: 1 };
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

    /// SQL over these inputs as the server gets it.
    fn text(&self, sql: &str, inputs: &[Input], frame: &Frame) -> Result<Text, BackendError> {
        let meaning = |name: &TableName| {
            let input = inputs.iter().find(|input| input.name.value == *name)?;
            match &input.origin {
                Origin::Step(step, published) => self.meaning(step, published.as_ref(), frame.batch),
                Origin::Own(own) => {
                    let framed = frame.own.iter().find(|(name, _)| name == own).map(|(_, meaning)| meaning.clone());
                    framed.or_else(|| Some(Meaning::Table(own.clone())))
                }
                Origin::Table(table) => Some(Meaning::Table(table.clone())),
            }
        };
        Text::of(sql, &meaning, self.clock)
    }

    /// What a step's name stands for.
    fn meaning(&self, step: &StepId, published: Option<&TableName>, batch: usize) -> Option<Meaning> {
        let held = match self.held(step) {
            Some(Held::Batches(all)) => all.get(batch).cloned(),
            held => held,
        };
        match held {
            Some(Held::Query(query)) => Some(Meaning::Query(text::query_name(step), query)),
            Some(Held::Table(table) | Held::Published(table)) => Some(Meaning::Table(table)),
            Some(Held::Batches(_)) => None,
            None => published.cloned().map(Meaning::Table),
        }
    }

    /// The tables of the step's own that it reads and that are not there yet, or do not count, as queries without rows.
    async fn not_there(
        &self,
        worker: &mut Worker,
        step: &PlannedStep,
        attempt: &Attempt,
    ) -> Result<Frame, BackendError> {
        let own: Vec<&TableName> = step
            .inputs
            .iter()
            .filter_map(|input| if let Origin::Own(own) = &input.origin { Some(own) } else { None })
            .collect();
        if own.is_empty() {
            return Ok(Frame::default());
        }
        let present = catalogue::columns(worker, &self.connector.database(), &own).await?;
        let counts = |name: &TableName| {
            !attempt.afresh && present.get(name).is_some_and(|columns| catalogue::same(columns, &step.columns))
        };
        let nothing = || Meaning::Query(Name::quoted("PIPE__NOTHING_YET"), text::nothing(&step.columns));
        let own = own.into_iter().filter(|own| !counts(own)).map(|own| (own.clone(), nothing())).collect();
        Ok(Frame { own, batch: 0 })
    }

    /// Builds a query's result aside, or keeps the query for its readers.
    async fn keep(&self, step: &PlannedStep, sql: &str, attempt: &Attempt) -> Result<Built, BackendError> {
        let mut worker = self.of_attempt(step, attempt);
        let frame = self.not_there(&mut worker, step, attempt).await?;
        let query = self.text(sql, &step.inputs, &frame)?;
        if matches!(attempt.keep, Keep::Inline | Keep::View(_)) {
            self.hold(&step.id, Held::Query(query));
            return Ok(Built::default());
        }
        let table = self.staging(step, attempt);
        let columns = step.incremental.as_ref().map_or(&*step.columns, |grows| queried(&grows.how, &step.columns));
        worker.run(text::build(&table, &query, columns)).await?;
        let rows = catalogue::count(&mut worker, &table).await?;
        self.built(step, table, attempt, &worker);
        Ok(Built { rows: Some(rows) })
    }

    /// The query for the rows of a step that was built.
    fn rows_of(&self, step: &PlannedStep) -> Result<String, BackendError> {
        match self.held(&step.id) {
            Some(Held::Query(query)) => Ok(query.whole()),
            Some(Held::Table(table) | Held::Published(table)) => Ok(format!("SELECT * FROM {}", table.sql())),
            Some(Held::Batches(_)) | None => {
                Err(BackendError::author(format!("`{}` has no rows to hand out", step.id)))
            }
        }
    }

    fn built(&self, step: &PlannedStep, table: TableName, attempt: &Attempt, worker: &Worker) {
        self.hold(&step.id, Held::Table(table));
        if let Keep::Table(name) = &attempt.keep {
            self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(step.id.clone(), name.clone());
        }
        self.asked(step, worker);
    }

    /// Notes by which names the server knows what a try asked of it.
    fn asked(&self, step: &PlannedStep, worker: &Worker) {
        let mut queries = self.queries.lock().unwrap_or_else(PoisonError::into_inner);
        queries.insert(step.id.clone(), worker.queries().to_vec());
    }

    /// Takes rows from this machine as the step's result.
    async fn take(&self, step: &PlannedStep, rows: Rows, attempt: &Attempt) -> Result<Built, BackendError> {
        let (table, mut worker) = (self.staging(step, attempt), self.of_attempt(step, attempt));
        let rows = load::fill(&mut worker, &table, &step.columns, rows, &self.way(step, attempt)).await?;
        self.built(step, table, attempt, &worker);
        Ok(Built { rows: Some(rows) })
    }

    /// How rows of this machine travel.
    fn way(&self, step: &PlannedStep, attempt: &Attempt) -> load::Way<'_> {
        load::Way {
            stores: &self.means.stores,
            stage: self.connector.login().stage.as_ref(),
            folder: format!("{}/{}-{}/", step.id, attempt.run, attempt.number),
        }
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
            self.has_grown(step, attempt, rows);
            return Ok(Built { rows: Some(rows) });
        }
        match &step.work {
            Work::Query(_) if step.interval_of.is_some() && !step.batches.is_empty() => {
                self.build_batched(step, attempt).await
            }
            Work::Query(query) if step.incremental.is_some() => self.build_growing(step, query, attempt).await,
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
        let sql = self.rows_of(step)?;
        let parts = self.worker(&format!("{}/stream", step.id)).parts(sql).await?;
        let schema = step.schema.clone();
        let next = |mut parts: session::Parts| async move {
            let next = parts.next().await?;
            Ok::<_, BackendError>(next.map(|batch| (batch, parts)))
        };
        let rows = futures::stream::try_unfold(parts, next);
        Ok(rows.map(move |batch| batch.and_then(|batch| load::at_rest(&batch, &schema))).boxed())
    }

    async fn narrowed(&self, query: &Query) -> Result<Vec<RecordBatch>, BackendError> {
        let mut worker = self.worker("rows");
        let (mut rows, mut room) = (HashMap::new(), self.means.memory);
        let sql = self.text(&query.sql, &query.inputs, &Frame::default())?.whole();
        for table in swap::inputs(&query.plan).map_err(failed)? {
            let fetched = self.fetched(&mut worker, sql.clone(), &table.schema, &mut room).await?;
            rows.insert(table.origin.clone(), swap::Rows::Table(fetched));
        }
        self.computed(&query.plan, &rows).await?.try_collect().await
    }

    async fn query(&self, query: &Query) -> Result<Vec<RecordBatch>, BackendError> {
        let sql = self.text(&query.sql, &query.inputs, &Frame::default())?.whole();
        Ok(self.worker("test").rows(sql).await?.batches)
    }

    async fn publish(&self, job: &Name, steps: &[&PlannedStep]) -> Result<Vec<String>, BackendError> {
        self.publish_job(job, steps).await
    }

    async fn discard(&self, step: &StepId) -> Result<(), BackendError> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(step);
        let grown = self.grown.lock().unwrap_or_else(PoisonError::into_inner).remove(step).is_some();
        let mut tables = held.map(Held::tables).unwrap_or_default();
        let comes: Vec<TableName> = tables.iter().filter(|_| grown).map(text::coming).collect();
        tables.extend(comes);
        self.done_with.lock().unwrap_or_else(PoisonError::into_inner).extend(tables);
        Ok(())
    }

    async fn leave(&self, step: &StepId) -> Result<(), BackendError> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(step);
        Ok(())
    }

    fn queries(&self, step: &StepId) -> Vec<String> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner).get(step).cloned().unwrap_or_default()
    }

    async fn scanned(&self) -> HashMap<StepId, u64> {
        let queries = std::mem::take(&mut *self.queries.lock().unwrap_or_else(PoisonError::into_inner));
        if queries.is_empty() {
            return HashMap::new();
        }
        let (mut worker, database) = (self.worker("scanned"), self.connector.database());
        let told = scanned::of_queries(&mut worker, &database, &self.means.run);
        match tokio::time::timeout(scanned::PATIENCE, told).await {
            Ok(Ok(bytes)) => scanned::of_steps(queries, &bytes),
            Err(_) => {
                tracing::debug!("the server does not tell in time what it read");
                HashMap::new()
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "the server does not tell what it read");
                HashMap::new()
            }
        }
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
            if let Err(error) = worker.run(text::drop(&table)).await {
                tracing::warn!(%error, "what was built aside is left behind");
                break;
            }
        }
        drop(worker);
        self.connector.close().await;
    }
}
