//! Rows of CSV and JSON lines: read as texts, a batch at a time, and converted column by column. Only the columns that a
//! query asks for are read.

use std::fs::File;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray, StringBuilder};
use datafusion::arrow::csv::ReaderBuilder;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::catalog::Session;
use datafusion::common::DataFusionError;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

use super::remote::shown;
use super::{parsed, places, unreadable};
use crate::backend::BackendError;
use crate::backend::datafusion::of_csv;
use crate::dialect::Column;
use crate::dialect::texts::Conversion;
use crate::job::file::Compression;
use crate::source::{Format, Location};
use crate::store::{Unpacked, unpacked};
use crate::text::counted;

const BATCH_ROWS: usize = 8192;

/// A source in text files.
#[derive(Debug)]
struct TextTable {
    location: Location,
    files: Vec<PathBuf>,
    columns: Vec<Column>,
    schema: SchemaRef,
}

/// The rows of text files in the types of a contract.
pub(super) fn provider(
    location: &Location,
    files: Vec<PathBuf>,
    columns: &[Column],
    schema: &SchemaRef,
) -> Arc<dyn TableProvider> {
    Arc::new(TextTable { location: location.clone(), files, columns: columns.to_vec(), schema: schema.clone() })
}

/// Whether the file can be opened and has these columns.
pub(super) fn check(location: &Location, path: &Path, columns: &[Column]) -> Result<(), BackendError> {
    match location.format {
        Format::Csv => csv_places(location, path, columns).map(|_| ()),
        _ => File::open(path).map(|_| ()).map_err(|error| unreadable(path, &error)),
    }
}

/// How many wrong values of one file are told; the others are counted.
const MOST_FAULTS: usize = 20;

/// Reads the file whole and gives the values that are none of their columns' types, row by row.
pub(super) fn check_values(
    location: &Location,
    path: &Path,
    columns: &[Column],
    schema: &SchemaRef,
) -> Vec<BackendError> {
    let mut faults = Vec::new();
    let file = TextFile::new(location, path, columns, schema);
    let file = match file {
        Ok(file) => file,
        Err(error) => return vec![BackendError::author(error.strip_backtrace())],
    };
    match unclosed_quote(location, path) {
        Ok(None) => {}
        Ok(Some(line)) => {
            let message = format!("`{}`, line {line}: the quote that opens a value here is never closed", shown(path));
            return vec![BackendError::author(message)];
        }
        Err(error) => return vec![unreadable(path, &error)],
    }
    let texts = match file.texts() {
        Ok(texts) => texts,
        Err(error) => return vec![error],
    };
    let mut kept = parsed::keeping(path, location, schema).map(|keeping| (keeping, Vec::new()));
    let (mut done, mut wrong, mut more) = (file.first_row(), 0, 0_u64);
    for batch in texts {
        let (rows, texts) = match batch {
            Ok(batch) => batch,
            Err(error) => {
                faults.push(error);
                break;
            }
        };
        let (values, mut refused) = match file.tried(&texts) {
            Ok(tried) => tried,
            Err(error) => {
                faults.push(BackendError::author(error.strip_backtrace()));
                break;
            }
        };
        refused.sort_unstable();
        for (row, column) in refused {
            if wrong < MOST_FAULTS {
                faults.push(self::refused(path, done + row, &columns[column], texts[column].value(row)));
            }
            more += u64::from(wrong >= MOST_FAULTS);
            wrong += 1;
        }
        // Rows that make no batch are told when they are read; until then none of the file are kept.
        kept = kept.and_then(|(keeping, mut all)| {
            all.push(batch_of(schema, values, rows).ok()?);
            Some((keeping, all))
        });
        done += rows;
    }
    if more > 0 {
        let message = format!("`{}`: {} beside these fit no column", shown(path), counted(more, "more value"));
        faults.push(BackendError::author(message));
    }
    if let Some((keeping, rows)) = kept.filter(|_| faults.is_empty()) {
        keeping.keep(rows);
    }
    faults
}

impl TextTable {
    fn plan(
        &self,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let wanted: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..self.columns.len()).collect());
        let schema = Arc::new(self.schema.project(&wanted)?);
        let columns: Vec<Column> = wanted.iter().map(|at| self.columns[*at].clone()).collect();
        let file = |path: &PathBuf| {
            let mut file = TextFile::new(&self.location, path, &columns, &schema)?;
            if let Some(rows) = parsed::rows(path, &self.location, &self.schema) {
                let wanted = rows.iter().map(|batch| batch.project(&wanted));
                file.parsed = Some(wanted.collect::<Result<_, _>>()?);
            }
            Ok::<_, DataFusionError>(Arc::new(file) as Arc<dyn PartitionStream>)
        };
        let partitions = self.files.iter().map(file).collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(StreamingTableExec::try_new(schema.clone(), partitions, None, None, false, limit)?))
    }
}

#[async_trait]
impl TableProvider for TextTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        self.plan(projection, limit)
    }
}

/// One file, as a partition.
#[derive(Debug)]
struct TextFile {
    location: Location,
    path: PathBuf,
    columns: Vec<Column>,
    conversions: Vec<Conversion>,
    schema: SchemaRef,
    /// Its rows, where they were read before.
    parsed: Option<Vec<RecordBatch>>,
}

impl PartitionStream for TextFile {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches: Batches = match &self.parsed {
            Some(parsed) => Box::new(parsed.clone().into_iter().map(Ok)),
            None => match self.texts() {
                Ok(texts) => Box::new(self.typed(texts)),
                Err(error) => Box::new(std::iter::once(Err(external(error)))),
            },
        };
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), futures::stream::iter(batches)))
    }
}

/// Rows and columns of texts.
type Places = Vec<(usize, usize)>;

/// Batches of values.
type Batches = Box<dyn Iterator<Item = Result<RecordBatch, DataFusionError>> + Send>;

/// Batches of texts: how many rows, and the wanted columns.
type Texts = Box<dyn Iterator<Item = Result<(usize, Vec<StringArray>), BackendError>> + Send>;

impl TextFile {
    fn new(location: &Location, path: &Path, columns: &[Column], schema: &SchemaRef) -> Result<Self, DataFusionError> {
        let typed = columns.iter().zip(schema.fields());
        let conversions = typed.map(|(column, field)| Conversion::to(column.sql_type, field.data_type()));
        Ok(Self {
            location: location.clone(),
            path: path.to_owned(),
            columns: columns.to_vec(),
            conversions: conversions.collect::<Result<_, _>>()?,
            schema: schema.clone(),
            parsed: None,
        })
    }

    /// The number of the first row of values; a header is row 1.
    fn first_row(&self) -> usize {
        if self.location.format == Format::Csv && self.location.header { 2 } else { 1 }
    }

    fn texts(&self) -> Result<Texts, BackendError> {
        match self.location.format {
            Format::Csv => csv(&self.location, &self.path, &self.columns),
            _ => json_lines(&self.path, &self.columns),
        }
    }

    /// The values of texts, and the places of those that are none of their columns' types: row and column.
    fn tried(&self, texts: &[StringArray]) -> Result<(Vec<ArrayRef>, Places), DataFusionError> {
        let (mut all, mut refused) = (Vec::new(), Vec::new());
        for (column, (texts, conversion)) in texts.iter().zip(&self.conversions).enumerate() {
            let values = conversion.tried(texts)?;
            if values.null_count() != texts.null_count() {
                let wrong = (0..texts.len()).filter(|row| values.is_null(*row) && !texts.is_null(*row));
                refused.extend(wrong.map(|row| (row, column)));
            }
            all.push(values);
        }
        Ok((all, refused))
    }

    fn typed(&self, texts: Texts) -> impl Iterator<Item = Result<RecordBatch, DataFusionError>> + Send + use<> {
        let (path, columns, conversions) = (self.path.clone(), self.columns.clone(), self.conversions.clone());
        let (schema, first) = (self.schema.clone(), self.first_row());
        let mut done = 0;
        texts.map(move |texts| {
            let (rows, texts) = texts.map_err(external)?;
            let mut arrays: Vec<ArrayRef> = Vec::with_capacity(texts.len());
            for ((texts, conversion), column) in texts.iter().zip(&conversions).zip(&columns) {
                match conversion.values(texts)? {
                    Ok(values) => arrays.push(values),
                    Err(at) => return Err(external(refused(&path, done + at + first, column, texts.value(at)))),
                }
            }
            done += rows;
            batch_of(&schema, arrays, rows)
        })
    }
}

fn batch_of(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, DataFusionError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

fn refused(path: &Path, row: usize, column: &Column, text: &str) -> BackendError {
    let start: String = text.chars().take(60).collect();
    let message = format!(
        "`{}`, row {row}: `{start}` is no {} for column `{}`",
        shown(path),
        column.sql_type,
        column.name.shown()
    );
    BackendError::author(message)
}

fn external(error: BackendError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

fn open(path: &Path) -> Result<Unpacked, BackendError> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let packed = Compression::of(&path.to_string_lossy());
    unpacked(Box::new(file), packed).map_err(|error| unreadable(path, &error))
}

/// The names in a CSV file's first record, and how many values it has.
fn header(location: &Location, path: &Path) -> Result<Vec<String>, BackendError> {
    let format = datafusion::arrow::csv::reader::Format::default();
    let format = format.with_header(location.header).with_delimiter(location.delimiter);
    let wrong = |error: ArrowError| {
        BackendError::author(format!("`{}` is not CSV: {}", shown(path), of_csv(&error.to_string())))
    };
    let rows = usize::from(!location.header);
    let (schema, _) = format.infer_schema(open(path)?, Some(rows)).map_err(wrong)?;
    Ok(schema.fields().iter().map(|field| field.name().trim().to_owned()).collect())
}

/// How many values a line of the file has, and the places of these columns among them; without a header they stand in the
/// contract's order.
fn csv_places(location: &Location, path: &Path, columns: &[Column]) -> Result<(usize, Vec<usize>), BackendError> {
    let header = header(location, path)?;
    if location.header {
        return Ok((header.len(), places(path, &header, columns)?));
    }
    let mut names = location.order.clone();
    names.resize(header.len(), String::new());
    Ok((header.len(), places(path, &names, columns)?))
}

fn csv(location: &Location, path: &Path, columns: &[Column]) -> Result<Texts, BackendError> {
    let (width, places) = csv_places(location, path, columns)?;
    let fields: Vec<Field> = (0..width).map(|at| Field::new(at.to_string(), DataType::Utf8, true)).collect();
    let builder = ReaderBuilder::new(Arc::new(Schema::new(fields))).with_batch_size(BATCH_ROWS);
    let builder = builder.with_header(location.header).with_delimiter(location.delimiter);
    let named = shown(path);
    let reader = builder.with_projection(places.clone()).build_buffered(open(path)?);
    let reader = reader
        .map_err(|error| BackendError::author(format!("`{named}` is not CSV: {}", of_csv(&error.to_string()))))?;
    let texts = reader.map(move |batch| {
        let batch =
            batch.map_err(|error| BackendError::author(format!("`{named}`: {}", of_csv(&error.to_string()))))?;
        let text = |at: usize| batch.column(at).as_any().downcast_ref::<StringArray>().cloned();
        let texts: Option<Vec<StringArray>> = (0..places.len()).map(text).collect();
        Ok((batch.num_rows(), texts.unwrap_or_default()))
    });
    Ok(Box::new(texts))
}

/// The line of a CSV file on which a quoted value starts that has no end: a reader would take the rest of the file for it.
fn unclosed_quote(location: &Location, path: &Path) -> io::Result<Option<usize>> {
    if location.format != Format::Csv {
        return Ok(None);
    }
    let open = || unpacked(Box::new(File::open(path)?), Compression::of(&path.to_string_lossy()));
    let mut quotes = 0;
    each_block(open()?, |block| quotes += memchr::memchr_iter(b'"', block).count())?;
    if quotes % 2 == 0 {
        return Ok(None);
    }
    // A quote inside a value that does not start with one is an ordinary letter: only those that open and close count.
    let (mut line, mut opened, mut quoted, mut starts, mut before) = (1, 1, false, true, 0);
    each_block(open()?, |block| {
        for byte in block {
            let opens = *byte == b'"' && !quoted && starts;
            // The second quote of a pair inside a quoted value opens it again.
            let closes_or_goes_on = *byte == b'"' && quoted;
            if opens {
                opened = line;
            }
            quoted = (quoted || opens) && !closes_or_goes_on;
            starts = !quoted && (closes_or_goes_on || matches!(byte, b'\n' | b'\r') || *byte == location.delimiter);
            line += usize::from(*byte == b'\r' || *byte == b'\n' && before != b'\r');
            before = *byte;
        }
    })?;
    Ok(quoted.then_some(opened))
}

/// Calls a function with every block of bytes.
fn each_block(mut reader: impl BufRead, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    loop {
        let block = reader.fill_buf()?;
        if block.is_empty() {
            return Ok(());
        }
        each(block);
        let length = block.len();
        reader.consume(length);
    }
}

/// One JSON object a line; a member that is absent or null is NULL, names are compared as SQL does.
fn json_lines(path: &Path, columns: &[Column]) -> Result<Texts, BackendError> {
    let mut lines = open(path)?.lines();
    let (path, columns) = (path.to_owned(), columns.to_vec());
    let mut row = 0;
    let texts = std::iter::from_fn(move || {
        let mut builders: Vec<StringBuilder> = columns.iter().map(|_| StringBuilder::new()).collect();
        let mut rows = 0;
        while rows < BATCH_ROWS {
            let line = match lines.next() {
                Some(Ok(line)) => line,
                Some(Err(error)) => return Some(Err(unreadable(&path, &error))),
                None => break,
            };
            row += 1;
            if line.trim().is_empty() {
                continue;
            }
            if let Err(error) = append(&line, &columns, &mut builders) {
                return Some(Err(BackendError::author(format!("`{}`, row {row}: {error}", shown(&path)))));
            }
            rows += 1;
        }
        (rows > 0).then(|| Ok((rows, builders.iter_mut().map(StringBuilder::finish).collect())))
    });
    Ok(Box::new(texts))
}

fn append(line: &str, columns: &[Column], builders: &mut [StringBuilder]) -> Result<(), String> {
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(line).map_err(|error| format!("no JSON object: {error}"))?;
    for (column, builder) in columns.iter().zip(builders) {
        let name = column.name.as_str();
        let member = object
            .get(name)
            .or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value));
        match member {
            None | Some(serde_json::Value::Null) => builder.append_null(),
            Some(serde_json::Value::String(text)) if !column.sql_type.is_semi_structured() => {
                builder.append_value(text)
            }
            Some(value) => builder.append_value(value.to_string()),
        }
    }
    Ok(())
}
