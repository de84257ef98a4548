//! One value per group. SUM, AVG, MIN and MAX are with the arithmetic of NUMBER; the rest of Snowflake's aggregates is
//! here, each a state per group (`frame`) that also serves OVER, DISTINCT and WITHIN GROUP.

use super::scalar::refused;
use super::{Fidelity, Function, Implementation};

/// Bits and truth values.
mod bits;

/// The value at an extreme of another: MIN_BY, MAX_BY; and MODE, ANY_VALUE.
mod by;

/// Texts, arrays and objects of all values of a group.
mod collect;

/// What every aggregate is made of.
mod frame;

/// Rows in their order for what collects them.
mod in_order;

/// Variances, correlations and regressions.
mod moments;

/// Columns of arguments as numbers and as sortable bytes.
mod numbers;

/// Values at a share of the sorted group, and the shape of its distribution.
mod percentile;

/// Distinct counts and frequent values.
mod sketch;

/// States of aggregates as values.
mod state;

pub(in crate::dialect) use in_order::InOrder;
pub(super) use numbers::{equal_rows, floats};

/// The functions of this family.
pub(super) fn functions() -> Vec<Function> {
    let rewritten = |name, aliases| Function {
        name,
        aliases,
        family: "aggregate",
        fidelity: Fidelity::Exact,
        implementation: Implementation::Rewritten,
    };
    let mut all = vec![
        rewritten("count", &[]),
        rewritten("grouping", &["grouping_id"]),
        refused("aggregate", &["hash_agg"], "its hash is Snowflake's own"),
        refused(
            "aggregate",
            &[
                "minhash",
                "minhash_combine",
                "approximate_similarity",
                "approximate_jaccard_index",
                "hll_export",
                "hll_import",
            ],
            "its state has a format of Snowflake's own",
        ),
    ];
    all.extend(collect::functions());
    all.extend(by::functions());
    all.extend(moments::functions());
    all.extend(percentile::functions());
    all.extend(bits::functions());
    all.extend(sketch::functions());
    all.extend(state::functions());
    all
}

#[cfg(test)]
mod tests;
