//! A run for people: what runs now on a terminal, a line for every step that ended, and a table at the end. It goes to
//! standard error; standard output is data.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Reporter, size, steps_table};
use crate::diagnostic::Diagnostic;
use crate::ledger::{Status, StepRecord};
use crate::plan::{StepId, Verdict};
use crate::report::snippet;
use crate::run::{Event, RunResults};
use crate::text::counted;

/// A reporter of lines, with spinners for what runs where standard error is a terminal.
pub(super) struct Console {
    quiet: bool,
    verbose: u8,
    color: bool,
    live: Option<MultiProgress>,
    running: HashMap<StepId, ProgressBar>,
}

impl Console {
    pub(super) fn new(quiet: bool, verbose: u8, color: bool) -> Self {
        let live = (!quiet && std::io::stderr().is_terminal()).then(MultiProgress::new);
        Self { quiet, verbose, color, live, running: HashMap::new() }
    }
}

impl Reporter for Console {
    fn event(&mut self, event: &Event) {
        match event {
            Event::RunStarted { .. } => {}
            Event::StepStarted { step, attempt } => self.started(step, *attempt),
            Event::StepRetried { step, attempt, wait, error } => {
                self.stopped(step);
                let wait = wait.as_secs_f64();
                self.line(&format!("retry    {step}: try {attempt} failed ({error}); the next one in {wait:.1} s"));
            }
            Event::StepFinished(record) => {
                self.stopped(&record.step);
                self.step(record);
            }
            Event::JobPublished { job, tables } => {
                self.line(&format!("{} {}: {}", self.word("publish", "32"), job.lower(), tables.join(", ")));
            }
            Event::JobWithheld { job, reason } => {
                let word = self.word("withheld", "31");
                self.always(&format!("{word} {}: nothing is published, since {reason}", job.lower()));
            }
            Event::Interrupted => self.always("stopping; press Ctrl-C again to stop at once"),
            Event::RunFinished(results) => self.summary(results),
        }
    }

    fn diagnostics(&mut self, diagnostics: &[Diagnostic]) {
        if !diagnostics.is_empty() {
            self.always(snippet::render(diagnostics, self.color).trim_end());
        }
    }
}

impl Console {
    fn started(&mut self, step: &StepId, attempt: u32) {
        let Some(live) = &self.live else { return };
        let again = if attempt > 1 { format!(" (try {attempt})") } else { String::new() };
        let bar = live.add(ProgressBar::new_spinner()).with_message(format!("{step}{again}"));
        if let Ok(style) = ProgressStyle::with_template("{spinner} running  {msg}  {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        self.running.insert(step.clone(), bar);
    }

    fn stopped(&mut self, step: &StepId) {
        if let Some(bar) = self.running.remove(step) {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        if !self.quiet {
            self.always(text);
        }
    }

    /// Where standard error is closed there is nobody to tell.
    fn always(&self, text: &str) {
        let write = || writeln!(std::io::stderr().lock(), "{text}");
        let _ = match &self.live {
            Some(live) => live.suspend(write),
            None => write(),
        };
    }

    fn word(&self, word: &str, colour: &str) -> String {
        if self.color { format!("\x1b[{colour}m{word:<8}\x1b[0m") } else { format!("{word:<8}") }
    }

    fn step(&self, record: &StepRecord) {
        match record.status {
            Status::Skipped if record.error.is_none() && self.verbose == 0 => {}
            Status::Failed => {
                let error = record.error.as_deref().unwrap_or("no reason is known");
                self.always(&format!("{} {}: {error}", self.word("failed", "31"), record.step));
            }
            Status::Success => {
                let rows =
                    record.rows.map_or_else(|| "  inlined".to_owned(), |rows| format!("  {}", counted(rows, "row")));
                let (word, seconds) = (self.word("success", "32"), record.seconds);
                self.line(&format!("{word} {}{rows}  {seconds:.2} s  ({})", record.step, record.reason));
            }
            status => {
                let why = record.error.as_deref().unwrap_or(&record.reason);
                self.line(&format!("{} {}: {why}", self.word(status.as_str(), "33"), record.step));
            }
        }
        for test in record.tests.iter().filter(|test| test.verdict == Verdict::Warn) {
            let message = test.message.as_deref().unwrap_or_default();
            self.always(&format!("{} {}: test `{}`: {message}", self.word("warning", "33"), record.step, test.name));
        }
    }

    fn summary(&self, results: &RunResults) {
        let count = |status: Status| results.steps.iter().filter(|step| step.status == status).count();
        let unchanged =
            results.steps.iter().filter(|step| step.status == Status::Skipped && step.error.is_none()).count();
        if unchanged == results.steps.len() {
            self.line(&format!("nothing to do: {unchanged} unchanged"));
            return;
        }
        self.line(&format!("\n{}", steps_table(&results.steps)));
        let run = &results.run;
        let time = run.finished.map_or(0.0, |end| (end - run.started).num_milliseconds() as f64 / 1000.0);
        let mut parts = vec![format!("{} succeeded", count(Status::Success))];
        for (number, word) in [
            (count(Status::Failed), "failed"),
            (count(Status::Skipped) - unchanged, "skipped"),
            (count(Status::Cancelled), "cancelled"),
            (unchanged, "unchanged"),
        ] {
            if number > 0 {
                parts.push(format!("{number} {word}"));
            }
        }
        let scanned = results.steps.iter().filter_map(|step| step.scanned).reduce(|all, bytes| all + bytes);
        let scanned = scanned.map_or_else(String::new, |bytes| format!(", {} scanned", size(bytes)));
        self.line(&format!("run {}: {} in {time:.2} s{scanned}", run.id, parts.join(", ")));
    }
}
