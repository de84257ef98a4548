//! The author's files: found, read once, and parsed. What they mean together is `plan`'s; the only thing said here of
//! several files at once is that no two claim the same name.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use crate::diagnostic::Diagnostic;
use crate::job::{self, Job, Step};
use crate::name::{Name, TableName, nearest};
use crate::source::{self, Contracts};
use crate::template::{Templates, Variables};
use crate::text::files::Files;
use crate::text::{SourceFile, Span};

/// Files from disk to text.
pub mod read;

/// The file that makes a folder a project.
pub const SETTINGS_FILE: &str = "pipe.yaml";

/// A project, read.
#[derive(Debug)]
pub struct Project {
    /// Its folder.
    pub root: PathBuf,
    /// Its texts by path.
    pub files: Arc<Files>,
    /// Its jobs, in the order of their files.
    pub jobs: IndexMap<Name, Job>,
    /// The contracts of its sources.
    pub contracts: Contracts,
    /// What its templates share.
    pub templates: Templates,
}

/// The nearest folder at or above `from` that is a project.
pub fn find(from: &Path) -> Option<PathBuf> {
    let from = std::path::absolute(from).ok()?;
    from.ancestors().find(|folder| folder.join(SETTINGS_FILE).is_file()).map(Path::to_path_buf)
}

/// A path without `.` and `..`, which not everything that reads files takes. Where a link leads is not looked at.
pub fn straight(path: &Path) -> PathBuf {
    let folder = path.to_string_lossy().ends_with('/');
    let mut straight = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(straight.pop()),
            other => straight.push(other),
        }
    }
    if folder { straight.join("") } else { straight }
}

impl Project {
    /// Reads all files of a project. What can be read is there, and everything that is wrong is told.
    pub fn load(root: &Path) -> (Self, Vec<Diagnostic>) {
        let (files, mut problems) = read::files(root);
        let files = Arc::new(files);
        let (templates, more) = Templates::new(Arc::clone(&files));
        problems.extend(more);
        let mut project = Self {
            root: root.to_path_buf(),
            files: Arc::clone(&files),
            jobs: IndexMap::new(),
            contracts: Contracts::new(),
            templates,
        };
        for file in files.under("schemas/").filter(|file| is_yaml(file)) {
            project.add_contracts(file, &mut problems);
        }
        for file in files.under("pipelines/").filter(|file| is_yaml(file)) {
            project.add_job(file, &mut problems);
        }
        (project, problems)
    }

    fn add_contracts(&mut self, file: &SourceFile, problems: &mut Vec<Diagnostic>) {
        let (contracts, more) = source::parse(file, &self.files);
        problems.extend(more);
        for contract in contracts {
            let name = contract.name.value.clone();
            match self.contracts.get(&name) {
                Some(other) if other.name.span != contract.name.span => {
                    let message = format!("the source `{}` has a contract already", name.lower());
                    let diagnostic = Diagnostic::error("duplicate-source", message).at(contract.name.span.clone());
                    problems.push(diagnostic.related(other.name.span.clone(), "the other contract"));
                }
                Some(_) => {}
                None => {
                    self.contracts.insert(name, contract);
                }
            }
        }
    }

    fn add_job(&mut self, file: &SourceFile, problems: &mut Vec<Diagnostic>) {
        let (job, more) = job::parse(file, &self.files);
        problems.extend(more);
        let Some(job) = job else { return };
        if let Some(other) = self.jobs.get(&job.name.value) {
            let message = format!("there are two jobs called `{}`", job.name.value.lower());
            let diagnostic = Diagnostic::error("duplicate-job", message).at(job.name.span.clone());
            problems.push(diagnostic.related(other.name.span.clone(), "the other one"));
            return;
        }
        self.jobs.insert(job.name.value.clone(), job);
    }

    /// The jobs as a run has them: [`Job::expand`] for each, and no table published twice.
    pub fn expanded(&self, overrides: &Variables, facts: &Variables) -> (IndexMap<Name, Job>, Vec<Diagnostic>) {
        let mut jobs = IndexMap::with_capacity(self.jobs.len());
        let mut problems = Vec::new();
        for (name, job) in &self.jobs {
            let (job, more) = job.expand(&self.templates, overrides, facts);
            problems.extend(more);
            jobs.insert(name.clone(), job);
        }
        problems.extend(published_twice(&jobs));
        problems.extend(jobs.values().flat_map(long_names));
        (jobs, problems)
    }

    /// The job that a command names: by its file's path or by its name.
    pub fn job(&self, named: &str) -> Result<&Job, Diagnostic> {
        let looks_like_path = named.contains('/') || named.ends_with(".yaml") || named.ends_with(".yml");
        let found = if looks_like_path { self.job_in_file(named) } else { self.jobs.get(&Name::unquoted(named)) };
        found.ok_or_else(|| {
            let message = format!("there is no job `{named}` in this project");
            let diagnostic = Diagnostic::error("unknown-job", message);
            let names: Vec<_> = if looks_like_path {
                self.jobs.values().map(|job| job.file.path().to_string_lossy().into_owned()).collect()
            } else {
                self.jobs.keys().map(Name::lower).collect()
            };
            match nearest(named, &names) {
                Some(near) => diagnostic.did_you_mean(Some(near)),
                None => diagnostic.hint("jobs are the YAML files in `pipelines/`"),
            }
        })
    }

    fn job_in_file(&self, path: &str) -> Option<&Job> {
        let named = Path::new(path);
        // From the folder that one is in, else from the project's; either may be reached through a link.
        let absolute = std::path::absolute(named).unwrap_or_else(|_| named.to_path_buf());
        let here = [straight(&absolute), absolute.canonicalize().unwrap_or_default()];
        let roots = [self.root.clone(), self.root.canonicalize().unwrap_or_default()];
        let mut inside: Vec<&Path> =
            here.iter().flat_map(|path| roots.iter().filter_map(|root| path.strip_prefix(root).ok())).collect();
        let from_root = straight(named);
        if !named.components().any(|part| part == Component::ParentDir) {
            inside.push(&from_root);
        }
        inside.iter().find_map(|inside| self.jobs.values().find(|job| job.file.path() == *inside))
    }
}

fn is_yaml(file: &SourceFile) -> bool {
    file.path().extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn published_twice(jobs: &IndexMap<Name, Job>) -> Vec<Diagnostic> {
    let mut published: IndexMap<TableName, (String, Span)> = IndexMap::new();
    let mut problems = Vec::new();
    for job in jobs.values() {
        for step in job.steps.values() {
            let Some(table) = &step.publish else { continue };
            let id = format!("{}.{}", job.name.value.lower(), step.name.value.lower());
            if let Some((other, span)) = published.get(&table.value) {
                let message = format!("`{id}` and `{other}` both publish the table `{}`", table.value.lower());
                let diagnostic = Diagnostic::error("published-twice", message).at(table.span.clone());
                problems.push(diagnostic.related(span.clone(), format!("`{other}` publishes it here")));
            } else {
                published.insert(table.value.clone(), (id, table.span.clone()));
            }
        }
    }
    problems
}

/// The most characters of a name in Snowflake.
const LONGEST_NAME: usize = 255;

/// The most bytes that the names of a schema and a table take in the names of files.
const LONGEST_FILE: usize = 230;

/// Names that are too long for a warehouse, or for the files of the local one.
fn long_names(job: &Job) -> Vec<Diagnostic> {
    let told = |what: &str, name: &TableName, span: &Span| {
        let parts = || name.schema.iter().chain([&name.table]);
        let chars = parts().map(|part| part.as_str().chars().count()).max().unwrap_or_default();
        let bytes = crate::warehouse::file_name_bytes(name);
        let message = if chars > LONGEST_NAME {
            format!("the name of this {what} has {chars} characters, and {LONGEST_NAME} is the most")
        } else if bytes > LONGEST_FILE {
            format!("the name of this {what} takes {bytes} bytes in names of files, and {LONGEST_FILE} is the most")
        } else {
            return None;
        };
        Some(Diagnostic::error("name-too-long", message).at(span.clone()).hint("give it a shorter name"))
    };
    let of_step = |step: &Step| {
        let kept = TableName::in_schema(job.name.value.clone(), step.name.value.clone());
        let published = step.publish.as_ref().and_then(|table| told("table", &table.value, &table.span));
        told("step", &kept, &step.name.span).into_iter().chain(published).collect::<Vec<_>>()
    };
    job.steps.values().flat_map(of_step).collect()
}

#[cfg(test)]
mod tests;
