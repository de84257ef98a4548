//! What Snowflake writes in a way that the SQL parser does not read, spelled as it does, token by token: the parts of structured
//! types, `{*}`, `COLLATE '…'` behind an operand, and NTH_VALUE's FROM FIRST. Places stay those of the author's text.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Span, Token, TokenWithSpan, Word};

use crate::dialect::structured::Structure;

/// The type that a cast names in the place of COLLATE.
pub(in crate::dialect) const COLLATED: &str = "$COLLATED";

/// Words behind which a name follows and not a type.
const BEFORE_NAMES: [&str; 9] = ["TABLE", "VIEW", "INTO", "EXISTS", "FROM", "JOIN", "WITH", "UPDATE", "USING"];

/// The same tokens as the parser reads them.
pub(super) fn respelled(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let special = |token: &TokenWithSpan| match &token.token {
        Token::LBrace => true,
        Token::Word(word) => {
            word.quote_style.is_none() && is_one_of(word, &["ARRAY", "MAP", "OBJECT", "FIRST", "COLLATE"])
        }
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
        if is_one_of(word, &["FROM"]) && self.follows(&Token::RParen) {
            let first = self.solid(self.at).filter(|at| self.word_at(*at, &["FIRST"]));
            let over = first.and_then(|first| self.solid(first + 1));
            if over.is_some_and(|at| self.word_at(at, &["OVER", "IGNORE", "RESPECT"])) {
                self.at = first.map_or(self.at, |first| first + 1);
                return;
            }
        }
        self.out.push(token.clone());
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
