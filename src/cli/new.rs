//! `pipe new`: a new job in the project, ready to be filled in. It overwrites nothing.

use clap::Args;

use super::init::write;
use super::{Globals, Outcome, print};
use crate::diagnostic::Diagnostic;
use crate::job::keys::NAME;
use crate::project::Project;
use crate::settings::{Environment, Flags, Settings};

/// Arguments of `pipe new`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  pipe new weekly_report     write pipelines/weekly_report.yaml and sql/weekly_report/result.sql")]
pub(super) struct New {
    /// The job's name: letters, digits and underscores
    job: String,
    /// The table that its result becomes
    #[arg(long, value_name = "SCHEMA.TABLE")]
    publish: Option<String>,
}

impl New {
    pub(super) fn run(self, globals: &Globals) -> Result<Outcome, Outcome> {
        let wrong = |diagnostic| Outcome::Wrong(vec![diagnostic]);
        if !(NAME.accepts)(&self.job) {
            let message = format!("`{}` cannot be the name of a job", self.job);
            let hint = "use letters, digits and underscores, and start with a letter";
            return Err(wrong(Diagnostic::error("wrong-value", message).hint(hint)));
        }
        let flags = Flags { project_dir: globals.project_dir.clone(), ..Flags::default() };
        let root = Settings::root(&flags, &Environment::read())?;
        let name = self.job.to_lowercase();
        let files = [
            (format!("pipelines/{name}.yaml"), job_file(&name, self.publish.as_deref())),
            (format!("sql/{name}/result.sql"), "select 1 as one\n".to_owned()),
        ];
        let (project, _) = Project::load(&root);
        if let Ok(job) = project.job(&name) {
            let message = format!("there is a job `{name}` already, in `{}`", job.file.path().display());
            return Err(wrong(Diagnostic::error("duplicate-job", message)));
        }
        if let Some((path, _)) = files.iter().find(|(path, _)| root.join(path).exists()) {
            let message = format!("`{path}` is there already, and nothing is overwritten");
            return Err(wrong(Diagnostic::error("file-exists", message)));
        }
        for (path, text) in &files {
            write(&root.join(path), text)?;
            print(&format!("{path}\n"))?;
        }
        print(&format!("\nNow: pipe run pipelines/{name}.yaml\n"))?;
        Ok(Outcome::Done)
    }
}

fn job_file(name: &str, publish: Option<&str>) -> String {
    let publish = publish.map_or_else(|| format!("ml.{name}"), str::to_owned);
    format!(
        "# yaml-language-server: $schema=../schemas/job.schema.json
job: {name}
description: What this job is for
vars: {{}}
steps:
  result:                     # its SQL is sql/{name}/result.sql
    publish: {publish}
    tests:
      - rows: {{min: 1}}
"
    )
}
