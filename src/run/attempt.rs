//! One try at a step: build it aside, then ask its tests. It knows nothing of other steps.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::{Array, Int64Array, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use futures::FutureExt;

use super::place;
use crate::backend::{Attempt, Backend, BackendError, Remedy};
use crate::ledger::TestRecord;
use crate::plan::{Plan, PlannedStep, PlannedTest, Verdict, Work};
use crate::rule::Outcome;
use crate::text::counted;
use crate::transfer::{Errand, Transfers};

/// How a try ended.
pub(super) struct Tried {
    pub(super) seconds: f64,
    pub(super) rows: Option<u64>,
    pub(super) tests: Vec<TestRecord>,
    pub(super) queries: Vec<String>,
    pub(super) error: Option<BackendError>,
}

/// What a try works with.
pub(super) struct Means {
    pub(super) plan: Arc<Plan>,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) transfers: Arc<Transfers>,
    pub(super) errand: Errand,
    pub(super) max_rows: Option<u64>,
}

/// Builds and tests the step, within its time and until it is told to stop.
pub(super) async fn try_step(means: Means, at: usize, attempt: Attempt) -> Tried {
    let started = Instant::now();
    let step = &means.plan.steps[at];
    let mut tried = Tried { seconds: 0.0, rows: None, tests: Vec::new(), queries: Vec::new(), error: None };
    let limit = step.patience.timeout.unwrap_or(Duration::from_secs(60 * 60 * 24 * 365));
    let cancel = attempt.cancel.clone();
    tokio::select! {
        biased;
        () = cancel.cancelled() => tried.error = Some(BackendError::new(Remedy::Cancelled, "interrupted")),
        () = tokio::time::sleep(limit) => {
            cancel.cancel();
            tried.error = Some(BackendError::author(format!("took longer than its timeout of {}", seconds(limit))));
        }
        done = AssertUnwindSafe(build_and_test(step, &means, &attempt, &mut tried.tests)).catch_unwind() => match done {
            Ok(Ok(rows)) => tried.rows = rows,
            Ok(Err(error)) => tried.error = Some(error),
            Err(_) => tried.error = Some(BackendError::author("the engine panicked; this is a defect of `pipe`, please report it")),
        },
    }
    tried.seconds = started.elapsed().as_secs_f64();
    tried.queries = means.backend.queries(&step.id);
    tried
}

fn seconds(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{} ms", duration.as_millis())
    }
}

async fn build_and_test(
    step: &PlannedStep,
    means: &Means,
    attempt: &Attempt,
    tests: &mut Vec<TestRecord>,
) -> Result<Option<u64>, BackendError> {
    let backend = &*means.backend;
    let built = match &step.work {
        Work::Load(load) => {
            let loading = means.transfers.load(step, load).await?;
            let filled = backend.fill(step, loading.rows, attempt).await;
            tests.extend(loading.tally.record());
            filled?
        }
        _ => backend.build(step, attempt).await?,
    };
    if let (Some(rows), Some(most)) = (built.rows, means.max_rows)
        && rows > most
    {
        let message = format!("gives {}, and --max-rows allows {most}", counted(rows, "row"));
        return Err(BackendError::new(Remedy::Resources, message));
    }
    for test in &step.tests {
        tests.push(ask(test, backend).await?);
    }
    match &step.export {
        Some(export) if failures(tests).is_none() => {
            let rows = backend.stream(step).await?;
            means.transfers.stage(step, export, rows, &means.errand).await.map(Some)
        }
        _ => Ok(built.rows),
    }
}

async fn ask(test: &PlannedTest, backend: &dyn Backend) -> Result<TestRecord, BackendError> {
    let Some(query) = &test.query else {
        return Err(BackendError::author(format!("test `{}` could not be bound", test.name)));
    };
    let named =
        |error: BackendError| BackendError { message: format!("test `{}`: {}", test.name, error.message), ..error };
    let batches = backend.query(query).await.map_err(|error| named(place::of_test(test, error)))?;
    let (failed, tested) = counts(&batches)
        .ok_or_else(|| BackendError::author(format!("test `{}`: its query gave no counts", test.name)))?;
    let verdict = test.test.verdict(failed, tested);
    Ok(TestRecord {
        name: test.name.clone(),
        verdict: match verdict.outcome {
            Outcome::Pass => Verdict::Pass,
            Outcome::Warn => Verdict::Warn,
            Outcome::Fail => Verdict::Fail,
        },
        count: Some(verdict.failed),
        message: Some(verdict.message),
    })
}

/// The two numbers that a test's query gives: rows that break the rule, and rows looked at.
fn counts(batches: &[RecordBatch]) -> Option<(u64, u64)> {
    let batch = batches.iter().find(|batch| batch.num_rows() > 0)?;
    let number = |at: usize| {
        let column = cast(batch.columns().get(at)?, &DataType::Int64).ok()?;
        let numbers = column.as_any().downcast_ref::<Int64Array>()?;
        (!numbers.is_null(0)).then(|| numbers.value(0).unsigned_abs())
    };
    Some((number(0)?, number(1)?))
}

/// The failed tests of a try, as one clause.
pub(super) fn failures(tests: &[TestRecord]) -> Option<String> {
    let failed = tests.iter().filter(|test| test.verdict == Verdict::Fail);
    let told: Vec<String> = failed
        .map(|test| match &test.message {
            Some(message) => format!("test `{}` failed: {message}", test.name),
            None => format!("test `{}` failed", test.name),
        })
        .collect();
    (!told.is_empty()).then(|| told.join("; "))
}
