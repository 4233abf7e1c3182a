//! Servers without a node, which are declared in the file: watched, and pointed at the writer. Never candidate, never acker,
//! never waited for. Pure.

use std::time::Duration;

use crate::gtid::{Dialect, GtidSet};
use crate::state::{ClusterState, Epoch, Phase};

/// One such server, as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Declared {
    /// What status and metrics call it.
    pub name: String,
    /// `host:port`.
    pub server: String,
}

/// What it said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Accepts client writes.
    pub open: bool,
    /// `host:port` of its source; `None` where it does not replicate.
    pub source: Option<String>,
    /// Both threads run.
    pub runs: bool,
    /// Both threads stand still without an error: somebody stopped them.
    pub stopped_by_hand: bool,
    /// Its own estimate of its lag.
    pub behind: Option<Duration>,
    /// It acknowledges to a source that waits for ackers, or would.
    pub acks: bool,
    /// An error of a thread.
    pub error: Option<String>,
}

/// How it is, for status and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follower {
    /// Which.
    pub declared: Declared,
    /// What it said last; `None` while it does not answer.
    pub said: Option<Said>,
    /// What is wrong with it, with the mend.
    pub trouble: Option<String>,
}

/// What is to be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Leave,
    /// Nothing by Baton: this stands in the way.
    Told(String),
    /// Its semi-sync is to go off: the writer would count it as an acker.
    AckNothing,
    /// It is to replicate from that address, under that epoch.
    Follow(Epoch, String),
}

/// What is to be done with a server that said this.
pub fn next(state: &ClusterState, said: &Said) -> Next {
    let managed = state.phase == Phase::Managed;
    let Some(grant) = state.live_grant().filter(|g| g.opened_ms.is_some() && managed) else {
        return Next::Leave;
    };
    let Some(writer) = state.members.get(&grant.node).and_then(|m| m.server.clone()) else {
        return Next::Leave;
    };
    if said.acks {
        return Next::AckNothing;
    }
    let Some(source) = &said.source else {
        return Next::Told("it does not replicate; attach it once by hand, from then on Baton does".into());
    };
    if said.stopped_by_hand {
        return Next::Told("its replication was stopped by hand; start it, or leave it so".into());
    }
    if *source == writer {
        return match &said.error {
            Some(error) => Next::Told(error.clone()),
            None => Next::Leave,
        };
    }
    if said.open {
        return Next::Told(format!(
            "it still replicates from {source} and is open, so it is not pointed elsewhere; set read_only"
        ));
    }
    // The servers that may become the writer come first.
    if state.operation.is_some() { Next::Leave } else { Next::Follow(grant.epoch, writer) }
}

/// What a server has and the writer lacks, its own writes not counted where they can be told apart: nothing else may be
/// pointed at the writer, because its data are others.
pub fn foreign(received: &GtidSet, own_uuid: Option<&str>, writer: &GtidSet) -> Option<GtidSet> {
    let extra = received.subtract(writer).ok()?;
    let own = own_uuid.filter(|_| extra.dialect() == Dialect::Mysql);
    let own = own.and_then(|uuid| GtidSet::parse_mysql(&format!("{uuid}:1-{}", i64::MAX - 1)).ok());
    match own {
        Some(own) => extra.subtract(&own).ok(),
        None => Some(extra),
    }
}
