//! The guard owns its server's open/closed switch. Anyone may close a server; only the guard opens one: that of the
//! node which the replicated state names, once an epoch, under a live lease.
//!
//! - [`Guard`] is the loop: attach to the server, hold the lease, open, close.
//! - [`Voter`] is the other side of the lease: what a node grants, and when it can say that nothing of it is left.
//! - `handle.rs` is what may be asked of it.
//! - `behind.rs` is what the loop has done behind its back, so that nothing holds up a renewal.
//! - `freezing.rs` closes the open writer for a planned switchover.
//! - `adopting.rs` takes an open server under its first lease, `events.rs` has the event scheduler follow the writer.
//! - `lease.rs` counts majorities, `asking.rs` asks for them, `duty.rs` says what the state wants of this server.
//! - [`keeper`] is the process that ends a lease without the daemon; [`boot`] the check before a server's start.

mod adopting;
mod asking;
mod behind;
pub mod boot;
pub mod clock;
mod duty;
mod events;
mod forgetting;
mod freezing;
mod guard;
mod handle;
mod holding;
pub mod keeper;
mod keeping;
mod lease;
mod longer;
mod opening;
mod ports;
pub mod process;
mod record;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod voter;

pub use asking::repeated;
pub use freezing::{Freeze, FreezeHow};
pub use guard::{Guard, GuardPorts};
pub use handle::GuardHandle;
pub use lease::Rounds;
pub use longer::HandedOver;
pub use ports::{
    Attach, Electorate, Fenced, Frozen, KeeperHolds, KeeperPort, Lease, LeaseAnswer, LeaseRequest,
    NotCommitted, Notes, Opener, Propose, Running, Voters,
};
pub use voter::{Applied, ExpiryAnswer, Judged, Voter};
