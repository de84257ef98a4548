//! Arrays compared with values and with each other: ARRAY_CONTAINS, ARRAY_DISTINCT, ARRAY_INTERSECTION and the like. Equal
//! is as in SQL, so `1`, `1.0` and `1e0` are; an SQL NULL in an array equals another.

use std::collections::{HashMap, HashSet};

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::array::write_array;
use super::{FAMILY, array_of_array, as_array, expect, expect_variant, gives_boolean, gives_integer, values};
use crate::dialect::functions::Function;
use crate::dialect::functions::scalar::{self, Call, Shape, exact};
use crate::dialect::types::SqlType;
use crate::dialect::variant::key::{equal, key};
use crate::dialect::variant::text::elements;

pub(super) fn functions() -> Vec<Function> {
    vec![
        exact(FAMILY, &["array_contains"], 2..=2, contains_rule, contains),
        exact(FAMILY, &["array_position"], 2..=2, position_rule, position),
        exact(FAMILY, &["array_remove"], 2..=2, remove_rule, remove),
        exact(FAMILY, &["array_distinct"], 1..=1, array_of_array, distinct),
        exact(FAMILY, &["array_except"], 2..=2, two_arrays, |call| counted(call, false)),
        exact(FAMILY, &["array_intersection"], 2..=2, two_arrays, |call| counted(call, true)),
        exact(FAMILY, &["arrays_overlap"], 2..=2, overlap_rule, overlap),
    ]
}

fn contains_rule(shape: &Shape<'_>) -> Result<DataType> {
    expect_variant(shape, 0)?;
    expect(shape, 1, SqlType::Array)?;
    gives_boolean(shape)
}

fn position_rule(shape: &Shape<'_>) -> Result<DataType> {
    expect_variant(shape, 0)?;
    expect(shape, 1, SqlType::Array)?;
    gives_integer(shape)
}

fn remove_rule(shape: &Shape<'_>) -> Result<DataType> {
    expect_variant(shape, 1)?;
    array_of_array(shape)
}

fn two_arrays(shape: &Shape<'_>) -> Result<DataType> {
    expect(shape, 1, SqlType::Array)?;
    array_of_array(shape)
}

fn overlap_rule(shape: &Shape<'_>) -> Result<DataType> {
    two_arrays(shape)?;
    gives_boolean(shape)
}

fn contains(call: &Call<'_>) -> Result<ArrayRef> {
    let (wanted, arrays) = (call.variants(0)?, call.variants(1)?);
    scalar::booleans(call.rows, |row| {
        let Some(array) = as_array(arrays.get(row)) else { return Ok(None) };
        Ok(match wanted.get(row) {
            Some(wanted) => Some(elements(&array).any(|element| equal(element, wanted))),
            None => elements(&array).any(|element| element == "undefined").then_some(true),
        })
    })
}

fn position(call: &Call<'_>) -> Result<ArrayRef> {
    let (wanted, arrays) = (call.variants(0)?, call.variants(1)?);
    scalar::integers(call.rows, |row| {
        let wanted = wanted.get(row).unwrap_or("undefined");
        let found = |array: std::borrow::Cow<'_, str>| elements(&array).position(|element| equal(element, wanted));
        Ok(as_array(arrays.get(row)).and_then(found).map(|at| at as i64))
    })
}

fn remove(call: &Call<'_>) -> Result<ArrayRef> {
    let (arrays, removed) = (call.variants(0)?, call.variants(1)?);
    values(call, |row, out| {
        let (Some(array), Some(removed)) = (as_array(arrays.get(row)), removed.get(row)) else { return Ok(false) };
        write_array(out, elements(&array).filter(|element| !equal(element, removed)))
    })
}

fn distinct(call: &Call<'_>) -> Result<ArrayRef> {
    let arrays = call.variants(0)?;
    values(call, |row, out| {
        let Some(array) = as_array(arrays.get(row)) else { return Ok(false) };
        let mut seen = HashSet::new();
        write_array(out, elements(&array).filter(|element| seen.insert(key(element))))
    })
}

/// The elements of the first array that the second has too, or has not, each counted as often as it is there.
fn counted(call: &Call<'_>, common: bool) -> Result<ArrayRef> {
    let (first, second) = (call.variants(0)?, call.variants(1)?);
    values(call, |row, out| {
        let (Some(first), Some(second)) = (as_array(first.get(row)), as_array(second.get(row))) else {
            return Ok(false);
        };
        let mut left: HashMap<Vec<u8>, usize> = HashMap::new();
        for element in elements(&second) {
            *left.entry(key(element)).or_default() += 1;
        }
        let matched = |element: &&str| match left.get_mut(&key(element)) {
            Some(count) if *count > 0 => {
                *count -= 1;
                common
            }
            _ => !common,
        };
        write_array(out, elements(&first).filter(matched))
    })
}

fn overlap(call: &Call<'_>) -> Result<ArrayRef> {
    let (first, second) = (call.variants(0)?, call.variants(1)?);
    scalar::booleans(call.rows, |row| {
        let (Some(first), Some(second)) = (as_array(first.get(row)), as_array(second.get(row))) else {
            return Ok(None);
        };
        let seen: HashSet<Vec<u8>> = elements(&first).map(key).collect();
        Ok(Some(elements(&second).any(|element| seen.contains(&key(element)))))
    })
}
