//! Two states of a table held against each other: rows that came and went, columns that changed, figures that moved, places
//! in lists that shifted.
//!
//! Rows are paired by their key in one join that streams past; nothing of it is kept but what is told. Without a key, rows
//! are the same where all their columns are, as often as they are there.

/// Rows paired by their key.
mod pairs;

/// Rows without a key.
mod whole;

/// What a column holds on either side.
mod figures;

/// Lists whose places moved.
mod lists;

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::datasource::TableProvider;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};

pub use figures::{Numbers, Shift};
pub use lists::{Movement, Movements};

use crate::backend::datafusion::failed;
use crate::backend::{BackendError, Remedy};
use crate::dialect::Column;
use crate::name::Name;

/// One state of a table.
#[derive(Clone, Debug)]
pub struct Side {
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows.
    pub rows: Arc<dyn TableProvider>,
}

/// Two states, and how they are held against each other.
#[derive(Clone, Debug)]
pub struct Question {
    /// The earlier state.
    pub before: Side,
    /// The later state.
    pub after: Side,
    /// The columns by which rows are known; empty where only whole rows are.
    pub key: Vec<Name>,
    /// The lists that the rows are places of.
    pub lists: Option<Lists>,
    /// By how much a FLOAT may differ and still be the same: as a share of its size, or as it is where it is below 1.
    pub tolerance: f64,
    /// How many rows of each kind to show.
    pub samples: usize,
}

/// Ranked lists in the rows of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lists {
    /// One list for each value of these columns; one list of all rows where there are none.
    pub by: Vec<Name>,
    /// The column with the place, 1 for the first.
    pub place: Name,
}

/// What differs.
#[derive(Clone, Debug, Default)]
pub struct Difference {
    /// Rows before.
    pub before: u64,
    /// Rows after.
    pub after: u64,
    /// Rows whose key is new.
    pub added: u64,
    /// Rows whose key is gone.
    pub removed: u64,
    /// Rows of the same key with another value.
    pub changed: u64,
    /// The columns by which rows are known; empty where only whole rows are.
    pub key: Vec<Name>,
    /// What both sides have besides the key, in the later order.
    pub columns: Vec<ColumnDifference>,
    /// Columns that are gone.
    pub only_before: Vec<Column>,
    /// Columns that are new.
    pub only_after: Vec<Column>,
    /// Columns of another type: before and after.
    pub retyped: Vec<(Column, Column)>,
    /// Some of the rows that differ, those with the least keys first.
    pub samples: Vec<Sample>,
    /// How places moved; none where the rows are no places of lists.
    pub lists: Option<Movements>,
}

/// What became of a column.
#[derive(Clone, Debug)]
pub struct ColumnDifference {
    /// The column.
    pub column: Column,
    /// In how many rows of the same key it has another value.
    pub changed: u64,
    /// How what it holds moved, all rows taken together; none where it did not.
    pub shift: Option<Shift>,
}

/// How a row differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Its key is new.
    Added,
    /// Its key is gone.
    Removed,
    /// It has another value.
    Changed,
}

impl Kind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// A row that differs.
#[derive(Clone, Debug)]
pub struct Sample {
    /// How.
    pub kind: Kind,
    /// The row before, one row under the earlier columns; none where it is new.
    pub before: Option<RecordBatch>,
    /// The row after, one row under the later columns; none where it is gone.
    pub after: Option<RecordBatch>,
}

impl Difference {
    /// Whether both states are the same, columns included.
    pub fn is_none(&self) -> bool {
        self.added + self.removed + self.changed == 0
            && self.only_before.is_empty()
            && self.only_after.is_empty()
            && self.retyped.is_empty()
    }

    /// Two states that are known to be the same.
    pub fn none(rows: u64, key: Vec<Name>) -> Self {
        Self { before: rows, after: rows, key, ..Self::default() }
    }
}

/// What could not be compared.
#[derive(Debug)]
pub enum Fault {
    /// The key is that of several rows: of the earlier state, of the later one, or of both.
    Repeated,
    /// A column that is named is on one side only, or on neither.
    NoColumn(Name),
    /// The engine failed.
    Failed(BackendError),
}

impl From<BackendError> for Fault {
    fn from(error: BackendError) -> Self {
        Self::Failed(error)
    }
}

impl Question {
    /// What differs.
    pub async fn answer(&self, runtime: &Arc<RuntimeEnv>) -> Result<Difference, Fault> {
        let lists = self.lists.iter().flat_map(|lists| lists.by.iter().chain([&lists.place]));
        for name in self.key.iter().chain(lists) {
            if self.before.position(name).is_none() || self.after.position(name).is_none() {
                return Err(Fault::NoColumn(name.clone()));
            }
        }
        let mut difference = Difference { key: self.key.clone(), ..Difference::default() };
        self.shapes(&mut difference);
        if self.key.is_empty() {
            whole::compare(self, &context(runtime, true), &mut difference).await?;
            return Ok(difference);
        }
        match pairs::compare(self, &context(runtime, true), &mut difference).await {
            // A hash join holds one side in memory; a merge join spills what does not fit.
            Err(Fault::Failed(error)) if error.remedy == Remedy::Resources => {
                pairs::compare(self, &context(runtime, false), &mut difference).await?;
            }
            other => other?,
        }
        Ok(difference)
    }

    /// What differs in the columns themselves.
    fn shapes(&self, difference: &mut Difference) {
        for column in &self.after.columns {
            match self.before.position(&column.name).map(|at| &self.before.columns[at]) {
                None => difference.only_after.push(column.clone()),
                Some(before) if before.sql_type != column.sql_type => {
                    difference.retyped.push((before.clone(), column.clone()));
                }
                Some(_) => {}
            }
        }
        let gone = self.before.columns.iter().filter(|column| self.after.position(&column.name).is_none());
        difference.only_before.extend(gone.cloned());
    }

    /// The columns of both sides, the key left out: the places before and after.
    fn common(&self) -> Vec<(usize, usize)> {
        let columns = self.after.columns.iter().enumerate();
        let common = columns.filter(|(_, column)| !self.key.contains(&column.name));
        common.filter_map(|(after, column)| Some((self.before.position(&column.name)?, after))).collect()
    }
}

impl Side {
    fn position(&self, name: &Name) -> Option<usize> {
        self.columns.iter().position(|column| column.name == *name)
    }

    /// Its rows, the columns named by a letter and their places.
    fn frame(&self, context: &SessionContext, letter: char) -> Result<DataFrame, BackendError> {
        let frame = context.read_table(Arc::clone(&self.rows)).map_err(failed)?;
        let columns = frame.schema().columns();
        let named = columns.into_iter().enumerate();
        let named = named.map(|(at, column)| datafusion::logical_expr::Expr::Column(column).alias(name(letter, at)));
        frame.select(named.collect::<Vec<_>>()).map_err(failed)
    }
}

/// The name of a column of one side.
fn name(letter: char, at: usize) -> String {
    format!("{letter}{at}")
}

fn context(runtime: &Arc<RuntimeEnv>, hashing: bool) -> SessionContext {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let mut config = SessionConfig::new().with_target_partitions(threads);
    config.options_mut().optimizer.prefer_hash_join = hashing;
    SessionContext::new_with_config_rt(config, Arc::clone(runtime))
}
