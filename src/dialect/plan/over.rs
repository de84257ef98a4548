//! OVER clauses: named windows, frames and Snowflake's default frames.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{NullTreatment, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    AggregateUDF, Cast, Expr, ExprSchemable, SortExpr, WindowFrame, WindowFrameBound, WindowFrameUnits,
    WindowFunctionDefinition, WindowUDF, lit, when,
};
use sqlparser::ast::{self, Ident, NamedWindowExpr, WindowSpec, WindowType};

use super::scope::Scope;
use super::{Binder, Bound};
use crate::diagnostic::Diagnostic;
use crate::dialect::declared;
use crate::dialect::types::SqlType;
use crate::name::nearest;
use crate::text::Span;

/// A bound OVER clause.
#[derive(Clone)]
pub(super) struct Over {
    partition_by: Vec<Expr>,
    order_by: Vec<SortExpr>,
    frame: WindowFrame,
    /// Whether the author ordered its rows or gave it a frame.
    framed: bool,
}

/// Functions whose default frame is the whole partition.
const WHOLE_PARTITION: [&str; 3] = ["first_value", "last_value", "nth_value"];

/// Functions whose value is a matter of the order of rows, with the least and the most arguments they take.
const OF_AN_ORDER: [(&str, usize, usize); 13] = [
    ("row_number", 0, 0),
    ("rank", 0, 0),
    ("dense_rank", 0, 0),
    ("percent_rank", 0, 0),
    ("cume_dist", 0, 0),
    ("ntile", 1, 1),
    ("lag", 1, 3),
    ("lead", 1, 3),
    ("first_value", 1, 1),
    ("last_value", 1, 1),
    ("nth_value", 2, 2),
    ("conditional_change_event", 1, 1),
    ("conditional_true_event", 1, 1),
];

/// Aggregates that Snowflake computes over whole partitions only.
const OF_NO_ORDER: [&str; 6] = ["listagg", "object_agg", "median", "mode", "percentile_cont", "percentile_disc"];

/// The greatest position that NTH_VALUE takes.
const LAST_POSITION: i64 = 1000;

impl<'a> Binder<'a> {
    pub(super) fn over(&mut self, over: &WindowType, name: &str, scope: &Scope<'_>, span: &Span) -> Bound<Over> {
        let spec = match over {
            WindowType::NamedWindow(ident) => self.named_window(ident, scope)?,
            WindowType::WindowSpec(spec) => spec,
        };
        let (over, framed) = self.over_spec(spec, name, scope, span)?;
        let ordered = !over.order_by.is_empty();
        if !ordered && OF_AN_ORDER.iter().any(|(own, ..)| *own == name) {
            let message = format!("`{name}` needs ORDER BY in its OVER clause");
            return Err(self.report(Diagnostic::error("window-without-order", message).at(span.clone())));
        }
        if (ordered || framed) && OF_NO_ORDER.contains(&name) {
            let message = format!("`{name}` takes neither ORDER BY nor a frame in its OVER clause");
            let diagnostic = Diagnostic::error("window-with-order", message).at(span.clone());
            return Err(self.report(match name {
                "median" | "mode" => diagnostic,
                _ => diagnostic.hint("WITHIN GROUP (ORDER BY …) before OVER orders what it takes in"),
            }));
        }
        Ok(Over { framed: framed || ordered, ..over })
    }

    /// The arguments of a function that only makes sense with OVER, as DataFusion takes them.
    pub(super) fn window_arguments(
        &mut self,
        name: &str,
        mut args: Vec<Expr>,
        from_last: bool,
        scope: &Scope<'_>,
        span: &Span,
    ) -> Bound<Vec<Expr>> {
        let Some((_, least, most)) = OF_AN_ORDER.iter().find(|(own, ..)| *own == name) else { return Ok(args) };
        if args.len() < *least || args.len() > *most {
            let wanted = if least == most { least.to_string() } else { format!("{least} to {most}") };
            let message = format!("`{name}` takes {wanted} arguments, not {}", args.len());
            return Err(self.report(Diagnostic::error("sql-type", message).at(span.clone())));
        }
        let wrong = match (name, args.as_mut_slice()) {
            ("ntile", [Expr::Literal(count, _)]) => {
                whole(count).is_none_or(|count| count <= 0).then_some("the argument of `ntile` must be 1 or more")
            }
            ("nth_value", [_, Expr::Literal(ScalarValue::Int64(Some(position)), _)])
                if (1..=LAST_POSITION).contains(position) =>
            {
                *position = if from_last { -*position } else { *position };
                None
            }
            ("nth_value", _) => Some("the second argument of `nth_value` must be a constant from 1 to 1000"),
            ("lag" | "lead", [_, Expr::Literal(distance, _), ..]) if whole(distance).is_some() => None,
            ("lag" | "lead", [_, _, ..]) => {
                Some("the second argument of `lag` and `lead` must be a constant whole number")
            }
            _ => None,
        };
        if let Some(message) = wrong {
            return Err(self.report(Diagnostic::error("sql-type", message).at(span.clone())));
        }
        if let [value, _, default] = args.as_mut_slice() {
            let wanted = value.get_type(&scope.schema).map_err(|error| self.fail(&error, span.clone()))?;
            let given = default.get_type(&scope.schema).map_err(|error| self.fail(&error, span.clone()))?;
            if wanted != given && !given.is_null() {
                let written = std::mem::replace(default, Expr::Literal(ScalarValue::Null, None));
                let target = SqlType::of(&wanted).unwrap_or(SqlType::Variant).into();
                *default = Expr::Cast(Cast::new_from_field(Box::new(written), declared::field(target, &self.zone())));
            }
        }
        Ok(args)
    }

    fn named_window<'s>(&mut self, ident: &Ident, scope: &Scope<'s>) -> Bound<&'s WindowSpec> {
        let windows = scope.windows;
        let mut name = ident;
        for _ in 0..=windows.len() {
            match windows.iter().find(|window| window.0.value == name.value) {
                Some(window) => match &window.1 {
                    NamedWindowExpr::WindowSpec(spec) => return Ok(spec),
                    NamedWindowExpr::NamedWindow(other) => name = other,
                },
                None => break,
            }
        }
        let names: Vec<String> = windows.iter().map(|window| window.0.value.to_lowercase()).collect();
        let span = self.word(ident);
        let diagnostic =
            Diagnostic::error("unknown-window", format!("unknown window `{}`", ident.value.to_lowercase())).at(span);
        Err(self.report(diagnostic.did_you_mean(nearest(&ident.value, &names))))
    }

    /// The clause, and whether it has a frame of its own.
    fn over_spec(&mut self, spec: &WindowSpec, name: &str, scope: &Scope<'_>, span: &Span) -> Bound<(Over, bool)> {
        let WindowSpec { window_name, partition_by, order_by, window_frame } = spec;
        let base = match window_name {
            Some(ident) => Some(self.named_window(ident, scope)?),
            None => None,
        };
        let inherited = base.map_or(&[][..], |base| base.partition_by.as_slice());
        let partition_by = if partition_by.is_empty() { inherited } else { partition_by.as_slice() };
        let inherited = base.map_or(&[][..], |base| base.order_by.as_slice());
        let order_by = if order_by.is_empty() { inherited } else { order_by.as_slice() };
        let window_frame = window_frame.as_ref().or(base.and_then(|base| base.window_frame.as_ref()));
        let partitions: Vec<Bound<Expr>> = partition_by.iter().map(|key| self.expr(key, scope)).collect();
        let mut order_by = self.sort_keys(order_by, scope)?;
        let partition_by = partitions.into_iter().collect::<Bound<Vec<Expr>>>()?;
        let partition_by = partition_by.into_iter().filter(|key| !matches!(key, Expr::Literal(..))).collect();
        let frame = match window_frame {
            Some(frame) => {
                if let Some(message) = misframed(frame) {
                    return Err(self.report(Diagnostic::error("wrong-frame", message).at(span.clone())));
                }
                let frame = WindowFrame::try_from(frame.clone()).and_then(|frame| {
                    frame.regularize_order_bys(&mut order_by)?;
                    Ok(frame)
                });
                frame.map_err(|error| self.fail(&error, span.clone()))?
            }
            None if WHOLE_PARTITION.contains(&name) => whole_partition(),
            None => WindowFrame::new((!order_by.is_empty()).then_some(false)),
        };
        Ok((Over { partition_by, order_by, frame, framed: false }, window_frame.is_some()))
    }

    pub(super) fn window(
        &mut self,
        udf: Arc<WindowUDF>,
        args: Vec<Expr>,
        nulls: Option<NullTreatment>,
        over: Over,
        span: Span,
    ) -> Bound<Expr> {
        let window =
            |args, over| window(WindowFunctionDefinition::WindowUDF(Arc::clone(&udf)), args, false, nulls, over);
        let computed = |default: &Expr| !default.column_refs().is_empty();
        let [value, distance, default] = args.as_slice() else { return Ok(window(args, over)) };
        if !computed(default) {
            return Ok(window(args, over));
        }
        if nulls == Some(NullTreatment::IgnoreNulls) {
            return Err(self.refuse("a default that is computed from columns together with IGNORE NULLS", span));
        }
        // DataFusion's default is a constant: whether there is such a row is asked first.
        let there = window(vec![lit(true), distance.clone()], over.clone());
        let found = window(vec![value.clone(), distance.clone()], over);
        let chosen = when(there.is_null(), default.clone()).otherwise(found);
        chosen.map_err(|error| self.fail(&error, span))
    }

    /// An aggregate over a window; WITHIN GROUP orders the whole partition.
    #[expect(clippy::too_many_arguments, reason = "the clauses of one call")]
    pub(super) fn window_aggregate(
        &mut self,
        udf: Arc<AggregateUDF>,
        mut args: Vec<Expr>,
        distinct: bool,
        sorts: Vec<SortExpr>,
        nulls: Option<NullTreatment>,
        mut over: Over,
        span: Span,
    ) -> Bound<Expr> {
        if distinct && over.framed {
            let message = "DISTINCT cannot stand together with ORDER BY or a frame in OVER";
            return Err(self.report(Diagnostic::error("window-with-order", message).at(span)));
        }
        if !sorts.is_empty() {
            if !over.order_by.is_empty() {
                return Err(self.refuse("WITHIN GROUP together with ORDER BY in OVER", span));
            }
            if udf.supports_within_group_clause()
                && let Some(first) = sorts.first()
            {
                args.insert(0, first.expr.clone());
            }
            over.order_by = sorts;
            over.frame = whole_partition();
        }
        Ok(window(WindowFunctionDefinition::AggregateUDF(udf), args, distinct, nulls, over))
    }
}

fn window(
    fun: WindowFunctionDefinition,
    args: Vec<Expr>,
    distinct: bool,
    null_treatment: Option<NullTreatment>,
    over: Over,
) -> Expr {
    let Over { partition_by, order_by, frame, framed: _ } = over;
    let params = WindowFunctionParams {
        args,
        partition_by,
        order_by,
        window_frame: frame,
        filter: None,
        null_treatment,
        distinct,
    };
    Expr::WindowFunction(Box::new(WindowFunction { fun, params }))
}

/// What is wrong with a frame.
fn misframed(frame: &ast::WindowFrame) -> Option<&'static str> {
    use ast::WindowFrameBound::{CurrentRow, Following, Preceding};
    let distance = |expr: &ast::Expr| match expr {
        ast::Expr::Interval(_) if frame.units == ast::WindowFrameUnits::Range => Some(1.0),
        ast::Expr::Value(value) => match &value.value {
            ast::Value::Number(text, _) if frame.units == ast::WindowFrameUnits::Range => text.parse().ok(),
            ast::Value::Number(text, _) => text.parse::<u32>().ok().map(f64::from),
            _ => None,
        },
        _ => None,
    };
    let place = |bound: &ast::WindowFrameBound| match bound {
        CurrentRow => Some(0.0),
        Preceding(None) => Some(f64::NEG_INFINITY),
        Following(None) => Some(f64::INFINITY),
        Preceding(Some(far)) => distance(far).map(|far| -far),
        Following(Some(far)) => distance(far),
    };
    let (Some(start), Some(end)) = (place(&frame.start_bound), place(frame.end_bound.as_ref().unwrap_or(&CurrentRow)))
    else {
        return Some("the distance of a frame must be a constant whole number, 0 or more");
    };
    (start > end || start == f64::INFINITY || end == f64::NEG_INFINITY).then_some("a frame cannot end before it begins")
}

/// A whole number that is written out.
fn whole(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Int64(value) => *value,
        _ => None,
    }
}

fn whole_partition() -> WindowFrame {
    let start = WindowFrameBound::Preceding(ScalarValue::UInt64(None));
    WindowFrame::new_bounds(WindowFrameUnits::Rows, start, WindowFrameBound::Following(ScalarValue::UInt64(None)))
}
