//! Which runs go on: each holds a lock on a file of its own beside the ledger, and a process that dies lets go of its locks.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::Ledger;
use super::record::{RunRecord, Status};

/// The lock of a run, let go with its file when the run is over.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
    _file: File,
}

impl Mark {
    /// Takes the lock; none where it cannot be had, so that the process alone tells whether the run goes on.
    pub(super) fn take(ledger: &Path, run: &str) -> Option<Self> {
        let path = path(ledger, run)?;
        std::fs::create_dir_all(path.parent()?).ok()?;
        let file = File::create(&path).ok()?;
        file.try_lock().ok()?;
        Some(Self { path, _file: file })
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // What is left behind holds no lock, and goes when the run is found to be over.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The file that a run locks.
fn path(ledger: &Path, run: &str) -> Option<PathBuf> {
    let named = !run.is_empty() && run.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    named.then(|| ledger.with_file_name("running").join(run))
}

impl Ledger {
    /// Whether a run goes on, as far as this system tells. Process 0 is one on another machine, of which it tells nothing.
    pub(super) fn goes_on(&self, run: &str, process: u32) -> bool {
        if process == 0 {
            return true;
        }
        match path(&self.path, run).map(File::open) {
            Some(Ok(file)) => matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
            _ => is_alive(process),
        }
    }

    /// A run as it stands: one whose process is gone was interrupted, although nobody wrote that down.
    pub(super) fn as_it_stands(&self, run: RunRecord) -> RunRecord {
        let lost = run.status == Status::Running && !self.goes_on(&run.id, run.process);
        RunRecord { status: if lost { Status::Interrupted } else { run.status }, ..run }
    }

    /// Forgets the lock of a run that is over.
    pub(super) fn unmark(&self, run: &str) {
        if let Some(path) = path(&self.path, run) {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Whether there is such a process.
fn is_alive(process: u32) -> bool {
    let processes = Path::new("/proc");
    !processes.join("self").exists() || processes.join(process.to_string()).exists()
}
