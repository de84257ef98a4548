//! `affinity` against a naive oracle on random events, and each option against values computed by hand.

use std::collections::BTreeMap;

use datafusion::arrow::array::RecordBatch;

use crate::transform::testing::{
    DAY, NOW, Random, assert_close, column, columns, float, floats, int, ints, parse, rows, run, run_shuffled, table,
    text, times, whole,
};
use crate::transform::{Outcome, Transform};

fn affinity(yaml: &str) -> Transform {
    parse("affinity", yaml).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn liked(yaml: &str, inputs: &[RecordBatch]) -> Outcome {
    let transform = affinity(yaml);
    let tables: Vec<_> = inputs.iter().map(columns).collect();
    let borrowed: Vec<_> = tables.iter().map(Vec::as_slice).collect();
    let output = transform.output(&borrowed).unwrap_or_else(|problems| panic!("{problems:?}"));
    let outcome = run(&transform, inputs).expect("a result");
    let names: Vec<_> = outcome.schema.fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, output.iter().map(|c| c.name.as_str().to_owned()).collect::<Vec<_>>());
    for seed in 1..4 {
        assert_eq!(whole(&run_shuffled(&transform, inputs, seed).expect("a result")), whole(&outcome));
    }
    outcome
}

fn events(rows: &[(i64, i64, f64, i64)]) -> RecordBatch {
    table(vec![
        ("u", int(rows.iter().map(|row| row.0))),
        ("i", int(rows.iter().map(|row| row.1))),
        ("__pipe_value", float(rows.iter().map(|row| row.2))),
        ("t", times(rows.iter().map(|row| Some(NOW - row.3 * DAY)))),
    ])
}

#[test]
fn events_decay_by_half_lives() {
    let watched = events(&[(1, 5, 2.0, 0), (1, 5, 4.0, 30), (1, 6, 1.0, 60), (2, 5, 3.0, -1)]);
    let outcome =
        liked("{input: t, user: u, item: i, time: t, half_life: 30d, as_of: now}", std::slice::from_ref(&watched));
    assert_eq!(rows(&outcome, &["u", "i", "affinity", "events"]), ["1 5 4.0 2", "1 6 0.25 1", "2 5 3.0 1"]);
    let latest = liked("{input: t, user: u, item: i, time: t, half_life: 1d}", std::slice::from_ref(&watched));
    assert_close(&column(&latest, "affinity"), &[1.0 + 4.0 * 0.5_f64.powi(31), 0.5_f64.powi(61), 3.0]);
    let dropped =
        liked("{input: t, user: u, item: i, time: t, as_of: now, future: drop}", std::slice::from_ref(&watched));
    assert_eq!(rows(&dropped, &["u", "i"]), ["1 5", "1 6"]);
    assert!(run(&affinity("{input: t, user: u, item: i, time: t, as_of: now, future: error}"), &[watched]).is_err());
}

#[test]
fn ways_to_aggregate_and_caps() {
    let watched = events(&[(1, 5, 0.5, 0), (1, 5, 0.25, 0), (1, 5, 0.75, 2), (1, 6, 0.1, 1)]);
    let value = |rest: &str| {
        column(
            &liked(&format!("{{input: t, user: u, item: i, time: t, {rest}}}"), std::slice::from_ref(&watched)),
            "affinity",
        )
    };
    assert_close(&value("aggregate: max"), &[0.75, 0.1]);
    assert_close(&value("aggregate: last"), &[0.5, 0.1]);
    assert_close(&value("aggregate: count"), &[3.0, 1.0]);
    assert_close(&value("aggregate: noisy_or"), &[1.0 - 0.5 * 0.75 * 0.25, 0.1]);
    assert_close(&value("cap: {per_day: 1}"), &[1.25, 0.1]);
    assert_close(&value("cap: {per_event: 0.3}"), &[0.85, 0.1]);
    assert_close(&value("cap: {per_pair: 1}"), &[1.0, 0.1]);
    assert_close(&value("cap: {per_user_items: 1}"), &[1.5]);
    assert_close(&value("min_events: 2"), &[1.5]);
    assert_close(&value("normalize: l1"), &[1.5 / 1.6, 0.1 / 1.6]);
    assert_close(&value("normalize: max, top: 1"), &[1.0]);
}

#[test]
fn weightings_follow_implicit() {
    let watched = events(&[(1, 5, 4.0, 0), (1, 6, 9.0, 0), (2, 5, 1.0, 0), (3, 7, 2.0, 0)]);
    let value = |rest: &str| {
        let outcome = liked(&format!("{{input: t, user: u, item: i, {rest}}}"), std::slice::from_ref(&watched));
        rows(&outcome, &["u", "i"]).into_iter().zip(column(&outcome, "affinity")).collect::<BTreeMap<_, _>>()
    };
    let idf = |holders: f64| 3.0_f64.ln() - (1.0 + holders).ln();
    let tfidf = value("transform: tfidf");
    assert_close(&[tfidf["1 5"], tfidf["1 6"], tfidf["2 5"]], &[2.0 * idf(2.0), 3.0 * idf(1.0), idf(2.0)]);
    let bm25 = value("transform: bm25, k1: 1.2, b: 0.75");
    let expected = 9.0 * 2.2 / (1.2 * (0.25 + 0.75 * 13.0 / (16.0 / 3.0)) + 9.0) * idf(1.0);
    assert_close(&[bm25["1 6"]], &[expected]);
    assert_close(&[value("transform: confidence, alpha: 10")["3 7"]], &[21.0]);
    let lift = value("normalize: lift, smoothing: 2");
    assert_close(&[lift["1 6"]], &[(9.0 + 2.0 * 9.0 / 16.0) / 15.0 / (9.0 / 16.0)]);
}

#[test]
fn items_hand_their_mass_to_attributes() {
    let watched = events(&[(1, 5, 4.0, 0), (1, 6, 2.0, 0)]);
    let credits = table(vec![
        ("i", ints([Some(5), Some(5), Some(6), None])),
        ("person", text([Some("a"), Some("b"), Some("a"), Some("z")])),
    ]);
    let value = |weight: &str| {
        let yaml = format!("{{input: t, user: u, item: i, propagate: {{input: c, to: person, weight: {weight}}}}}");
        let outcome = liked(&yaml, &[watched.clone(), credits.clone()]);
        rows(&outcome, &["u", "person", "affinity"])
    };
    assert_eq!(value("split"), ["1 a 4.0", "1 b 2.0"]);
    assert_eq!(value("full"), ["1 a 6.0", "1 b 4.0"]);
    // Two items are linked: `a` is on both, so its logarithm is 0; `b` is on one.
    assert_eq!(value("idf")[1], "1 a 0.0");
}

#[test]
fn yesterday_and_today_make_the_whole() {
    let mut random = Random(3);
    let all: Vec<(i64, i64, f64, i64)> = (0..200)
        .map(|_| (random.below(5) as i64, random.below(9) as i64, random.share(), random.below(20) as i64))
        .collect();
    let yaml = "{input: t, user: u, item: i, time: t, half_life: 7d, as_of: now, previous: p}";
    let yesterday: Vec<_> = all.iter().copied().filter(|row| row.3 >= 4).collect();
    let today: Vec<_> = all.iter().copied().filter(|row| row.3 < 4).collect();
    let nothing = whole(&run(&affinity(yaml), &[events(&[]), empty_previous()]).expect("nothing"));
    let full = run(&affinity(yaml), &[events(&all), nothing.clone()]).expect("all at once");
    let earlier = yaml.replace("as_of: now", "as_of: 2026-10-28");
    let before = run(&affinity(&earlier), &[events(&yesterday), nothing]).expect("yesterday");
    let incremental = run(&affinity(yaml), &[events(&today), whole(&before)]).expect("today");
    let sorted = |outcome: &Outcome| {
        let keys = rows(outcome, &["u", "i", "events", "last_at"]);
        keys.into_iter().zip(column(outcome, "affinity")).collect::<BTreeMap<_, _>>()
    };
    let (full, incremental) = (sorted(&full), sorted(&incremental));
    assert!(full.keys().eq(incremental.keys()));
    assert!(full.values().zip(incremental.values()).all(|(a, b)| (a - b).abs() <= 1e-12 * a.abs()));
}

fn empty_previous() -> RecordBatch {
    table(vec![
        ("u", int([])),
        ("i", int([])),
        ("affinity", float([])),
        ("events", int([])),
        ("last_at", times([])),
        ("as_of", times([])),
    ])
}

#[test]
fn nulls_are_dropped_and_counted() {
    let watched = table(vec![
        ("u", ints([Some(1), None, Some(1)])),
        ("i", ints([Some(5), Some(5), None])),
        ("__pipe_value", floats([Some(1.0), Some(1.0), None])),
    ]);
    let outcome = liked("{input: t, user: u, item: i}", &[watched]);
    assert_eq!(rows(&outcome, &["u", "i", "affinity"]), ["1 5 1.0"]);
    assert_eq!(outcome.dropped[0].1, 2);
    assert!(liked("{input: t, user: u, item: i, normalize: zscore}", &[events(&[])]).batches.is_empty());
}

#[test]
fn random_events_match_a_naive_oracle() {
    let mut random = Random(11);
    for _ in 0..30 {
        let all: Vec<(i64, i64, f64, i64)> = (0..random.below(150))
            .map(|_| (random.below(6) as i64, random.below(12) as i64, random.share(), random.below(90) as i64))
            .collect();
        let outcome = liked(
            "{input: t, user: u, item: i, time: t, half_life: 30d, as_of: now, transform: log1p, normalize: l2}",
            &[events(&all)],
        );
        let mut sums: BTreeMap<(i64, i64), f64> = BTreeMap::new();
        for (user, item, value, age) in &all {
            *sums.entry((*user, *item)).or_default() += value * 0.5_f64.powf(*age as f64 / 30.0);
        }
        let length =
            |user: i64| sums.iter().filter(|(k, _)| k.0 == user).map(|(_, a)| a.ln_1p().powi(2)).sum::<f64>().sqrt();
        let expected: BTreeMap<String, f64> =
            sums.iter().map(|((user, item), a)| (format!("{user} {item}"), a.ln_1p() / length(*user))).collect();
        let actual: BTreeMap<String, f64> =
            rows(&outcome, &["u", "i"]).into_iter().zip(column(&outcome, "affinity")).collect();
        assert!(actual.keys().eq(expected.keys()));
        assert_close(&actual.values().copied().collect::<Vec<_>>(), &expected.values().copied().collect::<Vec<_>>());
    }
}

#[test]
fn wrong_parameters_are_told() {
    let told = |yaml: &str| parse("affinity", yaml).expect_err("wrong")[0].to_string();
    assert!(told("{input: t, user: u, item: i, half_life: 3d}").contains("add `time`"));
    assert!(told("{input: t, user: u, item: i, alpha: 3}").contains("confidence"));
    assert!(told("{input: t, user: u, item: i, previous: p, time: t, top: 3}").contains("earlier result"));
}
