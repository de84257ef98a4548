//! Sources: the tables that the project reads and does not make. Their contracts come from `schemas/`, one YAML file per
//! schema; where their rows are is a target's to say. Nothing here reads a row.

use std::fmt;
use std::time::Duration;

use indexmap::IndexMap;

use crate::diagnostic::Diagnostic;
use crate::job::keys::{COLUMNS, DURATION, duration};
use crate::job::{ColumnContract, columns, file};
use crate::name::{Name, TableName};
use crate::rule::Test;
use crate::rule::read::{COLUMN, TESTS, column_name, tests};
use crate::text::files::Files;
use crate::text::{SourceFile, Span, Spanned};
use crate::yaml::shape::{Form, Key, Record, Shape};
use crate::yaml::{self, Entry, Node};

/// What is promised of a source table.
#[derive(Clone, Debug, PartialEq)]
pub struct Contract {
    /// The table, always with its schema.
    pub name: Spanned<TableName>,
    /// What it holds.
    pub description: Option<String>,
    /// Its columns, each with its type.
    pub columns: Vec<ColumnContract>,
    /// Tests on it, those under its columns included; `pipe check` runs them.
    pub tests: Vec<Test>,
    /// How old its newest row may be.
    pub freshness: Option<Freshness>,
}

/// How old the newest row of a table may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Freshness {
    /// The column that says when a row came about.
    pub column: Spanned<Name>,
    /// The age from which on it is a warning.
    pub warn_after: Option<Duration>,
    /// The age from which on it is an error.
    pub error_after: Option<Duration>,
    /// Where it is written.
    pub span: Span,
}

static FRESHNESS: Record = Record::new(
    "freshness",
    &[
        Key::new("column", Shape::Form(&COLUMN), "The column that says when a row came about.").required(),
        Key::new("warn_after", Shape::Form(&DURATION), "The age of the newest row from which on it is a warning.")
            .example("1d"),
        Key::new("error_after", Shape::Form(&DURATION), "The age of the newest row from which on it is an error.")
            .example("2d"),
    ],
);

static TABLE: Record = Record::new(
    "table",
    &[
        Key::new("description", Shape::Text, "What the table holds."),
        Key::new("columns", COLUMNS, "Its columns: a type each, or more.")
            .required()
            .example("{id: number, title: varchar}"),
        Key::new("tests", TESTS, "Tests on the table, run by `pipe check`."),
        Key::new("freshness", Shape::Record(&FRESHNESS), "How old its newest row may be."),
    ],
);

/// A name in a schema file.
static SCHEMA_NAME: Form = Form {
    noun: "a schema name",
    example: "backend",
    accepts: |text| column_name(text).is_some(),
    pattern: "^(\"([^\"]|\"\")+\"|[^\".]+)$",
};

/// A file of `schemas/`.
pub static SCHEMA: Record = Record::new(
    "schema",
    &[
        Key::new("schema", Shape::Form(&SCHEMA_NAME), "The schema's name; by default the file's.").example("backend"),
        Key::new("description", Shape::Text, "What the schema holds."),
        Key::new("tables", Shape::Names { noun: "table", value: &Shape::Record(&TABLE) }, "The tables.").required(),
    ],
);

/// Reads a file of contracts.
pub fn parse(file: &SourceFile, files: &Files) -> (Vec<Contract>, Vec<Diagnostic>) {
    let root = match yaml::parse(file) {
        Ok(root) => root,
        Err(problems) => return (Vec::new(), problems),
    };
    let mut problems = Vec::new();
    Shape::Record(&SCHEMA).check(&root, &mut problems);
    let stem = file.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let schema =
        root.get("schema").and_then(Node::scalar).and_then(column_name).unwrap_or_else(|| Name::unquoted(&stem));
    let entries = root.get("tables").map(Node::entries).unwrap_or_default();
    let contracts = entries.iter().filter_map(|entry| contract(&schema, entry, files, &mut problems)).collect();
    (contracts, problems)
}

fn contract(schema: &Name, entry: &Entry, files: &Files, problems: &mut Vec<Diagnostic>) -> Option<Contract> {
    let Some(table) = column_name(&entry.key.value) else {
        let message = format!("`{}` cannot be the name of a table here", entry.key.value);
        let diagnostic = Diagnostic::error("wrong-value", message).at(entry.key.span.clone());
        problems.push(diagnostic.hint(format!("the schema is `{}` for all tables of this file", schema.lower())));
        return None;
    };
    let node = &entry.value;
    let (columns, mut all_tests) = node.get("columns").map(|node| columns(node, files, problems)).unwrap_or_default();
    for column in columns.iter().filter(|column| column.column_type.is_none()) {
        let message = format!("the column `{}` has no type", column.name.value.shown());
        let diagnostic = Diagnostic::error("missing-key", message).at(column.name.span.clone());
        if !problems.iter().any(|p| {
            p.span.as_ref().is_some_and(|s| s.start >= column.name.span.start && s.start <= column.name.span.end + 2)
        }) {
            problems.push(diagnostic.hint("write it as `column: type`, such as `id: number`"));
        }
    }
    if let Some(list) = node.get("tests") {
        all_tests.extend(tests(list, None, files, problems));
    }
    Some(Contract {
        name: Spanned::new(TableName::in_schema(schema.clone(), table), entry.key.span.clone()),
        description: node.get("description").and_then(Node::text).map(str::to_owned),
        columns,
        tests: all_tests,
        freshness: node.get("freshness").and_then(freshness),
    })
}

fn freshness(node: &Node) -> Option<Freshness> {
    let column = node.get("column")?;
    let age = |key: &str| node.get(key).and_then(Node::scalar).and_then(duration);
    Some(Freshness {
        column: Spanned::new(column_name(column.scalar()?)?, column.span.clone()),
        warn_after: age("warn_after"),
        error_after: age("error_after"),
        span: node.span.clone(),
    })
}

/// What a table's rows are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Comma-separated values with a header line.
    Csv,
    /// Parquet.
    Parquet,
    /// One JSON object a line.
    JsonLines,
    /// Any files: each is a row, its name and its bytes.
    Files,
}

impl Format {
    /// The extensions by which files are known, the preferred format first.
    pub fn extensions() -> impl Iterator<Item = (&'static str, Self)> {
        file::Format::EXTENSIONS.into_iter().map(|(extension, format)| (extension, Self::from(format)))
    }

    /// The format of a path, by its extension.
    pub fn of(path: &str) -> Option<Self> {
        file::Format::of(path).map(Self::from)
    }
}

impl From<file::Format> for Format {
    fn from(format: file::Format) -> Self {
        match format {
            file::Format::Csv => Self::Csv,
            file::Format::Parquet => Self::Parquet,
            file::Format::JsonLines => Self::JsonLines,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Csv => "CSV",
            Self::Parquet => "Parquet",
            Self::JsonLines => "JSON lines",
            Self::Files => "whole files",
        })
    }
}

/// Where the rows of a table are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// A path or a URL such as `s3://bucket/key`: a file, a folder (given with its last `/`), or several with `*`.
    pub path: String,
    /// What the rows are written as.
    pub format: Format,
    /// What divides the values of a CSV line.
    pub delimiter: u8,
    /// Whether the first line of a CSV file names the columns.
    pub header: bool,
    /// The names of the columns in the contract's order, by which a file without a header is read.
    pub order: Vec<String>,
}

impl Location {
    /// Files of a format, CSV with commas and a header.
    pub fn new(path: impl Into<String>, format: Format) -> Self {
        Self { path: path.into(), format, delimiter: b',', header: true, order: Vec::new() }
    }

    /// Whether it is in an object store and not on this machine's disks.
    pub fn is_remote(&self) -> bool {
        self.path.contains("://") && !self.path.starts_with("file://")
    }
}

/// Contracts by table.
pub type Contracts = IndexMap<TableName, Contract>;
