//! The rule that makes a bound plan one of Snowflake's types, and then coerces what is left as DataFusion does. Both in
//! one pass: what a node's columns are called is told anew once, which costs more than the coercion itself.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion, TreeNodeRewriter};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, Projection, Union};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::resolve_grouping_function::ResolveGroupingFunction;
use datafusion::optimizer::analyzer::type_coercion::{TypeCoercion, TypeCoercionRewriter};
use datafusion::optimizer::utils::NamePreserver;

use super::equal;
use super::mixed::{Mixed, common_type};
use super::typed::{projection, settled};
use crate::dialect::session::SessionParameters;

/// Casts, comparisons and mixed types as Snowflake has them.
#[derive(Debug)]
pub(super) struct Types;

impl AnalyzerRule for Types {
    fn name(&self) -> &str {
        "snowflake_types"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let zone = SessionParameters::of(config).timezone.clone();
        let mut changed = false;
        Ok(plan.transform_up_with_subqueries(|plan| node(plan, &zone, &mut changed))?.data)
    }
}

/// A node of a plan; `changed` says whether any node so far is another than it was. Until then, columns keep their types.
fn node(plan: LogicalPlan, zone: &str, changed: &mut bool) -> Result<Transformed<LogicalPlan>> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
    }
    let mixed = Mixed { schema: &schema, zone };
    let mut rest = Rest { schema: &schema, coercion: TypeCoercionRewriter::new(&schema) };
    let names = NamePreserver::new(&plan);
    let plan = plan
        .map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(mixed.all(expr)?.update_data(|expr| name.restore(expr)))
        })?
        .map_data(|plan| whole(plan, mixed))?
        .transform_data(|plan| {
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(expr.rewrite(&mut rest)?.update_data(|expr| name.restore(expr)))
            })
        })?
        .map_data(|plan| rest.coercion.coerce_plan(plan))?
        .map_data(|plan| equal::by_keys(plan, zone))?;
    *changed |= match &plan.data {
        // Their columns are those of their inputs.
        LogicalPlan::Filter(_) | LogicalPlan::Join(_) | LogicalPlan::Sort(_) => false,
        LogicalPlan::Union(_) | LogicalPlan::RecursiveQuery(_) => true,
        _ => plan.transformed,
    };
    if *changed { plan.map_data(recomputed) } else { Ok(plan) }
}

/// What DataFusion coerces by its own rules. Where all parts have the types already that it would give them, which is most
/// of the time, it is not asked: it tells types by spelling expressions out.
struct Rest<'a> {
    schema: &'a DFSchema,
    coercion: TypeCoercionRewriter<'a>,
}

impl TreeNodeRewriter for Rest<'_> {
    type Node = Expr;

    fn f_up(&mut self, expr: Expr) -> Result<Transformed<Expr>> {
        if settled(&expr, self.schema)? { Ok(Transformed::no(expr)) } else { self.coercion.f_up(expr) }
    }
}

/// A node with the columns that its expressions and inputs give now.
fn recomputed(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Projection(Projection { expr, input, .. }) => {
            Ok(LogicalPlan::Projection(projection(expr, input)?))
        }
        other => other.recompute_schema(),
    }
}

/// GROUPING as arithmetic on the number of a grouping set, whose types are DataFusion's own.
#[derive(Debug)]
pub(super) struct Grouping;

impl AnalyzerRule for Grouping {
    fn name(&self) -> &str {
        "grouping"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let mut found = false;
        plan.apply_with_subqueries(|plan| {
            let LogicalPlan::Aggregate(aggregate) = plan else { return Ok(TreeNodeRecursion::Continue) };
            found |= aggregate.aggr_expr.iter().any(is_grouping);
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if !found {
            return Ok(plan);
        }
        TypeCoercion::new().analyze(ResolveGroupingFunction::new().analyze(plan, config)?, config)
    }
}

fn is_grouping(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_grouping(&alias.expr),
        Expr::AggregateFunction(call) => call.func.name() == "grouping",
        _ => false,
    }
}

/// What a node needs beyond its expressions.
fn whole(plan: LogicalPlan, mixed: Mixed<'_>) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Filter(mut filter) => {
            filter.predicate = mixed.condition(filter.predicate)?;
            Ok(LogicalPlan::Filter(filter))
        }
        LogicalPlan::Join(mut join) => {
            let pairs = std::mem::take(&mut join.on).into_iter();
            join.on = pairs.map(|(left, right)| mixed.compared(left, right)).collect::<Result<_>>()?;
            join.filter = join.filter.map(|filter| mixed.condition(filter)).transpose()?;
            Ok(LogicalPlan::Join(join))
        }
        LogicalPlan::Sort(mut sort) => {
            sort.expr = sort.expr.into_iter().map(|key| mixed.sort_key(key)).collect::<Result<_>>()?;
            Ok(LogicalPlan::Sort(sort))
        }
        LogicalPlan::Union(union) => Ok(LogicalPlan::Union(alike(union, mixed.zone)?)),
        LogicalPlan::RecursiveQuery(mut query) => {
            query.recursive_term = stepped(query.recursive_term, query.static_term.schema())?;
            Ok(LogicalPlan::RecursiveQuery(query))
        }
        other => Ok(other),
    }
}

/// The inputs of a UNION with columns of the same types.
pub(in crate::dialect) fn alike(union: Union, zone: &str) -> Result<Union> {
    let count = union.schema.fields().len();
    let mut kinds = Vec::with_capacity(count);
    for index in 0..count {
        let types: Vec<_> = union.inputs.iter().map(|input| input.schema().field(index).data_type().clone()).collect();
        kinds.push(common_type(&types)?);
    }
    if kinds.iter().all(Option::is_none) {
        return Union::try_new_with_loose_types(union.inputs);
    }
    let cast = |input: Arc<LogicalPlan>| {
        let mixed = Mixed { schema: input.schema(), zone };
        let columns = input.schema().columns().into_iter().zip(&kinds);
        let exprs = columns.map(|(column, kind)| match kind {
            None => Ok(Expr::Column(column)),
            Some(kind) => renamed(mixed.cast_to(Expr::Column(column.clone()), *kind)?, column),
        });
        let exprs = exprs.collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(exprs, Arc::clone(&input))?)))
    };
    let inputs = union.inputs.into_iter().map(cast).collect::<Result<Vec<_>>>()?;
    Union::try_new_with_loose_types(inputs)
}

fn renamed(expr: Expr, column: Column) -> Result<Expr> {
    Ok(match expr {
        Expr::Column(_) => expr,
        expr => expr.alias_qualified(column.relation, column.name),
    })
}

/// The step of a recursive query with the types that its start has.
fn stepped(step: Arc<LogicalPlan>, start: &DFSchema) -> Result<Arc<LogicalPlan>> {
    let fields = start.fields().iter().zip(step.schema().fields());
    if fields.clone().all(|(start, step)| start.data_type() == step.data_type()) {
        return Ok(step);
    }
    let columns = step.schema().columns().into_iter().zip(start.fields());
    let exprs = columns.map(|(column, field)| {
        let expr = Expr::Column(column.clone());
        match expr.get_type(step.schema())? == *field.data_type() {
            true => Ok(expr),
            false => renamed(Expr::Cast(Cast::new(Box::new(expr), field.data_type().clone())), column),
        }
    });
    let exprs = exprs.collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(exprs, Arc::clone(&step))?)))
}
