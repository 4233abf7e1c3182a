//! Starting, ending, freezing.

use std::time::Duration;

use baton_node::gtid::Dialect;

use super::events::Event;
use super::machine::Machine;
use super::process::{Owner, Phase, Process};

/// Pids of servers begin here: below are the machine's own.
const FIRST_PID: i32 = 10_000;
/// Clock ticks in a second, as `/proc` counts.
const TICKS_PER_SECOND: u128 = 100;

impl Machine {
    /// Starts the server, if it does not run.
    pub(super) fn start(&mut self, at: usize) {
        if self.servers[at].process.is_some() {
            return;
        }
        let life = self.unique();
        let ticks = u64::try_from(self.elapsed().as_millis() * TICKS_PER_SECOND / 1000).unwrap_or(0);
        let pid = FIRST_PID + i32::try_from(life).unwrap_or(0);
        let (now, server) = (self.now, &mut self.servers[at]);
        server.process = Some(Process::new(life, pid, now, ticks, &server.settings));
        let takes = server.settings.start_takes;
        server.tell();
        self.later(at, takes, Event::Up);
    }

    /// Recovered: takes connections, closed, semi-sync off, replication not started.
    pub(super) fn is_up(&mut self, at: usize) {
        let server = &mut self.servers[at];
        let Some(p) = server.process.as_mut().filter(|p| p.phase == Phase::Starting) else { return };
        server.store.recover(&server.settings);
        p.phase = Phase::Up;
        server.tell();
    }

    /// SIGKILL. What was written is kept, on disk or not: the kernel has it. A stalled disk keeps the process, which runs
    /// no more, and its port.
    pub(super) fn kill(&mut self, at: usize) {
        let server = &mut self.servers[at];
        let Some(p) = &mut server.process else { return };
        if server.disk.stands_still() {
            p.phase = Phase::Dying;
            p.frozen = false;
            p.parked.clear();
            p.at_disk.clear();
            // Its clients hear nothing, for nothing closes their connections.
            server.tell();
        } else {
            self.is_gone(at);
        }
    }

    /// The host lost its power.
    pub(super) fn lose_power(&mut self, at: usize) {
        self.servers[at].process = None;
        let server = &mut self.servers[at];
        server.store.lose_unsynced(&server.settings);
        server.tell();
    }

    /// SIGTERM. MySQL answers commits that wait for an acker with OK (tried), MariaDB with a lost connection.
    pub(super) fn terminate(&mut self, at: usize) {
        let server = &mut self.servers[at];
        let dialect = server.settings.dialect;
        let takes = server.settings.stop_takes;
        let Some(p) = server.process.as_mut().filter(|p| p.phase == Phase::Up && !p.frozen) else { return };
        p.phase = Phase::Stopping;
        p.queued.clear();
        p.closings.clear();
        let mut commits = std::mem::take(&mut p.commits);
        p.sessions.clear();
        if dialect == Dialect::Mariadb {
            for commit in &mut commits {
                if let Owner::Session { reply, .. } = &mut commit.owner {
                    reply.take();
                }
            }
        }
        for commit in commits {
            self.ends(at, commit, Ok(()));
        }
        self.servers[at].tell();
        self.later(at, takes, Event::Exits);
    }

    pub(super) fn exits(&mut self, at: usize) {
        if self.servers[at].process.as_ref().is_some_and(|p| p.phase == Phase::Stopping) {
            self.is_gone(at);
        }
    }

    /// The kernel closes what the process had open: whoever is reached hears it at once.
    pub(super) fn is_gone(&mut self, at: usize) {
        let Some(p) = self.servers[at].process.take() else { return };
        for dump in p.dumps.values() {
            self.ends_stream(at, dump.replica, dump.stream, 2013, "lost connection to the source", false);
        }
        let source = self.servers[at].store.channel.as_ref().and_then(|c| c.source);
        if let (true, Some(source)) = (p.receiver.connected, source) {
            self.leaves_dump(at, source, p.receiver.dump);
        }
        self.servers[at].tell();
    }

    /// SIGSTOP.
    pub(super) fn freeze(&mut self, at: usize) {
        if let Some(p) = self.process(at).filter(|p| p.phase != Phase::Dying) {
            p.frozen = true;
            self.servers[at].tell();
        }
    }

    /// SIGCONT: whatever reached it meanwhile is worked off, in its order.
    pub(super) fn thaw(&mut self, at: usize) {
        let Some(p) = self.process(at).filter(|p| p.frozen) else { return };
        p.frozen = false;
        let parked = std::mem::take(&mut p.parked);
        self.replay(parked);
        self.servers[at].tell();
    }

    /// The disk works again.
    pub(super) fn disk_goes_on(&mut self, at: usize) {
        let Some(p) = self.process(at) else { return };
        if p.phase == Phase::Dying {
            return self.is_gone(at);
        }
        let at_disk = std::mem::take(&mut p.at_disk);
        self.replay(at_disk);
        self.applies(at);
        self.servers[at].tell();
    }

    /// What a slow disk adds.
    pub(super) fn slower(&mut self, at: usize, by: Duration) {
        self.servers[at].applies_slower_by = by;
    }
}
