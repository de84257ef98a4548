//! The native `affinity`: events of users in parallel, each user on their own, with two sums over all users between.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray, TimestampNanosecondArray, UInt32Array};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};
use rayon::prelude::*;

use crate::name::Name;
use crate::transform::column::{NO_TIME, OnNan, Table, field, float_column, outcome};
use crate::transform::keys::{Groups, Keys, encode_parts};
use crate::transform::param::{Instant, SECOND};
use crate::transform::{Context, Outcome, Rows, TransformError};

use super::{Affinity, Aggregate, Future, Normalize, Propagate, Share, Weighting, affinity_column, query};

/// How many users one unit of work has.
const USERS: usize = 256;

/// The events of both inputs, by row.
struct Events {
    users: Keys,
    items: Keys,
    weights: Vec<f64>,
    counts: Vec<i64>,
    times: Vec<i64>,
}

/// One user and item.
#[derive(Clone, Copy, Debug)]
struct Pair {
    item: u32,
    affinity: f64,
    raw: f64,
    events: i64,
    last: i64,
}

/// Computes the result from the rows of all inputs.
pub(super) fn run(affinity: &Affinity, inputs: Vec<Rows>, context: Context) -> Result<Outcome, TransformError> {
    let tables: Vec<Table> = inputs.into_iter().map(Rows::table).collect::<Result<_, _>>()?;
    let (events, as_of, nan) = events(affinity, &tables, context)?;
    let future = events.times.iter().filter(|time| **time > as_of).count();
    if future > 0 && affinity.future == Future::Error && affinity.time.is_some() {
        return Err(TransformError::Data(format!("{future} events are after `as_of`")));
    }
    let known = |row: usize| {
        let id = |keys: &Keys| !keys.has_null[keys.codes[row] as usize];
        let late = affinity.future == Future::Drop && events.times[row] > as_of;
        let timed = affinity.time.is_none() || events.times[row] != NO_TIME;
        !nan[row] && !events.weights[row].is_nan() && timed && !late && id(&events.users) && id(&events.items)
    };
    let count = events.weights.len();
    let kept: Vec<bool> = (0..count).into_par_iter().map(known).collect();
    let groups = Groups::new(&events.users.codes, events.users.len(), |row| kept[row]);
    let users: Vec<usize> = (0..groups.len()).collect();
    let per_user = |user: &usize| pairs(affinity, &events, groups.group(*user));
    let mut lists: Vec<Vec<Pair>> = users.par_iter().with_min_len(USERS).map(per_user).collect();
    weigh(affinity, &mut lists, events.items.len());
    let attributes = match &affinity.propagate {
        Some(propagate) => Some(propagated(propagate, &tables, &events.items, &mut lists, affinity.drop_nan)?),
        None => None,
    };
    finish(affinity, &mut lists);
    let dropped = vec![
        ("with NaN".to_owned(), nan.iter().filter(|nan| **nan).count() as u64),
        ("without a user, item, time or weight, or left out as future".to_owned(), {
            let left = kept.iter().zip(&nan).filter(|(kept, nan)| !**kept && !**nan).count();
            left as u64
        }),
    ];
    let items = attributes.as_ref().unwrap_or(&events.items);
    outcome(columns(affinity, &tables, &events.users, items, &lists, as_of)?, dropped)
}

/// The events of the input and, decayed, the rows of the earlier result.
fn events(affinity: &Affinity, tables: &[Table], context: Context) -> Result<(Events, i64, Vec<bool>), TransformError> {
    let main = &tables[0];
    let previous = affinity.previous_at().and_then(|at| tables.get(at));
    let sources: Vec<&Table> = std::iter::once(main).chain(previous).collect();
    let keys = |names: &[super::ColumnName]| {
        let part = |table: &&Table| (table.columns(names.iter().map(|name| &name.value)), table.len());
        encode_parts(&sources.iter().map(part).collect::<Vec<_>>())
    };
    let (users, items) = (keys(&affinity.user)?, keys(&affinity.item)?);
    let mut nan = Vec::new();
    let mut weights = main.numbers(&query::value_column(), OnNan::of(affinity.drop_nan, &mut nan))?;
    let mut times = match &affinity.time {
        Some(time) => main.times(&time.value)?,
        None => vec![NO_TIME; main.len()],
    };
    let as_of = match affinity.as_of {
        Instant::Now => context.now,
        Instant::At(at) => at,
        Instant::Latest => times.iter().copied().max().unwrap_or(NO_TIME),
    };
    let mut as_of = as_of;
    if let (Some(table), Instant::Latest) = (previous, affinity.as_of) {
        as_of = as_of.max(table.times(&Name::quoted("AS_OF"))?.into_iter().max().unwrap_or(NO_TIME));
    }
    for (weight, time) in weights.iter_mut().zip(&times) {
        if let Some(most) = affinity.per_event
            && *weight > most
        {
            *weight = most;
        }
        *weight *= decay(affinity, as_of, *time);
    }
    let mut counts = vec![1; main.len()];
    if let Some(table) = previous {
        let made = table.times(&Name::quoted("AS_OF"))?;
        let values = table.numbers(&affinity_column(), OnNan::of(affinity.drop_nan, &mut Vec::new()))?;
        let counted = affinity.aggregate == Aggregate::Count;
        let old = values.iter().zip(&made);
        weights.extend(old.map(|(x, at)| if counted { *x } else { x * decay(affinity, as_of, *at) }));
        let events = table.numbers(&Name::quoted("EVENTS"), OnNan::Error)?;
        #[expect(clippy::cast_possible_truncation, reason = "counts of events")]
        counts.extend(events.iter().map(|count| *count as i64));
        times.extend(table.times(&Name::quoted("LAST_AT"))?);
    }
    nan.resize(weights.len(), false);
    Ok((Events { users, items, weights, counts, times }, as_of, nan))
}

/// min(1, 0.5^(age ÷ H)).
#[expect(clippy::cast_precision_loss, reason = "ages are wanted to 1e-15 of themselves, not to the nanosecond")]
fn decay(affinity: &Affinity, as_of: i64, time: i64) -> f64 {
    let Some(half_life) = affinity.half_life else { return 1.0 };
    let age = i128::from(as_of) - i128::from(time);
    0.5_f64.powf(age.max(0) as f64 / half_life as f64)
}

/// The pairs of one user, by item.
fn pairs(affinity: &Affinity, events: &Events, rows: &[u32]) -> Vec<Pair> {
    let day = |row: u32| events.times[row as usize].div_euclid(86_400 * SECOND);
    let weight = |row: u32| events.weights[row as usize];
    let item = |row: u32| events.items.codes[row as usize];
    let mut rows = rows.to_vec();
    rows.sort_unstable_by(|a, b| item(*a).cmp(&item(*b)).then(weight(*a).total_cmp(&weight(*b))));
    let mut pairs = Vec::new();
    for run in rows.chunk_by(|a, b| item(*a) == item(*b)) {
        let mut run = run.to_vec();
        if let Some(most) = affinity.per_day {
            let newer = |a: u32, b: u32| events.times[b as usize].cmp(&events.times[a as usize]);
            let heavier = |a: u32, b: u32| weight(b).total_cmp(&weight(a)).then_with(|| newer(a, b));
            run.sort_unstable_by(|a, b| day(*a).cmp(&day(*b)).then_with(|| heavier(*a, *b)));
            run = run.chunk_by(|a, b| day(*a) == day(*b)).flat_map(|day| day.iter().take(most)).copied().collect();
            run.sort_unstable_by(|a, b| weight(*a).total_cmp(&weight(*b)));
        }
        let count: i64 = run.iter().map(|row| events.counts[*row as usize]).sum();
        let last = run.iter().map(|row| events.times[*row as usize]).max().unwrap_or(NO_TIME);
        #[expect(clippy::cast_precision_loss, reason = "counts of events")]
        let mut value = match affinity.aggregate {
            Aggregate::Sum => run.iter().map(|row| weight(*row)).sum(),
            Aggregate::Max => run.iter().map(|row| weight(*row)).fold(f64::NEG_INFINITY, f64::max),
            Aggregate::Count => count as f64,
            Aggregate::NoisyOr => 1.0 - run.iter().map(|row| 1.0 - weight(*row).clamp(0.0, 1.0)).product::<f64>(),
            Aggregate::Last => {
                let newest = run.iter().filter(|row| events.times[**row as usize] == last);
                newest.map(|row| weight(*row)).fold(f64::NEG_INFINITY, f64::max)
            }
        };
        if let Some(most) = affinity.per_pair {
            value = f64::min(value, most);
        }
        if usize::try_from(count).unwrap_or(0) >= affinity.min_events {
            pairs.push(Pair { item: item(run[0]), affinity: value, raw: value, events: count, last });
        }
    }
    if let Some(most) = affinity.per_user_items {
        greatest_first(&mut pairs);
        pairs.truncate(most);
        pairs.sort_unstable_by_key(|pair| pair.item);
    }
    pairs
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

/// `transform`.
#[expect(clippy::cast_precision_loss, reason = "counts of users")]
fn weigh(affinity: &Affinity, lists: &mut [Vec<Pair>], items: usize) {
    let users = lists.iter().filter(|pairs| !pairs.is_empty()).count() as f64;
    let mut holders = vec![0_u32; items];
    lists.iter().flatten().for_each(|pair| holders[pair.item as usize] += 1);
    let idf = |item: u32| users.ln() - f64::from(holders[item as usize]).ln_1p();
    let total = |pairs: &Vec<Pair>| sum(pairs.iter().map(|pair| pair.affinity));
    let mean = sum(lists.iter().map(total)) / users;
    let weigh_one = |pairs: &mut Vec<Pair>| {
        let length = total(pairs);
        for pair in pairs {
            let x = pair.affinity;
            pair.affinity = match affinity.transform {
                Weighting::None => x,
                Weighting::Log1p => x.ln_1p(),
                Weighting::Sqrt => x.sqrt(),
                Weighting::Binary => f64::from(u8::from(x > 0.0)),
                Weighting::Tfidf => x.sqrt() * idf(pair.item),
                Weighting::Bm25 { k1, b } => x * (k1 + 1.0) / (k1 * (1.0 - b + b * length / mean) + x) * idf(pair.item),
                Weighting::Confidence { alpha } => 1.0 + alpha * x,
            } + 0.0;
        }
    };
    if affinity.transform != Weighting::None {
        lists.par_iter_mut().with_min_len(USERS).for_each(weigh_one);
    }
}

/// Replaces items by attributes, and gives the keys of these.
#[expect(clippy::cast_precision_loss, reason = "counts of items")]
fn propagated(
    propagate: &Propagate,
    tables: &[Table],
    items: &Keys,
    lists: &mut [Vec<Pair>],
    drop_nan: bool,
) -> Result<Keys, TransformError> {
    let table = &tables[1];
    let mine = items.distinct.iter().map(Arc::clone).collect();
    let names = propagate.item.iter().map(|name| &name.value);
    let keys = encode_parts(&[(mine, items.len()), (table.columns(names), table.len())])?;
    let attributes = encode_parts(&[(vec![table.column(&propagate.to.value)], table.len())])?;
    let mut nan = vec![false; table.len()];
    let strengths = match &propagate.strength {
        Some(name) => table.numbers(&name.value, OnNan::of(drop_nan, &mut nan))?,
        None => vec![1.0; table.len()],
    };
    let theirs = &keys.codes[items.len()..];
    let known = |row: usize| {
        let present = !attributes.has_null[attributes.codes[row] as usize] && !keys.has_null[theirs[row] as usize];
        present && !nan[row] && !strengths[row].is_nan()
    };
    let links = Groups::new(theirs, keys.len(), known);
    let mut holders = vec![0_usize; attributes.len()];
    let mut linked = 0_usize;
    for item in 0..links.len() {
        let mut codes: Vec<u32> = links.group(item).iter().map(|row| attributes.codes[*row as usize]).collect();
        codes.sort_unstable();
        codes.dedup();
        linked += usize::from(!codes.is_empty());
        codes.into_iter().for_each(|code| holders[code as usize] += 1);
    }
    let shared = |pairs: &mut Vec<Pair>| {
        let mut shares: Vec<(u32, f64)> = Vec::new();
        for pair in pairs.iter() {
            let rows = links.group(keys.codes[pair.item as usize] as usize);
            let total = sum(rows.iter().map(|row| strengths[*row as usize]));
            for row in rows {
                let (attribute, strength) = (attributes.codes[*row as usize], strengths[*row as usize]);
                let share = match propagate.share {
                    Share::Split if total == 0.0 => 0.0,
                    Share::Split => strength / total,
                    Share::Full => strength,
                    Share::Idf => strength * (linked as f64 / holders[attribute as usize] as f64).ln(),
                };
                shares.push((attribute, pair.affinity * share));
            }
        }
        shares.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let attribute = |run: &[(u32, f64)]| {
            let value = run.iter().map(|(_, share)| share).sum();
            Pair { item: run[0].0, affinity: value, raw: value, events: 0, last: NO_TIME }
        };
        *pairs = shares.chunk_by(|a, b| a.0 == b.0).map(attribute).collect();
    };
    lists.par_iter_mut().with_min_len(USERS).for_each(shared);
    Ok(attributes)
}

/// `normalize` and `top`, and the order of the result.
#[expect(clippy::cast_precision_loss, reason = "counts of items")]
fn finish(affinity: &Affinity, lists: &mut [Vec<Pair>]) {
    let mut shares: Vec<f64> = Vec::new();
    if matches!(affinity.normalize, Normalize::Lift { .. }) {
        let mut all: Vec<(u32, f64)> = lists.iter().flatten().map(|pair| (pair.item, pair.affinity)).collect();
        all.par_sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        for run in all.chunk_by(|a, b| a.0 == b.0) {
            shares.resize(run[0].0 as usize + 1, 0.0);
            shares[run[0].0 as usize] = run.iter().map(|(_, value)| value).sum();
        }
        let total: f64 = sum(shares.iter().copied());
        shares.iter_mut().for_each(|share| *share = if total == 0.0 { 0.0 } else { *share / total });
    }
    lists.par_iter_mut().with_min_len(USERS).for_each(|pairs| {
        let values = || pairs.iter().map(|pair| pair.affinity);
        let total = sum(values());
        let count = pairs.len() as f64;
        let (shift, scale) = match affinity.normalize {
            Normalize::None | Normalize::Lift { .. } => (0.0, 1.0),
            Normalize::L1 => (0.0, sum(values().map(f64::abs))),
            Normalize::L2 => (0.0, sum(values().map(|x| x * x)).sqrt()),
            Normalize::Max => (0.0, values().map(f64::abs).fold(0.0, f64::max)),
            Normalize::ZScore => {
                let mean = total / count;
                let constant = values().all(|x| x == pairs[0].affinity);
                let spread = (sum(values().map(|x| (x - mean) * (x - mean))) / count).sqrt();
                (mean, if constant { 0.0 } else { spread })
            }
        };
        for pair in pairs.iter_mut() {
            pair.affinity = match affinity.normalize {
                Normalize::None => pair.affinity,
                Normalize::Lift { smoothing } => {
                    let p = shares[pair.item as usize];
                    // Where the population has nothing of an item, nobody has more of it than others.
                    if p == 0.0 { 0.0 } else { (pair.affinity + smoothing * p) / (total + smoothing) / p }
                }
                _ if scale == 0.0 => 0.0,
                _ => (pair.affinity - shift) / scale + 0.0,
            };
        }
        greatest_first(pairs);
        pairs.truncate(affinity.top.unwrap_or(usize::MAX));
    });
}

fn columns(
    affinity: &Affinity,
    tables: &[Table],
    users: &Keys,
    items: &Keys,
    lists: &[Vec<Pair>],
    as_of: i64,
) -> Result<Vec<(Field, ArrayRef)>, TransformError> {
    let all = || lists.iter().flatten();
    let user_rows: UInt32Array = (0_u32..)
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
    for (name, ids) in affinity.user.iter().zip(&users.distinct) {
        key(&name.value, &tables[0], &user_rows, ids)?;
    }
    match &affinity.propagate {
        Some(propagate) => key(&propagate.to.value, &tables[1], &item_rows, &items.distinct[0])?,
        None => {
            for (name, ids) in affinity.item.iter().zip(&items.distinct) {
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
        let at: TimestampNanosecondArray = all().map(|_| Some(as_of)).collect();
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
