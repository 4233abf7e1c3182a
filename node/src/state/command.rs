//! The commands that change the replicated state.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    AlertChange, Appointment, Archive, AtStep, Backup, BackupPlan, BackupTask, Begin, BeginRebuild, Cluster,
    CommandId, DegradeReason, Ending, Epoch, Events, Forced, Live, Member, NextGrant, NodeName, OperationId,
    OutReason, Placement, Plan, Refusal, Safety, Step, UnixMillis,
};
use crate::gtid::GtidSet;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Drawn by the proposer; a repeat carries the same.
    pub id: CommandId,
    /// Which node proposed it.
    pub by: NodeName,
    /// The proposer's wall clock.
    pub at_ms: UnixMillis,
    /// What to change.
    pub change: Change,
}

/// What a command changes. Each is conditional on the epoch or operation that it names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// The group has formed.
    Form {
        /// Who we are.
        cluster: Cluster,
        /// All nodes.
        members: BTreeMap<NodeName, Member>,
        /// Seeds from the configuration.
        safety: Safety,
    },
    /// The leader's file gives other values.
    Live(Live),
    /// An operator applied a file. All of it counts, or nothing.
    Configure {
        /// Index of the entry whose settings the operator saw: a later one makes this one void.
        seen: u64,
        /// From now on; what it says of [`Safety::live`] counts for nothing.
        safety: Safety,
        /// Of members; the others stay as they are.
        placements: BTreeMap<NodeName, Placement>,
        /// Who.
        by: String,
        /// What changes, as the history names it.
        what: String,
    },
    /// The group is started anew by hand, without the majority that it has lost. Never proposed: `baton-node recover`
    /// applies it to a store that no daemon has open.
    Recover(Recover),
    /// A node joined or changed its addresses.
    SetMember {
        /// Which.
        node: NodeName,
        /// Its facts.
        member: Member,
    },
    /// A node left.
    DropMember {
        /// Which.
        node: NodeName,
    },
    /// Epoch 1 (or the next after a release) goes to the server that is open now.
    Adopt {
        /// The operation's name.
        operation: OperationId,
        /// Whose server is open.
        node: NodeName,
        /// Who asked.
        by: String,
    },
    /// The cluster goes back to its people: guards stop guarding, servers stay as they are.
    Release {
        /// The operation's name.
        operation: OperationId,
        /// Who and why.
        word: Forced,
    },
    /// An adopted writer's guard holds a majority's lease, keeper armed.
    Leased {
        /// Under which epoch.
        epoch: Epoch,
    },
    /// A guard opened its server and read it back.
    Opened {
        /// Under which epoch.
        epoch: Epoch,
    },
    /// Begins a failover and revokes the epoch it names. With an operator's word it also takes over a failover of that
    /// epoch which has not granted the next one yet.
    Begin(Begin),
    /// Begins a switchover. The epoch that it is to end goes on until [`Change::Revoke`].
    Plan(Plan),
    /// A switchover at a later time.
    Appoint(Appointment),
    /// Begins the appointed switchover, like [`Change::Plan`]; refused once it was cancelled.
    PlanAppointed(Plan),
    /// An appointment comes to nothing.
    EndAppointment {
        /// Which.
        operation: OperationId,
        /// By an operator, or because nothing could be begun.
        ending: Ending,
        /// Why.
        why: String,
    },
    /// The writer is closed for the switchover under way: its epoch is over.
    Revoke {
        /// Which switchover.
        operation: OperationId,
        /// The epoch.
        epoch: Epoch,
    },
    /// A line for the journal of the operation under way.
    Journal {
        /// Which operation.
        operation: OperationId,
        /// The line.
        step: Step,
    },
    /// The next epoch.
    Grant(NextGrant),
    /// The operation is over.
    End {
        /// Which operation.
        operation: OperationId,
        /// How it ended.
        ending: Ending,
    },
    /// The list of ackers, as a whole.
    Ackers {
        /// Of which epoch.
        epoch: Epoch,
        /// The new list.
        ackers: BTreeSet<NodeName>,
        /// Why it changed.
        why: String,
    },
    /// An acker, or one that is about to be, has all that it ever acknowledged in the run of its server that began then.
    Vouch {
        /// In which epoch this was found.
        epoch: Epoch,
        /// Whose server.
        node: NodeName,
        /// When it began to run, by its own host's clock.
        began_ms: UnixMillis,
    },
    /// The writer may go on without its ackers.
    Degrade {
        /// Of which epoch.
        epoch: Epoch,
        /// Why.
        reason: DegradeReason,
        /// The writer's set, read while its commits still waited; not `None` while lossless. What an earlier entry
        /// holds is kept.
        upto: Option<GtidSet>,
    },
    /// The writer waits for its ackers again and one commit has been acknowledged.
    Lossless {
        /// Of which epoch.
        epoch: Epoch,
        /// Index of the `Degraded` entry this ends, so that a late one ends nothing newer.
        after: u64,
    },
    /// A server becomes unfit. Refused for an acker while lossless.
    TakeOut {
        /// Whose.
        node: NodeName,
        /// Why.
        reason: OutReason,
    },
    /// A server is fit again.
    PutIn {
        /// Whose.
        node: NodeName,
    },
    /// A server goes into maintenance, or its maintenance gets another end. Refused for the writer.
    Maintain {
        /// Whose.
        node: NodeName,
        /// When it ends by itself.
        until_ms: UnixMillis,
        /// Who and why.
        word: Forced,
    },
    /// A server in maintenance is out. Refused for an acker while lossless.
    StandAside {
        /// Whose.
        node: NodeName,
    },
    /// A maintenance is over.
    EndMaintenance {
        /// Whose.
        node: NodeName,
        /// The end it had, where it ends by itself: void when it was given another one meanwhile.
        until_ms: Option<UnixMillis>,
        /// Who, or what.
        by: String,
    },
    /// The writer's node has found which events run there.
    Events(Events),
    /// A node has archived the extra transactions of its server.
    Archived(Archive),
    /// It could not, and tries again.
    NotArchived {
        /// Which node.
        node: NodeName,
        /// Why.
        why: String,
    },
    /// An operator gives up the extra transactions of a quarantined server: they may be discarded.
    GiveUp {
        /// Whose.
        node: NodeName,
        /// The set that the operator was shown: another one makes this void.
        extra: GtidSet,
        /// Also when they are not archived.
        without_archive: bool,
        /// Who and why.
        word: Forced,
    },
    /// Nothing is promoted automatically until then.
    Pause {
        /// When it ends by itself.
        until_ms: UnixMillis,
        /// Who and why.
        word: Forced,
    },
    /// Ends a pause.
    Resume {
        /// Who.
        by: String,
    },
    /// A pause has come to its end; nothing when it was ended or made longer meanwhile.
    PauseOver {
        /// The end it had.
        until_ms: UnixMillis,
    },
    /// Begins a rebuild. Refused for the writer, and while the writer moves.
    BeginRebuild(BeginRebuild),
    /// A source for the rebuild's present attempt; its target goes out.
    RebuildSource {
        /// Of which rebuild.
        operation: OperationId,
        /// Of which attempt.
        attempt: u32,
        /// Which.
        source: NodeName,
    },
    /// The target's node has reached a step of the rebuild. The one that discards is refused unless all that would be lost
    /// is archived.
    RebuildStep(AtStep),
    /// An attempt has failed.
    RebuildFailed {
        /// Of which rebuild.
        operation: OperationId,
        /// Which attempt.
        attempt: u32,
        /// Why.
        why: String,
    },
    /// The rebuild is over.
    EndRebuild {
        /// Which.
        operation: OperationId,
        /// How it ended.
        ending: Ending,
        /// Why, or what was done.
        why: String,
    },
    /// What people are told, and what they were told. Nothing else depends on it.
    Alerts(Vec<AlertChange>),
    /// The leader's file says something else of backups.
    PlanBackups(BackupPlan),
    /// Gives a node a task about backups, and takes its slot, where it is one's. Refused while there is a task, and when the
    /// slot is taken.
    BeginBackup(BackupTask),
    /// Its node begins it: once.
    BackupBegun {
        /// Which task.
        task: OperationId,
    },
    /// A backup is made.
    BackupMade {
        /// By which task.
        task: OperationId,
        /// What is listed.
        backup: Box<Backup>,
    },
    /// A backup was read again.
    BackupVerified {
        /// By which task.
        task: OperationId,
        /// What is not as it was written; `None` when all is.
        fault: Option<String>,
    },
    /// Backups that are not listed were found in stores.
    BackupsFound {
        /// By which task.
        task: OperationId,
        /// What is listed, by its name; a few at a time, the oldest first.
        found: Vec<(String, Backup)>,
    },
    /// All stores of a node were looked through.
    BackupsScanned {
        /// By which task.
        task: OperationId,
        /// What was found, in words.
        note: String,
    },
    /// A backup is not in a store any more.
    BackupRemoved {
        /// By which task.
        task: OperationId,
    },
    /// A backup is kept whatever its age, or not any more.
    PinBackup {
        /// Which.
        backup: String,
        /// Whether it is.
        is_pinned: bool,
        /// Who.
        by: String,
    },
    /// A backup is to leave stores, after a time in which that can be taken back. Refused while no newer good one stays there.
    LeaveStores {
        /// Which.
        backup: String,
        /// Which.
        stores: Vec<String>,
        /// Who, or by which rule.
        by: String,
        /// By the stores' rules, and not because somebody wants it.
        #[serde(default)]
        by_rule: bool,
    },
    /// A backup that was to leave a store by its rules stays there by them after all.
    StayInStore {
        /// Which.
        backup: String,
        /// Where.
        store: String,
    },
    /// A task about backups comes to nothing.
    EndBackup {
        /// Which.
        task: OperationId,
        /// Why.
        why: String,
        /// Somebody asked for it: its slot is not tried again.
        #[serde(default)]
        by_hand: bool,
    },
    /// Whose server is read for the archive of the binlog; see [`super::Collector`].
    Collect {
        /// Whose; `None` for nobody's.
        node: Option<NodeName>,
        /// See [`super::Collector::turns`].
        turns: u32,
        /// See [`super::Collector::lacking`].
        #[serde(default)]
        lacking: BTreeSet<NodeName>,
        /// See [`super::Collector::may_leap`].
        may_leap: bool,
    },
    /// Something was decided, or refused.
    Decided {
        /// What.
        what: String,
        /// Why.
        why: String,
    },
}

/// A recovery by hand; see [`Change::Recover`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recover {
    /// Of the group that is started anew; higher than that of the one that lost its majority.
    pub generation: u64,
    /// The node that goes on. All other members are left behind.
    pub keep: NodeName,
    /// Name of the failover that follows, where a cluster is managed.
    pub operation: OperationId,
    /// Who, and why: it stands in for the proof that a writer which is left behind can acknowledge nothing more.
    pub word: Forced,
    /// Acknowledged writes may be lost, whatever the policy for loss is.
    pub accepts_loss: bool,
    /// What was known when it was done.
    pub evidence: Vec<String>,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// It changed the state.
    Applied,
    /// It changed nothing.
    Refused(Refusal),
}

impl Outcome {
    /// The refusal as an error.
    pub fn into_result(self) -> Result<(), Refusal> {
        match self {
            Self::Applied => Ok(()),
            Self::Refused(refusal) => Err(refusal),
        }
    }
}
