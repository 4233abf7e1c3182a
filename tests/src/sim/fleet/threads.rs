//! The statements that start, stop and point the replication threads.

use std::time::Duration;

use baton_node::gtid::Dialect;
use baton_node::sql::SqlError;

use super::events::Event;
use super::machine::Machine;
use super::process::Receiver;
use super::store::Channel;

/// Which of the two threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thread {
    Receiver,
    Applier,
    Both,
}

impl Thread {
    fn receives(self) -> bool {
        self != Self::Applier
    }

    fn applies(self) -> bool {
        self != Self::Receiver
    }
}

impl Machine {
    /// `STOP REPLICA`, of one thread or both.
    pub(super) fn stop_threads(&mut self, at: usize, which: Thread) {
        if which.receives() {
            self.stop_receiver(at);
        }
        if which.applies()
            && let Some(p) = self.process(at)
        {
            p.applier.on = false;
        }
    }

    /// `STOP REPLICA IO_THREAD`; false while the thread hangs in a write.
    pub(super) fn stops_receiver(&mut self, at: usize) -> bool {
        let hangs = self.receiver_hangs(at);
        if !hangs {
            self.stop_receiver(at);
        }
        !hangs
    }

    /// What has arrived stays; what is still under way is sent again on the next connection.
    fn stop_receiver(&mut self, at: usize) {
        let source = self.servers[at].store.channel.as_ref().and_then(|c| c.source);
        let Some(p) = self.process(at) else { return };
        let (connected, dump) = (p.receiver.connected, p.receiver.dump);
        p.receiver = Receiver {
            heartbeats: p.receiver.heartbeats,
            source_seen: p.receiver.source_seen,
            ..Receiver::default()
        };
        if let (true, Some(source)) = (connected, source) {
            self.leaves_dump(at, source, dump);
        }
    }

    /// `START REPLICA`, of one thread or both. MariaDB with GTID throws the relay log away when one starts while both
    /// stand still (tried), and takes everything from the source again.
    pub(super) fn start_threads(&mut self, at: usize, which: Thread) -> Result<(), SqlError> {
        let server = &mut self.servers[at];
        let Some(channel) = &mut server.store.channel else {
            return Err(SqlError::NoSuchThing { message: "no source is configured on this server".into() });
        };
        let Some(p) = &mut server.process else { return Ok(()) };
        if server.settings.dialect == Dialect::Mariadb && !p.receiver.on && !p.applier.on {
            channel.drop_relay_log();
        }
        if which.applies() {
            p.applier.on = true;
            p.applier.error = None;
        }
        let connects = which.receives() && !std::mem::replace(&mut p.receiver.on, true);
        if connects {
            // Another relay log begins, and one that is closed is on disk.
            channel.relay_unsynced = None;
            p.receiver.error = None;
            self.connect_after(at, Duration::ZERO);
        }
        self.later(at, Duration::ZERO, Event::Applies);
        Ok(())
    }

    /// `CHANGE REPLICATION SOURCE`. MySQL keeps the relay log beside a running applier, MariaDB never does.
    pub(super) fn change_source(&mut self, at: usize, host: &str, port: u16) -> Result<(), SqlError> {
        let source = self.by_host.get(host).copied();
        let source = source.filter(|s| self.servers[*s].settings.port == port);
        let server = &mut self.servers[at];
        let Some(p) = &mut server.process else { return Ok(()) };
        let dialect = server.settings.dialect;
        if p.receiver.on || (dialect == Dialect::Mariadb && p.applier.on) {
            return Err(SqlError::Other {
                errno: 3021,
                message: "this operation needs a stopped thread".into(),
            });
        }
        let keeps = dialect == Dialect::Mysql && p.applier.on;
        let mut channel = Channel::new(dialect, host, port, source);
        if let Some(before) = server.store.channel.take().filter(|_| keeps) {
            channel = Channel { source_host: channel.source_host, source_port: port, source, ..before };
        }
        server.store.channel = Some(channel);
        p.receiver = Receiver::default();
        Ok(())
    }

    /// `RESET REPLICA ALL`.
    pub(super) fn reset_replica(&mut self, at: usize) -> Result<(), SqlError> {
        let server = &mut self.servers[at];
        let Some(p) = &mut server.process else { return Ok(()) };
        if p.receiver.on || p.applier.on {
            return Err(SqlError::Other {
                errno: 3081,
                message: "this operation needs stopped threads".into(),
            });
        }
        server.store.channel = None;
        p.receiver = Receiver::default();
        Ok(())
    }
}
