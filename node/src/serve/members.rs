//! Nodes that come and go. A node votes before the cluster counts on it, and is no longer counted on before it loses its
//! vote, so that a command that was cut off leaves nothing unsafe; given again, it goes on.

use std::time::Duration;

use baton_proto::control::{AddNodeRequest, Done, RemoveNodeRequest};
use baton_proto::names::name_fault;
use tonic::Status;

use super::Control;
use super::orders::done;
use super::refusal::{by_membership, by_state, refused};
use super::words::list;
use crate::config::HostPort;
use crate::state::{Change, ClusterState, Member, NodeName, Refusal};

/// Longer than an acker that is cut off stays on the list, under the usual lease.
const OFF_THE_LIST: Duration = Duration::from_secs(20);
/// The file's default; `batonctl config apply` changes it.
const USUAL_PRIORITY: i32 = 100;
/// Bound on a change of the membership; a snapshot may have to be sent.
const WITHIN: Duration = Duration::from_secs(30);

impl Control {
    pub(super) async fn add_node(&self, request: AddNodeRequest) -> Result<Done, Status> {
        let (node, member) = wanted(&request)?;
        let state = self.state();
        let membership = self.group.membership();
        let votes = membership.by_name(&node).is_some_and(|(id, _)| membership.is_voter(id));
        if votes && state.members.contains_key(&node) {
            return Err(by_state(Refusal::Member(node)));
        }
        self.group.add_node(&node, &member.peer, WITHIN).await.map_err(by_membership)?;
        let server = member.server.clone();
        self.commit(Change::SetMember { node: node.clone(), member }).await?;
        let details: &[&str] = match server {
            Some(_) => &["it becomes an acker and a candidate once its server replicates and has caught up"],
            None => &["it is a witness: it votes and has no server"],
        };
        Ok(Done {
            message: format!("{node} is a member and votes"),
            details: details.iter().map(|d| (*d).to_owned()).collect(),
        })
    }

    pub(super) async fn remove_node(&self, request: RemoveNodeRequest) -> Result<Done, Status> {
        let node = NodeName::from(request.name.as_str());
        let state = self.state();
        if state.left_behind.contains_key(&node) {
            self.commit(Change::DropMember { node: node.clone() }).await?;
            let details = ["see to it that its server is never started open again"];
            return Ok(done(format!("{node}, which was left behind, is forgotten"), details));
        }
        let votes = self.group.membership().by_name(&node).is_some();
        if !votes && !state.members.contains_key(&node) {
            return Err(by_state(Refusal::NoSuchNode(node)));
        }
        may_leave(&state, &node)?;
        if node == self.me {
            return Err(self.move_leadership_away().await);
        }
        if state.members.contains_key(&node) {
            self.leave_ackers(&node).await?;
            self.commit(Change::DropMember { node: node.clone() }).await?;
        }
        if votes {
            self.group.remove_node(&node, WITHIN).await.map_err(by_membership)?;
        }
        Ok(done(
            format!("{node} is no member any more"),
            ["stop baton-node there; to come back it needs an empty state directory and batonctl node add"],
        ))
    }

    /// An acker may alone have an acknowledged write: it stops receiving and leaves the list before it goes. The leader's
    /// upkeep sees to that once the member is marked.
    async fn leave_ackers(&self, node: &NodeName) -> Result<(), Status> {
        let state = self.state();
        let holds = |state: &ClusterState| state.durability.is_lossless() && state.ackers.contains(node);
        let Some(member) = state.members.get(node).filter(|_| holds(&state)) else { return Ok(()) };
        if state.ackers.len() <= state.safety.wait_count as usize {
            return Err(refused(format!(
                "{node} is needed: every commit waits for {} of the ackers {}; add another replica first, or stop this \
                 one's server and wait until `batonctl status` says degraded",
                state.safety.wait_count,
                list(&state.ackers)
            )));
        }
        let leaving = Member { excluded: true, ..member.clone() };
        self.commit(Change::SetMember { node: node.clone(), member: leaving }).await?;
        let mut states = self.group.states();
        let off = states.wait_for(|applied| !holds(&applied.state));
        if matches!(tokio::time::timeout(OFF_THE_LIST, off).await, Ok(Ok(_))) {
            return Ok(());
        }
        self.commit(Change::SetMember { node: node.clone(), member: member.clone() }).await?;
        Err(refused(format!(
            "{node} is an acker, may alone have an acknowledged write, and has not stopped receiving: stop the server \
             there, or start baton-node if it is not running, then give the command again"
        )))
    }

    /// Whoever removes the leader does it from another one.
    async fn move_leadership_away(&self) -> Status {
        let others = self.group.membership().voter_names();
        for other in others.iter().filter(|n| **n != self.me) {
            if self.group.transfer_leadership(other).await.is_ok() {
                return Status::unavailable(format!(
                    "{} led the group and hands that over now; give the command again",
                    self.me
                ));
            }
        }
        refused(format!("{} leads the group and there is nobody to take over", self.me))
    }
}

/// The holder of the grant stays, and so does the last server.
fn may_leave(state: &ClusterState, node: &NodeName) -> Result<(), Status> {
    if state.grant.as_ref().is_some_and(|g| g.node == *node) {
        return Err(by_state(Refusal::HoldsGrant(node.clone())));
    }
    let mut servers = state.data_nodes().map(|(n, _)| n);
    if servers.next() == Some(node) && servers.next().is_none() {
        return Err(refused(format!("{node} has the last server of the cluster and cannot be removed")));
    }
    Ok(())
}

fn wanted(request: &AddNodeRequest) -> Result<(NodeName, Member), Status> {
    if let Some(fault) = name_fault(&request.name) {
        return Err(Status::invalid_argument(fault));
    }
    let address =
        |text: &str| text.parse::<HostPort>().map(|a| a.to_string()).map_err(Status::invalid_argument);
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    let member = Member {
        peer: address(&request.peer)?,
        server: some(&request.server).map(|s| address(&s)).transpose()?,
        zone: some(&request.zone),
        priority: USUAL_PRIORITY,
        ..Member::default()
    };
    Ok((NodeName::from(request.name.as_str()), member))
}
