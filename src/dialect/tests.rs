use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::logical_expr::TableSource;
use datafusion::logical_expr::logical_plan::builder::LogicalTableSource;

use super::*;
use crate::text::SourceFile;

pub(super) struct Schemas(HashMap<TableName, Arc<dyn TableSource>>);

impl Schemas {
    pub(super) fn new(tables: &[(&str, &[(&str, DataType)])]) -> Self {
        let table = |columns: &[(&str, DataType)]| -> Arc<dyn TableSource> {
            let field = |(name, data_type): &(&str, DataType)| Field::new(name.to_uppercase(), data_type.clone(), true);
            let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
            Arc::new(LogicalTableSource::new(Arc::new(schema)))
        };
        Self(tables.iter().map(|(name, columns)| (TableName::parse(name).unwrap(), table(columns))).collect())
    }
}

impl Tables for Schemas {
    fn table(&self, name: &TableName) -> Option<Arc<dyn TableSource>> {
        self.0.get(name).cloned()
    }

    fn names(&self) -> Vec<TableName> {
        self.0.keys().cloned().collect()
    }
}

fn people() -> Schemas {
    let columns = [("id", DataType::Int64), ("name", DataType::Utf8), ("born", DataType::Date32)];
    Schemas::new(&[("backend.person", &columns)])
}

fn bind(sql: &str) -> Result<LogicalPlan, Vec<Diagnostic>> {
    let statements = parse(&SourceFile::new("t.sql", sql))?;
    let dialect = Dialect::new(SessionParameters::default());
    dialect.bind(&statements[0], &people())
}

#[test]
fn a_query_binds_to_typed_columns() {
    let plan = bind("select id, name as \"Name\" from backend.person where id > 1").unwrap();
    let columns: Vec<String> = Dialect::columns(&plan).iter().map(|c| format!("{} {}", c.name, c.sql_type)).collect();
    assert_eq!(columns, ["ID NUMBER(38,0)", "Name VARCHAR"]);
}

#[test]
fn tables_are_listed_without_the_names_of_with_clauses() {
    let sql = "with a as (select * from s.x) select * from a join \"T\" on exists (select 1 from d.s.y)";
    let statements = parse(&SourceFile::new("t.sql", sql)).unwrap();
    let names: Vec<String> = statements[0].tables().iter().map(|t| t.value.sql()).collect();
    assert_eq!(names, ["S.X", "T", "D.S.Y"]);
}

#[test]
fn an_unknown_table_is_shown_with_the_nearest() {
    let errors = bind("select 1 from backend.persn").unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "t.sql:1:15: error[unknown-table]: unknown table `backend.persn` (hint: did you mean `backend.person`?)"
    );
}

const README: [&str; 5] = [
    include_str!("tests/bookmarks.sql"),
    include_str!("tests/ratings.sql"),
    include_str!("tests/celebrities.sql"),
    include_str!("tests/replay.sql"),
    include_str!("tests/top_replay.sql"),
];

/// The tables that the queries of the team's readme read, with the columns they name.
fn warehouse() -> Schemas {
    use DataType::{Date32, Float64, Int64, Utf8};
    let time = || DataType::Timestamp(datafusion::arrow::datatypes::TimeUnit::Nanosecond, None);
    Schemas::new(&[
        ("backend.scheduled_recording", &[("user_id", Int64), ("program_id", Int64), ("scheduled_at", time())]),
        (
            "backend.program",
            &[("id", Int64), ("title", Utf8), ("ref_program_category_id", Int64), ("ref_program_kind_id", Int64)],
        ),
        ("backend.rel_tvbundle_channel", &[("channel_id", Int64), ("tvbundle_id", Int64)]),
        ("backend.channel", &[("id", Int64), ("name", Utf8), ("display_name", Utf8)]),
        (
            "backend.program_rating",
            &[
                ("program_id", Int64),
                ("rating", Float64),
                ("program_rating_services_id", Int64),
                ("program_rating_type_id", Int64),
            ],
        ),
        ("backend.broadcast", &[("program_id", Int64), ("channel_id", Int64), ("start_at", time())]),
        ("external_sources.daily_prog_affinity", &[("program_id", Int64), ("affinity", Utf8)]),
        ("backend.person", &[("id", Int64), ("first_name", Utf8), ("last_name", Utf8), ("source", Utf8)]),
        ("backend.user_follow_person", &[("person_id", Int64), ("user_id", Int64)]),
        ("backend.rel_program_person", &[("program_id", Int64), ("person_id", Int64)]),
        ("backend.rel_episode_person", &[("episode_id", Int64), ("person_id", Int64)]),
        ("backend.episode", &[("id", Int64), ("program_id", Int64), ("duration", Int64)]),
        (
            "dw.fact_watch",
            &[
                ("user_id", Int64),
                ("program_id", Int64),
                ("episode_id", Int64),
                ("duration", Int64),
                ("date_day", Date32),
                ("asset_type", Utf8),
                ("real_start_at", time()),
            ],
        ),
        (
            "backend.vod",
            &[
                ("episode_id", Int64),
                ("channel_id", Int64),
                ("disabled", Int64),
                ("video_type", Utf8),
                ("available_from", time()),
                ("available_until", time()),
                ("withdrawn_at", time()),
                ("deleted_at", time()),
            ],
        ),
        ("backend.tvbundle", &[("id", Int64), ("name", Utf8), ("is_commercialized", Int64)]),
        (
            "ml.user_replay_recommendations_latest",
            &[("user_id", Int64), ("update_date", Date32), ("recommendations", Utf8)],
        ),
    ])
}

#[test]
fn the_queries_of_the_readme_bind_as_they_are() {
    let (dialect, tables) = (Dialect::new(SessionParameters::default()), warehouse());
    for sql in README {
        let statements = parse(&SourceFile::new("readme.sql", sql)).unwrap();
        let bound = dialect.bind(&statements[0], &tables);
        assert!(bound.is_ok(), "{:?}", bound.unwrap_err());
    }
    let last = parse(&SourceFile::new("readme.sql", README[4])).unwrap();
    let plan = dialect.bind(&last[0], &tables).unwrap();
    let names: Vec<String> = Dialect::columns(&plan).iter().map(|c| c.name.lower()).collect();
    let expected =
        ["title", "rating", "weighted_total_watch", "weighted_engaged_watchers", "first_aired_at", "age", "episode_id"];
    assert_eq!(names, expected);
}

/// What is wrong with a statement over the warehouse, one line each.
fn wrong(sql: &str) -> Vec<String> {
    let statements = match parse(&SourceFile::new("t.sql", sql)) {
        Ok(statements) => statements,
        Err(diagnostics) => return diagnostics.iter().map(ToString::to_string).collect(),
    };
    let bound = Dialect::new(SessionParameters::default()).bind(&statements[0], &warehouse());
    bound.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn every_error_of_a_statement_is_shown_at_its_place() {
    let cases: [(&str, &[&str]); 9] = [
        (
            "select titel, p.idd from backend.program p",
            &[
                "t.sql:1:8: error[unknown-column]: unknown column `titel` (hint: did you mean `title`?)",
                "t.sql:1:15: error[unknown-column]: unknown column `p.idd` (hint: did you mean `id`?)",
            ],
        ),
        (
            "select id from backend.program join backend.channel on program.id = channel.id",
            &[
                "t.sql:1:8: error[ambiguous-column]: ambiguous column `id` (hint: write `backend.program.id` or `backend.channel.id`)",
            ],
        ),
        (
            "select title, count(*) from backend.program",
            &["t.sql:1:8: error[not-grouped]: `title` is neither in GROUP BY nor inside an aggregate"],
        ),
        (
            "select 1 from backend.program where row_number() over (order by id) = 1",
            &["t.sql:1:37: error[window-in-where]: a window function in WHERE (hint: use QUALIFY)"],
        ),
        (
            "select 1 from backend.program match_recognize (pattern (a) define a as true)",
            &["t.sql:1:15: error[unsupported-sql]: MATCH_RECOGNIZE is not carried out here"],
        ),
        (
            "select 1 from backend.program for share",
            &[
                "t.sql:1:1: error[unsupported-sql]: `FOR SHARE`, `SETTINGS`, `FORMAT` and `|>` after a query are not Snowflake SQL",
            ],
        ),
        (
            "select 1 from backend.program at(offset => -60)",
            &[
                "t.sql:1:15: error[unsupported-sql]: time travel (`AT`, `BEFORE`) and `CHANGES` are not carried out here",
            ],
        ),
        (
            "select 1 union all select 1, 2",
            &["t.sql:1:20: error[column-count]: this query has 2 columns, the one before it 1"],
        ),
        (
            "selec 1",
            &["t.sql:1:1: error[sql-syntax]: expected: an SQL statement, found: SELEC (hint: did you mean `select`?)"],
        ),
    ];
    for (sql, expected) in cases {
        assert_eq!(wrong(sql), expected, "{sql}");
    }
}

#[test]
fn a_statement_nested_too_deep_is_an_error() {
    let nested = format!("select {}1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(wrong(&nested)[0].contains("levels deep"), "{:?}", wrong(&nested));
    let chain = format!("select {}1", "1 + ".repeat(20_000));
    assert!(wrong(&chain)[0].contains("operators in a row"));
    let joined = format!("select {}1", "1 + ".repeat(400));
    assert_eq!(wrong(&joined), Vec::<String>::new());
    let tables = format!("select 1 from {}", "(".repeat(5000));
    assert!(!wrong(&tables).is_empty());
}

/// The readme's queries, often, and all statements of the cases.
fn written_queries() -> Vec<String> {
    let mut texts: Vec<String> = README.iter().map(|text| (*text).to_owned()).collect();
    let cases = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/sql")).expect("the cases");
    let mut cases: Vec<_> = cases.map(|case| case.expect("a case").path().join("statements.sql")).collect();
    cases.sort();
    for case in cases {
        texts.push(std::fs::read_to_string(case).expect("statements"));
        texts.push(README[texts.len() % README.len()].to_owned());
    }
    texts
}

#[test]
fn mutated_queries_end_in_a_plan_or_a_diagnostic() {
    let (dialect, tables) = (Dialect::new(SessionParameters::default()), warehouse());
    let pieces = [
        "(",
        ")",
        ",",
        "'",
        "\"",
        ";",
        "select",
        "from",
        "join",
        "lateral flatten(input => ",
        "over (",
        "qualify",
        "::",
        ":a",
        "[0]",
        "case when",
        "union all",
        "with x as (",
        "$1",
        "--",
        "/*",
        "group by all",
        "* exclude (",
        "pivot(sum(",
        "0x",
        "1e999",
        "interval '",
        "within group (order by ",
        "null",
        "é",
        "connect by prior ",
        "values (",
        "{'a': ",
        "x -> ",
    ];
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below.max(1) as u64) as usize
    };
    let rounds = std::env::var("PIPE_FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(100);
    let texts = written_queries();
    let words_of = |text: usize| texts[text].split_inclusive([' ', '\n', '(', ')', ',', '.']).collect::<Vec<&str>>();
    for _ in 0..rounds {
        let mut words = words_of(random(texts.len()));
        for _ in 0..=random(6) {
            let at = random(words.len());
            match random(6) {
                0 => drop(words.remove(at)),
                1 => words.insert(at, pieces[random(pieces.len())]),
                2 => words.swap(at, at / 2),
                3 => words.truncate(at.max(1)),
                _ => {
                    let others = words_of(random(texts.len()));
                    let from = random(others.len());
                    let to = (from + 1 + random(8)).min(others.len());
                    words.splice(at..at, others[from..to].iter().copied());
                }
            }
            if words.is_empty() {
                words.push("select");
            }
        }
        let sql = words.concat();
        let started = std::time::Instant::now();
        if let Ok(statements) = parse(&SourceFile::new("fuzz.sql", sql.clone())) {
            for statement in &statements {
                let _ = dialect.bind(statement, &tables);
                let _ = statement.tables();
            }
        }
        assert!(started.elapsed().as_secs() < 20, "slow: {sql}");
    }
}
