//! Tables that grow: new rows are written beside the files that a table has. A file without a row that goes is taken over
//! as it is, one of which all rows go is left out, and of the others the rows that stay are written again. So are those of
//! many small files, as one.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast as cast_array;
use datafusion::arrow::datatypes::{DataType, Int64Type, SchemaRef};
use datafusion::common::{Column, NullEquality, ScalarValue};
use datafusion::datasource::{TableProvider, provider_as_source};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, LogicalPlanBuilder, cast, lit};
use futures::{StreamExt, TryStreamExt};

use super::{Embedded, Held, execute, failed, of_warehouse, shared, stored_columns, swap};
use crate::backend::{Attempt, BackendError, Built, Keep};
use crate::job::incremental::{Strategy, VALIDITY};
use crate::name::{Name, TableName};
use crate::opaque::Opaque;
use crate::plan::incremental::{Batch, GONE, Guard, PlannedIncremental};
use crate::plan::interval::Interval;
use crate::plan::{NEW, OLD, Origin, PlannedStep, Query, side};
use crate::warehouse::{DataFile, FILE_NUMBER, Staged, StoredTable};

/// How many batches of intervals are built at once.
const AT_ONCE: usize = 4;

/// Rows below which a file is a small one.
const SMALL_ROWS: u64 = 1 << 15;

/// Small files that a table may have: when there are more, they are written again as one.
const SMALL_FILES: usize = 64;

/// Of the small files the latest stay as they are: theirs are the rows that late data changes.
const LATEST_FILES: usize = 32;

/// Which rows of a table go.
enum Gone {
    /// None.
    Nothing,
    /// Those of these intervals.
    Within(Name, Vec<Interval>),
    /// Those that have a key in common with these rows; with `open`, only states that have not ended.
    Like { key: Vec<Name>, rows: Arc<dyn TableProvider>, open: bool },
}

type Frame = HashMap<Origin, swap::Rows>;

impl Embedded {
    /// Computes the rows that come, and writes them aside with those that stay.
    pub(super) async fn build_growing(
        &self,
        step: &PlannedStep,
        query: &Query,
        grows: &PlannedIncremental,
        attempt: &Attempt,
    ) -> Result<Built, BackendError> {
        let Keep::Table(name) = &attempt.keep else { return self.build_query(step, query, &attempt.keep).await };
        let old = self.old(name, attempt.afresh)?;
        let growth = Growth { engine: self, step, name, old: old.as_ref() };
        let (mut staged, gone) = match &grows.how.strategy {
            Strategy::Append => (growth.all(query).await?, Gone::Nothing),
            Strategy::DeleteInsert { key } | Strategy::InsertOverwrite { partition_by: key } => {
                let staged = growth.all(query).await?;
                let key = key.iter().map(|name| name.value.clone()).collect();
                let rows = staged.provider(&self.zone).map_err(of_warehouse)?;
                (staged, Gone::Like { key, rows, open: false })
            }
            Strategy::Interval(intervals) => {
                let built: Vec<Interval> = step.batches.iter().map(|batch| batch.interval).collect();
                let gone = Gone::Within(intervals.time.value.clone(), built);
                (growth.batches(&gone).await?, gone)
            }
            Strategy::Merge(merge) => growth.changed(query, grows, merge.key.iter(), false).await?,
            Strategy::Snapshot(snapshot) => growth.changed(query, grows, snapshot.key.iter(), true).await?,
        };
        growth.stay(&gone, &mut staged).await?;
        self.staged(step, staged)
    }

    /// The table as it is; none where there is none, or where it does not count.
    fn old(&self, name: &TableName, afresh: bool) -> Result<Option<StoredTable>, BackendError> {
        let snapshot = self.snapshot.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(table) = snapshot.table(name).filter(|_| !afresh) else { return Ok(None) };
        if table.view().is_some() {
            let made = "was published as a view by an earlier form of its step; run it with --full-refresh";
            return Err(BackendError::author(format!("`{}` {made}", name.lower())));
        }
        Ok(Some(table.clone()))
    }

    /// An internal step that feeds one which is built by intervals: a plan or rows for each batch.
    pub(super) async fn build_batched(&self, step: &PlannedStep, keep: &Keep) -> Result<Built, BackendError> {
        let mut all = Vec::new();
        let mut count = None;
        for (at, batch) in step.batches.iter().enumerate() {
            let plan = self.with_rows_over(&batch.query.plan, &self.frame(step, at)).await?;
            if *keep == Keep::Inline {
                all.push(swap::Rows::Plan(plan));
                continue;
            }
            let streams = self.streams(&plan).await?;
            let rows = shared::Shared::collect(streams, step.schema.clone(), &self.state, &self.limits).await?;
            count = Some(count.unwrap_or(0) + rows.rows());
            all.push(swap::Rows::Table(Arc::new(rows)));
        }
        self.hold(&step.id, Held::Batches(all));
        Ok(Built { rows: count })
    }

    /// What the inputs of a step are for one batch of intervals, where that differs from batch to batch.
    fn frame(&self, step: &PlannedStep, batch: usize) -> Frame {
        let held = self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let of_batch = |origin: &Origin| {
            let Origin::Step(id, _) = origin else { return None };
            match held.get(id) {
                Some(Held::Batches(batches)) => batches.get(batch).cloned(),
                _ => None,
            }
        };
        step.inputs.iter().filter_map(|input| Some((input.origin.clone(), of_batch(&input.origin)?))).collect()
    }
}

/// One table that is about to grow.
struct Growth<'a> {
    engine: &'a Embedded,
    step: &'a PlannedStep,
    name: &'a TableName,
    old: Option<&'a StoredTable>,
}

impl Growth<'_> {
    /// Writes all rows of a plan aside.
    async fn written(&self, plan: &Opaque<LogicalPlan>) -> Result<Staged, BackendError> {
        let streams = self.engine.streams(plan).await?;
        let columns = stored_columns(self.step);
        let writer = self.engine.tables.warehouse.stage(self.name, columns, None).map_err(of_warehouse)?;
        execute::write(streams, writer).await
    }

    /// All rows of the step's query, as they are.
    async fn all(&self, query: &Query) -> Result<Staged, BackendError> {
        let plan = self.engine.with_rows_over(&query.plan, &self.own()?).await?;
        self.written(&plan).await
    }

    /// The rows that the table has, for a query that reads them.
    fn own(&self) -> Result<Frame, BackendError> {
        let plan = self.before(false)?;
        let origin = self.step.inputs.iter().map(|input| &input.origin).find(|origin| matches!(origin, Origin::Own(_)));
        Ok(origin.map(|origin| (origin.clone(), swap::Rows::Plan(plan))).into_iter().collect())
    }

    /// The rows of the step's intervals, batch after batch.
    async fn batches(&self, gone: &Gone) -> Result<Staged, BackendError> {
        let own = self.step.inputs.iter().map(|input| &input.origin).find(|origin| matches!(origin, Origin::Own(_)));
        let mut all = self.nothing()?;
        let Some(own) = own else {
            let mut batches = Vec::new();
            for (at, batch) in self.step.batches.iter().enumerate() {
                batches.push(self.batch(at, batch, Frame::new()));
            }
            let mut built = futures::stream::iter(batches).buffered(AT_ONCE);
            while let Some(staged) = built.try_next().await? {
                all.absorb(staged).map_err(of_warehouse)?;
            }
            return self.in_fewer_files(all).await;
        };
        // Each batch reads what the table has of other intervals, and what the batches before it have built.
        let before = self.before(false)?;
        let mut rows = staying(&before, gone)?;
        let mut built = Vec::new();
        for (at, batch) in self.step.batches.iter().enumerate() {
            let frame = Frame::from([(own.clone(), swap::Rows::Plan(Opaque::new(rows.clone())))]);
            let staged = self.batch(at, batch, frame).await?;
            let provider = staged.provider(&self.engine.zone).map_err(of_warehouse)?;
            let more = scan(OLD, provider).and_then(LogicalPlanBuilder::build).map_err(failed)?;
            rows = LogicalPlanBuilder::from(rows).union(more).and_then(LogicalPlanBuilder::build).map_err(failed)?;
            built.push(staged);
        }
        built.into_iter().try_for_each(|staged| all.absorb(staged)).map_err(of_warehouse)?;
        self.in_fewer_files(all).await
    }

    /// The same rows, those of many small files in one.
    async fn in_fewer_files(&self, mut staged: Staged) -> Result<Staged, BackendError> {
        let small = small_files(staged.files().iter().map(|file| file.rows));
        if small.is_empty() {
            return Ok(staged);
        }
        let apart = staged.split_off(&small).map_err(of_warehouse)?;
        let rows = apart.provider(&self.engine.zone).map_err(of_warehouse)?;
        let plan = scan(NEW, rows).and_then(LogicalPlanBuilder::build).map_err(failed)?;
        let mut all = self.written(&Opaque::new(plan)).await?;
        all.absorb(staged).map_err(of_warehouse)?;
        Ok(all)
    }

    /// A table without rows.
    fn nothing(&self) -> Result<Staged, BackendError> {
        let columns = stored_columns(self.step);
        let writer = self.engine.tables.warehouse.stage(self.name, columns, None);
        writer.and_then(crate::warehouse::Writer::finish).map_err(of_warehouse)
    }

    async fn batch(&self, at: usize, batch: &Batch, mut frame: Frame) -> Result<Staged, BackendError> {
        frame.extend(self.engine.frame(self.step, at));
        let plan = self.engine.with_rows_over(&batch.query.plan, &frame).await?;
        let staged = self.written(&plan).await?;
        if let Some(guard) = batch.guard.as_ref().filter(|_| staged.rows() > 0) {
            let rows = staged.provider(&self.engine.zone).map_err(of_warehouse)?;
            self.hold_true(guard, &Frame::from([(side(NEW), swap::Rows::Table(rows))])).await?;
        }
        Ok(staged)
    }

    /// The rows that come in the place of those with their keys.
    async fn changed(
        &self,
        query: &Query,
        grows: &PlannedIncremental,
        key: impl Iterator<Item = &crate::text::Spanned<Name>>,
        open: bool,
    ) -> Result<(Staged, Gone), BackendError> {
        let engine = self.engine;
        let plan = engine.with_rows_over(&query.plan, &self.own()?).await?;
        let schema: SchemaRef = Arc::new(query.plan.schema().as_arrow().clone());
        let new = self.held(&plan, schema).await?;
        let old = swap::Rows::Plan(self.before(false)?);
        let frame = Frame::from([(side(NEW), swap::Rows::Table(new)), (side(OLD), old)]);
        for guard in &grows.guards {
            self.hold_true(guard, &frame).await?;
        }
        let Some(effect) = &grows.effect else {
            return Err(BackendError::author(format!("`{}` could not be bound", self.step.id)));
        };
        let plan = swap::swapped(&effect.plan, &frame).map(Opaque::new).map_err(failed)?;
        let rows = self.held(&plan, Arc::new(effect.plan.schema().as_arrow().clone())).await?;
        let columns = self.step.schema.fields().iter().map(|field| column(None, field.name()));
        let coming = scan(NEW, rows.clone())
            .and_then(|plan| plan.filter(column(None, GONE).is_not_true()))
            .and_then(|plan| plan.project(columns))
            .and_then(LogicalPlanBuilder::build)
            .map_err(failed)?;
        let staged = self.written(&Opaque::new(coming)).await?;
        Ok((staged, Gone::Like { key: key.map(|name| name.value.clone()).collect(), rows, open }))
    }

    async fn held(
        &self,
        plan: &Opaque<LogicalPlan>,
        schema: SchemaRef,
    ) -> Result<Arc<dyn TableProvider>, BackendError> {
        let streams = self.engine.streams(plan).await?;
        let rows = shared::Shared::collect(streams, schema, &self.engine.state, &self.engine.limits).await?;
        Ok(Arc::new(rows))
    }

    async fn hold_true(&self, guard: &Guard, frame: &Frame) -> Result<(), BackendError> {
        let plan = swap::swapped(&guard.query.plan, frame).map(Opaque::new).map_err(failed)?;
        let batches = execute::collect(self.engine.streams(&plan).await?).await?;
        match numbers(&batches, 0).first() {
            Some(0) => Ok(()),
            Some(count) => Err(BackendError::author(format!("{count} {}", guard.message))),
            None => Err(BackendError::author("the new rows could not be counted")),
        }
    }

    /// The rows that the table has, under its present columns; with `numbered`, each with the number of its file.
    fn before(&self, numbered: bool) -> Result<Opaque<LogicalPlan>, BackendError> {
        let files: Vec<usize> = (0..self.old.map_or(0, |old| old.files().len())).collect();
        self.before_of(&files, numbered)
    }

    fn before_of(&self, files: &[usize], numbered: bool) -> Result<Opaque<LogicalPlan>, BackendError> {
        let Some(old) = self.old else {
            let empty = datafusion::datasource::MemTable::try_new(self.step.schema.clone(), vec![Vec::new()]);
            let plan = empty.and_then(|empty| scan(OLD, Arc::new(empty))).and_then(LogicalPlanBuilder::build);
            return plan.map(Opaque::new).map_err(failed);
        };
        let provider = old.parts(files, numbered, &self.engine.zone).map_err(of_warehouse)?;
        let stored = provider.schema();
        let mut columns: Vec<Expr> = Vec::new();
        for field in self.step.schema.fields() {
            let (name, now) = (field.name(), field.data_type());
            columns.push(match stored.field_with_name(name) {
                Ok(before) if before.data_type() == now => column(Some(OLD), name),
                Ok(_) => cast(column(Some(OLD), name), now.clone()).alias_qualified(Some(OLD), name),
                Err(_) => {
                    let null = ScalarValue::try_from(now).map_err(failed)?;
                    lit(null).alias_qualified(Some(OLD), name)
                }
            });
        }
        columns.extend(numbered.then(|| column(Some(OLD), FILE_NUMBER)));
        let plan = scan(OLD, provider).and_then(|plan| plan.project(columns)).and_then(LogicalPlanBuilder::build);
        plan.map(Opaque::new).map_err(failed)
    }

    /// Adds to what was written the rows that stay: whole files as they are, and what is left of others.
    async fn stay(&self, gone: &Gone, staged: &mut Staged) -> Result<(), BackendError> {
        let Some(old) = self.old else { return Ok(()) };
        let files = old.files();
        let going = self.going(gone, files.len()).await?;
        let same_columns = old.columns() == stored_columns(self.step).as_slice();
        let whole = |at: usize| going[at] == 0 && same_columns;
        let small = small_files((0..files.len()).map(|at| if whole(at) { files[at].1.rows } else { u64::MAX }));
        let taken = |at: usize| whole(at) && !small.contains(&at);
        let taken: Vec<bool> = (0..files.len()).map(taken).collect();
        let broken: Vec<usize> = (0..files.len()).filter(|at| !taken[*at] && going[*at] < files[*at].1.rows).collect();
        if !broken.is_empty() {
            let before = self.before_of(&broken, false)?;
            let rest = staying(&before, gone)?;
            staged.absorb(self.written(&Opaque::new(rest)).await?).map_err(of_warehouse)?;
        }
        let kept: Vec<(PathBuf, DataFile)> = files
            .into_iter()
            .enumerate()
            .filter(|(at, file)| taken[*at] && file.1.rows > 0)
            .map(|(_, file)| file)
            .collect();
        staged.keep(kept).map_err(of_warehouse)
    }

    /// How many rows of each file go.
    async fn going(&self, gone: &Gone, files: usize) -> Result<Vec<u64>, BackendError> {
        let mut going = vec![0; files];
        let empty = match gone {
            Gone::Nothing => true,
            Gone::Within(_, intervals) => intervals.is_empty(),
            Gone::Like { .. } => false,
        };
        if empty {
            return Ok(going);
        }
        let before = self.before(true)?;
        let rows = leaving(&before, gone)?;
        let counted = LogicalPlanBuilder::from(rows)
            .aggregate([column(None, FILE_NUMBER)], [count(lit(1_i64))])
            .and_then(LogicalPlanBuilder::build)
            .map_err(failed)?;
        let batches = execute::collect(self.engine.streams(&Opaque::new(counted)).await?).await?;
        for (file, count) in numbers(&batches, 0).into_iter().zip(numbers(&batches, 1)) {
            if let Some(place) = usize::try_from(file).ok().and_then(|file| going.get_mut(file)) {
                *place = count;
            }
        }
        Ok(going)
    }
}

fn scan(alias: &str, rows: Arc<dyn TableProvider>) -> Result<LogicalPlanBuilder, datafusion::common::DataFusionError> {
    LogicalPlanBuilder::scan(alias, provider_as_source(rows), None)
}

fn column(table: Option<&str>, name: &str) -> Expr {
    Expr::Column(Column::new(table, name))
}

/// The rows of a plan that go.
fn leaving(rows: &LogicalPlan, gone: &Gone) -> Result<LogicalPlan, BackendError> {
    match gone {
        Gone::Nothing => filtered(rows, lit(false)),
        Gone::Within(time, intervals) => filtered(rows, within(rows, time, intervals)?),
        Gone::Like { key, rows: new, open } => like(rows, key, new, *open, JoinType::RightSemi),
    }
}

/// The rows of a plan that stay.
fn staying(rows: &LogicalPlan, gone: &Gone) -> Result<LogicalPlan, BackendError> {
    match gone {
        Gone::Nothing => Ok(rows.clone()),
        Gone::Within(time, intervals) => filtered(rows, within(rows, time, intervals)?.is_not_true()),
        Gone::Like { key, rows: new, open } => like(rows, key, new, *open, JoinType::RightAnti),
    }
}

fn filtered(rows: &LogicalPlan, condition: Expr) -> Result<LogicalPlan, BackendError> {
    let plan = LogicalPlanBuilder::from(rows.clone()).filter(condition).and_then(LogicalPlanBuilder::build);
    plan.map_err(failed)
}

/// That a time is in one of these intervals.
fn within(rows: &LogicalPlan, time: &Name, intervals: &[Interval]) -> Result<Expr, BackendError> {
    let field = rows.schema().field_with_unqualified_name(time.as_str()).map_err(failed)?;
    let bound = |at: chrono::NaiveDateTime| {
        let text = at.format("%Y-%m-%d %H:%M:%S").to_string();
        ScalarValue::Utf8(Some(text)).cast_to(field.data_type()).map(lit).map_err(failed)
    };
    let mut any: Option<Expr> = None;
    for interval in intervals {
        let column = column(None, time.as_str());
        let inside = column.clone().gt_eq(bound(interval.start)?).and(column.lt(bound(interval.end)?));
        any = Some(any.map_or(inside.clone(), |before| before.or(inside)));
    }
    Ok(any.unwrap_or_else(|| lit(false)))
}

/// The rows of a plan that have, or have not, a key in common with others; a NULL is the same as another.
fn like(
    rows: &LogicalPlan,
    key: &[Name],
    new: &Arc<dyn TableProvider>,
    open: bool,
    join: JoinType,
) -> Result<LogicalPlan, BackendError> {
    let columns = |table: &str| key.iter().map(|name| Column::new(Some(table), name.as_str())).collect::<Vec<_>>();
    let open = open.then(|| column(Some(OLD), VALIDITY[1]).is_null());
    let keys = columns(NEW).into_iter().map(Expr::Column).collect::<Vec<_>>();
    let plan = scan(NEW, new.clone())
        .and_then(|plan| plan.project(keys))
        .and_then(|plan| {
            plan.join_detailed(rows.clone(), join, (columns(NEW), columns(OLD)), open, NullEquality::NullEqualsNull)
        })
        .and_then(LogicalPlanBuilder::build);
    plan.map_err(failed)
}

/// The places of the small files that are to become one, from the rows of all files.
fn small_files(rows: impl Iterator<Item = u64>) -> Vec<usize> {
    let mut small: Vec<usize> =
        rows.enumerate().filter(|(_, rows)| (1..SMALL_ROWS).contains(rows)).map(|(at, _)| at).collect();
    small.truncate(if small.len() > SMALL_FILES { small.len() - LATEST_FILES } else { 0 });
    small
}

/// A column of whole numbers.
fn numbers(batches: &[RecordBatch], at: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    for batch in batches {
        let Some(Ok(column)) = batch.columns().get(at).map(|column| cast_array(column, &DataType::Int64)) else {
            continue;
        };
        let column = column.as_primitive::<Int64Type>();
        numbers
            .extend((0..column.len()).filter(|row| column.is_valid(*row)).map(|row| column.value(row).unsigned_abs()));
    }
    numbers
}
