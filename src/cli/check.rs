//! `pipe check`: the sanity checks, each with its verdict: data or logic.

use std::collections::{BTreeSet, HashSet};
use std::io::Write;

use clap::{Args, ValueEnum};

use super::loaded::{Loaded, Meaning};
use super::run::{broken, failed, state};
use super::site::{Answering, Marks};
use super::{Globals, Outcome};
use crate::backend::Backend;
use crate::check::question::Purpose;
use crate::check::{self, Compiled, Examination, Examined, Moment, Question, Stale};
use crate::diagnostic::{Diagnostic, has_errors};
use crate::dialect::session::SessionParameters;
use crate::ledger::Ledger;
use crate::name::{Name, TableName};
use crate::plan::decide::{Ask, Choice, Reason, decide};
use crate::plan::{self, Known, Plan, Scope, StepId};
use crate::report::check as report;
use crate::run;
use crate::settings::Flags;

/// Arguments of `pipe check`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pipe check
  pipe check bookmarks celeb_points --show 5
  pipe check --job this_week --format junit > checks.xml

Exit codes: 0 nothing is wrong, or only warnings; 1 a check is not ok; 2 the input is wrong and nothing was checked.")]
pub(super) struct Check {
    /// Checks, by name or as `job.check`; all where none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Only checks that are about this job, or written in it
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    #[command(flatten)]
    meaning: Meaning,
    /// Show so many rows of each check's query
    #[arg(long, value_name = "N", default_value_t = 0)]
    show: usize,
    /// How the checks are told
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// How checks are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Text,
    /// One object with `checks`.
    Json,
    /// A table and what is behind it, for a pull request or a wiki.
    Markdown,
    /// JUnit XML, for a CI server.
    Junit,
}

impl Check {
    pub(super) fn run(self, globals: &Globals) -> Result<Outcome, Outcome> {
        let loaded = Loaded::read(globals, &self.meaning, Flags::default())?;
        let about = match &self.job {
            Some(named) => loaded.wanted(std::slice::from_ref(named))?.into_iter().next(),
            None => None,
        };
        let questions = check::questions(&loaded.jobs, &self.names, about.as_ref())?;
        if questions.is_empty() {
            let message = match &self.job {
                Some(job) => format!("no check is about the job `{job}`"),
                None => "the project has no checks".to_owned(),
            };
            let hint = "checks stand under `checks:` in the files of `pipelines/`";
            return Err(Outcome::Wrong(vec![Diagnostic::error("no-check", message).hint(hint)]));
        }
        let examined = examine(&loaded, &questions, self.show)?;
        let shown = report::Shown {
            checks: &examined.checks,
            parameters: &parameters(&loaded),
            color: globals.color.on_stdout(),
            show: self.show > 0,
        };
        let text = match self.format {
            Format::Text => shown.text(),
            Format::Json => shown.json(),
            Format::Markdown => shown.markdown(),
            Format::Junit => shown.junit(),
        };
        super::print(&text)?;
        annotate(&examined);
        Ok(if examined.checks.iter().any(check::Checked::is_error) { Outcome::Failed } else { Outcome::Done })
    }
}

/// Tells a run on GitHub Actions which lines of the project its checks are about.
fn annotate(examined: &Examined) {
    if std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
        let _ = write!(std::io::stderr().lock(), "{}", report::annotations(&examined.checks));
    }
}

/// The checks about the jobs that have just run, where the jobs ask for that. They are told on standard error. Of other
/// checks, a run that did something is remembered: how their tables look after it.
pub(super) fn after_run(
    globals: &Globals,
    loaded: &Loaded,
    wanted: &[Name],
    idle: bool,
    run: &Plan,
) -> Result<Outcome, Outcome> {
    let all = check::questions(&loaded.jobs, &[], None)?;
    let about = |question: &Question<'_>| wanted.contains(&question.about.name.value);
    let asked = |question: &Question<'_>| loaded.settings.checks_after_run || question.about.checks_after_run;
    let (after, others): (Vec<_>, Vec<_>) = all.into_iter().filter(about).partition(asked);
    if after.is_empty() {
        // On a warehouse that is paid for by use, tables are looked at only where somebody asks for it.
        let remembers = !others.is_empty() && !idle && loaded.local().is_ok();
        return if remembers { profile(loaded, &others, run) } else { Ok(Outcome::Done) };
    }
    let examined = examine(loaded, &after, 0)?;
    let color = globals.color.on_stderr();
    let shown = report::Shown { checks: &examined.checks, parameters: &parameters(loaded), color, show: false };
    if !globals.quiet {
        let _ = write!(std::io::stderr().lock(), "{}", shown.text());
    }
    annotate(&examined);
    Ok(if examined.checks.iter().any(check::Checked::is_error) { Outcome::Failed } else { Outcome::Done })
}

/// Remembers what the tables of checks look like now, unless that is known already.
fn profile(loaded: &Loaded, questions: &[Question<'_>], run: &Plan) -> Result<Outcome, Outcome> {
    let compiled = compile(loaded, questions, Purpose::Profiles, Some(run))?;
    let tables: Vec<TableName> = compiled.scans.iter().map(|scan| scan.table.clone()).collect();
    let (target, mut ledger) = Answering::open(loaded, "check")?;
    let versions = target.marks().versions(&tables).map_err(failed)?;
    let mut known = true;
    for table in &tables {
        let last = ledger.profiles(&table.lower()).map_err(broken)?.into_iter().next();
        let version = versions.get(table).map(String::as_str).unwrap_or_default();
        known &= last.is_some_and(|last| last.version == version && last.clock == loaded.clock);
    }
    if !known {
        let fresh = HashSet::new();
        let examination = examination(loaded, &compiled, target.backend(), &[], &fresh);
        let profiles = super::block_on(examination.remember())?;
        ledger.checked(&profiles, &[]).map_err(broken)?;
    }
    Ok(Outcome::Done)
}

fn examine(loaded: &Loaded, questions: &[Question<'_>], show: usize) -> Result<Examined, Outcome> {
    let compiled = compile(loaded, questions, Purpose::Answers, None)?;
    let (target, mut ledger) = Answering::open(loaded, "check")?;
    let (stale, fresh) = published(loaded, questions, target.marks(), &ledger)?;
    let mut examination = examination(loaded, &compiled, target.backend(), &stale, &fresh);
    examination.show = show;
    let examined = super::block_on(examination.run(&ledger))?.map_err(broken)?;
    target.close()?;
    ledger.checked(&examined.profiles, &examined.records).map_err(broken)?;
    Ok(examined)
}

fn examination<'a>(
    loaded: &'a Loaded,
    compiled: &'a Compiled<'a>,
    backend: &'a dyn Backend,
    stale: &'a [Stale],
    fresh: &'a HashSet<TableName>,
) -> Examination<'a> {
    let moment = Moment { at: run::now(), clock: loaded.clock };
    Examination { compiled, backend, contracts: &loaded.project.contracts, stale, fresh, moment, show: 0 }
}

fn parameters(loaded: &Loaded) -> SessionParameters {
    SessionParameters::of(loaded.dialect().state().config_options()).clone()
}

/// Compiles checks. After a run, the columns of what it published or found published need not be found out again.
fn compile<'a>(
    loaded: &'a Loaded,
    questions: &[Question<'a>],
    purpose: Purpose,
    run: Option<&Plan>,
) -> Result<Compiled<'a>, Outcome> {
    let mut files: Vec<Name> = Vec::new();
    for question in questions {
        files.extend([question.job.name.value.clone(), question.about.name.value.clone()]);
    }
    let problems = loaded.problems(&files);
    if has_errors(&problems) {
        return Err(Outcome::Wrong(problems));
    }
    let dialect = loaded.dialect();
    let mut bind = |jobs: &[crate::job::Job], wanted: &[Name]| -> Result<Plan, Vec<Diagnostic>> {
        let scope = Scope { jobs, sources: &loaded.contracts, templates: &loaded.project.templates };
        let (resolved, mut problems) = plan::resolve(&scope, wanted);
        let (plan, more) = match purpose {
            Purpose::Answers => plan::bind(resolved, &dialect, &loaded.contracts),
            Purpose::Profiles => {
                let steps = resolved.plan.steps.iter().enumerate().filter(|(_, step)| !is_written(loaded, &step.id));
                let steps = steps.map(|(at, _)| at).collect();
                let known = run.map(|run| known(&resolved.plan, run)).unwrap_or_default();
                plan::bind_steps(resolved, &dialect, &loaded.contracts, &steps, &plan::Batches::new(), &known)
            }
        };
        problems.extend(more);
        if has_errors(&problems) { Err(problems) } else { Ok(plan) }
    };
    let contracts = &loaded.project.contracts;
    Ok(check::question::compile(questions, &loaded.jobs, contracts, &loaded.contracts, purpose, &mut bind)?)
}

/// The columns of published tables as a run bound them.
fn known(plan: &Plan, run: &Plan) -> Known {
    let bound = plan.steps.iter().enumerate().filter_map(|(at, step)| {
        let bound = &run.steps[run.position(&step.id)?];
        let known = bound.publish.is_some() && !bound.view && !bound.columns.is_empty();
        known.then(|| (at, bound.columns.clone()))
    });
    bound.collect()
}

/// Whether a step stands in a job's file; the others are the checks'.
fn is_written(loaded: &Loaded, id: &StepId) -> bool {
    loaded.jobs.iter().any(|job| job.name.value == id.job && job.steps.contains_key(&id.step))
}

/// What the jobs of these checks have published: what is older than what it was made from, and what is not.
fn published(
    loaded: &Loaded,
    questions: &[Question<'_>],
    tables: &dyn Marks,
    ledger: &Ledger,
) -> Result<(Vec<Stale>, HashSet<TableName>), Outcome> {
    let jobs: BTreeSet<Name> = questions.iter().map(|question| question.about.name.value.clone()).collect();
    let jobs: Vec<Name> = jobs.into_iter().filter(|name| has_steps(loaded, name)).collect();
    let (resolved, _) = loaded.resolve(&jobs);
    let state = state(loaded, &resolved.plan, resolved.volatile(), tables, ledger)?;
    let ask = Ask { steps: (0..resolved.plan.steps.len()).collect(), ..Ask::default() };
    let choices = decide(&resolved.plan, &ask, &state);
    let runs = ledger.runs(1000).map_err(broken)?;
    let all_published = ledger.all_published().map_err(broken)?;
    let (mut stale, mut fresh) = (Vec::new(), HashSet::new());
    for (step, choice) in resolved.plan.steps.iter().zip(&choices.choices) {
        // What no run has published cannot be out of date; a source of that name may stand in for it.
        let ours = |table: &&TableName| jobs.contains(&step.id.job) && all_published.contains_key(&table.lower());
        let Some(table) = step.publish.as_ref().filter(ours) else { continue };
        let reason = match choice {
            Choice::Unchanged | Choice::Run(Reason::Volatile) => {
                fresh.insert(table.clone());
                continue;
            }
            Choice::Run(Reason::ChangedInputs(names)) => format!("{} changed since it was published", names.join(", ")),
            Choice::Run(Reason::ChangedSql) => {
                let run = all_published.get(&table.lower()).map(|published| published.run.as_str());
                let clock = runs.iter().find(|summary| Some(summary.record.id.as_str()) == run);
                match clock.map(|summary| summary.record.clock) {
                    Some(made_for) if made_for.date_naive() > loaded.clock.date_naive() => continue,
                    Some(made_for) if made_for.date_naive() < loaded.clock.date_naive() => {
                        format!("it was published as of {}", made_for.date_naive())
                    }
                    _ => "the job changed since it was published".to_owned(),
                }
            }
            Choice::Run(Reason::ChangedOutside) => "something else changed it".to_owned(),
            _ => continue,
        };
        stale.push(Stale { table: table.clone(), reason });
    }
    Ok((stale, fresh))
}

fn has_steps(loaded: &Loaded, name: &Name) -> bool {
    loaded.jobs.iter().any(|job| job.name.value == *name && !job.steps.is_empty())
}
