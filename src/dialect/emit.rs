//! A statement written back as Snowflake SQL, with the pinned clock and resolved table names: only the words that change are
//! replaced in the author's text, so that comments, quoting and layout stay. It knows no backend.

use std::ops::{ControlFlow, Range};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sqlparser::ast::{
    Expr, Function, FunctionArguments, ObjectName, Query, SelectItem, SelectItemQualifiedWildcardKind, Spanned as _,
    TableFactor, Visit, Visitor,
};
use sqlparser::tokenizer::{Span as ParserSpan, Token};

use super::parse::{DUAL, Statement, table_name};
use crate::name::{Name, TableName};

/// What the emitted text says instead of the author's.
pub struct Resolution<'a> {
    /// The table that a name stands for; none leaves the name as it is.
    pub names: &'a dyn Fn(&TableName) -> Option<TableName>,
    /// The instant and the zone of the clock functions; none leaves them to the server.
    pub clock: Option<(DateTime<Utc>, Tz)>,
}

/// The statement's text under a resolution.
pub fn emit(statement: &Statement, resolution: &Resolution<'_>) -> String {
    let mut edits = Edits { statement, resolution, ctes: Vec::new(), edits: Vec::new(), moved: Vec::new() };
    let _: ControlFlow<()> = statement.ast().visit(&mut edits);
    let moved = std::mem::take(&mut edits.moved);
    if !moved.is_empty() {
        let mut qualifiers = Qualifiers { statement, moved, edits: Vec::new() };
        let _: ControlFlow<()> = statement.ast().visit(&mut qualifiers);
        edits.edits.append(&mut qualifiers.edits);
    }
    applied(statement, edits.edits)
}

type Edit = (Range<usize>, String);

fn applied(statement: &Statement, mut edits: Vec<Edit>) -> String {
    let (text, start) = (statement.text(), statement.span().start);
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (range, new) in edits {
        let (from, to) = (range.start.saturating_sub(start), range.end.saturating_sub(start));
        if from < done || to > text.len() {
            continue;
        }
        out.push_str(&text[done..from]);
        out.push_str(&new);
        done = to;
    }
    out.push_str(&text[done..]);
    out
}

struct Edits<'a> {
    statement: &'a Statement,
    resolution: &'a Resolution<'a>,
    ctes: Vec<Vec<String>>,
    edits: Vec<Edit>,
    /// Tables of several parts whose columns were qualified by a name that is gone, and the alias they got.
    moved: Vec<(TableName, Name)>,
}

impl Edits<'_> {
    fn range(&self, span: ParserSpan) -> Option<Range<usize>> {
        (span.start.line != 0).then(|| {
            let place = self.statement.place(span);
            place.start..place.end
        })
    }

    /// Whether a name is no table: a query of the statement's own, or DUAL.
    fn is_cte(&self, name: &TableName) -> bool {
        *name == TableName::bare(Name::quoted(DUAL))
            || name.schema.is_none() && self.ctes.iter().flatten().any(|cte| cte == name.table.as_str())
    }

    /// A table in FROM. Where the new name ends otherwise than the old one, the old one becomes its alias.
    fn table(&mut self, written: &ObjectName, has_alias: bool) {
        let Some(name) = table_name(written).filter(|name| !self.is_cte(name)) else { return };
        let Some(new) = (self.resolution.names)(&name).filter(|new| *new != name) else { return };
        let Some(range) = self.range(written.span()) else { return };
        let mut text = new.sql();
        if !has_alias && !ends_alike(&name, &new) {
            text.push_str(" AS ");
            text.push_str(&name.table.sql());
            if name.schema.is_some() {
                self.moved.push((name.clone(), name.table.clone()));
            }
        }
        self.edits.push((range, text));
    }

    fn clock(&mut self, function: &Function) {
        let Some((now, zone)) = self.resolution.clock else { return };
        let Some(literal) = clock_literal(&function.name.to_string(), now, zone) else { return };
        let Some(mut range) = self.range(function.name.span()) else { return };
        if !matches!(function.args, FunctionArguments::None)
            && let Some(end) = self.statement.call_end(function.name.span())
        {
            range.end = end;
        }
        self.edits.push((range, literal));
    }
}

/// Whether every qualifier that meant the old name means the new one too.
fn ends_alike(old: &TableName, new: &TableName) -> bool {
    let same = |old: &Option<Name>, new: &Option<Name>| old.is_none() || old == new;
    old.table == new.table && same(&old.schema, &new.schema) && same(&old.database, &new.database)
}

/// A clock function's value as a literal of its type.
fn clock_literal(function: &str, now: DateTime<Utc>, zone: Tz) -> Option<String> {
    let local = now.with_timezone(&zone);
    Some(match function {
        "CURRENT_DATE" => format!("'{}'::DATE", local.format("%Y-%m-%d")),
        "CURRENT_TIME" | "LOCALTIME" => format!("'{}'::TIME", local.format("%H:%M:%S%.9f")),
        "CURRENT_TIMESTAMP" | "LOCALTIMESTAMP" | "GETDATE" | "SYSTIMESTAMP" => {
            format!("'{}'::TIMESTAMP_LTZ", local.format("%Y-%m-%d %H:%M:%S%.9f %z"))
        }
        "SYSDATE" => format!("'{}'::TIMESTAMP_NTZ", now.format("%Y-%m-%d %H:%M:%S%.9f")),
        _ => return None,
    })
}

impl Visitor for Edits<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.ctes.push(ctes.map(|cte| cte.alias.name.value.clone()).collect());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.ctes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, alias, args: None, .. } = factor {
            self.table(name, alias.is_some());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr {
            self.clock(function);
        }
        ControlFlow::Continue(())
    }
}

/// Rewrites `schema.table.column` where `schema.table` has become the alias `table`.
struct Qualifiers<'a> {
    statement: &'a Statement,
    moved: Vec<(TableName, Name)>,
    edits: Vec<Edit>,
}

impl Qualifiers<'_> {
    fn qualifier(&mut self, parts: &[(&str, ParserSpan)]) {
        let values: Vec<&str> = parts.iter().map(|(value, _)| *value).collect();
        let known = self.moved.iter().find(|(old, _)| {
            let names = [old.database.as_ref(), old.schema.as_ref(), Some(&old.table)];
            let names: Vec<&str> = names.into_iter().flatten().map(Name::as_str).collect();
            values.len() > 1 && names.ends_with(&values)
        });
        if let Some((_, alias)) = known {
            let whole = ParserSpan::union_iter(parts.iter().map(|(_, span)| *span));
            let place = self.statement.place(whole);
            self.edits.push((place.start..place.end, alias.sql()));
        }
    }
}

impl Visitor for Qualifiers<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(parts) = expr
            && let Some((_, qualifier)) = parts.split_last()
        {
            let parts: Vec<(&str, ParserSpan)> =
                qualifier.iter().map(|part| (part.value.as_str(), part.span)).collect();
            self.qualifier(&parts);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &sqlparser::ast::Select) -> ControlFlow<()> {
        for item in &select.projection {
            if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) = item {
                let idents = name.0.iter().filter_map(|part| part.as_ident());
                let parts: Vec<(&str, ParserSpan)> = idents.map(|part| (part.value.as_str(), part.span)).collect();
                self.qualifier(&parts);
            }
        }
        ControlFlow::Continue(())
    }
}

impl Statement {
    /// Where the call of the function whose name stands here ends: past its closing parenthesis.
    fn call_end(&self, name: ParserSpan) -> Option<usize> {
        let start = self.tokens().iter().position(|token| token.span.start == name.start)?;
        let mut depth = 0_u32;
        for token in self.tokens().get(start + 1..)? {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen if depth == 1 => return Some(self.place(token.span).end),
                Token::RParen => depth = depth.checked_sub(1)?,
                _ if depth == 0 => return None,
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;
    use crate::dialect::parse;
    use crate::text::SourceFile;

    fn emitted(sql: &str) -> String {
        let statements = parse(&SourceFile::new("t.sql", sql)).unwrap();
        let names = |name: &TableName| match name.lower().as_str() {
            "ranked" => TableName::parse("tmp.run_1_ranked"),
            "backend.program" => TableName::parse("raw.programs"),
            "dw.fact_watch" => TableName::parse("prod.dw.fact_watch"),
            _ => None,
        };
        let now = Utc.with_ymd_and_hms(2026, 11, 1, 23, 30, 0).unwrap();
        emit(&statements[0], &Resolution { names: &names, clock: Some((now, chrono_tz::Europe::Paris)) })
    }

    #[test]
    fn the_clock_is_pinned_in_the_zone_of_the_session_and_nothing_else_changes() {
        assert_eq!(
            emitted(
                "select  a -- current_date\nfrom x where d > current_date - 7 and e < Current_Date ( ) and f = 'current_date'"
            ),
            "select  a -- current_date\nfrom x where d > '2026-11-02'::DATE - 7 and e < '2026-11-02'::DATE and f = 'current_date'"
        );
        assert_eq!(emitted("select sysdate()"), "select '2026-11-01 23:30:00.000000000'::TIMESTAMP_NTZ");
        assert_eq!(
            emitted("select current_timestamp(3)"),
            "select '2026-11-02 00:30:00.000000000 +0100'::TIMESTAMP_LTZ"
        );
    }

    #[test]
    fn names_are_resolved_and_references_to_them_still_hold() {
        assert_eq!(
            emitted("select ranked.id from Ranked join dw.fact_watch on ranked.id = dw.fact_watch.id"),
            "select ranked.id from TMP.RUN_1_RANKED AS RANKED join PROD.DW.FACT_WATCH on ranked.id = dw.fact_watch.id"
        );
        assert_eq!(
            emitted("select backend.program.id, backend.program.* from backend.program /* the */ where id = 1"),
            "select PROGRAM.id, PROGRAM.* from RAW.PROGRAMS AS PROGRAM /* the */ where id = 1"
        );
        assert_eq!(emitted("select p.id from backend.program as p"), "select p.id from RAW.PROGRAMS as p");
        assert_eq!(
            emitted("with ranked as (select 1 as id) select * from ranked"),
            "with ranked as (select 1 as id) select * from ranked"
        );
    }
}
