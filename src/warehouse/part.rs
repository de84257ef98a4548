//! One Parquet file being written: the columns of its row groups are encoded on all cores, while more rows are given.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowLeafColumn, ArrowRowGroupWriterFactory, compute_leaves,
};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use super::Error;
use super::disk::Output;

/// Rows of a row group.
const GROUP_ROWS: usize = 1 << 18;

/// Bytes in memory after which a row group ends that has fewer rows.
const GROUP_BYTES: usize = 64 << 20;

/// Row groups that are encoded at a time: columns take different times, and no core waits for the slowest of a group.
const GROUPS_AT_A_TIME: usize = 2;

/// Fewer rows are not worth sharing the columns out.
const SHARED_ROWS: usize = 1 << 15;

/// The file, and what of it is not written yet.
pub(super) struct Part {
    file: SerializedFileWriter<Output>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    waiting_bytes: usize,
    /// The row groups that are being encoded, by leaf column.
    encoding: VecDeque<Vec<Receiver<Encoded>>>,
    groups: usize,
    rows: u64,
}

/// What becomes of a column of a row group.
type Encoded = Result<ArrowColumnChunk, ParquetError>;

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Part({} rows)", self.rows)
    }
}

impl Part {
    /// An empty file.
    pub(super) fn create(path: &Path, schema: &SchemaRef) -> Result<Self, Error> {
        let file = Output::create(path).map_err(|error| Error::write(path, error))?;
        let zstd = Compression::ZSTD(ZstdLevel::default());
        let properties = WriterProperties::builder().set_compression(zstd).set_created_by("pipe".to_string()).build();
        let (file, factory) = ArrowWriter::try_new(file, schema.clone(), Some(properties))
            .and_then(ArrowWriter::into_serialized_writer)
            .map_err(|error| failed(path, error))?;
        let (waiting, encoding) = Default::default();
        let schema = schema.clone();
        Ok(Self { file, factory, schema, waiting, waiting_rows: 0, waiting_bytes: 0, encoding, groups: 0, rows: 0 })
    }

    /// How many rows it has been given.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds rows.
    pub(super) fn write(&mut self, path: &Path, batch: RecordBatch) -> Result<(), Error> {
        self.rows += batch.num_rows() as u64;
        self.waiting_rows += batch.num_rows();
        let bytes = |column: &ArrayRef| column.to_data().get_slice_memory_size();
        let bytes = batch.columns().iter().map(bytes).sum::<Result<usize, _>>();
        self.waiting_bytes += bytes.map_err(|error| failed(path, error.into()))?;
        self.waiting.push(batch);
        if self.waiting_rows >= GROUP_ROWS || self.waiting_bytes >= GROUP_BYTES {
            self.encode().map_err(|error| failed(path, error))?;
        }
        Ok(())
    }

    /// Writes what is left and the end, and gives the file.
    pub(super) fn finish(mut self, path: &Path) -> Result<Output, Error> {
        let encoded = self.encode().and_then(|()| self.append(0));
        encoded.and_then(|()| self.file.into_inner()).map_err(|error| failed(path, error))
    }

    /// Encodes what waits as a row group.
    fn encode(&mut self) -> Result<(), ParquetError> {
        let rows = std::mem::take(&mut self.waiting_rows);
        self.waiting_bytes = 0;
        if rows == 0 {
            return Ok(());
        }
        let columns = self.factory.create_column_writers(self.groups)?;
        self.groups += 1;
        let mut leaves: Vec<Vec<ArrowLeafColumn>> = columns.iter().map(|_| Vec::new()).collect();
        for batch in self.waiting.drain(..) {
            let mut places = leaves.iter_mut();
            for (field, array) in self.schema.fields().iter().zip(batch.columns()) {
                let columns = compute_leaves(field, array)?.into_iter();
                columns.zip(&mut places).for_each(|(leaf, place)| place.push(leaf));
            }
        }
        let begin = |(column, leaves): (ArrowColumnWriter, Vec<ArrowLeafColumn>)| {
            let (sender, chunk) = sync_channel(1);
            let work = move || {
                // Without an answer the other side knows that there was a panic; nobody may be waiting for it any more.
                let chunk = catch_unwind(AssertUnwindSafe(|| encoded(column, leaves)));
                chunk.into_iter().for_each(|chunk| drop(sender.send(chunk)));
            };
            if rows < SHARED_ROWS {
                work()
            } else {
                rayon::spawn(work)
            }
            chunk
        };
        self.encoding.push_back(columns.into_iter().zip(leaves).map(begin).collect());
        self.append(GROUPS_AT_A_TIME)
    }

    /// Writes row groups, in order, until so many are left.
    fn append(&mut self, left: usize) -> Result<(), ParquetError> {
        while self.encoding.len() > left
            && let Some(chunks) = self.encoding.pop_front()
        {
            let mut group = self.file.next_row_group()?;
            for chunk in chunks {
                let lost = |_| ParquetError::General("the encoder of a column panicked".to_owned());
                chunk.recv().map_err(lost)??.append_to_row_group(&mut group)?;
            }
            group.close()?;
        }
        Ok(())
    }
}

fn encoded(mut column: ArrowColumnWriter, leaves: Vec<ArrowLeafColumn>) -> Encoded {
    leaves.iter().try_for_each(|leaf| column.write(leaf))?;
    column.close()
}

fn failed(path: &Path, error: ParquetError) -> Error {
    match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(source) => Error::write(path, *source),
            Err(other) => Error::Rows(format!("cannot write `{}`: {other}", path.display())),
        },
        other => Error::Rows(format!("cannot write `{}`: {other}", path.display())),
    }
}
