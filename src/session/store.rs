//! Where a session's tables rest: in memory alone, or in a local warehouse to which every committed change is published.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::catalog::{Catalog, Life, Place, ReadOnly, Relation, Table, View};
use super::column::{Filler, TableColumn};
use super::ddl::add_schema;
use super::outcome::{Failure, refused};
use super::{SCHEMA, Session};
use crate::backend::datafusion::source::Sources;
use crate::dialect::parse;
use crate::name::{Name, TableName};
use crate::text::{SourceFile, Span};
use crate::warehouse::{Change, Snapshot, StoredTable, Warehouse};

/// The run under which a session's changes are published.
const RUN: &str = "sql";

/// Where tables rest.
pub(super) enum Store {
    /// Nowhere: they go with the session.
    Memory,
    /// In the local warehouse.
    Local(Warehouse),
    /// In an older set of the local warehouse, which nothing changes.
    Past,
}

impl Store {
    /// Whether a schema begins with its first table and needs no CREATE SCHEMA.
    pub(super) fn makes_schemas(&self) -> bool {
        matches!(self, Self::Local(_) | Self::Past)
    }
}

impl Session {
    /// A session over a local warehouse and the sources of its project, in a database of this name.
    pub fn local(
        warehouse: Warehouse,
        database: &str,
        sources: &Sources,
        timezone: &str,
        now: DateTime<Utc>,
    ) -> Result<Self, Failure> {
        let snapshot = warehouse.snapshot()?;
        Self::of_snapshot(Store::Local(warehouse), &snapshot, database, sources, timezone, now)
    }

    /// The same over an older set of a warehouse, to be read only; sources are as they are now.
    pub fn past(
        snapshot: &Snapshot,
        database: &str,
        sources: &Sources,
        timezone: &str,
        now: DateTime<Utc>,
    ) -> Result<Self, Failure> {
        Self::of_snapshot(Store::Past, snapshot, database, sources, timezone, now)
    }

    fn of_snapshot(
        store: Store,
        snapshot: &Snapshot,
        database: &str,
        sources: &Sources,
        timezone: &str,
        now: DateTime<Utc>,
    ) -> Result<Self, Failure> {
        let mut catalog = Catalog::new(database, SCHEMA);
        for (name, source) in sources.iter().collect::<BTreeMap<_, _>>() {
            let columns = source.columns.iter().map(TableColumn::of_result).collect();
            let place = catalog.place(name);
            add_schema(&mut catalog, &place.database, &place.schema);
            let source = ReadOnly { columns, name: name.clone(), source: source.clone() };
            catalog.put(&place, Relation::Source(Arc::new(source)));
        }
        load(&mut catalog, snapshot)?;
        let mut session = Self::over(store, catalog, now);
        session.initial.timezone = timezone.to_string();
        session.set_parameters(session.initial.clone());
        Ok(session)
    }

    /// Publishes what differs from what the store has.
    pub(super) async fn save(&mut self) -> Result<(), Failure> {
        let before = &self.saved;
        let warehouse = match &self.store {
            Store::Memory => return Ok(()),
            Store::Past if self.catalog.is_same(before) => return Ok(()),
            Store::Past => return Err(Failure::Failed("tables of an earlier run can only be read".to_string())),
            Store::Local(warehouse) => warehouse,
        };
        let mut changes = Vec::new();
        for (place, relation) in self.catalog.all_lasting() {
            if before.lasting(&place).is_some_and(|old| old.is_same(relation)) {
                continue;
            }
            match relation {
                Relation::Table(table) => changes.push(self.staged(warehouse, &place, table)?),
                Relation::View(view) => changes.push(self.published_view(&place, view)?),
                Relation::Source(_) => {}
            }
        }
        for (place, relation) in before.all_lasting() {
            if self.catalog.lasting(&place).is_none() && !matches!(relation, Relation::Source(_)) {
                changes.push(Change::Drop(place.stored()));
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        let names: Vec<TableName> = changes.iter().map(|change| change.name().clone()).collect();
        let reserved = warehouse.reserve(&names)?;
        unchanged(before, &warehouse.snapshot()?, &names)?;
        warehouse.publish(changes, RUN)?;
        drop(reserved);
        let snapshot = warehouse.snapshot()?;
        reload(&mut self.catalog, &snapshot, &names)?;
        self.saved = self.catalog.clone();
        Ok(())
    }

    fn staged(&self, warehouse: &Warehouse, place: &Place, table: &Table) -> Result<Change, Failure> {
        let columns = table.columns.iter().map(TableColumn::stored).collect();
        let mut writer = warehouse.stage(&place.stored(), columns, table.base.as_ref())?;
        writer.comment(table.comment.clone());
        for batch in &table.batches {
            writer.write(batch)?;
        }
        Ok(Change::Table(writer.finish()?))
    }

    fn published_view(&self, place: &Place, view: &View) -> Result<Change, Failure> {
        let columns = self.view_columns(place, view.query.span())?;
        let sql = if view.columns.is_empty() {
            view.text.clone()
        } else {
            let names: Vec<String> = view.columns.iter().map(|(name, _)| name.sql()).collect();
            format!("SELECT * FROM ({}) AS T ({})", view.text, names.join(", "))
        };
        let columns = columns.iter().map(TableColumn::stored).collect();
        Ok(Change::View { name: place.stored(), sql, columns, comment: view.comment.clone() })
    }

    pub(super) fn no_sequence_in_files(&self, span: &Span) -> Result<(), Failure> {
        match self.store {
            Store::Memory => Ok(()),
            Store::Local(_) | Store::Past => {
                Err(refused(span, "CREATE SEQUENCE", "the local warehouse keeps tables and views").into())
            }
        }
    }

    pub(super) fn one_database_in_files(&self, span: &Span) -> Result<(), Failure> {
        match self.store {
            Store::Memory => Ok(()),
            Store::Local(_) | Store::Past => {
                Err(refused(span, "DATABASE", "the local warehouse is one database").into())
            }
        }
    }

    pub(super) fn no_identity_in_files(&self, table: &Table, span: &Span) -> Result<(), Failure> {
        let identity = table.columns.iter().any(|column| matches!(column.default, Filler::Identity(_)));
        match self.store {
            Store::Local(_) if identity && table.life != Life::Temporary => {
                Err(refused(span, "AUTOINCREMENT", "the local warehouse keeps no counters").into())
            }
            _ => Ok(()),
        }
    }
}

/// Fails where somebody else has published one of these tables since the session read it: its rows would be lost.
fn unchanged(before: &Catalog, now: &Snapshot, names: &[TableName]) -> Result<(), Failure> {
    for name in names {
        let place = before.place(&TableName { database: None, ..name.clone() });
        let known = match before.lasting(&place) {
            Some(Relation::Table(table)) => table.base.as_ref().map(StoredTable::version),
            Some(_) => continue,
            None => None,
        };
        if now.table(name).map(StoredTable::version) != known {
            let message =
                format!("table `{}` was published by another process meanwhile; run this again", name.lower());
            return Err(Failure::Failed(message));
        }
    }
    Ok(())
}

fn load(catalog: &mut Catalog, snapshot: &Snapshot) -> Result<(), Failure> {
    let names = snapshot.names();
    reload(catalog, snapshot, &names)
}

/// Puts these tables into the catalogue as the warehouse has them.
fn reload(catalog: &mut Catalog, snapshot: &Snapshot, names: &[TableName]) -> Result<(), Failure> {
    for name in names {
        let Some(stored) = snapshot.table(name) else { continue };
        let place = catalog.place(&TableName { database: None, ..stored.name().clone() });
        let relation = match stored.view() {
            Some(sql) => Relation::View(Arc::new(view_of(stored, sql)?)),
            None => Relation::Table(Arc::new(table_of(stored))),
        };
        add_schema(catalog, &place.database, &place.schema);
        if let Some(schema) = catalog.schema_mut(&place.database, &place.schema) {
            schema.relations.insert(place.name.clone(), relation);
        }
    }
    Ok(())
}

fn created(stored: &StoredTable) -> i64 {
    let created = DateTime::parse_from_rfc3339(&stored.object().created).ok();
    created.and_then(|created| created.timestamp_nanos_opt()).unwrap_or_default()
}

fn view_of(stored: &StoredTable, sql: &str) -> Result<View, Failure> {
    let source = SourceFile::new(format!("<view {}>", stored.name().lower()), sql);
    let query = parse(&source)?.pop();
    let query = query.ok_or_else(|| Failure::Failed(format!("view `{}` has no query", stored.name().lower())))?;
    Ok(View {
        query,
        text: sql.to_string(),
        columns: Vec::new(),
        comment: stored.object().comment.clone(),
        created: created(stored),
        temporary: false,
        secure: false,
    })
}

fn table_of(stored: &StoredTable) -> Table {
    let columns = stored.columns().iter().map(|column| {
        let name = Name::quoted(column.name.as_str());
        let declared =
            parse_type_of(&column.sql_type).and_then(|written| TableColumn::declared(name.clone(), &written));
        let mut declared = declared.unwrap_or_else(|| TableColumn::new(name, column.sql_type()));
        declared.nullable = column.nullable;
        declared.wide = column.wide;
        declared.comment.clone_from(&column.comment);
        if let Some(expr) = column.default.as_deref().and_then(expression) {
            declared.default = Filler::Expr(Box::new(expr));
        }
        declared
    });
    Table {
        base: Some(stored.clone()),
        comment: stored.object().comment.clone(),
        created: created(stored),
        ..Table::new(columns.collect())
    }
}

fn parse_type_of(text: &str) -> Option<sqlparser::ast::DataType> {
    let dialect = sqlparser::dialect::SnowflakeDialect;
    sqlparser::parser::Parser::new(&dialect).try_with_sql(text).ok()?.parse_data_type().ok()
}

fn expression(text: &str) -> Option<sqlparser::ast::Expr> {
    let dialect = sqlparser::dialect::SnowflakeDialect;
    sqlparser::parser::Parser::new(&dialect).try_with_sql(text).ok()?.parse_expr().ok()
}
