//! Backups: the task under way, what was made, and the commands that move them on.
//!
//! One task at a time in the whole cluster, so that never two read one server, nor one store. It stands beside the operation
//! that moves the writer and never holds that up.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::apply::member;
use super::retention::{self, Leaving};
use super::schedule::{self, BackupPlan, Slot, SlotFailed, SlotTry};
use super::{ClusterState, Epoch, NodeName, OperationId, Phase, Refusal, UnixMillis, trim};

/// So many tasks that are over are remembered.
const ENDED: usize = 50;

/// What the group knows of its backups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Backups {
    /// What is being done, by one node.
    pub task: Option<BackupTask>,
    /// Every backup that counts, by its id, which begins with the time at which it began.
    pub catalogue: BTreeMap<String, Backup>,
    /// What was done or failed, newest last.
    pub ended: VecDeque<EndedTask>,
    /// What the leader's file says; `None` until one that knows of a store has led.
    #[serde(default)]
    pub plan: Option<BackupPlan>,
    /// Since when there is a schedule.
    #[serde(default)]
    pub planned_ms: UnixMillis,
    /// How far each schedule is, by its name.
    #[serde(default)]
    pub slots: BTreeMap<String, Slot>,
}

/// A task of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupTask {
    /// Unique.
    pub id: OperationId,
    /// Whose.
    pub node: NodeName,
    /// What it is to do.
    pub work: BackupWork,
    /// Who asked.
    pub by: String,
    /// When it was committed.
    pub started_ms: UnixMillis,
    /// The node has begun. It begins once: a node that finds a task begun by its last process ends it.
    pub begun: bool,
    /// The slot that it is to fill; `None` where a person asked.
    #[serde(default)]
    pub slot: Option<SlotTry>,
}

/// How much a backup has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupKind {
    /// Everything.
    #[default]
    Full,
    /// What changed since another one.
    Incremental,
}

impl BackupKind {
    /// As the configuration and messages name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        }
    }
}

/// What a task does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupWork {
    /// Makes one.
    Make {
        /// Its id.
        backup: String,
        /// What it is to be. Where an increment would be none, its node makes a full one, and says why.
        #[serde(default)]
        kind: BackupKind,
        /// Whether it goes on when the node is, or becomes, the writer's.
        at_writer: bool,
        /// Whether it takes what processor and disk it can get.
        full_speed: bool,
    },
    /// Reads every object of one again and compares checksums.
    Verify {
        /// Which.
        backup: String,
    },
    /// Removes one from a store that it is to leave.
    Remove {
        /// Which.
        backup: String,
        /// From which.
        store: String,
    },
}

impl BackupWork {
    /// The backup it is about.
    pub fn backup(&self) -> &str {
        match self {
            Self::Make { backup, .. } | Self::Verify { backup } | Self::Remove { backup, .. } => backup,
        }
    }

    /// As messages and the history name it.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Make { .. } => "make",
            Self::Verify { .. } => "verify",
            Self::Remove { .. } => "remove",
        }
    }
}

/// A backup that counts: its manifest is in every store that has to have it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Backup {
    /// Whose server was read.
    pub node: NodeName,
    /// The epoch in which it began.
    pub epoch: Epoch,
    /// What it adds to, and is worth nothing without; `None` of a full one.
    #[serde(default)]
    pub base: Option<String>,
    /// Why it is a full one although an increment was asked for.
    #[serde(default)]
    pub full_because: Option<String>,
    /// The lineage of the data directory that was read; empty where no increment can be made from it.
    #[serde(default)]
    pub lineage: String,
    /// Where it ends in InnoDB's log; 0 where no increment can be made from it.
    #[serde(default)]
    pub to_lsn: u64,
    /// What read the server.
    pub engine: String,
    /// That server's version.
    pub server_version: String,
    /// When it began.
    pub began_ms: UnixMillis,
    /// When everything was read and checked.
    pub ended_ms: UnixMillis,
    /// Every transaction that it has, in the dialect's own spelling; empty where the engine does not know.
    pub gtids: String,
    /// Bytes of the stream.
    pub bytes: u64,
    /// Bytes that they became in each store.
    pub stored_bytes: u64,
    /// Objects in each store.
    pub objects: u32,
    /// The stores that have it.
    pub stores: Vec<String>,
    /// BLAKE3 of the manifest as it was written.
    pub manifest_blake3: String,
    /// The latest look at its objects.
    pub verified: Option<Verified>,
    /// Somebody wants it kept, whatever its age.
    #[serde(default)]
    pub is_pinned: bool,
    /// The stores that it is to leave.
    #[serde(default)]
    pub leaving: BTreeMap<String, Leaving>,
}

/// What a look at the objects of a backup found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// When it was over.
    pub at_ms: UnixMillis,
    /// What is not as it was written; `None` when all is.
    pub fault: Option<String>,
}

/// A task that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedTask {
    /// Which.
    pub task: BackupTask,
    /// When.
    pub ended_ms: UnixMillis,
    /// Why it came to nothing; `None` when it was done.
    pub error: Option<String>,
    /// What is to be known of one that was done.
    #[serde(default)]
    pub note: Option<String>,
}

pub(super) fn begin(state: &mut ClusterState, at: UnixMillis, task: &BackupTask) -> Result<(), Refusal> {
    if state.phase == Phase::Observing {
        return Err(Refusal::Observing);
    }
    let node = &task.node;
    if member(state, node)?.server.is_none() {
        return Err(Refusal::Witness(node.clone()));
    }
    if let Some(other) = &state.backups.task {
        return Err(Refusal::BackupUnderWay(other.node.clone()));
    }
    let gives = state.rebuild.as_ref().is_some_and(|r| r.source.as_ref() == Some(node));
    if let Some(rebuild) = state.rebuild.as_ref().filter(|r| gives || r.node == *node) {
        return Err(Refusal::Rebuilding(rebuild.node.clone()));
    }
    let is_listed = state.backups.catalogue.contains_key(task.work.backup());
    match &task.work {
        BackupWork::Make { backup, .. } if is_listed => return Err(Refusal::BackupExists(backup.clone())),
        BackupWork::Make { at_writer: false, .. }
            if state.grant.as_ref().is_some_and(|g| g.node == *node) =>
        {
            return Err(Refusal::BackupOfWriter(node.clone()));
        }
        BackupWork::Verify { backup } if !is_listed => return Err(Refusal::NoSuchBackup(backup.clone())),
        BackupWork::Remove { backup, store } => retention::may_remove(&state.backups, at, (backup, store))?,
        _ => {}
    }
    if let Some(slot) = &task.slot {
        schedule::take(state, at, slot)?;
    }
    state.backups.task = Some(BackupTask { started_ms: at, begun: false, ..task.clone() });
    Ok(())
}

/// The node begins.
pub(super) fn begun(state: &mut ClusterState, by: &NodeName, id: &OperationId) -> Result<(), Refusal> {
    let task = running(state, by, id)?;
    if task.begun {
        return Err(Refusal::BackupBegun);
    }
    task.begun = true;
    Ok(())
}

/// The node has made it.
pub(super) fn made(
    state: &mut ClusterState,
    at: UnixMillis,
    by: &NodeName,
    id: &OperationId,
    backup: &Backup,
) -> Result<(), Refusal> {
    let BackupWork::Make { backup: name, .. } = running(state, by, id)?.work.clone() else {
        return Err(Refusal::BackupMoved);
    };
    state.backups.catalogue.insert(name.clone(), backup.clone());
    // Somebody may have wanted its bases to leave while it was made.
    retention::stay_with(&mut state.backups, &name);
    state.backups.forget_oldest();
    let note = backup.full_because.as_ref().map(|why| format!("a full one and no increment: {why}"));
    over(state, at, TaskEnd { note, ..TaskEnd::default() });
    Ok(())
}

/// The node has read all of it again.
pub(super) fn verified(
    state: &mut ClusterState,
    at: UnixMillis,
    by: &NodeName,
    id: &OperationId,
    fault: Option<&String>,
) -> Result<(), Refusal> {
    let BackupWork::Verify { backup } = running(state, by, id)?.work.clone() else {
        return Err(Refusal::BackupMoved);
    };
    if let Some(listed) = state.backups.catalogue.get_mut(&backup) {
        listed.verified = Some(Verified { at_ms: at, fault: fault.cloned() });
    }
    over(state, at, TaskEnd::of(fault.cloned()));
    Ok(())
}

/// The node has removed it.
pub(super) fn removed(
    state: &mut ClusterState,
    at: UnixMillis,
    by: &NodeName,
    id: &OperationId,
) -> Result<(), Refusal> {
    let BackupWork::Remove { backup, store } = running(state, by, id)?.work.clone() else {
        return Err(Refusal::BackupMoved);
    };
    retention::removed(&mut state.backups, &backup, &store);
    over(state, at, TaskEnd::default());
    Ok(())
}

/// It comes to nothing.
pub(super) fn end(
    state: &mut ClusterState,
    at: UnixMillis,
    id: &OperationId,
    why: &str,
    by_hand: bool,
) -> Result<(), Refusal> {
    if state.backups.task.as_ref().is_none_or(|task| task.id != *id) {
        return Err(Refusal::BackupMoved);
    }
    over(state, at, TaskEnd { by_hand, ..TaskEnd::of(Some(why.to_owned())) });
    Ok(())
}

/// A node that left does nothing more.
pub(super) fn forget(state: &mut ClusterState, at: UnixMillis, node: &NodeName) {
    if state.backups.task.as_ref().is_some_and(|task| task.node == *node) {
        over(state, at, TaskEnd::of(Some(format!("{node} was removed"))));
    }
}

fn running<'s>(
    state: &'s mut ClusterState,
    by: &NodeName,
    id: &OperationId,
) -> Result<&'s mut BackupTask, Refusal> {
    let task = state.backups.task.as_mut().filter(|task| task.id == *id && task.node == *by);
    task.ok_or(Refusal::BackupMoved)
}

/// How a task ended.
#[derive(Default)]
struct TaskEnd {
    /// Why it came to nothing.
    error: Option<String>,
    /// What is to be known of one that was done.
    note: Option<String>,
    /// Somebody ended it.
    by_hand: bool,
}

impl TaskEnd {
    fn of(error: Option<String>) -> Self {
        Self { error, ..Self::default() }
    }
}

fn over(state: &mut ClusterState, at: UnixMillis, end: TaskEnd) {
    let TaskEnd { error, note, by_hand } = end;
    let Some(task) = state.backups.task.take() else { return };
    if let Some(slot) = &task.slot {
        let failed = error.clone().map(|why| SlotFailed { at_ms: at, why, by_hand });
        schedule::over(state, slot, failed);
    }
    if let (BackupWork::Remove { backup, store }, Some(why)) = (&task.work, &error) {
        retention::not_removed(&mut state.backups, (backup, store), at, why);
    }
    let (verb, backup) = (task.work.verb(), task.work.backup().to_owned());
    let what =
        if error.is_some() { format!("could not {verb} {backup}") } else { format!("{verb} {backup}: done") };
    let done = || {
        let note = note.iter().map(|note| format!("; {note}")).collect::<String>();
        format!("by {}, asked for by {}{note}", task.node, task.by)
    };
    state.note(at, &what, error.clone().unwrap_or_else(done));
    state.backups.ended.push_back(EndedTask { task, ended_ms: at, error, note });
    trim(&mut state.backups.ended, ENDED);
}
