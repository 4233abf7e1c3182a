//! The leader's part of backups: a task whose node is gone, the one that is due by its schedule, and those that leave.

use tracing::info;

use super::lead::Term;
use crate::decide::backup::choose::choose;
use crate::decide::backup::field::servers;
use crate::decide::backup::prune::{self, Pruning};
use crate::decide::backup::schedule::Due;
use crate::decide::backup::{backup_id, left, wanted_by};
use crate::decide::seen::Observations;
use crate::state::{BackupTask, BackupWork, Change, ClusterState, OperationId};

/// A backup that has outlived what a store keeps is marked, and one that was marked long enough removed.
fn prune(term: &Term<'_>, state: &ClusterState, seen: &Observations) -> Option<Change> {
    let now_ms = term.lead.proposer.now_ms();
    Some(match prune::next(state, seen, now_ms)? {
        Pruning::Mark { backup, store } => {
            Change::LeaveStores { backup, stores: vec![store], by: "retention".into(), by_rule: true }
        }
        Pruning::Stay { backup, store } => Change::StayInStore { backup, store },
        Pruning::Remove { backup, store, node } => Change::BeginBackup(BackupTask {
            id: OperationId(term.lead.proposer.draw_id()),
            node,
            work: BackupWork::Remove { backup, store },
            by: "retention".into(),
            started_ms: now_ms,
            begun: false,
            slot: None,
        }),
    })
}

/// One thing, if there is one to do. A slot that nobody can fill now waits; `decide::backup::alarm` says so after a while.
pub(super) fn next(term: &Term<'_>, state: &ClusterState, seen: &Observations) -> Option<Change> {
    if let Some((task, why)) = left(state, seen, term.leading()) {
        return Some(Change::EndBackup { task, why, by_hand: false });
    }
    let due = seen.due_backup.as_ref().filter(|_| state.backups.task.is_none());
    due.and_then(|due| make(term, state, seen, due)).or_else(|| prune(term, state, seen))
}

fn make(term: &Term<'_>, state: &ClusterState, seen: &Observations, due: &Due) -> Option<Change> {
    let started_ms = term.lead.proposer.now_ms();
    let server = choose(&servers(state, seen), &wanted_by(state, due, started_ms)).ok()?.node.clone();
    let work = BackupWork::Make {
        backup: backup_id(started_ms, &server),
        kind: due.kind,
        at_writer: due.at_writer,
        full_speed: false,
    };
    info!(schedule = due.slot.schedule, number = due.slot.number, node = %server, "a backup is due");
    Some(Change::BeginBackup(BackupTask {
        id: OperationId(term.lead.proposer.draw_id()),
        node: server,
        work,
        by: format!("schedule {}", due.slot.schedule),
        started_ms,
        begun: false,
        slot: Some(due.slot.clone()),
    }))
}
