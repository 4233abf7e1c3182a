//! How messages between members look inside `peer.proto`'s JSON bodies.

use std::time::Duration;

use baton_proto::peer::Sender;
use serde::{Deserialize, Serialize};

use super::propose::ProposeError;
use super::receive::Refused;
use super::store::Binding;
use super::types::{SnapshotMeta, Vote};
use crate::state::{ClusterState, Command, NodeName, Outcome};

/// One message of the protocol, addressed to an id and not only to a host: a node that was removed and added
/// again has another id at the same address, and must not answer for the old one.
#[derive(Serialize, Deserialize)]
pub(super) struct Letter<T> {
    pub(super) to: u64,
    pub(super) body: T,
}

/// Kinds of messages, as `RaftRequest.kind` spells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    AppendEntries,
    Vote,
    PreVote,
    FullSnapshot,
    TransferLeader,
}

impl Kind {
    const ALL: [Self; 5] =
        [Self::AppendEntries, Self::Vote, Self::PreVote, Self::FullSnapshot, Self::TransferLeader];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::AppendEntries => "append_entries",
            Self::Vote => "vote",
            Self::PreVote => "pre_vote",
            Self::FullSnapshot => "full_snapshot",
            Self::TransferLeader => "transfer_leader",
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, Refused> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| Refused::Malformed(format!("unknown kind of message {text:?}")))
    }
}

/// A snapshot as it travels.
#[derive(Serialize, Deserialize)]
pub(super) struct SnapshotLetter<S = ClusterState> {
    pub(super) vote: Vote,
    pub(super) meta: SnapshotMeta,
    pub(super) state: S,
}

/// A command on its way to the leader.
#[derive(Serialize, Deserialize)]
pub(super) struct Proposal {
    pub(super) command: Command,
    pub(super) within: Duration,
}

/// The leader's answer to a [`Proposal`].
pub(super) type ProposalAnswer = Result<Outcome, ProposeError>;

/// Who sends: the node, and its place in the group once it has one.
pub(super) fn sender(cluster: &str, node: &NodeName, binding: Option<&Binding>) -> Sender {
    Sender {
        cluster: cluster.to_owned(),
        cluster_id: binding.map(|binding| binding.cluster_id.clone()).unwrap_or_default(),
        generation: binding.map_or(0, |binding| binding.generation),
        node: node.as_str().to_owned(),
        raft_id: binding.map_or(0, |binding| binding.raft_id),
    }
}

pub(super) fn to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, Refused> {
    serde_json::to_vec(value).map_err(|e| Refused::Malformed(e.to_string()))
}

pub(super) fn from_bytes<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(bytes).map_err(|e| Refused::Malformed(e.to_string()))
}
