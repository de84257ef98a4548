//! The JSON file of a set: what it is, and what each of its tables and views is. It is read in full or refused.

use std::collections::BTreeMap;
use std::path::Path;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use super::Error;
use super::layout::{file_name, table_of};
use crate::dialect::parse_type;
use crate::dialect::types::{MAX_PRECISION, SqlType};
use crate::name::{Name, TableName};
use crate::plan::incremental::Made;
use crate::plan::interval::History;
use crate::plan::{Fingerprint, Hash, StepId};

/// Name of the file of a set in its folder.
pub(super) const SET: &str = "set.json";

/// The tables and views of a set.
pub(super) type Objects = BTreeMap<TableName, Arc<Object>>;

/// A set as it is written, each table under its name as a file name.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    info: SetInfo,
    tables: BTreeMap<String, Object>,
}

/// As much of a set's file as says which rows it needs.
#[derive(Deserialize)]
struct Versions {
    tables: BTreeMap<String, Version>,
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

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
    /// What it was made from, where a step made it: kept with the rows, so that the two cannot come apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Provenance>,
}

/// What a table was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The job of the step that made it, in lower case.
    pub job: String,
    /// The step, in lower case.
    pub step: String,
    /// The step's definition.
    pub definition: String,
    /// The version of every table that it was made from.
    pub inputs: BTreeMap<String, String>,
    /// The intervals that it has, where it is built by such.
    pub history: History,
}

impl From<&Made> for Provenance {
    fn from(made: &Made) -> Self {
        Self {
            job: made.step.job.lower(),
            step: made.step.step.lower(),
            definition: made.fingerprint.definition.to_string(),
            inputs: made.fingerprint.inputs.clone(),
            history: made.history.clone(),
        }
    }
}

impl From<&Provenance> for Made {
    fn from(kept: &Provenance) -> Self {
        let fingerprint = Fingerprint { definition: Hash::kept(kept.definition.as_str()), inputs: kept.inputs.clone() };
        Self { step: StepId::new(&kept.job, &kept.step), fingerprint, history: kept.history.clone() }
    }
}

impl Object {
    /// A table of these files that no set has yet.
    pub(super) fn unpublished(columns: Vec<StoredColumn>, files: Vec<DataFile>, comment: Option<String>) -> Self {
        let rows = files.iter().map(|file| file.rows).sum();
        Self {
            columns,
            view: None,
            rows,
            files,
            run: String::new(),
            created: String::new(),
            version: 0,
            comment,
            made: None,
        }
    }
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

/// What is in a set.
pub(super) fn read_objects(dir: &Path) -> Result<Objects, Error> {
    let path = dir.join(SET);
    let written: Written = read(&path)?;
    let mut tables = Objects::new();
    for (name, object) in written.tables {
        let named = table_of(&name).ok_or_else(|| Error::corrupt(&path, format!("`{name}` is no table's name")))?;
        tables.insert(named, Arc::new(object));
    }
    Ok(tables)
}

/// What a set is, without its tables.
pub(super) fn read_info(dir: &Path) -> Result<SetInfo, Error> {
    #[derive(Deserialize)]
    struct Info {
        info: SetInfo,
    }
    read::<Info>(&dir.join(SET)).map(|read| read.info)
}

/// The file name and the version of every table in a set.
pub(super) fn read_versions(dir: &Path) -> Result<Vec<(String, u64)>, Error> {
    let read: Versions = read(&dir.join(SET))?;
    Ok(read.tables.into_iter().map(|(name, table)| (name, table.version)).collect())
}

/// Writes the file of a set, which the caller makes durable.
pub(super) fn write_set(dir: &Path, info: SetInfo, tables: &Objects) -> Result<(), Error> {
    let path = dir.join(SET);
    let tables = tables.iter().map(|(name, object)| (file_name(name), Object::clone(object))).collect();
    let text = serde_json::to_vec(&Written { info, tables }).map_err(|error| Error::corrupt(&path, error))?;
    super::disk::write(&path, &text).map_err(|error| Error::write(&path, error))
}

/// The present time as it is written into manifests.
pub(super) fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
