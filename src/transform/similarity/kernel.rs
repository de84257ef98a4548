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
use super::{Metric, Of, Similarity, Texts, Weighting};

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
        Of::Vectors(column) => {
            let sorted = take(&table.column(&column.value), &UInt32Array::from(order.clone()), None)?;
            let (vectors, present) = Vectors::read(&sorted)?;
            let mut flags = present.iter();
            order.retain(|_| flags.next() == Some(&true));
            let lists = vectors.nearest(similarity);
            let ids = take(&item, &UInt32Array::from(order.clone()), None)?;
            let missing = (table.len() - order.len()) as u64;
            outcome(
                columns(similarity, item.data_type(), &ids, &lists, &[])?,
                vec![("without a vector".to_owned(), missing)],
            )
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
        for (term, weight) in weights {
            cells.0.push(*term);
            cells.1.push(text);
            cells.2.push(*weight);
        }
    }
    let matrix = Matrix::new(&cells.0, &cells.1, Some(&cells.2), terms.names.len(), order.len());
    let products = Similarity { metric: Metric::InnerProduct, weighting: Weighting::None, ..similarity.clone() };
    let found = nearest(&products, matrix);
    let ids = take(item, &UInt32Array::from(order), None)?;
    outcome(columns(similarity, item.data_type(), &ids, &found.lists, &[])?, Vec::new())
}

fn tags(
    similarity: &Similarity,
    texts: &Texts,
    table: &Table,
    item: &ArrayRef,
    order: Vec<u32>,
) -> Result<Outcome, TransformError> {
    let terms = terms(texts, table, &order)?;
    let (mut rows, mut names, mut weights, mut ranks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (row, text) in order.iter().zip(&terms.texts) {
        let mut text = text.clone();
        text.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        for ((term, weight), rank) in text.into_iter().take(similarity.top).zip(1_i64..) {
            rows.push(*row);
            names.push(terms.names[term as usize].as_str());
            weights.push(weight);
            ranks.push(rank);
        }
    }
    let ids = take(item, &UInt32Array::from(rows), None)?;
    let columns: Vec<(Field, ArrayRef)> = vec![
        (field(&similarity.item.value, item.data_type().clone()), ids),
        (field(&Name::quoted("TERM"), DataType::Utf8), Arc::new(StringArray::from(names))),
        (field(&Name::quoted("WEIGHT"), DataType::Float64), float_column(weights)),
        (field(&Name::quoted("RANK"), DataType::Int64), Arc::new(Int64Array::from(ranks))),
    ];
    outcome(columns, Vec::new())
}

/// The columns of the result from the neighbours of each item.
pub(super) fn columns(
    similarity: &Similarity,
    item_type: &DataType,
    ids: &ArrayRef,
    lists: &[Vec<Neighbour>],
    users: &[u32],
) -> Result<Vec<(Field, ArrayRef)>, TransformError> {
    let all = || (0_u32..).zip(lists).flat_map(|(item, list)| list.iter().map(move |neighbour| (item, neighbour)));
    let pick = |codes: Vec<u32>| -> Result<ArrayRef, TransformError> {
        Ok(cast(&take(ids, &UInt32Array::from(codes), None)?, item_type)?)
    };
    let integer = |name: &str, values: Vec<i64>| {
        (field(&Name::quoted(name), DataType::Int64), Arc::new(Int64Array::from(values)) as ArrayRef)
    };
    let item = &similarity.item.value;
    let mut columns = vec![
        (field(item, item_type.clone()), pick(all().map(|(item, _)| item).collect())?),
        (field(&similarity.similar_column(), item_type.clone()), pick(all().map(|(_, n)| n.item).collect())?),
        (field(&Name::quoted("SCORE"), DataType::Float64), float_column(all().map(|(_, n)| n.score))),
        integer("RANK", lists.iter().flat_map(|list| (1_i64..).zip(list).map(|(rank, _)| rank)).collect()),
    ];
    if similarity.explain {
        columns.push(integer("COMMON_USERS", all().map(|(_, n)| i64::from(n.common)).collect()));
        columns.push(integer("USERS", all().map(|(item, _)| i64::from(users[item as usize])).collect()));
        columns.push(integer("SIMILAR_USERS", all().map(|(_, n)| i64::from(users[n.item as usize])).collect()));
    }
    Ok(columns)
}
