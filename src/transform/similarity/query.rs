//! `similarity` of interactions and of vectors as one SQL query.

use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::transform::param::ColumnName;
use crate::transform::sql::{Steps, finite, float, no_form, where_all};

use super::blend;
use super::{EXPLAINED_VECTORS, Metric, Of, Prune, Similarity, Weighting, as_vector};

/// The whole transform as one query.
pub(super) fn whole(similarity: &Similarity, inputs: &[&[Column]], problems: &mut Vec<Diagnostic>) -> String {
    let columns = inputs.first().copied().unwrap_or(&[]);
    match &similarity.of {
        Of::Interactions { user, value } => interactions(similarity, columns, &user.value.sql(), value.as_ref()),
        Of::Vectors { column, dimensions } => vectors(similarity, &as_vector(column, *dimensions, columns)),
        Of::Blend(parts) => blend::query(similarity, parts, inputs),
        Of::Texts(texts) | Of::Tags(texts) => {
            problems.push(no_form(
                "similarity",
                "texts, whose words are cut in the engine,",
                texts.column.span.clone(),
            ));
            String::new()
        }
    }
}

fn interactions(similarity: &Similarity, columns: &[Column], user: &str, value: Option<&ColumnName>) -> String {
    let mut steps = Steps::default();
    let (table, item) = (similarity.input.value.sql(), similarity.item.value.sql());
    let mut present = vec![format!("{user} is not null"), format!("{item} is not null")];
    let sum = value.map_or_else(
        || float(1.0),
        |value| {
            present.push(format!("{} is not null", value.value.sql()));
            format!("sum({})", finite(value, columns, similarity.drop_nan, &mut present))
        },
    );
    let present = where_all(&present);
    steps.push(
        "cells",
        format!("select {user} as u, {item} as i, {sum} as x\nfrom {table}{present}\ngroup by {user}, {item}"),
    );
    let mut cells = "PIPE__cells";
    if let Some(most) = similarity.max_items_per_user {
        steps.push("calm", format!("select *\nfrom PIPE__cells\nqualify count(*) over (partition by u) <= {most}"));
        cells = "PIPE__calm";
    }
    if let Some(weight) = weight(similarity, cells) {
        steps.push("weighed", format!("select u, i, {weight} as x\nfrom {cells}"));
        cells = "PIPE__weighed";
    }
    let (mut up, mut down) = ("x".to_owned(), "x".to_owned());
    if let Metric::P3Alpha(alpha) | Metric::Rp3Beta(alpha, _) = similarity.metric {
        up = format!("power(x / sum(x) over (partition by i), {})", float(alpha));
        down = format!("power(x / sum(x) over (partition by u), {})", float(alpha));
    }
    steps.push("shares", format!("select u, i, x, {up} as up, {down} as down\nfrom {cells}"));
    steps.push(
        "items",
        "select i, count(*)::float as d, sum(x) as s, sum(x * x) as q\nfrom PIPE__shares\ngroup by i".to_owned(),
    );
    let (mine, theirs) = if similarity.prune == Prune::Source { ("up", "down") } else { ("down", "up") };
    let other = if similarity.include_self { String::new() } else { " and a.i <> b.i".to_owned() };
    steps.push(
        "pairs",
        format!(
            "select a.i as i, b.i as j, count(*)::float as c, sum(a.{mine} * b.{theirs}) as dot\nfrom PIPE__shares a join PIPE__shares b on a.u = b.u{other}\ngroup by a.i, b.i"
        ),
    );
    steps.push(
        "figures",
        "select p.i, p.j, p.c, p.dot, a.d as da, b.d as db, a.s as sa, b.s as sb, a.q as qa, b.q as qb,\n  \
         (select count(distinct u)::float from PIPE__shares) as n, (select count(*)::float from PIPE__items) as m\n\
         from PIPE__pairs p join PIPE__items a on p.i = a.i join PIPE__items b on p.j = b.i"
            .to_owned(),
    );
    let mut score = formula(similarity);
    if similarity.support_shrinkage > 0.0 {
        score = format!("({score}) * c / (c + {})", float(similarity.support_shrinkage));
    }
    steps.push(
        "scored",
        format!("select i, j, c, da, db, {score} as score\nfrom PIPE__figures\nwhere c >= {}", similarity.min_support),
    );
    let mut kept = vec!["score is not null".to_owned()];
    kept.extend(similarity.threshold.map(|least| format!("score >= {}", float(least))));
    let least = where_all(&kept);
    let place = "row_number() over (partition by i order by score desc nulls last, j asc nulls last)";
    let explain = if similarity.explain {
        ", c::number(38, 0) as COMMON_USERS, da::number(38, 0) as USERS, db::number(38, 0) as SIMILAR_USERS"
    } else {
        ""
    };
    steps.finish(&format!(
        "select i as {item}, j as {}, score as SCORE, {place} as RANK{explain}\nfrom PIPE__scored{least}\nqualify {place} <= {}",
        similarity.similar_column().sql(),
        similarity.top
    ))
}

/// tf-idf and BM25 of items × users: each item a document, each user a term.
fn weight(similarity: &Similarity, cells: &str) -> Option<String> {
    let items = format!("(select count(distinct i)::float from {cells})");
    let idf = format!("(ln({items}) - ln(1 + count(*) over (partition by u)))");
    match similarity.weighting {
        Weighting::None => None,
        Weighting::Tfidf => Some(format!("sqrt(x) * {idf}")),
        Weighting::Bm25(k1, b) => {
            let (k1, b, rest) = (float(k1), float(b), float(1.0 - b));
            let norm = format!("({rest} + {b} * sum(x) over (partition by i) / (sum(x) over () / {items}))");
            Some(format!("x * ({k1} + 1) / ({k1} * {norm} + x) * {idf}"))
        }
    }
}

fn formula(similarity: &Similarity) -> String {
    let (x, y) = if similarity.prune == Prune::Source { ("da", "db") } else { ("db", "da") };
    let mutual = "ln(m * (c / (da * db))) / ln(2::float)";
    match similarity.metric {
        Metric::Cooccurrence => "c".to_owned(),
        Metric::Cosine if similarity.shrinkage > 0.0 => {
            format!("dot / (sqrt(qa) * sqrt(qb) + {} + 0.000001::float)", float(similarity.shrinkage))
        }
        Metric::Cosine => "dot / nullif(sqrt(qa) * sqrt(qb), 0)".to_owned(),
        Metric::Asymmetric(alpha) => {
            format!("c / (power({x}, {}) * power({y}, {}))", float(alpha), float(1.0 - alpha))
        }
        Metric::Jaccard => "c / (da + db - c)".to_owned(),
        Metric::Dice => "2 * c / (da + db)".to_owned(),
        Metric::Tversky(a, b) => format!("c / (c + {} * ({x} - c) + {} * ({y} - c))", float(a), float(b)),
        Metric::Lift => "c / (da * db)".to_owned(),
        Metric::MutualInformation => mutual.to_owned(),
        Metric::LexicographersMi => format!("c * ({mutual})"),
        Metric::Inclusion => "c / least(da, db)".to_owned(),
        Metric::Llr => {
            let term = |k: &str| format!("iff({k} > 0, ({k}) * ln(nullif(({k}), 0)), 0::float)");
            let (none, a, b) = (term("n - da - db + c"), term("da - c"), term("db - c"));
            let rows = format!("{} - {} - {}", term("n"), term("da"), term("n - da"));
            let columns = format!("{} - {} - {}", term("n"), term("db"), term("n - db"));
            let cells = format!("{} - {} - {a} - {b} - {none}", term("n"), term("c"));
            format!("greatest(2 * (({rows}) + ({columns}) - ({cells})), 0::float)")
        }
        Metric::Tanimoto => "dot / nullif(qa + qb - dot, 0)".to_owned(),
        Metric::Pearson => {
            let spreads = "(n * qa - sa * sa) * (n * qb - sb * sb)";
            format!(
                "iff({spreads} > 0, (n * dot - sa * sb) / sqrt(nullif(greatest({spreads}, 0::float), 0)), 0::float)"
            )
        }
        Metric::Rp3Beta(_, beta) => format!("dot / power({y}, {})", float(beta)),
        Metric::P3Alpha(_) | Metric::InnerProduct | Metric::L2 | Metric::L1 => "dot".to_owned(),
    }
}

fn vectors(similarity: &Similarity, vector: &str) -> String {
    let (table, item) = (similarity.input.value.sql(), similarity.item.value.sql());
    let function = match similarity.metric {
        Metric::InnerProduct => "vector_inner_product(a.v, b.v)",
        Metric::L2 => "-vector_l2_distance(a.v, b.v)",
        Metric::L1 => "-vector_l1_distance(a.v, b.v)",
        _ => "vector_cosine_similarity(a.v, b.v)",
    };
    let other = if similarity.include_self { "" } else { " on a.i <> b.i" };
    let join = if similarity.include_self { "cross join" } else { "join" };
    let (mut parts, mut explain) = (String::new(), String::new());
    if similarity.explain {
        let product = |a: char, b: char| format!("vector_inner_product({a}.v, {b}.v)::float");
        let length = |a: char| format!("sqrt({})", product(a, a));
        parts = format!(", {} as x, {} as la, {} as lb", product('a', 'b'), length('a'), length('b'));
        let named = ["x", "la", "lb"].into_iter().zip(EXPLAINED_VECTORS);
        explain = named.map(|(value, name)| format!(", {value} as {name}")).collect();
    }
    let mut steps = Steps::default();
    steps.push(
        "items",
        format!("select {item} as i, {vector} as v\nfrom {table}\nwhere {item} is not null and {vector} is not null"),
    );
    steps.push(
        "scored",
        format!(
            "select a.i as i, b.i as j, {function} as score{parts}\nfrom PIPE__items a {join} PIPE__items b{other}"
        ),
    );
    let least = similarity.threshold.map_or_else(String::new, |least| format!("\nwhere score >= {}", float(least)));
    let place = "row_number() over (partition by i order by score desc nulls last, j asc nulls last)";
    steps.finish(&format!(
        "select i as {item}, j as {}, score as SCORE, {place} as RANK{explain}\nfrom PIPE__scored{least}\nqualify {place} <= {}",
        similarity.similar_column().sql(),
        similarity.top
    ))
}
