//! Opening: once an epoch, under a live lease, on the one connection whose server the keeper holds.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::guard::{Attached, Guard};
use super::ports::Lease;
use crate::sql::Permit;
use crate::state::{Change, ClusterState, Durability, Epoch, Outcome};

/// How long one attempt waits for the voters' answers; the next turn of the loop goes on waiting.
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);

impl Guard {
    /// Every step may fail and is then tried again by the loop; the epoch is written down before the statement, so that
    /// it is tried once.
    pub(super) async fn open_under(&mut self, state: &ClusterState, epoch: Epoch) {
        match self.try_to_open(state, epoch).await {
            Ok(()) => {
                info!(%epoch, "open");
                self.trouble = None;
                self.report_open(epoch).await;
            }
            Err(why) => {
                warn!(%epoch, why, "not open yet");
                self.trouble = Some(why);
                self.look_later();
            }
        }
    }

    async fn try_to_open(&mut self, state: &ClusterState, epoch: Epoch) -> Result<(), String> {
        self.arm(epoch).await?;
        if !matches!(&self.rounds, Some((e, _)) if *e == epoch) {
            self.begin_rounds(epoch);
        }
        // The voters answer while the server is made ready.
        self.ask_when_due(state, epoch);
        self.make_ready().await?;
        let until = self.majority(epoch).await?;
        let (me, states, clock) =
            (self.ports.me.clone(), self.ports.states.clone(), self.ports.clock.clone());
        let interval = super::asking::interval(state.safety.lease_ttl());
        let permit = Permit::new(move || {
            let granted = states.borrow().live_grant().is_some_and(|g| g.epoch == epoch && g.node == me);
            granted && clock.now() + interval < until
        });
        permit.check("opening").map_err(|e| e.to_string())?;
        let Attached::To { process, opener } = &mut self.server else {
            return Err("the server has gone".into());
        };
        let identity = (process.pid(), process.start_time_ticks());
        let waits_since = waits_since(&state.durability);
        if waits_since.is_some() {
            opener.make_wait(state.safety.wait_count, &permit).await.map_err(|e| e.to_string())?;
        }
        self.memory
            .change(|r| {
                r.opened = epoch;
                r.process = identity;
                r.waits_since = waits_since.unwrap_or(r.waits_since);
            })
            .await?;
        self.ports.keeper.extend(epoch, identity.0, until).await?;
        self.lease = Some(Lease { epoch, until });
        let opened = opener.open(&permit).await;
        if let Err(error) = opened {
            // It may be open all the same. This epoch has had its one opening.
            let closed = self.close("its opening failed").await;
            self.memory.change(|r| r.closed = epoch).await?;
            return Err(format!("opening failed: {error}; closed again: {closed:?}"));
        }
        Ok(())
    }

    /// The keeper holds this very process for this epoch; it has no deadline before a majority has granted one.
    async fn arm(&mut self, epoch: Epoch) -> Result<(), String> {
        let Attached::To { process, .. } = &self.server else { return Err("no server to open".into()) };
        let identity = (process.pid(), process.start_time_ticks());
        let held = self.ports.keeper.holding().await?;
        if held.is_some_and(|h| h.epoch == epoch && h.process == identity) {
            return Ok(());
        }
        if let Some(other) = held {
            // The server is closed here (its epoch is not open yet), so what an older epoch armed can go.
            self.ports.keeper.closed(other.epoch, other.process.0).await?;
        }
        self.ports.keeper.arm(epoch, identity, None).await
    }

    /// Closed, everything received applied, no source.
    async fn make_ready(&mut self) -> Result<(), String> {
        let pulse = self.ports.server.pulse().await.map_err(|e| e.to_string())?;
        if !pulse.switch.is_closed() {
            self.close("open before its epoch").await?;
        }
        if pulse.replication.is_none() {
            return Ok(());
        }
        if !pulse.all_applied() {
            return Err("not everything received has been applied".into());
        }
        let (me, states) = (self.ports.me.clone(), self.ports.states.clone());
        let permit = Permit::new(move || states.borrow().is_writer(&me));
        self.ports.server.forget_source(&permit).await.map_err(|e| e.to_string())
    }

    async fn majority(&mut self, epoch: Epoch) -> Result<super::clock::Boottime, String> {
        let deadline = Instant::now() + ANSWERS_WITHIN;
        loop {
            self.drain();
            let Some((_, rounds)) = self.rounds.as_ref().filter(|(e, _)| *e == epoch) else {
                return Err("the epoch is over".into());
            };
            if let Some(until) = rounds.until().filter(|u| *u > self.ports.clock.now()) {
                return Ok(until);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let why = self.trouble.clone().unwrap_or_else(|| "too few voters answer".into());
                return Err(format!("no majority has granted a lease: {why}"));
            }
            self.one_answer(left).await;
        }
    }

    /// The adopted writer is open already: first a majority's lease, then the keeper's deadline, then the group is told.
    /// Nothing is closed meanwhile.
    pub(super) async fn take_over(&mut self, state: &ClusterState, epoch: Epoch) {
        match self.try_to_take_over(state, epoch).await {
            Ok(()) => info!(%epoch, "the adopted writer is under a lease"),
            Err(why) => {
                self.trouble = Some(why);
                self.look_later();
            }
        }
    }

    async fn try_to_take_over(&mut self, state: &ClusterState, epoch: Epoch) -> Result<(), String> {
        self.arm(epoch).await?;
        if !matches!(&self.rounds, Some((e, _)) if *e == epoch) {
            self.begin_rounds(epoch);
        }
        self.ask_when_due(state, epoch);
        let until = self.majority(epoch).await?;
        let Attached::To { process, .. } = &self.server else { return Err("the server has gone".into()) };
        let identity = (process.pid(), process.start_time_ticks());
        self.memory
            .change(|r| {
                r.opened = epoch;
                r.process = identity;
            })
            .await?;
        self.ports.keeper.extend(epoch, identity.0, until).await?;
        self.lease = Some(Lease { epoch, until });
        self.trouble = None;
        self.propose(Change::Leased { epoch }).await
    }

    /// Tells the group; repeated by the loop until the state says so.
    pub(super) async fn report_open(&mut self, epoch: Epoch) {
        if let Err(why) = self.propose(Change::Opened { epoch }).await {
            self.trouble = Some(why);
        }
    }

    async fn propose(&mut self, change: Change) -> Result<(), String> {
        match self.ports.propose.propose(change).await? {
            Outcome::Applied => Ok(()),
            Outcome::Refused(refusal) => Err(refusal.to_string()),
        }
    }

    /// Ackers are let go only under a live lease, and only for an entry later than the one the server waits under.
    pub(super) async fn let_go_if_degraded(&mut self, state: &ClusterState, epoch: Epoch) {
        let Some(index) = state.durability.let_go_index() else { return };
        if index <= self.memory.record.waits_since {
            return;
        }
        let (me, states) = (self.ports.me.clone(), self.ports.states.clone());
        let lease = self.lease;
        let clock = self.ports.clock.clone();
        let permit = Permit::new(move || {
            let state = states.borrow();
            let live = state.live_grant().is_some_and(|g| g.epoch == epoch && g.node == me);
            live && state.durability.let_go_index() == Some(index)
                && lease.is_some_and(|l| l.until > clock.now())
        });
        match self.ports.server.let_go(&permit).await {
            Ok(()) => {
                info!(%epoch, "the server goes on without ackers, as the group has committed");
                if let Err(error) = self.memory.change(|r| r.waits_since = r.waits_since.max(index)).await {
                    self.trouble = Some(error);
                }
            }
            Err(error) => self.trouble = Some(format!("the server still waits for its ackers: {error}")),
        }
    }

    /// The open writer waits for its ackers again.
    pub(super) async fn make_wait(&mut self, epoch: Epoch, since: u64) -> Result<(), String> {
        let state = self.ports.states.borrow().clone();
        if !state.is_writer(&self.ports.me) || state.epoch() != epoch {
            return Err("not the writer of that epoch".into());
        }
        let Attached::To { opener, .. } = &mut self.server else { return Err("no server".into()) };
        let (me, states) = (self.ports.me.clone(), self.ports.states.clone());
        let permit = Permit::new(move || states.borrow().is_writer(&me));
        // Written first: from here on only a later entry lets go again.
        self.memory.change(|r| r.waits_since = r.waits_since.max(since)).await?;
        opener.make_wait(state.safety.wait_count, &permit).await.map_err(|e| e.to_string())
    }
}

/// The index under which the server is to wait from its opening; `None` where the epoch begins without ackers.
fn waits_since(durability: &Durability) -> Option<u64> {
    match durability {
        Durability::Degraded { may_let_go: true, .. } => None,
        Durability::Degraded { index, .. } => Some(*index),
        Durability::Unknown | Durability::Lossless { .. } => Some(0),
    }
}
