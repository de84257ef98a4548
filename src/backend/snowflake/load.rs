//! Rows from this machine into tables of the server: a few as parameters of an INSERT, many as Parquet laid on a stage that
//! the server copies from. The rows are counted on both sides.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use snowflake_connector_rs::bind::{BindType, RawBind};
use snowflake_connector_rs::{PositionalBinds, Statement};

use super::connect::Stage;
use super::session::Worker;
use super::{catalogue, text};
use crate::backend::{BackendError, Remedy, Rows};
use crate::dialect::types::SqlType;
use crate::dialect::variant::{convert, print};
use crate::dialect::{Column, cast as sql_cast};
use crate::name::TableName;
use crate::store::{Stores, Upload};

/// The most rows that are loaded as parameters.
const MOST_ROWS: usize = 1000;

/// How many values one statement carries.
const VALUES_A_STATEMENT: usize = 2000;

/// Bytes of Parquet after which a file is full.
const FILE_BYTES: usize = 128 << 20;

/// A fetched batch in the types that its reader expects; a value that does not fit is an error.
pub(super) fn at_rest(batch: &RecordBatch, wanted: &SchemaRef) -> Result<RecordBatch, BackendError> {
    let columns = batch.columns().iter().zip(wanted.fields());
    let columns: Result<Vec<ArrayRef>, _> =
        columns.map(|(column, field)| sql_cast::exactly(column, field.data_type())).collect();
    columns
        .and_then(|columns| RecordBatch::try_new(SchemaRef::clone(wanted), columns))
        .map_err(|error| BackendError::author(format!("the server's rows do not fit their columns: {error}")))
}

/// Where rows are laid on their way.
pub(super) struct Way<'a> {
    pub(super) stores: &'a Stores,
    pub(super) stage: Option<&'a Stage>,
    /// The folder of this attempt on the stage, with its last `/`.
    pub(super) folder: String,
}

/// Makes a table of these columns and puts the rows into it; gives their number.
pub(super) async fn fill(
    worker: &mut Worker,
    table: &TableName,
    columns: &[Column],
    mut rows: Rows,
    way: &Way<'_>,
) -> Result<u64, BackendError> {
    worker.run(text::create(table, columns)).await?;
    let (mut first, mut count) = (Vec::new(), 0);
    while count <= MOST_ROWS {
        let Some(batch) = rows.next().await else {
            return insert(worker, table, columns, &first).await;
        };
        let batch = batch?;
        count += batch.num_rows();
        first.push(batch);
    }
    let Some(stage) = way.stage else {
        return Err(BackendError::new(
            Remedy::Resources,
            format!(
                "more than {MOST_ROWS} rows would have to be loaded into Snowflake from this machine, which takes a stage; \
                 give the target `stage` and `stage_url`, or let the step keep fewer rows"
            ),
        ));
    };
    let first = futures::stream::iter(first.into_iter().map(Ok));
    copy(worker, table, columns, first.chain(rows).boxed(), way, stage).await
}

/// Lays the rows on the stage and has the server copy them.
async fn copy(
    worker: &mut Worker,
    table: &TableName,
    columns: &[Column],
    rows: Rows,
    way: &Way<'_>,
    stage: &Stage,
) -> Result<u64, BackendError> {
    let plain = columns.iter().all(|column| travels(column.sql_type) == column.sql_type);
    let laid: Vec<Column> =
        columns.iter().map(|column| Column { sql_type: travels(column.sql_type), ..column.clone() }).collect();
    let raw = if plain { table.clone() } else { text::raw(table) };
    let (files, written) = lay(columns, &laid, rows, way, stage).await?;
    if !plain {
        worker.run(text::create(&raw, &laid)).await?;
    }
    let names: Vec<String> = files.iter().map(|name| format!("'{name}'")).collect();
    let statement = format!(
        "COPY INTO {} FROM @{}/{} FILES = ({}) FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE) \
         MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE ON_ERROR = ABORT_STATEMENT",
        raw.sql(),
        stage.name,
        way.folder,
        names.join(", ")
    );
    worker.run(statement).await?;
    for name in &files {
        // What is left there only takes room.
        if let Err(error) = way.stores.remove(&format!("{}{name}", place(way, stage))).await {
            tracing::warn!(%error, "a file is left behind on the stage");
        }
    }
    if !plain {
        let own: Vec<String> = columns.iter().map(|column| column.name.sql()).collect();
        let values: Vec<String> = columns.iter().map(|column| value(&column.name.sql(), column.sql_type)).collect();
        let (own, values) = (own.join(", "), values.join(", "));
        worker.run(format!("INSERT INTO {} ({own}) SELECT {values} FROM {}", table.sql(), raw.sql())).await?;
        worker.run(format!("DROP TABLE IF EXISTS {}", raw.sql())).await?;
    }
    let loaded = catalogue::count(worker, table).await?;
    if loaded != written {
        let message = format!("{written} rows were laid on the stage and {loaded} came into the table");
        return Err(BackendError::new(Remedy::Retry, message));
    }
    Ok(loaded)
}

/// The URL of the attempt's folder.
fn place(way: &Way<'_>, stage: &Stage) -> String {
    format!("{}/{}", stage.url.trim_end_matches('/'), way.folder)
}

/// The type that values of a type have on the stage: text, where Parquet has nothing that the server reads as the same.
fn travels(sql_type: SqlType) -> SqlType {
    match sql_type {
        SqlType::Number { .. } | SqlType::Float | SqlType::Boolean | SqlType::Date | SqlType::Varchar(_) => sql_type,
        _ => SqlType::TEXT,
    }
}

/// Writes the rows as Parquet to the stage's folder; the names of the files and the number of rows.
async fn lay(
    columns: &[Column],
    laid: &[Column],
    mut rows: Rows,
    way: &Way<'_>,
    stage: &Stage,
) -> Result<(Vec<String>, u64), BackendError> {
    let field = |column: &Column| Field::new(column.name.as_str(), column.sql_type.arrow("UTC"), true);
    let schema = Arc::new(Schema::new(laid.iter().map(field).collect::<Vec<_>>()));
    let aside = way.stores.aside(&place(way, stage), "load").await?;
    let (mut files, mut written) = (Vec::new(), 0);
    let mut open: Option<(Upload, ArrowWriter<Vec<u8>>)> = None;
    while let Some(batch) = rows.next().await {
        let batch = for_stage(&batch?, columns, &schema)?;
        written += batch.num_rows() as u64;
        let (_, writer) = match &mut open {
            Some(open) => open,
            None => {
                let name = format!("part-{:04}.parquet", files.len());
                let upload = aside.begin(&name)?;
                files.push(name);
                open.insert((upload, writer(&schema)?))
            }
        };
        writer.write(&batch).map_err(|error| unwritable(&error))?;
        if writer.bytes_written() + writer.in_progress_size() >= FILE_BYTES
            && let Some(full) = open.take()
        {
            finish(full).await?;
        }
    }
    if let Some(last) = open {
        finish(last).await?;
    }
    Ok((files, written))
}

fn writer(schema: &SchemaRef) -> Result<ArrowWriter<Vec<u8>>, BackendError> {
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties)).map_err(|error| unwritable(&error))
}

async fn finish((mut upload, writer): (Upload, ArrowWriter<Vec<u8>>)) -> Result<(), BackendError> {
    let bytes = writer.into_inner().map_err(|error| unwritable(&error))?;
    upload.write(&bytes).await?;
    upload.close().await?;
    Ok(upload.show().await?)
}

fn unwritable(error: &parquet::errors::ParquetError) -> BackendError {
    BackendError::author(format!("the rows could not be written as Parquet: {error}"))
}

/// A batch as it is laid on the stage.
fn for_stage(batch: &RecordBatch, columns: &[Column], schema: &SchemaRef) -> Result<RecordBatch, BackendError> {
    let laid = |(array, column): (&ArrayRef, &Column)| match travels(column.sql_type) == column.sql_type {
        true => sql_cast::exactly(array, &column.sql_type.arrow("UTC")),
        false => texts(array).map(|texts| Arc::new(texts) as ArrayRef).map_err(|error| error.into()),
    };
    let arrays: Result<Vec<ArrayRef>, _> = batch.columns().iter().zip(columns).map(laid).collect();
    arrays
        .and_then(|arrays| RecordBatch::try_new(schema.clone(), arrays))
        .map_err(|error| BackendError::author(format!("the rows do not fit their columns: {error}")))
}

/// Puts rows into a table that has these columns, as parameters, and gives their number.
async fn insert(
    worker: &mut Worker,
    table: &TableName,
    columns: &[Column],
    batches: &[RecordBatch],
) -> Result<u64, BackendError> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let a_time = (VALUES_A_STATEMENT / columns.len().max(1)).max(1);
    for batch in batches {
        let texts: Result<Vec<StringArray>, _> = batch.columns().iter().map(texts).collect();
        let texts = texts.map_err(|error| BackendError::author(error.to_string()))?;
        for start in (0..batch.num_rows()).step_by(a_time) {
            let end = (start + a_time).min(batch.num_rows());
            worker.once_only(statement(table, columns, &texts, start..end)).await?;
        }
    }
    let loaded = catalogue::count(worker, table).await?;
    if loaded != rows as u64 {
        let message = format!("{rows} rows were sent and {loaded} came into the table");
        return Err(BackendError::new(Remedy::Retry, message));
    }
    Ok(loaded)
}

fn statement(
    table: &TableName,
    columns: &[Column],
    texts: &[StringArray],
    rows: std::ops::Range<usize>,
) -> Statement<PositionalBinds> {
    let names: Vec<String> = columns.iter().map(|column| column.name.sql()).collect();
    let values = columns.iter().enumerate().map(|(at, column)| value(&format!("COLUMN{}", at + 1), column.sql_type));
    let values: Vec<String> = values.collect();
    let row = format!("({})", vec!["?"; columns.len()].join(", "));
    let sql = format!(
        "INSERT INTO {} ({}) SELECT {} FROM VALUES {}",
        table.sql(),
        names.join(", "),
        values.join(", "),
        vec![row; rows.len()].join(", ")
    );
    let mut statement = Statement::new_positional(sql);
    for row in rows {
        for column in texts {
            statement = statement.bind(if column.is_valid(row) {
                RawBind::new(BindType::Text, column.value(row))
            } else {
                RawBind::null(BindType::Text)
            });
        }
    }
    statement
}

/// What makes a value of the column's type of its text.
fn value(text: &str, sql_type: SqlType) -> String {
    match sql_type {
        SqlType::Varchar(_) | SqlType::Null => text.to_owned(),
        SqlType::Variant => format!("PARSE_JSON({text})"),
        SqlType::Object => format!("PARSE_JSON({text})::OBJECT"),
        SqlType::Array => format!("PARSE_JSON({text})::ARRAY"),
        SqlType::Vector(..) => format!("PARSE_JSON({text})::ARRAY::{sql_type}"),
        SqlType::Binary => format!("TO_BINARY({text}, 'HEX')"),
        other => format!("{text}::{other}"),
    }
}

/// The values of a column as the text that [`value`] reads.
fn texts(column: &ArrayRef) -> Result<StringArray, datafusion::common::DataFusionError> {
    match SqlType::of(column.data_type()) {
        Some(SqlType::Variant | SqlType::Object | SqlType::Array) => {
            let texts = convert::to_texts(column)?;
            Ok(texts.iter().map(|text| text.map(|text| print::strict_json(text).into_owned())).collect())
        }
        Some(SqlType::Binary) => {
            let bytes = cast(column, &DataType::Binary)?;
            Ok(bytes.as_binary::<i32>().iter().map(|bytes| bytes.map(hex::encode_upper)).collect())
        }
        Some(SqlType::TimestampTz | SqlType::Vector(..)) => {
            let texts = convert::to_texts(&convert::to_variant(column)?)?;
            Ok(convert::to_varchar(&texts))
        }
        _ => Ok(cast(column, &DataType::Utf8)?.as_string::<i32>().clone()),
    }
}
