//! IFF, NVL, DECODE and the like.

use super::Function;

/// The functions of this family.
pub(super) fn functions() -> Vec<Function> {
    Vec::new()
}
