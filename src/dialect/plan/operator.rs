//! Operators and predicates: arithmetic and comparison, IN, BETWEEN, LIKE. What they do by type is asked of the planners in
//! `analyze`, then of DataFusion.

use std::sync::Arc;

use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::planner::{PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{BinaryExpr, Expr, Like, Operator};
use sqlparser::ast::{self, BinaryOperator, UnaryOperator};

use super::scope::Scope;
use super::{At, Binder, Bound};
use crate::diagnostic::Diagnostic;

impl<'a> Binder<'a> {
    /// A tree of binary operators; its left spine, which can be long, is walked without recursion.
    pub(super) fn binary_chain(&mut self, written: &ast::Expr, scope: &Scope<'_>) -> Bound<Expr> {
        let mut spine = Vec::new();
        let mut next = written;
        while let ast::Expr::BinaryOp { left, op, right } = next {
            spine.push((next, op, right.as_ref()));
            next = left;
        }
        if let (ast::Expr::Tuple(parts), Some((whole, op, ast::Expr::Tuple(values)))) = (next, spine.last().copied())
            && let BinaryOperator::Eq | BinaryOperator::NotEq = op
        {
            let negated = *op == BinaryOperator::NotEq;
            let list = [ast::Expr::Tuple(values.clone())];
            let compared = self.in_tuples(parts, &list, negated, whole, scope);
            spine.pop();
            return self.rest_of_chain(spine, compared, scope);
        }
        let left = self.expr(next, scope);
        self.rest_of_chain(spine, left, scope)
    }

    /// The operators of a spine, innermost last, applied to what stands left of them.
    fn rest_of_chain(
        &mut self,
        mut spine: Vec<(&ast::Expr, &BinaryOperator, &ast::Expr)>,
        mut left: Bound<Expr>,
        scope: &Scope<'_>,
    ) -> Bound<Expr> {
        let mut failed = false;
        while let Some((whole, op, right)) = spine.pop() {
            let right = self.expr(right, scope);
            left = match (left, right) {
                (Ok(left), Ok(right)) => self.operation(op, left, right, whole, scope),
                (left, right) => {
                    failed |= right.is_err() || left.is_err();
                    left.and(right)
                }
            };
        }
        if failed { Err(super::Reported) } else { left }
    }

    fn operation(
        &mut self,
        op: &BinaryOperator,
        left: Expr,
        right: Expr,
        written: &ast::Expr,
        scope: &Scope<'_>,
    ) -> Bound<Expr> {
        let at = At::Expr(written);
        let bound = match op {
            BinaryOperator::And => self.as_boolean(left, scope, at)?.and(self.as_boolean(right, scope, at)?),
            BinaryOperator::Or => self.as_boolean(left, scope, at)?.or(self.as_boolean(right, scope, at)?),
            op => self.binary(op.clone(), left, right, &scope.schema, at)?,
        };
        self.checked(bound, scope, written)
    }

    /// An operator on two bound operands.
    pub(super) fn binary(
        &mut self,
        op: BinaryOperator,
        left: Expr,
        right: Expr,
        schema: &Arc<DFSchema>,
        at: At<'_>,
    ) -> Bound<Expr> {
        let (left, right) = self.compared(&op, left, right, schema, at)?;
        let mut raw = RawBinaryExpr { op, left, right };
        for planner in self.context.state.expr_planners() {
            match planner.plan_binary_op(raw, schema) {
                Ok(PlannerResult::Planned(expr)) => return Ok(expr),
                Ok(PlannerResult::Original(original)) => raw = original,
                Err(error) => {
                    let span = self.at(at);
                    return Err(self.fail(&error, span));
                }
            }
        }
        let operator = match raw.op {
            BinaryOperator::Plus => Operator::Plus,
            BinaryOperator::Minus => Operator::Minus,
            BinaryOperator::Multiply => Operator::Multiply,
            BinaryOperator::Divide => Operator::Divide,
            BinaryOperator::Modulo => Operator::Modulo,
            BinaryOperator::StringConcat => Operator::StringConcat,
            BinaryOperator::Eq => Operator::Eq,
            BinaryOperator::NotEq => Operator::NotEq,
            BinaryOperator::Lt => Operator::Lt,
            BinaryOperator::LtEq => Operator::LtEq,
            BinaryOperator::Gt => Operator::Gt,
            BinaryOperator::GtEq => Operator::GtEq,
            BinaryOperator::And => Operator::And,
            BinaryOperator::Or => Operator::Or,
            op => {
                let span = self.at(at);
                return Err(self.refuse(format!("the operator `{op}` is not Snowflake SQL"), span));
            }
        };
        Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(raw.left), operator, Box::new(raw.right))))
    }

    pub(super) fn unary(
        &mut self,
        op: UnaryOperator,
        operand: &ast::Expr,
        written: &ast::Expr,
        scope: &Scope<'_>,
    ) -> Bound<Expr> {
        match op {
            UnaryOperator::Plus => self.expr(operand, scope),
            UnaryOperator::Not => Ok(Expr::Not(Box::new(self.boolean(operand, scope)?))),
            UnaryOperator::Minus => {
                if let ast::Expr::Value(value) = operand
                    && let ast::Value::Number(text, _) = &value.value
                {
                    return self.number_literal(&format!("-{text}"), written);
                }
                let operand = self.expr(operand, scope)?;
                self.negative(operand, written, scope)
            }
            op => {
                let span = self.place(written);
                Err(self.refuse(format!("the operator `{op}` is not Snowflake SQL"), span))
            }
        }
    }

    fn negative(&mut self, operand: Expr, written: &ast::Expr, scope: &Scope<'_>) -> Bound<Expr> {
        use datafusion::arrow::datatypes::DataType;
        use datafusion::logical_expr::ExprSchemable;
        match operand.get_type(&scope.schema) {
            Ok(data_type) if data_type.is_numeric() || data_type == DataType::Null => {
                Ok(Expr::Negative(Box::new(operand)))
            }
            Ok(DataType::Interval(_)) => Ok(Expr::Negative(Box::new(operand))),
            Ok(_) => {
                let zero = Expr::Literal(ScalarValue::Int64(Some(0)), None);
                self.binary(BinaryOperator::Minus, zero, operand, &scope.schema, At::Expr(written))
            }
            Err(error) => {
                let span = self.place(written);
                Err(self.fail(&error, span))
            }
        }
    }

    pub(super) fn between(
        &mut self,
        expr: &ast::Expr,
        low: &ast::Expr,
        high: &ast::Expr,
        negated: bool,
        written: &ast::Expr,
        scope: &Scope<'_>,
    ) -> Bound<Expr> {
        let (value, low, high) = (self.expr(expr, scope), self.expr(low, scope), self.expr(high, scope));
        let (value, low, high) = (value?, low?, high?);
        let above = self.binary(BinaryOperator::GtEq, value.clone(), low, &scope.schema, At::Expr(written))?;
        let below = self.binary(BinaryOperator::LtEq, value, high, &scope.schema, At::Expr(written))?;
        let inside = above.and(below);
        self.checked(if negated { Expr::Not(Box::new(inside)) } else { inside }, scope, written)
    }

    pub(super) fn in_list(
        &mut self,
        expr: &ast::Expr,
        list: &[ast::Expr],
        negated: bool,
        written: &ast::Expr,
        scope: &Scope<'_>,
    ) -> Bound<Expr> {
        if let ast::Expr::Tuple(parts) = expr {
            return self.in_tuples(parts, list, negated, written, scope);
        }
        let value = self.expr(expr, scope);
        let items: Vec<Bound<Expr>> = list.iter().map(|item| self.expr(item, scope)).collect();
        let (value, items) = (value?, items.into_iter().collect::<Bound<Vec<Expr>>>()?);
        use datafusion::logical_expr::ExprSchemable;
        let own = value.get_type(&scope.schema).map_err(|error| self.fail_at(&error, written))?;
        let mut alike = self.collation_of(&value, &scope.schema).is_none();
        for item in &items {
            alike &= self.collation_of(item, &scope.schema).is_none();
            let other = item.get_type(&scope.schema).map_err(|error| self.fail_at(&error, written))?;
            alike &= own == other || other.is_null();
        }
        if alike {
            let listed = InList { expr: Box::new(value), list: items, negated };
            return self.checked(Expr::InList(listed), scope, written);
        }
        // Unlike types are compared pair by pair, as Snowflake does.
        let mut equals = Vec::with_capacity(items.len());
        for item in items {
            equals.push(self.binary(BinaryOperator::Eq, value.clone(), item, &scope.schema, At::Expr(written))?);
        }
        let any = balanced_or(equals);
        self.checked(if negated { Expr::Not(Box::new(any)) } else { any }, scope, written)
    }

    /// `(a, b) IN ((1, 2), (3, 4))`.
    fn in_tuples(
        &mut self,
        parts: &[ast::Expr],
        list: &[ast::Expr],
        negated: bool,
        written: &ast::Expr,
        scope: &Scope<'_>,
    ) -> Bound<Expr> {
        let parts: Vec<Expr> = parts.iter().map(|part| self.expr(part, scope)).collect::<Bound<_>>()?;
        let mut any: Option<Expr> = None;
        for item in list {
            let ast::Expr::Tuple(values) = item else {
                let span = self.place(written);
                return Err(self.refuse("a list in IN next to single values", span));
            };
            if values.len() != parts.len() {
                let message = format!("a list of {} values compared with one of {}", parts.len(), values.len());
                let span = self.place(written);
                return Err(self.report(Diagnostic::error("column-count", message).at(span)));
            }
            let mut all: Option<Expr> = None;
            for (part, value) in parts.iter().zip(values) {
                let value = self.expr(value, scope)?;
                let equal = self.binary(BinaryOperator::Eq, part.clone(), value, &scope.schema, At::Expr(written))?;
                all = Some(all.map_or(equal.clone(), |all| all.and(equal)));
            }
            let all = all.unwrap_or(Expr::Literal(ScalarValue::Boolean(Some(true)), None));
            any = Some(any.map_or(all.clone(), |any| any.or(all)));
        }
        let any = any.unwrap_or(Expr::Literal(ScalarValue::Boolean(Some(false)), None));
        Ok(if negated { Expr::Not(Box::new(any)) } else { any })
    }

    /// LIKE, ILIKE and their ANY and ALL forms.
    #[expect(clippy::too_many_arguments, reason = "the fields of one node of the AST")]
    pub(super) fn like(
        &mut self,
        expr: &ast::Expr,
        pattern: &ast::Expr,
        escape: Option<&ast::ValueWithSpan>,
        any: bool,
        negated: bool,
        case_insensitive: bool,
        written: &ast::Expr,
        scope: &Scope<'_>,
    ) -> Bound<Expr> {
        let value = self.expr(expr, scope)?;
        let (patterns, all) = match pattern {
            ast::Expr::Tuple(patterns) if any => (patterns.iter().collect(), false),
            ast::Expr::Nested(pattern) if any => (vec![pattern.as_ref()], false),
            ast::Expr::Function(function) if function.name.to_string() == "ALL" => (list_arguments(function), true),
            _ if any => {
                let span = self.place(pattern);
                return Err(self.refuse("LIKE ANY takes a list of patterns in parentheses", span));
            }
            pattern => (vec![pattern], false),
        };
        let escape = match escape.map(|escape| &escape.value) {
            None => None,
            Some(ast::Value::SingleQuotedString(text)) if text.chars().count() <= 1 => text.chars().next(),
            Some(_) => {
                let span = self.place(written);
                return Err(self.refuse("ESCAPE takes one character", span));
            }
        };
        let mut result: Option<Expr> = None;
        for pattern in patterns {
            let pattern = self.expr(pattern, scope)?;
            let matched = self.like_one(value.clone(), pattern, escape, case_insensitive, written, scope)?;
            result = Some(match result {
                None => matched,
                Some(before) if all => before.and(matched),
                Some(before) => before.or(matched),
            });
        }
        let result = result.unwrap_or(Expr::Literal(ScalarValue::Boolean(Some(all)), None));
        self.checked(if negated { Expr::Not(Box::new(result)) } else { result }, scope, written)
    }

    fn like_one(
        &mut self,
        value: Expr,
        pattern: Expr,
        escape: Option<char>,
        case_insensitive: bool,
        written: &ast::Expr,
        scope: &Scope<'_>,
    ) -> Bound<Expr> {
        use datafusion::arrow::datatypes::DataType;
        use datafusion::logical_expr::ExprSchemable;
        let folded = self.collation_of(&value, &scope.schema).filter(|collation| !collation.is_exact());
        if folded.is_some() {
            let span = self.place(written);
            return Err(self.refuse("LIKE over text with a collation; compare UPPER or LOWER of it", span));
        }
        let textual = matches!(value.get_type(&scope.schema), Ok(DataType::Utf8));
        if let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = &pattern
            && textual
        {
            // Arrow always takes `\` for an escape; Snowflake has none unless the author names one.
            let text = backslash_escaped(text, escape);
            let pattern = Box::new(Expr::Literal(ScalarValue::Utf8(Some(text)), None));
            return Ok(Expr::Like(Like::new(false, Box::new(value), pattern, None, case_insensitive)));
        }
        let mut args = vec![value, pattern];
        if let Some(escape) = escape {
            args.push(Expr::Literal(ScalarValue::Utf8(Some(escape.to_string())), None));
        }
        self.function(if case_insensitive { "ilike" } else { "like" }, args, written, scope)
    }
}

/// One of these holds; as a balanced tree, so that a long list is not a deep expression.
fn balanced_or(mut exprs: Vec<Expr>) -> Expr {
    while exprs.len() > 1 {
        let mut pairs = Vec::with_capacity(exprs.len().div_ceil(2));
        let mut rest = exprs.into_iter();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                Some(right) => left.or(right),
                None => left,
            });
        }
        exprs = pairs;
    }
    exprs.pop().unwrap_or(Expr::Literal(ScalarValue::Boolean(Some(false)), None))
}

fn list_arguments(function: &ast::Function) -> Vec<&ast::Expr> {
    let ast::FunctionArguments::List(list) = &function.args else { return Vec::new() };
    let argument = |arg| match arg {
        &ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ref expr)) => Some(expr),
        _ => None,
    };
    list.args.iter().filter_map(argument).collect()
}

/// A pattern whose escape character, if any, is a backslash.
fn backslash_escaped(pattern: &str, escape: Option<char>) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            if let Some(next) = chars.next() {
                if matches!(next, '%' | '_' | '\\') {
                    out.push('\\');
                }
                out.push(next);
            }
        } else if c == '\\' {
            out.push_str("\\\\");
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::backslash_escaped;

    #[test]
    fn a_pattern_is_escaped_only_as_the_author_says() {
        assert_eq!(backslash_escaped("a\\%", None), "a\\\\%");
        assert_eq!(backslash_escaped("a^%^^_", Some('^')), "a\\%^_");
        assert_eq!(backslash_escaped("a\\_", Some('\\')), "a\\_");
    }
}
