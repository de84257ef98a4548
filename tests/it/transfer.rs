//! Load and export steps on files of this machine.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::project::Project;

const PEOPLE: &str = "id,email,country,points,seen\n\
                      1, Ann@Example.com ,FR,10.50,2026-11-01 10:00:00\n\
                      2,bob@example.com,DE,,2026-11-01 11:00:00.5\n\
                      3,,FR,-0.05,\n\
                      4,\"c,\"\"d\"\"@x.org\",,7.00,2026-10-31 00:00:00\n";

fn people() -> Project {
    let columns = "id: number, email: varchar, country: varchar, points: \"number(10,2)\", seen: timestamp_ntz";
    Project::new().source("people", columns, PEOPLE)
}

fn export(to: &str) -> String {
    format!("  out:\n    export:\n      sql: select * from raw.people order by id\n      files: {to}\n")
}

/// The manifest of an export, once its files were held against it.
pub(crate) fn manifest(folder: &Path) -> Value {
    let text = fs::read_to_string(folder.join("manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_str(&text).expect("JSON");
    let (mut rows, mut listed) = (0, Vec::new());
    for file in manifest["files"].as_array().expect("files") {
        let path = file["path"].as_str().expect("a path");
        let bytes = fs::read(folder.join(path)).expect("a listed file");
        assert_eq!(file["bytes"].as_u64(), Some(bytes.len() as u64));
        assert_eq!(file["sha256"].as_str(), Some(hex::encode(Sha256::digest(&bytes)).as_str()));
        rows += file["rows"].as_u64().expect("rows");
        listed.push(folder.join(path));
    }
    assert_eq!(manifest["rows"].as_u64(), Some(rows));
    let mut found = files(folder);
    found.retain(|path| !path.ends_with("manifest.json"));
    listed.sort();
    assert_eq!(found, listed, "the files of the manifest are all there is");
    manifest
}

/// All files under a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() { found.extend(files(&entry.path())) } else { found.push(entry.path()) }
    }
    found.sort();
    found
}

/// The text of the files that a manifest lists, one after another, unpacked.
pub(crate) fn text(folder: &Path, manifest: &Value) -> String {
    let mut text = String::new();
    for file in manifest["files"].as_array().expect("files") {
        let path = folder.join(file["path"].as_str().expect("a path"));
        let bytes = fs::read(&path).expect("a file");
        let bytes = match path.extension().and_then(|ending| ending.to_str()) {
            Some("gz") => {
                let mut unpacked = Vec::new();
                std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&*bytes), &mut unpacked)
                    .expect("gzip");
                unpacked
            }
            Some("zst") => zstd::decode_all(&*bytes).expect("zstd"),
            _ => bytes,
        };
        text.push_str(&String::from_utf8(bytes).expect("text"));
    }
    text
}

#[test]
fn rows_go_out_as_csv_once() {
    let project = people().job("share", &export("{path: out/people, format: csv, compression: gzip}"));
    let ran = project.pipe("run share");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let folder = project.path("out/people");
    let found = manifest(&folder);
    assert_eq!(
        text(&folder, &found),
        "id,email,country,points,seen\n\
         1, Ann@Example.com ,FR,10.50,2026-11-01 10:00:00\n\
         2,bob@example.com,DE,,2026-11-01 11:00:00.5\n\
         3,,FR,-0.05,\n\
         4,\"c,\"\"d\"\"@x.org\",,7.00,2026-10-31 00:00:00\n"
    );
    assert_eq!((found["rows"].as_u64(), found["step"].as_str()), (Some(4), Some("share.out")));
    assert_eq!(project.pipe("run share").err.trim(), "nothing to do: 1 unchanged");
    fs::remove_dir_all(&folder).expect("removed");
    let plan = project.pipe("plan share");
    assert!(plan.out.contains("run   share.out  not exported yet"), "{}", plan.out);
    assert_eq!(project.pipe("run share").code, 0);
    manifest(&folder);
}

#[test]
fn a_dialect_of_csv_is_kept_to() {
    let dialect = "{delimiter: ';', null: '\\N', quoting: always, line_ending: crlf, header: false}";
    let project = people().job("share", &export(&format!("{{path: out, format: csv, csv: {dialect}}}")));
    let ran = project.pipe("run share");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let folder = project.path("out");
    let lines = text(&folder, &manifest(&folder));
    assert_eq!(lines.lines().nth(1), Some("\"2\";\"bob@example.com\";\"DE\";\\N;\"2026-11-01 11:00:00.5\""));
    assert!(lines.ends_with("\r\n"));
}

#[test]
fn json_lines_and_zstd() {
    let project = people().job("share", &export("{path: out, format: jsonl, compression: zstd}"));
    let ran = project.pipe("run share");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let folder = project.path("out");
    let lines = text(&folder, &manifest(&folder));
    assert_eq!(
        lines.lines().nth(2),
        Some("{\"id\":3,\"email\":null,\"country\":\"FR\",\"points\":-0.05,\"seen\":null}")
    );
}

#[test]
fn parts_keep_to_their_bounds() {
    let rows = "select seq4() as n, repeat('x', 50) as filler from table(generator(rowcount => 5000)) order by n";
    let steps = |to: &str| format!("  out:\n    export:\n      sql: {rows}\n      files: {to}\n");
    for (to, most_rows, most_bytes) in [
        ("{path: out, format: csv, parts: {rows: 1500}}", 1500, u64::MAX),
        ("{path: out, format: csv, parts: {bytes: 20KB}}", u64::MAX, 20_000),
        ("{path: out, format: csv, compression: gzip, parts: {bytes: 5KB}}", u64::MAX, 5_000),
        ("{path: out, format: jsonl, compression: zstd, parts: {rows: 2000, bytes: 3KB}}", 2000, 3_000),
        ("{path: out, format: parquet, parts: {bytes: 30KB}}", u64::MAX, 30_000),
    ] {
        let project = Project::new().job("share", &steps(to));
        let ran = project.pipe("run share");
        assert_eq!(ran.code, 0, "{to}: {}", ran.err);
        let found = manifest(&project.path("out"));
        let parts = found["files"].as_array().expect("files");
        assert_eq!(found["rows"].as_u64(), Some(5000), "{to}");
        assert!(parts.len() > 1, "{to}: {found}");
        for part in parts {
            assert!(
                part["rows"].as_u64() <= Some(most_rows) && part["bytes"].as_u64() <= Some(most_bytes),
                "{to}: {part}"
            );
        }
    }
}

#[test]
fn partitions_are_folders() {
    let project = people().job(
        "share",
        "  out:\n    export:\n      input: raw.people\n      columns: {id: id, Land: country}\n      \
         files: {path: out, format: csv, partition_by: land}\n",
    );
    let ran = project.pipe("run share");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let folder = project.path("out");
    let found = manifest(&folder);
    let folders: Vec<&str> = found["files"]
        .as_array()
        .expect("files")
        .iter()
        .map(|file| file["path"].as_str().expect("a path").split('/').next().expect("a folder"))
        .collect();
    assert_eq!(folders, ["Land=DE", "Land=FR", "Land=__HIVE_DEFAULT_PARTITION__"]);
    assert!(text(&folder, &found).starts_with("id\n2\nid\n"));
}

#[test]
fn only_mapped_columns_leave_and_hashed_ones_only_as_hashes() {
    let project = people().job(
        "share",
        "  out:\n    export:\n      input: raw.people\n      columns: {email_sha256: {column: email, hash: sha256}, who: id}\n      \
         files: {path: \"out/{{ run.date }}\", format: csv}\n    tests:\n      - not_null: [who]\n",
    );
    let ran = project.pipe("run share");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let folder = project.path("out/2026-11-02");
    let mut lines: Vec<String> = text(&folder, &manifest(&folder)).lines().map(str::to_owned).collect();
    assert_eq!(lines.remove(0), "email_sha256,who");
    lines.sort();
    let hash = |text: &str| hex::encode(Sha256::digest(text));
    let mut expected = vec![
        format!("{},1", hash("ann@example.com")),
        format!("{},2", hash("bob@example.com")),
        ",3".to_owned(),
        format!("{},4", hash("c,\"d\"@x.org")),
    ];
    expected.sort();
    assert_eq!(lines, expected);
}

#[test]
fn nothing_goes_out_before_all_tests_of_the_job_have_passed() {
    let steps = "  good:\n    export: {input: raw.people, files: {path: out/good, format: csv}}\n  \
                 bad:\n    export: {input: raw.people, files: {path: out/bad, format: parquet}}\n    tests:\n      - not_null: [email]\n";
    let project = people().job("share", steps);
    let ran = project.pipe("run share");
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("not_null(email)"), "{}", ran.err);
    assert!(!project.path("out").exists() || files(&project.path("out")).is_empty());
    let other = people().job(
        "share",
        "  checked:\n    sql: select * from raw.people\n    publish: mart.people\n    tests:\n      - not_null: [email]\n  \
         out:\n    export: {input: checked, files: {path: out, format: csv}}\n",
    );
    assert_eq!(other.pipe("run share").code, 1);
    assert!(!other.path("out").exists());
    other.write("data/raw/people.csv", &PEOPLE.replace("3,,FR", "3,x,FR"));
    let ran = other.pipe("run share");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(manifest(&other.path("out"))["rows"].as_u64(), Some(4));
}

#[test]
fn a_new_export_takes_the_place_of_the_old_one() {
    let project = people().job("share", &export("{path: out, format: csv, parts: {rows: 2}}"));
    assert_eq!(project.pipe("run share").code, 0);
    project.write("out/notes.txt", "not ours");
    project.write("data/raw/people.csv", "id,email,country,points,seen\n9,z@x.org,FR,1,2026-11-01 10:00:00\n");
    // What a run that was killed while it showed its files leaves.
    project.write("out/part-00007-20261101-000000000-00ff.csv", "torn");
    let ran = project.pipe("run share");
    assert_eq!(ran.code, 0, "{}", ran.err);
    fs::remove_file(project.path("out/notes.txt")).expect("left alone");
    assert_eq!(manifest(&project.path("out"))["rows"].as_u64(), Some(1));
}

#[test]
fn an_export_without_rows_is_one_empty_file() {
    let project = people().job(
        "share",
        "  out:\n    export:\n      sql: select id, email from raw.people where false\n      files: {path: out, format: csv}\n",
    );
    assert_eq!(project.pipe("run share").code, 0);
    let folder = project.path("out");
    assert_eq!(text(&folder, &manifest(&folder)), "id,email\n");
}

const LOAD: &str = "  users:
    publish: mart.users
    columns: {id: {type: number, nullable: false}, name: varchar(10), born: date, points: \"number(6,2)\"}
    load: {files: \"in/*.csv\", LIMIT}
";

fn load(limit: &str) -> Project {
    let load = LOAD.replace(", LIMIT", limit);
    Project::new().job("users", &load).file("in/a.csv", "id,name,born,points\n1,ann,2000-01-31,1.5\n2,\"bob,\n the\",,\n").file(
        "in/b.csv",
        "points,id,born,name\n7,3,1999-12-31,cleo\nmuch,4,2000-01-01,dan\n1,,2000-01-01,eve\n1,5,2000-02-30,fay\n1,6\n",
    )
}

#[test]
fn files_are_loaded_and_bad_rows_kept_with_their_reasons() {
    let project = load(", max_bad: 60%");
    let ran = project.pipe("run users");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(project.rows("mart.users"), ["1|ann|2000-01-31|1.50", "2|bob,\n the||", "3|cleo|1999-12-31|7.00"]);
    assert!(ran.err.contains("4 of 7 rows were refused"), "{}", ran.err);
    let kept = fs::read_to_string(project.path(".pipe/rejects/users.users.jsonl")).expect("rejects");
    let kept: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told: Vec<(u64, &str)> = kept
        .iter()
        .map(|row| (row["row"].as_u64().expect("a row"), row["reason"].as_str().expect("a reason")))
        .collect();
    assert_eq!(
        told,
        [
            (6, "2 values instead of 4"),
            (3, "`much` is no NUMBER(6,2) for column `points`"),
            (4, "NULL in column `id`, which may not be"),
            (5, "`2000-02-30` is no DATE for column `born`"),
        ]
    );
    assert!(kept[0]["file"].as_str().is_some_and(|file| file.ends_with("in/b.csv")));
    assert_eq!(kept[1]["record"].as_str(), Some("much,4,2000-01-01,dan"));
    assert_eq!(project.pipe("run users").err.trim(), "nothing to do: 1 unchanged");
}

#[test]
fn too_many_bad_rows_publish_nothing() {
    for limit in ["", ", max_bad: 3", ", max_bad: 10%"] {
        let project = load(limit);
        let ran = project.pipe("run users");
        assert_eq!(ran.code, 1, "{limit}: {}", ran.err);
        assert!(ran.err.contains("4 of 7 rows were refused"), "{}", ran.err);
        assert!(ran.err.contains("users.users.jsonl"), "{}", ran.err);
        assert!(project.rows("mart.users").is_empty());
        assert!(project.path(".pipe/rejects/users.users.jsonl").exists());
        project.write("in/b.csv", "id,name,born,points\n3,cleo,1999-12-31,7\n");
        let ran = project.pipe("run users");
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(project.rows("mart.users").len(), 3);
        assert!(!project.path(".pipe/rejects/users.users.jsonl").exists(), "the rejects are those of the last load");
    }
}

#[test]
fn columns_that_come_and_go_are_errors_unless_said_otherwise() {
    let project = load("");
    project.write("in/b.csv", "id,name,points\n3,cleo,7\n");
    let ran = project.pipe("run users");
    assert!(ran.code == 1 && ran.err.contains("b.csv` lacks the column `born`"), "{}", ran.err);
    project.write("in/b.csv", "id,name,points,born,hobby\n3,cleo,7,,chess\n");
    let ran = project.pipe("run users");
    assert!(ran.code == 1 && ran.err.contains("b.csv` has the undeclared column `hobby`"), "{}", ran.err);
    let project = load(", missing_columns: as_null, extra_columns: ignore");
    project.write("in/b.csv", "id,hobby,NAME\n3,chess,cleo\n");
    let ran = project.pipe("run users");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(project.rows("mart.users")[2], "3|cleo||");
}

#[test]
fn a_broken_file_fails_the_load_whatever_may_be_bad() {
    for (text, told) in [
        ("id,name,born,points\n3,\"cleo,,\n4,dan,,\n", "line 2: a quote is opened here and never closed"),
        ("", "is empty"),
        ("id,name,born,id\n", "two columns called `id`"),
    ] {
        let project = load(", max_bad: 100%");
        project.write("in/b.csv", text);
        let ran = project.pipe("run users");
        assert!(ran.code == 1 && ran.err.contains(told), "{told}: {}", ran.err);
        assert!(project.rows("mart.users").is_empty());
    }
    let project = load(", max_bad: 100%");
    fs::remove_dir_all(project.path("in")).expect("removed");
    let ran = project.pipe("run users");
    assert!(ran.code == 1 && ran.err.contains("there is no file"), "{}", ran.err);
}

#[test]
fn json_lines_are_loaded_by_name() {
    let steps = "  events:\n    publish: mart.events\n    columns: {id: number, tags: array, at: timestamp_ntz}\n    \
                 load: {files: in/, format: jsonl, max_bad: 1, extra_columns: ignore}\n";
    let lines = "{\"id\":1,\"tags\":[1,\"x\"],\"at\":\"2026-11-01T10:00:00\"}\n\n{\"ID\":2,\"more\":{}}\n{\"id\":\n";
    let project = Project::new().job("events", steps).file("in/a.jsonl", lines).file("in/.hidden", "x");
    let ran = project.pipe("run events");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(project.rows("mart.events").len(), 2);
    let kept = fs::read_to_string(project.path(".pipe/rejects/events.events.jsonl")).expect("rejects");
    assert!(kept.contains("\"row\":3,\"line\":4"), "{kept}");
}

/// Every type, with NULLs and extremes.
const TYPES: &str = "select * from values
  (1, 0::number(38,0), 1.5::number(10,2), 0.1::float, 'a,\"b\"\\n', true, '2026-02-28'::date, '12:34:56.789'::time,
   '2026-11-01 10:00:00.123456789'::timestamp_ntz, '2026-11-01 10:00:00 +02:00'::timestamp_ltz,
   '2026-11-01 10:00:00 -05:30'::timestamp_tz, to_binary('00FF'), parse_json('{\"a\": [1, null, \"x\"]}')),
  (2, 99999999999999999999999999999999999999, -99999999.99, -1.7976931348623157e308, '', false, '0001-01-01', '00:00:00',
   '1677-09-22 00:00:00', '1970-01-01 00:00:00 +00:00', '2262-04-11 00:00:00 +14:00', to_binary(''), parse_json('[]')),
  (3, -99999999999999999999999999999999999999, 0.01, 5e-324, 'NULL', null, '9999-12-31', '23:59:59.999999999',
   '2262-04-11 23:47:16.854775807', '2262-04-11 23:47:16 +00:00', '1700-01-01 00:00:00 +00:00', null, parse_json('\"text\"')),
  (4, null, null, 'nan'::float, null, null, null, null, null, null, null, null, null)
  as t(id, n, d, f, s, b, da, ti, ntz, ltz, tz, bi, v)";

const DECLARED: &str = "{id: number, n: \"number(38,0)\", d: \"number(10,2)\", f: float, s: varchar, b: boolean, da: date, ti: time, \
                        ntz: timestamp_ntz, ltz: timestamp_ltz, tz: timestamp_tz, bi: binary, v: variant}";

#[test]
fn every_type_comes_back_as_it_went_out() {
    for format in ["csv", "jsonl", "parquet"] {
        let made =
            format!("  all_types:\n    publish: mart.made\n    sql: |\n      {}\n", TYPES.replace('\n', "\n      "));
        let out = format!(
            "  out:\n    export: {{input: all_types, files: {{path: out, format: {format}, compression: gzip}}}}\n"
        );
        let back = format!("  back:\n    publish: mart.back\n    columns: {DECLARED}\n    load: {{files: out/}}\n");
        let project = Project::new().job("made", &format!("{made}{out}")).job("back", &back);
        let ran = project.pipe("run made");
        assert_eq!(ran.code, 0, "{format}: {}", ran.err);
        let ran = project.pipe("run back");
        assert_eq!(ran.code, 0, "{format}: {}", ran.err);
        assert_eq!(project.rows("mart.back"), project.rows("mart.made"), "{format}");
        assert_eq!(project.rows("mart.made").len(), 4);
    }
}
