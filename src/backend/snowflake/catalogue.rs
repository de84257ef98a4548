//! What the server knows of its tables: states, columns, and what lost runs left behind.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema};

use super::session::Worker;
use super::text::MARK;
use crate::backend::BackendError;
use crate::dialect::literal;
use crate::dialect::types::SqlType;
use crate::dialect::{Column, parse_type};
use crate::name::{Name, TableName};

/// A mark of the present state of every one of these tables that exists, in one query per database.
pub(super) async fn versions(
    worker: &mut Worker,
    database: &Name,
    tables: &[TableName],
) -> Result<HashMap<TableName, String>, BackendError> {
    let mut found = HashMap::new();
    for (place, names) in by_database(database, tables.iter()) {
        // The time alone is no mark where a server does not keep it.
        let sql = format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, TO_VARCHAR(LAST_ALTERED) || ' ' || COALESCE(TO_VARCHAR(ROW_COUNT), '') \
             || ' ' || COALESCE(TO_VARCHAR(BYTES), '') FROM {}.INFORMATION_SCHEMA.TABLES WHERE {}",
            place.sql(),
            wanted(&names)
        );
        for [schema, table, mark] in texts(&worker.rows(sql).await?.batches) {
            let of = |name: &&&TableName| is(name, &schema, &table);
            found.extend(names.iter().filter(of).map(|name| ((*name).clone(), mark.clone())));
        }
    }
    Ok(found)
}

/// The columns of every one of these tables that exists, in their order; all in one query per database.
pub(super) async fn columns(
    worker: &mut Worker,
    database: &Name,
    tables: &[&TableName],
) -> Result<HashMap<TableName, Vec<Column>>, BackendError> {
    let mut found: HashMap<TableName, Vec<Column>> = HashMap::new();
    for (place, names) in by_database(database, tables.iter().copied()) {
        let sql = format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, CASE WHEN DATA_TYPE = 'NUMBER' THEN 'NUMBER(' || \
             TO_VARCHAR(NUMERIC_PRECISION) || ',' || TO_VARCHAR(NUMERIC_SCALE) || ')' WHEN DATA_TYPE = 'TEXT' AND \
             CHARACTER_MAXIMUM_LENGTH < 16777216 THEN 'VARCHAR(' || TO_VARCHAR(CHARACTER_MAXIMUM_LENGTH) || ')' \
             ELSE DATA_TYPE END, IS_NULLABLE \
             FROM {}.INFORMATION_SCHEMA.COLUMNS WHERE {} ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION",
            place.sql(),
            wanted(&names)
        );
        for [schema, table, column, sql_type, nullable] in texts(&worker.rows(sql).await?.batches) {
            let sql_type = parse_type(&sql_type).unwrap_or(SqlType::Variant);
            let column = Column { name: Name::quoted(column), sql_type, nullable: nullable != "NO" };
            for name in names.iter().filter(|name| is(name, &schema, &table)) {
                found.entry((*name).clone()).or_default().push(column.clone());
            }
        }
    }
    Ok(found)
}

/// Whether a table's columns are those of a result, so that its rows alone have to be replaced.
pub(super) fn same(present: &[Column], result: &[Column]) -> bool {
    let alike = |(present, result): (&Column, &Column)| {
        let fits = match (present.sql_type, result.sql_type) {
            (SqlType::Varchar(_), SqlType::Varchar(_) | SqlType::Null) => true,
            (present, result) => present == result,
        };
        present.name == result.name && fits
    };
    present.len() == result.len() && present.iter().zip(result).all(alike)
}

/// The number of rows of a table, which the server knows without reading it.
pub(super) async fn count(worker: &mut Worker, table: &TableName) -> Result<u64, BackendError> {
    let answer = worker.rows(format!("SELECT COUNT(*) AS N FROM {}", table.sql())).await?;
    number(&answer.batches)
        .ok_or_else(|| BackendError::author(format!("the rows of {} could not be counted", table.sql())))
}

/// The numbers of rows of tables, in one query.
pub(super) async fn counts(
    worker: &mut Worker,
    tables: &[&TableName],
) -> Result<HashMap<TableName, u64>, BackendError> {
    if tables.is_empty() {
        return Ok(HashMap::new());
    }
    let count = |(at, table): (usize, &&TableName)| {
        format!("SELECT '{at}' AS PLACE, COUNT(*)::VARCHAR AS N FROM {}", table.sql())
    };
    let sql = tables.iter().enumerate().map(count).collect::<Vec<_>>().join(" UNION ALL ");
    let counted = texts(&worker.rows(sql).await?.batches).into_iter();
    let named = |[at, rows]: [String; 2]| {
        let table = at.parse().ok().and_then(|at: usize| tables.get(at))?;
        Some(((*table).clone(), rows.parse().ok()?))
    };
    Ok(counted.filter_map(named).collect())
}

/// The one number of an answer.
pub(super) fn number(batches: &[RecordBatch]) -> Option<u64> {
    let batch = batches.first().filter(|batch| batch.num_rows() == 1)?;
    let counts: ArrayRef = cast(batch.columns().first()?, &DataType::Int64).ok()?;
    let counts = counts.as_primitive_opt::<Int64Type>().filter(|counts| counts.is_valid(0))?;
    u64::try_from(counts.value(0)).ok()
}

/// Whether there is a schema of this name.
pub(super) async fn has_schema(worker: &mut Worker, database: &Name, schema: &Name) -> Result<bool, BackendError> {
    let sql = format!(
        "SELECT COUNT(*) AS N FROM {}.INFORMATION_SCHEMA.SCHEMATA WHERE SCHEMA_NAME = {}",
        database.sql(),
        literal::text(schema.as_str())
    );
    Ok(number(&worker.rows(sql).await?.batches).is_some_and(|found| found > 0))
}

/// The tables that runs built aside and that are there still.
pub(super) async fn left_behind(
    worker: &mut Worker,
    database: &Name,
    schema: &Name,
) -> Result<Vec<TableName>, BackendError> {
    let sql = format!(
        "SELECT TABLE_NAME FROM {}.INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = {} AND CONTAINS(TABLE_NAME, '{MARK}')",
        database.sql(),
        literal::text(schema.as_str())
    );
    let names = texts(&worker.rows(sql).await?.batches).into_iter();
    let place = |[name]: [String; 1]| TableName {
        database: Some(database.clone()),
        schema: Some(schema.clone()),
        table: Name::quoted(name),
    };
    Ok(names.map(place).collect())
}

/// The open transactions of the user, in whichever session: their ids and names.
pub(super) async fn transactions(worker: &mut Worker) -> Result<Vec<(String, String)>, BackendError> {
    let mut open = Vec::new();
    for batch in as_texts(&worker.rows("SHOW TRANSACTIONS".to_owned()).await?.batches) {
        let column = |name: &str| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
        let (Some(ids), Some(names)) = (column("id"), column("name")) else { continue };
        let both = ids.iter().zip(names).filter_map(|(id, name)| Some((id?.to_owned(), name?.to_owned())));
        open.extend(both);
    }
    Ok(open)
}

/// The tables by the database that they are in.
fn by_database<'a>(usual: &Name, tables: impl Iterator<Item = &'a TableName>) -> BTreeMap<Name, Vec<&'a TableName>> {
    let mut by_database: BTreeMap<Name, Vec<&TableName>> = BTreeMap::new();
    for name in tables.filter(|name| name.schema.is_some()) {
        by_database.entry(name.database.clone().unwrap_or_else(|| usual.clone())).or_default().push(name);
    }
    by_database
}

fn is(name: &TableName, schema: &str, table: &str) -> bool {
    name.table.as_str() == table && name.schema.as_ref().is_some_and(|of| of.as_str() == schema)
}

/// The condition that a row of the catalogue is about one of these tables.
fn wanted(tables: &[&TableName]) -> String {
    let schema = |name: &TableName| name.schema.as_ref().map(|schema| literal::text(schema.as_str()));
    let pair = |name: &&TableName| Some(format!("({}, {})", schema(name)?, literal::text(name.table.as_str())));
    format!("(TABLE_SCHEMA, TABLE_NAME) IN ({})", tables.iter().filter_map(pair).collect::<Vec<_>>().join(", "))
}

/// Every column as text.
pub(super) fn as_texts(batches: &[RecordBatch]) -> Vec<RecordBatch> {
    let texts = |batch: &RecordBatch| {
        let fields: Vec<Field> =
            batch.schema().fields().iter().map(|field| Field::new(field.name(), DataType::Utf8, true)).collect();
        let columns = batch.columns().iter().map(|column| cast(column, &DataType::Utf8)).collect::<Result<_, _>>();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.ok()?).ok()
    };
    batches.iter().filter_map(texts).collect()
}

/// The rows of an answer of N text columns; a NULL is an empty text.
pub(super) fn texts<const N: usize>(batches: &[RecordBatch]) -> Vec<[String; N]> {
    let mut rows = Vec::new();
    for batch in batches.iter().filter(|batch| batch.num_columns() == N) {
        for row in 0..batch.num_rows() {
            rows.push(std::array::from_fn(|at| {
                let column = batch.column(at).as_string_opt::<i32>();
                column.filter(|texts| texts.is_valid(row)).map_or_else(String::new, |texts| texts.value(row).to_owned())
            }));
        }
    }
    rows
}
