//! Rows of Parquet files: DataFusion's own reader, whose columns are then renamed and cast to those of the contract.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, new_empty_array};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::datasource::view::ViewTable;
use datafusion::datasource::{TableProvider, provider_as_source};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{ColumnarValue, Expr, LogicalPlanBuilder, Volatility, cast, create_udf};
use datafusion::prelude::Column as ColumnName;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;

use super::guard::guarded;
use super::remote::shown;
use super::{places, unreadable};
use crate::backend::BackendError;
use crate::dialect::Column;
use crate::dialect::cast::exactly;
use crate::dialect::types::{SqlType, VectorElement};
use crate::dialect::variant::array::of_texts;
use crate::dialect::variant::convert::lists_to_texts;

/// Whether the file is whole and has these columns.
pub(super) fn check(path: &Path, columns: &[Column]) -> Result<(), BackendError> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let broken = |reason: &str| BackendError::author(format!("`{}` is no whole Parquet file: {reason}", shown(path)));
    let metadata =
        guarded(|| ArrowReaderMetadata::load(&file, parquet::arrow::arrow_reader::ArrowReaderOptions::default()))
            .ok_or_else(|| broken("its schema cannot be read"))?
            .map_err(|error| broken(&error.to_string()))?;
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
    let mut expressions = Vec::new();
    for ((at, column), field) in places.into_iter().zip(columns).zip(schema.fields()) {
        let given = table.schema().field(at).data_type().clone();
        let found = SqlType::of(&given);
        let value = Expr::Column(ColumnName::from_name(header[at].clone()));
        let value = match found {
            _ if becomes_vector(&given, column.sql_type) => {
                listed(value, given, field.data_type(), |lists, to| Ok(exactly(lists, to)?))
            }
            None if list_item(&given).is_some() && matches!(column.sql_type, SqlType::Array | SqlType::Variant) => {
                listed(value, given, field.data_type(), |lists, to| of_texts(lists_to_texts(lists)?, to))
            }
            Some(SqlType::Varchar(_)) if column.sql_type.is_semi_structured() => json(value, column.sql_type, state)?,
            Some(found) if keeps(found, column.sql_type) => value,
            _ => return Err(unfit(place, &header[at], &given, found, column)),
        };
        expressions.push(cast(value, field.data_type().clone()).alias(field.name()));
    }
    let plan = LogicalPlanBuilder::scan("FILE", provider_as_source(table), None)
        .and_then(|plan| plan.project(expressions))
        .and_then(LogicalPlanBuilder::build)
        .map_err(super::super::failed)?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

/// JSON text as the value it writes.
fn json(text: Expr, wanted: SqlType, state: &SessionState) -> Result<Expr, BackendError> {
    let call = |name: &str, argument: Expr| match state.scalar_functions().get(name) {
        Some(function) => Ok(function.call(vec![argument])),
        None => Err(BackendError::author(format!("this engine has no function `{name}`"))),
    };
    let value = call("parse_json", text)?;
    match wanted {
        SqlType::Object => call("as_object", value),
        SqlType::Array => call("as_array", value),
        _ => Ok(value),
    }
}

/// What a list holds.
fn list_item(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => Some(item.data_type()),
        _ => None,
    }
}

/// Whether lists of these numbers may be vectors: floats as FLOAT, of 32 bits as a cast of ARRAY makes them, and integers
/// as either. A list of another length is an error when it is read.
fn becomes_vector(found: &DataType, wanted: SqlType) -> bool {
    let SqlType::Vector(element, length) = wanted else { return false };
    let fits = !matches!(found, DataType::FixedSizeList(_, size) if *size != i32::from(length));
    let is_integer = |item: &DataType| item.is_integer() && *item != DataType::UInt64;
    let number = |item: &DataType| is_integer(item) || (element == VectorElement::Float && item.is_floating());
    fits && list_item(found).is_some_and(number)
}

/// How lists become a column of another type.
type Convert = fn(&ArrayRef, &DataType) -> datafusion::common::Result<ArrayRef>;

/// Lists in the type of a contract.
fn listed(value: Expr, given: DataType, wanted: &DataType, convert: Convert) -> Expr {
    let to = wanted.clone();
    let all = move |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let lists = arrays.first().cloned().unwrap_or_else(|| new_empty_array(&DataType::Null));
        Ok(ColumnarValue::Array(convert(&lists, &to)?))
    };
    create_udf("from_list", vec![given], wanted.clone(), Volatility::Immutable, Arc::new(all)).call(vec![value])
}

/// Whether every value of the one type is a value of the other, so that nothing is rounded, cut or read otherwise.
fn keeps(found: SqlType, wanted: SqlType) -> bool {
    use SqlType::{Binary, Boolean, Date, Float, Null, Number, Time, TimestampLtz, TimestampNtz, Varchar};
    match (found, wanted) {
        (Number { scale: found, .. }, Number { scale: wanted, .. }) => found <= wanted,
        (Number { .. } | Float, Float) => true,
        (Date | TimestampNtz | TimestampLtz, TimestampNtz | TimestampLtz) => true,
        (Varchar(_), Varchar(_)) | (Binary, Binary) | (Boolean, Boolean) | (Date, Date) | (Time, Time) | (Null, _) => {
            true
        }
        _ => false,
    }
}

fn unfit(path: &Path, name: &str, data_type: &DataType, found: Option<SqlType>, column: &Column) -> BackendError {
    let found = found.map_or_else(|| data_type.to_string(), |found| found.to_string());
    BackendError::author(format!(
        "column `{name}` of `{}` holds {found}, which {} of its contract cannot hold whole",
        shown(path),
        column.sql_type
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_rounded_or_cut_is_refused() {
        let number = |scale| SqlType::Number { precision: 38, scale };
        assert!(keeps(number(0), number(2)) && keeps(number(0), SqlType::Float) && keeps(SqlType::Null, SqlType::Date));
        for (found, wanted) in [
            (number(2), number(0)),
            (SqlType::Float, number(2)),
            (SqlType::TimestampNtz, SqlType::Date),
            (SqlType::TEXT, number(0)),
            (number(0), SqlType::TEXT),
        ] {
            assert!(!keeps(found, wanted), "{found} as {wanted}");
        }
    }
}
