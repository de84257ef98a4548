//! Earlier states, traces and comparisons on Snowflake, which a stand-in plays: `pipe rollback`, `clean`, `diff` and `why` say
//! there what they say on this machine.

use serde_json::json;

use crate::snowflake::{Both, SHOP, orders};
use crate::stand_in::snowflake;

/// The rows of both targets' `mart.totals`.
const TOTALS: &str = "mart.totals";

fn shop(server: crate::stand_in::Server) -> Both {
    let both = Both::new(orders().job("shop", SHOP), server);
    both.fill();
    both.run("run shop");
    both.run("run shop --target prod");
    both
}

fn edit(both: &Both, from: &str, to: &str) {
    let steps = SHOP.replace(from, to);
    assert_ne!(steps, SHOP);
    both.project.write("pipelines/shop.yaml", &format!("job: shop\nsteps:\n{steps}"));
}

/// The name of the last run on the target.
fn last_run(both: &Both) -> String {
    let told = both.run("runs --target prod --format json").out;
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    told["runs"][0]["run"]["id"].as_str().expect("a name").to_owned()
}

#[test]
fn tables_go_back_to_what_a_run_left() {
    let Some(server) = snowflake() else { return };
    let both = shop(server);
    let (first, before) = (last_run(&both), both.rows("prod", TOTALS));
    edit(&both, "count(*) as orders", "10 * count(*) as orders");
    both.run("run shop --target prod");
    let (second, changed) = (last_run(&both), both.rows("prod", TOTALS));
    assert_ne!(before, changed);
    let told = both.run(&format!("rollback {TOTALS} --to {first} --target prod"));
    assert_eq!(told.out, format!("{TOTALS} is as run {first} left it\n"));
    assert_eq!(both.rows("prod", TOTALS), before);
    // A whole job, on a machine that knows nothing, back and forth, where the columns changed as well.
    edit(&both, "sum(amount) as total", "sum(amount) as total, max(day) as newest");
    both.run("run shop --target prod --full-refresh");
    std::fs::remove_dir_all(both.project.path(".pipe/prod")).expect("removed");
    both.run(&format!("rollback shop --to {second} --target prod"));
    assert_eq!(both.rows("prod", TOTALS), changed);
    both.run(&format!("rollback shop --to {first} --target prod"));
    assert_eq!(both.rows("prod", TOTALS), before);
    // The next run gives what the job gives now.
    both.run("run shop --target prod");
    assert_eq!(both.rows("prod", TOTALS).0.len(), 4);
    for (words, wrong) in [
        (format!("rollback mart.totls --to {first} --target prod"), "did you mean `mart.totals`"),
        ("rollback shop --to 2001 --target prod".to_owned(), "there is no run `2001`"),
    ] {
        let ran = both.pipe(&words);
        assert!(ran.code == 2 && ran.err.contains(wrong), "{words}: {}", ran.err);
    }
    // What is cleaned away is kept no more.
    let cleaned = both.run("clean --sets 1 --target prod");
    assert!(cleaned.out.starts_with("removed "), "{}", cleaned.out);
    let left = json!({"sql": ["select table_name from information_schema.tables where table_schema = 'PIPE' order by 1"],
                      "database": both.database});
    assert_eq!(server.gate(&left)["rows"], json!([["LEDGER"], ["STATES"]]));
    let ran = both.pipe(&format!("rollback shop --to {first} --target prod"));
    assert!(ran.code == 2 && ran.err.contains("has published no table whose rows are kept"), "{}", ran.err);
    let ran = both.pipe(&format!("rollback {TOTALS} --to {first} --target prod"));
    assert!(ran.code == 2 && ran.err.contains("are kept no more") && ran.err.contains("retention"), "{}", ran.err);
}

#[test]
fn so_many_states_are_kept_as_retention_says() {
    let Some(server) = snowflake() else { return };
    let both = Both::new(orders().job("shop", SHOP), server);
    both.settings("password: \"{{ secret('/pipe/pw') }}\"", "retention: {sets: 2}\n");
    both.fill();
    for _ in 0..4 {
        both.run("run shop --target prod --full-refresh");
    }
    let kept = json!({"sql": ["select count(*) from information_schema.tables where table_schema = 'PIPE' and contains(table_name, '__PIPE_')"],
                      "database": both.database});
    assert_eq!(server.gate(&kept)["rows"], json!([["6"]]));
}

#[test]
fn differences_are_those_that_are_told_here() {
    let Some(server) = snowflake() else { return };
    let both = shop(server);
    let first = last_run(&both);
    let told = |words: &str| {
        let (here, there) = (both.run(words), both.run(&format!("{words} --target prod")));
        assert_eq!(here.out, there.out, "{words}");
        there.out
    };
    assert!(told("diff shop totals").contains("nothing differs"));
    edit(&both, "count(*) as orders", "count(*) + iff(customer = 'ann', 1, 0) as orders");
    let changed = told("diff shop");
    assert!(changed.contains("mart.totals") && changed.contains("ann"), "{changed}");
    both.run("run shop --target prod");
    let against = both.run(&format!("diff shop totals --against {first} --with last --target prod")).out;
    assert!(against.contains("ann") && against.contains(&first), "{against}");
    let targets = both.run("diff shop totals --against local --with prod").out;
    assert!(targets.contains("ann"), "{targets}");
    let ran = both.pipe("diff shop --against nowhere --target prod");
    assert!(ran.code == 2 && ran.err.contains("`nowhere` is no run and no target"), "{}", ran.err);
    // Nothing is left of what was computed aside.
    let aside = json!({"sql": ["select count(*) from information_schema.tables where contains(table_name, 'ASIDE')"],
                       "database": both.database});
    assert_eq!(server.gate(&aside)["rows"], json!([["0"]]));
}

#[test]
fn rows_are_traced_to_the_same_rows() {
    let Some(server) = snowflake() else { return };
    let both = shop(server);
    server.gate(&json!({"clear": true}));
    for words in [
        "why shop totals --key customer=ann",
        "why shop days --key id=2",
        "why shop best --key customer=ann --format json",
    ] {
        let (here, there) = (both.run(words), both.run(&format!("{words} --target prod")));
        assert_eq!(here.out, there.out, "{words}");
    }
    // The server narrows the rows.
    let asked = server.statements("PIPE__ROWS");
    assert!(asked.iter().any(|sql| sql.contains("CUSTOMER IN ('ann')")), "{asked:?}");
    let none = both.pipe("why shop totals --key customer=zoe --target prod");
    assert!(none.code == 1 && none.err.contains("has no row with customer=zoe"), "{}", none.err);
}
