//! Cutting at separators: SPLIT keeps empty parts, STRTOK does not.

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;

use super::super::scalar::{Call, json_column, slices, texts};
use crate::dialect::variant::write;

/// SPLIT: the parts as an ARRAY; an empty separator leaves the text whole.
pub(super) fn split(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, separator) = (call.texts(0)?, call.texts(1)?);
    let json = texts(call.rows, |row, out| {
        let (Some(text), Some(separator)) = (text.get(row), separator.get(row)) else { return Ok(false) };
        if separator.is_empty() {
            array(out, std::iter::once(text));
        } else {
            array(out, text.split(separator));
        }
        Ok(true)
    })?;
    json_column(call.returns, &json)
}

/// SPLIT_PART: the part of a number from 1, from the end where negative; 0 is 1.
pub(super) fn split_part(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, separator, part) = (call.texts(0)?, call.texts(1)?, call.integers(2)?);
    slices(call.rows, |row| {
        let (Some(text), Some(separator), Some(part)) = (text.get(row), separator.get(row), part.get(row)) else {
            return Ok(None);
        };
        if separator.is_empty() {
            return Ok(Some(if matches!(part, -1..=1) { text } else { "" }));
        }
        let nth = usize::try_from(part.unsigned_abs()).unwrap_or(usize::MAX).max(1) - 1;
        let found = if part < 0 { text.rsplit(separator).nth(nth) } else { text.split(separator).nth(nth) };
        Ok(Some(found.unwrap_or_default()))
    })
}

fn tokens<'a>(text: &'a str, delimiters: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(|c| delimiters.contains(c)).filter(|token| !token.is_empty())
}

/// STRTOK: the token of a number from 1; NULL where there is none.
pub(super) fn strtok(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.texts(0)?;
    let delimiters = if call.len() > 1 { Some(call.texts(1)?) } else { None };
    let part = if call.len() > 2 { Some(call.integers(2)?) } else { None };
    slices(call.rows, |row| {
        let delimiters = delimiters.as_ref().map_or(Some(" "), |delimiters| delimiters.get(row));
        let part = part.as_ref().map_or(Some(1), |part| part.get(row));
        let (Some(text), Some(delimiters), Some(part)) = (text.get(row), delimiters, part) else { return Ok(None) };
        Ok(usize::try_from(part).ok().filter(|part| *part > 0).and_then(|part| tokens(text, delimiters).nth(part - 1)))
    })
}

/// STRTOK_TO_ARRAY: all tokens.
pub(super) fn strtok_to_array(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.texts(0)?;
    let delimiters = if call.len() > 1 { Some(call.texts(1)?) } else { None };
    let json = texts(call.rows, |row, out| {
        let delimiters = delimiters.as_ref().map_or(Some(" "), |delimiters| delimiters.get(row));
        let (Some(text), Some(delimiters)) = (text.get(row), delimiters) else { return Ok(false) };
        array(out, tokens(text, delimiters));
        Ok(true)
    })?;
    json_column(call.returns, &json)
}

/// Appends texts as a JSON array.
pub(super) fn array<'a>(out: &mut String, parts: impl Iterator<Item = &'a str>) {
    out.push('[');
    for (index, part) in parts.enumerate() {
        if index > 0 {
            out.push(',');
        }
        write::string(out, part);
    }
    out.push(']');
}
