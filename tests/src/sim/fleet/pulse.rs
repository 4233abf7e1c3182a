//! What a server says about itself.

use std::time::Duration;

use baton_node::gtid::Dialect;
use baton_node::sql::{Identity, Inventory, Pulse, Replication, SemiSync, Settings};

use super::machine::{Machine, Server};
use super::process::Process;
use super::store::Channel;

impl Machine {
    /// The pulse of a server that runs.
    pub(super) fn pulse(&self, at: usize) -> Option<Pulse> {
        let server = &self.servers[at];
        let p = server.process.as_ref()?;
        Some(Pulse {
            switch: p.switch,
            offline_mode: p.offline,
            executed: server.store.executed.clone(),
            received: server.store.received(),
            replication: server.store.channel.as_ref().map(|c| self.replication(server, p, c)),
            semi_sync: semi_sync(p),
            uptime: p.uptime(self.now),
            threads_connected: u32::try_from(p.sessions.len()).unwrap_or(u32::MAX),
        })
    }

    fn replication(&self, server: &Server, p: &Process, channel: &Channel) -> Replication {
        let source = channel.source.filter(|_| p.receiver.source_seen).map(|s| &self.servers[s].settings);
        let mysql = server.settings.dialect == Dialect::Mysql;
        let idle = channel.relay.is_empty();
        Replication {
            source_host: channel.source_host.clone(),
            source_port: channel.source_port,
            source_uuid: source.filter(|_| mysql).map(|s| s.uuid().to_string()),
            source_id: source.map(|s| s.server_id),
            io_running: p.receiver.on && p.receiver.connected,
            io_started: p.receiver.on,
            sql_running: p.applier.on,
            last_io_error: p.receiver.error.clone(),
            last_sql_error: p.applier.error.clone(),
            seconds_behind: (p.receiver.on && p.applier.on).then_some(u64::from(!idle)),
            heartbeats: p.receiver.heartbeats,
            events_marker: (channel.files << 40) | (channel.events & ((1 << 40) - 1)),
            retrieved: channel.retrieved.clone(),
            delay: Duration::ZERO,
            auto_position: true,
            channels: 1,
        }
    }

    /// What seldom changes.
    pub(super) fn inventory(&self, at: usize) -> Inventory {
        let server = &self.servers[at];
        let settings = &server.settings;
        let mysql = settings.dialect == Dialect::Mysql;
        let semi_sync = server.process.as_ref().map(semi_sync);
        let events = server.process.as_ref().is_some_and(|p| p.event_scheduler);
        Inventory {
            dialect: settings.dialect,
            version: settings.version(),
            identity: Identity {
                server_uuid: mysql.then(|| settings.uuid().to_string()),
                server_id: settings.server_id,
            },
            settings: Settings {
                sync_relay_log: semi_sync.map_or(1, |s| s.sync_relay_log),
                ..settings.variables(events, server.store.net_timeout_s)
            },
        }
    }
}

/// Both sides of semi-sync.
pub(super) fn semi_sync(p: &Process) -> SemiSync {
    SemiSync {
        source_available: true,
        replica_available: true,
        source_enabled: p.source.enabled,
        replica_enabled: p.acker,
        sync_relay_log: if p.syncs_relay_log { 1 } else { 10_000 },
        replica_acking: p.receiver.on && p.receiver.connected && p.receiver.acking,
        timeout_ms: p.source.timeout_ms,
        after_sync: true,
        wait_count: p.source.wait_count,
        wait_no_replica: p.source.wait_no_replica,
        ackers: if p.source.enabled { p.ackers() } else { 0 },
        source_active: p.source.enabled && p.source.active,
        waiting_sessions: p.waiting(),
    }
}
