//! Regular expressions: POSIX extended syntax with Perl's classes, as Snowflake has them. Matching takes time linear in
//! the text whatever the pattern; what only a backtracking engine can do is refused, as Snowflake refuses it.

use std::collections::HashMap;
use std::rc::Rc;

use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};
use datafusion::common::Result;
use regex::{Captures, Regex};

use super::Function;
use super::scalar::{
    Call, Column, booleans, exact, gives_array, gives_boolean, gives_integer, gives_text, integers, json_column,
    slices, texts,
};
use crate::dialect::variant::write;

/// Snowflake's syntax in the words of the `regex` crate.
mod syntax;

use syntax::Flags;

const FAMILY: &str = "regular expressions";

/// The functions of this family.
pub(super) fn functions() -> Vec<Function> {
    vec![
        exact(FAMILY, &["regexp_like", "rlike", "regexp"], 2..=3, gives_boolean, like),
        exact(FAMILY, &["regexp_count"], 2..=4, gives_integer, count),
        exact(FAMILY, &["regexp_instr"], 2..=7, gives_integer, instr),
        exact(FAMILY, &["regexp_replace"], 2..=6, gives_text, replace),
        exact(FAMILY, &["regexp_substr"], 2..=6, gives_text, substr),
        exact(FAMILY, &["regexp_substr_all", "regexp_extract_all"], 2..=6, gives_array, substr_all),
    ]
}

/// A pattern with its parameters, compiled.
struct Compiled {
    regex: Regex,
    flags: Flags,
}

impl Compiled {
    /// The group that is extracted: as given, or the first under the parameter `e`, or the whole match.
    fn group(&self, given: Option<usize>) -> usize {
        match given {
            Some(group) => group,
            None if self.flags.extract && self.regex.captures_len() > 1 => 1,
            None => 0,
        }
    }
}

/// The patterns of a call, each compiled once a batch.
struct Patterns<'a> {
    call: &'a Call<'a>,
    pattern: Column<StringArray>,
    parameters: Option<Column<StringArray>>,
    whole: bool,
    known: HashMap<(String, String), Rc<Compiled>>,
    last: Option<(String, String, Rc<Compiled>)>,
}

impl<'a> Patterns<'a> {
    fn new(call: &'a Call<'a>, parameters: usize, whole: bool) -> Result<Self> {
        let parameters = if call.len() > parameters { Some(call.texts(parameters)?) } else { None };
        Ok(Self { call, pattern: call.texts(1)?, parameters, whole, known: HashMap::new(), last: None })
    }

    fn get(&mut self, row: usize) -> Result<Option<Rc<Compiled>>> {
        let Some(pattern) = self.pattern.get(row) else { return Ok(None) };
        let parameters = match &self.parameters {
            Some(parameters) => match parameters.get(row) {
                Some(parameters) => parameters,
                None => return Ok(None),
            },
            None => "",
        };
        if let Some((last, with, compiled)) = &self.last
            && last == pattern
            && with == parameters
        {
            return Ok(Some(Rc::clone(compiled)));
        }
        let key = (pattern.to_owned(), parameters.to_owned());
        let compiled = match self.known.get(&key) {
            Some(compiled) => Rc::clone(compiled),
            None => {
                let compiled = Flags::parse(parameters)
                    .and_then(|flags| Ok((syntax::compile(pattern, &flags, self.whole)?, flags)));
                let (regex, flags) =
                    compiled.or_else(|message| self.call.fail(format!("pattern '{pattern}': {message}")))?;
                let compiled = Rc::new(Compiled { regex, flags });
                self.known.insert(key.clone(), Rc::clone(&compiled));
                compiled
            }
        };
        self.last = Some((key.0, key.1, Rc::clone(&compiled)));
        Ok(Some(compiled))
    }
}

/// An optional argument that is a number with a least value.
struct Number<'a> {
    call: &'a Call<'a>,
    name: &'static str,
    column: Option<Column<Int64Array>>,
    default: i64,
    least: i64,
}

impl<'a> Number<'a> {
    fn new(call: &'a Call<'a>, index: usize, name: &'static str, default: i64, least: i64) -> Result<Self> {
        let column = if call.len() > index { Some(call.integers(index)?) } else { None };
        Ok(Self { call, name, column, default, least })
    }

    fn get(&self, row: usize) -> Result<Option<usize>> {
        let number = self.column.as_ref().map_or(Some(self.default), |column| column.get(row));
        match number {
            None => Ok(None),
            Some(number) if number < self.least => {
                self.call.fail(format!("{} {number} is less than {}", self.name, self.least))
            }
            Some(number) => Ok(Some(usize::try_from(number).unwrap_or(usize::MAX))),
        }
    }
}

/// Where a character position from 1 is in bytes; none behind the end.
fn byte_of(text: &str, position: usize) -> Option<usize> {
    if text.is_ascii() {
        return Some(position - 1).filter(|byte| *byte <= text.len());
    }
    text.char_indices().map(|(byte, _)| byte).chain([text.len()]).nth(position - 1)
}

/// Where a group is in the text; a number beyond the groups is an error.
fn span(call: &Call<'_>, compiled: &Compiled, captures: &Captures<'_>, group: usize) -> Result<Option<(usize, usize)>> {
    if group >= compiled.regex.captures_len() {
        return call.fail(format!("the pattern has no group {group}"));
    }
    Ok(captures.get(group).map(|found| (found.start(), found.end())))
}

/// The matches from a byte on, with their groups.
fn captures_at<'t>(regex: &'t Regex, text: &'t str, from: usize) -> impl Iterator<Item = Captures<'t>> {
    let mut at = from;
    let mut last_end = None;
    std::iter::from_fn(move || {
        loop {
            if at > text.len() {
                return None;
            }
            let captures = regex.captures_at(text, at)?;
            let (start, end) = captures.get(0).map(|found| (found.start(), found.end()))?;
            at = if start == end { end + text[end..].chars().next().map_or(1, char::len_utf8) } else { end };
            // An empty match right behind the last one is part of it.
            if start == end && last_end == Some(end) {
                continue;
            }
            last_end = Some(end);
            return Some(captures);
        }
    })
}

fn like(call: &Call<'_>) -> Result<ArrayRef> {
    let subject = call.texts(0)?;
    let mut patterns = Patterns::new(call, 2, true)?;
    booleans(call.rows, |row| {
        let (Some(subject), Some(compiled)) = (subject.get(row), patterns.get(row)?) else { return Ok(None) };
        Ok(Some(compiled.regex.is_match(subject)))
    })
}

fn count(call: &Call<'_>) -> Result<ArrayRef> {
    let subject = call.texts(0)?;
    let mut patterns = Patterns::new(call, 3, false)?;
    let position = Number::new(call, 2, "position", 1, 1)?;
    integers(call.rows, |row| {
        let (Some(subject), Some(compiled), Some(position)) =
            (subject.get(row), patterns.get(row)?, position.get(row)?)
        else {
            return Ok(None);
        };
        let Some(from) = byte_of(subject, position) else { return Ok(Some(0)) };
        Ok(Some(captures_at(&compiled.regex, subject, from).count() as i64))
    })
}

fn instr(call: &Call<'_>) -> Result<ArrayRef> {
    let subject = call.texts(0)?;
    let mut patterns = Patterns::new(call, 5, false)?;
    let position = Number::new(call, 2, "position", 1, 1)?;
    let occurrence = Number::new(call, 3, "occurrence", 1, 1)?;
    let option = Number::new(call, 4, "option", 0, 0)?;
    let group = if call.len() > 6 { Some(Number::new(call, 6, "group", 0, 0)?) } else { None };
    integers(call.rows, |row| {
        let (Some(subject), Some(compiled)) = (subject.get(row), patterns.get(row)?) else { return Ok(None) };
        let (Some(position), Some(occurrence), Some(option)) =
            (position.get(row)?, occurrence.get(row)?, option.get(row)?)
        else {
            return Ok(None);
        };
        if option > 1 {
            return call.fail(format!("option {option} is neither 0 nor 1"));
        }
        let given = group.as_ref().map(|group| group.get(row)).transpose()?;
        if given == Some(None) {
            return Ok(None);
        }
        let Some(from) = byte_of(subject, position) else { return Ok(Some(0)) };
        let Some(captures) = captures_at(&compiled.regex, subject, from).nth(occurrence - 1) else {
            return Ok(Some(0));
        };
        let found = span(call, &compiled, &captures, compiled.group(given.flatten()))?;
        let byte = found.map(|(start, end)| if option == 1 { end } else { start });
        Ok(Some(byte.map_or(0, |byte| subject[..byte].chars().count() as i64 + 1)))
    })
}

/// The arguments that REGEXP_SUBSTR and REGEXP_SUBSTR_ALL share.
struct Extraction<'a> {
    call: &'a Call<'a>,
    subject: Column<StringArray>,
    patterns: Patterns<'a>,
    position: Number<'a>,
    occurrence: Number<'a>,
    group: Option<Number<'a>>,
}

/// One row of them: the pattern, the byte to search from (none behind the end), the occurrence, the group.
struct Request {
    compiled: Rc<Compiled>,
    from: Option<usize>,
    occurrence: usize,
    group: usize,
}

impl<'a> Extraction<'a> {
    fn new(call: &'a Call<'a>) -> Result<Self> {
        Ok(Self {
            call,
            subject: call.texts(0)?,
            patterns: Patterns::new(call, 4, false)?,
            position: Number::new(call, 2, "position", 1, 1)?,
            occurrence: Number::new(call, 3, "occurrence", 1, 1)?,
            group: if call.len() > 5 { Some(Number::new(call, 5, "group", 0, 0)?) } else { None },
        })
    }

    fn get(&mut self, row: usize) -> Result<Option<Request>> {
        let (Some(subject), Some(compiled)) = (self.subject.get(row), self.patterns.get(row)?) else {
            return Ok(None);
        };
        let (Some(position), Some(occurrence)) = (self.position.get(row)?, self.occurrence.get(row)?) else {
            return Ok(None);
        };
        let given = self.group.as_ref().map(|group| group.get(row)).transpose()?;
        if given == Some(None) {
            return Ok(None);
        }
        let group = compiled.group(given.flatten());
        if group >= compiled.regex.captures_len() {
            return self.call.fail(format!("the pattern has no group {group}"));
        }
        Ok(Some(Request { from: byte_of(subject, position), occurrence, group, compiled }))
    }
}

fn substr(call: &Call<'_>) -> Result<ArrayRef> {
    let subject = call.texts(0)?;
    let mut extraction = Extraction::new(call)?;
    slices(call.rows, |row| {
        let (Some(request), Some(subject)) = (extraction.get(row)?, subject.get(row)) else { return Ok(None) };
        let Some(from) = request.from else { return Ok(None) };
        let found = captures_at(&request.compiled.regex, subject, from).nth(request.occurrence - 1);
        let span = found.and_then(|captures| captures.get(request.group).map(|found| found.range()));
        Ok(span.map(|span| &subject[span]))
    })
}

fn substr_all(call: &Call<'_>) -> Result<ArrayRef> {
    let subject = call.texts(0)?;
    let mut extraction = Extraction::new(call)?;
    let json = texts(call.rows, |row, out| {
        let (Some(request), Some(subject)) = (extraction.get(row)?, subject.get(row)) else { return Ok(false) };
        out.push('[');
        if let Some(from) = request.from {
            for captures in captures_at(&request.compiled.regex, subject, from).skip(request.occurrence - 1) {
                if out.len() > 1 {
                    out.push(',');
                }
                match captures.get(request.group) {
                    Some(found) => write::string(out, found.as_str()),
                    None => out.push_str("null"),
                }
            }
        }
        out.push(']');
        Ok(true)
    })?;
    json_column(call.returns, &json)
}

fn replace(call: &Call<'_>) -> Result<ArrayRef> {
    let subject = call.texts(0)?;
    let replacement = if call.len() > 2 { Some(call.texts(2)?) } else { None };
    let mut patterns = Patterns::new(call, 5, false)?;
    let position = Number::new(call, 3, "position", 1, 1)?;
    let occurrence = Number::new(call, 4, "occurrence", 0, 0)?;
    texts(call.rows, |row, out| {
        let replacement = replacement.as_ref().map_or(Some(""), |replacement| replacement.get(row));
        let (Some(subject), Some(compiled), Some(replacement)) = (subject.get(row), patterns.get(row)?, replacement)
        else {
            return Ok(false);
        };
        let (Some(position), Some(occurrence)) = (position.get(row)?, occurrence.get(row)?) else { return Ok(false) };
        let mut copied = 0;
        if let Some(from) = byte_of(subject, position) {
            for (index, captures) in captures_at(&compiled.regex, subject, from).enumerate() {
                if occurrence > 0 && index + 1 != occurrence {
                    continue;
                }
                let Some(found) = captures.get(0) else { break };
                out.push_str(&subject[copied..found.start()]);
                expand(call, &captures, replacement, out)?;
                copied = found.end();
                if occurrence > 0 {
                    break;
                }
            }
        }
        out.push_str(&subject[copied..]);
        Ok(true)
    })
}

/// Writes a replacement, in which a backslash (or two) and a digit stand for a group.
fn expand(call: &Call<'_>, captures: &Captures<'_>, replacement: &str, out: &mut String) -> Result<()> {
    let mut rest = replacement;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let digits = rest.strip_prefix('\\').unwrap_or(rest);
        match digits.bytes().next() {
            Some(digit @ b'0'..=b'9') => {
                let group = usize::from(digit - b'0');
                if group >= captures.len() {
                    return call.fail(format!("the replacement names group {group}, which the pattern does not have"));
                }
                out.push_str(captures.get(group).map_or("", |found| found.as_str()));
                rest = &digits[1..];
            }
            _ => {
                out.push('\\');
                rest = rest.strip_prefix('\\').unwrap_or(rest);
            }
        }
    }
    out.push_str(rest);
    Ok(())
}
