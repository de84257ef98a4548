//! `audio`: what sound files hold, one row per file: how long each is speech, music, silence or something else, and how
//! loud it is. It reads no file: the bytes are a column of its input.
//!
//! `loudness` is the integrated loudness in LUFS, `loudness_range` in LU and `true_peak` in dBTP, all of EBU R 128 (ITU-R
//! BS.1770-4, EBU Tech 3342); NULL where all is too quiet to be measured. The shares are of all channels together.
//! WAV and FLAC are known by their content. A file that cannot be decoded is an error, or left out and counted with
//! `on_error: drop`. Files are decoded block by block as they come; rows come out by item.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{SortColumn, cast, concat_batches, lexsort_to_indices, take_record_batch};
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::arrow::util::display::array_value_to_string;
use ebur128::{EbuR128, Mode};
use rayon::prelude::*;

use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::dialect::types::SqlType;
use crate::name::{Name, TableName};
use crate::text::Spanned;
use crate::yaml::Node;
use crate::yaml::shape::{Key, Record, Shape};

use super::column::{field, float_column, made, outcome};
use super::param::{COLUMN, COLUMNS, ColumnName, Params, TABLE};
use super::scope::{Scope, distinct};
use super::sql::{list, names};
use super::{Context, Finished, Footprint, Form, Give, Kernel, Origin, TransformError};

/// Bytes → blocks of samples.
mod decode;

/// Values → how much of each frequency.
mod spectrum;

/// Samples → figures of short frames.
mod frames;

/// Frames → shares of speech, music and silence.
mod kinds;

#[cfg(test)]
mod tests;

/// The parameters of an `audio` step.
#[derive(Clone, Debug)]
pub struct Audio {
    input: Spanned<TableName>,
    item: Vec<ColumnName>,
    content: ColumnName,
    drops: bool,
}

/// The keys of an `audio` step.
pub(super) const RECORD: Record = Record::new(
    "audio",
    &[
        Key::new("input", TABLE, "The step or table with one row per sound file.").required().example("clips"),
        Key::new("item", COLUMNS, "What the sound is of; carried over.").required().example("program_id"),
        Key::new("content", COLUMN, "The BINARY column with the file's bytes; `content` where absent.")
            .example("content"),
        Key::new(
            "on_error",
            Shape::Word(&["error", "drop"]),
            "Whether a file that cannot be decoded is an error, or its row is left out.",
        )
        .example("drop"),
    ],
);

const FIGURES: [&str; 8] =
    ["SECONDS", "SPEECH", "MUSIC", "SILENCE", "OTHER", "LOUDNESS", "LOUDNESS_RANGE", "TRUE_PEAK"];

impl Audio {
    /// Reads a node that was checked against [`RECORD`].
    pub(super) fn read(node: &Node) -> Self {
        let params = Params(node);
        Self {
            input: params.input(),
            item: params.columns("item"),
            content: params
                .column("content")
                .unwrap_or_else(|| ColumnName::new(Name::quoted("CONTENT"), node.span.clone())),
            drops: params.word("on_error") == Some("drop"),
        }
    }
}

/// Decodes files as they come and keeps their figures.
struct Listener {
    audio: Audio,
    schema: SchemaRef,
    heard: Mutex<Heard>,
}

/// What has been heard so far.
#[derive(Default)]
struct Heard {
    batches: Vec<RecordBatch>,
    without_content: u64,
    not_decoded: u64,
}

impl Kernel for Listener {
    fn push(&self, _: usize, _: usize, batch: RecordBatch) -> Result<(), TransformError> {
        let content = self.audio.content.value.as_str();
        let Some(column) = batch.column_by_name(content) else { return Ok(()) };
        let column = cast(column, &DataType::Binary)?;
        let sounds = column.as_binary::<i32>();
        let listen = |row: usize| sounds.is_valid(row).then(|| listen(sounds.value(row)));
        let heard: Vec<Option<Result<[f64; 8], String>>> = (0..batch.num_rows()).into_par_iter().map(listen).collect();
        let (mut rows, mut figures) = (Vec::new(), Vec::new());
        let (mut without_content, mut not_decoded) = (0, 0);
        for (row, heard) in (0_u32..).zip(heard) {
            match heard {
                None => without_content += 1,
                Some(Ok(one)) => {
                    rows.push(row);
                    figures.push(one);
                }
                Some(Err(_)) if self.audio.drops => not_decoded += 1,
                Some(Err(problem)) => return Err(self.refused(&batch, row as usize, &problem)),
            }
        }
        let kept = take_record_batch(&batch, &UInt32Array::from(rows))?;
        let items = names(&self.audio.item).filter_map(|name| kept.column_by_name(name.as_str()).cloned());
        let columns = (0..FIGURES.len()).map(|at| float_column(figures.iter().map(|one| one[at])));
        let made = RecordBatch::try_new(Arc::clone(&self.schema), items.chain(columns).collect())?;
        let mut all = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        all.batches.push(made);
        all.without_content += without_content;
        all.not_decoded += not_decoded;
        Ok(())
    }

    fn finish(&self, give: &mut Give<'_>) -> Result<Finished, TransformError> {
        let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        let all = concat_batches(&self.schema, &heard.batches)?;
        let keys: Vec<SortColumn> = (0..self.audio.item.len())
            .map(|at| SortColumn { values: Arc::clone(all.column(at)), options: None })
            .collect();
        let sorted = match all.num_rows() {
            0 => all,
            _ => take_record_batch(&all, &lexsort_to_indices(&keys, None)?)?,
        };
        let fields = self.schema.fields().iter().map(|field| field.as_ref().clone());
        let columns: Vec<_> = fields.zip(sorted.columns().iter().cloned()).collect();
        let dropped =
            vec![("without content".to_owned(), heard.without_content), ("not decoded".to_owned(), heard.not_decoded)];
        outcome(columns, dropped)?.give(give)
    }
}

impl Listener {
    fn refused(&self, batch: &RecordBatch, row: usize, problem: &str) -> TransformError {
        let value = |name: &Name| {
            let column = batch.column_by_name(name.as_str())?;
            Some(format!("{} {}", name.lower(), array_value_to_string(column, row).ok()?))
        };
        let item: Vec<String> = names(&self.audio.item).filter_map(value).collect();
        let message = format!("the sound of {} cannot be decoded: {problem}", item.join(", "));
        TransformError::Data(format!("{message}; set `on_error: drop` to leave such files out"))
    }
}

/// The figures of one file.
fn listen(bytes: &[u8]) -> Result<[f64; 8], String> {
    let mut meters: Option<Meters> = None;
    decode::decode(bytes, |block| {
        let meters = match &mut meters {
            Some(meters) => meters,
            none => none.insert(Meters::new(block)?),
        };
        meters.take(block)
    })?;
    meters.map(Meters::read).ok_or_else(|| "it has no samples".to_owned())
}

/// What measures a sound as it is decoded.
struct Meters {
    loudness: EbuR128,
    frames: frames::Frames,
    rate: u32,
    instants: usize,
}

impl Meters {
    fn new(block: &decode::Block) -> Result<Self, String> {
        let channels = u32::try_from(block.channels).unwrap_or(u32::MAX);
        let loudness = EbuR128::new(channels, block.rate, Mode::I | Mode::LRA | Mode::TRUE_PEAK);
        let loudness = loudness.map_err(|error| error.to_string())?;
        Ok(Self { loudness, frames: frames::Frames::new(block.rate), rate: block.rate, instants: 0 })
    }

    fn take(&mut self, block: &decode::Block) -> Result<(), String> {
        self.loudness.add_frames_f32(&block.samples).map_err(|error| error.to_string())?;
        self.instants += block.samples.len() / block.channels;
        self.frames.push(block.mono());
        Ok(())
    }

    fn read(self) -> [f64; 8] {
        let shares = kinds::shares(&self.frames.finish());
        let peaks = (0..self.loudness.channels()).filter_map(|channel| self.loudness.true_peak(channel).ok());
        let known = |figure: f64| if figure.is_finite() { figure } else { f64::NAN };
        #[expect(clippy::cast_precision_loss, reason = "samples of one file")]
        let seconds = self.instants as f64 / f64::from(self.rate);
        [
            seconds,
            shares.speech,
            shares.music,
            shares.silence,
            shares.other,
            known(self.loudness.loudness_global().unwrap_or(f64::NAN)),
            known(self.loudness.loudness_range().unwrap_or(f64::NAN)),
            known(20.0 * peaks.fold(0.0, f64::max).log10()),
        ]
    }
}

impl Form for Audio {
    fn inputs(&self) -> Vec<Spanned<TableName>> {
        vec![self.input.clone()]
    }

    fn output(&self, inputs: &[&[Column]], problems: &mut Vec<Diagnostic>) -> Vec<Column> {
        let Some(mine) = inputs.first() else { return Vec::new() };
        let scope = Scope::new(&self.input, mine);
        let mut columns = scope.keys(&self.item, problems);
        scope.typed(&self.content, "BINARY: the bytes of a file", |t| t == SqlType::Binary, problems);
        columns.extend(FIGURES.iter().map(|name| made(&Name::quoted(*name), SqlType::Float)));
        distinct(&columns, &self.input, problems);
        columns
    }

    fn lineage(&self, _: &[&[Column]]) -> Vec<Vec<Origin>> {
        let of = |name: &ColumnName| vec![Origin { input: 0, column: name.value.clone() }];
        let items = self.item.iter().map(of);
        items.chain(FIGURES.iter().map(|_| of(&self.content))).collect()
    }

    fn query(&self, _: usize, _: &[&[Column]]) -> String {
        let columns = names(&self.item).chain([&self.content.value]);
        format!("select {}\nfrom {}", list("", columns), self.input.value.sql())
    }

    fn kernel(&self, schemas: Vec<SchemaRef>, _: Context) -> Box<dyn Kernel> {
        let typed = |name: &Name| {
            let mine = schemas.first().and_then(|schema| schema.field_with_name(name.as_str()).ok());
            field(name, mine.map_or(DataType::Null, |mine| mine.data_type().clone()))
        };
        let figures = FIGURES.iter().map(|name| field(&Name::quoted(*name), DataType::Float64));
        let schema = Schema::new(names(&self.item).map(typed).chain(figures).collect::<Vec<_>>());
        Box::new(Listener { audio: self.clone(), schema: Arc::new(schema), heard: Mutex::default() })
    }

    fn sql(&self, _: &[&[Column]], problems: &mut Vec<Diagnostic>) -> String {
        let message = "`audio` decodes files, which has no form as one SQL query";
        let diagnostic = Diagnostic::error("no-sql-form", message).at(self.input.span.clone());
        problems.push(diagnostic.hint("run this step on the embedded engine"));
        String::new()
    }

    fn footprint(&self) -> Footprint {
        Footprint { holds_rows: false, per_row: 128 }
    }
}
