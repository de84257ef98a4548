//! Rows as an author writes them, in YAML or as CSV, every value with its place. Their types are not known here.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::diagnostic::Diagnostic;
use crate::name::Name;
use crate::project::read;
use crate::rule::read::column_name;
use crate::text::files::within;
use crate::text::{SourceFile, Span, Spanned};
use crate::yaml::{Node, Value};

/// Some rows.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Where they are written: the list, or the path of the file.
    pub span: Span,
    /// The key under which they stand.
    pub key: Span,
    /// The file, where they are in one.
    pub csv: Option<SourceFile>,
    /// The columns of the file, in its order; empty for rows of YAML.
    pub header: Vec<Spanned<Name>>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Clone, Debug)]
pub struct Row {
    /// Where it is written.
    pub span: Span,
    /// Its values, those that it names.
    pub cells: Vec<Cell>,
}

/// One value.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The column.
    pub column: Spanned<Name>,
    /// The value.
    pub value: Written,
    /// Where it is written.
    pub span: Span,
}

/// A value as written, before its type is known.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// NULL.
    Null,
    /// One value: its text, and what it is as JSON.
    Scalar(String, String),
    /// A list or a mapping, as JSON.
    Nested(String),
}

impl Row {
    /// The value of a column, where the row names it.
    pub fn get(&self, column: &Name) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.column.value == *column)
    }
}

impl Rows {
    /// No rows.
    pub fn none(key: &Span, span: Span) -> Self {
        Self { span, key: key.clone(), csv: None, header: Vec::new(), rows: Vec::new() }
    }

    /// The columns that any row names, in the order in which they first appear.
    pub fn columns(&self) -> Vec<Spanned<Name>> {
        let mut columns = self.header.clone();
        for cell in self.rows.iter().flat_map(|row| &row.cells) {
            if !columns.iter().any(|column| column.value == cell.column.value) {
                columns.push(cell.column.clone());
            }
        }
        columns
    }
}

/// Where rows can be: the project's folder, and the file that names them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) root: &'a Path,
    pub(super) file: &'a SourceFile,
}

/// The rows of a node that has been checked against the keys.
pub(super) fn read(key: &Span, node: &Node, place: Place<'_>, problems: &mut Vec<Diagnostic>) -> Rows {
    match &node.value {
        Value::Text(path) => csv(key, path.trim(), node, place, problems),
        Value::List(items) => {
            let rows = items.iter().map(|item| Row { span: item.span.clone(), cells: cells(item, problems) });
            Rows { rows: rows.collect(), ..Rows::none(key, node.span.clone()) }
        }
        _ => Rows::none(key, node.span.clone()),
    }
}

/// The values of a mapping from columns.
pub(super) fn cells(node: &Node, problems: &mut Vec<Diagnostic>) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::new();
    for entry in node.entries() {
        let Some(name) = column_name(&entry.key.value) else {
            let message = format!("`{}` is not a column name", entry.key.value);
            problems.push(Diagnostic::error("wrong-value", message).at(entry.key.span.clone()));
            continue;
        };
        if let Some(other) = cells.iter().find(|cell| cell.column.value == name) {
            if other.column.span.text() != entry.key.span.text() {
                let message = format!("column `{}` is written twice", name.lower());
                let diagnostic = Diagnostic::error("duplicate-key", message).at(entry.key.span.clone());
                problems.push(diagnostic.related(other.column.span.clone(), "first written here"));
            }
            continue;
        }
        let span = match entry.value.value {
            Value::Null => entry.key.span.clone(),
            _ => entry.value.span.clone(),
        };
        cells.push(Cell { column: Spanned::new(name, entry.key.span.clone()), value: written(&entry.value), span });
    }
    cells
}

fn written(node: &Node) -> Written {
    match &node.value {
        Value::Null => Written::Null,
        Value::List(_) | Value::Map(_) => Written::Nested(to_json(node).to_string()),
        _ => Written::Scalar(node.scalar().unwrap_or_default().to_owned(), to_json(node).to_string()),
    }
}

fn to_json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Boolean(value) => json!(value),
        Value::Number(text) => text.parse().map_or_else(|_| json!(text), serde_json::Value::Number),
        Value::Text(text) => json!(text),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(mapping) => {
            mapping.entries.iter().map(|entry| (entry.key.value.clone(), to_json(&entry.value))).collect()
        }
    }
}

/// The rows of a CSV file beside the file of tests, or below it.
fn csv(key: &Span, path: &str, node: &Node, place: Place<'_>, problems: &mut Vec<Diagnostic>) -> Rows {
    let none = Rows::none(key, node.span.clone());
    let folder = place.file.path().parent().map(|folder| folder.to_string_lossy().replace('\\', "/"));
    let Some(inside) = within("tests", folder.as_deref().unwrap_or_default(), path) else {
        let message = format!("`{path}` leads out of the folder `tests/`");
        problems.push(Diagnostic::error("path-outside-tests", message).at(node.span.clone()));
        return none;
    };
    match read::file(place.root, &PathBuf::from(inside)) {
        Ok(file) => {
            let (header, rows) = of_csv(&file, problems);
            Rows { csv: Some(file), header, rows, ..none }
        }
        Err(problem) if problem.span.is_none() => {
            problems.push(problem.at(node.span.clone()));
            none
        }
        Err(problem) => {
            problems.push(problem);
            none
        }
    }
}

/// The rows of a CSV text: a header line, then a row per line. An empty value is NULL, `""` is empty text.
fn of_csv(file: &SourceFile, problems: &mut Vec<Diagnostic>) -> (Vec<Spanned<Name>>, Vec<Row>) {
    let mut records = records(file, problems).into_iter();
    let mut header = Vec::new();
    for field in records.next().unwrap_or_default() {
        match column_name(&field.text) {
            Some(name) => header.push(Spanned::new(name, field.span)),
            None => {
                let message = format!("`{}` is not a column name", field.text);
                problems.push(Diagnostic::error("wrong-value", message).at(field.span));
            }
        }
    }
    let mut rows = Vec::new();
    for record in records {
        let Some(first) = record.first().map(|field| field.span.clone()) else { continue };
        if record.len() != header.len() {
            let message = format!("this line has {} values, and the header names {}", record.len(), header.len());
            problems.push(Diagnostic::error("csv-values", message).at(first));
            continue;
        }
        let cells = header.iter().zip(record).map(|(column, field)| Cell {
            column: column.clone(),
            value: if field.text.is_empty() && !field.quoted {
                Written::Null
            } else {
                Written::Scalar(field.text.clone(), field.text)
            },
            span: field.span,
        });
        rows.push(Row { span: first, cells: cells.collect() });
    }
    (header, rows)
}

struct Field {
    text: String,
    quoted: bool,
    span: Span,
}

/// The records of a CSV text, values with their places; empty lines are none.
fn records(file: &SourceFile, problems: &mut Vec<Diagnostic>) -> Vec<Vec<Field>> {
    let text = file.text();
    let (mut records, mut record, mut at) = (Vec::new(), Vec::new(), 0);
    while at < text.len() {
        let rest = &text[at..];
        let (value, quoted, length) = match rest.strip_prefix('"') {
            Some(inside) => {
                let Some((value, length)) = quoted(inside) else {
                    let message = "this value opens a quote and does not close it";
                    problems.push(Diagnostic::error("csv-quote", message).at(file.span(at..at + 1)));
                    return records;
                };
                (value, true, length + 1)
            }
            None => {
                let length = rest.find([',', '\n', '\r']).unwrap_or(rest.len());
                (rest[..length].to_owned(), false, length)
            }
        };
        record.push(Field { text: value, quoted, span: file.span(at..at + length) });
        at += length;
        match text.as_bytes().get(at) {
            Some(b',') => {
                at += 1;
                if at == text.len() {
                    record.push(Field { text: String::new(), quoted: false, span: file.span(at..at) });
                }
                continue;
            }
            Some(b'\r' | b'\n') | None => at += text[at..].len() - text[at..].trim_start_matches('\r').len(),
            Some(_) => {
                let message = "a comma or the end of the line is expected after a quoted value";
                problems.push(Diagnostic::error("csv-quote", message).at(file.span(at..at + 1)));
                return records;
            }
        }
        at += usize::from(text.as_bytes().get(at) == Some(&b'\n'));
        let blank = matches!(record.as_slice(), [only] if only.text.is_empty() && !only.quoted);
        let done = std::mem::take(&mut record);
        if !blank {
            records.push(done);
        }
    }
    if !record.is_empty() {
        records.push(record);
    }
    records
}

/// A quoted value without its quotes, and its length with the closing one.
fn quoted(inside: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = inside.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != '"' {
            value.push(c);
        } else if chars.next_if(|(_, next)| *next == '"').is_some() {
            value.push('"');
        } else {
            return Some((value, at + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_values_keep_their_places() {
        let file = SourceFile::new("a.csv", "id,title\r\n1,\"a, \"\"b\"\"\nc\"\n\n2,\n3,\"\"\n");
        let mut problems = Vec::new();
        let (_, rows) = of_csv(&file, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        let told: Vec<String> =
            rows.iter().map(|row| format!("{} {:?}", row.cells[1].span, row.cells[1].value)).collect();
        let text = "a, \"b\"\nc".to_owned();
        assert_eq!(
            told,
            [
                format!("a.csv:2:3 {:?}", Written::Scalar(text.clone(), text)),
                format!("a.csv:5:3 {:?}", Written::Null),
                format!("a.csv:6:3 {:?}", Written::Scalar(String::new(), String::new())),
            ]
        );
    }

    #[test]
    fn broken_csv_is_told_with_its_place() {
        for (text, place) in [("a,b\n1\n", "x.csv:2:1"), ("a\n\"1\n", "x.csv:2:1"), ("a\n\"1\"2\n", "x.csv:2:4")] {
            let file = SourceFile::new("x.csv", text);
            let mut problems = Vec::new();
            of_csv(&file, &mut problems);
            let told: Vec<String> = problems.iter().filter_map(|p| Some(p.span.as_ref()?.to_string())).collect();
            assert_eq!(told, [place], "{text}");
        }
    }
}
