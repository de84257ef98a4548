//! The order of VARIANT values, as bytes that compare as they do. Values of one kind compare as in SQL, numbers of all
//! kinds with each other; between kinds the order is that of `rank`, with JSON null after every other value.

use std::cmp::Ordering;

use super::text::{Kind, elements, members};
use super::{number, write};

fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Boolean => 1,
        Kind::Integer | Kind::Decimal | Kind::Double => 2,
        Kind::Varchar => 3,
        Kind::Binary => 4,
        Kind::Date => 5,
        Kind::Time => 6,
        Kind::TimestampNtz => 7,
        Kind::TimestampLtz | Kind::TimestampTz => 8,
        Kind::Array => 9,
        Kind::Object => 10,
        Kind::Null => 11,
        Kind::Undefined => 12,
    }
}

/// Appends the key of a value.
pub fn append(out: &mut Vec<u8>, text: &str) {
    let kind = Kind::of(text);
    out.push(rank(kind));
    match kind {
        Kind::Boolean => out.push(u8::from(text == "true")),
        Kind::Integer | Kind::Decimal | Kind::Double => number::sort_key(out, text),
        Kind::TimestampLtz | Kind::TimestampTz => {
            let nanos = super::convert::instant(text).unwrap_or(0);
            out.extend_from_slice(&(nanos as u64 ^ (1 << 63)).to_be_bytes());
        }
        Kind::Array => {
            for element in elements(text) {
                append(out, element);
            }
            out.push(0);
        }
        Kind::Object => {
            for (key, value) in members(text) {
                out.push(1);
                string(out, &write::unescape(key));
                append(out, value);
            }
            out.push(0);
        }
        Kind::Null | Kind::Undefined => {}
        _ => string(out, &write::characters(text).unwrap_or_default()),
    }
}

/// A text so that a prefix comes first and what follows does not matter.
fn string(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        out.push(byte);
        if byte == 0 {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

/// The key of a value.
pub fn key(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 8);
    append(&mut out, text);
    out
}

/// Whether two values are equal: numbers however they are written, all else by text.
pub fn equal(a: &str, b: &str) -> bool {
    a == b || (has_double(a) || has_double(b)) && key(a) == key(b)
}

fn has_double(text: &str) -> bool {
    matches!(Kind::of(text), Kind::Double | Kind::Array | Kind::Object | Kind::TimestampLtz | Kind::TimestampTz)
}

/// How two values are ordered.
pub fn compare(a: &str, b: &str) -> Ordering {
    if a == b { Ordering::Equal } else { key(a).cmp(&key(b)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_all_kinds_have_an_order() {
        let sorted = [
            "false",
            "true",
            "-3",
            "2e-1",
            "10",
            "\"\"",
            "\"a\"",
            "\"a\\u0000\"",
            "\"ab\"",
            "D\"2024-01-31\"",
            "[]",
            "[1]",
            "[1,2]",
            "[2]",
            "{}",
            "{\"a\":1}",
            "{\"a\":2}",
            "{\"b\":1}",
            "null",
            "undefined",
        ];
        for pair in sorted.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
    }

    #[test]
    fn numbers_are_equal_however_they_are_written() {
        assert!(equal("3", "3e0"));
        assert!(equal("[1,{\"a\":5e-1}]", "[1,{\"a\":0.5}]"));
        assert!(!equal("3", "\"3\""));
        assert!(!equal("null", "undefined"));
    }
}
