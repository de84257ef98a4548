//! For the tests of functions: one expression's value, bound and run as a statement is.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::logical_expr::TableSource;
use datafusion::prelude::{DataFrame, SessionContext};

use crate::dialect::session::SessionParameters;
use crate::dialect::{Dialect, Tables, parse};
use crate::name::TableName;
use crate::text::SourceFile;

struct NoTables;

impl Tables for NoTables {
    fn table(&self, _: &TableName) -> Option<Arc<dyn TableSource>> {
        None
    }

    fn names(&self) -> Vec<TableName> {
        Vec::new()
    }
}

fn shown(array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) {
        return "NULL".to_owned();
    }
    if let Some(inner) = array.as_struct_opt().filter(|inner| inner.num_columns() == 1) {
        return inner.column(0).as_string::<i32>().value(row).to_owned();
    }
    let options = FormatOptions::default();
    ArrayFormatter::try_new(array, &options).unwrap().value(row).to_string()
}

/// The rows of a query, or the message of its error.
pub(super) fn query(sql: &str) -> Result<Vec<Vec<String>>, String> {
    let dialect = Dialect::new(SessionParameters::default());
    let statements = parse(&SourceFile::new("test.sql", sql)).map_err(|errors| format!("{errors:?}"))?;
    let plan = dialect.bind(&statements[0], &NoTables).map_err(|errors| format!("{errors:?}"))?;
    let context = SessionContext::new_with_state(dialect.state().clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let collected = runtime.block_on(DataFrame::new(context.state(), plan).collect());
    let batches = collected.map_err(|error| error.strip_backtrace())?;
    let rows = batches.iter().flat_map(|batch| {
        (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| shown(column, row)).collect())
    });
    Ok(rows.collect())
}

/// The value of an expression without a table.
pub(super) fn value(expression: &str) -> String {
    match query(&format!("SELECT {expression}")) {
        Ok(rows) => rows[0][0].clone(),
        Err(message) => panic!("{expression}: {message}"),
    }
}

/// The message of an expression that fails.
pub(super) fn fails(expression: &str) -> String {
    match query(&format!("SELECT {expression}")) {
        Ok(rows) => panic!("{expression} gives {rows:?}"),
        Err(message) => message.replace("\\\"", "\""),
    }
}
