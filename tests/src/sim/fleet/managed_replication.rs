//! A replica's threads and its source, step by step as the real one does it.

use baton_node::gtid::Dialect;
use baton_node::sql::{Permit, Pulse, Replication, Source, SqlError};

use super::lines::Held;
use super::managed::{LOOK_AGAIN, Remote, look, step};
use super::threads::Thread;

/// Seconds without a word after which a replica connects again, as Baton sets it.
const NET_TIMEOUT_S: u32 = 4;

impl Remote {
    pub(super) async fn receives_no_more(
        &self,
        held: &mut Held<'_>,
        permit: &Permit,
    ) -> Result<(), SqlError> {
        let seen = look(held).await?;
        match &seen.replication {
            Some(channel) if channel.io_started => {
                self.keeps_relay_log(channel, &seen)?;
                stop_io_thread(held, permit).await
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn receives(&self, permit: &Permit) -> Result<(), SqlError> {
        let held = &mut self.command("start receiver").await?;
        let seen = look(held).await?;
        self.keeps_relay_log(configured(&seen)?, &seen)?;
        step(held, permit, "START REPLICA IO_THREAD", |m, at| m.start_threads(at, Thread::Receiver)).await?
    }

    pub(super) async fn applies(&self, held: &mut Held<'_>, permit: &Permit) -> Result<(), SqlError> {
        let seen = look(held).await?;
        let channel = configured(&seen)?;
        if channel.sql_running {
            return Ok(());
        }
        if self.dialect() == Dialect::Mariadb && !channel.io_started && !seen.all_applied() {
            return Err(SqlError::Unsafe("both threads stand still with received events unapplied".into()));
        }
        step(held, permit, "START REPLICA SQL_THREAD", |m, at| m.start_threads(at, Thread::Applier)).await?
    }

    pub(super) async fn starts(&self, permit: &Permit) -> Result<(), SqlError> {
        let held = &mut self.command("start replication").await?;
        step(held, permit, "START REPLICA", |m, at| m.start_threads(at, Thread::Both)).await?
    }

    pub(super) async fn connects_anew(&self, held: &mut Held<'_>, permit: &Permit) -> Result<(), SqlError> {
        let seen = look(held).await?;
        match &seen.replication {
            Some(channel) if channel.io_started => {
                self.keeps_relay_log(channel, &seen)?;
                stop_io_thread(held, permit).await?;
                step(held, permit, "START REPLICA IO_THREAD", |m, at| m.start_threads(at, Thread::Receiver))
                    .await?
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn forgets(&self, permit: &Permit) -> Result<(), SqlError> {
        let held = &mut self.command("forget source").await?;
        if look(held).await?.replication.is_none() {
            return Ok(());
        }
        if drains_first() {
            self.drains(held, permit).await?;
        }
        // The real one kills the applier first: a half transaction would hold MySQL's STOP up for a minute.
        step(held, permit, "STOP REPLICA", |m, at| m.stop_threads(at, Thread::Both)).await?;
        step(held, permit, "RESET REPLICA ALL", |m, at| m.reset_replica(at)).await??;
        match look(held).await?.replication {
            None => Ok(()),
            Some(channel) => {
                Err(SqlError::NotInEffect { what: "forgetting the source", seen: format!("{channel:?}") })
            }
        }
    }

    pub(super) async fn follows(&self, source: &Source, permit: &Permit) -> Result<(), SqlError> {
        let held = &mut self.command("follow").await?;
        let seen = look(held).await?;
        if !seen.switch.is_closed() {
            return Err(SqlError::Unsafe("an open server does not follow another: close it first".into()));
        }
        step(held, permit, "SET GLOBAL replica_net_timeout", |m, at| {
            m.servers[at].store.net_timeout_s = NET_TIMEOUT_S;
        })
        .await?;
        match (self.dialect(), &seen.replication) {
            (_, None) => {}
            (Dialect::Mysql, Some(channel)) => {
                if channel.io_started {
                    stop_io_thread(held, permit).await?;
                }
                self.applies(held, permit).await?;
                let now = look(held).await?;
                if !now.all_applied() && !now.replication.is_some_and(|c| c.sql_running) {
                    return Err(SqlError::Unsafe(
                        "the applier does not run and received events are unapplied".into(),
                    ));
                }
            }
            (Dialect::Mariadb, Some(_)) => {
                self.drains(held, permit).await?;
                step(held, permit, "STOP SLAVE", |m, at| m.stop_threads(at, Thread::Both)).await?;
            }
        }
        let (host, port) = (source.host.clone(), source.port);
        step(held, permit, "change of source", |m, at| m.change_source(at, &host, port)).await??;
        step(held, permit, "START REPLICA", |m, at| m.start_threads(at, Thread::Both)).await??;
        let now = look(held).await?;
        let now = configured(&now)?;
        if now.source_host == source.host && now.source_port == source.port {
            return Ok(());
        }
        let seen = format!("{}:{}", now.source_host, now.source_port);
        Err(SqlError::NotInEffect { what: "change of source", seen })
    }

    /// Stops receiving and waits until everything received is applied.
    async fn drains(&self, held: &mut Held<'_>, permit: &Permit) -> Result<(), SqlError> {
        self.receives_no_more(held, permit).await?;
        loop {
            let seen = look(held).await?;
            if seen.all_applied() {
                return Ok(());
            }
            let applying = seen.replication.as_ref().is_some_and(|c| c.sql_running);
            if !applying || held.pause(LOOK_AGAIN).await.is_err() {
                return Err(SqlError::Unsafe(format!(
                    "received and not applied (applier running: {applying}); forgetting the source now would lose it"
                )));
            }
        }
    }

    /// MariaDB's relay log survives the IO thread's stop and start only beside a running SQL thread.
    fn keeps_relay_log(&self, channel: &Replication, seen: &Pulse) -> Result<(), SqlError> {
        if self.dialect() == Dialect::Mysql || channel.sql_running || seen.all_applied() {
            return Ok(());
        }
        Err(SqlError::Unsafe("the SQL thread stands still with received events unapplied".into()))
    }
}

/// The last of three places that keep a server from being opened before it has applied what it received: the breakage
/// leaves out all of them.
#[cfg(feature = "simulation")]
fn drains_first() -> bool {
    use baton_node::mutation::{Mutation, is_on};
    !is_on(Mutation::OpenBeforeApplied)
}

#[cfg(not(feature = "simulation"))]
fn drains_first() -> bool {
    true
}

fn configured(seen: &Pulse) -> Result<&Replication, SqlError> {
    let missing = || SqlError::NoSuchThing { message: "no source is configured on this server".into() };
    seen.replication.as_ref().ok_or_else(missing)
}

/// The statement waits for a thread that hangs in a write.
async fn stop_io_thread(held: &mut Held<'_>, permit: &Permit) -> Result<(), SqlError> {
    permit.check("STOP REPLICA IO_THREAD")?;
    while !held.ask(|m, at, _| m.stops_receiver(at)).await? {
        held.pause(LOOK_AGAIN).await?;
    }
    Ok(())
}
