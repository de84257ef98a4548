//! Bits of integers, in two's complement, and of bytes.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Decimal128Builder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};

use super::super::Function;
use super::super::scalar::{Call, Shape, binaries, exact, integers};
use super::FAMILY;
use crate::dialect::arithmetic::fits;
use crate::dialect::cast::number;
use crate::dialect::types::SqlType;

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    vec![
        exact(FAMILY, &["bitand", "bit_and"], 2..=3, pair_type, |c| pair(c, |a, b| a & b, |a, b| a & b)),
        exact(FAMILY, &["bitor", "bit_or"], 2..=3, pair_type, |c| pair(c, |a, b| a | b, |a, b| a | b)),
        exact(FAMILY, &["bitxor", "bit_xor"], 2..=3, pair_type, |c| pair(c, |a, b| a ^ b, |a, b| a ^ b)),
        exact(FAMILY, &["bitnot", "bit_not"], 1..=1, first_type, not),
        exact(FAMILY, &["bitshiftleft", "bit_shiftleft"], 2..=2, first_type, |c| shift(c, true)),
        exact(FAMILY, &["bitshiftright", "bit_shiftright"], 2..=2, first_type, |c| shift(c, false)),
        exact(FAMILY, &["getbit"], 2..=2, bit_type, getbit),
    ]
}

fn is_number(kind: SqlType) -> bool {
    matches!(
        kind,
        SqlType::Number { .. }
            | SqlType::Float
            | SqlType::Varchar(_)
            | SqlType::Variant
            | SqlType::Boolean
            | SqlType::Null
    )
}

fn pair_type(shape: &Shape<'_>) -> Result<DataType> {
    match (shape.sql_type(0), shape.sql_type(1)) {
        (SqlType::Binary, SqlType::Binary | SqlType::Null) | (SqlType::Null, SqlType::Binary) => Ok(DataType::Binary),
        (a, b) if is_number(a) && is_number(b) && shape.types.len() == 2 => Ok(DataType::Decimal128(38, 0)),
        (a, _) => shape.refuse(usize::from(is_number(a))),
    }
}

fn first_type(shape: &Shape<'_>) -> Result<DataType> {
    match shape.sql_type(0) {
        SqlType::Binary => Ok(DataType::Binary),
        kind if is_number(kind) => Ok(DataType::Decimal128(38, 0)),
        _ => shape.refuse(0),
    }
}

fn bit_type(shape: &Shape<'_>) -> Result<DataType> {
    if is_number(shape.sql_type(0)) { Ok(DataType::Int64) } else { shape.refuse(0) }
}

/// An argument as integers of 38 digits.
fn wide(call: &Call<'_>, index: usize) -> Result<Vec<Option<i128>>> {
    let array = super::numbers(call, index, &DataType::Decimal128(38, 0))?;
    Ok(number::exact_values(&array)?.collect())
}

fn wide_column(values: impl Iterator<Item = Option<i128>>, rows: usize) -> Result<ArrayRef> {
    let mut builder = Decimal128Builder::with_capacity(rows).with_precision_and_scale(38, 0)?;
    for value in values {
        match value {
            Some(value) if !fits(value) => return exec_err!("number out of range: the result has more than 38 digits"),
            value => builder.append_option(value),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn pair(call: &Call<'_>, integers: fn(i128, i128) -> i128, bytes: fn(u8, u8) -> u8) -> Result<ArrayRef> {
    if call.returns != &DataType::Binary {
        let (a, b) = (wide(call, 0)?, wide(call, 1)?);
        let values = a.into_iter().zip(b).map(|(a, b)| Some(integers(a?, b?)));
        return wide_column(values, call.rows);
    }
    let (a, b) = (call.bytes(0)?, call.bytes(1)?);
    let sides = if call.len() > 2 { Some(call.texts(2)?) } else { None };
    binaries(call.rows, |row, out| {
        let (Some(a), Some(b)) = (a.get(row), b.get(row)) else { return Ok(false) };
        let length = a.len().max(b.len());
        let left = match sides.as_ref().map(|sides| sides.get(row)) {
            _ if a.len() == b.len() => true,
            Some(Some(side)) if side.eq_ignore_ascii_case("left") => true,
            Some(Some(side)) if side.eq_ignore_ascii_case("right") => false,
            Some(None) => return Ok(false),
            _ => {
                let lengths = format!("first length {}, second length {}", a.len(), b.len());
                return call.fail(format!("the lengths of two binary values do not match: {lengths}"));
            }
        };
        let at = |bytes: &[u8], index: usize| {
            let shift = if left { length - bytes.len() } else { 0 };
            index.checked_sub(shift).and_then(|index| bytes.get(index)).copied().unwrap_or(0)
        };
        out.extend((0..length).map(|index| bytes(at(a, index), at(b, index))));
        Ok(true)
    })
}

fn not(call: &Call<'_>) -> Result<ArrayRef> {
    if call.returns != &DataType::Binary {
        return wide_column(wide(call, 0)?.into_iter().map(|value| value.map(|value| !value)), call.rows);
    }
    let values = call.bytes(0)?;
    binaries(call.rows, |row, out| {
        Ok(values.get(row).map(|bytes| out.extend(bytes.iter().map(|byte| !byte))).is_some())
    })
}

fn shift(call: &Call<'_>, left: bool) -> Result<ArrayRef> {
    let counts = call.integers(1)?;
    if call.returns != &DataType::Binary {
        let one = |(row, value): (usize, Option<i128>)| {
            let (value, count) = (value?, counts.get(row)?);
            let (left, count) = if count < 0 { (!left, count.unsigned_abs()) } else { (left, count.unsigned_abs()) };
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            Some(match left {
                true if count >= 127 => {
                    if value == 0 {
                        0
                    } else {
                        i128::MAX
                    }
                }
                true => value.checked_mul(1 << count).unwrap_or(i128::MAX),
                false => value >> count.min(127),
            })
        };
        return wide_column(wide(call, 0)?.into_iter().enumerate().map(one), call.rows);
    }
    let values = call.bytes(0)?;
    binaries(call.rows, |row, out| {
        let (Some(bytes), Some(count)) = (values.get(row), counts.get(row)) else { return Ok(false) };
        let length = bytes.len() as i64 * 8;
        let by = if left { count } else { -count };
        let bit = |position: i64| {
            let from = position.saturating_add(by);
            let inside = (0..length).contains(&from);
            inside && bytes[(from / 8) as usize] >> (7 - from % 8) & 1 == 1
        };
        let byte = |index: i64| (0..8).fold(0_u8, |byte, at| byte << 1 | u8::from(bit(index * 8 + at)));
        out.extend((0..bytes.len() as i64).map(byte));
        Ok(true)
    })
}

/// The bit at a position from 0, the least one.
fn getbit(call: &Call<'_>) -> Result<ArrayRef> {
    let (values, positions) = (wide(call, 0)?, call.integers(1)?);
    integers(call.rows, |row| match (values[row], positions.get(row)) {
        (Some(value), Some(position @ 0..=127)) => Ok(Some((value >> position & 1) as i64)),
        (Some(_), Some(position)) => call.fail(format!("{position} is not the position of a bit")),
        _ => Ok(None),
    })
}
