//! The author's text and places in it: every message can point at the line it speaks of.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Texts made from the author's, with the way back.
pub mod derived;

/// The author's files by path.
pub mod files;

/// A number of things: `1 row`, `3 rows`.
pub fn counted(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A text with the name that messages show for it, cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SourceFile {
    inner: Arc<Inner>,
}

#[derive(PartialEq, Eq, Hash)]
struct Inner {
    path: PathBuf,
    text: String,
}

impl SourceFile {
    /// A text known to messages as `path` (relative to the project, or a name such as `<stdin>`).
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        let inner = Inner { path: path.into(), text: text.into() };
        Self { inner: Arc::new(inner) }
    }

    /// The name that messages show.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.inner.text
    }

    /// The place of a byte range, clamped to the text and to character boundaries.
    pub fn span(&self, range: Range<usize>) -> Span {
        let text = self.text();
        let start = text.floor_char_boundary(range.start.min(text.len()));
        let end = text.ceil_char_boundary(range.end.clamp(start, text.len()));
        Span { file: self.clone(), start, end }
    }

    /// The place that starts at a 1-based line and column, counted in characters, and is `len` bytes long.
    pub fn span_at(&self, line: usize, column: usize, len: usize) -> Span {
        let start = self.offset(line, column);
        self.span(start..start + len)
    }

    /// The byte offset of a 1-based line and column, counted in characters; the end of the line where it is shorter.
    pub fn offset(&self, line: usize, column: usize) -> usize {
        let mut start = 0;
        for (index, content) in self.text().split_inclusive('\n').enumerate() {
            if index + 1 == line {
                let inside = content.char_indices().nth(column.saturating_sub(1));
                return start + inside.map_or(content.trim_end_matches('\n').len(), |(at, _)| at);
            }
            start += content.len();
        }
        self.text().len()
    }
}

impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceFile({})", self.path().display())
    }
}

/// A range of bytes in one file.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Span {
    /// The file it lies in.
    pub file: SourceFile,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The text it covers.
    pub fn text(&self) -> &str {
        &self.file.text()[self.start..self.end]
    }

    /// 1-based line and column, counted in characters, of its first byte.
    pub fn line_column(&self) -> (usize, usize) {
        let before = &self.file.text()[..self.start];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }

    /// A place inside this one, by offsets from its start.
    pub fn inside(&self, range: Range<usize>) -> Span {
        self.file.span(self.start + range.start..self.start + range.end)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Span {
    /// `path:line:column`, as editors understand it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_column();
        write!(f, "{}:{line}:{column}", self.file.path().display())
    }
}

/// A value and the place where the author wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// A value with its place.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters() {
        let file = SourceFile::new("a.sql", "select é,\n  x\n");
        let at = file.text().find('x').unwrap_or_default();
        assert_eq!(file.span(at..at + 1).to_string(), "a.sql:2:3");
        assert_eq!(file.span(10..11).line_column(), (1, 10));
        assert_eq!(file.span_at(2, 3, 1).text(), "x");
    }

    #[test]
    fn a_range_beyond_the_text_is_clamped() {
        let file = SourceFile::new("a.sql", "é");
        assert_eq!(file.span(1..99).text(), "é");
        assert_eq!(file.span(50..60).text(), "");
    }
}
