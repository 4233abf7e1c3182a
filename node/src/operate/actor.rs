//! Runs single actions on the server beside this node, on a leader's order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::action::{Acted, Action, Order, Sets};
use super::apply_all::apply_all;
use super::attend::SourceAt;
use super::hooks::Hooks;
use super::promise::ReceiverStop;
use super::rehearsal::Rehearsal;
use super::restart::Restart;
use super::switchover::foretold;
use crate::decide::vouched::began;
use crate::gtid::GtidSet;
use crate::guard::{Freeze, FreezeHow, GuardHandle};
use crate::sql::{ManagedServer, Permit};
use crate::state::{ClusterState, Epoch, Operation, OperationId, OperationKind, UnixMillis};

/// The part of its bound that catching up may take, so that the receiver is stopped within it.
const CATCH_UP_PART: f64 = 0.8;
/// Between two looks at what has been fetched.
const CATCH_UP_LOOK: Duration = Duration::from_millis(50);

/// The wall clock of this host.
pub type Wall = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// Runs actions. Clones of its parts are shared with the rest of the node.
pub struct Actor {
    server: Arc<dyn ManagedServer>,
    guard: GuardHandle,
    states: watch::Receiver<Arc<ClusterState>>,
    stop: Arc<ReceiverStop>,
    term: Arc<AtomicU64>,
    source_at: Option<SourceAt>,
    wall: Option<Wall>,
    hooks: Option<Hooks>,
    restart: Option<Restart>,
    rehearsal: Option<Rehearsal>,
    /// Whether events follow the writer here.
    events: bool,
    /// The last epoch at whose end its server began a new binlog file.
    rotated: AtomicU64,
}

impl Actor {
    /// An actor that has seen no order yet.
    pub fn new(
        server: Arc<dyn ManagedServer>,
        guard: GuardHandle,
        states: watch::Receiver<Arc<ClusterState>>,
        stop: Arc<ReceiverStop>,
    ) -> Self {
        Self {
            server,
            guard,
            states,
            stop,
            term: Arc::default(),
            source_at: None,
            wall: None,
            hooks: None,
            restart: None,
            rehearsal: None,
            events: false,
            rotated: AtomicU64::new(0),
        }
    }

    /// The same with the means to replicate from other servers, for [`Action::CatchUp`].
    #[must_use]
    pub fn with_sources(self, source_at: SourceAt) -> Self {
        Self { source_at: Some(source_at), ..self }
    }

    /// With the operator's programs, for [`Action::Hook`].
    #[must_use]
    pub fn with_hooks(self, hooks: Hooks) -> Self {
        Self { hooks: Some(hooks), ..self }
    }

    /// With the host's wall clock, by which it says since when its server runs.
    #[must_use]
    pub fn with_wall(self, wall: Wall) -> Self {
        Self { wall: Some(wall), ..self }
    }

    /// With what supervises its server, for [`Action::RestartServer`].
    #[must_use]
    pub fn with_restart(self, restart: Option<Restart>) -> Self {
        Self { restart, ..self }
    }

    /// Whether events follow the writer here, for the plan of a switchover.
    #[must_use]
    pub fn with_events(self, events: bool) -> Self {
        Self { events, ..self }
    }

    /// With what a rehearsal may do, for [`Action::Rehearse`].
    #[must_use]
    pub fn with_rehearsal(self, rehearsal: Option<Rehearsal>) -> Self {
        Self { rehearsal, ..self }
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
            Action::Fence { hangs } => Acted::Fenced(self.guard.fence(order.epoch, hangs, bound).await),
            Action::StopReceiver => self.stop_receiver(order).await,
            Action::ReadSets => self.read().await,
            Action::WaitApplied(set) => match self.server.wait_applied(&set, bound).await {
                Ok(applied) => Acted::Applied(applied),
                Err(error) => Acted::Failed(error.to_string()),
            },
            Action::ApplyAll(set) => {
                let permit = self.permit(order);
                match apply_all(self.server.as_ref(), &set, &permit, bound).await {
                    Ok((applied, ended)) => Acted::AppliedAll { applied, ended },
                    Err(error) => Acted::Failed(error.to_string()),
                }
            }
            Action::CatchUp { source, set } => done(self.catch_up(order, &source, &set, bound).await),
            Action::MakeWait(since) => done(self.guard.make_wait(order.epoch, since, bound).await),
            Action::Freeze { within_ms, kill_blockers } => {
                let within = Duration::from_millis(within_ms);
                self.freeze(order, FreezeHow::Close { within, kill_blockers }, bound).await
            }
            Action::Settle => self.freeze(order, FreezeHow::Settle, bound).await,
            Action::Rehearse(part) => match &self.rehearsal {
                Some(rehearsal) => {
                    rehearsal.run(part, &self.permit_between_moves(order)).await.unwrap_or_else(Acted::Failed)
                }
                None => Acted::Failed("it takes no part in a rehearsal".into()),
            },
            Action::RestartServer => match &self.restart {
                Some(restart) => done(restart.run(&order.operation).await),
                None => Acted::Failed("it has no means to restart its server".into()),
            },
            Action::LeaveWriter { .. } => Acted::Failed("that is the router's, not the server's".into()),
            Action::RotateBinlog => done(self.server.rotate_binlog().await.map_err(|e| e.to_string())),
            Action::Inspect(seconds) => match self.server.inspect(Duration::from_secs(seconds)).await {
                Ok(found) => Acted::Inspected(Box::new(found)),
                Err(error) => Acted::Failed(error.to_string()),
            },
            Action::Foretell(what) => {
                let foretold = foretold(&*self.server, self.source_at.as_ref(), self.events, what).await;
                foretold.map_or_else(Acted::Failed, Acted::Foretold)
            }
            Action::Hook { name, event } => match &self.hooks {
                Some(hooks) => done(hooks.run_named(&name, &event).await.map(drop)),
                None => Acted::Failed("it runs no hooks".into()),
            },
            Action::ProveCommit => done(self.server.prove_commit(bound).await.map_err(|e| e.to_string())),
        }
    }

    async fn stop_receiver(&self, order: &Order) -> Acted {
        // On disk before the statement: whoever hears that it has stopped may count on it for good.
        if let Err(why) = self.stop.promise(order.epoch).await {
            return Acted::Failed(format!("the promise to stop receiving cannot be kept on disk: {why}"));
        }
        self.rotate_binlog(order.epoch);
        let permit = self.permit(order);
        // Looks by itself whether there is anything to stop, and only when no other replication command is under way: a
        // start whose permit was asked just before would run on behind a look from the side.
        match self.server.stop_receiver(&permit).await {
            Ok(()) => self.read().await,
            Err(error) => Acted::Failed(error.to_string()),
        }
    }

    /// Whoever stops receiving may be the next writer, whose replicas are served from the beginning of its newest file. Beside
    /// everything else: nothing waits for it.
    fn rotate_binlog(&self, epoch: Epoch) {
        if self.rotated.fetch_max(epoch.0, Ordering::SeqCst) >= epoch.0 {
            return;
        }
        let server = Arc::clone(&self.server);
        crate::task::spawn(async move {
            if let Err(error) = server.rotate_binlog().await {
                warn!(%error, "no new binlog file was begun");
            }
        });
    }

    /// The order may be here before the entry that it rests on, which the guard compares it with.
    async fn freeze(&self, order: &Order, what: FreezeHow, bound: Duration) -> Acted {
        let operation = OperationId(order.operation.clone());
        let named = |state: &Arc<ClusterState>| {
            state.operation.as_ref().is_some_and(|o| o.id == operation && o.is_frozen())
        };
        // The caller's bound ends this wait; states that have ended are the guard's to name.
        let _ended = self.states.clone().wait_for(named).await.map(drop);
        Acted::Frozen(self.guard.freeze(Freeze { operation, epoch: order.epoch, what }, bound).await)
    }

    /// Withdrawn when a newer leader has ordered something, or a later epoch is granted.
    fn permit(&self, order: &Order) -> Permit {
        let (term, states, mine) = (Arc::clone(&self.term), self.states.clone(), (order.term, order.epoch));
        Permit::new(move || term.load(Ordering::SeqCst) <= mine.0 && states.borrow().epoch() <= mine.1)
    }

    /// Withdrawn as well while a switchover may close this server, which stops no write of Baton's own account on MariaDB.
    fn permit_between_moves(&self, order: &Order) -> Permit {
        let (permit, states) = (self.permit(order), self.states.clone());
        Permit::new(move || {
            let moves = |o: &Operation| o.kind == OperationKind::Switchover && o.opened_ms.is_none();
            let is_moving = states.borrow().operation.as_ref().is_some_and(moves);
            !is_moving && permit.check("").is_ok()
        })
    }

    /// Its receiver is stopped again whatever came of it.
    async fn catch_up(
        &self,
        order: &Order,
        source: &str,
        set: &GtidSet,
        bound: Duration,
    ) -> Result<(), String> {
        let (permit, begun) = (self.permit(order), Instant::now());
        let source_at = self.source_at.as_ref().ok_or("it has no means to replicate")?;
        let source = source_at(source)?;
        // The caller's bound would end this before the receiver is stopped again.
        let bound = bound.mul_f64(CATCH_UP_PART);
        let before = self.server.pulse().await.map_err(|e| e.to_string())?;
        if !before.all_applied()
            && !self.server.wait_applied(&before.received, bound / 2).await.is_ok_and(|done| done)
        {
            return Err("not everything received before is applied".into());
        }
        self.server.follow(&source, &permit).await.map_err(|e| e.to_string())?;
        let fetched = loop {
            let have = self.server.received().await.map_err(|e| e.to_string());
            if have.is_ok_and(|have| have.contains(set).unwrap_or(false)) {
                break true;
            }
            if begun.elapsed() >= bound {
                break false;
            }
            sleep(CATCH_UP_LOOK).await;
        };
        self.server.stop_receiver(&permit).await.map_err(|e| e.to_string())?;
        if fetched { Ok(()) } else { Err(format!("{set} has not come within {} s", bound.as_secs())) }
    }

    async fn read(&self) -> Acted {
        match self.server.pulse().await {
            Ok(pulse) => Acted::Sets(Sets {
                still: pulse.replication.as_ref().is_none_or(|c| !c.io_started),
                closed: pulse.switch.is_closed(),
                delayed: pulse.replication.as_ref().is_some_and(|c| !c.delay.is_zero()),
                began_ms: self.wall.as_ref().map(|wall| began(wall(), Duration::ZERO, pulse.uptime)),
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
