//! What only those who check invariants may know: everything, at once, of servers that nobody reaches too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use baton_node::gtid::GtidSet;
use baton_node::sql::Switch;

use super::machine::Server;
use super::process::{Phase, Process};
use super::{Fleet, Gtid, Host, Row};

/// A client was told that its row is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// By which server.
    pub host: Host,
    /// The row.
    pub row: Row,
    /// Its transaction.
    pub gtid: Gtid,
    /// The epoch that [`Fleet::set_epoch`] last named for this run of the server; 0 for none.
    pub epoch: u64,
    /// Which run of a server it was.
    pub life: u64,
    /// When, since the fleet was made.
    pub after: Duration,
}

/// A server's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSeen {
    /// Its pid.
    pub pid: i32,
    /// When it started, in clock ticks since the fleet was made.
    pub start_ticks: u64,
    /// It runs none of its code any more, and has not exited.
    pub runs_no_more: bool,
}

/// A server, as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSeen {
    /// Its process, if there is one.
    pub process: Option<ProcessSeen>,
    /// SIGSTOP.
    pub frozen: bool,
    /// It takes connections.
    pub up: bool,
    /// The epoch that [`Fleet::set_epoch`] last named for this run of it; 0 for none.
    pub epoch: u64,
    /// Open or closed.
    pub switch: Option<Switch>,
    /// What it has committed.
    pub executed: GtidSet,
    /// That, and what is in its relay log.
    pub received: GtidSet,
    /// Where it replicates from.
    pub source: Option<Host>,
    /// Commits of clients under way.
    pub commits: usize,
    /// So many commits wait for ackers.
    pub waiting: u32,
    /// Semi-sync's source side is on and active.
    pub waits: bool,
    /// It acknowledges what it receives.
    pub acks: bool,
}

impl ProcessSeen {
    fn of(process: &Process) -> Self {
        Self {
            pid: process.pid,
            start_ticks: process.start_ticks,
            runs_no_more: process.phase == Phase::Dying,
        }
    }
}

impl ServerSeen {
    fn of(server: &Server) -> Self {
        let p = server.process.as_ref();
        let pulse = p.map(super::pulse::semi_sync);
        Self {
            process: p.map(ProcessSeen::of),
            frozen: p.is_some_and(|p| p.frozen),
            up: p.is_some_and(|p| p.serves()),
            epoch: p.map_or(0, |p| p.epoch),
            switch: p.map(|p| p.switch),
            executed: server.store.executed.clone(),
            received: server.store.received(),
            source: server.store.channel.as_ref().map(|c| c.source_host.clone()),
            commits: p.map_or(0, |p| p.commits.len()),
            waiting: pulse.as_ref().map_or(0, |s| s.waiting_sessions),
            waits: pulse.as_ref().is_some_and(|s| s.source_active),
            acks: pulse.as_ref().is_some_and(|s| s.replica_acking),
        }
    }
}

impl Fleet {
    /// Every server's host.
    pub fn hosts(&self) -> Vec<Host> {
        self.lock().by_host.keys().cloned().collect()
    }

    /// Rises with whatever may have changed a server: as long as it stays, there is nothing new to look at. Pulses and
    /// heartbeats do not move it.
    pub fn generation(&self) -> u64 {
        self.lock().generation()
    }

    /// Looks again at every server that may have changed since `generation`; the present one.
    pub fn see_again(&self, servers: &mut BTreeMap<Host, Arc<ServerSeen>>, generation: u64) -> u64 {
        let machine = self.lock();
        for server in machine.servers.iter().filter(|s| generation == 0 || s.generation > generation) {
            servers.insert(server.settings.host.clone(), Arc::new(ServerSeen::of(server)));
        }
        machine.generation()
    }

    /// The server's process.
    pub fn process(&self, host: &str) -> Option<ProcessSeen> {
        let machine = self.lock();
        let at = machine.by_host.get(host)?;
        machine.servers[*at].process.as_ref().map(ProcessSeen::of)
    }

    /// A server.
    pub fn seen(&self, host: &str) -> Option<ServerSeen> {
        let machine = self.lock();
        machine.by_host.get(host).map(|at| ServerSeen::of(&machine.servers[*at]))
    }
    /// Servers that run, are not stopped, and let ordinary accounts write.
    pub fn accepting_writes(&self) -> Vec<Host> {
        let machine = self.lock();
        let open = |p: &Process| p.serves() && p.switch == Switch::Open && !p.offline;
        let servers = machine.servers.iter().filter(|s| s.process.as_ref().is_some_and(open));
        servers.map(|s| s.settings.host.clone()).collect()
    }

    /// The rows that readers of this server see, or would see if it ran.
    pub fn rows(&self, host: &str) -> BTreeSet<Row> {
        let machine = self.lock();
        machine.by_host.get(host).map(|at| machine.servers[*at].store.rows.clone()).unwrap_or_default()
    }

    /// Rows of `wanted` that this server has not committed.
    pub fn rows_missing(&self, host: &str, wanted: &[Row]) -> Vec<Row> {
        let machine = self.lock();
        let rows = machine.by_host.get(host).map(|at| &machine.servers[*at].store.rows);
        wanted.iter().filter(|row| rows.is_none_or(|rows| !rows.contains(row))).copied().collect()
    }

    /// What was acknowledged to clients, in its order, from the `from`th on.
    pub fn acknowledged(&self, from: usize) -> Vec<Acknowledged> {
        self.lock().acknowledged.get(from..).unwrap_or_default().to_vec()
    }
}
