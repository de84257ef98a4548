//! Jobs on Snowflake, which a stand-in plays: the rows are those of the embedded engine, and nothing but what was asked for
//! is fetched.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use pipe::name::TableName;
use pipe::project::Project as Read;
use serde_json::{Value, json};

use crate::project::{Project, Ran};
use crate::stand_in::{BUCKET, PASSWORD, Server, moto, snowflake, snowflake_alone};

/// A project on both backends, the warehouse's database its own.
pub(crate) struct Both {
    pub(crate) project: Project,
    pub(crate) server: Server,
    pub(crate) database: String,
    /// What commands find in their environment besides the password.
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Both {
    /// The project with a target `prod` beside `local`.
    pub(crate) fn new(project: Project, server: Server) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let database = format!("T{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let both = Self { project, server, database, environment: Vec::new() };
        both.settings("password: \"{{ secret('/pipe/pw') }}\"", "");
        both
    }

    /// Writes `pipe.yaml` with this way to log in, and more keys of the target.
    pub(crate) fn settings(&self, credential: &str, more: &str) {
        let Self { server, database, .. } = self;
        let host = format!("http://127.0.0.1:{}", server.port);
        self.project.write(
            "pipe.yaml",
            &format!(
                "default_target: local\ntargets:\n  local: {{backend: datafusion, sources: data/, date: 2026-11-02}}\n  \
                 prod:\n    backend: snowflake\n    account: acme\n    user: PIPE\n    warehouse: WH\n    \
                 database: {database}\n    host: {host}\n    date: 2026-11-02\n    {credential}\n{more}"
            ),
        );
    }

    pub(crate) fn pipe(&self, words: &str) -> Ran {
        let mut variables = vec![("PIPE_PW", PASSWORD)];
        variables.extend(self.environment.iter().map(|(name, value)| (*name, value.as_str())));
        self.project.pipe_with(words, &variables)
    }

    /// Gives the target a stage under a folder of its own in moto's bucket.
    pub(crate) fn stage(&mut self, moto: Server) {
        let folder = self.database.to_lowercase();
        self.environment = moto.aws();
        self.settings(
            "password: \"{{ secret('/pipe/pw') }}\"",
            &format!("    stage: PIPE.LOADS\n    stage_url: s3://{BUCKET}/{folder}/\n"),
        );
        let stage = format!("create or replace stage PIPE.LOADS url = 's3://{BUCKET}/{folder}/'");
        let made = json!({"sql": ["create schema if not exists PIPE", stage], "database": self.database});
        self.server.gate(&made);
    }

    /// Runs on the target and expects that all goes well.
    pub(crate) fn run(&self, words: &str) -> Ran {
        let ran = self.pipe(words);
        assert_eq!(ran.code, 0, "{words}: {}{}", ran.out, ran.err);
        ran
    }

    /// The rows of a table on a target, sorted.
    pub(crate) fn rows(&self, target: &str, table: &str) -> (Vec<String>, Vec<Vec<Value>>) {
        let statement = format!("select * from {table}");
        let words = ["sql", "--target", target, "--format", "json", &statement];
        let ran = self.project.words_with(&words, &[("PIPE_PW", PASSWORD)]);
        assert_eq!(ran.code, 0, "{table} on {target}: {}", ran.err);
        let answer: Value = serde_json::from_str(&ran.out).expect("JSON");
        let column = |column: &Value| format!("{} {}", column["name"], column["type"]);
        let columns = answer["columns"].as_array().expect("columns").iter().map(column).collect();
        let rows = answer["rows"].as_array().expect("rows").iter();
        let mut rows: Vec<Vec<Value>> = rows.map(|row| row.as_array().expect("a row").clone()).collect();
        rows.sort_by_cached_key(|row| row.iter().map(rounded).collect::<Vec<_>>());
        (columns, rows)
    }

    /// Fills the warehouse with the project's sources.
    pub(crate) fn fill(&self) {
        fill(self.server, &self.database, &self.project.path(""), &self.project.path("data"), &[]);
    }

    /// Holds a table on the warehouse against the same on this machine.
    pub(crate) fn same(&self, table: &str) {
        let (here, there) = (self.rows("local", table).1, self.rows("prod", table).1);
        same_rows(table, &here, &there, SAME);
    }
}

/// How far sums of floats may be apart, which depend on the order of adding up.
pub(crate) const SAME: f64 = 1e-9;

pub(crate) fn same_rows(table: &str, here: &[Vec<Value>], there: &[Vec<Value>], tolerance: f64) {
    assert_eq!(here.len(), there.len(), "{table}: {:?} and {:?}", here.first(), there.first());
    for (here, there) in here.iter().zip(there) {
        let alike =
            here.len() == there.len() && here.iter().zip(there).all(|(here, there)| alike(here, there, tolerance));
        assert!(alike, "{table}: {here:?} here and {there:?} there");
    }
}

/// A value for sorting, and for a first comparison: numbers to eight digits.
fn rounded(value: &Value) -> String {
    match value.as_f64() {
        Some(number) => format!("{number:.8e}"),
        None => value.to_string(),
    }
}

/// Objects are compared whatever the order of their members: Snowflake sorts them, the stand-in leaves them as they were put.
fn alike(here: &Value, there: &Value, tolerance: f64) -> bool {
    let json = |value: &Value| {
        let text = value.as_str().filter(|text| text.starts_with(['[', '{']))?;
        serde_json::from_str::<Value>(text).ok()
    };
    let number = |value: &Value| value.as_f64();
    match (here, there) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b, tolerance))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| alike(a, b, tolerance)))
        }
        _ => match (number(here), number(there), json(here), json(there)) {
            (Some(a), Some(b), ..) => (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1.0),
            (_, _, Some(a), Some(b)) => alike(&a, &b, tolerance),
            _ => here == there,
        },
    }
}

/// Makes the tables that a project's contracts describe and fills them from CSV files; those left out have no such file.
pub(crate) fn fill(server: Server, database: &str, root: &Path, data: &Path, left_out: &[&str]) {
    let (read, _) = Read::load(root);
    let (mut tables, mut rows) = (Vec::new(), Vec::new());
    for (name, contract) in &read.contracts {
        if left_out.contains(&name.lower().as_str()) {
            continue;
        }
        let schema = name.schema.as_ref().expect("a schema");
        let columns: Vec<String> = contract
            .columns
            .iter()
            .filter_map(|column| Some((column, column.column_type.as_ref()?)))
            .map(|(column, of)| format!("{} {}", column.name.value.sql(), of.value.sql_type))
            .collect();
        tables.push(format!("create schema if not exists {}", schema.sql()));
        tables.push(format!("create or replace table {} ({})", name.sql(), columns.join(", ")));
        let file = data.join(format!("{}/{}.csv", schema.lower(), name.table.lower()));
        let place = TableName { database: TableName::parse(database).map(|name| name.table), ..name.clone() };
        rows.push(format!(
            "insert into {} by name select * from read_csv('{}', header = true, all_varchar = true, nullstr = '', \
             allow_quoted_nulls = false)",
            place.sql(),
            file.display()
        ));
    }
    server.gate(&json!({"sql": tables, "database": database}));
    server.gate(&json!({"duckdb": rows}));
}

const ORDERS: &str = "id,customer,amount,day,note\n1,ann,10.50,2026-10-30,\n2,bob,3.25,2026-11-01,\"it's, 1\"\n\
                      3,ann,0.75,2026-11-01,x\n4,,7.00,2026-11-02,\n5,cid,2.00,2026-09-01,old\n";

pub(crate) fn orders() -> Project {
    let columns = "id: number, customer: varchar, amount: \"number(10,2)\", day: date, note: varchar";
    Project::new().source("orders", columns, ORDERS)
}

pub(crate) const SHOP: &str = "
  fresh:
    sql: select * from raw.orders where day >= current_date - 7
  totals:
    publish: mart.totals
    columns: {customer: varchar, orders: number, total: number}
    tests: [{unique: [customer]}, {rows: {min: 1}}]
    sql: select customer, count(*) as orders, sum(amount) as total from fresh group by customer
  days:
    publish: mart.days
    sql: |
      -- current_date stays in comments
      select f.day, f.id, f.note, datediff('day', f.day, current_date()) as age
      from fresh as f
  best:
    publish: mart.best
    rank: {input: fresh, partition_by: customer, score: [{column: amount, weight: 1}], top: 1}
";

#[test]
fn a_job_gives_the_rows_of_the_embedded_engine() {
    let Some(server) = snowflake() else { return };
    let both = Both::new(orders().job("shop", SHOP), server);
    both.fill();
    both.run("run shop");
    both.run("run shop --target prod");
    for table in ["mart.totals", "mart.days", "mart.best"] {
        both.same(table);
    }
    assert_eq!(both.rows("local", "mart.totals").0, both.rows("prod", "mart.totals").0);
    // Nothing is left of what was built aside but the state of each published table.
    let left = json!({"sql": ["select split_part(table_name, '__PIPE_', 1) from information_schema.tables where table_schema = 'PIPE' order by 1"],
                      "database": both.database});
    assert_eq!(
        server.gate(&left)["rows"],
        json!([["LEDGER"], ["SHOP__BEST"], ["SHOP__DAYS"], ["SHOP__TOTALS"], ["STATES"]])
    );
}

/// The stand-in says of every statement that it read 1,024 bytes.
#[test]
fn the_bytes_that_steps_read_are_told_at_the_end() {
    let Some(server) = snowflake() else { return };
    let both = Both::new(orders().job("shop", SHOP), server);
    both.fill();
    let ran = both.run("run shop --target prod --format json");
    let events: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let scanned = events.last().expect("an event")["scanned"].as_object().expect("bytes by step");
    assert!(scanned.len() >= 2, "{scanned:?}");
    for (step, bytes) in scanned {
        let done = events.iter().rfind(|event| event["step"] == *step.as_str() && !event["queries"].is_null());
        let queries = done.expect("the step")["queries"].as_array().expect("query ids").len();
        assert_eq!(*bytes, json!(1024 * queries), "{step}");
    }
    let again = both.run("run shop --target prod --full-refresh");
    let summary = again.err.lines().last().expect("a summary");
    assert!(summary.contains(" KiB scanned"), "{summary}");
}

#[test]
fn what_has_not_changed_is_skipped_on_an_empty_machine_too() {
    let Some(server) = snowflake() else { return };
    let both = Both::new(orders().job("shop", SHOP), server);
    both.fill();
    both.run("run shop --target prod");
    fs::remove_dir_all(both.project.path(".pipe")).expect("removed");
    let again = both.run("run shop --target prod");
    assert!(again.err.contains("unchanged") && !again.err.contains("published"), "{}", again.err);
    let plan = both.run("plan shop --target prod");
    assert!(plan.out.contains("nothing to do: 3 unchanged"), "{}", plan.out);
    assert!(both.run("runs --target prod").out.contains("prod"));
    // A changed input is seen by what the catalogue says of it.
    let more = json!({"sql": ["insert into raw.orders values (9, 'dan', 1.00, '2026-11-01', null)"], "database": both.database});
    server.gate(&more);
    let plan = both.run("plan shop --target prod");
    assert!(plan.out.contains("changed input raw.orders"), "{}", plan.out);
    both.run("run shop --target prod");
    assert_eq!(both.rows("prod", "mart.totals").1.len(), 4);
}

#[test]
fn a_failed_test_keeps_the_old_rows() {
    let Some(server) = snowflake() else { return };
    let both = Both::new(orders().job("shop", SHOP), server);
    both.fill();
    both.run("run shop --target prod");
    let before = both.rows("prod", "mart.totals");
    let stricter = SHOP.replace("{min: 1}", "{min: 100}").replace("count(*) as orders", "2 * count(*) as orders");
    both.project.write("pipelines/shop.yaml", &format!("job: shop\nsteps:\n{stricter}"));
    let ran = both.pipe("run shop --target prod");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("test `rows` failed") || ran.err.contains("rows"), "{}", ran.err);
    assert_eq!(both.rows("prod", "mart.totals"), before);
}

#[test]
fn columns_that_change_replace_the_table() {
    let Some(server) = snowflake() else { return };
    let job =
        |more: &str| format!("job: shop\nsteps:\n  t: {{publish: mart.t, sql: \"select id{more} from raw.orders\"}}\n");
    let both = Both::new(orders().file("pipelines/shop.yaml", &job("")), server);
    both.fill();
    both.run("run shop --target prod");
    both.project.write("pipelines/shop.yaml", &job(", amount"));
    both.run("run shop --target prod");
    both.run("run shop");
    both.same("mart.t");
}

#[test]
fn a_step_that_is_local_or_has_no_form_in_sql_is_computed_here_and_loaded() {
    let Some(server) = snowflake() else { return };
    let steps = "
  here:
    publish: mart.here
    engine: local
    sql: select customer, sum(amount) as total, max(day) as last, array_agg(id) within group (order by id) as ids from raw.orders group by customer
  model:
    publish: mart.model
    train: {input: raw.orders, user: customer, item: id, value: amount, regularization: 3, top: 9}
";
    let both = Both::new(orders().job("shop", steps), server);
    both.fill();
    both.run("run shop --target prod");
    both.run("run shop");
    both.same("mart.here");
    both.same("mart.model");
}

#[test]
fn a_view_reads_the_clock_of_its_reader() {
    let Some(server) = snowflake() else { return };
    let steps = "
  recent:
    publish: mart.recent
    materialize: view
    sql: select id, current_date as today from raw.orders where day <= current_date
";
    let both = Both::new(orders().job("shop", steps), server);
    both.fill();
    both.run("run shop --target prod");
    let (_, rows) = both.rows("prod", "mart.recent");
    assert_eq!(rows.len(), 5);
    assert_ne!(rows[0][1], json!("2026-11-02"));
}

const CHECKED: &str = "checks:
  totals:
    about: What each customer spent in a week
    sql: select customer, sum(amount) as total from raw.orders where day >= current_date - 7 group by customer
    expect: [{rows: {min: 1}}]
    reconcile: {step: totals, key: customer, columns: {total: total}}
";

#[test]
fn checks_ask_the_warehouse() {
    let Some(server) = snowflake() else { return };
    let both = Both::new(orders().file("pipelines/shop.yaml", &format!("job: shop\n{CHECKED}steps:{SHOP}")), server);
    both.fill();
    both.run("run shop --target prod");
    let checked = both.run("check --target prod");
    assert!(checked.out.contains("totals") && checked.out.contains("ok"), "{}", checked.out);
    // A wrong sum in the job is the job's fault.
    let wrong = SHOP.replace("sum(amount) as total", "sum(amount) + iff(customer = 'ann', 1, 0) as total");
    both.project.write("pipelines/shop.yaml", &format!("job: shop\n{CHECKED}steps:{wrong}"));
    both.run("run shop --target prod");
    let checked = both.pipe("check --target prod");
    assert_eq!(checked.code, 1, "{}{}", checked.out, checked.err);
    assert!(checked.out.contains("logic") && checked.out.contains("ann"), "{}", checked.out);
    let left = json!({"sql": ["select table_name from information_schema.tables where table_schema = 'PIPE' and contains(table_name, 'ASIDE')"],
                      "database": both.database});
    assert_eq!(server.gate(&left)["rows"], json!([]));
}

/// Jobs of this repository and what they publish. Left out are those that read or write files, and the models, which are
/// trained and used on this machine, so that the warehouse would only store what is compared elsewhere.
const JOBS: [(&str, &[&str]); 7] = [
    ("popular", &["ml.popular_recommendations"]),
    ("this_week", &["ml.this_week_recommendations", "ml.this_week_user_recommendations"]),
    ("this_day", &["ml.this_day_recommendations", "ml.this_day_user_recommendations"]),
    ("personality", &["ml.personality_recommendations", "ml.personality_program_recommendations"]),
    ("fact_audience", &["dw.fact_audience"]),
    ("program_similarity", &["ml.program_similarity"]),
    ("replay", &["ml.user_replay_recommendations_history", "ml.user_replay_recommendations_latest"]),
];

#[test]
fn the_sample_jobs_give_the_same_rows_on_both_backends() {
    let Some(moto) = moto() else { return };
    let Some(server) = snowflake_alone(&[("S3", format!("http://127.0.0.1:{}", moto.port))]) else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut both = Both::new(Project::new(), server);
    for folder in ["pipelines", "sql", "schemas"] {
        copy(&root.join(folder), &both.project.path(folder));
    }
    copy(&root.join("samples"), &both.project.path("data"));
    both.stage(moto);
    let without = ["external_sources.audio_clip"];
    fill(server, &both.database, root, &root.join("samples"), &without);
    for (job, tables) in JOBS {
        both.run(&format!("run {job}"));
        both.run(&format!("run {job} --target prod"));
        for table in tables {
            let (here, there) = (both.rows("local", table).1, both.rows("prod", table).1);
            // The stand-in divides NUMBERs as floats, where Snowflake's quotient has six digits.
            same_rows(table, &here, &there, 1e-5);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let to = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).expect("copied");
        }
    }
}

#[test]
fn every_type_is_fetched_as_it_is() {
    let Some(server) = snowflake() else { return };
    let both = Both::new(Project::new(), server);
    let statements = "
create schema if not exists s;
create or replace table s.t (id number(18,0), n number(38,6), f float, s varchar, b boolean, d date, t time, ts timestamp_ntz, ltz timestamp_ltz, v variant, x binary);
insert into s.t (id, n, f, s, b, d, t, ts, ltz, x) values
  (1, 12345678901234567890123456.123456, 1e300, 'é\"''\\n', true, '0001-01-01', '23:59:59.999999', '1969-12-31 23:59:59.5', '2026-11-02 10:00:00', to_binary('00FF', 'HEX')),
  (2, -0.000001, -0.0, '', false, '9999-12-31', '00:00:00', '1700-01-01 00:00:00.000001', '1970-01-01 00:00:00', to_binary('', 'HEX')),
  (999999999999999999, null, null, null, null, null, null, null, null, null);
select * from s.t order by id";
    let words = ["sql", "--target", "prod", "--format", "json", statements];
    let ran = both.project.words_with(&words, &[("PIPE_PW", PASSWORD)]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let answer: Value = serde_json::from_str(&ran.out).expect("JSON");
    let types: Vec<&str> =
        answer["columns"].as_array().expect("columns").iter().filter_map(|column| column["type"].as_str()).collect();
    let expected = ["NUMBER(18,0)", "NUMBER(38,6)", "FLOAT", "VARCHAR", "BOOLEAN", "DATE", "TIME", "TIMESTAMP_NTZ"];
    assert_eq!(types[..8], expected);
    let rows = &answer["rows"];
    assert_eq!(rows[0][1].to_string(), "12345678901234567890123456.123456");
    assert_eq!(rows[0][2], json!(1e300));
    assert_eq!(rows[0][3], json!("é\"'\n"));
    assert_eq!(rows[0][4], json!(true));
    assert_eq!(rows[0][5], json!("0001-01-01"));
    assert_eq!(rows[0][6], json!("23:59:59.999999"));
    assert_eq!(rows[0][7], json!("1969-12-31T23:59:59.5"));
    assert_eq!(rows[0][10], json!("00FF"));
    assert_eq!(rows[1][1].to_string(), "-0.000001");
    assert_eq!(rows[1][5], json!("9999-12-31"));
    assert_eq!(rows[1][7], json!("1700-01-01T00:00:00.000001"));
    assert_eq!(rows[2][0], json!(999_999_999_999_999_999_u64));
    assert!(rows[2].as_array().expect("a row")[1..].iter().all(Value::is_null), "{}", rows[2]);
}

#[test]
fn many_rows_come_in_chunks_and_go_out_by_the_stage() {
    let Some(moto) = moto() else { return };
    let s3 = format!("http://127.0.0.1:{}", moto.port);
    let Some(server) = snowflake_alone(&[("CHUNK_ROWS", "1000".to_owned()), ("S3", s3)]) else { return };
    let rows: String =
        (0..5000).map(|at| format!("{at},c{},{}.25,2026-10-{:02},\n", at % 7, at, at % 28 + 1)).collect();
    let columns = "id: number, customer: varchar, amount: \"number(10,2)\", day: date, note: varchar";
    let steps = "
  here:
    publish: mart.here
    engine: local
    sql: select id, customer, amount, day, note, to_timestamp_ntz(day) as moment, object_construct('id', id) as o, amount::float as f from raw.orders
";
    let csv = format!("id,customer,amount,day,note\n{rows}");
    let both = Both::new(Project::new().source("orders", columns, &csv).job("shop", steps), server);
    both.fill();
    let environment = moto.aws();
    let mut variables: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.push(("PIPE_PW", PASSWORD));
    let run = || both.project.words_with(&["run", "shop", "--target", "prod"], &variables);
    let ran = run();
    assert!(ran.code == 1 && ran.err.contains("takes a stage"), "{}", ran.err);
    both.settings(
        "password: \"{{ secret('/pipe/pw') }}\"",
        &format!("    stage: PIPE.LOADS\n    stage_url: s3://{BUCKET}/loads/\n"),
    );
    let stage = format!("create or replace stage PIPE.LOADS url = 's3://{BUCKET}/loads/'");
    server.gate(&json!({"sql": [stage], "database": both.database}));
    server.gate(&json!({"fault": {"where": "chunk", "n": 2, "status": 503}}));
    server.gate(&json!({"fault": {"where": "chunk", "n": 1, "status": 403}}));
    let ran = run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    both.run("run shop");
    both.same("mart.here");
    assert!(moto.keys("loads/").is_empty(), "what was laid on the stage is removed");
}
