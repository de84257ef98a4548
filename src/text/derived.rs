//! A text made from what the author wrote (a rendered template, the SQL inside a YAML file), with the way back.

use crate::text::{SourceFile, Span};

/// A text and, for each part of it, where the author wrote that part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derived {
    source: SourceFile,
    parts: Vec<Part>,
    outer: Option<Box<Derived>>,
}

/// A part of a derived text, up to the start of the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// First byte in the derived text.
    pub start: usize,
    /// Where it comes from.
    pub origin: Span,
    /// Whether it was copied, so that places inside it correspond; else all of it comes from all of `origin`.
    pub copied: bool,
}

impl Derived {
    /// A text that is the author's own file.
    pub fn itself(source: SourceFile) -> Self {
        Self { source, parts: Vec::new(), outer: None }
    }

    /// A text with its parts, ordered by start.
    pub fn new(source: SourceFile, parts: Vec<Part>) -> Self {
        Self { source, parts, outer: None }
    }

    /// The same, where the text it was made from was itself derived.
    #[must_use]
    pub fn through(self, outer: Derived) -> Self {
        Self { outer: Some(Box::new(outer)), ..self }
    }

    /// The derived text, under the name of the author's file.
    pub fn source(&self) -> &SourceFile {
        &self.source
    }

    /// The derived text.
    pub fn text(&self) -> &str {
        self.source.text()
    }

    /// Where the author wrote what stands at a place of the derived text. A place in another file is left alone.
    pub fn origin(&self, span: &Span) -> Span {
        let span = self.one_back(span);
        self.outer.as_ref().map_or(span.clone(), |outer| outer.origin(&span))
    }

    fn one_back(&self, span: &Span) -> Span {
        if span.file != self.source || self.parts.is_empty() {
            return span.clone();
        }
        let first = self.part(span.start);
        let start = first.place(span.start);
        let last = self.part(span.end.saturating_sub(1).max(span.start));
        let end = last.place(span.end.saturating_sub(1).max(span.start));
        if start.file != end.file || end.start < start.start {
            return start;
        }
        let end = if last.copied { end.start + (span.end - span.start).min(1) } else { end.end };
        start.file.span(start.start..end.max(start.start))
    }

    fn part(&self, at: usize) -> &Part {
        let after = self.parts.partition_point(|part| part.start <= at);
        &self.parts[after.saturating_sub(1)]
    }
}

impl Part {
    fn place(&self, at: usize) -> Span {
        if self.copied {
            let start = (self.origin.start + at.saturating_sub(self.start)).min(self.origin.end);
            self.origin.file.span(start..start)
        } else {
            self.origin.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_copied_and_in_computed_parts_lead_back() {
        let written = SourceFile::new("a.sql", "select {{ x }} as y");
        let rendered = SourceFile::new("a.sql", "select 'long text' as y");
        let parts = vec![
            Part { start: 0, origin: written.span(0..7), copied: true },
            Part { start: 7, origin: written.span(7..14), copied: false },
            Part { start: 18, origin: written.span(14..19), copied: true },
        ];
        let derived = Derived::new(rendered.clone(), parts);
        assert_eq!(derived.origin(&rendered.span(22..23)).text(), "y");
        assert_eq!(derived.origin(&rendered.span(19..23)).text(), "as y");
        assert_eq!(derived.origin(&rendered.span(9..12)).text(), "{{ x }}");
        assert_eq!(derived.origin(&rendered.span(0..18)).text(), "select {{ x }}");
        assert_eq!(derived.origin(&rendered.span(0..23)).text(), written.text());
        assert_eq!(derived.origin(&written.span(0..6)).text(), "select");
    }
}
