//! Decisions: pure functions of what was agreed and what was seen.

mod candidates;
pub mod choose;
pub mod diagnose;
pub mod diagnosis;
mod plan;
pub mod seen;
#[cfg(test)]
mod tests;
mod troubles;
pub mod upkeep;
