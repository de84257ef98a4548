//! Interactions → the nearest items of each item: for each item one row of accumulators over the items of its users,
//! never the whole product. Items are numbered by popularity inside, so that the busy accumulators lie together.

use rayon::prelude::*;

use crate::transform::keys::inverse;

use super::metric::{Best, Figures, Neighbour, Population};
use super::{Metric, Similarity, Weighting};

/// How many items one unit of work has.
const ITEMS: usize = 64;

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
}

impl Matrix {
    /// From rows of user, item and value in any order: repeated pairs are added up, or count once without values.
    pub(in crate::transform) fn new(
        users: &[u32],
        items: &[u32],
        values: Option<&[f64]>,
        height: usize,
        width: usize,
    ) -> Self {
        let mut starts = vec![0_usize; height + 1];
        users.iter().for_each(|user| starts[*user as usize + 1] += 1);
        (0..height).for_each(|user| starts[user + 1] += starts[user]);
        let mut next = starts.clone();
        let mut cells: Vec<(u32, f64)> = Vec::new();
        let mut plain = vec![0_u32; if values.is_some() { 0 } else { items.len() }];
        if values.is_some() {
            cells = vec![(0, 0.0); items.len()];
        }
        for (row, (user, item)) in users.iter().zip(items).enumerate() {
            let at = &mut next[*user as usize];
            match values {
                Some(values) => cells[*at] = (*item, values[row]),
                None => plain[*at] = *item,
            }
            *at += 1;
        }
        let mut matrix = Self { starts: vec![0], items: Vec::new(), values: None, width };
        if values.is_some() {
            matrix.add_up(&starts, &mut cells);
        } else {
            matrix.once(&starts, &mut plain);
        }
        matrix
    }

    fn add_up(&mut self, starts: &[usize], cells: &mut [(u32, f64)]) {
        let mut values = Vec::with_capacity(cells.len());
        for range in starts.windows(2) {
            let row = &mut cells[range[0]..range[1]];
            row.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
            for run in row.chunk_by(|a, b| a.0 == b.0) {
                self.items.push(run[0].0);
                values.push(run.iter().map(|cell| cell.1).sum());
            }
            self.starts.push(self.items.len());
        }
        self.values = Some(values);
    }

    fn once(&mut self, starts: &[usize], items: &mut [u32]) {
        self.items.reserve(items.len());
        for range in starts.windows(2) {
            let row = &mut items[range[0]..range[1]];
            row.sort_unstable();
            let start = self.items.len();
            for item in row.iter() {
                if self.items.len() == start || self.items.last() != Some(item) {
                    self.items.push(*item);
                }
            }
            self.starts.push(self.items.len());
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

    /// The same with users and items exchanged; `users` of the result are items.
    pub(in crate::transform) fn transposed(&self) -> Self {
        let mut starts = vec![0_usize; self.width + 1];
        self.items.iter().for_each(|item| starts[*item as usize + 1] += 1);
        (0..self.width).for_each(|item| starts[item + 1] += starts[item]);
        let mut next = starts.clone();
        let mut users = vec![0_u32; self.items.len()];
        let mut values = self.values.as_ref().map(|values| vec![0.0; values.len()]);
        for (user, range) in (0_u32..).zip(self.starts.windows(2)) {
            for at in range[0]..range[1] {
                let place = &mut next[self.items[at] as usize];
                users[*place] = user;
                if let (Some(to), Some(from)) = (&mut values, &self.values) {
                    to[*place] = from[at];
                }
                *place += 1;
            }
        }
        Self { starts, items: users, values, width: self.height() }
    }

    /// The same without the rows of users with more items.
    fn without_busy(self, most: Option<usize>) -> Self {
        let Some(most) = most else { return self };
        let mut kept = Self { starts: vec![0], items: Vec::new(), values: None, width: self.width };
        let mut values = Vec::new();
        for user in 0..self.height() {
            if self.starts[user + 1] - self.starts[user] <= most {
                self.row(user).for_each(|(item, value)| {
                    kept.items.push(item);
                    values.push(value);
                });
                kept.starts.push(kept.items.len());
            }
        }
        kept.values = self.values.is_some().then_some(values);
        kept
    }
}

/// The nearest items of each item, by item code, and how many users each item has.
pub(in crate::transform) struct Nearest {
    /// By item, best first.
    pub(in crate::transform) lists: Vec<Vec<Neighbour>>,
    /// By item.
    pub(in crate::transform) users: Vec<u32>,
}

/// Computes them.
pub(super) fn nearest(similarity: &Similarity, matrix: Matrix) -> Nearest {
    let mut matrix = matrix.without_busy(similarity.max_items_per_user);
    let width = matrix.width;
    let mut degrees = vec![0_u32; width];
    matrix.items.iter().for_each(|item| degrees[*item as usize] += 1);
    let mut by_popularity: Vec<u32> = (0..u32::try_from(width).unwrap_or(u32::MAX)).collect();
    by_popularity.sort_by_key(|item| std::cmp::Reverse(degrees[*item as usize]));
    let place = inverse(&by_popularity);
    matrix.items.iter_mut().for_each(|item| *item = place[*item as usize]);
    weigh(similarity.weighting, &mut matrix);
    let columns = matrix.transposed();
    let search =
        Search { similarity, figures: figures(&columns), codes: by_popularity, ..paths(similarity, matrix, columns) };
    let numbers: Vec<usize> = (0..width).collect();
    let found: Vec<Vec<Vec<Neighbour>>> = numbers.par_chunks(ITEMS).map(|chunk| search.block(chunk)).collect();
    let mut lists = vec![Vec::new(); width];
    for (at, list) in found.into_iter().flatten().enumerate() {
        lists[search.codes[at] as usize] = list;
    }
    Nearest { lists, users: degrees }
}

/// tf-idf and BM25 as implicit weighs items × users: each item a document, each user a term.
#[expect(clippy::cast_precision_loss, reason = "counts of items and users")]
fn weigh(weighting: Weighting, matrix: &mut Matrix) {
    if weighting == Weighting::None {
        return;
    }
    let items = matrix.held_items();
    let mut lengths = vec![0.0; matrix.width];
    for user in 0..matrix.height() {
        matrix.row(user).for_each(|(item, value)| lengths[item as usize] += value);
    }
    let mean = lengths.iter().sum::<f64>() / items;
    let mut values = Vec::with_capacity(matrix.items.len());
    for user in 0..matrix.height() {
        let degree = (matrix.starts[user + 1] - matrix.starts[user]) as f64;
        let idf = items.ln() - degree.ln_1p();
        values.extend(matrix.row(user).map(|(item, x)| match weighting {
            Weighting::Bm25(k1, b) => {
                let norm = 1.0 - b + b * lengths[item as usize] / mean;
                x * (k1 + 1.0) / (k1 * norm + x) * idf
            }
            Weighting::None | Weighting::Tfidf => x.sqrt() * idf,
        }));
    }
    matrix.values = Some(values);
}

fn figures(columns: &Matrix) -> Vec<Figures> {
    let item = |item: usize| {
        let mut figures = Figures::default();
        columns.row(item).for_each(|(_, x)| {
            figures.users += 1.0;
            figures.sum += x;
            figures.squares += x * x;
        });
        figures
    };
    (0..columns.height()).into_par_iter().map(item).collect()
}

/// Random walks replace values by powers of shares: of the source item's sum on the way up, of the user's on the way
/// down.
fn paths(similarity: &Similarity, rows: Matrix, columns: Matrix) -> Search<'_> {
    let alpha = match similarity.metric {
        Metric::P3Alpha(alpha) | Metric::Rp3Beta(alpha, _) => Some(alpha),
        _ => None,
    };
    let (mut rows, mut columns) = (rows, columns);
    if let Some(alpha) = alpha {
        let shares = |matrix: &Matrix| {
            let row = |row: usize| {
                let total: f64 = matrix.row(row).map(|(_, x)| x).sum();
                matrix.row(row).map(move |(_, x)| (x / total).powf(alpha))
            };
            (0..matrix.height()).flat_map(row).collect::<Vec<f64>>()
        };
        let (up, down) = (shares(&columns), shares(&rows));
        if similarity.prune == super::Prune::Source {
            (columns.values, rows.values) = (Some(up), Some(down));
        } else {
            // The item is the target: its own share is the user's, and its neighbours' are their own. Transposing
            // reorders rows, so that values are taken together with their places.
            let width = (rows.width, columns.width);
            rows.values = Some(down);
            columns.values = Some(up);
            (columns, rows) = (rows.transposed(), columns.transposed());
            (rows.width, columns.width) = width;
        }
    }
    let (height, held_items) = (rows.height(), rows.held_items());
    Search { similarity, rows, columns, figures: Vec::new(), codes: Vec::new(), height, held_items }
}

struct Search<'a> {
    similarity: &'a Similarity,
    /// Users → items.
    rows: Matrix,
    /// Items → users.
    columns: Matrix,
    figures: Vec<Figures>,
    /// The code of each item by place of popularity.
    codes: Vec<u32>,
    height: usize,
    held_items: f64,
}

impl Search<'_> {
    fn block(&self, items: &[usize]) -> Vec<Vec<Neighbour>> {
        let mut common = vec![0_u32; self.columns.height()];
        let weighted = self.rows.values.is_some();
        let mut dots = vec![0.0; if weighted { common.len() } else { 0 }];
        let mut touched: Vec<u32> = Vec::new();
        items.iter().map(|item| self.list(*item, &mut common, &mut dots, &mut touched)).collect()
    }

    fn list(&self, item: usize, common: &mut [u32], dots: &mut [f64], touched: &mut Vec<u32>) -> Vec<Neighbour> {
        for (user, x) in self.columns.row(item) {
            let range = self.rows.starts[user as usize]..self.rows.starts[user as usize + 1];
            let others = &self.rows.items[range.clone()];
            if let Some(values) = &self.rows.values {
                for (other, y) in others.iter().zip(&values[range]) {
                    dots[*other as usize] += x * y;
                }
            }
            for other in others {
                let count = &mut common[*other as usize];
                if *count == 0 {
                    touched.push(*other);
                }
                *count += 1;
            }
        }
        let best = self.choose(item, common, dots, touched);
        for other in touched.drain(..) {
            common[other as usize] = 0;
            if let Some(dot) = dots.get_mut(other as usize) {
                *dot = 0.0;
            }
        }
        best.sorted()
    }

    fn choose(&self, item: usize, common: &[u32], dots: &[f64], touched: &[u32]) -> Best {
        let similarity = self.similarity;
        #[expect(clippy::cast_precision_loss, reason = "counts of users and items")]
        let population = Population { users: self.height as f64, items: self.held_items };
        let mut best = Best::new(similarity.top);
        for other in touched {
            let at = *other as usize;
            let count = common[at];
            if (at == item && !similarity.include_self) || (count as usize) < similarity.min_support {
                continue;
            }
            let dot = dots.get(at).copied().unwrap_or_else(|| f64::from(count));
            let score = similarity.score(dot, f64::from(count), &self.figures[item], &self.figures[at], &population);
            if !score.is_nan() && similarity.threshold.is_none_or(|least| score >= least) {
                best.offer(Neighbour { item: self.codes[at], score, common: count });
            }
        }
        best
    }
}
