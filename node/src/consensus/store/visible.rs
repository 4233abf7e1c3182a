//! What the rest of the daemon sees of the group: the applied state and the newest membership, under one lock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::consensus::types::{Member, StoredMembership};
use crate::mutation::mutate;
use crate::state::{ClusterState, NodeName};

/// The replicated state as this node has applied it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Applied {
    /// The state.
    pub state: Arc<ClusterState>,
    /// Index in the log of the last entry in it; 0 before the first.
    pub index: u64,
}

/// The newest membership in this node's log, whether it has been applied or not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MembershipView {
    /// Index of its entry in the log; 0 for the first one and for none.
    pub index: u64,
    /// The voters' ids: one set, or the old and the new one while it is joint.
    pub voters: Vec<BTreeSet<u64>>,
    /// Everybody, learners included, by id.
    pub members: BTreeMap<u64, Member>,
    /// Index of the last membership that this node has *applied*.
    pub applied_index: u64,
    /// When this node applied that one, on its own clock ([`since_boot`]); its start, for one it started with.
    #[serde(skip)]
    pub applied_at: Duration,
}

impl MembershipView {
    /// Whether `nodes` hold a majority of every voter set. False while there are no voters.
    pub fn is_majority<'a>(&self, nodes: impl IntoIterator<Item = &'a NodeName>) -> bool {
        let nodes: BTreeSet<&NodeName> = nodes.into_iter().collect();
        let has = |id: &u64| self.members.get(id).is_some_and(|member| nodes.contains(&member.name));
        !self.voters.is_empty()
            && self.voters.iter().all(|set| set.iter().filter(|id| has(id)).count() * 2 > set.len())
    }

    /// The voters of all sets, by name.
    pub fn voter_names(&self) -> BTreeSet<NodeName> {
        let ids = self.voters.iter().flatten();
        ids.filter_map(|id| self.members.get(id)).map(|member| member.name.clone()).collect()
    }

    /// Id and member of that name.
    pub fn by_name(&self, name: &NodeName) -> Option<(u64, &Member)> {
        self.members.iter().find(|(_, member)| member.name == *name).map(|(id, member)| (*id, member))
    }

    /// Whether `id` votes in any set.
    pub fn is_voter(&self, id: u64) -> bool {
        self.voters.iter().any(|set| set.contains(&id))
    }

    /// Whether a change is half done.
    pub fn is_joint(&self) -> bool {
        self.voters.len() > 1
    }

    pub(super) fn of(newest: &StoredMembership, applied: &StoredMembership, applied_at: Duration) -> Self {
        Self {
            index: index_of(newest),
            voters: newest.get_joint_config().clone(),
            members: newest.nodes().map(|(id, member)| (*id, member.clone())).collect(),
            applied_index: index_of(applied),
            applied_at,
        }
    }
}

fn index_of(membership: &StoredMembership) -> u64 {
    membership.log_id().as_ref().map_or(0, |id| id.index)
}

/// Time since the host booted, suspended time included (CLOCK_BOOTTIME).
pub fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Reads a clock like [`since_boot`].
pub(crate) type SinceBoot = Arc<dyn Fn() -> Duration + Send + Sync>;

struct Visible {
    applied: Arc<Applied>,
    membership: Arc<MembershipView>,
    /// Newest in the log, behind the last applied entry; `None` if there is none.
    in_log: Option<StoredMembership>,
    in_state: StoredMembership,
    applied_at: Duration,
    /// A snapshot is being installed, or the group has stopped: nothing may be granted on this state.
    withheld: bool,
    /// The group goes on without this node: nothing is granted any more, and nobody here is the writer.
    left_behind: bool,
}

impl Visible {
    fn deny_writer(&mut self) {
        if self.left_behind {
            let (state, index) = (Arc::new(self.applied.state.without_a_writer()), self.applied.index);
            self.applied = Arc::new(Applied { state, index });
        }
    }

    fn renew_membership(&mut self) {
        let newest = match &self.in_log {
            Some(in_log) if in_log.log_id() > self.in_state.log_id() && !mutate!(JudgeAppliedMembership) => {
                in_log
            }
            _ => &self.in_state,
        };
        let view = MembershipView::of(newest, &self.in_state, self.applied_at);
        if *self.membership != view {
            self.membership = Arc::new(view);
        }
    }
}

fn tell<T>(channel: &watch::Sender<Arc<T>>, value: Arc<T>) {
    channel.send_if_modified(|current| {
        let changed = !Arc::ptr_eq(current, &value);
        *current = value;
        changed
    });
}

/// The lock, and the channels that tell of changes.
///
/// The lock is held for a swap of pointers and for the work of [`Shared::with_applied`], never across a wait.
pub(crate) struct Shared {
    visible: Mutex<Visible>,
    states: watch::Sender<Arc<Applied>>,
    memberships: watch::Sender<Arc<MembershipView>>,
    /// Held while the channels are told. Not the lock above: whoever still looks at a channel's value holds up its
    /// sender, and may be waiting for that lock.
    announcing: Mutex<()>,
    since_boot: SinceBoot,
}

impl Shared {
    pub(crate) fn new(since_boot: SinceBoot) -> Self {
        let (applied, membership) = (Arc::new(Applied::default()), Arc::new(MembershipView::default()));
        Self {
            states: watch::Sender::new(applied.clone()),
            memberships: watch::Sender::new(membership.clone()),
            announcing: Mutex::default(),
            visible: Mutex::new(Visible {
                applied,
                membership,
                in_log: None,
                in_state: StoredMembership::default(),
                applied_at: since_boot(),
                withheld: false,
                left_behind: false,
            }),
            since_boot,
        }
    }

    /// Runs `work` on the state as it stands, or answers `None` while nothing may be granted on it.
    ///
    /// Whatever is applied becomes visible wholly before or wholly after `work`.
    pub(crate) fn with_applied<T>(
        &self,
        work: impl FnOnce(&ClusterState, &MembershipView) -> T,
    ) -> Option<T> {
        let visible = self.lock();
        (!visible.withheld && !visible.left_behind).then(|| work(&visible.applied.state, &visible.membership))
    }

    pub(crate) fn states(&self) -> watch::Receiver<Arc<Applied>> {
        self.states.subscribe()
    }

    pub(crate) fn memberships(&self) -> watch::Receiver<Arc<MembershipView>> {
        self.memberships.subscribe()
    }

    pub(crate) fn applied(&self) -> Arc<Applied> {
        self.lock().applied.clone()
    }

    pub(crate) fn membership(&self) -> Arc<MembershipView> {
        self.lock().membership.clone()
    }

    /// Nothing is granted from here until [`Shared::show`].
    pub(crate) fn withhold(&self) {
        self.lock().withheld = true;
    }

    /// Shows what is on disk now. Ends a [`Shared::withhold`].
    pub(super) fn show(&self, applied: Arc<Applied>, in_state: &StoredMembership) {
        let mut visible = self.lock();
        if visible.in_state != *in_state {
            visible.in_state = in_state.clone();
            visible.applied_at = (self.since_boot)();
        }
        visible.applied = applied;
        visible.deny_writer();
        visible.withheld = false;
        visible.renew_membership();
        drop(visible);
        self.announce();
    }

    /// From here on nothing is granted, and whatever is shown names no writer.
    pub(crate) fn leave_behind(&self) {
        let mut visible = self.lock();
        visible.left_behind = true;
        visible.deny_writer();
        drop(visible);
        self.announce();
    }

    /// The newest membership among the entries of the log, set before those entries are answered for.
    pub(super) fn membership_in_log(&self, newest: Option<StoredMembership>) {
        let mut visible = self.lock();
        visible.in_log = newest;
        visible.renew_membership();
        drop(visible);
        self.announce();
    }

    fn announce(&self) {
        let _announcing = self.announcing.lock().unwrap_or_else(PoisonError::into_inner);
        let (applied, membership) = (self.applied(), self.membership());
        tell(&self.states, applied);
        tell(&self.memberships, membership);
    }

    fn lock(&self) -> MutexGuard<'_, Visible> {
        // A panic under the lock leaves no half-made value behind: each field is replaced whole.
        self.visible.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
