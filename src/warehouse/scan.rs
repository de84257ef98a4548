//! The rows of a stored table, for DataFusion: its files are known with their lengths and rows, so nothing is listed.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, DataFusionError, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use object_store::ObjectMeta;

use super::Error;
use super::manifest::DataFile;

/// The column with the number of a row's file.
pub const FILE_NUMBER: &str = "PIPE$FILE";

/// Rows up to which a table is read as it is.
const SMALL_ROWS: u64 = 1 << 16;

/// The rows of one stored table.
#[derive(Debug)]
pub(super) struct StoredRows {
    /// The columns of the files.
    stored: SchemaRef,
    /// Those of the table: the same, and the number of the file where it is asked for.
    schema: SchemaRef,
    files: Vec<PartitionedFile>,
    rows: u64,
    bytes: u64,
    _hold: Option<Arc<File>>,
}

impl StoredRows {
    pub(super) fn open(
        schema: SchemaRef,
        files: Vec<(PathBuf, DataFile)>,
        rows: u64,
        hold: Option<Arc<File>>,
    ) -> Result<Self, Error> {
        Self::numbered(schema, files, rows, hold, None)
    }

    /// The same, each row with the number that is given for its file.
    pub(super) fn numbered(
        stored: SchemaRef,
        files: Vec<(PathBuf, DataFile)>,
        rows: u64,
        hold: Option<Arc<File>>,
        numbers: Option<Vec<usize>>,
    ) -> Result<Self, Error> {
        let mut scanned = Vec::new();
        let mut bytes = 0;
        for (at, (path, file)) in files.into_iter().enumerate() {
            let found = std::fs::metadata(&path).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Error::corrupt(&path, "it is missing"),
                _ => Error::read(&path, error),
            })?;
            if found.len() != file.bytes {
                let reason = format!("it has {} bytes and was written with {}", found.len(), file.bytes);
                return Err(Error::corrupt(&path, reason));
            }
            let location =
                object_store::path::Path::from_absolute_path(&path).map_err(|error| Error::corrupt(&path, error))?;
            bytes += file.bytes;
            let last_modified = found.modified().map(chrono::DateTime::from).unwrap_or_default();
            let meta = ObjectMeta { location, last_modified, size: file.bytes, e_tag: None, version: None };
            let number = numbers.as_ref().and_then(|numbers| numbers.get(at)).map(|number| *number as i64);
            let values = number.map(|number| ScalarValue::Int64(Some(number))).into_iter().collect();
            scanned.push(PartitionedFile::from(meta).with_partition_values(values));
        }
        let mut fields: Vec<_> = stored.fields().iter().cloned().collect();
        fields.extend(numbers.is_some().then(file_number));
        let schema = Arc::new(Schema::new(fields));
        Ok(Self { stored, schema, files: scanned, rows, bytes, _hold: hold })
    }

    fn counts(&self) -> Statistics {
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Exact(usize::try_from(self.rows).unwrap_or(usize::MAX));
        statistics.total_byte_size = Precision::Inexact(usize::try_from(self.bytes).unwrap_or(usize::MAX));
        statistics
    }
}

/// The column with the number of a row's file.
fn file_number() -> FieldRef {
    Arc::new(Field::new(FILE_NUMBER, DataType::Int64, false))
}

impl StoredRows {
    fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let numbers = self.schema.fields()[self.stored.fields().len()..].to_vec();
        let schema = TableSchema::builder(self.stored.clone()).with_table_partition_cols(numbers).build();
        let mut options = state.table_options().parquet.clone();
        // Looking for what may be left out costs more than reading it.
        let worth_pruning = self.rows > SMALL_ROWS;
        options.global.pruning &= worth_pruning;
        options.global.enable_page_index &= worth_pruning;
        let runtime = state.runtime_env();
        let files = CachedParquetFileReaderFactory::new(
            runtime.object_store(ObjectStoreUrl::local_filesystem())?,
            runtime.cache_manager.get_file_metadata_cache(),
        );
        let mut source = ParquetSource::new(schema)
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(files));
        if let Some(filter) = conjunction(filters.to_vec()) {
            let schema = DFSchema::try_from(self.schema.clone())?;
            source = source.with_predicate(state.create_physical_expr(filter, &schema)?);
        }
        let groups = FileGroup::new(self.files.clone()).split_files(state.config().target_partitions());
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(self.counts())
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

#[async_trait]
impl TableProvider for StoredRows {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.counts())
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
        self.plan(state, projection, filters, limit)
    }
}
