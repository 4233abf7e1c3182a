//! Opening: once an epoch, under a live lease, on the one connection whose server the keeper holds.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{info, warn};

use super::behind::Done;
use super::clock::Boottime;
use super::guard::{Attached, Guard};
use super::ports::{Lease, Opener};
use crate::mutation::mutate;
use crate::sql::{Permit, Pulse, SqlError};
use crate::state::{Change, ClusterState, Durability, Epoch};

/// How long one attempt waits for the voters' answers; the next turn of the loop goes on waiting.
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);
/// How soon the voters are asked again while no majority has granted a first lease.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// How soon what has failed is tried again.
pub(super) const TRY_AGAIN: Duration = Duration::from_millis(50);
/// For so long a let-go that failed may still take effect: its statement is killed within this.
const LET_GO_UNSURE: Duration = Duration::from_secs(3);

impl Guard {
    /// Every step may fail and is then tried again by the loop; the epoch is written down before the statement, so that
    /// it is tried once.
    pub(super) async fn open_under(&mut self, state: &ClusterState, epoch: Epoch) {
        match self.try_to_open(state, epoch).await {
            Ok(false) => self.look_later(),
            Ok(true) => {
                info!(%epoch, "open");
                self.trouble = None;
                self.tell(Change::Opened { epoch }, None);
                self.look_later();
            }
            Err(why) => {
                if self.trouble.as_ref() != Some(&why) {
                    warn!(%epoch, why, "not open yet");
                }
                self.trouble = Some(why);
                self.look_within(TRY_AGAIN);
            }
        }
    }

    /// Whether it is open. If not, something is under way whose end wakes the loop.
    async fn try_to_open(&mut self, state: &ClusterState, epoch: Epoch) -> Result<bool, String> {
        if self.behind.freezing {
            return Err("a close for a switchover is still under way".into());
        }
        // Closed first: for a server that is still open under an earlier epoch, arming would take its deadline away.
        let pulse = self.closed().await?;
        self.arm(epoch).await?;
        if !matches!(&self.rounds, Some((e, _)) if *e == epoch) {
            self.begin_rounds(epoch);
        }
        // The voters answer while the server is made ready.
        self.ask_when_due(state, epoch);
        if !self.has_no_source(epoch, &pulse)? {
            return Ok(false);
        }
        let lease = self.majority(state, epoch).await?;
        let permit = self.permit(epoch, lease.until.saturating_sub(super::asking::interval(lease.length)));
        permit.check("opening").map_err(|e| e.to_string())?;
        let waits_since = waits_since(&state.durability);
        if waits_since.is_some() {
            let opener = self.opener()?;
            opener.make_wait(state.safety.wait_count, &permit).await.map_err(|e| e.to_string())?;
        }
        let identity = self.identity()?;
        self.memory
            .change(|r| {
                r.opened = epoch;
                r.process = identity;
                r.waits_since = waits_since.unwrap_or(r.waits_since);
            })
            .await?;
        if let Err(error) = self.extend_and_open(lease, &permit).await {
            // It may be open all the same. This epoch has had its one opening, so nothing renews it from here on.
            self.rounds = None;
            self.lease = None;
            let closed = self.close("its opening failed").await;
            self.memory.change(|r| r.closed = epoch).await?;
            return Err(format!("opening failed: {error}; closed again: {closed:?}"));
        }
        Ok(true)
    }

    /// The keeper learns the deadline first; the permit is asked once more when the server is open.
    pub(super) async fn extend_and_open(&mut self, lease: Lease, permit: &Permit) -> Result<(), String> {
        let (pid, _) = self.identity()?;
        self.keeper.extend(lease.epoch, pid, lease.until).await?;
        self.lease = Some(lease);
        self.opener()?.open(permit).await.map(drop).map_err(|e: SqlError| e.to_string())
    }

    /// Withdrawn when the epoch is over, or another's, or when `until` has come.
    pub(super) fn permit(&self, epoch: Epoch, until: Boottime) -> Permit {
        let (me, states) = (self.ports.me.clone(), self.ports.states.clone());
        let clock = Arc::clone(&self.ports.clock);
        Permit::new(move || {
            let granted = states.borrow().live_grant().is_some_and(|g| g.epoch == epoch && g.node == me);
            granted && clock.now() < until
        })
    }

    pub(super) fn identity(&self) -> Result<(i32, u64), String> {
        match &self.server {
            Attached::To { process, .. } => Ok((process.pid(), process.start_time_ticks())),
            Attached::None | Attached::Dying { .. } | Attached::Gone { .. } => {
                Err("its server is not running, or cannot be attached to".into())
            }
        }
    }

    fn opener(&mut self) -> Result<&mut dyn Opener, String> {
        match &mut self.server {
            Attached::To { opener: Some(opener), .. } => Ok(opener.as_mut()),
            Attached::To { .. } => Err("the server is being made to wait".into()),
            Attached::None | Attached::Dying { .. } | Attached::Gone { .. } => {
                Err("the server has gone".into())
            }
        }
    }

    /// The keeper holds this very process for this epoch; it has no deadline before a majority has granted one.
    /// It refuses while another process that it was armed for still runs.
    pub(super) async fn arm(&mut self, epoch: Epoch) -> Result<(), String> {
        let identity = self.identity()?;
        let held = self.keeper.holding().await?;
        if held.is_some_and(|h| h.epoch == epoch && h.process == identity) {
            return Ok(());
        }
        self.keeper.arm(epoch, identity, None).await
    }

    async fn closed(&mut self) -> Result<Pulse, String> {
        self.identity()?;
        let pulse = self.ports.server.pulse().await.map_err(|e| e.to_string())?;
        if pulse.switch.is_closed() {
            return Ok(pulse);
        }
        self.close("open before its epoch").await?;
        self.ports.server.pulse().await.map_err(|e| e.to_string())
    }

    pub(super) async fn majority(&mut self, state: &ClusterState, epoch: Epoch) -> Result<Lease, String> {
        let mut asked = Instant::now();
        let deadline = asked + ANSWERS_WITHIN;
        loop {
            self.drain();
            let Some((_, rounds)) = self.rounds.as_ref().filter(|(e, _)| *e == epoch) else {
                return Err("the epoch is over".into());
            };
            if let Some((until, length)) = rounds.held().filter(|(u, _)| *u > self.ports.clock.now()) {
                return Ok(Lease { epoch, until, length });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let why = self.trouble.clone().unwrap_or_else(|| "too few voters answer".into());
                return Err(format!("no majority has granted a lease: {why}"));
            }
            self.one_answer(left.min(ASK_AGAIN)).await;
            // Refused by voters that had not applied the grant yet, or lost: the next round is not waited for.
            if Instant::now() >= asked + ASK_AGAIN && !self.has_majority() {
                asked = Instant::now();
                self.ask_now();
                self.ask_when_due(state, epoch);
            }
        }
    }

    fn has_majority(&self) -> bool {
        let until = self.rounds.as_ref().and_then(|(_, rounds)| rounds.until());
        until.is_some_and(|until| until > self.ports.clock.now())
    }

    /// Ackers are let go only under a live lease, and only for an entry later than the one the server waits under. Never
    /// while the server is being made to wait: the two would race, and the group believes the one that answers last.
    pub(super) fn let_go_if_degraded(&mut self, state: &ClusterState, epoch: Epoch) {
        let too_early = mutate!(DegradeWithoutCommit).then_some(u64::MAX);
        let Some(index) = too_early.or(state.durability.let_go_index()) else { return };
        let done = index <= self.memory.record.waits_since.max(self.behind.let_go);
        let due = self.behind.let_go_again.is_none_or(|at| Instant::now() >= at);
        if done || self.behind.letting_go || !due || self.opener().is_err() {
            return;
        }
        let Some(lease) = self.lease else { return };
        let (live, states) = (self.permit(epoch, lease.until), self.ports.states.clone());
        let permit = Permit::new(move || {
            let committed = states.borrow().durability.let_go_index() == Some(index);
            live.check("letting go").is_ok() && (committed || mutate!(DegradeWithoutCommit))
        });
        self.behind.letting_go = true;
        let (server, done) = (Arc::clone(&self.ports.server), self.behind.done.clone());
        crate::task::spawn(async move {
            let let_go = server.let_go(&permit).await;
            let _over = done.send(Done::LetGo(index, let_go)).await;
        });
    }

    /// The record of when the server was last made to wait stays: an entry that is later than that one lets go.
    pub(super) fn was_let_go(&mut self, index: u64, let_go: Result<(), SqlError>) {
        self.behind.letting_go = false;
        match let_go {
            Ok(()) => {
                info!(index, "the server goes on without ackers, as the group has committed");
                self.behind.let_go = self.behind.let_go.max(index);
            }
            Err(error) => {
                let now = Instant::now();
                self.behind.let_go_unsure_until = Some(now + LET_GO_UNSURE);
                self.behind.let_go_again = Some(now + TRY_AGAIN * 4);
                self.trouble = Some(format!("the server still waits for its ackers: {error}"));
            }
        }
    }

    /// The open writer waits for its ackers again.
    pub(super) async fn make_wait(
        &mut self,
        epoch: Epoch,
        since: u64,
        reply: oneshot::Sender<Result<(), String>>,
    ) {
        match self.begin_to_wait(epoch, since).await {
            Ok((mut opener, wait_count, permit)) => {
                let done = self.behind.done.clone();
                crate::task::spawn(async move {
                    let waits = opener.make_wait(wait_count, &permit).await.map_err(|e| e.to_string());
                    let _over = done.send(Done::Waits(opener, waits, reply)).await;
                });
            }
            Err(why) => {
                let _asker_gone = reply.send(Err(why));
            }
        }
    }

    async fn begin_to_wait(
        &mut self,
        epoch: Epoch,
        since: u64,
    ) -> Result<(Box<dyn Opener>, u32, Permit), String> {
        let state = Arc::clone(&self.ports.states.borrow());
        let record = &self.memory.record;
        let holds =
            self.lease.filter(|l| l.epoch == epoch && record.opened == epoch && record.closed < epoch);
        let lease = holds.ok_or("it holds no lease under that epoch")?;
        if !state.is_writer(&self.ports.me) || state.epoch() != epoch {
            return Err("not the writer of that epoch".into());
        }
        let unsure = self.behind.let_go_unsure_until.is_some_and(|at| Instant::now() < at);
        if self.behind.letting_go || unsure {
            return Err("it is being let go by an earlier entry".into());
        }
        self.opener()?;
        // Written first: from here on only a later entry lets go again.
        self.memory.change(|r| r.waits_since = r.waits_since.max(since)).await?;
        let permit = self.permit(epoch, lease.until);
        match &mut self.server {
            Attached::To { opener, .. } => {
                let opener = opener.take().ok_or("the server is being made to wait")?;
                Ok((opener, state.safety.wait_count, permit))
            }
            _ => Err("the server has gone".into()),
        }
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
