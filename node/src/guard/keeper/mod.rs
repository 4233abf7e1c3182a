//! The keeper: a small process beside the server that ends a lease without the daemon's help.
//!
//! It holds at most one server, as (epoch, pidfd, deadline), and SIGKILLs it when the deadline passes and the daemon has
//! not said, for that epoch and pid, that the server is closed. The daemon's death, its restart and a closed connection
//! change nothing. [`run`] is the process, [`Client`] the daemon's side of it.
//!
//! - `protocol.rs`: what the two say to each other, one JSON object a line.
//! - `hold.rs`: the rules: what is held, which request is refused. No I/O but the signal itself.
//! - `serve.rs`, `connection.rs`, `timer.rs`: the loop of the process.
//! - `harden.rs`, `run.rs`: what makes it the last process to be stopped, starved or ended.
//! - `record.rs`: what it leaves behind after a kill.
//! - `client.rs`, `link.rs`, `spawn.rs`: the daemon's side.
//!
//! The keeper must not end with the daemon's unit. It leaves the daemon's session by itself, but not its cgroup: its unit
//! needs `KillMode=process`, or the keeper a unit of its own, which can then also set `CPUSchedulingPolicy=fifo`,
//! `LimitMEMLOCK=infinity` and `OOMScoreAdjust=-1000` where Baton's user may not do so itself.

mod client;
mod connection;
mod harden;
mod hold;
mod link;
mod protocol;
mod record;
mod run;
mod serve;
mod spawn;
mod timer;

#[cfg(test)]
mod tests;

pub use client::{CALL_TIMEOUT, Client, ClientError};
pub use hold::{End, Hold};
pub use protocol::{ArmRequest, Held, PROTOCOL_VERSION, Refusal, ServerExit, Status};
pub use record::KillRecord;
pub use run::{KeeperError, run};
pub use serve::{KeeperOptions, serve};
pub use spawn::{SpawnOptions, connect_or_spawn};

/// The keeper's socket inside its run directory.
pub(crate) const SOCKET_FILE: &str = "keeper.sock";
/// Locked by the living keeper.
pub(crate) const LOCK_FILE: &str = "keeper.lock";
/// The latest [`KillRecord`].
pub(crate) const KILLED_FILE: &str = "keeper.killed.json";
