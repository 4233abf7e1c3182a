//! Who leads, and for how long that is certain.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::metrics::RaftServerMetrics;
use openraft::{ChangeMembers, Instant as _, RaftMetrics, ReadPolicy, ServerState};

use super::group::Group;
use super::options::Pace;
use super::types::{Raft, StoredMembership, TypeConfig};
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
    ///
    /// openraft publishes all it knows after every message, many times a second also at rest, and apart from that what
    /// changes with a leader, a vote or a membership. All is waited for only while this node leads and cannot show it:
    /// the next answer of another may be what was missing.
    pub(super) async fn follow(self, raft: Raft) {
        let (mut all, mut rarely) = (raft.metrics(), raft.server_metrics());
        loop {
            let metrics = all.borrow_and_update().clone();
            let whole = is_whole(&metrics, &rarely.borrow_and_update());
            if let Err(fatal) = &metrics.running_state {
                self.stop_because(fatal.to_string());
                return;
            }
            let leadership = self.leadership_in(&metrics);
            let doubtful = metrics.state == ServerState::Leader && !leadership.mine;
            self.tell_leadership(leadership);
            self.keep_links(&metrics);
            if half_done(&metrics) {
                self.finish_change(&raft);
            }
            let changed =
                async { if whole && !doubtful { rarely.changed().await } else { all.changed().await } };
            let look_again = look_again(&metrics, doubtful, self.options().pace);
            let stopping = self.stopping();
            tokio::select! {
                () = stopping.cancelled() => return,
                changed = tokio::time::timeout(look_again, changed) => {
                    if let Ok(Err(_)) = changed {
                        // What it says last, it says to those who wait for all.
                        let why = all.borrow_watched().running_state.clone();
                        self.stop_because(why.err().map_or("the consensus task ended".into(), |e| e.to_string()));
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
        crate::task::spawn(async move {
            let _changing = changing;
            let nothing_more = ChangeMembers::AddVoterIds(BTreeSet::new());
            // Failure means that leadership is gone or the quorum is: tried again at the next look.
            let _ = tokio::time::timeout(FINISH, raft.change_membership(nothing_more, false)).await;
        });
    }
}

fn quorum_seen(metrics: &RaftMetrics<TypeConfig>) -> Option<Duration> {
    if metrics.state != ServerState::Leader {
        return None;
    }
    // openraft takes the time of the others' answers. The only voter gets none and is a majority at all times.
    if is_alone(metrics.id, &metrics.membership_config) {
        return Some(Duration::ZERO);
    }
    Some(metrics.last_quorum_acked.as_ref()?.elapsed())
}

/// Whether the node of that id is the only voter.
pub(super) fn is_alone(raft_id: u64, membership: &StoredMembership) -> bool {
    let alone = BTreeSet::from([raft_id]);
    let sets = membership.get_joint_config();
    !sets.is_empty() && sets.iter().all(|voters| *voters == alone)
}

/// Whether `all` has what `rarely` has: openraft publishes `all` last.
fn is_whole(all: &RaftMetrics<TypeConfig>, rarely: &RaftServerMetrics<TypeConfig>) -> bool {
    all.vote == rarely.vote
        && all.state == rarely.state
        && all.current_leader == rarely.current_leader
        && all.membership_config == rarely.membership_config
        && all.committed_membership_config == rarely.committed_membership_config
}

/// When to look again if nothing is told: a leader that hears nothing any more gets no news of that either.
fn look_again(metrics: &RaftMetrics<TypeConfig>, doubtful: bool, pace: Pace) -> Duration {
    if doubtful || half_done(metrics) {
        return pace.heartbeat;
    }
    // At the end of a leader's time; later answers, of which nobody was told, will have moved it on.
    let since = quorum_seen(metrics).unwrap_or_default();
    pace.election_max.saturating_sub(since) + Duration::from_millis(1)
}

fn half_done(metrics: &RaftMetrics<TypeConfig>) -> bool {
    metrics.state == ServerState::Leader
        && metrics.membership_config.get_joint_config().len() > 1
        && metrics.membership_config.log_id() == metrics.committed_membership_config.log_id()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use openraft::Membership;
    use openraft::alias::InstantOf;
    use openraft::metrics::SerdeInstant;

    use super::*;
    use crate::consensus::types::{Member, Vote};

    fn leading(voters: &[&[u64]], acked: Option<Duration>) -> RaftMetrics<TypeConfig> {
        let voters: Vec<BTreeSet<u64>> = voters.iter().map(|set| set.iter().copied().collect()).collect();
        let membership: Membership<u64, Member> = Membership::new_with_defaults(voters, []);
        let now = <InstantOf<TypeConfig> as openraft::Instant>::now();
        RaftMetrics {
            state: ServerState::Leader,
            current_leader: Some(1),
            membership_config: Arc::new(StoredMembership::new(None, membership)),
            last_quorum_acked: acked.map(|ago| SerdeInstant::new(now - ago)),
            ..RaftMetrics::new_initial(1)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_looks_again_when_its_time_ends() {
        tokio::time::advance(Duration::from_secs(10)).await;
        let (pace, ms) = (Pace::default(), Duration::from_millis);
        let look = |metrics: &RaftMetrics<TypeConfig>, doubtful| look_again(metrics, doubtful, pace);
        let three: &[&[u64]] = &[&[1, 2, 3]];
        let whole = pace.election_max + ms(1);
        assert_eq!(look(&leading(three, Some(ms(100))), false), whole - ms(100));
        assert_eq!(look(&leading(three, Some(ms(5000))), true), pace.heartbeat);
        assert_eq!(look(&leading(&[&[1]], None), false), whole, "the only voter's time does not end");
        assert_eq!(look(&leading(&[&[1, 2], &[1, 2, 3]], Some(ms(100))), false), pace.heartbeat, "half done");
        let follows = RaftMetrics { state: ServerState::Follower, ..leading(three, None) };
        assert_eq!(look(&follows, false), whole);
    }

    #[test]
    fn what_openraft_publishes_last_is_waited_for() {
        let all = leading(&[&[1, 2, 3]], None);
        let rarely = RaftServerMetrics {
            id: 1,
            vote: all.vote,
            state: all.state,
            current_leader: all.current_leader,
            membership_config: all.membership_config.clone(),
            committed_membership_config: all.committed_membership_config.clone(),
        };
        assert!(is_whole(&all, &rarely));
        let other = leading(&[&[1, 2]], None).membership_config;
        let newer = [
            RaftServerMetrics { vote: Vote::new(2, 2), ..rarely.clone() },
            RaftServerMetrics { state: ServerState::Follower, ..rarely.clone() },
            RaftServerMetrics { current_leader: None, ..rarely.clone() },
            RaftServerMetrics { membership_config: other.clone(), ..rarely.clone() },
            RaftServerMetrics { committed_membership_config: other, ..rarely },
        ];
        for newer in newer {
            assert!(!is_whole(&all, &newer), "{newer}");
        }
    }
}
