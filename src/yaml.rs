//! YAML as a tree in which every value keeps its place, so that all problems of a file can be told at once. It knows
//! nothing of jobs: `yaml::shape` says which keys and values are allowed where.
//!
//! The events come from serde-saphyr's parser. Its typed deserialisation is not used, because it stops at the first
//! value that does not fit.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span as RawSpan, Tag};

use crate::diagnostic::Diagnostic;
use crate::text::{SourceFile, Span, Spanned};

/// What a file may hold: one table of keys that reads, explains and writes the JSON Schema.
pub mod shape;

/// The tables of keys as JSON Schema.
pub mod schema;

/// SQL that a value holds or names.
pub mod sql;

/// The largest file that is read.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;
/// The most values one file may have, aliases written out.
const MAX_NODES: usize = 400_000;
/// The deepest nesting of lists and mappings.
const MAX_DEPTH: usize = 48;

/// A value and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it stands; a mapping's place is that of its first key.
    pub span: Span,
}

/// A value of YAML's core schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number, as written, so that no digit is lost.
    Number(String),
    /// Text, unquoted.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping.
    Map(Mapping),
}

/// The entries of a mapping, in the order written, repeated keys included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// The entries.
    pub entries: Vec<Entry>,
}

/// One key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Spanned<String>,
    /// The value.
    pub value: Node,
}

impl Mapping {
    /// The first value under a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The first entry with a key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key.value == key)
    }
}

impl Node {
    /// The text of a scalar as the author means it: quotes gone, numbers and booleans as written. None for null,
    /// lists and mappings.
    pub fn scalar(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) | Value::Number(text) => Some(text),
            Value::Boolean(true) => Some("true"),
            Value::Boolean(false) => Some("false"),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The text, where it is text.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value, where it is one.
    pub fn boolean(&self) -> Option<bool> {
        match self.value {
            Value::Boolean(value) => Some(value),
            _ => None,
        }
    }

    /// The number, where it is one that a float holds.
    pub fn number(&self) -> Option<f64> {
        match &self.value {
            Value::Number(text) => parse_number(text),
            _ => None,
        }
    }

    /// The whole number, where it is one.
    pub fn integer(&self) -> Option<i64> {
        match &self.value {
            Value::Number(text) => parse_integer(text),
            _ => None,
        }
    }

    /// The items of a list, a scalar or mapping counting as a list of one, null as none.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            Value::Null => &[],
            _ => std::slice::from_ref(self),
        }
    }

    /// The mapping, where it is one.
    pub fn map(&self) -> Option<&Mapping> {
        match &self.value {
            Value::Map(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// The entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        self.map().map_or(&[], |mapping| &mapping.entries)
    }

    /// The value under a key, where it is a mapping that has it and the value is not null.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.map()?.get(key).filter(|node| node.value != Value::Null)
    }

    /// The value on one line, as flow YAML: equal values give equal texts.
    pub fn flow(&self) -> String {
        match &self.value {
            Value::Null => "null".to_owned(),
            Value::Text(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
            Value::Boolean(_) | Value::Number(_) => self.scalar().unwrap_or_default().to_owned(),
            Value::List(items) => format!("[{}]", items.iter().map(Self::flow).collect::<Vec<_>>().join(", ")),
            Value::Map(mapping) => {
                let entry = |entry: &Entry| format!("{}: {}", entry.key.value, entry.value.flow());
                format!("{{{}}}", mapping.entries.iter().map(entry).collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// What it is, for messages: `a list`, `text`.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Boolean(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

fn parse_integer(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    match unsigned.get(..2) {
        Some("0x") => i64::from_str_radix(&unsigned[2..], 16).ok(),
        Some("0o") => i64::from_str_radix(&unsigned[2..], 8).ok(),
        _ => unsigned.parse().ok(),
    }
}

fn parse_number(text: &str) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a float was asked for")]
    match parse_integer(text) {
        Some(value) => Some(value as f64),
        None => text.parse().ok().filter(|value: &f64| value.is_finite()),
    }
}

/// Reads one document. An empty file is a null at its start.
pub fn parse(file: &SourceFile) -> Result<Node, Vec<Diagnostic>> {
    if file.text().len() > MAX_BYTES {
        return Err(vec![too_large(file.path(), file.text().len() as u64, MAX_BYTES)]);
    }
    let mut reader = Reader { file, anchors: HashMap::new(), nodes: 0 };
    let mut parser = Parser::new_from_str(file.text());
    reader.document(&mut parser).map_err(|diagnostic| vec![*diagnostic])
}

/// The refusal of a file over a limit.
pub fn too_large(path: &std::path::Path, bytes: u64, limit: usize) -> Diagnostic {
    let (size, limit) = (bytes / (1024 * 1024), limit / (1024 * 1024));
    let message = format!("`{}` has {size} MB, and a file of this kind may have at most {limit} MB", path.display());
    Diagnostic::error("file-too-large", message)
}

type Events<'a> = Parser<'a, serde_saphyr::granit_parser::StrInput<'a>>;
type Read<T> = Result<T, Box<Diagnostic>>;

struct Reader<'a> {
    file: &'a SourceFile,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn document(&mut self, parser: &mut Events<'a>) -> Read<Node> {
        let mut root = None;
        while let Some((event, span)) = self.next(parser)? {
            match event {
                Event::StreamStart | Event::DocumentEnd | Event::StreamEnd => {}
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(Box::new(
                        Diagnostic::error(
                            "several-documents",
                            "a file holds one YAML document, and here starts a second",
                        )
                        .at(self.span(span))
                        .hint("move what follows `---` into a file of its own"),
                    ));
                }
                Event::DocumentStart(..) => {}
                other => root = Some(self.node(parser, other, span, 0)?.0),
            }
        }
        Ok(root.unwrap_or_else(|| Node { value: Value::Null, span: self.file.span(0..0) }))
    }

    /// The next event that is not a comment.
    fn next(&self, parser: &mut Events<'a>) -> Read<Option<(Event<'a>, RawSpan)>> {
        loop {
            match parser.next() {
                None => return Ok(None),
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(event)) => return Ok(Some(event)),
                Some(Err(error)) => return Err(Box::new(self.syntax(&error))),
            }
        }
    }

    /// The node that starts with an event, and how many nodes it has in all.
    fn node(&mut self, parser: &mut Events<'a>, event: Event<'a>, span: RawSpan, depth: usize) -> Read<(Node, usize)> {
        let before = self.nodes;
        self.count(1, span)?;
        if depth > MAX_DEPTH {
            let message = format!("lists and mappings are nested more than {MAX_DEPTH} deep");
            return Err(Box::new(Diagnostic::error("yaml-too-deep", message).at(self.span(span))));
        }
        let (node, anchor) = match event {
            Event::Alias(anchor) => return self.alias(anchor, span),
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(text.into_owned(), style, tag.as_deref(), span)?;
                (Node { value, span: self.span(span) }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.list(parser, span, depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.mapping(parser, span, depth)?, anchor),
            other => {
                let message = format!("this YAML cannot be read: {other:?}");
                return Err(Box::new(Diagnostic::error("yaml-syntax", message).at(self.span(span))));
            }
        };
        let size = self.nodes - before;
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        Ok((node, size))
    }

    fn alias(&mut self, anchor: usize, span: RawSpan) -> Read<(Node, usize)> {
        let Some((node, size)) = self.anchors.get(&anchor) else {
            let message = "this alias is inside the value it stands for";
            return Err(Box::new(Diagnostic::error("yaml-alias", message).at(self.span(span))));
        };
        let (node, size) = (node.clone(), *size);
        self.count(size, span)?;
        Ok((node, size))
    }

    fn count(&mut self, nodes: usize, span: RawSpan) -> Read<()> {
        self.nodes += nodes;
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        let message = format!("this file has more than {MAX_NODES} values once its aliases are written out");
        Err(Box::new(Diagnostic::error("yaml-too-many-values", message).at(self.span(span))))
    }

    fn list(&mut self, parser: &mut Events<'a>, start: RawSpan, depth: usize) -> Read<Node> {
        let mut items = Vec::new();
        while let Some((event, span)) = self.next(parser)? {
            if matches!(event, Event::SequenceEnd) {
                break;
            }
            items.push(self.node(parser, event, span, depth + 1)?.0);
        }
        let span = self.cover(start, items.first().map(|n| &n.span), items.last().map(|n| &n.span));
        Ok(Node { value: Value::List(items), span })
    }

    fn mapping(&mut self, parser: &mut Events<'a>, start: RawSpan, depth: usize) -> Read<Node> {
        let mut mapping = Mapping::default();
        let mut merged = Vec::new();
        while let Some((event, span)) = self.next(parser)? {
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let plain = matches!(&event, Event::Scalar(_, ScalarStyle::Plain, ..));
            let key = self.node(parser, event, span, depth + 1)?.0;
            let Some((event, span)) = self.next(parser)? else { break };
            let value = self.node(parser, event, span, depth + 1)?.0;
            let text = match key.value {
                Value::List(_) | Value::Map(_) => {
                    let message = format!("a key is a word, and this is {}", key.kind());
                    let hint = "in YAML `{` starts a mapping: put a value that begins with `{{` in quotes";
                    return Err(Box::new(Diagnostic::error("yaml-key", message).at(key.span).hint(hint)));
                }
                // `null` may be the name of a key.
                Value::Null => key.span.text().to_owned(),
                _ => key.scalar().unwrap_or_default().to_owned(),
            };
            if plain && text == "<<" {
                merged.push(value);
            } else {
                mapping.entries.push(Entry { key: Spanned::new(text, key.span), value });
            }
        }
        for value in merged {
            self.merge(&mut mapping, value)?;
        }
        let first = mapping.entries.first().map(|e| &e.key.span);
        let span = self.cover(start, first, first);
        Ok(Node { value: Value::Map(mapping), span })
    }

    /// `<<: *defaults`: the keys of the other mapping that are not here already.
    fn merge(&self, mapping: &mut Mapping, value: Node) -> Read<()> {
        match value.value {
            Value::Map(other) => {
                let missing = other.entries.into_iter().filter(|e| mapping.get(&e.key.value).is_none());
                let missing = missing.collect::<Vec<_>>();
                mapping.entries.extend(missing);
                Ok(())
            }
            Value::List(items) => items.into_iter().try_for_each(|item| self.merge(mapping, item)),
            _ => {
                let message = format!("`<<` takes a mapping to merge, and this is {}", value.kind());
                Err(Box::new(Diagnostic::error("yaml-merge", message).at(value.span)))
            }
        }
    }

    fn scalar(&self, text: String, style: ScalarStyle, tag: Option<&Tag>, span: RawSpan) -> Read<Value> {
        let tag = tag.map(|tag| tag.parts().1);
        match tag {
            Some("str" | "") => return Ok(Value::Text(text)),
            Some("null" | "bool" | "int" | "float") | None => {}
            Some(other) => {
                let message = format!("the tag `!{other}` is not known here");
                return Err(Box::new(Diagnostic::error("yaml-tag", message).at(self.span(span))));
            }
        }
        if style != ScalarStyle::Plain && tag.is_none() {
            return Ok(Value::Text(text));
        }
        Ok(match text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Value::Null,
            "true" | "True" | "TRUE" => Value::Boolean(true),
            "false" | "False" | "FALSE" => Value::Boolean(false),
            number if is_number(number) => Value::Number(text),
            _ => Value::Text(text),
        })
    }

    fn cover(&self, start: RawSpan, first: Option<&Span>, last: Option<&Span>) -> Span {
        match (first, last) {
            (Some(first), Some(last)) if first.start <= last.end && first.file == *self.file => {
                self.file.span(first.start..last.end)
            }
            _ => self.span(start),
        }
    }

    fn span(&self, span: RawSpan) -> Span {
        let whole = self.file.text();
        let start = span.start.byte_offset().unwrap_or_default().min(whole.len());
        let end = span.end.byte_offset().unwrap_or_default().clamp(start, whole.len());
        self.file.span(start..start + whole[start..end].trim_end().len())
    }

    fn syntax(&self, error: &ScanError) -> Diagnostic {
        let start = error.marker().byte_offset().unwrap_or_default();
        let message = format!("this is not valid YAML: {}", error.info());
        let diagnostic = Diagnostic::error("yaml-syntax", message).at(self.file.span(start..start + 1));
        let line_start = self.file.text()[..start.min(self.file.text().len())].rfind('\n').map_or(0, |at| at + 1);
        let indentation = self.file.text()[line_start..].chars().take_while(|c| c.is_whitespace() && *c != '\n');
        if indentation.into_iter().any(|c| c == '\t') {
            return diagnostic.hint("YAML is indented with spaces, never with tabs");
        }
        diagnostic
    }
}

/// Whether a plain scalar is a number by YAML's core schema.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let radix = |prefix, test: fn(&char) -> bool| {
        text.strip_prefix(prefix).is_some_and(|rest: &str| !rest.is_empty() && rest.chars().all(|c| test(&c)))
    };
    if radix("0x", char::is_ascii_hexdigit) || radix("0o", |c| ('0'..='7').contains(c)) {
        return true;
    }
    let starts =
        digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') && digits.contains(|c: char| c.is_ascii_digit());
    starts
        && digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'))
        && text.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests;
