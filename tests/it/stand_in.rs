//! Servers that stand in for AWS and RDS: moto, a real PostgreSQL, and a proxy that fails as it is told. They are started once
//! and end with the tests. Where they are not installed (`tests/stand_ins/install.sh` does that), a test says what it leaves out.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

/// A server on this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    pub(crate) port: u16,
}

/// The bucket of the tests.
pub(crate) const BUCKET: &str = "pipe-test";
/// The password of the test database's user.
pub(crate) const PASSWORD: &str = "pl4nted-Secret.one";

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stand_ins")
}

fn venv(program: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/stand-ins/venv/bin").join(program);
    path.exists().then_some(path)
}

/// Says that a test is left out.
#[expect(clippy::print_stdout, reason = "what a test run leaves out is told")]
pub(crate) fn left_out<T>(what: &str) -> Option<T> {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    println!("left out: {test}: {what} is not installed; run tests/stand_ins/install.sh");
    if std::env::var_os("PIPE_STAND_INS").is_some() {
        panic!("PIPE_STAND_INS is set and {what} is not installed");
    }
    None
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

/// Starts a server that ends when these tests do, and waits until it answers.
fn start(port: u16, folder: &Path, command: &[&str]) -> Server {
    let mut child = Command::new("sh");
    child.arg(tests().join("while_tested.sh")).arg(folder).args(command);
    child.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // Its standard input stays open, and with it the server, until this process ends.
    std::mem::forget(child.spawn().expect("a server starts"));
    for _ in 0..600 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Server { port };
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{command:?} does not answer");
}

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("pipe-stand-in-{name}-{}", std::process::id()));
    fs::create_dir_all(&path).expect("made");
    path
}

/// moto: S3 with one bucket, and SSM.
pub(crate) fn moto() -> Option<Server> {
    static MOTO: OnceLock<Option<Server>> = OnceLock::new();
    let found = *MOTO.get_or_init(|| {
        let program = venv("moto_server")?;
        let port = free_port();
        let (program, shown) = (program.to_string_lossy().into_owned(), port.to_string());
        let server = start(port, &folder("moto"), &[&program, "-H", "127.0.0.1", "-p", &shown]);
        let place = b"<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>";
        assert_eq!(server.http("PUT", &format!("/{BUCKET}"), "s3", "", place).0, 200);
        Some(server)
    });
    found.or_else(|| left_out("moto"))
}

/// A proxy before moto, with these faults; each test has its own.
pub(crate) fn faulty(faults: &Value) -> Option<Server> {
    let upstream = moto()?;
    let python = venv("python")?;
    let (python, script) = (python.to_string_lossy().into_owned(), tests().join("faulty.py"));
    let port = free_port();
    let (own, other) = (port.to_string(), upstream.port.to_string());
    let server = start(port, &folder(&own), &[&python, &script.to_string_lossy(), &own, &other]);
    assert_eq!(server.http("POST", "/__faults", "s3", "", faults.to_string().as_bytes()).0, 200);
    Some(server)
}

/// Snowflake's stand-in, shared by tests that each have a database of their own.
pub(crate) fn snowflake() -> Option<Server> {
    static SNOWFLAKE: OnceLock<Option<Server>> = OnceLock::new();
    let found = *SNOWFLAKE.get_or_init(|| start_snowflake(&[]));
    found.or_else(|| left_out("fakesnow"))
}

/// The same for one test alone, under these variables.
pub(crate) fn snowflake_alone(variables: &[(&str, String)]) -> Option<Server> {
    start_snowflake(variables).or_else(|| left_out("fakesnow"))
}

fn start_snowflake(variables: &[(&str, String)]) -> Option<Server> {
    venv("fakesnow")?;
    let (python, script) = (venv("python")?.to_string_lossy().into_owned(), tests().join("warehouse.py"));
    let port = free_port();
    let shown = port.to_string();
    let users = json!({"PIPE": {"password": PASSWORD, "oauth": OAUTH, "public_key": keys().public}});
    let mut words = vec!["env".to_owned(), format!("USERS={users}")];
    words.extend(variables.iter().map(|(name, value)| format!("{name}={value}")));
    words.extend([python, script.to_string_lossy().into_owned(), shown]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Some(start(port, &folder(&format!("snowflake-{port}")), &words))
}

/// The OAuth token that the stand-in takes.
pub(crate) const OAUTH: &str = "pl4nted-Secret.token";
/// The passphrase of the encrypted key.
pub(crate) const PASSPHRASE: &str = "pl4nted-Secret.phrase";

/// A pair of keys, the private one in both forms, and one that the stand-in does not know.
pub(crate) struct Keys {
    pub(crate) private: String,
    pub(crate) encrypted: String,
    pub(crate) public: String,
    pub(crate) other: String,
}

pub(crate) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let folder = folder("keys");
        let pass = format!("pass:{PASSPHRASE}");
        let run = |words: &[&str]| {
            let done = Command::new("openssl").args(words).current_dir(&folder).output().expect("openssl runs");
            assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
        };
        for name in ["own.pem", "other.pem"] {
            run(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", name]);
        }
        run(&["pkey", "-in", "own.pem", "-pubout", "-out", "own.pub"]);
        run(&["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", "own.pem", "-out", "own.enc", "-passout", &pass]);
        let read = |name: &str| fs::read_to_string(folder.join(name)).expect("a key");
        Keys { private: read("own.pem"), encrypted: read("own.enc"), public: read("own.pub"), other: read("other.pem") }
    })
}

/// PostgreSQL with a user `pipe`, who has a password and the database `app`.
pub(crate) fn postgres() -> Option<Server> {
    static POSTGRES: OnceLock<Option<Server>> = OnceLock::new();
    (*POSTGRES.get_or_init(|| start_postgres(&[]))).or_else(|| left_out("PostgreSQL"))
}

fn binaries() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    found.retain(|path| path.join("initdb").exists());
    found.sort();
    found.pop()
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn start_postgres(settings: &[&str]) -> Option<Server> {
    let binaries = binaries()?;
    let port = free_port();
    let base = folder(&format!("postgres-{port}"));
    let (data, password) = (base.join("data"), base.join("password"));
    fs::write(&password, PASSWORD).expect("written");
    // PostgreSQL does not run as root; the package has made a user for it.
    let other_user: &[&str] = if is_root() { &["runuser", "-u", "postgres", "--"] } else { &[] };
    let run = |words: &[&str]| {
        let all: Vec<&str> = other_user.iter().chain(words).copied().collect();
        let done = Command::new(all[0]).args(&all[1..]).current_dir("/").output().expect("it runs");
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    if is_root() {
        let owned = Command::new("chown").args(["-R", "postgres"]).arg(&base).status();
        assert!(owned.is_ok_and(|status| status.success()));
    }
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let (initdb, server, data, password) =
        (text(binaries.join("initdb")), text(binaries.join("postgres")), text(data), text(password));
    run(&[
        &initdb,
        "-D",
        &data,
        "-U",
        "pipe",
        "--auth=scram-sha-256",
        "--pwfile",
        &password,
        "-E",
        "UTF8",
        "--no-sync",
    ]);
    let certificate = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext \
                       subjectAltName=IP:127.0.0.1,DNS:localhost -addext basicConstraints=critical,CA:FALSE -keyout server.key -out server.crt && chmod 600 server.key";
    run(&["sh", "-c", &format!("cd {data} && {certificate}")]);
    let port_text = port.to_string();
    let mut words: Vec<&str> = other_user.to_vec();
    words.extend([server.as_str(), "-D", &data, "-p", &port_text, "-h", "127.0.0.1", "-k", "", "-c", "fsync=off"]);
    words.extend(["-c", "ssl=on", "-c", "timezone=UTC"]);
    words.extend(settings);
    let server = start(port, &base, &words);
    for _ in 0..100 {
        if server.try_sql("postgres", "select 1").is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    server.try_sql("postgres", "create database app").expect("a database");
    Some(server)
}

impl Server {
    /// Tells Snowflake's stand-in something, and gives its answer.
    pub(crate) fn gate(self, told: &Value) -> Value {
        let (status, answer) = self.http("POST", "/__gate", "gate", "", told.to_string().as_bytes());
        assert_eq!(status, 200, "{told}: {answer}");
        serde_json::from_str(&answer).expect("JSON")
    }

    /// The statements that Snowflake's stand-in has got, as far as they have this in them.
    pub(crate) fn statements(self, with: &str) -> Vec<String> {
        let log = self.gate(&json!({}));
        let texts = log["log"].as_array().expect("a log").iter().filter_map(|line| line["sql"].as_str());
        texts.filter(|text| text.contains(with)).map(str::to_owned).collect()
    }

    /// The certificate that it shows.
    pub(crate) fn certificate(self) -> PathBuf {
        let base = std::env::temp_dir().join(format!("pipe-stand-in-postgres-{}-{}", self.port, std::process::id()));
        base.join("data/server.crt")
    }

    /// Runs statements in the database `app` and gives the last one's rows, values between bars.
    pub(crate) fn sql(self, sql: &str) -> Vec<String> {
        self.try_sql("app", sql).expect("it runs")
    }

    pub(crate) fn try_sql(self, database: &str, sql: &str) -> Result<Vec<String>, String> {
        let place = format!("host=127.0.0.1 port={} user=pipe dbname={database} password={PASSWORD}", self.port);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let connected = tokio_postgres::connect(&place, tokio_postgres::NoTls).await;
            let (client, connection) = connected.map_err(|error| error.to_string())?;
            tokio::spawn(connection);
            let messages = client.simple_query(sql).await.map_err(|error| format!("{error:?}"))?;
            let row = |message: &tokio_postgres::SimpleQueryMessage| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => {
                    let values = (0..row.len()).map(|at| row.get(at).unwrap_or("NULL"));
                    Some(values.collect::<Vec<_>>().join("|"))
                }
                _ => None,
            };
            Ok(messages.iter().filter_map(row).collect())
        })
    }

    /// One HTTP request, as some service's; the status and the body.
    pub(crate) fn http(self, method: &str, path: &str, service: &str, target: &str, body: &[u8]) -> (u16, String) {
        let (status, body) = self.bytes(method, path, service, target, body);
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    fn bytes(self, method: &str, path: &str, service: &str, target: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it answers");
        let scope = format!("AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-1/{service}/aws4_request");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nauthorization: {scope}, SignedHeaders=host, Signature=0\r\n\
             x-amz-target: {target}\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            self.port,
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("sent");
        stream.write_all(body).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split_whitespace().nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (status, answer.split_off((end + 4).min(answer.len())))
    }

    /// The keys under a prefix of the bucket.
    pub(crate) fn keys(self, prefix: &str) -> Vec<String> {
        let listed = self.http("GET", &format!("/{BUCKET}?list-type=2&prefix={prefix}"), "s3", "", b"").1;
        let keys = listed.split("<Key>").skip(1);
        keys.filter_map(|key| key.split("</Key>").next().map(str::to_owned)).collect()
    }

    /// What an object of the bucket holds.
    pub(crate) fn object(self, key: &str) -> Vec<u8> {
        self.bytes("GET", &format!("/{BUCKET}/{key}"), "s3", "", b"").1
    }

    /// The uploads of the bucket that were begun and are not complete.
    pub(crate) fn open_uploads(self) -> String {
        let listed = self.http("GET", &format!("/{BUCKET}?uploads"), "s3", "", b"").1;
        listed.split("<Upload>").skip(1).collect()
    }

    /// Keeps a secret in the parameter store.
    pub(crate) fn keep(self, name: &str, value: &str) {
        let body = json!({"Name": name, "Value": value, "Type": "SecureString", "Overwrite": true}).to_string();
        let (status, answer) = self.http("POST", "/", "ssm", "AmazonSSM.PutParameter", body.as_bytes());
        assert_eq!(status, 200, "{answer}");
    }

    /// The environment in which AWS is this server.
    pub(crate) fn aws(self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port)),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "pl4nted-Secret.aws".to_owned()),
            ("AWS_REGION", "eu-west-1".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_CONFIG_FILE", "/nonexistent".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent".to_owned()),
        ]
    }
}
