//! Snowflake SQL for the embedded engine: text → tokens → AST → DataFusion plan. It reads no file and runs no query.

/// The types of Snowflake and how their values rest in Arrow.
pub mod types;

/// What a session remembers and functions ask for: time zone, formats, week rules, the pinned clock.
pub mod session;

/// Snowflake's functions by family, and the honest table of them.
pub mod functions;
