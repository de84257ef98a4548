//! The states of tables that `pipe diff` compares: the job as it is written now, what is published, what a run left.

use std::sync::Arc;

use crate::backend::snowflake::{self, Snowflake};
use crate::cli::loaded::{Loaded, Meaning};
use crate::cli::rollback::{run_named, set_of, state_of};
use crate::cli::run::failed;
use crate::cli::site::Site;
use crate::cli::{Globals, Outcome, block_on};
use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::diff::Side;
use crate::ledger::RunRecord;
use crate::name::{Name, TableName};
use crate::plan::PlannedStep;
use crate::settings::Flags;
use crate::warehouse::{Snapshot, StoredColumn, StoredTable, Warehouse};

/// What is published now.
pub(super) const LAST: &str = "last";

/// A state of the tables.
pub(super) enum State {
    /// What the job gives as it is written now.
    Tree,
    /// What was published, by whom it is told, and the run where it is one run's.
    Published { tables: Tables, label: String, run: Option<RunRecord> },
}

/// Where the rows of a state are.
pub(super) enum Tables {
    /// In files.
    Local(Box<Snapshot>),
    /// On Snowflake, with what is known of the states of its tables.
    Snowflake(Arc<Snowflake>, Vec<snowflake::State>),
}

impl State {
    /// The state that a command names.
    pub(super) fn named(named: &str, globals: &Globals, loaded: &Loaded) -> Result<Self, Outcome> {
        if named == LAST {
            let label = "what is published".to_owned();
            return Ok(Self::Published { tables: Tables::now(loaded)?, label, run: None });
        }
        if loaded.settings.targets.iter().any(|target| target == named) {
            let globals = Globals { target: Some(named.to_owned()), ..globals.clone() };
            let other = Loaded::read(&globals, &Meaning::default(), Flags::default())?;
            return Ok(Self::Published { tables: Tables::now(&other)?, label: format!("target {named}"), run: None });
        }
        let ledger = Site::open(loaded, "diff")?.ledger(loaded)?;
        let run = run_named(&ledger, named).map_err(|outcome| match outcome {
            Outcome::Wrong(_) => {
                let message = format!("`{named}` is no run and no target");
                let hint = "`pipe runs` lists the runs, and `pipe.yaml` names the targets";
                Outcome::Wrong(vec![Diagnostic::error("unknown-state", message).hint(hint)])
            }
            other => other,
        })?;
        let tables = match Tables::now(loaded)? {
            Tables::Local(_) => {
                let warehouse = opened(loaded)?;
                let snapshot = warehouse.snapshot_of(set_of(&warehouse, &run)?).map_err(unreadable)?;
                Tables::Local(Box::new(snapshot))
            }
            remote @ Tables::Snowflake(..) => remote,
        };
        Ok(Self::Published { tables, label: format!("run {}", run.id), run: Some(run) })
    }

    /// By whom it is told.
    pub(super) fn label(&self) -> &str {
        match self {
            Self::Tree => "the job as it is written now",
            Self::Published { label, .. } => label,
        }
    }
}

impl Tables {
    /// The tables of a target as they are.
    pub(super) fn now(loaded: &Loaded) -> Result<Self, Outcome> {
        match Site::open(loaded, "diff")? {
            Site::Local(_) => Ok(Self::Local(Box::new(opened(loaded)?.snapshot().map_err(unreadable)?))),
            Site::Snowflake(remote) => {
                let states = block_on(remote.backend.states(None))?.map_err(failed)?;
                Ok(Self::Snowflake(remote.backend, states))
            }
        }
    }
}

fn opened(loaded: &Loaded) -> Result<Warehouse, Outcome> {
    Warehouse::open(&loaded.local()?.warehouse()).map_err(unreadable)
}

fn unreadable(error: crate::warehouse::Error) -> Outcome {
    Outcome::Broken(error.to_string())
}

/// The table that a step publishes, or under which `--keep` keeps it.
pub(super) fn name_of(step: &PlannedStep) -> TableName {
    let kept = || TableName::in_schema(step.id.job.clone(), step.id.step.clone());
    step.publish.clone().unwrap_or_else(kept)
}

/// The files of a table.
pub(super) fn file<'s>(
    snapshot: &'s Snapshot,
    name: &TableName,
    label: &str,
) -> Result<Option<&'s StoredTable>, Outcome> {
    match snapshot.table(name) {
        Some(table) if table.view().is_some() => {
            Err(Outcome::Broken(format!("`{}` is a view, of which {label} has no rows", name.lower())))
        }
        other => Ok(other),
    }
}

/// A table of a state; none where it has no such table.
pub(super) async fn side(
    tables: &Tables,
    name: &TableName,
    label: &str,
    run: Option<&RunRecord>,
    zone: &str,
) -> Result<Option<Side>, Outcome> {
    match tables {
        Tables::Local(snapshot) => {
            let Some(table) = file(snapshot, name, label)? else { return Ok(None) };
            let column = |column: &StoredColumn| Column {
                name: Name::quoted(column.name.as_str()),
                sql_type: column.sql_type(),
                nullable: column.nullable,
            };
            let rows = table.provider(zone).map_err(unreadable)?;
            Ok(Some(Side { columns: table.columns().iter().map(column).collect(), rows }))
        }
        Tables::Snowflake(backend, states) => {
            let table = match run {
                None => Some(name),
                Some(run) => state_of(states, name, run)?.kept.as_ref(),
            };
            let Some(table) = table else { return Ok(None) };
            let fetched = backend.table(table).await.map_err(failed)?;
            Ok(fetched.map(|(columns, rows)| Side { columns, rows }))
        }
    }
}
