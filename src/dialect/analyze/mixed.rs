//! Expressions whose parts have unlike types: casts are put where Snowflake coerces, and what it refuses is an error.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::{Between, Case, InList, InSubquery, Like, ScalarFunction, Sort};
use datafusion::logical_expr::{
    AggregateUDF, BinaryExpr, Cast, Expr, ExprSchemable, Operator, TryCast, WindowFrame, WindowFrameBound,
    WindowFrameUnits, WindowFunctionDefinition,
};

use super::typed::data_type;
use super::{guard, operators};
use crate::dialect::cast::call::cast_expr;
use crate::dialect::cast::{Target, castable, refuse};
use crate::dialect::coerce;
use crate::dialect::declared;
use crate::dialect::format::column::Misfit;
use crate::dialect::functions;
use crate::dialect::types::SqlType;

/// The surroundings of an expression.
#[derive(Clone, Copy)]
pub(super) struct Mixed<'a> {
    /// The columns in sight.
    pub(super) schema: &'a DFSchema,
    /// The session's time zone.
    pub(super) zone: &'a str,
}

impl Mixed<'_> {
    /// Coerces an expression from its leaves up.
    pub(super) fn all(self, expr: Expr) -> Result<Transformed<Expr>> {
        expr.transform_up(|expr| self.one(expr))
    }

    /// Coerces the parts of one expression, whose own parts are coerced.
    fn one(self, expr: Expr) -> Result<Transformed<Expr>> {
        Ok(Transformed::yes(match expr {
            Expr::Cast(cast) => return self.cast(cast),
            Expr::TryCast(cast) => return self.try_cast(cast),
            Expr::Negative(inner) => {
                Expr::ScalarFunction(ScalarFunction::new_udf(functions::operator::negation(), vec![*inner]))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match operators::function(op, &left, &right) {
                Some(call) => call,
                None => return self.binary(left, op, right),
            },
            Expr::Not(inner) => Expr::Not(Box::new(self.condition(*inner)?)),
            Expr::IsTrue(inner) => Expr::IsTrue(Box::new(self.condition(*inner)?)),
            Expr::IsFalse(inner) => Expr::IsFalse(Box::new(self.condition(*inner)?)),
            Expr::IsUnknown(inner) => Expr::IsUnknown(Box::new(self.condition(*inner)?)),
            Expr::IsNotTrue(inner) => Expr::IsNotTrue(Box::new(self.condition(*inner)?)),
            Expr::IsNotFalse(inner) => Expr::IsNotFalse(Box::new(self.condition(*inner)?)),
            Expr::IsNotUnknown(inner) => Expr::IsNotUnknown(Box::new(self.condition(*inner)?)),
            Expr::Like(like) => self.like(like)?,
            Expr::InList(list) => self.in_list(list)?,
            Expr::InSubquery(inside) => self.in_subquery(inside)?,
            Expr::Between(between) => self.between(between)?,
            Expr::Case(case) => self.case(case)?,
            Expr::ScalarFunction(call) if call.func.name() == "trunc" => return self.trunc(call),
            Expr::ScalarFunction(call) => match functions::conditional::expanded(&call)? {
                Some(expanded) => self.all(expanded)?.data,
                None => return Ok(Transformed::no(Expr::ScalarFunction(call))),
            },
            Expr::AggregateFunction(mut call) => {
                let (func, args) = self.aggregate(call.func, call.params.args, call.params.distinct)?;
                (call.func, call.params.args) = (func, args);
                if call.params.distinct && call.params.filter.is_none() {
                    call.params.filter = self.there(&call.params.args).map(Box::new);
                }
                Expr::AggregateFunction(call)
            }
            Expr::WindowFunction(mut call) => {
                if let WindowFunctionDefinition::AggregateUDF(func) = call.fun {
                    let (func, args) = self.aggregate(func, call.params.args, call.params.distinct)?;
                    call.fun = WindowFunctionDefinition::AggregateUDF(func);
                    call.params.args = args;
                }
                let partitions = std::mem::take(&mut call.params.partition_by).into_iter();
                call.params.partition_by = partitions.map(|key| self.told_by(key)).collect::<Result<_>>()?;
                let order = std::mem::take(&mut call.params.order_by).into_iter();
                call.params.order_by = order.map(|key| self.peer_key(key)).collect::<Result<_>>()?;
                call.params.window_frame = self.framed(call.params.window_frame, &call.params.order_by)?;
                Expr::WindowFunction(call)
            }
            other => return Ok(Transformed::no(other)),
        }))
    }

    /// SUM and AVG read text and VARIANT as FLOAT; the least and greatest VARIANT are found by their keys, and distinct
    /// values are counted by theirs.
    fn aggregate(
        self,
        func: Arc<AggregateUDF>,
        mut args: Vec<Expr>,
        distinct: bool,
    ) -> Result<(Arc<AggregateUDF>, Vec<Expr>)> {
        let [only] = args.as_slice() else { return Ok((func, args)) };
        let kind = match func.name() {
            "count" | "approx_count_distinct" if distinct => {
                let argument = self.all_told_by(args.swap_remove(0))?;
                return Ok((func, vec![argument]));
            }
            "sum" | "avg" | "min" | "max" => self.sql_type(only)?,
            _ => return Ok((func, args)),
        };
        let by_key = match func.name() {
            "min" => Some("min_by"),
            "max" => Some("max_by"),
            _ => None,
        };
        match (by_key, kind) {
            (None, SqlType::Varchar(_) | SqlType::Variant) => {
                let value = args.swap_remove(0);
                Ok((func, vec![self.cast_to(value, SqlType::Float)?]))
            }
            (Some(name), kind) if kind.is_semi_structured() => match functions::aggregate_named(name) {
                Some(by_key) => {
                    let key = self.key(only.clone())?;
                    args.push(key);
                    Ok((by_key, args))
                }
                None => Ok((func, args)),
            },
            _ => Ok((func, args)),
        }
    }

    /// TRUNC of a date is DATE_TRUNC with its arguments the other way round.
    fn trunc(self, mut call: ScalarFunction) -> Result<Transformed<Expr>> {
        let dated = match call.args.first() {
            Some(first) => matches!(
                SqlType::of(&data_type(first, self.schema)?),
                Some(SqlType::Date | SqlType::TimestampNtz | SqlType::TimestampLtz | SqlType::TimestampTz)
            ),
            None => false,
        };
        match functions::operator::date_trunc() {
            Some(date_trunc) if dated && call.args.len() == 2 => {
                call.args.reverse();
                Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(date_trunc, call.args))))
            }
            _ if dated => plan_err!("`TRUNC` of a date takes the part to cut it to"),
            _ => Ok(Transformed::no(Expr::ScalarFunction(call))),
        }
    }

    /// The type of an expression; a whole number that is written out has as many digits as it is written with.
    pub(super) fn sql_type(self, expr: &Expr) -> Result<SqlType> {
        if let Expr::Literal(ScalarValue::Int64(Some(value)), _) = expr {
            let precision = value.unsigned_abs().checked_ilog10().unwrap_or(0) as u8 + 1;
            return Ok(SqlType::Number { precision, scale: 0 });
        }
        let data_type = data_type(expr, self.schema)?;
        match SqlType::of(&data_type) {
            Some(kind) => Ok(kind),
            None => plan_err!("a value of type {data_type} cannot stand here"),
        }
    }

    /// An expression as a value of a type; one that is of it already stays as it is.
    pub(super) fn cast_to(self, expr: Expr, kind: SqlType) -> Result<Expr> {
        self.cast_or(expr, kind, Misfit::Error)
    }

    fn cast_or(self, expr: Expr, kind: SqlType, misfit: Misfit) -> Result<Expr> {
        let data_type = data_type(&expr, self.schema)?;
        if data_type == kind.arrow(self.zone) {
            return Ok(expr);
        }
        if let Some(from) = SqlType::of(&data_type)
            && !castable(from, kind)
        {
            return refuse(from, kind);
        }
        Ok(cast_expr(expr, Target::from(kind), misfit, self.zone))
    }

    fn cast(self, Cast { expr, field }: Cast) -> Result<Transformed<Expr>> {
        let Some(target) = declared::target(&field) else {
            return Ok(Transformed::no(Expr::Cast(Cast { expr, field })));
        };
        let from = data_type(&expr, self.schema)?;
        let declared = field.metadata().contains_key(declared::TYPE);
        let (given, wanted) = (SqlType::of(&from), SqlType::of(field.data_type()));
        let numbers = |kind| matches!(kind, Some(SqlType::Number { .. } | SqlType::Float | SqlType::Null));
        if !declared && numbers(given) && numbers(wanted) {
            // A cast that DataFusion put in, as in VALUES: it loses nothing.
            return Ok(Transformed::no(Expr::Cast(Cast { expr, field })));
        }
        let limited = matches!(target.sql_type, SqlType::Varchar(Some(_))) || target != Target::from(target.sql_type);
        if !limited && from == target.sql_type.arrow(self.zone) {
            return Ok(Transformed::yes(*expr));
        }
        match given {
            Some(given) if castable(given, target.sql_type) => {
                Ok(Transformed::yes(cast_expr(*expr, target, Misfit::Error, self.zone)))
            }
            Some(given) => refuse(given, target.sql_type),
            None => plan_err!("a value of type {from} cannot be cast to {target}"),
        }
    }

    fn try_cast(self, TryCast { expr, field }: TryCast) -> Result<Transformed<Expr>> {
        let Some(target) = declared::target(&field) else {
            return Ok(Transformed::no(Expr::TryCast(TryCast { expr, field })));
        };
        match SqlType::of(&data_type(&expr, self.schema)?) {
            Some(from @ (SqlType::Varchar(_) | SqlType::Null)) if castable(from, target.sql_type) => {
                Ok(Transformed::yes(cast_expr(*expr, target, Misfit::Null, self.zone)))
            }
            Some(from) => plan_err!("TRY_CAST reads text only and cannot cast {from} to {target}"),
            None => plan_err!("TRY_CAST reads text only"),
        }
    }

    /// An expression as a condition.
    pub(super) fn condition(self, expr: Expr) -> Result<Expr> {
        match self.sql_type(&expr)? {
            SqlType::Boolean | SqlType::Null => Ok(expr),
            SqlType::Number { .. } | SqlType::Float | SqlType::Varchar(_) | SqlType::Variant => {
                self.cast_to(expr, SqlType::Boolean)
            }
            other => plan_err!("a condition is needed here, not a value of type {other}"),
        }
    }

    /// A comparison, AND or OR with the casts that its operands need.
    pub(super) fn compare(self, left: Expr, op: Operator, right: Expr) -> Result<Expr> {
        Ok(self.binary(Box::new(left), op, Box::new(right))?.data)
    }

    /// The same of any operator, and whether casts were needed.
    fn binary(self, left: Box<Expr>, op: Operator, right: Box<Expr>) -> Result<Transformed<Expr>> {
        let binary = |left, right| Expr::BinaryExpr(BinaryExpr::new(left, op, right));
        let is_logical = matches!(op, Operator::And | Operator::Or);
        let is_comparison = op.supports_propagation()
            || matches!(op, Operator::NotEq | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom);
        if !is_logical && !is_comparison {
            return Ok(Transformed::no(binary(left, right)));
        }
        let (a, b) = (data_type(&left, self.schema)?, data_type(&right, self.schema)?);
        if a == b && if is_logical { a == DataType::Boolean } else { !matches!(a, DataType::Struct(_)) } {
            return Ok(Transformed::no(binary(left, right)));
        }
        let (left, right) = match is_logical {
            true => (self.condition(*left)?, self.condition(*right)?),
            false => self.compared(*left, *right)?,
        };
        Ok(Transformed::yes(binary(Box::new(left), Box::new(right))))
    }

    /// Two expressions as they are compared.
    pub(super) fn compared(self, left: Expr, right: Expr) -> Result<(Expr, Expr)> {
        let (a, b) = (data_type(&left, self.schema)?, data_type(&right, self.schema)?);
        if a == b && !matches!(a, DataType::Struct(_))
            || (a.is_null() && !b.is_nested() || b.is_null() && !a.is_nested())
        {
            return Ok((left, right));
        }
        if SqlType::of(&a).is_none() || SqlType::of(&b).is_none() {
            return Ok((left, right));
        }
        let (x, y) = (self.sql_type(&left)?, self.sql_type(&right)?);
        let Some(kind) = coerce::comparison(x, y) else {
            return plan_err!("{x} cannot be compared with {y}");
        };
        if kind == SqlType::Variant {
            return Ok((self.key(left)?, self.key(right)?));
        }
        // Whole numbers compare as they rest, in 64 bits, where the other side is one that is written out.
        let whole = |kind| matches!(kind, SqlType::Number { scale: 0, .. });
        if whole(x) && whole(y) && a == DataType::Int64 && b == DataType::Int64 {
            return Ok((left, right));
        }
        let misfit = match kind {
            // Every timestamp that there is here comes before the last one of a day that is later, such as 9999-12-31.
            SqlType::TimestampNtz | SqlType::TimestampLtz | SqlType::TimestampTz => Misfit::Nearest,
            _ => Misfit::Error,
        };
        Ok((self.cast_or(left, kind, misfit)?, self.cast_or(right, kind, misfit)?))
    }

    /// What VARIANT, OBJECT and ARRAY values are compared and ordered by.
    pub(super) fn key(self, expr: Expr) -> Result<Expr> {
        if data_type(&expr, self.schema)?.is_null() {
            return Ok(expr);
        }
        Ok(Expr::ScalarFunction(ScalarFunction::new_udf(functions::operator::variant_key(), vec![expr])))
    }

    /// A sort key: semi-structured values are ordered by their keys.
    pub(super) fn sort_key(self, key: Sort) -> Result<Sort> {
        let semi_structured = self.sql_type(&key.expr).is_ok_and(SqlType::is_semi_structured);
        Ok(if semi_structured { Sort { expr: self.key(key.expr)?, ..key } } else { key })
    }

    /// A sort key of a window, by which rows are peers.
    fn peer_key(self, key: Sort) -> Result<Sort> {
        Ok(Sort { expr: self.told_by(key.expr)?, ..key })
    }

    /// A frame from one end of the rows or the current row to another is the same by rank and by value; by value DataFusion
    /// has it for some types only.
    fn framed(self, frame: WindowFrame, order: &[Sort]) -> Result<WindowFrame> {
        let Some(first) = order.first().filter(|_| frame.units == WindowFrameUnits::Range) else { return Ok(frame) };
        let key = data_type(&first.expr, self.schema)?;
        if key.is_numeric()
            || key.is_string()
            || key.is_null()
            || matches!(key, DataType::Boolean | DataType::Date32 | DataType::Timestamp(..))
        {
            return Ok(frame);
        }
        let by_rank = |bound: &WindowFrameBound| match bound {
            WindowFrameBound::CurrentRow => Some(WindowFrameBound::CurrentRow),
            WindowFrameBound::Preceding(far) if far.is_null() => {
                Some(WindowFrameBound::Preceding(ScalarValue::UInt64(None)))
            }
            WindowFrameBound::Following(far) if far.is_null() => {
                Some(WindowFrameBound::Following(ScalarValue::UInt64(None)))
            }
            _ => None,
        };
        match (by_rank(&frame.start_bound), by_rank(&frame.end_bound)) {
            (Some(start), Some(end)) => Ok(WindowFrame::new_bounds(WindowFrameUnits::Groups, start, end)),
            _ => plan_err!("a RANGE frame with a distance needs numbers, dates or timestamps to order by"),
        }
    }

    fn like(self, like: Like) -> Result<Expr> {
        let Like { negated, expr, pattern, escape_char, case_insensitive } = like;
        let text = |expr: Expr| -> Result<Expr> {
            match self.sql_type(&expr)? {
                SqlType::Varchar(_) | SqlType::Null => Ok(expr),
                _ => self.cast_to(expr, SqlType::TEXT),
            }
        };
        let (expr, pattern) = (Box::new(text(*expr)?), Box::new(text(*pattern)?));
        Ok(Expr::Like(Like { negated, expr, pattern, escape_char, case_insensitive }))
    }

    fn between(self, Between { expr, negated, low, high }: Between) -> Result<Expr> {
        let above = self.compare((*expr).clone(), Operator::GtEq, *low)?;
        let below = self.compare(*expr, Operator::LtEq, *high)?;
        let inside = above.and(below);
        Ok(if negated { Expr::Not(Box::new(inside)) } else { inside })
    }

    fn in_list(self, InList { expr, list, negated }: InList) -> Result<Expr> {
        let own = data_type(&expr, self.schema)?;
        let mut alike = !matches!(own, DataType::Struct(_));
        for item in &list {
            let other = data_type(item, self.schema)?;
            alike &= other == own || other.is_null();
        }
        if alike {
            return Ok(Expr::InList(InList { expr, list, negated }));
        }
        let mut kinds = list.iter().map(|item| Ok(coerce::comparison(self.sql_type(&expr)?, self.sql_type(item)?)));
        let first = kinds.next().transpose()?.flatten();
        let same = kinds.try_fold(true, |same, kind: Result<_>| {
            Ok::<_, datafusion::common::DataFusionError>(same && kind? == first)
        })?;
        if let (true, Some(kind)) = (same && first != Some(SqlType::Variant), first) {
            let list = list.into_iter().map(|item| self.cast_to(item, kind)).collect::<Result<_>>()?;
            return Ok(Expr::InList(InList { expr: Box::new(self.cast_to(*expr, kind)?), list, negated }));
        }
        let mut any: Option<Expr> = None;
        for item in list {
            let equal = self.compare((*expr).clone(), Operator::Eq, item)?;
            any = Some(any.map_or(equal.clone(), |any| any.or(equal)));
        }
        let any = any.unwrap_or(Expr::Literal(ScalarValue::Boolean(Some(false)), None));
        Ok(if negated { Expr::Not(Box::new(any)) } else { any })
    }

    fn in_subquery(self, mut inside: InSubquery) -> Result<Expr> {
        let plan = &inside.subquery.subquery;
        let [field] = plan.schema().fields().iter().as_slice() else {
            return Ok(Expr::InSubquery(inside));
        };
        let own = data_type(&inside.expr, self.schema)?;
        if own == *field.data_type() && !matches!(own, DataType::Struct(_)) {
            return Ok(Expr::InSubquery(inside));
        }
        let within = Mixed { schema: plan.schema(), zone: self.zone };
        let column = Expr::Column(plan.schema().columns().swap_remove(0));
        let (a, b) = (self.sql_type(&inside.expr)?, within.sql_type(&column)?);
        let Some(kind) = coerce::comparison(a, b) else { return plan_err!("{a} cannot be compared with {b}") };
        let (expr, item) = match kind {
            SqlType::Variant => (self.key(*inside.expr)?, within.key(column)?),
            kind => (self.cast_to(*inside.expr, kind)?, within.cast_to(column, kind)?),
        };
        let name = field.name().clone();
        let projected = datafusion::logical_expr::LogicalPlanBuilder::from((**plan).clone())
            .project([item.alias(name)])?
            .build()?;
        inside.subquery.subquery = Arc::new(projected);
        inside.expr = Box::new(expr);
        Ok(Expr::InSubquery(inside))
    }

    fn case(self, Case { expr, when_then_expr, else_expr }: Case) -> Result<Expr> {
        let mut conditions = Vec::with_capacity(when_then_expr.len());
        let mut results = Vec::with_capacity(when_then_expr.len() + 1);
        for (when, then) in when_then_expr {
            conditions.push(match &expr {
                Some(operand) => self.compare((**operand).clone(), Operator::Eq, *when)?,
                None => self.condition(*when)?,
            });
            results.push(*then);
        }
        let otherwise = else_expr.is_some();
        results.extend(else_expr.map(|other| *other));
        let mut results = self.alike(results)?;
        let else_expr = if otherwise { results.pop().map(Box::new) } else { None };
        let when_then_expr = conditions.into_iter().zip(results).map(|(c, r)| (Box::new(c), Box::new(r))).collect();
        let case = Case { expr: None, when_then_expr, else_expr };
        let results = || case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
        let boolean = results().any(|then| matches!(data_type(then, self.schema), Ok(DataType::Boolean)));
        if boolean && results().any(|then| guard::is_risky(then)) {
            return Ok(guard::lazily(case.when_then_expr, case.else_expr));
        }
        Ok(Expr::Case(case))
    }

    /// Expressions as values of one type.
    fn alike(self, exprs: Vec<Expr>) -> Result<Vec<Expr>> {
        let types = exprs.iter().map(|expr| data_type(expr, self.schema)).collect::<Result<Vec<_>>>()?;
        let Some(kind) = common_type(&types)? else { return Ok(exprs) };
        let cast = |expr: Expr| match expr {
            null @ Expr::Literal(ScalarValue::Null, _) => Ok(null),
            expr => self.cast_to(expr, kind),
        };
        exprs.into_iter().map(cast).collect()
    }
}

/// A CASE whose results have one type, which is that of the whole.
pub(in crate::dialect) fn case(case: Case, schema: &DFSchema, zone: &str) -> Result<Expr> {
    Mixed { schema, zone }.case(case)
}

/// The rows of VALUES with one type in each column.
pub(in crate::dialect) fn alike_rows(rows: Vec<Vec<Expr>>, zone: &str) -> Result<Vec<Vec<Expr>>> {
    let schema = DFSchema::empty();
    let mixed = Mixed { schema: &schema, zone };
    let cells = |row: Vec<Expr>| row.into_iter().map(|cell| Ok(mixed.all(cell)?.data)).collect::<Result<Vec<_>>>();
    let mut rows = rows.into_iter().map(cells).collect::<Result<Vec<_>>>()?;
    let width = rows.iter().map(Vec::len).min().unwrap_or(0);
    for column in 0..width {
        let types = rows.iter().map(|row| row[column].get_type(&schema)).collect::<Result<Vec<_>>>()?;
        let Some(kind) = common_type(&types)? else { continue };
        for row in &mut rows {
            if !matches!(row[column], Expr::Literal(ScalarValue::Null, _)) {
                let cell = std::mem::replace(&mut row[column], Expr::Literal(ScalarValue::Null, None));
                row[column] = mixed.cast_to(cell, kind)?;
            }
        }
    }
    Ok(rows)
}

/// The type that columns of these types are cast to; none where they are alike already.
pub(super) fn common_type(types: &[DataType]) -> Result<Option<SqlType>> {
    let mut given = types.iter().filter(|data_type| !data_type.is_null());
    let Some(first) = given.next() else { return Ok(None) };
    if given.clone().all(|data_type| data_type == first) {
        return Ok(None);
    }
    let mut kind = SqlType::Null;
    for data_type in types {
        let Some(other) = SqlType::of(data_type) else {
            return plan_err!("values of type {data_type} cannot stand with others");
        };
        kind = match coerce::common(kind, other) {
            Some(kind) => kind,
            None => return plan_err!("{kind} and {other} have no common type"),
        };
    }
    Ok(Some(kind))
}
