//! Text → tokens with places, unquoted words folded to upper case. Folding happens here because the AST has no visitor for
//! identifiers, and because keywords are matched apart from a word's text. It knows no grammar beyond the `:` path, whose
//! words are case-sensitive, and the `;` between statements.

use sqlparser::dialect::SnowflakeDialect;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};

use crate::diagnostic::Diagnostic;
use crate::text::{SourceFile, Span};

/// What the SQL parser reads in another spelling.
mod respell;

/// The same for the columns of CREATE TABLE.
mod columns;

pub(super) use columns::UNTYPED;
pub use respell::ALL_BY_NAME;
pub(super) use respell::{COLLATED, FROM_LAST};

/// The tokens of one statement, spaces and comments included, without the `;`.
pub(super) type Tokens = Vec<TokenWithSpan>;

/// Cuts a text into statements of folded tokens; empty statements are left out.
pub(super) fn statements(lines: &Lines) -> Result<Vec<Tokens>, Diagnostic> {
    let mut tokens = Tokenizer::new(&SnowflakeDialect, lines.file.text())
        .with_unescape(false)
        .tokenize_with_location()
        .map_err(|error| unreadable(lines, &error.message, error.location))?;
    tokens.iter_mut().for_each(|token| unescape(&mut token.token));
    let mut tokens = respell::respelled(tokens);
    fold(&mut tokens);
    let mut statements = vec![Tokens::new()];
    for token in tokens {
        if token.token == Token::SemiColon {
            statements.push(Tokens::new());
        } else if let Some(last) = statements.last_mut() {
            last.push(token);
        }
    }
    statements.retain(|tokens| tokens.iter().any(|t| !matches!(t.token, Token::Whitespace(_))));
    statements.iter_mut().for_each(columns::respell);
    Ok(statements)
}

fn unreadable(lines: &Lines, message: &str, at: Location) -> Diagnostic {
    let start = lines.offset(at);
    let message = message.trim_start_matches("Unterminated").trim();
    let message =
        if message.is_empty() { "unreadable text".to_string() } else { format!("unreadable text: {message}") };
    Diagnostic::error("sql-syntax", message).at(lines.file.span(start..start + 1))
}

/// Puts the characters of a quoted text or name in the place of what stands for them.
fn unescape(token: &mut Token) {
    match token {
        Token::SingleQuotedString(text) if text.contains(['\\', '\'']) => *text = unescaped(text),
        Token::Word(word) if word.quote_style == Some('"') && word.value.contains("\"\"") => {
            word.value = word.value.replace("\"\"", "\"");
        }
        _ => {}
    }
}

/// Snowflake's escapes: `''`, the usual letters, `\ooo`, `\xhh`, `\uhhhh`; before any other character a backslash is nothing.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '\'']) {
        out.push_str(&rest[..at]);
        let quote = rest[at..].starts_with('\'');
        rest = &rest[at + 1..];
        if quote {
            out.push('\'');
            rest = rest.strip_prefix('\'').unwrap_or(rest);
        } else if let Some((character, length)) = numbered(rest) {
            out.push(character);
            rest = &rest[length..];
        } else if let Some(letter) = rest.chars().next() {
            out.push(match letter {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                '0' => '\0',
                other => other,
            });
            rest = &rest[letter.len_utf8()..];
        }
    }
    out.push_str(rest);
    out
}

/// A character by its number behind a backslash, and how long the number is.
fn numbered(rest: &str) -> Option<(char, usize)> {
    let number = |from: usize, to: usize, radix: u32| {
        let digits = rest.get(from..to).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_alphanumeric()))?;
        u32::from_str_radix(digits, radix).ok()
    };
    let (code, length) = match rest.as_bytes().first()? {
        b'u' => match number(1, 5, 16)? {
            high @ 0xd800..0xdc00 if rest.get(5..7) == Some("\\u") => {
                let low = number(7, 11, 16).filter(|low| (0xdc00..0xe000).contains(low))?;
                (0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00), 11)
            }
            code => (code, 5),
        },
        b'x' => (number(1, 3, 16)?, 3),
        b'0'..=b'7' => (number(0, 3, 8)?, 3),
        _ => return None,
    };
    Some((char::from_u32(code)?, length))
}

/// Folds unquoted words to upper case, except those of a path, which begins with `:` or goes on after `]`.
fn fold(tokens: &mut [TokenWithSpan]) {
    let mut path = Path::Outside;
    let mut previous: Option<usize> = None;
    for at in 0..tokens.len() {
        if matches!(tokens[at].token, Token::Whitespace(_)) {
            continue;
        }
        let inside = path.next(previous.map(|at| &tokens[at].token), &tokens[at].token);
        if let Token::Word(word) = &mut tokens[at].token
            && !inside
        {
            fold_word(word);
        }
        previous = Some(at);
    }
}

fn fold_word(word: &mut Word) {
    if word.quote_style.is_none() && word.value.chars().any(char::is_lowercase) {
        word.value = word.value.to_uppercase();
    }
}

/// Where the walk stands with respect to a path such as `a:b.c[0]['x']` or `a[0].b`.
#[derive(Clone, Copy, PartialEq)]
enum Path {
    Outside,
    /// A word of the path is due: after `:` or, in the path, after `.`.
    Due,
    /// After a word of the path or a bracket; `.` goes on with it.
    After,
}

impl Path {
    /// Steps over a token and says whether it is a word of the path.
    fn next(&mut self, previous: Option<&Token>, token: &Token) -> bool {
        let (next, inside) = match (*self, token) {
            (Path::Due, Token::Word(_)) => (Path::After, true),
            (Path::After, Token::Period | Token::Colon) => (Path::Due, false),
            (_, Token::RBracket) => (Path::After, false),
            (_, Token::Colon) if previous.is_some_and(ends_operand) => (Path::Due, false),
            _ => (Path::Outside, false),
        };
        *self = next;
        inside
    }
}

/// Whether a `:` after this token opens a path. After a string it divides a key from its value in an object literal.
fn ends_operand(token: &Token) -> bool {
    matches!(token, Token::Word(_) | Token::RParen | Token::RBracket | Token::RBrace | Token::Placeholder(_))
}

/// Byte offsets of a text's lines, so that a token's line and column become a place in constant time.
#[derive(Clone)]
pub(super) struct Lines {
    file: SourceFile,
    starts: Vec<usize>,
}

impl Lines {
    pub(super) fn new(file: &SourceFile) -> Self {
        let newlines = file.text().bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect();
        Self { file: file.clone(), starts }
    }

    pub(super) fn file(&self) -> &SourceFile {
        &self.file
    }

    /// The byte offset of a 1-based line and column, counted in characters.
    pub(super) fn offset(&self, at: Location) -> usize {
        let text = self.file.text();
        let line = usize::try_from(at.line).unwrap_or(usize::MAX).saturating_sub(1);
        let Some(&start) = self.starts.get(line) else { return text.len() };
        let columns = usize::try_from(at.column).unwrap_or(usize::MAX).saturating_sub(1);
        let end = self.starts.get(line + 1).copied().unwrap_or(text.len());
        let content = &text[start..end];
        if content.is_ascii() {
            return (start + columns).min(end);
        }
        start + content.char_indices().nth(columns).map_or(content.len(), |(at, _)| at)
    }

    /// The place of a parser's span; none where the parser did not keep one.
    pub(super) fn span(&self, span: sqlparser::tokenizer::Span) -> Option<Span> {
        if span.start.line == 0 {
            return None;
        }
        let start = self.offset(span.start);
        let end = self.offset(span.end).max(start);
        Some(self.file.span(start..end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(sql: &str) -> String {
        let lines = Lines::new(&SourceFile::new("t.sql", sql));
        let statements = statements(&lines).unwrap();
        statements.iter().flatten().map(|t| t.token.to_string()).collect()
    }

    #[test]
    fn words_fold_but_quoted_words_and_paths_do_not() {
        assert_eq!(folded(r#"select a, "b" from t"#), r#"SELECT A, "b" FROM T"#);
        assert_eq!(folded("v:Ab.cD[i].e::int"), "V:Ab.cD[I].e::INT");
        assert_eq!(folded("v:Ab[w:Cd[x].Ef].gH[i], y.z"), "V:Ab[W:Cd[X].Ef].gH[I], Y.Z");
        assert_eq!(folded("v[0].Ab.cD, t.v[i].Ef, x.y"), "V[0].Ab.cD, T.V[I].Ef, X.Y");
        assert_eq!(folded("{'k': a.b}"), "{'k': A.B}");
        assert_eq!(folded("parse_json(x):a.B, c"), "PARSE_JSON(X):a.B, C");
    }

    #[test]
    fn escapes_are_snowflakes() {
        let text = |sql: &str| {
            let lines = Lines::new(&SourceFile::new("t.sql", sql));
            match statements(&lines).unwrap().remove(0).remove(0).token {
                Token::SingleQuotedString(text) => text,
                other => other.to_string(),
            }
        };
        assert_eq!(text(r"'it''s \'quoted\' \\ \n\t'"), "it's 'quoted' \\ \n\t");
        assert_eq!(text(r"'\u0394 \x41 \101 \0 \z \u12'"), "\u{394} A A \0 z u12");
        assert_eq!(text(r"'\ud83d\ude00'"), "\u{1f600}");
        assert_eq!(text("''"), "");
        assert_eq!(text("$$a\\b''$$"), "$$a\\b''$$");
    }

    #[test]
    fn places_count_characters_and_give_bytes() {
        let lines = Lines::new(&SourceFile::new("t.sql", "é\n'é' x"));
        assert_eq!(lines.offset(Location::new(2, 5)), "é\n'é' ".len());
    }
}
