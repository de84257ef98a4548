//! Rows → the bytes of files: CSV, JSON lines or Parquet, packed, and cut into files that keep to bounds. It knows no place.

use std::io::Write;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression as ParquetCompression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::cell::{Cells, quoted, texts_of};
use crate::backend::{BackendError, Remedy};
use crate::dialect::types::SqlType;
use crate::job::file::{Compression, Csv, Format};

/// Rows that are encoded at once: what is cut is cut between them.
const SLICE: usize = 1024;
/// Rows of a group of Parquet, which is what is held in memory.
const GROUP: usize = 256 * 1024;
/// How hard gzip tries.
const GZIP_LEVEL: u32 = 4;

/// What files hold and how.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) format: Format,
    pub(super) compression: Compression,
    pub(super) csv: Csv,
    /// The columns of the files, as they come.
    pub(super) schema: SchemaRef,
    /// Their names in the files.
    pub(super) names: Vec<String>,
    pub(super) max_bytes: Option<u64>,
}

/// One file in the making: rows go in, bytes come out.
pub(super) struct Encoder {
    rows: u64,
    max_bytes: Option<u64>,
    body: Body,
}

enum Body {
    Text(Box<Text>),
    Parquet(Box<Parquet>),
}

impl Encoder {
    /// Begins a file.
    pub(super) fn begin(shape: &Shape) -> Result<Self, BackendError> {
        let body = match shape.format {
            Format::Parquet => Body::Parquet(Box::new(Parquet::begin(shape)?)),
            Format::Csv | Format::JsonLines => Body::Text(Box::new(Text::begin(shape)?)),
        };
        Ok(Self { rows: 0, max_bytes: shape.max_bytes, body })
    }

    /// The rows it has.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds as many of the rows as the bounds allow, from the first on, and says how many. None is added only where the file
    /// has rows and is full.
    pub(super) fn add(&mut self, rows: &RecordBatch) -> Result<usize, BackendError> {
        let mut size = rows.num_rows().min(SLICE);
        loop {
            let slice = rows.slice(0, size);
            let alone = self.rows == 0 && size == 1;
            let added = match &mut self.body {
                Body::Text(text) => text.add(&slice, self.max_bytes.filter(|_| !alone))?,
                Body::Parquet(parquet) => parquet.add(&slice, self.max_bytes.filter(|_| !alone))?,
            };
            if added {
                self.rows += size as u64;
                return Ok(size);
            }
            // What is nearly full is filled up with less, but not row by row.
            if self.rows > 0 && size <= SLICE / 16 {
                return Ok(0);
            }
            size = (size / 2).max(1);
        }
    }

    /// The bytes that are ready.
    pub(super) fn take(&mut self) -> Vec<u8> {
        match &mut self.body {
            Body::Text(text) => text.packer.take(),
            Body::Parquet(parquet) => parquet.take(),
        }
    }

    /// Ends the file, with its last bytes.
    pub(super) fn finish(self) -> Result<Vec<u8>, BackendError> {
        match self.body {
            Body::Text(text) => text.packer.finish(),
            Body::Parquet(parquet) => parquet.finish(),
        }
    }
}

fn wrong(error: &dyn std::fmt::Display) -> BackendError {
    BackendError::author(format!("rows could not be written: {error}"))
}

/// CSV or JSON lines.
struct Text {
    format: Format,
    csv: Csv,
    names: Vec<String>,
    packer: Packer,
    lines: Vec<u8>,
    scratch: Vec<u8>,
}

impl Text {
    fn begin(shape: &Shape) -> Result<Self, BackendError> {
        let mut text = Self {
            format: shape.format,
            csv: shape.csv.clone(),
            names: shape.names.clone(),
            packer: Packer::begin(shape.compression)?,
            lines: Vec::new(),
            scratch: Vec::new(),
        };
        if text.format == Format::Csv && text.csv.header {
            for at in 0..text.names.len() {
                if at > 0 {
                    text.lines.push(text.csv.delimiter);
                }
                text.scratch.clear();
                text.scratch.extend_from_slice(text.names[at].as_bytes());
                field(&mut text.lines, &text.scratch, &text.csv);
            }
            text.end_line();
            text.packer.write(&text.lines)?;
        }
        for name in &mut text.names {
            let mut key = Vec::new();
            quoted(&mut key, name.as_bytes());
            *name = String::from_utf8_lossy(&key).into_owned();
        }
        Ok(text)
    }

    fn add(&mut self, rows: &RecordBatch, max_bytes: Option<u64>) -> Result<bool, BackendError> {
        let cells: Vec<Cells> = rows.columns().iter().map(Cells::of).collect::<Result<_, _>>()?;
        self.lines.clear();
        for row in 0..rows.num_rows() {
            match self.format {
                Format::Csv => self.csv_line(&cells, row),
                _ => self.json_line(&cells, row),
            }
        }
        if let Some(max_bytes) = max_bytes
            && !self.packer.fits(self.lines.len() as u64, max_bytes)?
        {
            return Ok(false);
        }
        self.packer.write(&self.lines)?;
        Ok(true)
    }

    fn csv_line(&mut self, cells: &[Cells], row: usize) {
        for (at, cell) in cells.iter().enumerate() {
            if at > 0 {
                self.lines.push(self.csv.delimiter);
            }
            if cell.is_null(row) {
                self.lines.extend_from_slice(self.csv.nulls.first().map_or(&[], |null| null.as_bytes()));
                continue;
            }
            self.scratch.clear();
            cell.text(row, &mut self.scratch);
            field(&mut self.lines, &self.scratch, &self.csv);
        }
        self.end_line();
    }

    fn json_line(&mut self, cells: &[Cells], row: usize) {
        for (at, (cell, name)) in cells.iter().zip(&self.names).enumerate() {
            self.lines.push(if at == 0 { b'{' } else { b',' });
            self.lines.extend_from_slice(name.as_bytes());
            self.lines.push(b':');
            cell.json(row, &mut self.lines, &mut self.scratch);
        }
        self.lines.extend_from_slice(b"}\n");
    }

    fn end_line(&mut self) {
        self.lines.extend_from_slice(if self.csv.crlf { b"\r\n" } else { b"\n" });
    }
}

/// A value of CSV, enclosed where a reader would otherwise read something else.
fn field(out: &mut Vec<u8>, text: &[u8], csv: &Csv) {
    let is_special = |byte: &u8| *byte == csv.delimiter || *byte == csv.quote || matches!(byte, b'\n' | b'\r');
    let is_null = || csv.nulls.iter().any(|null| null.as_bytes() == text);
    if !csv.quote_all && !text.iter().any(is_special) && !is_null() {
        out.extend_from_slice(text);
        return;
    }
    out.push(csv.quote);
    for &byte in text {
        if byte == csv.quote || Some(byte) == csv.escape {
            out.push(csv.escape.unwrap_or(csv.quote));
        }
        out.push(byte);
    }
    out.push(csv.quote);
}

/// Packs bytes, and knows how many came of them.
struct Packer {
    kind: Kind,
    /// Packed bytes that were taken.
    taken: u64,
    /// Bytes that went in since the packed ones were last counted.
    pending: u64,
}

enum Kind {
    None(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::Encoder<'static, Vec<u8>>),
}

impl Packer {
    fn begin(compression: Compression) -> Result<Self, BackendError> {
        let kind = match compression {
            Compression::None => Kind::None(Vec::new()),
            Compression::Gzip => Kind::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL))),
            Compression::Zstd => Kind::Zstd(zstd::Encoder::new(Vec::new(), 0).map_err(|error| wrong(&error))?),
        };
        Ok(Self { kind, taken: 0, pending: 0 })
    }

    fn out(&mut self) -> &mut Vec<u8> {
        match &mut self.kind {
            Kind::None(out) => out,
            Kind::Gzip(encoder) => encoder.get_mut(),
            Kind::Zstd(encoder) => encoder.get_mut(),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BackendError> {
        self.pending += bytes.len() as u64;
        let written = match &mut self.kind {
            Kind::None(out) => out.write_all(bytes),
            Kind::Gzip(encoder) => encoder.write_all(bytes),
            Kind::Zstd(encoder) => encoder.write_all(bytes),
        };
        written.map_err(|error| wrong(&error))
    }

    /// Whether so many more bytes keep the file within a bound, however badly they pack.
    fn fits(&mut self, more: u64, bound: u64) -> Result<bool, BackendError> {
        let at_worst = |packed: u64, loose: u64| packed + loose + loose / 1000 + 128;
        let packed = self.taken + self.out().len() as u64;
        if let Kind::None(_) = self.kind {
            return Ok(packed + more <= bound);
        }
        if at_worst(packed, self.pending + more) <= bound {
            return Ok(true);
        }
        let flushed = match &mut self.kind {
            Kind::None(_) => Ok(()),
            Kind::Gzip(encoder) => encoder.flush(),
            Kind::Zstd(encoder) => encoder.flush(),
        };
        flushed.map_err(|error| wrong(&error))?;
        self.pending = 0;
        let packed = self.taken + self.out().len() as u64;
        Ok(at_worst(packed, more) <= bound)
    }

    fn take(&mut self) -> Vec<u8> {
        let bytes = std::mem::take(self.out());
        self.taken += bytes.len() as u64;
        bytes
    }

    fn finish(self) -> Result<Vec<u8>, BackendError> {
        match self.kind {
            Kind::None(out) => Ok(out),
            Kind::Gzip(encoder) => encoder.finish().map_err(|error| wrong(&error)),
            Kind::Zstd(encoder) => encoder.finish().map_err(|error| wrong(&error)),
        }
    }
}

/// Parquet, whose columns are of types that other readers know.
struct Parquet {
    schema: SchemaRef,
    writer: ArrowWriter<Vec<u8>>,
}

impl Parquet {
    fn begin(shape: &Shape) -> Result<Self, BackendError> {
        let fields = shape.schema.fields().iter().zip(&shape.names);
        let fields: Vec<Field> =
            fields.map(|(field, name)| Field::new(name, outside_type(field.data_type()), true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let packed = match shape.compression {
            Compression::None => ParquetCompression::UNCOMPRESSED,
            Compression::Gzip => ParquetCompression::GZIP(GzipLevel::default()),
            Compression::Zstd => ParquetCompression::ZSTD(ZstdLevel::default()),
        };
        let properties = WriterProperties::builder()
            .set_compression(packed)
            .set_max_row_group_row_count(Some(GROUP))
            .set_created_by("pipe".to_owned())
            .build();
        let writer =
            ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties)).map_err(|error| wrong(&error))?;
        Ok(Self { schema, writer })
    }

    fn add(&mut self, rows: &RecordBatch, max_bytes: Option<u64>) -> Result<bool, BackendError> {
        let columns = rows.columns().iter().zip(self.schema.fields());
        let columns: Vec<ArrayRef> =
            columns.map(|(column, field)| outside(column, field.data_type())).collect::<Result<_, _>>()?;
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(|error| wrong(&error))?;
        if let Some(max_bytes) = max_bytes
            && !self.fits(&batch, max_bytes)?
        {
            return Ok(false);
        }
        self.writer.write(&batch).map_err(|error| wrong(&error))?;
        Ok(true)
    }

    fn fits(&mut self, batch: &RecordBatch, bound: u64) -> Result<bool, BackendError> {
        let more: usize =
            batch.columns().iter().filter_map(|column| column.to_data().get_slice_memory_size().ok()).sum();
        if self.at_worst(more) <= bound {
            return Ok(true);
        }
        self.writer.flush().map_err(|error| wrong(&error))?;
        Ok(self.at_worst(more) <= bound)
    }

    /// The length of the file if so many bytes came to it, with what stands at its end.
    fn at_worst(&self, more: usize) -> u64 {
        let groups = self.writer.flushed_row_groups().len() + 1;
        let end = 2048 + groups * self.schema.fields().len() * 600;
        (self.writer.bytes_written() + self.writer.in_progress_size() + more + end) as u64
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.inner_mut())
    }

    fn finish(mut self) -> Result<Vec<u8>, BackendError> {
        self.writer.finish().map_err(|error| BackendError::new(Remedy::Author, error.to_string()))?;
        Ok(self.take())
    }
}

/// The type of a column in Parquet for others: values that only this engine knows are text.
pub(super) fn outside_type(data_type: &DataType) -> DataType {
    match (SqlType::of(data_type), data_type) {
        (_, DataType::Timestamp(_, Some(_))) => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        (
            Some(SqlType::TimestampTz | SqlType::Variant | SqlType::Object | SqlType::Array | SqlType::Null) | None,
            _,
        ) => DataType::Utf8,
        (Some(SqlType::Vector(..)), _) => DataType::Utf8,
        _ => crate::dialect::cast::settled_type(data_type),
    }
}

fn outside(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, BackendError> {
    if column.data_type() == wanted {
        return Ok(column.clone());
    }
    if *wanted == DataType::Utf8 {
        return texts_of(column);
    }
    crate::dialect::cast::exactly(column, wanted).map_err(|error| wrong(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv_field(text: &str, csv: &Csv) -> String {
        let mut out = Vec::new();
        field(&mut out, text.as_bytes(), csv);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn values_are_enclosed_where_they_must_be() {
        let csv = Csv::default();
        assert_eq!(csv_field("a b", &csv), "a b");
        assert_eq!(csv_field("", &csv), "\"\"");
        assert_eq!(csv_field("a,\"b\"\n", &csv), "\"a,\"\"b\"\"\n\"");
        let other = Csv { delimiter: b';', escape: Some(b'\\'), nulls: vec!["\\N".into()], ..Csv::default() };
        assert_eq!(csv_field("", &other), "");
        assert_eq!(csv_field("\\N", &other), "\"\\\\N\"");
        assert_eq!(csv_field("a;\"", &other), "\"a;\\\"\"");
    }
}
