//! CREATE, DROP, COMMENT and USE.

use std::sync::Arc;

use sqlparser::ast::Spanned as _;
use sqlparser::ast::{
    self, ColumnOption, CommentDef, CreateTable, CreateTableLikeKind, CreateView, IdentityPropertyKind, ObjectName,
};

use super::catalog::{Catalog, Database, Life, Place, Relation, Schema, Table, View, now};
use super::column::{Filler, TableColumn};
use super::outcome::{Failure, exists, refused, unknown};
use super::sequence::Sequence;
use super::{Rows, Session};
use crate::diagnostic::Diagnostic;
use crate::dialect::command::{Command, ObjectKind};
use crate::dialect::session::SessionParameters;
use crate::dialect::{Dialect, Statement, is_untyped, table_name};
use crate::name::{Name, TableName};
use crate::text::Span;

impl Session {
    /// Runs a statement that changes the catalogue.
    pub(super) async fn define(&mut self, command: &Command, span: &Span) -> Result<Rows, Failure> {
        match command {
            Command::CreateSequence { or_replace, if_not_exists, name, start, increment, comment } => {
                self.no_sequence_in_files(span)?;
                let sequence = Sequence::new(*start, *increment, comment.clone(), now());
                self.create_sequence(*or_replace, *if_not_exists, name, sequence, span)
            }
            Command::CreateContainer { kind, or_replace, if_not_exists, name, clone, comment } => {
                let options = (*or_replace, *if_not_exists);
                match kind {
                    ObjectKind::Schema => self.create_schema(options, name, clone.as_ref(), comment.clone(), span),
                    _ => self.create_database(options, name, clone.as_ref(), comment.clone(), span),
                }
            }
            Command::AlterTable { if_exists, name, changes } => self.alter_table(*if_exists, name, changes, span).await,
            Command::Alter { kind, if_exists, name, change } => self.alter(*kind, *if_exists, name, change, span),
            Command::Drop { kind, if_exists, name, .. } => self.drop_object(*kind, *if_exists, name, span),
            Command::Comment { kind, if_exists, name, comment } => {
                self.comment(*kind, *if_exists, name, Some(comment.clone()), span)
            }
            _ => Err(refused(span, "this statement", "").into()),
        }
    }

    /// The place that a written name means, in a schema that is there.
    pub(super) fn place_in_schema(&self, name: &ObjectName, span: &Span) -> Result<Place, Failure> {
        let Some(table) = table_name(name) else {
            let message = format!("`{name}` is not a name");
            return Err(Diagnostic::error("wrong-name", message).at(span.clone()).into());
        };
        let place = self.catalog.place(&table);
        if self.catalog.schema_at(&place).is_none() {
            if self.store.makes_schemas() && place.database == self.catalog.database {
                return Ok(place);
            }
            let schema = format!("{}.{}", place.database, place.schema);
            return Err(unknown(span, "schema", &schema).into());
        }
        Ok(place)
    }

    /// Whether to go on with a CREATE: not where IF NOT EXISTS finds the object.
    fn may_create(&self, place: &Place, options: (bool, bool), span: &Span) -> Result<bool, Failure> {
        let (or_replace, if_not_exists) = options;
        match self.catalog.relation(place) {
            None => Ok(true),
            Some(_) if if_not_exists => Ok(false),
            Some(Relation::Source(_)) => {
                let message = format!("`{}` is a source of the project: it is only read", place.name.lower());
                Err(Diagnostic::error("read-only-source", message).at(span.clone()).into())
            }
            Some(_) if or_replace => Ok(true),
            Some(_) => Err(exists(span, place.name.as_str()).into()),
        }
    }

    pub(super) async fn create_table(&mut self, statement: &Statement, create: &CreateTable) -> Result<Rows, Failure> {
        let span = statement.span();
        refuse_table_options(create, span)?;
        let place = self.place_in_schema(&create.name, span)?;
        if statement.starts_with(&["CREATE", "OR", "ALTER"]) && self.catalog.relation(&place).is_some() {
            return self.create_or_alter(create, span).await;
        }
        let temporary = create.temporary || create.volatile;
        let hides = temporary && !self.catalog.relation(&place).is_some_and(Relation::is_temporary);
        if !hides && !self.may_create(&place, (create.or_replace, create.if_not_exists), span)? {
            return Rows::status(format!("{} already exists, statement succeeded.", place.name));
        }
        let mut table = self.new_table(statement, create).await?;
        table.life = match (temporary, create.transient) {
            (true, _) => Life::Temporary,
            (_, true) => Life::Transient,
            _ => Life::Permanent,
        };
        if let Some(comment) = comment_of(create) {
            table.comment = Some(comment);
        }
        self.no_identity_in_files(&table, span)?;
        self.make_schema(&place);
        if !hides && self.catalog.relation(&place).is_some() {
            self.catalog.remove(&place);
        }
        self.catalog.put_table(&place, table);
        Rows::status(format!("Table {} successfully created.", place.name))
    }

    async fn new_table(&self, statement: &Statement, create: &CreateTable) -> Result<Table, Failure> {
        let span = statement.span();
        if let Some(CreateTableLikeKind::Plain(like) | CreateTableLikeKind::Parenthesized(like)) = &create.like {
            let (_, table) = self.target(&like.name, span)?;
            return Ok(self.copied(&table, false));
        }
        if let Some(name) = &create.clone {
            if create.version.is_some() {
                return Err(refused(span, "CLONE … AT", "earlier rows of a table are not kept in a session").into());
            }
            let (_, table) = self.target(name, span)?;
            return Ok(self.copied(&table, true));
        }
        let query = create.query.as_ref().map(|query| statement.with_ast(ast::Statement::Query(query.clone())));
        let plan = query.map(|query| self.bind_with(&query, &[])).transpose()?;
        let results = plan.as_ref().map(Dialect::columns).unwrap_or_default();
        let (columns, mut keys) = self.declared_columns(&create.columns, &results, span)?;
        let mut table = Table::new(columns);
        for constraint in &create.constraints {
            keys.extend(super::alter::key_of(constraint));
        }
        for key in keys {
            super::alter::add_key(&mut table, key, span)?;
        }
        let Some(plan) = plan else {
            if table.columns.is_empty() {
                let message = "a table has at least one column";
                return Err(Diagnostic::error("no-columns", message).at(span.clone()).into());
            }
            return Ok(table);
        };
        if table.columns.is_empty() {
            table.columns = results.iter().map(TableColumn::of_result).collect();
            unique_names(&table.columns, span)?;
        }
        self.fill(span, plan, &mut table).await?;
        Ok(table)
    }

    /// The definition of a table under another name, with its rows or without.
    pub(super) fn copied(&self, table: &Table, rows: bool) -> Table {
        let mut copy = Table { created: now(), ..table.clone() };
        if !rows {
            copy.base = None;
            copy.batches.clear();
        }
        for column in &mut copy.columns {
            if let Filler::Identity(sequence) = &column.default {
                let next = if rows { sequence.next() } else { sequence.start };
                column.default = Filler::Identity(Arc::new(sequence.copied(next)));
            }
        }
        copy
    }

    /// The columns that CREATE TABLE or ADD COLUMN declares, with the keys that they declare themselves. In CREATE TABLE … AS
    /// one without a type has that of the query's column.
    pub(super) fn declared_columns(
        &self,
        written: &[ast::ColumnDef],
        results: &[crate::dialect::Column],
        span: &Span,
    ) -> Result<(Vec<TableColumn>, Vec<super::catalog::Key>), Failure> {
        let mut columns = Vec::new();
        let mut keys = Vec::new();
        let mut problems = Vec::new();
        if !results.is_empty() && !written.is_empty() && written.len() != results.len() {
            let (named, given) = (written.len(), results.len());
            let message = format!("the table names {named} columns and its query gives {given}");
            return Err(Diagnostic::error("column-count", message).at(span.clone()).into());
        }
        for (at, written) in written.iter().enumerate() {
            match self.declared_column(written, results.get(at), &mut keys, span) {
                Ok(column) => columns.push(column),
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(Failure::Wrong(problems));
        }
        unique_names(&columns, span)?;
        Ok((columns, keys))
    }

    fn declared_column(
        &self,
        written: &ast::ColumnDef,
        result: Option<&crate::dialect::Column>,
        keys: &mut Vec<super::catalog::Key>,
        span: &Span,
    ) -> Result<TableColumn, Diagnostic> {
        let name = Name::quoted(written.name.value.clone());
        let column = match (is_untyped(&written.data_type), result) {
            (true, Some(result)) => Some(TableColumn { name: name.clone(), ..TableColumn::of_result(result) }),
            (true, None) => {
                let message = format!("column `{}` has no type", name.lower());
                return Err(Diagnostic::error("unknown-type", message).at(span.clone()));
            }
            (false, _) => TableColumn::declared(name.clone(), &written.data_type),
        };
        let Some(mut column) = column else {
            let message = format!("unknown type `{}` of column `{}`", written.data_type, name.lower());
            return Err(Diagnostic::error("unknown-type", message).at(span.clone()));
        };
        for option in &written.options {
            match &option.option {
                ColumnOption::NotNull => column.nullable = false,
                ColumnOption::Null | ColumnOption::Tags(_) => {}
                ColumnOption::Default(expr) => column.default = Filler::Expr(Box::new(expr.clone())),
                ColumnOption::Comment(comment) => column.comment = Some(comment.clone()),
                ColumnOption::Identity(identity) => column.default = Filler::Identity(Arc::new(identity_of(identity))),
                ColumnOption::Collation(collation) => {
                    let text = collation.to_string();
                    if !matches!(text.trim_matches('\''), "" | "utf8" | "bin") {
                        return Err(refused(span, &format!("COLLATE {text}"), "text is compared by code points"));
                    }
                }
                key => match super::alter::own_key(key, &name) {
                    Some(key) => keys.push(key),
                    None => return Err(refused(span, &format!("column option {key}"), "")),
                },
            }
        }
        Ok(column)
    }

    pub(super) fn create_view(&mut self, statement: &Statement, create: &CreateView) -> Result<Rows, Failure> {
        let span = statement.span();
        if create.materialized {
            return Err(refused(span, "CREATE MATERIALIZED VIEW", "only plain views are kept here").into());
        }
        let place = self.place_in_schema(&create.name, span)?;
        let or_replace = create.or_replace || statement.starts_with(&["CREATE", "OR", "ALTER"]);
        if !self.may_create(&place, (or_replace, create.if_not_exists), span)? {
            return Rows::status(format!("{} already exists, statement succeeded.", place.name));
        }
        let query = statement.with_ast(ast::Statement::Query(create.query.clone()));
        let plan = self.bind_with(&query, &[])?;
        let columns: Vec<_> = create.columns.iter().map(view_column).collect();
        let given = plan.schema().fields().len();
        if !columns.is_empty() && columns.len() != given {
            let message = format!("the view names {} columns and its query gives {given}", columns.len());
            return Err(Diagnostic::error("column-count", message).at(span.clone()).into());
        }
        let result = Dialect::columns(&plan);
        unique_names(&result.iter().map(TableColumn::of_result).collect::<Vec<_>>(), span)
            .or_else(|failure| if columns.is_empty() { Err(failure) } else { Ok(()) })?;
        let view = View {
            text: query_text(statement, &create.query),
            query,
            columns,
            comment: create.comment.clone(),
            created: now(),
            temporary: create.temporary,
            secure: create.secure,
        };
        self.make_schema(&place);
        self.catalog.remove(&place);
        self.catalog.put(&place, Relation::View(Arc::new(view)));
        Rows::status(format!("View {} successfully created.", place.name))
    }

    fn create_sequence(
        &mut self,
        or_replace: bool,
        if_not_exists: bool,
        name: &ObjectName,
        sequence: Sequence,
        span: &Span,
    ) -> Result<Rows, Failure> {
        let place = self.place_in_schema(name, span)?;
        if self.catalog.sequence(&place).is_some() {
            if if_not_exists {
                return Rows::status(format!("{} already exists, statement succeeded.", place.name));
            }
            if !or_replace {
                return Err(exists(span, place.name.as_str()).into());
            }
        }
        if let Some(schema) = self.catalog.schema_mut(&place.database, &place.schema) {
            schema.sequences.insert(place.name.clone(), Arc::new(sequence));
        }
        Rows::status(format!("Sequence {} successfully created.", place.name))
    }

    fn create_schema(
        &mut self,
        (or_replace, if_not_exists): (bool, bool),
        name: &ObjectName,
        clone: Option<&ObjectName>,
        comment: Option<String>,
        span: &Span,
    ) -> Result<Rows, Failure> {
        let (database, schema) = self.schema_name(name, span)?;
        let content = match clone {
            None => Arc::new(Schema::new(comment)),
            Some(other) => {
                let (database, schema) = self.schema_name(other, span)?;
                let found = self.catalog.databases.get(&database).and_then(|database| database.schemas.get(&schema));
                found.cloned().ok_or_else(|| unknown(span, "schema", schema.as_str()))?
            }
        };
        let Some(held) = self.catalog.databases.get_mut(&database) else {
            return Err(unknown(span, "database", database.as_str()).into());
        };
        if held.schemas.contains_key(&schema) {
            if if_not_exists {
                return Rows::status(format!("{schema} already exists, statement succeeded."));
            }
            if !or_replace {
                return Err(exists(span, schema.as_str()).into());
            }
        }
        Arc::make_mut(held).schemas.insert(schema.clone(), content);
        self.catalog.database = database;
        self.catalog.schema = schema.clone();
        Rows::status(format!("Schema {schema} successfully created."))
    }

    fn create_database(
        &mut self,
        (or_replace, if_not_exists): (bool, bool),
        name: &ObjectName,
        clone: Option<&ObjectName>,
        comment: Option<String>,
        span: &Span,
    ) -> Result<Rows, Failure> {
        self.one_database_in_files(span)?;
        let name = single(name, span)?;
        if self.catalog.databases.contains_key(&name) {
            if if_not_exists {
                return Rows::status(format!("{name} already exists, statement succeeded."));
            }
            if !or_replace {
                return Err(exists(span, name.as_str()).into());
            }
        }
        let content = match clone {
            None => Arc::new(Database::new(comment)),
            Some(other) => {
                let other = single(other, span)?;
                let found = self.catalog.databases.get(&other).cloned();
                found.ok_or_else(|| unknown(span, "database", other.as_str()))?
            }
        };
        self.catalog.databases.insert(name.clone(), content);
        self.catalog.database = name.clone();
        self.catalog.schema = Name::quoted(super::SCHEMA);
        Rows::status(format!("Database {name} successfully created."))
    }

    /// The database and schema that a written schema name means.
    pub(super) fn schema_name(&self, name: &ObjectName, span: &Span) -> Result<(Name, Name), Failure> {
        match table_name(name) {
            Some(TableName { database: None, schema, table }) => {
                Ok((schema.unwrap_or_else(|| self.catalog.database.clone()), table))
            }
            _ => Err(unknown(span, "schema", &name.to_string()).into()),
        }
    }

    fn drop_object(
        &mut self,
        kind: ObjectKind,
        if_exists: bool,
        name: &ObjectName,
        span: &Span,
    ) -> Result<Rows, Failure> {
        let (shown, dropped) = match kind {
            ObjectKind::Schema => {
                let (database, schema) = self.schema_name(name, span)?;
                let held = self.catalog.databases.get_mut(&database);
                let dropped = held.and_then(|held| Arc::make_mut(held).schemas.remove(&schema)).is_some();
                (schema, dropped)
            }
            ObjectKind::Database => {
                self.one_database_in_files(span)?;
                let name = single(name, span)?;
                let dropped = self.catalog.databases.remove(&name).is_some();
                (name, dropped)
            }
            _ => {
                let place = table_name(name).map(|name| self.catalog.place(&name));
                let place = place.ok_or_else(|| unknown(span, "object", &name.to_string()))?;
                let dropped = self.drop_at(kind, &place, span)?;
                (place.name, dropped)
            }
        };
        if dropped {
            return Rows::status(format!("{shown} successfully dropped."));
        }
        if if_exists {
            return Rows::status(format!("Drop statement executed successfully ({shown} already dropped)."));
        }
        Err(unknown(span, &kind.word().to_lowercase(), shown.as_str()).into())
    }

    fn drop_at(&mut self, kind: ObjectKind, place: &Place, span: &Span) -> Result<bool, Failure> {
        if kind == ObjectKind::Sequence {
            let schema = self.catalog.schema_mut(&place.database, &place.schema);
            return Ok(schema.is_some_and(|schema| schema.sequences.remove(&place.name).is_some()));
        }
        match (kind, self.catalog.relation(place)) {
            (_, None) => Ok(false),
            (ObjectKind::Table, Some(Relation::Table(_))) | (ObjectKind::View, Some(Relation::View(_))) => {
                Ok(self.catalog.remove(place).is_some())
            }
            (_, Some(Relation::Source(_))) => {
                let message = format!("`{}` is a source of the project: it is only read", place.name.lower());
                Err(Diagnostic::error("read-only-source", message).at(span.clone()).into())
            }
            (_, Some(_)) => {
                let message = format!("`{}` is not a {}", place.name.lower(), kind.word().to_lowercase());
                Err(Diagnostic::error("wrong-kind", message).at(span.clone()).into())
            }
        }
    }

    pub(super) fn use_object(&mut self, kind: ObjectKind, name: &ObjectName, span: &Span) -> Result<Rows, Failure> {
        match kind {
            ObjectKind::Database => {
                let name = single(name, span)?;
                if !self.catalog.databases.contains_key(&name) {
                    // One bare name may also be a schema of the present database.
                    let here = self.catalog.databases.get(&self.catalog.database);
                    if here.is_some_and(|database| database.schemas.contains_key(&name)) {
                        self.catalog.schema = name;
                        return Rows::done();
                    }
                    return Err(unknown(span, "database", name.as_str()).into());
                }
                self.catalog.database = name;
                self.catalog.schema = Name::quoted(super::SCHEMA);
            }
            ObjectKind::Schema => {
                let (database, schema) = self.schema_name(name, span)?;
                let found = self.catalog.databases.get(&database).map(|database| &database.schemas);
                if !found.is_some_and(|schemas| schemas.contains_key(&schema)) {
                    return Err(unknown(span, "schema", &format!("{database}.{schema}")).into());
                }
                self.catalog.database = database;
                self.catalog.schema = schema;
            }
            ObjectKind::Role => {
                let role = single(name, span)?.as_str().to_string();
                self.set_parameters(SessionParameters { role, ..self.parameters.clone() });
            }
            ObjectKind::Warehouse => {
                let warehouse = single(name, span)?.as_str().to_string();
                self.set_parameters(SessionParameters { warehouse, ..self.parameters.clone() });
            }
            _ => {}
        }
        Rows::done()
    }

    pub(super) fn comment(
        &mut self,
        kind: ObjectKind,
        if_exists: bool,
        name: &ObjectName,
        comment: Option<String>,
        span: &Span,
    ) -> Result<Rows, Failure> {
        match self.commented(kind, name, comment, span) {
            Err(Failure::Wrong(problems)) if if_exists && problems.iter().all(|p| p.code.starts_with("unknown-")) => {
                Rows::done()
            }
            Err(failure) => Err(failure),
            Ok(()) => Rows::done(),
        }
    }

    fn commented(
        &mut self,
        kind: ObjectKind,
        name: &ObjectName,
        comment: Option<String>,
        span: &Span,
    ) -> Result<(), Failure> {
        match kind {
            ObjectKind::Schema => {
                let (database, schema) = self.schema_name(name, span)?;
                let held = self.catalog.schema_mut(&database, &schema);
                held.ok_or_else(|| unknown(span, "schema", schema.as_str()))?.comment = comment;
            }
            ObjectKind::Database => {
                let name = single(name, span)?;
                let held = self.catalog.databases.get_mut(&name);
                let held = held.ok_or_else(|| unknown(span, "database", name.as_str()))?;
                Arc::make_mut(held).comment = comment;
            }
            ObjectKind::Column => {
                let mut parts = name.0.clone();
                let column = parts.pop().and_then(|part| part.as_ident().cloned());
                let (place, table) = self.target(&ObjectName(parts), span)?;
                let mut table = Table::clone(&table);
                let index = column.as_ref().and_then(|column| table.column(&Name::quoted(column.value.clone())));
                let index = index.ok_or_else(|| unknown(span, "column", &name.to_string()))?;
                table.columns[index].comment = comment;
                self.catalog.put_table(&place, table);
            }
            ObjectKind::Sequence => {
                let place = self.place_in_schema(name, span)?;
                let sequence = self.catalog.sequence(&place).cloned();
                let sequence = sequence.ok_or_else(|| unknown(span, "sequence", place.name.as_str()))?;
                let changed = Arc::new(sequence.with_comment(comment));
                if let Some(schema) = self.catalog.schema_mut(&place.database, &place.schema) {
                    schema.sequences.insert(place.name.clone(), changed);
                }
            }
            _ => {
                let place = self.place_in_schema(name, span)?;
                let changed = match self.catalog.relation(&place) {
                    Some(Relation::Table(table)) => Relation::Table(Arc::new(Table { comment, ..Table::clone(table) })),
                    Some(Relation::View(view)) => Relation::View(Arc::new(View { comment, ..View::clone(view) })),
                    _ => return Err(unknown(span, &kind.word().to_lowercase(), place.name.as_str()).into()),
                };
                self.catalog.put(&place, changed);
            }
        }
        Ok(())
    }

    /// Makes the schema of a place where the store does that by itself.
    pub(super) fn make_schema(&mut self, place: &Place) {
        add_schema(&mut self.catalog, &place.database, &place.schema);
    }
}

/// Puts an empty schema where there is none.
pub(super) fn add_schema(catalog: &mut Catalog, database: &Name, schema: &Name) {
    if let Some(held) = catalog.databases.get_mut(database)
        && !held.schemas.contains_key(schema)
    {
        Arc::make_mut(held).schemas.insert(schema.clone(), Arc::new(Schema::new(None)));
    }
}

/// A name of one part.
pub(super) fn single(name: &ObjectName, span: &Span) -> Result<Name, Failure> {
    match table_name(name) {
        Some(TableName { schema: None, table, .. }) => Ok(table),
        _ => {
            let message = format!("`{name}` is not a name of one part");
            Err(Diagnostic::error("wrong-name", message).at(span.clone()).into())
        }
    }
}

fn view_column(written: &ast::ViewColumnDef) -> (Name, Option<String>) {
    let options = match &written.options {
        Some(ast::ColumnOptions::CommaSeparated(options) | ast::ColumnOptions::SpaceSeparated(options)) => options,
        None => &Vec::new(),
    };
    let comment = options.iter().find_map(|option| match option {
        ColumnOption::Comment(comment) => Some(comment.clone()),
        _ => None,
    });
    (Name::quoted(written.name.value.clone()), comment)
}

/// The author's text of a view's query, or the query as it was read where the text cannot be cut out.
fn query_text(statement: &Statement, query: &ast::Query) -> String {
    let start = statement.place(query.span()).start;
    let whole = statement.span();
    let text = whole.file.text().get(start..whole.end).unwrap_or_default();
    let read_back = crate::dialect::parse(&crate::text::SourceFile::new("<view>", text));
    let same = start > whole.start && read_back.is_ok_and(|read| matches!(read.as_slice(), [one] if one.is_query()));
    if same { text.to_string() } else { query.to_string() }
}

fn identity_of(identity: &IdentityPropertyKind) -> Sequence {
    let (IdentityPropertyKind::Autoincrement(property) | IdentityPropertyKind::Identity(property)) = identity;
    let number = |expr: &ast::Expr| expr.to_string().replace(' ', "").parse::<i64>().ok();
    let (start, increment) = match &property.parameters {
        None => (Some(1), Some(1)),
        Some(
            ast::IdentityPropertyFormatKind::FunctionCall(parameters)
            | ast::IdentityPropertyFormatKind::StartAndIncrement(parameters),
        ) => (number(&parameters.seed), number(&parameters.increment)),
    };
    Sequence::new(start.unwrap_or(1), increment.unwrap_or(1), None, now())
}

fn unique_names(columns: &[TableColumn], span: &Span) -> Result<(), Failure> {
    let mut problems = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        if columns[..index].iter().any(|other| other.name == column.name) {
            let message = format!("column `{}` is there twice", column.name.lower());
            problems.push(Diagnostic::error("duplicate-column", message).at(span.clone()));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Failure::Wrong(problems)) }
}

/// The comment of a CREATE TABLE, wherever the parser keeps it.
pub(super) fn comment_of(create: &CreateTable) -> Option<String> {
    let option = match &create.table_options {
        ast::CreateTableOptions::Plain(options) => options.iter().find_map(|option| match option {
            ast::SqlOption::Comment(comment) => Some(comment),
            _ => None,
        }),
        _ => None,
    };
    match create.comment.as_ref().or(option)? {
        CommentDef::WithEq(comment) | CommentDef::WithoutEq(comment) => Some(comment.clone()),
    }
}

fn refuse_table_options(create: &CreateTable, span: &Span) -> Result<(), Failure> {
    let what = [
        (create.external, "CREATE EXTERNAL TABLE"),
        (create.dynamic, "CREATE DYNAMIC TABLE"),
        (create.iceberg, "CREATE ICEBERG TABLE"),
        (create.with_row_access_policy.is_some(), "ROW ACCESS POLICY"),
        (create.with_aggregation_policy.is_some(), "AGGREGATION POLICY"),
    ];
    match what.into_iter().find(|(found, _)| *found) {
        Some((_, what)) => Err(refused(span, what, "only plain tables are kept here").into()),
        None => Ok(()),
    }
}
