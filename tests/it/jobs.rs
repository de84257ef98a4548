//! The project's own jobs that reach outside the warehouse, on the samples: what leaves, and what comes in.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::project::Project;
use crate::stand_in::{BUCKET, PASSWORD, moto, postgres};
use crate::transfer::{manifest, text};

/// The project with its samples, in a folder of its own.
fn project() -> Project {
    let project = Project::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for part in ["pipelines", "sql", "schemas", "samples", "pipe.yaml"] {
        let copied = Command::new("cp").arg("-r").arg(root.join(part)).arg(project.path("")).status();
        assert!(copied.expect("cp runs").success());
    }
    project
}

fn hash(email: &str) -> String {
    hex::encode(Sha256::digest(email.trim().to_lowercase()))
}

/// The hashes of the sample's users: of those who consented, and of those who did not and share their e-mail with nobody who did.
fn users() -> (BTreeSet<String>, BTreeSet<String>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/backend/user.csv");
    let table = std::fs::read_to_string(path).expect("the users");
    let (mut agreed, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for line in table.lines().skip(1) {
        let values: Vec<&str> = line.split(',').collect();
        if values[1].trim().is_empty() {
            continue;
        }
        let side = if values[5].eq_ignore_ascii_case("true") { &mut agreed } else { &mut refused };
        side.insert(hash(values[1].trim_matches('"')));
    }
    let only_refused = refused.difference(&agreed).cloned().collect();
    (agreed, only_refused)
}

fn only_consenting(folder: &Path) {
    let found = manifest(folder);
    let rows = text(folder, &found);
    let (agreed, refused) = users();
    assert!(agreed.len() > 100 && refused.len() > 100);
    let mut hashes = BTreeSet::new();
    for line in rows.lines().filter(|line| !line.starts_with("email_sha256")) {
        let (hash, segment) = line.split_once(',').expect("two columns");
        assert!(agreed.contains(hash) && !refused.contains(hash), "{line}");
        assert!(!segment.contains(','), "{line}");
        hashes.insert(hash.to_owned());
    }
    assert!(hashes.len() > 100, "{}", hashes.len());
    assert!(!rows.contains('@'));
    let parts = found["files"].as_array().expect("files");
    assert!(parts.len() > 1 && parts.iter().all(|part| part["rows"].as_u64() <= Some(2000)), "{found}");
}

/// The files under a prefix of the bucket, brought into a folder of the project.
fn fetched(project: &Project, server: crate::stand_in::Server, prefix: &str) -> PathBuf {
    let folder = project.path("fetched");
    std::fs::create_dir_all(&folder).expect("made");
    for key in server.keys(prefix) {
        let bytes = server.object(&key);
        std::fs::write(folder.join(key.trim_start_matches(prefix)), bytes).expect("written");
    }
    folder
}

#[test]
fn only_hashes_of_consenting_users_leave() {
    let project = project();
    let ran = project.pipe("run liveramp_export");
    assert_eq!(ran.code, 0, "{}", ran.err);
    only_consenting(&project.path("exports/liveramp/2026-11-02"));
    assert_eq!(project.pipe("run liveramp_export").err.trim(), "nothing to do: 1 unchanged");
}

#[test]
fn what_partners_leave_is_typed_and_what_does_not_fit_is_kept_aside() {
    let project = project();
    let ran = project.pipe("run s3_to_rds");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("1 of 424 rows was refused"), "{}", ran.err);
    let rejects = std::fs::read_to_string(project.path(".pipe/rejects/s3_to_rds.rights.jsonl")).expect("rejects");
    assert!(rejects.lines().count() == 1 && rejects.contains("31/12/2027"), "{rejects}");
    let lines = |part: &str| {
        let path = project.path(&format!("samples/incoming/rights/{part}"));
        std::fs::read_to_string(path).expect("a file").lines().count() as u64 - 1
    };
    let written = manifest(&project.path("exports/rds/rights"));
    assert_eq!(written["rows"].as_u64(), Some(lines("part-1.csv") + lines("part-2.csv") - 1));
    assert!(manifest(&project.path("exports/rds/external_ids"))["rows"].as_u64() > Some(100));
}

#[test]
fn the_same_jobs_work_on_s3_and_postgresql() {
    let (Some(s3), Some(database)) = (moto(), postgres()) else { return };
    let project = project();
    let settings = std::fs::read_to_string(project.path("pipe.yaml")).expect("pipe.yaml");
    let settings = settings
        .replace("s3://example-partner/liveramp", &format!("s3://{BUCKET}/liveramp"))
        .replace("s3://example-incoming", &format!("s3://{BUCKET}/incoming"))
        .replace("host: rds.example.com,", &format!("host: 127.0.0.1, port: {}, tls: disable,", database.port));
    project.write("pipe.yaml", &settings);
    for part in ["rights/part-1.csv", "rights/part-2.csv", "external_ids/ids.parquet"] {
        let bytes = std::fs::read(project.path(&format!("samples/incoming/{part}"))).expect("a file");
        assert_eq!(s3.http("PUT", &format!("/{BUCKET}/incoming/{part}"), "s3", "", &bytes).0, 200);
    }
    let _ = database.try_sql("app", "create schema if not exists catalogue");
    let mut variables = s3.aws();
    variables.push(("PIPE_RDS_PASSWORD", PASSWORD.to_owned()));
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let ran = project.pipe_with("run s3_to_rds liveramp_export --target aws", &variables);
    assert_eq!(ran.code, 0, "{}", ran.err);
    only_consenting(&fetched(&project, s3, "liveramp/2026-11-02/"));
    let typed = "select data_type from information_schema.columns where table_schema = 'catalogue' and table_name = 'rights' \
                 order by ordinal_position";
    assert_eq!(database.sql(typed)[2..4], ["date", "date"]);
    assert_eq!(
        database.sql("select * from catalogue.rights where program_id = 1001 and country = 'FR'"),
        ["1001|FR|2026-08-17|2027-12-11|30|NULL"]
    );
    let rows = database.sql("select count(*), count(distinct (program_id, country)) from catalogue.rights");
    assert_eq!(rows, ["423|423"]);
    assert!(!project.path("exports").exists());
}

#[test]
fn nothing_is_out_of_date_before_the_first_run() {
    let ran = project().pipe("check top_replay");
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.starts_with("ok  checks.top_replay  replay.weighted agrees in "), "{}", ran.out);
}
