//! `similarity`: the most similar items of each item, from who used them, from vectors or from texts; and `tags`, the
//! weightiest terms of each text. It scores pairs of items and knows no users' tastes: `recommend` does.
//!
//! Each item has at most `top` rows, the most similar first, ties by the other item. With x the item's column of
//! `value` over users (1 where absent, several rows of a pair added up), C the users of both, d the users of each, N
//! all users and I all items:
//!
//! | metric | formula | as in |
//! | --- | --- | --- |
//! | `cooccurrence` | C | SAR |
//! | `cosine` | x·y ÷ (‖x‖‖y‖), with shrinkage ÷ (‖x‖‖y‖ + shrinkage + 1e-6) | implicit, RecBole |
//! | `asymmetric` | C ÷ (d_s^α d_t^(1−α)), s the source and t the target | Aiolli 2013 |
//! | `jaccard`, `dice` | C ÷ (d + d' − C), 2C ÷ (d + d') | SAR |
//! | `tversky` | C ÷ (C + a(d_s − C) + b(d_t − C)) | Tversky 1977 |
//! | `lift` | C ÷ (d d') | SAR, without the factor N |
//! | `mutual_information` | log2(I · C ÷ (d d')) | SAR |
//! | `lexicographers_mi` | C · log2(I · C ÷ (d d')) | SAR; 0 where C is 0 |
//! | `inclusion` | C ÷ min(d, d') | SAR |
//! | `llr` | 2 (H(rows) + H(columns) − H(table)) of the 2 × 2 table of users | Dunning 1993 |
//! | `tanimoto` | x·y ÷ (‖x‖² + ‖y‖² − x·y) | |
//! | `pearson` | correlation of x and y over all N users, 0 where a user has no row | |
//! | `p3alpha`, `rp3beta` | Σ_u (x_us ÷ Σ_u x_us)^α (x_ut ÷ Σ_t x_ut)^α, ÷ d_t^β | Cooper 2014, Paudel 2017 |
//!
//! A similarity leads from a source item, which the user knows, to a target item. `prune: target` makes each row's
//! `item` the target and its `similar_` item the source, so that `top` keeps the best sources of each target, which
//! recommends better; `prune: source` the other way round. For symmetric metrics both give the same rows.
//! `support_shrinkage` λ multiplies by C ÷ (C + λ) (Bell & Koren 2007); pairs with C < `min_support` are left out.
//! A pair without a common user has no row. `max_items_per_user` leaves out users with more items.

use datafusion::arrow::datatypes::SchemaRef;

use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::dialect::types::{SqlType, VectorElement};
use crate::name::{Name, TableName};
use crate::text::Spanned;
use crate::yaml::Node;
use crate::yaml::shape::{Key, Record, Shape};

use super::column::made;
use super::param::{COLUMN, COUNT, ColumnName, ON_NAN, Params, TABLE};
use super::scope::{Scope, distinct};
use super::sql::list;
use super::{Collect, Context, Footprint, Form, Kernel, Origin, same_rows};

/// Scores of pairs from their figures.
mod metric;

/// Interactions as a sparse matrix.
mod matrix;

/// Items' numbers and the loops over them.
mod place;

/// Interactions → the nearest items of each item.
mod sparse;

/// Vectors that may be near each other.
mod near;

/// Vectors → the nearest items of each item.
mod dense;

/// Texts → weighted terms.
mod terms;

/// Several similarities as one.
mod blend;

/// Rows of interactions, as they come.
mod interactions;

/// Rows in and out.
mod kernel;

/// The same as one query.
mod query;

#[cfg(test)]
mod tests;

pub(super) use matrix::Matrix;
pub(super) use metric::{Best, Neighbour};

/// The parameters of a `similarity` step.
#[derive(Clone, Debug)]
pub struct Similarity {
    input: Spanned<TableName>,
    of: Of,
    item: ColumnName,
    metric: Metric,
    weighting: Weighting,
    shrinkage: f64,
    support_shrinkage: f64,
    min_support: usize,
    threshold: Option<f64>,
    max_items_per_user: Option<usize>,
    top: usize,
    include_self: bool,
    prune: Prune,
    explain: bool,
    drop_nan: bool,
}

/// What items are compared by.
#[derive(Clone, Debug)]
enum Of {
    /// Who used them.
    Interactions { user: ColumnName, value: Option<ColumnName> },
    /// A vector each.
    Vectors(ColumnName),
    /// A text each.
    Texts(Texts),
    /// The weightiest terms of a text each.
    Tags(Texts),
    /// Several similarities.
    Blend(Vec<blend::Part>),
}

/// How texts become terms.
#[derive(Clone, Debug)]
struct Texts {
    column: ColumnName,
    languages: Vec<Language>,
    min_df: usize,
    max_df: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    French,
    English,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Metric {
    Cooccurrence,
    Cosine,
    Asymmetric(f64),
    Jaccard,
    Dice,
    Tversky(f64, f64),
    Lift,
    MutualInformation,
    LexicographersMi,
    Inclusion,
    Llr,
    Tanimoto,
    Pearson,
    P3Alpha(f64),
    Rp3Beta(f64, f64),
    /// x·y.
    InnerProduct,
    /// −‖x − y‖, of vectors.
    L2,
    /// −Σ|x − y|, of vectors.
    L1,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Weighting {
    None,
    Tfidf,
    Bm25(f64, f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prune {
    Target,
    Source,
}

/// The keys of a `similarity` step.
pub(super) const RECORD: Record = Record::new("similarity", KEYS);

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
    Key::new("value", COLUMN, "Of interactions: how much; 1 where absent.").example("affinity"),
    Key::new("vector", COLUMN, "Of vectors: a VECTOR column.").example("embedding"),
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
    Key::new("explain", Shape::Boolean, "Also give the common users and the users of each item.").example("true"),
    Key::new("on_nan", ON_NAN, "Whether a NaN is an error, or its row is left out.").example("drop"),
];

impl Similarity {
    /// Reads a node that was checked against [`RECORD`].
    pub(super) fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Self {
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
            ("explain", &["interactions", "blend"]),
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
            Of::Vectors(_) => !of_vectors && self.metric != Metric::Cosine,
            _ => false,
        };
        if wrong {
            let message =
                format!("`metric: {}` has no meaning for similarity of {of}", params.word("metric").unwrap_or(""));
            problems.push(Diagnostic::error("conflicting-keys", message).at(params.span("metric")));
        }
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

    fn similar_column(&self) -> Name {
        Name::quoted(format!("SIMILAR_{}", self.item.value.as_str()))
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
        Some("vectors") => Of::Vectors(needed("vector")),
        Some("texts") => Of::Texts(texts(params, needed("text"))),
        Some("tags") => Of::Tags(texts(params, needed("text"))),
        _ => Of::Interactions { user: needed("user"), value: params.column("value") },
    }
}

impl Of {
    /// The word for it in YAML.
    fn word(&self) -> &'static str {
        match self {
            Self::Interactions { .. } => "interactions",
            Self::Vectors(_) => "vectors",
            Self::Texts(_) => "texts",
            Self::Tags(_) => "tags",
            Self::Blend(_) => "blend",
        }
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

impl Form for Similarity {
    fn inputs(&self) -> Vec<Spanned<TableName>> {
        match &self.of {
            Of::Blend(parts) => parts.iter().map(|part| part.input.clone()).collect(),
            _ => vec![self.input.clone()],
        }
    }

    fn output(&self, inputs: &[&[Column]], problems: &mut Vec<Diagnostic>) -> Vec<Column> {
        let Some(mine) = inputs.first() else { return Vec::new() };
        let scope = Scope::new(&self.input, mine);
        let mut columns: Vec<Column> = match &self.of {
            Of::Blend(parts) => blend::check(self, parts, inputs, problems).into_iter().collect(),
            _ => scope.key(&self.item, problems).cloned().into_iter().collect(),
        };
        match &self.of {
            Of::Blend(_) => {}
            Of::Interactions { user, value } => {
                scope.key(user, problems);
                if let Some(value) = value {
                    scope.number(value, problems);
                }
            }
            Of::Vectors(vector) => {
                let fits = |t| matches!(t, SqlType::Vector(VectorElement::Float | VectorElement::Int, _));
                scope.typed(vector, "a VECTOR", fits, problems);
            }
            Of::Texts(texts) | Of::Tags(texts) => {
                scope.text(&texts.column, problems);
            }
        }
        if let Of::Tags(_) = self.of {
            columns.push(made(&Name::quoted("TERM"), SqlType::TEXT));
            columns.push(made(&Name::quoted("WEIGHT"), SqlType::Float));
        } else {
            let similar = columns.first().cloned();
            columns.extend(similar.map(|item| Column { name: self.similar_column(), ..item }));
            columns.push(made(&Name::quoted("SCORE"), SqlType::Float));
        }
        columns.push(made(&Name::quoted("RANK"), SqlType::INTEGER));
        if let (true, Of::Blend(parts)) = (self.explain, &self.of) {
            columns.extend(blend::contributions(parts).map(|name| made(&name, SqlType::Float)));
        } else if self.explain {
            let names = ["COMMON_USERS", "USERS", "SIMILAR_USERS"];
            columns.extend(names.iter().map(|name| made(&Name::quoted(*name), SqlType::INTEGER)));
        }
        distinct(&columns, &self.input, problems);
        columns
    }

    fn lineage(&self, inputs: &[&[Column]]) -> Vec<Vec<Origin>> {
        let of = |name: &ColumnName| Origin { input: 0, column: name.value.clone() };
        let item = vec![of(&self.item)];
        let mut figures = item.clone();
        match &self.of {
            Of::Interactions { user, value } => figures.extend(std::iter::once(user).chain(value).map(of)),
            Of::Vectors(column) => figures.push(of(column)),
            Of::Texts(texts) | Of::Tags(texts) => figures.push(of(&texts.column)),
            Of::Blend(_) => {
                // Its query gives the result itself.
                let columns = self.output(inputs, &mut Vec::new()).into_iter();
                return columns.map(|column| vec![Origin { input: 0, column: column.name }]).collect();
            }
        }
        let columns = self.output(inputs, &mut Vec::new()).into_iter();
        let similar = self.similar_column();
        let lineage = columns
            .map(|c| if c.name == self.item.value || c.name == similar { item.clone() } else { figures.clone() });
        lineage.collect()
    }

    fn query(&self, input: usize, inputs: &[&[Column]]) -> String {
        if let Of::Blend(parts) = &self.of {
            return match (input, parts.get(input)) {
                (0, _) | (_, None) => blend::query(self, parts, inputs),
                (_, Some(part)) => format!("select 1 as one\nfrom {}\nwhere false", part.input.value.sql()),
            };
        }
        let mut columns = vec![&self.item.value];
        match &self.of {
            Of::Blend(_) => {}
            Of::Interactions { user, value } => columns.extend(std::iter::once(user).chain(value).map(|c| &c.value)),
            Of::Vectors(column) => columns.push(&column.value),
            Of::Texts(texts) | Of::Tags(texts) => columns.push(&texts.column.value),
        }
        columns.dedup();
        format!("select {}\nfrom {}", list("", columns), self.input.value.sql())
    }

    fn kernel(&self, schemas: Vec<SchemaRef>, context: Context) -> Box<dyn Kernel> {
        let similarity = self.clone();
        if matches!(self.of, Of::Interactions { .. }) {
            return Box::new(interactions::Interactions::new(similarity, schemas, context));
        }
        if matches!(self.of, Of::Blend(_)) {
            return same_rows(schemas);
        }
        Collect::boxed(schemas, move |rows, give| kernel::run(&similarity, rows)?.give(give))
    }

    fn sql(&self, inputs: &[&[Column]], problems: &mut Vec<Diagnostic>) -> String {
        query::whole(self, inputs, problems)
    }

    fn footprint(&self) -> Footprint {
        match &self.of {
            Of::Interactions { value: None, .. } => Footprint { holds_rows: false, per_row: 20 },
            Of::Interactions { .. } => Footprint { holds_rows: false, per_row: 44 },
            _ => Footprint { holds_rows: true, per_row: 32 },
        }
    }
}
