//! The columns of CREATE TABLE as the SQL parser reads them: one without a type, as CREATE TABLE … AS allows, gets the name of a
//! type that says so, and the words go that tell Snowflake's optimiser what to make of a constraint.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// The type of a column that has none.
pub(in crate::dialect) const UNTYPED: &str = "$UNTYPED";

/// What may be said of a constraint that is not enforced anyway.
const OF_CONSTRAINTS: [&str; 6] = ["RELY", "NORELY", "VALIDATE", "NOVALIDATE", "ENABLE", "DISABLE"];

/// Words that begin something other than a column.
const OTHERS: [&str; 5] = ["CONSTRAINT", "PRIMARY", "UNIQUE", "FOREIGN", "CHECK"];

/// Spells the columns of a CREATE TABLE, and the constraint of an ALTER TABLE, whose words are folded, anew.
pub(super) fn respell(tokens: &mut Vec<TokenWithSpan>) {
    let mut solid = tokens.iter().enumerate().filter(|(_, token)| !matches!(token.token, Token::Whitespace(_)));
    let range = match solid.next() {
        Some((_, first)) if is(&first.token, &["CREATE"]) => column_list(tokens),
        Some((at, first)) if is(&first.token, &["ALTER"]) => constraint(tokens, at),
        _ => None,
    };
    let Some((from, to)) = range else { return };
    let list: Vec<TokenWithSpan> = tokens.drain(from..to).collect();
    let list = spelled(list);
    tokens.splice(from..from, list);
}

fn is(token: &Token, words: &[&str]) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && words.contains(&word.value.as_str()))
}

fn is_space(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

/// What stands between the parentheses of the column list.
fn column_list(tokens: &[TokenWithSpan]) -> Option<(usize, usize)> {
    let open = tokens.iter().position(|token| token.token == Token::LParen)?;
    let table = tokens[..open].iter().any(|token| is(&token.token, &["TABLE"]));
    let query = tokens[..open].iter().any(|token| is(&token.token, &["AS", "LIKE", "CLONE", "IDENTIFIER"]));
    let first = tokens[open + 1..].iter().find(|token| !is_space(token))?;
    if !table || query || is(&first.token, &["SELECT", "WITH"]) {
        return None;
    }
    let mut depth = 0_u32;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 1 => return Some((open + 1, at)),
            Token::RParen => depth -= 1,
            _ => {}
        }
    }
    None
}

/// What follows ADD of a constraint.
fn constraint(tokens: &[TokenWithSpan], from: usize) -> Option<(usize, usize)> {
    let add = from + tokens[from..].iter().position(|token| is(&token.token, &["ADD"]))?;
    let next = add + 1 + tokens[add + 1..].iter().position(|token| !is_space(token))?;
    is(&tokens[next].token, &OTHERS).then_some((next, tokens.len()))
}

fn spelled(list: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(list.len() + 8);
    let (mut depth, mut begins) = (0_u32, true);
    for (at, token) in list.iter().enumerate() {
        match &token.token {
            Token::Whitespace(_) => {}
            Token::Comma if depth == 0 => begins = true,
            Token::Word(word) => {
                let next = list[at + 1..].iter().find(|token| !is_space(token));
                let ends = next.is_none_or(|next| next.token == Token::Comma) && depth == 0;
                let quoted = word.quote_style.is_some();
                if !begins && depth == 0 && is(&token.token, &OF_CONSTRAINTS) {
                    continue;
                }
                if begins && ends && (quoted || !is(&token.token, &OTHERS)) {
                    let untyped = Word { value: UNTYPED.to_string(), quote_style: None, keyword: Keyword::NoKeyword };
                    out.push(token.clone());
                    out.push(TokenWithSpan { token: Token::Word(untyped), span: token.span });
                    begins = false;
                    continue;
                }
                begins = false;
            }
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => begins = false,
        }
        out.push(token.clone());
    }
    out
}
