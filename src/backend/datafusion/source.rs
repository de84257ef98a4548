//! The tables that the project reads and does not make, where they are: CSV, JSON lines or Parquet files. What a file
//! holds is cast to the types of the table's contract on the way in; what does not fit is an error with file and row.

/// Rows of CSV and JSON lines.
mod text;

/// Panics of readers as answers.
mod guard;

/// Damaged pages of Parquet files.
mod pages;

/// Rows of text files that were read before.
mod parsed;

/// Rows of Parquet.
mod columnar;

/// Whole files as rows.
mod whole;

/// Sources that are opened when they are read.
mod lazy;

/// Sources in S3.
mod remote;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::datasource::TableProvider;
use datafusion::execution::SessionState;

use crate::backend::{BackendError, Remedy};
use crate::dialect::Column;
use crate::name::TableName;
use crate::plan::Hash;
use crate::plan::step::columns_text;
use crate::source::{Format, Location};
use crate::store::Marks;

pub(super) use pages::Pages;

/// One source: its contract and where its rows are.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its columns, as the contract declares them.
    pub columns: Vec<Column>,
    /// Where its rows are.
    pub location: Location,
}

/// All sources of a project that have rows, by name.
pub type Sources = HashMap<TableName, Source>;

impl Source {
    /// The files that hold it, in the order of their names.
    pub(super) fn files(&self, name: &TableName) -> Result<Vec<PathBuf>, BackendError> {
        let written = &self.location.path;
        if self.location.is_remote() && !written.starts_with("s3://") {
            let message =
                format!("source `{}` is at `{written}`, which is neither on this machine nor in S3", name.lower());
            return Err(BackendError::author(message));
        }
        let local = written.strip_prefix("file://").unwrap_or(written);
        let files = if self.location.is_remote() {
            remote::files(&self.location)?
        } else if local.ends_with('/') {
            let mut files = listed(Path::new(local))?;
            files.retain(|path| match self.location.format {
                Format::Files => path.is_file(),
                format => Format::of(&path.to_string_lossy()) == Some(format),
            });
            files
        } else if local.contains('*') {
            matching(local)?
        } else {
            vec![PathBuf::from(local)]
        };
        if files.is_empty() {
            return Err(BackendError::author(format!(
                "source `{}` has no data: `{written}` has no files",
                name.lower()
            )));
        }
        Ok(files)
    }

    /// It as a table for a session in this time zone, opened when it is read.
    pub fn table(self, name: TableName, zone: &str) -> Arc<dyn TableProvider> {
        Arc::new(lazy::Lazy::new(name, self, zone))
    }

    /// Its rows, in the types of its contract.
    pub(super) async fn provider(
        &self,
        name: &TableName,
        state: &SessionState,
        zone: &str,
    ) -> Result<Arc<dyn TableProvider>, BackendError> {
        let files = self.files(name)?;
        let schema = crate::plan::schema_of(&self.columns, zone);
        match self.location.format {
            Format::Parquet => columnar::provider(&files, &self.columns, &schema, state).await,
            Format::Csv | Format::JsonLines => Ok(text::provider(&self.location, files, &self.columns, &schema)),
            Format::Files => Ok(whole::provider(files, &schema)),
        }
    }

    /// Everything that is wrong with its files: whether they can be opened, have the columns of its contract and, where
    /// they are texts that are not known yet, values of the contract's types.
    pub(super) fn check(&self, name: &TableName, marks: &Marks, zone: &str) -> Vec<BackendError> {
        let files = match self.files(name) {
            Ok(files) => files,
            Err(error) => return vec![error],
        };
        files.iter().flat_map(|path| self.check_file(path, marks, zone)).collect()
    }

    fn check_file(&self, path: &Path, marks: &Marks, zone: &str) -> Vec<BackendError> {
        let checked = match self.location.format {
            Format::Parquet => columnar::check(path, &self.columns),
            Format::Files => whole::check(path, &self.columns),
            Format::Csv | Format::JsonLines => text::check(&self.location, path, &self.columns),
        };
        if let Err(error) = checked {
            return vec![error];
        }
        if matches!(self.location.format, Format::Parquet | Format::Files) {
            return Vec::new();
        }
        let contract = self.contract();
        if marks.fits(path, &contract) {
            return Vec::new();
        }
        let schema = crate::plan::schema_of(&self.columns, zone);
        let faults = text::check_values(&self.location, path, &self.columns, &schema);
        if faults.is_empty() {
            marks.found_to_fit(path, &contract);
        }
        faults
    }

    /// A mark of its contract.
    pub(super) fn contract(&self) -> String {
        Hash::of([columns_text(&self.columns).as_str()]).to_string()
    }
}

fn matching(pattern: &str) -> Result<Vec<PathBuf>, BackendError> {
    let wrong =
        |error: &dyn std::fmt::Display| BackendError::author(format!("`{pattern}` cannot be searched: {error}"));
    let mut paths = Vec::new();
    for path in glob::glob(pattern).map_err(|error| wrong(&error))? {
        paths.push(path.map_err(|error| wrong(&error))?);
    }
    Ok(paths)
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
    BackendError::new(remedy, format!("cannot read `{}`: {}", remote::shown(path), crate::store::why(error)))
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
    let names: Vec<String> = missing.iter().map(|column| format!("`{}`", column.name.shown())).collect();
    let near = crate::name::nearest(first.name.as_str(), header);
    let hint = near.map_or_else(String::new, |near| format!("; it has `{near}`"));
    let noun = if names.len() == 1 { "column" } else { "columns" };
    Err(BackendError::author(format!(
        "`{}` lacks the {noun} {} of its contract{hint}",
        remote::shown(path),
        names.join(", ")
    )))
}
