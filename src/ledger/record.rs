//! What the ledger keeps: a run, its steps, their tests. The same records are a run's results.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::plan::interval::History;
use crate::plan::{Fingerprint, StepId, Verdict};

/// How far a run, a step or an attempt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Waiting for its inputs.
    Pending,
    /// Being built.
    Running,
    /// Done, its tests passed.
    Success,
    /// An error, or a test that failed.
    Failed,
    /// Not run: unchanged, not wanted, or below a failure.
    Skipped,
    /// Stopped before its end.
    Cancelled,
    /// Not ended: its process is gone.
    Interrupted,
}

impl Status {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ended = [Self::Success, Self::Failed, Self::Skipped, Self::Cancelled, Self::Interrupted];
        [Self::Pending, Self::Running]
            .into_iter()
            .chain(ended)
            .find(|status| status.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no status"))
    }
}

/// One execution of a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunRecord {
    /// Its name, which sorts by start.
    pub id: String,
    /// When it started.
    pub started: DateTime<Utc>,
    /// When it ended; none while it goes on, or where its process died.
    pub finished: Option<DateTime<Utc>>,
    /// How it ended.
    pub status: Status,
    /// The jobs it ran.
    pub jobs: Vec<String>,
    /// The target it ran against.
    pub target: String,
    /// The instant its clock was pinned to.
    pub clock: DateTime<Utc>,
    /// Its selection, as written.
    pub select: Option<String>,
    /// The process that runs it.
    pub process: u32,
}

/// What became of one step in one run.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRecord {
    /// The step.
    pub step: StepId,
    /// How it ended.
    pub status: Status,
    /// Why it ran or was skipped.
    pub reason: String,
    /// When its first attempt started.
    pub started: Option<DateTime<Utc>>,
    /// How long all its attempts took.
    pub seconds: f64,
    /// The rows of its result, where it was computed on its own.
    pub rows: Option<u64>,
    /// How often it was tried.
    pub attempts: u32,
    /// What it was made from.
    pub fingerprint: Option<Fingerprint>,
    /// The SQL that the backend got.
    pub sql: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// What its tests said.
    pub tests: Vec<TestRecord>,
    /// The backend's own names of what its last attempt asked; told by a run and not kept.
    pub queries: Vec<String>,
    /// The bytes that its last attempt read, where the backend tells them; told at the end of a run and not kept.
    pub scanned: Option<u64>,
    /// The table it published, in lower case.
    pub table: Option<String>,
}

impl StepRecord {
    /// A step that nothing has happened to yet.
    pub fn pending(step: StepId, reason: impl Into<String>) -> Self {
        Self {
            step,
            status: Status::Pending,
            reason: reason.into(),
            started: None,
            seconds: 0.0,
            rows: None,
            attempts: 0,
            fingerprint: None,
            sql: None,
            error: None,
            tests: Vec::new(),
            queries: Vec::new(),
            scanned: None,
            table: None,
        }
    }
}

/// What one test said.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TestRecord {
    /// The test, as its author would name it.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// The number it counted: rows that break the rule, or the rows of the result.
    pub count: Option<u64>,
    /// What to tell its author.
    pub message: Option<String>,
}

/// A try at a step that failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TryRecord {
    /// Which try, counted from 1.
    pub attempt: u32,
    /// When it ended.
    pub at: DateTime<Utc>,
    /// How long it took.
    pub seconds: f64,
    /// What can be done about the error: `retry`, `author`, `access`, `resources` or `cancelled`.
    pub class: String,
    /// The error.
    pub error: String,
    /// For how many seconds the run waited before the next try; none where there was none.
    pub wait: Option<f64>,
}

/// What is visible under a table's name, and what it was made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// The table, in lower case.
    pub table: String,
    /// The step that made it.
    pub step: StepId,
    /// The run that published it.
    pub run: String,
    /// When.
    pub at: DateTime<Utc>,
    /// What it was made from.
    pub fingerprint: Fingerprint,
    /// The intervals that it has, where it is built by such.
    pub history: History,
    /// The backend's own mark of this state of the table.
    pub version: String,
    /// Its rows.
    pub rows: Option<u64>,
}

/// A table as it was measured once.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileRecord {
    /// The table, in lower case.
    pub table: String,
    /// When.
    pub at: DateTime<Utc>,
    /// The instant that the clock was pinned to.
    pub clock: DateTime<Utc>,
    /// The backend's mark of this state of the table.
    pub version: String,
    /// The measures, by name.
    pub measures: BTreeMap<String, f64>,
}

/// What a check once came to.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckRecord {
    /// The job that the check is written in.
    pub job: String,
    /// The check.
    pub name: String,
    /// When.
    pub at: DateTime<Utc>,
    /// The instant that the clock was pinned to.
    pub clock: DateTime<Utc>,
    /// The verdict's word.
    pub verdict: String,
    /// Whether the job's figures agreed; none where they were not compared.
    pub agreed: Option<bool>,
    /// What the job's figures were computed by: the SQL of each step, and each variable of the job.
    pub texts: BTreeMap<String, String>,
}
