//! What a bound query reads, seen from one of its rows: for each table the conditions on its rows alone, which output columns
//! are its columns unchanged, and which columns of two tables are equal wherever a row comes of both. It runs nothing.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchemaRef, JoinType};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Distinct, Expr, Join, LogicalPlan, Operator};

use crate::dialect::asof;
use crate::plan::{InputTable, Origin};

/// A table as a query reads it in one place.
#[derive(Clone, Debug)]
pub(super) struct Read {
    /// The table or step.
    pub(super) origin: Origin,
    /// Its columns.
    pub(super) schema: SchemaRef,
    /// Conditions on its rows alone, over columns without qualifier.
    pub(super) conditions: Vec<Expr>,
}

/// A column of a read, by the read's place and the column's name.
pub(super) type Place = (usize, String);

/// Two columns that are equal wherever a row comes of both reads.
#[derive(Clone, Debug)]
pub(super) struct Tie {
    /// One column.
    pub(super) left: Place,
    /// The other.
    pub(super) right: Place,
    /// Whether a row on the left counts only where the right has its value.
    pub(super) left_needs_right: bool,
    /// Whether a row on the right counts only where the left has its value.
    pub(super) right_needs_left: bool,
}

/// The reads of a query and how they hang together.
#[derive(Clone, Debug, Default)]
pub(super) struct Reads {
    /// The tables read, in the order of the query.
    pub(super) reads: Vec<Read>,
    /// For each output column where it is an input column unchanged; several where a UNION brings them together.
    pub(super) outputs: Vec<Vec<Place>>,
    /// Columns that are equal.
    pub(super) equal: Vec<Tie>,
    /// What cannot be followed exactly, as clauses.
    pub(super) notes: BTreeSet<String>,
}

/// The reads of a bound query.
pub(super) fn reads(plan: &LogicalPlan) -> Reads {
    let mut reads = Reads::default();
    reads.outputs = reads.walk(plan);
    reads
}

impl Reads {
    fn walk(&mut self, plan: &LogicalPlan) -> Vec<Vec<Place>> {
        match plan {
            LogicalPlan::TableScan(scan) => match scan.source.downcast_ref::<InputTable>() {
                Some(table) => {
                    let at = self.reads.len();
                    let read =
                        Read { origin: table.origin.clone(), schema: table.schema.clone(), conditions: Vec::new() };
                    self.reads.push(read);
                    scan.projected_schema.fields().iter().map(|field| vec![(at, field.name().clone())]).collect()
                }
                None => nothing(plan),
            },
            LogicalPlan::Projection(projection) => {
                let input = self.walk(&projection.input);
                self.subqueries(&projection.expr);
                let schema = projection.input.schema();
                projection.expr.iter().map(|expr| places(expr, &input, schema)).collect()
            }
            LogicalPlan::Filter(filter) => {
                let input = self.walk(&filter.input);
                for condition in split_conjunction(&filter.predicate) {
                    self.condition(condition, &input, filter.input.schema());
                }
                input
            }
            LogicalPlan::Aggregate(aggregate) => {
                let input = self.walk(&aggregate.input);
                let schema = aggregate.input.schema();
                let keys = match aggregate.group_expr.as_slice() {
                    [Expr::GroupingSet(_)] => {
                        self.notes.insert("totals of several groupings are not followed".to_owned());
                        return nothing(plan);
                    }
                    keys => keys.iter().map(|expr| places(expr, &input, schema)),
                };
                let mut columns: Vec<Vec<Place>> = keys.collect();
                columns.resize(aggregate.schema.fields().len(), Vec::new());
                columns
            }
            LogicalPlan::Window(window) => {
                let mut columns = self.walk(&window.input);
                for expr in &window.window_expr {
                    self.notes.insert(window_note(expr));
                    columns.push(Vec::new());
                }
                columns
            }
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::SubqueryAlias(alias) => self.walk(&alias.input),
            LogicalPlan::Sort(sort) => self.walk(&sort.input),
            LogicalPlan::Distinct(Distinct::All(input)) => self.walk(input),
            LogicalPlan::Limit(limit) => {
                self.notes.insert("a LIMIT decides by the order of all rows".to_owned());
                self.walk(&limit.input)
            }
            LogicalPlan::Union(union) => {
                let mut columns = nothing(plan);
                for input in &union.inputs {
                    let more = self.walk(input);
                    columns.iter_mut().zip(more).for_each(|(column, more)| column.extend(more));
                }
                columns
            }
            other => {
                if let Some(join) = asof::all_matches(other) {
                    self.notes.insert("ASOF JOIN takes the closest of the rows that match".to_owned());
                    return self.join(&join);
                }
                let inputs: Vec<Vec<Vec<Place>>> = other.inputs().into_iter().map(|input| self.walk(input)).collect();
                match inputs.as_slice() {
                    [only] if only.len() == other.schema().fields().len() => only.clone(),
                    _ => {
                        self.notes.insert(format!("columns are not followed through {}", other.display()));
                        nothing(other)
                    }
                }
            }
        }
    }

    fn join(&mut self, join: &Join) -> Vec<Vec<Place>> {
        let left = self.walk(&join.left);
        let right = self.walk(&join.right);
        let needs = match join.join_type {
            JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi => (true, true),
            JoinType::Left => (false, true),
            JoinType::Right => (true, false),
            _ => (false, false),
        };
        for (a, b) in &join.on {
            self.link(&places(a, &left, join.left.schema()), &places(b, &right, join.right.schema()), needs);
        }
        let both: Vec<Vec<Place>> = left.iter().chain(&right).cloned().collect();
        if let Some(filter) = &join.filter {
            let schema = std::sync::Arc::new(match join.left.schema().join(join.right.schema()) {
                Ok(schema) => schema,
                Err(_) => return both,
            });
            for condition in split_conjunction(filter) {
                self.condition(condition, &both, &schema);
            }
        }
        match join.join_type {
            JoinType::LeftAnti | JoinType::RightAnti => {
                self.notes.insert("what is left out because it has a match is not followed".to_owned());
                if join.join_type == JoinType::LeftAnti { left } else { right }
            }
            JoinType::LeftSemi => left,
            JoinType::RightSemi => right,
            JoinType::LeftMark => left.into_iter().chain([Vec::new()]).collect(),
            JoinType::RightMark => right.into_iter().chain([Vec::new()]).collect(),
            _ => both,
        }
    }

    /// A condition that every row meets: it ties two reads, restricts one, or leads into a subquery.
    fn condition(&mut self, condition: &Expr, input: &[Vec<Place>], schema: &DFSchemaRef) {
        if let Expr::InSubquery(list) = condition {
            let inner = self.walk(&list.subquery.subquery);
            if list.negated {
                self.notes.insert("what NOT IN leaves out is not followed".to_owned());
            } else if let Some(first) = inner.first() {
                self.link(&places(&list.expr, input, schema), first, (true, true));
            }
            return;
        }
        if has_subquery(condition) {
            self.subqueries(std::slice::from_ref(condition));
            return;
        }
        if let Expr::BinaryExpr(both) = condition
            && both.op == Operator::Eq
        {
            let (left, right) = (places(&both.left, input, schema), places(&both.right, input, schema));
            if !left.is_empty() && !right.is_empty() {
                return self.link(&left, &right, (false, false));
            }
        }
        let mut tables: BTreeSet<usize> = BTreeSet::new();
        let mut simple = true;
        let mut columns: Vec<_> = condition.column_refs().into_iter().collect();
        columns.sort_unstable();
        for column in columns {
            match schema.maybe_index_of_column(column).and_then(|at| input.get(at)).map(Vec::as_slice) {
                Some([(table, _)]) => drop(tables.insert(*table)),
                _ => simple = false,
            }
        }
        let only: Vec<usize> = tables.into_iter().collect();
        if let ([table], true) = (only.as_slice(), simple)
            && let Some(condition) = over_input(condition, input, schema)
        {
            self.reads[*table].conditions.push(condition);
        }
    }

    fn link(&mut self, left: &[Place], right: &[Place], (left_needs_right, right_needs_left): (bool, bool)) {
        for a in left {
            self.equal.extend(right.iter().map(|b| Tie {
                left: a.clone(),
                right: b.clone(),
                left_needs_right,
                right_needs_left,
            }));
        }
    }

    /// Subqueries that stand for a value or ask whether there are rows: what they read is not tied to a row.
    fn subqueries(&mut self, expressions: &[Expr]) {
        for expr in expressions {
            let walked = expr.apply(|expr| {
                if matches!(expr, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_)) {
                    self.notes.insert("a subquery inside an expression is not followed".to_owned());
                }
                Ok(TreeNodeRecursion::Continue)
            });
            debug_assert!(walked.is_ok(), "the visitor never fails");
        }
    }
}

fn nothing(plan: &LogicalPlan) -> Vec<Vec<Place>> {
    vec![Vec::new(); plan.schema().fields().len()]
}

fn has_subquery(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(matches!(expr, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_))))
        .unwrap_or(true)
}

/// Where an expression is an input column unchanged, whatever its type.
fn places(expr: &Expr, input: &[Vec<Place>], schema: &DFSchemaRef) -> Vec<Place> {
    match expr {
        Expr::Column(column) => {
            schema.maybe_index_of_column(column).and_then(|at| input.get(at)).cloned().unwrap_or_default()
        }
        Expr::Alias(alias) => places(&alias.expr, input, schema),
        Expr::Cast(cast) => places(&cast.expr, input, schema),
        _ => Vec::new(),
    }
}

/// The condition over the table's own columns.
fn over_input(condition: &Expr, input: &[Vec<Place>], schema: &DFSchemaRef) -> Option<Expr> {
    let moved = condition.clone().transform(|expr| {
        let Expr::Column(column) = &expr else { return Ok(Transformed::no(expr)) };
        let place = schema.maybe_index_of_column(column).and_then(|at| input.get(at)).and_then(|places| places.first());
        Ok(match place {
            Some((_, name)) => Transformed::yes(Expr::Column(Column::new_unqualified(name))),
            None => Transformed::no(expr),
        })
    });
    moved.ok().map(|moved| moved.data)
}

fn window_note(expr: &Expr) -> String {
    let (name, window) = match expr {
        Expr::Alias(alias) => (Some(alias.name.clone()), alias.expr.as_ref()),
        other => (None, other),
    };
    let Expr::WindowFunction(window) = window else { return "a window function looks at other rows".to_owned() };
    let function = name.unwrap_or_else(|| window.fun.name().to_owned()).to_lowercase();
    let partition: Vec<String> = window
        .params
        .partition_by
        .iter()
        .map(|expr| match expr {
            Expr::Column(column) => column.name.to_lowercase(),
            other => other.to_string(),
        })
        .collect();
    match partition.as_slice() {
        [] => format!("`{function}` also depends on all other rows, which are not followed"),
        columns => format!(
            "`{function}` also depends on the other rows of the same {}, which are not followed",
            columns.join(", ")
        ),
    }
}
