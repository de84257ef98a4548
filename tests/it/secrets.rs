//! Secrets that are planted everywhere where there can be one, and then looked for everywhere where something is said or
//! written: on this machine, on Snowflake, in S3 and in PostgreSQL, which stand-ins play; where all goes well and where
//! logins and statements fail, those too whose errors repeat the value.

use std::fs;

use serde_json::json;

use crate::project::Project;
use crate::snowflake::fill;
use crate::stand_in::{BUCKET, OAUTH, PASSPHRASE, PASSWORD, Server, keys, moto, postgres, snowflake_alone};

/// What every planted secret has in it, but for the keys.
const PLANTED: &str = "pl4nted-Secret";

const DATABASE: &str = "SECRETS";

/// Where secrets are planted, and what is said.
struct Planted {
    project: Project,
    moto: Server,
    snowflake: Server,
    postgres: Server,
    told: String,
    commands: usize,
}

impl Planted {
    fn new(moto: Server, snowflake: Server, postgres: Server) -> Self {
        let notes: String =
            [PASSWORD, OAUTH, PASSPHRASE].iter().enumerate().map(|(at, note)| format!("{at},{note}\n")).collect();
        let project = Project::new().source("notes", "id: number, note: varchar", &format!("id,note\n{notes}"));
        let share = format!(
            "checks:\n  ids: {{sql: select count(*) as n from raw.notes, expect: [{{column: n, between: [3, 3]}}]}}\nsteps:\n  \
             ids:\n    publish: mart.ids\n    columns: {{id: {{type: number, tests: [not_null, unique]}}}}\n    sql: select id from raw.notes\n  \
             here:\n    publish: mart.here\n    engine: local\n    sql: select id + 1 as id from raw.notes\n  \
             files:\n    export: {{input: ids, files: {{path: \"s3://{BUCKET}/secrets\", format: csv}}}}\n  \
             rows:\n    export: {{input: ids, postgres: {{connection: db, table: secrets, mode: replace}}}}\n"
        );
        project.write("pipelines/share.yaml", &format!("job: share\n{share}"));
        // Its error repeats a value that is a secret.
        let wrong = "job: wrong\nsteps:\n  wrong: {publish: mart.wrong, sql: \"select note::number as n from raw.notes where note like '%' || {{ end }}\"}\nvars: {end: x}\n";
        project.write("pipelines/wrong.yaml", wrong);
        let planted = Self { project, moto, snowflake, postgres, told: String::new(), commands: 0 };
        planted.login("password: \"{{ secret('/secrets/sf') }}\"");
        moto.keep("/secrets/pg", PASSWORD);
        fill(snowflake, DATABASE, &planted.project.path(""), &planted.project.path("data"), &[]);
        planted
    }

    /// Writes `pipe.yaml` with this way to log in to Snowflake.
    fn login(&self, credential: &str) {
        let (snowflake, postgres) = (self.snowflake.port, self.postgres.port);
        self.project.write(
            "pipe.yaml",
            &format!(
                "default_target: local\nsecrets: ssm\ntargets:\n  local: {{backend: datafusion, sources: data/, date: 2026-11-02}}\n  \
                 prod:\n    backend: snowflake\n    account: acme\n    user: PIPE\n    warehouse: WH\n    database: {DATABASE}\n    \
                 host: http://127.0.0.1:{snowflake}\n    date: 2026-11-02\n    {credential}\n\
                 connections:\n  db: {{host: 127.0.0.1, port: {postgres}, database: app, user: pipe, tls: disable, \
                 password: \"{{{{ secret('/secrets/pg') }}}}\"}}\n"
            ),
        );
    }

    /// Runs a command, each told in another way than the one before, and keeps what it says.
    fn pipe(&mut self, words: &str) -> i32 {
        let aws = self.moto.aws();
        let aws: Vec<(&str, &str)> = aws.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let loud =
            ["-vvv", "-vv --log-format json", "-vvv --log-file said.log --log-format json", "--log-file said.log"];
        let ran = self.project.pipe_with(&format!("{words} {}", loud[self.commands % loud.len()]), &aws);
        self.commands += 1;
        self.told.push_str(&ran.out);
        self.told.push_str(&ran.err);
        ran.code
    }

    /// Everything that was said, written to files or kept on the server.
    fn everything(&self) -> String {
        let mut told = self.told.clone();
        let mut waiting = vec![self.project.path("")];
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(folder).expect("a folder").flatten() {
                let path = entry.path();
                if path == self.project.path("data") {
                    continue;
                } else if path.is_dir() {
                    waiting.push(path);
                } else if let Ok(bytes) = fs::read(path) {
                    told.push_str(&String::from_utf8_lossy(&bytes));
                }
            }
        }
        told.push_str(&self.snowflake.gate(&json!({}))["log"].to_string());
        for table in ["LEDGER", "STATES"] {
            let kept = json!({"sql": [format!("select * from PIPE.{table}")], "database": DATABASE});
            told.push_str(&self.snowflake.gate(&kept)["rows"].to_string());
        }
        for key in self.moto.keys("secrets") {
            told.push_str(&String::from_utf8_lossy(&self.moto.object(&key)));
        }
        told
    }
}

#[test]
fn planted_secrets_are_nowhere_to_be_found() {
    let (Some(moto), Some(postgres)) = (moto(), postgres()) else { return };
    let Some(snowflake) = snowflake_alone(&[]) else { return };
    let mut planted = Planted::new(moto, snowflake, postgres);
    let encrypted =
        "private_key: \"{{ secret('/secrets/sf') }}\"\n    private_key_passphrase: \"{{ secret('/secrets/phrase') }}\"";
    moto.keep("/secrets/phrase", PASSPHRASE);
    let wrong_key = keys().other.replace("\n", "\\n");
    for (credential, right, wrong, end) in [
        ("password: \"{{ secret('/secrets/sf') }}\"", PASSWORD, "pl4nted-Secret.other", "one"),
        ("oauth_token: \"{{ secret('/secrets/sf') }}\"", OAUTH, "pl4nted-Secret.other", "token"),
        (encrypted, &*keys().encrypted, &*wrong_key, "phrase"),
    ] {
        planted.login(credential);
        moto.keep("/secrets/sf", right);
        for words in [
            "run share --target prod --full-refresh --format json",
            "check --job share --target prod --format json",
            "plan share --target prod --diff --format json",
            "doctor --target prod",
            "validate --target prod --fresh",
            "runs last --target prod",
            "render share rows --target prod",
            "why share ids --key id=1 --target prod",
            "diff share --target prod --format markdown",
        ] {
            let before = planted.told.len();
            assert_eq!(planted.pipe(words), 0, "{words}: {}", &planted.told[before..]);
        }
        for words in [
            format!("run wrong --target prod --var end={end}"),
            format!("run wrong --target prod --format json --var end={end}"),
        ] {
            assert_eq!(planted.pipe(&words), 1, "{words}");
        }
        moto.keep("/secrets/sf", wrong);
        for words in [
            "run share --target prod",
            "check --target prod",
            "doctor --target prod --format json",
            "diff share --target prod",
        ] {
            assert_ne!(planted.pipe(words), 0, "{words}");
        }
    }
    for words in [
        "run share --full-refresh",
        "run share --format json",
        "check --format json",
        "check --format markdown",
        "check --format junit",
    ] {
        assert_eq!(planted.pipe(words), 0, "{words}");
    }
    moto.keep("/secrets/pg", "pl4nted-Secret.other");
    assert_eq!(planted.pipe("run share --full-refresh --format json"), 1);
    planted.pipe("doctor");
    let told = planted.everything();
    for what in ["Incorrect username or password", "Invalid OAuth access token", "[secret]", "share.rows"] {
        assert!(told.contains(what), "`{what}` was not said");
    }
    let around = |at: usize| {
        let start = told.floor_char_boundary(at.saturating_sub(300));
        told[start..told.ceil_char_boundary((at + 100).min(told.len()))].to_owned()
    };
    let shown: Vec<String> = told.match_indices(PLANTED).map(|(at, _)| around(at)).collect();
    assert!(shown.is_empty(), "{} times, such as: {}", shown.len(), shown[0]);
    for key in [&keys().private, &keys().encrypted, &keys().other] {
        let line = key.lines().nth(3).expect("a line");
        assert!(!told.contains(line), "a key was shown");
    }
}
