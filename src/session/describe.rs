//! DESCRIBE of tables, views, schemas, databases and sequences, in Snowflake's columns.

use sqlparser::ast::ObjectName;

use super::catalog::{Relation, Table};
use super::column::TableColumn;
use super::ddl::single;
use super::outcome::{Cell, Failure, unknown};
use super::{Rows, Session};
use crate::dialect::Dialect;
use crate::dialect::command::ObjectKind;
use crate::dialect::types::SqlType;
use crate::name::Name;
use crate::text::Span;

const TEXT: SqlType = SqlType::TEXT;

impl Session {
    pub(super) fn describe(&mut self, kind: ObjectKind, name: &ObjectName, span: &Span) -> Result<Rows, Failure> {
        match kind {
            ObjectKind::Schema => self.describe_schema(name, span),
            ObjectKind::Database => {
                let name = single(name, span)?;
                let held = self.catalog.databases.get(&name);
                let held = held.ok_or_else(|| unknown(span, "database", name.as_str()))?;
                let rows = held
                    .schemas
                    .iter()
                    .map(|(name, schema)| vec![Cell::Instant(schema.created), name.into(), "SCHEMA".into()]);
                Rows::table(&[("created_on", SqlType::TimestampLtz), ("name", TEXT), ("kind", TEXT)], rows.collect())
            }
            ObjectKind::Sequence => self.describe_sequence(name, span),
            _ => {
                let place = self.place_in_schema(name, span)?;
                match self.catalog.relation(&place) {
                    Some(Relation::Table(table)) => columns_of(&table.columns, Some(table)),
                    Some(Relation::Source(source)) => columns_of(&source.columns, None),
                    Some(Relation::View(_)) => columns_of(&self.view_columns(&place, span)?, None),
                    None => Err(unknown(span, &kind.word().to_lowercase(), place.name.as_str()).into()),
                }
            }
        }
    }

    /// The columns that a view gives at present.
    pub(super) fn view_columns(&self, place: &super::catalog::Place, span: &Span) -> Result<Vec<TableColumn>, Failure> {
        let name = [&place.database, &place.schema, &place.name].map(Name::sql).join(".");
        let plan = self.bind_generated(&format!("SELECT * FROM {name}"), span, &[])?;
        let mut columns: Vec<_> = Dialect::columns(&plan).iter().map(TableColumn::of_result).collect();
        if let Some(Relation::View(view)) = self.catalog.relation(place) {
            for (column, (_, comment)) in columns.iter_mut().zip(&view.columns) {
                column.comment.clone_from(comment);
            }
        }
        Ok(columns)
    }

    fn describe_schema(&self, name: &ObjectName, span: &Span) -> Result<Rows, Failure> {
        let (database, schema) = self.schema_name(name, span)?;
        let held = self.catalog.databases.get(&database).and_then(|database| database.schemas.get(&schema));
        let held = held.ok_or_else(|| unknown(span, "schema", schema.as_str()))?;
        let rows = held.visible().map(|(name, relation)| {
            let (created, kind) = match relation {
                Relation::Table(table) => (table.created, "TABLE"),
                Relation::View(view) => (view.created, "VIEW"),
                Relation::Source(_) => (held.created, "TABLE"),
            };
            vec![Cell::Instant(created), name.into(), kind.into()]
        });
        Rows::table(&[("created_on", SqlType::TimestampLtz), ("name", TEXT), ("kind", TEXT)], rows.collect())
    }

    fn describe_sequence(&self, name: &ObjectName, span: &Span) -> Result<Rows, Failure> {
        let place = self.place_in_schema(name, span)?;
        let sequence = self.catalog.sequence(&place);
        let sequence = sequence.ok_or_else(|| unknown(span, "sequence", place.name.as_str()))?;
        let row = vec![
            (&place.name).into(),
            Cell::Number(Some(sequence.next())),
            Cell::Number(Some(sequence.increment())),
            Cell::Instant(sequence.created),
            sequence.comment.clone().into(),
        ];
        let headers = [
            ("name", TEXT),
            ("next_value", SqlType::INTEGER),
            ("interval", SqlType::INTEGER),
            ("created_on", SqlType::TimestampLtz),
            ("comment", TEXT),
        ];
        Rows::table(&headers, vec![row])
    }
}

fn columns_of(columns: &[TableColumn], table: Option<&Table>) -> Result<Rows, Failure> {
    let mark = |yes: bool| Cell::from(if yes { "Y" } else { "N" });
    let keyed = |column: &TableColumn, kind: &str| {
        table.is_some_and(|table| table.keys.iter().any(|key| key.kind == kind && key.columns.contains(&column.name)))
    };
    let rows = columns.iter().map(|column| {
        vec![
            (&column.name).into(),
            column.shown_type().into(),
            "COLUMN".into(),
            mark(column.nullable),
            column.default_text().into(),
            mark(keyed(column, "PRIMARY KEY")),
            mark(keyed(column, "UNIQUE")),
            Cell::Text(None),
            Cell::Text(None),
            column.comment.clone().into(),
            Cell::Text(None),
            Cell::Text(None),
        ]
    });
    let headers = [
        "name",
        "type",
        "kind",
        "null?",
        "default",
        "primary key",
        "unique key",
        "check",
        "expression",
        "comment",
        "policy name",
        "privacy domain",
    ];
    Rows::table(&headers.map(|header| (header, TEXT)), rows.collect())
}
