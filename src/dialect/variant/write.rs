//! Writing canonical text: strings, numbers and tagged values appended to a buffer, objects built from sorted members.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Appends a JSON string, quotes included.
pub fn string(out: &mut String, text: &str) {
    out.push('"');
    escape_into(out, text);
    out.push('"');
}

/// A text as it stands between the quotes of a JSON string.
pub fn escape(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    escape_into(&mut out, text);
    Cow::Owned(out)
}

fn escape_into(out: &mut String, text: &str) {
    let mut clean = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[clean..at]);
        clean = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            other => {
                let _ = write!(out, "\\u{other:04x}");
            }
        }
    }
    out.push_str(&text[clean..]);
}

/// The characters of what stands between the quotes of a canonical string.
pub fn unescape(escaped: &str) -> Cow<'_, str> {
    if !escaped.contains('\\') {
        return Cow::Borrowed(escaped);
    }
    let mut out = String::with_capacity(escaped.len());
    let mut letters = escaped.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let digits: String = letters.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                out.push(code.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    Cow::Owned(out)
}

/// The characters of a string or tagged value, or none for other values.
pub fn characters(text: &str) -> Option<Cow<'_, str>> {
    let quoted = match text.as_bytes().first()? {
        b'"' => text,
        b'A'..=b'Z' => text.get(1..)?,
        _ => return None,
    };
    Some(unescape(quoted.get(1..quoted.len().checked_sub(1)?)?))
}

/// An array being written.
#[derive(Debug, Default)]
pub struct ArrayText(String);

impl ArrayText {
    /// Appends an element, as canonical text.
    pub fn push(&mut self, element: &str) {
        self.0.push(if self.0.is_empty() { '[' } else { ',' });
        self.0.push_str(element);
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('[');
        }
        self.0.push(']');
        self.0
    }
}

/// The text of an object from its members, sorted and unique by escaped key.
pub fn object<'a>(members: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::from("{");
    for (key, value) in members {
        if out.len() > 1 {
            out.push(',');
        }
        out.push('"');
        out.push_str(key);
        out.push_str("\":");
        out.push_str(value);
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_survive_escaping() {
        for text in ["", "plain", "a\"b\\c\nd\u{1}é\u{7f}", "\t\r\u{8}\u{c}"] {
            assert_eq!(unescape(&escape(text)), text);
            let mut quoted = String::new();
            string(&mut quoted, text);
            assert_eq!(characters(&quoted).as_deref(), Some(text));
        }
        assert_eq!(escape("a\"\u{1}"), "a\\\"\\u0001");
    }

    #[test]
    fn arrays_and_objects_are_compact() {
        let mut array = ArrayText::default();
        array.push("1");
        array.push("\"a\"");
        assert_eq!(array.finish(), r#"[1,"a"]"#);
        assert_eq!(ArrayText::default().finish(), "[]");
        assert_eq!(object([("a", "1"), ("b", "[]")]), r#"{"a":1,"b":[]}"#);
    }
}
