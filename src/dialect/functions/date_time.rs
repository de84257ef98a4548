//! Dates, times and their parts.

use super::Function;

/// The functions of this family.
pub(super) fn functions() -> Vec<Function> {
    Vec::new()
}
