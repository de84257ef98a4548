//! Running a transform: its inputs flow into the kernel from all partitions at once, and its rows are taken while they
//! are made. Where the rows do not fit in the run's memory and the kernel can work on them part by part, they are
//! sorted, on disk if need be, and the kernel is given some groups of rows after the other.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::partition;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, SortExpr};
use datafusion::prelude::Column as ColumnName;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::execute::{Streams, panicked};
use super::shared::Spills;
use super::{Embedded, failed};
use crate::backend::{BackendError, Built, Keep, Remedy, Rows};
use crate::name::Name;
use crate::opaque::Opaque;
use crate::plan::{PlannedStep, PlannedTransform, StepId};
use crate::transform::{Context, Kernel, Parts, Transform, TransformError, newest};

/// Batches of a result that a kernel may be ahead.
const AHEAD: usize = 16;

/// The share of the run's memory that one part of the sorted rows may take.
const PART: usize = 16;

impl Embedded {
    pub(super) async fn build_transform(
        &self,
        step: &PlannedStep,
        work: &PlannedTransform,
        keep: &Keep,
    ) -> Result<Built, BackendError> {
        if let Some(query) = work.queries.first().filter(|_| work.transform.is_query()) {
            let plan = self.with_rows(&query.plan).await?;
            return self.keep(step, self.streams(&plan).await?, keep).await;
        }
        let context =
            Context { now: work.now, threads: self.limits.threads.max(1), memory: self.limits.memory, newest: None };
        let memory = MemoryConsumer::new(format!("step {}", step.id)).register(&self.state.runtime_env().memory_pool);
        let room = Arc::new(Room { memory, transform: Arc::clone(&work.transform) });
        let kernel = work.kernel(context);
        for (input, query) in work.queries.iter().enumerate() {
            let plan = self.with_rows(&query.plan).await?;
            if !self.feed(&plan, &kernel, input, &room).await? {
                drop(kernel);
                room.memory.free();
                // The sort has what is left: parts, their kernels and their results take this.
                room.memory.grow(self.limits.memory / 4);
                return match work.transform.sorted_by() {
                    Some(by) => self.build_sorted(step, work, keep, context, (room, by)).await,
                    None => self.build_parts(step, work, keep, context, room).await,
                };
            }
        }
        let built = self.keep(step, of_kernel(kernel, &step.id), keep).await;
        drop(room);
        built
    }

    /// Gives all rows of a plan to a kernel, each partition from a thread of its own; false where they do not fit.
    async fn feed(
        &self,
        plan: &Opaque<LogicalPlan>,
        kernel: &Arc<dyn Kernel>,
        input: usize,
        room: &Arc<Room>,
    ) -> Result<bool, BackendError> {
        let threads = self.limits.threads.max(1);
        let mut tasks = JoinSet::new();
        for (at, mut stream) in self.partitions(plan).await?.into_iter().enumerate() {
            let (kernel, room) = (Arc::clone(kernel), Arc::clone(room));
            tasks.spawn(async move {
                while let Some(batch) = stream.next().await {
                    let batch = batch.map_err(failed)?;
                    if !room.takes(&batch) {
                        return Ok(false);
                    }
                    kernel.push(at % threads, input, batch).map_err(of_transform)?;
                    tokio::task::consume_budget().await;
                }
                Ok::<_, BackendError>(true)
            });
        }
        while let Some(ended) = tasks.join_next().await {
            if !ended.map_err(|_| panicked())?? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The result of a transform whose rows do not fit, from a kernel that takes them in order.
    async fn build_sorted(
        &self,
        step: &PlannedStep,
        work: &PlannedTransform,
        keep: &Keep,
        context: Context,
        (room, by): (Arc<Room>, Vec<Name>),
    ) -> Result<Built, BackendError> {
        let schemas = work.queries.iter().map(|query| Arc::clone(query.plan.schema().inner())).collect();
        let scratch = Arc::new(Spills(self.state.runtime_env().clone()));
        let kernel: Arc<dyn Kernel> = work.transform.kernel_of_sorted(schemas, context, scratch).into();
        for (input, query) in work.queries.iter().enumerate() {
            let plan = self.with_rows(&query.plan).await?;
            let mut rows = match input {
                0 => self.in_order(&plan, &by).await?.ok_or_else(|| too_large(work))?,
                _ => self.streams(&plan).await?.into_rows(),
            };
            while let Some(batch) = rows.next().await {
                let (kernel, batch) = (Arc::clone(&kernel), batch?);
                let pushed = tokio::task::spawn_blocking(move || kernel.push(0, input, batch).map_err(of_transform));
                pushed.await.map_err(|_| panicked())??;
            }
        }
        let built = self.keep(step, of_kernel(kernel, &step.id), keep).await;
        drop(room);
        built
    }

    /// The rows of a plan in ascending order of columns, NULL last; none where the engine's order of them is not that of
    /// kernels.
    async fn in_order(&self, plan: &Opaque<LogicalPlan>, by: &[Name]) -> Result<Option<Rows>, BackendError> {
        if !can_sort(plan, by) {
            return Ok(None);
        }
        let by = by.iter().map(|name| SortExpr::new(column(name), true, false));
        let sorted = LogicalPlanBuilder::from(LogicalPlan::clone(plan)).sort(by).and_then(LogicalPlanBuilder::build);
        let mut sorted = self.partitions(&Opaque::new(sorted.map_err(failed)?)).await?;
        let rows = sorted.pop().filter(|_| sorted.is_empty());
        Ok(rows.map(|rows| rows.map(|batch| batch.map_err(failed)).boxed()))
    }

    /// The result of a transform whose rows do not fit, part by part.
    async fn build_parts(
        &self,
        step: &PlannedStep,
        work: &PlannedTransform,
        keep: &Keep,
        mut context: Context,
        room: Arc<Room>,
    ) -> Result<Built, BackendError> {
        let main = work.queries.first().ok_or_else(|| too_large(work))?;
        let parts = work.transform.parts().ok_or_else(|| too_large(work))?;
        let plan = self.with_rows(&main.plan).await?;
        if let Some(time) = &parts.newest {
            context.newest = self.newest(&plan, time).await?;
        }
        let mut others = Vec::new();
        for query in work.queries.iter().skip(1) {
            let plan = self.with_rows(&query.plan).await?;
            others.push(super::execute::collect(self.streams(&plan).await?).await?);
        }
        let rows = self.in_order(&plan, &parts.by).await?.ok_or_else(|| too_large(work))?;
        let limit = self.limits.memory / PART;
        let work =
            SortedParts { work: work.clone(), context, parts, others, limit, step: step.id.clone(), _room: room };
        let (sender, receiver) = mpsc::channel(AHEAD);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            if let Err(error) = work.run(rows, &sender).await {
                // Whoever does not listen any more needs no reason.
                drop(sender.send(Err(DataFusionError::External(Box::new(error)))).await);
            }
        });
        self.keep(step, Streams::new(receiver, tasks), keep).await
    }

    /// The newest time in a column.
    async fn newest(&self, plan: &Opaque<LogicalPlan>, time: &Name) -> Result<Option<i64>, BackendError> {
        let times = LogicalPlanBuilder::from(LogicalPlan::clone(plan)).project([column(time)]);
        let times = times.and_then(LogicalPlanBuilder::build).map_err(failed)?;
        let mut streams = self.streams(&Opaque::new(times)).await?;
        let mut found = None;
        while let Some(batch) = streams.next().await {
            found = found.max(newest(batch?.column(0)).map_err(of_transform)?);
        }
        Ok(found)
    }
}

fn too_large(work: &PlannedTransform) -> BackendError {
    let kind = work.transform.kind();
    let message = format!("the rows of this `{kind}` do not fit in the run's memory; raise `--memory-limit`");
    BackendError::new(Remedy::Resources, message)
}

fn column(name: &Name) -> datafusion::logical_expr::Expr {
    datafusion::logical_expr::Expr::Column(ColumnName::from_name(name.as_str()))
}

/// Whether the engine's order of these columns puts rows together that a kernel takes as one group: 0.0 and -0.0 are
/// one number and sorted apart.
fn can_sort(plan: &LogicalPlan, by: &[Name]) -> bool {
    let of =
        |name: &Name| plan.schema().field_with_unqualified_name(name.as_str()).map(|field| field.data_type().clone());
    by.iter().all(|name| of(name).is_ok_and(|data_type| !data_type.is_floating() && data_type != DataType::Null))
}

/// What of the run's memory a kernel and its rows take.
struct Room {
    memory: MemoryReservation,
    transform: Arc<Transform>,
}

impl Room {
    fn takes(&self, batch: &RecordBatch) -> bool {
        let footprint = self.transform.footprint();
        let held = if footprint.holds_rows { batch.get_array_memory_size() } else { 0 };
        self.memory.try_grow(held + footprint.per_row * batch.num_rows()).is_ok()
    }
}

/// The result of a kernel that has all its rows, computed while it is taken.
fn of_kernel(kernel: Arc<dyn Kernel>, step: &StepId) -> Streams {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let mut tasks = JoinSet::new();
    let step = step.clone();
    tasks.spawn_blocking(move || {
        if let Err(error) = finish(&*kernel, &step, &sender) {
            drop(sender.blocking_send(Err(DataFusionError::External(Box::new(error)))));
        }
    });
    Streams::new(receiver, tasks)
}

type Sender = mpsc::Sender<Result<RecordBatch, DataFusionError>>;

/// Computes a kernel's result and sends it. That nobody takes it any more is no error.
fn finish(kernel: &dyn Kernel, step: &StepId, sender: &Sender) -> Result<(), BackendError> {
    let mut give = |batch| sender.blocking_send(Ok(batch)).map_err(|_| TransformError::Stopped);
    match kernel.finish(&mut give) {
        Ok(finished) => {
            for (why, rows) in finished.dropped {
                tracing::info!(%step, rows, why, "rows left out");
            }
            Ok(())
        }
        Err(TransformError::Stopped) => Ok(()),
        Err(error) => Err(of_transform(error)),
    }
}

fn of_transform(error: TransformError) -> BackendError {
    match error {
        TransformError::TooLarge(message) => BackendError::new(Remedy::Resources, message),
        other => BackendError::author(other.to_string()),
    }
}

/// A transform over sorted rows.
struct SortedParts {
    work: PlannedTransform,
    context: Context,
    parts: Parts,
    /// The rows of the inputs after the first, which every part needs.
    others: Vec<Vec<RecordBatch>>,
    /// Bytes of rows that make a part.
    limit: usize,
    step: StepId,
    _room: Arc<Room>,
}

impl SortedParts {
    async fn run(self, mut rows: Rows, sender: &Sender) -> Result<(), BackendError> {
        let this = Arc::new(self);
        let (mut waiting, mut bytes, mut any) = (Vec::new(), 0, false);
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            bytes += batch.get_array_memory_size();
            let last_group = if bytes >= this.limit { this.last_group(&batch)? } else { 0 };
            if last_group > 0 {
                waiting.push(batch.slice(0, last_group));
                this.clone().part(std::mem::take(&mut waiting), sender).await?;
                any = true;
                let rest = batch.slice(last_group, batch.num_rows() - last_group);
                bytes = rest.num_rows() * batch.get_array_memory_size() / batch.num_rows();
                waiting.push(rest);
            } else if bytes >= this.limit * PART / 2 {
                let by: Vec<String> = this.parts.by.iter().map(Name::lower).collect();
                let message = format!("the rows of one `{}` alone do not fit in the run's memory", by.join(", "));
                return Err(BackendError::new(Remedy::Resources, message));
            } else {
                waiting.push(batch);
            }
        }
        if waiting.is_empty() && any {
            return Ok(());
        }
        this.part(waiting, sender).await
    }

    /// Where the last group of a batch starts.
    fn last_group(&self, batch: &RecordBatch) -> Result<usize, BackendError> {
        let keys = self.parts.by.iter().filter_map(|name| batch.column_by_name(name.as_str()).cloned());
        let groups = partition(&keys.collect::<Vec<ArrayRef>>()).map_err(|error| failed(error.into()))?;
        Ok(groups.ranges().last().map_or(0, |range| range.start))
    }

    /// The result for whole groups.
    async fn part(self: Arc<Self>, rows: Vec<RecordBatch>, sender: &Sender) -> Result<(), BackendError> {
        let sender = sender.clone();
        let done = tokio::task::spawn_blocking(move || {
            let kernel = self.work.kernel(self.context);
            let all = std::iter::once(&rows).chain(&self.others);
            for (input, batches) in all.enumerate() {
                for (at, batch) in batches.iter().enumerate() {
                    kernel.push(at % self.context.threads, input, batch.clone()).map_err(of_transform)?;
                }
            }
            drop(rows);
            finish(&*kernel, &self.step, &sender)
        });
        done.await.map_err(|_| panicked())?
    }
}

impl PlannedTransform {
    /// A kernel for the rows of its queries.
    fn kernel(&self, context: Context) -> Arc<dyn Kernel> {
        let schemas = self.queries.iter().map(|query| Arc::clone(query.plan.schema().inner())).collect();
        self.transform.kernel(schemas, context).into()
    }
}
