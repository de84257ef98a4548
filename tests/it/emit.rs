//! A statement written back is the statement: without a resolution the author's very text; with one, the same tree but for the
//! names and the clock. The statements are those of `tests/cases/sql`, of the constructs' examples and of the samples'
//! jobs; `SQL_FILES=FOLDER cargo test emit` adds the `.sql` files of a folder.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use pipe::dialect::command::{ScriptStatement, parse_script};
use pipe::dialect::emit::{Resolution, emit};
use pipe::dialect::{Statement, constructs, parse};
use pipe::name::{Name, TableName};
use pipe::text::SourceFile;

fn sql_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sql_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "sql") {
            into.push(path);
        }
    }
}

/// Every statement that can be read.
fn statements() -> Vec<Statement> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sql_files(&root.join("tests/cases/sql"), &mut files);
    if let Some(folder) = std::env::var_os("SQL_FILES") {
        sql_files(Path::new(&folder), &mut files);
    }
    let texts = files.iter().map(|file| std::fs::read_to_string(file).unwrap());
    let examples = constructs::all().map(constructs::script);
    let scripts = texts.chain(examples).filter_map(|text| parse_script(&SourceFile::new("test.sql", text)).ok());
    let read = scripts.flatten().filter_map(|statement| match statement {
        ScriptStatement::Sql(statement) => Some(*statement),
        ScriptStatement::Command(..) => None,
    });
    read.collect()
}

fn reparsed(text: &str) -> Statement {
    let read =
        parse(&SourceFile::new("emitted.sql", text)).unwrap_or_else(|problems| panic!("{}\n{text}", problems[0]));
    assert_eq!(read.len(), 1, "{text}");
    read.into_iter().next().unwrap()
}

#[test]
fn a_statement_without_a_resolution_stays_as_it_was_written() {
    let statements = statements();
    assert!(statements.len() > 150, "{} statements", statements.len());
    for statement in &statements {
        let text = emit(statement, &Resolution { names: &|_| None, clock: None });
        assert_eq!(text, statement.text());
        assert_eq!(reparsed(&text).ast().to_string(), statement.ast().to_string());
    }
}

#[test]
fn a_resolved_statement_reads_the_resolved_tables() {
    let now: DateTime<Utc> = DateTime::UNIX_EPOCH;
    // A stage is no table, and is refused when it is bound.
    let reads_stage =
        |statement: &Statement| statement.tables().iter().any(|table| table.value.table.as_str().starts_with('@'));
    for statement in statements().iter().filter(|statement| statement.is_query() && !reads_stage(statement)) {
        let resolved = |name: &TableName| {
            let schema = name.schema.is_none().then(|| Name::quoted("Elsewhere"))?;
            Some(TableName { database: None, schema: Some(schema), table: name.table.clone() })
        };
        let text = emit(statement, &Resolution { names: &resolved, clock: Some((now, Tz::UTC)) });
        let wanted: Vec<TableName> =
            statement.tables().into_iter().map(|table| resolved(&table.value).unwrap_or(table.value)).collect();
        let got: Vec<TableName> = reparsed(&text).tables().into_iter().map(|table| table.value).collect();
        assert_eq!(got, wanted, "{text}");
    }
}
