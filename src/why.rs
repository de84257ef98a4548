//! One row of a step traced back to the rows it was made from, through every step to the sources. The job's own steps are
//! computed, so the answer is what the job does; where a row cannot be followed exactly, the trace says so.
//!
//! From the row, the columns that are a table's own unchanged (keys, group keys, join keys) say which of the table's rows it
//! came of; join conditions carry their values on to tables that the row shows nothing of; conditions on a table alone leave
//! out the rows that did not count. A transform is followed by the columns that it hands through, and explained by its own
//! components.

/// What a query reads.
mod reads;

/// Conditions as Snowflake SQL.
mod condition;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{Column as ColumnName, ScalarValue};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TableSource, lit};

use crate::backend::{Backend, BackendError};
use crate::diagnostic::Diagnostic;
use crate::dialect::types::SqlType;
use crate::dialect::{Column, Dialect};
use crate::job::{Job, Step, StepKind};
use crate::name::{Name, TableName, nearest};
use crate::opaque::Opaque;
use crate::plan::{Input, InputTable, Origin, Plan, PlannedStep, PlannedTransform, Query, StepId, Work, lineage};
use crate::run::aside::Aside;
use crate::text::Spanned;
use crate::yaml::{Entry, Node, Value};
use reads::{Place, Reads, reads};

/// Rows of one table that a trace follows at most.
const MOST_ROWS: usize = 2000;
/// Values of one column by which rows of another table are looked for at most.
const MOST_VALUES: usize = 1000;
/// Steps above each other that a trace follows at most.
const DEEPEST: usize = 64;
/// What a table that no step of the job makes is called.
const SOURCE: &str = "source";
/// The key that makes a transform give its components.
const EXPLAIN: &str = "explain";
/// The transforms that have components to give.
const EXPLAINED: [&str; 4] = ["rank", "affinity", "similarity", "recommend"];

/// A column that must have one of these values.
pub type Wanted = (String, Vec<ScalarValue>);

/// The rows of a step or table that a row came of, and what those came of.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The step `job.step`, or the table, in lower case.
    pub name: String,
    /// `query`, the kind of transform, or `source`.
    pub kind: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// The columns that matter to what it was followed from; all where there is none.
    pub used: Vec<Name>,
    /// Its rows.
    pub rows: Vec<RecordBatch>,
    /// By which columns they were found.
    pub by: Vec<String>,
    /// What is known beyond the rows: components of a transform.
    pub components: Option<(Vec<Column>, Vec<RecordBatch>)>,
    /// What cannot be followed exactly.
    pub notes: Vec<String>,
    /// What it reads.
    pub inputs: Vec<Trace>,
    /// Whether it is shown elsewhere in the trace already.
    pub shown_above: bool,
}

impl Trace {
    /// How many rows there are.
    pub fn count(&self) -> usize {
        self.rows.iter().map(RecordBatch::num_rows).sum()
    }

    /// Whether there may be more rows than were followed.
    pub fn is_cut(&self) -> bool {
        self.count() >= MOST_ROWS
    }
}

/// The jobs with, beside each transform of one of them, the same transform giving its components.
pub fn explaining(jobs: &[Job], name: &Name) -> Vec<Job> {
    let mut jobs = jobs.to_vec();
    for job in jobs.iter_mut().filter(|job| job.name.value == *name) {
        let explained: Vec<Step> = job.steps.values().filter_map(explained).collect();
        for step in explained {
            job.steps.insert(step.name.value.clone(), step);
        }
    }
    jobs
}

fn explained_name(step: &Name) -> Name {
    Name::quoted(format!("{} explained", step.lower()))
}

fn explained(step: &Step) -> Option<Step> {
    let StepKind::Transform { name, parameters } = &step.kind else { return None };
    let mut parameters = parameters.clone();
    let Value::Map(mapping) = &mut parameters.value else { return None };
    if !step.included || !EXPLAINED.contains(&name.value.as_str()) || mapping.get(EXPLAIN).is_some() {
        return None;
    }
    let key = Spanned::new(EXPLAIN.to_owned(), parameters.span.clone());
    let value = Node { value: Value::Boolean(true), span: parameters.span.clone() };
    mapping.entries.push(Entry { key, value });
    let mut explained = step.clone();
    explained.name.value = explained_name(&step.name.value);
    explained.kind = StepKind::Transform { name: name.clone(), parameters };
    explained.publish = None;
    explained.columns.clear();
    explained.tests.clear();
    Some(explained)
}

/// What `--key` asks of a step's columns: each of the form `column=value`.
pub fn wanted(step: &PlannedStep, keys: &[String]) -> Result<Vec<Wanted>, Vec<Diagnostic>> {
    let mut wanted = Vec::new();
    let mut problems = Vec::new();
    for key in keys {
        let Some((name, value)) = key.split_once('=') else {
            let problem = Diagnostic::error("wrong-value", format!("`{key}` is no key"));
            problems.push(problem.hint("write it like `program_id=123`"));
            continue;
        };
        let name = Name::unquoted(name.trim());
        let Some(field) = step.schema.fields().iter().find(|field| *field.name() == name.as_str()) else {
            let names = step.columns.iter().map(|column| column.name.as_str());
            let near = nearest(name.as_str(), names).map(str::to_lowercase);
            let message = format!("step `{}` has no column `{}`", step.id, name.lower());
            problems.push(Diagnostic::error("unknown-column", message).did_you_mean(near));
            continue;
        };
        match ScalarValue::from(value.trim()).cast_to(field.data_type()) {
            Ok(value) => wanted.push((field.name().clone(), vec![value])),
            Err(_) => {
                let message = format!("`{}` cannot be a value of the column `{}`", value.trim(), name.lower());
                problems.push(Diagnostic::error("wrong-value", message));
            }
        }
    }
    if problems.is_empty() { Ok(wanted) } else { Err(problems) }
}

/// Traces rows of the steps of one job.
pub struct Tracer<'a> {
    plan: &'a Plan,
    job: Name,
    aside: Aside<'a>,
    seen: HashMap<String, usize>,
}

impl<'a> Tracer<'a> {
    /// Follows rows through the steps of a job; other jobs' tables are where it ends, like sources.
    pub fn new(plan: &'a Plan, job: &Name, backend: &'a dyn Backend) -> Self {
        let own = job.clone();
        // A table that grows is what its runs have made of it, and not what one more would give.
        let grows = move |id: &StepId| plan.position(id).is_some_and(|at| plan.steps[at].incremental.is_some());
        let is_there =
            move |id: &StepId, published: Option<&TableName>| published.is_some() && (id.job != own || grows(id));
        Self { plan, job: job.clone(), aside: Aside::new(plan, backend, Box::new(is_there)), seen: HashMap::new() }
    }

    /// The rows of a step with these values, and all that they came of.
    pub async fn trace(&mut self, step: usize, wanted: Vec<Wanted>) -> Result<Trace, BackendError> {
        let planned = &self.plan.steps[step];
        let origin = Origin::Step(planned.id.clone(), planned.publish.clone());
        let trace = self.follow(origin, planned.schema.clone(), wanted, Vec::new(), Vec::new(), 0).await;
        self.aside.forget().await;
        trace
    }

    /// The rows of a step or table that meet these conditions, and what they came of.
    async fn follow(
        &mut self,
        origin: Origin,
        schema: SchemaRef,
        wanted: Vec<Wanted>,
        conditions: Vec<Expr>,
        used: Vec<Name>,
        depth: usize,
    ) -> Result<Trace, BackendError> {
        let plan = self.plan;
        let step = match &origin {
            Origin::Step(id, _) if id.job == self.job => plan.position(id).map(|at| &plan.steps[at]),
            _ => None,
        };
        let name = match &origin {
            Origin::Step(id, None) => id.to_string(),
            Origin::Step(id, Some(table)) if id.job != self.job => table.lower(),
            Origin::Step(id, Some(_)) => id.to_string(),
            Origin::Table(table) | Origin::Own(table) => table.lower(),
        };
        let rows = self.rows(&origin, &schema, &wanted, &conditions).await?;
        let mut trace = Trace {
            kind: kind(step),
            columns: Dialect::columns(&scan(&origin, &schema)?),
            used,
            rows,
            by: wanted.iter().map(|(column, _)| column.to_lowercase()).collect(),
            components: None,
            notes: Vec::new(),
            inputs: Vec::new(),
            shown_above: false,
            name,
        };
        let mark = format!("{} {wanted:?}", trace.name);
        let times = self.seen.entry(mark).or_default();
        *times += 1;
        trace.shown_above = *times > 1;
        let Some(step) = step.filter(|_| !trace.shown_above && trace.count() > 0) else { return Ok(trace) };
        if depth >= DEEPEST {
            trace.notes.push("what it reads is not followed any deeper".to_owned());
            return Ok(trace);
        }
        if step.incremental.is_some() {
            let note = "these rows are of earlier runs: what they came of is looked for in the inputs as they are now";
            trace.notes.push(note.to_owned());
        }
        match &step.work {
            Work::Query(query) => Box::pin(self.through_query(step, query, &mut trace, depth)).await?,
            Work::Transform(work) => Box::pin(self.through_transform(step, work, &mut trace, depth)).await?,
            Work::Load(_) => trace.notes.push("the files that it loads are not followed".to_owned()),
            Work::Broken => {}
        }
        Ok(trace)
    }

    async fn rows(
        &mut self,
        origin: &Origin,
        schema: &SchemaRef,
        wanted: &[Wanted],
        conditions: &[Expr],
    ) -> Result<Vec<RecordBatch>, BackendError> {
        let mut all: Vec<Expr> = conditions.to_vec();
        all.extend(wanted.iter().filter_map(|(column, values)| one_of(schema, column, values)));
        let sql = condition::select(schema, &all, MOST_ROWS);
        let mut builder = LogicalPlanBuilder::from(scan(origin, schema)?);
        if let Some(condition) = conjunction(all) {
            builder = builder.filter(condition).map_err(unbound)?;
        }
        let plan = builder.limit(0, Some(MOST_ROWS)).and_then(LogicalPlanBuilder::build).map_err(unbound)?;
        let place = crate::text::SourceFile::new("", "").span(0..0);
        let name = TableName::bare(Name::unquoted(condition::ROWS));
        let input = Input { name: Spanned::new(name, place), origin: origin.clone() };
        let query = Query { sql, inputs: vec![input.clone()], plan: Opaque::new(plan) };
        self.aside.narrowed(&query, &[input]).await
    }

    /// Follows the rows of a query into each table that it reads, those first that the rows say most of.
    async fn through_query(
        &mut self,
        step: &PlannedStep,
        query: &Query,
        trace: &mut Trace,
        depth: usize,
    ) -> Result<(), BackendError> {
        let reads = reads(&query.plan);
        trace.notes.extend(reads.notes.iter().cloned());
        let mut known: BTreeMap<Place, Vec<ScalarValue>> = BTreeMap::new();
        for (at, places) in reads.outputs.iter().enumerate() {
            let values = values(&trace.rows, at);
            for place in places {
                learn(&mut known, place, &values);
            }
        }
        self.follow_reads(step, &reads, known, trace, depth).await
    }

    /// Follows what is known of rows into each table that a query reads.
    async fn follow_reads(
        &mut self,
        step: &PlannedStep,
        reads: &Reads,
        mut known: BTreeMap<Place, Vec<ScalarValue>>,
        trace: &mut Trace,
        depth: usize,
    ) -> Result<(), BackendError> {
        let mut found: Vec<Option<Trace>> = vec![None; reads.reads.len()];
        loop {
            spread(reads, &mut known);
            let tied = |at: usize| known.keys().filter(|(read, _)| *read == at).count();
            let next =
                (0..reads.reads.len()).filter(|at| found[*at].is_none() && tied(*at) > 0).max_by_key(|at| tied(*at));
            let Some(at) = next else { break };
            let one = self.follow_read(step, reads, at, &known, depth).await?;
            for (place, column) in tying(reads, at) {
                learn(&mut known, &place, &values_of(&one, &column));
            }
            found[at] = Some(one);
        }
        for (place, values) in narrowed(reads, &found) {
            known.insert(place.clone(), values);
            found[place.0] = Some(self.follow_read(step, reads, place.0, &known, depth).await?);
        }
        for (at, one) in found.into_iter().enumerate() {
            match one {
                Some(one) => trace.inputs.push(one),
                None => trace.notes.push(format!(
                    "`{}` is not followed: no column ties its rows to this one",
                    told(&reads.reads[at].origin)
                )),
            }
        }
        Ok(())
    }

    /// The rows of one table that a query reads, by all that is known of them.
    async fn follow_read(
        &mut self,
        step: &PlannedStep,
        reads: &Reads,
        at: usize,
        known: &BTreeMap<Place, Vec<ScalarValue>>,
        depth: usize,
    ) -> Result<Trace, BackendError> {
        let read = &reads.reads[at];
        let wanted = known.iter().filter(|((read, _), _)| *read == at);
        let wanted = wanted.map(|((_, column), values)| (column.clone(), values.clone())).collect();
        let used = used(step, &read.origin);
        let (origin, schema) = (read.origin.clone(), read.schema.clone());
        self.follow(origin, schema, wanted, read.conditions.clone(), used, depth + 1).await
    }

    /// Follows the rows of a transform into its inputs by the columns that it hands through, and asks for its components.
    async fn through_transform(
        &mut self,
        step: &PlannedStep,
        work: &PlannedTransform,
        trace: &mut Trace,
        depth: usize,
    ) -> Result<(), BackendError> {
        let explained = StepId { job: step.id.job.clone(), step: explained_name(&step.id.step) };
        if let Some(at) = self.plan.position(&explained) {
            let step = &self.plan.steps[at];
            let handed: Vec<Wanted> = handed_through(&trace.columns, &trace.rows, &step.columns);
            let rows = self.rows(&Origin::Step(explained, None), &step.schema, &handed, &[]).await?;
            trace.components = Some((step.columns.clone(), rows));
        }
        for (at, query) in work.queries.iter().enumerate() {
            let reads = reads(&query.plan);
            let mut known: BTreeMap<Place, Vec<ScalarValue>> = BTreeMap::new();
            for (output, origins) in work.lineage.iter().enumerate() {
                let [only] = origins.as_slice() else { continue };
                let is_handed = trace.columns.get(output).is_some_and(|column| {
                    only.input == at && column.name == only.column && column.sql_type != SqlType::Float
                });
                let fields = query.plan.schema().fields();
                let place = fields.iter().position(|field| is_handed && field.name() == only.column.as_str());
                for place in place.and_then(|place| reads.outputs.get(place)).into_iter().flatten() {
                    learn(&mut known, place, &values(&trace.rows, output));
                }
            }
            self.follow_reads(step, &reads, known, trace, depth).await?;
        }
        trace.notes.push(format!("the {} also compares these rows with others, which are not followed", trace.kind));
        Ok(())
    }
}

fn kind(step: Option<&PlannedStep>) -> String {
    match step.map(|step| &step.work) {
        None => SOURCE.to_owned(),
        Some(Work::Transform(work)) => work.transform.kind().to_owned(),
        Some(Work::Load(_)) => "load".to_owned(),
        Some(_) => "query".to_owned(),
    }
}

fn told(origin: &Origin) -> String {
    match origin {
        Origin::Step(id, _) => id.to_string(),
        Origin::Table(table) | Origin::Own(table) => table.lower(),
    }
}

fn scan(origin: &Origin, schema: &SchemaRef) -> Result<datafusion::logical_expr::LogicalPlan, BackendError> {
    let source = Arc::new(InputTable { origin: origin.clone(), schema: schema.clone() });
    let plan = LogicalPlanBuilder::scan("ROWS", source as Arc<dyn TableSource>, None);
    plan.and_then(LogicalPlanBuilder::build).map_err(unbound)
}

fn unbound(error: datafusion::common::DataFusionError) -> BackendError {
    BackendError::author(error.strip_backtrace())
}

/// The condition that a column has one of these values; none where they are no values of its type.
fn one_of(schema: &SchemaRef, column: &str, values: &[ScalarValue]) -> Option<Expr> {
    let field = schema.field_with_name(column).ok()?;
    let list: Vec<Expr> = values.iter().filter_map(|value| value.cast_to(field.data_type()).ok()).map(lit).collect();
    (list.len() == values.len()).then(|| Expr::Column(ColumnName::new_unqualified(column)).in_list(list, false))
}

/// The distinct values of a column of some rows, without NULLs.
fn values(rows: &[RecordBatch], column: usize) -> Vec<ScalarValue> {
    let mut found: Vec<ScalarValue> = Vec::new();
    let mut known = std::collections::HashSet::new();
    for batch in rows {
        let Some(array) = batch.columns().get(column) else { continue };
        for row in 0..batch.num_rows() {
            if let Ok(value) = ScalarValue::try_from_array(array, row)
                && !value.is_null()
                && known.insert(value.clone())
            {
                found.push(value);
            }
        }
    }
    found
}

/// Notes by which values the rows of a read can be found; too many say nothing.
fn learn(known: &mut BTreeMap<Place, Vec<ScalarValue>>, place: &Place, values: &[ScalarValue]) {
    if !values.is_empty() && values.len() <= MOST_VALUES {
        known.entry(place.clone()).or_insert_with(|| values.to_vec());
    }
}

/// Carries values over to columns that are equal, as far as it goes.
fn spread(reads: &Reads, known: &mut BTreeMap<Place, Vec<ScalarValue>>) {
    loop {
        let before = known.len();
        for tie in &reads.equal {
            for (from, to) in [(&tie.left, &tie.right), (&tie.right, &tie.left)] {
                if let Some(values) = known.get(from).cloned() {
                    learn(known, to, &values);
                }
            }
        }
        if known.len() == before {
            return;
        }
    }
}

/// The columns of other reads that are equal to a column of this one, with that column.
fn tying(reads: &Reads, at: usize) -> Vec<(Place, String)> {
    let both = reads.equal.iter().flat_map(|tie| [(&tie.left, &tie.right), (&tie.right, &tie.left)]);
    both.filter(|(here, there)| here.0 == at && there.0 != at)
        .map(|(here, there)| (there.clone(), here.1.clone()))
        .collect()
}

/// Source tables that hold rows which do not count, since the other side of a join lacks their value: the column, and the values
/// that it may have.
fn narrowed(reads: &Reads, found: &[Option<Trace>]) -> Vec<(Place, Vec<ScalarValue>)> {
    let sides = reads
        .equal
        .iter()
        .flat_map(|tie| [(tie.left_needs_right, &tie.left, &tie.right), (tie.right_needs_left, &tie.right, &tie.left)]);
    let mut narrow = Vec::new();
    for (_, here, there) in sides.filter(|(needs, ..)| *needs) {
        let (Some(Some(one)), Some(Some(other))) = (found.get(here.0), found.get(there.0)) else { continue };
        let (mine, theirs) = (values_of(one, &here.1), values_of(other, &there.1));
        let shared: Vec<ScalarValue> = mine.iter().filter(|value| is_among(value, &theirs)).cloned().collect();
        if one.kind == SOURCE
            && !other.is_cut()
            && !shared.is_empty()
            && shared.len() < mine.len()
            && shared.len() <= MOST_VALUES
        {
            narrow.push((here.clone(), shared));
        }
    }
    narrow
}

/// Whether a value is among others, whatever their type.
fn is_among(value: &ScalarValue, others: &[ScalarValue]) -> bool {
    others.iter().any(|other| other == value || other.cast_to(&value.data_type()).is_ok_and(|other| other == *value))
}

/// The distinct values of a column of a trace's rows.
fn values_of(trace: &Trace, column: &str) -> Vec<ScalarValue> {
    let at = trace.columns.iter().position(|known| known.name.as_str() == column);
    at.map(|at| values(&trace.rows, at)).unwrap_or_default()
}

/// The columns of an input that a step uses.
fn used(step: &PlannedStep, origin: &Origin) -> Vec<Name> {
    let lines = lineage::lineage(step);
    let of_input = |from: &&lineage::ColumnRef| match origin {
        Origin::Step(id, _) => from.step.as_ref() == Some(id),
        Origin::Table(table) | Origin::Own(table) => from.step.is_none() && from.table == table.lower(),
    };
    let all = lines.columns.iter().flatten().chain(&lines.rows).filter(of_input);
    let mut names: Vec<Name> = Vec::new();
    for from in all {
        if !names.contains(&from.column) {
            names.push(from.column.clone());
        }
    }
    names
}

/// The values of rows in those columns that another result has as well.
fn handed_through(columns: &[Column], rows: &[RecordBatch], other: &[Column]) -> Vec<Wanted> {
    let both = columns.iter().enumerate().filter(|(_, column)| other.iter().any(|there| there.name == column.name));
    let keys = both.filter(|(_, column)| column.sql_type != SqlType::Float);
    keys.map(|(at, column)| (column.name.as_str().to_owned(), values(rows, at)))
        .filter(|(_, values)| !values.is_empty() && values.len() <= MOST_VALUES)
        .collect()
}
