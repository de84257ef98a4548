//! Expectations written anew from what came out. Only the rows that differ change: comments, the other rows and the rest of
//! the file stay as their author wrote them.

use std::path::PathBuf;

use super::Matching;
use super::compare::{Pair, Texts, pairs};
use super::run::{Failure, Outcome, RowsFailure};
use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::dialect::types::SqlType;
use crate::name::Name;
use crate::text::{SourceFile, Span};
use crate::yaml::{self, Value};

/// A file as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewText {
    /// Its path from the project's folder.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// How many expectations were written anew.
    pub changed: usize,
}

/// The files with the rows that came out in the place of those expected; what cannot be written anew is told.
pub fn updated(outcomes: &[Outcome<'_>]) -> (Vec<NewText>, Vec<Diagnostic>) {
    let mut edits: Vec<Edit> = Vec::new();
    let mut problems = Vec::new();
    for failure in outcomes.iter().flat_map(|outcome| &outcome.failures) {
        let Failure::Rows(failure) = failure else { continue };
        match edit(failure) {
            Ok(edit) => edits.push(edit),
            Err(problem) => problems.push(problem),
        }
    }
    let mut files: Vec<(SourceFile, Vec<Edit>)> = Vec::new();
    for edit in edits {
        match files.iter_mut().find(|(file, _)| file.path() == edit.place.file.path()) {
            Some((_, edits)) => edits.push(edit),
            None => files.push((edit.place.file.clone(), vec![edit])),
        }
    }
    let mut texts = Vec::new();
    for (file, mut edits) in files {
        edits.sort_by_key(|edit| std::cmp::Reverse(edit.place.start));
        let overlap =
            edits.windows(2).find(|pair| pair[1].place.end > pair[0].place.start && pair[0].text != pair[1].text);
        if let Some(pair) = overlap {
            let message = "several tests expect these rows, and different ones came out".to_owned();
            problems.push(Diagnostic::error("shared-rows", message).at(pair[0].place.clone()));
            continue;
        }
        let changed = edits.len();
        edits.dedup_by(|a, b| a.place == b.place);
        let mut text = file.text().to_owned();
        for edit in edits {
            text.replace_range(edit.place.start..edit.place.end, &edit.text);
        }
        texts.push(NewText { path: file.path().to_path_buf(), text, changed });
    }
    (texts, problems)
}

struct Edit {
    place: Span,
    text: String,
}

/// A row of the new list: one that stands there already, one that came out in the place of such a one, or a further one.
enum Line<'a> {
    Keep(usize),
    Changed(usize, &'a Texts),
    New(&'a Texts),
}

impl<'a> Line<'a> {
    /// The row that came out, where it is to be written.
    fn came(&self) -> Option<&'a Texts> {
        match self {
            Self::Keep(_) => None,
            Self::Changed(_, texts) | Self::New(texts) => Some(texts),
        }
    }
}

fn lines<'a>(failure: &'a RowsFailure<'_>) -> Vec<Line<'a>> {
    let matching = failure.expectation.how.matching;
    let pairs = pairs(&failure.expected, &failure.actual, matching, &failure.tolerances);
    if matching == Matching::Ordered {
        let place = |wanted: Pair| pairs.expected.iter().position(|pair| *pair == wanted);
        let line = |(at, row)| match (place(Pair::Same(at)), place(Pair::Changed(at))) {
            (Some(kept), _) => Line::Keep(kept),
            (None, Some(changed)) => Line::Changed(changed, row),
            (None, None) => Line::New(row),
        };
        return failure.actual.iter().enumerate().map(line).collect();
    }
    let mut lines = Vec::new();
    for (at, pair) in pairs.expected.iter().enumerate() {
        match pair {
            Pair::Same(_) => lines.push(Line::Keep(at)),
            Pair::Changed(actual) => lines.push(Line::Changed(at, &failure.actual[*actual])),
            Pair::Missing => {}
        }
    }
    if matching == Matching::Unordered {
        lines.extend(pairs.unexpected.iter().map(|at| Line::New(&failure.actual[*at])));
    }
    lines
}

fn edit(failure: &RowsFailure<'_>) -> Result<Edit, Diagnostic> {
    let Some(rows) = &failure.expectation.rows else { return Err(by_hand(&failure.expectation.step.span)) };
    let written = rows.columns();
    let names: Vec<String> = failure.columns.iter().map(|column| column_key(&column.name)).collect();
    let names: Vec<String> = names
        .into_iter()
        .zip(&failure.columns)
        .map(|(name, column)| {
            let spelt = written.iter().find(|written| written.value == column.name);
            spelt.map_or(name, |spelt| spelt.span.text().to_owned())
        })
        .collect();
    let lines = lines(failure);
    if let Some(file) = &rows.csv {
        return Ok(csv(file, failure, &names, &lines));
    }
    let found = List::find(&rows.key, rows.rows.len()).ok_or_else(|| by_hand(&rows.key))?;
    let row = |texts: &Texts| -> Vec<String> {
        let cells = names.iter().zip(texts).zip(&failure.columns);
        cells.map(|((name, text), column)| format!("{name}: {}", scalar(text.as_deref(), column))).collect()
    };
    Ok(found.edit(&lines, &row))
}

fn by_hand(span: &Span) -> Diagnostic {
    let message = "these rows cannot be written anew here";
    Diagnostic::error("no-update", message).at(span.clone()).hint("change them by hand")
}

/// A list of rows in a file.
struct List {
    place: Span,
    /// The indent of its items, where each has its own lines; none in `[…]`.
    indent: Option<usize>,
    /// The text of each item with its line ends.
    items: Vec<String>,
    /// Whether a row is written as `{…}`.
    braces: bool,
    /// How deep the key stands where it is alone in its line; none inside `{…}`.
    key_indent: Option<usize>,
}

impl List {
    /// The list under a key; none where it is an alias or otherwise not written there.
    fn find(key: &Span, count: usize) -> Option<Self> {
        let text = key.file.text();
        let line = text[..key.start].rfind('\n').map_or(0, |at| at + 1);
        let before = &text[line..key.start];
        let key_indent = before.chars().all(|c| c == ' ').then_some(before.len());
        let mut at = key.end + text[key.end..].find(':')? + 1;
        loop {
            let rest = &text[at..];
            at += rest.len() - rest.trim_start().len();
            if !text[at..].starts_with('#') {
                break;
            }
            at += text[at..].find('\n')?;
        }
        match text.as_bytes().get(at)? {
            b'[' => {
                let end = at + bracketed(&text[at..])?;
                let place = key.file.span(at..end);
                Some(Self { place, indent: None, items: Vec::new(), braces: true, key_indent })
            }
            b'-' => Self::block(&key.file, at, key_indent, count),
            _ => None,
        }
    }

    /// A list with an item per line or more, from its first dash on.
    fn block(file: &SourceFile, first: usize, key_indent: Option<usize>, count: usize) -> Option<Self> {
        let text = file.text();
        let start = text[..first].rfind('\n').map_or(0, |at| at + 1);
        let indent = first - start;
        if !text[start..first].chars().all(|c| c == ' ') {
            return None;
        }
        let mut items: Vec<String> = Vec::new();
        let (mut end, mut at, mut waiting) = (start, start, String::new());
        for line in text[start..].split_inclusive('\n') {
            let content = line.trim_start_matches(' ');
            let depth = line.len() - content.len();
            let dash = depth == indent && (content.starts_with("- ") || content.trim_end() == "-");
            if content.trim().is_empty() || (content.starts_with('#') && depth <= indent) {
                waiting.push_str(line);
            } else if dash {
                items.push(std::mem::take(&mut waiting) + line);
                end = at + line.len();
            } else if depth > indent {
                items.last_mut()?.push_str(&(std::mem::take(&mut waiting) + line));
                end = at + line.len();
            } else {
                break;
            }
            at += line.len();
        }
        if items.len() != count {
            return None;
        }
        let braces = text[first..].trim_start_matches('-').trim_start_matches(' ').starts_with('{');
        Some(Self { place: file.span(start..end), indent: Some(indent), items, braces, key_indent })
    }

    fn edit(&self, lines: &[Line<'_>], row: &dyn Fn(&Texts) -> Vec<String>) -> Edit {
        let place = self.place.clone();
        let (Some(indent), false) = (self.indent, lines.is_empty()) else {
            return self.rewritten(lines, row);
        };
        let mut text = String::new();
        for line in lines {
            match line {
                Line::Keep(at) => text.push_str(&closed(&self.items[*at])),
                Line::Changed(at, texts) => text.push_str(&changed(&self.items[*at], &row(texts), indent)),
                Line::New(texts) => text.push_str(&item(&row(texts), indent, self.braces)),
            }
        }
        Edit { place, text }
    }

    /// A list that was `[…]`, or that becomes empty.
    fn rewritten(&self, lines: &[Line<'_>], row: &dyn Fn(&Texts) -> Vec<String>) -> Edit {
        let kept = lines.iter().any(|line| matches!(line, Line::Keep(_)));
        let rows: Vec<Vec<String>> = lines.iter().filter_map(Line::came).map(row).collect();
        let place = self.place.clone();
        if let Some(indent) = self.indent {
            return Edit { place, text: format!("{:indent$}[]\n", "") };
        }
        let inside = place.text().trim_start_matches('[').trim_end_matches(']').trim().trim_end_matches(',').to_owned();
        match self.key_indent.filter(|_| !kept && !rows.is_empty()) {
            Some(key_indent) => {
                let items: String = rows.iter().map(|row| item(row, key_indent + 2, true)).collect();
                let start = place.file.text()[..place.start].trim_end_matches(' ').len();
                let place = place.file.span(start..place.end);
                Edit { place, text: format!("\n{}", items.trim_end_matches('\n')) }
            }
            None => {
                let mut parts: Vec<String> = if kept { kept_parts(&inside, lines) } else { Vec::new() };
                parts.extend(rows.iter().map(|row| format!("{{{}}}", row.join(", "))));
                Edit { place, text: format!("[{}]", parts.join(", ")) }
            }
        }
    }
}

/// The items of `[…]` that stay, as written.
fn kept_parts(inside: &str, lines: &[Line<'_>]) -> Vec<String> {
    let mut items = Vec::new();
    let mut rest = inside;
    while let Some(at) = rest.find('{') {
        let Some(length) = bracketed(&rest[at..]) else { break };
        items.push(rest[at..at + length].to_owned());
        rest = &rest[at + length..];
    }
    lines.iter().filter_map(|line| if let Line::Keep(at) = line { items.get(*at).cloned() } else { None }).collect()
}

fn closed(item: &str) -> String {
    if item.ends_with('\n') { item.to_owned() } else { format!("{item}\n") }
}

fn item(cells: &[String], indent: usize, braces: bool) -> String {
    if braces || cells.is_empty() {
        return format!("{:indent$}- {{{}}}\n", "", cells.join(", "));
    }
    let rest = cells[1..].iter().map(|cell| format!("{:indent$}  {cell}\n", ""));
    format!("{:indent$}- {}\n{}", "", cells[0], rest.collect::<String>())
}

/// A row in the place of another, with the comments that stood before it and behind its values.
fn changed(old: &str, cells: &[String], indent: usize) -> String {
    let dash = |line: &&str| line.trim_start().starts_with('-');
    let lead: String = old.split_inclusive('\n').take_while(|line| !dash(line)).collect();
    let body = &old[lead.len()..];
    let braces = body.trim_start_matches([' ', '-']).starts_with('{');
    if braces || cells.is_empty() {
        let comment = comment(body.trim_end().lines().last().unwrap_or_default());
        return format!("{lead}{}{comment}\n", item(cells, indent, braces).trim_end_matches('\n'));
    }
    let behind = |cell: &str| {
        let key = cell.split(':').next().unwrap_or_default();
        let names = |line: &&str| line.trim_start_matches([' ', '-']).split(':').next() == Some(key);
        body.lines().find(names).map_or("", comment)
    };
    let new = item(cells, indent, braces);
    let lines = new.lines().zip(cells).map(|(line, cell)| format!("{line}{}\n", behind(cell)));
    lead + &lines.collect::<String>()
}

/// The comment at the end of a line, with the blanks before it.
fn comment(line: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '#' && before.is_whitespace() => return &line[line[..at].trim_end().len()..],
            None if matches!(c, '\'' | '"') && !before.is_alphanumeric() => quote = Some(c),
            None => {}
        }
        before = c;
    }
    ""
}

/// The length of a text in brackets, the closing one included.
fn bracketed(text: &str) -> Option<usize> {
    let (mut depth, mut at, bytes) = (0_usize, 0, text.as_bytes());
    while at < bytes.len() {
        match bytes[at] {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b'#' if at > 0 && bytes[at - 1].is_ascii_whitespace() => {
                at += text[at..].find('\n')?;
            }
            quote @ (b'"' | b'\'') if at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] >= 0x80) => {
                at += 1;
                while *bytes.get(at)? != quote {
                    at += if quote == b'"' && bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// A column as a key of YAML.
pub(super) fn column_key(name: &Name) -> String {
    let sql = name.sql();
    if sql.starts_with('"') { format!("'{}'", sql.replace('\'', "''")) } else { sql.to_lowercase() }
}

/// A value as YAML that reads back as the same text.
pub(super) fn scalar(text: Option<&str>, column: &Column) -> String {
    let Some(text) = text else { return "null".to_owned() };
    if column.sql_type.is_semi_structured() || matches!(column.sql_type, SqlType::Vector(..)) {
        return text.to_owned();
    }
    let is_text = matches!(column.sql_type, SqlType::Varchar(_));
    let read = yaml::parse(&SourceFile::new("row", format!("[{{k: {text}}}]")));
    let read = read.ok().and_then(|node| node.items().first()?.get("k").cloned());
    let plain = read.is_some_and(|node| {
        node.scalar() == Some(text)
            && (!is_text || matches!(node.value, Value::Text(_)))
            && !text.chars().any(char::is_control)
    });
    match plain && !text.starts_with(['\'', '"', '*', '&', '!']) {
        true => text.to_owned(),
        false if text.chars().any(char::is_control) => serde_json::Value::from(text).to_string(),
        false => format!("'{}'", text.replace('\'', "''")),
    }
}

fn csv(file: &SourceFile, failure: &RowsFailure<'_>, names: &[String], lines: &[Line<'_>]) -> Edit {
    let mut text = names.join(",");
    text.push('\n');
    for line in lines {
        let row = match line {
            Line::Keep(at) => &failure.expected[*at],
            Line::Changed(_, texts) | Line::New(texts) => *texts,
        };
        let cells: Vec<String> = row.iter().map(|cell| cell.as_deref().map(csv_field).unwrap_or_default()).collect();
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    Edit { place: file.span(0..file.text().len()), text }
}

fn csv_field(text: &str) -> String {
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
