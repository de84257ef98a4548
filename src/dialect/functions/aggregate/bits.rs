//! Bits and truth values of a group: BOOLAND_AGG, BITAND_AGG and their kin, COUNT_IF, and bitmaps of numbers.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err, plan_err};

use super::frame::{Group, Setup, aggregate, approximate};
use super::numbers::{expect_number, floats};
use crate::dialect::functions::Function;
use crate::dialect::functions::scalar::{self, Call, exact};
use crate::dialect::types::SqlType;

/// The bits of a bitmap.
const BITMAP_BITS: i64 = 32_768;

pub(super) fn functions() -> Vec<Function> {
    let format = "the bytes differ from Snowflake's; the functions agree among themselves";
    vec![
        aggregate::<Truths>(&["booland_agg"], 1..=1, truth_rule),
        aggregate::<Truths>(&["boolor_agg"], 1..=1, truth_rule),
        aggregate::<Truths>(&["boolxor_agg"], 1..=1, truth_rule),
        aggregate::<Truths>(&["count_if"], 1..=1, |name, types| truth_rule(name, types).map(|_| DataType::Int64)),
        aggregate::<Bits>(&["bitand_agg", "bit_and_agg", "bit_andagg", "bitandagg"], 1..=1, bits_rule),
        aggregate::<Bits>(&["bitor_agg", "bit_or_agg", "bit_oragg", "bitoragg"], 1..=1, bits_rule),
        aggregate::<Bits>(&["bitxor_agg", "bit_xor_agg", "bit_xoragg", "bitxoragg"], 1..=1, bits_rule),
        approximate(aggregate::<Bitmap>(&["bitmap_construct_agg"], 1..=1, construct_rule), format),
        approximate(aggregate::<Bitmap>(&["bitmap_or_agg"], 1..=1, bitmap_rule), format),
        exact("aggregate", &["bitmap_count"], 1..=1, |_| Ok(DataType::Int64), bitmap_count),
        exact("aggregate", &["bitmap_bucket_number"], 1..=1, |_| Ok(DataType::Int64), |call| position(call, true)),
        exact("aggregate", &["bitmap_bit_position"], 1..=1, |_| Ok(DataType::Int64), |call| position(call, false)),
    ]
}

fn truth_rule(name: &str, types: &[DataType]) -> Result<DataType> {
    match types.first().and_then(SqlType::of) {
        Some(SqlType::Boolean | SqlType::Number { .. } | SqlType::Float | SqlType::Null) => Ok(DataType::Boolean),
        Some(SqlType::Variant) => Ok(DataType::Boolean),
        _ => plan_err!("the argument of `{name}` must be a BOOLEAN"),
    }
}

fn bits_rule(name: &str, types: &[DataType]) -> Result<DataType> {
    expect_number(name, types, 0)?;
    Ok(DataType::Int64)
}

fn construct_rule(name: &str, types: &[DataType]) -> Result<DataType> {
    expect_number(name, types, 0)?;
    Ok(DataType::Binary)
}

fn bitmap_rule(name: &str, types: &[DataType]) -> Result<DataType> {
    match types.first().and_then(SqlType::of) {
        Some(SqlType::Binary | SqlType::Null) => Ok(DataType::Binary),
        _ => plan_err!("the argument of `{name}` must be a BINARY"),
    }
}

/// How many truth values were true and how many false.
#[derive(Clone, Copy, Debug, Default)]
struct Truths {
    yes: u64,
    no: u64,
}

fn truths(column: &ArrayRef) -> Result<BooleanArray> {
    match SqlType::of(column.data_type()) {
        Some(SqlType::Boolean | SqlType::Null) => Ok(cast(column, &DataType::Boolean)?.as_boolean().clone()),
        Some(SqlType::Variant) => {
            let texts = crate::dialect::variant::array::texts(column)?;
            crate::dialect::variant::convert::to_boolean(&texts, crate::dialect::variant::convert::Unreadable::Error)
        }
        _ => Ok(floats(column)?.iter().map(|value| value.map(|value| value != 0.0)).collect()),
    }
}

impl Group for Truths {
    fn update(groups: &mut [Self], _: &Setup, columns: &[ArrayRef], at: &[usize]) -> Result<()> {
        let values = truths(&columns[0])?;
        for (row, group) in at.iter().enumerate().filter(|(row, _)| values.is_valid(*row)) {
            if values.value(row) {
                groups[*group].yes += 1;
            } else {
                groups[*group].no += 1;
            }
        }
        Ok(())
    }

    fn evaluate(groups: &[Self], setup: &Setup) -> Result<ArrayRef> {
        if setup.name == "COUNT_IF" {
            return Ok(Arc::new(Int64Array::from_iter_values(groups.iter().map(|group| group.yes as i64))));
        }
        let value = |group: &Self| match setup.name.as_str() {
            "BOOLAND_AGG" => group.no == 0,
            "BOOLOR_AGG" => group.yes > 0,
            _ => group.yes == 1,
        };
        let values = groups.iter().map(|group| (group.yes + group.no > 0).then(|| value(group)));
        Ok(Arc::new(values.collect::<BooleanArray>()))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.yes.to_le_bytes());
        out.extend_from_slice(&self.no.to_le_bytes());
    }

    fn absorb(&mut self, _: &Setup, bytes: &[u8]) -> Result<()> {
        if let [yes, no] = bytes.as_chunks::<8>().0 {
            self.yes += u64::from_le_bytes(*yes);
            self.no += u64::from_le_bytes(*no);
        }
        Ok(())
    }
}

/// The bits of all numbers together.
#[derive(Clone, Copy, Debug, Default)]
struct Bits(Option<i64>);

impl Bits {
    fn add(&mut self, name: &str, value: i64) {
        self.0 = Some(match self.0 {
            None => value,
            Some(bits) if name.starts_with("BITAND") => bits & value,
            Some(bits) if name.starts_with("BITOR") => bits | value,
            Some(bits) => bits ^ value,
        });
    }
}

/// A column as whole numbers, rounded half away from zero.
fn integers(column: &ArrayRef, name: &str) -> Result<Int64Array> {
    if column.data_type() == &DataType::Int64 {
        return Ok(column.as_primitive().clone());
    }
    if let DataType::Decimal128(..) = column.data_type() {
        return Ok(cast(column, &DataType::Int64)?.as_primitive().clone());
    }
    let integer = |value: f64| match value.round() {
        rounded if rounded.abs() < 9.2e18 => Ok(rounded as i64),
        _ => exec_err!("`{name}`: number {value} is out of range"),
    };
    floats(column)?.iter().map(|value| value.map(integer).transpose()).collect()
}

impl Group for Bits {
    fn update(groups: &mut [Self], setup: &Setup, columns: &[ArrayRef], at: &[usize]) -> Result<()> {
        let values = integers(&columns[0], &setup.name)?;
        for (row, group) in at.iter().enumerate().filter(|(row, _)| values.is_valid(*row)) {
            groups[*group].add(&setup.name, values.value(row));
        }
        Ok(())
    }

    fn evaluate(groups: &[Self], _: &Setup) -> Result<ArrayRef> {
        Ok(Arc::new(groups.iter().map(|group| group.0).collect::<Int64Array>()))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        if let Some(bits) = self.0 {
            out.extend_from_slice(&bits.to_le_bytes());
        }
    }

    fn absorb(&mut self, setup: &Setup, bytes: &[u8]) -> Result<()> {
        if let [bits] = bytes.as_chunks::<8>().0 {
            self.add(&setup.name, i64::from_le_bytes(*bits));
        }
        Ok(())
    }
}

/// A set of positions from 0 to 32,767, kept as its bits without the zero bytes at the end.
#[derive(Debug, Default)]
struct Bitmap(Option<Vec<u8>>);

impl Bitmap {
    fn set(&mut self, position: i64) {
        let bytes = self.0.get_or_insert_default();
        let at = (position / 8) as usize;
        if bytes.len() <= at {
            bytes.resize(at + 1, 0);
        }
        bytes[at] |= 1 << (position % 8);
    }

    fn union(&mut self, other: &[u8]) {
        let bytes = self.0.get_or_insert_default();
        if bytes.len() < other.len() {
            bytes.resize(other.len(), 0);
        }
        bytes.iter_mut().zip(other).for_each(|(byte, other)| *byte |= other);
    }
}

impl Group for Bitmap {
    fn update(groups: &mut [Self], setup: &Setup, columns: &[ArrayRef], at: &[usize]) -> Result<()> {
        if setup.name == "BITMAP_OR_AGG" {
            let column = cast(&columns[0], &DataType::Binary)?;
            let bitmaps = column.as_binary::<i32>();
            for (row, group) in at.iter().enumerate().filter(|(row, _)| bitmaps.is_valid(*row)) {
                groups[*group].union(bitmaps.value(row));
            }
            return Ok(());
        }
        let positions = integers(&columns[0], &setup.name)?;
        for (row, group) in at.iter().enumerate().filter(|(row, _)| positions.is_valid(*row)) {
            let position = positions.value(row);
            if !(0..BITMAP_BITS).contains(&position) {
                return exec_err!("`{}`: position {position} is not from 0 to 32767", setup.name);
            }
            groups[*group].set(position);
        }
        Ok(())
    }

    fn evaluate(groups: &[Self], _: &Setup) -> Result<ArrayRef> {
        Ok(Arc::new(groups.iter().map(|group| group.0.as_deref()).collect::<BinaryArray>()))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        if let Some(bytes) = &self.0 {
            out.push(1);
            out.extend_from_slice(bytes);
        }
    }

    fn absorb(&mut self, _: &Setup, bytes: &[u8]) -> Result<()> {
        if let Some((_, bytes)) = bytes.split_first() {
            self.union(bytes);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.0.as_ref().map_or(0, Vec::capacity)
    }
}

fn bitmap_count(call: &Call<'_>) -> Result<ArrayRef> {
    let bitmaps = call.bytes(0)?;
    let ones = |bytes: &[u8]| bytes.iter().map(|byte| i64::from(byte.count_ones())).sum();
    scalar::integers(call.rows, |row| Ok(bitmaps.get(row).map(ones)))
}

/// Which bitmap a number is in, and where in it.
fn position(call: &Call<'_>, bucket: bool) -> Result<ArrayRef> {
    let numbers = call.integers(0)?;
    scalar::integers(call.rows, |row| {
        Ok(numbers.get(row).map(|number| match (bucket, number > 0) {
            (true, true) => (number - 1) / BITMAP_BITS + 1,
            (true, false) => number / BITMAP_BITS,
            (false, true) => (number - 1) % BITMAP_BITS,
            (false, false) => (number % BITMAP_BITS).abs(),
        }))
    })
}
