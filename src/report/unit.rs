//! Outcomes of unit tests for people, as JSON and as JUnit XML.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::dialect::Column;
use crate::dialect::types::SqlType;
use crate::unit::compare::{Difference, Texts, equal};
use crate::unit::run::{Failure, Outcome, RowsFailure};

/// How many rows of one failure are shown to people.
const MOST_ROWS: usize = 30;

/// All failures with their rows, and how many tests passed; with `verbose` every test.
pub fn text(outcomes: &[Outcome<'_>], seconds: f64, verbose: bool, quiet: bool) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        if !outcome.failures.is_empty() {
            let _ = writeln!(text, "FAIL  {}  {}", title(outcome), outcome.test.name.span);
            for failure in &outcome.failures {
                let _ = writeln!(text, "{}", indented(&shown(failure)));
            }
        } else if verbose {
            let _ = writeln!(text, "ok    {}  ({:.0} ms)", title(outcome), outcome.seconds * 1000.0);
        }
    }
    let (passed, all) = (passed(outcomes), outcomes.len());
    if !quiet || passed < all {
        let tests = if all == 1 { "test" } else { "tests" };
        let _ = match passed == all {
            true => writeln!(text, "{all} {tests} passed in {seconds:.2} s"),
            false => writeln!(text, "{} of {all} {tests} failed in {seconds:.2} s", all - passed),
        };
    }
    text
}

fn passed(outcomes: &[Outcome<'_>]) -> usize {
    outcomes.iter().filter(|outcome| outcome.failures.is_empty()).count()
}

fn title(outcome: &Outcome<'_>) -> String {
    format!("{}: {}", outcome.suite.job.value.lower(), outcome.test.name.value)
}

fn indented(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") }).collect()
}

/// A failure as one line, and the rows that it is about.
fn shown(failure: &Failure<'_>) -> String {
    match failure {
        Failure::Rows(failure) => format!("{}\n\n{}", summary(failure), differences(failure)),
        Failure::Property { columns, rows, .. } => {
            let cells = rows.iter().map(|row| row.iter().map(|cell| cell_text(cell.as_deref())).collect());
            format!("{}\n\n{}", headline(failure), grid(columns, None, cells.collect()))
        }
        Failure::Error { .. } => headline(failure),
    }
}

/// A failure in one line.
fn headline(failure: &Failure<'_>) -> String {
    match failure {
        Failure::Rows(failure) => summary(failure),
        Failure::Property { step, message, .. } => format!("step {}: {message}", step.lower()),
        Failure::Error { step, message } => format!("step {} failed: {message}", step.lower()),
    }
}

fn summary(failure: &RowsFailure<'_>) -> String {
    let count = |wanted: fn(&Difference) -> bool| failure.differences.iter().filter(|d| wanted(d)).count();
    let parts = [
        (count(|d| matches!(d, Difference::Missing(_))), "missing"),
        (count(|d| matches!(d, Difference::Unexpected(_))), "unexpected"),
        (count(|d| matches!(d, Difference::Changed { .. })), "changed (expected → actual)"),
        (count(|d| matches!(d, Difference::Moved { .. })), "at another place (expected → actual)"),
    ];
    let found = parts.iter().filter(|(n, _)| *n > 0).enumerate();
    let told: Vec<String> = found
        .map(|(at, (n, word))| match (at, n) {
            (0, 1) => format!("1 row {word}"),
            (0, n) => format!("{n} rows {word}"),
            (_, n) => format!("{n} {word}"),
        })
        .collect();
    format!("step {}: {}", failure.expectation.step.value.lower(), told.join(", "))
}

fn differences(failure: &RowsFailure<'_>) -> String {
    let mut marks = Vec::new();
    let mut rows: Vec<Vec<String>> = Vec::new();
    let plain = |row: &Texts| row.iter().map(|cell| cell_text(cell.as_deref())).collect::<Vec<_>>();
    for difference in &failure.differences {
        match difference {
            Difference::Missing(row) => {
                marks.push("missing".to_owned());
                rows.push(plain(row));
            }
            Difference::Unexpected(row) => {
                marks.push("unexpected".to_owned());
                rows.push(plain(row));
            }
            Difference::Changed { expected, actual } => {
                marks.push("changed".to_owned());
                let cells = expected.iter().zip(actual).zip(&failure.tolerances);
                rows.push(cells.map(|((a, b), tolerance)| changed(a.as_deref(), b.as_deref(), *tolerance)).collect());
            }
            Difference::Moved { row, expected, actual } => {
                marks.push(format!("place {expected} → {actual}"));
                rows.push(plain(row));
            }
        }
    }
    grid(&failure.columns, Some(marks), rows)
}

fn changed(expected: Option<&str>, actual: Option<&str>, tolerance: Option<f64>) -> String {
    match equal(expected, actual, tolerance) {
        true => cell_text(actual),
        false => format!("{} → {}", cell_text(expected), cell_text(actual)),
    }
}

fn cell_text(cell: Option<&str>) -> String {
    cell.map_or_else(|| "NULL".to_owned(), |text| text.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t"))
}

/// Rows as a table, each with a mark before it where there are marks.
fn grid(columns: &[Column], marks: Option<Vec<String>>, mut rows: Vec<Vec<String>>) -> String {
    let left_out = rows.len().saturating_sub(MOST_ROWS);
    rows.truncate(MOST_ROWS);
    let mut header: Vec<String> = columns.iter().map(|column| column.name.lower()).collect();
    let mut right: Vec<bool> =
        columns.iter().map(|column| matches!(column.sql_type, SqlType::Number { .. } | SqlType::Float)).collect();
    if let Some(marks) = marks {
        header.insert(0, String::new());
        right.insert(0, false);
        rows.iter_mut().zip(marks).for_each(|(row, mark)| row.insert(0, mark));
    }
    let width = |at: usize| rows.iter().chain([&header]).map(|row| row[at].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &[String]| {
        let cells = cells.iter().zip(&widths).zip(&right);
        let cells = cells.map(|((cell, width), right)| match right {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        });
        format!("{}\n", cells.collect::<Vec<_>>().join(" | ").trim_end())
    };
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let mut text = format!("{}{}\n", line(&header), rule.join("-+-"));
    rows.iter().for_each(|row| text.push_str(&line(row)));
    if left_out > 0 {
        let _ = writeln!(text, "… and {left_out} more");
    }
    if rows.is_empty() {
        text.push_str("(no rows)\n");
    }
    text
}

/// One object with every test.
pub fn json(outcomes: &[Outcome<'_>], seconds: f64) -> String {
    let tests: Vec<Value> = outcomes
        .iter()
        .map(|outcome| {
            json!({
                "job": outcome.suite.job.value.lower(),
                "name": outcome.test.name.value,
                "file": outcome.suite.file.path(),
                "line": outcome.test.name.span.line_column().0,
                "status": if outcome.failures.is_empty() { "passed" } else { "failed" },
                "seconds": outcome.seconds,
                "failures": outcome.failures.iter().map(failure).collect::<Vec<_>>(),
            })
        })
        .collect();
    let passed = passed(outcomes);
    let failed = outcomes.len() - passed;
    format!("{}\n", json!({"tests": tests, "passed": passed, "failed": failed, "seconds": seconds}))
}

fn failure(failure: &Failure<'_>) -> Value {
    let message = headline(failure);
    match failure {
        Failure::Rows(rows) => {
            let object = |row: &Texts| object(&rows.columns, row);
            let of = |pick: &dyn Fn(&Difference) -> Option<Value>| -> Vec<Value> {
                rows.differences.iter().filter_map(pick).collect()
            };
            json!({
                "kind": "rows",
                "step": rows.expectation.step.value.lower(),
                "message": message,
                "missing": of(&|d| if let Difference::Missing(row) = d { Some(object(row)) } else { None }),
                "unexpected": of(&|d| if let Difference::Unexpected(row) = d { Some(object(row)) } else { None }),
                "changed": of(&|d| match d {
                    Difference::Changed { expected, actual } => {
                        Some(json!({"expected": object(expected), "actual": object(actual)}))
                    }
                    _ => None,
                }),
                "moved": of(&|d| match d {
                    Difference::Moved { row, expected, actual } => {
                        Some(json!({"row": object(row), "expected": expected, "actual": actual}))
                    }
                    _ => None,
                }),
            })
        }
        Failure::Property { step, columns, rows, .. } => json!({
            "kind": "property",
            "step": step.lower(),
            "message": message,
            "rows": rows.iter().map(|row| object(columns, row)).collect::<Vec<_>>(),
        }),
        Failure::Error { step, .. } => json!({"kind": "error", "step": step.lower(), "message": message}),
    }
}

fn object(columns: &[Column], row: &Texts) -> Value {
    let members = columns.iter().zip(row).map(|(column, text)| (column.name.lower(), value(column, text.as_deref())));
    Value::Object(members.collect::<Map<_, _>>())
}

fn value(column: &Column, text: Option<&str>) -> Value {
    let Some(text) = text else { return Value::Null };
    let bare = match column.sql_type {
        SqlType::Number { .. } | SqlType::Float | SqlType::Boolean => true,
        other => other.is_semi_structured(),
    };
    let parsed = if bare { serde_json::from_str(text).ok() } else { None };
    parsed.unwrap_or_else(|| json!(text))
}

/// JUnit XML, one suite per file.
pub fn junit(outcomes: &[Outcome<'_>], seconds: f64) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let failed = outcomes.len() - passed(outcomes);
    let _ = writeln!(
        text,
        "<testsuites name=\"pipe test\" tests=\"{}\" failures=\"{failed}\" time=\"{seconds:.3}\">",
        outcomes.len()
    );
    let mut rest = outcomes;
    while let Some(first) = rest.first() {
        let file = first.suite.file.path();
        let length = rest.iter().position(|o| o.suite.file.path() != file).unwrap_or(rest.len());
        let (suite, after) = rest.split_at(length);
        junit_suite(&mut text, &file.to_string_lossy(), suite);
        rest = after;
    }
    text.push_str("</testsuites>\n");
    text
}

fn junit_suite(text: &mut String, file: &str, outcomes: &[Outcome<'_>]) {
    let failed = outcomes.len() - passed(outcomes);
    let time: f64 = outcomes.iter().map(|outcome| outcome.seconds).sum();
    let _ = writeln!(
        text,
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\" time=\"{time:.3}\">",
        escaped(file),
        outcomes.len()
    );
    for outcome in outcomes {
        let _ = write!(
            text,
            "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{}\" time=\"{:.3}\"",
            escaped(&outcome.suite.job.value.lower()),
            escaped(&outcome.test.name.value),
            escaped(file),
            outcome.test.name.span.line_column().0,
            outcome.seconds
        );
        if outcome.failures.is_empty() {
            text.push_str("/>\n");
            continue;
        }
        text.push_str(">\n");
        for failure in &outcome.failures {
            let (head, body) = (escaped(&headline(failure)), escaped(&shown(failure)));
            let _ = writeln!(text, "      <failure message=\"{head}\">{body}</failure>");
        }
        text.push_str("    </testcase>\n");
    }
    text.push_str("  </testsuite>\n");
}

/// Text inside XML; characters that XML cannot hold are replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
