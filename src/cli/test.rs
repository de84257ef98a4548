//! `pipe test`: the unit tests of jobs, on the embedded engine whatever the target is.

use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

use clap::{Args, ValueEnum};

use super::loaded::Meaning;
use super::{Globals, Outcome, block_on, loaded, print};
use crate::diagnostic::{Diagnostic, has_errors};
use crate::name::nearest;
use crate::plan::Contracts;
use crate::project::Project;
use crate::report;
use crate::report::snippet;
use crate::settings::{Environment, Flags, Settings};
use crate::unit::prepare::{World, prepare};
use crate::unit::{Suite, UnitTest, read, run, update};

/// Tests made from real rows.
mod record;

/// Arguments of `pipe test`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pipe test
  pipe test this_week --select 'bookmark*'
  pipe test --format junit > report.xml
  pipe test this_week --update        write what comes out into the tests that fail
  pipe test --record this_week celebrity_points --key program_id=1003
                                      make a test of a row of the target, users replaced

Tests stand in tests/jobs/*.yaml. They run in memory on the rows that they give, and read no target.

Exit codes: 0 all tests pass, 1 one fails, 2 a test or a job is wrong.")]
pub(super) struct Test {
    /// The tests of these jobs, by file or name, or the tests of these files; all where none is named
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,
    /// Only tests with this in their name; `*` stands for any text. May be repeated
    #[arg(long, value_name = "NAME")]
    select: Vec<String>,
    /// How outcomes are told
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
    /// Write the rows that come out in the place of those expected, then run again
    #[arg(long)]
    update: bool,
    /// Make a test of one row of a step: JOB is then a job and a step
    #[arg(long, requires = "key", conflicts_with_all = ["update", "select"])]
    record: bool,
    /// The column and value by which the recorded row is known; may be repeated
    #[arg(long, value_name = "COLUMN=VALUE", requires = "record")]
    key: Vec<String>,
    #[command(flatten)]
    meaning: Meaning,
}

/// How outcomes are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// One object with `tests`.
    Json,
    /// JUnit XML.
    Junit,
}

impl Test {
    pub(super) fn run(self, globals: &Globals) -> Result<Outcome, Outcome> {
        if self.record {
            return record::record(&self.jobs, &self.key, &self.meaning, globals);
        }
        let flags = Flags {
            project_dir: globals.project_dir.clone(),
            target: globals.target.clone(),
            date: self.meaning.date,
            variables: self.meaning.variables.clone(),
            ..Flags::default()
        };
        let settings = Settings::load(&flags, &Environment::read())?;
        let project = Tested::load(&settings);
        if self.update && self.updated(&project, &settings, globals)? {
            return self.tested(&Tested::load(&settings), &settings, globals);
        }
        self.tested(&project, &settings, globals)
    }

    fn tested(&self, project: &Tested, settings: &Settings, globals: &Globals) -> Result<Outcome, Outcome> {
        let started = Instant::now();
        self.with_outcomes(project, settings, globals, |outcomes| {
            let seconds = started.elapsed().as_secs_f64();
            let text = match self.format {
                Format::Text => report::unit::text(outcomes, seconds, globals.verbose > 0, globals.quiet),
                Format::Json => report::unit::json(outcomes, seconds),
                Format::Junit => report::unit::junit(outcomes, seconds),
            };
            print(&text)?;
            let failed = outcomes.iter().any(|outcome| !outcome.failures.is_empty());
            Ok(if failed { Outcome::Failed } else { Outcome::Done })
        })
    }

    /// Writes expectations anew; whether any file changed.
    fn updated(&self, project: &Tested, settings: &Settings, globals: &Globals) -> Result<bool, Outcome> {
        self.with_outcomes(project, settings, globals, |outcomes| {
            let (files, problems) = update::updated(outcomes);
            for file in &files {
                super::init::write(&settings.root.join(&file.path), &file.text)?;
                let rows = if file.changed == 1 { "expectation" } else { "expectations" };
                tell(globals, &format!("{}: {} {rows} written anew\n", file.path.display(), file.changed))?;
            }
            if !problems.is_empty() {
                tell(globals, &snippet::render(&problems, globals.color.on_stderr()))?;
            }
            Ok(!files.is_empty())
        })
    }

    /// Prepares and runs the tests that are asked for.
    fn with_outcomes<T>(
        &self,
        project: &Tested,
        settings: &Settings,
        globals: &Globals,
        then: impl FnOnce(&[run::Outcome<'_>]) -> Result<T, Outcome>,
    ) -> Result<T, Outcome> {
        let suites = self.suites(project)?;
        let wanted = |_: &Suite, test: &UnitTest| self.selects(test);
        let world = World {
            project: &project.project,
            contracts: &project.contracts,
            settings,
            clock: settings.date.unwrap_or_else(crate::run::now),
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(settings.jobs).stack_size(16 << 20).build();
        let pool = pool.map_err(|error| Outcome::Broken(error.to_string()))?;
        let (tests, more) = pool.install(|| prepare(world, &suites, &wanted));
        let mut problems = project.problems_of(&suites);
        problems.extend(more);
        if has_errors(&problems) {
            return Err(Outcome::Wrong(problems));
        }
        if !problems.is_empty() {
            tell(globals, &snippet::render(&problems, globals.color.on_stderr()))?;
        }
        let outcomes = block_on(async {
            let handle = tokio::runtime::Handle::current();
            // The pool's threads poll; the runtime's own only carry what plans spawn.
            tokio::task::block_in_place(|| pool.install(|| run::run(&tests, &handle)))
        })?;
        then(&outcomes)
    }

    /// The files of tests that are asked for.
    fn suites(&self, project: &Tested) -> Result<Vec<Suite>, Outcome> {
        let mut unknown = Vec::new();
        let mut files: HashSet<&Path> = HashSet::new();
        for named in &self.jobs {
            let of_file =
                project.suites.iter().filter(|suite| is_path_of(named, suite.file.path(), &project.project.root));
            let found: Vec<&Suite> = match project.project.job(named) {
                Ok(job) => project.suites.iter().filter(|suite| suite.job.value == job.name.value).collect(),
                Err(problem) => {
                    let found: Vec<&Suite> = of_file.collect();
                    if found.is_empty() {
                        unknown.push(problem);
                    }
                    found
                }
            };
            files.extend(found.iter().map(|suite| suite.file.path()));
        }
        if !unknown.is_empty() {
            unknown.extend(project.problems.iter().filter(|p| loaded::in_named_file(p, &self.jobs)).cloned());
            return Err(Outcome::Wrong(unknown));
        }
        let all = self.jobs.is_empty();
        let suites: Vec<Suite> =
            project.suites.iter().filter(|suite| all || files.contains(suite.file.path())).cloned().collect();
        let tests = suites.iter().flat_map(|suite| &suite.tests);
        if !self.select.is_empty() && !tests.clone().any(|test| self.selects(test)) {
            let message = format!("no test is called `{}`", self.select.join("` or `"));
            let names: Vec<&str> = tests.map(|test| test.name.value.as_str()).collect();
            let problem = Diagnostic::error("unknown-test", message);
            let near = self.select.first().and_then(|select| nearest(select, names));
            return Err(Outcome::Wrong(vec![problem.did_you_mean(near)]));
        }
        Ok(suites)
    }

    fn selects(&self, test: &UnitTest) -> bool {
        let name = test.name.value.to_lowercase();
        self.select.is_empty() || self.select.iter().any(|select| contains(&name, &select.to_lowercase()))
    }
}

/// Whether the parts of a pattern, divided by `*`, stand in a text one after another.
fn contains(text: &str, pattern: &str) -> bool {
    let mut rest = text;
    pattern.split('*').all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

fn is_path_of(named: &str, path: &Path, root: &Path) -> bool {
    let absolute = std::path::absolute(named).ok();
    let inside = absolute.as_deref().and_then(|path| path.strip_prefix(root).ok());
    inside == Some(path) || Path::new(named) == path
}

fn tell(globals: &Globals, text: &str) -> std::io::Result<()> {
    if globals.quiet {
        return Ok(());
    }
    std::io::Write::write_all(&mut std::io::stderr().lock(), text.as_bytes())
}

/// A project with its unit tests.
struct Tested {
    project: Project,
    contracts: Contracts,
    suites: Vec<Suite>,
    problems: Vec<Diagnostic>,
}

impl Tested {
    fn load(settings: &Settings) -> Self {
        let (project, mut problems) = Project::load(&settings.root);
        let mut suites = Vec::new();
        for file in project.files.under("tests/jobs/") {
            let (suite, more) = read::parse(file, &settings.root);
            suites.extend(suite);
            problems.extend(more);
        }
        Self { contracts: loaded::contracts(&project), project, suites, problems }
    }

    /// What is wrong with these suites, their jobs, and what all share; other jobs' files are theirs to mend.
    fn problems_of(&self, suites: &[Suite]) -> Vec<Diagnostic> {
        let jobs: HashSet<&str> = suites.iter().map(|suite| suite.job.value.as_str()).collect();
        let concerns = |problem: &&Diagnostic| {
            let Some(path) = problem.span.as_ref().map(|span| span.file.path()) else { return true };
            if path.starts_with("pipelines") {
                let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_uppercase();
                return jobs.contains(stem.as_str());
            }
            let other = self.suites.iter().filter(|suite| !suites.iter().any(|s| s.file.path() == suite.file.path()));
            !other.map(|suite| suite.file.path()).any(|other| other == path)
        };
        self.problems.iter().filter(concerns).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::contains;

    #[test]
    fn a_pattern_names_tests_by_a_part_of_their_name() {
        for (pattern, found) in [("boundary", true), ("age*14", true), ("14*age", false), ("*", true), ("agee", false)]
        {
            assert_eq!(contains("boundary: age of 14 days", pattern), found, "{pattern}");
        }
    }
}
