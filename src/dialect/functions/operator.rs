//! The operators `+ - * / %` and unary minus by type: exact on NUMBER, in 64 bits on FLOAT, in days on DATE, with intervals on
//! dates and times. Text and VARIANT are read as numbers first. They are functions inside plans only, under names that no
//! call in SQL can have.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, PrimitiveArray};
use datafusion::arrow::datatypes::{DataType, Date32Type, Float64Type, IntervalMonthDayNanoType, IntervalUnit};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::ScalarUDF;

use super::scalar::{Call, Column, Shape, exact, wrong_type};
use super::{Function, Implementation};
use crate::dialect::arithmetic::{self, Operand, Operator, digits};
use crate::dialect::cast::{self, number};
use crate::dialect::format::civil::DAY;
use crate::dialect::format::column::Misfit;
use crate::dialect::types::SqlType;
use crate::dialect::variant;

/// The types that a text has as a number where nothing says more.
const TEXT_NUMBER: SqlType = SqlType::Number { precision: 38, scale: 5 };

/// The functions behind the operators, in the order of [`Operator`], then unary minus.
static OPERATORS: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
    let functions = [
        exact("", &["+"], 2..=2, |shape| result(shape, Operator::Add), |call| apply(call, Operator::Add)),
        exact("", &["-"], 2..=2, |shape| result(shape, Operator::Subtract), |call| apply(call, Operator::Subtract)),
        exact("", &["*"], 2..=2, |shape| result(shape, Operator::Multiply), |call| apply(call, Operator::Multiply)),
        exact("", &["/"], 2..=2, |shape| result(shape, Operator::Divide), |call| apply(call, Operator::Divide)),
        exact("", &["%"], 2..=2, |shape| result(shape, Operator::Modulo), |call| apply(call, Operator::Modulo)),
        exact("", &["negate"], 1..=1, negative_type, negate),
        exact("", &["variant_key"], 1..=1, |_| Ok(DataType::Binary), variant_keys),
        exact("", &["flag"], 1..=1, |_| Ok(DataType::Int64), flags),
        exact("", &[TIDIED], 1..=1, |_| Ok(DataType::Float64), tidied_floats),
    ];
    functions.into_iter().filter_map(udf).collect()
});

fn udf(function: Function) -> Option<Arc<ScalarUDF>> {
    match function.implementation {
        Implementation::Scalar(udf) => Some(udf),
        _ => None,
    }
}

/// The function that an operator is planned as.
pub(in crate::dialect) fn operator(operator: Operator) -> Arc<ScalarUDF> {
    Arc::clone(&OPERATORS[operator as usize])
}

/// The function that unary minus is planned as.
pub(in crate::dialect) fn negation() -> Arc<ScalarUDF> {
    Arc::clone(&OPERATORS[5])
}

/// The function that gives the bytes by which VARIANT, OBJECT and ARRAY values are compared and ordered.
pub(in crate::dialect) fn variant_key() -> Arc<ScalarUDF> {
    Arc::clone(&OPERATORS[6])
}

/// The function that gives 1 for true and 0 for false.
pub(in crate::dialect) fn flag() -> Arc<ScalarUDF> {
    Arc::clone(&OPERATORS[7])
}

/// The name of [`tidied`].
pub(in crate::dialect) const TIDIED: &str = "tidied";

/// The function that gives equal floats as the same float.
pub(in crate::dialect) fn tidied() -> Arc<ScalarUDF> {
    Arc::clone(&OPERATORS[8])
}

fn tidied_floats(call: &Call<'_>) -> Result<ArrayRef> {
    Ok(tidy_column(call.column(0)?.array()))
}

/// A column of floats as results have them; any other as it is.
pub(super) fn tidy_column(array: &ArrayRef) -> ArrayRef {
    match array.as_primitive_opt::<Float64Type>() {
        Some(floats) => Arc::new(floats.unary::<_, Float64Type>(tidy)),
        None => Arc::clone(array),
    }
}

fn flags(call: &Call<'_>) -> Result<ArrayRef> {
    let column = call.column(0)?;
    super::scalar::cast_to(column.array(), &DataType::Int64)
}

/// The function that `||` is planned as.
pub(in crate::dialect) fn concatenation() -> Arc<ScalarUDF> {
    static CONCAT: LazyLock<Option<Arc<ScalarUDF>>> =
        LazyLock::new(|| super::string::functions().into_iter().find(|f| f.name == "concat").and_then(udf));
    CONCAT.clone().unwrap_or_else(|| Arc::clone(&OPERATORS[0]))
}

/// DATE_TRUNC, which TRUNC of a date is planned as.
pub(in crate::dialect) fn date_trunc() -> Option<Arc<ScalarUDF>> {
    static FOUND: LazyLock<Option<Arc<ScalarUDF>>> =
        LazyLock::new(|| super::date_time::functions().into_iter().find(|f| f.name == "date_trunc").and_then(udf));
    FOUND.clone()
}

fn variant_keys(call: &Call<'_>) -> Result<ArrayRef> {
    let column = call.column(0)?;
    let array = column.array();
    let semi_structured = SqlType::of(array.data_type()).is_some_and(SqlType::is_semi_structured);
    let texts = if semi_structured { variant::array::texts(array)? } else { variant::convert::to_texts(array)? };
    let keys = texts.iter().map(|text| text.map(variant::key::key));
    Ok(Arc::new(keys.collect::<datafusion::arrow::array::BinaryArray>()))
}

/// What the operands are taken for.
enum Reading {
    Exact(SqlType, SqlType),
    Float,
    /// A DATE and a number of days, the date first or last.
    Days,
    /// DATE − DATE.
    DaysBetween,
    /// A date or time and an interval.
    Interval,
}

/// The type that an operand has as a number.
fn numeric(kind: SqlType) -> Option<SqlType> {
    Some(match kind {
        SqlType::Number { .. } | SqlType::Float => kind,
        SqlType::Varchar(_) => TEXT_NUMBER,
        SqlType::Variant => SqlType::Float,
        SqlType::Boolean | SqlType::Null => SqlType::Number { precision: 1, scale: 0 },
        _ => return None,
    })
}

fn is_interval(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_))
}

fn reading(operator: Operator, left: &DataType, right: &DataType) -> Result<Reading> {
    let kinds = (SqlType::of(left).unwrap_or(SqlType::Null), SqlType::of(right).unwrap_or(SqlType::Null));
    let shift = matches!(operator, Operator::Add | Operator::Subtract);
    if shift && (is_interval(right) || operator == Operator::Add && is_interval(left)) {
        return Ok(Reading::Interval);
    }
    match kinds {
        (SqlType::Date, SqlType::Date) if operator == Operator::Subtract => return Ok(Reading::DaysBetween),
        (SqlType::Date, other) if shift && numeric(other).is_some() => return Ok(Reading::Days),
        (other, SqlType::Date) if operator == Operator::Add && numeric(other).is_some() => return Ok(Reading::Days),
        _ => {}
    }
    match (numeric(kinds.0), numeric(kinds.1)) {
        (Some(SqlType::Float), Some(_)) | (Some(_), Some(SqlType::Float)) => Ok(Reading::Float),
        (Some(left), Some(right)) => Ok(Reading::Exact(left, right)),
        _ => {
            let name = |kind, data_type: &DataType| match is_interval(data_type) {
                true => "INTERVAL".to_owned(),
                false => SqlType::to_string(&kind),
            };
            let (left, right) = (name(kinds.0, left), name(kinds.1, right));
            plan_err!("`{}` cannot be applied to {left} and {right}", operator.symbol())
        }
    }
}

/// The precision and scale of an operand that is taken for an exact number.
fn exact_digits(kind: SqlType, data_type: &DataType) -> (u8, u8) {
    match (digits(&cast::settled_type(data_type)), kind) {
        (Some(digits), _) if data_type != &DataType::Null => digits,
        (_, SqlType::Number { precision, scale }) => (precision, scale),
        _ => (1, 0),
    }
}

/// The result type of an operator.
pub(super) fn result(shape: &Shape<'_>, operator: Operator) -> Result<DataType> {
    let (left, right) = (&shape.types[0], &shape.types[1]);
    Ok(match reading(operator, left, right)? {
        Reading::Float => DataType::Float64,
        Reading::Days => DataType::Date32,
        Reading::DaysBetween => DataType::Int64,
        Reading::Exact(a, b) => {
            let (precision, scale) = operator.result(exact_digits(a, left), exact_digits(b, right));
            DataType::Decimal128(precision, scale as i8)
        }
        Reading::Interval => {
            let (dated, interval) = if is_interval(right) { (0, 1) } else { (1, 0) };
            let whole_days = match shape.constants.get(interval).copied().flatten() {
                Some(ScalarValue::IntervalMonthDayNano(Some(value))) => value.nanoseconds % DAY == 0,
                Some(value) => value.is_null(),
                None => false,
            };
            match shape.sql_type(dated) {
                SqlType::Date if whole_days => DataType::Date32,
                SqlType::Date | SqlType::Varchar(_) | SqlType::Variant | SqlType::Null => {
                    SqlType::TimestampNtz.arrow(shape.zone)
                }
                SqlType::Time | SqlType::TimestampNtz | SqlType::TimestampLtz | SqlType::TimestampTz => {
                    shape.types[dated].clone()
                }
                _ => return plan_err!("an INTERVAL is added to dates and times, not to {}", shape.sql_type(dated)),
            }
        }
    })
}

/// Carries an operator out.
pub(super) fn apply(call: &Call<'_>, operator: Operator) -> Result<ArrayRef> {
    let (left, right) = (call.column(0)?, call.column(1)?);
    match reading(operator, left.array().data_type(), right.array().data_type())? {
        Reading::Exact(a, b) => {
            let (left_array, right_array) = (exact_array(left.array(), a)?, exact_array(right.array(), b)?);
            let left = Operand { array: &left_array, constant: left.is_constant() };
            let right = Operand { array: &right_array, constant: right.is_constant() };
            arithmetic::apply(operator, left, right, call.rows)
        }
        Reading::Float => floats(operator, &left, &right, call.rows),
        Reading::DaysBetween => days_between(&left, &right, call.rows),
        Reading::Days => add_days(call, operator, &left, &right),
        Reading::Interval => interval::apply(call, operator, &left, &right),
    }
}

/// Dates and times with intervals.
mod interval;

/// An operand as a column of exact numbers.
fn exact_array(array: &ArrayRef, kind: SqlType) -> Result<ArrayRef> {
    let array = cast::settled(array)?;
    match (SqlType::of(array.data_type()), kind) {
        (Some(SqlType::Number { .. } | SqlType::Null), _) => Ok(array),
        (_, SqlType::Number { precision, scale }) => number::to_number(&array, precision, scale, Misfit::Error),
        _ => Err(wrong_type()),
    }
}

/// A float as results have them: one NaN, and no negative zero.
pub(super) fn tidy(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value + 0.0 }
}

fn float_column(column: &Column<ArrayRef>) -> Result<Float64Array> {
    let array = cast::settled(column.array())?;
    if array.data_type() == &DataType::Null {
        return Ok(Float64Array::new_null(array.len()));
    }
    Ok(number::to_float(&array, Misfit::Error)?.as_primitive::<Float64Type>().clone())
}

fn floats(operator: Operator, left: &Column<ArrayRef>, right: &Column<ArrayRef>, rows: usize) -> Result<ArrayRef> {
    let (a, b) = (float_column(left)?, float_column(right)?);
    let one = |a: f64, b: f64| match operator {
        Operator::Add => Some(a + b),
        Operator::Subtract => Some(a - b),
        Operator::Multiply => Some(a * b),
        Operator::Divide => (b != 0.0).then(|| a / b),
        Operator::Modulo => (b != 0.0).then(|| a % b),
    };
    let at = |column: &Column<ArrayRef>, row| if column.is_constant() { 0 } else { row };
    let mut values = Float64Array::builder(rows);
    for row in 0..rows {
        let (i, j) = (at(left, row), at(right, row));
        if a.is_null(i) || b.is_null(j) {
            values.append_null();
            continue;
        }
        match one(a.value(i), b.value(j)) {
            Some(value) => values.append_value(tidy(value)),
            None => return Err(arithmetic::Fault::DivisionByZero.into()),
        }
    }
    Ok(Arc::new(values.finish()))
}

fn days_between(left: &Column<ArrayRef>, right: &Column<ArrayRef>, rows: usize) -> Result<ArrayRef> {
    let (a, b) = (left.array().as_primitive::<Date32Type>(), right.array().as_primitive::<Date32Type>());
    let days = |row| Some(i64::from(a.value(left.at(row)?)) - i64::from(b.value(right.at(row)?)));
    Ok(Arc::new((0..rows).map(days).collect::<datafusion::arrow::array::Int64Array>()))
}

fn add_days(
    call: &Call<'_>,
    operator: Operator,
    left: &Column<ArrayRef>,
    right: &Column<ArrayRef>,
) -> Result<ArrayRef> {
    let date_first = left.array().data_type() == &DataType::Date32;
    let (dates, counts) = if date_first { (left, call.integers(1)?) } else { (right, call.integers(0)?) };
    let values = dates.array().as_primitive::<Date32Type>();
    let sign = if operator == Operator::Subtract { -1 } else { 1 };
    let one = |row| -> Result<Option<i32>> {
        let (Some(index), Some(count)) = (dates.at(row), counts.get(row)) else { return Ok(None) };
        let day = i64::from(values.value(index)).checked_add(count.saturating_mul(sign));
        match day.and_then(|day| i32::try_from(day).ok()) {
            Some(day) => Ok(Some(day)),
            None => exec_err!("the result is out of the range of dates"),
        }
    };
    Ok(Arc::new((0..call.rows).map(one).collect::<Result<PrimitiveArray<Date32Type>>>()?))
}

fn negative_type(shape: &Shape<'_>) -> Result<DataType> {
    match (&shape.types[0], numeric(shape.sql_type(0))) {
        (interval @ DataType::Interval(_), _) => Ok(interval.clone()),
        (_, Some(SqlType::Float)) => Ok(DataType::Float64),
        (data_type, Some(kind)) => {
            let (precision, scale) = exact_digits(kind, data_type);
            Ok(DataType::Decimal128(precision, scale as i8))
        }
        _ => plan_err!("unary `-` cannot be applied to {}", shape.sql_type(0)),
    }
}

fn negate(call: &Call<'_>) -> Result<ArrayRef> {
    let column = call.column(0)?;
    let array = column.array();
    if let DataType::Interval(IntervalUnit::MonthDayNano) = array.data_type() {
        let values = array.as_primitive::<IntervalMonthDayNanoType>();
        let negative: PrimitiveArray<IntervalMonthDayNanoType> = values.unary(|value| {
            datafusion::arrow::datatypes::IntervalMonthDayNano::new(-value.months, -value.days, -value.nanoseconds)
        });
        return Ok(Arc::new(negative));
    }
    if call.returns == &DataType::Float64 {
        let floats = float_column(&column)?;
        return Ok(Arc::new(floats.unary::<_, Float64Type>(|value| tidy(-value))));
    }
    let kind = numeric(call.sql_type(0)).ok_or_else(wrong_type)?;
    let values = exact_array(array, kind)?;
    if values.data_type() == &DataType::Null {
        return Ok(datafusion::arrow::array::new_null_array(call.returns, call.rows));
    }
    let (precision, scale) = digits(values.data_type()).ok_or_else(wrong_type)?;
    let negative = number::exact_values(&values)?.map(|value| value.map_or(0, |value| -value)).collect();
    arithmetic::finish(negative, values.nulls().cloned(), (precision, scale))
}
