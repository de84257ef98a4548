//! Columns of arguments as numbers and as bytes that sort as the values do.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, Decimal128Array, Float64Array, TimestampNanosecondArray,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::{CastOptions, SortOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Float64Type, TimestampNanosecondType};
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::{Result, plan_err};

use super::frame::Setup;
use crate::dialect::cast::{number, settled};
use crate::dialect::format::column::Misfit;
use crate::dialect::functions::operator::tidy_column;
use crate::dialect::types::SqlType;
use crate::dialect::variant::array::texts;
use crate::dialect::variant::key;

/// Refuses what no number can be made of.
pub(super) fn expect_number(name: &str, types: &[DataType], index: usize) -> Result<()> {
    match types.get(index).and_then(SqlType::of) {
        Some(SqlType::Number { .. } | SqlType::Float | SqlType::Varchar(_) | SqlType::Variant | SqlType::Null) => {
            Ok(())
        }
        Some(other) => plan_err!("argument {} of `{name}` cannot be {other}", index + 1),
        None => plan_err!("`{name}` needs argument {}", index + 1),
    }
}

fn cast(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    Ok(cast_with_options(array, data_type, &CastOptions { safe: false, ..CastOptions::default() })?)
}

/// A column as floats.
pub(in crate::dialect::functions) fn floats(array: &ArrayRef) -> Result<Float64Array> {
    if array.data_type() == &DataType::Null {
        return Ok(Float64Array::new_null(array.len()));
    }
    Ok(number::to_float(&settled(array)?, Misfit::Error)?.as_primitive::<Float64Type>().clone())
}

/// A column of NUMBERs as whole multiples of 10^-scale.
pub(super) fn decimals(array: &ArrayRef) -> Result<Decimal128Array> {
    let scale = match array.data_type() {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    };
    Ok(cast(array, &DataType::Decimal128(38, scale))?.as_primitive::<Decimal128Type>().clone())
}

/// The scale of a NUMBER type.
pub(super) fn scale_of(data_type: &DataType) -> Option<u8> {
    match SqlType::of(data_type)? {
        SqlType::Number { scale, .. } => Some(scale),
        _ => None,
    }
}

/// A column whose bytes are the same where its values are equal, and sort as they do: VARIANTs become their keys,
/// timestamps with offsets their instants.
fn sortable(array: &ArrayRef) -> Result<ArrayRef> {
    match SqlType::of(array.data_type()) {
        Some(SqlType::Float) => Ok(tidy_column(array)),
        Some(SqlType::TimestampTz) => {
            let instants = array.as_struct().column(0).as_primitive::<TimestampNanosecondType>();
            let nulls = NullBuffer::union(array.nulls(), instants.nulls());
            Ok(Arc::new(TimestampNanosecondArray::new(instants.values().clone(), nulls)))
        }
        Some(kind) if kind.is_semi_structured() => {
            let mut keys = BinaryBuilder::new();
            for text in &texts(array)? {
                keys.append_option(text.map(key::key));
            }
            Ok(Arc::new(keys.finish()))
        }
        _ => Ok(Arc::clone(array)),
    }
}

/// Rows of columns as bytes that are the same where the rows are equal.
pub(in crate::dialect::functions) fn equal_rows(columns: &[ArrayRef]) -> Result<Rows> {
    sort_rows(columns, &vec![SortOptions::default(); columns.len()])
}

/// Rows of columns as bytes that sort so.
pub(super) fn sort_rows(columns: &[ArrayRef], options: &[SortOptions]) -> Result<Rows> {
    let columns = columns.iter().map(sortable).collect::<Result<Vec<_>>>()?;
    let field = |(column, options): (&ArrayRef, &SortOptions)| {
        SortField::new_with_options(column.data_type().clone(), *options)
    };
    let converter = RowConverter::new(columns.iter().zip(options).map(field).collect())?;
    Ok(converter.convert_columns(&columns)?)
}

/// What WITHIN GROUP orders the rows by, as bytes; none where there is no such clause or they come in that order.
pub(super) fn order_rows(setup: &Setup, columns: &[ArrayRef]) -> Result<Option<Rows>> {
    match columns.get(setup.types.len()..) {
        Some(keys) if !keys.is_empty() => Ok(Some(sort_rows(keys, &setup.order)?)),
        _ => Ok(None),
    }
}
