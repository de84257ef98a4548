//! `pipe run` and the commands around it, on small projects.

use crate::project::Project;

const ORDERS: &str = "id,customer,amount,at\n\
                      1,ann,10.50,2026-11-01 10:00:00\n\
                      2,bob,3,2026-11-01 11:00:00\n\
                      3,ann,,2026-11-02 00:00:00\n\
                      4,cleo,8.25,2026-10-01 00:00:00\n";

const SHOP: &str = "  recent:
    sql: select id, customer, amount from raw.orders where at >= current_date - 7
  per_customer:
    sql: select customer, sum(amount) as total, count(*) as orders from recent group by customer
    publish: mart.per_customer
    columns:
      customer: {type: varchar, tests: [not_null]}
    tests:
      - unique: [customer]
  big:
    sql: select customer from per_customer where total > 5
    publish: mart.big
";

fn shop() -> Project {
    Project::new()
        .source("orders", "id: number, customer: varchar, amount: \"number(10,2)\", at: timestamp_ntz", ORDERS)
        .job("shop", SHOP)
}

#[test]
fn a_run_publishes_and_a_second_one_has_nothing_to_do() {
    let project = shop();
    let first = project.pipe("run shop");
    assert_eq!(first.code, 0, "{}", first.err);
    assert_eq!(project.rows("mart.per_customer"), ["ann|10.50|2", "bob|3.00|1"]);
    assert_eq!(project.rows("mart.big"), ["ann"]);
    let second = project.pipe("run shop");
    assert_eq!((second.code, second.err.trim()), (0, "nothing to do: 2 unchanged"));
}

#[test]
fn changed_sql_runs_the_step_and_what_follows_from_it() {
    let project = shop();
    assert_eq!(project.pipe("run shop").code, 0);
    project.write("pipelines/shop.yaml", &format!("job: shop\nsteps:\n{}", SHOP.replace("total > 5", "total > 2")));
    let plan = project.pipe("plan shop");
    assert_eq!(
        plan.out,
        "skip  shop.per_customer  unchanged\nrun   shop.big           changed SQL\n1 to run, 1 unchanged\n"
    );
    assert_eq!(project.pipe("run shop").code, 0);
    assert_eq!(project.rows("mart.big"), ["ann", "bob"]);
}

#[test]
fn a_changed_parameter_of_a_transform_runs_it() {
    let step = |top: u32| {
        format!(
            "  best:\n    publish: mart.best\n    rank:\n      input: raw.orders\n      score: id\n      top: {top}\n"
        )
    };
    let project = shop().job("best", &step(1));
    assert_eq!(project.pipe("run best").code, 0);
    project.write("pipelines/best.yaml", &format!("job: best\nsteps:\n{}", step(2)));
    assert_eq!(project.pipe("plan best").out, "run   best.best  changed SQL\n1 to run, 0 unchanged\n");
}

#[test]
fn a_changed_source_is_named_as_the_reason() {
    let project = shop();
    assert_eq!(project.pipe("run shop").code, 0);
    project.write("data/raw/orders.csv", &format!("{ORDERS}5,bob,4,2026-11-01 12:00:00\n"));
    let plan = project.pipe("plan shop");
    assert!(plan.out.contains("shop.per_customer  changed input raw.orders"), "{}", plan.out);
    assert_eq!(project.pipe("run shop").code, 0);
    assert_eq!(project.rows("mart.per_customer"), ["ann|10.50|2", "bob|7.00|2"]);
}

#[test]
fn comments_and_layout_change_nothing() {
    let project = shop();
    assert_eq!(project.pipe("run shop").code, 0);
    let laid_out = SHOP.replace("select customer from", "select  customer /* who */ from");
    project.write("pipelines/shop.yaml", &format!("job: shop\nsteps:\n{laid_out}"));
    assert_eq!(project.pipe("run shop").err.trim(), "nothing to do: 2 unchanged");
}

#[test]
fn a_failed_test_publishes_nothing_of_the_job() {
    let project = shop();
    assert_eq!(project.pipe("run shop").code, 0);
    let broken = SHOP.replace("group by customer", "group by customer union all select 'ann', 1, 1");
    project.write("pipelines/shop.yaml", &format!("job: shop\nsteps:\n{broken}"));
    let ran = project.pipe("run shop");
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("unique(customer)"), "{}", ran.err);
    assert_eq!(project.rows("mart.per_customer"), ["ann|10.50|2", "bob|3.00|1"]);
    assert_eq!(project.rows("mart.big"), ["ann"]);
}

#[test]
fn everything_wrong_is_told_at_once_and_nothing_is_run() {
    let project = shop().job(
        "wrong",
        "  a:\n    sql: select customr from raw.orders\n    publish: out.a\n  b:\n    sql: select * from raw.ordes\n  c:\n    \
         sql: select * from a\n  d:\n    sql: select 1 as x from e\n  e:\n    sql: select 1 as x from d\n",
    );
    let ran = project.pipe("run wrong");
    assert_eq!(ran.code, 2, "{}", ran.err);
    for part in ["customr", "`raw.ordes`", "did you mean `raw.orders`", "circle"] {
        assert!(ran.err.contains(part), "{part} is missing in {}", ran.err);
    }
    assert!(!project.path(".pipe/warehouse").exists());
}

#[test]
fn a_bad_value_is_told_with_file_and_row() {
    let project = shop();
    project.write("data/raw/orders.csv", "id,customer,amount,at\n1,ann,10,2026-11-01\n2,bob,much,2026-11-01\n");
    let ran = project.pipe("run shop");
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("orders.csv`, row 3: `much` is no NUMBER(10,2) for column `amount`"), "{}", ran.err);
}

#[test]
fn a_missing_column_stops_the_run_before_it_starts() {
    let project = shop();
    project.write("data/raw/orders.csv", "id,customer,amout,at\n");
    let ran = project.pipe("run shop");
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("lacks the column `amount`"), "{}", ran.err);
}

#[test]
fn jobs_read_each_others_tables() {
    let project = shop().job("later", "  best:\n    sql: select * from mart.big\n    publish: mart.best\n");
    assert_eq!(project.pipe("run --all").code, 0);
    assert_eq!(project.rows("mart.best"), ["ann"]);
    assert_eq!(project.pipe("run later").err.trim(), "nothing to do: 1 unchanged");
}

#[test]
fn a_table_of_another_job_that_is_not_there_yet_is_built_first() {
    let project = shop().job("later", "  best:\n    sql: select * from mart.big\n    publish: mart.best\n");
    let alone = project.pipe("run later");
    assert_eq!(alone.code, 0, "{}", alone.err);
    assert_eq!(project.rows("mart.best"), ["ann"]);
    assert_eq!(project.rows("mart.big"), ["ann"]);
    assert_eq!(project.pipe("run later").err.trim(), "nothing to do: 1 unchanged");
}

#[test]
fn a_selection_runs_what_it_names_and_what_that_needs() {
    let project = shop();
    let ran = project.pipe("run shop --select big");
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("--select +big"), "{}", ran.err);
    assert_eq!(project.pipe("run shop --select per_customer").code, 0);
    assert!(project.rows("mart.big").is_empty());
    assert_eq!(project.pipe("run shop --select nothing_such").code, 2);
}

#[test]
fn a_dry_run_touches_nothing() {
    let project = shop();
    let ran = project.pipe("run shop --dry-run");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("run   shop.big"), "{}", ran.out);
    assert!(!project.path(".pipe/warehouse").exists());
}

#[test]
fn a_shared_step_is_computed_once_for_its_readers() {
    let project = shop().job(
        "two",
        "  base:\n    sql: select customer, amount from raw.orders\n  a:\n    sql: select count(*) as n from base\n    \
         publish: out.a\n  b:\n    sql: select max(amount) as top from base\n    publish: out.b\n",
    );
    let ran = project.pipe("run two --format json");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.out.matches("\"step_finished\",\"step\":\"two.base\"").count(), 1, "{}", ran.out);
    assert_eq!((project.rows("out.a"), project.rows("out.b")), (vec!["4".to_owned()], vec!["10.50".to_owned()]));
}

#[test]
fn history_graph_lineage_and_sql_can_be_asked_for() {
    let project = shop();
    assert_eq!(project.pipe("run shop").code, 0);
    let last = project.pipe("runs last");
    assert!(last.out.contains("mart.per_customer"), "{}", last.out);
    assert_eq!(project.pipe("runs").out.lines().count(), 2);
    let tree = "big\n└── per_customer\n    └── recent\n        └── raw.orders\n";
    assert_eq!(project.pipe("graph shop").out, tree);
    let lineage = project.pipe("lineage shop per_customer.total");
    assert_eq!(lineage.code, 0, "{}", lineage.err);
    assert!(
        lineage.out.starts_with("shop.per_customer.total\n  shop.recent.amount\n    raw.orders.amount\n"),
        "{}",
        lineage.out
    );
    let sql = project.pipe("render shop big");
    assert_eq!(sql.out, "select customer from per_customer where total > 5\n");
}

#[test]
fn whole_files_are_rows_of_a_source() {
    let project = Project::new()
        .file(
            "pipe.yaml",
            "targets:\n  local: {backend: datafusion, tables: {raw.note: {path: notes/, format: files}}}\n",
        )
        .file("schemas/raw.yaml", "schema: raw\ntables:\n  note: {columns: {name: varchar, content: binary}}\n")
        .file("notes/b.txt", "two words")
        .file("notes/a.txt", "one")
        .job("notes", "  notes:\n    sql: select name, to_varchar(content, 'utf-8') as text from raw.note order by name\n    publish: mart.notes\n");
    let ran = project.pipe("run notes");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(project.rows("mart.notes"), ["a.txt|one", "b.txt|two words"]);
    project.write("schemas/raw.yaml", "schema: raw\ntables:\n  note: {columns: {name: varchar, size: number}}\n");
    project.write(
        "pipelines/notes.yaml",
        "job: notes\nsteps:\n  notes: {sql: select size from raw.note, publish: mart.notes}\n",
    );
    let ran = project.pipe("run notes");
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("has `name` VARCHAR and `content` BINARY, and no `size`"), "{}", ran.err);
}

#[test]
fn a_sound_that_cannot_be_decoded_is_named() {
    let step =
        |more: &str| format!("  sounds:\n    publish: mart.sounds\n    audio: {{input: raw.clip, item: name{more}}}\n");
    let project = Project::new()
        .file(
            "pipe.yaml",
            "targets:\n  local: {backend: datafusion, tables: {raw.clip: {path: clips/, format: files}}}\n",
        )
        .file("schemas/raw.yaml", "schema: raw\ntables:\n  clip: {columns: {name: varchar, content: binary}}\n")
        .file("clips/a.flac", "no sound at all")
        .job("sounds", &step(""));
    let ran = project.pipe("run sounds");
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("the sound of name a.flac cannot be decoded: it is neither WAV nor FLAC"), "{}", ran.err);
    project.write("pipelines/sounds.yaml", &format!("job: sounds\nsteps:\n{}", step(", on_error: drop")));
    assert_eq!(project.pipe("run sounds").code, 0);
    assert!(project.rows("mart.sounds").is_empty());
}
