//! What has been run: runs, steps, tests and what is published from what, in one SQLite file kept with the target.
//! It never touches tables of data.

/// What is kept, as types.
pub mod record;

/// Runs that go on.
mod alive;

/// Checks and the profiles of tables.
mod checks;

/// The history as other machines get it.
mod mirror;

mod read;

/// Tries that failed.
mod tries;

mod write;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use thiserror::Error;

use crate::store::why;

pub use read::{LastStep, RunSummary};
pub use record::{CheckRecord, ProfileRecord, Published, RunRecord, Status, StepRecord, TestRecord, TryRecord};

/// The layout that this release reads and writes. A later release with another one migrates it; an earlier one refuses.
const SCHEMA_VERSION: i64 = 3;

const SCHEMA: &str = "
create table runs (
    id text primary key, started integer not null, finished integer, status text not null, jobs text not null,
    target text not null, clock integer not null, selection text, process integer not null
) strict, without rowid;
create table steps (
    run text not null references runs, position integer not null, job text not null, step text not null,
    status text not null, reason text not null, started integer, seconds real not null, rows integer,
    attempts integer not null, definition text, inputs text, sql text, error text, table_name text,
    primary key (run, job, step)
) strict, without rowid;
create index steps_by_name on steps (job, step, run);
create table tests (
    run text not null, job text not null, step text not null, position integer not null, name text not null,
    verdict text not null, count integer, message text,
    primary key (run, job, step, position)
) strict, without rowid;
create table published (
    table_name text primary key, job text not null, step text not null, run text not null, at integer not null,
    definition text not null, inputs text not null, version text not null, rows integer
) strict, without rowid;
create table timings (
    job text not null, step text not null, seconds real not null, primary key (job, step)
) strict, without rowid;
create table statements (hash text primary key, text text not null) strict, without rowid;
";

/// What the second layout adds to the first.
const CHECKS: &str = "
create table profiles (
    table_name text not null, at integer not null, clock integer not null, version text not null, measures text not null,
    primary key (table_name, at)
) strict, without rowid;
create table checks (
    job text not null, name text not null, at integer not null, clock integer not null, verdict text not null,
    agreed integer, texts text not null,
    primary key (job, name, at)
) strict, without rowid;
";

/// What the third layout adds to the second.
const GROWTH: &str = "
alter table published add column history text not null default '[]';
create table tries (
    run text not null, job text not null, step text not null, attempt integer not null, at integer not null,
    seconds real not null, class text not null, error text not null, wait real,
    primary key (run, job, step, attempt)
) strict, without rowid;
";

/// Why the ledger cannot be used.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// Another process writes and did not stop in time.
    #[error("the ledger `{path}` is locked by another run; wait for it to end, or stop it")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file is no ledger, or is damaged.
    #[error(
        "the ledger `{path}` is damaged ({detail}); move it away to start with an empty history, tables stay as they are"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite found.
        detail: String,
    },
    /// A later release wrote it.
    #[error(
        "the ledger `{path}` was written by a later release (layout {found}, this one knows {SCHEMA_VERSION}); use that release"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its layout.
        found: i64,
    },
    /// It cannot be read or written.
    #[error("cannot use the ledger `{path}`: {detail}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
}

/// An open ledger.
pub struct Ledger {
    connection: Connection,
    path: PathBuf,
    /// The lock of the run that this process has started.
    mark: OnceLock<alive::Mark>,
}

impl Ledger {
    /// Opens the ledger at `path`, making it where there is none.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| LedgerError::Unusable { path: path.to_owned(), detail: why(&error) })?;
        }
        Self::open_patiently(path, Duration::from_secs(10))
    }

    /// Opens the ledger at `path` to read it; none where no run has made one yet.
    pub fn open_existing(path: &Path) -> Result<Option<Self>, LedgerError> {
        if path.exists() { Self::open_patiently(path, Duration::from_secs(10)).map(Some) } else { Ok(None) }
    }

    fn open_patiently(path: &Path, patience: Duration) -> Result<Self, LedgerError> {
        let named = |error| explain(path, &error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(named)?;
        connection.busy_timeout(patience).map_err(named)?;
        let version = user_version(&connection).map_err(named)?;
        match version {
            SCHEMA_VERSION => {}
            0..SCHEMA_VERSION => migrate(&mut connection).map_err(named)?,
            found => return Err(LedgerError::Newer { path: path.to_owned(), found }),
        }
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(named)?;
        Ok(Self { connection, path: path.to_owned(), mark: OnceLock::new() })
    }

    fn explain(&self, error: &rusqlite::Error) -> LedgerError {
        explain(&self.path, error)
    }
}

fn user_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("pragma user_version", [], |row| row.get(0))
}

/// Brings a new or older file to this layout.
fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    write_ahead(connection)?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found = user_version(&transaction)?;
    if found < 1 {
        transaction.execute_batch(SCHEMA)?;
    }
    if found < 2 {
        transaction.execute_batch(CHECKS)?;
    }
    if found < 3 {
        transaction.execute_batch(GROWTH)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    }
    transaction.commit()
}

/// Lets readers go on while a run writes. SQLite does not wait on its own where others open the same new file.
fn write_ahead(connection: &Connection) -> rusqlite::Result<()> {
    for _ in 0..100 {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                std::thread::sleep(Duration::from_millis(50));
            }
            done => return done,
        }
    }
    connection.pragma_update(None, "journal_mode", "WAL")
}

fn explain(path: &Path, error: &rusqlite::Error) -> LedgerError {
    let (path, detail) = (path.to_owned(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => LedgerError::Locked { path },
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => LedgerError::Corrupt { path, detail },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            let detail = why(&std::io::ErrorKind::PermissionDenied.into());
            LedgerError::Unusable { path, detail }
        }
        Some(ErrorCode::CannotOpen) => {
            let detail = "it cannot be opened; look at the rights of its folder and of the file".to_owned();
            LedgerError::Unusable { path, detail }
        }
        Some(ErrorCode::DiskFull) => {
            LedgerError::Unusable { path, detail: why(&std::io::ErrorKind::StorageFull.into()) }
        }
        _ => match error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..) => LedgerError::Corrupt { path, detail },
            _ => LedgerError::Unusable { path, detail },
        },
    }
}

#[cfg(test)]
mod tests;
