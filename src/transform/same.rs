//! Holds every kernel equal to its SQL form on the embedded engine, over random tables and random parameters: the same
//! rows, exact but for floats, whose sums may run in another order.

/// The cases.
mod cases;

/// What is a query everywhere.
mod queries;

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeListArray, Float32Array,
    RecordBatch, StringArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Float64Type, SchemaRef};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::TableSource;
use datafusion::prelude::{DataFrame, SessionContext};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::dialect::session::SessionParameters;
use crate::dialect::types;
use crate::dialect::variant::array::of_texts;
use crate::dialect::{self, Column, Dialect, Tables};
use crate::name::TableName;
use crate::text::SourceFile;

use super::testing::{DAY, NOW, columns, floats, ints, parse, table, text, times};
use super::{Context, Outcome, Transform};

/// The tables of one case, by name.
struct Given(Vec<(&'static str, RecordBatch)>);

impl Given {
    fn batch(&self, name: &TableName) -> Option<&RecordBatch> {
        self.0.iter().find(|(known, _)| *known == name.lower()).map(|(_, batch)| batch)
    }
}

impl Given {
    /// An earlier result in `before` is one of the transform's own parameters.
    fn made_by(mut self, transform: &Transform) -> Self {
        let Transform::Affinity(affinity) = transform else { return self };
        let digest = affinity.digest();
        for (_, batch) in self.0.iter_mut().filter(|(name, _)| *name == "before") {
            let schema = batch.schema();
            let named = schema.fields().iter().map(|field| field.name().as_str()).zip(batch.columns().iter().cloned());
            let own = ("parameters", text((0..batch.num_rows()).map(|_| Some(digest.as_str()))));
            *batch = table(named.chain([own]).collect());
        }
        self
    }
}

impl Tables for Given {
    fn table(&self, name: &TableName) -> Option<Arc<dyn TableSource>> {
        let batch = self.batch(name)?;
        let table = MemTable::try_new(batch.schema(), vec![vec![batch.clone()]]).expect("a table of one batch");
        Some(provider_as_source(Arc::new(table)))
    }

    fn names(&self) -> Vec<TableName> {
        self.0.iter().filter_map(|(name, _)| TableName::parse(name)).collect()
    }
}

/// Rows as a query gives them.
type Rows = (SchemaRef, Vec<RecordBatch>);

struct Engine {
    dialect: Dialect,
    runtime: tokio::runtime::Runtime,
}

impl Engine {
    fn new() -> Self {
        let now = u64::try_from(NOW).expect("after 1970");
        let dialect = Dialect::new(SessionParameters { now, ..SessionParameters::default() });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { dialect, runtime }
    }

    fn rows(&self, sql: &str, tables: &Given) -> Result<Rows, String> {
        let told = |problems: Vec<_>| format!("{problems:?}\n{sql}");
        let statements = dialect::parse(&SourceFile::new("form.sql", sql)).map_err(told)?;
        let plan = self.dialect.bind(&statements[0], tables).map_err(told)?;
        let schema = Arc::clone(plan.schema().inner());
        let context = SessionContext::new_with_state(self.dialect.state().clone());
        let collected = self.runtime.block_on(DataFrame::new(context.state(), plan).collect());
        Ok((schema, collected.map_err(|error| error.strip_backtrace())?))
    }

    fn kernel(&self, transform: &Transform, tables: &Given, inputs: &[&[Column]]) -> Result<Outcome, String> {
        let queries = (0..inputs.len()).map(|input| self.rows(&transform.query(input, inputs), tables));
        let rows = queries.collect::<Result<Vec<_>, _>>()?;
        transform.run(rows, Context::at(NOW)).map_err(|error| error.to_string())
    }

    /// Compares both forms; a transform that has no SQL form passes, and so do forms that both refuse the data.
    fn compare(&self, transform: &Transform, tables: &Given, tolerance: f64) -> Result<Compared, String> {
        let inputs: Vec<Vec<Column>> =
            transform.inputs().iter().map(|name| tables.batch(&name.value).map(columns).unwrap_or_default()).collect();
        let inputs: Vec<&[Column]> = inputs.iter().map(Vec::as_slice).collect();
        let output = transform.output(&inputs).map_err(|problems| format!("{problems:?}"))?;
        let Ok(sql) = transform.sql(&inputs) else { return Ok(Compared::NoForm) };
        let (kernel, form) = (self.kernel(transform, tables, &inputs), self.rows(&sql, tables));
        let (kernel, form) = match (kernel, form) {
            (Ok(kernel), Ok(form)) => (kernel, form),
            (Err(_), Err(_)) => return Ok(Compared::Refused),
            (Err(error), Ok(_)) => return Err(format!("only the kernel refuses: {error}\n{sql}")),
            (Ok(_), Err(error)) => return Err(format!("only the SQL form refuses: {error}\n{sql}")),
        };
        let names = |schema: &SchemaRef| schema.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
        let expected: Vec<String> = output.iter().map(|column| column.name.as_str().to_owned()).collect();
        if names(&kernel.schema) != expected || names(&form.0) != expected {
            return Err(format!("{:?} and {:?}, not {expected:?}", names(&kernel.schema), names(&form.0)));
        }
        let kernel = Sorted::of(&(kernel.schema, kernel.batches), &form.0);
        kernel
            .differs(&Sorted::of(&form, &form.0), tolerance)
            .map_or(Ok(Compared::Same), |how| Err(format!("{how}\n{sql}")))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Compared {
    Same,
    Refused,
    NoForm,
}

/// Rows in an order of their own: what is exact as text, then the floats.
struct Sorted(Vec<(Vec<String>, Vec<f64>)>);

impl Sorted {
    fn of(rows: &Rows, like: &SchemaRef) -> Self {
        let is_float =
            |at: usize| [&rows.0, like].iter().any(|schema| *schema.field(at).data_type() == DataType::Float64);
        let mut sorted = Vec::new();
        for batch in &rows.1 {
            for row in 0..batch.num_rows() {
                let (mut exact, mut inexact) = (Vec::new(), Vec::new());
                for (at, column) in batch.columns().iter().enumerate() {
                    if is_float(at) {
                        let column = cast(column, &DataType::Float64).expect("numbers");
                        let floats = column.as_primitive::<Float64Type>();
                        inexact.push(floats.iter().nth(row).flatten().unwrap_or(f64::NAN));
                    } else {
                        exact.push(array_value_to_string(column, row).expect("a printable value"));
                    }
                }
                sorted.push((exact, inexact));
            }
        }
        let floats = |a: &Vec<f64>, b: &Vec<f64>| {
            let orders = a.iter().zip(b).map(|(a, b)| a.total_cmp(b));
            orders.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
        };
        sorted.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| floats(&a.1, &b.1)));
        Self(sorted)
    }

    fn differs(&self, other: &Self, tolerance: f64) -> Option<String> {
        let near = |a: &f64, b: &f64| {
            a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * a.abs().max(b.abs()) + 1e-12
        };
        let same = |a: &(Vec<String>, Vec<f64>), b: &(Vec<String>, Vec<f64>)| {
            a.0 == b.0 && a.1.iter().zip(&b.1).all(|(a, b)| near(a, b))
        };
        let pair = self.0.iter().zip(&other.0).find(|(a, b)| !same(a, b));
        match pair {
            Some((a, b)) => Some(format!("the kernel gives {a:?} and the SQL form {b:?}")),
            None if self.0.len() != other.0.len() => {
                let more = self.0.get(other.0.len()).or(other.0.get(self.0.len()));
                Some(format!("{} rows of the kernel, {} of the SQL form: {more:?}", self.0.len(), other.0.len()))
            }
            None => None,
        }
    }
}

/// What the cells of a column are.
#[derive(Clone, Copy, Debug)]
enum Cells {
    /// 1, 2, 3, … by row.
    Row,
    /// Integers below a bound, some NULL.
    Ids(u16),
    /// Texts, as many as the bound, some NULL.
    Words(u16),
    /// Multiples of a quarter from −2 on, some NULL: sums of them are exact, so that ties are ties in both forms.
    Quarters,
    /// The same from 0.25 on, without NULL.
    Positive,
    /// NUMBER(10, 2), some NULL.
    Decimals,
    /// Timestamps of the last 60 days and the next 4, some NULL.
    Times,
    /// Timestamps before all of those, some NULL.
    Earlier,
    /// NaN and infinities among other numbers.
    Wild,
    /// NaN among other numbers.
    NotANumber,
    /// Vectors of three floats.
    Vectors,
    /// The same as ARRAY.
    Arrays,
    /// Truth values, some NULL.
    Flags,
    /// Dates, some NULL.
    Days,
    /// Bytes, some NULL.
    Bytes,
}

type Spec = &'static [(&'static str, Cells)];

fn given(spec: Spec, cells: &[Vec<u16>]) -> RecordBatch {
    let column = |(at, (name, kind)): (usize, &(&'static str, Cells))| {
        let cell = |row: &Vec<u16>| row[at];
        (*name, made(*kind, &cells.iter().map(cell).collect::<Vec<_>>()))
    };
    table(spec.iter().enumerate().map(column).collect())
}

fn made(kind: Cells, cells: &[u16]) -> ArrayRef {
    const WORDS: [&str; 12] = ["a", "b", "É", "z", "10", "9", "", "aa", "A", "ß", "c", "d"];
    let present = |cell: &u16| !cell.is_multiple_of(11);
    let some = |cell: &u16| present(cell).then_some(cell / 11);
    let quarter = |cell: u16| f64::from(cell % 40) * 0.25;
    match kind {
        Cells::Row => ints((1..).take(cells.len()).map(Some)),
        Cells::Ids(bound) => ints(cells.iter().map(|cell| some(cell).map(|cell| i64::from(cell % bound)))),
        Cells::Words(bound) => {
            text(cells.iter().map(|cell| some(cell).map(|cell| WORDS[usize::from(cell % bound) % WORDS.len()])))
        }
        Cells::Quarters => floats(cells.iter().map(|cell| some(cell).map(|cell| quarter(cell) - 2.0))),
        Cells::Positive => floats(cells.iter().map(|cell| Some(quarter(*cell) + 0.25))),
        Cells::Decimals => {
            let cents = cells.iter().map(|cell| some(cell).map(|cell| i128::from(cell % 40) * 25));
            let cents: Decimal128Array = cents.collect();
            Arc::new(cents.with_precision_and_scale(10, 2).expect("small numbers"))
        }
        Cells::Times => {
            let hours = |cell: u16| NOW - i64::from(cell % 1500) * DAY / 24 + 4 * DAY;
            times(cells.iter().map(|cell| some(cell).map(hours)))
        }
        Cells::Earlier => times(cells.iter().map(|cell| some(cell).map(|cell| NOW - 90 * DAY - i64::from(cell)))),
        Cells::NotANumber => floats(cells.iter().map(|cell| match cell % 7 {
            0 => None,
            1 => Some(f64::NAN),
            rest => Some(f64::from(rest) / 4.0),
        })),
        Cells::Wild => floats(cells.iter().map(|cell| match cell % 13 {
            0 => None,
            1 => Some(f64::NAN),
            2 => Some(f64::INFINITY),
            3 => Some(f64::NEG_INFINITY),
            _ => Some(quarter(*cell) - 2.0),
        })),
        Cells::Flags => {
            Arc::new(cells.iter().map(|cell| some(cell).map(|cell| cell % 2 == 0)).collect::<BooleanArray>())
        }
        Cells::Days => {
            let day = |cell: u16| 20_700 + i32::from(cell % 6);
            Arc::new(cells.iter().map(|cell| some(cell).map(day)).collect::<Date32Array>())
        }
        Cells::Bytes => {
            let bytes = cells.iter().map(|cell| some(cell).map(|cell| vec![0xff, (cell % 5) as u8]));
            Arc::new(bytes.collect::<BinaryArray>())
        }
        Cells::Arrays => {
            let text = |cell: &u16| format!("[{},{},{}]", cell % 5, cell % 7, cell % 3 + 1);
            let texts: StringArray = cells.iter().map(|cell| Some(text(cell))).collect();
            of_texts(texts, &types::array()).expect("arrays of numbers")
        }
        Cells::Vectors => {
            let parts = cells.iter().flat_map(|cell| [cell % 5, cell % 7, cell % 3 + 1]).map(f32::from);
            let item = Arc::new(Field::new_list_field(DataType::Float32, true));
            Arc::new(FixedSizeListArray::new(item, 3, Arc::new(parts.collect::<Float32Array>()), None))
        }
    }
}

/// A transform with its tables and the values its parameters may have, each list a parameter.
struct Case {
    kind: &'static str,
    base: &'static str,
    choices: &'static [&'static [&'static str]],
    tables: &'static [(&'static str, Spec)],
    rows: usize,
    /// How far floats may differ, relatively.
    tolerance: f64,
}

impl Case {
    fn parameters(&self) -> impl Strategy<Value = String> + use<> {
        let base = self.base;
        let picks: Vec<_> = self.choices.iter().map(|choices| select(*choices)).collect();
        picks.prop_map(move |picked| {
            let rest: String = picked.iter().filter(|p| !p.is_empty()).map(|p| format!(", {p}")).collect();
            format!("{{{base}{rest}}}")
        })
    }

    fn data(&self) -> impl Strategy<Value = Vec<Vec<Vec<u16>>>> + use<> {
        let rows = self.rows;
        let one =
            |(_, spec): &(&str, Spec)| prop::collection::vec(prop::collection::vec(any::<u16>(), spec.len()), 0..=rows);
        self.tables.iter().map(one).collect::<Vec<_>>()
    }

    /// Tries so many random cases, always the same ones; at least half of them must have compared rows.
    fn hold(&self, cases: u32) {
        let engine = Engine::new();
        let seed = RngSeed::Fixed(17);
        let config =
            Config { cases, rng_seed: seed, failure_persistence: None, max_shrink_iters: 40, ..Config::default() };
        let compared = std::cell::Cell::new(0);
        let outcome = TestRunner::new(config).run(&(self.parameters(), self.data()), |(yaml, cells)| {
            let Ok(transform) = parse(self.kind, &yaml) else { return Err(TestCaseError::reject("refused")) };
            let batch = |((name, spec), cells): (&(&'static str, Spec), &Vec<Vec<u16>>)| (*name, given(spec, cells));
            let tables = Given(self.tables.iter().zip(&cells).map(batch).collect()).made_by(&transform);
            match engine.compare(&transform, &tables, self.tolerance) {
                Ok(Compared::NoForm) => Err(TestCaseError::reject("no form")),
                Ok(Compared::Same) => {
                    compared.set(compared.get() + 1);
                    Ok(())
                }
                Ok(Compared::Refused) => Ok(()),
                Err(how) => Err(TestCaseError::fail(format!("{}: {yaml}\n{how}", self.kind))),
            }
        });
        if let Err(error) = outcome {
            panic!("{error}");
        }
        assert!(compared.get() > cases / 2, "only {} of {cases} cases compared rows", compared.get());
    }
}
