//! Vectors → the nearest vectors of each. A score is a sum of 64-bit floats in the order of the elements, as in the
//! engine's VECTOR functions. Which pairs are worth that is found by products of 32-bit floats over all pairs, each once:
//! their error is bounded, and what the bound leaves open is scored.

use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, Axis, Slice};
use rayon::prelude::*;

use crate::transform::TransformError;

use super::metric::{Best, Neighbour};
use super::near::Near;
use super::{Metric, Similarity};

/// How many vectors are compared with as many others at once: their products stay in the processor's cache.
const BLOCK: usize = 256;

/// The vectors of all items, one after another; NULL ones are none.
pub(super) struct Vectors {
    width: usize,
    numbers: Numbers,
    /// ‖x‖ of each.
    lengths: Vec<f64>,
}

enum Numbers {
    Single(Vec<f32>),
    Double(Vec<f64>),
}

impl Vectors {
    /// Reads a VECTOR column, and tells which rows have one.
    pub(super) fn read(column: &ArrayRef) -> Result<(Self, Vec<bool>), TransformError> {
        let nothing = || TransformError::Data("the vectors are not of one length".to_owned());
        let list = column.as_any().downcast_ref::<FixedSizeListArray>().ok_or_else(nothing)?;
        let width = usize::try_from(list.value_length()).unwrap_or(0);
        let values = list.values();
        let range = |row: usize| {
            let start = usize::try_from(list.value_offset(row)).unwrap_or(0);
            start..start + width
        };
        let whole = |row: usize| list.is_valid(row) && range(row).all(|at| values.is_valid(at));
        let present: Vec<bool> = (0..list.len()).map(whole).collect();
        let rows = (0..list.len()).filter(|row| present[*row]).map(range);
        let numbers = if let Some(single) = values.as_primitive_opt::<Float32Type>() {
            Numbers::Single(rows.flat_map(|range| &single.values()[range]).copied().collect())
        } else {
            let double = cast(values, &DataType::Float64)?;
            let double = double.as_primitive::<Float64Type>();
            Numbers::Double(rows.flat_map(|range| &double.values()[range]).copied().collect())
        };
        let count = present.iter().filter(|present| **present).count();
        let mut vectors = Self { width, numbers, lengths: Vec::new() };
        let length = |at: usize| vectors.product(at, at).sqrt();
        vectors.lengths = (0..count).into_par_iter().map(length).collect();
        Ok((vectors, present))
    }

    /// The nearest of each; positions among the vectors are the codes.
    pub(super) fn nearest(&self, similarity: &Similarity) -> Vec<Vec<Neighbour>> {
        let by_product = matches!(similarity.metric, Metric::Cosine | Metric::InnerProduct);
        let is_moderate = |length: &f64| *length == 0.0 || (1e-15..1e15).contains(length);
        if by_product && self.lengths.iter().all(is_moderate) {
            return self.nearest_by_product(similarity);
        }
        let codes = || 0..u32::try_from(self.lengths.len()).unwrap_or(u32::MAX);
        codes().into_par_iter().map(|item| self.list(similarity, item, codes())).collect()
    }

    /// The best of some others.
    fn list(&self, similarity: &Similarity, item: u32, others: impl Iterator<Item = u32>) -> Vec<Neighbour> {
        let mut best = Best::new(similarity.top);
        for other in others.filter(|other| *other != item || similarity.include_self) {
            let score = self.score(similarity.metric, item as usize, other as usize);
            if !score.is_nan() && similarity.threshold.is_none_or(|least| score >= least) {
                best.offer(Neighbour { item: other, score: score + 0.0, common: 0 });
            }
        }
        best.sorted()
    }

    fn score(&self, metric: Metric, a: usize, b: usize) -> f64 {
        match metric {
            Metric::L2 => -self.fold(a, b, |x, y| (x - y) * (x - y)).sqrt(),
            Metric::L1 => -self.fold(a, b, |x, y| (x - y).abs()),
            Metric::InnerProduct => self.product(a, b),
            _ if self.lengths[a] == 0.0 || self.lengths[b] == 0.0 => 0.0,
            _ => self.product(a, b) / (self.lengths[a] * self.lengths[b]),
        }
    }

    /// ‖x‖.
    pub(super) fn length(&self, at: usize) -> f64 {
        self.lengths[at]
    }

    /// x·y.
    pub(super) fn product(&self, a: usize, b: usize) -> f64 {
        self.fold(a, b, |x, y| x * y)
    }

    fn fold(&self, a: usize, b: usize, term: impl Fn(f64, f64) -> f64) -> f64 {
        let range = |at: usize| at * self.width..(at + 1) * self.width;
        match &self.numbers {
            Numbers::Single(all) => {
                all[range(a)].iter().zip(&all[range(b)]).map(|(x, y)| term(f64::from(*x), f64::from(*y))).sum()
            }
            Numbers::Double(all) => all[range(a)].iter().zip(&all[range(b)]).map(|(x, y)| term(*x, *y)).sum(),
        }
    }

    fn nearest_by_product(&self, similarity: &Similarity) -> Vec<Vec<Neighbour>> {
        let count = self.lengths.len();
        let matrix = self.matrix(similarity.metric == Metric::Cosine);
        let block = |at: usize| matrix.slice_axis(Axis(0), Slice::from(at * BLOCK..count.min((at + 1) * BLOCK)));
        let blocks = count.div_ceil(BLOCK);
        let pairs: Vec<(usize, usize)> = (0..blocks).flat_map(|a| (a..blocks).map(move |b| (a, b))).collect();
        let next = AtomicUsize::new(0);
        let margins = self.margins(similarity.metric);
        let work = |_| {
            let mut near = Near::new(similarity, &margins);
            let mut products = Array2::zeros((BLOCK, BLOCK));
            while let Some((a, b)) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let (mine, others) = (block(*a), block(*b));
                let mut products = products.slice_axis_mut(Axis(0), Slice::from(..mine.nrows()));
                products.slice_axis_inplace(Axis(1), Slice::from(..others.nrows()));
                general_mat_mul(1.0, &mine, &others.t(), 0.0, &mut products);
                near.offer(a * BLOCK, b * BLOCK, products.view());
            }
            near
        };
        let workers = rayon::current_num_threads();
        let found: Vec<Near<'_>> = (0..workers).into_par_iter().with_max_len(1).map(work).collect();
        let list = |item: usize| {
            let own = similarity.include_self.then_some(item).and_then(|item| u32::try_from(item).ok());
            let others = Near::merged(&found, item).into_iter().chain(own);
            self.list(similarity, u32::try_from(item).unwrap_or(u32::MAX), others)
        };
        (0..count).into_par_iter().map(list).collect()
    }

    /// The vectors as 32-bit floats, of length 1 where `unit`.
    #[expect(clippy::cast_possible_truncation, reason = "products of these are estimates")]
    fn matrix(&self, unit: bool) -> Array2<f32> {
        let factor = |row: usize| if unit && self.lengths[row] > 0.0 { 1.0 / self.lengths[row] } else { 1.0 };
        Array2::from_shape_fn((self.lengths.len(), self.width), |(row, at)| match &self.numbers {
            Numbers::Single(all) => (f64::from(all[row * self.width + at]) * factor(row)) as f32,
            Numbers::Double(all) => (all[row * self.width + at] * factor(row)) as f32,
        })
    }

    /// How far from its score the product of a vector and any other may be: each of its `width` additions, and the
    /// conversions, are off by 2⁻²⁴ of the product of the lengths at most.
    #[expect(clippy::cast_precision_loss, reason = "the width of a vector")]
    fn margins(&self, metric: Metric) -> Vec<f64> {
        let unit = (self.width as f64 + 16.0) * f64::from(f32::EPSILON);
        if metric == Metric::Cosine {
            return vec![unit; self.lengths.len()];
        }
        let longest = self.lengths.iter().copied().fold(0.0, f64::max);
        self.lengths.iter().map(|length| unit * length * longest).collect()
    }
}
