//! Rows of small text files that this process has read whole: who reads the same file again need not take it apart again.

use std::collections::HashMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::SystemTime;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;

use crate::source::Location;

/// Bytes of the largest file whose rows are kept.
const LARGEST: u64 = 4 << 20;
/// Bytes of all files whose rows are kept.
const ALL: u64 = 32 << 20;

/// A file as it was read: where, how, as which types, and what it was then.
#[derive(PartialEq, Eq, Hash)]
struct Reading {
    path: PathBuf,
    location: Location,
    schema: SchemaRef,
    bytes: u64,
    changed: Option<SystemTime>,
}

impl Reading {
    fn of(path: &Path, location: &Location, schema: &SchemaRef) -> Option<Self> {
        let metadata: Metadata = path.metadata().ok()?;
        Some(Self {
            path: path.to_owned(),
            location: location.clone(),
            schema: schema.clone(),
            bytes: metadata.len(),
            changed: metadata.modified().ok(),
        })
    }
}

static PARSED: LazyLock<Mutex<HashMap<Reading, Vec<RecordBatch>>>> = LazyLock::new(Mutex::default);

/// A file that is about to be read, where its rows are worth keeping.
pub(super) struct Keeping(Reading);

/// Whether the rows of a file are worth keeping.
pub(super) fn keeping(path: &Path, location: &Location, schema: &SchemaRef) -> Option<Keeping> {
    let reading = Reading::of(path, location, schema)?;
    let parsed = PARSED.lock().unwrap_or_else(PoisonError::into_inner);
    let kept: u64 = parsed.keys().map(|reading| reading.bytes).sum();
    (reading.bytes <= LARGEST && kept + reading.bytes <= ALL).then_some(Keeping(reading))
}

impl Keeping {
    /// Keeps the rows, unless the file changed while it was read.
    pub(super) fn keep(self, rows: Vec<RecordBatch>) {
        let Keeping(reading) = self;
        if Reading::of(&reading.path, &reading.location, &reading.schema).as_ref() == Some(&reading) {
            PARSED.lock().unwrap_or_else(PoisonError::into_inner).insert(reading, rows);
        }
    }
}

/// The rows of a file, where it is still what it was when they were read.
pub(super) fn rows(path: &Path, location: &Location, schema: &SchemaRef) -> Option<Vec<RecordBatch>> {
    let reading = Reading::of(path, location, schema)?;
    PARSED.lock().unwrap_or_else(PoisonError::into_inner).get(&reading).cloned()
}
