//! Functions that take a lambda.

use super::Function;

/// The functions of this family.
pub(super) fn functions() -> Vec<Function> {
    Vec::new()
}
