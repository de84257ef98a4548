//! A call of a table function over a plan, as a node of the logical plan.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::Field;
use datafusion::common::{DFSchema, DFSchemaRef, Result, TableReference, plan_err};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

use super::Call;

/// The plan of a call over `input`.
pub(super) fn plan(
    call: Call,
    input: LogicalPlan,
    alias: TableReference,
    columns: Option<&[String]>,
) -> Result<LogicalPlan> {
    let mut fields = call.function.columns();
    if let Some(names) = columns {
        if names.len() > fields.len() {
            return plan_err!("`{alias}` has {} columns, not {}", fields.len(), names.len());
        }
        for (field, name) in fields.iter_mut().zip(names) {
            *field = field.clone().with_name(name);
        }
    }
    let node = LateralCall::new(call, input, alias, fields.into_iter().map(Arc::new).collect())?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

/// See [`plan`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LateralCall {
    pub(super) call: Call,
    pub(super) input: LogicalPlan,
    alias: TableReference,
    pub(super) columns: Vec<Arc<Field>>,
    schema: DFSchemaRef,
}

impl LateralCall {
    fn new(call: Call, input: LogicalPlan, alias: TableReference, columns: Vec<Arc<Field>>) -> Result<Self> {
        let own = input.schema().iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field)));
        let given = columns.iter().map(|field| (Some(alias.clone()), Arc::clone(field)));
        let schema = DFSchema::new_with_metadata(own.chain(given).collect(), HashMap::new())?;
        Ok(Self { call, input, alias, columns, schema: Arc::new(schema) })
    }
}

impl PartialOrd for LateralCall {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let order = self.call.partial_cmp(&other.call)?.then(self.input.partial_cmp(&other.input)?);
        (order != Ordering::Equal || self == other).then_some(order)
    }
}

impl UserDefinedLogicalNodeCore for LateralCall {
    fn name(&self) -> &str {
        "LateralCall"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.call.arguments.clone()
    }

    fn prevent_predicate_push_down_columns(&self) -> std::collections::HashSet<String> {
        self.columns.iter().map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LateralCall: {} {:?}(", self.alias, self.call.function)?;
        for (position, argument) in self.call.arguments.iter().enumerate() {
            write!(f, "{}{argument}", if position == 0 { "" } else { ", " })?;
        }
        f.write_str(")")
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Some(input) = inputs.pop() else {
            return plan_err!("a table function needs an input");
        };
        let call = Call { function: self.call.function.clone(), arguments: exprs };
        Self::new(call, input, self.alias.clone(), self.columns.clone())
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let width = self.input.schema().fields().len();
        Some(vec![output_columns.iter().copied().filter(|column| *column < width).collect()])
    }
}
