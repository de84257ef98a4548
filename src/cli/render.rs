//! `pipe render`: the SQL of a step as the backend gets it; of a built-in transform, its form as one query.

use clap::Args;

use super::loaded::{Loaded, Meaning};
use super::{Globals, Outcome, print};
use crate::diagnostic::has_errors;
use crate::plan::PlannedStep;
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
        if let (Some(step), Some(job)) = (&self.step, wanted.first()) {
            let at = loaded.step(&resolved.plan, job, step)?;
            if !resolved.is_transform(at) {
                let sql = resolved.plan.steps[at].sql().trim_end();
                if sql.is_empty() && has_errors(&problems) {
                    return Err(Outcome::Wrong(problems));
                }
                print(&format!("{sql}\n"))?;
                return Ok(Outcome::Done);
            }
            let (plan, _) = loaded.bind(resolved, problems)?;
            let sql = plan.steps[at].query_text().map_err(|problems| Outcome::Wrong(problems.to_vec()))?;
            print(&format!("{}\n", sql.trim_end()))?;
            return Ok(Outcome::Done);
        }
        if has_errors(&problems) {
            return Err(Outcome::Wrong(problems));
        }
        let transforms = (0..resolved.plan.steps.len()).any(|at| resolved.is_transform(at));
        let plan = if transforms { loaded.bind(resolved, problems)?.0 } else { resolved.plan };
        for at in plan.step_order() {
            let step = &plan.steps[at];
            if wanted.contains(&step.id.job) {
                print(&format!("-- {}\n{}\n\n", step.id, statement(step)))?;
            }
        }
        Ok(Outcome::Done)
    }
}

/// The step's SQL as a statement, or a comment that says why it has none.
fn statement(step: &PlannedStep) -> String {
    match step.query_text() {
        Err(problems) => {
            let why: Vec<String> = problems.iter().map(|problem| format!("-- {}", problem.message)).collect();
            why.join("\n")
        }
        Ok(sql) => format!("{};", sql.trim_end().trim_end_matches(';')),
    }
}
