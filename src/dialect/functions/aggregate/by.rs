//! Values picked out of a group: MIN_BY, MAX_BY, MODE, ANY_VALUE.

use datafusion::arrow::array::{Array, ArrayRef, StringArray, new_null_array};
use datafusion::arrow::compute::{SortOptions, concat};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err, plan_err};
use indexmap::IndexMap;

use super::frame::{Group, KeyAndValue, Setup, aggregate, converter, put, take};
use super::numbers::{equal_rows, sort_rows};
use crate::dialect::functions::Function;
use crate::dialect::types::{self, SqlType};
use crate::dialect::variant::array::of_texts;
use crate::dialect::variant::convert::to_texts;
use crate::dialect::variant::write::ArrayText;

pub(super) fn functions() -> Vec<Function> {
    vec![
        aggregate::<ExtremeBy>(&["max_by"], 2..=3, by_rule),
        aggregate::<ExtremeBy>(&["min_by"], 2..=3, by_rule),
        aggregate::<Mode>(&["mode"], 1..=1, first_rule),
        aggregate::<AnyValue>(&["any_value"], 1..=1, first_rule),
    ]
}

fn first_rule(_: &str, types: &[DataType]) -> Result<DataType> {
    Ok(types.first().cloned().unwrap_or(DataType::Null))
}

fn by_rule(name: &str, types: &[DataType]) -> Result<DataType> {
    match types.get(2).and_then(SqlType::of) {
        None if types.len() < 3 => first_rule(name, types),
        Some(SqlType::Number { .. }) => Ok(types::array()),
        _ => plan_err!("the third argument of `{name}` must be a number"),
    }
}

/// Bytes of a value of one column, back as a column; NULL where there are none.
pub(super) fn decode<'v>(values: impl Iterator<Item = Option<&'v [u8]>>, data_type: &DataType) -> Result<ArrayRef> {
    let converter = converter([data_type])?;
    let null = new_null_array(data_type, 1);
    let null = converter.convert_columns(&[null])?;
    let parser = converter.parser();
    let rows = values.map(|value| value.map_or_else(|| null.row(0), |value| parser.parse(value)));
    let columns = converter.convert_rows(rows)?;
    match columns.into_iter().next() {
        Some(column) => Ok(column),
        None => exec_err!("a value was lost"),
    }
}

/// MIN_BY and MAX_BY: the values with the extreme key, or the best of all where a number of them is asked for. The key is
/// kept as bytes that sort from the best on; ties keep their order.
#[derive(Debug, Default)]
struct ExtremeBy(Vec<KeyAndValue>);

impl ExtremeBy {
    fn push(&mut self, key: &[u8], value: &[u8], all: bool) {
        match self.0.first_mut() {
            Some(best) if !all => {
                if key < best.0.as_ref() {
                    *best = (key.into(), value.into());
                }
            }
            _ => self.0.push((key.into(), value.into())),
        }
    }
}

impl Group for ExtremeBy {
    fn update(groups: &mut [Self], setup: &Setup, columns: &[ArrayRef], at: &[usize]) -> Result<()> {
        let order = SortOptions { descending: setup.name == "MAX_BY", nulls_first: false };
        let keys = sort_rows(&columns[1..2], &[order])?;
        let values = converter([columns[0].data_type()])?.convert_columns(&columns[..1])?;
        let nulls = columns[1].logical_nulls();
        for (row, group) in at.iter().enumerate() {
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                groups[*group].push(keys.row(row).data(), values.row(row).data(), setup.types.len() == 3);
            }
        }
        Ok(())
    }

    fn evaluate(groups: &[Self], setup: &Setup) -> Result<ArrayRef> {
        if setup.types.len() < 3 {
            return decode(groups.iter().map(|group| group.0.first().map(|best| best.1.as_ref())), &setup.types[0]);
        }
        let Some(count) = setup.constant_number(2).filter(|count| (1.0..=1000.0).contains(count)) else {
            return exec_err!("the third argument of `{}` must be a constant from 1 to 1000", setup.name);
        };
        let mut arrays = Vec::with_capacity(groups.len());
        for group in groups {
            let mut all: Vec<_> = group.0.iter().collect();
            all.sort_by(|a, b| a.0.cmp(&b.0));
            let best = decode(all.iter().take(count as usize).map(|(_, value)| Some(value.as_ref())), &setup.types[0])?;
            let mut array = ArrayText::default();
            to_texts(&best)?.iter().for_each(|text| array.push(text.unwrap_or("undefined")));
            arrays.push(Some(array.finish()));
        }
        of_texts(StringArray::from(arrays), &types::array())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for (key, value) in &self.0 {
            put(out, key);
            put(out, value);
        }
    }

    fn absorb(&mut self, setup: &Setup, mut bytes: &[u8]) -> Result<()> {
        while let (Some(key), Some(value)) = (take(&mut bytes), take(&mut bytes)) {
            self.push(key, value, setup.types.len() == 3);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len() + value.len() + 32).sum()
    }
}

/// MODE: the value that is there most often, the one that came first where several are.
#[derive(Debug, Default)]
struct Mode(IndexMap<Box<[u8]>, Counted>);

/// A value as bytes, and how often it is there.
type Counted = (Box<[u8]>, u64);

impl Mode {
    fn add(&mut self, key: &[u8], value: &[u8], count: u64) {
        match self.0.get_mut(key) {
            Some((_, known)) => *known += count,
            None => drop(self.0.insert(key.into(), (value.into(), count))),
        }
    }
}

impl Group for Mode {
    fn update(groups: &mut [Self], _: &Setup, columns: &[ArrayRef], at: &[usize]) -> Result<()> {
        let keys = equal_rows(&columns[..1])?;
        let values = converter([columns[0].data_type()])?.convert_columns(&columns[..1])?;
        let nulls = columns[0].logical_nulls();
        for (row, group) in at.iter().enumerate() {
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                groups[*group].add(keys.row(row).data(), values.row(row).data(), 1);
            }
        }
        Ok(())
    }

    fn evaluate(groups: &[Self], setup: &Setup) -> Result<ArrayRef> {
        let most = |group: &'_ Self| -> Option<usize> {
            let most = group.0.values().map(|(_, count)| count).max()?;
            group.0.values().position(|(_, count)| count == most)
        };
        let found = groups.iter().map(|group| group.0.get_index(most(group)?).map(|(_, (value, _))| value.as_ref()));
        decode(found, &setup.types[0])
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for (key, (value, count)) in &self.0 {
            put(out, key);
            put(out, value);
            out.extend_from_slice(&count.to_le_bytes());
        }
    }

    fn absorb(&mut self, _: &Setup, mut bytes: &[u8]) -> Result<()> {
        while let (Some(key), Some(value)) = (take(&mut bytes), take(&mut bytes)) {
            let Some((count, rest)) = bytes.split_first_chunk::<8>() else { break };
            bytes = rest;
            self.add(key, value, u64::from_le_bytes(*count));
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.0.iter().map(|(key, (value, _))| key.len() + value.len() + 64).sum()
    }
}

/// ANY_VALUE: the first value that is not NULL.
#[derive(Debug, Default)]
struct AnyValue(Option<Box<[u8]>>);

impl Group for AnyValue {
    fn update(groups: &mut [Self], _: &Setup, columns: &[ArrayRef], at: &[usize]) -> Result<()> {
        let column = &columns[0];
        let nulls = column.logical_nulls();
        let mut wanted: Vec<usize> = Vec::new();
        let mut takers: Vec<usize> = Vec::new();
        let mut taken = hashbrown::HashSet::new();
        for (row, group) in at.iter().enumerate() {
            let valid = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
            if valid && groups[*group].0.is_none() && taken.insert(*group) {
                wanted.push(row);
                takers.push(*group);
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let slices: Vec<ArrayRef> = wanted.iter().map(|row| column.slice(*row, 1)).collect();
        let slices: Vec<&dyn Array> = slices.iter().map(AsRef::as_ref).collect();
        let values = converter([column.data_type()])?.convert_columns(&[concat(&slices)?])?;
        for (at, group) in takers.into_iter().enumerate() {
            groups[group].0 = Some(values.row(at).data().into());
        }
        Ok(())
    }

    fn evaluate(groups: &[Self], setup: &Setup) -> Result<ArrayRef> {
        decode(groups.iter().map(|group| group.0.as_deref()), &setup.types[0])
    }

    fn encode(&self, out: &mut Vec<u8>) {
        if let Some(value) = &self.0 {
            put(out, value);
        }
    }

    fn absorb(&mut self, _: &Setup, mut bytes: &[u8]) -> Result<()> {
        if let (None, Some(value)) = (&self.0, take(&mut bytes)) {
            self.0 = Some(value.into());
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.0.as_ref().map_or(0, |value| value.len())
    }
}
