//! Values of Snowflake's documentation, or computed by hand from its rules, through the whole dialect.

use std::sync::Arc;

use datafusion::logical_expr::TableSource;
use datafusion::prelude::SessionContext;

use crate::dialect::format::text_column;
use crate::dialect::session::SessionParameters;
use crate::dialect::{Dialect, Tables, parse};
use crate::name::TableName;
use crate::text::SourceFile;

mod dates;
mod numbers;
mod patterns;
mod strings;

struct NoTables;

impl Tables for NoTables {
    fn table(&self, _: &TableName) -> Option<Arc<dyn TableSource>> {
        None
    }

    fn names(&self) -> Vec<TableName> {
        Vec::new()
    }
}

/// The value of an expression as Snowflake shows it, `NULL`, or `error: …`.
fn value(parameters: &SessionParameters, expression: &str) -> String {
    let dialect = Dialect::new(parameters.clone());
    let source = SourceFile::new("t.sql", format!("SELECT {expression} AS V"));
    let statements = match parse(&source) {
        Ok(statements) => statements,
        Err(errors) => return format!("error: {}", errors[0]),
    };
    let plan = match dialect.bind(&statements[0], &NoTables) {
        Ok(plan) => plan,
        Err(errors) => return format!("error: {}", errors[0]),
    };
    let context = SessionContext::new_with_state(dialect.state().clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let batches = runtime.block_on(async { context.execute_logical_plan(plan).await?.collect().await });
    match batches {
        Err(error) => format!("error: {error}"),
        Ok(batches) => {
            let texts = text_column(batches[0].column(0), parameters).unwrap();
            let shown = texts.iter().next().unwrap().map(str::to_owned);
            shown.unwrap_or_else(|| "NULL".to_owned())
        }
    }
}

fn check_with(parameters: &SessionParameters, cases: &[(&str, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(expression, wanted)| {
            let got = value(parameters, expression);
            let right = if *wanted == "error" { got.starts_with("error") } else { got == *wanted };
            (!right).then(|| format!("{expression}\n  wanted {wanted}\n  got    {got}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(cases: &[(&str, &str)]) {
    check_with(&SessionParameters::default(), cases);
}
