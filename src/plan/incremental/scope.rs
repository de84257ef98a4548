//! Which steps know the interval that is built: a step that is built by intervals, and the internal steps whose SQL says
//! `interval` and that only such a step reads.

use std::collections::BTreeSet;

use chrono::NaiveDateTime;

use super::variable;
use crate::diagnostic::{Diagnostic, Severity};
use crate::job::incremental::{Intervals, Strategy};
use crate::job::{Job, Step};
use crate::plan::interval::Interval;
use crate::plan::{Origin, Plan, PlannedStep, StepId};
use crate::template::{Variable, Variables};

/// The intervals of a step or, where it has none, those of the first step of its job that has some.
pub(in crate::plan) fn intervals<'j>(job: &'j Job, step: &'j Step) -> Option<&'j Intervals> {
    let of = |step: &'j Step| match &step.incremental.as_ref()?.strategy {
        Strategy::Interval(intervals) => Some(intervals),
        _ => None,
    };
    of(step).or_else(|| job.steps.values().find_map(of))
}

/// The clock of the run that these variables are of.
fn clock(variables: &Variables) -> Option<NaiveDateTime> {
    let Some(Variable::Map(run)) = variables.get("run") else { return None };
    let Some(Variable::Timestamp(at)) = run.get("at") else { return None };
    NaiveDateTime::parse_from_str(at, "%Y-%m-%d %H:%M:%S").ok()
}

/// The variables of a step's templates, with the interval that a run builds where all before it is done.
pub(in crate::plan) fn variables(job: &Job, step: &Step) -> Variables {
    let mut variables = job.variables_of(step);
    if let Some(intervals) = intervals(job, step) {
        let newest = intervals.newest(clock(&variables).unwrap_or(intervals.since));
        variables.insert("interval", variable(newest, intervals.grain));
    }
    variables
}

/// The same variables with the interval that starts so many days after the beginning of 1970, for texts that must not
/// depend on the run.
pub(in crate::plan) fn fixed(variables: &Variables, intervals: &Intervals, days: i64) -> Variables {
    let start = NaiveDateTime::default() + chrono::TimeDelta::days(days);
    let interval = Interval { start, end: start + chrono::TimeDelta::days(1) };
    let mut fixed = variables.clone();
    fixed.insert("interval", variable(interval, intervals.grain));
    fixed
}

/// Finds, for every step whose SQL says `interval`, the step by whose intervals it is built.
pub(in crate::plan) fn assign(plan: &mut Plan, problems: &mut Vec<Diagnostic>) {
    let own =
        |at: usize, plan: &Plan| plan.steps[at].incremental.as_ref().is_some_and(|grows| grows.intervals().is_some());
    for root in (0..plan.steps.len()).filter(|at| own(*at, plan)).collect::<Vec<_>>() {
        let id = plan.steps[root].id.clone();
        let feeding = feeding(plan, root);
        let step = &plan.steps[root];
        if step.fixed.is_none() && feeding.is_empty() && !step.text.is_empty() {
            let message = format!("the SQL of `{id}` does not say `interval`: it reads everything for every interval");
            let problem = Diagnostic { severity: Severity::Warning, ..told(message, step.span.clone()) };
            let hint = "add a condition such as `time >= {{ interval.start }} and time < {{ interval.end }}`";
            problems.push(problem.hint(hint));
        }
        for at in feeding {
            let step = &mut plan.steps[at];
            match &step.interval_of {
                Some(other) if *other != id => {
                    let message =
                        format!("`{}` has the rows of one interval, and both `{other}` and `{id}` read it", step.id);
                    let hint = "give each of them a step of its own";
                    problems.push(told(message, step.span.clone()).hint(hint));
                }
                _ => step.interval_of = Some(id.clone()),
            }
        }
    }
    for at in 0..plan.steps.len() {
        let step = &plan.steps[at];
        if (step.fixed.is_none() && step.interval_of.is_none()) || own(at, plan) {
            continue;
        }
        let outsider = plan.steps.iter().find(|reader| {
            let reads = reader.reads().any(|id| *id == step.id);
            let of_same = reader.interval_of == step.interval_of || Some(&reader.id) == step.interval_of.as_ref();
            reads && !(step.interval_of.is_some() && of_same)
        });
        let hint =
            "only a table with `strategy: interval` knows an interval, and the internal steps that it alone reads";
        if step.publish.is_some() || step.interval_of.is_none() {
            let message = format!("the SQL of `{}` says `interval`, and it is not built by intervals", step.id);
            problems.push(told(message, step.span.clone()).hint(hint));
        } else if let Some(outsider) = outsider {
            let message = format!(
                "`{}` has the rows of one interval, and `{}` reads it, which is not built by intervals",
                step.id, outsider.id
            );
            problems.push(told(message, step.span.clone()).hint(hint));
        } else if !step.tests.is_empty() {
            let message =
                format!("`{}` has the rows of one interval at a time, so that its tests would not see all", step.id);
            let hint = "write the tests under the table that is built by intervals";
            problems.push(told(message, step.span.clone()).hint(hint));
        }
    }
}

/// A table that grows may read what it has, under its own name.
pub(in crate::plan) fn own_rows(planned: &mut PlannedStep) {
    let (id, Some(table)) = (planned.id.clone(), planned.publish.clone()) else { return };
    for input in &mut planned.inputs {
        if matches!(&input.origin, Origin::Step(read, _) if *read == id) {
            input.origin = Origin::Own(table.clone());
        }
    }
}

fn told(message: String, span: Option<crate::text::Span>) -> Diagnostic {
    let problem = Diagnostic::error("interval", message);
    match span {
        Some(span) => problem.at(span),
        None => problem,
    }
}

/// The internal steps that a step reads, at any distance, and that say `interval` or read one that does.
fn feeding(plan: &Plan, root: usize) -> BTreeSet<usize> {
    let internal = |id: &StepId| plan.position(id).filter(|at| plan.steps[*at].publish.is_none());
    let mut below = BTreeSet::new();
    let mut queue = vec![root];
    while let Some(at) = queue.pop() {
        let before: Vec<usize> = plan.steps[at].reads().filter_map(internal).collect();
        queue.extend(before.into_iter().filter(|before| below.insert(*before)));
    }
    let order = plan.step_order();
    let mut feeding = BTreeSet::new();
    for at in order.into_iter().filter(|at| below.contains(at)) {
        let step = &plan.steps[at];
        let reads_one = step.reads().filter_map(internal).any(|before| feeding.contains(&before));
        if step.fixed.is_some() || reads_one {
            feeding.insert(at);
        }
    }
    feeding
}
