//! When a replica acknowledges, and when it syncs its relay log after every event. The choice is pure.
//!
//! What is acknowledged has to be on disk, so an acker runs with `sync_relay_log=1`, which is several syncs for a small
//! transaction. On a slow disk that is slower than a busy writer commits, and a replica that was away would never catch up.
//! One that acknowledges nothing need not sync so often: it catches up first. The order is what matters. It stops to
//! acknowledge before it syncs seldom, and it syncs every event before it acknowledges. To acknowledge, its receiver is
//! restarted, and with a receiver both dialects close their relay log and begin another (MySQL manual 19.2.4.1); a file that
//! is closed is synced, however seldom that is done otherwise (seen with MySQL 9.7.4 and MariaDB 10.11.18). So whatever this
//! run of the server received before is on its disk then, too. A file of the run before may not be: nobody closed it. So what
//! was there when a run began has to be applied before that run acknowledges.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::gtid::GtidSet;
use crate::sql::{ManagedServer, Pulse};
use crate::state::Epoch;

/// A replica that lacks more transactions catches up first: it stops to acknowledge where nobody relies on it, and syncs
/// seldom. What it lacks when the writer is made to wait for it is what clients then wait for.
const FAR: u64 = if cfg!(feature = "simulation") { 20 } else { 2_000 };
/// With so few it syncs every event again: it is there in a moment.
const NEAR: u64 = if cfg!(feature = "simulation") { 5 } else { 200 };
/// Between two looks at what the writer has.
const LOOK_AGAIN: Duration = Duration::from_millis(300);
/// The same run's beginning, told twice, differs by less: a server counts its uptime in whole seconds.
const SAME_RUN: Duration = Duration::from_millis(1500);
/// How long a look may take; nobody waits for it.
const LOOK: Duration = Duration::from_secs(2);
/// An older look says nothing.
const STALE: Duration = Duration::from_secs(4);

/// A replica that follows the writer, as its own node sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// It is on the committed list of ackers.
    pub(super) listed: bool,
    /// What was agreed on is that no write may be lost.
    pub(super) lossless: bool,
    /// Its replica side of semi-sync is on.
    pub(super) acks: bool,
    /// `sync_relay_log` is 1.
    pub(super) syncs: bool,
    /// The writer was asked what it has since this server began to run, and answered or not.
    pub(super) looked: bool,
    /// What had been received when this run of the server was first seen is applied.
    pub(super) settled: bool,
    /// Transactions of the writer that it has not received; `None` when that is not known.
    pub(super) lacks: Option<u64>,
}

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// All is as it should be, or will be.
    Leave,
    /// The replica side of semi-sync goes off.
    AckNoMore,
    /// It syncs now and then.
    SyncSeldom,
    /// It syncs every event.
    SyncEvery,
    /// The replica side of semi-sync goes on.
    Ack,
}

/// What is next.
pub(super) fn next(view: &View) -> Next {
    let lacks_more = |than: u64| view.lacks.is_some_and(|lacks| lacks > than);
    match (view.acks, view.syncs) {
        (true, _) if !view.listed => Next::AckNoMore,
        // Somebody set it by hand. The next event's sync takes all of its file along.
        (true, false) => Next::SyncEvery,
        (true, true) if lacks_more(FAR) && !view.lossless => Next::AckNoMore,
        (true, true) => Next::Leave,
        (false, true) if lacks_more(FAR) => Next::SyncSeldom,
        (false, true) if view.listed && view.looked && view.settled => Next::Ack,
        // Of a writer that cannot be asked nothing better is known.
        (false, false) if view.looked && view.lacks.is_none_or(|lacks| lacks <= NEAR) => Next::SyncEvery,
        (false, _) => Next::Leave,
    }
}

/// What a node remembers of its replica between two looks.
#[derive(Default)]
pub struct CatchingUp {
    seen: Arc<Mutex<Seen>>,
    /// It was told to sync seldom, at any time.
    pub(super) seldom: bool,
    /// When the present run of the server began, and what it had received when it was first seen.
    run: Option<(Instant, GtidSet)>,
}

/// What the writer had that the replica had not.
#[derive(Default)]
struct Seen {
    /// Of which writer.
    epoch: Epoch,
    looking: bool,
    /// When it was looked last, and what came of it.
    at: Option<Instant>,
    lacks: Option<u64>,
}

impl CatchingUp {
    /// Whether what had been received when this run of the server was first seen is applied: some of it may lie in a file that
    /// the run before never closed.
    pub(super) fn is_settled(&mut self, pulse: &Pulse) -> bool {
        let now = Instant::now();
        let began = now.checked_sub(pulse.uptime).unwrap_or(now);
        let is_same = |before: Instant| began.saturating_duration_since(before) < SAME_RUN;
        if !self.run.as_ref().is_some_and(|(before, _)| is_same(*before)) {
            // One that acknowledges at first sight has promised already.
            let received = match pulse.semi_sync.replica_enabled {
                true => GtidSet::empty(pulse.received.dialect()),
                false => pulse.received.clone(),
            };
            self.run = Some((began, received));
        }
        self.run.as_ref().is_some_and(|(_, received)| pulse.executed.contains(received).unwrap_or(false))
    }

    /// Whether this run of the server acknowledged when it was first seen: it does so again without a look before.
    pub(super) fn acknowledged_at_first(&self) -> bool {
        self.run.as_ref().is_some_and(|(_, received)| received.is_empty())
    }

    /// Whether the last look was no longer ago than a few seconds, and the server ran then for all that is known: it counts
    /// its `uptime` in whole seconds.
    pub(super) fn has_looked(&self, epoch: Epoch, uptime: Duration) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.epoch == epoch && seen.at.is_some_and(|at| at.elapsed() <= STALE.min(uptime))
    }

    /// How many transactions of the writer it lacks, by the last look that was no longer ago than a few seconds.
    pub(super) fn lacks(&self, epoch: Epoch) -> Option<u64> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = seen.epoch == epoch && seen.at.is_some_and(|at| at.elapsed() <= STALE);
        seen.lacks.filter(|_| fresh)
    }

    /// Looks at what the writer has, beside everything else, if it was not looked at for a second. The replica's set is the
    /// older of the two, so that it may seem to lack a little more than it does.
    pub(super) fn look(&self, epoch: Epoch, received: &GtidSet, writer: Arc<dyn ManagedServer>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.looking || (seen.epoch == epoch && seen.at.is_some_and(|at| at.elapsed() < LOOK_AGAIN)) {
            return;
        }
        (seen.looking, seen.epoch) = (true, epoch);
        drop(seen);
        let (seen, received) = (Arc::clone(&self.seen), received.clone());
        crate::task::spawn(async move {
            let pulse = timeout(LOOK, writer.pulse()).await.ok().and_then(Result::ok);
            let lacks =
                pulse.and_then(|pulse| pulse.executed.subtract(&received).ok()).map(|set| set.count());
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            (seen.looking, seen.at, seen.lacks) = (false, Some(Instant::now()), lacks);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACKS: View = View {
        listed: true,
        lossless: false,
        acks: true,
        syncs: true,
        looked: true,
        settled: true,
        lacks: Some(0),
    };

    #[test]
    fn what_a_replica_does_next() {
        let quiet = View { acks: false, ..ACKS };
        let seldom = View { syncs: false, ..quiet };
        let cases = [
            ("serves", ACKS, Next::Leave),
            ("is not listed", View { listed: false, ..ACKS }, Next::AckNoMore),
            ("acknowledges what may not be on disk", View { syncs: false, ..ACKS }, Next::SyncEvery),
            ("far behind", View { lacks: Some(FAR + 1), ..ACKS }, Next::AckNoMore),
            ("far behind, and relied on", View { lacks: Some(FAR + 1), lossless: true, ..ACKS }, Next::Leave),
            ("behind, and not far", View { lacks: Some(FAR), ..ACKS }, Next::Leave),
            ("not known how far", View { lacks: None, ..ACKS }, Next::Leave),
            ("listed, and quiet", quiet, Next::Ack),
            ("the same, the writer unknown", View { lacks: None, ..quiet }, Next::Ack),
            ("the run before may not have synced", View { settled: false, ..quiet }, Next::Leave),
            ("not looked yet", View { looked: false, lacks: None, ..quiet }, Next::Leave),
            ("behind and quiet", View { lacks: Some(FAR + 1), ..quiet }, Next::SyncSeldom),
            ("the same, not listed", View { lacks: Some(FAR + 1), listed: false, ..quiet }, Next::SyncSeldom),
            ("not listed, and near", View { listed: false, ..quiet }, Next::Leave),
            ("syncs seldom, still behind", View { lacks: Some(NEAR + 1), ..seldom }, Next::Leave),
            ("syncs seldom, the writer cannot be asked", View { lacks: None, ..seldom }, Next::SyncEvery),
            ("the same, not looked yet", View { looked: false, lacks: None, ..seldom }, Next::Leave),
            ("syncs seldom, and is near", View { lacks: Some(NEAR), ..seldom }, Next::SyncEvery),
            ("the same, not listed", View { listed: false, ..seldom }, Next::SyncEvery),
        ];
        for (what, view, expected) in cases {
            assert_eq!(next(&view), expected, "{what}: {view:?}");
        }
    }

    /// Whatever is known, what it acknowledges is on disk.
    #[test]
    fn it_acknowledges_only_while_it_syncs_every_event() {
        for bits in 0..4_u8 {
            let [listed, lossless] = [1, 2].map(|bit| bits & bit != 0);
            for lacks in [None, Some(0), Some(NEAR + 1), Some(FAR + 1), Some(FAR + 1)] {
                let view =
                    View { listed, lossless, acks: false, syncs: false, looked: true, settled: true, lacks };
                assert_ne!(next(&view), Next::Ack, "{view:?}");
                assert_ne!(next(&View { acks: true, syncs: true, ..view }), Next::SyncSeldom, "{view:?}");
            }
        }
    }
}
