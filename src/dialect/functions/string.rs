//! Text: joining, cutting, padding, searching, comparing. Positions and lengths count characters, of BINARY bytes.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::Volatility;

use super::scalar::{
    Call, Shape, binaries, booleans, exact, function, gives_array, gives_boolean, gives_first, gives_integer,
    gives_object, gives_text, integers, plain_arguments, texts,
};
use super::{Fidelity, Function, Implementation};
use crate::dialect::types::SqlType;

/// IP addresses and URLs taken apart.
mod address;

/// Edit distance, Jaro-Winkler, Soundex.
mod distance;

/// LIKE and ILIKE.
mod like;

/// Cutting: SUBSTR, LEFT, INSERT, padding, trimming.
mod cut;

/// Cutting at separators.
mod split;

const FAMILY: &str = "string";

/// The functions of this family.
pub(super) fn functions() -> Vec<Function> {
    let mut list = vec![
        exact(FAMILY, &["ascii", "unicode"], 1..=1, gives_integer, code_point),
        exact(FAMILY, &["bit_length"], 1..=1, gives_integer, |call| octets(call, 8)),
        exact(FAMILY, &["octet_length"], 1..=1, gives_integer, |call| octets(call, 1)),
        exact(FAMILY, &["length", "len"], 1..=1, gives_integer, length),
        exact(FAMILY, &["rtrimmed_length"], 1..=1, gives_integer, rtrimmed_length),
        exact(FAMILY, &["charindex", "position"], 2..=3, gives_integer, position),
        exact(FAMILY, &["chr", "char"], 1..=1, gives_text, chr),
        exact(FAMILY, &["concat"], 1..=usize::MAX, joined, concat),
        exact(FAMILY, &["concat_ws"], 2..=usize::MAX, joined, concat_ws),
        exact(FAMILY, &["contains"], 2..=2, gives_boolean, |call| {
            search(call, |a, b| memchr::memmem::find(a, b).is_some())
        }),
        exact(FAMILY, &["startswith"], 2..=2, gives_boolean, |call| search(call, <[u8]>::starts_with)),
        exact(FAMILY, &["endswith"], 2..=2, gives_boolean, |call| search(call, <[u8]>::ends_with)),
        exact(FAMILY, &["initcap"], 1..=2, gives_text, initcap),
        exact(FAMILY, &["lower"], 1..=1, gives_text, |call| change(call, lower)),
        exact(FAMILY, &["upper"], 1..=1, gives_text, |call| change(call, upper)),
        exact(FAMILY, &["reverse"], 1..=1, gives_first, reverse),
        exact(FAMILY, &["repeat"], 2..=2, gives_first, repeat),
        exact(FAMILY, &["replace"], 2..=3, gives_text, replace),
        exact(FAMILY, &["space"], 1..=1, gives_text, space),
        exact(FAMILY, &["translate"], 3..=3, gives_text, translate),
        function(FAMILY, &["uuid_string"], 0..=2, gives_text, uuid_string, Volatility::Volatile),
        exact(FAMILY, &["like"], 2..=3, gives_boolean, |call| like::kernel(call, false)),
        exact(FAMILY, &["ilike"], 2..=3, gives_boolean, |call| like::kernel(call, true)),
        exact(FAMILY, &["editdistance"], 2..=3, gives_integer, distance::edit),
        exact(FAMILY, &["jarowinkler_similarity"], 2..=2, gives_integer, distance::jaro_winkler),
        exact(FAMILY, &["soundex"], 1..=1, gives_text, |call| distance::soundex(call, true)),
        exact(FAMILY, &["soundex_p123"], 1..=1, gives_text, |call| distance::soundex(call, false)),
        exact(FAMILY, &["split"], 2..=2, gives_array, split::split),
        exact(FAMILY, &["split_part"], 3..=3, gives_text, split::split_part),
        exact(FAMILY, &["strtok"], 1..=3, gives_text, split::strtok),
        exact(FAMILY, &["strtok_to_array"], 1..=2, gives_array, split::strtok_to_array),
        exact(FAMILY, &["parse_ip"], 2..=3, gives_object, address::parse_ip),
        exact(FAMILY, &["parse_url"], 1..=2, gives_object, address::parse_url),
    ];
    for name in ["collate", "collation"] {
        let fidelity = Fidelity::Approximate(
            "of expressions only, compared with or without regard to case; the order of a locale's letters is refused",
        );
        list.push(Function { name, aliases: &[], family: FAMILY, fidelity, implementation: Implementation::Rewritten });
    }
    if let Some(uuid) = list.iter_mut().find(|function| function.name == "uuid_string") {
        uuid.fidelity = Fidelity::Approximate("random without arguments, so never the same value as in Snowflake");
    }
    list.extend(cut::functions());
    list
}

fn code_point(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.texts(0)?;
    integers(call.rows, |row| Ok(text.get(row).map(|text| text.chars().next().map_or(0, |c| i64::from(u32::from(c))))))
}

fn octets(call: &Call<'_>, factor: i64) -> Result<ArrayRef> {
    let bytes = call.bytes(0)?;
    integers(call.rows, |row| Ok(bytes.get(row).map(|bytes| bytes.len() as i64 * factor)))
}

fn length(call: &Call<'_>) -> Result<ArrayRef> {
    if call.sql_type(0) == SqlType::Binary {
        return octets(call, 1);
    }
    let text = call.texts(0)?;
    integers(call.rows, |row| Ok(text.get(row).map(|text| characters(text) as i64)))
}

fn rtrimmed_length(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.texts(0)?;
    integers(call.rows, |row| Ok(text.get(row).map(|text| characters(text.trim_end_matches(' ')) as i64)))
}

/// How many characters a text has.
fn characters(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

/// Where a character begins; the end for the one behind the last.
fn byte_at(text: &str, character: usize) -> usize {
    if text.is_ascii() {
        return character.min(text.len());
    }
    text.char_indices().nth(character).map_or(text.len(), |(byte, _)| byte)
}

fn position(call: &Call<'_>) -> Result<ArrayRef> {
    let start = if call.len() > 2 { Some(call.integers(2)?) } else { None };
    let start = |row| start.as_ref().map_or(Some(1), |start| start.get(row)).map(|start| (start.max(1) - 1) as usize);
    let (needle, hay) = (call.bytes(0)?, call.bytes(1)?);
    if (call.sql_type(0) == SqlType::Binary) != (call.sql_type(1) == SqlType::Binary) {
        return call.fail("both arguments must be text, or both BINARY");
    }
    let binary = call.sql_type(0) == SqlType::Binary;
    let texts = if binary { None } else { Some(call.texts(1)?) };
    integers(call.rows, |row| {
        let (Some(needle), Some(hay), Some(start)) = (needle.get(row), hay.get(row), start(row)) else {
            return Ok(None);
        };
        if needle.is_empty() {
            return Ok(Some(1));
        }
        let text = texts.as_ref().and_then(|texts| texts.get(row));
        let from = text.map_or(start, |text| byte_at(text, start));
        let Some(found) = hay.get(from..).and_then(|rest| memchr::memmem::find(rest, needle)) else {
            return Ok(Some(0));
        };
        let before = from + found;
        Ok(Some(1 + text.map_or(before, |text| characters(&text[..before])) as i64))
    })
}

fn chr(call: &Call<'_>) -> Result<ArrayRef> {
    let codes = call.integers(0)?;
    texts(call.rows, |row, out| {
        let Some(code) = codes.get(row) else { return Ok(false) };
        match u32::try_from(code).ok().and_then(char::from_u32) {
            Some(character) => out.push(character),
            None => return call.fail(format!("{code} is not a Unicode code point")),
        }
        Ok(true)
    })
}

fn joined(shape: &Shape<'_>) -> Result<DataType> {
    plain_arguments(shape)?;
    let binary = |index: &usize| shape.sql_type(*index) == SqlType::Binary;
    let known = |index: &usize| shape.sql_type(*index) != SqlType::Null;
    let (total, binaries) =
        ((0..shape.types.len()).filter(known).count(), (0..shape.types.len()).filter(binary).count());
    match binaries {
        0 => Ok(DataType::Utf8),
        count if count == total => Ok(DataType::Binary),
        _ => shape.refuse((0..shape.types.len()).find(|index| known(index) && !binary(index)).unwrap_or(0)),
    }
}

fn concat(call: &Call<'_>) -> Result<ArrayRef> {
    if call.returns == &DataType::Binary {
        let parts: Vec<_> = (0..call.len()).map(|index| call.bytes(index)).collect::<Result<_>>()?;
        return binaries(call.rows, |row, out| {
            Ok(parts.iter().all(|part| part.get(row).map(|bytes| out.extend_from_slice(bytes)).is_some()))
        });
    }
    let parts: Vec<_> = (0..call.len()).map(|index| call.texts(index)).collect::<Result<_>>()?;
    texts(call.rows, |row, out| Ok(parts.iter().all(|part| part.get(row).map(|text| out.push_str(text)).is_some())))
}

fn concat_ws(call: &Call<'_>) -> Result<ArrayRef> {
    if call.returns == &DataType::Binary {
        let parts: Vec<_> = (0..call.len()).map(|index| call.bytes(index)).collect::<Result<_>>()?;
        return binaries(call.rows, |row, out| {
            let Some(separator) = parts[0].get(row) else { return Ok(false) };
            for (index, part) in parts[1..].iter().enumerate() {
                let Some(bytes) = part.get(row) else { return Ok(false) };
                if index > 0 {
                    out.extend_from_slice(separator);
                }
                out.extend_from_slice(bytes);
            }
            Ok(true)
        });
    }
    let parts: Vec<_> = (0..call.len()).map(|index| call.texts(index)).collect::<Result<_>>()?;
    texts(call.rows, |row, out| {
        let Some(separator) = parts[0].get(row) else { return Ok(false) };
        for (index, part) in parts[1..].iter().enumerate() {
            let Some(text) = part.get(row) else { return Ok(false) };
            if index > 0 {
                out.push_str(separator);
            }
            out.push_str(text);
        }
        Ok(true)
    })
}

fn search(call: &Call<'_>, found: fn(&[u8], &[u8]) -> bool) -> Result<ArrayRef> {
    let (hay, needle) = (call.bytes(0)?, call.bytes(1)?);
    booleans(call.rows, |row| Ok(hay.get(row).zip(needle.get(row)).map(|(hay, needle)| found(hay, needle))))
}

fn change(call: &Call<'_>, change: fn(&str, &mut String)) -> Result<ArrayRef> {
    let text = call.texts(0)?;
    texts(call.rows, |row, out| Ok(text.get(row).map(|text| change(text, out)).is_some()))
}

fn lower(text: &str, out: &mut String) {
    if text.is_ascii() {
        out.extend(text.bytes().map(|byte| char::from(byte.to_ascii_lowercase())));
    } else {
        out.push_str(&text.to_lowercase());
    }
}

fn upper(text: &str, out: &mut String) {
    if text.is_ascii() {
        out.extend(text.bytes().map(|byte| char::from(byte.to_ascii_uppercase())));
    } else {
        out.push_str(&text.to_uppercase());
    }
}

/// Behind these a word begins, and behind white space.
const WORD_ENDS: &str = "!?@\"^#$&~_,.:;+-*%/|\\[](){}<>";

fn initcap(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.texts(0)?;
    let delimiters = if call.len() > 1 { Some(call.texts(1)?) } else { None };
    texts(call.rows, |row, out| {
        let Some(text) = text.get(row) else { return Ok(false) };
        let own = match &delimiters {
            Some(delimiters) => match delimiters.get(row) {
                Some(own) => Some(own),
                None => return Ok(false),
            },
            None => None,
        };
        let ends = |c: char| own.map_or_else(|| c.is_whitespace() || WORD_ENDS.contains(c), |own| own.contains(c));
        let mut first = true;
        for character in text.chars() {
            if first {
                out.extend(character.to_uppercase());
            } else {
                out.extend(character.to_lowercase());
            }
            first = ends(character);
        }
        Ok(true)
    })
}

fn reverse(call: &Call<'_>) -> Result<ArrayRef> {
    if call.returns == &DataType::Binary {
        let bytes = call.bytes(0)?;
        return binaries(call.rows, |row, out| {
            Ok(bytes.get(row).map(|bytes| out.extend(bytes.iter().rev())).is_some())
        });
    }
    let text = call.texts(0)?;
    texts(call.rows, |row, out| Ok(text.get(row).map(|text| out.extend(text.chars().rev())).is_some()))
}

/// The longest text that Snowflake holds, in bytes.
const LONGEST: usize = 134_217_728;

fn times(call: &Call<'_>, length: usize, count: i64) -> Result<usize> {
    let count = usize::try_from(count).unwrap_or(0);
    if length.checked_mul(count).is_none_or(|length| length > LONGEST) {
        return call.fail(format!("the result of {count} repetitions is too long"));
    }
    Ok(count)
}

fn repeat(call: &Call<'_>) -> Result<ArrayRef> {
    let counts = call.integers(1)?;
    if call.returns == &DataType::Binary {
        let bytes = call.bytes(0)?;
        return binaries(call.rows, |row, out| {
            let (Some(bytes), Some(count)) = (bytes.get(row), counts.get(row)) else { return Ok(false) };
            (0..times(call, bytes.len(), count)?).for_each(|_| out.extend_from_slice(bytes));
            Ok(true)
        });
    }
    let text = call.texts(0)?;
    texts(call.rows, |row, out| {
        let (Some(text), Some(count)) = (text.get(row), counts.get(row)) else { return Ok(false) };
        (0..times(call, text.len(), count)?).for_each(|_| out.push_str(text));
        Ok(true)
    })
}

fn space(call: &Call<'_>) -> Result<ArrayRef> {
    let counts = call.integers(0)?;
    texts(call.rows, |row, out| {
        let Some(count) = counts.get(row) else { return Ok(false) };
        (0..times(call, 1, count)?).for_each(|_| out.push(' '));
        Ok(true)
    })
}

fn replace(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, pattern) = (call.texts(0)?, call.texts(1)?);
    let replacement = if call.len() > 2 { Some(call.texts(2)?) } else { None };
    texts(call.rows, |row, out| {
        let replacement = match &replacement {
            Some(replacement) => replacement.get(row),
            None => Some(""),
        };
        let (Some(text), Some(pattern), Some(replacement)) = (text.get(row), pattern.get(row), replacement) else {
            return Ok(false);
        };
        if pattern.is_empty() {
            out.push_str(text);
            return Ok(true);
        }
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(pattern) {
            out.push_str(before);
            out.push_str(replacement);
            rest = after;
        }
        out.push_str(rest);
        Ok(true)
    })
}

fn translate(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, source, target) = (call.texts(0)?, call.texts(1)?, call.texts(2)?);
    texts(call.rows, |row, out| {
        let (Some(text), Some(source), Some(target)) = (text.get(row), source.get(row), target.get(row)) else {
            return Ok(false);
        };
        let (from, to): (Vec<char>, Vec<char>) = (source.chars().collect(), target.chars().collect());
        if to.len() > from.len() {
            return call.fail(format!("target alphabet '{target}' is longer than the source alphabet '{source}'"));
        }
        for character in text.chars() {
            match from.iter().position(|known| *known == character) {
                Some(index) => out.extend(to.get(index)),
                None => out.push(character),
            }
        }
        Ok(true)
    })
}

fn uuid_string(call: &Call<'_>) -> Result<ArrayRef> {
    match call.len() {
        0 => texts(call.rows, |_, out| {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).or_else(|error| call.fail(error))?;
            out.push_str(&hyphenated(bytes, 4));
            Ok(true)
        }),
        1 => call.fail("takes no arguments, or a namespace and a name"),
        _ => {
            let (namespace, name) = (call.texts(0)?, call.texts(1)?);
            texts(call.rows, |row, out| {
                let (Some(namespace), Some(name)) = (namespace.get(row), name.get(row)) else { return Ok(false) };
                let Ok(namespace) = hex::decode(namespace.replace('-', "")) else {
                    return call.fail(format!("'{namespace}' is not a UUID"));
                };
                if namespace.len() != 16 {
                    return call.fail("the namespace is not a UUID");
                }
                let digest = super::hash::sha1_of(&[namespace.as_slice(), name.as_bytes()].concat());
                let mut bytes = [0; 16];
                bytes.copy_from_slice(&digest[..16]);
                out.push_str(&hyphenated(bytes, 5));
                Ok(true)
            })
        }
    }
}

fn hyphenated(mut bytes: [u8; 16], version: u8) -> String {
    bytes[6] = bytes[6] & 0x0f | version << 4;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])
}
