//! Lists and counts → figures of quality. Each figure is a sum and what it is divided by.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};
use datafusion::arrow::datatypes::DataType;

use crate::name::Name;
use crate::transform::column::{OnNan, Table, field, float_column, outcome};
use crate::transform::keys::encode_parts;
use crate::transform::{Outcome, TransformError};

use super::Evaluate;
use super::kernel::{Facts, Listed};

/// Computes the result.
pub(super) fn run(evaluate: &Evaluate, facts: &Facts, items: &Items) -> Result<Outcome, TransformError> {
    let of_k = |(at, k): (usize, &usize)| {
        let figures = figures(facts, items, at, *k);
        figures.into_iter().map(|figure| (*k, figure)).collect::<Vec<_>>()
    };
    let figures: Vec<(usize, Figure)> = evaluate.k.iter().enumerate().flat_map(of_k).collect();
    let names: StringArray = figures.iter().map(|(_, figure)| Some(figure.name)).collect();
    let places: Int64Array = figures.iter().map(|(k, _)| i64::try_from(*k).ok()).collect();
    let float = |name: &str, of: fn(&Figure) -> f64| {
        (field(&Name::quoted(name), DataType::Float64), float_column(figures.iter().map(|(_, figure)| of(figure))))
    };
    let mut columns = vec![
        (field(&Name::quoted("METRIC"), DataType::Utf8), Arc::new(names) as ArrayRef),
        (field(&Name::quoted("K"), DataType::Int64), Arc::new(places) as ArrayRef),
        float("VALUE", |figure| figure.total / figure.count),
    ];
    if evaluate.explain {
        columns.extend([float("TOTAL", |figure| figure.total), float("COUNT", |figure| figure.count)]);
    }
    let dropped = facts.dropped + items.dropped;
    outcome(columns, vec![("without a user, item, rank, gain or score".to_owned(), dropped)])
}

/// A metric as a sum and what it is divided by.
struct Figure {
    name: &'static str,
    total: f64,
    count: f64,
}

/// What is known of items, by their final code.
pub(super) struct Items {
    /// By provisional code, the final one.
    order: Vec<u32>,
    /// What the model learnt from; none where it is not known.
    train: Option<Train>,
    /// How alike two items are, the lesser code first; none without a table of pairs.
    pairs: Option<HashMap<(u32, u32), f64>>,
    /// How many pairs lack an item or score.
    dropped: u64,
}

/// What a model learnt from, by item.
struct Train {
    rows: Vec<f64>,
    holders: Vec<f64>,
    everyone: f64,
}

impl Items {
    /// From the items in their order, with a table of pairs where there is one.
    pub(super) fn new(
        evaluate: &Evaluate,
        facts: &Facts,
        (order, distinct): (Vec<u32>, Vec<ArrayRef>),
        pairs: Option<Table>,
        is_trained: bool,
    ) -> Result<Self, TransformError> {
        let settled = |provisional: &[f64]| {
            let mut values = vec![0.0; order.len()];
            provisional.iter().zip(&order).for_each(|(value, code)| values[*code as usize] = *value);
            values
        };
        let train = Train { rows: settled(&facts.rows), holders: settled(&facts.holders), everyone: facts.everyone };
        let mut items = Self { order, train: Some(train).filter(|_| is_trained), pairs: None, dropped: 0 };
        if let Some(table) = pairs {
            items.add_pairs(evaluate, distinct, &table)?;
        }
        Ok(items)
    }

    fn add_pairs(&mut self, evaluate: &Evaluate, distinct: Vec<ArrayRef>, table: &Table) -> Result<(), TransformError> {
        let scores = table.numbers(&Name::quoted("SCORE"), OnNan::Error)?;
        let of = |name: &Name| (vec![table.column(name)], table.len());
        let known = self.order.len();
        let keys = encode_parts(&[(distinct, known), of(&evaluate.item.value), of(&evaluate.similar())])?;
        let (own, rest) = keys.codes.split_at(known);
        let (left, right) = rest.split_at(table.len());
        // By common code, the item's.
        let mut items = vec![None; keys.len()];
        (0_u32..).zip(own).for_each(|(item, code)| items[*code as usize] = Some(item));
        let mut pairs: HashMap<(u32, u32), f64> = HashMap::new();
        for ((a, b), score) in left.iter().zip(right).zip(scores) {
            if keys.has_null[*a as usize] || keys.has_null[*b as usize] || score.is_nan() {
                self.dropped += 1;
            } else if let (Some(a), Some(b)) = (items[*a as usize], items[*b as usize]) {
                let best: &mut f64 = pairs.entry((a.min(b), a.max(b))).or_insert(score);
                *best = best.max(score);
            }
        }
        self.pairs = Some(pairs);
        Ok(())
    }

    fn at(&self, listed: Listed) -> u32 {
        self.order[listed.item() as usize]
    }
}

impl Train {
    /// The place of each item by popularity, 1 for the most popular, equal ones sharing a place and none skipped.
    #[expect(clippy::cast_precision_loss, reason = "places of items")]
    fn places(&self) -> Vec<f64> {
        // Counts are positive, and so their bits are in the order of their values.
        let counts: BTreeSet<u64> = self.rows.iter().map(|count| count.to_bits()).collect();
        let place: HashMap<u64, usize> = counts.into_iter().rev().zip(1..).collect();
        self.rows.iter().map(|count| place[&count.to_bits()] as f64).collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of items")]
    fn items(&self) -> f64 {
        self.rows.iter().filter(|rows| **rows > 0.0).count() as f64
    }
}

/// The names of the means over the users of the truth.
const ACCURACY: [&str; 9] =
    ["precision", "recall", "recall_capped", "ndcg", "map", "map_at_k", "map_by_k", "mrr", "hit_rate"];

/// All figures of one k, which is the one at a place.
fn figures(facts: &Facts, items: &Items, at: usize, k: usize) -> Vec<Figure> {
    let figure = |(name, total): (&&'static str, &f64)| Figure { name, total: *total, count: facts.users };
    let mut figures: Vec<Figure> = ACCURACY.iter().zip(&facts.accuracy[at]).map(figure).collect();
    figures.push(Figure { name: "users", total: facts.users, count: 1.0 });
    let starts = std::iter::once(&0).chain(&facts.ends);
    let lists: Vec<&[Listed]> =
        starts.zip(&facts.ends).map(|(start, end)| &facts.listed[*start..(*end).min(start + k)]).collect();
    let mut counts = vec![0.0; items.order.len()];
    lists.iter().copied().flatten().for_each(|listed| counts[items.at(*listed) as usize] += 1.0);
    let total: f64 = counts.iter().sum();
    let recommended = counts.iter().filter(|count| **count > 0.0);
    let entropy = -recommended.map(|count| count / total * (count / total).log2()).sum::<f64>() + 0.0;
    figures.push(Figure { name: "distributional_coverage", total: entropy, count: 1.0 });
    if let Some(train) = &items.train {
        figures.extend(of_items(train, &counts));
        figures.extend(of_lists(train, items, &lists, k));
    }
    if let Some(pairs) = &items.pairs {
        let distance = |list: &&[Listed]| distance(&list.iter().map(|l| items.at(*l)).collect::<Vec<_>>(), pairs);
        figures.push(mean("diversity", lists.iter().map(distance)));
    }
    figures
}

/// Means over the lists.
#[expect(clippy::cast_precision_loss, reason = "places in a list")]
fn of_lists(train: &Train, items: &Items, lists: &[&[Listed]], k: usize) -> [Figure; 3] {
    let at = |listed: &Listed| items.at(*listed) as usize;
    let rarity = |listed: &Listed| -(train.holders[at(listed)].max(1.0) / train.everyone).log2();
    let rows = |listed: &Listed| train.rows[at(listed)];
    let mean_of = |list: &&[Listed], of: &dyn Fn(&Listed) -> f64| list.iter().map(of).sum::<f64>() / list.len() as f64;
    let (count, places) = (train.items(), train.places());
    let gain = |(place, listed): (usize, &Listed)| {
        let by_all = if rows(listed) > 0.0 { (count + 1.0 - places[at(listed)]) / count } else { 0.0 };
        if listed.is_hit() { ((count - place as f64) / count - by_all).max(0.0) } else { 0.0 }
    };
    let surprise = |list: &&[Listed]| list.iter().enumerate().map(gain).sum::<f64>() / k as f64;
    [
        mean("inverse_user_frequency", lists.iter().map(|list| mean_of(list, &rarity))),
        mean("popularity", lists.iter().map(|list| mean_of(list, &rows))),
        mean("serendipity", lists.iter().map(surprise)),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "counts of lists")]
fn mean(name: &'static str, values: impl Iterator<Item = f64>) -> Figure {
    let values: Vec<f64> = values.collect();
    Figure { name, total: values.iter().sum(), count: values.len() as f64 }
}

/// How much of what was learnt is recommended, and how rare it is; `counts` are the recommendations of each item.
fn of_items(train: &Train, counts: &[f64]) -> [Figure; 2] {
    let interactions: f64 = train.rows.iter().sum();
    let known = || counts.iter().zip(&train.rows).filter(|(count, rows)| **count > 0.0 && **rows > 0.0);
    let surprise = known().map(|(count, rows)| -(rows / interactions).log2() * count).sum::<f64>();
    #[expect(clippy::cast_precision_loss, reason = "a count of items")]
    let covered = known().count() as f64;
    [
        Figure { name: "catalog_coverage", total: covered, count: train.items() },
        Figure { name: "novelty", total: surprise, count: known().map(|(count, _)| count).sum() },
    ]
}

/// The mean distance of the pairs of a list.
#[expect(clippy::cast_precision_loss, reason = "places in a list")]
fn distance(list: &[u32], pairs: &HashMap<(u32, u32), f64>) -> f64 {
    let mut total = 0.0;
    for (at, a) in list.iter().enumerate() {
        for b in &list[at + 1..] {
            total += 1.0 - pairs.get(&(*a.min(b), *a.max(b))).copied().unwrap_or(0.0);
        }
    }
    let count = list.len() * list.len().saturating_sub(1) / 2;
    if count == 0 { 0.0 } else { total / count as f64 }
}

/// The figures of one user, in the order of [`ACCURACY`]; `truth` is in the order of items.
#[expect(clippy::cast_precision_loss, reason = "places in a list")]
pub(super) fn of_user(list: &[u32], truth: &[(u32, f64)], k: usize) -> [f64; 9] {
    let (mut hits, mut gained, mut precisions, mut first) = (0.0, 0.0, 0.0, 0.0);
    for (at, item) in list.iter().enumerate() {
        let Ok(found) = truth.binary_search_by_key(item, |row| row.0) else { continue };
        let gain = truth[found].1;
        let place = (at + 1) as f64;
        hits += 1.0;
        gained += gain / (place + 1.0).log2();
        precisions += hits / place;
        if first == 0.0 {
            first = 1.0 / place;
        }
    }
    let mut best: Vec<f64> = truth.iter().map(|row| row.1).collect();
    best.sort_unstable_by(|a, b| b.total_cmp(a));
    let ideal: f64 = best.iter().take(k).enumerate().map(|(at, gain)| gain / (at as f64 + 2.0).log2()).sum();
    let (size, capped, k) = (truth.len() as f64, truth.len().min(k) as f64, k as f64);
    let ndcg = if ideal > 0.0 { gained / ideal } else { 0.0 };
    let hit = f64::from(u8::from(hits > 0.0));
    [hits / k, hits / size, hits / capped, ndcg, precisions / size, precisions / capped, precisions / k, first, hit]
}
