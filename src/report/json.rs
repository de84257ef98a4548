//! A run for programs: one JSON object per event, a line each, on standard output.

use std::io::Write;

use serde_json::{Value, json};

use super::Reporter;
use crate::diagnostic::{Diagnostic, Severity};
use crate::ledger::StepRecord;
use crate::run::{Event, RunResults};

/// A reporter of JSON lines.
pub(super) struct Json;

impl Reporter for Json {
    fn event(&mut self, event: &Event) {
        write(&value(event));
    }

    fn diagnostics(&mut self, diagnostics: &[Diagnostic]) {
        for diagnostic in diagnostics {
            write(&of_diagnostic(diagnostic));
        }
    }
}

/// A reader that went away is nobody to tell.
fn write(value: &Value) {
    let _ = writeln!(std::io::stdout().lock(), "{value}");
}

fn of_diagnostic(diagnostic: &Diagnostic) -> Value {
    let severity = if diagnostic.severity == Severity::Error { "error" } else { "warning" };
    json!({
        "event": "diagnostic",
        "severity": severity,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "place": diagnostic.span.as_ref().map(ToString::to_string),
        "hint": diagnostic.hint,
    })
}

fn value(event: &Event) -> Value {
    match event {
        Event::RunStarted { run, steps } => json!({"event": "run_started", "run": run, "steps": steps}),
        Event::StepStarted { step, attempt } => {
            json!({"event": "step_started", "step": step.to_string(), "attempt": attempt})
        }
        Event::StepRetried { step, attempt, wait, error } => json!({
            "event": "step_retried",
            "step": step.to_string(),
            "attempt": attempt,
            "wait_seconds": wait.as_secs_f64(),
            "error": error,
        }),
        Event::StepFinished(record) => {
            let mut value = step(record);
            value["event"] = json!("step_finished");
            value
        }
        Event::JobPublished { job, tables } => {
            json!({"event": "job_published", "job": job.lower(), "tables": tables})
        }
        Event::JobWithheld { job, reason } => {
            json!({"event": "job_withheld", "job": job.lower(), "reason": reason})
        }
        Event::Interrupted => json!({"event": "interrupted"}),
        Event::RunFinished(results) => {
            let mut value = run(results);
            value["event"] = json!("run_finished");
            value
        }
    }
}

/// A step as JSON.
pub(crate) fn step(record: &StepRecord) -> Value {
    json!({
        "event": "step",
        "step": record.step.to_string(),
        "status": record.status,
        "reason": record.reason,
        "started": record.started,
        "seconds": record.seconds,
        "rows": record.rows,
        "attempts": record.attempts,
        "table": record.table,
        "error": record.error,
        "tests": record.tests,
        "queries": record.queries,
    })
}

fn run(results: &RunResults) -> Value {
    let withheld = results.withheld.iter().map(|(job, reason)| json!({"job": job.lower(), "reason": reason}));
    let scanned = results.steps.iter().filter_map(|step| Some((step.step.to_string(), json!(step.scanned?))));
    json!({
        "event": "run",
        "run": results.run,
        "published": results.published,
        "withheld": withheld.collect::<Vec<_>>(),
        "scanned": scanned.collect::<serde_json::Map<_, _>>(),
    })
}
