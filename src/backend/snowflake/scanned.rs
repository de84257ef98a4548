//! The bytes that statements read, as the server's own history of queries tells them at the end of a run.

use std::collections::HashMap;
use std::time::Duration;

use super::catalogue::texts;
use super::session::Worker;
use crate::backend::BackendError;
use crate::name::Name;
use crate::plan::StepId;

/// How long a run waits at its end to be told what it read.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// The bytes that each statement of a run's steps read: one statement for all of them, over at most the latest 10,000 of
/// the user, which is what the server gives.
pub(super) async fn of_queries(
    worker: &mut Worker,
    database: &Name,
    run: &str,
) -> Result<HashMap<String, u64>, BackendError> {
    let sql = format!(
        "SELECT QUERY_ID, TO_VARCHAR(BYTES_SCANNED) FROM \
         TABLE({}.INFORMATION_SCHEMA.QUERY_HISTORY_BY_USER(RESULT_LIMIT => 10000)) WHERE QUERY_TAG LIKE 'pipe/%/{run}/%'",
        database.sql()
    );
    let answer = worker.rows(sql).await?;
    let rows = texts(&answer.batches).into_iter();
    Ok(rows.filter_map(|[query, bytes]: [String; 2]| Some((query, bytes.parse().ok()?))).collect())
}

/// The bytes that each step read, where they are known of all that it asked.
pub(super) fn of_steps(queries: HashMap<StepId, Vec<String>>, bytes: &HashMap<String, u64>) -> HashMap<StepId, u64> {
    let sum = |queries: &[String]| queries.iter().map(|query| bytes.get(query)).sum::<Option<u64>>();
    let asked = queries.into_iter().filter(|(_, queries)| !queries.is_empty());
    asked.filter_map(|(step, queries)| Some((step, sum(&queries)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_step_read_is_told_where_all_of_it_is_known() {
        let step = |name: &str| StepId { job: Name::unquoted("j"), step: Name::unquoted(name) };
        let asked = |queries: &[&str]| queries.iter().map(|query| (*query).to_owned()).collect();
        let queries =
            HashMap::from([(step("a"), asked(&["1", "2"])), (step("b"), asked(&["1", "3"])), (step("c"), asked(&[]))]);
        let bytes = HashMap::from([("1".to_owned(), 10), ("2".to_owned(), 0)]);
        assert_eq!(of_steps(queries, &bytes), HashMap::from([(step("a"), 10)]));
    }
}
