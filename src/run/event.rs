//! What the engine tells while it runs. It prints nothing itself: a reporter shows these.

use std::time::Duration;

use crate::ledger::{RunRecord, StepRecord};
use crate::name::Name;
use crate::plan::StepId;
use crate::run::RunResults;

/// Something happened in a run.
#[derive(Clone, Debug)]
pub enum Event {
    /// The run starts.
    RunStarted {
        /// The run.
        run: RunRecord,
        /// How many steps it will try.
        steps: usize,
    },
    /// A try at a step starts.
    StepStarted {
        /// The step.
        step: StepId,
        /// Which try, counted from 1.
        attempt: u32,
    },
    /// A try failed in a way that may pass.
    StepRetried {
        /// The step.
        step: StepId,
        /// The try that failed.
        attempt: u32,
        /// How long the run waits before the next.
        wait: Duration,
        /// What went wrong.
        error: String,
    },
    /// A step has come to its end, whatever it was.
    StepFinished(Box<StepRecord>),
    /// All tables of a job became visible.
    JobPublished {
        /// The job.
        job: Name,
        /// Its tables.
        tables: Vec<String>,
    },
    /// A job published nothing.
    JobWithheld {
        /// The job.
        job: Name,
        /// Why.
        reason: String,
    },
    /// Ctrl-C: what is running is stopped, nothing more is started.
    Interrupted,
    /// The run is over.
    RunFinished(Box<RunResults>),
}
