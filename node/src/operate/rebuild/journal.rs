//! What the group is told of a rebuild: each step is a commit, and the one that discards is checked there again.

use std::sync::Arc;

use tokio::time::{Instant, sleep, timeout};

use super::{GATE_WITHIN, Rebuilder, TICK, Work};
use crate::gtid::GtidSet;
use crate::state::{AtStep, Change, ClusterState, Outcome, RebuildStep, Refusal, UnixMillis};

impl Rebuilder {
    /// The point of no return: what the server has and the writer lacks is read, and the group allows the rest or not.
    /// When the step began, for what follows.
    pub(super) async fn discard(&self, work: &Work) -> Result<UnixMillis, String> {
        let extra = if work.discarded { None } else { Some(self.extra().await?) };
        let detail = format!("from {}; what {} had is discarded", work.source, self.me);
        self.commit(work, RebuildStep::Copy, extra, detail).await?;
        let state = self.states.borrow();
        state.rebuild_of(&self.me).map(|r| r.step_ms).ok_or_else(|| "the rebuild is over".to_owned())
    }

    /// What the server has committed and the writer has not. The own set first: what the writer commits meanwhile is no
    /// difference.
    async fn extra(&self) -> Result<GtidSet, String> {
        let writer = {
            let state = self.states.borrow();
            let grant = state.live_grant().ok_or("there is no writer now")?;
            state
                .members
                .get(&grant.node)
                .and_then(|m| m.server.clone())
                .ok_or("the writer has no address")?
        };
        let mine = self.server.executed().await.map_err(|e| format!("its server: {e}"))?;
        let writers =
            (self.remote)(&writer).executed().await.map_err(|e| format!("the writer's server: {e}"))?;
        mine.subtract(&writers).map_err(|e| e.to_string())
    }

    /// Commits a step. A failover that is under way is waited for, bounded.
    pub(super) async fn commit(
        &self,
        work: &Work,
        step: RebuildStep,
        extra: Option<GtidSet>,
        detail: String,
    ) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let at = AtStep {
                operation: work.id.clone(),
                attempt: work.attempt,
                step,
                extra: extra.clone(),
                detail: detail.clone(),
            };
            let why = match self.proposer.change(Change::RebuildStep(at)).await {
                Ok(Outcome::Applied) => return self.applied(work, step).await,
                Ok(Outcome::Refused(refusal @ Refusal::UnderWay(_))) => refusal.to_string(),
                Ok(Outcome::Refused(refusal)) => {
                    return self.applied(work, step).await.map_err(|_| refusal.to_string());
                }
                Err(why) => why,
            };
            if begun.elapsed() >= GATE_WITHIN {
                return Err(why);
            }
            sleep(TICK).await;
        }
    }

    /// Waits until this node itself has applied the step: its permits ask the state that it has applied. An entry whose
    /// answer was lost may have counted.
    async fn applied(&self, work: &Work, step: RebuildStep) -> Result<(), String> {
        let mut states = self.states.clone();
        let there = |state: &Arc<ClusterState>| {
            let now =
                state.rebuild_of(&self.me).filter(|r| r.operation.id == work.id && r.attempt == work.attempt);
            now.is_none_or(|r| r.step >= step)
        };
        match timeout(TICK * 3, states.wait_for(there)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(format!("step {step} has not been applied here")),
        }
    }
}
