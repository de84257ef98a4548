//! The SQL statements of one session over its tables: queries, DML, DDL, SHOW and SET, each with the result that Snowflake
//! shows. What a statement means comes from `dialect`; how a result looks is the business of `report`.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::execution::runtime_env::RuntimeEnv;
use sqlparser::ast;

use crate::dialect::command::{Command, ScriptStatement};
use crate::dialect::session::SessionParameters;
use crate::dialect::{Dialect, Statement};
use crate::text::Span;

mod outcome;

mod catalog;

mod column;

mod sequence;

mod tables;

mod engine;

mod assign;

mod definition;

mod substitute;

mod variables;

mod ddl;

mod alter;

mod or_alter;

mod insert;

mod change;

mod by_name;

mod merge;

mod describe;

mod show;

mod information_schema;

mod store;

pub use outcome::{Failure, Rows};

use catalog::Catalog;
use outcome::refused;
use sequence::Sequences;
use store::Store;

/// The database of a session in memory.
const DATABASE: &str = "MEMORY";
/// The time zone of a session in memory: that of a new Snowflake account.
pub const TIMEZONE: &str = "America/Los_Angeles";
/// The schema that every database begins with.
const SCHEMA: &str = "PUBLIC";

/// One session: its tables, its parameters, its variables and its transaction.
pub struct Session {
    parameters: SessionParameters,
    initial: SessionParameters,
    dialect: Dialect,
    catalog: Catalog,
    /// The catalogue as it was when the open transaction began.
    transaction: Option<Catalog>,
    /// The catalogue as the store has it.
    saved: Catalog,
    sequences: Arc<Sequences>,
    variables: BTreeMap<String, ast::Expr>,
    last: Option<Rows>,
    store: Store,
    /// What execution may use; without limits where it is none.
    runtime: Option<Arc<RuntimeEnv>>,
}

impl Session {
    /// A session on an empty warehouse in memory, whose clock stands at `now`.
    pub fn in_memory(now: DateTime<Utc>) -> Self {
        let mut session = Self::over(Store::Memory, Catalog::new(DATABASE, SCHEMA), now);
        session.initial.timezone = TIMEZONE.to_string();
        session.set_parameters(session.initial.clone());
        session
    }

    fn over(store: Store, catalog: Catalog, now: DateTime<Utc>) -> Self {
        let now = now.timestamp_nanos_opt().and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or_default();
        let (database, schema) = (catalog.database.to_string(), catalog.schema.to_string());
        let parameters = SessionParameters { now, database, schema, ..SessionParameters::default() };
        let sequences = Arc::new(Sequences::default());
        Self {
            initial: parameters.clone(),
            dialect: Dialect::with_function(parameters.clone(), sequences.function()),
            parameters,
            saved: catalog.clone(),
            catalog,
            transaction: None,
            sequences,
            variables: BTreeMap::new(),
            last: None,
            store,
            runtime: None,
        }
    }

    /// The same within limits of memory, above which it spills or a statement fails.
    #[must_use]
    pub fn within(mut self, runtime: Arc<RuntimeEnv>) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// The parameters as they stand.
    pub fn parameters(&self) -> &SessionParameters {
        &self.parameters
    }

    /// Runs one statement. A statement that fails changes nothing.
    pub async fn run(&mut self, statement: &ScriptStatement) -> Result<Rows, Failure> {
        let before = self.catalog.clone();
        let result = match statement {
            ScriptStatement::Sql(statement) => self.sql(statement).await,
            ScriptStatement::Command(command, span) => self.command(command, span).await,
        };
        let result = match result {
            Ok(rows) if self.transaction.is_none() => self.save().await.map(|()| rows),
            other => other,
        };
        match &result {
            Ok(rows) => self.last = Some(rows.clone()),
            Err(_) => self.catalog = before,
        }
        self.follow_names();
        result
    }

    /// Tells functions the names in use where these have changed.
    fn follow_names(&mut self) {
        let (database, schema) = (self.catalog.database.as_str(), self.catalog.schema.as_str());
        if self.parameters.database != database || self.parameters.schema != schema {
            let (database, schema) = (database.to_string(), schema.to_string());
            self.set_parameters(SessionParameters { database, schema, ..self.parameters.clone() });
        }
    }

    async fn sql(&mut self, statement: &Statement) -> Result<Rows, Failure> {
        let statement = &self.substituted(statement)?;
        match statement.ast() {
            ast::Statement::Query(_) => self.query(statement).await,
            ast::Statement::Insert(insert) if insert.multi_table_insert_type.is_some() => {
                self.insert_many(statement, insert).await
            }
            ast::Statement::Insert(insert) => self.insert(statement, insert).await,
            ast::Statement::Update(update) => self.update(statement, update).await,
            ast::Statement::Delete(delete) => self.delete(statement, delete).await,
            ast::Statement::Merge(merge) => self.merge(statement, merge).await,
            ast::Statement::CreateTable(create) => {
                self.commit().await?;
                self.create_table(statement, create).await
            }
            ast::Statement::CreateView(create) => {
                self.commit().await?;
                self.create_view(statement, create)
            }
            ast::Statement::Set(set) => self.set(statement, set).await,
            ast::Statement::AlterSession { set, session_params } => self.alter_session(statement, *set, session_params),
            other => Err(refused(statement.span(), &outcome::name_of(other), "").into()),
        }
    }

    async fn command(&mut self, command: &Command, span: &Span) -> Result<Rows, Failure> {
        match command {
            Command::Begin => {
                if self.transaction.is_none() {
                    self.transaction = Some(self.catalog.clone());
                }
                Rows::done()
            }
            Command::Commit => {
                self.commit().await?;
                Rows::done()
            }
            Command::Rollback => {
                if let Some(before) = self.transaction.take() {
                    self.catalog = before;
                }
                Rows::done()
            }
            Command::Unset(names) => self.unset(names),
            Command::Use(kind, name) => self.use_object(*kind, name, span),
            Command::Show(show) => self.show(show, span),
            Command::Describe(kind, name) => self.describe(*kind, name, span),
            Command::Truncate { if_exists, name } => self.truncate(*if_exists, name, span),
            Command::Refused(what, why) => Err(refused(span, what, why).into()),
            definition => {
                self.commit().await?;
                self.define(definition, span).await
            }
        }
    }

    /// Ends the open transaction, as DDL does too.
    async fn commit(&mut self) -> Result<(), Failure> {
        match self.transaction.take() {
            Some(_) => self.save().await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
