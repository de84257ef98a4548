//! `pipe why`: one row of a step traced back through every step to its source rows.

use clap::{Args, ValueEnum};

use super::loaded::{Loaded, Meaning};
use super::site::Answering;
use super::{Globals, Outcome, print};
use crate::diagnostic::has_errors;
use crate::dialect::session::SessionParameters;
use crate::plan::{self, Scope};
use crate::report::why as report;
use crate::settings::Flags;
use crate::why::{Tracer, explaining, wanted};

/// Arguments of `pipe why`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pipe why this_week recommendations --key affinity=Sport --key position=3
  pipe why this_week candidates --key program_id=1234 --rows 20
  pipe why this_week recommendations --key program_id=1234 --format json

Exit codes: 0 done, 1 no such row or a step failed, 2 the input is wrong.")]
pub(super) struct Why {
    /// The job, by file or name
    #[arg(value_name = "JOB")]
    job: String,
    /// The step
    #[arg(value_name = "STEP")]
    step: String,
    /// A column of the step and the value it must have; may be repeated
    #[arg(long = "key", value_name = "COLUMN=VALUE", required = true)]
    keys: Vec<String>,
    #[command(flatten)]
    meaning: Meaning,
    /// Show so many rows of each step and table
    #[arg(long, value_name = "N", default_value_t = 5)]
    rows: usize,
    /// How the trace is told
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// How a trace is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// One object, the inputs inside.
    Json,
}

impl Why {
    pub(super) fn run(self, globals: &Globals) -> Result<Outcome, Outcome> {
        let loaded = Loaded::read(globals, &self.meaning, Flags::default())?;
        let jobs = loaded.wanted(std::slice::from_ref(&self.job))?;
        let Some(job) = jobs.first() else { return Ok(Outcome::Done) };
        let mut problems = loaded.problems(&jobs);
        let explaining = explaining(&loaded.jobs, job);
        let scope = Scope { jobs: &explaining, sources: &loaded.contracts, templates: &loaded.project.templates };
        let (resolved, more) = plan::resolve(&scope, &jobs);
        problems.extend(more);
        let (plan, more) = plan::bind(resolved, &loaded.dialect(), &loaded.contracts);
        problems.extend(more);
        if has_errors(&problems) {
            return Err(Outcome::Wrong(problems));
        }
        let at = loaded.step(&plan, job, &self.step)?;
        let wanted = wanted(&plan.steps[at], &self.keys)?;
        let (target, _) = Answering::open(&loaded, "why")?;
        let trace = super::block_on(Tracer::new(&plan, job, target.backend()).trace(at, wanted))?;
        target.close()?;
        let trace = trace.map_err(super::run::failed)?;
        if trace.count() == 0 {
            let message = format!("step `{}` has no row with {}", plan.steps[at].id, self.keys.join(" and "));
            return Err(Outcome::Broken(message));
        }
        let parameters = SessionParameters::of(loaded.dialect().state().config_options()).clone();
        print(&match self.format {
            Format::Text => report::text(&trace, self.rows, &parameters),
            Format::Json => report::json(&trace, self.rows, &parameters),
        })?;
        Ok(Outcome::Done)
    }
}
