//! The IO thread: connecting, receiving, acknowledging.

use std::time::Duration;

use baton_node::gtid::Dialect;
use baton_node::sql::ThreadError;

use super::machine::{Event, Machine, SEND_AGAIN};
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
            channel.half = false;
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

    fn hears(&mut self, at: usize, stream: u64) -> bool {
        let now = self.now;
        if self.current(at, stream).is_none() {
            return false;
        }
        if let Some(p) = self.process(at) {
            p.receiver.heard = Some(now);
        }
        true
    }

    pub(super) fn heartbeat(&mut self, at: usize, stream: u64) {
        if self.hears(at, stream)
            && let Some(p) = self.process(at)
        {
            p.receiver.heartbeats += 1;
        }
    }

    /// Nothing counts as received before its end has come; MySQL's applier waits in the middle of it.
    pub(super) fn half(&mut self, at: usize, stream: u64) {
        if self.hears(at, stream)
            && let Some(channel) = &mut self.servers[at].store.channel
        {
            channel.half = true;
        }
    }

    pub(super) fn arrives(&mut self, at: usize, stream: u64, transaction: Shared, end: usize) {
        if !self.hears(at, stream) {
            return;
        }
        let server = &mut self.servers[at];
        let Some(channel) = &mut server.store.channel else { return };
        channel.half = false;
        channel.events += 1;
        // MariaDB names the last of each domain alone.
        match channel.retrieved.dialect() {
            Dialect::Mysql => transaction.gtid.add_to(&mut channel.retrieved),
            Dialect::Mariadb => channel.retrieved = transaction.gtid.alone(),
        }
        channel.relay.push_back(transaction);
        let takes = if server.settings.sync_relay_log { server.settings.sync_takes } else { Duration::ZERO };
        self.later(at, takes, Event::Stored { stream, end });
    }

    /// The relay log is on disk as far as this, and only now is it acknowledged.
    pub(super) fn stored(&mut self, at: usize, stream: u64, end: usize) {
        let synced = self.servers[at].settings.sync_relay_log;
        if let Some(channel) = &mut self.servers[at].store.channel
            && synced
        {
            channel.relay_synced = channel.relay.len().min(channel.relay_synced + 1);
        }
        self.applies(at);
        self.acknowledgement_leaves(at, stream, end);
    }

    pub(super) fn acknowledgement_leaves(&mut self, at: usize, stream: u64, end: usize) {
        let Some(source) = self.current(at, stream) else { return };
        let Some((true, dump)) = self.process(at).map(|p| (p.receiver.acking, p.receiver.dump)) else {
            return;
        };
        match self.way(at, source) {
            Some(way) => self.brings(source, way, Event::Acknowledges { dump, replica: at, end }),
            None => self.later(at, SEND_AGAIN, Event::AcknowledgementLeaves { stream, end }),
        }
    }
}
