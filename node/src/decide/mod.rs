//! Decisions: pure functions of what was agreed and what was seen.

pub mod adoption;
pub mod choose;
pub mod diagnose;
pub mod diagnosis;
pub mod finding;
#[cfg(test)]
pub(crate) mod sample;
pub mod seen;
mod troubles;
pub mod upkeep;
