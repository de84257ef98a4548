//! The built-in transforms: what a step can do besides SQL. Each has typed parameters with their places, output columns
//! known before any data, a native kernel over Arrow, and the same rows as generated Snowflake SQL. Nothing here reads a
//! file or a clock: "now" is the run's pinned instant, given by the caller.
//!
//! ```text
//! YAML ─ parse ─▶ Transform ─ output ─▶ columns, diagnostics      (compile time)
//!                     ├─ query ─▶ SQL that reads one input ─┐
//!                     ├─ kernel ◀── rows of these queries ──┘     (embedded engine)
//!                     └─ sql ─▶ one query, the same rows          (warehouse)
//! ```
//!
//! Rules of all transforms. The rows do not depend on threads, batches or the order of the input: sums run over sorted
//! values and ties end in an explicit order. Sums are of 64-bit floats. A row without the key or number a transform
//! needs (NULL) is dropped and counted. NaN is an error unless `on_nan: drop`. Infinite numbers are ordered as the
//! greatest and least, and refused where arithmetic on them has no meaning. Ids may be of any scalar type and are equal
//! as in SQL `=`. Empty inputs give empty outputs.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use thiserror::Error;

use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::name::{Name, TableName};
use crate::text::Spanned;
use crate::yaml::Node;
use crate::yaml::shape::{Key, Shape};

/// Values of YAML as parameters: columns, durations, tables.
mod param;

/// The columns of inputs, and what is wrong with the author's use of them.
mod scope;

/// Columns of Arrow as the numbers, times and keys that kernels work on.
mod column;

/// Ids of any type as dense integers in the order of the ids.
mod keys;

/// SQL text from parts.
mod sql;

/// Top rows per partition by a blended score.
mod rank;

/// How much users like items, from events.
mod affinity;

/// How alike items are.
mod similarity;

/// A model of items from what users did.
mod train;

/// The best items for each user.
mod recommend;

/// What to train with and what to test with.
mod split;

/// How good recommendations were.
mod evaluate;

/// What sound files hold.
mod audio;

#[cfg(test)]
mod same;

#[cfg(test)]
mod testing;

#[cfg(test)]
mod tests;

/// The kinds of transform, as keys of a step.
pub static KINDS: [Key; 8] = [
    Key::new(
        "rank",
        Shape::Record(&rank::RECORD),
        "The best rows of each partition by a score that may blend columns.",
    )
    .example("{input: candidates, partition_by: [user_id], score: rating, top: 30}"),
    Key::new("affinity", Shape::Record(&affinity::RECORD), "How much each user likes each item, from events.")
        .example("{input: dw.fact_watch, user: user_id, item: program_id, time: real_start_at, half_life: 30d}"),
    Key::new(
        "similarity",
        Shape::Record(&similarity::RECORD),
        "The most similar items of each item, or tags of texts.",
    )
    .example("{input: user_affinity, user: user_id, item: program_id, metric: jaccard, top: 20}"),
    Key::new("train", Shape::Record(&train::RECORD), "The EASE model of items, from what users did.")
        .example("{input: user_affinity, user: user_id, item: program_id, value: affinity}"),
    Key::new(
        "recommend",
        Shape::Record(&recommend::RECORD),
        "The best items for each user by a model or a similarity.",
    )
    .example("{input: user_affinity, user: user_id, item: program_id, value: affinity, model: ease, top: 20}"),
    Key::new("split", Shape::Record(&split::RECORD), "A history cut into rows to train with and rows to test with.")
        .example("{input: dw.fact_watch, user: user_id, item: program_id, time: real_start_at}"),
    Key::new("evaluate", Shape::Record(&evaluate::RECORD), "How well recommendations met what users did afterwards.")
        .example("{input: recommendations, truth: held_out, user: user_id, item: program_id, k: [10]}"),
    Key::new("audio", Shape::Record(&audio::RECORD), "What sound files hold: speech, music, silence, loudness.")
        .example("{input: clips, item: program_id, content: content}"),
];

/// A step's transform with its parameters.
#[derive(Clone, Debug)]
pub enum Transform {
    /// Top rows per partition.
    Rank(Box<rank::Rank>),
    /// Users and items from events.
    Affinity(Box<affinity::Affinity>),
    /// Pairs of similar items.
    Similarity(Box<similarity::Similarity>),
    /// A model of items.
    Train(Box<train::Train>),
    /// Items for users.
    Recommend(Box<recommend::Recommend>),
    /// A history in two parts.
    Split(Box<split::Split>),
    /// Figures of quality.
    Evaluate(Box<evaluate::Evaluate>),
    /// Figures of sounds.
    Audio(Box<audio::Audio>),
}

/// What the kernel may know of the run.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The run's pinned instant, in nanoseconds since 1970 UTC.
    pub now: i64,
    /// How many threads give rows to the kernel.
    pub threads: usize,
    /// Bytes that the run may use.
    pub memory: usize,
    /// The newest time in the first input's [`Parts::newest`], where the kernel is given only a part of its rows.
    pub newest: Option<i64>,
}

impl Context {
    /// A run at this instant by one thread, with all the memory there is.
    pub fn at(now: i64) -> Self {
        Self { now, threads: 1, memory: usize::MAX, newest: None }
    }
}

/// How the first input's rows may be given in parts: results of successive parts, put together, are the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Rows that are equal in these columns belong to one part, and parts come in ascending order of them, NULL last.
    pub by: Vec<Name>,
    /// The column of times whose newest one every part must know.
    pub newest: Option<Name>,
}

/// What a kernel holds until it has all rows.
#[derive(Clone, Copy, Debug)]
pub struct Footprint {
    /// Whether it holds the rows themselves.
    pub holds_rows: bool,
    /// Bytes that it makes of each row.
    pub per_row: usize,
}

/// The newest of a column of times.
pub fn newest(times: &ArrayRef) -> Result<Option<i64>, TransformError> {
    Ok(column::times(times)?.into_iter().filter(|time| *time != column::NO_TIME).max())
}

/// Where an output column comes from: the index of the input, and the column of its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The input, as an index into [`Transform::inputs`].
    pub input: usize,
    /// A column of [`Transform::query`].
    pub column: Name,
}

/// What a kernel gave, all of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The columns; the same whatever the rows.
    pub schema: SchemaRef,
    /// The rows, in the order that the transform documents.
    pub batches: Vec<RecordBatch>,
    /// How many rows were left out for what reason, for the run's results.
    pub dropped: Vec<(String, u64)>,
}

/// Why a kernel has no result.
#[derive(Debug, Error)]
pub enum TransformError {
    /// The data is not what the transform can work on.
    #[error("{0}")]
    Data(String),
    /// More than the transform or the machine can hold.
    #[error("{0}")]
    TooLarge(String),
    /// What does not fit in memory could not be put on disk, or read from there.
    #[error("what does not fit in memory could not be kept on disk: {0}")]
    Disk(#[from] std::io::Error),
    /// Whoever took the rows of the result has stopped.
    #[error("the rows of the result were not wanted to the end")]
    Stopped,
    /// Arrow refused.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

/// Takes the batches of a result as they are made, in their order.
pub type Give<'a> = dyn FnMut(RecordBatch) -> Result<(), TransformError> + 'a;

/// What there is to say of a result besides its rows.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The columns; the same whatever the rows.
    pub schema: SchemaRef,
    /// How many rows were left out for what reason, for the run's results.
    pub dropped: Vec<(String, u64)>,
}

/// Where a kernel of sorted rows puts what it cannot hold.
pub trait Scratch: Send + Sync {
    /// A new, empty file.
    fn file(&self) -> std::io::Result<Box<dyn ScratchFile>>;
}

/// A file that is written once and read as often as wanted, and is gone with its owner.
pub trait ScratchFile: Send + Sync {
    /// Adds bytes at the end.
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()>;

    /// Reads all that was added so far, from the start.
    fn reader(&self) -> std::io::Result<Box<dyn std::io::Read + Send>>;
}

/// A kernel in the making: it is given the batches of each input in any order, then asked for its rows.
pub trait Kernel: Send + Sync {
    /// Takes rows of the query of one input ([`Transform::query`]). Several threads may do so at once; a thread that
    /// has a number of its own below [`Context::threads`] waits for no other.
    fn push(&self, thread: usize, input: usize, batch: RecordBatch) -> Result<(), TransformError>;

    /// Computes the result, once all rows are there, and gives it away batch by batch. Called once.
    fn finish(&self, give: &mut Give<'_>) -> Result<Finished, TransformError>;
}

impl Transform {
    /// Reads the parameters under one of [`KINDS`]; everything wrong is gathered. None where the kind is not known or
    /// something is wrong.
    pub fn parse(kind: &str, node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Self> {
        let key = KINDS.iter().find(|key| key.name == kind)?;
        let before = problems.len();
        key.shape.check(node, problems);
        if problems.len() > before {
            return None;
        }
        let transform = match kind {
            "rank" => Self::Rank(Box::new(rank::Rank::read(node, problems))),
            "similarity" => Self::Similarity(Box::new(similarity::Similarity::read(node, problems))),
            "train" => Self::Train(Box::new(train::Train::read(node, problems))),
            "recommend" => Self::Recommend(Box::new(recommend::Recommend::read(node, problems))),
            "split" => Self::Split(Box::new(split::Split::read(node, problems))),
            "evaluate" => Self::Evaluate(Box::new(evaluate::Evaluate::read(node, problems))),
            "audio" => Self::Audio(Box::new(audio::Audio::read(node))),
            "affinity" => Self::Affinity(Box::new(affinity::Affinity::read(node, problems))),
            _ => return None,
        };
        (problems.len() == before).then_some(transform)
    }

    /// The steps and tables it reads, each with its place. An input may be named more than once.
    pub fn inputs(&self) -> Vec<Spanned<TableName>> {
        self.form().inputs()
    }

    /// The columns it gives, from those of its inputs in the order of [`Self::inputs`].
    pub fn output(&self, inputs: &[&[Column]]) -> Result<Vec<Column>, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let columns = self.form().output(inputs, &mut problems);
        if problems.is_empty() { Ok(columns) } else { Err(problems) }
    }

    /// For each output column, the input columns that it is computed from.
    pub fn lineage(&self, inputs: &[&[Column]]) -> Vec<Vec<Origin>> {
        self.form().lineage(inputs)
    }

    /// The Snowflake SQL whose rows the kernel takes as an input: the columns it needs, filtered and with the author's
    /// expressions computed.
    pub fn query(&self, input: usize, inputs: &[&[Column]]) -> String {
        self.form().query(input, inputs)
    }

    /// The input, by index, that may be the step's own earlier result.
    pub fn earlier(&self) -> Option<usize> {
        self.form().earlier()
    }

    /// The columns of an earlier result, from those of the other inputs.
    pub fn earlier_columns(&self, inputs: &[&[Column]]) -> Vec<Column> {
        self.form().earlier_columns(inputs)
    }

    /// The author's SQL expressions in the query of an input, in their order there.
    pub fn expressions(&self, input: usize) -> Vec<&Spanned<String>> {
        self.form().expressions(input)
    }

    /// Whether its rows depend on the run's instant, beyond what its expressions ask for.
    pub fn reads_now(&self) -> bool {
        self.form().reads_now()
    }

    /// Whether the query of the first input gives the result itself, and there is nothing for a kernel to do.
    pub fn is_query(&self) -> bool {
        self.form().is_query()
    }

    /// A kernel for inputs whose queries give these schemas.
    pub fn kernel(&self, schemas: Vec<SchemaRef>, context: Context) -> Box<dyn Kernel> {
        self.form().kernel(schemas, context)
    }

    /// How the rows of the first input may be given to several kernels, one part after the other; none where a kernel
    /// must see them all.
    pub fn parts(&self) -> Option<Parts> {
        self.form().parts()
    }

    /// The columns of the first input in whose ascending order, NULL last, a kernel can take rows without holding them;
    /// none where there is no such kernel.
    pub fn sorted_by(&self) -> Option<Vec<Name>> {
        self.form().sorted_by()
    }

    /// The kernel for rows in the order of [`Self::sorted_by`], which are all pushed by one thread.
    pub fn kernel_of_sorted(
        &self,
        schemas: Vec<SchemaRef>,
        context: Context,
        scratch: Arc<dyn Scratch>,
    ) -> Box<dyn Kernel> {
        self.form().kernel_of_sorted(schemas, context, scratch)
    }

    /// What its kernel holds until it has all rows.
    pub fn footprint(&self) -> Footprint {
        self.form().footprint()
    }

    /// One Snowflake query that gives the same rows. Fails where a parameter has no form in SQL.
    pub fn sql(&self, inputs: &[&[Column]]) -> Result<String, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let sql = self.form().sql(inputs, &mut problems);
        if problems.is_empty() { Ok(sql) } else { Err(problems) }
    }

    /// Its kind, as in [`KINDS`].
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Rank(_) => "rank",
            Self::Affinity(_) => "affinity",
            Self::Similarity(_) => "similarity",
            Self::Train(_) => "train",
            Self::Recommend(_) => "recommend",
            Self::Split(_) => "split",
            Self::Evaluate(_) => "evaluate",
            Self::Audio(_) => "audio",
        }
    }

    fn form(&self) -> &dyn Form {
        match self {
            Self::Rank(rank) => rank.as_ref(),
            Self::Affinity(affinity) => affinity.as_ref(),
            Self::Similarity(similarity) => similarity.as_ref(),
            Self::Train(train) => train.as_ref(),
            Self::Recommend(recommend) => recommend.as_ref(),
            Self::Split(split) => split.as_ref(),
            Self::Evaluate(evaluate) => evaluate.as_ref(),
            Self::Audio(audio) => audio.as_ref(),
        }
    }

    /// Feeds whole inputs to a kernel and gives its result.
    pub fn run(&self, inputs: Vec<(SchemaRef, Vec<RecordBatch>)>, context: Context) -> Result<Outcome, TransformError> {
        let schemas = inputs.iter().map(|(schema, _)| Arc::clone(schema)).collect();
        let kernel = self.kernel(schemas, context);
        for (input, (_, batches)) in inputs.into_iter().enumerate() {
            for (at, batch) in batches.into_iter().enumerate() {
                kernel.push(at % context.threads.max(1), input, batch)?;
            }
        }
        let mut batches = Vec::new();
        let Finished { schema, dropped } = kernel.finish(&mut |batch| {
            batches.push(batch);
            Ok(())
        })?;
        Ok(Outcome { schema, batches, dropped })
    }
}

/// What each kind of transform provides.
trait Form {
    fn inputs(&self) -> Vec<Spanned<TableName>>;
    fn output(&self, inputs: &[&[Column]], problems: &mut Vec<Diagnostic>) -> Vec<Column>;
    fn lineage(&self, inputs: &[&[Column]]) -> Vec<Vec<Origin>>;
    fn query(&self, input: usize, inputs: &[&[Column]]) -> String;
    fn expressions(&self, _input: usize) -> Vec<&Spanned<String>> {
        Vec::new()
    }
    fn reads_now(&self) -> bool {
        false
    }
    fn earlier(&self) -> Option<usize> {
        None
    }
    fn earlier_columns(&self, _inputs: &[&[Column]]) -> Vec<Column> {
        Vec::new()
    }
    fn kernel(&self, schemas: Vec<SchemaRef>, context: Context) -> Box<dyn Kernel>;
    fn sql(&self, inputs: &[&[Column]], problems: &mut Vec<Diagnostic>) -> String;

    fn parts(&self) -> Option<Parts> {
        None
    }

    fn is_query(&self) -> bool {
        false
    }

    fn sorted_by(&self) -> Option<Vec<Name>> {
        None
    }

    fn kernel_of_sorted(&self, schemas: Vec<SchemaRef>, context: Context, _: Arc<dyn Scratch>) -> Box<dyn Kernel> {
        self.kernel(schemas, context)
    }

    fn footprint(&self) -> Footprint {
        Footprint { holds_rows: true, per_row: 32 }
    }
}

impl Outcome {
    /// Gives the rows away.
    fn give(self, give: &mut Give<'_>) -> Result<Finished, TransformError> {
        self.batches.into_iter().try_for_each(give)?;
        Ok(Finished { schema: self.schema, dropped: self.dropped })
    }
}

/// A kernel of a transform whose query for the first input is all there is to do.
fn same_rows(schemas: Vec<SchemaRef>) -> Box<dyn Kernel> {
    Collect::boxed(schemas, |mut inputs, give| {
        let rows = inputs.swap_remove(0);
        Outcome { schema: rows.schema, batches: rows.batches, dropped: Vec::new() }.give(give)
    })
}

/// Holds all rows, and computes with them at the end.
struct Collect<F> {
    rows: Mutex<Vec<Rows>>,
    /// Whether decimals that are whole numbers of 64 bits are held as such.
    narrow: bool,
    compute: F,
}

/// The rows of one input.
struct Rows {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl<F> Collect<F>
where
    F: Fn(Vec<Rows>, &mut Give<'_>) -> Result<Finished, TransformError> + Send + Sync + 'static,
{
    fn boxed(schemas: Vec<SchemaRef>, compute: F) -> Box<dyn Kernel> {
        Box::new(Self::new(schemas, false, compute))
    }

    /// The same for a kernel that takes a whole number in either form, and gives it in the one it came in.
    fn narrow(schemas: Vec<SchemaRef>, compute: F) -> Box<dyn Kernel> {
        Box::new(Self::new(schemas, true, compute))
    }

    fn new(schemas: Vec<SchemaRef>, narrow: bool, compute: F) -> Self {
        let rows = schemas.into_iter().map(|schema| Rows { schema, batches: Vec::new() }).collect();
        Self { rows: Mutex::new(rows), narrow, compute }
    }
}

impl<F> Kernel for Collect<F>
where
    F: Fn(Vec<Rows>, &mut Give<'_>) -> Result<Finished, TransformError> + Send + Sync,
{
    fn push(&self, _: usize, input: usize, batch: RecordBatch) -> Result<(), TransformError> {
        let batch = if self.narrow { column::narrowed(batch)? } else { batch };
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if batch.num_rows() > 0
            && let Some(rows) = rows.get_mut(input)
        {
            rows.batches.push(batch);
        }
        Ok(())
    }

    fn finish(&self, give: &mut Give<'_>) -> Result<Finished, TransformError> {
        let rows = std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner));
        (self.compute)(rows, give)
    }
}
