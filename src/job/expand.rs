//! `for_each` and `when`: from the steps an author wrote to the steps that a run has.

use indexmap::IndexMap;

use crate::diagnostic::Diagnostic;
use crate::job::{Items, Job, Step};
use crate::name::{Name, TableName, nearest};
use crate::template::{Templates, Variable, Variables};
use crate::text::Spanned;

/// The most steps that one `for_each` may make.
const MOST_ITEMS: usize = 10_000;

pub(super) fn expand(
    job: &Job,
    templates: &Templates,
    overrides: &Variables,
    facts: &Variables,
) -> (Job, Vec<Diagnostic>) {
    let mut expanded = job.clone();
    let mut problems = Vec::new();
    for (name, value) in overrides.iter() {
        let value = value.clone().like(job.variables.get(name));
        expanded.variables.insert(name, value);
    }
    expanded.variables.extend(facts);
    expanded.steps = IndexMap::with_capacity(job.steps.len());
    let mut items: IndexMap<Name, Vec<Name>> = IndexMap::new();
    for step in job.steps.values() {
        for one in each(step, &expanded.variables, templates, &mut problems) {
            if let Some(origin) = &one.template_of {
                items.entry(origin.clone()).or_default().push(one.name.value.clone());
            }
            if let Some(other) = expanded.steps.get(&one.name.value) {
                let message = format!("`for_each` makes a second step called `{}`", one.name.value.lower());
                let diagnostic = Diagnostic::error("duplicate-step", message).at(one.name.span.clone());
                problems.push(diagnostic.related(other.name.span.clone(), "the other one comes from here"));
                continue;
            }
            expanded.steps.insert(one.name.value.clone(), one);
        }
    }
    need_all_items(&mut expanded, &items);
    check_needs(&expanded, &mut problems);
    (expanded, problems)
}

/// The steps that one written step stands for.
fn each(step: &Step, variables: &Variables, templates: &Templates, problems: &mut Vec<Diagnostic>) -> Vec<Step> {
    let mut combinations = vec![Vec::new()];
    for (name, items) in &step.for_each {
        let list = match list(items, variables, templates) {
            Ok(list) => list,
            Err(more) => {
                problems.extend(more);
                return Vec::new();
            }
        };
        if list.is_empty() || list.len().saturating_mul(combinations.len()) > MOST_ITEMS {
            let message = match list.len() {
                0 => "this list is empty, so there would be no step".to_owned(),
                _ => format!("this makes more than {MOST_ITEMS} steps"),
            };
            problems.push(Diagnostic::error("wrong-value", message).at(items.span.clone()));
            return Vec::new();
        }
        let with = |item: &Variable, before: &Vec<(String, Variable)>| {
            let mut combination = before.clone();
            combination.push((name.clone(), item.clone()));
            combination
        };
        combinations = combinations.iter().flat_map(|before| list.iter().map(move |item| with(item, before))).collect();
    }
    combinations.into_iter().map(|combination| one(step, &combination, variables, templates, problems)).collect()
}

fn list(
    items: &Spanned<Items>,
    variables: &Variables,
    templates: &Templates,
) -> Result<Vec<Variable>, Vec<Diagnostic>> {
    match &items.value {
        Items::List(list) => Ok(list.clone()),
        Items::Expression(text) => templates.items(&Spanned::new(text.clone(), items.span.clone()), variables),
    }
}

fn one(
    step: &Step,
    combination: &[(String, Variable)],
    variables: &Variables,
    templates: &Templates,
    problems: &mut Vec<Diagnostic>,
) -> Step {
    let mut one = step.clone();
    for (name, value) in combination {
        one.variables.insert(name, value.clone());
    }
    if !combination.is_empty() {
        let words = combination.iter().map(|(_, value)| value.word()).collect::<Vec<_>>().join("_");
        one.name.value = Name::unquoted(&format!("{}_{words}", step.name.value.as_str()));
        one.template_of = Some(step.name.value.clone());
        one.for_each.clear();
    }
    let mut all = variables.clone();
    all.extend(&one.variables);
    if let Some(when) = &step.when {
        match templates.condition(when, &all) {
            Ok(holds) => one.included = holds,
            Err(more) => problems.extend(more),
        }
    }
    if let Some(written) = &step.publish_template {
        match templates.fill(written, &all).map(|text| (TableName::parse(&text), text)) {
            Ok((Some(name), _)) if name.schema.is_some() && name.database.is_none() => {
                one.publish = Some(Spanned::new(name, written.span.clone()))
            }
            Ok((_, text)) => {
                let message = format!("`{text}` is not a table name with its schema");
                problems.push(Diagnostic::error("wrong-value", message).at(written.span.clone()));
            }
            Err(more) => problems.extend(more),
        }
    }
    one
}

/// `needs: [top]` means every step that `for_each` made of `top`.
fn need_all_items(job: &mut Job, items: &IndexMap<Name, Vec<Name>>) {
    for step in job.steps.values_mut() {
        let needs = std::mem::take(&mut step.needs);
        for need in needs {
            match items.get(&need.value) {
                Some(names) => {
                    step.needs.extend(names.iter().map(|name| Spanned::new(name.clone(), need.span.clone())))
                }
                None => step.needs.push(need),
            }
        }
    }
}

fn check_needs(job: &Job, problems: &mut Vec<Diagnostic>) {
    for step in job.steps.values() {
        for need in step.needs.iter().filter(|need| !job.steps.contains_key(&need.value)) {
            let name = need.value.lower();
            let names: Vec<_> = job.steps.keys().map(Name::lower).collect();
            let message = format!("there is no step `{name}` in the job `{}`", job.name.value.lower());
            let diagnostic = Diagnostic::error("unknown-step", message).at(need.span.clone());
            problems.push(diagnostic.did_you_mean(nearest(&name, &names)));
        }
    }
}
