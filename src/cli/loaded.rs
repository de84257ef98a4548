//! What commands on jobs start from: settings and project read, jobs expanded, names resolved, steps bound. It runs nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use chrono::{DateTime, Utc};
use clap::Args;

use super::{Globals, Outcome};
use crate::diagnostic::{Diagnostic, has_errors};
use crate::dialect::session::SessionParameters;
use crate::dialect::{Column, Dialect};
use crate::job::Job;
use crate::job::export::Destination;
use crate::name::{Name, nearest};
use crate::plan::{self, Batches, Contracts, Known, Plan, Resolved, Scope, StepId};
use crate::project::Project;
use crate::secret::env::EnvironmentSecrets;
use crate::secret::ssm::ParameterStore;
use crate::secret::{Secrets, Vault};
use crate::settings::{BackendSettings, Environment, Flags, Local, Moment, SecretsProvider, Settings, instant};

/// Values for variables.
mod given;

/// Files and folders.
mod places;

/// What changes a job's meaning from the command line.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Meaning {
    /// The instant that CURRENT_DATE and every other clock function gives: a date or `2026-11-01T10:00:00`, in the session's time zone
    #[arg(long, value_name = "DATE", value_parser = instant)]
    pub(super) date: Option<Moment>,
    /// Give a variable of the job another value; may be repeated
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub(super) variables: Vec<String>,
}

/// Settings and project, read, with the jobs as a run has them.
pub(super) struct Loaded {
    pub(super) settings: Settings,
    pub(super) project: Project,
    pub(super) jobs: Vec<Job>,
    pub(super) contracts: Contracts,
    pub(super) clock: DateTime<Utc>,
    /// The names of the variables that the command line gives values.
    given: Vec<String>,
    /// The secrets of this command.
    pub(super) vault: Arc<Vault>,
    /// The columns of sources as the target has them, once they were looked at.
    live: OnceLock<Contracts>,
    problems: Vec<Diagnostic>,
}

impl Loaded {
    /// Reads the project that the flags mean.
    pub(super) fn read(globals: &Globals, meaning: &Meaning, flags: Flags) -> Result<Self, Outcome> {
        let flags = Flags {
            project_dir: globals.project_dir.clone(),
            target: globals.target.clone(),
            date: meaning.date,
            variables: meaning.variables.clone(),
            ..flags
        };
        let started = Instant::now();
        let settings = Settings::load(&flags, &Environment::read())?;
        let (project, problems) = Project::load(&settings.root);
        let given = meaning.variables.iter().filter_map(|given| given.split_once('='));
        let mut loaded = Self {
            given: given.map(|(name, _)| name.trim().to_owned()).collect(),
            clock: settings.date.unwrap_or_else(crate::run::now),
            contracts: contracts(&project),
            jobs: Vec::new(),
            vault: Arc::new(Vault::new(secrets(&settings))),
            live: OnceLock::new(),
            settings,
            project,
            problems,
        };
        loaded.expand();
        let (target, jobs) = (&loaded.settings.target.name, loaded.jobs.len());
        tracing::info!(%target, jobs, ms = elapsed(started), "project read");
        Ok(loaded)
    }

    /// The same project on another day.
    pub(super) fn on(mut self, clock: DateTime<Utc>) -> Self {
        self.clock = clock;
        self.problems.clear();
        self.expand();
        self
    }

    fn expand(&mut self) {
        let facts = self.settings.facts(self.clock);
        let (jobs, more) = self.project.expanded(&self.settings.variables, &facts);
        self.jobs = jobs.into_values().collect();
        self.problems.extend(more);
    }

    /// The embedded target's folders, for a command that works on nothing else.
    pub(super) fn local(&self) -> Result<&Local, Outcome> {
        match &self.settings.target.backend {
            BackendSettings::DataFusion(local) => Ok(local),
            BackendSettings::Snowflake(_) => Err(self.is_elsewhere()),
        }
    }

    /// What a command says on a target that it does not work on.
    pub(super) fn is_elsewhere(&self) -> Outcome {
        let target = &self.settings.target.name;
        Outcome::Broken(format!("target `{target}` is on Snowflake, where this command does not work yet"))
    }

    /// The folder of what this machine keeps about the target.
    pub(super) fn home(&self) -> PathBuf {
        match &self.settings.target.backend {
            BackendSettings::DataFusion(local) => local.state.clone(),
            BackendSettings::Snowflake(_) => self.settings.root.join(".pipe").join(&self.settings.target.name),
        }
    }

    /// The names of the jobs that a command names; all where it names none.
    pub(super) fn wanted(&self, named: &[String]) -> Result<Vec<Name>, Outcome> {
        let mut wanted: Vec<Name> = Vec::new();
        if named.is_empty() {
            wanted.extend(self.jobs.iter().map(|job| job.name.value.clone()));
        }
        let mut unknown = Vec::new();
        for named in named {
            match self.project.job(named) {
                Ok(job) if wanted.contains(&job.name.value) => {}
                Ok(job) => wanted.push(job.name.value.clone()),
                Err(problem) => unknown.push(problem),
            }
        }
        if unknown.is_empty() {
            let unknown = given::problems(self, &wanted);
            return if unknown.is_empty() { Ok(wanted) } else { Err(Outcome::Wrong(unknown)) };
        }
        // Of a file that could not be read, what is wrong with it says more than that there is no such job.
        let told: Vec<Diagnostic> =
            self.problems.iter().filter(|problem| in_named_file(problem, named)).cloned().collect();
        let unread = |name: &String| {
            told.iter().any(|problem| problem.span.is_some() && in_named_file(problem, std::slice::from_ref(name)))
        };
        if has_errors(&told) && named.iter().all(|name| unread(name) || self.project.job(name).is_ok()) {
            return Err(Outcome::Wrong(told));
        }
        unknown.extend(told);
        Err(Outcome::Wrong(unknown))
    }

    /// The problems found so far that concern these jobs: those of other jobs' files are theirs.
    pub(super) fn problems(&self, wanted: &[Name]) -> Vec<Diagnostic> {
        let others: Vec<&Path> = self
            .project
            .files
            .under("pipelines/")
            .map(|file| file.path())
            .filter(|path| !self.jobs.iter().any(|job| wanted.contains(&job.name.value) && job.file.path() == *path))
            .collect();
        let all = wanted.len() == self.jobs.len();
        let concerns =
            |problem: &&Diagnostic| all || problem.span.as_ref().is_none_or(|span| !others.contains(&span.file.path()));
        self.problems.iter().filter(concerns).cloned().collect()
    }

    /// From now on these columns of sources count, as the target has them.
    pub(super) fn compile_against(&self, live: Contracts) {
        // Once looked at, they stay as they were found for the whole command.
        let _ = self.live.set(live);
    }

    /// The columns of sources: as the target has them where that is known, else as their contracts say.
    pub(super) fn columns(&self) -> &Contracts {
        self.live.get().unwrap_or(&self.contracts)
    }

    /// The dialect under this project's clock and time zone.
    pub(super) fn dialect(&self) -> Dialect {
        let now = self.clock.timestamp_nanos_opt().and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or_default();
        Dialect::new(SessionParameters {
            timezone: self.settings.timezone.clone(),
            now,
            ..SessionParameters::default()
        })
    }

    /// The named jobs with their names resolved, and all problems so far.
    pub(super) fn resolve(&self, wanted: &[Name]) -> (Resolved<'_>, Vec<Diagnostic>) {
        let scope = Scope { jobs: &self.jobs, sources: &self.contracts, templates: &self.project.templates };
        let started = Instant::now();
        let (resolved, more) = plan::resolve(&scope, wanted);
        tracing::info!(steps = resolved.plan.steps.len(), ms = elapsed(started), "names resolved");
        let mut problems = self.problems(wanted);
        problems.extend(more);
        problems.extend(self.unknown_connections(&resolved.plan));
        problems.extend(places::problems(self, &resolved.plan));
        (resolved, problems)
    }

    /// Exports to databases that `pipe.yaml` does not name.
    fn unknown_connections(&self, plan: &Plan) -> Vec<Diagnostic> {
        let known = &self.settings.connections;
        let mut problems = Vec::new();
        for export in plan.steps.iter().filter_map(|step| step.export.as_ref()) {
            let Destination::Postgres(to) = &export.to else { continue };
            let name = &to.connection;
            if known.contains_key(&name.value) {
                continue;
            }
            let target = &self.settings.target.name;
            let message = format!("`pipe.yaml` has no connection `{}` for the target `{target}`", name.value);
            let problem = Diagnostic::error("unknown-connection", message).at(name.span.clone());
            let near = nearest(&name.value, known.keys());
            problems.push(match near {
                Some(_) => problem.did_you_mean(near),
                None => problem.hint("add it under `connections:`, with host, database, user and password"),
            });
        }
        problems
    }

    /// The named jobs bound, or everything that is wrong with them.
    pub(super) fn bound(&self, wanted: &[Name]) -> Result<(Plan, Vec<Diagnostic>), Outcome> {
        let (resolved, problems) = self.resolve(wanted);
        self.bind(resolved, problems)
    }

    /// Binds these steps and what they read; the warnings, or everything that is wrong.
    pub(super) fn bind_steps(
        &self,
        resolved: Resolved<'_>,
        mut problems: Vec<Diagnostic>,
        steps: &BTreeSet<usize>,
        batches: &Batches,
        known: &Known,
    ) -> Result<(Plan, Vec<Diagnostic>), Outcome> {
        let started = Instant::now();
        let (plan, more) = plan::bind_steps(resolved, &self.dialect(), self.columns(), steps, batches, known);
        tracing::info!(steps = steps.len(), ms = elapsed(started), "steps bound");
        problems.extend(more);
        if has_errors(&problems) { Err(Outcome::Wrong(problems)) } else { Ok((plan, problems)) }
    }

    /// Binds what is resolved; the warnings, or everything that is wrong.
    pub(super) fn bind(
        &self,
        resolved: Resolved<'_>,
        mut problems: Vec<Diagnostic>,
    ) -> Result<(Plan, Vec<Diagnostic>), Outcome> {
        let started = Instant::now();
        let (plan, more) = plan::bind(resolved, &self.dialect(), self.columns());
        tracing::info!(steps = plan.steps.len(), ms = elapsed(started), "steps bound");
        problems.extend(more);
        if has_errors(&problems) { Err(Outcome::Wrong(problems)) } else { Ok((plan, problems)) }
    }

    /// The step of a job that a command names.
    pub(super) fn step(&self, plan: &Plan, job: &Name, named: &str) -> Result<usize, Outcome> {
        let id = StepId { job: job.clone(), step: Name::unquoted(named) };
        plan.position(&id).ok_or_else(|| {
            let names: Vec<String> =
                plan.steps.iter().filter(|step| step.id.job == *job).map(|step| step.id.step.lower()).collect();
            let message = format!("job `{}` has no step `{named}`", job.lower());
            let problem = Diagnostic::error("unknown-step", message);
            Outcome::Wrong(vec![problem.did_you_mean(nearest(&named.to_lowercase(), &names))])
        })
    }
}

/// Milliseconds since an instant, for the log.
fn elapsed(since: Instant) -> u128 {
    since.elapsed().as_millis()
}

/// Names as a sentence lists them.
fn quoted(names: &BTreeSet<&str>) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Where the project's secrets come from.
fn secrets(settings: &Settings) -> Box<dyn Secrets> {
    match &settings.secrets {
        SecretsProvider::Environment => Box::new(EnvironmentSecrets),
        SecretsProvider::ParameterStore { region, path } => Box::new(ParameterStore::new(region.clone(), path.clone())),
    }
}

pub(super) fn in_named_file(problem: &Diagnostic, named: &[String]) -> bool {
    let Some(span) = &problem.span else { return true };
    let stem = span.file.path().file_stem().unwrap_or_default().to_string_lossy();
    named.iter().any(|named| Path::new(named).file_stem().is_some_and(|name| name.to_string_lossy() == stem))
}

/// The columns of the contracts, for binding.
pub(super) fn contracts(project: &Project) -> Contracts {
    let columns = |contract: &crate::source::Contract| {
        let column = |column: &crate::job::ColumnContract| {
            let sql_type = column.column_type.as_ref()?.value.sql_type;
            Some(Column { name: column.name.value.clone(), sql_type, nullable: column.nullable })
        };
        contract.columns.iter().filter_map(column).collect()
    };
    project.contracts.iter().map(|(name, contract)| (name.clone(), columns(contract))).collect()
}
