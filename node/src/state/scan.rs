//! Backups that lie in a store and are not listed: after a group was lost with all its nodes, or formed anew.

use super::retention::stay_with;
use super::{Backup, BackupWork, Backups, ClusterState, NodeName, OperationId, Refusal, UnixMillis};

/// A name that could be one of a backup's folder.
const NAME_MAX: usize = 200;

/// Lists what a node found, as often as it says so. What is listed gains stores and keeps everything else: it was agreed on.
/// What is new is pinned: it may be another cluster's of this name, and no rule may remove it before somebody has looked.
pub(super) fn found(
    state: &mut ClusterState,
    at: UnixMillis,
    by: &NodeName,
    id: &OperationId,
    found: &[(String, Backup)],
) -> Result<(), Refusal> {
    let task = state.backups.task.as_ref().filter(|task| task.id == *id && task.node == *by);
    if task.is_none_or(|task| task.work != BackupWork::Scan) {
        return Err(Refusal::BackupMoved);
    }
    let backups = &mut state.backups;
    for (backup, found) in found {
        let is_name = !backup.is_empty() && backup.len() <= NAME_MAX && !backup.contains('/');
        let stores = usable(backups, found);
        if !is_name || stores.is_empty() {
            continue;
        }
        match backups.catalogue.get_mut(backup) {
            Some(listed) if listed.manifest_blake3 == found.manifest_blake3 => {
                let more: Vec<_> =
                    stores.into_iter().filter(|store| !listed.stores.contains(store)).collect();
                listed.stores.extend(more);
            }
            Some(_) => continue,
            None => {
                // A clock that was ahead makes none the newest for years.
                let (began_ms, ended_ms) = (found.began_ms.min(at), found.ended_ms.min(at));
                let (found_at, verified, is_pinned) = (Some(by.clone()), None, true);
                let leaving = std::collections::BTreeMap::new();
                let new = Backup {
                    found_at,
                    began_ms,
                    ended_ms,
                    verified,
                    is_pinned,
                    leaving,
                    stores,
                    ..found.clone()
                };
                backups.catalogue.insert(backup.clone(), new);
            }
        }
        stay_with(backups, backup);
    }
    backups.forget_oldest();
    Ok(())
}

/// The stores in which what an increment adds to lies, and does not go.
fn usable(backups: &Backups, found: &Backup) -> Vec<String> {
    let has_base = |store: &&String| {
        let Some(base) = &found.base else { return true };
        backups.catalogue.get(base).is_some_and(|base| {
            base.lies_in(store) && base.leaving.get(*store).is_none_or(|leaving| !leaving.begun)
        })
    };
    found.stores.iter().filter(has_base).cloned().collect()
}
