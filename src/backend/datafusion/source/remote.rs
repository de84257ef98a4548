//! Sources in S3: their files are fetched once into a cache of this machine and read there. A process sees one state of a
//! source, that of when it first looked.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::backend::BackendError;
use crate::source::{Format, Location};
use crate::store::Stores;

static SEEN: Mutex<Option<HashMap<String, Vec<PathBuf>>>> = Mutex::new(None);

/// The files of a location, as copies on this machine, in the order of their names.
pub(super) fn files(location: &Location) -> Result<Vec<PathBuf>, BackendError> {
    let pattern = &location.path;
    if let Some(files) = SEEN.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().get(pattern) {
        return Ok(files.clone());
    }
    let listed = Stores::default().list_now(pattern, |_| true)?;
    let mut files = Vec::new();
    for file in listed.iter().filter(|file| !pattern.ends_with('/') || is_of(location.format, &file.name)) {
        files.push(Stores::default().copy_now(file, &cache())?);
    }
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    seen.get_or_insert_default().insert(pattern.clone(), files.clone());
    Ok(files)
}

/// A file as its author knows it: a copy is told by what it is a copy of.
pub(super) fn shown(path: &Path) -> String {
    match path.strip_prefix(cache()) {
        Ok(inside) => {
            // The folder after the bucket and before the file's name is that of the copy's state.
            let mut parts: Vec<String> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if parts.len() > 2 {
                parts.remove(parts.len() - 2);
            }
            format!("s3://{}", parts.join("/"))
        }
        Err(_) => path.display().to_string(),
    }
}

fn cache() -> PathBuf {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = named("XDG_CACHE_HOME").or_else(|| named("HOME").map(|home| home.join(".cache")));
    base.unwrap_or_else(std::env::temp_dir).join("pipe").join("s3")
}

fn is_of(format: Format, name: &str) -> bool {
    format == Format::Files || Format::of(name) == Some(format)
}
