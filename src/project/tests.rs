use std::fs;

use super::*;

fn project(texts: &[(&str, &[u8])]) -> (tempfile::TempDir, Project, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in texts {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }
    let (project, problems) = Project::load(folder.path());
    let problems = problems.iter().map(ToString::to_string).collect();
    (folder, project, problems)
}

#[test]
fn two_files_cannot_claim_one_name() {
    let (_folder, project, problems) = project(&[
        ("pipe.yaml", b""),
        ("pipelines/a.yaml", b"job: x\nsteps: {one: {sql: select 1, publish: ml.t}}\n"),
        ("pipelines/b.yaml", b"job: X\nsteps: {one: {sql: select 1}}\n"),
        ("pipelines/c.yaml", b"steps: {one: {sql: select 1, publish: ML.T}}\n"),
        ("schemas/s.yaml", b"tables: {t: {columns: {a: number}}}\n"),
        ("schemas/z.yaml", b"schema: s\ntables: {T: {columns: {a: number, b: }}}\n"),
    ]);
    assert_eq!(problems.len(), 3, "{problems:#?}");
    assert!(problems[0].contains("the column `b` has no type"), "{problems:#?}");
    assert!(problems[1].contains("duplicate-source"), "{problems:#?}");
    assert!(problems[2].contains("duplicate-job"), "{problems:#?}");
    let (_, problems) = project.expanded(&Variables::default(), &Variables::default());
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert_eq!(problems[0].code, "published-twice");
    assert!(project.job("pipelines/c.yaml").is_ok() && project.job("C").is_ok());
    assert_eq!(project.job("pipelines/d.yaml").map_err(|d| d.code).err(), Some("unknown-job"));
}

#[test]
fn files_that_cannot_be_read_are_told() {
    let (_folder, _, problems) = project(&[
        ("pipelines/latin.yaml", b"job: x\ndescription: \xe9t\xe9\n"),
        ("sql/big.sql", &vec![b' '; 5 << 20]),
        ("pipelines/notes.txt", b"\xff"),
    ]);
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems[0].starts_with("pipelines/latin.yaml:2:14: error[not-utf8]"), "{problems:#?}");
    assert!(problems[1].contains("file-too-large"), "{problems:#?}");
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_project_is_not_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(folder.path().join("sql")).expect("made");
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join("sql/x.sql")).expect("linked");
    let (project, problems) = Project::load(folder.path());
    assert_eq!(problems.iter().map(|p| p.code).collect::<Vec<_>>(), ["path-outside-sql"]);
    assert!(project.files.get("sql/x.sql").is_none());
}

#[test]
fn this_project_is_in_order() {
    let (project, problems) = Project::load(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert_eq!(problems, Vec::new());
    let (_, problems) = project.expanded(&Variables::default(), &Variables::default());
    assert_eq!(problems, Vec::new());
    assert!(project.jobs.contains_key(&Name::unquoted("this_week")));
}
