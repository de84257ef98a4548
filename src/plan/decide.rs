//! What must run, and why: fingerprints of what every step would give now, held against what its table was made from.

/// Tables that grow.
mod growth;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::bind::Batches;
use super::fingerprint::{Clock, ENGINE_VERSION, Fingerprint, Hash, normalise};
use super::interval::{History, Interval, Window};
use super::step::{Origin, PlannedStep};
use super::{Plan, StepId, view};
use crate::diagnostic::Diagnostic;
use crate::name::TableName;

/// Why a step runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The run was told to.
    Forced,
    /// Its table has not been published yet.
    Missing,
    /// It is an export whose rows are not out there.
    NotExported,
    /// It failed last time, or was not reached.
    Failed,
    /// An earlier run, of this name, had finished it and did not come to publish it: the rows are taken over.
    Finished(String),
    /// Its SQL, contract, tests or parameters are not as they were.
    ChangedSql,
    /// These tables are not as they were.
    ChangedInputs(Vec<String>),
    /// Somebody else changed its table since.
    ChangedOutside,
    /// These intervals are built; so many of them are read again.
    Intervals(Vec<Interval>, usize),
    /// It draws random numbers, so that no two runs are alike.
    Volatile,
    /// A step that runs reads it.
    ReadBy(StepId),
    /// It was asked for by name.
    Asked,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Forced => f.write_str("forced"),
            Self::Missing => f.write_str("not published yet"),
            Self::NotExported => f.write_str("not exported yet"),
            Self::Failed => f.write_str("failed last time"),
            Self::Finished(run) => write!(f, "finished in run {run}"),
            Self::ChangedSql => f.write_str("changed SQL"),
            Self::ChangedInputs(names) => write!(f, "changed input {}", names.join(", ")),
            Self::ChangedOutside => f.write_str("its table was changed by something else"),
            Self::Intervals(intervals, again) => growth::told(f, intervals, *again),
            Self::Volatile => f.write_str("draws random values"),
            Self::ReadBy(reader) => write!(f, "read by {}", reader.step.lower()),
            Self::Asked => f.write_str("asked for"),
        }
    }
}

/// What is decided for a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It runs.
    Run(Reason),
    /// Its result is as it would be.
    Unchanged,
    /// Nobody needs it now.
    Unneeded,
    /// It is no part of the run.
    Leave,
}

/// The state of things that a decision is made on.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The backend's marks of the tables that exist.
    pub versions: HashMap<TableName, String>,
    /// What published tables were made from, by name.
    pub made_from: HashMap<TableName, MadeFrom>,
    /// What exports last sent out, where what they sent is still as it was.
    pub exported: HashMap<StepId, Fingerprint>,
    /// Marks of the files that load steps read.
    pub files: HashMap<StepId, String>,
    /// What internal steps were last made from, where they succeeded.
    pub internal: HashMap<StepId, Fingerprint>,
    /// Steps that failed or were not reached last time.
    pub failed: BTreeSet<StepId>,
    /// What an earlier run finished and did not publish, with that run's name.
    pub finished: HashMap<StepId, (String, Fingerprint)>,
    /// Texts of steps' SQL that draw random values.
    pub volatile: BTreeSet<usize>,
    /// The day and the instant of the pinned clock.
    pub clock: (String, String),
    /// The instant of the pinned clock, in the session's time zone.
    pub now: chrono::NaiveDateTime,
}

/// What a published table was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeFrom {
    /// By which step.
    pub step: StepId,
    /// From what.
    pub fingerprint: Fingerprint,
    /// The backend's mark of it then.
    pub version: String,
    /// The intervals that it has, where it is built by such.
    pub history: History,
}

/// What a run was asked for.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// The steps of the run.
    pub steps: BTreeSet<usize>,
    /// Internal steps among them that run even where nothing reads them.
    pub by_name: bool,
    /// Whether all of them run whatever their state.
    pub force: bool,
    /// Whether those run that failed or were not reached last time, though nothing has changed.
    pub unfinished: bool,
    /// Which intervals are built of tables that are built by such.
    pub window: Window,
    /// Whether a table that grows is taken as it is, though its SQL has changed or something else has changed it.
    pub forward_only: bool,
}

/// A choice and a fingerprint per step, in the plan's order; and reads of tables that nobody has published.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// The choices.
    pub choices: Vec<Choice>,
    /// What each result would be made from.
    pub fingerprints: Vec<Fingerprint>,
    /// What makes the run impossible.
    pub problems: Vec<Diagnostic>,
    /// What is built of steps that are built by intervals.
    pub batches: Batches,
    /// The intervals that the tables of such steps will have, by step.
    pub histories: BTreeMap<usize, History>,
    /// The intervals that no run has built and this one does not, by step.
    pub gaps: BTreeMap<usize, Vec<Interval>>,
    /// The tables that grow and hold rows which the present SQL would not give, by step, with what is said of them.
    pub outdated: BTreeMap<usize, String>,
}

/// Decides for every step of a plan whose names are resolved.
pub fn decide(plan: &Plan, ask: &Ask, state: &State) -> Choices {
    let mut decider = Decider {
        plan,
        ask,
        state,
        pulled: pulled(plan, ask, state),
        read: plan.steps.iter().flat_map(PlannedStep::reads).collect(),
        read_by_asked: ask.steps.iter().flat_map(|at| plan.steps[*at].reads()).collect(),
        choices: vec![Choice::Leave; plan.steps.len()],
        fingerprints: vec![Fingerprint::default(); plan.steps.len()],
        timeless: vec![(Hash::default(), Clock::Unread); plan.steps.len()],
        grown: growth::Grown::default(),
    };
    let order = plan.step_order();
    for &at in &order {
        decider.timeless[at] = decider.timeless(at);
        decider.fingerprints[at] = decider.fingerprint(at);
        decider.choices[at] = decider.choice(at);
        decider.grow(at);
    }
    let mut problems = Vec::new();
    for &at in order.iter().rev() {
        if matches!(&decider.choices[at], Choice::Run(reason) if !matches!(reason, Reason::Finished(_))) {
            decider.need(at, &mut problems);
        }
    }
    let growth::Grown { batches, histories, gaps, outdated } = decider.grown;
    Choices {
        choices: decider.choices,
        fingerprints: decider.fingerprints,
        problems,
        batches,
        histories,
        gaps,
        outdated,
    }
}

/// The steps of other jobs whose tables are read and have never been published: they are built first.
fn pulled(plan: &Plan, ask: &Ask, state: &State) -> BTreeSet<usize> {
    let mut pulled = BTreeSet::new();
    let mut seen = ask.steps.clone();
    let mut queue: Vec<usize> = ask.steps.iter().copied().collect();
    while let Some(at) = queue.pop() {
        let step = &plan.steps[at];
        let tested = step.tests.iter().flat_map(|test| &test.inputs);
        for input in step.inputs.iter().chain(tested) {
            let Origin::Step(id, published) = &input.origin else { continue };
            let Some(before) = plan.position(id) else { continue };
            let table = published.as_ref().filter(|_| !plan.steps[before].view);
            let elsewhere = id.job != step.id.job || pulled.contains(&at);
            let wanted = table.is_none_or(|table| elsewhere && !state.versions.contains_key(table));
            if wanted && seen.insert(before) {
                queue.push(before);
                if elsewhere && table.is_some() {
                    pulled.insert(before);
                }
            }
        }
    }
    pulled
}

struct Decider<'a> {
    plan: &'a Plan,
    ask: &'a Ask,
    state: &'a State,
    pulled: BTreeSet<usize>,
    read: HashSet<&'a StepId>,
    read_by_asked: HashSet<&'a StepId>,
    choices: Vec<Choice>,
    fingerprints: Vec<Fingerprint>,
    /// What steps do whatever the clock says, and how finely they ask it, what they read included.
    timeless: Vec<(Hash, Clock)>,
    grown: growth::Grown,
}

impl Decider<'_> {
    fn fingerprint(&self, at: usize) -> Fingerprint {
        let step = &self.plan.steps[at];
        let mut inputs = BTreeMap::new();
        let mut definitions = BTreeMap::new();
        let tested = step.tests.iter().flat_map(|test| &test.inputs);
        for input in step.inputs.iter().chain(tested) {
            match &input.origin {
                // What a step adds to is no reason to run again.
                Origin::Own(_) => {}
                Origin::Step(id, _) if *id == step.id => {}
                Origin::Step(id, published) => {
                    let Some(before) = self.plan.position(id) else { continue };
                    match published {
                        Some(table) if !self.plan.steps[before].view => {
                            inputs.insert(table.lower(), self.version_of_step(before, table));
                        }
                        _ => {
                            let made = &self.fingerprints[before];
                            definitions.insert(id.to_string(), made.definition.to_string());
                            inputs.extend(made.inputs.iter().map(|(name, version)| (name.clone(), version.clone())));
                        }
                    }
                }
                Origin::Table(table) => {
                    inputs.insert(table.lower(), self.version_of_table(table));
                }
            }
        }
        if let Some(files) = self.state.files.get(&step.id) {
            inputs.insert("files".to_owned(), files.clone());
        }
        if step.incremental.is_some() {
            return self.grown_fingerprint(at, inputs);
        }
        let own = self.definition(at);
        let parts = definitions.iter().flat_map(|(name, definition)| [name.as_str(), definition.as_str()]);
        Fingerprint { definition: Hash::of(std::iter::once(own.as_str()).chain(parts)), inputs }
    }

    fn definition(&self, at: usize) -> String {
        let step = &self.plan.steps[at];
        let sql = normalise(&if step.view { view::text(self.plan, at) } else { step.sql().to_owned() });
        let (day, instant) = &self.state.clock;
        let clock = match Clock::read_by(&sql).max(step.clock) {
            Clock::Unread => "",
            Clock::Day => day,
            Clock::Instant => instant,
        };
        let publish = step.publish.as_ref().map(TableName::lower).unwrap_or_default();
        let kind = if step.view { "view" } else { "table" };
        let mut parts =
            vec![ENGINE_VERSION.to_owned(), sql, clock.to_owned(), publish, kind.to_owned(), step.promise.clone()];
        if !step.outside.is_empty() {
            parts.push(step.outside.clone());
        }
        for test in &step.tests {
            parts.push(format!("{:?} {:?} {:?}", test.test.rule.kind(), test.test.severity, test.test.error_if));
            parts.push(normalise(&test.test.query("t")));
        }
        Hash::of(parts.iter().map(String::as_str)).to_string()
    }

    /// What a reader of a step's table gets in this run.
    fn version_of_step(&self, at: usize, table: &TableName) -> String {
        match self.choices[at] {
            Choice::Run(_) | Choice::Unchanged => self.fingerprints[at].whole().to_string(),
            Choice::Unneeded | Choice::Leave => self.version_of_table(table),
        }
    }

    /// What is under a table's name now: what it was made from where that is known, else the backend's mark.
    fn version_of_table(&self, table: &TableName) -> String {
        let version = self.state.versions.get(table);
        match (self.state.made_from.get(table), version) {
            (Some(made), Some(version)) if made.version == *version => made.fingerprint.whole().to_string(),
            (_, Some(version)) => version.clone(),
            (_, None) => "absent".to_owned(),
        }
    }

    fn choice(&mut self, at: usize) -> Choice {
        let step = &self.plan.steps[at];
        if self.pulled.contains(&at) {
            return Choice::Run(Reason::Missing);
        }
        if !self.ask.steps.contains(&at) {
            return Choice::Leave;
        }
        let now = &self.fingerprints[at];
        if step.export.is_some() {
            return self.export(at, now);
        }
        let Some(table) = &step.publish else { return self.internal(at, now) };
        if step.incremental.is_some() {
            return self.growth(at, table);
        }
        if self.ask.force {
            return Choice::Run(Reason::Forced);
        }
        if let Some((run, finished)) = self.state.finished.get(&step.id)
            && finished == now
        {
            return Choice::Run(Reason::Finished(run.clone()));
        }
        let (made, version) = (self.state.made_from.get(table), self.state.versions.get(table));
        let reason = match (made, version) {
            (_, None) if self.state.failed.contains(&step.id) => Reason::Failed,
            (_, None) => Reason::Missing,
            (Some(made), Some(version)) if made.version == *version && made.step == step.id => {
                match self.difference(at, now, &made.fingerprint, step.view) {
                    Some(reason) => reason,
                    None if self.ask.unfinished && self.state.failed.contains(&step.id) => Reason::Failed,
                    None => return Choice::Unchanged,
                }
            }
            (_, Some(_)) => Reason::ChangedOutside,
        };
        Choice::Run(reason)
    }

    fn export(&self, at: usize, now: &Fingerprint) -> Choice {
        let step = &self.plan.steps[at];
        match self.state.exported.get(&step.id) {
            _ if self.ask.force => Choice::Run(Reason::Forced),
            None if self.state.failed.contains(&step.id) => Choice::Run(Reason::Failed),
            None => Choice::Run(Reason::NotExported),
            Some(before) => match self.difference(at, now, before, false) {
                Some(reason) => Choice::Run(reason),
                None if self.ask.unfinished && self.state.failed.contains(&step.id) => Choice::Run(Reason::Failed),
                None => Choice::Unchanged,
            },
        }
    }

    fn internal(&self, at: usize, now: &Fingerprint) -> Choice {
        let step = &self.plan.steps[at];
        if self.ask.by_name && !self.read_by_asked.contains(&step.id) {
            return Choice::Run(if self.ask.force { Reason::Forced } else { Reason::Asked });
        }
        if self.read.contains(&step.id) {
            return Choice::Unneeded;
        }
        match self.state.internal.get(&step.id) {
            _ if self.ask.force => Choice::Run(Reason::Forced),
            Some(before) => match self.difference(at, now, before, false) {
                Some(reason) => Choice::Run(reason),
                None => Choice::Unchanged,
            },
            None if self.state.failed.contains(&step.id) => Choice::Run(Reason::Failed),
            None => Choice::Run(Reason::Asked),
        }
    }

    /// A view computes from what its inputs are when it is read, so only its definition counts.
    fn difference(&self, at: usize, now: &Fingerprint, before: &Fingerprint, view: bool) -> Option<Reason> {
        if now.definition != before.definition {
            return Some(Reason::ChangedSql);
        }
        let changed = now.changed_inputs(before);
        if !view && !changed.is_empty() {
            return Some(Reason::ChangedInputs(changed));
        }
        self.state.volatile.contains(&at).then_some(Reason::Volatile)
    }

    /// A step that runs needs what it reads: internal steps and views run too, tables must be there.
    fn need(&mut self, at: usize, problems: &mut Vec<Diagnostic>) {
        let step = &self.plan.steps[at];
        let tested = step.tests.iter().flat_map(|test| &test.inputs);
        for input in step.inputs.iter().chain(tested) {
            let Origin::Step(id, published) = &input.origin else { continue };
            let Some(before) = self.plan.position(id).filter(|before| *before != at) else { continue };
            if matches!(self.choices[before], Choice::Run(_)) {
                continue;
            }
            match published {
                Some(table) if !self.plan.steps[before].view => {
                    if !self.state.versions.contains_key(table) {
                        let message =
                            format!("`{}` reads `{}`, which has not been published yet", step.id, table.lower());
                        let hint = if id.job == step.id.job {
                            format!("run it too: --select +{}", step.id.step.lower())
                        } else {
                            format!("run job `{}` first", id.job.lower())
                        };
                        problems
                            .push(Diagnostic::error("not-published", message).at(input.name.span.clone()).hint(hint));
                    }
                }
                _ => self.choices[before] = Choice::Run(Reason::ReadBy(step.id.clone())),
            }
        }
    }
}
