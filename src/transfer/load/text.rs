//! Rows of CSV and JSON lines: read as texts, a batch at a time, and converted column by column.

use std::io::BufRead;

use datafusion::arrow::array::StringBuilder;
use serde_json::Value;

use super::{Loader, Place, Unfit};
use crate::backend::BackendError;
use crate::job::file::Compression;
use crate::store::{Unpacked, of_read, unpacked};
use crate::transfer::records::{Broken, Record, Records};

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;
/// Bytes of texts after which a batch is handed on all the same.
const BATCH_BYTES: usize = 16 << 20;

/// Rows as texts, with where each comes from.
struct Batch {
    builders: Vec<StringBuilder>,
    places: Vec<Place>,
    records: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    fn new(columns: usize) -> Self {
        let builders = (0..columns).map(|_| StringBuilder::new()).collect();
        Self { builders, places: Vec::new(), records: Vec::new(), ends: Vec::new() }
    }

    fn push(&mut self, place: Place, record: &[u8]) {
        self.places.push(place);
        self.records.extend_from_slice(record);
        self.ends.push(self.records.len());
    }

    fn is_full(&self) -> bool {
        self.places.len() >= BATCH_ROWS || self.records.len() >= BATCH_BYTES
    }

    fn record(&self, row: usize) -> (Place, &[u8]) {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        (self.places[row], &self.records[start..self.ends[row]])
    }
}

impl Loader {
    fn open(&self, file: &str, packed: Compression) -> Result<Unpacked, BackendError> {
        let bytes = self.runtime.block_on(self.stores.open(file))?;
        unpacked(bytes, packed).map_err(|error| of_read(file, &error).into())
    }

    pub(super) fn csv(&mut self, file: &str, packed: Compression) -> Result<(), BackendError> {
        let mut records = Records::new(self.open(file, packed)?, &self.load.csv);
        let mut row = 0;
        let (width, places) = if self.load.csv.header {
            row = 1;
            let header = header(&mut records, file)?;
            (header.len(), self.places(file, &header)?)
        } else {
            (self.columns.len(), (0..self.columns.len()).map(Some).collect())
        };
        let mut batch = Batch::new(self.columns.len());
        loop {
            let (record, fits) = match records.next(Some(width)) {
                Ok(Some(found)) => found,
                Ok(None) => break,
                Err(broken) => return Err(told(file, broken)),
            };
            row += 1;
            let place = Place { row, line: record.line };
            self.count(1);
            match fits.and_then(|()| self.append(record, &places, &mut batch)) {
                Ok(()) => batch.push(place, &record.raw),
                Err(unfit) => self.refuse(file, place, unfit, &record.raw)?,
            }
            if batch.is_full() {
                self.flush(file, &mut batch)?;
            }
        }
        self.flush(file, &mut batch)
    }

    /// Adds the values of a record to the batch, all or none.
    fn append(&self, record: &Record, places: &[Option<usize>], batch: &mut Batch) -> Result<(), Unfit> {
        let mut texts = Vec::with_capacity(places.len());
        for (at, place) in places.iter().enumerate() {
            let Some((value, enclosed)) = place.and_then(|place| record.value(place)) else {
                texts.push(None);
                continue;
            };
            let text = std::str::from_utf8(value).map_err(|_| Unfit {
                column: Some(self.columns[at].name.clone()),
                value: Some(String::from_utf8_lossy(value).into_owned()),
                reason: format!("column `{}` is not UTF-8", self.columns[at].name),
            })?;
            let is_null = !enclosed && self.load.csv.nulls.iter().any(|null| null == text);
            texts.push((!is_null).then_some(text));
        }
        for (builder, text) in batch.builders.iter_mut().zip(texts) {
            builder.append_option(text);
        }
        Ok(())
    }

    fn flush(&mut self, file: &str, batch: &mut Batch) -> Result<(), BackendError> {
        let rows = batch.places.len();
        if rows == 0 {
            return Ok(());
        }
        let mut full = std::mem::replace(batch, Batch::new(self.columns.len()));
        let texts: Vec<_> = full.builders.iter_mut().map(StringBuilder::finish).collect();
        let converted =
            texts.iter().enumerate().map(|(at, texts)| self.convert(at, texts)).collect::<Result<_, _>>()?;
        self.hand_on(file, converted, rows, &|row| full.record(row))
    }

    /// One JSON object a line; a member that is absent or null is NULL, names are compared as SQL does.
    pub(super) fn json_lines(&mut self, file: &str, packed: Compression) -> Result<(), BackendError> {
        let mut bytes = self.open(file, packed)?;
        let (mut line, mut row) = (Vec::new(), 0);
        let mut seen = vec![false; self.columns.len()];
        let mut batch = Batch::new(self.columns.len());
        let mut number = 0;
        loop {
            line.clear();
            let read = bytes.read_until(b'\n', &mut line).map_err(|error| of_read(file, &error))?;
            if read == 0 {
                break;
            }
            number += 1;
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            row += 1;
            let place = Place { row, line: number };
            self.count(1);
            match self.object(text) {
                Ok(members) => {
                    self.members(file, &members, &mut seen, &mut batch)?;
                    batch.push(place, text);
                }
                Err(reason) => self.refuse(file, place, Unfit::row(reason), text)?,
            }
            if batch.is_full() {
                self.flush(file, &mut batch)?;
            }
        }
        self.flush(file, &mut batch)?;
        if row == 0 {
            return Ok(());
        }
        let lacks = self.columns.iter().zip(&seen).filter(|(_, seen)| !**seen).map(|(target, _)| target.name.as_str());
        self.lacking(file, lacks.collect(), &[])
    }

    fn object(&self, text: &[u8]) -> Result<serde_json::Map<String, Value>, String> {
        serde_json::from_slice(text).map_err(|error| format!("no JSON object: {error}"))
    }

    fn members(
        &self,
        file: &str,
        members: &serde_json::Map<String, Value>,
        seen: &mut [bool],
        batch: &mut Batch,
    ) -> Result<(), BackendError> {
        let mut known = 0;
        for ((target, builder), seen) in self.columns.iter().zip(&mut batch.builders).zip(seen) {
            let name = target.column.name.as_str();
            let exact = members.get(name);
            let found =
                exact.or_else(|| members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v));
            known += usize::from(found.is_some());
            *seen |= found.is_some();
            match found {
                None | Some(Value::Null) => builder.append_null(),
                Some(Value::String(text)) if !target.column.sql_type.is_semi_structured() => builder.append_value(text),
                Some(value) => builder.append_value(value.to_string()),
            }
        }
        if known == members.len() || self.load.extra_ignored {
            return Ok(());
        }
        let declared = |key: &str| self.columns.iter().any(|t| t.column.name.as_str().eq_ignore_ascii_case(key));
        let extra: Vec<&str> = members.keys().map(String::as_str).filter(|key| !declared(key)).collect();
        self.undeclared(file, extra)
    }
}

fn header(records: &mut Records, file: &str) -> Result<Vec<String>, BackendError> {
    match records.next(None) {
        Ok(Some((record, Ok(())))) => {
            let name = |at| String::from_utf8_lossy(record.value(at).unwrap_or_default().0).trim().to_owned();
            Ok((0..record.len()).map(name).collect())
        }
        Ok(Some((_, Err(unfit)))) => Err(BackendError::author(format!("`{file}`, row 1: {}", unfit.reason))),
        Ok(None) => {
            let hint = "write `csv: {header: false}` where files have no line of names";
            Err(BackendError::author(format!("`{file}` is empty and does not even name its columns; {hint}")))
        }
        Err(broken) => Err(told(file, broken)),
    }
}

fn told(file: &str, broken: Broken) -> BackendError {
    match broken {
        Broken::Io(error) => of_read(file, &error).into(),
        Broken::Form(line, message) => BackendError::author(format!("`{file}`, line {line}: {message}")),
    }
}
