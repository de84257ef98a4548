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
use super::matrix::Matrix;
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
    users: Chunks<u32>,
    items: Chunks<u32>,
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
        let (users, items, values) = Default::default();
        Ok(Cells { user_ids: ids(&self.user)?, item_ids: ids(self.item())?, users, items, values, nan: 0 })
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
        cells.users.push(cells.user_ids.codes(&[table.column(&self.user)], rows)?);
        cells.items.push(cells.item_ids.codes(&[table.column(self.item())], rows)?);
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
        let (mut cells, user_null, item_null, distinct) = joined(all)?;
        let rows = cells.users.len();
        cells.retain(|user, item, value| {
            !user_null[user as usize] && !item_null[item as usize] && !value.is_some_and(f64::is_nan)
        });
        let dropped = (rows - cells.users.len()) as u64 - nan;
        let values = self.value.is_some().then_some(cells.values.as_slice());
        let matrix = Matrix::new(&cells.users, &cells.items, values, user_null.len(), item_null.len());
        drop(cells);
        let found = nearest(&self.similarity, occupied(matrix));
        let columns = self.columns(&distinct, &found.lists, &found.users)?;
        let dropped = [("with NaN", nan), ("without a user, item or value", dropped)];
        outcome(columns, dropped.map(|(why, rows)| (why.to_owned(), rows)).to_vec())?.give(give)
    }
}

/// The cells of all threads.
struct Joined {
    users: Vec<u32>,
    items: Vec<u32>,
    values: Vec<f64>,
}

impl Joined {
    /// Keeps the rows that are wanted, told by user, item and value.
    fn retain(&mut self, wanted: impl Fn(u32, u32, Option<f64>) -> bool) {
        let mut kept = 0;
        for row in 0..self.users.len() {
            let (user, item, value) = (self.users[row], self.items[row], self.values.get(row).copied());
            if wanted(user, item, value) {
                (self.users[kept], self.items[kept]) = (user, item);
                if let Some(value) = value {
                    self.values[kept] = value;
                }
                kept += 1;
            }
        }
        self.users.truncate(kept);
        self.items.truncate(kept);
        self.values.truncate(kept);
    }
}

/// The cells of all threads under common codes, which users and items have a NULL, and the items.
fn joined(all: Vec<Cells>) -> Result<(Joined, Vec<bool>, Vec<bool>, ArrayRef), TransformError> {
    let mut ids = (Vec::new(), Vec::new());
    let mut cells = Vec::new();
    for part in all {
        ids.0.push(part.user_ids);
        ids.1.push(part.item_ids);
        cells.push((part.users, part.items, part.values));
    }
    let (user_codes, _, user_null) = merged(ids.0)?;
    let (item_codes, distinct, item_null) = merged(ids.1)?;
    let rows = cells.iter().map(|(users, _, _)| users.len()).sum();
    let valued = cells.iter().map(|(_, _, values)| values.len()).sum();
    let mut joined =
        Joined { users: Vec::with_capacity(rows), items: Vec::with_capacity(rows), values: Vec::with_capacity(valued) };
    for ((users, items, values), (user_codes, item_codes)) in cells.into_iter().zip(user_codes.iter().zip(&item_codes))
    {
        users.move_to(&mut joined.users, |code| user_codes[code as usize]);
        items.move_to(&mut joined.items, |code| item_codes[code as usize]);
        values.move_to(&mut joined.values, |value| value);
    }
    let distinct = distinct.into_iter().next().unwrap_or_else(|| new_empty_array(&DataType::Null));
    Ok((joined, user_null, item_null, distinct))
}

/// The matrix without users who have nothing: they are no part of N.
fn occupied(mut matrix: Matrix) -> Matrix {
    matrix.starts.dedup();
    if matrix.starts.is_empty() {
        matrix.starts.push(0);
    }
    matrix
}
