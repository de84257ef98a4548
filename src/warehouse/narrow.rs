//! Numbers in files: Parquet keeps decimals of up to 18 digits as 64-bit integers, longer ones as strings of bytes that are
//! slow to write and to read. Most columns of type NUMBER(38, 0) hold small numbers; their files say 18 digits for as long as
//! that is enough, and a larger number begins a file of the column's own type. Readers take every file as the table's type.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DECIMAL64_MAX_PRECISION, DataType, Decimal128Type, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;

/// 10^18, which no number of 18 digits reaches.
const LIMIT: u128 = 1_000_000_000_000_000_000;

/// Whether numbers of a type may be stored in fewer digits than the type has.
pub(super) fn has_narrow_form(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(precision, _) if *precision > DECIMAL64_MAX_PRECISION)
}

/// Takes note of columns whose numbers need their type's digits from now on; whether there are any.
pub(super) fn widen(narrow: &mut [bool], batch: &RecordBatch) -> bool {
    let mut widened = false;
    for (narrow, column) in narrow.iter_mut().zip(batch.columns()).filter(|(narrow, _)| **narrow) {
        *narrow = fits(column);
        widened |= !*narrow;
    }
    widened
}

fn fits(column: &ArrayRef) -> bool {
    let Some(numbers) = column.as_primitive_opt::<Decimal128Type>() else { return false };
    let small = |number: i128| number.unsigned_abs() < LIMIT;
    match numbers.null_count() {
        0 => numbers.values().iter().all(|number| small(*number)),
        _ => numbers.iter().flatten().all(small),
    }
}

/// The table's columns as a file has them.
pub(super) fn schema(table: &SchemaRef, narrow: &[bool]) -> SchemaRef {
    if !narrow.contains(&true) {
        return Arc::clone(table);
    }
    let fields = table.fields().iter().zip(narrow).map(|(field, narrow)| match field.data_type() {
        DataType::Decimal128(_, scale) if *narrow => {
            let data_type = DataType::Decimal128(DECIMAL64_MAX_PRECISION, *scale);
            Arc::new(field.as_ref().clone().with_data_type(data_type))
        }
        _ => Arc::clone(field),
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), table.metadata().clone()))
}

/// Rows whose numbers fit, with the columns of a file; nothing is copied.
pub(super) fn batch(batch: &RecordBatch, file: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(file.fields()).map(|(column, field)| {
        match column.as_primitive_opt::<Decimal128Type>() {
            Some(numbers) if column.data_type() != field.data_type() => {
                Arc::new(numbers.clone().with_data_type(field.data_type().clone()))
            }
            _ => Arc::clone(column),
        }
    });
    RecordBatch::try_new(Arc::clone(file), columns.collect())
}
