//! Holding a lease, and closing.

use std::sync::Arc;
use std::time::Duration;

use tracing::{error, info, warn};

use super::asking::Reply;
use super::clock::{self, Boottime};
use super::guard::{Attached, Guard};
use super::lease::Rounds;
use super::longer::Asks;
use super::ports::{Electorate, Fenced, Lease, LeaseAnswer};
use crate::mutation::mutate;
use crate::sql::{CloseOptions, Permit};
use crate::state::{Change, ClusterState, Epoch, OPEN_ENDED, Phase};

/// How soon a server that could not be closed is tried again while its lease runs.
const CLOSE_AGAIN: Duration = Duration::from_millis(50);
/// How soon a keeper that did not answer is asked again.
pub(super) const KEEPER_AGAIN: Duration = Duration::from_millis(20);
/// For how long a server that may not be open is closed again and again before it is killed.
const CLOSES_WITHIN: Duration = Duration::from_secs(3);

impl Guard {
    /// Nothing is guarded: a keeper that still holds the server lets it go. Only for an epoch that the state knows to be
    /// over: a daemon whose store was lost knows of none, and its keeper still holds a server that must not outlive its
    /// lease.
    pub(super) async fn observe(&mut self, state: &ClusterState) {
        self.trouble = None;
        self.rounds = None;
        self.lease = None;
        if self.look_is_due() {
            self.look_later();
            if let Ok(Some(held)) = self.keeper.holding().await
                && state.is_revoked(held.epoch)
                && let Err(error) = self.keeper.closed(held.epoch, held.process.0).await
            {
                self.trouble = Some(format!("the keeper does not let go: {error}"));
            }
            self.give_back(state).await;
        }
    }

    /// A released writer must not go on waiting for ackers that nobody looks after any more: the first one lost would
    /// block every write for ever.
    async fn give_back(&mut self, state: &ClusterState) {
        let opened = self.memory.record.opened;
        if self.given_back >= opened || !state.is_revoked(opened) || !self.is_opened_process() {
            return;
        }
        let states = self.ports.states.clone();
        let permit = Permit::new(move || states.borrow().phase == Phase::Observing);
        match self.ports.server.let_go(&permit).await {
            Ok(()) => {
                info!(epoch = %opened, "released: the server no longer waits for ackers");
                self.given_back = opened;
            }
            Err(error) => self.trouble = Some(format!("the server still waits for its ackers: {error}")),
        }
    }

    /// Not the writer: an open server is closed on sight.
    pub(super) async fn keep_closed(&mut self) {
        self.rounds = None;
        self.lease = None;
        if !self.look_is_due() {
            return;
        }
        self.look_later();
        if !matches!(self.server, Attached::To { .. }) {
            return;
        }
        let Some(pulse) = self.pulse_unless_fenced().await else { return self.look_now() };
        match pulse {
            Ok(pulse) if pulse.switch.is_closed() => {
                self.let_live().await;
                self.end_waiting(pulse.semi_sync.source_enabled).await;
            }
            Ok(_) => self.close_on_sight().await,
            Err(error) => self.trouble = Some(format!("its server does not answer: {error}")),
        }
    }

    /// Nobody has a lease for it, so there is no keeper's deadline that would end a close that hangs: commits that wait for
    /// an acker which never comes hold it up for ever.
    async fn close_on_sight(&mut self) {
        let now = self.ports.clock.now();
        let since = *self.open_since.get_or_insert(now);
        warn!("the server is open and may not be; closing it");
        let why = match self.close("no grant").await {
            Ok(()) => return info!("closed"),
            Err(why) => why,
        };
        let Attached::To { process, .. } = &self.server else { return };
        if self.ports.clock.now().saturating_since(since) < CLOSES_WITHIN {
            return warn!(why, "the server could not be closed");
        }
        error!(pid = process.pid(), why, "the server cannot be closed; killing it");
        if let Err(error) = process.kill() {
            self.trouble =
                Some(format!("the server is open, cannot be closed and cannot be killed: {error}"));
        }
    }

    /// A closed server: the keeper lets it live, and the source side of semi-sync, which would hang its applier, goes off.
    pub(super) async fn settle_closed(&mut self) {
        self.let_live().await;
        let waits = self.ports.server.pulse().await.is_ok_and(|p| p.semi_sync.source_enabled);
        self.end_waiting(waits).await;
    }

    async fn let_live(&mut self) {
        self.trouble = None;
        self.open_since = None;
        self.events_off();
        self.release_keeper().await;
    }

    async fn end_waiting(&mut self, waits: bool) {
        if waits && let Err(error) = self.ports.server.stop_waiting(&Permit::unconditional()).await {
            self.trouble = Some(format!("semi-sync's source side could not be switched off: {error}"));
        }
    }

    /// Only for the process that was seen closed: one that ran before it may still be on its way out, open.
    async fn release_keeper(&mut self) {
        let Attached::To { process, .. } = &self.server else { return };
        let closed = (process.pid(), process.start_time_ticks());
        if self.keeper.held_nothing_lately() {
            return;
        }
        if let Ok(Some(held)) = self.keeper.holding().await
            && held.process == closed
            && let Err(error) = self.keeper.closed(held.epoch, held.process.0).await
        {
            self.trouble = Some(format!("the keeper does not let go: {error}"));
        }
    }

    /// The writer under `epoch`: opens once, then holds the lease.
    pub(super) async fn write(&mut self, state: &ClusterState, epoch: Epoch) {
        let record = &self.memory.record;
        let again = mutate!(ReopenSameEpoch) && (record.closed >= epoch || !self.is_opened_process());
        if record.opened < epoch || again {
            if self.look_is_due() {
                self.open_under(state, epoch).await;
            }
        } else if record.opened > epoch || record.closed >= epoch || !self.is_opened_process() {
            // Restarted, or closed here before: it opens again only under the next epoch.
            self.keep_closed().await;
        } else {
            self.hold(state, epoch).await;
        }
    }

    /// Renews the lease, closes in time without one, and lets go of ackers when the group has said so.
    pub(super) async fn hold(&mut self, state: &ClusterState, epoch: Epoch) {
        if self.rounds.is_none() {
            match self.take_over_from_keeper(epoch).await {
                TakeOver::Lease => {}
                TakeOver::Ask => return self.look_within(KEEPER_AGAIN),
                TakeOver::Nothing => {
                    self.give_up_hand_over("there is no lease");
                    // It was closed, or is about to be killed. The leader is told that this epoch is over here.
                    self.note_closed(epoch).await;
                    return self.keep_closed().await;
                }
            }
        }
        self.choose_length(state, epoch).await;
        // What has come in counts before the lease is found too short.
        self.drain();
        self.renewed().await;
        self.ask_when_due(state, epoch);
        if self.close_at().is_none_or(|at| self.ports.clock.now() >= at) {
            return self.close_for_want_of_lease(epoch).await;
        }
        self.let_go_if_degraded(state, epoch);
        if self.look_is_due() {
            self.look_later();
            self.events_on(epoch);
            if mutate!(ReopenAfterForeignClose)
                && let Some(lease) = self.lease
                && self.ports.server.pulse().await.is_ok_and(|p| p.switch.is_closed())
            {
                let permit = self.permit(epoch, lease.until);
                drop(self.extend_and_open(lease, &permit).await);
            }
            if state.live_grant().is_some_and(|g| g.opened_ms.is_none()) {
                self.tell(Change::Opened { epoch }, Some(epoch));
            }
        }
    }

    /// A restarted daemon takes over the lease that the keeper still holds for the very process that was opened.
    pub(super) async fn take_over_from_keeper(&mut self, epoch: Epoch) -> TakeOver {
        let held = match self.keeper.holding().await {
            Ok(held) => held.filter(|h| h.epoch == epoch && h.process == self.memory.record.process),
            // A living keeper keeps its deadline, and a dead one ends this daemon: nothing is closed for one slow answer.
            Err(error) => {
                self.trouble = Some(format!("the keeper does not answer: {error}"));
                return TakeOver::Ask;
            }
        };
        let until = match held.and_then(|h| h.deadline) {
            Some(until) => until,
            // In a pause the keeper holds nothing, or has not been told a deadline yet.
            None if self.memory.record.open_ended == epoch => Boottime::NEVER,
            None => return TakeOver::Nothing,
        };
        info!(%epoch, open_ended = until == Boottime::NEVER, "took over the lease");
        let left = until.saturating_since(self.ports.clock.now());
        let length = left.min(self.ports.states.borrow().safety.lease_ttl());
        self.begin_rounds(epoch);
        self.lease = Some(Lease { epoch, until, length });
        // A planned restart or a pause may have made it longer than an ordinary one.
        self.long = true;
        self.asks = if until == Boottime::NEVER { Asks::OpenEnd } else { Asks::Ordinary };
        TakeOver::Lease
    }

    /// Begins to ask for a lease under `epoch`, at once.
    pub(super) fn begin_rounds(&mut self, epoch: Epoch) {
        self.rounds = Some((epoch, Rounds::new(self.newest_membership())));
        self.rounds_since = self.ports.clock.now();
        (self.asks, self.long) = (Asks::Ordinary, false);
        self.ask_now();
    }

    /// The newest membership in this node's log; nobody, while a snapshot is being installed.
    pub(super) fn newest_membership(&self) -> Electorate {
        let mut newest = Electorate::default();
        self.ports.applied.with(&mut |applied| newest = applied.electorate.clone());
        newest
    }

    /// Counts one answer.
    pub(super) fn count(&mut self, reply: Reply) {
        let Some((epoch, rounds)) = &mut self.rounds else { return };
        if reply.request.epoch != *epoch || reply.request.round < self.rounds_since {
            return;
        }
        if reply.request.length == OPEN_ENDED && self.asks != Asks::OpenEnd {
            return;
        }
        match reply.answer {
            LeaseAnswer::Granted => rounds.granted(reply.voter, &reply.request),
            LeaseAnswer::Refused { membership: Some(newer), .. } => {
                rounds.adopt(newer);
                self.ask_now();
            }
            LeaseAnswer::Refused { reason, membership: None } => {
                self.trouble = Some(format!("{} grants no lease: {reason}", reply.voter));
            }
        }
    }

    /// The keeper kills a server whose lease has ended, and this daemon does so where the keeper stands still.
    pub(super) async fn close_for_want_of_lease(&mut self, epoch: Epoch) {
        warn!(%epoch, "no majority of the voters has granted more lease; closing the server");
        self.give_up_hand_over("no majority of the voters grants a lease");
        self.rounds = None;
        self.close_or_kill(self.lease, Some(epoch), "the lease ends").await;
        self.lease = None;
    }

    /// Notes that `ends` has ended here and closes the server, and kills it at the end of its lease where that has not come
    /// through. Without a lease nothing is killed.
    pub(super) async fn close_or_kill(&mut self, lease: Option<Lease>, ends: Option<Epoch>, why: &str) {
        let process = match &self.server {
            Attached::To { process, .. } => Some(Arc::clone(process)),
            Attached::None | Attached::Dying { .. } | Attached::Gone { .. } => None,
        };
        let clock = Arc::clone(&self.ports.clock);
        let until = lease.map_or(Boottime::NEVER, |lease| lease.until);
        let closing = async {
            if let Some(epoch) = ends {
                self.note_closed(epoch).await;
            }
            loop {
                match self.close_server(why).await {
                    Err(why) if until != Boottime::NEVER => {
                        warn!(why, "the server could not be closed; it is killed when its lease ends");
                        tokio::time::sleep(CLOSE_AGAIN).await;
                    }
                    closed => return closed,
                }
            }
        };
        let closed = tokio::select! {
            closed = closing => closed,
            () = clock::sleep_until(&*clock, until) => Err("the lease has ended before it was closed".to_owned()),
        };
        let why = match closed {
            Ok(()) => return self.settle_closed().await,
            Err(why) => why,
        };
        let Some(process) = process.filter(|_| until != Boottime::NEVER) else {
            return warn!(why, "the server could not be closed");
        };
        error!(pid = process.pid(), why, "the server could not be closed; killing it");
        if let Err(error) = process.kill() {
            error!(%error, "the server could not be killed");
        }
    }

    /// The epoch has ended on this host, whatever becomes of its server.
    async fn note_closed(&mut self, epoch: Epoch) {
        if let Err(error) = self.memory.change(|r| r.closed = r.closed.max(epoch)).await {
            self.trouble = Some(error);
        }
    }

    /// Ends an epoch here: its lease is renewed no more, and the server is closed.
    pub(super) async fn end_epoch(&mut self, epoch: Epoch, why: &str) -> Result<(), String> {
        self.rounds = None;
        self.note_closed(epoch).await;
        let closed = self.close(why).await;
        self.lease = None;
        closed
    }

    /// Closes, reads back, kills the sessions; then the keeper lets the server live.
    pub(super) async fn close(&mut self, why: &str) -> Result<(), String> {
        self.close_server(why).await?;
        self.settle_closed().await;
        Ok(())
    }

    async fn close_server(&mut self, why: &str) -> Result<(), String> {
        let Attached::To { process, .. } = &self.server else { return Err("no server to close".into()) };
        let pid = process.pid();
        let proof = self.ports.server.close(&CloseOptions::default()).await.map_err(|e| e.to_string())?;
        let gaps = proof.gaps(|account| (self.ports.accepts)(account));
        if !gaps.is_empty() {
            return Err(format!("closed ({why}), but writes are still possible: {}", gaps.join("; ")));
        }
        info!(pid, why, sessions = proof.sessions_killed.len(), "closed the server");
        Ok(())
    }

    /// Ends an epoch for good on this host. A server that is open under a later one has nothing to do with it.
    pub(super) async fn fence(&mut self, epoch: Epoch, hangs: bool) -> Fenced {
        let newest = self.memory.record.opened.max(self.ports.states.borrow().epoch());
        if newest > epoch {
            return Fenced::Open { why: format!("epoch {epoch} is over, this is epoch {newest}") };
        }
        if let Err(why) = self.memory.change(|r| r.refused = r.refused.max(epoch)).await {
            return Fenced::Open { why };
        }
        self.rounds = None;
        match &self.server {
            Attached::Gone { pid } => {
                Fenced::Gone { detail: format!("process {pid} exited, its port refuses") }
            }
            Attached::None => Fenced::Open { why: "the server's process has not been seen".into() },
            Attached::Dying { process } => {
                Fenced::Open { why: format!("process {} has been killed and has not exited", process.pid()) }
            }
            Attached::To { process, .. } if hangs => {
                let pid = process.pid();
                warn!(pid, "the server hangs and its epoch is revoked; killing it");
                Fenced::Open {
                    why: match process.kill() {
                        Ok(()) => format!("process {pid} hung, has been killed and has not exited"),
                        Err(error) => format!("process {pid} hangs and cannot be killed: {error}"),
                    },
                }
            }
            Attached::To { process, .. } => {
                let pid = process.pid();
                match self.close("its epoch is revoked").await {
                    Ok(()) => {
                        self.lease = None;
                        Fenced::Closed {
                            detail: format!("process {pid} closed, read back, its sessions gone"),
                        }
                    }
                    Err(why) => Fenced::Open { why },
                }
            }
        }
    }
}

/// What a keeper has for a restarted daemon.
pub(super) enum TakeOver {
    /// A lease.
    Lease,
    /// No answer yet.
    Ask,
    /// None for this epoch and process.
    Nothing,
}
