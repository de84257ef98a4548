//! Reading canonical text in place: the kind of a value, the elements of an array, the members of an object. All of it
//! tolerates text that is not canonical (it ends early or gives nothing) and never fails.

/// What a VARIANT value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// True or false.
    Boolean,
    /// A fixed-point number without fraction.
    Integer,
    /// A fixed-point number with a fraction.
    Decimal,
    /// A 64-bit float.
    Double,
    /// Text.
    Varchar,
    /// Bytes.
    Binary,
    /// A date.
    Date,
    /// A time of day.
    Time,
    /// A date and time without zone.
    TimestampNtz,
    /// An instant in the session's zone.
    TimestampLtz,
    /// An instant with its offset.
    TimestampTz,
    /// An array.
    Array,
    /// An object.
    Object,
    /// JSON null.
    Null,
    /// A hole in an array.
    Undefined,
}

impl Kind {
    /// The kind of the value that `text` is.
    pub fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        match bytes.first() {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::Array,
            Some(b'"') => Self::Varchar,
            Some(b't' | b'f') => Self::Boolean,
            Some(b'n') => Self::Null,
            Some(b'-' | b'0'..=b'9') => Self::of_number(bytes),
            Some(b'F') => Self::Double,
            Some(b'D') => Self::Date,
            Some(b'T') => Self::Time,
            Some(b'N') => Self::TimestampNtz,
            Some(b'L') => Self::TimestampLtz,
            Some(b'Z') => Self::TimestampTz,
            Some(b'B') => Self::Binary,
            _ => Self::Undefined,
        }
    }

    fn of_number(bytes: &[u8]) -> Self {
        let mut kind = Self::Integer;
        for byte in bytes {
            match byte {
                b'e' => return Self::Double,
                b'.' => kind = Self::Decimal,
                _ => {}
            }
        }
        kind
    }

    /// Whether it is a number of any kind.
    pub fn is_number(self) -> bool {
        matches!(self, Self::Integer | Self::Decimal | Self::Double)
    }

    /// The name that TYPEOF gives.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "BOOLEAN",
            Self::Integer => "INTEGER",
            Self::Decimal => "DECIMAL",
            Self::Double => "DOUBLE",
            Self::Varchar => "VARCHAR",
            Self::Binary => "BINARY",
            Self::Date => "DATE",
            Self::Time => "TIME",
            Self::TimestampNtz => "TIMESTAMP_NTZ",
            Self::TimestampLtz => "TIMESTAMP_LTZ",
            Self::TimestampTz => "TIMESTAMP_TZ",
            Self::Array => "ARRAY",
            Self::Object => "OBJECT",
            Self::Null | Self::Undefined => "NULL_VALUE",
        }
    }
}

/// Where the string that opens at `start` ends, its closing quote included.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Where the value that starts at `start` ends.
pub fn value_end(bytes: &[u8], start: usize) -> usize {
    match bytes.get(start) {
        Some(b'"') => string_end(bytes, start),
        Some(b'{' | b'[') => composite_end(bytes, start),
        Some(b'A'..=b'Z') => string_end(bytes, start + 1),
        _ => {
            let rest = bytes.get(start..).unwrap_or_default();
            start + rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']')).unwrap_or(rest.len())
        }
    }
}

fn composite_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = string_end(bytes, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

fn slice(text: &str, start: usize, end: usize) -> &str {
    text.get(start..end).unwrap_or_default()
}

/// The elements of an array, in order; nothing if the value is no array.
pub fn elements(text: &str) -> Elements<'_> {
    Elements { text, at: if text.as_bytes().first() == Some(&b'[') { 1 } else { text.len() } }
}

/// See [`elements`].
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        if bytes.get(self.at).is_none_or(|byte| *byte == b']') {
            return None;
        }
        let end = value_end(bytes, self.at);
        let element = slice(self.text, self.at, end);
        self.at = if bytes.get(end) == Some(&b',') { end + 1 } else { bytes.len() };
        Some(element)
    }
}

/// The members of an object as (key, value) in the order of their keys; nothing if the value is no object. The key is
/// what stands between the quotes: [`unescape`](super::write::unescape) gives its characters.
pub fn members(text: &str) -> Members<'_> {
    Members { text, at: if text.as_bytes().first() == Some(&b'{') { 1 } else { text.len() } }
}

/// See [`members`].
#[derive(Clone, Debug)]
pub struct Members<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let bytes = self.text.as_bytes();
        if bytes.get(self.at) != Some(&b'"') {
            return None;
        }
        let key_end = string_end(bytes, self.at);
        let key = slice(self.text, self.at + 1, key_end - 1);
        let end = value_end(bytes, key_end + 1);
        let value = slice(self.text, key_end + 1, end);
        self.at = if bytes.get(end) == Some(&b',') { end + 1 } else { bytes.len() };
        Some((key, value))
    }
}

/// The value of an object's member; `key` is escaped as in the text.
pub fn member<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    for (found, value) in members(text) {
        match found.as_bytes().cmp(key.as_bytes()) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => return Some(value),
            std::cmp::Ordering::Greater => return None,
        }
    }
    None
}

/// An array's element by its position from 0.
pub fn element(text: &str, index: usize) -> Option<&str> {
    elements(text).nth(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_members_are_read_in_place() {
        let array: Vec<_> = elements(r#"[1,"a,]\"b",{"x":[1,2]},undefined,D"2024-01-31",[]]"#).collect();
        assert_eq!(array, ["1", r#""a,]\"b""#, r#"{"x":[1,2]}"#, "undefined", r#"D"2024-01-31""#, "[]"]);
        let object: Vec<_> = members(r#"{"a":1,"b c":{"d":[]},"e":"}"}"#).collect();
        assert_eq!(object, [("a", "1"), ("b c", r#"{"d":[]}"#), ("e", r#""}""#)]);
        assert_eq!(member(r#"{"a":1,"c":2}"#, "b"), None);
        assert_eq!(member(r#"{"a":1,"c":2}"#, "c"), Some("2"));
        assert_eq!(elements("[]").count() + members("{}").count() + elements("12").count(), 0);
    }

    #[test]
    fn text_that_is_not_canonical_ends_early() {
        for broken in ["[", "{", "[1", r#"{"a"#, r#"{"a":"#, r#"["a\"#, "[[", "", "D", "["] {
            let _ = elements(broken).count() + members(broken).count();
            let _ = Kind::of(broken);
        }
    }
}
