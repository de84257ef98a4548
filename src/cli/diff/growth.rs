//! Tables that grow, in a comparison with the job as it is written: what a run would make of each, from the table as it is.

use std::collections::{BTreeMap, BTreeSet};

use crate::cli::Outcome;
use crate::cli::loaded::Loaded;
use crate::cli::run;
use crate::cli::site::Site;
use crate::diagnostic::has_errors;
use crate::name::Name;
use crate::plan::decide::{Ask, Choice, decide};
use crate::plan::{Known, Plan};

/// What a run would do to a table that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// Nothing.
    Stays,
    /// It would add to it.
    Grows,
    /// It asks to build it anew, since the table has rows that the present SQL would not give.
    Anew,
    /// What it would is the warehouse's to compute: the SQL counts as it is.
    Apart,
}

impl Growth {
    /// Whether it is built anew, where it is built from the table as it is or anew.
    pub(super) fn anew(self) -> Option<bool> {
        match self {
            Self::Grows => Some(false),
            Self::Anew => Some(true),
            Self::Stays | Self::Apart => None,
        }
    }

    /// What is compared, for those who read the differences.
    pub(super) fn note(self) -> &'static str {
        match self {
            Self::Stays => "the table grows, and a run would leave it as it is",
            Self::Grows => "the table grows: compared with what the next run would make of it",
            Self::Anew => {
                "the table grows and its SQL has changed: compared with what `--full-refresh` would make of it; \
                 `--forward-only` keeps its rows"
            }
            Self::Apart => "the table grows: compared with what its SQL gives now, without the rows of earlier runs",
        }
    }
}

/// The job bound; where its present form is asked for, with what a run would build of tables that grow.
pub(super) fn bound(loaded: &Loaded, job: &Name, tree: bool) -> Result<(Plan, BTreeMap<usize, Growth>), Outcome> {
    let wanted = std::slice::from_ref(job);
    let (resolved, problems) = loaded.resolve(wanted);
    let grows = |at: &usize| resolved.plan.steps[*at].incremental.is_some();
    let growing: Vec<usize> = (0..resolved.plan.steps.len()).filter(grows).collect();
    if !tree || growing.is_empty() || has_errors(&problems) {
        return loaded.bind(resolved, problems).map(|(plan, _)| (plan, BTreeMap::new()));
    }
    let site = Site::open(loaded, "diff")?;
    if let Site::Snowflake(_) = site {
        let found = growing.into_iter().map(|at| (at, Growth::Apart)).collect();
        return loaded.bind(resolved, problems).map(|(plan, _)| (plan, found));
    }
    let ledger = site.ledger(loaded)?;
    let state = run::state(loaded, &resolved.plan, resolved.volatile(), &site, &ledger)?;
    let ask = run::asked(&resolved.plan, wanted, None, false, &state)?;
    let next = decide(&resolved.plan, &ask, &state);
    let anew = decide(&resolved.plan, &Ask { force: true, ..ask }, &state);
    let mut batches = next.batches;
    let mut found = BTreeMap::new();
    for at in growing {
        let growth = match &next.choices[at] {
            _ if next.outdated.contains_key(&at) => Growth::Anew,
            Choice::Run(_) => Growth::Grows,
            Choice::Unchanged | Choice::Unneeded | Choice::Leave => Growth::Stays,
        };
        if let (Growth::Anew, Some(all)) = (growth, anew.batches.get(&at)) {
            batches.insert(at, all.clone());
        }
        found.insert(at, growth);
    }
    let all: BTreeSet<usize> = (0..resolved.plan.steps.len()).collect();
    let (plan, _) = loaded.bind_steps(resolved, problems, &all, &batches, &Known::new())?;
    Ok((plan, found))
}
