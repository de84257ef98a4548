//! One Parquet file being written: the columns of a row group are encoded side by side, on all cores.

use std::path::Path;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowLeafColumn, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use rayon::prelude::*;

use super::Error;
use super::disk::Output;

/// Rows of a row group.
const GROUP_ROWS: u64 = 1 << 20;

/// Rows that are waited for before they are encoded. Columns take different times: the more rows, the less often those that
/// are done wait for the others.
const WAITING_ROWS: u64 = 1 << 18;

/// Fewer rows are not worth sharing the columns out.
const SHARED_ROWS: u64 = 1 << 15;

/// The file, and what of it is not written yet.
pub(super) struct Part {
    file: SerializedFileWriter<Output>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    /// The row group that is being encoded, by leaf column; none between row groups.
    columns: Vec<ArrowColumnWriter>,
    group_rows: u64,
    waiting: Vec<RecordBatch>,
    waiting_rows: u64,
    rows: u64,
}

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
        let (columns, waiting) = Default::default();
        Ok(Self { file, factory, schema: schema.clone(), columns, group_rows: 0, waiting, waiting_rows: 0, rows: 0 })
    }

    /// How many rows it has been given.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds rows.
    pub(super) fn write(&mut self, path: &Path, batch: RecordBatch) -> Result<(), Error> {
        let rows = batch.num_rows() as u64;
        self.rows += rows;
        self.waiting_rows += rows;
        self.waiting.push(batch);
        if self.waiting_rows >= WAITING_ROWS {
            self.encode().map_err(|error| failed(path, error))?;
        }
        if self.group_rows >= GROUP_ROWS {
            self.close_group().map_err(|error| failed(path, error))?;
        }
        Ok(())
    }

    /// Writes what is left and the end, and gives the file.
    pub(super) fn finish(mut self, path: &Path) -> Result<Output, Error> {
        let closed = self.encode().and_then(|()| self.close_group()).and_then(|()| self.file.into_inner());
        closed.map_err(|error| failed(path, error))
    }

    fn encode(&mut self) -> Result<(), ParquetError> {
        if self.waiting_rows == 0 {
            return Ok(());
        }
        if self.columns.is_empty() {
            self.columns = self.factory.create_column_writers(self.file.flushed_row_groups().len())?;
        }
        let mut leaves: Vec<Vec<ArrowLeafColumn>> = self.columns.iter().map(|_| Vec::new()).collect();
        for batch in self.waiting.drain(..) {
            let mut places = leaves.iter_mut();
            for (field, array) in self.schema.fields().iter().zip(batch.columns()) {
                let columns = compute_leaves(field, array)?.into_iter();
                columns.zip(&mut places).for_each(|(leaf, place)| place.push(leaf));
            }
        }
        let write = |(column, leaves): (&mut ArrowColumnWriter, Vec<ArrowLeafColumn>)| {
            leaves.iter().try_for_each(|leaf| column.write(leaf))
        };
        if self.waiting_rows < SHARED_ROWS {
            self.columns.iter_mut().zip(leaves).try_for_each(write)?;
        } else {
            self.columns.par_iter_mut().zip(leaves).with_max_len(1).try_for_each(write)?;
        }
        self.group_rows += std::mem::take(&mut self.waiting_rows);
        Ok(())
    }

    fn close_group(&mut self) -> Result<(), ParquetError> {
        let rows = std::mem::take(&mut self.group_rows);
        let columns = std::mem::take(&mut self.columns);
        if columns.is_empty() {
            return Ok(());
        }
        let chunks: Vec<_> = if rows < SHARED_ROWS {
            columns.into_iter().map(ArrowColumnWriter::close).collect::<Result<_, _>>()?
        } else {
            columns.into_par_iter().with_max_len(1).map(ArrowColumnWriter::close).collect::<Result<_, _>>()?
        };
        let mut group = self.file.next_row_group()?;
        chunks.into_iter().try_for_each(|chunk| chunk.append_to_row_group(&mut group))?;
        group.close().map(|_| ())
    }
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
