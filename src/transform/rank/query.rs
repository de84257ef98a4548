//! `rank` as SQL: the queries that read its inputs, and the whole of it as one query.

use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::dialect::types::SqlType;
use crate::name::Name;
use crate::transform::scope::{find, is_scalar};
use crate::transform::sql::{
    Steps, float, instant, list, names, no_form, number, partition_by, refusing, seconds_between, where_all, written,
};
use crate::transform::{Form, param};

use super::{Combine, Component, Decay, DecayShape, Exclude, Method, Normalize, Rank, Scale, Scope, check, fill};

/// Columns that queries add for the kernel start like this.
const HELPER: &str = "__PIPE_";

/// The column that says whether a quota's condition holds.
pub(super) fn quota_column(at: usize) -> Name {
    Name::quoted(format!("{HELPER}QUOTA_{at}"))
}

/// Whether a column was added for the kernel.
pub(super) fn is_helper(name: &Name) -> bool {
    name.as_str().starts_with(HELPER)
}

/// The query of one input.
pub(super) fn input(rank: &Rank, at: usize, inputs: &[&[Column]]) -> String {
    let tables = rank.inputs();
    let Some(table) = tables.get(at).map(|table| table.value.sql()) else { return String::new() };
    if at == 0 {
        let mut select = vec!["*".to_owned()];
        for (quota, parameters) in rank.quotas.iter().enumerate() {
            select.push(format!("{} as {}", written(&parameters.condition), quota_column(quota).sql()));
        }
        let filter = rank.filter.as_ref().map_or_else(String::new, |filter| format!("\nwhere {}", written(filter)));
        return format!("select {}\nfrom {table}{filter}", select.join(", "));
    }
    let places = rank.places();
    let mut needed: Vec<&Name> = Vec::new();
    if let Some(exclude) = rank.exclude.get(at - 1) {
        needed.extend(exclude.keys.iter().map(|(_, theirs)| &theirs.value));
        needed.extend(exclude.recent.as_ref().map(|(time, ..)| &time.value));
    } else if Some(at) == places.partitions {
        needed.extend(names(&rank.partition_by));
    } else if let Some(diversity) = rank.diversity.as_ref().filter(|_| Some(at) != places.backfill) {
        if let Some(pairs) = diversity.similarity.as_ref().filter(|_| Some(at) == places.similarity) {
            needed.extend([&pairs.left.value, &pairs.right.value, &pairs.score.value]);
        } else if let Some(profile) = &diversity.profile {
            needed.extend(names(&rank.partition_by).chain(names(&diversity.attributes)));
            needed.push(&profile.weight.value);
        }
    } else {
        let mine = inputs.first().copied().unwrap_or(&[]);
        let theirs = inputs.get(at).copied().unwrap_or(&[]);
        let shared = |column: &&Column| mine.iter().any(|other| other.name == column.name);
        needed.extend(theirs.iter().filter(shared).map(|column| &column.name));
        needed.extend(rank.backfill.as_ref().map(|backfill| &backfill.score.value));
    }
    let mut once: Vec<&Name> = Vec::new();
    needed.into_iter().for_each(|name| {
        if !once.contains(&name) {
            once.push(name);
        }
    });
    let select = if once.is_empty() { "1 as one".to_owned() } else { list("", once) };
    format!("select {select}\nfrom {table}")
}

/// The whole transform as one query.
pub(super) fn whole(rank: &Rank, inputs: &[&[Column]], problems: &mut Vec<Diagnostic>) -> String {
    refuse(rank, problems);
    let columns = inputs.first().copied().unwrap_or(&[]);
    let mut steps = Steps::default();
    let mut from = candidates(rank, inputs, &mut steps);
    from = raw(rank, columns, &mut steps, &from);
    from = normalized(rank, &mut steps, &from);
    from = scored(rank, columns, &mut steps, &from);
    let order = order(rank, columns);
    if !rank.dedupe.is_empty() {
        from = first_of(rank, &mut steps, ("deduplicated", &from), &rank.dedupe, &order, 1);
    }
    if let [cap] = rank.caps.as_slice() {
        from = first_of(rank, &mut steps, ("capped", &from), &cap.by, &order, cap.max);
    }
    let partition = partition_by(names(&rank.partition_by));
    let over = format!("over ({partition}order by {order})");
    let number = number_of(rank, &partition, &over);
    let mut select: Vec<String> = kept(rank, columns).map(Name::sql).collect();
    select.push(format!("{HELPER}SCORE as {}", rank.score_as.sql()));
    select.push(format!("{number} as {}", rank.number_as.sql()));
    if rank.backfill.is_some() {
        select.push("false as BACKFILLED".to_owned());
    }
    select.extend(explained(rank));
    let top = rank.top.map_or_else(String::new, |top| match rank.method {
        Method::Rank | Method::DenseRank | Method::Max | Method::Average => format!("\nqualify {number} <= {top}"),
        _ => format!("\nqualify row_number() {over} <= {top}"),
    });
    let listed = format!("select {}\nfrom {from}{top}", select.join(", "));
    match &rank.backfill {
        None => steps.finish(&listed),
        Some(backfill) => fill::filled(rank, backfill, inputs, steps, listed),
    }
}

/// The input's columns that the result keeps.
pub(super) fn kept<'a>(rank: &Rank, columns: &'a [Column]) -> impl Iterator<Item = &'a Name> + use<'a> {
    let made = check::made_columns(rank);
    columns.iter().map(|column| &column.name).filter(move |name| made.iter().all(|other| other.name != **name))
}

/// The first few rows of each value of some columns, in the order of the list; rows with a NULL there are all kept.
fn first_of(
    rank: &Rank,
    steps: &mut Steps,
    (name, from): (&str, &str),
    by: &[param::ColumnName],
    order: &str,
    most: usize,
) -> String {
    let keys = list("", names(&rank.partition_by).chain(names(by)));
    let nulls: Vec<String> = names(by).map(|name| format!("{} is null", name.sql())).collect();
    let place = format!("row_number() over (partition by {keys} order by {order}) <= {most}");
    steps.push(name, format!("select *\nfrom {from}\nqualify {place} or {}", nulls.join(" or ")))
}

/// What a query cannot say: choices that depend on earlier choices.
fn refuse(rank: &Rank, problems: &mut Vec<Diagnostic>) {
    let mut refuse = |key: &str, what: &str| {
        problems.push(no_form("rank", what, param::Params(&rank.node).span(key)));
    };
    if rank.diversity.is_some() {
        refuse("diversity", "`diversity`");
    }
    if !rank.quotas.is_empty() {
        refuse("quotas", "`quotas`");
    }
    if rank.caps.len() > 1 {
        refuse("caps", "several `caps`");
    }
    if rank.caps.iter().any(|cap| cap.window.is_some()) {
        refuse("caps", "a `window` in `caps`");
    }
}

/// The condition that a table does not exclude a row of the alias `t`; `side` says which alias has a column.
pub(super) fn not_excluded(exclude: &Exclude, side: &dyn Fn(&Name) -> &'static str) -> String {
    let table = exclude.input.value.sql();
    let same = exclude.keys.iter();
    let same =
        same.map(|(mine, theirs)| format!("x.{} = {}.{}", theirs.value.sql(), side(&mine.value), mine.value.sql()));
    let mut same: Vec<String> = same.collect();
    if let Some((time, age, origin)) = &exclude.recent {
        let origin = instant(*origin, &time.value, &table);
        same.push(format!("x.{}::timestamp_ntz >= dateadd('nanosecond', -{age}, {origin})", time.value.sql()));
    }
    format!("not exists (select 1 from {table} x where {})", same.join(" and "))
}

/// The input's rows without those that `filter` and `exclude` leave out, and without NaN where that is dropped.
fn candidates(rank: &Rank, inputs: &[&[Column]], steps: &mut Steps) -> String {
    let mut conditions: Vec<String> = rank.filter.iter().map(written).collect();
    let table = rank.input.value.sql();
    let mut from = steps.push("rows", format!("select t.*\nfrom {table} t{}", where_all(&conditions)));
    conditions = rank.exclude.iter().map(|exclude| not_excluded(exclude, &|_| "t")).collect();
    if rank.drop_nan {
        let columns = inputs.first().copied().unwrap_or(&[]);
        let numbers =
            rank.components.iter().flat_map(|c| std::iter::once(&c.column).chain(c.bayes.iter().map(|b| &b.votes)));
        for name in numbers.chain(rank.decay.iter().filter_map(Decay::days)) {
            number(name, columns, true, &mut conditions);
        }
    }
    if !conditions.is_empty() {
        from = steps.push("candidates", format!("select t.*\nfrom {from} t{}", where_all(&conditions)));
    }
    from
}

/// Adds each score column as a FLOAT, drawn to the mean by votes.
fn raw(rank: &Rank, columns: &[Column], steps: &mut Steps, from: &str) -> String {
    let mut select = Vec::new();
    for (at, component) in rank.components.iter().enumerate() {
        let float_of = |name: &param::ColumnName| number(name, columns, rank.drop_nan, &mut Vec::new());
        let mut column = float_of(&component.column);
        let is_float = find(columns, &component.column.value).is_some_and(|c| c.sql_type == SqlType::Float);
        if component.normalize.is_arithmetic() && is_float {
            let name = component.column.value.lower();
            let message = format!("column `{name}` has an infinite number, which cannot be normalised");
            let value = format!("{}::float", component.column.value.sql());
            column = refusing(&column, &format!("abs({value}) = 'inf'::float"), &message);
        }
        let value = match &component.bayes {
            None => column,
            Some(bayes) => {
                let window = window(rank, component);
                let mean = bayes.mean.map_or_else(|| format!("avg({column}) over ({})", window.trim_end()), float);
                let votes = format!("greatest(coalesce({}, 0), 0::float)", float_of(&bayes.votes));
                let prior = float(bayes.prior_votes);
                format!("({votes} * {column} + {prior} * {mean}) / ({votes} + {prior})")
            }
        };
        select.push(format!("{value} as {HELPER}RAW_{at}"));
    }
    steps.push("raw_scores", format!("select *, {}\nfrom {from}", select.join(",\n  ")))
}

fn window(rank: &Rank, component: &Component) -> String {
    let fused = matches!(rank.combine, Combine::Rrf(_) | Combine::Borda);
    if component.scope == Scope::Global && !fused { String::new() } else { partition_by(names(&rank.partition_by)) }
}

/// Adds the normalised score columns. Softmax and robust scaling first need figures of the whole window.
fn normalized(rank: &Rank, steps: &mut Steps, from: &str) -> String {
    let mut from = from.to_owned();
    let mut figures = Vec::new();
    for (at, component) in rank.components.iter().enumerate() {
        let (raw, window) = (format!("{HELPER}RAW_{at}"), window(rank, component));
        match component.normalize {
            Normalize::Softmax(temperature) => figures.push(format!(
                "exp(({raw} - max({raw}) over ({window})) / {}) as {HELPER}EXP_{at}",
                float(temperature)
            )),
            Normalize::ZScore => figures.push(format!("avg({raw}) over ({window}) as {HELPER}MEAN_{at}")),
            Normalize::Robust => {
                for (name, share) in [("Q1", 0.25), ("Q2", 0.5), ("Q3", 0.75)] {
                    figures.push(format!(
                        "percentile_cont({share}) within group (order by {raw}) over ({}) as {HELPER}{name}_{at}",
                        window.trim_end()
                    ));
                }
            }
            _ => {}
        }
    }
    if !figures.is_empty() {
        from = steps.push("figures", format!("select *, {}\nfrom {from}", figures.join(",\n  ")));
    }
    let value = |(at, component): (usize, &Component)| {
        let value = normal(component.normalize, at, &window(rank, component));
        let value = match component.missing {
            Some(missing) => format!("coalesce({value}, {})", float(missing)),
            None => value,
        };
        format!("{value} as {HELPER}NORMAL_{at}")
    };
    let select: Vec<String> = rank.components.iter().enumerate().map(value).collect();
    steps.push("normalized", format!("select *, {}\nfrom {from}", select.join(",\n  ")))
}

fn normal(how: Normalize, at: usize, window: &str) -> String {
    let raw = format!("{HELPER}RAW_{at}");
    let over = format!("over ({})", window.trim_end());
    let divided = |above: String, below: String| {
        format!("case when {raw} is null then null when {below} = 0 then 0::float else ({above}) / ({below}) end")
    };
    match how {
        Normalize::None => raw,
        Normalize::MinMax => {
            divided(format!("{raw} - min({raw}) {over}"), format!("(max({raw}) {over} - min({raw}) {over})"))
        }
        Normalize::ZScore => {
            let mean = format!("{HELPER}MEAN_{at}");
            let spread = format!("avg(({raw} - {mean}) * ({raw} - {mean})) {over}");
            let below =
                format!("case when max({raw}) {over} = min({raw}) {over} then 0::float else sqrt({spread}) end");
            divided(format!("{raw} - {mean}"), format!("({below})"))
        }
        Normalize::Robust => {
            let figure = |name: &str| format!("{HELPER}{name}_{at}");
            divided(format!("{raw} - {}", figure("Q2")), format!("({} - {})", figure("Q3"), figure("Q1")))
        }
        Normalize::L1 => divided(raw.clone(), format!("sum(abs({raw})) {over}")),
        Normalize::L2 => divided(raw.clone(), format!("sqrt(sum({raw} * {raw}) {over})")),
        Normalize::Softmax(_) => format!("{HELPER}EXP_{at} / sum({HELPER}EXP_{at}) {over}"),
        Normalize::Rank => {
            let place = format!("rank() over ({window}order by {raw} desc nulls last)");
            divided(format!("count({raw}) {over} - {place} + 1"), format!("count({raw}) {over}::float"))
        }
        Normalize::Quantile => {
            let below = "range between unbounded preceding and current row";
            let place = format!("count({raw}) over ({window}order by {raw} asc nulls last {below})");
            divided(place, format!("count({raw}) {over}::float"))
        }
    }
}

/// Adds contributions, the decay factor and the score, and leaves out rows without a score.
fn scored(rank: &Rank, columns: &[Column], steps: &mut Steps, from: &str) -> String {
    let mut select = Vec::new();
    for (at, component) in rank.components.iter().enumerate() {
        select.push(format!("{} as {HELPER}PART_{at}", contribution(rank, at, component)));
    }
    if let Some(decay) = &rank.decay {
        select.push(format!("{} as {HELPER}DECAY", factor(decay)));
    }
    let parts: Vec<String> = (0..rank.components.len()).map(|at| format!("{HELPER}PART_{at}")).collect();
    let from = steps.push("parts", format!("select *, {}\nfrom {from}", select.join(",\n  ")));
    let blend = match rank.combine {
        Combine::Sum | Combine::Rrf(_) | Combine::Borda => parts.join(" + "),
        Combine::Product => parts.join(" * "),
        Combine::Max if parts.len() > 1 => format!("greatest({})", parts.join(", ")),
        Combine::Min if parts.len() > 1 => format!("least({})", parts.join(", ")),
        Combine::Max | Combine::Min => parts.concat(),
    };
    let score = if rank.decay.is_some() { format!("({blend}) * {HELPER}DECAY") } else { blend };
    let is_float = |c: &Component| find(columns, &c.column.value).is_some_and(|c| c.sql_type == SqlType::Float);
    let score = if rank.components.len() > 1 && rank.components.iter().any(is_float) {
        refusing(&score, &format!("({score}) = 'NaN'::float"), "the blend of the score columns is not a number")
    } else {
        score
    };
    let scored = steps.push("blended", format!("select *, {score} as {HELPER}SCORE\nfrom {from}"));
    steps.push("scored", format!("select *\nfrom {scored}\nwhere {HELPER}SCORE is not null"))
}

fn contribution(rank: &Rank, at: usize, component: &Component) -> String {
    let (raw, normal) = (format!("{HELPER}RAW_{at}"), format!("{HELPER}NORMAL_{at}"));
    let weight = float(component.weight);
    let window = partition_by(names(&rank.partition_by));
    let place = format!("rank() over ({window}order by {normal} desc nulls last)");
    let count = format!("count({normal}) over ({})::float", window.trim_end());
    match rank.combine {
        Combine::Sum | Combine::Max | Combine::Min => format!("{weight} * {normal}"),
        Combine::Product if component.weight == 1.0 => normal,
        Combine::Product => format!("power({normal}, {weight})"),
        Combine::Rrf(k) => {
            let _ = raw;
            format!("case when {normal} is null then 0::float else {weight} / ({} + {place}) end", float(k))
        }
        Combine::Borda => {
            format!("case when {normal} is null then 0::float else {weight} * ({count} - {place} + 1) / {count} end")
        }
    }
}

fn factor(decay: &Decay) -> String {
    let column = decay.column.value.sql();
    let origin = instant(decay.origin, &decay.column.value, "PIPE__rows");
    let seconds = seconds_between(&column, &origin);
    let offset = nanoseconds(decay.offset);
    let age = format!("greatest({seconds} - {offset}, 0::float)");
    let scale = match &decay.scale {
        Scale::Fixed(scale) => nanoseconds(*scale),
        Scale::Days(name) => {
            let days = format!("{}::float", name.value.sql());
            format!("(case when {days} > 0 then {days} * 86400 end)")
        }
    };
    let (rest, log) = (float(1.0 - decay.decay), float(decay.decay.ln()));
    match decay.shape {
        DecayShape::Linear => format!("greatest(({scale} / {rest} - {age}) / ({scale} / {rest}), 0::float)"),
        DecayShape::Exponential => format!("exp({log} / {scale} * {age})"),
        DecayShape::Gauss => format!("exp({age} * {age} * {log} / ({scale} * {scale}))"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a duration to 1e-15 of itself")]
fn nanoseconds(duration: i64) -> String {
    float(duration as f64 / param::SECOND as f64)
}

/// The order of a list, down to the last scalar column.
fn order(rank: &Rank, columns: &[Column]) -> String {
    let mut order = vec![format!("{HELPER}SCORE desc nulls last")];
    let mut ties: Vec<&Name> = names(&rank.tie_break).collect();
    for column in columns {
        if is_scalar(column.sql_type) && !ties.contains(&&column.name) {
            ties.push(&column.name);
        }
    }
    order.extend(ties.into_iter().map(|name| format!("{} asc nulls last", name.sql())));
    order.join(", ")
}

fn number_of(rank: &Rank, partition: &str, over: &str) -> String {
    let by_score = format!("over ({partition}order by {HELPER}SCORE desc nulls last)");
    let ties = format!("count(*) over (partition by {})", {
        let mut by: Vec<String> = names(&rank.partition_by).map(Name::sql).collect();
        by.push(format!("{HELPER}SCORE"));
        by.join(", ")
    });
    match rank.method {
        Method::RowNumber => format!("row_number() {over}"),
        Method::Rank => format!("rank() {by_score}"),
        Method::DenseRank => format!("dense_rank() {by_score}"),
        Method::Max => format!("(rank() {by_score} + {ties} - 1)"),
        Method::Average => format!("(rank() {by_score} + ({ties} - 1)::float / 2)"),
        Method::PercentRank => format!("percent_rank() {by_score}"),
        Method::CumeDist => format!("cume_dist() {by_score}"),
        Method::Ntile(buckets) => format!("ntile({buckets}) {over}"),
    }
}

fn explained(rank: &Rank) -> Vec<String> {
    let fused = matches!(rank.combine, Combine::Rrf(_) | Combine::Borda);
    let mut sources = Vec::new();
    for at in 0..rank.components.len() {
        if !fused {
            sources.push(format!("{HELPER}NORMAL_{at}"));
        }
        sources.push(format!("{HELPER}PART_{at}"));
    }
    if rank.decay.is_some() {
        sources.push(format!("{HELPER}DECAY"));
    }
    let names = check::explained(rank);
    names.iter().zip(sources).map(|(name, source)| format!("{source} as {}", name.sql())).collect()
}
