//! What can go wrong with the files of a warehouse.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error as ThisError;

use crate::store::why;

/// Why the warehouse could not be read or written.
#[derive(Debug, ThisError)]
pub enum Error {
    /// A file or folder could not be read.
    #[error("cannot read `{}`: {}", path.display(), why(source))]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or folder could not be written: the disk is full, read-only, or not ours.
    #[error("cannot write `{}`: {}", path.display(), why(source))]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what the warehouse writes.
    #[error("`{}` is corrupt: {reason}", path.display())]
    Corrupt {
        /// Which.
        path: PathBuf,
        /// In what way.
        reason: String,
    },
    /// Another run is publishing the same table.
    #[error("table `{table}` is being published by {by}")]
    Busy {
        /// Which.
        table: String,
        /// Who holds it.
        by: String,
    },
    /// A set that retention has removed, or that never was.
    #[error("set {0} is not kept in this warehouse")]
    UnknownSet(u64),
    /// A table that is not there.
    #[error("table `{0}` is not in the warehouse")]
    UnknownTable(String),
    /// A row does not fit the columns that were declared.
    #[error("{0}")]
    Rows(String),
}

impl Error {
    pub(super) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_path_buf(), source }
    }

    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_path_buf(), source }
    }

    pub(super) fn corrupt(path: &Path, reason: impl ToString) -> Self {
        Self::Corrupt { path: path.to_path_buf(), reason: reason.to_string() }
    }

    /// Whether trying again later can help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }
}
