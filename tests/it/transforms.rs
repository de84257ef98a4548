//! The built-in transforms through the program: the same bytes whatever the threads and the order of the input, an
//! affinity that adds to its own earlier result, and templates in parameters.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeListBuilder, Float32Builder, Float64Builder, Int64Array, ListBuilder, RecordBatch, StringArray,
};
use parquet::arrow::ArrowWriter;

use crate::project::Project;

const COLUMNS: &str = "user_id: number, program_id: varchar, day: date, at: timestamp_ntz, weight: \"number(6, 2)\"";

/// Watches of some users, the same ones every time, in one of two orders.
fn watches(rows: u32, reversed: bool) -> String {
    let mut state = 7_u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let row = |_| {
        let (user, program, day, hour) = (next(40), next(30), next(28) + 1, next(24));
        let user = if user == 0 { String::new() } else { user.to_string() };
        format!("{user},p{program},2026-10-{day:02},2026-10-{day:02} {hour:02}:30:00,{}.{:02}", next(9), next(4) * 25)
    };
    let mut lines: Vec<String> = (0..rows).map(row).collect();
    if reversed {
        lines.reverse();
    }
    format!("user_id,program_id,day,at,weight\n{}\n", lines.join("\n"))
}

const EVERY_KIND: &str = "
  liked:
    publish: ml.liked
    affinity: {input: raw.watch, user: user_id, item: program_id, time: at, value: weight, half_life: 9d, normalize: l2, explain: true}
  alike:
    publish: ml.alike
    similarity: {input: liked, user: user_id, item: program_id, value: affinity, shrinkage: 2, top: 7, explain: true}
  daily:
    publish: ml.daily
    similarity: {input: raw.watch, user: day, item: program_id, metric: llr, top: 5}
  both:
    publish: ml.both
    similarity: {item: program_id, blend: [{input: alike, normalize: max}, {input: daily, weight: 0.5, normalize: minmax}], top: 4, explain: true}
  model:
    publish: ml.model
    train: {input: liked, user: user_id, item: program_id, value: affinity, regularization: 3, top: 9, explain: true}
  lists:
    publish: ml.lists
    recommend: {input: liked, user: user_id, item: program_id, value: affinity, model: model, top: 5, explain: true, fallback: {input: popular, score: n}}
  popular:
    sql: select program_id, count(*) as n from raw.watch group by program_id
  best:
    publish: ml.best
    rank: {input: liked, partition_by: user_id, score: [{column: affinity, normalize: minmax}, {column: events, weight: 0.1}], top: 3, decay: {column: last_at, scale: 7d}, explain: true}
  parts:
    publish: ml.parts
    split: {input: raw.watch, user: user_id, item: program_id, time: at}
  scores:
    publish: ml.scores
    evaluate: {input: lists, history: raw.watch, time: at, user: user_id, item: program_id, similarity: alike, k: [1, 5], explain: true}
";

/// The bytes of all published Parquet files, by path.
fn published(project: &Project) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for table in fs::read_dir(project.path(".pipe/warehouse/ml")).unwrap() {
        let table = table.unwrap().path();
        for file in fs::read_dir(&table).unwrap() {
            let file = file.unwrap().path();
            let name = format!("{}", table.file_name().unwrap().to_string_lossy());
            files.entry(name).or_insert_with(Vec::new).extend(fs::read(file).unwrap());
        }
    }
    files
}

fn run(reversed: bool, options: &str) -> BTreeMap<String, Vec<u8>> {
    let project = Project::new().source("watch", COLUMNS, &watches(900, reversed)).job("week", EVERY_KIND);
    let ran = project.pipe(&format!("run week --quiet {options}"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    published(&project)
}

#[test]
fn the_bytes_are_the_same_whatever_the_threads_and_the_order() {
    let first = run(false, "--threads 1");
    assert_eq!(first.len(), 9, "{:?}", first.keys());
    for (name, bytes) in run(true, "--threads 4") {
        assert!(bytes == first[&name], "`ml.{name}` differs");
    }
}

#[test]
fn an_affinity_adds_to_its_own_earlier_result() {
    let job = |previous: &str| {
        format!(
            "
  liked:
    publish: ml.liked
    affinity: {{input: raw.watch, user: user_id, item: program_id, time: at, value: weight, half_life: 9d{previous}}}
"
        )
    };
    let lines = watches(300, false);
    let until = |day: &str| {
        let kept = lines.lines().filter(|line| line.split(',').nth(2).is_some_and(|d| d <= day || d == "day"));
        kept.fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{line}");
            text
        })
    };
    let project =
        Project::new().source("watch", COLUMNS, &until("2026-10-14")).job("week", &job(", previous: ml.liked"));
    let rows = |project: &Project| {
        let sql = "select user_id, program_id, round(affinity, 9) as a, events, last_at from ml.liked order by 1, 2";
        let ran = project.words(&["sql", sql, "--format", "csv"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.out
    };
    assert_eq!(project.pipe("run week --quiet").code, 0);
    project.write("data/raw/watch.csv", &lines);
    let again = project.pipe("run week --quiet");
    assert_eq!(again.code, 0, "{}", again.err);
    let whole = Project::new().source("watch", COLUMNS, &lines).job("week", &job(""));
    assert_eq!(whole.pipe("run week --quiet").code, 0);
    assert_eq!(rows(&project), rows(&whole));
    // What was added is not added twice, and other parameters start anew.
    assert_eq!(project.pipe("run week --quiet --full-refresh").code, 0);
    assert_eq!(rows(&project), rows(&whole));
    project.write(
        "pipelines/week.yaml",
        &format!("job: week\nsteps:\n{}", job(", previous: ml.liked").replace("9d", "3d")),
    );
    whole.write("pipelines/week.yaml", &format!("job: week\nsteps:\n{}", job("").replace("9d", "3d")));
    assert_eq!(project.pipe("run week --quiet").code, 0);
    assert_eq!(whole.pipe("run week --quiet").code, 0);
    assert_eq!(rows(&project), rows(&whole));
}

#[test]
fn parameters_are_templates_and_their_sql_is_literal_safe() {
    let project = Project::new().source("watch", COLUMNS, &watches(50, false)).job(
        "week",
        "
  best:
    for_each: {program: [p1, \"p'2\"]}
    publish: ml.best_{{ program | replace(\"'\", '') }}
    rank: {input: raw.watch, partition_by: user_id, score: weight, top: \"{{ program | length - 1 }}\", filter: \"program_id = {{ program }}\"}
",
    );
    let ran = project.pipe("render week best_p1");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("program_id = 'p1'") && ran.out.contains("<= 1"), "{}", ran.out);
    let ran = project.pipe("run week --quiet");
    assert_eq!(ran.code, 0, "{}", ran.err);
}

/// A Parquet file of three items whose vectors are lists.
fn write_lists(project: &Project, third: &[f64]) {
    let mut single = ListBuilder::new(Float32Builder::new());
    let mut double = FixedSizeListBuilder::new(Float64Builder::new(), 2);
    for numbers in [&[3.0, 4.0], &[0.0, 2.0], third] {
        numbers.iter().for_each(|number| single.values().append_value(*number as f32));
        single.append(true);
        double.values().append_slice(&[numbers[0], numbers[1]]);
        double.append(true);
    }
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("v", Arc::new(single.finish())),
        ("w", Arc::new(double.finish())),
        ("a", Arc::new(StringArray::from(vec!["[3,4]", "[0,2]", "[1,0]"]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    fs::create_dir_all(project.path("data/raw")).unwrap();
    let file = fs::File::create(project.path("data/raw/items.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn lists_in_parquet_are_vectors_and_arrays() {
    let contract = |v: &str| {
        format!(
            "schema: raw\ntables:\n  items:\n    columns: {{id: number, v: {v}, w: \"vector(float, 2)\", a: array}}\n"
        )
    };
    let step = |name: &str, vector: &str| {
        format!(
            "  {name}:\n    publish: ml.{name}\n    similarity: {{input: raw.items, of: vectors, item: id, vector: {vector}, top: 1}}\n"
        )
    };
    let steps = [step("of_v", "v, dimensions: 2"), step("of_w", "w"), step("of_a", "a, dimensions: 2")].concat();
    let project = Project::new().file("schemas/raw.yaml", &contract("\"vector(float, 2)\"")).job("week", &steps);
    let expected = ["1|2|0.8|1", "2|1|0.8|1", "3|1|0.6|1"];
    for v in ["\"vector(float, 2)\"", "array", "variant"] {
        project.write("schemas/raw.yaml", &contract(v));
        if v == "variant" {
            project.write(
                "pipelines/week.yaml",
                "job: week\nsteps:\n  of_v: {publish: ml.of_v, sql: \"select v[1]::int as n from raw.items\"}\n",
            );
        }
        write_lists(&project, &[1.0, 0.0]);
        let ran = project.pipe("run week --quiet --full-refresh");
        assert_eq!(ran.code, 0, "{}", ran.err);
        if v == "variant" {
            assert_eq!(project.rows("ml.of_v"), ["0", "2", "4"]);
            continue;
        }
        for table in ["ml.of_v", "ml.of_w", "ml.of_a"] {
            assert_eq!(project.rows(table), expected, "{table} of {v}");
        }
    }
    project.write("pipelines/week.yaml", &format!("job: week\nsteps:\n{}", step("of_v", "v")));
    let ran = project.pipe("validate week");
    assert!(ran.code == 2 && ran.err.contains("wrong-column-type"), "{}", ran.err);
    project.write("schemas/raw.yaml", &contract("array"));
    let ran = project.pipe("validate week");
    assert!(ran.code == 2 && ran.err.contains("say with `dimensions` how many numbers each has"), "{}", ran.err);
    project.write("schemas/raw.yaml", &contract("\"vector(float, 2)\""));
    write_lists(&project, &[1.0, 0.0, 5.0]);
    let ran = project.pipe("run week --quiet");
    assert_eq!(ran.code, 1, "a list of another length is refused: {}", ran.err);
}
