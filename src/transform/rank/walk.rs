//! The list of one partition by score under caps and quotas. Rows of one class, those that every rule treats the same,
//! wait in line together, so that the next row is found among the heads of the lines, however many rows wait behind.

use std::collections::{BTreeMap, HashMap};

use super::slate::Rules;

/// Chooses positions in rows that are in the order of their scores.
pub(super) fn walk(rules: &Rules<'_>, rows: &[u32]) -> Vec<usize> {
    let mut walk = Walk::new(rules, rows);
    while walk.order.len() < rules.top.min(rows.len()) {
        let Some((at, class)) = walk.next() else { break };
        walk.take(at, class);
    }
    walk.order.into_iter().map(|(at, _)| at).collect()
}

/// Rows that every rule treats the same.
struct Class {
    /// By cap, the code it counts; none where the row is free.
    codes: Vec<Option<u32>>,
    /// By quota, whether its condition holds.
    holds: Vec<bool>,
    /// The positions of its rows, the best last.
    waiting: Vec<usize>,
}

struct Walk<'a> {
    rules: &'a Rules<'a>,
    classes: Vec<Class>,
    /// The best position of each class that may still have rows in the list.
    heads: BTreeMap<usize, usize>,
    /// By cap, how many rows of each code the list or its last places have.
    counts: Vec<HashMap<u32, usize>>,
    /// By cap and code, the classes that are closed when it is full.
    closing: HashMap<(usize, u32), Vec<usize>>,
    /// By quota, how many rows the list has and how many wait.
    quotas: Vec<(usize, usize)>,
    /// The positions chosen, each with its class.
    order: Vec<(usize, usize)>,
}

impl<'a> Walk<'a> {
    fn new(rules: &'a Rules<'a>, rows: &[u32]) -> Self {
        let mut known: HashMap<(Vec<Option<u32>>, Vec<bool>), usize> = HashMap::new();
        let mut classes: Vec<Class> = Vec::new();
        for (at, row) in rows.iter().enumerate().rev() {
            let codes: Vec<Option<u32>> = rules.caps.iter().map(|cap| cap.code(*row)).collect();
            let holds: Vec<bool> = rules.quotas.iter().map(|(holds, _)| holds[*row as usize]).collect();
            let class = *known.entry((codes, holds)).or_insert_with_key(|(codes, holds)| {
                classes.push(Class { codes: codes.clone(), holds: holds.clone(), waiting: Vec::new() });
                classes.len() - 1
            });
            classes[class].waiting.push(at);
        }
        let mut closing: HashMap<(usize, u32), Vec<usize>> = HashMap::new();
        for (class, Class { codes, .. }) in classes.iter().enumerate() {
            for (cap, code) in codes.iter().enumerate().filter(|(cap, _)| rules.caps[*cap].window.is_none()) {
                if let Some(code) = code {
                    closing.entry((cap, *code)).or_default().push(class);
                }
            }
        }
        let waiting = |quota: usize| classes.iter().filter(|c| c.holds[quota]).map(|c| c.waiting.len()).sum();
        let quotas = (0..rules.quotas.len()).map(|quota| (0, waiting(quota))).collect();
        let heads = classes.iter().enumerate().filter_map(|(class, c)| Some((*c.waiting.last()?, class))).collect();
        let counts = vec![HashMap::new(); rules.caps.len()];
        Self { rules, classes, heads, counts, closing, quotas, order: Vec::new() }
    }

    /// The best position that may come next, and its class.
    fn next(&self) -> Option<(usize, usize)> {
        let owed = self.owed();
        let may = |(_, class): &(&usize, &usize)| {
            let Class { codes, holds, .. } = &self.classes[**class];
            let is_full = |(cap, code): (usize, &Option<u32>)| {
                let count = code.and_then(|code| self.counts[cap].get(&code)).copied().unwrap_or(0);
                count >= self.rules.caps[cap].max
            };
            !codes.iter().enumerate().any(is_full) && (owed.is_empty() || owed.iter().any(|quota| holds[*quota]))
        };
        self.heads.iter().find(may).map(|(at, class)| (*at, *class))
    }

    /// The quotas that only the places left can meet; empty while there is room to choose freely.
    fn owed(&self) -> Vec<usize> {
        let mut owed = Vec::new();
        let mut places = 0;
        for (quota, (has, waiting)) in self.quotas.iter().enumerate() {
            let missing = self.rules.quotas[quota].1.saturating_sub(*has).min(*waiting);
            if missing > 0 {
                owed.push(quota);
                places += missing;
            }
        }
        if self.rules.top - self.order.len() <= places { owed } else { Vec::new() }
    }

    fn take(&mut self, at: usize, class: usize) {
        self.heads.remove(&at);
        self.classes[class].waiting.pop();
        self.order.push((at, class));
        for (quota, _) in self.classes[class].holds.iter().enumerate().filter(|(_, holds)| **holds) {
            let (has, waiting) = &mut self.quotas[quota];
            *has += 1;
            *waiting -= 1;
        }
        if let Some(head) = self.classes[class].waiting.last() {
            self.heads.insert(*head, class);
        }
        for cap in 0..self.counts.len() {
            self.count(cap, class);
        }
    }

    /// Counts the row that was taken for a cap, and forgets the one that left its window.
    fn count(&mut self, cap: usize, class: usize) {
        let limit = &self.rules.caps[cap];
        if let Some(code) = self.classes[class].codes[cap] {
            let count = self.counts[cap].entry(code).or_default();
            *count += 1;
            if limit.window.is_none() && *count >= limit.max {
                self.close(cap, code);
            }
        }
        let left =
            limit.window.and_then(|window| self.order.len().checked_sub(window)).map(|place| self.order[place].1);
        if let Some(code) = left.and_then(|class| self.classes[class].codes[cap])
            && let Some(count) = self.counts[cap].get_mut(&code)
        {
            *count -= 1;
        }
    }

    /// Sends away the rows that a full cap will never let in.
    fn close(&mut self, cap: usize, code: u32) {
        for class in self.closing.remove(&(cap, code)).unwrap_or_default() {
            let Class { waiting, holds, .. } = &mut self.classes[class];
            let gone = std::mem::take(waiting);
            self.heads.remove(gone.last().unwrap_or(&usize::MAX));
            for (quota, _) in holds.iter().enumerate().filter(|(_, holds)| **holds) {
                self.quotas[quota].1 -= gone.len();
            }
        }
    }
}
