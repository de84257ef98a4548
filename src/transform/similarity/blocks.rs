//! Interactions that do not fit in memory: rows come in the order of users and go to a file as each user's items, and the
//! file is read once for each block of items, whose accumulators for all other items fit. The rows of the result are
//! those of the kernel that holds everything.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, new_empty_array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, SchemaRef};

use crate::name::Name;
use crate::transform::column::{OnNan, Table, batch, finite, in_order, keyed_numbers};
use crate::transform::keys::{Interner, runs};
use crate::transform::{Context, Finished, Give, Kernel, Scratch, TransformError};

use super::baskets::{Basket, Reader, Writer};
use super::kernel::{Lists, columns, common_users};
use super::metric::{Best, Figures, Neighbour, Population};
use super::sparse::{Factors, weighed};
use super::{Metric, Of, Similarity, Weighting};

/// The share of the run's memory that accumulators may take.
const SHARE: usize = 4;

/// The kernel for interactions in the order of users.
pub(super) struct Blocks {
    similarity: Similarity,
    user: Name,
    value: Option<Name>,
    item_type: DataType,
    memory: usize,
    scratch: Arc<dyn Scratch>,
    gathered: Mutex<Option<Gathered>>,
}

/// What is known of the interactions so far; items by provisional code.
struct Gathered {
    item_ids: Interner,
    writer: Writer,
    /// The cells of the user whose rows are coming.
    pending: Vec<(u32, f64)>,
    /// That user, as a column of one row.
    user: Option<ArrayRef>,
    /// By item, Σ x.
    lengths: Vec<f64>,
    users: u64,
    rows: u64,
    kept: u64,
    nan: u64,
}

impl Blocks {
    /// None yet.
    pub(super) fn new(similarity: Similarity, schema: &SchemaRef, context: Context, scratch: Arc<dyn Scratch>) -> Self {
        let (user, value) = match &similarity.of {
            Of::Interactions { user, value } => (user.value.clone(), value.as_ref().map(|value| value.value.clone())),
            _ => (similarity.item.value.clone(), None),
        };
        let item = schema.field_with_name(similarity.item.value.as_str());
        let item_type = item.map_or(DataType::Null, |field| field.data_type().clone());
        Self { similarity, user, value, item_type, memory: context.memory, scratch, gathered: Mutex::new(None) }
    }

    fn gathered(&self) -> Result<Gathered, TransformError> {
        Ok(Gathered {
            item_ids: Interner::new(std::slice::from_ref(&self.item_type))?,
            writer: Writer::new(self.scratch.file()?, usize::from(self.value.is_some())),
            pending: Vec::new(),
            user: None,
            lengths: Vec::new(),
            users: 0,
            rows: 0,
            kept: 0,
            nan: 0,
        })
    }

    /// Adds the rows of a batch to their users.
    fn add(&self, gathered: &mut Gathered, table: &Table) -> Result<(), TransformError> {
        let (users, items) = (table.column(&self.user), table.column(&self.similarity.item.value));
        let mut codes = Vec::with_capacity(table.len());
        gathered.item_ids.push(&[Arc::clone(&items)], table.len(), &mut codes)?;
        let mut nan = vec![false; table.len()];
        let values = match &self.value {
            Some(value) => {
                let keys = [Arc::clone(&users), Arc::clone(&items)];
                keyed_numbers(&table.column(value), &keys, value, OnNan::of(self.similarity.drop_nan, &mut nan))?
            }
            None => vec![1.0; table.len()],
        };
        finite(&values, self.value.as_ref().unwrap_or(&self.user))?;
        gathered.rows += table.len() as u64;
        gathered.nan += nan.iter().filter(|nan| **nan).count() as u64;
        let (no_user, no_item) = (users.logical_nulls(), items.logical_nulls());
        let lacks = |nulls: &Option<NullBuffer>, row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        let is_known = |row: usize| !lacks(&no_user, row) && !lacks(&no_item, row) && !values[row].is_nan();
        for (range, begins) in runs(&users, gathered.user.as_ref())? {
            if begins {
                gathered.end_user(&self.similarity, self.value.is_some())?;
            }
            let known = range.filter(|row| is_known(*row));
            gathered.pending.extend(known.map(|row| (codes[row], values[row])));
        }
        gathered.user = (!users.is_empty()).then(|| users.slice(users.len() - 1, 1));
        Ok(())
    }
}

impl Gathered {
    /// Writes the items of the user whose rows have all come, a repeated item once: its values added up, the least first.
    fn end_user(&mut self, similarity: &Similarity, valued: bool) -> Result<(), TransformError> {
        self.kept += self.pending.len() as u64;
        self.pending.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let sum = |run: &[(u32, f64)]| if valued { run.iter().map(|cell| cell.1).sum() } else { 1.0 };
        let cells: Vec<(u32, f64)> = self
            .pending
            .chunk_by(|a, b| a.0 == b.0)
            .map(|run| (run[0].0, if run.len() > 1 { sum(run) } else { run[0].1 }))
            .collect();
        self.pending.clear();
        if cells.is_empty() || similarity.max_items_per_user.is_some_and(|most| cells.len() > most) {
            return Ok(());
        }
        self.users += 1;
        for (item, x) in &cells {
            let at = *item as usize;
            if self.lengths.len() <= at {
                self.lengths.resize(at + 1, 0.0);
            }
            self.lengths[at] += x;
        }
        let values = if valued { cells.iter().map(|cell| cell.1).collect() } else { Vec::new() };
        self.writer.write(&Basket { items: cells.iter().map(|cell| cell.0).collect(), values, own: Vec::new() })
    }
}

impl Kernel for Blocks {
    fn push(&self, _: usize, _: usize, batch: RecordBatch) -> Result<(), TransformError> {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        if gathered.is_none() {
            *gathered = Some(self.gathered()?);
        }
        gathered.as_mut().map_or(Ok(()), |gathered| self.add(gathered, &Table { batch }))
    }

    fn finish(&self, give: &mut Give<'_>) -> Result<Finished, TransformError> {
        let gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut gathered = gathered.map_or_else(|| self.gathered(), Ok)?;
        gathered.end_user(&self.similarity, self.value.is_some())?;
        let dropped = [
            ("with NaN", gathered.nan),
            ("without a user, item or value", gathered.rows - gathered.kept - gathered.nan),
        ];
        let prepared = Prepared::new(&self.similarity, gathered, &*self.scratch)?;
        let size = prepared.block(self.memory / SHARE);
        let units = prepared.width().div_ceil(size).max(1);
        let make = |unit: usize| {
            let items = unit * size..prepared.width().min((unit + 1) * size);
            let lists = prepared.lists(items.clone())?;
            let lists = Lists { first: u32::try_from(items.start).unwrap_or(u32::MAX), lists: &lists };
            let mut columns = columns(&self.similarity, &self.item_type, &prepared.ids, lists)?;
            if self.similarity.explain {
                columns.extend(common_users(lists, &prepared.users));
            }
            batch(columns)
        };
        let schema = in_order(units, make, give)?;
        let dropped = dropped.into_iter().filter(|(_, rows)| *rows > 0).map(|(why, rows)| (why.to_owned(), rows));
        Ok(Finished { schema, dropped: dropped.collect() })
    }
}

/// Everything that lists are made from; items by their final code.
struct Prepared<'a> {
    similarity: &'a Similarity,
    baskets: Writer,
    ids: ArrayRef,
    figures: Vec<Figures>,
    /// By item.
    users: Vec<u32>,
    population: Population,
    /// Whether sums have to be kept beside counts.
    weighted: bool,
    /// Whether users in common have to be counted beside the sums.
    counted: bool,
}

impl<'a> Prepared<'a> {
    /// Reads what was gathered once, and writes it again weighed and under final codes.
    fn new(similarity: &'a Similarity, gathered: Gathered, scratch: &dyn Scratch) -> Result<Self, TransformError> {
        let Gathered { item_ids, writer, users, lengths: provisional, .. } = gathered;
        let (order, distinct, _) = item_ids.finish()?;
        let mut lengths = vec![0.0; order.len()];
        provisional.iter().zip(&order).for_each(|(length, code)| lengths[*code as usize] = *length);
        let mut figures = vec![Figures::default(); order.len()];
        let weighing = Weighing::new(similarity, &writer, &lengths, &order)?;
        let walks = similarity.metric.is_walk();
        let weighted = writer.is_weighted() || similarity.weighting != Weighting::None || walks;
        let mut baskets = Writer::new(scratch.file()?, usize::from(weighted) + usize::from(walks));
        let mut positive = true;
        let mut reader = writer.reader()?;
        let mut basket = Basket::default();
        while reader.read(&mut basket)? {
            weighing.weigh(&mut basket, weighted);
            for (at, item) in basket.items.iter().enumerate() {
                figures[*item as usize].add(basket.values.get(at).copied().unwrap_or(1.0));
            }
            weighing.walk(&mut basket);
            let fits = |x: &f64| (1e-50..=1e50).contains(x);
            positive &= basket.values.iter().chain(&basket.own).all(fits);
            baskets.write(&basket)?;
        }
        let ids = distinct.into_iter().next();
        #[expect(clippy::cast_precision_loss, reason = "a count of users")]
        let population = Population { users: users as f64, items: weighing.items };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of users")]
        let users = figures.iter().map(|figures| figures.users as u32).collect();
        let ids = ids.unwrap_or_else(|| new_empty_array(&DataType::Null));
        let counted = similarity.counts() || !positive;
        Ok(Self { similarity, baskets, ids, figures, users, population, weighted, counted })
    }

    fn width(&self) -> usize {
        self.figures.len()
    }

    /// How many items a block has whose accumulators take so much memory at most, one block for each thread.
    fn block(&self, memory: usize) -> usize {
        let counts = if self.weighted && !self.counted { 0 } else { size_of::<u32>() };
        let sums = if self.weighted { size_of::<f64>() } else { 0 };
        let threads = rayon::current_num_threads();
        let row = self.width() * (counts + sums) + self.similarity.top.min(self.width()) * size_of::<Neighbour>();
        (memory / threads / row.max(1)).clamp(1, self.width().div_ceil(threads).max(1))
    }

    /// The nearest of each item of a block.
    fn lists(&self, block: Range<usize>) -> Result<Vec<Vec<Neighbour>>, TransformError> {
        let width = self.width();
        let room = block.len() * width;
        let mut counts = vec![0_u32; if self.weighted && !self.counted { 0 } else { room }];
        let mut sums = vec![0.0_f64; if self.weighted { room } else { 0 }];
        let mut reader = self.baskets.reader()?;
        let mut basket = Basket::default();
        while reader.read(&mut basket)? {
            let place = |at: usize| basket.items.partition_point(|item| (*item as usize) < at);
            for at in place(block.start)..place(block.end) {
                let row = (basket.items[at] as usize - block.start) * width;
                if !counts.is_empty() {
                    let counts = &mut counts[row..row + width];
                    basket.items.iter().for_each(|item| counts[*item as usize] += 1);
                }
                if !sums.is_empty() {
                    let (sums, own) = (&mut sums[row..row + width], basket.own(at));
                    basket.items.iter().zip(&basket.values).for_each(|(item, x)| sums[*item as usize] += own * x);
                }
            }
        }
        let list = |row: usize| self.list(block.start + row, row_of(&counts, row, width), row_of(&sums, row, width));
        Ok((0..block.len()).map(list).collect())
    }

    /// The nearest of an item from what was added up with all others.
    fn list(&self, item: usize, counts: &[u32], sums: &[f64]) -> Vec<Neighbour> {
        let similarity = self.similarity;
        let mut best = Best::new(similarity.top);
        let mut bound = similarity.threshold.unwrap_or(f64::NEG_INFINITY);
        for (other, theirs) in self.figures.iter().enumerate() {
            let common = counts.get(other).copied().unwrap_or(1);
            let sum = sums.get(other).copied().unwrap_or_else(|| f64::from(common));
            let is_absent = common == 0 || (sum == 0.0 && !self.counted);
            let is_refused = (common as usize) < similarity.min_support || (item == other && !similarity.include_self);
            if is_absent || is_refused {
                continue;
            }
            let score = similarity.score(sum, f64::from(common), &self.figures[item], theirs, &self.population);
            if score >= bound {
                best.offer(Neighbour { item: u32::try_from(other).unwrap_or(u32::MAX), score, common });
                bound = best.bound().unwrap_or(bound);
            }
        }
        best.sorted()
    }
}

/// One row of a table of rows of a width; nothing of an empty table.
fn row_of<T>(all: &[T], row: usize, width: usize) -> &[T] {
    all.get(row * width..(row + 1) * width).unwrap_or(&[])
}

/// What turns a user's values into what they weigh.
struct Weighing<'a> {
    similarity: &'a Similarity,
    /// By provisional code, the final one.
    order: &'a [u32],
    /// By item, Σ x.
    lengths: &'a [f64],
    mean: f64,
    /// How many items somebody has.
    items: f64,
}

impl<'a> Weighing<'a> {
    fn new(
        similarity: &'a Similarity,
        writer: &Writer,
        lengths: &'a [f64],
        order: &'a [u32],
    ) -> Result<Self, TransformError> {
        let mut held = vec![false; order.len()];
        let mut reader: Reader = writer.reader()?;
        let mut basket = Basket::default();
        while reader.read(&mut basket)? {
            basket.items.iter().for_each(|item| held[*item as usize] = true);
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of items")]
        let items = held.into_iter().filter(|held| *held).count() as f64;
        Ok(Self { similarity, order, lengths, mean: lengths.iter().sum::<f64>() / items, items })
    }

    /// A user's items under their final codes and in their order, with what they weigh.
    fn weigh(&self, basket: &mut Basket, weighted: bool) {
        let one = |at: usize| basket.values.get(at).copied().unwrap_or(1.0);
        let code = |(at, item): (usize, &u32)| (self.order[*item as usize], one(at));
        let mut cells: Vec<(u32, f64)> = basket.items.iter().enumerate().map(code).collect();
        cells.sort_unstable_by_key(|cell| cell.0);
        #[expect(clippy::cast_precision_loss, reason = "a count of items")]
        let idf = self.items.ln() - (cells.len() as f64).ln_1p();
        for (item, x) in &mut cells {
            *x = weighed(self.similarity.weighting, *x, idf, self.lengths[*item as usize], self.mean);
        }
        basket.items = cells.iter().map(|cell| cell.0).collect();
        basket.values = if weighted { cells.iter().map(|cell| cell.1).collect() } else { Vec::new() };
        basket.own.clear();
    }

    /// Of a random walk, the shares up to the user and down again.
    fn walk(&self, basket: &mut Basket) {
        let (Metric::P3Alpha(alpha) | Metric::Rp3Beta(alpha, _)) = self.similarity.metric else { return };
        let factors = Factors::alone(self.similarity, alpha);
        let total: f64 = basket.values.iter().sum();
        let of = |(item, x): (&u32, &f64)| factors.shares(*x, self.lengths[*item as usize], total);
        let both: Vec<(f64, f64)> = basket.items.iter().zip(&basket.values).map(of).collect();
        basket.own = both.iter().map(|factors| factors.0).collect();
        basket.values = both.iter().map(|factors| factors.1).collect();
    }
}
