//! What needs the leader is passed on to it, once.

use std::time::Duration;

use baton_proto::control::control_client::ControlClient;
use baton_proto::control::{
    AddNodeRequest, AdoptRequest, AlertTestRequest, BackupCancelRequest, BackupDeleteRequest,
    BackupListRequest, BackupNowRequest, BackupPinRequest, BackupPruneRequest, BackupScanRequest,
    BackupVerifyRequest, CheckRequest, ConfigApplyRequest, ConfigShowRequest, FailoverRequest,
    MaintenanceRequest, MuteRequest, PauseRequest, QuarantineListRequest, QuarantineReleaseRequest,
    QuarantineShowRequest, RebuildRequest, RecoveryRequest, RehearseRequest, ReleaseRequest,
    RemoveNodeRequest, RestartRequest, ResumeRequest, RoutingRequest, StatusRequest, SwitchoverRequest,
    WhyRequest,
};
use tokio::time::Instant;

use tonic::{Code, Request, Response, Status};

use super::Control;
use crate::peers::Wire;
use crate::state::NodeName;

/// On a request that a node has passed on.
const FORWARDED: &str = "baton-forwarded";
/// A leader that has not heard of a majority for so long may have been succeeded.
const LEADS_WITHIN: Duration = Duration::from_secs(2);
/// An election takes about this long; a question waits for it.
const ELECTION: Duration = Duration::from_secs(2);
/// Between two looks while there is no leader, if nothing tells of a new one.
const AGAIN: Duration = Duration::from_millis(50);

/// What a node answers that was taken for the leader and is not.
const NOT_THE_LEADER: Code = Code::Aborted;

/// Nothing was done: whoever passed the request on, or `batonctl`, asks again.
pub(super) fn not_the_leader() -> Status {
    Status::new(NOT_THE_LEADER, "no leader: it has just changed; give the command again")
}

/// Who calls.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// A node has passed this on: it is answered here.
    pub(super) forwarded: bool,
    /// As the history names it.
    name: String,
}

impl Caller {
    pub(super) fn client(name: &str) -> Self {
        Self { forwarded: false, name: name.to_owned() }
    }

    /// Only a node's word that it has passed a request on counts.
    pub(super) fn node<Q>(node: &NodeName, request: &Request<Q>) -> Self {
        Self { forwarded: request.metadata().contains_key(FORWARDED), name: format!("node {node}") }
    }
}

/// Where a request is answered.
pub(super) enum Place {
    /// This node leads.
    Here,
    /// That one does.
    There(Leader),
}

/// Another node that is asked: nearly always the leader.
pub(super) struct Leader {
    /// As messages name it.
    title: String,
    control: ControlClient<Wire>,
}

/// A request, and who signs it: the operator as `batonctl` names them, and the certificate that vouches for it.
pub(super) trait Signed: Clone + Send + 'static {
    fn by(&mut self) -> Option<&mut String> {
        None
    }
    /// Whether an answer that did not come leaves open what was done.
    const CHANGES: bool;
    /// The longest an answer takes.
    const WITHIN: Duration;
}

macro_rules! signed {
    (asks $($question:ty),*; changes $($change:ty),*) => {
        $(impl Signed for $question {
            const CHANGES: bool = false;
            const WITHIN: Duration = Duration::from_secs(3);
        })*
        $(impl Signed for $change {
            const CHANGES: bool = true;
            const WITHIN: Duration = Duration::from_secs(50);
            fn by(&mut self) -> Option<&mut String> { Some(&mut self.by) }
        })*
    };
}

signed!(asks BackupListRequest, RecoveryRequest, StatusRequest, WhyRequest, CheckRequest, RoutingRequest, ConfigShowRequest, QuarantineListRequest, QuarantineShowRequest;
    changes BackupNowRequest, BackupVerifyRequest, BackupScanRequest, BackupCancelRequest, BackupPinRequest, BackupDeleteRequest, BackupPruneRequest, MuteRequest, AlertTestRequest, QuarantineReleaseRequest, ConfigApplyRequest, PauseRequest, ResumeRequest, FailoverRequest, SwitchoverRequest, AdoptRequest, ReleaseRequest, RebuildRequest, AddNodeRequest, RemoveNodeRequest, MaintenanceRequest, RestartRequest, RehearseRequest);

fn sign<Q: Signed>(request: &mut Q, caller: &Caller) {
    let Some(by) = request.by().filter(|_| !caller.forwarded) else { return };
    *by = if by.is_empty() { caller.name.clone() } else { format!("{by} ({})", caller.name) };
}

impl Control {
    /// Answers on the leader: `here` if this node leads, else `there` at the one that does.
    pub(super) async fn lead<Q: Signed, A>(
        &self,
        request: Request<Q>,
        caller: Caller,
        here: impl AsyncFnOnce(Q) -> Result<A, Status>,
        there: impl AsyncFn(ControlClient<Wire>, Request<Q>) -> Result<Response<A>, Status>,
    ) -> Result<Response<A>, Status> {
        let mut request = request.into_inner();
        sign(&mut request, &caller);
        let deadline = Instant::now() + ELECTION;
        let mut leadership = self.group.leadership();
        loop {
            leadership.borrow_and_update();
            let leader = match self.place(&caller).await? {
                Place::Here => return here(request).await.map(Response::new),
                Place::There(leader) => leader,
            };
            match self.ask(&leader, request.clone(), &there).await {
                // A node that has just started takes the last leader it knows for the one of now. Nothing was done.
                Err(status) if status.code() == NOT_THE_LEADER && Instant::now() + AGAIN <= deadline => {
                    let _ = tokio::time::timeout(AGAIN, leadership.changed()).await;
                }
                answer => return answer,
            }
        }
    }

    /// Where to answer. Waits for an election that is under way.
    ///
    /// # Errors
    /// Nobody leads; or another node does, and the request has been passed on already.
    pub(super) async fn place(&self, caller: &Caller) -> Result<Place, Status> {
        let deadline = Instant::now() + ELECTION;
        let mut leadership = self.group.leadership();
        loop {
            let now = leadership.borrow_and_update().clone();
            if now.mine && self.group.quorum_seen_within(LEADS_WITHIN) {
                return Ok(Place::Here);
            }
            if caller.forwarded {
                return Err(not_the_leader());
            }
            let other = now.leader.filter(|_| !now.mine);
            if let Some(leader) =
                other.and_then(|name| self.link_to(name.clone(), format!("the leader, {name},")))
            {
                return Ok(Place::There(leader));
            }
            if Instant::now() + AGAIN > deadline {
                return Err(Status::unavailable(
                    "the group has no leader; `batonctl status` shows which nodes answer",
                ));
            }
            // Who leads may be known before a majority has answered it, which nothing tells of.
            let _ = tokio::time::timeout(AGAIN, leadership.changed()).await;
        }
    }

    /// A member, to be asked something that is answered there and nowhere else.
    pub(super) fn node(&self, name: &NodeName) -> Option<Leader> {
        self.link_to(name.clone(), name.to_string())
    }

    fn link_to(&self, name: NodeName, title: String) -> Option<Leader> {
        let membership = self.group.membership();
        let (_, member) = membership.by_name(&name)?;
        let control = self.peers.link(&name, &member.address).ok()?.control;
        Some(Leader { title, control })
    }

    /// Every other member, to be asked what it sees itself.
    pub(super) fn others(&self) -> Vec<Leader> {
        let membership = self.group.membership();
        let names = membership.members.values().map(|m| m.name.clone()).filter(|n| *n != self.me);
        names.filter_map(|name| self.node(&name)).collect()
    }

    /// Passes a request on.
    pub(super) async fn ask<Q: Signed, A>(
        &self,
        leader: &Leader,
        request: Q,
        there: impl AsyncFnOnce(ControlClient<Wire>, Request<Q>) -> Result<Response<A>, Status>,
    ) -> Result<Response<A>, Status> {
        let mut request = Request::new(request);
        request.metadata_mut().insert(FORWARDED, tonic::metadata::MetadataValue::from_static("1"));
        let asked = tokio::time::timeout(Q::WITHIN, there(leader.control.clone(), request)).await;
        match asked {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(status)) => Err(passed_on(&leader.title, status, Q::CHANGES)),
            Err(_) => {
                let what = format!("{} has not answered within {} s", leader.title, Q::WITHIN.as_secs());
                Err(unanswered(what, Q::CHANGES))
            }
        }
    }
}

/// The leader's own word is passed back; a broken connection says whether the request had left.
fn passed_on(title: &str, status: Status, changes: bool) -> Status {
    let mut cause = std::error::Error::source(&status);
    if cause.is_none() {
        return Status::new(status.code(), status.message());
    }
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return Status::unavailable(format!("{title} cannot be reached; nothing was done"));
        }
        cause = error.source();
    }
    unanswered(format!("the connection to {title} broke"), changes)
}

fn unanswered(what: String, changes: bool) -> Status {
    if changes {
        Status::deadline_exceeded(format!("{what}; see `batonctl status` before you give the command again"))
    } else {
        Status::unavailable(what)
    }
}
