//! Vectors → the nearest vectors of each, by comparing all pairs. Sums are of 32-bit floats in a fixed order, as exact
//! as the warehouse's VECTOR functions.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float32Type};
use rayon::prelude::*;

use crate::transform::TransformError;

use super::metric::{Best, Neighbour};
use super::{Metric, Similarity};

const LANES: usize = 16;

/// The vectors of all items, one after another; NULL ones are none.
pub(super) struct Vectors {
    width: usize,
    numbers: Vec<f32>,
}

impl Vectors {
    /// Reads a VECTOR column, and tells which rows have one.
    pub(super) fn read(column: &ArrayRef) -> Result<(Self, Vec<bool>), TransformError> {
        let nothing = || TransformError::Data("the vectors are not of one length".to_owned());
        let list = column.as_any().downcast_ref::<FixedSizeListArray>().ok_or_else(nothing)?;
        let width = usize::try_from(list.value_length()).unwrap_or(0);
        let numbers = cast(list.values(), &DataType::Float32)?;
        let numbers = numbers.as_primitive::<Float32Type>();
        let range = |row: usize| {
            let start = usize::try_from(list.value_offset(row)).unwrap_or(0);
            start..start + width
        };
        let whole = |row: usize| list.is_valid(row) && range(row).all(|at| numbers.is_valid(at));
        let present: Vec<bool> = (0..list.len()).map(whole).collect();
        let values = numbers.values();
        let mut all = Vec::with_capacity(list.len() * width);
        (0..list.len()).filter(|row| present[*row]).for_each(|row| all.extend_from_slice(&values[range(row)]));
        Ok((Self { width, numbers: all }, present))
    }

    fn vector(&self, at: usize) -> &[f32] {
        &self.numbers[at * self.width..(at + 1) * self.width]
    }

    fn len(&self) -> usize {
        self.numbers.len().checked_div(self.width).unwrap_or(0)
    }

    /// The nearest of each; positions among the vectors are the codes.
    pub(super) fn nearest(mut self, similarity: &Similarity) -> Vec<Vec<Neighbour>> {
        if similarity.metric == Metric::Cosine {
            for vector in self.numbers.chunks_exact_mut(self.width.max(1)) {
                let length = f64::from(dot(vector, vector)).sqrt();
                #[expect(clippy::cast_possible_truncation, reason = "vectors are of 32-bit floats")]
                vector.iter_mut().for_each(|x| *x = if length > 0.0 { (f64::from(*x) / length) as f32 } else { 0.0 });
            }
        }
        (0..self.len()).into_par_iter().map(|item| self.list(similarity, item)).collect()
    }

    fn list(&self, similarity: &Similarity, item: usize) -> Vec<Neighbour> {
        let mine = self.vector(item);
        let mut best = Best::new(similarity.top);
        for (code, other) in (0_u32..).zip(0..self.len()) {
            if other == item && !similarity.include_self {
                continue;
            }
            let theirs = self.vector(other);
            let score = match similarity.metric {
                Metric::L2 => {
                    -mine.iter().zip(theirs).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum::<f64>().sqrt()
                }
                Metric::L1 => -mine.iter().zip(theirs).map(|(x, y)| (f64::from(*x) - f64::from(*y)).abs()).sum::<f64>(),
                _ => f64::from(dot(mine, theirs)),
            };
            if !score.is_nan() && similarity.threshold.is_none_or(|least| score >= least) {
                best.offer(Neighbour { item: code, score: score + 0.0, common: 0 });
            }
        }
        best.sorted()
    }
}

/// x·y in lanes that the processor adds side by side.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (wide_a, rest_a) = a.as_chunks::<LANES>();
    let (wide_b, rest_b) = b.as_chunks::<LANES>();
    for (x, y) in wide_a.iter().zip(wide_b) {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    lanes.iter().sum::<f32>() + rest_a.iter().zip(rest_b).map(|(x, y)| x * y).sum::<f32>()
}
