//! What the guard needs of the world, so that the simulation can give it another one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::clock::Boottime;
use super::process::{ProcessError, ServerProcess};
use crate::gtid::GtidSet;
use crate::sql::{Permit, Pulse, SqlError};
use crate::state::{Change, Epoch, NodeName, Outcome};

/// A guard's request for lease time, the same to every voter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRequest {
    /// Under which epoch.
    pub epoch: Epoch,
    /// Index in the log of the newest membership the guard knows.
    pub membership: u64,
    /// For how long.
    pub length: Duration,
    /// The keeper holds this server for this epoch.
    pub keeper_armed: bool,
    /// A planned restart of the daemon: one longer lease.
    pub hand_over: bool,
    /// The guard holds nothing longer than an ordinary lease any more, and its keeper kills at the end of that one: what
    /// a hand-over or a pause was granted may be forgotten.
    pub settled: bool,
    /// The guard's clock before the first sending of this round. Orders the requests of one epoch.
    pub round: Boottime,
}

/// A voter's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// Granted, for the length asked for.
    Granted,
    /// Not granted.
    Refused {
        /// Why.
        reason: String,
        /// The voter's newest membership, where the guard's is older.
        membership: Option<Electorate>,
    },
}

/// Who has a vote: one set, or two while the membership changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Electorate {
    /// Index in the log.
    pub index: u64,
    /// The sets; a majority of each is needed.
    pub sets: Vec<Vec<NodeName>>,
}

impl Electorate {
    /// Every voter once.
    pub fn voters(&self) -> Vec<NodeName> {
        let mut all: Vec<NodeName> = self.sets.iter().flatten().cloned().collect();
        all.sort();
        all.dedup();
        all
    }
}

/// The voters, over the network.
pub trait Voters: Send + Sync {
    /// Asks one voter. `lane` chooses one of two connections: a stall inside one TCP stream is no evidence.
    /// Ends by itself within a second.
    fn ask(
        &self,
        voter: NodeName,
        request: LeaseRequest,
        lane: usize,
    ) -> BoxFuture<'static, Option<LeaseAnswer>>;
}

/// Small facts that outlive the process; durable when `put` returns.
pub trait Notes: Send + Sync {
    /// Reads a fact.
    fn get(&self, key: &'static str) -> BoxFuture<'_, Result<Option<String>, String>>;
    /// Writes one.
    fn put(&self, key: &'static str, value: String) -> BoxFuture<'_, Result<(), String>>;
}

/// One run of a server.
pub trait Running: fmt::Debug + Send + Sync {
    /// Its pid.
    fn pid(&self) -> i32;
    /// When it started, in clock ticks since boot.
    fn start_time_ticks(&self) -> u64;
    /// As [`ServerProcess::can_kill`].
    ///
    /// # Errors
    /// The same.
    fn can_kill(&self) -> Result<(), ProcessError>;
    /// As [`ServerProcess::kill`].
    ///
    /// # Errors
    /// The same.
    fn kill(&self) -> Result<(), ProcessError>;
    /// As [`ServerProcess::has_exited`].
    fn has_exited(&self) -> bool;
    /// As [`ServerProcess::runs_no_more`].
    fn runs_no_more(&self) -> bool;
    /// As [`ServerProcess::exited`].
    fn exited(&self) -> BoxFuture<'_, std::io::Result<()>>;
    /// As [`ServerProcess::exit_completed`].
    fn exit_completed(&self) -> BoxFuture<'_, std::io::Result<()>>;
}

/// The server beside this node, as the guard attaches to it.
pub trait Attach: Send + Sync {
    /// Takes hold of its process.
    ///
    /// # Errors
    /// As [`ServerProcess::find`].
    fn process(&self, pid: i32) -> Result<Arc<dyn Running>, ProcessError> {
        ServerProcess::find(pid).map(|process| Arc::new(process) as Arc<dyn Running>)
    }

    /// Connects to the server's socket and learns whose it is.
    fn attach(&self) -> BoxFuture<'_, Result<Box<dyn Opener>, SqlError>>;
    /// Whether nothing listens where the server did, by socket and by port.
    fn refuses(&self) -> BoxFuture<'_, bool>;
}

/// The one connection that may open the server.
pub trait Opener: Send {
    /// The server's process.
    fn pid(&self) -> i32;
    /// Whether it is of no further use.
    fn is_broken(&self) -> bool;
    /// Makes commits wait for `wait_count` ackers; read back.
    fn make_wait<'a>(
        &'a mut self,
        wait_count: u32,
        permit: &'a Permit,
    ) -> BoxFuture<'a, Result<(), SqlError>>;
    /// Opens; read back.
    fn open<'a>(&'a mut self, permit: &'a Permit) -> BoxFuture<'a, Result<Pulse, SqlError>>;
}

/// A lease as a guard holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Under which epoch.
    pub epoch: Epoch,
    /// Until when, by this host's clock.
    pub until: Boottime,
    /// The length it was granted for; `lease_ttl` may have changed since.
    pub length: Duration,
}

/// The keeper, from the daemon's side.
pub trait KeeperPort: Send + Sync {
    /// Has it hold a server; without a deadline until a majority has granted one.
    fn arm(
        &self,
        epoch: Epoch,
        process: (i32, u64),
        deadline: Option<Boottime>,
    ) -> BoxFuture<'_, Result<(), String>>;
    /// Moves the deadline on.
    fn extend(&self, epoch: Epoch, pid: i32, deadline: Boottime) -> BoxFuture<'_, Result<(), String>>;
    /// A majority has granted a pause: the server stays open without a deadline.
    fn disarm(&self, epoch: Epoch, pid: i32) -> BoxFuture<'_, Result<(), String>>;
    /// The server is closed, read back, its sessions gone.
    fn closed(&self, epoch: Epoch, pid: i32) -> BoxFuture<'_, Result<(), String>>;
    /// What it holds: epoch, pid, start time and deadline.
    fn holding(&self) -> BoxFuture<'_, Result<Option<KeeperHolds>, String>>;
    /// Resolves when it is gone.
    fn died(&self) -> BoxFuture<'_, ()>;
}

/// A server held by the keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeeperHolds {
    /// Under which epoch.
    pub epoch: Epoch,
    /// Its pid and start time in clock ticks.
    pub process: (i32, u64),
    /// When it will be killed; `None` before a majority granted anything.
    pub deadline: Option<Boottime>,
}

/// Proposes changes to the group.
pub trait Propose: Send + Sync {
    /// Bounded.
    ///
    /// # Errors
    /// [`NotCommitted`] says whether it may have been committed all the same.
    fn propose(&self, change: Change) -> BoxFuture<'_, Result<Outcome, NotCommitted>>;
}

/// Why a change is not known to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotCommitted {
    /// In words.
    pub why: String,
    /// It is not in the log and never will be. Otherwise it may have been committed, or be committed later.
    pub never: bool,
}

/// What a guard answers to a request to end an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Fenced {
    /// Closed, read back, sessions gone; it will not open under that epoch again.
    Closed {
        /// In words.
        detail: String,
    },
    /// The process was seen to exit and its port refuses; it will not open under that epoch again.
    Gone {
        /// In words.
        detail: String,
    },
    /// Neither, yet.
    Open {
        /// Why it could not be closed.
        why: String,
    },
}

/// What a guard answers when it is asked to close its server for a switchover, or that one is taken back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Frozen {
    /// Closed, read back, sessions gone; it will not open under that epoch again.
    Closed {
        /// What the server has, read after the last session was gone.
        executed: GtidSet,
        /// In words.
        detail: String,
    },
    /// It is open under its epoch as it was, and nothing is under way that would close it.
    Open {
        /// Why.
        why: String,
    },
    /// Neither is certain.
    Unknown {
        /// Why.
        why: String,
    },
}
