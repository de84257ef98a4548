//! `pipe clean`: what retention no longer keeps, and what failed runs left behind, is removed.

use clap::Args;

use super::loaded::{Loaded, Meaning};
use super::{Globals, Outcome, print};
use crate::ledger::Ledger;
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
        let (local, settings) = (loaded.local()?, &loaded.settings);
        let sets = self.sets.map_or(settings.kept_sets, |sets| usize::try_from(sets).unwrap_or(usize::MAX));
        let warehouse = Warehouse::open(&local.warehouse()).map_err(|error| Outcome::Broken(error.to_string()))?;
        let cleaned = warehouse.keeping(sets).clean().map_err(|error| Outcome::Broken(error.to_string()))?;
        let days = chrono::Duration::days(self.days.map_or(settings.kept_days.into(), i64::from));
        let runs = match Ledger::open_existing(&local.ledger()).map_err(super::run::broken)? {
            Some(mut ledger) => ledger.forget_before(crate::run::now() - days).map_err(super::run::broken)?,
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
