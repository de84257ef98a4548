//! What crashes leave behind and what retention lets go. Cleaning never fails a command: what cannot be removed now is left
//! for the next start.

use std::fs::{self, File};
use std::path::Path;

use super::layout::{Layout, entries};
use super::publish::UNFINISHED;
use super::stage::OWNER;
use super::{lock, manifest};

/// Removes staging folders whose process is gone and sets that were never finished.
pub(super) fn leftovers(layout: &Layout) {
    if !layout.locks.is_dir() {
        return;
    }
    for path in entries(&layout.staging).unwrap_or_default() {
        remove_if_free(&path, OWNER);
    }
    let Some(_lock) = lock::try_publishing(layout) else { return };
    for path in entries(&layout.sets).unwrap_or_default().into_iter().chain(entries(&layout.home).unwrap_or_default()) {
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(UNFINISHED)) {
            remove(&path);
        }
    }
    newer_than_current(layout);
}

/// A set that was finished but never became current is as if it had never been.
fn newer_than_current(layout: &Layout) {
    let Ok(current) = layout.current() else { return };
    let current = current.map_or(0, |(number, _)| number);
    for (number, path) in layout.sets().unwrap_or_default() {
        if number > current {
            remove(&path);
        }
    }
}

/// Removes the oldest sets beyond the number kept, except those that someone reads.
pub(super) fn old_sets(layout: &Layout, current: u64, kept: usize) {
    let sets = layout.sets().unwrap_or_default();
    let surplus = sets.len().saturating_sub(kept);
    for (number, path) in sets.into_iter().take(surplus) {
        if number != current {
            remove_if_free(&path, manifest::SET);
        }
    }
}

/// Removes a folder unless a process holds the lock of this file in it. The lock is ours meanwhile, so that a reader who
/// comes now finds out.
fn remove_if_free(dir: &Path, lock: &str) {
    match File::open(dir.join(lock)) {
        Ok(file) if file.try_lock().is_ok() => remove(dir),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => remove(dir),
        _ => {}
    }
}

/// Removes a file, link or folder, if it is there and can be.
pub(super) fn remove(path: &Path) {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => return,
    };
    if let Err(error) = removed {
        tracing::debug!(path = %path.display(), %error, "a leftover could not be removed");
    }
}
