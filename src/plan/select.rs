//! `--select`: which steps of the plan a run is about.
//!
//! `a` is a step, `job.a` a step of one of several jobs, `+a` with all it waits for, `a+` with all that waits for it,
//! `tag:x` all steps of a tag, `changed` those that would run because their SQL or inputs changed, `failed` those that
//! failed or were not reached last time. A comma joins several. `a` may hold `*` for any letters.

use std::collections::BTreeSet;

use super::{Node, Plan};
use crate::diagnostic::Diagnostic;
use crate::name::nearest;

/// What is known of steps beyond the plan.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Steps that would run because something changed.
    pub changed: BTreeSet<usize>,
    /// Steps that failed or were not reached last time.
    pub failed: BTreeSet<usize>,
}

/// The steps, by index, that a selection means.
pub fn select(plan: &Plan, written: &str, known: &Known) -> Result<BTreeSet<usize>, Vec<Diagnostic>> {
    let mut selected = BTreeSet::new();
    let mut problems = Vec::new();
    for part in written.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match one(plan, part, known) {
            Ok(steps) => selected.extend(steps),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(selected) } else { Err(problems) }
}

fn one(plan: &Plan, part: &str, known: &Known) -> Result<BTreeSet<usize>, Diagnostic> {
    let up = part.starts_with('+');
    let down = part.ends_with('+') && part.len() > 1;
    let name = part.trim_start_matches('+').trim_end_matches('+');
    let steps = named(plan, name, known)?;
    let nodes = || steps.iter().map(|at| Node::Step(*at));
    let mut selected = steps.clone();
    if up {
        selected.extend(only_steps(plan.dag.with_ancestors(nodes())));
    }
    if down {
        selected.extend(only_steps(plan.dag.with_descendants(nodes())));
    }
    Ok(selected)
}

fn only_steps(nodes: BTreeSet<Node>) -> impl Iterator<Item = usize> {
    nodes.into_iter().filter_map(|node| if let Node::Step(at) = node { Some(at) } else { None })
}

fn named(plan: &Plan, name: &str, known: &Known) -> Result<BTreeSet<usize>, Diagnostic> {
    match name {
        "changed" => return Ok(known.changed.clone()),
        "failed" => return Ok(known.failed.clone()),
        _ => {}
    }
    let steps = || plan.steps.iter().enumerate();
    if let Some(tag) = name.strip_prefix("tag:") {
        let tagged: BTreeSet<usize> =
            steps().filter(|(_, step)| step.tags.iter().any(|t| t == tag)).map(|(at, _)| at).collect();
        if tagged.is_empty() {
            let tags: BTreeSet<&str> = plan.steps.iter().flat_map(|step| &step.tags).map(String::as_str).collect();
            let near = nearest(tag, tags.iter().copied()).map(|near| format!("tag:{near}"));
            return Err(Diagnostic::error("unknown-tag", format!("no step has the tag `{tag}`")).did_you_mean(near));
        }
        return Ok(tagged);
    }
    let wanted = name.to_lowercase();
    let matches = |id: &super::StepId| like(&wanted, &id.step.lower()) || like(&wanted, &id.to_string());
    let found: BTreeSet<usize> = steps().filter(|(_, step)| matches(&step.id)).map(|(at, _)| at).collect();
    if found.is_empty() {
        let names: Vec<String> = plan.steps.iter().map(|step| step.id.step.lower()).collect();
        let message = format!("there is no step `{name}` to select");
        return Err(Diagnostic::error("unknown-step", message).did_you_mean(nearest(&wanted, &names)));
    }
    Ok(found)
}

/// Whether a text is as the pattern says, `*` standing for any letters.
fn like(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{Name, TableName};
    use crate::plan::{Input, Origin, PlannedStep, StepId, Work};
    use crate::text::{SourceFile, Spanned};

    fn plan() -> Plan {
        let place = SourceFile::new("a.sql", "x").span(0..1);
        let step = |name: &str, reads: &[&str], tag: &str| {
            let mut step = PlannedStep::new(StepId::new("shop", name), Work::Broken);
            let input = |read: &&str| Input {
                name: Spanned::new(TableName::bare(Name::unquoted(read)), place.clone()),
                origin: Origin::Step(StepId::new("shop", read), None),
            };
            step.inputs = reads.iter().map(input).collect();
            step.tags = vec![tag.to_owned()];
            step
        };
        let steps = vec![
            step("orders", &[], "raw"),
            step("customers", &[], "raw"),
            step("joined", &["orders", "customers"], "mart"),
            step("totals", &["joined"], "mart"),
        ];
        Plan::new(steps, &[])
    }

    fn names(written: &str) -> Vec<String> {
        let plan = plan();
        let known = Known { changed: [1].into(), failed: [3].into() };
        let selected = select(&plan, written, &known).expect("a selection");
        selected.into_iter().map(|at| plan.steps[at].id.step.lower()).collect()
    }

    #[test]
    fn steps_and_what_is_around_them() {
        assert_eq!(names("joined"), ["joined"]);
        assert_eq!(names("shop.Joined"), ["joined"]);
        assert_eq!(names("+joined"), ["orders", "customers", "joined"]);
        assert_eq!(names("orders+"), ["orders", "joined", "totals"]);
        assert_eq!(names("+joined+"), ["orders", "customers", "joined", "totals"]);
        assert_eq!(names("o*,*als"), ["orders", "totals"]);
    }

    #[test]
    fn tags_and_what_happened() {
        assert_eq!(names("tag:raw, totals"), ["orders", "customers", "totals"]);
        assert_eq!(names("changed,failed"), ["customers", "totals"]);
        assert_eq!(names("changed+"), ["customers", "joined", "totals"]);
    }

    #[test]
    fn what_is_misspelt_is_told_with_the_nearest_name() {
        let problems = select(&plan(), "jioned,tag:mrat", &Known::default()).expect_err("both are wrong");
        let hints: Vec<_> = problems.iter().filter_map(|problem| problem.hint.clone()).collect();
        assert_eq!(hints, ["did you mean `joined`?", "did you mean `tag:mart`?"]);
    }
}
