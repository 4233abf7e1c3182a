//! A commit on its way: binlog, disk, acknowledgements, engine, client.
//!
//! In the order of AFTER_SYNC: a transaction is sent once it is on the source's disk, and nobody sees it before it is
//! acknowledged. MySQL counts it in `gtid_executed` when it is committed, MariaDB in `gtid_binlog_state` when it is
//! written to the binlog.

use std::sync::Arc;
use std::time::Duration;

use baton_node::sql::{SqlError, Switch};

use super::events::Event;
use super::faults::Disk;
use super::inspect::Acknowledged;
use super::machine::Machine;
use super::process::{Commit, Owner, Phase, Reply, SessionKind, Write};
use super::transaction::{Row, Transaction};
use baton_node::gtid::Dialect;

/// A timeout from here on is one that the server never reaches.
const NEVER_MS: u64 = 1_000_000_000;

impl Machine {
    /// Begins a write of a session.
    pub(super) fn write(&mut self, at: usize, session: u64, row: Option<Row>, reply: Reply<()>) {
        let Some(p) = self.process(at) else { return };
        if p.phase != Phase::Up || !p.sessions.contains_key(&session) {
            return;
        }
        if let Some(s) = p.sessions.get_mut(&session) {
            s.at_work = true;
        }
        let write = Write { session, row, reply };
        if !p.closings.is_empty() {
            p.queued.push_back(write);
        } else {
            self.begin(at, write);
        }
    }

    /// Refuses it, or writes it to the binlog.
    pub(super) fn begin(&mut self, at: usize, write: Write) {
        if let Err(error) = self.may_write(at, write.session) {
            self.rests(at, write.session);
            let _gone = write.reply.send(Err(error));
            return;
        }
        self.log(at, write);
    }

    /// Writes it to the binlog, which goes to disk.
    pub(super) fn log(&mut self, at: usize, write: Write) {
        let server = &mut self.servers[at];
        let gtid = server.store.next_gtid(&server.settings);
        let index = server.store.append(Arc::new(Transaction { gtid, row: write.row }), &server.settings);
        let owner = Owner::Session { session: write.session, reply: Some(write.reply) };
        let takes = server.settings.sync_takes;
        if let Some(p) = self.process(at) {
            p.commits.push_back(Commit { index, owner, synced: false, waits: false, row: write.row });
        }
        self.later(at, takes, Event::BinlogSynced(index + 1));
    }

    /// Whether the session's account may write now.
    fn may_write(&mut self, at: usize, session: u64) -> Result<(), SqlError> {
        let disk = self.servers[at].disk;
        let dialect = self.servers[at].settings.dialect;
        let gone = || SqlError::Gone { message: "no such session".into() };
        let p = self.process(at).ok_or_else(gone)?;
        let s = p.sessions.get(&session).ok_or_else(gone)?;
        // Baton's account may write to a server that is closed, but on MySQL not past `super_read_only`.
        let passes = match p.switch {
            Switch::Open => true,
            Switch::Closed => s.kind != SessionKind::Client,
            Switch::ClosedToAll => false,
        };
        if !passes {
            let option = if dialect == Dialect::Mysql { "--super-read-only" } else { "--read-only" };
            return Err(SqlError::ReadOnly { message: format!("the server is running with {option}") });
        }
        if disk == Disk::Full {
            return Err(SqlError::Other { errno: 1114, message: "the table is full".into() });
        }
        Ok(())
    }

    /// The binlog is on disk up to `end`: replicas are sent it, and the commits go on.
    pub(super) fn binlog_synced(&mut self, at: usize, end: usize) {
        let store = &mut self.servers[at].store;
        store.binlog_synced = store.binlog_synced.max(end);
        let Some(p) = self.process(at) else { return };
        for commit in p.commits.iter_mut().filter(|c| c.index < end) {
            commit.synced = true;
        }
        let dumps: Vec<u64> = p.dumps.keys().copied().collect();
        for dump in dumps {
            self.sends(at, dump);
        }
        self.settle(at);
    }

    /// Ends every commit at the head that waits for nothing any more.
    pub(super) fn settle(&mut self, at: usize) {
        self.killed_commits_go_through(at);
        loop {
            self.falls_back_if_told(at);
            let Some(p) = self.process(at) else { return };
            let (enabled, enough, timeout) =
                (p.source.enabled && p.source.active, p.source.wait_count, p.source.timeout_ms);
            let Some(head) = p.commits.front_mut().filter(|c| c.synced) else { break };
            let index = head.index;
            let acks = p.source.acknowledged.values().filter(|end| **end > index).count();
            if enabled && acks < enough as usize {
                let first = !head.waits;
                for commit in p.commits.iter_mut().filter(|c| c.synced) {
                    commit.waits = true;
                }
                if first && timeout < NEVER_MS {
                    self.later(at, Duration::from_millis(timeout), Event::WaitedLongEnough(index));
                }
                break;
            }
            if let Some(commit) = p.commits.pop_front() {
                self.ends(at, commit, Ok(()));
            }
        }
        self.lock_may_be_free(at);
    }

    /// Commits in the engine and answers.
    pub(super) fn ends(&mut self, at: usize, commit: Commit, answer: Result<(), SqlError>) {
        let server = &mut self.servers[at];
        server.store.commit_up_to(commit.index + 1);
        match commit.owner {
            Owner::Applier => {
                if let Some(p) = &mut server.process {
                    p.applier.busy = false;
                }
                self.later(at, Duration::ZERO, Event::Applies);
            }
            Owner::Session { session, reply } => {
                self.rests(at, session);
                let Some(reply) = reply else { return };
                let server = &self.servers[at];
                if let (Ok(()), Some(p), Some(row)) = (&answer, &server.process, commit.row) {
                    let gtid = server.store.binlog[commit.index].gtid;
                    let (host, epoch, life) = (server.settings.host.clone(), p.epoch, p.life);
                    let after = self.elapsed();
                    self.acknowledged.push(Acknowledged { host, row, gtid, epoch, life, after });
                }
                let _gone = reply.send(answer);
            }
        }
    }

    /// The session's statement has ended; a killed one ends with it.
    pub(super) fn rests(&mut self, at: usize, session: u64) {
        if let Some(s) = self.process(at).and_then(|p| p.sessions.get_mut(&session)) {
            s.at_work = false;
            if s.killed {
                self.process(at).map(|p| p.sessions.remove(&session));
            }
        }
    }

    /// MariaDB: a killed session's commit waits for nobody, and its row becomes visible (tried).
    fn killed_commits_go_through(&mut self, at: usize) {
        let mariadb = self.servers[at].settings.dialect == Dialect::Mariadb;
        while let Some(p) = self.process(at).filter(|_| mariadb) {
            let killed = |c: &Commit| match &c.owner {
                Owner::Session { session, .. } => c.synced && !p.sessions.contains_key(session),
                Owner::Applier => false,
            };
            let Some(commit) = p.commits.iter().position(killed).and_then(|n| p.commits.remove(n)) else {
                return;
            };
            self.ends(at, commit, Ok(()));
        }
    }

    /// Without `wait_no_replica` a source falls back as soon as too few ackers are connected.
    fn falls_back_if_told(&mut self, at: usize) {
        let Some(p) = self.process(at) else { return };
        if p.source.enabled && !p.source.wait_no_replica && p.ackers() < p.source.wait_count {
            p.source.active = false;
        }
    }

    /// The server degrades by itself: what Baton's timeout keeps from happening.
    pub(super) fn waited_long_enough(&mut self, at: usize, index: usize) {
        let Some(p) = self.process(at) else { return };
        if p.source.timeout_ms < NEVER_MS && p.commits.front().is_some_and(|c| c.index <= index && c.waits) {
            p.source.active = false;
            self.settle(at);
        }
    }
}
