//! The keys of `pipe.yaml`: what each means and what its value may be. The same tables check the file and write the JSON
//! Schema.

use crate::job::file::size;
use crate::job::keys::NAME;
use crate::yaml::shape::{Form, Key, Record, Shape};

/// An amount of memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Memory {
    /// Bytes.
    Bytes(u64),
    /// Hundredths of the machine's.
    Percent(f64),
}

impl Memory {
    /// The amount on this machine.
    pub fn bytes(self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "an amount of memory"
            )]
            Self::Percent(percent) => (machine_memory() as f64 * percent / 100.0) as u64,
        }
    }
}

/// The memory of this machine, or of the container it is.
fn machine_memory() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let total = read("/proc/meminfo").and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?.to_owned();
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    let total = total.map_or(8 << 30, |kib| kib * 1024);
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = limits.iter().find_map(|path| read(path)?.trim().parse::<u64>().ok());
    limit.map_or(total, |limit| limit.min(total))
}

/// The amount of memory that a text such as `8GB`, `512MiB` or `70%` means.
pub fn memory(text: &str) -> Option<Memory> {
    let Some(percent) = text.trim().strip_suffix('%') else { return size(text).map(Memory::Bytes) };
    let percent: f64 = percent.trim_end().parse().ok()?;
    (percent > 0.0 && percent <= 100.0).then_some(Memory::Percent(percent))
}

static MEMORY: Form = Form {
    noun: "an amount of memory",
    example: "8GB",
    accepts: |text| memory(text).is_some(),
    pattern: "^[0-9]+(\\.[0-9]+)?\\s*(%|[kKMGT]i?B)$",
};

static INSTANT: Form = Form {
    noun: "a date or an instant",
    example: "2026-11-01",
    accepts: |text| super::instant(text).is_ok(),
    pattern: "^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.]+(Z|[+-][0-9:]+)?)?$",
};

static ZONE: Form = Form {
    noun: "a time zone",
    example: "Europe/Paris",
    accepts: |text| text.parse::<chrono_tz::Tz>().is_ok(),
    pattern: "^[A-Za-z0-9_+/-]+$",
};

static LOCATION: Record = Record::new(
    "table location",
    &[
        Key::new("path", Shape::Text, "A file, a folder ending in `/`, or several files with `*`; local or `s3://`.")
            .required()
            .example("s3://bucket/users/*.parquet"),
        Key::new(
            "format",
            Shape::Word(&["csv", "parquet", "jsonl", "files"]),
            "What the rows are written as; by default what the path ends in. `files`: each file is a row, its `name` and its `content`.",
        ),
        Key::new("delimiter", Shape::Text, "What divides the values of a CSV line; by default a comma.").example("';'"),
        Key::new("header", Shape::Boolean, "Whether the first line of a CSV file names the columns; by default true."),
    ],
);

const VARS: Key = Key::new(
    "vars",
    Shape::Names { noun: "variable", value: &Shape::Any },
    "Variables over those of the jobs, on this target.",
);

/// How a PostgreSQL database is reached; a target may say some of it otherwise.
pub static CONNECTION: Record = Record::new(
    "connection",
    &[
        Key::new("host", Shape::Text, "The host.").example("db.example.com"),
        Key::new("port", Shape::Scalar, "The port; by default 5432."),
        Key::new("database", Shape::Text, "The database."),
        Key::new("user", Shape::Text, "The user."),
        Key::new("password", Shape::Text, "The password; only ever a reference to a secret.")
            .example("\"{{ secret('/pipe/prod/rds_password') }}\""),
        Key::new(
            "tls",
            Shape::Word(&["verify", "require", "disable"]),
            "`verify` (the default): encrypted, the server's certificate checked; `require`: encrypted, not checked; `disable`: not encrypted.",
        ),
        Key::new("ca", Shape::Text, "The file of the certificates to check by, in PEM form; by default the machine's.")
            .example("certs/rds.pem"),
    ],
);

static CONNECTION_SHAPE: Shape = Shape::Record(&CONNECTION);

const CONNECTIONS: Key = Key::new(
    "connections",
    Shape::Names { noun: "connection", value: &CONNECTION_SHAPE },
    "PostgreSQL databases that exports go to; a target may give some parameters other values.",
)
.example("{rds: {host: db.example.com, database: app, user: pipe, password: \"{{ secret('/pipe/rds') }}\"}}");

static DATAFUSION_KEYS: [Key; 7] = [
    Key::new("backend", Shape::Word(&["datafusion"]), "The embedded engine: nothing to install.").required(),
    Key::new("sources", Shape::Text, "Where source tables are: a folder with `<schema>/<table>.csv`, `.parquet` or `.jsonl`, or a path with `{schema}` and `{table}`.").example("samples/"),
    Key::new("tables", Shape::Names { noun: "table", value: &Shape::Either(&[Shape::Text, Shape::Record(&LOCATION)]) }, "Source tables that are elsewhere.").example("{backend.user: data/users.parquet}"),
    Key::new("state", Shape::Text, "The folder of published tables and run history; by default `.pipe` for the target `local`, else `.pipe/<target>`."),
    Key::new("date", Shape::Form(&INSTANT), "The instant that every clock function gives; by default the start of the run.").example("2026-11-01"),
    VARS,
    CONNECTIONS,
];

/// A target of the embedded engine.
pub static DATAFUSION: Record = Record::new("datafusion target", &DATAFUSION_KEYS);

static SNOWFLAKE_KEYS: [Key; 19] = [
    Key::new("backend", Shape::Word(&["snowflake"]), "Snowflake.").required(),
    Key::new("account", Shape::Text, "The account identifier.").required().example("myorg-myaccount"),
    Key::new("user", Shape::Text, "The user.").required(),
    Key::new("role", Shape::Text, "The role."),
    Key::new("warehouse", Shape::Text, "The virtual warehouse.").required(),
    Key::new("database", Shape::Text, "The database of tables named without one.").required(),
    Key::new("schema", Shape::Text, "The schema of the run history and of what a run builds aside; by default `PIPE`."),
    Key::new("private_key", Shape::Text, "The private key in PEM form; only ever a reference to a secret.")
        .example("\"{{ secret('/pipe/prod/snowflake_key') }}\""),
    Key::new("private_key_file", Shape::Text, "The file of the private key, where it is not a secret of the provider."),
    Key::new("private_key_passphrase", Shape::Text, "The key's passphrase; only ever a reference to a secret."),
    Key::new("password", Shape::Text, "The password; only ever a reference to a secret."),
    Key::new("oauth_token", Shape::Text, "An OAuth access token; only ever a reference to a secret."),
    Key::new("host", Shape::Text, "The host, where it is not `<account>.snowflakecomputing.com`."),
    Key::new("stage", Shape::Text, "An external stage, by which rows from this machine are loaded.")
        .example("PIPE.LOADS"),
    Key::new("stage_url", Shape::Text, "The URL that the stage stands for.").example("s3://bucket/loads/"),
    Key::new(
        "statement_timeout",
        Shape::Form(&crate::job::keys::DURATION),
        "How long one statement may take; by default as long as the server lets it.",
    )
    .example("1h"),
    Key::new(
        "date",
        Shape::Form(&INSTANT),
        "The instant that every clock function gives; by default the start of the run.",
    ),
    VARS,
    CONNECTIONS,
];

/// A target on Snowflake.
pub static SNOWFLAKE: Record = Record::new("snowflake target", &SNOWFLAKE_KEYS);

static SECRETS: Record = Record::new(
    "secrets provider",
    &[
        Key::new(
            "provider",
            Shape::Word(&["env", "ssm"]),
            "`env`: environment variables; `ssm`: the AWS parameter store.",
        )
        .required(),
        Key::new("region", Shape::Text, "The AWS region; by default that of the machine's configuration.")
            .example("eu-west-1"),
        Key::new("path", Shape::Text, "Of `ssm`: the path of names without one, all of which are fetched at once.")
            .example("/pipe/prod/"),
    ],
);

static RETENTION: Record = Record::new(
    "retention",
    &[
        Key::new(
            "sets",
            Shape::Integer { min: 1, max: 1000 },
            "How many sets of published tables are kept for rollback, the current one included; by default 5.",
        ),
        Key::new(
            "days",
            Shape::Integer { min: 1, max: 36_500 },
            "For how many days runs are remembered; by default 400.",
        ),
    ],
);

/// `pipe.yaml`, its targets left to [`DATAFUSION`] and [`SNOWFLAKE`].
pub static SETTINGS: Record = Record::new("pipe.yaml", &SETTINGS_KEYS);

static SETTINGS_KEYS: [Key; 10] = [
    Key::new("project", Shape::Form(&NAME), "The project's name; by default its folder's."),
    Key::new("targets", Shape::Names { noun: "target", value: &Shape::Any }, "Named places to run against.").required(),
    Key::new("default_target", Shape::Text, "The target where none is named; by default the first.").example("local"),
    Key::new("timezone", Shape::Form(&ZONE), "The session's time zone; by default UTC.").example("Europe/Paris"),
    Key::new(
        "jobs",
        Shape::Integer { min: 1, max: 1000 },
        "Steps at once; by default as many as there are processors.",
    ),
    Key::new(
        "memory_limit",
        Shape::Form(&MEMORY),
        "Memory for a run, above which it spills to disk; by default 70% of the machine's.",
    )
    .example("8GB"),
    Key::new(
        "checks",
        Shape::Word(&["after_run"]),
        "`after_run`: the checks about a job follow each of its runs, whatever the job says.",
    ),
    Key::new("retention", Shape::Record(&RETENTION), "How much of the past is kept."),
    Key::new(
        "secrets",
        Shape::Either(&[Shape::Word(&["env", "ssm"]), Shape::Record(&SECRETS)]),
        "Where secrets come from; by default the environment.",
    )
    .example("ssm"),
    CONNECTIONS,
];

/// `pipe.yaml` whole, for the JSON Schema.
pub static SETTINGS_SCHEMA: Record = Record::new("pipe.yaml", &SCHEMA_KEYS);

static SCHEMA_KEYS: [Key; 10] = {
    let mut keys = SETTINGS_KEYS;
    keys[1].shape = Shape::Names {
        noun: "target",
        value: &Shape::Either(&[Shape::Record(&DATAFUSION), Shape::Record(&SNOWFLAKE)]),
    };
    keys
};
