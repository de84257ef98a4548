//! Differences between two states of tables as text, JSON and Markdown.

use std::fmt::Write;

use datafusion::arrow::array::{Array, RecordBatch};
use serde_json::{Value, json};

use super::{columns, table};
use crate::dialect::session::SessionParameters;
use crate::diff::{ColumnDifference, Difference, Kind, Movement, Movements, Numbers, Sample, Shift};
use crate::name::Name;
use crate::text::counted;

/// A table that was compared.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name, in lower case.
    pub name: String,
    /// What is compared, where that is not plain.
    pub note: Option<String>,
    /// What differs, or why it could not be compared.
    pub difference: Result<Difference, String>,
}

/// Tables, and how to tell of them.
pub struct Told<'a> {
    /// The earlier state.
    pub before: &'a str,
    /// The later state.
    pub after: &'a str,
    /// The tables.
    pub tables: &'a [Table],
    /// The session's way of writing values.
    pub parameters: &'a SessionParameters,
}

impl Told<'_> {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!("{}, against {}\n", self.after, self.before);
        for table in self.tables {
            let _ = match &table.difference {
                Ok(difference) => writeln!(text, "\n{}: {}", table.name, summary(difference)),
                Err(why) => writeln!(text, "\n{}: not compared: {why}", table.name),
            };
            if let Some(note) = &table.note {
                let _ = writeln!(text, "  note: {note}");
            }
            let Ok(difference) = &table.difference else { continue };
            for block in [shapes(difference), column_lines(difference), self.list_lines(difference)] {
                block.lines().for_each(|line| text.push_str(&format!("  {line}\n")));
            }
            for sample in &difference.samples {
                let _ = writeln!(text, "  {}", self.sample(sample, difference));
            }
        }
        text
    }

    /// For a comment on a pull request: a table of tables, and what is behind each folded away.
    pub fn markdown(&self) -> String {
        let mut text = format!("**{}**, against {}\n\n", self.after, self.before);
        text.push_str("| table | rows | added | removed | changed | columns that changed | lists |\n");
        text.push_str("| --- | ---: | ---: | ---: | ---: | --- | --- |\n");
        for table in self.tables {
            let name = escaped(&table.name);
            let _ = match &table.difference {
                Ok(found) => writeln!(
                    text,
                    "| `{name}` | {} → {} | {} | {} | {} | {} | {} |",
                    found.before,
                    found.after,
                    found.added,
                    found.removed,
                    found.changed,
                    escaped(&changed_columns(found)),
                    escaped(&found.lists.as_ref().map(moved).unwrap_or_default())
                ),
                Err(why) => writeln!(text, "| `{name}` | not compared: {} | | | | | |", escaped(why)),
            };
        }
        for table in self.tables {
            if let Some(note) = &table.note {
                let _ = writeln!(text, "\n`{}`: {note}.", escaped(&table.name));
            }
            let Ok(difference) = &table.difference else { continue };
            let blocks = [shapes(difference), column_lines(difference), self.list_lines(difference)].concat();
            let samples: Vec<String> =
                difference.samples.iter().map(|sample| self.sample(sample, difference)).collect();
            if blocks.is_empty() && samples.is_empty() {
                continue;
            }
            let _ = write!(text, "\n<details><summary>{}</summary>\n\n", table.name);
            for block in [blocks.trim_end(), &samples.join("\n")].into_iter().filter(|block| !block.is_empty()) {
                let fence = fence(block);
                let _ = write!(text, "{fence}diff\n{block}\n{fence}\n\n");
            }
            text.push_str("</details>\n");
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> String {
        let tables: Vec<Value> = self
            .tables
            .iter()
            .map(|table| match &table.difference {
                Ok(difference) => self.table(table, difference),
                Err(why) => json!({"table": table.name, "error": why}),
            })
            .collect();
        format!("{}\n", json!({"before": self.before, "after": self.after, "tables": tables}))
    }

    fn table(&self, table: &Table, found: &Difference) -> Value {
        let texts = |names: &[Name]| names.iter().map(Name::lower).collect::<Vec<String>>();
        let only =
            |side: &[crate::dialect::Column]| side.iter().map(|column| column.name.lower()).collect::<Vec<String>>();
        let retyped = found.retyped.iter();
        let retyped = retyped.map(|(before, after)| {
            json!({"column": after.name.lower(), "before": before.sql_type.to_string(), "after": after.sql_type.to_string()})
        });
        json!({
            "table": table.name,
            "note": table.note,
            "key": texts(&found.key),
            "rows": {"before": found.before, "after": found.after},
            "added": found.added,
            "removed": found.removed,
            "changed": found.changed,
            "columns": found.columns.iter().map(column_json).collect::<Vec<Value>>(),
            "columns_added": only(&found.only_after),
            "columns_removed": only(&found.only_before),
            "columns_retyped": retyped.collect::<Vec<Value>>(),
            "lists": found.lists.as_ref().map(|lists| self.lists_json(lists)),
            "samples": found.samples.iter().map(|sample| self.sample_json(sample)).collect::<Vec<Value>>(),
        })
    }

    fn lists_json(&self, lists: &Movements) -> Value {
        let overlaps = lists.overlaps.iter().map(|(depth, share)| json!({"top": depth, "share": share}));
        let most = lists.most.iter().map(|one| {
            json!({
                "list": one.list.as_ref().map(|row| self.object(row)),
                "tau": one.tau, "stayed": one.stayed, "came": one.came, "went": one.went,
            })
        });
        json!({
            "compared": lists.lists, "same": lists.same, "added": lists.added, "removed": lists.removed,
            "tau": lists.tau, "overlaps": overlaps.collect::<Vec<Value>>(), "most_moved": most.collect::<Vec<Value>>(),
        })
    }

    fn sample_json(&self, sample: &Sample) -> Value {
        let side = |row: &Option<RecordBatch>| row.as_ref().map(|row| self.object(row));
        json!({"kind": sample.kind.as_str(), "before": side(&sample.before), "after": side(&sample.after)})
    }

    fn object(&self, row: &RecordBatch) -> Value {
        let values = self.values(row).into_iter();
        Value::Object(values.map(|(name, value)| (name.lower(), value.map_or(Value::Null, Value::from))).collect())
    }

    /// The values of a row, as a session shows them.
    fn values(&self, row: &RecordBatch) -> Vec<(Name, Option<String>)> {
        let texts = table::shown(row, self.parameters).unwrap_or_default();
        let text = |texts: &datafusion::arrow::array::StringArray| {
            (!texts.is_empty() && texts.is_valid(0)).then(|| texts.value(0).to_owned())
        };
        let schema = row.schema();
        let names = schema.fields().iter().map(|field| Name::quoted(field.name().as_str()));
        names.zip(texts.iter().map(text)).collect()
    }

    /// A row that differs as one line: its key, then what it holds, or what changed.
    fn sample(&self, sample: &Sample, difference: &Difference) -> String {
        let (before, after) = (sample.before.as_ref(), sample.after.as_ref());
        let values = |row: Option<&RecordBatch>| row.map(|row| self.values(row)).unwrap_or_default();
        let (before, after) = (values(before), values(after));
        let held = if sample.kind == Kind::Removed { &before } else { &after };
        let is_key = |name: &Name| difference.key.contains(name);
        let pair = |(name, value): &(Name, Option<String>)| format!("{}={}", name.lower(), brief(value.as_deref()));
        let mut line: Vec<String> = held.iter().filter(|(name, _)| is_key(name)).map(pair).collect();
        let sign = match sample.kind {
            Kind::Added => '+',
            Kind::Removed => '-',
            Kind::Changed => '!',
        };
        if sample.kind != Kind::Changed {
            line.extend(held.iter().filter(|(name, _)| !is_key(name)).map(pair));
            return format!("{sign} {}", line.join(" "));
        }
        let known = |name: &Name| before.iter().find(|(before, _)| before == name);
        let changes = after.iter().filter_map(|(name, new)| Some((name, &known(name)?.1, new)));
        let changes = changes.filter(|(_, old, new)| old != new);
        let changes = changes
            .map(|(name, old, new)| format!("{} {} → {}", name.lower(), brief(old.as_deref()), brief(new.as_deref())));
        format!("{sign} {}: {}", line.join(" "), changes.collect::<Vec<_>>().join(", "))
    }

    fn list_lines(&self, difference: &Difference) -> String {
        let Some(lists) = difference.lists.as_ref().filter(|_| !difference.is_none()) else { return String::new() };
        let mut text = format!("{}\n", moved(lists));
        for one in &lists.most {
            let _ = writeln!(text, "  {}", self.movement(one));
        }
        text
    }

    fn movement(&self, one: &Movement) -> String {
        let named = one.list.as_ref().map(|row| self.values(row)).unwrap_or_default();
        let named: Vec<String> =
            named.iter().map(|(name, value)| format!("{}={}", name.lower(), brief(value.as_deref()))).collect();
        let name = if named.is_empty() { "the list".to_owned() } else { named.join(" ") };
        let tau = one.tau.map(|tau| format!(", tau {tau:.2}")).unwrap_or_default();
        format!("{name}: {} stayed, {} came, {} went{tau}", one.stayed, one.came, one.went)
    }
}

fn summary(found: &Difference) -> String {
    if found.is_none() {
        return format!("{}, nothing differs", counted(found.after, "row"));
    }
    let same = found.after.saturating_sub(found.added + found.changed);
    let by = if found.key.is_empty() {
        "whole rows, since it has no test `unique` and no --key".to_owned()
    } else {
        format!("by {}", found.key.iter().map(Name::lower).collect::<Vec<_>>().join(", "))
    };
    let rows = if found.before == found.after {
        counted(found.after, "row")
    } else {
        format!("{} → {} rows", found.before, found.after)
    };
    format!(
        "{rows}: {} added, {} removed, {} changed, {same} as before ({by})",
        found.added, found.removed, found.changed
    )
}

/// Columns that came, went or are of another type.
fn shapes(found: &Difference) -> String {
    let mut text = String::new();
    for column in &found.only_after {
        let _ = writeln!(text, "+ column {} {}", column.name.lower(), column.sql_type);
    }
    for column in &found.only_before {
        let _ = writeln!(text, "- column {} {}", column.name.lower(), column.sql_type);
    }
    for (before, after) in &found.retyped {
        let _ = writeln!(text, "! column {}: {} → {}", after.name.lower(), before.sql_type, after.sql_type);
    }
    text
}

fn column_lines(found: &Difference) -> String {
    let moved = found.columns.iter().filter(|column| column.changed > 0 || column.shift.is_some());
    let mut rows = vec![["column", "changed", "over all rows"].map(str::to_owned)];
    rows.extend(moved.map(|column| {
        let shift = column.shift.as_ref().map(shift).unwrap_or_default();
        [column.column.name.lower(), column.changed.to_string(), shift]
    }));
    if rows.len() == 1 { String::new() } else { columns(&rows) }
}

/// A figure of a column of numbers: its word, and how it is had.
type Figure = (&'static str, fn(&Numbers) -> f64);

fn shift(shift: &Shift) -> String {
    let mut parts = Vec::new();
    match shift {
        Shift::Numbers(before, after) => {
            let figures: [Figure; 4] = [
                ("mean", Numbers::mean),
                ("deviation", Numbers::deviation),
                ("least", |numbers| numbers.least),
                ("greatest", |numbers| numbers.greatest),
            ];
            for (word, figure) in figures {
                let (old, new) = (number(figure(before)), number(figure(after)));
                if old != new {
                    parts.push(format!("{word} {old} → {new}"));
                }
            }
            parts.extend(nulls(before.nulls, after.nulls));
        }
        Shift::Values { nulls: (before, after), moved } => {
            parts.extend(moved.iter().map(|(value, by)| format!("{} {by:+}", brief(Some(value)))));
            parts.extend(nulls(*before, *after));
        }
    }
    parts.join(", ")
}

fn nulls(before: u64, after: u64) -> Option<String> {
    (before != after).then(|| format!("NULLs {before} → {after}"))
}

/// A number with as many digits as tell something.
fn number(value: f64) -> String {
    let digits = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    if !(-4.0..9.0).contains(&digits) {
        return format!("{value:.3e}");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 8")]
    let places = (3.0 - digits).clamp(0.0, 8.0) as usize;
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn changed_columns(found: &Difference) -> String {
    let mut parts: Vec<String> = Vec::new();
    parts.extend(found.only_after.iter().map(|column| format!("+{}", column.name.lower())));
    parts.extend(found.only_before.iter().map(|column| format!("-{}", column.name.lower())));
    let changed = found.columns.iter().filter(|column| column.changed > 0);
    parts.extend(changed.map(|column| format!("{} ({})", column.column.name.lower(), column.changed)));
    parts.join(", ")
}

/// How places moved, in one line.
fn moved(lists: &Movements) -> String {
    let mut parts = vec![format!("{} of {} lists moved", lists.lists - lists.same, lists.lists)];
    if lists.added > 0 {
        parts.push(format!("{} new", lists.added));
    }
    if lists.removed > 0 {
        parts.push(format!("{} gone", lists.removed));
    }
    if let Some(tau) = lists.tau {
        parts.push(format!("Kendall tau {tau:.3}"));
    }
    let overlaps = lists.overlaps.iter().map(|(depth, share)| format!("top {depth} {:.1} %", share * 100.0));
    let overlaps = overlaps.collect::<Vec<_>>().join(", ");
    if !overlaps.is_empty() {
        parts.push(format!("still among the {overlaps}"));
    }
    parts.join("; ")
}

fn column_json(column: &ColumnDifference) -> Value {
    let numbers = |n: &Numbers| {
        json!({
            "count": n.count, "nulls": n.nulls, "mean": n.mean(), "deviation": n.deviation(),
            "least": n.least, "greatest": n.greatest,
        })
    };
    let shift = column.shift.as_ref().map(|shift| match shift {
        Shift::Numbers(before, after) => json!({"before": numbers(before), "after": numbers(after)}),
        Shift::Values { nulls: (before, after), moved } => json!({
            "nulls": {"before": before, "after": after},
            "moved": moved.iter().map(|(value, by)| json!({"value": value, "by": by})).collect::<Vec<Value>>(),
        }),
    });
    json!({
        "column": column.column.name.lower(), "type": column.column.sql_type.to_string(),
        "changed": column.changed, "shift": shift,
    })
}

/// A value short enough for a line.
fn brief(value: Option<&str>) -> String {
    const LONGEST: usize = 60;
    let Some(value) = value else { return "NULL".to_owned() };
    let line = value.replace(['\n', '\r', '\t'], " ");
    if line.chars().count() <= LONGEST {
        return line;
    }
    format!("{}…", line.chars().take(LONGEST).collect::<String>())
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ").replace('<', "&lt;")
}

/// A fence that the text does not have.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    "`".repeat(longest.max(2) + 1)
}
