//! The tables that the project reads and does not make, where they are: CSV, JSON lines or Parquet files. What a file
//! holds is cast to the types of the table's contract on the way in; what does not fit is an error with file and row.

/// Texts → values of the declared types.
mod convert;

/// Marks of files' contents.
mod mark;

/// Rows of CSV and JSON lines.
mod text;

/// Rows of Parquet.
mod columnar;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::datasource::TableProvider;
use datafusion::execution::SessionState;

pub(crate) use mark::Marks;

use crate::backend::{BackendError, Remedy};
use crate::dialect::Column;
use crate::name::TableName;

/// What a file of a source holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    JsonLines,
    Parquet,
}

impl Format {
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// One source: its contract and the files that hold it.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its columns, as the contract declares them.
    pub columns: Vec<Column>,
    /// A file, a folder of files of one kind, or either without its ending.
    pub location: PathBuf,
}

/// All sources of a project by name.
pub type Sources = HashMap<TableName, Source>;

impl Source {
    /// The files that hold it, in the order of their names.
    pub(super) fn files(&self, name: &TableName) -> Result<(Format, Vec<PathBuf>), BackendError> {
        let missing = || {
            let place = self.location.display();
            let hint = "a file of that name ending in .csv, .jsonl or .parquet, or a folder of such files, is expected";
            BackendError::author(format!("source `{}` has no data: `{place}` does not exist; {hint}", name.lower()))
        };
        let paths = if self.location.is_dir() {
            listed(&self.location)?
        } else if self.location.is_file() {
            vec![self.location.clone()]
        } else {
            let endings = ["parquet", "csv", "jsonl", "ndjson"].into_iter();
            let mut named = endings.map(|ending| appended(&self.location, ending));
            vec![named.find(|path| path.is_file()).ok_or_else(missing)?]
        };
        let mut formats = paths.iter().filter_map(|path| Format::of(path));
        let format = formats.next().ok_or_else(missing)?;
        if formats.any(|other| other != format) {
            let place = self.location.display();
            return Err(BackendError::author(format!("`{place}` holds files of several kinds; one kind is expected")));
        }
        Ok((format, paths.into_iter().filter(|path| Format::of(path) == Some(format)).collect()))
    }

    /// Its rows, in the types of its contract.
    pub(super) async fn provider(
        &self,
        name: &TableName,
        state: &SessionState,
        zone: &str,
    ) -> Result<Arc<dyn TableProvider>, BackendError> {
        let (format, files) = self.files(name)?;
        let schema = crate::plan::schema_of(&self.columns, zone);
        match format {
            Format::Parquet => columnar::provider(&files, &self.columns, &schema, state).await,
            Format::Csv | Format::JsonLines => text::provider(format, files, &self.columns, &schema),
        }
    }

    /// Whether its files can be opened and have the columns of its contract.
    pub(super) fn check(&self, name: &TableName) -> Result<(), BackendError> {
        let (format, files) = self.files(name)?;
        files.iter().try_for_each(|path| match format {
            Format::Parquet => columnar::check(path, &self.columns),
            Format::Csv | Format::JsonLines => text::check(format, path, &self.columns),
        })
    }
}

fn appended(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>, BackendError> {
    let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(|error| unreadable(folder, &error))?.path());
    }
    paths.sort();
    Ok(paths)
}

/// A file that cannot be read.
pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> BackendError {
    let remedy = match error.kind() {
        std::io::ErrorKind::PermissionDenied => Remedy::Access,
        std::io::ErrorKind::Interrupted | std::io::ErrorKind::TimedOut => Remedy::Retry,
        _ => Remedy::Author,
    };
    BackendError::new(remedy, format!("cannot read `{}`: {error}", path.display()))
}

/// The places in a file's header of the columns that a contract declares, names compared as SQL does.
pub(super) fn places(path: &Path, header: &[String], columns: &[Column]) -> Result<Vec<usize>, BackendError> {
    let mut missing = Vec::new();
    let mut places = Vec::new();
    for column in columns {
        let exact = header.iter().position(|name| name == column.name.as_str());
        let place = exact.or_else(|| header.iter().position(|name| name.eq_ignore_ascii_case(column.name.as_str())));
        match place {
            Some(place) => places.push(place),
            None => missing.push(column),
        }
    }
    let Some(first) = missing.first() else { return Ok(places) };
    let names: Vec<String> = missing.iter().map(|column| format!("`{}`", column.name.lower())).collect();
    let near = crate::name::nearest(first.name.as_str(), header);
    let hint = near.map_or_else(String::new, |near| format!("; it has `{near}`"));
    let noun = if names.len() == 1 { "column" } else { "columns" };
    Err(BackendError::author(format!(
        "`{}` lacks the {noun} {} of its contract{hint}",
        path.display(),
        names.join(", ")
    )))
}

#[cfg(test)]
mod tests;
