use std::sync::Arc;

use super::*;
use crate::template::Templates;
use crate::text::files::Files;

fn files(texts: &[(&str, &str)]) -> Files {
    let mut files = Files::default();
    for (path, text) in texts {
        files.insert(SourceFile::new(*path, *text));
    }
    files
}

fn read(text: &str, sql: &[(&str, &str)]) -> (Job, Vec<String>) {
    let (job, problems) = parse(&SourceFile::new("pipelines/week.yaml", text), &files(sql));
    (job.expect("a job"), problems.iter().map(ToString::to_string).collect())
}

fn expand(text: &str) -> (Job, Vec<String>) {
    let (job, problems) = read(text, &[]);
    assert_eq!(problems, Vec::<String>::new());
    let (templates, _) = Templates::new(Arc::new(Files::default()));
    let (job, problems) = job.expand(&templates, &Variables::default(), &Variables::default());
    (job, problems.iter().map(ToString::to_string).collect())
}

fn step<'a>(job: &'a Job, name: &str) -> &'a Step {
    &job.steps[&Name::unquoted(name)]
}

#[test]
fn a_step_is_read_whole() {
    let text = "
steps:
  Free_Channels:
  top:
    sql: select 1 as program_id
    publish: ml.top
    materialize: view
    columns:
      program_id: {type: 'number(10,2)', nullable: false, tests: [not_null]}
      title: varchar
      anything:
    tests: [{unique: [program_id]}]
    needs: free_channels
    retry: {max: 2, backoff: 500ms}
    timeout: 1.5m
    tags: [daily]
  ranked:
    rank: {input: top, score: title}
tags: all
";
    let (job, problems) = read(text, &[("sql/week/free_channels.sql", "select 2 as id")]);
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(job.name.value.as_str(), "WEEK");
    let top = step(&job, "top");
    assert_eq!(top.publish.as_ref().map(|name| name.value.lower()).as_deref(), Some("ml.top"));
    assert_eq!(top.materialize, Materialization::View);
    assert_eq!(top.timeout, Some(Duration::from_secs(90)));
    assert_eq!(top.retry, Some(Retry { max: 2, backoff: Duration::from_millis(500) }));
    assert_eq!(top.tags, ["all", "daily"]);
    assert_eq!(top.needs[0].value.as_str(), "FREE_CHANNELS");
    let names: Vec<_> = top.tests.iter().map(|test| test.name.as_str()).collect();
    assert_eq!(names, ["not_null(program_id)", "unique(program_id)"]);
    let types: Vec<_> = top.columns.iter().map(|column| column.column_type.as_ref().map(|t| t.value.exact)).collect();
    assert_eq!(types, [Some(true), Some(false), None]);
    assert!(matches!(&step(&job, "free_channels").kind, StepKind::Sql(sql) if sql.text() == "select 2 as id"));
    assert!(matches!(&step(&job, "ranked").kind, StepKind::Transform { name, .. } if name.value == "rank"));
}

#[test]
fn everything_wrong_with_a_job_is_told_at_once() {
    let text = "
job: week
schedule: 0 4 * *
steps:
  a: {sql: select 1, materialize: tabel, timeout: 10}
  A: {sql: select 2}
  b: {sql: gone.sql}
  c: {sgl: select 3}
  d: {rnk: {input: a}}
  e: {sql: select 1, rank: {input: a, score: x}}
  f: {sql: select 1, publish: top}
  g: {sql: select 1, publish: ml.g, materialize: incremental}
  h: {sql: select 1, columns: {x: numbr}}
  i:
vars: {target: 1}
chekcs: {}
";
    let (_, problems) = read(text, &[]);
    let mut codes: Vec<_> = problems.iter().filter_map(|p| p.split(['[', ']']).nth(1)).collect();
    codes.sort_unstable();
    let mut expected = vec![
        "wrong-value",
        "wrong-value",
        "wrong-value",
        "wrong-value",
        "duplicate-step",
        "missing-sql-file",
        "unknown-key",
        "unknown-kind",
        "two-kinds",
        "wrong-value",
        "missing-key",
        "wrong-value",
        "missing-sql-file",
        "reserved-name",
        "unknown-key",
    ];
    expected.sort_unstable();
    assert_eq!(codes, expected, "{problems:#?}");
}

#[test]
fn for_each_makes_a_step_of_each_item() {
    let text = "
vars: {bundles: [25, 90]}
steps:
  top:
    for_each: {bundle: bundles, kind: [film, TV show]}
    sql: select {{ bundle }}
    publish: ml.top_{{ bundle }}_{{ kind | replace(' ', '_') }}
  all:
    sql: select 1
    needs: [top]
";
    let (job, problems) = expand(text);
    assert_eq!(problems, Vec::<String>::new());
    let names: Vec<_> = job.steps.keys().map(Name::lower).collect();
    assert_eq!(names, ["top_25_film", "top_25_tv_show", "top_90_film", "top_90_tv_show", "all"]);
    let published = step(&job, "top_90_tv_show").publish.as_ref().map(|name| name.value.lower());
    assert_eq!(published.as_deref(), Some("ml.top_90_tv_show"));
    assert_eq!(job.variables_of(step(&job, "top_90_film")).get("bundle"), Some(&Variable::Integer(90)));
    assert_eq!(step(&job, "all").needs.len(), 4);
}

#[test]
fn when_decides_whether_a_step_is_in_the_run() {
    let text = "
vars: {days: 7}
steps:
  long: {sql: select 1, when: days > 10}
  short: {sql: select 1, when: '{{ days <= 10 }}'}
  never: {sql: select 1, when: false}
";
    let (job, problems) = expand(text);
    assert_eq!(problems, Vec::<String>::new());
    let included: Vec<_> = job.steps.values().map(|step| step.included).collect();
    assert_eq!(included, [false, true, false]);
    let (_, problems) = expand("steps:\n  a: {sql: select 1, when: dayz > 1, needs: [b]}\n  ab: {sql: select 1}\n");
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems[0].contains("undefined-variable"), "{problems:#?}");
    assert!(problems[1].contains("unknown-step"), "{problems:#?}");
}

#[test]
fn checks_are_read_with_their_expectations() {
    let text = "
checks:
  bookmarks:
    about: distinct users
    sql: checks/bookmarks.sql
    expect:
      - rows: {min: 20}
      - {column: cnt, between: [1, 1000000]}
    reconcile: {step: week.bookmarks, key: [program_id], columns: {cnt: bookmarks}, tolerance: 0.5%}
    data:
      backend.scheduled_recording: {time: scheduled_at, fresh_within: 1d}
";
    let (job, problems) = read(text, &[("sql/checks/bookmarks.sql", "select 1")]);
    assert_eq!(problems, Vec::<String>::new());
    let check = &job.checks[0];
    let names: Vec<_> = check.expect.iter().map(|test| test.name.as_str()).collect();
    assert_eq!(names, ["rows", "range(cnt)"]);
    let reconcile = check.reconcile.as_ref().expect("reconcile");
    assert_eq!(reconcile.job.as_ref().map(Name::lower).as_deref(), Some("week"));
    assert_eq!(reconcile.tolerance, check::Tolerance::Percent(0.5));
    assert_eq!(check.data[0].fresh_within, Some(Duration::from_secs(86400)));
}

#[test]
fn contracts_hold_types_by_family_or_exactly() {
    let accepts = |written: &str, actual: &str| {
        let actual = crate::dialect::parse_type(actual).expect("a type");
        ColumnType::parse(written).expect("a type").accepts(actual)
    };
    assert!(accepts("number", "number(10,2)") && accepts("varchar", "varchar(3)"));
    assert!(accepts("varchar(5)", "varchar(3)") && !accepts("varchar(3)", "varchar(5)"));
    assert!(
        !accepts("number(10,2)", "number(38,0)") && !accepts("number", "float") && !accepts("date", "timestamp_ntz")
    );
}
