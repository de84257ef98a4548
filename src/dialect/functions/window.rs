//! Functions that only make sense with OVER. Ranks, LAG and LEAD, and first, last and nth values are DataFusion's, which
//! agree; the others are computed over whole partitions here.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, new_null_array,
};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Float64Type, i256};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl};

use super::aggregate::{equal_rows, floats};
use super::{Fidelity, Function, Implementation};
use crate::dialect::types::SqlType;
use crate::dialect::variant::array::texts;
use crate::dialect::variant::convert::{Unreadable, to_boolean};

/// The functions of this family.
pub(super) fn functions() -> Vec<Function> {
    let function = |name, implementation| Function {
        name,
        aliases: &[],
        family: "window",
        fidelity: Fidelity::Exact,
        implementation,
    };
    let own = |name, rule, kernel| {
        let signature = Signature::user_defined(Volatility::Immutable);
        let udwf = WindowUDF::new_from_impl(Whole { name, rule, kernel, signature });
        function(name, Implementation::Window(Arc::new(udwf)))
    };
    let mut all = vec![
        own("ratio_to_report", ratio_rule, ratio_to_report),
        own("conditional_change_event", |_| Ok(DataType::Int64), change_event),
        own("conditional_true_event", truth_rule, true_event),
    ];
    let built_in = [
        "row_number",
        "rank",
        "dense_rank",
        "percent_rank",
        "cume_dist",
        "ntile",
        "lag",
        "lead",
        "first_value",
        "last_value",
        "nth_value",
    ];
    all.extend(built_in.map(|name| function(name, Implementation::Rewritten)));
    all
}

type Rule = fn(&DataType) -> Result<DataType>;
type Kernel = fn(&ArrayRef) -> Result<ArrayRef>;

/// A function of one argument over whole partitions, whose rows come in the order of OVER.
struct Whole {
    name: &'static str,
    rule: Rule,
    kernel: Kernel,
    signature: Signature,
}

impl std::fmt::Debug for Whole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Whole {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Whole {}

impl Hash for Whole {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl WindowUDFImpl for Whole {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [only] => (self.rule)(only).map(|_| types.to_vec()),
            _ => plan_err!("`{}` takes 1 argument, not {}", self.name, types.len()),
        }
    }

    fn partition_evaluator(&self, _: PartitionEvaluatorArgs<'_>) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Evaluator(self.kernel)))
    }

    fn field(&self, args: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        let Some(argument) = args.get_input_field(0) else {
            return plan_err!("`{}` takes 1 argument", self.name);
        };
        Ok(Arc::new(Field::new(args.name(), (self.rule)(argument.data_type())?, true)))
    }
}

#[derive(Debug)]
struct Evaluator(Kernel);

impl PartitionEvaluator for Evaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], _: usize) -> Result<ArrayRef> {
        (self.0)(&values[0])
    }
}

/// The scale of a share of NUMBERs, by the rule of their division.
fn share_scale(scale: u8) -> u8 {
    scale.max((scale + 6).min(12)).min(37)
}

fn ratio_rule(argument: &DataType) -> Result<DataType> {
    match SqlType::of(argument) {
        Some(SqlType::Number { scale, .. }) => Ok(DataType::Decimal128(38, share_scale(scale) as i8)),
        Some(SqlType::Float | SqlType::Varchar(_) | SqlType::Variant | SqlType::Null) => Ok(DataType::Float64),
        _ => plan_err!("the argument of `ratio_to_report` must be a number"),
    }
}

fn cast(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    Ok(cast_with_options(array, data_type, &CastOptions { safe: false, ..CastOptions::default() })?)
}

/// The share of each value in the sum of the partition; NULL where that is 0.
fn ratio_to_report(values: &ArrayRef) -> Result<ArrayRef> {
    let Some(SqlType::Number { scale, .. }) = SqlType::of(values.data_type()) else {
        let values = floats(values)?;
        let sum: f64 = values.iter().flatten().sum();
        let share = |value: Option<f64>| value.filter(|_| sum != 0.0).map(|value| value / sum);
        return Ok(Arc::new(values.iter().map(share).collect::<Float64Array>()));
    };
    let values = cast(values, &DataType::Decimal128(38, scale as i8))?;
    let values = values.as_primitive::<Decimal128Type>();
    let sum = values.iter().flatten().fold(i256::ZERO, |sum, value| sum.wrapping_add(i256::from_i128(value)));
    let result = DataType::Decimal128(38, share_scale(scale) as i8);
    if sum == i256::ZERO {
        return Ok(new_null_array(&result, values.len()));
    }
    let unit = i256::from_i128(10_i128.pow(u32::from(share_scale(scale))));
    let mut shares = Vec::with_capacity(values.len());
    for value in values {
        shares.push(match value {
            None => None,
            Some(value) => match rounded(i256::from_i128(value).wrapping_mul(unit), sum).to_i128() {
                Some(share) if share.unsigned_abs() < 10_u128.pow(38) => Some(share),
                _ => return exec_err!("`ratio_to_report`: number out of range"),
            },
        });
    }
    Ok(Arc::new(Decimal128Array::from(shares).with_precision_and_scale(38, share_scale(scale) as i8)?))
}

/// A quotient rounded half away from zero.
fn rounded(value: i256, by: i256) -> i256 {
    let (quotient, rest) = (value.wrapping_div(by), value.wrapping_rem(by));
    let twice = rest.wrapping_abs().wrapping_add(rest.wrapping_abs());
    if twice < by.wrapping_abs() {
        return quotient;
    }
    let up = (value < i256::ZERO) == (by < i256::ZERO);
    if up { quotient.wrapping_add(i256::ONE) } else { quotient.wrapping_sub(i256::ONE) }
}

/// How often the value has changed so far, from one that is not NULL to another.
fn change_event(values: &ArrayRef) -> Result<ArrayRef> {
    let rows = equal_rows(std::slice::from_ref(values))?;
    let nulls = values.logical_nulls();
    let (mut last, mut changes) = (None, 0);
    let mut events = Vec::with_capacity(values.len());
    for at in 0..values.len() {
        if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(at)) {
            let row = rows.row(at);
            changes += i64::from(last.is_some_and(|last| last != row));
            last = Some(row);
        }
        events.push(changes);
    }
    Ok(Arc::new(Int64Array::from(events)))
}

fn truth_rule(argument: &DataType) -> Result<DataType> {
    match SqlType::of(argument) {
        Some(SqlType::Boolean | SqlType::Number { .. } | SqlType::Float | SqlType::Variant | SqlType::Null) => {
            Ok(DataType::Int64)
        }
        _ => plan_err!("the argument of `conditional_true_event` must be a BOOLEAN"),
    }
}

/// How often the condition has been true so far.
fn true_event(values: &ArrayRef) -> Result<ArrayRef> {
    let truths = match SqlType::of(values.data_type()) {
        Some(SqlType::Variant) => to_boolean(&texts(values)?, Unreadable::Error)?,
        Some(SqlType::Boolean | SqlType::Null) => cast(values, &DataType::Boolean)?.as_boolean().clone(),
        _ => {
            let numbers = cast(values, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<Float64Type>();
            numbers.iter().map(|value| value.map(|value| value != 0.0)).collect::<BooleanArray>()
        }
    };
    let mut count = 0;
    let events = truths.iter().map(|value| {
        count += i64::from(value == Some(true));
        count
    });
    Ok(Arc::new(Int64Array::from_iter_values(events)))
}

#[cfg(test)]
mod tests {
    use crate::dialect::functions::testing::query;

    fn over(select: &str, values: &str) -> Vec<String> {
        let rows = query(&format!("SELECT {select} FROM (VALUES {values}) AS T(A, B) ORDER BY B"));
        rows.unwrap_or_else(|message| panic!("{select}: {message}")).into_iter().map(|row| row.join("|")).collect()
    }

    #[test]
    fn shares_are_exact() {
        let rows = "(300.00, 1), (250.00, 2), (450.00, 3), (NULL, 4)";
        let shares = ["0.300000", "0.250000", "0.450000", "NULL"];
        assert_eq!(over("RATIO_TO_REPORT(A) OVER ()", rows), shares);
        assert_eq!(over("RATIO_TO_REPORT(A) OVER ()", "(1, 1), (2, 2)"), ["0.333333", "0.666667"]);
        assert_eq!(over("RATIO_TO_REPORT(A) OVER ()", "(1, 1), (-1, 2)"), ["NULL", "NULL"]);
    }

    #[test]
    fn events_are_counted() {
        let rows = "(8, 1), (8, 2), (NULL, 3), (9, 4), (8, 5)";
        assert_eq!(over("CONDITIONAL_CHANGE_EVENT(A) OVER (ORDER BY B)", rows), ["0", "0", "0", "1", "2"]);
        assert_eq!(over("CONDITIONAL_TRUE_EVENT(A = 8) OVER (ORDER BY B)", rows), ["1", "2", "2", "2", "3"]);
    }
}
