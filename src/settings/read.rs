//! YAML → settings, before flags and environment have their say.

use std::path::Path;

use indexmap::IndexMap;

use super::keys::{DATAFUSION, Memory, SETTINGS, SNOWFLAKE, memory};
use super::{BackendSettings, Connection, Local, Parameter, SecretsProvider, Target, instant, place};
use crate::diagnostic::Diagnostic;
use crate::name::TableName;
use crate::project::straight;
use crate::source::{Format, Location};
use crate::template::{Variable, Variables};
use crate::text::{SourceFile, Span, Spanned};
use crate::yaml::shape::Shape;
use crate::yaml::{self, Entry, Node};

/// What `pipe.yaml` says.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) name: Option<String>,
    pub(super) default_target: Option<Spanned<String>>,
    /// A target that is written wrongly is there by name only.
    pub(super) targets: IndexMap<String, Option<Target>>,
    pub(super) timezone: Option<String>,
    pub(super) jobs: Option<usize>,
    pub(super) memory_limit: Option<Memory>,
    pub(super) kept_sets: Option<usize>,
    pub(super) kept_days: Option<u32>,
    pub(super) checks_after_run: bool,
    pub(super) secrets: SecretsProvider,
    pub(super) connections: IndexMap<String, Connection>,
}

pub(super) fn parse(root: &Path, file: &SourceFile) -> (Written, Vec<Diagnostic>) {
    let node = match yaml::parse(file) {
        Ok(node) => node,
        Err(problems) => return (Written::default(), problems),
    };
    let mut problems = Vec::new();
    Shape::Record(&SETTINGS).check(&node, &mut problems);
    let text = |key: &str| node.get(key).and_then(Node::scalar).map(str::to_owned);
    let integer = |node: Option<&Node>| node.and_then(Node::integer).and_then(|n| usize::try_from(n).ok());
    let retention = node.get("retention");
    let mut targets = IndexMap::new();
    for entry in node.get("targets").map(Node::entries).unwrap_or_default() {
        targets.insert(entry.key.value.clone(), target(root, entry, &mut problems));
    }
    if targets.is_empty() && node.get("targets").is_some_and(|node| node.map().is_some()) {
        let diagnostic = Diagnostic::error("missing-key", "`targets` names no target").at(node.span.clone());
        problems.push(diagnostic.hint("add one, such as `local: {backend: datafusion, sources: samples/}`"));
    }
    let written = Written {
        name: text("project"),
        default_target: node
            .get("default_target")
            .and_then(|n| Some(Spanned::new(n.scalar()?.to_owned(), n.span.clone()))),
        targets,
        timezone: text("timezone"),
        jobs: integer(node.get("jobs")),
        memory_limit: text("memory_limit").as_deref().and_then(memory),
        kept_sets: integer(retention.and_then(|r| r.get("sets"))),
        kept_days: integer(retention.and_then(|r| r.get("days"))).and_then(|n| u32::try_from(n).ok()),
        checks_after_run: node.get("checks").is_some(),
        secrets: node.get("secrets").map(secrets).unwrap_or_default(),
        connections: connections(&node, &mut problems),
    };
    (written, problems)
}

fn secrets(node: &Node) -> SecretsProvider {
    let provider = node.get("provider").unwrap_or(node).scalar();
    match provider {
        Some("ssm") => {
            let region = node.get("region").and_then(Node::scalar).map(str::to_owned);
            let path = node.get("path").and_then(Node::scalar).map(str::to_owned);
            SecretsProvider::ParameterStore { region, path }
        }
        _ => SecretsProvider::Environment,
    }
}

fn target(root: &Path, entry: &Entry, problems: &mut Vec<Diagnostic>) -> Option<Target> {
    let (name, node) = (&entry.key.value, &entry.value);
    let before = problems.len();
    match node.get("backend").and_then(Node::scalar) {
        Some("datafusion") => Shape::Record(&DATAFUSION).check(node, problems),
        Some("snowflake") => Shape::Record(&SNOWFLAKE).check(node, problems),
        Some(_) => TARGET_BACKEND.check(node.get("backend").unwrap_or(node), problems),
        None if node.map().is_some() => problems.push(no_backend(name, entry)),
        None => Shape::Record(&DATAFUSION).check(node, problems),
    }
    let backend = match node.get("backend").and_then(Node::scalar) {
        Some("snowflake") => BackendSettings::Snowflake(connection(node, problems)),
        _ => BackendSettings::DataFusion(local(root, name, node, problems)),
    };
    let mut variables = Variables::default();
    for entry in node.get("vars").map(Node::entries).unwrap_or_default() {
        variables.insert(&entry.key.value, Variable::from_yaml(&entry.value));
    }
    let date = node.get("date").and_then(Node::scalar).and_then(|text| instant(text).ok());
    let connections = connections(node, problems);
    let target = Target { name: name.clone(), span: entry.key.span.clone(), backend, date, variables, connections };
    (problems.len() == before).then_some(target)
}

static TARGET_BACKEND: Shape = Shape::Word(&["datafusion", "snowflake"]);

fn no_backend(name: &str, entry: &Entry) -> Diagnostic {
    let message = format!("the target `{name}` does not say its backend");
    Diagnostic::error("missing-key", message)
        .at(entry.key.span.clone())
        .hint("add `backend: datafusion` or `backend: snowflake`")
}

fn local(root: &Path, name: &str, node: &Node, problems: &mut Vec<Diagnostic>) -> Local {
    let default = if name == "local" { ".pipe".to_owned() } else { format!(".pipe/{name}") };
    let state = node.get("state").and_then(Node::text).map_or(default, str::to_owned);
    let sources = node.get("sources");
    let mut tables = IndexMap::new();
    for entry in node.get("tables").map(Node::entries).unwrap_or_default() {
        match TableName::parse(&entry.key.value).filter(|name| name.schema.is_some()) {
            Some(table) => {
                if let Some(location) = location(root, &entry.value, problems) {
                    tables.insert(table, Spanned::new(location, entry.key.span.clone()));
                }
            }
            None => {
                let message = format!("`{}` is not a table name with its schema", entry.key.value);
                problems.push(Diagnostic::error("wrong-value", message).at(entry.key.span.clone()));
            }
        }
    }
    Local {
        state: straight(&root.join(state)),
        sources: sources.and_then(|n| Some(Spanned::new(place::absolute(root, n.text()?), n.span.clone()))),
        tables,
    }
}

fn location(root: &Path, node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Location> {
    let path = node.get("path").unwrap_or(node).text()?;
    let format = match node.get("format").and_then(Node::text) {
        Some("csv") => Some(Format::Csv),
        Some("parquet") => Some(Format::Parquet),
        Some("jsonl") => Some(Format::JsonLines),
        Some("files") => Some(Format::Files),
        _ => Format::of(path),
    };
    let Some(format) = format else {
        let message = format!("`{path}` does not say what its rows are written as");
        let diagnostic = Diagnostic::error("wrong-value", message).at(node.span.clone());
        problems.push(diagnostic.hint("write `{path: …, format: parquet}`, or `csv`, `jsonl` or `files`"));
        return None;
    };
    for key in ["delimiter", "header"] {
        if let Some(value) = node.get(key).filter(|_| format != Format::Csv) {
            let message = format!("`{key}` says nothing about {format}");
            problems.push(Diagnostic::error("wrong-value", message).at(value.span.clone()).hint("leave it out"));
        }
    }
    let delimiter = node.get("delimiter").and_then(Node::text).unwrap_or(",");
    let &[delimiter] = delimiter.as_bytes() else {
        let message = format!("`{delimiter}` is not one character that can divide values");
        problems.push(Diagnostic::error("wrong-value", message).at(node.span.clone()));
        return None;
    };
    let header = node.get("header").and_then(Node::boolean).unwrap_or(true);
    Some(Location { path: place::absolute(root, path), format, delimiter, header, order: Vec::new() })
}

/// The databases under `connections`.
fn connections(node: &Node, problems: &mut Vec<Diagnostic>) -> IndexMap<String, Connection> {
    let entries = node.get("connections").map(Node::entries).unwrap_or_default().iter();
    entries.map(|entry| (entry.key.value.clone(), connection(&entry.value, problems))).collect()
}

/// What every connection must say, once the target has had its say.
pub(super) fn complete(connections: &IndexMap<String, Connection>, target: &Span, problems: &mut Vec<Diagnostic>) {
    for (name, connection) in connections {
        let place = connection.parameters.values().next().map_or(target, |parameter| &parameter.span);
        let lacks: Vec<&str> =
            ["host", "database", "user"].into_iter().filter(|key| !connection.parameters.contains_key(*key)).collect();
        if let Some(first) = lacks.first() {
            let message = format!("the connection `{name}` does not say its `{first}`");
            problems.push(Diagnostic::error("missing-key", message).at(place.clone()));
        }
        let Some(port) = connection.parameters.get("port") else { continue };
        if let Parameter::Plain(text) = &port.value
            && text.parse::<u16>().is_err()
        {
            let message = format!("`{text}` is no port");
            problems.push(Diagnostic::error("wrong-value", message).at(port.span.clone()).hint("write it like `5432`"));
        }
    }
}

/// The parameters that may only be references to secrets.
const SECRET_ONLY: [&str; 4] = ["private_key", "private_key_passphrase", "password", "oauth_token"];

fn connection(node: &Node, problems: &mut Vec<Diagnostic>) -> Connection {
    let mut parameters = IndexMap::new();
    for entry in node.entries() {
        let key = entry.key.value.as_str();
        let Some(text) = entry.value.scalar().filter(|_| !matches!(key, "backend" | "date" | "vars" | "connections"))
        else {
            continue;
        };
        let parameter = match secret_name(text) {
            Some(Ok(name)) => Parameter::Secret(name),
            Some(Err(())) => {
                let message = format!("`{key}` is neither a plain value nor a reference to a secret");
                let diagnostic = Diagnostic::error("wrong-value", message).at(entry.value.span.clone());
                problems.push(diagnostic.hint("write `\"{{ secret('/path/of/the/secret') }}\"`"));
                continue;
            }
            None if SECRET_ONLY.contains(&key) => {
                // The place is the key's: the value must not be shown.
                let message = format!("`{key}` is written out here, where everyone can read it");
                let diagnostic = Diagnostic::error("secret-in-file", message).at(entry.key.span.clone());
                problems.push(Diagnostic { span: None, ..diagnostic }.hint(format!(
                    "write `{key}: \"{{{{ secret('/path/of/the/secret') }}}}\"` in `{}`",
                    entry.key.span
                )));
                continue;
            }
            None => Parameter::Plain(text.to_owned()),
        };
        parameters.insert(key.to_owned(), Spanned::new(parameter, entry.value.span.clone()));
    }
    Connection { parameters }
}

/// The name in `{{ secret('name') }}`; an error for another template, none for plain text.
fn secret_name(text: &str) -> Option<Result<String, ()>> {
    let text = text.trim();
    if !text.contains("{{") {
        return None;
    }
    let inner = text.strip_prefix("{{").and_then(|t| t.strip_suffix("}}")).map(str::trim);
    let argument = inner.and_then(|t| t.strip_prefix("secret(")).and_then(|t| t.strip_suffix(')')).map(str::trim);
    let quoted = |quote: char| argument.and_then(|t| t.strip_prefix(quote)).and_then(|t| t.strip_suffix(quote));
    let name = quoted('\'').or_else(|| quoted('"')).filter(|name| !name.is_empty() && !name.contains(['\'', '"']));
    Some(name.map(str::to_owned).ok_or(()))
}

/// `name=value` of the command line, the value read as YAML.
pub(super) fn flag_variables(flags: &[String], variables: &mut Variables, problems: &mut Vec<Diagnostic>) {
    for flag in flags {
        let Some((name, value)) = flag.split_once('=').filter(|(name, _)| !name.trim().is_empty()) else {
            let message = format!("`--var {flag}` does not give a variable a value");
            problems.push(Diagnostic::error("wrong-value", message).hint("write `--var name=value`"));
            continue;
        };
        match yaml::parse(&SourceFile::new("--var", value)) {
            Ok(node) => variables.insert(name.trim(), Variable::from_yaml(&node)),
            Err(more) => problems.extend(more),
        }
    }
}
