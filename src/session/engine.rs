//! Bound plans → rows in memory, and the SQL that the session itself generates.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{collect, execute_stream};
use futures::StreamExt;

use super::outcome::Failure;
use super::tables::Extra;
use super::{Rows, Session};
use crate::diagnostic::Diagnostic;
use crate::dialect::{Dialect, Statement, parse};
use crate::text::{SourceFile, Span};

impl Session {
    /// Runs a query.
    pub(super) async fn query(&self, statement: &Statement) -> Result<Rows, Failure> {
        let plan = self.bind_with(statement, &[])?;
        Ok(Rows { columns: Dialect::columns(&plan), batches: self.execute(&plan).await? })
    }

    /// The rows of a bound plan.
    pub(super) async fn execute(&self, plan: &LogicalPlan) -> Result<Vec<RecordBatch>, Failure> {
        let state = self.dialect.state();
        let plan = state.optimize(plan)?;
        let physical = state.query_planner().create_physical_plan(&plan, state).await?;
        let Some(runtime) = &self.runtime else { return Ok(collect(physical, state.task_ctx()).await?) };
        let context = Arc::new(TaskContext::from(state).with_runtime(Arc::clone(runtime)));
        let held = MemoryConsumer::new("the result").register(&runtime.memory_pool);
        let mut stream = execute_stream(physical, context)?;
        let mut batches = Vec::new();
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            held.try_grow(batch.get_array_memory_size())?;
            batches.push(batch);
        }
        Ok(batches)
    }

    /// The values of a one-column plan that a statement needs while it is bound. Binding is not asynchronous, so they are
    /// computed on a thread of their own.
    pub(super) fn values_now(&self, plan: &LogicalPlan) -> Result<Vec<ScalarValue>, DataFusionError> {
        let compute = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let batches = runtime.block_on(self.execute(plan)).map_err(|failure| match failure {
                Failure::Failed(message) => DataFusionError::Execution(message),
                Failure::Wrong(_) => DataFusionError::Plan("the query of PIVOT cannot be bound".to_string()),
            })?;
            let mut values = Vec::new();
            for batch in &batches {
                for row in 0..batch.num_rows() {
                    values.push(ScalarValue::try_from_array(batch.column(0), row)?);
                }
            }
            Ok(values)
        };
        let lost = || DataFusionError::Execution("the query of PIVOT stopped".to_string());
        std::thread::scope(|scope| scope.spawn(compute).join().unwrap_or_else(|_| Err(lost())))
    }

    /// The plan of SQL that the session wrote on behalf of a statement: errors point at that statement.
    pub(super) fn bind_generated(&self, sql: &str, span: &Span, extra: &[Extra]) -> Result<LogicalPlan, Failure> {
        let relocate = |diagnostics: Vec<Diagnostic>| {
            let moved = diagnostics.into_iter().map(|diagnostic| {
                let inside = diagnostic.span.as_ref().is_some_and(|place| place.file.text() == sql);
                if inside || diagnostic.span.is_none() { diagnostic.at(span.clone()) } else { diagnostic }
            });
            Failure::Wrong(moved.collect())
        };
        let source = SourceFile::new("<generated>", sql);
        let Some(statement) = parse(&source).map_err(relocate)?.pop() else {
            return Err(Failure::Failed("nothing was generated".to_string()));
        };
        let bound = self.bind_with(&statement, extra);
        bound.map_err(|failure| match failure {
            Failure::Wrong(diagnostics) => relocate(diagnostics),
            failed => failed,
        })
    }
}
