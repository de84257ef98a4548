//! TO_ and TRY_TO_ functions.

use super::Function;

/// The functions of this family.
pub(super) fn functions() -> Vec<Function> {
    Vec::new()
}
