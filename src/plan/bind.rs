//! Texts → bound plans, in order: each step's SQL against the columns of what it reads, so that every step's columns and
//! types are known before any data is. Contracts are held against them. All problems of all steps come at once; a step
//! whose input failed is not reported again.

/// Tables that grow: their queries and the intervals of a run.
mod growth;

pub(crate) use growth::{NEW, OLD, side};

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableSource, cast};

use super::incremental::{Batch, PlannedIncremental, table_columns};
use super::interval::Interval;
use super::resolve::{Contracts, Resolved, TestText, Text, moved};
use super::step::{Input, InputTable, Origin, PlannedExport, PlannedStep, PlannedTransform, Query, Work};
use super::{Plan, StepId, outside};
use crate::diagnostic::Diagnostic;
use crate::dialect::session::SessionParameters;
use crate::dialect::types::{MAX_PRECISION, SqlType};
use crate::dialect::{Column, Dialect, Statement, Tables};
use crate::job::export::Destination;
use crate::job::{ColumnContract, Step, StepKind};
use crate::name::{Name, TableName, nearest};
use crate::opaque::Opaque;
use crate::text::derived::{Derived, Part};
use crate::text::{SourceFile, Span, Spanned};
use crate::transform::Transform;

/// Binds every step, and gives the plan with the problems found.
pub fn bind(resolved: Resolved<'_>, dialect: &Dialect, sources: &Contracts) -> (Plan, Vec<Diagnostic>) {
    bind_those(resolved, dialect, sources, &Batches::new(), &Known::new(), |_| true, |_| true)
}

/// What a run builds of steps that are built by intervals, by their index.
pub type Batches = BTreeMap<usize, Vec<Interval>>;

/// Steps by their index whose tables are there and are not made anew, with the columns that the tables have.
pub type Known = BTreeMap<usize, Vec<Column>>;

/// Binds these steps, and what they read as far as its columns must be found out.
pub fn bind_steps(
    resolved: Resolved<'_>,
    dialect: &Dialect,
    sources: &Contracts,
    steps: &BTreeSet<usize>,
    batches: &Batches,
    known: &Known,
) -> (Plan, Vec<Diagnostic>) {
    let needed = needed(&resolved.plan, steps, known);
    bind_those(resolved, dialect, sources, batches, known, |at| needed.contains(&at), |at| steps.contains(&at))
}

/// Binds every step to find what is wrong, and lets go of each query once its columns are known.
pub fn check(resolved: Resolved<'_>, dialect: &Dialect, sources: &Contracts) -> (Plan, Vec<Diagnostic>) {
    bind_those(resolved, dialect, sources, &Batches::new(), &Known::new(), |_| true, |_| false)
}

/// The steps with all they read, at any distance up to what is known.
fn needed(plan: &Plan, steps: &BTreeSet<usize>, known: &Known) -> BTreeSet<usize> {
    let mut needed = steps.clone();
    let mut queue: Vec<usize> = steps.iter().copied().collect();
    while let Some(at) = queue.pop() {
        if known.contains_key(&at) {
            continue;
        }
        let before = plan.steps[at].reads().filter_map(|id| plan.position(id));
        queue.extend(before.filter(|before| needed.insert(*before)));
    }
    needed
}

fn bind_those(
    resolved: Resolved<'_>,
    dialect: &Dialect,
    sources: &Contracts,
    batches: &Batches,
    known: &Known,
    is_bound: impl Fn(usize) -> bool,
    is_kept: impl Fn(usize) -> bool,
) -> (Plan, Vec<Diagnostic>) {
    let zone = SessionParameters::of(dialect.state().config_options()).timezone.clone();
    let now = SessionParameters::of(dialect.state().config_options()).now;
    let Resolved { mut plan, mut texts, transforms, tests, steps, templates, .. } = resolved;
    let (schemas, tables, problems, own) = Default::default();
    let mut binder = Binder { dialect, sources, zone, schemas, tables, problems, own };
    for at in plan.step_order().into_iter().filter(|at| is_bound(*at)) {
        if let Some(columns) = known.get(&at) {
            let step = &mut plan.steps[at];
            step.columns.clone_from(columns);
            step.schema = schema_of(columns, &binder.zone);
            binder.schemas.insert(step.id.clone(), step.schema.clone());
            continue;
        }
        let (text, keep) = (texts[at].take(), is_kept(at));
        let bound = match (&text, &transforms[at]) {
            (Some(text), _) => binder.step(&plan, at, text, steps[at]),
            (None, Some(transform)) => binder.transform(&plan, at, transform, steps[at], now),
            (None, None) => binder.load(&plan.steps[at].work, steps[at]),
        };
        let Some(mut bound) = bound else { continue };
        if let (Some(text), true) = (&text, keep) {
            bound.batches = binder.batches(&plan, at, text, &bound, batches, templates);
        }
        let id = plan.steps[at].id.clone();
        binder.schemas.insert(id, bound.schema.clone());
        for (place, test) in tests[at].iter().enumerate() {
            let query = binder.test(&plan.steps[at].tests[place].inputs, test, &bound.columns);
            plan.steps[at].tests[place].query = query.filter(|_| keep);
        }
        let view_text = (keep && plan.steps[at].view).then(|| super::view::text(&plan, at));
        let step = &mut plan.steps[at];
        step.view_text = view_text;
        step.export = bound.export.map(Arc::new);
        if keep {
            step.work = bound.work;
            step.batches = bound.batches;
        }
        if let Some(incremental) = bound.incremental {
            step.incremental = Some(Arc::new(incremental));
        }
        step.columns = bound.columns;
        step.schema = bound.schema;
    }
    let mut problems = binder.problems;
    problems.extend(super::view::problems(&plan));
    (plan, problems)
}

struct Bound {
    work: Work,
    export: Option<PlannedExport>,
    columns: Vec<Column>,
    schema: SchemaRef,
    incremental: Option<PlannedIncremental>,
    batches: Vec<Batch>,
}

impl Bound {
    fn plain(work: Work, columns: Vec<Column>, schema: SchemaRef) -> Self {
        Self { work, columns, schema, export: None, incremental: None, batches: Vec::new() }
    }
}

struct Binder<'a> {
    dialect: &'a Dialect,
    sources: &'a Contracts,
    zone: String,
    schemas: HashMap<StepId, SchemaRef>,
    tables: HashMap<TableName, Arc<InputTable>>,
    problems: Vec<Diagnostic>,
    /// The columns of the own rows that steps read.
    own: HashMap<StepId, SchemaRef>,
}

/// The tables of one statement: exactly those that it names.
struct Named(HashMap<TableName, Arc<InputTable>>);

impl Tables for Named {
    fn table(&self, name: &TableName) -> Option<Arc<dyn TableSource>> {
        self.0.get(name).map(|table| Arc::clone(table) as Arc<dyn TableSource>)
    }

    fn names(&self) -> Vec<TableName> {
        let mut names: Vec<TableName> = self.0.keys().cloned().collect();
        names.sort();
        names
    }
}

impl Binder<'_> {
    /// The tables of these inputs; none where one of them failed before.
    fn named(&mut self, inputs: &[Input]) -> Option<Named> {
        let mut named = HashMap::new();
        for input in inputs {
            let table = match &input.origin {
                Origin::Step(id, _) => {
                    let schema = self.schemas.get(id)?.clone();
                    Arc::new(InputTable { origin: input.origin.clone(), schema })
                }
                Origin::Table(name) | Origin::Own(name) => self.source(name)?,
            };
            named.insert(input.name.value.clone(), table);
        }
        Some(Named(named))
    }

    fn source(&mut self, name: &TableName) -> Option<Arc<InputTable>> {
        if let Some(table) = self.tables.get(name) {
            return Some(table.clone());
        }
        let schema = schema_of(self.sources.get(name)?, &self.zone);
        let table = Arc::new(InputTable { origin: Origin::Table(name.clone()), schema });
        self.tables.insert(name.clone(), table.clone());
        Some(table)
    }

    fn statement(
        &mut self,
        statement: &Statement,
        tables: &Named,
        place: &dyn Fn(&Span) -> Span,
    ) -> Option<LogicalPlan> {
        match self.dialect.bind(statement, tables) {
            Ok(plan) => Some(plan),
            Err(problems) => {
                self.problems.extend(problems.into_iter().map(|problem| moved(problem, place)));
                None
            }
        }
    }

    fn step(&mut self, plan: &Plan, at: usize, text: &Text, step: &Step) -> Option<Bound> {
        let planned = &plan.steps[at];
        if planned.inputs.len() != text.statement.tables().len() {
            return None;
        }
        let tables = self.read_by(planned, step)?;
        let bound = self.statement(&text.statement, &tables, &|span| text.rendered.origin(span))?;
        let place = text.rendered.origin(text.statement.span());
        let mut bound = self.at_rest(bound, &place)?;
        let queried = Dialect::columns(&bound);
        let columns = match &planned.incremental {
            Some(grows) => table_columns(&grows.how, &queried),
            None => queried.clone(),
        };
        if !self.distinct(&columns, step, &place) {
            return None;
        }
        self.contract(&columns, step);
        self.own_columns(planned, step, &columns);
        let fields = bound.schema().fields().iter();
        let mut fields: Vec<Field> = fields.map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let new_rows: SchemaRef = Arc::new(Schema::new(fields.clone()));
        fields.extend(schema_of(&columns[queried.len()..], &self.zone).fields().iter().map(|f| Field::clone(f)));
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let incremental = match &planned.incremental {
            Some(grows) => Some(self.growth(&grows.how, &queried, [&new_rows, &schema], step)?),
            None => None,
        };
        let mut sql = text.rendered.text().to_owned();
        let mut export = None;
        if let (StepKind::Export(written), Some(to)) = (&step.kind, &planned.export) {
            match outside::planned(written, to.to.clone(), &columns) {
                Ok(planned) => export = Some(planned),
                Err(problems) => {
                    self.problems.extend(problems);
                    return None;
                }
            }
            if let Destination::Files(files) = &to.to
                && !files.partition_by.is_empty()
            {
                (sql, bound) = self.by_partition(&sql, bound, &files.partition_by, &place)?;
            }
        }
        let work = Work::Query(Query { sql, inputs: planned.inputs.clone(), plan: Opaque::new(bound) });
        Some(Bound { schema, work, columns, export, incremental, batches: Vec::new() })
    }

    /// A query whose rows come partition after partition, so that one file is written at a time.
    fn by_partition(
        &mut self,
        sql: &str,
        plan: LogicalPlan,
        by: &[Spanned<Name>],
        place: &Span,
    ) -> Option<(String, LogicalPlan)> {
        let names: Vec<String> = by.iter().map(|name| name.value.sql()).collect();
        let sql = format!("select * from (\n{}\n) order by {}", sql.trim_end().trim_end_matches(';'), names.join(", "));
        let field = |name: &Spanned<Name>| {
            let found = plan.schema().iter().find(|(_, field)| field.name() == name.value.as_str());
            found.map(|field| Expr::from(field).sort(true, false))
        };
        let order: Vec<_> = by.iter().filter_map(field).collect();
        let sorted = LogicalPlanBuilder::from(plan).sort(order).and_then(LogicalPlanBuilder::build);
        match sorted {
            Ok(sorted) => Some((sql, sorted)),
            Err(error) => {
                self.problems.push(Diagnostic::error("sql-plan", error.strip_backtrace()).at(place.clone()));
                None
            }
        }
    }

    /// A load gives the columns that its step declares.
    fn load(&mut self, work: &Work, step: &Step) -> Option<Bound> {
        let Work::Load(load) = work else { return None };
        let column = |declared: &ColumnContract| {
            let sql_type = declared.column_type.as_ref()?.value.sql_type;
            Some(Column { name: declared.name.value.clone(), sql_type, nullable: declared.nullable })
        };
        let columns: Vec<Column> = step.columns.iter().filter_map(column).collect();
        if columns.is_empty() || columns.len() != step.columns.len() {
            return None;
        }
        let schema = schema_of(&columns, &self.zone);
        Some(Bound::plain(Work::Load(load.clone()), columns, schema))
    }

    fn transform(
        &mut self,
        plan: &Plan,
        at: usize,
        transform: &Arc<Transform>,
        step: &Step,
        now: u64,
    ) -> Option<Bound> {
        let planned = &plan.steps[at];
        let names = transform.inputs();
        if planned.inputs.len() != names.len() {
            return None;
        }
        let others: Vec<Input> =
            planned.inputs.iter().filter(|i| !matches!(i.origin, Origin::Own(_))).cloned().collect();
        let mut tables = self.named(&others)?;
        self.earlier(planned, transform, &mut tables);
        let of_input = |input: &Input| tables.0.get(&input.name.value).map(|table| columns_of(&table.schema));
        let inputs: Option<Vec<Vec<Column>>> = planned.inputs.iter().map(of_input).collect();
        let inputs = inputs?;
        let slices: Vec<&[Column]> = inputs.iter().map(Vec::as_slice).collect();
        let columns = match transform.output(&slices) {
            Ok(columns) => columns,
            Err(problems) => {
                self.problems.extend(problems);
                return None;
            }
        };
        let mut queries = Vec::new();
        for (input, name) in names.iter().enumerate() {
            let sql = transform.query(input, &slices);
            let query = self.input_query(&sql, &name.span, &transform.expressions(input), &tables)?;
            queries.push(Query { inputs: planned.inputs.clone(), ..query });
        }
        self.contract(&columns, step);
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let (lineage, sql) = (transform.lineage(&slices), transform.sql(&slices));
        let work = Work::Transform(PlannedTransform { transform: transform.clone(), queries, lineage, sql, now });
        let schema = schema_of(&columns, &self.zone);
        Some(Bound::plain(work, columns, schema))
    }

    /// Adds the step's own earlier result, whose columns follow from the other inputs.
    fn earlier(&self, planned: &PlannedStep, transform: &Transform, tables: &mut Named) {
        let Some(input) = planned.inputs.iter().find(|input| matches!(input.origin, Origin::Own(_))) else { return };
        let of_input = |input: &Input| tables.0.get(&input.name.value).map(|table| columns_of(&table.schema));
        let columns: Vec<Vec<Column>> = planned.inputs.iter().map(|i| of_input(i).unwrap_or_default()).collect();
        let slices: Vec<&[Column]> = columns.iter().map(Vec::as_slice).collect();
        let schema = schema_of(&transform.earlier_columns(&slices), &self.zone);
        let table = InputTable { origin: input.origin.clone(), schema };
        tables.0.insert(input.name.value.clone(), Arc::new(table));
    }

    /// A query that a transform made for one of its inputs. Its problems are told where the author wrote the
    /// expression that they are in, else at the input's name.
    fn input_query(
        &mut self,
        sql: &str,
        place: &Span,
        expressions: &[&Spanned<String>],
        tables: &Named,
    ) -> Option<Query> {
        let derived = led_back(sql, place, expressions);
        let statement = match crate::dialect::parse(derived.source()) {
            Ok(mut statements) => statements.pop()?,
            Err(problems) => {
                let place = |span: &Span| derived.origin(span);
                self.problems.extend(problems.into_iter().map(|problem| moved(problem, &place)));
                return None;
            }
        };
        let plan = self.statement(&statement, tables, &|span| derived.origin(span))?;
        Some(Query { sql: sql.to_owned(), inputs: Vec::new(), plan: Opaque::new(plan) })
    }

    /// The plan with every column in the type that its values rest in.
    fn at_rest(&mut self, plan: LogicalPlan, place: &Span) -> Option<LogicalPlan> {
        let rests = |data_type: &DataType| match data_type {
            DataType::Decimal128(MAX_PRECISION, 0) => Some(data_type.clone()),
            DataType::Null => Some(DataType::Utf8),
            other => SqlType::of(other).map(|sql_type| sql_type.arrow(&self.zone)),
        };
        let mut moves = false;
        let mut expressions = Vec::new();
        for (qualifier, field) in plan.schema().iter() {
            let Some(rest) = rests(field.data_type()) else {
                let message = format!("column `{}` has a type that no table can hold", field.name().to_lowercase());
                self.problems.push(Diagnostic::error("column-type", message).at(place.clone()));
                return None;
            };
            let column = Expr::from((qualifier, field));
            if rest == *field.data_type() {
                expressions.push(column);
            } else {
                moves = true;
                expressions.push(cast(column, rest).alias_qualified(qualifier.cloned(), field.name()));
            }
        }
        if !moves {
            return Some(plan);
        }
        let cast = LogicalPlanBuilder::from(plan).project(expressions).and_then(LogicalPlanBuilder::build);
        cast.map_err(|error| {
            let message = error.strip_backtrace();
            self.problems.push(Diagnostic::error("sql-plan", message).at(place.clone()));
        })
        .ok()
    }

    fn distinct(&mut self, columns: &[Column], step: &Step, place: &Span) -> bool {
        let mut seen = std::collections::HashSet::new();
        let twice = columns.iter().find(|column| !seen.insert(&column.name));
        if let Some(column) = twice {
            let message =
                format!("step `{}` has two columns called `{}`", step.name.value.lower(), column.name.shown());
            let diagnostic = Diagnostic::error("duplicate-column", message).at(place.clone());
            self.problems.push(diagnostic.hint("name one of them with `as`"));
        }
        twice.is_none()
    }

    /// Holds the columns against what the author promised.
    fn contract(&mut self, columns: &[Column], step: &Step) {
        for promised in &step.columns {
            let name = &promised.name;
            let Some(column) = columns.iter().find(|column| column.name == name.value) else {
                self.problems.push(missing(name, columns, &step.name.value));
                continue;
            };
            if let Some(promise) =
                promised.column_type.as_ref().filter(|promise| !promise.value.accepts(column.sql_type))
            {
                let message = format!(
                    "column `{}` is {} and its contract says {}",
                    name.value.shown(),
                    column.sql_type,
                    promise.span.text().to_uppercase()
                );
                self.problems.push(Diagnostic::error("contract-type", message).at(promise.span.clone()));
            }
        }
    }

    fn test(&mut self, inputs: &[Input], text: &TestText, columns: &[Column]) -> Option<Query> {
        let unknown = text.test.rule.columns().iter().filter(|name| !columns.iter().any(|c| c.name == name.value));
        let unknown: Vec<Diagnostic> = unknown.map(|name| unknown_column(name, columns)).collect();
        if !unknown.is_empty() {
            self.problems.extend(unknown);
            return None;
        }
        if inputs.len() != text.statement.tables().len() {
            return None;
        }
        let tables = self.named(inputs)?;
        let plan = self.statement(&text.statement, &tables, &|span| text.tested.origin(span))?;
        Some(Query { sql: text.statement.text().to_owned(), inputs: inputs.to_vec(), plan: Opaque::new(plan) })
    }
}

/// A generated query with the way back: an author's expression stands on lines of its own in it.
fn led_back(sql: &str, place: &Span, expressions: &[&Spanned<String>]) -> Derived {
    let mut parts = vec![Part { start: 0, origin: place.clone(), copied: false }];
    let mut from = 0;
    for expression in expressions {
        let Some(found) = sql[from..].find(&format!("(\n{}\n)", expression.value)) else { continue };
        let start = from + found + 2;
        from = start + expression.value.len();
        let written = expression.span.text().find(&expression.value);
        let origin = written.map(|at| expression.span.inside(at..at + expression.value.len()));
        let copied = origin.is_some();
        parts.push(Part { start, origin: origin.unwrap_or_else(|| expression.span.clone()), copied });
        // What goes wrong at the closing parenthesis is wrong at the end of the expression.
        parts.push(Part { start: from + "\n)".len(), origin: place.clone(), copied: false });
    }
    Derived::new(SourceFile::new(place.file.path(), sql), parts)
}

fn missing(name: &Spanned<Name>, columns: &[Column], step: &Name) -> Diagnostic {
    let message =
        format!("step `{}` gives no column `{}`, which its contract promises", step.lower(), name.value.shown());
    let near = near(&name.value, columns);
    Diagnostic::error("contract-column", message).at(name.span.clone()).did_you_mean(near)
}

/// The nearest of some columns' names, as messages show it.
fn near(name: &Name, columns: &[Column]) -> Option<String> {
    let near = nearest(name.as_str(), columns.iter().map(|column| column.name.as_str()))?;
    columns.iter().find(|column| column.name.as_str() == near).map(|column| column.name.shown())
}

fn unknown_column(name: &Spanned<Name>, columns: &[Column]) -> Diagnostic {
    let near = near(&name.value, columns);
    let message = format!("unknown column `{}` in a test", name.value.shown());
    Diagnostic::error("unknown-column", message).at(name.span.clone()).did_you_mean(near)
}

/// The columns that an Arrow schema of values at rest stands for.
fn columns_of(schema: &Schema) -> Vec<Column> {
    let column = |field: &Arc<Field>| Column {
        name: Name::quoted(field.name().clone()),
        sql_type: SqlType::of(field.data_type()).unwrap_or(SqlType::Variant),
        nullable: field.is_nullable(),
    };
    schema.fields().iter().map(column).collect()
}

/// The Arrow schema of columns, every one nullable: a contract's `not_null` is a test, not something to rely on.
pub fn schema_of(columns: &[Column], zone: &str) -> SchemaRef {
    let field = |column: &Column| Field::new(column.name.as_str(), column.sql_type.arrow(zone), true);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}
