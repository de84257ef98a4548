//! Columns of tables as a session declares them: type, bounds, default, and how their values rest.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use sqlparser::ast;

use super::sequence::Sequence;
use crate::dialect::types::{MAX_PRECISION, SqlType};
use crate::dialect::{Column, declared_type};
use crate::name::Name;
use crate::warehouse::StoredColumn;

/// A column of a table.
#[derive(Clone, Debug)]
pub(super) struct TableColumn {
    pub(super) name: Name,
    pub(super) sql_type: SqlType,
    /// Greatest number of bytes of a BINARY column, where declared.
    pub(super) bytes: Option<u64>,
    /// Digits of fractional seconds of a time or timestamp column, where declared.
    pub(super) digits: Option<u8>,
    pub(super) nullable: bool,
    pub(super) default: Filler,
    pub(super) comment: Option<String>,
    /// Whether an integer column rests in 128 bits because a value needs them.
    pub(super) wide: bool,
}

/// What a column holds where an INSERT leaves it out.
#[derive(Clone, Debug)]
pub(super) enum Filler {
    /// NULL.
    None,
    /// The value of an expression.
    Expr(Box<ast::Expr>),
    /// The next number of the column's own sequence.
    Identity(Arc<Sequence>),
}

impl TableColumn {
    /// A nullable column of a type.
    pub(super) fn new(name: Name, sql_type: SqlType) -> Self {
        let default = Filler::None;
        Self { name, sql_type, bytes: None, digits: None, nullable: true, default, comment: None, wide: false }
    }

    /// The column for one of a query's result: NULL is allowed, as in Snowflake's CREATE TABLE … AS.
    pub(super) fn of_result(column: &Column) -> Self {
        let sql_type = if column.sql_type == SqlType::Null { SqlType::TEXT } else { column.sql_type };
        Self::new(column.name.clone(), sql_type)
    }

    /// A column of a declared type; none where there is no such type.
    pub(super) fn declared(name: Name, written: &ast::DataType) -> Option<Self> {
        let sql_type = declared_type(written)?;
        let (bytes, digits) = bounds(written);
        Some(Self { bytes, digits, ..Self::new(name, sql_type) })
    }

    /// Another type, the rest as it is.
    pub(super) fn with_type(&self, written: &ast::DataType) -> Option<Self> {
        let declared = Self::declared(self.name.clone(), written)?;
        let Self { sql_type, bytes, digits, .. } = declared;
        Some(Self { sql_type, bytes, digits, ..self.clone() })
    }

    /// The Arrow type in which its values rest, TIMESTAMP_LTZ in this zone.
    pub(super) fn data_type(&self, zone: &str) -> DataType {
        if self.wide { DataType::Decimal128(MAX_PRECISION, 0) } else { self.sql_type.arrow(zone) }
    }

    /// Its Arrow field, TIMESTAMP_LTZ in this zone.
    pub(super) fn field(&self, zone: &str) -> Field {
        Field::new(self.name.as_str(), self.data_type(zone), self.nullable)
    }

    /// The type that a cast to it is written with: bounds of text and bytes are checked apart, as Snowflake does.
    pub(super) fn cast_type(&self) -> String {
        match self.sql_type {
            SqlType::Varchar(_) => "VARCHAR".to_string(),
            other => other.to_string(),
        }
    }

    /// The type with its bounds, as DESCRIBE shows it.
    pub(super) fn shown_type(&self) -> String {
        match self.sql_type {
            SqlType::Varchar(length) => format!("VARCHAR({})", length.unwrap_or(16_777_216)),
            SqlType::Binary => format!("BINARY({})", self.bytes.unwrap_or(8_388_608)),
            SqlType::Time | SqlType::TimestampNtz | SqlType::TimestampLtz | SqlType::TimestampTz => {
                format!("{}({})", self.sql_type, self.digits.unwrap_or(9))
            }
            other => other.to_string(),
        }
    }

    /// The type with the bounds that were declared.
    fn stored_type(&self) -> String {
        match (self.bytes, self.digits) {
            (Some(bytes), _) => format!("{}({bytes})", self.sql_type),
            (_, Some(digits)) => format!("{}({digits})", self.sql_type),
            _ => self.sql_type.to_string(),
        }
    }

    /// The default as SQL.
    pub(super) fn default_text(&self) -> Option<String> {
        match &self.default {
            Filler::None => None,
            Filler::Expr(expr) => Some(expr.to_string()),
            Filler::Identity(sequence) => Some(sequence.identity_text()),
        }
    }

    /// As the warehouse keeps it.
    pub(super) fn stored(&self) -> StoredColumn {
        StoredColumn {
            name: self.name.as_str().to_string(),
            sql_type: self.stored_type(),
            nullable: self.nullable,
            wide: self.wide,
            default: self.default_text(),
            comment: self.comment.clone(),
        }
    }
}

/// The greatest number of bytes and of fractional digits that a type name declares.
fn bounds(written: &ast::DataType) -> (Option<u64>, Option<u8>) {
    let digits = |digits: &Option<u64>| digits.and_then(|digits| u8::try_from(digits).ok());
    match written {
        ast::DataType::Binary(length) => (*length, None),
        ast::DataType::Varbinary(Some(ast::BinaryLength::IntegerLength { length })) => (Some(*length), None),
        ast::DataType::Time(precision, _) | ast::DataType::Timestamp(precision, _) => (None, digits(precision)),
        ast::DataType::Datetime(precision) | ast::DataType::TimestampNtz(precision) => (None, digits(precision)),
        ast::DataType::Custom(_, arguments) => {
            let first = arguments.first().and_then(|text| text.parse().ok());
            let is_time = written.to_string().to_uppercase().starts_with("TIME");
            (None, if is_time { first } else { None })
        }
        _ => (None, None),
    }
}
