//! `pipe sql`: Snowflake SQL from the argument, a file or standard input; the last result is printed.

use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use clap::{Args, ValueEnum};

use super::{Globals, Outcome, block_on, print};
use crate::diagnostic::Diagnostic;
use crate::dialect;
use crate::report::table::{self, Format};
use crate::session::{Failure, Session};
use crate::text::SourceFile;

/// Arguments of `pipe sql`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pipe sql 'select count(*) from ml.this_week_recommendations'
  pipe sql --memory --format json \"create table t (a int); insert into t values (1); select * from t\"
  pipe sql --file sql/checks/bookmarks.sql --date 2026-11-01")]
pub(super) struct Sql {
    /// Statements, divided by `;`; standard input where neither this nor --file is given
    statements: Option<String>,
    /// Read the statements from a file
    #[arg(short, long, value_name = "FILE", conflicts_with = "statements")]
    file: Option<PathBuf>,
    /// Run on an empty warehouse in memory instead of a target
    #[arg(long)]
    memory: bool,
    /// The instant that CURRENT_DATE and every other clock function gives: a date or `2026-11-01T10:00:00`, in UTC
    #[arg(long, value_name = "DATE", value_parser = instant)]
    date: Option<DateTime<Utc>>,
    /// How the result is written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: OutputFormat,
}

/// How the result is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    /// For people.
    #[default]
    Table,
    /// With a header line; NULL is empty.
    Csv,
    /// One object with `columns` and `rows`.
    Json,
    /// One object a row.
    Jsonl,
}

impl Sql {
    pub(super) fn run(self, globals: &Globals) -> Result<Outcome, Outcome> {
        let source = self.source()?;
        let statements = dialect::command::parse_script(&source)?;
        if statements.is_empty() {
            let nothing = Diagnostic::error("no-statement", "there is no statement to run");
            return Err(Outcome::Wrong(vec![nothing]));
        }
        if !self.memory {
            let _ = globals;
            return Err(Outcome::Broken("only --memory is supported yet".to_string()));
        }
        let mut session = Session::in_memory(self.date.unwrap_or_else(Utc::now));
        let result = block_on(async {
            let mut last = None;
            for statement in &statements {
                last = Some(session.run(statement).await?);
            }
            Ok::<_, Failure>(last)
        })?;
        let format = match self.format {
            OutputFormat::Table => Format::Table,
            OutputFormat::Csv => Format::Csv,
            OutputFormat::Json => Format::Json,
            OutputFormat::Jsonl => Format::JsonLines,
        };
        if let Some(result) = result? {
            let text = table::render(&result.columns, &result.batches, format, session.parameters());
            print(&text.map_err(|error| Outcome::Broken(error.to_string()))?)?;
        }
        Ok(Outcome::Done)
    }

    fn source(&self) -> Result<SourceFile, Outcome> {
        if let Some(text) = &self.statements {
            return Ok(SourceFile::new("<argument>", text.as_str()));
        }
        let (name, bytes) = match &self.file {
            Some(path) => {
                let bytes = std::fs::read(path).map_err(|error| unreadable(&path.display().to_string(), &error))?;
                (path.clone(), bytes)
            }
            None => {
                if io::stdin().is_terminal() {
                    let message = "no statements: give them as an argument, with --file, or on standard input";
                    return Err(Outcome::Wrong(vec![Diagnostic::error("no-statement", message)]));
                }
                let mut bytes = Vec::new();
                io::stdin().lock().read_to_end(&mut bytes).map_err(|error| unreadable("standard input", &error))?;
                (PathBuf::from("<stdin>"), bytes)
            }
        };
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let message = format!("`{}` is not UTF-8: the byte at offset {at} fits no character", name.display());
            Outcome::Wrong(vec![Diagnostic::error("not-utf8", message)])
        })?;
        Ok(SourceFile::new(name, text))
    }
}

fn unreadable(name: &str, error: &io::Error) -> Outcome {
    Outcome::Wrong(vec![Diagnostic::error("unreadable-file", format!("cannot read `{name}`: {error}"))])
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Wrong(diagnostics) => Self::Wrong(diagnostics),
            Failure::Failed(message) => Self::Broken(message),
        }
    }
}

/// Reads `2026-11-01`, `2026-11-01T10:00:00` or the same with an offset.
fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Ok(date.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    if let Ok(at) = text.replace(' ', "T").parse::<NaiveDateTime>() {
        return Ok(at.and_utc());
    }
    DateTime::parse_from_rfc3339(text)
        .map(|at| at.to_utc())
        .map_err(|_| "expected a date such as 2026-11-01 or 2026-11-01T10:00:00".to_string())
}
