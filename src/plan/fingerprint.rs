//! What a published table was made from: the step's own definition and the versions of what it reads. Two equal
//! fingerprints mean that running again would give the same table.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest, Sha256};

/// Part of every definition: a release that computes differently makes everything run again.
pub const ENGINE_VERSION: &str = concat!("pipe ", env!("CARGO_PKG_VERSION"), " datafusion ", "55.2");

/// A short hash of texts, in hexadecimal.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(String);

impl Hash {
    /// The hash of several texts, each with its length, so that no two lists of texts run together.
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut digest = Sha256::new();
        for text in texts {
            digest.update(text.len().to_le_bytes());
            digest.update(text.as_bytes());
        }
        Self(hex::encode(&digest.finalize()[..12]))
    }

    /// A hash read back from where it was kept.
    pub fn kept(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a step's result follows from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Its SQL or transform, its contract and tests, and those of the internal steps it reads.
    pub definition: Hash,
    /// The version of every table it reads, directly or through internal steps, by the table's name in lower case.
    pub inputs: BTreeMap<String, String>,
}

impl Fingerprint {
    /// Both parts in one.
    pub fn whole(&self) -> Hash {
        let inputs = self.inputs.iter().flat_map(|(name, version)| [name.as_str(), version.as_str()]);
        Hash::of(std::iter::once(self.definition.as_str()).chain(inputs))
    }

    /// The names of the inputs whose versions differ from an earlier fingerprint's, those that came or went included.
    pub fn changed_inputs(&self, earlier: &Self) -> Vec<String> {
        let came_or_changed = self.inputs.iter().filter(|(name, version)| earlier.inputs.get(*name) != Some(version));
        let went = earlier.inputs.keys().filter(|name| !self.inputs.contains_key(*name));
        came_or_changed.map(|(name, _)| name).chain(went).cloned().collect()
    }
}

/// SQL without what does not change its meaning: comments go, blanks stay only where they divide something, keywords and
/// unquoted names are in upper case, and trailing semicolons go. What is quoted stays as it is, and so do the words of a path
/// into a VARIANT, whose case counts.
pub fn normalise(sql: &str) -> String {
    let mut text = Normal::default();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let blank = comment(rest).or_else(|| first.is_whitespace().then_some(first.len_utf8()));
        let taken = blank.or_else(|| quoted(rest)).or_else(|| word(rest)).unwrap_or(first.len_utf8());
        let (piece, after) = rest.split_at(taken);
        match blank {
            Some(_) => text.blank = true,
            None => text.push(piece, first),
        }
        rest = after;
    }
    let end = text.out.trim_end_matches([' ', ';']).len();
    text.out.truncate(end);
    text.out
}

/// Normalised text in the making.
#[derive(Default)]
struct Normal {
    out: String,
    /// Whether a blank or a comment stands before what comes next.
    blank: bool,
    /// Whether a `.` would lead into a VARIANT.
    path: bool,
}

impl Normal {
    fn push(&mut self, piece: &str, first: char) {
        let last = self.out.chars().next_back();
        let steps_in = match last {
            Some(':') => !self.out.ends_with("::"),
            Some('.') => self.path,
            _ => false,
        };
        self.path = steps_in || matches!(first, ')' | ']' | '.' | '[') && (self.path || first != '.');
        if self.blank && last.is_some_and(|last| divides(last, first)) {
            self.out.push(' ');
        }
        self.blank = false;
        match is_word(first) && !piece.starts_with("$$") && !steps_in {
            true => self.out.extend(piece.chars().flat_map(char::to_uppercase)),
            false => self.out.push_str(piece),
        }
    }
}

/// Whether a blank between two characters may count: it does between words, and between operators, which it divides.
fn divides(last: char, first: char) -> bool {
    let encloses = |c: char| matches!(c, '(' | ')' | '[' | ']' | ',' | ';');
    let operator = |c: char| matches!(c, '+' | '-' | '*' | '/' | '%' | '<' | '>' | '=' | '!' | '|');
    let value = |c: char| is_word(c) || matches!(c, '\'' | '"');
    let apart = operator(last) && value(first) || value(last) && operator(first);
    !(encloses(last) || encloses(first) || apart)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$')
}

/// The length of the name, keyword or number that `text` starts with.
fn word(text: &str) -> Option<usize> {
    let end = text.find(|c: char| !is_word(c)).unwrap_or(text.len());
    (end > 0).then_some(end)
}

/// The length of the comment that `text` starts with.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("--") || text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    let inside = text.strip_prefix("/*")?;
    Some(inside.find("*/").map_or(text.len(), |end| end + 4))
}

/// The length of the quoted text that `text` starts with.
fn quoted(text: &str) -> Option<usize> {
    let quote = ["'", "\"", "$$"].into_iter().find(|quote| text.starts_with(quote))?;
    let mut at = quote.len();
    while at < text.len() {
        if quote == "'" && text[at..].starts_with('\\') {
            at += 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8);
        } else if text[at..].starts_with(quote) {
            return Some(at + quote.len());
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    Some(text.len())
}

/// How finely a step's SQL asks for the time, and so which part of the pinned clock belongs to its definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Clock {
    /// It does not ask.
    Unread,
    /// It asks for the day.
    Day,
    /// It asks for the instant.
    Instant,
}

impl Clock {
    /// What the words of a normalised SQL text ask for; a word inside quotes may count, which only runs a step again.
    pub fn read_by(sql: &str) -> Self {
        let words = sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.map(Self::of_word).max().unwrap_or(Self::Unread)
    }

    fn of_word(word: &str) -> Self {
        match word.len() {
            12 if word.eq_ignore_ascii_case("current_date") => Self::Day,
            7 | 9 | 12 | 14 | 17
                if [
                    "sysdate",
                    "getdate",
                    "localtime",
                    "current_time",
                    "localtimestamp",
                    "current_timestamp",
                    "systimestamp",
                ]
                .iter()
                .any(|name| word.eq_ignore_ascii_case(name)) =>
            {
                Self::Instant
            }
            _ => Self::Unread,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_and_comments_do_not_change_a_definition() {
        let a = normalise("select  a, -- the key\n       'x  -- y' /* z */ from \"T  1\" ;\n");
        assert_eq!(a, "SELECT A,'x  -- y' FROM \"T  1\"");
        assert_ne!(normalise("select 'a b'"), normalise("select 'a  b'"));
        assert_eq!(normalise(r"select 'it\'s  --' , $$ a  b $$"), r"SELECT 'it\'s  --',$$ a  b $$");
        let same = [
            "select a+b as c from T where x<=1",
            "SELECT A + B AS C\nFROM t WHERE X <= 1 -- no",
            "select a +b c_ from t",
        ];
        assert_eq!(normalise(same[0]), normalise(same[1]));
        assert_ne!(normalise(same[0]), normalise(same[2]));
        assert_ne!(normalise("select a - -b"), normalise("select a --b"));
    }

    #[test]
    fn case_counts_in_what_is_quoted_and_in_paths() {
        let differ = |a: &str, b: &str| assert_ne!(normalise(a), normalise(b));
        differ("select 'a'", "select 'A'");
        differ("select \"a\"", "select \"A\"");
        differ("select $$a$$", "select $$A$$");
        differ("select v:name from t", "select v:Name from t");
        differ("select v:a.name from t", "select v:a.Name from t");
        differ("select v:a[0].name from t", "select v:a[0].Name from t");
        differ("select v['a'].name from t", "select v['a'].Name from t");
        let same = |a: &str, b: &str| assert_eq!(normalise(a), normalise(b));
        same("select v:name::text from t.x", "SELECT V:name::TEXT FROM T.X");
        same("select v:a.b as x, t.y from t", "select V:a.b AS X, T.Y from T");
        same("select count (*) from t", "select count(*)from t");
    }

    #[test]
    fn only_sql_that_reads_the_clock_depends_on_it() {
        assert_eq!(Clock::read_by("select my_current_date from t"), Clock::Unread);
        assert_eq!(Clock::read_by("select CURRENT_DATE - 14"), Clock::Day);
        assert_eq!(Clock::read_by("select current_date, current_timestamp()"), Clock::Instant);
        assert_eq!(Clock::read_by("select getdate()"), Clock::Instant);
    }

    #[test]
    fn changed_inputs_are_named() {
        let inputs = |pairs: &[(&str, &str)]| Fingerprint {
            definition: Hash::of(["x"]),
            inputs: pairs.iter().map(|(name, version)| (name.to_string(), version.to_string())).collect(),
        };
        let (old, new) = (inputs(&[("a", "1"), ("b", "1"), ("c", "1")]), inputs(&[("a", "1"), ("b", "2"), ("d", "1")]));
        assert_eq!(new.changed_inputs(&old), ["b", "d", "c"]);
        assert_ne!(new.whole(), old.whole());
    }
}
