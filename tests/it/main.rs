//! End-to-end tests, in one binary because linking the engine is slow.

mod layout;
mod project;
mod reference;
mod run;
mod sql;
mod warehouse;
mod wrong;
