//! What a job reads of other jobs: the columns of the tables that they publish. In a unit test these are tables like any
//! other, given or empty, so only their columns are asked for.

use std::collections::{BTreeSet, HashMap};

use super::prepare::World;
use crate::diagnostic::{Diagnostic, has_errors};
use crate::dialect::Dialect;
use crate::job::Job;
use crate::name::{Name, TableName};
use crate::plan::{self, Contracts, Origin, Plan, Scope, StepId};

/// The columns of the tables of other jobs that these jobs read.
pub(super) fn published(world: &World<'_>, tested: &[Name], dialect: &Dialect) -> (Contracts, Vec<Diagnostic>) {
    let facts = world.settings.facts(world.clock);
    let (jobs, _) = world.project.expanded(&world.settings.variables, &facts);
    let jobs: Vec<Job> = jobs.into_values().map(without_tests).collect();
    let scope = Scope { jobs: &jobs, sources: world.contracts, templates: &world.project.templates };
    // What is wrong with the tested jobs themselves is told where they are bound for their tests.
    let (resolved, _) = plan::resolve(&scope, tested);
    let mut published: HashMap<StepId, TableName> = HashMap::new();
    for step in resolved.plan.steps.iter().filter(|step| tested.contains(&step.id.job)) {
        for input in &step.inputs {
            if let Origin::Step(id, Some(table)) = &input.origin
                && id.job != step.id.job
            {
                published.insert(id.clone(), table.clone());
            }
        }
    }
    if published.is_empty() {
        return (Contracts::new(), Vec::new());
    }
    let needed = with_inputs(&resolved.plan, published.keys().cloned());
    let jobs: Vec<Job> = jobs.into_iter().map(|job| only(job, &needed)).collect();
    let names: Vec<Name> = jobs.iter().map(|job| job.name.value.clone()).collect();
    let scope = Scope { jobs: &jobs, sources: world.contracts, templates: &world.project.templates };
    let (resolved, mut problems) = plan::resolve(&scope, &names);
    let (plan, more) = plan::check(resolved, dialect, world.contracts);
    problems.extend(more);
    problems.retain(|problem| has_errors(std::slice::from_ref(problem)));
    let columns = plan.steps.iter().filter_map(|step| Some((published.get(&step.id)?.clone(), step.columns.clone())));
    (columns.filter(|(_, columns)| !columns.is_empty()).collect(), problems)
}

fn without_tests(mut job: Job) -> Job {
    job.steps.values_mut().for_each(|step| step.tests.clear());
    job
}

/// The job with these steps alone.
pub(super) fn only(mut job: Job, steps: &BTreeSet<StepId>) -> Job {
    let name = job.name.value.clone();
    job.steps.retain(|step, _| steps.contains(&StepId { job: name.clone(), step: step.clone() }));
    job
}

/// Steps and all whose results they read, at any distance.
pub(super) fn with_inputs(plan: &Plan, steps: impl IntoIterator<Item = StepId>) -> BTreeSet<StepId> {
    let mut waiting: Vec<StepId> = steps.into_iter().collect();
    let mut found = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if let Some(at) = plan.position(&id)
            && found.insert(id)
        {
            waiting.extend(plan.steps[at].reads().cloned());
        }
    }
    found
}
