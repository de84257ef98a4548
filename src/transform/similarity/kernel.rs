//! The native `similarity` of vectors and texts, and the rows that neighbours become.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray, UInt32Array};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Field};

use crate::name::Name;
use crate::transform::column::{Table, field, float_column, outcome};
use crate::transform::keys::encode;
use crate::transform::{Outcome, Rows, TransformError};

use super::dense::Vectors;
use super::matrix::Matrix;
use super::metric::Neighbour;
use super::sparse::nearest;
use super::terms::Terms;
use super::{
    EXPLAINED_INTERACTIONS, EXPLAINED_TAGS, EXPLAINED_TEXTS, EXPLAINED_VECTORS, Metric, Of, Similarity, Texts,
    Weighting,
};

/// Vectors, texts and tags: one row per item.
pub(super) fn run(similarity: &Similarity, mut inputs: Vec<Rows>) -> Result<Outcome, TransformError> {
    let table = inputs.swap_remove(0).table()?;
    let item = table.column(&similarity.item.value);
    let keys = encode(&[Arc::clone(&item)], table.len())?;
    let mut seen = vec![false; keys.len()];
    for code in &keys.codes {
        let code = *code as usize;
        if std::mem::replace(&mut seen[code], true) && !keys.has_null[code] {
            let message = format!("an item has several rows: `{}` must be unique", similarity.item.value.lower());
            return Err(TransformError::Data(message));
        }
    }
    let mut order: Vec<u32> = (0..u32::try_from(table.len()).unwrap_or(u32::MAX)).collect();
    order.sort_unstable_by_key(|row| keys.codes[*row as usize]);
    order.retain(|row| !keys.has_null[keys.codes[*row as usize] as usize]);
    match &similarity.of {
        Of::Texts(texts) => of_texts(similarity, texts, &table, &item, order),
        Of::Tags(texts) => tags(similarity, texts, &table, &item, order),
        Of::Vectors { column, .. } => {
            let sorted = take(&table.column(&column.value), &UInt32Array::from(order.clone()), None)?;
            let (vectors, present) = Vectors::read(&sorted)?;
            let mut flags = present.iter();
            order.retain(|_| flags.next() == Some(&true));
            let lists = vectors.nearest(similarity);
            let ids = take(&item, &UInt32Array::from(order.clone()), None)?;
            let missing = (table.len() - order.len()) as u64;
            let mut columns = columns(similarity, item.data_type(), &ids, Lists::all(&lists))?;
            if similarity.explain {
                columns.extend(products(&vectors, &lists));
            }
            outcome(columns, vec![("without an item or vector".to_owned(), missing)])
        }
        Of::Interactions { .. } | Of::Blend(_) => {
            Err(TransformError::Data("interactions and blends have kernels of their own".to_owned()))
        }
    }
}

/// The terms of the texts, in the order of rows.
fn terms(texts: &Texts, table: &Table, order: &[u32]) -> Result<Terms, TransformError> {
    let column = cast(&table.column(&texts.column.value), &DataType::Utf8)?;
    let column: &StringArray = column.as_string();
    let text = |row: &u32| column.is_valid(*row as usize).then(|| column.value(*row as usize));
    Ok(Terms::new(texts, &order.iter().map(text).collect::<Vec<_>>()))
}

fn of_texts(
    similarity: &Similarity,
    texts: &Texts,
    table: &Table,
    item: &ArrayRef,
    order: Vec<u32>,
) -> Result<Outcome, TransformError> {
    let terms = terms(texts, table, &order)?;
    let mut cells: (Vec<u32>, Vec<u32>, Vec<f64>) = Default::default();
    for (text, weights) in (0_u32..).zip(&terms.texts) {
        for term in weights {
            cells.0.push(term.code);
            cells.1.push(text);
            cells.2.push(term.weight);
        }
    }
    let matrix = Matrix::new((&cells.0[..], &cells.1[..], Some(&cells.2[..])), terms.names.len(), order.len());
    let products =
        Similarity { metric: Metric::InnerProduct, weighting: Weighting::None, explain: false, ..similarity.clone() };
    let lists = nearest(&products, matrix).lists;
    let ids = take(item, &UInt32Array::from(order), None)?;
    let mut columns = columns(similarity, item.data_type(), &ids, Lists::all(&lists))?;
    if similarity.explain {
        columns.extend(shared_terms(&terms, &lists));
    }
    outcome(columns, Vec::new())
}

/// How many terms the texts of each pair share, and the one that adds most to their score, ties by term.
fn shared_terms(terms: &Terms, lists: &[Vec<Neighbour>]) -> Vec<(Field, ArrayRef)> {
    let pairs = lists.iter().enumerate().flat_map(|(text, list)| list.iter().map(move |other| (text, other.item)));
    let (mut counts, mut names, mut added) = (Vec::new(), Vec::new(), Vec::new());
    for (text, other) in pairs {
        let shared = terms.shared(text, other as usize);
        let most = shared.iter().max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
        counts.push(i64::try_from(shared.len()).unwrap_or(i64::MAX));
        names.push(most.map(|(code, _)| terms.names[*code as usize].as_str()));
        added.push(most.map_or(f64::NAN, |most| most.1));
    }
    let [common, term, score] = EXPLAINED_TEXTS.map(Name::quoted);
    vec![
        (field(&common, DataType::Int64), Arc::new(Int64Array::from(counts))),
        (field(&term, DataType::Utf8), Arc::new(StringArray::from(names))),
        (field(&score, DataType::Float64), float_column(added)),
    ]
}

/// The products of the vectors of each pair, and the lengths of both.
fn products(vectors: &Vectors, lists: &[Vec<Neighbour>]) -> Vec<(Field, ArrayRef)> {
    let pairs = || lists.iter().enumerate().flat_map(|(item, list)| list.iter().map(move |n| (item, n.item as usize)));
    let [product, length, similar] = EXPLAINED_VECTORS.map(Name::quoted);
    vec![
        (field(&product, DataType::Float64), float_column(pairs().map(|(a, b)| vectors.product(a, b)))),
        (field(&length, DataType::Float64), float_column(pairs().map(|(a, _)| vectors.length(a)))),
        (field(&similar, DataType::Float64), float_column(pairs().map(|(_, b)| vectors.length(b)))),
    ]
}

fn tags(
    similarity: &Similarity,
    texts: &Texts,
    table: &Table,
    item: &ArrayRef,
    order: Vec<u32>,
) -> Result<Outcome, TransformError> {
    let terms = terms(texts, table, &order)?;
    let (mut rows, mut tags, mut ranks) = (Vec::new(), Vec::new(), Vec::new());
    for (row, text) in order.iter().zip(&terms.texts) {
        let mut text = text.clone();
        text.sort_unstable_by(|a, b| b.weight.total_cmp(&a.weight).then(a.code.cmp(&b.code)));
        for (term, rank) in text.into_iter().take(similarity.top).zip(1_i64..) {
            rows.push(*row);
            tags.push(term);
            ranks.push(rank);
        }
    }
    let ids = take(item, &UInt32Array::from(rows), None)?;
    let names: Vec<&str> = tags.iter().map(|tag| terms.names[tag.code as usize].as_str()).collect();
    let weights = tags.iter().map(|tag| tag.weight);
    let mut columns: Vec<(Field, ArrayRef)> = vec![
        (field(&similarity.item.value, item.data_type().clone()), ids),
        (field(&Name::quoted("TERM"), DataType::Utf8), Arc::new(StringArray::from(names))),
        (field(&Name::quoted("WEIGHT"), DataType::Float64), float_column(weights)),
        (field(&Name::quoted("RANK"), DataType::Int64), Arc::new(Int64Array::from(ranks))),
    ];
    if similarity.explain {
        let [occurrences, texts, idf] = EXPLAINED_TAGS.map(Name::quoted);
        #[expect(clippy::cast_possible_truncation, reason = "a count of words")]
        let counts: Int64Array = tags.iter().map(|tag| Some(tag.count as i64)).collect();
        let holders: Int64Array = tags.iter().map(|tag| i64::try_from(terms.holders[tag.code as usize]).ok()).collect();
        columns.push((field(&occurrences, DataType::Int64), Arc::new(counts)));
        columns.push((field(&texts, DataType::Int64), Arc::new(holders)));
        columns.push((field(&idf, DataType::Float64), float_column(tags.iter().map(|tag| terms.idf(tag.code)))));
    }
    outcome(columns, Vec::new())
}

/// The neighbours of successive items.
#[derive(Clone, Copy)]
pub(super) struct Lists<'a> {
    /// The code of the first of these items.
    pub(super) first: u32,
    /// By item.
    pub(super) lists: &'a [Vec<Neighbour>],
}

impl<'a> Lists<'a> {
    /// Those of all items.
    pub(super) fn all(lists: &'a [Vec<Neighbour>]) -> Self {
        Self { first: 0, lists }
    }

    fn pairs(self) -> impl Iterator<Item = (u32, &'a Neighbour)> {
        (self.first..).zip(self.lists).flat_map(|(item, list)| list.iter().map(move |neighbour| (item, neighbour)))
    }
}

/// The columns of the result from the neighbours of items, without those of `explain`.
pub(super) fn columns(
    similarity: &Similarity,
    item_type: &DataType,
    ids: &ArrayRef,
    lists: Lists<'_>,
) -> Result<Vec<(Field, ArrayRef)>, TransformError> {
    let pick = |codes: Vec<u32>| -> Result<ArrayRef, TransformError> {
        Ok(cast(&take(ids, &UInt32Array::from(codes), None)?, item_type)?)
    };
    let ranks: Vec<i64> = lists.lists.iter().flat_map(|list| (1_i64..).zip(list).map(|(rank, _)| rank)).collect();
    let item = &similarity.item.value;
    Ok(vec![
        (field(item, item_type.clone()), pick(lists.pairs().map(|(item, _)| item).collect())?),
        (field(&similarity.similar_column(), item_type.clone()), pick(lists.pairs().map(|(_, n)| n.item).collect())?),
        (field(&Name::quoted("SCORE"), DataType::Float64), float_column(lists.pairs().map(|(_, n)| n.score))),
        integers("RANK", ranks),
    ])
}

/// How many users both items of each pair have, and each of them.
pub(super) fn common_users(lists: Lists<'_>, users: &[u32]) -> [(Field, ArrayRef); 3] {
    let [common, mine, theirs] = EXPLAINED_INTERACTIONS;
    [
        integers(common, lists.pairs().map(|(_, n)| i64::from(n.common)).collect()),
        integers(mine, lists.pairs().map(|(item, _)| i64::from(users[item as usize])).collect()),
        integers(theirs, lists.pairs().map(|(_, n)| i64::from(users[n.item as usize])).collect()),
    ]
}

fn integers(name: &str, values: Vec<i64>) -> (Field, ArrayRef) {
    (field(&Name::quoted(name), DataType::Int64), Arc::new(Int64Array::from(values)))
}
