//! A source as a table whose files are opened when it is scanned, so that a session with many sources opens those it reads.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::DataFusionError;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;

use super::Source;
use crate::name::TableName;

/// A source that is opened when it is read.
pub(super) struct Lazy {
    name: TableName,
    source: Source,
    schema: SchemaRef,
    zone: String,
}

impl Lazy {
    pub(super) fn new(name: TableName, source: Source, zone: &str) -> Self {
        let schema = crate::plan::schema_of(&source.columns, zone);
        Self { name, source, schema, zone: zone.to_string() }
    }
}

impl fmt::Debug for Lazy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "source {}", self.name)
    }
}

#[async_trait]
impl TableProvider for Lazy {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let Some(own) = state.as_any().downcast_ref::<SessionState>() else {
            return Err(DataFusionError::Internal("a source is scanned in a session of its own".to_string()));
        };
        let provider = self.source.provider(&self.name, own, &self.zone).await;
        let provider = provider.map_err(|error| DataFusionError::External(Box::new(error)))?;
        provider.scan(state, projection, filters, limit).await
    }
}
