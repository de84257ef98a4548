//! How results and problems look. What they are is decided elsewhere.

/// Results as tables, CSV and JSON.
pub mod table;

/// The generated parts of the README's reference.
pub mod reference;

/// Sanity checks.
pub mod check;

/// Diagnostics with the author's line.
pub mod snippet;

/// A traced row.
pub mod why;

/// Two states of tables held against each other.
pub mod diff;

/// Graphs of steps.
pub mod graph;

/// Outcomes of unit tests.
pub mod unit;

/// A run for people.
mod console;

/// A run for programs.
mod json;

/// A run in the log.
pub(crate) mod log;

use crate::diagnostic::Diagnostic;
use crate::ledger::StepRecord;
use crate::plan::Verdict;
use crate::run::Event;

pub(crate) use json::step as step_value;

/// Shows a run while it goes on.
pub trait Reporter {
    /// Something happened.
    fn event(&mut self, event: &Event);

    /// Something is worth knowing about what the author wrote.
    fn diagnostics(&mut self, diagnostics: &[Diagnostic]);
}

/// How a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For people, on standard error.
    Text {
        /// Only what is wrong.
        quiet: bool,
        /// More than usual.
        verbose: u8,
        /// Whether colours may be used.
        color: bool,
    },
    /// One JSON object per event, on standard output.
    Json,
}

/// The reporter of a style.
pub fn reporter(style: Style) -> Box<dyn Reporter> {
    match style {
        Style::Text { quiet, verbose, color } => Box::new(console::Console::new(quiet, verbose, color)),
        Style::Json => Box::new(json::Json),
    }
}

/// Rows of texts as columns, the first row being their headers.
pub(crate) fn columns<R: AsRef<[String]>>(rows: &[R]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.as_ref().len()), 0);
        row.as_ref().iter().zip(&mut widths).for_each(|(cell, width)| *width = (*width).max(cell.chars().count()));
    }
    let mut text = String::new();
    for row in rows {
        let cells = row.as_ref().iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// The steps of a run with rows, seconds and tests; those that were left unchanged are left out.
pub(crate) fn steps_table(steps: &[StepRecord]) -> String {
    let tells_bytes = steps.iter().any(|step| step.scanned.is_some());
    let (scanned, shown) = (if tells_bytes { &["scanned"][..] } else { &[] }, ["step", "status", "rows", "seconds"]);
    let headers = shown.iter().chain(scanned).chain(&["tests", "published"]);
    let mut rows = vec![headers.map(|header| (*header).to_owned()).collect()];
    let shown = steps.iter().filter(|step| step.attempts > 0 || step.error.is_some());
    rows.extend(shown.map(|step| {
        let passed = step.tests.iter().filter(|test| test.verdict == Verdict::Pass).count();
        let scanned = tells_bytes.then(|| step.scanned.map_or_else(|| "-".to_owned(), size));
        let cells = [
            step.step.to_string(),
            step.status.to_string(),
            step.rows.map_or_else(|| "-".to_owned(), |rows| rows.to_string()),
            if step.attempts == 0 { "-".to_owned() } else { format!("{:.2}", step.seconds) },
        ];
        let tests = if step.tests.is_empty() { "-".to_owned() } else { format!("{passed} of {}", step.tests.len()) };
        cells.into_iter().chain(scanned).chain([tests, step.table.clone().unwrap_or_default()]).collect::<Vec<_>>()
    }));
    columns(&rows)
}

/// A number of bytes as people read it.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    let digits = if unit == 0 { 0 } else { 1 };
    format!("{value:.digits$} {}", units[unit])
}
