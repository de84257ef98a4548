//! The check's figures held against a step's: the SQL that pairs them by key, and what its rows say.
//!
//! Both sides are grouped by the key, so that a key that occurs more often on one side shows as such and not as a wrong
//! figure; NULLs in a key are alike. A pair differs by a figure beyond the tolerance, or by how many rows it has.

use std::fmt::Write;

use super::cells::Cells;
use crate::dialect::Column;
use crate::dialect::types::SqlType;
use crate::job::check::{Reconcile, Tolerance};
use crate::name::Name;

/// Keys that are told, worst first.
pub const WORST: usize = 20;

/// How the two sides compare.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// Keys on either side.
    pub keys: u64,
    /// Keys that differ.
    pub off: u64,
    /// Those that only the check has.
    pub missing: u64,
    /// Those that only the step has.
    pub extra: u64,
    /// Those that the step has more often than the check.
    pub repeated: u64,
    /// For each pair of figures, how many keys of both sides differ in it: the check's column, the step's, the count.
    pub columns: Vec<(Name, Name, u64)>,
    /// The key's columns.
    pub key: Vec<Name>,
    /// The worst keys.
    pub worst: Vec<Pair>,
}

/// One key with the figures of both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The key's values.
    pub key: Vec<Option<String>>,
    /// Its rows in the check and in the step.
    pub rows: (u64, u64),
    /// The figures of the check and of the step.
    pub figures: Vec<(Option<String>, Option<String>)>,
}

/// A figure of both sides: whether it is compared as a number.
struct Figure<'a> {
    check: &'a Name,
    step: &'a Name,
    number: bool,
}

/// The SQL of one reconciliation.
pub struct Pairing<'a> {
    reconcile: &'a Reconcile,
    figures: Vec<Figure<'a>>,
}

impl<'a> Pairing<'a> {
    /// The pairing of a check whose columns are known with a step whose columns are.
    pub fn new(reconcile: &'a Reconcile, check: &[Column], step: &[Column]) -> Self {
        let is_number = |name: &Name, columns: &[Column]| {
            let column = columns.iter().find(|column| column.name == *name);
            column.is_some_and(|column| matches!(column.sql_type, SqlType::Number { .. } | SqlType::Float))
        };
        let figures = reconcile.columns.iter().map(|(here, there)| Figure {
            check: &here.value,
            step: &there.value,
            number: is_number(&here.value, check) && is_number(&there.value, step),
        });
        Self { reconcile, figures: figures.collect() }
    }

    /// All keys with both sides' figures and whether they differ. `filter` is the rendered condition on the step's rows.
    pub fn sql(&self, check: &Name, step: &Name, filter: Option<&str>) -> String {
        let keys: Vec<String> = (0..self.reconcile.key.len()).map(|at| format!("\"key {at}\"")).collect();
        let keys = keys.join(", ");
        let mut pairs = String::new();
        for (at, _) in self.figures.iter().enumerate() {
            let _ = write!(pairs, ", max(\"check {at}\") as \"check {at}\", max(\"step {at}\") as \"step {at}\"");
        }
        let mut off = String::new();
        let mut any = vec!["\"check rows\" <> \"step rows\"".to_owned()];
        let mut weight =
            vec!["abs(\"check rows\" - \"step rows\")::float / nullif(sum(\"check rows\") over (), 0)".to_owned()];
        for (at, figure) in self.figures.iter().enumerate() {
            let _ = write!(off, ", {} as \"off {at}\"", self.off(at, figure));
            any.push(self.off(at, figure));
            if figure.number {
                weight.push(format!(
                    "coalesce(abs(coalesce(\"check {at}\", 0) - coalesce(\"step {at}\", 0)) / nullif(sum(abs(\"check {at}\")) over (), 0), 0)"
                ));
            }
        }
        let filter = filter.map(|filter| format!(" where {filter}\n")).unwrap_or_default();
        format!(
            "with sides as (\n  {}\n  union all\n  {}\n),\npairs as (\n  select {keys}, sum(\"check rows\") as \"check rows\", sum(\"step rows\") as \"step rows\"{pairs}\n  from sides group by {keys}\n)\nselect *{off}, ({}) as \"off\", {} as \"weight\"\nfrom pairs",
            self.side(check, "", true),
            self.side(step, &filter, false),
            any.join(" or "),
            weight.join(" + "),
        )
    }

    fn side(&self, table: &Name, filter: &str, is_check: bool) -> String {
        let names: Vec<String> = self.reconcile.key.iter().map(|name| name.value.sql()).collect();
        let mut select: Vec<String> =
            names.iter().enumerate().map(|(at, name)| format!("{name} as \"key {at}\"")).collect();
        let rows = if is_check { ("count(*)", "0") } else { ("0", "count(*)") };
        select.push(format!("{} as \"check rows\", {} as \"step rows\"", rows.0, rows.1));
        for (at, figure) in self.figures.iter().enumerate() {
            let name = if is_check { figure.check } else { figure.step }.sql();
            let (value, none) = if figure.number {
                (format!("sum({name}::float)"), "null::float")
            } else {
                (format!("max(to_varchar({name}))"), "null::varchar")
            };
            let (check, step) = if is_check { (value.as_str(), none) } else { (none, value.as_str()) };
            select.push(format!("{check} as \"check {at}\", {step} as \"step {at}\""));
        }
        format!("select {} from {}{filter} group by {}", select.join(", "), table.sql(), names.join(", "))
    }

    fn off(&self, at: usize, figure: &Figure<'_>) -> String {
        let both = "\"check rows\" > 0 and \"step rows\" > 0";
        if !figure.number {
            return format!("({both} and \"check {at}\" is distinct from \"step {at}\")");
        }
        let allowed = match self.reconcile.tolerance {
            Tolerance::Absolute(by) => format!("{by:e}"),
            Tolerance::Percent(percent) => format!("{:e} * abs(\"check {at}\")", percent / 100.0),
        };
        let difference = format!("abs(\"check {at}\" - \"step {at}\") > {allowed} + 1e-9 * abs(\"check {at}\")");
        format!("({both} and coalesce({difference}, \"check {at}\" is distinct from \"step {at}\"))")
    }

    /// One row that counts what differs.
    pub fn summary(&self, differences: &Name) -> String {
        let mut select = vec![
            "count(*) as \"keys\"".to_owned(),
            "count_if(\"off\") as \"off\"".to_owned(),
            "count_if(\"step rows\" = 0) as \"missing\"".to_owned(),
            "count_if(\"check rows\" = 0) as \"extra\"".to_owned(),
            "count_if(\"check rows\" > 0 and \"step rows\" > \"check rows\") as \"repeated\"".to_owned(),
        ];
        select.extend((0..self.figures.len()).map(|at| format!("count_if(\"off {at}\") as \"off {at}\"")));
        format!("select {} from {}", select.join(", "), differences.sql())
    }

    /// The keys that differ, worst first.
    pub fn worst(&self, differences: &Name) -> String {
        let keys: Vec<String> = (0..self.reconcile.key.len()).map(|at| format!("\"key {at}\"")).collect();
        let mut select: Vec<String> = keys.iter().map(|key| format!("to_varchar({key}) as {key}")).collect();
        select.push("\"check rows\", \"step rows\"".to_owned());
        for (at, figure) in self.figures.iter().enumerate() {
            let shown = |side: &str| {
                if figure.number { format!("round(\"{side} {at}\", 6)") } else { format!("\"{side} {at}\"") }
            };
            select.push(format!("{} as \"check {at}\", {} as \"step {at}\"", shown("check"), shown("step")));
        }
        format!(
            "select {} from {} as d where \"off\" order by \"weight\" desc nulls last, {} limit {WORST}",
            select.join(", "),
            differences.sql(),
            keys.iter().map(|key| format!("d.{key}")).collect::<Vec<_>>().join(", ")
        )
    }

    /// What the rows of the summary and of the worst keys say.
    pub fn read(&self, summary: &Cells, worst: &Cells) -> Difference {
        let columns =
            self.figures.iter().enumerate().map(|(at, figure)| {
                (figure.check.clone(), figure.step.clone(), summary.count(&format!("off {at}"), 0))
            });
        let pair = |row: usize| Pair {
            key: (0..self.reconcile.key.len()).map(|at| worst.text(&format!("key {at}"), row)).collect(),
            rows: (worst.count("check rows", row), worst.count("step rows", row)),
            figures: (0..self.figures.len())
                .map(|at| (worst.text(&format!("check {at}"), row), worst.text(&format!("step {at}"), row)))
                .collect(),
        };
        Difference {
            keys: summary.count("keys", 0),
            off: summary.count("off", 0),
            missing: summary.count("missing", 0),
            extra: summary.count("extra", 0),
            repeated: summary.count("repeated", 0),
            columns: columns.collect(),
            key: self.reconcile.key.iter().map(|name| name.value.clone()).collect(),
            worst: (0..worst.rows()).map(pair).collect(),
        }
    }
}

impl Difference {
    /// Whether both sides say the same.
    pub fn agrees(&self) -> bool {
        self.off == 0
    }

    /// What differs, as clauses.
    pub fn clauses(&self) -> Vec<String> {
        let mut clauses = Vec::new();
        let repeated_less = self.off.min(self.repeated);
        for (count, what) in [
            (self.missing, "missing in the step"),
            (self.extra, "only in the step"),
            (repeated_less, "more often in the step"),
        ] {
            if count > 0 {
                clauses.push(format!("{count} {what}"));
            }
        }
        for (_, step, count) in self.columns.iter().filter(|(_, _, count)| *count > 0) {
            clauses.push(format!("{count} with another `{}`", step.lower()));
        }
        clauses
    }
}
