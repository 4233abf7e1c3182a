//! Closing the open writer for a planned switchover. The epoch goes on until that is proven: a close that another session
//! holds up leaves the server as it was, and its lease too. Done behind the guard's back, so that it holds up no renewal.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{info, warn};

use super::behind::Done;
use super::guard::{Attached, Guard};
use super::ports::Frozen;
use crate::sql::{CloseOptions, ClosedProof, ManagedServer, SqlError};
use crate::state::{Epoch, OperationId};

/// How a server is to be closed for a switchover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    /// For which one.
    pub operation: OperationId,
    /// Under which epoch it is open.
    pub epoch: Epoch,
    /// What to do.
    pub what: FreezeHow,
}

/// What is to be done with a server that is open for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreezeHow {
    /// Close it.
    Close {
        /// The whole close ends within this; a statement that has not come through is killed and seen gone.
        within: Duration,
        /// Sessions that hold it up are killed.
        kill_blockers: bool,
    },
    /// The switchover is taken back: nothing closes the server for it from now on, and one that is closed already is
    /// closed for good.
    Settle,
}

/// What has become of the server, told by the work behind the guard's back.
pub(super) enum Outcome {
    /// Closed.
    Closed(ClosedProof),
    /// As it was: open.
    Open(String),
    /// Nobody can say.
    Unknown(String),
}

impl Guard {
    pub(super) fn freeze(&mut self, freeze: Freeze, reply: oneshot::Sender<Frozen>) {
        let pid = match self.may_freeze(&freeze) {
            Ok(pid) => pid,
            Err(why) => {
                let _asker_gone = reply.send(Frozen::Unknown { why });
                return;
            }
        };
        if freeze.what == FreezeHow::Settle {
            self.taken_back = Some(freeze.operation.clone());
        }
        self.behind.freezing = true;
        let (server, done) = (Arc::clone(&self.ports.server), self.behind.done.clone());
        crate::task::spawn(async move {
            let outcome = match freeze.what {
                FreezeHow::Close { within, kill_blockers } => {
                    let options = CloseOptions { deadline: within, kill_blockers, ..CloseOptions::default() };
                    close(&*server, &options).await
                }
                FreezeHow::Settle => settle(&*server).await,
            };
            let _over = done.send(Done::Frozen(freeze.epoch, pid, outcome, reply)).await;
        });
    }

    /// Only for the switchover that the state names, and of the epoch that it names: compared immediately before.
    fn may_freeze(&self, freeze: &Freeze) -> Result<i32, String> {
        let state = self.ports.states.borrow();
        let named = state.operation.as_ref().is_some_and(|o| o.id == freeze.operation && o.is_frozen());
        if !named || !state.is_writer(&self.ports.me) || state.epoch() != freeze.epoch {
            return Err("no switchover away from here is under way, as far as this node knows".into());
        }
        if self.behind.freezing {
            return Err("an earlier close of it is still under way".into());
        }
        let closes = matches!(freeze.what, FreezeHow::Close { .. });
        if closes && self.taken_back.as_ref() == Some(&freeze.operation) {
            return Err("this switchover has been taken back".into());
        }
        match &self.server {
            Attached::To { process, .. } => Ok(process.pid()),
            Attached::None | Attached::Dying { .. } | Attached::Gone { .. } => {
                Err("its server is not running".into())
            }
        }
    }

    /// Nobody hears that it is closed before this node will never open it under that epoch again.
    pub(super) async fn frozen(
        &mut self,
        epoch: Epoch,
        pid: i32,
        outcome: Outcome,
        reply: oneshot::Sender<Frozen>,
    ) {
        self.behind.freezing = false;
        let frozen = match outcome {
            Outcome::Closed(proof) => match self.end_frozen(epoch, pid, &proof).await {
                Ok(detail) => Frozen::Closed { executed: proof.executed, detail },
                Err(why) => Frozen::Unknown { why },
            },
            Outcome::Open(why) => Frozen::Open { why },
            Outcome::Unknown(why) => Frozen::Unknown { why },
        };
        let closed = matches!(frozen, Frozen::Closed { .. });
        match &frozen {
            Frozen::Closed { detail, .. } => info!(%epoch, detail, "closed for a switchover"),
            Frozen::Open { why } | Frozen::Unknown { why } => {
                warn!(%epoch, why, "not closed for a switchover")
            }
        }
        let _asker_gone = reply.send(frozen);
        if closed {
            self.settle_closed().await;
        }
        self.look_now();
    }

    async fn end_frozen(&mut self, epoch: Epoch, pid: i32, proof: &ClosedProof) -> Result<String, String> {
        if !matches!(&self.server, Attached::To { process, .. } if process.pid() == pid) {
            return Err(format!("process {pid}, which was closed, runs no longer"));
        }
        let gaps = proof.gaps(|account| (self.ports.accepts)(account));
        if !gaps.is_empty() {
            return Err(format!("closed, but writes are still possible: {}", gaps.join("; ")));
        }
        self.memory.change(|r| r.refused = r.refused.max(epoch)).await?;
        self.rounds = None;
        self.lease = None;
        let sessions = proof.sessions_killed.len();
        Ok(format!("process {pid} closed, read back, {sessions} sessions ended"))
    }
}

async fn close(server: &dyn ManagedServer, options: &CloseOptions) -> Outcome {
    let error = match server.close(options).await {
        Ok(proof) => return Outcome::Closed(proof),
        Err(error) => error,
    };
    // Its statement may take effect yet.
    if matches!(error, SqlError::Unsafe(_)) {
        return Outcome::Unknown(error.to_string());
    }
    match server.pulse().await {
        Ok(pulse) if !pulse.switch.is_closed() => Outcome::Open(error.to_string()),
        Ok(_) => Outcome::Unknown(format!("closed, and then: {error}")),
        Err(silent) => Outcome::Unknown(format!("{error}; {silent}")),
    }
}

async fn settle(server: &dyn ManagedServer) -> Outcome {
    match server.pulse().await {
        Ok(pulse) if !pulse.switch.is_closed() => Outcome::Open("it is open".into()),
        Ok(_) => match server.close(&CloseOptions::default()).await {
            Ok(proof) => Outcome::Closed(proof),
            Err(error) => Outcome::Unknown(error.to_string()),
        },
        Err(error) => Outcome::Unknown(error.to_string()),
    }
}
