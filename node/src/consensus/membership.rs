//! Nodes that come and go while the group runs.

use std::collections::BTreeSet;
use std::time::Duration;

use baton_proto::peer::{GreetReply, GreetRequest, InviteRequest};
use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use tokio::time::Instant;

use super::group::Group;
use super::store::Binding;
use super::types::{Member, Raft, TypeConfig};
use crate::peers::reason;
use crate::state::NodeName;

/// Ids of nodes that join start here; those of a formation are 1, 2, 3….
const FIRST_JOINED: u64 = 100;
/// A learner this close behind the leader may vote.
const CAUGHT_UP: u64 = 8;
/// Bound on one greeting or invitation.
pub(super) const CALL: Duration = Duration::from_secs(2);

/// Why the membership was not changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MembershipError {
    /// Only the leader can.
    #[error("this node does not lead the group; ask the leader")]
    NotLeader,
    /// No such member.
    #[error("the group has no member {0}")]
    Unknown(NodeName),
    /// There is one of that name.
    #[error("the group knows {name} with another store: remove it first (batonctl node remove {name})")]
    OtherStore {
        /// The member.
        name: NodeName,
    },
    /// The node to be added cannot be.
    #[error("{name} cannot be added: {detail}")]
    Unfit {
        /// The node.
        name: NodeName,
        /// Why, and the mend.
        detail: String,
    },
    /// The last voter stays.
    #[error("{0} is the only voter and cannot be removed")]
    LastVoter(NodeName),
    /// Another change is under way.
    #[error("another change of the membership is under way: try again when it has finished")]
    Busy,
    /// A step did not finish. What is done stays done; the same call goes on from there.
    #[error("{step} did not finish: {detail}; give the command again to go on")]
    Unfinished {
        /// Which.
        step: &'static str,
        /// Why.
        detail: String,
    },
}

impl Group {
    /// Adds the node called `name`, whose peer service listens on `address` and whose store is blank: as a
    /// learner first, as a voter once it has caught up. Answers its id. Called on the leader.
    ///
    /// Given again after it was cut off, it goes on where it stopped.
    ///
    /// # Errors
    /// [`MembershipError`], at the latest when `within` has passed.
    pub async fn add_node(
        &self,
        name: &NodeName,
        address: &str,
        within: Duration,
    ) -> Result<u64, MembershipError> {
        let deadline = Instant::now() + within;
        let (raft, binding) = self.leading()?;
        let _changing = self.changing().try_lock().map_err(|_| MembershipError::Busy)?;
        let unfit = |detail: String| MembershipError::Unfit { name: name.clone(), detail };
        let greeting = self.greet(name, address).await.map_err(unfit)?;

        let known = self.membership().by_name(name).map(|(id, member)| (id, member.store_id.clone()));
        let id = match known {
            Some((_, store)) if store != greeting.store_id => {
                return Err(MembershipError::OtherStore { name: name.clone() });
            }
            Some((id, _)) => id,
            None if !greeting.blank => {
                return Err(unfit(
                    "its store belongs to a group already: stop baton-node there, move its state directory away, \
                     and start it again"
                        .into(),
                ));
            }
            None => {
                let member = Member::new(name.clone(), address, &greeting.store_id);
                self.add_learner(&raft, member, deadline).await?
            }
        };
        if self.membership().is_voter(id) {
            return Ok(id);
        }
        self.invite(&binding, name, address, id, &greeting.store_id).await.map_err(unfit)?;
        caught_up(&raft, id, deadline).await?;
        self.change(&raft, "making it a voter", ChangeMembers::AddVoterIds([id].into()), deadline).await?;
        Ok(id)
    }

    /// Removes `name` from the group, by joint consensus if it votes. The node may be dead. Called on the leader,
    /// after the caller has made sure that the node does not hold the grant.
    ///
    /// # Errors
    /// [`MembershipError`], at the latest when `within` has passed.
    pub async fn remove_node(&self, name: &NodeName, within: Duration) -> Result<(), MembershipError> {
        let deadline = Instant::now() + within;
        let (raft, _) = self.leading()?;
        let _changing = self.changing().try_lock().map_err(|_| MembershipError::Busy)?;
        let membership = self.membership();
        let (id, _) = membership.by_name(name).ok_or_else(|| MembershipError::Unknown(name.clone()))?;
        let others: BTreeSet<_> = membership.voters.iter().flatten().filter(|voter| **voter != id).collect();
        if others.is_empty() {
            return Err(MembershipError::LastVoter(name.clone()));
        }
        if membership.is_voter(id) {
            self.change(&raft, "removing the voter", ChangeMembers::RemoveVoters([id].into()), deadline).await
        } else {
            self.change(&raft, "removing the learner", ChangeMembers::RemoveNodes([id].into()), deadline)
                .await
        }
    }

    fn leading(&self) -> Result<(Raft, Binding), MembershipError> {
        let raft = self.raft().filter(Raft::is_leader).ok_or(MembershipError::NotLeader)?;
        Ok((raft, self.binding().ok_or(MembershipError::NotLeader)?))
    }

    /// Draws the id from a committed entry's index: no index is committed twice, so no id is given twice,
    /// whoever leads and whatever has been removed since.
    async fn add_learner(
        &self,
        raft: &Raft,
        member: Member,
        deadline: Instant,
    ) -> Result<u64, MembershipError> {
        let step = "adding it as a learner";
        let unfinished = |detail: String| MembershipError::Unfinished { step, detail };
        let drawn = tokio::time::timeout_at(deadline, raft.write_blank()).await;
        let drawn = drawn.map_err(|_| unfinished("no majority answered in time".into()))?;
        let id = FIRST_JOINED + drawn.map_err(|e| unfinished(e.to_string()))?.log_id.index;
        if u32::try_from(id).is_err() {
            return Err(unfinished("the group has run out of ids: form it anew".into()));
        }
        self.change(raft, step, ChangeMembers::AddNodes([(id, member)].into()), deadline).await?;
        Ok(id)
    }

    async fn change(
        &self,
        raft: &Raft,
        step: &'static str,
        change: ChangeMembers<u64, Member>,
        deadline: Instant,
    ) -> Result<(), MembershipError> {
        let unfinished = |detail: String| MembershipError::Unfinished { step, detail };
        match tokio::time::timeout_at(deadline, raft.change_membership(change, false)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => {
                Err(MembershipError::NotLeader)
            }
            Ok(Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(
                openraft::errors::ChangeMembershipError::InProgress(_),
            )))) => Err(MembershipError::Busy),
            Ok(Err(error)) => Err(unfinished(error.to_string())),
            Err(_) => Err(unfinished("no majority answered in time".into())),
        }
    }

    /// Asks a node who it is, and checks that it is the one meant.
    pub(super) async fn greet(&self, name: &NodeName, address: &str) -> Result<GreetReply, String> {
        let link = self.peers().link(name, address).map_err(|e| e.to_string())?;
        let mut client = link.first;
        let request = GreetRequest { sender: Some(self.sender()) };
        let reply = match tokio::time::timeout(CALL, client.greet(request)).await {
            Ok(Ok(reply)) => reply.into_inner(),
            Ok(Err(status)) => return Err(format!("{address} does not answer: {}", reason(&status))),
            Err(_) => return Err(format!("{address} does not answer within {} s", CALL.as_secs())),
        };
        let who = reply.sender.clone().unwrap_or_default();
        if who.cluster != self.options().cluster {
            return Err(format!("{address} belongs to cluster {:?}: correct its configuration", who.cluster));
        }
        if who.node != name.as_str() {
            return Err(format!("{address} answers as {:?}: correct the address", who.node));
        }
        Ok(reply)
    }

    /// Binds a node's store to this group.
    pub(super) async fn invite(
        &self,
        binding: &Binding,
        name: &NodeName,
        address: &str,
        raft_id: u64,
        store_id: &str,
    ) -> Result<(), String> {
        let link = self.peers().link(name, address).map_err(|e| e.to_string())?;
        let mut client = link.first;
        let request = InviteRequest {
            sender: Some(self.sender()),
            cluster_id: binding.cluster_id.clone(),
            raft_id,
            store_id: store_id.to_owned(),
        };
        match tokio::time::timeout(CALL, client.invite(request)).await {
            Ok(Ok(reply)) => match reply.into_inner() {
                reply if reply.accepted => Ok(()),
                reply => Err(reply.reason),
            },
            Ok(Err(status)) => Err(format!("{address} does not take the invitation: {}", reason(&status))),
            Err(_) => Err(format!("{address} does not answer within {} s", CALL.as_secs())),
        }
    }
}

async fn caught_up(raft: &Raft, id: u64, deadline: Instant) -> Result<(), MembershipError> {
    let lag = |metrics: &openraft::RaftMetrics<TypeConfig>| {
        let matched = (*metrics.replication.as_ref()?.get(&id)?)?;
        Some(metrics.last_log_index?.saturating_sub(matched.index))
    };
    let unfinished =
        |detail: &str| MembershipError::Unfinished { step: "catching up", detail: detail.into() };
    let mut changes = raft.metrics();
    loop {
        if lag(&changes.borrow_and_update()).is_some_and(|behind| behind <= CAUGHT_UP) {
            return Ok(());
        }
        match tokio::time::timeout_at(deadline, changes.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(unfinished("consensus stopped here")),
            Err(_) => return Err(unfinished("the new node was too slow")),
        }
    }
}
