//! `pipe diff`: a job as it is written now, runs and targets held against each other.

use serde_json::Value;

use crate::project::Project;

const STEPS: &str = "  points:
    sql: select user_id, item, points from raw.points where points >= 0
  top:
    publish: out.top
    rank: {input: points, partition_by: [user_id], score: points, top: 4, tie_break: [item], rank_as: place}
    tests: [{unique: [user_id, item]}]
  totals:
    publish: out.totals
    sql: select user_id, sum(points) as total, count(*)::float / 3 as third, case when user_id = 1 then 'one' else 'other' end as kind from points group by user_id
    columns: {user_id: {type: number, tests: [unique]}}
";

const POINTS: &str = "user_id,item,points\n1,a,9\n1,b,8\n1,c,7\n1,d,6\n1,e,-1\n2,a,5\n2,b,4\n";

fn shop() -> Project {
    let project =
        Project::new().source("points", "user_id: number, item: varchar, points: number", POINTS).job("shop", STEPS);
    let ran = project.pipe("run shop");
    assert_eq!(ran.code, 0, "{}", ran.err);
    project
}

fn edit(project: &Project, from: &str, to: &str) {
    let path = "pipelines/shop.yaml";
    let text = std::fs::read_to_string(project.path(path)).unwrap();
    assert!(text.contains(from), "{from}");
    project.write(path, &text.replace(from, to));
}

/// The tables of `pipe diff … --format json`.
fn tables(project: &Project, words: &str) -> Vec<Value> {
    let ran = project.pipe(&format!("diff {words} --format json"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    told["tables"].as_array().unwrap().clone()
}

fn counts(table: &Value) -> [u64; 3] {
    ["added", "removed", "changed"].map(|count| table[count].as_u64().unwrap())
}

#[test]
fn nothing_differs_until_something_is_changed() {
    let project = shop();
    let ran = project.pipe("diff shop --exit-code");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    assert_eq!(
        ran.out,
        "the job as it is written now, against what is published\n\nout.top: 6 rows, nothing differs\n\nout.totals: 2 rows, nothing differs\n"
    );
    edit(&project, "points >= 0", "points >= -5");
    assert_eq!(project.pipe("diff shop").code, 0);
    assert_eq!(project.pipe("diff shop --exit-code").code, 1);
}

#[test]
fn a_changed_job_is_told_by_key_and_column() {
    let project = shop();
    // User 1 loses item `b`, so that `c` and `d` move up.
    edit(&project, "points >= 0", "points >= 0 and not (user_id = 1 and item = 'b')");
    let found = tables(&project, "shop");
    assert_eq!(found[0]["table"], "out.top");
    assert_eq!(counts(&found[0]), [0, 1, 2]);
    assert_eq!(found[0]["rows"], serde_json::json!({"before": 6, "after": 5}));
    let changed: Vec<(&str, u64)> = found[0]["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| (column["column"].as_str().unwrap(), column["changed"].as_u64().unwrap()))
        .filter(|(_, changed)| *changed > 0)
        .collect();
    assert_eq!(changed, [("place", 2)]);
    let sample = &found[0]["samples"][0];
    assert_eq!(
        (&sample["kind"], &sample["before"]["item"], &sample["after"]),
        (&"removed".into(), &"b".into(), &Value::Null)
    );
    assert_eq!(counts(&found[1]), [0, 0, 1]);
    let total = &found[1]["columns"][0];
    assert_eq!(
        (&total["column"], &total["shift"]["before"]["mean"], &total["shift"]["after"]["mean"]),
        (&"total".into(), &19.5.into(), &15.5.into())
    );
}

#[test]
fn places_of_lists_are_held_against_each_other() {
    let project = shop();
    // The list of user 1 is turned round, that of user 2 keeps its first and loses its second.
    edit(
        &project,
        "select user_id, item, points from raw.points where points >= 0",
        "select user_id, item, case when user_id = 1 then 20 - points else points end as points from raw.points where points >= 0 and not (user_id = 2 and item = 'b')",
    );
    let lists = &tables(&project, "shop top")[0]["lists"];
    assert_eq!((&lists["compared"], &lists["same"]), (&2.into(), &0.into()));
    assert_eq!(lists["tau"], -1.0);
    let overlap = |depth: usize| lists["overlaps"][depth]["share"].as_f64().unwrap();
    // Of user 1 the first is another, of user 2 the same; of three, `b` and `c` of user 1, and one of two of user 2.
    assert!((overlap(0) - 0.5).abs() < 1e-9 && (overlap(1) - (2.0 / 3.0 + 0.5) / 2.0).abs() < 1e-9, "{lists}");
    assert_eq!(lists["most_moved"][0]["list"]["user_id"], "1");
    let text = project.pipe("diff shop top").out;
    assert!(text.contains("2 of 2 lists moved; Kendall tau -1.000; still among the top 1 50.0 %"), "{text}");
}

#[test]
fn two_runs_and_what_is_published_are_held_against_each_other() {
    let project = shop();
    project.write("data/raw/points.csv", &format!("{POINTS}3,a,1\n"));
    assert_eq!(project.pipe("run shop").code, 0);
    let runs = project.pipe("runs").out;
    let first_word = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let ids: Vec<String> = runs.lines().skip(1).filter_map(first_word).collect();
    assert_eq!(ids.len(), 2, "{runs}");
    let (last, first) = (&ids[0], &ids[1]);
    for (words, expected) in [
        (format!("shop --against {first} --with {last}"), [1, 0, 0]),
        (format!("shop --against {first} --with last"), [1, 0, 0]),
        (format!("shop --against {last} --with {first}"), [0, 1, 0]),
        (format!("shop --against {first}"), [1, 0, 0]),
        ("shop".to_owned(), [0, 0, 0]),
    ] {
        let found = tables(&project, &words);
        assert_eq!(found.iter().map(counts).collect::<Vec<_>>(), [expected, expected], "{words}");
    }
    let ran = project.pipe("diff shop --against 19990101");
    assert!(ran.code == 2 && ran.err.contains("`19990101` is no run and no target"), "{}", ran.err);
}

#[test]
fn two_targets_are_held_against_each_other() {
    let project = shop();
    project.write("more/raw/points.csv", &POINTS.replace("2,b,4", "2,b,40"));
    project.write(
        "pipe.yaml",
        "default_target: local\ntargets:\n  local: {backend: datafusion, sources: data/, date: 2026-11-02}\n  \
         other: {backend: datafusion, sources: more/, date: 2026-11-02}\n",
    );
    let found = tables(&project, "shop --against other --with last");
    assert_eq!(counts(&found[0]), [6, 0, 0]);
    assert_eq!(project.pipe("run shop --target other").code, 0);
    let found = tables(&project, "shop --against last --with other");
    assert_eq!(found.iter().map(counts).collect::<Vec<_>>(), [[0, 0, 2], [0, 0, 1]]);
}

#[test]
fn columns_that_came_went_or_changed_their_type_are_told() {
    let project = shop();
    edit(
        &project,
        "sum(points) as total, count(*)::float / 3 as third,",
        "sum(points)::number(20, 2) as total, 'x' as more,",
    );
    let text = project.pipe("diff shop totals").out;
    for line in ["+ column more VARCHAR", "- column third FLOAT", "! column total: NUMBER(38,0) → NUMBER(20,2)"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(text.contains("0 added, 0 removed, 0 changed, 2 as before"), "{text}");
}

#[test]
fn floats_are_the_same_within_the_tolerance() {
    let project = shop();
    edit(&project, "count(*)::float / 3 as third", "count(*)::float / 3 * (1 + 1e-12) as third");
    assert_eq!(counts(&tables(&project, "shop totals")[0]), [0, 0, 0]);
    assert_eq!(counts(&tables(&project, "shop totals --tolerance 0")[0]), [0, 0, 2]);
    assert_eq!(project.pipe("diff shop --tolerance NaN").code, 2);
}

#[test]
fn without_a_key_whole_rows_are_counted() {
    let project = Project::new()
        .source(
            "points",
            "user_id: number, item: varchar, points: number",
            "user_id,item,points\n1,a,1\n1,a,1\n1,a,1\n2,,5\n",
        )
        .job("shop", "  all_points:\n    publish: out.points\n    sql: select * from raw.points\n");
    assert_eq!(project.pipe("run shop").code, 0);
    project.write("data/raw/points.csv", "user_id,item,points\n1,a,1\n2,,5\n2,,5\n3,c,\n");
    let found = tables(&project, "shop");
    assert_eq!(counts(&found[0]), [2, 2, 0]);
    assert_eq!(found[0]["samples"].as_array().unwrap().len(), 3);
    // Two columns by which rows are not known.
    let ran = project.pipe("diff shop all_points --key user_id");
    assert!(
        ran.code == 1 && ran.err.contains("several rows of `shop.all_points` have the same user_id"),
        "{}",
        ran.err
    );
    let ran = project.pipe("diff shop --key user_i");
    assert!(ran.code == 2 && ran.err.contains("did you mean `user_id`?"), "{}", ran.err);
}

#[test]
fn keys_with_null_are_keys() {
    let project = Project::new()
        .source("points", "user_id: number, item: varchar, points: number", "user_id,item,points\n1,,1\n1,a,2\n")
        .job("shop", "  all_points:\n    publish: out.points\n    sql: select * from raw.points\n");
    assert_eq!(project.pipe("run shop").code, 0);
    project.write("data/raw/points.csv", "user_id,item,points\n1,,1\n1,a,3\n");
    assert_eq!(counts(&tables(&project, "shop --key user_id --key item")[0]), [0, 0, 1]);
}

#[test]
fn markdown_is_for_a_comment() {
    let project = shop();
    edit(&project, "points >= 0", "points >= 0 and not (user_id = 1 and item = 'b')");
    let ran = project.pipe("diff shop --format markdown");
    assert_eq!(ran.code, 0, "{}", ran.err);
    for line in [
        "| `out.top` | 6 → 5 | 0 | 1 | 2 | place (2) |",
        "<details><summary>out.top</summary>",
        "- user_id=1 item=b points=8",
        "! user_id=1 item=c: place 3 → 2",
    ] {
        assert!(ran.out.contains(line), "{line}: {}", ran.out);
    }
}

#[test]
fn an_internal_step_is_compared_where_a_run_kept_it() {
    let project = shop();
    let ran = project.pipe("diff shop points");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let ran = project.pipe("diff shop points --against last --with last");
    assert!(ran.code == 1 && ran.err.contains("only `pipe run --keep` keeps it"), "{}", ran.err);
    assert_eq!(project.pipe("run shop --keep --full-refresh").code, 0);
    edit(&project, "points >= 0", "points > 4");
    assert_eq!(counts(&tables(&project, "shop points --key user_id --key item")[0]), [0, 1, 0]);
}
