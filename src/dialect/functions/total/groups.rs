//! The totals of many groups at once, for GROUP BY.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::Scales;
use crate::dialect::arithmetic::{self, Fault};
use crate::dialect::types::MAX_PRECISION;

/// Calls a function with the group and the index of every row that counts.
fn each(array: &dyn Array, groups: &[usize], filter: Option<&BooleanArray>, mut add: impl FnMut(usize, usize)) {
    let (nulls, filter) = (array.nulls().filter(|nulls| nulls.null_count() > 0), filter);
    if nulls.is_none() && filter.is_none() {
        for (row, group) in groups.iter().enumerate() {
            add(*group, row);
        }
        return;
    }
    for (row, group) in groups.iter().enumerate() {
        let counts = nulls.is_none_or(|nulls| nulls.is_valid(row))
            && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        if counts {
            add(*group, row);
        }
    }
}

/// Sums and counts of exact numbers.
#[derive(Debug)]
pub(super) struct Exact {
    scales: Scales,
    sums: Vec<i128>,
    counts: Vec<i64>,
    overflow: bool,
}

impl Exact {
    pub(super) fn new(scales: Scales) -> Self {
        Self { scales, sums: Vec::new(), counts: Vec::new(), overflow: false }
    }

    fn grow(&mut self, groups: usize) {
        self.sums.resize(groups, 0);
        self.counts.resize(groups, 0);
    }

    fn checked(&self) -> Result<()> {
        if self.overflow { Err(Fault::Overflow.into()) } else { Ok(()) }
    }
}

impl GroupsAccumulator for Exact {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        let (sums, counts, overflow) = (&mut self.sums, &mut self.counts, &mut self.overflow);
        match values[0].data_type() {
            DataType::Int64 => {
                let numbers = values[0].as_primitive::<Int64Type>();
                each(numbers, groups, filter, |group, row| {
                    sums[group] += i128::from(numbers.value(row));
                    counts[group] += 1;
                });
            }
            DataType::Decimal128(..) => {
                let numbers = values[0].as_primitive::<Decimal128Type>();
                each(numbers, groups, filter, |group, row| {
                    let (sum, over) = sums[group].overflowing_add(numbers.value(row));
                    *overflow |= over;
                    sums[group] = sum;
                    counts[group] += 1;
                });
            }
            _ => {}
        }
        self.checked()
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (sums, counts) = (emit_to.take_needed(&mut self.sums), emit_to.take_needed(&mut self.counts));
        let finish = |(sum, count): (i128, &i64)| if *count == 0 { Ok(0) } else { self.scales.finish(sum, *count) };
        let values = sums.into_iter().zip(&counts).map(finish).collect::<Result<Vec<_>>>()?;
        arithmetic::finish(values, nulls(&counts), self.scales.result)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, counts) = (emit_to.take_needed(&mut self.sums), emit_to.take_needed(&mut self.counts));
        if sums.iter().any(|sum| !arithmetic::fits(*sum)) {
            return Err(DataFusionError::from(Fault::Overflow));
        }
        let sums = arithmetic::finish(sums, None, (MAX_PRECISION, self.scales.own))?;
        Ok(vec![sums, Arc::new(Int64Array::from(counts))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let (part, count) = (states[0].as_primitive::<Decimal128Type>(), states[1].as_primitive::<Int64Type>());
        let (sums, counts, overflow) = (&mut self.sums, &mut self.counts, &mut self.overflow);
        each(part, groups, None, |group, row| {
            let (sum, over) = sums[group].overflowing_add(part.value(row));
            *overflow |= over;
            sums[group] = sum;
            counts[group] += count.value(row);
        });
        self.checked()
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut rows = Self::new(self.scales);
        let groups: Vec<usize> = (0..values[0].len()).collect();
        rows.update_batch(values, &groups, filter, groups.len())?;
        rows.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.counts.capacity() * size_of::<i64>()
    }
}

/// Groups of no value are NULL.
fn nulls(counts: &[i64]) -> Option<NullBuffer> {
    counts.contains(&0).then(|| counts.iter().map(|count| *count != 0).collect())
}

/// Sums and counts of floats.
#[derive(Debug)]
pub(super) struct Floats {
    scales: Scales,
    sums: Vec<f64>,
    counts: Vec<i64>,
}

impl Floats {
    pub(super) fn new(scales: Scales) -> Self {
        Self { scales, sums: Vec::new(), counts: Vec::new() }
    }

    fn grow(&mut self, groups: usize) {
        self.sums.resize(groups, 0.0);
        self.counts.resize(groups, 0);
    }
}

impl GroupsAccumulator for Floats {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        let numbers = values[0].as_primitive::<Float64Type>();
        let (sums, counts) = (&mut self.sums, &mut self.counts);
        each(numbers, groups, filter, |group, row| {
            sums[group] += numbers.value(row);
            counts[group] += 1;
        });
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (sums, counts) = (emit_to.take_needed(&mut self.sums), emit_to.take_needed(&mut self.counts));
        let values: Vec<f64> =
            sums.into_iter().zip(&counts).map(|(sum, count)| self.scales.float(sum, *count)).collect();
        Ok(Arc::new(Float64Array::new(values.into(), nulls(&counts))))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, counts) = (emit_to.take_needed(&mut self.sums), emit_to.take_needed(&mut self.counts));
        Ok(vec![Arc::new(Float64Array::from(sums)), Arc::new(Int64Array::from(counts))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let (part, count) = (states[0].as_primitive::<Float64Type>(), states[1].as_primitive::<Int64Type>());
        let (sums, counts) = (&mut self.sums, &mut self.counts);
        each(part, groups, None, |group, row| {
            sums[group] += part.value(row);
            counts[group] += count.value(row);
        });
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut rows = Self::new(self.scales);
        let groups: Vec<usize> = (0..values[0].len()).collect();
        rows.update_batch(values, &groups, filter, groups.len())?;
        rows.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<f64>() + self.counts.capacity() * size_of::<i64>()
    }
}
