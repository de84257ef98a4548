//! What a warehouse does with the new rows that lie in a table of their own: the statements, as Snowflake SQL, for one
//! transaction. The embedded engine does the same with files.

use chrono::NaiveDateTime;

use super::effect::{change, instant, of, same, validity};
use super::{ColumnChange, bound};
use crate::dialect::Column;
use crate::job::incremental::{Incremental, Merge, SchemaChange, Snapshot, Strategy};
use crate::name::{Name, TableName};
use crate::plan::interval::Interval;
use crate::text::Spanned;

/// Where rows come from and go to.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The table that grows.
    pub table: &'a TableName,
    /// The table with the new rows.
    pub staged: &'a TableName,
    /// The columns of the step's query.
    pub columns: &'a [Column],
    /// What an interval table gets: the stretches whose rows are replaced.
    pub intervals: &'a [Interval],
    /// The run's clock.
    pub now: NaiveDateTime,
}

/// The statements that take the new rows into the table, in order.
pub fn statements(how: &Incremental, place: &Place<'_>) -> Vec<String> {
    match &how.strategy {
        Strategy::Append => vec![insert(place)],
        Strategy::Merge(merge) => vec![merged(merge, place)],
        Strategy::DeleteInsert { key } => vec![delete_same(key, place), insert(place)],
        Strategy::InsertOverwrite { partition_by } => vec![delete_same(partition_by, place), insert(place)],
        Strategy::Interval(intervals) => {
            let time = intervals.time.value.clone();
            let typed = place.columns.iter().find(|column| column.name == time);
            let sql_type = typed.map_or(crate::dialect::types::SqlType::TimestampNtz, |column| column.sql_type);
            let delete = |interval: &Interval| {
                let (start, end) = (bound(interval.start, sql_type), bound(interval.end, sql_type));
                let (table, time) = (place.table.sql(), time.sql());
                format!("delete from {table} where {time} >= {start} and {time} < {end}")
            };
            place.intervals.iter().map(delete).chain([insert(place)]).collect()
        }
        Strategy::Snapshot(snapshot) => snapshotted(snapshot, place),
    }
}

/// The statements that give the table the columns of its step, where its author's rule allows these changes.
pub fn alterations(rule: SchemaChange, table: &TableName, changes: &[ColumnChange], now: &[Column]) -> Vec<String> {
    if rule == SchemaChange::Fail {
        return Vec::new();
    }
    let table = table.sql();
    let type_of = |name: &Name| now.iter().find(|column| column.name == *name).map(|column| column.sql_type);
    let one = |change: &ColumnChange| match change {
        ColumnChange::Added(name) => {
            type_of(name).map(|sql_type| format!("alter table {table} add column {} {sql_type}", name.sql()))
        }
        ColumnChange::Removed(name) => Some(format!("alter table {table} drop column {}", name.sql())),
        ColumnChange::Retyped(name, _, to) => {
            Some(format!("alter table {table} alter column {} set data type {to}", name.sql()))
        }
    };
    changes.iter().filter_map(one).collect()
}

fn listed(columns: &[Column], prefix: &str) -> String {
    columns.iter().map(|column| format!("{prefix}{}", column.name.sql())).collect::<Vec<_>>().join(", ")
}

fn insert(place: &Place<'_>) -> String {
    let columns = listed(place.columns, "");
    format!("insert into {} ({columns}) select {columns} from {}", place.table.sql(), place.staged.sql())
}

/// The rows with a key, or of a partition, that new rows have; a NULL is the same as another.
fn delete_same(key: &[Spanned<Name>], place: &Place<'_>) -> String {
    let equal = |name: &Spanned<Name>| format!("equal_null({}, {})", of("old", &name.value), of("new", &name.value));
    let same = key.iter().map(equal).collect::<Vec<_>>().join(" and ");
    let columns = key.iter().map(|name| name.value.sql()).collect::<Vec<_>>().join(", ");
    let (table, staged) = (place.table.sql(), place.staged.sql());
    format!("delete from {table} as old using (select distinct {columns} from {staged}) as new where {same}")
}

fn merged(merge: &Merge, place: &Place<'_>) -> String {
    let is_key = |name: &Name| merge.key.iter().any(|key| key.value == *name);
    let updated = |column: &&Column| {
        !is_key(&column.name)
            && merge.update.as_ref().is_none_or(|update| update.iter().any(|name| name.value == column.name))
    };
    let set = |column: &Column| format!("{} = {}", of("old", &column.name), of("new", &column.name));
    let set: Vec<String> = place.columns.iter().filter(updated).map(set).collect();
    let mut sql = format!(
        "merge into {} as old using {} as new on {}",
        place.table.sql(),
        place.staged.sql(),
        same(&merge.key, "new", "old")
    );
    let mut absent = String::new();
    if let Some(gone) = &merge.delete_when {
        sql.push_str(&format!("\nwhen matched and ({}) then delete", gone.value));
        absent = format!(" and not coalesce(({}), false)", gone.value);
    }
    if !set.is_empty() {
        let when = merge.update_when.as_ref().map(|when| format!(" and ({})", when.value)).unwrap_or_default();
        sql.push_str(&format!("\nwhen matched{when} then update set {}", set.join(", ")));
    }
    let (columns, values) = (listed(place.columns, ""), listed(place.columns, "new."));
    sql.push_str(&format!("\nwhen not matched{absent} then insert ({columns}) values ({values})"));
    sql
}

/// Ends the open states of rows that have changed or are gone, then starts new ones for rows without an open state.
fn snapshotted(snapshot: &Snapshot, place: &Place<'_>) -> Vec<String> {
    let ([from, to], now) = (validity(), instant(place.now));
    let (since, changed) = change(snapshot, place.columns, &now);
    let (table, staged) = (place.table.sql(), place.staged.sql());
    let keys = snapshot.key.iter().map(|key| key.value.sql()).collect::<Vec<_>>().join(", ");
    let with = |old: &str| same(&snapshot.key, "new", old);
    let mut statements = vec![format!(
        "update {table} as old set {to} = greatest({since}, old.{from}) from {staged} as new \
         where {} and old.{to} is null and ({changed})",
        with("old")
    )];
    if snapshot.ends_deleted {
        statements.push(format!(
            "update {table} as old set {to} = {now} where old.{to} is null \
             and not exists (select 1 from {staged} as new where {})",
            with("old")
        ));
    }
    let (columns, values) = (listed(place.columns, ""), listed(place.columns, "new."));
    statements.push(format!(
        "insert into {table} ({columns}, {from}, {to}) \
         select {values}, greatest({since}, coalesce(ended.{to}, {since})), null::timestamp_ntz from {staged} as new \
         left join (select {keys}, max({to}) as {to} from {table} group by {keys}) as ended on {} \
         where not exists (select 1 from {table} as old where {} and old.{to} is null)",
        with("ended"),
        with("old")
    ));
    statements
}
