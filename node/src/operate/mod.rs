//! Operations: what moves the writer, step by step, and what keeps each server where the group wants it.
//!
//! On the leader: [`lead`] looks at what was seen, and runs [`failover`], whose file reads as steps 0 to 8 of
//! `docs/safety.md`; [`followers`] looks after servers without a node. On every data node: [`actor`] runs single actions for the leader, [`attend`] makes a replica follow
//! the writer, [`acker_watch`] stops its receiver when the voters no longer grant the writer's epoch. On every node: [`hooks`]
//! runs the operator's programs.

pub mod acker_watch;
pub mod action;
pub mod actor;
mod apply_all;
mod archiving;
pub mod attend;
mod backing;
mod catching_up;
pub mod events;
pub mod failover;
pub mod followers;
pub mod hooks;
mod journal;
pub mod lead;
mod left;
pub mod net;
mod power;
mod program;
mod promise;
mod proof;
mod propose;
mod rebuild;
mod rebuilding;
mod rehearsal;
mod restart;
mod scheduling;
mod still;
mod switchover;
mod upkeep;
mod wary;

pub use acker_watch::{AckerWatch, Granting};
pub use action::{Acted, Action, Hands, Order, Part, Sets};
pub use actor::Actor;
pub use archiving::{ArchiveParts, ArchiveRunner, ArchiveSettings};
pub use attend::{Attend, Following};
pub use backing::{BackupParts, BackupRunner};
pub use catching_up::CatchingUp;
pub use events::FollowEvents;
pub use followers::{DeclaredSource, FollowerWatch, Followers};
pub use hooks::{HookSource, HookWatch, Hooks};
pub use lead::Lead;
pub use net::Net;
pub use promise::ReceiverStop;
pub use propose::Proposer;
pub use rebuild::{Copies, Donor, Pieces, RebuildParts, Rebuilder, Tools, Unit};
pub use rehearsal::{ByRouter, Rehearsal};
pub use restart::Restart;
pub use switchover::{Foretell, foretell, measure};
