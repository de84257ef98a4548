//! The outer join operator `(+)`: conditions of WHERE that mark columns with it become the ON of a LEFT JOIN. Only the AST is
//! rewritten here; the joins are bound like those that the author writes.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Join, JoinConstraint, JoinOperator, Select, TableFactor, TableWithJoins, Visit, VisitMut,
    Visitor, VisitorMut,
};

use super::{Binder, Bound};

/// The names by which columns of a relation can be qualified: its alias, or the last part of its name.
fn name_of(factor: &TableFactor) -> Option<&str> {
    let alias = match factor {
        TableFactor::Table { alias, .. } | TableFactor::Derived { alias, .. } => alias.as_ref(),
        _ => None,
    };
    match (alias, factor) {
        (Some(alias), _) => Some(&alias.name.value),
        (None, TableFactor::Table { name, .. }) => name.0.last()?.as_ident().map(|ident| ident.value.as_str()),
        _ => None,
    }
}

/// The conditions that AND joins.
fn conjuncts<'e>(expr: &'e Expr, into: &mut Vec<&'e Expr>) {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            conjuncts(left, into);
            conjuncts(right, into);
        }
        Expr::Nested(inner) if matches!(inner.as_ref(), Expr::BinaryOp { op: BinaryOperator::And, .. }) => {
            conjuncts(inner, into);
        }
        other => into.push(other),
    }
}

fn all_of(conditions: Vec<Expr>) -> Option<Expr> {
    let and = |left, right| Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::And, right: Box::new(right) };
    conditions.into_iter().reduce(and)
}

/// The qualifiers of the columns in a condition: of those that carry the mark, and of all.
#[derive(Default)]
struct Mentions {
    marked: Vec<Option<String>>,
    named: Vec<String>,
}

impl Mentions {
    fn of(expr: &Expr) -> Self {
        let mut mentions = Self::default();
        let _: ControlFlow<()> = expr.visit(&mut mentions);
        mentions
    }
}

fn qualifier(expr: &Expr) -> Option<String> {
    let Expr::CompoundIdentifier(parts) = expr else { return None };
    parts.len().checked_sub(2).and_then(|at| parts.get(at)).map(|part| part.value.clone())
}

impl Visitor for Mentions {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::OuterJoin(column) = expr {
            self.marked.push(qualifier(column));
        }
        self.named.extend(qualifier(expr));
        ControlFlow::Continue(())
    }
}

struct Unmark;

impl VisitorMut for Unmark {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::OuterJoin(column) = expr {
            *expr = column.as_ref().clone();
        }
        ControlFlow::Continue(())
    }
}

/// A relation of FROM that `(+)` marks, with the conditions that mark it.
struct Marked {
    name: String,
    conditions: Vec<Expr>,
}

impl<'a> Binder<'a> {
    /// The FROM and WHERE of a SELECT with every `(+)` turned into a LEFT JOIN; none where there is no such operator.
    pub(super) fn outer_operators(&mut self, select: &Select) -> Bound<Option<(Vec<TableWithJoins>, Option<Expr>)>> {
        let Some(selection) = &select.selection else { return Ok(None) };
        let mut written = Vec::new();
        conjuncts(selection, &mut written);
        let mut rest = Vec::new();
        let mut marked: Vec<Marked> = Vec::new();
        for condition in written {
            let mentions = Mentions::of(condition);
            let Some(first) = mentions.marked.first() else {
                rest.push(condition.clone());
                continue;
            };
            let one = mentions.marked.iter().all(|other| other == first);
            let (Some(name), true) = (first, one) else {
                let span = self.place(condition);
                return Err(
                    self.refuse("a condition with `(+)` must mark columns of one table, written as table.column", span)
                );
            };
            let mut condition = condition.clone();
            let _: ControlFlow<()> = VisitMut::visit(&mut condition, &mut Unmark);
            match marked.iter_mut().find(|other| other.name == *name) {
                Some(known) => known.conditions.push(condition),
                None => marked.push(Marked { name: name.clone(), conditions: vec![condition] }),
            }
        }
        if marked.is_empty() {
            return Ok(None);
        }
        let from = self.left_joins(select, marked)?;
        Ok(Some((from, all_of(rest))))
    }

    /// The relations that are not marked, then each marked one joined to what its conditions read.
    fn left_joins(&mut self, select: &Select, mut marked: Vec<Marked>) -> Bound<Vec<TableWithJoins>> {
        let is_marked = |item: &TableWithJoins| {
            item.joins.is_empty() && name_of(&item.relation).is_some_and(|name| marked.iter().any(|m| m.name == name))
        };
        let (mut optional, mut from): (Vec<_>, Vec<_>) = select.from.iter().cloned().partition(is_marked);
        let span = self.place(select);
        while !marked.is_empty() {
            let waits = |one: &Marked| {
                let mut named = one.conditions.iter().flat_map(|condition| Mentions::of(condition).named);
                named.any(|name| name != one.name && marked.iter().any(|other| other.name == name))
            };
            let ready = marked.iter().position(|one| !waits(one));
            let Some(next) = ready.map(|at| marked.remove(at)) else {
                return Err(self.refuse("tables that `(+)` marks in a circle cannot be joined", span));
            };
            let at = optional.iter().position(|item| name_of(&item.relation) == Some(next.name.as_str()));
            let (Some(at), Some(on)) = (at, all_of(next.conditions)) else {
                let message =
                    format!("`(+)` marks `{}`, which is no table of the comma list of FROM", next.name.to_lowercase());
                return Err(self.refuse(message, span));
            };
            let join = Join {
                relation: optional.remove(at).relation,
                global: false,
                join_operator: JoinOperator::LeftOuter(JoinConstraint::On(on)),
            };
            from = joined(from, join);
        }
        Ok(from)
    }
}

/// The comma list as one item, so that the join sees all of it.
fn joined(from: Vec<TableWithJoins>, join: Join) -> Vec<TableWithJoins> {
    let mut items = from.into_iter();
    let Some(mut first) = items.next() else {
        return vec![TableWithJoins { relation: join.relation, joins: Vec::new() }];
    };
    for item in items {
        let cross =
            |relation| Join { relation, global: false, join_operator: JoinOperator::CrossJoin(JoinConstraint::None) };
        let relation = match item.joins.is_empty() {
            true => item.relation,
            false => TableFactor::NestedJoin { table_with_joins: Box::new(item), alias: None },
        };
        first.joins.push(cross(relation));
    }
    first.joins.push(join);
    vec![first]
}
