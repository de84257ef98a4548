//! `rank`: the best rows of each partition by a score that may blend several columns. It orders and chooses rows; it
//! makes no candidates.
//!
//! The order of application is fixed:
//!
//! 1. `filter`, then `exclude`: which rows are candidates;
//! 2. `bayes` and `normalize` of each score column, over the candidates of the partition or of all partitions;
//! 3. `combine`: the blend, times the freshness of `decay`;
//! 4. `dedupe`: the best row of each key;
//! 5. the list: by score, or greedily under `quotas`, `caps` and `diversity`;
//! 6. `backfill` from a fallback list;
//! 7. the number by `method`, and `top`.
//!
//! Rows come out by partition, then in the order of the list. Equal scores are ordered by `tie_break`, then by all
//! other scalar columns from left to right, ascending, NULLs last.

use datafusion::arrow::datatypes::SchemaRef;

use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::name::{Name, TableName};
use crate::text::Spanned;
use crate::yaml::Node;

use super::param::{ColumnName, Instant};
use super::{Collect, Context, Footprint, Form, Kernel, Origin, Parts};

/// Parameters from YAML.
mod read;

/// Output columns and what is wrong with the parameters.
mod check;

/// Scores: normalising, blending, decay.
mod score;

/// The list of one partition under rules and diversity.
mod slate;

/// How candidates are chosen for diversity.
mod diversity;

/// The list of one partition by score under rules.
mod walk;

/// Rows of partitions → the result.
mod kernel;

/// The same as one query.
mod query;

/// Short lists filled, as part of that query.
mod fill;

#[cfg(test)]
mod tests;

pub(super) use read::RECORD;

/// The parameters of a `rank` step.
#[derive(Clone, Debug)]
pub struct Rank {
    node: Node,
    input: Spanned<TableName>,
    partition_by: Vec<ColumnName>,
    top: Option<usize>,
    method: Method,
    components: Vec<Component>,
    combine: Combine,
    decay: Option<Decay>,
    filter: Option<Spanned<String>>,
    exclude: Vec<Exclude>,
    dedupe: Vec<ColumnName>,
    caps: Vec<Cap>,
    quotas: Vec<Quota>,
    diversity: Option<Diversity>,
    backfill: Option<Backfill>,
    tie_break: Vec<ColumnName>,
    explain: bool,
    drop_nan: bool,
    score_as: Name,
    number_as: Name,
}

/// How rows are numbered, as SQL's window functions do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// 1, 2, 3, …
    RowNumber,
    /// Equal scores share the least of their places.
    Rank,
    /// Equal scores share a place, and no place is skipped.
    DenseRank,
    /// Equal scores share the greatest of their places.
    Max,
    /// Equal scores share the mean of their places.
    Average,
    /// (rank − 1) ÷ (rows − 1), 0 for a single row.
    PercentRank,
    /// The share of rows at this score or better.
    CumeDist,
    /// The bucket of this many, as even as can be, the first ones larger.
    Ntile(usize),
}

/// One column of the blend.
#[derive(Clone, Debug)]
struct Component {
    column: ColumnName,
    weight: f64,
    normalize: Normalize,
    scope: Scope,
    missing: Option<f64>,
    bayes: Option<Bayes>,
}

/// Over which rows a column is normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Partition,
    Global,
}

/// How a column is brought to a common scale. A constant column gives 0 where the formula would divide by zero.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Normalize {
    /// As it is.
    None,
    /// (s − min) ÷ (max − min).
    MinMax,
    /// (s − mean) ÷ σ, σ of the population.
    ZScore,
    /// (s − median) ÷ (q75 − q25), quantiles interpolated linearly.
    Robust,
    /// s ÷ Σ|s|.
    L1,
    /// s ÷ √Σs².
    L2,
    /// exp(s ÷ T) ÷ Σ exp(s ÷ T).
    Softmax(f64),
    /// 1 − (rank − 1) ÷ n, the best first, equal values sharing the better rank.
    Rank,
    /// The share of values ≤ s.
    Quantile,
}

/// How components become one score; `x` is the normalised value and `w` the weight.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Combine {
    /// Σ w·x.
    Sum,
    /// Π x^w.
    Product,
    /// max w·x.
    Max,
    /// min w·x.
    Min,
    /// Σ w ÷ (k + rank), reciprocal rank fusion: Cormack, Clarke, Buettcher 2009. A missing value adds nothing.
    Rrf(f64),
    /// Σ w·(n − rank + 1) ÷ n, Borda count. A missing value adds nothing.
    Borda,
}

/// The Bayesian average (v·R + m·C) ÷ (v + m) of ratings R with v votes, the IMDb weighted rating: few votes pull
/// towards the mean C by m prior votes.
#[derive(Clone, Debug)]
struct Bayes {
    votes: ColumnName,
    prior_votes: f64,
    mean: Option<f64>,
}

/// How age lowers a score, as Elasticsearch's decay functions: `age` in the future of `origin` counts as 0, `offset` is
/// free, and at `scale` beyond it the factor is `decay`.
#[derive(Clone, Debug)]
struct Decay {
    column: ColumnName,
    shape: DecayShape,
    scale: Scale,
    decay: f64,
    offset: i64,
    origin: Instant,
}

impl Decay {
    /// The column with the scale, where it differs from row to row.
    fn days(&self) -> Option<&ColumnName> {
        match &self.scale {
            Scale::Days(name) => Some(name),
            Scale::Fixed(_) => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DecayShape {
    /// max(0, (S − age) ÷ S), S = scale ÷ (1 − decay).
    Linear,
    /// decay^(age ÷ scale).
    Exponential,
    /// exp(−age² ÷ 2σ²), σ² = −scale² ÷ (2 ln decay).
    Gauss,
}

/// The age at which a score has decayed.
#[derive(Clone, Debug)]
enum Scale {
    /// The same for all, in nanoseconds.
    Fixed(i64),
    /// A column, in days.
    Days(ColumnName),
}

/// Rows of another table whose keys are no candidates. NULL keys exclude nothing.
#[derive(Clone, Debug)]
struct Exclude {
    input: Spanned<TableName>,
    keys: Vec<(ColumnName, ColumnName)>,
    recent: Option<(ColumnName, i64, Instant)>,
}

/// At most so many rows of one key in a list, or in any `window` successive places. NULL keys are free.
#[derive(Clone, Debug)]
struct Cap {
    by: Vec<ColumnName>,
    max: usize,
    window: Option<usize>,
}

/// At least so many rows for which the condition holds, as far as there are any.
#[derive(Clone, Debug)]
struct Quota {
    condition: Spanned<String>,
    min: usize,
}

/// A list chosen for variety as well as relevance.
#[derive(Clone, Debug)]
struct Diversity {
    method: DiversityMethod,
    lambda: f64,
    pool: usize,
    attributes: Vec<ColumnName>,
    similarity: Option<SimilarityInput>,
    profile: Option<Profile>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DiversityMethod {
    /// Maximal marginal relevance: Carbonell & Goldstein 1998.
    Mmr,
    /// Greedy determinantal point process: Chen, Zhang, Zhou 2018.
    Dpp,
    /// Explicit aspects: Santos, Macdonald, Ounis 2010.
    Xquad,
    /// Shares as in the profile: Steck 2018.
    Calibrated,
}

/// A table of pairs of similar items.
#[derive(Clone, Debug)]
struct SimilarityInput {
    input: Spanned<TableName>,
    item: ColumnName,
    left: ColumnName,
    right: ColumnName,
    score: ColumnName,
}

/// How much of each attribute a partition should have.
#[derive(Clone, Debug)]
struct Profile {
    input: Spanned<TableName>,
    weight: ColumnName,
}

/// The list that fills what is left.
#[derive(Clone, Debug)]
struct Backfill {
    input: Spanned<TableName>,
    keys: Vec<ColumnName>,
    score: ColumnName,
    partitions: Option<Spanned<TableName>>,
}

/// Which of a rank's inputs is which, as indices.
#[derive(Clone, Copy, Debug, Default)]
struct Places {
    similarity: Option<usize>,
    profile: Option<usize>,
    backfill: Option<usize>,
    partitions: Option<usize>,
}

impl Rank {
    /// The place of each optional input; input 0 is the main one, those of `exclude` follow.
    fn places(&self) -> Places {
        let mut next = 1 + self.exclude.len();
        let mut place = |present: bool| {
            let at = present.then_some(next);
            next += usize::from(present);
            at
        };
        let diversity = self.diversity.as_ref();
        Places {
            similarity: place(diversity.is_some_and(|d| d.similarity.is_some())),
            profile: place(diversity.is_some_and(|d| d.profile.is_some())),
            backfill: place(self.backfill.is_some()),
            partitions: place(self.backfill.as_ref().is_some_and(|b| b.partitions.is_some())),
        }
    }

    /// Whether the list is made greedily rather than by score alone.
    fn is_greedy(&self) -> bool {
        !self.caps.is_empty() || !self.quotas.is_empty() || self.diversity.is_some()
    }
}

impl Form for Rank {
    fn inputs(&self) -> Vec<Spanned<TableName>> {
        let diversity = self.diversity.as_ref();
        let mut inputs = vec![self.input.clone()];
        inputs.extend(self.exclude.iter().map(|exclude| exclude.input.clone()));
        inputs.extend(diversity.and_then(|d| d.similarity.as_ref()).map(|s| s.input.clone()));
        inputs.extend(diversity.and_then(|d| d.profile.as_ref()).map(|p| p.input.clone()));
        inputs.extend(self.backfill.as_ref().map(|backfill| backfill.input.clone()));
        inputs.extend(self.backfill.as_ref().and_then(|backfill| backfill.partitions.clone()));
        inputs
    }

    fn output(&self, inputs: &[&[Column]], problems: &mut Vec<Diagnostic>) -> Vec<Column> {
        check::output(self, inputs, problems)
    }

    fn lineage(&self, inputs: &[&[Column]]) -> Vec<Vec<Origin>> {
        check::lineage(self, inputs)
    }

    fn query(&self, input: usize, inputs: &[&[Column]]) -> String {
        query::input(self, input, inputs)
    }

    fn expressions(&self, input: usize) -> Vec<&Spanned<String>> {
        if input > 0 {
            return Vec::new();
        }
        self.quotas.iter().map(|quota| &quota.condition).chain(&self.filter).collect()
    }

    fn reads_now(&self) -> bool {
        let decays = self.decay.as_ref().is_some_and(|decay| decay.origin == Instant::Now);
        let excludes = |exclude: &Exclude| matches!(exclude.recent, Some((_, _, Instant::Now)));
        decays || self.exclude.iter().any(excludes)
    }

    fn kernel(&self, schemas: Vec<SchemaRef>, context: Context) -> Box<dyn Kernel> {
        let rank = self.clone();
        Collect::narrow(schemas, move |rows, give| kernel::run(&rank, rows, context, give))
    }

    fn sql(&self, inputs: &[&[Column]], problems: &mut Vec<Diagnostic>) -> String {
        query::whole(self, inputs, problems)
    }

    fn parts(&self) -> Option<Parts> {
        let fused = matches!(self.combine, Combine::Rrf(_) | Combine::Borda);
        let global = !fused && self.components.iter().any(|component| component.scope == Scope::Global);
        let listed = self.backfill.as_ref().is_some_and(|backfill| backfill.partitions.is_some());
        let by = self.partition_by.iter().map(|name| name.value.clone()).collect();
        let decay = self.decay.as_ref().filter(|decay| decay.origin == Instant::Latest);
        let newest = decay.map(|decay| decay.column.value.clone());
        (!self.partition_by.is_empty() && !global && !listed).then_some(Parts { by, newest })
    }

    fn footprint(&self) -> Footprint {
        let columns = self.components.iter().map(|component| 1 + usize::from(component.bayes.is_some())).sum::<usize>();
        Footprint { holds_rows: true, per_row: 8 * (columns + usize::from(self.decay.is_some())) + 2 * 4 + 2 }
    }
}
