//! A cast as a scalar function of DataFusion, so that plans hold Snowflake's casts and not Arrow's.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::{Target, cast, castable, exactly, refuse};
use crate::dialect::digest::call_name;
use crate::dialect::format::column::Misfit;
use crate::dialect::session::SessionParameters;
use crate::dialect::types::SqlType;

/// The cast of one expression.
#[derive(Debug)]
pub struct Cast {
    target: Target,
    misfit: Misfit,
    to: DataType,
    signature: Signature,
}

impl PartialEq for Cast {
    fn eq(&self, other: &Self) -> bool {
        self.target == other.target && self.misfit == other.misfit && self.to == other.to
    }
}

impl Eq for Cast {}

impl Hash for Cast {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.target.hash(state);
        self.to.hash(state);
    }
}

/// An expression cast to a target; `zone` is the session's time zone.
pub fn cast_expr(expr: Expr, target: Target, misfit: Misfit, zone: &str) -> Expr {
    let to = target.sql_type.arrow(zone);
    let cast = Cast { target, misfit, to, signature: Signature::user_defined(Volatility::Immutable) };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(cast)), vec![expr]))
}

/// What an expression is cast to, when it is such a cast.
pub fn cast_target(expr: &Expr) -> Option<Target> {
    match expr {
        Expr::ScalarFunction(call) => call.func.inner().downcast_ref::<Cast>().map(|cast| cast.target),
        _ => None,
    }
}

impl ScalarUDFImpl for Cast {
    fn name(&self) -> &str {
        if self.misfit == Misfit::Null { "try_cast" } else { "cast" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        let shown: Vec<String> = args.iter().map(ToString::to_string).collect();
        Ok(format!("{}({} AS {})", self.name().to_uppercase(), shown.join(", "), self.target))
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(format!("{} as {}", call_name(self.name(), args), self.target))
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        if let Some(from) = args.arg_fields.first().and_then(|field| SqlType::of(field.data_type()))
            && !castable(from, self.target.sql_type)
        {
            return refuse(from, self.target.sql_type);
        }
        let nullable = self.misfit == Misfit::Null || args.arg_fields.iter().any(|field| field.is_nullable());
        let json = args.arg_fields.iter().any(|f| SqlType::of(f.data_type()).is_some_and(SqlType::is_semi_structured));
        Ok(Arc::new(Field::new(self.name(), self.to.clone(), nullable || json)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let session = SessionParameters::of(&args.config_options);
        let resting = |array: &ArrayRef| -> Result<ArrayRef> {
            let array = cast(array, &self.target, session, self.misfit)?;
            // A time may come with another zone than the session's to show it in.
            if array.data_type() == &self.to { Ok(array) } else { Ok(exactly(&array, &self.to)?) }
        };
        match &args.args[0] {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(resting(array)?)),
            ColumnarValue::Scalar(value) => {
                let array = resting(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
        }
    }
}
