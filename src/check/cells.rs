//! The cells of a result by column header and row, as plain values.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{DataType, Date32Type, Float64Type, TimeUnit, TimestampMicrosecondType};

/// A result whose cells are asked for one by one.
pub struct Cells {
    batch: Option<RecordBatch>,
}

impl Cells {
    /// The cells of these batches.
    pub fn of(batches: &[RecordBatch]) -> Self {
        let batch = batches.first().and_then(|first| concat_batches(&first.schema(), batches).ok());
        Self { batch }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.batch.as_ref().map_or(0, RecordBatch::num_rows)
    }

    fn cell(&self, column: &str, row: usize, as_type: &DataType) -> Option<ArrayRef> {
        let array = self.batch.as_ref()?.column_by_name(column)?;
        if row >= array.len() || array.is_null(row) {
            return None;
        }
        cast(&array.slice(row, 1), as_type).ok().filter(|array| !array.is_null(0))
    }

    /// A number; none where it is NULL or no number.
    pub fn number(&self, column: &str, row: usize) -> Option<f64> {
        let array = self.cell(column, row, &DataType::Float64)?;
        Some(array.as_primitive::<Float64Type>().value(0)).filter(|value| value.is_finite())
    }

    /// A count; 0 where there is none.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    pub fn count(&self, column: &str, row: usize) -> u64 {
        self.number(column, row).map_or(0, |count| count.max(0.0) as u64)
    }

    /// A date.
    pub fn date(&self, column: &str, row: usize) -> Option<NaiveDate> {
        let array = self.cell(column, row, &DataType::Date32)?;
        array.as_primitive::<Date32Type>().value_as_date(0)
    }

    /// A time without zone.
    pub fn time(&self, column: &str, row: usize) -> Option<NaiveDateTime> {
        let array = self.cell(column, row, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
        let micros = array.as_primitive::<TimestampMicrosecondType>().value(0);
        DateTime::from_timestamp_micros(micros).map(|time| time.naive_utc())
    }

    /// A truth value; false where it is NULL.
    pub fn truth(&self, column: &str, row: usize) -> bool {
        self.cell(column, row, &DataType::Boolean).is_some_and(|array| array.as_boolean().value(0))
    }

    /// A text.
    pub fn text(&self, column: &str, row: usize) -> Option<String> {
        let array = self.cell(column, row, &DataType::Utf8)?;
        Some(array.as_string::<i32>().value(0).to_owned())
    }
}
