//! Sanity checks: when a figure looks suspicious, is the data at fault or the job's logic? A check computes the figure on its
//! own; the tables it reads are profiled and held against what is usual, and the job's figures are held against the check's.
//!
//! | tables | job's figures | verdict |
//! | --- | --- | --- |
//! | as ever | agree | ok |
//! | off | agree | data: the job computes faithfully from it |
//! | as ever | disagree | logic |
//! | off | disagree | data and logic |
//!
//! Beside that, what the job published may be older than what it was made from. The job's figures are then computed anew, so
//! that logic is judged by the job as it is written now; where nothing else is wrong, the verdict is stale.

/// Cells of results.
mod cells;

/// What is usual and what is off.
pub mod statistics;

/// Tables as one scan shows them.
pub mod profile;

/// Whether a table is as ever.
pub mod data;

/// The check's figures against the job's.
pub mod reconcile;

/// Checks → steps of a plan.
pub mod question;

/// Which step is at fault, and what changed.
mod blame;

/// Asking a backend.
mod examine;

use chrono::{DateTime, Utc};
use datafusion::arrow::array::RecordBatch;

pub use blame::changed_lines;
pub use data::Finding;
pub use examine::{Examination, Examined};
pub use question::{Compiled, Question, questions};
pub use reconcile::Difference;

use crate::dialect::Column;
use crate::name::{Name, TableName};
use crate::plan::StepId;
use crate::rule::{Outcome, Severity};
use crate::text::Span;

/// What a check comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Nothing is wrong.
    Ok,
    /// The data is at fault.
    Data,
    /// The job's logic is at fault.
    Logic,
    /// Both are.
    DataAndLogic,
    /// The job has not run since its inputs changed.
    Stale,
    /// The check could not be carried out.
    Broken,
}

impl Verdict {
    /// The words for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Data => "data",
            Self::Logic => "logic",
            Self::DataAndLogic => "data and logic",
            Self::Stale => "stale",
            Self::Broken => "broken",
        }
    }
}

/// A check that was carried out.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The job that it is written in.
    pub job: Name,
    /// Its name.
    pub name: Name,
    /// What it looks at.
    pub about: Option<String>,
    /// Where it is written.
    pub span: Span,
    /// What it means where it is not ok.
    pub severity: Severity,
    /// The rows of its query.
    pub rows: u64,
    /// The columns of its query.
    pub columns: Vec<Column>,
    /// The first rows of its query.
    pub top: Vec<RecordBatch>,
    /// What was expected of the rows.
    pub expectations: Vec<Expectation>,
    /// The tables that it reads, in lower case.
    pub tables: Vec<TableName>,
    /// What is off about them.
    pub findings: Vec<Finding>,
    /// The job's figures against the check's.
    pub logic: Option<Logic>,
    /// What is published and older than what it was made from.
    pub stale: Vec<Stale>,
    /// Why it could not be carried out.
    pub error: Option<String>,
}

/// What was expected of a check's rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// Its name.
    pub name: String,
    /// Whether it holds.
    pub outcome: Outcome,
    /// What was found.
    pub message: String,
}

/// The job's figures against the check's.
#[derive(Clone, Debug, PartialEq)]
pub struct Logic {
    /// The step whose figures were compared.
    pub step: StepId,
    /// Whether they are the published ones; else they were computed for the check.
    pub published: bool,
    /// How they differ.
    pub difference: Difference,
    /// The steps that explain it, the likeliest first; empty where they agree.
    pub blamed: Vec<StepId>,
    /// What changed in the job since it last agreed.
    pub changes: Vec<Change>,
}

/// Something of a job that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `step this_week.scored` or `variable top`.
    pub what: String,
    /// Since when, as a clause.
    pub since: String,
    /// The lines that went, with `-`, and those that came, with `+`.
    pub lines: Vec<String>,
}

/// A published table that is older than what it was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// The table.
    pub table: TableName,
    /// Why it would be made anew.
    pub reason: String,
}

impl Checked {
    /// What it comes to. A failed expectation is about the data: the check's query reads nothing that the job computed.
    pub fn verdict(&self) -> Verdict {
        let data = !self.findings.is_empty() || self.expectations.iter().any(|one| one.outcome != Outcome::Pass);
        let logic = self.logic.as_ref().is_some_and(|logic| !logic.difference.agrees());
        match (data, logic) {
            _ if self.error.is_some() => Verdict::Broken,
            (true, true) => Verdict::DataAndLogic,
            (true, false) => Verdict::Data,
            (false, true) => Verdict::Logic,
            (false, false) if !self.stale.is_empty() => Verdict::Stale,
            (false, false) => Verdict::Ok,
        }
    }

    /// Whether it is an error, and not only something to look at.
    pub fn is_error(&self) -> bool {
        let failed = self.expectations.iter().any(|one| one.outcome == Outcome::Fail);
        let bad_data = failed || self.findings.iter().any(|finding| finding.severity == Severity::Error);
        let serious = match self.verdict() {
            Verdict::Ok => false,
            Verdict::Broken => return true,
            Verdict::Data => bad_data,
            Verdict::Logic | Verdict::DataAndLogic | Verdict::Stale => true,
        };
        serious && self.severity == Severity::Error
    }

    /// The check with its job, `job.check` in lower case.
    pub fn id(&self) -> String {
        format!("{}.{}", self.job.lower(), self.name.lower())
    }
}

/// When and as of when checks are carried out.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The wall clock.
    pub at: DateTime<Utc>,
    /// The pinned clock.
    pub clock: DateTime<Utc>,
}

#[cfg(test)]
mod tests;
