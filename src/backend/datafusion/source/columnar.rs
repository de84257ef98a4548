//! Rows of Parquet files: DataFusion's own reader, whose columns are then renamed and cast to those of the contract.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::datasource::view::ViewTable;
use datafusion::datasource::{TableProvider, provider_as_source};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, cast};
use datafusion::prelude::Column as ColumnName;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;

use super::{places, unreadable};
use crate::backend::BackendError;
use crate::dialect::Column;

/// Whether the file is whole and has these columns.
pub(super) fn check(path: &Path, columns: &[Column]) -> Result<(), BackendError> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let metadata = ArrowReaderMetadata::load(&file, parquet::arrow::arrow_reader::ArrowReaderOptions::default())
        .map_err(|error| BackendError::author(format!("`{}` is no whole Parquet file: {error}", path.display())))?;
    let header: Vec<String> = metadata.schema().fields().iter().map(|field| field.name().clone()).collect();
    places(path, &header, columns).map(|_| ())
}

/// The rows of Parquet files in the types of a contract.
pub(super) async fn provider(
    files: &[PathBuf],
    columns: &[Column],
    schema: &SchemaRef,
    state: &SessionState,
) -> Result<Arc<dyn TableProvider>, BackendError> {
    let mut urls = Vec::new();
    for path in files {
        check(path, columns)?;
        let path = std::path::absolute(path).map_err(|error| unreadable(path, &error))?;
        urls.push(ListingTableUrl::parse(path.to_string_lossy()).map_err(super::super::failed)?);
    }
    let options = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension("");
    let config = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options);
    let config = config.infer_schema(state).await.map_err(super::super::failed)?;
    let table = Arc::new(ListingTable::try_new(config).map_err(super::super::failed)?);
    let header: Vec<String> = table.schema().fields().iter().map(|field| field.name().clone()).collect();
    let place = files.first().map(PathBuf::as_path).unwrap_or(Path::new(""));
    let places = places(place, &header, columns)?;
    let named = |(place, field): (usize, &Arc<datafusion::arrow::datatypes::Field>)| {
        let column = Expr::Column(ColumnName::from_name(header[place].clone()));
        cast(column, field.data_type().clone()).alias(field.name())
    };
    let expressions: Vec<Expr> = places.into_iter().zip(schema.fields()).map(named).collect();
    let plan = LogicalPlanBuilder::scan("FILE", provider_as_source(table), None)
        .and_then(|plan| plan.project(expressions))
        .and_then(LogicalPlanBuilder::build)
        .map_err(super::super::failed)?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}
