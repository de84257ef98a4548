//! `pipe why`: one row of a step traced back through every step to its source rows.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDateTime, Utc};
use clap::{Args, ValueEnum};
use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};

use super::loaded::{Loaded, Meaning};
use super::site::Answering;
use super::{Globals, Outcome, print};
use crate::diagnostic::has_errors;
use crate::dialect::session::SessionParameters;
use crate::job::incremental::Intervals;
use crate::name::Name;
use crate::plan::{self, Scope};
use crate::report::why as report;
use crate::settings::{Flags, Moment};
use crate::why::{Trace, Tracer, explaining, wanted};

/// Arguments of `pipe why`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pipe why this_week recommendations --key affinity=Sport --key position=3
  pipe why this_week candidates --key program_id=1234 --rows 20
  pipe why this_week recommendations --key program_id=1234 --format json

Exit codes: 0 done, 1 no such row or a step failed, 2 the input is wrong.")]
pub(super) struct Why {
    /// The job, by file or name
    #[arg(value_name = "JOB")]
    job: String,
    /// The step
    #[arg(value_name = "STEP")]
    step: String,
    /// A column of the step and the value it must have; may be repeated
    #[arg(long = "key", value_name = "COLUMN=VALUE", required = true)]
    keys: Vec<String>,
    #[command(flatten)]
    meaning: Meaning,
    /// Show so many rows of each step and table
    #[arg(long, value_name = "N", default_value_t = 5)]
    rows: usize,
    /// How the trace is told
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// How a trace is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// One object, the inputs inside.
    Json,
}

impl Why {
    pub(super) fn run(self, globals: &Globals) -> Result<Outcome, Outcome> {
        let loaded = Loaded::read(globals, &self.meaning, Flags::default())?;
        let jobs = loaded.wanted(std::slice::from_ref(&self.job))?;
        let Some(job) = jobs.first() else { return Ok(Outcome::Done) };
        let (mut trace, built) = self.traced(&loaded, job)?;
        let loaded = match built.filter(|built| *built != loaded.clock && self.meaning.date.is_none()) {
            Some(built) => loaded.on(built),
            None => loaded,
        };
        if built.is_some() {
            trace = self.traced(&loaded, job)?.0;
        }
        let parameters = SessionParameters::of(loaded.dialect().state().config_options()).clone();
        print(&match self.format {
            Format::Text => report::text(&trace, self.rows, &parameters),
            Format::Json => report::json(&trace, self.rows, &parameters),
        })?;
        Ok(Outcome::Done)
    }

    /// The rows and what they came of; of a table that is built by intervals with the clock by which theirs was the newest.
    fn traced(&self, loaded: &Loaded, job: &Name) -> Result<(Trace, Option<DateTime<Utc>>), Outcome> {
        let mut problems = loaded.problems(std::slice::from_ref(job));
        let explaining = explaining(&loaded.jobs, job);
        let scope = Scope { jobs: &explaining, sources: &loaded.contracts, templates: &loaded.project.templates };
        let (resolved, more) = plan::resolve(&scope, std::slice::from_ref(job));
        problems.extend(more);
        let (plan, more) = plan::bind(resolved, &loaded.dialect(), &loaded.contracts);
        problems.extend(more);
        if has_errors(&problems) {
            return Err(Outcome::Wrong(problems));
        }
        let at = loaded.step(&plan, job, &self.step)?;
        let wanted = wanted(&plan.steps[at], &self.keys)?;
        let (target, _) = Answering::open(loaded, "why")?;
        let trace = super::block_on(Tracer::new(&plan, job, target.backend()).trace(at, wanted))?;
        target.close()?;
        let mut trace = trace.map_err(super::run::failed)?;
        if trace.count() == 0 {
            let message = format!("step `{}` has no row with {}", plan.steps[at].id, self.keys.join(" and "));
            return Err(Outcome::Broken(message));
        }
        let grows = plan.steps[at].incremental.as_ref();
        let Some(intervals) = grows.and_then(|grows| grows.intervals()) else { return Ok((trace, None)) };
        let starts = starts(&trace, intervals);
        if starts.len() > 1 {
            let note = "the rows are of several intervals: what they came of is shown for the newest";
            trace.notes.push(format!("{note}; add --key {}=…", intervals.time.value.lower()));
        }
        let clock = starts.last().map(|start| {
            let newest = if intervals.partial { *start } else { intervals.grain.after(*start, 1) };
            Moment::Local(newest).in_zone(&loaded.settings.timezone)
        });
        Ok((trace, clock))
    }
}

/// The intervals that rows are of, by their starts.
fn starts(trace: &Trace, intervals: &Intervals) -> BTreeSet<NaiveDateTime> {
    let Some(at) = trace.columns.iter().position(|column| column.name == intervals.time.value) else {
        return BTreeSet::new();
    };
    let mut starts = BTreeSet::new();
    for batch in &trace.rows {
        let times = cast(batch.column(at), &DataType::Timestamp(TimeUnit::Microsecond, None));
        let times = times.ok().and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>().cloned());
        let times: Vec<i64> = times.iter().flat_map(|times| times.iter().flatten()).collect();
        let times = times.into_iter().filter_map(DateTime::from_timestamp_micros);
        starts.extend(times.map(|time| intervals.grain.floor(time.naive_utc())));
    }
    starts
}
