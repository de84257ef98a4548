//! AST → bound DataFusion plan. Names are resolved here, against FROM, aliases, WITH and outer queries, so that every error
//! has its place and several are found at once. What happens by type is asked of `analyze`; kernels are in `functions`.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::Field;
use datafusion::common::{Column, DFSchema, DataFusionError, TableReference};
use datafusion::execution::SessionState;
use datafusion::logical_expr::utils::find_aggregate_exprs;
use datafusion::logical_expr::{EmptyRelation, Expr, LogicalPlan, Projection, SubqueryAlias};
use sqlparser::ast;

use super::declared;
use super::functions::Registry;
use super::session::SessionParameters;
use super::{Statement, Tables};
use crate::diagnostic::Diagnostic;
use crate::name::{Name, TableName};
use crate::text::Span;
use scope::{Relation, Rows, Scope, ScopeColumn};

/// What names can mean.
mod scope;

/// WITH, set operations, VALUES, LIMIT.
mod query;

/// One SELECT.
mod select;

/// The items of a SELECT list and their headers.
mod item;

/// GROUP BY, and what stands over groups.
mod group;

/// ORDER BY.
mod order;

/// FROM and joins.
mod from;

/// The outer join operator `(+)`.
mod outer;

/// Table functions: FLATTEN, GENERATOR, SPLIT_TO_TABLE.
mod table_function;

/// PIVOT and UNPIVOT.
mod pivot;

/// CONNECT BY.
mod hierarchy;

/// Scalar expressions.
mod expr;

/// Operators and predicates.
mod operator;

/// Literals.
mod literal;

/// Collations.
mod collate;

/// Function calls.
mod call;

/// OVER clauses.
mod over;

/// Aggregates whose state is a value.
mod state;

/// Subqueries inside expressions.
mod subquery;

/// Dependent subqueries as joins.
mod unnest;

/// An error that is already among the diagnostics.
pub(super) struct Reported;

/// The result of binding something: an error is already among the diagnostics.
type Bound<T> = Result<T, Reported>;

/// Binds a query against the schemas of its tables.
pub(super) fn bind(
    state: &SessionState,
    registry: &Registry,
    statement: &Statement,
    tables: &dyn Tables,
) -> Result<LogicalPlan, Vec<Diagnostic>> {
    let ast::Statement::Query(query) = statement.ast() else {
        let message = "only a query can be bound to a plan".to_string();
        return Err(vec![Diagnostic::error("unsupported-sql", message).at(statement.span().clone())]);
    };
    let context = Context { state, registry, statement, tables };
    statement.stack().with(|| {
        let (bound, correlated) = Binder::new(context, false).whole(query)?;
        let again = (!correlated.is_empty()).then(|| bound.clone());
        let analyse = |plan| state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {});
        let analysed = analyse(bound).map_err(|error| located(context, query, &error));
        let first = analysed.and_then(|plan| subquery::carried_out(state, &plan, &correlated).map(|()| plan));
        match (first, again) {
            (Err(problems), Some(bound)) => {
                let plan = unnest::unnested(bound).and_then(analyse).map_err(|_| problems.clone())?;
                subquery::carried_out(state, &plan, &correlated).map_err(|_| problems)?;
                Ok(plan)
            }
            (first, _) => first,
        }
    })
}

/// Binds again, looking at the types of every expression on its own, to find where an error of the whole plan comes from.
fn located(context: Context<'_>, query: &ast::Query, error: &DataFusionError) -> Vec<Diagnostic> {
    match Binder::new(context, true).whole(query) {
        Err(diagnostics) => diagnostics,
        Ok(_) => vec![explained(error).at(context.statement.span().clone())],
    }
}

/// What binding needs to know of the world.
#[derive(Clone, Copy)]
struct Context<'a> {
    state: &'a SessionState,
    registry: &'a Registry,
    statement: &'a Statement,
    tables: &'a dyn Tables,
}

/// A place that is only looked up when there is something to say about it.
#[derive(Clone, Copy)]
enum At<'e> {
    Expr(&'e ast::Expr),
    Span(&'e Span),
}

/// One pass over one statement.
struct Binder<'a> {
    context: Context<'a>,
    diagnostics: Vec<Diagnostic>,
    qualifiers: HashMap<String, u32>,
    fresh: u32,
    /// Whether the types of every expression are looked at on their own.
    checking: bool,
    /// Whether a SEQ function, or RANDOM with a seed, stands anywhere in the statement.
    has_sequence: bool,
    /// Whether the outer join operator `(+)` stands anywhere in the statement.
    has_outer_operator: bool,
    /// Whether a table function stands anywhere in the statement.
    has_table_function: bool,
    /// What the CONNECT BY of the SELECTs bound so far carry down.
    carried: Vec<(sqlparser::tokenizer::Span, Vec<hierarchy::Carried>)>,
    /// Where the subqueries stand that read columns of an outer query.
    correlated: Vec<Span>,
}

impl<'a> Binder<'a> {
    fn new(context: Context<'a>, checking: bool) -> Self {
        let statement = context.statement;
        let has_sequence = statement.has_word(&["SEQ1", "SEQ2", "SEQ4", "SEQ8"]) || statement.has_seeded_random();
        let has_outer_operator = statement.has_outer_operator();
        let has_table_function = context.statement.has_word(&["FLATTEN", "SPLIT_TO_TABLE", "STRTOK_SPLIT_TO_TABLE"]);
        let (diagnostics, qualifiers, carried) = (Vec::new(), HashMap::new(), Vec::new());
        Self {
            context,
            diagnostics,
            qualifiers,
            fresh: 0,
            checking,
            has_sequence,
            has_outer_operator,
            has_table_function,
            carried,
            correlated: Vec::new(),
        }
    }

    /// The plan of the statement, and where its correlated subqueries stand.
    fn whole(mut self, query: &ast::Query) -> Result<(LogicalPlan, Vec<Span>), Vec<Diagnostic>> {
        let rows = self.query(query, &None, None);
        match rows {
            Ok(rows) if self.diagnostics.is_empty() => {
                let last = self.with_headers(rows);
                let last = last.map_err(|error| vec![explained(&error).at(self.context.statement.span().clone())]);
                Ok((last?, self.correlated))
            }
            _ if self.diagnostics.is_empty() => {
                let message = "the query cannot be planned";
                Err(vec![Diagnostic::error("unsupported-sql", message).at(self.context.statement.span().clone())])
            }
            _ => {
                let mut seen = Vec::new();
                self.diagnostics.retain(|d| {
                    !seen.contains(d) && {
                        seen.push(d.clone());
                        true
                    }
                });
                Err(self.diagnostics)
            }
        }
    }

    /// Puts the author's headers on the result; a header that stands twice is kept beside a unique name.
    fn with_headers(&mut self, rows: Rows) -> Result<LogicalPlan, DataFusionError> {
        let fields = rows.plan.schema().fields();
        if fields.iter().zip(&rows.headers).all(|(field, header)| field.name() == header.as_str()) {
            return Ok(rows.plan);
        }
        let mut taken: Vec<String> = Vec::new();
        let mut exprs = Vec::new();
        for (column, header) in rows.plan.schema().columns().into_iter().zip(&rows.headers) {
            let mut name = header.as_str().to_string();
            let mut count = 1;
            while taken.contains(&name) {
                count += 1;
                name = format!("{header}:{count}");
            }
            taken.push(name.clone());
            let metadata = (name != header.as_str()).then(|| super::header_metadata(header));
            exprs.push(Expr::Column(column).alias_with_metadata(name, metadata));
        }
        Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(rows.plan))?))
    }

    fn report(&mut self, diagnostic: Diagnostic) -> Reported {
        self.diagnostics.push(diagnostic);
        Reported
    }

    /// Reports an error of DataFusion at a place.
    fn fail(&mut self, error: &DataFusionError, span: Span) -> Reported {
        let diagnostic = explained(error).at(span);
        self.report(diagnostic)
    }

    /// Reports an error of DataFusion at an expression.
    fn fail_at(&mut self, error: &DataFusionError, written: &ast::Expr) -> Reported {
        let span = self.place(written);
        self.fail(error, span)
    }

    /// Reports a construct that is not carried out.
    fn refuse(&mut self, what: impl Into<String>, span: Span) -> Reported {
        self.report(Diagnostic::error("unsupported-sql", what).at(span))
    }

    /// The place of a part of the AST; of the whole statement where the parser kept none.
    fn place(&self, part: &impl ast::Spanned) -> Span {
        self.context.statement.place(part.span())
    }

    fn at(&self, at: At<'_>) -> Span {
        match at {
            At::Expr(expr) => self.place(expr),
            At::Span(span) => span.clone(),
        }
    }

    /// The place of a name.
    fn word(&self, ident: &ast::Ident) -> Span {
        self.context.statement.place(ident.span)
    }

    /// The session's time zone.
    fn zone(&self) -> String {
        SessionParameters::of(self.context.state.config_options()).timezone.clone()
    }

    /// A number that is new in this statement, for names that the author does not see.
    fn number(&mut self) -> u32 {
        self.fresh += 1;
        self.fresh
    }

    /// A table qualifier that no other relation of the statement has, like `name`.
    fn qualifier(&mut self, name: &str) -> TableReference {
        let count = self.qualifiers.entry(name.to_string()).or_default();
        *count += 1;
        let count = *count;
        if count == 1 { TableReference::bare(name) } else { TableReference::bare(format!("{name}:{count}")) }
    }

    /// Gives a result a name of its own among the relations of a FROM clause.
    fn named(
        &mut self,
        plan: LogicalPlan,
        headers: Vec<Name>,
        name: Option<TableName>,
    ) -> Result<(LogicalPlan, Relation), DataFusionError> {
        let qualifier = self.qualifier(name.as_ref().map_or("#query", |name| name.table.as_str()));
        let plan = LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(plan), qualifier)?);
        let relation = relation(&plan, headers, name);
        Ok((plan, relation))
    }

    /// While looking for an error: checks the types of one expression. Does nothing otherwise.
    fn checked(&mut self, expr: Expr, scope: &Scope<'_>, part: &impl ast::Spanned) -> Bound<Expr> {
        if !self.checking {
            return Ok(expr);
        }
        let result = self.analyse_alone(&expr, &scope.schema);
        match result {
            Ok(()) => Ok(expr),
            Err(error) => {
                let span = self.place(part);
                Err(self.fail(&error, span))
            }
        }
    }

    fn analyse_alone(&self, expr: &Expr, schema: &Arc<DFSchema>) -> Result<(), DataFusionError> {
        if !find_aggregate_exprs([expr]).is_empty() || matches!(expr, Expr::WindowFunction(_)) {
            return Ok(());
        }
        let input = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema: Arc::clone(schema) });
        let plan = LogicalPlan::Projection(Projection::try_new(vec![expr.clone().alias("#")], Arc::new(input))?);
        let state = self.context.state;
        state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {}).map(|_| ())
    }
}

/// A projection whose columns do not carry the marks that casts leave for the analyser.
fn projected(exprs: Vec<Expr>, input: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let projection = super::analyze::projection(exprs, Arc::new(input))?;
    let marked = |field: &Arc<Field>| field.metadata().contains_key(declared::TYPE);
    if !projection.schema.fields().iter().any(marked) {
        return Ok(LogicalPlan::Projection(projection));
    }
    let fields = projection.schema.iter().map(|(qualifier, field)| {
        let mut metadata = field.metadata().clone();
        metadata.remove(declared::TYPE);
        (qualifier.cloned(), Arc::new(field.as_ref().clone().with_metadata(metadata)))
    });
    let schema = DFSchema::new_with_metadata(fields.collect(), projection.schema.metadata().clone())?;
    let Projection { expr, input, .. } = projection;
    Ok(LogicalPlan::Projection(Projection::try_new_with_schema(expr, input, Arc::new(schema))?))
}

/// The relation that the columns of a plan make under the given headers.
fn relation(plan: &LogicalPlan, headers: Vec<Name>, name: Option<TableName>) -> Relation {
    let columns = plan.schema().iter().zip(headers).map(|((qualifier, field), header)| ScopeColumn {
        name: header,
        column: Column::new(qualifier.cloned(), field.name()),
        field: Arc::clone(field),
    });
    Relation { name, columns: columns.collect() }
}

/// What is wrong with the arguments of a function: what the function itself says of them, or that DataFusion could not fit
/// them to its signature.
fn misused(text: &str) -> Option<String> {
    const OWN: &str = "user-defined coercion failed with: ";
    if let Some(at) = text.find(OWN) {
        let told = text.get(at + OWN.len()..)?.lines().next()?;
        let told = told.split(" No function matches").next()?.rsplit("Error during planning: ").next()?;
        if told.starts_with('`') || told.starts_with("argument") || told.starts_with("the ") {
            return Some(told.trim_end_matches('.').to_string());
        }
    }
    let name = unfitting(text)?;
    Some(format!("`{name}` does not take arguments of this number and these types"))
}

/// The function whose arguments DataFusion could not fit to its signature.
fn unfitting(text: &str) -> Option<String> {
    let at = text.find("user-defined coercion failed").or_else(|| text.find("oercion from "))?;
    let quoted = |text: &str| text.split('\'').nth(1).map(|name| name.split('(').next().unwrap_or(name).to_lowercase());
    quoted(text.get(..at)?).or_else(|| quoted(text.get(at..)?))
}

/// DataFusion's error in this project's words.
fn explained(error: &DataFusionError) -> Diagnostic {
    let text = error.strip_backtrace();
    let mut text = text.as_str();
    for prefix in [
        "type_coercion\ncaused by\n",
        "snowflake_types\ncaused by\n",
        "grouping\ncaused by\n",
        "Error during planning: ",
        "Execution error: ",
        "This feature is not implemented: ",
        "Schema error: ",
    ] {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    if text.contains("(non-executable)") || text.contains("OuterReferenceColumn") {
        let message = "a subquery that depends on its outer query cannot stand here in this form";
        return Diagnostic::error("unsupported-sql", message).hint("give it an aggregate such as MAX, or write a join");
    }
    if let Some(message) = misused(text) {
        return Diagnostic::error("sql-type", message);
    }
    let first = text.lines().next().unwrap_or_default();
    let mut chars = first.chars();
    let acronym = first.chars().take(2).all(|c| c.is_uppercase());
    let message = match chars.next() {
        Some(head) if !acronym => head.to_lowercase().chain(chars).collect(),
        _ => first.to_string(),
    };
    let code =
        if matches!(error.find_root(), DataFusionError::NotImplemented(_)) { "unsupported-sql" } else { "sql-type" };
    Diagnostic::error(code, message.trim_end_matches('.').to_string())
}
