//! The rows of SPLIT_TO_TABLE and STRTOK_SPLIT_TO_TABLE: the parts of a text.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Int64Array, StringBuilder};
use datafusion::common::Result;
use datafusion::common::cast::as_string_array;

use super::Rows;

/// The parts of each text: between delimiters, or with `tokens` the non-empty runs free of any of the delimiter's letters.
pub(super) fn expand(
    input: &ArrayRef,
    delimiters: &ArrayRef,
    tokens: bool,
    rows: Range<usize>,
    first_sequence: i64,
    limit: usize,
    wanted: &[bool],
) -> Result<(Rows, usize)> {
    let (input, delimiters) = (as_string_array(input)?, as_string_array(delimiters)?);
    let (mut parents, mut indexes, mut values) = (Vec::new(), Vec::new(), StringBuilder::new());
    let mut row = rows.start;
    while row < rows.end && parents.len() < limit {
        if input.is_valid(row) && delimiters.is_valid(row) {
            let (text, delimiter) = (input.value(row), delimiters.value(row));
            let mut push = |index: usize, part: &str| {
                parents.push(row as u32);
                indexes.push(index as i64 + 1);
                values.append_value(part);
            };
            if tokens {
                let parts = text.split(|letter| delimiter.contains(letter)).filter(|part| !part.is_empty());
                parts.enumerate().for_each(|(index, part)| push(index, part));
            } else if delimiter.is_empty() {
                push(0, text);
            } else {
                text.split(delimiter).enumerate().for_each(|(index, part)| push(index, part));
            }
        }
        row += 1;
    }
    let sequence = |parent: &u32| first_sequence + (i64::from(*parent) - rows.start as i64);
    let sequences: ArrayRef = Arc::new(Int64Array::from_iter_values(parents.iter().map(sequence)));
    let columns: Vec<ArrayRef> = vec![sequences, Arc::new(Int64Array::from(indexes)), Arc::new(values.finish())];
    let columns = columns.into_iter().zip(wanted).map(|(column, wanted)| wanted.then_some(column)).collect();
    Ok((Rows { parents, columns }, row))
}
