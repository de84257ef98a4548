//! Scores of pairs of items from their figures, and the few best of many. It walks no interactions.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::{Metric, Prune, Similarity};

/// The figures of one item.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    /// d: how many users.
    pub(super) users: f64,
    /// Σ x.
    pub(super) sum: f64,
    /// Σ x².
    pub(super) squares: f64,
}

impl Figures {
    /// Of an item's users and values.
    pub(super) fn of(column: impl Iterator<Item = (u32, f64)>) -> Self {
        let mut figures = Self::default();
        column.for_each(|(_, x)| figures.add(x));
        figures
    }

    /// Adds a user's value.
    pub(super) fn add(&mut self, x: f64) {
        self.users += 1.0;
        self.sum += x;
        self.squares += x * x;
    }
}

/// A similar item.
#[derive(Clone, Copy, Debug)]
pub(in crate::transform) struct Neighbour {
    /// Its code.
    pub(in crate::transform) item: u32,
    /// How alike it is.
    pub(in crate::transform) score: f64,
    /// How many users both have.
    pub(in crate::transform) common: u32,
}

impl PartialEq for Neighbour {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Neighbour {}

impl PartialOrd for Neighbour {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Neighbour {
    /// Better ones first: the greater score, then the lesser code.
    fn cmp(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.item.cmp(&other.item))
    }
}

/// Keeps the few best of many.
pub(in crate::transform) struct Best {
    heap: BinaryHeap<Neighbour>,
    most: usize,
}

impl Best {
    /// Room for so many.
    pub(in crate::transform) fn new(most: usize) -> Self {
        Self { heap: BinaryHeap::new(), most }
    }

    /// Offers one more.
    pub(in crate::transform) fn offer(&mut self, neighbour: Neighbour) {
        if self.heap.len() < self.most {
            self.heap.push(neighbour);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && neighbour < *worst
        {
            *worst = neighbour;
        }
    }

    /// The score of the worst one, once there is room for no more.
    pub(in crate::transform) fn bound(&self) -> Option<f64> {
        self.heap.peek().filter(|_| self.heap.len() >= self.most).map(|worst| worst.score)
    }

    /// The best ones, best first.
    pub(in crate::transform) fn sorted(self) -> Vec<Neighbour> {
        self.heap.into_sorted_vec()
    }
}

/// What the formulas know besides the pair.
pub(super) struct Population {
    /// N.
    pub(super) users: f64,
    /// I.
    pub(super) items: f64,
}

impl Metric {
    /// Whether both items of a pair have the same score.
    pub(super) fn is_symmetric(self) -> bool {
        !self.is_walk() && !matches!(self, Self::Asymmetric(_) | Self::Tversky(..))
    }

    /// Whether it goes by the values of interactions, and not by how many there are.
    pub(super) fn is_by_values(self) -> bool {
        let sums = matches!(self, Self::Cosine | Self::Tanimoto | Self::Pearson | Self::InnerProduct);
        sums || self.is_walk() || matches!(self, Self::L2 | Self::L1)
    }

    /// Whether an interaction is worth something else on the way up than on the way down.
    pub(super) fn is_walk(self) -> bool {
        matches!(self, Self::P3Alpha(_) | Self::Rp3Beta(..))
    }
}

impl Similarity {
    /// Whether the users that two items have in common must be counted even where values are added up.
    pub(super) fn counts(&self) -> bool {
        !self.metric.is_by_values() || self.explain || self.min_support > 1 || self.support_shrinkage > 0.0
    }

    /// The score of a pair: `dot` over `common` users, of an item with figures `a` and its similar item `b`.
    pub(super) fn score(&self, dot: f64, common: f64, a: &Figures, b: &Figures, population: &Population) -> f64 {
        let (source, target) = match self.prune {
            Prune::Target => (b, a),
            Prune::Source => (a, b),
        };
        let (x, y) = (source.users, target.users);
        let mutual = || (population.items * (common / (x * y))).log2();
        let score = match self.metric {
            Metric::Cooccurrence => common,
            Metric::Cosine => {
                let lengths = a.squares.sqrt() * b.squares.sqrt();
                dot / if self.shrinkage > 0.0 { lengths + self.shrinkage + 1e-6 } else { lengths }
            }
            Metric::Asymmetric(alpha) => common / (x.powf(alpha) * y.powf(1.0 - alpha)),
            Metric::Jaccard => common / (x + y - common),
            Metric::Dice => 2.0 * common / (x + y),
            Metric::Tversky(alpha, beta) => common / (common + alpha * (x - common) + beta * (y - common)),
            Metric::Lift => common / (x * y),
            Metric::MutualInformation => mutual(),
            Metric::LexicographersMi => common * mutual(),
            Metric::Inclusion => common / x.min(y),
            Metric::Llr => likelihood(common, x, y, population.users),
            Metric::Tanimoto => dot / (a.squares + b.squares - dot),
            Metric::Pearson => {
                let n = population.users;
                let spread = |f: &Figures| n * f.squares - f.sum * f.sum;
                let covariance = n * dot - a.sum * b.sum;
                let spreads = (spread(a) * spread(b)).sqrt();
                if spreads > 0.0 { covariance / spreads } else { 0.0 }
            }
            Metric::Rp3Beta(_, beta) => dot / y.powf(beta),
            Metric::P3Alpha(_) | Metric::InnerProduct | Metric::L2 | Metric::L1 => dot,
        };
        if self.support_shrinkage > 0.0 { score * common / (common + self.support_shrinkage) } else { score + 0.0 }
    }
}

/// The log-likelihood ratio of the users of both, one and none.
fn likelihood(common: f64, a: f64, b: f64, users: f64) -> f64 {
    // The same sums in the same order from both sides of a pair.
    let (a, b) = (a.min(b), a.max(b));
    let table = [common, a - common, b - common, users - a - b + common];
    let rows = [a, users - a];
    let columns = [b, users - b];
    (2.0 * (entropy(&rows) + entropy(&columns) - entropy(&table))).max(0.0)
}

/// N ln N − Σ k ln k: the unnormalised entropy.
fn entropy(counts: &[f64]) -> f64 {
    let term = |k: f64| if k > 0.0 { k * k.ln() } else { 0.0 };
    term(counts.iter().sum()) - counts.iter().map(|k| term(*k)).sum::<f64>()
}
