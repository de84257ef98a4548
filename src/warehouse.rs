//! The local warehouse: published tables as Parquet files, in sets of which one is current.
//!
//! ```text
//! .pipe/warehouse            symbolic link to the current set
//! .pipe/sets/0000012/        a set: set.json says what each of its tables and views is
//!   ml/top                     symbolic link to the table's rows, which other sets may share
//! .pipe/tables/0000009/      the rows that came with set 9, a folder for each table
//!   ml.top/part-0000.parquet
//! .pipe/staging/…            tables being written
//! .pipe/unpublished/…        tables that failed runs had finished
//! .pipe/locks/…              one file per table, and one for the link
//! ```
//!
//! Publishing builds a whole new set beside the current one, makes it durable, and renames the link: whoever reads sees
//! the old set or the new one, and so does whoever comes after a crash. What it costs follows from what changes: of the
//! other tables only the links are made anew. It runs no query.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::name::TableName;

mod clean;

mod disk;

mod error;

mod layout;

mod lock;

mod manifest;

mod publish;

mod scan;

mod snapshot;

/// Numbers in files.
mod narrow;

mod part;

mod stage;

mod unpublished;

pub use clean::Cleaned;
pub use error::Error;
pub use layout::file_name_bytes;
pub use lock::Reservation;
pub use manifest::{DataFile, Object, Provenance, SetInfo, StoredColumn};
pub use publish::Change;
pub use scan::FILE_NUMBER;
pub use snapshot::{Snapshot, StoredTable};
pub use stage::{Staged, Writer};

/// How many sets are kept where the project does not say: the current one and those that can be gone back to.
pub const KEPT_SETS: usize = 10;

/// A local warehouse.
#[derive(Clone, Debug)]
pub struct Warehouse {
    layout: layout::Layout,
    staging: Arc<stage::Staging>,
    kept: usize,
}

impl Warehouse {
    /// The warehouse whose current set is at `dir` (such as `.pipe/warehouse`). Nothing is made before the first publish;
    /// what a crash left behind is removed.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let warehouse = Self { layout: layout::Layout::new(dir)?, staging: Arc::default(), kept: KEPT_SETS };
        clean::leftovers(&warehouse.layout);
        Ok(warehouse)
    }

    /// The same for a run of this name, whose finished tables are kept where it does not come to publish them.
    #[must_use]
    pub fn for_run(mut self, run: &str) -> Self {
        self.staging = Arc::new(stage::Staging::of_run(run));
        self
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

    /// The tables as a run left them: the last set that it published or, where it published none, the last before `ended`.
    pub fn set_of(&self, run: &str, ended: chrono::DateTime<chrono::Utc>) -> Result<Option<u64>, Error> {
        let sets = self.sets()?;
        if let Some(own) = sets.iter().rev().find(|set| set.run == run) {
            return Ok(Some(own.set));
        }
        let at = |set: &&SetInfo| chrono::DateTime::parse_from_rfc3339(&set.created).is_ok_and(|at| at <= ended);
        Ok(sets.iter().rev().find(at).map(|set| set.set))
    }

    /// Removes what is not needed: sets beyond those kept, results that were not published, rows that no set has.
    pub fn clean(&self) -> Result<Cleaned, Error> {
        clean::all(&self.layout, self.kept)
    }

    /// The sets that are kept, oldest first.
    pub fn sets(&self) -> Result<Vec<SetInfo>, Error> {
        let mut sets = Vec::new();
        for (_, path) in self.layout.sets()? {
            sets.push(manifest::read_info(&path)?);
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
        Writer::create(&self.layout, &self.staging, name, columns, base)
    }

    /// Takes over the rows that an earlier run finished for a table and did not publish; none where they are not there.
    pub fn adopt(&self, name: &TableName, columns: Vec<StoredColumn>, run: &str) -> Result<Option<Staged>, Error> {
        Staged::adopt(&self.layout, &self.staging, name, columns, run)
    }

    /// Whether an earlier run finished rows for a table that it did not publish.
    pub fn has_unpublished(&self, name: &TableName, run: &str) -> bool {
        unpublished::find(&self.layout, run, name).is_some()
    }

    /// Forgets what an earlier run finished and did not publish.
    pub fn forget(&self, run: &str) {
        clean::remove(&self.layout.unpublished.join(run));
    }

    /// Makes all these changes visible at once, or none, and gives the number of the new set. `run` marks what is made.
    pub fn publish(&self, changes: Vec<Change>, run: &str) -> Result<u64, Error> {
        publish::publish(&self.layout, changes, run, self.kept)
    }

    /// Publishes these tables again as they were in an older set, or all of that set, and gives the number of the new set.
    pub fn roll_back(&self, set: u64, tables: Option<&[TableName]>, run: &str) -> Result<u64, Error> {
        publish::roll_back(&self.layout, set, tables, run, self.kept)
    }

    /// The folder that holds the link.
    pub fn home(&self) -> &PathBuf {
        &self.layout.home
    }
}

#[cfg(test)]
mod tests;
