//! `recommend`: the best items for each user from what they know and a model of pairs: the rows of `similarity` or
//! `train`. It learns nothing.
//!
//! score(u, t) = Σ_s a(u, s) · W(s, t) over the items s that the user knows. The model's `item` is the target t and its
//! `similar_` item the source s, as `prune: target` and `train` make them; `prune: source` reads them the other way
//! round. Only positive scores recommend. Items the user knows (`input` and `seen`) are left out unless
//! `exclude_seen: false`. Short lists, and those of users in `users` without history, are filled from `fallback`. Rows
//! come out by user, the best first, ties by item.

use datafusion::arrow::datatypes::SchemaRef;

use crate::diagnostic::Diagnostic;
use crate::dialect::Column;
use crate::dialect::types::SqlType;
use crate::name::{Name, TableName};
use crate::text::Spanned;
use crate::yaml::Node;
use crate::yaml::shape::{Key, Record, Shape};

use super::column::made;
use super::param::{COLUMN, COUNT, ColumnName, ON_NAN, Params, TABLE};
use super::scope::{Scope, comparable, distinct};
use super::{Collect, Context, Footprint, Form, Kernel, Origin, Parts};

/// Rows of users and models → the result.
mod kernel;

/// The same as one query, and the queries of the inputs.
mod query;

/// The parameters of a `recommend` step.
#[derive(Clone, Debug)]
pub struct Recommend {
    input: Spanned<TableName>,
    user: ColumnName,
    item: ColumnName,
    value: Option<ColumnName>,
    model: Spanned<TableName>,
    from_source: bool,
    top: usize,
    exclude_seen: bool,
    seen: Option<Spanned<TableName>>,
    users: Option<Spanned<TableName>>,
    fallback: Option<(Spanned<TableName>, ColumnName)>,
    explain: bool,
    drop_nan: bool,
}

/// The keys of a `recommend` step.
pub(super) const RECORD: Record = Record::new(
    "recommend",
    &[
        Key::new("input", TABLE, "What users know and like.").required().example("user_affinity"),
        Key::new("user", COLUMN, "Who.").required().example("user_id"),
        Key::new("item", COLUMN, "What.").required().example("program_id"),
        Key::new("value", COLUMN, "How much; 1 where absent.").example("affinity"),
        Key::new("model", TABLE, "The rows of a `train` or `similarity` step.").required().example("ease"),
        Key::new("prune", Shape::Word(&["target", "source"]), "Which item the model's `item` is; target where absent.")
            .example("target"),
        Key::new("top", COUNT, "How many items each user gets; 20 where absent.").example("20"),
        Key::new("exclude_seen", Shape::Boolean, "Whether known items are left out; true where absent.")
            .example("true"),
        Key::new("seen", TABLE, "Further items that users know, in columns of the same names.").example("watched"),
        Key::new("users", TABLE, "All users, so that those without history get a list too.").example("backend.user"),
        Key::new("fallback", Shape::Record(&FALLBACK), "What fills short lists.")
            .example("{input: popular, score: viewers}"),
        Key::new("explain", Shape::Boolean, "Also give the known item that adds most.").example("true"),
        Key::new("on_nan", ON_NAN, "Whether a NaN is an error, or its row is left out.").example("drop"),
    ],
);

const FALLBACK: Record = Record::new(
    "fallback",
    &[
        Key::new("input", TABLE, "A step or table of items.").required().example("popular"),
        Key::new("score", COLUMN, "The column to order by, greatest first.").required().example("viewers"),
    ],
);

/// Which input is which.
struct Places {
    seen: Option<usize>,
    users: Option<usize>,
    fallback: Option<usize>,
}

impl Recommend {
    /// Reads a node that was checked against [`RECORD`].
    pub(super) fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Self {
        let params = Params(node);
        let missing = || ColumnName::new(Name::quoted(""), node.span.clone());
        let fallback = params.inside("fallback");
        let why = "has no meaning without `fallback`: users without a history have no list to fill";
        params.idle("users", fallback.is_none(), why, problems);
        let repeats = params.node("exclude_seen").and_then(Node::boolean) == Some(false);
        let why = "has no meaning with `exclude_seen: false`, which leaves nothing out";
        params.idle("seen", repeats && fallback.is_none(), why, problems);
        Self {
            input: params.input(),
            user: params.column("user").unwrap_or_else(missing),
            item: params.column("item").unwrap_or_else(missing),
            value: params.column("value"),
            model: params.table("model").unwrap_or_else(|| params.input()),
            from_source: params.word("prune") == Some("source"),
            top: params.count("top").unwrap_or(20),
            exclude_seen: params.node("exclude_seen").and_then(Node::boolean).unwrap_or(true),
            seen: params.table("seen"),
            users: params.table("users"),
            fallback: fallback.and_then(|f| Some((f.input(), f.column("score")?))),
            explain: params.flag("explain"),
            drop_nan: params.drops_nan(),
        }
    }

    fn places(&self) -> Places {
        let mut next = 2;
        let mut place = |present: bool| {
            let at = present.then_some(next);
            next += usize::from(present);
            at
        };
        Places {
            seen: place(self.seen.is_some()),
            users: place(self.users.is_some()),
            fallback: place(self.fallback.is_some()),
        }
    }

    fn similar(&self) -> ColumnName {
        ColumnName::new(Name::quoted(format!("SIMILAR_{}", self.item.value.as_str())), self.model.span.clone())
    }

    fn because(&self) -> Name {
        Name::quoted(format!("BECAUSE_{}", self.item.value.as_str()))
    }

    /// Whether the query of users has rows of several tables.
    fn gathers(&self) -> bool {
        self.seen.is_some() || self.users.is_some()
    }
}

impl Form for Recommend {
    fn inputs(&self) -> Vec<Spanned<TableName>> {
        let optional = [self.seen.clone(), self.users.clone(), self.fallback.as_ref().map(|f| f.0.clone())];
        [self.input.clone(), self.model.clone()].into_iter().chain(optional.into_iter().flatten()).collect()
    }

    fn output(&self, inputs: &[&[Column]], problems: &mut Vec<Diagnostic>) -> Vec<Column> {
        let [mine, model, ..] = inputs else { return Vec::new() };
        let scope = Scope::new(&self.input, mine);
        let (user, item) = (scope.key(&self.user, problems).cloned(), scope.key(&self.item, problems).cloned());
        if let Some(value) = &self.value {
            scope.number(value, problems);
        }
        let mut meets = |table: &Spanned<TableName>, columns: &[Column], name: &ColumnName, with: &Option<Column>| {
            let name = &ColumnName::new(name.value.clone(), table.span.clone());
            if let (Some(a), Some(b)) = (with, Scope::new(table, columns).key(name, problems)) {
                comparable(a, b, name, problems);
            }
        };
        meets(&self.model, model, &self.item, &item);
        meets(&self.model, model, &self.similar(), &item);
        let places = self.places();
        let columns_of = |at: Option<usize>| at.and_then(|at| inputs.get(at)).copied().unwrap_or(&[]);
        if let Some(seen) = &self.seen {
            meets(seen, columns_of(places.seen), &self.user, &user);
            meets(seen, columns_of(places.seen), &self.item, &item);
        }
        if let Some(users) = &self.users {
            meets(users, columns_of(places.users), &self.user, &user);
        }
        if let Some((table, _)) = &self.fallback {
            meets(table, columns_of(places.fallback), &self.item, &item);
        }
        let score = ColumnName::new(Name::quoted("SCORE"), self.model.span.clone());
        Scope::new(&self.model, model).number(&score, problems);
        if let Some((table, score)) = &self.fallback {
            Scope::new(table, columns_of(places.fallback)).number(score, problems);
        }
        let because = item.as_ref().map(|item| Column { name: self.because(), nullable: true, ..item.clone() });
        let mut columns: Vec<Column> = user.into_iter().chain(item).collect();
        columns.push(made(&Name::quoted("SCORE"), SqlType::Float));
        columns.push(made(&Name::quoted("RANK"), SqlType::INTEGER));
        if self.fallback.is_some() {
            columns.push(made(&Name::quoted("FALLBACK"), SqlType::Boolean));
        }
        if self.explain {
            columns.extend(because);
            columns.push(made(&Name::quoted("BECAUSE_SCORE"), SqlType::Float));
        }
        distinct(&columns, &self.input, problems);
        columns
    }

    fn lineage(&self, inputs: &[&[Column]]) -> Vec<Vec<Origin>> {
        let of = |input: usize, name: &Name| Origin { input, column: name.clone() };
        let mut figures = vec![of(0, &self.user.value), of(0, &self.item.value), of(1, &self.item.value)];
        figures.extend(self.value.as_ref().map(|value| of(0, &value.value)));
        figures.extend([of(1, &self.similar().value), of(1, &Name::quoted("SCORE"))]);
        let columns = self.output(inputs, &mut Vec::new());
        let lineage = |(at, _): (usize, &Column)| match at {
            0 => vec![of(0, &self.user.value)],
            1 => vec![of(1, &self.item.value)],
            _ => figures.clone(),
        };
        columns.iter().enumerate().map(lineage).collect()
    }

    fn query(&self, input: usize, _: &[&[Column]]) -> String {
        query::input(self, input)
    }

    fn kernel(&self, schemas: Vec<SchemaRef>, _: Context) -> Box<dyn Kernel> {
        let recommend = self.clone();
        Collect::boxed(schemas, move |rows, give| kernel::run(&recommend, rows, give))
    }

    fn parts(&self) -> Option<Parts> {
        Some(Parts { by: vec![self.user.value.clone()], newest: None })
    }

    fn footprint(&self) -> Footprint {
        // The ids as codes, and the matrix while it is made.
        Footprint { holds_rows: true, per_row: 40 }
    }

    fn sql(&self, inputs: &[&[Column]], _: &mut Vec<Diagnostic>) -> String {
        query::whole(self, inputs)
    }
}
