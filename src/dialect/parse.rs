//! Tokens → AST, one statement at a time, so that every statement's error is found. It resolves no name.

use std::ops::ControlFlow;
use std::sync::Arc;

use sqlparser::ast::{self, Expr, ObjectName, Query, SetExpr, Spanned as _, TableFactor, Visit, Visitor};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::grammar::Grammar;
use super::lex::{self, Lines, Tokens};
use crate::diagnostic::Diagnostic;
use crate::name::{Name, TableName, nearest};
use crate::text::{SourceFile, Span, Spanned};

/// Levels of nested expressions and queries that are read; more is an error, not a full stack.
pub(super) const DEPTH: usize = 120;

/// Snowflake's table of one row, which needs none.
pub(super) const DUAL: &str = "DUAL";

/// The greatest depth of an expression; chains of operators are as deep as they are long.
const CHAIN: usize = 500;

/// Words that statements begin with.
const FIRST_WORDS: [&str; 14] = [
    "select", "with", "insert", "update", "delete", "merge", "create", "alter", "drop", "show", "describe", "use",
    "set", "truncate",
];

/// Whether an expression of the statement is deeper than [`CHAIN`].
fn too_deep(ast: &ast::Statement) -> bool {
    ast.visit(&mut Depth { now: 0 }).is_break()
}

struct Depth {
    now: usize,
}

impl Visitor for Depth {
    type Break = ();

    fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.now += 1;
        if self.now > CHAIN { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.now -= 1;
        ControlFlow::Continue(())
    }
}

/// One parsed statement and the text it was read from.
#[derive(Clone)]
pub struct Statement {
    ast: ast::Statement,
    span: Span,
    lines: Lines,
    /// Its tokens, spaces and comments left out.
    tokens: Arc<[TokenWithSpan]>,
    stack: Stack,
}

/// Reads all statements of a text; every statement that cannot be read gives a diagnostic.
pub fn parse(source: &SourceFile) -> Result<Vec<Statement>, Vec<Diagnostic>> {
    let lines = Lines::new(source);
    let tokens = lex::statements(&lines).map_err(|diagnostic| vec![diagnostic])?;
    let mut statements = Vec::new();
    let mut diagnostics = Vec::new();
    for tokens in tokens {
        match Stack::of(&tokens).with(|| statement(&lines, tokens)) {
            Ok(statement) => statements.push(statement),
            Err(diagnostic) => diagnostics.push(diagnostic),
        }
    }
    if diagnostics.is_empty() { Ok(statements) } else { Err(diagnostics) }
}

/// As much stack as the nesting of a statement can take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stack {
    free: usize,
}

impl Stack {
    pub(super) fn of(tokens: &[TokenWithSpan]) -> Self {
        let (mut depth, mut deepest) = (0_usize, 0_usize);
        for token in tokens {
            match token.token {
                Token::LParen | Token::LBracket | Token::LBrace => {
                    depth += 1;
                    deepest = deepest.max(depth);
                }
                Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        let plain = deepest < 12 && tokens.len() < 3000;
        Self { free: if plain { 4 } else { 128 } }
    }

    /// Runs a step over the statement.
    pub(super) fn with<T>(self, step: impl FnOnce() -> T) -> T {
        stacker::maybe_grow(self.free * 1024 * 1024, 256 * 1024 * 1024, step)
    }
}

pub(super) fn statement(lines: &Lines, tokens: Tokens) -> Result<Statement, Diagnostic> {
    let (span, stack) = (extent(lines, &tokens), Stack::of(&tokens));
    let mut parser = Parser::new(&Grammar).with_recursion_limit(DEPTH).with_tokens_with_locations(tokens);
    let parsed = parser.parse_statement().and_then(|ast| match parser.peek_token().token {
        Token::EOF => Ok(ast),
        _ => parser.expected_ref("end of statement", parser.peek_token_ref()),
    });
    match parsed {
        Ok(ast) if too_deep(&ast) => {
            let message = format!("an expression of more than {CHAIN} operators in a row");
            Err(Diagnostic::error("sql-syntax", message).at(span))
        }
        Ok(ast) => {
            let solid = |token: &TokenWithSpan| !matches!(token.token, Token::Whitespace(_));
            let tokens = parser.into_tokens().into_iter().filter(solid).collect();
            Ok(Statement { ast, span, lines: lines.clone(), tokens, stack })
        }
        Err(error) => Err(syntax_error(&error, &parser, lines, span)),
    }
}

/// From the first to the last token that is not space.
pub(super) fn extent(lines: &Lines, tokens: &[TokenWithSpan]) -> Span {
    let mut solid = tokens.iter().filter(|t| !matches!(t.token, Token::Whitespace(_)));
    let first = solid.next();
    let last = solid.next_back().or(first);
    let start = first.map_or(0, |t| lines.offset(t.span.start));
    let end = last.map_or(start, |t| lines.offset(t.span.end));
    lines.file().span(start..end)
}

pub(super) fn syntax_error(error: &ParserError, parser: &Parser<'_>, lines: &Lines, whole: Span) -> Diagnostic {
    let text = match error {
        ParserError::RecursionLimitExceeded => {
            return Diagnostic::error("sql-syntax", format!("nested more than {DEPTH} levels deep")).at(whole);
        }
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => text,
    };
    let (message, place) = match text.rsplit_once(" at Line: ") {
        Some((message, place)) => (message, location(place)),
        None => (text.as_str(), None),
    };
    let start = match place {
        Some(at) => lines.offset(at),
        None => lines.span(parser.peek_token_ref().span).map_or(whole.end, |span| span.start),
    };
    let end = word_end(lines.file().text(), start);
    let span = if start >= whole.end { whole.file.span(whole.end..whole.end) } else { lines.file().span(start..end) };
    let first = message.contains("an SQL statement").then(|| nearest(span.text(), FIRST_WORDS)).flatten();
    Diagnostic::error("sql-syntax", lower_first(message)).at(span).did_you_mean(first)
}

fn location(place: &str) -> Option<sqlparser::tokenizer::Location> {
    let (line, column) = place.split_once(", Column: ")?;
    Some(sqlparser::tokenizer::Location::new(line.trim().parse().ok()?, column.trim().parse().ok()?))
}

fn word_end(text: &str, start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    start + word.max(1)
}

fn lower_first(message: &str) -> String {
    let message = message.trim_start_matches("sql parser error: ");
    let mut chars = message.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

impl Statement {
    /// Where it stands.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Its text, without the closing `;`.
    pub fn text(&self) -> &str {
        self.span.text()
    }

    /// What was read, names folded.
    pub fn ast(&self) -> &ast::Statement {
        &self.ast
    }

    /// Another statement read from the same text: the query inside one that writes.
    #[must_use]
    pub fn with_ast(&self, ast: ast::Statement) -> Self {
        Self { ast, ..self.clone() }
    }

    /// Whether it only reads: a SELECT, VALUES or WITH.
    pub fn is_query(&self) -> bool {
        matches!(self.ast, ast::Statement::Query(_))
    }

    /// The place of a part of the AST; the whole statement where the parser kept none.
    pub fn place(&self, span: sqlparser::tokenizer::Span) -> Span {
        self.lines.span(span).unwrap_or_else(|| self.span.clone())
    }

    /// Its tokens, spaces and comments left out.
    pub(super) fn tokens(&self) -> &[TokenWithSpan] {
        &self.tokens
    }

    /// As much stack as its nesting can take.
    pub(super) fn stack(&self) -> Stack {
        self.stack
    }

    /// Whether one of these words, in upper case, stands in it outside quotes.
    pub(super) fn has_word(&self, words: &[&str]) -> bool {
        self.tokens.iter().any(|token| match &token.token {
            Token::Word(word) => word.quote_style.is_none() && words.contains(&word.value.as_str()),
            _ => false,
        })
    }

    /// Whether it begins with these words, in upper case.
    pub fn starts_with(&self, words: &[&str]) -> bool {
        self.tokens.len() >= words.len()
            && self.tokens.iter().zip(words).all(|(token, word)| match &token.token {
                Token::Word(own) => own.quote_style.is_none() && own.value == *word,
                _ => false,
            })
    }

    /// Whether such tokens stand in it one after the other.
    fn has_run(&self, wanted: &[&dyn Fn(&Token) -> bool]) -> bool {
        self.tokens.windows(wanted.len()).any(|run| run.iter().zip(wanted).all(|(token, is)| is(&token.token)))
    }

    /// Whether RANDOM is called with an argument.
    pub(super) fn has_seeded_random(&self) -> bool {
        let random = |token: &Token| matches!(token, Token::Word(word) if word.value == "RANDOM");
        let argument = |token: &Token| *token != Token::RParen;
        self.has_word(&["RANDOM"]) && self.has_run(&[&random, &|token| *token == Token::LParen, &argument])
    }

    /// Whether the outer join operator `(+)` stands in it.
    pub(super) fn has_outer_operator(&self) -> bool {
        let is = |wanted: Token| move |token: &Token| *token == wanted;
        self.has_run(&[&is(Token::LParen), &is(Token::Plus), &is(Token::RParen)])
    }

    /// The text of an item of the list of the SELECT that starts at a place.
    pub(super) fn item_text(&self, select: Location, index: usize) -> Option<&str> {
        let start = self.tokens.iter().position(|token| token.span.start == select)?;
        let (mut depth, mut item) = (0_u32, 0_usize);
        let mut extent: Option<(usize, usize)> = None;
        let mut within = false;
        for token in self.tokens.get(start + 1..)? {
            match &token.token {
                Token::Word(word) if extent.is_none() && matches!(word.keyword, Keyword::DISTINCT | Keyword::ALL) => {
                    continue;
                }
                Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
                Token::RParen | Token::RBracket | Token::RBrace if depth == 0 => break,
                Token::RParen | Token::RBracket | Token::RBrace => depth -= 1,
                Token::Comma if depth == 0 => {
                    if item == index {
                        break;
                    }
                    item += 1;
                    continue;
                }
                Token::Word(word) if depth == 0 && !within && ends_list(word.keyword) && word.quote_style.is_none() => {
                    break;
                }
                _ => {}
            }
            within = matches!(&token.token, Token::Word(word) if word.keyword == Keyword::WITHIN);
            if item == index {
                let (from, to) = (self.lines.offset(token.span.start), self.lines.offset(token.span.end));
                extent = Some((extent.map_or(from, |(first, _)| first), to));
            }
        }
        let (from, to) = extent?;
        self.lines.file().text().get(from..to)
    }

    /// The tables it reads, each once per mention, without the names of its own WITH clauses.
    pub fn tables(&self) -> Vec<Spanned<TableName>> {
        let mut reads = Reads { statement: self, scopes: Vec::new(), tables: Vec::new() };
        let _: ControlFlow<()> = self.ast.visit(&mut reads);
        reads.tables
    }

    /// Whether the same input can give another result: it draws random numbers or identifiers.
    pub fn is_volatile(&self) -> bool {
        self.ast.visit(&mut Volatile).is_break()
    }
}

/// Whether a keyword ends a SELECT list.
fn ends_list(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::FROM
            | Keyword::WHERE
            | Keyword::GROUP
            | Keyword::HAVING
            | Keyword::QUALIFY
            | Keyword::WINDOW
            | Keyword::ORDER
            | Keyword::LIMIT
            | Keyword::OFFSET
            | Keyword::FETCH
            | Keyword::UNION
            | Keyword::EXCEPT
            | Keyword::MINUS
            | Keyword::INTERSECT
    )
}

/// The table that a dotted name means; none where it has more than three parts or computed ones.
pub fn table_name(name: &ObjectName) -> Option<TableName> {
    let mut parts = Vec::new();
    for part in &name.0 {
        parts.push(Name::quoted(part.as_ident()?.value.clone()));
    }
    let table = parts.pop()?;
    let schema = parts.pop().filter(|name| !name.as_str().is_empty());
    let database = parts.pop();
    parts.is_empty().then_some(TableName { database, schema, table })
}

struct Reads<'a> {
    statement: &'a Statement,
    scopes: Vec<Vec<Name>>,
    tables: Vec<Spanned<TableName>>,
}

impl Reads<'_> {
    fn is_cte(&self, name: &TableName) -> bool {
        name.schema.is_none() && self.scopes.iter().flatten().any(|cte| *cte == name.table)
    }

    fn read(&mut self, name: &ObjectName) {
        if let Some(table) = table_name(name)
            && !self.is_cte(&table)
            && table != TableName::bare(Name::quoted(DUAL))
        {
            self.tables.push(Spanned::new(table, self.statement.place(name.span())));
        }
    }
}

impl Visitor for Reads<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.scopes.push(ctes.map(|cte| Name::quoted(cte.alias.name.value.clone())).collect());
        if let SetExpr::Table(table) = query.body.as_ref()
            && let Some(name) = &table.table_name
        {
            self.tables.push(Spanned::new(TableName::bare(Name::quoted(name.clone())), self.statement.span.clone()));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: None, .. } = factor {
            self.read(name);
        }
        ControlFlow::Continue(())
    }
}

struct Volatile;

const VOLATILE: [&str; 6] = ["RANDOM", "RANDSTR", "UNIFORM", "NORMAL", "ZIPF", "UUID_STRING"];

impl Visitor for Volatile {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) if VOLATILE.contains(&function.name.to_string().as_str()) => {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}
