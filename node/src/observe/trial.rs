//! Tries on the server beside this node what a client would do there: a new connection and a write. A connection that is
//! kept tells little about either.
//!
//! A write is tried only where none is seen: a busy writer shows by its GTID set that it commits, and an idle one gets a
//! commit every ten seconds.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::own::OwnHandle;
use crate::decide::seen::{OwnServer, ProbeError};
use crate::decide::tried::{Disk, Tried, Write};
use crate::gtid::GtidSet;
use crate::sql::{ManagedServer, SqlError};

/// From one new connection to the next: a hang has to show before everybody else has waited long enough.
const CONNECT_EVERY: Duration = Duration::from_millis(500);
/// One that takes longer has not come about.
const CONNECT_WITHIN: Duration = Duration::from_millis(1000);
/// How often it is looked whether a write is called for.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A write waits at most a second for somebody's lock and says so then; what takes longer is blocked.
const WRITE_WITHIN: Duration = Duration::from_millis(1500);
/// From one write to the next on an idle writer.
const WRITE_EVERY: Duration = Duration::from_secs(10);
/// The same where something is wrong.
const WRITE_AGAIN: Duration = Duration::from_millis(500);
/// A new connection that has not come about for so long, or a pulse as old, calls for a write at once.
const SUSPICIOUS: Duration = Duration::from_millis(300);
/// From one look at the disk and at the number of sessions to the next.
const SLOW_EVERY: Duration = Duration::from_secs(5);

/// What an [`OwnTrial`] needs.
#[derive(Clone)]
pub struct TrialSetup {
    /// The server.
    pub server: Arc<dyn ManagedServer>,
    /// What it says of itself.
    pub own: OwnHandle,
    /// Whether to try now: the guard holds a lease that was renewed lately, and the cluster is lossless. A writer that is
    /// about to be closed is not held up by a write. Nor does one wait for an acker that is not there yet: an acker that
    /// had received it before acknowledges later transactions only, and on an idle writer there is none. Must not block.
    pub may_write: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// Tries, for as long as it runs.
pub struct OwnTrial {
    setup: TrialSetup,
    record: Arc<Mutex<Record>>,
}

/// Reads what an [`OwnTrial`] found.
#[derive(Clone)]
pub struct TrialHandle(Arc<Mutex<Record>>);

impl TrialHandle {
    /// As of now.
    pub fn now(&self) -> Tried {
        lock(&self.0).at(Instant::now())
    }
}

#[derive(Debug, Default)]
struct Record {
    /// When the first of the connections was begun that have not come about since the last one that did.
    connecting_since: Option<Instant>,
    connection_error: Option<ProbeError>,
    /// The same of writes.
    writing_since: Option<Instant>,
    write: Write,
    /// The newest set seen, and since when it is.
    executed: Option<(GtidSet, Instant)>,
    write_due: Option<Instant>,
    /// When the latest write ended.
    wrote_at: Option<Instant>,
    sessions: Option<(u32, u32)>,
    disk: Option<Disk>,
}

impl OwnTrial {
    /// Tries nothing before it runs.
    pub fn new(setup: TrialSetup) -> (Self, TrialHandle) {
        let record = Arc::<Mutex<Record>>::default();
        (Self { setup, record: Arc::clone(&record) }, TrialHandle(record))
    }

    /// Runs until it is dropped.
    pub async fn run(self) {
        tokio::join!(self.connect(), self.write(), self.look_slowly());
    }

    async fn connect(&self) {
        loop {
            let begun = Instant::now();
            if (self.setup.may_write)() {
                lock(&self.record).connecting_since.get_or_insert(begun);
                let connected = timeout(CONNECT_WITHIN, self.setup.server.connect_anew()).await;
                let late = SqlError::TimedOut { what: "a new connection", after: CONNECT_WITHIN };
                lock(&self.record).connected(connected.unwrap_or(Err(late)));
            } else {
                let mut record = lock(&self.record);
                (record.connecting_since, record.connection_error) = (None, None);
            }
            sleep_until(begun + CONNECT_EVERY).await;
        }
    }

    async fn write(&self) {
        loop {
            let begun = Instant::now();
            if (self.setup.may_write)() {
                let due = lock(&self.record).is_write_due(&self.setup.own.now(), begun);
                if due {
                    let written =
                        timeout(WRITE_WITHIN * 2, self.setup.server.prove_commit(WRITE_WITHIN)).await;
                    let late = SqlError::TimedOut { what: "a write", after: WRITE_WITHIN * 2 };
                    let own = self.setup.own.now();
                    lock(&self.record).wrote(written.unwrap_or(Err(late)), &own, Instant::now());
                }
            } else {
                lock(&self.record).no_writer();
            }
            sleep_until(begun + LOOK_EVERY).await;
        }
    }

    /// What fails here is looked at again later: the pulse says why the server does not answer.
    async fn look_slowly(&self) {
        loop {
            if let (Ok(inventory), Ok(pulse)) =
                (self.setup.server.inventory().await, self.setup.server.pulse().await)
            {
                let settings = inventory.settings;
                lock(&self.record).sessions = Some((pulse.threads_connected, settings.max_connections));
                // A call into a file system that hangs never returns: it has a thread of its own, and no second one.
                let looked = crate::task::ask_host(move || disk(settings.datadir.into())).await;
                lock(&self.record).disk = looked;
            }
            sleep(SLOW_EVERY).await;
        }
    }
}

fn disk(folder: PathBuf) -> Option<Disk> {
    let stat = rustix::fs::statvfs(&folder).ok()?;
    Some(Disk {
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
        size: stat.f_blocks.saturating_mul(stat.f_frsize),
        read_only: stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
    })
}

impl Record {
    fn connected(&mut self, connected: Result<(), SqlError>) {
        // One that was refused with words has come about.
        self.connection_error = match connected {
            Ok(()) => None,
            Err(SqlError::TooManyConnections) => Some(ProbeError::TooManyConnections),
            Err(error) if error.server_answered() => Some(ProbeError::Other),
            Err(SqlError::Refused { .. }) => Some(ProbeError::Refused),
            Err(_) => Some(ProbeError::Silent),
        };
        if self.connection_error.is_none_or(ProbeError::answered) {
            self.connecting_since = None;
        }
    }

    fn no_writer(&mut self) {
        (self.writing_since, self.write, self.executed, self.write_due) = (None, Write::NotTried, None, None);
    }

    /// Whether to write now; if so, it counts as begun.
    fn is_write_due(&mut self, own: &OwnServer, now: Instant) -> bool {
        let Some(pulse) = &own.pulse else { return false };
        let read_at = now.checked_sub(own.pulse_age).unwrap_or(now);
        let before = self.executed.as_ref().map(|(set, _)| set);
        if before != Some(&pulse.executed) {
            let first = before.is_none();
            self.executed = Some((pulse.executed.clone(), read_at));
            if !first {
                (self.writing_since, self.write) = (None, Write::Committed);
            }
        }
        let suspicious = own.pulse_age >= SUSPICIOUS
            || self.connecting_since.is_some_and(|since| now.duration_since(since) >= SUSPICIOUS)
            || self.disk.is_some_and(|disk| disk.takes_nothing())
            || matches!(self.write, Write::Blocked | Write::Failed(_));
        // Commits come through, or wait for ackers that a further one would wait for as well.
        let quiet = self.executed.as_ref().is_some_and(|(_, at)| now.duration_since(*at) >= SUSPICIOUS);
        let waits = own.pulse_age < SUSPICIOUS && pulse.waiting > 0;
        let due = *self.write_due.get_or_insert(now + WRITE_EVERY);
        let soon = self.wrote_at.map_or(now, |at| at + WRITE_AGAIN);
        let due = if suspicious { due.min(soon) } else { due };
        if !quiet || waits || now < due {
            return false;
        }
        self.writing_since.get_or_insert(now);
        if self.write == Write::Committed {
            // What came through before says nothing about this one.
            self.write = Write::NotTried;
        }
        true
    }

    fn wrote(&mut self, written: Result<(), SqlError>, own: &OwnServer, now: Instant) {
        let waits = own.pulse_age < SUSPICIOUS && own.pulse.as_ref().is_some_and(|p| p.waiting > 0);
        self.write =
            match written {
                Ok(()) => Write::Committed,
                Err(SqlError::TimedOut { .. } | SqlError::Gone { .. } | SqlError::Refused { .. }) => {
                    if waits { Write::AckersMissing } else { Write::Blocked }
                }
                // The write before this one is still on its way, and holds the lock that this one waited for.
                Err(SqlError::LockWaitTimeout) if self.write == Write::Blocked => Write::Blocked,
                Err(error @ SqlError::Other { .. }) => Write::Failed(error.to_string()),
                // Closed meanwhile, or somebody holds a lock, or nobody lets Baton in: no word on the server's health.
                Err(_) => Write::NotTried,
            };
        self.wrote_at = Some(now);
        let fails = matches!(self.write, Write::Blocked | Write::Failed(_));
        if !fails {
            self.writing_since = None;
        }
        self.write_due = Some(now + if fails { WRITE_AGAIN } else { WRITE_EVERY });
    }

    fn at(&self, now: Instant) -> Tried {
        let elapsed = |since: Option<Instant>| since.map_or(Duration::ZERO, |s| now.duration_since(s));
        Tried {
            no_connection_for: elapsed(self.connecting_since),
            connection_error: self.connection_error,
            sessions: self.sessions,
            no_commit_for: elapsed(self.writing_since),
            write: self.write.clone(),
            disk: self.disk,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
