//! Values that are equal without being the same: one instant with two offsets, the VARIANTs `1` and `1e0`, 0 and -0. What
//! puts equal rows together works on keys, which are the same where values are equal, and keeps the first of the values.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr::{Case, GroupingSet, ScalarFunction};
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{Aggregate, Distinct, Expr, LogicalPlan, Projection};
use hashbrown::HashMap;

use super::mixed::Mixed;
use super::typed::projection;
use crate::dialect::functions;
use crate::dialect::functions::operator::TIDIED;
use crate::dialect::types::SqlType;

/// How the columns of keys are named.
const KEY: &str = "#equal";

/// How the values of a type are told apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Likeness {
    /// Equal values are the same.
    Same,
    /// A key is one of the values it stands for.
    OwnKey,
    /// A key is something else.
    OtherKey,
}

impl Likeness {
    fn of(kind: SqlType) -> Self {
        match kind {
            SqlType::Float => Self::OwnKey,
            SqlType::TimestampTz | SqlType::Variant | SqlType::Object | SqlType::Array => Self::OtherKey,
            _ => Self::Same,
        }
    }
}

impl Mixed<'_> {
    /// How the values of an expression are told apart; those of a key are by themselves, as a plan is analysed twice.
    fn likeness(self, expr: &Expr) -> Likeness {
        match expr {
            Expr::Column(column) if column.name.starts_with(KEY) => Likeness::Same,
            Expr::ScalarFunction(call) if call.func.name() == TIDIED => Likeness::Same,
            expr => self.sql_type(expr).map_or(Likeness::Same, Likeness::of),
        }
    }

    /// What an expression is told apart by.
    pub(super) fn told_by(self, expr: Expr) -> Result<Expr> {
        if self.likeness(&expr) == Likeness::Same {
            return Ok(expr);
        }
        match self.sql_type(&expr) {
            Ok(SqlType::Float) => Ok(call(functions::operator::tidied(), expr)),
            Ok(SqlType::TimestampTz) => self.cast_to(expr, SqlType::TimestampLtz),
            Ok(kind) if kind.is_semi_structured() => self.key(expr),
            _ => Ok(expr),
        }
    }

    /// That an argument of an aggregate is there, which every aggregate of distinct values that can be equal without being the
    /// same asks for: DataFusion would group by the values otherwise. None where the arguments are told apart by themselves.
    pub(super) fn there(self, arguments: &[Expr]) -> Option<Expr> {
        let first = arguments.iter().find(|argument| self.likeness(argument) != Likeness::Same)?;
        Some(first.clone().is_not_null())
    }

    /// What the argument of an aggregate over distinct values is told apart by; several columns are parts of a struct.
    pub(super) fn all_told_by(self, argument: Expr) -> Result<Expr> {
        let parts = argument.transform_down(|node| match node {
            Expr::ScalarFunction(mut call) if call.func.name() == "struct" => {
                call.args = call.args.into_iter().map(|part| self.told_by(part)).collect::<Result<_>>()?;
                Ok(Transformed::new(Expr::ScalarFunction(call), true, TreeNodeRecursion::Jump))
            }
            node => Ok(Transformed::no(node)),
        })?;
        if parts.transformed { Ok(parts.data) } else { self.told_by(parts.data) }
    }
}

fn call(function: Arc<datafusion::logical_expr::ScalarUDF>, argument: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![argument]))
}

/// A node that puts equal rows together, by the keys of what it tells rows apart by.
pub(super) fn by_keys(plan: LogicalPlan, zone: &str) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Aggregate(aggregate) => {
            Ok(grouped(&aggregate, zone)?.unwrap_or(LogicalPlan::Aggregate(aggregate)))
        }
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let mixed = Mixed { schema: input.schema(), zone };
            let columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
            if columns.iter().all(|column| mixed.likeness(column) == Likeness::Same) {
                return Ok(LogicalPlan::Distinct(Distinct::All(input)));
            }
            let aggregate = Aggregate::try_new(Arc::clone(&input), columns, Vec::new())?;
            Ok(grouped(&aggregate, zone)?.unwrap_or(LogicalPlan::Distinct(Distinct::All(input))))
        }
        other => Ok(other),
    }
}

/// The key of one expression of GROUP BY.
struct Key {
    /// The column that holds the key.
    column: Expr,
    /// The name under which the first of the values is kept; none where the key is one.
    kept: Option<String>,
}

/// Groups by keys, with the columns of the aggregate it stands for; none where it has to be nothing else.
fn grouped(aggregate: &Aggregate, zone: &str) -> Result<Option<LogicalPlan>> {
    let mixed = Mixed { schema: aggregate.input.schema(), zone };
    let exprs: Vec<&Expr> = grouping_set_to_exprlist(&aggregate.group_expr)?;
    if exprs.iter().all(|expr| mixed.likeness(expr) == Likeness::Same) {
        return Ok(None);
    }
    let mut below: Vec<Expr> = aggregate.input.schema().columns().into_iter().map(Expr::Column).collect();
    let mut aggregates = aggregate.aggr_expr.clone();
    let mut keys: HashMap<Expr, Key> = HashMap::new();
    for (at, expr) in exprs.iter().enumerate() {
        let likeness = mixed.likeness(expr);
        let value = (*expr).clone().unalias();
        if likeness == Likeness::Same || keys.contains_key(&value) {
            continue;
        }
        let name = format!("{KEY}{at}");
        below.push(mixed.told_by(value.clone())?.alias(name.as_str()));
        let kept = (likeness == Likeness::OtherKey).then(|| format!("#kept{at}"));
        if let Some((kept, first)) = kept.as_ref().zip(functions::aggregate_named("any_value")) {
            let value_column = match &value {
                Expr::Column(_) => value.clone(),
                value => {
                    below.push(value.clone().alias(format!("#value{at}")));
                    Expr::Column(Column::new_unqualified(format!("#value{at}")))
                }
            };
            aggregates.push(first.call(vec![value_column]).alias(kept.as_str()));
        }
        keys.insert(value, Key { column: Expr::Column(Column::new_unqualified(name)), kept });
    }
    let groups = aggregate.group_expr.iter().map(|group| keyed(group.clone(), &keys)).collect();
    let aggregates = aggregates.into_iter().map(|call| keyed_grouping(call, &keys)).collect::<Result<_>>()?;
    let input = LogicalPlan::Projection(projection(below, Arc::clone(&aggregate.input))?);
    let node = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), groups, aggregates)?);
    Ok(Some(LogicalPlan::Projection(values(aggregate, &exprs, &keys, node)?)))
}

/// The columns of an aggregate, from one that groups by keys.
fn values(aggregate: &Aggregate, exprs: &[&Expr], keys: &HashMap<Expr, Key>, node: LogicalPlan) -> Result<Projection> {
    let columns = node.schema().columns();
    let known = aggregate.schema.iter().zip(&columns).enumerate();
    // The number of the grouping set is the node's own business.
    let known = known.filter(|(_, ((_, field), _))| field.name() != Aggregate::INTERNAL_GROUPING_ID);
    let shown = known.map(|(at, ((relation, field), column))| {
        let column = Expr::Column(column.clone());
        let key = exprs.get(at).and_then(|expr| keys.get(&(*expr).clone().unalias()));
        let value = match key.and_then(|key| key.kept.as_ref()) {
            // In a grouping set without the key both are NULL.
            Some(kept) => Expr::Case(Case {
                expr: None,
                when_then_expr: vec![(
                    Box::new(column.is_not_null()),
                    Box::new(Expr::Column(Column::new_unqualified(kept.as_str()))),
                )],
                else_expr: None,
            }),
            None => column,
        };
        value.alias_qualified(relation.cloned(), field.name())
    });
    let shown = shown.collect();
    projection(shown, Arc::new(node))
}

/// A group with keys in the places of its expressions.
fn keyed(group: Expr, keys: &HashMap<Expr, Key>) -> Expr {
    let all = |exprs: Vec<Expr>| exprs.into_iter().map(|expr| keyed(expr, keys)).collect();
    match group {
        Expr::GroupingSet(GroupingSet::Rollup(exprs)) => Expr::GroupingSet(GroupingSet::Rollup(all(exprs))),
        Expr::GroupingSet(GroupingSet::Cube(exprs)) => Expr::GroupingSet(GroupingSet::Cube(all(exprs))),
        Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => {
            Expr::GroupingSet(GroupingSet::GroupingSets(sets.into_iter().map(all).collect()))
        }
        expr => {
            let value = expr.clone().unalias();
            keys.get(&value).map_or(expr, |key| key.column.clone())
        }
    }
}

/// An aggregate as it was, and GROUPING of the keys.
fn keyed_grouping(aggregate: Expr, keys: &HashMap<Expr, Key>) -> Result<Expr> {
    let keyed_call = aggregate.transform_down(|node| match node {
        Expr::AggregateFunction(mut call) if call.func.name() == "grouping" => {
            call.params.args = call.params.args.into_iter().map(|arg| keyed(arg, keys)).collect();
            Ok(Transformed::new(Expr::AggregateFunction(call), true, TreeNodeRecursion::Jump))
        }
        node => Ok(Transformed::no(node)),
    })?;
    Ok(keyed_call.data)
}
