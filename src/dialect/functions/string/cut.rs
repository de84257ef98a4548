//! Cutting and filling: SUBSTR, LEFT, RIGHT, INSERT, padding and trimming, of text and of bytes.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::super::Function;
use super::super::scalar::{Call, binaries, exact, gives_first, gives_text, slices, texts};
use super::{FAMILY, LONGEST, byte_at, characters};

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    vec![
        exact(FAMILY, &["substr", "substring"], 2..=3, gives_first, substr),
        exact(FAMILY, &["left"], 2..=2, gives_first, |call| end(call, |_, count| (0, count))),
        exact(FAMILY, &["right"], 2..=2, gives_first, |call| end(call, |length, count| (length - count, length))),
        exact(FAMILY, &["insert"], 4..=4, gives_first, insert),
        exact(FAMILY, &["lpad"], 2..=3, gives_first, |call| pad(call, true)),
        exact(FAMILY, &["rpad"], 2..=3, gives_first, |call| pad(call, false)),
        exact(FAMILY, &["trim"], 1..=2, gives_text, |call| trim(call, true, true)),
        exact(FAMILY, &["ltrim"], 1..=2, gives_text, |call| trim(call, true, false)),
        exact(FAMILY, &["rtrim"], 1..=2, gives_text, |call| trim(call, false, true)),
    ]
}

/// Cuts each row's value to the range that `range` gives for its length, in characters or bytes; none is NULL.
fn cut(call: &Call<'_>, mut range: impl FnMut(usize, usize) -> Option<(usize, usize)>) -> Result<ArrayRef> {
    if call.returns == &DataType::Binary {
        let bytes = call.bytes(0)?;
        return binaries(call.rows, |row, out| {
            let Some(bytes) = bytes.get(row) else { return Ok(false) };
            let Some((from, to)) = range(row, bytes.len()) else { return Ok(false) };
            out.extend_from_slice(&bytes[from..to]);
            Ok(true)
        });
    }
    let text = call.texts(0)?;
    slices(call.rows, |row| {
        let Some(text) = text.get(row) else { return Ok(None) };
        let Some((from, to)) = range(row, characters(text)) else { return Ok(None) };
        let start = byte_at(text, from);
        Ok(Some(&text[start..start + byte_at(&text[start..], to - from)]))
    })
}

fn substr(call: &Call<'_>) -> Result<ArrayRef> {
    let start = call.integers(1)?;
    let count = if call.len() > 2 { Some(call.integers(2)?) } else { None };
    cut(call, |row, length| {
        let start = start.get(row)?;
        let count = count.as_ref().map_or(Some(i64::MAX), |count| count.get(row))?;
        Some(part(length, start, count))
    })
}

/// The range of a start from 1 (0 is 1, a negative one counts from the end) and a count.
fn part(length: usize, start: i64, count: i64) -> (usize, usize) {
    let from = match start {
        0 => 0,
        1.. => usize::try_from(start - 1).unwrap_or(usize::MAX),
        _ => match usize::try_from(start.unsigned_abs()) {
            Ok(back) if back <= length => length - back,
            _ => return (0, 0),
        },
    };
    let from = from.min(length);
    (from, from.saturating_add(usize::try_from(count).unwrap_or(0)).min(length))
}

fn end(call: &Call<'_>, range: fn(usize, usize) -> (usize, usize)) -> Result<ArrayRef> {
    let count = call.integers(1)?;
    cut(call, |row, length| {
        let count = usize::try_from(count.get(row)?).unwrap_or(0).min(length);
        Some(range(length, count))
    })
}

fn insert(call: &Call<'_>) -> Result<ArrayRef> {
    let (position, count) = (call.integers(1)?, call.integers(2)?);
    let range = |row: usize, length: usize| -> Result<Option<(usize, usize)>> {
        let (Some(position), Some(count)) = (position.get(row), count.get(row)) else { return Ok(None) };
        let from = usize::try_from(position - 1).ok().filter(|from| *from <= length);
        let (Some(from), Ok(count)) = (from, usize::try_from(count)) else {
            return call.fail(format!("position {position} or length {count} is outside of the text"));
        };
        Ok(Some((from, from.saturating_add(count).min(length))))
    };
    if call.returns == &DataType::Binary {
        let (base, inserted) = (call.bytes(0)?, call.bytes(3)?);
        return binaries(call.rows, |row, out| {
            let (Some(base), Some(inserted)) = (base.get(row), inserted.get(row)) else { return Ok(false) };
            let Some((from, to)) = range(row, base.len())? else { return Ok(false) };
            [&base[..from], inserted, &base[to..]].iter().for_each(|part| out.extend_from_slice(part));
            Ok(true)
        });
    }
    let (base, inserted) = (call.texts(0)?, call.texts(3)?);
    texts(call.rows, |row, out| {
        let (Some(base), Some(inserted)) = (base.get(row), inserted.get(row)) else { return Ok(false) };
        let Some((from, to)) = range(row, characters(base))? else { return Ok(false) };
        [&base[..byte_at(base, from)], inserted, &base[byte_at(base, to)..]].iter().for_each(|part| out.push_str(part));
        Ok(true)
    })
}

fn pad(call: &Call<'_>, left: bool) -> Result<ArrayRef> {
    let wanted = call.integers(1)?;
    let wanted = |row| -> Result<Option<usize>> {
        let Some(wanted) = wanted.get(row) else { return Ok(None) };
        match usize::try_from(wanted.max(0)) {
            Ok(wanted) if wanted <= LONGEST => Ok(Some(wanted)),
            _ => call.fail(format!("length {wanted} is too long")),
        }
    };
    if call.returns == &DataType::Binary {
        if call.len() < 3 {
            return call.fail("BINARY needs the bytes to pad with");
        }
        let (base, filler) = (call.bytes(0)?, call.bytes(2)?);
        return binaries(call.rows, |row, out| {
            let (Some(base), Some(filler), Some(wanted)) = (base.get(row), filler.get(row), wanted(row)?) else {
                return Ok(false);
            };
            let missing = if filler.is_empty() { 0 } else { wanted.saturating_sub(base.len()) };
            let fill = filler.iter().cycle().take(missing);
            let base = &base[..base.len().min(wanted)];
            if left {
                out.extend(fill);
                out.extend_from_slice(base);
            } else {
                out.extend_from_slice(base);
                out.extend(fill);
            }
            Ok(true)
        });
    }
    let base = call.texts(0)?;
    let filler = if call.len() > 2 { Some(call.texts(2)?) } else { None };
    texts(call.rows, |row, out| {
        let filler = filler.as_ref().map_or(Some(" "), |filler| filler.get(row));
        let (Some(base), Some(filler), Some(wanted)) = (base.get(row), filler, wanted(row)?) else { return Ok(false) };
        let missing = if filler.is_empty() { 0 } else { wanted.saturating_sub(characters(base)) };
        let fill = filler.chars().cycle().take(missing);
        let base = &base[..byte_at(base, wanted)];
        if left {
            out.extend(fill);
            out.push_str(base);
        } else {
            out.push_str(base);
            out.extend(fill);
        }
        Ok(true)
    })
}

fn trim(call: &Call<'_>, left: bool, right: bool) -> Result<ArrayRef> {
    let text = call.texts(0)?;
    let taken = if call.len() > 1 { Some(call.texts(1)?) } else { None };
    slices(call.rows, |row| {
        let taken = taken.as_ref().map_or(Some(" "), |taken| taken.get(row));
        let (Some(mut text), Some(taken)) = (text.get(row), taken) else { return Ok(None) };
        if left {
            text = text.trim_start_matches(|c| taken.contains(c));
        }
        if right {
            text = text.trim_end_matches(|c| taken.contains(c));
        }
        Ok(Some(text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_mystring() {
        let cut = |start, count| {
            let (from, to) = part(8, start, count);
            &"mystring"[from..to]
        };
        let cases = [
            (-1, 3, "g"),
            (-3, 7, "ing"),
            (-7, 3, "yst"),
            (-9, 3, ""),
            (0, 3, "mys"),
            (1, 7, "mystrin"),
            (7, 3, "ng"),
            (9, 3, ""),
            (3, -1, ""),
            (3, i64::MAX, "string"),
        ];
        for (start, count, wanted) in cases {
            assert_eq!(cut(start, count), wanted, "{start} {count}");
        }
    }
}
