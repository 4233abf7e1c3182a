//! Holding a lease, and closing.

use tracing::{info, warn};

use super::asking::Reply;
use super::guard::{Attached, Guard};
use super::lease::Rounds;
use super::ports::{Electorate, Fenced, Lease, LeaseAnswer};
use crate::sql::{CloseOptions, Permit};
use crate::state::{ClusterState, Epoch};

impl Guard {
    /// Nothing is guarded: a keeper that still holds the server lets it go.
    pub(super) async fn observe(&mut self) {
        self.trouble = None;
        self.rounds = None;
        self.lease = None;
        if self.look_is_due() {
            self.release_keeper().await;
            self.look_later();
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
        let open = self.ports.server.pulse().await.map(|p| !p.switch.is_closed());
        match open {
            Ok(false) => self.settle_closed().await,
            Ok(true) => {
                warn!("the server is open and may not be; closing it");
                match self.close("no grant").await {
                    Ok(()) => info!("closed"),
                    Err(why) => warn!(why, "the server could not be closed"),
                }
            }
            Err(error) => self.trouble = Some(format!("its server does not answer: {error}")),
        }
    }

    /// A closed server: the keeper lets it live, and the source side of semi-sync, which would hang its applier, goes off.
    async fn settle_closed(&mut self) {
        self.trouble = None;
        self.release_keeper().await;
        let waits = self.ports.server.pulse().await.is_ok_and(|p| p.semi_sync.source_enabled);
        if waits && let Err(error) = self.ports.server.stop_waiting(&Permit::unconditional()).await {
            self.trouble = Some(format!("semi-sync's source side could not be switched off: {error}"));
        }
    }

    async fn release_keeper(&mut self) {
        if let Ok(Some(held)) = self.ports.keeper.holding().await
            && let Err(error) = self.ports.keeper.closed(held.epoch, held.process.0).await
        {
            self.trouble = Some(format!("the keeper does not let go: {error}"));
        }
    }

    /// The writer under `epoch`: opens once, then holds the lease.
    pub(super) async fn write(&mut self, state: &ClusterState, epoch: Epoch) {
        let record = &self.memory.record;
        if record.opened < epoch {
            self.open_under(state, epoch).await;
        } else if record.opened > epoch || record.closed >= epoch || !self.is_opened_process() {
            // Restarted, or closed here before: it opens again only under the next epoch.
            self.keep_closed().await;
        } else {
            self.hold(state, epoch).await;
        }
    }

    /// Renews the lease, closes in time without one, and lets go of ackers when the group has said so.
    pub(super) async fn hold(&mut self, state: &ClusterState, epoch: Epoch) {
        if self.rounds.is_none() && !self.take_over_from_keeper(epoch).await {
            self.keep_closed().await;
            return;
        }
        self.ask_when_due(state, epoch);
        if self.close_at().is_none_or(|at| self.ports.clock.now() >= at) {
            self.close_for_want_of_lease(epoch).await;
            return;
        }
        self.let_go_if_degraded(state, epoch).await;
        if let Some(opened) = &state.grant
            && opened.opened_ms.is_none()
        {
            self.report_open(epoch).await;
        }
    }

    /// A restarted daemon takes over the lease that the keeper still holds for the very process that was opened.
    async fn take_over_from_keeper(&mut self, epoch: Epoch) -> bool {
        let held = match self.ports.keeper.holding().await {
            Ok(held) => held.filter(|h| h.epoch == epoch && h.process == self.memory.record.process),
            Err(error) => {
                self.trouble = Some(format!("the keeper does not answer: {error}"));
                None
            }
        };
        let Some(until) = held.and_then(|h| h.deadline) else { return false };
        info!(%epoch, "took over the lease from the keeper");
        self.lease = Some(Lease { epoch, until });
        self.begin_rounds(epoch);
        true
    }

    /// Begins to ask for a lease under `epoch`, at once.
    pub(super) fn begin_rounds(&mut self, epoch: Epoch) {
        let mut newest = Electorate::default();
        self.ports.applied.with(&mut |_, electorate| newest = electorate.clone());
        self.rounds = Some((epoch, Rounds::new(newest)));
        self.ask_now();
    }

    /// Counts one answer.
    pub(super) fn count(&mut self, reply: Reply) {
        let Some((epoch, rounds)) = &mut self.rounds else { return };
        if reply.request.epoch != *epoch {
            return;
        }
        match reply.answer {
            LeaseAnswer::Granted => rounds.granted(reply.voter, reply.begun, reply.request.length),
            LeaseAnswer::Refused { membership: Some(newer), .. } => {
                rounds.adopt(newer);
                self.ask_now();
            }
            LeaseAnswer::Refused { reason, membership: None } => {
                self.trouble = Some(format!("{} grants no lease: {reason}", reply.voter));
            }
        }
    }

    /// What the answers give: the keeper learns the new deadline first, then it counts here.
    pub(super) async fn renewed(&mut self) {
        let Some((epoch, rounds)) = &self.rounds else { return };
        let (epoch, Some(until)) = (*epoch, rounds.until()) else { return };
        if self.memory.record.opened != epoch || self.lease.is_some_and(|l| l.until >= until) {
            return;
        }
        let Attached::To { process, .. } = &self.server else { return };
        match self.ports.keeper.extend(epoch, process.pid(), until).await {
            Ok(()) => {
                self.lease = Some(Lease { epoch, until });
                self.trouble = None;
            }
            Err(error) => self.trouble = Some(format!("the keeper did not take the lease: {error}")),
        }
    }

    async fn close_for_want_of_lease(&mut self, epoch: Epoch) {
        warn!(%epoch, "no majority of the voters has granted more lease; closing the server");
        self.rounds = None;
        if let Err(error) = self.memory.change(|r| r.closed = r.closed.max(epoch)).await {
            self.trouble = Some(error);
        }
        match self.close("the lease ends").await {
            Ok(()) => info!(%epoch, "closed"),
            Err(why) => warn!(why, "the server could not be closed; the keeper kills it when the lease ends"),
        }
        self.lease = None;
    }

    /// Closes, reads back, kills the sessions; then the keeper lets the server live.
    pub(super) async fn close(&mut self, why: &str) -> Result<(), String> {
        let Attached::To { process, .. } = &self.server else { return Err("no server to close".into()) };
        let pid = process.pid();
        let proof = self.ports.server.close(&CloseOptions::default()).await.map_err(|e| e.to_string())?;
        let gaps = proof.gaps(|account| (self.ports.accepts)(account));
        if !gaps.is_empty() {
            return Err(format!("closed ({why}), but writes are still possible: {}", gaps.join("; ")));
        }
        info!(pid, why, sessions = proof.sessions_killed.len(), "closed the server");
        self.settle_closed().await;
        Ok(())
    }

    /// Ends an epoch for good on this host.
    pub(super) async fn fence(&mut self, epoch: Epoch) -> Fenced {
        if let Err(why) = self.memory.change(|r| r.refused = r.refused.max(epoch)).await {
            return Fenced::Open { why };
        }
        self.rounds = None;
        match &self.server {
            Attached::Gone { pid } => {
                Fenced::Gone { detail: format!("process {pid} exited, its port refuses") }
            }
            Attached::None => Fenced::Open { why: "the server's process has not been seen".into() },
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
