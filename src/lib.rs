//! Declarative SQL pipelines: a job is one YAML file plus a few Snowflake SQL files.
//!
//! ```text
//!  pipe.yaml, flags, environment ──► settings          pipelines/*.yaml, sql/, schemas/ ──► project
//!                                        │                                                  │
//!                                        ▼                                                  ▼
//!             yaml ──► job, source (every value with its place) ──► template: each step's SQL, rendered
//!                                                                                           │
//!                 dialect: text ──► tokens ──► AST ──► bound plan     ◄─────────────────────┘
//!                                                          │
//!       plan: names resolved ──► steps bound, contracts held, lineage ──► fingerprints: what runs, and why
//!                                                          │
//!       run: ready steps start, longest path first ──► backend builds aside ──► tests ──► publish, all or none
//!                                                          │                                  │
//!                                                    events ──► report              warehouse, ledger
//! ```
//!
//! What is deliberately absent:
//!
//! - Nothing is read or written before every problem that can be known without data has been found; problems are
//!   [`diagnostic::Diagnostic`]s, gathered, never printed where they arise.
//! - Everything above [`secret`] is pure: no file, clock, environment or network. A test holds it so.
//! - Binding sees schemas only; rows come in when a backend executes.
//! - The engine never prints: it emits events, and [`report`] shows them.
//! - No result is visible under its name before its job's tests have passed; no publish is half done.
//! - No construct of Snowflake SQL is silently dropped or changed: it is done right or refused with its place.
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

/// Files where they are: on this machine or in S3.
pub mod store;

/// The local store: tables as Parquet, published atomically.
pub mod warehouse;

/// What executes: the trait, and DataFusion on this machine.
pub mod backend;

/// What has been run, kept with the target.
pub mod ledger;

/// Load and export steps: rows in from files, rows out to files and databases.
pub mod transfer;

/// The author's files, found and read.
pub mod project;

/// What a command works with: flags, environment, `pipe.yaml`, defaults.
pub mod settings;

/// The scheduler: what is ready starts, what is tested is published.
pub mod run;

/// Sanity checks and their verdicts: data or logic.
pub mod check;

/// A row traced back to what it was made from.
pub mod why;

/// Two states of a table held against each other.
pub mod diff;

/// SQL statements of one session, DDL and DML included, over its tables.
pub mod session;

/// Unit tests of jobs: given rows in, expected rows out.
pub mod unit;

/// How results and problems look.
pub mod report;

/// The command line.
pub mod cli;
