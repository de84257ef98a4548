//! The score of each candidate: Bayesian averages, normalising, blending and decay. NaN stands for a missing value. Sums
//! run over sorted values, so that the order of rows does not matter.

use rayon::prelude::*;

use crate::name::Name;
use crate::transform::column::{NO_TIME, OnNan, Table};
use crate::transform::param::Instant;
use crate::transform::{Context, TransformError};

use super::{Combine, Component, Decay, DecayShape, Normalize, Rank, Scale, Scope};

/// What scores are made from, by row of the input.
pub(super) struct Scores<'a> {
    rank: &'a Rank,
    columns: Vec<Values>,
    factor: Option<Vec<f64>>,
}

struct Values {
    /// The column, or its normalised values where the scope is global.
    values: Vec<f64>,
    votes: Option<Vec<f64>>,
    done: bool,
}

/// The scores of some rows and what they are made of.
pub(super) struct Scored {
    /// One per row; NaN where a component is missing.
    pub(super) scores: Vec<f64>,
    /// The columns of `explain`, without `relevance`.
    pub(super) parts: Vec<Vec<f64>>,
}

impl<'a> Scores<'a> {
    /// Reads the columns, and normalises those of global scope over `rows`, the candidates.
    pub(super) fn new(rank: &'a Rank, table: &Table, context: Context) -> Result<(Self, Vec<bool>), TransformError> {
        let mut nan = Vec::new();
        let mut read = |name: &Name| table.numbers(name, OnNan::of(rank.drop_nan, &mut nan));
        let mut columns = Vec::new();
        for component in &rank.components {
            let values = read(&component.column.value)?;
            if component.normalize.is_arithmetic() && values.iter().any(|value| value.is_infinite()) {
                let name = component.column.value.lower();
                let message = format!("column `{name}` has an infinite number, which cannot be normalised");
                return Err(TransformError::Data(message));
            }
            let votes = component.bayes.as_ref().map(|bayes| read(&bayes.votes.value)).transpose()?;
            columns.push(Values { values, votes, done: false });
        }
        let factor =
            rank.decay.as_ref().map(|decay| factors(decay, table, context, rank.drop_nan, &mut nan)).transpose()?;
        nan.resize(table.len(), false);
        Ok((Self { rank, columns, factor }, nan))
    }

    /// Normalises the columns of global scope over the candidates.
    pub(super) fn normalize_global(&mut self, rows: &[u32]) {
        for (component, column) in self.rank.components.iter().zip(&mut self.columns) {
            if component.scope == Scope::Global && !matches!(self.rank.combine, Combine::Rrf(_) | Combine::Borda) {
                let normal = normalized(component, column, rows);
                for (row, value) in rows.iter().zip(normal) {
                    column.values[*row as usize] = value;
                }
                column.done = true;
            }
        }
    }

    /// The scores of a partition's candidates.
    pub(super) fn partition(&self, rows: &[u32]) -> Result<Scored, TransformError> {
        let mut scores = Vec::new();
        let mut parts = Vec::new();
        for (component, column) in self.rank.components.iter().zip(&self.columns) {
            let values = normalized(component, column, rows);
            let contribution = self.contribution(component, &values)?;
            if scores.is_empty() {
                scores.clone_from(&contribution);
            } else {
                for (score, value) in scores.iter_mut().zip(&contribution) {
                    *score = self.blend(*score, *value);
                }
            }
            if self.rank.explain {
                if !matches!(self.rank.combine, Combine::Rrf(_) | Combine::Borda) {
                    parts.push(values);
                }
                parts.push(contribution);
            }
        }
        self.check(&scores, rows)?;
        if let Some(factor) = &self.factor {
            let factors: Vec<f64> = rows.iter().map(|row| factor[*row as usize]).collect();
            for (score, factor) in scores.iter_mut().zip(&factors) {
                *score = *score * factor + 0.0;
            }
            if self.rank.explain {
                parts.push(factors);
            }
        }
        Ok(Scored { scores, parts })
    }

    /// NaN made by arithmetic on present values is refused: ∞ − ∞, or a negative number to a fractional power.
    fn check(&self, scores: &[f64], rows: &[u32]) -> Result<(), TransformError> {
        let fusion = matches!(self.rank.combine, Combine::Rrf(_) | Combine::Borda);
        let is_missing = |row: u32| {
            let mut pairs = self.rank.components.iter().zip(&self.columns);
            pairs.any(|(component, column)| component.missing.is_none() && column.values[row as usize].is_nan())
        };
        let wrong = scores.iter().zip(rows).any(|(score, row)| score.is_nan() && (fusion || !is_missing(*row)));
        if wrong {
            let message = "the blend of the score columns is not a number: infinite numbers of both signs, or a \
                           negative number to the power of a fractional weight";
            return Err(TransformError::Data(message.to_owned()));
        }
        Ok(())
    }

    fn contribution(&self, component: &Component, values: &[f64]) -> Result<Vec<f64>, TransformError> {
        let weight = component.weight;
        Ok(match self.rank.combine {
            Combine::Sum | Combine::Max | Combine::Min => values.iter().map(|x| weighted(weight, *x)).collect(),
            Combine::Product => values.iter().map(|x| if weight == 1.0 { *x } else { x.powf(weight) }).collect(),
            Combine::Rrf(k) => fused(values, |rank, _| weight / (k + rank)),
            Combine::Borda => fused(values, |rank, n| weight * (n - rank + 1.0) / n),
        })
    }

    fn blend(&self, a: f64, b: f64) -> f64 {
        let either_missing = a.is_nan() || b.is_nan();
        match self.rank.combine {
            Combine::Product => a * b,
            Combine::Max | Combine::Min if either_missing => f64::NAN,
            Combine::Max => a.max(b),
            Combine::Min => a.min(b),
            Combine::Sum | Combine::Rrf(_) | Combine::Borda => a + b,
        }
    }
}

/// `w·x`, with 0 for a weight of 0 whatever `x` is.
fn weighted(weight: f64, value: f64) -> f64 {
    if weight == 0.0 && value.is_infinite() { 0.0 } else { weight * value + 0.0 }
}

impl Normalize {
    /// Whether infinite numbers have no meaning for it.
    pub(super) fn is_arithmetic(self) -> bool {
        !matches!(self, Self::None | Self::Rank | Self::Quantile)
    }
}

fn normalized(component: &Component, column: &Values, rows: &[u32]) -> Vec<f64> {
    let mut values: Vec<f64> = rows.iter().map(|row| column.values[*row as usize]).collect();
    if !column.done {
        if let (Some(bayes), Some(votes)) = (&component.bayes, &column.votes) {
            let mean = bayes.mean.unwrap_or_else(|| mean(&sorted(&values)));
            let prior = bayes.prior_votes;
            for (value, row) in values.iter_mut().zip(rows) {
                let votes = votes[*row as usize];
                let votes = if votes > 0.0 { votes } else { 0.0 };
                *value = (votes * *value + prior * mean) / (votes + prior);
            }
        }
        normalize(component.normalize, &mut values);
        if let Some(missing) = component.missing {
            for value in values.iter_mut().filter(|value| value.is_nan()) {
                *value = missing;
            }
        }
    }
    values
}

/// The present values in ascending order.
fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    if sorted.len() > 100_000 {
        sorted.par_sort_unstable_by(f64::total_cmp);
    } else {
        sorted.sort_unstable_by(f64::total_cmp);
    }
    sorted
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
fn mean(sorted: &[f64]) -> f64 {
    sorted.iter().sum::<f64>() / sorted.len() as f64
}

/// Normalises present values; missing ones stay missing.
#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
pub(super) fn normalize(how: Normalize, values: &mut [f64]) {
    if how == Normalize::None {
        return;
    }
    let sorted = sorted(values);
    let (Some(min), Some(max)) = (sorted.first().copied(), sorted.last().copied()) else { return };
    let count = sorted.len() as f64;
    match how {
        Normalize::None => {}
        Normalize::MinMax => shift_scale(values, min, max - min),
        Normalize::ZScore => {
            let mean = mean(&sorted);
            let variance = sorted.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
            shift_scale(values, mean, if min == max { 0.0 } else { variance.sqrt() });
        }
        Normalize::Robust => {
            shift_scale(values, quantile(&sorted, 0.5), quantile(&sorted, 0.75) - quantile(&sorted, 0.25));
        }
        Normalize::L1 => {
            let mut sizes: Vec<f64> = sorted.iter().map(|x| x.abs()).collect();
            sizes.sort_unstable_by(f64::total_cmp);
            shift_scale(values, 0.0, sizes.iter().sum());
        }
        Normalize::L2 => {
            let mut squares: Vec<f64> = sorted.iter().map(|x| x * x).collect();
            squares.sort_unstable_by(f64::total_cmp);
            shift_scale(values, 0.0, squares.iter().sum::<f64>().sqrt());
        }
        Normalize::Softmax(temperature) => {
            let power = |x: f64| ((x - max) / temperature).exp();
            let total: f64 = sorted.iter().map(|x| power(*x)).sum();
            values.iter_mut().for_each(|x| *x = power(*x) / total);
        }
        Normalize::Rank => each_present(values, |x| {
            let better = sorted.len() - sorted.partition_point(|y| *y <= x);
            1.0 - better as f64 / count
        }),
        Normalize::Quantile => each_present(values, |x| sorted.partition_point(|y| *y <= x) as f64 / count),
    }
}

fn each_present(values: &mut [f64], of: impl Fn(f64) -> f64) {
    values.iter_mut().filter(|x| !x.is_nan()).for_each(|x| *x = of(*x));
}

fn shift_scale(values: &mut [f64], shift: f64, scale: f64) {
    each_present(values, |x| if scale == 0.0 { 0.0 } else { (x - shift) / scale + 0.0 });
}

/// The quantile of sorted values, interpolated linearly.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (at - below as f64)
}

/// Points by rank among the present values, equal values sharing the better rank; 0 for a missing one.
#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
fn fused(values: &[f64], points: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let sorted = sorted(values);
    let rank = |x: f64| (sorted.len() - sorted.partition_point(|y| *y <= x)) as f64 + 1.0;
    let one = |x: &f64| if x.is_nan() { 0.0 } else { points(rank(*x), sorted.len() as f64) };
    values.iter().map(one).collect()
}

/// The instant that ages are counted from.
pub(super) fn origin(instant: Instant, times: &[i64], context: Context) -> i64 {
    match instant {
        Instant::Now => context.now,
        Instant::Latest => times.iter().copied().max().unwrap_or(NO_TIME),
        Instant::At(time) => time,
    }
}

/// The decay factor of each row; NaN without a time or a scale.
fn factors(
    decay: &Decay,
    table: &Table,
    context: Context,
    drop_nan: bool,
    nan: &mut Vec<bool>,
) -> Result<Vec<f64>, TransformError> {
    let times = table.times(&decay.column.value)?;
    let origin = match (decay.origin, context.newest) {
        (Instant::Latest, Some(newest)) => newest,
        (instant, _) => origin(instant, &times, context),
    };
    let days = match &decay.scale {
        Scale::Fixed(_) => None,
        Scale::Days(name) => Some(table.numbers(&name.value, OnNan::of(drop_nan, nan))?),
    };
    let fixed = if let Scale::Fixed(scale) = decay.scale { seconds(i128::from(scale)) } else { f64::NAN };
    let factor = |(row, time): (usize, &i64)| {
        if *time == NO_TIME {
            return f64::NAN;
        }
        let scale = days.as_ref().map_or(fixed, |days| days[row] * 86_400.0);
        let age = seconds((i128::from(origin) - i128::from(*time) - i128::from(decay.offset)).max(0));
        if scale > 0.0 { decay.factor(age, scale) } else { f64::NAN }
    };
    Ok(times.par_iter().enumerate().map(factor).collect())
}

/// Nanoseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "ages are wanted to 1e-15 of themselves, not to the nanosecond")]
fn seconds(nanoseconds: i128) -> f64 {
    nanoseconds as f64 / 1e9
}

impl Decay {
    /// The factor at an age beyond the offset, both in seconds.
    fn factor(&self, age: f64, scale: f64) -> f64 {
        match self.shape {
            DecayShape::Linear => {
                let end = scale / (1.0 - self.decay);
                ((end - age) / end).max(0.0)
            }
            DecayShape::Exponential => (self.decay.ln() / scale * age).exp(),
            DecayShape::Gauss => (age * age * self.decay.ln() / (scale * scale)).exp(),
        }
    }
}
