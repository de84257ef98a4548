//! What a command works with: flags before environment before `pipe.yaml` before defaults, resolved once. This is the one
//! place that reads `PIPE_*` variables.

use std::path::PathBuf;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeZone, Utc};
use indexmap::IndexMap;

use crate::diagnostic::{Diagnostic, has_errors};
use crate::name::{TableName, nearest};
use crate::project;
pub use crate::secret::Parameter;
use crate::source::Location;
use crate::template::{Variable, Variables};
use crate::text::{SourceFile, Span, Spanned};
use crate::transfer::{Login, Tls};

/// The keys of `pipe.yaml`.
pub mod keys;

/// Where the rows of sources are.
mod place;

/// YAML → settings.
mod read;

/// What the command line says; nothing where it is silent.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// The project's folder.
    pub project_dir: Option<PathBuf>,
    /// The target.
    pub target: Option<String>,
    /// The instant of the clock.
    pub date: Option<Moment>,
    /// Steps at once.
    pub jobs: Option<usize>,
    /// Memory for a run, such as `8GB` or `70%`.
    pub memory_limit: Option<String>,
    /// `name=value`, each replacing a variable of the job.
    pub variables: Vec<String>,
}

/// What the environment says.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: IndexMap<&'static str, String>,
}

/// The variables that are looked at, with what each stands for.
pub const VARIABLES: [(&str, &str); 6] = [
    ("PIPE_PROJECT_DIR", "the project's folder, as --project-dir"),
    ("PIPE_TARGET", "the target, as --target"),
    ("PIPE_DATE", "the instant of the clock, as --date"),
    ("PIPE_JOBS", "steps at once, as --jobs"),
    ("PIPE_MEMORY_LIMIT", "memory for a run, as --memory-limit"),
    ("PIPE_SECRETS", "where secrets come from: `env` or `ssm`"),
];

impl Environment {
    /// The environment of this process.
    pub fn read() -> Self {
        let set = VARIABLES.iter().filter_map(|(name, _)| Some((*name, std::env::var(name).ok()?)));
        Self { variables: set.filter(|(_, value)| !value.is_empty()).collect() }
    }

    /// An environment of these variables, for tests.
    pub fn of(variables: &[(&'static str, &str)]) -> Self {
        Self { variables: variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect() }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }
}

/// Everything resolved.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The project's folder.
    pub root: PathBuf,
    /// `pipe.yaml`.
    pub file: SourceFile,
    /// The project's name.
    pub name: String,
    /// The target to work on.
    pub target: Target,
    /// The names of all targets.
    pub targets: Vec<String>,
    /// The instant that every clock function gives, where the flag, the environment or the target pins it.
    pub date: Option<DateTime<Utc>>,
    /// The session's time zone.
    pub timezone: String,
    /// Steps at once.
    pub jobs: usize,
    /// Bytes that a run may hold in memory.
    pub memory_limit: u64,
    /// How many sets of published tables are kept, the current one included.
    pub kept_sets: usize,
    /// For how many days runs are remembered.
    pub kept_days: u32,
    /// Whether the checks about a job follow each of its runs.
    pub checks_after_run: bool,
    /// Where secrets come from.
    pub secrets: SecretsProvider,
    /// The databases that exports go to, by name, as this target has them.
    pub connections: IndexMap<String, Connection>,
    /// Variables over those of the jobs: the target's, and over them those of the command line.
    pub variables: Variables,
}

/// Where secrets come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SecretsProvider {
    /// Environment variables.
    #[default]
    Environment,
    /// AWS Systems Manager Parameter Store.
    ParameterStore {
        /// The region; none for that of the machine's AWS configuration.
        region: Option<String>,
        /// The path of names that have none.
        path: Option<String>,
    },
}

/// A named place to run against.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Where it is written.
    pub span: Span,
    /// What executes, and what that needs.
    pub backend: BackendSettings,
    /// The clock's instant on this target, where it pins one.
    pub date: Option<Moment>,
    /// Variables over those of the jobs.
    pub variables: Variables,
    /// Parameters of connections that this target has otherwise.
    pub connections: IndexMap<String, Connection>,
}

/// What executes, and what that needs.
#[derive(Clone, Debug, PartialEq)]
pub enum BackendSettings {
    /// The embedded engine.
    DataFusion(Local),
    /// Snowflake.
    Snowflake(Connection),
}

/// Where the tables of an embedded target are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// The folder of its state: the warehouse is `<state>/warehouse`, the ledger `<state>/ledger.db`.
    pub state: PathBuf,
    /// The folder or URL of source tables, with or without `{schema}` and `{table}`.
    pub sources: Option<Spanned<String>>,
    /// Tables that are elsewhere.
    pub tables: IndexMap<TableName, Spanned<Location>>,
}

/// How a database, such as Snowflake, is reached.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Connection {
    /// The parameters as written, `account`, `user` and so on. A value may be a reference to a secret.
    pub parameters: IndexMap<String, Spanned<Parameter>>,
}

impl Connection {
    /// How this PostgreSQL database is reached; paths count from the project's folder.
    pub fn login(&self, root: &std::path::Path) -> Login {
        let get = |key: &str| self.parameters.get(key).map(|parameter| parameter.value.clone());
        let or = |key: &str, usual: &str| get(key).unwrap_or_else(|| Parameter::Plain(usual.to_owned()));
        let word = |key: &str| match get(key) {
            Some(Parameter::Plain(text)) => Some(text),
            _ => None,
        };
        Login {
            host: or("host", "localhost"),
            port: or("port", "5432"),
            database: or("database", "postgres"),
            user: or("user", "postgres"),
            password: get("password"),
            tls: match word("tls").as_deref() {
                Some("disable") => Tls::Disable,
                Some("require") => Tls::Require,
                _ => Tls::Verify(word("ca").map(|path| root.join(path))),
            },
        }
    }
}

impl Local {
    /// The folder of published tables.
    pub fn warehouse(&self) -> PathBuf {
        self.state.join("warehouse")
    }

    /// The file of the run history.
    pub fn ledger(&self) -> PathBuf {
        self.state.join("ledger.db")
    }

    /// Where the rows of a source are; none where there is no file for it.
    pub fn location(&self, table: &TableName) -> Option<Location> {
        place::location(self, table)
    }

    /// Where [`Local::location`] looks for a table, for messages.
    pub fn expected(&self, table: &TableName) -> String {
        place::expected(self, table)
    }
}

impl Settings {
    /// What templates are told of a run at this instant: `run.date`, `run.at` and `target`.
    pub fn facts(&self, clock: DateTime<Utc>) -> Variables {
        let zone: chrono_tz::Tz = self.timezone.parse().unwrap_or(chrono_tz::UTC);
        let local = clock.with_timezone(&zone);
        let run = [
            ("date".to_owned(), Variable::Date(local.format("%Y-%m-%d").to_string())),
            ("at".to_owned(), Variable::Timestamp(local.format("%Y-%m-%d %H:%M:%S").to_string())),
        ];
        let mut facts = Variables::default();
        facts.insert("run", Variable::Map(run.into_iter().collect()));
        facts.insert("target", Variable::Text(self.target.name.clone()));
        facts
    }

    /// The project's folder: the one named, or the nearest at or above this one.
    pub fn root(flags: &Flags, environment: &Environment) -> Result<PathBuf, Vec<Diagnostic>> {
        let named = flags.project_dir.clone().or_else(|| environment.get("PIPE_PROJECT_DIR").map(PathBuf::from));
        let problem = match named {
            Some(folder) if folder.join(project::SETTINGS_FILE).is_file() => {
                return std::fs::canonicalize(&folder).map_err(|error| vec![no_project(&error.to_string())]);
            }
            Some(folder) => no_project(&format!("`{}` has no `pipe.yaml`", folder.display())),
            None => match project::find(".".as_ref()) {
                Some(root) => return Ok(root),
                None => no_project("there is no `pipe.yaml` in this folder or in one above"),
            },
        };
        Err(vec![problem.hint("go into a project, or make one with `pipe init`")])
    }

    /// Resolves the settings of a command, and says everything that is wrong with them.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self, Vec<Diagnostic>> {
        let root = Self::root(flags, environment)?;
        let file = project::read::file(&root, project::SETTINGS_FILE.as_ref()).map_err(|problem| vec![problem])?;
        let (written, mut problems) = read::parse(&root, &file);
        let settings = resolve(root, file, written, flags, environment, &mut problems);
        match settings {
            Some(settings) if !has_errors(&problems) => Ok(settings),
            _ => Err(problems),
        }
    }
}

/// Bytes of memory where there is no project to say how many.
pub fn memory_limit(flag: Option<&str>, environment: &Environment) -> Result<u64, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let bytes = limit(flag, environment, None, &mut problems);
    if problems.is_empty() { Ok(bytes) } else { Err(problems) }
}

fn limit(
    flag: Option<&str>,
    environment: &Environment,
    written: Option<keys::Memory>,
    problems: &mut Vec<Diagnostic>,
) -> u64 {
    let usual = keys::Memory::Percent(70.0);
    let Some(text) = flag.or_else(|| environment.get("PIPE_MEMORY_LIMIT")) else {
        return written.unwrap_or(usual).bytes();
    };
    let limit = keys::memory(text);
    if limit.is_none() {
        let message = format!("`{text}` is not an amount of memory");
        problems.push(Diagnostic::error("wrong-value", message).hint("write it like `8GB` or `70%`"));
    }
    limit.unwrap_or(usual).bytes()
}

fn no_project(message: &str) -> Diagnostic {
    Diagnostic::error("no-project", message)
}

fn resolve(
    root: PathBuf,
    file: SourceFile,
    written: read::Written,
    flags: &Flags,
    environment: &Environment,
    problems: &mut Vec<Diagnostic>,
) -> Option<Settings> {
    let targets: Vec<String> = written.targets.keys().cloned().collect();
    let target = target(&written, flags, environment, problems);
    let date = match (flags.date, environment.get("PIPE_DATE")) {
        (Some(date), _) => Some(date),
        (None, Some(text)) => from_environment("PIPE_DATE", text, instant(text), problems),
        (None, None) => target.as_ref().and_then(|target| target.date),
    };
    let jobs = flags.jobs.or_else(|| {
        let text = environment.get("PIPE_JOBS")?;
        let count = text.parse().map_err(|_| "it is not a whole number above 0".to_owned());
        from_environment(
            "PIPE_JOBS",
            text,
            count.and_then(|n| if n > 0 { Ok(n) } else { Err("it is 0".to_owned()) }),
            problems,
        )
    });
    let memory_limit = limit(flags.memory_limit.as_deref(), environment, written.memory_limit, problems);
    let secrets = match environment.get("PIPE_SECRETS") {
        Some("env") => SecretsProvider::Environment,
        Some("ssm") => match &written.secrets {
            store @ SecretsProvider::ParameterStore { .. } => store.clone(),
            SecretsProvider::Environment => SecretsProvider::ParameterStore { region: None, path: None },
        },
        Some(text) => {
            from_environment("PIPE_SECRETS", text, Err("it is neither `env` nor `ssm`".to_owned()), problems)?
        }
        None => written.secrets.clone(),
    };
    let target = target?;
    let mut variables = target.variables.clone();
    read::flag_variables(&flags.variables, &mut variables, problems);
    let mut connections = written.connections.clone();
    for (name, own) in &target.connections {
        connections.entry(name.clone()).or_default().parameters.extend(own.parameters.clone());
    }
    read::complete(&connections, &target.span, problems);
    let timezone = written.timezone.unwrap_or_else(|| "UTC".to_owned());
    let cores = std::thread::available_parallelism().map_or(4, std::num::NonZero::get);
    Some(Settings {
        name: written.name.unwrap_or_else(|| root.file_name().unwrap_or_default().to_string_lossy().into_owned()),
        targets,
        date: date.map(|date| date.in_zone(&timezone)),
        timezone,
        jobs: jobs.or(written.jobs).unwrap_or(cores),
        memory_limit,
        kept_sets: written.kept_sets.unwrap_or(5),
        kept_days: written.kept_days.unwrap_or(400),
        checks_after_run: written.checks_after_run,
        secrets,
        connections,
        variables,
        target,
        root,
        file,
    })
}

fn target(
    written: &read::Written,
    flags: &Flags,
    environment: &Environment,
    problems: &mut Vec<Diagnostic>,
) -> Option<Target> {
    let default = written.default_target.as_ref();
    let (name, span) = match (&flags.target, environment.get("PIPE_TARGET"), default) {
        (Some(name), _, _) => (name.as_str(), None),
        (None, Some(name), _) => (name, None),
        (None, None, Some(default)) => (default.value.as_str(), Some(default.span.clone())),
        (None, None, None) => (written.targets.keys().next()?.as_str(), None),
    };
    if let Some(target) = written.targets.get(name) {
        return target.clone();
    }
    if written.targets.is_empty() {
        return None;
    }
    let names: Vec<_> = written.targets.keys().map(String::as_str).collect();
    let mut diagnostic = Diagnostic::error("unknown-target", format!("there is no target `{name}` in `pipe.yaml`"));
    diagnostic.span = span;
    problems.push(match nearest(name, names.iter().copied()) {
        Some(near) => diagnostic.did_you_mean(Some(near)),
        None => {
            let are = if names.len() == 1 { "target is" } else { "targets are" };
            diagnostic.hint(format!("the {are} {}", crate::yaml::shape::one_of(&names).replace(" or ", " and ")))
        }
    });
    None
}

fn from_environment<T>(name: &str, text: &str, value: Result<T, String>, problems: &mut Vec<Diagnostic>) -> Option<T> {
    value
        .map_err(|why| {
            let message = format!("the environment variable `{name}` cannot be `{text}`: {why}");
            problems.push(Diagnostic::error("wrong-value", message));
        })
        .ok()
}

/// An instant as its author wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A date, which is its midnight, or a time of a day, in the zone of whatever session it is given to.
    Local(NaiveDateTime),
    /// An instant with its offset.
    Exact(DateTime<Utc>),
}

impl Moment {
    /// The instant, for a session in this zone. A time that the zone's clocks skip is the first one after it.
    pub fn in_zone(self, zone: &str) -> DateTime<Utc> {
        let local = match self {
            Self::Exact(instant) => return instant,
            Self::Local(local) => local,
        };
        let zone: chrono_tz::Tz = zone.parse().unwrap_or(chrono_tz::UTC);
        let hours = (0..=24).map(|hours| local + chrono::Duration::hours(hours));
        let first = hours.filter_map(|local| zone.from_local_datetime(&local).earliest()).next();
        first.map_or_else(|| local.and_utc(), |instant| instant.to_utc())
    }

    /// The same time of day so many days later.
    pub fn after_days(self, days: u64) -> Option<Self> {
        let days = chrono::Days::new(days);
        match self {
            Self::Local(local) => local.checked_add_days(days).map(Self::Local),
            Self::Exact(instant) => instant.checked_add_days(days).map(Self::Exact),
        }
    }
}

/// Reads `2026-11-01`, `2026-11-01T10:00:00`, or the same with an offset.
pub fn instant(text: &str) -> Result<Moment, String> {
    let moment = read_instant(text)?;
    let year = match moment {
        Moment::Local(local) => local.year(),
        Moment::Exact(instant) => instant.year(),
    };
    if (1970..2262).contains(&year) { Ok(moment) } else { Err("the clock stands in the years 1970 to 2261".to_owned()) }
}

fn read_instant(text: &str) -> Result<Moment, String> {
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Ok(Moment::Local(date.and_time(chrono::NaiveTime::MIN)));
    }
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Ok(Moment::Exact(instant.with_timezone(&Utc)));
    }
    let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
    let parsed = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    parsed.map(Moment::Local).ok_or_else(|| "it is not a date such as `2026-11-01` or `2026-11-01T04:00:00`".to_owned())
}

#[cfg(test)]
mod tests;
