//! Executing plans: every partition runs as a task of its own, and what they give is gathered or written by one.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream_partitioned;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Embedded, failed, of_warehouse};
use crate::backend::{BackendError, Rows};
use crate::opaque::Opaque;
use crate::warehouse::{Staged, Writer};

/// Batches that a partition may be ahead of whoever takes them.
const AHEAD: usize = 2;

/// The batches of all partitions of a plan. Dropping it stops the tasks.
pub(super) struct Streams {
    batches: mpsc::Receiver<Result<RecordBatch, DataFusionError>>,
    tasks: JoinSet<()>,
}

impl Embedded {
    /// Starts a plan whose inputs have rows.
    pub(super) async fn streams(&self, plan: &Opaque<LogicalPlan>) -> Result<Streams, BackendError> {
        start(self.partitions(plan).await?)
    }

    /// Starts a plan, partition by partition.
    pub(super) async fn partitions(
        &self,
        plan: &Opaque<LogicalPlan>,
    ) -> Result<Vec<SendableRecordBatchStream>, BackendError> {
        let plan = self.optimized(plan)?;
        let planner = Arc::clone(self.state.query_planner());
        let planning = planner.create_physical_plan(&plan, &*self.state);
        execute_stream_partitioned(planning.await.map_err(failed)?, self.context()).map_err(failed)
    }

    fn optimized(&self, plan: &LogicalPlan) -> Result<Opaque<LogicalPlan>, BackendError> {
        let state: &SessionState = &self.state;
        state.optimizer().optimize(plan.clone(), state, |_, _| {}).map(Opaque::new).map_err(failed)
    }
}

/// A task that ended without a word.
pub(super) fn panicked() -> BackendError {
    BackendError::author("the engine panicked; this is a defect of `pipe`, please report it")
}

fn start(streams: Vec<SendableRecordBatchStream>) -> Result<Streams, BackendError> {
    let (sender, batches) = mpsc::channel(AHEAD * streams.len().max(1));
    let mut tasks = JoinSet::new();
    for stream in streams {
        tasks.spawn(forward(stream, sender.clone()));
    }
    Ok(Streams { batches, tasks })
}

async fn forward(mut stream: SendableRecordBatchStream, sender: mpsc::Sender<Result<RecordBatch, DataFusionError>>) {
    while let Some(batch) = stream.next().await {
        let last = batch.is_err();
        if sender.send(batch).await.is_err() || last {
            return;
        }
    }
}

impl Streams {
    /// What some tasks send.
    pub(super) fn new(batches: mpsc::Receiver<Result<RecordBatch, DataFusionError>>, tasks: JoinSet<()>) -> Self {
        Self { batches, tasks }
    }

    /// Batches that come from elsewhere.
    pub(super) fn from_rows(mut rows: Rows) -> Self {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Some(batch) = rows.next().await {
                let last = batch.is_err();
                let batch = batch.map_err(|error| DataFusionError::External(Box::new(error)));
                if sender.send(batch).await.is_err() || last {
                    return;
                }
            }
        });
        Self { batches: receiver, tasks }
    }

    /// The batches as a stream of its own.
    pub(super) fn into_rows(self) -> Rows {
        let next = |mut streams: Self| async move { streams.next().await.map(|batch| (batch, streams)) };
        Box::pin(futures::stream::unfold(self, next))
    }

    /// The next batch that has rows.
    pub(super) async fn next(&mut self) -> Option<Result<RecordBatch, BackendError>> {
        loop {
            let Some(batch) = self.batches.recv().await else { return self.panicked().await.map(Err) };
            match batch {
                Ok(batch) if batch.num_rows() == 0 => {}
                batch => return Some(batch.map_err(failed)),
            }
        }
    }

    /// A partition that panicked has sent no error.
    async fn panicked(&mut self) -> Option<BackendError> {
        while let Some(ended) = self.tasks.join_next().await {
            if ended.is_err_and(|error| error.is_panic()) {
                return Some(panicked());
            }
        }
        None
    }
}

/// All batches.
pub(super) async fn collect(mut streams: Streams) -> Result<Vec<RecordBatch>, BackendError> {
    let mut batches = Vec::new();
    while let Some(batch) = streams.next().await {
        batches.push(batch?);
    }
    Ok(batches)
}

/// Writes all batches aside.
pub(super) async fn write(mut streams: Streams, mut writer: Writer) -> Result<Staged, BackendError> {
    while let Some(batch) = streams.next().await {
        writer.write(&batch?).map_err(of_warehouse)?;
    }
    let finished = tokio::task::spawn_blocking(move || writer.finish()).await;
    finished.map_err(|error| BackendError::author(format!("writing stopped: {error}")))?.map_err(of_warehouse)
}
