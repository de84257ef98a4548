//! The scheduler: one loop that owns all state. Steps run as tasks beside it and report back; whatever is ready and
//! has the longest way to go is started first.

/// What follows from a failure.
mod failure;

/// Rows that go out of the project.
mod export;

use std::cmp::Ordering;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::time::Duration;

use tokio::task::JoinSet;

use self::export::Exported;
use super::attempt::{Means, Tried, failures, try_step};
use super::{Decision, Event, Run, RunResults, now, place, status_of};
use crate::backend::{Attempt, BackendError, Keep, Remedy};
use crate::ledger::{LedgerError, Published, Status, StepRecord, TryRecord};
use crate::plan::decide::Reason;
use crate::plan::incremental::Made;
use crate::plan::{Node, StepId};
use crate::transfer::Errand;

/// How long running steps get to stop after an interruption.
const GRACE: Duration = Duration::from_secs(5);

/// What a task beside the loop reports.
enum Report {
    Tried(usize, Box<Tried>),
    Woken(usize),
    Published(usize, Result<Vec<String>, BackendError>, Vec<Exported>),
}

/// A node that could start now; the one with the longest remaining path comes first, then the author's order.
struct Ready {
    remaining: f64,
    node: Node,
}

pub(super) struct Schedule<'a> {
    run: Run<'a>,
    records: Vec<Option<StepRecord>>,
    waits: HashMap<Node, usize>,
    remaining: HashMap<Node, f64>,
    ready: BinaryHeap<Ready>,
    readers: HashMap<StepId, usize>,
    tasks: JoinSet<Report>,
    busy: usize,
    published: Vec<String>,
    withheld: Vec<(crate::name::Name, String)>,
    /// The jobs whose publishing has begun.
    publishing: BTreeSet<usize>,
    /// Why no other step is started, once a step failed whose author wants it so.
    halted: Option<String>,
}

impl<'a> Schedule<'a> {
    pub(super) fn new(run: Run<'a>) -> Self {
        let steps = run.plan.steps.iter().zip(&run.decisions);
        let records = steps
            .map(|(step, decision)| match decision {
                Decision::Run { reason, fingerprint, .. } => {
                    let pending = StepRecord::pending(step.id.clone(), reason.clone());
                    let sql = step.query().map(|query| query.sql.clone());
                    Some(StepRecord { fingerprint: Some(fingerprint.clone()), sql, ..pending })
                }
                Decision::Skip { reason } => {
                    Some(StepRecord { status: Status::Skipped, ..StepRecord::pending(step.id.clone(), reason.clone()) })
                }
                Decision::Leave => None,
            })
            .collect();
        Self {
            records,
            waits: HashMap::new(),
            remaining: HashMap::new(),
            ready: BinaryHeap::new(),
            readers: HashMap::new(),
            tasks: JoinSet::new(),
            busy: 0,
            published: Vec::new(),
            withheld: Vec::new(),
            publishing: BTreeSet::new(),
            halted: None,
            run,
        }
    }

    pub(super) async fn run(mut self) -> Result<RunResults, LedgerError> {
        self.prepare()?;
        self.remember().await;
        let mut interrupted = false;
        loop {
            while !interrupted && self.halted.is_none() && self.busy < self.run.jobs.max(1) {
                let Some(Ready { node, .. }) = self.ready.pop() else { break };
                self.start(node)?;
            }
            if self.tasks.is_empty() {
                break;
            }
            tokio::select! {
                biased;
                () = self.run.cancel.cancelled(), if !interrupted => {
                    interrupted = true;
                    (self.run.tell)(&Event::Interrupted);
                }
                () = tokio::time::sleep(GRACE), if interrupted => self.tasks.abort_all(),
                Some(report) = self.tasks.join_next() => match report {
                    Ok(report) => self.take(report, interrupted).await?,
                    Err(error) => tracing::debug!(%error, "a task was aborted"),
                },
            }
        }
        self.finish(interrupted).await
    }

    fn prepare(&mut self) -> Result<(), LedgerError> {
        let timings = self.run.ledger.timings()?;
        let known = timings.len().max(1) as f64;
        let usual = timings.values().sum::<f64>() / known;
        let plan = self.run.plan.clone();
        self.remaining = plan.dag.remaining(|node| match node {
            Node::Step(at) => timings.get(&plan.steps[at].id).copied().unwrap_or(usual.max(0.001)),
            Node::Publish(_) => 0.0,
        });
        let active: BTreeSet<Node> = plan.dag.order().into_iter().filter(|node| self.is_active(*node)).collect();
        self.run.ledger.start(&self.run.record)?;
        let tries = active.iter().filter(|node| matches!(node, Node::Step(_))).count();
        (self.run.tell)(&Event::RunStarted { run: self.run.record.clone(), steps: tries });
        self.tell_skipped()?;
        for &node in &active {
            if let Node::Step(at) = node {
                for before in plan.steps[at].reads() {
                    *self.readers.entry(before.clone()).or_default() += 1;
                }
            }
            let waits = plan.dag.before(node).iter().filter(|before| active.contains(before)).count();
            self.waits.insert(node, waits);
            if waits == 0 {
                self.push(node);
            }
        }
        Ok(())
    }

    fn tell_skipped(&mut self) -> Result<(), LedgerError> {
        let records: Vec<(usize, &StepRecord)> =
            self.records.iter().enumerate().filter_map(|(at, record)| record.as_ref().map(|r| (at, r))).collect();
        self.run.ledger.steps(&self.run.record.id, records.iter().copied())?;
        for (_, record) in records.iter().filter(|(_, record)| record.status == Status::Skipped) {
            (self.run.tell)(&Event::StepFinished(Box::new((*record).clone())));
        }
        Ok(())
    }

    fn is_active(&self, node: Node) -> bool {
        match node {
            Node::Step(at) => matches!(self.run.decisions[at], Decision::Run { .. }),
            Node::Publish(job) => self.run.plan.steps_of(job).any(|at| self.is_active(Node::Step(at))),
        }
    }

    fn push(&mut self, node: Node) {
        let remaining = self.remaining.get(&node).copied().unwrap_or_default();
        self.ready.push(Ready { remaining, node });
    }

    fn start(&mut self, node: Node) -> Result<(), LedgerError> {
        match node {
            Node::Step(at) => self.start_step(at),
            Node::Publish(job) => {
                self.start_publish(job);
                Ok(())
            }
        }
    }

    fn start_step(&mut self, at: usize) -> Result<(), LedgerError> {
        let (Decision::Run { keep, reason, fingerprint, history }, Some(record)) =
            (&self.run.decisions[at], &mut self.records[at])
        else {
            return Ok(());
        };
        record.attempts += 1;
        record.status = Status::Running;
        record.started.get_or_insert_with(now);
        let attempt = Attempt {
            run: self.run.record.id.clone(),
            number: record.attempts,
            keep: keep.clone(),
            afresh: *reason == Reason::Forced.to_string(),
            made: Some(Made { step: record.step.clone(), fingerprint: fingerprint.clone(), history: history.clone() }),
            cancel: self.run.cancel.child_token(),
        };
        (self.run.tell)(&Event::StepStarted { step: record.step.clone(), attempt: record.attempts });
        let means = Means {
            plan: self.run.plan.clone(),
            backend: self.run.backend.clone(),
            transfers: self.run.transfers.clone(),
            errand: Errand {
                run: self.run.record.id.clone(),
                at: self.run.record.started.to_rfc3339(),
                made_from: fingerprint.whole().to_string(),
            },
            max_rows: self.run.max_rows,
        };
        self.busy += 1;
        self.tasks.spawn(async move { Report::Tried(at, Box::new(try_step(means, at, attempt).await)) });
        Ok(())
    }

    /// The steps of a job whose results were to become visible.
    fn written(&self, job: usize) -> Vec<usize> {
        let written =
            |at: &usize| matches!(&self.run.decisions[*at], Decision::Run { keep: Keep::Table(_) | Keep::View(_), .. });
        self.run.plan.steps_of(job).filter(written).collect()
    }

    /// Those of them that have succeeded, where the job publishes: others are missing because their authors let them.
    fn to_publish(&self, job: usize) -> Vec<usize> {
        self.written(job).into_iter().filter(|at| self.succeeded(*at)).collect()
    }

    fn succeeded(&self, at: usize) -> bool {
        self.records[at].as_ref().is_some_and(|step| step.status == Status::Success)
    }

    /// The tables first: nobody outside is to see rows that are not published here.
    fn start_publish(&mut self, job: usize) {
        let (plan, backend, steps) = (self.run.plan.clone(), self.run.backend.clone(), self.to_publish(job));
        let (transfers, exports) = (self.run.transfers.clone(), self.to_export(job));
        self.busy += 1;
        self.publishing.insert(job);
        self.tasks.spawn(async move {
            let steps: Vec<_> = steps.iter().map(|at| &plan.steps[*at]).collect();
            let published =
                if steps.is_empty() { Ok(Vec::new()) } else { backend.publish(&plan.jobs[job], &steps).await };
            let mut exported = Vec::new();
            if published.is_ok() {
                for at in exports {
                    exported.push((at, transfers.commit(&plan.steps[at].id).await));
                }
            }
            Report::Published(job, published, exported)
        });
    }

    async fn take(&mut self, report: Report, interrupted: bool) -> Result<(), LedgerError> {
        match report {
            Report::Tried(at, tried) => {
                self.busy -= 1;
                self.tried(at, *tried, interrupted).await
            }
            Report::Woken(at) => {
                if !interrupted {
                    self.push(Node::Step(at));
                }
                Ok(())
            }
            Report::Published(job, done, exported) => {
                self.busy -= 1;
                self.publish_done(job, done, exported).await
            }
        }
    }

    async fn tried(&mut self, at: usize, mut tried: Tried, interrupted: bool) -> Result<(), LedgerError> {
        let placed = |error| place::of_step(&self.run.plan, &self.run.decisions, at, error);
        tried.error = tried.error.take().map(placed);
        let patience = self.run.plan.steps[at].patience.clone();
        let Some(record) = &mut self.records[at] else { return Ok(()) };
        record.seconds += tried.seconds;
        record.rows = tried.rows;
        record.tests = tried.tests;
        record.queries = tried.queries;
        let may_pass = tried.error.as_ref().is_some_and(|error| error.remedy == Remedy::Retry);
        let again = may_pass && record.attempts < patience.attempts && !interrupted;
        let seed = format!("{} {}", self.run.record.id, record.step);
        let wait = again.then(|| patience.spread(record.attempts, &seed));
        if let Some(error) = &tried.error {
            let (step, attempt) = (record.step.clone(), record.attempts);
            let (class, error, seconds) = (error.remedy.word().to_owned(), error.to_string(), tried.seconds);
            let wait = wait.map(|wait| wait.as_secs_f64());
            let failed = TryRecord { attempt, at: now(), seconds, class, error, wait };
            self.run.ledger.tried(&self.run.record.id, &step, &failed)?;
        }
        if let (Some(error), Some(wait)) = (&tried.error, wait) {
            let (step, attempt) = (record.step.clone(), record.attempts);
            (self.run.tell)(&Event::StepRetried { step, attempt, wait, error: error.to_string() });
            let cancel = self.run.cancel.clone();
            self.tasks.spawn(async move {
                let _ = tokio::time::timeout(wait, cancel.cancelled()).await;
                Report::Woken(at)
            });
            return Ok(());
        }
        record.error = tried.error.as_ref().map(ToString::to_string).or_else(|| failures(&record.tests));
        record.status = match (&tried.error, &record.error) {
            (Some(error), _) if error.remedy == Remedy::Cancelled => Status::Cancelled,
            (_, Some(_)) => Status::Failed,
            _ => Status::Success,
        };
        self.ended(at).await
    }

    /// Writes down and tells how a step ended, lets go of what it read, and sees to what waits for it.
    async fn ended(&mut self, at: usize) -> Result<(), LedgerError> {
        let Some(record) = self.records[at].clone() else { return Ok(()) };
        self.run.ledger.step(&self.run.record.id, at, &record)?;
        (self.run.tell)(&Event::StepFinished(Box::new(record.clone())));
        self.let_go(at).await;
        match record.status {
            Status::Success => self.release(Node::Step(at)),
            status => {
                let why =
                    format!("`{}` {}", record.step, if status == Status::Failed { "failed" } else { "was stopped" });
                self.failed(at, why, status).await?;
            }
        }
        Ok(())
    }

    /// One reader of every input of the step is done; what has none left is forgotten.
    async fn let_go(&mut self, at: usize) {
        let plan = self.run.plan.clone();
        for before in plan.steps[at].reads() {
            let Some(left) = self.readers.get_mut(before) else { continue };
            *left = left.saturating_sub(1);
            let held = plan.position(before).is_some_and(|before| {
                matches!(&self.run.decisions[before], Decision::Run { keep: Keep::Share | Keep::Inline, .. })
            });
            if *left == 0 && held {
                self.discard(before).await;
            }
        }
    }

    /// What cannot be forgotten is cleaned up by the backend's next start.
    async fn discard(&self, step: &StepId) {
        if let Err(error) = self.run.backend.discard(step).await {
            tracing::warn!(%step, %error, "its result could not be discarded");
        }
    }

    async fn leave(&self, step: &StepId) {
        if let Err(error) = self.run.backend.leave(step).await {
            tracing::warn!(%step, %error, "its result could not be left for a run that takes up this one");
        }
    }

    /// Keeps what is known of the run with the tables, where other machines look there. What is not kept is computed again
    /// by whoever comes next.
    async fn remember(&self) {
        if !self.run.backend.keeps_history() {
            return;
        }
        let kept = match self.run.ledger.entries(&self.run.record.id) {
            Ok(entries) => self.run.backend.remember(&entries).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = kept {
            tracing::warn!(%error, "the run's history could not be kept with the tables");
        }
    }

    fn release(&mut self, node: Node) {
        for next in self.run.plan.clone().dag.after(node) {
            self.waited(next);
        }
    }

    /// One of the nodes that this one waits for is done with.
    fn waited(&mut self, node: Node) {
        let Some(waits) = self.waits.get_mut(&node) else { return };
        *waits = waits.saturating_sub(1);
        if *waits == 0 {
            self.waits.remove(&node);
            self.push(node);
        }
    }

    async fn publish_done(
        &mut self,
        job: usize,
        done: Result<Vec<String>, BackendError>,
        exported: Vec<Exported>,
    ) -> Result<(), LedgerError> {
        let steps = self.to_publish(job);
        let versions = match done {
            Ok(versions) => versions,
            Err(error) => {
                let why = format!("could not publish: {error}");
                self.withhold(job, &why).await;
                return self.block(Node::Publish(job), &why, Status::Failed).await;
            }
        };
        let mut published = Vec::new();
        for (at, version) in steps.into_iter().zip(versions) {
            published.extend(self.publication(at, version));
        }
        if !published.is_empty() {
            self.run.ledger.published(&published)?;
            let tables: Vec<String> = published.into_iter().map(|table| table.table).collect();
            self.published.extend(tables.iter().cloned());
            (self.run.tell)(&Event::JobPublished { job: self.run.plan.jobs[job].clone(), tables });
        }
        for (at, done) in exported {
            self.export_done(job, at, done)?;
        }
        self.remember().await;
        self.release(Node::Publish(job));
        Ok(())
    }

    fn publication(&mut self, at: usize, version: String) -> Option<Published> {
        let (Decision::Run { keep: Keep::Table(table) | Keep::View(table), fingerprint, history, .. }, Some(record)) =
            (&self.run.decisions[at], &mut self.records[at])
        else {
            return None;
        };
        record.table = Some(table.lower());
        Some(Published {
            table: table.lower(),
            step: record.step.clone(),
            run: self.run.record.id.clone(),
            at: now(),
            fingerprint: fingerprint.clone(),
            history: history.clone(),
            version,
            rows: record.rows,
        })
    }

    async fn finish(mut self, interrupted: bool) -> Result<RunResults, LedgerError> {
        let halted = self.halted.clone().filter(|_| !interrupted);
        let status = if halted.is_some() { Status::Skipped } else { Status::Cancelled };
        for at in 0..self.records.len() {
            let Some(record) = &mut self.records[at] else { continue };
            if matches!(record.status, Status::Pending | Status::Running) {
                record.status = status;
                record.error = Some(halted.clone().unwrap_or_else(|| "interrupted".to_owned()));
                let record = record.clone();
                self.run.ledger.step(&self.run.record.id, at, &record)?;
                (self.run.tell)(&Event::StepFinished(Box::new(record)));
            }
        }
        for job in 0..self.run.plan.jobs.len() {
            if let Some(why) = halted.as_deref().filter(|_| !self.publishing.contains(&job)) {
                self.withhold(job, why).await;
            }
            for at in self.written(job) {
                let Some(record) = self.records[at].as_ref().filter(|record| record.table.is_none()) else { continue };
                let (step, finished) = (record.step.clone(), record.status == Status::Success);
                if finished { self.leave(&step).await } else { self.discard(&step).await }
            }
        }
        self.run.transfers.close().await;
        let mut steps: Vec<StepRecord> = std::mem::take(&mut self.records).into_iter().flatten().collect();
        let scanned = if interrupted { HashMap::new() } else { self.run.backend.scanned().await };
        steps.iter_mut().for_each(|record| record.scanned = scanned.get(&record.step).copied());
        let mut run = self.run.record.clone();
        run.status = status_of(&steps, !self.withheld.is_empty(), interrupted);
        run.finished = Some(now());
        self.run.ledger.finish(&run.id, run.status, run.finished.unwrap_or_default())?;
        self.remember().await;
        self.run.backend.close().await;
        let results = RunResults { run, steps, published: self.published, withheld: self.withheld };
        (self.run.tell)(&Event::RunFinished(Box::new(results.clone())));
        Ok(results)
    }
}

impl Ord for Ready {
    fn cmp(&self, other: &Self) -> Ordering {
        self.remaining.total_cmp(&other.remaining).then_with(|| other.node.cmp(&self.node))
    }
}

impl PartialOrd for Ready {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ready {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ready {}
