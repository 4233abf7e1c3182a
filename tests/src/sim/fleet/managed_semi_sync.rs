//! Ackers come and go, and sources wait no more: as the real one does it.

use std::sync::PoisonError;
use std::time::Duration;

use baton_node::gtid::Dialect;
use baton_node::sql::{Permit, SqlError};
use tokio::time::Instant;

use super::managed::{Remote, look, step};
use super::process::SessionKind;

/// After this long without an acker MySQL's switch holds nobody up.
const ACK_THREAD_SLEEPS: Duration = Duration::from_millis(1200);
/// MySQL's timeout of a server that is not to wait.
const NO_WAIT_MS: u64 = 1;

impl Remote {
    pub(super) async fn acks(&self, on: bool, permit: &Permit) -> Result<(), SqlError> {
        let held = &mut self.command("set acker").await?;
        let before = look(held).await?.semi_sync;
        if on && before.sync_relay_log != 1 {
            return Err(SqlError::Unsafe("sync_relay_log is not 1".into()));
        }
        step(held, permit, "SET GLOBAL semi-sync replica", |m, at| {
            if let Some(p) = m.process(at) {
                p.acker = on;
            }
        })
        .await?;
        if before.replica_enabled != on || before.replica_acking != on {
            self.connects_anew(held, permit).await?;
        }
        Ok(())
    }

    pub(super) async fn syncs_relay_log(&self, every_event: bool, permit: &Permit) -> Result<(), SqlError> {
        let held = &mut self.command("sync relay log").await?;
        let before = look(held).await?.semi_sync;
        if !every_event && (before.replica_enabled || before.replica_acking) {
            return Err(SqlError::Unsafe("it acknowledges".into()));
        }
        step(held, permit, "SET GLOBAL sync_relay_log", |m, at| {
            if let Some(p) = m.process(at) {
                p.syncs_relay_log = every_event;
            }
        })
        .await
    }

    pub(super) async fn lets_go(&self, permit: &Permit) -> Result<(), SqlError> {
        let held = &mut self.command("let go").await?;
        if self.dialect() == Dialect::Mariadb {
            return step(held, permit, "SET GLOBAL semi-sync source off", |m, at| m.source_off(at)).await;
        }
        step(held, permit, "SET GLOBAL timeout, wait_no_replica", |m, at| m.source_waits_no_more(at)).await?;
        if look(held).await?.semi_sync.source_active {
            step(held, permit, "KILL of a replica's connection", |m, at| m.kill_dumps(at)).await?;
        }
        if look(held).await?.semi_sync.source_active {
            step(held, permit, "SET GLOBAL semi-sync source off", |m, at| m.source_off(at)).await?;
        }
        Ok(())
    }

    pub(super) async fn waits_no_more(&self, permit: &Permit) -> Result<(), SqlError> {
        let held = &mut self.command("stop waiting").await?;
        let seen = look(held).await?;
        if !seen.switch.is_closed() {
            let why = "semi-sync is switched off on a closed server only, and this one is open";
            return Err(SqlError::Unsafe(why.into()));
        }
        let waiting = seen.semi_sync.waiting_sessions;
        let at_work = |m: &mut super::machine::Machine, at: usize| {
            let sessions = m.process(at).map(|p| p.sessions.values().collect::<Vec<_>>()).unwrap_or_default();
            sessions.iter().any(|s| s.kind != SessionKind::Baton && s.at_work)
        };
        if waiting > 0 && held.ask(|m, at, _| at_work(m, at)).await? {
            return Err(SqlError::Unsafe(format!(
                "{waiting} commits wait for an acker: switching semi-sync off would acknowledge them"
            )));
        }
        let seen = look(held).await?.semi_sync;
        if !seen.source_enabled {
            return Ok(());
        }
        if self.dialect() == Dialect::Mysql {
            let told = !seen.wait_no_replica && seen.timeout_ms == NO_WAIT_MS;
            if !told {
                step(held, permit, "SET GLOBAL timeout, wait_no_replica", |m, at| m.source_waits_no_more(at))
                    .await?;
            }
            if !self.long_quiet(told && seen.ackers == 0) {
                return Ok(());
            }
        }
        step(held, permit, "SET GLOBAL semi-sync source off", |m, at| m.source_off(at)).await
    }

    fn long_quiet(&self, quiet: bool) -> bool {
        let mut since = self.quiet_since.lock().unwrap_or_else(PoisonError::into_inner);
        if !quiet {
            *since = None;
            return false;
        }
        since.get_or_insert_with(Instant::now).elapsed() >= ACK_THREAD_SLEEPS
    }
}
