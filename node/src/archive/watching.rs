//! What is told of an archive while it is made: how far behind it is, and what stands in its way.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::coverage::coverage;
use super::index::Index;
use super::run::{ArchiveSpec, Progress, Shared, locked};
use super::spool::left;
use crate::backup::store::Store;
use crate::gtid::GtidSet;
use crate::sql::BinlogReader;

/// Between two looks at what the server has.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// Between two looks at what was set aside on this node's disk.
const ASIDE_EVERY: Duration = Duration::from_secs(10);
/// And at what stands in the store, if anything is wrong there: every tenth minute, since each look reads all roll-ups.
const STORE_EVERY: u32 = 60;
/// And if nothing is: somebody may have removed what is old.
const ALL_EVERY: u32 = 24 * 360;

/// Says how far it is, until the server does not answer, which it returns in words. The lag is the age of the newest look at the server whose transactions are all in the store.
pub(super) async fn tell(reader: &BinlogReader, shared: &Shared, told: &impl Fn(Progress)) -> String {
    let mut asking = match reader.executed().await {
        Ok(asking) => asking,
        Err(error) => return error.to_string(),
    };
    let mut safe_at = Instant::now();
    let mut looked: Option<(Instant, GtidSet)> = None;
    let mut seen: Option<GtidSet> = None;
    loop {
        let at = Instant::now();
        let executed = match asking.now().await {
            Ok(executed) => executed,
            Err(error) => return error.to_string(),
        };
        if seen.as_ref().is_some_and(|seen| executed.contains(seen) != Ok(true)) {
            return "the server has lost transactions that it had: its history was begun anew".into();
        }
        let safe = locked(&shared.safe).clone();
        let lacks = executed.subtract(&safe).map_or(u64::MAX, |lacks| lacks.count());
        if let Some((when, _)) = looked.take_if(|(_, set)| safe.contains(set) == Ok(true)) {
            safe_at = when;
        }
        if lacks == 0 {
            (safe_at, looked) = (at, None);
        } else if looked.is_none() {
            looked = Some((at, executed.clone()));
        }
        let now = {
            let mut progress = locked(&shared.progress);
            progress.behind = lacks;
            progress.lag_ms = u64::try_from(safe_at.elapsed().as_millis()).unwrap_or(u64::MAX);
            if lacks == 0 {
                // Nothing was committed since.
                progress.archived_ms = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
            }
            progress.clone()
        };
        told(now);
        seen = Some(executed);
        sleep(LOOK).await;
    }
}

/// Looks now and then whether what people are told of still holds: another node may have brought what is missing, or what
/// went before it may be gone; somebody may have removed what cannot be read. For ever.
pub(super) async fn look_at_alarms(store: &Store, spec: &ArchiveSpec, shared: &Shared) {
    let mut rounds: u32 = 0;
    loop {
        sleep(ASIDE_EVERY).await;
        rounds = rounds.wrapping_add(1);
        if let Ok(found) = left(&spec.spool) {
            locked(&shared.progress).aside = found.aside;
        }
        let is_wrong = || !locked(&shared.holes).is_empty() || locked(&shared.progress).unreadable > 0;
        if rounds.is_multiple_of(ALL_EVERY) || rounds.is_multiple_of(STORE_EVERY) && is_wrong() {
            look_through(store, &spec.cluster, shared).await;
        }
    }
}

/// A store that does not answer is asked the next time, and so is one whose entries contradict each other.
async fn look_through(store: &Store, cluster: &str, shared: &Shared) {
    let holes = locked(&shared.holes).clone();
    let sent = locked(&shared.progress).sent;
    let index = match Index::look(store, cluster).await {
        Ok(index) => index,
        Err(why) => {
            warn!(why, "whether the archive lacks anything yet is not known");
            return;
        }
    };
    locked(&shared.progress).unreadable = index.unreadable() as u64;
    let Ok(Some(found)) = index.pieces().and_then(|pieces| coverage(&pieces)) else { return };
    let Ok(left) = found.still_lacks(&holes) else { return };
    {
        let mut progress = locked(&shared.progress);
        // What was sent meanwhile is not in what was looked at; nor is a stretch of which nothing was sent yet.
        if progress.sent == sent && sent > 0 {
            progress.stretches = found.stretches();
        }
    }
    // Meanwhile some of it may have been sent from here. The lock is given back before what it guards is changed.
    let left = locked(&shared.holes).intersect(&left);
    if let Ok(left) = left {
        shared.lacks(left);
    }
}
