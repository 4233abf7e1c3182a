//! Which backups leave which store, and which of those that are to leave is removed next.

use std::collections::BTreeMap;
use std::time::Duration;

use super::retention::{Held, Policy, Stays, judge};
use crate::decide::diagnose::FRESH;
use crate::decide::seen::Observations;
use crate::state::{Backup, Backups, ClusterState, Keep, NodeName, UnixMillis};

/// After a removal that failed: a store that is away for a while is asked again, and not all the time.
const AGAIN_MS: i64 = 3_600_000;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pruning {
    /// A backup has to be marked: it has outlived what this store keeps.
    Mark {
        /// Which.
        backup: String,
        /// Where.
        store: String,
    },
    /// A backup was marked by rules that would keep it now.
    Stay {
        /// Which.
        backup: String,
        /// Where.
        store: String,
    },
    /// A backup that was marked long enough is to be removed.
    Remove {
        /// Which.
        backup: String,
        /// Where.
        store: String,
        /// By whom.
        node: NodeName,
    },
}

/// Why each backup of a store that is not to leave it stays by the store's rules; `None` of one that goes.
pub fn kept(
    backups: &Backups,
    store: &str,
    keep: &Keep,
    now_ms: UnixMillis,
) -> BTreeMap<String, Option<Stays>> {
    let mut judged = judged(backups, store, keep, now_ms, |backup| !backup.stays_in(store));
    judged.retain(|id, _| backups.catalogue.get(id).is_some_and(|backup| backup.stays_in(store)));
    for (id, stays) in &mut judged {
        if stays.is_none() && !backups.may_leave(id, store) {
            *stays = Some(Stays::Newest);
        }
    }
    let newest = judged.iter().filter(|(_, stays)| **stays == Some(Stays::Newest));
    let newest: Vec<String> = newest.map(|(id, _)| id.clone()).collect();
    for id in &newest {
        for (base, _) in backups.bases(id) {
            if let Some(stays) = judged.get_mut(base) {
                stays.get_or_insert_with(|| Stays::BaseOf(id.clone()));
            }
        }
    }
    judged
}

/// By the rules alone, of everything that lies there.
fn judged(
    backups: &Backups,
    store: &str,
    keep: &Keep,
    now_ms: UnixMillis,
    is_leaving: impl Fn(&Backup) -> bool,
) -> BTreeMap<String, Option<Stays>> {
    let there = backups.catalogue.iter().filter(|(_, backup)| backup.lies_in(store));
    let held = there.map(|(id, backup)| Held {
        backup: id.clone(),
        base: backup.base.clone(),
        began_ms: backup.began_ms,
        is_pinned: backup.is_pinned,
        is_leaving: is_leaving(backup),
        is_damaged: !backups.is_restorable(id),
    });
    let policy = Policy {
        all: Duration::from_millis(keep.all_ms),
        weekly: Duration::from_millis(keep.weekly_ms),
        fulls_min: usize::try_from(keep.at_least).unwrap_or(usize::MAX),
    };
    judge(&held.collect::<Vec<_>>(), &policy, now_ms)
}

/// One that was marked by rules that would keep it now: they were corrected, or a newer one was found damaged.
fn first_that_stays(backups: &Backups, store: &str, keep: &Keep, now_ms: UnixMillis) -> Option<String> {
    let by_rule =
        |backup: &Backup| backup.leaving.get(store).is_some_and(|leaving| leaving.by_rule && !leaving.begun);
    backups.catalogue.values().find(|backup| by_rule(backup))?;
    // As if no rule had marked any.
    let judged = judged(backups, store, keep, now_ms, |backup| !backup.stays_in(store) && !by_rule(backup));
    let stays = judged.into_iter().filter(|(_, stays)| stays.is_some()).map(|(id, _)| id);
    stays.into_iter().find(|id| backups.catalogue.get(id).is_some_and(by_rule))
}

/// What is to be marked first: nothing that stays adds to it.
pub fn first_that_goes(backups: &Backups, store: &str, keep: &Keep, now_ms: UnixMillis) -> Option<String> {
    let goes = kept(backups, store, keep, now_ms).into_iter().filter(|(_, stays)| stays.is_none());
    goes.map(|(id, _)| id).find(|id| backups.needed_by(id, store).is_empty())
}

/// One thing, if there is one to do. It marks and removes in stores alone that Baton may remove from.
pub fn next(state: &ClusterState, seen: &Observations, now_ms: UnixMillis) -> Option<Pruning> {
    let backups = &state.backups;
    let plan = backups.plan.as_ref().filter(|_| backups.task.is_none())?;
    // People go by what is marked where Baton may not remove.
    let stays = plan.stores.iter().find_map(|(store, keep)| {
        let backup = first_that_stays(backups, store, keep, now_ms)?;
        Some(Pruning::Stay { backup, store: store.clone() })
    });
    if stays.is_some() {
        return stays;
    }
    let mut pruned = plan.stores.iter().filter(|(_, keep)| keep.prunes);
    pruned.find_map(|(store, keep)| {
        if let Some(backup) = first_that_goes(backups, store, keep, now_ms) {
            return Some(Pruning::Mark { backup, store: store.clone() });
        }
        let due = |(id, backup): &(&String, &Backup)| {
            let leaving = backup.leaving.get(store)?;
            let waits = leaving.failed.as_ref().is_some_and(|(at, _)| now_ms.saturating_sub(*at) < AGAIN_MS);
            let is_needed = backups.added_to(id).any(|(_, other)| other.lies_in(store));
            let is_due =
                leaving.due_ms(plan) <= now_ms && !waits && !is_needed && backups.may_leave(id, store);
            is_due.then_some(())
        };
        // One whose node is away or busy holds up no other.
        let mut due = backups.catalogue.iter().filter(|one| due(one).is_some());
        due.find_map(|(backup, listed)| {
            let node = remover(state, seen, listed)?;
            Some(Pruning::Remove { backup: backup.clone(), store: store.clone(), node })
        })
    })
}

/// The node that made or found it, where it is still there: a folder may be on its host alone. No other one while it is away for a
/// while, or takes part in a rebuild, beside which no task of backups begins.
fn remover(state: &ClusterState, seen: &Observations, backup: &Backup) -> Option<NodeName> {
    let is_rebuilt = |node: &NodeName| {
        state
            .rebuild
            .as_ref()
            .is_some_and(|rebuild| rebuild.node == *node || rebuild.source.as_ref() == Some(node))
    };
    let answers =
        |node: &NodeName| seen.of(node).is_some_and(|heard| heard.age <= FRESH * 4) && !is_rebuilt(node);
    let keeper = backup.keeper();
    if state.members.get(keeper).is_some_and(|member| member.server.is_some()) {
        return Some(keeper.clone()).filter(|node| answers(node));
    }
    state.data_nodes().map(|(node, _)| node).find(|node| answers(node)).cloned()
}
