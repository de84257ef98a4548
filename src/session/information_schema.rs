//! INFORMATION_SCHEMA: the catalogue as tables.

use super::catalog::{Life, Place, Relation};
use super::column::TableColumn;
use super::outcome::{Cell, Failure};
use super::{Rows, Session};
use crate::dialect::types::SqlType;
use crate::name::Name;
use crate::text::{SourceFile, Span};

const TEXT: SqlType = SqlType::TEXT;
const INTEGER: SqlType = SqlType::INTEGER;
const INSTANT: SqlType = SqlType::TimestampLtz;

/// The rows of one of its tables, for the database of the place; none where it has no such table.
pub(super) fn table(session: &Session, place: &Place) -> Result<Option<Rows>, Failure> {
    if !session.catalog.databases.contains_key(&place.database) {
        return Ok(None);
    }
    Ok(Some(match place.name.as_str() {
        "TABLES" => tables(session, &place.database)?,
        "VIEWS" => views(session, &place.database)?,
        "COLUMNS" => columns(session, &place.database)?,
        "SCHEMATA" => schemata(session, &place.database)?,
        "DATABASES" => databases(session)?,
        "SEQUENCES" => sequences(session, &place.database)?,
        _ => return Ok(None),
    }))
}

fn within<'a>(session: &'a Session, database: &'a Name) -> impl Iterator<Item = (Place, &'a Relation)> {
    session.catalog.all().filter(move |(place, _)| place.database == *database)
}

fn tables(session: &Session, database: &Name) -> Result<Rows, Failure> {
    let rows = within(session, database).map(|(place, relation)| {
        let (kind, transient, rows, bytes, created, comment) = match relation {
            Relation::Table(table) => {
                let kind = if table.life == Life::Temporary { "LOCAL TEMPORARY" } else { "BASE TABLE" };
                let transient = if table.life == Life::Transient { "YES" } else { "NO" };
                let (rows, bytes) = (i64::try_from(table.rows()).ok(), i64::try_from(table.bytes()).ok());
                (kind, transient, rows, bytes, table.created, table.comment.clone())
            }
            Relation::View(view) => ("VIEW", "NO", None, None, view.created, view.comment.clone()),
            Relation::Source(_) => ("BASE TABLE", "NO", None, None, super::catalog::now(), None),
        };
        vec![
            (&place.database).into(),
            (&place.schema).into(),
            (&place.name).into(),
            kind.into(),
            transient.into(),
            Cell::Number(rows),
            Cell::Number(bytes),
            Cell::Instant(created),
            comment.into(),
        ]
    });
    let headers = [
        ("TABLE_CATALOG", TEXT),
        ("TABLE_SCHEMA", TEXT),
        ("TABLE_NAME", TEXT),
        ("TABLE_TYPE", TEXT),
        ("IS_TRANSIENT", TEXT),
        ("ROW_COUNT", INTEGER),
        ("BYTES", INTEGER),
        ("CREATED", INSTANT),
        ("COMMENT", TEXT),
    ];
    Rows::table(&headers, rows.collect())
}

fn views(session: &Session, database: &Name) -> Result<Rows, Failure> {
    let rows = within(session, database).filter_map(|(place, relation)| match relation {
        Relation::View(view) => Some(vec![
            (&place.database).into(),
            (&place.schema).into(),
            (&place.name).into(),
            view.text.clone().into(),
            if view.secure { "YES" } else { "NO" }.into(),
            Cell::Instant(view.created),
            view.comment.clone().into(),
        ]),
        _ => None,
    });
    let headers = [
        ("TABLE_CATALOG", TEXT),
        ("TABLE_SCHEMA", TEXT),
        ("TABLE_NAME", TEXT),
        ("VIEW_DEFINITION", TEXT),
        ("IS_SECURE", TEXT),
        ("CREATED", INSTANT),
        ("COMMENT", TEXT),
    ];
    Rows::table(&headers, rows.collect())
}

fn columns(session: &Session, database: &Name) -> Result<Rows, Failure> {
    let nowhere: Span = SourceFile::new("<information_schema>", "").span(0..0);
    let mut rows = Vec::new();
    for (place, relation) in within(session, database) {
        for (index, column) in session.columns_at(&place, relation, &nowhere)?.iter().enumerate() {
            rows.push(column_row(&place, index, column));
        }
    }
    let headers = [
        ("TABLE_CATALOG", TEXT),
        ("TABLE_SCHEMA", TEXT),
        ("TABLE_NAME", TEXT),
        ("COLUMN_NAME", TEXT),
        ("ORDINAL_POSITION", INTEGER),
        ("COLUMN_DEFAULT", TEXT),
        ("IS_NULLABLE", TEXT),
        ("DATA_TYPE", TEXT),
        ("CHARACTER_MAXIMUM_LENGTH", INTEGER),
        ("NUMERIC_PRECISION", INTEGER),
        ("NUMERIC_SCALE", INTEGER),
        ("DATETIME_PRECISION", INTEGER),
        ("COMMENT", TEXT),
    ];
    Rows::table(&headers, rows)
}

fn column_row(place: &Place, index: usize, column: &TableColumn) -> Vec<Cell> {
    let number = |number: Option<i64>| Cell::Number(number);
    let (name, length, precision, scale, digits) = match column.sql_type {
        SqlType::Number { precision, scale } => {
            ("NUMBER".to_string(), None, Some(i64::from(precision)), Some(i64::from(scale)), None)
        }
        SqlType::Varchar(length) => {
            ("TEXT".to_string(), Some(i64::from(length.unwrap_or(16_777_216))), None, None, None)
        }
        SqlType::Binary => {
            let length = column.bytes.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(8_388_608);
            ("BINARY".to_string(), Some(length), None, None, None)
        }
        SqlType::Time | SqlType::TimestampNtz | SqlType::TimestampLtz | SqlType::TimestampTz => {
            (column.sql_type.to_string(), None, None, None, Some(i64::from(column.digits.unwrap_or(9))))
        }
        other => (other.to_string(), None, None, None, None),
    };
    vec![
        (&place.database).into(),
        (&place.schema).into(),
        (&place.name).into(),
        (&column.name).into(),
        number(i64::try_from(index + 1).ok()),
        column.default_text().into(),
        if column.nullable { "YES" } else { "NO" }.into(),
        name.into(),
        number(length),
        number(precision),
        number(scale),
        number(digits),
        column.comment.clone().into(),
    ]
}

fn schemata(session: &Session, database: &Name) -> Result<Rows, Failure> {
    let held = session.catalog.databases.get(database);
    let schemas = held.into_iter().flat_map(|held| &held.schemas);
    let rows = schemas.map(|(name, schema)| {
        vec![database.into(), name.into(), Cell::Instant(schema.created), schema.comment.clone().into()]
    });
    let headers = [("CATALOG_NAME", TEXT), ("SCHEMA_NAME", TEXT), ("CREATED", INSTANT), ("COMMENT", TEXT)];
    Rows::table(&headers, rows.collect())
}

fn databases(session: &Session) -> Result<Rows, Failure> {
    let databases = session.catalog.databases.iter();
    let rows =
        databases.map(|(name, held)| vec![name.into(), Cell::Instant(held.created), held.comment.clone().into()]);
    Rows::table(&[("DATABASE_NAME", TEXT), ("CREATED", INSTANT), ("COMMENT", TEXT)], rows.collect())
}

fn sequences(session: &Session, database: &Name) -> Result<Rows, Failure> {
    let mut rows = Vec::new();
    if let Some(held) = session.catalog.databases.get(database) {
        for (schema, held) in &held.schemas {
            for (name, sequence) in &held.sequences {
                rows.push(vec![
                    database.into(),
                    schema.into(),
                    name.into(),
                    Cell::Number(Some(sequence.next())),
                    Cell::Number(Some(sequence.increment())),
                    Cell::Instant(sequence.created),
                ]);
            }
        }
    }
    let headers = [
        ("SEQUENCE_CATALOG", TEXT),
        ("SEQUENCE_SCHEMA", TEXT),
        ("SEQUENCE_NAME", TEXT),
        ("NEXT_VALUE", INTEGER),
        ("INCREMENT", INTEGER),
        ("CREATED", INSTANT),
    ];
    Rows::table(&headers, rows)
}
