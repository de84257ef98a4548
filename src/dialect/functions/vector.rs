//! Distances of vectors. Sums are of 64-bit floats, in the order of the elements.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Float64Array};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, plan_err};

use super::Function;
use super::scalar::{Call, Column, Shape, cast_to, exact};
use crate::dialect::types::SqlType;

/// The functions of this family.
pub(super) fn functions() -> Vec<Function> {
    vec![
        exact("vector", &["vector_inner_product"], 2..=2, rule, |call| {
            distances(call, |a, b| a.iter().zip(b).map(|(a, b)| a * b).sum())
        }),
        exact("vector", &["vector_l1_distance"], 2..=2, rule, |call| {
            distances(call, |a, b| a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum())
        }),
        exact("vector", &["vector_l2_distance"], 2..=2, rule, |call| {
            distances(call, |a, b| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt())
        }),
        exact("vector", &["vector_cosine_similarity"], 2..=2, rule, |call| distances(call, cosine)),
    ]
}

fn rule(shape: &Shape<'_>) -> Result<DataType> {
    for index in 0..2 {
        if !matches!(shape.sql_type(index), SqlType::Vector(..) | SqlType::Null) {
            return shape.refuse(index);
        }
    }
    match (shape.sql_type(0), shape.sql_type(1)) {
        (a @ SqlType::Vector(..), b @ SqlType::Vector(..)) if a != b => {
            plan_err!("the arguments of `{}` must be of one type, not {a} and {b}", shape.name)
        }
        _ => Ok(DataType::Float64),
    }
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    product(a, b) / (product(a, a).sqrt() * product(b, b).sqrt())
}

/// The elements of all vectors of a column, and how many each has.
fn flat(column: &Column<ArrayRef>) -> Result<(Vec<f64>, usize)> {
    let array = column.array();
    let Some(lists) = array.as_fixed_size_list_opt() else { return Ok((Vec::new(), 0)) };
    let length = lists.value_length() as usize;
    let values = cast_to(lists.values(), &DataType::Float64)?;
    Ok((values.as_primitive::<Float64Type>().values().to_vec(), length))
}

fn distances(call: &Call<'_>, distance: fn(&[f64], &[f64]) -> f64) -> Result<ArrayRef> {
    let (first, second) = (call.column(0)?, call.column(1)?);
    let ((a, length), (b, _)) = (flat(&first)?, flat(&second)?);
    let value = |row: usize| {
        let (at, other) = (first.at(row)?, second.at(row)?);
        Some(distance(a.get(at * length..(at + 1) * length)?, b.get(other * length..(other + 1) * length)?))
    };
    Ok(Arc::new((0..call.rows).map(value).collect::<Float64Array>()))
}

#[cfg(test)]
mod tests {
    use crate::dialect::functions::testing::value;

    #[test]
    fn distances_are_as_defined() {
        let of = |name: &str| value(&format!("{name}([1, 2]::VECTOR(FLOAT, 2), [4, 6]::VECTOR(FLOAT, 2))"));
        assert_eq!(of("VECTOR_INNER_PRODUCT"), "16.0");
        assert_eq!(of("VECTOR_L1_DISTANCE"), "7.0");
        assert_eq!(of("VECTOR_L2_DISTANCE"), "5.0");
        assert_eq!(value("VECTOR_COSINE_SIMILARITY([3, 4]::VECTOR(INT, 2), [3, 4]::VECTOR(INT, 2))"), "1.0");
    }
}
