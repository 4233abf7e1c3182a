//! Decisions: pure functions.
pub mod seen;
