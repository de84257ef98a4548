//! Arrays made of values and of other arrays: ARRAY_CONSTRUCT, ARRAY_APPEND, ARRAY_SLICE, ARRAY_SORT and the like.

use std::fmt::Write as _;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::{FAMILY, array_of_array, as_array, expect, gives_integer, gives_text, gives_variant, values};
use crate::dialect::functions::Function;
use crate::dialect::functions::scalar::{self, Call, Shape, exact};
use crate::dialect::types::{self, SqlType};
use crate::dialect::variant::convert;
use crate::dialect::variant::key::{compare, key};
use crate::dialect::variant::text::{Kind, elements};

/// The longest array that ARRAY_GENERATE_RANGE and ARRAY_INSERT make.
const MAX_LENGTH: i64 = 16 * 1024 * 1024;

pub(super) fn functions() -> Vec<Function> {
    vec![
        exact(FAMILY, &["array_construct"], 0..=usize::MAX, gives_array, |call| construct(call, false)),
        exact(FAMILY, &["array_construct_compact"], 0..=usize::MAX, gives_array, |call| construct(call, true)),
        exact(FAMILY, &["array_append"], 2..=2, array_of_array, |call| extend(call, false)),
        exact(FAMILY, &["array_prepend"], 2..=2, array_of_array, |call| extend(call, true)),
        exact(FAMILY, &["array_cat"], 2..=2, two_arrays, cat),
        exact(FAMILY, &["array_compact"], 1..=1, array_of_array, compact),
        exact(FAMILY, &["array_flatten"], 1..=1, array_of_array, flatten),
        exact(FAMILY, &["array_generate_range"], 2..=3, gives_array, generate_range),
        exact(FAMILY, &["array_insert"], 3..=3, array_of_array, insert),
        exact(FAMILY, &["array_remove_at"], 2..=2, array_of_array, remove_at),
        exact(FAMILY, &["array_reverse"], 1..=1, array_of_array, reverse),
        exact(FAMILY, &["array_size"], 1..=1, size_rule, size),
        exact(FAMILY, &["array_slice"], 3..=3, array_of_array, slice),
        exact(FAMILY, &["array_sort"], 1..=3, array_of_array, sort),
        exact(FAMILY, &["array_to_string"], 2..=2, to_string_rule, to_string),
        exact(FAMILY, &["array_max"], 1..=1, extreme_rule, |call| extreme(call, true)),
        exact(FAMILY, &["array_min"], 1..=1, extreme_rule, |call| extreme(call, false)),
        exact(FAMILY, &["arrays_zip"], 1..=usize::MAX, gives_array, zip),
    ]
}

fn gives_array(_: &Shape<'_>) -> Result<DataType> {
    Ok(types::array())
}

fn two_arrays(shape: &Shape<'_>) -> Result<DataType> {
    expect(shape, 1, SqlType::Array)?;
    array_of_array(shape)
}

fn to_string_rule(shape: &Shape<'_>) -> Result<DataType> {
    array_of_array(shape)?;
    gives_text(shape)
}

fn extreme_rule(shape: &Shape<'_>) -> Result<DataType> {
    array_of_array(shape)?;
    gives_variant(shape)
}

fn size_rule(shape: &Shape<'_>) -> Result<DataType> {
    array_of_array(shape)?;
    gives_integer(shape)
}

/// Writes an array of elements.
pub(super) fn write_array<'a>(out: &mut String, elements: impl IntoIterator<Item = &'a str>) -> Result<bool> {
    out.push('[');
    for element in elements {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(element);
    }
    out.push(']');
    Ok(true)
}

fn construct(call: &Call<'_>, compact: bool) -> Result<ArrayRef> {
    let columns = (0..call.len()).map(|index| call.variants(index)).collect::<Result<Vec<_>>>()?;
    values(call, |row, out| {
        let given = columns.iter().map(|column| column.get(row).unwrap_or("undefined"));
        write_array(out, given.filter(|element| !compact || *element != "undefined"))
    })
}

fn extend(call: &Call<'_>, front: bool) -> Result<ArrayRef> {
    let (arrays, added) = (call.variants(0)?, call.variants(1)?);
    values(call, |row, out| {
        let Some(array) = as_array(arrays.get(row)) else { return Ok(false) };
        let added = std::iter::once(added.get(row).unwrap_or("undefined"));
        if front {
            write_array(out, added.chain(elements(&array)))
        } else {
            write_array(out, elements(&array).chain(added))
        }
    })
}

fn cat(call: &Call<'_>) -> Result<ArrayRef> {
    let (first, second) = (call.variants(0)?, call.variants(1)?);
    values(call, |row, out| {
        let (Some(first), Some(second)) = (as_array(first.get(row)), as_array(second.get(row))) else {
            return Ok(false);
        };
        write_array(out, elements(&first).chain(elements(&second)))
    })
}

/// The function of one array per row, of its elements.
fn each(call: &Call<'_>, row: impl Fn(Vec<&str>, &mut String) -> Result<bool>) -> Result<ArrayRef> {
    let arrays = call.variants(0)?;
    values(call, |index, out| match as_array(arrays.get(index)) {
        Some(array) => row(elements(&array).collect(), out),
        None => Ok(false),
    })
}

fn compact(call: &Call<'_>) -> Result<ArrayRef> {
    each(call, |elements, out| write_array(out, elements.into_iter().filter(|e| !matches!(*e, "null" | "undefined"))))
}

fn reverse(call: &Call<'_>) -> Result<ArrayRef> {
    each(call, |elements, out| write_array(out, elements.into_iter().rev()))
}

fn flatten(call: &Call<'_>) -> Result<ArrayRef> {
    each(call, |outer, out| {
        if outer.iter().any(|inner| matches!(*inner, "null" | "undefined")) {
            return Ok(false);
        }
        if let Some(at) = outer.iter().position(|inner| Kind::of(inner) != Kind::Array) {
            return call.fail(format!("not an array: element {at} of its argument"));
        }
        write_array(out, outer.into_iter().flat_map(elements))
    })
}

fn generate_range(call: &Call<'_>) -> Result<ArrayRef> {
    let (starts, stops) = (call.integers(0)?, call.integers(1)?);
    let steps = if call.len() > 2 { Some(call.integers(2)?) } else { None };
    values(call, |row, out| {
        let step = steps.as_ref().map_or(Some(1), |steps| steps.get(row));
        let (Some(start), Some(stop), Some(step)) = (starts.get(row), stops.get(row), step) else { return Ok(false) };
        if step == 0 {
            return call.fail("its step cannot be 0");
        }
        if (i128::from(stop) - i128::from(start)) / i128::from(step) > i128::from(MAX_LENGTH) {
            return call.fail("the array is too long");
        }
        out.push('[');
        let mut at = start;
        while if step > 0 { at < stop } else { at > stop } {
            let _ = write!(out, "{}{at}", if out.len() > 1 { "," } else { "" });
            let Some(next) = at.checked_add(step) else { break };
            at = next;
        }
        out.push(']');
        Ok(true)
    })
}

fn insert(call: &Call<'_>) -> Result<ArrayRef> {
    let (arrays, positions, added) = (call.variants(0)?, call.integers(1)?, call.variants(2)?);
    values(call, |row, out| {
        let (Some(array), Some(position)) = (as_array(arrays.get(row)), positions.get(row)) else { return Ok(false) };
        if position.abs() > MAX_LENGTH {
            return call.fail("the array is too long");
        }
        let mut all: Vec<&str> = elements(&array).collect();
        let position = if position < 0 { (all.len() as i64 + position).max(0) } else { position } as usize;
        if position > all.len() {
            all.resize(position, "undefined");
        }
        all.insert(position, added.get(row).unwrap_or("undefined"));
        write_array(out, all)
    })
}

fn remove_at(call: &Call<'_>) -> Result<ArrayRef> {
    let (arrays, positions) = (call.variants(0)?, call.integers(1)?);
    values(call, |row, out| {
        let (Some(array), Some(position)) = (as_array(arrays.get(row)), positions.get(row)) else { return Ok(false) };
        let length = elements(&array).count() as i64;
        let removed = if position < 0 { length + position } else { position };
        write_array(
            out,
            elements(&array).enumerate().filter(|(at, _)| *at as i64 != removed).map(|(_, element)| element),
        )
    })
}

fn size(call: &Call<'_>) -> Result<ArrayRef> {
    let arrays = call.variants(0)?;
    scalar::integers(call.rows, |row| {
        let array = arrays.get(row).filter(|text| Kind::of(text) == Kind::Array);
        Ok(array.map(|array| elements(array).count() as i64))
    })
}

fn slice(call: &Call<'_>) -> Result<ArrayRef> {
    let (arrays, starts, stops) = (call.variants(0)?, call.integers(1)?, call.integers(2)?);
    values(call, |row, out| {
        let (Some(array), Some(start), Some(stop)) = (as_array(arrays.get(row)), starts.get(row), stops.get(row))
        else {
            return Ok(false);
        };
        let length = elements(&array).count() as i64;
        let place = |at: i64| if at < 0 { at.saturating_add(length).max(0) } else { at.min(length) } as usize;
        let (start, stop) = (place(start), place(stop));
        write_array(out, elements(&array).skip(start).take(stop.saturating_sub(start)))
    })
}

fn flag(call: &Call<'_>, index: usize, default: bool) -> Result<bool> {
    if call.len() <= index {
        return Ok(default);
    }
    let texts = call.texts(index)?;
    Ok(texts.get(0).map_or(default, |text| text.eq_ignore_ascii_case("true") || text == "1"))
}

fn sort(call: &Call<'_>) -> Result<ArrayRef> {
    let ascending = flag(call, 1, true)?;
    let nulls_first = flag(call, 2, !ascending)?;
    each(call, |all, out| {
        let nulls = all.iter().filter(|element| **element == "undefined").count();
        let mut keyed: Vec<_> = all.into_iter().filter(|e| *e != "undefined").map(|e| (key(e), e)).collect();
        keyed.sort_by(|a, b| if ascending { a.0.cmp(&b.0) } else { b.0.cmp(&a.0) });
        let holes = |there: bool| std::iter::repeat_n("undefined", if there { nulls } else { 0 });
        write_array(out, holes(nulls_first).chain(keyed.into_iter().map(|(_, e)| e)).chain(holes(!nulls_first)))
    })
}

fn to_string(call: &Call<'_>) -> Result<ArrayRef> {
    let (arrays, separators) = (call.variants(0)?, call.texts(1)?);
    scalar::texts(call.rows, |row, out| {
        let (Some(array), Some(separator)) = (as_array(arrays.get(row)), separators.get(row)) else { return Ok(false) };
        for (at, element) in elements(&array).enumerate() {
            if at > 0 {
                out.push_str(separator);
            }
            out.push_str(&convert::varchar(element).unwrap_or_default());
        }
        Ok(true)
    })
}

fn extreme(call: &Call<'_>, greatest: bool) -> Result<ArrayRef> {
    each(call, |all, out| {
        let null = all.contains(&"null").then_some("null");
        let known = all.into_iter().filter(|element| !matches!(*element, "null" | "undefined"));
        let found = if greatest { known.max_by(|a, b| compare(a, b)) } else { known.min_by(|a, b| compare(a, b)) };
        let found = found.or(null);
        out.push_str(found.unwrap_or_default());
        Ok(found.is_some())
    })
}

fn zip(call: &Call<'_>) -> Result<ArrayRef> {
    let columns = (0..call.len()).map(|index| call.variants(index)).collect::<Result<Vec<_>>>()?;
    let mut names: Vec<(String, usize)> = (0..columns.len()).map(|at| (format!("${}", at + 1), at)).collect();
    names.sort();
    values(call, |row, out| {
        let Some(arrays) = columns.iter().map(|column| as_array(column.get(row))).collect::<Option<Vec<_>>>() else {
            return Ok(false);
        };
        let arrays: Vec<Vec<&str>> = arrays.iter().map(|array| elements(array).collect()).collect();
        let length = arrays.iter().map(Vec::len).max().unwrap_or(0);
        out.push('[');
        for at in 0..length {
            out.push_str(if at > 0 { ",{" } else { "{" });
            for (position, (name, array)) in names.iter().enumerate() {
                let element = arrays[*array].get(at).copied().filter(|e| *e != "undefined").unwrap_or("null");
                let _ = write!(out, "{}\"{name}\":{element}", if position > 0 { "," } else { "" });
            }
            out.push('}');
        }
        out.push(']');
        Ok(true)
    })
}
