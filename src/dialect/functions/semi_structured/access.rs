//! Access: GET, GET_IGNORE_CASE, GET_PATH and `:` paths. The path is read once, and what it finds is copied out of the
//! document's text as it stands.

use datafusion::arrow::array::{ArrayRef, StringBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::{FAMILY, values};
use crate::dialect::functions::Function;
use crate::dialect::functions::scalar::{Call, Shape, exact};
use crate::dialect::types::{self, SqlType};
use crate::dialect::variant::array::of_texts;
use crate::dialect::variant::path::{Path, element_at, member_ignoring_case};
use crate::dialect::variant::text::member;
use crate::dialect::variant::write;

pub(super) fn functions() -> Vec<Function> {
    vec![
        exact(FAMILY, &["get"], 2..=2, rule, |call| get(call, false)),
        exact(FAMILY, &["get_ignore_case"], 2..=2, rule, |call| get(call, true)),
        exact(FAMILY, &["get_path"], 2..=2, rule, get_path),
    ]
}

fn rule(shape: &Shape<'_>) -> Result<DataType> {
    match shape.sql_type(0) {
        SqlType::Variant | SqlType::Array | SqlType::Object | SqlType::Null => Ok(types::variant()),
        _ => shape.refuse(0),
    }
}

fn get_path(call: &Call<'_>) -> Result<ArrayRef> {
    let (variants, paths) = (call.variants(0)?, call.texts(1)?);
    let parse = |path: &str| Path::parse(path).or_else(|message| call.fail(message));
    let mut found = StringBuilder::with_capacity(call.rows, call.rows * 8);
    if paths.is_constant() {
        let path = paths.get(0).map(parse).transpose()?;
        for row in 0..call.rows {
            found.append_option(path.as_ref().zip(variants.get(row)).and_then(|(path, text)| path.get(text)));
        }
    } else {
        for row in 0..call.rows {
            match (variants.get(row), paths.get(row)) {
                (Some(text), Some(path)) => found.append_option(parse(path)?.get(text)),
                _ => found.append_null(),
            }
        }
    }
    of_texts(found.finish(), call.returns)
}

fn get(call: &Call<'_>, ignore_case: bool) -> Result<ArrayRef> {
    match call.sql_type(1) {
        SqlType::Number { .. } | SqlType::Float => by_index(call),
        SqlType::Variant => by_variant(call, ignore_case),
        _ => by_key(call, ignore_case),
    }
}

fn by_index(call: &Call<'_>) -> Result<ArrayRef> {
    let (variants, indexes) = (call.variants(0)?, call.integers(1)?);
    values(call, |row, out| {
        let found = variants.get(row).zip(indexes.get(row)).and_then(|(text, index)| element_at(text, index));
        out.push_str(found.unwrap_or_default());
        Ok(found.is_some())
    })
}

fn by_key(call: &Call<'_>, ignore_case: bool) -> Result<ArrayRef> {
    let (variants, keys) = (call.variants(0)?, call.texts(1)?);
    values(call, |row, out| {
        let found = variants.get(row).zip(keys.get(row)).and_then(|(text, key)| {
            if ignore_case { member_ignoring_case(text, key) } else { member(text, &write::escape(key)) }
        });
        out.push_str(found.unwrap_or_default());
        Ok(found.is_some())
    })
}

/// An index or a key, whichever the VARIANT holds.
fn by_variant(call: &Call<'_>, ignore_case: bool) -> Result<ArrayRef> {
    let (variants, steps) = (call.variants(0)?, call.variants(1)?);
    values(call, |row, out| {
        let (Some(text), Some(step)) = (variants.get(row), steps.get(row)) else { return Ok(false) };
        let found = match (step.parse::<i64>(), write::characters(step)) {
            (Ok(index), _) => element_at(text, index),
            (_, Some(key)) if ignore_case => member_ignoring_case(text, &key),
            (_, Some(key)) => member(text, &write::escape(&key)),
            _ => None,
        };
        out.push_str(found.unwrap_or_default());
        Ok(found.is_some())
    })
}
