//! What the session is: the clock, the user, the names in use.

use super::Function;

/// The functions of this family.
pub(super) fn functions() -> Vec<Function> {
    Vec::new()
}
