//! The small JSON files beside the Parquet: what a table or view is, and what a set is. They are read in full or refused.

use std::path::Path;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use super::Error;
use super::layout::write_durably;
use crate::dialect::parse_type;
use crate::dialect::types::{MAX_PRECISION, SqlType};
use crate::name::Name;

/// File name of [`SetInfo`] in a set.
pub(super) const SET: &str = "set.json";
/// File name of [`Object`] in a table's folder.
pub(super) const TABLE: &str = "table.json";

/// What a set is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetInfo {
    /// Its number.
    pub set: u64,
    /// When it was made, RFC 3339.
    pub created: String,
    /// The run that made it.
    pub run: String,
    /// The tables that it changed, in lower case.
    pub changed: Vec<String>,
}

/// What a table or view is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// Its columns.
    pub columns: Vec<StoredColumn>,
    /// The query of a view; none for a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<String>,
    /// How many rows it has; zero for a view.
    pub rows: u64,
    /// The Parquet files, in the order of their rows.
    pub files: Vec<DataFile>,
    /// The run that made it.
    pub run: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// The set in which this content came: another number, another content.
    pub version: u64,
    /// What its author says about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// One Parquet file of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFile {
    /// File name in the table's folder.
    pub name: String,
    /// Rows in it.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
}

/// A column as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredColumn {
    /// Its name, as the catalogue holds it.
    pub name: String,
    /// Its Snowflake type, such as `NUMBER(38,0)`.
    #[serde(rename = "type")]
    pub sql_type: String,
    /// Whether it can hold NULL.
    pub nullable: bool,
    /// Whether an integer column rests in 128 bits because a value needs them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wide: bool,
    /// Default of a column that an INSERT leaves out, as SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// What its author says about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

impl StoredColumn {
    /// A column of a type that can hold NULL.
    pub fn new(name: &Name, sql_type: SqlType) -> Self {
        let (name, sql_type) = (name.as_str().to_string(), sql_type.to_string());
        Self { name, sql_type, nullable: true, wide: false, default: None, comment: None }
    }

    /// The column for a field of a query's result: NULL is allowed, as in Snowflake's CREATE TABLE … AS.
    pub fn of(field: &Field, sql_type: SqlType) -> Self {
        let integer = SqlType::Number { precision: MAX_PRECISION, scale: 0 };
        let wide = sql_type == integer && matches!(field.data_type(), DataType::Decimal128(..));
        Self { wide, ..Self::new(&Name::quoted(field.name().as_str()), sql_type) }
    }

    /// Its Snowflake type; VARIANT where the text names none.
    pub fn sql_type(&self) -> SqlType {
        parse_type(&self.sql_type).unwrap_or(SqlType::Variant)
    }

    /// Its Arrow field, for a session in this time zone.
    pub fn field(&self, zone: &str) -> Field {
        let data_type = if self.wide { DataType::Decimal128(MAX_PRECISION, 0) } else { self.sql_type().arrow(zone) };
        Field::new(&self.name, data_type, self.nullable)
    }
}

/// The Arrow schema of columns, for a session in this time zone.
pub(super) fn schema(columns: &[StoredColumn], zone: &str) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|column| column.field(zone)).collect::<Vec<_>>()))
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let bytes = std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::corrupt(path, "it is missing"),
        _ => Error::read(path, error),
    })?;
    serde_json::from_slice(&bytes).map_err(|error| Error::corrupt(path, error))
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::corrupt(path, error))?;
    write_durably(path, (text + "\n").as_bytes())
}

pub(super) fn read_set(dir: &Path) -> Result<SetInfo, Error> {
    read(&dir.join(SET))
}

pub(super) fn write_set(dir: &Path, info: &SetInfo) -> Result<(), Error> {
    write(&dir.join(SET), info)
}

pub(super) fn read_object(dir: &Path) -> Result<Object, Error> {
    read(&dir.join(TABLE))
}

pub(super) fn write_object(dir: &Path, object: &Object) -> Result<(), Error> {
    write(&dir.join(TABLE), object)
}

/// The present time as it is written into manifests.
pub(super) fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
