//! Bound plans → rows in memory.

use datafusion::arrow::array::RecordBatch;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::collect;

use super::{Failure, Rows, Session};
use crate::dialect::{Dialect, Statement};

impl Session {
    /// Runs a query.
    pub(super) async fn query(&self, statement: &Statement) -> Result<Rows, Failure> {
        let plan = self.dialect.bind(statement, &self.catalog)?;
        let columns = Dialect::columns(&plan);
        Ok(Rows { columns, batches: self.execute(&plan).await? })
    }

    /// The rows of a bound plan.
    pub(super) async fn execute(&self, plan: &LogicalPlan) -> Result<Vec<RecordBatch>, Failure> {
        let state = self.dialect.state();
        let plan = state.optimize(plan)?;
        let physical = state.query_planner().create_physical_plan(&plan, state).await?;
        Ok(collect(physical, state.task_ctx()).await?)
    }
}
