//! Binding of tables that grow: what their own rows are, the queries over `new` and `old`, and one query per batch of
//! intervals.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, NaiveDateTime};
use datafusion::arrow::datatypes::SchemaRef;

use super::super::Plan;
use super::super::incremental::{Batch, Guard, PlannedIncremental, effect, outside, variable};
use super::super::interval::Interval;
use super::super::resolve::Text;
use super::super::step::{InputTable, Origin, PlannedStep, Query, Work};
use super::{Batches, Binder, Bound, Named, led_back, schema_of};
use crate::diagnostic::Diagnostic;
use crate::dialect::session::SessionParameters;
use crate::dialect::types::SqlType;
use crate::dialect::{Column, parse};
use crate::job::Step;
use crate::job::grain::Grain;
use crate::job::incremental::{Changes, Incremental, Merge, Snapshot, Strategy};
use crate::name::{Name, TableName, nearest};
use crate::opaque::Opaque;
use crate::template::Templates;
use crate::text::{Span, Spanned};

/// The rows of a table that grows, and those that its query gives, in the queries over both.
pub(crate) const OLD: &str = "old";
pub(crate) const NEW: &str = "new";

/// The origin of one of them.
pub(crate) fn side(name: &str) -> Origin {
    Origin::Table(TableName::bare(Name::unquoted(name)))
}

impl Binder<'_> {
    /// The tables that a step reads, its own rows among them: those have the columns that it declares.
    pub(super) fn read_by(&mut self, planned: &PlannedStep, step: &Step) -> Option<Named> {
        let Some(own) = planned.inputs.iter().find(|input| matches!(input.origin, Origin::Own(_))) else {
            return self.named(&planned.inputs);
        };
        let column = |declared: &crate::job::ColumnContract| {
            let sql_type = declared.column_type.as_ref()?.value.sql_type;
            Some(Column { name: declared.name.value.clone(), sql_type, nullable: true })
        };
        let columns: Option<Vec<Column>> = step.columns.iter().map(column).collect();
        let Some(columns) = columns.filter(|columns| !columns.is_empty()) else {
            let message =
                format!("`{}` reads its own rows, so its columns have to be declared", planned.id.step.lower());
            let problem = Diagnostic::error("missing-key", message).at(own.name.span.clone());
            self.problems.push(problem.hint("add `columns:` with every column and its type"));
            return None;
        };
        self.own.insert(planned.id.clone(), schema_of(&columns, &self.zone));
        self.own_or_named(planned)
    }

    /// A step that reads its own rows gives the columns that it declares, in their types.
    pub(super) fn own_columns(&mut self, planned: &PlannedStep, step: &Step, columns: &[Column]) {
        if !planned.inputs.iter().any(|input| matches!(input.origin, Origin::Own(_))) || planned.incremental.is_none() {
            return;
        }
        for column in columns {
            let declared = step.columns.iter().find(|declared| declared.name.value == column.name);
            let declared_type = declared.and_then(|declared| declared.column_type.as_ref());
            if declared_type.is_some_and(|declared| declared.value.sql_type == column.sql_type) {
                continue;
            }
            let name = column.name.lower();
            let message = match declared_type {
                Some(_) => {
                    format!("column `{name}` is {}, and the step reads its own rows as another type", column.sql_type)
                }
                None => format!("column `{name}` is not declared, and the step reads its own rows"),
            };
            let place = declared_type.map_or_else(|| step.name.span.clone(), |declared| declared.span.clone());
            let hint = format!("declare it as `{name}: {}`", column.sql_type.to_string().to_lowercase());
            self.problems.push(Diagnostic::error("contract-type", message).at(place).hint(hint));
        }
    }

    /// The queries of a table that grows; `schemas` are those of the new rows and of the table.
    pub(super) fn growth(
        &mut self,
        how: &Incremental,
        queried: &[Column],
        schemas: [&SchemaRef; 2],
        step: &Step,
    ) -> Option<PlannedIncremental> {
        if !self.known(how, queried, &step.name.value) {
            return None;
        }
        let tables = [NEW, OLD].into_iter().zip(schemas).map(|(name, schema)| {
            let (origin, table) = (side(name), TableName::bare(Name::unquoted(name)));
            (table, Arc::new(InputTable { origin, schema: schema.clone() }))
        });
        let tables = Named(tables.collect::<HashMap<_, _>>());
        let effect = effect(&how.strategy, queried, self.now());
        let conditions: Vec<&Spanned<String>> = match &how.strategy {
            Strategy::Merge(Merge { update, update_when, delete_when, .. }) => {
                // As they stand in the query: what deletes first, and again in its condition.
                let joined = update.is_some() || update_when.is_some();
                let again = delete_when.iter().filter(|_| joined);
                delete_when.iter().chain(again).chain(update_when).collect()
            }
            _ => Vec::new(),
        };
        let query = match &effect.sql {
            Some(sql) => Some(self.over_both(sql, &how.span, &conditions, &tables)?),
            None => None,
        };
        let mut guards = Vec::new();
        for (sql, message) in effect.guards {
            guards.push(Guard { query: self.over_both(&sql, &how.span, &[], &tables)?, message });
        }
        Some(PlannedIncremental { how: how.clone(), effect: query, guards })
    }

    fn now(&self) -> NaiveDateTime {
        let parameters = SessionParameters::of(self.dialect.state().config_options());
        let zone: chrono_tz::Tz = self.zone.parse().unwrap_or(chrono_tz::UTC);
        let nanos = i64::try_from(parameters.now).unwrap_or(i64::MAX);
        DateTime::from_timestamp_nanos(nanos).with_timezone(&zone).naive_local()
    }

    fn over_both(&mut self, sql: &str, place: &Span, conditions: &[&Spanned<String>], tables: &Named) -> Option<Query> {
        let derived = led_back(sql, place, conditions);
        let statement = match parse(derived.source()) {
            Ok(mut statements) if statements.len() == 1 => statements.pop()?,
            Ok(_) => {
                let message = "a condition is one expression";
                self.problems.push(Diagnostic::error("several-statements", message).at(place.clone()));
                return None;
            }
            Err(problems) => {
                let origin = |span: &Span| derived.origin(span);
                self.problems.extend(problems.into_iter().map(|problem| super::moved(problem, &origin)));
                return None;
            }
        };
        let plan = self.statement(&statement, tables, &|span| derived.origin(span))?;
        let plan = self.at_rest(plan, place)?;
        Some(Query { sql: sql.to_owned(), inputs: Vec::new(), plan: Opaque::new(plan) })
    }

    /// Whether the columns that the block names are there and can serve.
    fn known(&mut self, how: &Incremental, columns: &[Column], step: &Name) -> bool {
        let named: Vec<&Spanned<Name>> = match &how.strategy {
            Strategy::Append => Vec::new(),
            Strategy::Merge(Merge { key, update, .. }) => key.iter().chain(update.iter().flatten()).collect(),
            Strategy::DeleteInsert { key } => key.iter().collect(),
            Strategy::InsertOverwrite { partition_by } => partition_by.iter().collect(),
            Strategy::Interval(intervals) => vec![&intervals.time],
            Strategy::Snapshot(Snapshot { key, changes, .. }) => {
                let changes: Vec<&Spanned<Name>> = match changes {
                    Changes::UpdatedAt(column) => vec![column],
                    Changes::Check(columns) => columns.iter().flatten().collect(),
                };
                key.iter().chain(changes).collect()
            }
        };
        let before = self.problems.len();
        for name in named {
            let Some(column) = columns.iter().find(|column| column.name == name.value) else {
                let near = nearest(name.value.as_str(), columns.iter().map(|column| column.name.as_str()));
                let message = format!("step `{}` gives no column `{}`", step.lower(), name.value.lower());
                let problem = Diagnostic::error("unknown-column", message).at(name.span.clone());
                self.problems.push(problem.did_you_mean(near.map(str::to_lowercase)));
                continue;
            };
            if let Some(message) = unfit(how, column) {
                self.problems.push(Diagnostic::error("column-type", message).at(name.span.clone()));
            }
        }
        self.problems.len() == before
    }

    /// The queries of a run for a step that is built by intervals, or that feeds one.
    pub(super) fn batches(
        &mut self,
        plan: &Plan,
        at: usize,
        text: &Text,
        bound: &Bound,
        batches: &Batches,
        templates: &Templates,
    ) -> Vec<Batch> {
        let step = &plan.steps[at];
        let root = match &step.interval_of {
            Some(id) => plan.position(id),
            None => Some(at),
        };
        let grows = root.and_then(|root| plan.steps[root].incremental.clone());
        let (Some(intervals), Some(wanted)) =
            (grows.as_ref().and_then(|grows| grows.intervals()), root.and_then(|root| batches.get(&root)))
        else {
            return Vec::new();
        };
        let Work::Query(same) = &bound.work else { return Vec::new() };
        let mut queries = Vec::new();
        for interval in wanted {
            let query = match &step.fixed {
                Some(_) => self.query_of(step, text, *interval, intervals.grain, templates),
                None => Some(same.clone()),
            };
            let Some(query) = query else { return Vec::new() };
            let guard = match step.interval_of {
                Some(_) => None,
                None => {
                    let time = bound.columns.iter().find(|column| column.name == intervals.time.value);
                    let sql_type = time.map_or(SqlType::TimestampNtz, |column| column.sql_type);
                    let (sql, message) = outside(intervals, *interval, sql_type);
                    let table = InputTable { origin: side(NEW), schema: bound.schema.clone() };
                    let new = (TableName::bare(Name::unquoted(NEW)), Arc::new(table));
                    let tables = Named(HashMap::from([new]));
                    match self.over_both(&sql, &intervals.time.span, &[], &tables) {
                        Some(query) => Some(Guard { message, query }),
                        None => return Vec::new(),
                    }
                }
            };
            queries.push(Batch { interval: *interval, query, guard });
        }
        queries
    }

    /// The step's query for one interval.
    fn query_of(
        &mut self,
        step: &PlannedStep,
        text: &Text,
        interval: Interval,
        grain: Grain,
        templates: &Templates,
    ) -> Option<Query> {
        let mut variables = text.variables.clone();
        variables.insert("interval", variable(interval, grain));
        let rendered = match templates.render(&text.template, &variables) {
            Ok(rendered) => rendered,
            Err(problems) => {
                self.problems.extend(problems);
                return None;
            }
        };
        let statement = match parse(rendered.source()) {
            Ok(mut statements) => statements.pop()?,
            Err(problems) => {
                let origin = |span: &Span| rendered.origin(span);
                self.problems.extend(problems.into_iter().map(|problem| super::moved(problem, &origin)));
                return None;
            }
        };
        let names = |statement: &crate::dialect::Statement| {
            statement.tables().into_iter().map(|table| table.value).collect::<Vec<_>>()
        };
        if names(&statement) != names(&text.statement) {
            let message =
                format!("the SQL of `{}` reads other tables for {interval} than for other intervals", step.id);
            self.problems.push(Diagnostic::error("interval", message).at(rendered.origin(statement.span())));
            return None;
        }
        let tables = self.own_or_named(step)?;
        let plan = self.statement(&statement, &tables, &|span| rendered.origin(span))?;
        let plan = self.at_rest(plan, &rendered.origin(statement.span()))?;
        Some(Query { sql: rendered.text().to_owned(), inputs: step.inputs.clone(), plan: Opaque::new(plan) })
    }

    /// The tables that a bound step reads, its own rows among them.
    fn own_or_named(&mut self, step: &PlannedStep) -> Option<Named> {
        let is_own = |origin: &Origin| matches!(origin, Origin::Own(_));
        let others: Vec<_> = step.inputs.iter().filter(|input| !is_own(&input.origin)).cloned().collect();
        let mut tables = self.named(&others)?;
        for input in step.inputs.iter().filter(|input| is_own(&input.origin)) {
            let schema = self.own.get(&step.id)?.clone();
            tables.0.insert(input.name.value.clone(), Arc::new(InputTable { origin: input.origin.clone(), schema }));
        }
        Some(tables)
    }
}

/// Why a column cannot serve as the block says.
fn unfit(how: &Incremental, column: &Column) -> Option<String> {
    let name = column.name.lower();
    match (&how.strategy, column.sql_type) {
        (Strategy::Interval(intervals), SqlType::Date) if intervals.grain == Grain::Hour => {
            Some(format!("`{name}` is a DATE, which knows no hours"))
        }
        (Strategy::Interval(_), SqlType::Date | SqlType::TimestampNtz | SqlType::TimestampLtz) => None,
        (Strategy::Interval(_), other) => {
            Some(format!("`{name}` is {other}; the time of an interval is a DATE or a TIMESTAMP without offset"))
        }
        (
            Strategy::Merge(_)
            | Strategy::Snapshot(_)
            | Strategy::DeleteInsert { .. }
            | Strategy::InsertOverwrite { .. },
            SqlType::Variant | SqlType::Object | SqlType::Array | SqlType::TimestampTz | SqlType::Vector(..),
        ) if is_key(how, &column.name) => Some(format!("`{name}` is {}, which cannot be a key", column.sql_type)),
        _ => None,
    }
}

fn is_key(how: &Incremental, name: &Name) -> bool {
    let key = match &how.strategy {
        Strategy::Merge(merge) => &merge.key,
        Strategy::Snapshot(snapshot) => &snapshot.key,
        Strategy::DeleteInsert { key } => key,
        Strategy::InsertOverwrite { partition_by } => partition_by,
        Strategy::Append | Strategy::Interval(_) => return false,
    };
    key.iter().any(|key| key.value == *name)
}
