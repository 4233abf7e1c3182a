//! The leader's side of the exchange: the latest report of every node.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::digest::Digest;
use crate::decide::seen::{Observations, Report};
use crate::state::{ClusterState, Epoch, NodeName};

/// A report older than this says nothing about now.
const FRESH: Duration = Duration::from_secs(1);
/// A sender gives a report up long before this, so after it a lower serial is a restarted sender whose clock was set
/// back, not a late report.
const LATE: Duration = Duration::from_secs(2);

/// Keeps the latest report of each node while this node leads.
#[derive(Default)]
pub struct Table {
    held: Mutex<Held>,
    changed: Notify,
}

#[derive(Default)]
struct Held {
    reports: BTreeMap<NodeName, Entry>,
    short: Option<Short>,
}

struct Entry {
    at: Instant,
    report: Report,
    digest: Digest,
}

/// Since when the writer of this epoch has had too few ackers.
struct Short {
    epoch: Epoch,
    since: Instant,
}

impl Table {
    /// Takes a report in; false for one that is older than what is known already.
    pub fn take(&self, from: NodeName, report: Report) -> bool {
        let now = Instant::now();
        let digest = Digest::of(&report);
        let mut held = self.held();
        let before = held.reports.get(&from);
        let age = |entry: &Entry| now.saturating_duration_since(entry.at);
        if before.is_some_and(|b| report.serial <= b.report.serial && age(b) < LATE) {
            return false;
        }
        let matters = before.is_none_or(|b| b.digest != digest || age(b) >= FRESH);
        held.reports.insert(from, Entry { at: now, report, digest });
        drop(held);
        if matters {
            self.changed.notify_one();
        }
        true
    }

    /// Waits until something that matters has changed since the last wait ended. For one waiter.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What all nodes see, with ages of this moment. Forgets nodes that are no members any more.
    pub fn snapshot(&self, state: &ClusterState) -> Observations {
        let now = Instant::now();
        let mut held = self.held();
        if !state.members.is_empty() {
            held.reports.retain(|node, _| state.members.contains_key(node));
        }
        let mut seen = Observations::default();
        for (node, entry) in &held.reports {
            seen.insert(node.clone(), entry.report.clone(), now.saturating_duration_since(entry.at));
        }
        held.observe_writer(state, &seen, now);
        seen.acker_short_for = held.short.as_ref().map(|s| now.saturating_duration_since(s.since));
        seen
    }

    /// Forgets everything: a node that has just become the leader observes for itself.
    pub fn clear(&self) {
        *self.held() = Held::default();
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// A writer that is not heard, or not open, ends the count: what its ackers do meanwhile nobody knows.
    fn observe_writer(&mut self, state: &ClusterState, seen: &Observations, now: Instant) {
        let short = state.live_grant().and_then(|grant| {
            let (pulse, age) = seen.pulse(&grant.node)?;
            let short = age <= FRESH && pulse.open && pulse.ackers < state.safety.wait_count;
            short.then(|| Short { epoch: grant.epoch, since: now.checked_sub(age).unwrap_or(now) })
        });
        let lasts = matches!((&self.short, &short), (Some(a), Some(b)) if a.epoch == b.epoch);
        if !lasts {
            self.short = short;
        }
    }
}

#[cfg(test)]
mod tests;
