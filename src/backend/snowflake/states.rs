//! What was published when, and the tables that still have it: `STATES` has a row per table and run, written in the transaction
//! that publishes. The newest of a table is its state now; the others are what a rollback goes back to, as long as their rows
//! are kept.
//!
//! What no transaction of Snowflake's can hold, a table replaced by DDL, is announced before: a row that is `coming` counts once
//! the table is not what it was then.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, NaiveDateTime, Utc};

use super::catalogue::{as_texts, number, texts};
use super::session::{Worker, is_missing};
use crate::backend::BackendError;
use crate::dialect::literal;
use crate::name::TableName;
use crate::plan::incremental::Made;
use crate::warehouse::Provenance;

/// How a row says that its table is there.
const PUBLISHED: &str = "published";
/// How a row says that its table is being replaced.
const COMING: &str = "coming";

/// A table as a run left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Its name in lower case.
    pub table: String,
    /// The run.
    pub run: String,
    /// The job that was published.
    pub job: String,
    /// When, by the clock of the machine that ran it.
    pub at: DateTime<Utc>,
    /// The table that has its rows; none where they are kept no more, and of a view.
    pub kept: Option<TableName>,
    /// How many rows it has; none of a view.
    pub rows: Option<u64>,
    /// What it was made from, where it grows.
    pub made: Option<Made>,
    /// Of a table that is being replaced the mark of the one before, empty where there was none.
    pub(super) before: Option<String>,
}

impl State {
    /// What a run publishes now.
    pub(super) fn new(table: &TableName, run: &str, job: &str) -> Self {
        Self {
            table: table.lower(),
            run: run.to_owned(),
            job: job.to_owned(),
            at: Utc::now(),
            kept: None,
            rows: None,
            made: None,
            before: None,
        }
    }

    /// The same, announced while the table is the one with this mark.
    pub(super) fn coming(&self, before: Option<&String>) -> Self {
        Self { before: Some(before.cloned().unwrap_or_default()), kept: None, ..self.clone() }
    }

    /// Whether it came to be, where the table's mark is this now.
    fn counts(&self, mark: Option<&String>) -> bool {
        self.before.as_ref().is_none_or(|before| mark.is_some_and(|mark| mark != before))
    }

    /// Whether it is a state that came to be, not one that was announced.
    pub(super) fn is_published(&self) -> bool {
        self.before.is_none()
    }
}

/// What makes the table where it is missing.
pub(super) fn table(states: &TableName) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (TABLE_NAME VARCHAR, RUN VARCHAR, JOB VARCHAR, STATUS VARCHAR, KEPT VARCHAR, \
         ROW_COUNT NUMBER(38, 0), MADE VARCHAR, BEFORE VARCHAR, PUBLISHED_AT TIMESTAMP_NTZ)",
        states.sql()
    )
}

/// What writes states down.
pub(super) fn insert(states: &TableName, new: &[State]) -> String {
    let or_null = |text: Option<String>| text.map_or_else(|| "NULL".to_owned(), |text| literal::text(&text));
    let row = |state: &State| {
        let status = if state.before.is_some() { COMING } else { PUBLISHED };
        let texts = [state.table.as_str(), &state.run, &state.job, status].map(literal::text).join(", ");
        let kept = or_null(state.kept.as_ref().map(TableName::sql));
        let rows = state.rows.map_or_else(|| "NULL".to_owned(), |rows| rows.to_string());
        let made = state.made.as_ref().map(|made| serde_json::to_string(&Provenance::from(made)).unwrap_or_default());
        let at = literal::timestamp(&state.at.format("%Y-%m-%d %H:%M:%S%.6f").to_string());
        format!("SELECT {texts}, {kept}, {rows}, {}, {}, {at}", or_null(made), or_null(state.before.clone()))
    };
    format!(
        "INSERT INTO {} (TABLE_NAME, RUN, JOB, STATUS, KEPT, ROW_COUNT, MADE, BEFORE, PUBLISHED_AT) {}",
        states.sql(),
        new.iter().map(row).collect::<Vec<_>>().join(" UNION ALL ")
    )
}

/// What keeps other transactions from publishing a table until this one ends.
pub(super) fn lock(states: &TableName, table: &TableName) -> String {
    format!("UPDATE {} SET RUN = RUN WHERE TABLE_NAME = {}", states.sql(), literal::text(&table.lower()))
}

/// The query for the run that published a table last, or began to: another one, and somebody has published it since.
pub(super) fn newest(states: &TableName, table: &TableName) -> String {
    format!(
        "SELECT RUN FROM {} WHERE TABLE_NAME = {} ORDER BY PUBLISHED_AT DESC LIMIT 1",
        states.sql(),
        literal::text(&table.lower())
    )
}

/// What takes back that a table is coming.
pub(super) fn came(states: &TableName, table: &TableName) -> String {
    let table = literal::text(&table.lower());
    format!("DELETE FROM {} WHERE TABLE_NAME = {table} AND STATUS = '{COMING}'", states.sql())
}

/// Whether a run's publishing of a job was committed.
pub(super) async fn is_published(
    worker: &mut Worker,
    states: &TableName,
    run: &str,
    job: &str,
) -> Result<bool, BackendError> {
    let (run, job) = (literal::text(run), literal::text(job));
    let sql = format!(
        "SELECT COUNT(*) AS N FROM {} WHERE RUN = {run} AND JOB = {job} AND STATUS = '{PUBLISHED}'",
        states.sql()
    );
    Ok(number(&worker.rows(sql).await?.batches).is_some_and(|rows| rows > 0))
}

/// The tables that have the rows of states.
pub(super) async fn kept(worker: &mut Worker, states: &TableName) -> Result<Vec<TableName>, BackendError> {
    let sql = format!("SELECT DISTINCT KEPT FROM {} WHERE KEPT IS NOT NULL", states.sql());
    let names = texts(&worker.rows(sql).await?.batches).into_iter();
    Ok(names.filter_map(|[name]| TableName::parse(&name)).collect())
}

/// The states of these tables, of all where none are named, the newest first; none where nothing was published yet.
pub(super) async fn read(
    worker: &mut Worker,
    states: &TableName,
    tables: Option<&[TableName]>,
) -> Result<Vec<State>, BackendError> {
    if tables.is_some_and(<[TableName]>::is_empty) {
        return Ok(Vec::new());
    }
    let named = tables.map(|tables| {
        let names: Vec<String> = tables.iter().map(|table| literal::text(&table.lower())).collect();
        format!(" WHERE TABLE_NAME IN ({})", names.join(", "))
    });
    let sql = format!(
        "SELECT TABLE_NAME, RUN, JOB, STATUS, KEPT, ROW_COUNT, MADE, BEFORE, PUBLISHED_AT FROM {}{} \
         ORDER BY PUBLISHED_AT DESC, TABLE_NAME",
        states.sql(),
        named.unwrap_or_default()
    );
    match worker.rows(sql).await {
        Ok(answer) => Ok(texts(&as_texts(&answer.batches)).into_iter().map(of_row).collect()),
        Err(error) if is_missing(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn of_row([table, run, job, status, kept, rows, made, before, at]: [String; 9]) -> State {
    let made = serde_json::from_str::<Provenance>(&made).ok();
    State {
        table,
        run,
        job,
        at: NaiveDateTime::parse_from_str(&at, "%Y-%m-%dT%H:%M:%S%.f").unwrap_or_default().and_utc(),
        kept: TableName::parse(&kept),
        rows: rows.parse().ok(),
        made: made.as_ref().map(Made::from),
        before: (status == COMING).then_some(before),
    }
}

/// What growing tables were made from, each with the rows that it was left with: the newest state that counts, where the marks
/// of the tables are these.
pub(super) fn made(states: &[State], marks: &HashMap<TableName, String>) -> HashMap<TableName, (Made, Option<u64>)> {
    let newest = |(table, mark): (&TableName, &String)| {
        let name = table.lower();
        let state = states.iter().find(|state| state.table == name && state.counts(Some(mark)))?;
        Some((table.clone(), (state.made.clone()?, state.rows)))
    };
    marks.iter().filter_map(newest).collect()
}

/// The tables whose rows are kept no longer, where so many states of each published table are.
pub(super) fn outdated(states: &[State], kept: usize) -> Vec<TableName> {
    // What is there under its name is one of the states; its copy is for when it no longer is.
    let most = if kept > 1 { kept } else { 0 };
    let mut counted: HashMap<&str, usize> = HashMap::new();
    let (mut stay, mut go) = (BTreeSet::new(), BTreeSet::new());
    for state in states.iter().filter(|state| state.is_published()) {
        let count = counted.entry(state.table.as_str()).or_default();
        *count += 1;
        let Some(table) = &state.kept else { continue };
        if *count <= most {
            stay.insert(table.clone())
        } else {
            go.insert(table.clone())
        };
    }
    go.difference(&stay).cloned().collect()
}

/// What writes down that the rows of these tables are kept no more.
pub(super) fn forget(states: &TableName, gone: &[TableName]) -> String {
    let gone: Vec<String> = gone.iter().map(|table| literal::text(&table.sql())).collect();
    format!("UPDATE {} SET KEPT = NULL WHERE KEPT IN ({})", states.sql(), gone.join(", "))
}

/// What forgets the states before an instant whose rows are kept no more, but for the newest of each table.
pub(super) fn forget_before(states: &TableName, at: DateTime<Utc>) -> String {
    let at = literal::timestamp(&at.format("%Y-%m-%d %H:%M:%S").to_string());
    format!(
        "DELETE FROM {0} WHERE KEPT IS NULL AND PUBLISHED_AT < {at} AND (TABLE_NAME, PUBLISHED_AT) NOT IN \
         (SELECT TABLE_NAME, MAX(PUBLISHED_AT) FROM {0} WHERE STATUS = '{PUBLISHED}' GROUP BY TABLE_NAME)",
        states.sql()
    )
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;

    fn state(table: &str, run: &str, minute: u32) -> State {
        let name = TableName::parse(table).unwrap();
        let kept = TableName::parse(&format!("P.{}_{run}", name.table.as_str()));
        let at = Utc.with_ymd_and_hms(2026, 11, 1, 4, minute, 0).unwrap();
        State { at, kept, rows: Some(3), ..State::new(&name, run, "j") }
    }

    #[test]
    fn a_row_says_what_was_published() {
        let states = TableName::parse("P.STATES").unwrap();
        let plain = insert(&states, &[State { job: "j'k".to_owned(), ..state("m.t", "R1", 5) }]);
        assert!(
            plain.ends_with(
                "SELECT 'm.t', 'R1', 'j''k', 'published', 'P.T_R1', 3, NULL, NULL, \
                 '2026-11-01 04:05:00.000000'::timestamp_ntz"
            ),
            "{plain}"
        );
        let coming = insert(&states, &[State { kept: None, ..state("m.t", "r1", 5) }.coming(None)]);
        assert!(coming.contains("'coming', NULL, 3, NULL, '', '2026"), "{coming}");
    }

    #[test]
    fn a_table_that_was_replaced_is_known_by_another_mark() {
        let state = state("m.t", "r1", 5);
        let (old, new) = ("1".to_owned(), "2".to_owned());
        assert!(state.counts(None) && state.counts(Some(&old)));
        let coming = state.coming(Some(&old));
        assert!(!coming.counts(None) && !coming.counts(Some(&old)) && coming.counts(Some(&new)));
        let first = state.coming(None);
        assert!(!first.counts(None) && first.counts(Some(&new)));
    }

    #[test]
    fn so_many_states_are_kept_of_each_table() {
        let states = [state("m.a", "R3", 3), state("m.b", "R2", 2), state("m.a", "R2", 2), state("m.a", "R1", 1)];
        let told = |kept: usize| outdated(&states, kept).iter().map(TableName::sql).collect::<Vec<_>>();
        assert_eq!(told(2), ["P.A_R1"]);
        assert_eq!(told(3), Vec::<String>::new());
        assert_eq!(told(1), ["P.A_R1", "P.A_R2", "P.A_R3", "P.B_R2"]);
        // A rollback brings a state back under another run: its rows stay.
        let again = State { kept: states[3].kept.clone(), ..state("m.a", "R4", 4) };
        let states: Vec<State> = [again].into_iter().chain(states.clone()).collect();
        assert_eq!(outdated(&states, 2).iter().map(TableName::sql).collect::<Vec<_>>(), ["P.A_R2"]);
    }
}
