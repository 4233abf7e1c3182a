//! The archive of the binlog: every transaction of the cluster, in a store within seconds, whoever writes and whoever is read.
//!
//! A server is followed as a replica follows it (`sql::BinlogTail`). What comes is cut where a transaction ends ([`cut`]) into
//! segments, each of them a whole binlog file ([`segment`]), that wait on this node's disk ([`spool`]) until a store has them
//! ([`send`]). Beside each lies an [`entry`], written last, that says which transactions it adds and to which it adds them.
//! Nothing else is known of an archive: the entries together say what can be restored, and where something is missing
//! ([`coverage`]). So it does not matter who wrote them, in which order, or how often: whoever goes on reads what is there
//! ([`index`]) and asks its server for the rest ([`run`]). Entries lie on shelves of a bounded size ([`shelf`]), and a
//! [`rollup`] says what those of a whole shelf come to, or of thousands: a beginning takes as long after a year as after a day.
//!
//! Nothing here runs inside the daemon: reading what a binlog holds is no work for the process that holds a lease.

pub mod coverage;
mod cut;
pub(crate) mod deeds;
pub mod entry;
pub(crate) mod event;
mod fields;
mod frame;
pub mod index;
pub mod open;
pub mod part;
pub mod plan;
pub mod process;
pub mod rollup;
mod room;
pub(crate) mod rows;
pub mod run;
mod segment;
mod send;
mod sending;
pub mod shelf;
mod shelving;
pub mod spool;
mod tail;
pub mod tell;
#[cfg(test)]
mod tests;
mod watching;
