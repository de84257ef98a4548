//! Rows → events as codes and numbers: each thread numbers the ids it meets, and at the end the numbers of all threads
//! become codes. The rows themselves are never held.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use rayon::prelude::*;

use crate::name::Name;
use crate::transform::column::{Chunks, NO_TIME, OnNan, Table, finite, keyed_numbers};
use crate::transform::keys::{Interner, Keys, merged};
use crate::transform::param::{ColumnName, Instant};
use crate::transform::{Context, Finished, Give, Rows, TransformError};

use super::{Affinity, Aggregate, affinity_column, kernel, query};

/// The events of both inputs, by row; those of an earlier result stand last.
pub(super) struct Events {
    pub(super) users: Keys,
    pub(super) items: Keys,
    /// What each weighs, decayed.
    pub(super) weights: Vec<f64>,
    /// Empty where events have no time.
    times: Vec<i64>,
    /// How many events a row of the earlier result stands for.
    counts: Vec<i64>,
    /// The instant that ages are counted from.
    pub(super) as_of: i64,
    /// How many rows had NaN.
    pub(super) nan: u64,
}

impl Events {
    /// When, or [`NO_TIME`].
    pub(super) fn time(&self, row: usize) -> i64 {
        self.times.get(row).copied().unwrap_or(NO_TIME)
    }

    /// How many events a row stands for.
    pub(super) fn count(&self, row: usize) -> i64 {
        let first = self.weights.len() - self.counts.len();
        row.checked_sub(first).map_or(1, |at| self.counts[at])
    }
}

/// The kernel while rows come.
pub(super) struct Kernel {
    affinity: Affinity,
    context: Context,
    schemas: Vec<SchemaRef>,
    threads: Vec<Mutex<Option<Part>>>,
    /// The rows of the other inputs.
    others: Mutex<Vec<Rows>>,
}

/// The events that one thread took.
struct Part {
    user_ids: Interner,
    item_ids: Interner,
    users: Chunks<u32>,
    items: Chunks<u32>,
    weights: Chunks<f64>,
    times: Chunks<i64>,
    nan: u64,
}

impl Kernel {
    pub(super) fn new(affinity: Affinity, schemas: Vec<SchemaRef>, context: Context) -> Self {
        let threads = (0..context.threads.max(1)).map(|_| Mutex::new(None)).collect();
        let rows = |schema: &SchemaRef| Rows { schema: Arc::clone(schema), batches: Vec::new() };
        let others = Mutex::new(schemas.iter().map(rows).collect());
        Self { affinity, context, schemas, threads, others }
    }

    fn schema(&self) -> SchemaRef {
        self.schemas.first().map_or_else(|| Arc::new(Schema::empty()), Arc::clone)
    }

    fn part(&self, schema: &Schema) -> Result<Part, TransformError> {
        let ids = |names: &[ColumnName]| {
            let of = |name: &ColumnName| schema.field_with_name(name.value.as_str()).map(|f| f.data_type().clone());
            Interner::new(&names.iter().map(|name| of(name).unwrap_or(DataType::Null)).collect::<Vec<_>>())
        };
        let (user_ids, item_ids) = (ids(&self.affinity.user)?, ids(&self.affinity.item)?);
        let (users, items, weights, times) = Default::default();
        Ok(Part { user_ids, item_ids, users, items, weights, times, nan: 0 })
    }

    fn take(&self, part: &mut Part, batch: RecordBatch) -> Result<(), TransformError> {
        let table = Table { batch };
        part.keys(&self.affinity, &table)?;
        let mut nan = Vec::new();
        let on_nan = OnNan::of(self.affinity.drop_nan, &mut nan);
        let keys = self.affinity.user.iter().chain(&self.affinity.item).chain(&self.affinity.time);
        let keys = table.columns(keys.map(|name| &name.value));
        let values = table.column(&query::value_column());
        let mut weights = keyed_numbers(&values, &keys, &query::told_value(), on_nan)?;
        part.nan += nan.iter().filter(|nan| **nan).count() as u64;
        if let Some(most) = self.affinity.per_event {
            weights.iter_mut().filter(|weight| **weight > most).for_each(|weight| *weight = most);
        }
        finite(&weights, &query::told_value())?;
        part.weights.push(weights);
        if let Some(time) = &self.affinity.time {
            part.times.push(table.times(&time.value)?);
        }
        Ok(())
    }
}

impl Part {
    fn keys(&mut self, affinity: &Affinity, table: &Table) -> Result<(), TransformError> {
        let columns = |names: &[ColumnName]| table.columns(names.iter().map(|name| &name.value));
        self.users.push(self.user_ids.codes(&columns(&affinity.user), table.len())?);
        self.items.push(self.item_ids.codes(&columns(&affinity.item), table.len())?);
        Ok(())
    }
}

impl crate::transform::Kernel for Kernel {
    fn push(&self, thread: usize, input: usize, batch: RecordBatch) -> Result<(), TransformError> {
        if input > 0 {
            let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
            others.iter_mut().skip(input).take(1).for_each(|rows| rows.batches.push(batch.clone()));
            return Ok(());
        }
        let Some(part) = self.threads.get(thread % self.threads.len()) else { return Ok(()) };
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        if part.is_none() {
            *part = Some(self.part(&self.schema())?);
        }
        match part.as_mut() {
            Some(part) => self.take(part, batch),
            None => Ok(()),
        }
    }

    fn finish(&self, give: &mut Give<'_>) -> Result<Finished, TransformError> {
        let taken = |part: &Mutex<Option<Part>>| part.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut parts: Vec<Part> = self.threads.iter().filter_map(taken).collect();
        if parts.is_empty() {
            parts.push(self.part(&self.schema())?);
        }
        let others = std::mem::take(&mut *self.others.lock().unwrap_or_else(PoisonError::into_inner));
        let tables: Vec<Table> = others.into_iter().map(Rows::table).collect::<Result<_, _>>()?;
        let previous = self.affinity.previous_at().and_then(|at| tables.get(at));
        let events = self.joined(parts, previous)?;
        kernel::run(&self.affinity, events, &tables, give)
    }
}

impl Kernel {
    /// The events of all threads and, decayed, the rows of the earlier result.
    fn joined(&self, mut parts: Vec<Part>, previous: Option<&Table>) -> Result<Events, TransformError> {
        let affinity = &self.affinity;
        let earlier = previous.map(|table| self.earlier(table)).transpose()?;
        let own = || parts.iter().flat_map(|part| part.times.iter()).copied().max().unwrap_or(NO_TIME);
        let newest = self.context.newest.unwrap_or_else(own);
        let as_of = match (affinity.as_of, &earlier) {
            (Instant::Now, _) => self.context.now,
            (Instant::At(at), _) => at,
            (Instant::Latest, None) => newest,
            (Instant::Latest, Some(earlier)) => earlier.made.iter().copied().fold(newest, i64::max),
        };
        let mut counts = Vec::new();
        if let Some(mut earlier) = earlier {
            let counted = affinity.aggregate == Aggregate::Count;
            for (weight, made) in earlier.weights.iter_mut().zip(&earlier.made).filter(|_| !counted) {
                *weight *= decay(affinity, as_of, *made);
            }
            counts = earlier.counts;
            // What it weighs is decayed as of when it was made, whatever its times are.
            earlier.part.weights.push(earlier.weights);
            parts.push(earlier.part);
        }
        let (mut user_ids, mut item_ids) = (Vec::new(), Vec::new());
        let mut rest = Vec::new();
        for part in parts {
            user_ids.push(part.user_ids);
            item_ids.push(part.item_ids);
            rest.push((part.users, part.items, part.weights, part.times, part.nan));
        }
        let (user_codes, distinct_users, user_nulls) = merged(user_ids)?;
        let (item_codes, distinct_items, item_nulls) = merged(item_ids)?;
        let rows = rest.iter().map(|part| part.0.len()).sum();
        let timed = rest.iter().map(|part| part.3.len()).sum();
        let codes = |distinct, has_null| Keys { codes: Vec::with_capacity(rows), distinct, has_null };
        let (mut users, mut items) = (codes(distinct_users, user_nulls), codes(distinct_items, item_nulls));
        let (mut weights, mut times, mut nan) = (Vec::with_capacity(rows), Vec::with_capacity(timed), 0);
        for (part, (user_codes, item_codes)) in rest.into_iter().zip(user_codes.iter().zip(&item_codes)) {
            part.0.move_to(&mut users.codes, |code| user_codes[code as usize]);
            part.1.move_to(&mut items.codes, |code| item_codes[code as usize]);
            part.2.move_to(&mut weights, |weight| weight);
            part.3.move_to(&mut times, |time| time);
            nan += part.4;
        }
        if affinity.half_life.is_some() {
            let own = rows - counts.len();
            let dated = weights[..own].par_iter_mut().zip(&times);
            dated.for_each(|(weight, time)| *weight *= decay(affinity, as_of, *time));
        }
        Ok(Events { users, items, weights, times, counts, as_of, nan })
    }

    /// The rows of an earlier result as events.
    fn earlier(&self, table: &Table) -> Result<Earlier, TransformError> {
        let mut part = self.part(&table.batch.schema())?;
        part.keys(&self.affinity, table)?;
        let on_nan = &mut Vec::new();
        let weights = table.numbers(&affinity_column(), OnNan::of(self.affinity.drop_nan, on_nan))?;
        finite(&weights, &affinity_column())?;
        part.times.push(table.times(&Name::quoted("LAST_AT"))?);
        let events = table.numbers(&Name::quoted("EVENTS"), OnNan::Error)?;
        #[expect(clippy::cast_possible_truncation, reason = "counts of events")]
        let counts = events.iter().map(|count| *count as i64).collect();
        Ok(Earlier { part, weights, counts, made: table.times(&Name::quoted("AS_OF"))? })
    }
}

/// The rows of an earlier result.
struct Earlier {
    /// Without its weights.
    part: Part,
    weights: Vec<f64>,
    counts: Vec<i64>,
    /// The instants that their ages were counted from.
    made: Vec<i64>,
}

/// min(1, 0.5^(age ÷ H)).
#[expect(clippy::cast_precision_loss, reason = "ages are wanted to 1e-15 of themselves, not to the nanosecond")]
fn decay(affinity: &Affinity, as_of: i64, time: i64) -> f64 {
    let Some(half_life) = affinity.half_life else { return 1.0 };
    let age = i128::from(as_of) - i128::from(time);
    (-(age.max(0) as f64 / half_life as f64)).exp2()
}
