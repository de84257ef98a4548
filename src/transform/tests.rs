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

/// One user, one partition, one list of very many rows; only what is asked for takes its time.
#[test]
fn one_user_with_very_many_events() {
    let count = if cfg!(debug_assertions) { 200_000 } else { 1_000_000 };
    let events = table(vec![
        ("u", int((0..count).map(|_| 7))),
        ("i", int((0..count).map(|row| row % 100))),
        ("__pipe_value", float((0..count).map(|row| (row / 100 % 4) as f64 * 0.25))),
        ("at", times((0..count).map(|row| Some(NOW - row % 3 * DAY)))),
        ("row", int(0..count)),
        ("score", float((0..count).map(|row| (row * 7919 % count) as f64))),
    ]);
    let of = |kind: &str, yaml: &str| run(&made(kind, yaml), std::slice::from_ref(&events)).expect("a result");
    let liked = of("affinity", "{input: t, user: u, item: i, time: at, normalize: l1, top: 3}");
    assert_eq!(rows(&liked, &["u", "i", "events"]), ["7 0", "7 1", "7 2"].map(|row| format!("{row} {}", count / 100)));
    assert_close(&column(&liked, "affinity"), &[0.01; 3]);
    let alike = of("similarity", "{input: t, user: u, item: i, top: 1}");
    assert_eq!((rows(&alike, &["i"]).len(), &*rows(&alike, &["i", "similar_i", "score"])[1]), (100, "1 0 1.0"));
    let capped = "{input: t, partition_by: u, score: score, caps: [{by: i, max: 2}, {by: at, max: 2, window: 3}]}";
    assert_eq!(rows(&of("rank", capped), &["row"]).len(), 200);
    let spread = of("rank", "{input: t, partition_by: u, score: score, top: 1000, caps: {by: at, max: 1, window: 2}}");
    assert_eq!(rows(&spread, &["row"]).len(), 1000);
    let first = of("rank", "{input: t, partition_by: u, score: [{column: score, normalize: minmax}], top: 2}");
    assert_close(&column(&first, "score"), &[1.0, (count - 2) as f64 / (count - 1) as f64]);
}
