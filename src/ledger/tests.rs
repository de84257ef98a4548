//! The ledger gives back what was written, survives a crash, and says clearly why it cannot be used.

use chrono::Utc;
use tempfile::tempdir;

use super::*;
use crate::plan::{Fingerprint, Hash, StepId, Verdict};

fn run(id: &str) -> RunRecord {
    RunRecord {
        id: id.to_owned(),
        started: Utc::now(),
        finished: None,
        status: Status::Running,
        jobs: vec!["shop".to_owned()],
        target: "local".to_owned(),
        clock: Utc::now(),
        select: None,
        process: std::process::id(),
    }
}

fn step(name: &str, status: Status) -> StepRecord {
    let fingerprint = Fingerprint {
        definition: Hash::of([name]),
        inputs: [("raw.orders".to_owned(), "v1".to_owned())].into_iter().collect(),
    };
    StepRecord {
        status,
        seconds: 2.0,
        rows: Some(3),
        attempts: 1,
        fingerprint: Some(fingerprint),
        sql: Some(format!("select 1 as {name}")),
        tests: vec![TestRecord { name: "unique".to_owned(), verdict: Verdict::Pass, count: Some(0), message: None }],
        ..StepRecord::pending(StepId::new("shop", name), "missing")
    }
}

#[test]
fn a_run_is_read_back_as_it_was_written() -> Result<(), LedgerError> {
    let folder = tempdir().expect("a folder");
    let mut ledger = Ledger::open(&folder.path().join("deep/ledger.sqlite"))?;
    ledger.start(&run("r1"))?;
    let (orders, totals) = (step("orders", Status::Success), step("totals", Status::Failed));
    ledger.steps("r1", [(0, &orders), (1, &totals)])?;
    ledger.finish("r1", Status::Failed, Utc::now())?;
    assert_eq!(ledger.steps_of("r1")?, [orders.clone(), totals]);
    let runs = ledger.runs(10)?;
    assert_eq!((runs.len(), runs[0].succeeded, runs[0].failed), (1, 1, 1));
    assert_eq!(ledger.timings()?.get(&orders.step), Some(&2.0));
    assert_eq!(ledger.last_sql(&orders.step)?, Some(("select 1 as orders".to_owned(), "r1".to_owned())));
    assert_eq!(ledger.run("r")?.map(|run| run.status), Some(Status::Failed));
    Ok(())
}

#[test]
fn the_latest_word_on_a_step_counts() -> Result<(), LedgerError> {
    let folder = tempdir().expect("a folder");
    let mut ledger = Ledger::open(&folder.path().join("ledger.sqlite"))?;
    for (id, status) in [("r1", Status::Failed), ("r2", Status::Success)] {
        ledger.start(&run(id))?;
        ledger.step(id, 0, &step("orders", status))?;
    }
    let orders = ledger.last_step(&StepId::new("shop", "orders"))?.expect("it was run");
    assert_eq!((orders.run.as_str(), orders.status, orders.is_unfinished()), ("r2", Status::Success, false));
    assert_eq!(ledger.last_step(&StepId::new("shop", "totals"))?, None);
    Ok(())
}

#[test]
fn what_a_dead_process_did_not_reach_is_unfinished() -> Result<(), LedgerError> {
    let folder = tempdir().expect("a folder");
    let mut ledger = Ledger::open(&folder.path().join("ledger.sqlite"))?;
    for (id, process, unfinished) in [("r1", std::process::id(), false), ("r2", u32::MAX, true)] {
        ledger.start(&RunRecord { process, ..run(id) })?;
        ledger.step(id, 0, &step("orders", Status::Pending))?;
        let orders = ledger.last_step(&StepId::new("shop", "orders"))?.expect("it was meant to run");
        assert_eq!((orders.run.as_str(), orders.is_unfinished()), (id, unfinished));
    }
    Ok(())
}

#[test]
fn a_run_whose_process_died_was_interrupted() -> Result<(), LedgerError> {
    let folder = tempdir().expect("a folder");
    let ledger = Ledger::open(&folder.path().join("ledger.sqlite"))?;
    ledger.start(&RunRecord { process: u32::MAX, ..run("r1") })?;
    ledger.start(&run("r2"))?;
    let statuses: Vec<Status> = ledger.runs(10)?.iter().rev().map(|run| run.record.status).collect();
    assert_eq!(statuses, [Status::Interrupted, Status::Running]);
    Ok(())
}

#[test]
fn a_file_that_is_no_ledger_is_refused_with_the_reason() {
    let folder = tempdir().expect("a folder");
    let path = folder.path().join("ledger.sqlite");
    std::fs::write(&path, "this is not a database, and long enough to be looked at as one".repeat(40))
        .expect("written");
    assert!(matches!(Ledger::open(&path), Err(LedgerError::Corrupt { .. })));
}

#[test]
fn a_ledger_of_a_later_release_is_refused() -> Result<(), LedgerError> {
    let folder = tempdir().expect("a folder");
    let path = folder.path().join("ledger.sqlite");
    let ledger = Ledger::open(&path)?;
    ledger.connection.pragma_update(None, "user_version", 99).expect("set");
    drop(ledger);
    assert!(matches!(Ledger::open(&path), Err(LedgerError::Newer { found: 99, .. })));
    Ok(())
}

#[test]
fn a_locked_ledger_is_said_to_be_locked() -> Result<(), LedgerError> {
    let folder = tempdir().expect("a folder");
    let path = folder.path().join("ledger.sqlite");
    let holder = Ledger::open(&path)?;
    holder.connection.execute_batch("begin immediate").expect("begun");
    let other = Ledger::open_patiently(&path, Duration::from_millis(20))?;
    assert!(matches!(other.start(&run("r1")), Err(LedgerError::Locked { .. })));
    Ok(())
}

#[test]
fn another_machine_knows_a_run_with_its_tries() -> Result<(), LedgerError> {
    let folder = tempdir().expect("a folder");
    let mut here = Ledger::open(&folder.path().join("here.sqlite"))?;
    here.start(&run("r1"))?;
    let totals = step("totals", Status::Success);
    here.steps("r1", [(0, &totals)])?;
    let at = chrono::DateTime::from_timestamp_micros(1_793_505_600_000_000).expect("an instant");
    let (class, error) = ("retry".to_owned(), "the network".to_owned());
    let tried = TryRecord { attempt: 1, at, seconds: 0.5, class, error, wait: Some(1.0) };
    here.tried("r1", &totals.step, &tried)?;
    here.finish("r1", Status::Success, Utc::now())?;
    let mut there = Ledger::open(&folder.path().join("there.sqlite"))?;
    there.take_over(&here.entries("r1")?, Utc::now())?;
    assert_eq!(there.tries_of("r1")?, [(totals.step.clone(), tried)]);
    assert_eq!(there.steps_of("r1")?, [totals]);
    assert_eq!(there.last_run(&crate::name::Name::unquoted("shop"))?.map(|run| run.status), Some(Status::Success));
    Ok(())
}
