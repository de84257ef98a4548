//! Declarative SQL pipelines: a job is one YAML file plus a few Snowflake SQL files.
//!
//! The modules below stand in reading order, which is also the dependency order: a module uses only those above it.

/// Names as Snowflake sees them, and the nearest one.
pub mod name;

/// The author's text and places in it.
pub mod text;

/// Deep types behind an interface, for the compiler's sake.
pub mod opaque;

/// What is wrong with what the author wrote, as data.
pub mod diagnostic;

/// YAML as a tree with places, and the tables of keys that files may hold.
pub mod yaml;

/// Snowflake SQL: text → AST → DataFusion plan.
pub mod dialect;

/// What a step can do besides SQL: parameters, output columns, native kernels, SQL forms.
pub mod transform;

/// Tests on a step's result: query and verdict.
pub mod rule;

/// Templates in SQL: strict, and safe by default.
pub mod template;

/// A job as its author wrote it.
pub mod job;

/// The tables that the project reads and does not make: contracts and places.
pub mod source;

/// What a run means before it touches data: resolve, bind, lineage, fingerprints, selection.
pub mod plan;

/// Texts that must not be seen.
pub mod secret;

/// The local store: tables as Parquet, published atomically.
pub mod warehouse;

/// What executes: the trait, and DataFusion on this machine.
pub mod backend;

/// What has been run, kept with the target.
pub mod ledger;

/// The author's files, found and read.
pub mod project;

/// What a command works with: flags, environment, `pipe.yaml`, defaults.
pub mod settings;

/// The scheduler: what is ready starts, what is tested is published.
pub mod run;

/// SQL statements of one session, DDL and DML included, over its tables.
pub mod session;

/// How results and problems look.
pub mod report;

/// The command line.
pub mod cli;
