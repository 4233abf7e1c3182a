//! Who leads, and for how long that is certain.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::{ChangeMembers, Instant as _, RaftMetrics, ReadPolicy, ServerState};

use super::group::Group;
use super::types::{Raft, TypeConfig};
use crate::state::NodeName;

/// Bound on finishing a membership change that was left half done; it is tried again.
const FINISH: Duration = Duration::from_secs(5);

/// Who leads the group, as far as this node knows: a leader that was cut off learns of its successor late.
/// Before anything that only the leader may do, ask [`Group::confirm_leadership`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader that this node follows or is. A follower names its last leader until another is elected.
    pub leader: Option<NodeName>,
    /// Number of this leadership: see [`leader_term`].
    pub term: u64,
    /// Whether this node leads, and has heard from a majority within the longest election timeout. A leader that
    /// is cut off takes no commands any more after that, and this turns false.
    pub mine: bool,
}

/// This node does not lead, or cannot show that it does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this node does not lead the group: {detail}")]
pub struct NotLeader {
    /// Why that is not certain.
    pub detail: String,
}

/// A number that only rises from one leadership to the next and names one leader: the protocol's term and the
/// leader's id in it. The term alone does not: two nodes can lead in one term, the one with the higher id last.
pub(super) fn leader_term(term: u64, raft_id: u64) -> u64 {
    (term << 32) | leader_id(raft_id)
}

fn leader_id(number: u64) -> u64 {
    number & u64::from(u32::MAX)
}

impl Leadership {
    fn of(metrics: &RaftMetrics<TypeConfig>, loyalty: Duration) -> Self {
        let Some(id) = metrics.current_leader else {
            return Self { term: leader_term(metrics.current_term, 0), ..Self::default() };
        };
        Self {
            leader: metrics.membership_config.get_node(&id).map(|member| member.name.clone()),
            term: leader_term(metrics.current_term, id),
            mine: id == metrics.id && quorum_seen(metrics).is_some_and(|ago| ago <= loyalty),
        }
    }
}

impl Group {
    /// Asks a majority whether this node still leads, and answers the number of its leadership. The state that
    /// this node has applied is then at least as new as when it was asked.
    ///
    /// # Errors
    /// [`NotLeader`] when it does not, or when no majority answered `within` the time.
    pub async fn confirm_leadership(&self, within: Duration) -> Result<u64, NotLeader> {
        let not = |detail: String| NotLeader { detail };
        let raft = self.raft().ok_or_else(|| not("it belongs to no group yet".into()))?;
        let before = self.leadership_in(&raft.metrics().borrow_watched());
        if !before.mine {
            return Err(not("another node does".into()));
        }
        let asked = raft.ensure_linearizable(ReadPolicy::ReadIndex);
        match tokio::time::timeout(within, asked).await {
            Ok(Ok(_)) => {}
            Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(_)))) => {
                return Err(not("another node does".into()));
            }
            Ok(Err(error)) => return Err(not(error.to_string())),
            Err(_) => return Err(not(format!("no majority answered within {} ms", within.as_millis()))),
        }
        let after = self.leadership_in(&raft.metrics().borrow_watched());
        if after != before {
            return Err(not("leadership changed while a majority was asked".into()));
        }
        Ok(after.term)
    }

    /// Hands the leadership to `node`, a voter that is up to date. Returns at once; watch
    /// [`Group::leadership`] to see it happen.
    ///
    /// # Errors
    /// [`NotLeader`] when this node does not lead, or `node` is no voter.
    pub async fn transfer_leadership(&self, node: &NodeName) -> Result<(), NotLeader> {
        let not = |detail: String| NotLeader { detail };
        let raft = self.raft().ok_or_else(|| not("it belongs to no group yet".into()))?;
        let membership = self.membership();
        let target = membership.by_name(node).map(|(id, _)| id).filter(|id| membership.is_voter(*id));
        let target = target.ok_or_else(|| not(format!("{node}, which should take over, does not vote")))?;
        if !raft.is_leader() {
            return Err(not("another node does".into()));
        }
        raft.trigger().transfer_leader(target).await.map_err(|e| not(e.to_string()))
    }

    /// The member that leads under the number of a leadership, see [`Leadership::term`]; `None` for somebody whom this
    /// node does not know as a member.
    pub fn leader_under(&self, term: u64) -> Option<NodeName> {
        let membership = self.membership();
        let mut members = membership.members.iter();
        members.find(|(id, _)| leader_id(**id) == leader_id(term)).map(|(_, member)| member.name.clone())
    }

    /// Who leads, without a leader of whom nothing was heard within the longest election timeout: a follower that is
    /// cut off otherwise names the last one it followed.
    pub fn leadership_heard_of(&self) -> Leadership {
        let known = self.leadership().borrow().clone();
        let heard = self.heard_within(self.options().pace.election_max);
        Leadership { leader: known.leader.filter(|_| known.mine || heard), ..known }
    }

    /// How long ago a majority of the voters was last known to follow this node; `None` unless it leads.
    pub fn quorum_seen(&self) -> Option<Duration> {
        let metrics = self.raft()?.metrics();
        let metrics = metrics.borrow_watched();
        quorum_seen(&metrics)
    }

    /// Whether a majority of the voters was known to follow this node within the last `span`.
    pub fn quorum_seen_within(&self, span: Duration) -> bool {
        self.quorum_seen().is_some_and(|ago| ago <= span)
    }

    fn leadership_in(&self, metrics: &RaftMetrics<TypeConfig>) -> Leadership {
        Leadership::of(metrics, self.options().pace.election_max)
    }

    /// Follows openraft until it stops: tells who leads, keeps connections to members only, finishes a
    /// membership change that a leader left half done, and withdraws the state when openraft has stopped.
    pub(super) async fn follow(self, raft: Raft) {
        let mut changes = raft.metrics();
        loop {
            let metrics = changes.borrow_and_update().clone();
            if let Err(fatal) = &metrics.running_state {
                self.stop_because(fatal.to_string());
                return;
            }
            self.tell_leadership(self.leadership_in(&metrics));
            self.keep_links(&metrics);
            if half_done(&metrics) {
                self.finish_change(&raft);
            }
            let stopping = self.stopping();
            tokio::select! {
                () = stopping.cancelled() => return,
                // A leader that hears nothing any more gets no news of that either: looks by itself, too.
                changed = tokio::time::timeout(self.options().pace.heartbeat, changes.changed()) => {
                    if let Ok(Err(_)) = changed {
                        self.stop_because("the consensus task ended".into());
                        return;
                    }
                }
            }
        }
    }

    fn finish_change(&self, raft: &Raft) {
        // Whoever makes a change here finishes it; only one that was inherited or given up is left over.
        let Ok(changing) = self.changing().clone().try_lock_owned() else { return };
        let raft = raft.clone();
        tokio::spawn(async move {
            let _changing = changing;
            let nothing_more = ChangeMembers::AddVoterIds(BTreeSet::new());
            // Failure means that leadership is gone or the quorum is: tried again at the next change of metrics.
            let _ = tokio::time::timeout(FINISH, raft.change_membership(nothing_more, false)).await;
        });
    }
}

fn quorum_seen(metrics: &RaftMetrics<TypeConfig>) -> Option<Duration> {
    if metrics.state != ServerState::Leader {
        return None;
    }
    // openraft takes the time of the others' answers. The only voter gets none and is a majority at all times.
    let alone = BTreeSet::from([metrics.id]);
    if metrics.membership_config.get_joint_config().iter().all(|voters| *voters == alone) {
        return Some(Duration::ZERO);
    }
    Some(metrics.last_quorum_acked.as_ref()?.elapsed())
}

fn half_done(metrics: &RaftMetrics<TypeConfig>) -> bool {
    metrics.state == ServerState::Leader
        && metrics.membership_config.get_joint_config().len() > 1
        && metrics.membership_config.log_id() == metrics.committed_membership_config.log_id()
}
