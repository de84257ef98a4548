//! Interactions, turned into codes as they arrive, so that the rows themselves are never held: each thread numbers the
//! ids it meets, and at the end the numbers of all threads become codes.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{ArrayRef, RecordBatch, new_empty_array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::name::Name;
use crate::transform::column::{Chunks, OnNan, Table, finite, keyed_numbers, outcome};
use crate::transform::keys::{Interner, merged};
use crate::transform::{Context, Finished, Give, Kernel, TransformError};

use super::kernel::{Lists, columns, common_users};
use super::matrix::{self, Matrix};
use super::metric::Neighbour;
use super::sparse::nearest;
use super::{Of, Similarity};

/// The kernel for interactions.
pub(super) struct Interactions {
    similarity: Similarity,
    user: Name,
    value: Option<Name>,
    schema: SchemaRef,
    threads: Vec<Mutex<Option<Cells>>>,
}

/// Rows as codes that mean something to one thread.
struct Cells {
    user_ids: Interner,
    item_ids: Interner,
    /// User and item.
    pairs: Chunks<(u32, u32)>,
    values: Chunks<f64>,
    /// How many rows had NaN.
    nan: u64,
}

impl Interactions {
    /// None yet.
    pub(super) fn new(similarity: Similarity, schemas: Vec<SchemaRef>, context: Context) -> Self {
        let schema = schemas.into_iter().next().unwrap_or_else(|| Arc::new(Schema::empty()));
        let (user, value) = match &similarity.of {
            Of::Interactions { user, value } => (user.value.clone(), value.as_ref().map(|value| value.value.clone())),
            _ => (similarity.item.value.clone(), None),
        };
        let threads = (0..context.threads.max(1)).map(|_| Mutex::new(None)).collect();
        Self { similarity, user, value, schema, threads }
    }

    fn type_of(&self, name: &Name) -> DataType {
        self.schema.field_with_name(name.as_str()).map_or(DataType::Null, |field| field.data_type().clone())
    }

    fn item(&self) -> &Name {
        &self.similarity.item.value
    }

    fn columns(
        &self,
        ids: &ArrayRef,
        lists: &[Vec<Neighbour>],
        users: &[u32],
    ) -> Result<Vec<(Field, ArrayRef)>, TransformError> {
        let mut columns = columns(&self.similarity, &self.type_of(self.item()), ids, Lists::all(lists))?;
        if self.similarity.explain {
            columns.extend(common_users(Lists::all(lists), users));
        }
        Ok(columns)
    }

    fn cells(&self) -> Result<Cells, TransformError> {
        let ids = |name: &Name| Interner::new(&[self.type_of(name)]);
        let (pairs, values) = Default::default();
        Ok(Cells { user_ids: ids(&self.user)?, item_ids: ids(self.item())?, pairs, values, nan: 0 })
    }
}

impl Kernel for Interactions {
    fn push(&self, thread: usize, _: usize, batch: RecordBatch) -> Result<(), TransformError> {
        let Some(cells) = self.threads.get(thread % self.threads.len()) else { return Ok(()) };
        let mut cells = cells.lock().unwrap_or_else(PoisonError::into_inner);
        if cells.is_none() {
            *cells = Some(self.cells()?);
        }
        let Some(cells) = cells.as_mut() else { return Ok(()) };
        let rows = batch.num_rows();
        let table = Table { batch };
        let users = cells.user_ids.codes(&[table.column(&self.user)], rows)?;
        let items = cells.item_ids.codes(&[table.column(self.item())], rows)?;
        cells.pairs.push(users.into_iter().zip(items).collect());
        if let Some(value) = &self.value {
            let mut nan = Vec::new();
            let on_nan = OnNan::of(self.similarity.drop_nan, &mut nan);
            let keys = table.columns([&self.user, self.item()]);
            let values = keyed_numbers(&table.column(value), &keys, value, on_nan)?;
            finite(&values, value)?;
            cells.values.push(values);
            cells.nan += nan.iter().filter(|nan| **nan).count() as u64;
        }
        Ok(())
    }

    fn finish(&self, give: &mut Give<'_>) -> Result<Finished, TransformError> {
        let taken = |cells: &Mutex<Option<Cells>>| cells.lock().unwrap_or_else(PoisonError::into_inner).take();
        let all: Vec<Cells> = self.threads.iter().filter_map(taken).collect();
        let item_type = self.type_of(self.item());
        if all.is_empty() {
            let columns = self.columns(&new_empty_array(&item_type), &[], &[])?;
            return outcome(columns, Vec::new())?.give(give);
        }
        let nan: u64 = all.iter().map(|cells| cells.nan).sum();
        let rows: usize = all.iter().map(|cells| cells.pairs.len()).sum();
        let (joined, distinct) = joined(all, self.value.is_some())?;
        let (height, width) = (joined.user_null.len(), joined.item_null.len());
        let matrix = Matrix::new(joined, height, width);
        let dropped = (rows - matrix.rows) as u64 - nan;
        let found = nearest(&self.similarity, occupied(matrix));
        let columns = self.columns(&distinct, &found.lists, &found.users)?;
        let dropped = [("with NaN", nan), ("without a user, item or value", dropped)];
        outcome(columns, dropped.map(|(why, rows)| (why.to_owned(), rows)).to_vec())?.give(give)
    }
}

/// The cells of all threads, whose codes become common ones as they are told.
struct Joined {
    parts: Vec<Part>,
    /// Which users have a NULL in them.
    user_null: Vec<bool>,
    /// Which items have.
    item_null: Vec<bool>,
    valued: bool,
}

/// The cells of one thread, and the common code of each of its codes.
struct Part {
    pairs: Chunks<(u32, u32)>,
    values: Chunks<f64>,
    user_codes: Vec<u32>,
    item_codes: Vec<u32>,
}

impl matrix::Cells for Joined {
    fn valued(&self) -> bool {
        self.valued
    }

    /// Only rows that have a user, an item and, where values are wanted, a value.
    fn each(&self, mut tell: impl FnMut(u32, u32, f64)) {
        for part in &self.parts {
            let mut tell = |user: u32, item: u32, value: f64| {
                let (user, item) = (part.user_codes[user as usize], part.item_codes[item as usize]);
                if !self.user_null[user as usize] && !self.item_null[item as usize] && !value.is_nan() {
                    tell(user, item, value);
                }
            };
            if self.valued {
                part.pairs.iter().zip(part.values.iter()).for_each(|((user, item), value)| tell(*user, *item, *value));
            } else {
                part.pairs.iter().for_each(|(user, item)| tell(*user, *item, 1.0));
            }
        }
    }
}

/// The cells of all threads, and the items by their common codes.
fn joined(all: Vec<Cells>, valued: bool) -> Result<(Joined, ArrayRef), TransformError> {
    let (mut user_ids, mut item_ids, mut cells) = (Vec::new(), Vec::new(), Vec::new());
    for part in all {
        user_ids.push(part.user_ids);
        item_ids.push(part.item_ids);
        cells.push((part.pairs, part.values));
    }
    let (user_codes, _, user_null) = merged(user_ids)?;
    let (item_codes, distinct, item_null) = merged(item_ids)?;
    let codes = user_codes.into_iter().zip(item_codes);
    let part = |((pairs, values), (user_codes, item_codes))| Part { pairs, values, user_codes, item_codes };
    let parts = cells.into_iter().zip(codes).map(part).collect();
    let distinct = distinct.into_iter().next().unwrap_or_else(|| new_empty_array(&DataType::Null));
    Ok((Joined { parts, user_null, item_null, valued }, distinct))
}

/// The matrix without users who have nothing: they are no part of N.
fn occupied(mut matrix: Matrix) -> Matrix {
    matrix.starts.dedup();
    if matrix.starts.is_empty() {
        matrix.starts.push(0);
    }
    matrix
}
