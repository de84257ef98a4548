//! SHOW, in Snowflake's columns as far as the engine knows what they say.

use regex::RegexBuilder;
use sqlparser::ast::ObjectName;

use super::catalog::{Life, Place, Relation};
use super::column::TableColumn;
use super::outcome::{Cell, Failure, refused, unknown};
use super::variables::{PARAMETERS, get};
use super::{Rows, Session};
use crate::dialect::command::Show;
use crate::dialect::table_name;
use crate::dialect::types::SqlType;
use crate::name::Name;
use crate::text::Span;

const TEXT: SqlType = SqlType::TEXT;
const INTEGER: SqlType = SqlType::INTEGER;
const INSTANT: SqlType = SqlType::TimestampLtz;

type Header = (&'static str, SqlType);

/// A listed object: the name that LIKE and STARTS WITH look at, and its row.
type Listed = (String, Vec<Cell>);

impl Session {
    pub(super) fn show(&mut self, show: &Show, span: &Span) -> Result<Rows, Failure> {
        let what = show.what.as_str();
        let (headers, listed): (Vec<Header>, Vec<Listed>) = match what {
            "TABLES" | "VIEWS" | "OBJECTS" => self.show_relations(show, span)?,
            "SCHEMAS" => self.show_schemas(show, span)?,
            "DATABASES" => self.show_databases(),
            "SEQUENCES" => self.show_sequences(show, span)?,
            "COLUMNS" => self.show_columns(show, span)?,
            "PRIMARY KEYS" | "UNIQUE KEYS" | "IMPORTED KEYS" => self.show_keys(show, span)?,
            "VARIABLES" => self.show_variables(),
            "PARAMETERS" => self.show_parameters(),
            _ => return Err(refused(span, &format!("SHOW {what}"), "").into()),
        };
        let mut kept: Vec<Vec<Cell>> = Vec::new();
        let like = show.like.as_deref().map(pattern).transpose()?;
        for (name, row) in listed {
            let starts = show.starts_with.as_ref().is_none_or(|start| name.starts_with(start.as_str()));
            if starts && like.as_ref().is_none_or(|like| like.is_match(&name)) {
                kept.push(row);
            }
        }
        kept.truncate(show.limit.unwrap_or(usize::MAX));
        Rows::table(&headers, kept)
    }

    /// Whether a place is inside the scope of a SHOW: by default the present schema.
    fn scope(&self, show: &Show, span: &Span) -> Result<impl Fn(&Place) -> bool + use<>, Failure> {
        let here = (self.catalog.database.clone(), self.catalog.schema.clone());
        let (database, schema) = match &show.within {
            None => (Some(here.0), Some(here.1)),
            Some((scope, None)) => match scope.as_str() {
                "ACCOUNT" => (None, None),
                "DATABASE" => (Some(here.0), None),
                _ => (Some(here.0), Some(here.1)),
            },
            Some((scope, Some(name))) if scope == "DATABASE" => (Some(super::ddl::single(name, span)?), None),
            Some((scope, Some(name))) => self.named_scope(scope, name, span)?,
        };
        Ok(move |place: &Place| {
            database.as_ref().is_none_or(|database| place.database == *database)
                && schema.as_ref().is_none_or(|schema| place.schema == *schema)
        })
    }

    /// A schema, or where no word says so and there is no such schema, a database.
    fn named_scope(
        &self,
        scope: &str,
        name: &ObjectName,
        span: &Span,
    ) -> Result<(Option<Name>, Option<Name>), Failure> {
        let (database, schema) = self.schema_name(name, span)?;
        let held = self.catalog.databases.get(&database).map(|database| &database.schemas);
        if held.is_some_and(|schemas| schemas.contains_key(&schema)) {
            return Ok((Some(database), Some(schema)));
        }
        if scope.is_empty() && self.catalog.databases.contains_key(&schema) {
            return Ok((Some(schema), None));
        }
        Err(unknown(span, "schema", schema.as_str()).into())
    }

    fn show_relations(&self, show: &Show, span: &Span) -> Result<(Vec<Header>, Vec<Listed>), Failure> {
        let inside = self.scope(show, span)?;
        let (tables, views) = (show.what != "VIEWS", show.what != "TABLES");
        let mut listed = Vec::new();
        for (place, relation) in self.catalog.all().filter(|(place, _)| inside(place)) {
            let head = |created: i64, kind: &str| {
                vec![
                    Cell::Instant(created),
                    (&place.name).into(),
                    Cell::from(kind),
                    (&place.database).into(),
                    (&place.schema).into(),
                ]
            };
            let mut row = match relation {
                Relation::Table(table) if tables => {
                    let kind = match table.life {
                        Life::Permanent => "TABLE",
                        Life::Transient => "TRANSIENT",
                        Life::Temporary => "TEMPORARY",
                    };
                    let mut row = head(table.created, kind);
                    row.push(table.comment.clone().unwrap_or_default().into());
                    row.push(Cell::Number(i64::try_from(table.rows()).ok()));
                    row.push(Cell::Number(i64::try_from(table.bytes()).ok()));
                    row
                }
                Relation::Source(_) if tables => {
                    let mut row = head(super::catalog::now(), "TABLE");
                    row.extend(["".into(), Cell::Number(None), Cell::Number(None)]);
                    row
                }
                Relation::View(view) if views => {
                    let mut row = head(view.created, "VIEW");
                    row.push(view.comment.clone().unwrap_or_default().into());
                    row.push(if show.what == "VIEWS" { view.text.clone().into() } else { Cell::Number(None) });
                    row.push(if show.what == "VIEWS" { view.secure.to_string().into() } else { Cell::Number(None) });
                    row
                }
                _ => continue,
            };
            row.truncate(if show.terse { 5 } else { 8 });
            listed.push((place.name.to_string(), row));
        }
        let own = if show.what == "VIEWS" {
            [("text", TEXT), ("is_secure", TEXT)]
        } else {
            [("rows", INTEGER), ("bytes", INTEGER)]
        };
        let mut headers: Vec<Header> = vec![
            ("created_on", INSTANT),
            ("name", TEXT),
            ("kind", TEXT),
            ("database_name", TEXT),
            ("schema_name", TEXT),
            ("comment", TEXT),
        ];
        headers.extend(own);
        headers.truncate(if show.terse { 5 } else { 8 });
        Ok((headers, listed))
    }

    fn show_schemas(&self, show: &Show, span: &Span) -> Result<(Vec<Header>, Vec<Listed>), Failure> {
        let only = match &show.within {
            Some((scope, _)) if scope == "ACCOUNT" => None,
            Some((_, Some(name))) => Some(super::ddl::single(name, span)?),
            _ => Some(self.catalog.database.clone()),
        };
        let mut listed = Vec::new();
        for (database, held) in &self.catalog.databases {
            if only.as_ref().is_some_and(|only| only != database) {
                continue;
            }
            for (name, schema) in &held.schemas {
                let current = *database == self.catalog.database && *name == self.catalog.schema;
                listed.push((
                    name.to_string(),
                    vec![
                        Cell::Instant(schema.created),
                        name.into(),
                        "N".into(),
                        if current { "Y" } else { "N" }.into(),
                        database.into(),
                        schema.comment.clone().unwrap_or_default().into(),
                    ],
                ));
            }
        }
        let headers = vec![
            ("created_on", INSTANT),
            ("name", TEXT),
            ("is_default", TEXT),
            ("is_current", TEXT),
            ("database_name", TEXT),
            ("comment", TEXT),
        ];
        Ok((headers, listed))
    }

    fn show_databases(&self) -> (Vec<Header>, Vec<Listed>) {
        let row = |name: &Name, created: i64, comment: &Option<String>| {
            let current = *name == self.catalog.database;
            vec![
                Cell::Instant(created),
                name.into(),
                "N".into(),
                if current { "Y" } else { "N" }.into(),
                comment.clone().unwrap_or_default().into(),
            ]
        };
        let databases = self.catalog.databases.iter();
        let listed = databases.map(|(name, held)| (name.to_string(), row(name, held.created, &held.comment))).collect();
        let headers = vec![
            ("created_on", INSTANT),
            ("name", TEXT),
            ("is_default", TEXT),
            ("is_current", TEXT),
            ("comment", TEXT),
        ];
        (headers, listed)
    }

    fn show_sequences(&self, show: &Show, span: &Span) -> Result<(Vec<Header>, Vec<Listed>), Failure> {
        let inside = self.scope(show, span)?;
        let mut listed = Vec::new();
        for (database, held) in &self.catalog.databases {
            for (schema, held) in &held.schemas {
                for (name, sequence) in &held.sequences {
                    let place = Place { database: database.clone(), schema: schema.clone(), name: name.clone() };
                    if !inside(&place) {
                        continue;
                    }
                    listed.push((
                        name.to_string(),
                        vec![
                            name.into(),
                            database.into(),
                            schema.into(),
                            Cell::Number(Some(sequence.next())),
                            Cell::Number(Some(sequence.increment())),
                            Cell::Instant(sequence.created),
                            sequence.comment.clone().unwrap_or_default().into(),
                        ],
                    ));
                }
            }
        }
        let headers = vec![
            ("name", TEXT),
            ("database_name", TEXT),
            ("schema_name", TEXT),
            ("next_value", INTEGER),
            ("interval", INTEGER),
            ("created_on", INSTANT),
            ("comment", TEXT),
        ];
        Ok((headers, listed))
    }

    /// The relation that a SHOW … IN TABLE names, or all in its scope.
    fn shown_relations(&self, show: &Show, span: &Span) -> Result<Vec<(Place, &Relation)>, Failure> {
        if let Some((scope, Some(name))) = &show.within
            && matches!(scope.as_str(), "TABLE" | "VIEW" | "")
            && let Some(table) = table_name(name)
        {
            let place = self.catalog.place(&table);
            if let Some(relation) = self.catalog.relation(&place) {
                return Ok(vec![(place, relation)]);
            }
            if !scope.is_empty() {
                return Err(unknown(span, "table", place.name.as_str()).into());
            }
        }
        let inside = self.scope(show, span)?;
        Ok(self.catalog.all().filter(|(place, _)| inside(place)).collect())
    }

    /// The columns of a relation.
    pub(super) fn columns_at(
        &self,
        place: &Place,
        relation: &Relation,
        span: &Span,
    ) -> Result<Vec<TableColumn>, Failure> {
        match relation {
            Relation::Table(table) => Ok(table.columns.clone()),
            Relation::Source(source) => Ok(source.columns.clone()),
            Relation::View(_) => self.view_columns(place, span),
        }
    }

    fn show_columns(&self, show: &Show, span: &Span) -> Result<(Vec<Header>, Vec<Listed>), Failure> {
        let mut listed = Vec::new();
        for (place, relation) in self.shown_relations(show, span)? {
            for column in self.columns_at(&place, relation, span)? {
                listed.push((
                    column.name.to_string(),
                    vec![
                        (&place.name).into(),
                        (&place.schema).into(),
                        (&column.name).into(),
                        type_json(&column).into(),
                        if column.nullable { "true" } else { "NOT_NULL" }.into(),
                        column.default_text().unwrap_or_default().into(),
                        "COLUMN".into(),
                        "".into(),
                        column.comment.clone().unwrap_or_default().into(),
                        (&place.database).into(),
                    ],
                ));
            }
        }
        let headers = vec![
            ("table_name", TEXT),
            ("schema_name", TEXT),
            ("column_name", TEXT),
            ("data_type", TEXT),
            ("null?", TEXT),
            ("default", TEXT),
            ("kind", TEXT),
            ("expression", TEXT),
            ("comment", TEXT),
            ("database_name", TEXT),
        ];
        Ok((headers, listed))
    }

    fn show_keys(&self, show: &Show, span: &Span) -> Result<(Vec<Header>, Vec<Listed>), Failure> {
        let kind = match show.what.as_str() {
            "PRIMARY KEYS" => "PRIMARY KEY",
            "UNIQUE KEYS" => "UNIQUE",
            _ => "FOREIGN KEY",
        };
        let mut listed = Vec::new();
        for (place, relation) in self.shown_relations(show, span)? {
            let Relation::Table(table) = relation else { continue };
            for key in table.keys.iter().filter(|key| key.kind == kind) {
                let name = key.name.as_ref().map_or_else(|| format!("SYS_CONSTRAINT_{}", place.name), Name::to_string);
                for (index, column) in key.columns.iter().enumerate() {
                    let referred = key
                        .references
                        .as_ref()
                        .map(|(table, columns)| format!("{table}.{}", columns.get(index).map_or("", Name::as_str)));
                    listed.push((
                        place.name.to_string(),
                        vec![
                            Cell::Instant(table.created),
                            (&place.database).into(),
                            (&place.schema).into(),
                            (&place.name).into(),
                            column.into(),
                            Cell::Number(i64::try_from(index + 1).ok()),
                            name.clone().into(),
                            referred.into(),
                        ],
                    ));
                }
            }
        }
        let headers = vec![
            ("created_on", INSTANT),
            ("database_name", TEXT),
            ("schema_name", TEXT),
            ("table_name", TEXT),
            ("column_name", TEXT),
            ("key_sequence", INTEGER),
            ("constraint_name", TEXT),
            ("references", TEXT),
        ];
        Ok((headers, listed))
    }

    fn show_variables(&self) -> (Vec<Header>, Vec<Listed>) {
        let listed = self.variables.iter().map(|(name, value)| {
            let value = match value {
                sqlparser::ast::Expr::Value(value) => value.value.to_string().trim_matches('\'').to_string(),
                other => other.to_string(),
            };
            (name.clone(), vec![name.as_str().into(), value.into()])
        });
        (vec![("name", TEXT), ("value", TEXT)], listed.collect())
    }

    fn show_parameters(&self) -> (Vec<Header>, Vec<Listed>) {
        let listed = PARAMETERS.iter().filter_map(|name| {
            let value = get(&self.parameters, name)?;
            let default = get(&self.initial, name)?;
            let level = if value == default { "" } else { "SESSION" };
            Some((name.to_string(), vec![Cell::from(*name), value.into(), default.into(), level.into()]))
        });
        (vec![("key", TEXT), ("value", TEXT), ("default", TEXT), ("level", TEXT)], listed.collect())
    }
}

/// SHOW's LIKE: `%` and `_`, whatever the case.
fn pattern(like: &str) -> Result<regex::Regex, Failure> {
    let mut text = String::from("^");
    for c in like.chars() {
        match c {
            '%' => text.push_str(".*"),
            '_' => text.push('.'),
            other => text.push_str(&regex::escape(&other.to_string())),
        }
    }
    text.push('$');
    let built = RegexBuilder::new(&text).case_insensitive(true).dot_matches_new_line(true).build();
    built.map_err(|error| Failure::Failed(error.to_string()))
}

/// A column's type as SHOW COLUMNS writes it.
fn type_json(column: &TableColumn) -> String {
    let nullable = column.nullable;
    match column.sql_type {
        SqlType::Number { precision, scale } => {
            format!(r#"{{"type":"FIXED","precision":{precision},"scale":{scale},"nullable":{nullable}}}"#)
        }
        SqlType::Float => format!(r#"{{"type":"REAL","nullable":{nullable}}}"#),
        SqlType::Varchar(length) => {
            let length = length.unwrap_or(16_777_216);
            let bytes = u64::from(length).saturating_mul(4).min(16_777_216);
            format!(r#"{{"type":"TEXT","length":{length},"byteLength":{bytes},"nullable":{nullable},"fixed":false}}"#)
        }
        SqlType::Binary => {
            let length = column.bytes.unwrap_or(8_388_608);
            format!(r#"{{"type":"BINARY","length":{length},"byteLength":{length},"nullable":{nullable},"fixed":true}}"#)
        }
        SqlType::Time | SqlType::TimestampNtz | SqlType::TimestampLtz | SqlType::TimestampTz => {
            let digits = column.digits.unwrap_or(9);
            format!(r#"{{"type":"{}","precision":0,"scale":{digits},"nullable":{nullable}}}"#, column.sql_type)
        }
        other => format!(r#"{{"type":"{other}","nullable":{nullable}}}"#),
    }
}
