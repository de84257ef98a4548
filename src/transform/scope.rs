//! The columns of an input, and what is wrong with the author's use of them.

use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::dialect::types::SqlType;
use crate::name::{Name, TableName, nearest};
use crate::text::Spanned;

use super::param::ColumnName;

/// One input's columns, as the parameters are checked against them.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    table: &'a Spanned<TableName>,
    columns: &'a [Column],
}

impl<'a> Scope<'a> {
    /// The columns of a table.
    pub(super) fn new(table: &'a Spanned<TableName>, columns: &'a [Column]) -> Self {
        Self { table, columns }
    }

    /// A column, or the nearest name to what the author wrote.
    pub(super) fn column(self, name: &ColumnName, problems: &mut Vec<Diagnostic>) -> Option<&'a Column> {
        let found = find(self.columns, &name.value);
        if found.is_none() {
            let message = format!("`{}` has no column `{}`", self.table.value.lower(), name.value.lower());
            let names: Vec<String> = self.columns.iter().map(|column| column.name.shown()).collect();
            let diagnostic = Diagnostic::error("unknown-column", message).at(name.span.clone());
            problems.push(diagnostic.did_you_mean(nearest(&name.value.shown(), &names)));
        }
        found
    }

    /// A column that holds numbers.
    pub(super) fn number(self, name: &ColumnName, problems: &mut Vec<Diagnostic>) -> Option<&'a Column> {
        let is_number = |t| matches!(t, SqlType::Number { .. } | SqlType::Float | SqlType::Null);
        self.typed(name, "a number", is_number, problems)
    }

    /// A column that holds dates or timestamps.
    pub(super) fn time(self, name: &ColumnName, problems: &mut Vec<Diagnostic>) -> Option<&'a Column> {
        let is_time =
            |t| matches!(t, SqlType::Date | SqlType::TimestampNtz | SqlType::TimestampLtz | SqlType::TimestampTz);
        self.typed(name, "a date or timestamp", is_time, problems)
    }

    /// A column that holds text.
    pub(super) fn text(self, name: &ColumnName, problems: &mut Vec<Diagnostic>) -> Option<&'a Column> {
        self.typed(name, "text", |t| matches!(t, SqlType::Varchar(_)), problems)
    }

    /// A column whose values can be told apart and ordered: any scalar.
    pub(super) fn key(self, name: &ColumnName, problems: &mut Vec<Diagnostic>) -> Option<&'a Column> {
        let column = self.typed(name, "an id: a scalar", is_scalar, problems)?;
        if column.sql_type == SqlType::TimestampTz {
            let message =
                format!("`{}` is TIMESTAMP_TZ, and one instant has an id for each offset", name.value.shown());
            let diagnostic = Diagnostic::error("wrong-column-type", message).at(name.span.clone());
            problems.push(diagnostic.hint("cast it to TIMESTAMP_LTZ or TIMESTAMP_NTZ in a step before"));
            return None;
        }
        Some(column)
    }

    /// Several ids.
    pub(super) fn keys(self, names: &[ColumnName], problems: &mut Vec<Diagnostic>) -> Vec<Column> {
        names.iter().filter_map(|name| self.key(name, problems).cloned()).collect()
    }

    /// A column of a type that passes a check.
    pub(super) fn typed(
        self,
        name: &ColumnName,
        noun: &str,
        fits: impl Fn(SqlType) -> bool,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<&'a Column> {
        let column = self.column(name, problems)?;
        if !fits(column.sql_type) {
            let message = format!("`{}` is {}, and must be {noun}", name.value.shown(), column.sql_type);
            problems.push(Diagnostic::error("wrong-column-type", message).at(name.span.clone()));
            return None;
        }
        Some(column)
    }
}

/// Refuses a pair of columns whose values are never equal because of their types.
pub(super) fn comparable(a: &Column, b: &Column, at: &ColumnName, problems: &mut Vec<Diagnostic>) {
    let family = |t: SqlType| match t {
        SqlType::Number { .. } | SqlType::Float => 0,
        SqlType::Varchar(_) => 1,
        SqlType::Date | SqlType::TimestampNtz => 2,
        SqlType::Null => 3,
        SqlType::Binary => 4,
        SqlType::Boolean => 5,
        _ => 6,
    };
    let (left, right) = (family(a.sql_type), family(b.sql_type));
    if left != right && left != 3 && right != 3 {
        let (x, y) = (a.name.shown(), b.name.shown());
        let message = format!("`{x}` is {} and `{y}` is {}: their values cannot be equal", a.sql_type, b.sql_type);
        problems.push(Diagnostic::error("wrong-column-type", message).at(at.span.clone()));
    }
}

/// Whether values of a type can be told apart and ordered.
pub(super) fn is_scalar(sql_type: SqlType) -> bool {
    !sql_type.is_semi_structured() && !matches!(sql_type, SqlType::Vector(..))
}

/// A column by name.
pub(super) fn find<'a>(columns: &'a [Column], name: &Name) -> Option<&'a Column> {
    columns.iter().find(|column| column.name == *name)
}

/// Refuses two output columns of one name.
pub(super) fn distinct(columns: &[Column], table: &Spanned<TableName>, problems: &mut Vec<Diagnostic>) {
    for (index, column) in columns.iter().enumerate() {
        if columns[..index].iter().any(|other| other.name == column.name) {
            let message = format!("the result would have two columns `{}`", column.name.shown());
            problems.push(Diagnostic::error("duplicate-column", message).at(table.span.clone()));
        }
    }
}
