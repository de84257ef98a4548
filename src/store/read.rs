//! Files as streams of bytes, unpacked on the way. The readers block, and are for threads that may.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use futures::StreamExt;
use object_store::ObjectStoreExt;
use tokio::sync::mpsc;

use super::{Kind, StoreError, Stores, local_path, s3, s3_key, s3_parts};
use crate::job::file::Compression;

/// A file's bytes, unpacked, after the mark of their encoding.
pub type Unpacked = BufReader<Box<dyn Read + Send>>;

/// Pieces that a download may be ahead of its reader.
const AHEAD: usize = 4;

impl Stores {
    /// A file's bytes as they come. Reading them blocks, and for a file in S3 it must not happen on an asynchronous thread.
    pub async fn open(&self, name: &str) -> Result<Box<dyn Read + Send>, StoreError> {
        let Some((bucket, key)) = s3_parts(name) else {
            let file = File::open(local_path(name));
            return match file {
                Ok(file) => Ok(Box::new(file)),
                Err(error) => Err(StoreError::of_io("read", local_path(name), &error)),
            };
        };
        let store = self.bucket(bucket).await?;
        let found = store.get(&s3_key(key)?).await.map_err(|error| s3::explained("read", name, &error))?;
        let (sender, receiver) = mpsc::channel(AHEAD);
        let (mut pieces, name) = (found.into_stream(), name.to_owned());
        tokio::spawn(async move {
            while let Some(piece) = pieces.next().await {
                let piece = piece.map(|bytes| bytes.to_vec()).map_err(|error| s3::explained("read", &name, &error));
                if sender.send(piece).await.is_err() {
                    return;
                }
            }
        });
        Ok(Box::new(Download { pieces: receiver, piece: Vec::new(), at: 0 }))
    }
}

/// A download, piece by piece.
struct Download {
    pieces: mpsc::Receiver<Result<Vec<u8>, StoreError>>,
    piece: Vec<u8>,
    at: usize,
}

impl Read for Download {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.at == self.piece.len() {
            match self.pieces.blocking_recv() {
                Some(Ok(piece)) => (self.piece, self.at) = (piece, 0),
                Some(Err(error)) => return Err(std::io::Error::other(error)),
                None => return Ok(0),
            }
        }
        let left = &self.piece[self.at..];
        let taken = left.len().min(out.len());
        out[..taken].copy_from_slice(&left[..taken]);
        self.at += taken;
        Ok(taken)
    }
}

/// The bytes unpacked, and without the mark of UTF-8 that they may begin with.
pub fn unpacked(bytes: Box<dyn Read + Send>, packed: Compression) -> std::io::Result<Unpacked> {
    let bytes: Box<dyn Read + Send> = match packed {
        Compression::None => bytes,
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(bytes))),
        Compression::Zstd => Box::new(zstd::Decoder::new(bytes)?),
    };
    let mut reader = BufReader::with_capacity(1 << 18, bytes);
    if reader.fill_buf()?.starts_with(b"\xEF\xBB\xBF") {
        reader.consume(3);
    }
    Ok(reader)
}

/// Writes bytes to a file that appears when they are all there.
pub(super) fn copy(bytes: &mut dyn Read, path: &std::path::Path) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder)?;
    let aside = folder.join(format!(".{}.tmp", std::process::id()));
    let copied = std::io::copy(bytes, &mut File::create(&aside)?).and_then(|_| std::fs::rename(&aside, path));
    if copied.is_err() {
        let _ = std::fs::remove_file(&aside);
    }
    copied
}

/// What went wrong in reading a file, as the store tells it.
pub fn of_read(name: &str, error: &std::io::Error) -> StoreError {
    let known = error.get_ref().and_then(|inner| inner.downcast_ref::<StoreError>());
    match known {
        Some(known) => known.clone(),
        None if s3_parts(name).is_some() => StoreError::new(Kind::Other, format!("cannot read `{name}`: {error}")),
        None => StoreError::of_io("read", local_path(name), error),
    }
}
