//! How results and problems look. What they are is decided elsewhere.

/// Results as tables, CSV and JSON.
pub mod table;

/// The generated parts of the README's reference.
pub mod reference;
