//! `pipe plan`: what would run, in order, and why.

use crate::plan::Plan;
use crate::plan::decide::{Choice, Choices};

/// The choices in the order of work, one line a step.
pub(super) fn text(plan: &Plan, choices: &Choices) -> String {
    let order = plan.step_order();
    let shown = order.iter().filter(|at| matches!(choices.choices[**at], Choice::Run(_) | Choice::Unchanged));
    let rows: Vec<[String; 3]> = shown
        .map(|at| {
            let step = &plan.steps[*at];
            let (does, why) = match &choices.choices[*at] {
                Choice::Run(reason) => ("run", reason.to_string()),
                _ => ("skip", "unchanged".to_owned()),
            };
            [does.to_owned(), step.id.to_string(), why]
        })
        .collect();
    let width = rows.iter().map(|row| row[1].chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for [does, step, why] in &rows {
        text.push_str(&format!("{does:<4}  {step:<width$}  {why}\n"));
    }
    let runs = rows.iter().filter(|row| row[0] == "run").count();
    text.push_str(&match (runs, rows.len() - runs) {
        (0, unchanged) => format!("nothing to do: {unchanged} unchanged\n"),
        (runs, unchanged) => format!("{runs} to run, {unchanged} unchanged\n"),
    });
    text
}
