//! What is wrong with backups, where they are scheduled.

use std::time::Duration;

use super::choose::choose;
use super::field::servers;
use super::wanted_by;
use crate::decide::diagnosis::Trouble;
use crate::decide::seen::Observations;
use crate::state::{BackupPlan, ClusterState, UnixMillis};

/// A backup that has been due for so long is told of: a replica that restarts or lags for a moment is back before.
const WAITS: Duration = Duration::from_secs(300);

/// Every trouble with scheduled backups.
pub fn alarms(state: &ClusterState, seen: &Observations) -> Vec<Trouble> {
    let Some(plan) = state.backups.plan.as_ref().filter(|plan| !plan.schedules.is_empty()) else {
        return Vec::new();
    };
    let given_up = state.backups.slots.iter().filter_map(|(name, slot)| Some((name, slot.given_up()?)));
    let mut found: Vec<_> =
        given_up.map(|(name, failed)| Trouble::BackupFailed(name.clone(), failed.why.clone())).collect();
    found.extend(waits(state, seen));
    found.extend(stale(state, plan, seen.wall_ms));
    found
}

/// A slot that nobody can fill.
fn waits(state: &ClusterState, seen: &Observations) -> Option<Trouble> {
    let due = seen.due_backup.as_ref().filter(|_| state.backups.task.is_none())?;
    if since(due.since_ms, seen.wall_ms) < WAITS {
        return None;
    }
    let nobody = choose(&servers(state, seen), &wanted_by(state, due, seen.wall_ms)).err()?;
    Some(Trouble::BackupWaits(due.slot.schedule.clone(), nobody.to_string()))
}

/// Counted from when the newest one was over, or from when schedules were agreed on, whichever is later.
fn stale(state: &ClusterState, plan: &BackupPlan, now_ms: UnixMillis) -> Option<Trouble> {
    let newest = state.backups.newest_ms();
    let waits = since(newest.unwrap_or_default().max(state.backups.planned_ms), now_ms);
    let after = Duration::from_millis(plan.stale_after_ms);
    (waits > after).then(|| Trouble::BackupStale { newest: newest.map(|then| since(then, now_ms)), after })
}

/// Nothing, where the wall clock is not known.
fn since(then_ms: UnixMillis, now_ms: UnixMillis) -> Duration {
    Duration::from_millis(u64::try_from(now_ms.saturating_sub(then_ms)).unwrap_or_default())
}
