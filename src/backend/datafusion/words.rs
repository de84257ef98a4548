//! What DataFusion, Arrow and the readers of files say, in an analyst's words, and what to do about it.

use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;

use crate::backend::{BackendError, Remedy};

/// What libraries set before what they have to say.
const PREFIXES: [&str; 12] = [
    "Execution error: ",
    "Parquet error: ",
    "Arrow error: ",
    "Compute error: ",
    "Cast error: ",
    "Csv error: ",
    "Json error: ",
    "Io error: ",
    "External error: ",
    "External: ",
    "Error evaluating filter predicate: ",
    "Invalid argument error: ",
];

/// What DataFusion says, and what to do about it.
pub(crate) fn failed(error: DataFusionError) -> BackendError {
    if let Some(known) = own(&error) {
        return known.clone();
    }
    let root = error.find_root();
    let text = root.strip_backtrace();
    match root {
        DataFusionError::ResourcesExhausted(_) => BackendError::new(Remedy::Resources, out_of_memory(&text)),
        DataFusionError::ObjectStore(_) => BackendError::new(Remedy::Retry, plain(&text)),
        DataFusionError::Internal(text) => {
            let text = plain(text.split("This issue was likely caused").next().unwrap_or(text)).trim_end().to_owned();
            BackendError::author(format!("{text}; this is a defect of `pipe`, please report it with the step's SQL"))
        }
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::DivideByZero => BackendError::author("division by zero"),
            ArrowError::ArithmeticOverflow(what) => BackendError::author(format!("number out of range: {what}")),
            ArrowError::CsvError(what) => BackendError::author(of_csv(what)),
            _ => BackendError::author(plain(&text)),
        },
        _ => BackendError::author(plain(&text)),
    }
}

/// A message without the names of the libraries that it came through.
fn plain(text: &str) -> String {
    let mut text = text;
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        text = rest;
    }
    // A filter inside the reader of Parquet tells its error in the form of a program.
    text.strip_prefix("Execution(\"").and_then(|rest| rest.strip_suffix("\")")).unwrap_or(text).to_owned()
}

/// What the reader of CSV says of a line.
pub(crate) fn of_csv(text: &str) -> String {
    let text = plain(text);
    let number = |after: &str| {
        let rest = text.split_once(after)?.1;
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse::<u64>().ok()
    };
    match (number(" for line "), number("expected "), number(" got more than "), number(" got ")) {
        (Some(line), Some(expected), Some(_), _) => {
            format!(
                "line {line} has more values than the {expected} of the first line; is a quote or a delimiter missing?"
            )
        }
        (Some(line), Some(expected), None, Some(found)) => {
            format!("line {line} has {found} of the {expected} values that the first line has")
        }
        (Some(line), ..) if text.contains("UTF-8") => {
            format!("line {line} is not UTF-8; save the file as UTF-8")
        }
        _ => text,
    }
}

/// What held memory, by a part of the name under which DataFusion counts it.
const HOLDERS: &[(&str, &str)] = &[
    ("CrossJoin", "a cross join"),
    ("NestedLoopJoin", "a join without an equality"),
    ("Join", "a join"),
    ("SMJ", "a join"),
    ("Grouped", "GROUP BY"),
    ("Aggregate", "GROUP BY"),
    ("Sort", "sorting"),
    ("TopK", "sorting"),
    ("Window", "a window function"),
    ("Repartition", "rows on their way between threads"),
    ("Coalesce", "rows on their way between threads"),
    ("Parquet", "writing Parquet"),
];

/// The memory limit was reached: what asked for more, in the words of SQL.
pub(crate) fn out_of_memory(text: &str) -> String {
    let between = |start: &str, end: &str| {
        let rest = text.rsplit_once(start)?.1;
        Some(rest.split_once(end).map_or(rest, |(part, _)| part).trim())
    };
    let Some(holder) = between("additional ", " with ") else {
        return text.strip_prefix("Resources exhausted: ").unwrap_or(text).to_owned();
    };
    let limit = between("pool_size: ", ")").map(|limit| format!(" of {limit}")).unwrap_or_default();
    let (asked, holder) = holder.split_once(" for ").unwrap_or(("", holder));
    // What is named by words is ours; the names of the engine's parts are for nobody else.
    let usual = if holder.contains(' ') || holder.starts_with('`') { holder } else { "a part of the query" };
    let word = HOLDERS.iter().find(|(part, _)| holder.contains(part)).map_or(usual, |(_, word)| word);
    let held =
        between(" with ", " already").map(|held| format!(" beside the {held} that it holds")).unwrap_or_default();
    format!(
        "the memory limit{limit} is reached: {word} asked for {asked} more{held}, and it cannot go on from disk; \
         raise `memory_limit` in `pipe.yaml` or --memory-limit, or let the query keep fewer rows at once"
    )
}

/// An error of ours that came through DataFusion.
fn own(error: &DataFusionError) -> Option<&BackendError> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref::<BackendError>() {
            return Some(found);
        }
        source = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_library_is_named() {
        let csv = |text: &str| of_csv(text);
        assert_eq!(
            csv("Csv error: incorrect number of fields for line 3, expected 2 got more than 2"),
            "line 3 has more values than the 2 of the first line; is a quote or a delimiter missing?"
        );
        assert_eq!(
            csv("incorrect number of fields for line 7, expected 3 got 1"),
            "line 7 has 1 of the 3 values that the first line has"
        );
        let told = |error: DataFusionError| failed(error).message;
        assert_eq!(told(DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None)), "division by zero");
        assert_eq!(told(DataFusionError::Execution("Cast error: x".to_owned())), "x");
        let memory = "Resources exhausted: Additional allocation failed for FinalHashAggregateStream[0] with top memory \
                      consumers (across reservations) as: Failed to allocate additional 3.0 MB for \
                      FinalHashAggregateStream[0] (x) with 1.0 MB already allocated - pool_size: 10.0 MB)";
        assert!(
            told(DataFusionError::ResourcesExhausted(memory.to_owned()))
                .contains("reached: GROUP BY asked for 3.0 MB more")
        );
    }
}
