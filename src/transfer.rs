//! Load and export steps: rows in from files, rows out to files and to PostgreSQL, whatever the backend. What an export sends
//! is staged where it goes, unseen, after the step's tests; it becomes visible when its job is published.
//!
//! ```text
//! load:    files ──► records ──► rows that fit ──► Backend::fill       rows that do not ──► reject file
//! export:  Backend::stream ──► stage (aside) ──► … all tests of the job … ──► commit, or abort
//! ```

/// Values as texts.
mod cell;

/// CSV as records.
mod records;

/// Rows → bytes.
mod encode;

/// Exports to files.
mod files;

/// Exports to PostgreSQL.
mod postgres;

/// Load steps.
mod load;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::backend::{BackendError, Rows};
use crate::job::export::Destination;
use crate::job::file::Format;
use crate::job::load::Load;
use crate::plan::{PlannedExport, PlannedStep, StepId};
use crate::secret::Vault;
use crate::store::{StoreError, Stores, absolute, s3_parts};

pub use load::{Loading, Tally};
pub use postgres::{Login, Tls};

/// What an attempt at an export tells of itself to those who receive it.
#[derive(Clone, Debug)]
pub struct Errand {
    /// The run.
    pub run: String,
    /// When it started, as text.
    pub at: String,
    /// What the rows are made from.
    pub made_from: String,
}

/// What loads and exports of one run work with.
pub struct Transfers {
    stores: Arc<Stores>,
    /// The project's folder, from which paths count.
    root: PathBuf,
    /// The folder of reject files.
    rejects: PathBuf,
    connections: Connections,
    staged: Mutex<HashMap<StepId, Staged>>,
}

/// An export that waits to be made visible.
enum Staged {
    Files(Box<files::StagedFiles>),
    Postgres(Box<postgres::StagedRows>),
}

/// The databases that exports go to, by name, and the secrets that reaching them takes.
pub struct Connections {
    /// How each is reached.
    pub logins: HashMap<String, Login>,
    /// The secrets of the run.
    pub vault: Arc<Vault>,
}

impl Transfers {
    /// Loads and exports of the project in `root`, whose target keeps its files in `home`.
    pub fn new(stores: Arc<Stores>, root: PathBuf, home: &std::path::Path, connections: Connections) -> Self {
        Self { stores, root, rejects: home.join("rejects"), connections, staged: Mutex::default() }
    }

    /// A mark of the files that a load reads: equal marks, equal bytes.
    pub fn version(&self, load: &Load) -> Result<String, StoreError> {
        let mut parts = Vec::new();
        let wanted: fn(&str) -> bool = if load.format.is_some() {
            load::is_data
        } else {
            |name| load::is_data(name) && Format::of(name).is_some()
        };
        for pattern in &load.files {
            for file in self.stores.list_now(&absolute(&self.root, &pattern.value), wanted)? {
                let mark = match &file.mark {
                    Some(mark) => mark.clone(),
                    None => self.stores.marks().of(&[PathBuf::from(&file.name)])?,
                };
                parts.push(format!("{} {mark}", file.name));
            }
        }
        self.stores.marks().save();
        Ok(crate::plan::Hash::of(parts.iter().map(String::as_str)).to_string())
    }

    /// The mark of what an export sent and is still there; none where it is gone. For a database, whose rows are not looked at,
    /// it is always the same.
    pub fn present(&self, export: &PlannedExport) -> Result<Option<String>, StoreError> {
        match &export.to {
            Destination::Files(files) => files::present(&self.stores, &absolute(&self.root, &files.path.value), files),
            Destination::Postgres(_) => Ok(Some(String::new())),
        }
    }

    /// Begins to read the files of a load step.
    pub async fn load(&self, step: &PlannedStep, load: &Load) -> Result<Loading, BackendError> {
        let patterns: Vec<String> = load.files.iter().map(|file| absolute(&self.root, &file.value)).collect();
        let rejects = match &load.rejects {
            Some(path) if s3_parts(&path.value).is_some() => {
                return Err(BackendError::author("`rejects` is a file of this machine, not one in S3"));
            }
            Some(path) => self.root.join(&path.value),
            None => self.rejects.join(format!("{}.jsonl", step.id)),
        };
        load::start(self.stores.clone(), step, load, &patterns, rejects).await
    }

    /// Sends the rows of an export to where they go, unseen as yet, and says how many they are.
    pub async fn stage(
        &self,
        step: &PlannedStep,
        export: &PlannedExport,
        rows: Rows,
        errand: &Errand,
    ) -> Result<u64, BackendError> {
        self.abort(&step.id).await;
        let (staged, count) = match &export.to {
            Destination::Files(files) => {
                let folder = absolute(&self.root, &files.path.value);
                let staged = files::stage(&self.stores, folder, files, step, &export.names, rows, errand).await?;
                let count = staged.rows();
                (Staged::Files(Box::new(staged)), count)
            }
            Destination::Postgres(to) => {
                let name = &to.connection.value;
                let login = self.connections.logins.get(name);
                let login = login.ok_or_else(|| BackendError::author(format!("there is no connection `{name}`")))?;
                let opened = login.open(name, &self.connections.vault).await?;
                let staged = postgres::stage(opened, to, step, &export.names, rows, errand).await?;
                let count = staged.rows();
                (Staged::Postgres(Box::new(staged)), count)
            }
        };
        self.staged.lock().unwrap_or_else(PoisonError::into_inner).insert(step.id.clone(), staged);
        Ok(count)
    }

    fn take(&self, step: &StepId) -> Option<Staged> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner).remove(step)
    }

    /// Makes what was staged visible, and gives the mark by which it is known again.
    pub async fn commit(&self, step: &StepId) -> Result<String, BackendError> {
        match self.take(step) {
            Some(Staged::Files(files)) => files.commit(&self.stores).await,
            Some(Staged::Postgres(rows)) => rows.commit().await.map(|()| String::new()),
            None => Err(BackendError::author(format!("nothing of `{step}` waits to be exported"))),
        }
    }

    /// Takes back what was staged, where something was.
    pub async fn abort(&self, step: &StepId) {
        match self.take(step) {
            Some(Staged::Files(files)) => files.abort().await,
            Some(Staged::Postgres(rows)) => rows.abort().await,
            None => {}
        }
    }

    /// Takes back all that was begun and not committed.
    pub async fn close(&self) {
        let left: Vec<StepId> = self.staged.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        for step in left {
            self.abort(&step).await;
        }
        self.stores.close().await;
    }
}

/// A thread of ours that ended in a panic, or was told to end.
fn stopped(error: &tokio::task::JoinError) -> BackendError {
    BackendError::author(format!("a transfer stopped: {error}; this is a defect of `pipe`, please report it"))
}
