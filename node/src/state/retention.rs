//! Backups that are kept, and that leave: first marked, in one store, then, after a time in which that can be taken back, removed
//! there, and only then not listed any more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Backup, BackupPlan, Backups, ClusterState, NodeName, Refusal, UnixMillis};

/// How long a store keeps backups, by the leader's file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// Every backup, for so long; in milliseconds, as the others.
    pub all_ms: u64,
    /// After that the first of each week, up to that age.
    pub weekly_ms: u64,
    /// So many at least, whatever their age.
    pub at_least: u32,
    /// Whether Baton removes backups there. Otherwise whoever may does.
    pub prunes: bool,
}

/// A backup is to leave a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Since when.
    pub since_ms: UnixMillis,
    /// Who wants that, or which rule.
    pub by: String,
    /// How its last removal failed, and when.
    pub failed: Option<(UnixMillis, String)>,
    /// By the store's rules, and not because somebody wants it: once the rules are others, it may stay after all.
    #[serde(default)]
    pub by_rule: bool,
    /// Its removal has begun: what is left there may be no backup any more.
    #[serde(default)]
    pub begun: bool,
}

impl Leaving {
    /// When it may be removed.
    pub fn due_ms(&self, plan: &BackupPlan) -> UnixMillis {
        self.since_ms.saturating_add(i64::try_from(plan.grace_ms).unwrap_or(i64::MAX))
    }
}

impl Backup {
    /// Whether a look at it found nothing wrong, or nobody has looked.
    pub fn is_good(&self) -> bool {
        self.verified.as_ref().is_none_or(|verified| verified.fault.is_none())
    }

    /// Whose folders it lies in, where a store is one.
    pub fn keeper(&self) -> &NodeName {
        self.found_at.as_ref().unwrap_or(&self.node)
    }

    /// Whether it lies in that store.
    pub fn lies_in(&self, store: &str) -> bool {
        self.stores.iter().any(|name| name == store)
    }

    /// Whether it lies in that store and is to stay there.
    pub fn stays_in(&self, store: &str) -> bool {
        self.lies_in(store) && !self.leaving.contains_key(store)
    }
}

impl Backups {
    /// Whether a backup may leave a store: nobody has pinned it, and a newer one that is good stays there.
    pub fn may_leave(&self, backup: &str, store: &str) -> bool {
        let Some(leaves) = self.catalogue.get(backup).filter(|one| !one.is_pinned) else { return false };
        let is_newer = |(id, other): (&String, &Backup)| {
            other.began_ms > leaves.began_ms
                && self.is_whole_in(id, store)
                && !self.bases(id).any(|(base, _)| base == backup)
        };
        // The newest first: it is nearly always the one.
        self.catalogue.iter().rev().any(is_newer)
    }
}

/// A backup that stays keeps what it adds to, in every store in which it stays.
pub(super) fn stay_with(backups: &mut Backups, backup: &str) {
    let Some(listed) = backups.catalogue.get(backup) else { return };
    let stores: Vec<String> = listed.stores.iter().filter(|store| listed.stays_in(store)).cloned().collect();
    let bases: Vec<String> = backups.bases(backup).map(|(base, _)| base.to_owned()).collect();
    for base in bases {
        if let Some(base) = backups.catalogue.get_mut(&base) {
            base.leaving.retain(|store, leaving| leaving.begun || !stores.contains(store));
        }
    }
}

fn listed<'s>(state: &'s mut ClusterState, backup: &str) -> Result<&'s mut Backup, Refusal> {
    let listed = state.backups.catalogue.get_mut(backup);
    listed.ok_or_else(|| Refusal::NoSuchBackup(backup.to_owned()))
}

/// Keeps a backup whatever its age, or leaves it to the rules again. What is pinned leaves no store any more.
pub(super) fn pin(
    state: &mut ClusterState,
    at: UnixMillis,
    (backup, is_pinned): (&str, bool),
    by: &str,
) -> Result<(), Refusal> {
    let removes = |task: &super::BackupTask| matches!(&task.work, super::BackupWork::Remove { backup: removed, .. } if removed == backup);
    if let Some(task) = state.backups.task.as_ref().filter(|task| removes(task)) {
        return Err(Refusal::BackupUnderWay(task.node.clone()));
    }
    let listed = listed(state, backup)?;
    if let Some((store, _)) = listed.leaving.iter().find(|(_, leaving)| leaving.begun).filter(|_| is_pinned) {
        return Err(Refusal::RemovalBegun(backup.to_owned(), store.clone()));
    }
    listed.is_pinned = is_pinned;
    if is_pinned {
        listed.leaving = BTreeMap::new();
        stay_with(&mut state.backups, backup);
    }
    let what = if is_pinned { "pinned" } else { "not pinned any more" };
    state.note(at, &format!("backup {backup} is {what}"), by.to_owned());
    Ok(())
}

/// Marks a backup in these stores.
pub(super) fn leave(
    state: &mut ClusterState,
    at: UnixMillis,
    (backup, stores): (&str, &[String]),
    (by, by_rule): (&str, bool),
) -> Result<(), Refusal> {
    let is_pinned = listed(state, backup)?.is_pinned;
    if is_pinned {
        return Err(Refusal::BackupPinned(backup.to_owned()));
    }
    for store in stores {
        let needed_by = state.backups.needed_by(backup, store);
        if !needed_by.is_empty() {
            return Err(Refusal::BackupNeeded(backup.to_owned(), store.clone(), needed_by.join(", ")));
        }
        if !state.backups.may_leave(backup, store) {
            return Err(Refusal::LastBackup(backup.to_owned(), store.clone()));
        }
    }
    let listed = listed(state, backup)?;
    for store in stores.iter().filter(|store| listed.stores.contains(store)) {
        let leaving = Leaving { since_ms: at, by: by.to_owned(), by_rule, ..Leaving::default() };
        // What somebody wants does not depend on rules any more.
        listed.leaving.entry(store.clone()).or_insert(leaving).by_rule &= by_rule;
    }
    state.note(at, &format!("backup {backup} is to leave {}", stores.join(", ")), by.to_owned());
    Ok(())
}

/// The store's rules are others by now, or other backups are: it stays there after all.
pub(super) fn stay(
    state: &mut ClusterState,
    at: UnixMillis,
    backup: &str,
    store: &str,
) -> Result<(), Refusal> {
    let leaving = listed(state, backup)?.leaving.get(store);
    if leaving.is_none_or(|leaving| !leaving.by_rule || leaving.begun) {
        return Err(Refusal::NotLeaving(backup.to_owned(), store.to_owned()));
    }
    listed(state, backup)?.leaving.remove(store);
    stay_with(&mut state.backups, backup);
    state.note(at, &format!("backup {backup} stays in {store} after all"), "by the store's rules".to_owned());
    Ok(())
}

/// The node begins to remove it.
pub(super) fn begun(backups: &mut Backups, backup: &str, store: &str) {
    let leaving = backups.catalogue.get_mut(backup).and_then(|listed| listed.leaving.get_mut(store));
    if let Some(leaving) = leaving {
        leaving.begun = true;
    }
}

/// Whether a marked backup may be removed now.
pub(super) fn may_remove(
    backups: &Backups,
    at: UnixMillis,
    (backup, store): (&str, &str),
) -> Result<(), Refusal> {
    let listed = backups.catalogue.get(backup).ok_or_else(|| Refusal::NoSuchBackup(backup.to_owned()))?;
    let (Some(leaving), Some(plan)) = (listed.leaving.get(store), &backups.plan) else {
        return Err(Refusal::NotLeaving(backup.to_owned(), store.to_owned()));
    };
    if leaving.due_ms(plan) > at {
        return Err(Refusal::NotLeaving(backup.to_owned(), store.to_owned()));
    }
    // Those that are marked, too: until they are gone they can be kept after all.
    if let Some((other, _)) = backups.added_to(backup).find(|(_, other)| other.lies_in(store)) {
        return Err(Refusal::BackupNeeded(backup.to_owned(), store.to_owned(), other.to_owned()));
    }
    // The newer one may have been found damaged since.
    if !backups.may_leave(backup, store) {
        return Err(Refusal::LastBackup(backup.to_owned(), store.to_owned()));
    }
    Ok(())
}

/// Nothing of it is in the store any more.
pub(super) fn removed(backups: &mut Backups, backup: &str, store: &str) {
    let Some(listed) = backups.catalogue.get_mut(backup) else { return };
    listed.leaving.remove(store);
    listed.stores.retain(|name| name != store);
    if listed.stores.is_empty() {
        backups.catalogue.remove(backup);
    }
}

/// It could not be removed. Whether that is new: the same reason comes each hour for as long as a store is away.
pub(super) fn not_removed(
    backups: &mut Backups,
    (backup, store): (&str, &str),
    at: UnixMillis,
    why: &str,
) -> bool {
    let leaving = backups.catalogue.get_mut(backup).and_then(|listed| listed.leaving.get_mut(store));
    let Some(leaving) = leaving else { return true };
    let before = leaving.failed.replace((at, why.to_owned()));
    before.is_none_or(|(_, before)| before != why)
}
