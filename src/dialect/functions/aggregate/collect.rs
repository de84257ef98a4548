//! Texts, arrays and objects of all values of a group: LISTAGG, ARRAY_AGG, ARRAY_UNION_AGG, ARRAY_UNIQUE_AGG, OBJECT_AGG.

use std::collections::{BTreeMap, HashMap};

use datafusion::arrow::array::{Array, ArrayRef, StringArray, StringBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err, plan_err};

use super::frame::{Group, Setup, aggregate, put, take};
use super::numbers::order_rows;
use crate::dialect::format::text_column;
use crate::dialect::functions::Function;
use crate::dialect::session::SessionParameters;
use crate::dialect::types::{self, SqlType};
use crate::dialect::variant::array::of_texts;
use crate::dialect::variant::convert::to_texts;
use crate::dialect::variant::key::key;
use crate::dialect::variant::text::{Kind, elements};
use crate::dialect::variant::write::{ArrayText, escape, object};

pub(super) fn functions() -> Vec<Function> {
    vec![
        aggregate::<ListAgg>(&["listagg"], 1..=2, |_, _| Ok(DataType::Utf8)),
        aggregate::<ArrayAgg>(&["array_agg", "arrayagg"], 1..=1, |_, _| Ok(types::array())),
        aggregate::<UnionAgg>(&["array_union_agg"], 1..=1, array_rule),
        aggregate::<UniqueAgg>(&["array_unique_agg"], 1..=1, |_, _| Ok(types::array())),
        aggregate::<ObjectAgg>(&["object_agg"], 2..=2, object_rule),
    ]
}

fn array_rule(name: &str, types: &[DataType]) -> Result<DataType> {
    match types.first().and_then(SqlType::of) {
        Some(SqlType::Array | SqlType::Variant | SqlType::Null) => Ok(types::array()),
        _ => plan_err!("the argument of `{name}` must be an ARRAY"),
    }
}

fn object_rule(name: &str, types: &[DataType]) -> Result<DataType> {
    match types.first().and_then(SqlType::of) {
        Some(SqlType::Varchar(_) | SqlType::Variant | SqlType::Null) => Ok(types::object()),
        _ => plan_err!("the keys of `{name}` must be VARCHAR"),
    }
}

/// Texts with the bytes that they are ordered by, in the order in which they came.
#[derive(Debug, Default)]
struct Items {
    items: Vec<(Box<[u8]>, Box<str>)>,
    bytes: usize,
}

impl Items {
    fn push(&mut self, order: &[u8], text: &str) {
        self.bytes += order.len() + text.len() + 48;
        self.items.push((order.into(), text.into()));
    }

    /// Takes in the texts that are not NULL, each into the items of its group.
    fn update<G>(
        groups: &mut [G],
        items: impl Fn(&mut G) -> &mut Self,
        setup: &Setup,
        columns: &[ArrayRef],
        texts: &StringArray,
        at: &[usize],
    ) -> Result<()> {
        let order = order_rows(setup, columns)?;
        for (row, group) in at.iter().enumerate().filter(|(row, _)| texts.is_valid(*row)) {
            let order = order.as_ref().map_or(&[][..], |order| order.row(row).data());
            items(&mut groups[*group]).push(order, texts.value(row));
        }
        Ok(())
    }

    fn sorted(&self) -> Vec<&str> {
        let mut items: Vec<_> = self.items.iter().collect();
        if items.iter().any(|(order, _)| !order.is_empty()) {
            items.sort_by(|a, b| a.0.cmp(&b.0));
        }
        items.into_iter().map(|(_, text)| text.as_ref()).collect()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for (order, text) in &self.items {
            put(out, order);
            put(out, text.as_bytes());
        }
    }

    fn absorb(&mut self, mut bytes: &[u8]) {
        while let (Some(order), Some(text)) = (take(&mut bytes), take(&mut bytes)) {
            self.push(order, &String::from_utf8_lossy(text));
        }
    }
}

fn session() -> SessionParameters {
    SessionParameters::default()
}

/// LISTAGG: the texts that are not NULL, joined; an empty text where there is none.
#[derive(Debug, Default)]
struct ListAgg(Items);

impl Group for ListAgg {
    fn update(groups: &mut [Self], setup: &Setup, columns: &[ArrayRef], at: &[usize]) -> Result<()> {
        let texts = text_column(&columns[0], &session())?;
        Items::update(groups, |group| &mut group.0, setup, columns, &texts, at)
    }

    fn evaluate(groups: &[Self], setup: &Setup) -> Result<ArrayRef> {
        let delimiter = match setup.types.get(1) {
            None => "",
            Some(_) => match setup.constants.get(1).and_then(Option::as_ref).map(|value| value.try_as_str()) {
                Some(Some(delimiter)) => delimiter.unwrap_or(""),
                _ => return exec_err!("the delimiter of `LISTAGG` must be a constant text"),
            },
        };
        let joined: StringArray = groups.iter().map(|group| Some(group.0.sorted().join(delimiter))).collect();
        Ok(std::sync::Arc::new(joined))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }

    fn absorb(&mut self, _: &Setup, bytes: &[u8]) -> Result<()> {
        self.0.absorb(bytes);
        Ok(())
    }

    fn size(&self) -> usize {
        self.0.bytes
    }
}

fn arrays<'g>(groups: impl ExactSizeIterator<Item = Vec<&'g str>>) -> Result<ArrayRef> {
    let mut builder = StringBuilder::with_capacity(groups.len(), groups.len() * 16);
    for items in groups {
        let mut array = ArrayText::default();
        items.into_iter().for_each(|item| array.push(item));
        builder.append_value(array.finish());
    }
    of_texts(builder.finish(), &types::array())
}

/// ARRAY_AGG: the values that are not NULL; an empty array where there is none.
#[derive(Debug, Default)]
struct ArrayAgg(Items);

impl Group for ArrayAgg {
    fn update(groups: &mut [Self], setup: &Setup, columns: &[ArrayRef], at: &[usize]) -> Result<()> {
        let texts = to_texts(&columns[0])?;
        Items::update(groups, |group| &mut group.0, setup, columns, &texts, at)
    }

    fn evaluate(groups: &[Self], _: &Setup) -> Result<ArrayRef> {
        arrays(groups.iter().map(|group| group.0.sorted()))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }

    fn absorb(&mut self, _: &Setup, bytes: &[u8]) -> Result<()> {
        self.0.absorb(bytes);
        Ok(())
    }

    fn size(&self) -> usize {
        self.0.bytes
    }
}

/// ARRAY_UNIQUE_AGG: the distinct values that are not NULL, in the order in which they first came.
#[derive(Debug, Default)]
struct UniqueAgg(indexmap::IndexMap<Vec<u8>, Box<str>>);

impl UniqueAgg {
    fn push(&mut self, text: &str) {
        self.0.entry(key(text)).or_insert_with(|| text.into());
    }
}

impl Group for UniqueAgg {
    fn update(groups: &mut [Self], _: &Setup, columns: &[ArrayRef], at: &[usize]) -> Result<()> {
        let texts = to_texts(&columns[0])?;
        for (row, group) in at.iter().enumerate().filter(|(row, _)| texts.is_valid(*row)) {
            groups[*group].push(texts.value(row));
        }
        Ok(())
    }

    fn evaluate(groups: &[Self], _: &Setup) -> Result<ArrayRef> {
        arrays(groups.iter().map(|group| group.0.values().map(AsRef::as_ref).collect()))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.values().for_each(|text| put(out, text.as_bytes()));
    }

    fn absorb(&mut self, _: &Setup, mut bytes: &[u8]) -> Result<()> {
        while let Some(text) = take(&mut bytes) {
            self.push(&String::from_utf8_lossy(text));
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.0.iter().map(|(key, text)| key.len() + text.len() + 64).sum()
    }
}

/// ARRAY_UNION_AGG: each element as often as the array that has it most often.
#[derive(Debug, Default)]
struct UnionAgg(indexmap::IndexMap<Vec<u8>, (Box<str>, usize)>);

impl UnionAgg {
    fn add(&mut self, array: &str) {
        let mut counts: HashMap<Vec<u8>, usize> = HashMap::new();
        for element in elements(array) {
            let key = key(element);
            let count = counts.entry(key.clone()).or_default();
            *count += 1;
            let most = &mut self.0.entry(key).or_insert_with(|| (element.into(), 0)).1;
            *most = (*most).max(*count);
        }
    }

    fn items(&self) -> Vec<&str> {
        self.0.values().flat_map(|(text, count)| std::iter::repeat_n(text.as_ref(), *count)).collect()
    }
}

impl Group for UnionAgg {
    fn update(groups: &mut [Self], setup: &Setup, columns: &[ArrayRef], at: &[usize]) -> Result<()> {
        let texts = to_texts(&columns[0])?;
        for (row, group) in at.iter().enumerate().filter(|(row, _)| texts.is_valid(*row)) {
            match texts.value(row) {
                "null" => {}
                array if Kind::of(array) == Kind::Array => groups[*group].add(array),
                _ => return exec_err!("`{}` takes arrays only", setup.name),
            }
        }
        Ok(())
    }

    fn evaluate(groups: &[Self], _: &Setup) -> Result<ArrayRef> {
        arrays(groups.iter().map(Self::items))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let mut array = ArrayText::default();
        self.items().into_iter().for_each(|item| array.push(item));
        put(out, array.finish().as_bytes());
    }

    fn absorb(&mut self, _: &Setup, mut bytes: &[u8]) -> Result<()> {
        while let Some(array) = take(&mut bytes) {
            self.add(&String::from_utf8_lossy(array));
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.0.iter().map(|(key, (text, _))| key.len() + text.len() + 64).sum()
    }
}

/// OBJECT_AGG: an object of the pairs without NULL; a key that comes twice is an error.
#[derive(Debug, Default)]
struct ObjectAgg(BTreeMap<Box<str>, Box<str>>);

impl ObjectAgg {
    fn insert(&mut self, key: &str, value: &str) -> Result<()> {
        if self.0.insert(key.into(), value.into()).is_some() {
            return exec_err!("duplicate field key '{key}' in `OBJECT_AGG`");
        }
        Ok(())
    }
}

impl Group for ObjectAgg {
    fn update(groups: &mut [Self], _: &Setup, columns: &[ArrayRef], at: &[usize]) -> Result<()> {
        let (keys, values) = (text_column(&columns[0], &session())?, to_texts(&columns[1])?);
        for (row, group) in at.iter().enumerate() {
            if keys.is_valid(row) && values.is_valid(row) {
                groups[*group].insert(&escape(keys.value(row)), values.value(row))?;
            }
        }
        Ok(())
    }

    fn evaluate(groups: &[Self], _: &Setup) -> Result<ArrayRef> {
        let text = |group: &Self| Some(object(group.0.iter().map(|(key, value)| (key.as_ref(), value.as_ref()))));
        of_texts(groups.iter().map(text).collect(), &types::object())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for (key, value) in &self.0 {
            put(out, key.as_bytes());
            put(out, value.as_bytes());
        }
    }

    fn absorb(&mut self, _: &Setup, mut bytes: &[u8]) -> Result<()> {
        while let (Some(key), Some(value)) = (take(&mut bytes), take(&mut bytes)) {
            self.insert(&String::from_utf8_lossy(key), &String::from_utf8_lossy(value))?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len() + value.len() + 64).sum()
    }
}
