//! Finished results of runs that did not publish them: kept for a run that takes up where that one ended.
//!
//! They lie where they were written, in the staging folder of their run, which a run that fails leaves and which one that is
//! killed leaves too. A folder is known by its run's name and by the start of the machine: what was not made durable
//! does not count after another start.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

use super::clean::remove;
use super::layout::{Layout, entries, file_name};
use super::manifest::DataFile;
use super::{Error, disk};
use crate::name::TableName;

/// File in a staging folder that names its run.
const RUN: &str = "run";

/// File in a folder of rows that names the files of the table as it is that belong to them.
const KEPT_FILES: &str = "kept.json";

/// Of how many runs results are kept.
const KEPT: usize = 3;

/// Marks a staging folder as a run's.
pub(super) fn mark(folder: &Path, run: &str) -> Result<(), Error> {
    let path = folder.join(RUN);
    disk::write(&path, format!("{run}\n{}", machine_start()).as_bytes()).map_err(|error| Error::write(&path, error))
}

fn machine_start() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// Puts the staging folder of a run that is over where its results can be found; false where it is no run's.
pub(super) fn set_aside(layout: &Layout, folder: &Path) -> bool {
    let Ok(marked) = fs::read_to_string(folder.join(RUN)) else { return false };
    let Some((run, start)) = marked.split_once('\n') else { return false };
    let named = !run.is_empty() && run.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !named || start != machine_start() || fs::create_dir_all(&layout.unpublished).is_err() {
        return false;
    }
    let to = layout.unpublished.join(run);
    remove(&to);
    let moved = fs::rename(folder, to).is_ok();
    let runs = entries(&layout.unpublished).unwrap_or_default();
    runs.iter().take(runs.len().saturating_sub(KEPT)).for_each(|run| remove(run));
    moved
}

/// The folder of the rows that a run finished for a table, and its files.
pub(super) fn find(layout: &Layout, run: &str, table: &TableName) -> Option<(PathBuf, Vec<DataFile>)> {
    let home = layout.unpublished.join(run);
    let marked = fs::read_to_string(home.join(RUN)).ok()?;
    if marked.split_once('\n')?.1 != machine_start() {
        return None;
    }
    let wanted = file_name(table);
    let folders = entries(&home).ok()?.into_iter().filter_map(|path| Some((numbered(&path)?, path)));
    let of_table = folders.filter(|((_, name), _)| *name == wanted);
    let (_, folder) = of_table.max_by_key(|((number, _), _)| *number)?;
    let parts = entries(&folder).ok()?.into_iter().filter(|path| !path.ends_with(KEPT_FILES));
    let files: Option<Vec<DataFile>> = parts.map(|path| data_file(&path)).collect();
    let kept_are_there = kept_files(&folder).ok()?.iter().all(|(path, _)| path.is_file());
    Some((folder, files.filter(|files| kept_are_there && !files.is_empty())?))
}

/// The number and the table of a folder of rows.
fn numbered(folder: &Path) -> Option<(u64, String)> {
    let (number, table) = folder.file_name()?.to_str()?.split_once('-')?;
    Some((number.parse().ok()?, table.to_string()))
}

/// Writes down which files of the table as it is belong to the rows in a folder.
pub(super) fn remember_kept(folder: &Path, files: &[(PathBuf, DataFile)]) -> Result<(), Error> {
    let path = folder.join(KEPT_FILES);
    let text = serde_json::to_vec(files).map_err(|error| Error::corrupt(&path, error))?;
    disk::write(&path, &text).map_err(|error| Error::write(&path, error))
}

/// The files of the table as it was that belong to the rows in a folder.
pub(super) fn kept_files(folder: &Path) -> Result<Vec<(PathBuf, DataFile)>, Error> {
    let path = folder.join(KEPT_FILES);
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| Error::corrupt(&path, error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::read(&path, error)),
    }
}

/// Forgets which files were kept: they are the folder's own from now on.
pub(super) fn forget_kept(folder: &Path) {
    remove(&folder.join(KEPT_FILES));
}

fn data_file(path: &Path) -> Option<DataFile> {
    let file = File::open(path).ok()?;
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::default()).ok()?;
    let rows = u64::try_from(metadata.metadata().file_metadata().num_rows()).ok()?;
    let name = path.file_name()?.to_str()?.to_string();
    Some(DataFile { name, rows, bytes: file.metadata().ok()?.len() })
}
