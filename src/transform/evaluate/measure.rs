//! Lists and truth → figures of quality. Each figure is a sum and what it is divided by.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;

use crate::name::Name;
use crate::transform::column::{OnNan, Table, field, float_column, outcome};
use crate::transform::keys::{Keys, encode_parts};
use crate::transform::split;
use crate::transform::{Outcome, Rows, TransformError};

use super::{ColumnName, Evaluate, Truth};

/// Computes the result from the rows of all inputs.
pub(super) fn run(evaluate: &Evaluate, inputs: Vec<Rows>) -> Result<Outcome, TransformError> {
    let tables: Vec<Table> = inputs.into_iter().map(Rows::table).collect::<Result<_, _>>()?;
    let facts = Facts::new(evaluate, &tables)?;
    let figures: Vec<(usize, Figure)> =
        evaluate.k.iter().flat_map(|k| facts.figures(*k).into_iter().map(move |figure| (*k, figure))).collect();
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
    outcome(columns, vec![("without a user, item, rank, gain or score".to_owned(), facts.dropped)])
}

/// A metric as a sum and what it is divided by.
struct Figure {
    name: &'static str,
    total: f64,
    count: f64,
}

/// The tables as codes.
struct Facts {
    /// By user of the truth, the gain of each item.
    truth: BTreeMap<u32, BTreeMap<u32, f64>>,
    /// By user, the recommended items in order.
    lists: BTreeMap<u32, Vec<u32>>,
    /// What the model learnt from; none where it is not known.
    train: Option<Train>,
    /// How alike two items are, the lesser code first; none without a table of pairs.
    pairs: Option<HashMap<(u32, u32), f64>>,
    dropped: u64,
}

/// What a model learnt from.
#[derive(Default)]
struct Train {
    /// By item, how many rows it has.
    rows: BTreeMap<u32, f64>,
    /// By item, who has it.
    users: HashMap<u32, HashSet<u32>>,
    everyone: HashSet<u32>,
}

impl Train {
    fn add(&mut self, user: u32, item: u32) {
        *self.rows.entry(item).or_default() += 1.0;
        self.users.entry(item).or_default().insert(user);
        self.everyone.insert(user);
    }

    /// The place of each item by popularity, 1 for the most popular, equal ones sharing a place and none skipped.
    #[expect(clippy::cast_precision_loss, reason = "places of items")]
    fn places(&self) -> HashMap<u32, f64> {
        // Counts are positive, and so their bits are in the order of their values.
        let counts: BTreeSet<u64> = self.rows.values().map(|count| count.to_bits()).collect();
        let place: HashMap<u64, usize> = counts.into_iter().rev().zip(1..).collect();
        self.rows.iter().map(|(item, count)| (*item, place[&count.to_bits()] as f64)).collect()
    }
}

/// The codes of users and items by row, all tables in turn.
struct Coded<'a> {
    users: &'a Keys,
    items: &'a Keys,
}

impl Coded<'_> {
    /// The user and item of a row that has both.
    fn at(&self, row: usize) -> Option<(u32, u32)> {
        let (user, item) = (self.users.codes[row], self.items.codes[row]);
        (!self.users.has_null[user as usize] && !self.items.has_null[item as usize]).then_some((user, item))
    }
}

impl Facts {
    fn new(evaluate: &Evaluate, tables: &[Table]) -> Result<Self, TransformError> {
        let pairs_at = evaluate.pairs_at();
        let similar = evaluate.similar();
        let of_items = tables.iter().map(|t| (vec![t.column(&evaluate.item.value)], t.len()));
        let others = pairs_at.map(|at| (vec![tables[at].column(&similar)], tables[at].len()));
        let items = encode_parts(&of_items.chain(others).collect::<Vec<_>>())?;
        let with_users = &tables[..pairs_at.unwrap_or(tables.len())];
        let of_users = with_users.iter().map(|t| (vec![t.column(&evaluate.user.value)], t.len()));
        let users = encode_parts(&of_users.collect::<Vec<_>>())?;
        let mut facts = Self { truth: BTreeMap::new(), lists: BTreeMap::new(), train: None, pairs: None, dropped: 0 };
        let (main, rest) = (&tables[0], &tables[1]);
        let coded = Coded { users: &users, items: &items };
        facts.add_lists(&coded, &main.numbers(&evaluate.rank.value, OnNan::Error)?);
        let trained = trained(evaluate, rest)?;
        facts.add_truth(&coded, main.len(), &gains(evaluate.gain.as_ref(), rest)?, &trained);
        if let (Truth::Tables(_, Some(_)), Some(table)) = (&evaluate.truth, tables.get(2)) {
            let start = main.len() + rest.len();
            facts.add_train(&coded, start..start + table.len());
        }
        if let Some(at) = pairs_at {
            let start: usize = tables[..at].iter().map(Table::len).sum();
            facts.add_pairs(&items, start, &tables[at].numbers(&Name::quoted("SCORE"), OnNan::Error)?);
        }
        Ok(facts)
    }

    fn add_lists(&mut self, coded: &Coded<'_>, ranks: &[f64]) {
        let mut ordered: BTreeMap<u32, Vec<(f64, u32)>> = BTreeMap::new();
        for (row, rank) in ranks.iter().enumerate() {
            match coded.at(row).filter(|_| !rank.is_nan()) {
                Some((user, item)) => ordered.entry(user).or_default().push((*rank, item)),
                None => self.dropped += 1,
            }
        }
        let list = |(user, mut rows): (u32, Vec<(f64, u32)>)| {
            rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let mut seen = HashSet::new();
            (user, rows.into_iter().map(|row| row.1).filter(|item| seen.insert(*item)).collect())
        };
        self.lists = ordered.into_iter().map(list).collect();
    }

    /// Takes the rows of the truth, those to train with apart.
    fn add_truth(&mut self, coded: &Coded<'_>, start: usize, gains: &[f64], trained: &[bool]) {
        if !trained.is_empty() {
            self.train = Some(Train::default());
        }
        for (at, gain) in gains.iter().enumerate() {
            match (coded.at(start + at), &mut self.train) {
                (Some((user, item)), Some(train)) if trained[at] => train.add(user, item),
                (Some((user, item)), _) if !gain.is_nan() => {
                    let best = self.truth.entry(user).or_default().entry(item).or_insert(*gain);
                    *best = best.max(*gain);
                }
                _ => self.dropped += 1,
            }
        }
    }

    fn add_train(&mut self, coded: &Coded<'_>, rows: std::ops::Range<usize>) {
        let train = self.train.get_or_insert_default();
        for row in rows {
            match coded.at(row) {
                Some((user, item)) => train.add(user, item),
                None => self.dropped += 1,
            }
        }
    }

    fn add_pairs(&mut self, items: &Keys, start: usize, scores: &[f64]) {
        let mut pairs: HashMap<(u32, u32), f64> = HashMap::new();
        for (at, score) in scores.iter().enumerate() {
            let (a, b) = (items.codes[start + at], items.codes[start + scores.len() + at]);
            if items.has_null[a as usize] || items.has_null[b as usize] || score.is_nan() {
                self.dropped += 1;
                continue;
            }
            let best = pairs.entry((a.min(b), a.max(b))).or_insert(*score);
            *best = best.max(*score);
        }
        self.pairs = Some(pairs);
    }

    fn figures(&self, k: usize) -> Vec<Figure> {
        let lists: Vec<&[u32]> = self.lists.values().map(|list| &list[..k.min(list.len())]).collect();
        let mut figures = self.of_accuracy(k);
        let mut counts: BTreeMap<u32, f64> = BTreeMap::new();
        lists.iter().copied().flatten().for_each(|item| *counts.entry(*item).or_default() += 1.0);
        let total: f64 = counts.values().sum();
        let entropy = -counts.values().map(|count| count / total * (count / total).log2()).sum::<f64>() + 0.0;
        figures.push(Figure { name: "distributional_coverage", total: entropy, count: 1.0 });
        if let Some(train) = &self.train {
            figures.extend(of_items(train, &counts));
            figures.extend(self.of_lists(train, &lists, k));
        }
        if let Some(pairs) = &self.pairs {
            figures.push(mean("diversity", lists.iter().map(|list| distance(list, pairs))));
        }
        figures
    }

    /// Means over the users of the truth.
    #[expect(clippy::cast_precision_loss, reason = "counts of users")]
    fn of_accuracy(&self, k: usize) -> Vec<Figure> {
        const NAMES: [&str; 9] =
            ["precision", "recall", "recall_capped", "ndcg", "map", "map_at_k", "map_by_k", "mrr", "hit_rate"];
        let nothing = Vec::new();
        let mut sums = [0.0; NAMES.len()];
        for (user, truth) in &self.truth {
            let list = self.lists.get(user).unwrap_or(&nothing);
            let figures = of_user(&list[..k.min(list.len())], truth, k);
            sums.iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure);
        }
        let count = self.truth.len() as f64;
        let figure = |(name, total): (&&'static str, f64)| Figure { name, total, count };
        let mut figures: Vec<Figure> = NAMES.iter().zip(sums).map(figure).collect();
        figures.push(Figure { name: "users", total: count, count: 1.0 });
        figures
    }

    /// Means over the lists.
    #[expect(clippy::cast_precision_loss, reason = "counts of users and items")]
    fn of_lists(&self, train: &Train, lists: &[&[u32]], k: usize) -> [Figure; 3] {
        let everyone = train.everyone.len() as f64;
        let holders = |item: &u32| train.users.get(item).map_or(1.0, |users| users.len() as f64);
        let rarity = |item: &u32| -(holders(item) / everyone).log2();
        let rows = |item: &u32| train.rows.get(item).copied().unwrap_or(0.0);
        let mean_of = |list: &&[u32], of: &dyn Fn(&u32) -> f64| list.iter().map(of).sum::<f64>() / list.len() as f64;
        let (items, places) = (train.rows.len() as f64, train.places());
        let surprise = |(user, list): (&u32, &Vec<u32>)| {
            let hit = |item: &u32| self.truth.get(user).is_some_and(|truth| truth.contains_key(item));
            let gain = |(at, item): (usize, &u32)| {
                let anyone = places.get(item).map_or(0.0, |place| (items + 1.0 - place) / items);
                if hit(item) { ((items - at as f64) / items - anyone).max(0.0) } else { 0.0 }
            };
            list.iter().take(k).enumerate().map(gain).sum::<f64>() / k as f64
        };
        [
            mean("inverse_user_frequency", lists.iter().map(|list| mean_of(list, &rarity))),
            mean("popularity", lists.iter().map(|list| mean_of(list, &rows))),
            mean("serendipity", self.lists.iter().map(surprise)),
        ]
    }
}

/// What each hit is worth.
fn gains(gain: Option<&ColumnName>, table: &Table) -> Result<Vec<f64>, TransformError> {
    match gain {
        Some(gain) => table.numbers(&gain.value, OnNan::Error),
        None => Ok(vec![1.0; table.len()]),
    }
}

/// Which rows of a history are the part to train with; empty of a plain truth.
fn trained(evaluate: &Evaluate, table: &Table) -> Result<Vec<bool>, TransformError> {
    if !matches!(evaluate.truth, Truth::History { .. }) {
        return Ok(Vec::new());
    }
    let part = cast(&table.column(&split::part()), &DataType::Utf8)?;
    let part: &StringArray = part.as_string();
    Ok((0..part.len()).map(|row| part.is_valid(row) && part.value(row) == "train").collect())
}

#[expect(clippy::cast_precision_loss, reason = "counts of lists")]
fn mean(name: &'static str, values: impl Iterator<Item = f64>) -> Figure {
    let values: Vec<f64> = values.collect();
    Figure { name, total: values.iter().sum(), count: values.len() as f64 }
}

/// How much of what was learnt is recommended, and how rare it is; `counts` are the recommendations of each item.
#[expect(clippy::cast_precision_loss, reason = "counts of items")]
fn of_items(train: &Train, counts: &BTreeMap<u32, f64>) -> [Figure; 2] {
    let interactions: f64 = train.rows.values().sum();
    let known: Vec<(f64, f64)> = counts.iter().filter_map(|(item, n)| Some((*train.rows.get(item)?, *n))).collect();
    let surprise = known.iter().map(|(rows, n)| -(rows / interactions).log2() * n).sum::<f64>();
    [
        Figure { name: "catalog_coverage", total: known.len() as f64, count: train.rows.len() as f64 },
        Figure { name: "novelty", total: surprise, count: known.iter().map(|(_, n)| n).sum() },
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

/// The figures of one user, in the order of their names.
#[expect(clippy::cast_precision_loss, reason = "places in a list")]
fn of_user(list: &[u32], truth: &BTreeMap<u32, f64>, k: usize) -> [f64; 9] {
    let (mut hits, mut gained, mut precisions, mut first) = (0.0, 0.0, 0.0, 0.0);
    for (at, item) in list.iter().enumerate() {
        let Some(gain) = truth.get(item) else { continue };
        let place = (at + 1) as f64;
        hits += 1.0;
        gained += gain / (place + 1.0).log2();
        precisions += hits / place;
        if first == 0.0 {
            first = 1.0 / place;
        }
    }
    let mut best: Vec<f64> = truth.values().copied().collect();
    best.sort_unstable_by(|a, b| b.total_cmp(a));
    let ideal: f64 = best.iter().take(k).enumerate().map(|(at, gain)| gain / (at as f64 + 2.0).log2()).sum();
    let (size, capped, k) = (truth.len() as f64, truth.len().min(k) as f64, k as f64);
    let ndcg = if ideal > 0.0 { gained / ideal } else { 0.0 };
    let hit = f64::from(u8::from(hits > 0.0));
    [hits / k, hits / size, hits / capped, ndcg, precisions / size, precisions / capped, precisions / k, first, hit]
}
