//! The calls by which tables are written and published, one by one, so that a test can make each of them fail in turn.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Makes a folder.
pub(super) fn create_dir(path: &Path) -> io::Result<()> {
    allowed()?;
    fs::create_dir(path)
}

/// Moves a file, folder or link over what is there.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    allowed()?;
    fs::rename(from, to)
}

/// Makes a symbolic link.
pub(super) fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    allowed()?;
    std::os::unix::fs::symlink(target, link)
}

/// Gives a file a second name.
pub(super) fn hard_link(from: &Path, to: &Path) -> io::Result<()> {
    allowed()?;
    fs::hard_link(from, to)
}

/// Writes a whole file.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = Output::create(path)?;
    file.write_all(bytes)
}

/// Waits until a file or folder is on disk.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    allowed()?;
    File::open(path)?.sync_all()
}

/// Waits until all files of a file system are on disk.
#[cfg(target_os = "linux")]
pub(super) fn sync_all(path: &Path) -> io::Result<()> {
    allowed()?;
    rustix::fs::syncfs(&File::open(path)?).map_err(io::Error::from)
}

/// Waits until a file is on disk.
#[cfg(not(target_os = "linux"))]
pub(super) fn sync_all(path: &Path) -> io::Result<()> {
    sync(path)
}

/// A file being written.
#[derive(Debug)]
pub(super) struct Output(File);

impl Output {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        allowed()?;
        File::create(path).map(Self)
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(error) = allowed() {
            // What a full disk does: a part is written, and then no more.
            self.0.write_all(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "under test it fails")]
fn allowed() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
fn allowed() -> io::Result<()> {
    faults::call()
}

/// Calls that fail.
#[cfg(test)]
pub(super) mod faults {
    use std::cell::Cell;
    use std::io;

    thread_local! {
        static LEFT: Cell<Option<(u64, io::ErrorKind)>> = const { Cell::new(None) };
    }

    /// Makes one call of this thread fail, after so many that do not; none with `None`.
    pub(in crate::warehouse) fn fail_after(calls: Option<(u64, io::ErrorKind)>) {
        LEFT.set(calls);
    }

    /// Whether that call is still to come.
    pub(in crate::warehouse) fn is_to_come() -> bool {
        LEFT.get().is_some()
    }

    pub(super) fn call() -> io::Result<()> {
        match LEFT.get() {
            Some((0, kind)) => {
                LEFT.set(None);
                Err(io::Error::from(kind))
            }
            Some((left, kind)) => {
                LEFT.set(Some((left - 1, kind)));
                Ok(())
            }
            None => Ok(()),
        }
    }
}
