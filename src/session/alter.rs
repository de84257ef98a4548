//! ALTER, and the constraints that tables keep without enforcing them.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use sqlparser::ast::{ColumnOption, IndexColumn, ObjectName, TableConstraint};

use super::assign::{Value, append, settled};
use super::catalog::{Key, Place, Relation, Table};
use super::column::{Filler, TableColumn};
use super::ddl::single;
use super::outcome::{Failure, exists, refused, unknown};
use super::{Rows, Session};
use crate::diagnostic::Diagnostic;
use crate::dialect::command::{ColumnChange, ObjectChange, ObjectKind, TableChange};
use crate::dialect::table_name;
use crate::dialect::types::SqlType;
use crate::name::{Name, nearest};
use crate::text::Span;

impl Session {
    pub(super) async fn alter_table(
        &mut self,
        if_exists: bool,
        name: &ObjectName,
        changes: &[TableChange],
        span: &Span,
    ) -> Result<Rows, Failure> {
        let known = table_name(name).map(|name| self.catalog.place(&name));
        if if_exists && known.is_none_or(|place| self.catalog.relation(&place).is_none()) {
            return Rows::done();
        }
        let (place, table) = self.target(name, span)?;
        let mut table = Table::clone(&table);
        for change in changes {
            match change {
                TableChange::Rename(to) => return self.rename(&place, to, span),
                TableChange::Swap(with) => return self.swap(&place, with, span),
                TableChange::Add { if_not_exists, column } => {
                    table = self.with_column(table, *if_not_exists, column, span).await?;
                }
                TableChange::Drop { if_exists, columns } => {
                    let columns: Vec<&str> = columns.iter().map(|column| column.value.as_str()).collect();
                    table = self.without_columns(table, *if_exists, &columns, span).await?;
                }
                TableChange::RenameColumn { from, to } => rename_column(&mut table, &from.value, &to.value, span)?,
                TableChange::Column { name, change } => {
                    table = self.with_changed_column(table, &name.value, change, span).await?;
                }
                TableChange::Comment(comment) => table.comment.clone_from(comment),
                TableChange::Constrain(constraint) => match key_of(constraint) {
                    Some(key) => add_key(&mut table, key, span)?,
                    None => return Err(refused(span, "this constraint", "").into()),
                },
                TableChange::Unconstrain(what) => drop_key(&mut table, what, span)?,
                TableChange::Property => {}
            }
        }
        if table.base.is_some() && table.columns.len() != self.target(name, span)?.1.columns.len() {
            table = self.materialized(&table).await?;
        }
        self.no_identity_in_files(&table, span)?;
        self.catalog.put_table(&place, table);
        Rows::done()
    }

    fn rename(&mut self, place: &Place, to: &ObjectName, span: &Span) -> Result<Rows, Failure> {
        let new = self.place_in_schema(to, span)?;
        if self.catalog.relation(&new).is_some() {
            return Err(exists(span, new.name.as_str()).into());
        }
        self.make_schema(&new);
        if let Some(relation) = self.catalog.remove(place) {
            self.catalog.put(&new, relation);
        }
        Rows::done()
    }

    fn swap(&mut self, place: &Place, with: &ObjectName, span: &Span) -> Result<Rows, Failure> {
        let (other, _) = self.target(with, span)?;
        let (Some(one), Some(two)) = (self.catalog.remove(place), self.catalog.remove(&other)) else {
            return Err(Failure::Failed("the tables are gone".to_string()));
        };
        self.catalog.put(place, two);
        self.catalog.put(&other, one);
        Rows::done()
    }

    pub(super) async fn with_column(
        &self,
        table: Table,
        if_not_exists: bool,
        written: &sqlparser::ast::ColumnDef,
        span: &Span,
    ) -> Result<Table, Failure> {
        let (mut columns, keys) = self.declared_columns(std::slice::from_ref(written), &[], span)?;
        let Some(column) = columns.pop() else { return Ok(table) };
        if table.column(&column.name).is_some() {
            if if_not_exists {
                return Ok(table);
            }
            let message = format!("column `{}` is there already", column.name.lower());
            return Err(Diagnostic::error("duplicate-column", message).at(span.clone()).into());
        }
        let mut table = self.materialized(&table).await?;
        let rows = table.rows() as usize;
        let added = self.added_values(&column, rows, span).await?;
        let mut arrays: Vec<ArrayRef> = table.batches.first().map(|b| b.columns().to_vec()).unwrap_or_default();
        table.columns.push(column);
        arrays.push(added);
        let batch = batch_of(&arrays, rows)?;
        table.batches.clear();
        append(&mut table, vec![batch])?;
        for key in keys {
            add_key(&mut table, key, span)?;
        }
        Ok(table)
    }

    /// What the rows that are there get in a new column: its default.
    async fn added_values(&self, column: &TableColumn, rows: usize, span: &Span) -> Result<ArrayRef, Failure> {
        let data_type = column.data_type("UTC");
        if rows == 0 || matches!(column.default, Filler::None) {
            if rows > 0 && !column.nullable {
                let message = format!(
                    "column `{}` is NOT NULL and has no default for the rows that are there",
                    column.name.lower()
                );
                return Err(Diagnostic::error("not-null", message).at(span.clone()).into());
            }
            return Ok(new_null_array(&data_type, rows));
        }
        let counted = format!("SELECT COLUMN1 FROM VALUES {}", vec!["(NULL)"; rows.min(1)].join(", "));
        let plan = self.bind_generated(&counted, span, &[])?;
        let one = self.assigned(span, plan, 0, &[(column.clone(), Value::Default)]).await?;
        if let Filler::Identity(_) = &column.default {
            return Err(refused(span, "ADD COLUMN … AUTOINCREMENT", "the table has rows already").into());
        }
        let value = one.iter().find(|batch| batch.num_rows() > 0).map(|batch| batch.column(0).clone());
        let value = value.ok_or_else(|| Failure::Failed("the default gave no value".to_string()))?;
        let zeros = datafusion::arrow::array::UInt32Array::from(vec![0; rows]);
        Ok(datafusion::arrow::compute::take(&value, &zeros, None)?)
    }

    pub(super) async fn without_columns(
        &self,
        table: Table,
        if_exists: bool,
        names: &[&str],
        span: &Span,
    ) -> Result<Table, Failure> {
        let mut table = self.materialized(&table).await?;
        for name in names {
            let name = Name::quoted(*name);
            let Some(index) = table.column(&name) else {
                if if_exists {
                    continue;
                }
                return Err(unknown_column(&table, &name, span).into());
            };
            if table.columns.len() == 1 {
                let message = "a table has at least one column";
                return Err(Diagnostic::error("no-columns", message).at(span.clone()).into());
            }
            table.columns.remove(index);
            table.keys.retain(|key| !key.columns.contains(&name));
            for batch in &mut table.batches {
                batch.remove_column(index);
            }
        }
        Ok(table)
    }

    pub(super) async fn with_changed_column(
        &self,
        mut table: Table,
        name: &str,
        change: &ColumnChange,
        span: &Span,
    ) -> Result<Table, Failure> {
        let name = Name::quoted(name);
        let Some(index) = table.column(&name) else { return Err(unknown_column(&table, &name, span).into()) };
        match change {
            ColumnChange::Comment(comment) => table.columns[index].comment.clone_from(comment),
            ColumnChange::Default(None) => table.columns[index].default = Filler::None,
            ColumnChange::Default(Some(expr)) => table.columns[index].default = Filler::Expr(expr.clone()),
            ColumnChange::Nullable(nullable) => {
                table = self.materialized(&table).await?;
                let nulls = table.batches.iter().any(|batch| batch.column(index).null_count() > 0);
                if !nullable && nulls {
                    let message = format!("column `{}` holds NULLs", name.lower());
                    return Err(Failure::Failed(message));
                }
                table.columns[index].nullable = *nullable;
                super::assign::widen(&mut table)?;
            }
            ColumnChange::Type(written) => {
                let Some(column) = table.columns[index].with_type(written) else {
                    let message = format!("unknown type `{written}`");
                    return Err(Diagnostic::error("unknown-type", message).at(span.clone()).into());
                };
                if !may_become(&table.columns[index], &column) {
                    let (from, to) = (table.columns[index].shown_type(), column.shown_type());
                    let message = format!("column `{}` cannot change from {from} to {to}", name.lower());
                    return Err(Diagnostic::error("wrong-type-change", message).at(span.clone()).into());
                }
                table = self.materialized(&table).await?;
                table.columns[index] = column;
                retype(&mut table, index)?;
            }
        }
        Ok(table)
    }

    pub(super) fn alter(
        &mut self,
        kind: ObjectKind,
        if_exists: bool,
        name: &ObjectName,
        change: &ObjectChange,
        span: &Span,
    ) -> Result<Rows, Failure> {
        if let ObjectChange::Comment(comment) = change {
            return self.comment(kind, if_exists, name, comment.clone(), span);
        }
        match (kind, change) {
            (_, ObjectChange::Property) => Rows::done(),
            (ObjectKind::View, ObjectChange::Rename(to)) => {
                let place = self.place_in_schema(name, span)?;
                match self.catalog.relation(&place) {
                    Some(Relation::View(_)) => self.rename(&place, to, span),
                    _ if if_exists => Rows::done(),
                    _ => Err(unknown(span, "view", place.name.as_str()).into()),
                }
            }
            (ObjectKind::Sequence, _) => self.alter_sequence(if_exists, name, change, span),
            (ObjectKind::Schema, ObjectChange::Rename(to)) => self.rename_schema(name, to, span),
            (ObjectKind::Database, ObjectChange::Rename(to)) => {
                self.one_database_in_files(span)?;
                let (from, to) = (single(name, span)?, single(to, span)?);
                let Some(held) = self.catalog.databases.remove(&from) else {
                    return Err(unknown(span, "database", from.as_str()).into());
                };
                if self.catalog.databases.contains_key(&to) {
                    return Err(exists(span, to.as_str()).into());
                }
                if self.catalog.database == from {
                    self.catalog.database = to.clone();
                }
                self.catalog.databases.insert(to, held);
                Rows::done()
            }
            _ => Err(refused(span, &format!("this ALTER {}", kind.word().to_uppercase()), "").into()),
        }
    }

    fn rename_schema(&mut self, name: &ObjectName, to: &ObjectName, span: &Span) -> Result<Rows, Failure> {
        let (database, from) = self.schema_name(name, span)?;
        let (_, to) = self.schema_name(to, span)?;
        let held = self.catalog.databases.get_mut(&database);
        let held = held.ok_or_else(|| unknown(span, "database", database.as_str()))?;
        if held.schemas.contains_key(&to) {
            return Err(exists(span, to.as_str()).into());
        }
        let schemas = &mut Arc::make_mut(held).schemas;
        let schema = schemas.remove(&from).ok_or_else(|| unknown(span, "schema", from.as_str()))?;
        schemas.insert(to.clone(), schema);
        if self.catalog.database == database && self.catalog.schema == from {
            self.catalog.schema = to;
        }
        Rows::done()
    }

    fn alter_sequence(
        &mut self,
        if_exists: bool,
        name: &ObjectName,
        change: &ObjectChange,
        span: &Span,
    ) -> Result<Rows, Failure> {
        let place = self.place_in_schema(name, span)?;
        let Some(sequence) = self.catalog.sequence(&place).cloned() else {
            return if if_exists { Rows::done() } else { Err(unknown(span, "sequence", place.name.as_str()).into()) };
        };
        match change {
            ObjectChange::Increment(0) => {
                let message = "a sequence cannot have an increment of 0";
                Err(Diagnostic::error("wrong-increment", message).at(span.clone()).into())
            }
            ObjectChange::Increment(increment) => {
                sequence.set_increment(*increment);
                Rows::done()
            }
            ObjectChange::Rename(to) => {
                let to = self.place_in_schema(to, span)?;
                if self.catalog.sequence(&to).is_some() {
                    return Err(exists(span, to.name.as_str()).into());
                }
                if let Some(schema) = self.catalog.schema_mut(&place.database, &place.schema) {
                    schema.sequences.remove(&place.name);
                }
                if let Some(schema) = self.catalog.schema_mut(&to.database, &to.schema) {
                    schema.sequences.insert(to.name, sequence);
                }
                Rows::done()
            }
            _ => Err(refused(span, "this ALTER SEQUENCE", "").into()),
        }
    }
}

fn unknown_column(table: &Table, name: &Name, span: &Span) -> Diagnostic {
    let near = nearest(name.as_str(), table.columns.iter().map(|column| column.name.as_str()));
    unknown(span, "column", name.as_str()).did_you_mean(near.map(str::to_lowercase))
}

fn rename_column(table: &mut Table, from: &str, to: &str, span: &Span) -> Result<(), Failure> {
    let (from, to) = (Name::quoted(from), Name::quoted(to));
    if table.column(&to).is_some() {
        let message = format!("column `{}` is there already", to.lower());
        return Err(Diagnostic::error("duplicate-column", message).at(span.clone()).into());
    }
    let index = table.column(&from).ok_or_else(|| unknown_column(table, &from, span))?;
    if table.base.is_some() {
        return Err(refused(span, "RENAME COLUMN", "a published table's files keep their columns' names").into());
    }
    table.columns[index].name = to.clone();
    for key in &mut table.keys {
        for column in key.columns.iter_mut().filter(|column| **column == from) {
            *column = to.clone();
        }
    }
    super::assign::widen(table)
}

/// Whether Snowflake lets a column change its type so: wider text, bytes or numbers of the same scale.
fn may_become(from: &TableColumn, to: &TableColumn) -> bool {
    match (from.sql_type, to.sql_type) {
        (SqlType::Varchar(_), SqlType::Varchar(_)) => true,
        (SqlType::Number { scale: from, .. }, SqlType::Number { scale: to, .. }) => from == to,
        (SqlType::Binary, SqlType::Binary) => from.bytes.is_none_or(|b| to.bytes.is_none_or(|other| other >= b)),
        (from, to) => from == to,
    }
}

/// Brings the values of one column to its new type and checks them against its bounds.
fn retype(table: &mut Table, index: usize) -> Result<(), Failure> {
    let batches = std::mem::take(&mut table.batches);
    let mut column = table.columns[index].clone();
    let mut changed = Vec::new();
    for batch in &batches {
        let mut arrays = batch.columns().to_vec();
        let strict = datafusion::arrow::compute::CastOptions { safe: false, ..Default::default() };
        let array = datafusion::arrow::compute::cast_with_options(&arrays[index], &column.data_type("UTC"), &strict)?;
        arrays[index] = settled(&array, &mut column)?;
        changed.push(batch_of(&arrays, batch.num_rows())?);
    }
    table.columns[index] = column;
    append(table, changed)?;
    Ok(())
}

/// Columns without names of their own, as a batch.
fn batch_of(arrays: &[ArrayRef], rows: usize) -> Result<RecordBatch, Failure> {
    let field = |(index, array): (usize, &ArrayRef)| {
        datafusion::arrow::datatypes::Field::new(format!("C{index}"), array.data_type().clone(), true)
    };
    let fields: Vec<_> = arrays.iter().enumerate().map(field).collect();
    let schema = Arc::new(datafusion::arrow::datatypes::Schema::new(fields));
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema, arrays.to_vec(), &options)?)
}

/// The key that a table constraint declares; none for one that Snowflake does not have.
pub(super) fn key_of(constraint: &TableConstraint) -> Option<Key> {
    let name = |ident: &Option<sqlparser::ast::Ident>| ident.as_ref().map(|ident| Name::quoted(ident.value.clone()));
    let key = |kind, name, columns| Key { kind, name, columns, references: None };
    match constraint {
        TableConstraint::PrimaryKey(primary) => {
            Some(key("PRIMARY KEY", name(&primary.name), indexed(&primary.columns)))
        }
        TableConstraint::Unique(unique) => Some(key("UNIQUE", name(&unique.name), indexed(&unique.columns))),
        TableConstraint::ForeignKey(foreign) => {
            let plain = |idents: &[sqlparser::ast::Ident]| {
                idents.iter().map(|ident| Name::quoted(ident.value.clone())).collect::<Vec<_>>()
            };
            let references = Some((foreign.foreign_table.to_string(), plain(&foreign.referred_columns)));
            Some(Key { references, ..key("FOREIGN KEY", name(&foreign.name), plain(&foreign.columns)) })
        }
        _ => None,
    }
}

fn indexed(columns: &[IndexColumn]) -> Vec<Name> {
    let name = |column: &IndexColumn| match &column.column.expr {
        sqlparser::ast::Expr::Identifier(ident) => Name::quoted(ident.value.clone()),
        other => Name::unquoted(&other.to_string()),
    };
    columns.iter().map(name).collect()
}

/// The key that a column declares beside its type.
pub(super) fn own_key(option: &ColumnOption, column: &Name) -> Option<Key> {
    let columns = vec![column.clone()];
    match option {
        ColumnOption::PrimaryKey(_) => Some(Key { kind: "PRIMARY KEY", name: None, columns, references: None }),
        ColumnOption::Unique(_) => Some(Key { kind: "UNIQUE", name: None, columns, references: None }),
        ColumnOption::ForeignKey(foreign) => {
            let referred = foreign.referred_columns.iter().map(|ident| Name::quoted(ident.value.clone())).collect();
            let references = Some((foreign.foreign_table.to_string(), referred));
            Some(Key { kind: "FOREIGN KEY", name: None, columns, references })
        }
        _ => None,
    }
}

/// Keeps a key. The columns of a primary key become NOT NULL, which is all of it that Snowflake enforces.
pub(super) fn add_key(table: &mut Table, key: Key, span: &Span) -> Result<(), Failure> {
    for name in &key.columns {
        let index = table.column(name).ok_or_else(|| unknown_column(table, name, span))?;
        if key.kind == "PRIMARY KEY" {
            table.columns[index].nullable = false;
        }
    }
    if key.kind == "PRIMARY KEY" && table.keys.iter().any(|other| other.kind == "PRIMARY KEY") {
        let message = "the table has a primary key already";
        return Err(Diagnostic::error("duplicate-key", message).at(span.clone()).into());
    }
    let nulls = |name: &Name| {
        let index = table.column(name);
        index.is_some_and(|index| table.batches.iter().any(|batch| batch.column(index).null_count() > 0))
    };
    if key.kind == "PRIMARY KEY" && key.columns.iter().any(nulls) {
        return Err(Failure::Failed("a column of the primary key holds NULLs".to_string()));
    }
    table.keys.push(key);
    super::assign::widen(table)
}

fn drop_key(table: &mut Table, what: &str, span: &Span) -> Result<(), Failure> {
    let before = table.keys.len();
    table.keys.retain(|key| {
        let kind = key.kind.split(' ').next() == Some(what);
        !(kind || key.name.as_ref().is_some_and(|name| name.as_str() == what))
    });
    if table.keys.len() == before {
        return Err(unknown(span, "constraint", what).into());
    }
    Ok(())
}
