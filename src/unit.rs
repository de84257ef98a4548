//! Unit tests of jobs: rows that are given, rows that are expected. They always run on the embedded engine, in memory:
//! no warehouse, no ledger, no credentials, whatever the project's targets are.
//!
//! ```text
//! tests/jobs/*.yaml ─ read ─▶ suites ─ prepare ─▶ jobs bound once per date and variables, rows typed by contracts
//!                                                          │
//!                  step by step, tables of memory ◀─ run ──┘──▶ compare ─▶ outcome ─▶ report, or update
//! ```
//!
//! A test runs only the steps that its expectations need. A table that it does not name is empty, and a step that it gives
//! is not computed.

use std::collections::HashMap;

use crate::name::{Name, TableName};
use crate::settings::Moment;
use crate::template::Variable;
use crate::text::{SourceFile, Span, Spanned};
use crate::yaml::Node;

/// The keys of a file of unit tests.
pub mod keys;

/// YAML → suites.
pub mod read;

/// Rows as an author writes them, inline or as CSV.
pub mod rows;

/// Values ↔ texts, by type.
pub mod value;

/// Tests whose jobs are bound and whose rows are typed.
pub mod prepare;

/// Rows in the types of their columns.
mod typed;

/// What a job reads of others.
mod others;

/// Queries over tables in memory.
mod engine;

/// Expected rows against actual ones.
pub mod compare;

/// Tests run in parallel.
pub mod run;

/// Expectations written anew.
pub mod update;

/// Tests made from real rows.
pub mod record;

use rows::Rows;

/// One file of `tests/jobs/`.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The file.
    pub file: SourceFile,
    /// The job that it tests.
    pub job: Spanned<Name>,
    /// Its tests in the author's order.
    pub tests: Vec<UnitTest>,
}

/// One unit test.
#[derive(Clone, Debug)]
pub struct UnitTest {
    /// Its name; by default the file's.
    pub name: Spanned<String>,
    /// What it is for.
    pub description: Option<String>,
    /// The instant that every clock function gives.
    pub date: Option<Moment>,
    /// Variables over those of the job.
    pub variables: Vec<(Spanned<String>, Variable)>,
    /// The rows of its tables.
    pub given: Vec<Given>,
    /// Values of columns that given rows leave out, by table.
    pub defaults: HashMap<TableName, Vec<rows::Cell>>,
    /// What must come out.
    pub expect: Vec<Expectation>,
}

/// The rows of a table, or of a step that is not computed.
#[derive(Clone, Debug)]
pub struct Given {
    /// The table or step.
    pub table: Spanned<TableName>,
    /// Its rows.
    pub rows: Rows,
    /// Whether the test itself gives it, and not its file for all tests.
    pub own: bool,
}

/// What must come out of a step.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// The step.
    pub step: Spanned<Name>,
    /// The rows; none where only properties are expected.
    pub rows: Option<Rows>,
    /// How the rows are compared.
    pub how: How,
    /// Whether there must be no row, or at least one.
    pub empty: Option<(bool, Span)>,
    /// Properties, written as a step's tests; a [`Node`] list, read once its job is known.
    pub tests: Option<Node>,
}

/// How rows are compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct How {
    /// Which rows must be there, and in which order.
    pub matching: Matching,
    /// By how much a number may differ.
    pub tolerance: Tolerance,
}

/// Which rows must be there, and in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Matching {
    /// Exactly these, in whatever order.
    #[default]
    Unordered,
    /// Exactly these, in this order.
    Ordered,
    /// At least these.
    Subset,
}

/// By how much numbers may differ.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tolerance {
    /// In every column of numbers.
    pub all: f64,
    /// In these columns.
    pub by_column: Vec<(Spanned<Name>, f64)>,
}

impl Tolerance {
    /// By how much the numbers of a column may differ.
    pub fn of(&self, column: &Name) -> f64 {
        self.by_column.iter().find(|(name, _)| name.value == *column).map_or(self.all, |(_, tolerance)| *tolerance)
    }
}

#[cfg(test)]
mod tests;
