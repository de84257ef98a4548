//! Files written aside: all their bytes are at the place they go to, and nobody sees them until they are shown. What is not
//! shown is removed.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use object_store::path::Path as Key;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use tokio::task::JoinSet;

use super::{Kind, StoreError, Stores, abort, local_path, s3, s3_key, s3_parts};

/// The bytes of one part of an upload; S3 takes no less than 5 MiB.
const PART: usize = 8 << 20;
/// Parts of one file on their way at once.
const AT_ONCE: usize = 4;
/// The start of the names of folders for what is written aside.
const ASIDE: &str = ".pipe-";
/// File that its process holds locked in a folder of files written aside: where it is free, the folder belongs to nobody.
const OWNER: &str = "owner";

/// Uploads that were begun and let go of, to be aborted.
#[derive(Clone, Default)]
pub(super) struct Leftovers(Arc<Mutex<Vec<Box<dyn MultipartUpload>>>>);

impl Leftovers {
    fn add(&self, upload: Box<dyn MultipartUpload>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(upload);
    }

    pub(super) fn take(&self) -> Vec<Box<dyn MultipartUpload>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A folder whose files are being written aside.
pub enum Aside {
    /// On a disk of this machine: a hidden folder beside them, with its lock.
    Local {
        /// The folder that the files are for.
        folder: PathBuf,
        /// The hidden one.
        hidden: PathBuf,
        /// Its lock, held as long as this.
        owner: File,
    },
    /// In S3, where an upload is not seen until it is complete.
    S3 {
        /// The bucket.
        store: Arc<dyn ObjectStore>,
        /// The folder's URL, with its last `/`.
        url: String,
        /// Where uploads go that are let go of.
        leftovers: Arc<dyn Fn(Box<dyn MultipartUpload>) + Send + Sync>,
    },
}

/// One file that is being written aside.
pub struct Upload {
    name: String,
    to: To,
}

enum To {
    /// The file is open until all its bytes are there.
    Local {
        file: Option<File>,
        hidden: PathBuf,
        path: PathBuf,
    },
    S3(Box<Remote>),
}

struct Remote {
    store: Arc<dyn ObjectStore>,
    key: Key,
    url: String,
    buffer: Vec<u8>,
    upload: Option<Box<dyn MultipartUpload>>,
    parts: JoinSet<Result<(), object_store::Error>>,
    leftovers: Arc<dyn Fn(Box<dyn MultipartUpload>) + Send + Sync>,
}

impl Stores {
    /// Begins to write files for a folder; `tag` tells this attempt from others.
    pub async fn aside(&self, folder: &str, tag: &str) -> Result<Aside, StoreError> {
        if let Some((bucket, _)) = s3_parts(folder) {
            let (store, leftovers) = (self.bucket(bucket).await?, self.leftovers.clone());
            let leftovers = Arc::new(move |upload| leftovers.add(upload));
            return Ok(Aside::S3 { store, url: folder.to_owned(), leftovers });
        }
        let folder = local_path(folder).to_owned();
        fs::create_dir_all(&folder).map_err(|error| StoreError::of_io("make", &folder, &error))?;
        clean(&folder);
        let hidden = folder.join(format!("{ASIDE}{tag}"));
        let made = fs::create_dir_all(&hidden).and_then(|()| {
            let owner = File::create(hidden.join(OWNER))?;
            owner.lock()?;
            Ok(owner)
        });
        let owner = made.map_err(|error| StoreError::of_io("make", &hidden, &error))?;
        Ok(Aside::Local { folder, hidden, owner })
    }
}

/// Removes what runs that died left aside in a folder.
fn clean(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if !entry.file_name().to_string_lossy().starts_with(ASIDE) {
            continue;
        }
        let free = File::open(path.join(OWNER)).is_ok_and(|owner| owner.try_lock().is_ok());
        if free && let Err(error) = fs::remove_dir_all(&path) {
            tracing::warn!(path = %path.display(), %error, "what an earlier run left aside could not be removed");
        }
    }
}

impl Aside {
    /// Begins a file of the folder; its name may have folders in it.
    pub fn begin(&self, name: &str) -> Result<Upload, StoreError> {
        let to = match self {
            Self::Local { folder, hidden, .. } => {
                let aside = hidden.join(name);
                let made = aside.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| File::create(&aside));
                let file = made.map_err(|error| StoreError::of_io("write", &aside, &error))?;
                To::Local { file: Some(file), hidden: aside, path: folder.join(name) }
            }
            Self::S3 { store, url, leftovers } => {
                let url = format!("{url}{name}");
                let key = s3_key(s3_parts(&url).map_or("", |(_, key)| key))?;
                To::S3(Box::new(Remote {
                    store: store.clone(),
                    key,
                    url,
                    buffer: Vec::new(),
                    upload: None,
                    parts: JoinSet::new(),
                    leftovers: leftovers.clone(),
                }))
            }
        };
        Ok(Upload { name: name.to_owned(), to })
    }
}

impl Drop for Aside {
    /// What is written aside goes with it, and so does the folder where nothing ever came into it.
    fn drop(&mut self) {
        if let Self::Local { folder, hidden, .. } = self {
            if let Err(error) = fs::remove_dir_all(&hidden) {
                tracing::debug!(path = %hidden.display(), %error, "files aside are left for the next export");
            }
            let _ = fs::remove_dir(folder);
        }
    }
}

impl Upload {
    /// Its name in the folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        match &mut self.to {
            To::Local { file, hidden, .. } => {
                let written = file.as_mut().map_or(Ok(()), |file| file.write_all(bytes));
                written.map_err(|error| StoreError::of_io("write", hidden, &error))
            }
            To::S3(remote) => remote.write(bytes).await,
        }
    }

    /// Sees to it that all bytes are there.
    pub async fn close(&mut self) -> Result<(), StoreError> {
        match &mut self.to {
            To::Local { file, hidden, .. } => {
                let synced = file.take().map_or(Ok(()), |file| file.sync_all());
                synced.map_err(|error| StoreError::of_io("write", hidden, &error))
            }
            To::S3(remote) => remote.close().await,
        }
    }

    /// Makes the file visible under its name, whole.
    pub async fn show(self) -> Result<(), StoreError> {
        match self.to {
            To::Local { hidden, path, .. } => {
                let parent = path.parent().unwrap_or(&path);
                let shown = fs::create_dir_all(parent).and_then(|()| fs::rename(&hidden, &path));
                // The name is on the disk when its folder is.
                let shown = shown.and_then(|()| File::open(parent)?.sync_all());
                shown.map_err(|error| StoreError::of_io("write", &path, &error))
            }
            To::S3(mut remote) => remote.show().await,
        }
    }
}

impl Remote {
    fn wrong(&self, error: &object_store::Error) -> StoreError {
        s3::explained("write", &self.url, error)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.buffer.extend_from_slice(bytes);
        while self.buffer.len() >= PART {
            let rest = self.buffer.split_off(PART);
            let part = std::mem::replace(&mut self.buffer, rest);
            self.send(part).await?;
        }
        Ok(())
    }

    async fn send(&mut self, part: Vec<u8>) -> Result<(), StoreError> {
        while self.parts.len() >= AT_ONCE {
            self.sent().await?;
        }
        let upload = match &mut self.upload {
            Some(upload) => upload,
            None => {
                let begun = self.store.put_multipart(&self.key).await;
                let begun = begun.map_err(|error| s3::explained("write", &self.url, &error))?;
                self.upload.insert(begun)
            }
        };
        self.parts.spawn(upload.put_part(PutPayload::from(part)));
        Ok(())
    }

    /// Waits until one part is there.
    async fn sent(&mut self) -> Result<(), StoreError> {
        match self.parts.join_next().await {
            Some(Ok(Err(error))) => Err(self.wrong(&error)),
            Some(Err(error)) => Err(StoreError::new(Kind::Other, format!("an upload stopped: {error}"))),
            Some(Ok(Ok(()))) | None => Ok(()),
        }
    }

    /// A file smaller than a part is kept here until it is shown, since it then takes one request.
    async fn close(&mut self) -> Result<(), StoreError> {
        if self.upload.is_some() && !self.buffer.is_empty() {
            let part = std::mem::take(&mut self.buffer);
            self.send(part).await?;
        }
        while !self.parts.is_empty() {
            self.sent().await?;
        }
        Ok(())
    }

    async fn show(&mut self) -> Result<(), StoreError> {
        let done = match &mut self.upload {
            Some(upload) => upload.complete().await.map(drop),
            None => {
                let whole = PutPayload::from(std::mem::take(&mut self.buffer));
                self.store.put(&self.key, whole).await.map(drop)
            }
        };
        done.map_err(|error| self.wrong(&error))?;
        self.upload = None;
        Ok(())
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            (self.leftovers)(upload);
        }
    }
}

impl Upload {
    /// Takes back what is there.
    pub async fn abort(mut self) {
        if let To::S3(remote) = &mut self.to {
            remote.parts.shutdown().await;
            if let Some(mut upload) = remote.upload.take() {
                abort(&mut *upload).await;
            }
        }
    }
}
