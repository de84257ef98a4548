//! Objects made of values and of other objects: OBJECT_CONSTRUCT, OBJECT_INSERT, OBJECT_PICK and the like.

use std::borrow::Cow;
use std::collections::BTreeMap;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};

use super::array::write_array;
use super::{FAMILY, as_array, expect, object_of_object, values};
use crate::dialect::functions::Function;
use crate::dialect::functions::scalar::{Call, Shape, exact};
use crate::dialect::types::{self, SqlType};
use crate::dialect::variant::convert;
use crate::dialect::variant::print;
use crate::dialect::variant::text::{Kind, elements, members};
use crate::dialect::variant::write::{self, object};

pub(super) fn functions() -> Vec<Function> {
    vec![
        exact(FAMILY, &["object_construct"], 0..=usize::MAX, construct_rule, |call| construct(call, false)),
        exact(FAMILY, &["object_construct_keep_null"], 0..=usize::MAX, construct_rule, |call| construct(call, true)),
        exact(FAMILY, &["object_delete"], 2..=usize::MAX, object_of_object, |call| select(call, false)),
        exact(FAMILY, &["object_pick"], 2..=usize::MAX, object_of_object, |call| select(call, true)),
        exact(FAMILY, &["object_insert"], 3..=4, object_of_object, insert),
        exact(FAMILY, &["object_keys"], 1..=1, keys_rule, keys),
        exact(FAMILY, &["arrays_to_object"], 2..=2, arrays_rule, of_arrays),
    ]
}

fn construct_rule(shape: &Shape<'_>) -> Result<DataType> {
    if shape.types.len() % 2 == 1 {
        return plan_err!("`{}` takes keys and values in pairs", shape.name);
    }
    for index in (0..shape.types.len()).step_by(2) {
        if !matches!(shape.sql_type(index), SqlType::Varchar(_) | SqlType::Variant | SqlType::Null) {
            return shape.refuse(index);
        }
    }
    Ok(types::object())
}

pub(super) fn keys_rule(shape: &Shape<'_>) -> Result<DataType> {
    expect(shape, 0, SqlType::Object)?;
    Ok(types::array())
}

fn arrays_rule(shape: &Shape<'_>) -> Result<DataType> {
    expect(shape, 0, SqlType::Array)?;
    expect(shape, 1, SqlType::Array)?;
    Ok(types::object())
}

fn construct(call: &Call<'_>, keep_null: bool) -> Result<ArrayRef> {
    let pairs = call.len() / 2;
    let keys = (0..pairs).map(|pair| call.texts(2 * pair)).collect::<Result<Vec<_>>>()?;
    let columns = (0..pairs).map(|pair| call.variants(2 * pair + 1)).collect::<Result<Vec<_>>>()?;
    let mut found: Vec<(Cow<'_, str>, &str)> = Vec::with_capacity(pairs);
    values(call, |row, out| {
        found.clear();
        for (key, column) in keys.iter().zip(&columns) {
            let value = column.get(row).filter(|value| *value != "undefined").or(keep_null.then_some("null"));
            if let (Some(key), Some(value)) = (key.get(row), value) {
                found.push((write::escape(key), value));
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        if let Some(pair) = found.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return call.fail(format!("duplicate field key '{}'", pair[0].0));
        }
        out.push_str(&object(found.iter().map(|(key, value)| (key.as_ref(), *value))));
        Ok(true)
    })
}

/// An object argument's text; JSON null stands for SQL NULL, anything else is an error.
pub(super) fn as_object<'a>(call: &Call<'_>, text: Option<&'a str>) -> Result<Option<&'a str>> {
    match text {
        None | Some("null" | "undefined") => Ok(None),
        Some(text) if Kind::of(text) == Kind::Object => Ok(Some(text)),
        Some(text) => call.fail(format!("failed to cast variant value {} to OBJECT", print::json(text))),
    }
}

/// The object with only the members of the given keys, or without them. The keys are arguments or in one array.
pub(super) fn select(call: &Call<'_>, keep: bool) -> Result<ArrayRef> {
    let objects = call.variants(0)?;
    let given = (1..call.len()).map(|index| call.variants(index)).collect::<Result<Vec<_>>>()?;
    values(call, |row, out| {
        let Some(text) = as_object(call, objects.get(row))? else { return Ok(false) };
        let mut keys: Vec<&str> = Vec::new();
        for key in given.iter().filter_map(|column| column.get(row)) {
            match Kind::of(key) {
                Kind::Array => keys.extend(elements(key)),
                _ => keys.push(key),
            }
        }
        let unquoted = |key: &'_ str| key.len().checked_sub(1).and_then(|end| key.get(1..end).map(str::to_owned));
        let keys: Vec<String> = keys.into_iter().filter_map(unquoted).collect();
        out.push_str(&object(members(text).filter(|(key, _)| keys.iter().any(|k| k == key) == keep)));
        Ok(true)
    })
}

pub(super) fn insert(call: &Call<'_>) -> Result<ArrayRef> {
    let (objects, keys, added) = (call.variants(0)?, call.texts(1)?, call.variants(2)?);
    let update = if call.len() > 3 { Some(call.texts(3)?) } else { None };
    values(call, |row, out| {
        let Some(text) = as_object(call, objects.get(row))? else { return Ok(false) };
        let Some(key) = keys.get(row) else {
            out.push_str(text);
            return Ok(true);
        };
        let key = write::escape(key);
        let update = update.as_ref().and_then(|update| update.get(row)).is_some_and(|u| u.eq_ignore_ascii_case("true"));
        let mut all: BTreeMap<&str, &str> = members(text).collect();
        if all.contains_key(key.as_ref()) && !update {
            return call.fail(format!("duplicate field key '{key}'"));
        }
        match added.get(row) {
            Some(value) => all.insert(&key, value),
            None => all.remove(key.as_ref()),
        };
        out.push_str(&object(all));
        Ok(true)
    })
}

pub(super) fn keys(call: &Call<'_>) -> Result<ArrayRef> {
    let objects = call.variants(0)?;
    values(call, |row, out| {
        let Some(text) = as_object(call, objects.get(row))? else { return Ok(false) };
        let keys: Vec<String> = members(text).map(|(key, _)| format!("\"{key}\"")).collect();
        write_array(out, keys.iter().map(String::as_str))
    })
}

fn of_arrays(call: &Call<'_>) -> Result<ArrayRef> {
    let (keys, added) = (call.variants(0)?, call.variants(1)?);
    values(call, |row, out| {
        let (Some(keys), Some(added)) = (as_array(keys.get(row)), as_array(added.get(row))) else { return Ok(false) };
        let (keys, added): (Vec<_>, Vec<_>) = (elements(&keys).collect(), elements(&added).collect());
        if keys.len() != added.len() {
            return call.fail(format!("its arrays have {} and {} elements", keys.len(), added.len()));
        }
        let mut all: BTreeMap<String, &str> = BTreeMap::new();
        for (key, value) in keys.into_iter().zip(added) {
            let Some(key) = convert::varchar(key) else { continue };
            let value = if value == "undefined" { "null" } else { value };
            if all.insert(write::escape(&key).into_owned(), value).is_some() {
                return call.fail(format!("duplicate field key '{key}'"));
            }
        }
        out.push_str(&object(all.iter().map(|(key, value)| (key.as_str(), *value))));
        Ok(true)
    })
}
