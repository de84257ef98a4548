//! ALTER: tokens → changes.

use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::parse::{if_exists, integer, kind, name, property, refused, skip, text, word_at, words};
use super::{ColumnChange, Command, ObjectChange, ObjectKind, TableChange};

type Parsed<T> = Result<T, ParserError>;

pub(super) fn alter(parser: &mut Parser<'_>) -> Parsed<Option<Command>> {
    if word_at(parser, 1).as_deref() == Some("SESSION") {
        return Ok(None);
    }
    parser.next_token();
    let Some(kind) = kind(parser).filter(|kind| *kind != ObjectKind::Column) else {
        parser.prev_token();
        return Ok(Some(refused(parser, "only tables, views, sequences, schemas and databases are kept here")));
    };
    parser.next_token();
    let if_exists = if_exists(parser);
    let name = name(parser)?;
    if kind == ObjectKind::Table {
        return Ok(Some(Command::AlterTable { if_exists, name, changes: table_changes(parser)? }));
    }
    Ok(Some(Command::Alter { kind, if_exists, name, change: object_change(parser)? }))
}

fn object_change(parser: &mut Parser<'_>) -> Parsed<ObjectChange> {
    if words(parser, &["RENAME", "TO"]) {
        return name(parser).map(ObjectChange::Rename);
    }
    if words(parser, &["SWAP", "WITH"]) {
        return name(parser).map(ObjectChange::Swap);
    }
    if words(parser, &["UNSET", "COMMENT"]) {
        return Ok(ObjectChange::Comment(None));
    }
    let set = words(parser, &["SET"]);
    if set && words(parser, &["COMMENT"]) {
        return Ok(ObjectChange::Comment(Some(text(parser)?)));
    }
    if words(parser, &["INCREMENT"]) {
        words(parser, &["BY"]);
        return integer(parser).map(ObjectChange::Increment);
    }
    if set || words(parser, &["UNSET"]) {
        skip(parser);
        return Ok(ObjectChange::Property);
    }
    parser.expected_ref("RENAME TO, SWAP WITH, SET or UNSET", parser.peek_token_ref())
}

fn table_changes(parser: &mut Parser<'_>) -> Parsed<Vec<TableChange>> {
    if words(parser, &["RENAME", "TO"]) {
        return Ok(vec![TableChange::Rename(name(parser)?)]);
    }
    if words(parser, &["SWAP", "WITH"]) {
        return Ok(vec![TableChange::Swap(name(parser)?)]);
    }
    if words(parser, &["RENAME", "COLUMN"]) {
        let from = parser.parse_identifier()?;
        super::parse::expect(parser, "TO")?;
        return Ok(vec![TableChange::RenameColumn { from, to: parser.parse_identifier()? }]);
    }
    if words(parser, &["ADD"]) {
        return additions(parser);
    }
    if words(parser, &["DROP"]) {
        return removals(parser);
    }
    if words(parser, &["ALTER"]) || words(parser, &["MODIFY"]) {
        return column_changes(parser);
    }
    if words(parser, &["UNSET", "COMMENT"]) {
        return Ok(vec![TableChange::Comment(None)]);
    }
    if words(parser, &["SET", "COMMENT"]) {
        return Ok(vec![TableChange::Comment(Some(text(parser)?))]);
    }
    if words(parser, &["SET"]) {
        while parser.peek_token_ref().token != Token::EOF {
            property(parser)?;
        }
        return Ok(vec![TableChange::Property]);
    }
    if ["UNSET", "CLUSTER", "SUSPEND", "RESUME"].iter().any(|word| words(parser, &[word])) {
        skip(parser);
        return Ok(vec![TableChange::Property]);
    }
    parser.expected_ref("ADD, DROP, ALTER, MODIFY, RENAME, SWAP, SET or UNSET", parser.peek_token_ref())
}

fn additions(parser: &mut Parser<'_>) -> Parsed<Vec<TableChange>> {
    if let Some(constraint) = parser.parse_optional_table_constraint()? {
        return Ok(vec![TableChange::Constrain(Box::new(constraint))]);
    }
    parser.parse_comma_separated(|parser| {
        words(parser, &["COLUMN"]);
        let if_not_exists = words(parser, &["IF", "NOT", "EXISTS"]);
        Ok(TableChange::Add { if_not_exists, column: Box::new(parser.parse_column_def()?) })
    })
}

fn removals(parser: &mut Parser<'_>) -> Parsed<Vec<TableChange>> {
    let constraint = word_at(parser, 0).unwrap_or_default();
    let second = word_at(parser, 1).unwrap_or_default();
    let keys = matches!((constraint.as_str(), second.as_str()), ("PRIMARY" | "FOREIGN", "KEY"));
    if keys
        || constraint == "CONSTRAINT"
        || (constraint == "UNIQUE" && parser.peek_nth_token_ref(1).token == Token::LParen)
    {
        skip(parser);
        return Ok(vec![TableChange::Unconstrain(if constraint == "CONSTRAINT" { second } else { constraint })]);
    }
    if words(parser, &["CLUSTERING", "KEY"]) {
        return Ok(vec![TableChange::Property]);
    }
    words(parser, &["COLUMN"]);
    let if_exists = if_exists(parser);
    let columns = parser.parse_comma_separated(|parser| {
        words(parser, &["COLUMN"]);
        parser.parse_identifier()
    })?;
    Ok(vec![TableChange::Drop { if_exists, columns }])
}

fn column_changes(parser: &mut Parser<'_>) -> Parsed<Vec<TableChange>> {
    let list = parser.consume_token(&Token::LParen);
    let changes = parser.parse_comma_separated(|parser| {
        words(parser, &["COLUMN"]);
        let name = parser.parse_identifier()?;
        Ok(TableChange::Column { name, change: column_change(parser)? })
    })?;
    if list && !parser.consume_token(&Token::RParen) {
        return parser.expected_ref("`)`", parser.peek_token_ref());
    }
    Ok(changes)
}

fn column_change(parser: &mut Parser<'_>) -> Parsed<ColumnChange> {
    if words(parser, &["DROP", "DEFAULT"]) {
        return Ok(ColumnChange::Default(None));
    }
    if words(parser, &["DROP", "NOT", "NULL"]) {
        return Ok(ColumnChange::Nullable(true));
    }
    if words(parser, &["UNSET", "COMMENT"]) {
        return Ok(ColumnChange::Comment(None));
    }
    if words(parser, &["COMMENT"]) {
        return Ok(ColumnChange::Comment(Some(text(parser)?)));
    }
    words(parser, &["SET"]);
    if words(parser, &["DEFAULT"]) {
        return Ok(ColumnChange::Default(Some(Box::new(parser.parse_expr()?))));
    }
    if words(parser, &["NOT", "NULL"]) {
        return Ok(ColumnChange::Nullable(false));
    }
    if words(parser, &["DATA", "TYPE"]) || words(parser, &["TYPE"]) || word_at(parser, 0).is_some() {
        return parser.parse_data_type().map(|written| ColumnChange::Type(Box::new(written)));
    }
    parser.expected_ref("SET, DROP, COMMENT or a type", parser.peek_token_ref())
}
