//! openraft's messages over the peer service.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use baton_proto::peer::{RaftRequest, Sender};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::Code;

use super::left_behind::{Newer, newer_generation};
use super::store::SnapshotData;
use super::types::{Member, Snapshot, TypeConfig, Vote};
use super::wire::{Kind, Letter, SnapshotLetter, from_bytes, to_bytes};
use crate::peers::{Peers, reason};

type C = TypeConfig;

/// A snapshot is one message, however slow the link.
const SNAPSHOT: Duration = Duration::from_secs(10);
/// Entries are answered for once they are on the follower's disk: a slow one must get to answer at all. openraft
/// itself would give up after one heartbeat and send them again, behind the same disk.
const ENTRIES: Duration = Duration::from_secs(1);
/// After a peer could not be reached, entries are sent to it again after so long; heartbeats never pause.
const RETRY: Duration = Duration::from_millis(100);

/// Makes one [`Line`] per member and purpose.
pub(super) struct Network {
    pub(super) peers: Arc<Peers>,
    pub(super) sender: Sender,
    /// Told of a generation that a member says it is of, when it refuses this node's.
    pub(super) newer: Newer,
}

#[derive(Clone, Copy)]
enum Lane {
    First,
    Second,
}

impl Network {
    fn line(&self, target: u64, member: &Member, lane: Lane) -> Line {
        Line {
            peers: self.peers.clone(),
            sender: self.sender.clone(),
            newer: self.newer.clone(),
            member: member.clone(),
            target,
            lane,
        }
    }
}

impl RaftNetworkFactory<C> for Network {
    type Network = Line;

    async fn new_client(&mut self, target: u64, member: &Member) -> Line {
        self.line(target, member, Lane::First)
    }

    async fn new_heartbeat_client(&mut self, target: u64, member: &Member) -> Line {
        self.line(target, member, Lane::Second)
    }
}

/// Messages to one member.
pub(super) struct Line {
    peers: Arc<Peers>,
    sender: Sender,
    newer: Newer,
    member: Member,
    target: u64,
    lane: Lane,
}

impl Line {
    async fn call<Q: Serialize, A: DeserializeOwned>(
        &self,
        kind: Kind,
        body: Q,
        bound: Duration,
    ) -> Result<A, RPCError<C>> {
        let link = self.peers.link(&self.member.name, &self.member.address);
        let link = link.map_err(|e| Unreachable::new(&e))?;
        let mut client = match self.lane {
            Lane::First => link.first,
            Lane::Second => link.second,
        };
        let json = to_bytes(&Letter { to: self.target, body }).map_err(|e| NetworkError::new(&e))?;
        let request = RaftRequest { sender: Some(self.sender.clone()), kind: kind.as_str().into(), json };
        match tokio::time::timeout(bound, client.raft(request)).await {
            Ok(Ok(reply)) => Ok(from_bytes(&reply.into_inner().json).map_err(|e| NetworkError::new(&e))?),
            Ok(Err(status)) => Err(self.failure(&status)),
            Err(_) => Err(self.timeout(kind, bound)),
        }
    }

    fn failure(&self, status: &tonic::Status) -> RPCError<C> {
        if let Some(generation) = newer_generation(status) {
            (self.newer)(generation);
        }
        let text = format!("{}: {}", self.member.name.as_str(), reason(status));
        match status.code() {
            Code::Unavailable | Code::FailedPrecondition => Unreachable::from_string(text).into(),
            _ => NetworkError::from_string(text).into(),
        }
    }

    fn timeout(&self, kind: Kind, timeout: Duration) -> RPCError<C> {
        let action = match kind {
            Kind::AppendEntries => RPCTypes::AppendEntries,
            Kind::Vote | Kind::PreVote => RPCTypes::Vote,
            Kind::FullSnapshot => RPCTypes::InstallSnapshot,
            Kind::TransferLeader => RPCTypes::TransferLeader,
        };
        Timeout { action, id: self.sender.raft_id, target: self.target, timeout }.into()
    }
}

impl RaftNetworkV2<C> for Line {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<C>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<C>, RPCError<C>> {
        let bound = match self.lane {
            Lane::First => option.hard_ttl().max(ENTRIES),
            Lane::Second => option.hard_ttl(),
        };
        self.call(Kind::AppendEntries, request, bound).await
    }

    async fn vote(
        &mut self,
        request: VoteRequest<C>,
        option: RPCOption,
    ) -> Result<VoteResponse<C>, RPCError<C>> {
        self.call(Kind::Vote, request, option.hard_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<C>,
        option: RPCOption,
    ) -> Result<VoteResponse<C>, RPCError<C>> {
        self.call(Kind::PreVote, request, option.hard_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<C>, StreamingError<C>> {
        let letter = SnapshotLetter { vote, meta: snapshot.meta, state: &*snapshot.snapshot };
        tokio::select! {
            closed = cancel => Err(closed.into()),
            answer = self.call(Kind::FullSnapshot, letter, SNAPSHOT) => Ok(answer?),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<C>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<C>, RPCError<C>> {
        self.call(Kind::TransferLeader, request, option.hard_ttl()).await
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(RETRY)))
    }
}
