//! MERGE: one query joins source and target and says for each pair which clause takes it; then rows are changed by number.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::array::UInt32Array;
use datafusion::arrow::compute::{concat_batches, take_record_batch};
use sqlparser::ast::{
    self, Expr, Join, JoinConstraint, JoinOperator, Merge, MergeAction, MergeClause, MergeClauseKind, MergeInsertKind,
    TableWithJoins,
};

use super::assign::{Value, append, row_numbers, wrong_count};
use super::catalog::Table;
use super::change::{Changed, assigned_column, query, remove, replace};
use super::column::TableColumn;
use super::insert::{is_default, listed};
use super::outcome::{Failure, refused};
use super::{Rows, Session};
use crate::dialect::Statement;
use crate::text::Span;

/// What a clause does, its expressions in the table's terms.
enum Action {
    Delete,
    /// Columns and their new values.
    Update(Vec<(usize, Expr)>),
    /// A value for every column.
    Insert(Vec<Expr>),
}

impl Session {
    pub(super) async fn merge(&mut self, statement: &Statement, merge: &Merge) -> Result<Rows, Failure> {
        let span = statement.span();
        let target = self.changed(&merge.table, span).await?;
        let merge = &self.by_name(statement, merge, &target.table)?;
        let mut actions = Vec::new();
        for clause in &merge.clauses {
            actions.push(self.action(clause, &target.table, span)?);
        }
        let clause = clause_number(&target, &merge.clauses, span)?;
        let mut items = vec![target.row(), clause.clone()];
        let mut columns: Vec<(TableColumn, Value)> = Vec::new();
        for (number, action) in actions.iter().enumerate() {
            for (column, value) in action.values() {
                let value = when(vec![(equals(&clause, number), value.clone())]);
                columns.push((target.table.columns[column].clone(), Value::Column(items.len())));
                items.push(value);
            }
        }
        // NOT NULL is checked row by row below: a clause's columns are NULL wherever another clause takes the pair.
        let joined = query(items, joined(&target, merge), None);
        let plan = self.bind_with(&statement.with_ast(joined), std::slice::from_ref(&target.extra))?;
        let batches = self.assigned(span, plan, 2, &columns).await?;
        let (mut counts, table) = carry_out(target.table, &actions, &batches)?;
        self.catalog.put_table(&target.place, table);
        counts.retain(|(header, _)| actions.iter().any(|action| action.header() == *header));
        Rows::counts(&counts)
    }

    fn action(&self, clause: &MergeClause, table: &Table, span: &Span) -> Result<Action, Failure> {
        match &clause.action {
            MergeAction::Delete { .. } => Ok(Action::Delete),
            MergeAction::Update(update) => {
                let mut columns = Vec::new();
                for assignment in &update.assignments {
                    let index = assigned_column(&assignment.target, table, span)?;
                    columns.push((index, self.merged_value(&assignment.value, &table.columns[index])?));
                }
                Ok(Action::Update(columns))
            }
            MergeAction::Insert(insert) => {
                let MergeInsertKind::Values(values) = &insert.kind else {
                    return Err(refused(span, "MERGE … INSERT ROW", "").into());
                };
                let [row] = values.rows.as_slice() else {
                    return Err(refused(span, "MERGE … INSERT of several rows", "").into());
                };
                let names = insert.columns.iter().filter_map(|name| Some(name.0.last()?.as_ident()?.value.as_str()));
                let listed = listed(table, names.collect(), span)?;
                if row.content.len() != listed.len() {
                    return Err(wrong_count(span, row.content.len(), listed.len()).into());
                }
                let mut all = Vec::new();
                for (index, column) in table.columns.iter().enumerate() {
                    let position = listed.iter().position(|listed| *listed == index);
                    all.push(match position {
                        Some(position) => self.merged_value(&row.content[position], column)?,
                        None => self.default_expr(column)?,
                    });
                }
                Ok(Action::Insert(all))
            }
        }
    }

    fn merged_value(&self, value: &Expr, column: &TableColumn) -> Result<Expr, Failure> {
        if is_default(value) { self.default_expr(column) } else { Ok(value.clone()) }
    }
}

impl Action {
    /// Columns of the table and what they get.
    fn values(&self) -> Vec<(usize, &Expr)> {
        match self {
            Self::Delete => Vec::new(),
            Self::Update(columns) => columns.iter().map(|(column, value)| (*column, value)).collect(),
            Self::Insert(values) => values.iter().enumerate().collect(),
        }
    }

    fn header(&self) -> &'static str {
        match self {
            Self::Delete => "number of rows deleted",
            Self::Update(_) => "number of rows updated",
            Self::Insert(_) => "number of rows inserted",
        }
    }
}

/// The source, each of its rows with the target's rows that match, or without one.
fn joined(target: &Changed, merge: &Merge) -> Vec<TableWithJoins> {
    let join = Join {
        relation: target.factor(),
        global: false,
        join_operator: JoinOperator::LeftOuter(JoinConstraint::On(Expr::clone(&merge.on))),
    };
    vec![TableWithJoins { relation: merge.source.clone(), joins: vec![join] }]
}

/// Which clause takes the pair: the first whose kind and condition hold.
fn clause_number(target: &Changed, clauses: &[MergeClause], span: &Span) -> Result<Expr, Failure> {
    let mut branches = Vec::new();
    for (number, clause) in clauses.iter().enumerate() {
        let insert = matches!(clause.action, MergeAction::Insert(_));
        let kind = match clause.clause_kind {
            MergeClauseKind::Matched if !insert => Expr::IsNotNull(Box::new(target.row())),
            MergeClauseKind::NotMatched if insert => Expr::IsNull(Box::new(target.row())),
            other => return Err(refused(span, &format!("MERGE … WHEN {other}"), "").into()),
        };
        let condition = match &clause.predicate {
            None => kind,
            Some(predicate) => Expr::BinaryOp {
                left: Box::new(kind),
                op: ast::BinaryOperator::And,
                right: Box::new(Expr::Nested(Box::new(predicate.clone()))),
            },
        };
        branches.push((condition, integer(number)));
    }
    Ok(when(branches))
}

fn integer(number: usize) -> Expr {
    Expr::value(ast::Value::Number(number.to_string(), false))
}

fn equals(clause: &Expr, number: usize) -> Expr {
    let (left, right) = (Box::new(clause.clone()), Box::new(integer(number)));
    Expr::BinaryOp { left, op: ast::BinaryOperator::Eq, right }
}

/// `CASE WHEN … THEN … END`.
fn when(branches: Vec<(Expr, Expr)>) -> Expr {
    let empty = ast::helpers::attached_token::AttachedToken::empty;
    let conditions = branches.into_iter().map(|(condition, result)| ast::CaseWhen { condition, result });
    Expr::Case {
        case_token: empty(),
        end_token: empty(),
        operand: None,
        conditions: conditions.collect(),
        else_result: None,
    }
}

/// The pairs of one clause: their batches cut down to the row number and the clause's values.
fn pairs_of(batches: &[RecordBatch], number: usize, first: usize, width: usize) -> Result<Vec<RecordBatch>, Failure> {
    let mut cut = Vec::new();
    for batch in batches {
        let clauses = row_numbers(batch, 1)?;
        let rows: UInt32Array =
            (0_u32..).zip(&clauses).filter(|(_, clause)| **clause == Some(number)).map(|(row, _)| row).collect();
        let columns: Vec<usize> = std::iter::once(0).chain(first..first + width).collect();
        cut.push(take_record_batch(&batch.project(&columns)?, &rows)?);
    }
    Ok(cut)
}

type Counts = Vec<(&'static str, usize)>;

fn carry_out(mut table: Table, actions: &[Action], batches: &[RecordBatch]) -> Result<(Counts, Table), Failure> {
    let rows = table.rows() as usize;
    let mut updates = vec![0_usize; rows];
    let mut gone = vec![false; rows];
    let mut first = 2;
    let (mut inserted, mut updated) = (0, 0);
    let mut new_rows = Vec::new();
    for (number, action) in actions.iter().enumerate() {
        let width = action.values().len();
        let pairs = pairs_of(batches, number, first, width)?;
        first += width;
        match action {
            Action::Insert(_) => new_rows.push(pairs),
            Action::Delete => count_rows(&pairs, |row| gone[row] = true)?,
            Action::Update(columns) => {
                count_rows(&pairs, |row| updates[row] += 1)?;
                let columns: Vec<usize> = columns.iter().map(|(column, _)| *column).collect();
                updated += replace(&mut table, &columns, &pairs)?.0;
            }
        }
    }
    if (0..rows).any(|row| updates[row] > 1 || (updates[row] > 0 && gone[row])) {
        let message = "duplicate row detected: MERGE matches a row of the target with several rows of the source";
        return Err(Failure::Failed(message.to_string()));
    }
    let deleted = remove(&mut table, &gone)?;
    for pairs in new_rows {
        let mut rows = Vec::new();
        for batch in pairs {
            rows.push(batch.project(&(1..batch.num_columns()).collect::<Vec<_>>())?);
        }
        inserted += append(&mut table, rows)?;
    }
    let schema = table.schema("UTC");
    table.batches = vec![concat_batches(&schema, &table.batches)?];
    let counts = vec![
        ("number of rows inserted", inserted),
        ("number of rows updated", updated),
        ("number of rows deleted", deleted),
    ];
    Ok((counts, table))
}

fn count_rows(pairs: &[RecordBatch], mut met: impl FnMut(usize)) -> Result<(), Failure> {
    for batch in pairs {
        row_numbers(batch, 0)?.into_iter().flatten().for_each(&mut met);
    }
    Ok(())
}
