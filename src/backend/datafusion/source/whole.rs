//! Whole files as rows: the file's `name` and its `content`, one row and one batch per file, so that no more of them are in
//! memory than are being read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::DataFusionError;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

use super::unreadable;
use crate::backend::BackendError;
use crate::dialect::Column;
use crate::dialect::types::SqlType;

/// Files as a table.
#[derive(Debug)]
struct WholeFiles {
    files: Vec<PathBuf>,
    schema: SchemaRef,
}

/// The table of these files.
pub(super) fn provider(files: Vec<PathBuf>, schema: &SchemaRef) -> Arc<dyn TableProvider> {
    Arc::new(WholeFiles { files, schema: schema.clone() })
}

/// Whether a contract asks for what there is, and the file can be opened.
pub(super) fn check(path: &Path, columns: &[Column]) -> Result<(), BackendError> {
    let fits = |column: &Column| {
        matches!((column.name.as_str(), column.sql_type), ("NAME", SqlType::Varchar(_)) | ("CONTENT", SqlType::Binary))
    };
    if let Some(column) = columns.iter().find(|column| !fits(column)) {
        let message = format!(
            "a table of `format: files` has `name` VARCHAR and `content` BINARY, and no `{}` {}",
            column.name.lower(),
            column.sql_type
        );
        return Err(BackendError::author(message));
    }
    std::fs::File::open(path).map(|_| ()).map_err(|error| unreadable(path, &error))
}

#[async_trait]
impl TableProvider for WholeFiles {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        self.plan(projection, limit)
    }
}

impl WholeFiles {
    fn plan(
        &self,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let wanted: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let schema = Arc::new(self.schema.project(&wanted)?);
        let file = |path: &PathBuf| {
            Arc::new(WholeFile { path: path.clone(), schema: schema.clone() }) as Arc<dyn PartitionStream>
        };
        let partitions = self.files.iter().map(file).collect();
        Ok(Arc::new(StreamingTableExec::try_new(schema.clone(), partitions, None, None, false, limit)?))
    }
}

/// One file.
#[derive(Debug)]
struct WholeFile {
    path: PathBuf,
    schema: SchemaRef,
}

impl PartitionStream for WholeFile {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (path, schema) = (self.path.clone(), self.schema.clone());
        let row = futures::stream::once(async move { row(&path, schema) });
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), row))
    }
}

fn row(path: &Path, schema: SchemaRef) -> Result<RecordBatch, DataFusionError> {
    let mut columns: Vec<ArrayRef> = Vec::new();
    for field in schema.fields() {
        columns.push(if field.name() == "NAME" {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            Arc::new(StringArray::from(vec![name.as_ref()]))
        } else {
            let content = std::fs::read(path).map_err(|error| unreadable(path, &error));
            let content = content.map_err(|error| DataFusionError::External(Box::new(error)))?;
            Arc::new(BinaryArray::from(vec![content.as_slice()]))
        });
    }
    let options = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}
