//! YAML → suites. What a suite means for its job is not known here.

use std::collections::HashMap;
use std::path::Path;

use super::keys::{SUITE, table_name};
use super::rows::{self, Place, Rows};
use super::{Expectation, Given, How, Matching, Suite, Tolerance, UnitTest};
use crate::diagnostic::Diagnostic;
use crate::name::{Name, TableName};
use crate::rule::read::column_name;
use crate::settings::{Moment, instant};
use crate::template::Variable;
use crate::text::{SourceFile, Spanned};
use crate::yaml::shape::Shape;
use crate::yaml::{self, Node, Value};

/// Reads a file of unit tests; CSV files that it names are read too, below `root`.
pub fn parse(file: &SourceFile, root: &Path) -> (Option<Suite>, Vec<Diagnostic>) {
    let node = match yaml::parse(file) {
        Ok(node) => node,
        Err(problems) => return (None, problems),
    };
    let mut problems = Vec::new();
    Shape::Record(&SUITE).check(&node, &mut problems);
    let mut reader = Reader { place: Place { root, file }, problems };
    let suite = reader.suite(&node);
    (suite, reader.problems)
}

/// What a file says for all its tests, or a test for itself.
#[derive(Clone, Default)]
struct Common {
    date: Option<Moment>,
    variables: Vec<(Spanned<String>, Variable)>,
    given: Vec<Given>,
    defaults: HashMap<TableName, Vec<rows::Cell>>,
}

struct Reader<'a> {
    place: Place<'a>,
    problems: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn suite(&mut self, node: &Node) -> Option<Suite> {
        let job = node.get("job")?;
        let job = Spanned::new(Name::unquoted(job.scalar()?), job.span.clone());
        let mut tests: Vec<UnitTest> = Vec::new();
        let list = node.get("tests").filter(|list| matches!(list.value, Value::List(_)));
        let alone = ["name", "expect"].iter().find_map(|key| node.map()?.entry(key));
        match (list, alone) {
            (Some(_), Some(alone)) => {
                let message = format!("`{}` stands beside `tests`, and belongs to one test", alone.key.value);
                let diagnostic = Diagnostic::error("two-kinds", message).at(alone.key.span.clone());
                self.problems.push(diagnostic.hint("move it into a test of the list"));
            }
            (Some(list), None) => {
                let common = self.common(node, &Common::default(), false);
                for node in list.items() {
                    tests.extend(self.test(node, &common));
                }
            }
            (None, Some(_)) => tests.extend(self.test(node, &Common::default())),
            (None, None) if node.map().is_some_and(|map| map.get("tests").is_none()) => {
                let diagnostic = Diagnostic::error("missing-key", "this file has no test").at(node.span.clone());
                self.problems.push(diagnostic.hint("add `tests:` with a list, or `expect:` for a single test"));
            }
            (None, None) => {}
        }
        for (at, test) in tests.iter().enumerate() {
            if let Some(other) = tests[..at].iter().find(|other| other.name.value == test.name.value) {
                let message = format!("there are two tests called `{}`", test.name.value);
                let diagnostic = Diagnostic::error("duplicate-test", message).at(test.name.span.clone());
                self.problems.push(diagnostic.related(other.name.span.clone(), "the other one"));
            }
        }
        Some(Suite { file: self.place.file.clone(), job, tests })
    }

    fn test(&mut self, node: &Node, common: &Common) -> Option<UnitTest> {
        let stem = self.place.file.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = match node.get("name").and_then(|node| Some((node.text()?, node.span.clone()))) {
            Some((text, span)) => Spanned::new(text.trim().to_owned(), span),
            None => Spanned::new(stem, node.span.clone()),
        };
        let Common { date, variables, given, defaults } = self.common(node, common, true);
        let entries = node.get("expect").map(Node::entries).unwrap_or_default();
        let expect = entries.iter().filter_map(|entry| self.expectation(&entry.key, &entry.value)).collect();
        if let Some(expect) = node.get("expect").filter(|node| node.map().is_some() && entries.is_empty()) {
            let diagnostic = Diagnostic::error("missing-value", "this test expects nothing").at(expect.span.clone());
            self.problems.push(diagnostic.hint("name a step and its rows; `[]` means none"));
        }
        let description = node.get("description").and_then(Node::text).map(str::to_owned);
        Some(UnitTest { name, description, date, variables, given, defaults, expect })
    }

    /// `date`, `vars`, `given` and `defaults` of a node, over those of its file.
    fn common(&mut self, node: &Node, outer: &Common, own: bool) -> Common {
        let mut common = outer.clone();
        if let Some(date) = node.get("date").and_then(Node::scalar).and_then(|text| instant(text).ok()) {
            common.date = Some(date);
        }
        for entry in node.get("vars").map(Node::entries).unwrap_or_default() {
            common.variables.retain(|(name, _)| name.value != entry.key.value);
            common.variables.push((entry.key.clone(), Variable::from_yaml(&entry.value)));
        }
        for entry in node.get("given").map(Node::entries).unwrap_or_default() {
            let Some(table) = self.table(&entry.key) else { continue };
            let rows = match entry.value.value {
                Value::Null => Rows::none(&entry.key.span, entry.key.span.clone()),
                _ => rows::read(&entry.key.span, &entry.value, self.place, &mut self.problems),
            };
            common.given.retain(|given| given.table.value != table.value);
            common.given.push(Given { table, rows, own });
        }
        for entry in node.get("defaults").map(Node::entries).unwrap_or_default() {
            let Some(table) = self.table(&entry.key) else { continue };
            let cells = rows::cells(&entry.value, &mut self.problems);
            let of_table = common.defaults.entry(table.value).or_default();
            of_table.retain(|old| !cells.iter().any(|new| new.column.value == old.column.value));
            of_table.extend(cells);
        }
        common
    }

    fn table(&mut self, key: &Spanned<String>) -> Option<Spanned<TableName>> {
        let table = table_name(&key.value).map(|name| Spanned::new(name, key.span.clone()));
        if table.is_none() {
            let message = format!("`{}` is not the name of a table or step", key.value);
            self.problems.push(Diagnostic::error("wrong-value", message).at(key.span.clone()));
        }
        table
    }

    fn expectation(&mut self, key: &Spanned<String>, node: &Node) -> Option<Expectation> {
        let Some(step) = column_name(&key.value) else {
            let message = format!("`{}` is not the name of a step", key.value);
            let diagnostic = Diagnostic::error("wrong-value", message).at(key.span.clone());
            self.problems.push(diagnostic.hint("a step is named without its job"));
            return None;
        };
        let step = Spanned::new(step, key.span.clone());
        if node.map().is_none() {
            let rows = Some(rows::read(&key.span, node, self.place, &mut self.problems));
            return Some(Expectation { step, rows, how: How::default(), empty: None, tests: None });
        }
        let rows = node.map().and_then(|map| map.entry("rows")).filter(|entry| entry.value.value != Value::Null);
        let rows = rows.map(|entry| rows::read(&entry.key.span, &entry.value, self.place, &mut self.problems));
        let tests = node.get("tests").filter(|list| !list.items().is_empty()).cloned();
        let empty = node.get("empty").and_then(|node| Some((node.boolean()?, node.span.clone())));
        if rows.is_none() && tests.is_none() && empty.is_none() {
            let message = format!("nothing is expected of step `{}`", key.value);
            let diagnostic = Diagnostic::error("missing-key", message).at(node.span.clone());
            self.problems.push(diagnostic.hint("add `rows:`, `empty: true` or `tests:`"));
        }
        let how = How {
            matching: match node.get("match").and_then(Node::text) {
                Some("ordered") => Matching::Ordered,
                Some("subset") => Matching::Subset,
                _ => Matching::Unordered,
            },
            tolerance: node.get("tolerance").map(tolerance).unwrap_or_default(),
        };
        Some(Expectation { step, rows, how, empty, tests })
    }
}

fn tolerance(node: &Node) -> Tolerance {
    let column = |entry: &yaml::Entry| {
        let name = Spanned::new(column_name(&entry.key.value)?, entry.key.span.clone());
        Some((name, entry.value.number()?.abs()))
    };
    Tolerance {
        all: node.number().unwrap_or_default().abs(),
        by_column: node.entries().iter().filter_map(column).collect(),
    }
}
