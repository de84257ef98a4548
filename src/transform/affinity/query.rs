//! `affinity` as SQL: the queries that read its inputs, and the whole of it as one query.

use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::name::Name;
use crate::transform::Form;
use crate::transform::param::{ColumnName, Instant, Params};
use crate::transform::sql::{
    Steps, finite, float, instant, list, names, no_form, not_nan, partition_by, refusing_infinite, refusing_nan,
    where_all, written,
};

use super::{Affinity, Aggregate, Future, Normalize, Share, Weighting, affinity_column};

/// The column with the weight of an event.
pub(super) fn value_column() -> Name {
    Name::quoted("__PIPE_VALUE")
}

/// What that column is called where something is wrong with it: as the author's key.
pub(super) fn told_value() -> Name {
    Name::unquoted("value")
}

/// The query of one input.
pub(super) fn input(affinity: &Affinity, at: usize) -> String {
    let tables = affinity.inputs();
    let Some(table) = tables.get(at).map(|table| table.value.sql()) else { return String::new() };
    if at == 0 {
        return events(affinity);
    }
    if Some(at) == affinity.previous_at() {
        let keys = list("", names(&affinity.user).chain(names(&affinity.item)));
        let select = format!("select {keys}, AFFINITY, EVENTS, LAST_AT, AS_OF\nfrom {table}");
        return select + &where_all(&whole_rows(affinity));
    }
    let propagate = affinity.propagate.iter();
    let columns = propagate.flat_map(|p| p.item.iter().chain([&p.to]).chain(&p.strength)).map(|name| &name.value);
    let mut once: Vec<&Name> = Vec::new();
    columns.for_each(|name| {
        if !once.contains(&name) {
            once.push(name);
        }
    });
    format!("select {}\nfrom {table}", list("", once))
}

/// The conditions that a row of the earlier result was made with the same parameters and lacks nothing that this
/// transform always gives; any other row counts for nothing, its `AS_OF` neither.
fn whole_rows(affinity: &Affinity) -> Vec<String> {
    let keys = names(&affinity.user).chain(names(&affinity.item)).map(Name::sql);
    let figures = ["AFFINITY", "EVENTS", "LAST_AT", "AS_OF"].map(str::to_owned);
    let present = keys.chain(figures).map(|name| format!("{name} is not null"));
    std::iter::once(format!("PARAMETERS = '{}'", affinity.digest())).chain(present).collect()
}

/// Events with their weight. Of an input whose earlier result is known, only what came after that result.
fn events(affinity: &Affinity) -> String {
    let value = affinity.value.as_ref().map(|value| format!("{}::float", written(value)));
    let kind = affinity.events.as_ref().map(|events| {
        let weight =
            |(kind, weight): &(String, f64)| format!("when '{}' then {}", kind.replace('\'', "''"), float(*weight));
        let weights: Vec<String> = events.weights.iter().map(weight).collect();
        format!("case {} {} else {} end", events.column.value.sql(), weights.join(" "), float(events.default))
    });
    let weight = match (value, kind) {
        (Some(value), Some(kind)) => format!("{value} * {kind}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => float(1.0),
    };
    let mut once: Vec<&Name> = Vec::new();
    names(&affinity.user).chain(names(&affinity.item)).chain(affinity.time.iter().map(|t| &t.value)).for_each(|name| {
        if !once.contains(&name) {
            once.push(name);
        }
    });
    let mut conditions: Vec<String> = affinity.qualify.iter().map(written).collect();
    if let (Some(previous), Some(time)) = (&affinity.previous, &affinity.time) {
        let (table, whole) = (previous.value.sql(), where_all(&whole_rows(affinity)));
        let known = format!("(select max(AS_OF) from {table}{whole})");
        conditions.push(format!("coalesce({}::timestamp_ntz > {known}::timestamp_ntz, true)", time.value.sql()));
    }
    let filter = where_all(&conditions);
    let (columns, value) = (list("", once), value_column().sql());
    format!("select {columns}, {weight} as {value}\nfrom {}{filter}", affinity.input.value.sql())
}

/// The whole transform as one query.
pub(super) fn whole(affinity: &Affinity, inputs: &[&[Column]], problems: &mut Vec<Diagnostic>) -> String {
    if affinity.future == Future::Error {
        problems.push(no_form("affinity", "`future: error`", Params(&affinity.node).span("future")));
    }
    let mut steps = Steps::default();
    let pair = list("", names(&affinity.user).chain(names(&affinity.item)));
    let from = decayed(affinity, &mut steps, &pair);
    let from = aggregated(affinity, &mut steps, &from, &pair);
    let (from, key) = weighed(affinity, inputs, &mut steps, from);
    last(affinity, steps, &from, &key)
}

/// The instant that age is counted from.
fn as_of(affinity: &Affinity, time: &ColumnName) -> String {
    match (affinity.as_of, &affinity.previous) {
        (Instant::Latest, Some(previous)) => format!(
            "(select max(at) from (select {}::timestamp_ntz as at from PIPE__events union all \
             select AS_OF::timestamp_ntz from {}{}) instants)",
            time.value.sql(),
            previous.value.sql(),
            where_all(&whole_rows(affinity))
        ),
        (as_of, _) => instant(as_of, &time.value, "PIPE__events"),
    }
}

/// A weight of some age, as a factor of nothing where there is no half-life.
fn aged(affinity: &Affinity, weight: &str, at: &str, as_of: &str) -> String {
    let Some(half_life) = affinity.half_life else { return weight.to_owned() };
    let age = format!("greatest(datediff('nanosecond', {at}, {as_of})::float, 0::float)");
    #[expect(clippy::cast_precision_loss, reason = "a duration to 1e-15 of itself")]
    let half_life = float(half_life as f64);
    format!("{weight} * power(0.5::float, {age} / {half_life})")
}

fn decayed(affinity: &Affinity, steps: &mut Steps, pair: &str) -> String {
    let events = steps.push("events", events(affinity));
    let value = value_column().sql();
    let is_known = |name: &Name| format!("{} is not null", name.sql());
    let mut conditions: Vec<String> = names(&affinity.user).chain(names(&affinity.item)).map(is_known).collect();
    conditions.push(format!("{value} is not null"));
    let weight = if affinity.drop_nan {
        conditions.push(not_nan(&value));
        value
    } else {
        refusing_nan(&value, &told_value().lower())
    };
    let weight = affinity.per_event.map_or_else(|| weight.clone(), |most| format!("least({weight}, {})", float(most)));
    let mut weight = refusing_infinite(&weight, &told_value());
    let (mut at, mut origin) = (String::new(), String::new());
    if let Some(time) = &affinity.time {
        let column = format!("{}::timestamp_ntz", time.value.sql());
        origin = as_of(affinity, time);
        conditions.push(format!("{} is not null", time.value.sql()));
        if affinity.future == Future::Drop {
            conditions.push(format!("{column} <= {origin}"));
        }
        weight = aged(affinity, &weight, &column, &origin);
        at = format!(", {column} as happened_at");
    }
    let mut select = format!("select {pair}, {weight} as w, 1 as n{at}\nfrom {events}{}", where_all(&conditions));
    if let Some(previous) = &affinity.previous {
        // What was liked before has aged since it was counted; counts do not age.
        let mut whole = whole_rows(affinity);
        let value = if affinity.drop_nan {
            whole.push(not_nan("AFFINITY::float"));
            "AFFINITY::float".to_owned()
        } else {
            refusing_nan("AFFINITY::float", "affinity")
        };
        let value = refusing_infinite(&value, &affinity_column());
        let before = match affinity.aggregate {
            Aggregate::Count => value,
            _ => aged(affinity, &value, "AS_OF::timestamp_ntz", &origin),
        };
        select += &format!(
            "\nunion all\nselect {pair}, {before} as w, EVENTS as n, LAST_AT::timestamp_ntz as happened_at\nfrom {}{}",
            previous.value.sql(),
            where_all(&whole)
        );
    }
    let decayed = steps.push("decayed", select);
    let Some(most) = affinity.per_day else { return decayed };
    let order = format!(
        "row_number() over (partition by {pair}, happened_at::date order by w desc, happened_at desc) <= {most}"
    );
    steps.push("capped_days", format!("select *\nfrom {decayed}\nqualify {order}"))
}

fn aggregated(affinity: &Affinity, steps: &mut Steps, from: &str, pair: &str) -> String {
    let mut from = from.to_owned();
    let value = match affinity.aggregate {
        Aggregate::Sum => "sum(w)",
        Aggregate::Max => "max(w)",
        Aggregate::Count => "sum(n)::float",
        Aggregate::NoisyOr => "",
        Aggregate::Last => {
            let place = format!("row_number() over (partition by {pair} order by happened_at desc, w desc) = 1");
            from = steps.push("marked", format!("select *, iff({place}, w, null) as newest\nfrom {from}"));
            "max(newest)"
        }
    };
    if affinity.aggregate == Aggregate::NoisyOr {
        // A weight of 1 would take the logarithm of 0, which the outer CASE has already answered.
        from = steps.push("sure", format!("select *, max(w) over (partition by {pair}) as heaviest\nfrom {from}"));
    }
    let value = if affinity.aggregate == Aggregate::NoisyOr {
        let share = "iff(heaviest >= 1, 0::float, greatest(w, 0::float))";
        format!("case when max(w) >= 1 then 1::float else 1 - exp(sum(ln(1 - {share}))) end")
    } else {
        value.to_owned()
    };
    let value = affinity.per_pair.map_or_else(|| value.clone(), |most| format!("least({value}, {})", float(most)));
    let at = affinity.time.as_ref().map_or("", |_| ", max(happened_at) as last_at");
    let few =
        if affinity.min_events > 1 { format!("\nhaving sum(n) >= {}", affinity.min_events) } else { String::new() };
    let select = format!("select {pair}, {value} as a, sum(n) as events{at}\nfrom {from}\ngroup by {pair}{few}");
    let pairs = steps.push("pairs", select);
    let Some(most) = affinity.per_user_items else { return pairs };
    let (users, items) = (partition_by(names(&affinity.user)), list("", names(&affinity.item)));
    let place = format!("row_number() over ({users}order by a desc nulls last, {items}) <= {most}");
    steps.push("capped_users", format!("select *\nfrom {pairs}\nqualify {place}"))
}

/// `transform` and `propagate`: the step, and the columns of what is liked.
fn weighed(affinity: &Affinity, inputs: &[&[Column]], steps: &mut Steps, from: String) -> (String, Vec<Name>) {
    let user = list("", names(&affinity.user));
    let items = partition_by(names(&affinity.item));
    let users = partition_by(names(&affinity.user));
    let population = format!("(select count(*)::float from (select distinct {user} from {from}) p)");
    let idf = format!("(ln({population}) - ln(1 + count(*) over ({})))", items.trim_end());
    let value = match affinity.transform {
        Weighting::None => "a".to_owned(),
        Weighting::Log1p => "ln(1 + a)".to_owned(),
        Weighting::Sqrt => "sqrt(a)".to_owned(),
        Weighting::Binary => "iff(a > 0, 1::float, 0::float)".to_owned(),
        Weighting::Tfidf => format!("sqrt(a) * {idf}"),
        Weighting::Bm25 { k1, b } => {
            let length = format!("sum(a) over ({})", users.trim_end());
            let mean = format!("((select sum(a) from {from}) / {population})");
            let (k1, b, rest) = (float(k1), float(b), float(1.0 - b));
            format!("a * ({k1} + 1) / ({k1} * ({rest} + {b} * {length} / {mean}) + a) * {idf}")
        }
        Weighting::Confidence { alpha } => format!("1 + {} * a", float(alpha)),
    };
    let weighed = steps.push("weighed", format!("select *, {value} as x\nfrom {from}"));
    let Some(propagate) = &affinity.propagate else {
        return (weighed, names(&affinity.item).cloned().collect());
    };
    let mut present: Vec<String> = names(&propagate.item).map(|name| format!("{} is not null", name.sql())).collect();
    let theirs = inputs.get(1).copied().unwrap_or(&[]);
    let strength = propagate.strength.as_ref();
    let strength = strength.map_or_else(|| float(1.0), |name| finite(name, theirs, affinity.drop_nan, &mut present));
    let (item, to) = (list("", names(&propagate.item)), propagate.to.value.sql());
    present.push(format!("{to} is not null and {strength} is not null"));
    let select =
        format!("select {item}, {to}, {strength} as m\nfrom {}{}", propagate.input.value.sql(), where_all(&present));
    let links = steps.push("links", select);
    let share = match propagate.share {
        Share::Full => "m".to_owned(),
        Share::Split => {
            let total = format!("sum(m) over (partition by {item})");
            format!("iff({total} = 0, 0::float, m / {total})")
        }
        Share::Idf => {
            let all = format!("(select count(*)::float from (select distinct {item} from {links}) i)");
            let holders = format!(
                "(select {to} as held, count(*) as holders from (select distinct {item}, {to} from {links}) h group by {to})"
            );
            let from = format!("{links} l join {holders} c on l.{to} = c.held");
            let select = format!("select l.*, m * ln({all} / holders) as share\nfrom {from}");
            steps.push("shared_out", select);
            String::new()
        }
    };
    if !share.is_empty() {
        steps.push("shared_out", format!("select *, {share} as share\nfrom {links}"));
    }
    let on: Vec<String> = names(&affinity.item)
        .zip(names(&propagate.item))
        .map(|(mine, theirs)| format!("w.{} = s.{}", mine.sql(), theirs.sql()))
        .collect();
    let by = format!("{}, s.{to}", list("w.", names(&affinity.user)));
    let select = format!(
        "select {by}, sum(w.x * s.share) as x\nfrom {weighed} w join PIPE__shared_out s on {}\ngroup by {by}",
        on.join(" and ")
    );
    (steps.push("propagated", select), vec![propagate.to.value.clone()])
}

/// `normalize`, `top` and the columns of the result.
fn last(affinity: &Affinity, mut steps: Steps, from: &str, key: &[Name]) -> String {
    let over = format!("over ({})", partition_by(names(&affinity.user)).trim_end());
    let divided = |below: String| format!("iff({below} = 0, 0::float, x / {below})");
    let mut from = from.to_owned();
    let value = match affinity.normalize {
        Normalize::None => "x".to_owned(),
        Normalize::L1 => divided(format!("sum(abs(x)) {over}")),
        Normalize::L2 => divided(format!("sqrt(sum(x * x) {over})")),
        Normalize::Max => divided(format!("max(abs(x)) {over}")),
        Normalize::ZScore => {
            from = steps.push("means", format!("select *, avg(x) {over} as mean\nfrom {from}"));
            let constant = format!("max(x) {over} = min(x) {over}");
            format!("iff({constant}, 0::float, (x - mean) / sqrt(avg((x - mean) * (x - mean)) {over}))")
        }
        Normalize::Lift { smoothing } => {
            let item = list("", key);
            let share = format!("coalesce(sum(x) over (partition by {item}) / nullif(sum(x) over (), 0), 0::float)");
            from = steps.push("shares", format!("select *, {share} as p\nfrom {from}"));
            let m = float(smoothing);
            let mass = format!("(sum(x) {over} + {m})");
            format!("iff(p = 0 or {mass} = 0, 0::float, (x + {m} * p) / nullif({mass}, 0) / nullif(p, 0))")
        }
    };
    let columns = list("", names(&affinity.user).chain(key));
    let mut select = format!("select {columns}, {value} as AFFINITY");
    if affinity.propagate.is_none() {
        select += ", events as EVENTS";
        select += affinity.time.as_ref().map_or("", |_| ", last_at as LAST_AT");
    }
    if let (Some(_), Some(time)) = (&affinity.previous, &affinity.time) {
        select += &format!(", {} as AS_OF, '{}' as PARAMETERS", as_of(affinity, time), affinity.digest());
    }
    if affinity.explain {
        select += if affinity.propagate.is_some() { ", x as RAW_AFFINITY" } else { ", a as RAW_AFFINITY" };
    }
    let normalized = steps.push("normalized", format!("{select}\nfrom {from}"));
    let users = partition_by(names(&affinity.user));
    let top = affinity.top.map_or_else(String::new, |top| {
        format!("\nqualify row_number() over ({users}order by AFFINITY desc nulls last, {}) <= {top}", list("", key))
    });
    steps.finish(&format!("select *\nfrom {normalized}{top}"))
}
