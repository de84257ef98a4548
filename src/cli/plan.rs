//! `pipe plan`: what a run would do, in order, and why; with `--diff`, what changed in the SQL since the last run.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::loaded::{Loaded, Meaning};
use super::site::Site;
use super::{Globals, Outcome, print};
use crate::check::changed_lines;
use crate::diagnostic::has_errors;
use crate::ledger::Ledger;
use crate::plan::Plan;
use crate::plan::decide::{Choice, Choices, Reason, decide};
use crate::plan::interval::Interval;
use crate::report::{Style, reporter};
use crate::settings::Flags;

/// Arguments of `pipe plan`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pipe plan this_week
  pipe plan this_week --diff
  pipe plan this_week --select changed+ --format json")]
pub(super) struct PlanArgs {
    /// Jobs, by file or name; all where none is named
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,
    #[command(flatten)]
    meaning: Meaning,
    /// Only these steps, as in `pipe run`
    #[arg(short, long, value_name = "STEPS")]
    select: Option<String>,
    /// As if every step had to run
    #[arg(long)]
    full_refresh: bool,
    /// Show what changed in the SQL of each step since it last ran
    #[arg(long)]
    diff: bool,
    /// How the plan is told
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// How a plan is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// One object with `steps`.
    Json,
}

impl PlanArgs {
    pub(super) fn run(self, globals: &Globals) -> Result<Outcome, Outcome> {
        let loaded = Loaded::read(globals, &self.meaning, Flags::default())?;
        let wanted = loaded.wanted(&self.jobs)?;
        let (resolved, problems) = loaded.resolve(&wanted);
        if has_errors(&problems) {
            return Err(loaded.bind(resolved, problems).err().unwrap_or(Outcome::Failed));
        }
        let tables = Site::open(&loaded, "plan")?;
        let ledger = tables.ledger(&loaded)?;
        let state = super::run::state(&loaded, &resolved.plan, resolved.volatile(), &tables, &ledger)?;
        let select = self.select.as_deref();
        let asked = super::run::asked(&resolved.plan, &wanted, select, self.full_refresh, &state)?;
        let choices = decide(&resolved.plan, &asked, &state);
        let (plan, warnings) = loaded.bind(resolved, problems)?;
        let style = Style::Text { quiet: globals.quiet, verbose: 0, color: globals.color.on_stderr() };
        reporter(style).diagnostics(&warnings);
        let outdated = super::run::growth::outdated(&plan, &choices, &tables)?;
        if !choices.problems.is_empty() {
            return Err(Outcome::Wrong(choices.problems));
        }
        let differences = if self.diff { differences(&plan, &choices, &ledger)? } else { Vec::new() };
        match self.format {
            Format::Text => {
                let mut shown = text(&loaded, &plan, &choices);
                for (step, run, lines) in &differences {
                    shown.push_str(&format!("\n--- {step} in run {run}\n+++ {step} now\n{}", lines.join("\n")));
                    shown.push('\n');
                }
                print(&shown)?;
            }
            Format::Json => print(&format!("{}\n", value(&loaded, &plan, &choices, &differences)))?,
        }
        // What would keep the run from starting is told as the run would tell it.
        if outdated.is_empty() { Ok(Outcome::Done) } else { Err(Outcome::Wrong(outdated)) }
    }
}

/// A step, the run that it is compared with, and the lines that differ.
type Difference = (String, String, Vec<String>);

fn differences(plan: &Plan, choices: &Choices, ledger: &Ledger) -> Result<Vec<Difference>, Outcome> {
    let mut found = Vec::new();
    for at in plan.step_order() {
        if matches!(choices.choices[at], Choice::Leave | Choice::Unchanged) {
            continue;
        }
        let step = &plan.steps[at];
        let Some((sql, run)) = ledger.last_sql(&step.id).map_err(super::run::broken)? else { continue };
        if sql != step.sql() {
            found.push((step.id.to_string(), run, changed_lines(&sql, step.sql())));
        }
    }
    Ok(found)
}

fn told(choice: &Choice) -> Option<(&'static str, String)> {
    match choice {
        Choice::Run(reason) => Some(("run", reason.to_string())),
        Choice::Unchanged => Some(("skip", "unchanged".to_owned())),
        Choice::Unneeded | Choice::Leave => None,
    }
}

/// The choices in the order of work, one line a step; on a warehouse, which steps it does not compute itself.
pub(super) fn text(loaded: &Loaded, plan: &Plan, choices: &Choices) -> String {
    let order = plan.step_order();
    let shown = order.iter().filter_map(|at| {
        let (step, (does, mut why)) = (&plan.steps[*at], told(&choices.choices[*at])?);
        if does == "run" && loaded.local().is_err() && step.is_local() {
            why.push_str("; computed on this machine");
        }
        Some((step.id.to_string(), (does, why)))
    });
    let rows: Vec<_> = shown.collect();
    let width = rows.iter().map(|(step, _)| step.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for (step, (does, why)) in &rows {
        text.push_str(&format!("{does:<4}  {step:<width$}  {why}\n"));
    }
    for (at, gaps) in choices.gaps.iter().filter(|(_, gaps)| !gaps.is_empty()) {
        let step = &plan.steps[*at].id;
        let gaps: Vec<String> = gaps.iter().map(ToString::to_string).collect();
        text.push_str(&format!(
            "gap   {step:<width$}  {}; --missing fills it\n",
            gaps.join(", "),
            step = step.to_string()
        ));
    }
    let runs = rows.iter().filter(|(_, (does, _))| *does == "run").count();
    text.push_str(&match (runs, rows.len() - runs) {
        (0, unchanged) => format!("nothing to do: {unchanged} unchanged\n"),
        (runs, unchanged) => format!("{runs} to run, {unchanged} unchanged\n"),
    });
    text
}

fn intervals(intervals: &[Interval]) -> Vec<serde_json::Value> {
    let value = |interval: &Interval| json!({"start": interval.start.to_string(), "end": interval.end.to_string()});
    intervals.iter().map(value).collect()
}

/// The same as one object.
pub(super) fn value(loaded: &Loaded, plan: &Plan, choices: &Choices, differences: &[Difference]) -> serde_json::Value {
    let order = plan.step_order();
    let steps = order.iter().filter_map(|at| {
        let (does, why) = told(&choices.choices[*at])?;
        let step = &plan.steps[*at];
        let columns: Vec<_> = step
            .columns
            .iter()
            .map(|column| json!({"name": column.name.as_str(), "type": column.sql_type.to_string()}))
            .collect();
        let inputs = match &choices.choices[*at] {
            Choice::Run(Reason::ChangedInputs(names)) => names.clone(),
            _ => Vec::new(),
        };
        let difference = differences.iter().find(|(id, ..)| *id == step.id.to_string());
        Some(json!({
            "step": step.id.to_string(),
            "action": does,
            "reason": why,
            "changed_inputs": inputs,
            "on": if loaded.local().is_ok() || step.is_local() { "this machine" } else { "warehouse" },
            "publish": step.publish.as_ref().map(crate::name::TableName::lower),
            "columns": columns,
            "intervals": choices.batches.get(at).map(|batches| intervals(batches)),
            "gaps": choices.gaps.get(at).map(|gaps| intervals(gaps)),
            "diff": difference.map(|(_, run, lines)| json!({"run": run, "lines": lines})),
        }))
    });
    json!({ "steps": steps.collect::<Vec<_>>() })
}
