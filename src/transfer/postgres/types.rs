//! The types of PostgreSQL that rows can go into, and values in them. What a column there could not hold exactly is refused.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryBuilder, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, Time64NanosecondType, TimeUnit, TimestampNanosecondType};
use pgpq::encoders::{EncoderBuilder, StringEncoderBuilder};
use pgpq::pg_schema::PostgresType;

use crate::backend::BackendError;
use crate::dialect::cast::settled;
use crate::dialect::types::SqlType;
use crate::transfer::cell::{as_texts, texts_of};

/// How values go over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    Json,
    Jsonb,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Bytea,
    Uuid,
}

/// The type of a column that is made for values of a type.
pub(super) fn declared(sql_type: SqlType, data_type: &DataType) -> String {
    match sql_type {
        SqlType::Number { .. } if *data_type == DataType::Int64 => "bigint".to_owned(),
        SqlType::Number { precision, scale } => format!("numeric({precision},{scale})"),
        SqlType::Float => "double precision".to_owned(),
        SqlType::Varchar(Some(length)) if length <= 10_485_760 => format!("varchar({length})"),
        SqlType::Varchar(_) | SqlType::Null => "text".to_owned(),
        SqlType::Boolean => "boolean".to_owned(),
        SqlType::Binary => "bytea".to_owned(),
        SqlType::Date => "date".to_owned(),
        SqlType::Time => "time".to_owned(),
        SqlType::TimestampNtz => "timestamp".to_owned(),
        SqlType::TimestampLtz | SqlType::TimestampTz => "timestamptz".to_owned(),
        SqlType::Variant | SqlType::Object | SqlType::Array | SqlType::Vector(..) => "jsonb".to_owned(),
    }
}

impl Wire {
    /// How values of a type of the catalogue go; none where they cannot.
    pub(super) fn of(type_name: &str) -> Option<Self> {
        Some(match type_name {
            "bool" => Self::Bool,
            "int2" => Self::Int2,
            "int4" => Self::Int4,
            "int8" => Self::Int8,
            "float4" => Self::Float4,
            "float8" => Self::Float8,
            "numeric" => Self::Numeric,
            "text" | "varchar" | "bpchar" => Self::Text,
            "json" => Self::Json,
            "jsonb" => Self::Jsonb,
            "date" => Self::Date,
            "time" => Self::Time,
            "timestamp" => Self::Timestamp,
            "timestamptz" => Self::TimestampTz,
            "bytea" => Self::Bytea,
            "uuid" => Self::Uuid,
            _ => return None,
        })
    }

    /// Why values of a type cannot go into a column of this one; none where they can.
    pub(super) fn refuses(self, sql_type: SqlType) -> Option<&'static str> {
        use SqlType::{Array, Binary, Boolean, Date, Float, Null, Number, Object, Time, Varchar, Variant, Vector};
        use SqlType::{TimestampLtz, TimestampNtz, TimestampTz};
        let fits = match (self, sql_type) {
            (_, Null) | (Self::Text, _) => true,
            (Self::Bool, Boolean) | (Self::Date, Date) | (Self::Time, Time) | (Self::Bytea, Binary) => true,
            (Self::Int2 | Self::Int4 | Self::Int8, Number { scale: 0, .. }) => true,
            (Self::Int2 | Self::Int4 | Self::Int8, Number { .. }) => {
                return Some("cast it to a whole number in the query, with `round` or `::number(38,0)`");
            }
            (Self::Numeric | Self::Float8 | Self::Float4, Number { .. }) => true,
            (Self::Float4 | Self::Float8, Float) => true,
            (Self::Numeric | Self::Int2 | Self::Int4 | Self::Int8, Float) => {
                return Some("cast it to a number in the query");
            }
            (Self::Json | Self::Jsonb, Variant | Object | Array | Vector(..) | Varchar(_)) => true,
            (Self::Uuid, Varchar(_)) | (Self::Timestamp, TimestampNtz | Date) => true,
            (Self::TimestampTz, TimestampLtz | TimestampTz) => true,
            (Self::TimestampTz, TimestampNtz | Date) => {
                return Some(
                    "say in which time zone it is, with `::timestamp_ltz` or `convert_timezone`, in the query",
                );
            }
            (Self::Timestamp, TimestampLtz | TimestampTz) => {
                return Some("say in which time zone it is to be told, with `convert_timezone` and `::timestamp_ntz`");
            }
            _ => false,
        };
        (!fits).then_some("cast it in the query")
    }

    /// The Arrow type whose values the encoder takes.
    fn arrow(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int2 => DataType::Int16,
            Self::Int4 => DataType::Int32,
            Self::Int8 => DataType::Int64,
            Self::Float4 => DataType::Float32,
            Self::Float8 => DataType::Float64,
            Self::Numeric => DataType::Decimal128(38, 0),
            Self::Text | Self::Json | Self::Jsonb => DataType::Utf8,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Bytea => DataType::Binary,
            Self::Uuid => DataType::FixedSizeBinary(16),
        }
    }

    /// The field that the encoder takes, for values that come in an Arrow type.
    pub(super) fn field(self, name: &str, comes: &DataType) -> Field {
        let data_type = match (self, comes) {
            (Self::Numeric, DataType::Decimal128(precision, scale)) => DataType::Decimal128(*precision, *scale),
            _ => self.arrow(),
        };
        Field::new(name, data_type, true)
    }

    /// The encoder of a field.
    pub(super) fn encoder(self, field: &Arc<Field>) -> Result<EncoderBuilder, BackendError> {
        let built = match self {
            Self::Jsonb => {
                StringEncoderBuilder::new_with_output(field.clone(), PostgresType::Jsonb).map(EncoderBuilder::String)
            }
            _ => EncoderBuilder::try_new(field.clone()),
        };
        built.map_err(|error| BackendError::author(error.to_string()))
    }

    /// The values of a column as the encoder takes them; the message where one does not fit.
    pub(super) fn values(self, array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, String> {
        let array = settled(array).map_err(|error| error.strip_backtrace())?;
        if array.data_type() == wanted {
            return Ok(array);
        }
        match (self, array.data_type()) {
            (_, DataType::Null) => Ok(datafusion::arrow::array::new_null_array(wanted, array.len())),
            (Self::Text | Self::Json | Self::Jsonb, _) => texts_of(&array).map_err(|error| error.message),
            (Self::Uuid, _) => uuids(&array),
            (Self::Time, DataType::Time64(_)) => {
                let values = array.as_primitive::<Time64NanosecondType>();
                let micros: Time64MicrosecondArray =
                    values.iter().map(|nanos| nanos.map(micros).transpose()).collect::<Result<_, _>>()?;
                Ok(Arc::new(micros))
            }
            (Self::Timestamp | Self::TimestampTz, DataType::Timestamp(..)) => timestamps(&array, wanted),
            (Self::TimestampTz, DataType::Struct(_)) => {
                let whole = array.as_struct();
                let instants = whole.column(0);
                let instants = datafusion::arrow::compute::nullif(
                    instants,
                    &datafusion::arrow::compute::is_null(whole).map_err(|error| error.to_string())?,
                );
                timestamps(&instants.map_err(|error| error.to_string())?, wanted)
            }
            (Self::Float4, _) => cast(&array, wanted, false),
            _ => cast(&array, wanted, true),
        }
    }
}

fn cast(array: &ArrayRef, wanted: &DataType, exact: bool) -> Result<ArrayRef, String> {
    let options = CastOptions { safe: exact, ..CastOptions::default() };
    let values = cast_with_options(array, wanted, &options).map_err(|error| error.to_string())?;
    match (0..array.len()).find(|row| values.is_null(*row) && !array.is_null(*row)) {
        Some(row) => {
            let text = as_texts(&array.slice(row, 1)).map_err(|error| error.message)?;
            Err(format!("`{}` is too large for it", text.value(0)))
        }
        None => Ok(values),
    }
}

fn timestamps(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, String> {
    let values = array.as_primitive::<TimestampNanosecondType>();
    let micros: TimestampMicrosecondArray =
        values.iter().map(|nanos| nanos.map(micros).transpose()).collect::<Result<_, _>>()?;
    let zone = if let DataType::Timestamp(_, zone) = wanted { zone.clone() } else { None };
    Ok(Arc::new(micros.with_timezone_opt(zone)))
}

fn micros(nanos: i64) -> Result<i64, String> {
    if nanos % 1000 == 0 {
        return Ok(nanos / 1000);
    }
    let hint = "cut it in the query with date_trunc('microsecond', …)";
    Err(format!("a time has {nanos} nanoseconds, and PostgreSQL holds whole microseconds; {hint}"))
}

fn uuids(array: &ArrayRef) -> Result<ArrayRef, String> {
    let texts = array.as_string::<i32>();
    let mut builder = FixedSizeBinaryBuilder::with_capacity(texts.len(), 16);
    for text in texts {
        let Some(text) = text else {
            builder.append_null();
            continue;
        };
        let digits: String = text.chars().filter(|c| !matches!(c, '-' | '{' | '}')).collect();
        let bytes = hex::decode(digits).ok().filter(|bytes| bytes.len() == 16);
        let bytes = bytes.ok_or_else(|| format!("`{text}` is no UUID"))?;
        builder.append_value(bytes).map_err(|error| error.to_string())?;
    }
    Ok(Arc::new(builder.finish()))
}
