//! `similarity` against naive oracles on random interactions, vectors and texts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::array::{FixedSizeListArray, Float32Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field};

use crate::transform::testing::{
    Random, assert_close, column, columns, float, floats, int, ints, parse, rows, run, run_shuffled, run_sorted, table,
    text, whole,
};
use crate::transform::{Context, Transform};

fn similarity(yaml: &str) -> Transform {
    parse("similarity", yaml).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn similar(yaml: &str, batch: &RecordBatch) -> crate::transform::Outcome {
    let transform = similarity(yaml);
    let output = transform.output(&[&columns(batch)]).unwrap_or_else(|problems| panic!("{problems:?}"));
    let outcome = run(&transform, std::slice::from_ref(batch)).expect("a result");
    let names: Vec<_> = outcome.schema.fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, output.iter().map(|c| c.name.as_str().to_owned()).collect::<Vec<_>>());
    for seed in 1..4 {
        let again = run_shuffled(&transform, std::slice::from_ref(batch), seed).expect("a result");
        assert_eq!(whole(&again), whole(&outcome));
    }
    outcome
}

type Cells = BTreeMap<(i64, i64), f64>;

fn interactions(random: &mut Random) -> (RecordBatch, Cells) {
    let count = 20 + random.below(200);
    let rows: Vec<(i64, i64, f64)> = (0..count)
        .map(|_| (random.below(15) as i64, random.below(random_width()) as i64 * 10, 1.0 + random.below(5) as f64))
        .collect();
    let mut cells = Cells::new();
    rows.iter().for_each(|(u, i, x)| *cells.entry((*i, *u)).or_default() += x);
    let batch = table(vec![
        ("u", int(rows.iter().map(|row| row.0))),
        ("i", int(rows.iter().map(|row| row.1))),
        ("x", float(rows.iter().map(|row| row.2))),
    ]);
    (batch, cells)
}

fn random_width() -> usize {
    12
}

/// The score of source `s` and target `t` from dense columns of users.
fn oracle(metric: &str, cells: &Cells, s: i64, t: i64) -> f64 {
    let users: BTreeSet<i64> = cells.keys().map(|key| key.1).collect();
    let items: BTreeSet<i64> = cells.keys().map(|key| key.0).collect();
    let dense =
        |item: i64| -> Vec<f64> { users.iter().map(|u| cells.get(&(item, *u)).copied().unwrap_or(0.0)).collect() };
    let (x, y) = (dense(s), dense(t));
    let pairs = || x.iter().zip(&y);
    let count = |values: &[f64]| values.iter().filter(|v| **v > 0.0).count() as f64;
    let (n, m, ds, dt) = (users.len() as f64, items.len() as f64, count(&x), count(&y));
    let c = pairs().filter(|(a, b)| **a > 0.0 && **b > 0.0).count() as f64;
    let dot: f64 = pairs().map(|(a, b)| a * b).sum();
    let norm = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>().sqrt();
    let walk = |alpha: f64| -> f64 {
        let total = |user: i64| cells.iter().filter(|(k, _)| k.1 == user).map(|(_, v)| v).sum::<f64>();
        let sum_s: f64 = x.iter().sum();
        users.iter().zip(pairs()).map(|(u, (a, b))| (a / sum_s).powf(alpha) * (b / total(*u)).powf(alpha)).sum()
    };
    match metric {
        "cooccurrence" => c,
        "cosine" => dot / (norm(&x) * norm(&y)),
        "cosine, shrinkage: 10" => dot / (norm(&x) * norm(&y) + 10.0 + 1e-6),
        "cosine, support_shrinkage: 4" => dot / (norm(&x) * norm(&y)) * c / (c + 4.0),
        "asymmetric, alpha: 0.3" => c / (ds.powf(0.3) * dt.powf(0.7)),
        "jaccard" => c / (ds + dt - c),
        "dice" => 2.0 * c / (ds + dt),
        "tversky, alpha: 0.2, beta: 0.9" => c / (c + 0.2 * (ds - c) + 0.9 * (dt - c)),
        "lift" => c / (ds * dt),
        "mutual_information" => (m * c / (ds * dt)).log2(),
        "lexicographers_mi" => c * (m * c / (ds * dt)).log2(),
        "inclusion" => c / ds.min(dt),
        "llr" => {
            let cells = [(c, ds, dt), (ds - c, ds, n - dt), (dt - c, n - ds, dt), (n - ds - dt + c, n - ds, n - dt)];
            2.0 * cells.iter().filter(|k| k.0 > 0.0).map(|(k, a, b)| k * (k * n / (a * b)).ln()).sum::<f64>()
        }
        "tanimoto" => dot / (norm(&x).powi(2) + norm(&y).powi(2) - dot),
        "pearson" => {
            let mean = |values: &[f64]| values.iter().sum::<f64>() / n;
            let (mx, my) = (mean(&x), mean(&y));
            let spread = |values: &[f64], mean: f64| values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
            let spreads = (spread(&x, mx) * spread(&y, my)).sqrt();
            if spreads > 1e-12 { pairs().map(|(a, b)| (a - mx) * (b - my)).sum::<f64>() / spreads } else { 0.0 }
        }
        "p3alpha, alpha: 0.7" => walk(0.7),
        "rp3beta, alpha: 0.7, beta: 0.4" => walk(0.7) / dt.powf(0.4),
        "inner_product" => dot,
        other => panic!("no oracle for {other}"),
    }
}

const METRICS: [&str; 18] = [
    "cooccurrence",
    "cosine",
    "cosine, shrinkage: 10",
    "cosine, support_shrinkage: 4",
    "asymmetric, alpha: 0.3",
    "jaccard",
    "dice",
    "tversky, alpha: 0.2, beta: 0.9",
    "lift",
    "mutual_information",
    "lexicographers_mi",
    "inclusion",
    "llr",
    "tanimoto",
    "pearson",
    "p3alpha, alpha: 0.7",
    "rp3beta, alpha: 0.7, beta: 0.4",
    "inner_product",
];

#[test]
fn every_metric_matches_a_dense_oracle() {
    let mut random = Random(5);
    for (metric, prune) in METRICS.iter().flat_map(|m| [(m, "target"), (m, "source")]) {
        let (batch, cells) = interactions(&mut random);
        let yaml = format!("{{input: t, user: u, item: i, value: x, metric: {metric}, top: 1000, prune: {prune}}}");
        let outcome = similar(&yaml, &batch);
        let items: BTreeSet<i64> = cells.keys().map(|key| key.0).collect();
        let users = |item: i64| cells.keys().filter(|k| k.0 == item).map(|k| k.1).collect::<BTreeSet<_>>();
        let mut expected = BTreeMap::new();
        for a in &items {
            for b in items.iter().filter(|b| *b != a && !users(*a).is_disjoint(&users(**b))) {
                let (s, t) = if prune == "target" { (*b, *a) } else { (*a, *b) };
                expected.insert(format!("{a} {b}"), oracle(metric, &cells, s, t));
            }
        }
        let actual: BTreeMap<String, f64> =
            rows(&outcome, &["i", "similar_i"]).into_iter().zip(column(&outcome, "score")).collect();
        assert!(actual.keys().eq(expected.keys()), "{metric}: {actual:?} against {expected:?}");
        for (key, value) in &actual {
            let near = (value - expected[key]).abs() <= 1e-9 * value.abs().max(1.0);
            assert!(near, "{metric} {prune} {key}: {value} against {}", expected[key]);
        }
    }
}

/// Sorted rows that are never held make the same bits as rows that are, whatever the size of a block.
#[test]
fn blocks_of_items_make_the_same_result() {
    let mut random = Random(15);
    let others = ["cosine, explain: true, include_self: true", "jaccard, min_support: 2, threshold: 0.2"];
    let weighed = ["cosine, weighting: tfidf", "inner_product, weighting: bm25, max_items_per_user: 9"];
    for (at, metric) in METRICS.iter().chain(&others).chain(&weighed).enumerate() {
        let (batch, _) = interactions(&mut random);
        let value = if at.is_multiple_of(3) { "" } else { ", value: x" };
        let prune = if at.is_multiple_of(2) { "target" } else { "source" };
        let yaml = format!("{{input: t, user: u, item: i{value}, metric: {metric}, prune: {prune}, top: 3}}");
        let transform = similarity(&yaml);
        let held = run(&transform, std::slice::from_ref(&batch)).expect("a result");
        for memory in [1, 8 * 3 * 12 * 12, usize::MAX] {
            let context = Context { memory, ..Context::at(0) };
            let sorted = run_sorted(&transform, &batch, context).expect("a result");
            assert_eq!(whole(&sorted), whole(&held), "{yaml}");
            assert_eq!(sorted.dropped, held.dropped);
        }
    }
    let lacking = table(vec![
        ("u", ints([None, Some(1), Some(1), None, Some(2)])),
        ("i", ints([Some(1), None, Some(3), None, Some(3)])),
        ("x", floats([Some(1.0), Some(1.0), Some(1.0), Some(f64::NAN), None])),
    ]);
    let transform = similarity("{input: t, user: u, item: i, value: x, on_nan: drop}");
    for batch in [lacking.clone(), lacking.slice(0, 0)] {
        let held = run(&transform, std::slice::from_ref(&batch)).expect("a result");
        let sorted = run_sorted(&transform, &batch, Context::at(0)).expect("a result");
        assert_eq!(whole(&sorted), whole(&held));
        assert_eq!(sorted.dropped, held.dropped);
    }
}

#[test]
fn the_best_few_in_order_with_ties_by_item() {
    let batch = table(vec![
        ("u", ints([Some(1), Some(1), Some(1), Some(2), Some(2), None, Some(2)])),
        ("i", ints([Some(7), Some(8), Some(9), Some(7), Some(9), Some(7), None])),
    ]);
    let outcome = similar("{input: t, user: u, item: i, metric: cosine, top: 1, explain: true}", &batch);
    let names = ["i", "similar_i", "rank", "common_users", "users", "similar_users"];
    assert_eq!(rows(&outcome, &names), ["7 9 1 2 2 2", "8 7 1 1 1 2", "9 7 1 2 2 2"]);
    assert_eq!(outcome.dropped[0].1, 2);
    let own = similar("{input: t, user: u, item: i, metric: jaccard, top: 1, include_self: true}", &batch);
    assert_eq!(rows(&own, &["i", "similar_i"]), ["7 7", "8 8", "9 7"]);
    let supported = similar("{input: t, user: u, item: i, metric: lift, min_support: 2}", &batch);
    assert_eq!(rows(&supported, &["i", "similar_i"]), ["7 9", "9 7"]);
    let calm = similar("{input: t, user: u, item: i, max_items_per_user: 2}", &batch);
    assert_eq!(rows(&calm, &["i", "similar_i", "score"]), ["7 9 1.0", "9 7 1.0"]);
    assert!(similar("{input: t, user: u, item: i}", &batch.slice(0, 0)).batches.is_empty());
}

#[test]
fn weightings_follow_implicit() {
    let batch =
        table(vec![("u", int([1, 1, 2, 2, 3])), ("i", int([5, 6, 5, 7, 8])), ("x", float([4.0, 1.0, 9.0, 1.0, 1.0]))]);
    let tfidf = similar("{input: t, user: u, item: i, value: x, weighting: tfidf, metric: inner_product}", &batch);
    let idf = 4.0_f64.ln() - 3.0_f64.ln();
    assert_eq!(rows(&tfidf, &["i", "similar_i"]), ["5 7", "5 6", "6 5", "7 5"]);
    assert_close(&column(&tfidf, "score"), &[3.0 * idf * idf, 2.0 * idf * idf, 2.0 * idf * idf, 3.0 * idf * idf]);
}

#[test]
fn vectors_by_cosine_and_distance() {
    let mut random = Random(9);
    let vectors: Vec<Vec<f32>> = (0..20).map(|_| (0..19).map(|_| random.share() as f32 - 0.5).collect()).collect();
    let values = Float32Array::from(vectors.concat());
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let list = FixedSizeListArray::new(item, 19, Arc::new(values), None);
    let batch = table(vec![("i", int(0..20)), ("v", Arc::new(list))]);
    let outcome = similar("{input: t, of: vectors, item: i, vector: v, top: 100}", &batch);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let pairs = rows(&outcome, &["i", "similar_i"]);
    assert_eq!(pairs.len(), 20 * 19);
    for (pair, score) in pairs.iter().zip(column(&outcome, "score")) {
        let ids: Vec<usize> = pair.split(' ').map(|id| id.parse().expect("an id")).collect();
        let (a, b) = (&vectors[ids[0]], &vectors[ids[1]]);
        assert!((score - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()).abs() < 1e-5);
    }
    assert!(
        run(
            &similarity("{input: t, of: vectors, item: i, vector: v}"),
            &[table(vec![("i", int([1, 1])), ("v", batch.column(1).slice(0, 2))])]
        )
        .is_err()
    );
}

#[test]
fn texts_and_tags_follow_scikit_learn() {
    let batch = table(vec![
        ("i", int([1, 2, 3, 4])),
        (
            "synopsis",
            text([Some("Le chat noir et le chien"), Some("Un chat, un chat NOIR"), Some("L'été à Paris"), None]),
        ),
    ]);
    let tags = similar("{input: t, of: tags, item: i, text: synopsis, languages: french, top: 2}", &batch);
    // chat and noir are in two of the three texts, chien in one.
    let (two, one) = ((4.0_f64 / 3.0).ln() + 1.0, 2.0_f64.ln() + 1.0);
    let length = (2.0 * two * two + one * one).sqrt();
    assert_eq!(rows(&tags, &["i", "term", "rank"]), ["1 chien 1", "1 chat 2", "2 chat 1", "2 noir 2", "3 paris 1"]);
    assert_close(&column(&tags, "weight")[..2], &[one / length, two / length]);
    let outcome = similar("{input: t, of: texts, item: i, text: synopsis, languages: [french, english]}", &batch);
    assert_eq!(rows(&outcome, &["i", "similar_i"]), ["1 2", "2 1"]);
    assert_close(&column(&outcome, "score"), &[3.0 * two / (length * 5.0_f64.sqrt()); 2]);
    let explained = similar("{input: t, of: texts, item: i, text: synopsis, languages: french, explain: true}", &batch);
    assert_eq!(rows(&explained, &["i", "common_terms", "term"]), ["1 2 chat", "2 2 chat"]);
    assert_close(&column(&explained, "term_score"), &[2.0 * two / (length * 5.0_f64.sqrt()); 2]);
    let tags =
        similar("{input: t, of: tags, item: i, text: synopsis, languages: french, top: 1, explain: true}", &batch);
    assert_eq!(rows(&tags, &["i", "term", "occurrences", "texts"])[1], "2 chat 2 2");
    assert_close(&column(&tags, "idf")[1..2], &[two]);
}

#[test]
fn vectors_are_explained_by_products_and_lengths() {
    let batch = vectors_table(&[vec![3.0, 4.0], vec![0.0, 2.0]]);
    let outcome = similar("{input: t, of: vectors, item: i, vector: v, explain: true}", &batch);
    let names = ["i", "similar_i", "score", "product", "length", "similar_length"];
    assert_eq!(rows(&outcome, &names), ["0 1 0.8 8.0 5.0 2.0", "1 0 0.8 8.0 2.0 5.0"]);
}

#[test]
fn wrong_parameters_are_told() {
    let told = |yaml: &str| parse("similarity", yaml).expect_err("wrong")[0].to_string();
    assert!(told("{input: t, item: i}").contains("no `user`"));
    assert!(told("{input: t, item: i, user: u, metric: cosin}").contains("did you mean `cosine`?"));
    assert!(told("{input: t, of: texts, item: i, text: s, metric: jaccard}").contains("no meaning"));
    assert!(told("{input: t, item: i, user: u, metric: lift, shrinkage: 3}").contains("support_shrinkage"));
}

/// The nearest of clustered vectors, many of them at equal distances, told from all pairs.
#[test]
fn estimates_leave_no_vector_out() {
    let mut random = Random(77);
    for (count, width) in [(1, 3), (50, 2), (200, 5), (230, 19)] {
        let near: Vec<Vec<f32>> = (0..7).map(|_| (0..width).map(|_| random.share() as f32 - 0.5).collect()).collect();
        let mut vector = || -> Vec<f32> {
            let centre = near[random.below(near.len())].clone();
            let step = [0.0, 1e-7, 0.25][random.below(3)];
            centre.iter().map(|x| x + step * (random.share() as f32 - 0.5)).collect()
        };
        let vectors: Vec<Vec<f32>> = (0..count).map(|_| vector()).collect();
        let batch = vectors_table(&vectors);
        for metric in ["cosine", "inner_product"] {
            let yaml = format!("{{input: t, of: vectors, item: i, vector: v, metric: {metric}, top: 4}}");
            let outcome = similar(&yaml, &batch);
            let wide = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
            let score = |a: usize, b: usize| {
                let (a, b) = (wide(&vectors[a]), wide(&vectors[b]));
                let lengths = if metric == "cosine" { dot(&a, &a).sqrt() * dot(&b, &b).sqrt() } else { 1.0 };
                dot(&a, &b) / lengths
            };
            let expected: Vec<String> = (0..count)
                .flat_map(|a| {
                    let mut others: Vec<usize> = (0..count).filter(|b| *b != a).collect();
                    others.sort_by(|b, c| score(a, *c).total_cmp(&score(a, *b)).then(b.cmp(c)));
                    others.into_iter().take(4).map(move |b| format!("{a} {b}"))
                })
                .collect();
            assert_eq!(rows(&outcome, &["i", "similar_i"]), expected, "{metric} of {count} vectors");
        }
    }
}

fn vectors_table(vectors: &[Vec<f32>]) -> RecordBatch {
    let width = i32::try_from(vectors[0].len()).expect("short vectors");
    let field = Arc::new(Field::new("item", DataType::Float32, true));
    let values = Arc::new(Float32Array::from(vectors.concat()));
    let lists = FixedSizeListArray::try_new(field, width, values, None).expect("vectors of one length");
    table(vec![("i", int((0_i64..).take(vectors.len()))), ("v", Arc::new(lists))])
}
