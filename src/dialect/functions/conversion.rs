//! TO_ and TRY_TO_ functions for numbers, booleans, text and bytes. Those for dates are in `date_time`, those for VARIANT in
//! `semi_structured`; all of them cast as CAST does where no format is given.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, Decimal128Builder, Float64Builder, StringArray,
};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err, plan_err};

use super::Function;
use super::scalar::{Call, Shape, exact, texts};
use crate::dialect::arithmetic::rescale;
use crate::dialect::cast::{self, Target, castable, number};
use crate::dialect::format::Model;
use crate::dialect::format::column::{Misfit, text_column, write_column};
use crate::dialect::format::number::NumberModel;
use crate::dialect::types::{MAX_PRECISION, SqlType};

const FAMILY: &str = "conversion";

/// The functions of this family.
pub(super) fn functions() -> Vec<Function> {
    vec![
        exact(FAMILY, &["to_number", "to_decimal", "to_numeric"], 1..=4, number_type, |call| {
            to_number(call, Misfit::Error)
        }),
        exact(FAMILY, &["try_to_number", "try_to_decimal", "try_to_numeric"], 1..=4, number_type, |call| {
            to_number(call, Misfit::Null)
        }),
        exact(
            FAMILY,
            &["to_double"],
            1..=2,
            |shape| converted(shape, SqlType::Float),
            |call| to_double(call, Misfit::Error),
        ),
        exact(
            FAMILY,
            &["try_to_double"],
            1..=2,
            |shape| converted(shape, SqlType::Float),
            |call| to_double(call, Misfit::Null),
        ),
        exact(
            FAMILY,
            &["to_boolean"],
            1..=1,
            |shape| converted(shape, SqlType::Boolean),
            |call| plain(call, SqlType::Boolean, Misfit::Error),
        ),
        exact(
            FAMILY,
            &["try_to_boolean"],
            1..=1,
            |shape| converted(shape, SqlType::Boolean),
            |call| plain(call, SqlType::Boolean, Misfit::Null),
        ),
        exact(FAMILY, &["to_char", "to_varchar"], 1..=2, text_type, to_text),
        exact(
            FAMILY,
            &["to_binary"],
            1..=2,
            |shape| converted(shape, SqlType::Binary),
            |call| to_binary(call, Misfit::Error),
        ),
        exact(
            FAMILY,
            &["try_to_binary"],
            1..=2,
            |shape| converted(shape, SqlType::Binary),
            |call| to_binary(call, Misfit::Null),
        ),
    ]
}

fn converted(shape: &Shape<'_>, to: SqlType) -> Result<DataType> {
    if castable(shape.sql_type(0), to) { Ok(to.arrow(shape.zone)) } else { shape.refuse(0) }
}

/// Which argument of TO_NUMBER is the format, and which are the precision and scale.
fn layout(kinds: &[SqlType]) -> (Option<usize>, usize) {
    match kinds.get(1) {
        Some(SqlType::Varchar(_)) => (Some(1), 2),
        _ => (None, 1),
    }
}

fn number_type(shape: &Shape<'_>) -> Result<DataType> {
    let kinds: Vec<SqlType> = (0..shape.types.len()).map(|index| shape.sql_type(index)).collect();
    let to = SqlType::Number { precision: MAX_PRECISION, scale: 0 };
    if !castable(kinds[0], to) {
        return shape.refuse(0);
    }
    let (format, first) = layout(&kinds);
    if let Some(text) = format.and_then(|index| shape.constant_text(index)) {
        NumberModel::parse(text).or_else(|message| plan_err!("`{}`: {message}", shape.name))?;
    }
    let digits = |index: usize, default: i64, least: i64, most: i64| -> Result<u8> {
        let value = match (shape.types.get(index), shape.constants.get(index).copied().flatten()) {
            (None, _) => default,
            (Some(_), Some(value)) => match value.cast_to(&DataType::Int64)? {
                datafusion::common::ScalarValue::Int64(Some(value)) => value,
                _ => default,
            },
            (Some(_), None) => return plan_err!("argument {} of `{}` must be a constant", index + 1, shape.name),
        };
        match u8::try_from(value) {
            Ok(digits) if (least..=most).contains(&value) => Ok(digits),
            _ => plan_err!("argument {} of `{}` must be from {least} to {most}", index + 1, shape.name),
        }
    };
    let precision = digits(first, 38, 1, 38)?;
    let scale = digits(first + 1, 0, 0, i64::from(precision.min(37)))?;
    Ok(DataType::Decimal128(precision, scale as i8))
}

/// An argument with one value a row.
pub(super) fn rows_of(call: &Call<'_>, index: usize) -> Result<ArrayRef> {
    let column = call.column(index)?;
    if !column.is_constant() || call.rows == 1 {
        return Ok(Arc::clone(column.array()));
    }
    let first = datafusion::arrow::array::UInt32Array::from(vec![0; call.rows]);
    Ok(datafusion::arrow::compute::take(column.array(), &first, None)?)
}

/// A cast without format.
fn plain(call: &Call<'_>, to: SqlType, misfit: Misfit) -> Result<ArrayRef> {
    cast::cast(&rows_of(call, 0)?, &Target::from(to), call.session, misfit)
}

/// The format of each row: compiled once where it is a constant.
fn formats<M>(
    call: &Call<'_>,
    index: usize,
    parse: impl Fn(&str) -> Result<M, String>,
) -> Result<impl Fn(usize) -> Result<Option<Arc<M>>>> {
    let column = call.texts(index)?;
    let name = call.name.to_owned();
    let compile = move |text: &str| parse(text).map(Arc::new).or_else(|message| exec_err!("`{name}`: {message}"));
    let fixed = match column.is_constant() && call.rows > 0 {
        true => Some(column.get(0).map(&compile).transpose()?),
        false => None,
    };
    Ok(move |row| match &fixed {
        Some(model) => Ok(model.clone()),
        None => column.get(row).map(&compile).transpose(),
    })
}

fn to_number(call: &Call<'_>, misfit: Misfit) -> Result<ArrayRef> {
    let &DataType::Decimal128(precision, scale) = call.returns else { return call.fail("it gives a NUMBER") };
    let kinds: Vec<SqlType> = (0..call.len()).map(|index| call.sql_type(index)).collect();
    let Some(format) = layout(&kinds).0 else {
        return plain(call, SqlType::Number { precision, scale: scale as u8 }, misfit);
    };
    let (text, models) = (text_column(&rows_of(call, 0)?, call.session)?, formats(call, format, NumberModel::parse)?);
    let mut builder = Decimal128Builder::with_capacity(call.rows).with_precision_and_scale(precision, scale)?;
    let bound = 10_u128.pow(u32::from(precision));
    for row in 0..call.rows {
        let (true, Some(model)) = (text.is_valid(row), models(row)?) else {
            builder.append_null();
            continue;
        };
        let read = model.read(text.value(row)).and_then(|(value, digits)| rescale(value, digits, scale as u8));
        match read.filter(|value| value.unsigned_abs() < bound) {
            None if misfit == Misfit::Error => {
                return call.fail(format!("can't parse '{}' as number with the given format", text.value(row)));
            }
            value => builder.append_option(value),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn to_double(call: &Call<'_>, misfit: Misfit) -> Result<ArrayRef> {
    if call.len() == 1 {
        return plain(call, SqlType::Float, misfit);
    }
    let (text, models) = (text_column(&rows_of(call, 0)?, call.session)?, formats(call, 1, NumberModel::parse)?);
    let mut builder = Float64Builder::with_capacity(call.rows);
    for row in 0..call.rows {
        let (true, Some(model)) = (text.is_valid(row), models(row)?) else {
            builder.append_null();
            continue;
        };
        match model.read(text.value(row)).map(|(value, scale)| number::float_of_fixed(value, scale)) {
            None if misfit == Misfit::Error => {
                return call.fail(format!("can't parse '{}' as number with the given format", text.value(row)));
            }
            value => builder.append_option(value),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn text_type(shape: &Shape<'_>) -> Result<DataType> {
    let Some(text) = shape.constant_text(1) else { return Ok(DataType::Utf8) };
    let checked = match shape.sql_type(0) {
        SqlType::Number { .. } | SqlType::Float => NumberModel::parse(text).map(|_| ()),
        SqlType::Binary => encoding(text).map(|_| ()),
        SqlType::Date | SqlType::Time | SqlType::TimestampNtz | SqlType::TimestampLtz | SqlType::TimestampTz => {
            Model::parse(text).map(|_| ())
        }
        _ => Ok(()),
    };
    checked.or_else(|message| plan_err!("`{}`: {message}", shape.name))?;
    Ok(DataType::Utf8)
}

fn encoding(text: &str) -> Result<&'static str, String> {
    match text.to_ascii_uppercase().as_str() {
        "HEX" => Ok("HEX"),
        "BASE64" => Ok("BASE64"),
        "UTF8" | "UTF-8" => Ok("UTF-8"),
        _ => Err(format!("'{text}' is not HEX, BASE64 or UTF-8")),
    }
}

fn to_text(call: &Call<'_>) -> Result<ArrayRef> {
    let values = rows_of(call, 0)?;
    let kind = call.sql_type(0);
    if call.len() == 1 || matches!(kind, SqlType::Null | SqlType::Boolean) {
        return Ok(Arc::new(text_column(&values, call.session)?));
    }
    match kind {
        SqlType::Number { .. } | SqlType::Float => number_text(call, &values),
        SqlType::Binary => {
            let models = formats(call, 1, encoding)?;
            let bytes = values.as_binary::<i32>();
            texts(call.rows, |row, out| {
                let (true, Some(encoding)) = (bytes.is_valid(row), models(row)?) else { return Ok(false) };
                out.push_str(&encoded(bytes.value(row), &encoding)?);
                Ok(true)
            })
        }
        SqlType::Date | SqlType::Time | SqlType::TimestampNtz | SqlType::TimestampLtz | SqlType::TimestampTz => {
            let formats_column = call.texts(1)?;
            if formats_column.is_constant() && call.rows > 0 {
                let Some(format) = formats_column.get(0) else { return Ok(Arc::new(StringArray::new_null(call.rows))) };
                let model = Model::parse(format).or_else(|message| call.fail(message))?;
                return Ok(Arc::new(write_column(&values, &model, call.session)?));
            }
            texts(call.rows, |row, out| {
                let Some(format) = formats_column.get(row) else { return Ok(false) };
                let model = Model::parse(format).or_else(|message| call.fail(message))?;
                let shown = write_column(&values.slice(row, 1), &model, call.session)?;
                out.push_str(if shown.is_valid(0) { shown.value(0) } else { "" });
                Ok(shown.is_valid(0))
            })
        }
        // Text stays as it is; a VARIANT takes the format that its own type has.
        _ => Ok(Arc::new(text_column(&values, call.session)?)),
    }
}

fn encoded(bytes: &[u8], encoding: &str) -> Result<String> {
    use base64::Engine as _;
    Ok(match encoding {
        "BASE64" => base64::engine::general_purpose::STANDARD.encode(bytes),
        "UTF-8" => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => return exec_err!("the binary value is not UTF-8"),
        },
        _ => hex::encode_upper(bytes),
    })
}

fn number_text(call: &Call<'_>, values: &ArrayRef) -> Result<ArrayRef> {
    let models = formats(call, 1, NumberModel::parse)?;
    let values = cast::settled(values)?;
    let float = SqlType::of(values.data_type()) == Some(SqlType::Float);
    let (exact, scale): (Vec<Option<i128>>, u8) = if float {
        // As many digits as the number has, up to what a float holds.
        let floats = values.as_primitive::<datafusion::arrow::datatypes::Float64Type>();
        (floats.iter().map(|value| value.and_then(|v| number::fixed_of_text(&format!("{v}"), 15))).collect(), 15)
    } else {
        let scale = crate::dialect::arithmetic::digits(values.data_type()).map_or(0, |(_, scale)| scale);
        (number::exact_values(&values)?.collect(), scale)
    };
    texts(call.rows, |row, out| {
        let (Some(value), Some(model)) = (exact[row], models(row)?) else {
            return if values.is_valid(row) && models(row)?.is_some() {
                call.fail("the number is too large for a format")
            } else {
                Ok(false)
            };
        };
        let (value, scale) = if float { trimmed(value, scale) } else { (value, scale) };
        out.push_str(&model.write(value, scale));
        Ok(true)
    })
}

/// A number without the zeros at its end.
fn trimmed(mut value: i128, mut scale: u8) -> (i128, u8) {
    while scale > 0 && value % 10 == 0 {
        value /= 10;
        scale -= 1;
    }
    (value, scale)
}

fn to_binary(call: &Call<'_>, misfit: Misfit) -> Result<ArrayRef> {
    if call.len() == 1 || call.sql_type(0) == SqlType::Binary {
        return plain(call, SqlType::Binary, misfit);
    }
    let (text, models) = (text_column(&rows_of(call, 0)?, call.session)?, formats(call, 1, encoding)?);
    let mut builder = BinaryBuilder::with_capacity(call.rows, call.rows * 8);
    for row in 0..call.rows {
        let (true, Some(encoding)) = (text.is_valid(row), models(row)?) else {
            builder.append_null();
            continue;
        };
        match cast::bytes_of_text(text.value(row), &encoding) {
            None if misfit == Misfit::Error => {
                return call.fail(format!("'{}' is not a legal {encoding}-encoded string", text.value(row)));
            }
            bytes => builder.append_option(bytes),
        }
    }
    Ok(Arc::new(builder.finish()))
}
