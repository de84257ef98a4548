//! Each part of `rank` against values computed by hand, and the whole against a naive oracle on random tables.

use datafusion::arrow::array::RecordBatch;

use crate::transform::testing::{
    DAY, NOW, Random, assert_close, column, columns, flags, float, floats, int, ints, parse, rows, run, run_shuffled,
    table, text, times,
};
use crate::transform::{Outcome, Transform, TransformError};

fn rank(yaml: &str) -> Transform {
    parse("rank", yaml).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn ranked(yaml: &str, inputs: &[RecordBatch]) -> Outcome {
    let transform = rank(yaml);
    let inputs_columns: Vec<_> = inputs.iter().map(columns).collect();
    let borrowed: Vec<_> = inputs_columns.iter().map(Vec::as_slice).collect();
    let output = transform.output(&borrowed).unwrap_or_else(|problems| panic!("{problems:?}"));
    let outcome = run(&transform, inputs).expect("a result");
    let names: Vec<_> = outcome.schema.fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, output.iter().map(|c| c.name.as_str().to_owned()).collect::<Vec<_>>());
    for seed in 1..4 {
        let again = run_shuffled(&transform, inputs, seed).expect("a result");
        assert_eq!(crate::transform::testing::whole(&again), crate::transform::testing::whole(&outcome));
    }
    outcome
}

fn refused(yaml: &str) -> String {
    let problems = parse("rank", yaml).expect_err("wrong parameters");
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn people() -> RecordBatch {
    table(vec![
        ("u", int([1, 1, 1, 1, 2, 2])),
        ("item", int([10, 11, 12, 13, 10, 12])),
        ("s", float([3.0, 5.0, 3.0, 1.0, -1.0, 4.0])),
        ("category", text([Some("a"), Some("a"), Some("b"), None, Some("a"), Some("b")])),
    ])
}

#[test]
fn the_best_rows_of_each_partition_with_ties_by_item() {
    let outcome = ranked("{input: t, partition_by: u, score: s, top: 2, tie_break: item}", &[people()]);
    assert_eq!(
        rows(&outcome, &["u", "item", "score", "rank"]),
        ["1 11 5.0 1", "1 10 3.0 2", "2 12 4.0 1", "2 10 -1.0 2"]
    );
    let global = ranked("{input: t, score: s, top: 3}", &[people()]);
    assert_eq!(rows(&global, &["u", "item", "rank"]), ["1 11 1", "2 12 2", "1 10 3"]);
}

#[test]
fn every_way_to_number_follows_sql() {
    let scores = table(vec![("s", float([9.0, 7.0, 7.0, 7.0, 2.0]))]);
    let numbers = |method: &str| {
        let outcome = ranked(&format!("{{input: t, score: s, method: {method}}}"), std::slice::from_ref(&scores));
        rows(&outcome, &["rank"]).join(" ")
    };
    assert_eq!(numbers("rank"), "1 2 2 2 5");
    assert_eq!(numbers("dense_rank"), "1 2 2 2 3");
    assert_eq!(numbers("max"), "1 4 4 4 5");
    assert_eq!(numbers("average"), "1.0 3.0 3.0 3.0 5.0");
    assert_eq!(numbers("percent_rank"), "0.0 0.25 0.25 0.25 1.0");
    assert_eq!(numbers("cume_dist"), "0.2 0.8 0.8 0.8 1.0");
    assert_eq!(numbers("ntile, buckets: 2"), "1 1 1 2 2");
    assert_eq!(numbers("ntile, buckets: 7"), "1 2 3 4 5");
    assert_eq!(numbers("rank, top: 2"), "1 2 2 2");
}

#[test]
fn normalising_follows_its_formulas() {
    let scores = table(vec![("s", floats([Some(1.0), Some(2.0), Some(2.0), Some(7.0), None]))]);
    let normal = |how: &str| {
        let yaml = format!("{{input: t, score: [{{column: s, normalize: {how}, missing: -9}}]}}");
        column(&ranked(&yaml, std::slice::from_ref(&scores)), "score")
    };
    assert_close(&normal("minmax"), &[1.0, 1.0 / 6.0, 1.0 / 6.0, 0.0, -9.0]);
    let sigma = (22.0_f64 / 4.0).sqrt();
    assert_close(&normal("zscore"), &[4.0 / sigma, -1.0 / sigma, -1.0 / sigma, -2.0 / sigma, -9.0]);
    // Quartiles of 1, 2, 2, 7 by linear interpolation: 1.75, 2, 3.25.
    assert_close(&normal("robust"), &[5.0 / 1.5, 0.0, 0.0, -1.0 / 1.5, -9.0]);
    assert_close(&normal("l1"), &[7.0 / 12.0, 2.0 / 12.0, 2.0 / 12.0, 1.0 / 12.0, -9.0]);
    let length = 58.0_f64.sqrt();
    assert_close(&normal("l2"), &[7.0 / length, 2.0 / length, 2.0 / length, 1.0 / length, -9.0]);
    let total = 3.5_f64.exp() + 2.0 * 1.0_f64.exp() + 0.5_f64.exp();
    let soft = [3.5, 1.0, 1.0, 0.5].map(|x: f64| x.exp() / total);
    assert_close(&normal("softmax, temperature: 2")[..4], &soft);
    assert_close(&normal("rank"), &[1.0, 0.75, 0.75, 0.25, -9.0]);
    assert_close(&normal("quantile"), &[1.0, 0.75, 0.75, 0.25, -9.0]);
}

#[test]
fn a_constant_column_is_zero_and_an_infinite_one_is_refused() {
    let constant = table(vec![("s", float([4.0, 4.0]))]);
    for how in ["minmax", "zscore", "robust"] {
        let yaml = format!("{{input: t, score: [{{column: s, normalize: {how}}}]}}");
        assert_close(&column(&ranked(&yaml, std::slice::from_ref(&constant)), "score"), &[0.0, 0.0]);
    }
    let infinite = table(vec![("s", float([f64::INFINITY, 1.0, f64::NEG_INFINITY]))]);
    assert_eq!(rows(&ranked("{input: t, score: s}", std::slice::from_ref(&infinite)), &["s"]), ["inf", "1.0", "-inf"]);
    let error = run(&rank("{input: t, score: [{column: s, normalize: minmax}]}"), &[infinite]).expect_err("refused");
    assert!(error.to_string().contains("infinite"), "{error}");
}

#[test]
fn nan_is_refused_or_dropped_and_null_is_dropped_and_counted() {
    let wrong = table(vec![("s", floats([Some(f64::NAN), None, Some(1.0)]))]);
    let error = run(&rank("{input: t, score: s}"), std::slice::from_ref(&wrong)).expect_err("refused");
    assert!(matches!(error, TransformError::Data(_)));
    let outcome = ranked("{input: t, score: s, on_nan: drop}", &[wrong]);
    assert_eq!(rows(&outcome, &["s", "rank"]), ["1.0 1"]);
    assert_eq!(outcome.dropped, [("with NaN".to_owned(), 1), ("without a score".to_owned(), 1)]);
}

#[test]
fn blends_and_fusions() {
    let two =
        table(vec![("a", floats([Some(1.0), Some(3.0), Some(2.0)])), ("b", floats([Some(10.0), Some(30.0), None]))]);
    let score = |rest: &str| column(&ranked(&format!("{{input: t, {rest}}}"), std::slice::from_ref(&two)), "score");
    let both = "score: [{column: a, weight: 2}, {column: b, weight: 0.1}]";
    assert_close(&score(both), &[9.0, 3.0]);
    assert_close(&score(&format!("{both}, missing: 0")), &[9.0, 4.0, 3.0]);
    assert_close(&score(&format!("{both}, combine: product")), &[9.0 * 30.0_f64.powf(0.1), 10.0_f64.powf(0.1)]);
    assert_close(&score(&format!("{both}, combine: max")), &[6.0, 2.0]);
    assert_close(&score(&format!("{both}, combine: min")), &[3.0, 1.0]);
    // Ranks in a: 3, 1, 2; in b: 2, 1, none.
    assert_close(&score(&format!("{both}, combine: rrf")), &[2.1 / 61.0, 2.0 / 63.0 + 0.1 / 62.0, 2.0 / 62.0]);
    assert_close(&score(&format!("{both}, combine: borda")), &[2.1, 4.0 / 3.0, 2.0 / 3.0 + 0.05]);
}

#[test]
fn few_votes_pull_to_the_mean() {
    let rated = table(vec![("r", float([5.0, 3.0])), ("v", ints([Some(10), None]))]);
    let yaml = "{input: t, score: [{column: r, bayes: {votes: v, prior_votes: 30}}]}";
    assert_close(&column(&ranked(yaml, std::slice::from_ref(&rated)), "score"), &[(50.0 + 120.0) / 40.0, 4.0]);
    let fixed = "{input: t, score: [{column: r, bayes: {votes: v, prior_votes: 30, mean: 2}}]}";
    assert_close(&column(&ranked(fixed, &[rated]), "score"), &[(50.0 + 60.0) / 40.0, 2.0]);
}

#[test]
fn decay_follows_elasticsearch_and_the_linear_one_is_half_the_age_over_the_greatest_age() {
    let aired = [0, 1, 3, 7, 20].map(|days| Some(NOW - days * DAY));
    let shows =
        table(vec![("w", float([8.0; 5])), ("at", times(aired)), ("max_age", float([7.0, 7.0, 3.0, 7.0, 7.0]))]);
    let score = |decay: &str| {
        column(
            &ranked(&format!("{{input: t, score: w, tie_break: at, decay: {decay}}}"), std::slice::from_ref(&shows)),
            "score",
        )
    };
    let linear = |age: f64, max: f64| 8.0 * (1.0 - 0.5 * age / max).max(0.0);
    assert_close(&score("{column: at, scale: 7d}"), &[8.0, linear(1.0, 7.0), linear(3.0, 7.0), 4.0, 0.0]);
    let by_row = score("{column: at, scale_days: max_age}");
    assert_close(&by_row, &[8.0, linear(1.0, 7.0), 4.0, 4.0, 0.0]);
    let exponential = [0.0, 1.0, 3.0, 7.0, 20.0].map(|age: f64| 8.0 * 0.5_f64.powf(age / 7.0));
    assert_close(&score("{column: at, scale: 7d, shape: exponential}"), &exponential);
    let gauss = [0.0, 0.0, 2.0, 6.0, 19.0].map(|age: f64| 8.0 * 0.25_f64.powf(age * age / 49.0));
    assert_close(&score("{column: at, scale: 7d, shape: gauss, decay: 0.25, offset: 1d}"), &gauss);
}

#[test]
fn exclusions_by_key_and_age() {
    let seen = table(vec![
        ("u", ints([Some(1), Some(1), None, Some(2)])),
        ("program", int([11, 10, 12, 12])),
        ("at", times([Some(NOW - DAY), Some(NOW - 40 * DAY), Some(NOW), None])),
    ]);
    let all = ranked(
        "{input: t, partition_by: u, score: s, exclude: {input: seen, keys: {u: u, item: program}}}",
        &[people(), seen.clone()],
    );
    assert_eq!(rows(&all, &["u", "item"]), ["1 12", "1 13", "2 10"]);
    assert_eq!(all.dropped, [("excluded".to_owned(), 3)]);
    let recent = "exclude: {input: seen, keys: {u: u, item: program}, time: at, max_age: 30d}";
    let recent = ranked(&format!("{{input: t, partition_by: u, score: s, {recent}}}"), &[people(), seen]);
    assert_eq!(rows(&recent, &["u", "item"]), ["1 10", "1 12", "1 13", "2 12", "2 10"]);
}

#[test]
fn duplicates_caps_windows_and_quotas() {
    let list = |rest: &str| {
        let outcome = ranked(&format!("{{input: t, score: s, top: 6, {rest}}}"), &[catalogue()]);
        rows(&outcome, &["item"]).join(" ")
    };
    assert_eq!(list("tie_break: item"), "1 2 3 4 5 6");
    assert_eq!(list("dedupe: category"), "1 4 7 8");
    assert_eq!(list("caps: {by: category, max: 2}"), "1 2 4 5 7 8");
    assert_eq!(list("caps: {by: category, max: 1, window: 2}"), "1 4 2 5 3 6");
    assert_eq!(list("caps: [{by: category, max: 2}, {by: channel, max: 2}]"), "1 2 4 7 8");
}

/// Lists under caps, windows and a quota against the rule said out: go through all rows for every place.
#[test]
fn rules_on_random_rows_match_a_naive_walk() {
    let mut random = Random(3);
    for _ in 0..80 {
        let count = random.below(40);
        let kinds: Vec<usize> = (0..count).map(|_| random.below(5)).collect();
        let channels: Vec<usize> = (0..count).map(|_| random.below(4)).collect();
        let films: Vec<bool> = (0..count).map(|_| random.below(4) == 0).collect();
        let (most, few, window) = (1 + random.below(4), 1 + random.below(2), 1 + random.below(4));
        let (top, min) = (6 + random.below(20), random.below(5).max(1));
        // Kind 0 is NULL and free.
        let kind = kinds.iter().map(|kind| (*kind > 0).then_some(*kind as i64));
        let batch = table(vec![
            ("item", int(0..count as i64)),
            ("s", float((0..count).map(|item| -(item as f64)))),
            ("kind", ints(kind)),
            ("channel", int(channels.iter().map(|channel| *channel as i64))),
            ("__pipe_quota_0", flags(films.clone())),
        ]);
        let yaml = format!(
            "{{input: t, score: s, top: {top}, quotas: {{where: film, min: {min}}},
            caps: [{{by: kind, max: {most}}}, {{by: channel, max: {few}, window: {window}}}]}}"
        );
        let mut chosen: Vec<usize> = Vec::new();
        while chosen.len() < top {
            let has = |at: usize, among: &[usize]| among.iter().filter(|other| kinds[**other] == kinds[at]).count();
            let left: Vec<usize> =
                (0..count).filter(|at| !chosen.contains(at) && (kinds[*at] == 0 || has(*at, &chosen) < most)).collect();
            let recent = &chosen[chosen.len() - chosen.len().min(window - 1)..];
            let crowd = |at: &usize| recent.iter().filter(|other| channels[**other] == channels[*at]).count();
            let films_of = |among: &[usize]| among.iter().filter(|at| films[**at]).count();
            let missing = min.saturating_sub(films_of(&chosen)).min(films_of(&left));
            let owed = missing > 0 && top - chosen.len() <= missing;
            let Some(next) = left.iter().find(|at| crowd(at) < few && (!owed || films[**at])) else { break };
            chosen.push(*next);
        }
        let outcome = run(&rank(&yaml), &[batch]).expect("a result");
        assert_eq!(rows(&outcome, &["item"]), chosen.iter().map(ToString::to_string).collect::<Vec<_>>(), "{yaml}");
    }
}

/// Items 1 to 3 of category a, 4 to 6 of b, 7 and 8 of none, worse from item to item.
fn catalogue() -> RecordBatch {
    table(vec![
        ("item", int(1..=8)),
        ("s", float((1..=8).map(|item| 10.0 - f64::from(item)))),
        ("category", text(["a", "a", "a", "b", "b", "b"].into_iter().map(Some).chain([None, None]))),
        ("channel", text([Some("x"), Some("x"), Some("y"), Some("y"), Some("x"), Some("x"), Some("y"), None])),
    ])
}

#[test]
fn quotas_reserve_the_last_places() {
    let yaml = "{input: t, score: s, top: 4, quotas: {where: item >= 6, min: 2}}";
    let mut named = vec![("__pipe_quota_0", flags((1..=8).map(|item| item >= 6)))];
    let catalogue = catalogue();
    let names = ["item", "s", "category", "channel"];
    named.extend(names.iter().zip(catalogue.columns()).map(|(name, column)| (*name, column.clone())));
    let outcome = run(&rank(yaml), &[table(named)]).expect("a result");
    assert_eq!(rows(&outcome, &["item", "rank"]), ["1 1", "2 2", "6 3", "7 4"]);
    assert!(outcome.schema.column_with_name("__PIPE_QUOTA_0").is_none());
}

#[test]
fn marginal_relevance_by_attribute_and_by_pairs() {
    // Relevance of the items: 1, 6/7, 5/7, 4/7, 3/7, 2/7, 1/7, 0. After item 1, those of its category lose 0.5.
    let yaml = "{input: t, score: s, top: 4, diversity: {method: mmr, lambda: 0.5, attributes: category}}";
    let outcome = ranked(yaml, &[catalogue()]);
    assert_eq!(rows(&outcome, &["item"]).join(" "), "1 4 7 8");
    let pairs = table(vec![("item", int([1, 3])), ("similar_item", int([2, 1])), ("score", float([0.9, 0.2]))]);
    let yaml =
        "{input: t, score: s, top: 3, diversity: {method: mmr, lambda: 0.5, similarity: {input: p, item: item}}}";
    // Second: item 2 has 3/7 − 0.45, item 3 has 5/14 − 0.1 = 0.257, item 4 has 2/7 = 0.286.
    assert_eq!(rows(&ranked(yaml, &[catalogue(), pairs]), &["item"]).join(" "), "1 4 3");
}

#[test]
fn greedy_determinants_match_brute_force() {
    let mut random = Random(7);
    let count = 9;
    let scores: Vec<f64> = (0..count).map(|_| random.share()).collect();
    let mut pairs = (Vec::new(), Vec::new(), Vec::new());
    let mut likeness = vec![vec![0.0; count]; count];
    #[expect(clippy::needless_range_loop, reason = "a symmetric matrix is filled by both indices")]
    for a in 0..count {
        likeness[a][a] = 1.0;
        for b in 0..a {
            let value = random.share() * 0.3;
            (likeness[a][b], likeness[b][a]) = (value, value);
            pairs.0.push(a as i64);
            pairs.1.push(b as i64);
            pairs.2.push(value);
        }
    }
    let items = table(vec![("item", int(0..count as i64)), ("s", float(scores.clone()))]);
    let pairs = table(vec![("a", int(pairs.0)), ("b", int(pairs.1)), ("score", float(pairs.2))]);
    let yaml = "{input: t, score: s, top: 5, diversity: {method: dpp, lambda: 0.6, similarity: {input: p, item: item, left: a, right: b}}}";
    let outcome = ranked(yaml, &[items, pairs]);
    let (low, high) = (scores.iter().copied().fold(1.0, f64::min), scores.iter().copied().fold(0.0, f64::max));
    let quality: Vec<f64> = scores.iter().map(|s| (0.6 / 0.8 * (s - low) / (high - low)).exp()).collect();
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < 5 {
        let with = |next: usize| -> f64 {
            let set: Vec<usize> = chosen.iter().copied().chain([next]).collect();
            let kernel = |a: usize, b: usize| quality[a] * likeness[a][b] * quality[b];
            determinant(set.iter().map(|a| set.iter().map(|b| kernel(*a, *b)).collect()).collect())
        };
        let left = (0..count).filter(|next| !chosen.contains(next));
        let best = left.max_by(|a, b| with(*a).total_cmp(&with(*b))).expect("some are left");
        chosen.push(best);
    }
    assert_eq!(rows(&outcome, &["item"]), chosen.iter().map(ToString::to_string).collect::<Vec<_>>());
}

fn determinant(mut matrix: Vec<Vec<f64>>) -> f64 {
    let mut product = 1.0;
    for at in 0..matrix.len() {
        let pivot = matrix[at].clone();
        product *= pivot[at];
        for row in matrix.iter_mut().skip(at + 1) {
            let factor = row[at] / pivot[at];
            row.iter_mut().zip(&pivot).for_each(|(value, above)| *value -= factor * above);
        }
    }
    product
}

#[test]
fn calibration_follows_the_profile() {
    let profile = table(vec![("category", text([Some("a"), Some("b")])), ("weight", float([1.0, 3.0]))]);
    let diversity = "{method: calibrated, lambda: 0, attributes: category, profile: {input: p, weight: weight}}";
    let yaml = format!("{{input: t, score: s, top: 4, diversity: {diversity}}}");
    // The divergence from 1/4 a, 3/4 b is least with b, then b or a as the shares come nearest to the profile.
    let outcome = ranked(&yaml, &[catalogue(), profile]);
    let mut categories = rows(&outcome, &["category"]);
    categories.sort();
    assert_eq!(categories.join(" "), "a b b b");
    assert_eq!(rows(&outcome, &["item"])[0], "4");
}

#[test]
fn xquad_opens_aspects() {
    // All have equal aspects; after item 1 of relevance 1, nothing of its category is open any more.
    let yaml = "{input: t, score: s, top: 3, diversity: {method: xquad, lambda: 0.1, attributes: category}}";
    assert_eq!(rows(&ranked(yaml, &[catalogue()]), &["item"]).join(" "), "1 4 5");
}

#[test]
fn short_lists_are_filled_from_the_fallback() {
    let popular = table(vec![
        ("item", int([11, 12, 14, 15])),
        ("viewers", int([9, 8, 7, 6])),
        ("category", text([Some("p"); 4])),
    ]);
    let seen = table(vec![("u", int([2])), ("item", int([14]))]);
    let users = table(vec![("u", int([1, 3]))]);
    let yaml = "{input: t, partition_by: u, score: s, top: 5, exclude: {input: seen, keys: [u, item]},
                 backfill: {input: popular, keys: item, score: viewers, partitions: users}}";
    let outcome = ranked(yaml, &[people(), seen, popular, users]);
    let expected = [
        "1 11 1 false a",
        "1 10 2 false a",
        "1 12 3 false b",
        "1 13 4 false ",
        "1 14 5 true p",
        "2 12 1 false b",
        "2 10 2 false a",
        "2 11 3 true p",
        "2 15 4 true p",
        "3 11 1 true p",
        "3 12 2 true p",
        "3 14 3 true p",
        "3 15 4 true p",
    ];
    assert_eq!(rows(&outcome, &["u", "item", "rank", "backfilled", "category"]), expected);
}

#[test]
fn explain_gives_the_components() {
    let yaml = "{input: t, partition_by: u, score: [{column: s, weight: 2, normalize: minmax}], explain: true, top: 1}";
    let outcome = ranked(yaml, &[people()]);
    assert_eq!(rows(&outcome, &["s_normalized", "s_contribution", "score"]), ["1.0 2.0 2.0", "1.0 2.0 2.0"]);
}

#[test]
fn empty_and_single_rows() {
    let empty = people().slice(0, 0);
    let outcome = ranked("{input: t, partition_by: u, score: [{column: s, normalize: zscore}], top: 3}", &[empty]);
    assert_eq!((outcome.batches.len(), outcome.schema.fields().len()), (0, 6));
    let one = ranked("{input: t, score: [{column: s, normalize: zscore}]}", &[people().slice(1, 1)]);
    assert_eq!(rows(&one, &["item", "score", "rank"]), ["11 0.0 1"]);
}

#[test]
fn wrong_parameters_are_told_with_their_places() {
    assert!(refused("{input: t, score: s, tops: 3}").contains("did you mean `top`?"));
    assert!(refused("{input: t, score: [{weight: 2}]}").contains("has no `column`"));
    assert!(refused("{input: t, score: s, diversity: {method: mmr}, top: 3}").contains("conflicting-keys"));
    assert!(refused("{input: t, score: s, method: rank, top: 3, caps: {by: c, max: 1}}").contains("row_number"));
    assert!(refused("{input: t, score: s, decay: {column: d}}").contains("`scale`"));
    let transform = rank("{input: t, partition_by: uu, score: categori}");
    let columns = columns(&people());
    let problems = transform.output(&[&columns]).expect_err("unknown columns");
    let told = problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[1].contains("`t` has no column `categori` (hint: did you mean `category`?)"), "{told:?}");
    let wrong_type = rank("{input: t, score: category}").output(&[&columns]).expect_err("text");
    assert!(wrong_type[0].message.contains("must be a number"), "{wrong_type:?}");
}

#[test]
fn random_tables_match_a_naive_oracle() {
    let mut random = Random(42);
    for _ in 0..60 {
        let count = random.below(60);
        let users: Vec<i64> = (0..count).map(|_| random.below(4) as i64).collect();
        let a: Vec<Option<f64>> = (0..count).map(|_| (random.below(8) > 0).then(|| random.below(9) as f64)).collect();
        let b: Vec<f64> = (0..count).map(|_| random.share()).collect();
        let items: Vec<i64> = (0..count as i64).collect();
        let batch = table(vec![
            ("u", int(users.clone())),
            ("item", int(items)),
            ("a", floats(a.clone())),
            ("b", float(b.clone())),
        ]);
        let top = 1 + random.below(12);
        let yaml = format!("{{input: t, partition_by: u, top: {top}, tie_break: item,
            score: [{{column: a, weight: 0.3, normalize: minmax}}, {{column: b, weight: 0.7, normalize: minmax, scope: global}}]}}");
        let outcome = ranked(&yaml, &[batch]);
        let scale = |values: Vec<f64>, x: f64| {
            let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
            if low == high { 0.0 } else { (x - low) / (high - low) }
        };
        let mut expected = Vec::new();
        for user in 0..4 {
            let mine: Vec<usize> = (0..count).filter(|row| users[*row] == user).collect();
            let present: Vec<f64> = mine.iter().filter_map(|row| a[*row]).collect();
            let score = |row: usize| Some(0.3 * scale(present.clone(), a[row]?) + 0.7 * scale(b.clone(), b[row]));
            let mut scored: Vec<(f64, usize)> = mine.iter().filter_map(|row| Some((score(*row)?, *row))).collect();
            scored.sort_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)));
            let place = |(at, (_, row)): (usize, &(f64, usize))| format!("{user} {row} {}", at + 1);
            expected.extend(scored.iter().take(top).enumerate().map(place));
        }
        assert_eq!(rows(&outcome, &["u", "item", "rank"]), expected);
    }
}
