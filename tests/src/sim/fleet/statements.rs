//! Sessions, and the statements that change a server.

use baton_node::gtid::Dialect;
use baton_node::sql::{Killed, SqlError, Switch};

use super::machine::Machine;
use super::process::{Owner, Phase, Process, Reply, Session, SessionKind, Write};
use super::transaction::Row;

impl Machine {
    /// Logs in.
    pub(super) fn login(
        &mut self,
        at: usize,
        user: &str,
        host: &str,
        kind: SessionKind,
    ) -> Result<u64, SqlError> {
        let id = self.unique();
        let most = self.servers[at].settings.max_connections;
        let p = self.process(at).ok_or_else(gone)?;
        if p.sessions.len() + p.dumps.len() >= most {
            return Err(SqlError::TooManyConnections);
        }
        if p.offline && kind == SessionKind::Client {
            return Err(SqlError::Gone { message: "the server is in offline mode".into() });
        }
        let (user, host) = (user.to_owned(), host.to_owned());
        p.sessions.insert(id, Session { user, host, kind, at_work: false, killed: false, locks: false });
        Ok(id)
    }

    /// `KILL`. A commit that waits for its acker: MySQL answers its client with an error and keeps the session and the
    /// wait (tried); MariaDB ends the wait, and the row becomes visible (tried).
    pub(super) fn kill_session(&mut self, at: usize, id: u64) {
        let mariadb = self.servers[at].settings.dialect == Dialect::Mariadb;
        let Some(p) = self.process(at) else { return };
        let mut waits = false;
        for commit in &mut p.commits {
            if let Owner::Session { session, reply } = &mut commit.owner
                && *session == id
            {
                reply.take();
                waits = true;
            }
        }
        p.queued.retain(|w| w.session != id);
        p.closings.retain(|c| c.session != id);
        if waits && !mariadb {
            if let Some(s) = p.sessions.get_mut(&id) {
                s.killed = true;
            }
        } else {
            p.sessions.remove(&id);
        }
        self.queue_goes_on(at);
        self.settle(at);
        self.servers[at].tell();
    }

    /// Ends a session whose client went away. A commit under way goes on without it.
    pub(super) fn logout(&mut self, at: usize, id: u64) {
        let Some(p) = self.process(at) else { return };
        let at_work = p.sessions.get(&id).is_some_and(|s| s.at_work);
        let closes = p.closings.iter().any(|c| c.session == id);
        // A statement that runs notices at its end that nobody waits for it.
        if at_work || closes {
            if let Some(s) = p.sessions.get_mut(&id) {
                s.killed = true;
            }
            return;
        }
        p.sessions.remove(&id);
        self.lock_may_be_free(at);
    }

    /// Kills every client's session there is.
    pub(super) fn kill_clients(&mut self, at: usize) -> Vec<Killed> {
        let Some(p) = self.process(at) else { return Vec::new() };
        let clients: Vec<Killed> = clients(p);
        for client in &clients {
            self.kill_session(at, client.id);
        }
        clients
    }

    /// Those of them that are still there.
    pub(super) fn still_there(&mut self, at: usize, killed: &[Killed]) -> Vec<Killed> {
        let Some(p) = self.process(at) else { return Vec::new() };
        killed.iter().filter(|k| p.sessions.contains_key(&k.id)).cloned().collect()
    }

    /// The source side on, waiting for so many, for ever, also without any acker.
    pub(super) fn source_waits(&mut self, at: usize, wait_count: u32) {
        let longest = longest_timeout(self.servers[at].settings.dialect);
        let Some(p) = self.process(at) else { return };
        let source = &mut p.source;
        (source.timeout_ms, source.wait_count, source.wait_no_replica) = (longest, wait_count, true);
        source.enabled = true;
        source.active = true;
        self.settle(at);
    }

    /// MySQL: a timeout of a millisecond, and no wait without ackers.
    pub(super) fn source_waits_no_more(&mut self, at: usize) {
        let Some(p) = self.process(at) else { return };
        p.source.timeout_ms = 1;
        p.source.wait_no_replica = false;
        self.settle(at);
    }

    /// The switch: whatever waits is committed and answered OK.
    pub(super) fn source_off(&mut self, at: usize) {
        let Some(p) = self.process(at) else { return };
        p.source.enabled = false;
        p.source.active = false;
        p.source.acknowledged.clear();
        self.settle(at);
    }

    /// Ends the connections of replicas.
    pub(super) fn kill_dumps(&mut self, at: usize) {
        let Some(p) = self.process(at) else { return };
        let dumps: Vec<_> = std::mem::take(&mut p.dumps).into_values().collect();
        for dump in dumps {
            self.ends_stream(at, dump.replica, dump.stream, 2013, "lost connection to the source", false);
        }
        self.settle(at);
    }

    /// Sets the read-only flags to what lets clients write.
    pub(super) fn open(&mut self, at: usize) {
        if let Some(p) = self.process(at) {
            p.offline = false;
            p.switch = Switch::Open;
        }
    }

    /// `offline_mode`: the sessions of ordinary accounts end.
    pub(super) fn goes_offline(&mut self, at: usize) {
        let Some(p) = self.process(at) else { return };
        p.offline = true;
        p.sessions.retain(|_, s| s.kind != SessionKind::Client || s.at_work);
    }

    pub(super) fn lock_tables(&mut self, at: usize, session: u64, hold: bool) {
        if let Some(s) = self.process(at).and_then(|p| p.sessions.get_mut(&session)) {
            s.locks = hold;
        }
        self.lock_may_be_free(at);
    }

    /// `XA PREPARE`.
    pub(super) fn xa_prepare(&mut self, at: usize, row: Row) -> Result<(), SqlError> {
        let server = &mut self.servers[at];
        if server.process.as_ref().is_none_or(|p| p.switch.is_closed()) {
            return Err(SqlError::ReadOnly { message: "the server is running with --read-only".into() });
        }
        server.store.prepared.push(row);
        Ok(())
    }

    /// `XA COMMIT`. MySQL does it in spite of `super_read_only`, with a new GTID; MariaDB refuses it to ordinary accounts.
    pub(super) fn xa_commit(&mut self, at: usize, session: u64, row: Row, reply: Reply<()>) {
        let server = &mut self.servers[at];
        let closed = server.process.as_ref().is_none_or(|p| p.switch.is_closed());
        let there = server.store.prepared.iter().position(|r| *r == row);
        let refusal = match there {
            None => Some(SqlError::Other { errno: 1397, message: "XAER_NOTA: Unknown XID".into() }),
            Some(_) if closed && server.settings.dialect == Dialect::Mariadb => {
                Some(SqlError::ReadOnly { message: "the server is running with --read-only".into() })
            }
            Some(_) => None,
        };
        if let Some(error) = refusal {
            let _gone = reply.send(Err(error));
            return;
        }
        server.store.prepared.retain(|r| *r != row);
        self.log(at, Write { session, row: Some(row), reply });
    }
}

/// Sessions of clients: not Baton's.
fn clients(p: &Process) -> Vec<Killed> {
    let clients = p.sessions.iter().filter(|(_, s)| s.kind != SessionKind::Baton);
    clients.map(|(id, s)| Killed { id: *id, user: s.user.clone(), host: s.host.clone() }).collect()
}

/// The timeout that Baton sets: the longest that the server takes.
pub(super) fn longest_timeout(dialect: Dialect) -> u64 {
    match dialect {
        Dialect::Mysql => u64::from(u32::MAX),
        Dialect::Mariadb => u64::MAX,
    }
}

/// The connection broke.
pub(super) fn gone() -> SqlError {
    SqlError::Gone { message: "closed by the server".into() }
}

/// Whether a process answers at all.
pub(super) fn refuses(process: Option<&Process>) -> bool {
    process.is_none_or(|p| matches!(p.phase, Phase::Starting | Phase::Stopping) && !p.frozen)
}
