//! Snowflake's pattern syntax (POSIX extended, with `\d \w \s \b` and their opposites) in the words of the `regex` crate.
//! What the other would read in its own way is escaped or refused: inline flags, lazy repetition, set operations.

use std::iter::Peekable;
use std::str::Chars;

use regex::{Regex, RegexBuilder};

/// The parameters argument: `c i m e s`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    insensitive: bool,
    multi_line: bool,
    dot_all: bool,
    /// Extract a group, not the whole match.
    pub(super) extract: bool,
}

impl Flags {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut flags = Self::default();
        for letter in text.chars() {
            match letter {
                'c' => flags.insensitive = false,
                'i' => flags.insensitive = true,
                'm' => flags.multi_line = true,
                's' => flags.dot_all = true,
                'e' => flags.extract = true,
                other => return Err(format!("'{other}' is not one of the parameters c, i, m, e and s")),
            }
        }
        Ok(flags)
    }
}

/// Compiles a pattern; `whole` for one that must match the whole text.
pub(super) fn compile(pattern: &str, flags: &Flags, whole: bool) -> Result<Regex, String> {
    let translated = translate(pattern, whole)?;
    let source = if whole { format!(r"\A(?:{translated})\z") } else { translated };
    RegexBuilder::new(&source)
        .case_insensitive(flags.insensitive)
        .multi_line(flags.multi_line)
        .dot_matches_new_line(flags.dot_all)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "is too large".to_owned(),
            other => {
                let text = other.to_string();
                text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
            }
        })
}

/// The pattern as the regex crate reads it. Where the whole text must match, it does not matter that a repetition is not greedy.
fn translate(pattern: &str, whole: bool) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern.chars().peekable();
    let mut repeated = false;
    while let Some(character) = rest.next() {
        let repetition = matches!(character, '*' | '+' | '?') || (character == '{' && is_bounds(&rest));
        if repetition && repeated && !(whole && character == '?') {
            return Err("a repetition of a repetition, such as a non-greedy `*?`, is not supported".to_owned());
        }
        repeated = repetition;
        match character {
            '\\' => escape(&mut rest, &mut out)?,
            '[' => class(&mut rest, &mut out)?,
            '(' if rest.peek() == Some(&'?') => {
                return Err("groups that begin with `(?` are not supported".to_owned());
            }
            '{' if repetition => {
                out.push('{');
                for next in rest.by_ref() {
                    out.push(next);
                    if next == '}' {
                        break;
                    }
                }
            }
            '{' | '}' => {
                out.push('\\');
                out.push(character);
            }
            other => out.push(other),
        }
    }
    Ok(out)
}

/// Whether `{` begins a repetition such as `{2}`, `{2,}` or `{2,3}`.
fn is_bounds(rest: &Peekable<Chars<'_>>) -> bool {
    let mut rest = rest.clone();
    let mut digits = 0;
    while rest.next_if(char::is_ascii_digit).is_some() {
        digits += 1;
    }
    if digits > 0 && rest.next_if_eq(&',').is_some() {
        while rest.next_if(char::is_ascii_digit).is_some() {}
    }
    digits > 0 && rest.next() == Some('}')
}

const DIGITS: &str = "0-9";
const WORD: &str = "0-9A-Za-z_";
const SPACE: &str = r"\t\n\f\r ";

fn escape(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    let Some(letter) = rest.next() else { return Err("ends with a backslash".to_owned()) };
    let class = |set: &str, negated: bool| format!("[{}{set}]", if negated { "^" } else { "" });
    match letter {
        'd' | 'D' => out.push_str(&class(DIGITS, letter == 'D')),
        'w' | 'W' => out.push_str(&class(WORD, letter == 'W')),
        's' | 'S' => out.push_str(&class(SPACE, letter == 'S')),
        'b' => out.push_str(r"(?-u:\b)"),
        'B' => out.push_str(r"\B"),
        other => plain_escape(other, rest, out)?,
    }
    Ok(())
}

/// An escape that stands for one character, in a class or outside.
fn plain_escape(letter: char, rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    match letter {
        'n' | 't' | 'r' | 'f' | 'v' | 'a' => {
            out.push('\\');
            out.push(letter);
        }
        'x' => {
            out.push_str("\\x");
            if rest.next_if_eq(&'{').is_some() {
                out.push('{');
                for next in rest.by_ref() {
                    out.push(next);
                    if next == '}' {
                        break;
                    }
                }
            }
        }
        other if other.is_ascii_alphanumeric() => return Err(format!("invalid escape sequence `\\{other}`")),
        other => literal(other, out),
    }
    Ok(())
}

fn literal(character: char, out: &mut String) {
    if character.is_ascii_punctuation() {
        out.push('\\');
    }
    out.push(character);
}

/// A bracket expression, in which only `]`, `-`, `^` in their places, `[:name:]` and escapes are special.
fn class(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    out.push('[');
    if rest.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut first = true;
    loop {
        let Some(character) = rest.next() else { return Err("missing closing ]".to_owned()) };
        match character {
            ']' if !first => break,
            '[' if rest.peek() == Some(&':') => named(rest, out)?,
            '[' if matches!(rest.peek(), Some('.' | '=')) => {
                return Err("collating elements `[.` and `[=` are not supported".to_owned());
            }
            '\\' => match rest.next() {
                None => return Err("ends with a backslash".to_owned()),
                Some('d') => out.push_str(DIGITS),
                Some('w') => out.push_str(WORD),
                Some('s') => out.push_str(SPACE),
                Some('D') => out.push_str("[^0-9]"),
                Some('W') => out.push_str("[^0-9A-Za-z_]"),
                Some('S') => out.push_str(r"[^\t\n\f\r ]"),
                Some(letter) => plain_escape(letter, rest, out)?,
            },
            '-' if !first && rest.peek() != Some(&']') => out.push('-'),
            other => literal(other, out),
        }
        first = false;
    }
    out.push(']');
    Ok(())
}

/// `[:alpha:]`, whose `[` is already read.
fn named(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    let mut name = String::new();
    rest.next();
    while let Some(letter) = rest.next_if(|letter| letter.is_ascii_alphabetic() || *letter == '^') {
        name.push(letter);
    }
    if rest.next() != Some(':') || rest.next() != Some(']') {
        return Err(format!("invalid character class `[:{name}`"));
    }
    out.push_str(&format!("[:{name}:]"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(pattern: &str, parameters: &str, text: &'a str) -> Option<&'a str> {
        let regex = compile(pattern, &Flags::parse(parameters).unwrap(), false).unwrap();
        regex.find(text).map(|found| found.as_str())
    }

    #[test]
    fn classes_are_posix() {
        assert_eq!(found("[[:punct:]][[:alnum:]]+", "", "a,bc"), Some(",bc"));
        assert_eq!(found("[]a]+", "", "b]a]"), Some("]a]"));
        assert_eq!(found("[[a]+", "", "b[a"), Some("[a"));
        assert_eq!(found("[a&&b]+", "", "x&a&b"), Some("&a&b"));
        assert_eq!(found("[a-c-]+", "", "x-b"), Some("-b"));
        assert_eq!(found(r"[\w.]+", "", "é a.b"), Some("a.b"));
        assert_eq!(found(r"\w+", "", "éa"), Some("a"));
        assert_eq!(found(r"a\.b", "", "axb a.b"), Some("a.b"));
        assert_eq!(found("a{,2}", "", "a{,2}"), Some("a{,2}"));
        assert_eq!(found("a{2}", "", "aaa"), Some("aa"));
    }

    #[test]
    fn parameters() {
        assert_eq!(found("B", "i", "abc"), Some("b"));
        assert_eq!(found("B", "ic", "abc"), None);
        assert_eq!(found("a.b", "", "a\nb"), None);
        assert_eq!(found("a.b", "s", "a\nb"), Some("a\nb"));
        assert_eq!(found("^b", "m", "a\nb"), Some("b"));
        assert!(Flags::parse("x").is_err());
    }

    #[test]
    fn what_snowflake_refuses_is_refused() {
        for pattern in ["a*?", "(?i)a", "(?:a)", r"\p{L}", "[a", "(a", r"a\", "[[.a.]]", "a{1001}{1001}"] {
            assert!(compile(pattern, &Flags::default(), false).is_err(), "{pattern}");
        }
    }
}
