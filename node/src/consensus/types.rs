//! openraft's types for this group, under names of our own.

use serde::{Deserialize, Serialize};

use crate::state::{Command, NodeName, Outcome};

/// A member of the group, as its membership entries name it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Member {
    /// The node's name in the configuration.
    pub name: NodeName,
    /// Where its peer service listens, `host:port`.
    pub address: String,
    /// The store that was invited under this id: a node that comes back with another one is another member.
    pub store_id: String,
}

impl Member {
    /// A member with its name, `host:port` and the id of its store.
    pub fn new(name: NodeName, address: impl Into<String>, store_id: impl Into<String>) -> Self {
        Self { name, address: address.into(), store_id: store_id.into() }
    }
}

/// A [`Command`] as a log entry. openraft prints entries in its own log lines.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Logged(pub(crate) Command);

impl std::fmt::Display for Logged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// What applying an entry answers; entries of the protocol itself have no outcome.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Reply(pub(crate) Option<Outcome>);

#[cfg(feature = "simulation")]
use super::runtime::Runtime;
#[cfg(not(feature = "simulation"))]
use openraft::impls::TokioRuntime as Runtime;

openraft::declare_raft_types!(
    /// The default leader id, `(term, node)`, and not one leader per term: with the latter two candidates
    /// that keep colliding were seen to elect nobody for minutes.
    pub(crate) TypeConfig:
        D = Logged,
        R = Reply,
        Node = Member,
        AsyncRuntime = Runtime,
);

pub(crate) type Entry = openraft::alias::EntryOf<TypeConfig>;
pub(crate) type LogId = openraft::alias::LogIdOf<TypeConfig>;
pub(crate) type Vote = openraft::alias::VoteOf<TypeConfig>;
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
pub(crate) type Snapshot = openraft::alias::SnapshotOf<TypeConfig, super::store::SnapshotData>;
pub(crate) type Raft = openraft::Raft<TypeConfig, super::store::Machine>;
