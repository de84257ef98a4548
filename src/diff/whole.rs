//! Rows without a key: how often each is there before and after.

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::functions_aggregate::expr_fn::sum;
use datafusion::logical_expr::{Expr, col, ident, lit};
use datafusion::prelude::SessionContext;
use futures::StreamExt;

use super::pairs::one_row;
use super::{Difference, Fault, Kind, Question, Sample, name};
use crate::backend::datafusion::failed;
use crate::dialect::Column;

/// The column of how much more often a row was there before.
const MORE: &str = "more";

/// Counts the rows that one side has more often. Only the columns of both sides are looked at.
pub(super) async fn compare(
    question: &Question,
    context: &SessionContext,
    difference: &mut Difference,
) -> Result<(), Fault> {
    let common = question.common();
    let side = |letter: char| {
        let (side, each) = if letter == 'b' { (&question.before, 1_i64) } else { (&question.after, -1) };
        let place = |pair: &(usize, usize)| if letter == 'b' { pair.0 } else { pair.1 };
        let columns = common.iter().enumerate();
        let mut columns: Vec<Expr> =
            columns.map(|(at, pair)| ident(name(letter, place(pair))).alias(name('c', at))).collect();
        columns.push(lit(each).alias(MORE));
        Ok::<_, Fault>(side.frame(context, letter)?.select(columns).map_err(failed)?)
    };
    let counted = async |letter: char| side(letter)?.count().await.map_err(|error| Fault::from(failed(error)));
    (difference.before, difference.after) = (counted('b').await? as u64, counted('a').await? as u64);
    let keys: Vec<Expr> = (0..common.len()).map(|at| ident(name('c', at))).collect();
    let order = keys.iter().map(|key| key.clone().sort(true, false)).collect();
    let differing = side('b')?
        .union(side('a')?)
        .and_then(|rows| rows.aggregate(keys, vec![sum(col(MORE)).alias(MORE)]))
        .and_then(|rows| rows.filter(col(MORE).not_eq(lit(0_i64))))
        .and_then(|rows| rows.sort(order))
        .map_err(failed)?;
    let mut stream = differing.execute_stream().await.map_err(failed)?;
    while let Some(batch) = stream.next().await {
        note(question, &batch.map_err(failed)?, difference).map_err(|error| failed(error.into()))?;
    }
    difference.samples.sort_by_key(|sample| sample.kind);
    Ok(())
}

fn note(question: &Question, batch: &RecordBatch, difference: &mut Difference) -> Result<(), ArrowError> {
    let Some((more, columns)) = batch.columns().split_last() else { return Ok(()) };
    let more = cast(more, &DataType::Int64)?;
    let more = more.as_primitive::<Int64Type>();
    let common = question.common();
    let shown: Vec<Column> = common.iter().map(|(_, after)| question.after.columns[*after].clone()).collect();
    for row in 0..batch.num_rows() {
        let count = more.value(row).unsigned_abs();
        let kind = if more.value(row) > 0 { Kind::Removed } else { Kind::Added };
        match kind {
            Kind::Removed => difference.removed += count,
            _ => difference.added += count,
        }
        if difference.samples.iter().filter(|sample| sample.kind == kind).count() < question.samples {
            let alone = Some(one_row(&shown, columns, row)?);
            let (before, after) = if kind == Kind::Removed { (alone, None) } else { (None, alone) };
            difference.samples.push(Sample { kind, before, after });
        }
    }
    Ok(())
}
