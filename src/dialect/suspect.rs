//! Which parts of an SQL text an error that arose while it ran can have come of. A bound plan has no places, so the error's
//! own words tell what to look for: a function that it names, a division, a cast. It knows texts only, no rows.

use sqlparser::dialect::SnowflakeDialect;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::lex::Lines;
use crate::text::{SourceFile, Span};

/// What an error is looked for in.
enum Clue<'e> {
    /// A call of this function.
    Call(&'e str),
    /// `/`, `%` and the functions that divide.
    Division,
    /// A text with this value, else any cast.
    Cast(Option<&'e str>),
    /// Sums, products and powers, and casts.
    Arithmetic,
}

/// The places in a text that the error can have come of; none where its words do not tell.
pub fn suspects(source: &SourceFile, error: &str) -> Vec<Span> {
    let tokens = Tokenizer::new(&SnowflakeDialect, source.text()).tokenize_with_location().unwrap_or_default();
    let tokens: Vec<TokenWithSpan> =
        tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    let lines = Lines::new(source);
    for clue in clues(error) {
        let at = tokens.iter().enumerate().filter(|(at, _)| clue.meets(&tokens, *at));
        let found: Vec<Span> = at.filter_map(|(at, _)| whole(&lines, &tokens, at)).collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// What the words of an error tell, the surest first.
fn clues(error: &str) -> Vec<Clue<'_>> {
    let mut clues = Vec::new();
    let mut quoted = error.split('`').skip(1).step_by(2);
    clues.extend(quoted.next().filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_')).map(Clue::Call));
    if error.contains("division by zero") {
        clues.push(Clue::Division);
    }
    if ["recognized", "cast", "convert", "no NUMBER", "too long"].iter().any(|word| error.contains(word)) {
        let value = error.split_once('\'').and_then(|(_, rest)| rest.split_once('\'')).map(|(value, _)| value);
        clues.push(Clue::Cast(value.filter(|value| !value.is_empty())));
        clues.push(Clue::Cast(None));
    }
    if ["out of range", "out of the range", "outside of the years", "overflow"].iter().any(|word| error.contains(word))
    {
        clues.push(Clue::Arithmetic);
        clues.push(Clue::Cast(None));
    }
    clues
}

impl Clue<'_> {
    fn meets(&self, tokens: &[TokenWithSpan], at: usize) -> bool {
        let token = &tokens[at].token;
        let calls = |names: &dyn Fn(&str) -> bool| {
            let opens = tokens.get(at + 1).is_some_and(|next| next.token == Token::LParen);
            matches!(token, Token::Word(word) if opens && names(&word.value.to_lowercase()))
        };
        match self {
            Self::Call(name) => calls(&|word| word.eq_ignore_ascii_case(name)),
            Self::Division => matches!(token, Token::Div | Token::Mod) || calls(&|word| word == "mod"),
            Self::Cast(Some(value)) => matches!(token, Token::SingleQuotedString(text) if text == value),
            Self::Cast(None) => {
                *token == Token::DoubleColon || calls(&|word| word == "cast" || word.starts_with("to_"))
            }
            Self::Arithmetic => {
                let binary = at > 0 && ends_operand(&tokens[at - 1].token);
                let operator = matches!(token, Token::Mul | Token::Plus | Token::Minus) && binary;
                operator && !is_star(tokens, at) || calls(&|word| matches!(word, "sum" | "power" | "dateadd" | "exp"))
            }
        }
    }
}

/// Whether a value ends with this token, so that a sign after it is an operator.
fn ends_operand(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.keyword == sqlparser::keywords::Keyword::NoKeyword || word.quote_style.is_some(),
        other => matches!(other, Token::Number(..) | Token::RParen | Token::RBracket | Token::SingleQuotedString(_)),
    }
}

/// `*` that stands for all columns.
fn is_star(tokens: &[TokenWithSpan], at: usize) -> bool {
    let opens = |token: &Token| matches!(token, Token::LParen | Token::Comma | Token::Period);
    tokens[at].token == Token::Mul && at > 0 && opens(&tokens[at - 1].token)
}

/// The place of a token; a call with its arguments.
fn whole(lines: &Lines, tokens: &[TokenWithSpan], at: usize) -> Option<Span> {
    let mut span = tokens[at].span;
    if matches!(tokens[at].token, Token::Word(_)) {
        let mut depth = 0_usize;
        for token in &tokens[at + 1..] {
            depth = match token.token {
                Token::LParen => depth + 1,
                Token::RParen => depth.saturating_sub(1),
                _ => depth,
            };
            if depth == 0 {
                span.end = token.span.end;
                break;
            }
        }
    }
    lines.span(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(sql: &str, error: &str) -> Vec<String> {
        let source = SourceFile::new("t.sql", sql);
        suspects(&source, error).iter().map(|span| span.text().to_owned()).collect()
    }

    #[test]
    fn an_error_leads_to_what_can_have_raised_it() {
        let sql =
            "select -- a / b\n a / b as x, mod(a, (b)), to_date(c), sum(a * 2), '1/2', count(*), d::int, -a from t";
        assert_eq!(found(sql, "division by zero"), ["/", "mod(a, (b))"]);
        assert_eq!(found(sql, "`to_date`: '2026-13-01' is not recognized"), ["to_date(c)"]);
        assert_eq!(found(sql, "date '2026-13-01' is not recognized"), ["to_date(c)", "::"]);
        assert_eq!(found("select x > 'abc' from t", "numeric value 'abc' is not recognized"), ["'abc'"]);
        assert_eq!(found(sql, "number out of range"), ["sum(a * 2)", "*"]);
        assert_eq!(found(sql, "the file is damaged"), Vec::<String>::new());
    }
}
