//! Literals: numbers exact, texts, bytes, intervals, session variables and `$1` columns.

use datafusion::arrow::datatypes::IntervalMonthDayNano;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use sqlparser::ast::{self, Value, ValueWithSpan};

use super::expr::part_name;
use super::scope::Scope;
use super::{Binder, Bound};
use crate::diagnostic::Diagnostic;
use crate::dialect::types::MAX_PRECISION;
use crate::name::Name;

impl<'a> Binder<'a> {
    pub(super) fn value(&mut self, written: &ValueWithSpan, scope: &Scope<'_>) -> Bound<Expr> {
        let value = match &written.value {
            Value::Number(text, _) => return self.number_literal(text, &ast::Expr::Value(written.clone())),
            Value::SingleQuotedString(text) | Value::NationalStringLiteral(text) => {
                ScalarValue::Utf8(Some(text.clone()))
            }
            Value::DollarQuotedString(text) => ScalarValue::Utf8(Some(text.value.clone())),
            Value::Boolean(value) => ScalarValue::Boolean(Some(*value)),
            Value::Null => ScalarValue::Null,
            Value::HexStringLiteral(text) => match hex::decode(text) {
                Ok(bytes) => ScalarValue::Binary(Some(bytes)),
                Err(_) => {
                    let span = self.place(written);
                    let message = format!("`X'{text}'` is not pairs of hexadecimal digits");
                    return Err(self.report(Diagnostic::error("sql-type", message).at(span)));
                }
            },
            Value::Placeholder(text) => return self.placeholder(text, written, scope),
            _ => {
                let span = self.place(written);
                return Err(self.refuse("this form of literal is not Snowflake SQL", span));
            }
        };
        Ok(Expr::Literal(value, None))
    }

    /// A number: an integer, an exact decimal, or a float where these cannot hold it.
    pub(super) fn number_literal(&mut self, text: &str, written: &ast::Expr) -> Bound<Expr> {
        match number(text) {
            Some(value) => Ok(Expr::Literal(value, None)),
            None => {
                let span = self.place(written);
                let message = format!("`{text}` is not a number that NUMBER(38) or FLOAT can hold");
                Err(self.report(Diagnostic::error("sql-type", message).at(span)))
            }
        }
    }

    /// `$1` is a column by its position, `$name` a session variable.
    fn placeholder(&mut self, text: &str, written: &ValueWithSpan, scope: &Scope<'_>) -> Bound<Expr> {
        let span = self.place(written);
        let name = text.trim_start_matches(['$', ':']);
        if let Ok(position) = name.parse::<usize>() {
            let mut columns = scope.relations.iter().flat_map(|relation| &relation.columns);
            let column = position.checked_sub(1).and_then(|at| columns.nth(at));
            return match column {
                Some(column) => Ok(Expr::Column(column.column.clone())),
                None => {
                    let message = format!("unknown column `{text}`");
                    Err(self.report(Diagnostic::error("unknown-column", message).at(span)))
                }
            };
        }
        let variable = text.starts_with('$').then(|| self.context.tables.variable(&Name::unquoted(name))).flatten();
        match variable {
            Some(value) => Ok(Expr::Literal(value, None)),
            None => {
                let diagnostic =
                    Diagnostic::error("unknown-variable", format!("unknown session variable `{text}`")).at(span);
                Err(self.report(diagnostic.hint("set it first: `SET name = value`")))
            }
        }
    }

    /// The text of an expression that is a text literal or a session variable.
    pub(super) fn constant_text(&mut self, written: &ast::Expr) -> Option<String> {
        let ast::Expr::Value(value) = written else { return None };
        match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            Value::Placeholder(text) => {
                let value = self.context.tables.variable(&Name::unquoted(text.strip_prefix('$')?))?;
                value.try_as_str().flatten().map(str::to_string)
            }
            _ => None,
        }
    }

    /// `INTERVAL '1 year, 2 days'`, and with the unit after the text.
    pub(super) fn interval(&mut self, interval: &ast::Interval, written: &ast::Expr) -> Bound<Expr> {
        let ast::Interval { value, leading_field, leading_precision, last_field, fractional_seconds_precision } =
            interval;
        let plain = leading_precision.is_none() && last_field.is_none() && fractional_seconds_precision.is_none();
        let text = match value.as_ref() {
            ast::Expr::Value(value) => value.value.clone().into_string(),
            _ => None,
        };
        let parsed = text.filter(|_| plain).and_then(|text| match leading_field {
            Some(field) => parse_interval(&format!("{text} {}", part_name(field))),
            None => parse_interval(&text),
        });
        match parsed {
            Some(interval) => Ok(Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), None)),
            None => {
                let span = self.place(written);
                let diagnostic = Diagnostic::error("sql-type", "this is not an interval").at(span);
                Err(self.report(diagnostic.hint("write it as in `interval '1 year, 3 days'`")))
            }
        }
    }
}

/// The value of a number as written: exact where NUMBER can hold it, else a FLOAT where it has an exponent.
fn number(text: &str) -> Option<ScalarValue> {
    if let Ok(integer) = text.parse::<i64>() {
        return Some(ScalarValue::Int64(Some(integer)));
    }
    exact(text).or_else(|| {
        let float = || text.parse::<f64>().ok().filter(|value| value.is_finite());
        text.contains(['e', 'E']).then(float).flatten().map(|value| ScalarValue::Float64(Some(value)))
    })
}

/// The exact value. As in Snowflake, zeros that end the fraction do not count, so that `0.500` is a `NUMBER(1, 1)`.
fn exact(text: &str) -> Option<ScalarValue> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i16>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let mut value: i128 = format!("{whole}{fraction}").parse().ok()?;
    let mut scale = i32::try_from(fraction.len()).ok()? - i32::from(exponent);
    while scale > 0 && value % 10 == 0 {
        value /= 10;
        scale -= 1;
    }
    if scale < 0 {
        value = value.checked_mul(10_i128.checked_pow(scale.unsigned_abs())?)?;
        scale = 0;
    }
    if let (0, Ok(integer)) = (scale, i64::try_from(value)) {
        return Some(ScalarValue::Int64(Some(integer)));
    }
    let scale = i8::try_from(scale).ok()?;
    let digits = value.unsigned_abs().to_string().len().max(usize::from(scale.unsigned_abs()));
    let precision = u8::try_from(digits).ok().filter(|precision| *precision <= MAX_PRECISION)?;
    (scale < 38).then_some(ScalarValue::Decimal128(Some(value), precision, scale))
}

/// A comma-separated list of amounts with their units; an amount without one is in seconds.
fn parse_interval(text: &str) -> Option<IntervalMonthDayNano> {
    let (mut months, mut days, mut nanos) = (0_i32, 0_i32, 0_i64);
    for part in text.split(',') {
        let part = part.trim();
        let end = part.find(|c: char| !(c.is_ascii_digit() || c == '-' || c == '+')).unwrap_or(part.len());
        let amount: i64 = part[..end].parse().ok()?;
        let unit = part[end..].trim().to_lowercase();
        let small = || i32::try_from(amount).ok();
        match unit.as_str() {
            "year" | "years" | "y" | "yy" | "yyy" | "yyyy" | "yr" | "yrs" => {
                months = months.checked_add(small()?.checked_mul(12)?)?
            }
            "quarter" | "quarters" | "q" | "qtr" | "qtrs" => months = months.checked_add(small()?.checked_mul(3)?)?,
            "month" | "months" | "mm" | "mon" | "mons" => months = months.checked_add(small()?)?,
            "week" | "weeks" | "w" | "wk" | "weekofyear" | "woy" | "wy" => {
                days = days.checked_add(small()?.checked_mul(7)?)?
            }
            "day" | "days" | "d" | "dd" | "dayofmonth" => days = days.checked_add(small()?)?,
            "hour" | "hours" | "h" | "hh" | "hr" | "hrs" => {
                nanos = nanos.checked_add(amount.checked_mul(3_600_000_000_000)?)?
            }
            "minute" | "minutes" | "m" | "mi" | "min" | "mins" => {
                nanos = nanos.checked_add(amount.checked_mul(60_000_000_000)?)?
            }
            "second" | "seconds" | "s" | "sec" | "secs" | "" => {
                nanos = nanos.checked_add(amount.checked_mul(1_000_000_000)?)?
            }
            "millisecond" | "milliseconds" | "ms" | "msec" => {
                nanos = nanos.checked_add(amount.checked_mul(1_000_000)?)?
            }
            "microsecond" | "microseconds" | "us" | "usec" => nanos = nanos.checked_add(amount.checked_mul(1_000)?)?,
            "nanosecond" | "nanoseconds" | "ns" | "nsec" | "nanosec" => nanos = nanos.checked_add(amount)?,
            _ => return None,
        }
    }
    Some(IntervalMonthDayNano::new(months, days, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_where_they_can_be() {
        assert_eq!(number("1"), Some(ScalarValue::Int64(Some(1))));
        assert_eq!(number("1.50"), Some(ScalarValue::Decimal128(Some(15), 2, 1)));
        assert_eq!(number("3.00"), Some(ScalarValue::Int64(Some(3))));
        assert_eq!(number("1.25e1"), Some(ScalarValue::Decimal128(Some(125), 3, 1)));
        assert_eq!(number("1e10"), Some(ScalarValue::Int64(Some(10_000_000_000))));
        assert_eq!(number("5e-3"), Some(ScalarValue::Decimal128(Some(5), 3, 3)));
        assert_eq!(number("1.5e300"), Some(ScalarValue::Float64(Some(1.5e300))));
        assert_eq!(number("1e-40"), Some(ScalarValue::Float64(Some(1e-40))));
        assert_eq!(number(".05"), Some(ScalarValue::Decimal128(Some(5), 2, 2)));
        assert_eq!(number("-0.5"), Some(ScalarValue::Decimal128(Some(-5), 1, 1)));
        assert_eq!(
            number("9223372036854775808"),
            Some(ScalarValue::Decimal128(Some(9_223_372_036_854_775_808), 19, 0))
        );
        assert_eq!(number("123456789012345678901234567890123456789"), None);
    }

    #[test]
    fn an_interval_is_a_list_of_amounts() {
        let interval = parse_interval("1 year, 3 months, 2 weeks, 5 hours, 7").unwrap();
        assert_eq!((interval.months, interval.days, interval.nanoseconds), (15, 14, 18_007_000_000_000));
        assert_eq!(parse_interval("one day"), None);
    }
}
