//! The rows of FLATTEN: the elements of an array or the members of an object, optionally of all that is nested in it.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Int64Array, Int64Builder, StringBuilder};
use datafusion::common::{Result, plan_err};
use datafusion::error::DataFusionError;

use super::Rows;
use crate::dialect::types;
use crate::dialect::variant::array::{VariantBuilder, texts};
use crate::dialect::variant::path::{Path, show_index, show_key};
use crate::dialect::variant::text::{elements, members};
use crate::dialect::variant::write::unescape;

/// The deepest nesting that RECURSIVE follows.
const MAX_DEPTH: usize = 512;

/// The constant arguments of FLATTEN.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub(super) struct Flatten {
    path: Path,
    outer: bool,
    recursive: bool,
    objects: bool,
    arrays: bool,
}

impl Flatten {
    pub(super) fn new(path: &str, outer: bool, recursive: bool, mode: &str) -> Result<Self> {
        let path = Path::parse(path).map_err(DataFusionError::Plan)?;
        let (objects, arrays) = match mode.to_ascii_uppercase().as_str() {
            "BOTH" => (true, true),
            "OBJECT" => (true, false),
            "ARRAY" => (false, true),
            _ => return plan_err!("`MODE` of `FLATTEN` must be 'OBJECT', 'ARRAY' or 'BOTH', not '{mode}'"),
        };
        Ok(Self { path, outer, recursive, objects, arrays })
    }

    pub(super) fn keep_unmatched(&mut self) {
        self.outer = true;
    }

    pub(super) fn expand(
        &self,
        input: &ArrayRef,
        rows: Range<usize>,
        first_sequence: i64,
        limit: usize,
        wanted: &[bool],
    ) -> Result<(Rows, usize)> {
        let input = texts(input)?;
        let mut out = Columns::new(wanted, limit);
        let mut path = String::new();
        self.path.show(&mut path);
        let prefix = path.len();
        let mut row = rows.start;
        while row < rows.end && out.parents.len() < limit {
            let this = if input.is_valid(row) { self.path.get(input.value(row)) } else { None };
            let before = out.parents.len();
            if let Some(this) = this {
                let at = At { row: row as u32, depth: 0 };
                self.expand_value(this, &mut path, at, &mut out);
                path.truncate(prefix);
            }
            if self.outer && out.parents.len() == before {
                out.unmatched(row as u32, &path, this);
            }
            row += 1;
        }
        Ok((out.finish(rows.start, first_sequence)?, row))
    }

    fn expand_value(&self, this: &str, path: &mut String, at: At, out: &mut Columns) {
        let base = path.len();
        let nested = At { row: at.row, depth: at.depth + 1 };
        let shows_path = self.recursive || out.path.is_some();
        if self.arrays {
            for (index, value) in elements(this).enumerate().filter(|(_, value)| *value != "undefined") {
                if shows_path {
                    show_index(path, index);
                }
                out.push(at.row, Step::Element(index), path, value, this);
                if self.recursive && at.depth < MAX_DEPTH {
                    self.expand_value(value, path, nested, out);
                }
                path.truncate(base);
            }
        }
        if self.objects {
            for (key, value) in members(this) {
                if shows_path {
                    show_key(path, key);
                }
                out.push(at.row, Step::Member(key), path, value, this);
                if self.recursive && at.depth < MAX_DEPTH {
                    self.expand_value(value, path, nested, out);
                }
                path.truncate(base);
            }
        }
    }
}

#[derive(Clone, Copy)]
struct At {
    row: u32,
    depth: usize,
}

enum Step<'a> {
    Element(usize),
    Member(&'a str),
}

/// The columns being built; an unwanted one is absent.
struct Columns {
    parents: Vec<u32>,
    sequence: bool,
    key: Option<StringBuilder>,
    path: Option<StringBuilder>,
    index: Option<Int64Builder>,
    value: Option<VariantBuilder>,
    this: Option<VariantBuilder>,
}

impl Columns {
    fn new(wanted: &[bool], rows: usize) -> Self {
        let wants = |column: usize| wanted.get(column).copied().unwrap_or(false);
        Self {
            parents: Vec::with_capacity(rows),
            sequence: wants(0),
            key: wants(1).then(StringBuilder::new),
            path: wants(2).then(StringBuilder::new),
            index: wants(3).then(|| Int64Builder::with_capacity(rows)),
            value: wants(4).then(|| VariantBuilder::with_capacity(rows, rows * 8)),
            this: wants(5).then(|| VariantBuilder::with_capacity(rows, rows * 8)),
        }
    }

    fn push(&mut self, row: u32, step: Step<'_>, path: &str, value: &str, this: &str) {
        self.parents.push(row);
        if let Some(keys) = &mut self.key {
            keys.append_option(match &step {
                Step::Member(key) => Some(unescape(key)),
                Step::Element(_) => None,
            });
        }
        if let Some(paths) = &mut self.path {
            paths.append_value(path);
        }
        if let Some(indexes) = &mut self.index {
            indexes.append_option(match &step {
                Step::Element(index) => Some(*index as i64),
                Step::Member(_) => None,
            });
        }
        if let Some(values) = &mut self.value {
            values.append(value);
        }
        if let Some(containers) = &mut self.this {
            containers.append(this);
        }
    }

    fn unmatched(&mut self, row: u32, path: &str, this: Option<&str>) {
        self.parents.push(row);
        if let Some(keys) = &mut self.key {
            keys.append_null();
        }
        if let Some(paths) = &mut self.path {
            paths.append_value(path);
        }
        if let Some(indexes) = &mut self.index {
            indexes.append_null();
        }
        if let Some(values) = &mut self.value {
            values.append_null();
        }
        if let Some(containers) = &mut self.this {
            containers.append_option(this);
        }
    }

    fn finish(self, first_row: usize, first_sequence: i64) -> Result<Rows> {
        let sequence = |row: &u32| first_sequence + (i64::from(*row) - first_row as i64);
        let sequences = self
            .sequence
            .then(|| Arc::new(Int64Array::from_iter_values(self.parents.iter().map(sequence))) as ArrayRef);
        let strings =
            |builder: Option<StringBuilder>| builder.map(|mut builder| Arc::new(builder.finish()) as ArrayRef);
        let variants =
            |builder: Option<VariantBuilder>| builder.map(|builder| builder.finish(&types::variant())).transpose();
        let columns = vec![
            sequences,
            strings(self.key),
            strings(self.path),
            self.index.map(|mut builder| Arc::new(builder.finish()) as ArrayRef),
            variants(self.value)?,
            variants(self.this)?,
        ];
        Ok(Rows { parents: self.parents, columns })
    }
}
