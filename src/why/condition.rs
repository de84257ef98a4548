//! Conditions on the rows of one table as Snowflake SQL, as far as they have a form in it: a server narrows the rows by these, and
//! what it sends is held against all of them here.

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use crate::dialect::literal;
use crate::name::Name;

/// What the table is called.
pub(super) const ROWS: &str = "PIPE__ROWS";

/// These columns of the rows that meet these conditions, or of more; of so many at most where all conditions have a form.
pub(super) fn select(columns: &SchemaRef, conditions: &[Expr], most: usize) -> String {
    let columns: Vec<String> = columns.fields().iter().map(|field| Name::quoted(field.name().as_str()).sql()).collect();
    let told: Vec<Option<String>> = conditions.iter().map(condition).collect();
    let limit = if told.iter().all(Option::is_some) { format!(" LIMIT {most}") } else { String::new() };
    let all: Vec<String> = told.into_iter().flatten().collect();
    let filter = if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) };
    format!("SELECT {} FROM {ROWS}{filter}{limit}", columns.join(", "))
}

fn condition(expr: &Expr) -> Option<String> {
    match expr {
        Expr::InList(InList { expr, list, negated }) => {
            let values: Option<Vec<String>> = list.iter().map(value).collect();
            let not = if *negated { " NOT" } else { "" };
            Some(format!("{}{not} IN ({})", value(expr)?, values?.join(", ")))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            Some(format!("({} {op} {})", condition(left)?, condition(right)?))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            Some(format!("{} {} {}", value(left)?, comparison(*op)?, value(right)?))
        }
        Expr::IsNull(of) => Some(format!("{} IS NULL", value(of)?)),
        Expr::IsNotNull(of) => Some(format!("{} IS NOT NULL", value(of)?)),
        Expr::Not(of) => Some(format!("NOT ({})", condition(of)?)),
        _ => None,
    }
}

fn comparison(operator: Operator) -> Option<&'static str> {
    Some(match operator {
        Operator::Eq => "=",
        Operator::NotEq => "<>",
        Operator::Lt => "<",
        Operator::LtEq => "<=",
        Operator::Gt => ">",
        Operator::GtEq => ">=",
        _ => return None,
    })
}

/// A column or a value that is written the same on every server; a FLOAT is not, nor is what has a zone or parts.
fn value(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Column(column) => Some(Name::quoted(column.name.as_str()).sql()),
        Expr::Literal(value, _) if value.is_null() => Some("NULL".to_owned()),
        Expr::Literal(value, _) => match value {
            ScalarValue::Boolean(Some(truth)) => Some(literal::boolean(*truth).to_owned()),
            ScalarValue::Int8(_)
            | ScalarValue::Int16(_)
            | ScalarValue::Int32(_)
            | ScalarValue::Int64(_)
            | ScalarValue::UInt8(_)
            | ScalarValue::UInt16(_)
            | ScalarValue::UInt32(_)
            | ScalarValue::UInt64(_) => Some(value.to_string()),
            ScalarValue::Decimal128(Some(digits), _, scale) => decimal(*digits, *scale),
            ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
                Some(literal::text(text))
            }
            ScalarValue::Date32(Some(days)) => {
                let day = chrono::NaiveDate::default() + chrono::TimeDelta::days(i64::from(*days));
                Some(literal::date(&day.format("%Y-%m-%d").to_string()))
            }
            ScalarValue::TimestampMicrosecond(Some(micros), None) => {
                let at = chrono::DateTime::from_timestamp_micros(*micros)?.naive_utc();
                Some(literal::timestamp(&at.format("%Y-%m-%d %H:%M:%S%.6f").to_string()))
            }
            ScalarValue::TimestampNanosecond(Some(nanos), None) => {
                let at = chrono::DateTime::from_timestamp_nanos(*nanos).naive_utc();
                Some(literal::timestamp(&at.format("%Y-%m-%d %H:%M:%S%.9f").to_string()))
            }
            _ => None,
        },
        _ => None,
    }
}

/// A number with its decimals, such as `-0.50`.
fn decimal(digits: i128, scale: i8) -> Option<String> {
    let scale = usize::try_from(scale).ok()?;
    let sign = if digits < 0 { "-" } else { "" };
    let text = format!("{:0>width$}", digits.unsigned_abs(), width = scale + 1);
    let (whole, rest) = text.split_at(text.len() - scale);
    Some(if rest.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest}") })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::logical_expr::{col, lit};

    use super::*;

    #[test]
    fn conditions_are_told_as_far_as_they_have_a_form() {
        let fields = ["ID", "a b"].map(|name| Field::new(name, DataType::Utf8, true));
        let columns: SchemaRef = Arc::new(Schema::new(fields.to_vec()));
        let decimal = |digits: i128, scale: i8| lit(ScalarValue::Decimal128(Some(digits), 38, scale));
        let id = || Expr::Column(datafusion::common::Column::new_unqualified("ID"));
        let day = lit(ScalarValue::Date32(Some(20_758)));
        let cases = [
            (vec![], "SELECT ID, \"a b\" FROM PIPE__ROWS LIMIT 9"),
            (
                vec![id().in_list(vec![decimal(5, 0), decimal(-50, 2), lit("it's")], false)],
                "SELECT ID, \"a b\" FROM PIPE__ROWS WHERE ID IN (5, -0.50, 'it''s') LIMIT 9",
            ),
            (
                vec![id().gt(lit(3_i64)).or(id().is_null()), id().lt_eq(day)],
                "SELECT ID, \"a b\" FROM PIPE__ROWS WHERE (ID > 3 OR ID IS NULL) AND ID <= '2026-11-01'::date LIMIT 9",
            ),
            // A FLOAT has no exact form, and half of an OR says nothing.
            (vec![id().eq(lit(0.1)), id().not_eq(lit(true))], "SELECT ID, \"a b\" FROM PIPE__ROWS WHERE ID <> TRUE"),
            (vec![id().eq(lit(0.1)).or(id().eq(lit(1_i64)))], "SELECT ID, \"a b\" FROM PIPE__ROWS"),
        ];
        for (conditions, expected) in cases {
            assert_eq!(select(&columns, &conditions, 9), expected);
        }
        let named = select(&columns, &[col("\"a b\"").is_not_null()], 1);
        assert_eq!(named, "SELECT ID, \"a b\" FROM PIPE__ROWS WHERE \"a b\" IS NOT NULL LIMIT 1");
    }
}
