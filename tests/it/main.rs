//! End-to-end tests, in one binary because linking the engine is slow.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod check;
mod emit;
mod faults;
mod flags;
mod layout;
mod mutation;
mod project;
mod reference;
mod run;
mod sql;
mod transforms;
mod unit;
mod warehouse;
mod wrong;
