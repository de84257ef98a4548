//! INSERT, and the cast of rows to the columns of the table that takes them.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableSource};
use sqlparser::ast::{self, Insert, TableObject};

use super::catalog::{Table, TableColumn};
use super::ddl::{unknown, written_name};
use super::{Failure, Rows, Session, refused};
use crate::diagnostic::Diagnostic;
use crate::dialect::{Statement, Tables, parse};
use crate::name::TableName;
use crate::text::SourceFile;

/// The name under which generated SQL reads the rows that a statement writes.
const SOURCE: &str = "$SOURCE";

/// One relation under a reserved name, above the tables of the session.
struct With<'a> {
    name: &'a str,
    source: Arc<dyn TableSource>,
    tables: &'a dyn Tables,
}

impl Tables for With<'_> {
    fn table(&self, name: &TableName) -> Option<Arc<dyn TableSource>> {
        if name.schema.is_none() && name.table.as_str() == self.name {
            return Some(self.source.clone());
        }
        self.tables.table(name)
    }

    fn names(&self) -> Vec<TableName> {
        self.tables.names()
    }
}

impl Session {
    pub(super) async fn insert(&mut self, statement: &Statement, insert: &Insert) -> Result<Rows, Failure> {
        let TableObject::TableName(name) = &insert.table else {
            return Err(refused(statement, "INSERT into this").into());
        };
        let name = written_name(statement, name)?;
        let Some(table) = self.catalog.table(&name).cloned() else { return Err(unknown(statement, &name).into()) };
        let Some(query) = &insert.source else { return Err(refused(statement, "INSERT without rows").into()) };
        let query = statement.with_ast(ast::Statement::Query(query.clone()));
        let plan = self.dialect.bind(&query, &self.catalog)?;
        let batches = self.rows_as(&query, plan, &table.columns).await?;
        let count = batches.iter().map(RecordBatch::num_rows).sum();
        let mut all = if insert.overwrite { Vec::new() } else { table.batches.clone() };
        all.extend(batches);
        self.catalog.put(name, Table { columns: table.columns.clone(), batches: all });
        Rows::counts(&[("number of rows inserted", count)])
    }

    /// The rows of a plan, its columns in order cast to those of a table.
    pub(super) async fn rows_as(
        &self,
        statement: &Statement,
        plan: LogicalPlan,
        columns: &[TableColumn],
    ) -> Result<Vec<RecordBatch>, Failure> {
        let given = plan.schema().fields().len();
        if given != columns.len() {
            let message = format!("{given} values are given for {} columns", columns.len());
            return Err(Diagnostic::error("column-count", message).at(statement.span().clone()).into());
        }
        let mut items = Vec::new();
        for (index, column) in columns.iter().enumerate() {
            items.push(format!("CAST(C{index} AS {}) AS {}", column.sql_type, column.name.sql()));
        }
        let sql = format!("SELECT {} FROM \"{SOURCE}\"", items.join(", "));
        let source = With { name: SOURCE, source: numbered(plan)?, tables: &self.catalog };
        let cast = parse(&SourceFile::new("<insert>", sql))?.swap_remove(0);
        let cast = statement.with_ast(cast.ast().clone());
        let plan = self.dialect.bind(&cast, &source)?;
        self.execute(&plan).await
    }
}

/// A plan as a relation with the columns C0, C1….
fn numbered(plan: LogicalPlan) -> Result<Arc<dyn TableSource>, Failure> {
    let mut items = Vec::new();
    for (index, (qualifier, field)) in plan.schema().iter().enumerate() {
        let column = Expr::Column((qualifier, field).into());
        items.push(column.alias(format!("C{index}")));
    }
    let plan = LogicalPlanBuilder::new(plan).project(items)?.build()?;
    Ok(provider_as_source(Arc::new(ViewTable::new(plan, None))))
}
