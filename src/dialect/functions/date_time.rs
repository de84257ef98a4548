//! Dates, times and their parts. Calendar arithmetic is on the wall clock of the session's zone (TIMESTAMP_LTZ), of the
//! value's own offset (TIMESTAMP_TZ), or of no zone; adding hours and less is on the instant.

use super::Function;

/// The parts that have names, such as `month` and its aliases.
pub(super) mod part;

/// Arguments and results.
pub(super) mod value;

/// DATE_PART and the functions of single parts.
mod extract;

/// DATEADD, ADD_MONTHS.
mod shift;

/// DATEDIFF, MONTHS_BETWEEN.
mod difference;

/// DATE_TRUNC, TIME_SLICE, LAST_DAY, NEXT_DAY.
mod truncate;

/// Values from their parts.
mod assemble;

/// Dates, times and timestamps out of other types, and zones.
mod convert;

const FAMILY: &str = "date and time";

/// The functions of this family.
pub(super) fn functions() -> Vec<Function> {
    [
        extract::functions(),
        shift::functions(),
        difference::functions(),
        truncate::functions(),
        assemble::functions(),
        convert::functions(),
    ]
    .concat()
}
