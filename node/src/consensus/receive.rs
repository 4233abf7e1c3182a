//! The receiving side of the peer service, for the calls that concern the group.

use std::sync::Arc;

use baton_proto::peer::{
    GreetReply, InviteReply, InviteRequest, ProposeReply, ProposeRequest, RaftReply, RaftRequest, Sender,
};
use openraft::errors::Fatal;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::group::Group;
use super::left_behind::of_newer_generation;
use super::store::Binding;
use super::types::{Snapshot, TypeConfig};
use super::wire::{Kind, Letter, Proposal, SnapshotLetter, from_bytes, to_bytes};

/// Why a call is refused. Nothing was changed by it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    /// The configuration of one of the two names another cluster.
    #[error(
        "this node belongs to cluster {mine:?}, the caller to {theirs:?}: correct the name or the address in one configuration"
    )]
    OtherCluster {
        /// This node's.
        mine: String,
        /// The caller's.
        theirs: String,
    },
    /// Same name, another group.
    #[error(
        "this node's store belongs to group {mine}, the caller's to group {theirs}: one of the two stores comes from another cluster of the same name"
    )]
    OtherGroup {
        /// This node's.
        mine: String,
        /// The caller's.
        theirs: String,
    },
    /// The group was started anew without the caller.
    #[error(
        "the caller is of generation {theirs}, this group is at {mine}: the caller was left behind when the group was recovered; remove it and add it again"
    )]
    OldGeneration {
        /// This node's.
        mine: u64,
        /// The caller's.
        theirs: u64,
    },
    /// The group was started anew without this node.
    #[error(
        "the caller is of generation {theirs}, this node still of {mine}: this node was left behind when the group was recovered; remove it and add it again"
    )]
    NewGeneration {
        /// This node's.
        mine: u64,
        /// The caller's.
        theirs: u64,
    },
    /// This node has no group yet.
    #[error("this node's store is new and belongs to no group yet")]
    Blank,
    /// The message is for another id.
    #[error("this message is for id {theirs}, this node is {mine}: it was removed and added again")]
    OtherId {
        /// This node's.
        mine: u64,
        /// The addressee.
        theirs: u64,
    },
    /// The message cannot be read.
    #[error("the message cannot be read: {0}; do both nodes run releases that may run together?")]
    Malformed(String),
    /// Consensus has stopped on this node.
    #[error("consensus has stopped on this node: {0}")]
    Stopped(String),
}

impl From<Refused> for tonic::Status {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::OldGeneration { mine, .. } => of_newer_generation(refused.to_string(), mine),
            Refused::Malformed(_) => Self::invalid_argument(refused.to_string()),
            Refused::Stopped(_) => Self::unavailable(refused.to_string()),
            _ => Self::failed_precondition(refused.to_string()),
        }
    }
}

impl Group {
    /// Checks that a call comes from this cluster, this group and this generation.
    ///
    /// # Errors
    /// [`Refused`], to be given to the caller as it is.
    pub fn check_sender(&self, sender: Option<&Sender>) -> Result<Binding, Refused> {
        let sender = sender.ok_or_else(|| Refused::Malformed("it does not say who sends it".into()))?;
        self.check_cluster(sender)?;
        let mine = self.binding().ok_or(Refused::Blank)?;
        if sender.cluster_id != mine.cluster_id {
            return Err(Refused::OtherGroup { mine: mine.cluster_id, theirs: sender.cluster_id.clone() });
        }
        let (mine_is, theirs) = (mine.generation, sender.generation);
        match theirs.cmp(&mine_is) {
            std::cmp::Ordering::Less => Err(Refused::OldGeneration { mine: mine_is, theirs }),
            std::cmp::Ordering::Greater => {
                self.is_left_behind(theirs);
                Err(Refused::NewGeneration { mine: mine_is, theirs })
            }
            std::cmp::Ordering::Equal => Ok(mine),
        }
    }

    fn check_cluster(&self, sender: &Sender) -> Result<(), Refused> {
        let mine = &self.options().cluster;
        if sender.cluster == *mine {
            return Ok(());
        }
        Err(Refused::OtherCluster { mine: mine.clone(), theirs: sender.cluster.clone() })
    }

    /// Answers `Peer.Raft`.
    ///
    /// # Errors
    /// [`Refused`] for strangers, for messages to another id, and when consensus has stopped.
    pub async fn serve_raft(&self, request: RaftRequest) -> Result<RaftReply, Refused> {
        // An answer may wait for this node's disk; its leader was heard before that.
        let came = Instant::now();
        self.check_sender(request.sender.as_ref())?;
        let raft = self.raft().ok_or(Refused::Blank)?;
        let stopped = |e: Fatal<TypeConfig>| Refused::Stopped(e.to_string());
        let json = request.json;
        match Kind::parse(&request.kind)? {
            Kind::AppendEntries => {
                let rpc: AppendEntriesRequest<TypeConfig> = self.open_letter(&json)?;
                let answer = raft.append_entries(rpc).await.map_err(|e| Refused::Stopped(e.to_string()))?;
                if !matches!(answer, AppendEntriesResponse::HigherVote(_)) {
                    self.hears_leader(came);
                }
                reply(&answer)
            }
            Kind::Vote => {
                let rpc: VoteRequest<TypeConfig> = self.open_letter(&json)?;
                reply(&raft.vote(rpc).await.map_err(|e| Refused::Stopped(e.to_string()))?)
            }
            Kind::PreVote => {
                let rpc: VoteRequest<TypeConfig> = self.open_letter(&json)?;
                reply(&raft.pre_vote(rpc).await.map_err(|e| Refused::Stopped(e.to_string()))?)
            }
            Kind::FullSnapshot => {
                let SnapshotLetter { vote, meta, state } = self.open_letter(&json)?;
                let snapshot = Snapshot { meta, snapshot: Arc::new(state) };
                let answer = raft.install_full_snapshot(vote, snapshot).await.map_err(stopped)?;
                // A leader of an older term is answered with the vote that stands against it.
                if answer.vote == vote {
                    self.hears_leader(came);
                }
                reply(&answer)
            }
            Kind::TransferLeader => {
                let rpc: TransferLeaderRequest<TypeConfig> = self.open_letter(&json)?;
                reply(&raft.handle_transfer_leader(rpc).await.map_err(stopped)?)
            }
        }
    }

    /// Answers `Peer.Propose`.
    ///
    /// # Errors
    /// [`Refused`] for strangers. What became of the command is in the reply.
    pub async fn serve_propose(&self, request: ProposeRequest) -> Result<ProposeReply, Refused> {
        self.check_sender(request.sender.as_ref())?;
        let Proposal { command, within } = from_bytes(&request.json)?;
        let answer = self.propose_as_leader(command, within).await;
        Ok(ProposeReply { json: to_bytes(&answer)? })
    }

    /// Answers `Peer.Greet`, to anybody whose certificate was accepted: it changes nothing.
    pub fn serve_greet(&self) -> GreetReply {
        GreetReply {
            sender: Some(self.sender()),
            store_id: self.store().store_id().to_owned(),
            blank: self.binding().is_none(),
            config_digest: self.options().config_digest.clone(),
            version: self.options().version.clone(),
        }
    }

    /// Answers `Peer.Invite`: binds a blank store, durably, before it accepts. A store accepts one invitation;
    /// the same one again is accepted again.
    ///
    /// # Errors
    /// [`Refused`] for another cluster's nodes, and when the store fails.
    pub async fn serve_invite(&self, request: InviteRequest) -> Result<InviteReply, Refused> {
        let no = |reason: String| Ok(InviteReply { accepted: false, reason });
        let sender =
            request.sender.ok_or_else(|| Refused::Malformed("it does not say who sends it".into()))?;
        self.check_cluster(&sender)?;
        if request.cluster_id.is_empty() || request.cluster_id != sender.cluster_id || request.raft_id == 0 {
            return Err(Refused::Malformed("an invitation comes from a member and names an id".into()));
        }
        if request.store_id != self.store().store_id() {
            return no(format!(
                "the invitation is for store {}, this node now has store {}: remove the node and add it again",
                request.store_id,
                self.store().store_id()
            ));
        }
        let offered = Binding {
            cluster: sender.cluster,
            cluster_id: request.cluster_id,
            raft_id: request.raft_id,
            generation: sender.generation,
        };
        let bound = self.bind(offered.clone(), None).await.map_err(|e| Refused::Stopped(e.to_string()))?;
        if bound != offered {
            return no(format!(
                "this node's store belongs to group {} already, with id {}",
                bound.cluster_id, bound.raft_id
            ));
        }
        Ok(InviteReply { accepted: true, reason: String::new() })
    }

    fn open_letter<T: DeserializeOwned>(&self, json: &[u8]) -> Result<T, Refused> {
        let letter: Letter<T> = from_bytes(json)?;
        let mine = self.binding().map_or(0, |binding| binding.raft_id);
        if letter.to != mine {
            return Err(Refused::OtherId { mine, theirs: letter.to });
        }
        Ok(letter.body)
    }
}

fn reply<T: Serialize>(answer: &T) -> Result<RaftReply, Refused> {
    Ok(RaftReply { json: to_bytes(answer)? })
}
