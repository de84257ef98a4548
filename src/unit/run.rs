//! Tests run in parallel: each computes the steps that its expectations need, in order, and holds their rows against what
//! is expected. One test never sees another's rows.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::DataFusionError;
use futures::FutureExt;
use rayon::prelude::*;
use tokio::runtime::Handle;

use super::compare::{self, Difference, Texts};
use super::engine::Memory;
use super::prepare::{BoundJob, Expected, Prepared};
use super::{Expectation, Suite, UnitTest, value};
use crate::backend::datafusion::{failed, fitted};
use crate::dialect::Column;
use crate::name::Name;
use crate::plan::{Origin, PlannedStep, Work};
use crate::rule;
use crate::transform::Context;

/// How a test ended.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// Its file.
    pub suite: &'a Suite,
    /// The test.
    pub test: &'a UnitTest,
    /// How long it took.
    pub seconds: f64,
    /// Why it failed; none where it passed.
    pub failures: Vec<Failure<'a>>,
}

/// Why a test failed.
#[derive(Debug)]
pub enum Failure<'a> {
    /// The rows of a step are not those expected.
    Rows(RowsFailure<'a>),
    /// A property does not hold.
    Property {
        /// The step.
        step: Name,
        /// What does not hold, as a clause.
        message: String,
        /// The step's columns.
        columns: Vec<Column>,
        /// Its rows.
        rows: Vec<Texts>,
    },
    /// A step could not be computed.
    Error {
        /// The step.
        step: Name,
        /// Why.
        message: String,
    },
}

/// Rows that are not those expected.
#[derive(Debug)]
pub struct RowsFailure<'a> {
    /// The expectation.
    pub expectation: &'a Expectation,
    /// The compared columns.
    pub columns: Vec<Column>,
    /// By how much each may differ.
    pub tolerances: Vec<Option<f64>>,
    /// How the rows differ.
    pub differences: Vec<Difference>,
    /// What was expected.
    pub expected: Vec<Texts>,
    /// What came out, in those columns; in all of them where no column was named.
    pub actual: Vec<Texts>,
}

/// Runs all tests, as many at once as the pool has threads.
pub fn run<'a>(tests: &[Prepared<'a>], handle: &Handle) -> Vec<Outcome<'a>> {
    tests.par_iter().map(|test| handle.block_on(one(test))).collect()
}

async fn one<'a>(prepared: &Prepared<'a>) -> Outcome<'a> {
    let started = Instant::now();
    let done = AssertUnwindSafe(failures(prepared)).catch_unwind().await;
    let failures = done.unwrap_or_else(|_| {
        let step = prepared.suite.job.value.clone();
        vec![Failure::Error {
            step,
            message: "the engine panicked; this is a defect of `pipe`, please report it".into(),
        }]
    });
    Outcome { suite: prepared.suite, test: prepared.test, seconds: started.elapsed().as_secs_f64(), failures }
}

async fn failures<'a>(prepared: &Prepared<'a>) -> Vec<Failure<'a>> {
    let job = &*prepared.job;
    let wanted = prepared.expect.iter().map(|expected| expected.step);
    let memory = match steps(job, prepared.given.clone(), wanted).await {
        Ok(memory) => memory,
        Err((step, message)) => return vec![Failure::Error { step, message }],
    };
    let mut failures = Vec::new();
    for expected in &prepared.expect {
        if let Err(failure) = hold(job, expected, &memory, &mut failures).await {
            failures.push(Failure::Error { step: expected.written.step.value.clone(), message: told(failure) });
        }
    }
    failures
}

/// Computes steps from given rows, and what they need before them; else which step failed, and why.
pub(super) async fn steps(
    job: &BoundJob,
    given: HashMap<Origin, Vec<RecordBatch>>,
    wanted: impl IntoIterator<Item = usize>,
) -> Result<Arc<Memory>, (Name, String)> {
    let needed = job.needed(&given, wanted);
    let memory = Memory::new(given);
    for at in job.plan.step_order().into_iter().filter(|at| needed.contains(at)) {
        compute(job, at, &memory).await.map_err(|message| (job.plan.steps[at].id.step.clone(), message))?;
    }
    Ok(memory)
}

/// Computes a step whose inputs are filled.
async fn compute(job: &BoundJob, at: usize, memory: &Arc<Memory>) -> Result<(), String> {
    let step = &job.plan.steps[at];
    let batches = match &step.work {
        Work::Query(query) => job.engine.rows((at, 0), &query.plan, memory).await.map_err(told)?,
        Work::Transform(work) => {
            let mut inputs = Vec::new();
            for (input, query) in work.queries.iter().enumerate() {
                let batches = job.engine.rows((at, input), &query.plan, memory).await.map_err(told)?;
                inputs.push((Arc::clone(query.plan.schema().inner()), batches));
            }
            work.transform.run(inputs, Context::at(work.now)).map_err(|error| error.to_string())?.batches
        }
        _ => return Err("a step of this kind has no rows to compute in a unit test; give its rows instead".into()),
    };
    let fitted = batches.iter().map(|batch| fitted(batch, &step.schema));
    let fitted = fitted.collect::<Result<Vec<RecordBatch>, _>>().map_err(told)?;
    memory.fill(Origin::Step(step.id.clone(), None), fitted);
    Ok(())
}

fn told(error: DataFusionError) -> String {
    failed(error).message
}

/// Holds the rows of a step against an expectation.
async fn hold<'a>(
    job: &BoundJob,
    expected: &Expected<'a>,
    memory: &Arc<Memory>,
    failures: &mut Vec<Failure<'a>>,
) -> Result<(), DataFusionError> {
    let step = &job.plan.steps[expected.step];
    let batches = memory.rows(&Origin::Step(step.id.clone(), None));
    let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if expected.written.rows.is_some() {
        failures.extend(compare_rows(job, expected, &batches)?);
    }
    let mut broken = Vec::new();
    match &expected.written.empty {
        Some((true, _)) if count > 0 => {
            broken.push(format!("{}, and none is expected", crate::text::counted(count as u64, "row")));
        }
        Some((false, _)) if count == 0 => broken.push("no rows, and at least one is expected".to_owned()),
        _ => {}
    }
    for at in expected.properties.clone() {
        if let Some(message) = property(job, expected.step, at, memory).await? {
            broken.push(message);
        }
    }
    if !broken.is_empty() {
        let all: Vec<usize> = (0..step.columns.len()).collect();
        let rows = value::rows(&batches, &all, &job.session)?;
        failures.extend(broken.into_iter().map(|message| Failure::Property {
            step: step.id.step.clone(),
            message,
            columns: step.columns.clone(),
            rows: rows.clone(),
        }));
    }
    Ok(())
}

fn compare_rows<'a>(
    job: &BoundJob,
    expected: &Expected<'a>,
    batches: &[RecordBatch],
) -> Result<Option<Failure<'a>>, DataFusionError> {
    let step: &PlannedStep = &job.plan.steps[expected.step];
    let (mut columns, mut tolerances) = (expected.columns.clone(), expected.tolerances.clone());
    if columns.is_empty() {
        columns = (0..step.columns.len()).collect();
        tolerances = vec![None; columns.len()];
    }
    let actual = value::rows(batches, &columns, &job.session)?;
    // Rows without any column cannot be told apart, and only their number counts.
    let rows = if expected.columns.is_empty() { Vec::new() } else { expected.rows.clone() };
    let differences = compare::differences(&rows, &actual, expected.written.how.matching, &tolerances);
    if differences.is_empty() {
        return Ok(None);
    }
    Ok(Some(Failure::Rows(RowsFailure {
        expectation: expected.written,
        columns: columns.iter().map(|at| step.columns[*at].clone()).collect(),
        tolerances,
        differences,
        expected: rows,
        actual,
    })))
}

/// What a property has to say against a step's rows; none where it holds.
async fn property(
    job: &BoundJob,
    step: usize,
    at: usize,
    memory: &Arc<Memory>,
) -> Result<Option<String>, DataFusionError> {
    let Some(test) = job.plan.steps[step].tests.get(at) else { return Ok(None) };
    let Some(query) = &test.query else { return Ok(Some(format!("test `{}` could not be bound", test.name))) };
    let batches = job.engine.rows((step, PROPERTIES + at), &query.plan, memory).await?;
    let (failed, tested) = counts(&batches)?;
    let verdict = test.test.verdict(failed, tested);
    let holds = verdict.outcome == rule::Outcome::Pass;
    Ok((!holds).then(|| format!("test `{}`: {}", test.name, verdict.message)))
}

/// The first of a step's places that stands for a property and not for an input of its transform.
const PROPERTIES: usize = 1 << 16;

fn counts(batches: &[RecordBatch]) -> Result<(u64, u64), DataFusionError> {
    let number = |at: usize| {
        let batch = batches.iter().find(|batch| batch.num_rows() > 0)?;
        let column = cast(batch.columns().get(at)?, &DataType::Int64).ok()?;
        let numbers = column.as_primitive_opt::<Int64Type>()?;
        (!numbers.is_null(0)).then(|| numbers.value(0).unsigned_abs())
    };
    let none = || DataFusionError::Execution("the test's query gave no counts".to_owned());
    Ok((number(0).ok_or_else(none)?, number(1).ok_or_else(none)?))
}
