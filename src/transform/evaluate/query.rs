//! The queries that give an `evaluate` its rows: all rows of a user, from whichever table, together.

use crate::dialect::Column;
use crate::name::Name;
use crate::transform::Form;
use crate::transform::split;
use crate::transform::sql::list;

use super::{Evaluate, Truth};

/// What a row of a user says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// An item that is recommended.
    Listed,
    /// An item of the truth.
    Wanted,
    /// An item that the model learnt from.
    Trained,
}

impl Role {
    /// From its number.
    pub(super) fn of(number: f64) -> Self {
        match number {
            0.0 => Self::Listed,
            1.0 => Self::Wanted,
            _ => Self::Trained,
        }
    }
}

/// The column with the number of a row's role.
pub(super) fn role_column() -> Name {
    Name::quoted("__PIPE_ROLE")
}

/// The column with the place in a list.
pub(super) fn rank_column() -> Name {
    Name::quoted("__PIPE_RANK")
}

/// The column with what a hit is worth.
pub(super) fn gain_column() -> Name {
    Name::quoted("__PIPE_GAIN")
}

/// The query of one input; that of the first one has the rows of users of all inputs.
pub(super) fn input(evaluate: &Evaluate, input: usize, inputs: &[&[Column]]) -> String {
    let tables = evaluate.inputs();
    let Some(table) = tables.get(input).map(|table| table.value.sql()) else { return String::new() };
    let item = &evaluate.item.value;
    match input {
        0 => users(evaluate, inputs),
        at if Some(at) == evaluate.pairs_at() => {
            format!("select {}\nfrom {table}", list("", [item, &evaluate.similar(), &Name::quoted("SCORE")]))
        }
        _ => format!("select {}\nfrom {table}\nwhere false", item.sql()),
    }
}

fn users(evaluate: &Evaluate, inputs: &[&[Column]]) -> String {
    let (user, item) = (&evaluate.user.value, &evaluate.item.value);
    let keys = list("", [user, item]);
    let [rank, gain, role] = [rank_column(), gain_column(), role_column()].map(|name| name.sql());
    let part = |rank_of: &str, gain_of: &str, role_of: &str, from: &str| {
        format!(
            "select {keys}, {rank_of}::float as {rank}, {gain_of}::float as {gain}, {role_of} as {role}\nfrom {from}"
        )
    };
    let gained = evaluate.gain.as_ref().map_or_else(|| "1".to_owned(), |gain| gain.value.sql());
    let mut parts = vec![part(&evaluate.rank.value.sql(), "null", "0", &evaluate.input.value.sql())];
    match &evaluate.truth {
        Truth::Tables(truth, train) => {
            parts.push(part("null", &gained, "1", &truth.value.sql()));
            parts.extend(train.iter().map(|train| part("null", "null", "2", &train.value.sql())));
        }
        Truth::History { table, time, cut } => {
            let columns = inputs.get(1).copied().unwrap_or(&[]);
            let cut = cut.query(table, columns, (&evaluate.user, &evaluate.item, time.as_ref()));
            let role_of = format!("iff({} = 'train', 2, 1)", split::part().sql());
            parts.push(part("null", &gained, &role_of, &format!("(\n{cut}\n) parts")));
        }
    }
    let all = parts.join("\nunion all\n");
    format!(
        "select *\nfrom (\n{all}\n) rows_of_users\norder by {0} asc nulls last, {1} asc nulls last",
        user.sql(),
        item.sql()
    )
}
