//! The SQL thread: one transaction after the other, in the order of the relay log.

use std::sync::Arc;

use baton_node::gtid::GtidSet;
use baton_node::sql::ThreadError;

use super::events::Event;
use super::faults::Disk;
use super::machine::Machine;
use super::process::{Commit, Owner};
use super::transaction::Gtid;

impl Machine {
    /// Takes up the next transaction, unless one is in work. A full disk makes it wait.
    pub(super) fn applies(&mut self, at: usize) {
        let server = &mut self.servers[at];
        let Some(p) = server.process.as_mut().filter(|p| p.applier.on && !p.applier.busy) else { return };
        let waits = server.store.channel.as_ref().is_some_and(|c| !c.relay.is_empty());
        if waits && server.disk != Disk::Full {
            p.applier.busy = true;
            let takes = server.settings.apply_takes + server.applies_slower_by;
            self.later(at, takes, Event::Applied);
        }
    }

    pub(super) fn applied(&mut self, at: usize) {
        let server = &mut self.servers[at];
        let Some(p) = server.process.as_mut() else { return };
        let next =
            server.store.channel.as_mut().filter(|_| p.applier.on).and_then(|c| c.relay.front().cloned());
        let Some(transaction) = next else {
            p.applier.busy = false;
            return;
        };
        if let Some(error) = refuses(transaction.gtid, &server.store.executed) {
            p.applier.busy = false;
            p.applier.on = false;
            p.applier.error = Some(error);
            return;
        }
        if let Some(channel) = &mut server.store.channel {
            channel.pop();
        }
        if transaction.gtid.is_in(&server.store.executed) {
            p.applier.busy = false;
            return self.applies(at);
        }
        // Applied and in the own binlog at once; as any commit it waits for ackers where the source side is on.
        let row = transaction.row;
        let index = server.store.append(Arc::clone(&transaction), &server.settings);
        p.commits.push_back(Commit { index, owner: Owner::Applier, synced: true, waits: false, row });
        self.binlog_synced(at, index + 1);
    }
}

/// MariaDB in `gtid_strict_mode`: a sequence number that is taken stops the SQL thread.
fn refuses(gtid: Gtid, executed: &GtidSet) -> Option<ThreadError> {
    let (Gtid::Mariadb(gtid), GtidSet::Mariadb(set)) = (gtid, executed) else { return None };
    let last = set.last_gtids().find(|last| last.domain == gtid.domain)?;
    let is_there = Gtid::Mariadb(gtid).is_in(executed);
    (gtid.sequence <= last.sequence && !is_there).then(|| ThreadError {
        errno: 1950,
        message: format!(
            "an attempt was made to binlog GTID {gtid} which would create an out-of-order sequence number"
        ),
    })
}
