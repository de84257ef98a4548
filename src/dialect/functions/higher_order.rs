//! Functions that take a lambda: FILTER, TRANSFORM and REDUCE. The lambda sees the elements of many arrays at once, as one
//! column of VARIANTs in which a hole is an SQL NULL; REDUCE sees the first elements of all arrays, then the second ones.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder, UInt32Array, new_null_array};
use datafusion::arrow::compute::{CastOptions, cast_with_options, interleave, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, HigherOrderFunctionArgs, HigherOrderReturnFieldArgs, HigherOrderSignature, HigherOrderUDF,
    HigherOrderUDFImpl, LambdaArgument, LambdaParametersProgress, ValueOrLambda, Volatility,
};

use super::{Fidelity, Function, Implementation};
use crate::dialect::types::{self, SqlType};
use crate::dialect::variant::array::{of_texts, texts};
use crate::dialect::variant::convert::to_texts;
use crate::dialect::variant::text::{Kind, elements};
use crate::dialect::variant::write::ArrayText;

/// The functions of this family.
pub(super) fn functions() -> Vec<Function> {
    [("filter", Work::Filter), ("transform", Work::Transform), ("reduce", Work::Reduce)]
        .map(|(name, work)| Function {
            name,
            aliases: &[],
            family: "higher-order",
            fidelity: Fidelity::Exact,
            implementation: Implementation::HigherOrder(Arc::new(HigherOrderUDF::new_from_impl(HigherOrder {
                name,
                work,
                signature: HigherOrderSignature::user_defined(Volatility::Immutable),
            }))),
        })
        .to_vec()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Filter,
    Transform,
    Reduce,
}

struct HigherOrder {
    name: &'static str,
    work: Work,
    signature: HigherOrderSignature,
}

impl fmt::Debug for HigherOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for HigherOrder {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for HigherOrder {}

impl Hash for HigherOrder {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

fn parameter(name: &str, data_type: &DataType) -> FieldRef {
    Arc::new(Field::new(name, data_type.clone(), true))
}

/// Whether a type can hold every value of another that a sum of its values has.
fn result_type(initial: &DataType, given: &DataType) -> DataType {
    if initial == &DataType::Null { given.clone() } else { initial.clone() }
}

impl HigherOrder {
    fn wrong(&self) -> String {
        match self.work {
            Work::Reduce => format!("`{}` takes an array, a first value and a lambda", self.name),
            _ => format!("`{}` takes an array and a lambda", self.name),
        }
    }
}

impl HigherOrderUDFImpl for HigherOrder {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &HigherOrderSignature {
        &self.signature
    }

    fn coerce_value_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let values = if self.work == Work::Reduce { 2 } else { 1 };
        if types.len() != values {
            return plan_err!("{}", self.wrong());
        }
        match SqlType::of(&types[0]) {
            Some(SqlType::Array | SqlType::Variant | SqlType::Null) => Ok(types.to_vec()),
            _ => plan_err!("the first argument of `{}` must be an ARRAY", self.name),
        }
    }

    fn lambda_parameters(
        &self,
        _: usize,
        fields: &[ValueOrLambda<FieldRef, Option<FieldRef>>],
    ) -> Result<LambdaParametersProgress> {
        let element = parameter("element", &types::variant());
        match (self.work, fields) {
            (Work::Filter | Work::Transform, [ValueOrLambda::Value(_), ValueOrLambda::Lambda(_)]) => {
                Ok(LambdaParametersProgress::Complete(vec![vec![element]]))
            }
            (Work::Reduce, [ValueOrLambda::Value(_), ValueOrLambda::Value(initial), ValueOrLambda::Lambda(result)]) => {
                let known = result.as_ref().map_or(initial.data_type(), |result| result.data_type());
                let parameters = vec![parameter("accumulator", known), element];
                // The accumulator has the type of what the lambda gives for the first value.
                Ok(match result {
                    None => LambdaParametersProgress::Partial(vec![Some(parameters)]),
                    Some(_) => LambdaParametersProgress::Complete(vec![parameters]),
                })
            }
            _ => plan_err!("{}", self.wrong()),
        }
    }

    fn return_field_from_args(&self, args: HigherOrderReturnFieldArgs<'_>) -> Result<FieldRef> {
        let data_type = match (self.work, args.arg_fields) {
            (Work::Reduce, [_, ValueOrLambda::Value(initial), ValueOrLambda::Lambda(result)]) => {
                result_type(result.data_type(), initial.data_type())
            }
            (Work::Filter | Work::Transform, [_, ValueOrLambda::Lambda(_)]) => types::array(),
            _ => return plan_err!("{}", self.wrong()),
        };
        Ok(Arc::new(Field::new(self.name, data_type, true)))
    }

    fn invoke_with_args(&self, args: HigherOrderFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let (Some(ValueOrLambda::Value(arrays)), Some(ValueOrLambda::Lambda(lambda))) =
            (args.args.first(), args.args.last())
        else {
            return exec_err!("{}", self.wrong());
        };
        let arrays = texts(&arrays.to_array(rows)?)?;
        let result = match (self.work, args.args.get(1)) {
            (Work::Reduce, Some(ValueOrLambda::Value(initial))) => {
                reduce(&arrays, &initial.to_array(rows)?, lambda, args.return_field.data_type())?
            }
            _ => each(&arrays, lambda, self.work)?,
        };
        Ok(ColumnarValue::Array(result))
    }
}

/// A VARIANT as the elements it has: an array's, or itself; none for JSON null.
fn elements_of(text: &str) -> Box<dyn Iterator<Item = &str> + '_> {
    match Kind::of(text) {
        Kind::Array => Box::new(elements(text)),
        Kind::Null | Kind::Undefined => Box::new(std::iter::empty()),
        _ => Box::new(std::iter::once(text)),
    }
}

fn variants(mut builder: StringBuilder) -> Result<ArrayRef> {
    of_texts(builder.finish(), &types::variant())
}

fn evaluate(lambda: &LambdaArgument, arguments: &[ArrayRef], parents: &UInt32Array) -> Result<ArrayRef> {
    let getters: Vec<Box<dyn Fn() -> Result<ArrayRef>>> = arguments
        .iter()
        .map(|argument| {
            let argument = Arc::clone(argument);
            Box::new(move || Ok(Arc::clone(&argument))) as Box<dyn Fn() -> Result<ArrayRef>>
        })
        .collect();
    let getters: Vec<&dyn Fn() -> Result<ArrayRef>> = getters.iter().map(AsRef::as_ref).collect();
    let spread = |captures: &[ArrayRef]| captures.iter().map(|column| Ok(take(column, parents, None)?)).collect();
    lambda.evaluate(&getters, spread)?.into_array(parents.len())
}

/// FILTER and TRANSFORM: the lambda over the elements of all arrays.
fn each(arrays: &StringArray, lambda: &LambdaArgument, work: Work) -> Result<ArrayRef> {
    let mut given = StringBuilder::new();
    let mut parents: Vec<u32> = Vec::new();
    for (row, array) in arrays.iter().enumerate() {
        for element in array.into_iter().flat_map(elements_of) {
            given.append_option((element != "undefined").then_some(element));
            parents.push(row as u32);
        }
    }
    let count = parents.len();
    let result = match count {
        0 => new_null_array(if work == Work::Filter { &DataType::Boolean } else { &DataType::Utf8 }, 0),
        _ => evaluate(lambda, &[variants(given)?], &UInt32Array::from(parents))?,
    };
    let kept = if work == Work::Filter { Some(truths(&result)?) } else { None };
    let made = if work == Work::Filter { None } else { Some(to_texts(&result)?) };
    let mut builder = StringBuilder::new();
    let mut at = 0;
    for array in arrays {
        let Some(array) = array.filter(|array| !matches!(*array, "null" | "undefined")) else {
            builder.append_null();
            continue;
        };
        let mut out = ArrayText::default();
        for element in elements_of(array) {
            match (&kept, &made) {
                (Some(kept), _) if kept.is_valid(at) && kept.value(at) => out.push(element),
                (None, Some(made)) => out.push(if made.is_valid(at) { made.value(at) } else { "undefined" }),
                _ => {}
            }
            at += 1;
        }
        builder.append_value(out.finish());
    }
    of_texts(builder.finish(), &types::array())
}

fn truths(result: &ArrayRef) -> Result<datafusion::arrow::array::BooleanArray> {
    match SqlType::of(result.data_type()) {
        Some(SqlType::Boolean | SqlType::Null) => Ok(cast(result, &DataType::Boolean)?.as_boolean().clone()),
        Some(SqlType::Variant) => crate::dialect::variant::convert::to_boolean(
            &texts(result)?,
            crate::dialect::variant::convert::Unreadable::Error,
        ),
        _ => exec_err!("the lambda of `filter` must give a BOOLEAN"),
    }
}

fn cast(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if array.data_type() == data_type {
        return Ok(Arc::clone(array));
    }
    if SqlType::of(data_type) == Some(SqlType::Variant) {
        return of_texts(to_texts(array)?, data_type);
    }
    Ok(cast_with_options(array, data_type, &CastOptions { safe: false, ..CastOptions::default() })?)
}

/// REDUCE: the lambda over the accumulators of all arrays that still have an element, position by position.
fn reduce(arrays: &StringArray, initial: &ArrayRef, lambda: &LambdaArgument, to: &DataType) -> Result<ArrayRef> {
    let lists: Vec<Option<Vec<&str>>> = arrays
        .iter()
        .map(|array| array.filter(|array| !matches!(*array, "null" | "undefined")).map(|a| elements_of(a).collect()))
        .collect();
    let longest = lists.iter().flatten().map(Vec::len).max().unwrap_or(0);
    let mut accumulators = cast(initial, to)?;
    for position in 0..longest {
        let mut given = StringBuilder::new();
        let mut parents: Vec<u32> = Vec::new();
        for (row, list) in lists.iter().enumerate() {
            if let Some(element) = list.as_ref().and_then(|list| list.get(position)) {
                given.append_option((*element != "undefined").then_some(*element));
                parents.push(row as u32);
            }
        }
        let parents = UInt32Array::from(parents);
        let current = take(&accumulators, &parents, None)?;
        let result = cast(&evaluate(lambda, &[current, variants(given)?], &parents)?, to)?;
        let mut places: Vec<(usize, usize)> = (0..accumulators.len()).map(|row| (0, row)).collect();
        for (at, parent) in parents.values().iter().enumerate() {
            places[*parent as usize] = (1, at);
        }
        accumulators = interleave(&[accumulators.as_ref(), result.as_ref()], &places)?;
    }
    let null = new_null_array(to, 1);
    let place = |(row, list): (usize, &Option<Vec<&str>>)| if list.is_some() { (0, row) } else { (1, 0) };
    let places: Vec<(usize, usize)> = lists.iter().enumerate().map(place).collect();
    Ok(interleave(&[accumulators.as_ref(), null.as_ref()], &places)?)
}

#[cfg(test)]
mod tests {
    use crate::dialect::functions::testing::value;

    #[test]
    fn lambdas_filter_transform_and_reduce() {
        assert_eq!(value("FILTER(PARSE_JSON('[1,,3,5,]'), a -> a IS NOT NULL)"), "[1,3,5]");
        assert_eq!(value("FILTER(PARSE_JSON('[{\"v\":50},{\"v\":25}]'), a -> a:v >= 50)"), "[{\"v\":50}]");
        assert_eq!(value("TRANSFORM(PARSE_JSON('[1,2,3]'), a INT -> a * 2)"), "[2,4,6]");
        assert_eq!(value("REDUCE(PARSE_JSON('[1,2,3]'), 0, (acc INT, val INT) -> acc + val)"), "6");
        assert_eq!(value("REDUCE(PARSE_JSON('[]'), 10, (acc INT, val INT) -> acc + val)"), "10");
        assert_eq!(value("FILTER(NULL, a -> a > 1)"), "NULL");
    }

    #[test]
    fn lambdas_see_the_columns_of_their_row() {
        let sql = "SELECT TRANSFORM(PARSE_JSON(A), x INT -> x + B) FROM (VALUES ('[1,2]', 10), ('[3]', 20)) AS T(A, B)";
        let rows = crate::dialect::functions::testing::query(sql).unwrap();
        assert_eq!(rows, [["[11,12]"], ["[23]"]]);
    }
}
