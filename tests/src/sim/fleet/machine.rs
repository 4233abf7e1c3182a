//! The fleet's one queue of events and what each of them sets off.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::events::{Entry, Event};
use super::faults::Disk;
use super::inspect::Acknowledged;
use super::links::Links;
use super::process::{Phase, Process};
use super::settings::ServerSettings;
use super::store::Store;

/// How soon a packet that did not arrive is sent again.
pub(super) const SEND_AGAIN: Duration = Duration::from_millis(200);

/// Every server, and what is to happen when.
pub(super) struct Machine {
    pub(super) servers: Vec<Server>,
    pub(super) by_host: BTreeMap<String, usize>,
    pub(super) links: Arc<dyn Links>,
    pub(super) random: StdRng,
    pub(super) acknowledged: Vec<Acknowledged>,
    pub(super) now: Instant,
    /// Rises with whatever may have changed a server.
    generation: u64,
    begun: Instant,
    queue: BTreeMap<(Instant, u64), Entry>,
    count: u64,
    earlier: Arc<Notify>,
}

/// One server: its configuration, its files and its process.
pub(super) struct Server {
    pub(super) settings: ServerSettings,
    pub(super) store: Store,
    pub(super) process: Option<Process>,
    pub(super) disk: Disk,
    /// The replication account is locked out.
    pub(super) locks_out_replicas: bool,
    /// Added to the time that a transaction takes to apply.
    pub(super) applies_slower_by: Duration,
    /// The fleet's generation when something may have changed it last.
    pub(super) generation: u64,
    /// Changes when the process starts, ends, freezes or thaws.
    pub(super) changed: watch::Sender<u64>,
}

impl Machine {
    pub(super) fn new(
        settings: Vec<ServerSettings>,
        links: Arc<dyn Links>,
        seed: u64,
        earlier: Arc<Notify>,
    ) -> Self {
        let by_host = settings.iter().enumerate().map(|(at, s)| (s.host.clone(), at)).collect();
        let now = Instant::now();
        Self {
            servers: settings.into_iter().map(Server::new).collect(),
            by_host,
            links,
            random: StdRng::seed_from_u64(seed),
            acknowledged: Vec::new(),
            now,
            generation: 0,
            begun: now,
            queue: BTreeMap::new(),
            count: 0,
            earlier,
        }
    }

    /// When something happens next.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.queue.keys().next().map(|(at, _)| *at)
    }

    /// Lets everything happen that is due.
    pub(super) fn catch_up(&mut self, now: Instant) {
        while let Some(entry) = self.queue.first_entry().filter(|e| e.key().0 <= now) {
            let ((at, _), entry) = entry.remove_entry();
            self.now = at.max(self.now);
            self.happen(entry);
        }
        self.now = now;
    }

    /// Something may change this server, and no other one.
    pub(super) fn touches(&mut self, server: usize) {
        self.generation += 1;
        self.servers[server].generation = self.generation;
    }

    /// Rises with whatever may have changed a server.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Virtual time since the fleet was made.
    pub(super) fn elapsed(&self) -> Duration {
        self.now.duration_since(self.begun)
    }

    /// A number that nothing else in the fleet has.
    pub(super) fn unique(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// Something in this run of a server, after a while.
    pub(super) fn later(&mut self, server: usize, after: Duration, event: Event) {
        let life = self.servers[server].process.as_ref().map(|p| p.life);
        self.push(after, Entry { server, life, event });
    }

    /// Something that the network brings.
    pub(super) fn brings(&mut self, server: usize, after: Duration, event: Event) {
        self.push(after, Entry { server, life: None, event });
    }

    fn push(&mut self, after: Duration, entry: Entry) {
        let key = (self.now + after, self.unique());
        let first = self.next_at().is_none_or(|at| key.0 < at);
        self.queue.insert(key, entry);
        if first {
            self.earlier.notify_one();
        }
    }

    /// The way between two servers, now.
    pub(super) fn way(&self, from: usize, to: usize) -> Option<Duration> {
        self.way_between(&self.servers[from].settings.host, &self.servers[to].settings.host)
    }

    /// The way between two hosts, now.
    pub(super) fn way_between(&self, from: &str, to: &str) -> Option<Duration> {
        if from == to { Some(Duration::ZERO) } else { self.links.delay(from, to) }
    }

    pub(super) fn chance(&mut self, percent: u32) -> bool {
        percent > 0 && self.random.random_range(0..100) < percent
    }

    pub(super) fn process(&mut self, server: usize) -> Option<&mut Process> {
        self.servers[server].process.as_mut()
    }

    fn happen(&mut self, entry: Entry) {
        let server = &mut self.servers[entry.server];
        let waits = entry.event.waits_for(server.disk);
        match &mut server.process {
            None => return self.nobody_there(entry),
            Some(p) if entry.life.is_some_and(|life| life != p.life) => return,
            Some(p) if p.frozen => return p.parked.push(entry),
            Some(p) if waits => return p.at_disk.push(entry),
            Some(p) if p.phase == Phase::Dying => return,
            Some(p) if p.phase != Phase::Up && entry.life.is_none() => return self.nobody_there(entry),
            Some(_) => {}
        }
        if !entry.event.is_idle() {
            self.touches(entry.server);
        }
        self.occurs(entry.server, entry.event);
    }

    /// Whatever was parked, in its order.
    pub(super) fn replay(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            self.happen(entry);
        }
    }

    fn occurs(&mut self, at: usize, event: Event) {
        match event {
            Event::Up => self.is_up(at),
            Event::Exits => self.exits(at),
            Event::BinlogSynced(end) => self.binlog_synced(at, end),
            Event::WaitedLongEnough(index) => self.waited_long_enough(at, index),
            Event::LockWaited(session) => self.lock_waited(at, session),
            Event::DumpAsked { replica, stream, has, acks } => {
                self.dump_asked(at, replica, stream, has, acks)
            }
            Event::Sends(dump) => self.sends_again(at, dump),
            Event::Beats(dump) => self.beats(at, dump),
            Event::DumpEnds(dump) => self.dump_ends(at, dump),
            Event::Acknowledges { dump, replica, end } => self.acknowledges(at, dump, replica, end),
            Event::Connects(stream) => self.connects(at, stream),
            Event::Connected { stream, dump } => self.connected(at, stream, dump),
            Event::StreamEnds { stream, errno, message, fatal } => {
                self.stream_ends(at, stream, errno, message, fatal);
            }
            Event::HeardNothing(stream) => self.heard_nothing(at, stream),
            Event::Heartbeat { sent } => self.heartbeat(at, sent),
            Event::Half { sent } => self.half(at, sent),
            Event::Arrives { sent, transaction, end } => self.arrives(at, sent, transaction, end),
            Event::Stored { stream, transaction, end } => self.stored(at, stream, transaction, end),
            Event::AcknowledgementLeaves(stream) => self.acknowledgement_leaves(at, stream),
            Event::LogsOut { session, from } => self.logs_out(at, session, from),
            Event::Applies => self.applies(at),
            Event::Applied => self.applied(at),
        }
    }

    /// The kernel of a host without its server answers with a reset.
    fn nobody_there(&mut self, entry: Entry) {
        match entry.event {
            Event::DumpAsked { replica, stream, .. } => {
                self.ends_stream(entry.server, replica, stream, 2003, "connection refused", false);
            }
            Event::Heartbeat { sent } | Event::Half { sent } | Event::Arrives { sent, .. } => {
                self.leaves_dump(entry.server, sent.source, sent.dump);
            }
            _ => {}
        }
    }
}

impl Server {
    fn new(settings: ServerSettings) -> Self {
        Self {
            store: Store::new(&settings),
            settings,
            process: None,
            disk: Disk::Fine,
            locks_out_replicas: false,
            applies_slower_by: Duration::ZERO,
            generation: 0,
            changed: watch::Sender::new(0),
        }
    }

    /// Whoever waits for this server looks again.
    pub(super) fn tell(&self) {
        self.changed.send_modify(|n| *n += 1);
    }
}
