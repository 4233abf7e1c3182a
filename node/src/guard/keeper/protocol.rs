//! What daemon and keeper say to each other: one JSON object a line, each way.
//!
//! A daemon says hello first. Every call carries a number that its answer repeats; events come between answers.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::record::KillRecord;
use crate::guard::clock::{BootId, Boottime};

/// The protocol spoken here. A keeper outlives daemons, so an upgraded daemon can meet an older one.
pub const PROTOCOL_VERSION: u32 = 1;

/// The longest line either side takes, in bytes, its end included.
pub(crate) const MAX_LINE_BYTES: usize = 4096;

/// A server to hold: given before the opening, replaces whatever was held before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmRequest {
    /// The epoch the server is to be open under.
    pub epoch: u64,
    /// The server's pid: the peer's on the connection that will open it.
    pub pid: i32,
    /// When that process started, in clock ticks since boot.
    pub start_time_ticks: u64,
    /// When to kill it: the end of what a majority granted. Without one it is held, and not killed before an extension
    /// has set one: no majority is asked before the server is held.
    pub deadline: Option<Boottime>,
}

/// What a daemon asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// The first request of every connection.
    Hello { version: u32 },
    /// Hold this server.
    Arm(ArmRequest),
    /// A majority granted more.
    Extend { epoch: u64, pid: i32, deadline: Boottime },
    /// The server is closed, read back, its sessions gone.
    Closed { epoch: u64, pid: i32 },
    /// A pause was granted by a majority: the server stays open without a deadline.
    Disarm { epoch: u64, pid: i32 },
    /// What to run after a kill, from now on; nothing, without a command.
    HardFence { command: Option<Vec<String>> },
    /// Only the answer is wanted.
    Status,
    /// Exit, if nothing is held.
    Stop,
}

/// One request with the number of its answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) id: u64,
    pub(crate) request: Request,
}

/// The number of a call whose request is not understood.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct CallId {
    pub(crate) id: u64,
}

/// What a keeper says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Message {
    /// The answer to the call of this number.
    Answer { id: u64, answer: Answer },
    /// The deadline passed: to every connection.
    Killed(KillRecord),
    /// The server that was held exited by itself: to every connection.
    Exited(ServerExit),
}

/// The answer to a call: how things stand after it, or why nothing changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Done(Status),
    Refused(Refusal),
}

/// The server a keeper holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The epoch it was armed for.
    pub epoch: u64,
    /// Its pid.
    pub pid: i32,
    /// When its process started, in clock ticks since boot.
    pub start_time_ticks: u64,
    /// When it will be killed; never before a majority's deadline is known.
    pub deadline: Option<Boottime>,
}

/// How things stand with a keeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The protocol it speaks.
    pub version: u32,
    /// Its own pid.
    pub keeper_pid: i32,
    /// The boot that its deadlines belong to.
    pub boot_id: BootId,
    /// The newest epoch it was ever armed for, 0 for none. It takes no older one.
    pub newest_epoch: u64,
    /// What it holds now.
    pub holding: Option<Held>,
    /// The latest kill of its life.
    pub killed: Option<KillRecord>,
}

/// An armed server that exited before its deadline, without the keeper's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerExit {
    /// The epoch it was armed for.
    pub epoch: u64,
    /// The pid it had.
    pub pid: i32,
}

/// Why a keeper refused. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// An epoch from the past.
    #[error("epoch {epoch} is over: the keeper has been armed for epoch {newest}")]
    OlderEpoch {
        /// The epoch asked for.
        epoch: u64,
        /// The newest one.
        newest: u64,
    },
    /// The deadline given is over, or the one held is, and the kill under way.
    #[error("the deadline has passed")]
    DeadlinePassed,
    /// No lease is that long.
    #[error("the deadline is more than {max_seconds} s away, longer than any lease")]
    DeadlineTooFar {
        /// The longest way off that is taken.
        max_seconds: u64,
    },
    /// Another server, or none, is held.
    #[error("the keeper does not hold that epoch and pid")]
    NotHeld,
    /// The server held now runs still, and nobody said that it is closed.
    #[error("the server armed before (epoch {epoch}, pid {pid}) still runs: close it and say so first")]
    PreviousStillRuns {
        /// The epoch of the one held.
        epoch: u64,
        /// Its pid.
        pid: i32,
    },
    /// The process is none that can be held: gone, another one, or not to be killed from here.
    #[error("cannot hold the server: {reason}")]
    CannotHold {
        /// What is wrong with it, and the mend.
        reason: String,
    },
    /// This very process was killed already.
    #[error("pid {pid} has been sent SIGKILL")]
    AlreadyKilled {
        /// The pid.
        pid: i32,
    },
    /// A stop was asked for while a server is held.
    #[error("the keeper holds a server")]
    Holding,
    /// The two speak different protocols.
    #[error("the keeper speaks protocol {version}, not this one: it is replaced once it holds nothing")]
    Version {
        /// The keeper's.
        version: u32,
    },
    /// The line was no request, or came before the hello.
    #[error("the keeper did not understand: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
}
