use super::*;
use crate::rule::read::{TESTS, tests};
use crate::text::SourceFile;
use crate::text::files::Files;
use crate::yaml;

fn read(text: &str) -> (Vec<Test>, Vec<String>) {
    let root = yaml::parse(&SourceFile::new("job.yaml", text)).expect("valid YAML");
    let mut problems = Vec::new();
    TESTS.check(&root, &mut problems);
    let tests = tests(&root, None, &Files::default(), &mut problems);
    (tests, problems.iter().map(ToString::to_string).collect())
}

fn query(text: &str) -> String {
    let (tests, problems) = read(text);
    assert_eq!(problems, Vec::<String>::new());
    tests[0].query("ml.top")
}

#[test]
fn each_rule_counts_its_failing_rows() {
    assert_eq!(
        query("[not_null: [program_id, \"\\\"é\\\"\"]]"),
        "select count_if(PROGRAM_ID is null or \"é\" is null) as failed, count(*) as tested from ml.top"
    );
    assert_eq!(
        query("[{accepted_values: {column: kind, values: [a'b, 1, true]}, where: kind <> 'x'}]"),
        "select count_if(KIND not in ('a''b', 1, TRUE)) as failed, count(*) as tested \
         from (select * from ml.top where kind <> 'x'\n)"
    );
    assert_eq!(
        query("[range: {column: rating, min: 0, max: 5}]"),
        "select count_if(RATING < 0 or RATING > 5) as failed, count(*) as tested from ml.top"
    );
    assert_eq!(
        query("[expression: start_at < end_at]"),
        "select count_if(not (start_at < end_at\n)) as failed, count(*) as tested from ml.top"
    );
    assert_eq!(
        query("[rows: {min: 50}]"),
        "select case when count(*) < 50 then 50 - count(*) else 0 end as failed, count(*) as tested from ml.top"
    );
}

#[test]
fn one_row_is_told_as_one() {
    let told = |text: &str, failed, tested| read(text).0[0].verdict(failed, tested).message;
    assert_eq!(told("[not_null: a]", 1, 1), "1 of 1 row has a NULL");
    assert_eq!(told("[not_null: a]", 2, 3), "2 of 3 rows have a NULL");
    assert_eq!(told("[rows: {min: 2}]", 1, 1), "1 row, and at least 2 expected");
}

#[test]
fn verdicts_follow_severity_and_thresholds() {
    let outcome = |text: &str, failed, tested| read(text).0[0].verdict(failed, tested).outcome;
    assert_eq!(outcome("[unique: a]", 0, 10), Outcome::Pass);
    assert_eq!(outcome("[unique: a]", 1, 10), Outcome::Fail);
    assert_eq!(outcome("[{unique: a, severity: warn}]", 1, 10), Outcome::Warn);
    assert_eq!(outcome("[{unique: a, error_if: '> 10%'}]", 1, 10), Outcome::Warn);
    assert_eq!(outcome("[{unique: a, error_if: '>= 10%'}]", 1, 10), Outcome::Fail);
    assert_eq!(outcome("[{unique: a, warn_if: 5, error_if: 10}]", 5, 10), Outcome::Pass);
    assert_eq!(outcome("[rows: {min: 50, severity: warn}]", 3, 47), Outcome::Warn);
}

#[test]
fn all_that_is_wrong_with_tests_is_told() {
    let (_, problems) =
        read("[unique, {uniqe: [a]}, {range: {column: a}}, {rows: {min: x}}, {unique: a, severity: low}]");
    let expected = [
        "job.yaml:1:11: error[unknown-kind]: there is no kind of test called `uniqe` (hint: did you mean `unique`?)",
        "job.yaml:1:59: error[wrong-type]: expected a whole number, found the text `x`",
        "job.yaml:1:86: error[wrong-value]: `low` is not `warn` or `error`",
        "job.yaml:1:2: error[missing-key]: the test `unique` does not say on which column (hint: write `unique: [column]`, or put it under a column)",
        "job.yaml:1:25: error[wrong-value]: this range has no bounds (hint: give `min`, `max` or both)",
    ];
    assert_eq!(problems, expected);
}
