//! Which vectors may be among the nearest, by estimates of their products: for each vector the others whose estimate comes
//! near enough to the best ones.

use ndarray::ArrayView2;

use super::Similarity;

/// What one thread has found: for each vector the others that may be among its nearest.
pub(super) struct Near<'a> {
    top: usize,
    margins: &'a [f64],
    lists: Vec<List>,
    /// What an estimate must reach to be put on the list.
    bounds: Vec<f32>,
}

#[derive(Clone, Default)]
struct List {
    others: Vec<(f32, u32)>,
    /// The length at which it is shortened.
    full: usize,
}

impl<'a> Near<'a> {
    /// Nothing yet.
    pub(super) fn new(similarity: &Similarity, margins: &'a [f64]) -> Self {
        let least = similarity.threshold.unwrap_or(f64::NEG_INFINITY);
        let full = similarity.top.saturating_mul(4).saturating_add(16);
        Self {
            top: similarity.top,
            margins,
            lists: vec![List { others: Vec::new(), full }; margins.len()],
            bounds: margins.iter().map(|margin| below(least, *margin)).collect(),
        }
    }

    /// Offers the estimates of successive vectors with others; of pairs of vectors, those whose second one is further on.
    pub(super) fn offer(&mut self, mine: usize, others: usize, estimates: ArrayView2<'_, f32>) {
        for (a, row) in (mine..).zip(estimates.rows()) {
            for (b, estimate) in (others..).zip(row).skip((a + 1).saturating_sub(others)) {
                if *estimate >= self.bounds[a] {
                    self.put(a, b, *estimate);
                }
                if *estimate >= self.bounds[b] {
                    self.put(b, a, *estimate);
                }
            }
        }
    }

    fn put(&mut self, item: usize, other: usize, estimate: f32) {
        let list = &mut self.lists[item];
        list.others.push((estimate, u32::try_from(other).unwrap_or(u32::MAX)));
        if list.others.len() >= list.full {
            self.bounds[item] = shorten(&mut list.others, self.top, self.margins[item]).max(self.bounds[item]);
            list.full = list.full.max(2 * list.others.len());
        }
    }

    /// All that may be among the nearest of an item, by what each thread found.
    pub(super) fn merged(found: &[Self], item: usize) -> Vec<u32> {
        let mut others: Vec<(f32, u32)> = found.iter().flat_map(|near| &near.lists[item].others).copied().collect();
        if let Some(near) = found.first() {
            shorten(&mut others, near.top, near.margins[item]);
        }
        others.into_iter().map(|(_, other)| other).collect()
    }
}

/// Leaves out what cannot be among the best so many, and gives the least estimate that could.
fn shorten(others: &mut Vec<(f32, u32)>, top: usize, margin: f64) -> f32 {
    if others.len() <= top {
        return f32::NEG_INFINITY;
    }
    let (_, last, _) = others.select_nth_unstable_by(top.saturating_sub(1), |a, b| b.0.total_cmp(&a.0));
    let bound = below(f64::from(last.0), margin);
    others.retain(|(estimate, _)| *estimate >= bound);
    bound
}

/// A score less the error of two estimates.
#[expect(clippy::cast_possible_truncation, reason = "the margin is wider than the rounding")]
fn below(score: f64, margin: f64) -> f32 {
    (score - 2.0 * margin) as f32
}
