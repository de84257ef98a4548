//! What crashes leave behind and what retention lets go. Cleaning never fails a command: what cannot be removed now is left
//! for the next start.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use super::layout::{Layout, entries};
use super::publish::UNFINISHED;
use super::stage::OWNER;
use super::{lock, manifest, unpublished};

/// Beginning of the name of a set that retention lets go.
const LET_GO: &str = ".old-";

/// Removes staging folders whose process is gone and sets that were never finished.
pub(super) fn leftovers(layout: &Layout) {
    if !layout.locks.is_dir() {
        return;
    }
    for path in entries(&layout.staging).unwrap_or_default() {
        staged(layout, &path);
    }
    let Some(_lock) = lock::try_publishing(layout) else { return };
    clean_link(layout);
    for path in entries(&layout.sets).unwrap_or_default() {
        match number_after(&path, UNFINISHED) {
            Some(number) => remove_set(layout, &path, number),
            None if number_after(&path, LET_GO).is_some() => let_go(layout, &path),
            None => {}
        }
    }
    newer_than_current(layout);
}

fn clean_link(layout: &Layout) {
    let link = layout.home.join(format!("{UNFINISHED}link"));
    if link.is_symlink() {
        remove(&link);
    }
}

fn number_after(path: &Path, beginning: &str) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix(beginning)?.parse().ok()
}

/// Removes a set that never became current, and the rows that came with it.
pub(super) fn remove_set(layout: &Layout, set: &Path, number: u64) {
    remove(&layout.rows_of(number));
    remove(set);
}

/// A set that was finished but never became current is as if it had never been.
fn newer_than_current(layout: &Layout) {
    let Ok(current) = layout.current() else { return };
    let current = current.map_or(0, |(number, _)| number);
    for (number, path) in layout.sets().unwrap_or_default() {
        if number > current {
            remove_set(layout, &path, number);
        }
    }
}

/// Removes the oldest sets beyond the number kept, except those that someone reads, and the rows that no other set has.
pub(super) fn old_sets(layout: &Layout, current: u64, kept: usize) {
    let sets = layout.sets().unwrap_or_default();
    let surplus = sets.len().saturating_sub(kept);
    for (number, path) in sets.into_iter().take(surplus) {
        if number != current {
            old_set(layout, &path, number);
        }
    }
}

fn old_set(layout: &Layout, path: &Path, number: u64) {
    // The lock is ours while the set goes, so that a reader who comes now finds out.
    let Ok(file) = File::open(path.join(manifest::SET)) else { return };
    let aside = layout.sets.join(format!("{LET_GO}{number:07}"));
    if file.try_lock().is_ok() && fs::rename(path, &aside).is_ok() {
        let_go(layout, &aside);
    }
}

/// Removes a set that nobody can find any more, and the rows that only it had.
fn let_go(layout: &Layout, set: &Path) {
    let mut rows: BTreeSet<(String, u64)> = manifest::read_versions(set).unwrap_or_default().into_iter().collect();
    for (_, other) in layout.sets().unwrap_or_default() {
        // Where a set cannot be read nobody knows what it needs.
        let Ok(needed) = manifest::read_versions(&other) else { return remove(set) };
        for needed in needed {
            rows.remove(&needed);
        }
    }
    for (table, version) in rows {
        let of_version = layout.rows_of(version);
        remove(&of_version.join(table));
        // It goes with the last table in it.
        let _ = fs::remove_dir(&of_version);
    }
    remove(set);
}

/// What cleaning removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Sets of tables.
    pub sets: usize,
    /// Runs whose unpublished results went.
    pub unpublished: usize,
    /// Bytes that are free again.
    pub bytes: u64,
}

/// Removes all that is not needed, while nobody publishes.
pub(super) fn all(layout: &Layout, kept: usize) -> Result<Cleaned, super::Error> {
    layout.make()?;
    let lock = lock::publishing(layout)?;
    let before = size(&layout.home);
    let sets = layout.sets()?.len();
    if let Some((current, _)) = layout.current()? {
        old_sets(layout, current, kept);
    }
    let unpublished = entries(&layout.unpublished)?;
    unpublished.iter().for_each(|run| remove(run));
    rows_of_no_set(layout)?;
    drop(lock);
    let bytes = before.saturating_sub(size(&layout.home));
    Ok(Cleaned { sets: sets - layout.sets()?.len(), unpublished: unpublished.len(), bytes })
}

fn rows_of_no_set(layout: &Layout) -> Result<(), super::Error> {
    let mut needed = BTreeSet::new();
    for (_, set) in layout.sets()? {
        needed.extend(manifest::read_versions(&set)?);
    }
    for of_version in entries(&layout.tables)? {
        let version = number_after(&of_version, "");
        for rows in entries(&of_version)? {
            let table = rows.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !version.is_some_and(|version| needed.contains(&(table, version))) {
                remove(&rows);
            }
        }
        let _ = fs::remove_dir(&of_version);
    }
    Ok(())
}

/// The length of all files in a folder.
fn size(path: &Path) -> u64 {
    let Ok(found) = fs::symlink_metadata(path) else { return 0 };
    if !found.is_dir() {
        return found.len();
    }
    entries(path).unwrap_or_default().iter().map(|path| size(path)).sum()
}

/// A staging folder whose process is gone: what it finished for a run is kept, the rest removed.
fn staged(layout: &Layout, dir: &Path) {
    match File::open(dir.join(OWNER)) {
        Ok(file) if file.try_lock().is_ok() => {
            let kept = unpublished::set_aside(layout, dir);
            if !kept {
                remove(dir);
            }
        }
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
