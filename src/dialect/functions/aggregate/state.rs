//! What is read from the states that APPROX_PERCENTILE_ACCUMULATE and APPROX_TOP_K_ACCUMULATE make: objects with all values of
//! the group under `state`.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use hashbrown::HashMap;

use super::super::scalar::{Call, Shape, exact, json_column, texts};
use super::super::{Fidelity, Function, Implementation};
use crate::dialect::types::{self, SqlType};
use crate::dialect::variant::number;
use crate::dialect::variant::text::{elements, members};

const KEPT: &str = "its state keeps every value, where Snowflake's is a sketch; what is read from it is exact";

pub(super) fn functions() -> Vec<Function> {
    let rewritten = |name| Function {
        name,
        aliases: &[],
        family: "aggregate",
        fidelity: Fidelity::Approximate(KEPT),
        implementation: Implementation::Rewritten,
    };
    let scalar = |function| Function { fidelity: Fidelity::Approximate(KEPT), ..function };
    vec![
        rewritten("approx_percentile_accumulate"),
        rewritten("approx_percentile_combine"),
        rewritten("approx_top_k_accumulate"),
        rewritten("approx_top_k_combine"),
        scalar(exact("aggregate", &["approx_percentile_estimate"], 2..=2, percentile_rule, percentile)),
        scalar(exact("aggregate", &["approx_top_k_estimate"], 1..=2, top_rule, top)),
    ]
}

fn percentile_rule(shape: &Shape<'_>) -> Result<DataType> {
    of_state(shape)?;
    Ok(DataType::Float64)
}

fn top_rule(shape: &Shape<'_>) -> Result<DataType> {
    of_state(shape)?;
    Ok(types::array())
}

fn of_state(shape: &Shape<'_>) -> Result<()> {
    match shape.sql_type(0) {
        SqlType::Object | SqlType::Variant | SqlType::Null => Ok(()),
        _ => shape.refuse(0),
    }
}

/// The values that a state holds.
fn values(state: &str) -> impl Iterator<Item = &str> {
    let held = members(state).find(|(key, _)| *key == "state").map_or("", |(_, values)| values);
    elements(held).filter(|value| *value != "undefined")
}

/// The value at a share of the sorted values, between two of them in proportion.
fn percentile(call: &Call<'_>) -> Result<ArrayRef> {
    let (states, shares) = (call.variants(0)?, call.texts(1)?);
    let one = |row: usize| -> Result<Option<f64>> {
        let (Some(state), Some(share)) = (states.get(row), shares.get(row)) else { return Ok(None) };
        let Some(share) = share.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share)) else {
            return call.fail(format!("the percentile '{share}' is not between 0 and 1"));
        };
        let mut numbers: Vec<f64> = values(state).filter_map(number::to_f64).collect();
        numbers.sort_by(f64::total_cmp);
        let Some(last) = numbers.len().checked_sub(1) else { return Ok(None) };
        let place = share * last as f64;
        let (low, high) = (numbers[place.floor() as usize], numbers[place.ceil() as usize]);
        Ok(Some(low + (high - low) * place.fract()))
    };
    Ok(Arc::new((0..call.rows).map(one).collect::<Result<Float64Array>>()?))
}

/// The most frequent values with their counts, as an array of pairs; of equally frequent ones those that came first.
fn top(call: &Call<'_>) -> Result<ArrayRef> {
    let states = call.variants(0)?;
    let counts = if call.len() > 1 { Some(call.integers(1)?) } else { None };
    let arrays = texts(call.rows, |row, out| {
        let Some(state) = states.get(row) else { return Ok(false) };
        let wanted = counts.as_ref().map_or(Some(1), |counts| counts.get(row));
        let Some(wanted) = wanted.and_then(|wanted| usize::try_from(wanted).ok()) else { return Ok(false) };
        let mut seen: HashMap<&str, usize> = HashMap::new();
        let mut found: Vec<(&str, u64)> = Vec::new();
        for value in values(state) {
            let at = *seen.entry(value).or_insert_with(|| {
                found.push((value, 0));
                found.len() - 1
            });
            found[at].1 += 1;
        }
        found.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let pairs: Vec<String> = found.iter().take(wanted).map(|(value, count)| format!("[{value},{count}]")).collect();
        out.push('[');
        out.push_str(&pairs.join(","));
        out.push(']');
        Ok(true)
    })?;
    json_column(call.returns, &arrays)
}

#[cfg(test)]
mod tests {
    use crate::dialect::functions::testing::query;

    #[test]
    fn states_are_made_joined_and_read() {
        let rows = query(
            "WITH s AS (SELECT x % 2 AS k, APPROX_PERCENTILE_ACCUMULATE(x) AS p, APPROX_TOP_K_ACCUMULATE(x % 3, 10) AS t \
             FROM (VALUES (1), (2), (3), (4), (5)) AS v (x) GROUP BY k) \
             SELECT APPROX_PERCENTILE_ESTIMATE(APPROX_PERCENTILE_COMBINE(p), 0.5), \
             APPROX_PERCENTILE_ESTIMATE(APPROX_PERCENTILE_COMBINE(p), 0.375), \
             APPROX_TOP_K_ESTIMATE(APPROX_TOP_K_COMBINE(t, 10), 1) FROM s",
        );
        let rows = rows.unwrap();
        assert_eq!(rows[0][..2], ["3.0", "2.5"]);
        assert!(rows[0][2] == "[[1,2]]" || rows[0][2] == "[[2,2]]", "{}", rows[0][2]);
    }
}
