//! End-to-end tests, in one binary because linking the engine is slow.

mod layout;
mod project;
mod reference;
mod sql;
mod run;
mod warehouse;
mod wrong;
