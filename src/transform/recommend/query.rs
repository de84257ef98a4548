//! `recommend` as SQL: the queries that read its inputs, and the whole of it as one query.

use crate::dialect::Column;
use crate::transform::Form;
use crate::transform::sql::{Steps, finite, list, number, where_all};

use super::{ColumnName, Name, Recommend};

/// What a row of the users' query says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// An item that counts for the user.
    Known,
    /// An item that the user has seen.
    Seen,
    /// That there is such a user.
    Listed,
}

impl Role {
    /// From its number.
    pub(super) fn of(number: f64) -> Self {
        match number {
            0.0 => Self::Known,
            1.0 => Self::Seen,
            _ => Self::Listed,
        }
    }
}

/// The column with the number of a row's role.
pub(super) fn role_column() -> Name {
    Name::quoted("__PIPE_ROLE")
}

/// The query of one input. Rows of users come from all tables that have any in the query of the first one, so that all
/// of a user's rows can be kept together.
pub(super) fn input(recommend: &Recommend, input: usize) -> String {
    let tables = recommend.inputs();
    let Some(table) = tables.get(input).map(|table| table.value.sql()) else { return String::new() };
    let places = recommend.places();
    let (user, item) = (&recommend.user.value, &recommend.item.value);
    match input {
        0 => users(recommend),
        1 => format!("select {}\nfrom {table}", list("", [item, &recommend.similar().value, &Name::quoted("SCORE")])),
        at if Some(at) == places.seen || Some(at) == places.users => {
            format!("select {}\nfrom {table}\nwhere false", user.sql())
        }
        _ => {
            let score = recommend.fallback.as_ref().map(|(_, score)| &score.value);
            format!("select {}\nfrom {table}", list("", std::iter::once(item).chain(score)))
        }
    }
}

fn users(recommend: &Recommend) -> String {
    let (user, item) = (recommend.user.value.sql(), recommend.item.value.sql());
    let value = recommend.value.as_ref().map_or_else(String::new, |value| format!(", {}", value.value.sql()));
    let nothing = recommend.value.as_ref().map_or("", |_| ", null");
    let own = recommend.input.value.sql();
    if !recommend.gathers() {
        return format!("select {user}, {item}{value}\nfrom {own}");
    }
    let role = role_column().sql();
    let mut parts = vec![format!("select {user}, {item}{value}, 0 as {role}\nfrom {own}")];
    let seen = recommend.seen.as_ref().map(|table| table.value.sql());
    parts.extend(seen.map(|table| format!("select {user}, {item}{nothing}, 1\nfrom {table}")));
    let listed = recommend.users.as_ref().map(|table| table.value.sql());
    parts.extend(listed.map(|table| format!("select {user}, null{nothing}, 2\nfrom {table}")));
    parts.join("\nunion all\n")
}

/// The whole transform as one query.
pub(super) fn whole(recommend: &Recommend, inputs: &[&[Column]]) -> String {
    let mut steps = Steps::default();
    known(recommend, inputs, &mut steps);
    let order = "(partition by u order by score desc nulls last, t asc nulls last)";
    steps.push(
        "sums",
        "select k.u, m.t, sum(k.a * m.w) as score\nfrom PIPE__known k join PIPE__model m on k.i = m.s\ngroup by k.u, m.t"
            .to_owned(),
    );
    let mut conditions = vec!["score > 0".to_owned()];
    conditions.extend(unseen(recommend, "s"));
    let listed = format!("select s.u, s.t, s.score, row_number() over {order} as place\nfrom PIPE__sums s");
    let listed = format!("{listed}{}\nqualify row_number() over {order} <= {}", where_all(&conditions), recommend.top);
    steps.push("listed", listed);
    if recommend.explain {
        because(&mut steps);
    }
    let (user, item) = (recommend.user.value.sql(), recommend.item.value.sql());
    let (mut own, mut more) = (String::new(), String::new());
    if recommend.fallback.is_some() {
        (own, more) = (", false as FALLBACK".to_owned(), ", true as FALLBACK".to_owned());
    }
    if recommend.explain {
        let because = recommend.because().sql();
        own += &format!(", because as {because}, because_score as BECAUSE_SCORE");
        more += &format!(", null as {because}, null::float as BECAUSE_SCORE");
    }
    let from = if recommend.explain { "PIPE__explained" } else { "PIPE__listed" };
    let mut select = format!("select u as {user}, t as {item}, score as SCORE, place as RANK{own}\nfrom {from}");
    if fallback(recommend, inputs, &mut steps) {
        select += &format!(
            "\nunion all\nselect u as {user}, t as {item}, score as SCORE, place as RANK{more}\nfrom PIPE__filled"
        );
    }
    steps.finish(&select)
}

/// What users know, and the model's weights from source to target.
fn known(recommend: &Recommend, inputs: &[&[Column]], steps: &mut Steps) {
    let columns = |at: usize| inputs.get(at).copied().unwrap_or(&[]);
    let (user, item, similar) =
        (recommend.user.value.sql(), recommend.item.value.sql(), recommend.similar().value.sql());
    let mut conditions = vec![format!("{user} is not null"), format!("{item} is not null")];
    let value = match &recommend.value {
        None => "max(1::float)".to_owned(),
        Some(value) => {
            conditions.push(format!("{} is not null", value.value.sql()));
            format!("sum({})", finite(value, columns(0), recommend.drop_nan, &mut conditions))
        }
    };
    let select = format!("select {user} as u, {item} as i, {value} as a\nfrom {}", recommend.input.value.sql());
    steps.push("known", format!("{select}{}\ngroup by {user}, {item}", where_all(&conditions)));
    let (source, target) = if recommend.from_source { (&item, &similar) } else { (&similar, &item) };
    let mut conditions = [source, target].map(|name| format!("{name} is not null")).to_vec();
    conditions.push("SCORE is not null".to_owned());
    let score = ColumnName::new(Name::quoted("SCORE"), recommend.model.span.clone());
    let weight = finite(&score, columns(1), recommend.drop_nan, &mut conditions);
    let select =
        format!("select {source} as s, {target} as t, sum({weight}) as w\nfrom {}", recommend.model.value.sql());
    steps.push("model", format!("{select}{}\ngroup by {source}, {target}", where_all(&conditions)));
}

/// The conditions that a row `u`, `t` of an alias is not known to its user.
fn unseen(recommend: &Recommend, alias: &str) -> Vec<String> {
    if !recommend.exclude_seen {
        return Vec::new();
    }
    let (user, item) = (recommend.user.value.sql(), recommend.item.value.sql());
    let mut conditions =
        vec![format!("not exists (select 1 from PIPE__known k where k.u = {alias}.u and k.i = {alias}.t)")];
    conditions.extend(recommend.seen.as_ref().map(|seen| {
        let seen = seen.value.sql();
        format!("not exists (select 1 from {seen} x where x.{user} = {alias}.u and x.{item} = {alias}.t)")
    }));
    conditions
}

/// Adds the known item that adds most to each score.
fn because(steps: &mut Steps) {
    let first = "row_number() over (partition by l.u, l.t order by k.a * m.w desc, k.i asc) = 1";
    steps.push(
        "explained",
        format!(
            "select l.u, l.t, l.score, l.place, k.i as because, k.a * m.w as because_score\n\
             from PIPE__listed l join PIPE__known k on k.u = l.u join PIPE__model m on m.s = k.i and m.t = l.t\n\
             qualify {first}"
        ),
    );
}

/// Adds what fills short lists, where there is a fallback.
fn fallback(recommend: &Recommend, inputs: &[&[Column]], steps: &mut Steps) -> bool {
    let Some((table, score)) = &recommend.fallback else { return false };
    let (user, item) = (recommend.user.value.sql(), recommend.item.value.sql());
    let columns = recommend.places().fallback.and_then(|at| inputs.get(at)).copied().unwrap_or(&[]);
    let every = [Some(&recommend.input), recommend.users.as_ref(), recommend.seen.as_ref()];
    let every = every.into_iter().flatten();
    let every: Vec<String> = every
        .map(|table| format!("select distinct {user} as u from {} where {user} is not null", table.value.sql()))
        .collect();
    steps.push("everyone", every.join("\nunion\n"));
    let mut conditions = vec![format!("{item} is not null"), format!("{} is not null", score.value.sql())];
    let value = number(score, columns, recommend.drop_nan, &mut conditions);
    let popular = format!("select {item} as t, max({value}) as score\nfrom {}", table.value.sql());
    steps.push("popular", format!("{popular}{}\ngroup by {item}", where_all(&conditions)));
    steps.push(
        "lengths",
        "select e.u, count(l.u) as own\nfrom PIPE__everyone e left join PIPE__listed l on l.u = e.u\ngroup by e.u"
            .to_owned(),
    );
    steps.push("others", "select e.u, e.own, p.t, p.score\nfrom PIPE__lengths e cross join PIPE__popular p".to_owned());
    let mut conditions = unseen(recommend, "o");
    conditions.push("not exists (select 1 from PIPE__listed l where l.u = o.u and l.t = o.t)".to_owned());
    let place = "o.own + row_number() over (partition by o.u order by o.score desc, o.t asc)";
    let select = format!("select o.u, o.t, o.score, {place} as place\nfrom PIPE__others o{}", where_all(&conditions));
    steps.push("filled", format!("{select}\nqualify {place} <= {}", recommend.top));
    true
}
