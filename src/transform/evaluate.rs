//! `evaluate`: how well recommendations met what users did afterwards. It splits nothing: `truth` and `train` are tables.
//!
//! One row per metric and k. Means run over the users of `truth`; one without recommendations counts 0. A list is
//! ordered by `rank`, ties by item, an item named twice counts once. With r the place of a hit among the first k, T the
//! user's truth and g its gain (1 where absent):
//!
//! | metric | definition | the same in |
//! | --- | --- | --- |
//! | `precision` | hits ÷ k | recommenders `precision_at_k`, RecTools `Precision` |
//! | `recall`, `recall_capped` | hits ÷ \|T\|, hits ÷ min(k, \|T\|) | recommenders `recall_at_k` |
//! | `ndcg` | Σ g ÷ log2(1 + r), over the same of the best order of T cut at k | recommenders `ndcg_at_k` |
//! | `map`, `map_at_k`, `map_by_k` | Σ precision at each hit ÷ \|T\|, ÷ min(k, \|T\|), ÷ k | recommenders `map`, `map_at_k`; RecTools `MAP(divide_by_k)` |
//! | `mrr`, `hit_rate` | 1 ÷ place of the first hit; whether there is one | RecTools |
//! | `distributional_coverage` | −Σ p log2 p over recommended items | recommenders |
//! | `catalog_coverage` | distinct items recommended ÷ distinct in `train` | recommenders |
//! | `novelty` | mean of −log2(interactions of the item ÷ all) over recommendations whose item is in `train` | recommenders |
//! | `popularity` | mean over users of the mean interactions of their items | RecTools `AvgRecPopularity` |

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};
use datafusion::arrow::datatypes::{DataType, SchemaRef};

use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::dialect::types::SqlType;
use crate::name::{Name, TableName};
use crate::text::Spanned;
use crate::yaml::Node;
use crate::yaml::shape::{Key, Record, Shape};

use super::column::{OnNan, Table, field, float_column, made, outcome};
use super::keys::{Keys, encode_parts};
use super::param::{COLUMN, COUNT, ColumnName, Params, TABLE};
use super::scope::{Scope, comparable};
use super::sql::list;
use super::{Collect, Context, Form, Kernel, Origin, Outcome, Rows, TransformError};

/// The parameters of an `evaluate` step.
#[derive(Clone, Debug)]
pub struct Evaluate {
    input: Spanned<TableName>,
    truth: Spanned<TableName>,
    train: Option<Spanned<TableName>>,
    user: ColumnName,
    item: ColumnName,
    rank: ColumnName,
    gain: Option<ColumnName>,
    k: Vec<usize>,
}

/// The keys of an `evaluate` step.
pub(super) const RECORD: Record = Record::new(
    "evaluation",
    &[
        Key::new("input", TABLE, "the recommendations").required().example("recommendations"),
        Key::new("truth", TABLE, "what users did afterwards").required().example("held_out"),
        Key::new("train", TABLE, "what the model learnt from, for coverage, novelty and popularity").example("history"),
        Key::new("user", COLUMN, "who, in all tables").required().example("user_id"),
        Key::new("item", COLUMN, "what, in all tables").required().example("program_id"),
        Key::new("rank", COLUMN, "the place in a list, 1 first; `rank` where absent").example("rank"),
        Key::new("gain", COLUMN, "how much a hit is worth, in `truth`").example("hours"),
        Key::new("k", Shape::OneOrMore(&COUNT), "how many places count; 10 where absent").example("[5, 10]"),
    ],
);

impl Evaluate {
    /// Reads a node that was checked against [`RECORD`].
    pub(super) fn read(node: &Node) -> Self {
        let params = Params(node);
        let missing = || ColumnName::new(Name::quoted(""), node.span.clone());
        let named = params.node("k").map_or(&[] as &[Node], Node::items);
        let mut k: Vec<usize> = named.iter().filter_map(|k| usize::try_from(k.integer()?).ok()).collect();
        k.sort_unstable();
        k.dedup();
        Self {
            input: params.input(),
            truth: params.table("truth").unwrap_or_else(|| params.input()),
            train: params.table("train"),
            user: params.column("user").unwrap_or_else(missing),
            item: params.column("item").unwrap_or_else(missing),
            rank: params.column("rank").unwrap_or_else(|| ColumnName::new(Name::quoted("RANK"), node.span.clone())),
            gain: params.column("gain"),
            k: if k.is_empty() { vec![10] } else { k },
        }
    }

    fn run(&self, inputs: Vec<Rows>) -> Result<Outcome, TransformError> {
        let tables: Vec<Table> = inputs.into_iter().map(Rows::table).collect::<Result<_, _>>()?;
        let facts = Facts::new(self, &tables)?;
        let (mut names, mut places, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for k in &self.k {
            for (name, value) in facts.metrics(*k) {
                names.push(name);
                places.push(i64::try_from(*k).unwrap_or(i64::MAX));
                values.push(value);
            }
        }
        let columns = vec![
            (field(&Name::quoted("METRIC"), DataType::Utf8), Arc::new(StringArray::from(names)) as ArrayRef),
            (field(&Name::quoted("K"), DataType::Int64), Arc::new(Int64Array::from(places)) as ArrayRef),
            (field(&Name::quoted("VALUE"), DataType::Float64), float_column(values)),
        ];
        outcome(columns, vec![("without a user, item or rank".to_owned(), facts.dropped)])
    }
}

/// The tables as codes.
struct Facts {
    /// By user of the truth, the gain of each item.
    truth: BTreeMap<u32, BTreeMap<u32, f64>>,
    /// By user, the recommended items in order.
    lists: BTreeMap<u32, Vec<u32>>,
    /// By item, how often it is in `train`; none without it.
    train: Option<HashMap<u32, f64>>,
    dropped: u64,
}

impl Facts {
    fn new(evaluate: &Evaluate, tables: &[Table]) -> Result<Self, TransformError> {
        let keys = |name: &ColumnName| {
            encode_parts(&tables.iter().map(|t| (vec![t.column(&name.value)], t.len())).collect::<Vec<_>>())
        };
        let (users, items) = (keys(&evaluate.user)?, keys(&evaluate.item)?);
        let real = |keys: &Keys, row: usize| !keys.has_null[keys.codes[row] as usize];
        let known = |row: usize| real(&users, row) && real(&items, row);
        let (main, rest) = (&tables[0], &tables[1]);
        let ranks = main.numbers(&evaluate.rank.value, OnNan::Error)?;
        let mut ordered: BTreeMap<u32, Vec<(f64, u32)>> = BTreeMap::new();
        let mut dropped = 0;
        for (row, rank) in ranks.iter().enumerate() {
            if known(row) && !rank.is_nan() {
                ordered.entry(users.codes[row]).or_default().push((*rank, items.codes[row]));
            } else {
                dropped += 1;
            }
        }
        let gains = match &evaluate.gain {
            Some(gain) => rest.numbers(&gain.value, OnNan::Error)?,
            None => vec![1.0; rest.len()],
        };
        let mut truth: BTreeMap<u32, BTreeMap<u32, f64>> = BTreeMap::new();
        for (at, gain) in gains.iter().enumerate() {
            let row = main.len() + at;
            if known(row) && !gain.is_nan() {
                let best = truth.entry(users.codes[row]).or_default().entry(items.codes[row]).or_insert(*gain);
                *best = best.max(*gain);
            } else {
                dropped += 1;
            }
        }
        let train = tables.get(2).map(|table| {
            let mut counts = HashMap::new();
            let start = main.len() + rest.len();
            for row in (start..start + table.len()).filter(|row| known(*row)) {
                *counts.entry(items.codes[row]).or_insert(0.0) += 1.0;
            }
            counts
        });
        let list = |(user, mut rows): (u32, Vec<(f64, u32)>)| {
            rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let mut seen = HashSet::new();
            (user, rows.into_iter().map(|row| row.1).filter(|item| seen.insert(*item)).collect())
        };
        Ok(Self { truth, lists: ordered.into_iter().map(list).collect(), train, dropped })
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of users and items")]
    fn metrics(&self, k: usize) -> Vec<(&'static str, f64)> {
        const NAMES: [&str; 9] =
            ["precision", "recall", "recall_capped", "ndcg", "map", "map_at_k", "map_by_k", "mrr", "hit_rate"];
        let nothing = Vec::new();
        let mut sums = [0.0; NAMES.len()];
        for (user, truth) in &self.truth {
            let list = self.lists.get(user).unwrap_or(&nothing);
            let figures = of_user(&list[..k.min(list.len())], truth, k);
            sums.iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure);
        }
        let users = self.truth.len() as f64;
        let mut metrics: Vec<(&str, f64)> = NAMES.iter().zip(sums).map(|(name, sum)| (*name, sum / users)).collect();
        metrics.push(("users", users));
        let recommended: Vec<&[u32]> = self.lists.values().map(|list| &list[..k.min(list.len())]).collect();
        let total = recommended.iter().map(|list| list.len()).sum::<usize>() as f64;
        let mut counts: BTreeMap<u32, f64> = BTreeMap::new();
        recommended.iter().copied().flatten().for_each(|item| *counts.entry(*item).or_default() += 1.0);
        let entropy = -counts.values().map(|count| count / total * (count / total).log2()).sum::<f64>();
        metrics.push(("distributional_coverage", entropy + 0.0));
        if let Some(train) = &self.train {
            let interactions: f64 = train.values().sum();
            let of = |item: &u32| train.get(item).copied();
            let covered = counts.keys().filter(|item| train.contains_key(item)).count() as f64;
            metrics.push(("catalog_coverage", covered / train.len() as f64));
            let known: Vec<(f64, f64)> = counts.iter().filter_map(|(item, n)| Some((of(item)?, *n))).collect();
            let seen: f64 = known.iter().map(|(_, n)| n).sum();
            let surprise = known.iter().map(|(count, n)| -(count / interactions).log2() * n).sum::<f64>();
            metrics.push(("novelty", surprise / seen));
            let lists = recommended.iter().filter(|list| !list.is_empty());
            let means: Vec<f64> = lists
                .map(|list| list.iter().map(|item| of(item).unwrap_or(0.0)).sum::<f64>() / list.len() as f64)
                .collect();
            metrics.push(("popularity", means.iter().sum::<f64>() / means.len() as f64));
        }
        metrics
    }
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

impl Form for Evaluate {
    fn inputs(&self) -> Vec<Spanned<TableName>> {
        [self.input.clone(), self.truth.clone()].into_iter().chain(self.train.clone()).collect()
    }

    fn output(&self, inputs: &[&[Column]], problems: &mut Vec<Diagnostic>) -> Vec<Column> {
        let Some(mine) = inputs.first() else { return Vec::new() };
        let scope = Scope::new(&self.input, mine);
        let keys = [&self.user, &self.item].map(|name| scope.key(name, problems).cloned());
        scope.number(&self.rank, problems);
        for (table, columns) in self.inputs().iter().zip(inputs).skip(1) {
            for (name, mine) in [&self.user, &self.item].into_iter().zip(&keys) {
                let name = ColumnName::new(name.value.clone(), table.span.clone());
                if let (Some(a), Some(b)) = (mine, Scope::new(table, columns).key(&name, problems)) {
                    comparable(a, b, &name, problems);
                }
            }
        }
        if let (Some(gain), Some(truth)) = (&self.gain, inputs.get(1)) {
            Scope::new(&self.truth, truth).number(gain, problems);
        }
        vec![
            made(&Name::quoted("METRIC"), SqlType::TEXT),
            made(&Name::quoted("K"), SqlType::INTEGER),
            made(&Name::quoted("VALUE"), SqlType::Float),
        ]
    }

    fn lineage(&self, inputs: &[&[Column]]) -> Vec<Vec<Origin>> {
        let of = |input: usize, name: &ColumnName| Origin { input, column: name.value.clone() };
        let mut figures = vec![of(0, &self.rank)];
        (0..inputs.len()).for_each(|input| figures.extend([of(input, &self.user), of(input, &self.item)]));
        figures.extend(self.gain.as_ref().map(|gain| of(1, gain)));
        vec![Vec::new(), Vec::new(), figures]
    }

    fn query(&self, input: usize, _: &[&[Column]]) -> String {
        let tables = self.inputs();
        let Some(table) = tables.get(input).map(|table| table.value.sql()) else { return String::new() };
        let more = match input {
            0 => Some(&self.rank.value),
            1 => self.gain.as_ref().map(|gain| &gain.value),
            _ => None,
        };
        format!("select {}\nfrom {table}", list("", [&self.user.value, &self.item.value].into_iter().chain(more)))
    }

    fn kernel(&self, schemas: Vec<SchemaRef>, _: Context) -> Box<dyn Kernel> {
        let evaluate = self.clone();
        Collect::boxed(schemas, move |rows| evaluate.run(rows))
    }

    fn sql(&self, _: &[&[Column]], problems: &mut Vec<Diagnostic>) -> String {
        let message = "`evaluate` has no form as one SQL query";
        let diagnostic = Diagnostic::error("no-sql-form", message).at(self.input.span.clone());
        problems.push(diagnostic.hint("run this step on the embedded engine"));
        String::new()
    }
}
