//! The command line: arguments → a command → an exit code. Each command is one file of `cli/`; this one holds what they share
//! and does nothing of its own.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::diagnostic::Diagnostic;
use crate::report::snippet;

mod catalogue;
mod check;
mod clean;
mod completions;
mod diff;
mod doctor;
mod due;
mod graph;
mod init;
mod lineage;
mod loaded;
mod new;
mod plan;
mod render;
mod rollback;
mod run;
mod runs;
mod schema;
mod site;
mod test;
mod validate;
mod why;

mod sql;

/// Exit codes, as the README documents them.
pub mod exit {
    /// Everything was done.
    pub const DONE: u8 = 0;
    /// A step, test or check failed, or a statement did.
    pub const FAILED: u8 = 1;
    /// The input is wrong; nothing was run.
    pub const WRONG_INPUT: u8 = 2;
    /// Ctrl-C.
    pub const INTERRUPTED: u8 = 130;
}

/// How a command ended.
#[derive(Debug)]
pub enum Outcome {
    /// Everything was done.
    Done,
    /// A step, test or check failed; it has been shown already.
    Failed,
    /// Something that is not the author's text went wrong: shown as `error: …`.
    Broken(String),
    /// What is wrong with the author's text.
    Wrong(Vec<Diagnostic>),
    /// Ctrl-C.
    Interrupted,
}

impl Outcome {
    fn code(&self) -> u8 {
        match self {
            Self::Done => exit::DONE,
            Self::Failed | Self::Broken(_) => exit::FAILED,
            Self::Wrong(_) => exit::WRONG_INPUT,
            Self::Interrupted => exit::INTERRUPTED,
        }
    }
}

impl From<Vec<Diagnostic>> for Outcome {
    fn from(diagnostics: Vec<Diagnostic>) -> Self {
        Self::Wrong(diagnostics)
    }
}

impl From<io::Error> for Outcome {
    fn from(error: io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Declarative SQL pipelines: one YAML file and a few Snowflake SQL files, compiled before any data is touched.
#[derive(Debug, Parser)]
#[command(name = "pipe", version, about, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Globals {
    /// The project's folder; the default is the nearest one above that has a `pipe.yaml`
    #[arg(short = 'C', long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub(crate) project_dir: Option<PathBuf>,
    /// The target to work on, as `pipe.yaml` names it
    #[arg(long, global = true, value_name = "NAME", env = "PIPE_TARGET", help_heading = "Global options")]
    pub(crate) target: Option<String>,
    /// Tell more on standard error (twice: everything)
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Global options")]
    pub(crate) verbose: u8,
    /// Tell only what is wrong
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Global options")]
    pub(crate) quiet: bool,
    /// How log lines look
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = "Global options")]
    pub(crate) log_format: LogFormat,
    /// Where log lines go; the default is standard error
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub(crate) log_file: Option<PathBuf>,
    /// Whether to colour what is shown
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN", help_heading = "Global options")]
    pub(crate) color: Color,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Whether to colour what is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether what goes to standard error is coloured.
    pub(crate) fn on_stderr(self) -> bool {
        self.enabled(io::stderr().is_terminal())
    }

    /// Whether what goes to standard output is coloured.
    pub(crate) fn on_stdout(self) -> bool {
        self.enabled(io::stdout().is_terminal())
    }

    fn enabled(self, terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run jobs: what changed is built aside, tested, and published all at once
    Run(run::Run),
    /// Carry out sanity checks: is the data at fault, or the job's logic?
    Check(check::Check),
    /// Trace one row of a step back to the source rows it came of
    Why(why::Why),
    /// Say which rows, columns and places of lists a change changes
    Diff(diff::Diff),
    /// Say what a run would do, in order, and why
    Plan(plan::PlanArgs),
    /// Find everything that is wrong with jobs without looking at data
    Validate(validate::Validate),
    /// Run the unit tests of jobs, in memory on the rows that they give
    Test(test::Test),
    /// Show the SQL of a step as the backend gets it
    Render(render::Render),
    /// Draw which step reads which
    Graph(graph::Graph),
    /// Show which columns each column is computed from
    Lineage(lineage::Lineage),
    /// List the jobs whose schedule has come
    Due(due::Due),
    /// List past runs, or show one whole
    Runs(runs::Runs),
    /// Publish tables again as an earlier run left them
    Rollback(rollback::Rollback),
    /// Remove what is not kept any more
    Clean(clean::Clean),
    /// Run Snowflake SQL on the target, or on an empty in-memory warehouse
    Sql(sql::Sql),
    /// Make a new project, with a small job that runs at once
    Init(init::Init),
    /// Add a job to the project
    New(new::New),
    /// Look whether project, target and sources are in order
    Doctor(doctor::Doctor),
    /// Write the JSON Schemas of the project's files, for editors
    Schema(schema::Schema),
    /// Print what a shell needs to complete commands
    Completions(completions::Completions),
}

impl Command {
    fn run(self, globals: &Globals) -> Result<Outcome, Outcome> {
        match self {
            Self::Run(command) => command.run(globals),
            Self::Check(command) => command.run(globals),
            Self::Why(command) => command.run(globals),
            Self::Diff(command) => command.run(globals),
            Self::Plan(command) => command.run(globals),
            Self::Validate(command) => command.run(globals),
            Self::Test(command) => command.run(globals),
            Self::Render(command) => command.run(globals),
            Self::Graph(command) => command.run(globals),
            Self::Lineage(command) => command.run(globals),
            Self::Due(command) => command.run(globals),
            Self::Runs(command) => command.run(globals),
            Self::Rollback(command) => command.run(globals),
            Self::Clean(command) => command.run(globals),
            Self::Sql(command) => command.run(globals),
            Self::Init(command) => command.run(),
            Self::New(command) => command.run(globals),
            Self::Doctor(command) => command.run(globals),
            Self::Schema(command) => command.run(globals),
            Self::Completions(command) => command.run(),
        }
    }
}

/// Stack of the thread that commands run on: deep but bounded SQL recurses in the parser and the planner.
const STACK: usize = 256 << 20;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let worker = std::thread::Builder::new().name("main".to_string()).stack_size(STACK).spawn(move || run(arguments));
    match worker.map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => ExitCode::from(code),
        _ => ExitCode::from(exit::FAILED),
    }
}

fn run(arguments: Vec<OsString>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { exit::WRONG_INPUT } else { exit::DONE };
            return if error.print().is_ok() { code } else { exit::FAILED };
        }
    };
    let outcome = match start_log(&cli.globals) {
        Ok(()) => cli.command.run(&cli.globals).unwrap_or_else(|outcome| outcome),
        Err(error) => Outcome::from(error),
    };
    show(&outcome, &cli.globals);
    outcome.code()
}

fn start_log(globals: &Globals) -> io::Result<()> {
    let level = match (globals.quiet, globals.verbose) {
        (_, 0) if globals.log_file.is_some() => "pipe=debug,warn",
        (true, _) => "error",
        (false, 0) => "warn,aws_runtime=error,aws_config=error",
        (false, 1) => "pipe=info,warn",
        (false, 2) => "pipe=debug,warn",
        // What talks to servers says at this level what it sends and gets, secrets among it.
        (false, _) => "pipe=trace,datafusion=trace,info",
    };
    let log = tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::new(level));
    let started = match &globals.log_file {
        Some(path) => {
            let file = std::fs::File::options().create(true).append(true).open(path).map_err(|error| {
                io::Error::other(format!("cannot write `{}`: {}", path.display(), crate::store::why(&error)))
            })?;
            let log = log.with_ansi(false).with_writer(file);
            if globals.log_format == LogFormat::Json { log.json().try_init() } else { log.try_init() }
        }
        None => {
            let log = log.with_ansi(globals.color.on_stderr()).with_writer(io::stderr);
            if globals.log_format == LogFormat::Json { log.json().try_init() } else { log.try_init() }
        }
    };
    started.map_err(io::Error::other)
}

/// Says on standard error how the command ended. Where standard error is closed there is nobody to tell.
fn show(outcome: &Outcome, globals: &Globals) {
    let mut stderr = io::stderr().lock();
    let _ = match outcome {
        Outcome::Done | Outcome::Failed => Ok(()),
        Outcome::Broken(message) => writeln!(stderr, "error: {message}"),
        Outcome::Interrupted => writeln!(stderr, "interrupted"),
        Outcome::Wrong(diagnostics) => {
            write!(stderr, "{}", snippet::render(diagnostics, globals.color.on_stderr()))
        }
    };
}

/// Runs a future on the one runtime of this process, whose threads have room for the planner's recursion: connections live
/// from one future to the next. One thread more than there are cores keeps the clock while all others compute. Work that
/// was given up, such as a kernel that was computing when the run was stopped, ends with the process.
fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let runtime = match RUNTIME.get() {
        Some(runtime) => runtime,
        None => {
            let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            let threads = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(cores + 1)
                .enable_all()
                .thread_stack_size(16 << 20)
                .build()?;
            RUNTIME.get_or_init(|| threads)
        }
    };
    Ok(runtime.block_on(future))
}

/// Writes data to standard output; a reader that went away is no error.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
