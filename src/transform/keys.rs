//! Ids of any scalar type as dense integers whose order is the order of the ids: NULL last, numbers by value, text by
//! code point. Kernels then compare and group integers only.

use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array, PrimitiveArray};
use datafusion::arrow::compute::{CastOptions, SortOptions, cast_with_options, concat, partition};
use datafusion::arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Float64Type, Int64Type};
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use hashbrown::hash_map::Entry;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use rayon::prelude::*;

use super::TransformError;
use crate::dialect::types::SqlType;

/// Integers from 0 up to here are looked up in a table instead of a hash map.
const DIRECT: usize = 1 << 24;
/// Rows that are worth a thread of their own.
const PIECE: usize = 1 << 18;

/// The codes of rows, and what they stand for.
pub(super) struct Keys {
    /// One code per row, over all parts in turn.
    pub(super) codes: Vec<u32>,
    /// The distinct ids in order: code `c` is row `c` of every column.
    pub(super) distinct: Vec<ArrayRef>,
    /// Whether an id has a NULL in it.
    pub(super) has_null: Vec<bool>,
}

impl Keys {
    /// How many ids.
    pub(super) fn len(&self) -> usize {
        self.has_null.len()
    }
}

/// Codes for the rows of one table by some of its columns; no columns make one id.
pub(super) fn encode(columns: &[ArrayRef], rows: usize) -> Result<Keys, TransformError> {
    encode_parts(&[(columns.to_vec(), rows)])
}

/// Common codes for the rows of several tables, each with as many key columns.
pub(super) fn encode_parts(parts: &[(Vec<ArrayRef>, usize)]) -> Result<Keys, TransformError> {
    let pieces: Vec<(Vec<ArrayRef>, usize)> = parts.iter().flat_map(pieces).collect();
    if pieces.len() == parts.len() {
        return encode_in_turn(parts);
    }
    let types = common_types(parts);
    let encode = |(columns, rows): &(Vec<ArrayRef>, usize)| {
        let mut interner = Interner::new(&types)?;
        let mut codes = Vec::new();
        interner.push(columns, *rows, &mut codes)?;
        Ok((interner, codes))
    };
    let coded = pieces.par_iter().map(encode).collect::<Result<Vec<_>, TransformError>>()?;
    let (interners, mut codes): (Vec<Interner>, Vec<Vec<u32>>) = coded.into_iter().unzip();
    let (orders, distinct, has_null) = merged(interners)?;
    codes.par_iter_mut().zip(orders).for_each(|(codes, order)| {
        codes.iter_mut().for_each(|code| *code = order[*code as usize]);
    });
    Ok(Keys { codes: codes.concat(), distinct, has_null })
}

/// The rows of a table in pieces that threads can take.
fn pieces((columns, rows): &(Vec<ArrayRef>, usize)) -> Vec<(Vec<ArrayRef>, usize)> {
    let size = rows.div_ceil(rayon::current_num_threads()).max(PIECE);
    let piece = |from: usize| {
        let rows = size.min(rows - from);
        (columns.iter().map(|column| column.slice(from, rows)).collect(), rows)
    };
    if *rows == 0 { vec![piece(0)] } else { (0..*rows).step_by(size).map(piece).collect() }
}

fn encode_in_turn(parts: &[(Vec<ArrayRef>, usize)]) -> Result<Keys, TransformError> {
    let types = common_types(parts);
    let mut interner = Interner::new(&types)?;
    let mut codes = Vec::with_capacity(parts.iter().map(|(_, rows)| rows).sum());
    for (columns, rows) in parts {
        interner.push(columns, *rows, &mut codes)?;
    }
    let (order, distinct, has_null) = interner.finish()?;
    for code in &mut codes {
        *code = order[*code as usize];
    }
    Ok(Keys { codes, distinct, has_null })
}

/// The codes of several interners of the same types: for each its provisional codes' final ones, and by final code the
/// ids and whether they have a NULL in them.
#[expect(clippy::type_complexity, reason = "three parallel results, taken apart at once")]
pub(super) fn merged(interners: Vec<Interner>) -> Result<(Vec<Vec<u32>>, Vec<ArrayRef>, Vec<bool>), TransformError> {
    let mut orders = Vec::new();
    let mut parts = Vec::new();
    let mut nulls = Vec::new();
    let finished: Vec<_> = interners.into_par_iter().map(Interner::finish).collect::<Result<_, TransformError>>()?;
    for (order, distinct, has_null) in finished {
        orders.push(order);
        parts.push((distinct, has_null.len()));
        nulls = has_null;
    }
    if let [(distinct, _)] = &mut *parts {
        return Ok((orders, std::mem::take(distinct), nulls));
    }
    let keys = encode_in_turn(&parts)?;
    let mut rest = keys.codes.as_slice();
    for (order, (_, count)) in orders.iter_mut().zip(&parts) {
        let (codes, after) = rest.split_at(*count);
        order.iter_mut().for_each(|code| *code = codes[*code as usize]);
        rest = after;
    }
    Ok((orders, keys.distinct, keys.has_null))
}

/// The types in which the ids of several tables are compared: that of the first table that has one, except that
/// numbers of different types meet as floats or decimals.
fn common_types(parts: &[(Vec<ArrayRef>, usize)]) -> Vec<DataType> {
    let width = parts.first().map_or(0, |(columns, _)| columns.len());
    let column_type = |at: usize| {
        let types = parts.iter().filter_map(|(columns, _)| columns.get(at)).map(|column| column.data_type().clone());
        types.reduce(common_type).unwrap_or(DataType::Null)
    };
    (0..width).map(column_type).collect()
}

fn common_type(a: DataType, b: DataType) -> DataType {
    use DataType::{Date32, Decimal128, Float64, Null, Timestamp};
    match (a, b) {
        (a, b) if a == b => a,
        (Null, other) | (other, Null) => other,
        (Float64, _) | (_, Float64) => Float64,
        (Decimal128(_, scale), Decimal128(_, other)) => Decimal128(38, scale.max(other)),
        (Decimal128(_, scale), _) | (_, Decimal128(_, scale)) => Decimal128(38, scale),
        (Date32, Timestamp(unit, zone)) | (Timestamp(unit, zone), Date32) => Timestamp(unit, zone),
        (a, _) => a,
    }
}

/// Gives provisional codes to ids as they come, and their order at the end.
pub(super) struct Interner {
    types: Vec<DataType>,
    store: Store,
}

enum Store {
    /// No columns: one id.
    Unit,
    /// One column of 64-bit integers, or of decimals of one scale as integers.
    Integers(Integers),
    /// Anything else, in Arrow's row format, whose byte order is the order of the ids.
    Rows { converter: RowConverter, table: HashTable<u32>, distinct: Rows, hasher: DefaultHashBuilder },
}

impl Interner {
    /// An interner of ids that have these types or are cast to them.
    pub(super) fn new(types: &[DataType]) -> Result<Self, TransformError> {
        let types: Vec<DataType> = types.iter().map(key_type).collect();
        let store = match types.as_slice() {
            [] => Store::Unit,
            [DataType::Int64 | DataType::Decimal128(..)] => Store::Integers(Integers::default()),
            types => {
                let order = SortOptions { descending: false, nulls_first: false };
                let fields = types.iter().map(|t| SortField::new_with_options(t.clone(), order)).collect();
                let converter = RowConverter::new(fields)?;
                let distinct = converter.empty_rows(0, 0);
                Store::Rows { converter, table: HashTable::new(), distinct, hasher: DefaultHashBuilder::default() }
            }
        };
        Ok(Self { types, store })
    }

    /// The provisional codes of some rows.
    pub(super) fn codes(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>, TransformError> {
        let mut codes = Vec::new();
        self.push(columns, rows, &mut codes)?;
        Ok(codes)
    }

    /// Appends the provisional codes of some rows.
    pub(super) fn push(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        codes: &mut Vec<u32>,
    ) -> Result<(), TransformError> {
        let columns: Vec<ArrayRef> =
            columns.iter().zip(&self.types).map(|(column, t)| key_column(column, t)).collect::<Result<_, _>>()?;
        match &mut self.store {
            Store::Unit => codes.extend(std::iter::repeat_n(0, rows)),
            Store::Integers(integers) => {
                codes.reserve(rows);
                match columns[0].as_primitive_opt::<Decimal128Type>() {
                    Some(column) => integers.push(column, codes)?,
                    None => integers.push(columns[0].as_primitive::<Int64Type>(), codes)?,
                }
            }
            Store::Rows { converter, table, distinct, hasher } => {
                let converted = converter.convert_columns(&columns)?;
                codes.reserve(rows);
                for row in &converted {
                    let hash = hasher.hash_one(row.data());
                    let found = table.find(hash, |code| distinct.row(*code as usize).data() == row.data());
                    let code = match found {
                        Some(code) => *code,
                        None => {
                            let code = next_code(distinct.num_rows())?;
                            distinct.push(row);
                            table.insert_unique(hash, code, |c| hasher.hash_one(distinct.row(*c as usize).data()));
                            code
                        }
                    };
                    codes.push(code);
                }
            }
        }
        Ok(())
    }

    /// For each provisional code its final one, and by final code the ids and whether they have a NULL in them.
    #[expect(clippy::type_complexity, reason = "three parallel results, taken apart at once")]
    pub(super) fn finish(self) -> Result<(Vec<u32>, Vec<ArrayRef>, Vec<bool>), TransformError> {
        match self.store {
            Store::Unit => Ok((vec![0], Vec::new(), vec![false])),
            Store::Integers(Integers { values, .. }) => {
                let mut sorted: Vec<u32> = codes_up_to(values.len());
                sorted.sort_unstable_by_key(|code| values[*code as usize].map_or((true, 0), |value| (false, value)));
                let ordered = || sorted.iter().map(|code| values[*code as usize]);
                let has_null = ordered().map(|value| value.is_none()).collect();
                let distinct: ArrayRef = match self.types.first() {
                    Some(decimal @ DataType::Decimal128(..)) => {
                        Arc::new(ordered().collect::<Decimal128Array>().with_data_type(decimal.clone()))
                    }
                    // What came as 64 bits goes as 64 bits.
                    _ => Arc::new(ordered().map(|value| i64::try_from(value?).ok()).collect::<Int64Array>()),
                };
                Ok((inverse(&sorted), vec![distinct], has_null))
            }
            Store::Rows { converter, distinct, .. } => {
                let mut sorted: Vec<u32> = codes_up_to(distinct.num_rows());
                sorted.sort_unstable_by(|a, b| distinct.row(*a as usize).cmp(&distinct.row(*b as usize)));
                let columns = converter.convert_rows(sorted.iter().map(|code| distinct.row(*code as usize)))?;
                let has_null = (0..sorted.len()).map(|row| columns.iter().any(|c| c.is_null(row))).collect();
                Ok((inverse(&sorted), columns, has_null))
            }
        }
    }
}

/// The codes of integers: small ones by their place in a table.
#[derive(Default)]
struct Integers {
    /// One more than the code of each small integer; 0 where it has none.
    direct: Vec<u32>,
    sparse: HashMap<i128, u32>,
    null: Option<u32>,
    values: Vec<Option<i128>>,
}

impl Integers {
    fn push<T>(&mut self, column: &PrimitiveArray<T>, codes: &mut Vec<u32>) -> Result<(), TransformError>
    where
        T: ArrowPrimitiveType<Native: Copy + Into<i128>>,
        usize: TryFrom<T::Native>,
    {
        let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
        for (row, value) in column.values().iter().enumerate() {
            let code = match usize::try_from(*value) {
                _ if nulls.is_some_and(|nulls| nulls.is_null(row)) => self.null()?,
                Ok(at) if at < DIRECT => self.small(at)?,
                _ => self.other((*value).into())?,
            };
            codes.push(code);
        }
        Ok(())
    }

    fn small(&mut self, at: usize) -> Result<u32, TransformError> {
        if at >= self.direct.len() {
            self.direct.resize((at + 1).next_power_of_two(), 0);
        }
        if self.direct[at] == 0 {
            self.direct[at] = next_code(self.values.len())? + 1;
            self.values.push(Some(at as i128));
        }
        Ok(self.direct[at] - 1)
    }

    fn other(&mut self, value: i128) -> Result<u32, TransformError> {
        match self.sparse.entry(value) {
            Entry::Occupied(known) => Ok(*known.get()),
            Entry::Vacant(new) => {
                let code = next_code(self.values.len())?;
                self.values.push(Some(value));
                Ok(*new.insert(code))
            }
        }
    }

    fn null(&mut self) -> Result<u32, TransformError> {
        if let Some(code) = self.null {
            return Ok(code);
        }
        let code = next_code(self.values.len())?;
        self.values.push(None);
        Ok(*self.null.insert(code))
    }
}

fn next_code(count: usize) -> Result<u32, TransformError> {
    let too_many = || TransformError::TooLarge("more than 4 billion distinct ids".to_owned());
    u32::try_from(count).ok().filter(|code| *code < u32::MAX).ok_or_else(too_many)
}

fn codes_up_to(count: usize) -> Vec<u32> {
    (0..u32::try_from(count).unwrap_or(u32::MAX)).collect()
}

/// Where each value of a permutation stands.
pub(super) fn inverse(order: &[u32]) -> Vec<u32> {
    let mut inverse = vec![0; order.len()];
    for (at, value) in codes_up_to(order.len()).into_iter().zip(order) {
        inverse[*value as usize] = at;
    }
    inverse
}

/// The type in which ids of a type are compared.
fn key_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 => DataType::Int64,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => DataType::Int64,
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Float16 | DataType::Float32 => DataType::Float64,
        DataType::Dictionary(_, values) => key_type(values),
        other => other.clone(),
    }
}

/// A column as another type; what that type has no room for is no id of it.
fn exactly_cast(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, TransformError> {
    cast_with_options(column, to, &CastOptions { safe: false, ..CastOptions::default() }).map_err(|_| {
        let name = |t: &DataType| SqlType::of(t).map_or_else(|| t.to_string(), |t| t.to_string());
        let (from, to) = (name(column.data_type()), name(to));
        TransformError::Data(format!("the ids of two inputs are compared as {to}, and one of type {from} does not fit"))
    })
}

fn key_column(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, TransformError> {
    let column = if column.data_type() == to { Arc::clone(column) } else { exactly_cast(column, to)? };
    if *to != DataType::Float64 {
        return Ok(column);
    }
    let floats = column.as_primitive::<Float64Type>();
    let positive_zero: Float64Array = floats.unary(|value| value + 0.0);
    Ok(Arc::new(positive_zero))
}

/// Sorted rows in runs of one id, and whether each is not the id that the rows before ended with.
pub(super) fn runs(column: &ArrayRef, before: Option<&ArrayRef>) -> Result<Vec<(Range<usize>, bool)>, TransformError> {
    let column = key_column(column, &key_type(column.data_type()))?;
    let joined = match before {
        Some(before) => concat(&[key_column(before, column.data_type())?.as_ref(), column.as_ref()])?,
        None => column,
    };
    let earlier = usize::from(before.is_some());
    let run = |range: Range<usize>| (range.start.saturating_sub(earlier)..range.end - earlier, range.start >= earlier);
    Ok(partition(&[joined])?.ranges().into_iter().map(run).collect())
}

/// Codes in about equal ranges, one for each thread.
pub(super) fn ranges(codes: usize, threads: usize) -> Vec<Range<usize>> {
    let size = codes.div_ceil(threads).max(1);
    (0..codes).step_by(size).map(|from| from..codes.min(from + size)).collect()
}

/// Rows grouped by code: `rows[starts[c]..starts[c + 1]]` are the rows of code `c`, in their order.
pub(super) struct Groups {
    /// Where each group starts, and the end.
    pub(super) starts: Vec<usize>,
    /// The rows.
    pub(super) rows: Vec<u32>,
}

impl Groups {
    /// Groups the rows that are kept. Of many, each thread takes those of some of the groups.
    pub(super) fn new(codes: &[u32], groups: usize, keep: impl Fn(usize) -> bool + Sync) -> Self {
        let threads = if codes.len() < PIECE { 1 } else { rayon::current_num_threads() };
        let parts: Vec<Self> =
            ranges(groups, threads).into_par_iter().map(|among| Self::among(codes, among, &keep)).collect();
        let mut parts = parts.into_iter();
        let mut all = parts.next().unwrap_or_else(|| Self { starts: vec![0], rows: Vec::new() });
        for part in parts {
            let end = all.rows.len();
            all.starts.extend(part.starts[1..].iter().map(|start| end + start));
            all.rows.extend(part.rows);
        }
        all
    }

    /// The rows of some of the groups.
    fn among(codes: &[u32], among: Range<usize>, keep: impl Fn(usize) -> bool) -> Self {
        let kept = || {
            (0_u32..).zip(codes).filter_map(|(row, code)| {
                let group = (*code as usize).checked_sub(among.start).filter(|group| *group < among.len())?;
                keep(row as usize).then_some((row, group))
            })
        };
        let mut starts = vec![0_usize; among.len() + 1];
        kept().for_each(|(_, group)| starts[group + 1] += 1);
        (0..among.len()).for_each(|group| starts[group + 1] += starts[group]);
        let mut next = starts.clone();
        let mut rows = vec![0_u32; starts[among.len()]];
        for (row, group) in kept() {
            rows[next[group]] = row;
            next[group] += 1;
        }
        Self { starts, rows }
    }

    /// How many groups.
    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The rows of a group.
    pub(super) fn group(&self, group: usize) -> &[u32] {
        &self.rows[self.starts[group]..self.starts[group + 1]]
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::StringArray;

    use super::*;

    #[test]
    fn many_rows_are_grouped_by_all_threads_as_by_one() {
        let codes: Vec<u32> = (0..2 * PIECE).map(|row| (row * 7919 % 1009) as u32).collect();
        let keep = |row: usize| row % 7 != 3;
        let (all, one) = (Groups::new(&codes, 1009, keep), Groups::among(&codes, 0..1009, keep));
        assert_eq!((all.starts, all.rows), (one.starts, one.rows));
    }

    #[test]
    fn codes_follow_the_order_of_ids_with_null_last() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None, Some(-3), Some(1 << 40), Some(7)]));
        let keys = encode(&[numbers], 5).expect("keys");
        assert_eq!(keys.codes, [1, 3, 0, 2, 1]);
        assert_eq!(keys.has_null, [false, false, false, true]);
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("é"), Some("z"), None, Some("")]));
        assert_eq!(encode(&[texts], 4).expect("keys").codes, [2, 1, 3, 0]);
        assert_eq!(encode(&[], 3).expect("keys").codes, [0, 0, 0]);
    }

    #[test]
    fn runs_go_on_over_batches() {
        let of = |values: Vec<Option<f64>>| Arc::new(Float64Array::from(values)) as ArrayRef;
        let first = of(vec![Some(-0.0), Some(0.0), Some(2.0)]);
        assert_eq!(runs(&first, None).expect("runs"), [(0..2, true), (2..3, true)]);
        let last = first.slice(2, 1);
        let second = of(vec![Some(2.0), Some(3.0), None, None]);
        assert_eq!(runs(&second, Some(&last)).expect("runs"), [(0..1, false), (1..2, true), (2..4, true)]);
    }

    #[test]
    fn ids_that_do_not_fit_the_common_type_are_an_error() {
        let decimals = |value: i128, scale: i8| {
            let array = Decimal128Array::from(vec![value]).with_precision_and_scale(38, scale).expect("a NUMBER");
            Arc::new(array) as ArrayRef
        };
        let (wide, fine) = (decimals(10_i128.pow(37), 0), decimals(150, 2));
        let error = encode_parts(&[(vec![wide], 1), (vec![Arc::clone(&fine)], 1)]).map(|keys| keys.len());
        assert!(error.unwrap_err().to_string().contains("compared as NUMBER(38,2)"));
        let keys = encode_parts(&[(vec![decimals(10_i128.pow(35), 0)], 1), (vec![fine], 1)]).expect("keys");
        assert_eq!((keys.codes, keys.has_null), (vec![1, 0], vec![false, false]));
    }

    #[test]
    fn ids_of_two_tables_meet_in_one_type() {
        let integers: ArrayRef = Arc::new(Int64Array::from(vec![2, 1]));
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 0.0, -0.0]));
        let keys = encode_parts(&[(vec![integers], 2), (vec![floats], 3)]).expect("keys");
        assert_eq!(keys.codes, [2, 1, 1, 0, 0]);
    }
}
