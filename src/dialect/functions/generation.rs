//! Data generation: values spread over a range or around a mean, one per value of a generator such as RANDOM(). A constant
//! generator is refused: what Snowflake makes of a seed is its own.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Decimal128Array, Float64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::Volatility;

use super::scalar::{self, Call, Shape, function};
use super::{Fidelity, Function, Implementation};
use crate::dialect::types::SqlType;

/// RANDOM with a seed.
mod seeded;

pub(in crate::dialect) use seeded::seeded;

const FAMILY: &str = "data generation";

/// The functions of this family.
pub(super) fn functions() -> Vec<Function> {
    let random = |names, arity, rule, kernel| Function {
        fidelity: Fidelity::Approximate("random values of the same distribution; a constant seed is refused"),
        ..function(FAMILY, names, arity, rule, kernel, Volatility::Volatile)
    };
    vec![
        Function {
            name: "random",
            aliases: &[],
            family: FAMILY,
            fidelity: Fidelity::Approximate("without a seed, never the same value as in Snowflake; with one, the same"),
            implementation: Implementation::Rewritten,
        },
        random(&["normal"], 3..=3, |shape| generated(shape, 2, DataType::Float64), normal),
        random(&["uniform"], 3..=3, uniform_rule, uniform),
        random(&["randstr"], 2..=2, |shape| generated(shape, 1, DataType::Utf8), randstr),
        random(&["zipf"], 3..=3, |shape| generated(shape, 2, DataType::Int64), zipf),
    ]
}

/// The result type, if the generator at `index` is not a constant.
fn generated(shape: &Shape<'_>, index: usize, result: DataType) -> Result<DataType> {
    match shape.constants.get(index) {
        Some(Some(_)) => {
            plan_err!("`{}` with a constant generator is refused: what a seed gives is Snowflake's own", shape.name)
        }
        _ => Ok(result),
    }
}

fn uniform_rule(shape: &Shape<'_>) -> Result<DataType> {
    let whole = |index| matches!(shape.sql_type(index), SqlType::Number { scale: 0, .. });
    let exact = |index| matches!(shape.sql_type(index), SqlType::Number { .. });
    let result = if whole(0) && whole(1) { DataType::Decimal128(38, 0) } else { DataType::Float64 };
    if !exact(0) && shape.sql_type(0) != SqlType::Float {
        return shape.refuse(0);
    }
    if !exact(1) && shape.sql_type(1) != SqlType::Float {
        return shape.refuse(1);
    }
    generated(shape, 2, result)
}

/// Random bits out of a generator's value, more of them with every step.
struct Bits(u64);

impl Bits {
    fn of(generator: i64) -> Self {
        Self(generator as u64)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to but not 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn floats(call: &Call<'_>, index: usize) -> Result<Vec<Option<f64>>> {
    let column = call.column(index)?;
    let array = scalar::cast_to(column.array(), &DataType::Float64)?;
    let array = array.as_any().downcast_ref::<Float64Array>().ok_or_else(scalar::wrong_type)?;
    Ok((0..call.rows).map(|row| column.at(row).map(|at| array.value(at))).collect())
}

fn normal(call: &Call<'_>) -> Result<ArrayRef> {
    let (means, deviations, generators) = (floats(call, 0)?, floats(call, 1)?, call.integers(2)?);
    let value = |row: usize| {
        let mut bits = Bits::of(generators.get(row)?);
        let radius = (-2.0 * (1.0 - bits.unit()).ln()).sqrt();
        let angle = std::f64::consts::TAU * bits.unit();
        Some(means[row]? + deviations[row]? * radius * angle.cos())
    };
    Ok(Arc::new((0..call.rows).map(value).collect::<Float64Array>()))
}

fn uniform(call: &Call<'_>) -> Result<ArrayRef> {
    let generators = call.integers(2)?;
    if call.returns == &DataType::Float64 {
        let (least, most) = (floats(call, 0)?, floats(call, 1)?);
        let value = |row: usize| {
            let share = Bits::of(generators.get(row)?).unit();
            Some(least[row]? + share * (most[row]? - least[row]?))
        };
        return Ok(Arc::new((0..call.rows).map(value).collect::<Float64Array>()));
    }
    let (least, most) = (call.integers(0)?, call.integers(1)?);
    let value = |row: usize| {
        let (least, most) = (i128::from(least.get(row)?), i128::from(most.get(row)?));
        let width = (most - least + 1).max(1);
        Some(least + i128::from(Bits::of(generators.get(row)?).next()).rem_euclid(width))
    };
    let values: Decimal128Array = (0..call.rows).map(value).collect();
    Ok(Arc::new(values.with_precision_and_scale(38, 0)?))
}

fn randstr(call: &Call<'_>) -> Result<ArrayRef> {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let (lengths, generators) = (call.integers(0)?, call.integers(1)?);
    scalar::texts(call.rows, |row, out| {
        let (Some(length), Some(generator)) = (lengths.get(row), generators.get(row)) else { return Ok(false) };
        if !(0..=16_777_216).contains(&length) {
            return call.fail(format!("a length of {length} is out of range"));
        }
        let mut bits = Bits::of(generator);
        out.extend((0..length).map(|_| char::from(LETTERS[(bits.next() % 62) as usize])));
        Ok(true)
    })
}

/// Ranks from 1 to `n`, the k-th as likely as 1 / k^s.
fn zipf(call: &Call<'_>) -> Result<ArrayRef> {
    let (exponents, counts, generators) = (floats(call, 0)?, call.integers(1)?, call.integers(2)?);
    let mut cumulative: Vec<f64> = Vec::new();
    let mut made_for = None;
    scalar::integers(call.rows, |row| {
        let (Some(exponent), Some(count), Some(generator)) = (exponents[row], counts.get(row), generators.get(row))
        else {
            return Ok(None);
        };
        if !(1..=16_777_215).contains(&count) {
            return call.fail(format!("a number of {count} ranks is out of range"));
        }
        if made_for != Some((exponent, count)) {
            made_for = Some((exponent, count));
            cumulative.clear();
            let mut sum = 0.0;
            cumulative.extend((1..=count).map(|rank| {
                sum += (rank as f64).powf(-exponent);
                sum
            }));
        }
        let drawn = Bits::of(generator).unit() * cumulative.last().copied().unwrap_or(1.0);
        Ok(Some(cumulative.partition_point(|sum| *sum <= drawn) as i64 + 1))
    })
}

#[cfg(test)]
mod tests {
    use crate::dialect::functions::testing::fails;

    #[test]
    fn a_constant_seed_is_refused() {
        assert!(fails("RANDSTR(5, 1234)").contains("constant generator"));
        assert!(fails("NORMAL(0, 1, 1234)").contains("constant generator"));
    }
}
