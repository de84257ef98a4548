//! What a warehouse does with rows that lie in a table of their own and go into one that grows: the statements, as Snowflake
//! SQL, for one transaction. The embedded engine does the same with files.

use super::effect::{GONE, validity};
use super::{bound, queried};
use crate::dialect::Column;
use crate::dialect::types::SqlType;
use crate::job::incremental::{Incremental, Intervals, Merge, Snapshot, Strategy};
use crate::name::{Name, TableName};
use crate::plan::interval::Interval;
use crate::text::Spanned;

/// Where rows come from and go to.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The table that grows.
    pub table: &'a TableName,
    /// The table with the rows that come: those that the step's query gives or, where that says more, its effect.
    pub staged: &'a TableName,
    /// The columns of the table.
    pub columns: &'a [Column],
    /// What a table that is built by intervals gets: those whose rows are replaced.
    pub intervals: &'a [Interval],
}

/// What takes away the rows that others take the place of.
pub fn deletions(how: &Incremental, place: &Place<'_>) -> Vec<String> {
    match &how.strategy {
        Strategy::Append => Vec::new(),
        Strategy::Merge(Merge { key, .. })
        | Strategy::DeleteInsert { key }
        | Strategy::InsertOverwrite { partition_by: key } => vec![delete_alike(key, place, "")],
        Strategy::Snapshot(Snapshot { key, .. }) => {
            // Only states that have not ended are replaced.
            let [_, to] = validity();
            vec![delete_alike(key, place, &format!(" AND {to} IS NULL"))]
        }
        Strategy::Interval(intervals) => {
            place.intervals.iter().map(|interval| delete_within(intervals, *interval, place)).collect()
        }
    }
}

/// What adds the rows.
pub fn insertion(how: &Incremental, place: &Place<'_>) -> String {
    let columns = place.columns.iter().map(|column| column.name.sql()).collect::<Vec<_>>().join(", ");
    let (table, staged) = (place.table.sql(), place.staged.sql());
    let insert = format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM {staged}");
    if has_effect(how) { format!("{insert} WHERE NOT COALESCE(\"{GONE}\", FALSE)") } else { insert }
}

/// The columns of the rows that come.
pub fn staged_columns(how: &Incremental, table: &[Column]) -> Vec<Column> {
    if !has_effect(how) {
        return queried(how, table).to_vec();
    }
    let gone = Column { name: Name::quoted(GONE), sql_type: SqlType::Boolean, nullable: true };
    table.iter().cloned().chain([gone]).collect()
}

/// Whether the rows that come are not those of the query as they are.
fn has_effect(how: &Incremental) -> bool {
    matches!(how.strategy, Strategy::Merge(_) | Strategy::Snapshot(_))
}

/// The rows with a key, or of a partition, that rows have which come; a NULL is the same as another.
fn delete_alike(key: &[Spanned<Name>], place: &Place<'_>, and: &str) -> String {
    // No column of an author's has these names, so that those of the table need no qualifier.
    let own = |at: usize| format!("\"PIPE${at}\"");
    let named = key.iter().enumerate();
    let columns: Vec<String> = named.clone().map(|(at, name)| format!("{} AS {}", name.value.sql(), own(at))).collect();
    let same: Vec<String> = named.map(|(at, name)| format!("EQUAL_NULL({}, {})", name.value.sql(), own(at))).collect();
    format!(
        "DELETE FROM {} USING (SELECT DISTINCT {} FROM {}) AS \"PIPE$NEW\" WHERE {}{and}",
        place.table.sql(),
        columns.join(", "),
        place.staged.sql(),
        same.join(" AND ")
    )
}

fn delete_within(intervals: &Intervals, interval: Interval, place: &Place<'_>) -> String {
    let time = &intervals.time.value;
    let typed = place.columns.iter().find(|column| column.name == *time);
    let sql_type = typed.map_or(SqlType::TimestampNtz, |column| column.sql_type);
    let (start, end) = (bound(interval.start, sql_type), bound(interval.end, sql_type));
    format!("DELETE FROM {} WHERE {time} >= {start} AND {time} < {end}", place.table.sql(), time = time.sql())
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;
    use crate::text::SourceFile;

    /// The block of a step, read as its author wrote it.
    fn block(text: &str) -> Incremental {
        let yaml = format!(
            "job: j\nsteps:\n  s:\n    sql: select 1 as id\n    publish: m.t\n    materialize: {}\n    {text}\n",
            if text.starts_with("snapshot") { "snapshot" } else { "incremental" }
        );
        let file = SourceFile::new("pipelines/j.yaml", yaml);
        let (job, problems) = crate::job::parse(&file, &crate::text::files::Files::default());
        assert!(problems.is_empty(), "{problems:?}");
        let step = job.unwrap().steps.into_values().next().unwrap();
        *step.incremental.unwrap()
    }

    fn columns(how: &Incremental) -> Vec<Column> {
        let column =
            |(name, sql_type): (&str, SqlType)| Column { name: Name::unquoted(name), sql_type, nullable: true };
        let own = [("id", SqlType::INTEGER), ("Who", SqlType::TEXT), ("day", SqlType::Date)].map(column);
        super::super::table_columns(how, &own)
    }

    fn told(text: &str) -> (Vec<String>, String) {
        let how = block(text);
        let day = |day: u32| NaiveDate::from_ymd_opt(2026, 11, day).unwrap().and_hms_opt(0, 0, 0).unwrap();
        let intervals = [Interval { start: day(1), end: day(3) }, Interval { start: day(5), end: day(6) }];
        let (table, staged) = (TableName::parse("m.t").unwrap(), TableName::parse("p.n").unwrap());
        let place = Place { table: &table, staged: &staged, columns: &columns(&how), intervals: &intervals };
        (deletions(&how, &place), insertion(&how, &place))
    }

    #[test]
    fn rows_that_are_added_replace_none() {
        let (deletions, insertion) = told("incremental: {strategy: append}");
        assert_eq!(deletions, Vec::<String>::new());
        assert_eq!(insertion, "INSERT INTO M.T (ID, WHO, DAY) SELECT ID, WHO, DAY FROM P.N");
    }

    #[test]
    fn rows_replace_those_of_their_keys_and_partitions() {
        let expected = "DELETE FROM M.T USING (SELECT DISTINCT ID AS \"PIPE$0\", WHO AS \"PIPE$1\" FROM P.N) AS \"PIPE$NEW\" \
                        WHERE EQUAL_NULL(ID, \"PIPE$0\") AND EQUAL_NULL(WHO, \"PIPE$1\")";
        for text in [
            "incremental: {strategy: delete_insert, key: [id, who]}",
            "incremental: {strategy: insert_overwrite, partition_by: [id, who]}",
            "incremental: {strategy: merge, key: [id, who]}",
        ] {
            assert_eq!(told(text).0, [expected], "{text}");
        }
        let merged = told("incremental: {strategy: merge, key: id}").1;
        assert_eq!(
            merged,
            "INSERT INTO M.T (ID, WHO, DAY) SELECT ID, WHO, DAY FROM P.N WHERE NOT COALESCE(\"PIPE$GONE\", FALSE)"
        );
    }

    #[test]
    fn intervals_are_replaced_whole() {
        let (deletions, insertion) = told("incremental: {strategy: interval, time: day, since: 2026-11-01}");
        assert_eq!(
            deletions,
            [
                "DELETE FROM M.T WHERE DAY >= '2026-11-01'::date AND DAY < '2026-11-03'::date",
                "DELETE FROM M.T WHERE DAY >= '2026-11-05'::date AND DAY < '2026-11-06'::date"
            ]
        );
        assert_eq!(insertion, "INSERT INTO M.T (ID, WHO, DAY) SELECT ID, WHO, DAY FROM P.N");
    }

    #[test]
    fn a_snapshot_replaces_open_states_only() {
        let text = "snapshot: {key: id}";
        let (deletions, insertion) = told(text);
        assert_eq!(
            deletions,
            ["DELETE FROM M.T USING (SELECT DISTINCT ID AS \"PIPE$0\" FROM P.N) AS \"PIPE$NEW\" \
              WHERE EQUAL_NULL(ID, \"PIPE$0\") AND VALID_TO IS NULL"]
        );
        assert!(insertion.starts_with("INSERT INTO M.T (ID, WHO, DAY, VALID_FROM, VALID_TO) SELECT "), "{insertion}");
        let how = block(text);
        let names = |columns: &[Column]| columns.iter().map(|column| column.name.sql()).collect::<Vec<_>>();
        let table = columns(&how);
        assert_eq!(names(queried(&how, &table)), ["ID", "WHO", "DAY"]);
        assert_eq!(names(&staged_columns(&how, &table)).last().unwrap(), "PIPE$GONE");
    }
}
