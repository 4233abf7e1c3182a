//! Backups that lie in a store and are not listed: after a group was lost with all its nodes, or formed anew.

use super::{Backup, BackupWork, ClusterState, NodeName, OperationId, Refusal};

/// A name that could be one of a backup's folder.
const NAME_MAX: usize = 200;

/// Lists what a node found, as often as it says so. What is listed gains stores and keeps everything else: it was agreed on.
pub(super) fn found(
    state: &mut ClusterState,
    by: &NodeName,
    id: &OperationId,
    found: &[(String, Backup)],
) -> Result<(), Refusal> {
    let task = state.backups.task.as_ref().filter(|task| task.id == *id && task.node == *by);
    if task.is_none_or(|task| task.work != BackupWork::Scan) {
        return Err(Refusal::BackupMoved);
    }
    for (backup, found) in found {
        let is_name = !backup.is_empty() && backup.len() <= NAME_MAX && !backup.contains('/');
        if !is_name || found.stores.is_empty() {
            continue;
        }
        match state.backups.catalogue.get_mut(backup) {
            Some(listed) if listed.manifest_blake3 == found.manifest_blake3 => {
                let more = found.stores.iter().filter(|store| !listed.stores.contains(store));
                let more: Vec<String> = more.cloned().collect();
                listed.stores.extend(more);
            }
            Some(_) => {}
            None => {
                let (verified, is_pinned, leaving) = (None, false, std::collections::BTreeMap::new());
                let new = Backup { verified, is_pinned, leaving, ..found.clone() };
                state.backups.catalogue.insert(backup.clone(), new);
            }
        }
    }
    state.backups.forget_oldest();
    Ok(())
}
