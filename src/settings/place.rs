//! Where the rows of a source are on an embedded target: what `pipe.yaml` says, or the file that a folder has for it.

use std::path::Path;

use super::Local;
use crate::name::TableName;
use crate::project::straight;
use crate::source::{Format, Location};

/// A path from the project's folder made absolute; a URL as it is.
pub(super) fn absolute(root: &Path, path: &str) -> String {
    if path.contains("://") { path.to_owned() } else { straight(&root.join(path)).to_string_lossy().into_owned() }
}

pub(super) fn location(local: &Local, table: &TableName) -> Option<Location> {
    if let Some(location) = local.tables.get(table) {
        return Some(location.value.clone());
    }
    let pattern = pattern(local, table)?;
    if let Some(format) = Format::of(&pattern) {
        let there = pattern.contains("://") || pattern.contains('*') || Path::new(&pattern).exists();
        return there.then(|| Location::new(pattern, format));
    }
    if pattern.contains("://") {
        return Some(Location::new(format!("{pattern}.parquet"), Format::Parquet));
    }
    let mut files = Format::extensions().map(|(extension, format)| (format!("{pattern}.{extension}"), format));
    let file = files.find(|(path, _)| Path::new(path).is_file());
    let location = file.map(|(path, format)| Location::new(path, format));
    location.or_else(|| folder(&pattern))
}

/// A folder of files that are all the same table: its format is that of the first file.
fn folder(path: &str) -> Option<Location> {
    let entries = std::fs::read_dir(path).ok()?;
    let mut names: Vec<_> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    let format = names.iter().find_map(|name| Format::of(name))?;
    Some(Location::new(format!("{path}/"), format))
}

pub(super) fn expected(local: &Local, table: &TableName) -> String {
    match pattern(local, table) {
        Some(pattern) if Format::of(&pattern).is_some() => pattern,
        Some(pattern) => format!("{pattern}.parquet, .csv or .jsonl"),
        None => format!("{} (this target has no `sources:`)", table.lower()),
    }
}

/// The path of a table in the target's `sources`, with or without its extension.
fn pattern(local: &Local, table: &TableName) -> Option<String> {
    let sources = local.sources.as_ref()?.value.as_str();
    let schema = table.schema.as_ref()?.lower();
    let name = table.table.lower();
    if [&schema, &name].iter().any(|part| part.contains(['/', '\\']) || part.starts_with('.')) {
        return None;
    }
    if sources.contains("{table}") {
        return Some(sources.replace("{schema}", &schema).replace("{table}", &name));
    }
    Some(format!("{}/{schema}/{name}", sources.trim_end_matches('/')))
}
