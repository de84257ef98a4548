//! Suites → tests that can run: each job bound once per date and variables, with only the steps that its tests need; given
//! and expected rows in the types of their columns. Everything wrong is told at once, before anything runs.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use rayon::prelude::*;

use super::compare::Texts;
use super::engine::{Engine, key};
use super::typed::{batch, expected};
use super::{Expectation, Suite, UnitTest, others, value};
use crate::diagnostic::{Diagnostic, has_errors};
use crate::dialect::session::SessionParameters;
use crate::dialect::{Column, Dialect};
use crate::job::Job;
use crate::name::{Name, TableName, nearest};
use crate::plan::{self, Contracts, Origin, Plan, Scope, StepId, schema_of};
use crate::project::Project;
use crate::rule::read::tests;
use crate::settings::Settings;
use crate::template::Variables;
use crate::text::{Span, Spanned};

/// What unit tests are about: a project and its settings, whatever its target.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// The project.
    pub project: &'a Project,
    /// The columns of its sources.
    pub contracts: &'a Contracts,
    /// Its settings: variables over those of the jobs, and the time zone.
    pub settings: &'a Settings,
    /// The clock of tests that pin no date.
    pub clock: DateTime<Utc>,
}

/// A test that can run.
pub struct Prepared<'a> {
    /// Its file.
    pub suite: &'a Suite,
    /// The test.
    pub test: &'a UnitTest,
    pub(super) job: Arc<BoundJob>,
    pub(super) given: HashMap<Origin, Vec<RecordBatch>>,
    pub(super) expect: Vec<Expected<'a>>,
}

/// An expectation in the types of its step.
pub(super) struct Expected<'a> {
    pub(super) written: &'a Expectation,
    /// The step, by its place in the plan.
    pub(super) step: usize,
    /// The compared columns, by their places in the step's result.
    pub(super) columns: Vec<usize>,
    pub(super) rows: Vec<Texts>,
    pub(super) tolerances: Vec<Option<f64>>,
    /// The properties, by their places among the step's tests.
    pub(super) properties: Range<usize>,
}

/// A job bound for some of its tests.
pub(super) struct BoundJob {
    pub(super) plan: Plan,
    pub(super) engine: Engine,
    pub(super) session: SessionParameters,
    pub(super) job: Job,
    pub(super) properties: HashMap<Span, Range<usize>>,
    tables: Contracts,
}

/// The tests that share a bound job.
struct Group<'a> {
    job: &'a Job,
    date: DateTime<Utc>,
    variables: Variables,
    tests: Vec<(&'a Suite, &'a UnitTest)>,
}

/// Binds the jobs of these tests and types their rows. `wanted` says which tests are.
pub fn prepare<'a>(
    world: World<'a>,
    suites: &'a [Suite],
    wanted: &(dyn Fn(&Suite, &UnitTest) -> bool + Sync),
) -> (Vec<Prepared<'a>>, Vec<Diagnostic>) {
    let mut problems = Vec::new();
    let groups = groups(world, suites, wanted, &mut problems);
    let mut tested: Vec<Name> = groups.iter().map(|group| group.job.name.value.clone()).collect();
    tested.sort();
    tested.dedup();
    let (published, more) = others::published(&world, &tested, &dialect(world, world.clock));
    problems.extend(more);
    let done: Vec<(Vec<Prepared<'a>>, Vec<Diagnostic>)> =
        groups.par_iter().map(|group| group.prepare(world, &published)).collect();
    let mut prepared = Vec::new();
    for (tests, more) in done {
        prepared.extend(tests);
        for problem in more {
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
    }
    (prepared, problems)
}

fn groups<'a>(
    world: World<'a>,
    suites: &'a [Suite],
    wanted: &(dyn Fn(&Suite, &UnitTest) -> bool + Sync),
    problems: &mut Vec<Diagnostic>,
) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for suite in suites {
        let Some(job) = world.project.jobs.get(&suite.job.value) else {
            let name = suite.job.value.lower();
            let names: Vec<String> = world.project.jobs.keys().map(Name::lower).collect();
            let problem = Diagnostic::error("unknown-job", format!("there is no job `{name}` in this project"));
            problems.push(problem.at(suite.job.span.clone()).did_you_mean(nearest(&name, &names)));
            continue;
        };
        for test in suite.tests.iter().filter(|test| wanted(suite, test)) {
            let date = test.date.map_or(world.clock, |date| date.in_zone(&world.settings.timezone));
            let mut variables = world.settings.variables.clone();
            for (name, value) in &test.variables {
                check_variable(name, job, &world.settings.variables, problems);
                variables.insert(&name.value, value.clone());
            }
            let same = |group: &&mut Group<'a>| {
                group.job.name.value == job.name.value && group.date == date && group.variables == variables
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.tests.push((suite, test)),
                None => groups.push(Group { job, date, variables, tests: vec![(suite, test)] }),
            }
        }
    }
    groups
}

fn check_variable(name: &Spanned<String>, job: &Job, others: &Variables, problems: &mut Vec<Diagnostic>) {
    let known: Vec<&str> = job.variables.names().chain(others.names()).collect();
    if known.contains(&name.value.as_str()) {
        return;
    }
    let message = format!("job `{}` has no variable `{}`", job.name.value.lower(), name.value);
    let problem = Diagnostic::error("unknown-variable", message).at(name.span.clone());
    let problem = problem.did_you_mean(nearest(&name.value, known));
    if !problems.contains(&problem) {
        problems.push(problem);
    }
}

fn dialect(world: World<'_>, clock: DateTime<Utc>) -> Dialect {
    let now = clock.timestamp_nanos_opt().and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or_default();
    let timezone = world.settings.timezone.clone();
    Dialect::new(SessionParameters { timezone, now, ..SessionParameters::default() })
}

impl<'a> Group<'a> {
    fn prepare(&self, world: World<'a>, published: &Contracts) -> (Vec<Prepared<'a>>, Vec<Diagnostic>) {
        let (bound, mut problems) = self.bind(world, published);
        let Some(bound) = bound.map(Arc::new) else { return (Vec::new(), problems) };
        let prepared: Vec<(Option<Prepared<'a>>, Vec<Diagnostic>)> =
            self.tests.par_iter().map(|(suite, test)| typed(&bound, suite, test)).collect();
        let mut tests = Vec::new();
        for (test, more) in prepared {
            tests.extend(test);
            problems.extend(more);
        }
        (tests, problems)
    }

    /// The job bound with its date and variables, as far as the tests need it.
    fn bind(&self, world: World<'a>, published: &Contracts) -> (Option<BoundJob>, Vec<Diagnostic>) {
        let facts = world.settings.facts(self.date);
        let (mut job, mut problems) = self.job.expand(&world.project.templates, &self.variables, &facts);
        let tables = self.tables(world, published, &job);
        let named = self.named(&job, &tables, &mut problems);
        if has_errors(&problems) {
            return (None, problems);
        }
        job.steps.values_mut().for_each(|step| step.tests.clear());
        let scope = Scope { jobs: std::slice::from_ref(&job), sources: &tables, templates: &world.project.templates };
        let (resolved, _) = plan::resolve(&scope, std::slice::from_ref(&job.name.value));
        let needed = others::with_inputs(&resolved.plan, named);
        drop(resolved);
        let mut job = others::only(job, &needed);
        let properties = self.properties(world, &mut job, &mut problems);
        let dialect = dialect(world, self.date);
        let scope = Scope { jobs: std::slice::from_ref(&job), sources: &tables, templates: &world.project.templates };
        let (resolved, more) = plan::resolve(&scope, std::slice::from_ref(&job.name.value));
        problems.extend(more);
        let (plan, more) = plan::bind(resolved, &dialect, &tables);
        problems.extend(more);
        if has_errors(&problems) {
            return (None, problems);
        }
        let session = value::parameters(&world.settings.timezone);
        (Some(BoundJob { plan, engine: Engine::new(&dialect), session, job, tables, properties }), problems)
    }

    /// Everything with a schema that the job can read: sources, and the tables of other jobs.
    fn tables(&self, world: World<'a>, published: &Contracts, job: &Job) -> Contracts {
        let own = |table: &TableName| {
            job.steps.values().any(|step| step.publish.as_ref().is_some_and(|publish| publish.value == *table))
        };
        let all = world.contracts.iter().chain(published);
        all.filter(|(table, _)| !own(table)).map(|(table, columns)| (table.clone(), columns.clone())).collect()
    }

    /// The steps that the tests name, and what they name wrongly.
    fn named(&self, job: &Job, tables: &Contracts, problems: &mut Vec<Diagnostic>) -> BTreeSet<StepId> {
        let mut named = BTreeSet::new();
        let mut wrong = |problem: Diagnostic| {
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        };
        let id = |step: &Name| StepId { job: job.name.value.clone(), step: step.clone() };
        for (_, test) in &self.tests {
            for expectation in &test.expect {
                match step_of(job, &expectation.step) {
                    Ok(step) => {
                        named.insert(id(step));
                    }
                    Err(problem) => wrong(problem),
                }
            }
            let places = test.given.iter().map(|given| (&given.table.value, &given.table.span));
            let defaults = test.defaults.iter().filter_map(|(table, cells)| Some((table, &cells.first()?.column.span)));
            for (table, span) in places.chain(defaults) {
                match meaning(job, tables, table) {
                    Some(Meaning::Step(step)) => {
                        named.insert(id(&step));
                    }
                    Some(Meaning::Table(_)) => {}
                    None => wrong(unknown_table(job, tables, table).at(span.clone())),
                }
            }
        }
        named
    }

    /// Puts the expected properties into the job as tests of its steps, so that they are bound with it.
    fn properties(
        &self,
        world: World<'a>,
        job: &mut Job,
        problems: &mut Vec<Diagnostic>,
    ) -> HashMap<Span, Range<usize>> {
        let mut places = HashMap::new();
        for expectation in self.tests.iter().flat_map(|(_, test)| &test.expect) {
            let (Some(list), Some(step)) = (&expectation.tests, job.steps.get_mut(&expectation.step.value)) else {
                continue;
            };
            let before = step.tests.len();
            step.tests.extend(tests(list, None, &world.project.files, problems));
            places.insert(list.span.clone(), before..step.tests.len());
        }
        places
    }
}

fn step_of<'j>(job: &'j Job, named: &Spanned<Name>) -> Result<&'j Name, Diagnostic> {
    let name = named.value.lower();
    match job.steps.get(&named.value) {
        Some(step) if step.included => Ok(&step.name.value),
        Some(_) => {
            let message = format!("step `{name}` is no part of this test's run, since its `when` is false");
            Err(Diagnostic::error("step-left-out", message).at(named.span.clone()))
        }
        None => {
            let names: Vec<String> = job.steps.keys().map(Name::lower).collect();
            let message = format!("job `{}` has no step `{name}`", job.name.value.lower());
            let problem = Diagnostic::error("unknown-step", message).at(named.span.clone());
            Err(problem.did_you_mean(nearest(&name, &names)))
        }
    }
}

/// What the name of a given table means.
enum Meaning {
    /// A step of the job, by its name or by that of the table that it publishes.
    Step(Name),
    /// A source or another job's table.
    Table(TableName),
}

fn meaning(job: &Job, tables: &Contracts, name: &TableName) -> Option<Meaning> {
    let Some(schema) = &name.schema else {
        return job.steps.get(&name.table).map(|step| Meaning::Step(step.name.value.clone()));
    };
    let table = TableName::in_schema(schema.clone(), name.table.clone());
    let publishes = |step: &&crate::job::Step| step.publish.as_ref().is_some_and(|publish| publish.value == table);
    match job.steps.values().find(publishes) {
        Some(step) => Some(Meaning::Step(step.name.value.clone())),
        None => tables.contains_key(&table).then_some(Meaning::Table(table)),
    }
}

fn unknown_table(job: &Job, tables: &Contracts, name: &TableName) -> Diagnostic {
    let wanted = name.lower();
    let mut names: Vec<String> = job.steps.keys().map(Name::lower).chain(tables.keys().map(TableName::lower)).collect();
    names.sort();
    let same_table = || tables.keys().filter(|table| table.table == name.table).map(TableName::lower).min();
    let near = nearest(&wanted, &names).map(str::to_owned).or_else(same_table);
    let message = match &name.schema {
        None => format!("`{wanted}` is no step of job `{}`", job.name.value.lower()),
        Some(_) => format!("`{wanted}` is neither a source nor a table that job `{}` reads", job.name.value.lower()),
    };
    Diagnostic::error("unknown-table", message).did_you_mean(near)
}

/// A test with its rows in the types of their columns.
fn typed<'a>(bound: &Arc<BoundJob>, suite: &'a Suite, test: &'a UnitTest) -> (Option<Prepared<'a>>, Vec<Diagnostic>) {
    let mut problems = Vec::new();
    let mut given = HashMap::new();
    for table in &test.given {
        let Some((origin, columns, schema)) = bound.table(&table.table.value) else { continue };
        let defaults = test.defaults.get(&table.table.value).map(Vec::as_slice).unwrap_or_default();
        if let Some(batch) = batch(table, defaults, columns, &schema, &bound.session, &mut problems) {
            given.insert(origin, vec![batch]);
        }
    }
    let expect: Vec<Expected<'a>> =
        test.expect.iter().filter_map(|expectation| expected(bound, expectation, &mut problems)).collect();
    if has_errors(&problems) {
        return (None, problems);
    }
    let read = bound.reads(&given, expect.iter().map(|expected| expected.step));
    for table in test.given.iter().filter(|table| table.own) {
        if let Some((origin, ..)) = bound.table(&table.table.value)
            && !read.contains(&origin)
        {
            let message = format!("no step that this test expects reads `{}`", table.table.value.lower());
            problems.push(Diagnostic::warning("unused-rows", message).at(table.table.span.clone()));
        }
    }
    (Some(Prepared { suite, test, job: Arc::clone(bound), given, expect }), problems)
}

impl Prepared<'_> {
    /// The columns of a table that the job reads.
    pub fn columns(&self, table: &TableName) -> Option<&[Column]> {
        self.job.tables.get(table).map(Vec::as_slice)
    }
}

impl BoundJob {
    /// The table that a name means, its columns and their Arrow schema.
    fn table(&self, name: &TableName) -> Option<(Origin, &[Column], SchemaRef)> {
        match meaning(&self.job, &self.tables, name)? {
            Meaning::Step(step) => {
                let id = StepId { job: self.job.name.value.clone(), step };
                let step = &self.plan.steps[self.plan.position(&id)?];
                Some((Origin::Step(id, None), &step.columns, step.schema.clone()))
            }
            Meaning::Table(table) => {
                let columns = self.tables.get(&table)?;
                Some((Origin::Table(table), columns, schema_of(columns, &self.session.timezone)))
            }
        }
    }

    /// The steps to compute for these, by their places in the plan: all that they need and that is not given.
    pub(super) fn needed(
        &self,
        given: &HashMap<Origin, Vec<RecordBatch>>,
        steps: impl IntoIterator<Item = usize>,
    ) -> BTreeSet<usize> {
        let mut waiting: Vec<usize> = steps.into_iter().collect();
        let mut needed = BTreeSet::new();
        while let Some(at) = waiting.pop() {
            let step = &self.plan.steps[at];
            if given.contains_key(&Origin::Step(step.id.clone(), None)) || !needed.insert(at) {
                continue;
            }
            waiting.extend(step.reads().filter_map(|id| self.plan.position(id)));
        }
        needed
    }

    /// Everything that is read on the way to these steps, and they themselves.
    fn reads(
        &self,
        given: &HashMap<Origin, Vec<RecordBatch>>,
        steps: impl IntoIterator<Item = usize>,
    ) -> HashSet<Origin> {
        let steps: Vec<usize> = steps.into_iter().collect();
        let of = |at: usize| Origin::Step(self.plan.steps[at].id.clone(), None);
        let mut read: HashSet<Origin> = steps.iter().map(|at| of(*at)).collect();
        for at in self.needed(given, steps) {
            let step = &self.plan.steps[at];
            let inputs = step.inputs.iter().chain(step.tests.iter().flat_map(|test| &test.inputs));
            read.extend(inputs.map(|input| key(&input.origin)));
        }
        read
    }
}
