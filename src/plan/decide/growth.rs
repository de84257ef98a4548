//! Decisions on tables that grow: what they hold must be what their SQL gave, and what they lack is built.

use std::collections::BTreeMap;
use std::fmt;

use super::{Choice, Decider, MadeFrom, Reason};
use crate::name::TableName;
use crate::plan::bind::Batches;
use crate::plan::fingerprint::{Clock, Fingerprint, Hash, normalise};
use crate::plan::interval::{Done, History, Interval, Window};
use crate::plan::step::Origin;

/// The input that says when a step that asks for the time was built.
const CLOCK: &str = "the clock";

/// The input that says what a table held before; another one is no reason to run again.
const HISTORY: &str = "its earlier rows";

/// What is decided for tables that grow, by step.
#[derive(Default)]
pub(super) struct Grown {
    pub(super) batches: Batches,
    pub(super) histories: BTreeMap<usize, History>,
    pub(super) gaps: BTreeMap<usize, Vec<Interval>>,
    pub(super) outdated: BTreeMap<usize, String>,
}

/// Intervals as the reason of a run: `3 intervals, 2026-10-30 to 2026-11-01; 1 read again`.
pub(super) fn told(f: &mut fmt::Formatter<'_>, intervals: &[Interval], again: usize) -> fmt::Result {
    let (Some(first), Some(last)) = (intervals.first(), intervals.last()) else { return f.write_str("no interval") };
    let stretch = Interval { start: first.start, end: last.end };
    match intervals.len() {
        1 => write!(f, "interval {stretch}")?,
        several => write!(f, "{several} intervals, {stretch}")?,
    }
    if again > 0 { write!(f, "; {again} read again") } else { Ok(()) }
}

impl Decider<'_> {
    /// What a step does whatever the clock says and whichever release runs it, with what the internal steps do that it
    /// reads; and how finely all of them ask for the time. Tests and contracts are left out: they change no row.
    pub(super) fn timeless(&self, at: usize) -> (Hash, Clock) {
        let step = &self.plan.steps[at];
        let sql = normalise(step.fixed.as_deref().unwrap_or_else(|| step.sql()));
        let mut clock = Clock::read_by(&sql).max(step.clock);
        let publish = step.publish.as_ref().map(TableName::lower).unwrap_or_default();
        let grows = step.incremental.as_ref().map(|grows| grows.definition()).unwrap_or_default();
        let mut parts = vec![sql, publish, step.outside.clone(), grows];
        let mut before = BTreeMap::new();
        for input in &step.inputs {
            let Origin::Step(id, published) = &input.origin else { continue };
            let Some(read) = self.plan.position(id).filter(|read| *read != at) else { continue };
            if published.is_none() || self.plan.steps[read].view {
                let (definition, asks) = &self.timeless[read];
                before.insert(id.to_string(), definition.to_string());
                clock = clock.max(*asks);
            }
        }
        parts.extend(before.into_iter().flat_map(|(id, definition)| [id, definition]));
        (Hash::of(parts.iter().map(String::as_str)), clock)
    }

    /// What a table that grows would be made from; its earlier rows are added once it is known what is built.
    pub(super) fn grown_fingerprint(&self, at: usize, mut inputs: BTreeMap<String, String>) -> Fingerprint {
        let (definition, clock) = &self.timeless[at];
        let (day, instant) = &self.state.clock;
        match clock {
            Clock::Unread => {}
            Clock::Day => drop(inputs.insert(CLOCK.to_owned(), day.clone())),
            Clock::Instant => drop(inputs.insert(CLOCK.to_owned(), instant.clone())),
        }
        Fingerprint { definition: definition.clone(), inputs }
    }

    /// How the table that is there was made; none where it is not there or not known to be ours.
    fn made(&self, at: usize) -> Option<&MadeFrom> {
        let step = &self.plan.steps[at];
        let table = step.publish.as_ref()?;
        let (made, version) = (self.state.made_from.get(table)?, self.state.versions.get(table)?);
        (made.version == *version && made.step == step.id).then_some(made)
    }

    /// What becomes of a table that grows.
    pub(super) fn growth(&mut self, at: usize, table: &TableName) -> Choice {
        let step = &self.plan.steps[at];
        let failed = self.state.failed.contains(&step.id);
        if self.ask.force {
            return Choice::Run(Reason::Forced);
        }
        if !self.state.versions.contains_key(table) {
            return Choice::Run(if failed { Reason::Failed } else { Reason::Missing });
        }
        let Some(made) = self.made(at) else {
            self.outdated(at, format!("table `{}` was made or changed by something else", table.lower()));
            return Choice::Run(Reason::ChangedOutside);
        };
        if made.fingerprint.definition != self.fingerprints[at].definition {
            let stretches = made.history.done().iter();
            let stretches: Vec<String> =
                stretches.map(|done| Interval { start: done.from, end: done.until }.to_string()).collect();
            let rows = match stretches.as_slice() {
                [] => "its rows".to_owned(),
                some => format!("its intervals {}", some.join(", ")),
            };
            self.outdated(at, format!("the SQL of `{}` has changed since {rows} were built", step.id));
            return Choice::Run(Reason::ChangedSql);
        }
        let made = made.clone();
        if let Some(intervals) = step.incremental.as_ref().and_then(|grows| grows.intervals()) {
            let due = intervals.due(&made.history, self.state.now, &self.inputs_mark(at), self.ask.window);
            let again = due.iter().filter(|unit| made.history.gaps(unit.start, unit.end).is_empty()).count();
            return if due.is_empty() { Choice::Unchanged } else { Choice::Run(Reason::Intervals(due, again)) };
        }
        let mut before = made.fingerprint;
        before.inputs.remove(HISTORY);
        match self.difference(at, &self.fingerprints[at], &before, false) {
            Some(reason) => Choice::Run(reason),
            // Whatever became of the run that made it: what it was to add is there, and is not added twice.
            None => Choice::Unchanged,
        }
    }

    fn outdated(&mut self, at: usize, message: String) {
        if !self.ask.forward_only {
            self.grown.outdated.insert(at, message);
        }
    }

    /// A mark of what a step reads.
    fn inputs_mark(&self, at: usize) -> String {
        let inputs = self.fingerprints[at].inputs.iter().filter(|(name, _)| *name != HISTORY);
        Hash::of(inputs.flat_map(|(name, version)| [name.as_str(), version.as_str()])).to_string()
    }

    /// Works out what is built of a table that grows, and what it will have been made from.
    pub(super) fn grow(&mut self, at: usize) {
        let Some(grows) = &self.plan.steps[at].incremental else { return };
        let before = self.made(at).cloned();
        let reason = match &self.choices[at] {
            Choice::Run(reason) => reason.clone(),
            Choice::Unchanged => {
                if let Some(before) = before {
                    if let Some(intervals) = grows.intervals() {
                        let gaps = before.history.gaps(intervals.since, intervals.horizon(self.state.now));
                        self.grown.gaps.insert(at, gaps);
                    }
                    self.fingerprints[at] = before.fingerprint;
                }
                return;
            }
            Choice::Unneeded | Choice::Leave => return,
        };
        let afresh = self.is_afresh(at, &reason);
        let before = before.filter(|_| !afresh);
        let history = before.as_ref().map(|made| made.history.clone()).unwrap_or_default();
        let mut mark = before.map(|made| made.fingerprint.whole().to_string()).unwrap_or_default();
        if let Some(intervals) = grows.intervals() {
            let inputs = self.inputs_mark(at);
            let window = if afresh && self.ask.force { Window::Next } else { self.ask.window };
            let due = match reason {
                Reason::Intervals(due, _) => due,
                _ => intervals.due(&history, self.state.now, &inputs, window),
            };
            let batches = intervals.batches(&due);
            let definition = self.fingerprints[at].definition.to_string();
            let done = batches.iter().fold(history, |history, batch| {
                let (definition, inputs) = (definition.clone(), inputs.clone());
                history.with(Done { from: batch.start, until: batch.end, at: self.state.now, definition, inputs })
            });
            mark = Hash::of([mark.as_str(), &done.text()]).to_string();
            self.grown.gaps.insert(at, done.gaps(intervals.since, intervals.horizon(self.state.now)));
            self.grown.batches.insert(at, batches);
            self.grown.histories.insert(at, done);
        }
        self.fingerprints[at].inputs.insert(HISTORY.to_owned(), mark);
        self.take_up(at);
    }

    /// Whether the table is computed from nothing.
    fn is_afresh(&self, at: usize, reason: &Reason) -> bool {
        let table = self.plan.steps[at].publish.as_ref();
        *reason == Reason::Forced || table.is_none_or(|table| !self.state.versions.contains_key(table))
    }

    /// What an earlier run finished of it, and did not publish, is taken over.
    fn take_up(&mut self, at: usize) {
        let step = &self.plan.steps[at];
        if let Some((run, finished)) = self.state.finished.get(&step.id)
            && *finished == self.fingerprints[at]
            && !self.ask.force
        {
            self.choices[at] = Choice::Run(Reason::Finished(run.clone()));
        }
    }
}
