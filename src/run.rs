//! Running a plan: what is ready starts, what is built is tested, what is tested is published. The scheduler decides
//! when; the backend does the work; the events tell of it.

/// What the engine tells while it runs.
pub mod event;

/// Steps computed aside, for questions.
pub mod aside;

/// Where failures came of.
mod place;

mod attempt;

mod schedule;

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, SubsecRound, Utc};
use tokio_util::sync::CancellationToken;

pub use event::Event;

use crate::backend::{Backend, Keep};
use crate::ledger::{Ledger, LedgerError, RunRecord, Status, StepRecord};
use crate::name::Name;
use crate::plan::interval::History;
use crate::plan::{Fingerprint, Plan, StepId};
use crate::transfer::Transfers;

/// What a run does with a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// It is built.
    Run {
        /// Why.
        reason: String,
        /// What becomes of its result.
        keep: Keep,
        /// What its result will have been made from.
        fingerprint: Fingerprint,
        /// The intervals that it will have, where it is built by such.
        history: History,
    },
    /// It is left as it is, and the run says so.
    Skip {
        /// Why.
        reason: String,
    },
    /// It is no part of this run.
    Leave,
}

/// Everything a run needs.
pub struct Run<'a> {
    /// The steps and their order.
    pub plan: Arc<Plan>,
    /// What to do with each, in the plan's order.
    pub decisions: Vec<Decision>,
    /// What executes.
    pub backend: Arc<dyn Backend>,
    /// What loads and exports.
    pub transfers: Arc<Transfers>,
    /// What remembers.
    pub ledger: &'a mut Ledger,
    /// The run as the ledger will know it.
    pub record: RunRecord,
    /// How many steps run at once.
    pub jobs: usize,
    /// How many rows a result may have; a step that gives more fails.
    pub max_rows: Option<u64>,
    /// Set by Ctrl-C.
    pub cancel: CancellationToken,
    /// Who is told.
    pub tell: &'a mut dyn FnMut(&Event),
}

/// What happened, per step and per job.
#[derive(Clone, Debug)]
pub struct RunResults {
    /// The run.
    pub run: RunRecord,
    /// Its steps, in the plan's order; those that were no part of it are left out.
    pub steps: Vec<StepRecord>,
    /// The tables that became visible, in lower case.
    pub published: Vec<String>,
    /// The jobs that published nothing though they should have, and why.
    pub withheld: Vec<(Name, String)>,
}

impl Run<'_> {
    /// Runs the plan to its end, or to an interruption.
    pub async fn execute(self) -> Result<RunResults, LedgerError> {
        schedule::Schedule::new(self).run().await
    }
}

/// The present instant, as finely as the ledger keeps it.
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// The name of a run that starts at `at`: it sorts by start, and two that start at once still differ.
pub fn run_id(at: DateTime<Utc>, process: u32) -> String {
    format!("{}-{:04x}", at.format("%Y%m%d-%H%M%S%3f"), process & 0xffff)
}

/// What becomes of each step's result: what is published is written, what has one reader is inlined, and what has
/// several, or tests to pass first, is computed once and shared. `keep_all` writes the internal ones as tables too, under
/// their job's name.
pub fn keeps(plan: &Plan, keep_all: bool) -> Vec<Keep> {
    let mut reads: HashMap<&StepId, usize> = HashMap::new();
    for step in &plan.steps {
        for before in step.reads() {
            *reads.entry(before).or_default() += 1;
        }
    }
    let mut depths: HashMap<&StepId, usize> = HashMap::new();
    let mut keeps = vec![Keep::Share; plan.steps.len()];
    for at in plan.step_order() {
        let step = &plan.steps[at];
        let depth = 1 + step.reads().filter_map(|before| depths.get(before)).copied().max().unwrap_or(0);
        keeps[at] = keep(step, reads.get(&step.id).copied().unwrap_or(0), depth, keep_all);
        if keeps[at] == Keep::Inline {
            depths.insert(&step.id, depth);
        }
    }
    keeps
}

/// How many steps may be folded into one query: a deeper query takes longer to plan than it saves.
const INLINE_DEPTH: usize = 8;

fn keep(step: &crate::plan::PlannedStep, reads: usize, depth: usize, keep_all: bool) -> Keep {
    match &step.publish {
        // Without tests, the rows of an export go out as they are computed.
        _ if step.export.is_some() => {
            if step.tests.is_empty() {
                Keep::Inline
            } else {
                Keep::Share
            }
        }
        // What has the rows of one interval at a time is no table.
        None if step.interval_of.is_some() => {
            if reads == 1 && depth <= INLINE_DEPTH {
                Keep::Inline
            } else {
                Keep::Share
            }
        }
        Some(table) if step.view => Keep::View(table.clone()),
        Some(table) => Keep::Table(table.clone()),
        None if keep_all => Keep::Table(crate::name::TableName::in_schema(step.id.job.clone(), step.id.step.clone())),
        None if reads == 1 && depth <= INLINE_DEPTH && step.tests.is_empty() && step.query().is_some() => Keep::Inline,
        None => Keep::Share,
    }
}

/// How a run ended, by how its steps did.
fn status_of(steps: &[StepRecord], withheld: bool, interrupted: bool) -> Status {
    if interrupted {
        Status::Cancelled
    } else if withheld || steps.iter().any(|step| step.status == Status::Failed) {
        Status::Failed
    } else {
        Status::Success
    }
}

#[cfg(test)]
mod tests;
