//! The native `similarity`: rows in, neighbours out. Interactions are turned into codes as they arrive, so that the rows
//! themselves are never held.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt32Array};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Field, SchemaRef};

use crate::name::Name;
use crate::transform::column::{OnNan, Table, field, float_column, numbers, outcome};
use crate::transform::keys::{Interner, Keys, encode};
use crate::transform::{Kernel, Outcome, Rows, TransformError};

use super::dense::Vectors;
use super::metric::Neighbour;
use super::sparse::{Matrix, nearest};
use super::terms::Terms;
use super::{Metric, Of, Similarity, Texts, Weighting};

/// Interactions as codes.
pub(super) struct Interactions {
    similarity: Similarity,
    schema: SchemaRef,
    interners: Option<(Interner, Interner)>,
    users: Vec<u32>,
    items: Vec<u32>,
    values: Vec<f64>,
    nan: Vec<bool>,
}

impl Interactions {
    /// None yet.
    pub(super) fn new(similarity: Similarity, schemas: Vec<SchemaRef>) -> Self {
        let empty = || Arc::new(datafusion::arrow::datatypes::Schema::empty());
        let schema = schemas.into_iter().next().unwrap_or_else(empty);
        let (users, items, values, nan) = Default::default();
        Self { similarity, schema, interners: None, users, items, values, nan }
    }

    fn type_of(&self, name: &Name) -> DataType {
        self.schema.field_with_name(name.as_str()).map_or(DataType::Null, |field| field.data_type().clone())
    }

    fn user(&self) -> Name {
        match &self.similarity.of {
            Of::Interactions { user, .. } => user.value.clone(),
            _ => self.similarity.item.value.clone(),
        }
    }

    fn value(&self) -> Option<Name> {
        match &self.similarity.of {
            Of::Interactions { value, .. } => value.as_ref().map(|value| value.value.clone()),
            _ => None,
        }
    }
}

impl Kernel for Interactions {
    fn push(&mut self, _: usize, batch: RecordBatch) -> Result<(), TransformError> {
        let (user, item, value) = (self.user(), self.similarity.item.value.clone(), self.value());
        let (mut users, mut items) = match self.interners.take() {
            Some(interners) => interners,
            None => (Interner::new(&[self.type_of(&user)])?, Interner::new(&[self.type_of(&item)])?),
        };
        let rows = batch.num_rows();
        let table = Table { batch };
        users.push(&[table.column(&user)], rows, &mut self.users)?;
        items.push(&[table.column(&item)], rows, &mut self.items)?;
        self.interners = Some((users, items));
        if let Some(value) = value {
            let mut nan = Vec::new();
            let on_nan = OnNan::of(self.similarity.drop_nan, &mut nan);
            self.values.extend(numbers(&table.column(&value), &value, on_nan)?);
            nan.resize(rows, false);
            self.nan.extend(nan);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Outcome, TransformError> {
        let item_type = self.type_of(&self.similarity.item.value);
        let weighted = self.value().is_some();
        let Self { similarity, interners, mut users, mut items, mut values, nan, .. } = *self;
        let Some((user_ids, item_ids)) = interners else {
            let empty = Keys {
                codes: Vec::new(),
                distinct: vec![datafusion::arrow::array::new_empty_array(&item_type)],
                has_null: Vec::new(),
            };
            return outcome(columns(&similarity, &item_type, &empty.distinct[0], &[], &[])?, Vec::new());
        };
        let (user_order, _, user_null) = user_ids.finish()?;
        let (item_order, distinct, item_null) = item_ids.finish()?;
        let rows = users.len();
        let mut kept = 0;
        for row in 0..rows {
            let (user, item) = (user_order[users[row] as usize], item_order[items[row] as usize]);
            let known = !user_null[user as usize] && !item_null[item as usize];
            if known && (!weighted || !(nan[row] || values[row].is_nan())) {
                (users[kept], items[kept]) = (user, item);
                if weighted {
                    values[kept] = values[row];
                }
                kept += 1;
            }
        }
        users.truncate(kept);
        items.truncate(kept);
        values.truncate(kept);
        let weights = weighted.then_some(values.as_slice());
        let matrix = Matrix::new(&users, &items, weights, user_null.len(), item_null.len());
        drop((users, items, values, nan));
        let found = nearest(&similarity, occupied(matrix));
        let columns = columns(&similarity, &item_type, &distinct[0], &found.lists, &found.users)?;
        outcome(columns, vec![("without a user, item or value".to_owned(), (rows - kept) as u64)])
    }
}

/// The matrix without users who have nothing: they are no part of N.
fn occupied(mut matrix: Matrix) -> Matrix {
    matrix.starts.dedup();
    if matrix.starts.is_empty() {
        matrix.starts.push(0);
    }
    matrix
}

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
fn columns(
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
