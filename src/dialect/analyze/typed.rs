//! Types of expressions without their names. DataFusion tells the type of an expression as a field, and spells out every
//! part of the expression for the name of that field: most of what binding a statement costs.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::binary::BinaryTypeCoercer;
use datafusion::logical_expr::expr::{Between, InList, ScalarFunction};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, Projection, ReturnFieldArgs};

/// The type of an expression.
pub(in crate::dialect) fn data_type(expr: &Expr, schema: &DFSchema) -> Result<DataType> {
    Ok(field(expr, schema)?.data_type().clone())
}

/// Whether DataFusion's coercion leaves an expression as it is: its parts have the types that it would give them.
pub(super) fn settled(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    let one = |expr: &Expr| data_type(expr, schema);
    let is_plain = |data_type: &DataType| !data_type.is_nested() && !matches!(data_type, DataType::Dictionary(..));
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (left, right) = (one(left)?, one(right)?);
            let settled = match op {
                Operator::And | Operator::Or => left == DataType::Boolean,
                op => op.supports_propagation() && is_plain(&left),
            };
            settled && left == right
        }
        Expr::Not(inner) | Expr::IsTrue(inner) | Expr::IsFalse(inner) => one(inner)? == DataType::Boolean,
        Expr::IsNotTrue(inner) | Expr::IsNotFalse(inner) => one(inner)? == DataType::Boolean,
        Expr::Between(Between { expr, low, high, .. }) => {
            let kind = one(expr)?;
            is_plain(&kind) && kind == one(low)? && kind == one(high)?
        }
        Expr::InList(InList { expr, list, .. }) => {
            let kind = one(expr)?;
            let alike = list.iter().map(|item| Ok(one(item)? == kind)).collect::<Result<Vec<bool>>>()?;
            is_plain(&kind) && alike.into_iter().all(|alike| alike)
        }
        Expr::ScalarFunction(call) => {
            let given = call.args.iter().map(|arg| field(arg, schema)).collect::<Result<Vec<_>>>()?;
            fields_with_udf(&given, call.func.as_ref()).is_ok_and(|taken| {
                taken.iter().map(|field| field.data_type()).eq(given.iter().map(|field| field.data_type()))
            })
        }
        _ => false,
    })
}

/// The field that [`ExprSchemable::to_field`] tells, with any name.
pub(in crate::dialect) fn field(expr: &Expr, schema: &DFSchema) -> Result<FieldRef> {
    let plain = |data_type, nullable| Ok(Arc::new(Field::new("", data_type, nullable)));
    match expr {
        Expr::Alias(alias) if alias.metadata.is_none() => field(&alias.expr, schema),
        Expr::Literal(value, None) => plain(value.data_type(), value.is_null()),
        Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::IsTrue(_) | Expr::IsFalse(_) => plain(DataType::Boolean, false),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => stacker::maybe_grow(64 * 1024, 1024 * 1024, || {
            let (left, right) = (field(left, schema)?, field(right, schema)?);
            match BinaryTypeCoercer::new(left.data_type(), op, right.data_type()).get_result_type() {
                Ok(data_type) => plain(data_type, left.is_nullable() || right.is_nullable()),
                Err(_) => told(expr, schema),
            }
        }),
        Expr::ScalarFunction(call) => stacker::maybe_grow(64 * 1024, 1024 * 1024, || result(expr, call, schema)),
        // A column's name is there already; what else there is, DataFusion knows.
        _ => told(expr, schema),
    }
}

fn told(expr: &Expr, schema: &DFSchema) -> Result<FieldRef> {
    Ok(expr.to_field(schema)?.1)
}

/// What a function gives.
fn result(expr: &Expr, call: &ScalarFunction, schema: &DFSchema) -> Result<FieldRef> {
    let given = call.args.iter().map(|arg| field(arg, schema)).collect::<Result<Vec<_>>>()?;
    let Ok(taken) = fields_with_udf(&given, call.func.as_ref()) else { return told(expr, schema) };
    let constants: Vec<_> =
        call.args.iter().map(|arg| if let Expr::Literal(value, _) = arg { Some(value) } else { None }).collect();
    call.func.return_field_from_args(ReturnFieldArgs { arg_fields: &taken, scalar_arguments: &constants })
}

/// A projection: [`Projection::try_new`] with the same columns, told without spelling them out.
pub(in crate::dialect) fn projection(exprs: Vec<Expr>, input: Arc<LogicalPlan>) -> Result<Projection> {
    let column = |expr: &Expr| {
        let (relation, name) = expr.qualified_name();
        let field = field(expr, input.schema())?;
        let field = if *field.name() == name { field } else { Arc::new(field.as_ref().clone().with_name(name)) };
        Ok((relation, field))
    };
    let columns = exprs.iter().map(column).collect::<Result<Vec<_>>>()?;
    let schema = DFSchema::new_with_metadata(columns, input.schema().metadata().clone())?;
    Projection::try_new_with_schema(exprs, input, Arc::new(schema))
}
