//! When openraft's clock ticks, and who sends a leader's heartbeats.
//!
//! openraft ticks about five times in a heartbeat interval, on every node and also at rest. Each tick wakes its timer
//! and its core, which goes through all it has and publishes it, nearly always to find nothing due. A tick does two
//! things there and no third (0.10.0-alpha.37, `RaftCore::handle_tick` in `core/raft_core.rs`):
//!
//! - Unless this node leads, it looks whether an election is due. That is a comparison with the time of the leader's
//!   last message (`state.vote`, touched in `VoteHandler::update_vote`) and no count of ticks: a clock that stood still
//!   misses none, if it goes again before an election is due. It then ticks on the same grid as ever
//!   (`core/tick.rs`), so that nobody stands for election later than otherwise.
//! - If this node leads, it sends heartbeats that are due. [`Group::keep_time`] has them sent instead, by the same
//!   `RaftCore::send_heartbeat`: it sends none while the leadership is handed over, and pauses them without a
//!   majority as `quorum_loss_probe_interval` says.
//!
//! Nothing else of a leader's needs a tick. Whether its lease holds is computed when that is asked, from the answers
//! to heartbeats and entries. It steps down at an answer with a higher vote, or by a watcher of its own once it is
//! removed. Replication, snapshots and reads that wait go on after each message of the core's loop
//! (`trigger_routine_actions`), which heartbeats and their answers keep turning, and have timers of their own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::group::Group;
use super::leadership::is_alone;
use super::options::Pace;
use super::types::{Raft, TypeConfig};

/// When this node last heard its leader, and whether openraft ticks.
pub(super) struct Ticking {
    heard: Mutex<Option<Instant>>,
    on: AtomicBool,
    /// A leader was heard while openraft ticked.
    back: Notify,
}

impl Default for Ticking {
    /// openraft ticks from its start.
    fn default() -> Self {
        Self { heard: Mutex::default(), on: AtomicBool::new(true), back: Notify::new() }
    }
}

impl Ticking {
    /// Whether openraft ticks now.
    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::SeqCst)
    }

    /// When the latest message came of a leader that this node followed then.
    fn heard(&self) -> Option<Instant> {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hears(&self, came: Instant) {
        {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            // Answers overtake each other.
            *heard = (*heard).max(Some(came));
        }
        if self.is_on() {
            self.back.notify_one();
        }
    }
}

/// What this node is, as far as its clock is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The only voter: it elects itself, without a message of anybody.
    Alone,
    /// Leads others.
    Leads,
    /// Another leads, and this node, voter or learner, follows.
    Follows,
    /// Knows nobody who leads: a candidate, one that voted for it, one that has just begun.
    Seeks,
}

impl Role {
    fn of(metrics: &RaftServerMetrics<TypeConfig>) -> Self {
        if is_alone(metrics.id, &metrics.membership_config) {
            return Self::Alone;
        }
        match metrics.current_leader {
            _ if metrics.state == ServerState::Leader => Self::Leads,
            Some(leader) if leader != metrics.id => Self::Follows,
            _ => Self::Seeks,
        }
    }
}

/// How long a leader may be silent before its follower's clock has to go again.
///
/// An election is due after `election_max` and a drawn time of at least `election_min` without a message; after a
/// message that hands the leadership over, after the drawn time alone. Half of the shortest is left for the clock.
fn patience(pace: Pace) -> Duration {
    (2 * pace.heartbeat).min(pace.election_min / 2)
}

/// Whether openraft has to tick: always, but for a leader, whose heartbeats [`Group::keep_time`] sends, and a follower
/// that has heard its leader within its `patience`.
fn has_to_tick(role: Role, heard: Option<Instant>, now: Instant, patience: Duration) -> bool {
    match role {
        Role::Alone | Role::Seeks => true,
        Role::Leads => false,
        Role::Follows => heard.is_none_or(|at| now.saturating_duration_since(at) >= patience),
    }
}

/// openraft's clock. Whoever stops looking after it leaves it going, however that comes about: this node would never
/// stand for election otherwise.
struct Clock<'a> {
    raft: &'a Raft,
    ticking: &'a Ticking,
}

impl Clock<'_> {
    fn switch(&self, on: bool) {
        if self.ticking.on.swap(on, Ordering::SeqCst) != on {
            self.raft.runtime_config().tick(on);
        }
    }
}

impl Drop for Clock<'_> {
    fn drop(&mut self) {
        self.switch(true);
    }
}

impl Group {
    /// A message of a leader came then, and this node follows that leader.
    pub(super) fn hears_leader(&self, came: Instant) {
        self.0.ticking.hears(came);
    }

    /// Whether such a message came within the last `span`.
    pub(super) fn heard_within(&self, span: Duration) -> bool {
        self.0.ticking.heard().is_some_and(|at| at.elapsed() <= span)
    }

    /// Has openraft tick when it has to, and has it send heartbeats while this node leads others, until openraft stops.
    /// See the module.
    pub(super) async fn keep_time(self, raft: Raft) {
        let (pace, ticking) = (self.options().pace, &self.0.ticking);
        let patience = patience(pace);
        let clock = Clock { raft: &raft, ticking };
        let mut changes = raft.server_metrics();
        let mut beat = Instant::now();
        loop {
            let role = Role::of(&changes.borrow_and_update());
            let (heard, now) = (ticking.heard(), Instant::now());
            let ticks = has_to_tick(role, heard, now, patience);
            clock.switch(ticks);
            let look_again = match (role, heard) {
                (Role::Leads, _) => {
                    if now >= beat {
                        send_heartbeat(&raft, pace.heartbeat).await;
                        // Counted from now: a process that stood still sends one for all that it has missed.
                        beat = now + pace.heartbeat;
                    }
                    beat
                }
                (Role::Follows, Some(at)) if !ticks => at + patience,
                _ => now + patience,
            };
            if role != Role::Leads {
                // The first one goes out as soon as this node leads.
                beat = now;
            }
            tokio::select! {
                biased;
                () = self.stopping().cancelled() => return,
                // openraft has stopped: `follow` tells why.
                changed = changes.changed() => if changed.is_err() { return },
                () = ticking.back.notified() => {}
                () = tokio::time::sleep_until(look_again) => {}
            }
        }
    }
}

async fn send_heartbeat(raft: &Raft, within: Duration) {
    // A core that has stopped is noticed by its watch, and one that is busy is asked again at the next beat.
    let _ = tokio::time::timeout(within, raft.trigger().heartbeat()).await;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use openraft::Membership;

    use super::*;
    use crate::consensus::types::{Member, StoredMembership, Vote};

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn a_clock_stands_still_only_where_nobody_needs_it() {
        let start = Instant::now();
        let now = start + 1000 * MS;
        let cases = [
            (Role::Seeks, None, true),
            (Role::Seeks, Some(0), true),
            (Role::Alone, Some(0), true),
            (Role::Leads, Some(900), false),
            (Role::Follows, None, true),
            (Role::Follows, Some(0), false),
            (Role::Follows, Some(199), false),
            (Role::Follows, Some(200), true),
            (Role::Follows, Some(1000), true),
        ];
        for (role, ago, expected) in cases {
            let heard = ago.map(|ago: u32| now - ago * MS);
            assert_eq!(has_to_tick(role, heard, now, 200 * MS), expected, "{role:?}, heard {ago:?} ms ago");
        }
        // A message that came while the time was read.
        assert!(!has_to_tick(Role::Follows, Some(now + MS), now, 200 * MS));
    }

    #[test]
    fn patience_ends_long_before_an_election_may_be_due() {
        assert_eq!(patience(Pace::default()), 2 * Pace::default().heartbeat);
        // openraft takes this, too.
        let pace = Pace { heartbeat: 100 * MS, election_min: 101 * MS, election_max: 102 * MS };
        assert_eq!(patience(pace), 101 * MS / 2);
    }

    fn metrics(
        voters: &[&[u64]],
        state: ServerState,
        current_leader: Option<u64>,
    ) -> RaftServerMetrics<TypeConfig> {
        let voters: Vec<BTreeSet<u64>> = voters.iter().map(|set| set.iter().copied().collect()).collect();
        let nodes = [1, 2, 3].map(|id| (id, Member::default()));
        let membership = Membership::new_with_defaults(voters, nodes.map(|(id, _)| id));
        let membership = Arc::new(StoredMembership::new(None, membership));
        RaftServerMetrics {
            id: 1,
            vote: Vote::new(1, 1),
            state,
            current_leader,
            membership_config: membership.clone(),
            committed_membership_config: membership,
        }
    }

    #[test]
    fn a_role_is_read_from_who_leads_and_who_votes() {
        use ServerState::{Candidate, Follower, Leader, Learner};

        let three: &[&[u64]] = &[&[1, 2, 3]];
        type Case<'a> = (&'a [&'a [u64]], ServerState, Option<u64>, Role);
        let cases: [Case<'_>; 12] = [
            (three, Follower, None, Role::Seeks),
            (three, Follower, Some(2), Role::Follows),
            (three, Candidate, None, Role::Seeks),
            (three, Candidate, Some(1), Role::Seeks),
            (three, Leader, Some(1), Role::Leads),
            (&[&[2, 3]], Learner, Some(2), Role::Follows),
            (&[&[2, 3]], Learner, None, Role::Seeks),
            // It is being removed, and leads until that is committed.
            (&[&[2, 3]], Leader, Some(1), Role::Leads),
            (&[&[1]], Leader, Some(1), Role::Alone),
            // The leader has removed itself and left this node alone.
            (&[&[1]], Follower, Some(2), Role::Alone),
            (&[&[1, 2], &[1]], Follower, Some(2), Role::Follows),
            (&[], Learner, None, Role::Seeks),
        ];
        for (voters, state, leader, expected) in cases {
            let role = Role::of(&metrics(voters, state, leader));
            assert_eq!(role, expected, "{voters:?}, {state:?}, led by {leader:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_overtake_each_other_do_not_turn_back_what_was_heard() {
        let (ticking, start) = (Ticking::default(), Instant::now());
        assert!(ticking.is_on(), "nobody was heard yet");
        assert_eq!(ticking.heard(), None);
        ticking.hears(start + 2 * MS);
        ticking.hears(start);
        assert_eq!(ticking.heard(), Some(start + 2 * MS));
        let told = tokio::time::timeout(MS, ticking.back.notified()).await;
        assert!(told.is_ok(), "whoever looks after the clock learns that it can stand still");

        ticking.on.store(false, Ordering::SeqCst);
        ticking.hears(start + 3 * MS);
        let told = tokio::time::timeout(MS, ticking.back.notified()).await;
        assert!(told.is_err(), "a clock that stands still is no reason to wake anybody");
    }
}
