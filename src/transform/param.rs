//! Values of YAML as parameters: columns, durations, tables, numbers. Their shapes are checked before they are read
//! here, so that reading falls back silently where a shape did not hold.

use datafusion::arrow::array::{Array, StringArray, TimestampNanosecondArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimeUnit};

use crate::diagnostic::Diagnostic;
use crate::name::{Name, TableName};
use crate::text::{Span, Spanned};
use crate::yaml::Node;
use crate::yaml::shape::{Form, Shape};

/// A column as the author names it.
pub(super) type ColumnName = Spanned<Name>;

/// The name of a column.
pub(super) const COLUMN: Shape = Shape::Form(&COLUMN_FORM);
/// One column or several.
pub(super) const COLUMNS: Shape = Shape::OneOrMore(&COLUMN);
/// A step or a table.
pub(super) const TABLE: Shape = Shape::Form(&TABLE_FORM);
/// A length of time.
pub(super) const DURATION: Shape = Shape::Form(&DURATION_FORM);
/// An instant: the run's, or a written one.
pub(super) const INSTANT: Shape = Shape::Form(&INSTANT_FORM);
/// How many rows at most.
pub(super) const COUNT: Shape = Shape::Integer { min: 1, max: 1_000_000_000 };
/// What to do about NaN.
pub(super) const ON_NAN: Shape = Shape::Word(&["error", "drop"]);

const COLUMN_FORM: Form =
    Form { noun: "a column name", example: "program_id", accepts: |text| !text.trim().is_empty(), pattern: r"\S" };
const TABLE_FORM: Form = Form {
    noun: "the name of a step or table",
    example: "backend.program",
    accepts: |text| TableName::parse(text).is_some(),
    pattern: r#"^[^.]+(\.[^.]+){0,2}$"#,
};
const DURATION_FORM: Form = Form {
    noun: "a duration",
    example: "7d",
    accepts: |text| duration(text).is_some(),
    pattern: r"^[0-9]+(\.[0-9]+)?(s|m|h|d|w)$",
};
const INSTANT_FORM: Form = Form {
    noun: "`now`, `latest`, a date or a timestamp",
    example: "2026-11-01",
    accepts: |text| instant(text).is_some(),
    pattern: r"^(now|latest|\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?)$",
};

/// What "now" is for ages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instant {
    /// The run's pinned instant.
    Now,
    /// The greatest time in the input.
    Latest,
    /// Nanoseconds since 1970 UTC.
    At(i64),
}

/// Nanoseconds in a second.
pub(super) const SECOND: i64 = 1_000_000_000;

/// A duration in nanoseconds, from a number and `s`, `m`, `h`, `d` or `w`.
pub(super) fn duration(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    let plain = number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let number: f64 = number.parse().ok().filter(|_| plain)?;
    let nanoseconds = number * f64::from(seconds) * 1e9;
    #[expect(clippy::cast_possible_truncation, reason = "bounded by the check")]
    (nanoseconds < 9e18).then_some(nanoseconds.round() as i64)
}

fn instant(text: &str) -> Option<Instant> {
    match text {
        "now" => return Some(Instant::Now),
        "latest" => return Some(Instant::Latest),
        _ => {}
    }
    let text = StringArray::from(vec![text]);
    let time = cast(&text, &DataType::Timestamp(TimeUnit::Nanosecond, None)).ok()?;
    let time = time.as_any().downcast_ref::<TimestampNanosecondArray>()?;
    time.is_valid(0).then(|| Instant::At(time.value(0)))
}

/// Reads keys of one mapping.
#[derive(Clone, Copy)]
pub(super) struct Params<'a>(pub(super) &'a Node);

impl<'a> Params<'a> {
    /// The node under a key.
    pub(super) fn node(self, key: &str) -> Option<&'a Node> {
        self.0.get(key)
    }

    /// The mapping under a key.
    pub(super) fn inside(self, key: &str) -> Option<Params<'a>> {
        self.node(key).map(Params)
    }

    /// The mappings of a list, a single one counting as a list of one.
    pub(super) fn list(self, key: &str) -> impl Iterator<Item = Params<'a>> {
        self.node(key).map_or(&[] as &[Node], Node::items).iter().map(Params)
    }

    /// The place of the value of a key, else of the whole mapping.
    pub(super) fn span(self, key: &str) -> Span {
        self.node(key).map_or_else(|| self.0.span.clone(), |node| node.span.clone())
    }

    /// A column.
    pub(super) fn column(self, key: &str) -> Option<ColumnName> {
        self.node(key).and_then(column)
    }

    /// Columns.
    pub(super) fn columns(self, key: &str) -> Vec<ColumnName> {
        self.node(key).map_or(&[] as &[Node], Node::items).iter().filter_map(column).collect()
    }

    /// A step or table.
    pub(super) fn table(self, key: &str) -> Option<Spanned<TableName>> {
        let node = self.node(key)?;
        Some(Spanned::new(TableName::parse(node.scalar()?)?, node.span.clone()))
    }

    /// The input that every transform has; its shape requires it.
    pub(super) fn input(self) -> Spanned<TableName> {
        let missing = || Spanned::new(TableName::bare(Name::quoted("")), self.0.span.clone());
        self.table("input").unwrap_or_else(missing)
    }

    /// A text with its place.
    pub(super) fn text(self, key: &str) -> Option<Spanned<String>> {
        let node = self.node(key)?;
        Some(Spanned::new(node.scalar()?.to_owned(), node.span.clone()))
    }

    /// One of some words.
    pub(super) fn word(self, key: &str) -> Option<&'a str> {
        self.node(key).and_then(Node::scalar)
    }

    /// A number.
    pub(super) fn number(self, key: &str) -> Option<f64> {
        self.node(key).and_then(Node::number)
    }

    /// How many.
    pub(super) fn count(self, key: &str) -> Option<usize> {
        self.node(key).and_then(Node::integer).and_then(|value| usize::try_from(value).ok())
    }

    /// True or false; false where absent.
    pub(super) fn flag(self, key: &str) -> bool {
        self.node(key).and_then(Node::boolean).unwrap_or(false)
    }

    /// Nanoseconds.
    pub(super) fn duration(self, key: &str) -> Option<i64> {
        self.word(key).and_then(duration)
    }

    /// What "now" is.
    pub(super) fn instant(self, key: &str, default: Instant) -> Instant {
        self.word(key).and_then(instant).unwrap_or(default)
    }

    /// Whether rows with NaN are dropped.
    pub(super) fn drops_nan(self) -> bool {
        self.word("on_nan") == Some("drop")
    }

    /// A name for an output column.
    pub(super) fn name(self, key: &str, default: &str) -> Name {
        self.column(key).map_or_else(|| Name::unquoted(default), |name| name.value)
    }

    /// Refuses a key that changes nothing beside the others; `why` says when it would.
    pub(super) fn idle(self, key: &str, idle: bool, why: &str, problems: &mut Vec<Diagnostic>) {
        if idle && self.node(key).is_some() {
            let diagnostic = Diagnostic::error("conflicting-keys", format!("`{key}` {why}"));
            problems.push(diagnostic.at(self.span(key)).hint("leave it out: nothing would come of it"));
        }
    }

    /// Refuses a number outside `low..=high`.
    pub(super) fn within(self, key: &str, low: f64, high: f64, problems: &mut Vec<Diagnostic>) -> Option<f64> {
        let value = self.number(key)?;
        if !(low..=high).contains(&value) {
            let message = if high.is_infinite() {
                format!("`{key}` is {value}, and must be at least {low}")
            } else {
                format!("`{key}` is {value}, and must be between {low} and {high}")
            };
            problems.push(Diagnostic::error("wrong-value", message).at(self.span(key)));
        }
        Some(value)
    }
}

/// A column name as it would be written in SQL: folded unless in double quotes.
pub(super) fn column(node: &Node) -> Option<ColumnName> {
    let text = node.scalar()?.trim();
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let name = quoted.map_or_else(|| Name::unquoted(text), |inside| Name::quoted(inside.replace("\"\"", "\"")));
    Some(Spanned::new(name, node.span.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_instants() {
        assert_eq!(duration("7d"), Some(7 * 86_400 * SECOND));
        assert_eq!(duration("1.5h"), Some(5_400 * SECOND));
        for wrong in ["", "d", "7", "-1d", "1e3d", "7 d", "7é", "nand"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
        assert_eq!(instant("1970-01-02"), Some(Instant::At(86_400 * SECOND)));
        assert_eq!(instant("1970-01-01 00:00:01.5"), Some(Instant::At(1_500_000_000)));
        assert_eq!(instant("tomorrow"), None);
    }
}
