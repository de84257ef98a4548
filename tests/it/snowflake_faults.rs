//! Snowflake at its worst, which a stand-in plays: logins that are wrong, errors that pass and errors that do not, sessions
//! that expire, runs that are stopped or killed.

use serde_json::json;

use crate::snowflake::{Both, SHOP, orders};
use crate::stand_in::{OAUTH, PASSPHRASE, PASSWORD, keys, snowflake, snowflake_alone};

#[test]
fn every_kind_of_login_works_and_tells_what_is_wrong_with_it() {
    let Some(server) = snowflake() else { return };
    let both = Both::new(orders(), server);
    let (own, other) = (&keys().private, &keys().other);
    let encrypted = "private_key: \"{{ secret('/k') }}\"\n    private_key_passphrase: \"{{ secret('/p') }}\"";
    let (key, token, password) = (
        "private_key: \"{{ secret('/k') }}\"",
        "oauth_token: \"{{ secret('/k') }}\"",
        "password: \"{{ secret('/k') }}\"",
    );
    let in_one_line = own.replace('\n', "\\n");
    let cases: [(&str, &str, &str, Option<&str>); 11] = [
        (key, own, "", None),
        (key, &in_one_line, "", None),
        (key, other, "", Some("JWT token is invalid")),
        (key, "no key at all", "", Some("the login could not be made")),
        (encrypted, &keys().encrypted, PASSPHRASE, None),
        (encrypted, &keys().encrypted, "wrong", Some("the login could not be made")),
        (token, OAUTH, "", None),
        (token, "pl4nted-other", "", Some("Invalid OAuth access token")),
        (password, PASSWORD, "", None),
        (password, "pl4nted-other", "", Some("Incorrect username or password")),
        ("role: R", "", "", Some("does not say how it logs in")),
    ];
    for (credential, secret, passphrase, wrong) in cases {
        both.settings(credential, "");
        let words = ["sql", "--target", "prod", "--format", "csv", "select 1 as one"];
        let ran = both.project.words_with(&words, &[("K", secret), ("P", passphrase)]);
        match wrong {
            None => assert_eq!((ran.code, ran.out.as_str()), (0, "ONE\n1\n"), "{credential}: {}", ran.err),
            Some(wrong) => assert!(ran.code != 0 && ran.err.contains(wrong), "{credential}: {}", ran.err),
        }
        let shown = format!("{}{}", ran.out, ran.err);
        assert!(!shown.contains("pl4nted") && !shown.contains("PRIVATE"), "{shown}");
    }
}

#[test]
fn errors_that_pass_are_outlived_and_others_are_told() {
    let Some(server) = snowflake_alone(&[]) else { return };
    let both = Both::new(orders().job("shop", SHOP), server);
    both.fill();
    for (at, fault) in [
        json!({"where": "login", "n": 1, "status": 503}),
        json!({"where": "query", "n": 1, "status": 503, "match": "CREATE OR REPLACE TRANSIENT"}),
        json!({"where": "query", "n": 1, "status": 0, "match": "CREATE OR REPLACE TRANSIENT", "after": true}),
        json!({"where": "query", "n": 1, "status": 0, "match": "INFORMATION_SCHEMA"}),
        json!({"where": "query", "n": 1, "status": 503, "match": "INSERT OVERWRITE"}),
        json!({"where": "query", "n": 1, "status": 0, "match": "^COMMIT", "after": true}),
        json!({"where": "query", "n": 1, "status": 503, "match": "^COMMIT"}),
    ]
    .into_iter()
    .enumerate()
    {
        server.gate(&json!({"clear": true, "fault": fault}));
        let ran = both.run("run shop --target prod --full-refresh");
        let hit = server.gate(&json!({}))["log"].to_string().contains("\"fault\"");
        assert!(hit, "fault {at} was not met: {}", ran.err);
    }
    server.gate(&json!({"clear": true}));
    both.run("run shop");
    both.same("mart.totals");
    // What does not pass is told, with the query to look it up by.
    let wrong = "  wrong:\n    publish: mart.wrong\n    sql: select 'x'::number as n from raw.orders\n";
    both.project.write("pipelines/shop.yaml", &format!("job: shop\nsteps:\n{wrong}"));
    let ran = both.pipe("run shop --target prod");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("Snowflake's error") && ran.err.contains("(query "), "{}", ran.err);
}

/// Rows that are fetched in chunks, computed here and loaded again by parameters.
const FETCHED: &str = "
  here:
    publish: mart.here
    engine: local
    retry: {max: 4, backoff: 10ms}
    sql: select customer, count(*) as n, sum(id) as ids from raw.orders group by customer
";

#[test]
fn errors_on_the_way_of_an_answer_are_outlived() {
    let variables = [("CHUNK_ROWS", "700".to_owned()), ("ASYNC_AFTER", "0.02".to_owned())];
    let Some(server) = snowflake_alone(&variables) else { return };
    let rows: String = (0..3000).map(|at| format!("{at},c{},{at}.25,2026-10-01,\n", at % 7)).collect();
    let columns = "id: number, customer: varchar, amount: \"number(10,2)\", day: date, note: varchar";
    let csv = format!("id,customer,amount,day,note\n{rows}");
    let both = Both::new(crate::project::Project::new().source("orders", columns, &csv).job("shop", FETCHED), server);
    both.fill();
    both.run("run shop");
    for (place, status, n, met) in [
        ("login", 503, 2, true),
        ("query", 503, 2, true),
        ("query", 0, 2, true),
        // Answers that are there at once are not asked for again.
        ("poll", 503, 1, false),
        ("poll", 0, 1, false),
        ("chunk", 503, 3, true),
        ("chunk", 0, 2, true),
        ("chunk", 403, 2, true),
    ] {
        let of_rows = if place == "query" { "RAW.ORDERS" } else { "" };
        server.gate(&json!({"clear": true, "fault": {"where": place, "n": n, "status": status, "match": of_rows}}));
        both.run("run shop --target prod --full-refresh");
        let hit = server.gate(&json!({}))["log"].to_string().contains("\"fault\"");
        assert!(hit || !met, "{place} {status} was not met");
        both.same("mart.here");
    }
    // What a server refuses for good is told, and the tables stay.
    for (place, told) in [("login", "403"), ("query", "403")] {
        server.gate(&json!({"clear": true, "fault": {"where": place, "n": 1000, "status": 403}}));
        let ran = both.pipe("run shop --target prod --full-refresh");
        assert!(ran.code == 1 && ran.err.contains(told), "{place}: {}", ran.err);
        server.gate(&json!({"clear": true}));
        both.same("mart.here");
    }
}

#[test]
fn an_upload_to_the_stage_that_is_refused_leaves_nothing() {
    let Some(moto) = crate::stand_in::moto() else { return };
    let s3 = format!("http://127.0.0.1:{}", moto.port);
    let Some(server) = snowflake_alone(&[("S3", s3)]) else { return };
    let rows: String = (0..3000).map(|at| format!("{at},c{},{at}.25,2026-10-01,\n", at % 7)).collect();
    let columns = "id: number, customer: varchar, amount: \"number(10,2)\", day: date, note: varchar";
    let csv = format!("id,customer,amount,day,note\n{rows}");
    let steps =
        "  here: {publish: mart.here, engine: local, retry: {max: 2, backoff: 10ms}, sql: select * from raw.orders}\n";
    let both = Both::new(crate::project::Project::new().source("orders", columns, &csv).job("shop", steps), server);
    both.fill();
    both.run("run shop");
    let bucket = crate::stand_in::BUCKET;
    both.settings(
        "password: \"{{ secret('/pipe/pw') }}\"",
        &format!("    stage: PIPE.REFUSED\n    stage_url: s3://{bucket}/refused/\n"),
    );
    let stage = format!("create or replace stage PIPE.REFUSED url = 's3://{bucket}/refused/'");
    server.gate(&json!({"sql": ["create schema if not exists PIPE", stage], "database": both.database}));
    for (matched, status, times, told) in [
        ("^PUT .*refused/", 503, 2, None),
        ("^PUT .*refused/", 403, 100, Some("S3 refused (403)")),
        ("^POST .*refused/.*uploads", 403, 100, Some("S3 refused (403)")),
    ] {
        let fault = json!([{"match": matched, "kind": "answer", "status": status, "times": times}]);
        let Some(proxy) = crate::stand_in::faulty(&fault) else { return };
        let environment = proxy.aws();
        let mut variables: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        variables.push(("PIPE_PW", PASSWORD));
        let ran = both.project.words_with(&["run", "shop", "--target", "prod", "--full-refresh"], &variables);
        let whole = told.is_none() || ran.code == 0;
        assert!(whole || ran.code == 1 && ran.err.contains(told.unwrap_or_default()), "{matched}: {}", ran.err);
        both.same("mart.here");
        assert!(moto.keys("refused/").is_empty() && !moto.open_uploads().contains("refused/"), "{matched} left files");
    }
}

#[test]
fn an_expired_session_is_made_anew() {
    let Some(server) = snowflake_alone(&[]) else { return };
    let both = Both::new(orders().job("shop", SHOP), server);
    both.fill();
    let slow = SHOP.replace("select * from raw.orders", "select o.* from raw.orders as o");
    both.project.write("pipelines/shop.yaml", &format!("job: shop\nsteps:\n{slow}"));
    let run = std::thread::scope(|scope| {
        let run = scope.spawn(|| both.pipe("run shop --target prod"));
        while !run.is_finished() {
            server.gate(&json!({"expire_all": true}));
            std::thread::sleep(std::time::Duration::from_millis(400));
        }
        run.join().expect("it ran")
    });
    assert_eq!(run.code, 0, "{}", run.err);
    both.run("run shop");
    both.same("mart.days");
}

const SLOW: &str = "
  slow:
    publish: mart.slow
    retry: {max: 1}
    sql: |
      with n as (select seq4() as x from table(generator(rowcount => 200000)))
      select count(*) as n from n as a, n as b where mod(a.x * b.x, 7919) = 3
";

#[test]
fn a_statement_over_its_time_is_stopped_on_the_server() {
    let Some(server) = snowflake_alone(&[("ASYNC_AFTER", "1".to_owned())]) else { return };
    let both = Both::new(orders().job("shop", &SLOW.replace("retry:", "timeout: 3s\n    retry:")), server);
    both.fill();
    let ran = both.pipe("run shop --target prod");
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("took longer than its timeout of 3 s"), "{}", ran.err);
    let log = server.gate(&json!({}))["log"].to_string();
    assert!(log.contains("\"abort\"") && log.contains("\"running\":true"), "no abort was seen");
}

#[test]
fn ctrl_c_stops_the_statement_on_the_server() {
    let Some(server) = snowflake_alone(&[("ASYNC_AFTER", "1".to_owned())]) else { return };
    let both = Both::new(orders().job("shop", SLOW), server);
    both.fill();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pipe"));
    command.args(["run", "shop", "--target", "prod"]).current_dir(both.project.path("")).env("PIPE_PW", PASSWORD);
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().expect("it starts");
    while server.statements("CREATE OR REPLACE TRANSIENT").is_empty() {
        assert!(child.try_wait().expect("its state").is_none(), "it ended before it began");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let pid = child.id().to_string();
    std::process::Command::new("kill").args(["-INT", &pid]).status().expect("sent");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    let log = server.gate(&json!({}))["log"].to_string();
    assert!(log.contains("\"running\":true"), "no abort was seen");
}

/// How often a run is killed while it publishes; `KILLS=100` is the full test.
pub(crate) fn kills() -> u32 {
    std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

#[test]
fn a_run_that_is_killed_is_taken_up_and_ends_in_the_same_tables() {
    let Some(server) = snowflake_alone(&[]) else { return };
    let both = Both::new(orders().job("shop", SHOP), server);
    both.fill();
    both.run("run shop");
    both.run("run shop --target prod");
    let tables = ["mart.totals", "mart.days", "mart.best"];
    let before = tables.map(|table| both.rows("prod", table));
    let mut state = 11_u64;
    for round in 0..kills() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pipe"));
        command.args(["run", "shop", "--target", "prod", "--full-refresh"]).current_dir(both.project.path(""));
        command.env("PIPE_PW", PASSWORD).stderr(std::process::Stdio::null());
        let mut child = command.spawn().expect("it starts");
        std::thread::sleep(std::time::Duration::from_millis((state >> 33) % 2500));
        child.kill().expect("killed");
        child.wait().expect("it ended");
        if round % 2 == 0 {
            // Another machine takes it up.
            let _ = std::fs::remove_dir_all(both.project.path(".pipe/prod"));
        }
        both.run("run shop --target prod --resume");
        for (table, before) in tables.iter().zip(&before) {
            assert_eq!(both.rows("prod", table), *before, "{table} after kill {round}");
        }
    }
}

#[test]
fn a_transaction_that_a_lost_run_left_open_is_undone() {
    let Some(server) = snowflake_alone(&[("ASYNC_AFTER", "1000".to_owned())]) else { return };
    let both = Both::new(orders().job("shop", SHOP), server);
    both.fill();
    both.run("run shop --target prod");
    let before = both.rows("prod", "mart.totals");
    // Killed between the first statement of its transaction and the last: every commit is refused for longer than it is tried.
    server.gate(
        &json!({"clear": true, "fault": {"where": "query", "n": 1000, "status": 503, "match": "^(COMMIT|ROLLBACK)"}}),
    );
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pipe"));
    command.args(["run", "shop", "--target", "prod", "--full-refresh"]).current_dir(both.project.path(""));
    command.env("PIPE_PW", PASSWORD).stderr(std::process::Stdio::null());
    let mut child = command.spawn().expect("it starts");
    while server.statements("INSERT INTO").iter().all(|sql| !sql.contains("STATES")) {
        assert!(child.try_wait().expect("its state").is_none(), "it ended before it published");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    child.kill().expect("killed");
    child.wait().expect("it ended");
    server.gate(&json!({"clear": true}));
    both.run("run shop --target prod --resume");
    assert!(!server.statements("SYSTEM$ABORT_TRANSACTION").is_empty());
    assert_eq!(both.rows("prod", "mart.totals"), before);
}

#[test]
fn two_runs_at_once_leave_whole_tables() {
    let Some(server) = snowflake_alone(&[]) else { return };
    let both = Both::new(orders().job("shop", SHOP), server);
    both.fill();
    both.run("run shop --target prod");
    let before = both.rows("prod", "mart.totals");
    let codes = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..2).map(|_| scope.spawn(|| both.pipe("run shop --target prod --full-refresh"))).collect();
        runs.into_iter().map(|run| run.join().expect("it ran")).collect::<Vec<_>>()
    });
    assert!(codes.iter().any(|ran| ran.code == 0), "{codes:?}");
    assert_eq!(both.rows("prod", "mart.totals"), before);
    both.run("run shop --target prod");
}

#[test]
fn the_catalogue_is_held_against_the_contracts_and_doctor_looks_at_everything() {
    let Some(server) = snowflake_alone(&[]) else { return };
    let both = Both::new(orders().job("shop", SHOP), server);
    both.fill();
    assert!(both.run("validate --target prod").out.contains("are valid"));
    both.run("run shop --target prod");
    let doctor = both.run("doctor --target prod");
    for what in ["secret password", "login", "warehouse", "history", "sources"] {
        assert!(doctor.out.contains(what), "{what}: {}", doctor.out);
    }
    let change = json!({"sql": ["alter table raw.orders drop column note", "alter table raw.orders alter column customer set data type number(10,0)"],
                        "database": both.database});
    server.gate(&json!({"sql": ["update raw.orders set customer = '1'"], "database": both.database}));
    server.gate(&change);
    assert_eq!(both.pipe("validate --target prod").code, 0, "what is known is an hour old at most");
    let ran = both.pipe("validate --target prod --fresh");
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("`raw.orders` has no column `note` on target `prod`"), "{}", ran.err);
    assert!(ran.err.contains("is NUMBER(10,0) on target `prod`, and its contract says VARCHAR"), "{}", ran.err);
    assert!(ran.err.contains("schemas/orders.yaml"), "{}", ran.err);
    server.gate(&json!({"sql": ["drop table raw.orders"], "database": both.database}));
    let ran = both.pipe("run shop --target prod");
    assert!(ran.code == 2 && ran.err.contains("there is no table `raw.orders`"), "{}", ran.err);
    let doctor = both.pipe("doctor --target prod");
    assert!(doctor.code == 1 && doctor.out.contains("GRANT SELECT ON TABLE RAW.ORDERS"), "{}", doctor.out);
    let doctor = both.project.pipe_with("doctor --target prod", &[("PIPE_PW", "wrong")]);
    assert!(doctor.code == 1 && doctor.out.contains("Incorrect username or password"), "{}", doctor.out);
}
