//! A blend of several similarities: pairs of items scored by the weighted sum of what each says of them, where a pair that
//! one of them does not have counts 0 there. It is a query on every engine.

use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::name::{Name, TableName};
use crate::text::Spanned;
use crate::transform::param::{ColumnName, Params, TABLE};
use crate::transform::scope::{Scope, comparable};
use crate::transform::sql::{Steps, finite, float, where_all};
use crate::yaml::shape::{Key, Record, Shape};

use super::Similarity;

/// One similarity of a blend.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) input: Spanned<TableName>,
    weight: f64,
    normalize: Normalize,
}

/// How the scores of an item's list are brought to a common scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Normalize {
    /// As they are.
    None,
    /// ÷ the greatest absolute score.
    Max,
    /// (s − min) ÷ (max − min), 0 where all are equal.
    MinMax,
}

/// The keys of one similarity of a blend.
pub(super) const RECORD: Record = Record::new(
    "blended similarity",
    &[
        Key::new("input", TABLE, "The step or table of pairs, as a `similarity` or `train` step gives them.")
            .required()
            .example("similar_by_watching"),
        Key::new("weight", Shape::Number, "What its scores are multiplied by; 1 where absent.").example("0.6"),
        Key::new(
            "normalize",
            Shape::Word(&["none", "max", "minmax"]),
            "How the scores of each item's list are scaled first.",
        )
        .example("max"),
    ],
);

/// Reads the list of a blend.
pub(super) fn parts(params: Params<'_>) -> Vec<Part> {
    let part = |part: Params<'_>| Part {
        input: part.input(),
        weight: part.number("weight").unwrap_or(1.0),
        normalize: match part.word("normalize") {
            Some("max") => Normalize::Max,
            Some("minmax") => Normalize::MinMax,
            _ => Normalize::None,
        },
    };
    params.list("blend").map(part).collect()
}

/// The names of the columns that `explain` adds: what each similarity adds to a score.
pub(super) fn contributions(parts: &[Part]) -> impl Iterator<Item = Name> {
    (1..=parts.len()).map(|at| Name::quoted(format!("CONTRIBUTION_{at}")))
}

/// Checks the columns of the blended tables, and gives the item's.
pub(super) fn check(
    similarity: &Similarity,
    parts: &[Part],
    inputs: &[&[Column]],
    problems: &mut Vec<Diagnostic>,
) -> Option<Column> {
    let mut first: Option<Column> = None;
    for (part, columns) in parts.iter().zip(inputs) {
        let scope = Scope::new(&part.input, columns);
        let named = |name: Name| ColumnName::new(name, part.input.span.clone());
        for name in [named(similarity.item.value.clone()), named(similarity.similar_column())] {
            let found = scope.key(&name, problems).cloned();
            if let (Some(a), Some(b)) = (&first, &found) {
                comparable(a, b, &name, problems);
            }
            first = first.or(found.map(|column| Column { name: similarity.item.value.clone(), ..column }));
        }
        scope.number(&named(Name::quoted("SCORE")), problems);
    }
    first
}

/// The whole blend as one query, its rows by item and rank.
pub(super) fn query(similarity: &Similarity, parts: &[Part], inputs: &[&[Column]]) -> String {
    let mut steps = Steps::default();
    let mut pairs = Vec::new();
    for (at, (part, columns)) in parts.iter().zip(inputs).enumerate() {
        let from = scaled(similarity, part, columns, at, &mut steps);
        let value =
            |other: usize| if other == at { format!("s as p{other}") } else { format!("null::float as p{other}") };
        let values: Vec<String> = (0..parts.len()).map(value).collect();
        pairs.push(format!("select i, j, {}\nfrom {from}", values.join(", ")));
    }
    steps.push("all_pairs", pairs.join("\nunion all\n"));
    let adds = |(at, part): (usize, &Part)| format!("coalesce(max(p{at}), 0::float) * {} as c{at}", float(part.weight));
    let adds: Vec<String> = parts.iter().enumerate().map(adds).collect();
    steps.push("pairs", format!("select i, j, {}\nfrom PIPE__all_pairs\ngroup by i, j", adds.join(", ")));
    let sum: Vec<String> = (0..parts.len()).map(|at| format!("c{at}")).collect();
    steps.push("scored", format!("select *, {} as score\nfrom PIPE__pairs", sum.join(" + ")));
    let least = similarity.threshold.map_or_else(String::new, |least| format!("\nwhere score >= {}", float(least)));
    let place = "row_number() over (partition by i order by score desc nulls last, j asc nulls last)";
    let (item, similar) = (similarity.item.value.sql(), similarity.similar_column().sql());
    let mut select = format!("select i as {item}, j as {similar}, score as SCORE, {place} as RANK");
    if similarity.explain {
        let each = contributions(parts).zip(sum).map(|(name, part)| format!(", {part} as {}", name.sql()));
        select += &each.collect::<String>();
    }
    steps.finish(&format!(
        "{select}\nfrom PIPE__scored{least}\nqualify {place} <= {}\norder by {item}, RANK",
        similarity.top
    ))
}

/// The pairs of one similarity, each once, on its scale.
fn scaled(similarity: &Similarity, part: &Part, columns: &[Column], at: usize, steps: &mut Steps) -> String {
    let (item, similar) = (similarity.item.value.sql(), similarity.similar_column().sql());
    let mut conditions = [&item, &similar].map(|name| format!("{name} is not null")).to_vec();
    conditions.push("SCORE is not null".to_owned());
    if !similarity.include_self {
        conditions.push(format!("{item} <> {similar}"));
    }
    let score = ColumnName::new(Name::quoted("SCORE"), part.input.span.clone());
    let value = finite(&score, columns, similarity.drop_nan, &mut conditions);
    let select = format!("select {item} as i, {similar} as j, max({value}) as s\nfrom {}", part.input.value.sql());
    let from =
        steps.push(&format!("given_{at}"), format!("{select}{}\ngroup by {item}, {similar}", where_all(&conditions)));
    let divided = |above: &str, below: &str| format!("iff({below} = 0, 0::float, ({above}) / ({below}))");
    let (least, most) = ("min(s) over (partition by i)", "max(s) over (partition by i)");
    let scaled = match part.normalize {
        Normalize::None => return from,
        Normalize::Max => divided("s", "max(abs(s)) over (partition by i)"),
        Normalize::MinMax => divided(&format!("s - {least}"), &format!("({most} - {least})")),
    };
    steps.push(&format!("scaled_{at}"), format!("select i, j, {scaled} as s\nfrom {from}"))
}
