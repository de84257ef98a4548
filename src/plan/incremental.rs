//! A table that grows, as the plan knows it: the queries that say which rows come and what must hold of them, and what
//! other columns than before mean.

/// SQL over `new` and `old`: the rows that a table gets.
mod effect;

/// The same as statements of a warehouse.
pub mod statements;

/// Which steps know the interval that is built.
pub(super) mod scope;

use chrono::NaiveDateTime;
use indexmap::IndexMap;

use super::interval::{History, Interval};
use super::step::Query;
use super::{Fingerprint, StepId};
use crate::dialect::Column;
use crate::dialect::literal;
use crate::dialect::types::SqlType;
use crate::job::grain::Grain;
use crate::job::incremental::{Changes, Incremental, Intervals, Merge, SchemaChange, Snapshot, Strategy};
use crate::name::Name;
use crate::template::Variable;
use crate::text::Spanned;

pub use effect::{GONE, effect};

/// How a step's table grows.
#[derive(Clone, Debug)]
pub struct PlannedIncremental {
    /// As its author wrote it.
    pub how: Incremental,
    /// Where new rows do not come as they are: the query over `new` and `old` that gives the rows that come, each with
    /// whether it only takes its key away. Known once the step is bound.
    pub effect: Option<Query>,
    /// What must hold of the new rows.
    pub guards: Vec<Guard>,
}

/// Something that must hold before rows are taken in.
#[derive(Clone, Debug)]
pub struct Guard {
    /// What is said of so many rows that break it.
    pub message: String,
    /// The query over `new` and `old` that counts them.
    pub query: Query,
}

/// One query of a step that is built by intervals.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What it builds.
    pub interval: Interval,
    /// The query.
    pub query: Query,
    /// What must hold of its rows; none of a step that only feeds such a one.
    pub guard: Option<Guard>,
}

/// What is visible under a table's name was made so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// By this step.
    pub step: StepId,
    /// From this.
    pub fingerprint: Fingerprint,
    /// The intervals that it has, where it is built by such.
    pub history: History,
}

impl PlannedIncremental {
    /// One whose queries are not bound yet.
    pub fn new(how: Incremental) -> Self {
        Self { how, effect: None, guards: Vec::new() }
    }

    /// The intervals, where it is built by such.
    pub fn intervals(&self) -> Option<&Intervals> {
        match &self.how.strategy {
            Strategy::Interval(intervals) => Some(intervals),
            _ => None,
        }
    }

    /// What of it belongs to the definition of the table: another text, other rows.
    pub fn definition(&self) -> String {
        let names = |names: &[Spanned<Name>]| names.iter().map(|name| name.value.sql()).collect::<Vec<_>>().join(", ");
        let text = |text: &Option<Spanned<String>>| text.as_ref().map(|text| text.value.clone()).unwrap_or_default();
        let rest = match &self.how.strategy {
            Strategy::Append => String::new(),
            Strategy::Merge(Merge { key, update, update_when, delete_when }) => {
                let update = update.as_deref().map(names).unwrap_or_default();
                format!("{}; {update}; {}; {}", names(key), text(update_when), text(delete_when))
            }
            Strategy::DeleteInsert { key } => names(key),
            Strategy::InsertOverwrite { partition_by } => names(partition_by),
            Strategy::Interval(intervals) => format!("{} {}", intervals.time.value.sql(), intervals.grain.word()),
            Strategy::Snapshot(Snapshot { key, changes, ends_deleted }) => {
                let changes = match changes {
                    Changes::UpdatedAt(column) => column.value.sql(),
                    Changes::Check(columns) => format!("check {}", columns.as_deref().map(names).unwrap_or_default()),
                };
                format!("{}; {changes}; {ends_deleted}", names(key))
            }
        };
        format!("{} {rest}", self.how.strategy.word())
    }
}

/// The columns of a step's table: those of its query, and what a snapshot adds.
pub fn table_columns(how: &Incremental, queried: &[Column]) -> Vec<Column> {
    let mut columns = queried.to_vec();
    if matches!(how.strategy, Strategy::Snapshot(_)) {
        let added = crate::job::incremental::VALIDITY.into_iter();
        let column = |name| Column { name: Name::quoted(name), sql_type: SqlType::TimestampNtz, nullable: true };
        columns.extend(added.map(column));
    }
    columns
}

/// Those of them that its query gives.
pub fn queried<'c>(how: &Incremental, table: &'c [Column]) -> &'c [Column] {
    let added = if matches!(how.strategy, Strategy::Snapshot(_)) { crate::job::incremental::VALIDITY.len() } else { 0 };
    &table[..table.len().saturating_sub(added)]
}

/// The value of `interval` in templates.
pub fn variable(interval: Interval, grain: Grain) -> Variable {
    let bound = |at: NaiveDateTime| match grain {
        Grain::Hour => Variable::Timestamp(at.format("%Y-%m-%d %H:%M:%S").to_string()),
        Grain::Day | Grain::Week | Grain::Month => Variable::Date(at.format("%Y-%m-%d").to_string()),
    };
    let bounds = [("start".to_owned(), bound(interval.start)), ("end".to_owned(), bound(interval.end))];
    Variable::Map(IndexMap::from(bounds))
}

/// A bound of an interval, in the type of the column that it is compared with.
pub fn bound(at: NaiveDateTime, sql_type: SqlType) -> String {
    match sql_type {
        SqlType::Date => literal::date(&at.format("%Y-%m-%d").to_string()),
        _ => literal::timestamp(&at.format("%Y-%m-%d %H:%M:%S").to_string()),
    }
}

/// The query over `new` that counts the rows of a batch that are not of its interval.
pub fn outside(intervals: &Intervals, interval: Interval, sql_type: SqlType) -> (String, String) {
    let time = format!("new.{}", intervals.time.value.sql());
    let (start, end) = (bound(interval.start, sql_type), bound(interval.end, sql_type));
    let sql = format!("select count(*) from new where {time} is null or {time} < {start} or {time} >= {end}");
    let column = intervals.time.value.lower();
    let message = format!(
        "of the rows built for {interval} are not of it by `{column}`; restrict the query by `{{{{ interval.start }}}}` and `{{{{ interval.end }}}}`"
    );
    (sql, message)
}

/// How the columns of a table differ from before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnChange {
    /// A column that came.
    Added(Name),
    /// A column that went.
    Removed(Name),
    /// A column of another type.
    Retyped(Name, SqlType, SqlType),
}

impl std::fmt::Display for ColumnChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Added(name) => write!(f, "`{}` is new", name.lower()),
            Self::Removed(name) => write!(f, "`{}` is gone", name.lower()),
            Self::Retyped(name, from, to) => write!(f, "`{}` was {from} and is {to}", name.lower()),
        }
    }
}

/// How the columns differ from those that the table has.
pub fn column_changes(stored: &[Column], now: &[Column]) -> Vec<ColumnChange> {
    let find = |columns: &[Column], name: &Name| columns.iter().find(|column| column.name == *name).cloned();
    let mut changes = Vec::new();
    for column in now {
        match find(stored, &column.name) {
            None => changes.push(ColumnChange::Added(column.name.clone())),
            Some(before) if before.sql_type != column.sql_type => {
                let (from, to) = (before.sql_type, column.sql_type);
                changes.push(ColumnChange::Retyped(column.name.clone(), from, to));
            }
            Some(_) => {}
        }
    }
    let gone = stored.iter().filter(|column| find(now, &column.name).is_none());
    changes.extend(gone.map(|column| ColumnChange::Removed(column.name.clone())));
    changes
}

/// The changes of columns that an author's rule does not allow.
pub fn refused(rule: SchemaChange, changes: &[ColumnChange]) -> Vec<&ColumnChange> {
    let allowed = |change: &ColumnChange| match rule {
        SchemaChange::Fail => false,
        SchemaChange::AppendNewColumns => matches!(change, ColumnChange::Added(_)),
        SchemaChange::Sync => true,
    };
    changes.iter().filter(|change| !allowed(change)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, sql_type: SqlType) -> Column {
        Column { name: Name::unquoted(name), sql_type, nullable: true }
    }

    #[test]
    fn changed_columns_are_told_and_allowed_by_rule() {
        let text = SqlType::Varchar(None);
        let before = [column("a", SqlType::INTEGER), column("b", text), column("c", text)];
        let now = [column("a", SqlType::INTEGER), column("b", SqlType::Date), column("d", text)];
        let changes = column_changes(&before, &now);
        let told: Vec<String> = changes.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["`b` was VARCHAR and is DATE", "`d` is new", "`c` is gone"]);
        assert_eq!(refused(SchemaChange::Fail, &changes).len(), 3);
        assert_eq!(refused(SchemaChange::AppendNewColumns, &changes).len(), 2);
        assert_eq!(refused(SchemaChange::Sync, &changes).len(), 0);
    }
}
