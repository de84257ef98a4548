//! The items of a SELECT list: expressions, aliases, stars with their modifiers, and the headers that Snowflake shows.

use datafusion::logical_expr::Expr;
use sqlparser::ast::{
    self, ExcludeSelectItem, ObjectName, RenameSelectItem, ReplaceSelectElement, Select, SelectItem,
    SelectItemQualifiedWildcardKind, WildcardAdditionalOptions,
};

use super::scope::{AliasState, Found, Relation, Scope};
use super::{Binder, Bound, Reported};
use crate::diagnostic::Diagnostic;
use crate::name::{Name, nearest};
use crate::text::Span;

/// One column of a SELECT list.
pub(super) struct Item {
    pub(super) header: Name,
    pub(super) expr: Expr,
}

/// The aliases that a SELECT list gives, with what they stand for.
pub(super) fn aliases(select: &Select) -> Vec<(Name, &ast::Expr)> {
    select.projection.iter().filter_map(alias_of).collect()
}

fn alias_of(item: &SelectItem) -> Option<(Name, &ast::Expr)> {
    match item {
        SelectItem::ExprWithAlias { expr, alias } => Some((Name::quoted(alias.value.clone()), expr)),
        _ => None,
    }
}

impl<'a> Binder<'a> {
    /// Binds every item; all their errors are reported.
    pub(super) fn items(&mut self, select: &Select, scope: &Scope<'_>) -> Bound<Vec<Item>> {
        let mut items = Vec::new();
        let mut failed = false;
        for (index, item) in select.projection.iter().enumerate() {
            match self.item(select, index, item, scope) {
                Ok(more) => items.extend(more),
                Err(Reported) => failed = true,
            }
        }
        if failed {
            return Err(Reported);
        }
        if items.is_empty() {
            let span = self.place(select);
            return Err(self.report(Diagnostic::error("no-columns", "this query selects no column").at(span)));
        }
        Ok(items)
    }

    fn item(&mut self, select: &Select, index: usize, item: &SelectItem, scope: &Scope<'_>) -> Bound<Vec<Item>> {
        match item {
            SelectItem::UnnamedExpr(ast::Expr::Prefixed { prefix, value }) if prefix.value == "CONNECT_BY_ROOT" => {
                let expr = self.connect_by_root(value, scope)?;
                Ok(vec![Item { header: self.header(select, index, item), expr }])
            }
            SelectItem::UnnamedExpr(expr) => {
                let bound = self.expr(expr, scope)?;
                Ok(vec![Item { header: self.header(select, index, item), expr: bound }])
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                let header = Name::quoted(alias.value.clone());
                let known = scope.aliases.and_then(|aliases| {
                    let at = aliases.entries.iter().position(|(_, own)| std::ptr::eq(*own, expr))?;
                    Some((aliases, at))
                });
                let expr = match known.map(|(aliases, at)| (aliases.state(at), aliases, at)) {
                    Some((AliasState::Bound(expr), ..)) => expr,
                    Some((AliasState::Failed, ..)) => return Err(Reported),
                    Some((_, aliases, at)) => self.alias_at(aliases, at, scope)?,
                    None => self.expr(expr, scope)?,
                };
                Ok(vec![Item { header, expr }])
            }
            SelectItem::ExprWithAliases { .. } => {
                let span = self.place(item);
                Err(self.refuse("several aliases of one item are not Snowflake SQL", span))
            }
            SelectItem::Wildcard(options) => {
                let span = self.place(item);
                self.star(None, options, scope, span)
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                let span = self.place(item);
                self.star(Some(name), options, scope, span)
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(_), _) => {
                let span = self.place(item);
                Err(self.refuse("`.*` after an expression is not Snowflake SQL", span))
            }
        }
    }

    /// `*` or `t.*`, with ILIKE, EXCLUDE, REPLACE and RENAME.
    pub(super) fn star(
        &mut self,
        qualifier: Option<&ObjectName>,
        options: &WildcardAdditionalOptions,
        scope: &Scope<'_>,
        span: Span,
    ) -> Bound<Vec<Item>> {
        let WildcardAdditionalOptions {
            wildcard_token: _,
            opt_ilike,
            opt_exclude,
            opt_except,
            opt_replace,
            opt_rename,
            opt_alias,
        } = options;
        if opt_except.is_some() || opt_alias.is_some() {
            return Err(self.refuse("`* EXCEPT` and `* AS` are not Snowflake SQL; write `* EXCLUDE`", span));
        }
        let mut columns = self.star_columns(qualifier, scope, &span)?;
        if let Some(ilike) = opt_ilike {
            columns.retain(|(name, _)| ilike_matches(&ilike.pattern, name.as_str()));
        }
        if let Some(exclude) = opt_exclude {
            let names: Vec<&ObjectName> = match exclude {
                ExcludeSelectItem::Single(name) => vec![name],
                ExcludeSelectItem::Multiple(names) => names.iter().collect(),
            };
            for name in names {
                let last = name.0.last().and_then(|part| part.as_ident());
                let Some(ident) = last else { continue };
                self.known_in_star(ident, &columns)?;
                columns.retain(|(own, _)| own.as_str() != ident.value);
            }
        }
        for element in opt_replace.iter().flat_map(|replace| &replace.items) {
            self.replaced(element, &mut columns, scope)?;
        }
        let renames = match opt_rename {
            None => Vec::new(),
            Some(RenameSelectItem::Single(one)) => vec![one],
            Some(RenameSelectItem::Multiple(several)) => several.iter().collect(),
        };
        for rename in renames {
            self.known_in_star(&rename.ident, &columns)?;
            for (own, _) in columns.iter_mut().filter(|(own, _)| own.as_str() == rename.ident.value) {
                *own = Name::quoted(rename.alias.value.clone());
            }
        }
        Ok(columns.into_iter().map(|(header, expr)| Item { header, expr }).collect())
    }

    fn replaced(
        &mut self,
        element: &ReplaceSelectElement,
        columns: &mut [(Name, Expr)],
        scope: &Scope<'_>,
    ) -> Bound<()> {
        self.known_in_star(&element.column_name, columns)?;
        let value = self.expr(&element.expr, scope)?;
        for (_, expr) in columns.iter_mut().filter(|(own, _)| own.as_str() == element.column_name.value) {
            *expr = value.clone();
        }
        Ok(())
    }

    fn known_in_star(&mut self, ident: &ast::Ident, columns: &[(Name, Expr)]) -> Bound<()> {
        if columns.iter().any(|(name, _)| name.as_str() == ident.value) {
            return Ok(());
        }
        let span = self.word(ident);
        let names: Vec<String> = columns.iter().map(|(name, _)| name.shown()).collect();
        let diagnostic = Diagnostic::error("unknown-column", format!("unknown column `{}`", span.text())).at(span);
        Err(self.report(diagnostic.did_you_mean(nearest(&ident.value, &names))))
    }

    /// The columns that a star stands for, those of USING once and first.
    pub(super) fn star_columns(
        &mut self,
        qualifier: Option<&ObjectName>,
        scope: &Scope<'_>,
        span: &Span,
    ) -> Bound<Vec<(Name, Expr)>> {
        let all = |relations: &mut dyn Iterator<Item = &Relation>| -> Vec<(Name, Expr)> {
            relations.flat_map(|r| &r.columns).map(|c| (c.name.clone(), Expr::Column(c.column.clone()))).collect()
        };
        let Some(name) = qualifier else {
            if scope.relations.is_empty() {
                return Err(self.report(Diagnostic::error("unknown-column", "`*` without FROM").at(span.clone())));
            }
            let shown = || scope.merged.iter().filter(|m| m.shown);
            let mut columns: Vec<(Name, Expr)> = shown().map(|m| (m.name.clone(), m.expr.clone())).collect();
            let rest = all(&mut scope.relations.iter());
            columns.extend(rest.into_iter().filter(|(name, _)| !shown().any(|m| m.name == *name)));
            return Ok(columns);
        };
        let parts: Vec<ast::Ident> = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
        let mut relations = scope.relations.iter().filter(|r| r.answers_to(&parts)).peekable();
        if relations.peek().is_none() {
            let names: Vec<String> =
                scope.relations.iter().filter_map(|r| r.name.as_ref()).map(|n| n.table.lower()).collect();
            let text = parts.iter().map(|p| p.value.to_lowercase()).collect::<Vec<_>>().join(".");
            let diagnostic =
                Diagnostic::error("unknown-table", format!("unknown table `{text}` before `.*`")).at(span.clone());
            return Err(self.report(diagnostic.did_you_mean(nearest(&text, &names))));
        }
        Ok(all(&mut relations))
    }

    /// The header of an item without alias: a column's own name, else the text as written, in upper case.
    fn header(&self, select: &Select, index: usize, item: &SelectItem) -> Name {
        if let SelectItem::UnnamedExpr(expr) = item {
            match expr {
                ast::Expr::Identifier(ident) => return Name::quoted(ident.value.clone()),
                ast::Expr::CompoundIdentifier(parts) => {
                    if let Some(last) = parts.last() {
                        return Name::quoted(last.value.clone());
                    }
                }
                _ => {}
            }
        }
        let written = self.context.statement.item_text(select.select_token.0.span.start, index);
        Name::quoted(written.map_or_else(|| item.to_string(), |text| text.to_string()).to_uppercase())
    }

    /// What an alias stands for, bound when it is first needed.
    pub(super) fn alias_at(
        &mut self,
        aliases: &super::scope::Aliases<'_>,
        at: usize,
        scope: &Scope<'_>,
    ) -> Bound<Expr> {
        match aliases.state(at) {
            AliasState::Bound(expr) => return Ok(expr),
            AliasState::Failed => return Err(Reported),
            AliasState::Open | AliasState::Binding => {}
        }
        let Some((_, written)) = aliases.entries.get(at) else { return Err(Reported) };
        aliases.set(at, AliasState::Binding);
        let mut inner = scope.clone();
        inner.outputs = None;
        let bound = self.expr(written, &inner);
        match bound {
            Ok(expr) => {
                aliases.set(at, AliasState::Bound(expr.clone()));
                Ok(expr)
            }
            Err(Reported) => {
                aliases.set(at, AliasState::Failed);
                Err(Reported)
            }
        }
    }

    /// Whether a name is a column of FROM; used where an identifier may also be a keyword.
    pub(super) fn is_column(&self, ident: &ast::Ident, scope: &Scope<'_>) -> bool {
        !matches!(scope.column(std::slice::from_ref(ident)), Found::None)
    }
}

/// LIKE without regard to case, for `* ILIKE`.
fn ilike_matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let name: Vec<char> = name.to_lowercase().chars().collect();
    let mut reach = vec![false; name.len() + 1];
    reach[0] = true;
    for p in pattern {
        match p {
            '%' => {
                let first = reach.iter().position(|r| *r).unwrap_or(reach.len());
                reach.iter_mut().skip(first).for_each(|r| *r = true);
            }
            _ => {
                for at in (0..name.len()).rev() {
                    reach[at + 1] = reach[at] && (p == '_' || p == name[at]);
                }
                reach[0] = false;
            }
        }
    }
    reach[name.len()]
}

#[cfg(test)]
mod tests {
    use super::ilike_matches;

    #[test]
    fn a_star_pattern_matches_as_like_does() {
        for (pattern, name, expected) in [
            ("%id%", "PROGRAM_ID", true),
            ("ID%", "PROGRAM_ID", false),
            ("%_id", "ID", false),
            ("_d", "ID", true),
            ("", "", true),
            ("%", "", true),
        ] {
            assert_eq!(ilike_matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
