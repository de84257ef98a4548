//! Interactions as a sparse matrix: for each user the items and how much. It scores nothing.

use std::ops::Range;

use rayon::prelude::*;

use crate::transform::keys::ranges;

/// Rows of user, item and value, users and items by code.
pub(in crate::transform) trait Cells: Sync {
    /// Whether they have values; else each counts 1.
    fn valued(&self) -> bool;

    /// Tells all rows, each time in the same order.
    fn each(&self, tell: impl FnMut(u32, u32, f64));
}

impl Cells for (&[u32], &[u32], Option<&[f64]>) {
    fn valued(&self) -> bool {
        self.2.is_some()
    }

    fn each(&self, mut tell: impl FnMut(u32, u32, f64)) {
        for (row, (user, item)) in self.0.iter().zip(self.1).enumerate() {
            tell(*user, *item, self.2.map_or(1.0, |values| values[row]));
        }
    }
}

/// Users × items, without repeated pairs, users and items by code.
pub(in crate::transform) struct Matrix {
    /// Where the row of each user starts, and the end.
    pub(in crate::transform) starts: Vec<usize>,
    /// The items, ascending in each row.
    pub(in crate::transform) items: Vec<u32>,
    /// Their values; none where all are 1.
    pub(in crate::transform) values: Option<Vec<f64>>,
    /// How many items there are.
    pub(in crate::transform) width: usize,
    /// How many rows it was made from.
    pub(in crate::transform) rows: usize,
}

impl Matrix {
    /// From rows in any order: repeated pairs are added up, or count once without values.
    ///
    /// Each thread takes the rows of some of the users. It deals them out by item, then by user, so that each user's items come
    /// in their order without sorting. The rows go as soon as all threads have dealt them out once.
    pub(in crate::transform) fn new(cells: impl Cells, height: usize, width: usize) -> Self {
        let parts = ranges(height, rayon::current_num_threads());
        let dealt: Vec<(Vec<usize>, Self)> = parts.par_iter().map(|users| dealt(&cells, users, width)).collect();
        drop(cells);
        let by_user = |(starts, by_item): (Vec<usize>, Self)| Self::by_user(starts, by_item, width);
        let parts: Vec<Self> = dealt.into_par_iter().map(by_user).collect();
        Self::joined(parts, width)
    }

    /// From the users and values of each item, and where the row of each user starts.
    fn by_user(starts: Vec<usize>, mut by_item: Self, width: usize) -> Self {
        let values = by_item.values.take();
        let mut matrix = Self { starts, items: vec![0; by_item.items.len()], values: None, width, rows: by_item.rows };
        match values {
            None => matrix.once(&by_item),
            Some(values) => matrix.add_up(&by_item, &values),
        }
        matrix
    }

    /// The rows of several, one after the other.
    fn joined(parts: Vec<Self>, width: usize) -> Self {
        let mut parts = parts.into_iter();
        let empty = || Self { starts: vec![0], items: Vec::new(), values: None, width, rows: 0 };
        let mut all = parts.next().unwrap_or_else(empty);
        for part in parts {
            let end = all.items.len();
            all.starts.extend(part.starts[1..].iter().map(|start| end + start));
            all.items.extend(part.items);
            if let (Some(values), Some(more)) = (&mut all.values, part.values) {
                values.extend(more);
            }
            all.rows += part.rows;
        }
        all
    }

    /// Deals the users of each item out to their rows, a pair once however often it comes.
    fn once(&mut self, by_item: &Self) {
        let mut next = self.starts.clone();
        for (item, range) in (0_u32..).zip(by_item.starts.windows(2)) {
            for user in &by_item.items[range[0]..range[1]] {
                let user = *user as usize;
                let at = next[user];
                if at == self.starts[user] || self.items[at - 1] != item {
                    self.items[at] = item;
                    next[user] = at + 1;
                }
            }
        }
        let mut end = 0;
        for (user, to) in next[..self.height()].iter().enumerate() {
            let from = std::mem::replace(&mut self.starts[user], end);
            self.items.copy_within(from..*to, end);
            end += to - from;
        }
        self.end_at(end);
    }

    /// Deals the users of each item out to their rows, and adds up the values of a pair, the least first.
    fn add_up(&mut self, by_item: &Self, given: &[f64]) {
        let mut next = self.starts.clone();
        let mut values = vec![0.0; given.len()];
        for (item, range) in (0_u32..).zip(by_item.starts.windows(2)) {
            for at in range[0]..range[1] {
                let place = &mut next[by_item.items[at] as usize];
                self.items[*place] = item;
                values[*place] = given[at];
                *place += 1;
            }
        }
        let mut end = 0;
        for (user, to) in next[..self.height()].iter().enumerate() {
            let mut from = std::mem::replace(&mut self.starts[user], end);
            while from < *to {
                let item = self.items[from];
                let run = self.items[from..*to].iter().take_while(|other| **other == item).count();
                if run > 1 {
                    values[from..from + run].sort_unstable_by(f64::total_cmp);
                }
                values[end] = if run > 1 { values[from..from + run].iter().sum() } else { values[from] };
                self.items[end] = item;
                end += 1;
                from += run;
            }
        }
        values.truncate(end);
        self.values = Some(values);
        self.end_at(end);
    }

    fn end_at(&mut self, end: usize) {
        self.items.truncate(end);
        if let Some(last) = self.starts.last_mut() {
            *last = end;
        }
    }

    /// How many items somebody has.
    #[expect(clippy::cast_precision_loss, reason = "a count of items")]
    pub(in crate::transform) fn held_items(&self) -> f64 {
        let mut held = vec![false; self.width];
        self.items.iter().for_each(|item| held[*item as usize] = true);
        held.into_iter().filter(|held| *held).count() as f64
    }

    /// How many users.
    pub(in crate::transform) fn height(&self) -> usize {
        self.starts.len() - 1
    }

    /// The items of a user and their values.
    pub(in crate::transform) fn row(&self, user: usize) -> impl Iterator<Item = (u32, f64)> {
        let range = self.starts[user]..self.starts[user + 1];
        let value = |at: usize| self.values.as_ref().map_or(1.0, |values| values[at]);
        range.map(move |at| (self.items[at], value(at)))
    }

    /// The same with users and items exchanged; `items` of the result are users, ascending in each row.
    pub(in crate::transform) fn transposed(&self) -> Self {
        let parts = ranges(self.width, rayon::current_num_threads());
        let parts = parts.into_par_iter().map(|items| self.users_of(&items)).collect();
        Self { rows: self.rows, ..Self::joined(parts, self.height()) }
    }

    /// The users of some of the items.
    fn users_of(&self, among: &Range<usize>) -> Self {
        let local = |item: u32| (item as usize).checked_sub(among.start).filter(|item| *item < among.len());
        let mut counts = vec![0_usize; among.len() + 1];
        self.items.iter().filter_map(|item| local(*item)).for_each(|item| counts[item + 1] += 1);
        let starts = running(counts);
        let rows = starts.last().copied().unwrap_or(0);
        let mut users = vec![0_u32; rows];
        let mut values = self.values.as_ref().map(|_| vec![0.0; rows]);
        let mut next = starts.clone();
        for (user, range) in (0_u32..).zip(self.starts.windows(2)) {
            for at in range[0]..range[1] {
                let Some(item) = local(self.items[at]) else { continue };
                let place = next[item];
                users[place] = user;
                if let (Some(to), Some(from)) = (&mut values, &self.values) {
                    to[place] = from[at];
                }
                next[item] += 1;
            }
        }
        Self { starts, items: users, values, width: self.height(), rows }
    }

    /// The same without the rows of users with more items.
    pub(super) fn without_busy(self, most: Option<usize>) -> Self {
        let Some(most) = most else { return self };
        let mut kept = Self { starts: vec![0], items: Vec::new(), values: None, width: self.width, rows: self.rows };
        let mut values = Vec::new();
        for range in self.starts.windows(2).filter(|range| range[1] - range[0] <= most) {
            kept.items.extend_from_slice(&self.items[range[0]..range[1]]);
            if let Some(all) = &self.values {
                values.extend_from_slice(&all[range[0]..range[1]]);
            }
            kept.starts.push(kept.items.len());
        }
        kept.values = self.values.is_some().then_some(values);
        kept
    }
}

/// Counts, each at the place after its own, as the sums before them.
fn running(mut counts: Vec<usize>) -> Vec<usize> {
    (1..counts.len()).for_each(|at| counts[at] += counts[at - 1]);
    counts
}

/// Of the rows of some users, counted from the first of them: where the row of each user starts, and the users and values of each
/// item, put together by item, in the order of the rows.
fn dealt(cells: &impl Cells, among: &Range<usize>, width: usize) -> (Vec<usize>, Matrix) {
    let (mut user_counts, mut item_counts) = (vec![0_usize; among.len() + 1], vec![0_usize; width + 1]);
    let local = |user: u32| (user as usize).checked_sub(among.start).filter(|user| *user < among.len());
    cells.each(|user, item, _| {
        if let Some(user) = local(user) {
            user_counts[user + 1] += 1;
            item_counts[item as usize + 1] += 1;
        }
    });
    let starts = running(item_counts);
    let rows = starts.last().copied().unwrap_or(0);
    let mut next = starts.clone();
    let mut users = vec![0_u32; rows];
    let mut values = cells.valued().then(|| vec![0.0; rows]);
    cells.each(|user, item, value| {
        if local(user).is_none() {
            return;
        }
        let place = &mut next[item as usize];
        #[expect(clippy::cast_possible_truncation, reason = "a code among the codes of users")]
        let user = user - among.start as u32;
        users[*place] = user;
        if let Some(values) = &mut values {
            values[*place] = value;
        }
        *place += 1;
    });
    (running(user_counts), Matrix { starts, items: users, values, width: 0, rows })
}
