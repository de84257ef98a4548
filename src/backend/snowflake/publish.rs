//! Results made visible. Tables whose columns stay as they are get their new rows in one transaction, and with them the states
//! that say so; a table whose columns change, which no transaction of Snowflake's can hold, is replaced by one statement.

use std::collections::{BTreeSet, HashMap};
use std::sync::PoisonError;
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;

use super::growth::{Grown, changes};
use super::session::Worker;
use super::states::{self, State};
use super::{Held, Snowflake, TRIES, catalogue, text};
use crate::backend::{BackendError, Remedy};
use crate::dialect::Column;
use crate::name::{Name, TableName};
use crate::plan::PlannedStep;

/// A table to publish.
struct Change<'a> {
    step: &'a PlannedStep,
    name: TableName,
    built: TableName,
    /// Whether there is a table of this name with these columns.
    same: bool,
    /// What is known of it where it grows.
    grown: Option<Grown>,
}

/// A part of a transaction.
enum Act {
    /// A statement.
    Do(String),
    /// A query whose one value must be this one; else it was changed by somebody since, as the clause says.
    Expect(String, String, String),
}

impl Snowflake {
    pub(super) async fn publish_job(&self, job: &Name, steps: &[&PlannedStep]) -> Result<Vec<String>, BackendError> {
        let database = self.connector.database();
        let mut worker = self.worker(&format!("{}/publish", job.lower()));
        let named: Vec<(&PlannedStep, TableName)> =
            steps.iter().filter_map(|step| Some((*step, self.name_of(step)?))).collect();
        let names: Vec<TableName> = named.iter().map(|(_, name)| name.clone()).collect();
        let present = catalogue::columns(&mut worker, &database, &names.iter().collect::<Vec<_>>()).await?;
        let new: Vec<&TableName> = names.iter().filter(|name| !present.contains_key(*name)).collect();
        self.make_schemas(&mut worker, &new).await?;
        let (mut tables, mut views) = (Vec::new(), Vec::new());
        for (step, name) in named {
            match self.held(&step.id) {
                Some(Held::Table(built)) => {
                    let same = present.get(&name).is_some_and(|columns| catalogue::same(columns, &step.columns));
                    let grown = self.grown.lock().unwrap_or_else(PoisonError::into_inner).remove(&step.id);
                    tables.push(Change { step, name, built, same, grown });
                }
                Some(Held::Query(_)) => views.push(text::view(step, &name)),
                _ => return Err(BackendError::author(format!("the result of `{}` is missing", step.id))),
            }
        }
        let new = self.states_of(job, &tables, &names);
        self.replace(&mut worker, &tables, &new).await?;
        self.refill(&mut worker, job, &tables, &new).await?;
        for view in views {
            worker.run(view).await?;
        }
        let mut versions = catalogue::versions(&mut worker, &database, &names).await?;
        for change in &tables {
            self.hold(&change.step.id, Held::Published(change.name.clone()));
        }
        self.tidy(&mut worker, &tables, &names).await;
        Ok(names.iter().map(|name| versions.remove(name).unwrap_or_default()).collect())
    }

    /// Makes the schemas of tables that are not there yet.
    async fn make_schemas(&self, worker: &mut Worker, names: &[&TableName]) -> Result<(), BackendError> {
        let place = |name: &&TableName| {
            let database = name.database.clone().unwrap_or_else(|| self.connector.database());
            name.schema.clone().map(|schema| (database, schema))
        };
        let places: BTreeSet<(Name, Name)> = names.iter().filter_map(place).collect();
        for (database, schema) in places {
            if !catalogue::has_schema(worker, &database, &schema).await? {
                worker.run(format!("CREATE SCHEMA IF NOT EXISTS {}.{}", database.sql(), schema.sql())).await?;
            }
        }
        Ok(())
    }

    /// What is published by this run.
    fn states_of(&self, job: &Name, tables: &[Change<'_>], names: &[TableName]) -> Vec<State> {
        let keeps = self.means.kept > 1;
        let state = |name: &TableName| {
            let state = State::new(name, &self.means.run, &job.lower());
            let Some(change) = tables.iter().find(|change| change.name == *name) else { return state };
            let (made, rows) = match &change.grown {
                Some(grown) => (grown.made.clone(), Some(grown.rows)),
                None => (None, None),
            };
            State { kept: keeps.then(|| change.built.clone()), rows, made, ..state }
        };
        names.iter().map(state).collect()
    }

    /// Replaces the tables whose columns change or that are not there yet. One that grows is announced before, so that a run
    /// that is killed here adds nothing twice.
    async fn replace(&self, worker: &mut Worker, tables: &[Change<'_>], new: &[State]) -> Result<(), BackendError> {
        let (states, database) = (self.history_table("STATES"), self.connector.database());
        let replaced: Vec<&Change<'_>> = tables.iter().filter(|change| !change.same).collect();
        let growing: Vec<TableName> =
            replaced.iter().filter(|change| change.grown.is_some()).map(|change| change.name.clone()).collect();
        if !growing.is_empty() {
            let marks = catalogue::versions(worker, &database, &growing).await?;
            for name in &growing {
                self.expect(worker, &self.unchanged(name)).await?;
                let coming = new.iter().filter(|state| state.table == name.lower());
                let coming: Vec<State> = coming.map(|state| state.coming(marks.get(name))).collect();
                worker.run(states::insert(&states, &coming)).await?;
            }
        }
        for change in replaced {
            worker.run(text::replace(&change.name, &change.built)).await?;
        }
        Ok(())
    }

    /// That nobody has published the table since this run decided what to do.
    fn unchanged(&self, name: &TableName) -> Act {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned().unwrap_or_default();
        let what = format!("`{}` was published by another run meanwhile; run again", name.lower());
        Act::Expect(states::newest(&self.history_table("STATES"), name), known, what)
    }

    async fn expect(&self, worker: &mut Worker, act: &Act) -> Result<(), BackendError> {
        let Act::Expect(sql, expected, what) = act else { return Ok(()) };
        holds(&worker.rows(sql.clone()).await?.batches, expected, what)
    }

    /// The parts of the transaction that gives the tables their new rows.
    fn acts(&self, tables: &[Change<'_>], new: &[State]) -> Vec<Act> {
        let states = self.history_table("STATES");
        let mut acts = Vec::new();
        // In the order of their names, so that no two runs wait for each other.
        let mut growing: Vec<&Change<'_>> =
            tables.iter().filter(|change| change.same && change.grown.is_some()).collect();
        growing.sort_by(|a, b| a.name.cmp(&b.name));
        for change in growing {
            acts.push(Act::Do(states::lock(&states, &change.name)));
            acts.push(self.unchanged(&change.name));
        }
        for change in tables.iter().filter(|change| change.same) {
            match change.grown.as_ref().filter(|grown| !grown.afresh) {
                None => acts.push(Act::Do(text::overwrite(&change.name, &change.built, &change.step.columns))),
                Some(grown) => {
                    let statements = changes(change.step, &change.name, &text::coming(&change.built));
                    acts.extend(statements.into_iter().map(Act::Do));
                    let count = format!("SELECT COUNT(*) AS N FROM {}", change.name.sql());
                    let what = format!("`{}` was changed by something else meanwhile; run again", change.name.lower());
                    acts.push(Act::Expect(count, grown.rows.to_string(), what));
                }
            }
        }
        let came = tables.iter().filter(|change| !change.same && change.grown.is_some());
        acts.extend(came.map(|change| Act::Do(states::came(&states, &change.name))));
        acts.push(Act::Do(states::insert(&states, new)));
        acts
    }

    /// Gives the tables whose columns stay as they are their new rows, all at once, and writes down what was published. Where
    /// the connection fails the states say whether that was done.
    async fn refill(
        &self,
        worker: &mut Worker,
        job: &Name,
        tables: &[Change<'_>],
        new: &[State],
    ) -> Result<(), BackendError> {
        let acts = self.acts(tables, new);
        self.transact(worker, &acts, &self.means.run, &job.lower()).await
    }

    async fn transact(&self, worker: &mut Worker, acts: &[Act], run: &str, job: &str) -> Result<(), BackendError> {
        let states = self.history_table("STATES");
        for tried in 1.. {
            match in_transaction(worker, acts).await {
                Err(error) if error.remedy == Remedy::Retry && tried < TRIES => {
                    tracing::info!(%error, "publishing is tried again");
                    tokio::time::sleep(Duration::from_millis(250) * 2_u32.pow(tried)).await;
                    if states::is_published(worker, &states, run, job).await? {
                        break;
                    }
                }
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        Ok(())
    }

    /// Drops what was built aside and is not kept. What is left here is dropped by the next run.
    async fn tidy(&self, worker: &mut Worker, tables: &[Change<'_>], names: &[TableName]) {
        let of = |change: &Change<'_>| {
            let coming = change.grown.as_ref().map(|_| text::coming(&change.built));
            let built = (self.means.kept <= 1).then(|| change.built.clone());
            coming.into_iter().chain(built)
        };
        let mut done: Vec<TableName> = tables.iter().flat_map(of).collect();
        match self.no_longer_kept(worker, Some(names), self.means.kept).await {
            Ok(old) => done.extend(old),
            Err(error) => tracing::warn!(%error, "earlier states of tables are left behind"),
        }
        for table in done {
            if let Err(error) = worker.run(text::drop(&table)).await {
                tracing::warn!(%error, table = %table.lower(), "what was built aside is left behind");
            }
        }
    }

    /// The copies of earlier states that are not kept any more, written down as such.
    pub(super) async fn no_longer_kept(
        &self,
        worker: &mut Worker,
        names: Option<&[TableName]>,
        kept: usize,
    ) -> Result<Vec<TableName>, BackendError> {
        let place = self.history_table("STATES");
        let old = states::outdated(&states::read(worker, &place, names).await?, kept);
        if !old.is_empty() {
            worker.run(states::forget(&place, &old)).await?;
        }
        Ok(old)
    }

    /// Makes tables what they were in these states, all at once where their columns stay as they are; gives their versions.
    pub(super) async fn publish_again(
        &self,
        worker: &mut Worker,
        to: &[(TableName, State)],
        columns: &HashMap<TableName, Vec<Column>>,
    ) -> Result<HashMap<TableName, String>, BackendError> {
        let (mut acts, mut new) = (Vec::new(), Vec::new());
        for (name, state) in to {
            let Some(kept) = &state.kept else { continue };
            let then = columns.get(kept).map(Vec::as_slice).unwrap_or_default();
            if columns.get(name).is_some_and(|now| catalogue::same(now, then)) {
                acts.push(Act::Do(text::overwrite(name, kept, then)));
            } else {
                worker.run(text::replace(name, kept)).await?;
            }
            let (kept, rows, made) = (state.kept.clone(), state.rows, state.made.clone());
            new.push(State { kept, rows, made, ..State::new(name, &self.means.run, &state.job) });
        }
        acts.push(Act::Do(states::insert(&self.history_table("STATES"), &new)));
        let job = to.first().map(|(_, state)| state.job.clone()).unwrap_or_default();
        self.transact(worker, &acts, &self.means.run, &job).await?;
        let names: Vec<TableName> = to.iter().map(|(name, _)| name.clone()).collect();
        catalogue::versions(worker, &self.connector.database(), &names).await
    }
}

/// All of them or none. A transaction is undone as a whole where a statement fails or the session is lost.
async fn in_transaction(worker: &mut Worker, acts: &[Act]) -> Result<(), BackendError> {
    worker.begin().await?;
    for act in acts {
        let done = match act {
            Act::Do(statement) => worker.within(statement.clone()).await.map(|_| ()),
            Act::Expect(sql, expected, what) => {
                let answer = worker.rows_within(sql.clone()).await;
                answer.and_then(|answer| holds(&answer.batches, expected, what))
            }
        };
        if let Err(error) = done {
            worker.roll_back().await;
            return Err(error);
        }
    }
    worker.commit().await
}

/// That a query's one value is what was expected, or that there is none where nothing was.
fn holds(batches: &[RecordBatch], expected: &str, what: &str) -> Result<(), BackendError> {
    let found: Vec<[String; 1]> = catalogue::texts(&catalogue::as_texts(batches));
    match found.as_slice() {
        [] if expected.is_empty() => Ok(()),
        [[found]] if found == expected => Ok(()),
        _ => Err(BackendError::author(what)),
    }
}
