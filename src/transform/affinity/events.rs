//! Rows → events as codes and numbers: each thread numbers the ids it meets, and at the end the numbers of all threads
//! become codes. The rows themselves are never held.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use rayon::prelude::*;

use crate::name::Name;
use crate::transform::column::{Chunks, NO_TIME, OnNan, Table, finite, keyed_numbers};
use crate::transform::keys::{Interner, merged};
use crate::transform::param::{ColumnName, Instant};
use crate::transform::{Context, Finished, Give, Rows, TransformError};

use super::{Affinity, Aggregate, Future, affinity_column, kernel, query};

/// The events of both inputs, put together by user.
pub(super) struct Events {
    /// The users by code.
    pub(super) users: Vec<ArrayRef>,
    /// The items by code.
    pub(super) items: Vec<ArrayRef>,
    /// Where the events of each user start, and the end.
    starts: Vec<usize>,
    /// The item of each event.
    pub(super) codes: Vec<u32>,
    /// What each weighs, decayed.
    pub(super) weights: Vec<f64>,
    /// Empty where events have no time.
    times: Vec<i64>,
    /// How many events each stands for; empty where each is one.
    counts: Vec<i64>,
    /// The instant that ages are counted from.
    pub(super) as_of: i64,
    /// How many rows had NaN.
    pub(super) nan: u64,
    /// How many other rows were left out.
    pub(super) left: u64,
}

impl Events {
    /// How many users there are.
    pub(super) fn height(&self) -> usize {
        self.starts.len() - 1
    }

    /// How many items there are.
    pub(super) fn width(&self) -> usize {
        self.items.first().map_or(0, |ids| ids.len())
    }

    /// The events of a user.
    pub(super) fn of(&self, user: usize) -> Range<usize> {
        self.starts[user]..self.starts[user + 1]
    }

    /// When, or [`NO_TIME`].
    pub(super) fn time(&self, event: usize) -> i64 {
        self.times.get(event).copied().unwrap_or(NO_TIME)
    }

    /// How many events it stands for.
    pub(super) fn count(&self, event: usize) -> i64 {
        self.counts.get(event).copied().unwrap_or(1)
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

/// The events that one thread took, or those of an earlier result.
struct Part {
    user_ids: Interner,
    item_ids: Interner,
    users: Chunks<u32>,
    items: Chunks<u32>,
    weights: Chunks<f64>,
    times: Chunks<i64>,
    /// Nothing where each row is one event.
    counts: Chunks<i64>,
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
        let (users, items, weights, times, counts) = Default::default();
        Ok(Part { user_ids, item_ids, users, items, weights, times, counts, nan: 0 })
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
        if affinity.half_life.is_some() {
            parts.par_iter_mut().for_each(|part| {
                let dated = part.weights.iter_mut().zip(part.times.iter());
                dated.for_each(|(weight, time)| *weight *= decay(affinity, as_of, *time));
            });
        }
        if let Some(mut earlier) = earlier {
            let counted = affinity.aggregate == Aggregate::Count;
            // What it weighs is decayed as of when it was made, whatever its times are.
            for (weight, made) in earlier.weights.iter_mut().zip(&earlier.made).filter(|_| !counted) {
                *weight *= decay(affinity, as_of, *made);
            }
            earlier.part.weights.push(earlier.weights);
            parts.push(earlier.part);
        }
        if affinity.future == Future::Error && affinity.time.is_some() {
            let times = parts.iter().flat_map(|part| part.times.iter());
            let future = times.filter(|time| **time > as_of).count();
            if future > 0 {
                return Err(TransformError::Data(format!("{future} events are after `as_of`")));
            }
        }
        self.by_user(parts, as_of)
    }

    /// Deals the events out to their users, column by column, so that no more than two columns are there twice.
    fn by_user(&self, parts: Vec<Part>, as_of: i64) -> Result<Events, TransformError> {
        let nan = parts.iter().map(|part| part.nan).sum();
        let rows: usize = parts.iter().map(|part| part.users.len()).sum();
        if u32::try_from(rows).is_err() {
            return Err(TransformError::TooLarge(format!("{rows} events; at most {} can be weighed", u32::MAX)));
        }
        let (mut user_ids, mut item_ids) = (Vec::new(), Vec::new());
        let (mut pairs, mut weights, mut times, mut counts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for part in parts {
            user_ids.push(part.user_ids);
            item_ids.push(part.item_ids);
            pairs.push((part.users, part.items));
            weights.push(part.weights);
            times.push(part.times);
            counts.push(part.counts);
        }
        let (user_codes, users, user_null) = merged(user_ids)?;
        let (item_codes, items, item_null) = merged(item_ids)?;
        let known = |at: usize| {
            let (users, items): &(Chunks<u32>, Chunks<u32>) = &pairs[at];
            let mut times = times[at].iter();
            let known = users.iter().zip(items.iter()).zip(weights[at].iter()).map(|((user, item), weight)| {
                let (user, item) = (user_codes[at][*user as usize], item_codes[at][*item as usize]);
                let time = times.next().copied();
                let timed =
                    time.is_none_or(|time| time != NO_TIME && !(self.affinity.future == Future::Drop && time > as_of));
                let whole = !user_null[user as usize] && !item_null[item as usize] && !weight.is_nan();
                if timed && whole { user } else { NOWHERE }
            });
            known.collect::<Vec<u32>>()
        };
        let places: Vec<Vec<u32>> = (0..pairs.len()).into_par_iter().map(known).collect();
        let (starts, places) = dealt_places(places, user_null.len());
        let all = starts.last().copied().unwrap_or(0);
        let left = (rows - all) as u64 - nan;
        let coded = || {
            let mut codes = vec![0; all];
            for (((_, items), places), final_codes) in pairs.into_iter().zip(&places).zip(&item_codes) {
                deal(items, places, &mut codes, |code| final_codes[code as usize]);
            }
            codes
        };
        let timed = || {
            let times = if self.affinity.time.is_some() { dealt(times, &places, all, NO_TIME) } else { Vec::new() };
            let counted = counts.iter().any(|counts| counts.len() > 0);
            (times, if counted { dealt(counts, &places, all, 1) } else { Vec::new() })
        };
        let weighed = || dealt(weights, &places, all, 0.0);
        let ((codes, weights), (times, counts)) = rayon::join(|| (coded(), weighed()), timed);
        Ok(Events { users, items, starts, codes, weights, times, counts, as_of, nan, left })
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
        part.counts.push(events.iter().map(|count| *count as i64).collect());
        Ok(Earlier { part, weights, made: table.times(&Name::quoted("AS_OF"))? })
    }
}

/// The rows of an earlier result.
struct Earlier {
    /// Without its weights.
    part: Part,
    weights: Vec<f64>,
    /// The instants that their ages were counted from.
    made: Vec<i64>,
}

/// The place of a row that is left out.
const NOWHERE: u32 = u32::MAX;

/// Where the events of each user start, and where each row goes, from the users of the rows of each part. Within a user the
/// parts keep their order, so that each can be dealt out alone once the others are counted.
#[expect(clippy::cast_possible_truncation, reason = "there are fewer rows than 2^32")]
fn dealt_places(mut users: Vec<Vec<u32>>, height: usize) -> (Vec<usize>, Vec<Vec<u32>>) {
    let counted = |users: &Vec<u32>| {
        let mut counts = vec![0_u32; height];
        users.iter().filter(|user| **user != NOWHERE).for_each(|user| counts[*user as usize] += 1);
        counts
    };
    let mut next: Vec<Vec<u32>> = users.par_iter().map(counted).collect();
    let mut starts = Vec::with_capacity(height + 1);
    let mut end = 0_usize;
    for user in 0..height {
        starts.push(end);
        for counts in &mut next {
            let start = end as u32;
            end += std::mem::replace(&mut counts[user], start) as usize;
        }
    }
    starts.push(end);
    users.par_iter_mut().zip(next).for_each(|(users, mut next)| {
        for place in users.iter_mut().filter(|user| **user != NOWHERE) {
            let at = &mut next[*place as usize];
            *place = *at;
            *at += 1;
        }
    });
    (starts, users)
}

/// A column by user; `missing` where a part has no such column.
fn dealt<T: Copy>(parts: Vec<Chunks<T>>, places: &[Vec<u32>], rows: usize, missing: T) -> Vec<T> {
    let mut all = vec![missing; rows];
    parts.into_iter().zip(places).for_each(|(part, places)| deal(part, places, &mut all, |value| value));
    all
}

/// Puts the values of one part where they go.
fn deal<T: Copy>(part: Chunks<T>, places: &[u32], all: &mut [T], change: impl Fn(T) -> T) {
    let mut places = places.iter();
    part.consume(|value| {
        if let Some(place) = places.next().filter(|place| **place != NOWHERE) {
            all[*place as usize] = change(value);
        }
    });
}

/// min(1, 0.5^(age ÷ H)).
#[expect(clippy::cast_precision_loss, reason = "ages are wanted to 1e-15 of themselves, not to the nanosecond")]
fn decay(affinity: &Affinity, as_of: i64, time: i64) -> f64 {
    let Some(half_life) = affinity.half_life else { return 1.0 };
    let age = i128::from(as_of) - i128::from(time);
    (-(age.max(0) as f64 / half_life as f64)).exp2()
}
