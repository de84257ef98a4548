//! What a run means before it touches data: the steps of its jobs, what each reads, in which order, with which columns.
//! Nothing here reads a file or a table.

/// The graph of steps.
pub mod dag;

/// What a result follows from.
pub mod fingerprint;

/// A step as the plan knows it.
pub mod step;

/// A transform's parameters, their templates filled in.
mod parameters;

/// Tests as queries that lead back to what was written.
pub mod tested;

/// Names → what they mean.
pub mod resolve;

/// Which columns each column is computed from.
pub mod lineage;

/// Which steps a run is about.
pub mod select;

/// Views as texts that stand alone.
pub mod view;

/// Load and export steps before they touch anything.
mod outside;

/// Intervals of time that a table is built by.
pub mod interval;

/// Tables that grow.
pub mod incremental;

/// What must run, and why.
pub mod decide;

/// Texts → bound plans.
pub mod bind;

use std::collections::HashMap;
use std::fmt;

pub use bind::{Batches, Known, bind, bind_steps, check, schema_of};
pub(crate) use bind::{NEW, OLD, side};
pub use dag::{Dag, Node};
pub use fingerprint::{Fingerprint, Hash};
pub use resolve::{Contracts, Resolved, Scope, resolve};
pub use step::{Input, InputTable, Origin, Patience, PlannedExport, PlannedStep, PlannedTest, PlannedTransform};
pub use step::{Query, Verdict, Work};

use crate::name::Name;

/// A step of a job, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId {
    /// The job.
    pub job: Name,
    /// The step in it.
    pub step: Name,
}

impl StepId {
    /// A step by unquoted names.
    pub fn new(job: &str, step: &str) -> Self {
        Self { job: Name::unquoted(job), step: Name::unquoted(step) }
    }
}

impl fmt::Display for StepId {
    /// `job.step` in lower case, as in YAML.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.job.lower(), self.step.lower())
    }
}

/// The steps of one or several jobs, and what waits for what.
#[derive(Debug, Default)]
pub struct Plan {
    /// The jobs, in the order they were named.
    pub jobs: Vec<Name>,
    /// Their steps: the jobs one after another, each in its author's order.
    pub steps: Vec<PlannedStep>,
    /// The order of work. A step that reads another job's table waits for that job to publish.
    pub dag: Dag,
    index: HashMap<StepId, usize>,
}

impl Plan {
    /// The plan of these steps, each waiting for what it reads; `waits` adds edges that no input shows.
    pub fn new(steps: Vec<PlannedStep>, waits: &[(StepId, StepId, Option<crate::text::Span>)]) -> Self {
        let mut jobs: Vec<Name> = Vec::new();
        for step in &steps {
            if jobs.last() != Some(&step.id.job) && !jobs.contains(&step.id.job) {
                jobs.push(step.id.job.clone());
            }
        }
        let nodes = (0..steps.len()).map(Node::Step).chain((0..jobs.len()).map(Node::Publish));
        let index = steps.iter().enumerate().map(|(at, step)| (step.id.clone(), at)).collect();
        let mut plan = Self { dag: Dag::new(nodes), jobs, steps, index };
        plan.connect(waits);
        plan
    }

    fn connect(&mut self, waits: &[(StepId, StepId, Option<crate::text::Span>)]) {
        let index = &self.index;
        let jobs: HashMap<&Name, usize> = self.jobs.iter().enumerate().map(|(at, job)| (job, at)).collect();
        let mut edges = Vec::new();
        let mut wait = |after: &PlannedStep, before: &StepId, span: Option<crate::text::Span>| {
            let (Some(&after_at), Some(&before_at)) = (index.get(&after.id), index.get(before)) else { return };
            let before = match (after.id.job == before.job, jobs.get(&before.job)) {
                (false, Some(&job)) => Node::Publish(job),
                _ => Node::Step(before_at),
            };
            edges.push((Node::Step(after_at), before, span));
        };
        for step in &self.steps {
            for input in step.inputs.iter().chain(step.tests.iter().flat_map(|test| &test.inputs)) {
                if let Origin::Step(before, _) = &input.origin
                    && (*before != step.id || step.inputs.contains(input))
                {
                    wait(step, before, Some(input.name.span.clone()));
                }
            }
        }
        for (after, before, span) in waits {
            if let Some(&at) = index.get(after) {
                wait(&self.steps[at], before, span.clone());
            }
        }
        for (at, step) in self.steps.iter().enumerate() {
            if let Some(&job) = jobs.get(&step.id.job) {
                edges.push((Node::Publish(job), Node::Step(at), None));
            }
        }
        for (at, _) in self.steps.iter().enumerate().filter(|(_, step)| step.export.is_some()) {
            edges.extend(self.before_export(at).map(|before| (Node::Step(at), Node::Step(before), None)));
        }
        for (after, before, span) in edges {
            self.dag.depend(after, before, span);
        }
    }

    /// The steps that an export waits for: all of its job that are no exports, since it goes out after their tests.
    fn before_export(&self, export: usize) -> impl Iterator<Item = usize> + '_ {
        let job = &self.steps[export].id.job;
        let before =
            self.steps.iter().enumerate().filter(move |(_, step)| step.id.job == *job && step.export.is_none());
        before.map(|(at, _)| at)
    }

    /// The index of a step.
    pub fn position(&self, id: &StepId) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// The steps in an order that respects what each reads, by index.
    pub fn step_order(&self) -> Vec<usize> {
        let order = self.dag.order().into_iter();
        order.filter_map(|node| if let Node::Step(at) = node { Some(at) } else { None }).collect()
    }

    /// The steps of a job, by index.
    pub fn steps_of(&self, job: usize) -> impl Iterator<Item = usize> + '_ {
        let name = &self.jobs[job];
        self.steps.iter().enumerate().filter(move |(_, step)| step.id.job == *name).map(|(at, _)| at)
    }
}
