//! What a server has on disk, and what of it survives which end.

use std::collections::{BTreeSet, VecDeque};

use baton_node::gtid::{Dialect, GtidSet, MariadbGtid};

use super::Host;
use super::settings::ServerSettings;
use super::transaction::{Gtid, Row, Shared, union};

/// One server's files.
#[derive(Debug)]
pub(super) struct Store {
    /// In the order of commit; replicated transactions too (`log_replica_updates`).
    pub(super) binlog: Vec<Shared>,
    /// So many of the binlog survive a loss of power.
    pub(super) binlog_synced: usize,
    /// What the engine has committed: what readers see.
    pub(super) committed: usize,
    /// Rows of what is committed.
    pub(super) rows: BTreeSet<Row>,
    /// `gtid_executed`; MariaDB's `gtid_binlog_state`, which is ahead of what is committed.
    pub(super) executed: GtidSet,
    /// The next number this server gives.
    pub(super) next_number: u64,
    /// The replication channel, when one is configured.
    pub(super) channel: Option<Channel>,
    /// Prepared XA transactions.
    pub(super) prepared: Vec<Row>,
    /// Seconds of `replica_net_timeout`.
    pub(super) net_timeout_s: u32,
}

/// A replication channel and its relay log.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) source_host: Host,
    pub(super) source_port: u16,
    pub(super) source: Option<usize>,
    /// Received and not applied yet.
    pub(super) relay: VecDeque<Shared>,
    /// Where in it the first transaction is that may not be on disk, and the end of the last such one.
    pub(super) relay_unsynced: Option<(usize, usize)>,
    /// The same of what an earlier run of the server received: nobody closes its files any more.
    pub(super) relay_unclosed: Option<(usize, usize)>,
    /// What was received: MySQL's retrieved set, MariaDB's `Gtid_IO_Pos`.
    pub(super) retrieved: GtidSet,
    pub(super) events: u64,
    pub(super) files: u64,
}

impl Channel {
    pub(super) fn new(dialect: Dialect, host: &str, port: u16, source: Option<usize>) -> Self {
        Self {
            source_host: host.to_owned(),
            source_port: port,
            source,
            relay: VecDeque::new(),
            relay_unsynced: None,
            relay_unclosed: None,
            retrieved: GtidSet::empty(dialect),
            events: 0,
            files: 1,
        }
    }

    pub(super) fn drop_relay_log(&mut self) {
        self.relay.clear();
        (self.relay_unsynced, self.relay_unclosed) = (None, None);
        self.retrieved = GtidSet::empty(self.retrieved.dialect());
    }

    /// Into the relay log. A sync reaches nothing that came before it: that may lie in an older file.
    pub(super) fn store(&mut self, transaction: Shared, synced: bool) {
        self.relay.push_back(transaction);
        if !synced {
            let end = self.relay.len();
            let first = self.relay_unsynced.map_or(end - 1, |(first, _)| first);
            self.relay_unsynced = Some((first, end));
        }
    }

    /// The oldest goes, as it is applied.
    pub(super) fn pop(&mut self) {
        self.relay.pop_front();
        for range in [&mut self.relay_unsynced, &mut self.relay_unclosed] {
            let left = range.map(|(first, end)| (first.saturating_sub(1), end - 1));
            *range = left.filter(|(_, end)| *end > 0);
        }
    }

    /// Another run of the server begins.
    fn goes_on(&mut self) {
        let both = [self.relay_unclosed.take(), self.relay_unsynced.take()];
        let both = both.into_iter().flatten();
        self.relay_unclosed = both.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    }
}

impl Store {
    pub(super) fn new(settings: &ServerSettings) -> Self {
        Self {
            binlog: Vec::new(),
            binlog_synced: 0,
            committed: 0,
            rows: BTreeSet::new(),
            executed: GtidSet::empty(settings.dialect),
            next_number: 1,
            channel: None,
            prepared: Vec::new(),
            net_timeout_s: 60,
        }
    }

    /// Executed and received.
    pub(super) fn received(&self) -> GtidSet {
        match &self.channel {
            // Where nothing is under way, the union would find nothing new.
            Some(channel) if !channel.relay.is_empty() || self.committed < self.binlog.len() => {
                union(&self.executed, &channel.retrieved)
            }
            _ => self.executed.clone(),
        }
    }

    /// The name of the next transaction of this server's own.
    pub(super) fn next_gtid(&self, settings: &ServerSettings) -> Gtid {
        match settings.dialect {
            Dialect::Mysql => Gtid::Mysql(settings.uuid(), self.next_number),
            Dialect::Mariadb => Gtid::Mariadb(MariadbGtid {
                domain: 0,
                server_id: settings.server_id,
                sequence: self.next_number,
            }),
        }
    }

    /// Writes a transaction to the binlog; MariaDB counts it from here on, MySQL once it is committed.
    pub(super) fn append(&mut self, transaction: Shared, settings: &ServerSettings) -> usize {
        match transaction.gtid {
            Gtid::Mysql(uuid, number) if uuid == settings.uuid() => {
                self.next_number = self.next_number.max(number + 1);
            }
            Gtid::Mysql(..) => {}
            Gtid::Mariadb(gtid) => {
                self.next_number = self.next_number.max(gtid.sequence + 1);
                transaction.gtid.add_to(&mut self.executed);
            }
        }
        self.binlog.push(transaction);
        self.binlog.len() - 1
    }

    /// Commits the binlog in the engine up to `end`.
    pub(super) fn commit_up_to(&mut self, end: usize) {
        for transaction in &self.binlog[self.committed..end.max(self.committed)] {
            self.rows.extend(transaction.row);
            if let Gtid::Mysql(..) = transaction.gtid {
                transaction.gtid.add_to(&mut self.executed);
            }
        }
        self.committed = self.committed.max(end);
    }

    /// What is found at a start: MySQL commits all that is in its binlog, acknowledged or not; so does MariaDB unless it
    /// drops the tail (10.6.2, see [`ServerSettings::drops_tail`]).
    pub(super) fn recover(&mut self, settings: &ServerSettings) {
        if settings.drops_tail && settings.dialect == Dialect::Mariadb {
            self.cut_binlog(self.committed, settings);
        }
        let end = self.binlog.len();
        self.commit_up_to(end);
        self.binlog_synced = end;
        if let Some(channel) = &mut self.channel {
            // MariaDB with GTID throws the relay log away and takes everything from the source again.
            if settings.dialect == Dialect::Mariadb || settings.relay_log_recovery {
                channel.drop_relay_log();
            }
            channel.goes_on();
        }
    }

    /// The host lost its power: what was not on disk is gone.
    pub(super) fn lose_unsynced(&mut self, settings: &ServerSettings) {
        let end = self.binlog_synced.max(if settings.sync_binlog { self.committed } else { 0 });
        self.cut_binlog(end, settings);
        if let Some(channel) = &mut self.channel {
            let ranges = [channel.relay_unsynced.take(), channel.relay_unclosed.take()];
            if let Some(first) = ranges.into_iter().flatten().map(|(first, _)| first).min() {
                channel.relay.truncate(first);
            }
            let mut retrieved = GtidSet::empty(settings.dialect);
            for transaction in &channel.relay {
                transaction.gtid.add_to(&mut retrieved);
            }
            channel.retrieved = retrieved;
        }
    }

    fn cut_binlog(&mut self, end: usize, settings: &ServerSettings) {
        if end >= self.binlog.len() {
            return;
        }
        let kept: Vec<Shared> = self.binlog.drain(..).take(end).collect();
        self.rows.clear();
        self.executed = GtidSet::empty(settings.dialect);
        (self.committed, self.binlog_synced, self.next_number) = (0, 0, 1);
        for transaction in kept {
            self.append(transaction, settings);
        }
        self.binlog_synced = end;
        self.commit_up_to(end);
    }
}
