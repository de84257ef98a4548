//! A value behind an interface, so that the compiler need not look through its type.
//!
//! Whether a future may move between threads is decided from the types it holds. DataFusion's plans and sessions are so
//! deep that each such decision takes seconds; held in an `Opaque`, they take none.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A shared value of a deep type.
pub struct Opaque<T>(Arc<dyn Holder<T>>);

trait Holder<T>: Send + Sync {
    fn value(&self) -> &T;
}

struct Own<T>(T);

impl<T: Send + Sync> Holder<T> for Own<T> {
    fn value(&self) -> &T {
        &self.0
    }
}

impl<T: Send + Sync + 'static> Opaque<T> {
    /// Holds a value.
    pub fn new(value: T) -> Self {
        Self(Arc::new(Own(value)))
    }
}

impl<T> Deref for Opaque<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.value()
    }
}

impl<T> Clone for Opaque<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: fmt::Debug> fmt::Debug for Opaque<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
