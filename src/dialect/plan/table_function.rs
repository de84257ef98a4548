//! Table functions in FROM, laid over what stands left of them: FLATTEN, SPLIT_TO_TABLE, STRTOK_SPLIT_TO_TABLE, GENERATOR;
//! and SAMPLE. Their kernels are in `functions/table.rs`.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::utils::find_out_reference_exprs;
use datafusion::logical_expr::{
    Cast, Distinct, Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, Projection, lit,
};
use sqlparser::ast::{
    self, FunctionArg, FunctionArgExpr, FunctionArguments, JoinConstraint, ObjectName, TableAlias, TableFactor,
    TableSample, TableSampleKind, TableSampleMethod, TableSampleQuantity, TableSampleUnit,
};

use super::scope::{Env, Relation, Scope, ScopeColumn, Source};
use super::{Binder, Bound, Reported};
use crate::diagnostic::Diagnostic;
use crate::dialect::declared;
use crate::dialect::functions::table::Call;
use crate::dialect::types::SqlType;
use crate::name::{Name, TableName, nearest};
use crate::text::Span;

/// The table function of a sequence's next numbers.
const NEXT_VALUES: &str = "getnextval";

/// A call of a table function as written.
pub(super) struct Written<'f> {
    name: String,
    arguments: &'f [FunctionArg],
    alias: Option<&'f TableAlias>,
    span: Span,
}

impl<'a> Binder<'a> {
    /// The table function that a relation calls; none where it is something else.
    pub(super) fn table_call<'f>(&mut self, factor: &'f TableFactor) -> Bound<Option<Written<'f>>> {
        let (name, arguments, alias) = match factor {
            TableFactor::Function { name, args, alias, with_ordinality: false, lateral: _ } => {
                (name, args.as_slice(), alias)
            }
            TableFactor::Table { name, args: Some(args), alias, .. } if args.settings.is_none() => {
                (name, args.args.as_slice(), alias)
            }
            TableFactor::TableFunction { expr: ast::Expr::Function(function), alias } => match &function.args {
                FunctionArguments::List(list) if list.clauses.is_empty() => {
                    (&function.name, list.args.as_slice(), alias)
                }
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        let span = self.place(name);
        self.known_table_function(name, &span)?;
        Ok(Some(Written { name: name.to_string().to_lowercase(), arguments, alias: alias.as_ref(), span }))
    }

    fn known_table_function(&mut self, name: &ObjectName, span: &Span) -> Bound<()> {
        let name = name.to_string().to_lowercase();
        if Call::is_table_function(&name) || name == NEXT_VALUES {
            return Ok(());
        }
        let known = ["flatten", "split_to_table", "strtok_split_to_table", "generator", NEXT_VALUES];
        let message = format!("unknown table function `{name}`");
        let diagnostic = Diagnostic::error("unknown-function", message).at(span.clone());
        Err(self.report(diagnostic.did_you_mean(nearest(&name, known))))
    }

    /// Lays a table function over what stands left of it.
    pub(super) fn table_function(
        &mut self,
        left: Source,
        call: Written<'_>,
        join_type: JoinType,
        constraint: &JoinConstraint,
        env: &Env,
        parent: Option<&Scope<'_>>,
    ) -> Bound<Source> {
        let Written { name, arguments, alias, span } = call;
        if !matches!(join_type, JoinType::Inner | JoinType::Left) {
            return Err(self.refuse("a table function on the right of a RIGHT or FULL JOIN", span));
        }
        let trivial = matches!(constraint, JoinConstraint::On(on) if is_true(on));
        if join_type == JoinType::Left && !trivial && !matches!(constraint, JoinConstraint::None) {
            return Err(self.refuse("LEFT JOIN of a table function with a condition other than TRUE", span));
        }
        let scope = Scope::over(&left, env, parent);
        let mut bound = Vec::new();
        for argument in arguments {
            bound.push(self.table_argument(argument, &scope)?);
        }
        let mut bound = self.typed_arguments(&name, bound, &scope, &span)?;
        let outer: Vec<Expr> = bound.iter().flat_map(|(_, expr)| find_out_reference_exprs(expr)).collect();
        let mut correlation = None;
        let left = match outer.is_empty() {
            true => left,
            false => {
                let Some(around) = parent.filter(|parent| parent.rows.is_some()) else {
                    return Err(self.refuse(format!("`{name}` of a column of an outer query"), span));
                };
                let (left, equal) = self.with_outer_values(left, outer, &mut bound, around, &span)?;
                correlation = Some(equal);
                left
            }
        };
        if name == NEXT_VALUES {
            return self.next_values(left, bound, alias, span);
        }
        let lone = name == "generator" && left.relations.is_empty();
        let call = Call::bind(&name, bound).map_err(|error| self.fail(&error, span.clone()))?;
        let own = alias.map_or_else(|| name.to_uppercase(), |alias| alias.name.value.clone());
        let qualifier = self.qualifier(&own);
        let before = left.plan.schema().fields().len();
        let plan = call.over(left.plan, qualifier, None, join_type == JoinType::Left);
        let mut plan = plan.map_err(|error| self.fail(&error, span.clone()))?;
        let mut columns: Vec<ScopeColumn> = Vec::new();
        for (qualifier, field) in plan.schema().iter().skip(before) {
            let column = Column::new(qualifier.cloned(), field.name());
            columns.push(ScopeColumn { name: Name::quoted(field.name().clone()), column, field: Arc::clone(field) });
        }
        if let Some(alias) = alias.filter(|alias| !alias.columns.is_empty()) {
            if alias.columns.len() != columns.len() {
                let message =
                    format!("`{name}` gives {} columns, the alias names {}", columns.len(), alias.columns.len());
                return Err(self.report(Diagnostic::error("column-count", message).at(span)));
            }
            for (column, given) in columns.iter_mut().zip(&alias.columns) {
                column.name = Name::quoted(given.name.value.clone());
            }
        }
        if let Some(equal) = correlation {
            plan = self.filtered(plan, equal, span.clone())?;
        }
        let mut sequence = None;
        if lone && self.has_sequence {
            let (numbered, number) = self.row_numbers(plan, &span)?;
            plan = numbered;
            sequence = Some(number);
        }
        let mut relations = left.relations;
        relations.push(Relation { name: Some(TableName::bare(Name::quoted(own))), columns });
        let mut source = Source { plan, relations, merged: left.merged, sequence };
        if let JoinConstraint::On(on) = constraint
            && !trivial
        {
            let scope = Scope::over(&source, env, parent);
            let predicate = self.predicate(on, &scope, "ON")?;
            let span = self.place(on);
            source.plan = self.filtered(source.plan, predicate, span)?;
        }
        Ok(source)
    }

    /// Arguments of the types that a table function takes: FLATTEN a VARIANT, OBJECT or ARRAY, the others texts.
    fn typed_arguments(
        &mut self,
        name: &str,
        arguments: Vec<(Option<String>, Expr)>,
        scope: &Scope<'_>,
        span: &Span,
    ) -> Bound<Vec<(Option<String>, Expr)>> {
        let mut typed = Vec::with_capacity(arguments.len());
        for (at, (given, value)) in arguments.into_iter().enumerate() {
            let kind = value.get_type(&scope.schema).map_err(|error| self.fail(&error, span.clone()))?;
            let kind = SqlType::of(&kind).unwrap_or(SqlType::Variant);
            let input = given.as_deref().map_or(at == 0, |given| given == "INPUT");
            if name == "flatten" && input && !(kind.is_semi_structured() || kind == SqlType::Null) {
                let message = format!("`FLATTEN` takes a VARIANT, an OBJECT or an ARRAY, not {kind}");
                let diagnostic = Diagnostic::error("sql-type", message).at(span.clone());
                let text = matches!(kind, SqlType::Varchar(_));
                return Err(self.report(if text {
                    diagnostic.hint("read the text with PARSE_JSON")
                } else {
                    diagnostic
                }));
            }
            let splits = name.ends_with("split_to_table") && !matches!(kind, SqlType::Varchar(_));
            let value = match splits {
                true => Expr::Cast(Cast::new_from_field(
                    Box::new(value),
                    declared::field(SqlType::TEXT.into(), &self.zone()),
                )),
                false => value,
            };
            typed.push((given, value));
        }
        Ok(typed)
    }

    /// GETNEXTVAL: beside every row the next number of a sequence, the same wherever the row's is asked for.
    fn next_values(
        &mut self,
        left: Source,
        mut arguments: Vec<(Option<String>, Expr)>,
        alias: Option<&TableAlias>,
        span: Span,
    ) -> Bound<Source> {
        let (1, Some((None, number))) = (arguments.len(), arguments.pop()) else {
            return Err(self.refuse("GETNEXTVAL takes one sequence", span));
        };
        let own = alias.map_or_else(|| NEXT_VALUES.to_uppercase(), |alias| alias.name.value.clone());
        let qualifier = self.qualifier(&own);
        let mut exprs: Vec<Expr> = left.plan.schema().columns().into_iter().map(Expr::Column).collect();
        exprs.push(number.alias_qualified(Some(qualifier.clone()), "NEXTVAL"));
        let plan = Projection::try_new(exprs, Arc::new(left.plan)).map_err(|error| self.fail(&error, span.clone()))?;
        let plan = LogicalPlan::Projection(plan);
        let column = Column::new(Some(qualifier), "NEXTVAL");
        let field = plan.schema().qualified_field_from_column(&column).map(|(_, field)| Arc::clone(field));
        let field = field.map_err(|error| self.fail(&error, span.clone()))?;
        let given = alias.and_then(|alias| alias.columns.first());
        let name = Name::quoted(given.map_or("NEXTVAL", |column| column.name.value.as_str()));
        let mut relations = left.relations;
        let columns = vec![ScopeColumn { name, column, field }];
        relations.push(Relation { name: Some(TableName::bare(Name::quoted(own))), columns });
        Ok(Source { plan, relations, merged: left.merged, sequence: None })
    }

    /// Joins the distinct values of the outer query's columns that a table function reads, and gives the condition that
    /// they are those of the outer row: the subquery is then correlated by an equality, which DataFusion can plan.
    fn with_outer_values(
        &mut self,
        left: Source,
        outer: Vec<Expr>,
        arguments: &mut [(Option<String>, Expr)],
        around: &Scope<'_>,
        span: &Span,
    ) -> Bound<(Source, Expr)> {
        let mut columns: Vec<Expr> = Vec::new();
        for expr in outer {
            let Expr::OuterReferenceColumn(_, column) = &expr else { continue };
            if around.field(column).is_none() {
                return Err(self.refuse("a table function of a column two queries further out", span.clone()));
            }
            if !columns.contains(&expr) {
                columns.push(expr);
            }
        }
        let Some(rows) = around.rows else { return Err(Reported) };
        let plain = |expr: &Expr| match expr {
            Expr::OuterReferenceColumn(_, column) => Expr::Column(column.clone()),
            other => other.clone(),
        };
        let mut exprs: Vec<Expr> = Vec::new();
        for (at, expr) in columns.iter().enumerate() {
            exprs.push(plain(expr).alias(format!("#{at}")));
        }
        // The subquery can only be taken apart where one side of the equality is a column.
        for (at, expr) in columns.iter().enumerate() {
            exprs.push(comparable(plain(expr), &outer_type(expr)).alias(format!("#key{at}")));
        }
        let width = exprs.len();
        let values =
            Projection::try_new(exprs, Arc::new(rows.clone())).map_err(|error| self.fail(&error, span.clone()))?;
        let values = LogicalPlan::Distinct(Distinct::All(Arc::new(LogicalPlan::Projection(values))));
        let headers = (0..width).map(|at| Name::quoted(format!("#{at}"))).collect();
        let (values, relation) = self.named(values, headers, None).map_err(|error| self.fail(&error, span.clone()))?;
        let inner: Vec<Expr> = relation.columns.iter().map(|column| Expr::Column(column.column.clone())).collect();
        let own: super::group::Columns = columns.iter().cloned().zip(inner).collect();
        for (_, argument) in arguments.iter_mut() {
            let written = std::mem::replace(argument, Expr::Literal(datafusion::common::ScalarValue::Null, None));
            *argument = super::group::rebased(written, &own);
        }
        let mut equal: Option<Expr> = None;
        let count = columns.len();
        for (column, key) in columns.into_iter().zip(relation.columns.iter().skip(count)) {
            let data_type = outer_type(&column);
            let one = Expr::Column(key.column.clone()).eq(comparable(column, &data_type));
            equal = Some(equal.map_or(one.clone(), |equal| equal.and(one)));
        }
        let plan = LogicalPlanBuilder::from(values).cross_join(left.plan).and_then(LogicalPlanBuilder::build);
        let plan = plan.map_err(|error| self.fail(&error, span.clone()))?;
        Ok((Source { plan, ..left }, equal.ok_or(Reported)?))
    }

    fn table_argument(&mut self, argument: &FunctionArg, scope: &Scope<'_>) -> Bound<(Option<String>, Expr)> {
        let (name, value) = match argument {
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => (Some(name.value.clone()), value),
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => (None, value),
            FunctionArg::ExprNamed { .. } | FunctionArg::Named { .. } | FunctionArg::Unnamed(_) => {
                let span = self.context.statement.span().clone();
                return Err(self.refuse("this argument of a table function", span));
            }
        };
        Ok((name, self.expr(value, scope)?))
    }

    /// Numbers the rows of a plan from 0.
    pub(super) fn row_numbers(&mut self, plan: LogicalPlan, span: &Span) -> Bound<(LogicalPlan, Expr)> {
        let name = format!("#row{}", self.number());
        let window = datafusion::functions_window::expr_fn::row_number().alias(name.as_str());
        let plan = LogicalPlanBuilder::from(plan).window([window]).and_then(LogicalPlanBuilder::build);
        let plan = plan.map_err(|error| self.fail(&error, span.clone()))?;
        let row = Expr::Column(Column::new_unqualified(name));
        let number = datafusion::logical_expr::cast(row, datafusion::arrow::datatypes::DataType::Int64);
        Ok((plan, number - lit(1_i64)))
    }

    /// SAMPLE: each row with a probability, or so many rows.
    pub(super) fn sampled(&mut self, source: Source, sample: Option<&TableSampleKind>, span: Span) -> Bound<Source> {
        let (TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample)) = match sample {
            None => return Ok(source),
            Some(sample) => sample,
        };
        let TableSample { modifier: _, name, quantity, seed, bucket, offset } = sample.as_ref();
        if seed.is_some() {
            return Err(self.refuse("SAMPLE with a seed: Snowflake's choice of rows cannot be repeated here", span));
        }
        let Some(TableSampleQuantity { parenthesized: _, value, unit }) = quantity else {
            return Err(self.refuse("SAMPLE without a size", span));
        };
        if bucket.is_some() || offset.is_some() || matches!(unit, Some(TableSampleUnit::Percent)) {
            return Err(self.refuse("this form of SAMPLE is not Snowflake SQL", span));
        }
        let Some(size) = number(value) else {
            return Err(self.refuse("the size of a SAMPLE must be a number", span));
        };
        let random = self.unit(&span)?;
        let plan = match unit {
            Some(TableSampleUnit::Rows) => {
                if matches!(name, Some(TableSampleMethod::System | TableSampleMethod::Block)) {
                    return Err(self.refuse("SAMPLE SYSTEM of a number of rows is not Snowflake SQL", span));
                }
                let rows = size as usize;
                LogicalPlanBuilder::from(source.plan)
                    .sort([random.sort(true, false)])
                    .and_then(|plan| plan.limit(0, Some(rows)))
                    .and_then(LogicalPlanBuilder::build)
            }
            _ if !(0.0..=100.0).contains(&size) => {
                return Err(self.report(Diagnostic::error("sql-type", "a SAMPLE takes 0 to 100 percent").at(span)));
            }
            _ => Filter::try_new(random.lt(lit(size / 100.0)), Arc::new(source.plan)).map(LogicalPlan::Filter),
        };
        let plan = plan.map_err(|error| self.fail(&error, span))?;
        Ok(Source { plan, ..source })
    }
}

fn outer_type(expr: &Expr) -> DataType {
    match expr {
        Expr::OuterReferenceColumn(field, _) => field.data_type().clone(),
        _ => DataType::Null,
    }
}

/// A value by which equal values are equal keys: the text of a VARIANT, another value as it is.
fn comparable(expr: Expr, data_type: &DataType) -> Expr {
    match data_type {
        DataType::Struct(fields) if fields.len() == 1 => {
            datafusion::functions::core::expr_fn::get_field(expr, fields[0].name().as_str())
        }
        _ => expr,
    }
}

fn number(expr: &ast::Expr) -> Option<f64> {
    match expr {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::Number(text, _) => text.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

fn is_true(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Nested(inner) => is_true(inner),
        ast::Expr::Value(value) => matches!(value.value, ast::Value::Boolean(true)),
        ast::Expr::BinaryOp { left, op: ast::BinaryOperator::Eq, right } => {
            number(left).is_some() && number(left) == number(right)
        }
        _ => false,
    }
}
