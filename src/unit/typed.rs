//! Rows in the types of their columns: given ones as batches, expected ones as texts. What does not fit is told with its
//! place.

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;

use super::compare::Texts;
use super::prepare::{BoundJob, Expected};
use super::rows::{Cell, Rows, Written};
use super::{Expectation, Given, value};
use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::dialect::session::SessionParameters;
use crate::dialect::types::SqlType;
use crate::name::{Name, nearest};
use crate::plan::StepId;
use crate::text::{Span, Spanned};

/// The rows of a table as a batch; what a row leaves out is its default, or NULL.
pub(super) fn batch(
    given: &Given,
    defaults: &[Cell],
    columns: &[Column],
    schema: &SchemaRef,
    session: &SessionParameters,
    problems: &mut Vec<Diagnostic>,
) -> Option<RecordBatch> {
    let before = problems.len();
    let named = given.rows.columns();
    for name in named.iter().chain(defaults.iter().map(|cell| &cell.column)) {
        if !columns.iter().any(|column| column.name == name.value) {
            let of = format!("`{}`", given.table.value.lower());
            problems.push(unknown_column(name, columns, &of));
        }
    }
    if problems.len() > before {
        return None;
    }
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    for (column, field) in columns.iter().zip(schema.fields()) {
        let default = defaults.iter().find(|cell| cell.column.value == column.name);
        let cells: Vec<Option<&Cell>> = given.rows.rows.iter().map(|row| row.get(&column.name).or(default)).collect();
        let written: Vec<&Written> = cells.iter().map(|cell| cell.map_or(&Written::Null, |cell| &cell.value)).collect();
        match value::read(&written, column.sql_type, field.data_type(), session) {
            Ok(array) => arrays.push(array),
            Err(wrong) => problems.extend(wrong.into_iter().map(|misfit| {
                let cell = cells.get(misfit.row).copied().flatten();
                misfitting(&misfit.why, &column.name, cell.map_or(&given.rows.span, |cell| &cell.span))
            })),
        }
    }
    if problems.len() > before {
        return None;
    }
    let options = RecordBatchOptions::new().with_row_count(Some(given.rows.rows.len()));
    RecordBatch::try_new_with_options(schema.clone(), arrays, &options)
        .map_err(|error| problems.push(misfitting(&error.to_string(), &given.table.value.table, &given.rows.span)))
        .ok()
}

fn misfitting(why: &str, column: &Name, span: &Span) -> Diagnostic {
    Diagnostic::error("wrong-cell", format!("{why} for column `{}`", column.lower())).at(span.clone())
}

fn unknown_column(name: &Spanned<Name>, columns: &[Column], of: &str) -> Diagnostic {
    let near = nearest(name.value.as_str(), columns.iter().map(|column| column.name.as_str())).map(str::to_lowercase);
    let message = format!("{of} has no column `{}`", name.value.lower());
    let problem = Diagnostic::error("unknown-column", message).at(name.span.clone());
    match near {
        Some(near) => problem.did_you_mean(Some(near)),
        None => {
            let names: Vec<String> = columns.iter().take(12).map(|column| column.name.lower()).collect();
            problem.hint(format!("its columns are {}", names.join(", ")))
        }
    }
}

/// An expectation in the types of its step.
pub(super) fn expected<'a>(
    bound: &BoundJob,
    written: &'a Expectation,
    problems: &mut Vec<Diagnostic>,
) -> Option<Expected<'a>> {
    let id = StepId { job: bound.job.name.value.clone(), step: written.step.value.clone() };
    let step = bound.plan.position(&id)?;
    let columns = &bound.plan.steps[step].columns;
    let of = format!("step `{}`", written.step.value.lower());
    let named = written.rows.as_ref().map(Rows::columns).unwrap_or_default();
    let mut places = Vec::new();
    for name in named.iter().chain(written.how.tolerance.by_column.iter().map(|(name, _)| name)) {
        match columns.iter().position(|column| column.name == name.value) {
            Some(place) if !places.contains(&place) => places.push(place),
            Some(_) => {}
            None => problems.push(unknown_column(name, columns, &of)),
        }
    }
    if let Some(row) = written.rows.as_ref().and_then(|rows| rows.rows.iter().find(|row| row.cells.is_empty())) {
        problems.push(Diagnostic::error("missing-cell", "this row names no column").at(row.span.clone()));
    }
    places.retain(|place| named.iter().any(|name| columns[*place].name == name.value));
    let properties = written.tests.as_ref().and_then(|list| bound.properties.get(&list.span).cloned());
    let tolerances = places.iter().map(|place| {
        let column = &columns[*place];
        let number = matches!(column.sql_type, SqlType::Number { .. } | SqlType::Float);
        number.then(|| written.how.tolerance.of(&column.name))
    });
    let tolerances: Vec<Option<f64>> = tolerances.collect();
    let rows = match &written.rows {
        Some(rows) => expected_rows(bound, rows, step, &places, &tolerances, problems)?,
        None => Vec::new(),
    };
    Some(Expected { written, step, columns: places, rows, tolerances, properties: properties.unwrap_or(0..0) })
}

/// Expected rows as texts that are equal where the values are. A number with a tolerance may have any digits.
fn expected_rows(
    bound: &BoundJob,
    rows: &Rows,
    step: usize,
    places: &[usize],
    tolerances: &[Option<f64>],
    problems: &mut Vec<Diagnostic>,
) -> Option<Vec<Texts>> {
    let planned = &bound.plan.steps[step];
    let before = problems.len();
    let mut texts: Vec<Texts> = vec![Vec::with_capacity(places.len()); rows.rows.len()];
    for (place, tolerance) in places.iter().zip(tolerances) {
        let column = &planned.columns[*place];
        let lenient = tolerance.is_some_and(|tolerance| tolerance > 0.0);
        let sql_type = if lenient { SqlType::Float } else { column.sql_type };
        let cells: Vec<Option<&Cell>> = rows.rows.iter().map(|row| row.get(&column.name)).collect();
        for (row, _) in rows.rows.iter().zip(&cells).filter(|(_, cell)| cell.is_none()) {
            let name = column.name.lower();
            let problem = Diagnostic::error("missing-cell", format!("this row does not say what `{name}` is"));
            problems.push(problem.at(row.span.clone()).hint(format!("other rows do; for NULL write `{name}: null`")));
        }
        let written: Vec<&Written> = cells.iter().map(|cell| cell.map_or(&Written::Null, |cell| &cell.value)).collect();
        let rest = sql_type.arrow(&bound.session.timezone);
        let read = value::read(&written, sql_type, &rest, &bound.session);
        let shown = read.map(|array| value::texts(&array, &bound.session));
        match shown {
            Ok(Ok(shown)) => {
                let values = shown.iter().map(|text| text.map(str::to_owned));
                texts.iter_mut().zip(values).for_each(|(row, value)| row.push(value));
            }
            Ok(Err(error)) => problems.push(misfitting(&error.strip_backtrace(), &column.name, &rows.span)),
            Err(wrong) => problems.extend(wrong.into_iter().map(|misfit| {
                let cell = cells.get(misfit.row).copied().flatten();
                misfitting(&misfit.why, &column.name, cell.map_or(&rows.span, |cell| &cell.span))
            })),
        }
    }
    (problems.len() == before).then_some(texts)
}
