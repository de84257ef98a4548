//! `pipe clean`: what retention no longer keeps, and what failed runs left behind, is removed.

use chrono::{DateTime, Utc};
use clap::Args;

use super::loaded::{Loaded, Meaning};
use super::run::{broken, failed};
use super::site::Site;
use super::{Globals, Outcome, block_on, print};
use crate::ledger::Ledger;
use crate::run::run_id;
use crate::settings::Flags;
use crate::warehouse::Warehouse;

/// Arguments of `pipe clean`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pipe clean
  pipe clean --sets 1

Published tables stay. Earlier states of them and the history of runs go as `retention` in `pipe.yaml` says, and so do the
results that failed runs left to be resumed.")]
pub(super) struct Clean {
    /// How many states of the tables are kept, the current one included
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    sets: Option<u32>,
    /// For how many days runs are remembered
    #[arg(long, value_name = "N")]
    days: Option<u32>,
}

impl Clean {
    pub(super) fn run(self, globals: &Globals) -> Result<Outcome, Outcome> {
        let loaded = Loaded::read(globals, &Meaning::default(), Flags::default())?;
        let settings = &loaded.settings;
        let sets = self.sets.map_or(settings.kept_sets, |sets| usize::try_from(sets).unwrap_or(usize::MAX));
        let days = chrono::Duration::days(self.days.map_or(settings.kept_days.into(), i64::from));
        let Ok(local) = loaded.local() else { return on_server(&loaded, sets, crate::run::now() - days) };
        let warehouse = Warehouse::open(&local.warehouse()).map_err(|error| Outcome::Broken(error.to_string()))?;
        let cleaned = warehouse.keeping(sets).clean().map_err(|error| Outcome::Broken(error.to_string()))?;
        let runs = match Ledger::open_existing(&local.ledger()).map_err(broken)? {
            Some(mut ledger) => ledger.forget_before(crate::run::now() - days).map_err(broken)?,
            None => 0,
        };
        let megabytes = cleaned.bytes as f64 / 1e6;
        print(&format!(
            "removed {} earlier states of tables, unpublished results of {} runs and {runs} runs from the history; {megabytes:.1} MB are free again\n",
            cleaned.sets, cleaned.unpublished
        ))?;
        Ok(Outcome::Done)
    }
}

/// The same on Snowflake: earlier states are tables there, and other machines read the history.
fn on_server(loaded: &Loaded, sets: usize, before: DateTime<Utc>) -> Result<Outcome, Outcome> {
    let site = Site::open(loaded, "clean")?;
    let mut ledger = site.ledger(loaded)?;
    let Site::Snowflake(remote) = &site else { return Ok(Outcome::Done) };
    let (states, unpublished) = remote.clean(sets, &ledger)?;
    let runs = ledger.forget_before(before).map_err(broken)?;
    let first = run_id(before, 0);
    let kept = ledger.runs(usize::MAX).map_err(broken)?.into_iter().map(|run| run.record.id);
    let kept: Vec<String> = kept.filter(|run| *run < first).collect();
    block_on(remote.backend.forget(before, &first, &kept))?.map_err(failed)?;
    print(&format!(
        "removed {states} earlier states of tables, unpublished results of {unpublished} runs and {runs} runs from the history\n"
    ))?;
    Ok(Outcome::Done)
}
