//! The replicated state: who holds the write role and since which epoch, which operation is under way and at which
//! step, how durable a commit now is. [`ClusterState::apply`] is the only way to change it and is pure: no clock, no
//! randomness, no I/O. Time enters with the command.

mod alerts;
mod apply;
mod apply_backup;
mod apply_durability;
mod apply_recover;
mod apply_settings;
mod backup;
mod chain;
mod cluster;
mod collector;
mod command;
mod durability;
mod events;
mod grant;
mod hold;
mod maintenance;
mod names;
mod operation;
mod quarantine;
mod rebuild;
mod refusal;
mod retention;
mod scan;
mod schedule;
mod steps;
mod switchover;
#[cfg(test)]
mod tests;
mod untold;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use alerts::{
    AlertChange, Alerts, LINES_MAX, Line, Mute, NOTICES_MAX, Notice, Severity, Story, Subject, Told, Tone,
};
pub use backup::{Backup, BackupKind, BackupTask, BackupWork, Backups, EndedTask, Verified};
pub use chain::BACKUPS_LISTED;
pub use cluster::{
    Cluster, HardFence, Live, Member, OPEN_ENDED, OnClosedByHand, OnLoss, Phase, Placement, RebuildPolicy,
    Safety, WithoutAckers,
};
pub use collector::Collector;
pub use command::{Change, Command, Outcome, Recover};
pub use durability::{DegradeReason, Durability};
pub use events::{EventName, Events};
pub use grant::{Grant, NextGrant};
pub use hold::{Decision, Out, OutReason, Pause};
pub use maintenance::Maintenance;
pub use names::{CommandId, Epoch, NodeName, OperationId, UnixMillis};
pub use operation::{
    Begin, Ending, Finished, Forced, Loss, Operation, OperationKind, Proof, ProofKind, Recovered, Step,
};
pub use quarantine::{Archive, Quarantine};
pub use rebuild::{ATTEMPTS_MAX, AtStep, BeginRebuild, LeavesFor, Rebuild, RebuildStep};
pub use refusal::Refusal;
pub use retention::{Keep, Leaving};
pub use schedule::{BackupPlan, Schedule, Slot, SlotFailed, SlotTry, TRIES_MAX};
pub use steps::StepName;
pub use switchover::{Appointment, Plan, Planned};
pub use untold::Untold;

/// How many finished operations, and how many recorded decisions, are kept.
const KEPT: usize = 100;
/// How many command ids are remembered to recognise a repeat; a proposer gives up long before so many others pass.
const REMEMBERED: usize = 256;

/// Everything the group has agreed on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterState {
    /// Name and id; `None` until the group has formed.
    pub cluster: Option<Cluster>,
    /// Rises with every recovery by hand; messages of an older generation are refused.
    pub generation: u64,
    /// Every node, witnesses too.
    pub members: BTreeMap<NodeName, Member>,
    /// Nodes that a recovery by hand has dropped, until they join again or are removed: should one still run, its server
    /// has to stay closed.
    #[serde(default)]
    pub left_behind: BTreeMap<NodeName, Member>,
    /// No epoch up to this one is granted any more: what a recovery by hand has dropped may have granted them.
    #[serde(default)]
    pub epochs_after: Epoch,
    /// What safety depends on; seeded by the file at formation, changed only by command.
    pub safety: Safety,
    /// Index of the entry that set [`Self::safety`] last.
    #[serde(default)]
    pub safety_index: u64,
    /// The longest `lease_ttl` that was ever in force, in milliseconds: a lease granted under it may outlive its being
    /// shortened.
    #[serde(default)]
    pub longest_lease_ms: u64,
    /// Watching only, or in charge.
    pub phase: Phase,
    /// Who may be the writer now.
    pub grant: Option<Grant>,
    /// No voter that has applied this grants this epoch, or an older one, again.
    pub revoked_through: Epoch,
    /// What an acknowledged write can survive.
    pub durability: Durability,
    /// The replicas whose acknowledgement a commit waits for.
    pub ackers: BTreeSet<NodeName>,
    /// When the run of its server began in which each replica has all that it ever acknowledged, by its own host's clock.
    #[serde(default)]
    pub vouched: BTreeMap<NodeName, UnixMillis>,
    /// Servers unfit to be writer, candidate or acker.
    pub out: BTreeMap<NodeName, Out>,
    /// Which events run at the writer, where they follow it.
    #[serde(default)]
    pub events: Events,
    /// Servers that people work on, until when.
    #[serde(default)]
    pub maintenance: BTreeMap<NodeName, Maintenance>,
    /// Where transactions that one server alone had are kept, oldest first.
    #[serde(default)]
    pub archives: VecDeque<Archive>,
    /// The one operation that moves the writer, while it lasts.
    pub operation: Option<Operation>,
    /// A switchover at a later time.
    #[serde(default)]
    pub appointment: Option<Appointment>,
    /// The one rebuild, while it lasts; it never holds up [`Self::operation`].
    #[serde(default)]
    pub rebuild: Option<Rebuild>,
    /// Backups: the one task under way, and what was made.
    #[serde(default)]
    pub backups: Backups,
    /// Whose server is read for the archive of the binlog.
    #[serde(default)]
    pub collector: Option<Collector>,
    /// While it lasts nothing is promoted automatically.
    pub pause: Option<Pause>,
    /// Finished operations, newest last.
    pub history: VecDeque<Arc<Finished>>,
    /// Automatic actions and refusals with their reasons, newest last.
    pub decisions: VecDeque<Arc<Decision>>,
    /// What people are told.
    #[serde(default)]
    pub alerts: Arc<Alerts>,
    /// Ids and outcomes of the latest commands.
    remembered: VecDeque<Arc<(CommandId, Outcome)>>,
}

impl ClusterState {
    /// Applies one committed command found at `index` of the log. The same command applied again, by a proposer that
    /// got no answer the first time, changes nothing and gives the first outcome.
    pub fn apply(&mut self, index: u64, command: &Command) -> Outcome {
        if let Some(before) = self.remembered.iter().find(|before| before.0 == command.id) {
            return before.1.clone();
        }
        let outcome = match apply::change(self, index, command) {
            Ok(()) => Outcome::Applied,
            Err(refusal) => Outcome::Refused(refusal),
        };
        self.remembered.push_back(Arc::new((command.id.clone(), outcome.clone())));
        trim(&mut self.remembered, REMEMBERED);
        outcome
    }

    /// The epoch that is granted next.
    pub fn next_epoch(&self) -> Epoch {
        self.epoch().max(self.revoked_through).max(self.epochs_after).next()
    }

    /// The current epoch; 0 before the first grant.
    pub fn epoch(&self) -> Epoch {
        self.grant.as_ref().map_or(Epoch(0), |g| g.epoch)
    }

    /// Whether `epoch` may never be granted lease time again.
    pub fn is_revoked(&self, epoch: Epoch) -> bool {
        epoch <= self.revoked_through
    }

    /// The grant, unless it is being revoked.
    pub fn live_grant(&self) -> Option<&Grant> {
        self.grant.as_ref().filter(|g| !self.is_revoked(g.epoch))
    }

    /// Whether `node` is the writer's node now and nothing revokes it.
    pub fn is_writer(&self, node: &NodeName) -> bool {
        self.live_grant().is_some_and(|g| g.node == *node)
    }

    /// The longest lease that anybody may hold, or a node that has not heard of a change yet may count by.
    pub fn longest_lease(&self) -> Duration {
        Duration::from_millis(self.longest_lease_ms.max(self.safety.lease_ttl_ms))
    }

    /// Nodes that stand beside a server.
    pub fn data_nodes(&self) -> impl Iterator<Item = (&NodeName, &Member)> {
        self.members.iter().filter(|(_, m)| m.server.is_some())
    }

    /// Whose servers are looked at: those of the members, and those that have to stay closed.
    pub fn probed(&self) -> impl Iterator<Item = (&NodeName, &Member)> {
        self.members.iter().chain(&self.left_behind).filter(|(_, m)| m.server.is_some())
    }

    /// The state as a node goes by that the group has left behind: nobody is the writer, and nothing is under way.
    pub fn without_a_writer(&self) -> Self {
        let revoked_through = self.revoked_through.max(self.epoch());
        Self { revoked_through, operation: None, ..self.clone() }
    }

    /// Keeps a decision for `batonctl why`. A decision equal to the latest one is not written again.
    fn note(&mut self, at_ms: UnixMillis, what: &str, why: String) {
        if self.decisions.back().is_some_and(|d| d.what == what && d.why == why) {
            return;
        }
        self.decisions.push_back(Arc::new(Decision { at_ms, what: what.to_owned(), why }));
        trim(&mut self.decisions, KEPT);
    }
}

fn trim<T>(queue: &mut VecDeque<T>, limit: usize) {
    while queue.len() > limit {
        queue.pop_front();
    }
}
