//! Diagnostics as people read them: the message, the author's line with the place marked, other places, a hint. What is
//! wrong was decided elsewhere.

use std::path::Path;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::diagnostic::{Diagnostic, Severity};
use crate::text::{Span, counted};

/// All diagnostics as text, a blank line between them and their number at the end.
pub fn render(diagnostics: &[Diagnostic], coloured: bool) -> String {
    let renderer = if coloured { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for diagnostic in in_order(diagnostics) {
        text.push_str(&one(&renderer, diagnostic));
        text.push_str("\n\n");
    }
    let count = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    let counts = [(count(Severity::Error), "error"), (count(Severity::Warning), "warning")];
    let counts: Vec<_> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| counted(*n as u64, word)).collect();
    if !counts.is_empty() {
        text.push_str(&counts.join(", "));
        text.push('\n');
    }
    text
}

/// File by file and from top to bottom, what has no place first.
fn in_order(diagnostics: &[Diagnostic]) -> Vec<&Diagnostic> {
    let mut ordered: Vec<_> = diagnostics.iter().collect();
    ordered.sort_by_key(|diagnostic| diagnostic.span.as_ref().map(|span| (span.file.path(), span.start)));
    ordered
}

fn one(renderer: &Renderer, diagnostic: &Diagnostic) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code);
    let mut group = Group::with_title(title);
    if let Some(span) = &diagnostic.span {
        group = group.element(snippet(span, &diagnostic.related));
    }
    let elsewhere =
        diagnostic.related.iter().filter(|(place, _)| diagnostic.span.as_ref().is_none_or(|s| s.file != place.file));
    for (place, label) in elsewhere {
        let mark = AnnotationKind::Context.span(range(place)).label(label.as_str());
        group = group.element(Snippet::source(place.file.text()).path(path(place.file.path())).annotation(mark));
    }
    if let Some(hint) = &diagnostic.hint {
        group = group.element(Level::HELP.with_name("hint").message(hint.as_str()));
    }
    let text = renderer.render(&[group]);
    if diagnostic.span.is_some() || !diagnostic.related.is_empty() {
        return text;
    }
    // Without a place there is no line to draw a margin beside.
    text.lines().filter(|line| line.trim() != "|").collect::<Vec<_>>().join("\n")
}

fn snippet<'a>(span: &'a Span, related: &'a [(Span, String)]) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let mut snippet = Snippet::source(span.file.text()).path(path(span.file.path()));
    snippet = snippet.annotation(AnnotationKind::Primary.span(range(span)));
    for (place, label) in related.iter().filter(|(place, _)| place.file == span.file) {
        snippet = snippet.annotation(AnnotationKind::Context.span(range(place)).label(label.as_str()));
    }
    snippet
}

fn path(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}

/// The bytes to mark: no more than the first line, so that a whole query is not drawn.
fn range(span: &Span) -> std::ops::Range<usize> {
    let first_line = span.text().find('\n').map_or(span.end, |at| span.start + at);
    span.start..first_line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::SourceFile;

    #[test]
    fn the_line_is_shown_with_its_place_and_a_hint() {
        let file = SourceFile::new("pipelines/a.yaml", "job: a\nsteps:\n  top:\n    mateialize: table\n");
        let other = SourceFile::new("pipelines/b.yaml", "job: a\n");
        let diagnostic = Diagnostic::error("unknown-key", "a step has no key `mateialize`")
            .at(file.span_at(4, 5, 10))
            .related(other.span(5..6), "the other one")
            .hint("did you mean `materialize`?");
        let expected = "\
error[unknown-key]: a step has no key `mateialize`
 --> pipelines/a.yaml:4:5
  |
4 |     mateialize: table
  |     ^^^^^^^^^^
  |
 ::: pipelines/b.yaml:1:6
  |
1 | job: a
  |      - the other one
  |
  = hint: did you mean `materialize`?

1 error
";
        assert_eq!(render(&[diagnostic], false), expected);
        let bare = Diagnostic::warning("slow", "this takes long").hint("wait");
        assert_eq!(render(&[bare], false), "warning[slow]: this takes long\n = hint: wait\n\n1 warning\n");
    }
}
