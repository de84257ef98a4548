//! What a name can mean at one point of a statement: the columns of FROM, aliases of the SELECT list, outer queries, WITH.
//! Every column keeps the name that the author sees beside the unique one that the plan uses.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::{Column, DFSchemaRef};
use datafusion::logical_expr::{Expr, LogicalPlan};
use sqlparser::ast::{self, Ident, NamedWindowDefinition};

use crate::name::{Name, TableName};

/// A column as seen by the author and as it stands in the plan.
#[derive(Clone, Debug)]
pub(super) struct ScopeColumn {
    pub(super) name: Name,
    pub(super) column: Column,
    pub(super) field: FieldRef,
}

/// One table, subquery or table function of a FROM clause.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    /// How its columns can be qualified; none for a subquery without alias.
    pub(super) name: Option<TableName>,
    pub(super) columns: Vec<ScopeColumn>,
}

impl Relation {
    /// Whether `[database.][schema.]table` written before a column means this relation.
    pub(super) fn answers_to(&self, qualifier: &[Ident]) -> bool {
        let Some(name) = &self.name else { return false };
        let parts = [Some(&name.table), name.schema.as_ref(), name.database.as_ref()];
        let written = qualifier.iter().rev();
        written.zip(parts).all(|(ident, part)| part.is_some_and(|part| part.as_str() == ident.value))
            && qualifier.len() <= 3
    }
}

/// A column that a JOIN … USING made one of two.
#[derive(Clone, Debug)]
pub(super) struct Merged {
    pub(super) name: Name,
    pub(super) expr: Expr,
    /// Whether `*` shows it; a pseudo-column such as LEVEL is not shown.
    pub(super) shown: bool,
}

/// A bound FROM clause.
pub(super) struct Source {
    pub(super) plan: LogicalPlan,
    pub(super) relations: Vec<Relation>,
    pub(super) merged: Vec<Merged>,
    /// The row number of a lone `TABLE(GENERATOR(…))`, which SEQ functions read.
    pub(super) sequence: Option<Expr>,
}

impl Source {
    pub(super) fn new(plan: LogicalPlan, relation: Relation) -> Self {
        Self { plan, relations: vec![relation], merged: Vec::new(), sequence: None }
    }
}

/// The result of a query: its plan, whose columns have unique names, and their headers in order.
pub(super) struct Rows {
    pub(super) plan: LogicalPlan,
    pub(super) headers: Vec<Name>,
}

/// A name of a WITH clause; without rows where its query has errors, which are already reported.
pub(super) struct Cte {
    name: Name,
    rows: Option<(Arc<LogicalPlan>, Vec<Name>)>,
    outer: Env,
}

/// The WITH names in sight, innermost first.
pub(super) type Env = Option<Rc<Cte>>;

/// The same with one more name.
pub(super) fn with_cte(env: &Env, name: Name, rows: Option<(Arc<LogicalPlan>, Vec<Name>)>) -> Env {
    Some(Rc::new(Cte { name, rows, outer: env.clone() }))
}

/// What a one-part table name means in WITH: none where it is not there.
pub(super) fn find_cte<'e>(env: &'e Env, name: &Name) -> Option<&'e Option<(Arc<LogicalPlan>, Vec<Name>)>> {
    let mut next = env.as_ref();
    while let Some(cte) = next {
        if cte.name == *name {
            return Some(&cte.rows);
        }
        next = cte.outer.as_ref();
    }
    None
}

/// The names of WITH in sight, for suggestions.
pub(super) fn cte_names(env: &Env) -> Vec<TableName> {
    let mut names = Vec::new();
    let mut next = env.as_ref();
    while let Some(cte) = next {
        names.push(TableName::bare(cte.name.clone()));
        next = cte.outer.as_ref();
    }
    names
}

/// How far an alias of the SELECT list is bound.
#[derive(Clone)]
pub(super) enum AliasState {
    Open,
    Binding,
    Bound(Expr),
    Failed,
}

/// The aliases of a SELECT list, bound when they are first used.
pub(super) struct Aliases<'s> {
    pub(super) entries: Vec<(Name, &'s ast::Expr)>,
    pub(super) states: RefCell<Vec<AliasState>>,
}

impl<'s> Aliases<'s> {
    pub(super) fn new(entries: Vec<(Name, &'s ast::Expr)>) -> Self {
        let states = RefCell::new(vec![AliasState::Open; entries.len()]);
        Self { entries, states }
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.entries.iter().position(|(alias, _)| alias.as_str() == name)
    }

    pub(super) fn state(&self, index: usize) -> AliasState {
        self.states.borrow().get(index).cloned().unwrap_or(AliasState::Failed)
    }

    pub(super) fn set(&self, index: usize, state: AliasState) {
        if let Some(slot) = self.states.borrow_mut().get_mut(index) {
            *slot = state;
        }
    }
}

/// Everything that names can mean at one point.
#[derive(Clone)]
pub(super) struct Scope<'s> {
    pub(super) parent: Option<&'s Scope<'s>>,
    pub(super) env: &'s Env,
    pub(super) relations: &'s [Relation],
    pub(super) merged: &'s [Merged],
    pub(super) schema: DFSchemaRef,
    pub(super) aliases: Option<&'s Aliases<'s>>,
    /// Finished columns of the result, which ORDER BY sees before those of FROM.
    pub(super) outputs: Option<&'s [(Name, Expr)]>,
    pub(super) windows: &'s [NamedWindowDefinition],
    pub(super) lambda: Vec<FieldRef>,
    /// The types that lambdas declare for their parameters.
    pub(super) lambda_types: Vec<(String, Option<sqlparser::ast::DataType>)>,
    /// The parent row of CONNECT BY.
    pub(super) prior: Option<&'s [Relation]>,
    pub(super) sequence: Option<&'s Expr>,
    /// The rows of FROM, for a table function in a subquery that reads their columns.
    pub(super) rows: Option<&'s LogicalPlan>,
}

/// What a column name turned out to be.
pub(super) enum Found {
    One(Expr),
    Ambiguous(Vec<String>),
    None,
}

impl<'s> Scope<'s> {
    /// A scope with nothing but WITH names and the outer query in sight.
    pub(super) fn empty(schema: DFSchemaRef, env: &'s Env, parent: Option<&'s Scope<'s>>) -> Self {
        Self {
            parent,
            env,
            relations: &[],
            merged: &[],
            schema,
            aliases: None,
            outputs: None,
            windows: &[],
            lambda: Vec::new(),
            lambda_types: Vec::new(),
            prior: None,
            sequence: None,
            rows: None,
        }
    }

    /// The scope of expressions over a FROM clause.
    pub(super) fn over(source: &'s Source, env: &'s Env, parent: Option<&'s Scope<'s>>) -> Self {
        Self {
            relations: &source.relations,
            merged: &source.merged,
            sequence: source.sequence.as_ref(),
            rows: Some(&source.plan),
            ..Self::empty(Arc::clone(source.plan.schema()), env, parent)
        }
    }

    /// What a dotted name means among the columns of FROM, this query's alone.
    pub(super) fn column(&self, parts: &[Ident]) -> Found {
        let Some((last, qualifier)) = parts.split_last() else { return Found::None };
        if qualifier.is_empty()
            && let Some(merged) = self.merged.iter().find(|m| m.name.as_str() == last.value)
        {
            return Found::One(merged.expr.clone());
        }
        let relations = self.relations.iter().filter(|r| qualifier.is_empty() || r.answers_to(qualifier));
        let found: Vec<(&Relation, &ScopeColumn)> = relations
            .flat_map(|r| r.columns.iter().filter(|c| c.name.as_str() == last.value).map(move |c| (r, c)))
            .collect();
        match found.as_slice() {
            [] => Found::None,
            [(_, only)] => Found::One(Expr::Column(only.column.clone())),
            several => Found::Ambiguous(several.iter().map(|(r, c)| qualified(r, c)).collect()),
        }
    }

    /// The column at a position, from 1, of a table of FROM.
    pub(super) fn positional(&self, qualifier: &[Ident], position: usize) -> Found {
        let mut relations = self.relations.iter().filter(|r| r.answers_to(qualifier));
        let columns = relations.next().map(|relation| relation.columns.as_slice()).unwrap_or_default();
        match position.checked_sub(1).and_then(|at| columns.get(at)) {
            Some(column) => Found::One(Expr::Column(column.column.clone())),
            None => Found::None,
        }
    }

    /// The field of a column of this query's FROM.
    pub(super) fn field(&self, column: &Column) -> Option<FieldRef> {
        let columns = self.relations.iter().flat_map(|r| &r.columns);
        columns.into_iter().find(|c| c.column == *column).map(|c| Arc::clone(&c.field))
    }

    /// Every column name in sight, for suggestions.
    pub(super) fn names(&self, qualifier: &[Ident]) -> Vec<String> {
        let mut names = Vec::new();
        let mut scope = Some(self);
        while let Some(at) = scope {
            let relations = at.relations.iter().filter(|r| qualifier.is_empty() || r.answers_to(qualifier));
            names.extend(relations.flat_map(|r| &r.columns).map(|c| c.name.shown()));
            if let Some(aliases) = at.aliases
                && qualifier.is_empty()
            {
                names.extend(aliases.entries.iter().map(|(name, _)| name.shown()));
            }
            scope = at.parent;
        }
        names
    }
}

fn qualified(relation: &Relation, column: &ScopeColumn) -> String {
    match &relation.name {
        Some(name) => format!("{}.{}", name.lower(), column.name.shown()),
        None => column.name.shown(),
    }
}
