//! The source's side of replication: who is sent the binlog, and who has acknowledged what.

use std::sync::Arc;
use std::time::Duration;

use baton_node::gtid::{Dialect, GtidSet};
use rand::Rng;

use super::events::{Event, Sent};
use super::machine::{Machine, SEND_AGAIN};
use super::process::Dump;
use super::transaction::has;

/// `SOURCE_HEARTBEAT_PERIOD`, as Baton sets it.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// MySQL's thread for acknowledgements looks up once a second: so long does an acker that went count as connected.
const ACK_THREAD_LOOKS_MS: u64 = 1000;
/// The end of a transaction that is sent in two pieces follows its beginning within this.
const HALF_LASTS_MS: u64 = 20;

impl Machine {
    /// A replica has logged in and says what it has.
    pub(super) fn dump_asked(&mut self, at: usize, replica: usize, stream: u64, seen: GtidSet, acks: bool) {
        let server = &self.servers[at];
        if server.locks_out_replicas {
            return self.ends_stream(
                at,
                replica,
                stream,
                1045,
                "access denied for the replication user",
                false,
            );
        }
        if let Err(why) = self.can_serve(at, &seen) {
            return self.ends_stream(at, replica, stream, 1236, why, true);
        }
        let taken = server.process.as_ref().map_or(0, |p| p.sessions.len() + p.dumps.len());
        if taken >= server.settings.max_connections {
            return self.ends_stream(at, replica, stream, 1040, "too many connections", false);
        }
        let cursor = server.store.binlog.iter().position(|t| !t.gtid.is_in(&seen));
        let cursor = cursor.unwrap_or(server.store.binlog.len());
        let some_later = server.store.binlog[cursor..].iter().any(|t| t.gtid.is_in(&seen));
        let skips = (some_later || !has(&server.store.executed, &seen)).then_some(seen);
        let (id, now) = (self.unique(), self.now);
        let dump = Dump {
            replica,
            stream,
            acks,
            cursor,
            skips,
            last_sent: now,
            last_arrival: now,
            again: false,
            half: false,
        };
        let Some(p) = self.process(at) else { return };
        // The replica's earlier stream, if it still counts here, ends.
        p.dumps.retain(|_, d| d.replica != replica);
        p.dumps.insert(id, dump);
        if let Some(way) = self.way(at, replica) {
            self.brings(replica, way, Event::Connected { stream, dump: id });
        }
        self.later(at, HEARTBEAT, Event::Beats(id));
        self.sends(at, id);
        self.settle(at);
    }

    /// MySQL refuses a replica that has more of the source's own transactions than it has itself; MariaDB in strict mode
    /// one whose position it does not know.
    fn can_serve(&self, at: usize, seen: &GtidSet) -> Result<(), &'static str> {
        let server = &self.servers[at];
        // MySQL counts what waits for an acker here too.
        let mut executed = server.store.executed.clone();
        for transaction in &server.store.binlog[server.store.committed..] {
            transaction.gtid.add_to(&mut executed);
        }
        match (seen, &executed) {
            (GtidSet::Mysql(seen), GtidSet::Mysql(executed)) => {
                let own = server.settings.uuid();
                let more = seen.subtract(executed).uuids().any(|uuid| uuid == own);
                if more { Err("replica has more GTIDs than the source has") } else { Ok(()) }
            }
            _ if has(&executed, seen) => Ok(()),
            _ => Err("connecting slave requested to start from a GTID which is not in the master's binlog"),
        }
    }

    /// Refuses a stream, or ends it.
    pub(super) fn ends_stream(
        &mut self,
        at: usize,
        replica: usize,
        stream: u64,
        errno: u32,
        message: &str,
        fatal: bool,
    ) {
        if let Some(way) = self.way(at, replica) {
            let message = message.to_owned();
            self.brings(replica, way, Event::StreamEnds { stream, errno, message, fatal });
        }
    }

    /// What was put off goes on.
    pub(super) fn sends_again(&mut self, at: usize, id: u64) {
        if let Some(dump) = self.process(at).and_then(|p| p.dumps.get_mut(&id)) {
            dump.again = false;
            self.sends(at, id);
        }
    }

    /// Sends what is new and on disk. A stream keeps its order; a cut holds it up, and it goes on behind it.
    pub(super) fn sends(&mut self, at: usize, id: u64) {
        loop {
            let server = &self.servers[at];
            let Some(dump) = server.process.as_ref().and_then(|p| p.dumps.get(&id)) else { return };
            let next =
                server.store.binlog.get(dump.cursor).filter(|_| dump.cursor < server.store.binlog_synced);
            let (Some(next), false) = (next, dump.again) else { return };
            let (transaction, replica, end) = (Arc::clone(next), dump.replica, dump.cursor + 1);
            let sent = Sent { stream: dump.stream, source: at, dump: id };
            let skipped = dump.skips.as_ref().is_some_and(|skips| transaction.gtid.is_in(skips));
            let begun = dump.half;
            let halves = server.settings.halves_percent;
            if !skipped {
                let Some(arrives) = self.send(at, id) else { return };
                if !begun && self.chance(halves) {
                    self.brings(replica, arrives, Event::Half { sent });
                    return self.sends_the_rest_later(at, id);
                }
                self.brings(replica, arrives, Event::Arrives { sent, transaction, end });
            }
            if let Some(dump) = self.process(at).and_then(|p| p.dumps.get_mut(&id)) {
                dump.cursor = end;
                dump.half = false;
            }
        }
    }

    fn sends_the_rest_later(&mut self, at: usize, id: u64) {
        let pause = Duration::from_millis(self.random.random_range(1..HALF_LASTS_MS));
        if let Some(dump) = self.process(at).and_then(|p| p.dumps.get_mut(&id)) {
            dump.half = true;
            dump.again = true;
            self.later(at, pause, Event::Sends(id));
        }
    }

    /// How long it takes until what is sent now arrives behind what was sent before; tried again later when cut.
    fn send(&mut self, at: usize, id: u64) -> Option<Duration> {
        let replica = self.servers[at].process.as_ref()?.dumps.get(&id)?.replica;
        let (way, now) = (self.way(at, replica), self.now);
        let dump = self.process(at)?.dumps.get_mut(&id)?;
        let Some(way) = way else {
            if !std::mem::replace(&mut dump.again, true) {
                self.later(at, SEND_AGAIN, Event::Sends(id));
            }
            return None;
        };
        dump.last_sent = now;
        dump.last_arrival = dump.last_arrival.max(now + way);
        Some(dump.last_arrival - now)
    }

    pub(super) fn beats(&mut self, at: usize, id: u64) {
        let now = self.now;
        let Some(dump) = self.process(at).and_then(|p| p.dumps.get_mut(&id)) else { return };
        let (replica, due) = (dump.replica, dump.last_sent + HEARTBEAT);
        let sent = Sent { stream: dump.stream, source: at, dump: id };
        if due > now {
            return self.later(at, due - now, Event::Beats(id));
        }
        if let Some(arrives) = self.send(at, id) {
            self.brings(replica, arrives, Event::Heartbeat { sent });
        }
        self.later(at, HEARTBEAT, Event::Beats(id));
    }

    /// The replica's end of this stream closes, and the source learns it.
    pub(super) fn leaves_dump(&mut self, replica: usize, source: usize, dump: u64) {
        let way = self.way(replica, source).unwrap_or(SEND_AGAIN * 5);
        let lingers = match self.servers[source].settings.dialect {
            Dialect::Mysql => Duration::from_millis(self.random.random_range(0..ACK_THREAD_LOOKS_MS)),
            Dialect::Mariadb => Duration::ZERO,
        };
        self.brings(source, way + lingers, Event::DumpEnds(dump));
    }

    pub(super) fn dump_ends(&mut self, at: usize, id: u64) {
        let Some(dump) = self.process(at).and_then(|p| p.dumps.get(&id)) else { return };
        let replica = dump.replica;
        // A host that is cut off says nothing of its going.
        if self.way(replica, at).is_none() {
            return self.brings(at, SEND_AGAIN * 5, Event::DumpEnds(id));
        }
        self.process(at).map(|p| p.dumps.remove(&id));
        self.settle(at);
    }

    /// A replica has the binlog up to `end` on disk.
    pub(super) fn acknowledges(&mut self, at: usize, id: u64, replica: usize, end: usize) {
        let all = self.servers[at].store.binlog.len();
        let Some(p) = self.process(at) else { return };
        if !p.dumps.contains_key(&id) || !p.source.enabled {
            return;
        }
        let most = p.source.acknowledged.entry(replica).or_default();
        *most = end.max(*most);
        // A source that fell back waits again once an acker has all it has.
        if end >= all {
            p.source.active = true;
        }
        self.settle(at);
    }
}
