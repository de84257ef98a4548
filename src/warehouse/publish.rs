//! The one atomic step: a new set is built beside the current one, made durable, and the link is renamed to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::layout::{Layout, key, sync, table_path};
use super::manifest::{self, DataFile, Object, Objects, SetInfo, StoredColumn};
use super::snapshot::{Snapshot, StoredTable};
use super::stage::{Staged, part_name, part_number};
use super::{Error, clean, disk, lock, unpublished};
use crate::name::TableName;

/// Beginning of the name of a set that is being built.
pub(super) const UNFINISHED: &str = ".new-";

/// Something that a publish changes.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a publish has few, and each is used at once")]
pub enum Change {
    /// A table's new content.
    Table(Staged),
    /// A view.
    View {
        /// Its name.
        name: TableName,
        /// Its query.
        sql: String,
        /// Its columns.
        columns: Vec<StoredColumn>,
        /// What its author says about it.
        comment: Option<String>,
    },
    /// A table or view that goes.
    Drop(TableName),
}

impl Change {
    /// The table or view that it changes.
    pub fn name(&self) -> &TableName {
        match self {
            Self::Table(staged) => &staged.name,
            Self::View { name, .. } | Self::Drop(name) => name,
        }
    }
}

/// Publishes under the lock of the link. The tables' own locks are the caller's [`Reservation`](super::Reservation) where a whole run must
/// exclude another; this step by itself is already safe against any other publish.
pub(super) fn publish(layout: &Layout, changes: Vec<Change>, run: &str, kept: usize) -> Result<u64, Error> {
    layout.make()?;
    let lock = lock::publishing(layout)?;
    let base = Snapshot::current(layout)?;
    let changes: BTreeMap<TableName, Change> = changes.into_iter().map(|change| (key(change.name()), change)).collect();
    let changed = changes.keys().map(TableName::lower).collect();
    let mut set = NewSet::start(layout, run)?;
    for table in base.tables().filter(|table| !changes.contains_key(table.name())) {
        set.tables.insert(table.name().clone(), table.shared_object());
    }
    for (name, change) in changes {
        match change {
            Change::Table(staged) => set.put(name, staged)?,
            Change::View { sql, columns, comment, .. } => set.view(name, sql, columns, comment),
            Change::Drop(_) => {}
        }
    }
    let number = set.finish(changed)?;
    drop(base);
    clean::old_sets(layout, number, kept);
    drop(lock);
    Ok(number)
}

/// Publishes older states of tables again: of each as it was in that set, or not at all where it was not there.
pub(super) fn roll_back(
    layout: &Layout,
    to: u64,
    tables: Option<&[TableName]>,
    run: &str,
    kept: usize,
) -> Result<u64, Error> {
    layout.make()?;
    let lock = lock::publishing(layout)?;
    let (base, old) = (Snapshot::current(layout)?, Snapshot::of(layout, to)?);
    let goes_back = |name: &TableName| tables.is_none_or(|tables| tables.iter().any(|table| key(table) == *name));
    let mut set = NewSet::start(layout, run)?;
    for table in base.tables().filter(|table| !goes_back(table.name())) {
        set.tables.insert(table.name().clone(), table.shared_object());
    }
    for table in old.tables().filter(|table| goes_back(table.name())) {
        set.tables.insert(table.name().clone(), table.shared_object());
    }
    let version = |snapshot: &Snapshot, name: &TableName| snapshot.table(name).map(StoredTable::version);
    let names: BTreeSet<TableName> = base.names().into_iter().chain(old.names()).filter(goes_back).collect();
    let changed = names.iter().filter(|name| version(&base, name) != version(&old, name));
    let number = set.finish(changed.map(TableName::lower).collect())?;
    drop((base, old));
    clean::old_sets(layout, number, kept);
    drop(lock);
    Ok(number)
}

/// A set that is being built; removed unless it is finished.
struct NewSet<'a> {
    layout: &'a Layout,
    path: PathBuf,
    number: u64,
    run: &'a str,
    created: String,
    tables: Objects,
    /// What must be on disk before the set is made current.
    written: Vec<PathBuf>,
    finished: bool,
}

impl<'a> NewSet<'a> {
    fn start(layout: &'a Layout, run: &'a str) -> Result<Self, Error> {
        let last = layout.sets()?.last().map_or(0, |(number, _)| *number);
        let current = layout.current()?.map_or(0, |(number, _)| number);
        let number = last.max(current) + 1;
        let path = layout.sets.join(format!("{UNFINISHED}{number:07}"));
        clean::remove_set(layout, &path, number);
        disk::create_dir(&path).map_err(|error| Error::write(&path, error))?;
        let (created, tables, written) = (manifest::now(), Objects::new(), Vec::new());
        Ok(Self { layout, path, number, run, created, tables, written, finished: false })
    }

    /// The rows of a table that were written aside.
    fn put(&mut self, name: TableName, staged: Staged) -> Result<(), Error> {
        let rows = self.layout.rows_of(self.number);
        if !self.written.contains(&rows) {
            disk::create_dir(&rows).map_err(|error| Error::write(&rows, error))?;
            self.written.extend([self.layout.tables.clone(), rows]);
        }
        let to = self.layout.rows(self.number, &name);
        let Staged { folder, kept, object, .. } = staged;
        // From here on the folder is no unpublished result that a run could take up: with some of the files that stay in it
        // and the list of them beside, it would have their rows twice.
        folder.move_to(&to)?;
        let own = object.files.last().and_then(|file| part_number(&file.name)).map_or(0, |last| last + 1);
        let mut files = Vec::new();
        for (index, (from, file)) in kept.iter().enumerate() {
            let file = DataFile { name: part_name(own + index), ..file.clone() };
            share(from, &to.join(&file.name))?;
            files.push(file);
        }
        files.extend(object.files.iter().cloned());
        unpublished::forget_kept(&to);
        self.written.extend(files.iter().map(|file| to.join(&file.name)));
        self.written.push(to);
        self.describe(name, Object { files, ..object });
        Ok(())
    }

    fn view(&mut self, name: TableName, sql: String, columns: Vec<StoredColumn>, comment: Option<String>) {
        self.describe(name, Object { view: Some(sql), ..Object::unpublished(columns, Vec::new(), comment) });
    }

    fn describe(&mut self, name: TableName, object: Object) {
        let (run, created) = (self.run.to_string(), self.created.clone());
        self.tables.insert(name, Arc::new(Object { run, created, version: self.number, ..object }));
    }

    /// Makes the set durable, then current.
    fn finish(mut self, changed: Vec<String>) -> Result<u64, Error> {
        let (run, created) = (self.run.to_string(), self.created.clone());
        self.link()?;
        manifest::write_set(&self.path, SetInfo { set: self.number, created, run, changed }, &self.tables)?;
        self.written.extend([self.path.join(manifest::SET), self.path.clone()]);
        sync(&self.written)?;
        let path = self.layout.set(self.number);
        disk::rename(&self.path, &path).map_err(|error| Error::write(&path, error))?;
        self.path = path;
        sync(std::slice::from_ref(&self.layout.sets))?;
        self.point()?;
        self.finished = true;
        Ok(self.number)
    }

    /// Makes the way from each table's place in the set to its rows.
    fn link(&mut self) -> Result<(), Error> {
        let mut schemas = BTreeSet::new();
        for (name, object) in self.tables.iter().filter(|(_, object)| object.view.is_none()) {
            let place = self.path.join(table_path(name));
            if let Some(schema) = place.parent().filter(|schema| schemas.insert(schema.to_path_buf())) {
                disk::create_dir(schema).map_err(|error| Error::write(schema, error))?;
            }
            let rows = self.layout.rows(object.version, name);
            let rows = rows.strip_prefix(&self.layout.home).unwrap_or(&rows);
            disk::symlink(&Path::new("../../..").join(rows), &place).map_err(|error| Error::write(&place, error))?;
        }
        self.written.extend(schemas);
        Ok(())
    }

    fn point(&self) -> Result<(), Error> {
        let next = self.layout.home.join(format!("{UNFINISHED}link"));
        let target = Path::new("sets").join(format!("{:07}", self.number));
        clean::remove(&next);
        disk::symlink(&target, &next).map_err(|error| Error::write(&next, error))?;
        disk::rename(&next, &self.layout.link).map_err(|error| Error::write(&self.layout.link, error))?;
        sync(std::slice::from_ref(&self.layout.home))
    }
}

impl Drop for NewSet<'_> {
    fn drop(&mut self) {
        let current = self.layout.current().ok().flatten().map(|(number, _)| number);
        if !self.finished && current != Some(self.number) {
            clean::remove_set(self.layout, &self.path, self.number);
        }
    }
}

/// The same file under another name; a copy where the file system has no hard links.
fn share(from: &Path, to: &Path) -> Result<(), Error> {
    let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    match disk::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(error) if missing(&error) => Err(Error::corrupt(from, "it is missing")),
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::ReadOnlyFilesystem) => {
            Err(Error::write(to, error))
        }
        Err(_) => fs::copy(from, to).map(|_| ()).map_err(|error| Error::write(to, error)),
    }
}
