//! Marks of files' contents: equal marks, equal bytes. A file whose length and time of change are as they were is not
//! read again.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::StoreError;

/// Files larger than this are known by length and time of change alone.
const READ_UP_TO: u64 = 256 << 20;

/// What was known of a file when it was last read whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    length: u64,
    changed: u128,
    mark: String,
    /// The contract that all its values were last found to fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fits: Option<String>,
}

/// The marks of files, remembered between runs in a small file that may be lost.
#[derive(Debug, Default)]
pub struct Marks {
    path: Option<PathBuf>,
    known: Mutex<HashMap<String, Known>>,
}

impl Marks {
    /// The marks remembered at `path`.
    pub fn open(path: &Path) -> Self {
        let read = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self { path: Some(path.to_owned()), known: Mutex::new(read.unwrap_or_default()) }
    }

    /// The mark of these files together.
    pub fn of(&self, files: &[PathBuf]) -> Result<String, StoreError> {
        let mut marks = Vec::new();
        for path in files {
            marks.push(self.of_file(path)?);
        }
        if let [mark] = marks.as_slice() {
            return Ok(mark.clone());
        }
        Ok(hex::encode(&Sha256::digest(marks.join(" "))[..12]))
    }

    fn of_file(&self, path: &Path) -> Result<String, StoreError> {
        let wrong = |error: std::io::Error| StoreError::of_io("read", path, &error);
        let found = std::fs::metadata(path).map_err(wrong)?;
        let changed = found.modified().map_err(wrong)?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let (length, changed) = (found.len(), changed.as_nanos());
        let key = path.to_string_lossy().into_owned();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&key).filter(|known| known.length == length && known.changed == changed) {
            return Ok(known.mark.clone());
        }
        let mark = if length > READ_UP_TO {
            format!("{length}-{changed}")
        } else {
            let mut digest = Sha256::new();
            std::io::copy(&mut File::open(path).map_err(wrong)?, &mut Writer(&mut digest)).map_err(wrong)?;
            hex::encode(&digest.finalize()[..12])
        };
        known.insert(key, Known { length, changed, mark: mark.clone(), fits: None });
        Ok(mark)
    }

    /// Whether the file, as its mark was last taken, is known to fit a contract.
    pub(crate) fn fits(&self, path: &Path, contract: &str) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&*path.to_string_lossy()).is_some_and(|known| known.fits.as_deref() == Some(contract))
    }

    /// Remembers that the file, as its mark was last taken, fits a contract.
    pub(crate) fn found_to_fit(&self, path: &Path, contract: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get_mut(&*path.to_string_lossy()) {
            known.fits = Some(contract.to_owned());
        }
    }

    /// Remembers the marks for the next run. That they cannot be written only costs time.
    pub fn save(&self) {
        let Some(path) = &self.path else { return };
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let written = serde_json::to_vec(&*known).map_err(std::io::Error::other).and_then(|text| {
            if std::fs::read(path).is_ok_and(|before| before == text) {
                return Ok(());
            }
            let aside = path.with_extension(format!("{}.tmp", std::process::id()));
            std::fs::write(&aside, text)?;
            std::fs::rename(&aside, path)
        });
        if let Err(error) = written {
            tracing::debug!(path = %path.display(), %error, "marks of sources are not remembered");
        }
    }
}

struct Writer<'a>(&'a mut Sha256);

impl std::io::Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
