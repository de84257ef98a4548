//! The statements that a server gets: a step's SQL with the names of this run, and what builds and publishes its result.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::backend::BackendError;
use crate::dialect::emit::{Resolution, emit};
use crate::dialect::types::SqlType;
use crate::dialect::{self, Column, Statement};
use crate::name::{Name, TableName};
use crate::plan::{PlannedStep, StepId};
use crate::text::SourceFile;

/// A query that a server understands: named queries that it reads, each before those that read it, and its own text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    with: Vec<(Name, String)>,
    body: String,
    has_with: bool,
}

/// What a name in a step's SQL stands for on the server.
#[derive(Clone, Debug)]
pub(super) enum Meaning {
    /// A table, where its name is another one.
    Table(TableName),
    /// A query that becomes part of this one.
    Query(Name, Text),
}

impl Text {
    /// The query of this SQL, its names replaced by what they mean and its clock pinned.
    pub(super) fn of(
        sql: &str,
        meaning: &dyn Fn(&TableName) -> Option<Meaning>,
        clock: (DateTime<Utc>, Tz),
    ) -> Result<Self, BackendError> {
        let unreadable = |_| BackendError::author("the SQL that was bound cannot be read again");
        let statement = dialect::parse(&SourceFile::new("step.sql", sql.to_owned())).map_err(unreadable)?.pop();
        let statement = statement.ok_or_else(|| BackendError::author("there is no statement"))?;
        let mut with: Vec<(Name, String)> = Vec::new();
        for name in statement.tables() {
            let Some(Meaning::Query(own, text)) = meaning(&name.value) else { continue };
            for part in text.with.iter().chain([&(own, text.body.clone())]) {
                if !with.iter().any(|(known, _)| *known == part.0) {
                    with.push(part.clone());
                }
            }
        }
        let names = |name: &TableName| match meaning(name)? {
            Meaning::Table(table) => Some(table),
            Meaning::Query(own, _) => Some(TableName::bare(own)),
        };
        let body = emit(&statement, &Resolution { names: &names, clock: Some(clock) });
        Ok(Self { with, body, has_with: has_with(&statement) })
    }

    /// The whole query.
    pub(super) fn whole(&self) -> String {
        if self.with.is_empty() {
            return self.body.clone();
        }
        let with: Vec<String> =
            self.with.iter().map(|(name, text)| format!("{} AS (\n{text}\n)", name.sql())).collect();
        let with = with.join(", ");
        if self.has_with {
            format!("WITH {with}\nSELECT * FROM (\n{}\n)", self.body)
        } else {
            format!("WITH {with}\n{}", self.body)
        }
    }
}

fn has_with(statement: &Statement) -> bool {
    matches!(statement.ast(), sqlparser::ast::Statement::Query(query) if query.with.is_some())
}

/// The name of an internal step's query inside another one. No table of an author's has it.
pub(super) fn query_name(step: &StepId) -> Name {
    Name::quoted(format!("PIPE__{}__{}", step.job.as_str(), step.step.as_str()))
}

/// What the names of tables built aside have in them, before the run.
pub(super) const MARK: &str = "__PIPE_";

/// The table that a step's result is built in: its name tells the run, so that what a lost run left is known as such.
pub(super) fn staging(database: &Name, schema: &Name, step: &StepId, run: &str) -> TableName {
    let table = format!("{}__{}{MARK}{}", step.job.as_str(), step.step.as_str(), run_mark(run));
    TableName { database: Some(database.clone()), schema: Some(schema.clone()), table: Name::quoted(table) }
}

/// A run in the names of what it builds.
pub(super) fn run_mark(run: &str) -> String {
    run.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// What the names of transactions begin with, before the run.
pub(super) const TRANSACTION: &str = "PIPE_";

/// The name of a run's transactions.
pub(super) fn transaction(run: &str) -> String {
    format!("{TRANSACTION}{}", run_mark(run))
}

/// What begins a transaction of this name.
pub(super) fn begin(name: &str) -> String {
    format!("BEGIN NAME {}", Name::quoted(name).sql())
}

/// What undoes a transaction of another session.
pub(super) fn abort(transaction: &str) -> String {
    format!("SELECT SYSTEM$ABORT_TRANSACTION({transaction}) AS DONE")
}

/// What builds a result aside, every column of exactly the type that was bound.
pub(super) fn build(table: &TableName, query: &Text, columns: &[Column]) -> String {
    let column = |column: &Column| {
        let name = column.name.sql();
        format!("{name}::{} AS {name}", kept(column.sql_type))
    };
    let columns: Vec<String> = columns.iter().map(column).collect();
    format!(
        "CREATE OR REPLACE TRANSIENT TABLE {} AS\nSELECT {} FROM (\n{}\n)",
        table.sql(),
        columns.join(", "),
        query.whole()
    )
}

/// The table beside one that is built aside, for values as they are on the stage, or rows that are not yet those that come.
pub(super) fn raw(table: &TableName) -> TableName {
    beside("RAW", table)
}

/// The table beside one that is built aside as what a table will be, for the rows that come.
pub(super) fn coming(table: &TableName) -> TableName {
    beside("NEW", table)
}

/// The table beside one that is built aside, for one batch of intervals.
pub(super) fn batch(table: &TableName, at: usize) -> TableName {
    beside(&format!("B{at}"), table)
}

fn beside(what: &str, table: &TableName) -> TableName {
    TableName { table: Name::quoted(format!("{what}__{}", table.table.as_str())), ..table.clone() }
}

/// What makes a copy of a table that shares its storage.
pub(super) fn clone(table: &TableName, of: &TableName) -> String {
    format!("CREATE OR REPLACE TRANSIENT TABLE {} CLONE {}", table.sql(), of.sql())
}

/// What makes a copy of a table under other columns: those that it lacks are NULL.
pub(super) fn under_columns(table: &TableName, of: &TableName, before: &[Column], now: &[Column]) -> String {
    let column = |column: &Column| {
        let (name, sql_type) = (column.name.sql(), kept(column.sql_type));
        let has = before.iter().any(|before| before.name == column.name);
        if has { format!("{name}::{sql_type} AS {name}") } else { format!("NULL::{sql_type} AS {name}") }
    };
    let columns: Vec<String> = now.iter().map(column).collect();
    let (table, of) = (table.sql(), of.sql());
    format!("CREATE OR REPLACE TRANSIENT TABLE {table} AS\nSELECT {} FROM {of}", columns.join(", "))
}

/// What removes a table.
pub(super) fn drop(table: &TableName) -> String {
    format!("DROP TABLE IF EXISTS {}", table.sql())
}

/// An empty table with a step's columns.
pub(super) fn create(table: &TableName, columns: &[Column]) -> String {
    let column = |column: &Column| format!("{} {}", column.name.sql(), kept(column.sql_type));
    let columns: Vec<String> = columns.iter().map(column).collect();
    format!("CREATE OR REPLACE TRANSIENT TABLE {} ({})", table.sql(), columns.join(", "))
}

/// The type of a column of a table: a bare NULL rests as text.
pub(super) fn kept(sql_type: SqlType) -> SqlType {
    if sql_type == SqlType::Null { SqlType::TEXT } else { sql_type }
}

/// A query without rows that has these columns.
pub(super) fn nothing(columns: &[Column]) -> Text {
    let column = |column: &Column| format!("NULL::{} AS {}", kept(column.sql_type), column.name.sql());
    let columns: Vec<String> = columns.iter().map(column).collect();
    Text { with: Vec::new(), body: format!("SELECT {} WHERE FALSE", columns.join(", ")), has_with: false }
}

/// What replaces a published table whose columns differ, or makes it: one atomic statement, which keeps grants.
pub(super) fn replace(table: &TableName, from: &TableName) -> String {
    format!("CREATE OR REPLACE TABLE {} COPY GRANTS AS SELECT * FROM {}", table.sql(), from.sql())
}

/// What replaces the rows of a published table whose columns are the same. It may stand in a transaction, and keeps
/// grants, comments and streams.
pub(super) fn overwrite(table: &TableName, from: &TableName, columns: &[Column]) -> String {
    let columns: Vec<String> = columns.iter().map(|column| column.name.sql()).collect();
    let columns = columns.join(", ");
    format!("INSERT OVERWRITE INTO {} ({columns}) SELECT {columns} FROM {}", table.sql(), from.sql())
}

/// What publishes a view, its clock that of whoever reads it.
pub(super) fn view(step: &PlannedStep, name: &TableName) -> String {
    let columns: Vec<String> = step.columns.iter().map(|column| column.name.sql()).collect();
    let text = step.view_text.as_deref().unwrap_or_else(|| step.sql()).trim().trim_end_matches(';');
    format!("CREATE OR REPLACE VIEW {} ({}) COPY GRANTS AS\n{text}", name.sql(), columns.join(", "))
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;

    fn clock() -> (DateTime<Utc>, Tz) {
        (Utc.with_ymd_and_hms(2026, 11, 1, 0, 0, 0).unwrap(), Tz::UTC)
    }

    #[test]
    fn a_copy_shares_its_storage_or_has_other_columns() {
        let (copy, of) = (TableName::parse("p.copy").unwrap(), TableName::parse("m.t").unwrap());
        assert_eq!(clone(&copy, &of), "CREATE OR REPLACE TRANSIENT TABLE P.COPY CLONE M.T");
        let column = |name: &str, sql_type| Column { name: Name::unquoted(name), sql_type, nullable: true };
        let before = [column("a", SqlType::INTEGER), column("gone", SqlType::Date)];
        let now = [column("new", SqlType::Date), column("a", SqlType::Float)];
        assert_eq!(
            under_columns(&copy, &of, &before, &now),
            "CREATE OR REPLACE TRANSIENT TABLE P.COPY AS\nSELECT NULL::DATE AS NEW, A::FLOAT AS A FROM M.T"
        );
    }

    #[test]
    fn statements_name_every_column_and_its_type() {
        let (table, from) = (TableName::parse("m.t").unwrap(), TableName::parse("p.n").unwrap());
        let column = |name: &str, sql_type| Column { name: Name::quoted(name), sql_type, nullable: true };
        let columns = [column("A", SqlType::Null), column("b c", SqlType::Number { precision: 10, scale: 2 })];
        assert_eq!(create(&table, &columns), "CREATE OR REPLACE TRANSIENT TABLE M.T (A VARCHAR, \"b c\" NUMBER(10,2))");
        assert_eq!(
            build(&table, &nothing(&columns), &columns),
            "CREATE OR REPLACE TRANSIENT TABLE M.T AS\nSELECT A::VARCHAR AS A, \"b c\"::NUMBER(10,2) AS \"b c\" FROM (\n\
             SELECT NULL::VARCHAR AS A, NULL::NUMBER(10,2) AS \"b c\" WHERE FALSE\n)"
        );
        assert_eq!(
            overwrite(&table, &from, &columns),
            "INSERT OVERWRITE INTO M.T (A, \"b c\") SELECT A, \"b c\" FROM P.N"
        );
        assert_eq!(replace(&table, &from), "CREATE OR REPLACE TABLE M.T COPY GRANTS AS SELECT * FROM P.N");
        assert_eq!(drop(&table), "DROP TABLE IF EXISTS M.T");
    }

    #[test]
    fn tables_built_aside_tell_their_run() {
        let (database, schema) = (Name::unquoted("db"), Name::unquoted("pipe"));
        let built = staging(&database, &schema, &StepId::new("shop", "totals"), "20261124-040000123-0a1b");
        assert_eq!(built.sql(), "DB.PIPE.SHOP__TOTALS__PIPE_20261124_040000123_0A1B");
        for beside in [raw(&built), coming(&built), batch(&built, 3)] {
            let (_, run) = beside.table.as_str().rsplit_once(MARK).unwrap();
            assert_eq!(run, run_mark("20261124-040000123-0a1b"));
        }
    }

    #[test]
    fn steps_with_one_reader_become_named_queries_and_the_clock_is_pinned() {
        let none = |_: &TableName| None;
        let first = Text::of("select id from backend.program where d > current_date -- new", &none, clock()).unwrap();
        let second = Text::of(
            "with x as (select * from fresh) select * from x",
            &|name| {
                (name.lower() == "fresh").then(|| Meaning::Query(query_name(&StepId::new("j", "fresh")), first.clone()))
            },
            clock(),
        )
        .unwrap();
        let third = Text::of(
            "select count(*) as n from wanted join kept on wanted.id = kept.id",
            &|name| match name.lower().as_str() {
                "wanted" => Some(Meaning::Query(query_name(&StepId::new("j", "wanted")), second.clone())),
                "kept" => TableName::parse("prod.pipe.j__kept__pipe_1").map(Meaning::Table),
                _ => None,
            },
            clock(),
        )
        .unwrap();
        assert_eq!(
            third.whole(),
            "WITH PIPE__J__FRESH AS (\nselect id from backend.program where d > '2026-11-01'::DATE\n), \
             PIPE__J__WANTED AS (\nwith x as (select * from PIPE__J__FRESH AS FRESH) select * from x\n)\n\
             select count(*) as n from PIPE__J__WANTED AS WANTED join PROD.PIPE.J__KEPT__PIPE_1 AS KEPT on wanted.id = kept.id"
        );
        assert!(
            second
                .whole()
                .ends_with("SELECT * FROM (\nwith x as (select * from PIPE__J__FRESH AS FRESH) select * from x\n)")
        );
    }
}
