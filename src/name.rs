//! Names as Snowflake sees them: case-insensitive unless quoted; and the nearest name to a misspelt one.

use std::fmt;

/// A column, step, job, schema or table name: folded to upper case unless it was written in double quotes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// A name as written without quotes: folded to upper case.
    pub fn unquoted(text: &str) -> Self {
        Self(text.to_uppercase())
    }

    /// A name as written in double quotes: kept as it is.
    pub fn quoted(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The folded text: what the catalogue holds and result headers show.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text for file names and for messages about YAML, where lower case is usual.
    pub fn lower(&self) -> String {
        self.0.to_lowercase()
    }

    /// The name as messages show it: in lower case where it can be written without quotes, else with them.
    pub fn shown(&self) -> String {
        let sql = self.sql();
        if sql.starts_with('"') { sql } else { self.lower() }
    }

    /// The name as it can stand in SQL: bare where that reads back as the same name, else in double quotes.
    pub fn sql(&self) -> String {
        let mut chars = self.0.chars();
        let head = chars.next().is_some_and(|c| c == '_' || c.is_ascii_uppercase());
        let bare = head && chars.all(|c| c == '_' || c == '$' || c.is_ascii_uppercase() || c.is_ascii_digit());
        if bare { self.0.clone() } else { format!("\"{}\"", self.0.replace('"', "\"\"")) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A table or view: `[database.][schema.]table`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// Database, where one was written.
    pub database: Option<Name>,
    /// Schema, where one was written.
    pub schema: Option<Name>,
    /// The table itself.
    pub table: Name,
}

impl TableName {
    /// A one-part name: a step of the job.
    pub fn bare(table: Name) -> Self {
        Self { database: None, schema: None, table }
    }

    /// A two-part name: a source or a published table.
    pub fn in_schema(schema: Name, table: Name) -> Self {
        Self { database: None, schema: Some(schema), table }
    }

    /// Reads `table`, `schema.table` or `database.schema.table`, parts in double quotes kept as they are.
    /// `None` where a part is empty, a quote is left open, or there are more than three parts.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = split_name(text)?;
        let table = parts.pop()?;
        let schema = parts.pop();
        let database = parts.pop();
        parts.is_empty().then_some(Self { database, schema, table })
    }

    /// The name as it can stand in SQL.
    pub fn sql(&self) -> String {
        let parts = [self.database.as_ref(), self.schema.as_ref(), Some(&self.table)];
        parts.into_iter().flatten().map(Name::sql).collect::<Vec<_>>().join(".")
    }

    /// The name in lower case, for messages and file names.
    pub fn lower(&self) -> String {
        self.to_string().to_lowercase()
    }
}

fn split_name(text: &str) -> Option<Vec<Name>> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let (name, after) = match rest.strip_prefix('"') {
            Some(inside) => split_quoted(inside)?,
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                let part = rest[..end].trim();
                if part.is_empty() || part.contains('"') {
                    return None;
                }
                (Name::unquoted(part), &rest[end..])
            }
        };
        parts.push(name);
        match after.strip_prefix('.') {
            Some(more) => rest = more,
            None if after.is_empty() => return Some(parts),
            None => return None,
        }
    }
}

fn split_quoted(inside: &str) -> Option<(Name, &str)> {
    let mut name = String::new();
    let mut chars = inside.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != '"' {
            name.push(c);
        } else if chars.peek().is_some_and(|(_, next)| *next == '"') {
            name.push('"');
            chars.next();
        } else {
            return (!name.is_empty()).then(|| (Name::quoted(name), &inside[at + 1..]));
        }
    }
    None
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.database, &self.schema].into_iter().flatten() {
            write!(f, "{part}.")?;
        }
        write!(f, "{}", self.table)
    }
}

impl fmt::Debug for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A lower bound on likeness below which a suggestion would puzzle more than help.
const LIKENESS: f64 = 0.75;

/// The candidate most like `name`, case aside, or none where nothing is alike enough.
pub fn nearest<'a, T: AsRef<str> + ?Sized + 'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a T>,
) -> Option<&'a str> {
    let name = name.to_lowercase();
    let table = name.rsplit_once('.').map(|(_, table)| table);
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates {
        let candidate = candidate.as_ref();
        let lower = candidate.to_lowercase();
        // The same table of another schema is meant rather than another table whose letters are alike.
        let moved = table.is_some() && lower.rsplit_once('.').map(|(_, table)| table) == table;
        let likeness = likeness(&name, &lower) + f64::from(u8::from(moved));
        if likeness >= LIKENESS && best.is_none_or(|(top, _)| likeness > top) {
            best = Some((likeness, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn likeness(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(a, b).max(strsim::normalized_damerau_levenshtein(a, b))
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unquoted_names_fold_and_quoted_names_stay() {
        let name = TableName::parse(r#"ml."This ""Week""".x"#).map(|n| n.sql());
        assert_eq!(name.as_deref(), Some(r#"ML."This ""Week""".X"#));
        for wrong in ["", "a.", ".a", "a.b.c.d", "\"a", "a\"b"] {
            assert_eq!(TableName::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        assert_eq!(nearest("program_idd", ["user_id", "program_id"]), Some("program_id"));
        assert_eq!(nearest("xyz", ["user_id", "program_id"]), None);
        assert_eq!(nearest("tv.ranked", ["tv.rated", "ml.ranked"]), Some("ml.ranked"));
    }
}
