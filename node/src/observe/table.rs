//! The leader's side of the exchange: the latest report of every node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::digest::Digest;
use super::shortage::Shortage;
use crate::decide::backup::schedule::due;
use crate::decide::seen::{Observations, Process, Pulse, Report};
use crate::state::{ClusterState, NodeName, UnixMillis};

/// A report older than this says nothing about now.
pub(super) const FRESH: Duration = Duration::from_secs(1);
/// A sender gives a report up long before this, so after it a lower serial is a restarted sender whose clock was set
/// back, not a late report.
const LATE: Duration = Duration::from_secs(2);

/// Keeps the latest report of each node while this node leads.
pub struct Table {
    /// This node's wall clock.
    wall_ms: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
    held: Mutex<Held>,
    changed: Notify,
}

#[derive(Default)]
struct Held {
    reports: BTreeMap<NodeName, Entry>,
    shortage: Shortage,
}

struct Entry {
    at: Instant,
    /// By how much the sender's wall clock was ahead, in milliseconds.
    ahead_ms: Option<i64>,
    report: Report,
    /// What the sender's server said of itself in the report before this one, and when.
    before: Option<(Pulse, Instant)>,
    /// The process of the sender's server that is gone, and since when every report has said so.
    gone_since: Option<(i32, Instant)>,
    digest: Digest,
}

impl Entry {
    /// What the sender's server said of itself, and when.
    fn pulse(&self) -> Option<(Pulse, Instant)> {
        let own = self.report.own.as_ref()?;
        Some((own.pulse.clone()?, self.at.checked_sub(own.pulse_age)?))
    }

    /// Of a report that came in now, right after this one: a process that has gone since is gone from now on, as is one
    /// whose node was silent meanwhile, in which its server may have run under the same number.
    fn gone_since(before: Option<&Self>, report: &Report, now: Instant) -> Option<(i32, Instant)> {
        let Process::Gone { pid } = report.own.as_ref()?.process else { return None };
        let before = before.filter(|b| now.saturating_duration_since(b.at) < FRESH);
        let same = before.and_then(|b| b.gone_since).filter(|(before, _)| *before == pid);
        Some(same.unwrap_or((pid, now)))
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::new(Arc::new(|| Timestamp::now().as_millisecond()))
    }
}

impl Table {
    /// A table without reports. `wall_ms` is this node's wall clock, with which the senders' are compared.
    pub fn new(wall_ms: Arc<dyn Fn() -> UnixMillis + Send + Sync>) -> Self {
        Self { wall_ms, held: Mutex::default(), changed: Notify::new() }
    }

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
        let ahead_ms = (report.wall_ms != 0).then(|| report.wall_ms - (self.wall_ms)());
        let gone_since = Entry::gone_since(before, &report, now);
        let before = before.and_then(Entry::pulse);
        held.reports.insert(from, Entry { at: now, ahead_ms, report, before, gone_since, digest });
        drop(held);
        if matters {
            // All that wait, and one that is about to: it may look once too often, and misses nothing.
            self.changed.notify_waiters();
            self.changed.notify_one();
        }
        true
    }

    /// Waits until something that matters has changed; may return once too often. Where several wait in turn, each bounds
    /// its wait.
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
            if let Some((pulse, at)) = &entry.before {
                seen.insert_before(node.clone(), pulse.clone(), now.saturating_duration_since(*at));
            }
            if let Some((_, since)) = entry.gone_since {
                seen.gone_for.insert(node.clone(), now.saturating_duration_since(since));
            }
            if let Some(ahead) = entry.ahead_ms {
                seen.clock_ahead_ms.insert(node.clone(), ahead);
            }
        }
        seen.wall_ms = (self.wall_ms)();
        seen.due_backup = due(&state.backups, seen.wall_ms, &|zone| TimeZone::get(zone).ok());
        seen.acker_short_for = held.shortage.observe_writer(state, &seen, now);
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

#[cfg(test)]
mod tests;
