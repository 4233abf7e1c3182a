//! A server as Baton sees it: the managed server's calls, statement by statement, each over its connection.
//!
//! The order of the statements, what is read before and what is read back are those of the real one; so are the bounds.

use std::time::Duration;

use baton_node::gtid::Dialect;
use baton_node::gtid::GtidSet;
use baton_node::sql::{
    Account, CloseOptions, ClosedProof, Inventory, Limits, ManagedServer, Permit, Privileges, Pulse, Source,
    SqlError, SqlFuture,
};
use tokio::time::Instant;

use super::lines::{Held, Line, Way};
use super::statements::gone;
use super::transaction::has;
use super::{Fleet, Host};

/// Between two looks.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Between two looks at what is applied: the server's own wait answers at once, which this stands for.
const APPLIED_AGAIN: Duration = Duration::from_millis(10);

/// A server, from a host.
pub struct Remote {
    fleet: Fleet,
    from: Host,
    at: Option<usize>,
    address: String,
    limits: Limits,
    watch: Line,
    command: Line,
    waiting: Line,
    pub(super) fence: Line,
    pub(super) second: Line,
    pub(super) quiet_since: std::sync::Mutex<Option<Instant>>,
}

impl Fleet {
    /// The server at `address` (`host:port`) as a node on the host `from` reaches it. An address without a server
    /// refuses.
    pub fn remote(&self, from: &str, address: &str) -> Remote {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let at = self.lock().by_host.get(host).copied();
        Remote {
            fleet: self.clone(),
            from: from.to_owned(),
            at,
            address: address.to_owned(),
            limits: Limits::default(),
            watch: Line::default(),
            command: Line::default(),
            waiting: Line::default(),
            fence: Line::default(),
            second: Line::default(),
            quiet_since: std::sync::Mutex::default(),
        }
    }
}

/// Reads the server over a line that is held.
pub(super) async fn look(held: &mut Held<'_>) -> Result<Pulse, SqlError> {
    held.read(|m, at| m.pulse(at)).await?.ok_or_else(gone)
}

/// One statement that changes something, under its permit.
pub(super) async fn step<T>(
    held: &mut Held<'_>,
    permit: &Permit,
    sql: &str,
    f: impl FnOnce(&mut super::machine::Machine, usize) -> T,
) -> Result<T, SqlError> {
    permit.check(sql)?;
    held.ask(|m, at, _| f(m, at)).await
}

impl Remote {
    pub(super) async fn take<'a>(
        &'a self,
        line: &'a Line,
        what: &'static str,
        bound: Duration,
        living: bool,
    ) -> Result<Held<'a>, SqlError> {
        let at = self.at.ok_or_else(|| SqlError::Refused { address: self.address.clone() })?;
        line.take(Way { fleet: &self.fleet, from: &self.from, at }, what, bound, living).await
    }

    pub(super) async fn command<'a>(&'a self, what: &'static str) -> Result<Held<'a>, SqlError> {
        self.take(&self.command, what, self.limits.command, true).await
    }

    pub(super) fn dialect(&self) -> Dialect {
        let machine = self.fleet.lock();
        self.at.map_or(Dialect::Mysql, |at| machine.servers[at].settings.dialect)
    }

    async fn wait_until(&self, set: &GtidSet, bound: Duration) -> Result<bool, SqlError> {
        let total = bound + Duration::from_millis(1100);
        let mut held = self.take(&self.waiting, "wait until applied", total, true).await?;
        let until = Instant::now() + bound;
        loop {
            let seen = look(&mut held).await?;
            let there = has(&seen.executed, set);
            let left = until.saturating_duration_since(Instant::now());
            if there || left.is_zero() || !seen.replication.is_some_and(|c| c.sql_running) {
                return Ok(there);
            }
            held.pause(APPLIED_AGAIN.min(left)).await?;
        }
    }
}

impl ManagedServer for Remote {
    fn ping(&self) -> SqlFuture<'_, ()> {
        Box::pin(async move {
            self.take(&self.watch, "ping", self.limits.query, false).await?.read(|_, _| ()).await
        })
    }

    fn pulse(&self) -> SqlFuture<'_, Pulse> {
        Box::pin(
            async move { look(&mut self.take(&self.watch, "pulse", self.limits.query, false).await?).await },
        )
    }

    fn inventory(&self) -> SqlFuture<'_, Inventory> {
        Box::pin(async move {
            let mut held = self.take(&self.watch, "inventory", self.limits.query, false).await?;
            held.read(|m, at| m.inventory(at)).await
        })
    }

    fn warm_up(&self) -> SqlFuture<'_, ()> {
        Box::pin(async move {
            for line in [&self.fence, &self.second, &self.command] {
                self.take(line, "warm up", self.limits.query, true).await?;
            }
            Ok(())
        })
    }

    fn close<'a>(&'a self, options: &'a CloseOptions) -> SqlFuture<'a, ClosedProof> {
        Box::pin(self.close_bounded(options))
    }

    fn stop_waiting<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(self.waits_no_more(permit))
    }

    fn let_go<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(self.lets_go(permit))
    }

    fn set_acker<'a>(&'a self, on: bool, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(self.acks(on, permit))
    }

    fn sync_relay_log<'a>(&'a self, every_event: bool, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(self.syncs_relay_log(every_event, permit))
    }

    fn stop_receiver<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(
            async move { self.receives_no_more(&mut self.command("stop receiver").await?, permit).await },
        )
    }

    fn start_receiver<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(self.receives(permit))
    }

    fn start_applier<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move { self.applies(&mut self.command("start applier").await?, permit).await })
    }

    fn start_replication<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(self.starts(permit))
    }

    fn forget_source<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(self.forgets(permit))
    }

    fn follow<'a>(&'a self, source: &'a Source, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(self.follows(source, permit))
    }

    fn wait_applied<'a>(&'a self, set: &'a GtidSet, bound: Duration) -> SqlFuture<'a, bool> {
        Box::pin(self.wait_until(set, bound))
    }

    fn executed(&self) -> SqlFuture<'_, GtidSet> {
        Box::pin(async move { Ok(self.pulse().await?.executed) })
    }

    fn prove_commit(&self, bound: Duration) -> SqlFuture<'_, ()> {
        Box::pin(async move {
            let mut held = self.take(&self.waiting, "prove a commit", bound, true).await?;
            held.wait(|m, at, session, reply| m.write(at, session, None, reply)).await
        })
    }

    fn set_event_scheduler<'a>(&'a self, on: bool, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move {
            let mut held = self.command("event scheduler").await?;
            step(&mut held, permit, "SET GLOBAL event_scheduler", |m, at| {
                if let Some(p) = m.process(at) {
                    p.event_scheduler = on;
                }
            })
            .await
        })
    }

    fn kill_own_leftovers(&self) -> SqlFuture<'_, u32> {
        Box::pin(async move {
            let mut held = self.take(&self.second, "kill leftovers", self.limits.command, true).await?;
            // Connections end with the process that held them: none is ever left behind.
            held.ask(|_, _, _| 0).await
        })
    }

    fn accounts_that_write_while_closed(&self) -> SqlFuture<'_, Vec<Account>> {
        Box::pin(async move {
            self.command("accounts").await?.ask(|m, at, _| m.servers[at].settings.accounts.clone()).await
        })
    }

    fn privileges(&self) -> SqlFuture<'_, Privileges> {
        Box::pin(async move {
            self.command("privileges").await?.ask(|_, _, _| ()).await?;
            Ok(Privileges { account: "baton@%".into(), missing: Vec::new() })
        })
    }
}
