//! Runs single actions on the server beside this node, on a leader's order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tracing::debug;

use super::action::{Acted, Action, Order, Sets};
use super::promise::ReceiverStop;
use crate::guard::GuardHandle;
use crate::sql::{ManagedServer, Permit};
use crate::state::ClusterState;

/// Runs actions. Clones of its parts are shared with the rest of the node.
pub struct Actor {
    server: Arc<dyn ManagedServer>,
    guard: GuardHandle,
    states: watch::Receiver<Arc<ClusterState>>,
    stop: Arc<ReceiverStop>,
    term: Arc<AtomicU64>,
}

impl Actor {
    /// An actor that has seen no order yet.
    pub fn new(
        server: Arc<dyn ManagedServer>,
        guard: GuardHandle,
        states: watch::Receiver<Arc<ClusterState>>,
        stop: Arc<ReceiverStop>,
    ) -> Self {
        Self { server, guard, states, stop, term: Arc::default() }
    }

    /// Runs one action within `bound`; refuses an order older than one it has seen.
    pub async fn act(&self, order: &Order, action: Action, bound: Duration) -> Acted {
        let newest = self.term.fetch_max(order.term, Ordering::SeqCst);
        if order.term < newest {
            return Acted::Failed(format!(
                "the order is of term {}, term {newest} has been seen",
                order.term
            ));
        }
        let have = self.states.borrow().epoch();
        if order.epoch < have {
            return Acted::Failed(format!("the order is of epoch {}, this is epoch {have}", order.epoch));
        }
        debug!(operation = order.operation, term = order.term, epoch = %order.epoch, ?action, "action");
        match tokio::time::timeout(bound, self.run(order, action, bound)).await {
            Ok(acted) => acted,
            Err(_) => Acted::Failed(format!("not done within {} ms", bound.as_millis())),
        }
    }

    async fn run(&self, order: &Order, action: Action, bound: Duration) -> Acted {
        match action {
            Action::Fence => Acted::Fenced(self.guard.fence(order.epoch, bound).await),
            Action::StopReceiver => self.stop_receiver(order).await,
            Action::ReadSets => self.read().await,
            Action::WaitApplied(set) => match self.server.wait_applied(&set, bound).await {
                Ok(applied) => Acted::Applied(applied),
                Err(error) => Acted::Failed(error.to_string()),
            },
            Action::MakeWait(since) => done(self.guard.make_wait(order.epoch, since, bound).await),
            Action::ProveCommit => done(self.server.prove_commit(bound).await.map_err(|e| e.to_string())),
        }
    }

    async fn stop_receiver(&self, order: &Order) -> Acted {
        // On disk before the statement: whoever hears that it has stopped may count on it for good.
        if let Err(why) = self.stop.promise(order.epoch).await {
            return Acted::Failed(format!("the promise to stop receiving cannot be kept on disk: {why}"));
        }
        let (term, states, mine) = (Arc::clone(&self.term), self.states.clone(), (order.term, order.epoch));
        let permit =
            Permit::new(move || term.load(Ordering::SeqCst) <= mine.0 && states.borrow().epoch() <= mine.1);
        // Looks by itself whether there is anything to stop, and only when no other replication command is under way: a
        // start whose permit was asked just before would run on behind a look from the side.
        match self.server.stop_receiver(&permit).await {
            Ok(()) => self.read().await,
            Err(error) => Acted::Failed(error.to_string()),
        }
    }

    async fn read(&self) -> Acted {
        match self.server.pulse().await {
            Ok(pulse) => Acted::Sets(Sets {
                still: pulse.replication.as_ref().is_none_or(|c| !c.io_started),
                closed: pulse.switch.is_closed(),
                delayed: pulse.replication.as_ref().is_some_and(|c| !c.delay.is_zero()),
                executed: pulse.executed,
                received: pulse.received,
            }),
            Err(error) => Acted::Failed(error.to_string()),
        }
    }
}

fn done(result: Result<(), String>) -> Acted {
    match result {
        Ok(()) => Acted::Done,
        Err(why) => Acted::Failed(why),
    }
}
