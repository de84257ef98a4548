//! Checks → steps of a plan. A check's query, its profiles and its reconciliation become steps beside those of the job that it
//! is about, so that one compiler reads, binds and explains them all; they publish nothing and no step of the job reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use datafusion::arrow::datatypes::DataType;

use super::profile::{DAYS, RECENT, Scan, Timing};
use super::reconcile::Pairing;
use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::job::check::{Check, Profile};
use crate::job::{Job, Step};
use crate::name::{Name, TableName, nearest};
use crate::plan::{Contracts, Origin, Plan, StepId, lineage};
use crate::source;
use crate::template::Variables;
use crate::text::derived::{Derived, Part};
use crate::text::{SourceFile, Span, Spanned};

/// Compiles jobs: the plan of those named, or what is wrong.
pub type Bind<'a> = dyn FnMut(&[Job], &[Name]) -> Result<Plan, Vec<Diagnostic>> + 'a;

/// A check and the job that it is about.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The job that it is written in.
    pub job: &'a Job,
    /// The check.
    pub check: &'a Check,
    /// The job whose figures it is about: that of `reconcile`, else its own.
    pub about: &'a Job,
}

/// A check as a step: what it reads and uses.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The check.
    pub question: Question<'a>,
    /// Its query.
    pub step: StepId,
    /// The tables that it reads, and where they come from.
    pub tables: Vec<(TableName, Origin)>,
    /// Of each table the columns that it uses.
    pub used: BTreeMap<TableName, BTreeSet<Name>>,
    /// Constants that its conditions ask columns for.
    pub sought: Vec<(TableName, Name, Vec<String>)>,
}

/// Checks, compiled.
pub struct Compiled<'a> {
    /// The jobs that checks are about, with the steps of the checks.
    pub plan: Plan,
    /// The checks, in order.
    pub asked: Vec<Asked<'a>>,
    /// The scans of all tables that they read.
    pub scans: Vec<Scan>,
}

/// What checks are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be answered.
    Answers,
    /// To remember what the tables look like that they read.
    Profiles,
}

/// The checks that a command names, by name or as `job.check`; all where it names none. `about` leaves only those that are
/// written in this job or are about it.
pub fn questions<'a>(
    jobs: &'a [Job],
    named: &[String],
    about: Option<&Name>,
) -> Result<Vec<Question<'a>>, Vec<Diagnostic>> {
    let mut all = Vec::new();
    let mut problems = Vec::new();
    for job in jobs {
        for check in &job.checks {
            match about_of(jobs, job, check) {
                Ok(about) => all.push(Question { job, check, about }),
                Err(problem) => problems.push(problem),
            }
        }
    }
    for name in named {
        if !all.iter().any(|question| question.is_called(name)) {
            let names: Vec<String> = all.iter().map(|question| question.check.name.value.lower()).collect();
            let message = format!("there is no check `{name}`");
            let problem = Diagnostic::error("unknown-check", message);
            problems.push(match nearest(&name.to_lowercase(), &names) {
                Some(near) => problem.did_you_mean(Some(near)),
                None => problem.hint("checks stand under `checks:` in the files of `pipelines/`"),
            });
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    all.retain(|question| {
        let wanted = named.is_empty() || named.iter().any(|name| question.is_called(name));
        let concerned = about.is_none_or(|name| question.job.name.value == *name || question.about.name.value == *name);
        wanted && concerned
    });
    Ok(all)
}

fn about_of<'a>(jobs: &'a [Job], job: &'a Job, check: &Check) -> Result<&'a Job, Diagnostic> {
    let Some(reconcile) = &check.reconcile else { return Ok(job) };
    let about = match &reconcile.job {
        None => job,
        Some(name) => jobs.iter().find(|job| job.name.value == *name).ok_or_else(|| {
            let names: Vec<String> = jobs.iter().map(|job| job.name.value.lower()).collect();
            let message = format!("there is no job `{}` to reconcile with", name.lower());
            let near = nearest(&name.lower(), &names).map(str::to_owned);
            Diagnostic::error("unknown-job", message).at(reconcile.step.span.clone()).did_you_mean(near)
        })?,
    };
    match about.steps.get(&reconcile.step.value) {
        Some(step) if step.included => Ok(about),
        _ => {
            let names: Vec<String> = about.steps.keys().map(Name::lower).collect();
            let wanted = reconcile.step.value.lower();
            let message = format!("job `{}` has no step `{wanted}` to reconcile with", about.name.value.lower());
            let near = nearest(&wanted, &names).map(str::to_owned);
            Err(Diagnostic::error("unknown-step", message).at(reconcile.step.span.clone()).did_you_mean(near))
        }
    }
}

impl Question<'_> {
    fn is_called(&self, name: &str) -> bool {
        let (own, job) = (self.check.name.value.lower(), self.job.name.value.lower());
        name.eq_ignore_ascii_case(&own) || name.eq_ignore_ascii_case(&format!("{job}.{own}"))
    }

    /// The step that is `what` of this check: its query, its differences and so on.
    pub fn step(&self, what: &str) -> StepId {
        let name = format!("{what} {}.{}", self.job.name.value.lower(), self.check.name.value.lower());
        StepId { job: self.about.name.value.clone(), step: Name::quoted(name) }
    }

    /// The step that it is reconciled with.
    pub fn reconciled(&self) -> Option<StepId> {
        let reconcile = self.check.reconcile.as_ref()?;
        Some(StepId { job: self.about.name.value.clone(), step: reconcile.step.value.clone() })
    }
}

/// Compiles checks: first their queries, to learn what they read and use; then what is asked of the tables and of the job.
pub fn compile<'a>(
    questions: &[Question<'a>],
    jobs: &[Job],
    contracts: &source::Contracts,
    columns: &Contracts,
    purpose: Purpose,
    bind: &mut Bind<'_>,
) -> Result<Compiled<'a>, Vec<Diagnostic>> {
    let mut wanted: Vec<Name> = Vec::new();
    for question in questions {
        if !wanted.contains(&question.about.name.value) {
            wanted.push(question.about.name.value.clone());
        }
    }
    let mut with_checks: Vec<Job> = jobs.iter().map(|job| beside(job, questions)).collect();
    let plan = bind(&with_checks, &wanted)?;
    let mut problems = Vec::new();
    let asked: Vec<Asked<'a>> = questions.iter().filter_map(|question| ask(*question, &plan, &mut problems)).collect();
    let answered = purpose == Purpose::Answers;
    for asked in asked.iter().filter(|_| answered) {
        reconcilable(&asked.question, &plan, &mut problems);
    }
    let scans = scans(purpose, &asked, &plan, columns, contracts, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    for asked in asked.iter().filter(|_| answered) {
        add_reconciliation(asked, &plan, &mut with_checks);
    }
    if let Some(template) = questions.first() {
        let data = of_tables(&scans, contracts, template.job, answered);
        if !answered {
            wanted.clear();
        }
        wanted.push(data.name.value.clone());
        with_checks.push(data);
    }
    let plan = bind(&with_checks, &wanted)?;
    Ok(Compiled { plan, asked, scans })
}

/// The job with the queries of the checks about it. Its own variables move into its steps, so that a check sees those of the
/// file that it is written in.
fn beside(job: &Job, questions: &[Question<'_>]) -> Job {
    let mut whole = job.clone();
    let own: Vec<Variables> = job.steps.values().map(|step| job.variables_of(step)).collect();
    for (step, variables) in whole.steps.values_mut().zip(own) {
        step.variables = variables;
    }
    whole.variables = Variables::default();
    whole.checks = Vec::new();
    for question in questions.iter().filter(|question| question.about.name.value == job.name.value) {
        let name = Spanned::new(question.step("check").step, question.check.name.span.clone());
        let (sql, tests) = (question.check.sql.clone(), question.check.expect.clone());
        let step = Step::query(name.clone(), sql, tests, question.job.variables.clone());
        whole.steps.insert(name.value, step);
    }
    whole
}

/// What a bound check reads and uses; it may not read steps of the job.
fn ask<'a>(question: Question<'a>, plan: &Plan, problems: &mut Vec<Diagnostic>) -> Option<Asked<'a>> {
    let id = question.step("check");
    let step = &plan.steps[plan.position(&id)?];
    let before = problems.len();
    let mut tables: Vec<(TableName, Origin)> = Vec::new();
    for input in &step.inputs {
        match (&input.origin, &input.name.value.schema) {
            (Origin::Table(name) | Origin::Own(name) | Origin::Step(_, Some(name)), Some(_)) => {
                if !tables.iter().any(|(known, _)| known == name) {
                    tables.push((name.clone(), input.origin.clone()));
                }
            }
            (Origin::Table(name) | Origin::Own(name), _) => tables.push((name.clone(), input.origin.clone())),
            (Origin::Step(step, _), _) => {
                let message = format!("a check reads tables, and `{}` is a step of the job", step.step.lower());
                let problem = Diagnostic::error("check-reads-step", message).at(input.name.span.clone());
                problems.push(problem.hint("compute it in the check's own way, and name the step under `reconcile`"));
            }
        }
    }
    let table_of = |from: &lineage::ColumnRef| {
        let of = |origin: &Origin| match origin {
            Origin::Step(id, _) => from.step.as_ref() == Some(id),
            Origin::Table(name) | Origin::Own(name) => from.step.is_none() && from.table == name.lower(),
        };
        tables.iter().find(|(_, origin)| of(origin)).map(|(table, _)| table.clone())
    };
    let lines = lineage::lineage(step);
    let mut used: BTreeMap<TableName, BTreeSet<Name>> =
        tables.iter().map(|(table, _)| (table.clone(), BTreeSet::new())).collect();
    for from in lines.columns.iter().flatten().chain(&lines.rows) {
        if let Some(table) = table_of(from) {
            used.entry(table).or_default().insert(from.column.clone());
        }
    }
    let constants = lineage::constants(step).into_iter();
    let sought = constants.filter_map(|(from, values)| {
        let texts = values.iter().map(|value| value.cast_to(&DataType::Utf8).map(|text| text.to_string()));
        Some((table_of(&from)?, from.column, texts.collect::<Result<_, _>>().ok()?))
    });
    let sought = sought.collect();
    (problems.len() == before).then_some(Asked { question, step: id, tables, used, sought })
}

/// The columns that are compared must be there on both sides.
fn reconcilable(question: &Question<'_>, plan: &Plan, problems: &mut Vec<Diagnostic>) {
    let Some(reconcile) = &question.check.reconcile else { return };
    let planned = |id: StepId| plan.position(&id).map(|at| &plan.steps[at]);
    let Some(step) = question.reconciled().and_then(planned) else { return };
    let Some(check) = planned(question.step("check")) else { return };
    let (here, there) = ("the check's query".to_owned(), format!("step `{}`", step.id));
    let keys = reconcile.key.iter().flat_map(|key| [(key, check, &here), (key, step, &there)]);
    let pairs = reconcile.columns.iter().flat_map(|(a, b)| [(a, check, &here), (b, step, &there)]);
    for (name, side, whose) in keys.chain(pairs) {
        if !side.columns.iter().any(|column| column.name == name.value) {
            let names = side.columns.iter().map(|column| column.name.as_str());
            let near = nearest(name.value.as_str(), names).map(str::to_lowercase);
            let message = format!("{whose} has no column `{}`", name.value.shown());
            problems.push(Diagnostic::error("unknown-column", message).at(name.span.clone()).did_you_mean(near));
        }
    }
}

/// One scan a table, for all checks that read it. What is only remembered is of fewer days.
fn scans(
    purpose: Purpose,
    asked: &[Asked<'_>],
    plan: &Plan,
    sources: &Contracts,
    contracts: &source::Contracts,
    problems: &mut Vec<Diagnostic>,
) -> Vec<Scan> {
    let mut tables: BTreeMap<TableName, (Vec<Column>, BTreeSet<Name>)> = BTreeMap::new();
    for asked in asked {
        for (table, origin) in &asked.tables {
            let columns = match origin {
                Origin::Table(name) | Origin::Own(name) => sources.get(name).cloned().unwrap_or_default(),
                Origin::Step(id, _) => plan.position(id).map(|at| plan.steps[at].columns.clone()).unwrap_or_default(),
            };
            let (_, used) = tables.entry(table.clone()).or_insert((columns, BTreeSet::new()));
            used.extend(asked.used.get(table).into_iter().flatten().cloned());
        }
        for profile in &asked.question.check.data {
            known_profile(profile, asked, &tables, problems);
        }
    }
    let days = if purpose == Purpose::Answers { DAYS } else { RECENT };
    let scan = |(table, (all, used)): (TableName, (Vec<Column>, BTreeSet<Name>))| {
        let used = all.iter().filter(|column| used.contains(&column.name)).cloned().collect();
        let timing = timing(&table, asked, contracts);
        Scan { table, all, used, timing, days }
    };
    tables.into_iter().map(scan).collect()
}

fn known_profile(
    profile: &Profile,
    asked: &Asked<'_>,
    tables: &BTreeMap<TableName, (Vec<Column>, BTreeSet<Name>)>,
    problems: &mut Vec<Diagnostic>,
) {
    if !asked.tables.iter().any(|(table, _)| *table == profile.table.value) {
        let names: Vec<String> = asked.tables.iter().map(|(table, _)| table.lower()).collect();
        let message = format!("the check's query does not read `{}`", profile.table.value.lower());
        let near = nearest(&profile.table.value.lower(), &names).map(str::to_owned);
        problems.push(Diagnostic::error("unknown-table", message).at(profile.table.span.clone()).did_you_mean(near));
        return;
    }
    let Some((columns, _)) = tables.get(&profile.table.value) else { return };
    if let Some(time) = &profile.time
        && !columns.iter().any(|column| column.name == time.value)
    {
        let near = nearest(time.value.as_str(), columns.iter().map(|column| column.name.as_str()));
        let message = format!("table `{}` has no column `{}`", profile.table.value.lower(), time.value.lower());
        let near = near.map(str::to_lowercase);
        problems.push(Diagnostic::error("unknown-column", message).at(time.span.clone()).did_you_mean(near));
    }
}

/// When rows of a table came about: as a check says, else as the contract's freshness does.
fn timing(table: &TableName, asked: &[Asked<'_>], contracts: &source::Contracts) -> Timing {
    let profiles: Vec<&Profile> = asked
        .iter()
        .flat_map(|asked| &asked.question.check.data)
        .filter(|profile| profile.table.value == *table)
        .collect();
    let said = profiles.iter().find_map(|profile| profile.time.as_ref()).map(|time| time.value.clone());
    let freshness = contracts.get(table).and_then(|contract| contract.freshness.as_ref());
    let column = said.or_else(|| freshness.map(|freshness| freshness.column.value.clone()));
    let reaches: Option<Duration> = profiles.iter().filter_map(|profile| profile.reaches).max();
    match (column, reaches) {
        (None, _) => Timing::Still,
        (Some(column), None) => Timing::Events(column),
        (Some(column), Some(reaches)) => {
            Timing::Schedule(column, i64::try_from(reaches.as_secs() / 86_400).unwrap_or(i64::MAX).clamp(1, 366))
        }
    }
}

/// Puts the reconciliation of a check beside the job's steps.
fn add_reconciliation(asked: &Asked<'_>, plan: &Plan, jobs: &mut [Job]) {
    let question = &asked.question;
    let Some(reconcile) = &question.check.reconcile else { return };
    let columns = |id: &StepId| plan.position(id).map(|at| plan.steps[at].columns.clone()).unwrap_or_default();
    let Some(step) = question.reconciled() else { return };
    let pairing = Pairing::new(reconcile, &columns(&asked.step), &columns(&step));
    let differences = question.step("differences of");
    let filter = reconcile.filter.as_ref().map(Derived::text);
    let steps = [
        (differences.clone(), pairing.sql(&asked.step.step, &step.step, filter)),
        (question.step("summary of"), pairing.summary(&differences.step)),
        (question.step("worst of"), pairing.worst(&differences.step)),
    ];
    let Some(job) = jobs.iter_mut().find(|job| job.name.value == question.about.name.value) else { return };
    for (id, sql) in steps {
        let step = generated(id.step, &sql, &reconcile.step.span, question.job.variables.clone());
        job.steps.insert(step.name.value.clone(), step);
    }
}

/// The name of the job whose steps look at tables.
fn data_job() -> Name {
    Name::quoted("tables of checks")
}

/// The step that scans a table.
pub fn scan_step(table: &TableName) -> StepId {
    StepId { job: data_job(), step: Name::quoted(format!("profile of {}", table.lower())) }
}

/// The step that tests a table by its contract.
pub fn contract_step(table: &TableName) -> StepId {
    StepId { job: data_job(), step: Name::quoted(format!("contract of {}", table.lower())) }
}

/// A job whose steps scan tables and, where checks are answered, test them by their contracts.
fn of_tables(scans: &[Scan], contracts: &source::Contracts, template: &Job, answered: bool) -> Job {
    let place = template.span();
    let mut job = template.clone();
    job.name = Spanned::new(data_job(), place.clone());
    job.steps.clear();
    job.checks.clear();
    for scan in scans {
        let step = generated(scan_step(&scan.table).step, &scan.sql(), place, Variables::default());
        job.steps.insert(step.name.value.clone(), step);
        let tests = contracts.get(&scan.table).map(|contract| contract.tests.clone()).unwrap_or_default();
        if answered && !tests.is_empty() {
            let sql = format!("select * from {}", scan.table.sql());
            let mut step = generated(contract_step(&scan.table).step, &sql, place, Variables::default());
            step.tests = tests;
            job.steps.insert(step.name.value.clone(), step);
        }
    }
    job
}

/// A step of SQL that the program wrote; what is wrong with it is told at `place`.
fn generated(name: Name, sql: &str, place: &Span, variables: Variables) -> Step {
    let part = Part { start: 0, origin: place.clone(), copied: false };
    let sql = Derived::new(SourceFile::new(place.file.path(), sql), vec![part]);
    Step::query(Spanned::new(name, place.clone()), sql, Vec::new(), variables)
}
