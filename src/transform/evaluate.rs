//! `evaluate`: how well recommendations met what users did afterwards. What they did is the table `truth`, beside what the
//! model learnt from in `train`; or it is the later part of a `history`, cut as a `split` step with the same `split` cuts it.
//!
//! One row per metric and k. Means run over the users of the truth; one without recommendations counts 0. A list is
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
//! | `users` | the users of the truth | |
//! | `distributional_coverage` | −Σ p log2 p over recommended items | recommenders |
//! | `catalog_coverage` | distinct items recommended ÷ distinct in `train` | recommenders |
//! | `novelty` | mean of −log2(interactions of the item ÷ all) over recommendations whose item is in `train` | recommenders |
//! | `inverse_user_frequency` | mean over lists of the mean of −log2(users of the item ÷ users), a new item as of one user | RecTools `MeanInvUserFreq` |
//! | `popularity` | mean over lists of the mean interactions of their items: the bias towards popular ones | RecTools `AvgRecPopularity` |
//! | `serendipity` | mean over lists of Σ over hits of max(0, place from the end − the same place by popularity) ÷ items ÷ k | RecTools `Serendipity` |
//! | `diversity` | mean over lists of the mean of 1 − similarity over pairs of their items, 0 for a single item | RecTools `IntraListDiversity` |
//!
//! The rows of each user come together, sorted, on disk if need be; only the items of the lists are held. Those from `catalog_coverage` on need `train` or `history`, and `diversity` needs `similarity`. With `explain` each value
//! comes as the sum and the number of what it is the mean of.

use datafusion::arrow::datatypes::SchemaRef;

use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::dialect::types::SqlType;
use crate::name::{Name, TableName};
use crate::text::Spanned;
use crate::yaml::Node;
use crate::yaml::shape::{Key, Record, Shape};

use super::column::made;
use super::param::{COLUMN, COUNT, ColumnName, Params, TABLE};
use super::scope::{Scope, comparable};
use super::split::{self, Cut};
use super::{Context, Footprint, Form, Kernel, Origin};

/// The queries of the inputs.
mod query;

/// Rows of users → lists and counts.
mod kernel;

/// Lists and counts → figures.
mod measure;

/// The parameters of an `evaluate` step.
#[derive(Clone, Debug)]
pub struct Evaluate {
    input: Spanned<TableName>,
    truth: Truth,
    user: ColumnName,
    item: ColumnName,
    rank: ColumnName,
    gain: Option<ColumnName>,
    similarity: Option<Spanned<TableName>>,
    k: Vec<usize>,
    explain: bool,
}

/// Where the truth is.
#[derive(Clone, Debug)]
enum Truth {
    /// In a table, beside what the model learnt from.
    Tables(Spanned<TableName>, Option<Spanned<TableName>>),
    /// In the later part of a history.
    History { table: Spanned<TableName>, time: Option<ColumnName>, cut: Cut },
}

/// The keys of an `evaluate` step.
pub(super) const RECORD: Record = Record::new(
    "evaluation",
    &[
        Key::new("input", TABLE, "The recommendations.").required().example("recommendations"),
        Key::new("truth", TABLE, "What users did afterwards.").example("held_out"),
        Key::new("train", TABLE, "Beside `truth`: what the model learnt from, for coverage, novelty and popularity.")
            .example("history"),
        Key::new("history", TABLE, "Instead of `truth` and `train`: all that users did, to be cut by `split`.")
            .example("dw.fact_watch"),
        Key::new("split", Shape::Record(&split::CUT), "Where `history` is cut; chronologically where absent.")
            .example("{ratio: 0.75}"),
        Key::new("time", COLUMN, "Of `history`: when.").example("real_start_at"),
        Key::new("user", COLUMN, "Who, in all tables.").required().example("user_id"),
        Key::new("item", COLUMN, "What, in all tables.").required().example("program_id"),
        Key::new("rank", COLUMN, "The place in a list, 1 first; `rank` where absent.").example("rank"),
        Key::new("gain", COLUMN, "How much a hit is worth, in `truth` or `history`.").example("hours"),
        Key::new("similarity", TABLE, "Pairs of items as a `similarity` step gives them, for `diversity`.")
            .example("program_similarity"),
        Key::new("k", Shape::OneOrMore(&COUNT), "How many places count; 10 where absent.").example("[5, 10]"),
        Key::new("explain", Shape::Boolean, "Also give the sum and the number that each value is the mean of.")
            .example("true"),
    ],
);

impl Evaluate {
    /// Reads a node that was checked against [`RECORD`].
    pub(super) fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Self {
        let params = Params(node);
        let missing = || ColumnName::new(Name::quoted(""), node.span.clone());
        let named = params.node("k").map_or(&[] as &[Node], Node::items);
        let mut k: Vec<usize> = named.iter().filter_map(|k| usize::try_from(k.integer()?).ok()).collect();
        k.sort_unstable();
        k.dedup();
        Self {
            input: params.input(),
            truth: truth(params, problems),
            user: params.column("user").unwrap_or_else(missing),
            item: params.column("item").unwrap_or_else(missing),
            rank: params.column("rank").unwrap_or_else(|| ColumnName::new(Name::quoted("RANK"), node.span.clone())),
            gain: params.column("gain"),
            similarity: params.table("similarity"),
            k: if k.is_empty() { vec![10] } else { k },
            explain: params.flag("explain"),
        }
    }

    fn similar(&self) -> Name {
        Name::quoted(format!("SIMILAR_{}", self.item.value.as_str()))
    }

    /// The place of the pairs of items among the inputs.
    fn pairs_at(&self) -> Option<usize> {
        let before = match &self.truth {
            Truth::Tables(_, train) => 2 + usize::from(train.is_some()),
            Truth::History { .. } => 2,
        };
        self.similarity.as_ref().map(|_| before)
    }
}

fn truth(params: Params<'_>, problems: &mut Vec<Diagnostic>) -> Truth {
    let mut refuse = |key: &str, message: &str| {
        problems.push(Diagnostic::error("conflicting-keys", message).at(params.span(key)));
    };
    match (params.table("truth"), params.table("history")) {
        (Some(_), Some(_)) => refuse("history", "the truth is `truth`, or a part of `history`, not both"),
        (None, None) => refuse("input", "an evaluation needs `truth`, or `history` to cut it from"),
        (Some(_), None) => {
            for key in ["split", "time"] {
                if params.node(key).is_some() {
                    refuse(key, &format!("`{key}` has a meaning with `history` only"));
                }
            }
        }
        (None, Some(_)) if params.node("train").is_some() => {
            refuse("train", "`history` has its own part to train with: leave `train` out");
        }
        (None, Some(_)) => {}
    }
    match params.table("history") {
        Some(table) if params.node("truth").is_none() => {
            let time = params.column("time");
            let empty = Node { value: crate::yaml::Value::Null, span: params.0.span.clone() };
            let cut = params.inside("split").unwrap_or(Params(&empty));
            Truth::History { table, cut: Cut::read(cut, time.is_some(), problems), time }
        }
        _ => Truth::Tables(params.table("truth").unwrap_or_else(|| params.input()), params.table("train")),
    }
}

impl Form for Evaluate {
    fn inputs(&self) -> Vec<Spanned<TableName>> {
        let mut inputs = vec![self.input.clone()];
        match &self.truth {
            Truth::Tables(truth, train) => inputs.extend(std::iter::once(truth).chain(train).cloned()),
            Truth::History { table, .. } => inputs.push(table.clone()),
        }
        inputs.extend(self.similarity.clone());
        inputs
    }

    fn output(&self, inputs: &[&[Column]], problems: &mut Vec<Diagnostic>) -> Vec<Column> {
        let Some(mine) = inputs.first() else { return Vec::new() };
        let scope = Scope::new(&self.input, mine);
        let keys = [&self.user, &self.item].map(|name| scope.key(name, problems).cloned());
        scope.number(&self.rank, problems);
        for (at, (table, columns)) in self.inputs().iter().zip(inputs).enumerate().skip(1) {
            let theirs = Scope::new(table, columns);
            let named = |name: &Name| ColumnName::new(name.clone(), table.span.clone());
            let mut meets = |name: &Name, mine: &Option<Column>| {
                if let (Some(a), Some(b)) = (mine, theirs.key(&named(name), problems)) {
                    comparable(a, b, &named(name), problems);
                }
            };
            meets(&self.item.value, &keys[1]);
            if Some(at) == self.pairs_at() {
                meets(&self.similar(), &keys[1]);
                theirs.number(&named(&Name::quoted("SCORE")), problems);
            } else {
                meets(&self.user.value, &keys[0]);
            }
        }
        if let Some(truth) = inputs.get(1) {
            let table = &self.inputs()[1];
            if let Some(gain) = &self.gain {
                Scope::new(table, truth).number(gain, problems);
            }
            if let Truth::History { time: Some(time), .. } = &self.truth {
                Scope::new(table, truth).time(time, problems);
            }
        }
        let mut columns = vec![
            made(&Name::quoted("METRIC"), SqlType::TEXT),
            made(&Name::quoted("K"), SqlType::INTEGER),
            made(&Name::quoted("VALUE"), SqlType::Float),
        ];
        if self.explain {
            columns.extend(["TOTAL", "COUNT"].map(|name| made(&Name::quoted(name), SqlType::Float)));
        }
        columns
    }

    fn lineage(&self, inputs: &[&[Column]]) -> Vec<Vec<Origin>> {
        let of = |input: usize, name: &Name| Origin { input, column: name.clone() };
        let mut figures = vec![of(0, &self.user.value), of(0, &self.item.value), of(0, &query::rank_column())];
        figures.extend(self.gain.as_ref().map(|_| of(0, &query::gain_column())));
        let pairs = self.pairs_at().filter(|at| *at < inputs.len());
        figures.extend(pairs.map(|at| of(at, &self.item.value)));
        let mut lineage = vec![Vec::new(), Vec::new(), figures.clone()];
        lineage.extend(std::iter::repeat_n(figures, if self.explain { 2 } else { 0 }));
        lineage
    }

    fn query(&self, input: usize, inputs: &[&[Column]]) -> String {
        query::input(self, input, inputs)
    }

    fn reads_now(&self) -> bool {
        matches!(&self.truth, Truth::History { cut, .. } if cut.reads_now())
    }

    fn kernel(&self, schemas: Vec<SchemaRef>, _: Context) -> Box<dyn Kernel> {
        Box::new(kernel::Users::new(self.clone(), schemas))
    }

    fn footprint(&self) -> Footprint {
        // The item of each recommendation, and what is known of each item.
        Footprint { holds_rows: false, per_row: 4 }
    }

    fn sql(&self, _: &[&[Column]], problems: &mut Vec<Diagnostic>) -> String {
        let message = "`evaluate` has no form as one SQL query";
        let diagnostic = Diagnostic::error("no-sql-form", message).at(self.input.span.clone());
        problems.push(diagnostic.hint("run this step on the embedded engine"));
        String::new()
    }
}
