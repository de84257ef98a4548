//! Damaged inputs of every kind, made from good ones by a few random changes: what reads them ends in time with a result or
//! a message, never in a panic. `PIPE_FUZZ_ROUNDS` says how many of each kind; the SQL reader has such a test of its own.

use std::path::Path;
use std::time::{Duration, Instant};

use pipe::dialect::Dialect;
use pipe::dialect::session::SessionParameters;
use pipe::job::Job;
use pipe::name::Name;
use pipe::plan::{self, Contracts, Scope};
use pipe::project::Project as Files;
use pipe::settings::{Environment, Flags, Settings};
use pipe::template::Variables;

use crate::project::Project;

/// The longest that one input may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn rounds(usual: usize) -> usize {
    std::env::var("PIPE_FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(usual)
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// A few changes: bytes turned, cut out, doubled or moved, pieces put in, the end cut off.
    fn damaged(&mut self, good: &[u8], pieces: &[&str]) -> Vec<u8> {
        let mut bytes = good.to_vec();
        for _ in 0..=self.below(4) {
            let from = self.below(bytes.len() + 1);
            let to = (from + self.below(40)).min(bytes.len());
            match self.below(7) {
                0 => bytes.iter_mut().skip(from).take(1).for_each(|byte| *byte ^= 1 << (from % 8)),
                1 => drop(bytes.drain(from..to)),
                2 => {
                    let again = bytes[from..to].to_vec();
                    bytes.splice(to..to, again);
                }
                3 => bytes.truncate(from),
                4 => {
                    let cut: Vec<u8> = bytes.drain(from..to).collect();
                    let at = self.below(bytes.len() + 1);
                    bytes.splice(at..at, cut);
                }
                _ => {
                    let piece = self.of(pieces).as_bytes().to_vec();
                    bytes.splice(from..from, piece);
                }
            }
        }
        bytes
    }
}

/// The project's own files under a folder, by path.
fn own(folder: &str, ending: &str) -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(next) = folders.pop() {
        let mut entries: Vec<_> = std::fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == ending) {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                found.push((name, std::fs::read(&path).unwrap()));
            }
        }
    }
    found
}

/// A copy of this project's jobs, contracts and SQL.
fn copied() -> Project {
    let project = Project::new();
    for folder in ["pipelines", "schemas"] {
        own(folder, "yaml").iter().for_each(|(path, text)| project.write(path, &String::from_utf8_lossy(text)));
    }
    own("sql", "sql").iter().for_each(|(path, text)| project.write(path, &String::from_utf8_lossy(text)));
    project
}

/// Compiles all jobs of a project in this process, as `pipe validate` does, and says how many problems it has.
fn compiled(root: &Path) -> usize {
    let flags = Flags { project_dir: Some(root.to_path_buf()), ..Flags::default() };
    let settings = match Settings::load(&flags, &Environment::default()) {
        Ok(settings) => settings,
        Err(problems) => return problems.len(),
    };
    let (project, mut problems) = Files::load(&settings.root);
    let (jobs, more) = project.expanded(&Variables::default(), &settings.facts(settings.date.unwrap_or_default()));
    problems.extend(more);
    let jobs: Vec<Job> = jobs.into_values().collect();
    let wanted: Vec<Name> = jobs.iter().map(|job| job.name.value.clone()).collect();
    let sources = Contracts::new();
    let (resolved, more) =
        plan::resolve(&Scope { jobs: &jobs, sources: &sources, templates: &project.templates }, &wanted);
    problems.extend(more);
    let (_, more) = plan::check(resolved, &Dialect::new(SessionParameters::default()), &sources);
    problems.len() + more.len()
}

fn in_time<T>(what: &str, damaged: &[u8], step: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let done = step();
    assert!(started.elapsed() < PATIENCE, "slow {what}:\n{}", String::from_utf8_lossy(damaged));
    done
}

/// Damages one of the files at a time, and compiles the project with it.
fn files_end_in_messages(seed: u64, files: &[(String, Vec<u8>)], pieces: &[&str]) {
    let project = copied();
    let (mut dice, mut told) = (Dice(seed), 0);
    for _ in 0..rounds(25) {
        let (path, good) = dice.of(files);
        let damaged = dice.damaged(good, pieces);
        std::fs::write(project.path(path), &damaged).unwrap();
        told += usize::from(in_time(path, &damaged, || compiled(&project.path(""))) > 0);
        std::fs::write(project.path(path), good).unwrap();
    }
    assert!(told > 0, "nothing was ever wrong");
}

const YAML: [&str; 24] = [
    "&a ",
    "*a",
    "<<: *a",
    "- ",
    ": ",
    "\n  ",
    "\t",
    "{",
    "}",
    "[",
    "]",
    "|\n",
    ">-\n",
    "'",
    "\"",
    "# ",
    "!!binary ",
    "---\n",
    "? ",
    "null",
    "1e999",
    "\u{feff}",
    "\u{0}",
    "é",
];

#[test]
fn damaged_jobs_end_in_messages() {
    files_end_in_messages(11, &own("pipelines", "yaml"), &YAML);
}

#[test]
fn damaged_contracts_end_in_messages() {
    files_end_in_messages(12, &own("schemas", "yaml"), &YAML);
}

#[test]
fn damaged_templates_end_in_messages() {
    let pieces = [
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        "{% for x in range(99999999) %}",
        "{% endfor %}",
        "{% include 'a.sql' %}",
        "{% include '../../x' %}",
        "{{ vars }}",
        "{{ loop.index }}",
        "{% macro a(b) %}",
        "{% endmacro %}",
        " | raw",
        " | ident",
        "{{ [1] * 9999999 }}",
        "{{ 'a' ~ 'b' }}",
        "{% set x = 1 %}",
        "{% raw %}",
        "'",
        "\"",
        "$$",
        "/*",
        "--",
        "\u{0}",
        "é",
    ];
    files_end_in_messages(13, &own("sql", "sql"), &pieces);
}

#[test]
fn damaged_settings_end_in_messages() {
    let settings = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("pipe.yaml")).unwrap();
    files_end_in_messages(14, &[("pipe.yaml".to_owned(), settings)], &YAML);
}

/// Runs commands over a damaged file; what they give is a documented exit code.
fn commands_end(project: &Project, path: &str, damaged: &[u8], commands: &[&str]) -> bool {
    std::fs::write(project.path(path), damaged).unwrap();
    let mut refused = false;
    for command in commands {
        let ran = in_time(command, damaged, || project.pipe(command));
        assert!((0..=2).contains(&ran.code) && !ran.err.contains("panicked"), "{command}: {}\n{}", ran.code, ran.err);
        refused |= ran.code != 0;
    }
    refused
}

const EVENTS: &str =
    "id,at,amount,name\n1,2026-11-01 10:00:00,1.50,one\n2,,,\"two, too\"\n3,2026-11-02 00:00:00,-7.25,\n";
const COLUMNS: &str = "id: number, at: timestamp_ntz, amount: \"number(10, 2)\", name: varchar";

/// A project whose one job copies a small source.
fn copying() -> Project {
    let steps = "  copy:\n    publish: out.copy\n    sql: select * from raw.event\n";
    Project::new().source("event", COLUMNS, EVENTS).job("copy", steps)
}

#[test]
fn damaged_csv_ends_in_messages() {
    let project = copying();
    let pieces = [
        "\"",
        "\"\"",
        ",",
        "\n",
        "\r\n",
        "\r",
        "\u{feff}",
        "\u{0}",
        "1e999",
        "99999999999999999999999999999999999999999",
        "é",
    ];
    let (mut dice, mut refused) = (Dice(15), 0);
    for _ in 0..rounds(10) {
        let damaged = dice.damaged(EVENTS.as_bytes(), &pieces);
        refused += usize::from(commands_end(&project, "data/raw/event.csv", &damaged, &["run copy"]));
    }
    assert!(refused > 0, "nothing was ever refused");
}

#[test]
fn damaged_parquet_ends_in_messages() {
    let first = copying();
    assert_eq!(first.pipe("run copy").code, 0);
    let good = std::fs::read(first.path(".pipe/warehouse/out/copy/part-0000.parquet")).unwrap();
    let project = copying();
    std::fs::remove_file(project.path("data/raw/event.csv")).unwrap();
    let (mut dice, mut refused) = (Dice(16), 0);
    for _ in 0..rounds(10) {
        let damaged = dice.damaged(&good, &["PAR1", "\u{0}\u{0}\u{0}\u{0}", "\u{7f}\u{7f}"]);
        refused += usize::from(commands_end(&project, "data/raw/event.parquet", &damaged, &["run copy"]));
    }
    assert!(refused > 0, "nothing was ever refused");
}

#[test]
fn damaged_history_ends_in_messages() {
    let project = copying();
    assert_eq!(project.pipe("run copy").code, 0);
    let ledger = project.path(".pipe/ledger.db");
    let good = std::fs::read(&ledger).unwrap();
    let mut dice = Dice(17);
    for _ in 0..rounds(8) {
        let damaged =
            dice.damaged(&good, &["SQLite format 3\u{0}", "\u{0}\u{0}\u{0}\u{0}", "\u{7f}\u{7f}\u{7f}\u{7f}"]);
        for aside in ["ledger.db-wal", "ledger.db-shm"] {
            let _ = std::fs::remove_file(project.path(".pipe").join(aside));
        }
        commands_end(&project, ".pipe/ledger.db", &damaged, &["runs", "run copy", "plan copy"]);
        // Whatever became of the history, the tables can be read.
        assert_eq!(project.rows("out.copy").len(), 3);
    }
}
