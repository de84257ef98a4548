//! Exports to PostgreSQL: one transaction from the first statement to the last. Rows come in by binary COPY; what they replace
//! is swapped by renaming when the job is published. Until then nobody sees anything, and a lost connection undoes all of it.

/// Reaching a server.
mod connect;

/// Tables and columns as the server has them.
mod table;

/// Types, and values in them.
mod types;

/// Rows in by COPY.
mod copy;

/// Putting a table in the place of another.
mod swap;

/// What a server said, in plain words.
mod fault;

use tokio_postgres::Client;

use super::Errand;
use crate::backend::{BackendError, Rows};
use crate::job::export::{Mode, Postgres};
use crate::plan::PlannedStep;
use swap::Swap;
use table::{QualifiedName, Table};

pub use connect::{Login, Tls};
pub(super) use fault::Server;

/// The table that remembers what was appended, beside the tables that rows are appended to.
const MARKS: &str = "pipe_exports";

/// An export whose transaction waits for its end.
pub(super) struct StagedRows {
    client: Client,
    server: Server,
    rows: u64,
    swap: Option<Swap>,
}

/// One export's way into the database.
struct Way<'a> {
    client: &'a Client,
    server: &'a Server,
    to: &'a Postgres,
    step: &'a PlannedStep,
    names: &'a [String],
    errand: &'a Errand,
}

/// Brings the rows into the database, in a transaction that is left open.
pub(super) async fn stage(
    (client, server): (Client, Server),
    to: &Postgres,
    step: &PlannedStep,
    names: &[String],
    rows: Rows,
    errand: &Errand,
) -> Result<StagedRows, BackendError> {
    let way = Way { client: &client, server: &server, to, step, names, errand };
    let (rows, swap) = way.bring(rows).await?;
    Ok(StagedRows { client, server, rows, swap })
}

impl StagedRows {
    /// How many rows came in.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Ends the transaction, which makes the rows visible.
    pub(super) async fn commit(self) -> Result<(), BackendError> {
        if let Some(swap) = &self.swap {
            swap.carry_out(&self.client, &self.server).await?;
        }
        self.server.execute(&self.client, "commit").await
    }

    /// Undoes everything; a connection that is gone has done so already.
    pub(super) async fn abort(self) {
        if let Err(error) = self.client.batch_execute("rollback").await {
            tracing::debug!(%error, "a transaction was not rolled back by us");
        }
    }
}

impl Way<'_> {
    async fn bring(&self, rows: Rows) -> Result<(u64, Option<Swap>), BackendError> {
        let patience = self.to.lock_timeout.as_millis().clamp(1, i32::MAX as u128);
        self.execute(&format!("begin; set local lock_timeout = {patience}; set local time zone 'UTC'")).await?;
        let name = QualifiedName::parse(&self.to.table.value);
        let there = table::find(self.client, self.server, &name).await?;
        match self.to.mode {
            Mode::Append => {
                let table = self.there_or_made(there, &name, "").await?;
                if !self.mark(&table).await? {
                    return Ok((0, None));
                }
                Ok((self.copy(&table, rows).await?, None))
            }
            Mode::Upsert => {
                let key: Vec<String> = self.key();
                let table = self.there_or_made(there, &name, &format!(", primary key ({})", key.join(", "))).await?;
                Ok((self.upsert(&table, &key, rows).await?, None))
            }
            Mode::Replace => {
                let swap = match there {
                    Some(there) => Swap::begin(self.client, self.server, there, &self.errand.run).await?,
                    None => {
                        // Nobody has it, so that nobody can be in the way: it is made, and seen once this is committed.
                        let table = self.there_or_made(None, &name, "").await?;
                        return Ok((self.copy(&table, rows).await?, None));
                    }
                };
                let count = self.copy(&swap.new, rows).await?;
                swap.finish_new(self.client, self.server).await?;
                Ok((count, Some(swap)))
            }
        }
    }

    async fn execute(&self, sql: &str) -> Result<(), BackendError> {
        self.server.execute(self.client, sql).await
    }

    /// The table, made from the step's columns where there is none.
    async fn there_or_made(
        &self,
        there: Option<Table>,
        name: &QualifiedName,
        constraint: &str,
    ) -> Result<Table, BackendError> {
        if let Some(there) = there {
            return Ok(there);
        }
        let columns = self.names.iter().zip(&self.step.columns).zip(self.step.schema.fields());
        let columns: Vec<String> = columns
            .map(|((name, column), field)| {
                format!("{} {}", table::quoted(name), types::declared(column.sql_type, field.data_type()))
            })
            .collect();
        self.execute(&format!("create table {} ({}{constraint})", name.sql(), columns.join(", "))).await?;
        let made = table::find(self.client, self.server, name).await?;
        made.ok_or_else(|| BackendError::author(format!("table {} was made and is not there", name.sql())))
    }

    /// The key's columns as they are called there.
    fn key(&self) -> Vec<String> {
        let named = |key: &crate::name::Name| {
            let at = self.step.columns.iter().position(|column| column.name == *key)?;
            self.names.get(at).map(|name| table::quoted(name))
        };
        self.to.key.iter().filter_map(|key| named(&key.value)).collect()
    }

    async fn copy(&self, table: &Table, rows: Rows) -> Result<u64, BackendError> {
        let columns = copy::matched(table, self.names, self.step)?;
        copy::copy(self.client, self.server, &table.name.sql(), columns, rows).await
    }

    /// Whether these rows are still to be appended, in which case it is remembered, in the same transaction, that they were.
    async fn mark(&self, table: &Table) -> Result<bool, BackendError> {
        let marks = QualifiedName { schema: table.name.schema.clone(), name: MARKS.to_owned() };
        if table::find(self.client, self.server, &marks).await?.is_none() {
            // Two sessions that make it at once would get in each other's way.
            self.execute("select pg_advisory_xact_lock(hashtext('pipe_exports'))").await?;
            self.execute(&format!(
                "create table if not exists {} (destination text, step text, made_from text not null, \
                 run text not null, at timestamptz not null, primary key (destination, step))",
                marks.sql()
            ))
            .await?;
        }
        let marked = self
            .client
            .execute(
                &format!(
                    "insert into {} as mark values ($1, $2, $3, $4, now()) on conflict (destination, step) do update \
                     set made_from = excluded.made_from, run = excluded.run, at = now() \
                     where mark.made_from <> excluded.made_from",
                    marks.sql()
                ),
                &[&table.name.name, &self.step.id.to_string(), &self.errand.made_from, &self.errand.run],
            )
            .await
            .map_err(|error| self.server.explained(&error))?;
        Ok(marked > 0)
    }

    /// Rows go into a table of this transaction first, and from there over those with their key.
    async fn upsert(&self, table: &Table, key: &[String], rows: Rows) -> Result<u64, BackendError> {
        let columns = copy::matched(table, self.names, self.step)?;
        let names: Vec<String> = columns.iter().map(|column| table::quoted(&column.name)).collect();
        let list = names.join(", ");
        let target = table.name.sql();
        self.execute(&format!(
            "create temporary table pipe_rows on commit drop as select {list} from {target} limit 0"
        ))
        .await?;
        let count = copy::copy(self.client, self.server, "pg_temp.pipe_rows", columns, rows).await?;
        let set: Vec<String> =
            names.iter().filter(|name| !key.contains(name)).map(|name| format!("{name} = excluded.{name}")).collect();
        let action = if set.is_empty() { "nothing".to_owned() } else { format!("update set {}", set.join(", ")) };
        let key = key.join(", ");
        self.execute(&format!(
            "insert into {target} ({list}) select {list} from pg_temp.pipe_rows on conflict ({key}) do {action}"
        ))
        .await?;
        Ok(count)
    }
}
