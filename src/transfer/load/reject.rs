//! The reject file: one JSON object for each row that was refused. It is written aside and takes the place of the last load's
//! when the load ends.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use serde_json::json;

use super::{Place, Unfit};
use crate::backend::BackendError;
use crate::store::StoreError;

/// The refused rows of one load.
pub(super) struct Rejects {
    path: PathBuf,
    aside: PathBuf,
    open: Option<BufWriter<File>>,
}

impl Rejects {
    pub(super) fn new(path: PathBuf) -> Self {
        let aside = path.with_extension(format!("{}.tmp", std::process::id()));
        Self { path, aside, open: None }
    }

    /// Keeps a row.
    pub(super) fn add(&mut self, file: &str, place: Place, unfit: &Unfit, record: &[u8]) -> Result<(), BackendError> {
        let row = json!({
            "file": file,
            "row": place.row,
            "line": place.line,
            "column": unfit.column,
            "value": unfit.value,
            "reason": unfit.reason,
            "record": String::from_utf8_lossy(record),
        });
        let written = match &mut self.open {
            Some(open) => writeln!(open, "{row}"),
            None => self.begin().and_then(|mut open| {
                writeln!(open, "{row}")?;
                self.open = Some(open);
                Ok(())
            }),
        };
        written.map_err(|error| StoreError::of_io("write", &self.aside, &error).into())
    }

    fn begin(&self) -> std::io::Result<BufWriter<File>> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        File::create(&self.aside).map(BufWriter::new)
    }

    /// Puts the file in its place and gives its path; where nothing was refused there is none.
    pub(super) fn finish(&mut self) -> Result<Option<String>, BackendError> {
        let Some(mut open) = self.open.take() else {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(StoreError::of_io("remove", &self.path, &error).into())
                }
                _ => Ok(None),
            };
        };
        let placed = open.flush().and_then(|()| fs::rename(&self.aside, &self.path));
        placed.map_err(|error| StoreError::of_io("write", &self.path, &error))?;
        Ok(Some(self.path.display().to_string()))
    }
}

impl Drop for Rejects {
    fn drop(&mut self) {
        if self.open.take().is_some() {
            let _ = fs::remove_file(&self.aside);
        }
    }
}
