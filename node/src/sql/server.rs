//! The managed server on real servers: which line carries which call.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::backup::{CopyPosition, DataPlaces};
use super::clone::CloneSeen;
use super::connector::{Connector, Limits};
use super::error::SqlError;
use super::foretell::{self, Call, PROVES_WITH, ROTATE};
use super::line::{Known, Line};
use super::managed::{
    Account, CloseOptions, ClosedProof, EventSeen, Inspection, Killed, ManagedServer, Permit, Privileges,
    Source, SqlFuture,
};
use super::rehearsal::RehearsalSeen;
use super::release::QuietSince;
use super::status::{Glance, Inventory, Pulse};
use super::wire::Wire;
use super::{
    accounts, applied, backup, clone, close, events, inspect, inventory, pulse, rehearsal, release,
    replication, semi_sync, sessions,
};
use crate::gtid::GtidSet;

/// A copy of a large server takes hours. Whoever asks for one watches its progress and drops the call when it stalls.
const COPY_WITHIN: Duration = Duration::from_secs(7 * 24 * 3600);
/// Commits that are to be proved and may wait at one server at the same time; a further one fails for a lock.
const PROOFS_AT_ONCE: u32 = 8;

/// A MySQL or MariaDB server; which of them shows when it first answers. Each line is a connection of its own, so that
/// a slow command never holds up a probe, and nothing holds up a close.
pub struct SqlServer {
    connector: Connector,
    limits: Limits,
    watch: Line,
    command: Line,
    waiting: Line,
    fence: Line,
    second: Line,
    copying: Line,
    /// For looks that take longer than others: nothing that is measured waits behind one.
    inspecting: Line,
    quiet_since: QuietSince,
    /// How many commits were proved or tried to be.
    proofs: AtomicU32,
}

impl SqlServer {
    /// Connects to nothing yet.
    pub fn new(connector: &Connector) -> Self {
        let known = Known::default();
        let line = || Line::new(connector.clone(), Known::clone(&known));
        Self {
            connector: connector.clone(),
            limits: connector.limits().clone(),
            watch: line(),
            command: line(),
            waiting: line(),
            fence: line(),
            second: line(),
            copying: line(),
            inspecting: line(),
            quiet_since: QuietSince::default(),
            proofs: AtomicU32::new(0),
        }
    }

    async fn rehearsing(&self) -> Result<Wire, SqlError> {
        Wire::open(&self.connector, None, "rehearse", self.limits.command).await
    }
}

impl ManagedServer for SqlServer {
    fn ping(&self) -> SqlFuture<'_, ()> {
        Box::pin(async move { self.watch.take("ping", self.limits.query).await?.run("DO 0").await })
    }

    fn connect_anew(&self) -> SqlFuture<'_, ()> {
        Box::pin(self.watch.connect_anew(self.limits.connect))
    }

    fn pulse(&self) -> SqlFuture<'_, Pulse> {
        Box::pin(async move { pulse::take(&mut *self.watch.take("pulse", self.limits.query).await?).await })
    }

    fn glance(&self, channel: bool) -> SqlFuture<'_, Glance> {
        Box::pin(async move {
            pulse::glance(&mut *self.watch.take("glance", self.limits.query).await?, channel).await
        })
    }

    fn inventory(&self) -> SqlFuture<'_, Inventory> {
        Box::pin(async move {
            let mut wire = self.watch.take("inventory", self.limits.query).await?;
            let inventory = inventory::take(&mut wire).await?;
            self.connector.learn_admin(inventory.settings.admin.clone());
            Ok(inventory)
        })
    }

    fn warm_up(&self) -> SqlFuture<'_, ()> {
        Box::pin(async move {
            for line in [&self.fence, &self.second, &self.command] {
                line.take_living("warm up", self.limits.query).await?;
            }
            Ok(())
        })
    }

    fn close<'a>(&'a self, options: &'a CloseOptions) -> SqlFuture<'a, ClosedProof> {
        Box::pin(async move {
            let begun = tokio::time::Instant::now();
            // The second connection first: a server that has none left for the kill is not told to close.
            let mut second = self.second.take_living("close", options.deadline).await?;
            let left = options.deadline.saturating_sub(begun.elapsed());
            let mut fence = self.fence.take_living("close", left).await?;
            close::close(&mut fence, &mut second, options).await
        })
    }

    fn stop_waiting<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move {
            let mut wire = self.command.take_living("stop waiting", self.limits.command).await?;
            release::stop_waiting(&mut wire, &self.quiet_since, permit).await
        })
    }

    fn let_go<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move {
            let mut wire = self.command.take_living("let go", self.limits.command).await?;
            release::let_go(&mut wire, permit).await
        })
    }

    fn set_acker<'a>(&'a self, on: bool, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move {
            let mut wire = self.command.take_living("set acker", self.limits.command).await?;
            let before = pulse::take(&mut wire).await?.semi_sync;
            if on && before.sync_relay_log != 1 {
                let why = format!(
                    "sync_relay_log is {}: it would acknowledge what is not on its disk",
                    before.sync_relay_log
                );
                return Err(SqlError::Unsafe(why));
            }
            semi_sync::set_replica(&mut wire, on, permit).await?;
            // MariaDB says that it does not acknowledge while it still does, so the switch counts as well.
            if before.replica_enabled != on || before.replica_acking != on {
                replication::reconnect(&mut wire, permit).await?;
            }
            Ok(())
        })
    }

    fn sync_relay_log<'a>(&'a self, every_event: bool, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move {
            let mut wire = self.command.take_living("sync relay log", self.limits.command).await?;
            semi_sync::sync_relay_log(&mut wire, every_event, permit).await
        })
    }

    fn stop_receiver<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move {
            let mut wire = self.command.take_living("stop receiver", self.limits.command).await?;
            replication::stop_receiver(&mut wire, permit).await
        })
    }

    fn end_applier<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move {
            let mut wire = self.command.take_living("end applier", self.limits.command).await?;
            replication::end_applier(&mut wire, permit).await
        })
    }

    fn start_receiver<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move {
            let mut wire = self.command.take_living("start receiver", self.limits.command).await?;
            replication::start_receiver(&mut wire, permit).await
        })
    }

    fn start_applier<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move {
            let mut wire = self.command.take_living("start applier", self.limits.command).await?;
            replication::start_applier(&mut wire, permit).await
        })
    }

    fn start_replication<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move {
            let mut wire = self.command.take_living("start replication", self.limits.command).await?;
            replication::start(&mut wire, permit).await
        })
    }

    fn forget_source<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move {
            let mut wire = self.command.take_living("forget source", self.limits.command).await?;
            replication::forget_source(&mut wire, permit).await
        })
    }

    fn follow<'a>(&'a self, source: &'a Source, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move {
            let mut wire = self.command.take_living("follow", self.limits.command).await?;
            replication::follow(&mut wire, source, permit).await
        })
    }

    fn copy_from<'a>(&'a self, donor: &'a Source, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move {
            let mut wire = self.copying.take_living("clone", COPY_WITHIN).await?;
            clone::clone(&mut wire, donor, permit).await
        })
    }

    fn clone_seen(&self) -> SqlFuture<'_, CloneSeen> {
        Box::pin(async move {
            clone::seen(&mut *self.waiting.take_living("progress of a clone", self.limits.query).await?).await
        })
    }

    fn end_clone<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move {
            let mut wire = self.command.take_living("end a clone", self.limits.command).await?;
            clone::end(&mut wire, permit).await
        })
    }

    fn forget_copied_source<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move {
            let mut wire = self.command.take_living("forget the copied source", self.limits.command).await?;
            clone::forget_copied_source(&mut wire, permit).await
        })
    }

    fn data_places(&self) -> SqlFuture<'_, DataPlaces> {
        Box::pin(async move {
            let mut wire = self.command.take_living("places of the data", self.limits.command).await?;
            backup::places(&mut wire).await
        })
    }

    fn take_position<'a>(&'a self, copy: &'a CopyPosition, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move {
            let mut wire = self.command.take_living("the copy's position", self.limits.command).await?;
            backup::take_position(&mut wire, copy, permit).await
        })
    }

    fn wait_applied<'a>(&'a self, set: &'a GtidSet, bound: Duration) -> SqlFuture<'a, bool> {
        Box::pin(async move {
            let total = applied::with_overhead(bound);
            let mut wire = self.waiting.take_living("wait until applied", total).await?;
            applied::wait(&mut wire, set, bound).await
        })
    }

    fn executed(&self) -> SqlFuture<'_, GtidSet> {
        Box::pin(async move {
            let mut wire = self.watch.take("executed", self.limits.query).await?;
            pulse::executed(&mut wire).await
        })
    }

    fn prove_commit(&self, bound: Duration) -> SqlFuture<'_, ()> {
        Box::pin(async move {
            let mut wire = self.waiting.take_living("prove a commit", bound).await?;
            let table = self.proofs.fetch_add(1, Ordering::Relaxed) % PROOFS_AT_ONCE;
            wire.run(&format!("{PROVES_WITH}{table}")).await
        })
    }

    fn rotate_binlog(&self) -> SqlFuture<'_, ()> {
        Box::pin(async move {
            let mut wire = self.inspecting.take_living("begin a binlog file", self.limits.command).await?;
            wire.run(ROTATE).await
        })
    }

    fn inspect(&self, longer_than: Duration) -> SqlFuture<'_, Inspection> {
        Box::pin(async move {
            let mut wire = self.inspecting.take("inspect", self.limits.command).await?;
            inspect::take(&mut wire, longer_than).await
        })
    }

    fn foretell<'a>(&'a self, call: Call<'a>) -> SqlFuture<'a, Vec<String>> {
        Box::pin(async move {
            let mut wire = self.inspecting.take_living("foretell", self.limits.command).await?;
            foretell::foretell(&mut wire, call).await
        })
    }

    fn events(&self) -> SqlFuture<'_, Vec<EventSeen>> {
        Box::pin(async move {
            events::list(&mut *self.inspecting.take("events", self.limits.command).await?).await
        })
    }

    fn enable_event<'a>(&'a self, event: &'a EventSeen, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move {
            let mut own = Wire::open(&self.connector, None, "enable an event", self.limits.command).await?;
            events::enable(&mut own, event, permit).await
        })
    }

    fn rehearsal_begins<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move { rehearsal::begin(&mut self.rehearsing().await?, permit).await })
    }

    fn rehearsal_writes<'a>(&'a self, number: u32, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move { rehearsal::write(&mut self.rehearsing().await?, number, permit).await })
    }

    fn rehearsal_seen(&self) -> SqlFuture<'_, RehearsalSeen> {
        Box::pin(async move { rehearsal::seen(&mut self.rehearsing().await?).await })
    }

    fn rehearsal_ends<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move { rehearsal::end(&mut self.rehearsing().await?, permit).await })
    }

    fn set_event_scheduler<'a>(&'a self, on: bool, permit: &'a Permit) -> SqlFuture<'a, ()> {
        Box::pin(async move {
            let mut wire = self.command.take_living("event scheduler", self.limits.command).await?;
            let Some(sql) = events::switching(&mut wire, on).await? else { return Ok(()) };
            permit.check(&sql)?;
            wire.run(&sql).await
        })
    }

    fn free_applier<'a>(&'a self, permit: &'a Permit) -> SqlFuture<'a, Vec<Killed>> {
        Box::pin(async move {
            let mut wire = self.second.take_living("free applier", self.limits.command).await?;
            sessions::free_applier(&mut wire, permit).await
        })
    }

    fn kill_own_leftovers(&self) -> SqlFuture<'_, u32> {
        Box::pin(async move {
            let mut wire = self.second.take_living("kill leftovers", self.limits.command).await?;
            sessions::kill_leftovers(&mut wire).await
        })
    }

    fn accounts_that_write_while_closed(&self) -> SqlFuture<'_, Vec<Account>> {
        Box::pin(async move {
            let mut wire = self.command.take_living("accounts", self.limits.command).await?;
            accounts::overprivileged(&mut wire).await
        })
    }

    fn privileges(&self) -> SqlFuture<'_, Privileges> {
        Box::pin(async move {
            let mut wire = self.command.take_living("privileges", self.limits.command).await?;
            accounts::privileges(&mut wire).await
        })
    }
}
