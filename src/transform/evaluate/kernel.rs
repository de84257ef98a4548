//! Rows of users, sorted by user and item → what each list has and hits, and what is known of each item. What a user's
//! figures need is forgotten with the user.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::name::Name;
use crate::transform::column::{OnNan, Table};
use crate::transform::keys::{Interner, runs};
use crate::transform::{Finished, Give, Kernel, Rows, TransformError};

use super::query::{Role, gain_column, rank_column, role_column};
use super::{Evaluate, Truth, measure};

/// The kernel while rows come.
pub(super) struct Users {
    evaluate: Evaluate,
    schemas: Vec<SchemaRef>,
    state: Mutex<Option<State>>,
    /// Pairs of similar items.
    pairs: Mutex<Rows>,
}

struct State {
    items: Interner,
    /// The user whose rows are coming, as a column of one row.
    user: Option<ArrayRef>,
    pending: Pending,
    facts: Facts,
}

/// The rows of one user so far.
#[derive(Default)]
struct Pending {
    list: Vec<(f64, u32)>,
    truth: Vec<(u32, f64)>,
    trained: Vec<u32>,
}

/// What is known of all users; items by provisional code.
pub(super) struct Facts {
    /// By k, the sums of the figures of users of the truth.
    pub(super) accuracy: Vec<[f64; 9]>,
    /// How many users the truth has.
    pub(super) users: f64,
    /// The items of all lists, as far as the greatest k, one list after the other.
    pub(super) listed: Vec<Listed>,
    /// Where each list ends.
    pub(super) ends: Vec<usize>,
    /// By item, how many rows were learnt from.
    pub(super) rows: Vec<f64>,
    /// By item, how many users it was learnt from.
    pub(super) holders: Vec<f64>,
    /// How many users were learnt from.
    pub(super) everyone: f64,
    /// How many rows lack something.
    pub(super) dropped: u64,
}

/// An item of a list, by provisional code, and whether the user wanted it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed(u32);

impl Listed {
    const HIT: u32 = 1 << 31;

    fn new(item: u32, hit: bool) -> Self {
        Self(item | if hit { Self::HIT } else { 0 })
    }

    /// The item.
    pub(super) fn item(self) -> u32 {
        self.0 & !Self::HIT
    }

    /// Whether the user wanted it.
    pub(super) fn is_hit(self) -> bool {
        self.0 & Self::HIT != 0
    }
}

impl Users {
    /// None yet.
    pub(super) fn new(evaluate: Evaluate, schemas: Vec<SchemaRef>) -> Self {
        let at = evaluate.pairs_at().and_then(|at| schemas.get(at)).cloned();
        let schema = at.unwrap_or_else(|| Arc::new(Schema::empty()));
        Self { evaluate, schemas, state: Mutex::new(None), pairs: Mutex::new(Rows { schema, batches: Vec::new() }) }
    }

    fn state(&self) -> Result<State, TransformError> {
        let field = self.schemas.first().and_then(|s| s.field_with_name(self.evaluate.item.value.as_str()).ok());
        let item = field.map_or(DataType::Null, |field| field.data_type().clone());
        let facts = Facts {
            accuracy: vec![[0.0; 9]; self.evaluate.k.len()],
            users: 0.0,
            listed: Vec::new(),
            ends: Vec::new(),
            rows: Vec::new(),
            holders: Vec::new(),
            everyone: 0.0,
            dropped: 0,
        };
        Ok(State { items: Interner::new(&[item])?, user: None, pending: Pending::default(), facts })
    }

    fn add(&self, state: &mut State, table: &Table) -> Result<(), TransformError> {
        let (users, items) = (table.column(&self.evaluate.user.value), table.column(&self.evaluate.item.value));
        let mut codes = Vec::with_capacity(table.len());
        state.items.push(&[Arc::clone(&items)], table.len(), &mut codes)?;
        let numbers = |name: &Name| table.numbers(name, OnNan::Error);
        let (ranks, gains, roles) = (numbers(&rank_column())?, numbers(&gain_column())?, numbers(&role_column())?);
        let (no_user, no_item) = (users.logical_nulls(), items.logical_nulls());
        let (no_user, no_item) = (no_user.as_ref(), no_item.as_ref());
        let has_ids = |row| no_user.is_none_or(|n| n.is_valid(row)) && no_item.is_none_or(|n| n.is_valid(row));
        for (range, begins) in runs(&users, state.user.as_ref())? {
            if begins {
                state.end_user(&self.evaluate.k);
            }
            let State { pending, facts, .. } = state;
            for row in range {
                match Role::of(roles[row]) {
                    _ if !has_ids(row) => facts.dropped += 1,
                    Role::Listed if !ranks[row].is_nan() => pending.list.push((ranks[row], codes[row])),
                    Role::Wanted if !gains[row].is_nan() => pending.truth.push((codes[row], gains[row])),
                    Role::Trained => pending.trained.push(codes[row]),
                    _ => facts.dropped += 1,
                }
            }
        }
        if !users.is_empty() {
            state.user = Some(users.slice(users.len() - 1, 1));
        }
        Ok(())
    }
}

impl State {
    /// Adds the figures of the user whose rows have all come.
    fn end_user(&mut self, all_k: &[usize]) {
        let Pending { mut list, mut truth, mut trained } = std::mem::take(&mut self.pending);
        // Rows come by item, and so items of one place stay in their order.
        list.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut once = HashSet::new();
        let most = all_k.iter().copied().max().unwrap_or(0);
        let list: Vec<u32> = list.into_iter().map(|row| row.1).filter(|item| once.insert(*item)).take(most).collect();
        truth.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
        truth.dedup_by_key(|row| row.0);
        if !truth.is_empty() {
            self.facts.users += 1.0;
            for (sums, k) in self.facts.accuracy.iter_mut().zip(all_k) {
                let figures = measure::of_user(&list[..list.len().min(*k)], &truth, *k);
                sums.iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure);
            }
        }
        if !list.is_empty() {
            let hit = |item: &u32| truth.binary_search_by_key(item, |row| row.0).is_ok();
            self.facts.listed.extend(list.iter().map(|item| Listed::new(*item, hit(item))));
            self.facts.ends.push(self.facts.listed.len());
        }
        self.facts.everyone += f64::from(u8::from(!trained.is_empty()));
        trained.sort_unstable();
        let most = trained.last().map_or(0, |item| *item as usize + 1);
        let room = self.facts.rows.len().max(most);
        self.facts.rows.resize(room, 0.0);
        self.facts.holders.resize(room, 0.0);
        trained.iter().for_each(|item| self.facts.rows[*item as usize] += 1.0);
        trained.dedup();
        trained.iter().for_each(|item| self.facts.holders[*item as usize] += 1.0);
    }
}

impl Kernel for Users {
    fn push(&self, _: usize, input: usize, batch: RecordBatch) -> Result<(), TransformError> {
        if input > 0 {
            if Some(input) == self.evaluate.pairs_at() {
                self.pairs.lock().unwrap_or_else(PoisonError::into_inner).batches.push(batch);
            }
            return Ok(());
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_none() {
            *state = Some(self.state()?);
        }
        state.as_mut().map_or(Ok(()), |state| self.add(state, &Table { batch }))
    }

    fn finish(&self, give: &mut Give<'_>) -> Result<Finished, TransformError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut state = state.map_or_else(|| self.state(), Ok)?;
        state.end_user(&self.evaluate.k);
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        let batches = std::mem::take(&mut pairs.batches);
        let pairs = self.evaluate.pairs_at().map(|_| Rows { schema: Arc::clone(&pairs.schema), batches }.table());
        let is_trained = !matches!(self.evaluate.truth, Truth::Tables(_, None));
        let (order, distinct, _) = state.items.finish()?;
        let items =
            measure::Items::new(&self.evaluate, &state.facts, (order, distinct), pairs.transpose()?, is_trained)?;
        measure::run(&self.evaluate, &state.facts, &items)?.give(give)
    }
}
