//! CREATE OR ALTER TABLE of a table that is there: the changes that make it what the statement declares.

use sqlparser::ast::{ColumnDef, ColumnOption, CreateTable};

use super::catalog::{Relation, Table};
use super::column::TableColumn;
use super::outcome::{Failure, refused};
use super::{Rows, Session};
use crate::diagnostic::Diagnostic;
use crate::dialect::command::ColumnChange;
use crate::name::Name;
use crate::text::Span;

impl Session {
    pub(super) async fn create_or_alter(&mut self, create: &CreateTable, span: &Span) -> Result<Rows, Failure> {
        if create.query.is_some() || create.like.is_some() || create.clone.is_some() {
            let why = "the table is there, and only its columns can be declared anew";
            return Err(refused(span, "CREATE OR ALTER TABLE … AS, LIKE or CLONE", why).into());
        }
        let (place, table) = self.target(&create.name, span)?;
        let (declared, keys) = self.declared_columns(&create.columns, &[], span)?;
        let mut table = self.with_columns(Table::clone(&table), &declared, &create.columns, span).await?;
        table.keys.clear();
        let all = create.constraints.iter().filter_map(super::alter::key_of);
        for key in keys.into_iter().chain(all.collect::<Vec<_>>()) {
            super::alter::add_key(&mut table, key, span)?;
        }
        table.comment = super::ddl::comment_of(create);
        self.no_identity_in_files(&table, span)?;
        if let Some(Relation::Table(_)) = self.catalog.relation(&place) {
            self.catalog.put_table(&place, table);
        }
        Rows::status(format!("Table {} successfully altered.", place.name))
    }

    /// The table with the declared columns: those that are gone dropped, new ones added behind the others, the rest changed.
    async fn with_columns(
        &self,
        mut table: Table,
        declared: &[TableColumn],
        written: &[ColumnDef],
        span: &Span,
    ) -> Result<Table, Failure> {
        for (column, written) in declared.iter().zip(written) {
            match table.column(&column.name) {
                None => table = self.with_column(table, false, &without_keys(written), span).await?,
                Some(at) => {
                    for change in changes(&table.columns[at], column, written) {
                        table = self.with_changed_column(table, column.name.as_str(), &change, span).await?;
                    }
                }
            }
        }
        let is_declared = |name: &Name| declared.iter().any(|column| column.name == *name);
        let gone: Vec<String> =
            table.columns.iter().filter(|c| !is_declared(&c.name)).map(|c| c.name.as_str().to_string()).collect();
        let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
        if !gone.is_empty() {
            table = self.without_columns(table, false, &gone, span).await?;
        }
        if table.columns.iter().zip(declared).any(|(own, declared)| own.name != declared.name) {
            let message = "CREATE OR ALTER TABLE cannot change the order of columns: new ones come last";
            return Err(Diagnostic::error("column-order", message).at(span.clone()).into());
        }
        Ok(table)
    }
}

/// What makes a column as it is declared.
fn changes(own: &TableColumn, declared: &TableColumn, written: &ColumnDef) -> Vec<ColumnChange> {
    let mut changes = Vec::new();
    if own.shown_type() != declared.shown_type() {
        changes.push(ColumnChange::Type(Box::new(written.data_type.clone())));
    }
    if own.nullable != declared.nullable {
        changes.push(ColumnChange::Nullable(declared.nullable));
    }
    if own.default_text() != declared.default_text() {
        let default = written.options.iter().find_map(|option| match &option.option {
            ColumnOption::Default(expr) => Some(Box::new(expr.clone())),
            _ => None,
        });
        changes.push(ColumnChange::Default(default));
    }
    if own.comment != declared.comment {
        changes.push(ColumnChange::Comment(declared.comment.clone()));
    }
    changes
}

/// A column without the keys that it declares, which are added for the whole table.
fn without_keys(written: &ColumnDef) -> ColumnDef {
    let is_key = |option: &ColumnOption| super::alter::own_key(option, &Name::unquoted("x")).is_some();
    let options = written.options.iter().filter(|option| !is_key(&option.option)).cloned().collect();
    ColumnDef { options, ..written.clone() }
}
