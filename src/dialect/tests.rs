use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::logical_expr::TableSource;
use datafusion::logical_expr::logical_plan::builder::LogicalTableSource;

use super::*;
use crate::text::SourceFile;

pub(super) struct Schemas(HashMap<TableName, Arc<dyn TableSource>>);

impl Schemas {
    pub(super) fn new(tables: &[(&str, &[(&str, DataType)])]) -> Self {
        let table = |columns: &[(&str, DataType)]| -> Arc<dyn TableSource> {
            let field = |(name, data_type): &(&str, DataType)| Field::new(name.to_uppercase(), data_type.clone(), true);
            let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
            Arc::new(LogicalTableSource::new(Arc::new(schema)))
        };
        Self(tables.iter().map(|(name, columns)| (TableName::parse(name).unwrap(), table(columns))).collect())
    }
}

impl Tables for Schemas {
    fn table(&self, name: &TableName) -> Option<Arc<dyn TableSource>> {
        self.0.get(name).cloned()
    }

    fn names(&self) -> Vec<TableName> {
        self.0.keys().cloned().collect()
    }
}

fn people() -> Schemas {
    let columns = [("id", DataType::Int64), ("name", DataType::Utf8), ("born", DataType::Date32)];
    Schemas::new(&[("backend.person", &columns)])
}

fn bind(sql: &str) -> Result<LogicalPlan, Vec<Diagnostic>> {
    let statements = parse(&SourceFile::new("t.sql", sql))?;
    let dialect = Dialect::new(SessionParameters::default());
    dialect.bind(&statements[0], &people())
}

#[test]
fn a_query_binds_to_typed_columns() {
    let plan = bind("select id, name as \"Name\" from backend.person where id > 1").unwrap();
    let columns: Vec<String> = Dialect::columns(&plan).iter().map(|c| format!("{} {}", c.name, c.sql_type)).collect();
    assert_eq!(columns, ["ID NUMBER(38,0)", "Name VARCHAR"]);
}

#[test]
fn tables_are_listed_without_the_names_of_with_clauses() {
    let sql = "with a as (select * from s.x) select * from a join \"T\" on exists (select 1 from d.s.y)";
    let statements = parse(&SourceFile::new("t.sql", sql)).unwrap();
    let names: Vec<String> = statements[0].tables().iter().map(|t| t.value.sql()).collect();
    assert_eq!(names, ["S.X", "T", "D.S.Y"]);
}

#[test]
fn an_unknown_table_is_shown_with_the_nearest() {
    let errors = bind("select 1 from backend.persn").unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "t.sql:1:15: error[unknown-table]: unknown table `backend.persn` (hint: did you mean `backend.person`?)"
    );
}
