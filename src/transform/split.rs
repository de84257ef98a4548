//! `split`: the rows of a history, each marked `train` or `test` in a column `part`. It leaves out rows without a user or an
//! item, which no model can learn from or be tested with, and without a time where it goes by time; it takes and makes
//! nothing else.
//!
//! - `chronological` (where `method` is absent): of n rows in the order of `time`, the first `ratio` · n are `train`, rounded half
//!   to even; `by: user` counts each user's rows, `by: all` all of them. With `cutoff`, what comes before that instant.
//! - `random`: the same in the order of a digest of `seed`, user and item, so that it is the same on every run and engine.
//! - `last`: the newest `last` rows of each user are `test`; a user with no more rows than that has all in `train`.
//!
//! Rows of one time are ordered by item, then by all other scalar columns. It is a query on every engine: the embedded
//! engine runs the same SQL as a warehouse.

use datafusion::arrow::datatypes::SchemaRef;

use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::dialect::types::SqlType;
use crate::name::{Name, TableName};
use crate::text::Spanned;
use crate::yaml::Node;
use crate::yaml::shape::{Key, Record, Shape};

use super::column::made;
use super::param::{COLUMN, COUNT, ColumnName, INSTANT, Instant, Params, TABLE};
use super::scope::{Scope, distinct, is_scalar};
use super::sql::{Steps, float, instant, where_all};
use super::{Context, Form, Kernel, Origin, same_rows};

/// The parameters of a `split` step.
#[derive(Clone, Debug)]
pub struct Split {
    input: Spanned<TableName>,
    user: ColumnName,
    item: ColumnName,
    time: Option<ColumnName>,
    cut: Cut,
}

/// Where a history is cut.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cut {
    method: Method,
    ratio: f64,
    per_user: bool,
    cutoff: Option<Instant>,
    last: usize,
    seed: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Chronological,
    Random,
    Last,
}

/// The keys of a `split` step.
pub(super) const RECORD: Record = Record::new(
    "split",
    &[
        Key::new("input", TABLE, "The step or table with what users did.").required().example("dw.fact_watch"),
        Key::new("user", COLUMN, "Who; rows without a user are left out.").required().example("user_id"),
        Key::new("item", COLUMN, "What; rows without an item are left out.").required().example("program_id"),
        Key::new("time", COLUMN, "When; not needed where the method is `random`.").example("real_start_at"),
        METHOD,
        RATIO,
        BY,
        CUTOFF,
        LAST,
        SEED,
    ],
);

/// The keys of the cut inside an `evaluate` step.
pub(super) const CUT: Record = Record::new("cut", &[METHOD, RATIO, BY, CUTOFF, LAST, SEED]);

const METHOD: Key = Key::new(
    "method",
    Shape::Word(&["chronological", "random", "last"]),
    "What decides which rows are tested: `chronological` where absent.",
)
.example("chronological");
const RATIO: Key =
    Key::new("ratio", Shape::Number, "The share of rows to train with; 0.75 where absent.").example("0.75");
const BY: Key = Key::new(
    "by",
    Shape::Word(&["user", "all"]),
    "Whether the share is of each user's rows, as where absent, or of all.",
)
.example("user");
const CUTOFF: Key = Key::new("cutoff", INSTANT, "An instant instead of a share: rows before it are trained with.")
    .example("2026-10-01");
const LAST: Key =
    Key::new("last", COUNT, "Of `method: last`: how many of a user's newest rows are tested; 1 where absent.")
        .example("1");
const SEED: Key = Key::new(
    "seed",
    Shape::Integer { min: 0, max: i64::MAX },
    "Of `method: random`: another number gives another split.",
)
.example("42");

/// The column that says which part a row is of.
pub(super) fn part() -> Name {
    Name::quoted("PART")
}

impl Cut {
    /// Reads the keys of a cut; `time` is whether rows have one.
    pub(super) fn read(params: Params<'_>, time: bool, problems: &mut Vec<Diagnostic>) -> Self {
        let method = match params.word("method") {
            Some("random") => Method::Random,
            Some("last") => Method::Last,
            _ => Method::Chronological,
        };
        let mut refuse = |key: &str, message: String| {
            problems.push(Diagnostic::error("conflicting-keys", message).at(params.span(key)));
        };
        let belongs: [(&str, &[Method]); 5] = [
            ("ratio", &[Method::Chronological, Method::Random]),
            ("by", &[Method::Chronological, Method::Random]),
            ("cutoff", &[Method::Chronological]),
            ("last", &[Method::Last]),
            ("seed", &[Method::Random]),
        ];
        for (key, methods) in belongs {
            if params.node(key).is_some() && !methods.contains(&method) {
                let word = params.word("method").unwrap_or("chronological");
                refuse(key, format!("`{key}` has no meaning for `method: {word}`"));
            }
        }
        if params.node("cutoff").is_some() && (params.node("ratio").is_some() || params.node("by").is_some()) {
            refuse("cutoff", "a split goes by `cutoff` or by `ratio`, not by both".to_owned());
        }
        if method == Method::Random && time {
            refuse("time", "`time` has no meaning for `method: random`".to_owned());
        }
        if method != Method::Random && !time {
            refuse("method", "this split needs to know when things happened: add `time`".to_owned());
        }
        let ratio = params.number("ratio").unwrap_or(0.75);
        if !(ratio > 0.0 && ratio < 1.0) {
            let message = format!("`ratio` is {ratio}, and must be between 0 and 1");
            problems.push(Diagnostic::error("wrong-value", message).at(params.span("ratio")));
        }
        Self {
            method,
            ratio,
            per_user: params.word("by") != Some("all"),
            cutoff: params.node("cutoff").map(|_| params.instant("cutoff", Instant::Now)),
            last: params.count("last").unwrap_or(1),
            seed: params.node("seed").and_then(Node::integer).unwrap_or(42),
        }
    }

    /// Whether it depends on the run's instant.
    pub(super) fn reads_now(&self) -> bool {
        self.cutoff == Some(Instant::Now)
    }

    /// The query of a table's rows with the part each is of.
    pub(super) fn query(
        &self,
        table: &Spanned<TableName>,
        columns: &[Column],
        (user, item, time): (&ColumnName, &ColumnName, Option<&ColumnName>),
    ) -> String {
        let (u, i) = (user.value.sql(), item.value.sql());
        let from = table.value.sql();
        let mut steps = Steps::default();
        let mut conditions = vec![format!("{u} is not null"), format!("{i} is not null")];
        conditions.extend(
            time.iter().filter(|_| self.method != Method::Random).map(|t| format!("{} is not null", t.value.sql())),
        );
        let rows = steps.push("rows", format!("select *\nfrom {from}{}", where_all(&conditions)));
        let keys = [&user.value, &item.value];
        let rest = columns.iter().filter(|c| is_scalar(c.sql_type) && !keys.contains(&&c.name)).map(|c| c.name.sql());
        let names: Vec<String> = [u.clone(), i.clone()].into_iter().chain(rest).collect();
        let timed = time.map_or_else(String::new, |time| time.value.sql());
        if let Some(cutoff) = self.cutoff {
            let cutoff = instant(cutoff, &time.map_or_else(|| user.value.clone(), |t| t.value.clone()), &rows);
            let select = format!("select *, iff({timed}::timestamp_ntz < {cutoff}, 'train', 'test') as PART");
            let order = names.iter().map(|name| format!("{name} asc nulls last")).collect::<Vec<_>>().join(", ");
            return steps.finish(&format!("{select}\nfrom {rows}\norder by {order}"));
        }
        let first = match self.method {
            Method::Random => format!("md5('{}|' || {u}::varchar || '|' || {i}::varchar) asc", self.seed),
            Method::Chronological => format!("{timed} asc"),
            Method::Last => format!("{timed} desc"),
        };
        let ties = names.iter().map(|name| format!("{name} asc nulls last"));
        let order = std::iter::once(first).chain(ties).collect::<Vec<_>>().join(", ");
        let by = if self.per_user || self.method == Method::Last { format!("partition by {u}") } else { String::new() };
        let place = format!("row_number() over ({by} order by {order})");
        let share = format!("{} * count(*) over ({by})", float(self.ratio));
        let placed =
            format!("select *, {place} as __PIPE_PLACE, count(*) over ({by}) as __PIPE_COUNT, {share} as __PIPE_SHARE");
        let placed = steps.push("placed", format!("{placed}\nfrom {rows}"));
        let kept: Vec<String> = columns.iter().map(|column| column.name.sql()).collect();
        let condition = if self.method == Method::Last {
            format!("not (__PIPE_COUNT > {0} and __PIPE_PLACE <= {0})", self.last)
        } else {
            // Half a row goes to the even number of rows, as Python's `round` does.
            let (below, over) = ("floor(__PIPE_SHARE)", "__PIPE_SHARE - floor(__PIPE_SHARE)");
            let up = format!("{over} > 0.5::float or ({over} = 0.5::float and mod({below}, 2) = 1)");
            format!("__PIPE_PLACE <= {below} + iff({up}, 1, 0)")
        };
        let select = format!("select {}, iff({condition}, 'train', 'test') as PART", kept.join(", "));
        steps.finish(&format!("{select}\nfrom {placed}\norder by {u}, __PIPE_PLACE, {i}"))
    }
}

impl Split {
    /// Reads a node that was checked against [`RECORD`].
    pub(super) fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Self {
        let params = Params(node);
        let missing = || ColumnName::new(Name::quoted(""), node.span.clone());
        let time = params.column("time");
        Self {
            input: params.input(),
            user: params.column("user").unwrap_or_else(missing),
            item: params.column("item").unwrap_or_else(missing),
            cut: Cut::read(params, time.is_some(), problems),
            time,
        }
    }
}

impl Form for Split {
    fn inputs(&self) -> Vec<Spanned<TableName>> {
        vec![self.input.clone()]
    }

    fn output(&self, inputs: &[&[Column]], problems: &mut Vec<Diagnostic>) -> Vec<Column> {
        let Some(mine) = inputs.first() else { return Vec::new() };
        let scope = Scope::new(&self.input, mine);
        scope.key(&self.user, problems);
        scope.key(&self.item, problems);
        if let Some(time) = &self.time {
            scope.time(time, problems);
        }
        let mut columns = mine.to_vec();
        columns.push(made(&part(), SqlType::TEXT));
        distinct(&columns, &self.input, problems);
        columns
    }

    fn lineage(&self, inputs: &[&[Column]]) -> Vec<Vec<Origin>> {
        let columns = self.output(inputs, &mut Vec::new());
        columns.into_iter().map(|column| vec![Origin { input: 0, column: column.name }]).collect()
    }

    fn query(&self, _: usize, inputs: &[&[Column]]) -> String {
        let columns = inputs.first().copied().unwrap_or(&[]);
        self.cut.query(&self.input, columns, (&self.user, &self.item, self.time.as_ref()))
    }

    fn reads_now(&self) -> bool {
        self.cut.reads_now()
    }

    fn is_query(&self) -> bool {
        true
    }

    fn kernel(&self, schemas: Vec<SchemaRef>, _: Context) -> Box<dyn Kernel> {
        same_rows(schemas)
    }

    fn sql(&self, inputs: &[&[Column]], _: &mut Vec<Diagnostic>) -> String {
        self.query(0, inputs)
    }
}
