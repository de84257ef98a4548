//! SQL over `new`, the rows that a step's query gives, and `old`, those that its table has: which rows come in their stead.

use chrono::NaiveDateTime;

use crate::dialect::Column;
use crate::dialect::literal;
use crate::job::incremental::{Changes, Merge, Snapshot, Strategy, VALIDITY};
use crate::name::Name;
use crate::text::Spanned;

/// The column of an effect that says that a row only takes its key away.
pub const GONE: &str = "PIPE$GONE";

/// The query that gives the rows that come, where new rows do not come as they are, and what must hold before that: each
/// with what is said of the rows that break it.
#[derive(Debug, Default)]
pub struct Effect {
    /// The query.
    pub sql: Option<String>,
    /// Queries that count rows, and what is said of them.
    pub guards: Vec<(String, String)>,
}

/// The effect of new rows with these columns; `now` is the run's clock.
pub fn effect(strategy: &Strategy, columns: &[Column], now: NaiveDateTime) -> Effect {
    match strategy {
        Strategy::Merge(merge) => Effect { sql: Some(merged(merge, columns)), guards: unique(&merge.key) },
        Strategy::Snapshot(snapshot) => snapshotted(snapshot, columns, now),
        _ => Effect::default(),
    }
}

/// A column of `new` or `old`.
fn of(table: &str, name: &Name) -> String {
    format!("{table}.{}", name.sql())
}

/// That rows of two tables have the same key.
fn same(key: &[Spanned<Name>], new: &str, old: &str) -> String {
    let equal = |name: &Spanned<Name>| format!("{} = {}", of(new, &name.value), of(old, &name.value));
    key.iter().map(equal).collect::<Vec<_>>().join(" and ")
}

/// An author's condition as a part of ours, on lines of its own so that a problem in it is led back to it.
fn holds(condition: Option<&Spanned<String>>, otherwise: bool) -> String {
    match condition {
        Some(condition) => format!("coalesce((\n{}\n), false)", condition.value),
        None => otherwise.to_string(),
    }
}

/// No two new rows may have one key, and none may lack it.
fn unique(key: &[Spanned<Name>]) -> Vec<(String, String)> {
    let names = |with: &str| key.iter().map(|name| of("new", &name.value)).collect::<Vec<_>>().join(with);
    let told = key.iter().map(|name| name.value.lower()).collect::<Vec<_>>().join(", ");
    let null = format!("select count(*) from new where {} is null", names(" is null or "));
    let columns = names(", ");
    let twice = format!("select count(*) from (select 1 as one from new group by {columns} having count(*) > 1) as t");
    let keep_one = format!("`qualify row_number() over (partition by {told} order by …) = 1` keeps one of each");
    vec![
        (null, format!("new rows have NULL in the key ({told})")),
        (twice, format!("keys ({told}) occur more than once among the new rows; {keep_one}")),
    ]
}

fn merged(merge: &Merge, columns: &[Column]) -> String {
    let is_key = |name: &Name| merge.key.iter().any(|key| key.value == *name);
    let updated = |name: &Name| merge.update.as_ref().is_none_or(|update| update.iter().any(|u| u.value == *name));
    let joins = merge.update.is_some() || merge.update_when.is_some();
    // A new row has a key, so an old one without is none.
    let unmatched = merge.key.first().map(|key| format!("{} is null", of("old", &key.value))).unwrap_or_default();
    let value = |column: &Column| {
        let (new, old) = (of("new", &column.name), of("old", &column.name));
        let kept = joins && !is_key(&column.name) && !updated(&column.name);
        let value = if kept { format!("iff({unmatched}, {new}, {old})") } else { new };
        format!("{value} as {}", column.name.sql())
    };
    let gone = holds(merge.delete_when.as_ref(), false);
    let mut items: Vec<String> = columns.iter().map(value).collect();
    items.push(format!("{gone} as \"{GONE}\""));
    let mut sql = format!("select {}\nfrom new", items.join(", "));
    if joins {
        let takes = holds(merge.update_when.as_ref(), true);
        sql.push_str(&format!(
            "\nleft join old on {}\nwhere {unmatched} or {gone} or {takes}",
            same(&merge.key, "new", "old")
        ));
    }
    sql
}

/// From when a changed row is as it is, and the condition over `new` and `old` that it has changed.
fn change(snapshot: &Snapshot, columns: &[Column], now: &str) -> (String, String) {
    let is_key = |name: &Name| snapshot.key.iter().any(|key| key.value == *name);
    match &snapshot.changes {
        Changes::UpdatedAt(column) => {
            let (new, old) = (of("new", &column.value), of("old", &column.value));
            (format!("{new}::timestamp_ntz"), format!("{new} > {old}"))
        }
        Changes::Check(named) => {
            let checked = |column: &&Column| match named {
                Some(named) => named.iter().any(|name| name.value == column.name),
                None => !is_key(&column.name),
            };
            let differs =
                |column: &Column| format!("({} is distinct from {})", of("new", &column.name), of("old", &column.name));
            let all: Vec<String> = columns.iter().filter(checked).map(differs).collect();
            (now.to_owned(), if all.is_empty() { "false".to_owned() } else { all.join(" or ") })
        }
    }
}

/// The names of the columns with the times of a state, as SQL.
pub(super) fn validity() -> [String; 2] {
    VALIDITY.map(|name| Name::quoted(name).sql())
}

/// An instant as SQL.
fn instant(now: NaiveDateTime) -> String {
    literal::timestamp(&now.format("%Y-%m-%d %H:%M:%S%.f").to_string())
}

/// Ends the open states of rows that have changed or are gone, and starts new ones, none before an earlier one has ended.
fn snapshotted(snapshot: &Snapshot, columns: &[Column], now: NaiveDateTime) -> Effect {
    let ([from, to], now) = (validity(), instant(now));
    let (since, changed) = change(snapshot, columns, &now);
    let items = |table: &str| columns.iter().map(|column| of(table, &column.name)).collect::<Vec<_>>().join(", ");
    let is_null = |table: &str| snapshot.key.first().map(|key| format!("{} is null", of(table, &key.value)));
    let (no_new, no_old) = (is_null("new").unwrap_or_default(), is_null("old").unwrap_or_default());
    let keys = snapshot.key.iter().map(|key| key.value.sql()).collect::<Vec<_>>().join(", ");
    let open = format!("(select * from old where {to} is null) as old");
    let ended = format!("(select {keys}, max({to}) as {to} from old group by {keys}) as ended");
    let with = |table: &str| same(&snapshot.key, "new", table);
    let ends = if snapshot.ends_deleted { format!("{no_new} or {changed}") } else { changed.clone() };
    let sql = format!(
        "select {old}, old.{from} as {from}, iff({no_new}, {now}, greatest({since}, old.{from})) as {to}, false as \"{GONE}\"\n\
         from {open} left join new on {same_old}\nwhere {ends}\n\
         union all\n\
         select {new}, greatest({since}, coalesce(old.{from}, ended.{to}, {since})) as {from}, \
         null::timestamp_ntz as {to}, false as \"{GONE}\"\n\
         from new left join {open} on {same_old} left join {ended} on {same_ended}\nwhere {no_old} or {changed}",
        old = items("old"),
        new = items("new"),
        same_old = with("old"),
        same_ended = with("ended"),
    );
    let mut guards = unique(&snapshot.key);
    if let Changes::UpdatedAt(column) = &snapshot.changes {
        let null = format!("select count(*) from new where {} is null", of("new", &column.value));
        guards.push((null, format!("new rows have NULL in `{}`, the time of their change", column.value.lower())));
    } else {
        let later = format!("select count(*) from old where old.{from} > {now} or old.{to} > {now}");
        let message = "states began or ended after the run's clock; a snapshot cannot be taken of the past".to_owned();
        guards.push((later, message));
    }
    Effect { sql: Some(sql), guards }
}
