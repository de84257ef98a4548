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
//! A pair without a common user has no row. `max_items_per_user` leaves out users with more items. Interactions that do
//! not fit in the run's memory are sorted by user, on disk if need be, and gone through once for each block of items.
//!
//! `explain` gives the components of a score: of interactions the users of both items and of each; of vectors x·y, ‖x‖
//! and ‖y‖; of texts how many terms both have, and which adds how much at most; of tags tf, df and idf.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;

use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::dialect::types::{SqlType, VectorElement};
use crate::name::{Name, TableName};
use crate::text::Spanned;

use super::column::made;
use super::param::ColumnName;
use super::scope::{Scope, distinct, find};
use super::sql::list;
use super::{Collect, Context, Footprint, Form, Kernel, Origin, Scratch, same_rows};

/// Parameters from YAML.
mod read;

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

/// What each user has, in a file.
mod baskets;

/// Interactions that do not fit in memory.
mod blocks;

/// Rows in and out.
mod kernel;

/// The same as one query.
mod query;

#[cfg(test)]
mod tests;

pub(super) use matrix::Matrix;
pub(super) use metric::{Best, Neighbour};
pub(super) use read::RECORD;

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
    /// A vector each: a VECTOR, or an ARRAY of so many numbers.
    Vectors { column: ColumnName, dimensions: Option<usize> },
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

impl Similarity {
    fn similar_column(&self) -> Name {
        Name::quoted(format!("SIMILAR_{}", self.item.value.as_str()))
    }
}

impl Of {
    /// The word for it in YAML.
    fn word(&self) -> &'static str {
        match self {
            Self::Interactions { .. } => "interactions",
            Self::Vectors { .. } => "vectors",
            Self::Texts(_) => "texts",
            Self::Tags(_) => "tags",
            Self::Blend(_) => "blend",
        }
    }
}

/// The components of a score, of interactions: the users of both items, and of each.
const EXPLAINED_INTERACTIONS: [&str; 3] = ["COMMON_USERS", "USERS", "SIMILAR_USERS"];
/// Of vectors: x·y, ‖x‖ and ‖y‖.
const EXPLAINED_VECTORS: [&str; 3] = ["PRODUCT", "LENGTH", "SIMILAR_LENGTH"];
/// Of texts: how many terms both have, the one that adds most, and what it adds.
const EXPLAINED_TEXTS: [&str; 3] = ["COMMON_TERMS", "TERM", "TERM_SCORE"];
/// Of tags: how often the term is in the text, how many texts have it, and its idf.
const EXPLAINED_TAGS: [&str; 3] = ["OCCURRENCES", "TEXTS", "IDF"];

impl Of {
    /// The columns that `explain` adds.
    fn explained(&self) -> Vec<Column> {
        let all = |names: [&str; 3], types: [SqlType; 3]| {
            names.iter().zip(types).map(|(name, sql_type)| made(&Name::quoted(*name), sql_type)).collect()
        };
        match self {
            Self::Interactions { .. } => all(EXPLAINED_INTERACTIONS, [SqlType::INTEGER; 3]),
            Self::Vectors { .. } => all(EXPLAINED_VECTORS, [SqlType::Float; 3]),
            Self::Texts(_) => all(EXPLAINED_TEXTS, [SqlType::INTEGER, SqlType::TEXT, SqlType::Float]),
            Self::Tags(_) => all(EXPLAINED_TAGS, [SqlType::INTEGER, SqlType::INTEGER, SqlType::Float]),
            Self::Blend(parts) => blend::contributions(parts).map(|name| made(&name, SqlType::Float)).collect(),
        }
    }
}

/// Refuses a column that holds no vectors.
fn vectors(scope: Scope<'_>, column: &ColumnName, dimensions: Option<usize>, problems: &mut Vec<Diagnostic>) {
    let is_vector = |t| matches!(t, SqlType::Vector(VectorElement::Float | VectorElement::Int, _));
    let fits = |t| is_vector(t) || t == SqlType::Array;
    let Some(found) = scope.typed(column, "a VECTOR or an ARRAY", fits, problems) else { return };
    let wrong = match (found.sql_type, dimensions) {
        (SqlType::Array, None) => "is ARRAY: say with `dimensions` how many numbers each has".to_owned(),
        (SqlType::Vector(_, length), Some(written)) if usize::from(length) != written => {
            format!("is {}, and `dimensions` is {written}", found.sql_type)
        }
        _ => return,
    };
    let message = format!("`{}` {wrong}", column.value.shown());
    problems.push(Diagnostic::error("wrong-column-type", message).at(column.span.clone()));
}

/// A column of vectors as a VECTOR.
fn as_vector(column: &ColumnName, dimensions: Option<usize>, columns: &[Column]) -> String {
    let name = column.value.sql();
    let is_array = find(columns, &column.value).is_some_and(|found| found.sql_type == SqlType::Array);
    match dimensions.filter(|_| is_array) {
        Some(dimensions) => format!("{name}::vector(float, {dimensions})"),
        None => name,
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
            Of::Vectors { column, dimensions } => vectors(scope, column, *dimensions, problems),
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
        if self.explain {
            columns.extend(self.of.explained());
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
            Of::Vectors { column, .. } => figures.push(of(column)),
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
        let table = self.input.value.sql();
        let mut columns = vec![&self.item.value];
        match &self.of {
            Of::Blend(_) => {}
            Of::Interactions { user, value } => columns.extend(std::iter::once(user).chain(value).map(|c| &c.value)),
            Of::Vectors { column, dimensions } => {
                let vector = as_vector(column, *dimensions, inputs.first().copied().unwrap_or(&[]));
                return format!("select {}, {vector} as {}\nfrom {table}", self.item.value.sql(), column.value.sql());
            }
            Of::Texts(texts) | Of::Tags(texts) => columns.push(&texts.column.value),
        }
        columns.dedup();
        format!("select {}\nfrom {table}", list("", columns))
    }

    fn is_query(&self) -> bool {
        matches!(self.of, Of::Blend(_))
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

    fn sorted_by(&self) -> Option<Vec<Name>> {
        match &self.of {
            Of::Interactions { user, .. } => Some(vec![user.value.clone()]),
            _ => None,
        }
    }

    fn kernel_of_sorted(
        &self,
        schemas: Vec<SchemaRef>,
        context: Context,
        scratch: Arc<dyn Scratch>,
    ) -> Box<dyn Kernel> {
        match schemas.first() {
            Some(schema) => Box::new(blocks::Blocks::new(self.clone(), schema, context, scratch)),
            None => self.kernel(schemas, context),
        }
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
