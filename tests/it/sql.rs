//! `pipe sql`: a folder of `tests/cases/sql` per case, with the statements and what the last of them gives; and how the
//! command reads its statements and writes its result.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use pipe::diagnostic::Diagnostic;
use pipe::dialect::command::parse_script;
use pipe::dialect::constructs::{self, Construct};
use pipe::dialect::functions::Fidelity;
use pipe::session::{Failure, Session};
use pipe::text::SourceFile;
use serde_json::Value;

fn pipe() -> Command {
    Command::new(env!("CARGO_BIN_EXE_pipe"))
}

fn cases() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/sql");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

/// What differs from the expectation; nothing where all is as expected.
fn difference(case: &Path) -> Option<String> {
    let expected: Value = serde_json::from_slice(&std::fs::read(case.join("expected.json")).unwrap()).unwrap();
    let mut command = pipe();
    command.args(["sql", "--memory", "--format", "json", "--file"]).arg(case.join("statements.sql"));
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let exit = expected["exit"].as_i64().unwrap_or(0);
    if output.status.code().map(i64::from) != Some(exit) {
        return Some(format!("exit {:?} instead of {exit}\n{out}{err}", output.status.code()));
    }
    if let Some(error) = expected["error"].as_str() {
        return (!err.contains(error)).then(|| format!("no `{error}` in\n{err}"));
    }
    let result: Value = serde_json::from_str(&out).unwrap();
    let rows = exact(&expected["rows"]);
    if result["rows"] != rows {
        return Some(format!("expected {rows}\n     got {}", result["rows"]));
    }
    let headers: Vec<&Value> = result["columns"].as_array().unwrap().iter().map(|column| &column["name"]).collect();
    let columns = expected["columns"].as_array()?;
    (headers != columns.iter().collect::<Vec<_>>()).then(|| format!("headers {headers:?}"))
}

/// `{"$": "1.50"}` stands for a number written just so.
fn exact(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(exact).collect()),
        Value::Object(fields) => serde_json::from_str(fields["$"].as_str().unwrap()).unwrap(),
        other => other.clone(),
    }
}

#[test]
fn every_case_gives_what_is_expected() {
    let mut wrong = Vec::new();
    for case in cases() {
        if let Some(difference) = difference(&case) {
            wrong.push(format!("{}: {difference}", case.file_name().unwrap().to_string_lossy()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn results_are_written_in_four_formats() {
    let sql = "select 1 as n, 'a,\"b' as t, null as x, ''::varchar as e, 1.25 as d";
    let run = |format: &str| {
        let output = pipe().args(["sql", "--memory", "--format", format, sql]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(run("csv"), "N,T,X,E,D\n1,\"a,\"\"b\",,\"\",1.25\n");
    assert_eq!(run("jsonl"), "{\"N\":1,\"T\":\"a,\\\"b\",\"X\":null,\"E\":\"\",\"D\":1.25}\n");
    assert_eq!(
        run("table"),
        "N | T    | X    | E |    D\n--+------+------+---+-----\n1 | a,\"b | NULL |   | 1.25\n(1 row)\n"
    );
    assert!(run("json").starts_with("{\"columns\":[{\"name\":\"N\",\"type\":\"NUMBER("));
}

#[test]
fn statements_come_from_standard_input_as_well() {
    let output =
        pipe().args(["sql", "--memory", "--format", "csv"]).write_stdin("select 1 as a;\n\n;").output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "A\n1\n");
    let nothing = pipe().args(["sql", "--memory"]).write_stdin(" ; ").output().unwrap();
    assert_eq!(nothing.status.code(), Some(2));
    let broken = pipe().args(["sql", "--memory"]).write_stdin(&b"select '\xff'"[..]).output().unwrap();
    assert_eq!(broken.status.code(), Some(2));
    assert!(String::from_utf8(broken.stderr).unwrap().contains("is not UTF-8"));
}

#[test]
fn the_clock_can_be_pinned() {
    let args = ["sql", "--memory", "--format", "csv", "--date", "2026-11-01T10:00:00"];
    let output = pipe().args(args).arg("select current_date as d, sysdate() as t").output().unwrap();
    // The time given is of the session's zone, eight hours behind UTC on that day; SYSDATE is in UTC.
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "D,T\n2026-11-01,2026-11-01 18:00:00.000\n");
}

#[test]
fn a_project_keeps_what_is_published() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("pipe.yaml"), "targets:\n  local:\n    backend: datafusion\n").unwrap();
    let run = |sql: &str| {
        let output = pipe().args(["sql", "--format", "csv", sql, "-C"]).arg(home.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    run("create table ml.t (a int, n number(6, 2), v variant); insert into ml.t select 1, 2.5, parse_json('[1]')");
    run("create view ml.w as select a, n from ml.t; insert into ml.t values (2, 3, null)");
    assert_eq!(run("select * from ml.t order by a"), "A,N,V\n1,2.50,[1]\n2,3.00,\n");
    assert_eq!(run("select sum(n) as s from ml.w"), "S\n5.50\n");
    assert_eq!(run("begin; delete from ml.t; drop view ml.w; rollback; select count(*) as c from ml.t"), "C\n0\n");
    run("insert into ml.t values (3, 4, null)");
    assert_eq!(run("create temp table ml.t (x int); select count(*) as c from ml.t"), "C\n0\n");
    assert_eq!(run("create temp table ml.t (x int); drop table ml.t; select a from ml.t"), "A\n3\n");
    assert!(run("create sequence s").contains("`CREATE SEQUENCE` is not supported"));
    assert!(run("select * from ml.w").contains("unknown table `ml.w`"));
}

/// What the example of a construct gives: nothing where all is as the list of constructs says.
fn contradiction(construct: &Construct) -> Option<String> {
    let source = SourceFile::new("example.sql", constructs::script(construct));
    let refused = matches!(construct.fidelity, Fidelity::Refused(_));
    let statements = match parse_script(&source) {
        Ok(statements) => statements,
        Err(problems) if refused => return placeless(&problems),
        Err(problems) => return Some(format!("{}", problems[0])),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut session = Session::in_memory(chrono::DateTime::UNIX_EPOCH);
    let last = statements.len() - 1;
    for (index, statement) in statements.iter().enumerate() {
        match runtime.block_on(session.run(statement)) {
            Ok(_) if refused && index == last => return Some("it is not refused".to_string()),
            Ok(_) => {}
            Err(Failure::Wrong(problems)) if refused && index == last => return placeless(&problems),
            Err(Failure::Failed(message)) if refused && index == last && message.contains("not supported") => {
                return None;
            }
            Err(failure) => return Some(format!("{failure:?}")),
        }
    }
    None
}

fn placeless(problems: &[Diagnostic]) -> Option<String> {
    let without = problems.iter().find(|problem| problem.span.is_none());
    without.map(|problem| format!("no place in: {problem}"))
}

#[test]
fn every_construct_is_as_faithful_as_the_list_says() {
    let wrong: Vec<String> = constructs::all()
        .filter_map(|construct| contradiction(construct).map(|what| format!("{}: {what}", construct.name)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
