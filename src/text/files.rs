//! The author's files by path, read once by `project` and looked up by everything that reads them. It touches no disk.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::nearest;
use crate::text::SourceFile;

/// Texts by their path from the project's folder, written with `/`. Case is kept, and overlooked in a search.
#[derive(Clone, Debug, Default)]
pub struct Files {
    by_path: BTreeMap<String, SourceFile>,
    unreadable: BTreeSet<String>,
}

impl Files {
    /// Adds a file under its path.
    pub fn insert(&mut self, file: SourceFile) {
        let path = file.path().to_string_lossy().replace('\\', "/").to_lowercase();
        self.by_path.insert(path, file);
    }

    /// Remembers a file that is there and cannot be read, which has been told.
    pub fn insert_unreadable(&mut self, path: &str) {
        self.unreadable.insert(path.replace('\\', "/").to_lowercase());
    }

    /// Whether a file is there and cannot be read.
    pub fn is_unreadable(&self, path: &str) -> bool {
        self.unreadable.contains(&path.to_lowercase())
    }

    /// The file at a path.
    pub fn get(&self, path: &str) -> Option<&SourceFile> {
        self.by_path.get(&path.to_lowercase())
    }

    /// The files of a folder (given with its last `/`) and of the folders in it, ordered by path.
    pub fn under<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a SourceFile> + 'a {
        let from = folder.to_lowercase();
        let inside = self.by_path.range(from.clone()..).take_while(move |(path, _)| path.starts_with(&from));
        inside.map(|(_, file)| file)
    }

    /// The path most like one that is missing.
    pub fn nearest(&self, path: &str) -> Option<&str> {
        nearest(path, self.by_path.keys())
    }
}

/// A path from the project's folder that says no `.` or `..`; none where it leads out of `root` (such as `sql`).
pub fn within(root: &str, base: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    if path.starts_with('/') || path.contains('\\') || path.contains('\0') {
        return None;
    }
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            other => parts.push(other),
        }
    }
    (parts.first() == Some(&root) && parts.len() > 1).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_whatever_their_case() {
        let mut files = Files::default();
        for path in ["sql/a/One.sql", "sql/a/two.sql", "sql/b/three.sql"] {
            files.insert(SourceFile::new(path, ""));
        }
        assert!(files.get("sql/a/one.SQL").is_some());
        assert_eq!(files.under("sql/a/").count(), 2);
        assert_eq!(files.nearest("sql/a/tow.sql"), Some("sql/a/two.sql"));
    }

    #[test]
    fn a_path_that_leaves_its_root_is_none() {
        assert_eq!(within("sql", "sql", "a/../b.sql").as_deref(), Some("sql/b.sql"));
        assert_eq!(within("sql", "sql/a", "../b.sql").as_deref(), Some("sql/b.sql"));
        for path in ["../secrets.sql", "/etc/passwd", "a/../../x.sql", "..", "..\\x.sql"] {
            assert_eq!(within("sql", "sql", path), None, "{path}");
        }
    }
}
