//! Casts, column by column, as CAST, `::` and TRY_CAST have them. Which casts a statement needs is decided elsewhere; reading
//! and writing dates is in `format`, the text of VARIANTs in `variant`.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, StringArray, new_null_array};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Float64Type, TimeUnit};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result, exec_err, plan_err};

use super::arithmetic;
use super::format::column::{Misfit, text_column};
use super::session::SessionParameters;
use super::types::SqlType;
use super::variant::array::{of_texts, texts};
use super::variant::convert::{self, Unreadable};
use super::variant::text::Kind;

/// A cast as a function call of DataFusion.
pub mod call;

/// Numbers out of other types.
pub mod number;

/// Dates, times and timestamps out of other types.
mod moment;

pub(in crate::dialect) use moment::is_of_snowflake;

/// VECTOR out of ARRAY.
mod vector;

/// What a value is cast to: a type and the limits of its declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The type.
    pub sql_type: SqlType,
    /// Digits of the seconds' fraction that TIME and TIMESTAMP keep.
    pub fraction: u8,
    /// The most bytes of a BINARY.
    pub bytes: Option<u32>,
}

impl From<SqlType> for Target {
    fn from(sql_type: SqlType) -> Self {
        Self { sql_type, fraction: 9, bytes: None }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.sql_type, self.bytes) {
            (SqlType::Binary, Some(bytes)) => write!(f, "BINARY({bytes})"),
            (SqlType::Time | SqlType::TimestampNtz | SqlType::TimestampLtz | SqlType::TimestampTz, _)
                if self.fraction < 9 =>
            {
                write!(f, "{}({})", self.sql_type, self.fraction)
            }
            (sql_type, _) => write!(f, "{sql_type}"),
        }
    }
}

/// Whether values of a type can be cast to another at all.
pub fn castable(from: SqlType, to: SqlType) -> bool {
    use SqlType::{
        Array, Binary, Boolean, Date, Float, Null, Number, Object, Time, TimestampLtz, TimestampNtz, TimestampTz,
        Varchar, Variant, Vector,
    };
    let same = std::mem::discriminant(&from) == std::mem::discriminant(&to);
    match (from, to) {
        (Vector(a, n), Vector(b, m)) => a == b && n == m,
        _ if same => true,
        (Null, _) | (_, Null) => true,
        (Array | Object, Variant | Varchar(_)) | (Array, Vector(..)) | (Vector(..), Array | Variant) => true,
        (Array | Object | Vector(..), _) => false,
        (Variant, to) => !matches!(to, Vector(..)),
        (_, Variant) => true,
        (Varchar(_), to) => !matches!(to, Array | Object | Vector(..)),
        (from, Varchar(_)) => from != Binary || matches!(to, Varchar(_)),
        (Number { .. } | Float | Boolean, Number { .. } | Float | Boolean) => true,
        (Number { .. } | Float, TimestampNtz | TimestampLtz | TimestampTz) => true,
        (Date, TimestampNtz | TimestampLtz | TimestampTz) => true,
        (TimestampNtz | TimestampLtz | TimestampTz, Date | Time | TimestampNtz | TimestampLtz | TimestampTz) => true,
        _ => false,
    }
}

/// The error of a cast that cannot be.
pub fn refuse<T>(from: SqlType, to: SqlType) -> Result<T> {
    plan_err!("a value of type {from} cannot be cast to {to}")
}

/// Casts a column; what is no value of the target is an error or NULL.
pub fn cast(array: &ArrayRef, target: &Target, session: &SessionParameters, misfit: Misfit) -> Result<ArrayRef> {
    let to = target.sql_type.arrow(&session.timezone);
    if array.data_type() == &DataType::Null {
        return Ok(new_null_array(&to, array.len()));
    }
    let array = &settled(array)?;
    let Some(from) = SqlType::of(array.data_type()) else {
        return exec_err!("a value of type {} cannot be cast to {target}", array.data_type());
    };
    if !castable(from, target.sql_type) {
        return exec_err!("a value of type {from} cannot be cast to {target}");
    }
    match target.sql_type {
        SqlType::Number { precision, scale } => number::to_number(array, precision, scale, misfit),
        SqlType::Float => number::to_float(array, misfit),
        SqlType::Boolean => to_boolean(array, misfit),
        SqlType::Varchar(length) => to_text(array, length, session, misfit),
        SqlType::Binary => to_binary(array, target.bytes, session, misfit),
        SqlType::Variant => convert::to_variant(array),
        SqlType::Object => container(array, &to, Kind::Object, misfit),
        SqlType::Array if matches!(from, SqlType::Vector(..)) => of_texts(convert::to_texts(array)?, &to),
        SqlType::Array => container(array, &to, Kind::Array, misfit),
        SqlType::Vector(element, length) => vector::to_vector(array, element, length, misfit),
        SqlType::Null => Ok(Arc::clone(array)),
        _ => moment::to_moments(array, target, session, misfit),
    }
}

/// The one Arrow type in which values of a type's Snowflake type rest.
pub fn settled_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => {
            DataType::Int64
        }
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Decimal256(_, scale) => DataType::Decimal128(38, (*scale).min(37)),
        DataType::Float16 | DataType::Float32 => DataType::Float64,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()),
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Nanosecond),
        DataType::Dictionary(_, values) => settled_type(values),
        DataType::Decimal128(precision, scale) if *scale < 0 => {
            DataType::Decimal128(precision.saturating_add(scale.unsigned_abs()).min(38), 0)
        }
        other => other.clone(),
    }
}

/// The same values in the type in which they rest.
pub fn settled(array: &ArrayRef) -> Result<ArrayRef> {
    let rest = settled_type(array.data_type());
    if rest == *array.data_type() {
        return Ok(Arc::clone(array));
    }
    Ok(exactly(array, &rest)?)
}

/// The same values in another Arrow type. What does not fit is an error, where Arrow's own cast gives NULL.
pub fn exactly(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &options)
}

/// NULL or an error, as the caller has it.
fn missed<T>(misfit: Misfit, message: impl FnOnce() -> String) -> Result<Option<T>> {
    match misfit {
        Misfit::Null => Ok(None),
        Misfit::Error | Misfit::Nearest => Err(DataFusionError::Execution(message())),
    }
}

fn unreadable(misfit: Misfit) -> Unreadable {
    match misfit {
        Misfit::Null => Unreadable::Null,
        Misfit::Error | Misfit::Nearest => Unreadable::Error,
    }
}

fn container(array: &ArrayRef, to: &DataType, kind: Kind, misfit: Misfit) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    convert::to_container(&texts(array)?, to, kind, unreadable(misfit))
}

/// The truth value that a word stands for.
pub fn boolean_of_text(text: &str) -> Option<bool> {
    const WORDS: [(&str, bool); 12] = [
        ("true", true),
        ("t", true),
        ("yes", true),
        ("y", true),
        ("on", true),
        ("1", true),
        ("false", false),
        ("f", false),
        ("no", false),
        ("n", false),
        ("off", false),
        ("0", false),
    ];
    let text = text.trim();
    WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, value)| *value)
}

fn to_boolean(array: &ArrayRef, misfit: Misfit) -> Result<ArrayRef> {
    let booleans: BooleanArray = match SqlType::of(array.data_type()) {
        Some(SqlType::Boolean) => return Ok(Arc::clone(array)),
        Some(SqlType::Variant) => convert::to_boolean(&texts(array)?, unreadable(misfit))?,
        Some(SqlType::Float) => {
            let one = |value: f64| match value.is_finite() {
                true => Ok(Some(value != 0.0)),
                false => missed(misfit, || format!("{value} is neither true nor false")),
            };
            array.as_primitive::<Float64Type>().iter().map(|v| v.map_or(Ok(None), one)).collect::<Result<_>>()?
        }
        Some(SqlType::Number { .. }) => {
            number::exact_values(array)?.map(|value| value.map(|value| value != 0)).collect()
        }
        _ => {
            let one = |text: &str| match boolean_of_text(text) {
                None => missed(misfit, || format!("boolean value '{text}' is not recognized")),
                value => Ok(value),
            };
            array.as_string::<i32>().iter().map(|v| v.map_or(Ok(None), one)).collect::<Result<_>>()?
        }
    };
    Ok(Arc::new(booleans))
}

fn to_text(array: &ArrayRef, length: Option<u32>, session: &SessionParameters, misfit: Misfit) -> Result<ArrayRef> {
    let text = text_column(array, session)?;
    let Some(length) = length.map(|length| length as usize) else { return Ok(Arc::new(text)) };
    let fits = |text: &str| text.len() <= length || text.chars().count() <= length;
    if text.iter().flatten().all(fits) {
        return Ok(Arc::new(text));
    }
    let one = |text: &str| match fits(text) {
        true => Ok(Some(text.to_owned())),
        false => {
            missed(misfit, || format!("string '{text}' is too long and would be truncated to {length} characters"))
        }
    };
    Ok(Arc::new(text.iter().map(|v| v.map_or(Ok(None), one)).collect::<Result<StringArray>>()?))
}

/// Bytes out of a text in an encoding: `HEX`, `BASE64` or `UTF-8`.
pub fn bytes_of_text(text: &str, encoding: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    match encoding.to_ascii_uppercase().as_str() {
        "HEX" => hex::decode(text).ok(),
        "BASE64" => base64::engine::general_purpose::STANDARD.decode(text).ok(),
        "UTF8" | "UTF-8" => Some(text.as_bytes().to_vec()),
        _ => None,
    }
}

fn to_binary(array: &ArrayRef, most: Option<u32>, session: &SessionParameters, misfit: Misfit) -> Result<ArrayRef> {
    let mut builder = BinaryBuilder::with_capacity(array.len(), array.len() * 8);
    let encoding = session.binary_input_format.as_str();
    let mut append = |bytes: Option<Vec<u8>>| -> Result<()> {
        let long = bytes.as_ref().is_some_and(|bytes| most.is_some_and(|most| bytes.len() > most as usize));
        let bytes = if long { missed(misfit, || "binary value is too long for its type".to_owned())? } else { bytes };
        builder.append_option(bytes);
        Ok(())
    };
    let decoded = |text: &str, encoding: &str| match bytes_of_text(text, encoding) {
        None => missed(misfit, || format!("the text '{text}' is not a legal {encoding}-encoded string")),
        bytes => Ok(bytes),
    };
    match SqlType::of(array.data_type()) {
        Some(SqlType::Binary) if most.is_none() => return Ok(Arc::clone(array)),
        Some(SqlType::Binary) => array.as_binary::<i32>().iter().try_for_each(|v| append(v.map(<[u8]>::to_vec)))?,
        Some(SqlType::Variant) => texts(array)?.iter().try_for_each(|value| match value {
            None | Some("null") => append(None),
            Some(value) => match (Kind::of(value), super::variant::write::characters(value)) {
                (Kind::Binary, Some(digits)) => append(decoded(&digits, "HEX")?),
                (Kind::Varchar, Some(text)) => append(decoded(&text, encoding)?),
                _ => append(missed(misfit, || format!("failed to cast variant value {value} to BINARY"))?),
            },
        })?,
        _ => array.as_string::<i32>().iter().try_for_each(|v| append(v.map_or(Ok(None), |t| decoded(t, encoding))?))?,
    }
    Ok(Arc::new(builder.finish()))
}

/// Whether a number of so many digits fits a precision.
fn within(value: i128, precision: u8) -> bool {
    value.unsigned_abs() < arithmetic::power(precision).unsigned_abs()
}

#[cfg(test)]
mod tests;
