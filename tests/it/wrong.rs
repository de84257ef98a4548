//! Wrong input: each folder of `tests/cases/wrong` is the smallest project with one thing wrong. What the author is told is
//! `expected.txt`, whole; nothing is run, and the exit code is 2 unless `exit` says otherwise. `command` is the command where
//! it is not `validate`; a project without `pipe.yaml` gets one with an embedded target.
//!
//! With PIPE_ACCEPT=1 in the environment the expected texts are written anew, to be read before they are committed.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;

const SETTINGS: &str = "targets:\n  local: {backend: datafusion}\n";

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/wrong");
    let mut cases: Vec<_> = fs::read_dir(folder).expect("cases").filter_map(|entry| Some(entry.ok()?.path())).collect();
    cases.retain(|path| path.is_dir());
    cases.sort();
    cases
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a folder").filter_map(Result::ok) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// Standard error and the exit code of a command in a project.
fn pipe(project: &Path, arguments: &str) -> (String, Option<i32>) {
    let mut command = Command::cargo_bin("pipe").expect("the binary");
    command.current_dir(project).env("NO_COLOR", "1").env_remove("PIPE_TARGET").args(arguments.split_whitespace());
    let output = command.output().expect("it ran");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "standard output is for data: {arguments}");
    let stderr = String::from_utf8_lossy(&output.stderr).replace(&*project.to_string_lossy(), "<project>");
    (stderr, output.status.code())
}

#[test]
fn each_wrong_project_is_told_what_is_wrong() {
    let accept = std::env::var_os("PIPE_ACCEPT").is_some();
    let mut different = Vec::new();
    for case in cases() {
        let folder = tempfile::tempdir().expect("a folder");
        let project = folder.path().canonicalize().expect("a folder");
        copy(&case, &project);
        if !project.join("pipe.yaml").exists() {
            fs::write(project.join("pipe.yaml"), SETTINGS).expect("written");
        }
        let read = |name: &str| fs::read_to_string(case.join(name)).ok();
        let arguments = read("command").unwrap_or_else(|| "validate".to_owned());
        let exit = read("exit").and_then(|text| text.trim().parse().ok()).unwrap_or(2);
        let (told, code) = pipe(&project, &arguments);
        if accept {
            fs::write(case.join("expected.txt"), &told).expect("written");
        }
        if code != Some(exit) || read("expected.txt").as_deref() != Some(&told) {
            let name = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
            different.push(format!("{name} (exit {code:?}):\n{told}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// What a command says of a project of these files.
fn generated(arguments: &str, files: &[(&str, &str)]) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in [("pipe.yaml", SETTINGS)].iter().chain(files) {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }
    pipe(&folder.path().canonicalize().expect("a folder"), arguments)
}

#[test]
fn a_value_that_does_not_fit_is_told_with_its_file_and_row() {
    let (told, code) = generated(
        "run week",
        &[
            ("pipe.yaml", "targets: {local: {backend: datafusion, sources: data/}}\n"),
            ("pipelines/week.yaml", "steps: {top: {sql: select id from tv.program, publish: ml.top}}\n"),
            ("schemas/tv.yaml", "tables: {program: {columns: {id: number}}}\n"),
            ("data/tv/program.csv", "id\n1\ntwo\n"),
        ],
    );
    assert_eq!(code, Some(2), "{told}");
    assert!(
        told.contains("`<project>/data/tv/program.csv`, row 3: `two` is no NUMBER(38,0) for column `id`"),
        "{told}"
    );
}

#[test]
fn a_file_of_50_mb_is_refused() {
    let (told, code) =
        generated("validate", &[("pipelines/week.yaml", &format!("vars: {{x: {}}}\n", "x".repeat(50 << 20)))]);
    let expected = "error[file-too-large]: `pipelines/week.yaml` has 50 MB, and a file of this kind may have at most 4 MB\n\n1 error\n";
    assert_eq!((told.as_str(), code), (expected, Some(2)));
}

#[test]
fn sql_nested_beyond_reason_is_refused() {
    let sql = format!("select {}1{} as id\n", "(".repeat(20_000), ")".repeat(20_000));
    let (told, code) =
        generated("validate", &[("pipelines/week.yaml", "steps:\n  top:\n"), ("sql/week/top.sql", &sql)]);
    assert_eq!(code, Some(2), "{}", &told[..told.len().min(500)]);
    assert!(told.starts_with("error[sql-"), "{}", &told[..told.len().min(500)]);
}
