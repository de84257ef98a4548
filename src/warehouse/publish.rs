//! The one atomic step: a new set is built beside the current one, made durable, and the link is renamed to it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::layout::{Layout, key, sync_dir, table_path};
use super::manifest::{self, DataFile, Object, SetInfo, StoredColumn};
use super::snapshot::Snapshot;
use super::stage::Staged;
use super::{Error, clean, lock};
use crate::name::TableName;

/// Beginning of the name of a set that is being built.
pub(super) const UNFINISHED: &str = ".new-";

/// Something that a publish changes.
#[derive(Debug)]
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
    let changed: BTreeMap<TableName, &Change> = changes.iter().map(|change| (key(change.name()), change)).collect();
    let mut set = NewSet::start(layout, run)?;
    for name in base.names() {
        if !changed.contains_key(&key(&name)) {
            set.keep(base.path(), &name)?;
        }
    }
    for (name, change) in &changed {
        match change {
            Change::Table(staged) => set.put(name, staged)?,
            Change::View { sql, columns, comment, .. } => set.view(name, sql, columns, comment.clone())?,
            Change::Drop(_) => {}
        }
    }
    let number = set.finish(changed.keys().map(TableName::lower).collect())?;
    drop(base);
    clean::old_sets(layout, number, kept);
    drop(lock);
    Ok(number)
}

/// Publishes an older set again.
pub(super) fn roll_back(layout: &Layout, to: u64, run: &str, kept: usize) -> Result<u64, Error> {
    layout.make()?;
    let lock = lock::publishing(layout)?;
    let old = Snapshot::of(layout, to)?;
    let mut set = NewSet::start(layout, run)?;
    for name in old.names() {
        set.keep(old.path(), &name)?;
    }
    let number = set.finish(old.names().iter().map(TableName::lower).collect())?;
    drop(old);
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
    dirs: Vec<PathBuf>,
    finished: bool,
}

impl<'a> NewSet<'a> {
    fn start(layout: &'a Layout, run: &'a str) -> Result<Self, Error> {
        let last = layout.sets()?.last().map_or(0, |(number, _)| *number);
        let current = layout.current()?.map_or(0, |(number, _)| number);
        let number = last.max(current) + 1;
        let path = layout.sets.join(format!("{UNFINISHED}{number:07}"));
        clean::remove(&path);
        fs::create_dir(&path).map_err(|error| Error::write(&path, error))?;
        let dirs = vec![path.clone()];
        Ok(Self { layout, path, number, run, created: manifest::now(), dirs, finished: false })
    }

    /// The folder for a table of this name.
    fn dir(&mut self, name: &TableName) -> Result<PathBuf, Error> {
        let path = self.path.join(table_path(name));
        fs::create_dir_all(&path).map_err(|error| Error::write(&path, error))?;
        if let Some(schema) = path.parent()
            && !self.dirs.iter().any(|dir| dir == schema)
        {
            self.dirs.push(schema.to_path_buf());
        }
        self.dirs.push(path.clone());
        Ok(path)
    }

    /// An unchanged table of another set.
    fn keep(&mut self, set: &Path, name: &TableName) -> Result<(), Error> {
        let from = set.join(table_path(name));
        let object = manifest::read_object(&from)?;
        let to = self.dir(name)?;
        share(&from.join(manifest::TABLE), &to.join(manifest::TABLE))?;
        for file in &object.files {
            share(&from.join(&file.name), &to.join(&file.name))?;
        }
        Ok(())
    }

    fn put(&mut self, name: &TableName, staged: &Staged) -> Result<(), Error> {
        let to = self.dir(name)?;
        let mut files = Vec::new();
        let written = staged.object.files.iter().map(|file| (staged.folder.path.join(&file.name), file));
        let kept = staged.kept.iter().map(|(path, file)| (path.clone(), file));
        for (index, (from, file)) in kept.chain(written).enumerate() {
            let file = DataFile { name: format!("part-{index:04}.parquet"), ..file.clone() };
            share(&from, &to.join(&file.name))?;
            files.push(file);
        }
        self.describe(&to, Object { files, ..staged.object.clone() })
    }

    fn view(
        &mut self,
        name: &TableName,
        sql: &str,
        columns: &[StoredColumn],
        comment: Option<String>,
    ) -> Result<(), Error> {
        let to = self.dir(name)?;
        let view = Object {
            columns: columns.to_vec(),
            view: Some(sql.to_string()),
            rows: 0,
            files: Vec::new(),
            run: String::new(),
            created: String::new(),
            version: 0,
            comment,
        };
        self.describe(&to, view)
    }

    fn describe(&self, dir: &Path, object: Object) -> Result<(), Error> {
        let (run, created) = (self.run.to_string(), self.created.clone());
        manifest::write_object(dir, &Object { run, created, version: self.number, ..object })
    }

    /// Makes the set durable, then current.
    fn finish(mut self, changed: Vec<String>) -> Result<u64, Error> {
        let (run, created) = (self.run.to_string(), self.created.clone());
        manifest::write_set(&self.path, &SetInfo { set: self.number, created, run, changed })?;
        for dir in self.dirs.iter().rev() {
            sync_dir(dir)?;
        }
        let path = self.layout.set(self.number);
        fs::rename(&self.path, &path).map_err(|error| Error::write(&path, error))?;
        self.path = path;
        sync_dir(&self.layout.sets)?;
        self.point()?;
        self.finished = true;
        Ok(self.number)
    }

    fn point(&self) -> Result<(), Error> {
        let next = self.layout.home.join(format!("{UNFINISHED}link"));
        let target = Path::new("sets").join(format!("{:07}", self.number));
        clean::remove(&next);
        symlink(&target, &next).map_err(|error| Error::write(&next, error))?;
        fs::rename(&next, &self.layout.link).map_err(|error| Error::write(&self.layout.link, error))?;
        sync_dir(&self.layout.home)
    }
}

impl Drop for NewSet<'_> {
    fn drop(&mut self) {
        let current = self.layout.current().ok().flatten().map(|(number, _)| number);
        if !self.finished && current != Some(self.number) {
            clean::remove(&self.path);
        }
    }
}

/// The same file under another name; a copy where the file system has no hard links.
fn share(from: &Path, to: &Path) -> Result<(), Error> {
    let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(error) if missing(&error) => Err(Error::corrupt(from, "it is missing")),
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::ReadOnlyFilesystem) => {
            Err(Error::write(to, error))
        }
        Err(_) => {
            fs::copy(from, to).map_err(|error| Error::write(to, error))?;
            fs::File::open(to).and_then(|file| file.sync_all()).map_err(|error| Error::write(to, error))
        }
    }
}
