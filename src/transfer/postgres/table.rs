//! Tables and columns as the server has them.

use tokio_postgres::Client;

use super::fault::Server;
use crate::backend::BackendError;

/// A table's name, with or without its schema, as the server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QualifiedName {
    pub(super) schema: Option<String>,
    pub(super) name: String,
}

/// A table that is there.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) oid: u32,
    /// Its name, with its schema.
    pub(super) name: QualifiedName,
    pub(super) columns: Vec<Column>,
}

/// A column of a table.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// The name of its type in the catalogue, such as `int8`.
    pub(super) type_name: String,
    /// Its type as people write it, such as `character varying(20)`.
    pub(super) type_text: String,
    /// Whether it has to be given a value.
    pub(super) required: bool,
}

/// A name in quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl QualifiedName {
    /// A name as an author writes it: folded to lower case, as PostgreSQL does, unless it is in quotes.
    pub(super) fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let end = match rest.strip_prefix('"') {
                Some(quoted) => quoted.find('"').map(|at| at + 2),
                None => rest.find('.'),
            };
            let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
            let is_quoted = part.starts_with('"');
            parts.push(if is_quoted { part.trim_matches('"').to_owned() } else { part.trim().to_lowercase() });
            rest = after.trim_start_matches('.');
        }
        let name = parts.pop().unwrap_or_default();
        Self { schema: parts.pop(), name }
    }

    pub(super) fn sql(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(&self.name)),
            None => quoted(&self.name),
        }
    }
}

/// The table of a name, where there is one.
pub(super) async fn find(
    client: &Client,
    server: &Server,
    name: &QualifiedName,
) -> Result<Option<Table>, BackendError> {
    let wrong = |error: tokio_postgres::Error| server.explained(&error);
    let table = "select c.oid, n.nspname::text, c.relname::text, c.relkind::text from pg_class c \
                 join pg_namespace n on n.oid = c.relnamespace where c.oid = to_regclass($1::text)";
    let Some(found) = client.query_opt(table, &[&name.sql()]).await.map_err(wrong)? else { return Ok(None) };
    let kind: String = found.get(3);
    if kind != "r" && kind != "p" {
        let message = format!("{} in {} is not a table that rows can be written to", name.sql(), server.place);
        return Err(BackendError::author(message));
    }
    let oid: u32 = found.get(0);
    let columns = "select a.attname::text, t.typname::text, format_type(a.atttypid, a.atttypmod), \
                   a.attnotnull and not a.atthasdef and a.attidentity = '' \
                   from pg_attribute a join pg_type t on t.oid = a.atttypid \
                   where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' \
                   order by a.attnum";
    let columns = client.query(columns, &[&oid]).await.map_err(wrong)?;
    let column = |row: &tokio_postgres::Row| Column {
        name: row.get(0),
        type_name: row.get(1),
        type_text: row.get(2),
        required: row.get(3),
    };
    let name = QualifiedName { schema: Some(found.get(1)), name: found.get(2) };
    Ok(Some(Table { oid, name, columns: columns.iter().map(column).collect() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fold_to_lower_case_unless_quoted() {
        assert_eq!(QualifiedName::parse("Public.Programs").sql(), "\"public\".\"programs\"");
        assert_eq!(QualifiedName::parse("\"My.Schema\".x").sql(), "\"My.Schema\".\"x\"");
        assert_eq!(QualifiedName::parse("t").sql(), "\"t\"");
    }
}
