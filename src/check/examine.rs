//! Asking a backend what checks ask: their rows, the profiles of the tables they read, the job's figures. What it answers is
//! judged and remembered.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use datafusion::arrow::array::RecordBatch;
use datafusion::logical_expr::LogicalPlanBuilder;

use super::cells::Cells;
use super::data::{Expected, Finding, judge};
use super::profile::{Profile, Scan};
use super::question::{Asked, Compiled, contract_step, scan_step};
use super::reconcile::Pairing;
use super::{Checked, Expectation, Logic, Moment, Stale, blame};
use crate::backend::{Backend, BackendError, Keep};
use crate::ledger::{CheckRecord, Ledger, LedgerError, ProfileRecord};
use crate::name::TableName;
use crate::opaque::Opaque;
use crate::plan::{PlannedTest, Query, StepId};
use crate::rule::{self, Outcome, Severity};
use crate::run::aside::Aside;
use crate::source;

/// Everything that checks need.
pub struct Examination<'a> {
    /// The checks, compiled.
    pub compiled: &'a Compiled<'a>,
    /// What answers.
    pub backend: &'a dyn Backend,
    /// What is promised of sources.
    pub contracts: &'a source::Contracts,
    /// Published tables that are older than what they were made from, or would be made otherwise.
    pub stale: &'a [Stale],
    /// Published tables that are there and are not stale.
    pub fresh: &'a HashSet<TableName>,
    /// When it is.
    pub moment: Moment,
    /// How many rows of each check to keep.
    pub show: usize,
}

/// What checks came to, and what to remember of them.
#[derive(Debug, Default)]
pub struct Examined {
    /// The checks, in order.
    pub checks: Vec<Checked>,
    /// What the tables looked like.
    pub profiles: Vec<ProfileRecord>,
    /// What the checks came to.
    pub records: Vec<CheckRecord>,
}

/// A table, profiled.
struct Profiled {
    profile: Profile,
    version: String,
    history: Vec<ProfileRecord>,
    broken: Vec<Finding>,
}

impl Examination<'_> {
    /// Carries out all checks.
    pub async fn run(self, ledger: &Ledger) -> Result<Examined, LedgerError> {
        let mut session = Session::new(&self);
        let (profiled, failed) = self.profiles(&mut session, ledger).await?;
        let mut checks = Vec::new();
        for asked in &self.compiled.asked {
            let checked = match session.check(asked).await {
                Ok(checked) => checked,
                Err(error) => Checked { error: Some(error.to_string()), ..self.blank(asked) },
            };
            checks.push(checked);
        }
        session.aside.forget().await;
        let mut examined = Examined::default();
        for (table, profiled) in &profiled {
            examined.profiles.push(self.remembered(table, profiled));
        }
        for (asked, checked) in self.compiled.asked.iter().zip(&mut checks) {
            self.judge_data(asked, &profiled, &failed, checked);
            Self::judge_expectations(checked);
        }
        self.judge_logic(&mut checks, ledger)?;
        for (asked, checked) in self.compiled.asked.iter().zip(&checks) {
            examined.records.push(self.record(asked, checked));
        }
        examined.checks = checks;
        Ok(examined)
    }

    /// Only looks at the tables.
    pub async fn remember(self) -> Vec<ProfileRecord> {
        let mut session = Session::new(&self);
        let tables: Vec<TableName> = self.compiled.scans.iter().map(|scan| scan.table.clone()).collect();
        let versions = self.backend.versions(&tables).await.unwrap_or_default();
        let mut profiles = Vec::new();
        for scan in &self.compiled.scans {
            match session.rows(&scan_step(&scan.table)).await {
                Ok(rows) => {
                    let version = versions.get(&scan.table).cloned().unwrap_or_default();
                    let profiled =
                        Profiled { profile: scan.read(&rows), version, history: Vec::new(), broken: Vec::new() };
                    profiles.push(self.remembered(&scan.table, &profiled));
                }
                Err(error) => tracing::warn!(%error, table = scan.table.lower(), "the table could not be profiled"),
            }
        }
        profiles
    }

    fn blank(&self, asked: &Asked<'_>) -> Checked {
        let (check, about) = (asked.question.check, &asked.question.about.name.value);
        let published: Vec<&TableName> = asked
            .question
            .about
            .steps
            .values()
            .filter_map(|step| step.publish.as_ref())
            .map(|table| &table.value)
            .collect();
        let stale = self.stale.iter().filter(|stale| published.contains(&&stale.table) && check.reconcile.is_some());
        debug_assert!(self.compiled.plan.jobs.contains(about), "the job of a check is planned");
        Checked {
            job: asked.question.job.name.value.clone(),
            name: check.name.value.clone(),
            about: check.about.clone(),
            span: check.name.span.clone(),
            severity: check.severity,
            rows: 0,
            columns: Vec::new(),
            top: Vec::new(),
            expectations: Vec::new(),
            tables: asked.tables.iter().map(|(table, _)| table.clone()).collect(),
            findings: Vec::new(),
            logic: None,
            stale: stale.cloned().collect(),
            error: None,
        }
    }

    async fn profiles(
        &self,
        session: &mut Session<'_>,
        ledger: &Ledger,
    ) -> Result<(BTreeMap<TableName, Profiled>, BTreeMap<TableName, String>), LedgerError> {
        let tables: Vec<TableName> = self.compiled.scans.iter().map(|scan| scan.table.clone()).collect();
        let versions = self.backend.versions(&tables).await.unwrap_or_default();
        let (mut profiled, mut failed) = (BTreeMap::new(), BTreeMap::new());
        for scan in &self.compiled.scans {
            match session.profile(scan).await {
                Ok((profile, broken)) => {
                    let version = versions.get(&scan.table).cloned().unwrap_or_default();
                    let day = self.moment.clock.date_naive();
                    let mut history = ledger.profiles(&scan.table.lower())?;
                    history.retain(|record| {
                        (record.version != version || record.clock.date_naive() != day)
                            && record.clock <= self.moment.clock
                    });
                    profiled.insert(scan.table.clone(), Profiled { profile, version, history, broken });
                }
                Err(error) => {
                    failed.insert(scan.table.clone(), error.to_string());
                }
            }
        }
        Ok((profiled, failed))
    }

    fn remembered(&self, table: &TableName, profiled: &Profiled) -> ProfileRecord {
        ProfileRecord {
            table: table.lower(),
            at: self.moment.at,
            clock: self.moment.clock,
            version: profiled.version.clone(),
            measures: profiled.profile.measures(self.moment.clock),
        }
    }

    fn judge_data(
        &self,
        asked: &Asked<'_>,
        profiled: &BTreeMap<TableName, Profiled>,
        failed: &BTreeMap<TableName, String>,
        checked: &mut Checked,
    ) {
        for (table, _) in &asked.tables {
            if let Some(error) = failed.get(table) {
                checked.error.get_or_insert_with(|| format!("table `{}` cannot be profiled: {error}", table.lower()));
            }
            let Some(profiled) = profiled.get(table) else { continue };
            let said = asked.question.check.data.iter().find(|profile| profile.table.value == *table);
            let sought = asked.sought.iter().filter(|(of, _, _)| of == table);
            let expected = Expected {
                contract: self.contracts.get(table),
                fresh_within: said.and_then(|said| said.fresh_within),
                reaches: said.and_then(|said| said.reaches),
                volume: said.and_then(|said| said.volume),
                severity: said.and_then(|said| said.severity),
                sought: sought.map(|(_, column, values)| (column.clone(), values.clone())).collect(),
                history: profiled.history.clone(),
            };
            let used = asked.used.get(table);
            let findings = judge(&profiled.profile, &expected, self.moment.clock);
            let concerned = |finding: &Finding| {
                finding.column.as_ref().is_none_or(|column| {
                    matches!(finding.measure.as_str(), "freshness") || used.is_some_and(|used| used.contains(column))
                })
            };
            checked.findings.extend(profiled.broken.iter().cloned());
            for finding in findings.into_iter().filter(concerned) {
                checked.findings.push(finding);
            }
        }
    }

    /// A missed expectation is about the table that the check reads, where that is one and nothing else is off about it.
    fn judge_expectations(checked: &mut Checked) {
        let missed = checked.expectations.iter().filter(|one| one.outcome != Outcome::Pass);
        let severe = missed.clone().any(|one| one.outcome == Outcome::Fail);
        if let ([table], true, Some(first)) =
            (checked.tables.as_slice(), checked.findings.is_empty(), missed.clone().next())
        {
            let finding = Finding {
                table: table.clone(),
                column: None,
                measure: first.name.clone(),
                message: "what the check computes from it is not what is expected".to_owned(),
                since: None,
                severity: if severe { Severity::Error } else { Severity::Warn },
            };
            checked.findings.push(finding);
        }
    }

    /// Says which step explains each disagreement, once all checks have spoken.
    fn judge_logic(&self, checks: &mut [Checked], ledger: &Ledger) -> Result<(), LedgerError> {
        let mut agreed: BTreeMap<StepId, bool> = BTreeMap::new();
        for logic in checks.iter().filter_map(|check| check.logic.as_ref()) {
            let agrees = agreed.entry(logic.step.clone()).or_insert(true);
            *agrees &= logic.difference.agrees();
        }
        let plan = &self.compiled.plan;
        for (asked, checked) in self.compiled.asked.iter().zip(checks) {
            let (job, name) = (checked.job.lower(), checked.name.lower());
            let Some(logic) = checked.logic.as_mut().filter(|logic| !logic.difference.agrees()) else { continue };
            let now = blame::texts(plan, &logic.step, asked.question.about);
            let last = ledger.last_agreement(&job, &name)?;
            let steps: BTreeSet<StepId> = plan.steps.iter().map(|step| step.id.clone()).collect();
            logic.changes = blame::changes(&now, last.as_ref(), ledger, steps)?;
            logic.blamed = blame::blamed(plan, &logic.step, &logic.difference, &logic.changes, &agreed);
        }
        Ok(())
    }

    fn record(&self, asked: &Asked<'_>, checked: &Checked) -> CheckRecord {
        let agreed = checked.logic.as_ref().map(|logic| logic.difference.agrees());
        let texts = match &checked.logic {
            Some(logic) => blame::texts(&self.compiled.plan, &logic.step, asked.question.about),
            None => BTreeMap::new(),
        };
        CheckRecord {
            job: checked.job.lower(),
            name: checked.name.lower(),
            at: self.moment.at,
            clock: self.moment.clock,
            verdict: checked.verdict().as_str().to_owned(),
            agreed,
            texts,
        }
    }
}

/// What is asked of the backend, over steps that are computed aside.
struct Session<'a> {
    of: &'a Examination<'a>,
    aside: Aside<'a>,
}

impl<'a> Session<'a> {
    fn new(of: &'a Examination<'a>) -> Self {
        let compiled = of.compiled;
        let is_there = move |id: &StepId, published: Option<&TableName>| {
            let is_asked = compiled.asked.iter().any(|asked| asked.question.about.name.value == id.job);
            published.is_some_and(|table| !is_asked || of.fresh.contains(table))
        };
        Self { of, aside: Aside::new(&compiled.plan, of.backend, Box::new(is_there)) }
    }

    async fn check(&mut self, asked: &Asked<'_>) -> Result<Checked, BackendError> {
        let mut checked = self.of.blank(asked);
        let plan = &self.of.compiled.plan;
        let Some(at) = plan.position(&asked.step) else { return Ok(checked) };
        let step = &plan.steps[at];
        checked.rows = self.aside.build(at, Keep::Share).await?.unwrap_or_default();
        checked.columns.clone_from(&step.columns);
        if self.of.show > 0
            && let Some(query) = step.query()
        {
            checked.top = self.aside.rows(&first(query, self.of.show)?, &step.inputs).await?;
        }
        for test in &step.tests {
            let verdict = self.test(test).await?;
            checked.expectations.push(Expectation {
                name: test.name.clone(),
                outcome: verdict.outcome,
                message: verdict.message,
            });
        }
        checked.logic = self.reconcile(asked).await?;
        Ok(checked)
    }

    async fn reconcile(&mut self, asked: &Asked<'_>) -> Result<Option<Logic>, BackendError> {
        let (Some(reconcile), Some(step)) = (&asked.question.check.reconcile, asked.question.reconciled()) else {
            return Ok(None);
        };
        let plan = &self.of.compiled.plan;
        let columns = |id: &StepId| plan.position(id).map(|at| plan.steps[at].columns.clone()).unwrap_or_default();
        let pairing = Pairing::new(reconcile, &columns(&asked.step), &columns(&step));
        let summary = self.rows(&asked.question.step("summary of")).await?;
        let worst = self.rows(&asked.question.step("worst of")).await?;
        let published = plan.position(&step).and_then(|at| plan.steps[at].publish.as_ref());
        Ok(Some(Logic {
            published: published.is_some_and(|table| self.of.fresh.contains(table)),
            step,
            difference: pairing.read(&Cells::of(&summary), &Cells::of(&worst)),
            blamed: Vec::new(),
            changes: Vec::new(),
        }))
    }

    async fn profile(&mut self, scan: &Scan) -> Result<(Profile, Vec<Finding>), BackendError> {
        let profile = scan.read(&self.rows(&scan_step(&scan.table)).await?);
        let mut broken = Vec::new();
        let plan = &self.of.compiled.plan;
        let Some(at) = plan.position(&contract_step(&scan.table)) else { return Ok((profile, broken)) };
        self.aside.build(at, Keep::Inline).await?;
        for test in &plan.steps[at].tests {
            let verdict = self.test(test).await?;
            if verdict.outcome == Outcome::Pass {
                continue;
            }
            broken.push(Finding {
                table: scan.table.clone(),
                column: match test.test.rule.columns() {
                    [only] => Some(only.value.clone()),
                    _ => None,
                },
                measure: test.name.clone(),
                message: format!("its contract's test `{}` fails: {}", test.name, verdict.message),
                since: None,
                severity: if verdict.outcome == Outcome::Warn { Severity::Warn } else { Severity::Error },
            });
        }
        Ok((profile, broken))
    }

    async fn test(&mut self, test: &PlannedTest) -> Result<rule::Verdict, BackendError> {
        let Some(query) = &test.query else {
            return Err(BackendError::author(format!("test `{}` could not be bound", test.name)));
        };
        let cells = Cells::of(&self.aside.rows(query, &test.inputs).await?);
        Ok(test.test.verdict(cells.count("FAILED", 0), cells.count("TESTED", 0)))
    }

    /// The rows of a step that nothing else reads.
    async fn rows(&mut self, id: &StepId) -> Result<Vec<RecordBatch>, BackendError> {
        let plan = &self.of.compiled.plan;
        let step = plan.position(id).map(|at| &plan.steps[at]);
        match step.and_then(|step| Some((step, step.query()?))) {
            Some((step, query)) => self.aside.rows(query, &step.inputs).await,
            None => Err(BackendError::author(format!("`{id}` could not be bound"))),
        }
    }
}

/// The query for the first rows, in the order that it asks for.
fn first(query: &Query, rows: usize) -> Result<Query, BackendError> {
    let plan = LogicalPlanBuilder::from((*query.plan).clone()).limit(0, Some(rows)).and_then(LogicalPlanBuilder::build);
    let plan = plan.map_err(|error| BackendError::author(error.strip_backtrace()))?;
    Ok(Query {
        sql: format!("select * from (\n{}\n) limit {rows}", query.sql.trim().trim_end_matches(';')),
        inputs: query.inputs.clone(),
        plan: Opaque::new(plan),
    })
}
