//! Column lineage, out of bound plans: for each output column the input columns that its value is computed from, and for
//! the whole result those that decide which rows there are (filters, join keys, group keys).

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchemaRef, JoinType, ScalarValue};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, Distinct, Expr, Join, LogicalPlan, Operator, TableScan};

use super::step::{InputTable, Origin, PlannedStep, PlannedTransform, Work};
use super::{Plan, StepId};
use crate::dialect::asof;
use crate::name::Name;
use crate::transform;

/// A column of a step's result, or of a table from outside the plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ColumnRef {
    /// The step `job.step`, or the table, in lower case.
    pub table: String,
    /// The step, where it is one.
    pub step: Option<StepId>,
    /// The column.
    pub column: Name,
}

/// Where the columns of one result come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    /// For each output column the columns that its value is computed from.
    pub columns: Vec<BTreeSet<ColumnRef>>,
    /// The columns that decide which rows there are.
    pub rows: BTreeSet<ColumnRef>,
}

/// The lineage of a bound step; empty where it could not be bound.
pub fn lineage(step: &PlannedStep) -> Lineage {
    match &step.work {
        Work::Query(query) => of_plan(&query.plan),
        Work::Transform(transform) => of_transform(transform),
        Work::Load(_) => Lineage { columns: vec![BTreeSet::new(); step.columns.len()], rows: BTreeSet::new() },
        Work::Broken => Lineage::default(),
    }
}

/// A transform's columns come from those of its queries, and these from what the queries read.
fn of_transform(transform: &PlannedTransform) -> Lineage {
    let queries: Vec<Lineage> = transform.queries.iter().map(|query| of_plan(&query.plan)).collect();
    let behind = |from: &transform::Origin| -> BTreeSet<ColumnRef> {
        let fields = transform.queries.get(from.input).map(|query| query.plan.schema().fields());
        let at = fields.and_then(|fields| fields.iter().position(|field| field.name() == from.column.as_str()));
        at.and_then(|at| queries[from.input].columns.get(at).cloned()).unwrap_or_default()
    };
    let columns = transform.lineage.iter().map(|origins| origins.iter().flat_map(behind).collect()).collect();
    Lineage { columns, rows: queries.iter().flat_map(|query| query.rows.iter().cloned()).collect() }
}

/// All columns, of steps and tables at any distance, that a column is computed from: (distance, column).
pub fn upstream(plan: &Plan, step: usize, column: usize) -> Vec<(usize, ColumnRef)> {
    let mut found = Vec::new();
    walk(plan, step, column, 1, &mut found);
    found
}

fn walk(plan: &Plan, step: usize, column: usize, depth: usize, found: &mut Vec<(usize, ColumnRef)>) {
    let lineage = lineage(&plan.steps[step]);
    for from in lineage.columns.get(column).into_iter().flatten() {
        found.push((depth, from.clone()));
        let before = from.step.as_ref().and_then(|id| plan.position(id));
        if let Some(before) = before
            && let Some(at) = plan.steps[before].columns.iter().position(|column| column.name == from.column)
        {
            walk(plan, before, at, depth + 1, found);
        }
    }
}

/// The conditions of a step that ask a column to be one of some constants: `kind = 36`, `kind in (36, 43)`.
pub fn constants(step: &PlannedStep) -> Vec<(ColumnRef, Vec<ScalarValue>)> {
    let mut found = Vec::new();
    if let Work::Query(query) = &step.work {
        constants_of(&query.plan, &mut found);
    }
    found
}

fn constants_of(plan: &LogicalPlan, found: &mut Vec<(ColumnRef, Vec<ScalarValue>)>) {
    match plan {
        LogicalPlan::Filter(filter) => {
            sought(&filter.predicate, &of_plan(&filter.input), filter.input.schema(), found);
        }
        LogicalPlan::Join(join) => {
            for side in [&join.left, &join.right] {
                join.filter.iter().for_each(|filter| sought(filter, &of_plan(side), side.schema(), found));
            }
        }
        _ => {}
    }
    let walked = plan.apply_expressions(|expr| {
        expr.apply(|expr| {
            match expr {
                Expr::ScalarSubquery(subquery) => constants_of(&subquery.subquery, found),
                Expr::InSubquery(subquery) => constants_of(&subquery.subquery.subquery, found),
                Expr::Exists(subquery) => constants_of(&subquery.subquery.subquery, found),
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        })
    });
    debug_assert!(walked.is_ok(), "the visitor never fails");
    plan.inputs().into_iter().for_each(|input| constants_of(input, found));
}

/// What a condition asks of the columns of an input.
fn sought(condition: &Expr, input: &Lineage, schema: &DFSchemaRef, found: &mut Vec<(ColumnRef, Vec<ScalarValue>)>) {
    for condition in split_conjunction(condition) {
        let Some((column, values)) = one_of(condition) else { continue };
        let from: Vec<ColumnRef> = direct(column, input, schema).into_iter().collect();
        if let [only] = from.as_slice() {
            found.push((only.clone(), values));
        }
    }
}

/// The column of a condition and the constants that it may be, where the condition is no more than that.
fn one_of(condition: &Expr) -> Option<(&Expr, Vec<ScalarValue>)> {
    match condition {
        Expr::BinaryExpr(both) if both.op == Operator::Eq => {
            let (left, right) = (both.left.as_ref(), both.right.as_ref());
            match (constant(left), constant(right)) {
                (None, Some(value)) if bare(left) => Some((left, vec![value])),
                (Some(value), None) if bare(right) => Some((right, vec![value])),
                _ => None,
            }
        }
        Expr::BinaryExpr(either) if either.op == Operator::Or => {
            let ((left, mut values), (right, more)) = (one_of(&either.left)?, one_of(&either.right)?);
            values.extend(more);
            (left == right).then_some((left, values))
        }
        Expr::InList(list) if !list.negated && bare(&list.expr) => {
            Some((&list.expr, list.list.iter().map(constant).collect::<Option<_>>()?))
        }
        _ => None,
    }
}

/// A column, perhaps in another type.
fn bare(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) => true,
        Expr::Cast(cast) => bare(&cast.expr),
        Expr::ScalarFunction(function) => function.name().contains("cast") && function.args.first().is_some_and(bare),
        _ => false,
    }
}

fn constant(expr: &Expr) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(value, _) if !value.is_null() => Some(value.clone()),
        Expr::Cast(cast) => constant(&cast.expr),
        Expr::ScalarFunction(function) if function.name().contains("cast") => constant(function.args.first()?),
        _ => None,
    }
}

fn reference(origin: &Origin, column: &Name) -> ColumnRef {
    let (table, step) = match origin {
        Origin::Step(id, _) => (id.to_string(), Some(id.clone())),
        Origin::Table(name) | Origin::Own(name) => (name.lower(), None),
    };
    ColumnRef { table, step, column: column.clone() }
}

fn of_plan(plan: &LogicalPlan) -> Lineage {
    match plan {
        LogicalPlan::TableScan(scan) => of_scan(scan),
        LogicalPlan::Projection(projection) => {
            let input = of_plan(&projection.input);
            let schema = projection.input.schema();
            let columns = projection.expr.iter().map(|expr| direct(expr, &input, schema)).collect();
            let mut rows = input.rows.clone();
            projection.expr.iter().for_each(|expr| rows.extend(of_subqueries(expr).rows));
            Lineage { columns, rows }
        }
        LogicalPlan::Filter(filter) => {
            let mut lineage = of_plan(&filter.input);
            let used = direct(&filter.predicate, &lineage, filter.input.schema());
            lineage.rows.extend(used);
            lineage.rows.extend(of_subqueries(&filter.predicate).rows);
            lineage
        }
        LogicalPlan::Aggregate(aggregate) => of_aggregate(aggregate),
        LogicalPlan::Window(window) => {
            let input = of_plan(&window.input);
            let schema = window.input.schema();
            let added = window.window_expr.iter().map(|expr| direct(expr, &input, schema));
            let columns = input.columns.iter().cloned().chain(added).collect();
            Lineage { columns, rows: input.rows }
        }
        LogicalPlan::Join(join) => of_join(join),
        LogicalPlan::SubqueryAlias(alias) => of_plan(&alias.input),
        LogicalPlan::Sort(sort) => of_plan(&sort.input),
        LogicalPlan::Limit(limit) => of_plan(&limit.input),
        LogicalPlan::Distinct(Distinct::All(input)) => of_plan(input),
        LogicalPlan::Union(union) => together(union.inputs.iter().map(Arc::as_ref)),
        LogicalPlan::RecursiveQuery(query) => together([query.static_term.as_ref(), query.recursive_term.as_ref()]),
        LogicalPlan::Unnest(unnest) => {
            let input = of_plan(&unnest.input);
            let columns = unnest.dependency_indices.iter();
            let columns = columns.map(|at| input.columns.get(*at).cloned().unwrap_or_default()).collect();
            Lineage { columns, rows: input.rows }
        }
        other => match asof::all_matches(other) {
            Some(join) => of_join(&join),
            None => everything(other),
        },
    }
}

fn of_scan(scan: &TableScan) -> Lineage {
    let fields = scan.projected_schema.fields().iter();
    let columns = match scan.source.downcast_ref::<InputTable>() {
        Some(table) => fields
            .map(|field| BTreeSet::from([reference(&table.origin, &Name::quoted(field.name().clone()))]))
            .collect(),
        None => fields.map(|_| BTreeSet::new()).collect(),
    };
    Lineage { columns, rows: BTreeSet::new() }
}

fn of_aggregate(aggregate: &Aggregate) -> Lineage {
    let input = of_plan(&aggregate.input);
    let schema = aggregate.input.schema();
    let keys: Vec<Expr> = match aggregate.group_expr.as_slice() {
        [Expr::GroupingSet(set)] => set.distinct_expr().into_iter().cloned().collect(),
        keys => keys.to_vec(),
    };
    let mut columns: Vec<_> = keys.iter().map(|expr| direct(expr, &input, schema)).collect();
    let mut rows = input.rows.clone();
    columns.iter().for_each(|column| rows.extend(column.iter().cloned()));
    let aggregates: Vec<_> = aggregate.aggr_expr.iter().map(|expr| direct(expr, &input, schema)).collect();
    let between = aggregate.schema.fields().len().saturating_sub(columns.len() + aggregates.len());
    columns.extend(std::iter::repeat_n(BTreeSet::new(), between));
    columns.extend(aggregates);
    Lineage { columns, rows }
}

fn of_join(join: &Join) -> Lineage {
    let (left, right) = (of_plan(&join.left), of_plan(&join.right));
    let mut rows: BTreeSet<ColumnRef> = left.rows.union(&right.rows).cloned().collect();
    for (a, b) in &join.on {
        rows.extend(direct(a, &left, join.left.schema()));
        rows.extend(direct(b, &right, join.right.schema()));
    }
    if let Some(filter) = &join.filter {
        rows.extend(direct(filter, &left, join.left.schema()));
        rows.extend(direct(filter, &right, join.right.schema()));
    }
    let columns = match join.join_type {
        JoinType::LeftSemi | JoinType::LeftAnti => left.columns,
        JoinType::RightSemi | JoinType::RightAnti => right.columns,
        JoinType::LeftMark => left.columns.into_iter().chain([BTreeSet::new()]).collect(),
        JoinType::RightMark => right.columns.into_iter().chain([BTreeSet::new()]).collect(),
        _ => left.columns.into_iter().chain(right.columns).collect(),
    };
    Lineage { columns, rows }
}

/// Inputs whose columns become one by their places.
fn together<'a>(plans: impl IntoIterator<Item = &'a LogicalPlan>) -> Lineage {
    let mut all = Lineage::default();
    for lineage in plans.into_iter().map(of_plan) {
        all.rows.extend(lineage.rows);
        all.columns.resize(all.columns.len().max(lineage.columns.len()), BTreeSet::new());
        for (column, more) in all.columns.iter_mut().zip(lineage.columns) {
            column.extend(more);
        }
    }
    all
}

/// A node that says nothing of its columns: each may come from all below.
fn everything(plan: &LogicalPlan) -> Lineage {
    let inputs: Vec<Lineage> = plan.inputs().into_iter().map(of_plan).collect();
    let below: BTreeSet<ColumnRef> = inputs.iter().flat_map(|input| input.columns.iter().flatten()).cloned().collect();
    let same_width = inputs.len() == 1 && inputs[0].columns.len() == plan.schema().fields().len();
    let columns = match inputs.as_slice() {
        [only] if same_width => only.columns.clone(),
        _ => plan.schema().fields().iter().map(|_| below.clone()).collect(),
    };
    Lineage { columns, rows: inputs.into_iter().flat_map(|input| input.rows).collect() }
}

/// The input columns that an expression is computed from, those of its subqueries included.
fn direct(expr: &Expr, input: &Lineage, schema: &DFSchemaRef) -> BTreeSet<ColumnRef> {
    let mut found = BTreeSet::new();
    let mut add = |column: &Column| {
        if let Some(at) = schema.maybe_index_of_column(column) {
            found.extend(input.columns.get(at).into_iter().flatten().cloned());
        }
    };
    expr.column_refs().into_iter().for_each(&mut add);
    found.extend(of_subqueries(expr).columns.into_iter().flatten());
    found
}

fn of_subqueries(expr: &Expr) -> Lineage {
    let mut all = Lineage::default();
    let walked = expr.apply(|expr| {
        let plan = match expr {
            Expr::ScalarSubquery(subquery) => Some(&subquery.subquery),
            Expr::InSubquery(subquery) => Some(&subquery.subquery.subquery),
            Expr::Exists(subquery) => Some(&subquery.subquery.subquery),
            _ => None,
        };
        if let Some(plan) = plan {
            let lineage = of_plan(plan);
            all.rows.extend(lineage.rows);
            match expr {
                Expr::ScalarSubquery(_) => all.columns.extend(lineage.columns),
                _ => all.rows.extend(lineage.columns.into_iter().flatten()),
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(walked.is_ok(), "the visitor never fails");
    all
}
