//! Decisions: pure functions of what was agreed ([`crate::state`]) and what was seen ([`seen`]). No I/O, no clock, no
//! randomness. [`diagnose`] names what is wrong, [`choose`] who becomes the writer, [`upkeep`] what a healthy cluster
//! still needs, [`adoption`] whether an existing cluster can be taken into care, [`rebuild`] from which server another gets its data,
//! [`switchover`] whether a healthy writer can be moved.

pub mod adoption;
mod candidates;
pub mod choose;
pub mod copying;
pub mod diagnose;
pub mod diagnosis;
pub mod finding;
pub mod giving;
pub mod holding;
mod plan;
pub mod rebuild;
#[cfg(test)]
pub(crate) mod sample;
pub mod seen;
pub mod starved;
pub mod switchover;
#[cfg(test)]
mod tests;
pub mod tried;
mod troubles;
pub mod upkeep;
pub mod vouched;
