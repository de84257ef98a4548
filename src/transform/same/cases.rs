//! Random parameters and tables of every transform that has an SQL form.

use super::{Case, Cells, Spec};

const CANDIDATES: Spec = &[
    ("item", Cells::Row),
    ("u", Cells::Ids(4)),
    ("a", Cells::Quarters),
    ("b", Cells::Decimals),
    ("votes", Cells::Ids(9)),
    ("at", Cells::Times),
    ("days", Cells::Ids(9)),
    ("category", Cells::Words(4)),
];
const SEEN: Spec = &[("who", Cells::Ids(4)), ("item", Cells::Ids(12)), ("at", Cells::Times)];
const POPULAR: Spec = &[("item", Cells::Ids(30)), ("viewers", Cells::Quarters), ("category", Cells::Words(4))];

#[test]
fn rank_of_one_column_by_every_method() {
    Case {
        kind: "rank",
        base: "input: t",
        choices: &[
            &["score: a", "score: b", "score: [{column: a, missing: 0.5}]"],
            &["", "partition_by: u", "partition_by: [u, category]"],
            &["", "top: 1", "top: 3"],
            &[
                "",
                "method: rank",
                "method: dense_rank",
                "method: max",
                "method: average",
                "method: percent_rank",
                "method: cume_dist",
                "method: ntile, buckets: 3",
            ],
            &["", "tie_break: category", "tie_break: [category, item]"],
            &["", "filter: \"b > 2 or category = 'a' -- some\""],
            &["", "dedupe: category", "dedupe: [category, votes]"],
            &["", "score_as: points, rank_as: place"],
        ],
        tables: &[("t", CANDIDATES)],
        rows: 25,
        tolerance: 1e-9,
    }
    .hold(24);
}

#[test]
fn rank_of_blends() {
    Case {
        kind: "rank",
        base: "input: t, explain: true",
        choices: &[
            &[
                "score: [{column: a, normalize: minmax, scope: global}, {column: b, weight: 2, normalize: zscore}]",
                "score: [{column: a, normalize: robust}, {column: b, weight: 0.5, normalize: l1, missing: 1}]",
                "score: [{column: a, normalize: l2, scope: global}, {column: b, normalize: softmax, temperature: 2}]",
                "score: [{column: a, normalize: rank}, {column: b, weight: -1, normalize: quantile, scope: global}]",
                "score: [{column: a, bayes: {votes: votes, prior_votes: 3}}, {column: b, normalize: quantile}]",
                "score: [{column: b, bayes: {votes: votes, prior_votes: 2, mean: 1.5}, normalize: minmax}]",
            ],
            &["", "partition_by: u"],
            &["", "missing: 0", "missing: -1.5"],
            &["", "combine: max", "combine: min"],
            &[
                "",
                "decay: {column: at, scale: 7d}",
                "decay: {column: at, shape: exponential, scale: 3d, offset: 1d}",
                "decay: {column: at, shape: gauss, scale_days: days, decay: 0.3, origin: latest}",
                "decay: {column: at, scale: 90d, origin: 2026-10-20}",
            ],
            &["", "top: 4"],
        ],
        tables: &[("t", CANDIDATES)],
        rows: 20,
        tolerance: 1e-9,
    }
    .hold(24);
}

#[test]
fn rank_of_fusions_and_products() {
    Case {
        kind: "rank",
        base: "input: t, explain: true",
        choices: &[
            &[
                "score: [{column: a, weight: 2}, {column: b}]",
                "score: [{column: p, weight: 0.5}, {column: b, missing: 1}]",
            ],
            &["", "partition_by: u"],
            &["combine: rrf", "combine: rrf, rrf_k: 1", "combine: borda", "combine: product"],
            &["", "top: 4"],
        ],
        tables: &[(
            "t",
            &[
                ("item", Cells::Row),
                ("u", Cells::Ids(3)),
                ("a", Cells::Positive),
                ("b", Cells::Decimals),
                ("p", Cells::Positive),
            ],
        )],
        rows: 20,
        tolerance: 1e-9,
    }
    .hold(12);
}

#[test]
fn rank_with_exclusions_caps_and_backfill() {
    Case {
        kind: "rank",
        base: "input: t, score: a, partition_by: u",
        choices: &[
            &["top: 2", "top: 5"],
            &[
                "",
                "exclude: {input: seen, keys: {u: who, item: item}}",
                "exclude: [{input: seen, keys: [item], time: at, max_age: 20d}, {input: seen, keys: {u: who}, time: at, max_age: 9d, origin: latest}]",
            ],
            &["", "caps: {by: category, max: 2}", "caps: {by: [category, votes], max: 1}"],
            &["", "dedupe: category"],
            &["", "backfill: {input: popular, keys: item, score: viewers}"],
        ],
        tables: &[("t", CANDIDATES), ("seen", SEEN), ("popular", POPULAR)],
        rows: 15,
        tolerance: 1e-9,
    }
    .hold(16);
}

#[test]
fn rank_of_what_is_no_number() {
    Case {
        kind: "rank",
        base: "input: t",
        choices: &[
            &["score: a", "score: [{column: a, normalize: minmax}]", "score: [{column: a, normalize: quantile}]"],
            &["on_nan: drop", "on_nan: drop", "on_nan: error"],
            &["", "partition_by: u"],
        ],
        tables: &[("t", &[("item", Cells::Row), ("u", Cells::Ids(3)), ("a", Cells::Wild)])],
        rows: 8,
        tolerance: 1e-9,
    }
    .hold(12);
}

const EVENTS: Spec = &[
    ("u", Cells::Ids(4)),
    ("i", Cells::Words(7)),
    ("at", Cells::Times),
    ("kind", Cells::Words(3)),
    ("w", Cells::Quarters),
    ("d", Cells::Decimals),
];
const CREDITS: Spec = &[("i", Cells::Words(7)), ("person", Cells::Ids(5)), ("part", Cells::Positive)];

#[test]
fn affinity_of_events() {
    Case {
        kind: "affinity",
        base: "input: events, user: u, item: i, time: at",
        choices: &[
            &["", "half_life: 7d", "half_life: 30d, as_of: now", "half_life: 2d, as_of: 2026-10-15, future: drop"],
            &["value: d", "value: \"d + 0.25 -- a bonus\"", ""],
            &[
                "",
                "events: {column: kind, weights: {a: 1, b: 2.5}, default: 0.5}",
                "events: {column: kind, weights: {a: 1}}",
            ],
            &["", "qualify: \"d > 1\""],
            &["", "aggregate: max", "aggregate: last", "aggregate: count", "aggregate: noisy_or"],
            &["", "cap: {per_event: 3, per_pair: 5}", "cap: {per_user_items: 2}", "cap: {per_day: 1}"],
            &["", "min_events: 2"],
            &["", "top: 2"],
            &[
                "",
                "normalize: l1",
                "normalize: l2",
                "normalize: max",
                "normalize: zscore",
                "normalize: lift, smoothing: 2",
            ],
            &["", "explain: true"],
        ],
        tables: &[("events", EVENTS)],
        rows: 30,
        tolerance: 1e-9,
    }
    .hold(24);
}

#[test]
fn affinity_weighed_and_handed_on() {
    Case {
        kind: "affinity",
        base: "input: events, user: u, item: i, value: d + 0.5",
        choices: &[
            &[
                "",
                "transform: log1p",
                "transform: sqrt",
                "transform: binary",
                "transform: tfidf",
                "transform: bm25, k1: 2",
                "transform: confidence, alpha: 3",
            ],
            &[
                "",
                "propagate: {input: credits, to: person}",
                "propagate: {input: credits, to: person, weight: full, strength: part}",
                "propagate: {input: credits, to: person, weight: idf, strength: part}",
            ],
            // A lift divides by sums over everyone, which cancel to noise where weights of both signs meet: exact sums
            // have their own case.
            &["", "normalize: l1", "normalize: zscore"],
            &["", "explain: true"],
        ],
        tables: &[("events", EVENTS), ("credits", CREDITS)],
        rows: 20,
        tolerance: 1e-9,
    }
    .hold(16);
}

#[test]
fn affinity_added_to_an_earlier_result() {
    Case {
        kind: "affinity",
        base: "input: events, user: u, item: i, time: at, previous: before",
        choices: &[&["half_life: 7d", "", "half_life: 30d, as_of: now"], &["value: d", ""], &["", "aggregate: count"]],
        tables: &[
            ("events", EVENTS),
            (
                "before",
                &[
                    ("u", Cells::Ids(4)),
                    ("i", Cells::Words(7)),
                    ("affinity", Cells::Quarters),
                    ("events", Cells::Row),
                    ("last_at", Cells::Earlier),
                    ("as_of", Cells::Times),
                ],
            ),
        ],
        rows: 15,
        tolerance: 1e-9,
    }
    .hold(12);
}

#[test]
fn similarity_of_interactions() {
    Case {
        kind: "similarity",
        base: "input: events, user: u, item: i",
        choices: &[
            &["", "value: p"],
            &[
                "metric: cooccurrence",
                "metric: cosine",
                "metric: cosine, shrinkage: 2",
                "metric: asymmetric, alpha: 0.3",
                "metric: jaccard",
                "metric: dice",
                "metric: tversky, alpha: 0.2, beta: 0.9",
                "metric: lift",
                "metric: mutual_information",
                "metric: lexicographers_mi",
                "metric: inclusion",
                "metric: llr",
                "metric: tanimoto",
                "metric: pearson",
                "metric: p3alpha",
                "metric: rp3beta, alpha: 0.7",
                "metric: inner_product",
            ],
            &["", "prune: source"],
            &["", "weighting: tfidf", "weighting: bm25, k1: 2"],
            &["top: 100", "top: 100, min_support: 2"],
            &["", "support_shrinkage: 3", "threshold: 0.2"],
            &["", "max_items_per_user: 3"],
            &["", "explain: true"],
            &["", "include_self: true"],
        ],
        tables: &[("events", &[("u", Cells::Ids(6)), ("i", Cells::Words(7)), ("p", Cells::Positive)])],
        rows: 30,
        tolerance: 1e-9,
    }
    .hold(24);
}

#[test]
fn similarity_of_vectors() {
    Case {
        kind: "similarity",
        base: "input: items, of: vectors, item: i, vector: v, top: 50",
        choices: &[
            &["metric: inner_product", "metric: l2", "metric: l1"],
            &["", "threshold: 0.5"],
            &["", "include_self: true"],
            &["", "explain: true"],
        ],
        tables: &[("items", &[("i", Cells::Row), ("v", Cells::Vectors)])],
        rows: 8,
        // VECTOR is of 32-bit floats, and so are its sums. Cosines may then tie in one form only.
        tolerance: 1e-6,
    }
    .hold(12);
}

#[test]
fn recommendations() {
    Case {
        kind: "recommend",
        base: "input: likes, user: u, item: i, model: model",
        choices: &[
            &["", "value: a"],
            &["", "prune: source"],
            &["top: 2", "top: 9"],
            &["", "exclude_seen: false", "seen: seen"],
            &[
                "",
                "users: everyone",
                "fallback: {input: popular, score: viewers}",
                "users: everyone, fallback: {input: popular, score: viewers}",
            ],
            &["", "explain: true"],
        ],
        tables: &[
            ("likes", &[("u", Cells::Ids(4)), ("i", Cells::Ids(7)), ("a", Cells::Quarters)]),
            ("model", &[("i", Cells::Ids(9)), ("similar_i", Cells::Ids(7)), ("score", Cells::Quarters)]),
            ("seen", &[("u", Cells::Ids(4)), ("i", Cells::Ids(9))]),
            ("everyone", &[("u", Cells::Ids(6))]),
            ("popular", &[("i", Cells::Ids(12)), ("viewers", Cells::Quarters)]),
        ],
        rows: 12,
        tolerance: 1e-9,
    }
    .hold(16);
}

#[test]
fn similarity_of_arrays() {
    Case {
        kind: "similarity",
        base: "input: items, of: vectors, item: i, vector: v, dimensions: 3, top: 50",
        choices: &[&["metric: inner_product", "metric: l1"], &["", "explain: true"]],
        tables: &[("items", &[("i", Cells::Row), ("v", Cells::Arrays)])],
        rows: 8,
        tolerance: 1e-6,
    }
    .hold(6);
}

#[test]
fn lift_of_likes_and_dislikes() {
    Case {
        kind: "affinity",
        base: "input: events, user: u, item: i, value: w",
        choices: &[
            &["normalize: lift", "normalize: lift, smoothing: 0.25", "normalize: lift, smoothing: 3"],
            &["", "propagate: {input: credits, to: person, weight: full}"],
            &["", "explain: true"],
        ],
        tables: &[("events", EVENTS), ("credits", CREDITS)],
        rows: 20,
        tolerance: 1e-9,
    }
    .hold(12);
}

/// Users and items of every scalar type.
const TYPED: Spec = &[
    ("flag", Cells::Flags),
    ("day", Cells::Days),
    ("moment", Cells::Times),
    ("amount", Cells::Decimals),
    ("share", Cells::Quarters),
    ("code", Cells::Bytes),
    ("word", Cells::Words(6)),
    ("x", Cells::Positive),
];
const USER_OF: &[&str] = &["user: day", "user: code", "user: word"];
const ITEM_OF: &[&str] = &["item: flag", "item: moment", "item: amount", "item: share"];

#[test]
fn affinity_of_ids_of_any_type() {
    Case {
        kind: "affinity",
        base: "input: events, value: x",
        choices: &[USER_OF, ITEM_OF, &["", "top: 2, normalize: l1", "transform: bm25"]],
        tables: &[("events", TYPED)],
        rows: 20,
        tolerance: 1e-9,
    }
    .hold(16);
}

#[test]
fn similarity_of_ids_of_any_type() {
    Case {
        kind: "similarity",
        base: "input: events, value: x",
        choices: &[USER_OF, ITEM_OF, &["metric: cosine", "metric: lift, top: 50"]],
        tables: &[("events", TYPED)],
        rows: 20,
        tolerance: 1e-9,
    }
    .hold(12);
}

#[test]
fn rank_by_keys_of_any_type() {
    Case {
        kind: "rank",
        base: "input: t, score: x, top: 2",
        choices: &[
            &["partition_by: flag", "partition_by: [day, code]", "partition_by: moment", "partition_by: amount"],
            &["", "dedupe: share", "dedupe: code", "caps: {by: amount, max: 1}", "caps: {by: day, max: 2}"],
            &["", "tie_break: [word, code, moment]"],
        ],
        tables: &[("t", TYPED)],
        rows: 20,
        tolerance: 1e-9,
    }
    .hold(12);
}

#[test]
fn recommendations_of_ids_of_any_type() {
    Case {
        kind: "recommend",
        base: "input: likes, model: model, value: x",
        choices: &[
            &["user: day, item: code", "user: amount, item: day", "user: code, item: amount", "user: word, item: flag"],
            &["", "fallback: {input: popular, score: x}", "exclude_seen: false, explain: true"],
        ],
        tables: &[
            ("likes", TYPED),
            (
                "model",
                &[
                    ("code", Cells::Bytes),
                    ("similar_code", Cells::Bytes),
                    ("day", Cells::Days),
                    ("similar_day", Cells::Days),
                    ("amount", Cells::Decimals),
                    ("similar_amount", Cells::Decimals),
                    ("flag", Cells::Flags),
                    ("similar_flag", Cells::Flags),
                    ("score", Cells::Quarters),
                ],
            ),
            ("popular", TYPED),
        ],
        rows: 10,
        tolerance: 1e-9,
    }
    .hold(10);
}

const WILD: Spec = &[("u", Cells::Ids(3)), ("i", Cells::Ids(4)), ("x", Cells::Wild), ("score", Cells::Wild)];

#[test]
fn affinity_of_what_is_no_number() {
    Case {
        kind: "affinity",
        base: "input: t, user: u, item: i, value: x",
        choices: &[
            &["on_nan: drop", "on_nan: drop", "on_nan: error"],
            &["", "cap: {per_event: 4}"],
            &["", "aggregate: max", "normalize: l2"],
        ],
        tables: &[("t", WILD)],
        rows: 4,
        tolerance: 1e-9,
    }
    .hold(16);
}

#[test]
fn similarity_of_what_is_no_number() {
    Case {
        kind: "similarity",
        base: "input: t, user: u, item: i, value: x",
        choices: &[&["on_nan: drop", "on_nan: drop", "on_nan: error"], &["metric: inner_product", "metric: cosine"]],
        tables: &[("t", WILD)],
        rows: 4,
        tolerance: 1e-9,
    }
    .hold(16);
}

#[test]
fn recommendations_of_what_is_no_number() {
    Case {
        kind: "recommend",
        base: "input: t, user: u, item: i, value: x, model: m",
        choices: &[&["on_nan: drop", "on_nan: drop", "on_nan: error"], &["", "top: 2"]],
        tables: &[
            // The SQL form does not come to an infinite number for which the model has nothing; the kernel refuses it.
            ("t", &[("u", Cells::Ids(3)), ("i", Cells::Ids(4)), ("x", Cells::NotANumber)]),
            ("m", &[("i", Cells::Ids(4)), ("similar_i", Cells::Ids(4)), ("score", Cells::Quarters)]),
        ],
        rows: 4,
        tolerance: 1e-9,
    }
    .hold(12);
}
