//! What a run is decided from: the tables as they are, what they were made from, and what is asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{broken, failed, growth, transfers};
use crate::backend::Remedy;
use crate::cli::Outcome;
use crate::cli::loaded::Loaded;
use crate::cli::site::{Marks, Site};
use crate::diagnostic::Diagnostic;
use crate::ledger::{Ledger, Published, Status};
use crate::name::{Name, TableName};
use crate::plan::decide::{Ask, Choice, MadeFrom, Reason, State, decide};
use crate::plan::select::{self, select};
use crate::plan::{Known, Origin, Plan};
use crate::store::StoreError;

/// Everything that a decision depends on: the tables as they are, and what they were made from.
pub(in crate::cli) fn state(
    loaded: &Loaded,
    plan: &Plan,
    volatile: BTreeSet<usize>,
    tables: &dyn Marks,
    ledger: &Ledger,
) -> Result<State, Outcome> {
    let mut names: BTreeSet<TableName> = plan.steps.iter().filter_map(|step| step.publish.clone()).collect();
    for step in &plan.steps {
        let tested = step.tests.iter().flat_map(|test| &test.inputs);
        names.extend(step.inputs.iter().chain(tested).filter_map(|input| match &input.origin {
            Origin::Table(name) => Some(name.clone()),
            Origin::Step(_, published) => published.clone(),
            Origin::Own(_) => None,
        }));
    }
    let names: Vec<TableName> = names.into_iter().collect();
    let mut state = State { volatile, clock: clock(loaded), now: growth::now(loaded), ..State::default() };
    state.versions = tables.versions(&names).map_err(|error| match error.remedy {
        Remedy::Author => Outcome::Wrong(vec![Diagnostic::error("unreadable-source", error.to_string())]),
        _ => failed(error),
    })?;
    let mut published = ledger.all_published().map_err(broken)?;
    outside(loaded, plan, tables, &published, &mut state)?;
    let mut kept = tables.made(&names).map_err(failed)?;
    for name in names {
        // What stands with the rows cannot have come apart from them, as the ledger can.
        let made = match (kept.remove(&name), published.remove(&name.lower())) {
            (Some((made, version)), _) => {
                MadeFrom { step: made.step, fingerprint: made.fingerprint, version, history: made.history }
            }
            (None, Some(made)) => MadeFrom {
                step: made.step,
                fingerprint: made.fingerprint,
                version: made.version,
                history: made.history,
            },
            (None, None) => continue,
        };
        state.made_from.insert(name, made);
    }
    for step in &plan.steps {
        let Some(last) = ledger.last_step(&step.id).map_err(broken)? else { continue };
        if last.is_unfinished() {
            state.failed.insert(step.id.clone());
        } else if let (Status::Success, Some(fingerprint)) = (last.status, last.fingerprint) {
            state.internal.insert(step.id.clone(), fingerprint);
        }
    }
    Ok(state)
}

/// The files that loads read, and what exports sent that is still there.
fn outside(
    loaded: &Loaded,
    plan: &Plan,
    tables: &dyn Marks,
    published: &HashMap<String, Published>,
    state: &mut State,
) -> Result<(), Outcome> {
    let transfers = transfers(loaded, tables);
    let wrong = |code, error: StoreError| Outcome::Wrong(vec![Diagnostic::error(code, error.message)]);
    for step in &plan.steps {
        if let crate::plan::Work::Load(load) = &step.work {
            let version = transfers.version(load).map_err(|error| wrong("unreadable-source", error))?;
            state.files.insert(step.id.clone(), version);
        }
        let Some(export) = &step.export else { continue };
        let Some(sent) = published.get(&export.place()).filter(|sent| sent.step == step.id) else { continue };
        let present = transfers.present(export).map_err(|error| wrong("unreachable-export", error))?;
        if present.as_ref() == Some(&sent.version) {
            state.exported.insert(step.id.clone(), sent.fingerprint.clone());
        }
    }
    Ok(())
}

fn clock(loaded: &Loaded) -> (String, String) {
    let zone: chrono_tz::Tz = loaded.settings.timezone.parse().unwrap_or(chrono_tz::UTC);
    let local = loaded.clock.with_timezone(&zone);
    (local.format("%Y-%m-%d %Z").to_string(), local.to_rfc3339())
}

/// The steps that a run is asked for.
pub(in crate::cli) fn asked(
    plan: &Plan,
    wanted: &[Name],
    selection: Option<&str>,
    force: bool,
    state: &State,
) -> Result<Ask, Outcome> {
    let of_wanted = |at: &usize| wanted.contains(&plan.steps[*at].id.job);
    let all = Ask { steps: (0..plan.steps.len()).filter(of_wanted).collect(), force, ..Ask::default() };
    let Some(selection) = selection else { return Ok(all) };
    let mut known = select::Known::default();
    if selection.contains("changed") {
        let choices = decide(plan, &all, state).choices.into_iter().enumerate();
        let changed = |choice: &Choice| {
            matches!(
                choice,
                Choice::Run(
                    Reason::ChangedSql
                        | Reason::ChangedInputs(_)
                        | Reason::ChangedOutside
                        | Reason::Missing
                        | Reason::Intervals(..)
                )
            )
        };
        known.changed = choices.filter(|(_, choice)| changed(choice)).map(|(at, _)| at).collect();
    }
    known.failed = (0..plan.steps.len()).filter(|at| state.failed.contains(&plan.steps[*at].id)).collect();
    let mut steps = select(plan, selection, &known)?;
    steps.retain(of_wanted);
    let by_name = selection.split(',').any(|part| !matches!(part.trim().trim_matches('+'), "changed" | "failed"));
    Ok(Ask { steps, by_name, force, ..Ask::default() })
}

/// The columns of published tables that this run leaves as they are: what is there counts, not what would be made now.
pub(super) fn known(plan: &Plan, runs: &BTreeSet<usize>, tables: &Site) -> Result<Known, Outcome> {
    let Site::Local(tables) = tables else { return Ok(Known::new()) };
    let left = plan.steps.iter().enumerate().filter(|(at, step)| !runs.contains(at) && !step.view);
    let left: BTreeMap<usize, TableName> = left.filter_map(|(at, step)| Some((at, step.publish.clone()?))).collect();
    let names: Vec<TableName> = left.values().cloned().collect();
    let mut columns = tables.columns(&names).map_err(failed)?;
    Ok(left.into_iter().filter_map(|(at, name)| Some((at, columns.remove(&name)?))).collect())
}
