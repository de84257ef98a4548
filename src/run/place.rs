//! Where a failure came of: the SQL of the step that failed and of those that were computed as part of it, searched for what
//! the error's words tell. It adds places to messages and changes nothing else.

use super::Decision;
use crate::backend::{BackendError, Keep, Remedy};
use crate::dialect::suspect::suspects;
use crate::plan::{Plan, PlannedStep, PlannedTest, Work};
use crate::text::Span;

/// More places than these tell nobody anything.
const MOST_PLACES: usize = 3;

/// The error with the place in the author's files, as nearly as it can be told.
pub(super) fn of_step(plan: &Plan, decisions: &[Decision], at: usize, error: BackendError) -> BackendError {
    let step = &plan.steps[at];
    if error.remedy != Remedy::Author || error.placed {
        return error;
    }
    let mut found = in_step(step, &error.message);
    let mut steps = vec![at];
    while let Some(reader) = steps.pop() {
        let inlined = plan.steps[reader]
            .reads()
            .filter_map(|id| plan.position(id))
            .filter(|before| matches!(&decisions[*before], Decision::Run { keep: Keep::Inline | Keep::View(_), .. }));
        for before in inlined {
            found.extend(in_step(&plan.steps[before], &error.message));
            steps.push(before);
        }
    }
    let whole = match (&step.work, &step.written) {
        (Work::Query(_), Some(text)) => Some(text.origin(&text.source().span(0..0))),
        (Work::Transform(_), _) => step.span.clone(),
        _ => None,
    };
    told(error, found, whole.as_ref())
}

/// The same for a test that could not be asked.
pub(super) fn of_test(test: &PlannedTest, error: BackendError) -> BackendError {
    let tested = &test.tested;
    let found = suspects(tested.source(), &error.message).into_iter().filter(|span| tested.is_written(span));
    let found = found.map(|span| tested.origin(&span)).collect();
    told(error, found, Some(&test.test.span))
}

fn in_step(step: &PlannedStep, error: &str) -> Vec<Span> {
    let Some(text) = &step.written else { return Vec::new() };
    suspects(text.source(), error).iter().map(|span| text.origin(span)).collect()
}

fn told(error: BackendError, mut places: Vec<Span>, whole: Option<&Span>) -> BackendError {
    let mut seen = std::collections::HashSet::new();
    places.retain(|place| seen.insert(place.to_string()));
    let place = match places.as_slice() {
        [] => whole.map(|whole| format!("in `{}`", whole.file.path().display())),
        [one] => Some(format!("at `{one}`")),
        some if some.len() <= MOST_PLACES => {
            let places: Vec<String> = some.iter().map(|place| format!("`{place}`")).collect();
            Some(format!("at {}", places.join(" or ")))
        }
        [first, rest @ ..] => Some(format!("at `{first}` or one of {} places like it", rest.len())),
    };
    match place {
        Some(place) => BackendError { message: format!("{}, {place}", error.message), placed: true, ..error },
        None => error,
    }
}
