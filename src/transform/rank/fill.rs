//! The SQL form of `backfill`: for each partition the rows of the fallback that its list does not have, best first.

use crate::dialect::Column;
use crate::name::Name;
use crate::transform::scope::{find, is_scalar};
use crate::transform::sql::{Steps, list, names, number, where_all};

use super::query::{kept, not_excluded};
use super::{Backfill, Rank, check};

/// The query of a list followed by what fills it.
pub(super) fn filled(
    rank: &Rank,
    backfill: &Backfill,
    inputs: &[&[Column]],
    mut steps: Steps,
    listed: String,
) -> String {
    let places = rank.places();
    let of_place = |at: Option<usize>| at.and_then(|at| inputs.get(at)).copied().unwrap_or(&[]);
    let (mine, theirs) = (inputs.first().copied().unwrap_or(&[]), of_place(places.backfill));
    steps.push("listed", listed);
    partitions(rank, backfill, &mut steps);
    let mut conditions = vec![format!("{} is not null", backfill.score.value.sql())];
    let score = number(&backfill.score, theirs, rank.drop_nan, &mut conditions);
    let from = backfill.input.value.sql();
    steps.push("fallback", format!("select *, {score} as __PIPE_FALLBACK\nfrom {from}{}", where_all(&conditions)));
    let order = order(backfill, mine, theirs);
    let is_partition = |name: &Name| names(&rank.partition_by).any(|other| other == name);
    let side = |name: &Name| if is_partition(name) { "p" } else { "f" };
    let mut conditions: Vec<String> = rank.exclude.iter().map(|exclude| not_excluded(exclude, &side)).collect();
    let same = |name: &Name, left: &str, right: &str| format!("equal_null({left}.{0}, {right}.{0})", name.sql());
    let in_list = names(&rank.partition_by).map(|name| same(name, "l", "p"));
    let in_list: Vec<String> = in_list.chain(names(&backfill.keys).map(|name| same(name, "l", "f"))).collect();
    conditions.push(format!("not exists (select 1 from PIPE__listed l where {})", in_list.join(" and ")));
    let made = check::made_columns(rank);
    let value = |name: &Name| match (is_partition(name), find(theirs, name)) {
        (true, _) => format!("p.{0} as {0}", name.sql()),
        (false, Some(_)) => format!("f.{0} as {0}", name.sql()),
        (false, None) => format!("null as {}", name.sql()),
    };
    let mut select: Vec<String> = kept(rank, mine).map(value).collect();
    select.push(format!("f.__PIPE_FALLBACK as {}", rank.score_as.sql()));
    let by =
        |keys: Vec<String>| if keys.is_empty() { String::new() } else { format!("partition by {} ", keys.join(", ")) };
    let partition: Vec<String> = names(&rank.partition_by).map(|name| format!("p.{}", name.sql())).collect();
    let once =
        by(partition.iter().cloned().chain(names(&backfill.keys).map(|name| format!("f.{}", name.sql()))).collect());
    select.push("p.__PIPE_LENGTH as __PIPE_LENGTH".to_owned());
    select.push(format!("row_number() over ({once}order by {order}) as __PIPE_ONCE"));
    let ties: Vec<String> =
        tie_columns(backfill, mine, theirs).map(|name| format!("f.{0} as {1}", name.sql(), tie(name).sql())).collect();
    let select = [select, ties].concat().join(", ");
    let joined = "PIPE__partitions p cross join PIPE__fallback f";
    steps.push("others", format!("select {select}\nfrom {joined}{}", where_all(&conditions)));
    let over = by(names(&rank.partition_by).map(Name::sql).collect());
    let ties: Vec<String> =
        tie_columns(backfill, mine, theirs).map(|name| format!("{} asc nulls last", tie(name).sql())).collect();
    let order = std::iter::once(format!("{} desc", rank.score_as.sql())).chain(ties).collect::<Vec<_>>().join(", ");
    let place = format!("__PIPE_LENGTH + row_number() over ({over}order by {order})");
    let others = steps.push("firsts", "select *\nfrom PIPE__others\nwhere __PIPE_ONCE = 1".to_owned());
    let mut select: Vec<String> = kept(rank, mine).map(Name::sql).collect();
    select.extend([
        rank.score_as.sql(),
        format!("{place} as {}", rank.number_as.sql()),
        "true as BACKFILLED".to_owned(),
    ]);
    select.extend(made.iter().skip(3).map(|column| format!("null::float as {}", column.name.sql())));
    let top = rank.top.unwrap_or(usize::MAX);
    let filled = format!("select {}\nfrom {others}\nqualify {place} <= {top}", select.join(", "));
    steps.finish(&format!("select *\nfrom PIPE__listed\nunion all\n{filled}"))
}

/// Every partition that gets a list, and how long its list is.
fn partitions(rank: &Rank, backfill: &Backfill, steps: &mut Steps) {
    let by = list("", names(&rank.partition_by));
    if by.is_empty() {
        let length = "(select count(*) from PIPE__listed) as __PIPE_LENGTH";
        steps
            .push("partitions", format!("select {length}\nfrom (select count(*) as n from PIPE__rows) r\nwhere n > 0"));
        return;
    }
    let mut every = vec![format!("select distinct {by} from PIPE__rows")];
    every.extend(backfill.partitions.iter().map(|table| format!("select {by} from {}", table.value.sql())));
    steps.push("every", every.join("\nunion\n"));
    let same: Vec<String> =
        names(&rank.partition_by).map(|name| format!("equal_null(l.{0}, e.{0})", name.sql())).collect();
    let select = format!("select {}, count(l.BACKFILLED) as __PIPE_LENGTH", list("e.", names(&rank.partition_by)));
    let group = list("e.", names(&rank.partition_by));
    let joined = format!("PIPE__every e left join PIPE__listed l on {}", same.join(" and "));
    steps.push("partitions", format!("{select}\nfrom {joined}\ngroup by {group}"));
}

/// The fallback's columns that order rows of equal scores: its keys, then those that the input has too.
fn tie_columns<'a>(backfill: &'a Backfill, mine: &'a [Column], theirs: &'a [Column]) -> impl Iterator<Item = &'a Name> {
    let is_key = |name: &Name| names(&backfill.keys).any(|key| key == name);
    let others = theirs.iter().filter(move |column| {
        let shared = find(mine, &column.name).is_some() || column.name == backfill.score.value;
        shared && is_scalar(column.sql_type) && !is_key(&column.name)
    });
    names(&backfill.keys).chain(others.map(|column| &column.name))
}

fn tie(name: &Name) -> Name {
    Name::quoted(format!("__PIPE_TIE_{}", name.as_str()))
}

fn order(backfill: &Backfill, mine: &[Column], theirs: &[Column]) -> String {
    let ties = tie_columns(backfill, mine, theirs).map(|name| format!("f.{} asc nulls last", name.sql()));
    std::iter::once("f.__PIPE_FALLBACK desc".to_owned()).chain(ties).collect::<Vec<_>>().join(", ")
}
