//! Steps computed aside, to answer questions about a job: each is built once, after what it reads, and nothing is published.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use datafusion::arrow::array::RecordBatch;
use tokio_util::sync::CancellationToken;

use super::{keeps, now, run_id};
use crate::backend::{Attempt, Backend, BackendError, Keep};
use crate::name::TableName;
use crate::plan::{Input, Origin, Plan, Query, StepId, Work};

/// Whether a step need not be built, since what it published serves; the table is what it publishes.
pub type IsThere<'a> = dyn Fn(&StepId, Option<&TableName>) -> bool + 'a;

/// What the names of runs begin with that compute steps aside.
pub const ASIDE: &str = "aside ";

/// The run that begins to compute steps aside at an instant.
pub fn run_of(at: DateTime<Utc>) -> String {
    format!("{ASIDE}{}", run_id(at, std::process::id()))
}

/// The steps of a plan that have been built so far.
pub struct Aside<'a> {
    plan: &'a Plan,
    backend: &'a dyn Backend,
    keeps: Vec<Keep>,
    built: BTreeSet<StepId>,
    is_there: Box<IsThere<'a>>,
    run: String,
    growing: BTreeMap<usize, bool>,
}

impl<'a> Aside<'a> {
    /// Nothing is built yet.
    pub fn new(plan: &'a Plan, backend: &'a dyn Backend, is_there: Box<IsThere<'a>>) -> Self {
        let (built, growing) = Default::default();
        Self { plan, backend, keeps: keeps(plan, false), built, is_there, run: run_of(now()), growing }
    }

    /// The same, where these steps add to what they have published, or with `true` build it anew.
    #[must_use]
    pub fn growing(mut self, growing: BTreeMap<usize, bool>) -> Self {
        self.growing = growing;
        self
    }

    /// The rows of a query over these inputs.
    pub async fn rows(&mut self, query: &Query, inputs: &[Input]) -> Result<Vec<RecordBatch>, BackendError> {
        self.build_inputs(inputs).await?;
        self.backend.query(query).await
    }

    /// The rows of a query over one of these inputs whose SQL may give more than its plan.
    pub async fn narrowed(&mut self, query: &Query, inputs: &[Input]) -> Result<Vec<RecordBatch>, BackendError> {
        self.build_inputs(inputs).await?;
        self.backend.narrowed(query).await
    }

    async fn build_inputs(&mut self, inputs: &[Input]) -> Result<(), BackendError> {
        for input in inputs {
            if let Origin::Step(id, published) = &input.origin
                && !self.has(id, published.as_ref())
                && let Some(at) = self.plan.position(id)
            {
                self.build(at, Keep::Share).await?;
            }
        }
        Ok(())
    }

    /// Builds a step after all that it reads, unless that is done, and says how many rows it has where that is known.
    pub async fn build(&mut self, at: usize, keep: Keep) -> Result<Option<u64>, BackendError> {
        let mut needed: BTreeSet<usize> = BTreeSet::new();
        let mut waiting = vec![at];
        while let Some(at) = waiting.pop() {
            if !needed.insert(at) {
                continue;
            }
            for input in &self.plan.steps[at].inputs {
                if let Origin::Step(id, published) = &input.origin
                    && !self.has(id, published.as_ref())
                {
                    waiting.extend(self.plan.position(id));
                }
            }
        }
        let mut rows = None;
        for next in self.plan.step_order().into_iter().filter(|at| needed.contains(at)) {
            let step = &self.plan.steps[next];
            let grows = self.growing.get(&next).zip(step.publish.clone());
            let keep = match (&self.keeps[next], &grows) {
                (_, Some((_, table))) => Keep::Table(table.clone()),
                _ if next == at => keep.clone(),
                (Keep::Inline, _) => Keep::Inline,
                _ => Keep::Share,
            };
            let attempt = Attempt {
                run: self.run.clone(),
                number: 1,
                keep,
                afresh: grows.is_some_and(|(anew, _)| *anew),
                made: None,
                cancel: CancellationToken::new(),
            };
            let built = self.backend.build(step, &attempt).await?;
            self.built.insert(step.id.clone());
            if next == at {
                rows = built.rows;
            }
        }
        Ok(rows)
    }

    fn has(&self, id: &StepId, published: Option<&TableName>) -> bool {
        // Only a run reads files: of a load there is what it published.
        let loaded = published.is_some()
            && self.plan.position(id).is_some_and(|at| matches!(self.plan.steps[at].work, Work::Load(_)));
        loaded || self.built.contains(id) || (self.is_there)(id, published)
    }

    /// Lets go of all that was built.
    pub async fn forget(&mut self) {
        for id in std::mem::take(&mut self.built) {
            if let Err(error) = self.backend.discard(&id).await {
                tracing::debug!(%error, step = %id, "a result computed aside is left behind");
            }
        }
    }
}
