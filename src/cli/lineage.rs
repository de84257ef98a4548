//! `pipe lineage`: which columns each column is computed from.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::loaded::{Loaded, Meaning};
use super::{Globals, Outcome, print};
use crate::diagnostic::Diagnostic;
use crate::name::{Name, nearest};
use crate::plan::Plan;
use crate::plan::lineage::{ColumnRef, lineage, upstream};
use crate::settings::Flags;

/// Arguments of `pipe lineage`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pipe lineage this_week
  pipe lineage this_week recommendations.score
  pipe lineage this_week recommendations --format json")]
pub(super) struct Lineage {
    /// The job, by file or name
    #[arg(value_name = "JOB")]
    job: String,
    /// One step, or one column of it; all of the job where none is named
    #[arg(value_name = "STEP[.COLUMN]")]
    of: Option<String>,
    #[command(flatten)]
    meaning: Meaning,
    /// How lineage is told
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// How lineage is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// One object with `columns`.
    Json,
    /// For Markdown.
    Mermaid,
}

impl Lineage {
    pub(super) fn run(self, globals: &Globals) -> Result<Outcome, Outcome> {
        let loaded = Loaded::read(globals, &self.meaning, Flags::default())?;
        let wanted = loaded.wanted(std::slice::from_ref(&self.job))?;
        let (plan, _) = loaded.bound(&wanted)?;
        let chosen = self.chosen(&loaded, &plan, &wanted)?;
        let text = match self.format {
            Format::Text => text(&plan, &chosen, self.of.as_deref().is_some_and(|of| of.contains('.'))),
            Format::Json => json(&plan, &chosen),
            Format::Mermaid => mermaid(&plan, &chosen),
        };
        print(&text)?;
        Ok(Outcome::Done)
    }

    /// The (step, column) pairs that are asked for.
    fn chosen(&self, loaded: &Loaded, plan: &Plan, wanted: &[Name]) -> Result<Vec<(usize, usize)>, Outcome> {
        let all = |at: usize| (0..plan.steps[at].columns.len()).map(move |column| (at, column));
        let (Some(of), Some(job)) = (&self.of, wanted.first()) else {
            let steps = plan.step_order().into_iter().filter(|at| wanted.contains(&plan.steps[*at].id.job));
            return Ok(steps.flat_map(all).collect());
        };
        let (step, column) = of.split_once('.').map_or((of.as_str(), None), |(step, column)| (step, Some(column)));
        let at = loaded.step(plan, job, step)?;
        let Some(column) = column else { return Ok(all(at).collect()) };
        let columns = &plan.steps[at].columns;
        let place = columns.iter().position(|known| known.name.as_str().eq_ignore_ascii_case(column));
        place.map(|place| vec![(at, place)]).ok_or_else(|| {
            let names: Vec<String> = columns.iter().map(|column| column.name.lower()).collect();
            let problem = Diagnostic::error("unknown-column", format!("step `{step}` has no column `{column}`"));
            Outcome::Wrong(vec![problem.did_you_mean(nearest(&column.to_lowercase(), &names))])
        })
    }
}

fn shown(from: &ColumnRef) -> String {
    format!("{}.{}", from.table, from.column.lower())
}

fn name(plan: &Plan, (at, column): (usize, usize)) -> String {
    format!("{}.{}", plan.steps[at].id, plan.steps[at].columns[column].name.lower())
}

fn text(plan: &Plan, chosen: &[(usize, usize)], deep: bool) -> String {
    let mut text = String::new();
    for &(at, column) in chosen {
        let lineage = lineage(&plan.steps[at]);
        if deep {
            text.push_str(&format!("{}\n", name(plan, (at, column))));
            for (depth, from) in upstream(plan, at, column) {
                text.push_str(&format!("{}{}\n", "  ".repeat(depth), shown(&from)));
            }
            let rows: Vec<String> = lineage.rows.iter().map(shown).collect();
            if !rows.is_empty() {
                text.push_str(&format!("rows chosen by {}\n", rows.join(", ")));
            }
        } else {
            let from: Vec<String> = lineage.columns.get(column).into_iter().flatten().map(shown).collect();
            let from = if from.is_empty() { "nothing it reads".to_owned() } else { from.join(", ") };
            text.push_str(&format!("{} ← {from}\n", name(plan, (at, column))));
        }
    }
    text
}

fn json(plan: &Plan, chosen: &[(usize, usize)]) -> String {
    let value = |from: &ColumnRef| json!({"table": from.table, "column": from.column.as_str()});
    let columns = chosen.iter().map(|&(at, column)| {
        let lineage = lineage(&plan.steps[at]);
        let from: Vec<_> = lineage.columns.get(column).into_iter().flatten().map(value).collect();
        let rows: Vec<_> = lineage.rows.iter().map(value).collect();
        let mut sources: Vec<ColumnRef> = upstream(plan, at, column).into_iter().map(|(_, from)| from).collect();
        sources.retain(|from| from.step.is_none());
        sources.sort();
        sources.dedup();
        json!({
            "step": plan.steps[at].id.to_string(),
            "column": plan.steps[at].columns[column].name.as_str(),
            "type": plan.steps[at].columns[column].sql_type.to_string(),
            "from": from,
            "rows_by": rows,
            "sources": sources.iter().map(value).collect::<Vec<_>>(),
        })
    });
    format!("{}\n", json!({"columns": columns.collect::<Vec<_>>()}))
}

fn mermaid(plan: &Plan, chosen: &[(usize, usize)]) -> String {
    let mut text = "flowchart LR\n".to_owned();
    let mut edges = std::collections::BTreeSet::new();
    for &(at, column) in chosen {
        for from in lineage(&plan.steps[at]).columns.get(column).into_iter().flatten() {
            edges.insert((shown(from), name(plan, (at, column))));
        }
    }
    let names: std::collections::BTreeSet<&String> = edges.iter().flat_map(|(from, to)| [from, to]).collect();
    let places: Vec<&String> = names.into_iter().collect();
    for (at, name) in places.iter().enumerate() {
        text.push_str(&format!("  n{at}[\"{name}\"]\n"));
    }
    for (from, to) in &edges {
        if let (Ok(from), Ok(to)) = (places.binary_search(&from), places.binary_search(&to)) {
            text.push_str(&format!("  n{from} --> n{to}\n"));
        }
    }
    text
}
