//! Rows in the place of schemas: a bound plan reads `InputTable`s, an executing one reads providers, or takes over the
//! queries of the steps that are inlined into it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::datasource::{TableProvider, provider_as_source};
use datafusion::logical_expr::{LogicalPlan, SubqueryAlias, TableScan, TableScanBuilder};

use super::{Embedded, failed};
use crate::backend::BackendError;
use crate::opaque::Opaque;
use crate::plan::{InputTable, Origin};

/// What an input stands for.
#[derive(Clone, Debug)]
pub(crate) enum Rows {
    Table(Arc<dyn TableProvider>),
    Plan(Opaque<LogicalPlan>),
}

impl Embedded {
    /// The plan with rows in the place of every input.
    pub(super) async fn with_rows(&self, plan: &Opaque<LogicalPlan>) -> Result<Opaque<LogicalPlan>, BackendError> {
        self.with_rows_over(plan, &HashMap::new()).await
    }

    /// The same, where some inputs are known already.
    pub(super) async fn with_rows_over(
        &self,
        plan: &Opaque<LogicalPlan>,
        known: &HashMap<Origin, Rows>,
    ) -> Result<Opaque<LogicalPlan>, BackendError> {
        let mut rows = known.clone();
        for table in inputs(plan).map_err(failed)? {
            if let Entry::Vacant(place) = rows.entry(table.origin.clone()) {
                place.insert(self.rows(&table).await?);
            }
        }
        swapped(plan, &rows).map(Opaque::new).map_err(failed)
    }
}

/// The plan with these rows in the place of its inputs.
pub(crate) fn swapped(plan: &LogicalPlan, rows: &HashMap<Origin, Rows>) -> Result<LogicalPlan, DataFusionError> {
    let swapped = plan.clone().transform_up_with_subqueries(|node| match node {
        LogicalPlan::TableScan(scan) => match scan.source.downcast_ref::<InputTable>() {
            Some(table) => match rows.get(&table.origin) {
                Some(rows) => swap(scan.clone(), rows).map(Transformed::yes),
                None => Err(DataFusionError::Internal(format!("no rows for `{}`", scan.table_name))),
            },
            None => Ok(Transformed::no(LogicalPlan::TableScan(scan))),
        },
        other => other.recompute_schema().map(Transformed::yes),
    });
    Ok(swapped?.data)
}

/// The inputs that a plan reads, in subqueries too.
pub(crate) fn inputs(plan: &LogicalPlan) -> Result<Vec<InputTable>, DataFusionError> {
    let mut tables = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(table) = scan.source.downcast_ref::<InputTable>()
        {
            tables.push(table.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(tables)
}

fn swap(scan: TableScan, rows: &Rows) -> Result<LogicalPlan, DataFusionError> {
    match rows {
        Rows::Table(provider) => {
            let source = provider_as_source(provider.clone());
            let builder = TableScanBuilder::new(scan.table_name, source).with_projection(scan.projection);
            builder.with_filters(scan.filters).with_fetch(scan.fetch).build().map(LogicalPlan::TableScan)
        }
        Rows::Plan(plan) => {
            SubqueryAlias::try_new(Arc::new(LogicalPlan::clone(plan)), scan.table_name).map(LogicalPlan::SubqueryAlias)
        }
    }
}
