//! Rows paired by their key: one full join streams past, and each pair is looked at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBuilder, RecordBatch, UInt32Array, make_comparator,
};
use datafusion::arrow::compute::kernels::cmp::distinct;
use datafusion::arrow::compute::{CastOptions, SortOptions, and, cast, cast_with_options, is_not_null, or, take};
use datafusion::arrow::datatypes::{DataType, Field, Float64Type, Schema};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::{Column as ColumnName, NullEquality};
use datafusion::logical_expr::{JoinType, LogicalPlanBuilder, lit};
use datafusion::prelude::{DataFrame, SessionContext};
use futures::StreamExt;

use super::figures::Figures;
use super::lists::Places;
use super::{ColumnDifference, Difference, Fault, Kind, Question, Sample, Side, name};
use crate::backend::datafusion::failed;
use crate::dialect::Column;

/// The column that is there wherever a side has a row.
const HERE: &str = "here";

/// Pairs all rows and notes what differs.
pub(super) async fn compare(
    question: &Question,
    context: &SessionContext,
    difference: &mut Difference,
) -> Result<(), Fault> {
    let joined = joined(question, context)?;
    let mut stream = joined.execute_stream().await.map_err(failed)?;
    let mut seen = Seen::new(question).map_err(|error| failed(error.into()))?;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(failed)?;
        seen.batch(&batch).map_err(|error| failed(error.into()))?;
    }
    let counts = (count(question, context, 'b').await?, count(question, context, 'a').await?);
    if (seen.pairs + seen.removed, seen.pairs + seen.added) != counts {
        return Err(Fault::Repeated);
    }
    (difference.before, difference.after) = counts;
    seen.tell(difference).map_err(|error| failed(error.into()).into())
}

/// Each row of either side beside the one of the same key on the other.
fn joined(question: &Question, context: &SessionContext) -> Result<DataFrame, Fault> {
    let side = |letter: char| {
        let side = if letter == 'b' { &question.before } else { &question.after };
        let keys: Vec<ColumnName> = question
            .key
            .iter()
            .filter_map(|key| Some(ColumnName::new_unqualified(name(letter, side.position(key)?))))
            .collect();
        let frame = side.frame(context, letter)?;
        let frame = frame.with_column(&format!("{letter}{HERE}"), lit(true)).map_err(failed)?;
        Ok::<_, Fault>((frame, keys))
    };
    let ((before, before_keys), (after, after_keys)) = (side('b')?, side('a')?);
    let (state, before) = before.into_parts();
    let plan = LogicalPlanBuilder::from(before)
        .join_detailed(
            after.into_unoptimized_plan(),
            JoinType::Full,
            (before_keys, after_keys),
            None,
            NullEquality::NullEqualsNull,
        )
        .and_then(LogicalPlanBuilder::build)
        .map_err(failed)?;
    Ok(DataFrame::new(state, plan))
}

async fn count(question: &Question, context: &SessionContext, letter: char) -> Result<u64, Fault> {
    let side = if letter == 'b' { &question.before } else { &question.after };
    let counted = side.frame(context, letter)?.count().await.map_err(failed)?;
    Ok(counted as u64)
}

/// Everything that was seen of the pairs so far.
struct Seen<'a> {
    question: &'a Question,
    /// The columns of both sides: places before and after.
    common: Vec<(usize, usize)>,
    pairs: u64,
    added: u64,
    removed: u64,
    changed: u64,
    changed_in: Vec<u64>,
    figures: Vec<Figures>,
    places: Option<Places>,
    keys: RowConverter,
    samples: BTreeMap<Kind, BTreeMap<OwnedRow, Sample>>,
}

/// One batch of pairs, by side.
struct Pairs {
    before: Vec<ArrayRef>,
    after: Vec<ArrayRef>,
    here_before: BooleanArray,
    here_after: BooleanArray,
}

impl<'a> Seen<'a> {
    fn new(question: &'a Question) -> Result<Self, ArrowError> {
        let common = question.common();
        let (schema, before) = (question.after.rows.schema(), question.before.rows.schema());
        let key = question.key.iter().filter_map(|key| question.after.position(key));
        let fields = key.map(|at| SortField::new(schema.field(at).data_type().clone()));
        let types = |(old, new): &(usize, usize)| (before.field(*old).data_type(), schema.field(*new).data_type());
        let figures = common.iter().map(|pair| {
            let (old, new) = types(pair);
            Figures::of(old, new)
        });
        Ok(Self {
            question,
            changed_in: vec![0; common.len()],
            figures: figures.collect(),
            places: Places::of(question)?,
            keys: RowConverter::new(fields.collect())?,
            common,
            pairs: 0,
            added: 0,
            removed: 0,
            changed: 0,
            samples: BTreeMap::new(),
        })
    }

    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let pairs = Pairs::of(batch, self.question)?;
        let both = and(&pairs.here_before, &pairs.here_after)?;
        let mut off = BooleanArray::from(vec![false; batch.num_rows()]);
        for at in 0..self.common.len() {
            let (before, after) = self.common[at];
            let (before, after) = (&pairs.before[before], &pairs.after[after]);
            let differs = and(&both, &differs(before, after, self.question.tolerance)?)?;
            self.changed_in[at] += differs.true_count() as u64;
            self.figures[at].add(&pairs.here_before, before, &pairs.here_after, after, &both, &differs)?;
            off = or(&off, &differs)?;
        }
        self.pairs += both.true_count() as u64;
        self.added += (pairs.here_after.true_count() - both.true_count()) as u64;
        self.removed += (pairs.here_before.true_count() - both.true_count()) as u64;
        self.changed += off.true_count() as u64;
        if let Some(places) = &mut self.places {
            places.add(&pairs.before, &pairs.after, &pairs.here_before, &pairs.here_after)?;
        }
        self.sample(&pairs, &both, &off)
    }

    /// Keeps the differing rows of the least keys.
    fn sample(&mut self, pairs: &Pairs, both: &BooleanArray, off: &BooleanArray) -> Result<(), ArrowError> {
        let kind = |row: usize| match (pairs.here_before.value(row), both.value(row)) {
            (_, true) => off.value(row).then_some(Kind::Changed),
            (true, false) => Some(Kind::Removed),
            (false, false) => Some(Kind::Added),
        };
        let differing: Vec<(u32, Kind)> =
            (0..off.len()).filter_map(|row| Some((u32::try_from(row).ok()?, kind(row)?))).collect();
        if differing.is_empty() || self.question.samples == 0 {
            return Ok(());
        }
        let rows = UInt32Array::from_iter_values(differing.iter().map(|(row, _)| *row));
        let taken = |arrays: &[ArrayRef]| arrays.iter().map(|array| take(array, &rows, None)).collect();
        let (before, after): (Result<Vec<_>, _>, Result<Vec<_>, _>) = (taken(&pairs.before), taken(&pairs.after));
        let (before, after) = (before?, after?);
        let keys = self.key_columns(&before, &after, &differing)?;
        let keys = self.keys.convert_columns(&keys)?;
        for (row, (_, kind)) in differing.iter().enumerate() {
            let kept = self.samples.entry(*kind).or_default();
            let full = kept.len() >= self.question.samples;
            if full && kept.last_key_value().is_some_and(|(last, _)| last.row() <= keys.row(row)) {
                continue;
            }
            let alone = |side: &Side, arrays: &[ArrayRef]| one_row(&side.columns, arrays, row);
            let sample = Sample {
                kind: *kind,
                before: if *kind == Kind::Added { None } else { Some(alone(&self.question.before, &before)?) },
                after: if *kind == Kind::Removed { None } else { Some(alone(&self.question.after, &after)?) },
            };
            kept.insert(keys.row(row).owned(), sample);
            if kept.len() > self.question.samples {
                kept.pop_last();
            }
        }
        Ok(())
    }

    /// The key of each row, from the side that has it, in the types of the later one.
    fn key_columns(
        &self,
        before: &[ArrayRef],
        after: &[ArrayRef],
        rows: &[(u32, Kind)],
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        let gone: BooleanArray = rows.iter().map(|(_, kind)| Some(*kind == Kind::Removed)).collect();
        let key = self.question.key.iter();
        let places =
            key.filter_map(|key| Some((self.question.before.position(key)?, self.question.after.position(key)?)));
        let key = |(old, new): (usize, usize)| {
            let old = cast(&before[old], after[new].data_type())?;
            datafusion::arrow::compute::kernels::zip::zip(&gone, &old, &after[new])
        };
        places.map(key).collect()
    }

    fn tell(self, difference: &mut Difference) -> Result<(), ArrowError> {
        (difference.added, difference.removed, difference.changed) = (self.added, self.removed, self.changed);
        let columns = self.common.iter().zip(self.changed_in).zip(self.figures);
        difference.columns = columns
            .map(|(((_, after), changed), figures)| ColumnDifference {
                column: self.question.after.columns[*after].clone(),
                changed,
                shift: figures.shift(),
            })
            .collect();
        difference.samples = self.samples.into_values().flat_map(BTreeMap::into_values).collect();
        difference.lists = self.places.map(|places| places.movements(self.question.samples)).transpose()?;
        Ok(())
    }
}

impl Pairs {
    fn of(batch: &RecordBatch, question: &Question) -> Result<Self, ArrowError> {
        let here = |letter: char| {
            let column = batch.column_by_name(&format!("{letter}{HERE}"));
            column.map_or_else(|| Ok(BooleanArray::from(vec![false; batch.num_rows()])), |column| is_not_null(column))
        };
        let side = |letter: char, columns: usize| {
            let column = |at: usize| batch.column_by_name(&name(letter, at)).cloned();
            (0..columns).filter_map(column).collect::<Vec<ArrayRef>>()
        };
        Ok(Self {
            before: side('b', question.before.columns.len()),
            after: side('a', question.after.columns.len()),
            here_before: here('b')?,
            here_after: here('a')?,
        })
    }
}

/// A row on its own, so that its batch need not be kept.
pub(super) fn one_row(columns: &[Column], arrays: &[ArrayRef], row: usize) -> Result<RecordBatch, ArrowError> {
    let at = UInt32Array::from(vec![u32::try_from(row).unwrap_or(u32::MAX)]);
    let arrays: Vec<ArrayRef> = arrays.iter().map(|array| take(array, &at, None)).collect::<Result<_, _>>()?;
    let fields = columns.iter().zip(&arrays);
    let fields = fields.map(|(column, array)| Field::new(column.name.as_str(), array.data_type().clone(), true));
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), arrays)
}

/// Where two columns differ. FLOATs, and numbers of different types, are the same within the tolerance; columns that
/// cannot be compared at all are told by their types alone.
fn differs(before: &ArrayRef, after: &ArrayRef, tolerance: f64) -> Result<BooleanArray, ArrowError> {
    let (old, new) = (before.data_type(), after.data_type());
    if old == new && !old.is_floating() {
        return if old.is_nested() { nested(before, after) } else { distinct(before, after) };
    }
    if !(old.is_numeric() && new.is_numeric()) {
        return Ok(BooleanArray::from(vec![false; before.len()]));
    }
    if let Some((before, after)) = as_decimals(before, after) {
        return distinct(&before, &after);
    }
    let (before, after) = (cast(before, &DataType::Float64)?, cast(after, &DataType::Float64)?);
    let (before, after) = (before.as_primitive::<Float64Type>(), after.as_primitive::<Float64Type>());
    let off = |(before, after): (Option<f64>, Option<f64>)| match (before, after) {
        (Some(before), Some(after)) => is_off(before, after, tolerance),
        (before, after) => before.is_some() != after.is_some(),
    };
    Ok(before.iter().zip(after.iter()).map(|pair| Some(off(pair))).collect())
}

/// Whole and decimal numbers of different types in one that holds both.
fn as_decimals(before: &ArrayRef, after: &ArrayRef) -> Option<(ArrayRef, ArrayRef)> {
    let scale = |kind: &DataType| match kind {
        kind if kind.is_integer() => Some(0),
        DataType::Decimal128(_, scale) => Some(*scale),
        _ => None,
    };
    let wide = DataType::Decimal128(38, scale(before.data_type())?.max(scale(after.data_type())?));
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    Some((cast_with_options(before, &wide, &strict).ok()?, cast_with_options(after, &wide, &strict).ok()?))
}

/// Whether two numbers are further apart than the tolerance allows; NaN is the same as NaN.
fn is_off(before: f64, after: f64, tolerance: f64) -> bool {
    if before == after || (before.is_nan() && after.is_nan()) {
        return false;
    }
    let apart = (before - after).abs();
    !apart.is_finite() || apart > tolerance * before.abs().max(after.abs()).max(1.0)
}

fn nested(before: &ArrayRef, after: &ArrayRef) -> Result<BooleanArray, ArrowError> {
    let compare = make_comparator(before, after, SortOptions::default())?;
    let mut off = BooleanBuilder::with_capacity(before.len());
    (0..before.len()).for_each(|row| off.append_value(compare(row, row).is_ne()));
    Ok(off.finish())
}
