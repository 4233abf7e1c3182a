//! What a question is answered from, taken at one moment.

use std::collections::BTreeSet;

use crate::consensus::{Leadership, MembershipView};
use crate::decide::diagnose::{Lasting, diagnose};
use crate::decide::diagnosis::Diagnosis;
use crate::decide::finding;
use crate::decide::seen::Observations;
use crate::operate::Followers;
use crate::state::{ClusterState, NodeName, Pause, Phase, UnixMillis};

/// Everything that an answer may rest on.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The cluster's name.
    pub cluster: &'a str,
    /// The node that answers.
    pub me: &'a NodeName,
    /// What was agreed.
    pub state: &'a ClusterState,
    /// What was seen: by all nodes, on the leader; by this one, without a leader.
    pub seen: &'a Observations,
    /// How long some conditions have lasted.
    pub lasting: Lasting,
    /// Who votes.
    pub membership: &'a MembershipView,
    /// Who leads.
    pub leadership: &'a Leadership,
    /// Set when nobody leads.
    pub without_leader: Option<&'a WithoutLeader>,
    /// How servers without a node are; empty unless this node leads.
    pub followers: &'a Followers,
    /// Wall clock, milliseconds since 1970.
    pub now_ms: UnixMillis,
}

/// What is known when nobody leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WithoutLeader {
    /// The nodes that answered this one just now.
    pub answered: BTreeSet<NodeName>,
    /// Why there is no group yet; `None` once there is one.
    pub formation: Option<String>,
}

impl View<'_> {
    /// Whether a node's daemon answers.
    pub fn answers(&self, node: &NodeName) -> bool {
        let here = node == self.me || finding::answers(self.seen, node);
        here || self.without_leader.is_some_and(|w| w.answered.contains(node))
    }

    /// The voters, and how many of them answer.
    pub fn voters(&self) -> (usize, usize) {
        let voters = self.membership.voter_names();
        (voters.len(), voters.iter().filter(|v| self.answers(v)).count())
    }

    /// The leader, unless there is none.
    pub fn leader(&self) -> Option<&NodeName> {
        self.leadership.leader.as_ref().filter(|_| self.without_leader.is_none())
    }

    /// The pause, while it lasts.
    pub fn pause(&self) -> Option<&Pause> {
        self.state.pause.as_ref().filter(|p| self.now_ms < p.until_ms)
    }

    /// The cluster's condition.
    pub fn diagnosis(&self) -> Diagnosis {
        diagnose(self.state, self.seen, self.lasting)
    }

    /// Whether Baton is in charge.
    pub fn is_managed(&self) -> bool {
        self.state.phase == Phase::Managed
    }
}
