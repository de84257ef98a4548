//! End-to-end tests, in one binary because linking the engine is slow.

mod layout;
mod reference;
mod sql;
mod warehouse;
mod wrong;
