//! `pipe run`: jobs from YAML to published tables.

/// Tables that grow: which intervals are built, and what stands against it.
pub(super) mod growth;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::catalogue::sources_of;
use super::loaded::{Loaded, Meaning};
use super::site::{Marks, Site};
use super::{Globals, Outcome};
use crate::backend::datafusion::source::Source;
use crate::backend::datafusion::{Embedded, Limits, LocalTables};
use crate::backend::{Backend, BackendError, Keep, Remedy};
use crate::diagnostic::{Diagnostic, has_errors};
use crate::ledger::{Ledger, LedgerError, RunRecord, Status};
use crate::name::{Name, TableName};
use crate::plan::decide::{Ask, Choice, Choices, Reason, State, decide};
use crate::plan::interval::Window;
use crate::plan::{Origin, Plan};
use crate::report::{Reporter, Style, log, reporter};
use crate::run::{self, Decision, Event, Run as Execution, RunResults, keeps, run_id};
use crate::settings::{Flags, Moment, instant};
use crate::source::Location;
use crate::transfer::{Connections, Transfers};

/// Taking up an earlier run.
mod resume;

/// What a run is decided from.
mod state;

use state::known;
pub(super) use state::{asked, state};

/// Arguments of `pipe run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pipe run pipelines/this_week.yaml
  pipe run this_week --select +candidates,tag:daily
  pipe run --all --date 2026-11-01
  pipe run this_week --from 2026-10-01 --to 2026-10-31
  pipe run fact_audience --missing

`--from` and `--to` build what belongs to these days: the intervals of a job that is built by intervals, done or not, in one
run; of another job what it gives on each day, in a run for each with the clock at that day.

`--resume` computes again only what the last run did not finish, and what has changed since.

Exit codes: 0 done, 1 a step or test failed, 2 the input is wrong and nothing was run, 130 interrupted.")]
pub(super) struct Run {
    /// Jobs, by file or name
    #[arg(value_name = "JOB", required_unless_present = "all")]
    jobs: Vec<String>,
    /// Run all jobs of the project, in the order in which they read each other's tables
    #[arg(long, conflicts_with = "jobs")]
    all: bool,
    #[command(flatten)]
    meaning: Meaning,
    /// Only these steps: `a`, `+a` with what it reads, `a+` with what reads it, `tag:x`, `changed`, `failed`
    #[arg(short, long, value_name = "STEPS")]
    select: Option<String>,
    /// Run every step, changed or not, and build tables that grow from nothing
    #[arg(long)]
    full_refresh: bool,
    /// Keep the rows of tables that grow though their SQL has changed: it counts from now on
    #[arg(long, conflicts_with = "full_refresh")]
    forward_only: bool,
    /// Build the intervals that no run has built, wherever they are
    #[arg(long, conflicts_with_all = ["from", "full_refresh"])]
    missing: bool,
    /// Say what would run and why, and run nothing
    #[arg(long)]
    dry_run: bool,
    /// Run what failed or was not reached last time, as of the same instant
    #[arg(long, conflicts_with_all = ["select", "date", "from", "full_refresh"])]
    resume: bool,
    /// Keep the results of internal steps as tables `<job>.<step>`
    #[arg(long)]
    keep: bool,
    /// Build what belongs to the days from this one to --to
    #[arg(long, value_name = "DATE", value_parser = instant, requires = "to")]
    from: Option<Moment>,
    /// The last day of --from
    #[arg(long, value_name = "DATE", value_parser = instant, requires = "from")]
    to: Option<Moment>,
    /// Steps at once
    #[arg(short = 'j', long = "jobs", alias = "jobs-at-once", value_name = "N", value_parser = at_least_one)]
    jobs_at_once: Option<usize>,
    /// Threads for computing; the default is all of the machine
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    threads: Option<usize>,
    /// Memory that the run may use, such as `8GB` or `70%`
    #[arg(long, value_name = "AMOUNT")]
    memory_limit: Option<String>,
    /// Fail a step whose result has more rows
    #[arg(long, value_name = "N")]
    max_rows: Option<u64>,
    /// How the run is told
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// A run to be made: of which jobs, from what, and which run it takes up.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    globals: &'a Globals,
    loaded: &'a Loaded,
    wanted: &'a [Name],
    last: Option<&'a RunRecord>,
    window: Window,
}

/// What a run is to do, and the tables and the history that say so.
struct Decided {
    plan: Plan,
    choices: Choices,
    warnings: Vec<Diagnostic>,
    tables: Site,
    ledger: Ledger,
    state: State,
    record: RunRecord,
}

/// How long a run waits for another that publishes the same tables.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// How a run is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people, on standard error.
    #[default]
    Text,
    /// One JSON object per event, on standard output; with --dry-run the plan as one object.
    Json,
}

/// A number of things that work at once.
fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => {
            Err("with none at once nothing would ever run; leave it out for as many as the machine has".to_owned())
        }
        Ok(number) => Ok(number),
        Err(_) => Err("it is not a whole number above 0".to_owned()),
    }
}

impl Run {
    pub(super) fn run(self, globals: &Globals) -> Result<Outcome, Outcome> {
        let flags = Flags { jobs: self.jobs_at_once, memory_limit: self.memory_limit.clone(), ..Flags::default() };
        let mut loaded = Loaded::read(globals, &self.meaning, flags)?;
        let wanted = loaded.wanted(if self.all { &[] } else { &self.jobs })?;
        let last = if self.resume { Some(resume::last_run(&loaded, &wanted)?) } else { None };
        if let Some(last) = &last {
            loaded = loaded.on(last.clock);
        }
        let window = growth::window(&loaded, &wanted, &self)?;
        let (Some(from), Some(to), None) = (self.from, self.to, window) else {
            let window = window.unwrap_or_default();
            return self.once(&Attempt { globals, loaded: &loaded, wanted: &wanted, last: last.as_ref(), window });
        };
        let zone = loaded.settings.timezone.clone();
        let to = to.in_zone(&zone);
        if to < from.in_zone(&zone) {
            return Err(Outcome::Wrong(vec![Diagnostic::error("wrong-value", "--to is before --from")]));
        }
        let days = (0..).map_while(|days| from.after_days(days)).map(|day| day.in_zone(&zone));
        for day in days.take_while(|day| *day <= to) {
            loaded = loaded.on(day);
            let attempt = Attempt { globals, loaded: &loaded, wanted: &wanted, last: None, window: Window::Next };
            match self.once(&attempt)? {
                Outcome::Done => {}
                other => return Ok(other),
            }
        }
        Ok(Outcome::Done)
    }

    /// One run. While another run publishes the same tables it waits, and then decides anew: what the other has computed is not
    /// computed again.
    fn once(&self, attempt: &Attempt<'_>) -> Result<Outcome, Outcome> {
        let begun = Instant::now();
        let mut waits = false;
        loop {
            match self.unless_busy(attempt)? {
                Ok(outcome) => return Ok(outcome),
                Err(busy) if begun.elapsed() > PATIENCE => return Err(failed(busy)),
                Err(busy) if !waits => tracing::warn!(%busy, "waiting for another run"),
                Err(_) => {}
            }
            waits = true;
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The same; an error within where another run has the tables, or has just changed them.
    fn unless_busy(&self, attempt: &Attempt<'_>) -> Result<Result<Outcome, BackendError>, Outcome> {
        let Attempt { globals, loaded, wanted, last, window: _ } = *attempt;
        let decided = self.decided(attempt)?;
        let mut reporter = self.reporter(globals);
        if self.dry_run {
            reporter.diagnostics(&decided.warnings);
            return self.told(loaded, &decided).map(Ok);
        }
        let Decided { plan, choices, warnings, tables, mut ledger, state, record } = decided;
        let (adopted, transfers) = (resume::adopted(&choices), transfers(loaded, &tables));
        let read = read_by(&plan, &choices);
        let decisions = decisions(&plan, choices, self.keep);
        let (backend, local): (Arc<dyn Backend>, _) = match tables {
            Site::Local(tables) => {
                let backend = self.embedded(loaded, *tables, &read, &record)?;
                if let Err(busy) = growth::reserve(&backend, &plan, &written(&decisions), &state) {
                    return if busy.remedy == Remedy::Retry { Ok(Err(busy)) } else { Err(failed(busy)) };
                }
                growth::restore(&mut ledger, backend.tables(), &plan)?;
                resume::adopt(&backend, &plan, &adopted)?;
                let backend = Arc::new(backend);
                (backend.clone(), Some(backend))
            }
            Site::Snowflake(remote) => (remote.ready(&plan, &adopted, &ledger)?, None),
        };
        reporter.diagnostics(&warnings);
        let (plan, jobs) = (Arc::new(plan), loaded.settings.jobs);
        let work =
            Work { plan: Arc::clone(&plan), decisions, backend, transfers, record, jobs, max_rows: self.max_rows };
        let results = execute(work, &mut ledger, &mut *reporter)?;
        if let (Some(last), Some(local)) = (last.filter(|_| results.run.status == Status::Success), &local) {
            local.forget(&last.id);
        }
        drop((local, ledger));
        match outcome(&results) {
            Outcome::Done => {
                let idle = results.steps.iter().all(|step| step.attempts == 0);
                super::check::after_run(globals, loaded, wanted, idle, &plan).map(Ok)
            }
            other => Ok(Ok(other)),
        }
    }

    /// The jobs resolved, what of them runs by what the tables and their history say, and that bound. Whatever is wrong ends it.
    fn decided(&self, attempt: &Attempt<'_>) -> Result<Decided, Outcome> {
        let Attempt { globals, loaded, wanted, last, window } = *attempt;
        let (resolved, mut problems) = loaded.resolve(wanted);
        if has_errors(&problems) {
            return Err(loaded.bind(resolved, problems).err().unwrap_or(Outcome::Failed));
        }
        let selection = last.map_or(self.select.as_deref(), |last| last.select.as_deref());
        let record = self.record(loaded, wanted, selection);
        let tables = Site::open(loaded, &record.id)?;
        let ledger = tables.ledger(loaded)?;
        if self.resume && !self.dry_run {
            ledger.close_elsewhere().map_err(broken)?;
        }
        let mut state = state(loaded, &resolved.plan, resolved.volatile(), &tables, &ledger)?;
        if let Some(last) = last {
            state.finished = resume::finished(&resolved.plan, last, &tables, &ledger)?;
        }
        let asked = asked(&resolved.plan, wanted, selection, self.full_refresh, &state)?;
        let asked = Ask { unfinished: last.is_some(), window, forward_only: self.forward_only, ..asked };
        let mut choices = decide(&resolved.plan, &asked, &state);
        if let Site::Snowflake(remote) = &tables {
            let read = sources_of(loaded, &resolved.plan);
            problems.extend(remote.compile_against(loaded, &read, Duration::ZERO)?);
        }
        let runs = choices.choices.iter().enumerate().filter(|(_, choice)| matches!(choice, Choice::Run(_)));
        let runs = runs.map(|(at, _)| at).collect();
        let known = known(&resolved.plan, &runs, &tables)?;
        let (plan, warnings) = loaded.bind_steps(resolved, problems, &runs, &choices.batches, &known)?;
        let mut wrong = std::mem::take(&mut choices.problems);
        if wrong.is_empty() {
            wrong = growth::outdated(&plan, &choices, &tables)?;
        }
        if !wrong.is_empty() {
            self.reporter(globals).diagnostics(&warnings);
            return Err(Outcome::Wrong(wrong));
        }
        Ok(Decided { plan, choices, warnings, tables, ledger, state, record })
    }

    /// What would run and why, on standard output.
    fn told(&self, loaded: &Loaded, decided: &Decided) -> Result<Outcome, Outcome> {
        let Decided { plan, choices, .. } = decided;
        let told = match self.format {
            Format::Text => super::plan::text(loaded, plan, choices),
            Format::Json => format!("{}\n", super::plan::value(loaded, plan, choices, &[])),
        };
        super::print(&told)?;
        Ok(Outcome::Done)
    }

    /// Who tells what happens. Where nothing does, the plan is all that goes to standard output.
    fn reporter(&self, globals: &Globals) -> Box<dyn Reporter> {
        reporter(match self.format {
            Format::Json if !self.dry_run => Style::Json,
            Format::Json | Format::Text => {
                Style::Text { quiet: globals.quiet, verbose: globals.verbose, color: globals.color.on_stderr() }
            }
        })
    }

    /// The engine on this machine, once the sources that are read are in order.
    fn embedded(
        &self,
        loaded: &Loaded,
        tables: LocalTables,
        read: &[TableName],
        record: &RunRecord,
    ) -> Result<Embedded, Outcome> {
        let unreadable = tables.check(read, &loaded.settings.timezone);
        if !unreadable.is_empty() {
            let wrong = |error: BackendError| Diagnostic::error("unreadable-source", error.message);
            return Err(Outcome::Wrong(unreadable.into_iter().map(wrong).collect()));
        }
        let limits = Limits {
            memory: usize::try_from(loaded.settings.memory_limit).unwrap_or(usize::MAX),
            threads: self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from)),
            spill: loaded.home().join("spill").join(std::process::id().to_string()),
        };
        Ok(Embedded::new(tables, &loaded.dialect(), limits).map_err(failed)?.for_run(&record.id))
    }

    fn record(&self, loaded: &Loaded, wanted: &[Name], selection: Option<&str>) -> RunRecord {
        let started = run::now();
        RunRecord {
            id: run_id(started, std::process::id()),
            started,
            finished: None,
            status: Status::Running,
            jobs: wanted.iter().map(Name::lower).collect(),
            target: loaded.settings.target.name.clone(),
            clock: loaded.clock,
            select: selection.map(str::to_owned),
            process: std::process::id(),
        }
    }
}

fn outcome(results: &RunResults) -> Outcome {
    match results.run.status {
        Status::Success => Outcome::Done,
        Status::Cancelled => Outcome::Interrupted,
        _ => Outcome::Failed,
    }
}

/// What a run carries out.
struct Work {
    plan: Arc<Plan>,
    decisions: Vec<Decision>,
    backend: Arc<dyn Backend>,
    transfers: Arc<Transfers>,
    record: RunRecord,
    jobs: usize,
    max_rows: Option<u64>,
}

fn execute(work: Work, ledger: &mut Ledger, reporter: &mut dyn Reporter) -> Result<RunResults, Outcome> {
    let cancel = CancellationToken::new();
    let mut tell = |event: &Event| {
        log::event(event);
        reporter.event(event);
    };
    let execution = Execution {
        plan: work.plan,
        decisions: work.decisions,
        backend: work.backend,
        transfers: work.transfers,
        ledger,
        record: work.record,
        jobs: work.jobs,
        max_rows: work.max_rows,
        cancel: cancel.clone(),
        tell: &mut tell,
    };
    leave_at_second_interrupt()?;
    super::block_on(async {
        // A task of the run, so that those whom it wakes come before those who are busy.
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                cancel.cancel();
            }
        });
        execution.execute().await
    })?
    .map_err(broken)
}

/// Ends the program when it is interrupted again. It waits on a thread of its own: those of a run may all be busy.
fn leave_at_second_interrupt() -> std::io::Result<()> {
    let signals = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        signals.block_on(async {
            if tokio::signal::ctrl_c().await.is_ok() && tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(i32::from(super::exit::INTERRUPTED));
            }
        });
    });
    Ok(())
}

pub(super) fn broken(error: LedgerError) -> Outcome {
    Outcome::Broken(error.to_string())
}

pub(super) fn failed(error: BackendError) -> Outcome {
    Outcome::Broken(error.to_string())
}

/// The sources that have rows on this target.
pub(super) fn sources(loaded: &Loaded) -> HashMap<TableName, Source> {
    let Ok(local) = loaded.local() else { return HashMap::new() };
    let source = |(name, columns): (&TableName, &Vec<crate::dialect::Column>)| {
        let location =
            local.location(name).unwrap_or_else(|| Location::new(local.expected(name), crate::source::Format::Csv));
        let order = columns.iter().map(|column| column.name.as_str().to_owned()).collect();
        (name.clone(), Source { columns: columns.clone(), location: Location { order, ..location } })
    };
    loaded.contracts.iter().map(source).collect()
}

/// The databases that exports of this target go to.
fn connections(loaded: &Loaded) -> Connections {
    let logins = loaded.settings.connections.iter();
    let logins = logins.map(|(name, connection)| (name.clone(), connection.login(&loaded.settings.root))).collect();
    Connections { logins, vault: loaded.vault.clone() }
}

/// What loads and exports on this target.
pub(super) fn transfers(loaded: &Loaded, tables: &dyn Marks) -> Arc<Transfers> {
    let (root, home) = (loaded.settings.root.clone(), loaded.home());
    Arc::new(Transfers::new(tables.stores().clone(), root, &home, connections(loaded)))
}

/// The tables that what runs reads from outside the run.
fn read_by(plan: &Plan, choices: &Choices) -> Vec<TableName> {
    let mut names = BTreeSet::new();
    for (step, _) in plan.steps.iter().zip(&choices.choices).filter(|(_, choice)| matches!(choice, Choice::Run(_))) {
        let tested = step.tests.iter().flat_map(|test| &test.inputs);
        for input in step.inputs.iter().chain(tested) {
            if let Origin::Table(name) = &input.origin {
                names.insert(name.clone());
            }
        }
    }
    names.into_iter().collect()
}

/// What the scheduler does with each step. A view that is only read is taken over by its readers, not published again.
fn decisions(plan: &Plan, choices: Choices, keep_all: bool) -> Vec<Decision> {
    let keeps = keeps(plan, keep_all);
    let mut histories = choices.histories;
    let fingerprints = choices.fingerprints.into_iter();
    let chosen = choices.choices.into_iter().zip(fingerprints).zip(keeps).enumerate();
    chosen
        .map(|(at, ((choice, fingerprint), keep))| match choice {
            Choice::Run(reason) => {
                let keep = match (keep, &reason) {
                    (Keep::View(_), Reason::ReadBy(_)) => Keep::Inline,
                    (keep, _) => keep,
                };
                let history = histories.remove(&at).unwrap_or_default();
                Decision::Run { reason: reason.to_string(), keep, fingerprint, history }
            }
            Choice::Unchanged => Decision::Skip { reason: "unchanged".to_owned() },
            Choice::Unneeded | Choice::Leave => Decision::Leave,
        })
        .collect()
}

/// The tables that a run writes.
fn written(decisions: &[Decision]) -> Vec<TableName> {
    let table = |decision: &Decision| match decision {
        Decision::Run { keep: Keep::Table(name) | Keep::View(name), .. } => Some(name.clone()),
        _ => None,
    };
    decisions.iter().filter_map(table).collect()
}
