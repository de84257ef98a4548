//! SQL that a YAML value holds or names: a text in the file itself, or a path ending in `.sql`. Places in the SQL lead back
//! to the lines where it is written.

use crate::diagnostic::Diagnostic;
use crate::text::SourceFile;
use crate::text::derived::{Derived, Part};
use crate::text::files::{Files, within};
use crate::yaml::Node;

/// The SQL of a value; none, with the reason among the problems, where a file it names is not there.
pub fn read(node: &Node, files: &Files, problems: &mut Vec<Diagnostic>) -> Option<Derived> {
    let text = node.scalar()?;
    if !is_path(text) {
        return Some(inline(node, text));
    }
    let base = if text.starts_with("sql/") { "" } else { "sql" };
    let Some(path) = within("sql", base, text) else {
        let message = format!("`{text}` leads out of the folder `sql/`");
        let diagnostic = Diagnostic::error("path-outside-sql", message).at(node.span.clone());
        problems.push(diagnostic.hint("put the file inside `sql/` and give its path from there"));
        return None;
    };
    if files.is_unreadable(&path) {
        return None;
    }
    let found = file(&path, files);
    if let Err(diagnostic) = found {
        problems.push(diagnostic.at(node.span.clone()));
        return None;
    }
    found.ok()
}

/// The SQL of a file; the error has no place yet.
pub fn file(path: &str, files: &Files) -> Result<Derived, Diagnostic> {
    match files.get(path) {
        Some(file) => Ok(Derived::itself(file.clone())),
        None => {
            let diagnostic = Diagnostic::error("missing-sql-file", format!("there is no file `{path}`"));
            Err(diagnostic.did_you_mean(files.nearest(path)))
        }
    }
}

/// Whether a text names a file rather than being SQL.
pub fn is_path(text: &str) -> bool {
    let text = text.trim();
    text.len() > 4 && text.to_ascii_lowercase().ends_with(".sql") && !text.contains(char::is_whitespace)
}

/// A text of the file itself, each line of it mapped to where it is written.
pub fn inline(node: &Node, text: &str) -> Derived {
    let written = node.span.text();
    let mut parts = Vec::new();
    let (mut at, mut cursor) = (0, 0);
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches('\n');
        match written[cursor..].find(content) {
            Some(found) => {
                let start = cursor + found;
                parts.push(Part { start: at, origin: node.span.inside(start..start + content.len()), copied: true });
                cursor = start + content.len();
            }
            None => parts.push(Part { start: at, origin: node.span.clone(), copied: false }),
        }
        at += line.len();
    }
    Derived::new(SourceFile::new(node.span.file.path(), text), parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    #[test]
    fn a_path_is_a_word_that_ends_in_sql() {
        assert!(is_path("shared/Café.SQL"));
        for text in ["select 'Cinéma'", "é.sql x", "select 'Zoé' || 'féva'", ".sql", "ésql"] {
            assert!(!is_path(text), "{text}");
        }
    }

    #[test]
    fn places_in_inline_sql_lead_back_to_the_yaml_file() {
        let text = "a: |\n    select x\n      from y\nb: 'select ''z'''\nc: >\n  select q\n  from r\n";
        let root = yaml::parse(&SourceFile::new("job.yaml", text)).expect("valid YAML");
        let at = |key: &str, needle: &str| {
            let sql = read(root.get(key).expect("key"), &Files::default(), &mut Vec::new()).expect("SQL");
            let start = sql.text().find(needle).expect("needle");
            sql.origin(&sql.source().span(start..start + needle.len())).to_string()
        };
        assert_eq!(at("a", "x"), "job.yaml:2:12");
        assert_eq!(at("a", "y"), "job.yaml:3:12");
        assert_eq!(at("b", "'z'"), "job.yaml:4:4");
        assert_eq!(at("c", "r"), "job.yaml:6:3");
    }

    #[test]
    fn a_path_out_of_the_folder_is_refused() {
        for (path, code) in [("../pipe.sql", "path-outside-sql"), ("gone.sql", "missing-sql-file")] {
            let root = yaml::parse(&SourceFile::new("job.yaml", path)).expect("valid YAML");
            let mut problems = Vec::new();
            assert_eq!(read(&root, &Files::default(), &mut problems), None);
            assert_eq!(problems[0].code, code);
        }
    }
}
