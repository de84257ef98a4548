//! `train`: EASE, the closed-form item model of Steck 2019. It holds no users: `recommend` applies the model to them.
//!
//! With X users × items, G = XᵀX + λI and P = G⁻¹, the weight that source item i gives to target item j is
//! B_ij = −P_ij ÷ P_jj, and 0 from an item to itself. Each row is one weight: `item` is the target, `similar_` the source,
//! the greatest absolute weights first, `top` of them per target. `model` is the SHA-256 of the parameters and of the
//! training data, the same for the same input whatever its order. The work grows with the cube of the items, and so
//! their number is limited: 20,000 items take 3.2 GB.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray, UInt32Array};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::util::display::array_value_to_string;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::dialect::types::SqlType;
use crate::name::{Name, TableName};
use crate::text::Spanned;
use crate::yaml::Node;
use crate::yaml::shape::{Key, Record, Shape};

use super::column::{OnNan, field, float_column, made, outcome};
use super::keys::encode;
use super::param::{COLUMN, COUNT, ColumnName, ON_NAN, Params, TABLE};
use super::scope::{Scope, distinct};
use super::similarity::Matrix;
use super::sql::list;
use super::{Collect, Context, Form, Kernel, Origin, Outcome, Rows, TransformError};

/// The parameters of a `train` step.
#[derive(Clone, Debug)]
pub struct Train {
    input: Spanned<TableName>,
    user: ColumnName,
    item: ColumnName,
    value: Option<ColumnName>,
    regularization: f64,
    top: Option<usize>,
    max_items: usize,
    drop_nan: bool,
}

/// The keys of a `train` step.
pub(super) const RECORD: Record = Record::new(
    "train",
    &[
        Key::new("input", TABLE, "the step or table with what users did").required().example("watch_train"),
        Key::new("user", COLUMN, "who").required().example("user_id"),
        Key::new("item", COLUMN, "what").required().example("program_id"),
        Key::new("value", COLUMN, "how much; 1 where absent").example("affinity"),
        Key::new("regularization", Shape::Number, "the λ of the model; 500 where absent").example("500"),
        Key::new("top", COUNT, "how many weights each item keeps; without it, all").example("200"),
        Key::new("max_items", COUNT, "more items are refused; 20000 where absent").example("20000"),
        Key::new("on_nan", ON_NAN, "whether a NaN is an error, or its row is left out").example("drop"),
    ],
);

impl Train {
    /// Reads a node that was checked against [`RECORD`].
    pub(super) fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Self {
        let params = Params(node);
        let missing = || ColumnName::new(Name::quoted(""), node.span.clone());
        Self {
            input: params.input(),
            user: params.column("user").unwrap_or_else(missing),
            item: params.column("item").unwrap_or_else(missing),
            value: params.column("value"),
            regularization: params.within("regularization", 1e-6, f64::INFINITY, problems).unwrap_or(500.0),
            top: params.count("top"),
            max_items: params.count("max_items").unwrap_or(20_000),
            drop_nan: params.drops_nan(),
        }
    }

    fn source(&self) -> Name {
        Name::quoted(format!("SIMILAR_{}", self.item.value.as_str()))
    }

    fn run(&self, mut inputs: Vec<Rows>) -> Result<Outcome, TransformError> {
        let table = inputs.swap_remove(0).table()?;
        let users = encode(&[table.column(&self.user.value)], table.len())?;
        let items = encode(&[table.column(&self.item.value)], table.len())?;
        let mut nan = vec![false; table.len()];
        let values = match &self.value {
            Some(value) => table.numbers(&value.value, OnNan::of(self.drop_nan, &mut nan))?,
            None => vec![1.0; table.len()],
        };
        let known = |row: &usize| {
            let id = |keys: &super::keys::Keys| !keys.has_null[keys.codes[*row] as usize];
            id(&users) && id(&items) && !nan[*row] && !values[*row].is_nan()
        };
        let kept: Vec<usize> = (0..table.len()).filter(known).collect();
        let present = items.len() - items.has_null.iter().filter(|null| **null).count();
        if present > self.max_items {
            let message = format!(
                "{present} items are more than `max_items`, {}: the model is as large as their square",
                self.max_items
            );
            return Err(TransformError::TooLarge(message));
        }
        let pick = |codes: &[u32]| kept.iter().map(|row| codes[*row]).collect::<Vec<u32>>();
        let weights: Vec<f64> = kept.iter().map(|row| values[*row]).collect();
        let weights = self.value.is_some().then_some(weights.as_slice());
        let matrix = Matrix::new(&pick(&users.codes), &pick(&items.codes), weights, users.len(), present);
        let model = self.digest(&matrix, &items.distinct[0])?;
        let lists = self.weights(&matrix);
        let targets = (0_u32..).zip(&lists).flat_map(|(target, list)| std::iter::repeat_n(target, list.len()));
        let sources = lists.iter().flatten().map(|(source, _)| *source);
        let ids = |codes: Vec<u32>| take(&items.distinct[0], &UInt32Array::from(codes), None);
        let item_type = table.column(&self.item.value).data_type().clone();
        let (targets, sources) = (ids(targets.collect())?, ids(sources.collect())?);
        let rows = targets.len();
        let ranks: Int64Array = lists.iter().flat_map(|list| (1..).zip(list).map(|(rank, _)| Some(rank))).collect();
        let models: ArrayRef = Arc::new(StringArray::from(vec![model.as_str(); rows]));
        let columns = vec![
            (field(&self.item.value, item_type.clone()), cast(&targets, &item_type)?),
            (field(&self.source(), item_type.clone()), cast(&sources, &item_type)?),
            (field(&Name::quoted("SCORE"), DataType::Float64), float_column(lists.iter().flatten().map(|(_, b)| *b))),
            (field(&Name::quoted("RANK"), DataType::Int64), Arc::new(ranks) as ArrayRef),
            (field(&Name::quoted("MODEL"), DataType::Utf8), models),
        ];
        let dropped = (table.len() - kept.len()) as u64;
        outcome(columns, vec![("without a user, item or value".to_owned(), dropped)])
    }

    /// By target, the source items and their weights, the greatest absolute ones first.
    fn weights(&self, matrix: &Matrix) -> Vec<Vec<(u32, f64)>> {
        let inverse = inverted(self.gram(matrix), matrix.width);
        let target = |target: usize| {
            let own = inverse[target * matrix.width + target];
            let row = &inverse[target * matrix.width..(target + 1) * matrix.width];
            let weight = |(source, p): (u32, &f64)| (source, -p / own + 0.0);
            let mut list: Vec<(u32, f64)> = (0_u32..).zip(row).map(weight).collect();
            list.retain(|(source, weight)| *source as usize != target && *weight != 0.0);
            list.sort_unstable_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
            list.truncate(self.top.unwrap_or(usize::MAX));
            list
        };
        (0..matrix.width).into_par_iter().map(target).collect()
    }

    /// XᵀX + λI, row by row.
    fn gram(&self, matrix: &Matrix) -> Vec<f64> {
        let width = matrix.width;
        let columns = matrix.transposed();
        let mut gram = vec![0.0; width * width];
        gram.par_chunks_mut(width.max(1)).enumerate().for_each(|(item, row)| {
            for (user, x) in columns.row(item) {
                matrix.row(user as usize).for_each(|(other, y)| row[other as usize] += x * y);
            }
            row[item] += self.regularization;
        });
        gram
    }

    fn digest(&self, matrix: &Matrix, items: &ArrayRef) -> Result<String, TransformError> {
        let mut hash = Sha256::new();
        hash.update(format!("ease {} {:?} {}", self.regularization, self.top, matrix.width));
        for item in 0..matrix.width {
            hash.update(array_value_to_string(items, item)?);
            hash.update([0]);
        }
        let mut users: Vec<Vec<u8>> = (0..matrix.height())
            .map(|user| {
                matrix
                    .row(user)
                    .flat_map(|(item, x)| [item.to_le_bytes().to_vec(), x.to_le_bytes().to_vec()].concat())
                    .collect()
            })
            .collect();
        users.sort_unstable();
        users.iter().for_each(|user| hash.update(user));
        Ok(hex::encode(hash.finalize()))
    }
}

/// How many rows are eliminated at once.
const BLOCK: usize = 64;

/// The inverse of a symmetric positive definite matrix, by Gauss–Jordan elimination in blocks, which needs no pivoting
/// for such matrices.
fn inverted(mut matrix: Vec<f64>, width: usize) -> Vec<f64> {
    for start in (0..width).step_by(BLOCK) {
        let size = BLOCK.min(width - start);
        let diagonal = inverted_block(&matrix, width, start, size);
        let mut panel = vec![0.0; size * width];
        panel.par_chunks_mut(width).enumerate().for_each(|(at, row)| {
            for (other, factor) in diagonal[at * size..(at + 1) * size].iter().enumerate() {
                add(row, &matrix[(start + other) * width..(start + other + 1) * width], *factor);
            }
            row[start..start + size].copy_from_slice(&diagonal[at * size..(at + 1) * size]);
        });
        matrix.par_chunks_mut(width).enumerate().for_each(|(at, row)| {
            if (start..start + size).contains(&at) {
                row.copy_from_slice(&panel[(at - start) * width..(at - start + 1) * width]);
                return;
            }
            let factors = row[start..start + size].to_vec();
            row[start..start + size].fill(0.0);
            for (other, factor) in factors.iter().enumerate() {
                add(row, &panel[other * width..(other + 1) * width], -factor);
            }
        });
    }
    matrix
}

fn add(row: &mut [f64], other: &[f64], factor: f64) {
    if factor != 0.0 {
        row.iter_mut().zip(other).for_each(|(x, y)| *x += factor * y);
    }
}

/// The inverse of a block on the diagonal.
fn inverted_block(matrix: &[f64], width: usize, start: usize, size: usize) -> Vec<f64> {
    let mut block: Vec<f64> = (0..size)
        .flat_map(|row| &matrix[(start + row) * width + start..(start + row) * width + start + size])
        .copied()
        .collect();
    for pivot in 0..size {
        let divisor = block[pivot * size + pivot];
        block[pivot * size + pivot] = 1.0;
        block[pivot * size..(pivot + 1) * size].iter_mut().for_each(|x| *x /= divisor);
        let own = block[pivot * size..(pivot + 1) * size].to_vec();
        for row in (0..size).filter(|row| *row != pivot) {
            let factor = std::mem::take(&mut block[row * size + pivot]);
            add(&mut block[row * size..(row + 1) * size], &own, -factor);
        }
    }
    block
}

impl Form for Train {
    fn inputs(&self) -> Vec<Spanned<TableName>> {
        vec![self.input.clone()]
    }

    fn output(&self, inputs: &[&[Column]], problems: &mut Vec<Diagnostic>) -> Vec<Column> {
        let Some(mine) = inputs.first() else { return Vec::new() };
        let scope = Scope::new(&self.input, mine);
        scope.key(&self.user, problems);
        if let Some(value) = &self.value {
            scope.number(value, problems);
        }
        let mut columns: Vec<Column> = scope.key(&self.item, problems).cloned().into_iter().collect();
        let source = columns.first().map(|item| Column { name: self.source(), ..item.clone() });
        columns.extend(source);
        columns.push(made(&Name::quoted("SCORE"), SqlType::Float));
        columns.push(made(&Name::quoted("RANK"), SqlType::INTEGER));
        columns.push(made(&Name::quoted("MODEL"), SqlType::TEXT));
        distinct(&columns, &self.input, problems);
        columns
    }

    fn lineage(&self, inputs: &[&[Column]]) -> Vec<Vec<Origin>> {
        let of = |name: &ColumnName| Origin { input: 0, column: name.value.clone() };
        let all: Vec<Origin> = [&self.user, &self.item].into_iter().chain(&self.value).map(of).collect();
        let columns = self.output(inputs, &mut Vec::new());
        (0..columns.len()).map(|at| if at < 2 { vec![of(&self.item)] } else { all.clone() }).collect()
    }

    fn query(&self, _: usize, _: &[&[Column]]) -> String {
        let columns = [&self.user, &self.item].into_iter().chain(&self.value).map(|name| &name.value);
        format!("select {}\nfrom {}", list("", columns), self.input.value.sql())
    }

    fn kernel(&self, schemas: Vec<SchemaRef>, _: Context) -> Box<dyn Kernel> {
        let train = self.clone();
        Collect::boxed(schemas, move |rows| train.run(rows))
    }

    fn sql(&self, _: &[&[Column]], problems: &mut Vec<Diagnostic>) -> String {
        let message = "`train` inverts a matrix, which has no form as one SQL query";
        let diagnostic = Diagnostic::error("no-sql-form", message).at(self.input.span.clone());
        problems.push(diagnostic.hint("run this step on the embedded engine"));
        String::new()
    }
}
