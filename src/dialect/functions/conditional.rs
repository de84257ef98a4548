//! IFF, NVL, DECODE and the like. What only chooses between its arguments becomes CASE before it runs, so that the arguments
//! that are not chosen are not computed; GREATEST and LEAST are kernels.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, new_null_array};
use datafusion::arrow::compute::{kernels::cmp, kernels::zip::zip};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::{Case, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use super::Function;
use super::scalar::{Call, Shape, exact};
use crate::dialect::cast::{Target, cast};
use crate::dialect::coerce;
use crate::dialect::format::column::Misfit;
use crate::dialect::types::SqlType;
use crate::dialect::variant;

const FAMILY: &str = "conditional";

/// The functions of this family.
pub(super) fn functions() -> Vec<Function> {
    let any = usize::MAX;
    vec![
        exact(FAMILY, &["iff"], 3..=3, |shape| alike(shape, &[1, 2]), rewritten),
        exact(FAMILY, &["nvl", "ifnull"], 2..=2, |shape| alike(shape, &[0, 1]), rewritten),
        exact(FAMILY, &["nvl2"], 3..=3, |shape| alike(shape, &[1, 2]), rewritten),
        exact(FAMILY, &["coalesce"], 2..=any, all_alike, rewritten),
        exact(FAMILY, &["nullif"], 2..=2, |shape| alike(shape, &[0]), rewritten),
        exact(FAMILY, &["zeroifnull"], 1..=1, or_number, rewritten),
        exact(FAMILY, &["nullifzero"], 1..=1, or_number, rewritten),
        exact(FAMILY, &["decode"], 3..=any, decode_type, rewritten),
        exact(FAMILY, &["equal_null"], 2..=2, truth, rewritten),
        exact(FAMILY, &["booland"], 2..=2, truth, rewritten),
        exact(FAMILY, &["boolor"], 2..=2, truth, rewritten),
        exact(FAMILY, &["boolxor"], 2..=2, truth, rewritten),
        exact(FAMILY, &["boolnot"], 1..=1, truth, rewritten),
        exact(FAMILY, &["regr_valx"], 2..=2, |shape| alike(shape, &[1]), rewritten),
        exact(FAMILY, &["regr_valy"], 2..=2, |shape| alike(shape, &[0]), rewritten),
        exact(FAMILY, &["greatest"], 1..=any, all_alike, |call| extreme(call, Extreme::Greatest, false)),
        exact(FAMILY, &["least"], 1..=any, all_alike, |call| extreme(call, Extreme::Least, false)),
        exact(FAMILY, &["greatest_ignore_nulls"], 1..=any, all_alike, |call| extreme(call, Extreme::Greatest, true)),
        exact(FAMILY, &["least_ignore_nulls"], 1..=any, all_alike, |call| extreme(call, Extreme::Least, true)),
    ]
}

/// The common type of some of the arguments.
fn alike(shape: &Shape<'_>, indices: &[usize]) -> Result<DataType> {
    let types: Vec<&DataType> = indices.iter().filter_map(|index| shape.types.get(*index)).collect();
    let mut given = types.iter().filter(|data_type| !data_type.is_null());
    let Some(first) = given.next() else { return Ok(DataType::Null) };
    if given.all(|data_type| data_type == first) {
        return Ok((**first).clone());
    }
    let mut kind = SqlType::Null;
    for index in indices {
        let other = shape.sql_type(*index);
        kind = match coerce::common(kind, other) {
            Some(kind) => kind,
            None => {
                return plan_err!(
                    "the arguments of `{}` are of {kind} and {other}, which have no common type",
                    shape.name
                );
            }
        };
    }
    Ok(kind.arrow(shape.zone))
}

fn all_alike(shape: &Shape<'_>) -> Result<DataType> {
    alike(shape, &(0..shape.types.len()).collect::<Vec<_>>())
}

fn truth(_: &Shape<'_>) -> Result<DataType> {
    Ok(DataType::Boolean)
}

fn or_number(shape: &Shape<'_>) -> Result<DataType> {
    match shape.sql_type(0) {
        SqlType::Number { .. } | SqlType::Float => Ok(shape.types[0].clone()),
        SqlType::Null => Ok(DataType::Int64),
        SqlType::Varchar(_) | SqlType::Variant => Ok(DataType::Float64),
        _ => shape.refuse(0),
    }
}

fn decode_type(shape: &Shape<'_>) -> Result<DataType> {
    let count = shape.types.len();
    let mut results: Vec<usize> = (2..count).step_by(2).collect();
    if count.is_multiple_of(2) {
        results.push(count - 1);
    }
    alike(shape, &results)
}

/// The kernel of functions that are gone from a plan before it runs.
fn rewritten(call: &Call<'_>) -> Result<ArrayRef> {
    call.fail("it cannot stand here")
}

fn case(branches: Vec<(Expr, Expr)>, otherwise: Option<Expr>) -> Expr {
    let branches = branches.into_iter().map(|(when, then)| (Box::new(when), Box::new(then))).collect();
    Expr::Case(Case { expr: None, when_then_expr: branches, else_expr: otherwise.map(Box::new) })
}

fn null() -> Expr {
    Expr::Literal(ScalarValue::Null, None)
}

fn zero() -> Expr {
    Expr::Literal(ScalarValue::Int64(Some(0)), None)
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

fn truth_of(expr: Expr) -> Expr {
    Expr::Not(Box::new(Expr::Not(Box::new(expr))))
}

/// What a call of this family means in other expressions, their types not coerced yet; none for other functions.
pub(in crate::dialect) fn expanded(call: &ScalarFunction) -> Result<Option<Expr>> {
    let name = call.func.name();
    let mut args = call.args.iter().cloned();
    let mut next = || args.next().unwrap_or_else(null);
    Ok(Some(match name {
        "iff" => case(vec![(next(), next())], Some(next())),
        "nvl" => {
            let first = next();
            case(vec![(first.clone().is_not_null(), first)], Some(next()))
        }
        "nvl2" => case(vec![(next().is_not_null(), next())], Some(next())),
        "coalesce" => {
            let mut values = call.args.clone();
            let last = values.pop();
            case(values.into_iter().map(|value| (value.clone().is_not_null(), value)).collect(), last)
        }
        "nullif" => {
            let first = next();
            case(vec![(binary(first.clone(), Operator::Eq, next()), null())], Some(first))
        }
        "zeroifnull" => {
            let first = next();
            case(vec![(first.clone().is_not_null(), first)], Some(zero()))
        }
        "nullifzero" => {
            let first = next();
            case(vec![(binary(first.clone(), Operator::Eq, zero()), null())], Some(first))
        }
        "decode" => decoded(&call.args),
        "equal_null" => binary(next(), Operator::IsNotDistinctFrom, next()),
        "booland" => binary(truth_of(next()), Operator::And, truth_of(next())),
        "boolor" => binary(truth_of(next()), Operator::Or, truth_of(next())),
        "boolxor" => binary(truth_of(next()), Operator::NotEq, truth_of(next())),
        "boolnot" => Expr::Not(Box::new(next())),
        "div0" => {
            let (a, b) = (next(), next());
            let zero_divisor = binary(b.clone(), Operator::Eq, zero());
            let quotient = binary(a.clone(), Operator::Divide, b);
            case(vec![(binary(zero_divisor, Operator::And, a.is_not_null()), zero())], Some(quotient))
        }
        "div0null" => {
            let (a, b) = (next(), next());
            let quotient = binary(a.clone(), Operator::Divide, b.clone());
            let nothing = binary(b.clone(), Operator::Eq, zero());
            let nothing = binary(binary(b.is_null(), Operator::Or, nothing), Operator::And, a.is_not_null());
            case(vec![(nothing, zero())], Some(quotient))
        }
        "regr_valx" => {
            let (y, x) = (next(), next());
            case(vec![(y.is_not_null(), x)], None)
        }
        "regr_valy" => {
            let (y, x) = (next(), next());
            case(vec![(x.is_not_null(), y)], None)
        }
        _ => return Ok(None),
    }))
}

/// `DECODE(value, search, result, …, default)`, in which NULL finds NULL.
fn decoded(args: &[Expr]) -> Expr {
    let Some((value, rest)) = args.split_first() else { return null() };
    let pairs = rest.chunks_exact(2);
    let otherwise = pairs.remainder().first().cloned();
    let branch = |pair: &[Expr]| (binary(value.clone(), Operator::IsNotDistinctFrom, pair[0].clone()), pair[1].clone());
    case(pairs.map(branch).collect(), otherwise)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Extreme {
    Greatest,
    Least,
}

/// The columns of a call in its result type, one value a row.
fn columns(call: &Call<'_>) -> Result<Vec<ArrayRef>> {
    let kind = SqlType::of(call.returns).unwrap_or(SqlType::Null);
    let one = |index| {
        let column = call.column(index)?;
        let array = match column.array().data_type() {
            own if own == call.returns => Arc::clone(column.array()),
            DataType::Null => new_null_array(call.returns, column.array().len()),
            _ => cast(column.array(), &Target::from(kind), call.session, Misfit::Error)?,
        };
        if !column.is_constant() || call.rows == 1 {
            return Ok(array);
        }
        let first = datafusion::arrow::array::UInt32Array::from(vec![0; call.rows]);
        Ok(datafusion::arrow::compute::take(&array, &first, None)?)
    };
    (0..call.len()).map(one).collect()
}

fn extreme(call: &Call<'_>, extreme: Extreme, ignore_nulls: bool) -> Result<ArrayRef> {
    let mut columns = columns(call)?.into_iter();
    let Some(mut best) = columns.next() else { return call.fail("it takes at least one argument") };
    for other in columns {
        let beats = beats(&other, &best, extreme)?;
        let take = |row: usize| match (best.is_null(row), other.is_null(row)) {
            (false, false) => beats.value(row),
            (true, false) => ignore_nulls,
            (false, true) => !ignore_nulls,
            (true, true) => false,
        };
        let mask: BooleanArray = (0..call.rows).map(|row| Some(take(row))).collect();
        best = zip(&mask, &other, &best)?;
    }
    Ok(best)
}

/// Where one column's value comes before another's.
fn beats(other: &ArrayRef, best: &ArrayRef, extreme: Extreme) -> Result<BooleanArray> {
    let (other, best) = (comparable(other)?, comparable(best)?);
    Ok(match extreme {
        Extreme::Greatest => cmp::gt(&other, &best)?,
        Extreme::Least => cmp::lt(&other, &best)?,
    })
}

/// A column by which values compare as they do: keys of VARIANTs, instants of TIMESTAMP_TZ.
fn comparable(array: &ArrayRef) -> Result<ArrayRef> {
    use datafusion::arrow::array::{AsArray, BinaryArray};
    Ok(match SqlType::of(array.data_type()) {
        Some(kind) if kind.is_semi_structured() => {
            let texts = variant::array::texts(array)?;
            Arc::new(texts.iter().map(|text| text.map(variant::key::key)).collect::<BinaryArray>())
        }
        Some(SqlType::TimestampTz) => Arc::clone(array.as_struct().column(0)),
        _ => Arc::clone(array),
    })
}
