//! Transforms that are a query on every engine, against values computed by hand.

use std::collections::BTreeMap;

use datafusion::arrow::array::RecordBatch;

use crate::dialect::Column;
use crate::transform::Outcome;
use crate::transform::testing::{
    DAY, NOW, assert_close, column, columns, floats, int, ints, parse, rows, table, times,
};

use super::{Compared, Engine, Given};

/// The rows of a transform over tables, as texts.
fn rows_of(kind: &str, yaml: &str, tables: Vec<(&'static str, RecordBatch)>, names: &[&str]) -> Vec<String> {
    rows(&outcome_of(kind, yaml, tables), names)
}

/// The result of a transform over tables, the same in both forms where it has two.
fn outcome_of(kind: &str, yaml: &str, tables: Vec<(&'static str, RecordBatch)>) -> Outcome {
    let engine = Engine::new();
    let transform = parse(kind, yaml).unwrap_or_else(|problems| panic!("{problems:?}"));
    let tables = Given(tables);
    let compared = engine.compare(&transform, &tables, 1e-9);
    assert!(matches!(compared, Ok(Compared::Same | Compared::NoForm)), "{yaml}: {compared:?}");
    let inputs: Vec<Vec<Column>> =
        transform.inputs().iter().map(|name| tables.batch(&name.value).map(columns).unwrap_or_default()).collect();
    let inputs: Vec<&[Column]> = inputs.iter().map(Vec::as_slice).collect();
    engine.kernel(&transform, &tables, &inputs).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_split_is_by_time_at_random_or_the_last() {
    let history = || {
        table(vec![
            ("u", ints([Some(1), Some(1), Some(1), Some(1), Some(1), Some(1), Some(2), Some(2), Some(3), None])),
            ("i", ints((0..10).map(Some))),
            ("at", times([6, 5, 4, 3, 2, 1, 1, 2, 9, 1].map(|day| Some(NOW + day * DAY)))),
        ])
    };
    let split = |rest: &str| {
        let rows =
            rows_of("split", &format!("{{input: h, user: u, item: i{rest}}}"), vec![("h", history())], &["i", "part"]);
        rows.iter().filter_map(|row| row.strip_suffix(" test").map(str::to_owned)).collect::<Vec<_>>().join(" ")
    };
    // 0.75 of 6 is 4.5, of 2 it is 1.5, of 1 it is 0.75: 4, 2 and 1 rows to train with.
    assert_eq!(split(", time: at"), "1 0");
    assert_eq!(split(", time: at, ratio: 0.5"), "2 1 0 7 8");
    assert_eq!(split(", time: at, by: all, ratio: 0.7"), "1 0 8");
    assert_eq!(split(", time: at, method: last, last: 2"), "0 1");
    assert_eq!(split(", time: at, method: last"), "0 7");
    assert_eq!(split(", time: at, cutoff: 2026-11-06"), "0 1 8");
    let random = split(", method: random, ratio: 0.5");
    assert_eq!(random.split(' ').count(), 5);
    assert_eq!(random, split(", method: random, ratio: 0.5"));
    assert_ne!(random, split(", method: random, ratio: 0.5, seed: 8"));
}

#[test]
fn a_history_is_cut_where_a_split_cuts_it() {
    let history = table(vec![
        ("u", ints([1, 1, 1, 1, 2, 2].map(Some))),
        ("i", ints([1, 2, 3, 4, 1, 4].map(Some))),
        ("at", times([1, 2, 3, 4, 1, 2].map(|day| Some(NOW + day * DAY)))),
    ]);
    let lists =
        table(vec![("u", ints([1, 1].map(Some))), ("i", ints([9, 4].map(Some))), ("rank", ints([1, 2].map(Some)))]);
    let yaml = "{input: l, history: h, time: at, split: {ratio: 0.5}, user: u, item: i, k: 2, explain: true}";
    let rows = rows_of("evaluate", yaml, vec![("l", lists), ("h", history)], &["metric", "total", "count"]);
    // User 1 is tested with 3 and 4, user 2 with 4; item 4 is the second of the only list.
    for expected in ["precision 0.5 2.0", "recall 0.5 2.0", "mrr 0.5 2.0", "users 2.0 1.0", "catalog_coverage 0.0 2.0"]
    {
        assert!(rows.iter().any(|row| row == expected), "{expected} is not in {rows:?}");
    }
}

#[test]
fn a_blend_adds_up_what_several_similarities_say() {
    let pairs = |rows: &[(i64, i64, f64)]| {
        table(vec![
            ("i", ints(rows.iter().map(|row| Some(row.0)))),
            ("similar_i", ints(rows.iter().map(|row| Some(row.1)))),
            ("score", floats(rows.iter().map(|row| Some(row.2)))),
        ])
    };
    let tables = || {
        vec![
            ("a", pairs(&[(1, 2, 4.0), (1, 3, 2.0), (2, 1, 4.0)])),
            ("b", pairs(&[(1, 3, 0.5), (1, 4, 0.25), (2, 2, 9.0)])),
        ]
    };
    let yaml = "{item: i, blend: [{input: a, normalize: max}, {input: b, weight: 2}], top: 2, explain: true}";
    let names = ["i", "similar_i", "score", "rank", "contribution_1", "contribution_2"];
    let expected = ["1 3 1.5 1 0.5 1.0", "1 2 1.0 2 1.0 0.0", "2 1 1.0 1 1.0 0.0"];
    assert_eq!(rows_of("similarity", yaml, tables(), &names), expected);
    let scaled = "{item: i, blend: [{input: a, normalize: minmax}, {input: b}], threshold: 0.3}";
    assert_eq!(rows_of("similarity", scaled, tables(), &names[..3]), ["1 2 1.0", "1 3 0.5"]);
}

#[test]
fn those_without_history_get_the_fallback() {
    let tables = vec![
        ("t", table(vec![("u", ints([Some(1)])), ("i", ints([Some(5)]))])),
        (
            "m",
            table(vec![
                ("i", ints([6, 7].map(Some))),
                ("similar_i", ints([5, 5].map(Some))),
                ("score", floats([0.5, 0.9].map(Some))),
            ]),
        ),
        ("s", table(vec![("u", ints([Some(2)])), ("i", ints([Some(9)]))])),
        ("all_users", table(vec![("u", ints([Some(3), None, Some(1)]))])),
        ("p", table(vec![("i", ints([5, 9, 8].map(Some))), ("n", ints([100, 50, 10].map(Some)))])),
    ];
    let yaml = "{input: t, user: u, item: i, model: m, top: 3, seen: s, users: all_users, fallback: {input: p, score: n}, explain: true}";
    let expected = [
        "1 7 1 false 5",
        "1 6 2 false 5",
        "1 9 3 true ",
        "2 5 1 true ",
        "2 8 2 true ",
        "3 5 1 true ",
        "3 9 2 true ",
        "3 8 3 true ",
    ];
    assert_eq!(rows_of("recommend", yaml, tables, &["u", "i", "rank", "fallback", "because_i"]), expected);
}

#[test]
fn metrics_by_hand() {
    // User 1: hits at places 1 and 3 of 3, truth of 3; user 2: recommended, no hit; user 3: in the truth only.
    let lists =
        table(vec![("u", int([1, 1, 1, 2, 4])), ("i", int([10, 11, 12, 10, 13])), ("rank", int([1, 2, 3, 1, 1]))]);
    let truth = table(vec![("u", int([1, 1, 1, 2, 3])), ("i", int([10, 12, 14, 99, 10]))]);
    let train = table(vec![("u", int([5, 6, 7, 8])), ("i", int([10, 10, 11, 77]))]);
    let yaml = "{input: r, truth: t, train: h, user: u, item: i, k: 3}";
    let outcome = outcome_of("evaluate", yaml, vec![("r", lists), ("t", truth), ("h", train)]);
    let values: BTreeMap<String, f64> =
        rows(&outcome, &["metric"]).into_iter().zip(column(&outcome, "value")).collect();
    let ideal = 1.0 + 1.0 / 3.0_f64.log2() + 0.5;
    let expected = [
        ("precision", 2.0 / 9.0),
        ("recall", 2.0 / 9.0),
        ("recall_capped", 2.0 / 9.0),
        ("ndcg", 1.5 / ideal / 3.0),
        ("map", (1.0 + 2.0 / 3.0) / 9.0),
        ("map_at_k", (1.0 + 2.0 / 3.0) / 9.0),
        ("map_by_k", (1.0 + 2.0 / 3.0) / 9.0),
        ("mrr", 1.0 / 3.0),
        ("hit_rate", 1.0 / 3.0),
        ("users", 3.0),
        // Item 10 twice, 11, 12 and 13 once of five.
        ("distributional_coverage", 0.4 * 2.5_f64.log2() + 0.6 * 5.0_f64.log2()),
        ("catalog_coverage", 2.0 / 3.0),
        ("novelty", (2.0 * 1.0 + 2.0) / 3.0),
        ("inverse_user_frequency", ((1.0 + 2.0 + 2.0) / 3.0 + 1.0 + 2.0) / 3.0),
        ("popularity", (1.0 + 2.0 + 0.0) / 3.0),
        // Only item 12 surprises: nobody had it, and it is at the last of three places.
        ("serendipity", (1.0 / 3.0) / 3.0 / 3.0),
    ];
    for (name, value) in expected {
        assert_close(&[values[name]], &[value]);
    }
    assert_eq!(values.len(), expected.len());
}
