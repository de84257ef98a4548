//! Tests as SQL: each asks one row, `FAILED` (rows that break the rule) and `TESTED` (rows looked at). The text is
//! Snowflake SQL and runs unchanged on both backends.

use crate::name::Name;
use crate::rule::{Rule, Test};
use crate::text::Spanned;

impl Test {
    /// The query that counts: one row, the numbers `FAILED` and `TESTED`. `table` stands for the tested result in a
    /// FROM clause.
    pub fn query(&self, table: &str) -> String {
        let source = self.filtered(table);
        match &self.rule {
            Rule::Unique(columns) => unique(columns, &source),
            Rule::Relationships { .. } | Rule::Sql(_) => {
                let failing = self.failing_rows(table).unwrap_or_default();
                format!(
                    "select (select count(*) from ({failing}\n) as failing) as failed, \
                     (select count(*) from {source}) as tested"
                )
            }
            Rule::Rows { min, max } => {
                let missing = min.map(|min| format!("when count(*) < {min} then {min} - count(*)"));
                let surplus = max.map(|max| format!("when count(*) > {max} then count(*) - {max}"));
                let whens = [missing, surplus].into_iter().flatten().collect::<Vec<_>>().join(" ");
                format!("select case {whens} else 0 end as failed, count(*) as tested from {source}")
            }
            _ => {
                let condition = self.condition().unwrap_or_else(|| "false".to_owned());
                format!("select count_if({condition}) as failed, count(*) as tested from {source}")
            }
        }
    }

    /// The query that shows the failing rows; none for `rows`, which has none to show.
    pub fn failing_rows(&self, table: &str) -> Option<String> {
        let source = self.filtered(table);
        Some(match &self.rule {
            Rule::Rows { .. } => return None,
            Rule::Sql(sql) => sql.text().trim().trim_end_matches(';').trim_end().to_owned(),
            Rule::Unique(columns) => {
                let names = list(columns, "");
                let present = every(columns, |column| format!("{column} is not null"));
                format!(
                    "select * from {source} where {present} \
                     qualify count(*) over (partition by {names}) > 1 order by {names}"
                )
            }
            Rule::Relationships { columns, to, to_columns } => {
                let keys = list(to_columns, "");
                let pairs = columns.iter().zip(to_columns);
                let join: Vec<_> =
                    pairs.map(|(a, b)| format!("here.{} = there.{}", a.value.sql(), b.value.sql())).collect();
                let absent = to_columns.first().map_or_else(String::new, |column| column.value.sql());
                let present = every(columns, |column| format!("here.{column} is not null"));
                format!(
                    "select here.* from {source} as here left join (select distinct {keys} from {}) as there \
                     on {} where {present} and there.{absent} is null",
                    to.value.sql(),
                    join.join(" and "),
                )
            }
            _ => format!("select * from {source} where {}", self.condition()?),
        })
    }

    /// The condition that a failing row meets, for rules that look at one row at a time.
    pub fn condition(&self) -> Option<String> {
        Some(match &self.rule {
            Rule::NotNull(columns) => {
                let parts: Vec<_> = columns.iter().map(|c| format!("{} is null", c.value.sql())).collect();
                parts.join(" or ")
            }
            Rule::AcceptedValues { column, values } => format!("{} not in ({})", column.value.sql(), values.join(", ")),
            Rule::Range { column, min, max } => {
                let column = column.value.sql();
                let low = min.as_ref().map(|min| format!("{column} < {min}"));
                let high = max.as_ref().map(|max| format!("{column} > {max}"));
                [low, high].into_iter().flatten().collect::<Vec<_>>().join(" or ")
            }
            Rule::Expression(sql) => format!("not ({}\n)", sql.text().trim()),
            Rule::Unique(_) | Rule::Relationships { .. } | Rule::Rows { .. } | Rule::Sql(_) => return None,
        })
    }

    fn filtered(&self, table: &str) -> String {
        match &self.filter {
            Some(filter) => format!("(select * from {table} where {}\n)", filter.text().trim()),
            None => table.to_owned(),
        }
    }
}

fn unique(columns: &[Spanned<Name>], source: &str) -> String {
    let names = list(columns, "");
    let present = every(columns, |column| format!("{column} is not null"));
    format!(
        "select coalesce(sum(case when {present} then \"rows of key\" - 1 else 0 end), 0) as failed, coalesce(sum(\"rows of key\"), 0) as tested \
         from (select {names}, count(*) as \"rows of key\" from {source} group by {names}) as keys"
    )
}

fn list(columns: &[Spanned<Name>], prefix: &str) -> String {
    columns.iter().map(|column| format!("{prefix}{}", column.value.sql())).collect::<Vec<_>>().join(", ")
}

fn every(columns: &[Spanned<Name>], condition: impl Fn(String) -> String) -> String {
    columns.iter().map(|column| condition(column.value.sql())).collect::<Vec<_>>().join(" and ")
}
