//! `pipe rollback`: tables published again as an earlier run left them.

use std::collections::BTreeSet;

use clap::Args;

use super::loaded::{Loaded, Meaning};
use super::run::failed;
use super::site::Site;
use super::{Globals, Outcome, block_on, print};
use crate::backend::Backend as _;
use crate::backend::snowflake::State;
use crate::diagnostic::Diagnostic;
use crate::ledger::{Ledger, RunRecord};
use crate::name::{TableName, nearest};
use crate::run::{now, run_id};
use crate::settings::Flags;
use crate::warehouse::{self, Snapshot, StoredTable, Warehouse};

/// Arguments of `pipe rollback`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pipe rollback ml.this_week_recommendations --to 20261124-0400
  pipe rollback this_week --to 20261124-0400

All tables go back at once. As many earlier states are kept as `retention` in `pipe.yaml` says. The next run of the job
publishes anew what its SQL and inputs give then.")]
pub(super) struct Rollback {
    /// A table, by its name with its schema, or a job: all tables that it publishes
    #[arg(value_name = "TABLE|JOB")]
    what: String,
    /// The run whose state of the tables is wanted, by its name or the beginning of it
    #[arg(long, value_name = "RUN")]
    to: String,
}

impl Rollback {
    pub(super) fn run(self, globals: &Globals) -> Result<Outcome, Outcome> {
        let loaded = Loaded::read(globals, &Meaning::default(), Flags::default())?;
        let Ok(local) = loaded.local() else { return self.on_server(&loaded) };
        let warehouse = Warehouse::open(&local.warehouse()).map_err(broken)?.keeping(loaded.settings.kept_sets);
        let mut ledger = Ledger::open(&local.ledger()).map_err(super::run::broken)?;
        let run = run_named(&ledger, &self.to)?;
        let set = set_of(&warehouse, &run)?;
        let (now, then) = (warehouse.snapshot().map_err(broken)?, warehouse.snapshot_of(set).map_err(broken)?);
        let tables = self.tables(&loaded, &ledger, &now, &then)?;
        let reserved = warehouse.reserve(&tables).map_err(broken)?;
        warehouse.roll_back(set, Some(&tables), &format!("rollback to {}", run.id)).map_err(broken)?;
        let states: Vec<_> = tables.iter().map(|table| (table.lower(), then.table(table).map(state))).collect();
        ledger.rolled_back(&states).map_err(super::run::broken)?;
        drop(reserved);
        for table in &tables {
            let how = if then.table(table).is_some() { "is as run" } else { "is gone, as after run" };
            print(&format!("{} {how} {} left it\n", table.lower(), run.id))?;
        }
        Ok(Outcome::Done)
    }

    fn tables(
        &self,
        loaded: &Loaded,
        ledger: &Ledger,
        now: &Snapshot,
        then: &Snapshot,
    ) -> Result<Vec<TableName>, Outcome> {
        if let Some(table) = TableName::parse(&self.what).filter(|name| name.schema.is_some() && !is_path(&self.what)) {
            if now.table(&table).is_none() && then.table(&table).is_none() {
                let names: Vec<String> = now.names().iter().chain(&then.names()).map(TableName::lower).collect();
                let problem = Diagnostic::error("unknown-table", format!("there is no table `{}`", table.lower()));
                return Err(Outcome::Wrong(vec![problem.did_you_mean(nearest(&table.lower(), &names))]));
            }
            return Ok(vec![table]);
        }
        let job = loaded.project.job(&self.what).map_err(|problem| Outcome::Wrong(vec![problem]))?;
        let named = job.steps.values().filter_map(|step| step.publish.as_ref().map(|table| table.value.clone()));
        let mut tables: BTreeSet<TableName> = named.collect();
        let published = ledger.all_published().map_err(super::run::broken)?;
        let own = published.values().filter(|table| table.step.job == job.name.value);
        tables.extend(own.filter_map(|table| TableName::parse(&table.table)));
        tables.retain(|table| now.table(table).is_some() || then.table(table).is_some());
        if tables.is_empty() {
            let message = format!("job `{}` has published no table", job.name.value.lower());
            return Err(Outcome::Wrong(vec![Diagnostic::error("not-published", message)]));
        }
        Ok(tables.into_iter().collect())
    }
}

impl Rollback {
    /// The same on Snowflake, where the rows of earlier states are in tables beside the history.
    fn on_server(&self, loaded: &Loaded) -> Result<Outcome, Outcome> {
        let site = Site::open(loaded, &run_id(now(), std::process::id()))?;
        let mut ledger = site.ledger(loaded)?;
        let Site::Snowflake(remote) = &site else { return Ok(Outcome::Done) };
        let run = run_named(&ledger, &self.to)?;
        let states = block_on(remote.backend.states(None))?.map_err(failed)?;
        let tables = self.published(loaded, &states)?;
        let mut to = Vec::new();
        for table in &tables {
            to.push((table.clone(), state_of(&states, table, &run)?.clone()));
        }
        let versions = block_on(remote.backend.roll_back(&to))?.map_err(failed)?;
        let written: Vec<_> = to
            .iter()
            .map(|(name, state)| (name.lower(), versions.get(name).map(|mark| (mark.clone(), state.run.clone()))))
            .collect();
        ledger.rolled_back(&written).map_err(super::run::broken)?;
        block_on(remote.backend.close())?;
        for table in &tables {
            print(&format!("{} is as run {} left it\n", table.lower(), run.id))?;
        }
        Ok(Outcome::Done)
    }

    /// The tables that are meant, of those that were published; views have no rows to go back to.
    fn published(&self, loaded: &Loaded, states: &[State]) -> Result<Vec<TableName>, Outcome> {
        if let Some(table) = TableName::parse(&self.what).filter(|name| name.schema.is_some() && !is_path(&self.what)) {
            let names: BTreeSet<&String> = states.iter().map(|state| &state.table).collect();
            if !names.contains(&table.lower()) {
                let message = format!("no run has published `{}`", table.lower());
                let problem = Diagnostic::error("unknown-table", message);
                return Err(Outcome::Wrong(vec![problem.did_you_mean(nearest(&table.lower(), &names))]));
            }
            return Ok(vec![table]);
        }
        let job = loaded.project.job(&self.what).map_err(|problem| Outcome::Wrong(vec![problem]))?;
        let own = states.iter().filter(|state| state.job == job.name.value.lower());
        let steps = job.steps.values().filter_map(|step| step.publish.as_ref().map(|table| &table.value));
        let steps: Vec<&TableName> = steps.collect();
        let named = |state: &State| {
            let own = steps.iter().find(|table| table.lower() == state.table);
            own.map(|table| (*table).clone()).or_else(|| TableName::parse(&state.table))
        };
        // Of a view no rows are kept.
        let tables: BTreeSet<TableName> = own.filter(|state| state.kept.is_some()).filter_map(named).collect();
        if tables.is_empty() {
            let message = format!("job `{}` has published no table whose rows are kept", job.name.value.lower());
            return Err(Outcome::Wrong(vec![Diagnostic::error("not-published", message)]));
        }
        Ok(tables.into_iter().collect())
    }
}

/// The state in which a run left a table.
pub(super) fn state_of<'s>(states: &'s [State], table: &TableName, run: &RunRecord) -> Result<&'s State, Outcome> {
    let name = table.lower();
    let ended = run.finished.unwrap_or(run.started);
    let own = states.iter().filter(|state| state.table == name);
    let found = own.clone().find(|state| state.run == run.id).or_else(|| own.clone().find(|state| state.at <= ended));
    let wrong = |code, message: String, hint: &str| {
        Outcome::Wrong(vec![Diagnostic::error(code, message).hint(hint.to_owned())])
    };
    match found {
        None => {
            let message = format!("no run up to `{}` has published `{name}`", run.id);
            Err(wrong("not-published", message, "where the table is not wanted, drop it on the server"))
        }
        Some(state) if state.kept.is_none() => {
            let message = format!("the rows of `{name}` as run `{}` left it are kept no more", run.id);
            let hint = "`retention: {sets: N}` in `pipe.yaml` says how many states are kept; of a view there are none";
            Err(wrong("not-kept", message, hint))
        }
        Some(state) => Ok(state),
    }
}

fn is_path(text: &str) -> bool {
    text.contains('/') || text.ends_with(".yaml") || text.ends_with(".yml")
}

fn state(table: &StoredTable) -> (String, String) {
    (table.version().to_string(), table.object().run.clone())
}

fn broken(error: warehouse::Error) -> Outcome {
    Outcome::Broken(error.to_string())
}

/// The run that a command names.
pub(super) fn run_named(ledger: &Ledger, named: &str) -> Result<RunRecord, Outcome> {
    let found = match named {
        "last" => ledger.runs(1).map_err(super::run::broken)?.into_iter().next().map(|last| last.record),
        _ => ledger.run(named).map_err(super::run::broken)?,
    };
    found.ok_or_else(|| {
        let problem = Diagnostic::error("unknown-run", format!("there is no run `{named}`"));
        Outcome::Wrong(vec![problem.hint("`pipe runs` lists them")])
    })
}

/// The set of tables as a run left them.
pub(super) fn set_of(warehouse: &Warehouse, run: &RunRecord) -> Result<u64, Outcome> {
    let ended = run.finished.unwrap_or(run.started);
    warehouse.set_of(&run.id, ended).map_err(broken)?.ok_or_else(|| {
        let message = format!("the tables as run `{}` left them are kept no more", run.id);
        let problem = Diagnostic::error("not-kept", message);
        Outcome::Wrong(vec![problem.hint("`retention: {sets: N}` in `pipe.yaml` says how many states are kept")])
    })
}
