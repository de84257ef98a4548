//! Whether the values that a target and the command line give variables fit the jobs that have them.

use std::collections::BTreeSet;

use super::{Loaded, quoted};
use crate::diagnostic::Diagnostic;
use crate::job::Job;
use crate::name::{Name, nearest};

/// Values given on the command line for variables that none of these jobs and not the target has, and values of another
/// type than the job's own.
pub(super) fn problems(loaded: &Loaded, wanted: &[Name]) -> Vec<Diagnostic> {
    let jobs: Vec<&Job> = wanted.iter().filter_map(|job| loaded.project.jobs.get(job)).collect();
    let mut problems = unknown(loaded, &jobs);
    for (name, value) in loaded.settings.variables.iter() {
        let other = jobs.iter().find_map(|job| {
            let usual = job.variables.get(name)?;
            (!value.fits(usual)).then_some((job, usual))
        });
        let Some((job, usual)) = other else { continue };
        let told = if loaded.given.iter().any(|given| given == name) {
            format!("`--var {name}={value}`")
        } else {
            format!("`vars` of the target `{}`, `{name}: {value}`", loaded.settings.target.name)
        };
        let (is, was) = (value.kind(), usual.kind());
        let message = format!("{told}: this is {is}, and job `{}` has {was} there", job.name.value.lower());
        problems.push(Diagnostic::error("wrong-type", message).hint(format!("write it like `{usual}`")));
    }
    problems
}

fn unknown(loaded: &Loaded, jobs: &[&Job]) -> Vec<Diagnostic> {
    let target = loaded.settings.target.variables.names();
    let known: BTreeSet<&str> = jobs.iter().flat_map(|job| job.variables.names()).chain(target).collect();
    let unknown = loaded.given.iter().filter(|name| !known.contains(name.as_str()));
    let problem = |name: &String| {
        let what = if jobs.len() == 1 { "the job has" } else { "no job that is asked for has" };
        let negated = if jobs.len() == 1 { "no" } else { "a" };
        let message = format!("`--var {name}=…`: {what} {negated} variable `{name}`");
        let problem = Diagnostic::error("unknown-variable", message);
        match nearest(name, &known) {
            None if known.is_empty() => problem.hint("variables and their usual values stand under `vars:` of the job"),
            None => problem.hint(format!("the variables are {}", quoted(&known))),
            near => problem.did_you_mean(near),
        }
    };
    unknown.map(problem).collect()
}
