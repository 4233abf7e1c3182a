//! Adoption, on the writer's own node: the server is open already and stays so. First a majority's lease, then the keeper's
//! deadline, then the group is told, and from its commit on the epoch is one like any other.
//!
//! Until the commit may exist, the end of the lease ends nothing: the keeper lets the server go, and it is tried again, for
//! a bounded time. Once the commit was sent and may stand in the log, it counts: from there on another node may prove that
//! the lease has run out, so a lease that is not renewed closes the server, in time and by the guard.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::guard::Guard;
use super::keeping::{KEEPER_AGAIN, TakeOver};
use super::opening::TRY_AGAIN;
use super::ports::NotCommitted;
use crate::state::{Change, ClusterState, Epoch, Forced, OperationId};

/// For how long a majority's lease is tried for. Longer than whoever asked for the adoption waits.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// How far an adoption has come in this process.
#[derive(Debug, Default)]
pub(super) struct Adopting {
    epoch: Epoch,
    since: Option<Instant>,
    /// The group is being told that the epoch is under a lease, or has taken it in.
    sent: bool,
    /// The group was told, by this process or by one before, and may have committed it.
    in_doubt: bool,
}

impl Adopting {
    /// What came of telling the group.
    pub(super) fn told(&mut self, told: &Result<(), NotCommitted>) {
        match told {
            Ok(()) => {}
            Err(error) if error.never => self.sent = false,
            Err(_) => self.in_doubt = true,
        }
    }
}

impl Guard {
    /// One step towards the first lease of the adopted writer.
    pub(super) async fn take_over(&mut self, state: &ClusterState, epoch: Epoch) {
        if self.memory.record.closed >= epoch {
            return self.keep_closed().await;
        }
        let now = Instant::now();
        if self.adopting.epoch != epoch || self.adopting.since.is_none() {
            // An earlier process may have told the group.
            let in_doubt = self.memory.record.opened >= epoch;
            if in_doubt && matches!(self.take_over_from_keeper(epoch).await, TakeOver::Ask) {
                return self.look_within(KEEPER_AGAIN);
            }
            self.adopting = Adopting { epoch, since: Some(now), sent: false, in_doubt };
        }
        if self.lease.is_some() && matches!(&self.rounds, Some((e, _)) if *e == epoch) {
            return self.keep_first_lease(state, epoch).await;
        }
        if !self.look_is_due() {
            return;
        }
        if self.adopting.since.is_some_and(|since| now >= since + GIVE_UP_AFTER) {
            return self.give_up(epoch).await;
        }
        match self.try_to_take_over(state, epoch).await {
            Ok(()) => {
                info!(%epoch, "the adopted writer is under a lease");
                self.trouble = None;
                self.tell_leased(epoch);
                self.look_later();
            }
            Err(why) => {
                self.trouble = Some(why);
                self.look_within(TRY_AGAIN);
            }
        }
    }

    async fn keep_first_lease(&mut self, state: &ClusterState, epoch: Epoch) {
        self.drain();
        self.renewed().await;
        self.ask_when_due(state, epoch);
        if self.close_at().is_some_and(|at| self.ports.clock.now() >= at) {
            if self.adopting.sent || self.adopting.in_doubt {
                return self.close_for_want_of_lease(epoch).await;
            }
            warn!(%epoch, "the first lease ends before the group could be told: the keeper lets the server go");
            if let Err(why) = self.free(epoch).await {
                self.trouble = Some(why);
            }
            return self.look_within(TRY_AGAIN);
        }
        if self.look_is_due() {
            self.look_later();
            self.tell_leased(epoch);
        }
    }

    fn tell_leased(&mut self, epoch: Epoch) {
        if self.tell(Change::Leased { epoch }, None) {
            self.adopting.sent = true;
        }
    }

    async fn try_to_take_over(&mut self, state: &ClusterState, epoch: Epoch) -> Result<(), String> {
        self.arm(epoch).await?;
        if !matches!(&self.rounds, Some((e, _)) if *e == epoch) {
            self.begin_rounds(epoch);
        }
        self.ask_when_due(state, epoch);
        let lease = self.majority(state, epoch).await?;
        let identity = self.identity()?;
        self.memory
            .change(|r| {
                r.opened = epoch;
                r.process = identity;
            })
            .await?;
        self.keeper.extend(epoch, identity.0, lease.until).await?;
        self.lease = Some(lease);
        Ok(())
    }

    /// The keeper lets the server live, and no lease is held; the server stays as it is.
    async fn free(&mut self, epoch: Epoch) -> Result<(), String> {
        let (pid, _) = self.identity()?;
        self.keeper.closed(epoch, pid).await.map_err(|e| format!("the keeper does not let go: {e}"))?;
        self.lease = None;
        self.rounds = None;
        Ok(())
    }

    /// No lease in all that time: the cluster goes back to its people, as soon as the group can commit that.
    async fn give_up(&mut self, epoch: Epoch) {
        self.look_within(TRY_AGAIN * 20);
        let freed = self.free(epoch).await;
        let secs = GIVE_UP_AFTER.as_secs();
        let reason = format!("no majority has granted {} a lease within {secs} s", self.ports.me);
        if self.trouble.as_ref().is_none_or(|said| !said.starts_with(&reason)) {
            warn!(%epoch, ?freed, "{reason}: the adoption is given up, the server stays open");
        }
        self.trouble =
            Some(format!("{reason}: adoption given up, the server stays open without Baton's protection"));
        let operation = OperationId(format!("give-up-{epoch}"));
        self.tell(Change::Release { operation, word: Forced { by: "baton".into(), reason } }, None);
    }
}
