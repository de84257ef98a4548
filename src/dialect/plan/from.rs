//! FROM: tables, subqueries, joins of every kind. What stands left is in sight of a LATERAL on its right.

use std::sync::Arc;

use datafusion::common::{JoinType, TableReference};
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{
    EmptyRelation, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Projection, Subquery, SubqueryAlias,
    TableScan, TableScanBuilder,
};
use sqlparser::ast::{
    self, BinaryOperator, Ident, Join, JoinConstraint, JoinOperator, ObjectName, SetExpr, TableAlias, TableFactor,
    TableWithJoins,
};

use super::scope::{Env, Found, Merged, Relation, Rows, Scope, Source, cte_names, find_cte};
use super::{At, Binder, Bound, Reported, relation};
use crate::diagnostic::Diagnostic;
use crate::dialect::asof::{AsofJoin, sides};
use crate::dialect::parse::{DUAL, table_name};
use crate::name::{Name, TableName, nearest};
use crate::text::Span;

/// How a relation is joined to what stands left of it.
#[derive(Clone, Copy)]
pub(super) struct JoinKind<'j> {
    join_type: JoinType,
    constraint: &'j JoinConstraint,
}

const COMMA: JoinKind<'static> = JoinKind { join_type: JoinType::Inner, constraint: &JoinConstraint::None };

impl<'a> Binder<'a> {
    pub(super) fn from(&mut self, from: &[TableWithJoins], env: &Env, parent: Option<&Scope<'_>>) -> Bound<Source> {
        let mut source: Option<Source> = None;
        let mut failed = false;
        for item in from {
            if failed {
                self.survey(&item.relation, env, parent);
                continue;
            }
            match self.joined(source.take(), item, COMMA, env, parent) {
                Ok(more) => source = Some(more),
                Err(Reported) => failed = true,
            }
        }
        if failed {
            return Err(Reported);
        }
        Ok(source.unwrap_or_else(nothing))
    }

    /// Reports the errors of a relation next to one that has some; what sees other relations is not looked at.
    fn survey(&mut self, factor: &TableFactor, env: &Env, parent: Option<&Scope<'_>>) {
        let alone =
            matches!(factor, TableFactor::Table { args: None, .. } | TableFactor::Derived { lateral: false, .. });
        if alone {
            // What is wrong with it is among the diagnostics now; its columns are of no use next to the other's error.
            drop(self.relation(factor, env, parent));
        }
    }

    /// A relation with the joins that follow it.
    fn joined(
        &mut self,
        left: Option<Source>,
        item: &TableWithJoins,
        kind: JoinKind<'_>,
        env: &Env,
        parent: Option<&Scope<'_>>,
    ) -> Bound<Source> {
        // The joins of one item of a comma list bind tighter than the comma; LATERAL on the right still sees all of it.
        let own = left.is_some() && item.joins.iter().any(|join| !is_inner(&join.join_operator));
        if own && let Some(left) = left {
            let right = self.joined(None, item, COMMA, env, parent)?;
            return self.join(left, right, kind, env, parent);
        }
        let mut source = self.appended(left, &item.relation, kind, env, parent);
        for join in &item.joins {
            source = match source {
                Ok(source) => self.next_join(source, join, env, parent),
                Err(Reported) => {
                    self.survey(&join.relation, env, parent);
                    Err(Reported)
                }
            };
        }
        source
    }

    fn next_join(&mut self, left: Source, join: &Join, env: &Env, parent: Option<&Scope<'_>>) -> Bound<Source> {
        let span = self.place(&join.relation);
        if join.global {
            return Err(self.refuse("`GLOBAL JOIN` is not Snowflake SQL", span));
        }
        let (join_type, constraint) = match &join.join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) | JoinOperator::CrossJoin(constraint) => {
                (JoinType::Inner, constraint)
            }
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => (JoinType::Left, constraint),
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => (JoinType::Right, constraint),
            JoinOperator::FullOuter(constraint) => (JoinType::Full, constraint),
            JoinOperator::AsOf { match_condition, constraint } => {
                return self.asof(left, join, match_condition, constraint, env, parent);
            }
            _ => return Err(self.refuse("this kind of join is not Snowflake SQL", span)),
        };
        self.appended(Some(left), &join.relation, JoinKind { join_type, constraint }, env, parent)
    }

    /// Adds a relation to what stands left of it.
    fn appended(
        &mut self,
        left: Option<Source>,
        factor: &TableFactor,
        kind: JoinKind<'_>,
        env: &Env,
        parent: Option<&Scope<'_>>,
    ) -> Bound<Source> {
        if let Some(call) = self.table_call(factor)? {
            let left = left.unwrap_or_else(nothing);
            return self.table_function(left, call, kind.join_type, kind.constraint, env, parent);
        }
        if let TableFactor::Derived { lateral: true, subquery, alias, sample } = factor {
            if sample.is_some() {
                let span = self.place(factor);
                return Err(self.refuse("SAMPLE of a LATERAL subquery", span));
            }
            let left = left.unwrap_or_else(nothing);
            return self.lateral(left, subquery, alias.as_ref(), kind, env, parent);
        }
        let right = self.relation(factor, env, parent);
        match left {
            Some(left) => self.join(left, right?, kind, env, parent),
            None => right,
        }
    }

    /// A relation that sees nothing of what stands left of it.
    fn relation(&mut self, factor: &TableFactor, env: &Env, parent: Option<&Scope<'_>>) -> Bound<Source> {
        let span = self.place(factor);
        match factor {
            TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
            } => {
                if version.is_some() {
                    return Err(
                        self.refuse("time travel (`AT`, `BEFORE`) and `CHANGES` are not carried out here", span)
                    );
                }
                let foreign = !with_hints.is_empty() || *with_ordinality || !partitions.is_empty();
                if foreign || json_path.is_some() || !index_hints.is_empty() || args.is_some() {
                    return Err(self.refuse("hints, partitions, ordinality and arguments of a table", span));
                }
                let source = self.table(name, alias.as_ref(), env)?;
                self.sampled(source, sample.as_ref(), span)
            }
            TableFactor::Derived { lateral: _, subquery, alias, sample } => {
                let rows = self.query(subquery, env, parent)?;
                let source = self.derived(rows, alias.as_ref())?;
                self.sampled(source, sample.as_ref(), span)
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                let source = self.joined(None, table_with_joins, COMMA, env, parent)?;
                match alias {
                    None => Ok(source),
                    Some(alias) => {
                        let rows = self.all_columns(source, span)?;
                        self.derived(rows, Some(alias))
                    }
                }
            }
            TableFactor::TableFunction { expr, alias } => self.named_table(expr, alias.as_ref(), env),
            TableFactor::Pivot { table, aggregate_functions, value_column, value_source, default_on_null, alias } => {
                let input = self.relation(table, env, parent)?;
                let rows = self.pivot(
                    input,
                    aggregate_functions,
                    value_column,
                    value_source,
                    default_on_null.as_ref(),
                    span,
                    env,
                    parent,
                )?;
                self.derived(rows, alias.as_ref())
            }
            TableFactor::Unpivot { table, value, name, columns, null_inclusion, alias } => {
                let input = self.relation(table, env, parent)?;
                let rows = self.unpivot(input, value, name, columns, null_inclusion.as_ref(), span, env)?;
                self.derived(rows, alias.as_ref())
            }
            TableFactor::MatchRecognize { .. } => Err(self.refuse("MATCH_RECOGNIZE is not carried out here", span)),
            TableFactor::SemanticView { .. } => Err(self.refuse("SEMANTIC_VIEW is not carried out here", span)),
            TableFactor::Function { .. }
            | TableFactor::UNNEST { .. }
            | TableFactor::JsonTable { .. }
            | TableFactor::OpenJsonTable { .. }
            | TableFactor::XmlTable { .. } => Err(self.refuse("this table function is not Snowflake SQL", span)),
        }
    }

    /// `TABLE('name')` and `TABLE($variable)`: a table by its name.
    fn named_table(&mut self, expr: &ast::Expr, alias: Option<&TableAlias>, env: &Env) -> Bound<Source> {
        let span = self.place(expr);
        let Some(text) = self.constant_text(expr) else {
            return Err(self.refuse("an unknown table function", span));
        };
        self.table_by_text(&text, alias, env, span)
    }

    fn table_by_text(&mut self, text: &str, alias: Option<&TableAlias>, env: &Env, span: Span) -> Bound<Source> {
        match TableName::parse(text) {
            Some(name) => self.scan(&name, alias, env, span),
            None => {
                Err(self.report(Diagnostic::error("unknown-table", format!("`{text}` is not a table name")).at(span)))
            }
        }
    }

    fn table(&mut self, name: &ObjectName, alias: Option<&TableAlias>, env: &Env) -> Bound<Source> {
        let span = self.place(name);
        if let [ast::ObjectNamePart::Function(function)] = name.0.as_slice() {
            let argument = function.args.first().and_then(|arg| match arg {
                ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => self.constant_text(expr),
                _ => None,
            });
            return match argument {
                Some(text) => self.table_by_text(&text, alias, env, span),
                None => Err(self.refuse("IDENTIFIER takes one text or session variable", span)),
            };
        }
        match table_name(name) {
            Some(name) => self.scan(&name, alias, env, span),
            None => {
                Err(self.report(Diagnostic::error("unknown-table", format!("`{name}` is not a table name")).at(span)))
            }
        }
    }

    fn scan(&mut self, name: &TableName, alias: Option<&TableAlias>, env: &Env, span: Span) -> Bound<Source> {
        let bare = bare_name(name).then(|| find_cte(env, &name.table)).flatten();
        if let Some(cte) = bare {
            let Some((plan, headers)) = cte else { return Err(Reported) };
            let rows = Rows { plan: plan.as_ref().clone(), headers: headers.clone() };
            let fallback = TableName::bare(name.table.clone());
            return self.aliased(rows, alias, fallback);
        }
        if bare_name(name) && name.table.as_str() == DUAL {
            return Ok(nothing());
        }
        let Some(source) = self.context.tables.table(name) else {
            let mut names: Vec<String> = self.context.tables.names().iter().map(TableName::lower).collect();
            names.extend(cte_names(env).iter().map(TableName::lower));
            let diagnostic = Diagnostic::error("unknown-table", format!("unknown table `{}`", name.lower())).at(span);
            return Err(self.report(diagnostic.did_you_mean(nearest(&name.lower(), &names))));
        };
        let reference = reference(name);
        let headers: Vec<Name> = source.schema().fields().iter().map(|f| Name::quoted(f.name().clone())).collect();
        let inlined = source.get_logical_plan().map(|plan| plan.into_owned());
        let plan = match inlined {
            Some(view) => Ok(view),
            None => TableScanBuilder::new(reference.clone(), source).build().map(LogicalPlan::TableScan),
        };
        let plan = plan.map_err(|error| self.fail(&error, span.clone()))?;
        let key = reference.to_string();
        let repeated = self.qualifiers.contains_key(&key);
        *self.qualifiers.entry(key).or_default() += 1;
        if alias.is_none() && !repeated && matches!(plan, LogicalPlan::TableScan(TableScan { .. })) {
            let relation = relation(&plan, headers, Some(name.clone()));
            return Ok(Source::new(plan, relation));
        }
        self.aliased(Rows { plan, headers }, alias, name.clone())
    }

    /// A result under an alias, or under its own name.
    fn aliased(&mut self, rows: Rows, alias: Option<&TableAlias>, own: TableName) -> Bound<Source> {
        match alias {
            Some(alias) => self.derived(rows, Some(alias)),
            None => {
                let span = self.context.statement.span().clone();
                let (plan, relation) =
                    self.named(rows.plan, rows.headers, Some(own)).map_err(|error| self.fail(&error, span))?;
                Ok(Source::new(plan, relation))
            }
        }
    }

    /// A result in FROM, under an alias where it has one.
    pub(super) fn derived(&mut self, rows: Rows, alias: Option<&TableAlias>) -> Bound<Source> {
        let (rows, name) = match alias {
            None => (rows, None),
            Some(alias) => {
                let span = self.word(&alias.name);
                if alias.at.is_some() || alias.columns.iter().any(|column| column.data_type.is_some()) {
                    return Err(self.refuse("types and `AT` in a table alias are not Snowflake SQL", span));
                }
                let columns: Vec<Name> = alias.columns.iter().map(|c| Name::quoted(c.name.value.clone())).collect();
                let rows = self.renamed(rows, &columns, alias)?;
                (rows, Some(TableName::bare(Name::quoted(alias.name.value.clone()))))
            }
        };
        let span = alias.map_or_else(|| self.context.statement.span().clone(), |alias| self.word(&alias.name));
        let (plan, relation) = self.named(rows.plan, rows.headers, name).map_err(|error| self.fail(&error, span))?;
        Ok(Source::new(plan, relation))
    }

    /// All columns of a FROM clause as one result.
    pub(super) fn all_columns(&mut self, source: Source, span: Span) -> Bound<Rows> {
        let env: Env = None;
        let scope = Scope::over(&source, &env, None);
        let columns = self.star_columns(None, &scope, &span)?;
        let headers = columns.iter().map(|(name, _)| name.clone()).collect();
        let exprs = columns.into_iter().enumerate().map(|(at, (_, expr))| expr.alias(format!("#{at}"))).collect();
        let plan = Projection::try_new(exprs, Arc::new(source.plan)).map_err(|error| self.fail(&error, span))?;
        Ok(Rows { plan: LogicalPlan::Projection(plan), headers })
    }

    fn join(
        &mut self,
        left: Source,
        right: Source,
        kind: JoinKind<'_>,
        env: &Env,
        parent: Option<&Scope<'_>>,
    ) -> Bound<Source> {
        let JoinKind { join_type, constraint } = kind;
        if matches!(constraint, JoinConstraint::None) && join_type != JoinType::Inner {
            let span = self.context.statement.span().clone();
            return Err(self.report(Diagnostic::error("join-condition", "an outer join needs ON or USING").at(span)));
        }
        let (conditions, merged, span) = self.conditions(&left, &right, kind, env, parent)?;
        let plan = match conditions.is_empty() && join_type == JoinType::Inner {
            true => LogicalPlanBuilder::from(left.plan).cross_join(right.plan),
            false => LogicalPlanBuilder::from(left.plan).join_on(right.plan, join_type, conditions),
        };
        let plan = plan.and_then(LogicalPlanBuilder::build).map_err(|error| self.fail(&error, span))?;
        let mut relations = left.relations;
        relations.extend(right.relations);
        let relations = if join_type == JoinType::Inner { relations } else { refreshed(relations, &plan) };
        Ok(Source { plan, relations, merged, sequence: None })
    }

    /// What the rows of a join must fulfil, the columns that USING makes one of, and where it is written.
    fn conditions(
        &mut self,
        left: &Source,
        right: &Source,
        kind: JoinKind<'_>,
        env: &Env,
        parent: Option<&Scope<'_>>,
    ) -> Bound<(Vec<Expr>, Vec<Merged>, Span)> {
        let JoinKind { join_type, constraint } = kind;
        let mut conditions = Vec::new();
        let mut merged: Vec<Merged> = left.merged.iter().chain(&right.merged).cloned().collect();
        let mut span = self.context.statement.span().clone();
        match constraint {
            JoinConstraint::None => {}
            JoinConstraint::On(on) => {
                span = self.place(on);
                let (schema, relations) = self.both(left, right, &span)?;
                let mut scope = Scope::empty(schema, env, parent);
                scope.relations = &relations;
                scope.merged = &merged;
                conditions.push(self.predicate(on, &scope, "ON")?);
            }
            JoinConstraint::Using(names) => {
                let idents: Vec<Ident> = names.iter().filter_map(|n| n.0.last()?.as_ident().cloned()).collect();
                self.using(left, right, &idents, join_type, &mut conditions, &mut merged, env)?;
            }
            JoinConstraint::Natural => {
                let idents = common_columns(left, right);
                self.using(left, right, &idents, join_type, &mut conditions, &mut merged, env)?;
            }
        }
        Ok((conditions, merged, span))
    }

    fn both(
        &mut self,
        left: &Source,
        right: &Source,
        span: &Span,
    ) -> Bound<(datafusion::common::DFSchemaRef, Vec<Relation>)> {
        let schema = left.plan.schema().join(right.plan.schema());
        let schema = schema.map_err(|error| self.fail(&error, span.clone()))?;
        let relations = left.relations.iter().chain(&right.relations).cloned().collect();
        Ok((Arc::new(schema), relations))
    }

    /// Conditions and merged columns of USING.
    #[expect(clippy::too_many_arguments, reason = "two sides, two results and the context they are bound in")]
    fn using(
        &mut self,
        left: &Source,
        right: &Source,
        idents: &[Ident],
        join_type: JoinType,
        conditions: &mut Vec<Expr>,
        merged: &mut Vec<Merged>,
        env: &Env,
    ) -> Bound<()> {
        let (left_scope, right_scope) = (Scope::over(left, env, None), Scope::over(right, env, None));
        let mut shared = Vec::new();
        for ident in idents {
            let sides = (self.side(ident, &left_scope), self.side(ident, &right_scope));
            let (l, r) = (sides.0?, sides.1?);
            let span = self.word(ident);
            let (schema, _) = self.both(left, right, &span)?;
            let equal = self.binary(BinaryOperator::Eq, l.clone(), r.clone(), &schema, At::Span(&span))?;
            conditions.push(equal);
            let expr = match join_type {
                JoinType::Right => r,
                JoinType::Full => datafusion::functions::core::expr_fn::coalesce(vec![l, r]),
                _ => l,
            };
            shared.push(Merged { name: Name::quoted(ident.value.clone()), expr, shown: true });
        }
        merged.retain(|own| !shared.iter().any(|new| new.name == own.name));
        merged.splice(0..0, shared);
        Ok(())
    }

    fn side(&mut self, ident: &Ident, scope: &Scope<'_>) -> Bound<Expr> {
        match scope.column(std::slice::from_ref(ident)) {
            Found::One(expr) => Ok(expr),
            found => Err(self.not_a_column(std::slice::from_ref(ident), found, scope)),
        }
    }

    /// A LATERAL subquery. One that only computes over each row of the left is put in line with it; another is left to
    /// DataFusion's lateral join.
    fn lateral(
        &mut self,
        left: Source,
        subquery: &ast::Query,
        alias: Option<&TableAlias>,
        kind: JoinKind<'_>,
        env: &Env,
        parent: Option<&Scope<'_>>,
    ) -> Bound<Source> {
        let inner = kind.join_type == JoinType::Inner
            && matches!(kind.constraint, JoinConstraint::None | JoinConstraint::On(_));
        if inner && let Some(select) = in_line(subquery) {
            let source = self.lateral_in_line(left, select, alias, env, parent)?;
            return match kind.constraint {
                JoinConstraint::On(on) => {
                    let scope = Scope::over(&source, env, parent);
                    let predicate = self.predicate(on, &scope, "ON")?;
                    let span = self.place(on);
                    let plan = Filter::try_new(predicate, Arc::new(source.plan)).map_err(|e| self.fail(&e, span))?;
                    Ok(Source { plan: LogicalPlan::Filter(plan), ..source })
                }
                _ => Ok(source),
            };
        }
        let span = self.place(subquery);
        let scope = Scope::over(&left, env, parent);
        let rows = self.query(subquery, env, Some(&scope))?;
        let outer_ref_columns = rows.plan.all_out_ref_exprs();
        let mut right = self.derived(rows, alias)?;
        if !outer_ref_columns.is_empty() {
            self.correlated.push(span.clone());
            let LogicalPlan::SubqueryAlias(SubqueryAlias { input, alias, .. }) = right.plan else {
                return Err(Reported);
            };
            let subquery = Subquery { subquery: input, outer_ref_columns, spans: Default::default() };
            let plan = SubqueryAlias::try_new(Arc::new(LogicalPlan::Subquery(subquery)), alias);
            right.plan = LogicalPlan::SubqueryAlias(plan.map_err(|error| self.fail(&error, span))?);
        }
        self.join(left, right, kind, env, parent)
    }

    fn lateral_in_line(
        &mut self,
        left: Source,
        select: &ast::Select,
        alias: Option<&TableAlias>,
        env: &Env,
        parent: Option<&Scope<'_>>,
    ) -> Bound<Source> {
        let Source { plan, relations, merged, .. } = left;
        let kept: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        let left_count = relations.len();
        let mut source = Source { plan, relations, merged: merged.clone(), sequence: None };
        for item in &select.from {
            source = self.joined(Some(source), item, COMMA, env, parent)?;
        }
        let Source { mut plan, relations, merged: inner_merged, .. } = source;
        let span = self.place(select);
        let aliases = super::scope::Aliases::new(super::item::aliases(select));
        // Names of the subquery's own FROM come first; those of the left stand around it.
        let (outer, inner) = relations.split_at(left_count);
        let mut around = Scope::empty(Arc::clone(plan.schema()), env, parent);
        around.relations = outer;
        around.merged = &merged;
        let mut scope = Scope::empty(Arc::clone(plan.schema()), env, Some(&around));
        scope.relations = inner;
        scope.merged = &inner_merged[..inner_merged.len() - merged.len().min(inner_merged.len())];
        scope.aliases = Some(&aliases);
        let local = |expr: Expr| inlined(expr, plan.schema());
        let predicate = match &select.selection {
            Some(selection) => Some(local(self.predicate(selection, &scope, "WHERE")?)),
            None => None,
        };
        let items = self.items(select, &scope)?;
        let items: Vec<(Name, Expr)> = items.into_iter().map(|item| (item.header, local(item.expr))).collect();
        if let Some(predicate) = predicate {
            plan = self.filtered(plan, predicate, span.clone())?;
        }
        let name = alias.map(|alias| TableName::bare(Name::quoted(alias.name.value.clone())));
        let qualifier = self.qualifier(name.as_ref().map_or("#lateral", |name| name.table.as_str()));
        let mut headers: Vec<Name> = items.iter().map(|(header, _)| header.clone()).collect();
        if let Some(alias) = alias.filter(|alias| !alias.columns.is_empty()) {
            let columns: Vec<Name> = alias.columns.iter().map(|c| Name::quoted(c.name.value.clone())).collect();
            let empty = LogicalPlan::EmptyRelation(EmptyRelation {
                produce_one_row: false,
                schema: Arc::new(datafusion::common::DFSchema::empty()),
            });
            headers = self.renamed(Rows { plan: empty, headers }, &columns, alias)?.headers;
        }
        let mut exprs = kept;
        let first = exprs.len();
        for (at, (_, expr)) in items.into_iter().enumerate() {
            exprs.push(expr.alias_qualified(Some(qualifier.clone()), format!("#{at}")));
        }
        let projection = Projection::try_new(exprs, Arc::new(plan)).map_err(|error| self.fail(&error, span))?;
        let plan = LogicalPlan::Projection(projection);
        let columns = plan.schema().iter().skip(first).zip(headers).map(|((qualifier, field), name)| {
            let column = datafusion::common::Column::new(qualifier.cloned(), field.name());
            super::ScopeColumn { name, column, field: Arc::clone(field) }
        });
        let mut kept: Vec<Relation> = outer.to_vec();
        kept.push(Relation { name, columns: columns.collect() });
        Ok(Source { plan, relations: kept, merged, sequence: None })
    }

    /// ASOF JOIN: of the right rows that fulfil the match condition, the closest one for each left row.
    fn asof(
        &mut self,
        left: Source,
        join: &Join,
        condition: &ast::Expr,
        constraint: &JoinConstraint,
        env: &Env,
        parent: Option<&Scope<'_>>,
    ) -> Bound<Source> {
        let span = self.place(condition);
        let right = self.relation(&join.relation, env, parent)?;
        let (schema, relations) = self.both(&left, &right, &span)?;
        let mut scope = Scope::empty(schema, env, parent);
        scope.relations = &relations;
        let nearest = self.predicate(condition, &scope, "MATCH_CONDITION")?;
        let kind = JoinKind { join_type: JoinType::Left, constraint };
        let (conditions, merged, equal_span) = self.conditions(&left, &right, kind, env, parent)?;
        let equal: Vec<Expr> = conditions.into_iter().flat_map(split_conjunction_owned).collect();
        let operator = |condition| sides(condition, left.plan.schema(), right.plan.schema()).map(|(_, op, _)| op);
        match operator(&nearest) {
            Some(Operator::GtEq | Operator::Gt | Operator::LtEq | Operator::Lt) => {}
            Some(_) => return Err(self.refuse("MATCH_CONDITION takes >=, >, <= or <", span)),
            None => return Err(self.refuse("MATCH_CONDITION must compare a left column with a right one", span)),
        }
        if !equal.iter().all(|condition| operator(condition) == Some(Operator::Eq)) {
            let message = "the ON of ASOF JOIN takes equalities of a left column and a right one, joined by AND";
            return Err(self.refuse(message, equal_span));
        }
        let plan = AsofJoin::plan(left.plan, right.plan, nearest, equal).map_err(|error| self.fail(&error, span))?;
        let relations = refreshed(relations, &plan);
        Ok(Source { plan, relations, merged, sequence: None })
    }
}

/// One row without columns: what a query without FROM reads.
pub(super) fn nothing() -> Source {
    let schema = Arc::new(datafusion::common::DFSchema::empty());
    let plan = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, schema });
    Source { plan, relations: Vec::new(), merged: Vec::new(), sequence: None }
}

fn is_inner(operator: &JoinOperator) -> bool {
    matches!(operator, JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_))
}

/// The same relations with the nullability that an outer join gave their columns.
fn refreshed(relations: Vec<Relation>, plan: &LogicalPlan) -> Vec<Relation> {
    let mut relations = relations;
    for column in relations.iter_mut().flat_map(|relation| &mut relation.columns) {
        if let Ok((_, field)) = plan.schema().qualified_field_from_column(&column.column) {
            column.field = Arc::clone(field);
        }
    }
    relations
}

/// The columns that both sides of a NATURAL JOIN have.
fn common_columns(left: &Source, right: &Source) -> Vec<Ident> {
    let names = |source: &Source| -> Vec<Name> {
        source.relations.iter().flat_map(|r| &r.columns).map(|c| c.name.clone()).collect()
    };
    let right = names(right);
    let mut common: Vec<Name> = Vec::new();
    for name in names(left) {
        if right.contains(&name) && !common.contains(&name) {
            common.push(name);
        }
    }
    common.into_iter().map(|name| Ident::with_quote('"', name.as_str())).collect()
}

/// The lone SELECT of a query that gives one row for each row of its FROM; none of another.
fn in_line(query: &ast::Query) -> Option<&ast::Select> {
    let bare =
        query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let groups = matches!(&select.group_by, ast::GroupByExpr::Expressions(keys, _) if keys.is_empty());
    let plain =
        select.distinct.is_none() && select.top.is_none() && select.having.is_none() && select.qualify.is_none();
    let only = bare && groups && plain && select.connect_by.is_empty() && select.lateral_views.is_empty();
    (only && !super::subquery::has_aggregate(select)).then_some(select)
}

/// Outer references to columns that are in the same plan after all, as plain columns.
fn inlined(expr: Expr, schema: &datafusion::common::DFSchema) -> Expr {
    use datafusion::common::tree_node::{Transformed, TreeNode};
    let plain = expr.clone().transform(|node| match node {
        Expr::OuterReferenceColumn(_, column) if schema.has_column(&column) => {
            Ok(Transformed::yes(Expr::Column(column)))
        }
        node => Ok(Transformed::no(node)),
    });
    plain.map_or(expr, |plain| plain.data)
}

fn bare_name(name: &TableName) -> bool {
    name.schema.is_none() && name.database.is_none()
}

/// The name under which a table is scanned.
fn reference(name: &TableName) -> TableReference {
    match (&name.database, &name.schema) {
        (Some(database), Some(schema)) => TableReference::full(database.as_str(), schema.as_str(), name.table.as_str()),
        (_, Some(schema)) => TableReference::partial(schema.as_str(), name.table.as_str()),
        _ => TableReference::bare(name.table.as_str()),
    }
}
