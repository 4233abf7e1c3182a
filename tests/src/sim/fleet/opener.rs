//! The server's socket on its host, for the guard: who is at its other end, and the one connection that opens.

use std::time::Duration;

use baton_node::guard::{Attach, Opener};
use baton_node::sql::{Permit, Pulse, SemiSync, SqlError, Switch};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::timeout;

use super::connection::Connection;
use super::process::{Process, SessionKind};
use super::pulse::semi_sync;
use super::statements::{gone, longest_timeout, refuses};
use super::{Fleet, Host};
use baton_node::gtid::Dialect;

/// The bounds of the real ones.
const ATTACH_WITHIN: Duration = Duration::from_millis(1000);
const STATEMENTS_WITHIN: Duration = Duration::from_millis(2000);

/// The server's socket.
#[derive(Clone)]
pub struct Socket {
    fleet: Fleet,
    host: Host,
}

/// A connection whose server process is known, and the only thing that opens it.
pub struct Opened {
    fleet: Fleet,
    at: usize,
    pid: i32,
    life: u64,
    connection: Connection,
    broken: bool,
}

impl Fleet {
    /// The socket of the server on this host.
    pub fn socket(&self, host: &str) -> Socket {
        Socket { fleet: self.clone(), host: host.to_owned() }
    }

    /// Resolves when this run of a server executes nothing of its code any more; at once when it is gone already.
    pub async fn exited(&self, host: &str, pid: i32) {
        self.process_until(host, |p| p.is_none_or(|p| p.pid != pid || p.runs_no_more)).await;
    }

    /// Resolves when this run of a server has exited completely.
    pub async fn exit_completed(&self, host: &str, pid: i32) {
        self.process_until(host, |p| p.is_none_or(|p| p.pid != pid)).await;
    }

    async fn process_until(&self, host: &str, done: impl Fn(Option<super::ProcessSeen>) -> bool) {
        let Some(at) = self.lock().by_host.get(host).copied() else { return };
        let mut changed = self.changes(at);
        while !done(self.process(host)) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Attach for Socket {
    fn attach(&self) -> BoxFuture<'_, Result<Box<dyn Opener>, SqlError>> {
        async move {
            let late = |_| SqlError::TimedOut { what: "pin", after: ATTACH_WITHIN };
            let opened = timeout(ATTACH_WITHIN, self.pin()).await.map_err(late)??;
            Ok(Box::new(opened) as Box<dyn Opener>)
        }
        .boxed()
    }

    fn refuses(&self) -> BoxFuture<'_, bool> {
        async move {
            let machine = self.fleet.lock();
            let at = machine.by_host.get(&self.host);
            at.is_none_or(|at| refuses(machine.servers[*at].process.as_ref()))
        }
        .boxed()
    }
}

impl Socket {
    /// Connects, and learns whose socket it is.
    ///
    /// # Errors
    /// As any connection; it has no bound of its own.
    pub async fn pin(&self) -> Result<Opened, SqlError> {
        let at = self.fleet.lock().by_host.get(&self.host).copied();
        let at = at.ok_or_else(|| SqlError::Refused { address: self.host.clone() })?;
        let connection = self.fleet.connect(&self.host, at, "baton", SessionKind::Baton).await?;
        let (pid, life) =
            connection.ask(|m, at, _| m.process(at).map(|p| (p.pid, p.life))).await?.ok_or_else(gone)?;
        Ok(Opened { fleet: self.fleet.clone(), at, pid, life, connection, broken: false })
    }
}

impl Opened {
    async fn bounded<T>(
        &mut self,
        what: &'static str,
        f: impl FnOnce(&mut super::machine::Machine, usize) -> T,
    ) -> Result<T, SqlError> {
        self.broken = true;
        let answer = timeout(STATEMENTS_WITHIN, self.connection.ask(|m, at, _| f(m, at))).await;
        let answer = answer.unwrap_or(Err(SqlError::TimedOut { what, after: STATEMENTS_WITHIN }));
        self.broken = answer.as_ref().is_err_and(SqlError::breaks_connection);
        answer
    }

    async fn pulse(&mut self) -> Result<Pulse, SqlError> {
        self.bounded("pulse", |m, at| m.pulse(at)).await?.ok_or_else(gone)
    }

    /// Makes commits wait, as [`baton_node::sql::Pinned::make_source_wait`].
    ///
    /// # Errors
    /// As the real one.
    pub async fn wait_for(&mut self, wait_count: u32, permit: &Permit) -> Result<SemiSync, SqlError> {
        permit.check("SET GLOBAL semi-sync source on")?;
        let dialect = self.fleet.lock().servers[self.at].settings.dialect;
        if dialect == Dialect::Mariadb && wait_count != 1 {
            return Err(SqlError::Unsafe(format!(
                "MariaDB waits for one acker, {wait_count} were asked for"
            )));
        }
        self.bounded("make the source wait", |m, at| m.source_waits(at, wait_count)).await?;
        let seen = self.bounded("make the source wait", |m, at| m.process(at).map(|p| semi_sync(p))).await?;
        let seen = seen.ok_or_else(gone)?;
        let waits = seen.source_active && seen.wait_count == wait_count && seen.wait_no_replica;
        if waits && seen.timeout_ms == longest_timeout(dialect) {
            return Ok(seen);
        }
        Err(SqlError::NotInEffect { what: "semi-sync source on", seen: format!("{seen:?}") })
    }

    async fn open_it(&mut self, permit: &Permit) -> Result<Pulse, SqlError> {
        if self.pulse().await?.replication.is_some() {
            return Err(SqlError::Unsafe("the server still has a source: forget it before opening".into()));
        }
        let dialect = self.fleet.lock().servers[self.at].settings.dialect;
        if dialect == Dialect::Mysql {
            permit.check("SET GLOBAL super_read_only=OFF")?;
            self.bounded("open", half_open).await?;
        }
        permit.check("SET GLOBAL read_only=OFF")?;
        self.bounded("open", super::machine::Machine::open).await?;
        let after = self.pulse().await?;
        if after.switch != Switch::Open {
            return Err(SqlError::NotInEffect { what: "open", seen: format!("{:?}", after.switch) });
        }
        permit.check("nothing: the server is open")?;
        Ok(after)
    }
}

/// `super_read_only=OFF` alone: accounts with all privileges write already.
fn half_open(machine: &mut super::machine::Machine, at: usize) {
    if let Some(p) = machine.process(at).filter(|p| p.switch == Switch::ClosedToAll) {
        p.switch = Switch::Closed;
    }
}

impl Opener for Opened {
    fn pid(&self) -> i32 {
        self.pid
    }

    fn is_broken(&self) -> bool {
        let lives = |p: &Process| p.life == self.life && p.sessions.contains_key(&self.connection.session);
        self.broken || !self.fleet.lock().servers[self.at].process.as_ref().is_some_and(lives)
    }

    fn make_wait<'a>(
        &'a mut self,
        wait_count: u32,
        permit: &'a Permit,
    ) -> BoxFuture<'a, Result<(), SqlError>> {
        async move { self.wait_for(wait_count, permit).await.map(drop) }.boxed()
    }

    fn open<'a>(&'a mut self, permit: &'a Permit) -> BoxFuture<'a, Result<Pulse, SqlError>> {
        self.open_it(permit).boxed()
    }
}
