//! What moves tasks about backups on: each begins, is begun by its node, and ends.

use super::apply::member;
use super::retention;
use super::schedule::{self, SlotFailed};
use super::{
    Backup, BackupTask, BackupWork, ClusterState, EndedTask, NodeName, OperationId, Phase, Refusal,
    UnixMillis, Verified, trim,
};

/// So many tasks that are over are remembered.
const ENDED: usize = 50;

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
    if let BackupWork::Remove { backup, store } = task.work.clone() {
        retention::begun(&mut state.backups, &backup, &store);
    }
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
    let task = running(state, by, id)?;
    let (began_ms, BackupWork::Make { backup: name, .. }) = (task.started_ms, task.work.clone()) else {
        return Err(Refusal::BackupMoved);
    };
    // Not by the maker's clock alone: rules compare them, and it may be wrong.
    let ended_ms = at;
    state.backups.catalogue.insert(name.clone(), Backup { began_ms, ended_ms, ..backup.clone() });
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

/// The node has looked through its stores, and said all that it found.
pub(super) fn scanned(
    state: &mut ClusterState,
    at: UnixMillis,
    by: &NodeName,
    id: &OperationId,
    note: &str,
) -> Result<(), Refusal> {
    if running(state, by, id)?.work != BackupWork::Scan {
        return Err(Refusal::BackupMoved);
    }
    over(state, at, TaskEnd { note: Some(note.to_owned()), ..TaskEnd::default() });
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
        let is_new = retention::not_removed(&mut state.backups, (backup, store), at, why);
        if !is_new {
            return;
        }
    }
    let (verb, about) = (task.work.verb(), task.work.subject());
    let what =
        if error.is_some() { format!("could not {verb} {about}") } else { format!("{verb} {about}: done") };
    let done = || {
        let note = note.iter().map(|note| format!("; {note}")).collect::<String>();
        format!("by {}, asked for by {}{note}", task.node, task.by)
    };
    state.note(at, &what, error.clone().unwrap_or_else(done));
    state.backups.ended.push_back(EndedTask { task, ended_ms: at, error, note });
    trim(&mut state.backups.ended, ENDED);
}
