//! A run in the log: one line per event, with what it is about as fields.

use crate::run::Event;

/// Writes an event to the log.
pub(crate) fn event(event: &Event) {
    match event {
        Event::RunStarted { run, steps } => {
            tracing::debug!(run = run.id, target = run.target, clock = %run.clock, steps, "run started");
        }
        Event::StepStarted { step, attempt } => tracing::debug!(%step, attempt, "step started"),
        Event::StepRetried { step, attempt, wait, error } => {
            tracing::debug!(%step, attempt, wait_seconds = wait.as_secs_f64(), error, "step retried");
        }
        Event::StepFinished(record) => {
            let (step, status, rows) = (&record.step, &record.status, record.rows);
            let (error, reason) = (record.error.as_deref(), &record.reason);
            tracing::debug!(%step, %status, rows, seconds = record.seconds, error, reason, "step finished");
        }
        Event::JobPublished { job, tables } => {
            tracing::debug!(job = job.lower(), tables = tables.join(", "), "tables published");
        }
        Event::JobWithheld { job, reason } => tracing::debug!(job = job.lower(), reason, "nothing published"),
        Event::Interrupted => tracing::debug!("interrupted"),
        Event::RunFinished(results) => {
            tracing::debug!(run = results.run.id, status = %results.run.status, "run finished");
        }
    }
}
