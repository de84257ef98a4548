//! A step as the plan knows it: what it computes from what, what becomes of the result, and how patient a run is with it.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::logical_expr::{LogicalPlan, TableSource};
use serde::Serialize;

use super::StepId;
use super::fingerprint::{Clock, Hash};
use super::incremental::{Batch, PlannedIncremental};
use super::tested::Tested;
use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::job::OnError;
use crate::job::export::Destination;
use crate::job::load::Load;
use crate::name::TableName;
use crate::opaque::Opaque;
use crate::rule::Test;
use crate::text::derived::Derived;
use crate::text::{Span, Spanned};
use crate::transform::{self, Transform};

/// What a name in a step's SQL means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The result of another step of the plan; where that step is not run now, the table it published.
    Step(StepId, Option<TableName>),
    /// A source, or a table that a job outside the plan publishes.
    Table(TableName),
    /// What the step itself published before; no rows until it has.
    Own(TableName),
}

/// A table that a step reads: the name in its SQL, where it stands, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The name as the SQL has it.
    pub name: Spanned<TableName>,
    /// What it means.
    pub origin: Origin,
}

/// The schema of an input, which is all that binding sees. A backend swaps the rows in before it executes.
#[derive(Clone, Debug)]
pub struct InputTable {
    /// What it stands for.
    pub origin: Origin,
    /// Its columns.
    pub schema: SchemaRef,
}

impl TableSource for InputTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// SQL and what it means.
#[derive(Clone, Debug)]
pub struct Query {
    /// The text, rendered.
    pub sql: String,
    /// The tables that it names, and what they mean.
    pub inputs: Vec<Input>,
    /// The bound plan, over [`InputTable`]s.
    pub plan: Opaque<LogicalPlan>,
}

/// How patient a run is with a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Patience {
    /// How often it is tried where the error may pass.
    pub attempts: u32,
    /// How long to wait before the second try; every further wait is twice as long.
    pub backoff: Duration,
    /// How long one try may take.
    pub timeout: Option<Duration>,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempts: 3, backoff: Duration::from_secs(1), timeout: None }
    }
}

impl Patience {
    /// How long a run waits after the given try: three to five quarters of [`Self::wait_after`], so that steps which failed
    /// together do not all come back at once. The same `seed` gives the same wait.
    pub fn spread(&self, attempt: u32, seed: &str) -> Duration {
        let digits = Hash::of([seed, &attempt.to_string()]).to_string();
        let share = u32::from_str_radix(digits.get(..4).unwrap_or_default(), 16).unwrap_or_default();
        self.wait_after(attempt).mul_f64(0.75 + f64::from(share) / f64::from(0x2_0000_u32))
    }

    /// How long to wait after the given try, counted from 1: doubled each time, at most five minutes.
    pub fn wait_after(&self, attempt: u32) -> Duration {
        let doubled = self.backoff.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(Duration::from_secs(300))
    }
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Work {
    /// A query.
    Query(Query),
    /// A built-in transform.
    Transform(PlannedTransform),
    /// Files to be read.
    Load(Arc<Load>),
    /// What could not be read or bound, and has been reported.
    Broken,
}

/// A transform with the queries that give its inputs.
#[derive(Clone, Debug)]
pub struct PlannedTransform {
    /// The transform.
    pub transform: Arc<Transform>,
    /// For each input the query whose rows it takes.
    pub queries: Vec<Query>,
    /// For each output column the columns of these queries that it is computed from.
    pub lineage: Vec<Vec<transform::Origin>>,
    /// The one query that gives the same rows on a warehouse, or why there is none.
    pub sql: Result<String, Vec<Diagnostic>>,
    /// "Now": the run's pinned instant, in nanoseconds since 1970 UTC.
    pub now: i64,
}

/// A test of a step's result, as a query.
#[derive(Clone, Debug)]
pub struct PlannedTest {
    /// The test, as its author would name it.
    pub name: String,
    /// What it reads: the step's result, and other tables where the rule compares.
    pub inputs: Vec<Input>,
    /// The query; none where it could not be bound, which has been reported.
    pub query: Option<Query>,
    /// The query's text with the way back to what its author wrote.
    pub tested: Tested,
    /// The rule and its thresholds.
    pub test: Test,
}

/// Where a step's rows go outside the project.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedExport {
    /// The place, variables filled in.
    pub to: Destination,
    /// The names of the step's columns there.
    pub names: Vec<String>,
}

impl PlannedExport {
    /// The place as one text, by which it is remembered.
    pub fn place(&self) -> String {
        match &self.to {
            Destination::Files(files) => files.path.value.clone(),
            Destination::Postgres(postgres) => format!("{}: {}", postgres.connection.value, postgres.table.value),
        }
    }
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The rule holds.
    Pass,
    /// It does not, and the run goes on.
    Warn,
    /// It does not, and nothing is published.
    Fail,
}

impl Verdict {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

impl FromStr for Verdict {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Pass, Self::Warn, Self::Fail]
            .into_iter()
            .find(|verdict| verdict.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no verdict"))
    }
}

/// One step of a plan.
#[derive(Clone, Debug)]
pub struct PlannedStep {
    /// Its name.
    pub id: StepId,
    /// Where the author named it.
    pub span: Option<Span>,
    /// What it does.
    pub work: Work,
    /// What it reads, once per mention.
    pub inputs: Vec<Input>,
    /// The columns of its result, once bound.
    pub columns: Vec<Column>,
    /// The Arrow schema of its result, once bound, every column nullable.
    pub schema: SchemaRef,
    /// The table that it publishes.
    pub publish: Option<TableName>,
    /// Whether what it publishes is a view.
    pub view: bool,
    /// Where it is a view, its query as a text that stands alone, once bound.
    pub view_text: Option<String>,
    /// How its table grows, where it is not computed whole.
    pub incremental: Option<Arc<PlannedIncremental>>,
    /// Where its SQL says `interval`, the SQL for an interval that is the same in all runs.
    pub fixed: Option<String>,
    /// The step by whose intervals it is computed, where only that one reads it.
    pub interval_of: Option<StepId>,
    /// What a run computes of it, interval by interval; once it is known which.
    pub batches: Vec<Batch>,
    /// Where its rows go outside the project.
    pub export: Option<Arc<PlannedExport>>,
    /// The tests that its result must pass.
    pub tests: Vec<PlannedTest>,
    /// The columns that the author promised, as one line.
    pub promise: String,
    /// Its SQL, rendered, or its parameters; empty where it could not be.
    pub text: String,
    /// The same with the way back to where its author wrote it, where it is SQL.
    pub written: Option<Derived>,
    /// How finely it asks for the time, beyond what its text says.
    pub clock: Clock,
    /// What a load or export is besides its SQL, for its definition.
    pub outside: String,
    /// How patient a run is with it.
    pub patience: Patience,
    /// What its failure means.
    pub on_error: OnError,
    /// Whether it is computed on this machine, whatever the target.
    pub local: bool,
    /// Its tags.
    pub tags: Vec<String>,
}

impl PlannedStep {
    /// A step that reads and publishes nothing yet.
    pub fn new(id: StepId, work: Work) -> Self {
        Self {
            id,
            span: None,
            work,
            inputs: Vec::new(),
            columns: Vec::new(),
            schema: Arc::new(Schema::empty()),
            publish: None,
            view: false,
            view_text: None,
            incremental: None,
            fixed: None,
            interval_of: None,
            batches: Vec::new(),
            export: None,
            tests: Vec::new(),
            promise: String::new(),
            text: String::new(),
            written: None,
            clock: Clock::Unread,
            outside: String::new(),
            patience: Patience::default(),
            on_error: OnError::default(),
            local: false,
            tags: Vec::new(),
        }
    }

    /// The steps whose results it or its tests read, once per mention; not itself.
    pub fn reads(&self) -> impl Iterator<Item = &StepId> {
        let tested = self.tests.iter().flat_map(|test| &test.inputs);
        self.inputs.iter().chain(tested).filter_map(|input| match &input.origin {
            Origin::Step(id, _) if *id != self.id => Some(id),
            _ => None,
        })
    }

    /// Whether it is computed on this machine whatever the target is: as its author says, or since it has no form in SQL.
    /// It is known once the step is bound.
    pub fn is_local(&self) -> bool {
        self.local
            || match &self.work {
                Work::Transform(work) => work.sql.is_err(),
                Work::Load(_) => true,
                Work::Query(_) | Work::Broken => false,
            }
    }

    /// Its SQL, rendered.
    pub fn sql(&self) -> &str {
        &self.text
    }

    /// Its SQL: rendered, or the SQL form of its transform once it is bound; where that has none, the reasons.
    pub fn query_text(&self) -> Result<&str, &[Diagnostic]> {
        match &self.work {
            Work::Transform(work) => work.sql.as_deref().map_err(Vec::as_slice),
            Work::Query(_) | Work::Load(_) | Work::Broken => Ok(&self.text),
        }
    }

    /// Its query, where it is one and could be bound.
    pub fn query(&self) -> Option<&Query> {
        match &self.work {
            Work::Query(query) => Some(query),
            Work::Transform(_) | Work::Load(_) | Work::Broken => None,
        }
    }
}

/// A column list as one line of text, for definitions and messages.
pub fn columns_text(columns: &[Column]) -> String {
    let column = |column: &Column| format!("{} {}", column.name.sql(), column.sql_type);
    columns.iter().map(column).collect::<Vec<_>>().join(", ")
}
