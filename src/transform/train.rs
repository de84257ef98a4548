//! `train`: EASE, the closed-form item model of Steck 2019. It holds no users: `recommend` applies the model to them.
//!
//! With X users × items, G = XᵀX + λI and P = G⁻¹, the weight that source item i gives to target item j is
//! B_ij = −P_ij ÷ P_jj, and 0 from an item to itself. Each row is one weight: `item` is the target, `similar_` the source,
//! the greatest absolute weights first, `top` of them per target; a user's repeated rows of an item are added up.
//!
//! The published table is the model: Parquet files whose bytes are the same for the same input, whatever its order. Every
//! row says what it is of: `parameters` as JSON, `trained_on`, the SHA-256 of the training data, and `model`, the SHA-256 of
//! both, which is the model's version. The work grows with the cube of the items and the memory with their square, and so
//! their number is limited: 20,000 items take 3.2 GB.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, UInt32Array};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
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

use super::column::{OnNan, field, finite, float_column, keyed_numbers, made, outcome};
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
    explain: bool,
    drop_nan: bool,
}

/// The keys of a `train` step.
pub(super) const RECORD: Record = Record::new(
    "train",
    &[
        Key::new("input", TABLE, "The step or table with what users did.").required().example("watch_train"),
        Key::new("user", COLUMN, "Who.").required().example("user_id"),
        Key::new("item", COLUMN, "What.").required().example("program_id"),
        Key::new("value", COLUMN, "How much; 1 where absent.").example("affinity"),
        Key::new("regularization", Shape::Number, "The λ of the model; 500 where absent.").example("500"),
        Key::new("top", COUNT, "How many weights each item keeps; without it, all.").example("200"),
        Key::new("max_items", COUNT, "More items are refused; 20000 where absent.").example("20000"),
        Key::new("explain", Shape::Boolean, "Also give the common users and the users of each item.").example("true"),
        Key::new("on_nan", ON_NAN, "Whether a NaN is an error, or its row is left out.").example("drop"),
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
            explain: params.flag("explain"),
            drop_nan: params.drops_nan(),
        }
    }

    fn source(&self) -> Name {
        Name::quoted(format!("SIMILAR_{}", self.item.value.as_str()))
    }

    fn run(&self, mut inputs: Vec<Rows>, memory: usize) -> Result<Outcome, TransformError> {
        let table = inputs.swap_remove(0).table()?;
        let users = encode(&[table.column(&self.user.value)], table.len())?;
        let items = encode(&[table.column(&self.item.value)], table.len())?;
        let mut nan = vec![false; table.len()];
        let values = match &self.value {
            Some(value) => {
                let keys = table.columns([&self.user.value, &self.item.value]);
                let on_nan = OnNan::of(self.drop_nan, &mut nan);
                keyed_numbers(&table.column(&value.value), &keys, &value.value, on_nan)?
            }
            None => vec![1.0; table.len()],
        };
        finite(&values, self.value.as_ref().map_or(&self.item.value, |value| &value.value))?;
        let known = |row: &usize| {
            let id = |keys: &super::keys::Keys| !keys.has_null[keys.codes[*row] as usize];
            id(&users) && id(&items) && !nan[*row] && !values[*row].is_nan()
        };
        let kept: Vec<usize> = (0..table.len()).filter(known).collect();
        let present = items.len() - items.has_null.iter().filter(|null| **null).count();
        if present > self.max_items {
            return Err(TransformError::TooLarge(too_many(present, self.max_items)));
        }
        let bytes = present.saturating_mul(present).saturating_mul(size_of::<f64>());
        if bytes > memory {
            let message = format!(
                "{present} items make a model of {} MiB, which does not fit in the run's memory of {} MiB",
                bytes >> 20,
                memory >> 20
            );
            return Err(TransformError::TooLarge(message));
        }
        let pick = |codes: &[u32]| kept.iter().map(|row| codes[*row]).collect::<Vec<u32>>();
        let weights: Vec<f64> = kept.iter().map(|row| values[*row]).collect();
        let weights = self.value.is_some().then_some(weights.as_slice());
        let matrix = Matrix::new((&pick(&users.codes)[..], &pick(&items.codes)[..], weights), users.len(), present);
        let trained_on = digest(&matrix, &items.distinct[0])?;
        let parameters = self.parameters(&matrix);
        let model = hex::encode(Sha256::digest(format!("{parameters} {trained_on}")));
        let lists = self.weights(&matrix);
        let targets = (0_u32..).zip(&lists).flat_map(|(target, list)| std::iter::repeat_n(target, list.len()));
        let sources = lists.iter().flatten().map(|(source, _)| *source);
        let ids = |codes: Vec<u32>| take(&items.distinct[0], &UInt32Array::from(codes), None);
        let item_type = table.column(&self.item.value).data_type().clone();
        let (targets, sources) = (ids(targets.collect())?, ids(sources.collect())?);
        let ranks: Int64Array = lists.iter().flat_map(|list| (1..).zip(list).map(|(rank, _)| Some(rank))).collect();
        let mut columns = vec![
            (field(&self.item.value, item_type.clone()), cast(&targets, &item_type)?),
            (field(&self.source(), item_type.clone()), cast(&sources, &item_type)?),
            (field(&Name::quoted("SCORE"), DataType::Float64), float_column(lists.iter().flatten().map(|(_, b)| *b))),
            (field(&Name::quoted("RANK"), DataType::Int64), Arc::new(ranks) as ArrayRef),
        ];
        if self.explain {
            columns.extend(explained(&matrix, &lists));
        }
        let dropped = (table.len() - kept.len()) as u64;
        let rows = outcome(columns, vec![("without a user, item or value".to_owned(), dropped)])?;
        labelled(rows, [("MODEL", &model), ("TRAINED_ON", &trained_on), ("PARAMETERS", &parameters)])
    }

    /// The parameters and the size of the training data, as JSON.
    fn parameters(&self, matrix: &Matrix) -> String {
        let top = self.top.map_or_else(|| "null".to_owned(), |top| top.to_string());
        let (lambda, users, items) = (self.regularization, matrix.height(), matrix.width);
        let rows: usize = (0..users).map(|user| matrix.row(user).count()).sum();
        let users = (0..users).filter(|user| matrix.row(*user).next().is_some()).count();
        format!(
            "{{\"method\":\"ease\",\"regularization\":{lambda},\"top\":{top},\"users\":{users},\"items\":{items},\"interactions\":{rows}}}"
        )
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
}

fn too_many(items: usize, most: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a size to one digit")]
    let size = (items as f64).powi(2) * 8.0 / 1e9;
    format!(
        "{items} items are more than `max_items`, {most}: the model is as large as their square, here {size:.1} GB, and takes \
         time as their cube; leave items with few users out of the input, use `similarity`, or raise `max_items`"
    )
}

/// The training data's digest: the ids of the items, and what each user has, whatever the users are called.
fn digest(matrix: &Matrix, items: &ArrayRef) -> Result<String, TransformError> {
    let mut hash = Sha256::new();
    for item in 0..matrix.width {
        hash.update(array_value_to_string(items, item)?);
        hash.update([0]);
    }
    let bytes = |(item, x): (u32, f64)| [item.to_le_bytes().to_vec(), x.to_le_bytes().to_vec()].concat();
    let mut users: Vec<Vec<u8>> = (0..matrix.height()).map(|user| matrix.row(user).flat_map(bytes).collect()).collect();
    users.retain(|user| !user.is_empty());
    users.sort_unstable();
    users.iter().for_each(|user| {
        hash.update(user.len().to_le_bytes());
        hash.update(user);
    });
    Ok(hex::encode(hash.finalize()))
}

/// How many users both items of each weight have, and each of them.
fn explained(matrix: &Matrix, lists: &[Vec<(u32, f64)>]) -> Vec<(Field, ArrayRef)> {
    let columns = matrix.transposed();
    let users = |item: u32| columns.row(item as usize).count() as u64;
    let of_target = |(target, list): (usize, &Vec<(u32, f64)>)| {
        let mut common = vec![0_u64; matrix.width];
        for (user, _) in columns.row(target) {
            matrix.row(user as usize).for_each(|(other, _)| common[other as usize] += 1);
        }
        let own = columns.row(target).count() as u64;
        list.iter().map(|(source, _)| [common[*source as usize], own, users(*source)]).collect::<Vec<_>>()
    };
    let counts: Vec<Vec<[u64; 3]>> = lists.par_iter().enumerate().map(of_target).collect();
    let column = |(at, name): (usize, &str)| {
        let values: Int64Array = counts.iter().flatten().map(|counts| i64::try_from(counts[at]).ok()).collect();
        (field(&Name::quoted(name), DataType::Int64), Arc::new(values) as ArrayRef)
    };
    EXPLAINED.into_iter().enumerate().map(column).collect()
}

const EXPLAINED: [&str; 3] = ["COMMON_USERS", "USERS", "SIMILAR_USERS"];

/// The result with columns that say the same in every row.
fn labelled(rows: Outcome, labels: [(&str, &String); 3]) -> Result<Outcome, TransformError> {
    let most = rows.batches.iter().map(RecordBatch::num_rows).max().unwrap_or(0);
    let values: Vec<ArrayRef> =
        labels.iter().map(|(_, text)| Arc::new(StringArray::from(vec![text.as_str(); most])) as ArrayRef).collect();
    let mut fields = rows.schema.fields().to_vec();
    fields.extend(labels.iter().map(|(name, _)| Arc::new(field(&Name::quoted(*name), DataType::Utf8))));
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let with_labels = |batch: RecordBatch| {
        let labels = values.iter().map(|label| label.slice(0, batch.num_rows()));
        RecordBatch::try_new(Arc::clone(&schema), batch.columns().iter().cloned().chain(labels).collect())
    };
    let batches = rows.batches.into_iter().map(with_labels).collect::<Result<_, _>>()?;
    Ok(Outcome { schema, batches, dropped: rows.dropped })
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
        if self.explain {
            columns.extend(EXPLAINED.map(|name| made(&Name::quoted(name), SqlType::INTEGER)));
        }
        columns.extend(["MODEL", "TRAINED_ON", "PARAMETERS"].map(|name| made(&Name::quoted(name), SqlType::TEXT)));
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

    fn kernel(&self, schemas: Vec<SchemaRef>, context: Context) -> Box<dyn Kernel> {
        let train = self.clone();
        Collect::boxed(schemas, move |rows, give| train.run(rows, context.memory)?.give(give))
    }

    fn sql(&self, _: &[&[Column]], problems: &mut Vec<Diagnostic>) -> String {
        let message = "`train` inverts a matrix, which has no form as one SQL query";
        let diagnostic = Diagnostic::error("no-sql-form", message).at(self.input.span.clone());
        problems.push(diagnostic.hint("run this step on the embedded engine"));
        String::new()
    }
}
