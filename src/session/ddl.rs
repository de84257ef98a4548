//! CREATE and DROP.

use sqlparser::ast::{self, ColumnOption, CreateTable, ObjectName, ObjectType};

use super::catalog::{Table, TableColumn};
use super::{Failure, Rows, Session, refused};
use crate::diagnostic::Diagnostic;
use crate::dialect::{Dialect, Statement, declared_type, table_name};
use crate::name::{Name, TableName};

impl Session {
    pub(super) async fn create_table(&mut self, statement: &Statement, create: &CreateTable) -> Result<Rows, Failure> {
        let name = written_name(statement, &create.name)?;
        if self.catalog.table(&name).is_some() {
            if create.if_not_exists {
                return Rows::status(format!("{} already exists, statement succeeded.", name.table));
            }
            if !create.or_replace {
                let message = format!("object `{name}` already exists");
                return Err(Diagnostic::error("object-exists", message).at(statement.span().clone()).into());
            }
        }
        let mut columns = declared_columns(statement, &create.columns)?;
        let batches = match &create.query {
            Some(query) => {
                let query = statement.with_ast(ast::Statement::Query(query.clone()));
                let plan = self.dialect.bind(&query, &self.catalog)?;
                if columns.is_empty() {
                    columns = result_columns(&plan);
                }
                self.rows_as(&query, plan, &columns).await?
            }
            None => Vec::new(),
        };
        let message = format!("Table {} successfully created.", name.table);
        self.catalog.put(name, Table { columns, batches });
        Rows::status(message)
    }

    pub(super) fn drop_objects(
        &mut self,
        statement: &Statement,
        kind: ObjectType,
        if_exists: bool,
        names: &[ObjectName],
    ) -> Result<Rows, Failure> {
        if kind != ObjectType::Table {
            return Err(refused(statement, &format!("DROP {kind}")).into());
        }
        let mut last = String::new();
        for name in names {
            let name = written_name(statement, name)?;
            last = if self.catalog.remove(&name).is_some() {
                format!("{} successfully dropped.", name.table)
            } else if if_exists {
                format!("Drop statement executed successfully ({} already dropped).", name.table)
            } else {
                return Err(unknown(statement, &name).into());
            };
        }
        Rows::status(last)
    }
}

pub(super) fn unknown(statement: &Statement, name: &TableName) -> Diagnostic {
    let message = format!("unknown table `{}`", name.lower());
    Diagnostic::error("unknown-table", message).at(statement.span().clone())
}

pub(super) fn written_name(statement: &Statement, name: &ObjectName) -> Result<TableName, Diagnostic> {
    table_name(name).ok_or_else(|| {
        Diagnostic::error("wrong-name", format!("`{name}` is not a table's name")).at(statement.span().clone())
    })
}

fn result_columns(plan: &datafusion::logical_expr::LogicalPlan) -> Vec<TableColumn> {
    let columns = Dialect::columns(plan).into_iter();
    columns
        .map(|column| TableColumn { name: column.name, sql_type: column.sql_type, nullable: true, default: None })
        .collect()
}

fn declared_columns(statement: &Statement, written: &[ast::ColumnDef]) -> Result<Vec<TableColumn>, Diagnostic> {
    let mut columns = Vec::new();
    for column in written {
        let Some(sql_type) = declared_type(&column.data_type) else {
            let message = format!("unknown type `{}`", column.data_type);
            return Err(Diagnostic::error("unknown-type", message).at(statement.span().clone()));
        };
        let mut nullable = true;
        let mut default = None;
        for option in &column.options {
            match &option.option {
                ColumnOption::NotNull | ColumnOption::PrimaryKey(_) => nullable = false,
                ColumnOption::Default(expr) => default = Some(expr.clone()),
                _ => {}
            }
        }
        columns.push(TableColumn { name: Name::quoted(column.name.value.clone()), sql_type, nullable, default });
    }
    Ok(columns)
}
