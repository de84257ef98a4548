//! Exact arithmetic on columns of NUMBER: the precision and scale of results, and kernels that read `Int64` and
//! `Decimal128` as they rest. Floats, dates and text are not numbers here; operators convert them first.
//!
//! With `l` digits before and `s` after the point of each operand, the result has
//!
//! | operator | digits before the point | digits after it |
//! | --- | --- | --- |
//! | `+`, `-` | max(l1, l2) + 1 | max(s1, s2) |
//! | `*` | l1 + l2 | min(s1 + s2, max(s1, s2, 12)) |
//! | `/` | l1 + s2 | max(s1, min(s1 + 6, 12)) |
//! | `%` | max(l1, l2) | max(s1, s2) |
//!
//! 38 in all at most; a value that needs more is an error. What does not fit the scale is rounded half away from zero.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Int64Type, i256};
use datafusion::common::{DataFusionError, Result, exec_err};

use super::types::MAX_PRECISION;

/// One past the greatest value of 38 digits.
pub const LIMIT: i128 = 10_i128.pow(38);

/// Digits that any 64-bit integer has room in.
const INT64_DIGITS: u8 = 19;

/// An operator on two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
}

impl Operator {
    /// How it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        }
    }

    /// The result's precision and scale, from those of the operands.
    pub fn result(self, left: (u8, u8), right: (u8, u8)) -> (u8, u8) {
        let (digits, scale) = self.wanted(left, right);
        (digits.min(u16::from(MAX_PRECISION)) as u8, scale)
    }

    /// The same before precision is cut to 38.
    fn wanted(self, (p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> (u16, u8) {
        let (l1, l2) = (u16::from(p1.saturating_sub(s1)), u16::from(p2.saturating_sub(s2)));
        let (leading, scale) = match self {
            Self::Add | Self::Subtract => (l1.max(l2) + 1, s1.max(s2)),
            Self::Multiply => (l1 + l2, (s1 + s2).min(s1.max(s2).max(12))),
            Self::Divide => (l1 + u16::from(s2), s1.max((s1 + 6).min(12))),
            Self::Modulo => (l1.max(l2), s1.max(s2)),
        };
        let scale = scale.min(MAX_PRECISION - 1);
        ((leading + u16::from(scale)).max(1), scale)
    }
}

/// The precision and scale of an exact column's values.
pub fn digits(data_type: &DataType) -> Option<(u8, u8)> {
    match data_type {
        DataType::Int64 => Some((INT64_DIGITS, 0)),
        DataType::Decimal128(precision, scale) => Some((*precision, u8::try_from(*scale).ok()?)),
        DataType::Null => Some((1, 0)),
        _ => None,
    }
}

/// `10^exponent`, for exponents to 38.
pub fn power(exponent: u8) -> i128 {
    10_i128.pow(u32::from(exponent.min(MAX_PRECISION)))
}

/// A value divided and rounded half away from zero. The divisor is not zero.
pub fn divide_rounded(value: i128, divisor: i128) -> i128 {
    if let (Ok(value), Ok(divisor)) = (i64::try_from(value), i64::try_from(divisor))
        && let (Some(quotient), Some(rest)) = (value.checked_div(divisor), value.checked_rem(divisor))
    {
        let up = rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs();
        return i128::from(quotient) + if up { away(value < 0, divisor < 0) } else { 0 };
    }
    let (quotient, rest) = (value / divisor, value % divisor);
    let up = rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs();
    quotient + if up { away(value < 0, divisor < 0) } else { 0 }
}

fn away(left_negative: bool, right_negative: bool) -> i128 {
    if left_negative == right_negative { 1 } else { -1 }
}

/// `value * factor / divisor`, rounded half away from zero, through 256 bits; none where 38 digits do not hold it.
pub fn scaled(value: i128, factor: i128, divisor: i128) -> Option<i128> {
    if let Some(product) = value.checked_mul(factor) {
        return Some(divide_rounded(product, divisor)).filter(|v| fits(*v));
    }
    let product = i256::from_i128(value).checked_mul(i256::from_i128(factor))?;
    let divisor_wide = i256::from_i128(divisor);
    let (quotient, rest) = (product.checked_div(divisor_wide)?, product.checked_rem(divisor_wide)?);
    let twice = rest.wrapping_abs().checked_mul(i256::from_i128(2))?;
    let up = twice >= divisor_wide.wrapping_abs();
    let negative = (value < 0) != (factor < 0);
    let step = if up { i256::from_i128(away(negative, divisor < 0)) } else { i256::ZERO };
    quotient.checked_add(step)?.to_i128().filter(|v| fits(*v))
}

/// Whether 38 digits hold a value.
pub fn fits(value: i128) -> bool {
    value > -LIMIT && value < LIMIT
}

/// A value at another scale, rounded half away from zero; none where 38 digits do not hold it.
pub fn rescale(value: i128, from: u8, to: u8) -> Option<i128> {
    if to >= from {
        value.checked_mul(power(to - from)).filter(|v| fits(*v))
    } else if from - to > MAX_PRECISION {
        Some(0)
    } else {
        Some(divide_rounded(value, power(from - to)))
    }
}

/// A column of exact numbers: one a row, or one for all rows.
#[derive(Clone, Copy)]
pub struct Operand<'a> {
    /// The values, `Int64`, `Decimal128` or `Null`.
    pub array: &'a ArrayRef,
    /// Whether the first value stands for all rows.
    pub constant: bool,
}

#[derive(Clone, Copy)]
enum Values<'a> {
    Small(&'a [i64]),
    Large(&'a [i128]),
    Constant(i128),
}

impl<'a> Operand<'a> {
    fn values(self) -> Result<Values<'a>> {
        let values = match self.array.data_type() {
            DataType::Int64 => Values::Small(self.array.as_primitive::<Int64Type>().values()),
            DataType::Decimal128(..) => Values::Large(self.array.as_primitive::<Decimal128Type>().values()),
            DataType::Null => return Ok(Values::Constant(0)),
            other => return exec_err!("{other} is not an exact number"),
        };
        Ok(match (self.constant, values) {
            (true, Values::Small(values)) => Values::Constant(values.first().copied().unwrap_or(0).into()),
            (true, Values::Large(values)) => Values::Constant(values.first().copied().unwrap_or(0)),
            (_, values) => values,
        })
    }

    /// The NULLs it brings into a result of so many rows.
    fn nulls(self, rows: usize) -> Option<NullBuffer> {
        if self.array.data_type() == &DataType::Null {
            return Some(NullBuffer::new_null(rows));
        }
        match (self.constant, self.array.nulls()) {
            (_, None) => None,
            (true, Some(nulls)) => nulls.is_null(0).then(|| NullBuffer::new_null(rows)),
            (false, nulls) => nulls.cloned(),
        }
    }
}

/// What went wrong in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The divisor is zero.
    DivisionByZero,
    /// More than 38 digits.
    Overflow,
}

impl From<Fault> for DataFusionError {
    fn from(fault: Fault) -> Self {
        let message = match fault {
            Fault::DivisionByZero => "division by zero",
            Fault::Overflow => "number out of range: the result has more than 38 digits",
        };
        Self::Execution(message.to_owned())
    }
}

/// Applies a function to every row; the values of rows where it fails do not count when the row is NULL.
fn map_rows(
    left: Operand<'_>,
    right: Operand<'_>,
    rows: usize,
    one: impl Fn(i128, i128) -> Result<i128, Fault> + Copy,
) -> Result<(Vec<i128>, Option<NullBuffer>)> {
    let nulls = NullBuffer::union(left.nulls(rows).as_ref(), right.nulls(rows).as_ref());
    if nulls.as_ref().is_some_and(|nulls| nulls.null_count() == rows) {
        return Ok((vec![0; rows], nulls));
    }
    let fault = std::cell::Cell::new(None);
    let each = |row: usize, a: i128, b: i128| match one(a, b) {
        Ok(value) => value,
        Err(found) => {
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                fault.set(Some(found));
            }
            0
        }
    };
    let values = pairs(left.values()?, right.values()?, rows, each);
    match fault.get() {
        Some(fault) => Err(fault.into()),
        None => Ok((values, nulls)),
    }
}

#[inline(always)]
fn pairs(left: Values<'_>, right: Values<'_>, rows: usize, each: impl Fn(usize, i128, i128) -> i128) -> Vec<i128> {
    let count = 0..rows;
    match (left, right) {
        (Values::Small(a), Values::Small(b)) => {
            count.zip(a).zip(b).map(|((row, a), b)| each(row, i128::from(*a), i128::from(*b))).collect()
        }
        (Values::Small(a), Values::Large(b)) => {
            count.zip(a).zip(b).map(|((row, a), b)| each(row, i128::from(*a), *b)).collect()
        }
        (Values::Large(a), Values::Small(b)) => {
            count.zip(a).zip(b).map(|((row, a), b)| each(row, *a, i128::from(*b))).collect()
        }
        (Values::Large(a), Values::Large(b)) => count.zip(a).zip(b).map(|((row, a), b)| each(row, *a, *b)).collect(),
        (Values::Small(a), Values::Constant(b)) => count.zip(a).map(|(row, a)| each(row, i128::from(*a), b)).collect(),
        (Values::Large(a), Values::Constant(b)) => count.zip(a).map(|(row, a)| each(row, *a, b)).collect(),
        (Values::Constant(a), Values::Small(b)) => count.zip(b).map(|(row, b)| each(row, a, i128::from(*b))).collect(),
        (Values::Constant(a), Values::Large(b)) => count.zip(b).map(|(row, b)| each(row, a, *b)).collect(),
        (Values::Constant(a), Values::Constant(b)) => count.map(|row| each(row, a, b)).collect(),
    }
}

/// Applies an operator to two columns of exact numbers.
pub fn apply(operator: Operator, left: Operand<'_>, right: Operand<'_>, rows: usize) -> Result<ArrayRef> {
    let shapes = (digits(left.array.data_type()), digits(right.array.data_type()));
    let (Some(a), Some(b)) = shapes else {
        return exec_err!("`{}` needs two exact numbers", operator.symbol());
    };
    let (wanted, scale) = operator.wanted(a, b);
    let tight = wanted <= u16::from(MAX_PRECISION);
    let (values, nulls) = match operator {
        Operator::Add | Operator::Subtract => sum(operator, (left, a.1), (right, b.1), scale, tight, rows)?,
        Operator::Multiply => product(left, right, a.1 + b.1 - scale, tight, rows)?,
        Operator::Divide => quotient(left, right, power(scale + b.1 - a.1), rows)?,
        Operator::Modulo => remainder((left, a.1), (right, b.1), rows)?,
    };
    finish(values, nulls, operator.result(a, b))
}

/// A column of NUMBER from its values.
pub fn finish(values: Vec<i128>, nulls: Option<NullBuffer>, (precision, scale): (u8, u8)) -> Result<ArrayRef> {
    let array = Decimal128Array::new(values.into(), nulls);
    Ok(Arc::new(array.with_precision_and_scale(precision, scale as i8)?))
}

type Rows = (Vec<i128>, Option<NullBuffer>);

fn sum(
    operator: Operator,
    (left, s1): (Operand<'_>, u8),
    (right, s2): (Operand<'_>, u8),
    scale: u8,
    tight: bool,
    rows: usize,
) -> Result<Rows> {
    let sign = if operator == Operator::Add { 1 } else { -1 };
    if s1 == s2 && tight {
        return match sign {
            1 => map_rows(left, right, rows, |a, b| Ok(a.wrapping_add(b))),
            _ => map_rows(left, right, rows, |a, b| Ok(a.wrapping_sub(b))),
        };
    }
    let (f1, f2) = (power(scale - s1), power(scale - s2) * sign);
    if tight {
        return map_rows(left, right, rows, |a, b| Ok(a.wrapping_mul(f1).wrapping_add(b.wrapping_mul(f2))));
    }
    map_rows(left, right, rows, |a, b| {
        let (a, b) = (a.checked_mul(f1).ok_or(Fault::Overflow)?, b.checked_mul(f2).ok_or(Fault::Overflow)?);
        a.checked_add(b).filter(|v| fits(*v)).ok_or(Fault::Overflow)
    })
}

fn product(left: Operand<'_>, right: Operand<'_>, drop: u8, tight: bool, rows: usize) -> Result<Rows> {
    match (drop, tight) {
        (0, true) => map_rows(left, right, rows, |a, b| Ok(a.wrapping_mul(b))),
        (0, false) => map_rows(left, right, rows, |a, b| a.checked_mul(b).filter(|v| fits(*v)).ok_or(Fault::Overflow)),
        (drop, _) => {
            let divisor = power(drop);
            map_rows(left, right, rows, |a, b| scaled(a, b, divisor).ok_or(Fault::Overflow))
        }
    }
}

fn quotient(left: Operand<'_>, right: Operand<'_>, factor: i128, rows: usize) -> Result<Rows> {
    map_rows(left, right, rows, |a, b| match b {
        0 => Err(Fault::DivisionByZero),
        b => scaled(a, factor, b).ok_or(Fault::Overflow),
    })
}

fn remainder((left, s1): (Operand<'_>, u8), (right, s2): (Operand<'_>, u8), rows: usize) -> Result<Rows> {
    let scale = s1.max(s2);
    let (f1, f2) = (power(scale - s1), power(scale - s2));
    map_rows(left, right, rows, |a, b| {
        if b == 0 {
            return Err(Fault::DivisionByZero);
        }
        let wide = |v: i128, f: i128| v.checked_mul(f);
        if let (Some(a), Some(b)) = (wide(a, f1), wide(b, f2)) {
            return Ok(a.wrapping_rem(b));
        }
        let wide = |v: i128, f: i128| i256::from_i128(v).wrapping_mul(i256::from_i128(f));
        let rest = wide(a, f1).checked_rem(wide(b, f2)).and_then(i256::to_i128);
        rest.filter(|v| fits(*v)).ok_or(Fault::Overflow)
    })
}

#[cfg(test)]
mod tests;
