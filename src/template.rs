//! Templates in SQL: minijinja, strict, and safe by default, since a value renders as an SQL literal. It reads no file
//! and knows no job; what may be included and which macros there are was read before.
//!
//! `{{ value }}` gives a literal: text quoted and escaped, numbers, truth values, dates typed, a list comma-separated, none
//! as NULL. `{{ name | ident }}` gives an identifier, `{{ text | raw }}` the text itself. Macros of `sql/macros/*.sql` are
//! known everywhere; what a macro writes is SQL already, while its arguments are still escaped. `{% include %}` takes files
//! of `sql/` only.

use std::sync::Arc;

use minijinja::value::{Kwargs, Value as Jinja};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, OutputSpanKind, State, UndefinedBehavior};
use regex::Regex;

use crate::diagnostic::Diagnostic;
use crate::text::derived::{Derived, Part};
use crate::text::files::Files;
use crate::text::{SourceFile, Spanned};

/// What went wrong in a template, told to its author.
mod fault;

/// Variables and how they render.
pub mod variable;

pub use variable::{Variable, Variables};

/// What one template may spend: about an instruction or 64 bytes each.
const FUEL: u64 = 2_000_000;
/// The name under which a step's own template is compiled.
const STEP: &str = "<step>";
/// How many undefined names of one template are told at once.
const MOST_FAULTS: usize = 20;

/// All that templates of a project share: compiled once, rendered from any thread.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    macros: Arc<Macros>,
    files: Arc<Files>,
}

/// Which macro stands in which file.
#[derive(Debug, Default)]
struct Macros {
    by_name: Vec<(String, String)>,
}

impl Macros {
    /// What has to stand before a template so that it knows the macros it mentions.
    fn imports(&self, text: &str, own_path: &str) -> String {
        if !text.contains("{{") && !text.contains("{%") {
            return String::new();
        }
        let mentioned = self.by_name.iter().filter(|(name, path)| path != own_path && mentions(text, name));
        mentioned.map(|(name, path)| format!("{{% from \"{path}\" import {name} %}}")).collect()
    }
}

/// Whether a text has a word that is not part of a longer one.
fn mentions(text: &str, word: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(inside)
            && !text[at + word.len()..].chars().next().is_some_and(inside)
    })
}

impl Templates {
    /// The templates of a project: its macros are read from `sql/macros/`.
    pub fn new(files: Arc<Files>) -> (Self, Vec<Diagnostic>) {
        let (macros, problems) = Macros::read(&files);
        let macros = Arc::new(macros);
        let environment = environment(&files, &macros);
        let mut templates = Self { environment, macros, files };
        let mut problems = problems;
        problems.extend(templates.check_macros());
        (templates, problems)
    }

    /// Renders a template. A text without template syntax is itself.
    pub fn render(&self, template: &Derived, variables: &Variables) -> Result<Derived, Vec<Diagnostic>> {
        let text = template.text();
        if !["{{", "{%", "{#"].iter().any(|mark| text.contains(mark)) {
            return Ok(template.clone());
        }
        let path = template.source().path().to_string_lossy();
        let imports = self.macros.imports(text, &path);
        let whole = format!("{imports}{text}");
        let faults = fault::Faults { templates: self, template, shift: imports.len(), variables };
        let compiled =
            self.environment.template_from_named_str(STEP, &whole).map_err(|error| vec![faults.tell(&error)])?;
        let mut context = variables.clone();
        let mut problems = Vec::new();
        loop {
            match compiled.render_with_spans(context.context()) {
                Ok((output, spans)) if problems.is_empty() => {
                    return Ok(self.derived(template, imports.len(), output, &spans));
                }
                Ok(_) => return Err(problems),
                Err(error) => {
                    problems.push(faults.tell(&error));
                    match faults.undefined_name(&error) {
                        Some(name) if problems.len() < MOST_FAULTS && context.get(&name).is_none() => {
                            context.insert(&name, Variable::Unknown);
                        }
                        _ => return Err(problems),
                    }
                }
            }
        }
    }

    fn derived(&self, template: &Derived, shift: usize, output: String, spans: &[minijinja::OutputSpan]) -> Derived {
        let parts = spans.iter().map(|span| {
            let (file, shift) = self.file(span.name(), template, shift);
            let range = span.source_range();
            Part {
                start: span.output_range().start,
                origin: file.span(range.start.saturating_sub(shift)..range.end.saturating_sub(shift)),
                copied: span.kind() == OutputSpanKind::Raw,
            }
        });
        let mut parts: Vec<_> = parts.collect();
        if parts.is_empty() {
            let origin = template.source().span(0..template.text().len());
            parts.push(Part { start: 0, origin, copied: false });
        }
        Derived::new(SourceFile::new(template.source().path(), output), parts).through(template.clone())
    }

    /// The file of a compiled template, and how many bytes of imports stand before its text.
    fn file(&self, name: &str, template: &Derived, shift: usize) -> (SourceFile, usize) {
        match self.files.get(name) {
            Some(file) if name != STEP => (file.clone(), self.macros.imports(file.text(), name).len()),
            _ => (template.source().clone(), shift),
        }
    }

    /// Whether a condition over variables (`when`) is true.
    pub fn condition(&self, written: &Spanned<String>, variables: &Variables) -> Result<bool, Vec<Diagnostic>> {
        Ok(self.evaluate(written, variables)?.is_true())
    }

    /// The items of a list that an expression over variables gives (`for_each`).
    pub fn items(&self, written: &Spanned<String>, variables: &Variables) -> Result<Vec<Variable>, Vec<Diagnostic>> {
        let value = self.evaluate(written, variables)?;
        let refused = || {
            let message = format!("`{}` is {} and not a list", written.value.trim(), variable::kind(&value));
            vec![Diagnostic::error("wrong-type", message).at(written.span.clone())]
        };
        match Variable::from_jinja(&value) {
            Some(Variable::List(items)) => Ok(items),
            _ => Err(refused()),
        }
    }

    /// A value such as `publish` with the variables filled in, as plain text and not as SQL.
    pub fn fill(&self, written: &Spanned<String>, variables: &Variables) -> Result<String, Vec<Diagnostic>> {
        if !written.value.contains("{{") {
            return Ok(written.value.clone());
        }
        let mut filled = String::new();
        let mut rest = written.value.as_str();
        while let Some((before, after)) = rest.split_once("{{") {
            filled.push_str(before);
            let Some((expression, after)) = after.split_once("}}") else {
                let message = format!("`{}` opens `{{{{` and does not close it", written.value);
                return Err(vec![Diagnostic::error("template-syntax", message).at(written.span.clone())]);
            };
            let value = self.evaluate(&Spanned::new(expression.to_owned(), written.span.clone()), variables)?;
            filled.push_str(&value.to_string());
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn evaluate(&self, written: &Spanned<String>, variables: &Variables) -> Result<Jinja, Vec<Diagnostic>> {
        let text = written.value.trim();
        let text = text.strip_prefix("{{").and_then(|t| t.strip_suffix("}}")).unwrap_or(text).trim();
        let source = Derived::new(
            SourceFile::new(written.span.file.path(), text),
            vec![Part { start: 0, origin: written.span.clone(), copied: false }],
        );
        let faults = fault::Faults { templates: self, template: &source, shift: 0, variables };
        let evaluated = self.environment.compile_expression(text).and_then(|e| e.eval(variables.context()));
        match evaluated {
            Ok(value) if value.is_undefined() => Err(vec![faults.undefined(text, written.span.clone())]),
            Ok(value) if variable::is_too_long(&value) => Err(vec![fault::too_long(written.span.clone())]),
            Ok(value) => Ok(value),
            Err(error) => Err(vec![faults.tell(&error)]),
        }
    }

    /// Everything that can be known about macros before they are called.
    fn check_macros(&mut self) -> Vec<Diagnostic> {
        let none = Variables::default();
        let mut problems = Vec::new();
        for file in self.files.under("sql/macros/") {
            let template = Derived::itself(file.clone());
            let path = file.path().to_string_lossy().into_owned();
            let shift = self.macros.imports(file.text(), &path).len();
            let faults = fault::Faults { templates: self, template: &template, shift, variables: &none };
            if let Err(error) = self.environment.get_template(&path) {
                problems.push(faults.tell(&error));
            }
        }
        problems
    }
}

impl Macros {
    fn read(files: &Files) -> (Self, Vec<Diagnostic>) {
        let mut macros = Self::default();
        let mut problems = Vec::new();
        let Ok(pattern) = Regex::new(r"(?s)\{#.*?#\}|\{%[-+]?\s*macro\s+([A-Za-z_][A-Za-z0-9_]*)") else {
            return (macros, problems);
        };
        for file in files.under("sql/macros/") {
            let path = file.path().to_string_lossy().replace('\\', "/");
            for found in pattern.captures_iter(file.text()).filter_map(|found| found.get(1)) {
                let name = found.as_str().to_owned();
                if let Some((_, other)) = macros.by_name.iter().find(|(known, _)| *known == name) {
                    let message = format!("the macro `{name}` is defined in `{other}` already");
                    problems.push(Diagnostic::error("duplicate-macro", message).at(file.span(found.range())));
                } else {
                    macros.by_name.push((name, path.clone()));
                }
            }
        }
        (macros, problems)
    }
}

fn environment(files: &Arc<Files>, macros: &Arc<Macros>) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Custom("sql".into()));
    environment.set_formatter(|out, _, value| variable::write_literal(out, value));
    environment.set_fuel(Some(FUEL));
    environment.set_debug(true);
    environment.remove_filter("safe");
    environment.remove_global("debug");
    environment.add_filter("raw", variable::raw);
    environment.add_filter("ident", variable::identifier);
    environment.add_filter("date", variable::date);
    environment.add_filter("timestamp", variable::timestamp);
    environment.add_function("secret", |_: &State, _: String, _: Kwargs| -> Result<Jinja, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, fault::SECRET))
    });
    environment.set_path_join_callback(|name, parent| {
        // A name with a NUL is no file's, so that what leads out of `sql/` is not found.
        fault::included_path(name, parent).unwrap_or_else(|| "\0".to_owned()).into()
    });
    let (files, macros) = (Arc::clone(files), Arc::clone(macros));
    environment.set_loader(move |name| {
        Ok(files.get(name).map(|file| format!("{}{}", macros.imports(file.text(), name), file.text())))
    });
    environment
}

#[cfg(test)]
mod tests;
