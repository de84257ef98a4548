use std::fs;
use std::path::Path;

use super::*;
use crate::source::Format;
use crate::template::Variable;

fn project(settings: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("pipe.yaml"), settings).expect("written");
    folder
}

fn load(folder: &Path, flags: Flags, environment: &[(&'static str, &str)]) -> Result<Settings, Vec<String>> {
    let flags = Flags { project_dir: Some(folder.to_path_buf()), ..flags };
    let settings = Settings::load(&flags, &Environment::of(environment));
    settings.map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

const TWO: &str = "
default_target: local
jobs: 3
memory_limit: 2GB
targets:
  local: {backend: datafusion, sources: samples/, date: 2026-11-01, vars: {days: 7}}
  prod:
    backend: snowflake
    account: a
    user: u
    warehouse: w
    database: d
    private_key: \"{{ secret('/pipe/prod/key') }}\"
";

#[test]
fn flags_come_before_the_environment_and_that_before_the_file() {
    let folder = project(TWO);
    let file = load(folder.path(), Flags::default(), &[]).expect("settings");
    assert_eq!((file.target.name.as_str(), file.jobs, file.memory_limit), ("local", 3, 2_000_000_000));
    assert_eq!(file.date, instant("2026-11-01").ok().map(|date| date.in_zone("UTC")));
    let environment =
        [("PIPE_TARGET", "prod"), ("PIPE_JOBS", "5"), ("PIPE_MEMORY_LIMIT", "1GiB"), ("PIPE_DATE", "2026-12-01")];
    let set = load(folder.path(), Flags::default(), &environment).expect("settings");
    assert_eq!((set.target.name.as_str(), set.jobs, set.memory_limit), ("prod", 5, 1 << 30));
    assert_eq!(set.date, instant("2026-12-01").ok().map(|date| date.in_zone("UTC")));
    let flags = Flags {
        target: Some("local".to_owned()),
        jobs: Some(8),
        variables: vec!["days=9".to_owned(), "name=x".to_owned()],
        ..Flags::default()
    };
    let flagged = load(folder.path(), flags, &environment).expect("settings");
    assert_eq!((flagged.target.name.as_str(), flagged.jobs), ("local", 8));
    assert_eq!(flagged.variables.get("days"), Some(&Variable::Integer(9)));
}

#[test]
fn secrets_are_references_and_never_values() {
    let folder = project(TWO);
    let flags = Flags { target: Some("prod".to_owned()), ..Flags::default() };
    let settings = load(folder.path(), flags, &[]).expect("settings");
    let BackendSettings::Snowflake(connection) = &settings.target.backend else { panic!("a Snowflake target") };
    assert_eq!(connection.parameters["private_key"].value, Parameter::Secret("/pipe/prod/key".to_owned()));
    let folder = project(&TWO.replace("\"{{ secret('/pipe/prod/key') }}\"", "hunter2"));
    let problems = load(folder.path(), Flags::default(), &[]).expect_err("a refusal").join("\n");
    assert!(problems.contains("secret-in-file") && !problems.contains("hunter2"), "{problems}");
}

#[test]
fn what_is_wrong_is_told() {
    let wrong =
        |settings: &str| load(project(settings).path(), Flags::default(), &[]).expect_err("a refusal").join("\n");
    assert!(wrong("targets: {a: {backend: duckdb}}").contains("`duckdb` is not `datafusion` or `snowflake`"));
    assert!(wrong("targets: {a: {backend: datafusion, surces: x}}").contains("did you mean `sources`?"));
    assert!(wrong("default_target: lcal\ntargets: {local: {backend: datafusion}}").contains("did you mean `local`?"));
    assert!(wrong("jobs: 3").contains("no `targets`"));
    let two = wrong("timezone: Paris\njobs: 0\ntargets: {local: {backend: datafusion}}");
    assert_eq!(two.lines().count(), 2, "{two}");
}

#[test]
fn the_rows_of_a_source_are_found() {
    let folder = project(
        "targets: {local: {backend: datafusion, sources: data, tables: {b.far: 's3://x/far/*.parquet', b.odd: {path: odd.txt, format: csv, delimiter: ';'}}}}",
    );
    fs::create_dir_all(folder.path().join("data/b/many")).expect("made");
    for path in ["data/b/one.csv", "data/b/many/1.parquet"] {
        fs::write(folder.path().join(path), "").expect("written");
    }
    let settings = load(folder.path(), Flags::default(), &[]).expect("settings");
    let BackendSettings::DataFusion(local) = &settings.target.backend else { panic!("an embedded target") };
    let place = |name: &str| local.location(&TableName::parse(name).expect("a name"));
    assert!(place("b.one").is_some_and(|l| l.path.ends_with("data/b/one.csv") && l.format == Format::Csv));
    assert!(place("B.MANY").is_some_and(|l| l.path.ends_with("data/b/many/") && l.format == Format::Parquet));
    assert!(place("b.far").is_some_and(|l| l.is_remote()));
    assert!(place("b.odd").is_some_and(|l| l.delimiter == b';'));
    assert_eq!(place("b.none"), None);
    assert_eq!(place("\"..\".x"), None);
}

#[test]
fn a_date_is_midnight_in_the_zone_of_its_session() {
    let at = |text: &str, zone: &str| instant(text).expect("a moment").in_zone(zone).to_rfc3339();
    assert_eq!(at("2026-11-01", "America/Los_Angeles"), "2026-11-01T07:00:00+00:00");
    assert_eq!(at("2026-11-01T10:00:00", "Europe/Paris"), "2026-11-01T09:00:00+00:00");
    assert_eq!(at("2026-11-01T10:00:00Z", "Europe/Paris"), "2026-11-01T10:00:00+00:00");
    // Clocks go from 2:00 to 3:00 on that night.
    assert_eq!(at("2026-03-29T02:30:00", "Europe/Paris"), "2026-03-29T01:30:00+00:00");
}
