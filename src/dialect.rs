//! Snowflake SQL for the embedded engine: text → tokens → AST → DataFusion plan. It reads no file and runs no query.

use std::sync::Arc;

use datafusion::common::metadata::FieldMetadata;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::SessionState;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{LogicalPlan, ScalarUDF, TableSource};
use datafusion::prelude::SessionConfig;

use crate::diagnostic::Diagnostic;
use crate::name::{Name, TableName};
use session::SessionParameters;
use types::SqlType;

/// The types of Snowflake and how their values rest in Arrow.
pub mod types;

/// Values as SQL literals.
pub mod literal;

/// Names of calls inside plans.
mod digest;

/// What a session remembers and functions ask for: time zone, formats, week rules, the pinned clock.
pub mod session;

/// The values of VARIANT, OBJECT and ARRAY.
pub mod variant;

/// Date and time formats: models and AUTO detection, reading and writing.
pub mod format;

/// Exact arithmetic.
pub mod arithmetic;

/// Casts.
pub mod cast;

/// Texts → values of declared types.
pub mod texts;

/// The type in which two types meet.
pub mod coerce;

/// Snowflake's functions by family, and the honest table of them.
pub mod functions;

/// ARRAY, MAP and OBJECT whose parts have types.
mod structured;

/// Collations.
mod collation;

/// What the engine makes of Snowflake's statements and clauses, each with an example.
pub mod constructs;

/// Type names of the SQL text → [`SqlType`].
mod declared;

/// Rules between binding and optimising, and the planning of operators by type.
mod analyze;

/// ASOF JOIN.
pub mod asof;

/// Plans with nodes of the dialect's own, made physical.
mod physical;

/// Joins that let others work.
mod yielding;

/// Text → folded tokens with places.
mod lex;

/// What in a text an error of its running can have come of.
pub mod suspect;

/// The grammar of the SQL text.
mod grammar;

/// Tokens → AST.
mod parse;

/// Statements of a session: their shape.
pub mod command;

/// AST → bound plan.
mod plan;

/// A statement written back with resolved names and the pinned clock.
pub mod emit;

pub use declared::{declared_type, is_untyped, parse_type};
pub use lex::ALL_BY_NAME;
pub use parse::{Statement, parse, table_name};

/// The tables that a statement can read: their schemas only.
pub trait Tables: Send + Sync {
    /// The table of this name; parts that the author left out are absent.
    fn table(&self, name: &TableName) -> Option<Arc<dyn TableSource>>;

    /// All of them, to suggest the nearest name.
    fn names(&self) -> Vec<TableName>;

    /// The value of a session variable.
    fn variable(&self, _name: &Name) -> Option<ScalarValue> {
        None
    }

    /// The values of a one-column query, for PIVOT over whatever values there are; none where there is no data at hand.
    fn values(&self, _plan: &LogicalPlan) -> Option<Result<Vec<ScalarValue>, DataFusionError>> {
        None
    }
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its header.
    pub name: Name,
    /// Its Snowflake type.
    pub sql_type: SqlType,
    /// Whether it can be NULL.
    pub nullable: bool,
}

/// Functions, planners and rules of one session, built once.
pub struct Dialect {
    state: SessionState,
    registry: functions::Registry,
}

impl Dialect {
    /// The dialect under these session parameters.
    pub fn new(parameters: SessionParameters) -> Self {
        let config = config(parameters);
        let registry = functions::Registry::new(functions::all(), config.options());
        Self { state: state(config, &registry), registry }
    }

    /// The dialect with one more function, which the session that owns it keeps the state of.
    pub fn with_function(parameters: SessionParameters, function: Arc<ScalarUDF>) -> Self {
        let mut dialect = Self::new(parameters);
        // A name that is registered anew replaces the former one, so nothing can fail here.
        let _ = FunctionRegistry::register_udf(&mut dialect.state, function);
        dialect
    }

    /// The DataFusion session that bound plans are made for; executing sessions start from it.
    pub fn state(&self) -> &SessionState {
        &self.state
    }

    /// The analysed, type-checked, unoptimised plan of a query; every error found, each with its place.
    pub fn bind(&self, statement: &Statement, tables: &dyn Tables) -> Result<LogicalPlan, Vec<Diagnostic>> {
        plan::bind(&self.state, &self.registry, statement, tables)
    }

    /// The columns that a plan gives.
    pub fn columns(plan: &LogicalPlan) -> Vec<Column> {
        let fields = plan.schema().fields().iter();
        let column = |field: &Arc<datafusion::arrow::datatypes::Field>| Column {
            name: Name::quoted(field.metadata().get(HEADER).unwrap_or(field.name()).clone()),
            sql_type: SqlType::of(field.data_type()).unwrap_or(SqlType::Variant),
            nullable: field.is_nullable(),
        };
        fields.map(column).collect()
    }
}

/// Key of a field's metadata under which its header stands where the name of its column had to differ.
const HEADER: &str = "snowflake.header";

fn header_metadata(header: &Name) -> FieldMetadata {
    FieldMetadata::from(std::collections::BTreeMap::from([(HEADER.to_string(), header.as_str().to_string())]))
}

fn config(parameters: SessionParameters) -> SessionConfig {
    let mut config = SessionConfig::new().with_option_extension(parameters).with_information_schema(false);
    let options = config.options_mut();
    options.sql_parser.enable_ident_normalization = false;
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.collect_spans = true;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.default_null_ordering = "nulls_max".to_string();
    options.execution.parquet.schema_force_view_types = false;
    // Fields of one column may differ in their metadata, which is what this check compares besides types.
    options.execution.skip_physical_aggregate_schema_check = true;
    config
}

fn state(config: SessionConfig, registry: &functions::Registry) -> SessionState {
    let mut builder = SessionStateBuilder::new().with_config(config).with_default_features();
    builder = registry.register(builder);
    for planner in analyze::planners() {
        builder.expr_planners().get_or_insert_default().insert(0, planner);
    }
    let mut state = builder
        .with_analyzer_rules(analyze::rules())
        .with_optimizer_rule(Arc::new(analyze::Guard))
        .with_optimizer_rule(Arc::new(asof::FilterFirst))
        .with_optimizer_rule(Arc::new(analyze::ComputedItems))
        .with_query_planner(physical::query_planner())
        .with_physical_optimizer_rule(Arc::new(functions::InOrder))
        .with_physical_optimizer_rule(Arc::new(yielding::Yielding))
        .build();
    // Functions find the session's parameters in what this hands on; without it they would run under the defaults.
    state.mark_start_execution();
    state
}

#[cfg(test)]
mod tests;
