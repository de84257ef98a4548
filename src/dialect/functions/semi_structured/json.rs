//! Text → VARIANT and back: PARSE_JSON, CHECK_JSON, TO_JSON, TO_VARIANT, TO_ARRAY, TO_OBJECT.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::{FAMILY, gives_text, gives_variant, values};
use crate::dialect::functions::Function;
use crate::dialect::functions::scalar::{self, Call, Shape, exact};
use crate::dialect::types::{self, SqlType};
use crate::dialect::variant::parse::{Duplicates, Parser};
use crate::dialect::variant::path::Path;
use crate::dialect::variant::text::Kind;
use crate::dialect::variant::{convert, print};

pub(super) fn functions() -> Vec<Function> {
    vec![
        exact(FAMILY, &["parse_json"], 1..=2, parse_rule, |call| parse(call, true)),
        exact(FAMILY, &["try_parse_json"], 1..=2, parse_rule, |call| parse(call, false)),
        exact(FAMILY, &["check_json"], 1..=1, check_rule, check),
        exact(FAMILY, &["to_json"], 1..=1, gives_text, to_json),
        exact(FAMILY, &["to_variant"], 1..=1, gives_variant, |call| convert::to_variant(call.column(0)?.array())),
        exact(FAMILY, &["to_array"], 1..=1, |_| Ok(types::array()), to_array),
        exact(FAMILY, &["to_object"], 1..=1, to_object_rule, to_object),
        exact(FAMILY, &["json_extract_path_text"], 2..=2, gives_text, extract_path_text),
    ]
}

fn parse_rule(shape: &Shape<'_>) -> Result<DataType> {
    match shape.sql_type(0) {
        SqlType::Varchar(_) | SqlType::Variant | SqlType::Null => Ok(types::variant()),
        _ => shape.refuse(0),
    }
}

fn check_rule(shape: &Shape<'_>) -> Result<DataType> {
    parse_rule(shape).map(|_| DataType::Utf8)
}

fn duplicates(call: &Call<'_>) -> Result<Duplicates> {
    if call.len() < 2 {
        return Ok(Duplicates::Refused);
    }
    match call.texts(1)?.get(0).map(str::to_ascii_lowercase).as_deref() {
        Some("d") => Ok(Duplicates::LastWins),
        Some("s") => Ok(Duplicates::Refused),
        _ => call.fail("its second argument must be 'd' or 's'"),
    }
}

fn parse(call: &Call<'_>, strict: bool) -> Result<ArrayRef> {
    let documents = call.texts(0)?;
    let mut parser = Parser::new(duplicates(call)?);
    values(call, |row, out| {
        let Some(document) = documents.get(row) else { return Ok(false) };
        match parser.parse(document, out) {
            Ok(some) => Ok(some),
            Err(_) if !strict => Ok(false),
            Err(message) => call.fail(format!("error parsing JSON: {message}")),
        }
    })
}

fn check(call: &Call<'_>) -> Result<ArrayRef> {
    let documents = call.texts(0)?;
    let mut parser = Parser::new(Duplicates::Refused);
    let mut parsed = String::new();
    scalar::texts(call.rows, |row, out| {
        parsed.clear();
        let Some(Err(message)) = documents.get(row).map(|document| parser.parse(document, &mut parsed)) else {
            return Ok(false);
        };
        out.push_str(&message);
        Ok(true)
    })
}

fn to_json(call: &Call<'_>) -> Result<ArrayRef> {
    let variants = call.variants(0)?;
    scalar::texts(call.rows, |row, out| {
        let text = variants.get(row).filter(|text| *text != "undefined");
        out.push_str(&print::json(text.unwrap_or_default()));
        Ok(text.is_some())
    })
}

fn to_array(call: &Call<'_>) -> Result<ArrayRef> {
    let variants = call.variants(0)?;
    values(call, |row, out| {
        let text = super::as_array(variants.get(row));
        out.push_str(text.as_deref().unwrap_or_default());
        Ok(text.is_some())
    })
}

fn to_object_rule(shape: &Shape<'_>) -> Result<DataType> {
    super::object_of_object(shape)
}

fn to_object(call: &Call<'_>) -> Result<ArrayRef> {
    let variants = call.variants(0)?;
    values(call, |row, out| match variants.get(row) {
        None | Some("null" | "undefined") => Ok(false),
        Some(text) if Kind::of(text) == Kind::Object => {
            out.push_str(text);
            Ok(true)
        }
        Some(text) => call.fail(format!("failed to cast variant value {} to OBJECT", print::json(text))),
    })
}

fn extract_path_text(call: &Call<'_>) -> Result<ArrayRef> {
    let semi_structured = call.sql_type(0).is_semi_structured();
    let documents = if semi_structured { call.variants(0)? } else { call.texts(0)? };
    let paths = call.texts(1)?;
    let mut parser = Parser::new(Duplicates::LastWins);
    let mut parsed = String::new();
    scalar::texts(call.rows, |row, out| {
        let (Some(document), Some(path)) = (documents.get(row), paths.get(row)) else { return Ok(false) };
        let path = Path::parse(path).or_else(|message| call.fail(message))?;
        parsed.clear();
        if semi_structured {
            parsed.push_str(document);
        } else if !parser
            .parse(document, &mut parsed)
            .or_else(|message| call.fail(format!("error parsing JSON: {message}")))?
        {
            return Ok(false);
        }
        let Some(text) = path.get(&parsed).and_then(convert::varchar) else { return Ok(false) };
        out.push_str(&text);
        Ok(true)
    })
}
