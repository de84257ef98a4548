//! What does not fit in memory: results that are computed once and held for several readers, as batches in memory while
//! they fit and the rest in a spill file, and the files of transforms.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::catalog::Session;
use datafusion::common::DataFusionError;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::execution::SpillFile;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

use super::execute::Streams;
use super::{Limits, failed};
use crate::backend::{BackendError, Rows};
use crate::dialect::cast::exactly;
use crate::transform::{Scratch, ScratchFile};

/// The rows of a step.
pub(super) struct Shared {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    spilled: Option<Arc<dyn SpillFile>>,
    rows: u64,
    parts: usize,
    _memory: MemoryReservation,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shared({} rows)", self.rows)
    }
}

impl Shared {
    /// Takes all batches, in memory up to a third of the run's limit, so that its readers can still work.
    pub(super) async fn collect(
        mut streams: Streams,
        schema: SchemaRef,
        state: &SessionState,
        limits: &Limits,
    ) -> Result<Self, BackendError> {
        let runtime = state.runtime_env();
        let memory = MemoryConsumer::new("a shared step").register(&runtime.memory_pool);
        let mut shared =
            Self { schema, batches: Vec::new(), spilled: None, rows: 0, parts: limits.threads.max(1), _memory: memory };
        let mut spill: Option<StreamWriter<BufWriter<File>>> = None;
        while let Some(batch) = streams.next().await {
            let batch = fitted(&batch?, &shared.schema).map_err(failed)?;
            shared.rows += batch.num_rows() as u64;
            let size = batch.get_array_memory_size();
            let fits = runtime.memory_pool.reserved() + size <= limits.memory / 3;
            if spill.is_none() && fits && shared._memory.try_grow(size).is_ok() {
                shared.batches.push(batch);
                continue;
            }
            let writer = match &mut spill {
                Some(writer) => writer,
                None => {
                    let file = runtime.disk_manager.create_tmp_file("a shared step").map_err(failed)?;
                    let writer = spill_writer(&*file, &shared.schema).map_err(failed)?;
                    shared.spilled = Some(file);
                    spill.insert(writer)
                }
            };
            writer.write(&batch).map_err(|error| failed(error.into()))?;
        }
        if let Some(mut writer) = spill {
            writer.finish().map_err(|error| failed(error.into()))?;
        }
        Ok(shared)
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// All rows in the order in which they came.
    pub(super) fn stream(self: Arc<Self>) -> Rows {
        let spilled = self.spilled.as_ref().map(|file| open(&**file));
        let held = self.clone();
        let memory = (0..self.batches.len()).map(move |at| Ok(held.batches[at].clone()));
        let disk = spilled.into_iter().flat_map(|reader| {
            type Batches = Box<dyn Iterator<Item = Result<RecordBatch, BackendError>> + Send>;
            let batches: Batches = match reader {
                Ok(reader) => Box::new(reader.map(|batch| batch.map_err(|error| failed(error.into())))),
                Err(error) => Box::new(std::iter::once(Err(failed(error)))),
            };
            batches
        });
        Box::pin(futures::stream::iter(memory.chain(disk)))
    }

    /// The batches in memory, dealt out to as many parts as there are threads.
    fn parts(&self) -> Vec<Vec<RecordBatch>> {
        let size = self.batches.len().div_ceil(self.parts).max(1);
        let mut parts: Vec<_> = self.batches.chunks(size).map(<[RecordBatch]>::to_vec).collect();
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        parts
    }
}

fn spill_writer(file: &dyn SpillFile, schema: &SchemaRef) -> Result<StreamWriter<BufWriter<File>>, DataFusionError> {
    let file = File::options().write(true).open(path_of(file)?)?;
    Ok(StreamWriter::try_new(BufWriter::new(file), schema)?)
}

/// The batch under the schema that the step's readers were bound against.
pub(crate) fn fitted(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, DataFusionError> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns: Result<Vec<ArrayRef>, _> = columns
        .map(|(column, field)| match column.data_type() == field.data_type() {
            true => Ok(column.clone()),
            false => exactly(column, field.data_type()),
        })
        .collect();
    Ok(RecordBatch::try_new(schema.clone(), columns?)?)
}

impl Shared {
    fn plan(
        &self,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let part = |rows: Held| Arc::new(Part { schema: self.schema.clone(), rows }) as Arc<dyn PartitionStream>;
        let mut parts: Vec<_> = self.parts().into_iter().map(|batches| part(Held::Batches(batches))).collect();
        parts.extend(self.spilled.iter().map(|file| part(Held::File(file.clone()))));
        Ok(Arc::new(StreamingTableExec::try_new(self.schema.clone(), parts, projection, None, false, limit)?))
    }
}

#[async_trait]
impl TableProvider for Shared {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
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

/// Part of a shared result.
struct Part {
    schema: SchemaRef,
    rows: Held,
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Part")
    }
}

enum Held {
    Batches(Vec<RecordBatch>),
    File(Arc<dyn SpillFile>),
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        type Batches = Box<dyn Iterator<Item = Result<RecordBatch, DataFusionError>> + Send>;
        let batches: Batches = match &self.rows {
            Held::Batches(batches) => Box::new(batches.clone().into_iter().map(Ok)),
            Held::File(file) => match open(&**file) {
                Ok(reader) => Box::new(reader.map(|batch| Ok(batch?))),
                Err(error) => Box::new(std::iter::once(Err(error))),
            },
        };
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), futures::stream::iter(batches)))
    }
}

fn path_of(file: &dyn SpillFile) -> Result<&std::path::Path, DataFusionError> {
    file.path().ok_or_else(|| DataFusionError::Internal("spill files are local".to_owned()))
}

fn open(file: &dyn SpillFile) -> Result<StreamReader<BufReader<File>>, DataFusionError> {
    Ok(StreamReader::try_new(BufReader::new(File::open(path_of(file)?)?), None)?)
}

/// Files for what kernels cannot hold.
pub(super) struct Spills(pub(super) Arc<RuntimeEnv>);

struct Spill {
    file: Arc<dyn SpillFile>,
    writer: Mutex<BufWriter<File>>,
}

impl Scratch for Spills {
    fn file(&self) -> io::Result<Box<dyn ScratchFile>> {
        let file = self.0.disk_manager.create_tmp_file("a transform").map_err(io::Error::other)?;
        let writer = File::options().write(true).open(path_of(&*file).map_err(io::Error::other)?)?;
        Ok(Box::new(Spill { file, writer: Mutex::new(BufWriter::new(writer)) }))
    }
}

impl ScratchFile for Spill {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).write_all(bytes)
    }

    fn reader(&self) -> io::Result<Box<dyn Read + Send>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).flush()?;
        Ok(Box::new(File::open(path_of(&*self.file).map_err(io::Error::other)?)?))
    }
}
