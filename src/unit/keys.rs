//! The keys of a file of unit tests: what each means and what its value may be.

use crate::job::keys::NAME;
use crate::name::TableName;
use crate::rule::read::TESTS;
use crate::settings::instant;
use crate::yaml::shape::{Form, Key, Record, Shape};

/// A date, or an instant.
static DATE: Form = Form {
    noun: "a date",
    example: "2026-11-02",
    accepts: |text| instant(text).is_ok(),
    pattern: "^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?$",
};

/// A file of rows.
static CSV: Form = Form {
    noun: "the path of a CSV file",
    example: "programs.csv",
    accepts: |text| text.trim().len() > 4 && text.trim().to_lowercase().ends_with(".csv"),
    pattern: "\\.[cC][sS][vV]$",
};

/// A table or a step.
static TABLE: Form = Form {
    noun: "the name of a table or step",
    example: "backend.program",
    accepts: |text| TableName::parse(text).is_some(),
    pattern: "^[^.]+(\\.[^.]+)?$",
};

/// The values of a row by column.
const ROW: Shape = Shape::Names { noun: "column", value: &Shape::Any };

/// Rows: written here, or in a file.
const ROWS: Shape = Shape::Either(&[Shape::List(&ROW), Shape::Form(&CSV)]);

static EXPECTATION: Record = Record::new(
    "expectation",
    &[
        Key::new("rows", ROWS, "The rows of the step. Only the columns that they name are compared.")
            .example("[{program_id: 7, bookmarks: 2}]"),
        Key::new(
            "match",
            Shape::Word(&["unordered", "ordered", "subset"]),
            "`unordered` (the default): exactly these rows; `ordered`: in this order; `subset`: these among others.",
        ),
        Key::new(
            "tolerance",
            Shape::Either(&[Shape::Number, Shape::Names { noun: "column", value: &Shape::Number }]),
            "By how much numbers may differ, in all columns or by column. By default not at all.",
        )
        .example("0.001"),
        Key::new("empty", Shape::Boolean, "Whether the step must have no row (`true`) or at least one (`false`)."),
        Key::new("tests", TESTS, "Properties of the step's rows, written as the tests of a job.")
            .example("[{unique: [user_id, program_id]}, {rows: {max: 30}}, {expression: score <= 1}]"),
    ],
);

/// Rows, or more about them.
static EXPECTED: Shape = Shape::Either(&[Shape::List(&ROW), Shape::Form(&CSV), Shape::Record(&EXPECTATION)]);

const DATE_KEY: Key = Key::new(
    "date",
    Shape::Form(&DATE),
    "The instant that `current_date` and every other clock function gives; by default the target's, or now.",
)
.example("2026-11-02");
const VARS: Key =
    Key::new("vars", Shape::Names { noun: "variable", value: &Shape::Any }, "Other values for variables of the job.")
        .example("{top: 3}");
const DEFAULTS: Key = Key::new(
    "defaults",
    Shape::Names { noun: "table", value: &ROW },
    "By table, the values of columns that given rows leave out; without one it is NULL.",
)
.example("{backend.broadcast: {channel_id: 1}}");
const GIVEN: Key = Key::new(
    "given",
    Shape::Names { noun: "table", value: &Shape::Optional(&ROWS) },
    "Rows of sources, of other jobs' tables, or of steps that are then not computed. A table not given is empty.",
)
.example("{backend.program: [{id: 7, title: Alien}]}");
const EXPECT: Key = Key::new(
    "expect",
    Shape::Names { noun: "step", value: &EXPECTED },
    "By step, the rows that come out, or what must be true of them.",
)
.example("{bookmarks: [{program_id: 7, bookmarks: 2}]}");
const DESCRIPTION: Key = Key::new("description", Shape::Text, "Which rule it is about.");

static TEST: Record = Record::new(
    "unit test",
    &[
        Key::new("name", Shape::Text, "What it shows, in a few words.")
            .required()
            .example("a bookmark of 14 days ago is too old"),
        DESCRIPTION,
        DATE_KEY,
        VARS,
        DEFAULTS,
        GIVEN,
        EXPECT.required(),
    ],
);

/// A file of unit tests.
pub static SUITE: Record = Record::new(
    "file of unit tests",
    &[
        Key::new("job", Shape::Form(&NAME), "The job that is tested.").required().example("this_week"),
        Key::new(
            "tests",
            Shape::List(&Shape::Record(&TEST)),
            "The tests. `date`, `vars`, `defaults` and `given` beside it are for all of them, and each may say otherwise.",
        ),
        Key::new("name", Shape::Text, "The name of the only test, in a file without `tests`; by default the file's."),
        DESCRIPTION,
        DATE_KEY,
        VARS,
        DEFAULTS,
        GIVEN,
        EXPECT,
    ],
);

/// A name of a table or step.
pub(super) fn table_name(text: &str) -> Option<TableName> {
    (TABLE.accepts)(text).then(|| TableName::parse(text)).flatten()
}
