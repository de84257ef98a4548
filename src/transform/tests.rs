//! `train`, `recommend` and `evaluate` against naive oracles and values computed by hand.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;

use super::testing::{
    DAY, NOW, Random, assert_close, column, columns, float, int, parse, rows, run, run_shuffled, table, times, whole,
};
use super::{Outcome, Transform};

fn made(kind: &str, yaml: &str) -> Transform {
    parse(kind, yaml).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn result(kind: &str, yaml: &str, inputs: &[RecordBatch]) -> Outcome {
    let transform = made(kind, yaml);
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

fn history(random: &mut Random, items: usize) -> (RecordBatch, BTreeSet<(i64, i64)>) {
    let cells: BTreeSet<(i64, i64)> =
        (0..items * 6).map(|_| (random.below(40) as i64, random.below(items) as i64)).collect();
    let batch = table(vec![("u", int(cells.iter().map(|c| c.0))), ("i", int(cells.iter().map(|c| c.1)))]);
    (batch, cells)
}

#[test]
fn ease_is_the_inverse_of_the_gram_matrix() {
    let mut random = Random(21);
    for items in [3, 20, 70] {
        let (batch, cells) = history(&mut random, items);
        let outcome = result("train", "{input: t, user: u, item: i, regularization: 2.5}", &[batch]);
        let present: Vec<i64> = cells.iter().map(|c| c.1).collect::<BTreeSet<_>>().into_iter().collect();
        let both = |a: i64, b: i64| cells.iter().filter(|c| c.1 == a && cells.contains(&(c.0, b))).count() as f64;
        let gram = |a: i64, b: i64| both(a, b) + if a == b { 2.5 } else { 0.0 };
        let pairs = rows(&outcome, &["i", "similar_i"]);
        let weights: BTreeMap<String, f64> = pairs.into_iter().zip(column(&outcome, "score")).collect();
        // B minimises ‖X − XB‖² + λ‖B‖² with a zero diagonal: for every target t and source s ≠ t, Σ_k G_sk B_kt = G_st.
        let weight = |target: i64, source: i64| weights.get(&format!("{target} {source}")).copied().unwrap_or(0.0);
        for target in present.iter().take(3) {
            for source in present.iter().filter(|source| *source != target) {
                let sum: f64 = present.iter().map(|k| gram(*source, *k) * weight(*target, *k)).sum();
                assert!((sum - gram(*source, *target)).abs() < 1e-8, "{sum} against {}", gram(*source, *target));
            }
        }
        assert!(weights.keys().all(|pair| pair.split(' ').collect::<BTreeSet<_>>().len() == 2));
    }
}

#[test]
fn a_model_is_named_by_its_data_and_limited() {
    let (batch, _) = history(&mut Random(4), 10);
    let model = |yaml: &str| rows(&result("train", yaml, std::slice::from_ref(&batch)), &["model"])[0].clone();
    let first = model("{input: t, user: u, item: i, top: 3}");
    assert_eq!(first.len(), 64);
    assert_ne!(first, model("{input: t, user: u, item: i, top: 3, regularization: 1}"));
    let small = made("train", "{input: t, user: u, item: i, max_items: 3}");
    assert!(run(&small, &[batch]).expect_err("too many items").to_string().contains("`max_items`"));
}

#[test]
fn scores_are_sums_over_known_items() {
    let mut random = Random(8);
    let (batch, cells) = history(&mut random, 12);
    let likes: BTreeMap<(i64, i64), f64> = cells.iter().map(|cell| (*cell, random.share())).collect();
    let known = table(vec![
        ("u", batch.column(0).clone()),
        ("i", batch.column(1).clone()),
        ("a", float(likes.values().copied())),
    ]);
    let pairs: BTreeMap<(i64, i64), f64> =
        (0..60).map(|_| ((random.below(12) as i64, random.below(14) as i64), random.share() - 0.3)).collect();
    let model = table(vec![
        ("i", int(pairs.keys().map(|k| k.0))),
        ("similar_i", int(pairs.keys().map(|k| k.1))),
        ("score", float(pairs.values().copied())),
    ]);
    for prune in ["target", "source"] {
        let yaml =
            format!("{{input: t, user: u, item: i, value: a, model: m, prune: {prune}, top: 1000, explain: true}}");
        let outcome = result("recommend", &yaml, &[known.clone(), model.clone()]);
        let mut expected: BTreeMap<String, f64> = BTreeMap::new();
        for ((user, item), a) in &likes {
            for ((left, right), w) in &pairs {
                let (source, target) = if prune == "target" { (right, left) } else { (left, right) };
                if source == item && !likes.contains_key(&(*user, *target)) {
                    *expected.entry(format!("{user} {target}")).or_default() += a * w;
                }
            }
        }
        expected.retain(|_, score| *score > 0.0);
        let actual: BTreeMap<String, f64> =
            rows(&outcome, &["u", "i"]).into_iter().zip(column(&outcome, "score")).collect();
        assert!(actual.keys().eq(expected.keys()));
        assert_close(&actual.values().copied().collect::<Vec<_>>(), &expected.values().copied().collect::<Vec<_>>());
    }
}

#[test]
fn those_without_history_get_the_fallback() {
    let known = table(vec![("u", int([1])), ("i", int([5]))]);
    let model = table(vec![("i", int([6, 7])), ("similar_i", int([5, 5])), ("score", float([0.5, 0.9]))]);
    let seen = table(vec![("u", int([2])), ("i", int([9]))]);
    let users = table(vec![("u", int([3]))]);
    let popular = table(vec![("i", int([5, 9, 8])), ("n", int([100, 50, 10]))]);
    let yaml = "{input: t, user: u, item: i, model: m, top: 3, seen: s, users: all_users, fallback: {input: p, score: n}, explain: true}";
    let outcome = result("recommend", yaml, &[known, model, seen, users, popular]);
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
    assert_eq!(rows(&outcome, &["u", "i", "rank", "fallback", "because_i"]), expected);
}

#[test]
fn metrics_by_hand() {
    // User 1: hits at places 1 and 3 of 3, truth of 3; user 2: recommended, no hit; user 3: in the truth only.
    let lists =
        table(vec![("u", int([1, 1, 1, 2, 4])), ("i", int([10, 11, 12, 10, 13])), ("rank", int([1, 2, 3, 1, 1]))]);
    let truth = table(vec![("u", int([1, 1, 1, 2, 3])), ("i", int([10, 12, 14, 99, 10]))]);
    let train = table(vec![("u", int([5, 6, 7, 8])), ("i", int([10, 10, 11, 77]))]);
    let outcome = result("evaluate", "{input: r, truth: t, train: h, user: u, item: i, k: 3}", &[lists, truth, train]);
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

/// Rows sorted by a column and given to a kernel part by part make the same result as all rows at once.
#[test]
fn parts_put_together_are_the_whole() {
    let mut random = Random(31);
    let count = 400;
    let mut users: Vec<i64> = (0..count).map(|_| random.below(30) as i64).collect();
    users.sort_unstable();
    let batch = table(vec![
        ("u", int(users.iter().copied())),
        ("i", int((0..count).map(|_| random.below(20) as i64))),
        ("x", float((0..count).map(|_| random.share()))),
        ("at", times((0..count).map(|_| Some(NOW - random.below(90) as i64 * DAY)))),
    ]);
    let cases = [
        ("affinity", "{input: t, user: u, item: i, time: at, half_life: 9d, normalize: l1, top: 5}"),
        (
            "rank",
            "{input: t, partition_by: u, top: 3, score: [{column: x, normalize: minmax}], decay: {column: at, shape: exponential, scale: 5d, origin: latest}}",
        ),
    ];
    for (kind, yaml) in cases {
        let transform = made(kind, yaml);
        let parts = transform.parts().expect("users are on their own");
        assert_eq!(parts.by.iter().map(|name| name.lower()).collect::<Vec<_>>(), ["u"]);
        assert_eq!(parts.newest.map(|name| name.lower()).as_deref(), Some("at"));
        let newest = super::newest(batch.column_by_name("AT").expect("times")).expect("times");
        let cut = users.iter().position(|user| *user == 12).expect("the user is there");
        let some = |from: usize, rows: usize| {
            let context = super::Context { newest, ..super::Context::at(NOW) };
            let part = batch.slice(from, rows);
            let transform = &transform;
            transform.run(vec![(part.schema(), vec![part])], context).expect("a result")
        };
        let (first, rest) = (whole(&some(0, cut)), whole(&some(cut, users.len() - cut)));
        let together = concat_batches(&first.schema(), [&first, &rest]).expect("one schema");
        assert_eq!(together, whole(&run(&transform, std::slice::from_ref(&batch)).expect("a result")));
    }
    let global = "{input: t, partition_by: u, score: [{column: x, normalize: minmax, scope: global}]}";
    assert_eq!(parse("rank", global).ok().and_then(|rank| rank.parts()), None);
}
