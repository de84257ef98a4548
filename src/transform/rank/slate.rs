//! The list of one partition: de-duplication, then by score, or row by row for variety under quotas and caps. It works on
//! rows that are already in the order of their scores.

use std::collections::{HashMap, HashSet};

use crate::transform::keys::Keys;

use super::diversity::{Chooser, Variety};
use super::walk::walk;

/// The rules that a list obeys, with what they need to know of each row.
pub(super) struct Rules<'a> {
    /// How long a list may be.
    pub(super) top: usize,
    /// Rows of one code are the same thing.
    pub(super) dedupe: Option<Keys>,
    /// At most so many of one code.
    pub(super) caps: Vec<Limit>,
    /// At least so many that hold.
    pub(super) quotas: Vec<(Vec<bool>, usize)>,
    /// Variety, and how many of the best rows to choose from.
    pub(super) variety: Option<(Variety<'a>, usize)>,
}

/// At most `max` rows of one code, in the whole list or in any window.
pub(super) struct Limit {
    /// The code of each row; rows whose code has a NULL are free.
    pub(super) keys: Keys,
    /// How many.
    pub(super) max: usize,
    /// In so many successive places.
    pub(super) window: Option<usize>,
}

impl Limit {
    /// The code of a row; none where it is free.
    pub(super) fn code(&self, row: u32) -> Option<u32> {
        let code = self.keys.codes[row as usize];
        (!self.keys.has_null[code as usize]).then_some(code)
    }
}

/// What was chosen: positions in the given rows, and their relevance where diversity counts.
pub(super) struct Chosen {
    /// Positions, in the order of the list.
    pub(super) order: Vec<usize>,
    /// The relevance of each, in the same order.
    pub(super) relevance: Vec<f64>,
}

impl Rules<'_> {
    /// Whether a list is more than its best rows.
    pub(super) fn is_greedy(&self) -> bool {
        !self.caps.is_empty() || !self.quotas.is_empty() || self.variety.is_some()
    }

    /// The positions of the best row of each key, in order. NULL keys are each their own.
    pub(super) fn deduplicated(&self, rows: &[u32]) -> Vec<usize> {
        let Some(keys) = &self.dedupe else { return (0..rows.len()).collect() };
        let mut seen = HashSet::new();
        let is_first = |at: &usize| {
            let code = keys.codes[rows[*at] as usize];
            keys.has_null[code as usize] || seen.insert(code)
        };
        (0..rows.len()).filter(is_first).collect()
    }

    /// Chooses greedily from a partition's rows.
    pub(super) fn choose(&self, partition: u32, rows: &[u32], scores: &[f64]) -> Chosen {
        let Some((variety, pool)) = &self.variety else {
            let order = walk(self, rows);
            return Chosen { relevance: vec![f64::NAN; order.len()], order };
        };
        let pool = (*pool).max(self.top).min(rows.len());
        let (rows, scores) = (&rows[..pool], &scores[..pool]);
        let chooser = variety.chooser(partition, rows, scores);
        let mut slate = Slate { rules: self, rows, chooser, left: (0..pool).collect(), order: Vec::new() };
        while slate.order.len() < self.top {
            let Some(at) = slate.next() else { break };
            slate.take(at);
        }
        let relevance = slate.order.iter().map(|at| slate.chooser.relevance(*at)).collect();
        Chosen { relevance, order: slate.order }
    }
}

struct Slate<'a> {
    rules: &'a Rules<'a>,
    rows: &'a [u32],
    chooser: Chooser<'a>,
    left: Vec<usize>,
    order: Vec<usize>,
}

impl Slate<'_> {
    /// The best position that may come next.
    fn next(&mut self) -> Option<usize> {
        let full = self.full(None);
        self.left.retain(|at| self.rules.caps.iter().zip(&full).all(|(cap, full)| free(cap, full, self.rows[*at])));
        let recent: Vec<HashSet<u32>> = self.full(Some(()));
        let owed = self.owed();
        let may = |at: &&usize| {
            let row = self.rows[**at];
            let fits = self.rules.caps.iter().zip(&recent).all(|(cap, full)| free(cap, full, row));
            fits && (owed.is_empty() || owed.iter().any(|quota| self.rules.quotas[*quota].0[row as usize]))
        };
        let mut best: Option<(f64, usize)> = None;
        for at in self.left.iter().filter(may) {
            let value = self.chooser.value(*at);
            if best.is_none_or(|(top, _)| value > top) {
                best = Some((value, *at));
            }
        }
        best.map(|(_, at)| at)
    }

    /// The codes of each cap of which no more row may come: caps of windows where `windows`, else of whole lists.
    fn full(&self, windows: Option<()>) -> Vec<HashSet<u32>> {
        let full_codes = |cap: &Limit| {
            let mut counts: HashMap<u32, usize> = HashMap::new();
            if cap.window.is_some() == windows.is_some() {
                let reach = cap.window.map_or(self.order.len(), |window| window - 1).min(self.order.len());
                for at in &self.order[self.order.len() - reach..] {
                    if let Some(code) = cap.code(self.rows[*at]) {
                        *counts.entry(code).or_default() += 1;
                    }
                }
            }
            counts.into_iter().filter(|(_, count)| *count >= cap.max).map(|(code, _)| code).collect()
        };
        self.rules.caps.iter().map(full_codes).collect()
    }

    /// The quotas that only the places left can meet; empty while there is room to choose freely.
    fn owed(&self) -> Vec<usize> {
        let mut owed = Vec::new();
        let mut places = 0;
        for (quota, (holds, min)) in self.rules.quotas.iter().enumerate() {
            let has = self.order.iter().filter(|at| holds[self.rows[**at] as usize]).count();
            let available = self.left.iter().filter(|at| holds[self.rows[**at] as usize]).count();
            let missing = min.saturating_sub(has).min(available);
            if missing > 0 {
                owed.push(quota);
                places += missing;
            }
        }
        if self.rules.top - self.order.len() <= places { owed } else { Vec::new() }
    }

    fn take(&mut self, at: usize) {
        self.left.retain(|other| *other != at);
        self.order.push(at);
        self.chooser.chosen(at);
    }
}

fn free(cap: &Limit, full: &HashSet<u32>, row: u32) -> bool {
    full.is_empty() || cap.code(row).is_none_or(|code| !full.contains(&code))
}
