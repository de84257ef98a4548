//! The local warehouse: published tables as Parquet files, in sets of which one is current.
//!
//! ```text
//! .pipe/warehouse            symbolic link to the current set
//! .pipe/sets/0000012/        a set: set.json, and for each table or view a folder
//!   ml/top/table.json          its columns with their Snowflake types, rows, run, time
//!   ml/top/part-….parquet      its rows, shared with other sets by hard links
//! .pipe/staging/…            tables being written
//! .pipe/locks/…              one file per table, and one for the link
//! ```
//!
//! Publishing builds a whole new set beside the current one, makes it durable, and renames the link: whoever reads sees
//! the old set or the new one, and so does whoever comes after a crash. It runs no query.

use std::path::{Path, PathBuf};

use crate::name::TableName;

mod clean;

mod error;

mod layout;

mod lock;

mod manifest;

mod publish;

mod scan;

mod snapshot;

mod part;

mod stage;

pub use error::Error;
pub use lock::Reservation;
pub use manifest::{Object, SetInfo, StoredColumn};
pub use publish::Change;
pub use snapshot::{Snapshot, StoredTable};
pub use stage::{Staged, Writer};

/// How many sets are kept where the project does not say: the current one and those that can be gone back to.
pub const KEPT_SETS: usize = 10;

/// A local warehouse.
#[derive(Clone, Debug)]
pub struct Warehouse {
    layout: layout::Layout,
    kept: usize,
}

impl Warehouse {
    /// The warehouse whose current set is at `dir` (such as `.pipe/warehouse`). Nothing is made before the first publish;
    /// what a crash left behind is removed.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let warehouse = Self { layout: layout::Layout::new(dir)?, kept: KEPT_SETS };
        clean::leftovers(&warehouse.layout);
        Ok(warehouse)
    }

    /// The same, keeping this many sets, the current one included.
    #[must_use]
    pub fn keeping(mut self, sets: usize) -> Self {
        self.kept = sets.max(1);
        self
    }

    /// Where the current set can be read.
    pub fn dir(&self) -> &Path {
        &self.layout.link
    }

    /// The names of what the current set holds.
    pub fn tables(&self) -> Result<Vec<TableName>, Error> {
        Ok(self.snapshot()?.names())
    }

    /// One consistent set, which stays readable for as long as the value lives.
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        Snapshot::current(&self.layout)
    }

    /// An older set that retention has kept, by its number.
    pub fn snapshot_of(&self, set: u64) -> Result<Snapshot, Error> {
        Snapshot::of(&self.layout, set)
    }

    /// The sets that are kept, oldest first.
    pub fn sets(&self) -> Result<Vec<SetInfo>, Error> {
        let mut sets = Vec::new();
        for (_, path) in self.layout.sets()? {
            sets.push(manifest::read_set(&path)?);
        }
        Ok(sets)
    }

    /// Keeps others from publishing these tables for as long as the value lives; an error at once where someone does.
    pub fn reserve(&self, tables: &[TableName]) -> Result<Reservation, Error> {
        Reservation::take(&self.layout, tables)
    }

    /// Starts writing a table aside. With `base`, the new rows come after those of that table.
    pub fn stage(
        &self,
        name: &TableName,
        columns: Vec<StoredColumn>,
        base: Option<&StoredTable>,
    ) -> Result<Writer, Error> {
        Writer::create(&self.layout, name, columns, base)
    }

    /// Makes all these changes visible at once, or none, and gives the number of the new set. `run` marks what is made.
    pub fn publish(&self, changes: Vec<Change>, run: &str) -> Result<u64, Error> {
        publish::publish(&self.layout, changes, run, self.kept)
    }

    /// Makes an older set current again, as a new set, and gives its number.
    pub fn roll_back(&self, set: u64, run: &str) -> Result<u64, Error> {
        publish::roll_back(&self.layout, set, run, self.kept)
    }

    /// The folder that holds the link.
    pub fn home(&self) -> &PathBuf {
        &self.layout.home
    }
}

#[cfg(test)]
mod tests;
