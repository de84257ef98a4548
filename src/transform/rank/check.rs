//! The output columns of a `rank`, where they come from, and what is wrong with its use of columns. It sees no rows.

use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::dialect::types::SqlType;
use crate::name::Name;
use crate::transform::Origin;
use crate::transform::column::made;
use crate::transform::param::ColumnName;
use crate::transform::scope::{Scope, comparable, distinct};

use super::{Combine, Diversity, Method, Rank, Scale};

/// The columns of the result.
pub(super) fn output(rank: &Rank, inputs: &[&[Column]], problems: &mut Vec<Diagnostic>) -> Vec<Column> {
    let [columns, ..] = inputs else { return Vec::new() };
    let scope = Scope::new(&rank.input, columns);
    scope.keys(&rank.partition_by, problems);
    scope.keys(&rank.dedupe, problems);
    scope.keys(&rank.tie_break, problems);
    for component in &rank.components {
        scope.number(&component.column, problems);
        if let Some(bayes) = &component.bayes {
            scope.number(&bayes.votes, problems);
        }
    }
    if let Some(decay) = &rank.decay {
        scope.time(&decay.column, problems);
        if let Scale::Days(days) = &decay.scale {
            scope.number(days, problems);
        }
    }
    for cap in &rank.caps {
        scope.keys(&cap.by, problems);
    }
    excludes(rank, inputs, problems);
    if let Some(diversity) = &rank.diversity {
        diversity_inputs(rank, diversity, inputs, problems);
    }
    backfill(rank, inputs, problems);
    let columns = columns_out(rank, columns);
    distinct(&columns, &rank.input, problems);
    columns
}

fn excludes(rank: &Rank, inputs: &[&[Column]], problems: &mut Vec<Diagnostic>) {
    for (exclude, theirs) in rank.exclude.iter().zip(inputs.iter().skip(1)) {
        let mine = Scope::new(&rank.input, inputs[0]);
        let theirs = Scope::new(&exclude.input, theirs);
        for (left, right) in &exclude.keys {
            if let (Some(a), Some(b)) = (mine.key(left, problems), theirs.key(right, problems)) {
                comparable(a, b, right, problems);
            }
        }
        if let Some((time, ..)) = &exclude.recent {
            theirs.time(time, problems);
        }
    }
}

fn diversity_inputs(rank: &Rank, diversity: &Diversity, inputs: &[&[Column]], problems: &mut Vec<Diagnostic>) {
    let mine = Scope::new(&rank.input, inputs[0]);
    let places = rank.places();
    mine.keys(&diversity.attributes, problems);
    if let (Some(similarity), Some(at)) = (&diversity.similarity, places.similarity) {
        let theirs = Scope::new(&similarity.input, inputs.get(at).copied().unwrap_or(&[]));
        let item = mine.key(&similarity.item, problems);
        for column in [&similarity.left, &similarity.right] {
            if let (Some(a), Some(b)) = (item, theirs.key(column, problems)) {
                comparable(a, b, column, problems);
            }
        }
        theirs.number(&similarity.score, problems);
    }
    if let (Some(profile), Some(at)) = (&diversity.profile, places.profile) {
        let theirs = Scope::new(&profile.input, inputs.get(at).copied().unwrap_or(&[]));
        for column in rank.partition_by.iter().chain(&diversity.attributes) {
            if let (Some(a), Some(b)) = (mine.key(column, &mut Vec::new()), theirs.key(column, problems)) {
                comparable(a, b, column, problems);
            }
        }
        theirs.number(&profile.weight, problems);
    }
}

fn backfill(rank: &Rank, inputs: &[&[Column]], problems: &mut Vec<Diagnostic>) {
    let places = rank.places();
    let (Some(backfill), Some(at)) = (&rank.backfill, places.backfill) else { return };
    let mine = Scope::new(&rank.input, inputs[0]);
    let theirs = Scope::new(&backfill.input, inputs.get(at).copied().unwrap_or(&[]));
    theirs.number(&backfill.score, problems);
    let is_partition = |name: &ColumnName| rank.partition_by.iter().any(|p| p.value == name.value);
    let excluded = rank.exclude.iter().flat_map(|exclude| &exclude.keys).map(|(mine, _)| mine);
    for key in backfill.keys.iter().chain(excluded.filter(|name| !is_partition(name))) {
        if let (Some(a), Some(b)) = (mine.key(key, problems), theirs.key(key, problems)) {
            comparable(a, b, key, problems);
        }
    }
    if let (Some(table), Some(at)) = (&backfill.partitions, places.partitions) {
        let all = Scope::new(table, inputs.get(at).copied().unwrap_or(&[]));
        for column in &rank.partition_by {
            if let (Some(a), Some(b)) = (mine.key(column, &mut Vec::new()), all.key(column, problems)) {
                comparable(a, b, column, problems);
            }
        }
    }
}

/// The input's columns that are not replaced, then those that are made.
fn columns_out(rank: &Rank, input: &[Column]) -> Vec<Column> {
    let made = made_columns(rank);
    let kept = input.iter().filter(|column| made.iter().all(|other| other.name != column.name));
    let kept = kept.map(|column| Column { nullable: column.nullable || rank.backfill.is_some(), ..column.clone() });
    let mut columns: Vec<Column> = kept.collect();
    columns.extend(made);
    columns
}

/// The columns that a rank adds. A column of the input with such a name is replaced.
pub(super) fn made_columns(rank: &Rank) -> Vec<Column> {
    let number = match rank.method {
        Method::Average | Method::PercentRank | Method::CumeDist => SqlType::Float,
        _ => SqlType::INTEGER,
    };
    let mut columns = vec![made(&rank.score_as, SqlType::Float), made(&rank.number_as, number)];
    if rank.backfill.is_some() {
        columns.push(made(&Name::quoted("BACKFILLED"), SqlType::Boolean));
    }
    columns.extend(explained(rank).iter().map(|name| made(name, SqlType::Float)));
    columns
}

/// The names of the columns of `explain`, in their order.
pub(super) fn explained(rank: &Rank) -> Vec<Name> {
    if !rank.explain {
        return Vec::new();
    }
    let mut names = Vec::new();
    for component in &rank.components {
        let name = component.column.value.as_str();
        if !matches!(rank.combine, Combine::Rrf(_) | Combine::Borda) {
            names.push(Name::quoted(format!("{name}_NORMALIZED")));
        }
        names.push(Name::quoted(format!("{name}_CONTRIBUTION")));
    }
    if rank.decay.is_some() {
        names.push(Name::quoted("DECAY_FACTOR"));
    }
    if rank.diversity.is_some() {
        names.push(Name::quoted("RELEVANCE"));
    }
    names
}

/// For each output column the input columns behind it.
pub(super) fn lineage(rank: &Rank, inputs: &[&[Column]]) -> Vec<Vec<Origin>> {
    let [columns, ..] = inputs else { return Vec::new() };
    let of_main = |name: &ColumnName| Origin { input: 0, column: name.value.clone() };
    let mut score: Vec<Origin> = Vec::new();
    for component in &rank.components {
        score.push(of_main(&component.column));
        score.extend(component.bayes.as_ref().map(|bayes| of_main(&bayes.votes)));
    }
    if let Some(decay) = &rank.decay {
        score.push(of_main(&decay.column));
        if let Scale::Days(days) = &decay.scale {
            score.push(of_main(days));
        }
    }
    let fallback = rank.backfill.as_ref().zip(rank.places().backfill);
    if let Some((backfill, input)) = fallback {
        score.push(Origin { input, column: backfill.score.value.clone() });
    }
    let place: Vec<Origin> = rank.partition_by.iter().map(of_main).chain(score.iter().cloned()).collect();
    let made = made_columns(rank);
    let lineage_of = |column: &Column| {
        if column.name == rank.score_as {
            return score.clone();
        }
        if made.iter().any(|other| other.name == column.name) {
            return place.clone();
        }
        let mut origins = vec![Origin { input: 0, column: column.name.clone() }];
        if let Some((_, input)) = fallback
            && inputs.get(input).is_some_and(|theirs| theirs.iter().any(|other| other.name == column.name))
        {
            origins.push(Origin { input, column: column.name.clone() });
        }
        origins
    };
    columns_out(rank, columns).iter().map(lineage_of).collect()
}
