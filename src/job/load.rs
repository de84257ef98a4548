//! The `load` step as an author writes it: files whose rows become the step's result. The types of its columns are those
//! that the step declares under `columns`; nothing here reads a file.

use crate::diagnostic::Diagnostic;
use crate::job::file::{CSV_READ, Compression, Csv, Format, checked_place, csv};
use crate::rule::Threshold;
use crate::rule::read::threshold;
use crate::text::{Span, Spanned};
use crate::yaml::Node;
use crate::yaml::shape::{Form, Key, Record, Shape};

/// Files, and how they become rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// The files: paths or URLs, with or without `*`, with variables to fill in.
    pub files: Vec<Spanned<String>>,
    /// What their rows are written as; none for what their names say.
    pub format: Option<Format>,
    /// How they are packed; none for what their names say.
    pub compression: Option<Compression>,
    /// The dialect of CSV files.
    pub csv: Csv,
    /// How many rows may be refused.
    pub max_bad: Threshold,
    /// `max_bad` as written.
    pub max_bad_text: String,
    /// Whether a column that a file lacks is NULL there; else it is an error.
    pub missing_is_null: bool,
    /// Whether columns that are not declared are left out; else they are an error.
    pub extra_ignored: bool,
    /// Whether no file at all gives no rows; else it is an error.
    pub may_be_empty: bool,
    /// Where refused rows are written; none for the target's own folder.
    pub rejects: Option<Spanned<String>>,
    /// The whole of it, for its definition.
    pub span: Span,
}

static THRESHOLD: Form = Form {
    noun: "a number of rows or a percentage",
    example: "1%",
    accepts: |text| threshold(text).is_some(),
    pattern: "^\\s*[0-9]+(\\.[0-9]+)?\\s*%?\\s*$",
};

/// The keys of a `load` step.
pub static LOAD: Record = Record::new(
    "load",
    &[
        Key::new(
            "files",
            Shape::OneOrMore(&Shape::Text),
            "The files, local (from the project's folder) or `s3://`: paths, with `*` for several, or a folder ending in `/`.",
        )
        .required()
        .example("s3://bucket/users/*.csv.gz"),
        Key::new("format", Shape::Word(Format::WORDS), "What the rows are written as; by default what the files' names end in."),
        Key::new(
            "compression",
            Shape::Word(Compression::WORDS),
            "How CSV and JSON lines are packed; by default what the files' names end in.",
        ),
        Key::new("csv", Shape::Record(&CSV_READ), "The dialect of CSV files.").example("{delimiter: ';', null: '\\N'}"),
        Key::new(
            "max_bad",
            Shape::Form(&THRESHOLD),
            "How many rows may be refused, as a count or a percentage; by default none. Refused rows are kept aside with file, row and reason.",
        )
        .example("10"),
        Key::new(
            "missing_columns",
            Shape::Word(&["error", "as_null"]),
            "What a declared column is where a file lacks it: an error (the default), or NULL.",
        ),
        Key::new(
            "extra_columns",
            Shape::Word(&["error", "ignore"]),
            "What becomes of columns that are not declared: an error (the default), or they are left out.",
        ),
        Key::new(
            "no_files",
            Shape::Word(&["error", "empty"]),
            "What it means that there is no file: an error (the default), or no rows.",
        ),
        Key::new(
            "rejects",
            Shape::Text,
            "The file that refused rows are written to; by default `rejects/<job>.<step>.jsonl` in the target's folder.",
        ),
    ],
);

/// Keys that say nothing about files of the format that these are of.
fn idle(node: &Node, files: &[Spanned<String>], problems: &mut Vec<Diagnostic>) {
    let said = node.get("format").and_then(Node::text).and_then(Format::of_word);
    let formats: Vec<Option<Format>> = files.iter().map(|file| said.or_else(|| Format::of(&file.value))).collect();
    let Some(Some(format)) = formats.first() else { return };
    if formats.iter().any(|other| *other != Some(*format)) {
        return;
    }
    for (key, used) in [("csv", *format == Format::Csv), ("compression", *format != Format::Parquet)] {
        if let Some(value) = node.get(key).filter(|_| !used) {
            let message = format!("`{key}` says nothing about {format} files");
            problems.push(Diagnostic::error("wrong-value", message).at(value.span.clone()).hint("leave it out"));
        }
    }
}

/// What a mapping of [`LOAD`] says.
pub(super) fn load(node: &Node, problems: &mut Vec<Diagnostic>) -> Load {
    let word = |key: &str| node.get(key).and_then(Node::text);
    let mut files = Vec::new();
    for item in node.get("files").map(Node::items).unwrap_or_default() {
        let Some(path) = item.scalar() else { continue };
        checked_place(path, item, problems);
        files.push(Spanned::new(path.to_owned(), item.span.clone()));
    }
    idle(node, &files, problems);
    let bad = node.get("max_bad").and_then(Node::scalar);
    Load {
        files,
        format: word("format").and_then(Format::of_word),
        compression: word("compression").and_then(Compression::of_word),
        csv: node.get("csv").map(|node| csv(node, problems)).unwrap_or_default(),
        max_bad: bad.and_then(threshold).unwrap_or(Threshold::ANY),
        max_bad_text: bad.unwrap_or("0").to_owned(),
        missing_is_null: word("missing_columns") == Some("as_null"),
        extra_ignored: word("extra_columns") == Some("ignore"),
        may_be_empty: word("no_files") == Some("empty"),
        rejects: node.get("rejects").and_then(|node| Some(Spanned::new(node.scalar()?.to_owned(), node.span.clone()))),
        span: node.span.clone(),
    }
}
