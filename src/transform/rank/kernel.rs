//! The native `rank`: rows of partitions in parallel, each partition on its own, put together in the partitions' order.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicU64};

use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, DynComparator, Int64Array, UInt32Array, make_comparator,
};
use datafusion::arrow::compute::{SortOptions, cast, interleave, take};
use datafusion::arrow::datatypes::{DataType, Field};
use rayon::prelude::*;

use crate::dialect::types::SqlType;
use crate::name::Name;
use crate::transform::column::{NO_TIME, OnNan, Table, batch, field, float_column, in_order};
use crate::transform::keys::{Groups, Keys, encode, encode_parts};
use crate::transform::param::ColumnName;
use crate::transform::scope::is_scalar;
use crate::transform::{Context, Finished, Give, Rows, TransformError};

use super::diversity::Variety;
use super::score::{Scores, origin};
use super::slate::{Limit, Rules};
use super::{Backfill, Exclude, Method, Rank, check, query};

/// How many partitions one unit of work has.
const PARTITIONS: usize = 512;

/// Computes the result from the rows of all inputs.
pub(super) fn run(
    rank: &Rank,
    inputs: Vec<Rows>,
    context: Context,
    give: &mut Give<'_>,
) -> Result<Finished, TransformError> {
    let tables: Vec<Table> = inputs.into_iter().map(Rows::table).collect::<Result<_, _>>()?;
    let main = &tables[0];
    let partitions = partitions(rank, &tables)?;
    let (mut scores, nan) = Scores::new(rank, main, context)?;
    let excluded = excluded(rank, &tables, context)?;
    let groups = Groups::new(&partitions.codes[..main.len()], partitions.len(), |row| !nan[row] && !excluded[row]);
    scores.normalize_global(&groups.rows);
    let fallback = match (&rank.backfill, rank.places().backfill) {
        (Some(backfill), Some(at)) => Some(Fallback::new(rank, backfill, &tables, at, &partitions, context)?),
        _ => None,
    };
    let listing = Listing {
        rank,
        rules: rules(rank, &tables, &partitions)?,
        order: Order::new(rank, main)?,
        groups,
        scores,
        fallback,
    };
    let count = |flags: &[bool]| flags.iter().filter(|flag| **flag).count() as u64;
    let mut dropped = vec![("with NaN".to_owned(), count(&nan)), ("excluded".to_owned(), count(&excluded))];
    drop((nan, excluded));
    let unscored = AtomicU64::new(0);
    let lists = |unit: usize| {
        let part = listing.part(unit * PARTITIONS..partitions.len().min((unit + 1) * PARTITIONS))?;
        unscored.fetch_add(part.unscored, atomic::Ordering::Relaxed);
        batch(gather(&listing, main, &partitions, &part)?)
    };
    let schema = in_order(partitions.len().div_ceil(PARTITIONS).max(1), lists, give)?;
    dropped.push(("without a score".to_owned(), unscored.into_inner()));
    dropped.retain(|(_, rows)| *rows > 0);
    Ok(Finished { schema, dropped })
}

/// The partitions of the input, then of the table that lists them all: each gets a list.
fn partitions(rank: &Rank, tables: &[Table]) -> Result<Keys, TransformError> {
    let by = || rank.partition_by.iter().map(|name| &name.value);
    let main = &tables[0];
    let mut parts = vec![(main.columns(by()), main.len())];
    if let Some(at) = rank.places().partitions {
        parts.push((tables[at].columns(by()), tables[at].len()));
    }
    encode_parts(&parts)
}

/// The rows whose keys another table has.
fn excluded(rank: &Rank, tables: &[Table], context: Context) -> Result<Vec<bool>, TransformError> {
    let main = &tables[0];
    let mut excluded = vec![false; main.len()];
    for (exclude, theirs) in rank.exclude.iter().zip(&tables[1..]) {
        let (mine, other) = (exclude.keys.iter().map(|(a, _)| &a.value), exclude.keys.iter().map(|(_, b)| &b.value));
        let keys = encode_parts(&[(main.columns(mine), main.len()), (theirs.columns(other), theirs.len())])?;
        let mut marked = vec![false; keys.len()];
        let current = exclude.current(theirs, context)?;
        for (code, current) in keys.codes[main.len()..].iter().zip(current) {
            marked[*code as usize] |= current && !keys.has_null[*code as usize];
        }
        for (row, code) in excluded.iter_mut().zip(&keys.codes) {
            *row |= marked[*code as usize];
        }
    }
    Ok(excluded)
}

impl Exclude {
    /// Which rows exclude: those younger than the greatest age, and not in the future of its origin's past.
    fn current(&self, table: &Table, context: Context) -> Result<Vec<bool>, TransformError> {
        let Some((time, age, since)) = &self.recent else { return Ok(vec![true; table.len()]) };
        let times = table.times(&time.value)?;
        let from = origin(*since, &times, context).saturating_sub(*age);
        Ok(times.into_iter().map(|time| time != NO_TIME && time >= from).collect())
    }
}

fn rules<'a>(rank: &'a Rank, tables: &[Table], partitions: &Keys) -> Result<Rules<'a>, TransformError> {
    let main = &tables[0];
    let keys = |names: &[ColumnName]| encode(&main.columns(names.iter().map(|name| &name.value)), main.len());
    let caps = rank.caps.iter().map(|cap| Ok(Limit { keys: keys(&cap.by)?, max: cap.max, window: cap.window }));
    let quotas = rank.quotas.iter().enumerate();
    let quotas = quotas.map(|(at, quota)| Ok((main.flags(&query::quota_column(at))?, quota.min)));
    let variety = rank
        .diversity
        .as_ref()
        .map(|diversity| Ok::<_, TransformError>((Variety::new(rank, diversity, tables, partitions)?, diversity.pool)));
    Ok(Rules {
        top: rank.top.unwrap_or(usize::MAX),
        dedupe: if rank.dedupe.is_empty() { None } else { Some(keys(&rank.dedupe)?) },
        caps: caps.collect::<Result<_, TransformError>>()?,
        quotas: quotas.collect::<Result<_, TransformError>>()?,
        variety: variety.transpose()?,
    })
}

/// The order of rows with equal scores.
struct Order {
    columns: Vec<DynComparator>,
}

impl Order {
    fn new(rank: &Rank, table: &Table) -> Result<Self, TransformError> {
        let schema = table.batch.schema();
        let mut names: Vec<Name> = rank.tie_break.iter().map(|name| name.value.clone()).collect();
        for field in schema.fields() {
            let name = Name::quoted(field.name().clone());
            let scalar = SqlType::of(field.data_type()).is_some_and(is_scalar);
            if scalar && !names.contains(&name) && !query::is_helper(&name) {
                names.push(name);
            }
        }
        let ascending = SortOptions { descending: false, nulls_first: false };
        let comparator = |name: &Name| {
            let column = table.column(name);
            make_comparator(&column, &column, ascending)
        };
        Ok(Self { columns: names.iter().map(comparator).collect::<Result<_, _>>()? })
    }

    fn compare(&self, a: u32, b: u32) -> Ordering {
        let different = |compare: &DynComparator| Some(compare(a as usize, b as usize)).filter(|o| o.is_ne());
        self.columns.iter().find_map(different).unwrap_or(Ordering::Equal)
    }
}

/// The codes of partitions and of rows, and the pairs of them that are left out.
type Exclusion = (Vec<u32>, Vec<u32>, HashSet<(u32, u32)>);

/// The rows that fill short lists.
struct Fallback {
    /// Its rows, best first, with the code of their keys.
    rows: Vec<(u32, u32)>,
    /// The code of the keys of each row of the input.
    mine: Vec<u32>,
    /// The fallback's own scores by row.
    scores: Vec<f64>,
    /// For each exclusion: the code of its partition part by partition, of its other part by fallback row, and the pairs.
    excluded: Vec<Exclusion>,
    /// The rows themselves.
    columns: Vec<(String, ArrayRef)>,
}

impl Fallback {
    fn new(
        rank: &Rank,
        backfill: &Backfill,
        tables: &[Table],
        at: usize,
        partitions: &Keys,
        context: Context,
    ) -> Result<Self, TransformError> {
        let (main, table) = (&tables[0], &tables[at]);
        let names = || backfill.keys.iter().map(|name| &name.value);
        let keys = encode_parts(&[(main.columns(names()), main.len()), (table.columns(names()), table.len())])?;
        let mut nan = Vec::new();
        let scores = table.numbers(&backfill.score.value, OnNan::of(rank.drop_nan, &mut nan))?;
        let order = Order::new(&Rank { tie_break: backfill.keys.clone(), ..rank.clone() }, table)?;
        let mut rows: Vec<u32> = (0_u32..).zip(&scores).filter(|(_, s)| !s.is_nan()).map(|(row, _)| row).collect();
        let compare =
            |a: &u32, b: &u32| scores[*b as usize].total_cmp(&scores[*a as usize]).then(order.compare(*a, *b));
        rows.sort_by(compare);
        let code = |row: u32| keys.codes[main.len() + row as usize];
        let mut excluded = Vec::new();
        for (exclude, theirs) in rank.exclude.iter().zip(&tables[1..]) {
            excluded.push(exclude.pairs(rank, partitions, table, theirs, context)?);
        }
        let schema = table.batch.schema();
        let named = schema.fields().iter().zip(table.batch.columns());
        Ok(Self {
            rows: rows.into_iter().map(|row| (row, code(row))).collect(),
            mine: keys.codes[..main.len()].to_vec(),
            scores,
            excluded,
            columns: named.map(|(field, column)| (field.name().clone(), Arc::clone(column))).collect(),
        })
    }

    /// The fallback rows that follow a list of the input's rows.
    fn fill(&self, partition: usize, listed: &[u32], places: usize) -> Vec<u32> {
        let mut seen: HashSet<u32> = listed.iter().map(|row| self.mine[*row as usize]).collect();
        let is_excluded = |row: u32| {
            self.excluded.iter().any(|(by, other, pairs)| pairs.contains(&(by[partition], other[row as usize])))
        };
        let fits = |(row, code): &&(u32, u32)| !is_excluded(*row) && seen.insert(*code);
        self.rows.iter().filter(fits).take(places).map(|(row, _)| *row).collect()
    }
}

impl Exclude {
    /// What it excludes from fallback rows, whose partition is that of the list.
    #[expect(clippy::type_complexity, reason = "the parts of `Fallback::excluded`")]
    fn pairs(
        &self,
        rank: &Rank,
        partitions: &Keys,
        fallback: &Table,
        theirs: &Table,
        context: Context,
    ) -> Result<(Vec<u32>, Vec<u32>, HashSet<(u32, u32)>), TransformError> {
        let place = |name: &ColumnName| rank.partition_by.iter().position(|by| by.value == name.value);
        let (by, other): (Vec<_>, Vec<_>) = self.keys.iter().partition(|(mine, _)| place(mine).is_some());
        let mine = by.iter().filter_map(|(mine, _)| Some(Arc::clone(partitions.distinct.get(place(mine)?)?)));
        let their = |keys: &[&(ColumnName, ColumnName)]| {
            (theirs.columns(keys.iter().map(|(_, right)| &right.value)), theirs.len())
        };
        let by_keys = encode_parts(&[(mine.collect(), partitions.len()), their(&by)])?;
        let rows = (fallback.columns(other.iter().map(|(left, _)| &left.value)), fallback.len());
        let other_keys = encode_parts(&[rows, their(&other)])?;
        let (by_codes, their_by) = by_keys.codes.split_at(partitions.len());
        let (other_codes, their_other) = other_keys.codes.split_at(fallback.len());
        let current = self.current(theirs, context)?;
        let no_null = |a: u32, b: u32| !by_keys.has_null[a as usize] && !other_keys.has_null[b as usize];
        let pairs = their_by.iter().zip(their_other).zip(current);
        let pairs = pairs.filter(|((a, b), current)| *current && no_null(**a, **b)).map(|((a, b), _)| (*a, *b));
        Ok((by_codes.to_vec(), other_codes.to_vec(), pairs.collect()))
    }
}

/// Everything that a partition's list is made from.
struct Listing<'a> {
    rank: &'a Rank,
    rules: Rules<'a>,
    order: Order,
    groups: Groups,
    scores: Scores<'a>,
    fallback: Option<Fallback>,
}

/// The lists of some partitions, one after another.
#[derive(Default)]
struct Part {
    /// Rows of the input, or of the fallback where `fallen` says so.
    rows: Vec<u32>,
    fallen: Vec<bool>,
    partitions: Vec<u32>,
    scores: Vec<f64>,
    numbers: Vec<f64>,
    explain: Vec<Vec<f64>>,
    unscored: u64,
}

impl Listing<'_> {
    fn part(&self, partitions: Range<usize>) -> Result<Part, TransformError> {
        let mut part = Part { explain: vec![Vec::new(); check::explained(self.rank).len()], ..Part::default() };
        for partition in partitions {
            self.list(partition, &mut part)?;
        }
        Ok(part)
    }

    /// Appends the list of one partition.
    fn list(&self, partition: usize, part: &mut Part) -> Result<(), TransformError> {
        let candidates = self.groups.group(partition);
        let scored = self.scores.partition(candidates)?;
        let mut order: Vec<u32> =
            (0_u32..).zip(&scored.scores).filter(|(_, s)| !s.is_nan()).map(|(at, _)| at).collect();
        part.unscored += (candidates.len() - order.len()) as u64;
        let compare = |a: &u32, b: &u32| {
            let (x, y) = (scored.scores[*a as usize], scored.scores[*b as usize]);
            y.total_cmp(&x).then_with(|| self.order.compare(candidates[*a as usize], candidates[*b as usize]))
        };
        self.sort(&mut order, compare);
        let rows: Vec<u32> = order.iter().map(|at| candidates[*at as usize]).collect();
        let scores: Vec<f64> = order.iter().map(|at| scored.scores[*at as usize]).collect();
        let first = self.rules.deduplicated(&rows);
        let mut relevance = Vec::new();
        let chosen: Vec<usize> = if self.rules.is_greedy() {
            let firsts: Vec<u32> = first.iter().map(|at| rows[*at]).collect();
            let values: Vec<f64> = first.iter().map(|at| scores[*at]).collect();
            let chosen = self.rules.choose(u32::try_from(partition).unwrap_or(u32::MAX), &firsts, &values);
            relevance = chosen.relevance;
            chosen.order.into_iter().map(|at| first[at]).collect()
        } else {
            first
        };
        let values: Vec<f64> = chosen.iter().map(|at| scores[*at]).collect();
        let numbers = numbers(self.rank.method, &values);
        let kept = kept(self.rank, &numbers);
        let start = part.rows.len();
        for (place, at) in chosen.iter().enumerate().take(kept) {
            part.rows.push(rows[*at]);
            part.scores.push(values[place]);
            part.numbers.push(numbers[place]);
            let parts = scored.parts.iter().map(|values| values[order[*at] as usize]);
            let relevance = self.rank.diversity.as_ref().map(|_| relevance[place]);
            for (column, value) in part.explain.iter_mut().zip(parts.chain(relevance)) {
                column.push(value);
            }
        }
        part.fallen.resize(part.rows.len(), false);
        self.backfill(partition, start, part);
        part.partitions.resize(part.rows.len(), u32::try_from(partition).unwrap_or(u32::MAX));
        Ok(())
    }

    /// Orders positions; where only the first few are wanted, only those.
    fn sort(&self, order: &mut Vec<u32>, compare: impl Fn(&u32, &u32) -> Ordering + Sync) {
        let plain = self.rank.method == Method::RowNumber && !self.rules.is_greedy() && self.rules.dedupe.is_none();
        if plain && self.rules.top < order.len() {
            order.select_nth_unstable_by(self.rules.top - 1, &compare);
            order.truncate(self.rules.top);
        }
        if order.len() > 100_000 {
            order.par_sort_unstable_by(&compare);
        } else {
            order.sort_unstable_by(&compare);
        }
    }

    fn backfill(&self, partition: usize, start: usize, part: &mut Part) {
        let (Some(fallback), Some(top)) = (&self.fallback, self.rank.top) else { return };
        let places = top - (part.rows.len() - start).min(top);
        for row in fallback.fill(partition, &part.rows[start..], places) {
            part.rows.push(row);
            part.fallen.push(true);
            part.scores.push(fallback.scores[row as usize]);
            #[expect(clippy::cast_precision_loss, reason = "a place in a list")]
            part.numbers.push((part.rows.len() - start) as f64);
            part.explain.iter_mut().for_each(|column| column.push(f64::NAN));
        }
    }
}

/// The number of each row of a list in the order of its scores.
#[expect(clippy::cast_precision_loss, reason = "places in a list")]
fn numbers(method: Method, scores: &[f64]) -> Vec<f64> {
    let count = scores.len();
    if method == Method::RowNumber {
        return (1..=count).map(|place| place as f64).collect();
    }
    if let Method::Ntile(buckets) = method {
        let (size, larger) = (count / buckets, count % buckets);
        let border = larger * (size + 1);
        let bucket = |at: usize| if at < border { at / (size + 1) } else { larger + (at - border) / size.max(1) };
        return (0..count).map(|at| (bucket(at) + 1) as f64).collect();
    }
    let mut numbers = Vec::with_capacity(count);
    let mut dense = 0.0;
    for tie in scores.chunk_by(|a, b| a == b) {
        let (first, last) = ((numbers.len() + 1) as f64, (numbers.len() + tie.len()) as f64);
        dense += 1.0;
        let number = match method {
            Method::DenseRank => dense,
            Method::Max => last,
            Method::Average => f64::midpoint(first, last),
            Method::PercentRank if count > 1 => (first - 1.0) / (count - 1) as f64,
            Method::PercentRank => 0.0,
            Method::CumeDist => last / count as f64,
            Method::Rank | Method::RowNumber | Method::Ntile(_) => first,
        };
        numbers.resize(numbers.len() + tie.len(), number);
    }
    numbers
}

/// How many rows of a list `top` keeps: those numbered up to it, or the first ones where numbers are shares.
fn kept(rank: &Rank, numbers: &[f64]) -> usize {
    let Some(top) = rank.top else { return numbers.len() };
    match rank.method {
        #[expect(clippy::cast_precision_loss, reason = "a place in a list")]
        Method::Rank | Method::DenseRank | Method::Max | Method::Average => {
            numbers.partition_point(|number| *number <= top as f64)
        }
        Method::RowNumber | Method::PercentRank | Method::CumeDist | Method::Ntile(_) => top.min(numbers.len()),
    }
}

/// The columns of the result.
fn gather(
    listing: &Listing<'_>,
    main: &Table,
    partitions: &Keys,
    part: &Part,
) -> Result<Vec<(Field, ArrayRef)>, TransformError> {
    let rank = listing.rank;
    let made = check::made_columns(rank);
    let mut columns = Vec::new();
    for (field, column) in main.batch.schema().fields().iter().zip(main.batch.columns()) {
        let name = Name::quoted(field.name().clone());
        if !query::is_helper(&name) && made.iter().all(|other| other.name != name) {
            let values = values(listing, part, partitions, &name, column)?;
            let field = field.as_ref().clone().with_nullable(true).with_data_type(values.data_type().clone());
            columns.push((field, values));
        }
    }
    let float = |name: &Name, values: ArrayRef| (field(name, DataType::Float64), values);
    columns.push(float(&rank.score_as, float_column(part.scores.iter().copied())));
    let numbers = part.numbers.iter().copied();
    if matches!(rank.method, Method::Average | Method::PercentRank | Method::CumeDist) {
        columns.push(float(&rank.number_as, float_column(numbers)));
    } else {
        #[expect(clippy::cast_possible_truncation, reason = "whole numbers below 2^53")]
        let whole: Int64Array = numbers.map(|number| Some(number as i64)).collect();
        columns.push((field(&rank.number_as, DataType::Int64), Arc::new(whole)));
    }
    if rank.backfill.is_some() {
        let fallen = BooleanArray::from(part.fallen.clone());
        columns.push((field(&Name::quoted("BACKFILLED"), DataType::Boolean), Arc::new(fallen)));
    }
    for (at, name) in check::explained(rank).iter().enumerate() {
        let values = part.explain[at].iter().copied();
        columns.push(float(name, float_column(values)));
    }
    Ok(columns)
}

/// One column of the chosen rows: of the input, and where rows fell back, of the fallback or the partition.
fn values(
    listing: &Listing<'_>,
    part: &Part,
    partitions: &Keys,
    name: &Name,
    column: &ArrayRef,
) -> Result<ArrayRef, TransformError> {
    let Some(fallback) = &listing.fallback else {
        return Ok(take(column, &UInt32Array::from(part.rows.clone()), None)?);
    };
    let of_partition = listing.rank.partition_by.iter().position(|by| by.value == *name);
    let other = match of_partition {
        Some(at) => Some(&partitions.distinct[at]),
        None => fallback.columns.iter().find(|(other, _)| other == name.as_str()).map(|(_, column)| column),
    };
    let wide = |other: &&ArrayRef| matches!(other.data_type(), DataType::Decimal128(..));
    let data_type = match (column.data_type(), other.filter(wide)) {
        // Held as integers, which the others are not.
        (DataType::Int64, Some(other)) => other.data_type(),
        (data_type, _) => data_type,
    };
    let column = &cast(column, data_type)?;
    let nothing = datafusion::arrow::array::new_null_array(data_type, 1);
    let cast_other = other.map(|other| cast(other, data_type)).transpose()?;
    let second = cast_other.as_ref().unwrap_or(&nothing);
    let place = |at: usize| match (part.fallen[at], of_partition, &cast_other) {
        (false, ..) => (0, part.rows[at] as usize),
        (true, _, None) => (1, 0),
        (true, Some(_), _) => (1, part.partitions[at] as usize),
        (true, None, _) => (1, part.rows[at] as usize),
    };
    let indices: Vec<(usize, usize)> = (0..part.rows.len()).map(place).collect();
    Ok(interleave(&[column.as_ref(), second.as_ref()], &indices)?)
}
