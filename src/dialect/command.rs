//! Statements of a session that are not queries or DML: their shape, as the own parser of `command/parse.rs` reads them
//! where the SQL parser has no form for Snowflake's. It runs nothing.

use sqlparser::ast::{ColumnDef, DataType, Expr, Ident, ObjectName, TableConstraint};
use sqlparser::dialect::SnowflakeDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use super::lex::{self, Lines, Tokens};
use super::parse::{DEPTH, Stack, Statement, extent, statement, syntax_error};
use crate::diagnostic::Diagnostic;
use crate::text::{SourceFile, Span};

mod alter;

mod parse;

/// One statement of a script.
#[derive(Clone)]
pub enum ScriptStatement {
    /// A query, DML, or the DDL that the SQL parser reads in full.
    Sql(Box<Statement>),
    /// A command and its place.
    Command(Box<Command>, Span),
}

/// A statement about the session or its catalogue.
#[derive(Clone, Debug)]
pub enum Command {
    /// CREATE SEQUENCE.
    CreateSequence {
        /// OR REPLACE.
        or_replace: bool,
        /// IF NOT EXISTS.
        if_not_exists: bool,
        /// Its name.
        name: ObjectName,
        /// First value.
        start: i64,
        /// Distance of values.
        increment: i64,
        /// COMMENT.
        comment: Option<String>,
    },
    /// CREATE SCHEMA or CREATE DATABASE.
    CreateContainer {
        /// Which of the two.
        kind: ObjectKind,
        /// OR REPLACE.
        or_replace: bool,
        /// IF NOT EXISTS.
        if_not_exists: bool,
        /// Its name.
        name: ObjectName,
        /// CLONE.
        clone: Option<ObjectName>,
        /// COMMENT.
        comment: Option<String>,
    },
    /// ALTER TABLE.
    AlterTable {
        /// IF EXISTS.
        if_exists: bool,
        /// Its name.
        name: ObjectName,
        /// What changes.
        changes: Vec<TableChange>,
    },
    /// ALTER of anything else.
    Alter {
        /// Of what.
        kind: ObjectKind,
        /// IF EXISTS.
        if_exists: bool,
        /// Its name.
        name: ObjectName,
        /// What changes.
        change: ObjectChange,
    },
    /// DROP.
    Drop {
        /// Of what.
        kind: ObjectKind,
        /// IF EXISTS.
        if_exists: bool,
        /// Its name.
        name: ObjectName,
        /// RESTRICT.
        restrict: bool,
    },
    /// TRUNCATE TABLE.
    Truncate {
        /// IF EXISTS.
        if_exists: bool,
        /// The table.
        name: ObjectName,
    },
    /// COMMENT ON.
    Comment {
        /// On what.
        kind: ObjectKind,
        /// IF EXISTS.
        if_exists: bool,
        /// Its name; a column's ends in the column.
        name: ObjectName,
        /// The comment.
        comment: String,
    },
    /// UNSET of session variables.
    Unset(Vec<Ident>),
    /// USE.
    Use(ObjectKind, ObjectName),
    /// SHOW.
    Show(Show),
    /// DESCRIBE.
    Describe(ObjectKind, ObjectName),
    /// BEGIN.
    Begin,
    /// COMMIT.
    Commit,
    /// ROLLBACK.
    Rollback,
    /// A statement that is not here, as messages name it, and why.
    Refused(String, &'static str),
}

/// What a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// A table.
    Table,
    /// A view.
    View,
    /// A column.
    Column,
    /// A sequence.
    Sequence,
    /// A schema.
    Schema,
    /// A database.
    Database,
    /// A role, of which the engine keeps the name only.
    Role,
    /// A warehouse in Snowflake's sense, of which the engine keeps the name only.
    Warehouse,
}

impl ObjectKind {
    /// The word, as messages begin with it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Table => "Table",
            Self::View => "View",
            Self::Column => "Column",
            Self::Sequence => "Sequence",
            Self::Schema => "Schema",
            Self::Database => "Database",
            Self::Role => "Role",
            Self::Warehouse => "Warehouse",
        }
    }
}

/// A change of ALTER TABLE.
#[derive(Clone, Debug)]
pub enum TableChange {
    /// RENAME TO.
    Rename(ObjectName),
    /// SWAP WITH.
    Swap(ObjectName),
    /// ADD COLUMN.
    Add {
        /// IF NOT EXISTS.
        if_not_exists: bool,
        /// The column.
        column: Box<ColumnDef>,
    },
    /// DROP COLUMN.
    Drop {
        /// IF EXISTS.
        if_exists: bool,
        /// The columns.
        columns: Vec<Ident>,
    },
    /// RENAME COLUMN.
    RenameColumn {
        /// Its name.
        from: Ident,
        /// Its new name.
        to: Ident,
    },
    /// ALTER COLUMN.
    Column {
        /// Its name.
        name: Ident,
        /// What changes.
        change: ColumnChange,
    },
    /// SET or UNSET COMMENT.
    Comment(Option<String>),
    /// ADD of a constraint, which is kept and not enforced.
    Constrain(Box<TableConstraint>),
    /// DROP PRIMARY KEY, UNIQUE, FOREIGN KEY or CONSTRAINT.
    Unconstrain(String),
    /// A property without effect here, such as CLUSTER BY.
    Property,
}

/// A change of ALTER COLUMN.
#[derive(Clone, Debug)]
pub enum ColumnChange {
    /// SET DATA TYPE.
    Type(Box<DataType>),
    /// SET NOT NULL or DROP NOT NULL.
    Nullable(bool),
    /// SET DEFAULT or DROP DEFAULT.
    Default(Option<Box<Expr>>),
    /// COMMENT or UNSET COMMENT.
    Comment(Option<String>),
}

/// A change of ALTER VIEW, SEQUENCE, SCHEMA or DATABASE.
#[derive(Clone, Debug)]
pub enum ObjectChange {
    /// RENAME TO.
    Rename(ObjectName),
    /// SWAP WITH.
    Swap(ObjectName),
    /// SET or UNSET COMMENT.
    Comment(Option<String>),
    /// SET INCREMENT.
    Increment(i64),
    /// A property without effect here.
    Property,
}

/// A SHOW command.
#[derive(Clone, Debug, Default)]
pub struct Show {
    /// What is listed: `TABLES`, `PRIMARY KEYS`….
    pub what: String,
    /// TERSE.
    pub terse: bool,
    /// LIKE.
    pub like: Option<String>,
    /// IN: of what, and its name.
    pub within: Option<(String, Option<ObjectName>)>,
    /// STARTS WITH.
    pub starts_with: Option<String>,
    /// LIMIT.
    pub limit: Option<usize>,
}

/// Reads a text whose statements may be commands of a session as well.
pub fn parse_script(source: &SourceFile) -> Result<Vec<ScriptStatement>, Vec<Diagnostic>> {
    let lines = Lines::new(source);
    let tokens = lex::statements(&lines).map_err(|diagnostic| vec![diagnostic])?;
    let mut statements = Vec::new();
    let mut diagnostics = Vec::new();
    for tokens in tokens {
        match Stack::of(&tokens).with(|| script_statement(&lines, tokens)) {
            Ok(statement) => statements.push(statement),
            Err(diagnostic) => diagnostics.push(diagnostic),
        }
    }
    if diagnostics.is_empty() { Ok(statements) } else { Err(diagnostics) }
}

fn script_statement(lines: &Lines, tokens: Tokens) -> Result<ScriptStatement, Diagnostic> {
    let span = extent(lines, &tokens);
    let mut parser = Parser::new(&SnowflakeDialect).with_recursion_limit(DEPTH).with_tokens_with_locations(tokens);
    let read = parse::command(&mut parser).and_then(|command| match (&command, &parser.peek_token_ref().token) {
        (None, _) | (_, Token::EOF) => Ok(command),
        _ => parser.expected_ref("end of statement", parser.peek_token_ref()),
    });
    match read {
        Ok(Some(command)) => Ok(ScriptStatement::Command(Box::new(command), span)),
        Ok(None) => Ok(ScriptStatement::Sql(Box::new(statement(lines, parser.into_tokens())?))),
        Err(error) => Err(syntax_error(&error, &parser, lines, span)),
    }
}
