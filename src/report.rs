//! How results and problems look. What they are is decided elsewhere.

/// Results as tables, CSV and JSON.
pub mod table;

/// The generated parts of the README's reference.
pub mod reference;

/// Diagnostics with the author's line.
pub mod snippet;

/// A run for people.
mod console;

/// A run for programs.
mod json;

use crate::diagnostic::Diagnostic;
use crate::run::Event;

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
        Style::Text { quiet, verbose, color } => Box::new(console::Console { quiet, verbose, color }),
        Style::Json => Box::new(json::Json),
    }
}
