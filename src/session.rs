//! The SQL statements of one session over its tables: queries, DML, DDL, SHOW and SET, each with the result that Snowflake
//! shows. What a statement means comes from `dialect`; how a result looks is the business of `report`.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::common::DataFusionError;
use sqlparser::ast;

use crate::diagnostic::Diagnostic;
use crate::dialect::session::SessionParameters;
use crate::dialect::types::SqlType;
use crate::dialect::{Column, Dialect, Statement};
use crate::name::Name;

mod catalog;

mod engine;

mod ddl;

mod dml;

use catalog::Catalog;

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
        Self::Failed(error.strip_backtrace())
    }
}

impl From<datafusion::arrow::error::ArrowError> for Failure {
    fn from(error: datafusion::arrow::error::ArrowError) -> Self {
        Self::Failed(error.to_string())
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

impl Rows {
    /// A result of texts.
    fn texts<const N: usize>(headers: [&str; N], rows: Vec<[Option<String>; N]>) -> Result<Self, Failure> {
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for index in 0..N {
            arrays.push(Arc::new(rows.iter().map(|row| row[index].clone()).collect::<StringArray>()));
        }
        Self::of(headers.map(|header| (header, SqlType::TEXT)).as_slice(), arrays)
    }

    /// `Table T successfully created.` and the like.
    fn status(message: impl Into<String>) -> Result<Self, Failure> {
        Self::texts(["status"], vec![[Some(message.into())]])
    }

    /// `number of rows inserted` and the like.
    fn counts(counts: &[(&str, usize)]) -> Result<Self, Failure> {
        let mut columns = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for (header, count) in counts {
            columns.push((*header, SqlType::INTEGER));
            arrays.push(Arc::new(Int64Array::from(vec![i64::try_from(*count).unwrap_or(i64::MAX)])));
        }
        Self::of(&columns, arrays)
    }

    fn of(headers: &[(&str, SqlType)], arrays: Vec<ArrayRef>) -> Result<Self, Failure> {
        let mut columns = Vec::new();
        let mut fields = Vec::new();
        for ((header, sql_type), array) in headers.iter().zip(&arrays) {
            columns.push(Column { name: Name::quoted(*header), sql_type: *sql_type, nullable: true });
            fields.push(Field::new(*header, array.data_type().clone(), true));
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

/// One session: its tables, its parameters and its transaction.
pub struct Session {
    parameters: SessionParameters,
    dialect: Dialect,
    catalog: Catalog,
}

impl Session {
    /// A session on an empty warehouse in memory, whose clock stands at `now`.
    pub fn in_memory(now: DateTime<Utc>) -> Self {
        let now = now.timestamp_nanos_opt().and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or_default();
        let parameters = SessionParameters { now, ..SessionParameters::default() };
        let dialect = Dialect::new(parameters.clone());
        Self { parameters, dialect, catalog: Catalog::new() }
    }

    /// The parameters as they stand.
    pub fn parameters(&self) -> &SessionParameters {
        &self.parameters
    }

    /// Runs one statement.
    pub async fn run(&mut self, statement: &Statement) -> Result<Rows, Failure> {
        match statement.ast() {
            ast::Statement::Query(_) => self.query(statement).await,
            ast::Statement::CreateTable(create) => self.create_table(statement, create).await,
            ast::Statement::Insert(insert) => self.insert(statement, insert).await,
            ast::Statement::Drop { object_type, if_exists, names, .. } => {
                self.drop_objects(statement, *object_type, *if_exists, names)
            }
            other => Err(refused(statement, &name_of(other)).into()),
        }
    }
}

/// The error for a statement that the engine does not have.
fn refused(statement: &Statement, what: &str) -> Diagnostic {
    Diagnostic::error("unsupported-statement", format!("`{what}` is not supported here")).at(statement.span().clone())
}

/// The first words of a statement, as messages name it.
fn name_of(ast: &ast::Statement) -> String {
    let text = ast.to_string();
    text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}
