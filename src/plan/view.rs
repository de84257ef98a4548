//! The query of a published view as a text that stands alone: its readers know tables, not the steps of its job.

use std::collections::BTreeSet;

use super::Plan;
use super::step::{Origin, PlannedStep, Work};
use crate::diagnostic::Diagnostic;
use crate::dialect;
use crate::text::SourceFile;

/// The step's SQL with every step that it reads, at any distance, as a common table expression before it: the SQL of an
/// internal step, the table of a published one. Nothing is rewritten, so the text means what its author wrote.
pub fn text(plan: &Plan, at: usize) -> String {
    let mut parts = Vec::new();
    expressions(plan, at, &mut BTreeSet::new(), &mut parts);
    let own = body(&plan.steps[at]);
    if parts.is_empty() { own } else { format!("with {}\nselect * from (\n{own}\n)", parts.join(",\n")) }
}

/// What the step reads of its own job, before what reads it.
fn expressions(plan: &Plan, at: usize, seen: &mut BTreeSet<usize>, parts: &mut Vec<String>) {
    let step = &plan.steps[at];
    for input in step.inputs.iter().filter(|input| input.name.value.schema.is_none()) {
        let Origin::Step(id, published) = &input.origin else { continue };
        let Some(before) = plan.position(id).filter(|before| seen.insert(*before)) else { continue };
        let query = match published {
            Some(table) => format!("select * from {}", table.sql()),
            None => {
                expressions(plan, before, seen, parts);
                body(&plan.steps[before])
            }
        };
        parts.push(format!("{} as (\n{query}\n)", id.step.sql()));
    }
}

/// The step's query without the semicolon that may end it.
fn body(step: &PlannedStep) -> String {
    let source = SourceFile::new("view.sql", step.sql());
    let statement = dialect::parse(&source).ok().and_then(|mut statements| statements.pop());
    statement.map_or_else(|| step.sql().to_owned(), |statement| statement.text().to_owned())
}

/// The views whose text cannot stand alone: they read the rows of a transform or a load that no table holds.
pub(super) fn problems(plan: &Plan) -> Vec<Diagnostic> {
    let views = plan.steps.iter().enumerate().filter(|(_, step)| step.view && step.publish.is_some());
    views.filter_map(|(at, _)| problem(plan, at)).collect()
}

fn problem(plan: &Plan, view: usize) -> Option<Diagnostic> {
    let name = plan.steps[view].id.step.lower();
    if matches!(plan.steps[view].work, Work::Transform(_) | Work::Load(_)) {
        let message = format!("`{name}` cannot be a view, since it is no query");
        let problem = Diagnostic::error("view-of-transform", message).hint("materialize it as a table");
        return Some(plan.steps[view].span.clone().map_or(problem.clone(), |span| problem.at(span)));
    }
    let mut queue = vec![view];
    let mut seen = BTreeSet::from([view]);
    while let Some(at) = queue.pop() {
        for input in &plan.steps[at].inputs {
            let Origin::Step(id, None) = &input.origin else { continue };
            let Some(before) = plan.position(id).filter(|before| seen.insert(*before)) else { continue };
            if matches!(plan.steps[before].work, Work::Transform(_) | Work::Load(_)) {
                let step = id.step.lower();
                let message = format!("the view `{name}` reads `{step}`, which is no query and is kept nowhere");
                let hint = format!("publish `{step}`, or materialize `{name}` as a table");
                return Some(Diagnostic::error("view-of-transform", message).at(input.name.span.clone()).hint(hint));
            }
            queue.push(before);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{Name, TableName};
    use crate::plan::{Input, StepId};
    use crate::text::Spanned;

    fn step(name: &str, reads: &[(&str, Option<&str>)], sql: &str) -> PlannedStep {
        let mut step = PlannedStep::new(StepId::new("shop", name), Work::Broken);
        let place = SourceFile::new("a.sql", "x").span(0..1);
        let input = |(read, table): &(&str, Option<&str>)| Input {
            name: Spanned::new(TableName::bare(Name::unquoted(read)), place.clone()),
            origin: Origin::Step(StepId::new("shop", read), table.and_then(TableName::parse)),
        };
        step.inputs = reads.iter().map(input).collect();
        step.text = sql.to_owned();
        step
    }

    #[test]
    fn internal_steps_come_first_and_published_ones_by_their_tables() {
        let steps = vec![
            step("base", &[], "select 1 as a -- one\n;"),
            step("kept", &[], "select 2 as a"),
            step("both", &[("base", None), ("kept", Some("out.kept"))], "select * from base join kept using (a)"),
            step("seen", &[("both", None), ("base", None)], "select both.a from both, base"),
        ];
        let plan = Plan::new(steps, &[]);
        assert_eq!(text(&plan, 0), "select 1 as a");
        let expected = "with BASE as (\nselect 1 as a\n),\nKEPT as (\nselect * from OUT.KEPT\n),\n\
                        BOTH as (\nselect * from base join kept using (a)\n)\n\
                        select * from (\nselect both.a from both, base\n)";
        assert_eq!(text(&plan, 3), expected);
    }
}
