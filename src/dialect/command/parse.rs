//! Tokens → `Command`. Words are compared as Snowflake does, whatever the SQL parser thinks of them as keywords.

use sqlparser::ast::{Ident, ObjectName};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::alter;
use super::{Command, ObjectKind, Show};

type Parsed<T> = Result<T, ParserError>;

/// Reads a command, or nothing where the tokens begin as a statement of the SQL parser.
pub(super) fn command(parser: &mut Parser<'_>) -> Parsed<Option<Command>> {
    let first = word_at(parser, 0).unwrap_or_default();
    let command = match first.as_str() {
        "CREATE" => return create(parser),
        "ALTER" => return alter::alter(parser),
        "DROP" => drop_object(parser)?,
        "UNDROP" => refused(parser, "dropped objects are not kept"),
        "TRUNCATE" => truncate(parser)?,
        "COMMENT" => comment(parser)?,
        "UNSET" => unset(parser)?,
        "USE" => use_object(parser)?,
        "SHOW" => show(parser)?,
        "DESC" | "DESCRIBE" => describe(parser)?,
        "EXPLAIN" => {
            skip(parser);
            Command::Refused(first, "plans are Snowflake's own; `pipe plan` shows what a run does")
        }
        "BEGIN" => return begin(parser),
        "START" => transaction(parser, Command::Begin, &["START", "TRANSACTION"]),
        "COMMIT" => transaction(parser, Command::Commit, &["COMMIT", "WORK"]),
        "ROLLBACK" => transaction(parser, Command::Rollback, &["ROLLBACK", "WORK"]),
        "DECLARE" | "LET" | "CALL" | "EXECUTE" | "RETURN" | "FOR" | "WHILE" | "REPEAT" | "LOOP" => {
            refused(parser, "Snowflake Scripting is not run here")
        }
        "GRANT" | "REVOKE" => refused(parser, "there are no roles here"),
        "COPY" | "PUT" | "GET" | "LIST" | "LS" | "REMOVE" | "RM" => refused(parser, "there are no stages here"),
        _ => return Ok(None),
    };
    Ok(Some(command))
}

/// The unquoted word at a place, in upper case.
pub(super) fn word_at(parser: &Parser<'_>, index: usize) -> Option<String> {
    match &parser.peek_nth_token_ref(index).token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_uppercase()),
        _ => None,
    }
}

/// Steps over these words where they stand next.
pub(super) fn words(parser: &mut Parser<'_>, expected: &[&str]) -> bool {
    let all = expected.iter().enumerate().all(|(index, word)| word_at(parser, index).as_deref() == Some(*word));
    if all {
        for _ in expected {
            parser.next_token();
        }
    }
    all
}

pub(super) fn expect(parser: &mut Parser<'_>, expected: &str) -> Parsed<()> {
    if words(parser, &[expected]) { Ok(()) } else { parser.expected_ref(expected, parser.peek_token_ref()) }
}

/// Takes all tokens: the statement is refused whatever follows.
pub(super) fn refused(parser: &mut Parser<'_>, why: &'static str) -> Command {
    let mut name = Vec::new();
    while name.len() < 2
        && let Some(word) = word_at(parser, 0)
    {
        parser.next_token();
        if !matches!(word.as_str(), "OR" | "REPLACE" | "IF" | "NOT" | "EXISTS" | "TEMPORARY" | "TEMP") {
            name.push(word);
        }
    }
    skip(parser);
    Command::Refused(name.join(" "), why)
}

/// Takes the rest of the statement.
pub(super) fn skip(parser: &mut Parser<'_>) {
    while parser.peek_token_ref().token != Token::EOF {
        parser.next_token();
    }
}

pub(super) fn name(parser: &mut Parser<'_>) -> Parsed<ObjectName> {
    parser.parse_object_name(false)
}

pub(super) fn text(parser: &mut Parser<'_>) -> Parsed<String> {
    let _ = parser.consume_token(&Token::Eq);
    match parser.peek_token_ref().token.clone() {
        Token::SingleQuotedString(text) => {
            parser.next_token();
            Ok(text)
        }
        Token::DollarQuotedString(text) => {
            parser.next_token();
            Ok(text.value)
        }
        _ => parser.expected_ref("a string", parser.peek_token_ref()),
    }
}

pub(super) fn integer(parser: &mut Parser<'_>) -> Parsed<i64> {
    let _ = parser.consume_token(&Token::Eq);
    let negative = parser.consume_token(&Token::Minus);
    match &parser.peek_token_ref().token {
        Token::Number(digits, _) => match digits.parse::<i64>() {
            Ok(number) => {
                parser.next_token();
                Ok(if negative { -number } else { number })
            }
            Err(_) => parser.expected_ref("a whole number", parser.peek_token_ref()),
        },
        _ => parser.expected_ref("a whole number", parser.peek_token_ref()),
    }
}

pub(super) fn if_exists(parser: &mut Parser<'_>) -> bool {
    words(parser, &["IF", "EXISTS"])
}

/// The kinds of objects that stand in the catalogue.
pub(super) fn kind(parser: &Parser<'_>) -> Option<ObjectKind> {
    Some(match word_at(parser, 0)?.as_str() {
        "TABLE" => ObjectKind::Table,
        "VIEW" => ObjectKind::View,
        "COLUMN" => ObjectKind::Column,
        "SEQUENCE" => ObjectKind::Sequence,
        "SCHEMA" => ObjectKind::Schema,
        "DATABASE" => ObjectKind::Database,
        _ => return None,
    })
}

fn create(parser: &mut Parser<'_>) -> Parsed<Option<Command>> {
    let mut at = 1;
    let or_replace =
        word_at(parser, at).as_deref() == Some("OR") && word_at(parser, at + 1).as_deref() == Some("REPLACE");
    at += if or_replace { 2 } else { 0 };
    let modifiers = ["TRANSIENT", "SECURE", "LOCAL", "GLOBAL", "TEMP", "TEMPORARY", "VOLATILE"];
    while word_at(parser, at).is_some_and(|word| modifiers.contains(&word.as_str())) {
        at += 1;
    }
    let why = match word_at(parser, at).unwrap_or_default().as_str() {
        "TABLE" | "VIEW" => return Ok(None),
        "SEQUENCE" => {
            advance(parser, at + 1);
            return sequence(parser, or_replace).map(Some);
        }
        "SCHEMA" | "DATABASE" => {
            advance(parser, at);
            return container(parser, or_replace).map(Some);
        }
        "MATERIALIZED" | "RECURSIVE" => "only plain views are kept here",
        "HYBRID" | "EXTERNAL" | "DYNAMIC" | "ICEBERG" | "EVENT" => "only plain tables are kept here",
        "FUNCTION" | "AGGREGATE" | "PROCEDURE" | "EXTERNALFUNCTION" => "user-defined functions are not run here",
        "STAGE" | "FILE" | "PIPE" => "there are no stages here",
        "TASK" | "STREAM" | "ALERT" => "jobs do that here",
        "ROLE" | "USER" | "WAREHOUSE" | "TAG" | "MASKING" | "ROW" | "NETWORK" | "RESOURCE" | "SHARE" => {
            "there are no roles, warehouses or policies here"
        }
        _ => return Ok(None),
    };
    let name = [word_at(parser, 0), word_at(parser, at), word_at(parser, at + 1).filter(|_| two_words(parser, at))];
    let name = name.into_iter().flatten().collect::<Vec<_>>().join(" ");
    skip(parser);
    Ok(Some(Command::Refused(name, why)))
}

/// Whether the object at a place is named by two words, as in EXTERNAL TABLE.
fn two_words(parser: &Parser<'_>, at: usize) -> bool {
    let first = word_at(parser, at).unwrap_or_default();
    ["MATERIALIZED", "RECURSIVE", "HYBRID", "EXTERNAL", "DYNAMIC", "ICEBERG", "EVENT", "FILE", "MASKING", "ROW"]
        .contains(&first.as_str())
}

fn advance(parser: &mut Parser<'_>, tokens: usize) {
    for _ in 0..tokens {
        parser.next_token();
    }
}

fn sequence(parser: &mut Parser<'_>, or_replace: bool) -> Parsed<Command> {
    let if_not_exists = words(parser, &["IF", "NOT", "EXISTS"]);
    let name = name(parser)?;
    let (mut start, mut increment, mut comment) = (1, 1, None);
    words(parser, &["WITH"]);
    while parser.peek_token_ref().token != Token::EOF {
        let _ = parser.consume_token(&Token::Comma);
        if words(parser, &["START"]) {
            words(parser, &["WITH"]);
            start = integer(parser)?;
        } else if words(parser, &["INCREMENT"]) {
            words(parser, &["BY"]);
            increment = integer(parser)?;
        } else if words(parser, &["COMMENT"]) {
            comment = Some(text(parser)?);
        } else if !(words(parser, &["ORDER"]) || words(parser, &["NOORDER"])) {
            return parser.expected_ref("START, INCREMENT, ORDER, NOORDER or COMMENT", parser.peek_token_ref());
        }
    }
    if increment == 0 {
        return Err(ParserError::ParserError("a sequence cannot have an increment of 0".to_string()));
    }
    Ok(Command::CreateSequence { or_replace, if_not_exists, name, start, increment, comment })
}

fn container(parser: &mut Parser<'_>, or_replace: bool) -> Parsed<Command> {
    let kind = if words(parser, &["SCHEMA"]) { ObjectKind::Schema } else { ObjectKind::Database };
    words(parser, &["DATABASE"]);
    let if_not_exists = words(parser, &["IF", "NOT", "EXISTS"]);
    let name = name(parser)?;
    let (mut clone, mut comment) = (None, None);
    while parser.peek_token_ref().token != Token::EOF {
        if words(parser, &["CLONE"]) {
            clone = Some(parser.parse_object_name(false)?);
        } else if words(parser, &["COMMENT"]) {
            comment = Some(text(parser)?);
        } else if words(parser, &["WITH", "MANAGED", "ACCESS"]) {
        } else {
            property(parser)?;
        }
    }
    Ok(Command::CreateContainer { kind, or_replace, if_not_exists, name, clone, comment })
}

/// Steps over `NAME = value`.
pub(super) fn property(parser: &mut Parser<'_>) -> Parsed<()> {
    if word_at(parser, 0).is_none() {
        return parser.expected_ref("a property", parser.peek_token_ref());
    }
    parser.next_token();
    if !parser.consume_token(&Token::Eq) {
        return parser.expected_ref("`=`", parser.peek_token_ref());
    }
    let _ = parser.consume_token(&Token::Minus);
    parser.next_token();
    let _ = parser.consume_token(&Token::Comma);
    Ok(())
}

fn drop_object(parser: &mut Parser<'_>) -> Parsed<Command> {
    let found = {
        advance(parser, 1);
        kind(parser)
    };
    let Some(kind) = found.filter(|kind| *kind != ObjectKind::Column) else {
        parser.prev_token();
        return Ok(refused(parser, "only tables, views, sequences, schemas and databases are kept here"));
    };
    parser.next_token();
    let if_exists = if_exists(parser);
    let name = name(parser)?;
    let restrict = words(parser, &["RESTRICT"]);
    words(parser, &["CASCADE"]);
    Ok(Command::Drop { kind, if_exists, name, restrict })
}

fn truncate(parser: &mut Parser<'_>) -> Parsed<Command> {
    advance(parser, 1);
    if word_at(parser, 0).as_deref() == Some("MATERIALIZED") {
        parser.prev_token();
        return Ok(refused(parser, "only plain views are kept here"));
    }
    words(parser, &["TABLE"]);
    let if_exists = if_exists(parser);
    Ok(Command::Truncate { if_exists, name: name(parser)? })
}

fn comment(parser: &mut Parser<'_>) -> Parsed<Command> {
    advance(parser, 1);
    let if_exists = if_exists(parser);
    expect(parser, "ON")?;
    let Some(kind) = kind(parser) else {
        return parser.expected_ref("TABLE, VIEW, COLUMN, SEQUENCE, SCHEMA or DATABASE", parser.peek_token_ref());
    };
    parser.next_token();
    let name = name(parser)?;
    expect(parser, "IS")?;
    Ok(Command::Comment { kind, if_exists, name, comment: text(parser)? })
}

fn unset(parser: &mut Parser<'_>) -> Parsed<Command> {
    advance(parser, 1);
    let list = parser.consume_token(&Token::LParen);
    let names = parser.parse_comma_separated(|parser| parser.parse_identifier())?;
    if list && !parser.consume_token(&Token::RParen) {
        return parser.expected_ref("`)`", parser.peek_token_ref());
    }
    Ok(Command::Unset(names))
}

fn use_object(parser: &mut Parser<'_>) -> Parsed<Command> {
    advance(parser, 1);
    if words(parser, &["SECONDARY", "ROLES"]) {
        skip(parser);
        return Ok(Command::Use(ObjectKind::Role, ObjectName::from(vec![Ident::new("ALL")])));
    }
    let kind = match word_at(parser, 0).unwrap_or_default().as_str() {
        "ROLE" => Some(ObjectKind::Role),
        "WAREHOUSE" => Some(ObjectKind::Warehouse),
        "SCHEMA" => Some(ObjectKind::Schema),
        "DATABASE" => Some(ObjectKind::Database),
        _ => None,
    };
    if kind.is_some() {
        parser.next_token();
    }
    let name = name(parser)?;
    let other = if name.0.len() > 1 { ObjectKind::Schema } else { ObjectKind::Database };
    Ok(Command::Use(kind.unwrap_or(other), name))
}

fn show(parser: &mut Parser<'_>) -> Parsed<Command> {
    advance(parser, 1);
    let mut show = Show { terse: words(parser, &["TERSE"]), ..Show::default() };
    let mut what = Vec::new();
    while let Some(word) = word_at(parser, 0) {
        if matches!(word.as_str(), "LIKE" | "IN" | "STARTS" | "LIMIT" | "HISTORY") {
            break;
        }
        what.push(word);
        parser.next_token();
    }
    show.what = what.join(" ");
    words(parser, &["HISTORY"]);
    while parser.peek_token_ref().token != Token::EOF {
        if words(parser, &["LIKE"]) {
            show.like = Some(text(parser)?);
        } else if words(parser, &["IN"]) {
            show.within = Some(within(parser)?);
        } else if words(parser, &["STARTS", "WITH"]) {
            show.starts_with = Some(text(parser)?);
        } else if words(parser, &["LIMIT"]) {
            show.limit = usize::try_from(integer(parser)?).ok();
            if words(parser, &["FROM"]) {
                text(parser)?;
            }
        } else {
            return parser.expected_ref("LIKE, IN, STARTS WITH or LIMIT", parser.peek_token_ref());
        }
    }
    Ok(Command::Show(show))
}

fn within(parser: &mut Parser<'_>) -> Parsed<(String, Option<ObjectName>)> {
    let scope = match word_at(parser, 0) {
        Some(word) if matches!(word.as_str(), "ACCOUNT" | "DATABASE" | "SCHEMA" | "TABLE" | "VIEW" | "SESSION") => {
            parser.next_token();
            word
        }
        _ => String::new(),
    };
    let end = matches!(parser.peek_token_ref().token, Token::EOF);
    let clause = word_at(parser, 0).is_some_and(|word| matches!(word.as_str(), "STARTS" | "LIMIT" | "LIKE"));
    let named = !end && !clause && !matches!(scope.as_str(), "ACCOUNT" | "SESSION");
    Ok((scope, if named { Some(name(parser)?) } else { None }))
}

fn describe(parser: &mut Parser<'_>) -> Parsed<Command> {
    advance(parser, 1);
    let kind = kind(parser);
    if kind.is_some() {
        parser.next_token();
    }
    let name = name(parser)?;
    if words(parser, &["TYPE"]) {
        let _ = parser.consume_token(&Token::Eq);
        expect(parser, "COLUMNS")?;
    }
    Ok(Command::Describe(kind.unwrap_or(ObjectKind::Table), name))
}

fn begin(parser: &mut Parser<'_>) -> Parsed<Option<Command>> {
    let ends = |token: &Token| *token == Token::EOF;
    let next = word_at(parser, 1).unwrap_or_default();
    if !ends(&parser.peek_nth_token_ref(1).token) && !matches!(next.as_str(), "WORK" | "TRANSACTION" | "NAME") {
        return Ok(Some(refused(parser, "Snowflake Scripting is not run here")));
    }
    advance(parser, 1);
    let _ = words(parser, &["WORK"]) || words(parser, &["TRANSACTION"]);
    if words(parser, &["NAME"]) {
        parser.parse_identifier()?;
    }
    Ok(Some(Command::Begin))
}

fn transaction(parser: &mut Parser<'_>, command: Command, tokens: &[&str]) -> Command {
    advance(parser, 1);
    if tokens.get(1).is_some_and(|word| words(parser, &[word])) && words(parser, &["NAME"]) {
        parser.next_token();
    }
    command
}
