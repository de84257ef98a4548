//! `affinity`: how much each user likes each item, from what they did and when. It orders within users and ranks
//! nothing across them.
//!
//! The order of application is fixed; `e` are the events of a pair, `H` the half-life, `t0` the instant `as_of`:
//!
//! 1. `qualify`: which rows are events; an event weighs `value` × the weight of its kind, at most `cap.per_event`;
//! 2. decay: w · min(1, 0.5^((t0 − t) ÷ H)), the time decay of SAR; `future` says what becomes of t > t0;
//! 3. `cap.per_day`: the heaviest events of a pair on one day (UTC);
//! 4. `aggregate` per pair, `min_events`, `cap.per_pair`, then `cap.per_user_items`: the user's greatest;
//! 5. `transform`: with N users and df(i) users of item i, idf = ln N − ln(1 + df): `tfidf` √x·idf, `bm25`
//!    x·(k1 + 1) ÷ (k1·(1 − b + b·Σx ÷ mean Σx) + x)·idf (as implicit's `tfidf_weight` and `bm25_weight` with users as
//!    rows), `confidence` 1 + α·x (Hu, Koren, Volinsky 2008);
//! 6. `propagate` to attributes: `split` a·m ÷ Σm (mass is kept), `full` a·m, `idf` a·m·ln(I ÷ df) over I items;
//! 7. `normalize` per user; `lift` is (x + m·p) ÷ (Σx + m) ÷ p with p the attribute's share over all users,
//!    and 0 where p or Σx + m is 0;
//! 8. `top`. Rows come out by user, then by affinity, the greatest first, ties by item.
//!
//! With `previous` the earlier result stands for all events up to its `as_of`: w · 0.5^((t0 − t) ÷ H) at a later t0 is the
//! same times 0.5^((later − t0) ÷ H), so that the sum of all events is the earlier sum, aged, and the sum of newer ones. An
//! earlier result of other parameters, which its column `parameters` tells, counts as none: all events are summed again.
//! So does a row that lacks a key or a figure, which no result of this transform does: its `as_of` is not looked at.

use datafusion::arrow::datatypes::SchemaRef;
use sha2::{Digest, Sha256};

use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::dialect::types::SqlType;
use crate::name::{Name, TableName};
use crate::text::Spanned;
use crate::yaml::shape::{Key, Record, Shape};
use crate::yaml::{Entry, Node};

use super::column::made;
use super::param::{COLUMN, COLUMNS, COUNT, ColumnName, DURATION, INSTANT, Instant, ON_NAN, Params, TABLE};
use super::scope::{Scope, comparable, distinct};
use super::{Context, Footprint, Form, Kernel, Origin, Parts};

/// Rows → events as codes and numbers.
mod events;

/// Events → rows of users and items.
mod kernel;

/// The same as one query.
mod query;

#[cfg(test)]
mod tests;

/// The parameters of an `affinity` step.
#[derive(Clone, Debug)]
pub struct Affinity {
    node: Node,
    input: Spanned<TableName>,
    user: Vec<ColumnName>,
    item: Vec<ColumnName>,
    time: Option<ColumnName>,
    as_of: Instant,
    value: Option<Spanned<String>>,
    events: Option<Events>,
    qualify: Option<Spanned<String>>,
    half_life: Option<i64>,
    future: Future,
    aggregate: Aggregate,
    per_event: Option<f64>,
    per_pair: Option<f64>,
    per_user_items: Option<usize>,
    per_day: Option<usize>,
    transform: Weighting,
    propagate: Option<Propagate>,
    normalize: Normalize,
    min_events: usize,
    top: Option<usize>,
    previous: Option<Spanned<TableName>>,
    explain: bool,
    drop_nan: bool,
}

#[derive(Clone, Debug)]
struct Events {
    column: ColumnName,
    weights: Vec<(String, f64)>,
    default: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Future {
    Clamp,
    Drop,
    Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Max,
    /// Of the newest event, the heaviest where several are newest.
    Last,
    Count,
    /// 1 − Π (1 − w), each weight clamped to 0..1.
    NoisyOr,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Weighting {
    None,
    Log1p,
    Sqrt,
    Binary,
    Tfidf,
    Bm25 { k1: f64, b: f64 },
    Confidence { alpha: f64 },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Normalize {
    None,
    L1,
    L2,
    Max,
    ZScore,
    Lift { smoothing: f64 },
}

#[derive(Clone, Debug)]
struct Propagate {
    input: Spanned<TableName>,
    item: Vec<ColumnName>,
    to: ColumnName,
    strength: Option<ColumnName>,
    share: Share,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    Split,
    Full,
    Idf,
}

/// The keys of an `affinity` step.
pub(super) const RECORD: Record = Record::new("affinity", KEYS);

const KEYS: &[Key] = &[
    Key::new("input", TABLE, "The step or table with one row per event.").required().example("dw.fact_watch"),
    Key::new("user", COLUMNS, "Who.").required().example("user_id"),
    Key::new("item", COLUMNS, "What.").required().example("program_id"),
    Key::new("time", COLUMN, "When.").example("real_start_at"),
    Key::new("as_of", INSTANT, "What age is counted from; the newest event where absent.").example("now"),
    Key::new("value", Shape::Sql, "How much an event weighs; 1 where absent.")
        .example("\"ln(1 + least(duration, 7200) / 600)\""),
    Key::new("events", Shape::Record(&EVENTS), "Weights of the kinds of event.")
        .example("{column: asset_type, weights: {live: 1, replay: 1.5}, default: 0}"),
    Key::new("qualify", Shape::Sql, "An SQL condition that events meet.").example("\"duration > 1200\""),
    Key::new("half_life", DURATION, "The age at which an event weighs half.").example("30d"),
    Key::new("future", Shape::Word(&["clamp", "drop", "error"]), "What becomes of events after `as_of`.")
        .example("clamp"),
    Key::new("aggregate", Shape::Word(&["sum", "max", "last", "count", "noisy_or"]), "How events become one number.")
        .example("sum"),
    Key::new("cap", Shape::Record(&CAP), "Limits.").example("{per_event: 5, per_pair: 20}"),
    Key::new("transform", Shape::Word(TRANSFORMS), "How the number of a pair is weighted.").example("log1p"),
    Key::new("alpha", Shape::Number, "Of `confidence`; 40 where absent.").example("40"),
    Key::new("k1", Shape::Number, "Of `bm25`; 1.2 where absent.").example("1.2"),
    Key::new("b", Shape::Number, "Of `bm25`; 0.75 where absent.").example("0.75"),
    Key::new("propagate", Shape::Record(&PROPAGATE), "From items to one of their attributes.")
        .example("{input: backend.program, to: ref_program_category_id, item: id}"),
    Key::new("normalize", Shape::Word(&["none", "l1", "l2", "max", "zscore", "lift"]), "Per user.").example("l1"),
    Key::new("smoothing", Shape::Number, "The prior mass of `lift`; 1 where absent.").example("1"),
    Key::new("min_events", COUNT, "Pairs with fewer events are left out.").example("2"),
    Key::new("top", COUNT, "How many items of each user are kept; without it, all.").example("200"),
    Key::new("previous", TABLE, "This step's earlier result: it ages, and only events after its `as_of` are counted.")
        .example("ml.user_affinity"),
    Key::new("explain", Shape::Boolean, "Also give the number before `transform` and `normalize`.").example("true"),
    Key::new("on_nan", ON_NAN, "Whether a NaN is an error, or its row is left out.").example("drop"),
];

const TRANSFORMS: &[&str] = &["none", "log1p", "sqrt", "binary", "tfidf", "bm25", "confidence"];

const EVENTS: Record = Record::new(
    "weights of events",
    &[
        Key::new("column", COLUMN, "The column of text with the kind.").required().example("asset_type"),
        Key::new("weights", Shape::Names { noun: "kind of event", value: &Shape::Number }, "The weight of each kind.")
            .required()
            .example("{live: 1, replay: 1.5}"),
        Key::new("default", Shape::Number, "The weight of any other kind; 0 where absent.").example("0"),
    ],
);

const CAP: Record = Record::new(
    "affinity cap",
    &[
        Key::new("per_event", Shape::Number, "The most that one event weighs.").example("5"),
        Key::new("per_pair", Shape::Number, "The most that one user and item add up to.").example("20"),
        Key::new("per_user_items", COUNT, "How many items of a user count, the greatest.").example("500"),
        Key::new("per_day", COUNT, "How many events of a user and item count per day, the heaviest.").example("3"),
    ],
);

const PROPAGATE: Record = Record::new(
    "propagation",
    &[
        Key::new("input", TABLE, "A table of items and their attributes.").required().example("backend.program"),
        Key::new("item", COLUMNS, "Its item columns; named as `item` where absent.").example("id"),
        Key::new("to", COLUMN, "The column with the attribute.").required().example("ref_program_category_id"),
        Key::new("strength", COLUMN, "How strongly an item has the attribute; 1 where absent.").example("weight"),
        Key::new("weight", Shape::Word(&["split", "full", "idf"]), "How an item's affinity is shared out.")
            .example("split"),
    ],
);

impl Affinity {
    /// Reads a node that was checked against [`RECORD`].
    pub(super) fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Self {
        let params = Params(node);
        let cap = params.inside("cap");
        let cap_number = |key: &str| cap.and_then(|cap| cap.number(key));
        let cap_count = |key: &str| cap.and_then(|cap| cap.count(key));
        let item = params.columns("item");
        let affinity = Self {
            node: node.clone(),
            input: params.input(),
            user: params.columns("user"),
            time: params.column("time"),
            as_of: params.instant("as_of", Instant::Latest),
            value: params.text("value"),
            events: params.inside("events").and_then(read_events),
            qualify: params.text("qualify"),
            half_life: params.duration("half_life"),
            future: match params.word("future") {
                Some("drop") => Future::Drop,
                Some("error") => Future::Error,
                None if params.node("previous").is_some() => Future::Drop,
                _ => Future::Clamp,
            },
            aggregate: match params.word("aggregate") {
                Some("max") => Aggregate::Max,
                Some("last") => Aggregate::Last,
                Some("count") => Aggregate::Count,
                Some("noisy_or") => Aggregate::NoisyOr,
                _ => Aggregate::Sum,
            },
            per_event: cap_number("per_event"),
            per_pair: cap_number("per_pair"),
            per_user_items: cap_count("per_user_items"),
            per_day: cap_count("per_day"),
            transform: weighting(params),
            propagate: params.inside("propagate").and_then(|propagate| read_propagate(propagate, &item)),
            normalize: normalize(params),
            min_events: params.count("min_events").unwrap_or(1),
            top: params.count("top"),
            previous: params.table("previous"),
            explain: params.flag("explain"),
            drop_nan: params.drops_nan(),
            item,
        };
        affinity.combinations(params, problems);
        affinity
    }

    fn combinations(&self, params: Params<'_>, problems: &mut Vec<Diagnostic>) {
        if self.aggregate == Aggregate::Count {
            let why = "has no meaning for `aggregate: count`, which counts events whatever they weigh";
            for key in ["events", "half_life"] {
                params.idle(key, true, why, problems);
            }
            if let Some(cap) = params.inside("cap") {
                cap.idle("per_event", true, why, problems);
            }
        }
        let mut refuse = |key: &str, message: &str| {
            problems.push(Diagnostic::error("conflicting-keys", message).at(params.span(key)));
        };
        if self.half_life == Some(0) {
            refuse("half_life", "`half_life` must be longer than nothing");
        }
        for (key, used) in [
            ("half_life", self.half_life.is_some()),
            ("as_of", params.node("as_of").is_some()),
            ("future", params.node("future").is_some()),
            ("aggregate", self.aggregate == Aggregate::Last),
            ("cap", self.per_day.is_some()),
        ] {
            if used && self.time.is_none() {
                refuse(key, &format!("`{key}` needs to know when events were: add `time`"));
            }
        }
        for (key, of, used) in [
            ("alpha", "transform: confidence", matches!(self.transform, Weighting::Confidence { .. })),
            ("k1", "transform: bm25", matches!(self.transform, Weighting::Bm25 { .. })),
            ("b", "transform: bm25", matches!(self.transform, Weighting::Bm25 { .. })),
            ("smoothing", "normalize: lift", matches!(self.normalize, Normalize::Lift { .. })),
        ] {
            if params.node(key).is_some() && !used {
                refuse(key, &format!("`{key}` has a meaning for `{of}` only"));
            }
        }
        if self.previous.is_some() && self.future == Future::Clamp {
            refuse(
                "future",
                "with `previous`, an event after `as_of` is left to the next run: `future: drop` or `error`",
            );
        }
        let whole = self.per_pair.is_none() && self.per_user_items.is_none() && self.per_day.is_none();
        let plain = self.transform == Weighting::None && self.normalize == Normalize::None && self.propagate.is_none();
        let sums = matches!(self.aggregate, Aggregate::Sum | Aggregate::Count);
        let complete = self.min_events == 1 && self.top.is_none() && !self.explain;
        if self.previous.is_some() && !(whole && plain && sums && complete && self.time.is_some()) {
            refuse(
                "previous",
                "an earlier result can only be added to where nothing was cut or transformed: `aggregate: sum` or \
                 `count` with `time`, and without caps per pair, user or day, `min_events`, `transform`, `normalize`, \
                 `propagate`, `top` and `explain`",
            );
        }
    }
}

fn read_events(params: Params<'_>) -> Option<Events> {
    let weights = params.node("weights")?.entries().iter();
    let weights = weights.filter_map(|entry| Some((entry.key.value.clone(), entry.value.number()?)));
    Some(Events {
        column: params.column("column")?,
        weights: weights.collect(),
        default: params.number("default").unwrap_or(0.0),
    })
}

fn weighting(params: Params<'_>) -> Weighting {
    match params.word("transform") {
        Some("log1p") => Weighting::Log1p,
        Some("sqrt") => Weighting::Sqrt,
        Some("binary") => Weighting::Binary,
        Some("tfidf") => Weighting::Tfidf,
        Some("bm25") => {
            Weighting::Bm25 { k1: params.number("k1").unwrap_or(1.2), b: params.number("b").unwrap_or(0.75) }
        }
        Some("confidence") => Weighting::Confidence { alpha: params.number("alpha").unwrap_or(40.0) },
        _ => Weighting::None,
    }
}

fn normalize(params: Params<'_>) -> Normalize {
    match params.word("normalize") {
        Some("l1") => Normalize::L1,
        Some("l2") => Normalize::L2,
        Some("max") => Normalize::Max,
        Some("zscore") => Normalize::ZScore,
        Some("lift") => Normalize::Lift { smoothing: params.number("smoothing").unwrap_or(1.0) },
        _ => Normalize::None,
    }
}

fn read_propagate(params: Params<'_>, item: &[ColumnName]) -> Option<Propagate> {
    let named = params.columns("item");
    // Where the table has no such column, the table's name is where to look.
    let same = |name: &ColumnName| ColumnName::new(name.value.clone(), params.span("input"));
    Some(Propagate {
        input: params.input(),
        item: if named.is_empty() { item.iter().map(same).collect() } else { named },
        to: params.column("to")?,
        strength: params.column("strength"),
        share: match params.word("weight") {
            Some("full") => Share::Full,
            Some("idf") => Share::Idf,
            _ => Share::Split,
        },
    })
}

/// The name of the affinity column.
fn affinity_column() -> Name {
    Name::quoted("AFFINITY")
}

impl Affinity {
    /// A digest of the parameters that an earlier result must have been made with to be added to.
    pub(super) fn digest(&self) -> String {
        let counts = |entry: &&Entry| !matches!(entry.key.value.as_str(), "previous" | "as_of");
        let entries = self.node.entries().iter().filter(counts);
        let text: Vec<String> = entries.map(|entry| format!("{}: {}", entry.key.value, entry.value.flow())).collect();
        hex::encode(&Sha256::digest(text.join("\n"))[..8])
    }

    /// The index of the earlier result among the inputs.
    fn previous_at(&self) -> Option<usize> {
        self.previous.as_ref().map(|_| 1 + usize::from(self.propagate.is_some()))
    }
}

impl Affinity {
    /// Whether what a user's rows become depends on other users'.
    fn is_relative(&self) -> bool {
        let weighted = matches!(self.transform, Weighting::Tfidf | Weighting::Bm25 { .. });
        weighted || matches!(self.normalize, Normalize::Lift { .. })
    }
}

impl Form for Affinity {
    fn inputs(&self) -> Vec<Spanned<TableName>> {
        let mut inputs = vec![self.input.clone()];
        inputs.extend(self.propagate.as_ref().map(|propagate| propagate.input.clone()));
        inputs.extend(self.previous.clone());
        inputs
    }

    fn output(&self, inputs: &[&[Column]], problems: &mut Vec<Diagnostic>) -> Vec<Column> {
        let Some(mine) = inputs.first() else { return Vec::new() };
        let scope = Scope::new(&self.input, mine);
        let mut columns = scope.keys(&self.user, problems);
        let items = scope.keys(&self.item, problems);
        if let Some(time) = &self.time {
            scope.time(time, problems);
        }
        if let Some(events) = &self.events {
            scope.text(&events.column, problems);
        }
        match (&self.propagate, inputs.get(1)) {
            (Some(propagate), Some(theirs)) => {
                let theirs = Scope::new(&propagate.input, theirs);
                for (mine, name) in items.iter().zip(&propagate.item) {
                    if let Some(other) = theirs.key(name, problems) {
                        comparable(mine, other, name, problems);
                    }
                }
                if propagate.item.len() != self.item.len() {
                    let message = "the item has not as many columns here as in the events";
                    problems.push(Diagnostic::error("wrong-value", message).at(propagate.input.span.clone()));
                }
                if let Some(strength) = &propagate.strength {
                    theirs.number(strength, problems);
                }
                columns.extend(theirs.key(&propagate.to, problems).cloned());
            }
            _ => columns.extend(items),
        }
        if let (Some(table), Some(at)) = (&self.previous, self.previous_at()) {
            let theirs = Scope::new(table, inputs.get(at).copied().unwrap_or(&[]));
            let named = |name: &str| ColumnName::new(Name::quoted(name), table.span.clone());
            theirs.keys(&self.user, problems);
            theirs.keys(&self.item, problems);
            theirs.number(&named("AFFINITY"), problems);
            theirs.number(&named("EVENTS"), problems);
            theirs.time(&named("LAST_AT"), problems);
            theirs.time(&named("AS_OF"), problems);
            theirs.text(&named("PARAMETERS"), problems);
        }
        columns.extend(self.made());
        distinct(&columns, &self.input, problems);
        columns
    }

    fn lineage(&self, _: &[&[Column]]) -> Vec<Vec<Origin>> {
        let of = |input: usize, name: &ColumnName| Origin { input, column: name.value.clone() };
        let keys: Vec<Origin> = self.user.iter().chain(&self.item).chain(&self.time).map(|name| of(0, name)).collect();
        let mut lineage: Vec<Vec<Origin>> = self.user.iter().map(|name| vec![of(0, name)]).collect();
        match &self.propagate {
            Some(propagate) => lineage.push(vec![of(1, &propagate.to)]),
            None => lineage.extend(self.item.iter().map(|name| vec![of(0, name)])),
        }
        let mut figures = keys;
        figures.push(Origin { input: 0, column: query::value_column() });
        lineage.extend(self.made().iter().map(|_| figures.clone()));
        lineage
    }

    fn query(&self, input: usize, _: &[&[Column]]) -> String {
        query::input(self, input)
    }

    fn expressions(&self, input: usize) -> Vec<&Spanned<String>> {
        if input == 0 { self.value.iter().chain(&self.qualify).collect() } else { Vec::new() }
    }

    fn earlier(&self) -> Option<usize> {
        self.previous_at()
    }

    fn earlier_columns(&self, inputs: &[&[Column]]) -> Vec<Column> {
        let Some(mine) = inputs.first() else { return Vec::new() };
        let scope = Scope::new(&self.input, mine);
        let mut columns = scope.keys(&self.user, &mut Vec::new());
        columns.extend(scope.keys(&self.item, &mut Vec::new()));
        columns.extend(self.made());
        columns
    }

    fn reads_now(&self) -> bool {
        self.as_of == Instant::Now
    }

    fn kernel(&self, schemas: Vec<SchemaRef>, context: Context) -> Box<dyn Kernel> {
        Box::new(events::Kernel::new(self.clone(), schemas, context))
    }

    fn sql(&self, inputs: &[&[Column]], problems: &mut Vec<Diagnostic>) -> String {
        query::whole(self, inputs, problems)
    }

    fn parts(&self) -> Option<Parts> {
        let by = self.user.iter().map(|name| name.value.clone()).collect();
        let newest = self.time.as_ref().filter(|_| self.as_of == Instant::Latest).map(|time| time.value.clone());
        (!self.is_relative() && self.previous.is_none()).then_some(Parts { by, newest })
    }

    fn footprint(&self) -> Footprint {
        let event = 2 * 4 + 8 + if self.time.is_some() { 8 } else { 0 };
        // As they came, where each goes, and one column by user beside the same as it came.
        Footprint { holds_rows: false, per_row: event + 4 + 8 }
    }
}

impl Affinity {
    /// The columns that are computed.
    fn made(&self) -> Vec<Column> {
        let mut columns = vec![made(&affinity_column(), SqlType::Float)];
        if self.propagate.is_none() {
            columns.push(made(&Name::quoted("EVENTS"), SqlType::INTEGER));
            if self.time.is_some() {
                columns.push(made(&Name::quoted("LAST_AT"), SqlType::TimestampNtz));
            }
        }
        if self.previous.is_some() {
            columns.push(made(&Name::quoted("AS_OF"), SqlType::TimestampNtz));
            columns.push(made(&Name::quoted("PARAMETERS"), SqlType::TEXT));
        }
        if self.explain {
            columns.push(made(&Name::quoted("RAW_AFFINITY"), SqlType::Float));
        }
        columns
    }
}
