//! `pipe sql`: Snowflake SQL from the argument, a file or standard input; the last result is printed.

use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;
use std::sync::Arc;

use chrono::Utc;
use clap::{Args, ValueEnum};
use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::execution::runtime_env::RuntimeEnv;

use super::loaded::{Loaded, Meaning};
use super::site::Site;
use super::{Globals, Outcome, block_on, print, rollback};
use crate::backend::datafusion::runtime as limited;
use crate::diagnostic::Diagnostic;
use crate::dialect::command::ScriptStatement;
use crate::dialect::constructs::{self, Construct};
use crate::dialect::emit::{Resolution, emit};
use crate::dialect::functions::{self, Fidelity, Function};
use crate::dialect::session::SessionParameters;
use crate::dialect::types::SqlType;
use crate::dialect::{Column, command};
use crate::ledger::Ledger;
use crate::name::Name;
use crate::report::table::{self, Format};
use crate::session::{self, Failure, Session};
use crate::settings::{BackendSettings, Environment, Flags, Moment, instant, memory_limit};
use crate::text::SourceFile;
use crate::warehouse::{self, Warehouse};

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
    /// The instant that CURRENT_DATE and every other clock function gives: a date or `2026-11-01T10:00:00`, in the session's time zone
    #[arg(long, value_name = "DATE", value_parser = instant)]
    date: Option<Moment>,
    /// Read the tables as an earlier run left them, by its name or the beginning of it; sources are as they are
    #[arg(long, value_name = "RUN", conflicts_with = "memory")]
    as_of: Option<String>,
    /// Memory that the statements may use, such as `8GB` or `70%`
    #[arg(long, value_name = "AMOUNT")]
    memory_limit: Option<String>,
    /// Print every function and construct with how faithful it is to Snowflake's, and run nothing
    #[arg(long, conflicts_with_all = ["statements", "file", "memory"])]
    functions: bool,
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
        if self.functions {
            return self.print_functions();
        }
        let source = self.source()?;
        let statements = command::parse_script(&source)?;
        if statements.is_empty() {
            let nothing = Diagnostic::error("no-statement", "there is no statement to run");
            return Err(Outcome::Wrong(vec![nothing]));
        }
        if !self.memory && self.as_of.is_none() {
            let loaded = self.loaded(globals)?;
            if let BackendSettings::Snowflake(_) = &loaded.settings.target.backend {
                return self.on_snowflake(&loaded, &statements);
            }
        }
        let mut session = if self.memory {
            let now = self.date.map_or_else(Utc::now, |date| date.in_zone(session::TIMEZONE));
            let limit = memory_limit(self.memory_limit.as_deref(), &Environment::read())?;
            Session::in_memory(now).within(runtime(limit)?)
        } else {
            self.on_target(globals)?
        };
        let result = block_on(async {
            let mut last = None;
            for statement in &statements {
                last = Some(session.run(statement).await?);
            }
            Ok::<_, Failure>(last)
        })?;
        if let Some(result) = result? {
            self.print(&result.columns, &result.batches, session.parameters())?;
        }
        Ok(Outcome::Done)
    }

    fn loaded(&self, globals: &Globals) -> Result<Loaded, Outcome> {
        let meaning = Meaning { date: self.date, ..Meaning::default() };
        let flags = Flags { memory_limit: self.memory_limit.clone(), ..Flags::default() };
        Loaded::read(globals, &meaning, flags)
    }

    /// Has the server run the statements, each as it is written but for a clock that is pinned.
    fn on_snowflake(&self, loaded: &Loaded, statements: &[ScriptStatement]) -> Result<Outcome, Outcome> {
        let Site::Snowflake(remote) = Site::open(loaded, "sql")? else { return Ok(Outcome::Done) };
        let zone = loaded.settings.timezone.parse().unwrap_or(chrono_tz::UTC);
        let clock = loaded.settings.date.map(|date| (date, zone));
        let text = |statement: &ScriptStatement| match statement {
            ScriptStatement::Sql(statement) => emit(statement, &Resolution { names: &|_| None, clock }),
            ScriptStatement::Command(_, span) => span.text().to_owned(),
        };
        let texts: Vec<String> = statements.iter().map(text).collect();
        let answer = block_on(remote.backend.answer(&texts))?.map_err(super::run::failed)?;
        let parameters =
            SessionParameters { timezone: loaded.settings.timezone.clone(), ..SessionParameters::default() };
        self.print(&answer.0, &answer.1, &parameters)?;
        Ok(Outcome::Done)
    }

    /// A session over the target's tables and the project's sources.
    fn on_target(&self, globals: &Globals) -> Result<Session, Outcome> {
        let loaded = self.loaded(globals)?;
        let broken = |error: warehouse::Error| Outcome::Broken(error.to_string());
        let warehouse = Warehouse::open(&loaded.local()?.warehouse()).map_err(broken)?;
        let warehouse = warehouse.keeping(loaded.settings.kept_sets);
        let (target, zone) = (&loaded.settings.target.name, &loaded.settings.timezone);
        let runtime = runtime(loaded.settings.memory_limit)?;
        let sources = super::run::sources(&loaded);
        let session = match &self.as_of {
            Some(run) => {
                let snapshot = warehouse.snapshot_of(set_of_run(&loaded, &warehouse, run)?).map_err(broken)?;
                Session::past(&snapshot, target, &sources, zone, loaded.clock)?
            }
            None => Session::local(warehouse, target, &sources, zone, loaded.clock)?,
        };
        Ok(session.within(runtime))
    }

    fn print(
        &self,
        columns: &[Column],
        batches: &[RecordBatch],
        parameters: &SessionParameters,
    ) -> Result<(), Outcome> {
        let format = match self.format {
            OutputFormat::Table => Format::Table,
            OutputFormat::Csv => Format::Csv,
            OutputFormat::Json => Format::Json,
            OutputFormat::Jsonl => Format::JsonLines,
        };
        let text = table::render(columns, batches, format, parameters);
        Ok(print(&text.map_err(|error| Outcome::Broken(error.to_string()))?)?)
    }

    /// Every function and construct with how faithful it is: functions by family and name, constructs as the list has them.
    fn print_functions(&self) -> Result<Outcome, Outcome> {
        let mut functions = functions::all();
        functions.sort_by_key(|function| (function.family, function.name));
        let mut rows: Vec<[String; 5]> = Vec::new();
        for Function { name, aliases, family, fidelity, .. } in &functions {
            let (word, note) = told(*fidelity);
            rows.push([
                name.to_uppercase(),
                aliases.join(", ").to_uppercase(),
                (*family).into(),
                word.into(),
                note.into(),
            ]);
        }
        for Construct { area, name, fidelity, .. } in constructs::all() {
            let (word, note) = told(*fidelity);
            rows.push([name.replace('`', ""), String::new(), (*area).into(), word.into(), note.into()]);
        }
        let headers = ["function", "also", "family", "fidelity", "note"];
        let column = |name: &str| Column { name: Name::quoted(name), sql_type: SqlType::TEXT, nullable: false };
        let arrays = headers.iter().enumerate().map(|(at, header)| {
            let values: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row[at])));
            (*header, values)
        });
        let batch = RecordBatch::try_from_iter(arrays).map_err(|error| Outcome::Broken(error.to_string()))?;
        self.print(&headers.map(column), &[batch], &SessionParameters::default())?;
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

fn told(fidelity: Fidelity) -> (&'static str, &'static str) {
    match fidelity {
        Fidelity::Exact => ("exact", ""),
        Fidelity::Approximate(how) => ("approximate", how),
        Fidelity::Refused(why) => ("refused", why),
    }
}

/// An environment of so much memory, which spills into the system's folder of temporary files.
fn runtime(memory: u64) -> Result<Arc<RuntimeEnv>, Outcome> {
    let memory = usize::try_from(memory).unwrap_or(usize::MAX);
    limited(memory, None).map_err(|error| Outcome::Broken(error.to_string()))
}

fn set_of_run(loaded: &Loaded, warehouse: &Warehouse, run: &str) -> Result<u64, Outcome> {
    let ledger = Ledger::open(&loaded.local()?.ledger()).map_err(super::run::broken)?;
    rollback::set_of(warehouse, &rollback::run_named(&ledger, run)?)
}

fn unreadable(name: &str, error: &io::Error) -> Outcome {
    Outcome::Wrong(vec![Diagnostic::error(
        "unreadable-file",
        format!("cannot read `{name}`: {}", crate::store::why(error)),
    )])
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Wrong(diagnostics) => Self::Wrong(diagnostics),
            Failure::Failed(message) => Self::Broken(message),
        }
    }
}
