//! Tables and transforms for tests: rows in, rows out, and the same rows cut and shuffled.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray, UInt32Array,
};
use datafusion::arrow::compute::{SortColumn, SortOptions, concat_batches, lexsort_to_indices, take_record_batch};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::arrow::util::display::array_value_to_string;

use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::dialect::types::SqlType;
use crate::name::Name;
use crate::text::SourceFile;
use crate::transform::{Context, Outcome, Scratch, ScratchFile, Transform, TransformError};
use crate::yaml;

/// "Now" in tests: 2026-11-01 00:00 UTC.
pub(super) const NOW: i64 = 1_793_491_200_000_000_000;

/// A day in nanoseconds.
pub(super) const DAY: i64 = 86_400_000_000_000;

/// A transform from the text under its kind.
pub(super) fn parse(kind: &str, text: &str) -> Result<Transform, Vec<Diagnostic>> {
    let node = yaml::parse(&SourceFile::new("job.yaml", text))?;
    let mut problems = Vec::new();
    Transform::parse(kind, &node, &mut problems).ok_or(problems)
}

/// Integers, NULL as none.
pub(super) fn ints(values: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<Int64Array>())
}

/// Integers.
pub(super) fn int(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    ints(values.into_iter().map(Some))
}

/// Floats, NULL as none.
pub(super) fn floats(values: impl IntoIterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<Float64Array>())
}

/// Floats.
pub(super) fn float(values: impl IntoIterator<Item = f64>) -> ArrayRef {
    floats(values.into_iter().map(Some))
}

/// Truth values.
pub(super) fn flags(values: impl IntoIterator<Item = bool>) -> ArrayRef {
    Arc::new(BooleanArray::from(values.into_iter().collect::<Vec<_>>()))
}

/// Texts.
pub(super) fn text<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringArray>())
}

/// Timestamps.
pub(super) fn times(values: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<TimestampNanosecondArray>())
}

/// A table from named columns.
pub(super) fn table(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(name.to_uppercase(), array.data_type().clone(), true)).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("columns of one length")
}

/// The columns of a table as the binder sees them.
pub(super) fn columns(batch: &RecordBatch) -> Vec<Column> {
    let column = |field: &Arc<Field>| Column {
        name: Name::quoted(field.name().clone()),
        sql_type: SqlType::of(field.data_type()).expect("a type of the engine"),
        nullable: true,
    };
    batch.schema().fields().iter().map(column).collect()
}

/// Runs a transform on whole tables.
pub(super) fn run(transform: &Transform, inputs: &[RecordBatch]) -> Result<Outcome, TransformError> {
    let inputs = inputs.iter().map(|batch| (batch.schema(), vec![batch.clone()])).collect();
    transform.run(inputs, Context::at(NOW))
}

/// Runs a transform on tables whose rows are reordered and cut into small batches.
pub(super) fn run_shuffled(
    transform: &Transform,
    inputs: &[RecordBatch],
    seed: u64,
) -> Result<Outcome, TransformError> {
    let cut = |batch: &RecordBatch| -> (SchemaRef, Vec<RecordBatch>) {
        let mut rows: Vec<u32> = (0..u32::try_from(batch.num_rows()).expect("few rows")).collect();
        let mut random = Random(seed);
        for at in (1..rows.len()).rev() {
            rows.swap(at, random.below(at + 1));
        }
        let shuffled = take_record_batch(batch, &UInt32Array::from(rows)).expect("rows of the batch");
        let size = 1 + random.below(7);
        let cut = (0..shuffled.num_rows()).step_by(size);
        let slice = |at: usize| shuffled.slice(at, size.min(shuffled.num_rows() - at));
        (batch.schema(), cut.map(slice).collect())
    };
    transform.run(inputs.iter().map(cut).collect(), Context { threads: 3, ..Context::at(NOW) })
}

/// Runs a transform on rows in the order that it asks for, in small batches.
pub(super) fn run_sorted(
    transform: &Transform,
    input: &RecordBatch,
    context: Context,
) -> Result<Outcome, TransformError> {
    let by = transform.sorted_by().expect("a kernel of sorted rows");
    let order = Some(SortOptions { descending: false, nulls_first: false });
    let column = |name: &Name| SortColumn {
        values: input.column_by_name(name.as_str()).expect("a column").clone(),
        options: order,
    };
    let rows = lexsort_to_indices(&by.iter().map(column).collect::<Vec<_>>(), None).expect("an order");
    let sorted = take_record_batch(input, &rows).expect("rows of the batch");
    let kernel = transform.kernel_of_sorted(vec![input.schema()], context, Arc::new(Shelf));
    for at in (0..sorted.num_rows()).step_by(7) {
        kernel.push(0, 0, sorted.slice(at, 7.min(sorted.num_rows() - at)))?;
    }
    let mut batches = Vec::new();
    let finished = kernel.finish(&mut |batch| {
        batches.push(batch);
        Ok(())
    })?;
    Ok(Outcome { schema: finished.schema, batches, dropped: finished.dropped })
}

/// Files in memory.
struct Shelf;

impl Scratch for Shelf {
    fn file(&self) -> std::io::Result<Box<dyn ScratchFile>> {
        Ok(Box::new(Sheet(Vec::new())))
    }
}

struct Sheet(Vec<u8>);

impl ScratchFile for Sheet {
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.extend(bytes);
        Ok(())
    }

    fn reader(&self) -> std::io::Result<Box<dyn std::io::Read + Send>> {
        Ok(Box::new(std::io::Cursor::new(self.0.clone())))
    }
}

/// All rows of a result in one batch.
pub(super) fn whole(outcome: &Outcome) -> RecordBatch {
    concat_batches(&outcome.schema, &outcome.batches).expect("batches of one schema")
}

/// Rows as texts, for comparisons in tests.
pub(super) fn rows(outcome: &Outcome, names: &[&str]) -> Vec<String> {
    let batch = whole(outcome);
    let cell = |row: usize, name: &&str| {
        let column = batch.column_by_name(&name.to_uppercase()).unwrap_or_else(|| panic!("no column {name}"));
        array_value_to_string(column, row).expect("a printable value")
    };
    let row = |row: usize| names.iter().map(|name| cell(row, name)).collect::<Vec<_>>().join(" ");
    (0..batch.num_rows()).map(row).collect()
}

/// The floats of a result's column.
pub(super) fn column(outcome: &Outcome, name: &str) -> Vec<f64> {
    let batch = whole(outcome);
    let column = batch.column_by_name(&name.to_uppercase()).unwrap_or_else(|| panic!("no column {name}"));
    let column = column.as_any().downcast_ref::<Float64Array>().expect("floats");
    column.iter().map(|value| value.unwrap_or(f64::NAN)).collect()
}

/// Equal up to rounding.
pub(super) fn assert_close(actual: &[f64], expected: &[f64]) {
    assert_eq!(actual.len(), expected.len(), "{actual:?} against {expected:?}");
    for (a, b) in actual.iter().zip(expected) {
        let near = (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0);
        assert!(near || (a.is_nan() && b.is_nan()), "{actual:?} against {expected:?}");
    }
}

/// A small generator of numbers that are the same on every machine: xorshift64*.
pub(super) struct Random(pub(super) u64);

impl Random {
    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below a bound.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below the bound")
    }

    /// A number from 0 to 1.
    pub(super) fn share(&mut self) -> f64 {
        self.below(1 << 30) as f64 / f64::from(1 << 30)
    }
}
