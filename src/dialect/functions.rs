//! Snowflake's functions: one file per family, each a list of [`Function`]s. The list is what the engine registers, what
//! `pipe sql --functions` prints and what the reference in the README is made from, so none of them can say otherwise.

use std::sync::Arc;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

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
