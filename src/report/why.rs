//! A traced row as text and JSON: each step with its rows, what it reads indented under it.

use std::fmt::Write;

use datafusion::arrow::array::RecordBatch;
use serde_json::{Value, json};

use super::table::{Format, render};
use crate::dialect::Column;
use crate::dialect::session::SessionParameters;
use crate::name::Name;
use crate::why::Trace;

/// The trace for people.
pub fn text(trace: &Trace, rows: usize, parameters: &SessionParameters) -> String {
    let mut text = String::new();
    one(&mut text, trace, rows, parameters, "");
    text
}

fn one(text: &mut String, trace: &Trace, rows: usize, parameters: &SessionParameters, indent: &str) {
    let count = trace.count();
    let cut = if trace.is_cut() { " at least" } else { "" };
    let found = if trace.by.is_empty() { String::new() } else { format!(" by {}", trace.by.join(", ")) };
    let plural = if count == 1 { "" } else { "s" };
    let _ = writeln!(text, "{} ({}):{cut} {count} row{plural}{found}", trace.name, trace.kind);
    if trace.shown_above {
        let _ = writeln!(text, "{indent}  as above");
        return;
    }
    for line in shown(trace, rows, parameters).lines() {
        let _ = writeln!(text, "{indent}  {line}");
    }
    if count > rows {
        let _ = writeln!(text, "{indent}  … {} more", count - rows);
    }
    if let Some((columns, batches)) = components(trace, rows) {
        let _ = writeln!(text, "{indent}  explained:");
        for line in table(&columns, &batches, parameters).lines() {
            let _ = writeln!(text, "{indent}  {line}");
        }
    }
    for note in &trace.notes {
        let _ = writeln!(text, "{indent}  note: {note}");
    }
    for (at, input) in trace.inputs.iter().enumerate() {
        let last = at + 1 == trace.inputs.len();
        let _ = write!(text, "{indent}  {} ", if last { "└─" } else { "├─" });
        one(text, input, rows, parameters, &format!("{indent}  {}  ", if last { ' ' } else { '│' }));
    }
}

/// The rows as a table of the columns that matter.
fn shown(trace: &Trace, rows: usize, parameters: &SessionParameters) -> String {
    let (columns, batches) = narrowed(&trace.columns, &first(&trace.rows, rows), &trace.used);
    table(&columns, &batches, parameters)
}

/// A table without the line that counts its rows.
fn table(columns: &[Column], batches: &[RecordBatch], parameters: &SessionParameters) -> String {
    let text = render(columns, batches, Format::Table, parameters).unwrap_or_else(|error| format!("{error}\n"));
    text.lines().filter(|line| !line.starts_with('(')).map(|line| format!("{line}\n")).collect()
}

/// The components of a transform's rows: the columns that the rows themselves do not show.
fn components(trace: &Trace, rows: usize) -> Option<(Vec<Column>, Vec<RecordBatch>)> {
    let (columns, batches) = trace.components.as_ref()?;
    let shown = |column: &&Column| !trace.columns.iter().any(|known| known.name == column.name);
    let more: Vec<Name> = columns.iter().filter(shown).map(|column| column.name.clone()).collect();
    (!more.is_empty()).then(|| narrowed(columns, &first(batches, rows), &more))
}

fn narrowed(columns: &[Column], batches: &[RecordBatch], used: &[Name]) -> (Vec<Column>, Vec<RecordBatch>) {
    let kept: Vec<usize> =
        (0..columns.len()).filter(|at| used.is_empty() || used.contains(&columns[*at].name)).collect();
    let narrow = batches.iter().filter_map(|batch| batch.project(&kept).ok());
    (kept.iter().map(|at| columns[*at].clone()).collect(), narrow.collect())
}

fn first(batches: &[RecordBatch], rows: usize) -> Vec<RecordBatch> {
    let mut left = rows;
    let mut kept = Vec::new();
    for batch in batches {
        let taken = batch.num_rows().min(left);
        kept.push(batch.slice(0, taken));
        left -= taken;
    }
    kept
}

/// The trace for programs.
pub fn json(trace: &Trace, rows: usize, parameters: &SessionParameters) -> String {
    format!("{}\n", serde_json::to_string_pretty(&value(trace, rows, parameters)).unwrap_or_default())
}

fn value(trace: &Trace, rows: usize, parameters: &SessionParameters) -> Value {
    let table = |columns: &[Column], batches: &[RecordBatch]| -> Value {
        let text = render(columns, batches, Format::Json, parameters).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or(Value::Null)
    };
    let (columns, batches) = narrowed(&trace.columns, &first(&trace.rows, rows), &trace.used);
    let components = components(trace, rows).map(|(columns, batches)| table(&columns, &batches));
    json!({
        "name": trace.name,
        "kind": trace.kind,
        "found_by": trace.by,
        "count": trace.count(),
        "complete": !trace.is_cut(),
        "shown_above": trace.shown_above,
        "rows": table(&columns, &batches),
        "components": components,
        "notes": trace.notes,
        "inputs": trace.inputs.iter().map(|input| value(input, rows, parameters)).collect::<Vec<_>>(),
    })
}
