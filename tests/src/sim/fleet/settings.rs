//! How a server is configured.

use std::time::Duration;

use baton_node::gtid::{Dialect, ServerUuid};
use baton_node::sql::{Account, Settings, Switch, Version};

use super::Host;

/// One server: what its option file says, and how fast its parts are.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Its host, and its name.
    pub host: Host,
    /// Its TCP port.
    pub port: u16,
    /// All servers of a fleet have the same.
    pub dialect: Dialect,
    /// `server_id`.
    pub server_id: u32,
    /// How it starts. A server that Baton manages starts closed.
    pub boots: Switch,
    /// `relay_log_recovery`: throws the relay log away at a start.
    pub relay_log_recovery: bool,
    /// `sync_relay_log`: events are on disk before they are acknowledged.
    pub sync_relay_log: bool,
    /// `sync_binlog` and `innodb_flush_log_at_trx_commit`: a commit is on disk before it is sent.
    pub sync_binlog: bool,
    /// MariaDB with `rpl_semi_sync_slave_enabled` in its option file: a crashed server drops what nobody acknowledged.
    pub drops_tail: bool,
    /// `max_connections`.
    pub max_connections: usize,
    /// Accounts besides Baton's that write while it is closed.
    pub accounts: Vec<Account>,
    /// How long a write to disk takes.
    pub sync_takes: Duration,
    /// How long one transaction takes to apply.
    pub apply_takes: Duration,
    /// From the process's start to the first connection.
    pub start_takes: Duration,
    /// From SIGTERM to the exit.
    pub stop_takes: Duration,
    /// Transactions of a hundred that arrive in two pieces, so that a source that dies leaves halves.
    pub halves_percent: u32,
}

impl ServerSettings {
    /// Settings that Baton's check has nothing against.
    pub fn safe(host: &str, dialect: Dialect, server_id: u32) -> Self {
        Self {
            host: host.to_owned(),
            port: 3306,
            dialect,
            server_id,
            boots: if dialect == Dialect::Mysql { Switch::ClosedToAll } else { Switch::Closed },
            relay_log_recovery: false,
            sync_relay_log: true,
            sync_binlog: true,
            drops_tail: false,
            max_connections: 151,
            accounts: Vec::new(),
            sync_takes: Duration::from_millis(1),
            apply_takes: Duration::from_millis(1),
            start_takes: Duration::from_millis(1000),
            stop_takes: Duration::from_millis(300),
            halves_percent: 5,
        }
    }

    /// MySQL's `server_uuid`, made of the server id.
    pub fn uuid(&self) -> ServerUuid {
        let mut bytes = [0x5e; 16];
        bytes[12..].copy_from_slice(&self.server_id.to_be_bytes());
        ServerUuid::from_bytes(bytes)
    }

    /// As the server announces its version.
    pub(super) fn version(&self) -> Version {
        Version::parse(match self.dialect {
            Dialect::Mysql => "9.7.4",
            Dialect::Mariadb => "10.11.19-MariaDB-log",
        })
    }

    pub(super) fn variables(&self, event_scheduler: bool, net_timeout_s: u32) -> Settings {
        Settings {
            log_bin: true,
            gtid_mode: true,
            gtid_strict: true,
            log_replica_updates: true,
            binlog_format: "ROW".into(),
            sync_binlog: u32::from(self.sync_binlog),
            flush_log_at_trx_commit: u32::from(self.sync_binlog),
            relay_log_recovery: self.relay_log_recovery,
            sync_relay_log: u32::from(self.sync_relay_log),
            skip_replica_start: (self.dialect == Dialect::Mysql).then_some(true),
            replica_net_timeout_s: net_timeout_s,
            event_scheduler,
            report_host: Some(self.host.clone()),
            report_port: Some(self.port),
            port: self.port,
            socket: format!("/run/{}/server.sock", self.host),
            datadir: format!("/var/lib/{}", self.host),
            max_connections: u32::try_from(self.max_connections).unwrap_or(u32::MAX),
            admin: None,
        }
    }
}
