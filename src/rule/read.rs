//! Tests as an author writes them, and the tables of their keys.

use crate::diagnostic::Diagnostic;
use crate::dialect::literal;
use crate::name::{Name, TableName};
use crate::rule::{Bound, Rule, Severity, Test, Threshold};
use crate::text::Spanned;
use crate::text::files::Files;
use crate::yaml::shape::{Form, Key, Record, Shape};
use crate::yaml::{self, Node, Value};

/// A column name.
pub static COLUMN: Form = Form {
    noun: "a column name",
    example: "program_id",
    accepts: |text| !text.trim().is_empty() && TableName::parse(text).is_some_and(|name| name.schema.is_none()),
    pattern: "^\\s*(\"([^\"]|\"\")+\"|[^\".]+)\\s*$",
};

/// A table name with at least its schema, or the name of a step.
pub static TABLE: Form = Form {
    noun: "the name of a table or step",
    example: "backend.program",
    accepts: |text| TableName::parse(text).is_some(),
    pattern: "^\\s*(\"([^\"]|\"\")+\"|[^\".]+)(\\.(\"([^\"]|\"\")+\"|[^\".]+)){0,2}\\s*$",
};

/// How many failing rows are too many.
static THRESHOLD: Form = Form {
    noun: "a number of rows or a percentage",
    example: "> 0.5%",
    accepts: |text| threshold(text).is_some(),
    pattern: "^\\s*(>=?)?\\s*[0-9]+(\\.[0-9]+)?\\s*%?\\s*$",
};

const COLUMNS: Shape = Shape::OneOrMore(&Shape::Form(&COLUMN));

const OPTIONS: [Key; 6] = [
    Key::new("name", Shape::Text, "The name that messages and run results show."),
    Key::new("description", Shape::Text, "Why the rule holds."),
    Key::new(
        "severity",
        Shape::Word(&["warn", "error"]),
        "What failing means: `error` (the default) keeps the result from being published, `warn` only says so.",
    ),
    Key::new(
        "warn_if",
        Shape::Form(&THRESHOLD),
        "How many failing rows are a warning, as a count or a percentage of the rows tested; by default any.",
    )
    .example("'> 10'"),
    Key::new(
        "error_if",
        Shape::Form(&THRESHOLD),
        "How many failing rows are an error; fewer are a warning. By default any.",
    )
    .example("'> 1%'"),
    Key::new("where", Shape::Text, "Only rows for which this SQL condition is true are tested.")
        .example("rating is not null"),
];

const fn with_options<const N: usize, const M: usize>(own: [Key; N]) -> [Key; M] {
    let mut keys = [OPTIONS[0]; M];
    let mut at = 0;
    while at < M {
        keys[at] = if at < N { own[at] } else { OPTIONS[at - N] };
        at += 1;
    }
    keys
}

static COLUMNS_RECORD: Record =
    Record::new("test on columns", &with_options::<1, 7>([Key::new("columns", COLUMNS, "The columns.").required()]));

static ACCEPTED_VALUES: Record = Record::new(
    "accepted_values test",
    &with_options::<2, 8>([
        Key::new("column", Shape::Form(&COLUMN), "The column; not needed under a column."),
        Key::new("values", Shape::List(&Shape::Scalar), "The values that may occur; NULL may always.").required(),
    ]),
);

static RELATIONSHIPS: Record = Record::new(
    "relationships test",
    &with_options::<4, 10>([
        Key::new("column", Shape::Form(&COLUMN), "The column of the key; not needed under a column."),
        Key::new("columns", COLUMNS, "The columns of a key of several."),
        Key::new("to", Shape::Form(&TABLE), "The table or step that has every key.")
            .required()
            .example("backend.program"),
        Key::new("to_columns", COLUMNS, "The columns there; by default those of the same names.").example("id"),
    ]),
);

static RANGE: Record = Record::new(
    "range test",
    &with_options::<3, 9>([
        Key::new("column", Shape::Form(&COLUMN), "The column; not needed under a column."),
        Key::new("min", Shape::Scalar, "The least value allowed."),
        Key::new("max", Shape::Scalar, "The greatest value allowed."),
    ]),
);

static ROWS: Record = Record::new(
    "rows test",
    &with_options::<2, 8>([
        Key::new("min", Shape::Integer { min: 0, max: i64::MAX }, "The least number of rows."),
        Key::new("max", Shape::Integer { min: 0, max: i64::MAX }, "The greatest number of rows."),
    ]),
);

static SQL: Record = Record::new(
    "test of SQL",
    &with_options::<1, 7>([Key::new("sql", Shape::Text, "The SQL, or the path of its file.").required()]),
);

static KINDS: [Key; 8] = [
    Key::new("not_null", Shape::Either(&[COLUMNS, Shape::Record(&COLUMNS_RECORD)]), "No NULL in these columns.")
        .example("[program_id]"),
    Key::new(
        "unique",
        Shape::Either(&[COLUMNS, Shape::Record(&COLUMNS_RECORD)]),
        "No two rows with the same values in these columns; rows with a NULL among them are left out.",
    )
    .example("[affinity, program_id]"),
    Key::new(
        "accepted_values",
        Shape::Either(&[Shape::List(&Shape::Scalar), Shape::Record(&ACCEPTED_VALUES)]),
        "Only these values, or NULL.",
    )
    .example("{column: asset_type, values: [live, replay]}"),
    Key::new("relationships", Shape::Record(&RELATIONSHIPS), "Every key, unless it has a NULL, is in another table.")
        .example("{column: program_id, to: backend.program, to_columns: id}"),
    Key::new("range", Shape::Record(&RANGE), "Values between these bounds, the bounds included, or NULL.")
        .example("{column: rating, min: 0, max: 5}"),
    Key::new("rows", Shape::Record(&ROWS), "As many rows.").example("{min: 50, severity: warn}"),
    Key::new(
        "expression",
        Shape::Either(&[Shape::Text, Shape::Record(&SQL)]),
        "An SQL condition that is false for no row; NULL passes.",
    )
    .example("start_at < end_at"),
    Key::new(
        "sql",
        Shape::Either(&[Shape::Text, Shape::Record(&SQL)]),
        "A query, or the path of its file, that returns the failing rows.",
    )
    .example("checks/orphans.sql"),
];

static OPTION_KEYS: [Key; 6] = OPTIONS;

static TEST: Record = Record { noun: "test", keys: &OPTION_KEYS, kinds: &KINDS, kind_required: true };

/// A list of tests on a table.
pub static TESTS: Shape = Shape::List(&TEST_ITEM);

static TEST_ITEM: Shape = Shape::Either(&[Shape::Record(&TEST), Shape::Word(&["not_null", "unique"])]);

/// The tests of a list that [`TESTS`] has checked. `column` is the column they stand under, if any.
pub fn tests(node: &Node, column: Option<&Spanned<Name>>, files: &Files, problems: &mut Vec<Diagnostic>) -> Vec<Test> {
    node.items().iter().filter_map(|item| test(item, column, files, problems)).collect()
}

fn test(node: &Node, column: Option<&Spanned<Name>>, files: &Files, problems: &mut Vec<Diagnostic>) -> Option<Test> {
    let mut told = Vec::new();
    TEST_ITEM.check(node, &mut told);
    if !told.is_empty() {
        return None;
    }
    let (kind, parameters) = match node.text() {
        Some(word) => (Spanned::new(word.to_owned(), node.span.clone()), None),
        None => {
            let entry = TEST.kind_of(node)?;
            (entry.key.clone(), Some(&entry.value))
        }
    };
    let rule = Reader { kind: &kind, parameters, column, files, problems }.rule()?;
    let option = |key: &str| parameters.and_then(|p| p.get(key)).or_else(|| node.get(key));
    let filter = option("where");
    if let (Some(filter), Rule::Sql(_)) = (filter, &rule) {
        let message = "`where` says nothing to a test that is a query of its own";
        let diagnostic = Diagnostic::error("wrong-value", message).at(filter.span.clone());
        problems.push(diagnostic.hint("write the condition into the query"));
    }
    let named = rule.columns().iter().map(|c| c.value.shown()).collect::<Vec<_>>().join(", ");
    let default = if named.is_empty() { rule.kind().to_owned() } else { format!("{}({named})", rule.kind()) };
    let text = |key: &str| option(key).and_then(Node::text).map(str::to_owned);
    Some(Test {
        name: text("name").unwrap_or(default),
        description: text("description"),
        filter: filter.and_then(|node| Some(yaml::sql::inline(node, node.text()?))),
        severity: if text("severity").as_deref() == Some("warn") { Severity::Warn } else { Severity::Error },
        warn_if: option("warn_if").and_then(Node::scalar).and_then(threshold),
        error_if: option("error_if").and_then(Node::scalar).and_then(threshold),
        rule,
        span: kind.span.clone(),
    })
}

struct Reader<'a> {
    kind: &'a Spanned<String>,
    parameters: Option<&'a Node>,
    column: Option<&'a Spanned<Name>>,
    files: &'a Files,
    problems: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn rule(&mut self) -> Option<Rule> {
        Some(match self.kind.value.as_str() {
            "not_null" => Rule::NotNull(self.columns()?),
            "unique" => Rule::Unique(self.columns()?),
            "accepted_values" => {
                let node = self.parameters?;
                let list = node.get("values").unwrap_or(node);
                let values: Vec<_> = list.items().iter().filter_map(sql_literal).collect();
                if values.is_empty() {
                    return self.fault(
                        &list.span.clone(),
                        "no value is accepted here",
                        "list the values that may occur",
                    );
                }
                Rule::AcceptedValues { column: self.columns()?.into_iter().next()?, values }
            }
            "relationships" => self.relationships()?,
            "range" => {
                let (min, max) = (self.bound("min"), self.bound("max"));
                if min.is_none() && max.is_none() {
                    let span = self.kind.span.clone();
                    return self.fault(&span, "this range has no bounds", "give `min`, `max` or both");
                }
                if let Some((low, high)) = self.crossed() {
                    let message = format!("no value is at least {low} and at most {high}");
                    return self.fault(&self.kind.span.clone(), &message, "swap `min` and `max`");
                }
                Rule::Range { column: self.columns()?.into_iter().next()?, min, max }
            }
            "rows" => self.rows()?,
            "expression" => Rule::Expression(self.sql(false)?),
            "sql" => Rule::Sql(self.sql(true)?),
            _ => return None,
        })
    }

    fn fault(&mut self, span: &crate::text::Span, message: &str, hint: &str) -> Option<Rule> {
        self.problems.push(Diagnostic::error("wrong-value", message).at(span.clone()).hint(hint));
        None
    }

    fn columns(&mut self) -> Option<Vec<Spanned<Name>>> {
        let node = self.parameters;
        let written = match node {
            Some(node) if node.map().is_some() => node.get("columns").or_else(|| node.get("column")),
            Some(node) if matches!(self.kind.value.as_str(), "not_null" | "unique") => Some(node),
            _ => None,
        };
        let mut columns: Vec<_> = written.map(names).unwrap_or_default();
        if columns.is_empty() {
            columns.extend(self.column.cloned());
        }
        if columns.is_empty() {
            let message = format!("the test `{}` does not say on which column", self.kind.value);
            let hint = match self.kind.value.as_str() {
                "not_null" | "unique" => format!("write `{}: [column]`, or put it under a column", self.kind.value),
                _ => "add `column:`, or put it under a column".to_owned(),
            };
            self.problems.push(Diagnostic::error("missing-key", message).at(self.kind.span.clone()).hint(hint));
            return None;
        }
        Some(columns)
    }

    fn relationships(&mut self) -> Option<Rule> {
        let columns = self.columns()?;
        let parameters = self.parameters?;
        let to = parameters.get("to")?;
        let table = TableName::parse(to.scalar()?)?;
        let to_columns = parameters.get("to_columns").map_or_else(|| columns.clone(), names);
        if to_columns.len() != columns.len() {
            let message = format!("{} columns here cannot match {} columns there", columns.len(), to_columns.len());
            return self.fault(&to.span.clone(), &message, "name as many in `to_columns` as in `columns`");
        }
        Some(Rule::Relationships { columns, to: Spanned::new(table, to.span.clone()), to_columns })
    }

    fn rows(&mut self) -> Option<Rule> {
        let number = |key: &str| self.parameters?.get(key)?.integer().and_then(|n| u64::try_from(n).ok());
        let (min, max) = (number("min"), number("max"));
        let span = self.kind.span.clone();
        match (min, max) {
            (None, None) => self.fault(&span, "this test asks for no number of rows", "give `min`, `max` or both"),
            (Some(low), Some(high)) if low > high => self.fault(
                &span,
                &format!("no number of rows is at least {low} and at most {high}"),
                "swap `min` and `max`",
            ),
            _ => Some(Rule::Rows { min, max }),
        }
    }

    fn bound(&self, key: &str) -> Option<String> {
        sql_literal(self.parameters?.get(key)?)
    }

    /// The bounds of a range that holds no value, as written.
    fn crossed(&self) -> Option<(&str, &str)> {
        let bound = |key: &str| self.parameters?.get(key)?.scalar();
        let (low, high) = (bound("min")?, bound("max")?);
        exceeds(low, high).then_some((low, high))
    }

    fn sql(&mut self, may_be_path: bool) -> Option<crate::text::derived::Derived> {
        let node = self.parameters?;
        let node = node.get("sql").unwrap_or(node);
        if may_be_path {
            yaml::sql::read(node, self.files, self.problems)
        } else {
            Some(yaml::sql::inline(node, node.text()?))
        }
    }
}

/// Whether a bound is above another, where both are numbers or both dates and times of one form. How other texts compare is
/// for the column's type to say.
pub(crate) fn exceeds(low: &str, high: &str) -> bool {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    if let (Some(low), Some(high)) = (number(low), number(high)) {
        return low > high;
    }
    let day = |text: &str| text.get(..10).and_then(|day| day.parse::<chrono::NaiveDate>().ok());
    match (day(low), day(high)) {
        (Some(a), Some(b)) if a == b => low.len() == high.len() && low > high,
        (Some(a), Some(b)) => a > b,
        _ => false,
    }
}

fn names(node: &Node) -> Vec<Spanned<Name>> {
    node.items().iter().filter_map(|item| Some(Spanned::new(column_name(item.scalar()?)?, item.span.clone()))).collect()
}

/// A column name as an author writes it: quotes keep its case.
pub fn column_name(text: &str) -> Option<Name> {
    TableName::parse(text).filter(|name| name.schema.is_none()).map(|name| name.table)
}

/// A scalar of YAML as a Snowflake literal.
pub fn sql_literal(node: &Node) -> Option<String> {
    Some(match &node.value {
        Value::Boolean(value) => literal::boolean(*value).to_owned(),
        Value::Number(text) => match node.integer() {
            Some(integer) => integer.to_string(),
            None => text.trim_start_matches('+').to_owned(),
        },
        Value::Text(text) => literal::text(text),
        Value::Null | Value::List(_) | Value::Map(_) => return None,
    })
}

/// The threshold that a text such as `> 10` or `1%` means.
pub(crate) fn threshold(text: &str) -> Option<Threshold> {
    let text = text.trim();
    let (inclusive, rest) = match text.strip_prefix(">=") {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('>').unwrap_or(text)),
    };
    let bound = match rest.trim().strip_suffix('%') {
        Some(percent) => Bound::Percent(percent.trim().parse().ok().filter(|p| (0.0..=100.0).contains(p))?),
        None => Bound::Count(rest.trim().parse().ok()?),
    };
    Some(Threshold { bound, inclusive })
}
