//! The run history as it is kept beside the tables, so that a machine that starts empty knows what others did. What an entry
//! says is not this module's matter.
//!
//! `LEDGER` has an entry per run and per published table.

use std::time::Duration;

use snowflake_connector_rs::bind::{BindType, RawBind};
use snowflake_connector_rs::{PositionalBinds, Statement};

use super::TRIES;
use super::catalogue::texts;
use super::session::{Worker, is_missing};
use super::states;
use crate::backend::{BackendError, Entry, Remedy};
use crate::dialect::literal;
use crate::name::{Name, TableName};

/// How many runs a machine that knows none takes over.
const RUNS: usize = 200;

/// The table of that name in the schema of the history.
pub(super) fn place(database: &Name, schema: &Name, table: &str) -> TableName {
    TableName { database: Some(database.clone()), schema: Some(schema.clone()), table: Name::unquoted(table) }
}

/// What makes the tables where they are missing.
pub(super) fn tables(database: &Name, schema: &Name) -> [String; 3] {
    [
        format!("CREATE SCHEMA IF NOT EXISTS {}.{}", database.sql(), schema.sql()),
        format!(
            "CREATE TABLE IF NOT EXISTS {} (KIND VARCHAR, NAME VARCHAR, STATUS VARCHAR, CONTENT VARCHAR)",
            place(database, schema, "LEDGER").sql()
        ),
        states::table(&place(database, schema, "STATES")),
    ]
}

/// All entries of tables, and those of the latest runs; none where there is no history yet.
pub(super) async fn read(worker: &mut Worker, ledger: &TableName) -> Result<Vec<Entry>, BackendError> {
    let sql = format!(
        "SELECT KIND, NAME, STATUS, CONTENT FROM {0} WHERE KIND <> 'run' OR NAME IN \
         (SELECT NAME FROM {0} WHERE KIND = 'run' ORDER BY NAME DESC LIMIT {RUNS}) ORDER BY KIND, NAME",
        ledger.sql()
    );
    match worker.rows(sql).await {
        Ok(answer) => {
            let entries = texts(&answer.batches).into_iter();
            Ok(entries.map(|[kind, name, status, content]| Entry { kind, name, status, content }).collect())
        }
        Err(error) if is_missing(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Writes entries over those of the same kind and name, all or none.
pub(super) async fn write(worker: &mut Worker, ledger: &TableName, entries: &[Entry]) -> Result<(), BackendError> {
    for tried in 1.. {
        match replace(worker, ledger, entries).await {
            Err(error) if error.remedy == Remedy::Retry && tried < TRIES => {
                tokio::time::sleep(Duration::from_millis(250) * 2_u32.pow(tried)).await;
            }
            done => return done,
        }
    }
    Ok(())
}

async fn replace(worker: &mut Worker, ledger: &TableName, entries: &[Entry]) -> Result<(), BackendError> {
    let pair = |entry: &Entry| format!("({}, {})", literal::text(&entry.kind), literal::text(&entry.name));
    let pairs: Vec<String> = entries.iter().map(pair).collect();
    let delete = format!("DELETE FROM {} WHERE (KIND, NAME) IN ({})", ledger.sql(), pairs.join(", "));
    worker.begin().await?;
    let done = match worker.within(delete).await {
        Ok(_) => worker.within(insert(ledger, entries)).await.map(|_| ()),
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => worker.commit().await,
        Err(error) => {
            worker.roll_back().await;
            Err(error)
        }
    }
}

fn insert(ledger: &TableName, entries: &[Entry]) -> Statement<PositionalBinds> {
    let rows = vec!["(?, ?, ?, ?)"; entries.len()].join(", ");
    let sql = format!(
        "INSERT INTO {} (KIND, NAME, STATUS, CONTENT) SELECT COLUMN1, COLUMN2, COLUMN3, COLUMN4 FROM VALUES {rows}",
        ledger.sql()
    );
    let mut statement = Statement::new_positional(sql);
    for entry in entries {
        for text in [&entry.kind, &entry.name, &entry.status, &entry.content] {
            statement = statement.bind(RawBind::new(BindType::Text, text.clone()));
        }
    }
    statement
}

/// Forgets the runs before this one, but for those named.
pub(super) fn forget(ledger: &TableName, before: &str, but: &[String]) -> String {
    let but: Vec<String> = but.iter().map(|run| literal::text(run)).collect();
    let but = if but.is_empty() { String::new() } else { format!(" AND NAME NOT IN ({})", but.join(", ")) };
    format!("DELETE FROM {} WHERE KIND = 'run' AND NAME < {}{but}", ledger.sql(), literal::text(before))
}
