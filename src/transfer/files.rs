//! Exports to files, local or in S3: written aside, then shown file by file with the manifest last, by which a reader knows
//! that an export is whole. Files of earlier exports go once the new manifest is there.

use std::collections::BTreeSet;

use datafusion::arrow::array::{Array, RecordBatch};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::cell::as_texts;
use super::encode::{Encoder, Shape};
use super::{Errand, stopped};
use crate::backend::{BackendError, Remedy, Rows};
use crate::job::export::Files;
use crate::job::file::{Compression, Format};
use crate::plan::PlannedStep;
use crate::store::{Aside, StoreError, Stores, Upload};

/// Batches that wait to be encoded, and pieces that wait to be written.
const AHEAD: usize = 4;
/// Bytes that are handed on together.
const PIECE: usize = 1 << 20;
/// Files that are shown at once.
const AT_ONCE: usize = 8;
/// The folder of rows without a value, as Hive names it.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// What stands in a manifest.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Manifest {
    step: String,
    run: String,
    created: String,
    format: String,
    compression: String,
    columns: Vec<ManifestColumn>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    partition_by: Vec<String>,
    rows: u64,
    bytes: u64,
    files: Vec<ManifestFile>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ManifestColumn {
    name: String,
    #[serde(rename = "type")]
    sql_type: String,
}

/// A file of an export, as the manifest lists it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ManifestFile {
    path: String,
    rows: u64,
    bytes: u64,
    sha256: String,
}

/// An export whose files wait aside to be shown.
pub(super) struct StagedFiles {
    folder: String,
    manifest_name: String,
    prefix: String,
    manifest: Manifest,
    uploads: Vec<Upload>,
    aside: Aside,
}

/// Writes the rows aside.
pub(super) async fn stage(
    stores: &Stores,
    folder: String,
    files: &Files,
    step: &PlannedStep,
    names: &[String],
    rows: Rows,
    errand: &Errand,
) -> Result<StagedFiles, BackendError> {
    let aside = stores.aside(&folder, &format!("{}-{}", errand.run, step.id)).await?;
    let cutter = Cutter::new(files, step, names, &errand.run);
    let manifest = Manifest {
        step: step.id.to_string(),
        run: errand.run.clone(),
        created: errand.at.clone(),
        format: files.format.word().to_owned(),
        compression: files.compression.word().to_owned(),
        columns: names
            .iter()
            .zip(&step.columns)
            .map(|(name, column)| ManifestColumn { name: name.clone(), sql_type: column.sql_type.to_string() })
            .collect(),
        partition_by: cutter.by.iter().map(|(_, name)| name.clone()).collect(),
        rows: 0,
        bytes: 0,
        files: Vec::new(),
    };
    let (manifest_name, prefix) = (files.manifest.clone(), files.prefix.clone());
    let mut staged = StagedFiles { folder, manifest_name, prefix, manifest, uploads: Vec::new(), aside };
    match staged.write(cutter, rows).await {
        Ok(()) => Ok(staged),
        Err(error) => {
            staged.abort().await;
            Err(error)
        }
    }
}

impl StagedFiles {
    /// How many rows it has.
    pub(super) fn rows(&self) -> u64 {
        self.manifest.rows
    }

    /// Encodes on a thread of its own, so that rows are computed, encoded and written at the same time.
    async fn write(&mut self, cutter: Cutter, mut rows: Rows) -> Result<(), BackendError> {
        let (to_encode, batches) = mpsc::channel(AHEAD);
        let (pieces, mut encoded) = mpsc::channel(AHEAD);
        let encoding = tokio::task::spawn_blocking(move || cutter.run(batches, &pieces));
        let feeding = async move {
            while let Some(batch) = rows.next().await {
                // Whoever encodes went away with an error of its own.
                if to_encode.send(batch?).await.is_err() {
                    break;
                }
            }
            Ok::<_, BackendError>(())
        };
        let writing = async {
            while let Some(piece) = encoded.recv().await {
                self.take(piece).await?;
            }
            Ok::<_, BackendError>(())
        };
        tokio::try_join!(feeding, writing)?;
        encoding.await.map_err(|error| stopped(&error))?
    }

    async fn take(&mut self, piece: Piece) -> Result<(), BackendError> {
        match piece {
            Piece::Begin(name) => {
                self.uploads.push(self.aside.begin(&name)?);
                self.manifest.files.push(ManifestFile { path: name, rows: 0, bytes: 0, sha256: String::new() });
            }
            Piece::Bytes(bytes) => {
                if let (Some(upload), Some(file)) = (self.uploads.last_mut(), self.manifest.files.last_mut()) {
                    upload.write(&bytes).await?;
                    file.bytes += bytes.len() as u64;
                }
            }
            Piece::End { rows, sha256 } => {
                if let (Some(upload), Some(file)) = (self.uploads.last_mut(), self.manifest.files.last_mut()) {
                    upload.close().await?;
                    (file.rows, file.sha256) = (rows, sha256);
                    self.manifest.rows += rows;
                    self.manifest.bytes += file.bytes;
                }
            }
        }
        Ok(())
    }

    /// Makes the export visible, and gives the mark by which it is known again.
    pub(super) async fn commit(mut self, stores: &Stores) -> Result<String, BackendError> {
        let before = earlier(stores, &self.folder, &self.manifest_name).await?;
        let text =
            serde_json::to_string_pretty(&self.manifest).map_err(|error| BackendError::author(error.to_string()))?;
        let shown = self.show(&text).await;
        if let Err(error) = shown {
            take_back(stores, &self.folder, &self.manifest).await;
            return Err(error.into());
        }
        let removed = remove_others(stores, &self.folder, &self.prefix, &self.manifest, before).await;
        removed.map_err(|error| BackendError {
            message: format!("the export is there, but files of an earlier one beside it are too: {error}"),
            ..error.into()
        })?;
        Ok(mark(text.as_bytes()))
    }

    async fn show(&mut self, manifest: &str) -> Result<(), StoreError> {
        let shown = futures::stream::iter(self.uploads.drain(..).map(Upload::show)).buffer_unordered(AT_ONCE);
        let shown: Vec<Result<(), StoreError>> = shown.collect().await;
        shown.into_iter().collect::<Result<(), _>>()?;
        let mut upload = self.aside.begin(&self.manifest_name)?;
        upload.write(manifest.as_bytes()).await?;
        upload.close().await?;
        upload.show().await
    }

    /// Takes everything back.
    pub(super) async fn abort(self) {
        for upload in self.uploads {
            upload.abort().await;
        }
    }
}

/// Removes what was shown of an export that did not become whole.
async fn take_back(stores: &Stores, folder: &str, manifest: &Manifest) {
    for file in &manifest.files {
        if let Err(error) = stores.remove(&format!("{folder}{}", file.path)).await {
            tracing::warn!(%error, "a file of an export that failed is left");
        }
    }
}

/// Removes the files of the earlier export, and those that a run left that died while it showed its own.
async fn remove_others(
    stores: &Stores,
    folder: &str,
    prefix: &str,
    manifest: &Manifest,
    earlier: Vec<String>,
) -> Result<(), StoreError> {
    let ours: BTreeSet<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
    let found = stores.under(folder).await?;
    let others: BTreeSet<&String> = found
        .iter()
        .filter(|name| !ours.contains(name.as_str()))
        .filter(|name| earlier.contains(name) || is_named_by_us(name, prefix))
        .collect();
    for name in others {
        stores.remove(&format!("{folder}{name}")).await?;
    }
    Ok(())
}

/// The files that the manifest there lists; none where there is no manifest that we can read.
async fn earlier(stores: &Stores, folder: &str, manifest: &str) -> Result<Vec<String>, StoreError> {
    let Some(text) = stores.whole(&format!("{folder}{manifest}")).await? else { return Ok(Vec::new()) };
    let read = serde_json::from_slice::<Manifest>(&text);
    Ok(read.map(|manifest| manifest.files.into_iter().map(|file| file.path).collect()).unwrap_or_default())
}

/// The mark of the export that is there now; none where there is none.
pub(super) fn present(stores: &Stores, folder: &str, files: &Files) -> Result<Option<String>, StoreError> {
    let text = stores.whole_now(&format!("{folder}{}", files.manifest))?;
    Ok(text.map(|text| mark(&text)))
}

fn mark(manifest: &[u8]) -> String {
    hex::encode(&Sha256::digest(manifest)[..12])
}

/// Whether a name is one that [`Cutter::name`] gives: prefix, number, run, extension.
fn is_named_by_us(name: &str, prefix: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    let Some(rest) = file.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-')) else { return false };
    let stem = rest.split('.').next().unwrap_or(rest);
    let parts: Vec<&str> = stem.split('-').collect();
    let digits = |text: &str, count: usize| text.len() >= count && text.bytes().all(|byte| byte.is_ascii_digit());
    let hex = |text: &str| text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    Format::of(file).is_some()
        && matches!(parts.as_slice(), [number, day, time, process]
            if digits(number, 5) && digits(day, 8) && digits(time, 9) && hex(process))
}

/// What comes out of encoding.
enum Piece {
    Begin(String),
    Bytes(Vec<u8>),
    End { rows: u64, sha256: String },
}

/// Cuts rows into files.
struct Cutter {
    shape: Shape,
    max_rows: Option<u64>,
    prefix: String,
    ending: String,
    /// The columns that become folders, with their names.
    by: Vec<(usize, String)>,
    /// The others.
    kept: Vec<usize>,
    next: usize,
    open: Option<Open>,
}

struct Open {
    folder: String,
    encoder: Encoder,
    digest: Sha256,
    ready: Vec<u8>,
}

impl Cutter {
    fn new(files: &Files, step: &PlannedStep, names: &[String], run: &str) -> Self {
        let is_folder =
            |at: usize| files.partition_by.iter().any(|by| step.columns.get(at).is_some_and(|c| c.name == by.value));
        let place = |by: &crate::name::Name| step.columns.iter().position(|column| column.name == *by);
        let by = files.partition_by.iter().filter_map(|by| place(&by.value));
        let by: Vec<(usize, String)> = by.map(|at| (at, names[at].clone())).collect();
        let kept: Vec<usize> = (0..step.columns.len()).filter(|at| !is_folder(*at)).collect();
        let fields: Vec<_> = kept.iter().map(|at| step.schema.field(*at).clone()).collect();
        let shape = Shape {
            format: files.format,
            compression: files.compression,
            csv: files.csv.clone(),
            schema: std::sync::Arc::new(datafusion::arrow::datatypes::Schema::new(fields)),
            names: kept.iter().map(|at| names[*at].clone()).collect(),
            max_bytes: files.max_bytes,
        };
        let ending = format!("{run}.{}", ending(files.format, files.compression));
        Self { shape, max_rows: files.max_rows, prefix: files.prefix.clone(), ending, by, kept, next: 0, open: None }
    }

    fn run(
        mut self,
        mut batches: mpsc::Receiver<RecordBatch>,
        pieces: &mpsc::Sender<Piece>,
    ) -> Result<(), BackendError> {
        while let Some(batch) = batches.blocking_recv() {
            for (folder, rows) in self.divided(&batch)? {
                self.add(&folder, rows, pieces)?;
            }
        }
        if self.next == 0 && self.by.is_empty() {
            self.begin(String::new(), pieces)?;
        }
        self.end(pieces)
    }

    /// The rows of a batch by folder, in their order.
    fn divided(&self, batch: &RecordBatch) -> Result<Vec<(String, RecordBatch)>, BackendError> {
        let rows = batch.project(&self.kept).map_err(|error| BackendError::author(error.to_string()))?;
        if self.by.is_empty() {
            return Ok(vec![(String::new(), rows)]);
        }
        let mut columns = Vec::new();
        for (at, name) in &self.by {
            columns.push((name, as_texts(batch.column(*at))?));
        }
        let mut parts: Vec<(String, usize)> = Vec::new();
        for row in 0..batch.num_rows() {
            let mut folder = String::new();
            for (name, texts) in &columns {
                let value = if texts.is_null(row) { None } else { Some(texts.value(row)) };
                folder.push_str(&format!("{}={}/", escaped(name), folder_value(name, value)?));
            }
            match parts.last_mut() {
                Some((last, count)) if *last == folder => *count += 1,
                _ => parts.push((folder, 1)),
            }
        }
        let mut start = 0;
        let slice = |(folder, count): (String, usize)| {
            let part = rows.slice(start, count);
            start += count;
            (folder, part)
        };
        Ok(parts.into_iter().map(slice).collect())
    }

    fn add(&mut self, folder: &str, mut rows: RecordBatch, pieces: &mpsc::Sender<Piece>) -> Result<(), BackendError> {
        while rows.num_rows() > 0 {
            if self.open.as_ref().is_some_and(|open| open.folder != folder) {
                self.end(pieces)?;
                self.next = 0;
            }
            if self.open.is_none() {
                self.begin(folder.to_owned(), pieces)?;
            }
            let Some(open) = &mut self.open else { return Ok(()) };
            let room = self.max_rows.map_or(u64::MAX, |most| most.saturating_sub(open.encoder.rows()));
            let some = rows.num_rows().min(usize::try_from(room).unwrap_or(usize::MAX));
            let added = if some == 0 { 0 } else { open.encoder.add(&rows.slice(0, some))? };
            if added == 0 {
                self.end(pieces)?;
                continue;
            }
            open.hand_on(pieces, PIECE)?;
            rows = rows.slice(added, rows.num_rows() - added);
        }
        Ok(())
    }

    fn begin(&mut self, folder: String, pieces: &mpsc::Sender<Piece>) -> Result<(), BackendError> {
        let name = format!("{folder}{}-{:05}-{}", self.prefix, self.next, self.ending);
        self.next += 1;
        send(pieces, Piece::Begin(name))?;
        let encoder = Encoder::begin(&self.shape)?;
        self.open = Some(Open { folder, encoder, digest: Sha256::new(), ready: Vec::new() });
        Ok(())
    }

    fn end(&mut self, pieces: &mpsc::Sender<Piece>) -> Result<(), BackendError> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        open.hand_on(pieces, 0)?;
        let rows = open.encoder.rows();
        let last = open.encoder.finish()?;
        open.digest.update(&last);
        send(pieces, Piece::Bytes(last))?;
        send(pieces, Piece::End { rows, sha256: hex::encode(open.digest.finalize()) })
    }
}

impl Open {
    /// Hands on what is ready, once there is enough of it.
    fn hand_on(&mut self, pieces: &mpsc::Sender<Piece>, least: usize) -> Result<(), BackendError> {
        self.ready.append(&mut self.encoder.take());
        if self.ready.len() <= least {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.ready);
        self.digest.update(&bytes);
        send(pieces, Piece::Bytes(bytes))
    }
}

fn send(pieces: &mpsc::Sender<Piece>, piece: Piece) -> Result<(), BackendError> {
    pieces.blocking_send(piece).map_err(|_| BackendError::new(Remedy::Cancelled, "the export was stopped"))
}

/// What follows the name of a file.
fn ending(format: Format, compression: Compression) -> String {
    let word = format.word();
    match (format, compression) {
        (Format::Parquet, _) | (_, Compression::None) => word.to_owned(),
        (_, Compression::Gzip) => format!("{word}.gz"),
        (_, Compression::Zstd) => format!("{word}.zst"),
    }
}

fn folder_value(column: &str, value: Option<&str>) -> Result<String, BackendError> {
    match value {
        None => Ok(NO_VALUE.to_owned()),
        Some("" | NO_VALUE) => {
            let message = format!("column `{column}` has an empty text, which as a folder would be read as NULL");
            Err(BackendError::author(message))
        }
        Some(text) => Ok(escaped(text)),
    }
}

/// A text as the name of a folder: what could be read as something else is written as Hive writes it, `%2F`.
fn escaped(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ' | '+' | '@' | ',') && text != "." && text != ".." {
            name.push(c);
        } else {
            let mut buffer = [0; 4];
            c.encode_utf8(&mut buffer).bytes().for_each(|byte| name.push_str(&format!("%{byte:02X}")));
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_exports_are_taken_for_such() {
        let run = "20261128-161500123-0a1b";
        assert!(is_named_by_us(&format!("country=FR/part-00012-{run}.csv.gz"), "part"));
        for name in ["part-00012.csv", "part-2026-11-01-2000.csv", "parts.csv", "manifest.json"] {
            assert!(!is_named_by_us(name, "part"), "{name}");
        }
        assert!(!is_named_by_us(&format!("other-00012-{run}.csv"), "part"));
    }

    #[test]
    fn folder_names_are_safe() {
        assert_eq!(escaped("a/b=c%é"), "a%2Fb%3Dc%25é");
        assert_eq!(escaped(".."), "%2E%2E");
        assert!(folder_value("c", Some("")).is_err());
    }
}
