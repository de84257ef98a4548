//! The query that a test becomes, with the way back to what its author wrote: conditions, queries and names stand in it as
//! they are in the YAML, the rest is of the rule's making and belongs to the rule's place.

use std::ops::Range;

use super::resolve::moved;
use crate::diagnostic::Diagnostic;
use crate::dialect;
use crate::rule::{Rule, Test};
use crate::text::derived::Derived;
use crate::text::{SourceFile, Span};

/// A test's query and the parts of it that its author wrote.
#[derive(Clone, Debug)]
pub struct Tested {
    source: SourceFile,
    rule: Span,
    texts: Vec<(Range<usize>, Derived)>,
    names: Vec<(Range<usize>, Span)>,
}

impl Tested {
    /// The query that a rendered test makes of a table.
    pub fn new(test: &Test, table: &str) -> Self {
        let sql = test.query(table);
        let mut tested = Self {
            source: SourceFile::new(test.span.file.path(), String::new()),
            rule: test.span.clone(),
            texts: Vec::new(),
            names: Vec::new(),
        };
        if let Some(filter) = &test.filter {
            tested.written(&sql, " where ", filter);
        }
        match &test.rule {
            Rule::Expression(text) => tested.written(&sql, "not (", text),
            Rule::Sql(text) => tested.written(&sql, "from (", text),
            Rule::Relationships { to, to_columns, .. } => {
                tested.named(&sql, &format!(" from {}) as there", to.value.sql()), &to.span);
                for column in to_columns {
                    tested.named(&sql, &format!("distinct {}", column.value.sql()), &column.span);
                    tested.named(&sql, &format!("there.{}", column.value.sql()), &column.span);
                }
            }
            _ => {}
        }
        tested.source = SourceFile::new(test.span.file.path(), sql);
        tested
    }

    /// The query, under the name of the file that the test is in.
    pub fn source(&self) -> &SourceFile {
        &self.source
    }

    /// Whether a place of the query is in what its author wrote.
    pub fn is_written(&self, span: &Span) -> bool {
        self.texts.iter().any(|(range, _)| range.contains(&span.start))
    }

    /// Where the author wrote what stands at a place of the query.
    pub fn origin(&self, span: &Span) -> Span {
        if span.file != self.source {
            return span.clone();
        }
        let name = || self.names.iter().find(|(range, _)| range.contains(&span.start)).map(|(_, place)| place.clone());
        let Some((range, text)) = self.texts.iter().find(|(range, _)| range.contains(&span.start)) else {
            return name().unwrap_or_else(|| self.rule.clone());
        };
        let lead = text.text().len() - text.text().trim_start().len();
        let from = span.start - range.start + lead;
        let to = span.end.min(range.end).saturating_sub(range.start) + lead;
        text.origin(&text.source().span(from..to.max(from)))
    }

    /// What is wrong with the author's texts, each read on its own; none where only the whole cannot be read.
    pub(super) fn faults(&self) -> Vec<Diagnostic> {
        const BEFORE: &str = "select (\n";
        let mut problems = Vec::new();
        for (range, _) in &self.texts {
            let body = &self.source.text()[range.clone()];
            let alone = SourceFile::new(self.source.path(), format!("{BEFORE}{body}\n)"));
            let Err(faults) = dialect::parse(&alone) else { continue };
            let place = |span: &Span| {
                if span.file != alone {
                    return span.clone();
                }
                let at = span.start.saturating_sub(BEFORE.len()).min(body.len().saturating_sub(1));
                self.origin(&self.source.span(range.start + at..range.start + at + 1))
            };
            problems.extend(faults.into_iter().map(|fault| moved(fault, &place)));
        }
        problems
    }

    fn written(&mut self, sql: &str, before: &str, text: &Derived) {
        let body = text.text().trim().trim_end_matches(';').trim_end();
        for (at, _) in sql.match_indices(&format!("{before}{body}\n)")) {
            let start = at + before.len();
            self.texts.push((start..start + body.len(), text.clone()));
        }
    }

    fn named(&mut self, sql: &str, text: &str, place: &Span) {
        self.names.extend(sql.match_indices(text).map(|(at, _)| (at..at + text.len(), place.clone())));
    }
}
