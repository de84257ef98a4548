//! CONNECT BY, as a recursive query: rows that START WITH names, then the rows that CONNECT BY leads to from each.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::{JoinType, ScalarValue};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use sqlparser::ast::{
    self, BinaryOperator, ConnectByKind, FunctionArg, FunctionArgExpr, FunctionArguments, Select, Visit, Visitor,
};

use super::scope::{Env, Merged, Relation, Scope, ScopeColumn, Source};
use super::{At, Binder, Bound, Reported};
use crate::dialect::functions::way::way;
use crate::name::Name;
use crate::text::Span;

/// A value that is carried down from row to row.
#[derive(Clone)]
pub(super) struct Carried {
    kind: Kind,
    /// The expression as written, and the separator of a path.
    written: ast::Expr,
    separator: Option<ast::Expr>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Root,
    Path,
}

impl<'a> Binder<'a> {
    /// Replaces a FROM clause by the rows of its hierarchy, each with its LEVEL; WHERE is applied to them.
    pub(super) fn hierarchy(
        &mut self,
        select: &Select,
        source: Source,
        env: &Env,
        parent: Option<&Scope<'_>>,
    ) -> Bound<Source> {
        let span = self.place(select);
        let mut starts = Vec::new();
        let mut relationships = Vec::new();
        for clause in &select.connect_by {
            match clause {
                ConnectByKind::ConnectBy { connect_token: _, nocycle, relationships: conditions } => {
                    if *nocycle {
                        return Err(self.refuse("`NOCYCLE` is not Snowflake SQL", span));
                    }
                    relationships.extend(conditions);
                }
                ConnectByKind::StartWith { start_token: _, condition } => starts.push(condition.as_ref()),
            }
        }
        let carried = carried(select);
        let columns: Vec<ScopeColumn> = source.relations.iter().flat_map(|r| r.columns.clone()).collect();
        let scope = Scope::over(&source, env, parent);
        let mut first = source.plan.clone();
        for start in starts {
            let predicate = self.predicate(start, &scope, "START WITH")?;
            first = self.filtered(first, predicate, span.clone())?;
        }
        let mut exprs: Vec<Expr> = columns.iter().map(|column| Expr::Column(column.column.clone())).collect();
        exprs.push(lit(1_i64));
        for value in &carried {
            exprs.push(self.carried_start(value, &scope, &span)?);
        }
        // Where LEVEL or chance has a say, a row that comes again need not go on for ever.
        let endless = !relationships.iter().any(|condition| condition.visit(&mut Ends).is_break());
        let way = way().filter(|_| endless);
        let extended = |before: Expr, columns: &[ScopeColumn]| {
            let row = columns.iter().map(|column| Expr::Column(column.column.clone()));
            way.as_ref().map(|way| {
                let arguments = std::iter::once(before).chain(row).collect();
                Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(way), arguments))
            })
        };
        exprs.extend(extended(Expr::Literal(ScalarValue::Binary(None), None), &columns));
        let first = self.step(first, exprs, &span)?;
        let work = format!("#connect{}", self.number());
        let nullable =
            first.schema().fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>();
        let table = provider_as_source(Arc::new(CteWorkTable::new(&work, Arc::new(Schema::new(nullable)))));
        let scan = LogicalPlanBuilder::scan(work.as_str(), table, None).and_then(LogicalPlanBuilder::build);
        let scan = scan.map_err(|error| self.fail(&error, span.clone()))?;
        let before = scan.schema().columns();
        let (above, level) = parents(&source.relations, &scan);
        let mut exprs: Vec<Expr> = columns.iter().map(|column| Expr::Column(column.column.clone())).collect();
        let next_level =
            datafusion::logical_expr::binary_expr(level, datafusion::logical_expr::Operator::Plus, lit(1_i64));
        exprs.push(next_level.clone());
        let schema = source.plan.schema().join(scan.schema()).map_err(|error| self.fail(&error, span.clone()))?;
        let schema = Arc::new(schema);
        let merged = [Merged { name: Name::quoted("LEVEL"), expr: next_level, shown: false }];
        let mut scope = Scope::over(&source, env, parent);
        scope.schema = Arc::clone(&schema);
        scope.merged = &merged;
        scope.prior = Some(&above);
        let mut conditions = Vec::new();
        for relationship in relationships {
            conditions.push(self.predicate(relationship, &scope, "CONNECT BY")?);
        }
        for (at, value) in carried.iter().enumerate() {
            let parent_value = Expr::Column(before[columns.len() + 1 + at].clone());
            exprs.push(match value.kind {
                Kind::Root => parent_value,
                Kind::Path => {
                    let step = self.carried_start(value, &scope, &span)?;
                    self.binary(BinaryOperator::StringConcat, parent_value, step, &schema, At::Span(&span))?
                }
            });
        }
        if let Some(before) = before.get(columns.len() + 1 + carried.len()) {
            exprs.extend(extended(Expr::Column(before.clone()), &columns));
        }
        let joined = LogicalPlanBuilder::from(source.plan.clone()).join_on(scan, JoinType::Inner, conditions);
        let joined = joined.and_then(LogicalPlanBuilder::build).map_err(|error| self.fail(&error, span.clone()))?;
        let next = self.step(joined, exprs, &span)?;
        let plan = LogicalPlanBuilder::from(first).to_recursive_query(work, next, false);
        let plan = plan.and_then(LogicalPlanBuilder::build).map_err(|error| self.fail(&error, span.clone()))?;
        let source = self.hierarchy_source(plan, &source.relations, source.merged, &span)?;
        self.carried.push((select.select_token.0.span, carried));
        self.filtered_hierarchy(select, source, env, parent)
    }

    fn filtered_hierarchy(
        &mut self,
        select: &Select,
        source: Source,
        env: &Env,
        parent: Option<&Scope<'_>>,
    ) -> Bound<Source> {
        let Some(selection) = &select.selection else { return Ok(source) };
        let scope = Scope::over(&source, env, parent);
        let predicate = self.predicate(selection, &scope, "WHERE")?;
        let span = self.place(selection);
        let plan = self.filtered(source.plan, predicate, span)?;
        Ok(Source { plan, ..source })
    }

    /// A projection under the plan's own names `#0`, `#1`, ….
    fn step(&mut self, plan: LogicalPlan, exprs: Vec<Expr>, span: &Span) -> Bound<LogicalPlan> {
        let exprs = exprs.into_iter().enumerate().map(|(at, expr)| expr.alias(format!("#{at}"))).collect();
        super::projected(exprs, plan).map_err(|error| self.fail(&error, span.clone()))
    }

    fn carried_start(&mut self, value: &Carried, scope: &Scope<'_>, span: &Span) -> Bound<Expr> {
        let own = self.expr(&value.written, scope)?;
        match &value.separator {
            None => Ok(own),
            Some(separator) => {
                let separator = self.expr(separator, scope)?;
                self.binary(BinaryOperator::StringConcat, separator, own, &scope.schema, At::Span(span))
            }
        }
    }

    /// The recursive plan as a FROM clause: the relations that were, LEVEL, and what was carried.
    fn hierarchy_source(
        &mut self,
        plan: LogicalPlan,
        relations: &[Relation],
        merged: Vec<Merged>,
        span: &Span,
    ) -> Bound<Source> {
        let (plan, all) = {
            let headers = (0..plan.schema().fields().len()).map(|at| Name::quoted(format!("#{at}"))).collect();
            self.named(plan, headers, None).map_err(|error| self.fail(&error, span.clone()))?
        };
        let mut rest = all.columns.into_iter();
        let mut rebuilt = Vec::new();
        let mut moved = super::group::Columns::new();
        for relation in relations {
            let mut columns = Vec::new();
            for (own, new) in relation.columns.iter().zip(rest.by_ref()) {
                moved.insert(Expr::Column(own.column.clone()), Expr::Column(new.column.clone()));
                columns.push(ScopeColumn { name: own.name.clone(), ..new });
            }
            rebuilt.push(Relation { name: relation.name.clone(), columns });
        }
        let mut merged: Vec<Merged> = merged
            .into_iter()
            .map(|own| Merged { expr: super::group::rebased(own.expr.clone(), &moved), ..own })
            .collect();
        if let Some(level) = rest.next() {
            self.pseudo(&mut merged, "LEVEL", level);
        }
        for (at, column) in rest.enumerate() {
            self.pseudo(&mut merged, &format!("#carried{at}"), column);
        }
        Ok(Source { plan, relations: rebuilt, merged, sequence: None })
    }

    fn pseudo(&mut self, merged: &mut Vec<Merged>, name: &str, column: ScopeColumn) {
        merged.push(Merged { name: Name::quoted(name), expr: Expr::Column(column.column), shown: false });
    }

    /// `CONNECT_BY_ROOT expr`: what was carried from the root.
    pub(super) fn connect_by_root(&mut self, value: &ast::Expr, scope: &Scope<'_>) -> Bound<Expr> {
        let span = self.place(value);
        self.carried_value(Kind::Root, value, None, scope, span)
    }

    /// `SYS_CONNECT_BY_PATH(expr, separator)`.
    pub(super) fn connect_by_path(&mut self, args: &[FunctionArg], scope: &Scope<'_>, span: &Span) -> Bound<Expr> {
        match arguments(args).as_slice() {
            [value, separator] => self.carried_value(Kind::Path, value, Some(separator), scope, span.clone()),
            _ => Err(self.refuse("SYS_CONNECT_BY_PATH takes a value and a separator", span.clone())),
        }
    }

    fn carried_value(
        &mut self,
        kind: Kind,
        value: &ast::Expr,
        separator: Option<&ast::Expr>,
        scope: &Scope<'_>,
        span: Span,
    ) -> Bound<Expr> {
        let known = self.carried.last().and_then(|(_, carried)| {
            carried
                .iter()
                .position(|own| own.kind == kind && own.written == *value && own.separator.as_ref() == separator)
        });
        let name = known.map(|at| format!("#carried{at}"));
        let found = name.and_then(|name| scope.merged.iter().find(|merged| merged.name.as_str() == name));
        match found {
            Some(merged) => Ok(merged.expr.clone()),
            None => {
                self.refuse(
                    "CONNECT_BY_ROOT and SYS_CONNECT_BY_PATH stand in the list of a SELECT with CONNECT BY",
                    span,
                );
                Err(Reported)
            }
        }
    }
}

/// The relations of the parent row, and its level.
fn parents(relations: &[Relation], scan: &LogicalPlan) -> (Vec<Relation>, Expr) {
    let mut fields = scan.schema().iter();
    let mut above = Vec::new();
    for relation in relations {
        let mut columns = Vec::new();
        for (own, (qualifier, field)) in relation.columns.iter().zip(fields.by_ref()) {
            let column = datafusion::common::Column::new(qualifier.cloned(), field.name());
            columns.push(ScopeColumn { name: own.name.clone(), column, field: Arc::clone(field) });
        }
        above.push(Relation { name: relation.name.clone(), columns });
    }
    let level =
        fields.next().map(|(qualifier, field)| datafusion::common::Column::new(qualifier.cloned(), field.name()));
    let level = level.map_or(Expr::Literal(ScalarValue::Int64(None), None), Expr::Column);
    let fields: Vec<ScopeColumn> = match &level {
        Expr::Column(column) => scan
            .schema()
            .qualified_field_from_column(column)
            .map(|(_, field)| ScopeColumn {
                name: Name::quoted("LEVEL"),
                column: column.clone(),
                field: Arc::clone(field),
            })
            .into_iter()
            .collect(),
        _ => Vec::new(),
    };
    above.push(Relation { name: None, columns: fields });
    (above, level)
}

/// Finds what can end a hierarchy besides its rows.
struct Ends;

impl Visitor for Ends {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        let ends = match expr {
            ast::Expr::Identifier(ident) => ident.value == "LEVEL",
            ast::Expr::Function(_) => true,
            _ => false,
        };
        if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// The values of a SELECT that are carried down, once each.
fn carried(select: &Select) -> Vec<Carried> {
    let mut found = CarriedIn { values: Vec::new() };
    for item in &select.projection {
        let _: ControlFlow<()> = item.visit(&mut found);
    }
    found.values
}

struct CarriedIn {
    values: Vec<Carried>,
}

impl Visitor for CarriedIn {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        let value = match expr {
            ast::Expr::Prefixed { prefix, value } if prefix.value == "CONNECT_BY_ROOT" => {
                Some(Carried { kind: Kind::Root, written: value.as_ref().clone(), separator: None })
            }
            ast::Expr::Function(function) if function.name.to_string() == "SYS_CONNECT_BY_PATH" => match &function.args
            {
                FunctionArguments::List(list) => match arguments(&list.args).as_slice() {
                    [value, separator] => {
                        let (written, separator) = ((*value).clone(), Some((*separator).clone()));
                        Some(Carried { kind: Kind::Path, written, separator })
                    }
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        };
        self.values.extend(value);
        ControlFlow::Continue(())
    }
}

fn arguments(args: &[FunctionArg]) -> Vec<&ast::Expr> {
    let argument = |arg| match arg {
        &FunctionArg::Unnamed(FunctionArgExpr::Expr(ref expr)) => Some(expr),
        _ => None,
    };
    args.iter().filter_map(argument).collect()
}
