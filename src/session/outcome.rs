//! What a statement gives: rows, or the reason why not.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use sqlparser::ast;

use crate::backend::datafusion::out_of_memory;
use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::dialect::types::SqlType;
use crate::name::Name;
use crate::text::Span;

/// Why a statement gave no result.
#[derive(Debug)]
pub enum Failure {
    /// The text is wrong: nothing was run.
    Wrong(Vec<Diagnostic>),
    /// It was run and failed.
    Failed(String),
}

impl From<Vec<Diagnostic>> for Failure {
    fn from(diagnostics: Vec<Diagnostic>) -> Self {
        Self::Wrong(diagnostics)
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Wrong(vec![diagnostic])
    }
}

impl From<DataFusionError> for Failure {
    fn from(error: DataFusionError) -> Self {
        Self::Failed(told(&error))
    }
}

impl From<ArrowError> for Failure {
    fn from(error: ArrowError) -> Self {
        Self::from(DataFusionError::from(error))
    }
}

impl From<crate::warehouse::Error> for Failure {
    fn from(error: crate::warehouse::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// The words of the error itself, without the names of the layers that it came through.
fn told(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            ArrowError::ComputeError(text) | ArrowError::CastError(text) | ArrowError::InvalidArgumentError(text) => {
                text.clone()
            }
            ArrowError::DivideByZero => "division by zero".to_string(),
            other => other.to_string(),
        },
        DataFusionError::Execution(text) | DataFusionError::Plan(text) => text.clone(),
        DataFusionError::ResourcesExhausted(text) => out_of_memory(text),
        other => other.strip_backtrace(),
    }
}

/// What a statement gave.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Headers and types.
    pub columns: Vec<Column>,
    /// The values.
    pub batches: Vec<RecordBatch>,
}

/// A value of a result that the session itself makes.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    /// Text; NULL where absent.
    Text(Option<String>),
    /// A number; NULL where absent.
    Number(Option<i64>),
    /// An instant in nanoseconds.
    Instant(i64),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_string()))
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Cell {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<&Name> for Cell {
    fn from(name: &Name) -> Self {
        name.as_str().into()
    }
}

impl Rows {
    /// `Table T successfully created.` and the like.
    pub(super) fn status(message: impl Into<String>) -> Result<Self, Failure> {
        let message: String = message.into();
        Self::table(&[("status", SqlType::TEXT)], vec![vec![message.into()]])
    }

    /// What most statements say.
    pub(super) fn done() -> Result<Self, Failure> {
        Self::status("Statement executed successfully.")
    }

    /// `number of rows inserted` and the like.
    pub(super) fn counts(counts: &[(&str, usize)]) -> Result<Self, Failure> {
        let headers: Vec<_> = counts.iter().map(|(header, _)| (*header, SqlType::INTEGER)).collect();
        let cells = counts.iter().map(|(_, count)| Cell::Number(i64::try_from(*count).ok())).collect();
        Self::table(&headers, vec![cells])
    }

    /// A result of the session's own making.
    pub(super) fn table(headers: &[(&str, SqlType)], rows: Vec<Vec<Cell>>) -> Result<Self, Failure> {
        let mut columns = Vec::new();
        let mut fields = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for (index, (header, sql_type)) in headers.iter().enumerate() {
            let array = array(*sql_type, rows.iter().map(|row| row.get(index)));
            columns.push(Column { name: Name::quoted(*header), sql_type: *sql_type, nullable: true });
            fields.push(Field::new(*header, array.data_type().clone(), true));
            arrays.push(array);
        }
        Ok(Self { columns, batches: vec![RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?] })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn array<'a>(sql_type: SqlType, cells: impl Iterator<Item = Option<&'a Cell>>) -> ArrayRef {
    match sql_type {
        SqlType::Number { .. } => Arc::new(Int64Array::from_iter(cells.map(|cell| match cell {
            Some(Cell::Number(number)) => *number,
            _ => None,
        }))),
        SqlType::TimestampLtz => {
            let instants = TimestampNanosecondArray::from_iter(cells.map(|cell| match cell {
                Some(Cell::Instant(nanos)) => Some(*nanos),
                _ => None,
            }));
            Arc::new(instants.with_timezone("UTC"))
        }
        _ => Arc::new(StringArray::from_iter(cells.map(|cell| match cell {
            Some(Cell::Text(text)) => text.clone(),
            _ => None,
        }))),
    }
}

/// The error for a statement that the engine does not have.
pub(super) fn refused(span: &Span, what: &str, why: &str) -> Diagnostic {
    let because = if why.is_empty() { String::new() } else { format!(": {why}") };
    Diagnostic::error("unsupported-statement", format!("`{what}` is not supported{because}")).at(span.clone())
}

/// The first words of a statement, as messages name it.
pub(super) fn name_of(ast: &ast::Statement) -> String {
    let text = ast.to_string();
    let words = text.split_whitespace().take_while(|word| word.chars().all(|c| c.is_ascii_uppercase())).take(2);
    words.collect::<Vec<_>>().join(" ")
}

/// The error for an object that is not there, or may not be read.
pub(super) fn unknown(span: &Span, kind: &str, name: &str) -> Diagnostic {
    let code = match kind {
        "table" => "unknown-table",
        "view" => "unknown-view",
        "schema" => "unknown-schema",
        "database" => "unknown-database",
        "column" => "unknown-column",
        _ => "unknown-object",
    };
    Diagnostic::error(code, format!("unknown {kind} `{}`", name.to_lowercase())).at(span.clone())
}

/// The error for an object that is there already.
pub(super) fn exists(span: &Span, name: &str) -> Diagnostic {
    Diagnostic::error("object-exists", format!("object `{}` already exists", name.to_lowercase())).at(span.clone())
}
