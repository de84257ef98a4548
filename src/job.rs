//! A job as its author wrote it: steps with their SQL, contracts, tests and options, every value with its place. What the
//! steps read from each other is not known here: that takes their SQL, and is `plan`'s.
//!
//! **`for_each`** makes one step per item of a list. `for_each: {bundle: [25, 90]}` on a step `top` gives the steps `top_25`
//! and `top_90`, each with the variable `bundle`; several variables give every combination. The list is written out or is an
//! expression over the variables (`for_each: {bundle: free_bundles}`). `publish` has to tell the items apart, as in
//! `publish: "ml.top_{{ bundle }}"`. `needs: [top]` in another step means all of them.
//!
//! **`when`** is an expression over the variables, such as `horizon_days > 3`. Where it is false the step is not part of the
//! run: what it published stays as it is, and a step that reads it by its own name is in error.

use std::time::Duration;

use indexmap::IndexMap;

use crate::diagnostic::Diagnostic;
use crate::dialect::types::SqlType;
use crate::name::{Name, TableName};
use crate::rule::Test;
use crate::template::{Templates, Variable, Variables};
use crate::text::derived::Derived;
use crate::text::{SourceFile, Span, Spanned};
use crate::yaml::Node;

/// Sanity checks as an author writes them.
pub mod check;

/// `for_each` and `when`: the steps that a run has.
mod expand;

/// Formats, compressions, dialects of CSV.
pub mod file;

/// The `load` step.
pub mod load;

/// The `export` step.
pub mod export;

/// Lengths of intervals.
pub mod grain;

/// How a table grows: the `incremental` and `snapshot` blocks.
pub mod incremental;

/// When a job is to run.
pub mod schedule;

/// The keys of a job file.
pub mod keys;

/// YAML → job.
mod read;

pub(crate) use read::columns;
pub use read::parse;

/// One YAML file of `pipelines/`.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its name.
    pub name: Spanned<Name>,
    /// The file it is written in.
    pub file: SourceFile,
    /// What it is for.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// When a scheduler should run it, as five fields of cron.
    pub schedule: Option<Spanned<String>>,
    /// Tags that all its steps have.
    pub tags: Vec<String>,
    /// The variables of its templates, and where each is written.
    pub variables: Variables,
    /// Its steps in the author's order.
    pub steps: IndexMap<Name, Step>,
    /// Its sanity checks.
    pub checks: Vec<check::Check>,
    /// Whether the checks about it follow each of its runs.
    pub checks_after_run: bool,
}

/// One step of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its name.
    pub name: Spanned<Name>,
    /// The step that `for_each` made it from.
    pub template_of: Option<Name>,
    /// What it is for.
    pub description: Option<String>,
    /// What it does.
    pub kind: StepKind,
    /// The table it publishes; without one it is internal to the job.
    pub publish: Option<Spanned<TableName>>,
    /// How its result lives.
    pub materialize: Materialization,
    /// How its table grows, where it is not computed whole.
    pub incremental: Option<Box<incremental::Incremental>>,
    /// The columns that its result must have; empty where the author promises none.
    pub columns: Vec<ColumnContract>,
    /// The tests on its result, those under its columns included.
    pub tests: Vec<Test>,
    /// Steps it waits for although its SQL does not read them.
    pub needs: Vec<Spanned<Name>>,
    /// The condition over variables under which it is part of the run.
    pub when: Option<Spanned<String>>,
    /// The lists over which it is repeated, until [`Job::expand`] has done so.
    pub for_each: Vec<(String, Spanned<Items>)>,
    /// The variables that it sees beside the job's: those of `for_each`.
    pub variables: Variables,
    /// Tags, the job's included.
    pub tags: Vec<String>,
    /// How often and how patiently a failed try is repeated.
    pub retry: Option<Retry>,
    /// How long one try may take.
    pub timeout: Option<Duration>,
    /// What its failure means.
    pub on_error: OnError,
    /// Whether it is computed on this machine, whatever the target.
    pub local: bool,
    /// Whether it is part of the run: false where `when` says so.
    pub included: bool,
    /// `publish` as written, while it waits for variables to be filled in.
    publish_template: Option<Spanned<String>>,
}

impl Step {
    /// An internal step that is a query and nothing more.
    pub fn query(name: Spanned<Name>, sql: Derived, tests: Vec<Test>, variables: Variables) -> Self {
        Self {
            name,
            template_of: None,
            description: None,
            kind: StepKind::Sql(sql),
            publish: None,
            materialize: Materialization::Table,
            incremental: None,
            columns: Vec::new(),
            tests,
            needs: Vec::new(),
            when: None,
            for_each: Vec::new(),
            variables,
            tags: Vec::new(),
            retry: None,
            timeout: None,
            on_error: OnError::default(),
            local: false,
            included: true,
            publish_template: None,
        }
    }
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum StepKind {
    /// A query, a template still.
    Sql(Derived),
    /// A built-in transform.
    Transform {
        /// Its kind, such as `rank`.
        name: Spanned<String>,
        /// Its parameters, for the transform to read.
        parameters: Node,
    },
    /// Files whose rows become its result.
    Load(Box<load::Load>),
    /// Rows that go out of the project.
    Export(Box<export::Export>),
}

/// How a step's result lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Materialization {
    /// Its query, computed when read.
    View,
    /// Its rows.
    #[default]
    Table,
}

/// What the failure of a step means for the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnError {
    /// What follows from it is skipped, and its job publishes nothing.
    #[default]
    SkipDownstream,
    /// What follows from it is skipped, and its job publishes the rest.
    Continue,
    /// What follows from it goes on with the table that it published before, and its job publishes the rest.
    KeepLast,
    /// No other step is started, and no job publishes any more.
    Fail,
}

/// A column that a step promises.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnContract {
    /// Its name.
    pub name: Spanned<Name>,
    /// Its type, where one is promised.
    pub column_type: Option<Spanned<ColumnType>>,
    /// Whether it may hold NULL; true unless the author says no.
    pub nullable: bool,
    /// What it means.
    pub description: Option<String>,
}

/// A type in a contract.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnType {
    /// The type.
    pub sql_type: SqlType,
    /// Whether precision, scale or length are promised too: `number(10, 2)` does, `number` means any NUMBER.
    pub exact: bool,
}

impl ColumnType {
    /// The type that a text names.
    pub fn parse(text: &str) -> Option<Self> {
        let sql_type = crate::dialect::parse_type(text)?;
        Some(Self { sql_type, exact: text.contains('(') })
    }

    /// Whether a value of `actual` keeps the promise.
    pub fn accepts(&self, actual: SqlType) -> bool {
        match (self.sql_type, actual) {
            _ if actual == self.sql_type || actual == SqlType::Null => true,
            (SqlType::Number { .. }, SqlType::Number { .. }) => !self.exact,
            (SqlType::Varchar(Some(limit)), SqlType::Varchar(Some(length))) => length <= limit,
            (SqlType::Varchar(_), SqlType::Varchar(_)) => !self.exact,
            _ => false,
        }
    }
}

/// How a failed try is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Tries after the first one.
    pub max: u32,
    /// The wait before the second try; each further wait is twice as long.
    pub backoff: Duration,
}

/// The items of a `for_each`.
#[derive(Clone, Debug, PartialEq)]
pub enum Items {
    /// Written out.
    List(Vec<Variable>),
    /// An expression over the job's variables.
    Expression(String),
}

impl Job {
    /// The job of a run: `for_each` written out, `when` decided, `publish` filled in. `overrides` (from `--var`) replace
    /// variables of the job; `facts` are what the run knows, such as its date.
    pub fn expand(&self, templates: &Templates, overrides: &Variables, facts: &Variables) -> (Self, Vec<Diagnostic>) {
        expand::expand(self, templates, overrides, facts)
    }

    /// The variables that a step's templates see.
    pub fn variables_of(&self, step: &Step) -> Variables {
        let mut variables = self.variables.clone();
        variables.extend(&step.variables);
        variables
    }

    /// The file as a place, for problems of the whole job.
    pub fn span(&self) -> &Span {
        &self.name.span
    }
}

#[cfg(test)]
mod tests;
