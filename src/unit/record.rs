//! A test made from real rows: of all that a step reads, the rows and columns without which one row of its result would be
//! another. They are found by trying, on the job's own SQL: what can be left out without changing the row is left out.
//!
//! Users cannot be known from it: their ids, emails and names are replaced, everywhere in the same way.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::time::{Duration, Instant};

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt32Array, new_null_array};
use datafusion::arrow::compute::take_record_batch;
use datafusion::arrow::error::ArrowError;

use super::compare::Texts;
use super::prepare::{BoundJob, Prepared};
use super::rows::Written;
use super::run::steps;
use super::update::{column_key, scalar};
use super::value;
use crate::dialect::Column;
use crate::dialect::types::SqlType;
use crate::name::{Name, TableName};
use crate::plan::{Origin, lineage};

/// How long a recording may try to leave something out.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most rows that a recorded test may have.
const MOST_ROWS: usize = 1000;

/// The columns of a key and their values, as the author wrote them.
pub type Key = Vec<(Name, String)>;

/// A recording in the making.
pub struct Recording<'a> {
    job: &'a BoundJob,
    step: usize,
    /// The key's columns by their places in the step's result, and their values as texts.
    key: Vec<(usize, String)>,
    tables: Vec<Table>,
    started: Instant,
}

/// A table that is read, with the rows that are kept of it.
struct Table {
    name: TableName,
    rows: RecordBatch,
}

impl<'a> Recording<'a> {
    /// A recording of the step that the test expects; says what is wrong with the key.
    pub fn new(prepared: &'a Prepared<'a>, key: &Key) -> Result<Self, String> {
        let job = &*prepared.job;
        let step = prepared.expect.first().map(|expected| expected.step).ok_or("there is no step to record")?;
        let planned = &job.plan.steps[step];
        let mut places = Vec::new();
        for (name, text) in key {
            let Some(at) = planned.columns.iter().position(|column| column.name == *name) else {
                let names: Vec<String> = planned.columns.iter().map(|column| column.name.lower()).collect();
                return Err(format!(
                    "step `{}` has no column `{}`; its columns are {}",
                    planned.id.step.lower(),
                    name.lower(),
                    names.join(", ")
                ));
            };
            let field = planned.schema.field(at);
            let written = Written::Scalar(text.clone(), serde_json::json!(text).to_string());
            let read = value::read(&[&written], planned.columns[at].sql_type, field.data_type(), &job.session);
            let array = read.map_err(|wrong| format!("{} for column `{}`", wrong[0].why, name.lower()))?;
            let texts = value::texts(&array, &job.session).map_err(|error| error.strip_backtrace())?;
            places.push((at, texts.value(0).to_owned()));
        }
        Ok(Self { job, step, key: places, tables: Vec::new(), started: Instant::now() })
    }

    /// The tables whose rows it starts from.
    pub fn reads(&self) -> Vec<TableName> {
        let needed = self.job.needed(&HashMap::new(), [self.step]);
        let inputs = needed.iter().flat_map(|at| &self.job.plan.steps[*at].inputs);
        let tables: BTreeSet<TableName> = inputs
            .filter_map(|input| if let Origin::Table(name) = &input.origin { Some(name.clone()) } else { None })
            .collect();
        tables.into_iter().collect()
    }

    /// The test as YAML, its first lines given. `rows` are those of the tables that it [reads](Self::reads).
    pub async fn record(mut self, rows: Vec<(TableName, RecordBatch)>, head: &str) -> Result<String, String> {
        self.tables = rows.into_iter().map(|(name, rows)| Table { name, rows }).collect();
        let row = self.outcome().await?;
        if row.is_empty() {
            let key: Vec<String> =
                self.key.iter().map(|(at, text)| format!("{} = {text}", self.columns()[*at].name.lower())).collect();
            return Err(format!(
                "no row of step `{}` has {}",
                self.job.plan.steps[self.step].id.step.lower(),
                key.join(" and ")
            ));
        }
        self.by_key(&row).await?;
        for table in 0..self.tables.len() {
            self.without_rows(table, &row).await?;
        }
        for table in 0..self.tables.len() {
            self.without_columns(table, &row).await?;
        }
        let count: usize = self.tables.iter().map(|table| table.rows.num_rows()).sum();
        if count > MOST_ROWS {
            return Err(format!(
                "this row follows from {count} rows or more, too many for a test; record a step nearer to the sources"
            ));
        }
        self.anonymous()?;
        let row = self.outcome().await?;
        if row.is_empty() {
            return Err("with users' ids and names replaced the row is another; it cannot be recorded".to_owned());
        }
        self.yaml(head, &row)
    }

    fn columns(&self) -> &[Column] {
        &self.job.plan.steps[self.step].columns
    }

    /// The rows of the step with the key, as texts.
    async fn outcome(&self) -> Result<Vec<Texts>, String> {
        let given = self.tables.iter().map(|table| (Origin::Table(table.name.clone()), vec![table.rows.clone()]));
        let memory = steps(self.job, given.collect(), [self.step])
            .await
            .map_err(|(step, why)| format!("step `{}`: {why}", step.lower()))?;
        let id = self.job.plan.steps[self.step].id.clone();
        let all: Vec<usize> = (0..self.columns().len()).collect();
        let rows = value::rows(&memory.rows(&Origin::Step(id, None)), &all, &self.job.session);
        let mut rows = rows.map_err(|error| error.strip_backtrace())?;
        rows.retain(|row| self.key.iter().all(|(at, text)| row[*at].as_deref() == Some(text)));
        rows.sort();
        Ok(rows)
    }

    /// Whether the rows of a table can be these and the outcome the same; they are kept if so.
    async fn try_rows(&mut self, table: usize, rows: RecordBatch, outcome: &[Texts]) -> Result<bool, String> {
        if self.started.elapsed() > PATIENCE {
            return Ok(false);
        }
        let before = std::mem::replace(&mut self.tables[table].rows, rows);
        let same = self.outcome().await.is_ok_and(|rows| rows == outcome);
        if !same {
            self.tables[table].rows = before;
        }
        Ok(same)
    }

    /// Keeps, of tables whose columns the key is computed from, the rows with the key's values, where that is enough.
    async fn by_key(&mut self, outcome: &[Texts]) -> Result<(), String> {
        for (at, text) in self.key.clone() {
            for (_, from) in lineage::upstream(&self.job.plan, self.step, at) {
                let Some(table) = self.tables.iter().position(|table| table.name.lower() == from.table) else {
                    continue;
                };
                let rows = &self.tables[table].rows;
                let Some(place) = rows.schema().fields().iter().position(|field| field.name() == from.column.as_str())
                else {
                    continue;
                };
                let texts =
                    value::texts(rows.column(place), &self.job.session).map_err(|error| error.strip_backtrace())?;
                let kept: Vec<u32> = (0_u32..)
                    .zip(&texts)
                    .filter(|(_, value)| *value == Some(text.as_str()))
                    .map(|(at, _)| at)
                    .collect();
                let rows = taken(rows, kept)?;
                self.try_rows(table, rows, outcome).await?;
            }
        }
        Ok(())
    }

    /// Leaves out rows: halves first, then smaller and smaller parts, down to single rows.
    async fn without_rows(&mut self, table: usize, outcome: &[Texts]) -> Result<(), String> {
        let none = self.tables[table].rows.slice(0, 0);
        if self.try_rows(table, none, outcome).await? {
            return Ok(());
        }
        let mut part = self.tables[table].rows.num_rows().div_ceil(2);
        while part > 0 && self.tables[table].rows.num_rows() > 1 {
            let mut at = 0;
            while at < self.tables[table].rows.num_rows() {
                let rows = &self.tables[table].rows;
                let count = rows.num_rows();
                let others: Vec<u32> = (0..count)
                    .filter(|row| *row < at || *row >= at + part)
                    .filter_map(|row| u32::try_from(row).ok())
                    .collect();
                let rows = taken(rows, others)?;
                if !self.try_rows(table, rows, outcome).await? {
                    at += part;
                }
            }
            part = if part == 1 { 0 } else { part.div_ceil(2) };
        }
        Ok(())
    }

    /// Makes columns NULL that do not matter.
    async fn without_columns(&mut self, table: usize, outcome: &[Texts]) -> Result<(), String> {
        for place in 0..self.tables[table].rows.num_columns() {
            let rows = &self.tables[table].rows;
            if rows.num_rows() == 0 || rows.column(place).null_count() == rows.num_rows() {
                continue;
            }
            let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
            columns[place] = new_null_array(columns[place].data_type(), rows.num_rows());
            let rows = RecordBatch::try_new(rows.schema(), columns).map_err(told)?;
            self.try_rows(table, rows, outcome).await?;
        }
        Ok(())
    }

    /// Replaces what tells who a user is.
    fn anonymous(&mut self) -> Result<(), String> {
        let mut people = People::default();
        for table in &self.tables {
            for (place, field) in table.rows.schema().fields().iter().enumerate() {
                let texts = value::texts(table.rows.column(place), &self.job.session)
                    .map_err(|error| error.strip_backtrace())?;
                if let Some(kind) = Kind::of(&table.name.table, field.name()) {
                    texts.iter().flatten().for_each(|text| people.meet(kind, text));
                }
            }
        }
        people.number();
        for table in &mut self.tables {
            let mut columns: Vec<ArrayRef> = table.rows.columns().to_vec();
            for (place, field) in table.rows.schema().fields().iter().enumerate() {
                let Some(kind) = Kind::of(&table.name.table, field.name()) else { continue };
                let texts =
                    value::texts(&columns[place], &self.job.session).map_err(|error| error.strip_backtrace())?;
                let sql_type = SqlType::of(field.data_type()).unwrap_or(SqlType::TEXT);
                let number = !matches!(sql_type, SqlType::Varchar(_));
                let written: Vec<Written> = texts
                    .iter()
                    .map(|text| {
                        text.map_or(Written::Null, |text| {
                            let other = people.instead(kind, text, number);
                            Written::Scalar(other.clone(), serde_json::json!(other).to_string())
                        })
                    })
                    .collect();
                let written: Vec<&Written> = written.iter().collect();
                columns[place] = value::read(&written, sql_type, field.data_type(), &self.job.session)
                    .map_err(|wrong| wrong[0].why.clone())?;
            }
            table.rows = RecordBatch::try_new(table.rows.schema(), columns).map_err(told)?;
        }
        let step = &self.job.plan.steps[self.step];
        for (at, text) in &mut self.key {
            let column = &step.columns[*at];
            if let Some(kind) = Kind::of(&step.id.step, column.name.as_str()) {
                *text = people.instead(kind, text, !matches!(column.sql_type, SqlType::Varchar(_)));
            }
        }
        Ok(())
    }

    fn yaml(&self, head: &str, outcome: &[Texts]) -> Result<String, String> {
        let mut text = head.to_owned();
        text.push_str("given:\n");
        for table in self.tables.iter().filter(|table| table.rows.num_rows() > 0) {
            let _ = writeln!(text, "  {}:", yaml_key(&table.name));
            let schema = table.rows.schema();
            let places: Vec<usize> = (0..schema.fields().len())
                .filter(|at| table.rows.column(*at).null_count() < table.rows.num_rows())
                .collect();
            let columns: Vec<Column> = places
                .iter()
                .map(|at| {
                    let field = schema.field(*at);
                    let sql_type = SqlType::of(field.data_type()).unwrap_or(SqlType::TEXT);
                    Column { name: Name::quoted(field.name().clone()), sql_type, nullable: true }
                })
                .collect();
            let rows = value::rows(std::slice::from_ref(&table.rows), &places, &self.job.session)
                .map_err(|error| error.strip_backtrace())?;
            rows.iter().for_each(|row| text.push_str(&line(&columns, row, 4)));
        }
        let step = &self.job.plan.steps[self.step];
        let _ = write!(text, "expect:\n  {}:\n    match: subset\n    rows:\n", column_key(&step.id.step));
        outcome.iter().for_each(|row| text.push_str(&line(&step.columns, row, 6)));
        Ok(text)
    }
}

fn told(error: ArrowError) -> String {
    error.to_string()
}

fn taken(rows: &RecordBatch, kept: Vec<u32>) -> Result<RecordBatch, String> {
    take_record_batch(rows, &UInt32Array::from(kept)).map_err(told)
}

fn yaml_key(name: &TableName) -> String {
    let sql = name.sql();
    if sql.contains('"') { format!("'{}'", sql.replace('\'', "''")) } else { sql.to_lowercase() }
}

fn line(columns: &[Column], row: &Texts, indent: usize) -> String {
    let cells = columns.iter().zip(row);
    let cells: Vec<String> = cells
        .map(|(column, text)| format!("{}: {}", column_key(&column.name), scalar(text.as_deref(), column)))
        .collect();
    format!("{:indent$}- {{{}}}\n", "", cells.join(", "))
}

/// What a column tells of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Kind {
    User,
    Email,
    Name,
}

impl Kind {
    /// What a column of a table tells of a person, going by their names.
    fn of(table: &Name, column: &str) -> Option<Self> {
        let of_people = ["USER", "USERS", "PERSON", "CUSTOMER", "ACCOUNT", "PROFILE"].contains(&table.as_str());
        let column = column.to_uppercase();
        let user = ["USER", "USERS", "CUSTOMER", "ACCOUNT", "PROFILE"].contains(&table.as_str()) && column == "ID";
        if user || column == "USER_ID" || column.ends_with("_USER_ID") {
            return Some(Self::User);
        }
        if column.contains("EMAIL") || column == "MAIL" {
            return Some(Self::Email);
        }
        let names = [
            "FIRST_NAME",
            "LAST_NAME",
            "FULL_NAME",
            "SURNAME",
            "USERNAME",
            "USER_NAME",
            "NICKNAME",
            "LOGIN",
            "PHONE",
            "ADDRESS",
        ];
        (names.contains(&column.as_str()) || of_people && column == "NAME").then_some(Self::Name)
    }
}

/// Whether the values of a column tell of a person.
pub fn is_personal(table: &Name, column: &Name) -> bool {
    Kind::of(table, column.as_str()).is_some()
}

/// Persons and what stands in their place: ids keep their order, and user 0 is nobody.
#[derive(Default)]
struct People {
    met: BTreeSet<(Kind, u128, String)>,
    instead: HashMap<(Kind, String), usize>,
}

impl People {
    fn meet(&mut self, kind: Kind, text: &str) {
        let order = text.parse().unwrap_or(u128::MAX);
        self.met.insert((kind, order, text.to_owned()));
    }

    fn number(&mut self) {
        let (mut last, mut count) = (None, 0);
        for (kind, _, text) in &self.met {
            count = if last == Some(*kind) { count } else { 0 };
            last = Some(*kind);
            if *kind == Kind::User && text == "0" {
                continue;
            }
            count += 1;
            self.instead.insert((*kind, text.clone()), count);
        }
    }

    fn instead(&self, kind: Kind, text: &str, number: bool) -> String {
        let Some(other) = self.instead.get(&(kind, text.to_owned())) else { return text.to_owned() };
        match kind {
            _ if number => other.to_string(),
            Kind::User => format!("user{other}"),
            Kind::Email => format!("user{other}@example.com"),
            Kind::Name => format!("Name{other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_replaced_in_their_order_and_user_0_stays() {
        let mut people = People::default();
        for (kind, text) in [
            (Kind::User, "1000"),
            (Kind::User, "0"),
            (Kind::User, "99"),
            (Kind::Email, "b@x.fr"),
            (Kind::Email, "a@x.fr"),
        ] {
            people.meet(kind, text);
        }
        people.number();
        let told: Vec<String> = ["0", "99", "1000"].iter().map(|id| people.instead(Kind::User, id, true)).collect();
        assert_eq!(told, ["0", "1", "2"]);
        assert_eq!(people.instead(Kind::Email, "b@x.fr", false), "user2@example.com");
    }

    #[test]
    fn columns_of_people_are_known_by_name() {
        for (table, column, kind) in [
            ("USER", "ID", Some(Kind::User)),
            ("PROGRAM", "ID", None),
            ("FACT_WATCH", "USER_ID", Some(Kind::User)),
            ("USER", "EMAIL", Some(Kind::Email)),
            ("PERSON", "LAST_NAME", Some(Kind::Name)),
            ("CHANNEL", "NAME", None),
            ("PERSON", "ID", None),
        ] {
            assert_eq!(Kind::of(&Name::quoted(table), column), kind, "{table}.{column}");
        }
    }
}
