//! AST → bound DataFusion plan.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, TableReference};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner};
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF};
use datafusion::sql::planner::SqlToRel;

use super::{Statement, Tables};
use crate::diagnostic::Diagnostic;
use crate::name::{Name, TableName, nearest};

/// Binds a query against the schemas of its tables.
pub(super) fn bind(
    state: &SessionState,
    statement: &Statement,
    tables: &dyn Tables,
) -> Result<LogicalPlan, Vec<Diagnostic>> {
    let context = Context { state, tables };
    let unknown = unknown_tables(statement, tables);
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let planned = SqlToRel::new(&context).sql_statement_to_plan(statement.ast().clone());
    let analysed = planned.and_then(|plan| state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {}));
    analysed.map_err(|error| vec![diagnostic(&error, statement)])
}

fn unknown_tables(statement: &Statement, tables: &dyn Tables) -> Vec<Diagnostic> {
    let missing = statement.tables().into_iter().filter(|name| tables.table(&name.value).is_none());
    missing
        .map(|name| {
            let names: Vec<String> = tables.names().iter().map(TableName::lower).collect();
            Diagnostic::error("unknown-table", format!("unknown table `{}`", name.value.lower()))
                .at(name.span)
                .did_you_mean(nearest(&name.value.lower(), &names))
        })
        .collect()
}

fn diagnostic(error: &DataFusionError, statement: &Statement) -> Diagnostic {
    let message = error.strip_backtrace();
    let message = message.trim_start_matches("Error during planning: ").to_string();
    Diagnostic::error("sql-plan", message).at(statement.span().clone())
}

struct Context<'a> {
    state: &'a SessionState,
    tables: &'a dyn Tables,
}

fn table_name(name: &TableReference) -> TableName {
    TableName {
        database: name.catalog().map(Name::quoted),
        schema: name.schema().map(Name::quoted),
        table: Name::quoted(name.table()),
    }
}

impl ContextProvider for Context<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>, DataFusionError> {
        let table = self.tables.table(&table_name(&name));
        table.ok_or_else(|| DataFusionError::Plan(format!("unknown table `{name}`")))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>, DataFusionError> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        self.state.relation_planners()
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.state.scalar_functions().get(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}
