//! One run of a server: what is gone when it ends.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use baton_node::sql::{SqlError, Switch, ThreadError};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::events::Entry;
use super::settings::ServerSettings;
use super::transaction::Row;

/// A server's process.
#[derive(Debug)]
pub(super) struct Process {
    /// Which run of a server this is, over the whole fleet.
    pub(super) life: u64,
    pub(super) pid: i32,
    pub(super) start_ticks: u64,
    pub(super) started: Instant,
    pub(super) phase: Phase,
    /// SIGSTOP: nothing of it runs.
    pub(super) frozen: bool,
    /// What reached it meanwhile.
    pub(super) parked: Vec<Entry>,
    /// What waits for the disk.
    pub(super) at_disk: Vec<Entry>,
    pub(super) switch: Switch,
    pub(super) offline: bool,
    pub(super) event_scheduler: bool,
    pub(super) sessions: BTreeMap<u64, Session>,
    pub(super) source: SourceSide,
    /// The replica side is switched on.
    pub(super) acker: bool,
    /// `sync_relay_log` is 1.
    pub(super) syncs_relay_log: bool,
    pub(super) dumps: BTreeMap<u64, Dump>,
    pub(super) receiver: Receiver,
    pub(super) applier: Applier,
    /// Written to the binlog and not committed yet, in its order.
    pub(super) commits: VecDeque<Commit>,
    /// Closing statements that wait for the lock.
    pub(super) closings: Vec<Closing>,
    /// Writes that queue behind it.
    pub(super) queued: VecDeque<Write>,
    /// The epoch the world says that it was opened under.
    pub(super) epoch: u64,
}

/// How far a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Recovers, and refuses connections.
    Starting,
    Up,
    /// Was told to stop, and refuses connections.
    Stopping,
    /// Runs none of its code any more, and is kept by a stalled disk: its port takes connections.
    Dying,
}

/// Why a session is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) user: String,
    pub(super) host: String,
    pub(super) kind: SessionKind,
    pub(super) at_work: bool,
    /// Was killed while its commit waits for an acker, and stays until that ends (MySQL).
    pub(super) killed: bool,
    /// Holds `LOCK TABLES`.
    pub(super) locks: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionKind {
    /// An ordinary account.
    Client,
    /// An account with all privileges: MariaDB's `read_only` does not bind it, nor does MySQL's without `super`.
    Privileged,
    Baton,
}

/// Semi-sync's source side.
#[derive(Clone, Debug)]
pub(super) struct SourceSide {
    pub(super) enabled: bool,
    pub(super) active: bool,
    pub(super) timeout_ms: u64,
    pub(super) wait_count: u32,
    pub(super) wait_no_replica: bool,
    /// How much of the binlog each acker, by server, has acknowledged.
    pub(super) acknowledged: BTreeMap<usize, usize>,
}

/// A replica's stream, seen from its source.
#[derive(Clone, Debug)]
pub(super) struct Dump {
    pub(super) replica: usize,
    pub(super) stream: u64,
    /// The replica said that it acknowledges.
    pub(super) acks: bool,
    /// What is next of the binlog.
    pub(super) cursor: usize,
    /// What the replica said that it has, where some of it may still come.
    pub(super) skips: Option<baton_node::gtid::GtidSet>,
    pub(super) last_sent: Instant,
    pub(super) last_arrival: Instant,
    /// A send that found the way cut, or half a transaction, is followed by another.
    pub(super) again: bool,
    /// The beginning of the next transaction has been sent.
    pub(super) half: bool,
}

/// The IO thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Receiver {
    pub(super) on: bool,
    /// The attempt under way, over the whole fleet; another with each connection.
    pub(super) stream: u64,
    pub(super) connected: bool,
    /// The connection was made as an acker.
    pub(super) acking: bool,
    pub(super) heard: Option<Instant>,
    pub(super) heartbeats: u64,
    pub(super) source_seen: bool,
    pub(super) error: Option<ThreadError>,
    /// The source's name of the stream.
    pub(super) dump: u64,
    /// The end, in the source's binlog, of what it has stored and not acknowledged yet.
    pub(super) owes: Option<usize>,
}

/// The SQL thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Applier {
    pub(super) on: bool,
    pub(super) busy: bool,
    pub(super) error: Option<ThreadError>,
}

/// A commit under way.
#[derive(Debug)]
pub(super) struct Commit {
    /// Its place in the binlog.
    pub(super) index: usize,
    pub(super) owner: Owner,
    /// The binlog is on disk as far as this.
    pub(super) synced: bool,
    /// It waits for an acknowledgement.
    pub(super) waits: bool,
    pub(super) row: Option<Row>,
}

/// Whose commit it is.
#[derive(Debug)]
pub(super) enum Owner {
    Session { session: u64, reply: Option<Reply<()>> },
    Applier,
}

/// A write that has not begun.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) session: u64,
    pub(super) row: Option<Row>,
    pub(super) reply: Reply<()>,
}

/// A closing statement.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) session: u64,
    pub(super) to: Switch,
    pub(super) reply: Reply<()>,
}

/// Answers a statement; dropped unanswered, the connection broke.
pub(super) type Reply<T> = oneshot::Sender<Result<T, SqlError>>;

impl Process {
    /// As it begins to start: by its option file alone.
    pub(super) fn new(life: u64, pid: i32, now: Instant, ticks: u64, settings: &ServerSettings) -> Self {
        Self {
            life,
            pid,
            start_ticks: ticks,
            started: now,
            phase: Phase::Starting,
            frozen: false,
            parked: Vec::new(),
            at_disk: Vec::new(),
            switch: settings.boots,
            offline: false,
            event_scheduler: false,
            sessions: BTreeMap::new(),
            source: SourceSide::off(),
            acker: false,
            syncs_relay_log: settings.sync_relay_log,
            dumps: BTreeMap::new(),
            receiver: Receiver::default(),
            applier: Applier::default(),
            commits: VecDeque::new(),
            closings: Vec::new(),
            queued: VecDeque::new(),
            epoch: 0,
        }
    }

    /// Takes connections and runs statements.
    pub(super) fn serves(&self) -> bool {
        self.phase == Phase::Up && !self.frozen
    }

    pub(super) fn uptime(&self, now: Instant) -> Duration {
        Duration::from_secs(now.duration_since(self.started).as_secs())
    }

    /// Replicas that count as ackers.
    pub(super) fn ackers(&self) -> u32 {
        u32::try_from(self.dumps.values().filter(|d| d.acks).count()).unwrap_or(u32::MAX)
    }

    /// Sessions whose commit waits for an acknowledgement.
    pub(super) fn waiting(&self) -> u32 {
        u32::try_from(self.commits.iter().filter(|c| c.synced && c.waits).count()).unwrap_or(u32::MAX)
    }
}

impl SourceSide {
    fn off() -> Self {
        Self {
            enabled: false,
            active: false,
            timeout_ms: 10_000,
            wait_count: 1,
            wait_no_replica: true,
            acknowledged: BTreeMap::new(),
        }
    }
}
