//! Load steps: files → rows of the declared columns. A row that does not fit is left out, counted and kept in a reject file
//! with its file, row and reason; a file that is not what it says it is fails the step.

/// Rows of CSV and JSON lines.
mod text;

/// Rows of Parquet.
mod parquet;

/// Rows that were refused.
mod reject;

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::SchemaRef;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::stopped;
use crate::backend::{BackendError, Rows};
use crate::dialect::Column;
use crate::dialect::texts::Conversion;
use crate::dialect::types::SqlType;
use crate::job::file::{Compression, Format};
use crate::job::load::Load;
use crate::ledger::TestRecord;
use crate::plan::{PlannedStep, Verdict};
use crate::store::{File, Stores};
use crate::text::counted;
use reject::Rejects;

/// Batches that a reader may be ahead of whoever takes them.
const AHEAD: usize = 2;

/// A load under way: its rows, and once they are read, what was refused.
pub struct Loading {
    /// The rows that fit.
    pub rows: Rows,
    /// What became of all of them.
    pub tally: Tally,
}

/// How many rows were read and how many refused.
#[derive(Clone)]
pub struct Tally {
    counts: Arc<Mutex<Counts>>,
    max_bad: crate::rule::Threshold,
    max_bad_text: String,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    read: u64,
    refused: u64,
    first: Option<String>,
    kept: Option<String>,
}

impl Tally {
    /// What the load says of the rows it refused, as a test of the step; none where it refused none.
    pub fn record(&self) -> Option<TestRecord> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if counts.refused == 0 {
            return None;
        }
        let too_many = self.max_bad.exceeded(counts.refused, counts.read);
        let were = if counts.refused == 1 { "was" } else { "were" };
        let first = counts.first.map(|first| format!("; the first is {first}")).unwrap_or_default();
        let kept = counts.kept.map(|path| format!("; all are in `{path}`")).unwrap_or_default();
        Some(TestRecord {
            name: format!("max_bad({})", self.max_bad_text),
            verdict: if too_many { Verdict::Fail } else { Verdict::Warn },
            count: Some(counts.refused),
            message: Some(format!("{} of {} {were} refused{first}{kept}", counts.refused, counted(counts.read, "row"))),
        })
    }
}

/// A row that does not fit: its column and value, where one of them is the reason, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) column: Option<String>,
    pub(super) value: Option<String>,
    pub(super) reason: String,
}

impl Unfit {
    /// A row that is wrong as a whole.
    pub(super) fn row(reason: impl Into<String>) -> Self {
        Self { column: None, value: None, reason: reason.into() }
    }
}

/// The row of a file that a record is.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    row: u64,
    line: u64,
}

/// Finds the files and starts to read them. `rejects` is where refused rows go.
pub(super) async fn start(
    stores: Arc<Stores>,
    step: &PlannedStep,
    load: &Load,
    patterns: &[String],
    rejects: std::path::PathBuf,
) -> Result<Loading, BackendError> {
    let files = found(&stores, load, patterns).await?;
    let mut columns = Vec::new();
    for (column, field) in step.columns.iter().zip(step.schema.fields()) {
        let conversion = Conversion::to(column.sql_type, field.data_type())
            .map_err(|error| BackendError::author(error.strip_backtrace()))?;
        columns.push(Target { column: column.clone(), name: column.name.lower(), conversion });
    }
    let counts = Arc::new(Mutex::new(Counts::default()));
    let tally = Tally { counts: counts.clone(), max_bad: load.max_bad, max_bad_text: load.max_bad_text.clone() };
    let (sender, receiver) = mpsc::channel(AHEAD);
    let (load, schema, runtime) = (load.clone(), step.schema.clone(), Handle::current());
    let reading = tokio::task::spawn_blocking(move || {
        let rejects = Rejects::new(rejects);
        let mut loader = Loader { stores, load, columns, schema, runtime, counts, rejects, sender };
        let done = files.iter().try_for_each(|file| loader.file(file));
        loader.end(done)
    });
    let next = |(mut receiver, reading): (mpsc::Receiver<RecordBatch>, Option<tokio::task::JoinHandle<_>>)| async move {
        if let Some(batch) = receiver.recv().await {
            return Some((Ok(batch), (receiver, reading)));
        }
        match reading?.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some((Err(error), (receiver, None))),
            Err(error) => Some((Err(stopped(&error)), (receiver, None))),
        }
    };
    let rows = futures::stream::unfold((receiver, Some(reading)), next);
    Ok(Loading { rows: Box::pin(rows), tally })
}

/// The files of a load; there must be one for every pattern, unless the author says otherwise.
async fn found(stores: &Stores, load: &Load, patterns: &[String]) -> Result<Vec<File>, BackendError> {
    let mut files = Vec::new();
    for pattern in patterns {
        let listed = match load.format {
            Some(_) => stores.list(pattern, is_data).await?,
            None => stores.list(pattern, |name| is_data(name) && Format::of(name).is_some()).await?,
        };
        if listed.is_empty() && !load.may_be_empty {
            let hint = "write `no_files: empty` where that may be so";
            return Err(BackendError::author(format!("there is no file `{pattern}`; {hint}")));
        }
        files.extend(listed);
    }
    files.dedup_by(|a, b| a.name == b.name);
    Ok(files)
}

/// Whether a file of a folder is one of rows: neither hidden nor about the others.
pub(super) fn is_data(name: &str) -> bool {
    !name.starts_with(['.', '_']) && name != "manifest.json"
}

/// A declared column.
struct Target {
    column: Column,
    name: String,
    conversion: Conversion,
}

/// Reads files one after another.
struct Loader {
    stores: Arc<Stores>,
    load: Load,
    columns: Vec<Target>,
    schema: SchemaRef,
    runtime: Handle,
    counts: Arc<Mutex<Counts>>,
    rejects: Rejects,
    sender: mpsc::Sender<RecordBatch>,
}

impl Loader {
    fn file(&mut self, file: &File) -> Result<(), BackendError> {
        let Some(format) = self.load.format.or_else(|| Format::of(&file.name)) else {
            let hint = "add `format: csv`, or `jsonl`, or `parquet`";
            return Err(BackendError::author(format!(
                "`{}` does not say what its rows are written as: {hint}",
                file.name
            )));
        };
        let packed = self.load.compression.unwrap_or_else(|| Compression::of(&file.name));
        match format {
            Format::Csv => self.csv(&file.name, packed),
            Format::JsonLines => self.json_lines(&file.name, packed),
            Format::Parquet => self.parquet(file),
        }
    }

    /// The rejects are kept also where the load fails: they say why.
    fn end(mut self, done: Result<(), BackendError>) -> Result<(), BackendError> {
        let kept = self.rejects.finish()?;
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).kept = kept;
        done
    }

    fn refuse(&mut self, file: &str, place: Place, unfit: Unfit, record: &[u8]) -> Result<(), BackendError> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.refused += 1;
        counts.first.get_or_insert_with(|| format!("`{file}`, row {}: {}", place.row, unfit.reason));
        drop(counts);
        self.rejects.add(file, place, &unfit, record)
    }

    fn count(&self, rows: u64) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).read += rows;
    }

    /// Hands on those of the rows that no column refuses. `record` gives the place and text of a row.
    fn hand_on<'r>(
        &mut self,
        file: &str,
        converted: Vec<Converted>,
        rows: usize,
        record: &dyn Fn(usize) -> (Place, &'r [u8]),
    ) -> Result<(), BackendError> {
        let mut unfit: std::collections::BTreeMap<usize, Unfit> = std::collections::BTreeMap::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for column in converted {
            for (row, reason) in column.refused {
                unfit.entry(row).or_insert(reason);
            }
            arrays.push(column.values);
        }
        let options = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options);
        let mut batch = batch.map_err(|error| BackendError::author(error.to_string()))?;
        if !unfit.is_empty() {
            let fits: BooleanArray = (0..rows).map(|row| Some(!unfit.contains_key(&row))).collect();
            batch = filter_record_batch(&batch, &fits).map_err(|error| BackendError::author(error.to_string()))?;
            for (row, reason) in unfit {
                let (place, text) = record(row);
                self.refuse(file, place, reason, text)?;
            }
        }
        self.send(batch)
    }

    fn send(&self, batch: RecordBatch) -> Result<(), BackendError> {
        let stop = |_| BackendError::new(crate::backend::Remedy::Cancelled, "the load was stopped");
        self.sender.blocking_send(batch).map_err(stop)
    }

    /// The values of a column's texts, and which rows have none that fits.
    fn convert(&self, at: usize, texts: &StringArray) -> Result<Converted, BackendError> {
        let target = &self.columns[at];
        let values = target.conversion.tried(texts).map_err(|error| BackendError::author(error.strip_backtrace()))?;
        let mut refused = Vec::new();
        let limit =
            if let SqlType::Varchar(Some(limit)) = target.column.sql_type { Some(limit as usize) } else { None };
        for row in 0..texts.len() {
            let reason = if texts.is_null(row) {
                if target.column.nullable {
                    continue;
                }
                format!("NULL in column `{}`, which may not be", target.name)
            } else if values.is_null(row) {
                format!("`{}` is no {} for column `{}`", shown(texts.value(row)), target.column.sql_type, target.name)
            } else if limit.is_some_and(|limit| texts.value(row).chars().count() > limit) {
                let (text, sql_type) = (shown(texts.value(row)), target.column.sql_type);
                format!("`{text}` is too long for column `{}`, which is {sql_type}", target.name)
            } else {
                continue;
            };
            let value = (!texts.is_null(row)).then(|| texts.value(row).to_owned());
            refused.push((row, Unfit { column: Some(target.name.clone()), value, reason }));
        }
        Ok(Converted { values, refused })
    }

    /// The places, in a file that has these columns, of those that are declared.
    fn places(&self, file: &str, found: &[String]) -> Result<Vec<Option<usize>>, BackendError> {
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = found.iter().find(|name| !seen.insert(name.to_uppercase())) {
            return Err(BackendError::author(format!("`{file}` has two columns called `{twice}`")));
        }
        let place = |target: &Target| {
            let name = target.column.name.as_str();
            let exact = found.iter().position(|found| found == name);
            exact.or_else(|| found.iter().position(|found| found.eq_ignore_ascii_case(name)))
        };
        let places: Vec<Option<usize>> = self.columns.iter().map(place).collect();
        let lacks = self.columns.iter().zip(&places).filter(|(_, place)| place.is_none()).map(|(target, _)| target);
        self.lacking(file, lacks.map(|target| target.name.as_str()).collect(), found)?;
        let extra =
            found.iter().enumerate().filter(|(at, _)| !places.contains(&Some(*at))).map(|(_, name)| name.as_str());
        self.undeclared(file, extra.collect())?;
        Ok(places)
    }

    fn lacking(&self, file: &str, names: Vec<&str>, found: &[String]) -> Result<(), BackendError> {
        let Some(first) = names.first().filter(|_| !self.load.missing_is_null) else { return Ok(()) };
        let near = crate::name::nearest(&first.to_uppercase(), found);
        let near = near.map_or_else(String::new, |near| format!("; it has `{near}`"));
        let hint = "write `missing_columns: as_null` where they may be missing";
        Err(BackendError::author(format!("`{file}` lacks the {}{near}; {hint}", named(&names))))
    }

    fn undeclared(&self, file: &str, names: Vec<&str>) -> Result<(), BackendError> {
        if names.is_empty() || self.load.extra_ignored {
            return Ok(());
        }
        let hint = "declare them, or write `extra_columns: ignore` to leave them out";
        Err(BackendError::author(format!("`{file}` has the undeclared {}; {hint}", named(&names))))
    }
}

/// The values of one column, and the rows that it refuses.
struct Converted {
    values: ArrayRef,
    refused: Vec<(usize, Unfit)>,
}

fn named(names: &[&str]) -> String {
    let noun = if names.len() == 1 { "column" } else { "columns" };
    format!("{noun} {}", names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
}

fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
