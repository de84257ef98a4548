//! Tables being written: Parquet files in a folder of their own that nobody reads, removed unless they are published.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::datasource::TableProvider;

use super::layout::{Layout, file_name, key};
use super::manifest::{self, DataFile, Object, Provenance, StoredColumn};
use super::part::Part;
use super::scan::StoredRows;
use super::{Error, StoredTable, disk, narrow, unpublished};
use crate::dialect::cast::exactly;
use crate::name::TableName;

/// Rows after which a file is closed and the next begun, so that readers can share a large table's files among cores.
const FILE_ROWS: u64 = 8 << 20;

/// File that its process holds locked in its staging folder: a folder whose file is free belongs to nobody.
pub(super) const OWNER: &str = "owner";

static NEXT: AtomicU64 = AtomicU64::new(0);

/// The staging folder of a warehouse in this process, for as long as a table is being written.
#[derive(Debug, Default)]
pub(super) struct Staging {
    home: Mutex<Weak<Home>>,
    run: Option<String>,
}

/// A staging folder, gone with the last table in it.
#[derive(Debug)]
struct Home {
    path: PathBuf,
    layout: Layout,
    kept: AtomicBool,
    _owner: File,
}

impl Staging {
    pub(super) fn of_run(run: &str) -> Self {
        Self { home: Mutex::default(), run: Some(run.to_string()) }
    }

    fn home(&self, layout: &Layout) -> Result<Arc<Home>, Error> {
        let mut known = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(home) = known.upgrade() {
            return Ok(home);
        }
        let home = Arc::new(Home::create(layout)?);
        if let Some(run) = &self.run {
            unpublished::mark(&home.path, run)?;
        }
        *known = Arc::downgrade(&home);
        Ok(home)
    }
}

impl Home {
    fn create(layout: &Layout) -> Result<Self, Error> {
        layout.make()?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = layout.staging.join(format!("{}-{number}-{}", std::process::id(), nanos()));
        disk::create_dir(&path).map_err(|error| Error::write(&path, error))?;
        let owner = path.join(OWNER);
        let file = File::create(&owner).map_err(|error| Error::write(&owner, error))?;
        file.lock().map_err(|error| Error::write(&owner, error))?;
        Ok(Self { path, layout: layout.clone(), kept: AtomicBool::new(false), _owner: file })
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Relaxed) || !unpublished::set_aside(&self.layout, &self.path) {
            super::clean::remove(&self.path);
        }
    }
}

fn nanos() -> i64 {
    chrono::Utc::now().timestamp_nanos_opt().unwrap_or_default()
}

/// The folder of one table in the staging folder, removed when it is dropped unless it was moved away.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    moved: bool,
    home: Arc<Home>,
}

impl Folder {
    fn create(layout: &Layout, staging: &Staging, table: &TableName) -> Result<Self, Error> {
        let folder = Self::named(layout, staging, table)?;
        disk::create_dir(&folder.path).map_err(|error| Error::write(&folder.path, error))?;
        Ok(folder)
    }

    fn named(layout: &Layout, staging: &Staging, table: &TableName) -> Result<Self, Error> {
        Ok(Self::inside(&staging.home(layout)?, table))
    }

    fn inside(home: &Arc<Home>, table: &TableName) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = home.path.join(format!("{number}-{}", file_name(table)));
        Self { path, moved: false, home: Arc::clone(home) }
    }

    /// Moves the folder with all that is in it.
    pub(super) fn move_to(mut self, to: &Path) -> Result<(), Error> {
        disk::rename(&self.path, to).map_err(|error| Error::write(to, error))?;
        self.moved = true;
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.moved {
            super::clean::remove(&self.path);
        }
    }
}

/// Writes the rows of one table aside.
#[derive(Debug)]
pub struct Writer {
    name: TableName,
    folder: Folder,
    columns: Vec<StoredColumn>,
    schema: SchemaRef,
    kept: Vec<(PathBuf, DataFile)>,
    done: Vec<DataFile>,
    open: Option<Part>,
    /// Whether every number so far, column by column, is stored in few digits.
    narrow: Vec<bool>,
    comment: Option<String>,
}

/// A written table that waits to be published; dropping it removes it.
#[derive(Debug)]
pub struct Staged {
    pub(super) name: TableName,
    pub(super) folder: Folder,
    pub(super) kept: Vec<(PathBuf, DataFile)>,
    pub(super) object: Object,
}

impl Writer {
    pub(super) fn create(
        layout: &Layout,
        staging: &Staging,
        name: &TableName,
        columns: Vec<StoredColumn>,
        base: Option<&StoredTable>,
    ) -> Result<Self, Error> {
        let folder = Folder::create(layout, staging, name)?;
        let kept = base.map(StoredTable::data_files).unwrap_or_default();
        let schema = manifest::schema(&columns, "UTC");
        let comment = base.and_then(|table| table.object().comment.clone());
        let narrow = schema.fields().iter().map(|field| narrow::has_narrow_form(field.data_type())).collect();
        Ok(Self { name: key(name), folder, columns, schema, kept, done: Vec::new(), open: None, narrow, comment })
    }

    /// What the author says about the table.
    pub fn comment(&mut self, comment: Option<String>) {
        self.comment = comment;
    }

    /// Adds rows, whose columns stand in the table's order.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let batch = self.fitted(batch)?;
        let widened = narrow::widen(&mut self.narrow, &batch);
        if widened || self.open.as_ref().is_some_and(|part| part.rows() >= FILE_ROWS) {
            self.close()?;
        }
        let path = self.part();
        let schema = narrow::schema(&self.schema, &self.narrow);
        let part = match &mut self.open {
            Some(part) => part,
            None => self.open.insert(Part::create(&path, &schema)?),
        };
        let batch = narrow::batch(&batch, &schema).map_err(|error| Error::Rows(error.to_string()))?;
        part.write(&path, batch)
    }

    fn fitted(&self, batch: &RecordBatch) -> Result<RecordBatch, Error> {
        let wrong = |reason: String| Error::Rows(format!("rows do not fit table `{}`: {reason}", self.name.lower()));
        if batch.num_columns() != self.columns.len() {
            return Err(wrong(format!("{} columns for {}", batch.num_columns(), self.columns.len())));
        }
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for (array, field) in batch.columns().iter().zip(self.schema.fields()) {
            if !field.is_nullable() && array.null_count() > 0 {
                return Err(wrong(format!("NULL in column `{}`, which does not allow it", field.name())));
            }
            let same = array.data_type() == field.data_type();
            let array = if same { Ok(array.clone()) } else { exactly(array, field.data_type()) };
            arrays.push(array.map_err(|error| wrong(format!("column `{}`: {error}", field.name())))?);
        }
        RecordBatch::try_new(self.schema.clone(), arrays).map_err(|error| wrong(error.to_string()))
    }

    fn part(&self) -> PathBuf {
        self.folder.path.join(part_name(self.done.len()))
    }

    fn close(&mut self) -> Result<(), Error> {
        let path = self.part();
        let Some(part) = self.open.take() else { return Ok(()) };
        let rows = part.rows();
        let file = part.finish(&path)?;
        let bytes = file.len().map_err(|error| Error::write(&path, error))?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_string();
        self.done.push(DataFile { name, rows, bytes });
        Ok(())
    }

    /// Closes the files.
    pub fn finish(mut self) -> Result<Staged, Error> {
        let empty = self.kept.is_empty() && self.done.is_empty() && self.open.is_none();
        if empty {
            let path = self.part();
            self.open = Some(Part::create(&path, &narrow::schema(&self.schema, &self.narrow))?);
        }
        self.close()?;
        let object = Object::unpublished(self.columns, self.done, self.comment);
        let mut staged = Staged { name: self.name, folder: self.folder, kept: Vec::new(), object };
        staged.keep(self.kept)?;
        Ok(staged)
    }
}

impl Staged {
    pub(super) fn adopt(
        layout: &Layout,
        staging: &Staging,
        name: &TableName,
        columns: Vec<StoredColumn>,
        run: &str,
    ) -> Result<Option<Self>, Error> {
        let Some((found, files)) = unpublished::find(layout, run, name) else { return Ok(None) };
        let folder = Folder::named(layout, staging, name)?;
        disk::rename(&found, &folder.path).map_err(|error| Error::write(&folder.path, error))?;
        let object = Object::unpublished(columns, files, None);
        let mut staged = Self { name: key(name), folder, kept: Vec::new(), object };
        staged.keep(unpublished::kept_files(&staged.folder.path)?)?;
        Ok(Some(staged))
    }

    /// Says that these files of the table as it is stay as they are, before those written now.
    pub fn keep(&mut self, files: Vec<(PathBuf, DataFile)>) -> Result<(), Error> {
        if !files.is_empty() {
            unpublished::remember_kept(&self.folder.path, &files)?;
        }
        self.kept = files;
        self.object.rows = self.object.files.iter().chain(self.kept.iter().map(|(_, file)| file)).map(|f| f.rows).sum();
        Ok(())
    }

    /// Takes over the files of another table that was written aside, those without rows left out.
    pub fn absorb(&mut self, other: Self) -> Result<(), Error> {
        let empty = |file: &DataFile| file.rows == 0;
        if other.object.files.iter().all(empty) {
            return Ok(());
        }
        for file in self.object.files.extract_if(.., |file| empty(file)) {
            let path = self.folder.path.join(&file.name);
            fs::remove_file(&path).map_err(|error| Error::write(&path, error))?;
        }
        for file in other.object.files.iter().filter(|file| !empty(file)) {
            let number = self.object.files.last().and_then(|last| part_number(&last.name)).map_or(0, |last| last + 1);
            let name = part_name(number);
            let to = self.folder.path.join(&name);
            disk::rename(&other.folder.path.join(&file.name), &to).map_err(|error| Error::write(&to, error))?;
            self.object.files.push(DataFile { name, ..file.clone() });
            self.object.rows += file.rows;
        }
        Ok(())
    }

    /// The files it was written to so far.
    pub fn files(&self) -> &[DataFile] {
        &self.object.files
    }

    /// Moves the files at these places into a table of their own.
    pub fn split_off(&mut self, places: &[usize]) -> Result<Self, Error> {
        let folder = Folder::inside(&self.folder.home, &self.name);
        disk::create_dir(&folder.path).map_err(|error| Error::write(&folder.path, error))?;
        let (mut moved, mut left) = (Vec::new(), Vec::new());
        for (at, file) in std::mem::take(&mut self.object.files).into_iter().enumerate() {
            if places.contains(&at) {
                let to = folder.path.join(&file.name);
                disk::rename(&self.folder.path.join(&file.name), &to).map_err(|error| Error::write(&to, error))?;
                moved.push(file);
            } else {
                left.push(file);
            }
        }
        self.object.rows -= moved.iter().map(|file| file.rows).sum::<u64>();
        self.object.files = left;
        let object = Object::unpublished(self.object.columns.clone(), moved, None);
        Ok(Self { name: self.name.clone(), folder, kept: Vec::new(), object })
    }

    /// Says what the rows were made from.
    pub fn made(&mut self, made: Option<Provenance>) {
        self.object.made = made;
    }

    /// Leaves the rows for a run that takes up where this one ended.
    pub fn leave(mut self) {
        self.folder.moved = true;
        self.folder.home.kept.store(true, Ordering::Relaxed);
    }

    /// The table it will be.
    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// How many rows it has.
    pub fn rows(&self) -> u64 {
        self.object.rows
    }

    /// Its rows, to be looked at before anyone else can see them; not to be read after it is published.
    pub fn provider(&self, zone: &str) -> Result<Arc<dyn TableProvider>, Error> {
        let own = self.object.files.iter().map(|file| (self.folder.path.join(&file.name), file.clone()));
        let files = self.kept.iter().cloned().chain(own).collect();
        let schema = manifest::schema(&self.object.columns, zone);
        Ok(Arc::new(StoredRows::open(schema, files, self.object.rows, None)?))
    }
}

/// The number in such a name.
pub(super) fn part_number(name: &str) -> Option<usize> {
    name.strip_prefix("part-")?.strip_suffix(".parquet")?.parse().ok()
}

/// The name of one of a table's files.
pub(super) fn part_name(index: usize) -> String {
    format!("part-{index:04}.parquet")
}
