//! Tables that grow on Snowflake, which a stand-in plays: every strategy gives the rows that the embedded engine gives from the
//! same files, and no row comes twice whatever happens on the way.

use serde_json::json;

use crate::project::Project;
use crate::snowflake::Both;
use crate::stand_in::{PASSWORD, snowflake, snowflake_alone};

const COLUMNS: &str = "id: number, who: varchar, day: date, amount: number, gone: boolean";

fn growing(sql: &str, block: &str) -> String {
    let materialize = if block.starts_with("snapshot") { "snapshot" } else { "incremental" };
    format!(
        "  grown:\n    publish: out.grown\n    sql: |\n      {sql}\n    materialize: {materialize}\n    {block}\n    \
         tests: [{{rows: {{min: 1}}}}]\n"
    )
}

fn project(steps: &str) -> Project {
    Project::new().source("event", COLUMNS, "id,who,day,amount,gone\n").job("grow", steps)
}

impl Both {
    /// Gives the source these rows on both targets.
    fn events(&self, rows: &str) {
        self.project.write("data/raw/event.csv", &format!("id,who,day,amount,gone\n{rows}"));
        self.fill();
    }

    /// Runs on both targets, and holds the table on one against that on the other.
    fn grow(&self, words: &str) {
        self.run(words);
        self.run(&format!("{words} --target prod"));
        self.same("out.grown");
    }
}

/// Rounds of events, each with another number of rows: that is what the stand-in's catalogue tells rounds apart by.
const ROUNDS: [&str; 4] = [
    "1,ann,2026-11-01,5,false\n2,bob,2026-11-01,6,false\n3,,2026-11-02,7,false\n",
    "1,ann,2026-11-03,8,false\n4,dan,2026-11-02,1,false\n",
    "2,bob,2026-11-01,0,true\n5,,2026-11-03,2,false\n1,eve,2026-11-02,9,false\n6,eve,2026-11-03,9,true\n",
    "7,ann,2026-11-04,3,false\n",
];

#[test]
fn every_strategy_gives_the_rows_of_the_embedded_engine() {
    let Some(server) = snowflake() else { return };
    let all = "select * from raw.event";
    let last = "select id, who, amount from raw.event";
    for (sql, block) in [
        (all, "incremental: {strategy: append}"),
        (all, "incremental: {strategy: merge, key: id}"),
        (
            all,
            "incremental: {strategy: merge, key: id, update: [day, amount], update_when: new.day > old.day, delete_when: new.gone}",
        ),
        (all, "incremental: {strategy: delete_insert, key: who}"),
        (all, "incremental: {strategy: insert_overwrite, partition_by: [day, who]}"),
        (last, "snapshot: {key: id}"),
        (last, "snapshot: {key: id, check: [amount]}"),
        ("select * from raw.event", "snapshot: {key: id, updated_at: day}"),
    ] {
        let both = Both::new(project(&growing(sql, block)), server);
        for (day, rows) in (3..).zip(ROUNDS) {
            both.events(rows);
            both.grow(&format!("run grow --date 2026-11-{day:02}"));
        }
        let again = both.run("run grow --date 2026-11-06 --target prod");
        assert!(again.err.contains("nothing to do"), "{block}: {}", again.err);
        // Another machine adds nothing twice either.
        std::fs::remove_dir_all(both.project.path(".pipe/prod")).expect("removed");
        let again = both.run("run grow --date 2026-11-06 --target prod");
        assert!(again.err.contains("nothing to do"), "{block}: {}", again.err);
    }
}

const BY_DAY: &str = "incremental: {strategy: interval, time: day, since: 2026-11-01, lookback: 2, batch_size: 2}";
const OF_INTERVAL: &str = "select day, count(distinct id) as ids, sum(amount)::number(38, 0) as amount from raw.event where day >= {{ interval.start }} and day < {{ interval.end }} group by day";

fn days(last: u32, amount: u32) -> String {
    (1..=last).map(|day| format!("{day},ann,2026-11-{day:02},{},false\n", amount * day)).collect()
}

#[test]
fn intervals_are_built_gaps_are_filled_and_days_are_built_anew() {
    let Some(server) = snowflake() else { return };
    let both = Both::new(project(&growing(OF_INTERVAL, BY_DAY)), server);
    both.events(&days(9, 1));
    both.grow("run grow --date 2026-11-10 --from 2026-11-04 --to 2026-11-05");
    let plan = |words: &str| (both.run(words).out, both.run(&format!("{words} --target prod")).out);
    let (here, there) = plan("plan grow --date 2026-11-10");
    assert_eq!(here, there);
    assert!(there.contains("gap   grow.grown  2026-11-01 to 2026-11-03; --missing fills it"), "{there}");
    both.grow("run grow --date 2026-11-10");
    both.grow("run grow --date 2026-11-10 --missing");
    assert_eq!(both.rows("prod", "out.grown").1.len(), 9);
    both.events(&days(10, 3));
    both.grow("run grow --date 2026-11-10");
    both.grow("run grow --date 2026-11-10 --from 2026-11-01 --to 2026-11-02");
    both.grow("run grow --date 2026-11-11 --full-refresh");
    let outside = OF_INTERVAL.replace(" and day < {{ interval.end }}", "");
    both.project.write("pipelines/grow.yaml", &format!("job: grow\nsteps:\n{}", growing(&outside, BY_DAY)));
    let before = both.rows("prod", "out.grown");
    let ran = both.pipe("run grow --date 2026-11-10 --target prod --forward-only --from 2026-11-02 --to 2026-11-02");
    assert!(ran.code == 1 && ran.err.contains("are not of it by `day`"), "{}", ran.err);
    assert_eq!(both.rows("prod", "out.grown"), before);
}

#[test]
fn internal_steps_and_its_own_rows_are_read_batch_by_batch() {
    let Some(server) = snowflake() else { return };
    let one_day = "day >= {{ interval.start }} and day < {{ interval.end }}";
    let fed = format!(
        "  mine:\n    sql: select * from raw.event where {one_day}\n  \
         sums:\n    sql: select day, sum(amount)::number(38, 0) as amount from mine group by day\n{}",
        growing(
            "select s.day, s.amount, count(*) as n from sums as s join mine as m on m.day = s.day group by s.day, s.amount",
            &BY_DAY.replace("batch_size: 2", "batch_size: 1")
        )
    );
    let running = growing(
        &format!(
            "select day, sum(amount)::number(38, 0) + coalesce((select max(total) from out.grown), 0) as total from raw.event where {one_day} group by day"
        ),
        &BY_DAY.replace("batch_size: 2", "batch_size: 1"),
    );
    let running = running.replace("    sql:", "    columns: {day: date, total: number}\n    sql:");
    let own = growing(
        "select id, who, day, amount, gone from raw.event where id > (select coalesce(max(id), 0) from out.grown)",
        "incremental: {strategy: append}",
    );
    let own = own.replace("    sql:", &format!("    columns: {{{COLUMNS}}}\n    sql:"));
    for steps in [fed, running, own] {
        let both = Both::new(project(&steps), server);
        for last in [3, 5] {
            both.events(&days(last, 2));
            both.grow(&format!("run grow --date 2026-11-{:02}", last + 1));
        }
    }
}

#[test]
fn other_columns_other_sql_and_other_hands_are_told() {
    let Some(server) = snowflake() else { return };
    let block = |rule: &str| format!("incremental: {{strategy: append, schema_change: {rule}}}");
    let both = Both::new(project(&growing("select id, who from raw.event", &block("fail"))), server);
    let write = |sql: &str, rule: &str| {
        both.project.write("pipelines/grow.yaml", &format!("job: grow\nsteps:\n{}", growing(sql, &block(rule))));
    };
    both.events(ROUNDS[0]);
    both.grow("run grow");
    write("select id, who, amount from raw.event", "fail");
    let refused = both.pipe("run grow --target prod");
    assert!(refused.code == 2 && refused.err.contains("`amount` is new"), "{}", refused.err);
    write("select id, who, amount from raw.event", "append_new_columns");
    both.grow("run grow");
    write("select id, amount from raw.event", "sync");
    both.grow("run grow");
    write("select id, 2 * amount as amount from raw.event", "sync");
    let refused = both.pipe("run grow --target prod");
    assert!(refused.code == 2 && refused.err.contains("the SQL of `grow.grown` has changed"), "{}", refused.err);
    both.grow("run grow --full-refresh");
    server.gate(&json!({"sql": ["delete from out.grown where id = 1"], "database": both.database}));
    let refused = both.pipe("run grow --target prod");
    assert!(refused.code == 2 && refused.err.contains("made or changed by something else"), "{}", refused.err);
    both.events(ROUNDS[1]);
    both.run("run grow --target prod --forward-only");
    assert_eq!(both.rows("prod", "out.grown").1.len(), 4);
}

/// Ids of the rows of `out.grown` on the server, sorted.
fn ids(both: &Both) -> Vec<i64> {
    both.rows("prod", "out.grown").1.iter().map(|row| row[0].as_i64().expect("a number")).collect()
}

fn numbered(last: i64) -> String {
    (1..=last).map(|id| format!("{id},ann,2026-11-01,1,false\n")).collect()
}

/// Every row of the source that the table has not yet: were one added twice or lost, the ids would tell.
fn appending(server: crate::stand_in::Server) -> Both {
    let all = "select * from raw.event";
    let steps = growing(all, "incremental: {strategy: append}");
    let whole = "  count:\n    publish: out.count\n    sql: select count(*) as n from raw.event\n";
    Both::new(project(&format!("{steps}{whole}")), server)
}

#[test]
fn rows_are_added_once_whatever_the_connection_does() {
    let Some(server) = snowflake_alone(&[]) else { return };
    let both = appending(server);
    both.events(&numbered(2));
    both.run("run grow --target prod");
    let mut expected: Vec<i64> = vec![1, 2];
    for (at, fault) in [
        json!({"where": "query", "n": 1, "status": 0, "match": "^COMMIT", "after": true}),
        json!({"where": "query", "n": 1, "status": 503, "match": "^COMMIT"}),
        json!({"where": "query", "n": 1, "status": 0, "match": "INSERT INTO OUT.GROWN", "after": true}),
        json!({"where": "query", "n": 1, "status": 0, "match": "INSERT INTO .*GROW__GROWN__PIPE", "after": true}),
        json!({"where": "query", "n": 1, "status": 503, "match": "CLONE"}),
        json!({"where": "query", "n": 1, "status": 503, "match": "INSERT INTO .*STATES"}),
    ]
    .into_iter()
    .enumerate()
    {
        let last = i64::try_from(at).expect("few") + 3;
        both.events(&numbered(last));
        server.gate(&json!({"clear": true, "fault": fault}));
        both.run("run grow --target prod");
        let hit = server.gate(&json!({}))["log"].to_string().contains("\"fault\"");
        assert!(hit, "fault {at} was not met");
        expected.extend(1..=last);
        expected.sort_unstable();
        assert_eq!(ids(&both), expected, "after fault {at}");
    }
}

#[test]
fn a_run_that_is_killed_adds_no_row_twice() {
    let Some(server) = snowflake_alone(&[]) else { return };
    let both = appending(server);
    both.events(&numbered(1));
    both.run("run grow --target prod");
    let mut expected: Vec<i64> = vec![1];
    let kills = crate::snowflake_faults::kills();
    let mut state = 7_u64;
    for round in 0..kills {
        // Few rows, and never as many as before.
        let last = 2 + i64::from(round % 2);
        both.events(&numbered(last));
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let full = round % 5 == 4;
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pipe"));
        command.args(["run", "grow", "--target", "prod"]).args(full.then_some("--full-refresh"));
        command.current_dir(both.project.path("")).env("PIPE_PW", PASSWORD).stderr(std::process::Stdio::null());
        let mut child = command.spawn().expect("it starts");
        std::thread::sleep(std::time::Duration::from_millis((state >> 33) % 2500));
        child.kill().expect("killed");
        child.wait().expect("it ended");
        if round % 3 == 0 {
            // Another machine takes it up.
            let _ = std::fs::remove_dir_all(both.project.path(".pipe/prod"));
        }
        both.run("run grow --target prod --resume");
        // Where the table was to be built anew, it was, or it was added to.
        let mut added = expected.clone();
        added.extend(1..=last);
        added.sort_unstable();
        let found = ids(&both);
        let anew: Vec<i64> = (1..=last).collect();
        assert!(found == added || full && found == anew, "after kill {round}: {found:?}, not {added:?}");
        assert_eq!(both.rows("prod", "out.count").1, [[json!(last)]], "after kill {round}");
        expected = found;
    }
}

#[test]
fn of_two_runs_at_once_one_adds_its_rows() {
    let Some(server) = snowflake_alone(&[]) else { return };
    let both = appending(server);
    both.events(&numbered(2));
    both.run("run grow --target prod");
    both.events(&numbered(3));
    let ran = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..2).map(|_| scope.spawn(|| both.pipe("run grow --target prod"))).collect();
        runs.into_iter().map(|run| run.join().expect("it ran")).collect::<Vec<_>>()
    });
    assert!(ran.iter().any(|ran| ran.code == 0), "{ran:?}");
    both.run("run grow --target prod");
    assert_eq!(ids(&both), [1, 1, 2, 2, 3]);
}
