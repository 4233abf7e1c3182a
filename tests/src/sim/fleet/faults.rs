//! What can be done to servers from outside: for those who break things, and for the operators of a world.

use std::time::Duration;

use baton_node::sql::Switch;

use super::Fleet;

/// How the disk under a server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Disk {
    /// Writes end in their time.
    #[default]
    Fine,
    /// Nothing more fits: a client's write fails with error 1114; relay log and applier wait. (A real server may also
    /// wait for room while it writes its binlog: that is [`Disk::Stalled`].)
    Full,
    /// Writes do not return (`fsfreeze`): commits hang, and a killed process does not exit.
    Stalled,
}

impl Disk {
    pub(super) fn stands_still(self) -> bool {
        self == Self::Stalled
    }
}

impl Fleet {
    /// Starts a server that does not run.
    pub fn start(&self, host: &str) {
        self.at(host, |m, at| m.start(at));
    }

    /// SIGKILL of this very process; false when it is not that one any more.
    pub fn kill_process(&self, host: &str, pid: i32, start_ticks: u64) -> bool {
        let right = |p: &super::ProcessSeen| p.pid == pid && p.start_ticks == start_ticks;
        let is_it = self.process(host).is_some_and(|p| right(&p));
        if is_it {
            self.kill(host);
        }
        is_it
    }

    /// SIGKILL: what was written stays, unacknowledged too.
    pub fn kill(&self, host: &str) {
        self.at(host, |m, at| m.kill(at));
    }

    /// The host loses its power: what was not on disk is gone.
    pub fn lose_power(&self, host: &str) {
        self.at(host, |m, at| m.lose_power(at));
    }

    /// SIGTERM.
    pub fn terminate(&self, host: &str) {
        self.at(host, |m, at| m.terminate(at));
    }

    /// SIGSTOP.
    pub fn freeze(&self, host: &str) {
        self.at(host, |m, at| m.freeze(at));
    }

    /// SIGCONT.
    pub fn thaw(&self, host: &str) {
        self.at(host, |m, at| m.thaw(at));
    }

    /// Fills, stalls or mends a disk.
    pub fn set_disk(&self, host: &str, disk: Disk) {
        self.at(host, |m, at| {
            m.servers[at].disk = disk;
            if !disk.stands_still() {
                m.disk_goes_on(at);
            }
        });
    }

    /// Every transaction takes longer to apply.
    pub fn set_apply_delay(&self, host: &str, more: Duration) {
        self.at(host, |m, at| m.slower(at, more));
    }

    /// Locks the replication account out, or in again; streams that stand go on.
    pub fn lock_out_replicas(&self, host: &str, out: bool) {
        self.at(host, |m, at| m.servers[at].locks_out_replicas = out);
    }

    /// An operator sets the read-only flags by hand, waiting for nobody.
    pub fn set_switch(&self, host: &str, switch: Switch) {
        self.at(host, |m, at| {
            if let Some(p) = m.process(at) {
                p.switch = switch;
            }
        });
    }

    /// An operator kills every client's session.
    pub fn kill_clients(&self, host: &str) {
        self.at(host, |m, at| drop(m.kill_clients(at)));
    }

    /// From now on what this server acknowledges counts as acknowledged under this epoch: the world says so when the
    /// server's keeper is armed.
    pub fn set_epoch(&self, host: &str, epoch: u64) {
        self.at(host, |m, at| {
            if let Some(p) = m.process(at) {
                p.epoch = epoch;
            }
        });
    }

    /// A host without a server is no error: a witness has none.
    pub(super) fn at(&self, host: &str, f: impl FnOnce(&mut super::machine::Machine, usize)) {
        let mut machine = self.lock();
        if let Some(at) = machine.by_host.get(host).copied() {
            machine.touches(at);
            f(&mut machine, at);
        }
    }
}
