//! GET_DDL: the definition of a table, a view or a sequence as Snowflake writes it.

use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, Value};

use super::Session;
use super::catalog::{Key, Life, Relation, Table, View};
use super::column::{Filler, TableColumn};
use super::outcome::{refused, unknown};
use super::sequence::Sequence;
use crate::diagnostic::Diagnostic;
use crate::name::{Name, TableName};
use crate::text::Span;

impl Session {
    /// The text that `GET_DDL(kind, name [, whole name])` gives.
    pub(super) fn definition(&self, arguments: &[FunctionArg], span: &Span) -> Result<String, Diagnostic> {
        let texts: Vec<&str> = arguments.iter().filter_map(constant).collect();
        let whole = matches!(arguments.get(2), Some(argument) if is_true(argument));
        let ([kind, name], 2..=3) = (texts.as_slice(), arguments.len()) else {
            let message = "GET_DDL takes the kind and the name of an object, as texts";
            return Err(Diagnostic::error("sql-type", message).at(span.clone()));
        };
        let written = kind.to_lowercase();
        let place = TableName::parse(name).map(|name| self.catalog.place(&name));
        let place = place.ok_or_else(|| unknown(span, &written, name))?;
        let shown = match whole {
            true => [&place.database, &place.schema, &place.name].map(Name::sql).join("."),
            false => place.name.sql(),
        };
        match written.as_str() {
            "table" | "view" => match self.catalog.relation(&place) {
                Some(Relation::Table(table)) => Ok(table_text(&shown, table)),
                Some(Relation::View(view)) => {
                    let columns = self.view_columns(&place, span).map_err(|_| unknown(span, &written, name))?;
                    Ok(view_text(&shown, view, &columns))
                }
                Some(Relation::Source(_)) => {
                    Err(refused(span, "GET_DDL of a source", "the project declares it and does not create it"))
                }
                None => Err(unknown(span, &written, name)),
            },
            "schema" => {
                let (database, schema) = match TableName::parse(name) {
                    Some(TableName { schema: Some(database), table, .. }) => (database, table),
                    _ => (self.catalog.database.clone(), place.name.clone()),
                };
                self.schema_text(&database, &schema).ok_or_else(|| unknown(span, "schema", name))
            }
            "sequence" => match self.catalog.sequence(&place) {
                Some(sequence) => Ok(sequence_text(&shown, sequence)),
                None => Err(unknown(span, &written, name)),
            },
            _ => Err(refused(
                span,
                &format!("GET_DDL of a {written}"),
                "tables, views, sequences and schemas have one here",
            )),
        }
    }

    /// The definition of a schema and of the tables that it holds.
    fn schema_text(&self, database: &Name, schema: &Name) -> Option<String> {
        let held = self.catalog.databases.get(database)?.schemas.get(schema)?;
        let mut text = format!("create or replace schema {};\n", schema.sql());
        for (name, relation) in held.visible() {
            if let Relation::Table(table) = relation {
                text.push_str(&format!("\n{}\n", table_text(&name.sql(), table)));
            }
        }
        Some(text)
    }
}

fn constant(argument: &FunctionArg) -> Option<&str> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn is_true(argument: &FunctionArg) -> bool {
    matches!(argument, FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))) if value.value == Value::Boolean(true))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn listed(names: &[Name]) -> String {
    names.iter().map(Name::sql).collect::<Vec<_>>().join(", ")
}

fn table_text(name: &str, table: &Table) -> String {
    let life = match table.life {
        Life::Permanent => "",
        Life::Transient => "TRANSIENT ",
        Life::Temporary => "TEMPORARY ",
    };
    let columns = table.columns.iter().map(column_text);
    let lines: Vec<String> = columns.chain(table.keys.iter().map(key_text)).map(|line| format!("\t{line}")).collect();
    let comment = table.comment.as_ref().map_or(String::new(), |text| format!("COMMENT={}\n", quoted(text)));
    format!("create or replace {life}TABLE {name} (\n{}\n){comment};", lines.join(",\n"))
}

fn column_text(column: &TableColumn) -> String {
    let mut text = format!("{} {}", column.name.sql(), column.shown_type());
    if !column.nullable {
        text.push_str(" NOT NULL");
    }
    match &column.default {
        Filler::None => {}
        Filler::Expr(expr) => text.push_str(&format!(" DEFAULT {expr}")),
        Filler::Identity(own) => {
            text.push_str(&format!(" autoincrement start {} increment {} noorder", own.start, own.increment()));
        }
    }
    if let Some(comment) = &column.comment {
        text.push_str(&format!(" COMMENT {}", quoted(comment)));
    }
    text
}

fn key_text(key: &Key) -> String {
    let name = key.name.as_ref().map_or(String::new(), |name| format!("constraint {} ", name.sql()));
    let references = key.references.as_ref().map_or(String::new(), |(table, columns)| {
        let columns = if columns.is_empty() { String::new() } else { format!("({})", listed(columns)) };
        format!(" references {table}{columns}")
    });
    format!("{name}{} ({}){references}", key.kind.to_lowercase(), listed(&key.columns))
}

fn view_text(name: &str, view: &View, columns: &[TableColumn]) -> String {
    let column = |column: &TableColumn| {
        let comment = column.comment.as_ref().map_or(String::new(), |text| format!(" COMMENT {}", quoted(text)));
        format!("\t{}{comment}", column.name.sql())
    };
    let life = if view.temporary { "temporary " } else { "" };
    let secure = if view.secure { "secure " } else { "" };
    let comment = view.comment.as_ref().map_or(String::new(), |text| format!(" COMMENT={}\n", quoted(text)));
    let columns = columns.iter().map(column).collect::<Vec<_>>().join(",\n");
    format!("create or replace {life}{secure}view {name}(\n{columns}\n){comment} as {};", view.text)
}

fn sequence_text(name: &str, sequence: &Sequence) -> String {
    let comment = sequence.comment.as_ref().map_or(String::new(), |text| format!(" COMMENT={}", quoted(text)));
    let (start, increment) = (sequence.start, sequence.increment());
    format!("create or replace sequence {name} start with {start} increment by {increment} noorder{comment};")
}
