//! SUM and AVG: exact on NUMBER, where SUM keeps the scale and AVG has the scale of a division; in 64 bits on FLOAT. Text and
//! VARIANT are read as FLOAT, by casts that the dialect puts around the argument.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility};
use hashbrown::HashSet;

use super::operator::tidy;
use super::{Fidelity, Function, Implementation};
use crate::dialect::arithmetic::{self, Fault, Operator, digits};
use crate::dialect::types::{MAX_PRECISION, SqlType};

/// Many groups at once.
mod groups;

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    let function = |name, kind| Function {
        name,
        aliases: &[],
        family: "aggregate",
        fidelity: Fidelity::Exact,
        implementation: Implementation::Aggregate(Arc::new(AggregateUDF::new_from_impl(Total::new(name, kind)))),
    };
    vec![function("sum", Kind::Sum), function("avg", Kind::Average)]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Sum,
    Average,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Total {
    name: &'static str,
    kind: Kind,
    signature: Signature,
}

impl Total {
    fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

/// How the total of a column becomes the result.
#[derive(Clone, Copy, Debug)]
struct Scales {
    kind: Kind,
    /// The scale of the column.
    own: u8,
    /// The precision and scale of the result.
    result: (u8, u8),
}

impl Scales {
    fn new(kind: Kind, (precision, own): (u8, u8)) -> Self {
        let result = match kind {
            Kind::Sum => (MAX_PRECISION, own),
            Kind::Average => (MAX_PRECISION, Operator::Divide.result((precision, own), (1, 0)).1),
        };
        Self { kind, own, result }
    }

    /// The result of a sum of so many values.
    fn finish(self, sum: i128, count: i64) -> Result<i128> {
        let value = match self.kind {
            Kind::Sum => Some(sum).filter(|sum| arithmetic::fits(*sum)),
            Kind::Average => {
                let factor = arithmetic::power(self.result.1 - self.own);
                arithmetic::scaled(sum, factor, i128::from(count))
            }
        };
        value.ok_or_else(|| Fault::Overflow.into())
    }

    fn float(self, sum: f64, count: i64) -> f64 {
        match self.kind {
            Kind::Sum => tidy(sum),
            Kind::Average => tidy(sum / count as f64),
        }
    }
}

impl AggregateUDFImpl for Total {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [only] = types else {
            return plan_err!("`{}` takes 1 argument, not {}", self.name.to_uppercase(), types.len());
        };
        Ok(vec![match SqlType::of(only) {
            Some(SqlType::Number { .. }) if digits(only).is_some() => only.clone(),
            Some(SqlType::Number { scale, .. }) if *only != DataType::UInt64 && scale == 0 => DataType::Int64,
            Some(SqlType::Number { precision, scale }) => DataType::Decimal128(precision, scale as i8),
            Some(SqlType::Null) => DataType::Int64,
            Some(SqlType::Float) => DataType::Float64,
            Some(SqlType::Varchar(_) | SqlType::Variant) => only.clone(),
            Some(other) => return plan_err!("argument 1 of `{}` cannot be {other}", self.name.to_uppercase()),
            None => return plan_err!("argument 1 of `{}` cannot be of type {only}", self.name.to_uppercase()),
        }])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match types.first().and_then(digits) {
            Some(own) => {
                let (precision, scale) = Scales::new(self.kind, own).result;
                DataType::Decimal128(precision, scale as i8)
            }
            None => DataType::Float64,
        })
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let sum = match args.input_fields.first().and_then(|field| digits(field.data_type())) {
            Some((_, scale)) => DataType::Decimal128(MAX_PRECISION, scale as i8),
            None => DataType::Float64,
        };
        if args.is_distinct {
            let item = Arc::new(Field::new_list_field(sum, true));
            return Ok(vec![Arc::new(Field::new("values", DataType::List(item), true))]);
        }
        Ok(vec![Arc::new(Field::new("sum", sum, true)), Arc::new(Field::new("count", DataType::Int64, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let exact = input_digits(&args).map(|own| Scales::new(self.kind, own));
        Ok(match (args.is_distinct, exact) {
            (false, Some(scales)) => Box::new(Exact { scales, sum: 0, count: 0 }),
            (false, None) => Box::new(Floats { scales: Scales::new(self.kind, (1, 0)), sum: 0.0, count: 0 }),
            (true, exact) => Box::new(Distinct {
                scales: exact.unwrap_or_else(|| Scales::new(self.kind, (1, 0))),
                float: exact.is_none(),
                values: HashSet::new(),
            }),
        })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(match input_digits(&args) {
            Some(own) => Box::new(groups::Exact::new(Scales::new(self.kind, own))),
            None => Box::new(groups::Floats::new(Scales::new(self.kind, (1, 0)))),
        })
    }
}

fn input_digits(args: &AccumulatorArgs<'_>) -> Option<(u8, u8)> {
    args.expr_fields.first().and_then(|field| digits(field.data_type()))
}

/// The sum and the number of the values of a column of exact numbers.
fn exact_sum(array: &ArrayRef) -> Result<(i128, i64)> {
    let count = (array.len() - array.null_count()) as i64;
    let overflow = || DataFusionError::from(Fault::Overflow);
    let sum = match array.data_type() {
        DataType::Int64 if array.null_count() == 0 => {
            array.as_primitive::<Int64Type>().values().iter().map(|value| i128::from(*value)).sum()
        }
        DataType::Int64 => array.as_primitive::<Int64Type>().iter().flatten().map(i128::from).sum(),
        DataType::Decimal128(..) => {
            let mut values = array.as_primitive::<Decimal128Type>().iter().flatten();
            values.try_fold(0_i128, |sum, value| sum.checked_add(value).ok_or_else(overflow))?
        }
        _ => 0,
    };
    Ok((sum, count))
}

fn decimal(value: Option<i128>, (precision, scale): (u8, u8)) -> ScalarValue {
    ScalarValue::Decimal128(value, precision, scale as i8)
}

/// The total of exact numbers.
#[derive(Debug)]
struct Exact {
    scales: Scales,
    sum: i128,
    count: i64,
}

impl Exact {
    fn add(&mut self, sum: i128, count: i64) -> Result<()> {
        self.sum = self.sum.checked_add(sum).ok_or_else(|| DataFusionError::from(Fault::Overflow))?;
        self.count += count;
        Ok(())
    }
}

impl Accumulator for Exact {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (sum, count) = exact_sum(&values[0])?;
        self.add(sum, count)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (sum, count) = exact_sum(&values[0])?;
        self.add(-sum, -count)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = if self.count == 0 { None } else { Some(self.scales.finish(self.sum, self.count)?) };
        Ok(decimal(value, self.scales.result))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        if !arithmetic::fits(self.sum) {
            return Err(Fault::Overflow.into());
        }
        Ok(vec![decimal(Some(self.sum), (MAX_PRECISION, self.scales.own)), ScalarValue::Int64(Some(self.count))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (sum, _) = exact_sum(&states[0])?;
        let (count, _) = exact_sum(&states[1])?;
        self.add(sum, count as i64)
    }
}

/// The total of floats.
#[derive(Debug)]
struct Floats {
    scales: Scales,
    sum: f64,
    count: i64,
}

fn float_sum(array: &ArrayRef) -> (f64, i64) {
    let values = array.as_primitive::<Float64Type>();
    (values.iter().flatten().sum(), (values.len() - values.null_count()) as i64)
}

impl Accumulator for Floats {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (sum, count) = float_sum(&values[0]);
        self.sum += sum;
        self.count += count;
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (sum, count) = float_sum(&values[0]);
        self.sum -= sum;
        self.count -= count;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = (self.count != 0).then(|| self.scales.float(self.sum, self.count));
        Ok(ScalarValue::Float64(value))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Float64(Some(self.sum)), ScalarValue::Int64(Some(self.count))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.sum += float_sum(&states[0]).0;
        self.count += exact_sum(&states[1])?.0 as i64;
        Ok(())
    }
}

/// The total of the distinct values, floats as their bits.
#[derive(Debug)]
struct Distinct {
    scales: Scales,
    float: bool,
    values: HashSet<i128>,
}

impl Distinct {
    fn take(&mut self, array: &ArrayRef) {
        match array.data_type() {
            DataType::Int64 => self.values.extend(array.as_primitive::<Int64Type>().iter().flatten().map(i128::from)),
            DataType::Decimal128(..) => self.values.extend(array.as_primitive::<Decimal128Type>().iter().flatten()),
            DataType::Float64 => {
                let floats = array.as_primitive::<Float64Type>().iter().flatten();
                self.values.extend(floats.map(|value| i128::from(tidy(value).to_bits())));
            }
            _ => {}
        }
    }
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.take(&values[0]);
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let count = self.values.len() as i64;
        if self.float {
            // In the order of their bits, so that the rounding of the sum is the same every time.
            let mut bits: Vec<u64> = self.values.iter().map(|bits| *bits as u64).collect();
            bits.sort_unstable();
            let sum = bits.into_iter().map(f64::from_bits).sum();
            return Ok(ScalarValue::Float64((count != 0).then(|| self.scales.float(sum, count))));
        }
        let overflow = || DataFusionError::from(Fault::Overflow);
        let sum = self.values.iter().try_fold(0_i128, |sum, value| sum.checked_add(*value).ok_or_else(overflow))?;
        let value = if count == 0 { None } else { Some(self.scales.finish(sum, count)?) };
        Ok(decimal(value, self.scales.result))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<i128>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let own = (MAX_PRECISION, self.scales.own);
        let scalar = |value: &i128| match self.float {
            true => ScalarValue::Float64(Some(f64::from_bits(*value as u64))),
            false => decimal(Some(*value), own),
        };
        let values: Vec<ScalarValue> = self.values.iter().map(scalar).collect();
        let item = if self.float { DataType::Float64 } else { DataType::Decimal128(MAX_PRECISION, own.1 as i8) };
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &item))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for list in states[0].as_list::<i32>().iter().flatten() {
            self.take(&list);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::Int64Array;

    fn result(kind: Kind, array: ArrayRef) -> String {
        let scales = Scales::new(kind, digits(array.data_type()).unwrap());
        let mut total = Exact { scales, sum: 0, count: 0 };
        total.update_batch(&[array]).unwrap();
        total.evaluate().unwrap().to_string()
    }

    #[test]
    fn sums_do_not_wrap_and_averages_have_six_more_digits() {
        let big: ArrayRef = Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(i64::MAX), None]));
        assert_eq!(result(Kind::Sum, Arc::clone(&big)), "18446744073709551614");
        let few: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 2]));
        assert_eq!(result(Kind::Average, few), "1.666667");
    }
}
