//! The scheduler against a scripted backend: order, failures, retries, interruption, publishing.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::logical_expr::LogicalPlanBuilder;
use proptest::prelude::*;

use super::*;
use crate::backend::{Attempt, BackendError, Built, Remedy, Rows};
use crate::job::OnError;
use crate::name::TableName;
use crate::opaque::Opaque;
use crate::plan::tested::Tested;
use crate::plan::{Input, Node, Origin, PlannedStep, PlannedTest, Query, Work};
use crate::rule::{Bound, Rule, Severity, Test, Threshold};
use crate::secret::Vault;
use crate::secret::env::EnvironmentSecrets;
use crate::store::Stores;
use crate::text::{SourceFile, Spanned};
use crate::transfer::Connections;

/// What a scripted step does at each try; the last entry repeats.
#[derive(Clone, Debug)]
enum Act {
    Succeed,
    Fail(Remedy),
    Sleep(Duration),
    Panic,
}

#[derive(Default)]
struct Scripted {
    acts: HashMap<StepId, Vec<Act>>,
    count: i64,
    publish_fails: bool,
    /// Whether every table was published before.
    kept: bool,
    log: Mutex<Vec<String>>,
}

impl Scripted {
    fn log(&self, line: String) {
        self.log.lock().expect("the log").push(line);
    }

    fn lines(&self) -> Vec<String> {
        self.log.lock().expect("the log").clone()
    }
}

#[async_trait]
impl Backend for Scripted {
    async fn versions(&self, tables: &[TableName]) -> Result<HashMap<TableName, String>, BackendError> {
        let kept = tables.iter().filter(|_| self.kept);
        Ok(kept.map(|table| (table.clone(), "v0".to_owned())).collect())
    }

    async fn build(&self, step: &PlannedStep, attempt: &Attempt) -> Result<Built, BackendError> {
        self.log(format!("build {}", step.id));
        let acts = self.acts.get(&step.id).map_or(&[][..], Vec::as_slice);
        let act = acts.get(attempt.number as usize - 1).or(acts.last()).unwrap_or(&Act::Succeed);
        match act {
            Act::Succeed => tokio::task::yield_now().await,
            Act::Fail(remedy) => return Err(BackendError::new(*remedy, "scripted")),
            Act::Sleep(time) => tokio::time::sleep(*time).await,
            Act::Panic => panic!("scripted"),
        }
        self.log(format!("built {}", step.id));
        Ok(Built { rows: Some(1) })
    }

    async fn fill(&self, step: &PlannedStep, _: Rows, attempt: &Attempt) -> Result<Built, BackendError> {
        self.build(step, attempt).await
    }

    async fn stream(&self, _: &PlannedStep) -> Result<Rows, BackendError> {
        Ok(Box::pin(futures::stream::empty()))
    }

    async fn query(&self, _: &Query) -> Result<Vec<RecordBatch>, BackendError> {
        let column = Arc::new(Int64Array::from(vec![self.count])) as ArrayRef;
        Ok(vec![RecordBatch::try_from_iter([("failed", column.clone()), ("tested", column)]).expect("a batch")])
    }

    async fn publish(&self, job: &Name, steps: &[&PlannedStep]) -> Result<Vec<String>, BackendError> {
        if self.publish_fails {
            return Err(BackendError::author("the disk is full"));
        }
        let tables: Vec<String> = steps.iter().map(|step| step.id.to_string()).collect();
        self.log(format!("publish {}: {}", job.lower(), tables.join(" ")));
        Ok(tables.iter().map(|_| "v1".to_owned()).collect())
    }

    async fn discard(&self, step: &StepId) -> Result<(), BackendError> {
        self.log(format!("discard {step}"));
        Ok(())
    }
}

fn query() -> Query {
    let plan = Opaque::new(LogicalPlanBuilder::empty(true).build().expect("a plan"));
    Query { sql: "select 1".to_owned(), inputs: Vec::new(), plan }
}

/// `job.step` reads the named steps and publishes where its name starts with `t`.
fn step(job: &str, name: &str, reads: &[&str]) -> PlannedStep {
    let mut step = PlannedStep::new(StepId::new(job, name), Work::Query(query()));
    let place = SourceFile::new("job.sql", "x").span(0..1);
    step.inputs = reads
        .iter()
        .map(|read| {
            let (job, name) = read.split_once('.').unwrap_or((job, read));
            let table = TableName::bare(Name::unquoted(name));
            Input {
                name: Spanned::new(table.clone(), place.clone()),
                origin: Origin::Step(StepId::new(job, name), None),
            }
        })
        .collect();
    step.publish = name.starts_with('t').then(|| TableName::in_schema(Name::unquoted("out"), Name::unquoted(name)));
    step.patience.backoff = Duration::from_millis(1);
    step
}

fn test(fails_above: u64) -> PlannedTest {
    let test = Test {
        name: "unique".to_owned(),
        description: None,
        rule: Rule::NotNull(Vec::new()),
        filter: None,
        severity: Severity::Error,
        warn_if: None,
        error_if: Some(Threshold { bound: Bound::Count(fails_above), inclusive: false }),
        span: SourceFile::new("job.yaml", "x").span(0..1),
    };
    let tested = Tested::new(&test, "t");
    PlannedTest { name: "unique".to_owned(), inputs: Vec::new(), query: Some(query()), tested, test }
}

struct Ran {
    results: RunResults,
    log: Vec<String>,
    events: Vec<Event>,
}

impl Ran {
    fn status(&self, step: &str) -> Status {
        let found = self.results.steps.iter().find(|record| record.step.to_string() == step);
        found.map_or(Status::Pending, |record| record.status)
    }
}

fn run_steps(steps: Vec<PlannedStep>, backend: Scripted, cancel_after: Option<Duration>) -> Ran {
    let folder = tempfile::tempdir().expect("a folder");
    let mut ledger = Ledger::open(&folder.path().join("ledger.sqlite")).expect("a ledger");
    let plan = Arc::new(Plan::new(steps, &[]));
    let decision = |keep: Keep| Decision::Run {
        reason: "forced".to_owned(),
        keep,
        fingerprint: Fingerprint::default(),
        history: crate::plan::interval::History::default(),
    };
    let decisions = keeps(&plan, false).into_iter().map(decision).collect();
    let backend = Arc::new(backend);
    let cancel = CancellationToken::new();
    let now = now();
    let record = RunRecord {
        id: run_id(now, std::process::id()),
        started: now,
        finished: None,
        status: Status::Running,
        jobs: vec!["a".to_owned()],
        target: "local".to_owned(),
        clock: now,
        select: None,
        process: std::process::id(),
    };
    let mut events = Vec::new();
    let mut tell = |event: &Event| events.push(event.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let results = runtime.block_on(async {
        if let Some(time) = cancel_after {
            let cancel = cancel.clone();
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                cancel.cancel();
            });
        }
        let backend = backend.clone();
        let stores = Arc::new(Stores::new(&folder.path().join("sources.json")));
        let vault = Arc::new(Vault::new(Box::new(EnvironmentSecrets)));
        let connections = Connections { logins: HashMap::new(), vault };
        let transfers = Arc::new(Transfers::new(stores, folder.path().to_owned(), folder.path(), connections));
        let tell = &mut tell;
        let ledger = &mut ledger;
        let run = Run { plan, decisions, backend, transfers, ledger, record, jobs: 2, max_rows: None, cancel, tell };
        run.execute().await.expect("the ledger works")
    });
    let kept = ledger.steps_of(&results.run.id).expect("read back");
    assert_eq!(kept, results.steps, "the ledger holds what the run gave");
    Ran { results, log: backend.lines(), events }
}

#[test]
fn tables_are_published_together_when_all_steps_are_done() {
    let ran = run_steps(
        vec![step("a", "t1", &[]), step("a", "t2", &["x"]), step("a", "x", &["t1"])],
        Scripted::default(),
        None,
    );
    assert_eq!(ran.results.run.status, Status::Success);
    assert_eq!(ran.results.published, ["out.t1", "out.t2"]);
    assert_eq!(ran.log.last().map(String::as_str), Some("publish a: a.t1 a.t2"));
    assert!(matches!(ran.events.last(), Some(Event::RunFinished(_))));
}

#[test]
fn another_job_waits_for_the_publish() {
    let ran = run_steps(
        vec![step("b", "y", &["a.t1"]), step("a", "t1", &[]), step("a", "t2", &[])],
        Scripted::default(),
        None,
    );
    let at = |line: &str| ran.log.iter().position(|l| l == line).expect(line);
    assert!(at("publish a: a.t1 a.t2") < at("build b.y"));
}

#[test]
fn a_failure_skips_what_is_below_it_and_withholds_the_job() {
    let acts = HashMap::from([(StepId::new("a", "x"), vec![Act::Fail(Remedy::Author)])]);
    let ran = run_steps(
        vec![
            step("a", "x", &[]),
            step("a", "y", &["x"]),
            step("a", "t1", &[]),
            step("b", "t2", &["a.t1"]),
            step("c", "t3", &[]),
        ],
        Scripted { acts, ..Scripted::default() },
        None,
    );
    let statuses = ["a.x", "a.y", "a.t1", "b.t2", "c.t3"].map(|step| ran.status(step));
    assert_eq!(statuses, [Status::Failed, Status::Skipped, Status::Success, Status::Skipped, Status::Success]);
    assert_eq!(ran.results.published, ["out.t3"]);
    let withheld: Vec<String> = ran.results.withheld.iter().map(|(job, _)| job.lower()).collect();
    assert_eq!(withheld, ["a", "b"]);
    assert!(ran.log.contains(&"discard a.t1".to_owned()));
    assert_eq!(ran.results.run.status, Status::Failed);
}

#[test]
fn a_failure_means_what_its_author_wants() {
    let run = |on_error: OnError, kept: bool| {
        let mut failing = step("a", "t1", &[]);
        failing.on_error = on_error;
        let steps = vec![
            failing,
            step("a", "t2", &["t1"]),
            step("a", "t3", &[]),
            step("b", "t4", &["a.t2"]),
            step("c", "t5", &[]),
        ];
        let acts = HashMap::from([(StepId::new("a", "t1"), vec![Act::Fail(Remedy::Author)])]);
        run_steps(steps, Scripted { acts, kept, ..Scripted::default() }, None)
    };
    let statuses = |ran: &Ran| ["a.t2", "a.t3", "b.t4", "c.t5"].map(|step| ran.status(step));
    let published = |ran: &Ran| {
        let mut tables = ran.results.published.clone();
        tables.sort();
        tables.join(" ")
    };
    use Status::{Skipped, Success};
    for (on_error, kept, expected, tables) in [
        (OnError::SkipDownstream, true, [Skipped, Success, Skipped, Success], "out.t5"),
        (OnError::Continue, true, [Skipped, Success, Skipped, Success], "out.t3 out.t5"),
        (OnError::KeepLast, true, [Success; 4], "out.t2 out.t3 out.t4 out.t5"),
        (OnError::KeepLast, false, [Skipped, Success, Skipped, Success], "out.t3 out.t5"),
    ] {
        let ran = run(on_error, kept);
        assert_eq!((statuses(&ran), published(&ran)), (expected, tables.to_owned()), "{on_error:?}");
        assert_eq!(ran.results.run.status, Status::Failed);
    }
    let ran = run(OnError::Fail, true);
    assert_eq!((ran.status("a.t2"), ran.status("b.t4")), (Skipped, Skipped));
    assert!(!ran.results.published.iter().any(|table| table == "out.t3" || table == "out.t4"));
}

#[test]
fn what_is_made_from_a_kept_table_is_made_again_next_time() {
    let mut failing = step("a", "t1", &[]);
    failing.on_error = OnError::KeepLast;
    let acts = HashMap::from([(StepId::new("a", "t1"), vec![Act::Fail(Remedy::Author)])]);
    let ran =
        run_steps(vec![failing, step("a", "t2", &["t1"])], Scripted { acts, kept: true, ..Scripted::default() }, None);
    let made_from = ran.results.steps[1].fingerprint.as_ref().expect("it ran");
    assert!(made_from.inputs["out.t1"].starts_with("as before run "), "{made_from:?}");
}

#[test]
fn a_failed_test_fails_the_step_and_nothing_is_published() {
    let mut tested = step("a", "t1", &[]);
    tested.tests = vec![test(2)];
    let ran = run_steps(vec![tested.clone()], Scripted { count: 3, ..Scripted::default() }, None);
    assert_eq!(ran.status("a.t1"), Status::Failed);
    assert_eq!(ran.results.steps[0].error.as_deref(), Some("test `unique` failed: 3 of 3 rows have a NULL"));
    assert!(ran.results.published.is_empty());
    let ran = run_steps(vec![tested], Scripted { count: 2, ..Scripted::default() }, None);
    assert_eq!(ran.results.published, ["out.t1"]);
}

#[test]
fn what_may_pass_is_tried_again_and_what_cannot_is_not() {
    let flaky = vec![Act::Fail(Remedy::Retry), Act::Fail(Remedy::Retry), Act::Succeed];
    let acts = HashMap::from([
        (StepId::new("a", "flaky"), flaky),
        (StepId::new("a", "down"), vec![Act::Fail(Remedy::Retry)]),
        (StepId::new("a", "wrong"), vec![Act::Fail(Remedy::Author)]),
    ]);
    let steps = vec![step("a", "flaky", &[]), step("a", "down", &[]), step("a", "wrong", &[])];
    let ran = run_steps(steps, Scripted { acts, ..Scripted::default() }, None);
    let attempts: Vec<u32> = ran.results.steps.iter().map(|record| record.attempts).collect();
    assert_eq!(attempts, [3, 3, 1]);
    assert_eq!(ran.status("a.flaky"), Status::Success);
    assert_eq!(ran.status("a.down"), Status::Failed);
    let retried = ran.events.iter().filter(|event| matches!(event, Event::StepRetried { .. })).count();
    assert_eq!(retried, 4);
}

#[test]
fn a_step_over_its_time_or_in_a_panic_fails_alone() {
    let acts = HashMap::from([
        (StepId::new("a", "slow"), vec![Act::Sleep(Duration::from_secs(60))]),
        (StepId::new("a", "bug"), vec![Act::Panic]),
    ]);
    let mut slow = step("a", "slow", &[]);
    slow.patience.timeout = Some(Duration::from_millis(20));
    let ran = run_steps(
        vec![slow, step("a", "bug", &[]), step("b", "t1", &[])],
        Scripted { acts, ..Scripted::default() },
        None,
    );
    assert_eq!(ran.results.steps[0].error.as_deref(), Some("took longer than its timeout of 20 ms"));
    assert_eq!(ran.status("a.bug"), Status::Failed);
    assert_eq!(ran.results.published, ["out.t1"]);
}

#[test]
fn an_interruption_stops_what_runs_and_starts_nothing_more() {
    let acts = HashMap::from([(StepId::new("a", "slow"), vec![Act::Sleep(Duration::from_secs(60))])]);
    let ran = run_steps(
        vec![step("a", "slow", &[]), step("a", "t1", &["slow"])],
        Scripted { acts, ..Scripted::default() },
        Some(Duration::from_millis(20)),
    );
    assert_eq!(ran.results.run.status, Status::Cancelled);
    assert_eq!((ran.status("a.slow"), ran.status("a.t1")), (Status::Cancelled, Status::Cancelled));
    assert!(!ran.log.contains(&"build a.t1".to_owned()));
}

#[test]
fn a_publish_that_fails_fails_the_run_and_what_reads_the_tables() {
    let ran = run_steps(
        vec![step("a", "t1", &[]), step("b", "y", &["a.t1"])],
        Scripted { publish_fails: true, ..Scripted::default() },
        None,
    );
    assert_eq!(ran.results.run.status, Status::Failed);
    assert_eq!(ran.status("b.y"), Status::Skipped);
    assert!(ran.results.published.is_empty());
}

#[test]
fn a_shared_result_is_forgotten_after_its_last_reader() {
    let ran = run_steps(
        vec![step("a", "x", &[]), step("a", "t1", &["x"]), step("a", "t2", &["x"])],
        Scripted::default(),
        None,
    );
    let at = |line: &str| ran.log.iter().position(|l| l == line).expect(line);
    assert!(at("discard a.x") > at("built a.t1") && at("discard a.x") > at("built a.t2"));
}

#[test]
fn one_reader_is_inlined_and_several_share() {
    let plan = Plan::new(
        vec![
            step("a", "one", &[]),
            step("a", "two", &[]),
            step("a", "t1", &["one", "two"]),
            step("a", "t2", &["two"]),
            step("a", "twice", &[]),
            step("a", "t3", &["twice", "twice"]),
        ],
        &[],
    );
    let kept: Vec<bool> = keeps(&plan, false).iter().map(|keep| *keep == Keep::Inline).collect();
    assert_eq!(kept, [true, false, false, false, false, false]);
    assert!(keeps(&plan, true).iter().all(|keep| matches!(keep, Keep::Table(_))));
}

/// Random graphs: each step reads some of those before it.
fn graphs() -> impl Strategy<Value = (Vec<Vec<usize>>, HashSet<usize>)> {
    (2usize..14).prop_flat_map(|size| {
        let reads: Vec<_> = (0..size).map(|at| proptest::collection::vec(0..at.max(1), 0..at.min(3) + 1)).collect();
        (reads, proptest::collection::hash_set(0..size, 0..3))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_respects_every_edge_and_failures_skip_exactly_what_is_below((reads, failing) in graphs()) {
        let name = |at: usize| format!("s{at}");
        let steps: Vec<PlannedStep> = reads.iter().enumerate().map(|(at, reads)| {
            let reads: Vec<String> = reads.iter().filter(|read| **read < at).map(|read| name(*read)).collect();
            step("a", &name(at), &reads.iter().map(String::as_str).collect::<Vec<_>>())
        }).collect();
        let plan = Plan::new(steps.clone(), &[]);
        let fails = vec![Act::Fail(Remedy::Author)];
        let acts = failing.iter().map(|at| (StepId::new("a", &name(*at)), fails.clone())).collect();
        let ran = run_steps(steps, Scripted { acts, ..Scripted::default() }, None);

        let mut skipped = HashSet::new();
        let mut failed: Vec<usize> = failing.iter().copied().collect();
        failed.sort_unstable();
        for at in &failed {
            skipped.extend(plan.dag.with_descendants([Node::Step(*at)]).into_iter().filter(|node| *node != Node::Step(*at)));
        }
        for (at, record) in ran.results.steps.iter().enumerate() {
            let expected = match (skipped.contains(&Node::Step(at)), failing.contains(&at)) {
                (true, _) => Status::Skipped,
                (false, true) => Status::Failed,
                (false, false) => Status::Success,
            };
            prop_assert_eq!(record.status, expected, "step {}", at);
        }
        for (before, after) in plan.dag.edges() {
            if let (Node::Step(before), Node::Step(after)) = (before, after) {
                let built = ran.log.iter().position(|line| *line == format!("built a.{}", name(before)));
                let build = ran.log.iter().position(|line| *line == format!("build a.{}", name(after)));
                if let Some(build) = build {
                    prop_assert!(built.is_some_and(|built| built < build));
                }
            }
        }
    }
}
