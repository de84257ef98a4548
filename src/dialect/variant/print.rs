//! What of a VARIANT leaves the engine: the JSON text that Snowflake shows, without the tags of the canonical text.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::text::value_end;
use super::{number, write};

/// The JSON text of a value, as TO_JSON gives it: DOUBLEs as `1.912000000000000e+02`, dates and bytes as strings.
pub fn json(text: &str) -> Cow<'_, str> {
    printed(text, false)
}

/// The same as JSON that any parser reads: a hole in an array is `null`, a DOUBLE that is no number a string.
pub fn strict_json(text: &str) -> Cow<'_, str> {
    printed(text, true)
}

fn printed(text: &str, strict: bool) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let (mut clean, mut at) = (0, 0);
    while let Some(byte) = bytes.get(at) {
        let end = match byte {
            b'{' | b'}' | b'[' | b']' | b',' | b':' => at + 1,
            _ => value_end(bytes, at),
        };
        let special = match byte {
            b'A'..=b'Z' => true,
            b'-' | b'0'..=b'9' => bytes[at..end].contains(&b'e'),
            b'u' => strict,
            _ => false,
        };
        if special {
            out.push_str(text.get(clean..at).unwrap_or_default());
            tagged(&mut out, text.get(at..end).unwrap_or_default(), strict);
            clean = end;
        }
        at = end.max(at + 1);
    }
    if clean == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(text.get(clean..).unwrap_or_default());
    Cow::Owned(out)
}

fn tagged(out: &mut String, text: &str, strict: bool) {
    if text == "undefined" {
        out.push_str("null");
    } else if strict && text.starts_with('F') {
        write::string(out, &write::characters(text).unwrap_or_default());
    } else if let Some(value) = number::to_f64(text) {
        double(out, value);
    } else {
        write::string(out, &shown(text));
    }
}

/// A DOUBLE within JSON: 16 digits and an exponent of at least two.
fn double(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        let text = format!("{value:.15e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        let _ = write!(out, "{mantissa}e{sign}{digits:0>2}");
    }
}

/// The text of a tagged value in the default formats: milliseconds in a timestamp, none in a time.
pub fn shown(text: &str) -> Cow<'_, str> {
    let payload = write::characters(text).unwrap_or_default();
    let cut = |payload: &str, digits: usize| {
        let (whole, rest) = payload.split_once('.').unwrap_or((payload, ""));
        let zone = rest.split_once(' ').map_or(String::new(), |(_, zone)| format!(" {zone}"));
        if digits == 0 {
            return whole.to_string();
        }
        format!("{whole}.{}{zone}", rest.get(..digits).unwrap_or("000"))
    };
    match text.as_bytes().first() {
        Some(b'T') => Cow::Owned(cut(&payload, 0)),
        Some(b'N' | b'L' | b'Z') => Cow::Owned(cut(&payload, 3)),
        _ => payload,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_doubles_become_what_snowflake_shows() {
        assert_eq!(json(r#"[null,"hello e1 D\"x",3e0,4]"#), r#"[null,"hello e1 D\"x",3.000000000000000e+00,4]"#);
        assert_eq!(json("1.912e2"), "1.912000000000000e+02");
        let tagged = r#"{"a":D"2024-01-31","b":N"2024-01-31 10:00:00.123456789","c":T"10:00:00.000000000","d":B"FF"}"#;
        let shown = r#"{"a":"2024-01-31","b":"2024-01-31 10:00:00.123","c":"10:00:00","d":"FF"}"#;
        assert_eq!(json(tagged), shown);
        assert_eq!(json(r#"Z"2024-01-31 10:00:00.000000000 +0100""#), r#""2024-01-31 10:00:00.000 +0100""#);
        assert_eq!(json(r#"[F"NaN",undefined]"#), "[NaN,undefined]");
        assert_eq!(strict_json(r#"[F"NaN",undefined,"u"]"#), r#"["NaN",null,"u"]"#);
        assert!(matches!(json(r#"{"a":[1,2.5,"x"]}"#), Cow::Borrowed(_)));
    }
}
