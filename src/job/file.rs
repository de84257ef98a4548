//! Files as steps and targets name them: what rows are written as, how files are packed, and the dialects of CSV.

use std::fmt;

use crate::diagnostic::Diagnostic;
use crate::yaml::Node;
use crate::yaml::shape::{Form, Key, Record, Shape};

/// What a table's rows are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Comma-separated values with a header line.
    Csv,
    /// Parquet.
    Parquet,
    /// One JSON object a line.
    JsonLines,
}

impl Format {
    /// The words for them in YAML.
    pub const WORDS: &'static [&'static str] = &["csv", "parquet", "jsonl"];

    /// The extensions by which files are known, the preferred format first.
    pub const EXTENSIONS: [(&'static str, Self); 11] = [
        ("parquet", Self::Parquet),
        ("csv", Self::Csv),
        ("csv.gz", Self::Csv),
        ("csv.zst", Self::Csv),
        ("jsonl", Self::JsonLines),
        ("ndjson", Self::JsonLines),
        ("jsonl.gz", Self::JsonLines),
        ("jsonl.zst", Self::JsonLines),
        ("ndjson.gz", Self::JsonLines),
        ("ndjson.zst", Self::JsonLines),
        ("json", Self::JsonLines),
    ];

    /// The format of a path, by its extension.
    pub fn of(path: &str) -> Option<Self> {
        let path = path.to_lowercase();
        let found = Self::EXTENSIONS.iter().find(|(extension, _)| path.ends_with(&format!(".{extension}")));
        found.map(|(_, format)| *format)
    }

    /// The format that a word of [`Self::WORDS`] means.
    pub fn of_word(word: &str) -> Option<Self> {
        match word {
            "csv" => Some(Self::Csv),
            "parquet" => Some(Self::Parquet),
            "jsonl" => Some(Self::JsonLines),
            _ => None,
        }
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::JsonLines => "jsonl",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Csv => "CSV",
            Self::Parquet => "Parquet",
            Self::JsonLines => "JSON lines",
        })
    }
}

/// How a file's bytes are packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// The words for them in YAML.
    pub const WORDS: &'static [&'static str] = &["none", "gzip", "zstd"];

    /// The compression that a file's extension tells.
    pub fn of(path: &str) -> Self {
        match path.rsplit('.').next().map(str::to_lowercase).as_deref() {
            Some("gz" | "gzip") => Self::Gzip,
            Some("zst" | "zstd") => Self::Zstd,
            _ => Self::None,
        }
    }

    /// The compression that a word of [`Self::WORDS`] means.
    pub fn of_word(word: &str) -> Option<Self> {
        match word {
            "none" => Some(Self::None),
            "gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// A dialect of CSV.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Csv {
    /// What divides the values of a line.
    pub delimiter: u8,
    /// What encloses a value that holds a delimiter, a line break or itself.
    pub quote: u8,
    /// What stands before a quote inside an enclosed value; none where it is doubled.
    pub escape: Option<u8>,
    /// Whether the first line names the columns.
    pub header: bool,
    /// The texts, not enclosed, that are NULL; the first is the one that is written.
    pub nulls: Vec<String>,
    /// Whether every value but NULL is enclosed when it is written.
    pub quote_all: bool,
    /// Whether lines end in CR LF when they are written.
    pub crlf: bool,
}

impl Default for Csv {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: b'"',
            escape: None,
            header: true,
            nulls: vec![String::new()],
            quote_all: false,
            crlf: false,
        }
    }
}

/// One character that can divide or enclose values.
static CHARACTER: Form = Form {
    noun: "one ASCII character, or `tab`",
    example: ";",
    accepts: |text| character(text).is_some(),
    pattern: "^(tab|[\\x00-\\x7F])$",
};

const DELIMITER: Key =
    Key::new("delimiter", Shape::Form(&CHARACTER), "What divides the values of a line; by default a comma.")
        .example("';'");
const QUOTE: Key = Key::new(
    "quote",
    Shape::Form(&CHARACTER),
    "What encloses a value that holds a delimiter, a line break or itself; by default a double quote.",
);
const ESCAPE: Key = Key::new(
    "escape",
    Shape::Form(&CHARACTER),
    "What stands before a quote inside an enclosed value; by default the quote itself, doubled.",
)
.example("'\\'");
const HEADER: Key = Key::new("header", Shape::Boolean, "Whether the first line names the columns; by default true.");

/// The dialect of CSV files that are read.
pub static CSV_READ: Record = Record::new(
    "CSV to read",
    &[
        DELIMITER,
        QUOTE,
        ESCAPE,
        HEADER,
        Key::new(
            "null",
            Shape::OneOrMore(&Shape::Text),
            "The texts that are NULL where they are not enclosed in quotes; by default the empty text.",
        )
        .example("['', '\\N']"),
    ],
);

/// The dialect of CSV files that are written.
pub static CSV_WRITE: Record = Record::new(
    "CSV to write",
    &[
        DELIMITER,
        QUOTE,
        ESCAPE,
        HEADER,
        Key::new(
            "null",
            Shape::Text,
            "What NULL is written as; by default nothing, while an empty text is written as two quotes.",
        )
        .example("'\\N'"),
        Key::new(
            "quoting",
            Shape::Word(&["needed", "always"]),
            "Whether only values that need it are enclosed (the default), or all but NULL.",
        ),
        Key::new("line_ending", Shape::Word(&["lf", "crlf"]), "How lines end; by default `lf`."),
    ],
);

/// The dialect that a mapping of [`CSV_READ`] or [`CSV_WRITE`] says.
pub(super) fn csv(node: &Node, problems: &mut Vec<Diagnostic>) -> Csv {
    let byte = |key: &str| node.get(key).and_then(Node::scalar).and_then(character);
    let usual = Csv::default();
    let nulls: Vec<String> = node
        .get("null")
        .map(|node| node.items().iter().filter_map(|item| item.scalar().map(str::to_owned)).collect())
        .unwrap_or(usual.nulls);
    let csv = Csv {
        delimiter: byte("delimiter").unwrap_or(usual.delimiter),
        quote: byte("quote").unwrap_or(usual.quote),
        escape: byte("escape").filter(|escape| *escape != byte("quote").unwrap_or(usual.quote)),
        header: node.get("header").and_then(Node::boolean).unwrap_or(usual.header),
        nulls,
        quote_all: node.get("quoting").and_then(Node::text) == Some("always"),
        crlf: node.get("line_ending").and_then(Node::text) == Some("crlf"),
    };
    let clash = csv.delimiter == csv.quote
        || csv.escape == Some(csv.delimiter)
        || [csv.delimiter, csv.quote].iter().any(|byte| matches!(byte, b'\n' | b'\r'));
    let unwritable = csv.nulls.iter().find(|null| {
        null.bytes().any(|byte| byte == csv.delimiter || byte == csv.quote || byte == b'\n' || byte == b'\r')
    });
    if clash {
        let message = "delimiter, quote and escape have to be different characters, and none a line break";
        problems.push(Diagnostic::error("wrong-value", message).at(node.span.clone()));
    } else if let Some(null) = unwritable {
        let message = format!("`{null}` cannot stand for NULL: it holds a delimiter, a quote or a line break");
        problems.push(Diagnostic::error("wrong-value", message).at(node.span.clone()));
    }
    csv
}

fn character(text: &str) -> Option<u8> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Some(b'\t'),
        [byte] if byte.is_ascii() => Some(*byte),
        _ => None,
    }
}

/// An amount of bytes.
pub static SIZE: Form = Form {
    noun: "an amount of bytes",
    example: "100MB",
    accepts: |text| size(text).is_some(),
    pattern: "^[0-9]+(\\.[0-9]+)?\\s*([kKMGT]i?)?B$",
};

/// The bytes that a text such as `100MB` or `64MiB` means.
pub fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let amount: f64 = text[..unit_at].parse().ok().filter(|amount: &f64| *amount > 0.0)?;
    let scale: u64 = match text[unit_at..].trim() {
        "B" => 1,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an amount of bytes"
    )]
    Some((amount * scale as f64) as u64)
}

/// Whether a path is one on this machine or in S3, which are the places that files can be in.
pub(super) fn checked_place(path: &str, node: &Node, problems: &mut Vec<Diagnostic>) {
    let Some((scheme, rest)) = path.split_once("://") else { return };
    let bucket = rest.split('/').next().unwrap_or_default();
    let message = match scheme {
        "s3" if bucket.is_empty() => format!("`{path}` names no bucket"),
        "s3" => return,
        "file" => return,
        other => format!("`{other}://` is no place that files can be in"),
    };
    let hint = "write a path of this machine, or `s3://bucket/folder/`";
    problems.push(Diagnostic::error("wrong-value", message).at(node.span.clone()).hint(hint));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_and_compressions_are_known_by_extension() {
        assert_eq!(Format::of("s3://b/x.CSV.GZ"), Some(Format::Csv));
        assert_eq!(Format::of("a/b.ndjson.zst"), Some(Format::JsonLines));
        assert_eq!(Format::of("a/b.txt"), None);
        assert_eq!((Compression::of("x.csv.gz"), Compression::of("x.csv")), (Compression::Gzip, Compression::None));
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!((size("100MB"), size("1.5 KiB"), size("7")), (Some(100_000_000), Some(1536), None));
    }
}
