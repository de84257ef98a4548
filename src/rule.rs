//! Tests: rules on a step's result, asked as one SQL query each and judged by severity and thresholds. It runs nothing.
//!
//! What a NULL means, rule by rule: `not_null` fails on it. `unique` leaves out rows with a NULL in the key, as SQL's
//! UNIQUE does. `accepted_values`, `range`, `relationships` and `expression` let it pass, as SQL's CHECK and FOREIGN KEY do.

use std::fmt;

use crate::diagnostic::Diagnostic;
use crate::name::{Name, TableName};
use crate::text::derived::Derived;
use crate::text::{Span, Spanned, counted};

/// Tests as SQL.
mod query;

/// Tests as an author writes them.
pub mod read;

/// How bad a failing test is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The run goes on and says so.
    Warn,
    /// The step fails and nothing is published.
    #[default]
    Error,
}

/// How many failing rows are too many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// The bound, as a count or as percent of the rows tested.
    pub bound: Bound,
    /// Whether the bound itself is too many already (`>=`).
    pub inclusive: bool,
}

/// A count of rows or a share of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// So many rows.
    Count(u64),
    /// So many rows of a hundred.
    Percent(f64),
}

impl Threshold {
    /// Any failing row is too many.
    pub const ANY: Self = Self { bound: Bound::Count(0), inclusive: false };

    /// Whether so many of the rows tested are too many.
    pub fn exceeded(self, failed: u64, tested: u64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^52")]
        let (failed, bound) = match self.bound {
            Bound::Count(bound) => (failed as f64, bound as f64),
            Bound::Percent(_) if tested == 0 => return failed > 0,
            Bound::Percent(percent) => (failed as f64 * 100.0, percent * tested as f64),
        };
        if self.inclusive { failed > 0.0 && failed >= bound } else { failed > bound }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.inclusive { ">= " } else { "> " })?;
        match self.bound {
            Bound::Count(count) => write!(f, "{count}"),
            Bound::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// A rule on the result of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// The name that messages and run results show: the author's, or such as `unique(affinity, program_id)`.
    pub name: String,
    /// Why the rule holds, in the author's words.
    pub description: Option<String>,
    /// What must hold.
    pub rule: Rule,
    /// Only rows where this SQL condition is true are tested.
    pub filter: Option<Derived>,
    /// What failing means where no threshold says more.
    pub severity: Severity,
    /// Failing rows from which on it is a warning; by default any.
    pub warn_if: Option<Threshold>,
    /// Failing rows from which on it is an error; by default any.
    pub error_if: Option<Threshold>,
    /// Where it is written.
    pub span: Span,
}

/// What must hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// No NULL in any of these columns.
    NotNull(Vec<Spanned<Name>>),
    /// No two rows with the same values in these columns. Each row beyond the first of its key fails.
    Unique(Vec<Spanned<Name>>),
    /// Only these values, as SQL literals.
    AcceptedValues {
        /// The column.
        column: Spanned<Name>,
        /// SQL literals.
        values: Vec<String>,
    },
    /// Each key is in another table.
    Relationships {
        /// The columns of the key here.
        columns: Vec<Spanned<Name>>,
        /// The other table: a step of the job, a published table or a source.
        to: Spanned<TableName>,
        /// The columns there, as many.
        to_columns: Vec<Spanned<Name>>,
    },
    /// Values within bounds, the bounds included; SQL literals.
    Range {
        /// The column.
        column: Spanned<Name>,
        /// The least value.
        min: Option<String>,
        /// The greatest value.
        max: Option<String>,
    },
    /// As many rows.
    Rows {
        /// The least number.
        min: Option<u64>,
        /// The greatest number.
        max: Option<u64>,
    },
    /// An SQL condition that no row makes false.
    Expression(Derived),
    /// A query of its own that returns the failing rows.
    Sql(Derived),
}

impl Rule {
    /// The word that names it in a job file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotNull(_) => "not_null",
            Self::Unique(_) => "unique",
            Self::AcceptedValues { .. } => "accepted_values",
            Self::Relationships { .. } => "relationships",
            Self::Range { .. } => "range",
            Self::Rows { .. } => "rows",
            Self::Expression(_) => "expression",
            Self::Sql(_) => "sql",
        }
    }

    /// The columns of the tested table that it names.
    pub fn columns(&self) -> &[Spanned<Name>] {
        match self {
            Self::NotNull(columns) | Self::Unique(columns) | Self::Relationships { columns, .. } => columns,
            Self::AcceptedValues { column, .. } | Self::Range { column, .. } => std::slice::from_ref(column),
            Self::Rows { .. } | Self::Expression(_) | Self::Sql(_) => &[],
        }
    }
}

/// What a test came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The rule holds, or as nearly as the thresholds ask.
    Pass,
    /// Worth a look; the run goes on.
    Warn,
    /// The step fails.
    Fail,
}

/// A judged test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What it came to.
    pub outcome: Outcome,
    /// Rows that break the rule; for `rows`, how many are missing or too many.
    pub failed: u64,
    /// Rows that were tested.
    pub tested: u64,
    /// What was found, as a clause: `3 of 120 rows repeat a key`.
    pub message: String,
}

impl Test {
    /// The same with its SQL texts rendered.
    pub fn rendered(
        &self,
        mut render: impl FnMut(&Derived) -> Result<Derived, Vec<Diagnostic>>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut test = self.clone();
        let mut problems = Vec::new();
        let texts = match &mut test.rule {
            Rule::Expression(text) | Rule::Sql(text) => Some(text),
            _ => None,
        };
        for text in texts.into_iter().chain(&mut test.filter) {
            match render(text) {
                Ok(rendered) => *text = rendered,
                Err(more) => problems.extend(more),
            }
        }
        if problems.is_empty() { Ok(test) } else { Err(problems) }
    }

    /// The verdict on what the query returned: `failed` and `tested`.
    pub fn verdict(&self, failed: u64, tested: u64) -> Verdict {
        let too_many = |threshold: Option<Threshold>| threshold.unwrap_or(Threshold::ANY).exceeded(failed, tested);
        let outcome = if self.severity == Severity::Error && too_many(self.error_if) {
            Outcome::Fail
        } else if too_many(self.warn_if) {
            Outcome::Warn
        } else {
            Outcome::Pass
        };
        Verdict { outcome, failed, tested, message: self.finding(failed, tested) }
    }

    fn finding(&self, failed: u64, tested: u64) -> String {
        let found = match &self.rule {
            Rule::Rows { min: Some(min), .. } if tested < *min => {
                return format!("{}, and at least {min} expected", counted(tested, "row"));
            }
            Rule::Rows { max: Some(max), .. } if tested > *max => {
                return format!("{}, and at most {max} expected", counted(tested, "row"));
            }
            Rule::Rows { .. } => return counted(tested, "row"),
            Rule::Sql(_) => {
                return format!("{} returned by the test's query, and none is expected", counted(failed, "row"));
            }
            Rule::NotNull(_) => ("has a NULL", "have a NULL"),
            Rule::Unique(_) => ("repeats a key", "repeat a key"),
            Rule::AcceptedValues { .. } => ("has a value that is not accepted", "have a value that is not accepted"),
            Rule::Relationships { to, .. } => {
                let have = if failed == 1 { "has" } else { "have" };
                return format!(
                    "{failed} of {} {have} a key that `{}` lacks",
                    counted(tested, "row"),
                    to.value.lower()
                );
            }
            Rule::Range { .. } => ("is out of range", "are out of range"),
            Rule::Expression(_) => ("breaks the condition", "break the condition"),
        };
        let found = if failed == 1 { found.0 } else { found.1 };
        format!("{failed} of {} {found}", counted(tested, "row"))
    }
}

#[cfg(test)]
mod tests;
