//! What executes: the few things that a run asks of an engine. What differs between engines is text, not methods.

/// DataFusion on this machine.
pub mod datafusion;

/// Snowflake.
pub mod snowflake;

use std::collections::HashMap;
use std::fmt;

use ::datafusion::arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::stream::BoxStream;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::name::{Name, TableName};
use crate::plan::incremental::Made;
use crate::plan::{PlannedStep, Query, StepId};
use crate::store::{Kind, StoreError};

/// Rows as they come.
pub type Rows = BoxStream<'static, Result<RecordBatch, BackendError>>;

/// An engine and the tables it works on. A run shares one among all its steps.
#[async_trait]
pub trait Backend: Send + Sync {
    /// A mark of the present state of every one of these tables that exists: equal marks, equal rows.
    async fn versions(&self, tables: &[TableName]) -> Result<HashMap<TableName, String>, BackendError>;

    /// Computes the step's result aside, where no reader of published tables sees it. What an earlier attempt left is
    /// replaced.
    async fn build(&self, step: &PlannedStep, attempt: &Attempt) -> Result<Built, BackendError>;

    /// Takes rows from elsewhere as the step's result, aside like that of `build`.
    async fn fill(&self, step: &PlannedStep, rows: Rows, attempt: &Attempt) -> Result<Built, BackendError>;

    /// The rows of a step that was built in this run, in the order of its query, as they come.
    async fn stream(&self, step: &PlannedStep) -> Result<Rows, BackendError>;

    /// The rows of a query over published tables and results built in this run.
    async fn query(&self, query: &Query) -> Result<Vec<RecordBatch>, BackendError>;

    /// The rows of a query over one table or result whose plan says which, and whose SQL gives all of those and may give more.
    async fn narrowed(&self, query: &Query) -> Result<Vec<RecordBatch>, BackendError> {
        self.query(query).await
    }

    /// Makes the results of these steps visible under their names, all at once or none, and gives the version of each.
    async fn publish(&self, job: &Name, steps: &[&PlannedStep]) -> Result<Vec<String>, BackendError>;

    /// Forgets the step's result, when its last reader is done or when it will not be published.
    async fn discard(&self, step: &StepId) -> Result<(), BackendError>;

    /// Leaves a finished result, which this run does not come to publish, to one that takes up where this one ended. A
    /// backend that cannot do so forgets it.
    async fn leave(&self, step: &StepId) -> Result<(), BackendError> {
        self.discard(step).await
    }

    /// The names under which the backend itself knows what the step's last try asked of it.
    fn queries(&self, _step: &StepId) -> Vec<String> {
        Vec::new()
    }

    /// The bytes that each step's last try read, where the backend tells them.
    async fn scanned(&self) -> HashMap<StepId, u64> {
        HashMap::new()
    }

    /// Whether the history of runs is to be kept with the tables as well, since other machines work on them.
    fn keeps_history(&self) -> bool {
        false
    }

    /// Keeps entries of the history with the tables, over those of the same kind and name.
    async fn remember(&self, _entries: &[Entry]) -> Result<(), BackendError> {
        Ok(())
    }

    /// Waits until everything that was to be stopped is.
    async fn close(&self) {}
}

/// A part of the history of runs, as a backend keeps it for other machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is about: `run` or `table`.
    pub kind: String,
    /// Which run or table.
    pub name: String,
    /// How the run stands; of a table the run that published it.
    pub status: String,
    /// What is known, as JSON.
    pub content: String,
}

/// One try at a step.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The run, for marks on what is made.
    pub run: String,
    /// Which try, counted from 1.
    pub number: u32,
    /// What becomes of the result.
    pub keep: Keep,
    /// Whether what the step published before does not count.
    pub afresh: bool,
    /// What the result will have been made from, to be kept with it.
    pub made: Option<Made>,
    /// Set when the run is interrupted or the time is over; dropping the future must stop the work as well.
    pub cancel: CancellationToken,
}

/// What becomes of a step's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It becomes part of its one reader's query.
    Inline,
    /// It is computed once and held for its readers in this run.
    Share,
    /// It is written aside, to become a table of this name.
    Table(TableName),
    /// Its query becomes a view of this name.
    View(TableName),
}

/// What building a step gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Built {
    /// The rows of the result; none where it was not computed on its own.
    pub rows: Option<u64>,
}

/// What the caller of a backend does about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Try again: the network, a busy server, a lost session.
    Retry,
    /// Show it to the author: the SQL or the data is at fault.
    Author,
    /// Check credentials and rights.
    Access,
    /// Give the run more memory or disk, or less to do.
    Resources,
    /// Nothing: it was asked to stop.
    Cancelled,
}

impl Remedy {
    /// The word by which the ledger knows the class of an error.
    pub fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Author => "author",
            Self::Access => "access",
            Self::Resources => "resources",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why a backend could not do what it was asked.
#[derive(Clone, Debug, Error)]
pub struct BackendError {
    /// What to do about it.
    pub remedy: Remedy,
    /// What happened.
    pub message: String,
    /// The backend's own name of the query, to look it up there.
    pub query: Option<String>,
    /// The backend's own code of the error.
    pub code: Option<String>,
    /// Whether the message says where its author wrote what is at fault.
    pub placed: bool,
}

impl BackendError {
    /// An error with what to do about it.
    pub fn new(remedy: Remedy, message: impl Into<String>) -> Self {
        Self { remedy, message: message.into(), query: None, code: None, placed: false }
    }

    /// An error that shows the author's fault.
    pub fn author(message: impl Into<String>) -> Self {
        Self::new(Remedy::Author, message)
    }
}

impl From<StoreError> for BackendError {
    fn from(error: StoreError) -> Self {
        let remedy = match error.kind {
            Kind::Passing => Remedy::Retry,
            Kind::Denied => Remedy::Access,
            Kind::Full => Remedy::Resources,
            Kind::Missing | Kind::Other => Remedy::Author,
        };
        Self::new(remedy, error.message)
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.query {
            Some(query) => write!(f, " (query {query})"),
            None => Ok(()),
        }
    }
}
