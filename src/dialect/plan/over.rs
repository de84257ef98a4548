//! OVER clauses: named windows, frames and Snowflake's default frames.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{NullTreatment, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    AggregateUDF, Expr, SortExpr, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition, WindowUDF,
};
use sqlparser::ast::{Ident, NamedWindowExpr, WindowSpec, WindowType};

use super::scope::Scope;
use super::{Binder, Bound};
use crate::diagnostic::Diagnostic;
use crate::name::nearest;
use crate::text::Span;

/// A bound OVER clause.
pub(super) struct Over {
    partition_by: Vec<Expr>,
    order_by: Vec<SortExpr>,
    frame: WindowFrame,
}

/// Functions whose default frame is the whole partition.
const WHOLE_PARTITION: [&str; 3] = ["first_value", "last_value", "nth_value"];

impl<'a> Binder<'a> {
    pub(super) fn over(&mut self, over: &WindowType, name: &str, scope: &Scope<'_>, span: &Span) -> Bound<Over> {
        match over {
            WindowType::NamedWindow(ident) => {
                let spec = self.named_window(ident, scope)?;
                self.over_spec(spec, name, scope, span)
            }
            WindowType::WindowSpec(spec) => self.over_spec(spec, name, scope, span),
        }
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

    fn over_spec(&mut self, spec: &WindowSpec, name: &str, scope: &Scope<'_>, span: &Span) -> Bound<Over> {
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
                let frame = WindowFrame::try_from(frame.clone()).and_then(|frame| {
                    frame.regularize_order_bys(&mut order_by)?;
                    Ok(frame)
                });
                frame.map_err(|error| self.fail(&error, span.clone()))?
            }
            None if WHOLE_PARTITION.contains(&name) => whole_partition(),
            None => WindowFrame::new((!order_by.is_empty()).then_some(false)),
        };
        Ok(Over { partition_by, order_by, frame })
    }

    pub(super) fn window(
        &mut self,
        udf: Arc<WindowUDF>,
        args: Vec<Expr>,
        nulls: Option<NullTreatment>,
        over: Over,
    ) -> Expr {
        window(WindowFunctionDefinition::WindowUDF(udf), args, false, nulls, over)
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
    let Over { partition_by, order_by, frame } = over;
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

fn whole_partition() -> WindowFrame {
    let start = WindowFrameBound::Preceding(ScalarValue::UInt64(None));
    WindowFrame::new_bounds(WindowFrameUnits::Rows, start, WindowFrameBound::Following(ScalarValue::UInt64(None)))
}
