//! Files where they are, on this machine's disks or in S3: found by pattern, read as streams, written aside and shown at
//! once. What is in them is not its matter.

/// Marks of files' contents.
mod mark;

/// S3 as this machine is configured for it.
mod s3;

/// Files as streams of bytes.
mod read;

/// Files written aside.
mod write;

/// Errors of the operating system in an analyst's words.
mod words;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::TryStreamExt;
use object_store::path::Path as Key;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt};
use thiserror::Error;

pub use mark::Marks;
pub use read::{Unpacked, of_read, unpacked};
pub use words::why;
pub use write::{Aside, Upload};

/// What the caller does about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Look at the path: there is no such file.
    Missing,
    /// Check credentials and rights.
    Denied,
    /// Try again.
    Passing,
    /// Make room.
    Full,
    /// Show it.
    Other,
}

/// Why a file could not be read or written.
#[derive(Clone, Debug, Error)]
#[error("{message}")]
pub struct StoreError {
    /// What to do about it.
    pub kind: Kind,
    /// What happened.
    pub message: String,
}

impl StoreError {
    /// An error with what to do about it.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// An error of a local file; `does` is what could not be done, such as `read`.
    pub fn of_io(does: &str, path: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let kind = match error.kind() {
            ErrorKind::NotFound => Kind::Missing,
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Kind::Denied,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Kind::Full,
            ErrorKind::Interrupted | ErrorKind::TimedOut => Kind::Passing,
            _ => Kind::Other,
        };
        Self::new(kind, format!("cannot {does} `{}`: {}", path.display(), why(error)))
    }
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path or URL.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// What changes when its content does, where its store tells.
    pub mark: Option<String>,
}

/// The places where files are.
#[derive(Default)]
pub struct Stores {
    marks: Marks,
    buckets: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
    leftovers: write::Leftovers,
}

impl std::fmt::Debug for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stores")
    }
}

impl Stores {
    /// Stores whose marks of local files are remembered in the file at `marks`.
    pub fn new(marks: &Path) -> Self {
        Self { marks: Marks::open(marks), buckets: Mutex::default(), leftovers: write::Leftovers::default() }
    }

    /// The marks of local files.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// The files that a pattern means, in the order of their names: a path or URL, with `*` for several, or a folder ending in
    /// `/`, of which `wanted` says which files count.
    pub async fn list(&self, pattern: &str, wanted: fn(&str) -> bool) -> Result<Vec<File>, StoreError> {
        match s3_parts(pattern) {
            Some((bucket, key)) => self.list_s3(bucket, key, wanted).await,
            None => list_local(local_path(pattern), wanted),
        }
    }

    /// The same from where nothing can be awaited.
    pub fn list_now(&self, pattern: &str, wanted: fn(&str) -> bool) -> Result<Vec<File>, StoreError> {
        if s3_parts(pattern).is_none() {
            return list_local(local_path(pattern), wanted);
        }
        alone(pattern, async |stores: &Self| stores.list(pattern, wanted).await)
    }

    /// The whole of a small file, from where nothing can be awaited; none where there is no such file.
    pub fn whole_now(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        alone(name, async |stores: &Self| stores.whole(name).await)
    }

    /// A copy of a file of S3 in a folder of this machine, fetched where it is not there; from where nothing can be awaited.
    pub fn copy_now(&self, file: &File, folder: &Path) -> Result<PathBuf, StoreError> {
        let Some((bucket, key)) = s3_parts(&file.name) else { return Ok(local_path(&file.name).to_owned()) };
        let (above, name) = key.rsplit_once('/').unwrap_or(("", key));
        let states = folder.join(bucket).join(above);
        let state: String = file.mark.as_deref().unwrap_or("unmarked").chars().filter(|c| *c != '/').collect();
        let path = states.join(format!(".{name}-{state}")).join(name);
        if path.is_file() {
            return Ok(path);
        }
        alone(&file.name, async |stores: &Self| {
            let mut bytes = stores.open(&file.name).await?;
            let place = path.clone();
            let copied = tokio::task::spawn_blocking(move || read::copy(&mut *bytes, &place)).await;
            let copied = copied.unwrap_or_else(|error| Err(std::io::Error::other(error)));
            copied.map_err(|error| read::of_read(&file.name, &error))
        })?;
        forget_others(&states, name, &state);
        Ok(path)
    }

    async fn list_s3(&self, bucket: &str, key: &str, wanted: fn(&str) -> bool) -> Result<Vec<File>, StoreError> {
        let url = |key: &str| format!("s3://{bucket}/{key}");
        let store = self.bucket(bucket).await?;
        let file = |meta: &object_store::ObjectMeta| File {
            name: url(meta.location.as_ref()),
            bytes: meta.size,
            mark: Some(match &meta.e_tag {
                Some(tag) => format!("{}-{}", tag.trim_matches('"'), meta.size),
                None => format!("{}-{}", meta.last_modified.timestamp_micros(), meta.size),
            }),
        };
        let is_pattern = key.contains(['*', '?', '[']);
        if !is_pattern && !key.ends_with('/') && !key.is_empty() {
            return match store.head(&s3_key(key)?).await {
                Ok(meta) => Ok(vec![file(&meta)]),
                Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
                Err(error) => Err(s3::explained("read", &url(key), &error)),
            };
        }
        let pattern = glob::Pattern::new(key)
            .map_err(|error| StoreError::new(Kind::Other, format!("`{}` is no pattern: {error}", url(key))))?;
        let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::default() };
        let fixed = key.find(['*', '?', '[']).map_or(key, |at| &key[..at]);
        let folder = fixed.rsplit_once('/').map_or("", |(folder, _)| folder);
        let prefix = if folder.is_empty() { None } else { Some(s3_key(folder)?) };
        let listed: Vec<object_store::ObjectMeta> = store
            .list(prefix.as_ref())
            .try_collect()
            .await
            .map_err(|error| s3::explained("list", &url(key), &error))?;
        let chosen = |meta: &&object_store::ObjectMeta| {
            let found = meta.location.as_ref();
            if is_pattern {
                return pattern.matches_with(found, options);
            }
            found.strip_prefix(key).is_some_and(|name| !name.contains('/') && wanted(name))
        };
        let mut files: Vec<File> = listed.iter().filter(chosen).map(file).collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// The bucket as an object store, for who reads it by other means.
    pub async fn bucket(&self, bucket: &str) -> Result<Arc<dyn ObjectStore>, StoreError> {
        if let Some(store) = self.buckets.lock().unwrap_or_else(PoisonError::into_inner).get(bucket) {
            return Ok(store.clone());
        }
        let store = s3::connect(bucket).await?;
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner).insert(bucket.to_owned(), store.clone());
        Ok(store)
    }

    /// The whole of a small file; none where there is no such file.
    pub async fn whole(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let Some((bucket, key)) = s3_parts(name) else {
            return match std::fs::read(local_path(name)) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(StoreError::of_io("read", local_path(name), &error)),
            };
        };
        let store = self.bucket(bucket).await?;
        let wrong = |error: &object_store::Error| s3::explained("read", name, error);
        match store.get(&s3_key(key)?).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(|error| wrong(&error))?.to_vec())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(wrong(&error)),
        }
    }

    /// Removes a file; that it is gone already is no error.
    pub async fn remove(&self, name: &str) -> Result<(), StoreError> {
        let Some((bucket, key)) = s3_parts(name) else {
            return match std::fs::remove_file(local_path(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(StoreError::of_io("remove", local_path(name), &error))
                }
                _ => Ok(()),
            };
        };
        match self.bucket(bucket).await?.delete(&s3_key(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(s3::explained("remove", name, &error)),
        }
    }

    /// The files under a folder, in folders of it too, by what follows the folder in their names.
    pub async fn under(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let Some((bucket, key)) = s3_parts(folder) else { return Ok(local_under(local_path(folder))) };
        let store = self.bucket(bucket).await?;
        let prefix = if key.is_empty() { None } else { Some(s3_key(key.trim_end_matches('/'))?) };
        let listed: Vec<object_store::ObjectMeta> =
            store.list(prefix.as_ref()).try_collect().await.map_err(|error| s3::explained("list", folder, &error))?;
        let names = listed.iter().filter_map(|meta| meta.location.as_ref().strip_prefix(key));
        Ok(names.map(str::to_owned).collect())
    }

    /// Aborts the uploads that were begun and let go of, so that nothing is left of them.
    pub async fn close(&self) {
        for mut upload in self.leftovers.take() {
            abort(&mut *upload).await;
        }
    }
}

/// Does something on a thread and with connections of its own: those that others use belong to the runtime they were made in.
fn alone<T: Send>(
    about: &str,
    work: impl AsyncFnOnce(&Stores) -> Result<T, StoreError> + Send,
) -> Result<T, StoreError> {
    let done = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| StoreError::new(Kind::Other, error.to_string()))?;
            runtime.block_on(work(&Stores::default()))
        });
        thread.join()
    });
    done.unwrap_or_else(|_| Err(StoreError::new(Kind::Other, format!("`{about}` could not be looked at"))))
}

/// Removes the copies of earlier states of a file; what cannot be removed only takes room.
fn forget_others(states: &Path, name: &str, state: &str) {
    let (start, keep) = (format!(".{name}-"), format!(".{name}-{state}"));
    for entry in std::fs::read_dir(states).into_iter().flatten().flatten() {
        let found = entry.file_name().to_string_lossy().into_owned();
        if found.starts_with(&start) && found != keep {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// What cannot be aborted is not visible, and goes by the bucket's rule for incomplete uploads.
async fn abort(upload: &mut dyn MultipartUpload) {
    if let Err(error) = upload.abort().await {
        tracing::warn!(%error, "an upload could not be aborted");
    }
}

/// The bucket and key of an S3 URL.
pub fn s3_parts(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("s3://")?;
    Some(rest.split_once('/').unwrap_or((rest, "")))
}

fn s3_key(key: &str) -> Result<Key, StoreError> {
    Key::parse(key).map_err(|error| StoreError::new(Kind::Other, format!("`{key}` is no key of S3: {error}")))
}

/// A local path, as a path or as a `file://` URL.
pub fn local_path(name: &str) -> &Path {
    Path::new(name.strip_prefix("file://").unwrap_or(name))
}

/// A path from a folder made absolute; a URL as it is.
pub fn absolute(root: &Path, name: &str) -> String {
    if name.contains("://") { name.to_owned() } else { root.join(name).to_string_lossy().into_owned() }
}

fn list_local(pattern: &Path, wanted: fn(&str) -> bool) -> Result<Vec<File>, StoreError> {
    let text = pattern.to_string_lossy();
    let paths = if text.ends_with('/') {
        let mut paths = listed(pattern)?;
        paths.retain(|path| path.file_name().is_some_and(|name| wanted(&name.to_string_lossy())));
        paths
    } else if text.contains(['*', '?', '[']) && !pattern.exists() {
        matching(&text)?
    } else {
        vec![pattern.to_owned()]
    };
    let mut files = Vec::new();
    for path in paths {
        match std::fs::metadata(&path) {
            Ok(found) if found.is_file() => {
                files.push(File { name: path.to_string_lossy().into_owned(), bytes: found.len(), mark: None });
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::of_io("read", &path, &error)),
        }
    }
    Ok(files)
}

fn matching(pattern: &str) -> Result<Vec<PathBuf>, StoreError> {
    let wrong = |error: &dyn std::fmt::Display| {
        StoreError::new(Kind::Other, format!("`{pattern}` cannot be searched: {error}"))
    };
    let mut paths = Vec::new();
    for path in glob::glob(pattern).map_err(|error| wrong(&error))? {
        paths.push(path.map_err(|error| wrong(&error))?);
    }
    Ok(paths)
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = std::fs::read_dir(folder).map_err(|error| StoreError::of_io("read", folder, &error))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(|error| StoreError::of_io("read", folder, &error))?.path());
    }
    paths.sort();
    Ok(paths)
}

/// What cannot be read is not ours.
fn local_under(folder: &Path) -> Vec<String> {
    let (mut folders, mut names) = (vec![folder.to_owned()], Vec::new());
    while let Some(inner) = folders.pop() {
        for entry in std::fs::read_dir(&inner).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => {
                    let path = entry.path();
                    names.extend(path.strip_prefix(folder).ok().map(|name| name.to_string_lossy().into_owned()));
                }
                _ => {}
            }
        }
    }
    names.sort();
    names
}
