//! `pipe render`: the SQL of a step as the backend gets it.

use clap::Args;

use super::loaded::{Loaded, Meaning};
use super::{Globals, Outcome, print};
use crate::diagnostic::has_errors;
use crate::settings::Flags;

/// Arguments of `pipe render`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pipe render this_week candidates
  pipe render this_week candidates --date 2026-11-01 --var horizon_days=3")]
pub(super) struct Render {
    /// The job, by file or name
    #[arg(value_name = "JOB")]
    job: String,
    /// The step; all of the job where none is named
    #[arg(value_name = "STEP")]
    step: Option<String>,
    #[command(flatten)]
    meaning: Meaning,
}

impl Render {
    pub(super) fn run(self, globals: &Globals) -> Result<Outcome, Outcome> {
        let loaded = Loaded::read(globals, &self.meaning, Flags::default())?;
        let wanted = loaded.wanted(std::slice::from_ref(&self.job))?;
        let (resolved, problems) = loaded.resolve(&wanted);
        let plan = &resolved.plan;
        if let (Some(step), Some(job)) = (&self.step, wanted.first()) {
            let at = loaded.step(plan, job, step)?;
            if plan.steps[at].sql().is_empty() && has_errors(&problems) {
                return Err(Outcome::Wrong(problems));
            }
            print(&format!("{}\n", plan.steps[at].sql().trim_end()))?;
            return Ok(Outcome::Done);
        }
        if has_errors(&problems) {
            return Err(Outcome::Wrong(problems));
        }
        for at in plan.step_order() {
            let step = &plan.steps[at];
            if wanted.contains(&step.id.job) {
                print(&format!("-- {}\n{};\n\n", step.id, step.sql().trim_end().trim_end_matches(';')))?;
            }
        }
        Ok(Outcome::Done)
    }
}
