//! What went wrong in a template, told to its author: minijinja's errors as diagnostics with a place in the right file.

use minijinja::{Error, ErrorKind};

use super::{STEP, Templates, Variables};
use crate::diagnostic::Diagnostic;
use crate::name::nearest;
use crate::text::Span;
use crate::text::derived::Derived;
use crate::text::files::within;

/// What minijinja's error says when a template asks for a secret.
pub(super) const SECRET: &str = "secrets are never written into SQL";

/// The file of `sql/` that an `include` names: from the folder of the including file where it starts with a dot, else from
/// `sql/`. None where it leads out.
pub(super) fn included_path(name: &str, parent: &str) -> Option<String> {
    let folder = parent.rsplit_once('/').map_or("sql", |(folder, _)| folder);
    let base = if name.starts_with("sql/") {
        ""
    } else if name.starts_with('.') {
        folder
    } else {
        "sql"
    };
    within("sql", base, name)
}

/// The template that was rendered, to find places in.
pub(super) struct Faults<'a> {
    pub(super) templates: &'a Templates,
    pub(super) template: &'a Derived,
    /// Bytes of imports before the template's text.
    pub(super) shift: usize,
    pub(super) variables: &'a Variables,
}

/// What is told of a template that spends too much.
pub(super) fn too_long(span: Span) -> Diagnostic {
    Diagnostic::error("template-too-long", "this template does too much work and was stopped")
        .at(span)
        .hint("a loop in a template is for a handful of columns; loop over rows in SQL")
}

impl Faults<'_> {
    /// The diagnostic for an error.
    pub(super) fn tell(&self, error: &Error) -> Diagnostic {
        let error = innermost(error);
        let span = self.span(error);
        let detail = error.detail().unwrap_or_default().to_owned();
        match error.kind() {
            ErrorKind::UndefinedError => {
                let expression = undefined_expression(error, &span);
                let span = nearest_place(&span, &expression);
                self.undefined(&expression, span)
            }
            ErrorKind::SyntaxError => Diagnostic::error(
                "template-syntax",
                format!("this template is not complete or not well formed: {detail}"),
            )
            .at(span),
            ErrorKind::UnknownFilter
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownFunction
            | ErrorKind::UnknownMethod => self.unknown(error.kind(), &detail, span),
            ErrorKind::TemplateNotFound => self.not_found(&detail, span),
            ErrorKind::OutOfFuel => too_long(span),
            _ if detail == SECRET => Diagnostic::error("secret-not-allowed", SECRET)
                .at(span)
                .hint("`secret()` is for connections in pipe.yaml"),
            _ => {
                let message = if detail.is_empty() { error.kind().to_string() } else { detail };
                Diagnostic::error("template-error", message).at(span)
            }
        }
    }

    /// The undefined variable that an error is about, to be taken for something so that the rest can be looked at.
    pub(super) fn undefined_name(&self, error: &Error) -> Option<String> {
        let error = innermost(error);
        (error.kind() == ErrorKind::UndefinedError)
            .then(|| root(&undefined_expression(error, &self.span(error))).to_owned())
    }

    /// The diagnostic for an undefined expression.
    pub(super) fn undefined(&self, expression: &str, span: Span) -> Diagnostic {
        let name = root(expression);
        let known: Vec<&str> =
            self.variables.names().chain(self.templates.macros.by_name.iter().map(|(n, _)| n.as_str())).collect();
        if known.contains(&name) {
            let message = format!("`{expression}` is undefined");
            let keys = match self.variables.get(name) {
                Some(super::Variable::Map(entries)) => entries.keys().map(String::as_str).collect(),
                _ => Vec::new(),
            };
            let last = expression.rsplit('.').next().unwrap_or_default();
            return Diagnostic::error("undefined-variable", message).at(span).did_you_mean(nearest(last, keys));
        }
        let diagnostic = Diagnostic::error("undefined-variable", format!("there is no variable `{name}`")).at(span);
        match nearest(name, known) {
            Some(near) => diagnostic.did_you_mean(Some(near)),
            None => diagnostic.hint("define it under `vars:` in the job, or give it a value with `| default(…)`"),
        }
    }

    fn unknown(&self, kind: ErrorKind, detail: &str, span: Span) -> Diagnostic {
        let name = quoted(detail).unwrap_or(detail).to_owned();
        let macros = self.templates.macros.by_name.iter().map(|(name, _)| name.as_str());
        match kind {
            ErrorKind::UnknownFilter => {
                let near = nearest(&name, FILTERS.iter().copied());
                Diagnostic::error("unknown-filter", format!("there is no filter `{name}`")).at(span).did_you_mean(near)
            }
            ErrorKind::UnknownTest => {
                Diagnostic::error("unknown-filter", format!("there is no template test `{name}`")).at(span)
            }
            _ => {
                let near = nearest(&name, macros);
                let diagnostic = Diagnostic::error("unknown-macro", format!("there is no macro `{name}`")).at(span);
                match near {
                    Some(_) => diagnostic.did_you_mean(near),
                    None => diagnostic.hint("macros are defined in `sql/macros/*.sql`"),
                }
            }
        }
    }

    fn not_found(&self, detail: &str, span: Span) -> Diagnostic {
        let name = quoted(detail).unwrap_or(detail);
        let parent =
            if span.file == *self.template.source() { STEP } else { span.file.path().to_str().unwrap_or(STEP) };
        let Some(path) = included_path(name, parent) else {
            let message = format!("`{name}` leads out of the folder `sql/`");
            return Diagnostic::error("path-outside-sql", message)
                .at(span)
                .hint("only files inside `sql/` can be included");
        };
        let diagnostic = Diagnostic::error("missing-include", format!("there is no file `{path}` to include")).at(span);
        diagnostic.did_you_mean(self.templates.files.nearest(&path))
    }

    fn span(&self, error: &Error) -> Span {
        let name = error.name().unwrap_or(STEP);
        let (file, shift) = self.templates.file(name, self.template, self.shift);
        let span = match (error.range(), error.line()) {
            (Some(range), _) if range.end > shift => file.span(range.start.saturating_sub(shift)..range.end - shift),
            (_, Some(line)) => whole_line(&file, line),
            _ => file.span(0..0),
        };
        self.template.origin(&span)
    }
}

fn whole_line(file: &crate::text::SourceFile, line: usize) -> Span {
    let start = file.offset(line, 1);
    let length = file.text()[start..].find('\n').unwrap_or(file.text().len() - start);
    file.span(start..start + length)
}

/// The error that a chain of includes started from.
fn innermost(error: &Error) -> &Error {
    let mut inner = error;
    while let Some(source) = std::error::Error::source(inner).and_then(|source| source.downcast_ref::<Error>()) {
        inner = source;
    }
    inner
}

/// The expression that was undefined: minijinja names it in backticks, else it is what the place covers.
fn undefined_expression(error: &Error, span: &Span) -> String {
    let named = error.detail().and_then(|detail| detail.split('`').nth(1));
    named.map_or_else(|| expression(span.text()), str::to_owned)
}

/// Where an expression stands: inside the place, or the last time before it, as in `name | filter`.
fn nearest_place(span: &Span, expression: &str) -> Span {
    let inside = span.text().find(expression).map(|at| span.start + at);
    let found = inside.or_else(|| span.file.text()[..span.start].rfind(expression));
    found.map_or_else(|| span.clone(), |start| span.file.span(start..start + expression.len()))
}

/// The expression of a place that may cover its delimiters as well.
fn expression(text: &str) -> String {
    text.trim().trim_start_matches("{{").trim_end_matches("}}").trim_matches(['-', ' ', '\n']).to_owned()
}

/// The variable that an expression starts with.
fn root(expression: &str) -> &str {
    let start = expression.find(|c: char| c.is_alphabetic() || c == '_').unwrap_or(0);
    let rest = &expression[start..];
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    &rest[..end]
}

/// The first quoted word of a message of minijinja's: `filter foo is unknown` and `template "x" does not exist`.
fn quoted(detail: &str) -> Option<&str> {
    for quote in ['"', '\''] {
        if let Some((_, rest)) = detail.split_once(quote) {
            return rest.split_once(quote).map(|(name, _)| name);
        }
    }
    let mut words = detail.split(' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some("filter" | "test" | "function" | "method"), Some(name), Some("is"), Some("unknown")) => Some(name),
        (Some(name), Some("is"), Some("unknown"), _) => Some(name),
        _ => None,
    }
}

const FILTERS: [&str; 20] = [
    "raw",
    "ident",
    "date",
    "timestamp",
    "default",
    "join",
    "lower",
    "upper",
    "trim",
    "replace",
    "length",
    "first",
    "last",
    "map",
    "select",
    "sort",
    "unique",
    "items",
    "list",
    "round",
];
