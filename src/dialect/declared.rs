//! Type names of the SQL text → `SqlType`. It casts nothing.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, FieldRef};
use sqlparser::ast::{
    ArrayElemTypeDef, BinaryLength, CharacterLength, DataType, ExactNumberInfo, ObjectName, TimezoneInfo,
};
use sqlparser::dialect::SnowflakeDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use super::cast::Target;
use super::lex::UNTYPED;
use super::structured::Structure;
use super::types::{MAX_PRECISION, SqlType, VectorElement};

/// Key of a field's metadata under which the full Snowflake type of a cast stands, such as `VARCHAR(3)`.
pub(super) const TYPE: &str = "snowflake.type";

/// The field that a cast to a type gives; its metadata keeps what Arrow cannot say, such as a length.
pub(super) fn field(target: Target, zone: &str) -> FieldRef {
    let field = Field::new("", target.sql_type.arrow(zone), true);
    Arc::new(field.with_metadata(HashMap::from([(TYPE.to_string(), target.to_string())])))
}

/// The type that a type name means; none where Snowflake has no such type.
pub fn declared_type(written: &DataType) -> Option<SqlType> {
    Some(match written {
        DataType::Decimal(info) | DataType::Dec(info) | DataType::Numeric(info) => number(info)?,
        DataType::Int(_) | DataType::Integer(_) | DataType::BigInt(_) | DataType::SmallInt(_) => SqlType::INTEGER,
        DataType::TinyInt(_) => SqlType::INTEGER,
        DataType::Float(_) | DataType::Real | DataType::Float4 | DataType::Float8 => SqlType::Float,
        DataType::Double(_) | DataType::DoublePrecision => SqlType::Float,
        DataType::Varchar(length) | DataType::Nvarchar(length) | DataType::CharVarying(length) => {
            text(length.as_ref())?
        }
        DataType::CharacterVarying(length) => text(length.as_ref())?,
        DataType::Text => SqlType::TEXT,
        DataType::String(length) => SqlType::Varchar(match length {
            Some(length) => Some(u32::try_from(*length).ok()?),
            None => None,
        }),
        DataType::Char(None) | DataType::Character(None) => SqlType::Varchar(Some(1)),
        DataType::Char(length) | DataType::Character(length) => text(length.as_ref())?,
        DataType::Binary(_) | DataType::Varbinary(_) | DataType::Bytea => SqlType::Binary,
        DataType::Boolean => SqlType::Boolean,
        DataType::Date => SqlType::Date,
        DataType::Time(_, TimezoneInfo::None) => SqlType::Time,
        DataType::Datetime(_) => SqlType::TimestampNtz,
        DataType::Timestamp(_, TimezoneInfo::None) => SqlType::TimestampNtz,
        DataType::Timestamp(_, TimezoneInfo::WithoutTimeZone) | DataType::TimestampNtz(_) => SqlType::TimestampNtz,
        DataType::Timestamp(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => SqlType::TimestampTz,
        DataType::Array(ArrayElemTypeDef::None) => SqlType::Array,
        DataType::Custom(name, arguments) => custom(name, arguments)?,
        _ => return None,
    })
}

/// Whether a column of CREATE TABLE has no type of its own.
pub fn is_untyped(written: &DataType) -> bool {
    matches!(written, DataType::Custom(name, _) if name.to_string() == UNTYPED)
}

/// The type that a text such as `NUMBER(10, 2)` names, as in CREATE TABLE; none where Snowflake has no such type.
pub fn parse_type(text: &str) -> Option<SqlType> {
    if let Some(structure) = Structure::parse(text) {
        return Some(structure.sql_type());
    }
    let mut parser = Parser::new(&SnowflakeDialect).try_with_sql(text).ok()?;
    let written = parser.parse_data_type().ok()?;
    (parser.peek_token_ref().token == Token::EOF).then(|| declared_type(&written))?
}

fn number(info: &ExactNumberInfo) -> Option<SqlType> {
    let (precision, scale) = match *info {
        ExactNumberInfo::None => (38, 0),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, u64::try_from(scale).ok()?),
    };
    exact(precision, scale)
}

fn exact(precision: u64, scale: u64) -> Option<SqlType> {
    let precision = u8::try_from(precision).ok().filter(|p| (1..=MAX_PRECISION).contains(p))?;
    let scale = u8::try_from(scale).ok().filter(|s| *s <= precision && *s < MAX_PRECISION)?;
    Some(SqlType::Number { precision, scale })
}

fn text(length: Option<&CharacterLength>) -> Option<SqlType> {
    Some(match length {
        None => SqlType::TEXT,
        Some(CharacterLength::IntegerLength { length, .. }) => SqlType::Varchar(Some(u32::try_from(*length).ok()?)),
        Some(CharacterLength::Max) => return None,
    })
}

fn custom(name: &ObjectName, arguments: &[String]) -> Option<SqlType> {
    let name = name.to_string().to_uppercase();
    Some(match name.as_str() {
        "NUMBER" => match arguments {
            [] => SqlType::INTEGER,
            [precision] => exact(precision.parse().ok()?, 0)?,
            [precision, scale] => exact(precision.parse().ok()?, scale.parse().ok()?)?,
            _ => return None,
        },
        "BYTEINT" => SqlType::INTEGER,
        "VARIANT" => SqlType::Variant,
        "OBJECT" | "ARRAY" | "MAP" if !arguments.is_empty() => structure_of(&name, arguments)?.sql_type(),
        "OBJECT" => SqlType::Object,
        "ARRAY" => SqlType::Array,
        "TIMESTAMP_NTZ" | "TIMESTAMPNTZ" | "DATETIME" => SqlType::TimestampNtz,
        "TIMESTAMP_LTZ" | "TIMESTAMPLTZ" => SqlType::TimestampLtz,
        "TIMESTAMP_TZ" | "TIMESTAMPTZ" => SqlType::TimestampTz,
        "NVARCHAR2" | "NCHAR" => match arguments {
            [] => SqlType::TEXT,
            [length] => SqlType::Varchar(Some(length.parse().ok()?)),
            _ => return None,
        },
        "VECTOR" => match arguments {
            [element, length] => SqlType::Vector(vector_element(element)?, length.parse().ok()?),
            _ => return None,
        },
        _ => return None,
    })
}

fn structure_of(name: &str, arguments: &[String]) -> Option<Structure> {
    Structure::parse(&format!("{name}({})", arguments.join(", ")))
}

/// The structured type that a type name means, and its text; none where its parts have no types.
pub(super) fn structure(written: &DataType) -> Option<(Structure, String)> {
    let DataType::Custom(name, arguments) = written else { return None };
    let name = name.to_string().to_uppercase();
    let text = format!("{name}({})", arguments.join(", "));
    structure_of(&name, arguments).filter(|_| !arguments.is_empty()).map(|structure| (structure, text))
}

/// What a type name means with the bounds that it declares.
pub(super) fn declared_target(written: &DataType) -> Option<Target> {
    let target = Target::from(declared_type(written)?);
    let digits = |digits: &Option<u64>| digits.and_then(|digits| u8::try_from(digits).ok()).unwrap_or(9).min(9);
    Some(match written {
        DataType::Time(precision, _) | DataType::Timestamp(precision, _) => {
            Target { fraction: digits(precision), ..target }
        }
        DataType::Datetime(precision) | DataType::TimestampNtz(precision) => {
            Target { fraction: digits(precision), ..target }
        }
        DataType::Binary(length) => Target { bytes: length.and_then(|length| u32::try_from(length).ok()), ..target },
        DataType::Varbinary(Some(BinaryLength::IntegerLength { length })) => {
            Target { bytes: u32::try_from(*length).ok(), ..target }
        }
        DataType::Custom(name, arguments) if name.to_string().to_uppercase().starts_with("TIME") => {
            Target { fraction: digits(&arguments.first().and_then(|text| text.parse().ok())), ..target }
        }
        _ => target,
    })
}

fn vector_element(name: &str) -> Option<VectorElement> {
    match name.to_uppercase().as_str() {
        "FLOAT" | "DOUBLE" | "REAL" => Some(VectorElement::Float),
        "INT" | "INTEGER" => Some(VectorElement::Int),
        _ => None,
    }
}

/// What a cast to a field casts to: the declared type where there is one, else the type that rests so.
pub(super) fn target(field: &Field) -> Option<Target> {
    match field.metadata().get(TYPE) {
        Some(text) => parse_target(text),
        None => SqlType::of(field.data_type()).map(Target::from),
    }
}

fn parse_target(text: &str) -> Option<Target> {
    let number = || text.split_once('(')?.1.strip_suffix(')')?.parse().ok();
    let named = |name: &str| text.strip_prefix(name).is_some_and(|rest| rest.starts_with('('));
    if named("BINARY") {
        return Some(Target { bytes: number(), ..SqlType::Binary.into() });
    }
    for kind in [SqlType::Time, SqlType::TimestampNtz, SqlType::TimestampLtz, SqlType::TimestampTz] {
        if named(&kind.to_string()) {
            return Some(Target { fraction: u8::try_from(number()?).ok()?, ..kind.into() });
        }
    }
    parse_type(text).map(Target::from)
}
