//! Operations: what moves the writer, step by step, and what keeps each server where the group wants it.
//!
//! On the leader: [`lead`] looks at what was seen, and runs [`failover`], whose file reads as steps 0 to 8 of
//! `docs/safety.md`. On every data node: [`actor`] runs single actions for the leader, [`attend`] makes a replica follow
//! the writer, [`acker_watch`] stops its receiver when the voters no longer grant the writer's epoch.

pub mod acker_watch;
pub mod action;
pub mod actor;
pub mod attend;
pub mod failover;
mod journal;
pub mod lead;
pub mod net;
mod power;
mod promise;
mod proof;
mod propose;
mod rebuild;
mod rebuilding;
mod switchover;
mod upkeep;
mod wary;

pub use acker_watch::{AckerWatch, Granting};
pub use action::{Acted, Action, Hands, Order, Sets};
pub use actor::Actor;
pub use attend::Attend;
pub use lead::Lead;
pub use net::Net;
pub use promise::ReceiverStop;
pub use propose::Proposer;
pub use rebuild::{Copies, Donor, LocalAccount, Pieces, RebuildParts, Rebuilder, Tools, Unit};
