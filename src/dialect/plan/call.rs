//! Function calls: which function a name means, its arguments, and the forms that SQL gives some of them (`count(*)`,
//! date parts without quotes, DISTINCT, WITHIN GROUP, lambdas). Kernels and types are in `functions`.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{AggregateFunction, HigherOrderFunction, Lambda, NullTreatment, ScalarFunction};
use datafusion::logical_expr::type_coercion::functions::value_fields_with_higher_order_udf;
use datafusion::logical_expr::{
    AggregateUDF, Expr, ExprSchemable, HigherOrderUDF, LambdaParametersProgress, ScalarUDF, SortExpr, ValueOrLambda,
    WindowUDF, lit, when,
};
use sqlparser::ast::{
    self, DuplicateTreatment, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
};

use super::scope::Scope;
use super::{Binder, Bound, Reported};
use crate::diagnostic::Diagnostic;
use crate::dialect::cast::Target;
use crate::dialect::declared;
use crate::dialect::functions::{Fidelity, Implementation, seeded};
use crate::dialect::lex::FROM_LAST;
use crate::dialect::types::{MAX_PRECISION, SqlType};
use crate::name::nearest;
use crate::text::Span;

/// Functions whose argument at a position is a date part that may stand without quotes.
const DATE_PARTS: [(&str, usize); 13] = [
    ("dateadd", 0),
    ("datediff", 0),
    ("timeadd", 0),
    ("timediff", 0),
    ("timestampadd", 0),
    ("timestampdiff", 0),
    ("date_part", 0),
    ("date_trunc", 0),
    ("last_day", 1),
    ("time_slice", 2),
    ("date_add", 0),
    ("date_diff", 0),
    ("trunc", 1),
];

/// Functions of DataFusion that mean what Snowflake's of the same name do.
const BUILT_IN: [&str; 17] = [
    "count",
    "min",
    "max",
    "grouping",
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
    "coalesce",
    "nullif",
];

/// Functions that compare no texts, so that a collation does not matter to them.
const KEEPING_TEXT: [&str; 7] = ["length", "len", "octet_length", "upper", "lower", "to_varchar", "to_char"];

/// What a function name means.
pub(super) enum Callee {
    Scalar(Arc<ScalarUDF>),
    Aggregate(Arc<AggregateUDF>),
    Window(Arc<WindowUDF>),
    HigherOrder(Arc<HigherOrderUDF>),
}

/// The parts of a call that are not its arguments.
struct Clauses<'c> {
    distinct: bool,
    order_by: &'c [ast::OrderByExpr],
    nulls: Option<NullTreatment>,
}

impl<'a> Binder<'a> {
    pub(super) fn call(&mut self, function: &Function, written: &ast::Expr, scope: &Scope<'_>) -> Bound<Expr> {
        let Function { name, uses_odbc_syntax, parameters, args, filter, null_treatment, over, within_group } =
            function;
        let span = self.place(name);
        if *uses_odbc_syntax || !matches!(parameters, FunctionArguments::None) || filter.is_some() {
            return Err(self.refuse("`FILTER (WHERE …)`, parameters and `{fn …}` are not Snowflake SQL", span));
        }
        let name = match name.0.as_slice() {
            [part] => part.as_ident().map(|ident| ident.value.to_lowercase()).unwrap_or_default(),
            _ => name.to_string().to_lowercase(),
        };
        let from_last = name == FROM_LAST.to_lowercase();
        let name = if from_last { "nth_value".to_string() } else { name };
        if let FunctionArguments::Subquery(query) = args {
            let argument = self.scalar_subquery(query, scope)?;
            return self.function(&name, vec![argument], written, scope);
        }
        let (arguments, clauses) = self.clauses(args, within_group, *null_treatment, &span)?;
        if let Some(special) = self.special(&name, arguments, scope, &span) {
            return special;
        }
        if over.is_none()
            && let Some(other) = super::state::stateful(&name, arguments)
        {
            return self.expr(&other, scope);
        }
        let callee = self.callee(&name, over.is_some(), &span)?;
        match callee {
            Callee::HigherOrder(udf) => {
                let bound = self.higher_order(&udf, arguments, &span, scope)?;
                self.checked(bound, scope, written)
            }
            Callee::Scalar(udf) => {
                if over.is_some() {
                    let message = format!("`{name}` is not a window function");
                    return Err(self.report(Diagnostic::error("not-a-window-function", message).at(span)));
                }
                if clauses.distinct || !clauses.order_by.is_empty() || clauses.nulls.is_some() {
                    let message = format!("`{name}` takes no DISTINCT, ORDER BY, WITHIN GROUP or NULLS clause");
                    return Err(self.report(Diagnostic::error("not-an-aggregate", message).at(span)));
                }
                let args = self.arguments(&name, arguments, scope, &span)?;
                if !KEEPING_TEXT.contains(&name.as_str()) {
                    self.told_apart(&format!("`{name}`"), &args, &scope.schema, &span)?;
                }
                self.checked(Expr::ScalarFunction(ScalarFunction::new_udf(udf, args)), scope, written)
            }
            Callee::Aggregate(udf) => {
                let mut inside = scope.clone();
                inside.outputs = None;
                let (args, distinct) = self.aggregate_arguments(&name, arguments, clauses.distinct, &inside, &span)?;
                self.told_apart(&format!("`{name}`"), &args, &scope.schema, &span)?;
                let sorts = self.sort_keys(clauses.order_by, &inside)?;
                match over {
                    Some(over) => {
                        let over = self.over(over, &name, &inside, &span)?;
                        self.window_aggregate(udf, args, distinct, sorts, clauses.nulls, over, span)
                    }
                    None => {
                        let bound = self.aggregate(udf, args, distinct, sorts, clauses.nulls);
                        self.checked_aggregate(bound, scope, &span)
                    }
                }
            }
            Callee::Window(udf) => {
                let Some(over) = over else {
                    let message = format!("`{name}` needs OVER");
                    return Err(self.report(Diagnostic::error("window-without-over", message).at(span)));
                };
                let mut inside = scope.clone();
                inside.outputs = None;
                let args = self.arguments(&name, arguments, &inside, &span)?;
                let args = self.window_arguments(&name, args, from_last, &inside, &span)?;
                let over = self.over(over, &name, &inside, &span)?;
                self.window(udf, args, clauses.nulls, over, span)
            }
        }
    }

    /// A call of a scalar function that the grammar spells in another way.
    pub(super) fn function(
        &mut self,
        name: &str,
        args: Vec<Expr>,
        written: &ast::Expr,
        scope: &Scope<'_>,
    ) -> Bound<Expr> {
        let span = self.place(written);
        match self.callee(name, false, &span)? {
            Callee::Scalar(udf) => {
                self.checked(Expr::ScalarFunction(ScalarFunction::new_udf(udf, args)), scope, written)
            }
            _ => {
                let message = format!("`{name}` cannot be written in this way");
                Err(self.report(Diagnostic::error("unknown-function", message).at(span)))
            }
        }
    }

    fn clauses<'c>(
        &mut self,
        args: &'c FunctionArguments,
        within_group: &'c [ast::OrderByExpr],
        nulls: Option<ast::NullTreatment>,
        span: &Span,
    ) -> Bound<(&'c [FunctionArg], Clauses<'c>)> {
        let mut clauses = Clauses { distinct: false, order_by: within_group, nulls: nulls.map(NullTreatment::from) };
        let FunctionArguments::List(list) = args else { return Ok((&[], clauses)) };
        clauses.distinct = matches!(list.duplicate_treatment, Some(DuplicateTreatment::Distinct));
        for clause in &list.clauses {
            match clause {
                FunctionArgumentClause::IgnoreOrRespectNulls(nulls) => {
                    clauses.nulls = Some(NullTreatment::from(*nulls))
                }
                FunctionArgumentClause::OrderBy(keys) if within_group.is_empty() => clauses.order_by = keys,
                other => {
                    return Err(self.refuse(format!("`{other}` inside a call is not Snowflake SQL"), span.clone()));
                }
            }
        }
        Ok((&list.args, clauses))
    }

    /// Functions that are a matter of names and rows, not of values.
    fn special(&mut self, name: &str, args: &[FunctionArg], scope: &Scope<'_>, span: &Span) -> Option<Bound<Expr>> {
        match name {
            "seq1" | "seq2" | "seq4" | "seq8" => Some(self.sequence(name, args, scope, span)),
            "random" => Some(self.random(args, scope, span)),
            "collate" => Some(self.collate_call(args, scope, span)),
            "collation" => Some(self.collation_call(args, scope, span)),
            "system$typeof" => Some(self.type_of(args, scope, span)),
            "get_ddl" => Some(Err(self.refuse("GET_DDL outside of a session", span.clone()))),
            "identifier" => Some(self.identifier(args, scope, span)),
            "sys_connect_by_path" => Some(self.connect_by_path(args, scope, span)),
            _ => None,
        }
    }

    /// SEQ1, SEQ2, SEQ4, SEQ8: the number of the row, from 0, wrapping around at their width.
    fn sequence(&mut self, name: &str, args: &[FunctionArg], scope: &Scope<'_>, span: &Span) -> Bound<Expr> {
        let signed = match args {
            [] => false,
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Value(value)))] => {
                match value.value.to_string().as_str() {
                    "0" => false,
                    "1" => true,
                    _ => return Err(self.refuse(format!("`{name}` takes 0 or 1"), span.clone())),
                }
            }
            _ => return Err(self.refuse(format!("`{name}` takes 0 or 1"), span.clone())),
        };
        let Some(row) = scope.sequence.cloned() else {
            return Err(
                self.refuse(format!("`{name}` can only stand in the SELECT list, GROUP BY or ORDER BY"), span.clone())
            );
        };
        let half: i64 = match name {
            "seq1" => 1 << 7,
            "seq2" => 1 << 15,
            "seq4" => 1 << 31,
            _ => return Ok(row),
        };
        Ok(if signed { (row + lit(half)) % lit(2 * half) - lit(half) } else { row % lit(half) })
    }

    /// RANDOM: every 64-bit integer with equal probability; with a seed, the same numbers each time.
    fn random(&mut self, args: &[FunctionArg], scope: &Scope<'_>, span: &Span) -> Bound<Expr> {
        if let [FunctionArg::Unnamed(FunctionArgExpr::Expr(seed))] = args {
            let seed = match self.expr(seed, scope)? {
                Expr::Literal(ScalarValue::Int64(Some(seed)), _) => seed,
                _ => return Err(self.refuse("the seed of RANDOM must be a whole number", span.clone())),
            };
            let Some(row) = scope.sequence.cloned() else {
                let message = "RANDOM with a seed can only stand in the SELECT list, GROUP BY or ORDER BY";
                return Err(self.refuse(message, span.clone()));
            };
            return Ok(seeded(seed, row));
        }
        if !args.is_empty() {
            return Err(self.refuse("RANDOM takes at most one seed", span.clone()));
        }
        let (high, low) = (self.unit(span)?, self.unit(span)?);
        let bits = |unit: Expr| datafusion::logical_expr::cast(unit * lit(4_294_967_296_f64), DataType::Int64);
        Ok((bits(high) - lit(2_147_483_648_i64)) * lit(4_294_967_296_i64) + bits(low))
    }

    /// SYSTEM$TYPEOF: the declared type of an expression and the width in which Snowflake stores it.
    fn type_of(&mut self, args: &[FunctionArg], scope: &Scope<'_>, span: &Span) -> Bound<Expr> {
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(written))] = args else {
            return Err(self.refuse("SYSTEM$TYPEOF takes one expression", span.clone()));
        };
        let bound = self.expr(written, scope)?;
        let (_, field) = bound.to_field(&scope.schema).map_err(|error| self.fail(&error, span.clone()))?;
        let Some(target) = declared::target(&field) else {
            return Err(self.refuse("SYSTEM$TYPEOF of this expression", span.clone()));
        };
        Ok(lit(stored_type(&bound, target)))
    }

    /// A random number from 0 to less than 1.
    pub(super) fn unit(&mut self, span: &Span) -> Bound<Expr> {
        match self.context.state.scalar_functions().get("random") {
            Some(udf) => Ok(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(udf), Vec::new()))),
            None => Err(self.refuse("random numbers", span.clone())),
        }
    }

    /// `IDENTIFIER('name')` as a column.
    fn identifier(&mut self, args: &[FunctionArg], scope: &Scope<'_>, span: &Span) -> Bound<Expr> {
        let text = match args {
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))] => self.constant_text(expr),
            _ => None,
        };
        let parsed = text.as_deref().and_then(crate::name::TableName::parse);
        let Some(name) = parsed else {
            return Err(self.refuse("IDENTIFIER takes one text or session variable that is a name", span.clone()));
        };
        let parts = [name.database, name.schema, Some(name.table)];
        let idents: Vec<ast::Ident> =
            parts.into_iter().flatten().map(|part| ast::Ident::with_quote('"', part.as_str())).collect();
        self.name(&idents, scope)
    }

    /// The function that a name means here; with OVER, a window function of that name comes first.
    pub(super) fn callee(&mut self, name: &str, over: bool, span: &Span) -> Bound<Callee> {
        let registry = self.context.registry;
        let mut refusal = None;
        let mut found = None;
        for function in registry.find(name) {
            let callee = match &function.implementation {
                Implementation::Scalar(udf) => Callee::Scalar(Arc::clone(udf)),
                Implementation::Aggregate(udf) => Callee::Aggregate(Arc::clone(udf)),
                Implementation::Window(udf) => Callee::Window(Arc::clone(udf)),
                Implementation::HigherOrder(udf) => Callee::HigherOrder(Arc::clone(udf)),
                Implementation::Rewritten => continue,
                Implementation::None => {
                    if let Fidelity::Refused(why) = function.fidelity {
                        refusal = Some(why);
                    }
                    continue;
                }
            };
            let fits = matches!(callee, Callee::Window(_)) == over;
            if found.is_none() || fits {
                found = Some(callee);
            }
        }
        if let Some(found) = found {
            return Ok(found);
        }
        if let Some(why) = refusal {
            return Err(self.report(
                Diagnostic::error("refused-function", format!("`{name}` is refused: {why}")).at(span.clone()),
            ));
        }
        if let Some(built_in) = self.built_in(name, over) {
            return Ok(built_in);
        }
        if crate::dialect::functions::table::Call::is_table_function(name) {
            let message = format!("`{name}` gives rows: it stands in FROM");
            let diagnostic = Diagnostic::error("unknown-function", message).at(span.clone());
            return Err(self.report(diagnostic.hint(format!("write FROM TABLE({}(…))", name.to_uppercase()))));
        }
        let names: Vec<&str> = registry.names().chain(BUILT_IN).collect();
        let diagnostic = Diagnostic::error("unknown-function", format!("unknown function `{name}`")).at(span.clone());
        Err(self.report(diagnostic.did_you_mean(nearest(name, names))))
    }

    /// Functions of DataFusion that are Snowflake's as they are.
    fn built_in(&self, name: &str, over: bool) -> Option<Callee> {
        let state = self.context.state;
        let name = if name == "grouping_id" { "grouping" } else { name };
        // A name with a dollar is a session's own function, which no analyst writes.
        if !BUILT_IN.contains(&name) && !name.starts_with('$') {
            return None;
        }
        if let Some(udf) = state.higher_order_functions().get(name) {
            return Some(Callee::HigherOrder(Arc::clone(udf)));
        }
        let window = || state.window_functions().get(name).map(|udf| Callee::Window(Arc::clone(udf)));
        let aggregate = || state.aggregate_functions().get(name).map(|udf| Callee::Aggregate(Arc::clone(udf)));
        let scalar = || state.scalar_functions().get(name).map(|udf| Callee::Scalar(Arc::clone(udf)));
        match over {
            true => window().or_else(aggregate),
            false => aggregate().or_else(scalar).or_else(window),
        }
    }

    fn arguments(&mut self, name: &str, args: &[FunctionArg], scope: &Scope<'_>, span: &Span) -> Bound<Vec<Expr>> {
        let part = DATE_PARTS.iter().find(|(function, _)| *function == name).map(|(_, position)| *position);
        let mut bound = Vec::new();
        let mut failed = false;
        for (position, arg) in args.iter().enumerate() {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Identifier(ident)))
                    if part == Some(position) && (name != "trunc" || !self.is_column(ident, scope)) =>
                {
                    bound.push(Expr::Literal(ScalarValue::Utf8(Some(ident.value.to_lowercase())), None));
                }
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => match self.expr(expr, scope) {
                    Ok(expr) => bound.push(expr),
                    Err(Reported) => failed = true,
                },
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if name.starts_with("object_construct") => {
                    bound.extend(self.pairs(None, scope, span)?);
                }
                FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(table))
                    if name.starts_with("object_construct") =>
                {
                    bound.extend(self.pairs(Some(table), scope, span)?);
                }
                FunctionArg::Unnamed(FunctionArgExpr::WildcardWithOptions(options))
                    if name.starts_with("object_construct") =>
                {
                    let columns = self.star(None, options, scope, span.clone())?;
                    bound.extend(columns.into_iter().flat_map(|item| [lit(item.header.as_str()), item.expr]));
                }
                FunctionArg::Unnamed(_) => {
                    return Err(self.refuse(format!("`*` is not an argument of `{name}`"), span.clone()));
                }
                FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. } => {
                    return Err(self.refuse(format!("`{name}` takes no named arguments"), span.clone()));
                }
            }
        }
        if failed { Err(Reported) } else { Ok(bound) }
    }

    /// The columns of a star as keys and values.
    fn pairs(&mut self, table: Option<&ast::ObjectName>, scope: &Scope<'_>, span: &Span) -> Bound<Vec<Expr>> {
        let columns = self.star_columns(table, scope, span)?;
        let pair = |(name, expr): (crate::name::Name, Expr)| [lit(name.as_str()), expr];
        Ok(columns.into_iter().flat_map(pair).collect())
    }

    /// Arguments of an aggregate; COUNT counts rows, or rows without NULL in any of several columns.
    fn aggregate_arguments(
        &mut self,
        name: &str,
        args: &[FunctionArg],
        distinct: bool,
        scope: &Scope<'_>,
        span: &Span,
    ) -> Bound<(Vec<Expr>, bool)> {
        let distinct = distinct || matches!(name, "approx_count_distinct" | "hll");
        if matches!(name, "min" | "max") && args.len() != 1 {
            let message = format!("`{name}` takes 1 argument, not {}", args.len());
            return Err(self.report(Diagnostic::error("sql-type", message).at(span.clone())));
        }
        if !matches!(name, "count" | "approx_count_distinct" | "hll") {
            return Ok((self.arguments(name, args, scope, span)?, distinct));
        }
        let columns = match args {
            [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] if !distinct => return Ok((vec![lit(1_i64)], false)),
            [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] => {
                self.star_columns(None, scope, span)?.into_iter().map(|(_, expr)| expr).collect()
            }
            [FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(table))] => {
                self.star_columns(Some(table), scope, span)?.into_iter().map(|(_, expr)| expr).collect()
            }
            args => self.arguments(name, args, scope, span)?,
        };
        if columns.len() == 1 {
            return Ok((columns, distinct));
        }
        let complete = columns.iter().cloned().map(|column| column.is_not_null()).reduce(Expr::and);
        let Some(complete) = complete else {
            return Err(self.report(Diagnostic::error("sql-type", "`count` needs an argument").at(span.clone())));
        };
        let value = match distinct {
            true => datafusion::functions::core::expr_fn::r#struct(columns),
            false => lit(1_i64),
        };
        let counted = when(complete, value).end().map_err(|error| self.fail(&error, span.clone()))?;
        Ok((vec![counted], distinct))
    }

    /// An aggregate; the key of WITHIN GROUP is the first argument of those that are defined over an order.
    fn aggregate(
        &mut self,
        udf: Arc<AggregateUDF>,
        mut args: Vec<Expr>,
        distinct: bool,
        sorts: Vec<SortExpr>,
        nulls: Option<NullTreatment>,
    ) -> Expr {
        if udf.supports_within_group_clause()
            && let Some(first) = sorts.first()
        {
            args.insert(0, first.expr.clone());
        }
        Expr::AggregateFunction(AggregateFunction::new_udf(udf, args, distinct, None, sorts, nulls))
    }

    fn checked_aggregate(&mut self, bound: Expr, scope: &Scope<'_>, span: &Span) -> Bound<Expr> {
        if self.checking
            && let Err(error) = bound.to_field(&scope.schema)
        {
            return Err(self.fail(&error, span.clone()));
        }
        Ok(bound)
    }

    /// A function that takes lambdas: values first, whose types give those of the lambdas' parameters.
    fn higher_order(
        &mut self,
        udf: &Arc<HigherOrderUDF>,
        args: &[FunctionArg],
        span: &Span,
        scope: &Scope<'_>,
    ) -> Bound<Expr> {
        enum Argument<'e> {
            Value(Expr),
            Lambda(&'e ast::LambdaFunction),
        }
        let mut arguments = Vec::new();
        let mut fields = Vec::new();
        for arg in args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Lambda(lambda))) => {
                    arguments.push(Argument::Lambda(lambda));
                    fields.push(ValueOrLambda::Lambda(()));
                }
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                    let value = self.expr(expr, scope)?;
                    let (_, field) = value.to_field(&scope.schema).map_err(|error| self.fail(&error, span.clone()))?;
                    arguments.push(Argument::Value(value));
                    fields.push(ValueOrLambda::Value(field));
                }
                _ => return Err(self.refuse("this argument", span.clone())),
            }
        }
        let coerced = value_fields_with_higher_order_udf(&fields, udf.as_ref());
        let coerced = coerced.map_err(|error| self.fail(&error, span.clone()))?;
        let mut fields: Vec<_> = coerced
            .into_iter()
            .map(|field| match field {
                ValueOrLambda::Value(value) => ValueOrLambda::Value(value),
                ValueOrLambda::Lambda(()) => ValueOrLambda::Lambda(None),
            })
            .collect();
        for step in 0..=udf.signature().lambda_parameters_max_iterations {
            let progress = udf.lambda_parameters(step, &fields).map_err(|error| self.fail(&error, span.clone()))?;
            match progress {
                LambdaParametersProgress::Partial(parameters) => {
                    let mut parameters = parameters.into_iter();
                    for (argument, field) in arguments.iter().zip(&mut fields) {
                        if let (Argument::Lambda(lambda), ValueOrLambda::Lambda(slot)) = (argument, field)
                            && let Some(Some(parameters)) = parameters.next()
                        {
                            let lambda = self.lambda(lambda, parameters, span, scope)?;
                            let (_, result) =
                                lambda.body.to_field(&scope.schema).map_err(|e| self.fail(&e, span.clone()))?;
                            *slot = Some(result);
                        }
                    }
                }
                LambdaParametersProgress::Complete(parameters) => {
                    let mut parameters = parameters.into_iter();
                    let mut bound = Vec::new();
                    for argument in arguments {
                        bound.push(match argument {
                            Argument::Value(value) => value,
                            Argument::Lambda(lambda) => {
                                let parameters = parameters.next().unwrap_or_default();
                                Expr::Lambda(self.lambda(lambda, parameters, span, scope)?)
                            }
                        });
                    }
                    return Ok(Expr::HigherOrderFunction(HigherOrderFunction::new(Arc::clone(udf), bound)));
                }
            }
        }
        Err(self.refuse(format!("the lambdas of `{}` have no definite types", udf.name()), span.clone()))
    }

    fn lambda(
        &mut self,
        lambda: &ast::LambdaFunction,
        fields: Vec<datafusion::arrow::datatypes::FieldRef>,
        span: &Span,
        scope: &Scope<'_>,
    ) -> Bound<Lambda> {
        let names: Vec<String> = lambda.params.iter().map(|parameter| parameter.name.value.clone()).collect();
        if names.len() > fields.len() {
            let message = format!("the lambda has {} parameters of at most {}", names.len(), fields.len());
            return Err(self.report(Diagnostic::error("sql-type", message).at(span.clone())));
        }
        let mut inside = scope.clone();
        for (name, field) in names.iter().zip(fields) {
            inside.lambda.push(Arc::new(field.as_ref().clone().with_name(name)));
        }
        for parameter in &lambda.params {
            inside.lambda_types.push((parameter.name.value.clone(), parameter.data_type.clone()));
        }
        Ok(Lambda::new(names, self.expr(&lambda.body, &inside)?))
    }
}

/// A type as SYSTEM$TYPEOF writes it; a literal has the digits that it is written with.
fn stored_type(expr: &Expr, target: Target) -> String {
    let digits = |value: i128| u8::try_from(value.unsigned_abs().to_string().len()).unwrap_or(MAX_PRECISION);
    let sql_type = match (expr, target.sql_type) {
        (Expr::Literal(ScalarValue::Int64(Some(value)), _), _) => {
            SqlType::Number { precision: digits(i128::from(*value)), scale: 0 }
        }
        (Expr::Literal(ScalarValue::Utf8(Some(text)), _), _) => {
            SqlType::Varchar(u32::try_from(text.chars().count().max(1)).ok())
        }
        (_, other) => other,
    };
    let width = match sql_type {
        SqlType::Number { precision: 0..=2, .. } | SqlType::Boolean => "SB1",
        SqlType::Number { precision: 3..=5, .. } => "SB2",
        SqlType::Number { precision: 6..=9, .. } | SqlType::Date => "SB4",
        SqlType::Number { precision: 10..=18, .. } => "SB8",
        SqlType::Number { .. } => "SB16",
        SqlType::Time | SqlType::TimestampNtz | SqlType::TimestampLtz => "SB8",
        SqlType::TimestampTz => "SB16",
        SqlType::Float => "DOUBLE",
        _ => "LOB",
    };
    let name = match sql_type {
        SqlType::Varchar(None) => "VARCHAR(16777216)".to_string(),
        SqlType::Binary => format!("BINARY({})", target.bytes.unwrap_or(8_388_608)),
        SqlType::Time | SqlType::TimestampNtz | SqlType::TimestampLtz | SqlType::TimestampTz => {
            format!("{sql_type}({})", target.fraction)
        }
        other => other.to_string(),
    };
    format!("{name}[{width}]")
}
