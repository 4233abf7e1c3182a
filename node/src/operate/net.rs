//! The leader's hands and the guard's voters, over the peer service. What is for this node itself stays in the process.

use std::sync::Arc;
use std::time::Duration;

use baton_proto::peer::{ActRequest, ExpiredRequest, GrantRequest, StillRequest};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep, timeout};

use super::action::{Acted, Action, Hands, Order};
use super::actor::Actor;
use super::attend::Remote;
use super::power;
use crate::consensus::Group;
use crate::guard::{Electorate, ExpiryAnswer, LeaseAnswer, LeaseRequest, Voter, Voters};
use crate::peers::{Link, Peers};
use crate::route::Leaving;
use crate::sql::CloseOptions;
use crate::state::{Epoch, NodeName};

/// A lease request that takes longer than this has outlived its round.
const LEASE_WITHIN: Duration = Duration::from_millis(1000);
/// What a question may take beyond the bound that it carries.
const ON_THE_WAY: Duration = Duration::from_millis(300);
/// How closely a voter follows the end of its own grants.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Reaches every node.
#[derive(Clone)]
pub struct Net {
    /// This node.
    pub me: NodeName,
    /// The group.
    pub group: Group,
    /// Connections.
    pub peers: Arc<Peers>,
    /// This node as a voter.
    pub voter: Arc<Voter>,
    /// This node's own server; `None` on a witness.
    pub actor: Option<Arc<Actor>>,
    /// This node's router's sessions.
    pub leaving: Leaving,
    /// Servers by address.
    pub remote: Remote,
}

impl Net {
    fn link(&self, node: &NodeName) -> Option<Link> {
        let membership = self.group.membership();
        let (_, member) = membership.by_name(node)?;
        self.peers.link(node, &member.address).ok()
    }
}

/// [`Action::LeaveWriter`] at this node, within `bound`. It changes nothing, so that an older leader may ask as well.
pub async fn leave(leaving: &Leaving, epoch: Epoch, sessions_ms: u64, bound: Duration) -> Acted {
    let within = Duration::from_millis(sessions_ms);
    let leaves = async {
        leaving.led_away(epoch.0).await;
        timeout(within, leaving.left(epoch.0)).await
    };
    match timeout(bound, leaves).await {
        Ok(Ok(())) => Acted::Done,
        Ok(Err(_)) => Acted::Failed(format!("sessions are at it after {sessions_ms} ms")),
        Err(_) => Acted::Failed(format!("its router leads to it after {} ms", bound.as_millis())),
    }
}

/// Waits, at most `wait`, until the voter's grants of `epoch` have run out. It says so itself, after the time has passed.
pub async fn wait_expired(voter: &Voter, epoch: Epoch, wait: Duration) -> ExpiryAnswer {
    let deadline = Instant::now() + wait;
    loop {
        let answer = voter.expired(epoch);
        let left = deadline.saturating_duration_since(Instant::now());
        match &answer {
            ExpiryAnswer::Expired => return answer,
            _ if left.is_zero() => return answer,
            ExpiryAnswer::Left(still) => sleep((*still).clamp(LOOK_EVERY, left.max(LOOK_EVERY))).await,
            ExpiryAnswer::NotRevoked => sleep(LOOK_EVERY).await,
        }
    }
}

impl Voters for Net {
    fn ask(
        &self,
        voter: NodeName,
        request: LeaseRequest,
        lane: usize,
    ) -> BoxFuture<'static, Option<LeaseAnswer>> {
        let this = self.clone();
        async move {
            if voter == this.me {
                return Some(this.voter.grant(&this.me, &request).await);
            }
            let mut client = this.link(&voter)?.lane(lane);
            let message = GrantRequest {
                sender: Some(this.group.sender()),
                epoch: request.epoch.0,
                membership_index: request.membership,
                length_ms: u64::try_from(request.length.as_millis()).ok()?,
                keeper_armed: request.keeper_armed,
                hand_over: request.hand_over,
                settled: request.settled,
                round_ns: request.round.as_nanos(),
            };
            let reply = timeout(LEASE_WITHIN, client.grant(message)).await.ok()?;
            let reply = match reply {
                Ok(reply) => reply.into_inner(),
                Err(status) if status.code() == tonic::Code::FailedPrecondition => {
                    let reason = status.message().to_owned();
                    return Some(LeaseAnswer::Refused { reason, membership: None });
                }
                Err(_) => return None,
            };
            if reply.granted {
                return Some(LeaseAnswer::Granted);
            }
            let membership: Option<Electorate> = serde_json::from_slice(&reply.membership_json).ok();
            Some(LeaseAnswer::Refused { reason: reply.reason, membership })
        }
        .boxed()
    }
}

impl Hands for Net {
    fn act(
        &self,
        node: NodeName,
        order: Order,
        action: Action,
        bound: Duration,
    ) -> BoxFuture<'_, Option<Acted>> {
        async move {
            if node == self.me {
                return match action {
                    Action::LeaveWriter { sessions_ms } => {
                        Some(leave(&self.leaving, order.epoch, sessions_ms, bound).await)
                    }
                    action => Some(self.actor.as_ref()?.act(&order, action, bound).await),
                };
            }
            let mut client = self.link(&node)?.first;
            let message = ActRequest {
                sender: Some(self.group.sender()),
                term: order.term,
                epoch: order.epoch.0,
                operation: order.operation,
                bound_ms: u64::try_from(bound.as_millis()).ok()?,
                json: serde_json::to_vec(&action).ok()?,
            };
            let reply = timeout(bound + ON_THE_WAY, client.act(message)).await.ok()?.ok()?;
            serde_json::from_slice(&reply.into_inner().json).ok()
        }
        .boxed()
    }

    fn expired(&self, voter: NodeName, epoch: Epoch, wait: Duration) -> BoxFuture<'_, Option<ExpiryAnswer>> {
        async move {
            if voter == self.me {
                return Some(wait_expired(&self.voter, epoch, wait).await);
            }
            let mut client = self.link(&voter)?.first;
            let wait_ms = u64::try_from(wait.as_millis()).ok()?;
            let message = ExpiredRequest { sender: Some(self.group.sender()), epoch: epoch.0, wait_ms };
            let reply = timeout(wait + ON_THE_WAY, client.expired(message)).await.ok()?.ok()?.into_inner();
            Some(if reply.expired {
                ExpiryAnswer::Expired
            } else if reply.left_ms > 0 {
                ExpiryAnswer::Left(Duration::from_millis(reply.left_ms))
            } else {
                ExpiryAnswer::NotRevoked
            })
        }
        .boxed()
    }

    fn still_grants(&self, voter: NodeName, epoch: Epoch, lane: usize) -> BoxFuture<'static, Option<bool>> {
        let this = self.clone();
        async move {
            if voter == this.me {
                return Some(this.voter.still_grants(epoch));
            }
            let mut client = this.link(&voter)?.lane(lane);
            let message = StillRequest { sender: Some(this.group.sender()), epoch: epoch.0 };
            let reply = timeout(LEASE_WITHIN, client.still(message)).await.ok()?.ok()?;
            Some(reply.into_inner().granting)
        }
        .boxed()
    }

    fn close_over_sql(&self, node: NodeName, bound: Duration) -> BoxFuture<'_, Result<String, String>> {
        async move {
            let states = self.group.states();
            let address = {
                let applied = states.borrow();
                let (members, left_behind) = (&applied.state.members, &applied.state.left_behind);
                members.get(&node).or_else(|| left_behind.get(&node)).and_then(|m| m.server.clone())
            };
            let server = (self.remote)(&address.ok_or("it has no server")?);
            let options = CloseOptions { deadline: bound, ..CloseOptions::default() };
            let proof = server.close(&options).await.map_err(|e| e.to_string())?;
            let gaps = proof.gaps(|_| false);
            if gaps.is_empty() { Ok("read back, its sessions gone".into()) } else { Err(gaps.join("; ")) }
        }
        .boxed()
    }

    fn power_fence(
        &self,
        command: Vec<String>,
        node: NodeName,
        epoch: Epoch,
        bound: Duration,
    ) -> BoxFuture<'_, Result<String, String>> {
        async move { power::fence(&command, &node, epoch, bound).await }.boxed()
    }
}
