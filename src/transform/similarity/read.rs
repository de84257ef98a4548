//! The keys of `similarity` in YAML, and their values as parameters.

use crate::diagnostic::Diagnostic;
use crate::name::Name;
use crate::transform::param::{COLUMN, COUNT, ColumnName, ON_NAN, Params, TABLE};
use crate::yaml::Node;
use crate::yaml::shape::{Key, Record, Shape};

use super::{Language, Metric, Of, Prune, Similarity, Texts, Weighting, blend};

/// The keys of a `similarity` step.
pub(in crate::transform) const RECORD: Record = Record::new("similarity", KEYS);

const OFS: &[&str] = &["interactions", "vectors", "texts", "tags", "blend"];
const METRICS: &[&str] = &[
    "cooccurrence",
    "cosine",
    "asymmetric",
    "jaccard",
    "dice",
    "tversky",
    "lift",
    "mutual_information",
    "lexicographers_mi",
    "inclusion",
    "llr",
    "tanimoto",
    "pearson",
    "p3alpha",
    "rp3beta",
    "inner_product",
    "l2",
    "l1",
];

const KEYS: &[Key] = &[
    Key::new("input", TABLE, "The step or table to compare the items of; not of a blend, which names its own.")
        .example("user_affinity"),
    Key::new("of", Shape::Word(OFS), "What items are compared by; `interactions` where absent.").example("texts"),
    Key::new("item", COLUMN, "The items.").required().example("program_id"),
    Key::new("user", COLUMN, "Of interactions: who.").example("user_id"),
    Key::new("value", COLUMN, "Of interactions: how much; 1 where absent. Rows without one do not count.")
        .example("affinity"),
    Key::new("vector", COLUMN, "Of vectors: a VECTOR column, or an ARRAY column with `dimensions`.")
        .example("embedding"),
    Key::new(
        "dimensions",
        Shape::Integer { min: 1, max: 4096 },
        "Of vectors in an ARRAY column: how many numbers each has.",
    )
    .example("384"),
    Key::new("text", COLUMN, "Of texts and tags: the text.").example("synopsis"),
    Key::new("languages", Shape::OneOrMore(&Shape::Word(&["french", "english"])), "Whose stop words are left out.")
        .example("[french, english]"),
    Key::new("blend", Shape::List(&Shape::Record(&blend::RECORD)), "Of a blend: the similarities to blend.")
        .example("[{input: similar_by_watching, weight: 0.7, normalize: max}, {input: similar_by_text, weight: 0.3}]"),
    Key::new("min_df", COUNT, "Terms of fewer texts are left out; 1 where absent.").example("3"),
    Key::new("max_df", Shape::Number, "Terms of a greater share of the texts are left out; 1 where absent.")
        .example("0.5"),
    Key::new("metric", Shape::Word(METRICS), "How alike two items are; `cosine` where absent.").example("jaccard"),
    Key::new("alpha", Shape::Number, "Of `asymmetric` (0.5), `p3alpha` and `rp3beta` (1), and a of `tversky` (1).")
        .example("0.5"),
    Key::new("beta", Shape::Number, "Of `rp3beta` (0.6), and b of `tversky` (1).").example("0.6"),
    Key::new("weighting", Shape::Word(&["none", "tfidf", "bm25"]), "Weigh interactions first, rare users more.")
        .example("bm25"),
    Key::new("k1", Shape::Number, "Of `bm25`; 1.2 where absent.").example("1.2"),
    Key::new("b", Shape::Number, "Of `bm25`; 0.75 where absent.").example("0.75"),
    Key::new("shrinkage", Shape::Number, "Added to the divisor of `cosine`; 0 where absent.").example("10"),
    Key::new("support_shrinkage", Shape::Number, "The λ of C ÷ (C + λ); 0 where absent.").example("100"),
    Key::new("min_support", COUNT, "Pairs with fewer common users are left out.").example("5"),
    Key::new("threshold", Shape::Number, "Pairs that score less are left out.").example("0.1"),
    Key::new("max_items_per_user", COUNT, "Users with more items are left out.").example("500"),
    Key::new("top", COUNT, "How many similar items each item has; 20 where absent.").example("20"),
    Key::new("include_self", Shape::Boolean, "Whether an item is similar to itself.").example("false"),
    Key::new("prune", Shape::Word(&["target", "source"]), "Whether `top` goes by target or by source item.")
        .example("target"),
    Key::new("explain", Shape::Boolean, "Also give the components of each score.").example("true"),
    Key::new("on_nan", ON_NAN, "Whether a NaN is an error, or its row is left out.").example("drop"),
];

impl Similarity {
    /// Reads a node that was checked against [`RECORD`].
    pub(in crate::transform) fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Self {
        let params = Params(node);
        let missing = || ColumnName::new(Name::quoted(""), node.span.clone());
        let similarity = Self {
            input: params.input(),
            of: of(params, problems),
            item: params.column("item").unwrap_or_else(missing),
            metric: metric(params),
            weighting: match params.word("weighting") {
                Some("tfidf") => Weighting::Tfidf,
                Some("bm25") => Weighting::Bm25(params.number("k1").unwrap_or(1.2), params.number("b").unwrap_or(0.75)),
                _ => Weighting::None,
            },
            shrinkage: params.within("shrinkage", 0.0, f64::INFINITY, problems).unwrap_or(0.0),
            support_shrinkage: params.within("support_shrinkage", 0.0, f64::INFINITY, problems).unwrap_or(0.0),
            min_support: params.count("min_support").unwrap_or(1),
            threshold: params.number("threshold"),
            max_items_per_user: params.count("max_items_per_user"),
            top: params.count("top").unwrap_or(if params.word("of") == Some("tags") { 10 } else { 20 }),
            include_self: params.flag("include_self"),
            prune: if params.word("prune") == Some("source") { Prune::Source } else { Prune::Target },
            explain: params.flag("explain"),
            drop_nan: params.drops_nan(),
        };
        similarity.combinations(params, problems);
        similarity
    }

    /// Keys that have no meaning for what is compared.
    fn combinations(&self, params: Params<'_>, problems: &mut Vec<Diagnostic>) {
        let of = self.of.word();
        let belongs: &[(&str, &[&str])] = &[
            ("threshold", &["interactions", "vectors", "texts", "blend"]),
            ("user", &["interactions"]),
            ("value", &["interactions"]),
            ("vector", &["vectors"]),
            ("dimensions", &["vectors"]),
            ("text", &["texts", "tags"]),
            ("languages", &["texts", "tags"]),
            ("min_df", &["texts", "tags"]),
            ("max_df", &["texts", "tags"]),
            ("metric", &["interactions", "vectors"]),
            ("weighting", &["interactions"]),
            ("shrinkage", &["interactions"]),
            ("support_shrinkage", &["interactions"]),
            ("min_support", &["interactions"]),
            ("max_items_per_user", &["interactions"]),
            ("prune", &["interactions"]),
            ("include_self", &["interactions", "vectors", "texts", "blend"]),
            ("blend", &["blend"]),
            ("input", &["interactions", "vectors", "texts", "tags"]),
        ];
        for (key, kinds) in belongs {
            if params.node(key).is_some() && !kinds.contains(&of) {
                let message = format!("`{key}` has no meaning for similarity of {of}");
                problems.push(Diagnostic::error("conflicting-keys", message).at(params.span(key)));
            }
        }
        let of_vectors = matches!(self.metric, Metric::InnerProduct | Metric::L2 | Metric::L1);
        let only_vectors = matches!(self.metric, Metric::L2 | Metric::L1);
        let wrong = match self.of {
            Of::Interactions { .. } => only_vectors,
            Of::Vectors { .. } => !of_vectors && self.metric != Metric::Cosine,
            _ => false,
        };
        if wrong {
            let message =
                format!("`metric: {}` has no meaning for similarity of {of}", params.word("metric").unwrap_or(""));
            problems.push(Diagnostic::error("conflicting-keys", message).at(params.span("metric")));
        }
        self.idle(params, problems);
        let walks = matches!(self.metric, Metric::P3Alpha(_) | Metric::Rp3Beta(..));
        if walks && self.weighting != Weighting::None {
            let message = "`weighting` has no meaning for random walks, which go by shares";
            problems.push(Diagnostic::error("conflicting-keys", message).at(params.span("weighting")));
        }
        if self.shrinkage > 0.0 && self.metric != Metric::Cosine {
            let message = "`shrinkage` has a meaning for `metric: cosine` only";
            let hint = "use `support_shrinkage` with other metrics";
            problems.push(Diagnostic::error("conflicting-keys", message).at(params.span("shrinkage")).hint(hint));
        }
    }
}

impl Similarity {
    /// Keys that the metric and the weighting do not look at.
    fn idle(&self, params: Params<'_>, problems: &mut Vec<Diagnostic>) {
        let has_beta = matches!(self.metric, Metric::Tversky(..) | Metric::Rp3Beta(..));
        let has_alpha = has_beta || matches!(self.metric, Metric::Asymmetric(_) | Metric::P3Alpha(_));
        let metrics = "has a meaning for `metric: asymmetric`, `tversky`, `p3alpha` and `rp3beta` only";
        params.idle("alpha", !has_alpha, metrics, problems);
        params.idle("beta", !has_beta, "has a meaning for `metric: tversky` and `rp3beta` only", problems);
        let weighs = matches!(self.weighting, Weighting::Bm25(..));
        for key in ["k1", "b"] {
            params.idle(key, !weighs, "has a meaning for `weighting: bm25` only", problems);
        }
        let counts = matches!(self.of, Of::Interactions { .. }) && !self.metric.is_by_values();
        let metric = params.word("metric").unwrap_or("cosine");
        let why = format!("has no meaning for `metric: {metric}`, which counts users");
        params.idle("weighting", counts, &why, problems);
    }
}

fn of(params: Params<'_>, problems: &mut Vec<Diagnostic>) -> Of {
    let mut needed = |key: &str| {
        params.column(key).unwrap_or_else(|| {
            let message = format!("this similarity has no `{key}`");
            problems.push(Diagnostic::error("missing-key", message).at(params.0.span.clone()));
            ColumnName::new(Name::quoted(""), params.0.span.clone())
        })
    };
    let blended = params.node("blend").map(|_| "blend");
    if params.word("of").or(blended) != Some("blend") && params.node("input").is_none() {
        needed("input");
    }
    match params.word("of").or(blended) {
        Some("blend") => {
            if params.node("blend").is_none() {
                needed("blend");
            }
            Of::Blend(blend::parts(params))
        }
        Some("vectors") => Of::Vectors { column: needed("vector"), dimensions: params.count("dimensions") },
        Some("texts") => Of::Texts(texts(params, needed("text"))),
        Some("tags") => Of::Tags(texts(params, needed("text"))),
        _ => Of::Interactions { user: needed("user"), value: params.column("value") },
    }
}

fn texts(params: Params<'_>, column: ColumnName) -> Texts {
    let language = |node: &Node| match node.scalar() {
        Some("french") => Some(Language::French),
        Some("english") => Some(Language::English),
        _ => None,
    };
    let languages = params.node("languages").map_or(&[] as &[Node], Node::items);
    Texts {
        column,
        languages: languages.iter().filter_map(language).collect(),
        min_df: params.count("min_df").unwrap_or(1),
        max_df: params.number("max_df").unwrap_or(1.0),
    }
}

fn metric(params: Params<'_>) -> Metric {
    let alpha = |default: f64| params.number("alpha").unwrap_or(default);
    let beta = |default: f64| params.number("beta").unwrap_or(default);
    match params.word("metric") {
        Some("cooccurrence") => Metric::Cooccurrence,
        Some("asymmetric") => Metric::Asymmetric(alpha(0.5)),
        Some("jaccard") => Metric::Jaccard,
        Some("dice") => Metric::Dice,
        Some("tversky") => Metric::Tversky(alpha(1.0), beta(1.0)),
        Some("lift") => Metric::Lift,
        Some("mutual_information") => Metric::MutualInformation,
        Some("lexicographers_mi") => Metric::LexicographersMi,
        Some("inclusion") => Metric::Inclusion,
        Some("llr") => Metric::Llr,
        Some("tanimoto") => Metric::Tanimoto,
        Some("pearson") => Metric::Pearson,
        Some("p3alpha") => Metric::P3Alpha(alpha(1.0)),
        Some("rp3beta") => Metric::Rp3Beta(alpha(1.0), beta(0.6)),
        Some("inner_product") => Metric::InnerProduct,
        Some("l2") => Metric::L2,
        Some("l1") => Metric::L1,
        _ => Metric::Cosine,
    }
}
