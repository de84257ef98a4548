//! How a table grows instead of being computed whole: the `incremental` and `snapshot` blocks of a step.

use chrono::NaiveDateTime;

use crate::diagnostic::Diagnostic;
use crate::job::grain::Grain;
use crate::name::Name;
use crate::rule::read::{COLUMN, column_name};
use crate::text::{Span, Spanned};
use crate::yaml::Node;
use crate::yaml::shape::{Form, Key, Record, Shape};

/// What a run does to the rows that a table has.
#[derive(Clone, Debug, PartialEq)]
pub struct Incremental {
    /// Which rows go, and which come.
    pub strategy: Strategy,
    /// What other columns than before mean.
    pub schema_change: SchemaChange,
    /// Where it is written.
    pub span: Span,
}

/// Which rows go, and which come.
#[derive(Clone, Debug, PartialEq)]
pub enum Strategy {
    /// New rows are added, and none goes.
    Append,
    /// A new row takes the place of the one with its key.
    Merge(Merge),
    /// New rows take the place of all rows with their keys.
    DeleteInsert {
        /// The columns of the key, which need not be unique.
        key: Vec<Spanned<Name>>,
    },
    /// New rows take the place of all rows of their partitions.
    InsertOverwrite {
        /// The columns that say which partition a row is in.
        partition_by: Vec<Spanned<Name>>,
    },
    /// The rows of some intervals of time take the place of those that the table has of them.
    Interval(Intervals),
    /// Every state that a row has been in, with the time from which and until which it was so.
    Snapshot(Snapshot),
}

impl Strategy {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Merge(_) => "merge",
            Self::DeleteInsert { .. } => "delete_insert",
            Self::InsertOverwrite { .. } => "insert_overwrite",
            Self::Interval(_) => "interval",
            Self::Snapshot(_) => "snapshot",
        }
    }
}

/// How new rows are merged into those that are there.
#[derive(Clone, Debug, PartialEq)]
pub struct Merge {
    /// The columns that say which row is which.
    pub key: Vec<Spanned<Name>>,
    /// The columns that a new row overwrites; all where none is named.
    pub update: Option<Vec<Spanned<Name>>>,
    /// The condition over `new` and `old` under which it does.
    pub update_when: Option<Spanned<String>>,
    /// The condition over `new` under which the row goes.
    pub delete_when: Option<Spanned<String>>,
}

/// The intervals that a table is built by.
#[derive(Clone, Debug, PartialEq)]
pub struct Intervals {
    /// The column that says in which interval a row is.
    pub time: Spanned<Name>,
    /// How long an interval is.
    pub grain: Grain,
    /// The start of the first one.
    pub since: NaiveDateTime,
    /// For how many intervals after its own an interval is still read again, since its data comes late.
    pub lookback: u32,
    /// How many intervals one query builds at most.
    pub batch_size: u32,
    /// Whether the interval that has not ended yet is built too.
    pub partial: bool,
}

/// What makes a new state of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The columns that say which row is which.
    pub key: Vec<Spanned<Name>>,
    /// How a change shows.
    pub changes: Changes,
    /// Whether the state of a row that is no longer there ends.
    pub ends_deleted: bool,
}

/// How a change of a row shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Changes {
    /// By a column with the time of the last change.
    UpdatedAt(Spanned<Name>),
    /// By other values in these columns; in any of them all where none is named.
    Check(Option<Vec<Spanned<Name>>>),
}

/// What other columns than before mean for a table that grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SchemaChange {
    /// The run stops before it starts.
    #[default]
    Fail,
    /// Columns that come are NULL in the rows that are there; any other change stops the run.
    AppendNewColumns,
    /// Columns come, go and change their types.
    Sync,
}

/// The names of the columns that a snapshot adds.
pub const VALIDITY: [&str; 2] = ["VALID_FROM", "VALID_TO"];

static MOMENT: Form = Form {
    noun: "a date, or a date and time",
    example: "2026-01-01",
    accepts: |text| moment(text).is_some(),
    pattern: "^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?$",
};

static COLUMN_SHAPE: Shape = Shape::Form(&COLUMN);

const KEY: Key = Key::new(
    "key",
    Shape::OneOrMore(&COLUMN_SHAPE),
    "The columns that say which row is which; of `merge` and `delete_insert`.",
)
.example("[user_id]");

/// The keys of an `incremental` block.
pub static INCREMENTAL: Record = Record::new(
    "incremental table",
    &[
        Key::new(
            "strategy",
            Shape::Word(&["append", "merge", "delete_insert", "insert_overwrite", "interval"]),
            "What new rows do: `append` adds them; `merge` puts each in the place of the row with its key; `delete_insert` puts them in the place of all rows with their keys; `insert_overwrite` of all rows of their partitions; `interval` builds the table by intervals of time, each once.",
        )
        .required()
        .example("merge"),
        KEY,
        Key::new(
            "update",
            Shape::OneOrMore(&COLUMN_SHAPE),
            "Of `merge`: the columns that a new row overwrites; by default all.",
        )
        .example("[score]"),
        Key::new(
            "update_when",
            Shape::Sql,
            "Of `merge`: the condition over `new` and `old` under which a row that is there is overwritten.",
        )
        .example("new.updated_at > old.updated_at"),
        Key::new(
            "delete_when",
            Shape::Sql,
            "Of `merge`: the condition over `new` under which the row with its key goes, and the new one does not come.",
        )
        .example("new.is_deleted"),
        Key::new(
            "partition_by",
            Shape::OneOrMore(&COLUMN_SHAPE),
            "Of `insert_overwrite`: the columns that say which partition a row is in.",
        )
        .example("[country]"),
        Key::new(
            "time",
            Shape::Form(&COLUMN),
            "Of `interval`: the DATE or TIMESTAMP column that says in which interval a row is.",
        )
        .example("date_day"),
        Key::new("grain", Shape::Word(Grain::WORDS), "Of `interval`: how long one is; by default `day`."),
        Key::new("since", Shape::Form(&MOMENT), "Of `interval`: the start of the first one.").example("2026-01-01"),
        Key::new(
            "lookback",
            Shape::Integer { min: 0, max: 100_000 },
            "Of `interval`: how many intervals after its own an interval is read again, where its inputs have changed; by default 0.",
        )
        .example("3"),
        Key::new(
            "batch_size",
            Shape::Integer { min: 1, max: 100_000 },
            "Of `interval`: how many intervals one query builds at most; by default 30.",
        )
        .example("7"),
        Key::new(
            "partial",
            Shape::Boolean,
            "Of `interval`: whether the one that has not ended by the run's clock is built too, and again until it has; by default false.",
        ),
        SCHEMA_CHANGE,
    ],
);

const SCHEMA_CHANGE: Key = Key::new(
    "schema_change",
    Shape::Word(&["fail", "append_new_columns", "sync"]),
    "What other columns than the table has mean: `fail` (the default) stops before the run; `append_new_columns` makes new ones NULL in older rows; `sync` also drops columns and changes their types.",
);

/// The keys of a `snapshot` block.
pub static SNAPSHOT: Record = Record::new(
    "snapshot",
    &[
        Key { description: "The columns that say which row is which.", ..KEY }.required(),
        Key::new("updated_at", Shape::Form(&COLUMN), "The column with the time of a row's last change.")
            .example("updated_at"),
        Key::new(
            "check",
            Shape::OneOrMore(&COLUMN_SHAPE),
            "Without `updated_at`: the columns whose values make a new state; by default all.",
        )
        .example("[title, rating]"),
        Key::new(
            "deleted",
            Shape::Word(&["end", "keep"]),
            "What becomes of the state of a row that is no longer there: it ends (the default), or stays as it is.",
        ),
        SCHEMA_CHANGE,
    ],
);

/// The instant that a text such as `2026-01-01` or `2026-01-01 04:00` names.
fn moment(text: &str) -> Option<NaiveDateTime> {
    if let Ok(date) = text.parse::<chrono::NaiveDate>() {
        return Some(date.into());
    }
    let text = text.replacen('T', " ", 1);
    let forms = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"];
    forms.iter().find_map(|form| NaiveDateTime::parse_from_str(&text, form).ok())
}

/// What a mapping of [`INCREMENTAL`] says.
pub(super) fn incremental(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Incremental> {
    let word = node.get("strategy").and_then(Node::text)?;
    let own: &[&str] = match word {
        "merge" => &["key", "update", "update_when", "delete_when"],
        "delete_insert" => &["key"],
        "insert_overwrite" => &["partition_by"],
        "interval" => &["time", "grain", "since", "lookback", "batch_size", "partial"],
        _ => &[],
    };
    for entry in node.entries() {
        let key = entry.key.value.as_str();
        let known = INCREMENTAL.keys.iter().any(|known| known.name == key);
        if known && !own.contains(&key) && !matches!(key, "strategy" | "schema_change") {
            let message = format!("`{key}` means nothing to the strategy `{word}`");
            problems.push(Diagnostic::error("wrong-value", message).at(entry.key.span.clone()));
        }
    }
    let strategy = match word {
        "append" => Strategy::Append,
        "merge" => Strategy::Merge(Merge {
            key: needed(node, "key", word, problems)?,
            update: node.get("update").map(names),
            update_when: condition(node, "update_when"),
            delete_when: condition(node, "delete_when"),
        }),
        "delete_insert" => Strategy::DeleteInsert { key: needed(node, "key", word, problems)? },
        "insert_overwrite" => Strategy::InsertOverwrite { partition_by: needed(node, "partition_by", word, problems)? },
        _ => Strategy::Interval(intervals(node, problems)?),
    };
    Some(Incremental { strategy, schema_change: schema_change(node), span: node.span.clone() })
}

fn intervals(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Intervals> {
    let time = needed(node, "time", "interval", problems).and_then(|mut names| names.pop());
    let since = node.get("since");
    if since.is_none() {
        lacks(node, "since", "interval", problems);
    }
    let number = |key: &str| node.get(key).and_then(Node::integer).and_then(|number| u32::try_from(number).ok());
    let (time, since) = (time?, since?);
    let grain = node.get("grain").and_then(Node::text).and_then(Grain::of_word).unwrap_or(Grain::Day);
    let start = since.scalar().and_then(moment)?;
    if grain.floor(start) != start {
        let message = format!("no {} starts at `{}`", grain.word(), since.scalar().unwrap_or_default());
        let hint = format!("the nearest start before it is {}", grain.floor(start));
        problems.push(Diagnostic::error("wrong-value", message).at(since.span.clone()).hint(hint));
    }
    Some(Intervals {
        time,
        grain,
        since: start,
        lookback: number("lookback").unwrap_or(0),
        batch_size: number("batch_size").unwrap_or(30).max(1),
        partial: node.get("partial").and_then(Node::boolean).unwrap_or(false),
    })
}

/// What a mapping of [`SNAPSHOT`] says.
pub(super) fn snapshot(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Incremental> {
    let key = node.get("key").map(names)?;
    let changes = match (node.get("updated_at"), node.get("check")) {
        (Some(_), Some(check)) => {
            let message = "a change shows by `updated_at` or by `check`, not by both";
            problems.push(Diagnostic::error("wrong-value", message).at(check.span.clone()));
            return None;
        }
        (Some(column), None) => Changes::UpdatedAt(named(column)?),
        (None, check) => Changes::Check(check.map(names)),
    };
    let ends_deleted = node.get("deleted").and_then(Node::text) != Some("keep");
    let strategy = Strategy::Snapshot(Snapshot { key, changes, ends_deleted });
    Some(Incremental { strategy, schema_change: schema_change(node), span: node.span.clone() })
}

fn schema_change(node: &Node) -> SchemaChange {
    match node.get("schema_change").and_then(Node::text) {
        Some("append_new_columns") => SchemaChange::AppendNewColumns,
        Some("sync") => SchemaChange::Sync,
        _ => SchemaChange::Fail,
    }
}

fn needed(node: &Node, key: &str, strategy: &str, problems: &mut Vec<Diagnostic>) -> Option<Vec<Spanned<Name>>> {
    let found = node.get(key).map(names).filter(|names| !names.is_empty());
    if found.is_none() {
        lacks(node, key, strategy, problems);
    }
    found
}

fn lacks(node: &Node, key: &str, strategy: &str, problems: &mut Vec<Diagnostic>) {
    let message = format!("the strategy `{strategy}` needs `{key}`");
    let example = INCREMENTAL.keys.iter().find(|known| known.name == key).map_or("", |known| known.example);
    let diagnostic = Diagnostic::error("missing-key", message).at(node.span.clone());
    problems.push(diagnostic.hint(format!("add it, such as `{key}: {example}`")));
}

fn names(node: &Node) -> Vec<Spanned<Name>> {
    node.items().iter().filter_map(named).collect()
}

fn named(node: &Node) -> Option<Spanned<Name>> {
    Some(Spanned::new(column_name(node.scalar()?)?, node.span.clone()))
}

fn condition(node: &Node, key: &str) -> Option<Spanned<String>> {
    let written = node.get(key)?;
    Some(Spanned::new(written.scalar()?.to_owned(), written.span.clone()))
}
