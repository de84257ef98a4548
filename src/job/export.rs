//! The `export` step as an author writes it: rows of a table, a step or a query, and the files or the PostgreSQL table that
//! they go to. Nothing here connects to anything.

use std::time::Duration;

use crate::diagnostic::Diagnostic;
use crate::job::file::{CSV_WRITE, Compression, Csv, Format, SIZE, checked_place, csv, size};
use crate::job::keys::{COLUMN_NAME, DURATION, duration};
use crate::name::{Name, TableName};
use crate::rule::read::{TABLE, column_name};
use crate::text::derived::Derived;
use crate::text::files::Files as ProjectFiles;
use crate::text::{Span, Spanned};
use crate::yaml::shape::{Form, Key, Record, Shape};
use crate::yaml::{self, Node};

/// Rows and where they go.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// The rows.
    pub rows: Rows,
    /// Where they go.
    pub to: Destination,
    /// The whole of it, for its definition.
    pub span: Span,
}

/// The rows of an export.
#[derive(Clone, Debug, PartialEq)]
pub enum Rows {
    /// Those of a step or table: all columns, or the mapped ones.
    Input(Spanned<TableName>, Vec<Mapped>),
    /// Those of a query, a template still.
    Sql(Derived),
}

/// A column of an export.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapped {
    /// Its name there, as written.
    pub name: Spanned<String>,
    /// The input's column.
    pub column: Spanned<Name>,
    /// Whether the SHA-256 of its trimmed, lower-cased text goes out in its stead.
    pub hashed: bool,
}

/// Where rows go.
#[derive(Clone, Debug, PartialEq)]
pub enum Destination {
    /// Files.
    Files(Files),
    /// A table of PostgreSQL.
    Postgres(Postgres),
}

/// A folder of files.
#[derive(Clone, Debug, PartialEq)]
pub struct Files {
    /// The folder: a path or URL, with variables to fill in.
    pub path: Spanned<String>,
    /// What the files' names start with.
    pub prefix: String,
    /// What the rows are written as.
    pub format: Format,
    /// How the files are packed.
    pub compression: Compression,
    /// The dialect of CSV.
    pub csv: Csv,
    /// The most rows of a file.
    pub max_rows: Option<u64>,
    /// The most bytes of a file.
    pub max_bytes: Option<u64>,
    /// The columns whose values are folders, `name=value`.
    pub partition_by: Vec<Spanned<Name>>,
    /// The name of the manifest.
    pub manifest: String,
}

/// A table of PostgreSQL.
#[derive(Clone, Debug, PartialEq)]
pub struct Postgres {
    /// The connection's name in `pipe.yaml`.
    pub connection: Spanned<String>,
    /// The table, with variables to fill in.
    pub table: Spanned<String>,
    /// What becomes of the rows that are there.
    pub mode: Mode,
    /// The columns by which rows are known.
    pub key: Vec<Spanned<Name>>,
    /// How long to wait for a lock that another session has.
    pub lock_timeout: Duration,
}

/// What becomes of the rows that a table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They stay, and the new ones come to them.
    Append,
    /// They go.
    Replace,
    /// Those with the key of a new row become it.
    Upsert,
}

impl Mode {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Replace => "replace",
            Self::Upsert => "upsert",
        }
    }
}

static MAPPED: Record = Record::new(
    "mapped column",
    &[
        Key::new("column", Shape::Form(COLUMN_NAME), "The input's column.").required().example("email"),
        Key::new(
            "hash",
            Shape::Word(&["sha256"]),
            "Write the SHA-256, in hexadecimal, of its trimmed, lower-cased text instead; NULL where there is no text.",
        ),
    ],
);

static PARTS: Record = Record::new(
    "parts",
    &[
        Key::new("rows", Shape::Integer { min: 1, max: i64::MAX }, "The most rows of a file.").example("500000"),
        Key::new("bytes", Shape::Form(&SIZE), "The most bytes of a file, as packed.").example("100MB"),
    ],
);

/// A file's name, or the start of one.
static FILE_NAME: Form = Form {
    noun: "a file name of letters, digits, `-`, `_` and `.`",
    example: "segments",
    accepts: is_file_name,
    pattern: "^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
};

static FILES: Record = Record::new(
    "files",
    &[
        Key::new("path", Shape::Text, "The folder, local (from the project's folder) or `s3://`.")
            .required()
            .example("\"s3://partner/segments/{{ run.date }}/\""),
        Key::new("format", Shape::Word(Format::WORDS), "What the rows are written as.").required(),
        Key::new(
            "compression",
            Shape::Word(Compression::WORDS),
            "How the files are packed: `none` (the default; for Parquet, `zstd`), `gzip` or `zstd`.",
        ),
        Key::new("csv", Shape::Record(&CSV_WRITE), "The dialect of CSV files.")
            .example("{delimiter: ';', null: '\\N'}"),
        Key::new("parts", Shape::Record(&PARTS), "How large a file may become before the next one is begun.")
            .example("{rows: 500000}"),
        Key::new(
            "partition_by",
            Shape::OneOrMore(&Shape::Form(COLUMN_NAME)),
            "Columns whose values become folders, `name=value`, and are not in the files.",
        )
        .example("[country]"),
        Key::new("name", Shape::Form(&FILE_NAME), "What the files' names start with; by default `part`."),
        Key::new(
            "manifest",
            Shape::Form(&FILE_NAME),
            "The manifest's name: files, rows and checksums, written last; by default `manifest.json`.",
        ),
    ],
);

static POSTGRES: Record = Record::new(
    "postgres",
    &[
        Key::new("connection", Shape::Text, "A connection of `pipe.yaml`.").required().example("rds"),
        Key::new("table", Shape::Text, "The table, with or without its schema; made where it is not there.")
            .required()
            .example("public.programs"),
        Key::new(
            "mode",
            Shape::Word(&["append", "replace", "upsert"]),
            "What becomes of the rows that are there: they stay, they go, or those with the key of a new row become it.",
        )
        .required(),
        Key::new("key", Shape::OneOrMore(&Shape::Form(COLUMN_NAME)), "The columns by which `upsert` knows a row.")
            .example("[program_id]"),
        Key::new(
            "lock_timeout",
            Shape::Form(&DURATION),
            "How long to wait for a table that others have locked; by default 10s.",
        ),
    ],
);

/// The keys of an `export` step.
pub static EXPORT: Record = Record {
    noun: "export",
    keys: &[
        Key::new("input", Shape::Form(&TABLE), "The step or table whose rows go out.").example("segments"),
        Key::new("sql", Shape::Text, "A query whose rows go out, in the place of `input`."),
        Key::new(
            "columns",
            Shape::Names { noun: "column", value: &Shape::Either(&[Shape::Form(COLUMN_NAME), Shape::Record(&MAPPED)]) },
            "The columns that go out and what each is made from; by default all of them.",
        )
        .example("{email_sha256: {column: email, hash: sha256}, segment: segment_name}"),
    ],
    kinds: &[
        Key::new("files", Shape::Record(&FILES), "Files, local or in S3.")
            .example("{path: exports/segments/, format: csv, compression: gzip}"),
        Key::new("postgres", Shape::Record(&POSTGRES), "A table of PostgreSQL.")
            .example("{connection: rds, table: public.programs, mode: replace}"),
    ],
    kind_required: true,
};

/// What a mapping of [`EXPORT`] says; none where it does not say enough.
pub(super) fn export(node: &Node, files: &ProjectFiles, problems: &mut Vec<Diagnostic>) -> Option<Export> {
    let to = match EXPORT.kind_of(node) {
        Some(entry) if entry.key.value == "postgres" => Destination::Postgres(postgres(&entry.value, problems)?),
        Some(entry) => Destination::Files(files_of(&entry.value, problems)?),
        None => return None,
    };
    Some(Export { rows: rows(node, files, problems)?, to, span: node.span.clone() })
}

fn rows(node: &Node, files: &ProjectFiles, problems: &mut Vec<Diagnostic>) -> Option<Rows> {
    let columns = node.get("columns");
    match (node.get("input"), node.get("sql")) {
        (Some(input), None) => {
            let table = Spanned::new(TableName::parse(input.scalar()?)?, input.span.clone());
            let mapped = columns.map(Node::entries).unwrap_or_default().iter();
            Some(Rows::Input(table, mapped.filter_map(mapped_column).collect()))
        }
        (None, Some(sql)) => {
            if let Some(columns) = columns {
                let message = "`columns` maps the columns of an `input`, and this export has a query";
                let diagnostic = Diagnostic::error("two-kinds", message).at(columns.span.clone());
                problems.push(diagnostic.hint("name the columns in the query, with `as`"));
            }
            yaml::sql::read(sql, files, problems).map(Rows::Sql)
        }
        (Some(_), Some(sql)) => {
            let message = "an export has an `input` or a query, and this one has both";
            problems.push(Diagnostic::error("two-kinds", message).at(sql.span.clone()));
            None
        }
        (None, None) => {
            let message = "this export does not say whose rows go out";
            let diagnostic = Diagnostic::error("missing-key", message).at(node.span.clone());
            problems.push(diagnostic.hint("add `input:` with a step or table, or `sql:` with a query"));
            None
        }
    }
}

fn mapped_column(entry: &yaml::Entry) -> Option<Mapped> {
    let column = entry.value.get("column").unwrap_or(&entry.value);
    Some(Mapped {
        name: entry.key.clone(),
        column: Spanned::new(column_name(column.scalar()?)?, column.span.clone()),
        hashed: entry.value.get("hash").is_some(),
    })
}

fn files_of(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Files> {
    let text = |key: &str| node.get(key).and_then(Node::scalar);
    let path = node.get("path")?;
    checked_place(path.scalar()?, path, problems);
    let format = text("format").and_then(Format::of_word)?;
    let packed = text("compression").and_then(Compression::of_word);
    if let Some(csv) = node.get("csv").filter(|_| format != Format::Csv) {
        let message = format!("`csv` is for CSV files, and these are {format}");
        problems.push(Diagnostic::error("wrong-value", message).at(csv.span.clone()));
    }
    let parts = node.get("parts");
    Some(Files {
        path: Spanned::new(path.scalar()?.to_owned(), path.span.clone()),
        prefix: text("name").unwrap_or("part").to_owned(),
        format,
        compression: packed.unwrap_or(if format == Format::Parquet { Compression::Zstd } else { Compression::None }),
        csv: node.get("csv").map(|node| csv(node, problems)).unwrap_or_default(),
        max_rows: parts.and_then(|p| p.get("rows")?.integer()).and_then(|rows| u64::try_from(rows).ok()),
        max_bytes: parts.and_then(|p| size(p.get("bytes")?.scalar()?)),
        partition_by: columns(node.get("partition_by")),
        manifest: text("manifest").unwrap_or("manifest.json").to_owned(),
    })
}

fn postgres(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Postgres> {
    let spanned = |key: &str| node.get(key).and_then(|n| Some(Spanned::new(n.scalar()?.to_owned(), n.span.clone())));
    let mode = match node.get("mode").and_then(Node::text)? {
        "append" => Mode::Append,
        "replace" => Mode::Replace,
        "upsert" => Mode::Upsert,
        _ => return None,
    };
    let key = columns(node.get("key"));
    if mode == Mode::Upsert && key.is_empty() {
        let message = "`upsert` needs the key by which rows are known";
        let diagnostic = Diagnostic::error("missing-key", message).at(node.span.clone());
        problems.push(diagnostic.hint("add `key:` with a column or a list"));
    }
    if mode != Mode::Upsert
        && let Some(key) = node.get("key")
    {
        let message = format!("`key` is for `upsert`, and this is `{}`", mode.word());
        problems.push(Diagnostic::error("wrong-value", message).at(key.span.clone()));
    }
    Some(Postgres {
        connection: spanned("connection")?,
        table: spanned("table")?,
        mode,
        key,
        lock_timeout: node
            .get("lock_timeout")
            .and_then(Node::scalar)
            .and_then(duration)
            .unwrap_or(Duration::from_secs(10)),
    })
}

fn columns(node: Option<&Node>) -> Vec<Spanned<Name>> {
    let items = node.map(Node::items).unwrap_or_default().iter();
    items.filter_map(|item| Some(Spanned::new(column_name(item.scalar()?)?, item.span.clone()))).collect()
}

fn is_file_name(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(word) && text.chars().all(|c| word(c) || c == '.' || c == '-')
}
