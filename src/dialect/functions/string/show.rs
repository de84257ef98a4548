//! TO_CHAR: numbers, dates, times and bytes as text, by a format or as the session shows them.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;

use super::super::scalar::{Call, Column, Shape, cast_to, decimals, texts};
use crate::dialect::format::column::{bytes_text, write_column};
use crate::dialect::format::number::number_parts;
use crate::dialect::format::{Model, NumberModel, text_column};
use crate::dialect::types::SqlType;

/// The rule: a format only where there is something to format.
pub(super) fn shown(shape: &Shape<'_>) -> Result<DataType> {
    if shape.types.len() < 2 {
        return Ok(DataType::Utf8);
    }
    let format = shape.constant_text(1);
    match (shape.sql_type(0), format) {
        (SqlType::Number { .. } | SqlType::Float, Some(format)) => {
            NumberModel::parse(format).map_err(|message| shape.error(message))?;
        }
        (SqlType::Date | SqlType::Time | SqlType::TimestampNtz, Some(format))
        | (SqlType::TimestampLtz | SqlType::TimestampTz, Some(format)) => {
            Model::parse(format).map_err(|message| shape.error(message))?;
        }
        (SqlType::Varchar(_) | SqlType::Boolean | SqlType::Variant | SqlType::Object | SqlType::Array, _) => {
            return Err(shape.error(format!("a value of type {} takes no format", shape.sql_type(0))));
        }
        _ => {}
    }
    Ok(DataType::Utf8)
}

/// `TO_CHAR(value [, format])`.
pub(super) fn to_char(call: &Call<'_>) -> Result<ArrayRef> {
    let column = call.column(0)?;
    if call.len() < 2 {
        let shown = call.texts(0)?;
        return texts(call.rows, |row, out| Ok(shown.get(row).map(|text| out.push_str(text)).is_some()));
    }
    let formats = call.texts(1)?;
    if formats.is_constant() && call.rows > 0 {
        let shown = match formats.get(0) {
            Some(format) => formatted(call, column.array(), format)?,
            None => StringArray::new_null(column.array().len()),
        };
        return picked(call, &column, &shown);
    }
    texts(call.rows, |row, out| {
        let (Some(at), Some(format)) = (column.at(row), formats.get(row)) else { return Ok(false) };
        let shown = formatted(call, &column.array().slice(at, 1), format)?;
        Ok(shown.iter().next().flatten().map(|text| out.push_str(text)).is_some())
    })
}

/// One text a row, whether the argument was a constant or not.
fn picked(call: &Call<'_>, column: &Column<ArrayRef>, shown: &StringArray) -> Result<ArrayRef> {
    if !column.is_constant() {
        return Ok(Arc::new(shown.clone()));
    }
    texts(call.rows, |row, out| {
        let at = column.at(row).filter(|at| shown.is_valid(*at));
        Ok(at.map(|at| out.push_str(shown.value(at))).is_some())
    })
}

fn formatted(call: &Call<'_>, array: &ArrayRef, format: &str) -> Result<StringArray> {
    match SqlType::of(array.data_type()) {
        Some(SqlType::Float) => {
            let model = NumberModel::parse(format).or_else(|message| call.fail(message))?;
            let floats = cast_to(array, &DataType::Float64)?;
            let one = |value: f64| match number_parts(&format!("{value}")) {
                Some((number, scale)) => Ok(model.write(number, scale)),
                None => call.fail(format!("{value} has more than 38 digits")),
            };
            floats.as_primitive::<Float64Type>().iter().map(|value| value.map(one).transpose()).collect()
        }
        Some(SqlType::Number { .. }) => {
            let model = NumberModel::parse(format).or_else(|message| call.fail(message))?;
            let numbers = decimals(array)?;
            let one = |row| numbers.get(row).map(|(number, scale)| model.write(number, scale.unsigned_abs()));
            Ok((0..array.len()).map(one).collect())
        }
        Some(SqlType::Binary) => bytes_text(array, format),
        Some(SqlType::Null) => Ok(StringArray::new_null(array.len())),
        Some(SqlType::Date | SqlType::Time | SqlType::TimestampNtz | SqlType::TimestampLtz | SqlType::TimestampTz) => {
            let model = Model::parse(format).or_else(|message| call.fail(message))?;
            write_column(array, &model, call.session)
        }
        _ => text_column(array, call.session),
    }
}
