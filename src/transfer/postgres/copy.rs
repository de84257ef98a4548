//! Rows into a table by binary COPY: encoded on a thread of their own while others are computed and sent.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{Field, Schema};
use futures::{SinkExt, StreamExt};
use pgpq::ArrowToPostgresBinaryEncoder;
use tokio::sync::mpsc;
use tokio_postgres::Client;

use super::fault::Server;
use super::table::{Column, Table, quoted};
use super::types::Wire;
use crate::backend::{BackendError, Remedy, Rows};
use crate::plan::PlannedStep;
use crate::transfer::stopped;

/// Batches and pieces that wait for whoever takes them.
const AHEAD: usize = 4;
/// Bytes that are sent together.
const PIECE: usize = 1 << 20;

/// A column that is written.
pub(super) struct Written {
    /// Its name there.
    pub(super) name: String,
    type_text: String,
    wire: Wire,
    field: Arc<Field>,
}

/// The columns of a table that a step's columns go into, in the step's order.
pub(super) fn matched(table: &Table, names: &[String], step: &PlannedStep) -> Result<Vec<Written>, BackendError> {
    let place = table.name.sql();
    let mut written: Vec<Written> = Vec::new();
    for ((name, column), field) in names.iter().zip(&step.columns).zip(step.schema.fields()) {
        let exact = table.columns.iter().find(|there| there.name == *name);
        let there = exact.or_else(|| table.columns.iter().find(|there| there.name.eq_ignore_ascii_case(name)));
        let Some(there) = there else {
            let near = crate::name::nearest(name, table.columns.iter().map(|column| column.name.as_str()));
            let near = near.map_or_else(String::new, |near| format!("; it has `{near}`"));
            return Err(BackendError::author(format!("table {place} has no column `{name}`{near}")));
        };
        if written.iter().any(|other| other.name == there.name) {
            return Err(BackendError::author(format!("two columns would go into `{}` of {place}", there.name)));
        }
        let Some(wire) = Wire::of(&there.type_name) else {
            let message = format!("column `{}` of {place} is {}", there.name, there.type_text);
            return Err(BackendError::author(format!("{message}, which rows cannot be written to")));
        };
        if let Some(hint) = wire.refuses(column.sql_type) {
            let (there, sql_type) = (format!("`{}` of {place} is {}", there.name, there.type_text), column.sql_type);
            return Err(BackendError::author(format!("column {there}, and what comes is {sql_type}; {hint}")));
        }
        let field = Arc::new(wire.field(&there.name, field.data_type()));
        written.push(Written { name: there.name.clone(), type_text: there.type_text.clone(), wire, field });
    }
    let forgotten = |there: &&Column| there.required && !written.iter().any(|column| column.name == there.name);
    if let Some(column) = table.columns.iter().find(forgotten) {
        let message = format!("column `{}` of {place} must have a value, and the export has none for it", column.name);
        return Err(BackendError::author(message));
    }
    Ok(written)
}

/// Copies the rows in, and says how many.
pub(super) async fn copy(
    client: &Client,
    server: &Server,
    table: &str,
    columns: Vec<Written>,
    mut rows: Rows,
) -> Result<u64, BackendError> {
    let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
    let sql = format!("copy {table} ({}) from stdin (format binary)", names.join(", "));
    let sink = client.copy_in::<_, Bytes>(&sql).await.map_err(|error| server.explained(&error))?;
    let mut sink = std::pin::pin!(sink);
    let (to_encode, batches) = mpsc::channel(AHEAD);
    let (pieces, mut encoded) = mpsc::channel(AHEAD);
    let encoding = tokio::task::spawn_blocking(move || encode(&columns, batches, &pieces));
    let feeding = async move {
        while let Some(batch) = rows.next().await {
            // Whoever encodes went away with an error of its own.
            if to_encode.send(batch?).await.is_err() {
                break;
            }
        }
        Ok::<_, BackendError>(())
    };
    let sending = async {
        while let Some(piece) = encoded.recv().await {
            sink.send(piece).await.map_err(|error| server.explained(&error))?;
        }
        Ok::<_, BackendError>(())
    };
    tokio::try_join!(feeding, sending)?;
    encoding.await.map_err(|error| stopped(&error))??;
    sink.finish().await.map_err(|error| server.explained(&error))
}

fn encode(
    columns: &[Written],
    mut batches: mpsc::Receiver<RecordBatch>,
    pieces: &mpsc::Sender<Bytes>,
) -> Result<(), BackendError> {
    let wrong = |error: pgpq::error::ErrorKind| BackendError::author(format!("rows could not be written: {error}"));
    let schema = Arc::new(Schema::new(columns.iter().map(|column| column.field.clone()).collect::<Vec<_>>()));
    let mut encoders = std::collections::HashMap::new();
    for column in columns {
        encoders.insert(column.name.clone(), column.wire.encoder(&column.field)?);
    }
    let mut encoder = ArrowToPostgresBinaryEncoder::try_new_with_encoders(&schema, &encoders).map_err(wrong)?;
    let mut out = BytesMut::with_capacity(PIECE * 2);
    encoder.write_header(&mut out).map_err(wrong)?;
    while let Some(batch) = batches.blocking_recv() {
        let batch = fitted(&batch, columns, &schema)?;
        encoder.write_batch(&batch, &mut out).map_err(wrong)?;
        if out.len() >= PIECE {
            send(pieces, out.split().freeze())?;
        }
    }
    encoder.write_footer(&mut out).map_err(wrong)?;
    send(pieces, out.freeze())
}

fn fitted(batch: &RecordBatch, columns: &[Written], schema: &Arc<Schema>) -> Result<RecordBatch, BackendError> {
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    for (column, array) in columns.iter().zip(batch.columns()) {
        let values = column.wire.values(array, column.field.data_type());
        arrays.push(values.map_err(|why| {
            BackendError::author(format!("column `{}`, which is {}: {why}", column.name, column.type_text))
        })?);
    }
    RecordBatch::try_new(schema.clone(), arrays).map_err(|error| BackendError::author(error.to_string()))
}

fn send(pieces: &mpsc::Sender<Bytes>, piece: Bytes) -> Result<(), BackendError> {
    pieces.blocking_send(piece).map_err(|_| BackendError::new(Remedy::Cancelled, "the export was stopped"))
}
