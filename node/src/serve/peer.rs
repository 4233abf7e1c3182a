//! Answers the other nodes.

use std::sync::Arc;
use std::time::Duration;

use baton_proto::peer::peer_server::Peer;
use baton_proto::peer::{
    ActReply, ActRequest, CopyRequest, ExpiredReply, ExpiredRequest, GrantReply, GrantRequest, GreetReply,
    GreetRequest, InviteReply, InviteRequest, ProposeReply, ProposeRequest, RaftReply, RaftRequest,
    ReportReply, ReportRequest, Sender, StillReply, StillRequest,
};
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use crate::consensus::Group;
use crate::decide::giving::Asked;
use crate::decide::seen::Report;
use crate::guard::clock::Boottime;
use crate::guard::{ExpiryAnswer, LeaseAnswer, LeaseRequest, Voter};
use crate::identity::node_of;
use crate::observe::Table;
use crate::operate::action::{Acted, Action, Order};
use crate::operate::net::{leave, wait_expired};
use crate::operate::{Actor, Donor, Pieces};
use crate::route::Leaving;
use crate::serve::Callers;
use crate::state::{Epoch, NodeName, OperationId};

/// No action takes longer; a caller that asks for more is mistaken.
const BOUND_MAX: Duration = Duration::from_secs(600);
/// No voter holds an answer back for longer.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// How long a question about an epoch that this node has not applied yet is held back.
const APPLIES_WITHIN: Duration = Duration::from_millis(300);

/// The peer service of this node.
pub struct PeerService {
    /// Name of the cluster, that of the callers' certificates.
    pub cluster: String,
    /// By what a caller is known.
    pub callers: Callers,
    /// The group.
    pub group: Group,
    /// This node as a voter.
    pub voter: Arc<Voter>,
    /// What the nodes report while this node leads.
    pub table: Arc<Table>,
    /// This node's own server; `None` on a witness.
    pub actor: Option<Arc<Actor>>,
    /// This node's router's sessions.
    pub leaving: Leaving,
    /// Gives copies of that server; `None` where there are no means for it.
    pub donor: Option<Arc<Donor>>,
}

impl PeerService {
    /// The caller's certificate and what it says of itself must agree.
    fn caller<T>(&self, request: &Request<T>, sender: Option<&Sender>) -> Result<NodeName, Status> {
        let name = match self.callers {
            Callers::Certificates => node_of(request, &self.cluster)?,
            #[cfg(any(test, feature = "simulation"))]
            Callers::Anybody => sender.map(|sender| sender.node.clone()).unwrap_or_default(),
        };
        match sender {
            Some(sender) if sender.node == name => Ok(NodeName::from(name)),
            Some(sender) => Err(Status::permission_denied(format!(
                "the certificate is {name}'s, the request says {}: give each node its own certificate",
                sender.node
            ))),
            None => Err(Status::invalid_argument("the request does not say who sends it")),
        }
    }

    /// A member of this very group.
    fn member<T>(&self, request: &Request<T>, sender: Option<&Sender>) -> Result<NodeName, Status> {
        let caller = self.caller(request, sender)?;
        self.group.check_sender(sender)?;
        Ok(caller)
    }

    /// Orders are the leader's alone, and their term says which node that is.
    fn leads_under(&self, caller: &NodeName, term: u64) -> Result<(), Status> {
        match self.group.leader_under(term) {
            Some(leader) if leader == *caller => Ok(()),
            Some(leader) => Err(Status::permission_denied(format!(
                "the order is of {leader}'s term, and {caller} gave it"
            ))),
            None => Err(Status::permission_denied("the order's term is of no member that this node knows")),
        }
    }

    /// A new writer's guard and its replicas ask as soon as they have applied the grant, which may be a moment before
    /// this node has. A refusal would cost them a whole round, and the clients a longer outage.
    async fn has_applied(&self, epoch: Epoch) {
        let mut states = self.group.states();
        drop(timeout(APPLIES_WITHIN, states.wait_for(|applied| applied.state.epoch() >= epoch)).await);
    }
}

#[tonic::async_trait]
impl Peer for PeerService {
    type CopyStream = Pieces;

    async fn copy(&self, request: Request<CopyRequest>) -> Result<Response<Pieces>, Status> {
        let by = self.member(&request, request.get_ref().sender.as_ref())?;
        let donor = self.donor.as_ref().ok_or_else(|| Status::failed_precondition("no server to copy"))?;
        let CopyRequest { operation, attempt, epoch, .. } = request.into_inner();
        let asked = Asked { by, operation: OperationId(operation), attempt, epoch: Epoch(epoch) };
        Ok(Response::new(donor.give(asked).await?))
    }

    async fn raft(&self, request: Request<RaftRequest>) -> Result<Response<RaftReply>, Status> {
        self.caller(&request, request.get_ref().sender.as_ref())?;
        Ok(Response::new(self.group.serve_raft(request.into_inner()).await?))
    }

    async fn greet(&self, request: Request<GreetRequest>) -> Result<Response<GreetReply>, Status> {
        self.caller(&request, request.get_ref().sender.as_ref())?;
        Ok(Response::new(self.group.serve_greet()))
    }

    async fn invite(&self, request: Request<InviteRequest>) -> Result<Response<InviteReply>, Status> {
        self.caller(&request, request.get_ref().sender.as_ref())?;
        Ok(Response::new(self.group.serve_invite(request.into_inner()).await?))
    }

    async fn propose(&self, request: Request<ProposeRequest>) -> Result<Response<ProposeReply>, Status> {
        self.caller(&request, request.get_ref().sender.as_ref())?;
        Ok(Response::new(self.group.serve_propose(request.into_inner()).await?))
    }

    async fn grant(&self, request: Request<GrantRequest>) -> Result<Response<GrantReply>, Status> {
        let caller = self.member(&request, request.get_ref().sender.as_ref())?;
        let request = request.into_inner();
        let lease = LeaseRequest {
            epoch: Epoch(request.epoch),
            membership: request.membership_index,
            length: Duration::from_millis(request.length_ms),
            keeper_armed: request.keeper_armed,
            hand_over: request.hand_over,
            settled: request.settled,
            round: Boottime::from_nanos(request.round_ns),
        };
        self.has_applied(lease.epoch).await;
        Ok(Response::new(match self.voter.grant(&caller, &lease).await {
            LeaseAnswer::Granted => GrantReply { granted: true, ..GrantReply::default() },
            LeaseAnswer::Refused { reason, membership } => GrantReply {
                granted: false,
                reason,
                membership_index: membership.as_ref().map_or(0, |m| m.index),
                membership_json: membership
                    .map_or_else(Vec::new, |m| serde_json::to_vec(&m).unwrap_or_default()),
            },
        }))
    }

    async fn expired(&self, request: Request<ExpiredRequest>) -> Result<Response<ExpiredReply>, Status> {
        self.member(&request, request.get_ref().sender.as_ref())?;
        let request = request.into_inner();
        let wait = Duration::from_millis(request.wait_ms).min(WAIT_MAX);
        Ok(Response::new(match wait_expired(&self.voter, Epoch(request.epoch), wait).await {
            ExpiryAnswer::Expired => ExpiredReply { expired: true, ..ExpiredReply::default() },
            ExpiryAnswer::Left(left) => ExpiredReply {
                expired: false,
                reason: "its latest grant runs".into(),
                left_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1),
            },
            ExpiryAnswer::NotRevoked => ExpiredReply {
                reason: "the revocation is not applied here".into(),
                ..ExpiredReply::default()
            },
        }))
    }

    async fn still(&self, request: Request<StillRequest>) -> Result<Response<StillReply>, Status> {
        self.member(&request, request.get_ref().sender.as_ref())?;
        let epoch = Epoch(request.get_ref().epoch);
        self.has_applied(epoch).await;
        let granting = self.voter.still_grants(epoch);
        Ok(Response::new(StillReply { granting }))
    }

    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportReply>, Status> {
        let caller = self.member(&request, request.get_ref().sender.as_ref())?;
        if !self.group.leadership().borrow().mine {
            return Ok(Response::new(ReportReply { taken: false }));
        }
        let report: Report = serde_json::from_slice(&request.get_ref().json).map_err(malformed)?;
        self.table.take(caller, report);
        Ok(Response::new(ReportReply { taken: true }))
    }

    async fn act(&self, request: Request<ActRequest>) -> Result<Response<ActReply>, Status> {
        let caller = self.member(&request, request.get_ref().sender.as_ref())?;
        self.leads_under(&caller, request.get_ref().term)?;
        let request = request.into_inner();
        let action: Action = serde_json::from_slice(&request.json).map_err(malformed)?;
        let order = Order { term: request.term, epoch: Epoch(request.epoch), operation: request.operation };
        let bound = Duration::from_millis(request.bound_ms).min(BOUND_MAX);
        let acted = match (&self.actor, action) {
            (_, Action::LeaveWriter { sessions_ms }) => {
                leave(&self.leaving, order.epoch, sessions_ms, bound).await
            }
            (Some(actor), action) => actor.act(&order, action, bound).await,
            (None, _) => Acted::Failed("this node is a witness".into()),
        };
        let json = serde_json::to_vec(&acted).map_err(|e| Status::internal(e.to_string()))?;
        Ok(Response::new(ActReply { json }))
    }
}

fn malformed(error: serde_json::Error) -> Status {
    Status::invalid_argument(format!(
        "the message cannot be read: {error}; do both nodes run releases that may run together?"
    ))
}
