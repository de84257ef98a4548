//! The unit tests of this project's jobs notice a changed rule: each change below makes a test of its job fail.

use std::path::Path;
use std::process::Command;

/// A file, a text in it, and what it is changed to. A text that stands several times is changed everywhere.
type Change = (&'static str, &'static str, &'static str);

const BOOKMARKS: [Change; 2] = [
    ("sql/shared/bookmarks.sql", "> current_date", ">= current_date"),
    ("sql/shared/bookmarks.sql", "count(distinct user_id)", "count(user_id)"),
];
const RATINGS: [Change; 2] = [
    ("sql/shared/ratings.sql", "program_rating_services_id = 2", "program_rating_services_id > 0"),
    ("sql/shared/ratings.sql", "program_rating_type_id = 2", "program_rating_type_id > 0"),
];
const CELEBRITIES: [Change; 3] = [
    ("sql/shared/celebrity_points.sql", "where p.source = 'molotov'", ""),
    ("sql/shared/celebrity_points.sql", "sum(f.followers)", "max(f.followers)"),
    ("sql/macros/credits.sql", "  union\n", "  union all\n"),
];
const WATCHES: [Change; 3] = [
    ("sql/shared/watches.sql", "least(duration, {{ longest_watch }})", "duration"),
    ("sql/macros/viewing.sql", ">= current_date - {{ days }}", "> current_date - {{ days }}"),
    ("sql/macros/viewing.sql", "< current_date\n", "<= current_date\n"),
];
const OFFER: [Change; 3] = [
    ("sql/macros/offer.sql", "start_at >= {{ first", "start_at > {{ first"),
    ("sql/macros/offer.sql", "start_at < {{ last", "start_at <= {{ last"),
    ("sql/macros/offer.sql", "where channel_id in (\n    {{ free_channels() }}\n  )\n    and", "where"),
];

/// The unit tests of a job fail after each of these changes, and for no other reason than that rows differ.
fn noticed(job: &str, changes: &[&[Change]]) {
    let project = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["pipelines", "sql", "schemas", "tests/jobs"] {
        copy(&root.join(folder), &project.path().join(folder));
    }
    std::fs::copy(root.join("pipe.yaml"), project.path().join("pipe.yaml")).unwrap();
    let mut unnoticed = Vec::new();
    for (file, from, to) in changes.iter().copied().flatten() {
        let path = project.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "`{from}` is not in {file}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let ran =
            Command::new(env!("CARGO_BIN_EXE_pipe")).args(["test", job]).current_dir(project.path()).output().unwrap();
        std::fs::write(&path, text).unwrap();
        if ran.status.code() != Some(1) {
            let told = String::from_utf8_lossy(&ran.stderr);
            unnoticed.push(format!("{file}: `{from}` → `{to}` ends with {:?}: {told}", ran.status.code()));
        }
    }
    assert!(unnoticed.is_empty(), "{}", unnoticed.join("\n"));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, target).unwrap();
        }
    }
}

#[test]
fn a_changed_rule_of_popular_is_noticed() {
    let own: [Change; 6] = [
        ("sql/popular/candidates.sql", "where w.hours_watched > 0 or b.bookmarks > 0", ""),
        ("sql/popular/candidates.sql", "w.hours_watched > 0 or", "w.hours_watched >= 0 or"),
        ("pipelines/popular.yaml", "bookmark_days: 14", "bookmark_days: 15"),
        ("pipelines/popular.yaml", "watch_days: 14", "watch_days: 13"),
        ("pipelines/popular.yaml", "top: 50", "top: 49"),
        ("pipelines/popular.yaml", "column: hours_watched, weight: 0.5", "column: hours_watched, weight: 0.6"),
    ];
    noticed("popular", &[&own, &BOOKMARKS, &WATCHES]);
}

#[test]
fn a_changed_rule_of_this_week_is_noticed() {
    let own: [Change; 9] = [
        ("sql/this_week/upcoming.sql", "min(start_at)", "max(start_at)"),
        ("sql/macros/offer.sql", "[25, 90, 26, 31, 60]", "[25, 90, 26, 31]"),
        ("pipelines/this_week.yaml", "horizon_days: 7", "horizon_days: 8"),
        ("pipelines/this_week.yaml", "bookmark_days: 14", "bookmark_days: 13"),
        ("pipelines/this_week.yaml", "watch_days: 14", "watch_days: 15"),
        ("pipelines/this_week.yaml", "top: 30", "top: 29"),
        ("pipelines/this_week.yaml", "weight: 0.15", "weight: 0.2"),
        ("sql/shared/user_affinities.sql", "least(w.duration, {{ longest_watch }})", "w.duration"),
        ("sql/shared/user_scores.sql", "a.share * r.score", "r.score"),
    ];
    noticed("this_week", &[&own, &BOOKMARKS, &RATINGS, &CELEBRITIES, &WATCHES, &OFFER]);
}

#[test]
fn a_changed_rule_of_this_day_is_noticed() {
    let own: [Change; 8] = [
        ("sql/this_day/upcoming.sql", "local_hour >= {{", "local_hour > {{"),
        ("sql/this_day/upcoming.sql", "local_hour < {{", "local_hour <= {{"),
        ("sql/this_day/upcoming.sql", "prime_time desc, start_at", "start_at"),
        ("sql/this_day/upcoming.sql", "'current_date + 1'", "'current_date + 2'"),
        ("pipelines/this_day.yaml", "Europe/Paris", "UTC"),
        ("pipelines/this_day.yaml", "first: 20", "first: 21"),
        ("pipelines/this_day.yaml", "last: 23", "last: 24"),
        (
            "pipelines/this_day.yaml",
            "{column: prime_time, weight: 0.2}",
            "{column: prime_time, weight: 0.2, normalize: minmax}",
        ),
    ];
    noticed("this_day", &[&own, &BOOKMARKS, &RATINGS, &CELEBRITIES, &WATCHES, &OFFER]);
}

#[test]
fn a_changed_rule_of_personality_is_noticed() {
    let own: [Change; 10] = [
        ("sql/personality/follows.sql", "where p.source = 'molotov'", ""),
        ("sql/personality/follows.sql", "select distinct", "select"),
        ("sql/personality/people.sql", "where p.source = 'molotov'", ""),
        ("sql/personality/watched_people.sql", "p.source = 'molotov' and", ""),
        ("sql/personality/watched_people.sql", "least(w.duration, {{ longest_watch }})", "w.duration"),
        ("sql/personality/followed.sql", "where followers > 0", ""),
        ("sql/personality/followed.sql", "followers desc, person_id", "followers, person_id"),
        ("sql/personality/candidates.sql", "when e.hours_watched = 0", "when e.hours_watched < 0"),
        ("pipelines/personality.yaml", "exclude: {input: follows, keys: [user_id, person_id]}", "explain: false"),
        ("pipelines/personality.yaml", "horizon_days: 7", "horizon_days: 8"),
    ];
    noticed("personality", &[&own, &OFFER, &[CELEBRITIES[2]], &WATCHES[1..]]);
}

#[test]
fn a_changed_rule_of_fact_audience_is_noticed() {
    let own: [Change; 12] = [
        ("sql/fact_audience/stretches.sql", "and w.duration > 0", ""),
        ("sql/fact_audience/broadcasts.sql", "b.start_at < current_date + 1", "b.start_at <= current_date + 1"),
        ("sql/fact_audience/broadcasts.sql", "and b.end_at > b.start_at", ""),
        ("sql/fact_audience/live.sql", "greatest(s.from_at, b.start_at)", "s.from_at"),
        ("sql/fact_audience/live.sql", "and b.program_id = s.program_id", ""),
        ("sql/fact_audience/live.sql", "where s.asset_type = 'live'", ""),
        ("sql/fact_audience/time_shifted.sql", "least(s.seconds, b.seconds)", "s.seconds"),
        ("sql/fact_audience/time_shifted.sql", "s.from_at >= b.start_at", "s.from_at > b.start_at"),
        ("sql/fact_audience/fact_audience.sql", "v.seconds >= {{ reached_after }}", "v.seconds > {{ reached_after }}"),
        ("sql/macros/viewing.sql", "{{ watched | raw }} > greatest", "{{ watched | raw }} >= greatest"),
        ("sql/macros/viewing.sql", "20 * 60", "21 * 60"),
        ("sql/macros/viewing.sql", "0.8 *", "0.79 *"),
    ];
    noticed("fact_audience", &[&own]);
}

#[test]
fn a_changed_rule_of_program_similarity_is_noticed() {
    let own: [Change; 8] = [
        ("sql/program_similarity/watches.sql", ">= {{ liked_after }}", "> {{ liked_after }}"),
        ("sql/program_similarity/watches.sql", "w.date_day < current_date", "w.date_day <= current_date"),
        ("sql/program_similarity/watches.sql", "sum(w.duration)", "max(w.duration)"),
        ("sql/program_similarity/synopses.sql", "where synopsis is not null", ""),
        ("sql/program_similarity/pairs.sql", "iff(a.category = b.category, 1, 0)", "1"),
        ("pipelines/program_similarity.yaml", "top: 20\n", "top: 21\n"),
        ("pipelines/program_similarity.yaml", "min_support: 3", "min_support: 2"),
        ("pipelines/program_similarity.yaml", "{column: people, weight: 0.2}", "{column: people, weight: 0.3}"),
    ];
    noticed("program_similarity", &[&own]);
}

#[test]
fn a_changed_rule_of_the_tags_and_the_models_is_noticed() {
    noticed(
        "synopsis_tags",
        &[&[
            ("sql/synopsis_tags/synopses.sql", "where trim(synopsis) <> ''", ""),
            ("sql/synopsis_tags/synopses.sql", "trim(synopsis) <> ''", "synopsis <> ''"),
            ("pipelines/synopsis_tags.yaml", "min_df: 2", "min_df: 1"),
            ("pipelines/synopsis_tags.yaml", "languages: [french, english]", "languages: [french]"),
        ]],
    );
    let likes: [Change; 4] = [
        ("sql/shared/likes.sql", "duration >= {{ liked_after }}", "duration > {{ liked_after }}"),
        ("sql/macros/viewing.sql", ">= current_date - {{ days }}", "> current_date - {{ days }}"),
        ("sql/macros/viewing.sql", "< current_date\n", "<= current_date\n"),
        ("sql/shared/likes.sql", "and duration >= {{ liked_after }}", ""),
    ];
    let train: [Change; 6] = [
        ("sql/train_affinity_model/likes_before.sql", "date_day < current_date", "date_day <= current_date"),
        ("sql/train_affinity_model/held_out.sql", "l.date_day >= current_date", "l.date_day > current_date"),
        ("sql/train_affinity_model/held_out.sql", "and l.user_id in (select user_id from likes_before)", ""),
        ("sql/train_affinity_model/popular_before.sql", "count(distinct user_id)", "count(user_id)"),
        ("pipelines/train_affinity_model.yaml", "held_out_days: 3", "held_out_days: 4"),
        ("pipelines/train_affinity_model.yaml", "watch_days: 28", "watch_days: 27"),
    ];
    noticed("train_affinity_model", &[&likes, &train]);
    let predict: [Change; 2] = [
        ("sql/predict_affinity/popular.sql", "max(score)", "min(score)"),
        ("sql/predict_affinity/users.sql", "union\n", "union all\nselect 0\nunion all\n"),
    ];
    noticed("predict_affinity", &[&likes, &predict]);
}

#[test]
fn a_changed_rule_of_replay_is_noticed() {
    let available: [Change; 12] = [
        ("sql/replay/available.sql", "  and v.disabled = 0\n", ""),
        ("sql/replay/available.sql", "  and v.withdrawn_at is null\n", ""),
        ("sql/replay/available.sql", "  and v.deleted_at is null\n", ""),
        ("sql/replay/available.sql", "where v.video_type = 'REPLAY'", "where true"),
        ("sql/replay/available.sql", "v.available_from <= current_date", "v.available_from < current_date"),
        ("sql/replay/available.sql", "v.available_until >= current_date", "v.available_until > current_date"),
        ("sql/replay/available.sql", "  and t.is_commercialized = 1\n", ""),
        ("sql/replay/available.sql", "in (36, 43)", "in (36)"),
        ("sql/replay/available.sql", "p.ref_program_category_id = 4 and", ""),
        ("sql/replay/available.sql", "select distinct", "select"),
        ("pipelines/replay.yaml", "long_lived_categories: [1, 2, 8]", "long_lived_categories: [1, 2]"),
        ("pipelines/replay.yaml", "{long_lived: 7, other: 3}", "{long_lived: 7, other: 4}"),
    ];
    let weights: [Change; 10] = [
        ("sql/replay/watches.sql", "w.real_start_at > current_date", "w.real_start_at >= current_date"),
        ("sql/replay/watches.sql", "w.real_start_at < current_date", "w.real_start_at <= current_date"),
        ("sql/replay/watches.sql", "w.duration > {{", "w.duration >= {{"),
        ("sql/replay/watches.sql", "min(w.real_start_at)", "max(w.real_start_at)"),
        ("sql/macros/viewing.sql", "{{ watched | raw }} > greatest", "{{ watched | raw }} >= greatest"),
        ("sql/macros/viewing.sql", "20 * 60", "21 * 60"),
        ("sql/macros/viewing.sql", "0.8 *", "0.79 *"),
        ("sql/replay/weighted.sql", "hours_watched * (1 - 0.5", "hours_watched * (1 - 0.4"),
        ("sql/replay/weighted.sql", "engaged_viewers * (1 - 0.5 * age::float / max_age)", "engaged_viewers"),
        ("sql/replay/weighted.sql", "age <= max_age", "age < max_age"),
    ];
    let lists: [Change; 12] = [
        ("sql/replay/audience_shares.sql", "least(sum(u.share), 1)", "sum(u.share)"),
        ("sql/replay/audience_shares.sql", "where u.user_id <> 0", ""),
        ("sql/replay/candidates.sql", "least(coalesce(s.score, 0), 1)", "coalesce(s.score, 0)"),
        ("sql/replay/candidates.sql", "affinity >= likeness", "affinity < likeness"),
        ("sql/replay/candidates.sql", "1 + affinity + likeness", "1 + affinity"),
        ("pipelines/replay.yaml", "boost: {affinity: 2, similar: 1}", "boost: {affinity: 1, similar: 1}"),
        ("sql/replay/watched.sql", "coalesce(w.episode_id, o.episode_id)", "w.episode_id"),
        ("sql/macros/viewing.sql", "having count(*) = 1", "having count(*) >= 1"),
        ("pipelines/replay.yaml", "caps: {by: program_id, max: 2}", "caps: {by: program_id, max: 3}"),
        ("pipelines/replay.yaml", "tie_break: [episode_id]", "tie_break: [program_id]"),
        ("sql/replay/latest.sql", "current_date - 1", "current_date"),
        ("sql/replay/latest.sql", "order by position", "order by position desc"),
    ];
    noticed("replay", &[&available, &weights, &lists]);
}

#[test]
fn a_changed_rule_of_audio_and_program_tags_is_noticed() {
    let audio: [Change; 6] = [
        ("sql/audio_tags/audio_tags.sql", "weight >= {{", "weight > {{"),
        ("sql/audio_tags/audio_tags.sql", "where loudness is not null", ""),
        ("sql/audio_tags/audio_tags.sql", "'silence' as tag, silence", "'silence' as tag, music"),
        ("sql/audio_tags/clips.sql", "split_part(name, '.', 1)) as", "split_part(name, '.', 2)) as"),
        ("sql/audio_tags/clips.sql", "where try_to_number(split_part(name, '.', 1)) is not null", ""),
        ("pipelines/audio_tags.yaml", "least_share: 0.1", "least_share: 0.09"),
    ];
    noticed("audio_tags", &[&audio]);
    let both = ("pipelines/program_tags.yaml", "from ml.audio_tags", "from ml.audio_tags where tag <> 'music'");
    noticed("program_tags", &[&[both]]);
}

#[test]
fn a_changed_rule_of_the_exports_is_noticed() {
    let consent: [Change; 6] = [
        ("sql/liveramp_export/consenting.sql", "where u.consent_partner_export\n", "where true\n"),
        (
            "sql/liveramp_export/consenting.sql",
            "u.consent_partner_export\n",
            "coalesce(u.consent_partner_export, true)\n",
        ),
        ("sql/liveramp_export/consenting.sql", "  and trim(u.email) <> ''\n", ""),
        ("sql/liveramp_export/consenting.sql", "trim(u.email) <> ''", "u.email <> ''"),
        ("sql/liveramp_export/consenting.sql", "lower(trim(u.email))", "u.email"),
        ("sql/liveramp_export/consenting.sql", "u.id = s.user_id", "u.id >= s.user_id"),
    ];
    let segments: [Change; 8] = [
        ("sql/liveramp_export/segments.sql", "user_id <> 0 and", ""),
        ("sql/liveramp_export/segments.sql", "share >= {{", "share > {{"),
        ("sql/liveramp_export/segments.sql", ">= {{ least_hours }}", "> {{ least_hours }}"),
        ("sql/liveramp_export/segments.sql", "least(duration, {{ longest_watch }})", "duration"),
        ("sql/liveramp_export/segments.sql", "duration >= 60", "duration > 60"),
        ("sql/liveramp_export/segments.sql", "select distinct", "select"),
        ("pipelines/liveramp_export.yaml", "watch_days: 14", "watch_days: 15"),
        ("pipelines/liveramp_export.yaml", "least_share: 0.4 ", "least_share: 0.39"),
    ];
    noticed("liveramp_export", &[&consent, &segments, &[WATCHES[1], WATCHES[2]]]);
    noticed(
        "s3_to_rds",
        &[&[(
            "pipelines/s3_to_rds.yaml",
            "when: not to_postgres\n    export: {input: rights,",
            "when: not to_postgres\n    export: {sql: \"select distinct program_id, country, starts_on, ends_on, replay_days, null as price from rights\",",
        )]],
    );
}
