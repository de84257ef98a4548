//! What a column holds on either side: of numbers their mean, spread and bounds, of texts the values that became more or
//! fewer. Values that did not change cancel out, so that only those of differing rows are counted.

use std::collections::BTreeMap;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use datafusion::arrow::compute::{and_not, cast, filter};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::arrow::error::ArrowError;

/// Different values of one column that are counted; of a column with more of them none are told.
const MOST_VALUES: usize = 10_000;
/// Values that are told, of those that became more and of those that became fewer.
const TOLD: usize = 3;

/// How what a column holds moved.
#[derive(Clone, Debug, PartialEq)]
pub enum Shift {
    /// Numbers, before and after.
    Numbers(Numbers, Numbers),
    /// Anything else.
    Values {
        /// NULLs before and after.
        nulls: (u64, u64),
        /// The values that became more or fewer, and by how many rows; those that moved most first.
        moved: Vec<(String, i64)>,
    },
}

/// A column of numbers as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Numbers {
    /// Values that are no NULL.
    pub count: u64,
    /// NULLs.
    pub nulls: u64,
    /// The least value.
    pub least: f64,
    /// The greatest value.
    pub greatest: f64,
    /// Values are summed up from here, for precision.
    base: f64,
    sum: f64,
    squares: f64,
}

impl Numbers {
    /// The mean; 0 where there is no value.
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.base + self.sum / exact(self.count) }
    }

    /// The standard deviation, of all values and not of a sample.
    pub fn deviation(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        let mean = self.sum / exact(self.count);
        (self.squares / exact(self.count) - mean * mean).max(0.0).sqrt()
    }

    /// Whether the figures are the same but for how sums are rounded.
    fn is_like(&self, other: &Self) -> bool {
        let close = |a: f64, b: f64| a == b || (a - b).abs() <= 1e-9 * self.least.abs().max(self.greatest.abs());
        (self.count, self.nulls) == (other.count, other.nulls)
            && [(self.least, other.least), (self.greatest, other.greatest)].iter().all(|(a, b)| close(*a, *b))
            && close(self.mean(), other.mean())
            && close(self.deviation(), other.deviation())
    }

    fn add(&mut self, values: impl Iterator<Item = f64>) {
        for value in values {
            if self.count == 0 {
                (self.least, self.greatest, self.base) = (value, value, value);
            }
            self.count += 1;
            self.least = self.least.min(value);
            self.greatest = self.greatest.max(value);
            let from_base = value - self.base;
            self.sum += from_base;
            self.squares += from_base * from_base;
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^52")]
fn exact(count: u64) -> f64 {
    count as f64
}

/// What was seen of a column on both sides.
#[derive(Debug)]
pub(super) enum Figures {
    /// Numbers, before and after.
    Numbers(Numbers, Numbers),
    /// How many rows more than before have each value; none once there are too many.
    Values { nulls: (u64, u64), moved: Option<BTreeMap<String, i64>> },
}

impl Figures {
    /// Nothing yet, of a column of these types.
    pub(super) fn of(before: &DataType, after: &DataType) -> Self {
        if before.is_numeric() && after.is_numeric() {
            return Self::Numbers(Numbers::default(), Numbers::default());
        }
        let text = |kind: &DataType| {
            matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Boolean)
        };
        Self::Values { nulls: (0, 0), moved: (text(before) && text(after)).then(BTreeMap::new) }
    }

    /// Adds a batch of pairs: where each side has a row, where both have, and where these differ.
    pub(super) fn add(
        &mut self,
        here_before: &BooleanArray,
        before: &ArrayRef,
        here_after: &BooleanArray,
        after: &ArrayRef,
        both: &BooleanArray,
        differs: &BooleanArray,
    ) -> Result<(), ArrowError> {
        let nulls = |here: &BooleanArray, array: &ArrayRef| {
            // Where a side has no row its columns are NULL as well.
            let missing = here.len() - here.true_count();
            (array.null_count().saturating_sub(missing)) as u64
        };
        let (nulls_before, nulls_after) = (nulls(here_before, before), nulls(here_after, after));
        match self {
            Self::Numbers(old, new) => {
                old.nulls += nulls_before;
                new.nulls += nulls_after;
                for (numbers, array) in [(old, before), (new, after)] {
                    let array = cast(array, &DataType::Float64)?;
                    numbers.add(array.as_primitive::<Float64Type>().iter().flatten());
                }
            }
            Self::Values { nulls, moved } => {
                nulls.0 += nulls_before;
                nulls.1 += nulls_after;
                let sides = [(here_before, before, -1_i64), (here_after, after, 1)];
                for (here, array, by) in sides {
                    let alone = and_not(here, both)?;
                    let counted = datafusion::arrow::compute::or(&alone, differs)?;
                    if counted.true_count() > 0 {
                        count(moved, &filter(array, &counted)?, by)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// How the column moved; none where it did not.
    pub(super) fn shift(self) -> Option<Shift> {
        match self {
            Self::Numbers(before, after) => (!before.is_like(&after)).then_some(Shift::Numbers(before, after)),
            Self::Values { nulls, moved } => {
                let moved = most(moved.unwrap_or_default());
                (nulls.0 != nulls.1 || !moved.is_empty()).then_some(Shift::Values { nulls, moved })
            }
        }
    }
}

fn count(moved: &mut Option<BTreeMap<String, i64>>, array: &ArrayRef, by: i64) -> Result<(), ArrowError> {
    let Some(values) = moved else { return Ok(()) };
    let texts = cast(array, &DataType::Utf8)?;
    for text in texts.as_string::<i32>().iter().flatten() {
        match values.get_mut(text) {
            Some(count) => *count += by,
            None => {
                values.insert(text.to_owned(), by);
            }
        }
    }
    if values.len() > MOST_VALUES {
        *moved = None;
    }
    Ok(())
}

/// Those that moved most, both ways.
fn most(moved: BTreeMap<String, i64>) -> Vec<(String, i64)> {
    let (mut more, mut fewer): (Vec<_>, Vec<_>) =
        moved.into_iter().filter(|(_, by)| *by != 0).partition(|(_, by)| *by > 0);
    more.sort_by_key(|(_, by)| -by);
    fewer.sort_by_key(|(_, by)| *by);
    more.truncate(TOLD);
    fewer.truncate(TOLD);
    more.append(&mut fewer);
    more
}
