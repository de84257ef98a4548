//! A run for people: plain lines as steps end, and a summary. It goes to standard error; standard output is data.

use std::io::Write;

use super::Reporter;
use crate::diagnostic::Diagnostic;
use crate::ledger::{Status, StepRecord};
use crate::plan::Verdict;
use crate::report::snippet;
use crate::run::{Event, RunResults};

/// A reporter of lines.
pub(super) struct Console {
    pub(super) quiet: bool,
    pub(super) verbose: u8,
    pub(super) color: bool,
}

impl Reporter for Console {
    fn event(&mut self, event: &Event) {
        match event {
            Event::RunStarted { .. } | Event::StepStarted { .. } => {}
            Event::StepRetried { step, attempt, wait, error } => {
                self.line(&format!(
                    "retry    {step}: try {attempt} failed ({error}), next in {:.1} s",
                    wait.as_secs_f64()
                ));
            }
            Event::StepFinished(record) => self.step(record),
            Event::JobPublished { job, tables } => {
                self.line(&format!("publish  {}: {}", job.lower(), tables.join(", ")))
            }
            Event::JobWithheld { job, reason } => self.always(&format!("withheld {}: {reason}", job.lower())),
            Event::Interrupted => self.always("stopping; press Ctrl-C again to stop at once"),
            Event::RunFinished(results) => self.summary(results),
        }
    }

    fn diagnostics(&mut self, diagnostics: &[Diagnostic]) {
        let text = snippet::render(diagnostics, self.color);
        self.always(text.trim_end());
    }
}

impl Console {
    fn line(&self, text: &str) {
        if !self.quiet {
            self.always(text);
        }
    }

    /// Where standard error is closed there is nobody to tell.
    fn always(&self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    fn step(&self, record: &StepRecord) {
        match record.status {
            Status::Skipped if record.error.is_none() && self.verbose == 0 => {}
            Status::Failed => {
                self.always(&format!("failed   {}: {}", record.step, record.error.as_deref().unwrap_or("no reason")));
            }
            _ => {
                let rows = record.rows.map_or_else(String::new, |rows| format!("  {rows} rows"));
                let why = record.error.as_deref().unwrap_or(&record.reason);
                self.line(&format!("{:<8} {}{rows}  {:.2} s  ({why})", record.status, record.step, record.seconds));
            }
        }
        for test in record.tests.iter().filter(|test| test.verdict == Verdict::Warn) {
            let message = test.message.as_deref().unwrap_or_default();
            self.always(&format!("warning  {}: test `{}`: {message}", record.step, test.name));
        }
    }

    fn summary(&self, results: &RunResults) {
        let _ = self.color;
        let count = |status: Status| results.steps.iter().filter(|step| step.status == status).count();
        let ran = count(Status::Success) + count(Status::Failed);
        if ran == 0 && results.run.status == Status::Success {
            self.line(&format!("nothing to do: {} unchanged", count(Status::Skipped)));
            return;
        }
        self.line(&format!(
            "run {} {}: {} succeeded, {} failed, {} skipped",
            results.run.id,
            results.run.status,
            count(Status::Success),
            count(Status::Failed),
            count(Status::Skipped) + count(Status::Cancelled)
        ));
    }
}
