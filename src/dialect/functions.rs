//! Snowflake's functions: one file per family, each a list of `Function`s. The list is what the engine registers, what
//! `pipe sql --functions` prints and what the reference in the README is made from, so none of them can say otherwise.

use std::sync::{Arc, LazyLock};

use datafusion::common::config::ConfigOptions;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF};
use hashbrown::{HashMap, HashSet};

/// A scalar function from its parts.
mod scalar;

/// Operators by type.
pub(super) mod operator;

/// IFF, NVL, DECODE and the like.
pub(super) mod conditional;

/// TO_ and TRY_TO_ functions.
mod conversion;

/// Arithmetic, rounding and bits.
mod numeric;

/// Text.
mod string;

/// Regular expressions.
mod regexp;

/// Bytes and their encodings.
mod binary;

/// Digests.
mod hash;

/// Dates, times and their parts.
mod date_time;

/// What the session is: the clock, the user, the names in use.
mod context;

/// VARIANT, OBJECT and ARRAY.
mod semi_structured;

/// Functions that take a lambda.
mod higher_order;

/// SUM and AVG.
mod total;

/// One value per group.
mod aggregate;

/// Functions that only make sense with OVER.
mod window;

/// Distances of vectors.
mod vector;

/// Random values.
mod generation;

/// The way that CONNECT BY took to a row.
pub(super) mod way;

/// Functions that give rows.
pub mod table;

#[cfg(test)]
mod testing;

pub(super) use aggregate::InOrder;
pub(super) use generation::seeded;

/// How faithful a function is to Snowflake's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fidelity {
    /// The same rows.
    Exact,
    /// Close, and how it differs.
    Approximate(&'static str),
    /// Not here, and why; a call is an error that says so.
    Refused(&'static str),
}

/// What carries a function out.
#[derive(Clone)]
pub enum Implementation {
    /// One value per row.
    Scalar(Arc<ScalarUDF>),
    /// One value per group; also usable with OVER.
    Aggregate(Arc<AggregateUDF>),
    /// Only with OVER.
    Window(Arc<WindowUDF>),
    /// One value per row, of arrays and a lambda.
    HigherOrder(Arc<HigherOrderUDF>),
    /// The dialect turns it into something else before planning.
    Rewritten,
    /// Nothing: the function is refused.
    None,
}

/// One function of Snowflake's reference.
#[derive(Clone)]
pub struct Function {
    /// Its name in lower case, as DataFusion looks it up.
    pub name: &'static str,
    /// Other names of the same function, in lower case.
    pub aliases: &'static [&'static str],
    /// The family it is listed under, such as `string`.
    pub family: &'static str,
    /// How faithful it is.
    pub fidelity: Fidelity,
    /// What carries it out.
    pub implementation: Implementation,
}

/// Every function that the engine knows.
pub fn all() -> Vec<Function> {
    [
        conditional::functions(),
        conversion::functions(),
        numeric::functions(),
        string::functions(),
        regexp::functions(),
        binary::functions(),
        hash::functions(),
        date_time::functions(),
        context::functions(),
        semi_structured::functions(),
        higher_order::functions(),
        total::functions(),
        aggregate::functions(),
        window::functions(),
        vector::functions(),
        generation::functions(),
        table::functions(),
    ]
    .concat()
}

/// Whether a function of this name gives one value per group.
pub(super) fn is_aggregate(name: &str) -> bool {
    static NAMES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
        let aggregates = all().into_iter().filter(|f| matches!(f.implementation, Implementation::Aggregate(_)));
        aggregates.flat_map(|f| f.aliases.iter().copied().chain([f.name])).collect()
    });
    NAMES.contains(name)
        || matches!(name, "count" | "sum" | "avg" | "min" | "max" | "array_agg" | "listagg" | "any_value")
        || name.starts_with("approx_") && (name.ends_with("_accumulate") || name.ends_with("_combine"))
}

/// The aggregate of this name, in lower case.
pub(super) fn aggregate_named(name: &str) -> Option<Arc<AggregateUDF>> {
    static ALL: LazyLock<HashMap<&'static str, Arc<AggregateUDF>>> = LazyLock::new(|| {
        let aggregates = all().into_iter().filter_map(|function| match function.implementation {
            Implementation::Aggregate(udf) => Some((function.name, udf)),
            _ => None,
        });
        aggregates.collect()
    });
    ALL.get(name).cloned()
}

/// The functions by name, and in the shape in which DataFusion takes them.
pub(super) struct Registry {
    functions: Vec<Function>,
    by_name: HashMap<&'static str, Vec<usize>>,
}

impl Registry {
    /// The functions as they are in a session with these options.
    pub(super) fn new(mut functions: Vec<Function>, options: &ConfigOptions) -> Self {
        for function in &mut functions {
            if let Implementation::Scalar(udf) = &mut function.implementation
                && let Some(adapted) = udf.inner().with_updated_config(options)
            {
                *udf = Arc::new(adapted);
            }
        }
        let mut by_name: HashMap<&'static str, Vec<usize>> = HashMap::new();
        for (index, function) in functions.iter().enumerate() {
            for name in function.aliases.iter().copied().chain([function.name]) {
                by_name.entry(name).or_default().push(index);
            }
        }
        Self { functions, by_name }
    }

    /// The functions of this name, in lower case: several where it is an aggregate and a window function.
    pub(super) fn find(&self, name: &str) -> impl Iterator<Item = &Function> {
        let indices = self.by_name.get(name).map_or(&[][..], Vec::as_slice);
        indices.iter().filter_map(|index| self.functions.get(*index))
    }

    /// Every name that can be called.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        let callable = self.functions.iter().filter(|f| !matches!(f.implementation, Implementation::None));
        callable.flat_map(|f| f.aliases.iter().copied().chain([f.name]))
    }

    /// Adds them to a session; a name that DataFusion has too is replaced.
    pub(super) fn register(&self, mut builder: SessionStateBuilder) -> SessionStateBuilder {
        for function in &self.functions {
            let aliases = function.aliases.iter().copied();
            match &function.implementation {
                Implementation::Scalar(udf) => {
                    let own = |name: &&str| udf.name() == *name || udf.aliases().iter().any(|alias| alias == name);
                    let missing: Vec<_> = aliases.chain([function.name]).filter(|name| !own(name)).collect();
                    // DataFusion's wrapper for aliases would hide that a function adapts to the session.
                    let udf = match missing.as_slice() {
                        [] => Arc::clone(udf),
                        _ => Arc::new(udf.as_ref().clone().with_aliases(missing)),
                    };
                    builder.scalar_functions().get_or_insert_default().push(udf);
                }
                Implementation::Aggregate(udf) => {
                    let udf = Arc::new(udf.as_ref().clone().with_aliases(aliases.chain([function.name])));
                    builder.aggregate_functions().get_or_insert_default().push(udf);
                }
                Implementation::Window(udf) => {
                    let udf = Arc::new(udf.as_ref().clone().with_aliases(aliases.chain([function.name])));
                    builder.window_functions().get_or_insert_default().push(udf);
                }
                Implementation::HigherOrder(_) | Implementation::Rewritten | Implementation::None => {}
            }
        }
        builder
    }
}

#[cfg(test)]
mod documented;
