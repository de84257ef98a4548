//! Distinct counts and frequent values that Snowflake estimates: APPROX_COUNT_DISTINCT, the HLL functions, APPROX_TOP_K.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err, plan_err};
use hashbrown::{DefaultHashBuilder, HashSet};
use indexmap::IndexMap;

use super::frame::{Group, Setup, aggregate, approximate, put, take};
use super::numbers::equal_rows;
use crate::dialect::functions::Function;
use crate::dialect::functions::scalar::{self, Call, exact};
use crate::dialect::types::{self, SqlType};
use crate::dialect::variant::array::of_texts;
use crate::dialect::variant::convert::to_texts;
use crate::dialect::variant::key::key;

/// How many bits of a hash choose a register of a sketch: Snowflake's 12, an error of 1.6 %.
const REGISTER_BITS: u32 = 12;

pub(super) fn functions() -> Vec<Function> {
    let counted = "it counts exactly, where Snowflake estimates";
    let sketched = "the sketch is of the same precision but not Snowflake's, so estimates differ within the error";
    vec![
        approximate(
            aggregate::<Hashes>(&["approx_count_distinct", "hll"], 1..=64, |_, _| Ok(DataType::Int64)),
            counted,
        ),
        approximate(aggregate::<Sketch>(&["hll_accumulate"], 1..=64, |_, _| Ok(DataType::Binary)), sketched),
        approximate(aggregate::<Sketch>(&["hll_combine"], 1..=1, sketch_rule), sketched),
        approximate(exact("aggregate", &["hll_estimate"], 1..=1, |_| Ok(DataType::Int64), hll_estimate), sketched),
        approximate(aggregate::<TopK>(&["approx_top_k"], 1..=3, |_, _| Ok(types::array())), counted),
    ]
}

fn sketch_rule(name: &str, types: &[DataType]) -> Result<DataType> {
    match types.first().and_then(SqlType::of) {
        Some(SqlType::Binary | SqlType::Null) => Ok(DataType::Binary),
        _ => plan_err!("the argument of `{name}` must be a BINARY"),
    }
}

/// A hash that is the same in every run: FNV-1a, its bits then mixed as a sketch needs them.
fn hash(bytes: &[u8]) -> u64 {
    let mixed = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

/// Calls `row` with each row that has no NULL and its bytes, which are the same for equal rows.
fn complete_rows(columns: &[ArrayRef], mut row: impl FnMut(usize, &[u8])) -> Result<()> {
    let rows = equal_rows(columns)?;
    let nulls: Vec<_> = columns.iter().filter_map(|column| column.logical_nulls()).collect();
    for at in 0..rows.num_rows() {
        if nulls.iter().all(|nulls| nulls.is_valid(at)) {
            row(at, rows.row(at).data());
        }
    }
    Ok(())
}

/// The hashes of the distinct rows.
#[derive(Debug, Default)]
struct Hashes(HashSet<u64>);

impl Group for Hashes {
    fn update(groups: &mut [Self], setup: &Setup, columns: &[ArrayRef], at: &[usize]) -> Result<()> {
        complete_rows(&columns[..setup.types.len()], |row, bytes| {
            groups[at[row]].0.insert(hash(bytes));
        })
    }

    fn evaluate(groups: &[Self], _: &Setup) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from_iter_values(groups.iter().map(|group| group.0.len() as i64))))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let mut hashes: Vec<u64> = self.0.iter().copied().collect();
        hashes.sort_unstable();
        hashes.iter().for_each(|hash| out.extend_from_slice(&hash.to_le_bytes()));
    }

    fn absorb(&mut self, _: &Setup, bytes: &[u8]) -> Result<()> {
        self.0.extend(bytes.as_chunks::<8>().0.iter().map(|hash| u64::from_le_bytes(*hash)));
        Ok(())
    }

    fn size(&self) -> usize {
        self.0.capacity() * 9
    }
}

/// A HyperLogLog sketch: the registers, empty before the first value.
#[derive(Debug, Default)]
struct Sketch(Vec<u8>);

impl Sketch {
    fn registers(&mut self) -> &mut Vec<u8> {
        self.0.resize(1 << REGISTER_BITS, 0);
        &mut self.0
    }

    fn add(&mut self, hash: u64) {
        let register = (hash >> (64 - REGISTER_BITS)) as usize;
        let rank = ((hash << REGISTER_BITS) | 1 << (REGISTER_BITS - 1)).leading_zeros() as u8 + 1;
        let registers = self.registers();
        registers[register] = registers[register].max(rank);
    }

    fn union(&mut self, other: &[u8]) {
        self.registers().iter_mut().zip(other).for_each(|(register, other)| *register = (*register).max(*other));
    }
}

fn estimate(registers: &[u8]) -> i64 {
    let count = registers.len() as f64;
    let zeros = registers.iter().filter(|register| **register == 0).count() as f64;
    let sum: f64 = registers.iter().map(|register| (-f64::from(*register)).exp2()).sum();
    let raw = 0.7213 / (1.0 + 1.079 / count) * count * count / sum;
    let small = raw <= 2.5 * count && zeros > 0.0;
    (if small { count * (count / zeros).ln() } else { raw }).round() as i64
}

impl Group for Sketch {
    fn update(groups: &mut [Self], setup: &Setup, columns: &[ArrayRef], at: &[usize]) -> Result<()> {
        if setup.name != "HLL_COMBINE" {
            return complete_rows(&columns[..setup.types.len()], |row, bytes| groups[at[row]].add(hash(bytes)));
        }
        let column = cast(&columns[0], &DataType::Binary)?;
        let sketches = column.as_binary::<i32>();
        for (row, group) in at.iter().enumerate().filter(|(row, _)| sketches.is_valid(*row)) {
            if sketches.value(row).len() != 1 << REGISTER_BITS {
                return exec_err!("the argument of `HLL_COMBINE` is not the result of `HLL_ACCUMULATE`");
            }
            groups[*group].union(sketches.value(row));
        }
        Ok(())
    }

    fn evaluate(groups: &[Self], _: &Setup) -> Result<ArrayRef> {
        let none = vec![0; 1 << REGISTER_BITS];
        let bytes = groups.iter().map(|group| Some(if group.0.is_empty() { none.as_slice() } else { &group.0 }));
        Ok(Arc::new(bytes.collect::<BinaryArray>()))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn absorb(&mut self, _: &Setup, bytes: &[u8]) -> Result<()> {
        self.union(bytes);
        Ok(())
    }

    fn size(&self) -> usize {
        self.0.capacity()
    }
}

fn hll_estimate(call: &Call<'_>) -> Result<ArrayRef> {
    let sketches = call.bytes(0)?;
    scalar::integers(call.rows, |row| match sketches.get(row) {
        Some(registers) if registers.len() == 1 << REGISTER_BITS => Ok(Some(estimate(registers))),
        Some(_) => call.fail("its argument is not the result of `HLL_ACCUMULATE`"),
        None => Ok(None),
    })
}

/// APPROX_TOP_K: how often each value is there.
#[derive(Debug, Default)]
struct TopK(IndexMap<Vec<u8>, (Box<str>, u64), DefaultHashBuilder>);

impl TopK {
    fn add(&mut self, text: &str, count: u64) {
        self.0.entry(key(text)).or_insert_with(|| (text.into(), 0)).1 += count;
    }
}

impl Group for TopK {
    fn update(groups: &mut [Self], _: &Setup, columns: &[ArrayRef], at: &[usize]) -> Result<()> {
        let texts = to_texts(&columns[0])?;
        for (row, group) in at.iter().enumerate().filter(|(row, _)| texts.is_valid(*row)) {
            groups[*group].add(texts.value(row), 1);
        }
        Ok(())
    }

    fn evaluate(groups: &[Self], setup: &Setup) -> Result<ArrayRef> {
        let wanted = if setup.types.len() > 1 { setup.constant_number(1) } else { Some(1.0) };
        let Some(wanted) = wanted.filter(|wanted| *wanted >= 1.0) else {
            return exec_err!("the second argument of `APPROX_TOP_K` must be a constant from 1");
        };
        let text = |group: &Self| {
            let mut counts: Vec<_> = group.0.values().collect();
            counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            let pairs: Vec<String> =
                counts.iter().take(wanted as usize).map(|(text, count)| format!("[{text},{count}]")).collect();
            Some(format!("[{}]", pairs.join(",")))
        };
        of_texts(groups.iter().map(text).collect::<StringArray>(), &types::array())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for (text, count) in self.0.values() {
            put(out, text.as_bytes());
            out.extend_from_slice(&count.to_le_bytes());
        }
    }

    fn absorb(&mut self, _: &Setup, mut bytes: &[u8]) -> Result<()> {
        while let Some(text) = take(&mut bytes) {
            let Some((count, rest)) = bytes.split_first_chunk::<8>() else { break };
            bytes = rest;
            self.add(&String::from_utf8_lossy(text), u64::from_le_bytes(*count));
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.0.iter().map(|(key, (text, _))| key.len() + text.len() + 64).sum()
    }
}
