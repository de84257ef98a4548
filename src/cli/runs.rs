//! `pipe runs`: the history of runs, or one of them whole.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::loaded::{Loaded, Meaning};
use super::site::Site;
use super::{Globals, Outcome, print};
use crate::diagnostic::Diagnostic;
use crate::ledger::{Ledger, RunRecord, RunSummary, Status, StepRecord, TryRecord};
use crate::plan::{StepId, Verdict};
use crate::report;
use crate::settings::{BackendSettings, Flags};

/// Arguments of `pipe runs`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pipe runs
  pipe runs last
  pipe runs 20261124-0400 --format json")]
pub(super) struct Runs {
    /// One run, by its name or the beginning of it, or `last`
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// How many runs are listed
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
    limit: usize,
    /// Show the SQL of every step, with one run
    #[arg(long)]
    sql: bool,
    /// How runs are told
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// How runs are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// One object.
    Json,
}

impl Runs {
    pub(super) fn run(self, globals: &Globals) -> Result<Outcome, Outcome> {
        let loaded = Loaded::read(globals, &Meaning::default(), Flags::default())?;
        let elsewhere = !matches!(loaded.settings.target.backend, BackendSettings::DataFusion(_));
        let found = match elsewhere {
            true => Some(Site::open(&loaded, "runs")?.ledger(&loaded)?),
            false => Ledger::open_existing(&loaded.home().join("ledger.db")).map_err(super::run::broken)?,
        };
        let Some(ledger) = found else {
            return if self.run.is_some() { Err(unknown(self.run.as_deref())) } else { self.list(&[]) };
        };
        let runs = ledger.runs(if self.run.is_some() { 1 } else { self.limit }).map_err(super::run::broken)?;
        let Some(named) = &self.run else { return self.list(&runs) };
        let found = match (named.as_str(), runs.into_iter().next()) {
            ("last", last) => last.map(|last| last.record),
            _ => ledger.run(named).map_err(super::run::broken)?,
        };
        let run = found.ok_or_else(|| unknown(Some(named)))?;
        let mut steps = ledger.steps_of(&run.id).map_err(super::run::broken)?;
        if run.status == Status::Interrupted {
            let open = |step: &&mut StepRecord| matches!(step.status, Status::Running | Status::Pending);
            steps.iter_mut().filter(open).for_each(|step| step.status = Status::Interrupted);
        }
        let tries = ledger.tries_of(&run.id).map_err(super::run::broken)?;
        self.one(&run, &steps, &tries)
    }

    fn list(&self, runs: &[RunSummary]) -> Result<Outcome, Outcome> {
        if self.format == Format::Json {
            print(&format!("{}\n", json!({ "runs": runs })))?;
            return Ok(Outcome::Done);
        }
        let mut rows = vec![["run", "started", "status", "seconds", "target", "steps", "jobs"].map(str::to_owned)];
        for summary in runs {
            let run = &summary.record;
            let (done, failed, skipped) = (summary.succeeded, summary.failed, summary.skipped);
            rows.push([
                run.id.clone(),
                run.started.format("%Y-%m-%d %H:%M:%S").to_string(),
                run.status.to_string(),
                run.finished.map_or_else(String::new, |end| seconds(end - run.started)),
                run.target.clone(),
                format!("{done} done, {failed} failed, {skipped} skipped"),
                run.jobs.join(","),
            ]);
        }
        let text = if runs.is_empty() { "no runs yet\n".to_owned() } else { report::columns(&rows) };
        print(&text)?;
        Ok(Outcome::Done)
    }

    fn one(&self, run: &RunRecord, steps: &[StepRecord], tries: &[(StepId, TryRecord)]) -> Result<Outcome, Outcome> {
        if self.format == Format::Json {
            let steps: Vec<_> = steps
                .iter()
                .map(|step| {
                    let mut value = report::step_value(step);
                    let own = tries.iter().filter(|(id, _)| *id == step.step);
                    value["sql"] = json!(step.sql);
                    value["failed_tries"] = json!(own.map(|(_, tried)| tried).collect::<Vec<_>>());
                    value
                })
                .collect();
            print(&format!("{}\n", json!({"run": run, "steps": steps})))?;
            return Ok(Outcome::Done);
        }
        let mut text = format!("run {} of {}: {}\n", run.id, run.jobs.join(", "), run.status);
        text.push_str(&format!("started {}, clock {}\n\n", run.started.to_rfc3339(), run.clock.to_rfc3339()));
        text.push_str(&report::steps_table(steps));
        for (step, tried) in tries {
            let (attempt, seconds, class) = (tried.attempt, tried.seconds, &tried.class);
            text.push_str(&format!("try {attempt} of {step} failed after {seconds:.1} s ({class}): {}", tried.error));
            text.push_str(&tried.wait.map_or_else(String::new, |wait| format!("; tried again after {wait:.1} s")));
            text.push('\n');
        }
        for step in steps {
            for test in step.tests.iter().filter(|test| test.verdict != Verdict::Pass) {
                let message = test.message.as_deref().unwrap_or_default();
                text.push_str(&format!("{} {}: test `{}`: {message}\n", test.verdict.as_str(), step.step, test.name));
            }
            if let Some(error) = &step.error {
                text.push_str(&format!("{} {}: {error}\n", step.status, step.step));
            }
            if let Some(sql) = step.sql.as_deref().filter(|_| self.sql) {
                text.push_str(&format!("\n-- {}\n{}\n", step.step, sql.trim_end()));
            }
        }
        print(&text)?;
        Ok(Outcome::Done)
    }
}

fn seconds(time: chrono::TimeDelta) -> String {
    format!("{:.1}", time.num_milliseconds() as f64 / 1000.0)
}

fn unknown(named: Option<&str>) -> Outcome {
    let named = named.unwrap_or("last");
    let problem = Diagnostic::error("unknown-run", format!("there is no run `{named}`, or more than one begins so"));
    Outcome::Wrong(vec![problem.hint("`pipe runs` lists them")])
}
