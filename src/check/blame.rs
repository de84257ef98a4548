//! Which step explains a disagreement, and what changed in the job since it last agreed.

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, Difference};
use crate::job::Job;
use crate::ledger::{CheckRecord, Ledger, LedgerError};
use crate::plan::fingerprint::normalise;
use crate::plan::{Plan, StepId, lineage};

/// Variables that a run gives, which differ from day to day.
const GIVEN: [&str; 2] = ["run", "target"];

/// What a step and all that it is computed from in its job are computed by: the SQL of each step, the value of each variable.
pub(super) fn texts(plan: &Plan, step: &StepId, job: &Job) -> BTreeMap<String, String> {
    let mut texts: BTreeMap<String, String> = upstream(plan, step)
        .into_iter()
        .filter_map(|id| Some((format!("step {id}"), plan.steps[plan.position(&id)?].text.clone())))
        .collect();
    let written = job.variables.iter().filter(|(name, _)| !GIVEN.contains(name));
    texts.extend(written.map(|(name, value)| (format!("variable {name}"), value.to_string())));
    texts
}

/// The step and those of its job that it reads, at any distance.
fn upstream(plan: &Plan, step: &StepId) -> BTreeSet<StepId> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![step.clone()];
    while let Some(id) = waiting.pop() {
        let Some(at) = plan.position(&id).filter(|_| id.job == step.job) else { continue };
        if found.insert(id) {
            waiting.extend(plan.steps[at].reads().cloned());
        }
    }
    found
}

/// What is not as it was when the check last agreed; where it never did, as it was in an earlier run.
pub(super) fn changes(
    now: &BTreeMap<String, String>,
    agreed: Option<&CheckRecord>,
    ledger: &Ledger,
    steps: impl IntoIterator<Item = StepId>,
) -> Result<Vec<Change>, LedgerError> {
    let mut changes = Vec::new();
    if let Some(record) = agreed {
        let since = format!("since {}, when it agreed", record.at.format("%Y-%m-%d %H:%M"));
        for (what, text) in now {
            let before = record.texts.get(what).map(String::as_str).unwrap_or_default();
            if normalise(before) != normalise(text) {
                changes.push(Change { what: what.clone(), since: since.clone(), lines: told(before, text) });
            }
        }
        for (what, before) in record.texts.iter().filter(|(what, _)| !now.contains_key(*what)) {
            changes.push(Change { what: what.clone(), since: since.clone(), lines: told(before, "") });
        }
        return Ok(changes);
    }
    for id in steps {
        let what = format!("step {id}");
        let Some(text) = now.get(&what) else { continue };
        if let Some((before, run)) = ledger.other_sql(&id, text)?
            && normalise(&before) != normalise(text)
        {
            changes.push(Change { what, since: format!("since run {run}"), lines: told(&before, text) });
        }
    }
    Ok(changes)
}

/// Only the lines that differ.
fn told(before: &str, after: &str) -> Vec<String> {
    changed_lines(before, after).into_iter().filter(|line| !line.starts_with("  ")).collect()
}

/// The steps that explain a disagreement, the likeliest first: those that changed; else those furthest up that other checks
/// disagree with; else the one that was compared, after those that the differing columns come from and no check agrees with.
pub(super) fn blamed(
    plan: &Plan,
    step: &StepId,
    difference: &Difference,
    changes: &[Change],
    others: &BTreeMap<StepId, bool>,
) -> Vec<StepId> {
    let above = upstream(plan, step);
    let changed: Vec<StepId> =
        above.iter().filter(|id| changes.iter().any(|change| change.what == format!("step {id}"))).cloned().collect();
    if !changed.is_empty() {
        return changed;
    }
    let disagreeing: Vec<&StepId> = above.iter().filter(|id| *id != step && others.get(*id) == Some(&false)).collect();
    let first = disagreeing
        .iter()
        .filter(|id| !disagreeing.iter().any(|other| other != *id && upstream(plan, id).contains(*other)));
    let first: Vec<StepId> = first.map(|id| (*id).clone()).collect();
    if !first.is_empty() {
        return first;
    }
    let mut suspects = vec![step.clone()];
    suspects.extend(suspected(plan, step, difference).into_iter().filter(|id| !is_cleared(plan, id, others)));
    suspects
}

/// Whether a check agrees with a step, or with all that only it leads to.
fn is_cleared(plan: &Plan, id: &StepId, others: &BTreeMap<StepId, bool>) -> bool {
    others.iter().any(|(other, agrees)| *agrees && upstream(plan, other).contains(id))
}

/// The steps above that the differing columns are computed from; where rows differ, all those whose
/// rows it takes or that decide which there are.
fn suspected(plan: &Plan, step: &StepId, difference: &Difference) -> Vec<StepId> {
    let Some(at) = plan.position(step) else { return Vec::new() };
    let mut found: Vec<StepId> = Vec::new();
    let mut add = |id: Option<StepId>| {
        if let Some(id) = id.filter(|id| id.job == step.job && id != step)
            && !found.contains(&id)
        {
            found.push(id);
        }
    };
    let figures = difference.columns.iter().filter(|(_, _, count)| *count > 0);
    for (_, name, _) in figures {
        if let Some(column) = plan.steps[at].columns.iter().position(|column| column.name == *name) {
            lineage::upstream(plan, at, column).into_iter().for_each(|(_, from)| add(from.step));
        }
    }
    if difference.missing + difference.extra + difference.repeated > 0 {
        plan.steps[at].reads().for_each(|id| add(Some(id.clone())));
        lineage::lineage(&plan.steps[at]).rows.into_iter().for_each(|from| add(from.step));
    }
    found
}

/// The lines of two texts: those of both with two blanks, those only in the first with `-`, only in the second with `+`.
pub fn changed_lines(before: &str, after: &str) -> Vec<String> {
    let (a, b): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let mut common = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for (i, left) in a.iter().enumerate().rev() {
        for (j, right) in b.iter().enumerate().rev() {
            common[i][j] =
                if left == right { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            lines.push(format!("  {}", a[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < a.len() && (j == b.len() || common[i + 1][j] >= common[i][j + 1]) {
            lines.push(format!("- {}", a[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", b[j]));
            j += 1;
        }
    }
    lines
}
