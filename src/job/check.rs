//! Sanity checks as an author writes them: a query of its own, what is expected of it, and the job's figures to hold
//! against it. What they come to is `check`'s, at the crate's root.

use std::time::Duration;

use crate::diagnostic::Diagnostic;
use crate::job::keys::{COLUMN_NAME, DURATION, duration};
use crate::name::{Name, TableName};
use crate::rule::read::{TESTS, column_name, exceeds, sql_literal, tests};
use crate::rule::{Rule, Severity, Test};
use crate::text::derived::Derived;
use crate::text::files::Files;
use crate::text::{Span, Spanned};
use crate::yaml::shape::{Form, Key, Record, Shape};
use crate::yaml::{self, Node};

/// One sanity check.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Its name.
    pub name: Spanned<Name>,
    /// What it looks at, in the author's words.
    pub about: Option<String>,
    /// The query, a template still.
    pub sql: Derived,
    /// What is expected of the query's result.
    pub expect: Vec<Test>,
    /// The job's own figures for the same thing.
    pub reconcile: Option<Reconcile>,
    /// What is expected of tables that the query reads, beside their contracts.
    pub data: Vec<Profile>,
    /// What it means where the check is not ok.
    pub severity: Severity,
}

/// The job's figures to hold against the check's.
#[derive(Clone, Debug, PartialEq)]
pub struct Reconcile {
    /// The job, where it is not the file's own.
    pub job: Option<Name>,
    /// The step whose result has the figures.
    pub step: Spanned<Name>,
    /// The columns that say which row is which, on both sides.
    pub key: Vec<Spanned<Name>>,
    /// The figures: the check's column and the step's.
    pub columns: Vec<(Spanned<Name>, Spanned<Name>)>,
    /// The rows of the step that the check is about, as an SQL condition; all where there is none.
    pub filter: Option<Derived>,
    /// How far they may differ.
    pub tolerance: Tolerance,
}

/// How far two figures may differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// By so much.
    Absolute(f64),
    /// By so many hundredths of the check's figure.
    Percent(f64),
}

/// What is expected of a table that a check reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The table.
    pub table: Spanned<TableName>,
    /// The column that says when a row came about.
    pub time: Option<Spanned<Name>>,
    /// How old the newest row may be.
    pub fresh_within: Option<Duration>,
    /// How far ahead of now the newest row must be: the table is a schedule of what is to come.
    pub reaches: Option<Duration>,
    /// How far the rows of a day may be from what is usual, in hundredths.
    pub volume: Option<f64>,
    /// What it means where the table is off.
    pub severity: Option<Severity>,
}

static TOLERANCE: Form = Form {
    noun: "a number or a percentage",
    example: "0.5%",
    accepts: |text| tolerance(text).is_some(),
    pattern: "^[0-9]+(\\.[0-9]+)?\\s*%?$",
};

/// A job and step, `job.step`, or a step of this file's job.
static STEP_NAME: Form = Form {
    noun: "a step, or a job and step",
    example: "this_week.bookmarks",
    accepts: |text| TableName::parse(text).is_some_and(|name| name.database.is_none()),
    pattern: "^[A-Za-z_][A-Za-z0-9_]*(\\.[A-Za-z_][A-Za-z0-9_]*)?$",
};

static EXPECTATION_COLUMN: Record = Record::new(
    "expectation",
    &[
        Key::new("column", Shape::Form(COLUMN_NAME), "The column of the query's result.").required(),
        Key::new("between", Shape::List(&Shape::Scalar), "The least and the greatest value allowed.")
            .example("[1, 1000000]"),
        Key::new("not_null", Shape::Boolean, "Whether every row must have a value."),
        Key::new("in", Shape::List(&Shape::Scalar), "The values that may occur."),
        Key::new(
            "severity",
            Shape::Word(&["warn", "error"]),
            "What missing the expectation means; by default `error`.",
        ),
    ],
);

static RECONCILE: Record = Record::new(
    "reconcile",
    &[
        Key::new("step", Shape::Form(&STEP_NAME), "The step whose result has the job's figures.")
            .required()
            .example("this_week.bookmarks"),
        Key::new("key", Shape::OneOrMore(&Shape::Form(COLUMN_NAME)), "The columns that say which row is which.")
            .required()
            .example("[program_id]"),
        Key::new(
            "where",
            Shape::Text,
            "The rows of the step that the check is about, as an SQL condition; by default all.",
        )
        .example("affinity = 'Cinéma'"),
        Key::new(
            "columns",
            Shape::Names { noun: "column", value: &Shape::Form(COLUMN_NAME) },
            "The check's column, and the step's that must agree with it.",
        )
        .required()
        .example("{cnt: bookmarks}"),
        Key::new("tolerance", Shape::Form(&TOLERANCE), "How far they may differ; by default not at all.")
            .example("0.5%"),
    ],
);

/// A share in hundredths.
static PERCENT: Form = Form {
    noun: "a percentage",
    example: "50%",
    accepts: |text| percent(text).is_some(),
    pattern: "^[0-9]+(\\.[0-9]+)?\\s*%$",
};

const SEVERITY: Key =
    Key::new("severity", Shape::Word(&["warn", "error"]), "What it means where it is off; by default `error`.");

static PROFILE: Record = Record::new(
    "table profile",
    &[
        Key::new("time", Shape::Form(COLUMN_NAME), "The column that says when a row came about.")
            .example("scheduled_at"),
        Key::new("fresh_within", Shape::Form(&DURATION), "How old the newest row may be.").example("1d"),
        Key::new(
            "reaches",
            Shape::Form(&DURATION),
            "How far ahead of now the newest row must be: the table is a schedule of what is to come.",
        )
        .example("7d"),
        Key::new(
            "volume",
            Shape::Form(&PERCENT),
            "How far the rows of a day may be from what is usual; by default 33%.",
        )
        .example("50%"),
        SEVERITY,
    ],
);

static CHECK: Record = Record::new(
    "check",
    &[
        Key::new("about", Shape::Text, "What it looks at."),
        Key::new(
            "sql",
            Shape::Text,
            "The query, or the path of its file under `sql/`; it does not use the job's steps.",
        )
        .required()
        .example("checks/bookmarks.sql"),
        Key::new(
            "expect",
            Shape::List(&Shape::Any),
            "What is expected of the query's result: `column` with `between`, `in` or `not_null`, or a test.",
        )
        .example("[{rows: {min: 20}}]"),
        Key::new("reconcile", Shape::Record(&RECONCILE), "The job's own figures for the same thing."),
        Key::new(
            "data",
            Shape::Names { noun: "table", value: &Shape::Record(&PROFILE) },
            "What is expected of tables it reads, beside their contracts.",
        ),
        SEVERITY,
    ],
);

/// Checks by name.
pub static CHECKS: Shape = Shape::Names { noun: "check", value: &Shape::Record(&CHECK) };

/// The checks of a mapping that [`CHECKS`] has checked.
pub fn checks(node: &Node, files: &Files, problems: &mut Vec<Diagnostic>) -> Vec<Check> {
    node.entries().iter().filter_map(|entry| check(&entry.key, &entry.value, files, problems)).collect()
}

fn check(name: &Spanned<String>, node: &Node, files: &Files, problems: &mut Vec<Diagnostic>) -> Option<Check> {
    let expect = node.get("expect").map(|node| expectations(node, files, problems));
    let sql = node.get("sql").and_then(|sql| yaml::sql::read(sql, files, problems));
    Some(Check {
        name: Spanned::new(Name::unquoted(&name.value), name.span.clone()),
        about: node.get("about").and_then(Node::text).map(str::to_owned),
        sql: sql?,
        expect: expect.unwrap_or_default(),
        reconcile: node.get("reconcile").and_then(|node| reconcile(node, files, problems)),
        data: node.get("data").map(|node| node.entries().iter().filter_map(profile).collect()).unwrap_or_default(),
        severity: severity(node).unwrap_or_default(),
    })
}

fn severity(node: &Node) -> Option<Severity> {
    match node.get("severity").and_then(Node::text)? {
        "warn" => Some(Severity::Warn),
        _ => Some(Severity::Error),
    }
}

fn expectations(node: &Node, files: &Files, problems: &mut Vec<Diagnostic>) -> Vec<Test> {
    let mut expected = Vec::new();
    for item in node.items() {
        if item.get("column").is_none() {
            let list = Node { value: yaml::Value::List(vec![item.clone()]), span: item.span.clone() };
            TESTS.check(&list, problems);
            expected.extend(tests(&list, None, files, problems));
            continue;
        }
        let before = problems.len();
        Shape::Record(&EXPECTATION_COLUMN).check(item, problems);
        if problems.len() == before {
            expected.extend(column_expectations(item, problems));
        }
    }
    expected
}

fn column_expectations(node: &Node, problems: &mut Vec<Diagnostic>) -> Vec<Test> {
    let Some(column) = node.get("column").and_then(column) else { return Vec::new() };
    let mut rules = Vec::new();
    if let Some(between) = node.get("between") {
        match between.items() {
            [min, max] if min.scalar().zip(max.scalar()).is_some_and(|(low, high)| exceeds(low, high)) => {
                let message = "no value is between these, of which the first is the greater";
                let problem = Diagnostic::error("wrong-value", message).at(between.span.clone());
                problems.push(problem.hint("write the least value first"));
            }
            [min, max] => {
                rules.push(Rule::Range { column: column.clone(), min: sql_literal(min), max: sql_literal(max) })
            }
            _ => {
                let message = "`between` takes the least and the greatest value";
                problems
                    .push(Diagnostic::error("wrong-value", message).at(between.span.clone()).hint("write `[1, 100]`"));
            }
        }
    }
    if node.get("not_null").and_then(Node::boolean) == Some(true) {
        rules.push(Rule::NotNull(vec![column.clone()]));
    }
    if let Some(values) = node.get("in") {
        let values = values.items().iter().filter_map(sql_literal).collect();
        rules.push(Rule::AcceptedValues { column: column.clone(), values });
    }
    if rules.is_empty() && node.get("between").is_none() {
        let message = format!("nothing is expected of the column `{}`", column.value.lower());
        let hint = "add `between`, `in` or `not_null`";
        problems.push(Diagnostic::error("missing-key", message).at(column.span.clone()).hint(hint));
    }
    let severity = severity(node).unwrap_or_default();
    rules.into_iter().map(|rule| expectation(rule, &column, severity, &node.span)).collect()
}

fn expectation(rule: Rule, column: &Spanned<Name>, severity: Severity, span: &Span) -> Test {
    Test {
        name: format!("{}({})", rule.kind(), column.value.lower()),
        description: None,
        rule,
        filter: None,
        severity,
        warn_if: None,
        error_if: None,
        span: span.clone(),
    }
}

fn reconcile(node: &Node, files: &Files, problems: &mut Vec<Diagnostic>) -> Option<Reconcile> {
    let step = node.get("step")?;
    let name = TableName::parse(step.scalar()?)?;
    let pair = |entry: &yaml::Entry| {
        let here = Spanned::new(column_name(&entry.key.value)?, entry.key.span.clone());
        Some((here, column(&entry.value)?))
    };
    Some(Reconcile {
        job: name.schema,
        step: Spanned::new(name.table, step.span.clone()),
        key: node.get("key")?.items().iter().filter_map(column).collect(),
        columns: node.get("columns")?.entries().iter().filter_map(pair).collect(),
        filter: node.get("where").and_then(|node| yaml::sql::read(node, files, problems)),
        tolerance: node.get("tolerance").and_then(Node::scalar).and_then(tolerance).unwrap_or(Tolerance::Absolute(0.0)),
    })
}

fn profile(entry: &yaml::Entry) -> Option<Profile> {
    Some(Profile {
        table: Spanned::new(TableName::parse(&entry.key.value)?, entry.key.span.clone()),
        time: entry.value.get("time").and_then(column),
        fresh_within: entry.value.get("fresh_within").and_then(Node::scalar).and_then(duration),
        reaches: entry.value.get("reaches").and_then(Node::scalar).and_then(duration),
        volume: entry.value.get("volume").and_then(Node::scalar).and_then(percent),
        severity: severity(&entry.value),
    })
}

fn percent(text: &str) -> Option<f64> {
    text.trim().strip_suffix('%')?.trim().parse().ok().filter(|n: &f64| n.is_finite() && *n > 0.0)
}

fn column(node: &Node) -> Option<Spanned<Name>> {
    Some(Spanned::new(column_name(node.scalar()?)?, node.span.clone()))
}

fn tolerance(text: &str) -> Option<Tolerance> {
    let number = |text: &str| text.trim().parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0);
    match text.trim().strip_suffix('%') {
        Some(percent) => number(percent).map(Tolerance::Percent),
        None => number(text).map(Tolerance::Absolute),
    }
}
