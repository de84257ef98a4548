//! SET, UNSET and ALTER SESSION: variables, and the parameters that Snowflake documents.

use datafusion::arrow::array::Array;
use sqlparser::ast::helpers::key_value_options::{KeyValueOption, KeyValueOptionKind, KeyValueOptions};
use sqlparser::ast::{self, Expr, Set, Value};

use super::outcome::{Failure, refused};
use super::{Rows, Session};
use crate::diagnostic::Diagnostic;
use crate::dialect::format::text_column;
use crate::dialect::session::SessionParameters;
use crate::dialect::types::SqlType;
use crate::dialect::{Dialect, Statement};
use crate::name::nearest;
use crate::text::Span;

/// Parameters whose value changes what statements give, in the order in which SHOW PARAMETERS lists them.
pub(super) const PARAMETERS: [&str; 16] = [
    "BINARY_INPUT_FORMAT",
    "BINARY_OUTPUT_FORMAT",
    "DATE_INPUT_FORMAT",
    "DATE_OUTPUT_FORMAT",
    "TIMESTAMP_INPUT_FORMAT",
    "TIMESTAMP_LTZ_OUTPUT_FORMAT",
    "TIMESTAMP_NTZ_OUTPUT_FORMAT",
    "TIMESTAMP_OUTPUT_FORMAT",
    "TIMESTAMP_TYPE_MAPPING",
    "TIMESTAMP_TZ_OUTPUT_FORMAT",
    "TIMEZONE",
    "TIME_INPUT_FORMAT",
    "TIME_OUTPUT_FORMAT",
    "WEEK_OF_YEAR_POLICY",
    "WEEK_START",
    "ERROR_ON_NONDETERMINISTIC_MERGE",
];

/// Parameters of Snowflake's server that are taken and change nothing here.
const WITHOUT_EFFECT: [&str; 14] = [
    "AUTOCOMMIT",
    "CLIENT_SESSION_KEEP_ALIVE",
    "JSON_INDENT",
    "LOCK_TIMEOUT",
    "MULTI_STATEMENT_COUNT",
    "QUERY_TAG",
    "QUOTED_IDENTIFIERS_IGNORE_CASE",
    "ROWS_PER_RESULTSET",
    "STATEMENT_QUEUED_TIMEOUT_IN_SECONDS",
    "STATEMENT_TIMEOUT_IN_SECONDS",
    "TIMESTAMP_DAY_IS_ALWAYS_24H",
    "TRANSACTION_ABORT_ON_ERROR",
    "USE_CACHED_RESULT",
    "CLIENT_TIMESTAMP_TYPE_MAPPING",
];

/// Parameters whose other value would change what statements mean: only this one is taken.
const FIXED: [(&str, &str); 3] =
    [("AUTOCOMMIT", "TRUE"), ("QUOTED_IDENTIFIERS_IGNORE_CASE", "FALSE"), ("ERROR_ON_NONDETERMINISTIC_MERGE", "TRUE")];

/// A variable's name as the session keeps it.
fn variable_name(written: &ast::ObjectName) -> String {
    written.to_string().trim_matches('"').to_uppercase()
}

impl Session {
    pub(super) async fn set(&mut self, statement: &Statement, set: &Set) -> Result<Rows, Failure> {
        let span = statement.span();
        if let Set::ParenthesizedAssignments { variables, values } = set
            && let ([_, _, ..], [Expr::Subquery(query)]) = (variables.as_slice(), values.as_slice())
        {
            let values = self.row(ast::Statement::Query(query.clone()), statement).await?;
            if values.len() != variables.len() {
                let message = format!("{} variables are set to {} values", variables.len(), values.len());
                return Err(Diagnostic::error("column-count", message).at(span.clone()).into());
            }
            self.variables.extend(variables.iter().map(variable_name).zip(values));
            return Rows::done();
        }
        let pairs: Vec<(String, &Expr)> = match set {
            Set::SingleAssignment { variable, values, .. } if values.len() == 1 => {
                vec![(variable_name(variable), &values[0])]
            }
            Set::ParenthesizedAssignments { variables, values } if variables.len() == values.len() => {
                variables.iter().map(variable_name).zip(values).collect()
            }
            Set::ParenthesizedAssignments { variables, values } => {
                let message = format!("{} variables are set to {} values", variables.len(), values.len());
                return Err(Diagnostic::error("column-count", message).at(span.clone()).into());
            }
            _ => return Err(refused(span, "SET of this form", "").into()),
        };
        let mut values = Vec::new();
        for (name, expr) in pairs {
            values.push((name, self.evaluated(expr, statement).await?));
        }
        self.variables.extend(values);
        Rows::done()
    }

    /// The value of an expression, as a literal.
    async fn evaluated(&self, expr: &Expr, statement: &Statement) -> Result<Expr, Failure> {
        let mut row = self.row(super::change::query(vec![expr.clone()], Vec::new(), None), statement).await?;
        Ok(row.pop().unwrap_or_else(|| Expr::value(Value::Null)))
    }

    /// The values of the first row of a query, as literals; NULLs where it gives none.
    async fn row(&self, query: ast::Statement, statement: &Statement) -> Result<Vec<Expr>, Failure> {
        let plan = self.bind_with(&statement.with_ast(query), &[])?;
        let batches = self.execute(&plan).await?;
        let first = batches.iter().find(|batch| batch.num_rows() > 0);
        let mut row = Vec::new();
        for (at, column) in Dialect::columns(&plan).iter().enumerate() {
            let array = first.map(|batch| batch.column(at).slice(0, 1));
            let known = array.filter(|array| !array.is_null(0) && column.sql_type != SqlType::Null);
            row.push(match known {
                Some(array) => literal(text_column(&array, &self.parameters)?.value(0).to_string(), column.sql_type),
                None => Expr::value(Value::Null),
            });
        }
        Ok(row)
    }

    pub(super) fn unset(&mut self, names: &[ast::Ident]) -> Result<Rows, Failure> {
        for name in names {
            self.variables.remove(&name.value.to_uppercase());
        }
        Rows::done()
    }

    pub(super) fn alter_session(
        &mut self,
        statement: &Statement,
        set: bool,
        options: &KeyValueOptions,
    ) -> Result<Rows, Failure> {
        let mut parameters = self.parameters.clone();
        let mut problems = Vec::new();
        for option in &options.options {
            let name = option.option_name.to_uppercase();
            let value = if set { value_of(option) } else { None };
            problems.extend(self.change(&mut parameters, &name, value, statement.span()).err());
        }
        if !problems.is_empty() {
            return Err(Failure::Wrong(problems));
        }
        self.set_parameters(parameters);
        Rows::done()
    }

    pub(super) fn set_parameters(&mut self, parameters: SessionParameters) {
        self.dialect = Dialect::with_function(parameters.clone(), self.sequences.function());
        self.parameters = parameters;
    }

    fn change(
        &self,
        parameters: &mut SessionParameters,
        name: &str,
        value: Option<String>,
        span: &Span,
    ) -> Result<(), Diagnostic> {
        let invalid = |value: &str, why: &str| {
            let message = format!("`{value}` is not a value of parameter `{}`{why}", name.to_lowercase());
            Err(Diagnostic::error("wrong-parameter", message).at(span.clone()))
        };
        if let Some((_, only)) = FIXED.iter().find(|(fixed, _)| *fixed == name) {
            return match value {
                Some(value) if !value.eq_ignore_ascii_case(only) => invalid(&value, &format!(" here: only {only} is")),
                _ => Ok(()),
            };
        }
        if WITHOUT_EFFECT.contains(&name) {
            return Ok(());
        }
        if !PARAMETERS.contains(&name) {
            let near = nearest(name, PARAMETERS).map(str::to_lowercase);
            let message = format!("unknown session parameter `{}`", name.to_lowercase());
            return Err(Diagnostic::error("unknown-parameter", message).at(span.clone()).did_you_mean(near));
        }
        let value = value.unwrap_or_else(|| get(&self.initial, name).unwrap_or_default());
        match put(parameters, name, &value) {
            Ok(()) => Ok(()),
            Err(why) => invalid(&value, &why),
        }
    }
}

fn literal(text: String, sql_type: SqlType) -> Expr {
    match sql_type {
        SqlType::Number { .. } => match text.strip_prefix('-') {
            Some(digits) => Expr::Nested(Box::new(Expr::UnaryOp {
                op: ast::UnaryOperator::Minus,
                expr: Box::new(Expr::value(Value::Number(digits.to_string(), false))),
            })),
            None => Expr::value(Value::Number(text, false)),
        },
        SqlType::Boolean => Expr::value(Value::Boolean(text.eq_ignore_ascii_case("true"))),
        SqlType::Varchar(_) => Expr::value(Value::SingleQuotedString(text)),
        other => Expr::Cast {
            kind: ast::CastKind::Cast,
            expr: Box::new(Expr::value(Value::SingleQuotedString(text))),
            data_type: match other {
                SqlType::Date => ast::DataType::Date,
                SqlType::Time => ast::DataType::Time(None, ast::TimezoneInfo::None),
                SqlType::Float => ast::DataType::Float(ast::ExactNumberInfo::None),
                SqlType::Binary => ast::DataType::Binary(None),
                other => {
                    ast::DataType::Custom(ast::ObjectName::from(vec![ast::Ident::new(other.to_string())]), Vec::new())
                }
            },
            format: None,
            array: false,
        },
    }
}

fn value_of(option: &KeyValueOption) -> Option<String> {
    let KeyValueOptionKind::Single(value) = &option.option_value else { return None };
    Some(match &value.value {
        Value::SingleQuotedString(text) | Value::Number(text, _) | Value::Placeholder(text) => text.clone(),
        Value::Boolean(value) => value.to_string().to_uppercase(),
        other => other.to_string().trim_matches('\'').to_string(),
    })
}

/// The value of a parameter as text; none for one that is not kept.
pub(super) fn get(parameters: &SessionParameters, name: &str) -> Option<String> {
    Some(match name {
        "TIMEZONE" => parameters.timezone.clone(),
        "WEEK_START" => parameters.week_start.to_string(),
        "WEEK_OF_YEAR_POLICY" => parameters.week_of_year_policy.to_string(),
        "TIMESTAMP_TYPE_MAPPING" => parameters.timestamp_type_mapping.clone(),
        "DATE_OUTPUT_FORMAT" => parameters.date_output_format.clone(),
        "DATE_INPUT_FORMAT" => parameters.date_input_format.clone(),
        "TIME_OUTPUT_FORMAT" => parameters.time_output_format.clone(),
        "TIME_INPUT_FORMAT" => parameters.time_input_format.clone(),
        "TIMESTAMP_OUTPUT_FORMAT" => parameters.timestamp_output_format.clone(),
        "TIMESTAMP_NTZ_OUTPUT_FORMAT" => parameters.timestamp_ntz_output_format.clone(),
        "TIMESTAMP_LTZ_OUTPUT_FORMAT" => parameters.timestamp_ltz_output_format.clone(),
        "TIMESTAMP_TZ_OUTPUT_FORMAT" => parameters.timestamp_tz_output_format.clone(),
        "TIMESTAMP_INPUT_FORMAT" => parameters.timestamp_input_format.clone(),
        "BINARY_OUTPUT_FORMAT" => parameters.binary_output_format.clone(),
        "BINARY_INPUT_FORMAT" => parameters.binary_input_format.clone(),
        "ERROR_ON_NONDETERMINISTIC_MERGE" => "true".to_string(),
        _ => return None,
    })
}

fn put(parameters: &mut SessionParameters, name: &str, value: &str) -> Result<(), String> {
    let one_of = |known: &[&str]| {
        let value = value.to_uppercase();
        if known.contains(&value.as_str()) { Ok(value) } else { Err(format!(": expected {}", known.join(", "))) }
    };
    let up_to = |most: u8| match value.parse::<u8>() {
        Ok(number) if number <= most => Ok(number),
        _ => Err(format!(": expected 0 to {most}")),
    };
    let format = value.to_string();
    match name {
        "TIMEZONE" => match crate::dialect::format::zone::zone(value) {
            Ok(_) => parameters.timezone = format,
            Err(_) => return Err(": expected a time zone such as Europe/Berlin".to_string()),
        },
        "WEEK_START" => parameters.week_start = up_to(7)?,
        "WEEK_OF_YEAR_POLICY" => parameters.week_of_year_policy = up_to(1)?,
        "TIMESTAMP_TYPE_MAPPING" => {
            parameters.timestamp_type_mapping = one_of(&["TIMESTAMP_NTZ", "TIMESTAMP_LTZ", "TIMESTAMP_TZ"])?;
        }
        "BINARY_OUTPUT_FORMAT" => parameters.binary_output_format = one_of(&["HEX", "BASE64"])?,
        "BINARY_INPUT_FORMAT" => parameters.binary_input_format = one_of(&["HEX", "BASE64", "UTF8", "UTF-8"])?,
        "DATE_OUTPUT_FORMAT" => parameters.date_output_format = format,
        "DATE_INPUT_FORMAT" => parameters.date_input_format = format,
        "TIME_OUTPUT_FORMAT" => parameters.time_output_format = format,
        "TIME_INPUT_FORMAT" => parameters.time_input_format = format,
        "TIMESTAMP_OUTPUT_FORMAT" => parameters.timestamp_output_format = format,
        "TIMESTAMP_NTZ_OUTPUT_FORMAT" => parameters.timestamp_ntz_output_format = format,
        "TIMESTAMP_LTZ_OUTPUT_FORMAT" => parameters.timestamp_ltz_output_format = format,
        "TIMESTAMP_TZ_OUTPUT_FORMAT" => parameters.timestamp_tz_output_format = format,
        "TIMESTAMP_INPUT_FORMAT" => parameters.timestamp_input_format = format,
        _ => {}
    }
    Ok(())
}
