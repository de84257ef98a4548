//! The embedded backend: DataFusion over the local warehouse and the project's sources. It writes nothing outside the
//! warehouse and the spill folder.

/// The tables it reads: sources where they are, published tables in the warehouse.
pub mod source;

/// Rows in the place of schemas.
pub(crate) mod swap;

/// Results held for their readers.
mod shared;

/// Executing plans, and writing what they give.
mod execute;

/// Tables that grow.
mod growth;

/// Running transforms.
mod transform;

/// Errors of the engine in an analyst's words.
mod words;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::datasource::{MemTable, TableProvider};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::logical_expr::LogicalPlan;

use super::{Attempt, Backend, BackendError, Built, Keep, Remedy, Rows};
use crate::dialect::session::SessionParameters;
use crate::dialect::{Column, Dialect};
use crate::name::{Name, TableName};
use crate::opaque::Opaque;
use crate::plan::incremental::Made;
use crate::plan::{InputTable, Origin, PlannedStep, Query, StepId, Work};
use crate::store::Stores;
use crate::warehouse::{self, Change, Reservation, Snapshot, Staged, StoredColumn, Warehouse};
pub(crate) use shared::fitted;
use source::Sources;
pub(crate) use words::{failed, of_csv, out_of_memory};

/// The tables of a local target: what is published and what is read where it lies.
#[derive(Debug)]
pub struct LocalTables {
    warehouse: Warehouse,
    sources: Sources,
    stores: Arc<Stores>,
}

impl LocalTables {
    /// The tables of the warehouse at `home/warehouse`, and these sources.
    pub fn open(home: &Path, sources: Sources) -> Result<Self, BackendError> {
        let warehouse = Warehouse::open(&home.join("warehouse")).map_err(of_warehouse)?;
        Ok(Self { warehouse, sources, stores: Arc::new(Stores::new(&home.join("sources.json"))) })
    }

    /// The same, keeping this many sets of tables.
    #[must_use]
    pub fn keeping(mut self, sets: usize) -> Self {
        self.warehouse = self.warehouse.keeping(sets);
        self
    }

    /// The warehouse.
    pub fn warehouse(&self) -> &Warehouse {
        &self.warehouse
    }

    /// Where files outside the warehouse are.
    pub fn stores(&self) -> &Arc<Stores> {
        &self.stores
    }

    /// The columns that published tables have, of those of these that are there.
    pub fn columns(&self, tables: &[TableName]) -> Result<HashMap<TableName, Vec<Column>>, BackendError> {
        let snapshot = self.warehouse.snapshot().map_err(of_warehouse)?;
        let column = |stored: &StoredColumn| Column {
            name: Name::quoted(stored.name.clone()),
            sql_type: stored.sql_type(),
            nullable: stored.nullable,
        };
        let columns = |name: &TableName| Some(snapshot.table(name)?.columns().iter().map(column).collect());
        Ok(tables.iter().filter_map(|name| Some((name.clone(), columns(name)?))).collect())
    }

    /// What published tables were made from, and their marks, as it is written with their rows.
    pub fn made(&self, tables: &[TableName]) -> Result<HashMap<TableName, (Made, String)>, BackendError> {
        let snapshot = self.warehouse.snapshot().map_err(of_warehouse)?;
        let made = |name: &TableName| {
            let table = snapshot.table(name)?;
            Some((Made::from(table.object().made.as_ref()?), table.version().to_string()))
        };
        Ok(tables.iter().filter_map(|name| Some((name.clone(), made(name)?))).collect())
    }

    /// A mark of the present state of every one of these tables that exists.
    pub fn versions(&self, tables: &[TableName]) -> Result<HashMap<TableName, String>, BackendError> {
        let snapshot = self.warehouse.snapshot().map_err(of_warehouse)?;
        let mut versions = HashMap::new();
        for name in tables {
            if let Some(table) = snapshot.table(name) {
                // What was made of it before is not what is there now.
                let damage = if table.is_whole() { "" } else { " damaged" };
                versions.insert(name.clone(), format!("{}{damage}", table.version()));
            } else if let Some(source) = self.sources.get(name) {
                let files = source.files(name)?;
                let mark = self.stores.marks().of(&files)?;
                versions.insert(name.clone(), format!("{mark} {}", source.contract()));
            }
        }
        self.stores.marks().save();
        Ok(versions)
    }

    /// Every problem with the files of these sources, as a session in this time zone reads them: of Parquet what shows
    /// without reading it whole, of texts every value, unless the file was found to be in order before.
    pub fn check(&self, tables: &[TableName], zone: &str) -> Vec<BackendError> {
        let sources = tables.iter().filter_map(|name| Some((name, self.sources.get(name)?)));
        let marks = self.stores.marks();
        let faults = sources.flat_map(|(name, source)| source.check(name, marks, zone)).collect();
        marks.save();
        faults
    }
}

/// How much a run may use.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of memory for the rows that are being worked on.
    pub memory: usize,
    /// Threads, and parts that a table is cut into.
    pub threads: usize,
    /// Where what does not fit is spilled.
    pub spill: PathBuf,
}

/// What is held of a step that was built.
#[derive(Debug)]
enum Held {
    /// A query that its readers take over.
    Query(Opaque<LogicalPlan>),
    /// The same, to be published as a view with this text.
    View(Opaque<LogicalPlan>, String),
    /// Rows in memory, or spilled.
    Rows(Arc<shared::Shared>),
    /// Plans or rows for each batch of the intervals that a run builds.
    Batches(Vec<swap::Rows>),
    /// A table written aside.
    Staged(Box<Staged>, Arc<dyn TableProvider>),
}

/// DataFusion over the local warehouse.
pub struct Embedded {
    tables: LocalTables,
    state: Opaque<SessionState>,
    zone: String,
    limits: Limits,
    snapshot: RwLock<Snapshot>,
    run: String,
    reserved: Mutex<Option<Reservation>>,
    held: Mutex<HashMap<StepId, Held>>,
    /// Tables that their steps compute from nothing in this run.
    afresh: Mutex<HashSet<TableName>>,
}

impl Embedded {
    /// The backend for plans that this dialect bound.
    pub fn new(tables: LocalTables, dialect: &Dialect, limits: Limits) -> Result<Self, BackendError> {
        let zone = SessionParameters::of(dialect.state().config_options()).timezone.clone();
        let snapshot = RwLock::new(tables.warehouse.snapshot().map_err(of_warehouse)?);
        let state = Opaque::new(executing(dialect, &limits)?);
        let (run, reserved, held, afresh) = Default::default();
        Ok(Self { tables, state, zone, limits, snapshot, run, reserved, held, afresh })
    }

    /// The same for a run of this name, which marks what it publishes.
    #[must_use]
    pub fn for_run(mut self, run: &str) -> Self {
        run.clone_into(&mut self.run);
        self.tables.warehouse = self.tables.warehouse.clone().for_run(run);
        self
    }

    /// Takes over what an earlier run finished for the step and did not publish; false where it is not there.
    pub fn adopt(&self, step: &PlannedStep, run: &str) -> Result<bool, BackendError> {
        let Some(table) = &step.publish else { return Ok(false) };
        let adopted = self.tables.warehouse.adopt(table, stored_columns(step), run).map_err(of_warehouse)?;
        let Some(staged) = adopted else { return Ok(false) };
        self.staged(step, staged)?;
        Ok(true)
    }

    /// Forgets what an earlier run finished and did not publish.
    pub fn forget(&self, run: &str) {
        self.tables.warehouse.forget(run);
    }

    /// Keeps other runs from publishing these tables until this one is over.
    pub fn reserve(&self, tables: &[TableName]) -> Result<(), BackendError> {
        let reservation = self.tables.warehouse.reserve(tables).map_err(of_warehouse)?;
        *self.reserved.lock().unwrap_or_else(PoisonError::into_inner) = Some(reservation);
        Ok(())
    }

    /// The tables it works on.
    pub fn tables(&self) -> &LocalTables {
        &self.tables
    }

    /// The rows of a step that was built and is held, as a table; none where it was not, or is a query still.
    pub fn built(&self, step: &StepId) -> Option<Arc<dyn TableProvider>> {
        match self.held.lock().unwrap_or_else(PoisonError::into_inner).get(step)? {
            Held::Rows(rows) => Some(rows.clone()),
            Held::Staged(_, provider) => Some(provider.clone()),
            Held::Query(_) | Held::View(..) | Held::Batches(_) => None,
        }
    }

    /// The memory and disk that its queries share.
    pub fn runtime(&self) -> Arc<RuntimeEnv> {
        Arc::clone(self.state.runtime_env())
    }

    fn context(&self) -> Arc<TaskContext> {
        self.state.task_ctx()
    }

    fn hold(&self, step: &StepId, held: Held) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(step.clone(), held);
    }

    /// The rows that an input stands for.
    async fn rows(&self, table: &InputTable) -> Result<swap::Rows, BackendError> {
        let name = match &table.origin {
            Origin::Step(step, published) => {
                let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
                match (held.get(step), published) {
                    (Some(Held::Query(plan) | Held::View(plan, _)), _) => return Ok(swap::Rows::Plan(plan.clone())),
                    (Some(Held::Rows(rows)), _) => return Ok(swap::Rows::Table(rows.clone())),
                    (Some(Held::Batches(_)), _) => {
                        return Err(BackendError::author(format!("`{step}` has rows of single intervals only")));
                    }
                    (Some(Held::Staged(_, provider)), _) => return Ok(swap::Rows::Table(provider.clone())),
                    (None, Some(name)) => name,
                    (None, None) => return Err(BackendError::author(format!("`{step}` has not been run"))),
                }
            }
            Origin::Table(name) => name,
            Origin::Own(name) => return Ok(swap::Rows::Table(self.earlier(name, table)?)),
        };
        match self.tables.sources.get(name) {
            Some(source) if !self.is_stored(name) => {
                Ok(swap::Rows::Table(source.provider(name, &self.state, &self.zone).await?))
            }
            _ => self.stored(name, table).map(swap::Rows::Table),
        }
    }

    /// Whether a table has been published; a source of that name stands in only until then.
    fn is_stored(&self, name: &TableName) -> bool {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).table(name).is_some()
    }

    /// What a step published before under its present columns; no rows where there is nothing such, or it does not count.
    fn earlier(&self, name: &TableName, table: &InputTable) -> Result<Arc<dyn TableProvider>, BackendError> {
        let afresh = self.afresh.lock().unwrap_or_else(PoisonError::into_inner).contains(name);
        match self.stored(name, table) {
            Ok(stored) if !afresh => Ok(stored),
            _ => Ok(Arc::new(MemTable::try_new(Arc::clone(&table.schema), vec![Vec::new()]).map_err(failed)?)),
        }
    }

    fn stored(&self, name: &TableName, expected: &InputTable) -> Result<Arc<dyn TableProvider>, BackendError> {
        let snapshot = self.snapshot.read().unwrap_or_else(PoisonError::into_inner);
        let Some(table) = snapshot.table(name) else {
            return Err(BackendError::author(format!("table `{}` has not been published yet", name.lower())));
        };
        if table.view().is_some() {
            let made = "was published as a view by an earlier form of its step; run its job first";
            return Err(BackendError::author(format!("`{}` {made}", name.lower())));
        }
        let provider = table.provider(&self.zone).map_err(of_warehouse)?;
        let schema = provider.schema();
        let differs = schema
            .fields()
            .iter()
            .zip(expected.schema.fields())
            .any(|(stored, bound)| stored.name() != bound.name() || stored.data_type() != bound.data_type());
        if differs || schema.fields().len() != expected.schema.fields().len() {
            let made = "was published by an earlier form of its step; run its job first";
            return Err(BackendError::author(format!("table `{}` {made}", name.lower())));
        }
        Ok(provider)
    }

    async fn build_query(&self, step: &PlannedStep, query: &Query, keep: &Keep) -> Result<Built, BackendError> {
        let plan = self.with_rows(&query.plan).await?;
        let held = match keep {
            Keep::Inline => Held::Query(plan),
            Keep::View(_) => Held::View(plan, step.view_text.clone().unwrap_or_else(|| query.sql.clone())),
            Keep::Share | Keep::Table(_) => return self.keep(step, self.streams(&plan).await?, keep).await,
        };
        self.hold(&step.id, held);
        Ok(Built { rows: None })
    }

    /// Takes the rows of a step as a table written aside, or as batches held for its readers.
    async fn keep(&self, step: &PlannedStep, streams: execute::Streams, keep: &Keep) -> Result<Built, BackendError> {
        match keep {
            Keep::Inline | Keep::View(_) | Keep::Share => {
                let schema = step.schema.clone();
                let rows = shared::Shared::collect(streams, schema, &self.state, &self.limits).await?;
                let built = Built { rows: Some(rows.rows()) };
                self.hold(&step.id, Held::Rows(Arc::new(rows)));
                Ok(built)
            }
            Keep::Table(name) => {
                let columns = stored_columns(step);
                let writer = self.tables.warehouse.stage(name, columns, None).map_err(of_warehouse)?;
                self.staged(step, execute::write(streams, writer).await?)
            }
        }
    }

    /// What was taken over for the step, before it is tried for the first time.
    fn adopted(&self, step: &PlannedStep, attempt: &Attempt) -> Option<Built> {
        match self.held.lock().unwrap_or_else(PoisonError::into_inner).get(&step.id) {
            Some(Held::Staged(staged, _)) if attempt.number == 1 => Some(Built { rows: Some(staged.rows()) }),
            _ => None,
        }
    }

    fn staged(&self, step: &PlannedStep, staged: Staged) -> Result<Built, BackendError> {
        let provider = staged.provider(&self.zone).map_err(of_warehouse)?;
        let built = Built { rows: Some(staged.rows()) };
        self.hold(&step.id, Held::Staged(Box::new(staged), provider));
        Ok(built)
    }

    /// Writes down with the rows what they were made from.
    fn mark(&self, step: &PlannedStep, attempt: &Attempt) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Held::Staged(staged, _)) = held.get_mut(&step.id) {
            staged.made(attempt.made.as_ref().map(Into::into));
        }
    }

    fn change(&self, step: &PlannedStep) -> Option<Change> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.remove(&step.id)? {
            Held::Staged(staged, _) => Some(Change::Table(*staged)),
            Held::View(_, sql) => {
                let name = step.publish.clone()?;
                Some(Change::View { name, sql, columns: stored_columns(step), comment: None })
            }
            Held::Query(_) | Held::Rows(_) | Held::Batches(_) => None,
        }
    }
}

impl Drop for Embedded {
    /// The spill folder is only this run's; what cannot be removed is empty or removed by hand.
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.limits.spill) {
            tracing::debug!(%error, "the spill folder is left behind");
        }
    }
}

#[async_trait]
impl Backend for Embedded {
    async fn versions(&self, tables: &[TableName]) -> Result<HashMap<TableName, String>, BackendError> {
        self.tables.versions(tables)
    }

    async fn build(&self, step: &PlannedStep, attempt: &Attempt) -> Result<Built, BackendError> {
        if let Some(built) = self.adopted(step, attempt) {
            self.mark(step, attempt);
            return Ok(built);
        }
        if let Some(name) = step.publish.as_ref().filter(|_| attempt.afresh) {
            self.afresh.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        }
        let built = match &step.work {
            Work::Query(_) if step.interval_of.is_some() && !step.batches.is_empty() => {
                self.build_batched(step, &attempt.keep).await
            }
            Work::Query(query) => match &step.incremental {
                Some(grows) => self.build_growing(step, query, grows, attempt).await,
                None => self.build_query(step, query, &attempt.keep).await,
            },
            Work::Transform(work) => self.build_transform(step, work, &attempt.keep).await,
            Work::Load(_) => {
                let message = format!("`{}` reads files, which only a run does; publish it, and run it first", step.id);
                Err(BackendError::author(message))
            }
            Work::Broken => Err(BackendError::author(format!("`{}` could not be bound", step.id))),
        };
        self.mark(step, attempt);
        built
    }

    async fn fill(&self, step: &PlannedStep, rows: Rows, attempt: &Attempt) -> Result<Built, BackendError> {
        let built = self.keep(step, execute::Streams::from_rows(rows), &attempt.keep).await;
        self.mark(step, attempt);
        built
    }

    async fn stream(&self, step: &PlannedStep) -> Result<Rows, BackendError> {
        let plan = {
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            match held.get(&step.id) {
                Some(Held::Query(plan) | Held::View(plan, _)) => plan.clone(),
                Some(Held::Rows(rows)) => return Ok(rows.clone().stream()),
                Some(Held::Staged(..) | Held::Batches(_)) | None => {
                    return Err(BackendError::author(format!("`{}` has no rows to hand out", step.id)));
                }
            }
        };
        Ok(self.streams(&plan).await?.into_rows())
    }

    async fn query(&self, query: &Query) -> Result<Vec<RecordBatch>, BackendError> {
        let plan = self.with_rows(&query.plan).await?;
        execute::collect(self.streams(&plan).await?).await
    }

    async fn publish(&self, job: &Name, steps: &[&PlannedStep]) -> Result<Vec<String>, BackendError> {
        let changes: Vec<Change> = steps.iter().filter_map(|step| self.change(step)).collect();
        if changes.len() != steps.len() {
            return Err(BackendError::author(format!("a result of job `{}` is missing", job.lower())));
        }
        let warehouse = self.tables.warehouse.clone();
        let run = self.run.clone();
        let published = tokio::task::spawn_blocking(move || {
            let set = warehouse.publish(changes, &run)?;
            Ok::<_, warehouse::Error>((set, warehouse.snapshot()?))
        });
        let (set, snapshot) = published
            .await
            .map_err(|error| BackendError::author(format!("publishing stopped: {error}")))?
            .map_err(of_warehouse)?;
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = snapshot;
        Ok(steps.iter().map(|_| set.to_string()).collect())
    }

    async fn discard(&self, step: &StepId) -> Result<(), BackendError> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(step);
        Ok(())
    }

    async fn leave(&self, step: &StepId) -> Result<(), BackendError> {
        if let Some(Held::Staged(staged, _)) = self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(step) {
            staged.leave();
        }
        Ok(())
    }
}

fn stored_columns(step: &PlannedStep) -> Vec<StoredColumn> {
    let columns = step.schema.fields().iter().zip(&step.columns);
    columns.map(|(field, column)| StoredColumn::of(field, column.sql_type)).collect()
}

/// The dialect's session under the run's limits.
fn executing(dialect: &Dialect, limits: &Limits) -> Result<SessionState, BackendError> {
    std::fs::create_dir_all(&limits.spill).map_err(|error| {
        let message =
            format!("cannot make the spill folder `{}`: {}", limits.spill.display(), crate::store::why(&error));
        BackendError::new(Remedy::Resources, message)
    })?;
    let runtime = runtime(limits.memory, Some(&limits.spill))?;
    let mut config = dialect.state().config().clone().with_target_partitions(limits.threads.max(1));
    config.options_mut().execution.parquet.pushdown_filters = true;
    let builder = SessionStateBuilder::new_from_existing(dialect.state().clone());
    let builder = builder.with_physical_optimizer_rule(Arc::new(source::Pages));
    Ok(builder.with_config(config).with_runtime_env(runtime).build())
}

/// An environment of so many bytes of memory: what does not fit is spilled into the folder, by default the system's for
/// temporary files, and what cannot be spilled is an error.
pub fn runtime(memory: usize, spill: Option<&Path>) -> Result<Arc<RuntimeEnv>, BackendError> {
    let top = std::num::NonZeroUsize::new(3).unwrap_or(std::num::NonZeroUsize::MIN);
    let pool = TrackConsumersPool::new(FairSpillPool::new(memory), top);
    let mode =
        spill.map_or(DiskManagerMode::OsTmpDirectory, |folder| DiskManagerMode::Directories(vec![folder.into()]));
    let disk = DiskManagerBuilder::default().with_mode(mode);
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).with_disk_manager_builder(disk);
    runtime.build_arc().map_err(failed)
}

fn of_warehouse(error: warehouse::Error) -> BackendError {
    let remedy = match &error {
        error if error.is_transient() => Remedy::Retry,
        warehouse::Error::Write { .. } => Remedy::Resources,
        _ => Remedy::Author,
    };
    BackendError::new(remedy, error.to_string())
}
