//! What other rooms may ask of a running guard, and see of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::clock::{Boottime, Clock};
use super::freezing::Freeze;
use super::longer::HandedOver;
use super::ports::{Fenced, Frozen, Lease};
use crate::decide::seen::{GuardSeen, Process};
use crate::state::Epoch;

/// What can be asked of a running guard.
#[derive(Clone)]
pub struct GuardHandle {
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) fencing: Arc<Notify>,
    pub(super) process: watch::Receiver<Process>,
    pub(super) seen: Arc<Mutex<Seen>>,
    pub(super) clock: Arc<dyn Clock>,
}

pub(super) enum Request {
    Fence(Epoch, bool, oneshot::Sender<Fenced>),
    Freeze(Freeze, oneshot::Sender<Frozen>),
    MakeWait(Epoch, u64, oneshot::Sender<Result<(), String>>),
    HandOver(oneshot::Sender<Result<HandedOver, String>>),
    StepDown(oneshot::Sender<Result<(), String>>),
}

pub(super) struct Seen {
    pub(super) view: GuardSeen,
    pub(super) lease: Option<Lease>,
    /// When the loop last turned.
    pub(super) turned: Boottime,
}

impl GuardHandle {
    /// The server's process, as the guard holds it.
    pub fn process(&self) -> watch::Receiver<Process> {
        self.process.clone()
    }

    /// What the guard holds and did, now.
    pub fn seen(&self) -> GuardSeen {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let lease = seen.lease.filter(|l| l.until > now).map(|l| (l.epoch, l.until.saturating_since(now)));
        GuardSeen { lease, ..seen.view.clone() }
    }

    /// When the guard's loop last turned.
    pub fn turned(&self) -> Boottime {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).turned
    }

    /// Closes the writer for good: its epoch ends here, and the leader looks for the next writer. Nothing where this
    /// server is not under a lease. Bounded by `bound`.
    ///
    /// # Errors
    /// Why it is not closed; the keeper then ends it with its lease.
    pub async fn step_down(&self, bound: Duration) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        let ask = async {
            self.requests.send(Request::StepDown(reply)).await.map_err(|_| "the guard has ended")?;
            answer.await.map_err(|_| "the guard has ended")
        };
        tokio::time::timeout(bound, ask).await.map_err(|_| "the guard is busy")??
    }

    /// Has the keeper hold a lease that lasts until the next process of this daemon is there. The guard ends then: the
    /// caller stops the process. Bounded by `bound`.
    ///
    /// # Errors
    /// Why no longer lease was granted.
    pub async fn hand_over(&self, bound: Duration) -> Result<HandedOver, String> {
        let (reply, answer) = oneshot::channel();
        let ask = async {
            self.requests.send(Request::HandOver(reply)).await.map_err(|_| "the guard has ended")?;
            answer.await.map_err(|_| "the guard has ended")
        };
        let late = |_| format!("no majority of the voters has granted it within {} ms", bound.as_millis());
        tokio::time::timeout(bound, ask).await.map_err(late)??
    }

    /// Ends `epoch` here: the server closed or gone, and never opened under it again; one that `hangs` is killed. Bounded
    /// by `bound`.
    pub async fn fence(&self, epoch: Epoch, hangs: bool, bound: Duration) -> Fenced {
        let (reply, answer) = oneshot::channel();
        let ask = async {
            self.requests.send(Request::Fence(epoch, hangs, reply)).await.ok()?;
            if hangs {
                self.fencing.notify_one();
            }
            answer.await.ok()
        };
        match tokio::time::timeout(bound, ask).await {
            Ok(Some(fenced)) => fenced,
            Ok(None) => Fenced::Open { why: "the guard has ended".into() },
            Err(_) => {
                Fenced::Open { why: format!("the guard has not finished within {} ms", bound.as_millis()) }
            }
        }
    }

    /// Closes the open writer for a planned switchover, or sees to it that nothing closes it for one any more. Bounded by
    /// `bound`.
    pub async fn freeze(&self, freeze: Freeze, bound: Duration) -> Frozen {
        let (reply, answer) = oneshot::channel();
        let ask = async {
            self.requests.send(Request::Freeze(freeze, reply)).await.ok()?;
            answer.await.ok()
        };
        match tokio::time::timeout(bound, ask).await {
            Ok(Some(frozen)) => frozen,
            Ok(None) => Frozen::Unknown { why: "the guard has ended".into() },
            Err(_) => {
                Frozen::Unknown { why: format!("the guard has not finished within {} ms", bound.as_millis()) }
            }
        }
    }

    /// Makes the open writer wait for its ackers again. `since` is the index of the state this was decided on.
    ///
    /// # Errors
    /// Why it does not wait.
    pub async fn make_wait(&self, epoch: Epoch, since: u64, bound: Duration) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        let ask = async {
            self.requests
                .send(Request::MakeWait(epoch, since, reply))
                .await
                .map_err(|_| "the guard has ended")?;
            answer.await.map_err(|_| "the guard has ended")
        };
        tokio::time::timeout(bound, ask).await.map_err(|_| "the guard is busy")??
    }
}
