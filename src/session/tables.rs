//! What statements can read: the catalogue, views bound anew, INFORMATION_SCHEMA, and relations that the session itself puts
//! beside them under reserved names.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::Session as DataFusionSession;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::datasource::{MemTable, TableProvider, TableType, ViewTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableSource};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;

use super::catalog::{INFORMATION_SCHEMA, Relation, Table, View};
use super::outcome::Failure;
use super::substitute::RESULT;
use super::{Rows, Session, information_schema};
use crate::diagnostic::Diagnostic;
use crate::dialect::{Dialect, Statement, Tables};
use crate::name::TableName;

/// Views may read views this deep; more is a circle.
const DEPTH: usize = 32;

/// A relation under a reserved name.
pub(super) type Extra = (&'static str, Arc<dyn TableSource>);

/// The tables of a session as one statement sees them.
struct Visible<'a> {
    session: &'a Session,
    extra: &'a [Extra],
    depth: usize,
    found: Mutex<BTreeMap<TableName, Arc<dyn TableSource>>>,
    problems: Mutex<Vec<Diagnostic>>,
}

impl Session {
    /// The plan of a query, whose tables include these relations.
    pub(super) fn bind_with(&self, statement: &Statement, extra: &[Extra]) -> Result<LogicalPlan, Failure> {
        self.bind_inside(statement, extra, 0).map_err(Failure::Wrong)
    }

    fn bind_inside(
        &self,
        statement: &Statement,
        extra: &[Extra],
        depth: usize,
    ) -> Result<LogicalPlan, Vec<Diagnostic>> {
        let (found, problems) = (Mutex::default(), Mutex::default());
        let visible = Visible { session: self, extra, depth, found, problems };
        let bound = self.dialect.bind(statement, &visible);
        let problems = visible.problems.into_inner().unwrap_or_else(PoisonError::into_inner);
        if problems.is_empty() { bound } else { Err(problems) }
    }

    /// The rows of a table as the engine scans them, TIMESTAMP_LTZ in the session's zone.
    pub(super) fn provider(&self, table: &Table) -> Result<Arc<dyn TableProvider>, Failure> {
        let zone = &self.parameters.timezone;
        let schema = table.schema(zone);
        let batches = table.batches.iter().map(|batch| in_schema(batch, &schema)).collect::<Result<Vec<_>, _>>()?;
        let memory = (!batches.is_empty() || table.base.is_none())
            .then(|| MemTable::try_new(schema.clone(), vec![batches]).map(|table| Arc::new(table) as Arc<_>))
            .transpose()?;
        let stored = table.base.as_ref().map(|base| base.provider(zone)).transpose()?;
        let mut parts: Vec<Arc<dyn TableProvider>> = stored.into_iter().chain(memory).collect();
        if parts.len() == 1 {
            return Ok(parts.swap_remove(0));
        }
        Ok(Arc::new(Joined { schema, parts }))
    }

    fn view_source(&self, view: &View, depth: usize) -> Result<Arc<dyn TableSource>, Vec<Diagnostic>> {
        if depth >= DEPTH {
            let message = "views read each other in a circle".to_string();
            return Err(vec![Diagnostic::error("view-circle", message).at(view.query.span().clone())]);
        }
        let plan = self.bind_inside(&view.query, &[], depth + 1)?;
        let headers = Dialect::columns(&plan);
        let own = view.columns.iter().map(|(name, _)| name.as_str());
        let names: Vec<&str> = match view.columns.is_empty() {
            true => headers.iter().map(|column| column.name.as_str()).collect(),
            false => own.collect(),
        };
        let wrong = |error: DataFusionError| vec![Diagnostic::error("sql-plan", error.strip_backtrace())];
        let plan = renamed(plan, &names).map_err(wrong)?;
        Ok(provider_as_source(Arc::new(ViewTable::new(plan, None))))
    }
}

impl Visible<'_> {
    fn find(&self, name: &TableName) -> Result<Option<Arc<dyn TableSource>>, Vec<Diagnostic>> {
        let bare = name.schema.is_none();
        if let Some((_, source)) = self.extra.iter().find(|(own, _)| bare && name.table.as_str() == *own) {
            return Ok(Some(source.clone()));
        }
        let catalog = &self.session.catalog;
        let place = catalog.place(name);
        let last = self.session.last.as_ref().filter(|_| bare && name.table.as_str() == RESULT);
        let failed = |error: Failure| match error {
            Failure::Wrong(diagnostics) => diagnostics,
            Failure::Failed(message) => vec![Diagnostic::error("unreadable-table", message)],
        };
        if let Some(rows) = last {
            return rows_source(rows).map(Some).map_err(failed);
        }
        if place.schema.as_str() == INFORMATION_SCHEMA {
            let rows = information_schema::table(self.session, &place).map_err(failed)?;
            return rows.map(|rows| rows_source(&rows).map_err(failed)).transpose();
        }
        match catalog.relation(&place) {
            None => Ok(None),
            Some(Relation::Table(table)) => Ok(Some(provider_as_source(self.session.provider(table).map_err(failed)?))),
            Some(Relation::Source(read)) => {
                let table = read.source.clone().table(read.name.clone(), &self.session.parameters.timezone);
                Ok(Some(provider_as_source(table)))
            }
            Some(Relation::View(view)) => self.session.view_source(view, self.depth).map(Some),
        }
    }
}

impl Tables for Visible<'_> {
    fn table(&self, name: &TableName) -> Option<Arc<dyn TableSource>> {
        if let Some(source) = self.found.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Some(source.clone());
        }
        match self.find(name) {
            Ok(source) => {
                let source = source?;
                self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), source.clone());
                Some(source)
            }
            Err(problems) => {
                self.problems.lock().unwrap_or_else(PoisonError::into_inner).extend(problems);
                None
            }
        }
    }

    fn values(&self, plan: &LogicalPlan) -> Option<Result<Vec<ScalarValue>, DataFusionError>> {
        Some(self.session.values_now(plan))
    }

    fn names(&self) -> Vec<TableName> {
        let catalog = &self.session.catalog;
        let here = |place: &super::catalog::Place| place.database == catalog.database && place.schema == catalog.schema;
        let names =
            catalog.all().map(|(place, _)| if here(&place) { TableName::bare(place.name) } else { place.stored() });
        names.collect()
    }
}

/// Rows under their headers, as a relation.
pub(super) fn rows_source(rows: &Rows) -> Result<Arc<dyn TableSource>, Failure> {
    let held = rows.batches.first().map(RecordBatch::schema);
    let fields = rows.columns.iter().enumerate().map(|(index, column)| {
        let held = held.as_ref().map(|schema| schema.field(index).data_type().clone());
        Field::new(column.name.as_str(), held.unwrap_or_else(|| column.sql_type.arrow("UTC")), true)
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let batches = rows.batches.iter().map(|batch| in_schema(batch, &schema)).collect::<Result<Vec<_>, _>>()?;
    Ok(provider_as_source(Arc::new(MemTable::try_new(schema, vec![batches])?)))
}

/// A plan whose columns have these names.
pub(super) fn renamed(plan: LogicalPlan, names: &[&str]) -> Result<LogicalPlan, DataFusionError> {
    let columns: Vec<Expr> = plan.schema().iter().map(|column| Expr::Column(column.into())).collect();
    let items = columns.into_iter().zip(names).map(|(column, name)| column.alias(*name));
    LogicalPlanBuilder::new(plan).project(items.collect::<Vec<_>>())?.build()
}

/// A plan as a relation with the columns C0, C1….
pub(super) fn numbered(plan: LogicalPlan) -> Result<Arc<dyn TableSource>, Failure> {
    let names: Vec<String> = (0..plan.schema().fields().len()).map(|index| format!("C{index}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Ok(provider_as_source(Arc::new(ViewTable::new(renamed(plan, &names)?, None))))
}

/// The batch in a schema that differs in time zones only.
pub(super) fn in_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, DataFusionError> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let columns = batch.columns().iter().zip(schema.fields());
    let arrays = columns.map(|(array, field)| cast(array, field.data_type())).collect::<Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(schema.clone(), arrays)?)
}

/// Rows in the warehouse and rows in memory, one after the other.
#[derive(Debug)]
struct Joined {
    schema: SchemaRef,
    parts: Vec<Arc<dyn TableProvider>>,
}

#[async_trait]
impl TableProvider for Joined {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn DataFusionSession,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let mut plans = Vec::new();
        for part in &self.parts {
            plans.push(part.scan(state, projection, filters, limit).await?);
        }
        UnionExec::try_new(plans)
    }
}
