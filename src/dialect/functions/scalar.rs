//! A scalar function from its parts: a name, the number of its arguments, the rule of its result type and a kernel over
//! Arrow columns. It holds no function of its own.

use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanBuilder, Decimal128Array, Float64Array, Int64Array,
    Int64Builder, StringArray, StringBuilder, new_null_array,
};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::{Fidelity, Function, Implementation};
use crate::dialect::digest::call_name;
use crate::dialect::format::text_column;
use crate::dialect::session::SessionParameters;
use crate::dialect::types::{self, SqlType};
use crate::dialect::variant::array::of_texts;

/// Computes the result column of one call.
pub(super) type Kernel = fn(&Call<'_>) -> Result<ArrayRef>;

/// Tells the result type of one call, or why there cannot be such a call.
pub(super) type Rule = fn(&Shape<'_>) -> Result<DataType>;

/// What is known of a call before there are rows.
pub(super) struct Shape<'a> {
    /// The function's name in upper case.
    pub(super) name: &'a str,
    /// The types of the arguments.
    pub(super) types: &'a [DataType],
    /// The arguments that are constants.
    pub(super) constants: &'a [Option<&'a ScalarValue>],
    /// The session's zone.
    pub(super) zone: &'a Arc<str>,
    /// What plain TIMESTAMP means in the session.
    pub(super) timestamp: SqlType,
}

impl Shape<'_> {
    /// The Snowflake type of an argument; NULL where there is none.
    pub(super) fn sql_type(&self, index: usize) -> SqlType {
        self.types.get(index).and_then(SqlType::of).unwrap_or(SqlType::Null)
    }

    /// The text of an argument that is a constant and not NULL.
    pub(super) fn constant_text(&self, index: usize) -> Option<&str> {
        self.constants.get(index).copied().flatten().and_then(|value| value.try_as_str().flatten())
    }

    /// An error of this call.
    pub(super) fn error(&self, message: impl std::fmt::Display) -> DataFusionError {
        DataFusionError::Plan(format!("`{}`: {message}", self.name))
    }

    /// A refusal of an argument, named by its type.
    pub(super) fn refuse<T>(&self, index: usize) -> Result<T> {
        plan_err!("argument {} of `{}` cannot be {}", index + 1, self.name, self.sql_type(index))
    }
}

/// One scalar function.
#[derive(Debug)]
pub(super) struct Scalar {
    name: &'static str,
    shown: String,
    aliases: Vec<String>,
    signature: Signature,
    arity: RangeInclusive<usize>,
    rule: Rule,
    kernel: Kernel,
    zone: Arc<str>,
    timestamp: SqlType,
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.zone == other.zone && self.timestamp == other.timestamp
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// An exact function; `arity` is how many arguments it takes, `usize::MAX` standing for any number.
pub(super) fn exact(
    family: &'static str,
    names: &'static [&'static str],
    arity: RangeInclusive<usize>,
    rule: Rule,
    kernel: Kernel,
) -> Function {
    function(family, names, arity, rule, kernel, Volatility::Immutable)
}

/// The same, for a function whose value depends on more than its arguments.
pub(super) fn function(
    family: &'static str,
    names: &'static [&'static str],
    arity: RangeInclusive<usize>,
    rule: Rule,
    kernel: Kernel,
    volatility: Volatility,
) -> Function {
    let (name, aliases) = (names[0], &names[1..]);
    let scalar = Scalar {
        name,
        shown: name.to_ascii_uppercase(),
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        signature: Signature::user_defined(volatility),
        arity,
        rule,
        kernel,
        zone: Arc::from("UTC"),
        timestamp: SqlType::TimestampNtz,
    };
    let implementation = Implementation::Scalar(Arc::new(ScalarUDF::new_from_impl(scalar)));
    Function { name, aliases, family, fidelity: Fidelity::Exact, implementation }
}

/// A function that is not here, and why.
pub(super) fn refused(family: &'static str, names: &'static [&'static str], why: &'static str) -> Function {
    let (name, aliases) = (names[0], &names[1..]);
    Function { name, aliases, family, fidelity: Fidelity::Refused(why), implementation: Implementation::None }
}

impl ScalarUDFImpl for Scalar {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(call_name(self.name, args))
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let session = SessionParameters::of(config);
        let timestamp = match session.timestamp_type_mapping.to_ascii_uppercase().as_str() {
            "TIMESTAMP_LTZ" => SqlType::TimestampLtz,
            "TIMESTAMP_TZ" => SqlType::TimestampTz,
            _ => SqlType::TimestampNtz,
        };
        Some(ScalarUDF::new_from_impl(Self {
            name: self.name,
            shown: self.shown.clone(),
            aliases: self.aliases.clone(),
            signature: self.signature.clone(),
            arity: self.arity.clone(),
            rule: self.rule,
            kernel: self.kernel,
            zone: Arc::from(session.timezone.as_str()),
            timestamp,
        }))
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if self.arity.contains(&types.len()) {
            return Ok(types.to_vec());
        }
        let (least, most) = (*self.arity.start(), *self.arity.end());
        let wanted = match (least, most) {
            (least, most) if least == most => format!("{least}"),
            (least, usize::MAX) => format!("at least {least}"),
            (least, most) => format!("{least} to {most}"),
        };
        let noun = if wanted == "1" { "argument" } else { "arguments" };
        plan_err!("`{}` takes {wanted} {noun}, not {}", self.shown, types.len())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let constants = vec![None; types.len()];
        let shape =
            Shape { name: &self.shown, types, constants: &constants, zone: &self.zone, timestamp: self.timestamp };
        (self.rule)(&shape)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<_> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let constants = args.scalar_arguments;
        let shape = Shape { name: &self.shown, types: &types, constants, zone: &self.zone, timestamp: self.timestamp };
        Ok(Arc::new(Field::new(self.name, (self.rule)(&shape)?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let volatile = self.signature.volatility == Volatility::Volatile;
        let constant = !volatile && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let call = Call {
            name: &self.shown,
            arguments: &args.args,
            rows: if constant { 1 } else { args.number_rows },
            session: SessionParameters::of(&args.config_options),
            returns: args.return_field.data_type(),
        };
        let result = (self.kernel)(&call)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// One call with its rows.
pub(super) struct Call<'a> {
    /// The function's name in upper case.
    pub(super) name: &'a str,
    arguments: &'a [ColumnarValue],
    /// How many rows the result has.
    pub(super) rows: usize,
    /// The session it runs in.
    pub(super) session: &'a SessionParameters,
    /// The type that the rule gave.
    pub(super) returns: &'a DataType,
}

/// An argument: one value a row, or one value for all rows.
pub(super) struct Column<A> {
    array: A,
    constant: bool,
}

impl<A: Array> Column<A> {
    fn index(&self, row: usize) -> Option<usize> {
        let index = if self.constant { 0 } else { row };
        self.array.is_valid(index).then_some(index)
    }

    /// Whether one value stands for all rows.
    pub(super) fn is_constant(&self) -> bool {
        self.constant
    }
}

impl Column<StringArray> {
    /// The text in a row.
    pub(super) fn get(&self, row: usize) -> Option<&str> {
        self.index(row).map(|index| self.array.value(index))
    }
}

impl Column<BinaryArray> {
    /// The bytes in a row.
    pub(super) fn get(&self, row: usize) -> Option<&[u8]> {
        self.index(row).map(|index| self.array.value(index))
    }
}

impl Column<Int64Array> {
    /// The integer in a row.
    pub(super) fn get(&self, row: usize) -> Option<i64> {
        self.index(row).map(|index| self.array.value(index))
    }
}

impl Column<ArrayRef> {
    /// Where in [`Self::array`] the value of a row is, when it is not NULL.
    pub(super) fn at(&self, row: usize) -> Option<usize> {
        self.index(row)
    }

    /// The values: one a row, or one for all.
    pub(super) fn array(&self) -> &ArrayRef {
        &self.array
    }
}

impl Call<'_> {
    /// How many arguments there are.
    pub(super) fn len(&self) -> usize {
        self.arguments.len()
    }

    /// The Snowflake type of an argument.
    pub(super) fn sql_type(&self, index: usize) -> SqlType {
        self.arguments.get(index).and_then(|value| SqlType::of(&value.data_type())).unwrap_or(SqlType::Null)
    }

    /// An argument as it is.
    pub(super) fn column(&self, index: usize) -> Result<Column<ArrayRef>> {
        Ok(match &self.arguments[index] {
            ColumnarValue::Array(array) => Column { array: Arc::clone(array), constant: false },
            ColumnarValue::Scalar(value) => Column { array: value.to_array()?, constant: true },
        })
    }

    /// An argument as text, however Snowflake shows it.
    pub(super) fn texts(&self, index: usize) -> Result<Column<StringArray>> {
        let Column { array, constant } = self.column(index)?;
        Ok(Column { array: text_column(&array, self.session)?, constant })
    }

    /// An argument as VARIANTs: their canonical texts.
    pub(super) fn variants(&self, index: usize) -> Result<Column<StringArray>> {
        let Column { array, constant } = self.column(index)?;
        Ok(Column { array: crate::dialect::variant::convert::to_texts(&array)?, constant })
    }

    /// An argument as bytes; text gives its UTF-8 bytes.
    pub(super) fn bytes(&self, index: usize) -> Result<Column<BinaryArray>> {
        let column = self.column(index)?;
        let binary = SqlType::of(column.array.data_type()) == Some(SqlType::Binary);
        let array = if binary { column.array } else { Arc::new(text_column(&column.array, self.session)?) };
        Ok(Column {
            array: cast_to(&array, &DataType::Binary)?
                .as_any()
                .downcast_ref::<BinaryArray>()
                .cloned()
                .ok_or_else(wrong_type)?,
            constant: column.constant,
        })
    }

    /// An argument as integers; a fraction rounds half away from zero, a text must be a number.
    pub(super) fn integers(&self, index: usize) -> Result<Column<Int64Array>> {
        let Column { array, constant } = self.column(index)?;
        Ok(Column { array: self.integer_array(index, &array)?, constant })
    }

    fn integer_array(&self, index: usize, array: &ArrayRef) -> Result<Int64Array> {
        let array = match SqlType::of(array.data_type()) {
            Some(SqlType::Float) => {
                let floats = cast_to(array, &DataType::Float64)?;
                let floats = floats.as_any().downcast_ref::<Float64Array>().ok_or_else(wrong_type)?;
                return floats.iter().map(|value| value.map(|v| self.rounded(v)).transpose()).collect();
            }
            Some(SqlType::Varchar(_) | SqlType::Variant) => {
                let texts = text_column(array, self.session)?;
                return texts.iter().map(|value| value.map(|v| self.parsed(v)).transpose()).collect();
            }
            Some(SqlType::Number { scale: 1.., .. }) => {
                let whole = cast_to(array, &DataType::Decimal128(38, 0))?;
                cast_to(&whole, &DataType::Int64)?
            }
            Some(SqlType::Number { .. } | SqlType::Null) => cast_to(array, &DataType::Int64)?,
            Some(SqlType::Boolean) => cast_to(array, &DataType::Int64)?,
            _ => return exec_err!("argument {} of `{}` must be a number", index + 1, self.name),
        };
        array.as_any().downcast_ref::<Int64Array>().cloned().ok_or_else(wrong_type)
    }

    fn rounded(&self, value: f64) -> Result<i64> {
        let rounded = value.round();
        if rounded.abs() < 9.3e18 {
            return Ok(rounded as i64);
        }
        exec_err!("`{}`: number {value} is out of range", self.name)
    }

    fn parsed(&self, value: &str) -> Result<i64> {
        match value.trim().parse::<i64>() {
            Ok(number) => Ok(number),
            Err(_) => match value.trim().parse::<f64>() {
                Ok(number) => self.rounded(number),
                Err(_) => exec_err!("numeric value '{value}' is not recognized"),
            },
        }
    }

    /// An error of this call.
    pub(super) fn fail<T>(&self, message: impl std::fmt::Display) -> Result<T> {
        exec_err!("`{}`: {message}", self.name)
    }
}

/// Decimal numbers: digits and how many of them are behind the point.
pub(super) struct Decimals {
    digits: Column<Decimal128Array>,
    scale: i8,
}

impl Decimals {
    /// The digits in a row and how many of them are behind the point.
    pub(super) fn get(&self, row: usize) -> Option<(i128, i8)> {
        self.digits.index(row).map(|index| (self.digits.array.value(index), self.scale))
    }
}

/// An argument as decimal numbers; of a float, nine digits behind the point.
pub(super) fn decimal_argument(call: &Call<'_>, index: usize) -> Result<Decimals> {
    let Column { array, constant } = call.column(index)?;
    let wanted = match array.data_type() {
        kind @ DataType::Decimal128(..) => kind.clone(),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Decimal128(38, 9),
        _ => DataType::Decimal128(38, 0),
    };
    let array = cast_to(&array, &wanted)?;
    let array = array.as_any().downcast_ref::<Decimal128Array>().cloned().ok_or_else(wrong_type)?;
    Ok(Decimals { scale: array.scale(), digits: Column { array, constant } })
}

/// The error of a column that is not of the type that the caller made it.
pub(super) fn wrong_type() -> DataFusionError {
    DataFusionError::Internal("a column has an unexpected type".to_owned())
}

/// An Arrow cast that fails where a value does not fit.
pub(super) fn cast_to(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if array.data_type() == data_type {
        return Ok(Arc::clone(array));
    }
    if array.data_type() == &DataType::Null {
        return Ok(new_null_array(data_type, array.len()));
    }
    Ok(cast_with_options(array, data_type, &CastOptions { safe: false, ..CastOptions::default() })?)
}

/// A column of text. `row` writes a row's text behind what it is given (empty) and says whether there is a value.
pub(super) fn texts(rows: usize, mut row: impl FnMut(usize, &mut String) -> Result<bool>) -> Result<ArrayRef> {
    let mut builder = StringBuilder::with_capacity(rows, rows * 16);
    let mut buffer = String::new();
    for index in 0..rows {
        buffer.clear();
        if row(index, &mut buffer)? {
            builder.append_value(&buffer);
        } else {
            builder.append_null();
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// A column of text taken from the arguments.
pub(super) fn slices<'a>(rows: usize, mut row: impl FnMut(usize) -> Result<Option<&'a str>>) -> Result<ArrayRef> {
    let mut builder = StringBuilder::with_capacity(rows, rows * 16);
    for index in 0..rows {
        builder.append_option(row(index)?);
    }
    Ok(Arc::new(builder.finish()))
}

/// A column of integers.
pub(super) fn integers(rows: usize, mut row: impl FnMut(usize) -> Result<Option<i64>>) -> Result<ArrayRef> {
    let mut builder = Int64Builder::with_capacity(rows);
    for index in 0..rows {
        builder.append_option(row(index)?);
    }
    Ok(Arc::new(builder.finish()))
}

/// A column of truth values.
pub(super) fn booleans(rows: usize, mut row: impl FnMut(usize) -> Result<Option<bool>>) -> Result<ArrayRef> {
    let mut builder = BooleanBuilder::with_capacity(rows);
    for index in 0..rows {
        builder.append_option(row(index)?);
    }
    Ok(Arc::new(builder.finish()))
}

/// A column of bytes. `row` writes a row's bytes behind what it is given (empty) and says whether there is a value.
pub(super) fn binaries(rows: usize, mut row: impl FnMut(usize, &mut Vec<u8>) -> Result<bool>) -> Result<ArrayRef> {
    let mut builder = BinaryBuilder::with_capacity(rows, rows * 16);
    let mut buffer = Vec::new();
    for index in 0..rows {
        buffer.clear();
        if row(index, &mut buffer)? {
            builder.append_value(&buffer);
        } else {
            builder.append_null();
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// An OBJECT, ARRAY or VARIANT column (by `data_type`) of canonical JSON texts.
pub(super) fn json_column(data_type: &DataType, texts: &ArrayRef) -> Result<ArrayRef> {
    of_texts(texts.as_string::<i32>().clone(), data_type)
}

/// Refuses arguments that no text can be made of.
pub(super) fn plain_arguments(shape: &Shape<'_>) -> Result<()> {
    for index in 0..shape.types.len() {
        match SqlType::of(&shape.types[index]) {
            Some(SqlType::Object | SqlType::Array | SqlType::Vector(..)) | None => return shape.refuse(index),
            Some(_) => {}
        }
    }
    Ok(())
}

/// The rule of a function that gives text.
pub(super) fn gives_text(shape: &Shape<'_>) -> Result<DataType> {
    plain_arguments(shape)?;
    Ok(DataType::Utf8)
}

/// The rule of a function that gives an integer.
pub(super) fn gives_integer(shape: &Shape<'_>) -> Result<DataType> {
    plain_arguments(shape)?;
    Ok(DataType::Int64)
}

/// The rule of a function that gives a truth value.
pub(super) fn gives_boolean(shape: &Shape<'_>) -> Result<DataType> {
    plain_arguments(shape)?;
    Ok(DataType::Boolean)
}

/// The rule of a function that gives bytes.
pub(super) fn gives_binary(shape: &Shape<'_>) -> Result<DataType> {
    plain_arguments(shape)?;
    Ok(DataType::Binary)
}

/// The rule of a function that gives an ARRAY.
pub(super) fn gives_array(shape: &Shape<'_>) -> Result<DataType> {
    plain_arguments(shape)?;
    Ok(types::array())
}

/// The rule of a function that gives an OBJECT.
pub(super) fn gives_object(shape: &Shape<'_>) -> Result<DataType> {
    plain_arguments(shape)?;
    Ok(types::object())
}

/// The rule of a function that gives bytes of bytes, and text of anything else.
pub(super) fn gives_first(shape: &Shape<'_>) -> Result<DataType> {
    plain_arguments(shape)?;
    Ok(if shape.sql_type(0) == SqlType::Binary { DataType::Binary } else { DataType::Utf8 })
}
