//! The types of Snowflake and the one Arrow type in which the values of each rest inside the engine.
//!
//! Whatever enters the engine (Parquet, CSV, a server's answer) is cast to these on the way in, so that a function
//! meets no other type:
//!
//! | Snowflake | Arrow |
//! | --- | --- |
//! | `NUMBER(p, s)` | `Decimal128(p, s)`; also `Int64` where integers come so (literals, counts, files) |
//! | `FLOAT` | `Float64` |
//! | `VARCHAR`, `BINARY`, `BOOLEAN` | `Utf8`, `Binary`, `Boolean` |
//! | `DATE`, `TIME` | `Date32`, `Time64(ns)` |
//! | `TIMESTAMP_NTZ`, `TIMESTAMP_LTZ` | `Timestamp(ns)`, `Timestamp(ns, session zone)` |
//! | `TIMESTAMP_TZ` | `Struct { utc: Timestamp(ns), offset: Int32 minutes east of UTC }` |
//! | `VARIANT`, `OBJECT`, `ARRAY` | `Struct { variant | object | array: Utf8 }` of canonical JSON text |
//! | `VECTOR(FLOAT | INT, n)` | `FixedSizeList(Float32 | Int32, n)` |

use std::fmt;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, Field, Fields, TimeUnit};

/// The most digits a NUMBER can hold.
pub const MAX_PRECISION: u8 = 38;

/// The element type of a VECTOR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VectorElement {
    /// 32-bit float.
    Float,
    /// 32-bit integer.
    Int,
}

/// A type as Snowflake names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SqlType {
    /// Exact decimal of `precision` digits, `scale` of them after the point.
    Number {
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits after the point, 0 to 37.
        scale: u8,
    },
    /// 64-bit float.
    Float,
    /// Text, with its greatest length in characters where one was declared.
    Varchar(Option<u32>),
    /// Bytes.
    Binary,
    /// True or false.
    Boolean,
    /// Calendar date.
    Date,
    /// Time of day.
    Time,
    /// Date and time without zone.
    TimestampNtz,
    /// An instant, shown in the session's zone.
    TimestampLtz,
    /// An instant with the offset it was written in.
    TimestampTz,
    /// Any value.
    Variant,
    /// A VARIANT that is an object.
    Object,
    /// A VARIANT that is an array.
    Array,
    /// A fixed-length vector of numbers.
    Vector(VectorElement, u16),
    /// The type of a bare NULL.
    Null,
}

static VARIANT: LazyLock<Fields> = LazyLock::new(|| one_field("variant"));
static OBJECT: LazyLock<Fields> = LazyLock::new(|| one_field("object"));
static ARRAY: LazyLock<Fields> = LazyLock::new(|| one_field("array"));
static TIMESTAMP_TZ: LazyLock<Fields> = LazyLock::new(|| {
    let utc = Field::new("utc", DataType::Timestamp(TimeUnit::Nanosecond, None), true);
    Fields::from(vec![utc, Field::new("offset", DataType::Int32, true)])
});

fn one_field(name: &str) -> Fields {
    Fields::from(vec![Field::new(name, DataType::Utf8, true)])
}

impl SqlType {
    /// Any integer: `NUMBER(38, 0)`.
    pub const INTEGER: Self = Self::Number { precision: MAX_PRECISION, scale: 0 };
    /// Text of any length.
    pub const TEXT: Self = Self::Varchar(None);

    /// The Arrow type that values of this type rest in. `zone` is the session's time zone, for TIMESTAMP_LTZ.
    pub fn arrow(self, zone: &str) -> DataType {
        match self {
            Self::Number { precision, scale } => DataType::Decimal128(precision, scale as i8),
            Self::Float => DataType::Float64,
            Self::Varchar(_) => DataType::Utf8,
            Self::Binary => DataType::Binary,
            Self::Boolean => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Nanosecond),
            Self::TimestampNtz => DataType::Timestamp(TimeUnit::Nanosecond, None),
            Self::TimestampLtz => DataType::Timestamp(TimeUnit::Nanosecond, Some(Arc::from(zone))),
            Self::TimestampTz => timestamp_tz(),
            Self::Variant => variant(),
            Self::Object => object(),
            Self::Array => array(),
            Self::Vector(element, length) => {
                let item = match element {
                    VectorElement::Float => DataType::Float32,
                    VectorElement::Int => DataType::Int32,
                };
                DataType::FixedSizeList(Arc::new(Field::new_list_field(item, true)), i32::from(length))
            }
            Self::Null => DataType::Null,
        }
    }

    /// The Snowflake type of values that rest in an Arrow type; none where the engine has no such values.
    pub fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Self::INTEGER,
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => Self::INTEGER,
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
                Self::Number { precision: (*precision).min(MAX_PRECISION), scale: u8::try_from(*scale).ok()? }
            }
            DataType::Float16 | DataType::Float32 | DataType::Float64 => Self::Float,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::TEXT,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Self::Binary,
            DataType::Boolean => Self::Boolean,
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time,
            DataType::Timestamp(_, None) => Self::TimestampNtz,
            DataType::Timestamp(_, Some(_)) => Self::TimestampLtz,
            DataType::Null => Self::Null,
            DataType::Struct(fields) if *fields == *VARIANT => Self::Variant,
            DataType::Struct(fields) if *fields == *OBJECT => Self::Object,
            DataType::Struct(fields) if *fields == *ARRAY => Self::Array,
            DataType::Struct(fields) if *fields == *TIMESTAMP_TZ => Self::TimestampTz,
            DataType::FixedSizeList(item, length) => {
                let length = u16::try_from(*length).ok()?;
                match item.data_type() {
                    DataType::Float32 => Self::Vector(VectorElement::Float, length),
                    DataType::Int32 => Self::Vector(VectorElement::Int, length),
                    _ => return None,
                }
            }
            DataType::Dictionary(_, values) => return Self::of(values),
            _ => return None,
        })
    }

    /// Whether it is VARIANT, OBJECT or ARRAY.
    pub fn is_semi_structured(self) -> bool {
        matches!(self, Self::Variant | Self::Object | Self::Array)
    }
}

impl fmt::Display for SqlType {
    /// The name that result headers and DESCRIBE show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { precision, scale } => write!(f, "NUMBER({precision},{scale})"),
            Self::Float => f.write_str("FLOAT"),
            Self::Varchar(None) => f.write_str("VARCHAR"),
            Self::Varchar(Some(length)) => write!(f, "VARCHAR({length})"),
            Self::Binary => f.write_str("BINARY"),
            Self::Boolean => f.write_str("BOOLEAN"),
            Self::Date => f.write_str("DATE"),
            Self::Time => f.write_str("TIME"),
            Self::TimestampNtz => f.write_str("TIMESTAMP_NTZ"),
            Self::TimestampLtz => f.write_str("TIMESTAMP_LTZ"),
            Self::TimestampTz => f.write_str("TIMESTAMP_TZ"),
            Self::Variant => f.write_str("VARIANT"),
            Self::Object => f.write_str("OBJECT"),
            Self::Array => f.write_str("ARRAY"),
            Self::Vector(VectorElement::Float, length) => write!(f, "VECTOR(FLOAT, {length})"),
            Self::Vector(VectorElement::Int, length) => write!(f, "VECTOR(INT, {length})"),
            Self::Null => f.write_str("NULL"),
        }
    }
}

/// The Arrow type of VARIANT values.
pub fn variant() -> DataType {
    DataType::Struct(VARIANT.clone())
}

/// The Arrow type of OBJECT values.
pub fn object() -> DataType {
    DataType::Struct(OBJECT.clone())
}

/// The Arrow type of ARRAY values.
pub fn array() -> DataType {
    DataType::Struct(ARRAY.clone())
}

/// The Arrow type of TIMESTAMP_TZ values.
pub fn timestamp_tz() -> DataType {
    DataType::Struct(TIMESTAMP_TZ.clone())
}
