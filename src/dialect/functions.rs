//! Snowflake's functions: one file per family, each a list of [`Function`]s. The list is what the engine registers, what
//! `pipe sql --functions` prints and what the reference in the README is made from, so none of them can say otherwise.

use std::sync::Arc;

use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

/// A scalar function from its parts.
mod scalar;

/// IFF, NVL, DECODE and the like.
mod conditional;

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

/// One value per group.
mod aggregate;

/// Functions that only make sense with OVER.
mod window;

/// Distances of vectors.
mod vector;

/// Functions that give rows.
pub mod table;

#[cfg(test)]
mod testing;

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
        aggregate::functions(),
        window::functions(),
        vector::functions(),
        table::functions(),
    ]
    .concat()
}

/// The functions in the shape in which DataFusion takes them: once under each name.
pub(super) struct Registry {
    functions: Vec<Function>,
}

impl Registry {
    pub(super) fn new(functions: Vec<Function>) -> Self {
        Self { functions }
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
                Implementation::Rewritten | Implementation::None => {}
            }
        }
        builder
    }
}

#[cfg(test)]
mod documented;
