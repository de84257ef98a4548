//! The native `affinity`: users in parallel, each on their own, given away as they are ready. What must be known of all
//! users first is counted in a pass before.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray, UInt32Array};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};
use rayon::prelude::*;

use crate::name::Name;
use crate::transform::column::{NO_TIME, OnNan, Table, batch, field, finite, float_column, in_order};
use crate::transform::keys::{Groups, Keys, encode_parts};
use crate::transform::param::SECOND;
use crate::transform::{Finished, Give, TransformError};

use super::events::Events;
use super::{Affinity, Aggregate, Normalize, Propagate, Share, Weighting, affinity_column};

/// How many users one unit of work has.
const USERS: usize = 256;

/// One user and item.
#[derive(Clone, Copy, Debug)]
struct Pair {
    item: u32,
    affinity: f64,
    raw: f64,
    events: i64,
    last: i64,
}

/// Computes the result from events and the rows of all inputs.
pub(super) fn run(
    affinity: &Affinity,
    events: Events,
    tables: &[Table],
    give: &mut Give<'_>,
) -> Result<Finished, TransformError> {
    let dropped =
        [("with NaN", events.nan), ("without a user, item, time or weight, or left out as future", events.left)];
    let links =
        affinity.propagate.as_ref().map(|propagate| Links::new(propagate, &tables[1], &events, affinity.drop_nan));
    let mut lists = Lists { affinity, events, links: links.transpose()?, weights: None, shares: Vec::new() };
    lists.weights = Weights::new(&lists);
    lists.shares = lists.shares();
    let units = lists.events.height().div_ceil(USERS).max(1);
    let schema = in_order(units, |unit| lists.batch(tables, unit), give)?;
    Ok(Finished {
        schema,
        dropped: dropped.into_iter().filter(|(_, rows)| *rows > 0).map(|(why, rows)| (why.to_owned(), rows)).collect(),
    })
}

/// What the lists of all users are made from.
struct Lists<'a> {
    affinity: &'a Affinity,
    events: Events,
    links: Option<Links<'a>>,
    weights: Option<Weights>,
    /// The share of each attribute in all affinity, for `lift`.
    shares: Vec<f64>,
}

impl Lists<'_> {
    /// The rows of some users.
    fn batch(&self, tables: &[Table], unit: usize) -> Result<RecordBatch, TransformError> {
        let users = unit * USERS..self.events.height().min((unit + 1) * USERS);
        let list = |user: usize| {
            let mut pairs = self.scored(user);
            self.finish(&mut pairs);
            pairs
        };
        let lists: Vec<Vec<Pair>> = users.clone().map(list).collect();
        self.columns(tables, users.start, &lists).and_then(batch)
    }

    /// The pairs of one user before `normalize`.
    fn scored(&self, user: usize) -> Vec<Pair> {
        let mut pairs = self.pairs(self.events.of(user));
        if self.affinity.transform != Weighting::None {
            self.weigh(&mut pairs);
        }
        match &self.links {
            Some(links) => links.spread(&pairs),
            None => pairs,
        }
    }

    /// The pairs of one user, by item.
    fn pairs(&self, rows: Range<usize>) -> Vec<Pair> {
        let Self { affinity, events, .. } = self;
        let weight = |row: usize| events.weights[row];
        let items = &events.codes[rows.clone()];
        let mut keyed: Vec<u64> = (0_u64..).zip(items).map(|(at, item)| u64::from(*item) << 32 | at).collect();
        keyed.sort_unstable();
        let mut pairs = Vec::with_capacity(items.len());
        let mut run: Vec<usize> = Vec::new();
        for same in keyed.chunk_by(|a, b| a >> 32 == b >> 32) {
            run.clear();
            #[expect(clippy::cast_possible_truncation, reason = "the lower half is a place among the rows")]
            run.extend(same.iter().map(|key| rows.start + *key as u32 as usize));
            if run.len() > 1 {
                run.sort_unstable_by(|a, b| weight(*a).total_cmp(&weight(*b)));
            }
            if let Some(most) = affinity.per_day {
                self.cap_days(&mut run, most);
            }
            pairs.extend(self.pair(&run));
        }
        if let Some(most) = affinity.per_user_items {
            greatest_first(&mut pairs);
            pairs.truncate(most);
            pairs.sort_unstable_by_key(|pair| pair.item);
        }
        pairs
    }

    /// Keeps the heaviest events of each day, in ascending order of weight.
    fn cap_days(&self, run: &mut Vec<usize>, most: usize) {
        let day = |row: usize| self.events.time(row).div_euclid(86_400 * SECOND);
        let weight = |row: usize| self.events.weights[row];
        let newer = |a: usize, b: usize| self.events.time(b).cmp(&self.events.time(a));
        let heavier = |a: usize, b: usize| weight(b).total_cmp(&weight(a)).then_with(|| newer(a, b));
        run.sort_unstable_by(|a, b| day(*a).cmp(&day(*b)).then_with(|| heavier(*a, *b)));
        *run = run.chunk_by(|a, b| day(*a) == day(*b)).flat_map(|day| day.iter().take(most)).copied().collect();
        run.sort_unstable_by(|a, b| weight(*a).total_cmp(&weight(*b)));
    }

    /// The events of one user and item, in ascending order of weight, as one pair.
    fn pair(&self, run: &[usize]) -> Option<Pair> {
        let Self { affinity, events, .. } = self;
        let weights = || run.iter().map(|row| events.weights[*row]);
        let count: i64 = run.iter().map(|row| events.count(*row)).sum();
        let last = run.iter().map(|row| events.time(*row)).max().unwrap_or(NO_TIME);
        #[expect(clippy::cast_precision_loss, reason = "counts of events")]
        let mut value = match affinity.aggregate {
            Aggregate::Sum => weights().sum(),
            Aggregate::Max => weights().fold(f64::NEG_INFINITY, f64::max),
            Aggregate::Count => count as f64,
            Aggregate::NoisyOr => 1.0 - weights().map(|weight| 1.0 - weight.clamp(0.0, 1.0)).product::<f64>(),
            Aggregate::Last => {
                let newest = run.iter().filter(|row| events.time(**row) == last);
                newest.map(|row| events.weights[*row]).fold(f64::NEG_INFINITY, f64::max)
            }
        };
        if let Some(most) = affinity.per_pair {
            value = f64::min(value, most);
        }
        let item = events.codes[*run.first()?];
        let enough = usize::try_from(count).unwrap_or(0) >= affinity.min_events;
        enough.then_some(Pair { item, affinity: value, raw: value, events: count, last })
    }

    /// `transform`.
    fn weigh(&self, pairs: &mut [Pair]) {
        let idf = |item: u32| self.weights.as_ref().map_or(f64::NAN, |weights| weights.idf(item));
        let mean = self.weights.as_ref().map_or(f64::NAN, |weights| weights.mean);
        let length = sum(pairs.iter().map(|pair| pair.affinity));
        for pair in pairs {
            let x = pair.affinity;
            pair.affinity = match self.affinity.transform {
                Weighting::None => x,
                Weighting::Log1p => x.ln_1p(),
                Weighting::Sqrt => x.sqrt(),
                Weighting::Binary => f64::from(u8::from(x > 0.0)),
                Weighting::Tfidf => x.sqrt() * idf(pair.item),
                Weighting::Bm25 { k1, b } => x * (k1 + 1.0) / (k1 * (1.0 - b + b * length / mean) + x) * idf(pair.item),
                Weighting::Confidence { alpha } => 1.0 + alpha * x,
            } + 0.0;
        }
    }

    /// The share of each item or attribute in all affinity, where `normalize` needs it.
    fn shares(&self) -> Vec<f64> {
        let mut shares: Vec<f64> = Vec::new();
        if matches!(self.affinity.normalize, Normalize::Lift { .. }) {
            let users = (0..self.events.height()).into_par_iter().with_min_len(USERS);
            let of = |user: usize| self.scored(user).into_iter().map(|pair| (pair.item, pair.affinity));
            let mut all: Vec<(u32, f64)> = users.flat_map_iter(of).collect();
            all.par_sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
            for run in all.chunk_by(|a, b| a.0 == b.0) {
                shares.resize(run[0].0 as usize + 1, 0.0);
                shares[run[0].0 as usize] = run.iter().map(|(_, value)| value).sum();
            }
            let total: f64 = sum(shares.iter().copied());
            shares.iter_mut().for_each(|share| *share = if total == 0.0 { 0.0 } else { *share / total });
        }
        shares
    }

    /// `normalize` and `top`, and the order of the result.
    #[expect(clippy::cast_precision_loss, reason = "counts of items")]
    fn finish(&self, pairs: &mut Vec<Pair>) {
        let affinity = self.affinity;
        let values = || pairs.iter().map(|pair| pair.affinity);
        let total = || sum(values());
        let count = pairs.len() as f64;
        let (shift, scale) = match affinity.normalize {
            Normalize::None => (0.0, 1.0),
            Normalize::Lift { .. } => (total(), 1.0),
            Normalize::L1 => (0.0, sum(values().map(f64::abs))),
            Normalize::L2 => (0.0, sum(values().map(|x| x * x)).sqrt()),
            Normalize::Max => (0.0, values().map(f64::abs).fold(0.0, f64::max)),
            Normalize::ZScore => {
                let mean = total() / count;
                let constant = values().all(|x| x == pairs[0].affinity);
                let spread = (sum(values().map(|x| (x - mean) * (x - mean))) / count).sqrt();
                (mean, if constant { 0.0 } else { spread })
            }
        };
        for pair in pairs.iter_mut() {
            pair.affinity = match affinity.normalize {
                Normalize::None => pair.affinity,
                Normalize::Lift { smoothing } => {
                    let p = self.shares[pair.item as usize];
                    // Where the population has nothing of an item, nobody has more of it than others; and what adds up
                    // to nothing has no shares.
                    if p == 0.0 || shift + smoothing == 0.0 {
                        0.0
                    } else {
                        (pair.affinity + smoothing * p) / (shift + smoothing) / p
                    }
                }
                _ if scale == 0.0 => 0.0,
                _ => (pair.affinity - shift) / scale + 0.0,
            };
        }
        greatest_first(pairs);
        pairs.truncate(affinity.top.unwrap_or(usize::MAX));
    }

    /// The columns of the lists of successive users.
    fn columns(
        &self,
        tables: &[Table],
        first: usize,
        lists: &[Vec<Pair>],
    ) -> Result<Vec<(Field, ArrayRef)>, TransformError> {
        let Self { affinity, events, links, .. } = self;
        let items = links.as_ref().map_or(&events.items, |links| &links.attributes.distinct);
        let all = || lists.iter().flatten();
        let user_rows: UInt32Array = (u32::try_from(first).unwrap_or(u32::MAX)..)
            .zip(lists)
            .flat_map(|(user, pairs)| std::iter::repeat_n(user, pairs.len()))
            .collect::<Vec<_>>()
            .into();
        let item_rows: UInt32Array = all().map(|pair| pair.item).collect::<Vec<_>>().into();
        let mut columns = Vec::new();
        let mut key = |name: &Name, table: &Table, rows: &UInt32Array, ids: &ArrayRef| {
            let like = table.column(name);
            let values = cast(&take(ids, rows, None)?, like.data_type())?;
            columns.push((field(name, like.data_type().clone()), values));
            Ok::<_, TransformError>(())
        };
        for (name, ids) in affinity.user.iter().zip(&events.users) {
            key(&name.value, &tables[0], &user_rows, ids)?;
        }
        match &affinity.propagate {
            Some(propagate) => key(&propagate.to.value, &tables[1], &item_rows, &items[0])?,
            None => {
                for (name, ids) in affinity.item.iter().zip(items) {
                    key(&name.value, &tables[0], &item_rows, ids)?;
                }
            }
        }
        let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
        columns.push((field(&affinity_column(), DataType::Float64), float_column(all().map(|pair| pair.affinity))));
        if affinity.propagate.is_none() {
            let events: Int64Array = all().map(|pair| Some(pair.events)).collect();
            columns.push((field(&Name::quoted("EVENTS"), DataType::Int64), Arc::new(events)));
            if affinity.time.is_some() {
                let last: TimestampNanosecondArray = all().map(|pair| Some(pair.last)).collect();
                columns.push((field(&Name::quoted("LAST_AT"), time.clone()), Arc::new(last)));
            }
        }
        if affinity.previous.is_some() {
            let at: TimestampNanosecondArray = all().map(|_| Some(events.as_of)).collect();
            columns.push((field(&Name::quoted("AS_OF"), time), Arc::new(at)));
            let digest = affinity.digest();
            let parameters: StringArray = all().map(|_| Some(digest.as_str())).collect();
            columns.push((field(&Name::quoted("PARAMETERS"), DataType::Utf8), Arc::new(parameters)));
        }
        if affinity.explain {
            columns.push((field(&Name::quoted("RAW_AFFINITY"), DataType::Float64), float_column(all().map(|p| p.raw))));
        }
        Ok(columns)
    }
}

fn greatest_first(pairs: &mut [Pair]) {
    pairs.sort_unstable_by(|a, b| b.affinity.total_cmp(&a.affinity).then(a.item.cmp(&b.item)));
}

/// Sums of few values: in ascending order, whatever order they are in.
fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.into_iter().sum()
}

/// What `tfidf` and `bm25` know of all users.
struct Weights {
    users: f64,
    /// By item, how many users have it.
    holders: Vec<u32>,
    /// The mean of users' sums.
    mean: f64,
}

impl Weights {
    #[expect(clippy::cast_precision_loss, reason = "counts of users")]
    fn new(lists: &Lists<'_>) -> Option<Self> {
        if !matches!(lists.affinity.transform, Weighting::Tfidf | Weighting::Bm25 { .. }) {
            return None;
        }
        let empty = || (Vec::new(), vec![0_u32; lists.events.width()]);
        let add = |(mut totals, mut holders): (Vec<f64>, Vec<u32>), user: usize| {
            let pairs = lists.pairs(lists.events.of(user));
            pairs.iter().for_each(|pair| holders[pair.item as usize] += 1);
            totals.extend((!pairs.is_empty()).then(|| sum(pairs.iter().map(|pair| pair.affinity))));
            (totals, holders)
        };
        let both = |(mut totals, mut holders): (Vec<f64>, Vec<u32>), other: (Vec<f64>, Vec<u32>)| {
            totals.extend(other.0);
            holders.iter_mut().zip(other.1).for_each(|(count, more)| *count += more);
            (totals, holders)
        };
        let users = (0..lists.events.height()).into_par_iter().with_min_len(USERS);
        let (totals, holders) = users.fold(empty, add).reduce(empty, both);
        let users = totals.len() as f64;
        Some(Self { users, holders, mean: sum(totals.into_iter()) / users })
    }

    fn idf(&self, item: u32) -> f64 {
        self.users.ln() - f64::from(self.holders[item as usize]).ln_1p()
    }
}

/// Items and their attributes.
struct Links<'a> {
    propagate: &'a Propagate,
    /// By item of the events, its group in `rows`.
    places: Vec<u32>,
    /// The links of each item, as rows.
    rows: Groups,
    attributes: Keys,
    strengths: Vec<f64>,
    /// By attribute, how many items have it.
    holders: Vec<usize>,
    /// How many items have an attribute.
    linked: usize,
}

impl<'a> Links<'a> {
    fn new(propagate: &'a Propagate, table: &Table, events: &Events, drop_nan: bool) -> Result<Self, TransformError> {
        let (mine, width) = (events.items.clone(), events.width());
        let names = propagate.item.iter().map(|name| &name.value);
        let keys = encode_parts(&[(mine, width), (table.columns(names), table.len())])?;
        let attributes = encode_parts(&[(vec![table.column(&propagate.to.value)], table.len())])?;
        let mut nan = vec![false; table.len()];
        let strengths = match &propagate.strength {
            Some(name) => table.numbers(&name.value, OnNan::of(drop_nan, &mut nan))?,
            None => vec![1.0; table.len()],
        };
        finite(&strengths, propagate.strength.as_ref().map_or(&propagate.to.value, |name| &name.value))?;
        let (places, theirs) = keys.codes.split_at(width);
        let known = |row: usize| {
            let present = !attributes.has_null[attributes.codes[row] as usize] && !keys.has_null[theirs[row] as usize];
            present && !nan[row] && !strengths[row].is_nan()
        };
        let rows = Groups::new(theirs, keys.len(), known);
        let mut holders = vec![0_usize; attributes.len()];
        let mut linked = 0_usize;
        for item in 0..rows.len() {
            let mut codes: Vec<u32> = rows.group(item).iter().map(|row| attributes.codes[*row as usize]).collect();
            codes.sort_unstable();
            codes.dedup();
            linked += usize::from(!codes.is_empty());
            codes.into_iter().for_each(|code| holders[code as usize] += 1);
        }
        Ok(Self { propagate, places: places.to_vec(), rows, attributes, strengths, holders, linked })
    }

    /// A user's pairs with attributes in the place of items.
    #[expect(clippy::cast_precision_loss, reason = "counts of items")]
    fn spread(&self, pairs: &[Pair]) -> Vec<Pair> {
        let mut shares: Vec<(u32, f64)> = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let rows = self.rows.group(self.places[pair.item as usize] as usize);
            let total = if let [row] = rows {
                self.strengths[*row as usize]
            } else {
                sum(rows.iter().map(|row| self.strengths[*row as usize]))
            };
            for row in rows {
                let (attribute, strength) = (self.attributes.codes[*row as usize], self.strengths[*row as usize]);
                let share = match self.propagate.share {
                    Share::Split if total == 0.0 => 0.0,
                    Share::Split => strength / total,
                    Share::Full => strength,
                    Share::Idf => strength * (self.linked as f64 / self.holders[attribute as usize] as f64).ln(),
                };
                shares.push((attribute, pair.affinity * share));
            }
        }
        shares.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let attribute = |run: &[(u32, f64)]| {
            let value = run.iter().map(|(_, share)| share).sum();
            Pair { item: run[0].0, affinity: value, raw: value, events: 0, last: NO_TIME }
        };
        shares.chunk_by(|a, b| a.0 == b.0).map(attribute).collect()
    }
}
