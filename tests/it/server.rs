//! Loads, exports, sources and secrets against servers that stand in for AWS and RDS; see `stand_in`.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::project::{Project, Ran};
use crate::stand_in::{BUCKET, PASSWORD, Server, faulty, moto, postgres};

const PEOPLE: &str = "id,name,points\n1,ann,10.50\n2,bob,\n3,,7.25\n";

fn people() -> Project {
    Project::new().source("people", "id: number, name: varchar, points: \"number(10,2)\"", PEOPLE)
}

fn run(project: &Project, words: &str, aws: Server) -> Ran {
    let variables = aws.aws();
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    project.pipe_with(words, &variables)
}

fn to_s3(folder: &str, format: &str) -> String {
    format!(
        "  out:\n    export: {{input: raw.people, files: {{path: \"s3://{BUCKET}/{folder}\", format: {format}}}}}\n"
    )
}

/// 60,000 rows of some 600 bytes: several parts of an upload.
fn large(folder: &str) -> String {
    format!(
        "  out:\n    export:\n      sql: select seq4() as n, randstr(600, random()) as filler from table(generator(rowcount => 60000))\n      \
         files: {{path: \"s3://{BUCKET}/{folder}\", format: csv}}\n"
    )
}

#[test]
fn rows_go_to_s3_and_come_back() {
    let Some(moto) = moto() else { return };
    for format in ["csv", "jsonl", "parquet"] {
        let folder = format!("back-{format}");
        let back = format!(
            "  back:\n    publish: mart.back\n    columns: {{id: number, name: varchar, points: \"number(10,2)\"}}\n    \
             load: {{files: \"s3://{BUCKET}/{folder}/*.{format}\"}}\n"
        );
        let project = people().job("share", &to_s3(&folder, format)).job("back", &back);
        let ran = run(&project, "run share", moto);
        assert_eq!(ran.code, 0, "{format}: {}", ran.err);
        assert_eq!(moto.keys(&format!("{folder}/")).len(), 2);
        assert_eq!(run(&project, "run share", moto).err.trim(), "nothing to do: 1 unchanged");
        let ran = run(&project, "run back", moto);
        assert_eq!(ran.code, 0, "{format}: {}", ran.err);
        assert_eq!(project.rows("mart.back"), ["1|ann|10.50", "2|bob|", "3||7.25"]);
        assert_eq!(run(&project, "run back", moto).err.trim(), "nothing to do: 1 unchanged");
    }
}

#[test]
fn sources_are_read_from_s3() {
    let Some(moto) = moto() else { return };
    let shared = people().job("share", &to_s3("source", "parquet"));
    assert_eq!(run(&shared, "run share", moto).code, 0);
    let project =
        people().job("copy", "  copy:\n    sql: select name from raw.people where id > 1\n    publish: mart.copy\n");
    let place = format!("{{raw.people: {{path: \"s3://{BUCKET}/source/*.parquet\"}}}}");
    project.write(
        "pipe.yaml",
        &format!("targets:\n  local: {{backend: datafusion, tables: {place}, date: 2026-11-02}}\n"),
    );
    let ran = run(&project, "run copy", moto);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(project.rows("mart.copy"), ["", "bob"]);
    assert_eq!(run(&project, "run copy", moto).err.trim(), "nothing to do: 1 unchanged");
}

fn answer(matched: &str, status: u16, times: u32) -> Value {
    json!([{"match": matched, "kind": "answer", "status": status, "times": times}])
}

#[test]
fn an_upload_outlives_errors_that_pass() {
    let cut = json!([{"match": "^PUT .*partNumber=2", "kind": "cut", "times": 2}]);
    for (name, faults) in [
        ("busy", answer("^PUT .*partNumber=1", 503, 2)),
        ("cut", cut),
        ("begin", answer("^POST .*uploads", 503, 1)),
        ("whole", answer("^POST .*uploadId", 500, 1)),
    ] {
        let Some(proxy) = faulty(&faults) else { return };
        let project = Project::new().job("share", &large(name));
        let ran = run(&project, "run share", proxy);
        assert_eq!(ran.code, 0, "{name}: {}", ran.err);
        assert_eq!(proxy.keys(&format!("{name}/")).len(), 2, "{name}");
    }
}

#[test]
fn an_upload_that_is_refused_leaves_nothing() {
    for (name, faults) in [
        ("denied", answer("^PUT .*partNumber=3", 403, 100)),
        ("denied-first", answer("^POST .*uploads", 403, 100)),
        ("denied-last", answer("^PUT .*manifest.json", 403, 100)),
    ] {
        let Some(proxy) = faulty(&faults) else { return };
        let project = Project::new().job("share", &large(name));
        let ran = run(&project, "run share", proxy);
        assert_eq!(ran.code, 1, "{name}: {}", ran.err);
        assert!(ran.err.contains("S3 refused (403)"), "{name}: {}", ran.err);
        assert_eq!(proxy.keys(&format!("{name}/")), Vec::<String>::new(), "{name}");
        assert!(!proxy.open_uploads().contains(&format!("<Key>{name}/")), "{name}");
        assert_eq!(proxy.http("POST", "/__faults", "s3", "", b"[]").0, 200);
        let ran = run(&project, "run share", proxy);
        assert_eq!(ran.code, 0, "{name}: {}", ran.err);
    }
}

/// Starts `pipe`, kills it after a while, and says whether it was still at work.
fn killed(project: &Project, words: &str, variables: &[(&str, String)], after: Duration) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipe"));
    command.args(words.split_whitespace()).current_dir(project.path(""));
    command.envs(variables.iter().map(|(name, value)| (*name, value.as_str())));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("pipe runs");
    std::thread::sleep(after);
    let working = child.try_wait().expect("asked").is_none();
    let _ = child.kill();
    child.wait().expect("it ended");
    working
}

#[test]
fn a_killed_export_to_s3_is_not_seen_and_the_next_run_makes_it_whole() {
    let faults = json!([{"match": "^PUT .*partNumber=", "kind": "slow", "seconds": 1, "times": 4}]);
    let Some(proxy) = faulty(&faults) else { return };
    let project = Project::new().job("share", &large("killed"));
    assert!(killed(&project, "run share", &proxy.aws(), Duration::from_millis(1100)));
    assert_eq!(proxy.keys("killed/"), Vec::<String>::new());
    let ran = run(&project, "run share", proxy);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(proxy.keys("killed/").len(), 2);
}

#[test]
fn what_s3_lacks_is_told_in_plain_words() {
    let Some(moto) = moto() else { return };
    let load = |path: &str| {
        let steps =
            format!("  a:\n    publish: mart.a\n    columns: {{id: number}}\n    load: {{files: \"{path}\"}}\n");
        Project::new().job("a", &steps)
    };
    let ran = run(&load(&format!("s3://{BUCKET}/nothing/*.csv")), "run a", moto);
    assert!(ran.code == 1 && ran.err.contains("there is no file `s3://pipe-test/nothing/*.csv`"), "{}", ran.err);
    let ran = run(&load("s3://no-such-bucket/x/*.csv"), "run a", moto);
    assert!(ran.code != 0 && ran.err.contains("there is no such bucket"), "{}", ran.err);
    let mut variables = moto.aws();
    variables.retain(|(name, _)| !name.starts_with("AWS_ACCESS") && !name.starts_with("AWS_SECRET"));
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let ran = load("s3://pipe-test/x/*.csv").pipe_with("run a", &variables);
    assert!(ran.code != 0 && ran.err.contains("no AWS credentials were found"), "{}", ran.err);
}

/// A project whose connection `db` is the test database; the password is a secret of the environment.
fn database(server: Server, more: &str) -> Project {
    let project = people();
    let connection = format!(
        "connections:\n  db: {{host: 127.0.0.1, port: {}, database: app, user: pipe, tls: disable, \
         password: \"{{{{ secret('/pipe/test/db-password') }}}}\"}}\n",
        server.port
    );
    let target = "  local: {backend: datafusion, sources: data/, date: 2026-11-02}\n";
    project.write("pipe.yaml", &format!("targets:\n{target}{connection}{more}"));
    project
}

fn with_password(project: &Project, words: &str) -> Ran {
    project.pipe_with(words, &[("PIPE_TEST_DB_PASSWORD", PASSWORD)])
}

fn to_table(table: &str, mode: &str) -> String {
    format!("  out:\n    export: {{input: raw.people, postgres: {{connection: db, table: {table}, mode: {mode}}}}}\n")
}

#[test]
fn rows_are_appended_once() {
    let Some(server) = postgres() else { return };
    let project = database(server, "").job("share", &to_table("appended", "append"));
    let ran = with_password(&project, "run share");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let rows = || server.sql("select * from appended order by id");
    assert_eq!(rows(), ["1|ann|10.50", "2|bob|NULL", "3|NULL|7.25"]);
    assert_eq!(with_password(&project, "run share").err.trim(), "nothing to do: 1 unchanged");
    // As after a kill between the commit and the writing down of it: the ledger knows nothing, the database does.
    fs::remove_dir_all(project.path(".pipe")).expect("removed");
    assert_eq!(with_password(&project, "run share").code, 0);
    assert_eq!(rows().len(), 3);
    project.write("data/raw/people.csv", "id,name,points\n4,dan,1\n");
    assert_eq!(with_password(&project, "run share").code, 0);
    assert_eq!(rows().len(), 4);
}

#[test]
fn a_replaced_table_keeps_what_it_was_given() {
    let Some(server) = postgres() else { return };
    server.sql(
        "create table replaced (id bigserial primary key, name text, points numeric(10,2) default 5, extra text default 'x'); \
         create index by_name on replaced (name); comment on table replaced is 'people'; \
         insert into replaced (name) values ('old'); create role reader; grant select on replaced to reader",
    );
    let project = database(server, "").job("share", &to_table("public.replaced", "replace"));
    let ran = with_password(&project, "run share");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(server.sql("select * from replaced order by id"), ["1|ann|10.50|x", "2|bob|NULL|x", "3|NULL|7.25|x"]);
    let indexes = "select indexname from pg_indexes where tablename = 'replaced' order by 1";
    assert_eq!(server.sql(indexes), ["by_name", "replaced_pkey"]);
    assert_eq!(server.sql("select has_table_privilege('reader', 'replaced', 'select')"), ["t"]);
    assert_eq!(server.sql("select obj_description('replaced'::regclass)"), ["people"]);
    assert_eq!(server.sql("insert into replaced (id, name) values (100, 'new') returning points"), ["5.00"]);
    let left = "select count(*) from pg_class where relname like '%pipe_2%'";
    assert_eq!(server.sql(left), ["0"]);
    server.sql("create view on_replaced as select * from replaced");
    project.write("data/raw/people.csv", "id,name,points\n4,dan,1\n");
    let ran = with_password(&project, "run share");
    assert!(ran.code == 1 && ran.err.contains("has views on it"), "{}", ran.err);
}

#[test]
fn rows_are_upserted_by_key() {
    let Some(server) = postgres() else { return };
    let project = database(server, "").job("share", &to_table("upserted", "upsert, key: id"));
    assert_eq!(with_password(&project, "run share").code, 0);
    server.sql("alter table upserted add column note text; update upserted set note = 'kept'");
    project.write("data/raw/people.csv", "id,name,points\n2,BOB,1\n4,dan,\n");
    let ran = with_password(&project, "run share");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        server.sql("select * from upserted order by id"),
        ["1|ann|10.50|kept", "2|BOB|1.00|kept", "3|NULL|7.25|kept", "4|dan|NULL|NULL"]
    );
    project.write("data/raw/people.csv", "id,name,points\n5,x,1\n5,y,1\n");
    let ran = with_password(&project, "run share");
    assert!(ran.code == 1 && ran.err.contains("two rows of the export have the same key"), "{}", ran.err);
    server.sql("create table unkeyed (id bigint, name text, points numeric)");
    let project = database(server, "").job("share", &to_table("unkeyed", "upsert, key: id"));
    let ran = with_password(&project, "run share");
    assert!(ran.code == 1 && ran.err.contains("needs a primary key or unique index"), "{}", ran.err);
}

#[test]
fn a_broken_constraint_leaves_the_old_rows_and_names_the_row() {
    let Some(server) = postgres() else { return };
    for (table, mode) in [("checked_a", "append"), ("checked_b", "replace"), ("checked_c", "upsert, key: id")] {
        server.sql(&format!(
            "create table {table} (id bigint primary key, name text not null, points numeric); insert into {table} values (9, 'old')"
        ));
        let project = database(server, "").job("share", &to_table(table, mode));
        let ran = with_password(&project, "run share");
        assert_eq!(ran.code, 1, "{mode}: {}", ran.err);
        assert!(
            ran.err.contains("lacks a value that it must have") && ran.err.contains("(3, null, 7.25)"),
            "{mode}: {}",
            ran.err
        );
        assert_eq!(server.sql(&format!("select * from {table}")), ["9|old|NULL"], "{mode}");
        assert!(server.sql("select count(*) from pg_class where relname like '%pipe_2%'") == ["0"], "{mode}");
    }
}

#[test]
fn all_or_none_of_a_jobs_exports_go_out() {
    let Some(server) = postgres() else { return };
    let steps = format!(
        "{}  files:\n    export: {{input: raw.people, files: {{path: out, format: csv}}}}\n    tests:\n      - not_null: [name]\n",
        to_table("together", "append")
    );
    let project = database(server, "").job("share", &steps);
    assert_eq!(with_password(&project, "run share").code, 1);
    assert_eq!(server.sql("select to_regclass('together') is null"), ["t"]);
    assert!(!project.path("out").exists());
}

#[test]
fn what_postgres_refuses_is_told_in_plain_words() {
    let Some(server) = postgres() else { return };
    let project = database(server, "").job("share", &to_table("refused", "append"));
    let ran = project.pipe_with("run share", &[("PIPE_TEST_DB_PASSWORD", "wrong")]);
    assert!(ran.code == 1 && ran.err.contains("refused the login of `pipe`"), "{}", ran.err);
    let ran = project.pipe("run share");
    assert!(ran.code == 1 && ran.err.contains("`PIPE_TEST_DB_PASSWORD` is not set"), "{}", ran.err);
    let down = database(Server { port: 1 }, "").job("share", "  out:\n    retry: {max: 1, backoff: 10ms}\n    export: {input: raw.people, postgres: {connection: db, table: t, mode: append}}\n");
    let ran = with_password(&down, "run share");
    assert!(ran.code == 1 && ran.err.contains("cannot be reached"), "{}", ran.err);
    assert!(ran.err.contains("retry"), "{}", ran.err);
    server.sql("create table narrow (id int, name varchar(2), points real, at timestamptz)");
    let project = database(server, "").job("share", &to_table("narrow", "append"));
    let ran = with_password(&project, "run share");
    assert!(ran.code == 1 && ran.err.contains("too long for type character varying(2)"), "{}", ran.err);
    let steps = "  out:\n    export: {sql: \"select 1 as id, current_timestamp()::timestamp_ntz as at\", \
                 postgres: {connection: db, table: narrow, mode: append}}\n";
    let ran = with_password(&database(server, "").job("share", steps), "run share");
    assert!(ran.code == 1 && ran.err.contains("say in which time zone it is"), "{}", ran.err);
    let steps = steps.replace("1 as id", "5000000000 as id").replace(", current_timestamp()::timestamp_ntz as at", "");
    let ran = with_password(&database(server, "").job("share", &steps), "run share");
    assert!(ran.code == 1 && ran.err.contains("`5000000000` is too large for it"), "{}", ran.err);
}

#[test]
fn a_locked_table_is_waited_for_and_no_longer_than_said() {
    let Some(server) = postgres() else { return };
    server.sql("create table locked (id bigint, name text, points numeric)");
    let steps = "  out:\n    retry: {max: 0}\n    export: {input: raw.people, postgres: {connection: db, table: locked, mode: replace, lock_timeout: 200ms}}\n";
    let project = database(server, "").job("share", steps);
    let holding = std::thread::spawn(move || {
        server.sql("begin; lock table locked in access share mode; select pg_sleep(4); commit")
    });
    std::thread::sleep(Duration::from_millis(500));
    let ran = with_password(&project, "run share");
    assert!(ran.code == 1 && ran.err.contains("another session has the table locked"), "{}", ran.err);
    holding.join().expect("it ended");
    let ran = with_password(&project, "run share");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(server.sql("select count(*) from locked"), ["3"]);
}

#[test]
fn connections_are_protected_as_asked() {
    let Some(server) = postgres() else { return };
    let certificate = server.certificate().display().to_string();
    for (at, (tls, told)) in [
        ("tls: require".to_owned(), None),
        (format!("tls: verify, ca: \"{certificate}\""), None),
        ("tls: verify".to_owned(), Some("no protected connection")),
    ]
    .into_iter()
    .enumerate()
    {
        let project = database(server, "").job("share", &to_table(&format!("protected_{at}"), "append"));
        let settings = fs::read_to_string(project.path("pipe.yaml")).expect("read").replace("tls: disable", &tls);
        project.write("pipe.yaml", &settings);
        let ran = with_password(&project, "run share");
        match told {
            None => assert_eq!(ran.code, 0, "{tls}: {}", ran.err),
            Some(told) => assert!(ran.code == 1 && ran.err.contains(told), "{tls}: {}", ran.err),
        }
    }
}

#[test]
fn a_killed_export_to_postgres_is_undone_and_the_next_run_makes_it_whole() {
    let Some(server) = postgres() else { return };
    server.sql("create table killed (n bigint, filler text); insert into killed values (-1, 'old')");
    let steps = "  out:\n    export:\n      sql: select seq4() as n, repeat('x', 200) as filler from table(generator(rowcount => 400000))\n      \
                 postgres: {connection: db, table: killed, mode: replace}\n";
    let project = database(server, "").job("share", steps);
    let variables = [("PIPE_TEST_DB_PASSWORD", PASSWORD.to_owned())];
    let mut interrupted = 0;
    for millis in [60, 200, 350, 600, 900, 1300] {
        interrupted += u32::from(killed(&project, "run share", &variables, Duration::from_millis(millis)));
        let rows = server.sql("select count(*) from killed");
        assert!(rows == ["1"] || rows == ["400000"], "{rows:?}");
    }
    assert!(interrupted > 0, "no run was killed at work");
    assert_eq!(with_password(&project, "run share").code, 0);
    assert_eq!(server.sql("select count(*), count(distinct n) from killed"), ["400000|400000"]);
}

#[test]
fn every_type_arrives_in_postgres_as_it_was() {
    let Some(server) = postgres() else { return };
    let sql = "select * from values
      (1, 99999999999999999999999999999999999999, -99999999.99::number(10,2), 1.7976931348623157e308::float, 'a''\\\\\\n\\tb', true,
       '0001-01-01'::date, '23:59:59.999999'::time, '2262-04-11 23:47:16.854775'::timestamp_ntz,
       '2026-11-01 10:00:00 +02:00'::timestamp_ltz, '2026-11-01 10:00:00 -05:30'::timestamp_tz, to_binary('00FF'),
       parse_json('{\"a\": [1, null]}')),
      (2, null, null, 'nan'::float, null, null, null, null, null, null, null, null, null),
      (3, -1, 0.01, 5e-324, '', false, '9999-12-31', '00:00:00', '1677-09-22 00:00:00', '1970-01-01 00:00:00 +00:00',
       '1700-01-01 00:00:00 +00:00', to_binary(''), parse_json('[]'))
      as t(id, n, d, f, s, b, da, ti, ntz, ltz, tz, bi, v)";
    let steps = format!(
        "  made:\n    sql: |\n      {}\n  out:\n    export: {{input: made, postgres: {{connection: db, table: all_types, mode: replace}}}}\n",
        sql.replace('\n', "\n      ")
    );
    let project = database(server, "").job("share", &steps);
    let ran = with_password(&project, "run share");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        server.sql("select * from all_types order by id"),
        [
            "1|99999999999999999999999999999999999999|-99999999.99|1.7976931348623157e+308|a'\\\n\tb|t|0001-01-01|23:59:59.999999|\
             2262-04-11 23:47:16.854775|2026-11-01 08:00:00+00|2026-11-01 15:30:00+00|\\x00ff|{\"a\": [1, null]}",
            "2|NULL|NULL|NaN|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL",
            "3|-1|0.01|5e-324||f|9999-12-31|00:00:00|1677-09-22 00:00:00|1970-01-01 00:00:00+00|1700-01-01 00:00:00+00|\\x|[]",
        ]
    );
}

/// A project whose password is in the parameter store.
fn stored(server: Server, name: &str) -> Project {
    let project = database(server, "secrets: ssm\n").job("share", &to_table(name, "append"));
    let settings = fs::read_to_string(project.path("pipe.yaml"))
        .expect("read")
        .replace("/pipe/test/db-password", &format!("/pipe/{name}"));
    project.write("pipe.yaml", &settings);
    project
}

#[test]
fn secrets_come_from_the_parameter_store() {
    let (Some(moto), Some(server)) = (moto(), postgres()) else { return };
    moto.keep("/pipe/from_store", PASSWORD);
    let ran = run(&stored(server, "from_store"), "run share", moto);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let ran = run(&stored(server, "not_stored"), "run share", moto);
    assert!(
        ran.code == 1 && ran.err.contains("the secret `/pipe/not_stored` cannot be had: there is no such parameter"),
        "{}",
        ran.err
    );
}

#[test]
fn a_throttled_store_is_asked_again_and_a_refusal_is_told() {
    let Some(server) = postgres() else { return };
    let refusal = |code: &str, times: u32| {
        let body = json!({"__type": code, "message": "Rate exceeded"}).to_string();
        json!([{"match": "GetParameters", "kind": "answer", "status": 400, "times": times, "body": body, "type": "application/x-amz-json-1.1"}])
    };
    for (name, code, times, told) in [
        ("throttled", "ThrottlingException", 3, None),
        ("throttled_on", "ThrottlingException", 100, Some("asked to slow down")),
        ("store_denied", "AccessDeniedException", 100, Some("access is denied")),
        ("store_expired", "ExpiredTokenException", 100, Some("credentials are not accepted")),
    ] {
        let Some(proxy) = faulty(&refusal(code, times)) else { return };
        proxy.keep(&format!("/pipe/{name}"), PASSWORD);
        let ran = run(&stored(server, name), "run share", proxy);
        match told {
            None => assert_eq!(ran.code, 0, "{name}: {}", ran.err),
            Some(told) => assert!(ran.code == 1 && ran.err.contains(told), "{name}: {}", ran.err),
        }
    }
}

#[test]
fn no_region_and_no_credentials_are_told() {
    let (Some(moto), Some(server)) = (moto(), postgres()) else { return };
    for (left_out, told) in
        [("AWS_REGION", "no AWS region is configured"), ("AWS_ACCESS_KEY_ID", "no AWS credentials were found")]
    {
        let mut variables = moto.aws();
        variables.retain(|(name, _)| *name != left_out);
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let ran = stored(server, "nowhere").pipe_with("run share", &variables);
        assert!(ran.code == 1 && ran.err.contains(told), "{}", ran.err);
    }
}
