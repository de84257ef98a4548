//! Names → what they mean: the tables in each step's SQL become steps, other jobs' published tables or sources. Nothing
//! is bound here; a name that means nothing is an error with the nearest one.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::fingerprint::Clock;
use super::incremental::{PlannedIncremental, scope};
use super::step::{Input, Origin, Patience, PlannedExport, PlannedStep, PlannedTest, Work};
use super::tested::Tested;
use super::{Node, Plan, StepId, outside, parameters};
use crate::diagnostic::Diagnostic;
use crate::dialect::{self, Column, Statement};
use crate::job::{Job, Materialization, Step, StepKind};
use crate::name::{Name, TableName, nearest};
use crate::rule::Test;
use crate::template::{Templates, Variables};
use crate::text::derived::Derived;
use crate::text::{Span, Spanned};
use crate::transform::Transform;

/// The contracts of sources: their columns by table.
pub type Contracts = HashMap<TableName, Vec<Column>>;

/// Everything that names can mean.
pub struct Scope<'a> {
    /// The project's jobs, `for_each` and `when` already carried out.
    pub jobs: &'a [Job],
    /// The sources' contracts.
    pub sources: &'a Contracts,
    /// What renders SQL.
    pub templates: &'a Templates,
}

/// The text of a step, as far as it could be read.
#[derive(Clone)]
pub(super) struct Text {
    pub(super) rendered: Derived,
    pub(super) statement: Statement,
    /// What it was rendered from.
    pub(super) template: Derived,
    pub(super) variables: Variables,
}

/// A test whose texts are rendered.
#[derive(Clone)]
pub(super) struct TestText {
    pub(super) test: Test,
    pub(super) statement: Statement,
    pub(super) tested: Tested,
}

/// A plan whose names are resolved, and the texts to bind.
pub struct Resolved<'a> {
    /// The plan; its steps are not bound yet.
    pub plan: Plan,
    /// How many of its jobs were asked for; those after them are there because they publish what is read.
    pub wanted: usize,
    pub(super) texts: Vec<Option<Text>>,
    pub(super) transforms: Vec<Option<Arc<Transform>>>,
    pub(super) tests: Vec<Vec<TestText>>,
    pub(super) steps: Vec<&'a Step>,
    pub(super) templates: &'a Templates,
}

/// Resolves the named jobs, and of other jobs the steps that publish what these read.
pub fn resolve<'a>(scope: &Scope<'a>, wanted: &[Name]) -> (Resolved<'a>, Vec<Diagnostic>) {
    let mut resolver = Resolver::new(scope);
    resolver.published();
    for name in wanted {
        let Some(job) = scope.jobs.iter().find(|job| job.name.value == *name) else { continue };
        for step in job.steps.values().filter(|step| step.included) {
            resolver.add(job, step);
        }
    }
    while let Some(table) = resolver.queue.pop_front() {
        if let Some(&(job, step)) = resolver.publishers.get(&table) {
            resolver.add_with_inputs(job, step);
        }
    }
    resolver.finish(wanted)
}

struct Found<'a> {
    planned: PlannedStep,
    text: Option<Text>,
    transform: Option<Arc<Transform>>,
    tests: Vec<TestText>,
    step: &'a Step,
}

struct Resolver<'a, 's> {
    scope: &'s Scope<'a>,
    publishers: HashMap<TableName, (&'a Job, &'a Step)>,
    found: Vec<Found<'a>>,
    known: BTreeSet<StepId>,
    queue: VecDeque<TableName>,
    waits: Vec<(StepId, StepId, Option<Span>)>,
    problems: Vec<Diagnostic>,
}

impl<'a, 's> Resolver<'a, 's> {
    fn new(scope: &'s Scope<'a>) -> Self {
        Self {
            scope,
            publishers: HashMap::new(),
            found: Vec::new(),
            known: BTreeSet::new(),
            queue: VecDeque::new(),
            waits: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Which step publishes which table; the project has said already where two publish one. A source is published only
    /// by a step that keeps its contract: until the step has run, the source's rows stand in for the result.
    fn published(&mut self) {
        for job in self.scope.jobs {
            for step in job.steps.values() {
                let Some(table) = &step.publish else { continue };
                if self.scope.sources.get(&table.value).is_some_and(|columns| !promises(step, columns)) {
                    let message =
                        format!("`{}` is a source, and this step does not promise its columns", table.value.lower());
                    let hint = "publish another table, or list the columns of its contract under `columns`";
                    let problem = Diagnostic::error("publish-source", message).at(table.span.clone());
                    self.problems.push(problem.hint(hint));
                }
                self.publishers.entry(table.value.clone()).or_insert((job, step));
            }
        }
    }

    fn add_with_inputs(&mut self, job: &'a Job, step: &'a Step) {
        let mut steps = vec![step];
        while let Some(step) = steps.pop() {
            let id = StepId { job: job.name.value.clone(), step: step.name.value.clone() };
            if self.known.contains(&id) {
                continue;
            }
            self.add(job, step);
            let inner = self.found.last().into_iter().flat_map(|found| found.planned.reads());
            let inner: Vec<&'a Step> = inner
                .filter(|before| before.job == job.name.value)
                .filter_map(|before| job.steps.get(&before.step))
                .collect();
            steps.extend(inner);
        }
    }

    fn add(&mut self, job: &'a Job, step: &'a Step) {
        let id = StepId { job: job.name.value.clone(), step: step.name.value.clone() };
        if !self.known.insert(id.clone()) {
            return;
        }
        let mut planned = declared(id, step);
        self.wait_for_needs(job, step, &planned.id);
        let (text, transform) = self.work(job, step, &mut planned);
        if let Some(transform) = &transform {
            planned.inputs = self.named_inputs(job, step, transform.inputs());
            let earlier = transform.earlier().and_then(|at| planned.inputs.get_mut(at));
            if let (Some(input), Some(table)) = (earlier, &planned.publish)
                && matches!(&input.origin, Origin::Step(read, _) if *read == planned.id)
            {
                input.origin = Origin::Own(table.clone());
            }
        }
        if let Some(text) = &text {
            text.rendered.text().clone_into(&mut planned.text);
            planned.written = Some(text.rendered.clone());
            planned.inputs = self.inputs(job, step, &text.statement, &|span| text.rendered.origin(span));
            planned.fixed = self.fixed(job, step, text);
            if step.incremental.is_some() {
                scope::own_rows(&mut planned);
            }
        }
        let mut tests = Vec::new();
        for test in &step.tests {
            if let Some((text, inputs)) = self.test(job, step, test) {
                let name = test.name.clone();
                let (tested, test) = (text.tested.clone(), text.test.clone());
                planned.tests.push(PlannedTest { name, inputs, query: None, tested, test });
                tests.push(text);
            }
        }
        self.found.push(Found { planned, text, transform, tests, step });
    }

    /// Steps that this one names under `needs` come before it, whether it reads them or not.
    fn wait_for_needs(&mut self, job: &Job, step: &Step, id: &StepId) {
        for need in &step.needs {
            let needed = job.steps.get(&need.value).map(|needed| &needed.kind);
            if matches!(needed, Some(StepKind::Export(_))) && !matches!(step.kind, StepKind::Export(_)) {
                let message =
                    format!("`{}` is an export, which comes after all other steps of its job", need.value.lower());
                self.problems.push(Diagnostic::error("reads-export", message).at(need.span.clone()));
                continue;
            }
            let before = StepId { job: id.job.clone(), step: need.value.clone() };
            self.waits.push((id.clone(), before, Some(need.span.clone())));
        }
    }

    /// What the step does: its query, where it has one, or its transform. What else it does is put into `planned`.
    fn work(&mut self, job: &Job, step: &Step, planned: &mut PlannedStep) -> (Option<Text>, Option<Arc<Transform>>) {
        match &step.kind {
            StepKind::Sql(sql) => (self.text(job, step, sql), None),
            StepKind::Transform { name, parameters } => {
                let (templates, variables) = (self.scope.templates, job.variables_of(step));
                let read = parameters::read(&name.value, parameters, templates, &variables, &mut self.problems);
                let transform = read.map(|(read, filled)| {
                    planned.text = format!("{}: {}", name.value, filled.flow());
                    planned.clock = if read.reads_now() { Clock::Instant } else { Clock::Unread };
                    Arc::new(read)
                });
                (None, transform)
            }
            StepKind::Load(load) => {
                match self.fill(job, step).load(load) {
                    Ok(filled) => {
                        planned.text = format!("load: {}", load.span.text());
                        let written = &format!("{}\nmax_bad {:?}", planned.text, filled.max_bad);
                        planned.outside = described(written, filled.files.iter().map(|file| &file.value));
                        planned.work = Work::Load(Arc::new(filled));
                    }
                    Err(problems) => self.problems.extend(problems),
                }
                (None, None)
            }
            StepKind::Export(export) => {
                match self.fill(job, step).destination(export) {
                    // Its columns are not known yet, and so not their names there.
                    Ok(to) => {
                        let export_to = PlannedExport { to, names: Vec::new() };
                        planned.outside = described(export.span.text(), [&export_to.place()]);
                        planned.export = Some(Arc::new(export_to));
                    }
                    Err(problems) => self.problems.extend(problems),
                }
                (self.text(job, step, &outside::query(export)), None)
            }
        }
    }

    fn fill<'f>(&self, job: &'f Job, step: &'f Step) -> outside::Fill<'f>
    where
        's: 'f,
    {
        outside::Fill { templates: self.scope.templates, job, step }
    }

    fn text(&mut self, job: &Job, step: &Step, sql: &Derived) -> Option<Text> {
        let variables = scope::variables(job, step);
        let rendered = match self.scope.templates.render(sql, &variables) {
            Ok(rendered) => rendered,
            Err(problems) => {
                self.problems.extend(problems);
                return None;
            }
        };
        let place = |span: &Span| rendered.origin(span);
        let mut statements = match dialect::parse(rendered.source()) {
            Ok(statements) => statements,
            Err(problems) => {
                self.problems.extend(problems.into_iter().map(|problem| moved(problem, &place)));
                return None;
            }
        };
        let wrong = match statements.as_slice() {
            [statement] if statement.is_query() => None,
            [] => Some(("no-statement", "has no query".to_owned(), step.name.span.clone())),
            [other] => Some(("no-query", "is no query; a step is one SELECT".to_owned(), place(other.span()))),
            [_, second, ..] => Some((
                "several-statements",
                "has several statements; a step is one SELECT".to_owned(),
                place(second.span()),
            )),
        };
        if let Some((code, clause, span)) = wrong {
            let message = format!("the SQL of step `{}` {clause}", step.name.value.lower());
            self.problems.push(Diagnostic::error(code, message).at(span));
            return None;
        }
        let statement = statements.pop()?;
        Some(Text { rendered, statement, template: sql.clone(), variables })
    }

    /// A text that says `interval`, rendered for one that is the same in all runs.
    fn fixed(&self, job: &Job, step: &Step, text: &Text) -> Option<String> {
        let intervals = scope::intervals(job, step).filter(|_| text.template.text() != text.rendered.text())?;
        let rendered = |days| {
            let variables = scope::fixed(&text.variables, intervals, days);
            self.scope.templates.render(&text.template, &variables).ok().map(|text| text.text().to_owned())
        };
        let (one, other) = (rendered(0)?, rendered(400)?);
        (one != other).then_some(one)
    }

    fn inputs(
        &mut self,
        job: &'a Job,
        step: &Step,
        statement: &Statement,
        place: &dyn Fn(&Span) -> Span,
    ) -> Vec<Input> {
        let names = statement.tables().into_iter().map(|name| Spanned::new(name.value, place(&name.span)));
        self.named_inputs(job, step, names.collect())
    }

    fn named_inputs(&mut self, job: &'a Job, step: &Step, names: Vec<Spanned<TableName>>) -> Vec<Input> {
        let mut inputs = Vec::new();
        for name in names {
            let span = name.span;
            match self.meaning(job, step, &name.value) {
                Ok(origin) => inputs.push(Input { name: Spanned::new(name.value, span), origin }),
                Err(problem) => self.problems.push(problem.at(span)),
            }
        }
        inputs
    }

    /// What a table's name means in a step of this job.
    fn meaning(&mut self, job: &'a Job, step: &Step, name: &TableName) -> Result<Origin, Diagnostic> {
        let Some(schema) = &name.schema else {
            return match job.steps.get(&name.table) {
                Some(other) if matches!(other.kind, StepKind::Export(_)) && other.name.value != step.name.value => {
                    let message = format!("step `{}` is an export, whose rows leave the project", name.lower());
                    Err(Diagnostic::error("reads-export", message).hint("read what it exports instead"))
                }
                Some(other) if other.included || other.name.value == step.name.value => {
                    let id = StepId { job: job.name.value.clone(), step: name.table.clone() };
                    Ok(Origin::Step(id, other.publish.as_ref().map(|table| table.value.clone())))
                }
                Some(_) => {
                    let message = format!("step `{}` is no part of this run, since its `when` is false", name.lower());
                    Err(Diagnostic::error("step-left-out", message))
                }
                None => Err(self.unknown(job, name)),
            };
        };
        let table = TableName::in_schema(schema.clone(), name.table.clone());
        if let Some((publisher_job, publisher)) = self.publishers.get(&table) {
            let (id, included) = (
                StepId { job: publisher_job.name.value.clone(), step: publisher.name.value.clone() },
                publisher.included || publisher_job.name.value != job.name.value,
            );
            self.queue.push_back(table.clone());
            return Ok(if included { Origin::Step(id, Some(table)) } else { Origin::Table(table) });
        }
        if self.scope.sources.contains_key(&table) {
            return Ok(Origin::Table(table));
        }
        Err(self.unknown(job, name))
    }

    fn unknown(&self, job: &Job, name: &TableName) -> Diagnostic {
        let steps = job.steps.keys().map(Name::lower);
        let tables = self.publishers.keys().chain(self.scope.sources.keys());
        let mut candidates: Vec<String> = steps.chain(tables.clone().map(TableName::lower)).collect();
        candidates.sort();
        let wanted = name.lower();
        let same_table = || {
            let same = tables.clone().filter(|table| table.table == name.table).map(TableName::lower);
            same.min()
        };
        let near = nearest(&wanted, &candidates).map(str::to_owned).or_else(same_table);
        let message = match &name.schema {
            None => format!("`{wanted}` is no step of job `{}`", job.name.value.lower()),
            Some(_) => format!("`{wanted}` is neither a source nor published by a job"),
        };
        Diagnostic::error("unknown-table", message).did_you_mean(near)
    }

    fn test(&mut self, job: &'a Job, step: &Step, test: &Test) -> Option<(TestText, Vec<Input>)> {
        let variables = job.variables_of(step);
        let rendered = test.rendered(|text| self.scope.templates.render(text, &variables));
        let test = match rendered {
            Ok(test) => test,
            Err(problems) => {
                self.problems.extend(problems);
                return None;
            }
        };
        let tested = Tested::new(&test, &step.name.value.sql());
        let place = |span: &Span| tested.origin(span);
        let statement = match dialect::parse(tested.source()) {
            Ok(mut statements) if statements.len() == 1 => statements.pop()?,
            Ok(_) => {
                let message = format!("test `{}` is more than one query", test.name);
                self.problems.push(Diagnostic::error("several-statements", message).at(test.span.clone()));
                return None;
            }
            Err(problems) => {
                let own = tested.faults();
                let whole = problems.into_iter().filter(|_| own.is_empty()).map(|problem| moved(problem, &place));
                self.problems.extend(whole);
                self.problems.extend(own);
                return None;
            }
        };
        let inputs = self.inputs(job, step, &statement, &place);
        Some((TestText { test, statement, tested }, inputs))
    }

    fn finish(self, wanted: &[Name]) -> (Resolved<'a>, Vec<Diagnostic>) {
        let mut problems = self.problems;
        let (mut steps, mut texts, mut transforms) = (Vec::new(), Vec::new(), Vec::new());
        let (mut tests, mut declared) = (Vec::new(), Vec::new());
        for found in self.found {
            steps.push(found.planned);
            texts.push(found.text);
            transforms.push(found.transform);
            tests.push(found.tests);
            declared.push(found.step);
        }
        let mut plan = Plan::new(steps, &self.waits);
        scope::assign(&mut plan, &mut problems);
        let jobs = plan.jobs.iter().take_while(|job| wanted.contains(job)).count();
        problems.extend(plan.dag.cycles().iter().map(|cycle| told(&plan, cycle)));
        (
            Resolved { plan, wanted: jobs, texts, transforms, tests, steps: declared, templates: self.scope.templates },
            problems,
        )
    }
}

/// A load or export as text: as written, and the places that came of it.
fn described<'t>(written: &str, places: impl IntoIterator<Item = &'t String>) -> String {
    let places: Vec<&str> = places.into_iter().map(String::as_str).collect();
    format!("{written}\n{}", places.join("\n"))
}

/// A step as its author declared it; what it does and reads is found later.
fn declared(id: StepId, step: &Step) -> PlannedStep {
    let mut planned = PlannedStep::new(id, Work::Broken);
    planned.span = Some(step.name.span.clone());
    planned.publish = step.publish.as_ref().map(|table| table.value.clone());
    planned.view = step.materialize == Materialization::View;
    planned.tags = step.tags.clone();
    planned.patience = patience(step);
    planned.on_error = step.on_error;
    planned.local = step.local;
    planned.incremental = step.incremental.as_ref().map(|how| Arc::new(PlannedIncremental::new((**how).clone())));
    planned.promise = promise(step);
    planned
}

fn patience(step: &Step) -> Patience {
    let usual = Patience { timeout: step.timeout, ..Patience::default() };
    match step.retry {
        Some(retry) => Patience { attempts: retry.max + 1, backoff: retry.backoff, ..usual },
        None => usual,
    }
}

/// Whether a step promises all these columns.
fn promises(step: &Step, columns: &[Column]) -> bool {
    columns.iter().all(|column| {
        let own = step.columns.iter().find(|own| own.name.value == column.name);
        own.and_then(|own| own.column_type.as_ref()).is_some_and(|promised| promised.value.accepts(column.sql_type))
    })
}

/// The promised columns as one line, for the step's definition.
fn promise(step: &Step) -> String {
    let column = |column: &crate::job::ColumnContract| {
        let promised = column.column_type.as_ref().map(|promise| promise.value.sql_type.to_string());
        format!("{} {} {}", column.name.value.sql(), promised.unwrap_or_default(), column.nullable)
    };
    step.columns.iter().map(column).collect::<Vec<_>>().join(", ")
}

/// The diagnostic with all its places led back to what the author wrote.
pub(super) fn moved(mut problem: Diagnostic, place: &dyn Fn(&Span) -> Span) -> Diagnostic {
    problem.span = problem.span.map(|span| place(&span));
    for (span, _) in &mut problem.related {
        *span = place(span);
    }
    problem
}

/// A cycle as its path, with the place of every edge.
fn told(plan: &Plan, cycle: &[(Node, Option<Span>)]) -> Diagnostic {
    let name = |node: &Node| match node {
        Node::Step(at) => plan.steps[*at].id.to_string(),
        Node::Publish(job) => format!("publishing {}", plan.jobs[*job].lower()),
    };
    let mut path: Vec<String> = cycle.iter().map(|(node, _)| name(node)).collect();
    path.extend(path.first().cloned());
    path.reverse();
    let message = match path.as_slice() {
        [one, _] => format!("step `{one}` reads itself"),
        _ => format!("steps wait for each other in a circle: {}", path.join(" ← ").replace(" ← ", " reads ")),
    };
    let mut diagnostic = Diagnostic::error("cycle", message);
    let mut places = cycle.iter().enumerate().filter_map(|(at, (node, span))| {
        let after = &cycle[(at + 1) % cycle.len()].0;
        span.clone().map(|span| (span, format!("`{}` waits for `{}` here", name(after), name(node))))
    });
    if let Some((span, _)) = places.next() {
        diagnostic = diagnostic.at(span);
    }
    for (span, label) in places {
        diagnostic = diagnostic.related(span, label);
    }
    diagnostic
}

impl Resolved<'_> {
    /// Whether a step is a built-in transform, by index.
    pub fn is_transform(&self, at: usize) -> bool {
        self.transforms.get(at).is_some_and(Option::is_some)
    }

    /// The steps, by index, whose SQL draws random values.
    pub fn volatile(&self) -> BTreeSet<usize> {
        let texts = self.texts.iter().enumerate();
        texts
            .filter(|(_, text)| text.as_ref().is_some_and(|text| text.statement.is_volatile()))
            .map(|(at, _)| at)
            .collect()
    }
}
