//! Databases, schemas and what they hold, as values: a copy is cheap, and a transaction that is rolled back is an old copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::datasource::{MemTable, TableProvider, provider_as_source};
use datafusion::logical_expr::TableSource;
use sqlparser::ast::Expr;

use crate::dialect::Tables;
use crate::dialect::types::SqlType;
use crate::name::{Name, TableName};

/// A column of a table.
#[derive(Clone, Debug)]
pub(super) struct TableColumn {
    pub(super) name: Name,
    pub(super) sql_type: SqlType,
    pub(super) nullable: bool,
    pub(super) default: Option<Expr>,
}

/// A table and its rows.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) columns: Vec<TableColumn>,
    pub(super) batches: Vec<RecordBatch>,
}

impl Table {
    /// The Arrow schema of its rows.
    pub(super) fn schema(&self, zone: &str) -> SchemaRef {
        let field =
            |column: &TableColumn| Field::new(column.name.as_str(), column.sql_type.arrow(zone), column.nullable);
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }
}

/// Everything that a session can name.
#[derive(Clone, Debug)]
pub(super) struct Catalog {
    tables: BTreeMap<TableName, Arc<Table>>,
}

impl Catalog {
    pub(super) fn new() -> Self {
        Self { tables: BTreeMap::new() }
    }

    pub(super) fn table(&self, name: &TableName) -> Option<&Arc<Table>> {
        self.tables.get(name)
    }

    pub(super) fn put(&mut self, name: TableName, table: Table) {
        self.tables.insert(name, Arc::new(table));
    }

    pub(super) fn remove(&mut self, name: &TableName) -> Option<Arc<Table>> {
        self.tables.remove(name)
    }
}

impl Tables for Catalog {
    fn table(&self, name: &TableName) -> Option<Arc<dyn TableSource>> {
        let table = self.tables.get(name)?;
        let schema = table.batches.first().map_or_else(|| table.schema("UTC"), RecordBatch::schema);
        let provider = MemTable::try_new(schema, vec![table.batches.clone()]).ok()?;
        let provider: Arc<dyn TableProvider> = Arc::new(provider);
        Some(provider_as_source(provider))
    }

    fn names(&self) -> Vec<TableName> {
        self.tables.keys().cloned().collect()
    }
}
