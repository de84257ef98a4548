//! The native `recommend`: users in parallel, each on their own, given away as they are ready.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, Int64Array, UInt32Array};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Field};

use crate::name::Name;
use crate::transform::column::{OnNan, Table, batch, field, finite, float_column, in_order, keyed_numbers};
use crate::transform::keys::{Keys, encode, encode_parts};
use crate::transform::similarity::{Best, Matrix, Neighbour};
use crate::transform::{Finished, Give, Rows, TransformError};

use super::Recommend;
use super::query::{Role, role_column};

/// How many users one unit of work has.
const USERS: usize = 1024;

/// Computes the result from the rows of all inputs.
pub(super) fn run(recommend: &Recommend, inputs: Vec<Rows>, give: &mut Give<'_>) -> Result<Finished, TransformError> {
    let tables: Vec<Table> = inputs.into_iter().map(Rows::table).collect::<Result<_, _>>()?;
    let taste = Taste::new(recommend, &tables)?;
    let units = taste.users.len().div_ceil(USERS).max(1);
    let make = |unit: usize| {
        let users = unit * USERS..taste.users.len().min((unit + 1) * USERS);
        let mut sums = Sums::new(taste.items.len());
        let lists: Vec<List> = users.clone().map(|user| taste.list(recommend, user, &mut sums)).collect();
        rows(recommend, &tables, &taste, (users.start, &lists)).and_then(batch)
    };
    let schema = in_order(units, make, give)?;
    let dropped = ("without a user, item or value".to_owned(), taste.dropped);
    Ok(Finished { schema, dropped: Some(dropped).filter(|dropped| dropped.1 > 0).into_iter().collect() })
}

/// The columns of the lists of successive users, the first of whom has this code.
fn rows(
    recommend: &Recommend,
    tables: &[Table],
    taste: &Taste,
    (first, lists): (usize, &[List]),
) -> Result<Vec<(Field, ArrayRef)>, TransformError> {
    let all = || lists.iter().flat_map(|list| &list.items);
    let first = u32::try_from(first).unwrap_or(u32::MAX);
    let user_rows = (first..).zip(lists).flat_map(|(user, list)| std::iter::repeat_n(user, list.items.len()));
    let pick = |name: &Name, like: &Name, keys: &Keys, codes: Vec<Option<u32>>| {
        let like = tables[0].column(like).data_type().clone();
        let ids = take(&keys.distinct[0], &UInt32Array::from(codes), None)?;
        Ok::<_, TransformError>((field(name, like.clone()), cast(&ids, &like)?))
    };
    let (user, item) = (&recommend.user.value, &recommend.item.value);
    let ranks: Int64Array = lists.iter().flat_map(|l| (1..).zip(&l.items).map(|(rank, _)| Some(rank))).collect();
    let mut columns = vec![
        pick(user, user, &taste.users, user_rows.map(Some).collect())?,
        pick(item, item, &taste.items, all().map(|n| Some(n.item)).collect())?,
        (field(&Name::quoted("SCORE"), DataType::Float64), float_column(all().map(|n| n.score))),
        (field(&Name::quoted("RANK"), DataType::Int64), Arc::new(ranks) as ArrayRef),
    ];
    if recommend.fallback.is_some() {
        let fallen = lists.iter().flat_map(|l| (0..l.items.len()).map(|at| Some(at >= l.own)));
        let fallen: BooleanArray = fallen.collect();
        columns.push((field(&Name::quoted("FALLBACK"), DataType::Boolean), Arc::new(fallen)));
    }
    if recommend.explain {
        let because: Vec<Option<(u32, f64)>> = lists.iter().flat_map(|list| list.because.iter().copied()).collect();
        let codes = because.iter().map(|because| because.map(|because| because.0)).collect();
        columns.push(pick(&recommend.because(), item, &taste.items, codes)?);
        let scores = because.iter().map(|because| because.map_or(f64::NAN, |because| because.1));
        columns.push((field(&Name::quoted("BECAUSE_SCORE"), DataType::Float64), float_column(scores)));
    }
    Ok(columns)
}

/// What users know, the model, and the fallback, as codes.
struct Taste {
    users: Keys,
    items: Keys,
    known: Matrix,
    /// What users have seen besides.
    seen: Matrix,
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
        let (main, model) = (&tables[0], &tables[1]);
        let fallback = recommend.places().fallback.map(|at| &tables[at]);
        let part = |table: &Table, name: &Name| (vec![table.column(name)], table.len());
        let (item, similar) = (&recommend.item.value, recommend.similar().value);
        let users = encode(&[main.column(&recommend.user.value)], main.len())?;
        let mut parts = vec![part(main, item), part(model, item), part(model, &similar)];
        parts.extend(fallback.map(|table| part(table, item)));
        let items = encode_parts(&parts)?;
        let (mine, rest) = items.codes.split_at(main.len());
        let (left, rest) = rest.split_at(model.len());
        let (right, fallback_items) = rest.split_at(model.len());
        let mut nan = vec![false; main.len()];
        let values = match &recommend.value {
            Some(value) => {
                let keys = main.columns([&recommend.user.value, item]);
                let on_nan = OnNan::of(recommend.drop_nan, &mut nan);
                keyed_numbers(&main.column(&value.value), &keys, &value.value, on_nan)?
            }
            None => vec![1.0; main.len()],
        };
        finite(&values, recommend.value.as_ref().map_or(item, |value| &value.value))?;
        let real = |keys: &Keys, code: u32| !keys.has_null[code as usize];
        let whole = |row: usize| real(&users, users.codes[row]) && real(&items, mine[row]);
        let roles = roles(recommend, main)?;
        let roles = roles.as_slice();
        let of_role = |role: Role| (0..main.len()).filter(move |row| roles.get(*row).copied() == Some(role));
        let known: Vec<usize> =
            of_role(Role::Known).filter(|row| whole(*row) && !nan[*row] && !values[*row].is_nan()).collect();
        let seen: Vec<usize> = of_role(Role::Seen).filter(|row| whole(*row)).collect();
        let dropped = (of_role(Role::Known).count() - known.len()) as u64;
        let matrix = |rows: &[usize], weights: Option<&[f64]>| {
            let pick = |codes: &[u32]| rows.iter().map(|row| codes[*row]).collect::<Vec<_>>();
            Matrix::new((&pick(&users.codes)[..], &pick(mine)[..], weights), users.len(), items.len())
        };
        let weights: Vec<f64> = known.iter().map(|row| values[*row]).collect();
        let known = matrix(&known, recommend.value.is_some().then_some(weights.as_slice()));
        let seen = matrix(&seen, None);
        let score = Name::quoted("SCORE");
        let keys = model.columns([item, &similar]);
        let on_nan = &mut Vec::new();
        let scores = keyed_numbers(&model.column(&score), &keys, &score, OnNan::of(recommend.drop_nan, on_nan))?;
        finite(&scores, &score)?;
        let (sources, targets) = if recommend.from_source { (left, right) } else { (right, left) };
        let whole = |row: &usize| real(&items, left[*row]) && real(&items, right[*row]) && !scores[*row].is_nan();
        let pairs: Vec<usize> = (0..model.len()).filter(whole).collect();
        let of = |codes: &[u32]| pairs.iter().map(|row| codes[*row]).collect::<Vec<_>>();
        let scores: Vec<f64> = pairs.iter().map(|row| scores[*row]).collect();
        let model = Matrix::new((&of(sources)[..], &of(targets)[..], Some(&scores[..])), items.len(), items.len());
        let mut popular = Vec::new();
        if let (Some(table), Some((_, score))) = (fallback, &recommend.fallback) {
            let scores = table.numbers(&score.value, OnNan::of(recommend.drop_nan, &mut Vec::new()))?;
            let rows = fallback_items.iter().copied().zip(scores);
            popular = rows.filter(|(item, score)| real(&items, *item) && !score.is_nan()).collect();
            popular.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        }
        Ok(Self { users, items, known, seen, model, fallback: popular, dropped })
    }

    fn list(&self, recommend: &Recommend, user: usize, sums: &mut Sums) -> List {
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
        let known: HashSet<u32> = self.known.row(user).chain(self.seen.row(user)).map(|(item, _)| item).collect();
        let is_seen = |item: u32| recommend.exclude_seen && known.contains(&item);
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

/// What each row of the users' query is.
fn roles(recommend: &Recommend, main: &Table) -> Result<Vec<Role>, TransformError> {
    if !recommend.gathers() {
        return Ok(vec![Role::Known; main.len()]);
    }
    let numbers = main.numbers(&role_column(), OnNan::Error)?;
    Ok(numbers.into_iter().map(Role::of).collect())
}
