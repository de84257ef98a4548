//! The flags of `pipe run`, each through the program on small projects.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::project::Project;

const ORDERS: &str = "id,customer,amount,at\n1,ann,10.50,2026-11-01\n2,bob,3,2026-11-01\n3,ann,4,2026-10-30\n";

/// `recent` is internal, the others publish; `big` reads `totals`.
const SHOP: &str = "  recent:
    sql: select customer, amount from raw.orders where at >= current_date - 2
  totals:
    tags: daily
    publish: mart.totals
    sql: select customer, sum(amount) as total from recent group by customer
  big:
    publish: mart.big
    sql: select customer from totals where total > {{ least }}
";

fn shop() -> Project {
    let project =
        Project::new().source("orders", "id: number, customer: varchar, amount: \"number(10,2)\", at: date", ORDERS);
    project.write("pipelines/shop.yaml", &format!("vars: {{least: 5}}\nsteps:\n{SHOP}"));
    project
}

/// The steps that a run says it ran.
fn ran(project: &Project, words: &str) -> Vec<String> {
    let done = project.pipe(&format!("run {words} --format json"));
    assert_eq!(done.code, 0, "{words}: {}{}", done.err, done.out);
    let name =
        |line: &str| line.split("\"step\":\"shop.").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned);
    done.out.lines().filter(|line| line.contains("\"step_started\"")).filter_map(name).collect()
}

#[test]
fn selections_run_what_they_name() {
    let project = shop();
    assert_eq!(ran(&project, "shop --select tag:daily"), ["recent", "totals"]);
    assert_eq!(ran(&project, "shop --select +big"), ["big"]);
    assert_eq!(ran(&project, "shop --select totals+ --full-refresh"), ["recent", "totals", "big"]);
    assert!(ran(&project, "shop --select changed").is_empty());
    project.write("pipelines/shop.yaml", &format!("vars: {{least: 6}}\nsteps:\n{SHOP}"));
    assert_eq!(ran(&project, "shop --select changed"), ["big"]);
    assert!(ran(&project, "shop --select failed").is_empty());
}

#[test]
fn a_variable_can_be_given_for_a_run() {
    let project = shop();
    assert_eq!(project.pipe("run shop").code, 0);
    assert_eq!(project.rows("mart.big"), ["ann"]);
    assert_eq!(project.pipe("run shop --var least=2").code, 0);
    assert_eq!(project.rows("mart.big"), ["ann", "bob"]);
    let wrong = project.pipe("run shop --var least");
    assert_eq!(wrong.code, 2, "{}", wrong.err);
}

#[test]
fn internal_steps_are_kept_when_asked() {
    let project = shop();
    assert_eq!(project.pipe("run shop").code, 0);
    assert!(project.rows("shop.recent").is_empty());
    let kept = project.pipe("run shop --keep --full-refresh");
    assert_eq!(kept.code, 0, "{}", kept.err);
    assert_eq!(project.rows("shop.recent"), ["ann|10.50", "bob|3.00"]);
}

#[test]
fn a_range_of_days_runs_each_in_order() {
    let project = shop();
    let days = project.pipe("run shop --from 2026-10-31 --to 2026-11-03");
    assert_eq!(days.code, 0, "{}", days.err);
    assert_eq!(days.err.matches("\nrun 2").count(), 4, "{}", days.err);
    assert_eq!(project.rows("mart.totals"), ["ann|10.50", "bob|3.00"]);
    let wrong = project.pipe("run shop --from 2026-11-03 --to 2026-11-01");
    assert_eq!((wrong.code, wrong.err.contains("--to is before --from")), (2, true), "{}", wrong.err);
}

#[test]
fn a_resumed_run_does_only_what_was_not_finished() {
    let project = shop();
    let failing = SHOP.replace("total > {{ least }}", "1 / (total - total) > 0");
    project.write("pipelines/shop.yaml", &format!("vars: {{least: 5}}\nsteps:\n{failing}"));
    let first = project.pipe("run shop");
    assert_eq!(first.code, 1, "{}", first.err);
    assert!(project.rows("mart.totals").is_empty());
    project.write("pipelines/shop.yaml", &format!("vars: {{least: 5}}\nsteps:\n{SHOP}"));
    let resumed = project.pipe("run shop --resume --format json");
    assert_eq!(resumed.code, 0, "{}{}", resumed.err, resumed.out);
    assert!(resumed.out.contains("\"reason\":\"finished in run "), "{}", resumed.out);
    assert!(!resumed.out.contains("shop.recent"), "{}", resumed.out);
    assert_eq!((project.rows("mart.totals").len(), project.rows("mart.big")), (2, vec!["ann".to_owned()]));
    let again = project.pipe("run shop --resume");
    assert_eq!((again.code, again.err.trim()), (0, "nothing to do: 2 unchanged"));
    assert_eq!(std::fs::read_dir(project.path(".pipe/unpublished")).map_or(0, Iterator::count), 0);
    assert_eq!(shop().pipe("run shop --resume").code, 2);
}

#[test]
fn a_failed_step_may_leave_the_rest_to_be_published() {
    let project = shop();
    assert_eq!(project.pipe("run shop").code, 0);
    let kept = SHOP
        .replace("    tags: daily\n", "    on_error: keep_last\n")
        .replace("sum(amount)", "sum(iff(amount / (amount - amount) > 0, amount, amount))");
    project.write("pipelines/shop.yaml", &format!("vars: {{least: 2}}\nsteps:\n{kept}"));
    let ran = project.pipe("run shop");
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert_eq!(
        (project.rows("mart.totals").len(), project.rows("mart.big")),
        (2, vec!["ann".to_owned(), "bob".to_owned()])
    );
    let plan = project.pipe("plan shop");
    assert!(plan.out.contains("run   shop.big"), "{}", plan.out);
}

/// A query that takes longer than any test waits.
const ENDLESS: &str = "  numbers:
    sql: select seq4() as x from table(generator(rowcount => 2000000))
  slow:
    publish: out.slow
    sql: select count(*) as n from numbers as a join numbers as b on a.x + b.x > 5
";

#[test]
fn a_step_over_its_timeout_fails_and_says_so() {
    let project = Project::new().job("long", &format!("{ENDLESS}    timeout: 300ms\n"));
    let started = Instant::now();
    let ran = project.pipe("run long");
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("took longer than its timeout of 300 ms"), "{}", ran.err);
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_run_with_its_own_code_and_keeps_what_was_published() {
    let project = shop().job("long", ENDLESS);
    assert_eq!(project.pipe("run shop").code, 0);
    for presses in [1, 2] {
        let child = Command::new(env!("CARGO_BIN_EXE_pipe"))
            .args(["run", "long"])
            .current_dir(project.path(""))
            .stderr(Stdio::null())
            .spawn()
            .expect("pipe starts");
        std::thread::sleep(Duration::from_secs(2));
        for _ in 0..presses {
            let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
            assert!(interrupt.expect("kill runs").success());
            std::thread::sleep(Duration::from_millis(50));
        }
        let ended = child.wait_with_output().expect("it ends").status;
        assert_eq!(ended.code(), Some(130));
    }
    assert_eq!(project.rows("mart.totals").len(), 2);
    let runs = project.pipe("runs");
    assert!(runs.out.contains("cancelled"), "{}", runs.out);
}

#[test]
fn earlier_states_can_be_read_and_published_again() {
    let project = shop();
    let run = |least: u32| {
        let ran = project.pipe(&format!("run shop --var least={least}"));
        assert_eq!(ran.code, 0, "{}", ran.err);
        let line = ran.err.lines().find(|line| line.starts_with("run ")).expect("a run");
        line.split([' ', ':']).nth(1).expect("its name").to_owned()
    };
    let (first, second) = (run(5), run(2));
    let count = |words: &str| project.pipe(&format!("sql --format csv {words} --file count.sql")).out;
    project.write("count.sql", "select count(*) as n from mart.big");
    assert_eq!((count(""), count(&format!("--as-of {first}"))), ("N\n2\n".to_owned(), "N\n1\n".to_owned()));
    project.write("drop.sql", "drop table mart.big");
    assert_eq!(project.pipe(&format!("sql --as-of {first} --file drop.sql")).code, 1);
    let back = project.pipe(&format!("rollback mart.big --to {first}"));
    assert_eq!(back.code, 0, "{}", back.err);
    assert_eq!(project.rows("mart.big"), ["ann"]);
    assert_eq!(project.pipe("run shop --var least=5").err.trim(), "nothing to do: 2 unchanged");
    assert_eq!(project.pipe(&format!("rollback shop --to {second}")).code, 0);
    assert_eq!(project.rows("mart.big").len(), 2);
    for wrong in ["rollback mart.bog --to last", "rollback shop --to 1999", "rollback shap --to last"] {
        assert_eq!(project.pipe(wrong).code, 2, "{wrong}");
    }
    let cleaned = project.pipe("clean --sets 1");
    assert_eq!(cleaned.code, 0, "{}", cleaned.err);
    assert!(cleaned.out.starts_with("removed 3 earlier states"), "{}", cleaned.out);
    assert_eq!(project.pipe(&format!("rollback shop --to {first}")).code, 2);
    assert_eq!(project.rows("mart.big").len(), 2);
}

#[test]
fn a_dry_run_tells_the_plan_and_leaves_no_trace() {
    let project = shop();
    let planned = project.pipe("run shop --dry-run --format json");
    assert_eq!(planned.code, 0, "{}", planned.err);
    let plan: serde_json::Value = serde_json::from_str(&planned.out).expect("one object");
    assert_eq!(plan["steps"][0]["action"], "run");
    assert_eq!(project.pipe("runs").out, "no runs yet\n");
    let failing = SHOP.replace("total > {{ least }}", "1 / (total - total) > 0");
    project.write("pipelines/shop.yaml", &format!("vars: {{least: 5}}\nsteps:\n{failing}"));
    assert_eq!(project.pipe("run shop").code, 1);
    let before = project.pipe("runs").out;
    assert_eq!(project.pipe("run shop --resume --dry-run").code, 0);
    assert_eq!(project.pipe("runs").out, before);
}

#[test]
fn a_job_is_named_by_its_path_from_any_folder() {
    let project = shop();
    std::fs::create_dir_all(project.path("pipelines/deep")).expect("made");
    for (folder, path) in [
        ("pipelines", "shop.yaml"),
        ("data", "../pipelines/shop.yaml"),
        ("pipelines/deep", "../shop.yaml"),
        ("data", "pipelines/shop.yaml"),
    ] {
        let ran = Command::new(env!("CARGO_BIN_EXE_pipe"))
            .args(["validate", path])
            .current_dir(project.path(folder))
            .output()
            .expect("pipe runs");
        assert!(ran.status.success(), "{folder} {path}: {}", String::from_utf8_lossy(&ran.stderr));
    }
}

#[test]
fn layout_case_and_comments_are_no_change() {
    let project = shop();
    assert_eq!(project.pipe("run shop").code, 0);
    let other = SHOP.replace(
        "select customer, sum(amount) as total from recent",
        "SELECT Customer,SUM( amount )  AS Total -- all\n      FROM Recent",
    );
    let other = other.replace("    sql: SELECT", "    sql: |\n      SELECT");
    project.write("pipelines/shop.yaml", &format!("vars: {{least: 5}}\nsteps:\n{other}"));
    assert_eq!(project.pipe("run shop").err.trim(), "nothing to do: 2 unchanged");
}

#[cfg(unix)]
#[test]
fn a_run_whose_process_was_killed_is_told_as_interrupted() {
    let project = shop().job("long", ENDLESS);
    let mut child = Command::new(env!("CARGO_BIN_EXE_pipe"))
        .args(["run", "long"])
        .current_dir(project.path(""))
        .stderr(Stdio::null())
        .spawn()
        .expect("pipe starts");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !project.pipe("runs").out.contains("running") && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill().expect("killed");
    child.wait().expect("gone");
    for words in ["runs", "runs last"] {
        let told = project.pipe(words).out;
        assert!(told.contains("interrupted") && !told.contains("running"), "{words}: {told}");
    }
}
