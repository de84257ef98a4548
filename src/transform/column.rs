//! Columns of Arrow as the numbers, times and truth values that kernels work on. A missing number is NaN inside kernels:
//! what arrives as NaN is refused or dropped here.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StructArray,
    TimestampNanosecondArray, new_empty_array, new_null_array,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::{cast, concat};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field, Schema, SchemaRef, TimeUnit};
use rayon::prelude::*;

use crate::dialect::Column;
use crate::dialect::types::SqlType;
use crate::name::Name;

use super::{Give, Outcome, Rows, TransformError};

/// The stand-in for a missing time.
pub(super) const NO_TIME: i64 = i64::MIN;

impl Rows {
    /// All rows as one batch.
    pub(super) fn table(self) -> Result<Table, TransformError> {
        let rows: usize = self.batches.iter().map(RecordBatch::num_rows).sum();
        if u32::try_from(rows).is_err() {
            let message = format!("an input has {rows} rows, and a transform takes at most {}", u32::MAX);
            return Err(TransformError::TooLarge(message));
        }
        let batch = match <[RecordBatch; 1]>::try_from(self.batches) {
            Ok([batch]) => batch,
            Err(batches) => joined(&self.schema, batches, rows)?,
        };
        Ok(Table { batch })
    }
}

/// All rows, put together column by column in parallel; a column's parts go as soon as it is whole.
fn joined(schema: &SchemaRef, batches: Vec<RecordBatch>, rows: usize) -> Result<RecordBatch, TransformError> {
    let mut parts: Vec<Vec<ArrayRef>> = schema.fields().iter().map(|_| Vec::with_capacity(batches.len())).collect();
    for batch in batches {
        let (_, columns, _) = batch.into_parts();
        parts.iter_mut().zip(columns).for_each(|(part, column)| part.push(column));
    }
    let columns = parts.into_par_iter().zip(&schema.fields()[..]).map(whole);
    let columns = columns.collect::<Result<Vec<_>, TransformError>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(retyped(schema, &columns), columns, &options)?)
}

/// A column from its parts; where only some of them are narrow, none stays so.
fn whole((mut parts, field): (Vec<ArrayRef>, &Arc<Field>)) -> Result<ArrayRef, TransformError> {
    if parts.iter().any(|part| part.data_type() != parts[0].data_type()) {
        for part in parts.iter_mut().filter(|part| part.data_type() != field.data_type()) {
            *part = cast(part, field.data_type())?;
        }
    }
    let arrays: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    Ok(if arrays.is_empty() { new_empty_array(field.data_type()) } else { concat(&arrays)? })
}

/// A schema with the types that columns have.
fn retyped(schema: &SchemaRef, columns: &[ArrayRef]) -> SchemaRef {
    let fields = schema.fields().iter().zip(columns);
    if fields.clone().all(|(field, column)| field.data_type() == column.data_type()) {
        return Arc::clone(schema);
    }
    let fields = fields.map(|(field, column)| field.as_ref().clone().with_data_type(column.data_type().clone()));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Rows whose decimals, where they are whole and of 64 bits, are integers: half the memory, and compared at once.
pub(super) fn narrowed(batch: RecordBatch) -> Result<RecordBatch, TransformError> {
    let schema = batch.schema();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let (_, columns, _) = batch.into_parts();
    let columns: Vec<ArrayRef> = columns.into_iter().map(|column| integers(&column).unwrap_or(column)).collect();
    Ok(RecordBatch::try_new_with_options(retyped(&schema, &columns), columns, &options)?)
}

fn integers(column: &ArrayRef) -> Option<ArrayRef> {
    let DataType::Decimal128(_, 0) = column.data_type() else { return None };
    let decimals = column.as_primitive_opt::<Decimal128Type>()?;
    let integers = decimals.values().iter().map(|value| i64::try_from(*value).ok());
    Some(Arc::new(Int64Array::new(integers.collect::<Option<Vec<_>>>()?.into(), decimals.nulls().cloned())))
}

/// The rows of an input with access by column name.
pub(super) struct Table {
    /// The rows.
    pub(super) batch: RecordBatch,
}

impl Table {
    /// How many rows.
    pub(super) fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// The column; all NULL where the query did not give it.
    pub(super) fn column(&self, name: &Name) -> ArrayRef {
        let found = self.batch.schema().index_of(name.as_str()).ok();
        found.map_or_else(|| new_null_array(&DataType::Null, self.len()), |at| Arc::clone(self.batch.column(at)))
    }

    /// Several columns.
    pub(super) fn columns<'a>(&self, names: impl IntoIterator<Item = &'a Name>) -> Vec<ArrayRef> {
        names.into_iter().map(|name| self.column(name)).collect()
    }

    /// Numbers, NULL as NaN; NaN itself is an error, or marked in `dropped`.
    pub(super) fn numbers(&self, name: &Name, nan: OnNan<'_>) -> Result<Vec<f64>, TransformError> {
        numbers(&self.column(name), name, nan)
    }

    /// Nanoseconds since 1970 UTC, NULL as [`NO_TIME`].
    pub(super) fn times(&self, name: &Name) -> Result<Vec<i64>, TransformError> {
        times(&self.column(name))
    }

    /// Truth values, NULL as false.
    pub(super) fn flags(&self, name: &Name) -> Result<Vec<bool>, TransformError> {
        let column = cast(&self.column(name), &DataType::Boolean)?;
        let column = column.as_any().downcast_ref::<BooleanArray>();
        Ok(column.map_or_else(Vec::new, |c| c.iter().map(|value| value == Some(true)).collect()))
    }
}

/// Values as they come, in pieces: none is moved before all are there. Each piece has room for as many as all before it
/// hold, so that there are few of them and each is memory that the system gets back once it is gone.
pub(super) struct Chunks<T>(Vec<Vec<T>>);

/// How many values the largest piece has room for.
const PIECE: usize = 1 << 23;

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Chunks<T> {
    /// Adds the values of a batch.
    pub(super) fn push(&mut self, values: Vec<T>) {
        match self.0.last_mut() {
            Some(piece) if piece.capacity() - piece.len() >= values.len() => piece.extend(values),
            _ => {
                let mut piece = Vec::with_capacity(self.len().min(PIECE).max(values.len()));
                piece.extend(values);
                self.0.push(piece);
            }
        }
    }

    /// How many values.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// All values.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    /// The same, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().flatten()
    }

    /// Gives all values away; each piece goes as soon as its values are gone.
    pub(super) fn consume(self, take: impl FnMut(T)) {
        self.0.into_iter().flatten().for_each(take);
    }
}

/// What to do about NaN.
pub(super) enum OnNan<'a> {
    /// Refuse it.
    Error,
    /// Mark the row.
    Drop(&'a mut Vec<bool>),
}

impl<'a> OnNan<'a> {
    /// Marks rows where the author says so.
    pub(super) fn of(drops: bool, marks: &'a mut Vec<bool>) -> Self {
        if drops { Self::Drop(marks) } else { Self::Error }
    }
}

/// Numbers of any numeric type as floats; `-0.0` as `0.0`.
pub(super) fn numbers(column: &ArrayRef, name: &Name, nan: OnNan<'_>) -> Result<Vec<f64>, TransformError> {
    keyed_numbers(column, &[], name, nan)
}

/// The same of rows that are left out where a key is NULL: what their number is does not matter.
pub(super) fn keyed_numbers(
    column: &ArrayRef,
    keys: &[ArrayRef],
    name: &Name,
    nan: OnNan<'_>,
) -> Result<Vec<f64>, TransformError> {
    let floats = cast(column, &DataType::Float64)?;
    let Some(floats) = floats.as_any().downcast_ref::<Float64Array>() else { return Ok(Vec::new()) };
    let nulls = keys
        .iter()
        .fold(floats.nulls().cloned(), |nulls, key| NullBuffer::union(nulls.as_ref(), key.logical_nulls().as_ref()));
    let floats = &Float64Array::new(floats.values().clone(), nulls);
    let mut values: Vec<f64> = floats.values().par_iter().with_min_len(1 << 16).map(|value| value + 0.0).collect();
    let is_nan = |row: usize, value: f64| value.is_nan() && floats.is_valid(row);
    if values.iter().enumerate().any(|(row, value)| is_nan(row, *value)) {
        let OnNan::Drop(marks) = nan else {
            let message = format!("column `{}` has NaN; set `on_nan: drop` to leave such rows out", name.shown());
            return Err(TransformError::Data(message));
        };
        marks.resize(values.len(), false);
        for (row, mark) in marks.iter_mut().enumerate() {
            *mark |= is_nan(row, values[row]);
        }
    }
    if floats.null_count() > 0 {
        for (row, value) in values.iter_mut().enumerate() {
            if floats.is_null(row) {
                *value = f64::NAN;
            }
        }
    }
    Ok(values)
}

/// Refuses infinite numbers, of a column with which is calculated.
pub(super) fn finite(values: &[f64], name: &Name) -> Result<(), TransformError> {
    match values.iter().any(|value| value.is_infinite()) {
        true => Err(TransformError::Data(infinite(name))),
        false => Ok(()),
    }
}

/// What is told of an infinite number.
pub(super) fn infinite(name: &Name) -> String {
    format!("column `{}` has an infinite number, with which nothing can be calculated", name.shown())
}

/// Dates and timestamps as nanoseconds since 1970 UTC.
pub(super) fn times(column: &ArrayRef) -> Result<Vec<i64>, TransformError> {
    let column = match column.as_any().downcast_ref::<StructArray>() {
        Some(zoned) => zoned.column_by_name("utc").map_or_else(|| Arc::clone(column), Arc::clone),
        None => Arc::clone(column),
    };
    let plain = match column.data_type() {
        DataType::Timestamp(_, Some(_)) => {
            cast(&column, &DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())))?
        }
        _ => cast(&column, &DataType::Timestamp(TimeUnit::Nanosecond, None))?,
    };
    let Some(plain) = plain.as_any().downcast_ref::<TimestampNanosecondArray>() else { return Ok(Vec::new()) };
    Ok(plain.iter().map(|time| time.unwrap_or(NO_TIME)).collect())
}

/// A column of floats, NaN as NULL.
pub(super) fn float_column(values: impl IntoIterator<Item = f64>) -> ArrayRef {
    Arc::new(values.into_iter().map(|value| (!value.is_nan()).then_some(value)).collect::<Float64Array>())
}

/// A field of a result.
pub(super) fn field(name: &Name, data_type: DataType) -> Field {
    Field::new(name.as_str(), data_type, true)
}

/// A column of a result, of a type the binder knows.
pub(super) fn made(name: &Name, sql_type: SqlType) -> Column {
    Column { name: name.clone(), sql_type, nullable: true }
}

/// Some rows of a result.
pub(super) fn batch(columns: Vec<(Field, ArrayRef)>) -> Result<RecordBatch, TransformError> {
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// Makes the batches of units of work in parallel, gives them in the order of the units, and tells their schema. There
/// is at least one unit. While some are given, the next are made.
pub(super) fn in_order(
    units: usize,
    make: impl Fn(usize) -> Result<RecordBatch, TransformError> + Sync,
    give: &mut Give<'_>,
) -> Result<SchemaRef, TransformError> {
    let together = 4 * rayon::current_num_threads();
    let made = |from: usize| (from..units.min(from + together)).into_par_iter().map(&make).collect();
    let mut schema = None;
    let mut take = |made: Result<Vec<RecordBatch>, TransformError>| {
        made?.into_iter().try_for_each(|batch| {
            schema.get_or_insert_with(|| batch.schema());
            cut(&batch).into_iter().try_for_each(&mut *give)
        })
    };
    if units <= together {
        take(made(0))?;
    } else {
        std::thread::scope(|scope| {
            let (sender, all) = sync_channel(1);
            scope.spawn(move || {
                let mut starts = (0..units).step_by(together);
                while starts.next().is_some_and(|from| sender.send(made(from)).is_ok()) {}
            });
            all.into_iter().try_for_each(&mut take)
        })?;
    }
    Ok(schema.unwrap_or_else(|| Arc::new(Schema::empty())))
}

/// A result of one batch, cut into batches of a usual size.
pub(super) fn outcome(columns: Vec<(Field, ArrayRef)>, dropped: Vec<(String, u64)>) -> Result<Outcome, TransformError> {
    let batch = batch(columns)?;
    Ok(Outcome {
        schema: batch.schema(),
        batches: cut(&batch),
        dropped: dropped.into_iter().filter(|(_, rows)| *rows > 0).collect(),
    })
}

/// How many rows a batch of a result has.
const ROWS: usize = 1 << 16;

fn cut(batch: &RecordBatch) -> Vec<RecordBatch> {
    let slice = |start: usize| batch.slice(start, ROWS.min(batch.num_rows() - start));
    (0..batch.num_rows()).step_by(ROWS).map(slice).collect()
}
