//! Taking up an earlier run: which it is, what it finished, and what of that is still there.

use std::collections::HashMap;

use super::{broken, failed};
use crate::backend::datafusion::Embedded;
use crate::cli::Outcome;
use crate::cli::loaded::Loaded;
use crate::cli::site::Site;
use crate::diagnostic::Diagnostic;
use crate::ledger::{Ledger, RunRecord, Status};
use crate::name::Name;
use crate::plan::decide::{Choice, Choices, Reason};
use crate::plan::{Fingerprint, Plan, PlannedStep, StepId};
use crate::settings::BackendSettings;

/// The run that `--resume` takes up.
pub(super) fn last_run(loaded: &Loaded, wanted: &[Name]) -> Result<RunRecord, Outcome> {
    let ledger = match &loaded.settings.target.backend {
        BackendSettings::DataFusion(local) => Ledger::open_existing(&local.ledger()).map_err(broken)?,
        BackendSettings::Snowflake(_) => Some(Site::open(loaded, "resume")?.ledger(loaded)?),
    };
    let last = match (&ledger, wanted.first()) {
        (Some(ledger), Some(job)) => ledger.last_run(job).map_err(broken)?,
        _ => None,
    };
    last.ok_or_else(|| Outcome::Wrong(vec![Diagnostic::error("no-run", "there is no earlier run to resume")]))
}

/// What a run finished and did not publish, where its rows are still there.
pub(super) fn finished(
    plan: &Plan,
    run: &RunRecord,
    tables: &Site,
    ledger: &Ledger,
) -> Result<HashMap<StepId, (String, Fingerprint)>, Outcome> {
    let mut finished = HashMap::new();
    // A load runs again: its tally of rows that do not fit belongs to the run that publishes.
    let computed = |step: &&PlannedStep| !step.view && !matches!(step.work, crate::plan::Work::Load(_));
    for step in plan.steps.iter().filter(computed).filter(|step| step.publish.is_some()) {
        let Some(last) = ledger.last_step(&step.id).map_err(broken)? else { continue };
        if last.run == run.id
            && last.status == Status::Success
            && let Some(fingerprint) = last.fingerprint
        {
            finished.insert(step.id.clone(), (run.id.clone(), fingerprint));
        }
    }
    match tables {
        Site::Local(tables) => finished.retain(|id, _| {
            let table = plan.position(id).and_then(|at| plan.steps[at].publish.as_ref());
            table.is_some_and(|table| tables.warehouse().has_unpublished(table, &run.id))
        }),
        Site::Snowflake(remote) => {
            let there = remote.unpublished(finished.keys().cloned(), &run.id)?;
            finished.retain(|id, _| there.contains(id));
        }
    }
    Ok(finished)
}

/// The steps whose rows an earlier run has finished, and that run.
pub(super) fn adopted(choices: &Choices) -> Vec<(usize, String)> {
    let run = |choice: &Choice| match choice {
        Choice::Run(Reason::Finished(run)) => Some(run.clone()),
        _ => None,
    };
    choices.choices.iter().enumerate().filter_map(|(at, choice)| Some((at, run(choice)?))).collect()
}

/// Has the embedded engine take over those rows.
pub(super) fn adopt(backend: &Embedded, plan: &Plan, adopted: &[(usize, String)]) -> Result<(), Outcome> {
    for (at, run) in adopted {
        let step = &plan.steps[*at];
        if !backend.adopt(step, run).map_err(failed)? {
            let message = format!("what run {run} finished of `{}` is there no more; run without --resume", step.id);
            return Err(Outcome::Broken(message));
        }
    }
    Ok(())
}
