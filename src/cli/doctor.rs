//! `pipe doctor`: whether the project, its target and its sources are in order, and what to do where they are not. It runs
//! no job and changes nothing; on a Snowflake target it logs in.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use super::loaded::{Loaded, Meaning};
use super::{Globals, Outcome, print};
use crate::diagnostic::{Diagnostic, has_errors};
use crate::name::TableName;
use crate::project::Project;
use crate::report::snippet;
use crate::settings::{BackendSettings, Environment, Flags, Local, Settings};

/// What a Snowflake target needs.
mod snowflake;

/// Arguments of `pipe doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pipe doctor
  pipe doctor --target prod --format json

It ends with 0 where everything is in order, else with 1; with 2 where `pipe.yaml` cannot be read.")]
pub(super) struct Doctor {
    /// How the findings are written
    #[arg(long, value_parser = ["text", "json"], default_value = "text", value_name = "FORMAT")]
    format: String,
}

/// One thing that was looked at.
struct Finding {
    what: String,
    state: State,
    found: String,
    advice: Option<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Good,
    Doubtful,
    Bad,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Doubtful => "warn",
            Self::Bad => "fail",
        }
    }
}

impl Finding {
    fn new(what: &str, state: State, found: impl Into<String>) -> Self {
        Self { what: what.to_owned(), state, found: found.into(), advice: None }
    }

    fn advice(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

impl Doctor {
    pub(super) fn run(self, globals: &Globals) -> Result<Outcome, Outcome> {
        let flags =
            Flags { project_dir: globals.project_dir.clone(), target: globals.target.clone(), ..Flags::default() };
        let settings = Settings::load(&flags, &Environment::read())?;
        let (project, problems) = Project::load(&settings.root);
        let mut findings = vec![
            Finding::new("project", State::Good, settings.root.display().to_string()),
            Finding::new("target", State::Good, format!("{} of {}", settings.target.name, settings.targets.join(", "))),
            files(&project, &problems),
        ];
        match &settings.target.backend {
            BackendSettings::DataFusion(local) => {
                findings.push(state(local));
                findings.extend(sources(local, &project));
            }
            BackendSettings::Snowflake(connection) => {
                let loaded = Loaded::read(globals, &Meaning::default(), Flags::default())?;
                findings.extend(snowflake::findings(&loaded, connection)?);
            }
        }
        findings.push(memory(&settings));
        self.show(&findings)?;
        if has_errors(&problems) && self.format == "text" {
            return Err(Outcome::Wrong(problems));
        }
        let bad = findings.iter().any(|finding| finding.state == State::Bad);
        Ok(if bad { Outcome::Failed } else { Outcome::Done })
    }

    fn show(&self, findings: &[Finding]) -> std::io::Result<()> {
        if self.format == "json" {
            let list: Vec<Value> = findings.iter().map(json_of).collect();
            return print(&format!("{:#}\n", json!({ "findings": list })));
        }
        let width = findings.iter().map(|finding| finding.what.chars().count()).max().unwrap_or_default();
        for finding in findings {
            let mut line = format!("{:4}  {:width$}  {}\n", finding.state.word(), finding.what, finding.found);
            if let Some(advice) = &finding.advice {
                line.push_str(&format!("{:6}{:width$}  → {advice}\n", "", ""));
            }
            print(&line)?;
        }
        Ok(())
    }
}

fn json_of(finding: &Finding) -> Value {
    json!({
        "what": finding.what,
        "state": finding.state.word(),
        "found": finding.found,
        "advice": finding.advice,
    })
}

fn files(project: &Project, problems: &[Diagnostic]) -> Finding {
    let steps: usize = project.jobs.values().map(|job| job.steps.len()).sum();
    let counts = format!("{} jobs, {steps} steps, {} source tables", project.jobs.len(), project.contracts.len());
    if has_errors(problems) {
        let summary = snippet::render(problems, false);
        let count = summary.lines().last().unwrap_or_default().to_owned();
        return Finding::new("files", State::Bad, format!("{counts}; {count}"))
            .advice("mend them: `pipe validate` shows each");
    }
    if project.jobs.is_empty() {
        return Finding::new("files", State::Doubtful, counts).advice("add a job with `pipe new JOB`");
    }
    Finding::new("files", State::Good, counts)
}

/// Whether the folder of published tables can be written, without writing it.
fn state(local: &Local) -> Finding {
    let there = local.state.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let shown = local.state.display().to_string();
    match std::fs::metadata(there) {
        Ok(metadata) if !metadata.is_dir() => {
            Finding::new("state", State::Bad, format!("{} is a file", there.display()))
                .advice("move it away, or give the target another `state:`")
        }
        Ok(metadata) if metadata.permissions().readonly() => {
            Finding::new("state", State::Bad, format!("{} cannot be written", there.display()))
                .advice("change its rights, or give the target another `state:`")
        }
        Ok(_) if local.state.exists() => Finding::new("state", State::Good, shown),
        Ok(_) => Finding::new("state", State::Good, format!("{shown} (made by the first run)")),
        Err(error) => Finding::new("state", State::Bad, format!("{shown}: {error}")),
    }
}

fn sources(local: &Local, project: &Project) -> Vec<Finding> {
    let published: Vec<&TableName> = project
        .jobs
        .values()
        .flat_map(|job| job.steps.values().filter_map(|step| step.publish.as_ref().map(|table| &table.value)))
        .collect();
    let mut found = 0;
    let mut missing = Vec::new();
    for name in project.contracts.keys() {
        match local.location(name) {
            Some(location) if location.is_remote() || location.path.contains('*') => found += 1,
            Some(location) if std::fs::File::open(&location.path).is_ok() => found += 1,
            Some(location) => missing.push(
                Finding::new(&name.lower(), State::Bad, format!("{} cannot be read", location.path))
                    .advice("change its rights, or give its place under `tables:` of the target"),
            ),
            None if published.contains(&name) => found += 1,
            None => missing.push(
                Finding::new(&name.lower(), State::Bad, format!("no file at {}", local.expected(name)))
                    .advice("put the file there, or give its place under `tables:` of the target"),
            ),
        }
    }
    let state = if missing.is_empty() { State::Good } else { State::Bad };
    let mut findings =
        vec![Finding::new("sources", state, format!("{found} of {} tables found", project.contracts.len()))];
    findings.append(&mut missing);
    findings
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn memory(settings: &Settings) -> Finding {
    let gigabytes = settings.memory_limit as f64 / 1e9;
    let found = format!("{gigabytes:.1} GB for a run, {} steps at once", settings.jobs);
    if gigabytes < 0.25 {
        return Finding::new("memory", State::Doubtful, found)
            .advice("a run will spill much to disk: raise `memory_limit`");
    }
    Finding::new("memory", State::Good, found)
}
