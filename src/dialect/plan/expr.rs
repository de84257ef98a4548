//! Scalar expressions: names, paths, CASE, casts. Operators, literals and calls are in files of their own.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{ScalarValue, Span as PlanSpan};
use datafusion::logical_expr::expr::LambdaVariable;
use datafusion::logical_expr::{Case, Cast, Expr, ExprSchemable, TryCast};
use sqlparser::ast::{
    self, AccessExpr, BinaryOperator, CastKind, CeilFloorKind, DateTimeField, Ident, JsonPath, JsonPathElem, Subscript,
};

use super::scope::{AliasState, Found, Scope};
use super::{At, Binder, Bound};
use crate::diagnostic::Diagnostic;
use crate::dialect::cast::Target;
use crate::dialect::declared;
use crate::dialect::lex::COLLATED;
use crate::dialect::session::SessionParameters;
use crate::dialect::structured::{Structure, structured};
use crate::dialect::types::SqlType;
use crate::name::nearest;

impl<'a> Binder<'a> {
    pub(super) fn expr(&mut self, written: &ast::Expr, scope: &Scope<'_>) -> Bound<Expr> {
        stacker::maybe_grow(256 * 1024, 4 * 1024 * 1024, || self.expr_inside(written, scope))
    }

    fn expr_inside(&mut self, written: &ast::Expr, scope: &Scope<'_>) -> Bound<Expr> {
        use ast::Expr as E;
        match written {
            E::Identifier(ident) => self.name(std::slice::from_ref(ident), scope),
            E::CompoundIdentifier(parts) => self.name(parts, scope),
            E::Value(value) => self.value(value, scope),
            E::Nested(inner) => self.expr(inner, scope),
            E::BinaryOp { .. } => self.binary_chain(written, scope),
            E::UnaryOp { op, expr } => self.unary(*op, expr, written, scope),
            E::Function(function) => self.call(function, written, scope),
            E::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref(), written, scope)
            }
            E::Cast { .. } | E::TypedString(_) => self.written_cast(written, scope),
            E::JsonAccess { value, path } => self.path(value, path, written, scope),
            E::CompoundFieldAccess { root, access_chain } => self.accesses(root, access_chain, written, scope),
            E::IsNull(_)
            | E::IsNotNull(_)
            | E::IsTrue(_)
            | E::IsFalse(_)
            | E::IsNotTrue(_)
            | E::IsNotFalse(_)
            | E::IsUnknown(_)
            | E::IsNotUnknown(_) => self.is(written, scope),
            E::IsDistinctFrom(left, right) => self.distinctness(left, right, true, written, scope),
            E::IsNotDistinctFrom(left, right) => self.distinctness(left, right, false, written, scope),
            E::InList { expr, list, negated } => self.in_list(expr, list, *negated, written, scope),
            E::Between { expr, negated, low, high } => self.between(expr, low, high, *negated, written, scope),
            E::Like { negated, any, expr, pattern, escape_char } => {
                self.like(expr, pattern, escape_char.as_ref(), *any, *negated, false, written, scope)
            }
            E::ILike { negated, any, expr, pattern, escape_char } => {
                self.like(expr, pattern, escape_char.as_ref(), *any, *negated, true, written, scope)
            }
            E::InSubquery { expr, subquery, negated } => self.in_subquery(expr, subquery, *negated, written, scope),
            E::Exists { subquery, negated } => self.exists(subquery, *negated, scope),
            E::Subquery(query) => self.scalar_subquery(query, scope),
            E::AnyOp { left, compare_op, right, is_some: _ } => {
                self.any_or_all(left, compare_op, right, true, written, scope)
            }
            E::AllOp { left, compare_op, right } => self.any_or_all(left, compare_op, right, false, written, scope),
            E::Interval(interval) => self.interval(interval, written),
            E::Prefixed { prefix, value } if prefix.value == "CONNECT_BY_ROOT" => self.connect_by_root(value, scope),
            E::Prior(inner) => self.prior(inner, written, scope),
            other => self.special_call(other, scope),
        }
    }

    /// `CAST`, `::` and `DATE '…'`.
    fn written_cast(&mut self, written: &ast::Expr, scope: &Scope<'_>) -> Bound<Expr> {
        use ast::Expr as E;
        match written {
            E::Cast { array: false, format: None, kind, expr, data_type } => {
                let attempt = matches!(kind, CastKind::TryCast | CastKind::SafeCast);
                let inner = self.expr(expr, scope)?;
                self.cast(inner, data_type, attempt, written, scope)
            }
            E::TypedString(typed) => {
                let text = typed.value.value.clone().into_string().unwrap_or_default();
                let literal = Expr::Literal(ScalarValue::Utf8(Some(text)), None);
                self.cast(literal, &typed.data_type, false, written, scope)
            }
            _ => {
                let span = self.place(written);
                Err(self.refuse("`CAST … FORMAT` and `… ARRAY` are not Snowflake SQL", span))
            }
        }
    }

    /// `IS [NOT] NULL | TRUE | FALSE | UNKNOWN`.
    fn is(&mut self, written: &ast::Expr, scope: &Scope<'_>) -> Bound<Expr> {
        use ast::Expr as E;
        Ok(match written {
            E::IsNull(inner) => Expr::IsNull(Box::new(self.expr(inner, scope)?)),
            E::IsNotNull(inner) => Expr::IsNotNull(Box::new(self.expr(inner, scope)?)),
            E::IsTrue(inner) => Expr::IsTrue(Box::new(self.boolean(inner, scope)?)),
            E::IsFalse(inner) => Expr::IsFalse(Box::new(self.boolean(inner, scope)?)),
            E::IsNotTrue(inner) => Expr::IsNotTrue(Box::new(self.boolean(inner, scope)?)),
            E::IsNotFalse(inner) => Expr::IsNotFalse(Box::new(self.boolean(inner, scope)?)),
            E::IsUnknown(inner) => Expr::IsUnknown(Box::new(self.boolean(inner, scope)?)),
            E::IsNotUnknown(inner) => Expr::IsNotUnknown(Box::new(self.boolean(inner, scope)?)),
            other => return self.foreign(other),
        })
    }

    /// `PRIOR` of CONNECT BY: the expression over the row above.
    fn prior(&mut self, inner: &ast::Expr, written: &ast::Expr, scope: &Scope<'_>) -> Bound<Expr> {
        let Some(prior) = scope.prior else {
            let span = self.place(written);
            return Err(self.refuse("PRIOR outside CONNECT BY", span));
        };
        let mut before = scope.clone();
        before.relations = prior;
        before.merged = &[];
        before.prior = None;
        self.expr(inner, &before)
    }

    /// Calls that have a grammar of their own, `EXTRACT(part FROM x)` or `[a, b]`: the function that each stands for.
    fn special_call(&mut self, written: &ast::Expr, scope: &Scope<'_>) -> Bound<Expr> {
        use ast::Expr as E;
        match written {
            E::RLike { negated, expr, pattern, regexp: _ } => {
                let args = vec![self.expr(expr, scope)?, self.expr(pattern, scope)?];
                let matched = self.function("rlike", args, written, scope)?;
                Ok(if *negated { Expr::Not(Box::new(matched)) } else { matched })
            }
            E::Array(array) => {
                let items = array.elem.iter().map(|item| self.expr(item, scope)).collect::<Vec<_>>();
                let items = items.into_iter().collect::<Bound<Vec<Expr>>>()?;
                self.function("array_construct", items, written, scope)
            }
            E::Dictionary(fields) => {
                let mut items = Vec::new();
                for field in fields {
                    items.push(Expr::Literal(ScalarValue::Utf8(Some(field.key.value.clone())), None));
                    items.push(self.expr(&field.value, scope)?);
                }
                self.function("object_construct", items, written, scope)
            }
            E::Extract { field, syntax: _, expr } => {
                let part = Expr::Literal(ScalarValue::Utf8(Some(part_name(field))), None);
                let args = vec![part, self.expr(expr, scope)?];
                self.function("date_part", args, written, scope)
            }
            E::Ceil { expr, field } => self.rounding("ceil", expr, field, written, scope),
            E::Floor { expr, field } => self.rounding("floor", expr, field, written, scope),
            E::Position { expr, r#in } => {
                let args = vec![self.expr(expr, scope)?, self.expr(r#in, scope)?];
                self.function("position", args, written, scope)
            }
            E::Substring { expr, substring_from, substring_for, .. } => {
                let mut args = vec![self.expr(expr, scope)?];
                for bound in [substring_from, substring_for].into_iter().flatten() {
                    args.push(self.expr(bound, scope)?);
                }
                self.function("substr", args, written, scope)
            }
            E::Trim { trim_where: None, trim_what: None, expr, trim_characters } => {
                let mut args = vec![self.expr(expr, scope)?];
                for characters in trim_characters.iter().flatten() {
                    args.push(self.expr(characters, scope)?);
                }
                self.function("trim", args, written, scope)
            }
            other => self.foreign(other),
        }
    }

    /// Refuses an expression that the parser reads and Snowflake has not, or that cannot stand here.
    fn foreign(&mut self, written: &ast::Expr) -> Bound<Expr> {
        use ast::Expr as E;
        let span = self.place(written);
        let what = match written {
            E::Tuple(_) => "a list of values outside IN",
            E::Wildcard(_) | E::QualifiedWildcard(..) => "`*` inside an expression",
            E::Lambda(_) => "a lambda outside FILTER, TRANSFORM or REDUCE",
            E::OuterJoin(_) => "the outer join operator `(+)` is not carried out here; write LEFT JOIN",
            E::Collate { .. } => "COLLATE takes a specification in quotes",
            E::AtTimeZone { .. } => "`AT TIME ZONE` is not Snowflake SQL; write CONVERT_TIMEZONE",
            E::SimilarTo { .. } => "`SIMILAR TO` is not Snowflake SQL; write RLIKE",
            E::Trim { .. } => "`TRIM(BOTH … FROM …)` is not Snowflake SQL; write TRIM, LTRIM or RTRIM",
            E::Convert { .. } => "`CONVERT` is not Snowflake SQL; write CAST",
            _ => "this expression is not Snowflake SQL",
        };
        Err(self.refuse(what, span))
    }

    /// A column, an alias, a lambda's parameter or a column of an outer query.
    pub(super) fn name(&mut self, parts: &[Ident], scope: &Scope<'_>) -> Bound<Expr> {
        if let [only] = parts {
            if let Some(field) = scope.lambda.iter().rev().find(|field| *field.name() == only.value) {
                let variable = Expr::LambdaVariable(LambdaVariable::new(only.value.clone(), Some(Arc::clone(field))));
                let declared = scope.lambda_types.iter().rev().find(|(name, _)| *name == only.value);
                return match declared.and_then(|(_, declared)| declared.as_ref()) {
                    Some(declared) => {
                        let written = ast::Expr::Identifier(only.clone());
                        self.cast(variable, declared, false, &written, scope)
                    }
                    None => Ok(variable),
                };
            }
            let outputs = scope.outputs.unwrap_or_default();
            let mut named = outputs.iter().filter(|(name, _)| name.as_str() == only.value).map(|(_, expr)| expr);
            if let Some(first) = named.next()
                && named.all(|other| other == first)
            {
                return Ok(first.clone());
            }
        }
        let found = match positional(parts) {
            Some((qualifier, at)) => scope.positional(qualifier, at),
            None => scope.column(parts),
        };
        match found {
            Found::One(expr) => return Ok(self.spanned(expr, parts)),
            Found::Ambiguous(_) => return Err(self.not_a_column(parts, found, scope)),
            Found::None => {}
        }
        if let ([only], Some(aliases)) = (parts, scope.aliases)
            && let Some(at) = aliases.position(&only.value)
            && !matches!(aliases.state(at), AliasState::Binding)
        {
            let stands_for = self.alias_at(aliases, at, scope)?;
            if stands_for.is_volatile() {
                let span = self.word(only);
                let message = format!("`{}` would be drawn anew where its alias is used", only.value.to_lowercase());
                let diagnostic = Diagnostic::error("volatile-alias", message).at(span);
                return Err(self.report(diagnostic.hint("compute it in a subquery or a WITH first")));
            }
            return Ok(stands_for);
        }
        let mut outer = scope.parent;
        while let Some(around) = outer {
            match around.column(parts) {
                Found::One(expr) => return Ok(outer_reference(expr, around)),
                found @ Found::Ambiguous(_) => return Err(self.not_a_column(parts, found, scope)),
                Found::None => outer = around.parent,
            }
        }
        Err(self.not_a_column(parts, Found::None, scope))
    }

    /// Keeps in a column where the author wrote it.
    fn spanned(&self, expr: Expr, parts: &[Ident]) -> Expr {
        let Expr::Column(mut column) = expr else { return expr };
        let whole = sqlparser::tokenizer::Span::union_iter(parts.iter().map(|part| part.span));
        if let Some(span) = PlanSpan::try_from_sqlparser_span(whole) {
            column.spans_mut().add_span(span);
        }
        Expr::Column(column)
    }

    pub(super) fn not_a_column(&mut self, parts: &[Ident], found: Found, scope: &Scope<'_>) -> super::Reported {
        let whole = sqlparser::tokenizer::Span::union_iter(parts.iter().map(|part| part.span));
        let span = self.context.statement.place(whole);
        let text = parts.iter().map(|part| part.value.to_lowercase()).collect::<Vec<_>>().join(".");
        if let Found::Ambiguous(candidates) = found {
            let diagnostic = Diagnostic::error("ambiguous-column", format!("ambiguous column `{text}`")).at(span);
            let options: Vec<String> = candidates.iter().map(|c| format!("`{c}`")).collect();
            return self.report(diagnostic.hint(format!("write {}", options.join(" or "))));
        }
        let (last, qualifier) = match parts.split_last() {
            Some((last, qualifier)) => (last.value.as_str(), qualifier),
            None => ("", parts),
        };
        let near: Vec<String> = scope.names(qualifier);
        if !qualifier.is_empty() && near.is_empty() {
            let known: Vec<String> =
                scope.relations.iter().filter_map(|r| r.name.as_ref()).map(|n| n.table.lower()).collect();
            let table = qualifier.iter().map(|part| part.value.to_lowercase()).collect::<Vec<_>>().join(".");
            let message = format!("unknown table `{table}` before `.{}`", last.to_lowercase());
            let diagnostic = Diagnostic::error("unknown-table", message).at(span);
            if matches!(scope.column(qualifier), Found::One(_)) {
                return self
                    .report(diagnostic.hint(format!("`{table}` is a column; a path into its value begins with `:`")));
            }
            return self.report(diagnostic.did_you_mean(nearest(&table, &known)));
        }
        let mut diagnostic = Diagnostic::error("unknown-column", format!("unknown column `{text}`")).at(span);
        diagnostic = diagnostic.did_you_mean(nearest(last, &near));
        self.report(diagnostic)
    }

    /// A condition: something that is a boolean, or becomes one.
    pub(super) fn boolean(&mut self, written: &ast::Expr, scope: &Scope<'_>) -> Bound<Expr> {
        let bound = self.expr(written, scope)?;
        self.as_boolean(bound, scope, At::Expr(written))
    }

    pub(super) fn as_boolean(&mut self, bound: Expr, scope: &Scope<'_>, at: At<'_>) -> Bound<Expr> {
        if is_condition(&bound) {
            return Ok(bound);
        }
        use datafusion::arrow::datatypes::DataType;
        match bound.get_type(&scope.schema) {
            Ok(DataType::Boolean | DataType::Null) => Ok(bound),
            Ok(_) => Ok(Expr::Cast(Cast::new(Box::new(bound), DataType::Boolean))),
            Err(error) => {
                let span = self.at(at);
                Err(self.fail(&error, span))
            }
        }
    }

    fn case(
        &mut self,
        operand: Option<&ast::Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&ast::Expr>,
        written: &ast::Expr,
        scope: &Scope<'_>,
    ) -> Bound<Expr> {
        let operand = operand.map(|operand| self.expr(operand, scope)).transpose()?;
        let mut branches = Vec::new();
        for when in conditions {
            let condition = match &operand {
                None => self.boolean(&when.condition, scope)?,
                Some(operand) => {
                    let value = self.expr(&when.condition, scope)?;
                    self.binary(BinaryOperator::Eq, operand.clone(), value, &scope.schema, At::Expr(&when.condition))?
                }
            };
            branches.push((Box::new(condition), Box::new(self.expr(&when.result, scope)?)));
        }
        let otherwise = otherwise.map(|otherwise| self.expr(otherwise, scope)).transpose()?;
        let case = Case::new(None, branches, otherwise.map(Box::new));
        let case = crate::dialect::analyze::case(case, &scope.schema, &self.zone());
        let case = case.map_err(|error| self.fail(&error, self.place(written)))?;
        self.checked(case, scope, written)
    }

    /// A cast to a type as written.
    pub(super) fn cast(
        &mut self,
        inner: Expr,
        data_type: &ast::DataType,
        attempt: bool,
        written: &ast::Expr,
        scope: &Scope<'_>,
    ) -> Bound<Expr> {
        if let ast::DataType::Custom(name, arguments) = data_type
            && name.to_string() == COLLATED
            && let [spec] = arguments.as_slice()
        {
            let span = self.place(written);
            return self.collate(inner, spec, span);
        }
        if let Some((structure, text)) = declared::structure(data_type) {
            return self.structured_cast(inner, structure, &text, attempt, written, scope);
        }
        let Some(mut target) = declared::declared_target(data_type) else {
            let span = self.place(written);
            let diagnostic = Diagnostic::error("unknown-type", format!("unknown type `{}`", lower(data_type))).at(span);
            let map = lower(data_type).starts_with("map(");
            return Err(self.report(if map {
                diagnostic.hint("the keys of a MAP must be VARCHAR here")
            } else {
                diagnostic
            }));
        };
        let parameters = SessionParameters::of(self.context.state.config_options());
        if let ast::DataType::Timestamp(_, ast::TimezoneInfo::None) = data_type {
            target.sql_type = match parameters.timestamp_type_mapping.as_str() {
                "TIMESTAMP_LTZ" => SqlType::TimestampLtz,
                "TIMESTAMP_TZ" => SqlType::TimestampTz,
                _ => SqlType::TimestampNtz,
            };
        }
        let field = declared::field(target, &parameters.timezone);
        let inner = Box::new(inner);
        let cast = match attempt {
            true => Expr::TryCast(TryCast::new_from_field(inner, field)),
            false => Expr::Cast(Cast::new_from_field(inner, field)),
        };
        self.checked(cast, scope, written)
    }

    fn structured_cast(
        &mut self,
        inner: Expr,
        structure: Structure,
        text: &str,
        attempt: bool,
        written: &ast::Expr,
        scope: &Scope<'_>,
    ) -> Bound<Expr> {
        if attempt {
            let span = self.place(written);
            return Err(self.refuse("TRY_CAST to a structured type", span));
        }
        let parameters = SessionParameters::of(self.context.state.config_options());
        let field = declared::field(Target::from(structure.sql_type()), &parameters.timezone);
        let whole = Expr::Cast(Cast::new_from_field(Box::new(inner), field));
        self.checked(structured(whole, structure, text), scope, written)
    }

    /// The structured type of an expression, if it has one.
    fn structure_of(&self, expr: &Expr, scope: &Scope<'_>) -> Option<Structure> {
        let (_, field) = expr.to_field(&scope.schema).ok()?;
        Structure::of(&field)
    }

    /// What was read from a value of a structured type, in the type of that part.
    fn in_its_type(&self, part: Expr, structure: Option<Structure>) -> Expr {
        match structure {
            Some(Structure::Plain(target)) => {
                let parameters = SessionParameters::of(self.context.state.config_options());
                Expr::Cast(Cast::new_from_field(Box::new(part), declared::field(target, &parameters.timezone)))
            }
            _ => part,
        }
    }

    /// `value:a.b[0]['c'][i]`: constant steps are one path, a computed one is a GET of its own.
    fn path(&mut self, value: &ast::Expr, path: &JsonPath, written: &ast::Expr, scope: &Scope<'_>) -> Bound<Expr> {
        let mut at = self.expr(value, scope)?;
        let mut structure = self.structure_of(&at, scope);
        let mut text = String::new();
        for step in &path.path {
            let key = match step {
                JsonPathElem::Dot { key, .. } => {
                    structure = structure.and_then(|structure| structure.member(key).cloned());
                    push_key(&mut text, key);
                    continue;
                }
                JsonPathElem::Bracket { key } | JsonPathElem::ColonBracket { key } => key,
            };
            structure = structure.and_then(|structure| step_into(&structure, key));
            match constant_step(key) {
                Some(Step::Key(key)) => push_key(&mut text, key),
                Some(Step::Index(index)) => text.push_str(&format!("[{index}]")),
                None => {
                    at = self.get_path(at, &mut text, written, scope)?;
                    let key = self.expr(key, scope)?;
                    at = self.function("get", vec![at, key], written, scope)?;
                }
            }
        }
        let part = self.get_path(at, &mut text, written, scope)?;
        Ok(self.in_its_type(part, structure))
    }

    fn get_path(&mut self, at: Expr, text: &mut String, written: &ast::Expr, scope: &Scope<'_>) -> Bound<Expr> {
        if text.is_empty() {
            return Ok(at);
        }
        let path = Expr::Literal(ScalarValue::Utf8(Some(std::mem::take(text))), None);
        self.function("get_path", vec![at, path], written, scope)
    }

    /// `value[0]`, `value['x']` and what follows.
    fn accesses(
        &mut self,
        root: &ast::Expr,
        chain: &[AccessExpr],
        written: &ast::Expr,
        scope: &Scope<'_>,
    ) -> Bound<Expr> {
        let mut at = self.expr(root, scope)?;
        let mut structure = self.structure_of(&at, scope);
        let mut text = String::new();
        for access in chain {
            structure = structure.and_then(|structure| match access {
                AccessExpr::Subscript(Subscript::Index { index }) => step_into(&structure, index),
                AccessExpr::Dot(ast::Expr::Identifier(ident)) => structure.member(&ident.value).cloned(),
                _ => None,
            });
            match access {
                AccessExpr::Subscript(Subscript::Index { index }) => match constant_step(index) {
                    Some(Step::Key(key)) => push_key(&mut text, key),
                    Some(Step::Index(index)) => text.push_str(&format!("[{index}]")),
                    None => {
                        at = self.get_path(at, &mut text, written, scope)?;
                        let index = self.expr(index, scope)?;
                        at = self.function("get", vec![at, index], written, scope)?;
                    }
                },
                AccessExpr::Dot(ast::Expr::Identifier(ident)) => push_key(&mut text, &ident.value),
                _ => {
                    let span = self.place(written);
                    return Err(self
                        .refuse("slices and computed members are not Snowflake SQL; write ARRAY_SLICE or GET", span));
                }
            }
        }
        let part = self.get_path(at, &mut text, written, scope)?;
        Ok(self.in_its_type(part, structure))
    }

    fn rounding(
        &mut self,
        name: &str,
        inner: &ast::Expr,
        field: &CeilFloorKind,
        written: &ast::Expr,
        scope: &Scope<'_>,
    ) -> Bound<Expr> {
        let mut args = vec![self.expr(inner, scope)?];
        match field {
            CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => {}
            CeilFloorKind::DateTimeField(_) => {
                let span = self.place(written);
                return Err(self.refuse(format!("`{name}` of a date is not Snowflake SQL; write DATE_TRUNC"), span));
            }
            CeilFloorKind::Scale(scale) => args.push(self.value(scale, scope)?),
        }
        self.function(name, args, written, scope)
    }

    fn distinctness(
        &mut self,
        left: &ast::Expr,
        right: &ast::Expr,
        distinct: bool,
        written: &ast::Expr,
        scope: &Scope<'_>,
    ) -> Bound<Expr> {
        let (left, right) = (self.expr(left, scope)?, self.expr(right, scope)?);
        let operator = match distinct {
            true => datafusion::logical_expr::Operator::IsDistinctFrom,
            false => datafusion::logical_expr::Operator::IsNotDistinctFrom,
        };
        let compared = datafusion::logical_expr::binary_expr(left, operator, right);
        self.checked(compared, scope, written)
    }
}

/// The table and the position of `t.$1`.
fn positional(parts: &[Ident]) -> Option<(&[Ident], usize)> {
    let (last, qualifier) = parts.split_last().filter(|(_, qualifier)| !qualifier.is_empty())?;
    let position = last.value.strip_prefix('$').filter(|_| last.quote_style.is_none())?.parse::<usize>().ok()?;
    Some((qualifier, position))
}

/// A column of an outer query as its subquery sees it.
pub(super) fn outer_reference(expr: Expr, scope: &Scope<'_>) -> Expr {
    let outer = expr.clone().transform(|node| match node {
        Expr::Column(column) => match scope.field(&column) {
            Some(field) => Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column))),
            None => Ok(Transformed::no(Expr::Column(column))),
        },
        node => Ok(Transformed::no(node)),
    });
    outer.map_or(expr, |outer| outer.data)
}

/// Whether an expression is a boolean whatever its parts are.
fn is_condition(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(binary) => {
            binary.op.returns_null_on_null() && binary.op.supports_propagation() || binary.op.is_logic_operator()
        }
        Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotUnknown(_)
        | Expr::InList(_)
        | Expr::Like(_)
        | Expr::Exists(_)
        | Expr::InSubquery(_)
        | Expr::SetComparison(_) => true,
        Expr::Not(inner) => is_condition(inner),
        _ => false,
    }
}

/// The type of the part of a structured value that a step leads to.
fn step_into(structure: &Structure, step: &ast::Expr) -> Option<Structure> {
    match constant_step(step) {
        Some(Step::Key(key)) => structure.member(key).cloned(),
        _ => structure.element().cloned(),
    }
}

fn lower(data_type: &ast::DataType) -> String {
    data_type.to_string().to_lowercase()
}

enum Step<'s> {
    Key(&'s str),
    Index(&'s str),
}

/// A step of a path that needs no row to be known.
fn constant_step(key: &ast::Expr) -> Option<Step<'_>> {
    let ast::Expr::Value(value) = key else { return None };
    match &value.value {
        ast::Value::SingleQuotedString(text) => Some(Step::Key(text)),
        ast::Value::Number(text, _) if text.bytes().all(|b| b.is_ascii_digit()) => Some(Step::Index(text)),
        _ => None,
    }
}

/// Appends a member to the text of a path.
fn push_key(path: &mut String, key: &str) {
    let mut letters = key.bytes();
    let plain = letters.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && letters.all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plain {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
    } else {
        path.push_str("['");
        path.push_str(&key.replace('\\', "\\\\").replace('\'', "\\'"));
        path.push_str("']");
    }
}

/// The name of a date part as the functions read it.
pub(super) fn part_name(field: &DateTimeField) -> String {
    match field {
        DateTimeField::Custom(ident) => ident.value.to_lowercase(),
        field => field.to_string().trim_matches('\'').to_lowercase(),
    }
}
