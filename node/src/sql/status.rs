//! What a server says about itself.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::gtid::{Dialect, GtidSet};

/// A server's version, for people and for records. Baton never decides by it: it asks for the thing it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// As the server writes it, for example `10.11.19-MariaDB-log`.
    pub text: String,
    /// Major, minor, patch.
    pub number: (u16, u16, u16),
}

impl Version {
    /// Reads the leading three numbers; what is missing counts as 0.
    pub fn parse(text: &str) -> Self {
        let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(|p| p.parse().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        Self { text: text.to_owned(), number: (next(), next(), next()) }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Who a server is to its peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// MySQL's `server_uuid`. MariaDB has none that replication uses.
    pub server_uuid: Option<String>,
    /// `server_id`, which must differ between the servers of a cluster.
    pub server_id: u32,
}

/// Whether clients can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Switch {
    /// Accepts client writes.
    Open,
    /// `read_only`: accounts with SUPER, CONNECTION_ADMIN or READ ONLY ADMIN still write.
    Closed,
    /// MySQL `super_read_only=ON`, MariaDB `read_only=NO_LOCK_NO_ADMIN`: nobody but replication writes.
    ClosedToAll,
}

impl Switch {
    /// Closed, to ordinary accounts or to all.
    pub fn is_closed(self) -> bool {
        self != Self::Open
    }
}

/// The last error of a replication thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadError {
    /// The error number: 1045 rejected user, 1236 binlogs gone, 2003 unreachable …
    pub errno: u32,
    /// The server's own words.
    pub message: String,
}

/// One replication channel of a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replication {
    /// The source's host, as configured.
    pub source_host: String,
    /// The source's port.
    pub source_port: u16,
    /// The source's `server_uuid`, once it has connected (MySQL).
    pub source_uuid: Option<String>,
    /// The source's `server_id`, once it has connected.
    pub source_id: Option<u32>,
    /// The IO thread runs *and* says it is connected. It says so for `replica_net_timeout` after a cut: no evidence of
    /// receiving.
    pub io_running: bool,
    /// The IO thread exists, connected or trying to connect.
    pub io_started: bool,
    /// The SQL thread (applier) runs.
    pub sql_running: bool,
    /// Why the IO thread stopped or cannot connect.
    pub last_io_error: Option<ThreadError>,
    /// Why the SQL thread stopped.
    pub last_sql_error: Option<ThreadError>,
    /// `Seconds_Behind_Source`: none while a thread stands still.
    pub seconds_behind: Option<u64>,
    /// Heartbeats received since the channel was configured or the server started. Only a rise says anything.
    pub heartbeats: u64,
    /// Rises with every event received; jumps back when the channel is pointed elsewhere. Only a rise says anything.
    pub events_marker: u64,
    /// What the IO thread has received: MySQL's retrieved set, MariaDB's `Gtid_IO_Pos` (empty after a restart).
    pub retrieved: GtidSet,
    /// The configured delay. A delayed replica is no candidate.
    pub delay: Duration,
    /// The channel finds its position by GTID.
    pub auto_position: bool,
    /// How many channels the server has; Baton manages one, the unnamed one.
    pub channels: u32,
}

/// Both sides of semi-synchronous replication.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SemiSync {
    /// The server has the source side (MySQL: a plugin).
    pub source_available: bool,
    /// The server has the replica side.
    pub replica_available: bool,
    /// The source side is switched on: commits wait.
    pub source_enabled: bool,
    /// The replica side is switched on. It takes effect when the IO thread next connects.
    pub replica_enabled: bool,
    /// The replica side is in effect: this server acknowledges what it receives.
    pub replica_acking: bool,
    /// `sync_relay_log`: after so many events the relay log is on disk, 0 for whenever the system does it. An acker needs 1.
    pub sync_relay_log: u32,
    /// Milliseconds after which the server would stop waiting by itself.
    pub timeout_ms: u64,
    /// The wait point is `AFTER_SYNC`.
    pub after_sync: bool,
    /// How many ackers a commit waits for. MariaDB always waits for one.
    pub wait_count: u32,
    /// A commit waits even when no acker is connected.
    pub wait_no_replica: bool,
    /// Ackers connected now.
    pub ackers: u32,
    /// The source side is switched on and has not fallen back to asynchronous.
    pub source_active: bool,
    /// Sessions whose commit waits for an acknowledgement now.
    pub waiting_sessions: u32,
}

/// What is read several times a second, in one round trip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulse {
    /// Open or closed.
    pub switch: Switch,
    /// MySQL `offline_mode`. Always false on MariaDB, which has none.
    pub offline_mode: bool,
    /// What the server has committed: `gtid_executed`; MariaDB `gtid_binlog_state` ∪ `gtid_slave_pos`.
    pub executed: GtidSet,
    /// Executed ∪ in the relay log.
    pub received: GtidSet,
    /// The replication channel, if one is configured.
    pub replication: Option<Replication>,
    /// Semi-sync, both sides.
    pub semi_sync: SemiSync,
    /// Since the server's start, in whole seconds.
    pub uptime: Duration,
    /// Client sessions.
    pub threads_connected: u32,
}

impl Pulse {
    /// Whether everything that was received has been applied.
    pub fn all_applied(&self) -> bool {
        // Two sets of one server are of one dialect.
        self.executed.contains(&self.received).unwrap_or(false)
    }
}

/// The little of a [`Pulse`] that shows whether anything has changed, for a fraction of its price: a handful of columns
/// instead of a hundred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    /// As [`Pulse::switch`].
    pub switch: Switch,
    /// As [`Pulse::executed`].
    pub executed: GtidSet,
    /// The unnamed channel is there, receives ([`Replication::io_running`]) and applies. False also where it was not asked
    /// for, or where there are named channels only.
    pub replicates: bool,
}

impl Glance {
    /// What a glance at the same moment would have shown.
    pub fn of(pulse: &Pulse) -> Self {
        Self {
            switch: pulse.switch,
            executed: pulse.executed.clone(),
            replicates: pulse.replication.as_ref().is_some_and(|c| c.io_running && c.sql_running),
        }
    }
}

/// What `batonctl check` looks at: read seldom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// MySQL or MariaDB.
    pub dialect: Dialect,
    /// The version.
    pub version: Version,
    /// Who the server is.
    pub identity: Identity,
    /// The settings that safety depends on.
    pub settings: Settings,
}

/// Settings that safety depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Binary log on.
    pub log_bin: bool,
    /// MySQL `gtid_mode=ON`; MariaDB always has GTIDs.
    pub gtid_mode: bool,
    /// MySQL `enforce_gtid_consistency=ON`, MariaDB `gtid_strict_mode=ON`.
    pub gtid_strict: bool,
    /// A replica writes what it applies to its own binlog.
    pub log_replica_updates: bool,
    /// `ROW`, `STATEMENT` or `MIXED`.
    pub binlog_format: String,
    /// 1: the binlog is on disk before a commit returns.
    pub sync_binlog: u32,
    /// 1: InnoDB's log is on disk before a commit returns.
    pub flush_log_at_trx_commit: u32,
    /// Throws the relay log away at a restart. An acker must have it off.
    pub relay_log_recovery: bool,
    /// 1: an acknowledged event is on disk. An acker must have 1.
    pub sync_relay_log: u32,
    /// Replication does not start with the server. None on MariaDB, which has it as an option only.
    pub skip_replica_start: Option<bool>,
    /// Seconds without a heartbeat after which a replica reconnects.
    pub replica_net_timeout_s: u32,
    /// Events run.
    pub event_scheduler: bool,
    /// The host under which the server announces itself (`report_host`).
    pub report_host: Option<String>,
    /// The port it announces.
    pub report_port: Option<u16>,
    /// Client TCP port.
    pub port: u16,
    /// Unix socket.
    pub socket: String,
    /// Data directory.
    pub datadir: String,
    /// `max_connections`.
    pub max_connections: u32,
    /// The interface that has room when every connection is taken, where there is one: MySQL's `admin_address` and
    /// `admin_port`, MariaDB's `extra_port`.
    #[serde(default)]
    pub admin: Option<(String, u16)>,
}

/// Everything: an inventory and a pulse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerStatus {
    /// Seldom changes.
    pub inventory: Inventory,
    /// Changes all the time.
    pub pulse: Pulse,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_all_kinds_are_read() {
        for (text, number) in [
            ("9.7.4", (9, 7, 4)),
            ("8.0.36-28-log", (8, 0, 36)),
            ("10.11.19-MariaDB-0+deb12u1-log", (10, 11, 19)),
            ("12", (12, 0, 0)),
        ] {
            assert_eq!(Version::parse(text).number, number, "{text}");
        }
    }
}
