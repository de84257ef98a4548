//! The keys of `rank` in YAML, and their values as parameters.

use crate::diagnostic::Diagnostic;
use crate::transform::param::{COLUMN, COLUMNS, COUNT, ColumnName, DURATION, INSTANT, Instant, ON_NAN, Params, TABLE};
use crate::yaml::Node;
use crate::yaml::shape::{Key, Record, Shape};

use super::{
    Backfill, Bayes, Cap, Combine, Component, Decay, DecayShape, Diversity, DiversityMethod, Exclude, Method,
    Normalize, Profile, Quota, Rank, Scale, Scope, SimilarityInput,
};

/// The keys of a `rank` step.
pub(in crate::transform) const RECORD: Record = Record::new("rank", KEYS);

const KEYS: &[Key] = &[
    Key::new("input", TABLE, "The step or table whose rows are ranked.").required().example("candidates"),
    Key::new("partition_by", COLUMNS, "One list for each value of these columns; without it, one list of all rows.")
        .example("[user_id]"),
    Key::new("top", COUNT, "How many rows of each list are kept; without it, all.").example("30"),
    Key::new("method", Shape::Word(METHODS), "How rows are numbered: as the SQL window function of that name.")
        .example("row_number"),
    Key::new("buckets", COUNT, "How many buckets `method: ntile` makes.").example("4"),
    Key::new("score", SCORE, "The column to rank by, greatest first, or several to blend.")
        .required()
        .example("[{column: bookmarks, weight: 0.4, normalize: minmax}, {column: rating, weight: 0.6}]"),
    Key::new("combine", Shape::Word(COMBINES), "How the score columns become one score.").example("sum"),
    Key::new("rrf_k", Shape::Number, "The constant of reciprocal rank fusion; 60 where absent.").example("60"),
    Key::new("missing", Shape::Number, "The normalised value of a NULL; without it, rows with a NULL are left out.")
        .example("0"),
    Key::new("decay", Shape::Record(&DECAY), "How age lowers the score.")
        .example("{column: first_aired_at, shape: linear, scale: 7d}"),
    Key::new("filter", Shape::Sql, "An SQL condition that candidates meet.").example("\"duration > 600\""),
    Key::new("exclude", Shape::OneOrMore(&Shape::Record(&EXCLUDE)), "Rows of other tables that are no candidates.")
        .example("{input: seen, keys: [user_id, program_id], time: seen_at, max_age: 90d}"),
    Key::new("dedupe", COLUMNS, "Only the best row of each value of these columns.").example("[program_id]"),
    Key::new("caps", Shape::OneOrMore(&Shape::Record(&CAP)), "How many rows of one kind a list may have.")
        .example("[{by: category, max: 3}, {by: channel, max: 2, window: 10}]"),
    Key::new("quotas", Shape::OneOrMore(&Shape::Record(&QUOTA)), "How many rows of one kind a list must have.")
        .example("[{where: \"category = 'movie'\", min: 5}]"),
    Key::new("diversity", Shape::Record(&DIVERSITY), "Choose for variety as well.")
        .example("{method: mmr, lambda: 0.7, attributes: [category]}"),
    Key::new("backfill", Shape::Record(&BACKFILL), "Where further rows come from when a list is short.")
        .example("{input: popular, keys: [program_id], score: viewers}"),
    Key::new("tie_break", COLUMNS, "The order of rows with equal scores, ascending.").example("[program_id]"),
    Key::new("explain", Shape::Boolean, "Also give the components of each score.").example("true"),
    Key::new("on_nan", ON_NAN, "Whether a NaN is an error, or its row is left out.").example("drop"),
    Key::new("score_as", COLUMN, "The name of the score column; `score` where absent.").example("score"),
    Key::new("rank_as", COLUMN, "The name of the number column; `rank` where absent.").example("position"),
];

const METHODS: &[&str] = &["row_number", "rank", "dense_rank", "max", "average", "percent_rank", "cume_dist", "ntile"];
const COMBINES: &[&str] = &["sum", "product", "max", "min", "rrf", "borda"];
const NORMALIZES: &[&str] = &["none", "minmax", "zscore", "robust", "l1", "l2", "softmax", "rank", "quantile"];
const SCORE: Shape = Shape::Either(&[COLUMN, Shape::OneOrMore(&Shape::Record(&COMPONENT))]);

const COMPONENT: Record = Record::new(
    "score column",
    &[
        Key::new("column", COLUMN, "A column of numbers.").required().example("bookmarks"),
        Key::new("weight", Shape::Number, "Its weight in the blend; 1 where absent.").example("0.4"),
        Key::new("normalize", Shape::Word(NORMALIZES), "How it is brought to a common scale.").example("minmax"),
        Key::new("scope", Shape::Word(&["partition", "global"]), "Over which rows it is normalised.")
            .example("partition"),
        Key::new("temperature", Shape::Number, "The temperature of `softmax`; 1 where absent.").example("1"),
        Key::new("missing", Shape::Number, "The normalised value of a NULL in this column.").example("0"),
        Key::new("bayes", Shape::Record(&BAYES), "Pull ratings with few votes towards the mean.")
            .example("{votes: rating_count, prior_votes: 50}"),
    ],
);

const BAYES: Record = Record::new(
    "bayesian average",
    &[
        Key::new("votes", COLUMN, "The column with the number of votes.").required().example("rating_count"),
        Key::new("prior_votes", Shape::Number, "How many votes the mean weighs.").required().example("50"),
        Key::new("mean", Shape::Number, "The mean; without it, that of the column over the scope.").example("3.2"),
    ],
);

const DECAY: Record = Record::new(
    "decay",
    &[
        Key::new("column", COLUMN, "A column of dates or timestamps.").required().example("first_aired_at"),
        Key::new("shape", Shape::Word(&["linear", "exponential", "gauss"]), "The curve; linear where absent.")
            .example("linear"),
        Key::new("scale", DURATION, "The age, beyond the offset, at which the factor is `decay`.").example("7d"),
        Key::new("scale_days", COLUMN, "A column with the scale in days, instead of `scale`.").example("max_age"),
        Key::new("decay", Shape::Number, "The factor at `scale`; 0.5 where absent.").example("0.5"),
        Key::new("offset", DURATION, "The age up to which nothing decays.").example("1d"),
        Key::new("origin", INSTANT, "What age is counted from; `now` where absent.").example("now"),
    ],
);

const EXCLUDE: Record = Record::new(
    "exclusion",
    &[
        Key::new("input", TABLE, "The step or table with the keys.").required().example("seen"),
        Key::new("keys", KEYS_OR_PAIRS, "The columns that must be equal; a mapping where their names differ.")
            .required()
            .example("{user_id: user_id, program_id: seen_program_id}"),
        Key::new("time", COLUMN, "The column that `max_age` goes by.").example("seen_at"),
        Key::new("max_age", DURATION, "How far back rows exclude; without it, always.").example("90d"),
        Key::new("origin", INSTANT, "What age is counted from; `now` where absent.").example("now"),
    ],
);

const KEYS_OR_PAIRS: Shape = Shape::Either(&[COLUMNS, Shape::Names { noun: "column", value: &COLUMN }]);

const CAP: Record = Record::new(
    "cap",
    &[
        Key::new("by", COLUMNS, "The columns that say what kind a row is of.").required().example("category"),
        Key::new("max", COUNT, "How many rows of one kind.").required().example("3"),
        Key::new("window", COUNT, "In any so many successive places; without it, in the whole list.").example("10"),
    ],
);

const QUOTA: Record = Record::new(
    "quota",
    &[
        Key::new("where", Shape::Sql, "An SQL condition on the input's columns.")
            .required()
            .example("\"category = 'movie'\""),
        Key::new("min", COUNT, "How many rows, as far as there are any.").required().example("5"),
    ],
);

const DIVERSITY: Record = Record::new(
    "diversity",
    &[
        Key::new("method", Shape::Word(&["mmr", "dpp", "xquad", "calibrated"]), "How variety is weighed.")
            .required()
            .example("mmr"),
        Key::new("lambda", Shape::Number, "The weight of relevance against variety, 0 to 1; 0.7 where absent.")
            .example("0.7"),
        Key::new("pool", COUNT, "How many of the best rows to choose from; 200 where absent.").example("200"),
        Key::new("attributes", COLUMNS, "Rows are alike by the share of these columns that are equal.")
            .example("[category]"),
        Key::new("similarity", Shape::Record(&SIMILARITY), "Rows are alike as a table of pairs says.")
            .example("{input: program_similarity, item: program_id}"),
        Key::new("profile", Shape::Record(&PROFILE), "How much of the attribute each partition wants.")
            .example("{input: user_category_affinity, weight: affinity}"),
    ],
);

const SIMILARITY: Record = Record::new(
    "similarity table",
    &[
        Key::new("input", TABLE, "The step or table of pairs.").required().example("program_similarity"),
        Key::new("item", COLUMN, "The item column of the ranked rows.").required().example("program_id"),
        Key::new("left", COLUMN, "The pair's first item; named as `item` where absent.").example("program_id"),
        Key::new("right", COLUMN, "The pair's second item; `similar_` and `item` where absent.")
            .example("similar_program_id"),
        Key::new("score", COLUMN, "How alike they are, 0 to 1; `score` where absent.").example("score"),
    ],
);

const PROFILE: Record = Record::new(
    "profile",
    &[
        Key::new("input", TABLE, "A table with the partition columns, the attribute and a weight.")
            .required()
            .example("user_category_affinity"),
        Key::new("weight", COLUMN, "The column with the weight.").required().example("affinity"),
    ],
);

const BACKFILL: Record = Record::new(
    "backfill",
    &[
        Key::new("input", TABLE, "The step or table with the fallback rows.").required().example("popular"),
        Key::new("keys", COLUMNS, "A row whose keys the list has, or that is excluded, is not added.")
            .required()
            .example("[program_id]"),
        Key::new("score", COLUMN, "The fallback's column to order by, greatest first.").required().example("viewers"),
        Key::new("partitions", TABLE, "A table with all partitions, so that those without candidates get a list too.")
            .example("active_users"),
    ],
);

impl Rank {
    /// Reads a node that was checked against [`RECORD`].
    pub(in crate::transform) fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Self {
        let params = Params(node);
        let rank = Self {
            node: node.clone(),
            input: params.input(),
            partition_by: params.columns("partition_by"),
            top: params.count("top"),
            method: method(params, problems),
            components: components(params, problems),
            combine: combine(params, problems),
            decay: params.inside("decay").and_then(|decay| read_decay(decay, problems)),
            filter: params.text("filter"),
            exclude: params.list("exclude").map(|exclude| read_exclude(exclude, problems)).collect(),
            dedupe: params.columns("dedupe"),
            caps: params.list("caps").map(cap).collect(),
            quotas: params.list("quotas").filter_map(quota).collect(),
            diversity: params.inside("diversity").map(|diversity| read_diversity(diversity, problems)),
            backfill: params.inside("backfill").and_then(read_backfill),
            tie_break: params.columns("tie_break"),
            explain: params.flag("explain"),
            drop_nan: params.drops_nan(),
            score_as: params.name("score_as", "score"),
            number_as: params.name("rank_as", "rank"),
        };
        rank.combinations(params, problems);
        rank
    }

    /// What does not go together.
    fn combinations(&self, params: Params<'_>, problems: &mut Vec<Diagnostic>) {
        let mut refuse = |key: &str, message: String, hint: &str| {
            problems.push(Diagnostic::error("conflicting-keys", message).at(params.span(key)).hint(hint));
        };
        let by_score = !self.is_greedy() && self.backfill.is_none();
        if self.method != Method::RowNumber && !by_score {
            let message = "`caps`, `quotas`, `diversity` and `backfill` make a list that only `row_number` can number";
            refuse("method", message.to_owned(), "leave `method` out");
        }
        for key in ["quotas", "diversity", "backfill"] {
            if params.node(key).is_some() && self.top.is_none() {
                refuse(key, format!("`{key}` needs to know how long the list is"), "add `top`");
            }
        }
        if self.quotas.iter().map(|quota| quota.min).sum::<usize>() > self.top.unwrap_or(usize::MAX) {
            refuse("quotas", "the quotas ask for more rows than `top`".to_owned(), "lower them or raise `top`");
        }
        if params.node("rrf_k").is_some() && !matches!(self.combine, Combine::Rrf(_)) {
            refuse("rrf_k", "`rrf_k` has a meaning for `combine: rrf` only".to_owned(), "leave it out");
        }
        let lists = self.backfill.as_ref().is_some_and(|backfill| backfill.partitions.is_some());
        if lists && self.partition_by.is_empty() {
            let message = "`partitions` has no meaning without `partition_by`: there is one list".to_owned();
            refuse("backfill", message, "leave it out");
        }
        if matches!(self.combine, Combine::Rrf(_) | Combine::Borda)
            && self.components.iter().any(|c| c.normalize != Normalize::None)
        {
            refuse("score", "rank fusion goes by ranks, so `normalize` changes nothing".to_owned(), "leave it out");
        }
    }
}

fn method(params: Params<'_>, problems: &mut Vec<Diagnostic>) -> Method {
    let buckets = params.count("buckets");
    let method = params.word("method");
    if (method == Some("ntile")) != buckets.is_some() {
        let message = "`method: ntile` and `buckets` go together";
        problems.push(Diagnostic::error("conflicting-keys", message).at(params.span("method")));
    }
    match method {
        Some("rank") => Method::Rank,
        Some("dense_rank") => Method::DenseRank,
        Some("max") => Method::Max,
        Some("average") => Method::Average,
        Some("percent_rank") => Method::PercentRank,
        Some("cume_dist") => Method::CumeDist,
        Some("ntile") => Method::Ntile(buckets.unwrap_or(1)),
        _ => Method::RowNumber,
    }
}

fn combine(params: Params<'_>, problems: &mut Vec<Diagnostic>) -> Combine {
    match params.word("combine") {
        Some("product") => Combine::Product,
        Some("max") => Combine::Max,
        Some("min") => Combine::Min,
        Some("rrf") => Combine::Rrf(params.within("rrf_k", 0.0, f64::INFINITY, problems).unwrap_or(60.0)),
        Some("borda") => Combine::Borda,
        _ => Combine::Sum,
    }
}

fn components(params: Params<'_>, problems: &mut Vec<Diagnostic>) -> Vec<Component> {
    let missing = params.number("missing");
    let simple = |column: ColumnName| Component {
        column,
        weight: 1.0,
        normalize: Normalize::None,
        scope: Scope::Partition,
        missing,
        bayes: None,
    };
    if let Some(node) = params.node("score").filter(|node| node.text().is_some()) {
        return crate::transform::param::column(node).map(simple).into_iter().collect();
    }
    let fusion = matches!(params.word("combine"), Some("rrf" | "borda"));
    let all_own = params.list("score").all(|part| part.node("missing").is_some());
    params.idle("missing", all_own, "is said by each score column itself", problems);
    let mut components = Vec::new();
    for part in params.list("score") {
        let Some(column) = part.column("column") else { continue };
        // A scope is that of the normalising, and of the mean of a Bayesian average that is not given.
        let averages = part.inside("bayes").is_some_and(|bayes| bayes.node("mean").is_none());
        let normalizes = part.word("normalize").is_some_and(|how| how != "none");
        let why = if fusion { "has no meaning for rank fusion" } else { "has no meaning without `normalize`" };
        part.idle("scope", fusion || !(normalizes || averages), why, problems);
        if part.node("temperature").is_some() && part.word("normalize") != Some("softmax") {
            let message = "`temperature` has a meaning for `normalize: softmax` only";
            problems.push(Diagnostic::error("conflicting-keys", message).at(part.span("temperature")));
        }
        components.push(Component {
            weight: part.number("weight").unwrap_or(1.0),
            normalize: normalize(part, problems),
            scope: if part.word("scope") == Some("global") { Scope::Global } else { Scope::Partition },
            missing: part.number("missing").or(missing),
            bayes: part.inside("bayes").and_then(|bayes| read_bayes(bayes, problems)),
            ..simple(column)
        });
    }
    if components.is_empty() {
        let message = "`score` names no column";
        problems.push(Diagnostic::error("missing-value", message).at(params.span("score")));
    }
    components
}

fn normalize(part: Params<'_>, problems: &mut Vec<Diagnostic>) -> Normalize {
    match part.word("normalize") {
        Some("minmax") => Normalize::MinMax,
        Some("zscore") => Normalize::ZScore,
        Some("robust") => Normalize::Robust,
        Some("l1") => Normalize::L1,
        Some("l2") => Normalize::L2,
        Some("softmax") => {
            let temperature = part.within("temperature", 1e-9, f64::INFINITY, problems);
            Normalize::Softmax(temperature.unwrap_or(1.0))
        }
        Some("rank") => Normalize::Rank,
        Some("quantile") => Normalize::Quantile,
        _ => Normalize::None,
    }
}

fn read_bayes(params: Params<'_>, problems: &mut Vec<Diagnostic>) -> Option<Bayes> {
    let prior_votes = params.within("prior_votes", f64::MIN_POSITIVE, f64::INFINITY, problems)?;
    Some(Bayes { votes: params.column("votes")?, prior_votes, mean: params.number("mean") })
}

fn read_decay(params: Params<'_>, problems: &mut Vec<Diagnostic>) -> Option<Decay> {
    let scale = match (params.duration("scale"), params.column("scale_days")) {
        (Some(scale), None) if scale > 0 => Some(Scale::Fixed(scale)),
        (None, Some(column)) => Some(Scale::Days(column)),
        _ => {
            let message = "a decay has either a `scale` above zero or `scale_days`";
            problems.push(Diagnostic::error("conflicting-keys", message).at(params.span("scale")));
            None
        }
    };
    let decay = params.number("decay").unwrap_or(0.5);
    if !(decay > 0.0 && decay < 1.0) {
        let message = format!("`decay` is {decay}, and must be between 0 and 1");
        problems.push(Diagnostic::error("wrong-value", message).at(params.span("decay")));
    }
    Some(Decay {
        column: params.column("column")?,
        shape: match params.word("shape") {
            Some("exponential") => DecayShape::Exponential,
            Some("gauss") => DecayShape::Gauss,
            _ => DecayShape::Linear,
        },
        scale: scale?,
        decay,
        offset: params.duration("offset").unwrap_or(0),
        origin: params.instant("origin", Instant::Now),
    })
}

fn read_exclude(params: Params<'_>, problems: &mut Vec<Diagnostic>) -> Exclude {
    let pairs = params.node("keys").filter(|node| node.map().is_some());
    let keys = match pairs {
        Some(pairs) => pairs
            .entries()
            .iter()
            .filter_map(|entry| {
                let mine =
                    Node { value: crate::yaml::Value::Text(entry.key.value.clone()), span: entry.key.span.clone() };
                Some((crate::transform::param::column(&mine)?, crate::transform::param::column(&entry.value)?))
            })
            .collect(),
        None => params.columns("keys").into_iter().map(|key| (key.clone(), key)).collect(),
    };
    if params.node("time").is_some() != params.node("max_age").is_some() {
        let message = "`time` and `max_age` of an exclusion go together";
        problems.push(Diagnostic::error("conflicting-keys", message).at(params.span("time")));
    }
    let why = "has no meaning without `max_age`: rows of any age exclude";
    params.idle("origin", params.node("max_age").is_none(), why, problems);
    let recent = params.column("time").zip(params.duration("max_age"));
    let origin = params.instant("origin", Instant::Now);
    Exclude { input: params.input(), keys, recent: recent.map(|(time, age)| (time, age, origin)) }
}

fn cap(params: Params<'_>) -> Cap {
    Cap { by: params.columns("by"), max: params.count("max").unwrap_or(1), window: params.count("window") }
}

fn quota(params: Params<'_>) -> Option<Quota> {
    Some(Quota { condition: params.text("where")?, min: params.count("min")? })
}

fn read_diversity(params: Params<'_>, problems: &mut Vec<Diagnostic>) -> Diversity {
    let method = match params.word("method") {
        Some("dpp") => DiversityMethod::Dpp,
        Some("xquad") => DiversityMethod::Xquad,
        Some("calibrated") => DiversityMethod::Calibrated,
        _ => DiversityMethod::Mmr,
    };
    let diversity = Diversity {
        method,
        lambda: params.within("lambda", 0.0, 1.0, problems).unwrap_or(0.7),
        pool: params.count("pool").unwrap_or(200),
        attributes: params.columns("attributes"),
        similarity: params.inside("similarity").and_then(similarity),
        profile: params.inside("profile").and_then(profile),
    };
    let by_pairs = matches!(method, DiversityMethod::Mmr | DiversityMethod::Dpp);
    let attributes = diversity.attributes.len();
    let message = match (by_pairs, attributes, &diversity.similarity) {
        (true, 0, None) => "this method needs `similarity` or `attributes` to tell what is alike",
        (true, 1.., Some(_)) => "rows are alike by `similarity` or by `attributes`, not by both",
        (true, ..) if diversity.profile.is_some() => "`profile` has a meaning for `xquad` and `calibrated` only",
        (false, _, Some(_)) => "`similarity` has a meaning for `mmr` and `dpp` only",
        (false, 1, _) | (true, ..) => return diversity,
        (false, ..) => "this method needs one column in `attributes`",
    };
    problems.push(Diagnostic::error("conflicting-keys", message).at(params.0.span.clone()));
    diversity
}

fn similarity(params: Params<'_>) -> Option<SimilarityInput> {
    let item = params.column("item")?;
    let named = |key: &str, name: String| {
        let default = ColumnName::new(crate::name::Name::quoted(name), params.span("item"));
        params.column(key).unwrap_or(default)
    };
    Some(SimilarityInput {
        input: params.input(),
        left: named("left", item.value.as_str().to_owned()),
        right: named("right", format!("SIMILAR_{}", item.value.as_str())),
        score: named("score", "SCORE".to_owned()),
        item,
    })
}

fn profile(params: Params<'_>) -> Option<Profile> {
    Some(Profile { input: params.input(), weight: params.column("weight")? })
}

fn read_backfill(params: Params<'_>) -> Option<Backfill> {
    Some(Backfill {
        input: params.input(),
        keys: params.columns("keys"),
        score: params.column("score")?,
        partitions: params.table("partitions"),
    })
}
