//! What follows from a step that failed, as its author wants it: what is skipped, what goes on, what is published.

use std::collections::BTreeSet;

use super::{Decision, Event, Schedule};
use crate::job::OnError;
use crate::ledger::{LedgerError, Status};
use crate::plan::Node;

impl Schedule<'_> {
    /// A step has failed or was stopped.
    pub(super) async fn failed(&mut self, at: usize, why: String, status: Status) -> Result<(), LedgerError> {
        match self.run.plan.steps[at].on_error {
            OnError::Continue if status == Status::Failed => self.go_on_without(at, &why).await,
            OnError::KeepLast if status == Status::Failed => self.go_on_with_last(at, &why).await,
            OnError::Fail if status == Status::Failed => {
                self.halted.get_or_insert(why);
                Ok(())
            }
            _ => self.block(Node::Step(at), &why, status).await,
        }
    }

    /// Everything below the node is skipped, and the jobs that need it publish nothing.
    pub(super) async fn block(&mut self, node: Node, why: &str, status: Status) -> Result<(), LedgerError> {
        let plan = self.run.plan.clone();
        for below in plan.dag.with_descendants([node]) {
            if below == node || self.waits.remove(&below).is_none() {
                continue;
            }
            match below {
                Node::Publish(job) => self.withhold(job, why).await,
                Node::Step(at) => {
                    let status = if status == Status::Cancelled { Status::Cancelled } else { Status::Skipped };
                    self.skip(at, why, status).await?;
                }
            }
        }
        Ok(())
    }

    /// What follows from the step is skipped; its job publishes the rest, other jobs that need the step do not.
    async fn go_on_without(&mut self, at: usize, why: &str) -> Result<(), LedgerError> {
        let plan = self.run.plan.clone();
        let own = plan.jobs.iter().position(|job| *job == plan.steps[at].id.job);
        let (mut without, mut queue, mut missed) = (BTreeSet::from([at]), vec![at], 1);
        while let Some(missing) = queue.pop() {
            let id = &plan.steps[missing].id;
            let ordered = plan.dag.after(Node::Step(missing)).into_iter();
            let ordered = ordered.filter_map(|node| if let Node::Step(after) = node { Some(after) } else { None });
            let readers = (0..plan.steps.len()).filter(|reader| plan.steps[*reader].reads().any(|read| read == id));
            let below: Vec<usize> = ordered.chain(readers).filter(|below| without.insert(*below)).collect();
            for below in below {
                queue.push(below);
                if self.waits.remove(&Node::Step(below)).is_none() {
                    continue;
                }
                self.skip(below, why, Status::Skipped).await?;
                if plan.steps[below].id.job == plan.steps[at].id.job {
                    missed += 1;
                } else {
                    self.block(Node::Step(below), why, Status::Failed).await?;
                }
            }
        }
        for _ in 0..missed {
            own.into_iter().for_each(|own| self.waited(Node::Publish(own)));
        }
        Ok(())
    }

    /// What follows from the step reads the table that it published before, where there is one.
    async fn go_on_with_last(&mut self, at: usize, why: &str) -> Result<(), LedgerError> {
        let plan = self.run.plan.clone();
        let (id, Some(table)) = (&plan.steps[at].id, &plan.steps[at].publish) else {
            return self.go_on_without(at, why).await;
        };
        let published = self.run.backend.versions(std::slice::from_ref(table)).await;
        if !published.is_ok_and(|versions| versions.contains_key(table)) {
            return self.go_on_without(at, why).await;
        }
        self.discard(id).await;
        // What is made from the old table must not pass for made from the new one.
        let mark = format!("as before run {}", self.run.record.id);
        for below in plan.dag.with_descendants([Node::Step(at)]) {
            let Node::Step(below) = below else { continue };
            if below != at
                && let Decision::Run { fingerprint, .. } = &mut self.run.decisions[below]
            {
                fingerprint.inputs.insert(table.lower(), mark.clone());
                if let Some(record) = &mut self.records[below] {
                    record.fingerprint = Some(fingerprint.clone());
                }
            }
        }
        self.release(Node::Step(at));
        Ok(())
    }

    async fn skip(&mut self, at: usize, why: &str, status: Status) -> Result<(), LedgerError> {
        let Some(record) = &mut self.records[at] else { return Ok(()) };
        record.status = status;
        record.error = Some(why.to_owned());
        let record = record.clone();
        self.run.ledger.step(&self.run.record.id, at, &record)?;
        (self.run.tell)(&Event::StepFinished(Box::new(record)));
        self.let_go(at).await;
        Ok(())
    }

    pub(super) async fn withhold(&mut self, job: usize, why: &str) {
        let name = &self.run.plan.jobs[job];
        let nothing = self.written(job).is_empty() && self.exported(job).is_empty();
        if nothing || self.withheld.iter().any(|(withheld, _)| withheld == name) {
            return;
        }
        let name = self.run.plan.jobs[job].clone();
        (self.run.tell)(&Event::JobWithheld { job: name.clone(), reason: why.to_owned() });
        self.withheld.push((name, why.to_owned()));
    }
}
