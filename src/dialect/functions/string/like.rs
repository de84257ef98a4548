//! LIKE and ILIKE: `%` is any text, `_` one character, and nothing is an escape unless ESCAPE names it.

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;

use super::super::scalar::{Call, booleans};

enum Token {
    Any,
    One,
    Literal(char),
}

/// A pattern, compiled.
enum Pattern {
    Exactly(String),
    Starts(String),
    Ends(String),
    Contains(String),
    General(Vec<Token>),
}

/// `LIKE(subject, pattern [, escape])`; `folded` for ILIKE.
pub(super) fn kernel(call: &Call<'_>, folded: bool) -> Result<ArrayRef> {
    let (subject, pattern) = (call.texts(0)?, call.texts(1)?);
    let escape = if call.len() > 2 { Some(call.texts(2)?) } else { None };
    let compiled = |row| -> Result<Option<Pattern>> {
        let Some(text) = pattern.get(row) else { return Ok(None) };
        let escape = match &escape {
            Some(escape) => match escape.get(row) {
                Some(escape) => escape_character(call, escape)?,
                None => return Ok(None),
            },
            None => None,
        };
        let text = if folded { text.to_lowercase() } else { text.to_owned() };
        let escape = if folded { escape.map(|c| c.to_lowercase().next().unwrap_or(c)) } else { escape };
        compile(&text, escape).map(Some).or_else(|message| call.fail(message))
    };
    let constant = pattern.is_constant() && escape.as_ref().is_none_or(|escape| escape.is_constant());
    let once = if constant && call.rows > 0 { Some(compiled(0)?) } else { None };
    booleans(call.rows, |row| {
        let Some(text) = subject.get(row) else { return Ok(None) };
        let own;
        let pattern = match &once {
            Some(once) => once,
            None => {
                own = compiled(row)?;
                &own
            }
        };
        let Some(pattern) = pattern else { return Ok(None) };
        Ok(Some(if folded { matches(pattern, &text.to_lowercase()) } else { matches(pattern, text) }))
    })
}

fn escape_character(call: &Call<'_>, escape: &str) -> Result<Option<char>> {
    let mut characters = escape.chars();
    match (characters.next(), characters.next()) {
        (first, None) => Ok(first),
        _ => call.fail(format!("the escape '{escape}' is not one character")),
    }
}

fn compile(text: &str, escape: Option<char>) -> Result<Pattern, String> {
    let mut tokens = Vec::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        tokens.push(match character {
            escaped if Some(escaped) == escape => match characters.next() {
                Some(next) => Token::Literal(next),
                None => return Err(format!("the pattern '{text}' ends with its escape")),
            },
            '%' if matches!(tokens.last(), Some(Token::Any)) => continue,
            '%' => Token::Any,
            '_' => Token::One,
            other => Token::Literal(other),
        });
    }
    Ok(simplified(tokens))
}

fn simplified(tokens: Vec<Token>) -> Pattern {
    let literal = |tokens: &[Token]| -> Option<String> {
        tokens.iter().map(|token| if let Token::Literal(c) = token { Some(*c) } else { None }).collect()
    };
    let inner = |tokens: &[Token]| -> Option<Pattern> {
        Some(match tokens {
            [Token::Any] => Pattern::Contains(String::new()),
            [Token::Any, middle @ .., Token::Any] => Pattern::Contains(literal(middle)?),
            [Token::Any, rest @ ..] => Pattern::Ends(literal(rest)?),
            [rest @ .., Token::Any] => Pattern::Starts(literal(rest)?),
            all => Pattern::Exactly(literal(all)?),
        })
    };
    inner(&tokens).unwrap_or(Pattern::General(tokens))
}

fn matches(pattern: &Pattern, text: &str) -> bool {
    match pattern {
        Pattern::Exactly(wanted) => text == wanted,
        Pattern::Starts(wanted) => text.starts_with(wanted.as_str()),
        Pattern::Ends(wanted) => text.ends_with(wanted.as_str()),
        Pattern::Contains(wanted) => memchr::memmem::find(text.as_bytes(), wanted.as_bytes()).is_some(),
        Pattern::General(tokens) => general(tokens, text),
    }
}

/// Goes back only to the last `%`, so the time is at most the product of the lengths.
fn general(tokens: &[Token], text: &str) -> bool {
    let mut rest = text.chars();
    let (mut at, mut last_any) = (0, None);
    loop {
        let here = rest.clone();
        match (tokens.get(at), rest.next()) {
            (Some(Token::Any), _) => {
                at += 1;
                last_any = Some((at, here.clone()));
                rest = here;
                continue;
            }
            (Some(Token::One), Some(_)) => {
                at += 1;
                continue;
            }
            (Some(Token::Literal(wanted)), Some(found)) if *wanted == found => {
                at += 1;
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        let Some((after, from)) = &mut last_any else { return false };
        if from.next().is_none() {
            return false;
        }
        at = *after;
        rest = from.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(text: &str, pattern: &str, escape: Option<char>) -> bool {
        matches(&compile(pattern, escape).unwrap(), text)
    }

    #[test]
    fn wildcards() {
        assert!(like("john  dddoe", "%j%h%do%", None));
        assert!(!like("joe down", "%j%h%do%", None));
        assert!(like("a\nb", "a%b", None));
        assert!(like("été", "_t_", None));
        assert!(like("", "%", None));
        assert!(!like("", "_", None));
        assert!(like("abcabd", "%ab_", None));
        assert!(like("abc", "abc", None) && !like("abcd", "abc", None));
    }

    #[test]
    fn escapes() {
        assert!(like("100%", "100^%", Some('^')));
        assert!(!like("1000", "100^%", Some('^')));
        assert!(like("a\\b", "a\\b", None));
        assert!(compile("a^", Some('^')).is_err());
    }
}
