//! What a statement says about the session before it can be bound: `$variables`, IDENTIFIER(…), `sequence.NEXTVAL`,
//! TABLE(GETNEXTVAL(…)), GET_DDL(…) and TABLE(RESULT_SCAN(…)) are replaced by what they stand for.

use std::ops::ControlFlow;

use sqlparser::ast::{
    self, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, ObjectNamePart,
    Spanned as _, TableFactor, Value, ValueWithSpan, VisitMut, VisitorMut,
};

use super::Session;
use super::sequence::NEXTVAL;
use crate::diagnostic::Diagnostic;
use crate::dialect::{Statement, table_name};
use crate::name::{TableName, nearest};
use crate::text::Span;

/// The name under which a statement reads the result of the one before it.
pub(super) const RESULT: &str = "$RESULT";

impl Session {
    /// The statement without what only the session knows.
    pub(super) fn substituted(&self, statement: &Statement) -> Result<Statement, Vec<Diagnostic>> {
        let text = statement.text().to_uppercase();
        if !["$", "NEXTVAL", "IDENTIFIER", "RESULT_SCAN", "GET_DDL"].iter().any(|word| text.contains(word)) {
            return Ok(statement.clone());
        }
        let mut ast = statement.ast().clone();
        let mut substitution = Substitution { session: self, statement, problems: Vec::new() };
        let _ = ast.visit(&mut substitution);
        if substitution.problems.is_empty() { Ok(statement.with_ast(ast)) } else { Err(substitution.problems) }
    }

    /// The value of a session variable, written with its `$`.
    fn variable(&self, written: &str, span: Span) -> Result<&Expr, Diagnostic> {
        let name = written.trim_start_matches('$').to_uppercase();
        self.variables.get(&name).ok_or_else(|| {
            let near = nearest(&name, self.variables.keys()).map(|near| format!("${}", near.to_lowercase()));
            let message = format!("session variable `${}` is not set", name.to_lowercase());
            Diagnostic::error("unknown-variable", message).at(span).did_you_mean(near)
        })
    }
}

struct Substitution<'a> {
    session: &'a Session,
    statement: &'a Statement,
    problems: Vec<Diagnostic>,
}

impl Substitution<'_> {
    fn variable(&mut self, value: &ValueWithSpan) -> Option<Expr> {
        let Value::Placeholder(name) = &value.value else { return None };
        let name = name.strip_prefix('$').filter(|name| !name.starts_with(|c: char| c.is_ascii_digit()))?;
        match self.session.variable(name, self.statement.place(value.span)) {
            Ok(expr) => Some(expr.clone()),
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    /// The text of IDENTIFIER's argument: a string or a variable that holds one.
    fn named(&mut self, arguments: &[FunctionArg]) -> Option<Vec<Ident>> {
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = arguments else { return None };
        let text = match argument {
            Expr::Value(value) => match self.variable(value) {
                Some(Expr::Value(value)) => text_of(&value.value)?,
                Some(_) => return None,
                None => text_of(&value.value)?,
            },
            _ => return None,
        };
        match TableName::parse(&text) {
            Some(name) => {
                let parts = [name.database, name.schema, Some(name.table)];
                Some(parts.into_iter().flatten().map(|part| Ident::with_quote('"', part.as_str())).collect())
            }
            None => {
                let message = format!("`{text}` is not a name");
                self.problems.push(Diagnostic::error("wrong-name", message).at(self.statement.span().clone()));
                None
            }
        }
    }

    fn next_value(&self, parts: &[Ident]) -> Option<Expr> {
        let (last, name) = parts.split_last()?;
        if last.quote_style.is_some() || !last.value.eq_ignore_ascii_case("NEXTVAL") {
            return None;
        }
        self.next_value_of(name)
    }

    /// The call that takes the next number of the sequence of this name.
    fn next_value_of(&self, name: &[Ident]) -> Option<Expr> {
        let name = table_name(&ObjectName::from(name.to_vec()))?;
        let sequence = self.session.catalog.sequence(&self.session.catalog.place(&name))?;
        Some(next_value_of(self.session.sequences.number(sequence)))
    }

    /// The argument of TABLE(GETNEXTVAL(sequence)): a name, or a text that is one.
    fn sequence_argument(&mut self, function: &mut Function) {
        let FunctionArguments::List(list) = &mut function.args else { return };
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = list.args.as_mut_slice() else { return };
        let parts = match &*argument {
            Expr::Identifier(name) => vec![name.clone()],
            Expr::CompoundIdentifier(parts) => parts.clone(),
            _ => return,
        };
        match self.next_value_of(&parts) {
            Some(call) => *argument = call,
            None => {
                let name = parts.iter().map(|part| part.value.to_lowercase()).collect::<Vec<_>>().join(".");
                let span = Span::clone(self.statement.span());
                self.problems.push(super::outcome::unknown(&span, "sequence", &name));
            }
        }
    }
}

/// The call that takes a sequence's next number.
fn next_value_of(number: usize) -> Expr {
    let number = Expr::value(Value::Number(number.to_string(), false));
    let arguments = ast::FunctionArgumentList {
        duplicate_treatment: None,
        args: vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(number))],
        clauses: Vec::new(),
    };
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::with_quote('"', NEXTVAL)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(arguments),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::SingleQuotedString(text) => Some(text.clone()),
        _ => None,
    }
}

fn arguments_of(function: &Function) -> &[FunctionArg] {
    match &function.args {
        FunctionArguments::List(list) => &list.args,
        _ => &[],
    }
}

fn is_called(function: &Function, name: &str) -> bool {
    matches!(function.name.0.as_slice(), [ObjectNamePart::Identifier(only)] if only.value.eq_ignore_ascii_case(name))
}

impl VisitorMut for Substitution<'_> {
    type Break = ();

    fn pre_visit_relation(&mut self, name: &mut ObjectName) -> ControlFlow<()> {
        if let [ObjectNamePart::Function(function)] = name.0.as_slice()
            && function.name.value.eq_ignore_ascii_case("IDENTIFIER")
        {
            let arguments = function.args.clone();
            if let Some(parts) = self.named(&arguments) {
                *name = ObjectName::from(parts);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::TableFunction { expr: Expr::Function(function), .. } = factor
            && is_called(function, "GETNEXTVAL")
        {
            self.sequence_argument(function);
        }
        if let TableFactor::TableFunction { expr: Expr::Function(function), alias } = factor
            && is_called(function, "RESULT_SCAN")
        {
            let alias = alias.take();
            *factor = TableFactor::Table {
                name: ObjectName::from(vec![Ident::with_quote('"', RESULT)]),
                alias,
                args: None,
                with_hints: Vec::new(),
                version: None,
                with_ordinality: false,
                partitions: Vec::new(),
                json_path: None,
                sample: None,
                index_hints: Vec::new(),
            };
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let replaced = match expr {
            Expr::Value(value) => self.variable(value),
            Expr::CompoundIdentifier(parts) => self.next_value(parts),
            Expr::Function(function) if is_called(function, "GET_DDL") => {
                let span = self.statement.place(function.name.span());
                match self.session.definition(arguments_of(function), &span) {
                    Ok(text) => Some(Expr::value(Value::SingleQuotedString(text))),
                    Err(problem) => {
                        self.problems.push(problem);
                        None
                    }
                }
            }
            Expr::Function(function) if is_called(function, "IDENTIFIER") => {
                let arguments = arguments_of(function).to_vec();
                self.named(&arguments).map(|mut parts| match parts.len() {
                    1 => Expr::Identifier(parts.remove(0)),
                    _ => Expr::CompoundIdentifier(parts),
                })
            }
            _ => None,
        };
        if let Some(replaced) = replaced {
            *expr = replaced;
        }
        ControlFlow::Continue(())
    }
}
