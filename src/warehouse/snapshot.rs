//! One set as a reader sees it: resolved once, kept from being cleaned away while it is read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::datasource::TableProvider;

use super::Error;
use super::layout::{Layout, key, table_path};
use super::manifest::{self, DataFile, Object, StoredColumn};
use super::scan::StoredRows;
use crate::name::TableName;

/// How often a reader whose set was removed under its hands looks for the current one again.
const ATTEMPTS: usize = 20;

/// One consistent set of tables.
#[derive(Clone, Debug)]
pub struct Snapshot {
    set: Option<u64>,
    path: PathBuf,
    tables: BTreeMap<TableName, StoredTable>,
    hold: Option<Arc<File>>,
}

/// A published table or view.
#[derive(Clone, Debug)]
pub struct StoredTable {
    name: TableName,
    path: PathBuf,
    object: Arc<Object>,
    hold: Option<Arc<File>>,
}

impl Snapshot {
    pub(super) fn current(layout: &Layout) -> Result<Self, Error> {
        for _ in 0..ATTEMPTS {
            let Some((set, path)) = layout.current()? else {
                return Ok(Self { set: None, path: layout.sets.clone(), tables: BTreeMap::new(), hold: None });
            };
            match hold(&path)? {
                Some(hold) => return Self::read(set, path, hold),
                None if layout.current()?.is_some_and(|(now, _)| now == set) => {
                    return Err(Error::corrupt(&path, "the current set is missing or has no `set.json`"));
                }
                None => {}
            }
        }
        Err(Error::read(&layout.link, io::Error::other("it changes faster than it can be read")))
    }

    pub(super) fn of(layout: &Layout, set: u64) -> Result<Self, Error> {
        let path = layout.set(set);
        let hold = hold(&path)?.ok_or(Error::UnknownSet(set))?;
        Self::read(set, path, hold)
    }

    fn read(set: u64, path: PathBuf, hold: File) -> Result<Self, Error> {
        let hold = Some(Arc::new(hold));
        let table = |(name, object): (TableName, Arc<Object>)| {
            let path = path.join(table_path(&name));
            (name.clone(), StoredTable { name, path, object, hold: hold.clone() })
        };
        let tables = manifest::read_objects(&path)?.into_iter().map(table).collect();
        Ok(Self { set: Some(set), path, tables, hold })
    }

    /// The number of the set; none where nothing has been published yet.
    pub fn set(&self) -> Option<u64> {
        self.set
    }

    /// The names of its tables and views.
    pub fn names(&self) -> Vec<TableName> {
        self.tables.keys().cloned().collect()
    }

    /// Its tables and views.
    pub fn tables(&self) -> impl Iterator<Item = &StoredTable> {
        self.tables.values()
    }

    /// A table or view by its schema and name; the database is not looked at, a warehouse is one.
    pub fn table(&self, name: &TableName) -> Option<&StoredTable> {
        self.tables.get(&key(name))
    }

    /// Where its files are, for as long as this value lives.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether retention is kept from removing it.
    pub fn is_held(&self) -> bool {
        self.hold.is_some()
    }
}

/// Keeps a set from being cleaned away; none where it is gone.
fn hold(set: &Path) -> Result<Option<File>, Error> {
    let path = set.join(manifest::SET);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::read(&path, error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(path.exists().then_some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(_)) => Ok(Some(file)),
    }
}

impl StoredTable {
    /// Its schema and name.
    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// What its manifest says.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Its columns.
    pub fn columns(&self) -> &[StoredColumn] {
        &self.object.columns
    }

    /// How many rows it has.
    pub fn rows(&self) -> u64 {
        self.object.rows
    }

    /// The query of a view; none for a table.
    pub fn view(&self) -> Option<&str> {
        self.object.view.as_deref()
    }

    /// A mark of its content: equal marks, equal rows.
    pub fn version(&self) -> u64 {
        self.object.version
    }

    /// The Arrow schema of its rows, for a session in this time zone.
    pub fn schema(&self, zone: &str) -> SchemaRef {
        manifest::schema(&self.object.columns, zone)
    }

    /// The rows of some of its files, by number; with `numbered`, each row with the number of its file in a last column
    /// [`FILE_NUMBER`](super::FILE_NUMBER).
    pub fn parts(&self, files: &[usize], numbered: bool, zone: &str) -> Result<Arc<dyn TableProvider>, Error> {
        let all = self.data_files();
        let chosen: Vec<(usize, (PathBuf, DataFile))> =
            files.iter().filter_map(|at| Some((*at, all.get(*at)?.clone()))).collect();
        let rows = chosen.iter().map(|(_, (_, file))| file.rows).sum();
        let numbers = numbered.then(|| chosen.iter().map(|(at, _)| *at).collect());
        let files = chosen.into_iter().map(|(_, file)| file).collect();
        Ok(Arc::new(StoredRows::numbered(self.schema(zone), files, rows, self.hold.clone(), numbers)?))
    }

    /// Where its files are and what they hold, in the order of their rows.
    pub fn files(&self) -> Vec<(PathBuf, DataFile)> {
        self.data_files()
    }

    /// Its rows as a table that can be scanned, for a session in this time zone. A file that is missing, shorter than it
    /// was written or not Parquet is named here or while it is read.
    pub fn provider(&self, zone: &str) -> Result<Arc<dyn TableProvider>, Error> {
        let rows = StoredRows::open(self.schema(zone), self.data_files(), self.object.rows, self.hold.clone())?;
        Ok(Arc::new(rows))
    }

    pub(super) fn shared_object(&self) -> Arc<Object> {
        self.object.clone()
    }

    /// Whether its files are there and as long as they were written.
    pub fn is_whole(&self) -> bool {
        let is_there =
            |(path, file): &(PathBuf, DataFile)| std::fs::metadata(path).is_ok_and(|m| m.len() == file.bytes);
        self.data_files().iter().all(is_there)
    }

    pub(super) fn data_files(&self) -> Vec<(PathBuf, DataFile)> {
        self.object.files.iter().map(|file| (self.path.join(&file.name), file.clone())).collect()
    }
}
