//! What Snowflake writes in a way that the SQL parser does not read, spelled as it does, token by token: the parts of structured
//! types, `{*}`, `COLLATE '…'` behind an operand, NTH_VALUE's FROM FIRST and FROM LAST, TIMESTAMP WITH LOCAL TIME ZONE, and the
//! ALL BY NAME of MERGE. Places stay those of the author's text.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Span, Token, TokenWithSpan, Word};

use crate::dialect::structured::Structure;

/// The type that a cast names in the place of COLLATE.
pub(in crate::dialect) const COLLATED: &str = "$COLLATED";

/// The function that NTH_VALUE … FROM LAST calls.
pub(in crate::dialect) const FROM_LAST: &str = "$NTH_VALUE_FROM_LAST";

/// The column, and its value, that ALL BY NAME of a MERGE names.
pub const ALL_BY_NAME: &str = "$ALL_BY_NAME";

/// Words that begin what is spelled anew.
const SPECIAL: [&str; 8] = ["ARRAY", "MAP", "OBJECT", "FIRST", "LAST", "COLLATE", "TIMESTAMP", "NAME"];

/// Words behind which a name follows and not a type.
const BEFORE_NAMES: [&str; 9] = ["TABLE", "VIEW", "INTO", "EXISTS", "FROM", "JOIN", "WITH", "UPDATE", "USING"];

/// The same tokens as the parser reads them.
pub(super) fn respelled(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let special = |token: &TokenWithSpan| match &token.token {
        Token::LBrace => true,
        Token::Word(word) => word.quote_style.is_none() && is_one_of(word, &SPECIAL),
        _ => false,
    };
    if tokens.iter().any(special) {
        Respelling { tokens, at: 0, out: Vec::new(), closing: Vec::new() }.run()
    } else {
        tokens
    }
}

fn is_one_of(word: &Word, names: &[&str]) -> bool {
    names.iter().any(|name| word.value.eq_ignore_ascii_case(name))
}

struct Respelling {
    tokens: Vec<TokenWithSpan>,
    at: usize,
    out: Vec<TokenWithSpan>,
    /// For every brace that is open, whether it closes as a parenthesis.
    closing: Vec<bool>,
}

impl Respelling {
    fn run(mut self) -> Vec<TokenWithSpan> {
        while let Some(token) = self.tokens.get(self.at).cloned() {
            self.at += 1;
            match &token.token {
                Token::Word(word) if word.quote_style.is_none() => self.word(&token, word),
                Token::LBrace => self.brace(token),
                Token::RBrace if self.closing.pop() == Some(true) => self.put(Token::RParen, token.span),
                _ => self.out.push(token),
            }
        }
        self.out
    }

    fn put(&mut self, token: Token, span: Span) {
        self.out.push(TokenWithSpan { token, span });
    }

    /// The place of the next token from `from` that is not space.
    fn solid(&self, from: usize) -> Option<usize> {
        let rest = self.tokens.get(from..)?;
        rest.iter().position(|token| !matches!(token.token, Token::Whitespace(_))).map(|at| from + at)
    }

    fn word_at(&self, at: usize, names: &[&str]) -> bool {
        let word = self.tokens.get(at).map(|token| &token.token);
        matches!(word, Some(Token::Word(word)) if word.quote_style.is_none() && is_one_of(word, names))
    }

    fn word(&mut self, token: &TokenWithSpan, word: &Word) {
        if is_one_of(word, &["ARRAY", "MAP", "OBJECT"]) && self.structured_type(word, token.span) {
            return;
        }
        if is_one_of(word, &["COLLATE"]) && self.collation(token.span) {
            return;
        }
        if is_one_of(word, &["FROM"]) && self.follows(&Token::RParen) && self.end_of_nth_value() {
            return;
        }
        if is_one_of(word, &["TIMESTAMP"]) && self.zoned(token.span) {
            return;
        }
        if is_one_of(word, &["ALL"]) && self.by_name(token.span) {
            return;
        }
        self.out.push(token.clone());
    }

    /// The place after these words, where they are what comes next from a place on, space aside.
    fn after(&self, from: usize, words: &[&str]) -> Option<usize> {
        let mut next = from;
        for word in words {
            next = self.solid(next).filter(|at| self.word_at(*at, &[word]))? + 1;
        }
        Some(next)
    }

    fn put_word(&mut self, value: &str, span: Span) {
        self.put(Token::Word(Word { value: value.to_string(), quote_style: None, keyword: Keyword::NoKeyword }), span);
    }

    /// FROM FIRST of NTH_VALUE goes, FROM LAST makes it another function; whether it was one of them.
    fn end_of_nth_value(&mut self) -> bool {
        let (first, last) = (self.after(self.at, &["FIRST"]), self.after(self.at, &["LAST"]));
        let end = first
            .or(last)
            .filter(|end| self.solid(*end).is_some_and(|at| self.word_at(at, &["OVER", "IGNORE", "RESPECT"])));
        let Some(end) = end else { return false };
        if first.is_none() {
            let Some(name) = self.called() else { return false };
            if let Token::Word(word) = &mut self.out[name].token {
                word.value = FROM_LAST.to_string();
            }
        }
        self.at = end;
        true
    }

    /// Where the NTH_VALUE stands whose call was put last.
    fn called(&self) -> Option<usize> {
        let mut depth = 0_u32;
        for (at, token) in self.out.iter().enumerate().rev() {
            match &token.token {
                Token::RParen => depth += 1,
                Token::LParen if depth == 1 => {
                    let mut before = self.out[..at].iter().enumerate().rev();
                    let (at, name) = before.find(|(_, token)| !matches!(token.token, Token::Whitespace(_)))?;
                    return match &name.token {
                        Token::Word(word) if is_one_of(word, &["NTH_VALUE"]) => Some(at),
                        _ => None,
                    };
                }
                Token::LParen => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        None
    }

    /// `TIMESTAMP(3) WITH LOCAL TIME ZONE` as TIMESTAMP_LTZ(3), and its siblings; whether it was one of them.
    fn zoned(&mut self, span: Span) -> bool {
        const ZONES: [(&[&str], &str); 3] = [
            (&["WITH", "LOCAL", "TIME", "ZONE"], "TIMESTAMP_LTZ"),
            (&["WITHOUT", "TIME", "ZONE"], "TIMESTAMP_NTZ"),
            (&["WITH", "TIME", "ZONE"], "TIMESTAMP_TZ"),
        ];
        let open = self.solid(self.at).filter(|at| self.tokens[*at].token == Token::LParen);
        let digits = open.and_then(|open| Some((open, self.matching(open)? + 1)));
        let from = digits.map_or(self.at, |(_, end)| end);
        let zoned = ZONES.iter().find_map(|(words, name)| Some((self.after(from, words)?, *name)));
        let Some((end, name)) = zoned else { return false };
        self.put_word(name, span);
        if let Some((open, close)) = digits {
            self.out.extend_from_slice(&self.tokens[open..close]);
        }
        self.at = end;
        true
    }

    /// `UPDATE ALL BY NAME` and `INSERT ALL BY NAME` as the column of all columns; whether it was one of them.
    fn by_name(&mut self, span: Span) -> bool {
        let Some(end) = self.after(self.at, &["BY", "NAME"]) else { return false };
        let span = Span::new(span.start, self.tokens[end - 1].span.end);
        let before = self.out.iter().rev().find(|token| !matches!(token.token, Token::Whitespace(_)));
        let of = |name| matches!(before.map(|t| &t.token), Some(Token::Word(word)) if is_one_of(word, &[name]));
        let keyword = |value: &str, keyword| Token::Word(Word { value: value.to_string(), quote_style: None, keyword });
        if of("UPDATE") {
            self.put(keyword("SET", Keyword::SET), span);
            self.put_word(ALL_BY_NAME, span);
            self.put(Token::Eq, span);
            self.put_word(ALL_BY_NAME, span);
        } else if of("INSERT") {
            self.put(Token::LParen, span);
            self.put_word(ALL_BY_NAME, span);
            self.put(Token::RParen, span);
            self.put(keyword("VALUES", Keyword::VALUES), span);
            self.put(Token::LParen, span);
            self.put_word(ALL_BY_NAME, span);
            self.put(Token::RParen, span);
        } else {
            return false;
        }
        self.at = end;
        true
    }

    /// Whether what was put last, space aside, is this token.
    fn follows(&self, wanted: &Token) -> bool {
        let mut solid = self.out.iter().rev().filter(|token| !matches!(token.token, Token::Whitespace(_)));
        solid.next().is_some_and(|token| token.token == *wanted)
    }

    /// `ARRAY(NUMBER(10, 2))` with the parts as one text; whether it was such a type.
    fn structured_type(&mut self, word: &Word, span: Span) -> bool {
        let mut before = self.out.iter().rev().filter(|token| !matches!(token.token, Token::Whitespace(_)));
        let typed = match before.next().map(|token| &token.token) {
            Some(Token::DoubleColon) => true,
            Some(Token::Word(word)) => word.quote_style.is_some() || !is_one_of(word, &BEFORE_NAMES),
            _ => false,
        };
        let open = self.solid(self.at).filter(|at| self.tokens[*at].token == Token::LParen);
        let (true, Some(open)) = (typed, open) else { return false };
        let Some(close) = self.matching(open) else { return false };
        let inner: String = self.tokens[open + 1..close].iter().map(|token| token.token.to_string()).collect();
        let name = word.value.to_uppercase();
        let cast = self.follows(&Token::DoubleColon);
        if Structure::parse(&format!("{name}({inner})")).is_none() && !cast {
            return false;
        }
        self.put(Token::Word(Word { value: name, quote_style: None, keyword: Keyword::NoKeyword }), span);
        self.out.push(self.tokens[open].clone());
        let place = Span::new(self.tokens[open].span.end, self.tokens[close].span.start);
        self.put(Token::SingleQuotedString(inner.trim().to_string()), place);
        self.out.push(self.tokens[close].clone());
        self.at = close + 1;
        true
    }

    /// `COLLATE 'spec'` behind an operand as a cast, which binds as tightly; in the columns of a CREATE it stays.
    fn collation(&mut self, span: Span) -> bool {
        let statement = self.out.iter().rev().take_while(|token| token.token != Token::SemiColon);
        let first = statement.filter(|token| !matches!(token.token, Token::Whitespace(_))).last();
        let defines = matches!(first.map(|t| &t.token), Some(Token::Word(w)) if is_one_of(w, &["CREATE", "ALTER"]));
        let spec = self.solid(self.at).filter(|at| matches!(self.tokens[*at].token, Token::SingleQuotedString(_)));
        let (false, Some(spec)) = (defines, spec) else { return false };
        self.put(Token::DoubleColon, span);
        let value = COLLATED.to_string();
        self.put(Token::Word(Word { value, quote_style: None, keyword: Keyword::NoKeyword }), span);
        self.put(Token::LParen, span);
        let spec_token = self.tokens[spec].clone();
        let end = spec_token.span;
        self.out.push(spec_token);
        self.put(Token::RParen, end);
        self.at = spec + 1;
        true
    }

    /// Where the parenthesis that opens at a place closes.
    fn matching(&self, open: usize) -> Option<usize> {
        let mut depth = 0_u32;
        for (at, token) in self.tokens.iter().enumerate().skip(open) {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen if depth == 1 => return Some(at),
                Token::RParen => depth -= 1,
                _ => {}
            }
        }
        None
    }

    /// `{*}` and `{t.*}` are OBJECT_CONSTRUCT of a star.
    fn brace(&mut self, token: TokenWithSpan) {
        let is = |at: Option<usize>, wanted: &Token| at.is_some_and(|at| self.tokens[at].token == *wanted);
        let first = self.solid(self.at);
        let word = first.is_some_and(|at| matches!(self.tokens[at].token, Token::Word(_)));
        let second = first.and_then(|at| self.solid(at + 1));
        let third = second.and_then(|at| self.solid(at + 1));
        let star = is(first, &Token::Mul) || word && is(second, &Token::Period) && is(third, &Token::Mul);
        self.closing.push(star);
        if star {
            let value = "OBJECT_CONSTRUCT".to_string();
            self.put(Token::Word(Word { value, quote_style: None, keyword: Keyword::NoKeyword }), token.span);
            self.put(Token::LParen, token.span);
        } else {
            self.out.push(token);
        }
    }
}
