//! Connections to a server, as whoever holds them sees it: over the network, bounded, and possibly lost half-way.

use std::time::Duration;

use baton_node::sql::SqlError;
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

use super::events::Event;
use super::machine::{Machine, SEND_AGAIN};
use super::process::{Phase, Reply, SessionKind};
use super::statements::{gone, refuses};
use super::{Fleet, Host};

/// A session and the connection that it came over.
pub(super) struct Connection {
    fleet: Fleet,
    from: Host,
    at: usize,
    life: u64,
    pub(super) session: u64,
}

impl Fleet {
    /// Connects and logs in; as long as it takes.
    pub(super) async fn connect(
        &self,
        from: &str,
        at: usize,
        user: &str,
        kind: SessionKind,
    ) -> Result<Connection, SqlError> {
        let mut changed = self.changes(at);
        self.crosses(from, at, true).await;
        loop {
            let answer = self.accepts(from, at, user, kind);
            match answer {
                Some(answer) => {
                    // The handshake is more than one round trip; two are counted.
                    for there in [false, true, false] {
                        self.crosses(from, at, there).await;
                    }
                    return answer;
                }
                None => changed.changed().await.map_err(|_| gone())?,
            }
        }
    }

    /// `None` where the kernel takes the connection and nobody speaks.
    fn accepts(
        &self,
        from: &str,
        at: usize,
        user: &str,
        kind: SessionKind,
    ) -> Option<Result<Connection, SqlError>> {
        let mut machine = self.lock();
        let server = &machine.servers[at];
        let p = server.process.as_ref();
        if refuses(p) {
            let address = format!("{}:{}", server.settings.host, server.settings.port);
            return Some(Err(SqlError::Refused { address }));
        }
        let life = p.filter(|p| p.serves()).map(|p| p.life)?;
        let host = if server.settings.host == from { "localhost" } else { from };
        let session = machine.login(at, user, host, kind);
        drop(machine);
        Some(session.map(|session| Connection {
            fleet: self.clone(),
            from: from.to_owned(),
            at,
            life,
            session,
        }))
    }

    /// One packet's way, sent again until it arrives.
    async fn crosses(&self, from: &str, at: usize, there: bool) {
        loop {
            let way = {
                let machine = self.lock();
                let to = machine.servers[at].settings.host.as_str();
                if there { machine.way_between(from, to) } else { machine.way_between(to, from) }
            };
            match way {
                Some(Duration::ZERO) => return,
                Some(way) => return sleep(way).await,
                None => sleep(SEND_AGAIN).await,
            }
        }
    }

    pub(super) fn changes(&self, at: usize) -> watch::Receiver<u64> {
        self.lock().servers[at].changed.subscribe()
    }
}

impl Connection {
    /// Runs a statement that ends at once.
    pub(super) async fn ask<T>(&self, f: impl FnOnce(&mut Machine, usize, u64) -> T) -> Result<T, SqlError> {
        self.reads(|machine, at, session| {
            machine.touches(at);
            f(machine, at, session)
        })
        .await
    }

    /// The same for a statement that changes nothing.
    pub(super) async fn reads<T>(
        &self,
        f: impl FnOnce(&mut Machine, usize, u64) -> T,
    ) -> Result<T, SqlError> {
        self.crosses(true).await;
        let answer = self.runs(f).await;
        self.crosses(false).await;
        answer
    }

    /// Runs a statement that may wait in the server.
    pub(super) async fn wait<T>(
        &self,
        f: impl FnOnce(&mut Machine, usize, u64, Reply<T>),
    ) -> Result<T, SqlError> {
        let (reply, answer) = oneshot::channel();
        self.crosses(true).await;
        let begun = self
            .runs(|machine, at, session| {
                machine.touches(at);
                f(machine, at, session, reply);
            })
            .await;
        let answer = match begun {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(gone())),
            Err(error) => Err(error),
        };
        self.crosses(false).await;
        answer
    }

    async fn crosses(&self, there: bool) {
        self.fleet.crosses(&self.from, self.at, there).await;
    }

    /// As soon as the server runs; never while it is stopped.
    async fn runs<T>(&self, f: impl FnOnce(&mut Machine, usize, u64) -> T) -> Result<T, SqlError> {
        let mut changed = self.fleet.changes(self.at);
        loop {
            {
                let mut machine = self.fleet.lock();
                let p = machine.process(self.at).filter(|p| p.life == self.life).ok_or_else(gone)?;
                if p.serves() {
                    if p.sessions.get(&self.session).is_none_or(|s| s.killed) {
                        return Err(gone());
                    }
                    return Ok(f(&mut machine, self.at, self.session));
                }
                if p.phase == Phase::Stopping && !p.frozen {
                    return Err(gone());
                }
            }
            changed.changed().await.map_err(|_| gone())?;
        }
    }
}

impl Drop for Connection {
    /// The server learns it when it is reached. Nothing is caught up here: this may be the end of the world.
    fn drop(&mut self) {
        let mut machine = self.fleet.machine.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (session, from) = (self.session, self.from.clone());
        machine.brings(self.at, Duration::ZERO, Event::LogsOut { session, from });
    }
}

impl Machine {
    pub(super) fn logs_out(&mut self, at: usize, session: u64, from: String) {
        if self.process(at).is_none_or(|p| !p.sessions.contains_key(&session)) {
            return;
        }
        let host = self.servers[at].settings.host.clone();
        if self.way_between(&from, &host).is_none() {
            return self.brings(at, SEND_AGAIN * 5, Event::LogsOut { session, from });
        }
        self.logout(at, session);
    }
}
