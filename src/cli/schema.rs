//! `pipe schema`: the JSON Schemas by which editors complete and check the project's YAML files.

use std::path::Path;

use clap::{Args, ValueEnum};

use super::{Globals, Outcome, print};
use crate::job::keys::JOB;
use crate::settings::keys::SETTINGS_SCHEMA;
use crate::settings::{Environment, Flags, Settings};
use crate::source::SCHEMA;
use crate::unit::keys::SUITE;
use crate::yaml::schema;

/// Arguments of `pipe schema`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pipe schema             write the schemas into the project's folder `schemas/`
  pipe schema job         print the schema of job files

A job file finds its schema by its first line:
  # yaml-language-server: $schema=../schemas/job.schema.json")]
pub(super) struct Schema {
    /// Print this schema instead of writing all of them
    #[arg(value_enum)]
    kind: Option<Kind>,
}

/// What a schema describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Job files: `pipelines/*.yaml`
    Job,
    /// The project's settings: `pipe.yaml`
    Pipe,
    /// The contracts of source tables: `schemas/*.yaml`
    Contract,
    /// Unit tests of jobs: `tests/jobs/*.yaml`
    Test,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Job, Self::Pipe, Self::Contract, Self::Test];

    fn file(self) -> &'static str {
        match self {
            Self::Job => "job.schema.json",
            Self::Pipe => "pipe.schema.json",
            Self::Contract => "contract.schema.json",
            Self::Test => "test.schema.json",
        }
    }

    fn text(self) -> String {
        let document = match self {
            Self::Job => schema::document(self.file(), "A job of pipe", &JOB),
            Self::Pipe => schema::document(self.file(), "The settings of a pipe project", &SETTINGS_SCHEMA),
            Self::Contract => schema::document(self.file(), "Contracts of source tables", &SCHEMA),
            Self::Test => schema::document(self.file(), "Unit tests of a job of pipe", &SUITE),
        };
        format!("{document:#}\n")
    }
}

impl Schema {
    pub(super) fn run(self, globals: &Globals) -> Result<Outcome, Outcome> {
        if let Some(kind) = self.kind {
            print(&kind.text())?;
            return Ok(Outcome::Done);
        }
        let flags = Flags { project_dir: globals.project_dir.clone(), ..Flags::default() };
        let root = Settings::root(&flags, &Environment::read())?;
        for path in write(&root.join("schemas"))? {
            print(&format!("{path}\n"))?;
        }
        Ok(Outcome::Done)
    }
}

/// Writes the schemas into a folder, and gives the paths of those that changed.
pub(super) fn write(folder: &Path) -> Result<Vec<String>, Outcome> {
    let mut changed = Vec::new();
    for kind in Kind::ALL {
        let path = folder.join(kind.file());
        let text = kind.text();
        if std::fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            super::init::write(&path, &text)?;
            changed.push(path.to_string_lossy().into_owned());
        }
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemas_of_this_project_are_those_of_its_tables() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
        let changed = write(&folder).expect("the folder can be written");
        assert_eq!(changed, Vec::<String>::new(), "they were out of date and have been written anew");
    }
}
