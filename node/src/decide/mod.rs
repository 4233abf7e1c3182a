//! Decisions: pure functions of what was agreed ([`crate::state`]) and what was seen ([`seen`]). No I/O, no clock, no
//! randomness. [`diagnose`] names what is wrong, [`choose`] who becomes the writer, [`upkeep`] what a healthy cluster
//! still needs, [`adoption`] whether an existing cluster can be taken into care, [`rebuild`] from which server another
//! gets its data, [`switchover`] whether a healthy writer can be moved, [`hooks`] which of the operator's programs are run
//! for that, [`maintenance`] who rests, [`leaving`] who is no acker any more, [`events`] who runs the servers' events, [`readers`] and [`mod@primary`] to which
//! servers clients may be sent, [`mod@archive`] whose binlog is archived, [`followers`] what becomes of servers without a node.

pub mod adoption;
pub mod archive;
pub mod backup;
mod candidates;
pub mod choose;
pub mod copying;
pub mod diagnose;
pub mod diagnosis;
pub mod events;
pub mod finding;
pub mod followers;
pub mod giving;
pub mod holding;
pub mod hooks;
pub mod leaving;
pub mod maintenance;
mod plan;
pub mod primary;
pub mod readers;
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
