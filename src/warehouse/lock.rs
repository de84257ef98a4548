//! Locks between processes, by the operating system: a process that dies lets go of its own.

use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use super::Error;
use super::layout::{Layout, encode, key};
use crate::name::{Name, TableName};

/// Holds tables for one publisher; they are let go when it is dropped.
#[derive(Debug)]
pub struct Reservation {
    _files: Vec<File>,
}

impl Reservation {
    /// Takes every table or none, in the order of names so that two that want several cannot block each other.
    pub(super) fn take(layout: &Layout, tables: &[TableName]) -> Result<Self, Error> {
        layout.make()?;
        let mut keys: Vec<TableName> = tables.iter().map(key).collect();
        keys.sort();
        keys.dedup();
        let mut files = Vec::new();
        for table in keys {
            let path = layout.locks.join(lock_name(&table));
            let mut file = open(&path)?;
            match file.try_lock() {
                Ok(()) => sign(&mut file, &path)?,
                Err(TryLockError::WouldBlock) => return Err(busy(&table, &mut file)),
                Err(TryLockError::Error(error)) => return Err(Error::write(&path, error)),
            }
            files.push(file);
        }
        Ok(Self { _files: files })
    }
}

fn lock_name(table: &TableName) -> String {
    let schema = table.schema.as_ref().map_or("", Name::as_str);
    format!("{}.{}", encode(schema), encode(table.table.as_str()))
}

fn sign(file: &mut File, path: &Path) -> Result<(), Error> {
    file.set_len(0).and_then(|()| write!(file, "process {}", std::process::id())).map_err(|e| Error::write(path, e))
}

fn busy(table: &TableName, file: &mut File) -> Error {
    let mut by = String::new();
    let read = file.read_to_string(&mut by).is_ok() && !by.is_empty();
    Error::Busy { table: table.lower(), by: if read { by } else { "another process".to_string() } }
}

fn open(path: &Path) -> Result<File, Error> {
    let opened = File::options().create(true).truncate(false).read(true).write(true).open(path);
    opened.map_err(|error| Error::write(path, error))
}

/// Waits for the right to move the link.
pub(super) fn publishing(layout: &Layout) -> Result<File, Error> {
    let path = layout.locks.join("publish");
    let file = open(&path)?;
    file.lock().map_err(|error| Error::write(&path, error))?;
    Ok(file)
}

/// The right to move the link, where nobody has it; none also where it cannot be asked for.
pub(super) fn try_publishing(layout: &Layout) -> Option<File> {
    let file = open(&layout.locks.join("publish")).ok()?;
    file.try_lock().is_ok().then_some(file)
}
