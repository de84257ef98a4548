//! `pipe test`: the project's own unit tests, how tests fail, what is said of wrong ones, and `--update`.

use std::path::Path;
use std::process::Command;

use crate::project::Project;

const JOB: &str = "job: shop
vars: {days: 7}
steps:
  recent:
    sql: select id, customer, amount from raw.orders where at >= current_date - {{ days }}
  per_customer:
    sql: select customer, sum(amount) as total, count(*) as orders from recent group by customer
    publish: mart.per_customer
  best:
    rank: {input: per_customer, score: total, top: 2, tie_break: [customer], rank_as: place}
  joined:
    sql: select p.customer, n.name from per_customer as p left join other.names as n on n.customer = p.customer
";

const TESTS: &str = "job: shop
date: 2026-11-02
defaults:
  raw.orders: {customer: ann, at: 2026-11-01}
tests:
  - name: the window is seven days
    given:
      raw.orders:
        - {id: 1, at: 2026-10-25 23:59:59}
        - {id: 2, at: 2026-10-26}       # the first instant
    expect:
      recent: [{id: 2, customer: ann}]
  - name: totals per customer
    given:
      recent:
        - {customer: ann, amount: 1.50}
        - {customer: ann, amount: 2}
        - {customer: bob, amount: null}
    expect:
      per_customer:
        # ann first
        - {customer: ann, total: 3.5, orders: 2}
        - {customer: bob, total: null, orders: 1}   # has no amount
";

fn shop() -> Project {
    let orders = "id: number, customer: varchar, amount: \"number(10,2)\", at: timestamp_ntz";
    Project::new()
        .source("orders", orders, "id,customer,amount,at\n")
        .file("pipelines/shop.yaml", JOB)
        .file("pipelines/other.yaml", "job: other\nsteps:\n  names:\n    sql: select 'ann' as customer, 'Ann' as name\n    publish: other.names\n")
        .file("tests/jobs/shop.yaml", TESTS)
}

fn project_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_tests_of_this_project_pass() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipe"));
    command.arg("test").current_dir(project_folder());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PIPE_")) {
        command.env_remove(name);
    }
    let done = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert_eq!((done.status.code(), err.as_ref()), (Some(0), ""), "{out}");
}

#[test]
fn tests_pass_on_any_target_and_leave_nothing_behind() {
    let project = shop();
    let passed = project.pipe("test");
    assert_eq!((passed.code, passed.err.as_str()), (0, ""), "{}", passed.out);
    assert!(passed.out.starts_with("2 tests passed in "), "{}", passed.out);
    let snowflake = "targets:\n  prod: {backend: snowflake, account: a, user: u, warehouse: w, database: d, private_key: \"{{ secret('k') }}\"}\n";
    project.write("pipe.yaml", snowflake);
    let passed = project.pipe("test");
    assert_eq!((passed.code, passed.err.as_str()), (0, ""), "{}", passed.out);
    assert!(!project.path(".pipe").exists());
}

#[test]
fn a_failing_test_shows_missing_unexpected_and_changed_rows() {
    let project = shop();
    project.write("pipelines/shop.yaml", &JOB.replace("sum(amount)", "max(amount)").replace(">= current", "> current"));
    let failed = project.pipe("test");
    assert_eq!(failed.code, 1, "{}", failed.err);
    let shown: Vec<&str> = failed.out.lines().filter(|line| !line.contains(" failed in ")).collect();
    assert_eq!(
        shown.join("\n"),
        "FAIL  shop: the window is seven days  tests/jobs/shop.yaml:6:11
  step recent: 1 row missing

          | id | customer
  --------+----+---------
  missing |  2 | ann

FAIL  shop: totals per customer  tests/jobs/shop.yaml:13:11
  step per_customer: 1 row changed (expected → actual)

          | customer |   total | orders
  --------+----------+---------+-------
  changed | ann      | 3.5 → 2 |      2
"
    );
}

#[test]
fn outcomes_can_be_had_as_json_and_junit() {
    let project = shop();
    project.write("pipelines/shop.yaml", &JOB.replace("sum(amount)", "max(amount)"));
    let json = project.pipe("test --format json");
    assert_eq!(json.code, 1);
    let value: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((value["passed"].as_u64(), value["failed"].as_u64()), (Some(1), Some(1)));
    let changed = &value["tests"][1]["failures"][0]["changed"][0];
    assert_eq!(changed["expected"], serde_json::json!({"customer": "ann", "total": 3.5, "orders": 2}));
    assert_eq!(changed["actual"], serde_json::json!({"customer": "ann", "total": 2, "orders": 2}));
    let junit = project.pipe("test --format junit --select totals");
    assert!(junit.out.contains("<testsuite name=\"tests/jobs/shop.yaml\" tests=\"1\" failures=\"1\""), "{}", junit.out);
    assert!(junit.out.contains("<failure message=\"step per_customer: 1 row changed"), "{}", junit.out);
}

#[test]
fn rows_can_be_ordered_a_subset_or_within_a_tolerance_and_have_properties() {
    let test = |expect: &str| {
        format!(
            "job: shop\ngiven:\n  per_customer: [{{customer: c, total: 2}}, {{customer: b, total: 2}}, {{customer: a, total: 1}}]\n\
             expect:\n  best: {expect}\n"
        )
    };
    let project = shop();
    for (expect, code, part) in [
        ("{match: ordered, rows: [{customer: b}, {customer: c}]}", 0, ""),
        ("{match: ordered, rows: [{customer: c}, {customer: b}]}", 1, "place 1 → 2"),
        ("{match: subset, rows: [{customer: c}]}", 0, ""),
        ("[{customer: c}]", 1, "unexpected"),
        ("{rows: [{customer: b, total: 2.1}, {customer: c, total: 1.9}], tolerance: 0.1}", 0, ""),
        ("{rows: [{customer: b, total: 2.1}, {customer: c, total: 1.9}], tolerance: {total: 0.05}}", 1, "1.9 → 2"),
        ("{empty: true}", 1, "2 rows, and none is expected"),
        ("{empty: false}", 0, ""),
        ("[]", 1, "unexpected"),
        ("{tests: [{unique: [customer]}, {rows: {min: 2, max: 2}}, {expression: total >= 2}]}", 0, ""),
        ("{tests: [{unique: [total]}]}", 1, "test `unique(total)`: 1 of 2 rows repeats a key"),
        ("{tests: [{expression: place < 2}]}", 1, "1 of 2 rows breaks the condition"),
    ] {
        project.write("tests/jobs/shop.yaml", &test(expect));
        let ran = project.pipe("test");
        assert_eq!(ran.code, code, "{expect}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains(part), "{expect}: {}", ran.out);
    }
}

#[test]
fn rows_come_from_csv_and_tables_of_other_jobs_are_given_like_any() {
    let project = shop()
        .file("tests/jobs/rows/customers.csv", "customer,orders\nann,1\nbob,\n")
        .file(
            "tests/jobs/shop.yaml",
            "job: shop\ntests:\n  - name: joined\n    given:\n      mart.per_customer: rows/customers.csv\n      other.names: \
             [{customer: bob, name: Bob}]\n    expect:\n      joined: [{customer: ann, name: null}, {customer: bob, name: Bob}]\n  \
             - name: not given is empty\n    given: {per_customer: [{customer: ann}]}\n    expect:\n      joined: [{name: null}]\n",
        );
    let ran = project.pipe("test");
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    project.write("tests/jobs/rows/customers.csv", "customer,orders\nann,one\n");
    let ran = project.pipe("test");
    assert_eq!(ran.code, 2, "{}", ran.out);
    assert!(ran.err.contains("tests/jobs/rows/customers.csv:2:5"), "{}", ran.err);
}

#[test]
fn everything_wrong_is_told_at_once_with_its_place() {
    let project = shop().file(
        "tests/jobs/shop.yaml",
        "job: shop
vars: {dayss: 3}
tests:
  - name: one
    givn: {}
    given:
      raw.order: [{id: 1}]
      recent: [{custmer: ann}, {amount: 1.555}]
      raw.orders:
        - {id: x, at: 2026-13-01, amount: [1]}
    expect:
      per_custome: [{customer: ann}]
      recent: [{id: 1}, {customer: ann}]
  - name: one
    expect: {}
",
    );
    let ran = project.pipe("test");
    assert_eq!(ran.code, 2, "{}", ran.out);
    for part in [
        "a unit test has no key `givn`",
        "did you mean `given`",
        "no variable `dayss`",
        "did you mean `days`",
        "did you mean `raw.orders`",
        "did you mean `per_customer`",
        "there are two tests called `one`",
        "this test expects nothing",
    ] {
        assert!(ran.err.contains(part), "{part} is missing in {}", ran.err);
    }
    let cells = "job: shop
given:
  recent: [{custmer: ann}]
  raw.orders:
    - {id: x, at: 2026-13-01}
    - {amount: 1.555}
    - {amount: [1]}
expect:
  recent: [{id: 1}, {customer: ann}]
  per_customer: [{totl: 1}]
";
    project.write("tests/jobs/shop.yaml", cells);
    let ran = project.pipe("test");
    assert_eq!(ran.code, 2, "{}", ran.out);
    for part in [
        "`recent` has no column `custmer`",
        "did you mean `customer`",
        "`x` is no NUMBER(38,0) for column `id`",
        "tests/jobs/shop.yaml:5:12",
        "`2026-13-01` is no TIMESTAMP_NTZ for column `at`",
        "`1.555` has more digits after the point than a NUMBER(10,2) keeps",
        "a list or mapping is no NUMBER(10,2)",
        "this row does not say what `customer` is",
        "did you mean `total`",
    ] {
        assert!(ran.err.contains(part), "{part} is missing in {}", ran.err);
    }
}

#[test]
fn a_given_table_that_nothing_reads_is_pointed_out() {
    let project = shop().file(
        "tests/jobs/shop.yaml",
        "job: shop\ngiven: {raw.orders: [{id: 1}]}\nexpect: {best: []}\ndate: 2026-11-02\n",
    );
    assert_eq!(project.pipe("test").err, "");
    project.write(
        "tests/jobs/shop.yaml",
        "job: shop\ngiven: {raw.orders: [{id: 1}], per_customer: []}\nexpect: {best: []}\n",
    );
    let ran = project.pipe("test");
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(ran.err.contains("no step that this test expects reads `raw.orders`"), "{}", ran.err);
}

#[test]
fn an_error_of_the_engine_fails_the_test_alone() {
    let project = shop();
    project.write("pipelines/shop.yaml", &JOB.replace("sum(amount) as", "sum(amount / (amount - 2)) as"));
    let ran = project.pipe("test");
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.out.contains("step per_customer failed: "), "{}", ran.out);
    assert!(ran.out.contains("1 of 2 tests failed"), "{}", ran.out);
}

#[test]
fn update_writes_what_comes_out_and_leaves_the_rest() {
    let project = shop();
    project.write("pipelines/shop.yaml", &JOB.replace("sum(amount)", "max(amount)").replace(">= current", "> current"));
    let updated = project.pipe("test --update");
    assert_eq!(updated.code, 0, "{}{}", updated.out, updated.err);
    assert!(updated.err.contains("tests/jobs/shop.yaml: 2 expectations written anew"), "{}", updated.err);
    let text = std::fs::read_to_string(project.path("tests/jobs/shop.yaml")).unwrap();
    let expected = TESTS.replace("recent: [{id: 2, customer: ann}]", "recent: []").replace(
        "        - {customer: ann, total: 3.5, orders: 2}\n",
        "        - {customer: ann, total: 2, orders: 2}\n",
    );
    assert_eq!(text, expected);
    project.write("pipelines/shop.yaml", JOB);
    assert_eq!(project.pipe("test --update").code, 0);
    let text = std::fs::read_to_string(project.path("tests/jobs/shop.yaml")).unwrap();
    let recent = "recent:\n        - {id: 2, customer: ann, amount: null}\n";
    assert!(text.contains(recent), "{text}");
}

#[test]
fn update_keeps_the_comments_of_rows_that_change() {
    let project = shop().file(
        "pipelines/shop.yaml",
        "job: shop\nsteps:\n  two:\n    sql: select 1 as n, 'a' as t union all select 2, 'b'\n",
    );
    let rows = |n: u32, m: &str| {
        format!(
            "job: shop\nexpect:\n  two:\n    # the first\n    - {{n: {n}, t: a}}   # why it is so\n    - n: 2  # two\n      t: {m}  # its 'letter'\n"
        )
    };
    project.write("tests/jobs/shop.yaml", &rows(7, "c"));
    assert_eq!(project.pipe("test").code, 1);
    let updated = project.pipe("test --update");
    assert_eq!(updated.code, 0, "{}{}", updated.out, updated.err);
    let text = std::fs::read_to_string(project.path("tests/jobs/shop.yaml")).unwrap();
    assert_eq!(text, rows(1, "b"));
}

#[test]
fn update_writes_values_that_read_back() {
    let project = shop().file(
        "pipelines/shop.yaml",
        "job: shop\nsteps:\n  odd:\n    sql: |\n      select 1 as n, 'it''s: # \"x\"' as t, null::varchar as z, 'null' as w, '12' as d, true as b,\n        \
         '2026-11-02 20:00:00.5'::timestamp_ntz as at, parse_json('{\"a\": [1, \"x\"]}') as v, 0.1::float as f, 'a\\nb' as l\n",
    );
    project.write("tests/jobs/shop.yaml", "job: shop\nexpect:\n  odd: []   # nothing yet\n");
    let updated = project.pipe("test --update");
    assert_eq!(updated.code, 0, "{}{}", updated.out, updated.err);
    let text = std::fs::read_to_string(project.path("tests/jobs/shop.yaml")).unwrap();
    let row = "- {n: 1, t: 'it''s: # \"x\"', z: null, w: 'null', d: '12', b: true, at: 2026-11-02 20:00:00.5, v: {\"a\":[1,\"x\"]}, \
               f: 0.1, l: \"a\\nb\"}";
    assert!(text.contains(row), "{text}");
    assert_eq!(project.pipe("test").code, 0);
}

#[test]
fn tests_are_chosen_by_job_by_file_and_by_name() {
    let project = shop().file("tests/jobs/more.yaml", "job: other\nname: names\nexpect: {names: [{customer: ann}]}\n");
    for (words, count) in [
        ("test", "3 tests"),
        ("test other", "1 test "),
        ("test pipelines/shop.yaml", "2 tests"),
        ("test tests/jobs/more.yaml", "1 test "),
        ("test --select WINDOW", "1 test "),
        ("test --select tot*cust --select names", "2 tests"),
    ] {
        let ran = project.pipe(words);
        assert!(ran.code == 0 && ran.out.starts_with(count), "{words}: {}{}", ran.out, ran.err);
    }
    let unknown = project.pipe("test shopp");
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("did you mean `shop`"), "{}", unknown.err);
    assert_eq!(project.pipe("test --select nothing_such").code, 2);
}

#[test]
fn a_test_is_made_of_real_rows_with_users_replaced() {
    let visits = "user_id,email,page,minutes,device\n4711,ann@mail.fr,home,3,tv\n4712,bob@mail.fr,home,4,phone\n4711,ann@mail.fr,news,9,tv\n\
                  4711,ann@mail.fr,home,0,tv\n";
    let project = Project::new()
        .source("visits", "user_id: number, email: varchar, page: varchar, minutes: number, device: varchar", visits)
        .job(
            "pages",
            "  per_page:\n    sql: select page, count(distinct user_id) as users, sum(minutes) as minutes, min(email) as first_email from \
             raw.visits where minutes > 0 group by page\n",
        );
    let recorded = project.pipe("test --record pages per_page --key page=home");
    assert_eq!(recorded.code, 0, "{}", recorded.err);
    assert_eq!(recorded.out, "tests/jobs/pages_per_page_page_home.yaml\n");
    let text = std::fs::read_to_string(project.path("tests/jobs/pages_per_page_page_home.yaml")).unwrap();
    let rows = "given:
  raw.visits:
    - {user_id: 1, email: user1@example.com, page: home, minutes: 3}
    - {user_id: 2, email: user2@example.com, page: home, minutes: 4}
expect:
  per_page:
    match: subset
    rows:
      - {page: home, users: 2, minutes: 7, first_email: user1@example.com}
";
    assert!(text.ends_with(rows), "{text}");
    let passed = project.pipe("test");
    assert_eq!((passed.code, passed.err.as_str()), (0, ""), "{}", passed.out);
    let again = project.pipe("test --record pages per_page --key page=home");
    assert!(again.code == 2 && again.err.contains("is there already"), "{}", again.err);
    for (key, part) in [
        ("pge=home", "no column `pge`"),
        ("users=many", "`many` is no NUMBER"),
        ("users", "write `--key column=value`"),
    ] {
        let wrong = project.pipe(&format!("test --record pages per_page --key {key}"));
        assert!(wrong.code == 2 && wrong.err.contains(part), "{key}: {}", wrong.err);
    }
}
