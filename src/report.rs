//! How results and problems look. What they are is decided elsewhere.

/// Results as tables, CSV and JSON.
pub mod table;
