//! Random numbers and texts. Without a seed they are as random as Snowflake's; with one they would have to be Snowflake's very
//! numbers, which come from generators that are not public, so a seed is refused.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::Volatility;

use super::super::Function;
use super::super::operator;
use super::super::scalar::{Call, Shape, function, integers, refused, texts};
use super::{FAMILY, floats};
use crate::dialect::types::SqlType;

const SEED: &str = "with a constant seed the values are Snowflake's own and not public";

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    let volatile = Volatility::Volatile;
    vec![
        function(FAMILY, &["random"], 0..=1, random_type, random, volatile),
        function(FAMILY, &["uniform"], 3..=3, uniform_type, uniform, volatile),
        function(FAMILY, &["normal"], 3..=3, normal_type, normal, volatile),
        function(FAMILY, &["randstr"], 2..=2, randstr_type, randstr, volatile),
        refused(FAMILY, &["zipf"], "its generator is Snowflake's own and not public"),
    ]
}

fn random_type(shape: &Shape<'_>) -> Result<DataType> {
    if shape.types.is_empty() { Ok(DataType::Int64) } else { plan_err!("`RANDOM` takes no seed here: {SEED}") }
}

fn generated(shape: &Shape<'_>, index: usize) -> Result<()> {
    match shape.constants.get(index).copied().flatten() {
        Some(value) if !value.is_null() => plan_err!("`{}` needs a generator such as RANDOM(): {SEED}", shape.name),
        _ => Ok(()),
    }
}

fn uniform_type(shape: &Shape<'_>) -> Result<DataType> {
    generated(shape, 2)?;
    let whole = |index| matches!(shape.sql_type(index), SqlType::Number { scale: 0, .. });
    Ok(if whole(0) && whole(1) { DataType::Int64 } else { DataType::Float64 })
}

fn normal_type(shape: &Shape<'_>) -> Result<DataType> {
    generated(shape, 2)?;
    Ok(DataType::Float64)
}

fn randstr_type(shape: &Shape<'_>) -> Result<DataType> {
    generated(shape, 1)?;
    Ok(DataType::Utf8)
}

/// The next of a sequence of well-mixed numbers (SplitMix64).
fn mixed(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut value = *state;
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

/// A number from 0 up to 1, by its 53 upper bits.
fn fraction(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

fn random(call: &Call<'_>) -> Result<ArrayRef> {
    let mut state = RandomState::new().build_hasher().finish();
    integers(call.rows, |_| Ok(Some(mixed(&mut state) as i64)))
}

/// A mixer for each row's value of a generator column.
fn states(call: &Call<'_>, index: usize) -> Result<impl Fn(usize) -> Option<u64>> {
    let seeds = call.integers(index)?;
    Ok(move |row| seeds.get(row).map(|seed| seed as u64))
}

fn uniform(call: &Call<'_>) -> Result<ArrayRef> {
    let states = states(call, 2)?;
    if call.returns == &DataType::Int64 {
        let (least, most) = (call.integers(0)?, call.integers(1)?);
        return integers(call.rows, |row| {
            let (Some(least), Some(most), Some(mut state)) = (least.get(row), most.get(row), states(row)) else {
                return Ok(None);
            };
            if least > most {
                return call.fail(format!("the least value {least} is above the most {most}"));
            }
            let span = (i128::from(most) - i128::from(least) + 1) as u128;
            let offset = (u128::from(mixed(&mut state)) * span >> 64) as i128;
            Ok(Some((i128::from(least) + offset) as i64))
        });
    }
    let (least, most) = (floats(call, 0)?, floats(call, 1)?);
    let one = |row: usize| {
        let mut state = states(row)?;
        Some(least.value(row) + (most.value(row) - least.value(row)) * fraction(mixed(&mut state)))
    };
    Ok(Arc::new((0..call.rows).map(one).collect::<Float64Array>()))
}

fn normal(call: &Call<'_>) -> Result<ArrayRef> {
    let (mean, deviation, states) = (floats(call, 0)?, floats(call, 1)?, states(call, 2)?);
    let one = |row: usize| {
        let mut state = states(row)?;
        let (radius, angle) = (1.0 - fraction(mixed(&mut state)), fraction(mixed(&mut state)));
        let standard = (-2.0 * radius.ln()).sqrt() * (2.0 * std::f64::consts::PI * angle).cos();
        Some(operator::tidy(mean.value(row) + deviation.value(row) * standard))
    };
    Ok(Arc::new((0..call.rows).map(one).collect::<Float64Array>()))
}

fn randstr(call: &Call<'_>) -> Result<ArrayRef> {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let (lengths, states) = (call.integers(0)?, states(call, 1)?);
    texts(call.rows, |row, out| {
        let (Some(length), Some(mut state)) = (lengths.get(row), states(row)) else { return Ok(false) };
        if length < 0 {
            return call.fail("the length is negative");
        }
        for _ in 0..length {
            let at = (u128::from(mixed(&mut state)) * LETTERS.len() as u128 >> 64) as usize;
            out.push(char::from(LETTERS[at]));
        }
        Ok(true)
    })
}
