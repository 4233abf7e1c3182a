//! The IO thread: connecting, receiving, acknowledging.

use std::time::Duration;

use baton_node::gtid::Dialect;
use baton_node::sql::ThreadError;

use super::events::{Event, Sent};
use super::machine::{Machine, SEND_AGAIN};
use super::transaction::Shared;

/// `SOURCE_CONNECT_RETRY`, as Baton sets it.
const RETRY: Duration = Duration::from_secs(1);

impl Machine {
    /// Begins to connect, under a new name of the stream.
    pub(super) fn connect_after(&mut self, at: usize, after: Duration) {
        let stream = self.unique();
        let Some(p) = self.process(at) else { return };
        p.receiver.stream = stream;
        p.receiver.connected = false;
        p.receiver.heard = None;
        p.receiver.owes = None;
        self.later(at, after, Event::Connects(stream));
    }

    fn current(&mut self, at: usize, stream: u64) -> Option<usize> {
        let server = &self.servers[at];
        let p = server.process.as_ref()?;
        (p.receiver.on && p.receiver.stream == stream).then_some(())?;
        server.store.channel.as_ref()?.source
    }

    pub(super) fn connects(&mut self, at: usize, stream: u64) {
        let Some(source) = self.current(at, stream) else { return };
        let seen = self.servers[at].store.received();
        let (way, acks) = (self.way(at, source), self.process(at).is_some_and(|p| p.acker));
        let timeout = self.net_timeout(at);
        if let Some(p) = self.process(at) {
            p.receiver.acking = acks;
        }
        if let Some(way) = way {
            self.brings(source, way, Event::DumpAsked { replica: at, stream, has: seen, acks });
        }
        self.later(at, timeout, Event::HeardNothing(stream));
    }

    fn net_timeout(&self, at: usize) -> Duration {
        Duration::from_secs(u64::from(self.servers[at].store.net_timeout_s))
    }

    pub(super) fn connected(&mut self, at: usize, stream: u64, dump: u64) {
        let now = self.now;
        if self.current(at, stream).is_none() {
            return;
        }
        let server = &mut self.servers[at];
        if let Some(channel) = &mut server.store.channel {
            channel.files += 1;
        }
        if let Some(p) = &mut server.process {
            p.receiver.connected = true;
            p.receiver.source_seen = true;
            p.receiver.error = None;
            p.receiver.heard = Some(now);
            p.receiver.dump = dump;
        }
    }

    /// Refused, or cut from the other side.
    pub(super) fn stream_ends(&mut self, at: usize, stream: u64, errno: u32, message: String, fatal: bool) {
        if self.current(at, stream).is_none() {
            return;
        }
        let was = self.process(at).is_some_and(|p| p.receiver.connected);
        if let Some(p) = self.process(at) {
            p.receiver.error = Some(ThreadError { errno, message });
            p.receiver.connected = false;
            p.receiver.on = !fatal;
        }
        // A connection that stood is made again at once.
        if !fatal {
            self.connect_after(at, if was { SEND_AGAIN } else { RETRY });
        }
    }

    /// `replica_net_timeout`.
    pub(super) fn heard_nothing(&mut self, at: usize, stream: u64) {
        let Some(source) = self.current(at, stream) else { return };
        let (now, timeout) = (self.now, self.net_timeout(at));
        let Some(p) = self.process(at) else { return };
        let due = p.receiver.heard.map(|heard| heard + timeout).filter(|due| *due > now);
        if let Some(due) = due {
            return self.later(at, due - now, Event::HeardNothing(stream));
        }
        let (was, dump) = (p.receiver.connected, p.receiver.dump);
        p.receiver.error =
            Some(ThreadError { errno: 2003, message: "error connecting to the source".into() });
        if was {
            self.leaves_dump(at, source, dump);
        }
        self.connect_after(at, RETRY);
    }

    /// Whether it belongs to the stream that stands; the end of another is told that nobody is there.
    fn hears(&mut self, at: usize, sent: Sent) -> bool {
        let now = self.now;
        if self.current(at, sent.stream).is_none() {
            self.leaves_dump(at, sent.source, sent.dump);
            return false;
        }
        // Nothing overtakes the answer to the login: where that was held up by a cut, this comes behind it.
        if self.process(at).is_some_and(|p| !p.receiver.connected) {
            self.connected(at, sent.stream, sent.dump);
        }
        if let Some(p) = self.process(at) {
            p.receiver.heard = Some(now);
        }
        true
    }

    pub(super) fn heartbeat(&mut self, at: usize, sent: Sent) {
        if self.hears(at, sent)
            && let Some(p) = self.process(at)
        {
            p.receiver.heartbeats += 1;
        }
    }

    /// It is evidence of receiving; nothing counts as received before its end has come.
    pub(super) fn half(&mut self, at: usize, sent: Sent) {
        if self.hears(at, sent)
            && let Some(channel) = &mut self.servers[at].store.channel
        {
            channel.events += 1;
        }
    }

    pub(super) fn arrives(&mut self, at: usize, sent: Sent, transaction: Shared, end: usize) {
        if self.hears(at, sent) {
            let settings = &self.servers[at].settings;
            let takes = if settings.sync_relay_log { settings.sync_takes } else { Duration::ZERO };
            self.later(at, takes, Event::Stored { stream: sent.stream, transaction, end });
        }
    }

    /// It is in the relay log, and on disk where that is asked for; only now does it count and is it acknowledged. What
    /// a stop finds on the way is dropped: it is sent again by the next source.
    pub(super) fn stored(&mut self, at: usize, stream: u64, transaction: Shared, end: usize) {
        if self.current(at, stream).is_none() {
            return;
        }
        let server = &mut self.servers[at];
        let Some(channel) = &mut server.store.channel else { return };
        channel.events += 1;
        // MariaDB names the last of each domain alone.
        match channel.retrieved.dialect() {
            Dialect::Mysql => transaction.gtid.add_to(&mut channel.retrieved),
            Dialect::Mariadb => channel.retrieved = transaction.gtid.alone(),
        }
        let syncs = server.process.as_ref().is_some_and(|p| p.syncs_relay_log);
        channel.store(transaction, syncs);
        self.applies(at);
        let Some(p) = self.process(at).filter(|p| p.receiver.acking) else { return };
        if p.receiver.owes.replace(end).is_none() {
            self.acknowledgement_leaves(at, stream);
        }
    }

    /// One acknowledgement covers all before it.
    pub(super) fn acknowledgement_leaves(&mut self, at: usize, stream: u64) {
        let Some(source) = self.current(at, stream) else { return };
        let way = self.way(at, source);
        let Some(receiver) = self.process(at).map(|p| &mut p.receiver) else { return };
        let Some(end) = receiver.owes else { return };
        match way {
            Some(way) => {
                receiver.owes = None;
                let dump = receiver.dump;
                self.brings(source, way, Event::Acknowledges { dump, replica: at, end });
            }
            None => self.later(at, SEND_AGAIN, Event::AcknowledgementLeaves(stream)),
        }
    }

    /// The IO thread hangs in a write that does not return: stopping it would hang too.
    pub(super) fn receiver_hangs(&self, at: usize) -> bool {
        let hangs = |e: &super::events::Entry| matches!(e.event, Event::Stored { .. });
        self.servers[at].process.as_ref().is_some_and(|p| p.at_disk.iter().any(hangs))
    }
}
