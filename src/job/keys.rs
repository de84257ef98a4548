//! The keys of a job file: what each means and what its value may be. The same tables check the file and write the JSON
//! Schema.

use std::time::Duration;

use crate::job::{check, export, incremental, load};
use crate::name::TableName;
use crate::rule::read::{COLUMN, TESTS};
use crate::transform;
use crate::yaml::shape::{Form, Key, Record, Shape};

/// A name of a job or step.
pub static NAME: Form = Form {
    noun: "a name of letters, digits and underscores",
    example: "this_week",
    accepts: is_name,
    pattern: "^[A-Za-z_][A-Za-z0-9_]*$",
};

/// A length of time.
pub static DURATION: Form = Form {
    noun: "a length of time",
    example: "90s",
    accepts: |text| duration(text).is_some(),
    pattern: "^[0-9]+(\\.[0-9]+)?\\s*(ms|s|m|h|d)$",
};

/// A type of Snowflake.
pub static TYPE: Form = Form {
    noun: "a Snowflake type",
    example: "number(10, 2)",
    accepts: |text| crate::dialect::parse_type(text).is_some(),
    pattern: "^[A-Za-z_ ]+(\\([^)]*\\))?$",
};

/// The table that a step publishes.
static PUBLISH: Form = Form {
    noun: "a table name with its schema",
    example: "ml.this_week_recommendations",
    accepts: |text| {
        text.contains("{{")
            || TableName::parse(text).is_some_and(|name| name.schema.is_some() && name.database.is_none())
    },
    pattern: "^[^.]+\\.[^.]+(\\.[^.]+)?$",
};

/// A schedule.
static SCHEDULE: Form = Form {
    noun: "a schedule of five fields",
    example: "0 4 * * *",
    accepts: is_schedule,
    pattern: "^\\s*(\\S+\\s+){4}\\S+\\s*$",
};

static RETRY: Record = Record::new(
    "retry",
    &[
        Key::new(
            "max",
            Shape::Integer { min: 0, max: 20 },
            "Tries after the first one; only errors that may pass are tried again.",
        )
        .required()
        .example("3"),
        Key::new(
            "backoff",
            Shape::Form(&DURATION),
            "The wait before the second try; each further wait is twice as long. By default 1s.",
        )
        .example("2s"),
    ],
);

static COLUMN_RECORD: Record = Record::new(
    "column",
    &[
        Key::new("type", Shape::Form(&TYPE), "The Snowflake type; without precision it means the whole family.")
            .example("number"),
        Key::new("nullable", Shape::Boolean, "Whether it may hold NULL; by default true."),
        Key::new("description", Shape::Text, "What it means."),
        Key::new("tests", TESTS, "Tests on this column.").example("[not_null]"),
    ],
);

/// Columns by name: a type, or more about the column.
pub static COLUMNS: Shape = Shape::Names {
    noun: "column",
    value: &Shape::Optional(&Shape::Either(&[Shape::Form(&TYPE), Shape::Record(&COLUMN_RECORD)])),
};

/// The kinds of step that read or write outside the target.
static TRANSFERS: [Key; 2] = [
    Key::new("load", Shape::Record(&load::LOAD), "Reads files into the columns that the step declares.")
        .example("{files: data/users/*.csv, max_bad: 1%}"),
    Key::new(
        "export",
        Shape::Record(&export::EXPORT),
        "Writes rows to files or to PostgreSQL, once all tests of the job have passed.",
    )
    .example("{input: segments, files: {path: exports/, format: csv}}"),
];

const SQL: Key = Key::new("sql", Shape::Text, "The query: SQL, or the path of its file under `sql/`. Without it, and without another kind, it is `sql/<job>/<step>.sql`.").example("select 1 as one");

/// The kinds of step: SQL, the built-in transforms, then what reads or writes outside.
static KINDS: [Key; 1 + transform::KINDS.len() + TRANSFERS.len()] = {
    let mut kinds = [SQL; 1 + transform::KINDS.len() + TRANSFERS.len()];
    let mut at = 0;
    while at < transform::KINDS.len() {
        let kind = &transform::KINDS[at];
        kinds[at + 1] = Key { shape: Shape::Template(&kind.shape), ..*kind };
        at += 1;
    }
    at = 0;
    while at < TRANSFERS.len() {
        kinds[1 + transform::KINDS.len() + at] = TRANSFERS[at];
        at += 1;
    }
    kinds
};

static STEP_KEYS: [Key; 16] = [
    Key::new("description", Shape::Text, "What the step is for."),
    Key::new(
        "publish",
        Shape::Form(&PUBLISH),
        "The table that its result becomes. Without it the step is internal to the job.",
    )
    .example("ml.this_week_recommendations"),
    Key::new(
        "materialize",
        Shape::Word(&["view", "table", "incremental", "snapshot"]),
        "How a published result lives: as a `table` computed whole (the default), as a `view`, as an `incremental` table that grows with each run, or as a `snapshot` that keeps every state of a row.",
    ),
    Key::new("incremental", Shape::Record(&incremental::INCREMENTAL), "What new rows do to those that the table has.")
        .example("{strategy: merge, key: user_id}"),
    Key::new("snapshot", Shape::Record(&incremental::SNAPSHOT), "What makes a new state of a row.")
        .example("{key: id, updated_at: updated_at}"),
    Key::new("columns", COLUMNS, "The columns that the result must have, checked before anything runs.")
        .example("{program_id: {type: number, tests: [not_null]}}"),
    Key::new("tests", TESTS, "Tests that the result must pass before anyone sees it.")
        .example("[{unique: [affinity, program_id]}]"),
    Key::new("needs", Shape::OneOrMore(&Shape::Form(&NAME)), "Steps to wait for although the SQL does not read them.")
        .example("[refresh]"),
    Key::new(
        "when",
        Shape::Either(&[Shape::Boolean, Shape::Text]),
        "A condition over the variables; where it is false the step is not part of the run.",
    )
    .example("horizon_days > 3"),
    Key::new(
        "for_each",
        Shape::Names { noun: "variable", value: &Shape::Either(&[Shape::List(&Shape::Any), Shape::Text]) },
        "A variable and its list: one step per item, named after it.",
    )
    .example("{bundle: [25, 90]}"),
    Key::new("tags", Shape::OneOrMore(&Shape::Scalar), "Words to select steps by, as in `--select tag:daily`.")
        .example("[daily]"),
    Key::new("retry", Shape::Record(&RETRY), "How a try that failed for a passing reason is repeated.")
        .example("{max: 3, backoff: 2s}"),
    Key::new("timeout", Shape::Form(&DURATION), "How long one try may take.").example("10m"),
    ENGINE,
    ON_ERROR,
    Key::new("owner", Shape::Text, "Who answers for it."),
];

const ENGINE: Key = Key::new(
    "engine",
    Shape::Word(&["local"]),
    "`local`: computed on the machine that runs the job, whatever the target; on Snowflake its inputs are fetched and its rows loaded.",
);

const ON_ERROR: Key = Key::new(
    "on_error",
    Shape::Word(&["skip_downstream", "continue", "keep_last", "fail"]),
    "What a failure means: `skip_downstream` (the default) keeps the job from publishing; `continue` publishes what does not follow from the step; `keep_last` lets its readers go on with the table that it published before; `fail` also starts no other step.",
);

/// A step.
pub static STEP: Record = Record::of_kinds("step", &STEP_KEYS, &KINDS);

/// A job file.
pub static JOB: Record = Record::new(
    "job",
    &[
        Key::new("job", Shape::Form(&NAME), "The job's name; by default the file's.").example("this_week"),
        Key::new("description", Shape::Text, "What the job is for."),
        Key::new("owner", Shape::Text, "Who answers for it."),
        Key::new("schedule", Shape::Form(&SCHEDULE), "When a scheduler should run it, as five fields of cron.")
            .example("'0 4 * * *'"),
        Key::new("tags", Shape::OneOrMore(&Shape::Scalar), "Words to select its steps by."),
        Key { description: "What a failure of a step means, where the step itself does not say.", ..ON_ERROR },
        Key::new(
            "vars",
            Shape::Names { noun: "variable", value: &Shape::Any },
            "Variables of its templates. `--var name=value` replaces one for a run.",
        )
        .example("{horizon_days: 7}"),
        Key::new(
            "steps",
            Shape::Names { noun: "step", value: &Shape::Optional(&Shape::Record(&STEP)) },
            "The steps, in any order: each waits for those it reads.",
        ),
        Key::new(
            "checks",
            Shape::Either(&[Shape::Word(&["after_run"]), check::CHECKS]),
            "Sanity checks for `pipe check`: does the data or the job's logic explain a result? `after_run`: those about this job, written elsewhere, follow each of its runs.",
        )
        .example("after_run"),
    ],
);

pub(super) static COLUMN_NAME: &Form = &COLUMN;

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c == '_' || c.is_ascii_alphabetic())
        && chars.all(|c| c == '_' || c.is_ascii_alphanumeric())
}

/// The length of time that a text such as `90s`, `1.5h` or `1d` means.
pub fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let amount: f64 =
        text[..unit_at].trim().parse().ok().filter(|amount: &f64| amount.is_finite() && *amount >= 0.0)?;
    let unit = match &text[unit_at..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(amount * unit).ok()
}

fn is_schedule(text: &str) -> bool {
    super::schedule::Schedule::parse(text).is_some()
}
