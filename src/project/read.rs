//! Files from disk to text: UTF-8, of bounded size, and inside the project even through symbolic links.

use std::fs;
use std::path::{Path, PathBuf};

use crate::diagnostic::Diagnostic;
use crate::store::why;
use crate::text::SourceFile;
use crate::text::files::Files;
use crate::yaml::{MAX_BYTES, too_large};

/// The folders that hold the author's files, and their extensions.
const FOLDERS: [(&str, &[&str]); 4] = [
    ("pipelines", &["yaml", "yml"]),
    ("schemas", &["yaml", "yml"]),
    ("sql", &["sql"]),
    ("tests/jobs", &["yaml", "yml"]),
];

/// All files of a project that are its author's words.
pub(super) fn files(root: &Path) -> (Files, Vec<Diagnostic>) {
    let mut reader = Reader { root, files: Files::default(), problems: Vec::new() };
    for (folder, extensions) in FOLDERS {
        reader.folder(&PathBuf::from(folder), extensions, 0);
    }
    (reader.files, reader.problems)
}

/// Reads one text of the project, such as `pipe.yaml`.
pub fn file(root: &Path, path: &Path) -> Result<SourceFile, Diagnostic> {
    let whole = root.join(path);
    let unreadable = |error: std::io::Error| {
        Diagnostic::error("unreadable-file", format!("`{}` cannot be read: {}", path.display(), why(&error)))
    };
    let size = fs::metadata(&whole).map_err(unreadable)?.len();
    if size > MAX_BYTES as u64 {
        return Err(too_large(path, size, MAX_BYTES));
    }
    let bytes = fs::read(&whole).map_err(unreadable)?;
    String::from_utf8(bytes).map_or_else(
        |error| Err(not_utf8(path, &error)),
        |text| Ok(SourceFile::new(path, text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))),
    )
}

fn not_utf8(path: &Path, error: &std::string::FromUtf8Error) -> Diagnostic {
    let at = error.utf8_error().valid_up_to();
    let shown = SourceFile::new(path, String::from_utf8_lossy(error.as_bytes()));
    let byte = error.as_bytes().get(at).copied().unwrap_or_default();
    let message = format!("`{}` is not UTF-8: the byte 0x{byte:02X} cannot stand here", path.display());
    Diagnostic::error("not-utf8", message).at(shown.span(at..at + 1)).hint("save the file as UTF-8 in your editor")
}

/// How deep folders are searched.
const MAX_DEPTH: usize = 16;

struct Reader<'a> {
    root: &'a Path,
    files: Files,
    problems: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn folder(&mut self, folder: &Path, extensions: &[&str], depth: usize) {
        let Ok(entries) = fs::read_dir(self.root.join(folder)) else { return };
        let mut entries: Vec<_> = entries.filter_map(Result::ok).collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = folder.join(entry.file_name());
            let Ok(kind) = entry.file_type() else { continue };
            let known = path.extension().is_some_and(|e| extensions.iter().any(|known| e.eq_ignore_ascii_case(known)));
            if kind.is_dir() && depth < MAX_DEPTH {
                self.folder(&path, extensions, depth + 1);
            } else if known && kind.is_symlink() {
                self.link(&path);
            } else if known && kind.is_file() {
                self.file(&path);
            }
        }
    }

    /// A symbolic link is followed where it stays inside the project's folder.
    fn link(&mut self, path: &Path) {
        let inside = fs::canonicalize(self.root.join(path)).ok().zip(fs::canonicalize(self.root).ok());
        match inside {
            Some((target, root)) if target.starts_with(&root) => self.file(path),
            _ => {
                let message = format!("`{}` is a link that leads out of the project", path.display());
                let diagnostic = Diagnostic::error("path-outside-sql", message);
                self.files.insert_unreadable(&path.to_string_lossy());
                self.problems.push(diagnostic.hint("put the file itself here"));
            }
        }
    }

    fn file(&mut self, path: &Path) {
        match file(self.root, path) {
            Ok(file) => self.files.insert(file),
            Err(problem) => {
                self.files.insert_unreadable(&path.to_string_lossy());
                self.problems.push(problem);
            }
        }
    }
}
