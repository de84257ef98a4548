//! Paths such as `a.b[0]["c d"]`: parsed once, then followed in the canonical text without building a tree.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::text::{element, elements, member, members};
use super::write;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub enum Step {
    /// A member of an object, with its key as it is escaped in the text.
    Key(String),
    /// An element of an array, from 0.
    Index(usize),
    /// An index that no array has, such as `[-1]`.
    Nowhere,
}

/// A path into a VARIANT.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd)]
pub struct Path(Vec<Step>);

impl Path {
    /// A path of one member, whatever characters its key has.
    pub fn key(key: &str) -> Self {
        Self(vec![Step::Key(write::escape(key).into_owned())])
    }

    /// Reads a path: field names joined by `.` or `:`, quoted names, and `[0]`, `['name']`, `["name"]`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0 };
        let mut steps = Vec::new();
        let mut first = true;
        while let Some(next) = reader.peek() {
            match next {
                '[' => steps.push(reader.bracket()?),
                '.' | ':' => {
                    reader.at += 1;
                    steps.push(reader.field()?);
                }
                _ if first => steps.push(reader.field()?),
                _ => return Err(format!("expected `.`, `:` or `[` at `{}` of the path `{text}`", reader.rest())),
            }
            first = false;
        }
        Ok(Self(steps))
    }

    /// The value the path leads to; none where a step finds nothing.
    pub fn get<'a>(&self, text: &'a str) -> Option<&'a str> {
        let mut at = text;
        for step in &self.0 {
            at = match step {
                Step::Key(key) => member(at, key)?,
                Step::Index(index) => element(at, *index)?,
                Step::Nowhere => return None,
            };
        }
        (at != "undefined").then_some(at)
    }

    /// Whether the path leads to the value itself.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends the path as FLATTEN shows it.
    pub fn show(&self, out: &mut String) {
        for step in &self.0 {
            match step {
                Step::Key(key) => show_key(out, key),
                Step::Index(index) => show_index(out, *index),
                Step::Nowhere => out.push_str("[-1]"),
            }
        }
    }
}

/// Appends a step to an object's member to a path, as FLATTEN shows it: `.name`, or `['other name']`.
pub fn show_key(out: &mut String, escaped: &str) {
    let mut letters = escaped.bytes();
    let plain = letters.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && letters.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'$');
    if plain {
        if !out.is_empty() {
            out.push('.');
        }
        out.push_str(escaped);
    } else {
        out.push_str("['");
        out.push_str(&write::unescape(escaped).replace('\'', "\\'"));
        out.push_str("']");
    }
}

/// Appends a step to an array's element to a path, as FLATTEN shows it.
pub fn show_index(out: &mut String, index: usize) {
    let _ = write!(out, "[{index}]");
}

/// The member whose key is `key` but for case: the same case first, then the first in order.
pub fn member_ignoring_case<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let escaped = write::escape(key);
    member(text, &escaped).or_else(|| {
        let folded = key.to_lowercase();
        members(text).find(|(found, _)| write::unescape(found).to_lowercase() == folded).map(|(_, value)| value)
    })
}

/// The element an SQL index gives: from 0, nothing for a negative one or a hole.
pub fn element_at(text: &str, index: i64) -> Option<&str> {
    let index = usize::try_from(index).ok()?;
    elements(text).nth(index).filter(|value| *value != "undefined")
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn error(&self, expected: &str) -> String {
        format!("expected {expected} at `{}` of the path `{}`", self.rest(), self.text)
    }

    fn field(&mut self) -> Result<Step, String> {
        if self.peek() == Some('"') {
            return Ok(Step::Key(write::escape(&self.quoted_name()?).into_owned()));
        }
        let rest = self.rest();
        let end = rest.find(['.', ':', '[']).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.error("a field name"));
        }
        self.at += end;
        Ok(Step::Key(write::escape(&rest[..end]).into_owned()))
    }

    /// A name in double quotes, in which `""` is one quote.
    fn quoted_name(&mut self) -> Result<String, String> {
        let mut name = String::new();
        let mut letters = self.rest().char_indices().skip(1).peekable();
        while let Some((at, letter)) = letters.next() {
            if letter != '"' {
                name.push(letter);
            } else if letters.next_if(|(_, next)| *next == '"').is_some() {
                name.push('"');
            } else {
                self.at += at + 1;
                return Ok(name);
            }
        }
        Err(self.error("a closing `\"`"))
    }

    fn bracket(&mut self) -> Result<Step, String> {
        self.at += 1;
        let step = match self.peek() {
            Some(quote @ ('\'' | '"')) => {
                let (key, length) = quoted(self.rest(), quote).ok_or_else(|| self.error("a closing quote"))?;
                self.at += length;
                Step::Key(write::escape(&key).into_owned())
            }
            _ => {
                let rest = self.rest();
                let digits = rest.find(']').ok_or_else(|| self.error("a closing `]`"))?;
                let index: i64 = rest[..digits].trim().parse().map_err(|_| self.error("an index"))?;
                self.at += digits;
                usize::try_from(index).map_or(Step::Nowhere, Step::Index)
            }
        };
        if self.peek() != Some(']') {
            return Err(self.error("`]`"));
        }
        self.at += 1;
        Ok(step)
    }
}

/// A quoted key with backslash escapes, and its length with both quotes.
fn quoted(text: &str, quote: char) -> Option<(Cow<'_, str>, usize)> {
    let mut key = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => match letters.next()?.1 {
                'n' => key.push('\n'),
                'r' => key.push('\r'),
                't' => key.push('\t'),
                other => key.push(other),
            },
            _ if letter == quote => return Some((Cow::Owned(key), at + 1)),
            _ => key.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get<'a>(text: &'a str, path: &str) -> Option<&'a str> {
        Path::parse(path).unwrap().get(text)
    }

    #[test]
    fn paths_lead_into_objects_and_arrays() {
        let text = r#"{"a":{"b c":[1,[2,3],undefined]},"d.e":4}"#;
        assert_eq!(get(text, "a[\"b c\"][1][0]"), Some("2"));
        assert_eq!(get(text, "a:\"b c\"[0]"), Some("1"));
        assert_eq!(get(text, "['d.e']"), Some("4"));
        assert_eq!(get(text, "a['b c'][2]"), None);
        assert_eq!(get(text, "a['b c'][-1]"), None);
        assert_eq!(get(text, "A"), None);
        assert_eq!(get(text, ""), Some(text));
    }

    #[test]
    fn a_broken_path_says_where() {
        for broken in ["a.", "a[", "a[x]", "a['b", "a]b[", "a[0", "a[0]b", "\"a"] {
            assert!(broken == "a]b[" || Path::parse(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn paths_are_shown_as_flatten_shows_them() {
        let mut shown = String::new();
        Path::parse("contact[0].business['a b']").unwrap().show(&mut shown);
        assert_eq!(shown, "contact[0].business['a b']");
    }
}
