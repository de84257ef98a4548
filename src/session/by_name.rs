//! MERGE … UPDATE | INSERT ALL BY NAME: every column of the target from the source's column of its name.

use sqlparser::ast::{
    self, Expr, Ident, Merge, MergeAction, MergeInsertKind, ObjectName, ObjectNamePart, Parens, TableFactor,
};

use super::Session;
use super::catalog::Table;
use super::outcome::Failure;
use crate::diagnostic::Diagnostic;
use crate::dialect::{ALL_BY_NAME, Dialect, Statement};
use crate::name::Name;
use crate::text::Span;

impl Session {
    /// The MERGE with the columns that ALL BY NAME stands for.
    pub(super) fn by_name(&self, statement: &Statement, merge: &Merge, table: &Table) -> Result<Merge, Failure> {
        let mut merge = merge.clone();
        if !merge.clauses.iter().any(|clause| is_by_name(&clause.action)) {
            return Ok(merge);
        }
        let columns = self.columns_by_name(statement, &merge.source, table)?;
        for clause in merge.clauses.iter_mut().filter(|clause| is_by_name(&clause.action)) {
            match &mut clause.action {
                MergeAction::Update(update) => {
                    update.assignments = columns.iter().map(|(name, value)| assignment(name, value)).collect();
                }
                MergeAction::Insert(insert) => {
                    insert.columns = columns.iter().map(|(name, _)| object(name)).collect();
                    let content = columns.iter().map(|(_, value)| value.clone()).collect();
                    if let MergeInsertKind::Values(values) = &mut insert.kind
                        && let Some(row) = values.rows.first_mut()
                    {
                        *row = Parens { content, ..row.clone() };
                    }
                }
                MergeAction::Delete { .. } => {}
            }
        }
        Ok(merge)
    }

    /// The target's columns, each with the source's column of its name: both have to have the same.
    fn columns_by_name(
        &self,
        statement: &Statement,
        source: &TableFactor,
        table: &Table,
    ) -> Result<Vec<(Name, Expr)>, Failure> {
        let span = statement.span();
        let star = super::change::every_column(source.clone());
        let plan = self.bind_with(&statement.with_ast(star), &[])?;
        let given: Vec<Name> = Dialect::columns(&plan).into_iter().map(|column| column.name).collect();
        let own = |name: &Name| table.columns.iter().any(|column| column.name == *name);
        let missing = table.columns.iter().map(|column| &column.name).find(|name| !given.contains(name));
        let more = given.iter().find(|name| !own(name));
        if let Some(name) = missing.or(more) {
            let (has, lacks) = if own(name) { ("target", "source") } else { ("source", "target") };
            let message = format!("ALL BY NAME: the {has} has a column `{}` and the {lacks} has none", name.lower());
            return Err(Diagnostic::error("unknown-column", message).at(span.clone()).into());
        }
        let qualifier = qualifier(source, span)?;
        let value =
            |name: &Name| Expr::CompoundIdentifier(vec![qualifier.clone(), Ident::with_quote('"', name.as_str())]);
        Ok(table.columns.iter().map(|column| (column.name.clone(), value(&column.name))).collect())
    }
}

fn is_by_name(action: &MergeAction) -> bool {
    let named = |ident: Option<&Ident>| ident.is_some_and(|ident| ident.value == ALL_BY_NAME);
    let last = |name: &ObjectName| named(name.0.last().and_then(ObjectNamePart::as_ident));
    match action {
        MergeAction::Update(update) => match update.assignments.first().map(|assignment| &assignment.target) {
            Some(ast::AssignmentTarget::ColumnName(name)) => last(name),
            _ => false,
        },
        MergeAction::Insert(insert) => insert.columns.first().is_some_and(last),
        MergeAction::Delete { .. } => false,
    }
}

fn object(name: &Name) -> ObjectName {
    ObjectName::from(vec![Ident::with_quote('"', name.as_str())])
}

fn assignment(name: &Name, value: &Expr) -> ast::Assignment {
    ast::Assignment { target: ast::AssignmentTarget::ColumnName(object(name)), value: value.clone() }
}

/// The name by which the source's columns are qualified.
fn qualifier(source: &TableFactor, span: &Span) -> Result<Ident, Failure> {
    let own = match source {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(alias.name.clone())
        }
        TableFactor::Table { name, .. } => name.0.last().and_then(ObjectNamePart::as_ident).cloned(),
        _ => None,
    };
    own.ok_or_else(|| {
        let message = "ALL BY NAME needs a name for the source: `USING (…) AS s`";
        Diagnostic::error("unsupported-sql", message).at(span.clone()).into()
    })
}
