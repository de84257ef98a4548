//! `pipe validate`: everything about jobs that can be known without data.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::catalogue::sources_of;
use super::loaded::{Loaded, Meaning};
use super::site::Site;
use super::{Globals, Outcome, print};
use crate::diagnostic::{Diagnostic, Severity, has_errors};
use crate::job::keys::duration;
use crate::plan;
use crate::report::snippet;
use crate::settings::{BackendSettings, Flags};

/// Arguments of `pipe validate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pipe validate
  pipe validate pipelines/this_week.yaml --format json
  pipe validate --target prod --fresh

On a Snowflake target the columns are those of its catalogue, and what differs from `schemas/` is told.

Exit codes: 0 nothing is wrong, 2 something is; all problems are told at once.")]
pub(super) struct Validate {
    /// Jobs, by file or name; all where none is named
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,
    #[command(flatten)]
    meaning: Meaning,
    /// On a Snowflake target: how old what is known of its catalogue may be, such as `10m`
    #[arg(long, value_name = "AGE", default_value = "1h", value_parser = age)]
    catalogue_age: Duration,
    /// On a Snowflake target: look at its catalogue now
    #[arg(long)]
    fresh: bool,
    /// How problems are told
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// How problems are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people, on standard error.
    #[default]
    Text,
    /// One object with `problems`, on standard output.
    Json,
}

impl Validate {
    pub(super) fn run(self, globals: &Globals) -> Result<Outcome, Outcome> {
        let loaded = Loaded::read(globals, &self.meaning, Flags::default())?;
        let wanted = loaded.wanted(&self.jobs)?;
        let (resolved, mut problems) = loaded.resolve(&wanted);
        if let BackendSettings::Snowflake(_) = &loaded.settings.target.backend
            && let Site::Snowflake(remote) = Site::open(&loaded, "validate")?
        {
            let tables = sources_of(&loaded, &resolved.plan);
            let age = if self.fresh { Duration::ZERO } else { self.catalogue_age };
            problems.extend(remote.compile_against(&loaded, &tables, age)?);
        }
        let (plan, more) = plan::check(resolved, &loaded.dialect(), loaded.columns());
        problems.extend(more);
        let wrong = has_errors(&problems);
        if self.format == Format::Json {
            let problems: Vec<_> = problems.iter().map(of_diagnostic).collect();
            let jobs: Vec<_> = wanted.iter().map(crate::name::Name::lower).collect();
            print(&format!("{}\n", json!({"jobs": jobs, "steps": plan.steps.len(), "problems": problems})))?;
            return Ok(if wrong { Outcome::Wrong(Vec::new()) } else { Outcome::Done });
        }
        if wrong {
            return Err(Outcome::Wrong(problems));
        }
        if !problems.is_empty() {
            eprint(&snippet::render(&problems, globals.color.on_stderr()))?;
        }
        if !globals.quiet {
            let jobs = wanted.len();
            let are = if plan.steps.len() == 1 { "is" } else { "are" };
            print(&format!("{} of {} {are} valid\n", count(plan.steps.len(), "step"), count(jobs, "job")))?;
        }
        Ok(Outcome::Done)
    }
}

fn age(text: &str) -> Result<Duration, String> {
    duration(text).ok_or_else(|| "it is not a length of time such as `10m`".to_owned())
}

fn eprint(text: &str) -> std::io::Result<()> {
    std::io::Write::write_all(&mut std::io::stderr().lock(), text.as_bytes())
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A problem as JSON.
pub(super) fn of_diagnostic(diagnostic: &Diagnostic) -> serde_json::Value {
    let place = diagnostic.span.as_ref().map(|span| {
        let (line, column) = span.line_column();
        json!({"file": span.file.path(), "line": line, "column": column, "text": span.text().lines().next()})
    });
    json!({
        "severity": if diagnostic.severity == Severity::Error { "error" } else { "warning" },
        "code": diagnostic.code,
        "message": diagnostic.message,
        "place": place,
        "hint": diagnostic.hint,
    })
}
