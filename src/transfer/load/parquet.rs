//! Rows of Parquet: columns are found by name and cast to the declared types; text is read as other text files' is.

use std::fs::File as DiskFile;
use std::io::Read;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_null_array};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::DataType;

use super::{Converted, Loader, Place, Unfit};
use crate::backend::BackendError;
use crate::dialect::cast::settled;
use crate::dialect::types::SqlType;
use crate::store::{File, local_path, of_read, s3_parts};
use crate::transfer::cell::as_texts;

impl Loader {
    pub(super) fn parquet(&mut self, file: &File) -> Result<(), BackendError> {
        let name = &file.name;
        let wrong = |error: &dyn std::fmt::Display| BackendError::author(format!("`{name}` is not Parquet: {error}"));
        let opened = self.on_disk(name)?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(|error| wrong(&error))?;
        let found: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
        let places = self.places(name, &found)?;
        let reader = builder.with_batch_size(8192).build().map_err(|error| wrong(&error))?;
        let mut row = 0;
        for batch in reader {
            let batch = batch.map_err(|error| wrong(&error))?;
            self.count(batch.num_rows() as u64);
            let converted = self.columns_of(name, &batch, &places)?;
            let first = row;
            let place = |at: usize| (Place { row: first + at as u64 + 1, line: 0 }, &[][..]);
            self.hand_on(name, converted, batch.num_rows(), &place)?;
            row += batch.num_rows() as u64;
        }
        Ok(())
    }

    /// The file on this machine's disk. Parquet is read from its end, so that one in S3 is fetched whole first.
    fn on_disk(&self, name: &str) -> Result<DiskFile, BackendError> {
        if s3_parts(name).is_none() {
            let opened = DiskFile::open(local_path(name));
            return opened.map_err(|error| of_read(name, &error).into());
        }
        let mut bytes = self.runtime.block_on(self.stores.open(name))?;
        let fetched = fetch(&mut bytes);
        fetched.map_err(|error| of_read(name, &error).into())
    }

    fn columns_of(
        &self,
        file: &str,
        batch: &RecordBatch,
        places: &[Option<usize>],
    ) -> Result<Vec<Converted>, BackendError> {
        let mut converted = Vec::new();
        for (at, place) in places.iter().enumerate() {
            converted.push(match place {
                Some(place) => self.column(file, at, batch.column(*place))?,
                None => self.required(at, new_null_array(self.schema.field(at).data_type(), batch.num_rows())),
            });
        }
        Ok(converted)
    }

    fn column(&self, file: &str, at: usize, values: &ArrayRef) -> Result<Converted, BackendError> {
        let target = &self.columns[at];
        let wanted = self.schema.field(at).data_type();
        let values = settled(values).map_err(|error| BackendError::author(error.strip_backtrace()))?;
        let found = SqlType::of(values.data_type());
        match found {
            Some(SqlType::Varchar(_)) => self.convert(at, values.as_string::<i32>()),
            Some(SqlType::Float) if matches!(target.column.sql_type, SqlType::Number { .. }) => {
                self.convert(at, &as_texts(&values)?)
            }
            Some(found) if may_hold(found, target.column.sql_type) => self.cast(at, &values, wanted),
            _ => {
                let found = found.map_or_else(|| values.data_type().to_string(), |found| found.to_string());
                let (name, sql_type) = (&target.name, target.column.sql_type);
                Err(BackendError::author(format!("column `{name}` of `{file}` holds {found}, which is no {sql_type}")))
            }
        }
    }

    fn cast(&self, at: usize, values: &ArrayRef, wanted: &DataType) -> Result<Converted, BackendError> {
        let safe = CastOptions { safe: true, ..CastOptions::default() };
        let cast = cast_with_options(values, wanted, &safe).map_err(|error| BackendError::author(error.to_string()))?;
        let target = &self.columns[at];
        let lost: Vec<usize> = (0..cast.len()).filter(|row| cast.is_null(*row) && !values.is_null(*row)).collect();
        let mut refused = Vec::new();
        for row in lost {
            let text = as_texts(&values.slice(row, 1))?.value(0).to_owned();
            let reason = format!("`{text}` is no {} for column `{}`", target.column.sql_type, target.name);
            refused.push((row, Unfit { column: Some(target.name.clone()), value: Some(text), reason }));
        }
        let mut converted = self.required(at, cast);
        converted.refused.splice(0..0, refused);
        Ok(converted)
    }

    /// The values, those refused that are NULL where the column may not be.
    fn required(&self, at: usize, values: ArrayRef) -> Converted {
        let target = &self.columns[at];
        let mut refused = Vec::new();
        if !target.column.nullable {
            let reason = format!("NULL in column `{}`, which may not be", target.name);
            let unfit = Unfit { column: Some(target.name.clone()), value: None, reason };
            refused = (0..values.len()).filter(|row| values.is_null(*row)).map(|row| (row, unfit.clone())).collect();
        }
        Converted { values, refused }
    }
}

/// Whether values of the one type can be values of the other, each looked at on its own.
fn may_hold(found: SqlType, wanted: SqlType) -> bool {
    use SqlType::{Binary, Boolean, Date, Float, Null, Number, Time, TimestampLtz, TimestampNtz};
    match (found, wanted) {
        (Number { scale: found, .. }, Number { scale: wanted, .. }) => found <= wanted,
        (Number { .. } | Float, Float) | (Null, _) => true,
        (Date | TimestampNtz | TimestampLtz, TimestampNtz | TimestampLtz) => true,
        (Binary, Binary) | (Boolean, Boolean) | (Date, Date) | (Time, Time) => true,
        _ => false,
    }
}

/// The bytes in a file that has no name any more, so that nothing is left of it.
fn fetch(bytes: &mut dyn Read) -> std::io::Result<DiskFile> {
    let path = std::env::temp_dir().join(format!("pipe-{}-{:?}", std::process::id(), std::thread::current().id()));
    let mut file = DiskFile::options().read(true).write(true).create(true).truncate(true).open(&path)?;
    std::fs::remove_file(&path)?;
    std::io::copy(bytes, &mut file)?;
    Ok(file)
}
