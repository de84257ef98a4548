//! Results made visible. Tables whose columns stay as they are get their new rows in one transaction, and with them the mark
//! that says so; a table whose columns change, which no transaction of Snowflake's can hold, is replaced by one statement.

use std::collections::BTreeSet;
use std::time::Duration;

use super::session::Worker;
use super::{Held, Snowflake, TRIES, catalogue, history, text};
use crate::backend::{BackendError, Remedy};
use crate::name::{Name, TableName};
use crate::plan::PlannedStep;

/// A table to publish.
struct Change<'a> {
    step: &'a PlannedStep,
    name: TableName,
    built: TableName,
    /// Whether there is a table of this name with these columns.
    same: bool,
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
                    tables.push(Change { step, name, built, same });
                }
                Some(Held::Query(_)) => views.push(text::view(step, &name)),
                _ => return Err(BackendError::author(format!("the result of `{}` is missing", step.id))),
            }
        }
        for change in tables.iter().filter(|change| !change.same) {
            worker.run(text::replace(&change.name, &change.built)).await?;
        }
        self.refill(&mut worker, job, &tables, &names).await?;
        for view in views {
            worker.run(view).await?;
        }
        let mut versions = catalogue::versions(&mut worker, &database, &names).await?;
        for change in &tables {
            self.hold(&change.step.id, Held::Published(change.name.clone()));
            // What is left here is dropped by the next run.
            if let Err(error) = worker.run(format!("DROP TABLE IF EXISTS {}", change.built.sql())).await {
                tracing::warn!(%error, table = %change.built.lower(), "what was built aside is left behind");
            }
        }
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

    /// Gives the tables whose columns stay as they are their new rows, all at once, and marks the job as published. Where
    /// the connection fails the mark says whether that was done.
    async fn refill(
        &self,
        worker: &mut Worker,
        job: &Name,
        tables: &[Change<'_>],
        names: &[TableName],
    ) -> Result<(), BackendError> {
        let published = self.history_table("PUBLISHED");
        let names: Vec<String> = names.iter().map(TableName::lower).collect();
        let refilled = tables.iter().filter(|change| change.same);
        let mut statements: Vec<String> =
            refilled.map(|change| text::overwrite(&change.name, &change.built, &change.step.columns)).collect();
        statements.push(history::mark(&published, &self.means.run, job, &names));
        for tried in 1.. {
            match in_transaction(worker, &statements).await {
                Err(error) if error.remedy == Remedy::Retry && tried < TRIES => {
                    tracing::info!(%error, "publishing is tried again");
                    tokio::time::sleep(Duration::from_millis(250) * 2_u32.pow(tried)).await;
                    if history::is_marked(worker, &published, &self.means.run, job).await? {
                        break;
                    }
                }
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        Ok(())
    }
}

/// All of them or none. A transaction is undone as a whole where a statement fails or the session is lost.
async fn in_transaction(worker: &mut Worker, statements: &[String]) -> Result<(), BackendError> {
    worker.begin().await?;
    for statement in statements {
        if let Err(error) = worker.within(statement.clone()).await {
            worker.roll_back().await;
            return Err(error);
        }
    }
    worker.commit().await
}
