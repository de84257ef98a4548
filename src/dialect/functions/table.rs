//! Functions that give rows: FLATTEN, SPLIT_TO_TABLE, STRTOK_SPLIT_TO_TABLE and GENERATOR. A call is bound by
//! `Call::bind` from its name and arguments and laid over a plan by `Call::over`, which gives each of the plan's
//! rows as often as the function gives rows for it, with the function's columns after its own.
//!
//! ```text
//! FROM t, LATERAL FLATTEN(input => t.v) f      Call::bind("flatten", [(Some("INPUT"), t.v)])?.over(scan of t, "F", None, false)
//! FROM TABLE(GENERATOR(ROWCOUNT => 3))         the same over one empty row
//! LEFT JOIN LATERAL FLATTEN(...) f             the same with `keep_unmatched`
//! ```
//!
//! The arguments may be any expressions over the plan's columns, those of an earlier FLATTEN too, so chains are calls
//! over calls. Columns that nothing above reads are not made.

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, TableReference, plan_err};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::scalar::ScalarValue;

use super::{Fidelity, Function, Implementation};
use crate::dialect::types;

/// Rows of VARIANT elements.
mod flatten;

/// Rows of the parts of a text.
mod split;

/// The call over a plan, before and in optimisation.
mod node;

/// The call over record batches.
mod exec;

pub use exec::physical;
use flatten::Flatten;

/// The functions of this family.
pub(super) fn functions() -> Vec<Function> {
    let rewritten = |name| Function {
        name,
        aliases: &[],
        family: "table",
        fidelity: Fidelity::Exact,
        implementation: Implementation::Rewritten,
    };
    ["flatten", "split_to_table", "strtok_split_to_table", "generator"].map(rewritten).to_vec()
}

/// A function that gives rows, with its constant arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd)]
enum TableFunction {
    Flatten(Flatten),
    Split,
    SplitTokens,
    Generator { rows: u64 },
}

impl TableFunction {
    /// The columns it gives.
    fn columns(&self) -> Vec<Field> {
        let column = |name: &str, data_type| Field::new(name, data_type, true);
        match self {
            Self::Flatten(_) => vec![
                Field::new("SEQ", DataType::Int64, false),
                column("KEY", DataType::Utf8),
                column("PATH", DataType::Utf8),
                column("INDEX", DataType::Int64),
                column("VALUE", types::variant()),
                column("THIS", types::variant()),
            ],
            Self::Split | Self::SplitTokens => vec![
                Field::new("SEQ", DataType::Int64, false),
                column("INDEX", DataType::Int64),
                column("VALUE", DataType::Utf8),
            ],
            Self::Generator { .. } => Vec::new(),
        }
    }
}

/// A table function and its arguments that vary by row.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub struct Call {
    function: TableFunction,
    arguments: Vec<Expr>,
}

impl Call {
    /// Whether a function of this name gives rows.
    pub fn is_table_function(name: &str) -> bool {
        let names = ["flatten", "split_to_table", "strtok_split_to_table", "generator"];
        names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Binds a call from its arguments in order, each with its name where it was written `name => value`.
    pub fn bind(name: &str, arguments: Vec<(Option<String>, Expr)>) -> Result<Self> {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "flatten" => Self::bind_flatten(Arguments::new(
                "FLATTEN",
                &["INPUT", "PATH", "OUTER", "RECURSIVE", "MODE"],
                arguments,
            )?),
            "split_to_table" => {
                let mut given = Arguments::new("SPLIT_TO_TABLE", &["STRING", "DELIMITER"], arguments)?;
                let arguments = vec![given.required("STRING")?, given.required("DELIMITER")?];
                Ok(Self { function: TableFunction::Split, arguments })
            }
            "strtok_split_to_table" => {
                let mut given = Arguments::new("STRTOK_SPLIT_TO_TABLE", &["STRING", "DELIMITER_LIST"], arguments)?;
                let text = given.required("STRING")?;
                let space = || Expr::Literal(ScalarValue::Utf8(Some(" ".into())), None);
                let delimiters = given.take("DELIMITER_LIST").unwrap_or_else(space);
                Ok(Self { function: TableFunction::SplitTokens, arguments: vec![text, delimiters] })
            }
            "generator" => {
                let mut given = Arguments::new("GENERATOR", &["ROWCOUNT", "TIMELIMIT"], arguments)?;
                let Some(rows) = given.constant("ROWCOUNT")? else {
                    return plan_err!(
                        "`GENERATOR` needs `ROWCOUNT`: a number of rows that a time limit sets is refused"
                    );
                };
                let whole = match rows {
                    ScalarValue::Int64(Some(rows)) => u64::try_from(rows).ok(),
                    _ => None,
                };
                let Some(rows) = whole else {
                    return plan_err!("`ROWCOUNT` of `GENERATOR` must be a constant whole number, 0 or more");
                };
                Ok(Self { function: TableFunction::Generator { rows }, arguments: Vec::new() })
            }
            _ => plan_err!("`{name}` is not a table function"),
        }
    }

    fn bind_flatten(mut given: Arguments) -> Result<Self> {
        let input = given.required("INPUT")?;
        let flatten = Flatten::new(
            given.text("PATH")?.as_deref().unwrap_or(""),
            given.flag("OUTER")?,
            given.flag("RECURSIVE")?,
            given.text("MODE")?.as_deref().unwrap_or("BOTH"),
        )?;
        Ok(Self { function: TableFunction::Flatten(flatten), arguments: vec![input] })
    }

    /// The call over each row of `input`; its columns are qualified by `alias` and take the names `columns` where given.
    /// With `keep_unmatched` a row for which the function gives none is kept, with NULLs, as a LEFT JOIN keeps it.
    pub fn over(
        mut self,
        input: LogicalPlan,
        alias: impl Into<TableReference>,
        columns: Option<&[String]>,
        keep_unmatched: bool,
    ) -> Result<LogicalPlan> {
        if keep_unmatched && let TableFunction::Flatten(flatten) = &mut self.function {
            flatten.keep_unmatched();
        } else if keep_unmatched {
            return plan_err!("a LEFT JOIN of a table function other than `FLATTEN` is refused");
        }
        node::plan(self, input, alias.into(), columns)
    }
}

/// The arguments of one call, by name.
struct Arguments {
    function: &'static str,
    given: Vec<(&'static str, Expr)>,
}

impl Arguments {
    fn new(
        function: &'static str,
        names: &'static [&'static str],
        arguments: Vec<(Option<String>, Expr)>,
    ) -> Result<Self> {
        let mut given: Vec<(&'static str, Expr)> = Vec::new();
        for (position, (name, value)) in arguments.into_iter().enumerate() {
            let known = match &name {
                Some(name) => names.iter().find(|known| known.eq_ignore_ascii_case(name)),
                None => names.get(position),
            };
            let Some(known) = known else {
                let what =
                    name.map_or_else(|| format!("{} arguments", position + 1), |name| format!("an argument `{name}`"));
                return plan_err!("`{function}` does not take {what}: it takes {}", names.join(", "));
            };
            if given.iter().any(|(other, _)| other == known) {
                return plan_err!("`{function}` is given `{known}` twice");
            }
            given.push((known, value));
        }
        Ok(Self { function, given })
    }

    fn take(&mut self, name: &str) -> Option<Expr> {
        let at = self.given.iter().position(|(given, _)| *given == name)?;
        Some(self.given.remove(at).1)
    }

    fn required(&mut self, name: &str) -> Result<Expr> {
        match self.take(name) {
            Some(value) => Ok(value),
            None => plan_err!("`{}` needs its argument `{name}`", self.function),
        }
    }

    fn constant(&mut self, name: &str) -> Result<Option<ScalarValue>> {
        match self.take(name) {
            None => Ok(None),
            Some(Expr::Literal(value, _)) => Ok(Some(value)),
            Some(_) => plan_err!("`{name}` of `{}` must be a constant", self.function),
        }
    }

    fn text(&mut self, name: &str) -> Result<Option<String>> {
        match self.constant(name)? {
            None => Ok(None),
            Some(value) => match value.try_as_str() {
                Some(text) => Ok(text.map(str::to_string)),
                None => plan_err!("`{name}` of `{}` must be a text", self.function),
            },
        }
    }

    fn flag(&mut self, name: &str) -> Result<bool> {
        match self.constant(name)? {
            None => Ok(false),
            Some(ScalarValue::Boolean(value)) => Ok(value.unwrap_or(false)),
            Some(_) => plan_err!("`{name}` of `{}` must be TRUE or FALSE", self.function),
        }
    }
}

/// Rows that a function gave for some rows of its input.
struct Rows {
    /// The input row of each.
    parents: Vec<u32>,
    /// The function's columns, without those that nobody wants.
    columns: Vec<Option<datafusion::arrow::array::ArrayRef>>,
}

impl TableFunction {
    /// The rows for the input rows from `from` on, until there are about `limit`; and the input row to go on with.
    fn expand(
        &self,
        arguments: &[datafusion::arrow::array::ArrayRef],
        rows: std::ops::Range<usize>,
        first_sequence: i64,
        limit: usize,
        wanted: &[bool],
    ) -> Result<(Rows, usize)> {
        match self {
            Self::Flatten(flatten) => flatten.expand(&arguments[0], rows, first_sequence, limit, wanted),
            Self::Split | Self::SplitTokens => {
                let tokens = matches!(self, Self::SplitTokens);
                split::expand(&arguments[0], &arguments[1], tokens, rows, first_sequence, limit, wanted)
            }
            // Its rows are given by count, see `Pieces::generated`.
            Self::Generator { .. } => Ok((Rows { parents: Vec::new(), columns: Vec::new() }, rows.end)),
        }
    }
}

#[cfg(test)]
mod tests;
