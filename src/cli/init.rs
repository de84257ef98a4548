//! `pipe init`: a new project with a small job that runs at once. It overwrites nothing.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Outcome, print, schema};
use crate::diagnostic::Diagnostic;
use crate::project::SETTINGS_FILE;

/// Arguments of `pipe init`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pipe init                     make this folder a project
  pipe init recommendations     make a new folder, and a project in it
  cd recommendations && pipe run pipelines/top_programs.yaml")]
pub(super) struct Init {
    /// The folder; by default this one
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
}

/// The files of a new project.
const FILES: [(&str, &str); 8] = [
    (SETTINGS_FILE, include_str!("init/pipe.yaml")),
    (".gitignore", "/.pipe/\n"),
    ("pipelines/top_programs.yaml", include_str!("init/top_programs.yaml")),
    ("sql/top_programs/watched.sql", include_str!("init/watched.sql")),
    ("sql/top_programs/ranked.sql", include_str!("init/ranked.sql")),
    ("schemas/tv.yaml", include_str!("init/tv.yaml")),
    ("samples/tv/program.csv", include_str!("init/program.csv")),
    ("samples/tv/watch.csv", include_str!("init/watch.csv")),
];

impl Init {
    pub(super) fn run(self) -> Result<Outcome, Outcome> {
        let there: Vec<_> = FILES.iter().map(|(path, _)| *path).filter(|path| self.dir.join(path).exists()).collect();
        let blocking: Vec<_> = there.into_iter().filter(|path| *path != ".gitignore").collect();
        if let Some(path) = blocking.first() {
            let message = format!("`{}` is there already, and nothing is overwritten", self.dir.join(path).display());
            let hint = if *path == SETTINGS_FILE {
                "this is a project: add a job with `pipe new JOB`"
            } else {
                "make the project in an empty folder: `pipe init DIR`"
            };
            return Err(vec![Diagnostic::error("file-exists", message).hint(hint)].into());
        }
        for (path, text) in FILES.iter().filter(|(path, _)| !self.dir.join(path).exists()) {
            write(&self.dir.join(path), text)?;
            print(&format!("{}\n", self.dir.join(path).display()))?;
        }
        for path in schema::write(&self.dir.join("schemas"))? {
            print(&format!("{path}\n"))?;
        }
        let go = if self.dir == Path::new(".") { String::new() } else { format!("cd {} && ", self.dir.display()) };
        print(&format!("\nNow: {go}pipe run pipelines/top_programs.yaml\n"))?;
        Ok(Outcome::Done)
    }
}

/// Writes a file of a project, making its folder.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Outcome> {
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    folder
        .and_then(|()| fs::write(path, text))
        .map_err(|error| Outcome::Broken(format!("cannot write `{}`: {}", path.display(), crate::store::why(&error))))
}
