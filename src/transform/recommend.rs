//! `recommend`: the best items for each user from what they know and a model of pairs: the rows of `similarity` or
//! `train`. It learns nothing.
//!
//! score(u, t) = Σ_s a(u, s) · W(s, t) over the items s that the user knows. The model's `item` is the target t and its
//! `similar_` item the source s, as `prune: target` and `train` make them; `prune: source` reads them the other way
//! round. Only positive scores recommend. Items the user knows (`input` and `seen`) are left out unless
//! `exclude_seen: false`. Short lists, and those of users in `users` without history, are filled from `fallback`. Rows
//! come out by user, the best first, ties by item.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, Int64Array, UInt32Array};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Field, SchemaRef};
use rayon::prelude::*;

use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::dialect::types::SqlType;
use crate::name::{Name, TableName};
use crate::text::Spanned;
use crate::yaml::Node;
use crate::yaml::shape::{Key, Record, Shape};

use super::column::{OnNan, Table, field, float_column, made, outcome};
use super::keys::{Keys, encode_parts};
use super::param::{COLUMN, COUNT, ColumnName, ON_NAN, Params, TABLE};
use super::scope::{Scope, comparable, distinct};
use super::similarity::{Best, Matrix, Neighbour};
use super::sql::list;
use super::{Collect, Context, Form, Kernel, Origin, Outcome, Rows, TransformError};

/// The same as one query.
mod query;

/// The parameters of a `recommend` step.
#[derive(Clone, Debug)]
pub struct Recommend {
    input: Spanned<TableName>,
    user: ColumnName,
    item: ColumnName,
    value: Option<ColumnName>,
    model: Spanned<TableName>,
    from_source: bool,
    top: usize,
    exclude_seen: bool,
    seen: Option<Spanned<TableName>>,
    users: Option<Spanned<TableName>>,
    fallback: Option<(Spanned<TableName>, ColumnName)>,
    explain: bool,
    drop_nan: bool,
}

/// The keys of a `recommend` step.
pub(super) const RECORD: Record = Record::new(
    "recommend",
    &[
        Key::new("input", TABLE, "What users know and like.").required().example("user_affinity"),
        Key::new("user", COLUMN, "Who.").required().example("user_id"),
        Key::new("item", COLUMN, "What.").required().example("program_id"),
        Key::new("value", COLUMN, "How much; 1 where absent.").example("affinity"),
        Key::new("model", TABLE, "The rows of a `train` or `similarity` step.").required().example("ease"),
        Key::new("prune", Shape::Word(&["target", "source"]), "Which item the model's `item` is; target where absent.")
            .example("target"),
        Key::new("top", COUNT, "How many items each user gets; 20 where absent.").example("20"),
        Key::new("exclude_seen", Shape::Boolean, "Whether known items are left out; true where absent.")
            .example("true"),
        Key::new("seen", TABLE, "Further items that users know, in columns of the same names.").example("watched"),
        Key::new("users", TABLE, "All users, so that those without history get a list too.").example("backend.user"),
        Key::new("fallback", Shape::Record(&FALLBACK), "What fills short lists.")
            .example("{input: popular, score: viewers}"),
        Key::new("explain", Shape::Boolean, "Also give the known item that adds most.").example("true"),
        Key::new("on_nan", ON_NAN, "Whether a NaN is an error, or its row is left out.").example("drop"),
    ],
);

const FALLBACK: Record = Record::new(
    "fallback",
    &[
        Key::new("input", TABLE, "A step or table of items.").required().example("popular"),
        Key::new("score", COLUMN, "The column to order by, greatest first.").required().example("viewers"),
    ],
);

/// Which input is which.
struct Places {
    seen: Option<usize>,
    users: Option<usize>,
    fallback: Option<usize>,
}

impl Recommend {
    /// Reads a node that was checked against [`RECORD`].
    pub(super) fn read(node: &Node) -> Self {
        let params = Params(node);
        let missing = || ColumnName::new(Name::quoted(""), node.span.clone());
        let fallback = params.inside("fallback");
        Self {
            input: params.input(),
            user: params.column("user").unwrap_or_else(missing),
            item: params.column("item").unwrap_or_else(missing),
            value: params.column("value"),
            model: params.table("model").unwrap_or_else(|| params.input()),
            from_source: params.word("prune") == Some("source"),
            top: params.count("top").unwrap_or(20),
            exclude_seen: params.node("exclude_seen").and_then(Node::boolean).unwrap_or(true),
            seen: params.table("seen"),
            users: params.table("users"),
            fallback: fallback.and_then(|f| Some((f.input(), f.column("score")?))),
            explain: params.flag("explain"),
            drop_nan: params.drops_nan(),
        }
    }

    fn places(&self) -> Places {
        let mut next = 2;
        let mut place = |present: bool| {
            let at = present.then_some(next);
            next += usize::from(present);
            at
        };
        Places {
            seen: place(self.seen.is_some()),
            users: place(self.users.is_some()),
            fallback: place(self.fallback.is_some()),
        }
    }

    fn similar(&self) -> ColumnName {
        ColumnName::new(Name::quoted(format!("SIMILAR_{}", self.item.value.as_str())), self.model.span.clone())
    }

    fn because(&self) -> Name {
        Name::quoted(format!("BECAUSE_{}", self.item.value.as_str()))
    }

    fn run(&self, inputs: Vec<Rows>) -> Result<Outcome, TransformError> {
        let tables: Vec<Table> = inputs.into_iter().map(Rows::table).collect::<Result<_, _>>()?;
        let taste = Taste::new(self, &tables)?;
        let lists: Vec<List> = (0..taste.users.len())
            .into_par_iter()
            .map_init(|| Sums::new(taste.items.len()), |sums, user| taste.list(self, user, sums))
            .collect();
        outcome(
            self.columns(&tables, &taste, &lists)?,
            vec![("without a user, item or value".to_owned(), taste.dropped)],
        )
    }

    fn columns(
        &self,
        tables: &[Table],
        taste: &Taste,
        lists: &[List],
    ) -> Result<Vec<(Field, ArrayRef)>, TransformError> {
        let all = || lists.iter().flat_map(|list| &list.items);
        let user_rows = (0_u32..).zip(lists).flat_map(|(user, list)| std::iter::repeat_n(user, list.items.len()));
        let pick = |name: &Name, like: &Name, keys: &Keys, codes: Vec<Option<u32>>| {
            let like = tables[0].column(like).data_type().clone();
            let ids = take(&keys.distinct[0], &UInt32Array::from(codes), None)?;
            Ok::<_, TransformError>((field(name, like.clone()), cast(&ids, &like)?))
        };
        let (user, item) = (&self.user.value, &self.item.value);
        let ranks: Int64Array = lists.iter().flat_map(|l| (1..).zip(&l.items).map(|(rank, _)| Some(rank))).collect();
        let mut columns = vec![
            pick(user, user, &taste.users, user_rows.map(Some).collect())?,
            pick(item, item, &taste.items, all().map(|n| Some(n.item)).collect())?,
            (field(&Name::quoted("SCORE"), DataType::Float64), float_column(all().map(|n| n.score))),
            (field(&Name::quoted("RANK"), DataType::Int64), Arc::new(ranks) as ArrayRef),
        ];
        if self.fallback.is_some() {
            let fallen = lists.iter().flat_map(|l| (0..l.items.len()).map(|at| Some(at >= l.own)));
            let fallen: BooleanArray = fallen.collect();
            columns.push((field(&Name::quoted("FALLBACK"), DataType::Boolean), Arc::new(fallen)));
        }
        if self.explain {
            let because: Vec<Option<(u32, f64)>> = lists.iter().flat_map(|list| list.because.iter().copied()).collect();
            columns.push(pick(&self.because(), item, &taste.items, because.iter().map(|b| b.map(|b| b.0)).collect())?);
            let scores = because.iter().map(|b| b.map_or(f64::NAN, |b| b.1));
            columns.push((field(&Name::quoted("BECAUSE_SCORE"), DataType::Float64), float_column(scores)));
        }
        Ok(columns)
    }
}

/// What users know, the model, and the fallback, as codes.
struct Taste {
    users: Keys,
    items: Keys,
    known: Matrix,
    seen: HashSet<(u32, u32)>,
    model: Matrix,
    fallback: Vec<(u32, f64)>,
    dropped: u64,
}

/// One user's list.
struct List {
    items: Vec<Neighbour>,
    /// How many are not of the fallback.
    own: usize,
    because: Vec<Option<(u32, f64)>>,
}

/// Sums by item, all zero between users.
struct Sums {
    sums: Vec<f64>,
    touched: Vec<bool>,
    order: Vec<u32>,
}

impl Sums {
    fn new(items: usize) -> Self {
        Self { sums: vec![0.0; items], touched: vec![false; items], order: Vec::new() }
    }
}

impl Taste {
    fn new(recommend: &Recommend, tables: &[Table]) -> Result<Self, TransformError> {
        let places = recommend.places();
        let (main, model) = (&tables[0], &tables[1]);
        let part = |table: &Table, name: &Name| (vec![table.column(name)], table.len());
        let (user, item) = (&recommend.user.value, &recommend.item.value);
        let seen = places.seen.map(|at| &tables[at]);
        let listed = places.users.map(|at| &tables[at]);
        let fallback = places.fallback.map(|at| &tables[at]);
        let users =
            encode_parts(&std::iter::once(main).chain(listed).chain(seen).map(|t| part(t, user)).collect::<Vec<_>>())?;
        let similar = recommend.similar().value;
        let mut parts = vec![part(main, item), part(model, item), part(model, &similar)];
        parts.extend(seen.into_iter().chain(fallback).map(|table| part(table, item)));
        let items = encode_parts(&parts)?;
        let (mine, rest) = items.codes.split_at(main.len());
        let (left, rest) = rest.split_at(model.len());
        let (right, rest) = rest.split_at(model.len());
        let (seen_items, fallback_items) = rest.split_at(seen.map_or(0, Table::len));
        let mut nan = vec![false; main.len()];
        let values = match &recommend.value {
            Some(value) => main.numbers(&value.value, OnNan::of(recommend.drop_nan, &mut nan))?,
            None => vec![1.0; main.len()],
        };
        let real = |keys: &Keys, code: u32| !keys.has_null[code as usize];
        let kept = |row: &usize| {
            real(&users, users.codes[*row]) && real(&items, mine[*row]) && !nan[*row] && !values[*row].is_nan()
        };
        let rows: Vec<usize> = (0..main.len()).filter(kept).collect();
        let pick = |codes: &[u32]| rows.iter().map(|row| codes[*row]).collect::<Vec<_>>();
        let weights: Vec<f64> = rows.iter().map(|row| values[*row]).collect();
        let weights = recommend.value.is_some().then_some(weights.as_slice());
        let known = Matrix::new(&pick(&users.codes), &pick(mine), weights, users.len(), items.len());
        let scores = model.numbers(&Name::quoted("SCORE"), OnNan::of(recommend.drop_nan, &mut Vec::new()))?;
        let (sources, targets) = if recommend.from_source { (left, right) } else { (right, left) };
        let whole = |row: &usize| real(&items, left[*row]) && real(&items, right[*row]) && !scores[*row].is_nan();
        let pairs: Vec<usize> = (0..model.len()).filter(whole).collect();
        let of = |codes: &[u32]| pairs.iter().map(|row| codes[*row]).collect::<Vec<_>>();
        let scores: Vec<f64> = pairs.iter().map(|row| scores[*row]).collect();
        let seen_users = &users.codes[users.codes.len() - seen_items.len()..];
        let seen = seen_users.iter().copied().zip(seen_items.iter().copied()).collect();
        let model = Matrix::new(&of(sources), &of(targets), Some(&scores), items.len(), items.len());
        let fallen = fallback_items.len();
        let mut taste =
            Self { model, seen, dropped: (main.len() - rows.len()) as u64, fallback: Vec::new(), users, items, known };
        if let (Some(table), Some((_, score))) = (fallback, &recommend.fallback) {
            let scores = table.numbers(&score.value, OnNan::of(recommend.drop_nan, &mut Vec::new()))?;
            let fallback_items = taste.items.codes[taste.items.codes.len() - fallen..].iter();
            let rows = fallback_items.copied().zip(scores);
            taste.fallback = rows.filter(|(item, score)| real(&taste.items, *item) && !score.is_nan()).collect();
            taste.fallback.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        }
        Ok(taste)
    }

    fn list(&self, recommend: &Recommend, user: usize, sums: &mut Sums) -> List {
        let code = u32::try_from(user).unwrap_or(u32::MAX);
        if self.users.has_null[user] {
            return List { items: Vec::new(), own: 0, because: Vec::new() };
        }
        for (source, a) in self.known.row(user) {
            for (target, w) in self.model.row(source as usize) {
                let at = target as usize;
                if !std::mem::replace(&mut sums.touched[at], true) {
                    sums.order.push(target);
                }
                sums.sums[at] += a * w;
            }
        }
        let known: HashSet<u32> = self.known.row(user).map(|(item, _)| item).collect();
        let is_seen =
            |item: u32| recommend.exclude_seen && (known.contains(&item) || self.seen.contains(&(code, item)));
        let mut best = Best::new(recommend.top);
        for item in sums.order.drain(..) {
            let score = std::mem::take(&mut sums.sums[item as usize]);
            sums.touched[item as usize] = false;
            if score > 0.0 && !is_seen(item) {
                best.offer(Neighbour { item, score, common: 0 });
            }
        }
        let mut items = best.sorted();
        let own = items.len();
        let mut because: Vec<Option<(u32, f64)>> = Vec::new();
        if recommend.explain {
            because = items.iter().map(|neighbour| self.because(user, neighbour.item)).collect();
        }
        let mut listed: HashSet<u32> = items.iter().map(|neighbour| neighbour.item).collect();
        let more = self.fallback.iter().filter(|(item, _)| !is_seen(*item) && listed.insert(*item));
        let more =
            more.take(recommend.top - own).map(|(item, score)| Neighbour { item: *item, score: *score, common: 0 });
        let more: Vec<Neighbour> = more.collect();
        items.extend(more);
        because.resize(if recommend.explain { items.len() } else { 0 }, None);
        List { items, own, because }
    }

    /// The known item that adds most to a score, ties by item.
    fn because(&self, user: usize, target: u32) -> Option<(u32, f64)> {
        let mut most: Option<(u32, f64)> = None;
        for (source, a) in self.known.row(user) {
            let weight = self.model.row(source as usize).find(|(item, _)| *item == target).map(|(_, w)| a * w);
            if let Some(added) = weight
                && most.is_none_or(|(_, top)| added > top)
            {
                most = Some((source, added));
            }
        }
        most
    }
}

impl Form for Recommend {
    fn inputs(&self) -> Vec<Spanned<TableName>> {
        let optional = [self.seen.clone(), self.users.clone(), self.fallback.as_ref().map(|f| f.0.clone())];
        [self.input.clone(), self.model.clone()].into_iter().chain(optional.into_iter().flatten()).collect()
    }

    fn output(&self, inputs: &[&[Column]], problems: &mut Vec<Diagnostic>) -> Vec<Column> {
        let [mine, model, ..] = inputs else { return Vec::new() };
        let scope = Scope::new(&self.input, mine);
        let (user, item) = (scope.key(&self.user, problems).cloned(), scope.key(&self.item, problems).cloned());
        if let Some(value) = &self.value {
            scope.number(value, problems);
        }
        let mut meets = |table: &Spanned<TableName>, columns: &[Column], name: &ColumnName, with: &Option<Column>| {
            let name = &ColumnName::new(name.value.clone(), table.span.clone());
            if let (Some(a), Some(b)) = (with, Scope::new(table, columns).key(name, problems)) {
                comparable(a, b, name, problems);
            }
        };
        meets(&self.model, model, &self.item, &item);
        meets(&self.model, model, &self.similar(), &item);
        let places = self.places();
        let columns_of = |at: Option<usize>| at.and_then(|at| inputs.get(at)).copied().unwrap_or(&[]);
        if let Some(seen) = &self.seen {
            meets(seen, columns_of(places.seen), &self.user, &user);
            meets(seen, columns_of(places.seen), &self.item, &item);
        }
        if let Some(users) = &self.users {
            meets(users, columns_of(places.users), &self.user, &user);
        }
        if let Some((table, _)) = &self.fallback {
            meets(table, columns_of(places.fallback), &self.item, &item);
        }
        let score = ColumnName::new(Name::quoted("SCORE"), self.model.span.clone());
        Scope::new(&self.model, model).number(&score, problems);
        if let Some((table, score)) = &self.fallback {
            Scope::new(table, columns_of(places.fallback)).number(score, problems);
        }
        let because = item.as_ref().map(|item| Column { name: self.because(), nullable: true, ..item.clone() });
        let mut columns: Vec<Column> = user.into_iter().chain(item).collect();
        columns.push(made(&Name::quoted("SCORE"), SqlType::Float));
        columns.push(made(&Name::quoted("RANK"), SqlType::INTEGER));
        if self.fallback.is_some() {
            columns.push(made(&Name::quoted("FALLBACK"), SqlType::Boolean));
        }
        if self.explain {
            columns.extend(because);
            columns.push(made(&Name::quoted("BECAUSE_SCORE"), SqlType::Float));
        }
        distinct(&columns, &self.input, problems);
        columns
    }

    fn lineage(&self, inputs: &[&[Column]]) -> Vec<Vec<Origin>> {
        let of = |input: usize, name: &Name| Origin { input, column: name.clone() };
        let mut figures = vec![of(0, &self.user.value), of(0, &self.item.value), of(1, &self.item.value)];
        figures.extend(self.value.as_ref().map(|value| of(0, &value.value)));
        figures.extend([of(1, &self.similar().value), of(1, &Name::quoted("SCORE"))]);
        let columns = self.output(inputs, &mut Vec::new());
        let lineage = |(at, _): (usize, &Column)| match at {
            0 => vec![of(0, &self.user.value)],
            1 => vec![of(1, &self.item.value)],
            _ => figures.clone(),
        };
        columns.iter().enumerate().map(lineage).collect()
    }

    fn query(&self, input: usize, _: &[&[Column]]) -> String {
        let tables = self.inputs();
        let Some(table) = tables.get(input).map(|table| table.value.sql()) else { return String::new() };
        let places = self.places();
        let (user, item) = (&self.user.value, &self.item.value);
        let (similar, score) = (self.similar().value, Name::quoted("SCORE"));
        let columns: Vec<&Name> = match input {
            0 => [user, item].into_iter().chain(self.value.as_ref().map(|value| &value.value)).collect(),
            1 => vec![item, &similar, &score],
            at if Some(at) == places.seen => vec![user, item],
            at if Some(at) == places.users => vec![user],
            _ => std::iter::once(item).chain(self.fallback.as_ref().map(|(_, score)| &score.value)).collect(),
        };
        format!("select {}\nfrom {table}", list("", columns))
    }

    fn kernel(&self, schemas: Vec<SchemaRef>, _: Context) -> Box<dyn Kernel> {
        let recommend = self.clone();
        Collect::boxed(schemas, move |rows, give| recommend.run(rows)?.give(give))
    }

    fn sql(&self, inputs: &[&[Column]], _: &mut Vec<Diagnostic>) -> String {
        query::whole(self, inputs)
    }
}
