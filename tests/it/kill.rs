//! `pipe run` under `kill -9` at random instants: readers see the old tables or the new ones, all three, and the run that
//! takes up where a killed one ended gives what an undisturbed one gives. `PIPE_KILLS` says how often; 1,000 take a while.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::project::{Project, rows_of};

const JOB: &str = "  grown:
    publish: out.grown
    sql: select round, id from raw.event
    materialize: incremental
    incremental: {strategy: append}
  whole:
    publish: out.whole
    sql: select round, count(*) as n from raw.event group by round
  newest:
    publish: out.newest
    sql: select max(round) as round from raw.event
    tests: [{rows: {min: 1}}]
";

/// The rows of one round.
const ROWS: usize = 40;
/// Rounds before the first kill: each leaves a file that every later publish takes over.
const BEFORE: usize = 24;

fn source(round: usize) -> String {
    let rows: String = (0..ROWS).map(|id| format!("{round},{id}\n")).collect();
    format!("round,id\n{rows}")
}

/// Kills from the environment, or a few.
fn kills(usual: usize) -> usize {
    std::env::var("PIPE_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(usual)
}

/// The round that the three tables hold, and that they agree: every round up to it was added once and whole.
fn round_of(set: &Path) -> usize {
    let newest = rows_of(&set.join("out/newest"));
    let [newest] = newest.as_slice() else { panic!("{newest:?}") };
    let round: usize = newest.parse().unwrap();
    assert_eq!(rows_of(&set.join("out/whole")), [format!("{round}|{ROWS}")]);
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for row in rows_of(&set.join("out/grown")) {
        *counts.entry(row.split('|').next().unwrap().parse().unwrap()).or_default() += 1;
    }
    assert_eq!(counts, (0..=round).map(|round| (round, ROWS)).collect());
    round
}

/// The set that is current now; it is kept while it is one of the newest.
fn current(project: &Project) -> std::path::PathBuf {
    std::fs::canonicalize(project.path(".pipe/warehouse")).unwrap()
}

#[test]
fn a_killed_run_is_taken_up_and_readers_never_see_a_mix() {
    let project = Project::new().source("event", "round: number, id: number", &source(0)).job("grow", JOB);
    let mut usual = Duration::ZERO;
    for round in 0..=BEFORE {
        project.write("data/raw/event.csv", &source(round));
        let started = Instant::now();
        assert_eq!(project.pipe("run grow").code, 0);
        usual = started.elapsed();
    }
    let (over, looks) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                round_of(&current(&project));
                looks.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut dice: u64 = 7;
        let mut killed = 0;
        for round in BEFORE + 1..=BEFORE + kills(12) {
            project.write("data/raw/event.csv", &source(round));
            let mut run = Command::new(env!("CARGO_BIN_EXE_pipe"))
                .args(["run", "grow"])
                .current_dir(project.path(""))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            std::thread::sleep(Duration::from_micros((dice >> 33) % (1 + u64::try_from(usual.as_micros()).unwrap())));
            run.kill().unwrap();
            killed += usize::from(!run.wait().unwrap().success());
            let now = round_of(&current(&project));
            assert!(now == round || now + 1 == round, "round {round} left {now}");
            let resumed = project.pipe("run grow --resume");
            assert!(resumed.code == 0 || resumed.err.contains("no earlier run"), "round {round}: {}", resumed.err);
            let ended = project.pipe("run grow");
            assert_eq!(ended.code, 0, "round {round}: {}", ended.err);
            assert_eq!(round_of(&current(&project)), round);
        }
        over.store(true, Ordering::Relaxed);
        eprintln!("{killed} runs killed, {} looks at the tables", looks.load(Ordering::Relaxed));
    });
    let staging = std::fs::read_dir(project.path(".pipe/staging")).unwrap().count();
    assert_eq!(staging, 0, "staging is left behind");
}
