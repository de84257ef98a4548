//! End-to-end tests, in one binary because linking the engine is slow.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod check;
mod diff;
mod emit;
mod faults;
mod flags;
mod fuzz;
mod incremental;
mod jobs;
mod kill;
mod layout;
mod mutation;
mod project;
mod reference;
mod run;
mod secrets;
mod server;
mod snowflake;
mod snowflake_faults;
mod snowflake_growth;
mod snowflake_states;
mod sql;
mod stand_in;
mod transfer;
mod transforms;
mod unit;
mod warehouse;
mod wrong;
