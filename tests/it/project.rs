//! A project in a folder of its own, built in words, and `pipe` run in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A project that a test writes and runs.
pub(crate) struct Project {
    folder: TempDir,
}

/// What a command gave.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Project {
    /// An empty project whose clock stands at 2026-11-02.
    pub(crate) fn new() -> Self {
        let project = Self { folder: tempfile::tempdir().expect("a folder") };
        project.file(
            "pipe.yaml",
            "default_target: local\ntargets:\n  local: {backend: datafusion, sources: data/, date: 2026-11-02}\n",
        )
    }

    /// The same with a file.
    pub(crate) fn file(self, path: &str, text: &str) -> Self {
        self.write(path, text);
        self
    }

    /// The same with a source `raw.<table>` and its rows as CSV.
    pub(crate) fn source(self, table: &str, columns: &str, csv: &str) -> Self {
        let contract = format!("schema: raw\ntables:\n  {table}:\n    columns: {{{columns}}}\n");
        self.write(&format!("schemas/{table}.yaml"), &contract);
        self.write(&format!("data/raw/{table}.csv"), csv);
        self
    }

    /// The same with a job, its steps as YAML.
    pub(crate) fn job(self, name: &str, steps: &str) -> Self {
        self.write(&format!("pipelines/{name}.yaml"), &format!("job: {name}\nsteps:\n{steps}"));
        self
    }

    /// Writes a file over what was there.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    /// Where a file of the project is.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Runs `pipe` with the words of a text in the project's folder.
    pub(crate) fn pipe(&self, words: &str) -> Ran {
        self.words(&words.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs `pipe` with these words in the project's folder.
    pub(crate) fn words(&self, words: &[&str]) -> Ran {
        self.run(words, &[])
    }

    /// The same with these environment variables.
    pub(crate) fn words_with(&self, words: &[&str], variables: &[(&str, &str)]) -> Ran {
        self.run(words, variables)
    }

    /// The same as [`Self::pipe`] with these environment variables.
    pub(crate) fn pipe_with(&self, words: &str, variables: &[(&str, &str)]) -> Ran {
        self.run(&words.split_whitespace().collect::<Vec<_>>(), variables)
    }

    fn run(&self, words: &[&str], variables: &[(&str, &str)]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipe"));
        command.args(words).current_dir(self.folder.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PIPE_")) {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied());
        let done = command.output().expect("pipe runs");
        Ran {
            code: done.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&done.stdout).into_owned(),
            err: String::from_utf8_lossy(&done.stderr).into_owned(),
        }
    }

    /// The rows of a published table, as texts, sorted.
    pub(crate) fn rows(&self, table: &str) -> Vec<String> {
        rows_of(&self.path(&format!(".pipe/warehouse/{}", table.replace('.', "/"))))
    }
}

/// The rows of all Parquet files of a folder, as texts, sorted.
pub(crate) fn rows_of(folder: &Path) -> Vec<String> {
    let mut rows = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return rows };
    for path in entries.map(|entry| entry.expect("an entry").path()).filter(|path| is_parquet(path)) {
        rows.extend(parquet_rows(&path));
    }
    rows.sort();
    rows
}

fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "parquet")
}

fn parquet_rows(path: &Path) -> Vec<String> {
    let file = std::fs::File::open(path).expect("a file");
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
    let mut rows = Vec::new();
    for batch in reader.build().expect("a reader") {
        let batch = batch.expect("a batch");
        let text = |row: usize| {
            let values = batch.columns().iter();
            let values = values.map(|column| arrow::util::display::array_value_to_string(column, row).expect("a text"));
            values.collect::<Vec<_>>().join("|")
        };
        rows.extend((0..batch.num_rows()).map(text));
    }
    rows
}
