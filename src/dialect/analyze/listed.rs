//! Lists of IN with computed items. DataFusion takes a list for one of constants where each item gives a single value for no
//! rows at all, which a CASE over columns does: it would be NULL for every row.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// The rule that compares with computed items one by one.
#[derive(Debug)]
pub(in crate::dialect) struct ComputedItems;

impl OptimizerRule for ComputedItems {
    fn name(&self) -> &str {
        "computed_items"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let mut found = false;
        plan.apply_expressions(|expr| {
            found = found || expr.exists(|expr| Ok(computed(expr)))?;
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if !found {
            return Ok(Transformed::no(plan));
        }
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(|expr| Ok(compared(expr)))?.update_data(|expr| name.restore(expr)))
        })
    }
}

/// Whether this is a list that has to be taken apart. A value that is another one each time it is asked for stays: it can be
/// asked for once only.
fn computed(expr: &Expr) -> bool {
    matches!(expr, Expr::InList(list) if list.list.iter().any(is_computed) && !list.expr.is_volatile())
}

fn is_computed(item: &Expr) -> bool {
    !matches!(item, Expr::Literal(..) | Expr::Column(_))
}

/// `x IN (1, 2, f(y))` as `x IN (1, 2) OR x = f(y)`.
fn compared(expr: Expr) -> Transformed<Expr> {
    if !computed(&expr) {
        return Transformed::no(expr);
    }
    let Expr::InList(InList { expr, list, negated }) = expr else { return Transformed::no(expr) };
    let (items, rest): (Vec<Expr>, Vec<Expr>) = list.into_iter().partition(is_computed);
    let rest = (!rest.is_empty()).then(|| Expr::InList(InList { expr: expr.clone(), list: rest, negated: false }));
    let items = items.into_iter().map(|item| expr.as_ref().clone().eq(item));
    let any = rest.into_iter().chain(items).reduce(Expr::or);
    let any = any.unwrap_or_else(|| Expr::Literal(false.into(), None));
    Transformed::yes(if negated { Expr::Not(Box::new(any)) } else { any })
}
